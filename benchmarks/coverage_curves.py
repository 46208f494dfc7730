"""How often the intervals of whole curves hold the truth, and how often they promise what is not there.

AIQ differences (against the zero router and against a second router), APGR, CPT, the saving at parity, predictability
and separability, in worlds with known truth. A router is held fixed: its estimates are a function of the prompt.

python benchmarks/coverage_curves.py [n_simulations]
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import ndtr

import routerlab as rl
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
        found = rl.saving_at_parity(sweep, quality, cost, baseline="large", margin=0.02, **options)
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


def truths(world: World) -> dict[str, float]:
    """Measure a large sample; a blind router gains exactly nothing."""
    values = {name: value for name, value, _, _ in measured(world.draw(np.random.default_rng(SEED), 100_000), 2, SEED)}
    return values | {"AIQ - zero router, blind router": 0.0}


def cells(thin: bool) -> Iterator[tuple[World, int, int]]:
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
        for n in (60,) if thin else (60, 150, 400):
            yield world, n, 1
    for icc in (0.5,) if thin else (0.05, 0.5, 0.95):
        for name, shape in CLUSTERS.items():
            if not thin or name == "10 x 30":
                yield World(f"clusters {name}, icc {icc:g}", icc=icc), *shape


def rows(n_simulations: int = 400, thin: bool = False) -> Iterator[dict[str, Any]]:
    """One row for each measure and cell.

    ``false``: the interval lies wholly above the truth (above 0, for a blind router's AIQ): a verdict that the router
    is better, or saves more, than it is. ``coverage`` is of all simulations that were not refused.
    """
    known: dict[tuple[Any, ...], dict[str, float]] = {}
    for world, n_groups, per_group in cells(thin):
        # The clusters' sizes do not change what is true of a prompt.
        key = (world.failures, world.cost_spread, world.dear, world.graded, world.flipped)
        truth = known.setdefault(key, {}) or known[key]
        if not truth:
            truth |= truths(World("", *key[:1], 0.0, *key[1:]))
        found: dict[str, list[tuple[float, float]]] = {}
        for seed in range(n_simulations):
            sample = world.draw(np.random.default_rng([SEED + 1, seed, n_groups]), n_groups, per_group)
            for name, _, low, high in measured(sample, 200, seed):
                found.setdefault(name, []).append((low, high))
        for name, ends in found.items():
            low, high = np.array(ends).T
            said = np.isfinite(low)
            held = (low[said] <= truth[name] + 1e-9) & (truth[name] - 1e-9 <= high[said])
            yield {
                "measure": name, "world": world.name, "n": n_groups * per_group, "truth": truth[name],
                "coverage": float(held.mean()) if said.any() else None,
                "false": float((low[said] > truth[name] + 1e-9).sum() / n_simulations), "nominal": 0.025,
                "refused": float(1 - said.mean()),
                "width": float(np.median((high - low)[said])) if said.any() else None,
                "n_said": int(said.sum()), "n_simulations": n_simulations,
            }  # fmt: skip
    yield from separability_rows(n_simulations, thin)


def separability_rows(n_simulations: int, thin: bool) -> Iterator[dict[str, Any]]:
    """Two samples of one population: p <= .05 is a false verdict, and the AUC is 0.5."""
    shapes = [(60, 1, 0.0), (400, 1, 0.0)] + [(*shape, icc) for icc in (0.05, 0.5, 0.95) for shape in CLUSTERS.values()]
    for n_groups, per_group, icc in [shapes[0], (10, 30, 0.95)] if thin else shapes:
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
        world = "independent" if per_group == 1 else f"clusters {n_groups} x {per_group}, icc {icc:g}"
        yield {
            "measure": "separability", "world": world, "n": n_groups * per_group, "truth": 0.5,
            "coverage": float(np.mean((low <= 0.5) & (high >= 0.5))), "false": float(np.mean(p <= 0.05)),
            "nominal": 0.05, "refused": 0.0, "width": float(np.median(high - low)),
            "n_said": n_simulations, "n_simulations": n_simulations,
        }  # fmt: skip


def main(n_simulations: int) -> None:
    """Print one table row as soon as it is known."""
    start = time.time()
    print(f"{n_simulations} simulations, seed {SEED}\n")
    print("| measure | world | n | truth | coverage | false | nominal | refused | width |\n|" + " --- |" * 9)
    for row in rows(n_simulations):
        shown = [
            row["measure"], row["world"], f"{row['n']:,}", f"{row['truth']:.3f}",
            "" if row["coverage"] is None else f"{row['coverage']:.1%}", f"{row['false']:.1%}",
            f"{row['nominal']:.1%}", f"{row['refused']:.1%}", "" if row["width"] is None else f"{row['width']:.3f}",
        ]  # fmt: skip
        print(f"| {' | '.join(shown)} |", flush=True)
    print(f"\n{(time.time() - start) / 60:.0f} minutes")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 400)
