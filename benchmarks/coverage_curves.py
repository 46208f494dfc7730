"""How often the intervals of whole curves hold the truth, and how often they promise what is not there.

AIQ differences (against the zero router and against a second router), APGR, CPT, the saving at parity, predictability
and separability, in worlds with known truth. A router is held fixed: its estimates are a function of the prompt.

Run by ``benchmarks/coverage.py --part curves``.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import ndtr

import routerlab as rl
from benchmarks.grid import Cell, Row, interval_row
from routerlab.decision import sweep_estimates

SEED = 0
MODELS, PRICES = ["small", "middle", "large"], [0.001, 0.006, 0.01]
CLUSTERS = {"10 x 30": (10, 30), "40 x 10": (40, 10), "200 x 5": (200, 5)}


@dataclass(frozen=True)
class World:
    """A population of prompts, their outcomes, and what two routers estimate.

    Attributes
    ----------
    name : str
        What is special about it.
    failures : float
        Mean share of wrong answers of the large model; the small one's is six times that, and at most .5.
    icc : float
        Share of the latent variance that prompts of one group have in common.
    cost_spread : float
        Standard deviation of the log cost of a prompt.
    dear : float
        Share of prompts that cost 50 times as much.
    graded : bool
        Quality in {0, .5, 1} instead of {0, 1}.
    flipped : float
        Share of verdicts that the judge turns round.
    """

    name: str
    failures: float = 0.15
    icc: float = 0.0
    cost_spread: float = 0.3
    dear: float = 0.0
    graded: bool = False
    flipped: float = 0.0

    def draw(self, rng: np.random.Generator, n_groups: int, per_group: int = 1) -> dict[str, Any]:
        """Sample prompts: quality, cost, groups, and the estimates of an informed and a blind router."""
        n, groups = n_groups * per_group, np.repeat(np.arange(n_groups), per_group)

        def latent(columns: int) -> Any:
            common = rng.normal(size=(n_groups, columns))[groups]
            return np.sqrt(self.icc) * common + np.sqrt(1 - self.icc) * rng.normal(size=(n, columns))

        hard = ndtr(latent(1))
        share = np.minimum(np.array([6.0, 4.0, 1.0]) * self.failures, [0.5, 0.4, 0.3])
        right = 1 - 2 * share * hard  # chance of a right answer
        luck = ndtr(latent(3))
        quality = (luck < right).astype(float)
        if self.graded:
            quality[(luck >= right) & (luck < right + (1 - right) / 2)] = 0.5
        quality = np.where(rng.random(quality.shape) < self.flipped, 1 - quality, quality)
        size = np.exp(self.cost_spread * rng.normal(size=(n, 1))) * np.where(rng.random((n, 1)) < self.dear, 50.0, 1.0)
        index = pd.RangeIndex(n, name="prompt_id")
        frames = {
            "quality": quality,
            "cost": size * PRICES,
            "informed": np.clip(1 - 2 * share * np.clip(hard + 0.15 * rng.normal(size=(n, 1)), 0, 1), 0, 1),
            # The middle model lies below the line from the small to the large one: all that blind choices of these two
            # can reach is on it.
            "blind": np.clip([0.5, 0.0, 0.7] + 0.02 * rng.normal(size=(n, 3)) * [1, 0, 1], 0, 1),
        }
        found: dict[str, Any] = {k: pd.DataFrame(v, index=index, columns=MODELS) for k, v in frames.items()}
        flat = pd.DataFrame([PRICES] * n, index=index, columns=MODELS)
        found |= {f"{who} sweep": sweep_estimates(found[who], flat) for who in ("informed", "blind")}
        return found | {"groups": groups if per_group > 1 else None}


def measured(sample: dict[str, Any], n_resamples: int, seed: int) -> Iterator[tuple[str, float, float, float]]:
    """Each measure with estimate and interval."""
    quality, cost, groups = sample["quality"], sample["cost"], sample["groups"]
    options = {"groups": groups, "n_resamples": n_resamples, "random_state": seed}
    informed, blind = sample["informed sweep"], sample["blind sweep"]
    for name, first, second in (
        ("AIQ - zero router", informed, "zero_router"),
        ("AIQ - zero router, blind router", blind, "zero_router"),
        ("AIQ - second router", informed, blind),
    ):
        found = rl.aiq_difference(first, second, quality, cost, **options)
        yield name, found.estimate, found.low, found.high
    for name, sweep in (("saving at parity", informed), ("saving at parity, blind router", blind)):
        found = rl.saving_at_parity(sweep, quality, cost, baseline="large", max_quality_loss=0.02, **options)
        yield name, found.estimate, found.low, found.high
    score = sample["informed"]["large"] - sample["informed"]["small"]
    if quality["large"].mean() > quality["small"].mean():
        for name, found in rl.call_metrics(
            score, quality, strong="large", weak="small", targets=[0.5], **options
        ).items():
            yield name, found.estimate, found.low, found.high
    else:  # call_curve refuses
        yield from ((name, np.nan, np.nan, np.nan) for name in ("APGR", "CPT(50%)"))
    row = rl.predictability(sample["informed"], quality, baseline="large", **options).loc["small"]
    for name in ("auc", "r2"):
        yield f"predictability {name}", row[name], row[f"{name}_low"], row[f"{name}_high"]


def truths(world: Any) -> dict[str, float]:
    """Measure a large sample, or the whole file; a blind router gains exactly nothing in a simulated world."""
    rng = np.random.default_rng(SEED)
    everything = world.draw(rng, 100_000) if isinstance(world, World) else world.whole(rng)
    values = {name: value for name, value, _, _ in measured(everything, 2, SEED)}
    return values | ({"AIQ - zero router, blind router": 0.0} if isinstance(world, World) else {})


class Published:
    """A file as a population: outcomes of half of the prompts estimate what the others are drawn from.

    Parameters
    ----------
    name : str
        Of the world.
    quality, cost : DataFrame of shape (n_prompts, 3)
        Columns small, middle, large.
    kind : Series
        What the router knows of a prompt, e.g. its data set.
    """

    def __init__(self, name: str, quality: pd.DataFrame, cost: pd.DataFrame, kind: pd.Series) -> None:
        self.name = name
        order = np.random.default_rng(SEED).permutation(len(quality))
        fit, rest = order[::2], order[1::2]
        known = quality.iloc[fit].groupby(kind.iloc[fit]).mean()
        estimate = known.reindex(kind.iloc[rest]).fillna(quality.iloc[fit].mean()).set_axis(quality.index[rest])
        self.frames = {"quality": quality.iloc[rest], "cost": cost.iloc[rest], "informed": estimate}
        self.price = cost.iloc[fit].mean()

    def whole(self, rng: np.random.Generator) -> dict[str, Any]:
        """Take the file some times over: what is true of a draw from it."""
        return self.at(np.tile(np.arange(len(self.frames["quality"])), 20), rng)

    def at(self, rows: Any, rng: np.random.Generator) -> dict[str, Any]:
        """Take some rows of the population; a blind router's estimates differ by chance alone."""
        index = pd.RangeIndex(len(rows), name="prompt_id")
        found: dict[str, Any] = {k: frame.iloc[rows].set_axis(index) for k, frame in self.frames.items()}
        chance = rng.normal(0, 0.02, (len(rows), found["quality"].shape[1]))
        found["blind"] = (0 * found["informed"] + self.frames["informed"].mean() + chance).clip(0, 1)
        flat = pd.DataFrame([self.price] * len(rows), index=index)
        found |= {f"{who} sweep": sweep_estimates(found[who], flat) for who in ("informed", "blind")}
        return found | {"groups": None}

    def draw(self, rng: np.random.Generator, n_groups: int, per_group: int = 1) -> dict[str, Any]:
        """Sample prompts with replacement."""
        return self.at(rng.integers(len(self.frames["quality"]), size=n_groups), rng)


def published() -> Iterator[Published]:
    """Yield RouterBench (three of its models) and MMLU (two)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data = rl.fetch_routerbench()
        quality, cost = rl.pivot_outcomes(data.outcomes)
        names = {"zero-one-ai/Yi-34B-Chat": "small", "gpt-3.5-turbo-1106": "middle", "gpt-4-1106-preview": "large"}
        pair = [frame[list(names)].rename(columns=names) for frame in (quality, cost)]
        yield Published("RouterBench, resampled", *pair, data.prompts.loc[quality.index, "dataset"])
        data = rl.fetch_routellm("mmlu")
        quality, cost = rl.pivot_outcomes(data.outcomes)
        names = dict(zip(quality.mean().sort_values().index, ("small", "large"), strict=True))
        pair = [frame[list(names)].rename(columns=names) for frame in (quality, cost)]
        yield Published("MMLU, resampled", *pair, data.prompts.loc[quality.index, "intent"])


def cells(thin: bool) -> Iterator[tuple[Any, int, int]]:
    """World, groups, prompts in a group."""
    plain = World("independent")
    for n in (60, 400) if thin else (5, 20, 60, 150, 400, 2000):
        yield plain, n, 1
    worlds = [
        World("rare failures .5%", failures=0.005),
        World("rare failures 3%", failures=0.03),
        World("heavy cost", cost_spread=2.0),
        World("dear 2%", dear=0.02),
        World("three-valued", graded=True),
        World("judge noise 20%", flipped=0.2),
    ]
    for world in worlds[:1] if thin else worlds:
        for n in (60,) if thin else (20, 60, 150, 400, 2000):
            yield world, n, 1
    for icc in (0.5,) if thin else (0.05, 0.5, 0.95):
        for name, shape in CLUSTERS.items():
            if not thin or name == "10 x 30":
                yield World(f"clusters {name}, icc {icc:g}", icc=icc), *shape
    if not thin and os.environ.get("ROUTERLAB_DATA"):
        for world in published():
            for n in (60, 400, 2000):
                yield world, n, 1


def rows(n_simulations: int = 400, thin: bool = False, only: set[Cell] | None = None) -> Iterator[Row]:
    """Yield one row for each measure and cell; `only` names worlds and sizes.

    A blind router's AIQ and lower ends of savings are false if they promise a gain that is not there.
    """
    known: dict[Any, dict[str, float]] = {}
    for world, n_groups, per_group in cells(thin):
        n = n_groups * per_group
        if only is not None and (world.name, n) not in {cell[1:] for cell in only}:
            continue
        # What is true of a prompt does not change with the clusters, nor with sizes that quality does not depend on.
        key = replace(world, name="", icc=0.0, cost_spread=0.0, dear=0.0) if isinstance(world, World) else world
        if key not in known:
            known[key] = truths(key)
        truth, runs = known[key], max(n_simulations // 4, 20) if n >= 2000 else n_simulations
        found: dict[str, list[tuple[float, float, float]]] = {}
        saved: dict[str, list[float]] = {}
        for seed in range(runs):
            sample = world.draw(np.random.default_rng([SEED + 1, seed, n_groups]), n_groups, per_group)
            for name, estimate, low, high in measured(sample, 200, seed):
                found.setdefault(name, []).append((low, high, truth[name]))
                saved.setdefault(name, []).append(estimate)
        for name, ends in found.items():
            more: dict[str, Any] = {"ordinary": world.name in ("independent", "three-valued")}
            if name.startswith("saving"):
                more["median saving"] = float(np.median(saved[name]))
            yield interval_row(name, world.name, n, ends, runs, **more)
    yield from separability_rows(n_simulations, thin, only)


def separability_rows(n_simulations: int, thin: bool, only: set[Cell] | None) -> Iterator[Row]:
    """Two samples of one population: p <= .05 is a false verdict, and the AUC is 0.5."""
    shapes = [(60, 1, 0.0), (400, 1, 0.0)] + [(*shape, icc) for icc in (0.05, 0.5, 0.95) for shape in CLUSTERS.values()]
    for n_groups, per_group, icc in [shapes[0], (10, 30, 0.95)] if thin else shapes:
        world = "independent" if per_group == 1 else f"clusters {n_groups} x {per_group}, icc {icc:g}"
        if only is not None and ("separability", world, n_groups * per_group) not in only:
            continue
        p, low, high = np.empty((3, n_simulations))
        for seed in range(n_simulations):
            rng = np.random.default_rng([SEED + 2, seed, n_groups])
            sets = [
                np.sqrt(icc) * np.repeat(rng.normal(size=(n_groups, 8)), per_group, axis=0)
                + np.sqrt(1 - icc) * rng.normal(size=(n_groups * per_group, 8))
                for _ in range(2)
            ]
            groups = None if per_group == 1 else [np.repeat(np.arange(n_groups), per_group)] * 2
            found = rl.domain_separability(*sets, groups=groups, n_permutations=99, random_state=seed)
            p[seed], low[seed], high[seed] = found.p_value, found.low, found.high
        ends = np.column_stack([low, high, np.full(n_simulations, 0.5)])
        row = interval_row("separability", world, n_groups * per_group, ends, n_simulations, nominal=0.05)
        yield row | {"false": float(np.mean(p <= 0.05))}
