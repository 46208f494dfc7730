"""The mean of three estimators against each of them: MMLU, RouterBench, CRUX, AlpacaEval, out of fold.

python benchmarks/mean.py [mmlu|shuffles|routerbench|crux|alpaca ...]    needs the published files (ROUTERLAB_DATA)

Numbers of neighbours and penalties are chosen by cross-validation inside each fold; on MMLU the numbers of neighbours
are those that `benchmarks/mmlu.py` chose with folds of other seeds.
"""

from __future__ import annotations

import sys
import warnings
from typing import Any

import numpy as np
import pandas as pd
from figures import record
from sklearn.linear_model import RidgeCV
from sklearn.pipeline import FeatureUnion, make_pipeline

import routerlab as rl
from routerlab.decision import sweep_estimates
from routerlab.routers import Router
from routerlab.stats import percentile_interval, resample_counts

NAMES = ("OutcomeEmbedder + kNN, layer 3", "kNN, MiniLM + surface", "ridge, strong penalty")
MEANS = {"mean of the three": NAMES, "mean of the two kNN": NAMES[:2]}
PROTOCOL = "5 folds, copies in one, seed 0; out of fold; 95% intervals over prompts, routers held fixed"


def keep(name: str, figure: Any, n: int | None = None) -> None:
    """Write a figure to the file that all pages read."""
    record(f"mean, {name}", figure, n=n, protocol=PROTOCOL, command="python benchmarks/mean.py")


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
    means = {
        name: tuple(sum(getattr(found[n], part) for n in names) / len(names) for part in ("quality", "cost"))
        for name, names in MEANS.items()
    }
    return {n: (e.quality, e.cost) for n, e in found.items()} | means


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
    head = ("estimator", "APGR", "CPT(50%)", *(f"{name} less it, APGR" for name in MEANS))
    print(f"\nMMLU, n = {len(quality):,}\n\n| {' | '.join(head)} |\n|{' --- |' * len(head)}")
    for name, value in score.items():
        got = rl.call_metrics(value, quality, **pair, targets=[0.5])
        cells = []
        for metric, v in got.items():
            keep(f"MMLU, {name}: {metric}", v)
            cells.append(f"{v.estimate:.3f} [{v.low:.3f}, {v.high:.3f}]")
        for mean, names in MEANS.items():
            ahead = apgr_difference(score[mean], value, quality, pair) if name in names else None
            cells.append("" if ahead is None else "{:+.3f} [{:+.3f}, {:+.3f}]".format(*ahead))
            if ahead is not None:
                keep(f"MMLU, {mean} less {name}, APGR", ahead, len(quality))
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


def shuffles(n_shuffles: int = 4) -> None:
    """Print APGR of the two kNN and of their mean on MMLU, on folds of several seeds."""
    data = rl.fetch_routellm("mmlu")
    quality, cost = rl.pivot_outcomes(data.outcomes)
    texts = data.prompts.loc[quality.index, "prompt"]
    strong, weak = "gpt-4-1106-preview", "mistralai/Mixtral-8x7B-Instruct-v0.1"
    parts = [rl.SentenceEmbedder().fit_transform(texts), rl.SurfaceFeatures().fit_transform(texts)]
    members = {
        NAMES[0]: (
            rl.SentenceEmbedder(layer=3).fit_transform(texts),
            make_pipeline(rl.OutcomeEmbedder(), rl.KNNRouter(240)),
        ),
        NAMES[1]: (rl.join_embeddings(*parts, weights=[1, 0.5]), rl.KNNRouter(120, weights="similarity")),
    }
    rows = []
    print(
        f"\nMMLU, folds of {n_shuffles} seeds\n\n| seed | {' | '.join(NAMES[:2])} | mean of the two |\n|{' --- |' * 4}"
    )
    for seed in range(n_shuffles):
        gaps = []
        for features, router in members.values():
            found = rl.cross_estimates(router, features, quality, cost, prompts=texts, random_state=seed).quality
            gaps.append(found[strong] - found[weak])
        gaps.append(gaps[0] + gaps[1])
        rows.append([rl.apgr(rl.call_curve(gap, quality, strong=strong, weak=weak)) for gap in gaps])
        print(f"| {seed} | {' | '.join(f'{value:.4f}' for value in rows[-1])} |", flush=True)
    means, spread = np.mean(rows, axis=0), np.std(rows, axis=0, ddof=1)
    for name, mean in zip((*NAMES[:2], "mean of the two kNN"), means, strict=True):
        keep(f"MMLU, {name}: APGR, mean of {n_shuffles} shuffles", float(mean), len(quality))
    print(f"| mean (sd) | {' | '.join(f'{m:.4f} ({s:.4f})' for m, s in zip(means, spread, strict=True))} |")


def many(title: str, data: Any, column: str = "prompt") -> None:
    """Print AIQ less that of each member, in points."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        quality, cost = rl.pivot_outcomes(data.outcomes)
        found = estimates(data.prompts.loc[quality.index, column], quality, cost)
    sweeps = {n: sweep_estimates(*e) for n, e in found.items()}
    head = ("against", *(f"AIQ of the {mean} less it, points" for mean in MEANS))
    print(f"\n{title}, n = {len(quality):,}\n\n| {' | '.join(head)} |\n|{' --- |' * len(head)}")
    for name in (*NAMES, "zero_router"):
        cells = []
        for mean in MEANS:
            ahead = rl.aiq_difference(sweeps[mean], sweeps.get(name, name), quality, cost)
            keep(f"{title}, {mean} less {name}, AIQ", ahead)
            cells.append(f"{100 * ahead.estimate:+.2f} [{100 * ahead.low:+.2f}, {100 * ahead.high:+.2f}]")
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


def priced() -> Any:
    """AlpacaEval's models that have a price, and its baseline."""
    everything = rl.fetch_alpaca_eval()
    named = everything.outcomes.dropna(subset="cost_usd")["model"].unique()
    return rl.fetch_alpaca_eval([model for model in named if model != everything.baseline])


def main() -> None:
    """Print the tables that the command line names, or all of them."""
    parts = {
        "routerbench": lambda: many("RouterBench", rl.fetch_routerbench(responses=False), "question"),
        "crux": lambda: many("CRUX", rl.fetch_zeroeval("crux")),
        "alpaca": lambda: many("AlpacaEval", priced()),
        "mmlu": mmlu,
        "shuffles": shuffles,
    }
    for name in sys.argv[1:] or parts:
        parts[name]()


if __name__ == "__main__":
    main()
