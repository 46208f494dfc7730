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
Cell = tuple[str, str, int]  # measure, world, n


@dataclass(frozen=True)
class Sample:
    """Choices on a sample of prompts, and the truth in its population."""

    choices: pd.Series
    quality: pd.DataFrame
    cost: pd.DataFrame
    saving: float
    quality_difference: float
    level: float  # mean quality of the choices
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
    difference = scale * share * (better - worse)
    return Sample(choices, quality, cost, 1 - ratio, difference, 1 - scale * better + difference, codes)


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
    difference, level = float((pair["cheap"] - pair["dear"]).mean()), float(pair["cheap"].mean())

    def draw(n: int, rng: np.random.Generator) -> Sample:
        rows = rng.integers(len(pair), size=n)
        index = pd.RangeIndex(n, name="prompt_id")
        chosen = pd.Series(np.where(kept[rows], "dear", "cheap"), index=index)
        frames = [frame.iloc[rows].set_axis(index) for frame in (pair, price)]
        return Sample(chosen, frames[0], frames[1], saving, difference, level)

    return World(name, draw, sizes=(20, 60, 150, 400, 2000))


def interval_row(
    measure: str, world: str, n: int, ends: Any, n_simulations: int, *, nominal: float = 0.025, **more: Any
) -> Row:
    """Summarise one cell: rows of `ends` are low, high and the truth; ends that are not finite were not given.

    `false` is the share of the intervals given that lie wholly above the truth.
    """
    low, high, truth = np.asarray(ends, dtype=float).reshape(-1, 3).T
    given = np.isfinite(low) & np.isfinite(high)
    n_given = int(given.sum())
    low, high, truth = low[given], high[given], truth[given]
    some = {
        "coverage": float(((low <= truth + 1e-9) & (truth - 1e-9 <= high)).mean()),
        "false": float((low > truth + 1e-9).mean()),
        "width": float(np.median(high - low)),
    } if n_given else {"coverage": None, "false": None, "width": None}  # fmt: skip
    row = {"measure": measure, "world": world, "n": n, **some, "nominal": nominal}
    return row | {"refused": 1 - n_given / n_simulations, "n_given": n_given, "n_simulations": n_simulations} | more


def rate_row(measure: str, world: str, n: int, false: float, n_simulations: int, *, nominal: float, **more: Any) -> Row:
    """Summarise one cell whose verdicts are right or false, over all simulations."""
    row = {"measure": measure, "world": world, "n": n, "coverage": None, "false": false, "nominal": nominal}
    return row | {"refused": 0.0, "n_given": n_simulations, "n_simulations": n_simulations} | more


def unlikely(misses: float, nominal: float, n: int, level: float) -> bool:
    """Say whether a share of misses among n would be this large with a probability of at most `level`."""
    return bool(stats.binom.sf(round(misses * n) - 1, n, nominal) <= level)


def faults(row: Row, level: float, floor: float = 0.93) -> list[str]:
    """Name what is wrong with a cell: intervals that miss, false verdicts, refusals where there is enough to say."""
    found, n = [], row["n_given"]
    if n and row["coverage"] is not None and unlikely(1 - row["coverage"], 1 - floor, n, level):
        found.append(f"covers less than {floor:.0%}")
    if n and row["false"] is not None and unlikely(row["false"], row["nominal"], n, level):
        found.append("more false than nominal")
    if row.get("ordinary") and row["n"] >= 150 and row["refused"] > 0:
        found.append("refuses")
    return found


def failures(rows: Iterable[Row], level: float = 0.05) -> list[Row]:
    """Return the cells that fail beyond simulation error, which is simultaneous over all of them (Bonferroni)."""
    rows = list(rows)
    judged = [row | {"fails": "; ".join(faults(row, level / (2 * len(rows))))} for row in rows]
    return [row for row in judged if row["fails"]]


def cell_of(row: Row) -> Cell:
    """Return what names a cell."""
    return row["measure"], row["world"], row["n"]


def close(rows: Iterable[Row]) -> set[Cell]:
    """Return the cells that look worse than they may be: they are worth more simulations."""
    return {cell_of(row) for row in rows if faults(row, 0.2)}


PERCENT = {"coverage", "false", "nominal", "refused", "median saving", "mean saving", "oracle", "unguarded"}
COLUMNS = (
    "measure", "world", "n", "coverage", "false", "nominal", "refused", "median saving", "mean saving", "oracle",
    "unguarded", "width", "width / 0.1.0's", "n_simulations", "fails",
)  # fmt: skip


def table(rows: Iterable[Row]) -> str:
    """Return rows as a markdown table, without columns that all of them leave empty."""
    rows = list(rows)

    def said(row: Row, name: str) -> str:
        value = row.get(name)
        if value is None or value == "" or (isinstance(value, float) and np.isnan(value)):
            return ""
        if name in PERCENT:
            return f"{value:.1%}"
        return f"{value:.3g}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)

    columns = [name for name in COLUMNS if any(said(row, name) for row in rows)]
    lines = [f"| {' | '.join(columns)} |", "|" + " --- |" * len(columns)]
    lines += [f"| {' | '.join(said(row, name) for name in columns)} |" for row in rows]
    return "\n".join(lines)


def worst(rows: Iterable[Row]) -> list[Row]:
    """Return, for each measure, the cell of least coverage and the one whose false verdicts pass nominal by most."""
    frame = pd.DataFrame(list(rows))
    kept: set[int] = set()
    for _, part in frame[frame["n_given"] >= 20].groupby("measure", sort=False):
        excess = part["false"].astype(float) - part["nominal"]
        kept.add(int(excess.idxmax()))
        if part["coverage"].notna().any():
            kept.add(int(part["coverage"].astype(float).idxmin()))
    return [dict(frame.loc[k].where(frame.loc[k].notna(), None)) for k in sorted(kept)]
