"""Saving, quality difference and means of the frontier: how often their intervals hold the truth.

Run by ``benchmarks/coverage.py --part savings``.
"""

from __future__ import annotations

import os
import warnings
import zlib
from collections.abc import Iterator

import numpy as np
import pandas as pd

import routerlab as rl
from benchmarks.grid import Cell, Row, Sample, World, interval_row, population, simulated_worlds
from routerlab.stats import percentile_interval, resampled_sums


def published_worlds() -> Iterator[World]:
    """Yield populations resampled from published files: a fixed rule against always calling GPT-4."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data = rl.fetch_routerbench()
        quality, cost = rl.pivot_outcomes(data.outcomes)
        question = data.prompts.loc[quality.index, "question"]
        short = question.str.len() <= question.str.len().median()
        rule = pd.Series(np.where(short, "zero-one-ai/Yi-34B-Chat", "gpt-4-1106-preview"), index=quality.index)
        yield population("RouterBench, resampled", rule, quality, cost, "gpt-4-1106-preview")
        mmlu = rl.fetch_routellm("mmlu")
        quality, cost = rl.pivot_outcomes(mmlu.outcomes)
        strong = quality.mean().idxmax()
        weak = quality.columns.drop(strong)[0]
        length = mmlu.prompts.loc[quality.index, "prompt"].str.len()
        rule = pd.Series(np.where(length <= length.median(), weak, strong), index=quality.index)
        yield population("MMLU, resampled", rule, quality, cost, strong)
        crux = rl.fetch_zeroeval("crux")
        quality, cost = rl.pivot_outcomes(crux.outcomes)
        length = crux.prompts.loc[quality.index, "prompt"].str.len()
        rule = pd.Series(np.where(length <= length.median(), "gpt-4o-mini-2024-07-18", crux.baseline), quality.index)
        yield population("CRUX, resampled", rule, quality, cost, crux.baseline)


def bootstrap_widths(sample: Sample, rng: np.random.Generator) -> tuple[float, float]:
    """Widths of the intervals of version 0.1.0: percentile bootstrap over prompts."""
    row = np.arange(len(sample.choices))
    column = sample.quality.columns.get_indexer(sample.choices)
    spent, gained = (frame.to_numpy()[row, column] for frame in (sample.cost, sample.quality))
    values = np.column_stack([spent, sample.cost["dear"], gained - sample.quality["dear"]])
    sums = resampled_sums(values, 300, rng)
    ends = [percentile_interval(d, 0.95, len(row)) for d in (sums[:, 0] / sums[:, 1], sums[:, 2] / len(row))]
    return tuple(high - low for low, high in ends)  # type: ignore[return-value]


def cells(world: World, n: int, n_simulations: int) -> Iterator[Row]:
    """Simulate one world at one size: saving, quality difference, and both means of the frontier."""
    rng = np.random.default_rng([n, zlib.crc32(world.name.encode())])
    found: dict[str, list[tuple[float, float, float]]] = {name: [] for name in ("saving", "quality", "frontier")}
    old: list[tuple[float, float]] = []
    said: list[float] = []
    for k in range(n_simulations):
        sample = world.draw(n, rng)
        claim = rl.savings(sample.choices, sample.quality, sample.cost, baseline="dear", groups=sample.groups)
        point = rl.frontier(sample.choices, sample.quality, sample.cost, ci=True, groups=sample.groups).iloc[0]
        found["saving"].append((claim.saving_low, claim.saving_high, sample.saving))
        found["quality"].append((claim.quality_low, claim.quality_high, sample.quality_difference))
        found["frontier"].append((point["quality_low"], point["quality_high"], sample.level))
        said.append(claim.saving)
        if k < 40 and sample.groups is None:
            old.append(bootstrap_widths(sample, rng))
    for name, ends in found.items():
        before = {"saving": 0, "quality": 1}.get(name)
        was = np.median([w[before] for w in old]) if old and before is not None else np.nan
        row = interval_row(name, world.name, n, ends, n_simulations, ordinary=world.ordinary)
        row["width / 0.1.0's"] = row["width"] / was if row["width"] and was > 0 else None
        yield row | ({"median saving": float(np.median(said))} if name == "saving" else {})


def rows(n_simulations: int = 400, thin: bool = False, only: set[Cell] | None = None) -> Iterator[Row]:
    """Yield every cell; `thin` keeps few sizes and no published file; `only` names worlds and sizes."""
    worlds = list(simulated_worlds())
    if not thin and os.environ.get("ROUTERLAB_DATA"):
        worlds += published_worlds()
    for world in worlds:
        for n in world.sizes:
            if only is not None and (world.name, n) not in {cell[1:] for cell in only}:
                continue
            if not thin or n in (5, 60, 400) or len(world.sizes) == 1:
                yield from cells(world, n, n_simulations)


def savings_coverage(n_prompts: int, quality: str, n_simulations: int = 400) -> tuple[float, float]:
    """Fit a kNN router once, hold it fixed, and test it on many samples from a population with known truth.

    Parameters
    ----------
    n_prompts : int
        Prompts in each test sample.
    quality : {'bernoulli', 'beta'}
        Right or wrong, or graded.
    n_simulations : int, default 400
        Test samples.

    Returns
    -------
    saving, quality_difference : float
        Share of the intervals that hold the population's value.
    """
    train = rl.make_routing_problem(1000, quality=quality, random_state=5)
    router = rl.KNNRouter(30, willingness_to_pay=0.1).fit(train.X, train.quality, cost=train.cost)
    truth = train.population(lambda sample: router.predict(sample.X), n_prompts=100_000)
    hits = np.zeros(2)
    for seed in range(n_simulations):
        test = train.sample(n_prompts, random_state=1000 + seed)
        result = rl.savings(router.predict(test.X), test.quality, test.cost, baseline=train.baseline)
        hits += [
            result.saving_low <= truth.saving <= result.saving_high,
            result.quality_low <= truth.quality_difference <= result.quality_high,
        ]
    return hits[0] / n_simulations, hits[1] / n_simulations
