"""Result files of other tools, laid out as those tools write them, and what is wrong with them."""

# ruff: noqa: E501

import json
import zipfile

import numpy as np
import pandas as pd
import pytest

import routerlab as rl
from routerlab.datasets import read_arena_votes, read_inspect, read_lm_eval, read_promptfoo

# promptfoo ----------------------------------------------------------------------------------------------------------


def graded(test=0, provider="openai:gpt-4o", score=1.0, raw="Capital of France?", **more):
    return {
        "id": "r", "testIdx": test, "promptIdx": 0, "provider": {"id": provider, "label": ""}, "success": score >= 1,
        "prompt": {"raw": raw, "label": "{{q}}"}, "vars": {"q": raw}, "score": score, "failureReason": int(score < 1),
        "error": None if score >= 1 else "Expected output to contain Paris", "latencyMs": 1500, "cost": 0.002,
        "response": {"output": "Paris", "cached": False, "tokenUsage": {"total": 12, "prompt": 10, "completion": 2}},
        "gradingResult": {"pass": score >= 1, "score": score}, "namedScores": {"tone": 4}, **more,
    }  # fmt: skip


def promptfoo(tmp_path, *rows, name="results.json"):
    path = tmp_path / name
    if name.endswith("l"):
        path.write_text("\n".join(map(json.dumps, rows)))
    else:
        path.write_text(
            "\ufeff" + json.dumps({"evalId": "e", "results": {"version": 3, "results": rows}, "config": {}})
        )
    return path


def test_promptfoo_results_become_outcomes_by_provider(tmp_path):
    failed = graded(1, score=0, failureReason=2, error="429", response={"error": "429"}, cost=0)
    cached = graded(1, "small", score=0.4, cost=0, latencyMs=2)
    cached["response"] |= {"cached": True, "tokenUsage": {"total": 12, "cached": 12}}
    ungraded = graded(2, raw="Hi", gradingResult=None)
    rows = [graded(), graded(provider="small", score=0.0), failed, cached, ungraded]
    for name in ("results.json", "results.jsonl"):
        data = read_promptfoo(promptfoo(tmp_path, *rows, name=name))
        found = data.outcomes.set_index(["prompt_id", "model"])
        assert found["quality"].to_dict() == pytest.approx(
            {("test 0", "openai:gpt-4o"): 1, ("test 0", "small"): 0, ("test 1", "openai:gpt-4o"): np.nan,
             ("test 1", "small"): 0.4, ("test 2", "openai:gpt-4o"): np.nan}, nan_ok=True)  # fmt: skip
        assert found.loc[("test 0", "small"), ["cost_usd", "latency_s"]].tolist() == [0.002, 1.5]
        assert found.loc[("test 1", "small"), ["cost_usd", "latency_s"]].isna().all(), "what a cache saved is not free"
        assert data.notes == ("1 results without quality: failed", "1 results without quality: nothing asserted")
        assert data.provenance == f"promptfoo: {name}"
    assert read_promptfoo(tmp_path / "results.json", metric="pass").outcomes["quality"].tolist()[:2] == [1.0, 0.0]
    with pytest.raises(rl.TableError, match=r"scores: got 4.0 at '.*results.json, result 0'.*scale=\(1, 5\)"):
        read_promptfoo(tmp_path / "results.json", metric="tone")
    tone = read_promptfoo(tmp_path / "results.json", metric="tone", scale=(1, 5)).outcomes["quality"]
    assert tone.dropna().tolist() == [0.75] * 3


def test_two_prompts_of_a_test_are_two_prompts(tmp_path):
    data = read_promptfoo(promptfoo(tmp_path, graded(), graded(raw="Say: capital of France?", promptIdx=1)))
    assert data.prompts.index.tolist() == ["test 0, prompt 0", "test 0, prompt 1"]


def test_prices_fill_what_a_file_does_not_know(tmp_path):
    path = promptfoo(tmp_path, graded(provider="ours", cost=None))
    assert read_promptfoo(path).outcomes["cost_usd"].isna().all()
    assert read_promptfoo(path, prices={"ours": (1.0, 5.0)}).outcomes["cost_usd"].tolist() == pytest.approx([20e-6])


# Inspect ------------------------------------------------------------------------------------------------------------


def inspected(tmp_path, model, values, *, name=None, kind="json", **more):
    samples = [
        {
            "id": f"q{k // 2}", "epoch": 1 + k % 2, "target": "4", "working_time": 2.0, "error": None,
            "input": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": [{"type": "text", "text": f"{k // 2}+1?"}]}],
            "output": {"model": model, "choices": [{"message": {"role": "assistant", "content": "4"}, "stop_reason": "stop"}]},
            "scores": {"match": {"value": value, "answer": "4"}},
            "model_usage": {model: {"input_tokens": 8, "output_tokens": 1, "total_tokens": 12, "input_tokens_cache_read": 3}},
            **more,
        }
        for k, value in enumerate(values)
    ]  # fmt: skip  # noqa: E501
    header = {"version": 2, "status": "success", "eval": {"task": "sums", "model": model}}
    path = tmp_path / f"{name or model.replace('/', '-')}.{kind}"
    if kind == "json":
        path.write_text(json.dumps({**header, "samples": samples}))
        return path
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("header.json", json.dumps(header))
        archive.writestr("summaries.json", "[]")
        for sample in samples:
            archive.writestr(f"samples/{sample['id']}_epoch_{sample['epoch']}.json", json.dumps(sample))
    return path


@pytest.mark.parametrize("kind", ["json", "eval"])
def test_inspect_logs_become_one_table_and_epochs_are_averaged(tmp_path, kind):
    inspected(tmp_path, "openai/gpt-4o", ["C", "C", "P", "I"], kind=kind)
    inspected(tmp_path, "vllm/small", ["C", "I", float("nan"), "N"], kind=kind)
    data = read_inspect(tmp_path, prices={"openai/gpt-4o": (1.0, 10.0), "vllm/small": (0.0, 0.0)})
    quality, cost = rl.pivot_outcomes(data.outcomes)
    assert quality.to_dict("index") == {
        "sums/q0": {"openai/gpt-4o": 1.0, "vllm/small": 0.5},
        "sums/q1": {"openai/gpt-4o": 0.25, "vllm/small": 0.0},
    }
    assert cost["openai/gpt-4o"].tolist() == pytest.approx([21e-6] * 2), "tokens from the cache count as input"
    assert data.prompts["prompt"].tolist() == ["0+1?", "1+1?"] and set(data.responses["response"]) == {"4"}
    assert "repetitions are averaged" in " ".join(data.notes)


def test_inspect_scores_come_on_any_scale_and_from_any_scorer(tmp_path):
    path = inspected(tmp_path, "m", [0] * 2, scores={"rubric": {"value": {"tone": 80, "fact": "pass"}}})
    with pytest.raises(rl.TableError, match="'scores': has several: 'rubric.tone', 'rubric.fact'.*metric="):
        read_inspect(path)
    with pytest.raises(rl.TableError, match="has no 'match'; it has 'rubric.tone'"):
        read_inspect(path, metric="match")
    assert read_inspect(path, metric="rubric.tone", scale=(0, 100)).outcomes["quality"].tolist() == [0.8]
    passed = read_inspect(path, metric="rubric.fact", scale={"pass": 1, "fail": 0})
    assert passed.outcomes["quality"].tolist() == [1.0]


# lm-evaluation-harness ----------------------------------------------------------------------------------------------

STAMP = "2026-01-02T03-04-05.678901"


def harness(tmp_path, model, scores, *, task="gsm8k", filters=("strict-match",), results=True, chat=False, **more):
    folder = tmp_path / model.replace("/", "__")
    folder.mkdir(exist_ok=True)
    lines = []
    for k, score in enumerate(scores):
        sent = json.dumps([{"role": "user", "content": f"Question {k}"}]) if chat else f"Question {k}"
        for name in filters:
            sample = {
                "doc_id": k, "doc": {"question": f"Question {k}"}, "target": "4", "doc_hash": f"h{k}",
                "arguments": {"gen_args_0": {"arg_0": [sent] if chat else sent, "arg_1": {"until": ["\n"]}}},
                "resps": [[f"It is {k}."]], "filtered_resps": [str(k)], "filter": name, "metrics": ["exact_match"],
                "prompt_hash": "p", "target_hash": "t", "exact_match": score, **more,
            }  # fmt: skip
            lines.append(json.dumps(sample))
    path = folder / f"samples_{task}_{STAMP}.jsonl"
    path.write_text("\n".join(lines) + "\n")
    if results:
        (folder / f"results_{STAMP}.json").write_text(json.dumps({"results": {}, "model_name": model}))
    return path


def test_harness_samples_of_several_models_become_one_table(tmp_path):
    harness(tmp_path, "org/large", [1.0, 1.0, 0.0])
    harness(tmp_path, "org/small", [1.0, 0.0, 0.0], results=False)  # the folder's name is the model's
    data = read_lm_eval(tmp_path)
    assert data.models == ["org/large", "org/small"]
    quality = rl.pivot_outcomes(data.outcomes, missing="keep").quality
    assert quality.mean().round(3).to_dict() == {"org/large": 0.667, "org/small": 0.333}
    assert data.prompts.loc["gsm8k/1", "prompt"] == "Question 1"
    assert data.responses["response"].tolist()[0] == "It is 0."
    priced = read_lm_eval(tmp_path, prices={"org/large": (4.0, 4.0), "org/small": (0.4, 0.4)})
    assert priced.outcomes["cost_usd"].gt(0).all() and "estimated" in " ".join(priced.notes)


def test_harness_chats_filters_metrics_and_choices(tmp_path):
    path = harness(tmp_path, "m", [1.0, 0.0], filters=("strict-match", "flexible-extract"), chat=True)
    with pytest.raises(rl.TableError, match="several filters: 'strict-match', 'flexible-extract'.*filter_name"):
        read_lm_eval(path)
    data = read_lm_eval(path, filter_name="flexible-extract")
    assert data.prompts["prompt"].tolist() == ["Question 0", "Question 1"]
    old = {"arguments": [["Question 0", " yes"], ["Question 0", " no"]], "metrics": ["acc", "acc_norm"], "acc": 1.0}
    old |= {"resps": [[[-1.0, False]], [[-2.0, False]]], "filtered_resps": [[-1.0, False], [-2.0, False]]}
    path = harness(tmp_path, "n", [0.0], task="boolq", acc_norm=0.0, **old)
    with pytest.raises(rl.TableError, match="line 1, metrics: there are 2: 'acc', 'acc_norm'.*metric="):
        read_lm_eval(path)
    data = read_lm_eval(path, metric="acc")
    assert data.outcomes["quality"].tolist() == [1.0] and data.responses["response"].isna().all()


def test_runs_that_do_not_compare_are_refused(tmp_path):
    one, other = harness(tmp_path, "a", [1.0]), harness(tmp_path, "b", [1.0], doc_hash="else")
    with pytest.raises(
        rl.TableError, match=r"b.samples_gsm8k.*line 1: is another document than .*a.samples_gsm8k.*line 1"
    ):
        read_lm_eval([one, other])
    with pytest.raises(rl.TableError, match="is a second run of 'm' on 'gsm8k'"):
        read_lm_eval([one, other], model="m")


# Arena --------------------------------------------------------------------------------------------------------------


def talk(prompt, answer, *, parts=False, more=()):
    content = (lambda text: [{"type": "text", "text": text}]) if parts else (lambda text: text)
    messages = [{"role": "user", "content": content(prompt)}, {"role": "assistant", "content": content(answer)}]
    return [*messages, *({"role": role, "content": content(text)} for role, text in more)]


@pytest.mark.parametrize("parts", [False, True])
@pytest.mark.parametrize("kind", ["frame", "json", "jsonl"])
def test_arena_conversations(tmp_path, kind, parts):
    more = [("user", "And now?"), ("assistant", "Done.")]
    rows = [
        {"question_id": "a", "model_a": "x", "model_b": "y", "winner": "model_b", "judge": "j1", "turn": 1,
         "conversation_a": talk("Hi", "No", parts=parts), "conversation_b": talk("Hi", "Hello", parts=parts)},
        {"question_id": "b", "model_a": "y", "model_b": "z", "winner": "tie (bothbad)", "judge": "j2", "turn": 2,
         "conversation_a": talk("Why?", "1", parts=parts, more=more),
         "conversation_b": talk("Why?", "2", parts=parts, more=more)},
    ]  # fmt: skip
    given = pd.DataFrame(rows) if kind == "frame" else tmp_path / f"votes.{kind}"
    if kind != "frame":
        given.write_text(json.dumps(rows) if kind == "json" else "\n".join(map(json.dumps, rows)))
    data = read_arena_votes(given)
    assert data.judgments[["prompt_id", "model_a", "winner", "judge"]].to_numpy().tolist() == [
        ["a", "x", "model_b", "j1"], ["b", "y", "both_bad", "j2"],
    ]  # fmt: skip
    assert data.prompts["n_turns"].to_dict() == {"a": 1, "b": 2}
    assert data.responses.to_numpy().tolist() == [
        ["a", "x", "No"], ["a", "y", "Hello"], ["b", "y", "1"], ["b", "z", "2"],
    ]  # fmt: skip
    assert "1 conversations have several turns" in data.notes[0]


def wide(**change):
    row = {"id": 30192, "model_a": "x", "model_b": "y", "prompt": '["Is NA null?", "Sure?"]'}
    row |= {"response_a": '["Yes", null]', "response_b": '["\\ud83d\\ude00", "No"]'}
    return row | {"winner_model_a": 0, "winner_model_b": 0, "winner_tie": 1} | change


def test_arena_columns_of_the_55k_release(tmp_path):
    pd.DataFrame([wide(), wide(id=30193, winner_model_a=1, winner_tie=0)]).to_csv(tmp_path / "train.csv", index=False)
    data = read_arena_votes(tmp_path / "train.csv", prices={"x": (1.0, 1.0), "y": (2.0, 2.0)})
    assert data.judgments["winner"].tolist() == ["tie", "model_a"]
    assert data.prompts["prompt"].tolist() == ["Is NA null?"] * 2
    assert data.responses["response"].tolist() == ["Yes", "\U0001f600"] * 2
    assert (data.responses["cost_usd"] > 0).all()
    plain = read_arena_votes(pd.DataFrame([wide(prompt="[not] JSON", response_a="a", response_b="b")]))
    assert plain.prompts["prompt"].tolist() == ["[not] JSON"]


def test_arena_votes_reach_quality_against_a_baseline():
    rng = np.random.default_rng(0)
    rows = []
    for k in range(392):
        a, b = rng.permutation(["gpt-4", "mid", "small"])[:2]
        won = rng.integers(3)
        marks = {f"winner_{name}": int(won == j) for j, name in enumerate(("model_a", "model_b", "tie"))}
        rows.append(wide(id=k, model_a=a, model_b=b, prompt=f"Question {k}", **marks))
    prices = {"gpt-4": (10.0, 30.0), "mid": (1.0, 2.0), "small": (0.1, 0.2)}
    data = read_arena_votes(pd.DataFrame(rows), prices=prices)
    with pytest.warns(rl.DroppedRowsWarning, match="without a vote on 'gpt-4'"):
        outcomes = rl.judged_outcomes(data.judgments, data.responses, baseline="gpt-4")
    quality, cost = rl.pivot_outcomes(outcomes, missing="keep")
    with pytest.warns(rl.DroppedRowsWarning, match="have a known outcome"):
        claim = rl.savings(pd.Series("small", index=quality.index), quality, cost, baseline="gpt-4")
    assert len(quality) > 240 and claim.n > 100 and claim.quality_low < 0 < claim.quality_high


# What is wrong with files -------------------------------------------------------------------------------------------

WRONG = {
    "not JSON": (read_promptfoo, "r.json", '{"results": ', r"r\.json: is not JSON"),
    "not promptfoo's": (read_promptfoo, "r.json", "{}", "r.json: has no list 'results'"),
    "a record": (read_promptfoo, "r.json", '{"results": {"results": [1]}}', "result 0: is a int, expected an object"),
    "no provider": (read_promptfoo, "r.jsonl", '{"prompt": {"raw": "x"}}', "line 1, 'provider.id': got None"),
    "latency": (
        read_promptfoo, "r.jsonl", '{"prompt": {"raw": "x"}, "provider": "m", "latencyMs": "2s"}',
        "line 1, 'latencyMs': got '2s'",
    ),
    "cost": (
        read_promptfoo, "r.jsonl", '{"prompt": {"raw": "x"}, "provider": "m", "cost": "dear"}',
        "line 1, cost_usd: got 'dear', expected a number",
    ),
    "no results": (read_promptfoo, "r.json", '{"results": {"results": []}}', "holds no results"),
    "not Inspect's": (read_inspect, "r.json", "{}", "has no 'eval', or no list 'samples'"),
    "no zip": (read_inspect, "r.eval", "x", r"r\.eval: cannot be opened.*inspect log convert"),
    "no input": (
        read_inspect, "r.json", '{"eval": {"model": "m"}, "samples": [{"id": 1, "input": []}]}',
        "sample 0, 'input': got None, expected text",
    ),
    "a grade": (
        read_inspect, "r.json", '{"eval": {"model": "m"}, "samples": [{"id": 1, "input": "x", "scores": {"s": {"value": "B+"}}}]}',
        r"scores: got 'B\+' at '.*r.json, sample 0'",
    ),
    "no doc_id": (read_lm_eval, "samples_t.jsonl", '{"acc": 1, "arguments": [["x"]]}', "line 1, 'doc_id': is missing"),
    "no metric": (read_lm_eval, "samples_t.jsonl", '{"doc_id": 1, "arguments": [["x"]]}', "line 1, metrics: there are 0"),
    "torn": (read_lm_eval, "samples_t.jsonl", '{"doc_id": 1, "arguments": [["x"]], "acc": 1}\n{"do', "line 2: is not JSON"),
    "averages": (read_lm_eval, "results_x.json", "{}", "'results_x.json': holds averages alone.*--log_samples"),
    "no votes": (read_arena_votes, "v.json", "{}", "v.json: is not a list of objects"),
    "no models": (read_arena_votes, "v.json", '[{"id": 1}]', "lacks 'model_a', 'model_b'"),
    "no winner": (
        read_arena_votes, "v.json", json.dumps([{k: v for k, v in wide().items() if "winner" not in k}]),
        "has no 'winner', and lacks 'winner_model_a'",
    ),
    "two winners": (read_arena_votes, "v.json", json.dumps([wide(), wide(winner_model_a=1)]), "row 1, column 'winner_model_a"),
    "who won": (read_arena_votes, "v.json", json.dumps([wide(winner="maybe")]), "row 0, column 'winner': got 'maybe'"),
    "an empty prompt": (read_arena_votes, "v.json", json.dumps([wide(prompt="[]")]), "row 0, the prompt: got None"),
    "one id": (read_arena_votes, "v.json", json.dumps([wide(), wide(prompt="Other")]), "ids: names different prompts: 30192"),
    "no talk": (
        read_arena_votes, "v.json",
        json.dumps([{"model_a": "x", "model_b": "y", "winner": "tie", "conversation_a": "Hi", "conversation_b": []}]),
        "row 0, column 'conversation_a': is not a list of messages",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_be_read_is_named_by_file_record_and_field(tmp_path, case):
    reader, name, content, message = WRONG[case]
    (tmp_path / name).write_text(content)
    with pytest.raises(rl.TableError, match=message):
        reader(tmp_path / name)
    with pytest.raises(rl.TableError, match="is not a file"):
        reader(tmp_path / "absent.json")


# One scale ----------------------------------------------------------------------------------------------------------

SCALES = [
    ([1, 3, 5], (1, 5), [0.0, 0.5, 1.0]),
    ([5, 1], (5, 1), [0.0, 1.0]),
    ([0, 55, "100", None], (0, 100), [0.0, 0.55, 1.0, np.nan]),
    (["pass", "Fail ", None], {"pass": 1, "fail": 0}, [1.0, 0.0, np.nan]),
    ([True, False], None, [1.0, 0.0]),
    ([True, False], {True: 1, False: 0.5}, [1.0, 0.5]),
    (["A", "C"], {"A": 1, "B": 0.5, "C": 0}, [1.0, 0.0]),
    ([-1, 0, 1], (-1, 1), [0.0, 0.5, 1.0]),
]
OFF = [
    ([0, 3], (1, 5), r"got 0 at 0, expected numbers from 1 to 5"),
    ([True], (1, 5), "got True"),
    (["good"], (1, 5), "got 'good'"),
    ([1.5], None, "got 1.5 at 0, expected numbers from 0 to 1"),
    (["pass", "skip"], {"pass": 1, "fail": 0}, "got 'skip' at 1, expected one of 'pass', 'fail'"),
    ([1], {"pass": 2}, "what scores are worth: got 2"),
    ([1], (1, 1), "'scale': got"),
    ([1], "15", "'scale': got '15'"),
    ([1], (1, 2, 3), "'scale': got"),
]


@pytest.mark.parametrize(("scores", "scale", "quality"), SCALES, ids=range(len(SCALES)))
def test_scores_of_any_scale_become_quality(scores, scale, quality):
    assert rl.to_quality(scores, scale).tolist() == pytest.approx(quality, nan_ok=True)
    table = pd.DataFrame({"prompt_id": range(len(scores)), "model": "m", "quality": scores, "cost_usd": 0.01})
    assert rl.check_outcomes(table, scale=scale)["quality"].tolist() == pytest.approx(quality, nan_ok=True)


@pytest.mark.parametrize(("scores", "scale", "message"), OFF, ids=range(len(OFF)))
def test_scores_off_their_scale_are_named(scores, scale, message):
    with pytest.raises((rl.TableError, rl.ParameterError), match=message):
        rl.to_quality(scores, scale)


# Any JSON type at any place ------------------------------------------------------------------------------------------

ODD = [None, True, 0, -1, 1e400, 10**30, "", "x", "\ud800", [], [None], {}, {"a": 1}, [[]], [{"role": "user"}], 0.5]


def changed(value, rng):
    """The same JSON with one part, anywhere in it, made another thing or left out."""
    if isinstance(value, dict | list) and value and rng.random() < 0.85:
        keys = list(value) if isinstance(value, dict) else range(len(value))
        key = keys[rng.integers(len(keys))]
        copy = dict(value) if isinstance(value, dict) else list(value)
        if rng.random() < 0.1:
            del copy[key]
        else:
            copy[key] = changed(value[key], rng)
        return copy
    return ODD[rng.integers(len(ODD))]


@pytest.mark.fuzz
@pytest.mark.parametrize("tool", ["promptfoo", "inspect", "lm_eval", "arena", "comparator"])
@pytest.mark.filterwarnings("ignore")
def test_any_json_at_any_place_is_read_or_refused_by_name(tmp_path, tool):
    rng = np.random.default_rng(0)
    inspected(tmp_path, "m", ["C", "I"], name="i")
    sample = harness(tmp_path, "h", [1.0]).read_text()
    conversations = {"conversation_a": talk("Hi", "1", parts=True), "conversation_b": talk("Hi", "2", parts=True)}
    votes = [wide(winner="tie"), {"id": 2, "model_a": "x", "model_b": "y", "winner": "model_a", **conversations}]
    rating = {"is_flipped": True, "score": 1, "rating_label": "B is better", "rationale": "r", "custom_fields": {}}
    example = {"input_text": "?", "output_text_a": "1", "output_text_b": "2", "tags": ["t"], "score": 0.5}
    example |= {"individual_rater_scores": [rating], "custom_fields": {"prompt_id": "p"}}
    whole, name, read = {
        "promptfoo": ({"results": {"results": [graded(), graded(1, "s", 0)]}}, "r.json", read_promptfoo),
        "inspect": (json.loads((tmp_path / "i.json").read_text()), "r.json", read_inspect),
        "lm_eval": (json.loads(sample), "samples_t.jsonl", lambda path: read_lm_eval(path, model="m")),
        "arena": (votes, "v.json", read_arena_votes),
        "comparator": (
            {"models": [{"name": "x"}, {"name": "y"}], "examples": [example], "metadata": {}}, "c.json",
            rl.labeling.from_llm_comparator,
        ),
    }[tool]  # fmt: skip
    path = tmp_path / name
    n_refused = 0
    for _ in range(300):
        other = whole
        for _ in range(rng.integers(1, 3)):
            other = changed(other, rng)
        path.write_text(json.dumps(other))
        try:
            read(path)
        except rl.TableError as error:
            n_refused += 1
            assert str(error)
    assert 20 < n_refused < 300
