"""Bradley-Terry: time of the bootstrap beside evalica's, agreement, and coverage of intervals.

Run ``python benchmarks/ratings.py`` (about a minute on two cores; needs the extra ``bench``).
Times depend on the machine: compare the ratios, which come from one run.
"""

from __future__ import annotations

import argparse
import statistics
import time
import warnings
from collections.abc import Callable

import evalica
import numpy as np
import pandas as pd
from figures import record

from routerlab.ratings import BradleyTerry, rate, solve_bradley_terry

OUTCOMES = {"model_a": evalica.Winner.X, "model_b": evalica.Winner.Y, "tie": evalica.Winner.Draw}


def make_votes(
    n_votes: int, ratings: np.ndarray, rng: np.random.Generator, intent: np.ndarray | None = None, ties: float = 0.5
) -> pd.DataFrame:
    """Votes on random pairs, one for each prompt; ratings in points, (n_models,) or (n_intents, n_models)."""
    table, names = np.atleast_2d(ratings), np.array([f"m{k:02d}" for k in range(ratings.shape[-1])])
    intent = np.zeros(n_votes, dtype=int) if intent is None else intent
    a = rng.integers(len(names), size=n_votes)
    b = (a + rng.integers(1, len(names), size=n_votes)) % len(names)
    p = 1 / (1 + 10 ** ((table[intent, b] - table[intent, a]) / 400))
    tie, u = ties * np.minimum(p, 1 - p), rng.random(n_votes)
    winner = np.select([u < p - tie / 2, u < p + tie / 2], ["model_a", "tie"], "model_b")
    return pd.DataFrame({"prompt_id": np.arange(n_votes), "model_a": names[a], "model_b": names[b], "winner": winner})


PROTOCOL = "100,000 votes, 20 models, 1,000 bootstrap resamples; evalica scaled from 10; two shared cores"


def median_seconds(run: Callable[[], object], repeat: int = 5) -> float:
    """Time `run` after one run to warm up."""
    run()
    seconds = []
    for _ in range(repeat):
        start = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def speed(n_votes: int, n_models: int, n_resamples: int, evalica_resamples: int) -> None:
    """Time the bootstrap beside evalica's, and say whether the two agree."""
    votes = make_votes(n_votes, np.linspace(1200, 800, n_models), np.random.default_rng(0))
    model = BradleyTerry(alpha=0, interval="bootstrap", n_resamples=n_resamples, random_state=0)
    ours = median_seconds(lambda: model.fit(votes))
    sandwich = median_seconds(lambda: BradleyTerry(alpha=0).fit(votes))

    data = (votes["model_a"].to_numpy(), votes["model_b"].to_numpy(), [OUTCOMES[w] for w in votes["winner"]])
    start = time.perf_counter()
    theirs = evalica.bootstrap(
        evalica.bradley_terry, *data, n_resamples=evalica_resamples, bootstrap_method="percentile", random_state=0
    )
    seconds = time.perf_counter() - start
    full = seconds * n_resamples / evalica_resamples
    scaled = (
        "" if evalica_resamples == n_resamples else f" (scaled from {evalica_resamples} resamples, {seconds:.1f} s)"
    )

    exact = evalica.bradley_terry(*data, tolerance=1e-12, limit=10_000).scores.sort_index()
    log = np.log(exact.to_numpy())
    apart = np.abs(model.log_ratings_ - (log - log.mean())).max()
    spread = np.log(theirs.distribution[sorted(theirs.distribution)])
    error = spread.sub(spread.mean(axis=1), axis=0).std()
    ratio = np.median(np.sqrt(np.diag(model.log_covariance_)) / error)

    about = {"n": n_votes, "protocol": PROTOCOL, "command": "python benchmarks/ratings.py"}
    record("ratings: seconds", ours, **about)
    record("ratings: times quicker than evalica", full / ours, **about)
    print(f"\n{n_votes:,} votes, {n_models} models, {n_resamples:,} bootstrap resamples\n")
    print("| what | seconds |\n| --- | --- |")
    print(f"| routerlab, from the judgments table | {ours:.3f} |")
    print(f"| evalica {evalica.__version__}, percentile bootstrap | {full:.1f}{scaled} |")
    print(f"| ratio | {full / ours:,.0f} |")
    print(f"| routerlab, sandwich intervals instead | {sandwich:.3f} |")
    print(f"\nLargest difference from evalica's ratings: {apart:.1e} log odds ({apart * 173.7:.1e} points).")
    print(f"Bootstrap standard errors, ours / evalica's: {ratio:.2f} (median over models).")


def solver() -> None:
    """Time many weighted problems at once."""
    rng = np.random.default_rng(0)
    print("\nsolve_bradley_terry on a batch\n\n| problems | models | ms a problem |\n| --- | --- | --- |")
    for n_batch, m in ((256, 10), (1000, 20), (256, 64)):
        wins = rng.exponential(20, (n_batch, m, m))
        seconds = median_seconds(lambda wins=wins: solve_bradley_terry(wins))  # type: ignore[misc]
        print(f"| {n_batch:,} | {m} | {1000 * seconds / n_batch:.3f} |")


def coverage(n_simulations: int) -> None:
    """Count how often intervals hold the true rating."""
    print(f"\nCoverage at nominal 95%, {n_simulations} simulations, pooled over models, about one vote in five a tie\n")
    print("| models | votes | sandwich | bootstrap |\n| --- | --- | --- | --- |")
    for m, n in ((3, 60), (5, 150), (8, 600), (20, 2000)):
        truth, held = np.linspace(1120, 880, m), {"sandwich": [], "bootstrap": []}
        for seed in range(n_simulations):
            votes = make_votes(n, truth, np.random.default_rng(seed))
            for interval, inside in held.items():
                model = BradleyTerry(interval=interval, n_resamples=500, random_state=seed).fit(votes)
                inside.append(((model.ci_low_ <= truth) & (truth <= model.ci_high_)).mean())
        print(f"| {m} | {n} | {np.mean(held['sandwich']):.3f} | {np.mean(held['bootstrap']):.3f} |")


def coverage_by_intent(n_simulations: int) -> None:
    """Do the same for ratings by intent, with intents drawn from the prior."""
    print(f"\nCoverage by intent at nominal 95%, {n_simulations} simulations, intents of unequal sizes\n")
    print("| models | intents | votes | sd between intents (points) | coverage | mean width (points) |")
    print("| --- | --- | --- | --- | --- | --- |")
    for m, n_intents, n, sd in ((6, 24, 3000, 0), (6, 24, 3000, 50), (6, 24, 3000, 140), (6, 24, 600, 90)):
        held, width = [], []
        for seed in range(n_simulations):
            rng = np.random.default_rng(seed)
            truth = np.linspace(1120, 880, m) + rng.normal(0, sd, (n_intents, m))
            truth += 1000 - truth.mean(axis=1, keepdims=True)
            intent = rng.choice(n_intents, n, p=rng.dirichlet(np.full(n_intents, 1.5)))
            table = rate(make_votes(n, truth, rng, intent), by=pd.Series(intent, name="intent"))
            true = truth[table["intent"], table["model"].str[1:].astype(int)]
            held.append(table["ci_low"].le(true).mul(table["ci_high"].ge(true)).mean())
            width.append((table["ci_high"] - table["ci_low"]).mean())
        print(f"| {m} | {n_intents} | {n:,} | {sd} | {np.mean(held):.3f} | {np.mean(width):.0f} |")


def main() -> None:
    """Print all tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--evalica-resamples", type=int, default=10, help="how many to time; fewer than 1000 are scaled up"
    )
    parser.add_argument("--simulations", type=int, default=400)
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore", message="BradleyTerry: ")  # a small simulated table may be separable
    speed(100_000, 20, 1000, arguments.evalica_resamples)
    solver()
    coverage(arguments.simulations)
    coverage_by_intent(max(arguments.simulations // 5, 1))


if __name__ == "__main__":
    main()
