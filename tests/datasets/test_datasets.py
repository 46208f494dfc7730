"""What each ``fetch_*`` makes of its files, on tiny files written here in the published formats."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import routerlab as rl
from routerlab.datasets import DataFileError, Dataset, _files
from routerlab.datasets._files import in_folder
from routerlab.datasets._routellm import PRICES, STRONG, WEAK
from routerlab.datasets._routerbench import MODELS

ROUTERBENCH = "shuhao02/RouterDC/datasets/routerbench_zs"
ROUTELLM = "lm-sys/RouteLLM/routellm/evals"
ALPACA = "tatsu-lab/alpaca_eval/results"
AUTO_J = "GAIR-NLP/auto-j"
PULZE = "pulzeai-oss/knn-router/deploy/docker-compose/data"
# Text that careless parsing damages: quotes, code, markup, other scripts, a line separator inside JSON, a lone 'NA'.
NASTY = [
    'He said "no",\nthen left',
    "<b>def f(x):\n\treturn x</b>\r\n",
    "你好 🙂 \u202e\u2028",
    "NA",
    "\\n is not a line end",
]


@pytest.fixture
def publish(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[str, str]], None]:
    """Put texts into a ROUTERLAB_DATA folder and make them, and nothing else, the registry."""
    import pooch

    files = _files.registry()
    for key in list(files):
        monkeypatch.delitem(files, key)
    monkeypatch.setenv("ROUTERLAB_DATA", str(tmp_path))
    monkeypatch.setattr(pooch, "os_cache", lambda project: tmp_path / "cache" / project)
    monkeypatch.setattr(_files, "BASE_URL", "http://127.0.0.1:9")

    def write(texts: dict[str, str]) -> None:
        for key, text in texts.items():
            (tmp_path / key).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / key).write_bytes(text.encode())
            owner, repository, path = key.split("/", 2)
            sha256 = hashlib.sha256(text.encode()).hexdigest()
            file = _files.PublishedFile(f"{owner}/{repository}", "0" * 40, path, sha256, len(text.encode()))
            monkeypatch.setitem(files, key, file)

    return write


def as_csv(header: Sequence[str], *rows: Sequence[object]) -> str:
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\n").writerows([header, *rows])
    return stream.getvalue()


def as_jsonl(*records: dict, ensure_ascii: bool = False) -> str:
    return "".join(json.dumps(record, ensure_ascii=ensure_ascii) + "\n" for record in records)


def routerbench(*rows: tuple[str, object, list[object]]) -> str:
    """Rows of (sample_id, turns or raw cell, scores)."""
    header = ["", "sample_id", "prompt", "eval_name", *MODELS]
    header += [f"{m}|model_response" for m in MODELS] + [f"{m}|total_cost" for m in MODELS]
    body = []
    for number, (sample_id, turns, scores) in enumerate(rows):
        responses = [repr([f"{m} says {n}"]) for n, m in enumerate(MODELS)]
        costs = [0.001 * (n + 1) for n in range(len(MODELS))]
        cell = turns if isinstance(turns, str) else repr(turns)
        body.append([number, sample_id, cell, "an-eval", *scores, *responses, *costs])
    return as_csv(header, *body)


ONES = [1.0] * len(MODELS)


class TestRouterBench:
    def test_tables(self, publish: Callable) -> None:
        partial = ["", 0.25, *ONES[2:]]
        rows = [("s.0", [NASTY[0]], ONES), ("s.1", [NASTY[1], NASTY[2]], partial), ("s.2", [NASTY[4]], ONES)]
        publish({f"{ROUTERBENCH}/mbpp_train.csv": routerbench(*rows)})
        data = rl.fetch_routerbench()
        assert data.prompts["prompt"].tolist() == [NASTY[0], f"{NASTY[1]}\n\n{NASTY[2]}", NASTY[4]]
        assert data.prompts["n_turns"].tolist() == [1, 2, 1]
        assert set(data.prompts["dataset"]) == {"mbpp"}
        assert data.baseline == "gpt-4-1106-preview"
        with pytest.warns(rl.DroppedRowsWarning, match="1 of 3"):
            quality, cost = rl.pivot_outcomes(data.outcomes)
        assert list(quality.columns) == list(MODELS)
        assert list(quality.index) == ["s.0", "s.2"]
        np.testing.assert_allclose(cost.loc["s.0"], 0.001 * np.arange(1, 12))
        missing = rl.pivot_outcomes(data.outcomes, missing="keep").quality.loc["s.1"]
        assert np.isnan(missing[MODELS[0]])
        assert missing[MODELS[1]] == 0.25
        responses = data.responses.set_index(["prompt_id", "model"])["response"]
        assert responses["s.2", MODELS[3]] == f"{MODELS[3]} says 3"
        assert data.responses["cost_usd"].tolist() == data.outcomes["cost_usd"].tolist()
        assert data.responses[["prompt_id", "model"]].equals(data.outcomes[["prompt_id", "model"]])
        rl.check_responses(data.responses)
        without = rl.fetch_routerbench(responses=False)
        assert without.responses is None
        pd.testing.assert_frame_equal(without.outcomes, data.outcomes)

    def test_repeated_sample_ids_get_ids_of_their_own(self, publish: Callable) -> None:
        publish({f"{ROUTERBENCH}/mbpp_train.csv": routerbench(("s", ["a"], ONES), ("s", ["a", "a"], ONES))})
        data = rl.fetch_routerbench()
        assert list(data.prompts.index) == ["s", "s#2"]
        assert data.prompts["prompt"].tolist() == ["a", "a"]  # a copy in the same cell is no second turn
        assert data.prompts["sample_id"].tolist() == ["s", "s"]

    def test_question_leaves_out_what_all_prompts_of_a_file_begin_with(self, publish: Callable) -> None:
        shots = "Example one\nAnswer: A\n\nExample two\nAnswer: B\n\n"
        rows = [("s.0", [shots + "Which is it?"], ONES), ("s.1", [shots + "Which was it?\n\nReally"], ONES)]
        publish(
            {
                f"{ROUTERBENCH}/arc_challenge_train.csv": routerbench(*rows),
                f"{ROUTERBENCH}/mbpp_train.csv": routerbench(("t.0", ["One\n\nprompt alone"], ONES)),
            }
        )
        questions = rl.fetch_routerbench().prompts["question"]
        assert questions.tolist() == ["Which is it?", "Which was it?\n\nReally", "One\n\nprompt alone"]

    @pytest.mark.parametrize("cell", ["__import__('os').getcwd()", "['open", "[1, 2]", "'text'", "[" * 300, "NA"])
    def test_prompts_are_never_evaluated(self, publish: Callable, cell: str) -> None:
        publish({f"{ROUTERBENCH}/mbpp_train.csv": routerbench(("s.0", ["fine"], ONES), ("s.1", cell, ONES))})
        with pytest.raises(DataFileError, match=r"mbpp_train.csv: column 'prompt', row 1: expected a list"):
            rl.fetch_routerbench()

    @pytest.mark.parametrize(
        ("text", "error", "message"),
        [
            (routerbench(("s", ["a"], ["good", *ONES[1:]])), DataFileError, "hold numbers, got 'good' in row 0"),
            (routerbench(("s", ["a"], [7.0, *ONES[1:]])), rl.TableError, "quality.*got 7.0 at 's'"),
            (as_csv(["sample_id", "prompt"], ["s", "['a']"]), DataFileError, "the header lacks 'eval_name'"),
        ],
    )
    def test_files_that_are_not_as_expected(self, publish: Callable, text: str, error: type, message: str) -> None:
        publish({f"{ROUTERBENCH}/mbpp_train.csv": text})
        with pytest.raises(error, match=message):
            rl.fetch_routerbench()

    def test_too_few_rows(self, publish: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
        key = f"{ROUTERBENCH}/mbpp_test.csv"
        publish({key: routerbench(("s.0", ["a"], ONES))})
        file = _files.PublishedFile("shuhao02/RouterDC", "0" * 40, key.split("/", 2)[2], min_rows=127)
        monkeypatch.setitem(_files.registry(), key, file)
        with pytest.raises(DataFileError, match="expected at least 127 rows, got 1"):
            rl.fetch_routerbench("test")


class TestRouteLLM:
    def test_mmlu(self, publish: Callable) -> None:
        header = ["prompt", WEAK, STRONG]
        publish(
            {
                f"{ROUTELLM}/mmlu/responses/mmlu_anatomy.csv": as_csv(
                    header, [NASTY[0], "False", "True"], ["x" * 399, "", "False"]
                ),
                f"{ROUTELLM}/mmlu/responses/mmlu_world_religions.csv": as_csv(header, [NASTY[3], "True", "True"]),
            }
        )
        data = rl.fetch_routellm("mmlu")
        assert data.prompts["intent"].tolist() == ["anatomy", "anatomy", "world_religions"]
        assert data.prompts.loc["mmlu/world_religions/0", "prompt"] == "NA"
        quality, cost = rl.pivot_outcomes(data.outcomes, missing="keep")
        np.testing.assert_array_equal(quality.to_numpy(), [[0, 1], [np.nan, 0], [1, 1]])
        # 399 characters are 100 tokens, and the answer is one: 100 x $10 + 1 x $30, and 101 x $0.24, per 1M.
        assert cost.loc["mmlu/anatomy/1", STRONG] == pytest.approx(1030e-6)
        assert cost.loc["mmlu/anatomy/1", WEAK] == pytest.approx(101 * 0.24e-6)
        assert "estimate" in data.outcomes.attrs["cost_note"]
        assert "cost_usd estimated" in quality.attrs["provenance"]

    def test_prices_reproduce_the_averages_that_routellm_publishes(self) -> None:
        tokens = np.array([95, 264])
        averages = {model: tokens @ np.array(rates) / tokens.sum() for model, rates in PRICES.items()}
        assert averages == {WEAK: pytest.approx(0.24), STRONG: pytest.approx(24.7, abs=0.05)}

    @pytest.mark.parametrize("cell", ["true", "1", "yes"])
    def test_correctness_is_true_or_false(self, publish: Callable, cell: str) -> None:
        text = as_csv(["prompt", WEAK, STRONG], ["p", cell, "True"])
        publish({f"{ROUTELLM}/mmlu/responses/mmlu_anatomy.csv": text})
        with pytest.raises(DataFileError, match=f"should hold True or False, got '{cell}'"):
            rl.fetch_routellm("mmlu")

    @pytest.mark.parametrize("prefix", ["", "mistralai/", "mistralai/mistralai/"])
    def test_gsm8k_under_each_name_that_its_commits_give_mixtral(self, publish: Callable, prefix: str) -> None:
        weak = f"{prefix}mixtral-8x7b-instruct-v0.1"
        header = ["prompt", weak, STRONG, f"{weak}_response", f"{STRONG}_response"]
        publish(
            {f"{ROUTELLM}/gsm8k/gsm8k_responses.csv": as_csv(header, ["x" * 40, "True", "False", "y" * 8, NASTY[1]])}
        )
        data = rl.fetch_routellm("gsm8k")
        quality, cost = rl.pivot_outcomes(data.outcomes)
        assert quality.loc["gsm8k/0"].to_dict() == {WEAK: 1.0, STRONG: 0.0}
        assert cost.loc["gsm8k/0", WEAK] == pytest.approx(12 * 0.24e-6)
        assert data.responses["response"].tolist() == ["y" * 8, NASTY[1]]

    def mt_bench(self, publish: Callable, **changes: object) -> None:
        asked, records = ["What is pi?", "And e?"], []
        for model, (one, two) in {WEAK: (4, -1), STRONG: (9, 10)}.items():
            first, second = f"{model} first", f"{model} second"
            conversation = f"### User:\n{asked[0]}\n\n### Assistant A:\n{first}\n\n### User:\n{asked[1]}\n\n"
            prompts = {
                1: f"[Question]\n[The Start of Assistant's Answer]\n{first}\n[The End of Assistant's Answer]",
                2: "<|The Start of Assistant A's Conversation with User|>\n\n"
                + f"{conversation}### Assistant A:\n{second}\n\n<|The End of Assistant A's Conversation with User|>",
            }
            for turn, score in ((2, two), (1, one)):
                record = {"question_id": 81, "model": model, "turn": turn, "score": score, "judge": ["gpt-4", "v1"]}
                records.append({**record, "user_prompt": prompts[turn], **changes})
        publish(
            {
                f"{ROUTELLM}/mt_bench/question.jsonl": as_jsonl(
                    {"question_id": 81, "category": "math", "turns": asked}
                ),
                f"{ROUTELLM}/mt_bench/judgements.jsonl": as_jsonl(*records),
            }
        )

    def test_mt_bench(self, publish: Callable) -> None:
        self.mt_bench(publish)
        data = rl.fetch_routellm("mt_bench")
        quality = data.outcomes.set_index("model")["quality"]
        assert quality[STRONG] == pytest.approx(0.95)
        assert np.isnan(quality[WEAK])  # one turn could not be scored
        assert data.prompts.loc["mt_bench/81"].tolist() == ["What is pi?\n\nAnd e?", "math"]
        turns = data.extra["turns"].set_index(["model", "turn"])
        assert turns.loc[(STRONG, 2), "response"] == f"{STRONG} second"
        assert np.isnan(turns.loc[(WEAK, 2), "score"])
        # The second turn is sent with the first and its answer.
        history = len("What is pi?") + len(f"{STRONG} first") + len("And e?")
        assert turns.loc[(STRONG, 2), "input_tokens"] == np.ceil(history / 4)

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"question_id": 5}, "question 5, turn 1"),
            ({"turn": 2}, "without turn 1"),
            ({"model": "other"}, "'other'"),
            ({"score": 11}, "1 to 10 or -1, got 11"),
            ({"user_prompt": "nothing"}, "holds no assistant's response"),
        ],
    )
    def test_mt_bench_that_is_not_as_expected(self, publish: Callable, changes: dict, message: str) -> None:
        self.mt_bench(publish, **changes)
        with pytest.raises(DataFileError, match=message):
            rl.fetch_routellm("mt_bench")


def alpaca(model: str, preferences: Sequence[object], **changes: object) -> str:
    shared = {"generator_1": "gpt4_1106_preview", "generator_2": model, "dataset": "koala", "annotator": "a judge"}
    texts = ({"instruction": f"prompt {i}", "output_1": "b" * 40, "output_2": "m" * 8} for i in range(len(preferences)))
    records = [{**shared, **t, "preference": p, **changes} for t, p in zip(texts, preferences, strict=True)]
    return json.dumps(records)


class TestAlpacaEval:
    def key(self, model: str) -> str:
        return f"{ALPACA}/{model}/weighted_alpaca_eval_gpt4_turbo/annotations.json"

    def test_tables(self, publish: Callable) -> None:
        publish({self.key("claude-2.1"): alpaca("claude-2.1", [1.0, 1.75, 1.5, None])})
        data = rl.fetch_alpaca_eval()
        assert data.judgments["winner"].tolist() == ["model_a", "model_b", "tie"]
        assert data.judgments["preference"].tolist() == [0.0, 0.75, 0.5]
        assert set(data.judgments["model_a"]) == {"gpt4_1106_preview"}
        assert any("1 preferences are missing" in note for note in data.notes)
        quality, cost = rl.pivot_outcomes(data.outcomes, missing="keep")
        assert quality["gpt4_1106_preview"].tolist() == [0.5] * 4
        np.testing.assert_array_equal(quality["claude-2.1"], [0.0, 0.75, 0.5, np.nan])
        # 'prompt 0' is 2 tokens; the outputs are 10 and 2: $10/$30 and $8/$24 per 1M.
        assert cost.iloc[0].tolist() == pytest.approx([(20 + 300) / 1e6, (16 + 48) / 1e6])

    def test_unpriced_models_keep_an_empty_cost(self, publish: Callable) -> None:
        publish({self.key("phi-2-sft"): alpaca("phi-2-sft", [1.0])})
        with pytest.warns(rl.UnknownPriceWarning, match="phi-2-sft"):
            data = rl.fetch_alpaca_eval()
        assert data.outcomes.set_index("model")["cost_usd"].isna().to_dict() == {
            "gpt4_1106_preview": False,
            "phi-2-sft": True,
        }
        priced = rl.fetch_alpaca_eval(prices={"phi-2-sft": (0.1, 0.1)})
        assert priced.outcomes["cost_usd"].tolist() == pytest.approx([320e-6, 0.4e-6])

    def test_choice_of_models(self, publish: Callable) -> None:
        publish({self.key(m): alpaca(m, [1.2]) for m in ("claude-2.1", "gpt-3.5-turbo-1106")})
        assert rl.fetch_alpaca_eval("claude-2.1").models == ["gpt4_1106_preview", "claude-2.1"]
        assert len(rl.fetch_alpaca_eval().models) == 3
        with pytest.raises(
            rl.ParameterError, match="'models' must be one of the models 'claude-2.1', 'gpt-3.5-turbo-1106'"
        ):
            rl.fetch_alpaca_eval(["gpt-5"])
        with pytest.raises(ValueError, match="empty"):
            rl.fetch_alpaca_eval([])

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            (alpaca("claude-2.1", [2.5]), "1 to 2 or empty, got 2.5"),
            (alpaca("claude-2.1", ["first"]), "1 to 2 or empty, got 'first'"),
            (alpaca("claude-2.1", [1.0], generator_1="gpt-4"), "'generator_1' should be 'gpt4_1106_preview'"),
            (alpaca("claude-2.1", [1.0])[:-10], "the file is not JSON"),
            ('{"a": 1}', "expected a JSON array, got dict"),
            ("[1]", "record 1 should be an object, got int"),
            ("[]", "at least 1 rows, got 0"),
            ('[{"instruction": "x"}]', "record 1 lacks 'output_1'"),
        ],
    )
    def test_files_that_are_not_as_expected(self, publish: Callable, text: str, message: str) -> None:
        publish({self.key("claude-2.1"): text})
        with pytest.raises(DataFileError, match=message):
            rl.fetch_alpaca_eval()

    def test_files_on_other_prompts(self, publish: Callable) -> None:
        publish(
            {
                self.key("claude-2.1"): alpaca("claude-2.1", [1.0]),
                self.key("gpt-3.5-turbo-1106"): alpaca("gpt-3.5-turbo-1106", [1.0], instruction="another"),
            }
        )
        with pytest.raises(DataFileError, match="not those of the other files"):
            rl.fetch_alpaca_eval()


class TestAutoJ:
    def test_intents(self, publish: Callable) -> None:
        records = [{"category": "chitchat", "instruction": text, "input": ""} for text in NASTY]
        records.append({"category": "text_correction", "instruction": "Correct this:", "input": "teh"})
        publish({f"{AUTO_J}/other_resources/scenario_classifier_data/traindata.jsonl": as_jsonl(*records)})
        prompts = rl.fetch_auto_j("intents").prompts
        assert prompts["prompt"].tolist() == [*NASTY, "Correct this:\nteh"]
        assert prompts["intent"].iloc[-1] == "text_correction"

    def pairs(self, *labels: object) -> dict[str, str]:
        texts = ({"prompt": NASTY[i % 2], "response 1": "one", "response 2": "two"} for i in range(len(labels)))
        records = [{"scenario": "ranking", "label": label, **t} for label, t in zip(labels, texts, strict=True)]
        return {f"{AUTO_J}/data/test/testdata_pairwise.jsonl": as_jsonl(*records)}

    def test_pairs(self, publish: Callable) -> None:
        intents = as_jsonl({"category": "ranking", "instruction": "x", "input": ""})
        key = f"{AUTO_J}/other_resources/scenario_classifier_data/traindata.jsonl"
        publish({**self.pairs(0, 1, 2), key: intents})
        data = rl.fetch_auto_j("pairs")
        assert data.judgments["winner"].tolist() == ["model_a", "model_b", "tie"]
        assert set(data.judgments["judge"]) == {"human"}
        # The third pair has the first one's prompt, and says so.
        assert data.prompts["same_prompt_as"].tolist() == ["auto_j/pair/0", "auto_j/pair/1", "auto_j/pair/0"]
        assert set(data.prompts["intent"]) == {"ranking"}
        responses = data.responses.set_index(["prompt_id", "model"])["response"]
        assert responses["auto_j/pair/2", "response_2"] == "two"

    @pytest.mark.parametrize(
        ("label", "end", "message"), [(3, None, "should be 0, 1 or 2, got 3"), (1, -5, "line 2 is not JSON")]
    )
    def test_files_that_are_not_as_expected(self, publish: Callable, label: int, end: int, message: str) -> None:
        publish({key: text[:end] for key, text in self.pairs(0, label).items()})
        with pytest.raises(DataFileError, match=message):
            rl.fetch_auto_j("pairs")


class TestPulze:
    def files(self, *scores: dict, width: int = 2) -> dict[str, str]:
        points = [
            {"point_uid": "a", "category": "politics", "utterance": NASTY[2], "embedding": [1.0, 0.0]},
            {"point_uid": "b", "category": "chitchat", "utterance": "hi", "embedding": [0.0, 1.0][:width]},
        ]
        return {f"{PULZE}/points.jsonl": as_jsonl(*points), f"{PULZE}/targets.jsonl": as_jsonl(*scores)}

    def test_tables(self, publish: Callable) -> None:
        publish(self.files({"point_uid": "b", "target": "t", "score": 0.5}))
        data = rl.fetch_pulze_example()
        assert data.prompts["prompt"].tolist() == [NASTY[2], "hi"]
        embeddings, scores = data.extra["embeddings"], data.extra["scores"]
        assert (embeddings.shape, embeddings.to_numpy().dtype) == ((2, 2), np.float32)
        assert scores["t"].isna().tolist() == [True, False]
        assert list(scores.index) == list(embeddings.index) == ["a", "b"]

    @pytest.mark.parametrize(
        ("point", "width", "message"), [("a", 1, "as many numbers in each row"), ("z", 2, "not among the points")]
    )
    def test_files_that_are_not_as_expected(self, publish: Callable, point: str, width: int, message: str) -> None:
        publish(self.files({"point_uid": point, "target": "t", "score": 1}, width=width))
        with pytest.raises(DataFileError, match=message):
            rl.fetch_pulze_example()


@pytest.mark.parametrize(
    ("fetch", "message"),
    [
        (lambda: rl.fetch_routerbench("dev"), "'split'.*'train' or 'test'. Got 'dev'"),
        (lambda: rl.fetch_routellm("arena"), "'benchmark'.*mmlu, mt_bench, gsm8k. Got 'arena'"),
        (lambda: rl.fetch_zeroeval("gsm"), "'benchmark'.*crux, math-l5. Got 'gsm'"),
        (lambda: rl.fetch_auto_j("pair"), "'kind'.*'intents' or 'pairs'. Got 'pair'"),
    ],
)
def test_unknown_choices_name_the_known_ones(fetch: Callable, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fetch()


class TestZeroEval:
    """Outputs of eight models; the answer is read out of each and compared."""

    models = [file.path.rsplit("/", 1)[1][:-5] for file in in_folder("WildEval/ZeroEval/result_dirs/crux", ".json")]

    def files(self, outputs: Sequence[str], true: str, benchmark: str = "crux", **changes: object) -> dict:
        column = {"crux": "question", "math-l5": "problem"}[benchmark]
        shared = {column: NASTY[0], "id": 0, "chat_history": ["q" * 39], "answer": true} | changes
        return {
            f"WildEval/ZeroEval/result_dirs/{benchmark}/{model}.json": json.dumps([{**shared, "output": [output]}])
            for model, output in zip(self.models, outputs, strict=True)
        }

    def test_answers_of_programs(self, publish: Callable) -> None:
        outputs = [
            '{"answer": "[1,2]"}',
            '```json\n{"reasoning": "first \\"answer\\": [0]", "answer": "[1, 2]"}\n```',
            '{"answer": [1, 2]}',
            '{"reasoning": "a \n broken one", "answer": "[1, 2]"',
            '{"answer": "(1, 2)"}',
            '{"answer": "[1, 2, 3]"}',
            '{"answer": "[True, 2]"}',
            "[1, 2]",
        ]
        publish(self.files(outputs, "[1, 2]"))
        data = rl.fetch_zeroeval("crux")
        assert data.outcomes["quality"].tolist() == [1, 1, 1, 1, 0, 0, 0, 0]
        assert data.responses["answer"].isna().tolist() == [False] * 7 + [True]
        assert data.prompts.loc["crux/0"].tolist() == [NASTY[0], "[1, 2]"]
        # 39 characters were sent, 10 tokens, and the first output is 5 tokens, at $0.88 per 1M.
        assert data.outcomes["cost_usd"].iloc[0] == pytest.approx(15 * 0.88e-6)
        assert "hold no costs" in data.outcomes.attrs["cost_note"]
        assert "cost_usd estimated" in data.provenance
        assert any("1 of 8 outputs hold no answer" in note for note in data.notes)

    def test_a_string_may_lack_its_quotes_and_an_empty_one_is_an_answer(self, publish: Callable) -> None:
        texts = ["ab", "'ab'", "AB", "", "a b", "'ab", "ab ", "None"]
        publish(self.files([json.dumps({"answer": text}) for text in texts], "'ab'"))
        assert rl.fetch_zeroeval("crux").outcomes["quality"].tolist() == [1, 1, 0, 0, 0, 0, 0, 0]
        publish(self.files([*([json.dumps({"answer": ""})] * 7), "nothing"], "''"))
        assert rl.fetch_zeroeval("crux").outcomes["quality"].tolist() == [1] * 7 + [0]

    def test_answers_of_problems(self, publish: Callable) -> None:
        texts = ["1024", "1,024", "$1024$", r"\boxed{1024}", "1024.0", r"\frac{2048}{2}", "1025", "2^{10}"]
        publish(self.files([json.dumps({"answer": text}) for text in texts], "1024", "math-l5"))
        assert rl.fetch_zeroeval("math-l5").outcomes["quality"].tolist() == [1] * 6 + [0, 0]

    def test_files_of_other_prompts_are_an_error(self, publish: Callable) -> None:
        files = self.files(["{}"] * 8, "1")
        files |= {list(files)[3]: list(self.files(["{}"] * 8, "2").values())[3]}
        publish(files)
        with pytest.raises(DataFileError, match="not those of the other files"):
            rl.fetch_zeroeval("crux")


class TestDataset:
    prompts = pd.DataFrame({"prompt_id": ["p"], "prompt": ["<b>hello</b>"]})

    def test_every_table_is_checked(self) -> None:
        outcomes = pd.DataFrame({"prompt_id": ["q"], "model": ["m"], "quality": [1.0], "cost_usd": [0.1]})
        with pytest.raises(rl.TableError, match="not in the prompts table: 'q'"):
            Dataset("d", self.prompts, outcomes=outcomes)
        with pytest.raises(rl.ParameterError, match="baseline"):
            Dataset("d", self.prompts, outcomes=outcomes.assign(prompt_id="p"), baseline="gpt-4")

    def test_repr_tells_sizes_gaps_and_provenance(self) -> None:
        outcomes = pd.DataFrame({"prompt_id": ["p"], "model": ["m"], "quality": [np.nan], "cost_usd": [0.1]})
        outcomes.attrs["provenance"] = "simulated: by hand"
        data = Dataset("d", self.prompts, outcomes=outcomes, baseline="m", licence="MIT & <more>", notes=["note it"])
        text, html = repr(data), data._repr_html_()
        for part in ("1 x 4", "quality empty in 1", "simulated: by hand", "note it", "MIT & <more>"):
            assert part in text
        assert "MIT &amp; &lt;more&gt;" in html
        assert "<more>" not in html

    def test_it_is_frozen(self) -> None:
        data = Dataset("d", self.prompts)
        with pytest.raises(AttributeError):
            data.name = "other"  # type: ignore[misc]
        with pytest.raises(TypeError):
            data.extra["x"] = self.prompts  # type: ignore[index]
