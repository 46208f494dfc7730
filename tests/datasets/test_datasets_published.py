"""The published files, read whole: sizes, published averages, and an independent reading of the text."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

import routerlab as rl

pytestmark = [pytest.mark.realdata, pytest.mark.usefixtures("published_data")]
STRONG, WEAK = "gpt-4-1106-preview", "mistralai/Mixtral-8x7B-Instruct-v0.1"
# AlpacaEval 2's leaderboard, win rate in percent.
LEADERBOARD = {
    "Mixtral-8x7B-Instruct-v0.1_concise": 13.74,
    "OpenHermes-2.5-Mistral-7B": 10.34,
    "claude-2.1": 15.73,
    "claude-instant-1.2": 16.13,
    "gemma-2b-it": 3.40,
    "gemma-7b-it": 6.94,
    "gpt-3.5-turbo-1106": 9.18,
    "gpt4_0613_concise": 9.40,
    "phi-2-sft": 3.98,
    "vicuna-13b-v1.5-togetherai": 6.96,
}


def test_routerbench() -> None:
    data = rl.fetch_routerbench()
    assert data.prompts["dataset"].value_counts().to_dict() == {"arc_challenge": 1039, "winograde": 887, "mbpp": 299}
    assert len(data.models) == 11
    assert len(data.outcomes) == len(data.responses) == 2225 * 11
    with pytest.warns(rl.DroppedRowsWarning, match="left out 20 of 2,225"):
        quality, cost = rl.pivot_outcomes(data.outcomes)
    assert quality.mean().idxmax() == data.baseline == STRONG
    assert cost.mean().idxmax() == STRONG
    assert (cost > 0).all(axis=None)
    assert data.outcomes["quality"].isna().sum() == 92
    repeated = data.prompts[data.prompts["sample_id"].duplicated(keep=False)]
    assert len(repeated) == 14
    assert data.prompts["question"].str.len().max() < 1100
    assert data.prompts["question"].nunique() == data.prompts["sample_id"].nunique()


def test_mmlu(published_data: Path) -> None:
    data = rl.fetch_routellm("mmlu")
    quality, cost = rl.pivot_outcomes(data.outcomes)
    assert (len(data.prompts), data.prompts["intent"].nunique()) == (14042, 57)
    assert quality[STRONG].mean() == pytest.approx(0.8058, abs=5e-5)
    assert quality[WEAK].mean() == pytest.approx(0.6808, abs=5e-5)
    assert quality.max(axis=1).mean() == pytest.approx(0.8586, abs=5e-5)
    assert 40 < cost[STRONG].sum() / cost[WEAK].sum() < 103
    folder = published_data / "lm-sys/RouteLLM/routellm/evals/mmlu/responses"
    rows = {f"mmlu/{p.stem[5:]}/{i}": row for p in folder.glob("*.csv") for i, row in enumerate(_csv(p))}
    assert data.prompts["prompt"].to_dict() == {key: row["prompt"] for key, row in rows.items()}
    assert quality[WEAK].astype(bool).astype(str).to_dict() == {key: row[WEAK] for key, row in rows.items()}


def _csv(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def test_mt_bench() -> None:
    data = rl.fetch_routellm("mt_bench")
    quality = rl.pivot_outcomes(data.outcomes).quality.mean()
    assert (len(data.prompts), data.prompts["intent"].nunique(), len(data.extra["turns"])) == (80, 8, 320)
    # The means of 160 scores of each model, out of 10.
    assert quality[STRONG] == pytest.approx(0.9228125)
    assert quality[WEAK] == pytest.approx(0.8340625)
    markers = "The Start of|The End of|### Assistant A:|### User:"
    assert not data.extra["turns"]["response"].str.contains(markers).any()


def test_alpaca_eval(published_data: Path) -> None:
    with pytest.warns(rl.UnknownPriceWarning) as caught:
        data = rl.fetch_alpaca_eval()
    assert len(caught) == 1
    assert (len(data.prompts), len(data.judgments), len(data.outcomes)) == (805, 8050, 8855)
    quality = data.outcomes.groupby("model")["quality"].mean()
    assert quality.pop(data.baseline) == 0.5
    assert (100 * quality).round(2).to_dict() == pytest.approx(LEADERBOARD, abs=0.011)
    file = published_data / "tatsu-lab/alpaca_eval/results/phi-2-sft/weighted_alpaca_eval_gpt4_turbo/annotations.json"
    raw = json.loads(file.read_text("utf-8"))
    responses = data.responses[data.responses["model"] == "phi-2-sft"].set_index("prompt_id")["response"]
    assert responses.reindex(data.prompts.index).tolist() == [r["output_2"] for r in raw]
    priced = rl.fetch_alpaca_eval(["claude-2.1", "gpt-3.5-turbo-1106", "gpt4_0613_concise"])
    assert len(rl.pivot_outcomes(priced.outcomes).quality) == 805


def test_auto_j_intents(published_data: Path) -> None:
    prompts = rl.fetch_auto_j("intents").prompts
    assert (len(prompts), prompts["intent"].nunique()) == (2383, 59)
    file = published_data / "GAIR-NLP/auto-j/other_resources/scenario_classifier_data/traindata.jsonl"
    raw = [json.loads(line) for line in file.read_bytes().decode().split("\n") if line]
    # Non-English text, code and markup come through whole.
    assert [p.split(r["instruction"], 1)[0] for p, r in zip(prompts["prompt"], raw, strict=True)] == [""] * 2383
    assert [p.endswith(r["input"]) for p, r in zip(prompts["prompt"], raw, strict=True)] == [True] * 2383
    assert prompts["prompt"].map(len).sum() == sum(len(r["instruction"] + r["input"]) + bool(r["input"]) for r in raw)


def test_auto_j_pairs() -> None:
    data = rl.fetch_auto_j("pairs")
    assert data.judgments["winner"].value_counts().to_dict() == {"model_a": 520, "model_b": 499, "tie": 373}
    assert (len(data.prompts), data.prompts["intent"].nunique()) == (1392, 58)
    assert data.prompts["same_prompt_as"].nunique() == data.prompts["prompt"].nunique() == 1182


def test_pulze_example() -> None:
    data = rl.fetch_pulze_example()
    embeddings, scores = data.extra["embeddings"], data.extra["scores"]
    assert (embeddings.shape, scores.shape, len(data.prompts)) == ((10, 384), (10, 2), 10)
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1.0, atol=1e-5)
    agents = data.prompts["intent"] + "-agent"
    assert (scores.idxmax(axis=1) == agents).all()
    assert scores.notna().sum(axis=1).eq(1).all()


# Right answers by our comparison; the files say nothing of them.
ZEROEVAL = {
    "crux": {"claude-3-5-sonnet-20241022": 683, "gpt-4o-2024-08-06": 698, "Meta-Llama-3.1-8B-Instruct": 331},
    "math-l5": {"claude-3-5-sonnet-20241022": 426, "gpt-4o-2024-08-06": 397, "Meta-Llama-3.1-8B-Instruct": 157},
}


@pytest.mark.parametrize(("benchmark", "n"), [("crux", 800), ("math-l5", 721)])
def test_zeroeval(benchmark: str, n: int) -> None:
    data = rl.fetch_zeroeval(benchmark)
    quality, cost = rl.pivot_outcomes(data.outcomes)
    assert quality.shape == (n, 8)
    assert (cost > 0).all(axis=None)
    right = quality.sum().astype(int)
    assert right[list(ZEROEVAL[benchmark])].to_dict() == ZEROEVAL[benchmark]
