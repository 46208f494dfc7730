"""Routing on RouterBench's train files: 11 models, GPT-4 as baseline, out of fold.

python benchmarks/routerbench.py    needs the published files: ROUTERLAB_DATA, or a download of 7 MB

Settings were chosen with folds shuffled by seeds 1 to 3; the table uses seed 0.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
from sklearn.model_selection import KFold

import routerlab as rl
from routerlab.embedding import join_embeddings
from routerlab.schema import DroppedRowsWarning

BASELINE = "gpt-4-1106-preview"
MARGIN = 0.01


def shown(interval: Any, times: float = 1, digits: int = 1) -> str:
    """Format an interval as a cell."""
    values = (times * v for v in (interval.estimate, interval.low, interval.high))
    estimate, low, high = (f"{v:.{digits}f}" for v in values)
    return f"{estimate} [{low}, {high}]"


def main() -> None:
    """Print a table of routers."""
    data = rl.fetch_routerbench()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", DroppedRowsWarning)
        quality, cost = rl.pivot_outcomes(data.outcomes)
    prompts = data.prompts.loc[quality.index]
    # Not the prompts: their five worked examples fill the model's window, and all prompts of a task get one vector.
    asked = rl.SentenceEmbedder().fit_transform(prompts["question"])
    joined = join_embeddings(asked, rl.SurfaceFeatures().fit_transform(prompts["question"]))
    length = prompts.groupby("dataset")["question"].transform(lambda q: pd.qcut(q.str.len(), 3, labels=False))
    by_length = prompts["dataset"] + ", third " + length.astype(str)
    routers = {
        "RouterBench's kNN (k = 40, unweighted, mean costs)": (rl.KNNRouter(40, cost_estimate="mean"), asked, None),
        "the same with the question's looks": (rl.KNNRouter(40, cost_estimate="mean"), joined, None),
        "kNN, k = 200": (rl.KNNRouter(200), joined, None),
        "intents = data set": (rl.IntentRouter(15), joined, prompts["dataset"]),
        "intents = data set x third of length": (rl.IntentRouter(40), joined, by_length),
    }
    folds = list(KFold(5, shuffle=True, random_state=0).split(joined))
    sweeps = {
        name: rl.cross_sweep(router, X, quality, cost, intents=intents, cv=folds)
        for name, (router, X, intents) in routers.items()
    }
    theirs = next(iter(sweeps.values()))
    peer = {True: theirs, False: sweeps["the same with the question's looks"]}
    print(f"n = {len(quality):,} prompts, {quality.shape[1]} models, 5 folds; {[str(w.message) for w in caught]}")
    print(f"GPT-4 alone: quality {quality[BASELINE].mean():.4f}, {1000 * cost[BASELINE].mean():.3f} USD per 1,000\n")
    head = (
        "router",
        "cost at GPT-4's quality less 1 point, %",
        "cost at GPT-4's quality, %",
        "held-out claim: saving, %; quality difference, points",
        "AIQ less zero router's, points",
        "AIQ less that of kNN (k = 40) on the same embeddings, points",
    )
    print(f"| {' | '.join(head)} |\n|{' --- |' * len(head)}")
    for name, (router, X, intents) in routers.items():
        options = {"quality": quality, "cost": cost, "baseline": BASELINE}
        near, level = (rl.saving_at_parity(sweeps[name], **options, margin=m) for m in (MARGIN, 0.0))
        choices = rl.held_out_choices(router, X, **options, intents=intents, max_quality_loss=MARGIN)
        claim = rl.savings(choices, **options, margin=MARGIN)
        zero = rl.aiq_difference(sweeps[name], "zero_router", quality, cost)
        ahead = rl.aiq_difference(sweeps[name], peer[X is asked], quality, cost)
        costs = [
            f"{100 * (1 - s.estimate):.0f} [{100 * (1 - s.high):.0f}, {100 * (1 - s.low):.0f}]" for s in (near, level)
        ]
        said = (
            f"{100 * claim.saving:.0f} [{100 * claim.saving_low:.0f}, {100 * claim.saving_high:.0f}]; "
            f"{100 * claim.quality_difference:+.1f} [{100 * claim.quality_low:+.1f}, {100 * claim.quality_high:+.1f}]"
        )
        print(f"| {name} | {costs[0]} | {costs[1]} | {said} | {shown(zero, 100)} | {shown(ahead, 100)} |", flush=True)


if __name__ == "__main__":
    np.set_printoptions(legacy="1.25")
    main()
