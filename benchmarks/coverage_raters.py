"""Kappa, alpha, position bias, ratings, PPI, stopping: how often their intervals hold the truth.

Run by ``benchmarks/coverage.py --part raters``. `false` is the share of lower ends above the truth (nominal 2.5%), of
equal models of which one is declared better at any look (5%), or of named winners that are wrong (nominal: as many as
`expected_wrong` says).
"""

from __future__ import annotations

import warnings
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd

import routerlab as rl
from benchmarks.grid import Cell, Row, interval_row, rate_row
from routerlab.judging import ppi_rate, ppi_win_rate
from routerlab.labeling import krippendorff_alpha, position_bias, votes_needed
from routerlab.ratings import best_models, solve_bradley_terry

VERDICTS = np.array(["model_a", "tie", "model_b"])
EVEN, SKEWED = np.array([0.4, 0.2, 0.4]), np.array([0.92, 0.04, 0.04])
POINTS = 400 / np.log(10)
Ends = tuple[float, float, float] | None  # low, high, truth; None: refused
Draw = Callable[[np.random.Generator], Any]  # ends, or those of several measures


def judged(n: int, p: np.ndarray, repeats: float, rng: np.random.Generator, groups: int = 0, icc: float = 0.0):
    """Verdicts (codes) of people and of a judge who repeats them with that probability; and the group of each pair.

    With `groups`, a pair has its group's verdicts with probability sqrt(icc).
    """
    own = rng.choice(3, n, p=p), rng.choice(3, n, p=p), rng.random(n) < repeats
    code = np.arange(n) if not groups else np.arange(n) // -(-n // groups)
    if groups:
        shared = rng.choice(3, groups, p=p), rng.choice(3, groups, p=p), rng.random(groups) < repeats
        same = rng.random(n) < np.sqrt(icc)
        own = tuple(np.where(same, s[code], o) for s, o in zip(shared, own, strict=True))
    human, other, repeated = own
    return human, np.where(repeated, human, other), code


def votes(codes: np.ndarray, judge: str = "ana", models: tuple[str, str] = ("x", "y")) -> pd.DataFrame:
    """One vote for each prompt."""
    frame = pd.DataFrame({"prompt_id": np.arange(len(codes)), "model_a": models[0], "model_b": models[1]})
    return frame.assign(winner=VERDICTS[codes], judge=judge)


def trusted(n: int, p: np.ndarray, repeats: float, groups: int = 0, icc: float = 0.0) -> Draw:
    """Kappa and the share of equal verdicts: a judge of known worth."""
    chance = float(p @ p)

    def draw(rng: np.random.Generator) -> list[Ends]:
        human, judge, code = judged(n, p, repeats, rng, groups, icc)
        by = pd.Series(code) if groups else None
        report = rl.judge_trust(votes(judge, "bob"), votes(human), groups=by, n_resamples=2)
        kappa, same = report.kappa, report.agreement
        return [(kappa.low, kappa.high, repeats), (same.low, same.high, repeats + (1 - repeats) * chance)]

    return draw


def reliable(n: int, p: np.ndarray, repeats: float, groups: int = 0, icc: float = 0.0) -> Draw:
    """Alpha of two raters, one of whom repeats the other."""

    def draw(rng: np.random.Generator) -> Ends:
        human, judge, code = judged(n, p, repeats, rng, groups, icc)
        if len(np.unique([human, judge])) < 2:
            return None
        both = krippendorff_alpha(
            pd.concat([votes(human), votes(judge, "bob")]), groups=pd.Series(code) if groups else None
        )
        return both.ci_low, both.ci_high, repeats

    return draw


def leaning(raters: int, each: int, spread: float) -> Draw:
    """Position bias of raters who lean to either side."""

    def draw(rng: np.random.Generator) -> Ends:
        left = np.clip(0.5 + rng.normal(0, spread, raters), 0, 1).repeat(each)
        said = votes(np.where(rng.random(raters * each) < left, 0, 2))
        found = position_bias(said.assign(judge=np.arange(raters).repeat(each).astype(str))).left
        return found.low, found.high, 0.5

    return draw


def panel(raters: int, n: int, taste: float, share: int, rng: np.random.Generator) -> pd.DataFrame:
    """Votes of raters with tastes of their own on four models; `share` votes on each prompt."""
    strength, own, rater = np.linspace(0.5, -0.5, 4), rng.normal(0, taste, (raters, 4)), rng.integers(raters, size=n)
    a = rng.integers(4, size=n)
    b = (a + rng.integers(1, 4, size=n)) % 4
    won = rng.random(n) < 1 / (1 + np.exp(strength[b] - strength[a] + own[rater, b] - own[rater, a]))
    frame = pd.DataFrame({"prompt_id": np.arange(n) // share, "model_a": a, "model_b": b})
    names = {k: f"m{k}" for k in range(4)}
    return frame.replace({"model_a": names, "model_b": names}).assign(
        winner=np.where(won, "model_a", "model_b"), judge=[f"r{k}" for k in rater]
    )


def tasteful(raters: int, n: int, taste: float, share: int = 1) -> Draw:
    """Rate the best of four models, among raters at large."""
    strength = np.linspace(0.5, -0.5, 4)
    luck = np.random.default_rng(0).normal(0, taste * np.sqrt(2), 20_000)
    wins = (1 / (1 + np.exp(strength[None, :, None] - strength[:, None, None] + luck))).mean(axis=2) * (1 - np.eye(4))
    truth = 1000 + POINTS * float(solve_bradley_terry(1000 * wins)[0])

    def draw(rng: np.random.Generator) -> Ends:
        row = rl.rate(panel(raters, n, taste, share, rng)).set_index("model").loc["m0"]
        return row.ci_low, row.ci_high, truth

    return draw


def tied(n: int, ties: float, rate: float) -> Draw:
    """Rate two models whose votes are mostly ties: their expected win rate."""

    def draw(rng: np.random.Generator) -> Ends:
        win = rate - ties / 2
        row = rl.rate(votes(rng.choice(3, n, p=[win, ties, 1 - win - ties])), baseline="y").set_index("model").loc["x"]
        return row.win_rate_low, row.win_rate_high, rate

    return draw


def corrected(
    measure: str, labelled: int, n: int, repeats: float, groups: int = 0, icc: float = 0.0, chosen: bool = False
) -> Draw:
    """Win rates or ratings from a judge who is kind to x; people see a random part, or more of what the judge likes."""
    p = np.array([0.5, 0.2, 0.3])

    def draw(rng: np.random.Generator) -> Ends:
        human, judge, code = judged(n, p, repeats, rng, groups, icc)
        judge = np.where(rng.random(n) < 0.15, 0, judge)
        chance = np.full(n, labelled / n)
        if chosen:
            chance = np.clip(labelled / n * np.where(human == 0, 1.8, 0.4), 0, 1)
        seen = rng.random(n) < chance if chosen else np.isin(np.arange(n), rng.permutation(n)[:labelled])
        options = {"groups": pd.Series(code) if groups else None, "propensity": pd.Series(chance) if chosen else None}
        function = ppi_win_rate if measure == "PPI win rate" else ppi_rate
        try:
            found = function(votes(judge, "bob"), votes(human)[seen], **options).set_index("model").loc["x"]
        except rl.TableError:
            return None
        if measure == "PPI win rate":
            return found.win_rate_low, found.win_rate_high, 0.6
        return found.ci_low, found.ci_high, 1000 + POINTS * np.log(0.6 / 0.4) / 2

    return draw


def routed(labelled: int, n: int, right: float, loss: float, groups: int = 0, icc: float = 0.0) -> Draw:
    """Quality difference of a router whose answers a judge marks right or wrong, and people mark in part."""

    def draw(rng: np.random.Generator) -> Ends:
        code = np.arange(n) if not groups else np.arange(n) // -(-n // groups)
        strong, lost = rng.random(n) < 0.85, rng.random(n) < loss
        if groups:
            same = rng.random(n) < np.sqrt(icc)
            strong = np.where(same, (rng.random(groups) < 0.85)[code], strong)
            lost = np.where(same, (rng.random(groups) < loss)[code], lost)
        truth = pd.DataFrame({"cheap": strong & ~lost, "dear": strong}).astype(float)
        seen_as = truth.where(rng.random(truth.shape) < right, 1 - truth)
        cost = pd.DataFrame({"cheap": 0.001, "dear": 0.01}, index=truth.index)
        result = rl.savings(
            pd.Series("cheap", index=truth.index), seen_as, cost, baseline="dear",
            groups=code if groups else None, people=truth.loc[np.sort(rng.permutation(n)[:labelled])],
        )  # fmt: skip
        return result.quality_low, result.quality_high, -0.85 * loss

    return draw


def interval_cells(thin: bool) -> Iterator[tuple[str, str, int, Draw]]:
    """Name every cell of the grid: measure, world, n, draw."""
    sizes = (6, 60) if thin else (6, 20, 60, 150, 400)
    worlds = {"by chance": (EVEN, 0.0), "agree 76%": (EVEN, 0.625), "agree 95%": (EVEN, 0.92), "skewed": (SKEWED, 0.6)}
    for measure, make in (("kappa, agreement", trusted), ("alpha", reliable)):
        for name, (p, repeats) in worlds.items():
            for n in sizes:
                yield measure, name, n, make(n, p, repeats)
        for groups, size in ((10, 30),) if thin else ((10, 30), (40, 10), (200, 5)):
            for icc in (0.95,) if thin else (0.05, 0.5, 0.95):
                world = f"{groups} groups of {size}, icc {icc:g}"
                yield measure, world, groups * size, make(groups * size, EVEN, 0.5, groups, icc)
    for raters in (5,) if thin else (3, 5, 12, 30):
        yield "position bias", f"{raters} raters", 60 * raters, leaning(raters, 60, 0.1)
    for raters in (6,) if thin else (3, 6, 12):
        for share in (1,) if thin else (1, 3):
            yield "ratings", f"{raters} raters, {share} a prompt", 360, tasteful(raters, 360, 0.4, share)
    for n in (20, 60) if thin else (5, 20, 60, 150, 400):
        for ties in (0.9, 0.98):
            yield "ratings, win rate", f"{ties:.0%} ties", n, tied(n, ties, 0.5 + 0.3 * (1 - ties))
    for labelled in (20, 100) if thin else (20, 60, 150, 400):
        for measure in ("PPI win rate", "PPI ratings"):
            for repeats in (0.8,) if thin else (0.4, 0.8):
                yield measure, f"judge repeats {repeats:.0%}", labelled, corrected(measure, labelled, 1000, repeats)
            world = "labels by known chances"
            if labelled >= 60:
                yield measure, world, labelled, corrected(measure, labelled, 1000, 0.8, chosen=True)
        for right in (0.7,) if thin else (0.7, 0.8, 0.9):
            yield (
                "savings, judge and people",
                f"judge right on {right:.0%}",
                labelled,
                routed(labelled, 1000, right, 0.06),
            )
        yield "savings, judge and people", "rare failures, 1%", labelled, routed(labelled, 1000, 0.9, 0.01)
    for groups, size in ((10, 30),) if thin else ((10, 30), (40, 10), (200, 5)):
        for icc in (0.95,) if thin else (0.05, 0.5, 0.95):
            n = groups * size
            world = f"{groups} groups of {size}, icc {icc:g}"
            yield "PPI win rate", world, n // 2, corrected("PPI win rate", n // 2, n, 0.8, groups, icc)
            yield "savings, judge and people", world, n // 2, routed(n // 2, n, 0.85, 0.1, groups, icc)


def stopped(n: int, every: int, models: int, rng: np.random.Generator) -> bool:
    """Whether a winner among equal models is declared at any look."""
    a = rng.integers(models, size=n)
    b = (a + rng.integers(1, models, size=n)) % models
    table = pd.DataFrame({"prompt_id": np.arange(n), "model_a": a.astype(str), "model_b": b.astype(str)})
    table["winner"] = VERDICTS[rng.choice(3, n, p=[0.4, 0.2, 0.4])]
    return any(votes_needed(table.head(k)).separated for k in range(every, n + 1, every))


def winners(raters: int, taste: float, n_simulations: int) -> Row:
    """How many of the winners that `best_models` names are wrong, beside how many it expects."""
    expected, wrong, named = 0.0, 0, 0
    for seed in range(n_simulations):
        rng = np.random.default_rng([seed, raters])
        strength = np.linspace(0.5, -0.5, 4) + rng.normal(0, 0.5, (12, 4))
        own, rater, intent = (
            rng.normal(0, taste, (raters, 4)),
            rng.integers(raters, size=1200),
            rng.integers(12, size=1200),
        )
        a = rng.integers(4, size=1200)
        b = (a + rng.integers(1, 4, size=1200)) % 4
        edge = strength[intent, a] - strength[intent, b] + own[rater, a] - own[rater, b]
        won = rng.random(1200) < 1 / (1 + np.exp(-edge))
        said = pd.DataFrame({"prompt_id": np.arange(1200), "model_a": a.astype(str), "model_b": b.astype(str)})
        said = said.assign(winner=np.where(won, "model_a", "model_b"), judge=rater.astype(str))
        found = best_models(said, pd.Series(intent, name="intent"), confidence=0.8, n_draws=1000)
        sure = found[found["n_contenders"] == 1]
        expected += found.attrs["expected_wrong"]
        wrong += int((strength.argmax(axis=1)[sure["intent"]] != sure["best"].astype(int)).sum())
        named += len(sure)
    return rate_row("winners by intent", f"{raters} raters", 1200, wrong / named, named, nominal=expected / named)


def rows(n_simulations: int = 200, thin: bool = False, only: set[Cell] | None = None) -> Iterator[Row]:
    """Yield one row for each cell of the grid; `only` names worlds and sizes."""

    def wanted(measure: str, world: str, n: int) -> bool:
        return only is None or (measure, world, n) in only

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a model that won everything, among few votes
        for measure, world, n, draw in interval_cells(thin):
            names = measure.split(", ") if measure == "kappa, agreement" else [measure]
            if any(wanted(name, world, n) for name in names):
                rng = np.random.default_rng([n, zlib.crc32(f"{measure} {world}".encode())])
                drawn = [draw(rng) or (np.nan, np.nan, np.nan) for _ in range(n_simulations)]
                for name, ends in zip(names, np.reshape(drawn, (n_simulations, -1, 3)).swapaxes(0, 1), strict=True):
                    yield interval_row(name, world, n, ends, n_simulations)
        for n, every, models in ((200, 20, 2),) if thin else ((400, 20, 2), (60, 1, 2), (400, 20, 4)):
            if wanted("stopping", world := f"{models} equal models, a look every {every}", n):
                rng = np.random.default_rng([n, every, models])
                false = float(np.mean([stopped(n, every, models, rng) for _ in range(n_simulations)]))
                yield rate_row("stopping", world, n, false, n_simulations, nominal=0.05)
        for raters, taste in ((6, 0.5),) if thin else ((6, 0.5), (3, 0.5), (30, 0.5)):
            if wanted("winners by intent", f"{raters} raters", 1200):
                yield winners(raters, taste, max(n_simulations // 10, 10))
