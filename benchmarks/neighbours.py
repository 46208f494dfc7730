"""Approximate neighbours among a million training prompts: recall, speed, and what they do to savings.

python benchmarks/neighbours.py             1,000,000 training prompts (3 GB of memory)
python benchmarks/neighbours.py 5000000     five times as many (20 GB)
python benchmarks/neighbours.py 5000000 out/5m    the same; vectors and graph are kept there, and used where they exist

Training prompts are MMLU's, embedded by MiniLM, and copies of them, each moved by a Gaussian of its own among the
directions to the 20 real neighbours of its prompt: along directions in which real prompts differ. How far is set by
bisection, for the median distance of training prompts to their 20th neighbour to be that of real prompts; the command
prints quartiles of both. Copies keep the outcomes of their source. Queries are real prompts, and no copy of them is
among the training prompts.
"""

from __future__ import annotations

import os
import sys
import time
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
from figures import record

import routerlab as rl
from routerlab.neighbors import UsearchIndex, nearest, recall
from routerlab.schema import unit_rows

N_NEIGHBORS, K_ROUTER, N_QUERIES, N_EXACT, N_TIMED = 20, 160, 2000, 256, 64
STRONG = "gpt-4-1106-preview"


def copies(real: np.ndarray, near: np.ndarray, source: np.ndarray, scale: float, seed: int = 1) -> np.ndarray:
    """Move prompts at random among the directions to their real neighbours."""
    rng, moved = np.random.default_rng(seed), np.empty((len(source), real.shape[1]), dtype=np.float32)
    for start in range(0, len(source), 4000):
        rows = source[start : start + 4000]
        ways = real[near[rows]] - real[rows, None]
        weight = rng.normal(size=(len(rows), 1, near.shape[1])).astype(np.float32) * np.float32(scale)
        moved[start : start + 4000] = unit_rows(real[rows] + (weight @ ways)[:, 0])
    return moved


def far(queries: np.ndarray, train: np.ndarray, skip: int) -> np.ndarray:
    """Quartiles of the cosine distance to the 1st and to the 20th neighbour; `skip` 1 where queries are in `train`."""
    similarity, _ = nearest(queries, train, N_NEIGHBORS + skip)
    return np.quantile(1 - similarity[:, [skip, -1]], [0.25, 0.5, 0.75], axis=0).T


def calibrated(real: np.ndarray, near: np.ndarray, n_copies: int, wanted: float) -> float:
    """Find the scale by bisection, on the copies of some prompts and of their neighbours."""
    rng = np.random.default_rng(2)
    centre = rng.choice(len(real), 60 if n_copies < 200 else 20, replace=False)
    some = np.union1d(near[centre], centre)
    source, own = np.repeat(some, n_copies), np.repeat(np.isin(some, centre), n_copies)
    low, high = 0.0, 1.5  # beyond, only the directions count
    for _ in range(9):
        middle = (low + high) / 2
        moved = copies(real, near, source, middle)
        median = far(moved[own][rng.permutation(own.sum())[:300]], moved, 1)[1, 1]
        low, high = (middle, high) if median < wanted else (low, middle)
    return (low + high) / 2


def main(n: int, kept_at: str = "") -> None:
    """Print two tables."""
    data = rl.fetch_routellm("mmlu")
    quality, cost = rl.pivot_outcomes(data.outcomes)
    prompts = data.prompts["prompt"].loc[quality.index].drop_duplicates()
    quality, cost = quality.loc[prompts.index], cost.loc[prompts.index]
    real = rl.SentenceEmbedder().fit_transform(prompts).to_numpy()
    order = np.random.default_rng(0).permutation(len(real))
    asked, kept = order[:N_QUERIES], order[N_QUERIES:]
    queries, real = real[asked], real[kept]
    near = nearest(real, real, N_NEIGHBORS + 1)[1][:, 1:]
    wanted = far(real[:500], real, 1)
    source = np.arange(n) % len(real)
    if kept_at and os.path.exists(f"{kept_at}.npy"):
        train = np.load(f"{kept_at}.npy")
    else:
        scale = calibrated(real, near, n // len(real), wanted[1, 1])
        print(f"copies moved by {scale:.2f}")
        train = copies(real, near, source, scale)
        if kept_at:
            np.save(f"{kept_at}.npy", train)
    outcomes = (table.iloc[kept].iloc[source].reset_index(drop=True) for table in (quality, cost))
    known_quality, known_cost = outcomes
    router = rl.KNNRouter(K_ROUTER).fit(train, known_quality, cost=known_cost)
    train = router.embeddings_
    got = far(train[np.random.default_rng(3).integers(n, size=200)], train, 1)
    print(f"{n:,} training prompts from {len(real):,}; quartiles:")
    asked_for = [far(queries[:200], some, 0) for some in (real, train)]
    of = ("real prompts", "training prompts", "queries among real prompts", "queries among training prompts")
    for name, rows in zip(of, (wanted, got, *asked_for), strict=True):
        quartiles = ["/".join(f"{v:.3f}" for v in row) for row in rows]
        print(f"{name}: distance to the 1st neighbour {quartiles[0]}, to the 20th {quartiles[1]}", flush=True)

    exact = nearest(queries[:N_EXACT], train, N_NEIGHBORS)[1]
    start, spent = time.perf_counter(), time.process_time()
    index = UsearchIndex(path=f"{kept_at}.usearch" if kept_at else None).open(train)
    build = f"{time.perf_counter() - start:.0f} s on the wall, {time.process_time() - spent:.0f} s of processor time"
    print(f"\nbuilt, or read where it is kept, in {build}\n")
    print(f"| search | queries a second | exact, just before | times exact | recall@{N_NEIGHBORS} |\n|{' --- |' * 5}")
    about = {
        "n": n,
        "protocol": "MMLU by MiniLM, augmented; two shared cores",
        "command": f"python benchmarks/neighbours.py {n}",
    }
    default = index.graph.expansion_search
    for expansion in sorted({128, 256, 512, 1024, 2048, default}):
        index.graph.expansion_search = expansion
        start = time.perf_counter()
        nearest(queries[:N_TIMED], train, N_NEIGHBORS)
        base = N_TIMED / (time.perf_counter() - start)
        nearest(queries[:N_EXACT], train, N_NEIGHBORS, index=index)
        start = time.perf_counter()
        found = nearest(queries, train, N_NEIGHBORS, index=index)[1]
        speed = len(queries) / (time.perf_counter() - start)
        share = recall(found[:N_EXACT], exact)
        figures = f"{speed:,.0f} | {base:,.1f} | {speed / base:.0f} | {share:.3f}"
        said = f"{expansion} (default)" if expansion == default else expansion
        print(f"| usearch, int8, expansion_search={said} | {figures} |", flush=True)
        if expansion == default:
            record(f"neighbours, {n:,}: recall", share, **about)
            record(f"neighbours, {n:,}: speed against exact", speed / base, **about)
    test = asked[: N_QUERIES // 2]
    saved(router, index, queries[: len(test)], quality.iloc[test], cost.iloc[test], about)


def saved(
    router: rl.KNNRouter, index: Any, queries: np.ndarray, test_quality: Any, test_cost: Any, about: dict[str, Any]
) -> None:
    """Route by both, at one willingness to pay, and compare."""
    X = pd.DataFrame(queries, index=test_quality.index)
    half = len(X) // 2
    exact = router.sweep(X)
    curve = rl.frontier(router.sweep(X.iloc[:half]), test_quality.iloc[:half], test_cost.iloc[:half])
    middle = (curve["cost_usd"].max() + curve["cost_usd"].min()) / 2
    wtp = float(curve.loc[(curve["cost_usd"] - middle).abs().idxmin(), "willingness_to_pay"])
    router.set_params(index=SimpleNamespace(open=lambda _: index))  # built above
    chosen = {"exact": exact.at(wtp), "usearch": router.sweep(X).at(wtp)}
    late = X.index[half:]
    print(f"\nkNN, k = {K_ROUTER}, {len(late)} prompts that did not choose the willingness to pay")
    for name, choices in chosen.items():
        print(
            name, rl.savings(choices.loc[late], test_quality.loc[late], test_cost.loc[late], baseline=STRONG), sep="\n"
        )
    gap = rl.compare(
        chosen["usearch"].loc[late], chosen["exact"].loc[late], test_quality.loc[late], test_cost.loc[late]
    )
    paid = 100 / test_cost.loc[late, STRONG].mean()
    points = -paid * gap.cost_difference, -paid * gap.cost_high, -paid * gap.cost_low
    print("usearch less exact: saving {:+.2f} points [{:+.2f}, {:+.2f}]".format(*points))
    print(gap)
    record(f"neighbours, {about['n']:,}: saving less exact's, points", points, **about | {"n": len(late)})
    quality = tuple(100 * value for value in (gap.quality_difference, gap.quality_low, gap.quality_high))
    record(f"neighbours, {about['n']:,}: quality less exact's, points", quality, **about | {"n": len(late)})


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000, *sys.argv[2:3])
