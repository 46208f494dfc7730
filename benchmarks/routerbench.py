"""Routing on RouterBench's train files: 11 models, GPT-4 as baseline, out of fold.

python benchmarks/routerbench.py    needs the published files: ROUTERLAB_DATA, or a download of 7 MB

Settings were chosen with folds shuffled by seeds 1 to 3; the table uses seed 0.
"""

from __future__ import annotations

import warnings
from typing import Any

import pandas as pd
from figures import blind_difference, record

import routerlab as rl
from routerlab.embedding import join_embeddings
from routerlab.schema import DroppedRowsWarning

BASELINE = "gpt-4-1106-preview"
PROTOCOL = "5 folds, copies of a question in one, seed 0; out of fold; 95% intervals over prompts, routers held fixed"


def shown(interval: Any, digits: int = 1) -> str:
    """Format an interval as a cell, in percent or points."""
    estimate, low, high = (f"{100 * v:.{digits}f}" for v in (interval.estimate, interval.low, interval.high))
    return f"{estimate} [{low}, {high}]"


def keep(name: str, figure: Any, n: int | None = None) -> None:
    """Write a figure to the file that all pages read."""
    record(f"routerbench, {name}", figure, n=n, protocol=PROTOCOL, command="python benchmarks/routerbench.py")


def claims(name: str, choices: pd.Series, **options: Any) -> str:
    """Format what held-out choices save and lose, and how many folds kept the baseline."""
    claim = rl.savings(choices, **options, max_quality_loss=0.03)
    saved = (claim.saving, claim.saving_low, claim.saving_high)
    lost = (claim.quality_difference, claim.quality_low, claim.quality_high)
    keep(f"{name}: saving", saved, claim.n)
    keep(f"{name}: quality difference", lost, claim.n)
    saves, loses = ([100 * v for v in triple] for triple in (saved, lost))
    said = f"{saves[0]:.0f} [{saves[1]:.0f}, {saves[2]:.0f}]; {loses[0]:+.1f} [{loses[1]:+.1f}, {loses[2]:+.1f}]"
    mixed = blind_difference(claim.cost_usd, options["quality"], options["cost"], BASELINE)
    keep(f"{name}: quality difference of mixing blindly", mixed, claim.n)
    return f"{said} ({100 * mixed:+.1f}); {choices.attrs['n_kept_baseline']}"


def main() -> None:
    """Print a table of routers."""
    data = rl.fetch_routerbench()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", DroppedRowsWarning)
        quality, cost = rl.pivot_outcomes(data.outcomes)
    prompts = data.prompts.loc[quality.index]
    # Not the prompts: their five worked examples fill the model's window, and all prompts of a task get one vector.
    questions = prompts["question"]
    asked = rl.SentenceEmbedder().fit_transform(questions)
    joined = join_embeddings(asked, rl.SurfaceFeatures().fit_transform(questions))
    length = prompts.groupby("dataset")["question"].transform(lambda q: pd.qcut(q.str.len(), 3, labels=False))
    by_length = prompts["dataset"] + ", third " + length.astype(str)
    routers = {
        "RouterBench's kNN (k = 40, unweighted, mean costs)": (rl.KNNRouter(40, cost_estimate="mean"), asked, None),
        "the same with surface features of the question": (rl.KNNRouter(40, cost_estimate="mean"), joined, None),
        "kNN, k = 200": (rl.KNNRouter(200), joined, None),
        "intents = data set": (rl.IntentRouter(15), joined, prompts["dataset"]),
        "intents = data set x third of length": (rl.IntentRouter(40), joined, by_length),
    }
    sweeps = {
        name: rl.cross_sweep(router, X, quality, cost, intents=intents, prompts=questions)
        for name, (router, X, intents) in routers.items()
    }
    peer = {True: next(iter(sweeps.values())), False: sweeps["the same with surface features of the question"]}
    print(f"n = {len(quality):,} prompts, {quality.shape[1]} models, 5 folds; {[str(w.message) for w in caught]}")
    print(f"GPT-4 alone: quality {quality[BASELINE].mean():.4f}, {1000 * cost[BASELINE].mean():.3f} USD per 1,000\n")
    head = (
        "router",
        "promise of 3 points at 95%, held out: saving, %; quality difference, points (mixing blindly at that cost); "
        "folds of 5 that kept GPT-4",
        "estimate of 1 point, held out: the same",
        "in hindsight, saving at GPT-4's quality less 1 point, % (mixing blindly)",
        "in hindsight, saving at GPT-4's quality, % (mixing blindly)",
        "AIQ less zero router's, points",
        "AIQ less that of kNN (k = 40) on the same embeddings, points",
    )
    print(f"| {' | '.join(head)} |\n|{' --- |' * len(head)}")
    for name, (router, X, intents) in routers.items():
        options = {"quality": quality, "cost": cost, "baseline": BASELINE}
        held = {"router": router, "X": X, "intents": intents, "prompts": questions, **options}
        promised = rl.held_out_choices(**held, max_quality_loss=0.03, guarantee=0.95)
        cells = [claims(f"{name}, promise of 3 points", promised, **options)]
        cells.append(
            claims(f"{name}, estimate of 1 point", rl.held_out_choices(**held, max_quality_loss=0.01), **options)
        )
        for margin in (0.01, 0.0):
            found = rl.saving_at_parity(sweeps[name], **options, max_quality_loss=margin)
            keep(f"{name}: saving at parity in hindsight, margin {margin:g}", found)
            cells.append(f"{shown(found, 0)} ({100 * found.blind:.0f})")
        for what, against in {"zero router": "zero_router", "kNN (k = 40)": peer[X is asked]}.items():
            if sweeps[name] is against:
                cells.append("reference")
                continue
            ahead = rl.aiq_difference(sweeps[name], against, quality, cost)
            keep(f"{name}: AIQ less {what}", ahead)
            cells.append(shown(ahead))
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
