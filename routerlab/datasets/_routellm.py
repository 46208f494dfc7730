"""RouteLLM's benchmarks: a strong and a weak model on MMLU, MT-Bench and GSM8K."""

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from routerlab.datasets._dataset import Dataset, long_table, stamp
from routerlab.datasets._files import (
    PublishedFile,
    correctness,
    csv_table,
    in_folder,
    json_lines,
    malformed,
    read_published,
    registry,
    require_columns,
)
from routerlab.pricing import add_cost, estimate_tokens
from routerlab.schema import refuse_parameter

FOLDER = "lm-sys/RouteLLM/routellm/evals"
WEAK, STRONG = "mistralai/Mixtral-8x7B-Instruct-v0.1", "gpt-4-1106-preview"
MODELS = (WEAK, STRONG)
# USD per 1M tokens (input, output). For a request of 95 input and 264 output tokens these are, on average over its
# tokens, the $0.24 and $24.7 per 1M that RouteLLM publishes.
PRICES = {WEAK: (0.24, 0.24), STRONG: (10.0, 30.0)}
COST_NOTE = (
    "cost_usd is an estimate, not a measurement: tokens = characters / 4, "
    "at $10 (input) and $30 (output) per 1M tokens of GPT-4 Turbo and $0.24 of Mixtral 8x7B"
)


def fetch_routellm(benchmark: str = "mmlu") -> Dataset:
    """Fetch a benchmark of RouteLLM: quality of GPT-4 Turbo and Mixtral 8x7B on the same prompts.

    Read from the folder that ``ROUTERLAB_DATA`` names (laid out ``<owner>/<repository>/<path>``) if it holds the
    files, else from the cache, else downloaded into the cache (8 MB, 1.5 MB and 1.3 MB).

    Parameters
    ----------
    benchmark : {'mmlu', 'mt_bench', 'gsm8k'}, default 'mmlu'
        'mmlu': 14,042 questions, quality 1 if answered correctly; the intent is the subject.
        'mt_bench': 80 questions of two turns, judged by GPT-4 from 1 to 10; quality is the mean of both turns / 10, as
        RouteLLM averages them. ``extra["turns"]`` holds each turn.
        'gsm8k': 1,319 word problems with responses, quality 1 if answered correctly. We have not seen this file whole:
        its commit is pinned, and its number of characters, columns and rows are checked, not its sha256.

    Returns
    -------
    Dataset
        ``prompts`` (with ``intent``, except gsm8k); ``outcomes`` of two models; ``responses``, except mmlu. Baseline:
        'gpt-4-1106-preview'.

    Raises
    ------
    DataFileError
        A file that is absent with no network, or is not what was published.
    ValueError
        An unknown benchmark.

    Notes
    -----
    RouteLLM publishes no costs and measures by the share of strong calls. ``cost_usd`` is estimated, and
    ``outcomes.attrs["cost_note"]`` says how: characters / 4 as tokens (one output token on mmlu, whose answer is a
    letter; on mt_bench the second turn is sent with the first), at $10 / $30 per 1M input / output tokens of GPT-4
    Turbo and $0.24 of Mixtral. RouteLLM publishes one average for each, $24.7 and $0.24 per 1M tokens; a request of 95
    input and 264 output tokens gives just these, and questions with one-letter answers cost GPT-4 Turbo less.

    All prompts are kept; RouteLLM's own figures leave out those that it found in its training data (12 of gsm8k).
    105 of mmlu's questions repeat an earlier one word for word: group by ``prompt`` when a split must not leak.

    References
    ----------
    Ong et al. (2024), RouteLLM, https://arxiv.org/abs/2406.18665

    Examples
    --------
    >>> mmlu = fetch_routellm("mmlu")  # doctest: +SKIP
    >>> mmlu.outcomes.groupby("model")["quality"].mean()  # doctest: +SKIP
    """
    readers = {"mmlu": _mmlu, "mt_bench": _mt_bench, "gsm8k": _gsm8k}
    if benchmark not in readers:
        refuse_parameter("benchmark", f"one of {', '.join(readers)}", benchmark, "fetch_routellm")
    return readers[benchmark]()


def _dataset(name: str, files: Sequence[PublishedFile], prompts: pd.DataFrame, **parts: Any) -> Dataset:
    """Stamp the tables and wrap them, as all three benchmarks do."""
    commit = files[0].commit
    provenance = f"published: {name} (lm-sys/RouteLLM@{commit[:7]}); cost_usd estimated from list prices"
    tables = [parts[name] for name in ("responses", "outcomes") if parts.get(name) is not None]
    stamp(provenance, prompts, *tables, cost_note=COST_NOTE)
    citation = f"Ong et al. (2024), RouteLLM, arXiv:2406.18665; {parts.pop('citation')}"
    return Dataset(
        f"RouteLLM {name}",
        prompts,
        baseline=STRONG,
        source=f"https://github.com/lm-sys/RouteLLM/tree/{commit}/routellm/evals",
        licence="Apache-2.0",
        citation=citation,
        notes=[COST_NOTE, *parts.pop("notes", ())],
        **parts,
    )


def _mmlu() -> Dataset:
    files = in_folder(f"{FOLDER}/mmlu/responses", ".csv")
    frames = []
    for text, file in zip(read_published(files, "RouteLLM MMLU"), files, strict=True):
        frame = csv_table(text, file, ["prompt", *MODELS])
        subject = file.path.rsplit("/mmlu_", 1)[-1].removesuffix(".csv")
        frame["intent"], frame["prompt_id"] = subject, [f"mmlu/{subject}/{row}" for row in range(len(frame))]
        frames.append(frame.assign(**{model: correctness(frame[model], file) for model in MODELS}))
    frame = pd.concat(frames).set_index("prompt_id")
    tokens = estimate_tokens(frame["prompt"])
    cost = np.column_stack([(tokens * rate_in + rate_out) / 1e6 for rate_in, rate_out in PRICES.values()])
    return _dataset(
        "MMLU",
        files,
        frame[["prompt", "intent"]],
        outcomes=long_table(frame.index, MODELS, quality=frame[list(MODELS)], cost_usd=cost),
        description="MMLU questions with the correctness of GPT-4 Turbo and Mixtral 8x7B; intents are subjects",
        citation="Hendrycks et al. (2021), MMLU, arXiv:2009.03300",
        notes=[f"{int(frame['prompt'].duplicated().sum()):,} questions repeat an earlier one word for word"],
    )


def _gsm8k() -> Dataset:
    files = [registry()[f"{FOLDER}/gsm8k/gsm8k_responses.csv"]]
    # This file spells Mixtral in lower case, and its commits differ on whether its organisation stands before it.
    short = WEAK.split("/")[1].lower()
    frame = csv_table(read_published(files, "RouteLLM GSM8K")[0], files[0], ["prompt"])
    frame = frame.rename(columns=lambda name: re.sub(f"^(mistralai/)*(?={re.escape(short)})", "", name, flags=re.I))
    frame = frame.rename(columns=lambda name: re.sub(re.escape(short), short, name, flags=re.I))
    names = {short: WEAK, STRONG: STRONG}
    require_columns(frame, files[0], [f"{name}{suffix}" for suffix in ("", "_response") for name in names])
    frame.index = pd.Index([f"gsm8k/{row}" for row in range(len(frame))], name="prompt_id")
    quality = np.column_stack([correctness(frame[name], files[0]) for name in names])
    responses = long_table(frame.index, MODELS, response=frame[[f"{name}_response" for name in names]])
    responses["input_tokens"] = estimate_tokens(frame["prompt"]).repeat(len(MODELS)).to_numpy()
    responses["output_tokens"] = estimate_tokens(responses["response"])
    responses = add_cost(responses, PRICES)
    return _dataset(
        "GSM8K",
        files,
        frame[["prompt"]],
        responses=responses,
        outcomes=responses[["prompt_id", "model", "cost_usd"]].assign(quality=quality.ravel()),
        description="Grade-school word problems with the responses and correctness of GPT-4 Turbo and Mixtral 8x7B",
        citation="Cobbe et al. (2021), GSM8K, arXiv:2110.14168",
    )


def _mt_bench() -> Dataset:
    files = [registry()[f"{FOLDER}/mt_bench/{name}.jsonl"] for name in ("question", "judgements")]
    texts = read_published(files, "RouteLLM MT-Bench")
    questions = {q["question_id"]: q for q in json_lines(texts[0], files[0], ["question_id", "category", "turns"])}
    prompts = pd.DataFrame(
        [("\n\n".join(q["turns"]), q["category"]) for q in questions.values()],
        index=pd.Index([f"mt_bench/{key}" for key in questions], name="prompt_id"),
        columns=["prompt", "intent"],
    )
    turns = _mt_bench_turns(texts[1], files[1], questions)
    both = turns.groupby(["prompt_id", "model"], sort=False)
    # A question counts only if both of its turns were scored.
    quality = both["quality"].mean().where(both["quality"].count() == 2)
    sums = both[["input_tokens", "output_tokens"]].sum()
    responses = add_cost(sums.assign(response=both["response"].agg("\n\n".join)).reset_index(), PRICES)
    outcomes = responses[["prompt_id", "model", "cost_usd"]].assign(quality=quality.to_numpy())
    return _dataset(
        "MT-Bench",
        files,
        prompts,
        responses=responses,
        outcomes=outcomes,
        extra={"turns": turns},
        description="Two-turn questions judged by GPT-4 from 1 to 10; quality is the mean score / 10",
        citation="Zheng et al. (2023), MT-Bench, arXiv:2306.05685",
        notes=["prompt and response join the two turns by a blank line; extra['turns'] holds each"],
    )


def _mt_bench_turns(text: str, file: PublishedFile, questions: dict[int, dict[str, Any]]) -> pd.DataFrame:
    """One row for each (question, model, turn): score, the response that was judged, estimated tokens."""
    keys = ["question_id", "model", "turn", "score", "judge", "user_prompt"]
    rows: dict[tuple[int, str, int], dict[str, Any]] = {}
    # First turns first: the judge's prompt for a second turn repeats them.
    for record in sorted(json_lines(text, file, keys), key=lambda record: record["turn"]):
        question_id, model, turn, score = (record[k] for k in ("question_id", "model", "turn", "score"))
        known = question_id in questions and model in MODELS and turn in (1, 2)
        in_order = known and all(((question_id, model, t) in rows) == (t < turn) for t in (1, 2))
        if not in_order:
            raise malformed(
                file, f"question {question_id!r}, turn {turn!r} of {model!r} is unknown, twice or without turn 1"
            )
        if score != -1 and not 1 <= score <= 10:
            raise malformed(file, f"the score of question {question_id} should be 1 to 10 or -1, got {score!r}")
        asked = questions[question_id]["turns"]
        history = "" if turn == 1 else asked[0] + rows[question_id, model, 1]["response"]
        response = _judged_response(record, asked, file)
        rows[question_id, model, turn] = {
            "prompt_id": f"mt_bench/{question_id}",
            "model": model,
            "turn": turn,
            "score": float("nan") if score == -1 else float(score),
            "judge": "/".join(record["judge"]),
            "response": response,
            "input_text": history + asked[turn - 1],
        }
    order = sorted(rows, key=lambda key: (key[0], MODELS.index(key[1]), key[2]))
    frame = pd.DataFrame([rows[key] for key in order])
    frame.insert(4, "quality", frame["score"] / 10)
    frame["input_tokens"] = estimate_tokens(frame.pop("input_text"))
    frame["output_tokens"] = estimate_tokens(frame["response"])
    return frame


def _judged_response(record: dict[str, Any], asked: Sequence[str], file: PublishedFile) -> str:
    """Cut the response out of the prompt that the judge was given."""
    if record["turn"] == 1:
        start, end = "[The Start of Assistant's Answer]\n", "\n[The End of Assistant's Answer]"
    else:
        start = f"### User:\n{asked[1]}\n\n### Assistant A:\n"
        end = "\n\n<|The End of Assistant A's Conversation with User|>"
    _, found, rest = record["user_prompt"].rpartition(start)
    response, closed, _ = rest.rpartition(end)
    if not (found and closed):
        raise malformed(file, f"the judge's prompt of question {record['question_id']} holds no assistant's response")
    return response
