"""How often promises are broken, how many are granted, and what they save.

A promise is broken if the true mean loss of what it grants, over the whole population, exceeds the bar. Always keeping
the baseline breaks nothing, so the saving stands beside it: of the promise, of the unguarded point (cheapest whose
estimate passes), and of an oracle, the cheapest option that truly keeps the bar. A promise may save more than the
oracle, which does not mix options.

Run by ``benchmarks/coverage.py --part promise``, or alone, with more simulations and all sizes:
``python -m benchmarks.coverage_promise 1000 [world ...] [--sizes 100 400]``; RouterBench and CRUX too where
ROUTERLAB_DATA is set.
`false` is the share of broken promises, `refused` that of samples in which everything stayed with the baseline.
"""

from __future__ import annotations

import argparse
import os
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pandas as pd

import routerlab as rl
from benchmarks.grid import Cell, Row, interval_row, rate_row
from benchmarks.promise import with_cascades
from routerlab.decision import Sweep, sweep_estimates
from routerlab.model_selection._promise import learn_then_test, options_table

GUARANTEE = 0.95
SIZES = (20, 100, 400, 1000, 2000, 3000)


@dataclass(frozen=True)
class World:
    """A population of prompts: measured outcomes, a router's estimates, and the group of each prompt."""

    quality: pd.DataFrame
    cost: pd.DataFrame
    estimate: pd.DataFrame | None  # None: the columns are the options
    baseline: str
    groups: np.ndarray | None = None  # those of one group lie in a row

    def options(self, rows: Any) -> Sweep | dict[str, pd.Series]:
        """Build the options on some rows of the population."""
        index = pd.RangeIndex(len(rows))
        if self.estimate is None:
            return _constants(tuple(name for name in self.quality.columns if name != self.baseline), len(rows))
        price = pd.DataFrame([self.cost.mean()] * len(rows), index=index)
        return sweep_estimates(self.estimate.iloc[rows].set_axis(index), price)

    def draw(self, n: int, rng: np.random.Generator) -> tuple[Any, Any]:
        """Rows of a sample (whole groups), and the group that each was drawn with."""
        if self.groups is None:
            return rng.integers(len(self.quality), size=n), None
        size = np.bincount(self.groups)
        drawn = rng.integers(len(size), size=round(n / size.mean()))
        start = np.append(0, size.cumsum())
        rows = np.concatenate([np.arange(start[g], start[g + 1]) for g in drawn])
        return rows, np.repeat(np.arange(len(drawn)), size[drawn])


@cache
def _constants(names: tuple[str, ...], n: int) -> dict[str, pd.Series]:
    index = pd.RangeIndex(n)
    return {name: pd.Series(name, index=index) for name in names}


def _world(difference: np.ndarray, estimate: np.ndarray | None = None, groups: Any = None) -> World:
    """Put small models against a large one that is right on 9 of 10 prompts, as far as the difference allows."""
    n = len(difference)
    difference = difference.reshape(n, -1)
    large = np.clip(np.where(np.arange(n) % 10 == 9, 0.0, 1.0), -difference.min(axis=1), 1 - difference.max(axis=1))
    names = [f"small {k}" for k in range(difference.shape[1])]
    quality = pd.DataFrame(np.clip(large[:, None] + difference, 0, 1), columns=names).assign(large=large)
    cost = pd.DataFrame(0.001, index=quality.index, columns=quality.columns).assign(large=0.01)
    if estimate is not None:
        estimate = pd.DataFrame({"small 0": np.clip(0.9 + estimate, 0, 1), "large": 0.9})
    return World(quality, cost, estimate, "large", groups)


def independent(bar: float, rng: np.random.Generator) -> World:
    """Let a router know something: the small model loses on a tenth of the prompts, most of them recognised."""
    hard = rng.random(20_000) < 0.3
    loses = rng.random(20_000) < np.where(hard, 0.3, 1.2 * bar)
    wins = ~loses & (rng.random(20_000) < 0.04)
    noisy = np.where(hard, -0.05, 0.0) + rng.normal(0, 0.03, 20_000)
    return _world(np.where(loses, -1.0, np.where(wins, 1.0, 0.0)), noisy)


def rare(bar: float, rng: np.random.Generator) -> World:
    """Failures of just more than the bar, that no estimate foresees."""
    return _world(-(rng.random(20_000) < 1.05 * bar).astype(float), rng.normal(0, 0.03, 20_000))


def two_points(bar: float, rng: np.random.Generator, *, beyond: float = 1.05) -> World:
    """Mix a small gain nearly always with a total loss seldom: the mean loss exceeds the bar. Graded."""
    share = (beyond * bar + 0.02) / 1.02
    return _world(np.where(rng.random(20_000) < share, -1.0, 0.02), rng.normal(0, 0.03, 20_000))


def three_valued(bar: float, rng: np.random.Generator, *, beyond: float = 1.05) -> World:
    """Wins, losses and half losses; the mean loss exceeds the bar."""
    more = 2 * beyond * bar
    values = rng.choice([-1.0, -0.5, 0.0, 0.5, 1.0], p=[0.05, 0.05 + more, 0.8 - more, 0.05, 0.05], size=20_000)
    return _world(values, rng.normal(0, 0.03, 20_000))


def many_options(bar: float, rng: np.random.Generator, *, n_options: int = 300, beyond: float = 1.1) -> World:
    """Options that differ in nothing but luck, each worse than the bar."""
    large = np.arange(4000) % 10 < 9
    chance = np.where(large, (0.05 + beyond * bar) / 0.9, 0.05 / 0.1)  # to lose where it is right, to win elsewhere
    turned = rng.random((4000, n_options)) < chance[:, None]
    quality = pd.DataFrame((large[:, None] ^ turned).astype(float), columns=[f"small {k}" for k in range(n_options)])
    quality["large"] = large.astype(float)
    cost = pd.DataFrame(0.001, index=quality.index, columns=quality.columns).assign(large=0.01)
    return World(quality, cost, None, "large")


def thresholds(bar: float, rng: np.random.Generator, *, n_options: int = 100, graded: bool = False) -> World:
    """Cascades: keep the small model's answer where a check scores it above a threshold, else ask the large one."""
    n = 20_000
    score = rng.random(n)
    right = rng.random(n) < 0.3 + 0.69 * np.sqrt(score)
    large = (rng.random(n) < np.where(right, 0.96, 0.6)).astype(float)
    small = right.astype(float)
    if graded:
        large, small = (np.round(0.7 * x + 0.3 * rng.random(n), 2) for x in (large, small))
    accept = score[:, None] > np.linspace(0.98, 0.0, n_options)
    names = [f"above {t:.3f}" for t in np.linspace(0.98, 0.0, n_options)]
    quality = pd.DataFrame(np.where(accept, small[:, None], large[:, None]), columns=names).assign(large=large)
    cost = pd.DataFrame(0.001 + np.where(accept, 0, 0.01), columns=names).assign(large=0.01)
    return World(quality, cost, None, "large")


def clusters(bar: float, rng: np.random.Generator, *, size: int, icc: float, unequal: bool = False) -> World:
    """Conversations that go wrong together, the longest most often; the mean loss just exceeds the bar."""
    sizes = np.full(20_000 // size, size) if not unequal else 1 + rng.geometric(1 / size, 20_000 // size).clip(max=40)
    mean = 1.05 * bar * (sizes * sizes.sum() / (sizes**2).sum() if unequal else np.ones(len(sizes)))
    chance = rng.beta(mean * (1 - icc) / icc, (1 - mean) * (1 - icc) / icc)
    groups = np.repeat(np.arange(len(sizes)), sizes)
    return _world(-(rng.random(len(groups)) < chance[groups]).astype(float), rng.normal(0, 0.03, len(groups)), groups)


def routerbench(
    bar: float, rng: np.random.Generator, *, models: bool = False, knn: bool = False, cascades: bool = False
) -> World:
    """Half of RouterBench's prompts fit a router, the others are the population."""
    data = rl.fetch_routerbench()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        quality, cost = rl.pivot_outcomes(data.outcomes)
    if cascades:
        quality, cost = with_cascades(quality, cost, data)
        frames = [frame.reset_index(drop=True) for frame in (quality, cost)]
        return World(*frames, None, "gpt-4-1106-preview")
    order = np.random.default_rng(0).permutation(len(quality))
    fit, rest = order[::2], order[1::2]
    asked = data.prompts.loc[quality.index]
    known = quality.iloc[fit].groupby(asked["dataset"].iloc[fit]).mean()  # the data set is known: a perfect classifier
    estimate = known.reindex(asked["dataset"].iloc[rest]).fillna(quality.iloc[fit].mean())
    whole = [frame.iloc[rest].reset_index(drop=True) for frame in (quality, cost)]
    if knn:  # only the question's wording is known
        embedder = rl.LsaEmbedder().fit(asked["question"].iloc[fit])
        X = [embedder.transform(asked["question"].iloc[part]) for part in (fit, rest)]
        estimate = rl.KNNRouter(200).fit(X[0], quality.iloc[fit], cost=cost.iloc[fit]).predict_quality(X[1])
    guess = None if models else estimate.reset_index(drop=True)
    return World(whole[0], whole[1], guess, "gpt-4-1106-preview")


def crux(bar: float, rng: np.random.Generator) -> World:
    """CRUX: 800 prompts about what a program prints; eight models, and the baseline where two others differ."""
    data = rl.fetch_zeroeval("crux")
    quality, cost = (frame.reset_index(drop=True) for frame in rl.pivot_outcomes(data.outcomes))
    base = str(data.baseline)
    cheap = [name for name in quality.columns if cost[name].mean() < cost[base].mean() / 2]
    pairs = {}
    for k, one in enumerate(cheap):
        for two in cheap[k + 1 :]:
            agree = quality[one] == quality[two]  # stands in for equal answers: right together, or wrong together
            pairs[f"{one} + {two}"] = (
                quality[one].where(agree, quality[base]),
                cost[one] + cost[two] + cost[base].where(~agree, 0.0),
            )
    quality = quality.assign(**{name: pair[0] for name, pair in pairs.items()})
    return World(quality, cost.assign(**{name: pair[1] for name, pair in pairs.items()}), None, base)


WORLDS: list[tuple[str, Callable[..., World], dict[str, Any], float]] = [
    ("independent", independent, {}, 0.02),
    ("rare failures 1%", rare, {}, 0.01),
    ("rare failures 3%", rare, {}, 0.03),
    ("two-point, adversarial", two_points, {}, 0.02),
    ("three-valued", three_valued, {}, 0.05),
    ("two-point, twice the bar", two_points, {"beyond": 2.0}, 0.02),
    ("three-valued", three_valued, {}, 0.02),
    ("three-valued, three times the bar", three_valued, {"beyond": 3.0}, 0.03),
    ("2 options just beyond the bar", many_options, {"n_options": 2}, 0.05),
    ("30 options at twice the bar", many_options, {"n_options": 30, "beyond": 2.0}, 0.03),
    ("300 options just beyond the bar", many_options, {}, 0.05),
    ("300 options at three times the bar", many_options, {"beyond": 3.0}, 0.02),
    ("cascade, 2 thresholds", thresholds, {"n_options": 2}, 0.02),
    ("cascade, 20 thresholds", thresholds, {"n_options": 20}, 0.02),
    ("cascade, 300 thresholds", thresholds, {"n_options": 300}, 0.02),
    ("cascade, 100 thresholds, graded", thresholds, {"graded": True}, 0.02),
    ("groups of 30, icc .5", clusters, {"size": 30, "icc": 0.5}, 0.05),
    ("groups of 30, icc .5", clusters, {"size": 30, "icc": 0.5}, 0.4),
    ("groups of 10, icc .95", clusters, {"size": 10, "icc": 0.95}, 0.05),
    ("groups of 10, icc .5", clusters, {"size": 10, "icc": 0.5}, 0.2),
    ("groups of 5, icc .05", clusters, {"size": 5, "icc": 0.05}, 0.05),
    ("groups of 5, icc .95", clusters, {"size": 5, "icc": 0.95}, 0.05),
    ("groups of 2 to 41, the longest lose most", clusters, {"size": 8, "icc": 0.3, "unequal": True}, 0.1),
]
REAL: list[tuple[str, Callable[..., World], dict[str, Any], float]] = [
    ("RouterBench, by data set", routerbench, {}, 0.02),
    ("RouterBench, by data set", routerbench, {}, 0.03),
    ("RouterBench, kNN on wording", routerbench, {"knn": True}, 0.02),
    ("RouterBench, models only", routerbench, {"models": True}, 0.03),
    ("RouterBench, 94 models and cascades", routerbench, {"cascades": True}, 0.01),
    ("RouterBench, 94 models and cascades", routerbench, {"cascades": True}, 0.02),
    ("CRUX, models and cascades", crux, {}, 0.02),
    ("CRUX, models and cascades", crux, {}, 0.05),
]
# Clusters come in these shapes, too.
SHAPES = {"groups of 30, icc .5": (300,), "groups of 10, icc .95": (400,), "groups of 10, icc .5": (400,)}


def summary(name: str, n: int, bar: float, broken: int, saved: list[float], **more: Any) -> Row:
    """Make the row of a cell: a promise that was not granted saves nothing, and breaks nothing."""
    more |= {"median saving": float(np.median(saved)), "mean saving": float(np.mean(saved)), "nominal": 1 - GUARANTEE}
    return rate_row("promise", f"{name}, bar {100 * bar:g} points", n, broken / len(saved), len(saved), **more)


def cell(name: str, world: World, n: int, bar: float, n_simulations: int) -> Row:
    """Promise on samples of n prompts, and look the truth up in the population."""
    everything = world.options(np.arange(len(world.quality)))
    table = options_table(everything, world.quality, world.cost, world.baseline)
    paid, price = world.cost[world.baseline].mean(), world.cost[world.baseline].to_numpy()
    gain, lead = -table.cost.mean(axis=1) / paid, table.difference.mean(axis=1)
    by_prompt = np.ascontiguousarray(table.cost.T), np.ascontiguousarray(table.difference.T)
    broken, kept = 0, 0
    saved: list[float] = []
    unguarded: list[float] = []
    for run in range(n_simulations):
        rows, groups = world.draw(n, np.random.default_rng([0, n, run]))
        cost, difference = (values[rows].T for values in by_prompt)
        drawn = table._replace(cost=cost, difference=difference)
        best = learn_then_test(drawn, groups, bar, guarantee=GUARANTEE, random_state=run).best
        kept += best is None
        broken += best is not None and best.of(lead) < -bar - 1e-9
        saved.append(0.0 if best is None else float(best.of(gain)))
        passes = np.where(difference.mean(axis=1) >= -bar, -cost.mean(axis=1) / price[rows].mean(), 0.0)
        unguarded.append(passes.max(initial=0.0))
    oracle = gain[lead >= -bar].max(initial=0.0)
    more = {"oracle": float(oracle), "unguarded": float(np.mean(unguarded)), "refused": kept / n_simulations}
    return summary(name, n, bar, broken, saved, **more)


def cross_fitted(n: int, bar: float, n_simulations: int) -> Row:
    """Promise on out-of-fold choices of n prompts; the truth is that of the router fitted on half of them."""
    world = rl.make_routing_problem(10_000, random_state=5)
    lead = world.quality.sub(world.quality[world.baseline], axis=0)
    paid = world.cost[world.baseline].mean()
    broken, granted = 0, 0
    saved: list[float] = []
    for run in range(n_simulations):
        drawn = np.random.default_rng([n, run]).integers(len(world.X), size=n)
        X, quality, cost = (f.iloc[drawn].set_axis(pd.RangeIndex(n)) for f in (world.X, world.quality, world.cost))
        # A population drawn from with replacement has copies: folds keep them together, and they are one group.
        codes = np.unique(drawn, return_inverse=True)[1]
        folds, learn = rl.model_selection.promise_folds(codes, random_state=run)
        found = {"quality": quality, "cost": cost}
        sweep = rl.cross_sweep(rl.KNNRouter(20), X, **found, cv=folds)
        options = {"baseline": world.baseline, "max_quality_loss": bar, "guarantee": GUARANTEE}
        result = rl.promise(sweep, **found, **options, groups=codes, ordering=learn)
        if result.keeps_baseline:
            saved.append(0.0)
            continue
        wtp = result.willingness_to_pay if result.granted else result.share_willingness_to_pay
        share = 1.0 if result.granted else result.share
        fitted = rl.KNNRouter(20, willingness_to_pay=wtp).fit(X[learn], quality[learn], cost=cost[learn])
        chosen = fitted.predict(world.X)
        at = world.quality.columns.get_indexer(chosen), np.arange(len(chosen))
        granted += 1
        broken += bool(share * lead.to_numpy()[at[1], at[0]].mean() < -bar - 1e-9)
        saved.append(share * float(1 - world.cost.to_numpy()[at[1], at[0]].mean() / paid))
    return summary("kNN, out of fold", n, bar, broken, saved, refused=1 - granted / n_simulations)


def sliced(n: int, n_slices: int, n_simulations: int, bar: float = 0.05) -> Row:
    """Bounds of all slices at the point that was granted: how often at least one lies above the truth."""
    world = independent(0.02, np.random.default_rng(0))
    slices = np.random.default_rng(1).integers(n_slices, size=len(world.quality))
    gap = (world.quality["small 0"] - world.quality["large"]).to_numpy()
    chance = world.estimate["small 0"] - world.estimate["large"]
    spent = float(world.cost["large"].mean() - world.cost["small 0"].mean())
    false, granted = 0, 0
    for run in range(n_simulations):
        rows, _ = world.draw(n, np.random.default_rng([2, n, run]))
        frames = [frame.iloc[rows].reset_index(drop=True) for frame in (world.quality, world.cost)]
        result = rl.promise(
            world.options(rows), *frames, baseline="large", max_quality_loss=bar, guarantee=GUARANTEE, by=slices[rows]
        )
        if result.granted:
            granted += 1
            cheap = (chance > -spent / result.willingness_to_pay).to_numpy()
            true = pd.Series(np.where(cheap, gap, 0.0)).groupby(slices).mean()
            false += bool((result.slices["quality_low"] > true.reindex(result.slices.index) + 1e-9).any())
    return rate_row(
        "promise, any slice's bound", f"independent, {n_slices} slices", n, false / max(granted, 1), n_simulations,
        nominal=1 - GUARANTEE, refused=1 - granted / n_simulations, n_given=granted,
    )  # fmt: skip


def repeated(n: int, n_simulations: int) -> Iterator[Row]:
    """Claims of a procedure on repeated splits; the truth is their mean over all simulations, which has no bias."""
    world = rl.make_routing_problem(20_000, random_state=5)
    found: dict[str, list[tuple[float, float, float]]] = {"saving": [], "quality_difference": []}
    for run in range(n_simulations):
        drawn = np.random.default_rng([3, run]).permutation(len(world.X))[:n]
        frames = [frame.iloc[drawn] for frame in (world.X, world.quality, world.cost)]
        result = rl.repeat_claims(
            rl.KNNRouter(20), *frames, baseline=world.baseline, max_quality_loss=0.02, n_repeats=6, random_state=run
        )
        for name, ends in found.items():
            interval = getattr(result, name)
            ends.append((interval.low, interval.high, interval.estimate))
    for name, ends in found.items():
        low, high, estimate = np.array(ends).T
        held = np.column_stack([low, high, np.full(len(ends), estimate.mean())])
        yield interval_row(f"repeat_claims, {name.split('_')[0]}", "kNN, 6 splits", n, held, n_simulations)


def rows(n_simulations: int = 400, thin: bool = False, only: set[Cell] | None = None) -> Iterator[Row]:
    """Yield one row for each world and sample size; `only` names worlds and sizes."""

    def wanted(world: str, n: int) -> bool:
        return only is None or (world, n) in {cell[1:] for cell in only}

    worlds = [*WORLDS, *(REAL if os.environ.get("ROUTERLAB_DATA") and not thin else ())]
    for name, make, options, bar in worlds:
        sizes = SHAPES.get(name, (100, 400) if thin else SIZES)
        sizes = tuple(n for n in sizes if wanted(f"{name}, bar {100 * bar:g} points", n))
        world = make(bar, np.random.default_rng(0), **options) if sizes else None
        for n in sizes:
            if world is not None:
                yield cell(name, world, n, bar, n_simulations)
    if thin:
        return
    fewer = max(n_simulations // 3, 20)  # a simulation fits many routers
    for n in (400, 1000):
        if wanted("kNN, out of fold, bar 5 points", n):
            yield cross_fitted(n, 0.05, fewer)
    for n_slices in (4, 12):
        for n in (400, 2000):
            if wanted(f"independent, {n_slices} slices", n):
                yield sliced(n, n_slices, n_simulations)
    if wanted("kNN, 6 splits", 400):
        yield from repeated(400, fewer)


def main() -> None:
    """Print the cells of all worlds, or of those whose names start so."""
    parser = argparse.ArgumentParser(description="How often promises are broken, and what they save.")
    parser.add_argument("simulations", type=int, nargs="?", default=400)
    parser.add_argument("worlds", nargs="*", help="first words of names; all by default")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES[1:])
    asked = parser.parse_args()
    print(f"{asked.simulations:,} simulations a cell: promises broken, %; mean saving, % (that of an oracle)\n")
    print(f"| world | {' | '.join(f'n = {n:,}' for n in asked.sizes)} |\n|{' --- |' * (1 + len(asked.sizes))}")
    for name, make, options, bar in [*WORLDS, *(REAL if os.environ.get("ROUTERLAB_DATA") else ())]:
        if asked.worlds and not name.startswith(tuple(asked.worlds)):
            continue
        world = make(bar, np.random.default_rng(0), **options)
        shown = []
        for n in SHAPES.get(name, asked.sizes):
            row = cell(name, world, n, bar, asked.simulations)
            size = f"n = {n}: " if name in SHAPES else ""
            shown.append(f"{size}{100 * row['false']:.1f}; {100 * row['mean saving']:.0f} ({100 * row['oracle']:.0f})")
        shown += [""] * (len(asked.sizes) - len(shown))
        print(f"| {name}, bar {100 * bar:g} points | {' | '.join(shown)} |", flush=True)


if __name__ == "__main__":
    main()
