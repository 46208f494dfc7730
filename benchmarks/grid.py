"""Worlds with known truth, and how a grid of coverage is printed and judged."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

SIZES = (5, 20, 60, 150, 400, 2000)
CLUSTERS = ((10, 30), (40, 10), (200, 5))
Row = dict[str, Any]


@dataclass(frozen=True)
class Sample:
    """Choices on a sample of prompts, and the truth in its population."""

    choices: pd.Series
    quality: pd.DataFrame
    cost: pd.DataFrame
    saving: float
    quality_difference: float
    groups: np.ndarray | None = None


@dataclass(frozen=True)
class World:
    """Draws samples of any size."""

    name: str
    draw: Callable[[int, np.random.Generator], Sample]
    sizes: tuple[int, ...] = SIZES
    ordinary: bool = False  # independent prompts, no rare failures, light cost: no refusal from 150 on


def routed(
    n: int,
    rng: np.random.Generator,
    *,
    share: float = 0.6,
    worse: float = 0.1,
    better: float = 0.06,
    thirds: bool = False,
    spread: float = 0.5,
    codes: np.ndarray | None = None,
    icc: float = 0.0,
) -> Sample:
    """Send a share of the prompts to a model at a tenth of the price, which is sometimes worse, sometimes better.

    With `codes`, what decides a prompt is with probability sqrt(icc) its group's draw.
    """

    def draws() -> np.ndarray:
        own = rng.random(n)
        if codes is None:
            return own
        shared = rng.random(codes.max() + 1)[codes]
        return np.where(rng.random(n) < np.sqrt(icc), shared, own)

    cheap, event = draws() < share, draws()
    change = np.where(event < worse, -1.0, np.where(event > 1 - better, 1.0, 0.0))
    if thirds:
        change = np.where(rng.random(n) < 0.5, change, change / 2)
    tokens = rng.lognormal(0, spread, n)
    noise = rng.lognormal(0, 0.3, n)
    index = pd.RangeIndex(n, name="prompt_id")
    base = np.where(change > 0, 1 - change, 1.0)
    quality = pd.DataFrame({"cheap": base + change, "dear": base}, index)
    cost = pd.DataFrame({"cheap": 0.001 * tokens * noise, "dear": 0.01 * tokens}, index)
    choices = pd.Series(np.where(cheap, "cheap", "dear"), index=index)
    ratio = 1 - share + share * 0.1 * np.exp(0.3**2 / 2)
    scale = 0.75 if thirds else 1.0
    return Sample(choices, quality, cost, 1 - ratio, scale * share * (better - worse), codes)


def clustered(groups: int, size: int, icc: float, **options: Any) -> World:
    """Make a world of conversations of equal length."""
    codes = np.repeat(np.arange(groups), size)
    name = f"{groups} groups of {size}, icc {icc:g}" + (", rare failures" if options.get("worse", 1) < 0.05 else "")
    return World(name, lambda n, rng: routed(n, rng, codes=codes, icc=icc, **options), sizes=(groups * size,))


def simulated_worlds() -> Iterator[World]:
    """Yield the worlds that need no published file."""
    yield World("independent", lambda n, rng: routed(n, rng), ordinary=True)
    yield World("three-valued quality", lambda n, rng: routed(n, rng, thirds=True), ordinary=True)
    for worse in (0.005, 0.01, 0.03):
        yield World(
            f"rare failures, {worse:.1%}", lambda n, rng, w=worse: routed(n, rng, share=0.9, worse=w, better=0.0)
        )
    yield World("2% of calls dear", lambda n, rng: routed(n, rng, share=0.98))
    yield World("heavy cost (lognormal, 2)", lambda n, rng: routed(n, rng, spread=2.0))
    for groups, size in CLUSTERS:
        for icc in (0.05, 0.5, 0.95):
            yield clustered(groups, size, icc)
        yield clustered(groups, size, 0.95, share=0.9, worse=0.02, better=0.0)


def population(name: str, choices: pd.Series, quality: pd.DataFrame, cost: pd.DataFrame, baseline: str) -> World:
    """Make a world that resamples published outcomes: the file is the population, and its means are the truth."""
    ours = quality.to_numpy()[np.arange(len(quality)), quality.columns.get_indexer(choices)]
    paid = cost.to_numpy()[np.arange(len(cost)), cost.columns.get_indexer(choices)]
    pair = pd.DataFrame({"cheap": ours, "dear": quality[baseline].to_numpy()})
    price = pd.DataFrame({"cheap": paid, "dear": cost[baseline].to_numpy()})
    kept = (choices == baseline).to_numpy()
    saving = float(1 - price["cheap"].sum() / price["dear"].sum())
    difference = float((pair["cheap"] - pair["dear"]).mean())

    def draw(n: int, rng: np.random.Generator) -> Sample:
        rows = rng.integers(len(pair), size=n)
        index = pd.RangeIndex(n, name="prompt_id")
        chosen = pd.Series(np.where(kept[rows], "dear", "cheap"), index=index)
        frames = [frame.iloc[rows].set_axis(index) for frame in (pair, price)]
        return Sample(chosen, frames[0], frames[1], saving, difference)

    return World(name, draw, sizes=(20, 60, 150, 400, 2000))


def allowed(nominal: float, n_simulations: int, n_cells: int, level: float = 0.05) -> float:
    """Share of simulations that may miss in any of `n_cells` before the grid fails, at simultaneous `level`."""
    return float(stats.binom.ppf(1 - level / max(n_cells, 1), max(n_simulations, 1), nominal)) / max(n_simulations, 1)


def failures(rows: Iterable[Row], floor: float = 0.93) -> list[Row]:
    """Return the cells that cover less than `floor`, or whose false verdicts exceed their nominal share."""
    rows = list(rows)
    bad = []
    for row in rows:
        drawn = round(row["n_simulations"] * (1 - (row.get("refused") or 0.0)))
        if drawn < 20:
            continue
        misses = 1 - row["coverage"] if row.get("coverage") is not None else 0.0
        false = row.get("false") or 0.0
        if misses > allowed(1 - floor, drawn, len(rows)) or false > allowed(row["nominal"], drawn, len(rows)):
            bad.append(row)
    return bad


def table(rows: Iterable[Row]) -> str:
    """Return rows as a markdown table."""
    columns = ("measure", "world", "n", "coverage", "false", "nominal", "refused", "width")
    lines = [f"| {' | '.join(columns)} |", "|" + " --- |" * len(columns)]
    for row in rows:
        cells = []
        for name in columns:
            value = row.get(name)
            if value is None or (isinstance(value, float) and np.isnan(value)):
                cells.append("")
            elif name in ("coverage", "false", "nominal", "refused"):
                cells.append(f"{value:.1%}")
            else:
                cells.append(
                    f"{value:.3g}" if isinstance(value, float) else f"{value:,}" if name == "n" else str(value)
                )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)
