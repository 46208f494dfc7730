"""The mean of three estimators against each of them: MMLU, RouterBench, CRUX, AlpacaEval, out of fold.

python benchmarks/mean.py [mmlu|routerbench|crux|alpaca ...]    needs the published files (ROUTERLAB_DATA)

Numbers of neighbours and penalties are chosen by cross-validation inside each fold; on MMLU the numbers of neighbours
are those that `benchmarks/mmlu.py` chose with folds of other seeds.
"""

from __future__ import annotations

import sys
import warnings
from typing import Any

import numpy as np
import pandas as pd
from sklearn.linear_model import RidgeCV
from sklearn.pipeline import FeatureUnion, make_pipeline

import routerlab as rl
from routerlab.decision import sweep_estimates
from routerlab.routers import Router
from routerlab.stats import percentile_interval, resample_counts

NAMES = ("OutcomeEmbedder + kNN, layer 3", "kNN, MiniLM + surface", "ridge, strong penalty")


def members(layer_3: int | str = "auto", last: int | str = "auto") -> dict[str, Any]:
    """Return the three estimators, with their numbers of neighbours; each reads prompts."""

    def looks() -> Any:
        parts = [("asked", rl.SentenceEmbedder()), ("surface", rl.SurfaceFeatures())]
        return FeatureUnion(parts, transformer_weights={"surface": 0.5}).set_output(transform="pandas")

    made = (
        make_pipeline(rl.SentenceEmbedder(layer=3), rl.OutcomeEmbedder(), rl.KNNRouter(layer_3)),
        make_pipeline(looks(), rl.KNNRouter(last, weights="similarity")),
        make_pipeline(looks(), Router(RidgeCV(np.logspace(0, 4, 9)))),
    )
    return dict(zip(NAMES, made, strict=True))


def estimates(prompts: pd.Series, quality: pd.DataFrame, cost: pd.DataFrame, **neighbors: Any) -> dict[str, Any]:
    """Estimate out of fold: the mean of members on the same folds is what MeanRouter estimates."""
    found = {n: rl.cross_estimates(r, prompts, quality, cost) for n, r in members(**neighbors).items()}
    mean = tuple(sum(getattr(found[n], part) for n in NAMES) / len(NAMES) for part in ("quality", "cost"))
    return {n: (e.quality, e.cost) for n, e in found.items()} | {"mean of the three": mean}


def apgr_difference(a: pd.Series, b: pd.Series, quality: pd.DataFrame, pair: dict[str, str]) -> tuple[float, ...]:
    """Paired bootstrap over prompts of a difference in APGR."""

    def difference(rows: Any) -> float:
        table = quality.iloc[rows].reset_index(drop=True)
        found = [rl.apgr(rl.call_curve(s.iloc[rows].reset_index(drop=True), table, **pair)) for s in (a, b)]
        return found[0] - found[1]

    counts = np.vstack(list(resample_counts(len(a), 200, 0)))
    draws = [difference(np.repeat(np.arange(len(a)), count.astype(int))) for count in counts]
    return difference(np.arange(len(a))), *percentile_interval(np.array(draws), 0.95, len(a))


def mmlu() -> None:
    """Print APGR and CPT on MMLU."""
    data = rl.fetch_routellm("mmlu")
    quality, cost = rl.pivot_outcomes(data.outcomes)
    pair = {"strong": "gpt-4-1106-preview", "weak": "mistralai/Mixtral-8x7B-Instruct-v0.1"}
    found = estimates(data.prompts.loc[quality.index, "prompt"], quality, cost, layer_3=240, last=120)
    score = {n: e[0][pair["strong"]] - e[0][pair["weak"]] for n, e in found.items()}
    print(f"\nMMLU, n = {len(quality):,}, copies in one fold\n\n| estimator | APGR | CPT(50%) | mean less it, APGR |")
    print("| --- | --- | --- | --- |")
    for name, value in score.items():
        got = rl.call_metrics(value, quality, **pair, targets=[0.5])
        cells = [f"{v.estimate:.3f} [{v.low:.3f}, {v.high:.3f}]" for v in got.values()]
        if name in NAMES:
            ahead = apgr_difference(score["mean of the three"], value, quality, pair)
            cells.append("{:+.3f} [{:+.3f}, {:+.3f}]".format(*ahead))
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


def many(title: str, data: Any, column: str = "prompt") -> None:
    """Print AIQ less that of each member, in points."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        quality, cost = rl.pivot_outcomes(data.outcomes)
        found = estimates(data.prompts.loc[quality.index, column], quality, cost)
    sweeps = {n: sweep_estimates(*e) for n, e in found.items()}
    print(f"\n{title}, n = {len(quality):,}\n\n| against | AIQ of the mean less it, points |\n| --- | --- |")
    for name in (*NAMES, "zero_router"):
        ahead = rl.aiq_difference(sweeps["mean of the three"], sweeps.get(name, name), quality, cost)
        print(f"| {name} | {100 * ahead.estimate:+.2f} [{100 * ahead.low:+.2f}, {100 * ahead.high:+.2f}] |", flush=True)


def main() -> None:
    """Print the tables that the command line names, or all of them."""
    parts = {
        "routerbench": lambda: many("RouterBench", rl.fetch_routerbench(responses=False), "question"),
        "crux": lambda: many("CRUX", rl.fetch_zeroeval("crux")),
        "alpaca": lambda: many("AlpacaEval", rl.fetch_alpaca_eval()),
        "mmlu": mmlu,
    }
    for name in sys.argv[1:] or parts:
        parts[name]()


if __name__ == "__main__":
    main()
