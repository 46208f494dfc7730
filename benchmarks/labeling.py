"""What choosing pairs by information is worth: ranking error, interval coverage, time for each step.

Simulated raters label real queues. Models' strengths are normal; a rater prefers the stronger with the Bradley-Terry
probability, ties one close pair in five, and repeats a verdict on a swapped pair four times out of five.

With 200 simulations, 400 chosen votes rank 6 or 10 models at least as well as 600 random ones do; with 20 models they
fall just short (8.9% of model pairs in the wrong order, not 8.6%).

python benchmarks/labeling.py [n_simulations]
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd

from routerlab import SentenceEmbedder, load_demo
from routerlab.labeling import Pair, PairQueue, Standings, VoteLog, label_record, standings
from routerlab.widgets import IntentLabeler


@cache
def make_responses(n_prompts: int, n_models: int) -> pd.DataFrame:
    """Different texts by `n_models` models to `n_prompts` prompts."""
    rows = [(f"p{k}", f"m{j:02d}", f"{j} on {k}") for k in range(n_prompts) for j in range(n_models)]
    return pd.DataFrame(rows, columns=["prompt_id", "model", "response"])


def make_rater(strength: dict[str, float], rng: np.random.Generator) -> Callable[[Pair], str]:
    """Return a simulated rater: pair -> 'left', 'right' or 'tie'."""
    verdicts: dict[str, str | None] = {}  # pair_id -> model preferred, None for a tie

    def rate_pair(pair: Pair) -> str:
        sides = {pair.model_left: "left", pair.model_right: "right", None: "tie"}
        if pair.repeat_of and rng.random() < 0.8:
            return sides[verdicts[pair.repeat_of]]
        p = 1 / (1 + np.exp(strength[pair.model_right] - strength[pair.model_left]))
        tie = 0.2 * 4 * p * (1 - p)
        draw = rng.random()
        left, right = p - tie / 2, p + tie / 2
        verdicts[pair.pair_id] = pair.model_left if draw < left else None if draw < right else pair.model_right
        return sides[verdicts[pair.pair_id]]

    return rate_pair


def label(
    strategy: str, n_votes: int, seed: int, *, n_models: int = 10, spread: float = 1.0, stops: tuple[int, ...] = ()
) -> tuple[dict[str, float], dict[int, tuple[Standings, pd.DataFrame]]]:
    """Simulate one rater.

    Parameters
    ----------
    strategy : str
        Of `PairQueue`.
    n_votes : int
        Votes to cast.
    seed : int
        Seeds strengths, verdicts and queue. Strengths do not depend on the strategy.
    n_models : int, default 10
        Models.
    spread : float, default 1
        Standard deviation of strengths, in log-odds: 1 is 174 arena points.
    stops : tuple of int
        Numbers of votes after which to take stock; `n_votes` by default.

    Returns
    -------
    strength : dict
        The truth.
    results : dict
        Number of votes -> standings, and the votes.
    """
    responses = make_responses(200, n_models)
    models = responses["model"].unique()
    strength = dict(zip(models, np.random.default_rng(seed).normal(0, spread, n_models), strict=True))
    rate_pair = make_rater(strength, np.random.default_rng([seed, 1]))
    queue = PairQueue(responses, strategy=strategy, random_state=seed)
    votes, results = [], {}
    for k in range(1, n_votes + 1):
        pair = queue.next_pair()
        record = pair.vote(rate_pair(pair), nonce=str(k))
        queue.observe(record)
        votes.append(record)
        if k in (stops or (n_votes,)):
            table = pd.DataFrame(votes)
            results[k] = standings(table), table
    return strength, results


def ranking_error(strength: dict[str, float], result: Standings) -> float:
    """Share of pairs of models in the wrong order."""
    true = np.array([strength[model] for model in result.models])
    upper = np.triu_indices(len(true), 1)
    return float((true[:, None] < true)[upper].mean())


def held(strength: dict[str, float], result: Standings) -> float:
    """Share of the intervals that hold the truth (strengths are centred, as ratings are)."""
    table = result.table().set_index("model")
    true = pd.Series(strength)
    points = 1000 + 400 / np.log(10) * (true - true.mean()).loc[table.index]
    return float(((table["ci_low"] <= points) & (points <= table["ci_high"])).mean())


def compare(n_simulations: int, **world: float) -> pd.DataFrame:
    """Ranking errors, and shares of intervals that hold the truth, after 300, 400 and 600 votes of either kind.

    Parameters
    ----------
    n_simulations : int
        Raters of each kind; one of each kind judges the same models.
    **world
        ``n_models`` and ``spread``, as in `label`.

    Returns
    -------
    DataFrame of shape (n_simulations, 10)
        Columns such as 'chosen 400' (error) and 'held, chosen 400'.
    """
    rows = []
    for seed in range(n_simulations):
        row = {}
        for name, strategy, stops in (("random", "random", (400, 600)), ("chosen", "information", (300, 400))):
            strength, results = label(strategy, max(stops), seed, stops=stops, **world)
            for n, (result, _) in results.items():
                row[f"{name} {n}"] = ranking_error(strength, result)
                row[f"held, {name} {n}"] = held(strength, result)
        rows.append(row)
    return pd.DataFrame(rows)


def mean_with_interval(values: pd.Series) -> str:
    """Mean with its 95% interval, in percent."""
    half = 1.96 * values.std() / np.sqrt(len(values))
    return f"{values.mean():.1%} ± {half:.1%}"


def step_times(n_pairs: int, n_models: int, n_intents: int = 1) -> tuple[float, float]:
    """Median milliseconds for the next pair, and for a vote on the disk."""
    n_prompts = n_pairs // (n_models * (n_models - 1) // 2) + 1
    responses = make_responses(n_prompts, n_models)
    intents = pd.Series({f"p{k}": k % n_intents for k in range(n_prompts)})
    queue = PairQueue(responses, by=intents, random_state=0)
    choosing, writing = [], []
    with tempfile.TemporaryDirectory() as folder:
        log = VoteLog(Path(folder), rater="ana", dataset_id=queue.dataset_id)
        for k in range(100):
            start = time.perf_counter()
            pair = queue.next_pair()
            chosen = time.perf_counter()
            log.append(pair.vote("left" if pair.model_left < pair.model_right else "right", nonce=str(k)))
            writing.append(time.perf_counter() - chosen)
            queue.sync(log)
            choosing.append(chosen - start)
    return 1000 * float(np.median(choosing)), 1000 * float(np.median(writing))


def suggestion_accuracy(X: pd.DataFrame | None, seed: int, stops: tuple[int, ...] = (20, 60, 150)) -> list[float]:
    """Label demo prompts in an `IntentLabeler` with their true intents, and look at what it suggests for others.

    Parameters
    ----------
    X : DataFrame or None
        Embeddings; None for the labeler's own.
    seed : int
        Draws 300 prompts that are never labelled, and shuffles the others.
    stops : tuple of int
        Numbers of labels after which to look.

    Returns
    -------
    list of float
        For each stop: share of the 300 prompts whose intent is suggested first, and among the first nine.
    """
    prompts = load_demo().prompts.sample(frac=1, random_state=seed)
    truth, held = prompts["intent"].astype(str), prompts.index[-300:]
    shares = []
    with tempfile.TemporaryDirectory() as folder:
        labeler = IntentLabeler(prompts, sorted(set(truth)), log=folder, rater="simulated", X=X)
        labeler._open = list(prompts.index[:-300])
        for k in range(1, max(stops) + 1):
            prompt_id = labeler._next()
            nonce = {"nonce": str(k), "judged_at": "2026-01-01T00:00:00+00:00"}
            labeler.vote_log.append(label_record(prompt_id, truth[prompt_id], **nonce))
            labeler._labels[prompt_id] = truth[prompt_id]
            labeler._open.remove(prompt_id)
            if k in stops:
                ranks = [labeler.suggest(p).index.get_loc(truth[p]) for p in held]
                shares += [float(np.mean([rank < n for rank in ranks])) for n in (1, 9)]
    return shares


def main() -> None:
    """Print the tables."""
    print("Intents suggested on demo data: right first, right among nine, after 20, 60, 150 labels (5 seeds)")
    texts = load_demo().prompts["prompt"]
    for name, X in (("wording and form", None), ("MiniLM, layer -2", SentenceEmbedder(layer=-2).fit_transform(texts))):
        means = np.mean([suggestion_accuracy(X, seed) for seed in range(5)], axis=0)
        pairs = zip(means[::2], means[1::2], strict=True)
        print(f"{name:18s} " + ", ".join(f"{first:.0%} / {nine:.0%}" for first, nine in pairs))
    n = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    print(f"Share of model pairs in the wrong order, mean and 95% interval over {n} simulations")
    for world in ({"n_models": 6}, {"n_models": 10}, {"n_models": 10, "spread": 0.5}, {"n_models": 20}):
        table = compare(n, **world)
        name = ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in world.items())
        for column in table.columns[::2]:
            gain = mean_with_interval(table[column] - table["random 600"])
            print(
                f"{name:28s} {column:12s} {mean_with_interval(table[column])}; less random 600: {gain}; "
                f"intervals hold {mean_with_interval(table['held, ' + column])}"
            )
    print("Median milliseconds: next pair, vote on the disk")
    for n_pairs, n_models, n_intents in (
        (1_000, 6, 1),
        (10_000, 6, 1),
        (100_000, 6, 1),
        (100_000, 21, 1),
        (100_000, 6, 24),
    ):
        choosing, writing = step_times(n_pairs, n_models, n_intents)
        print(f"{n_pairs:7,} pairs, {n_models:2d} models, {n_intents:2d} intents: {choosing:.2f}, {writing:.2f}")


if __name__ == "__main__":
    main()
