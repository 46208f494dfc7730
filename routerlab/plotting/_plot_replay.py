"""What policies paid and lost, day by day, through a market's shocks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from routerlab.plotting._style import background, bare, colors, font, halo, legible, quiet
from routerlab.schema import reject

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray


def plot_replay(replay: Any, *, events: Mapping[str, Any] | None = None, days: int = 7) -> NDArray[Any]:
    """Draw each policy's bill a day on a log axis, with the band of the markets, and its failed requests below.

    Parameters
    ----------
    replay : Replay
        As `routerlab.market.replay` returns it.
    events : mapping of str to date, optional
        Words to write at dates.
    days : int, default 7
        Bills are means over so many days; failed requests are those of each day.

    Returns
    -------
    ndarray of shape (2,)
        The two Axes drawn on.

    Raises
    ------
    TableError
        Something that is not a result of `routerlab.market.replay`.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("agg")
    >>> from types import SimpleNamespace
    >>> days = pd.DataFrame({"policy": "locked", "date": pd.date_range("2024-01-01", periods=3), "usd": 2.0})
    >>> days = days.assign(usd_low=1.0, usd_high=3.0, failed=0.0)
    >>> plot_replay(SimpleNamespace(days=days, n_paths=99, confidence=0.95, provenance="simulated"))[0].get_ylabel()
    'USD a day, 7-day mean (log axis)'
    """
    import matplotlib.pyplot as plt

    from routerlab.plotting._artists import note

    if not isinstance(getattr(replay, "days", None), pd.DataFrame):
        reject("'replay'", f"got {type(replay).__name__}.", "Pass the result of routerlab.market.replay(...).")
    _, (top, bottom) = plt.subplots(2, 1, figsize=(8.5, 6.2), sharex=True, height_ratios=[2, 1], layout="constrained")
    names = list(dict.fromkeys(replay.days["policy"]))
    for name, color in zip(names, colors(top, len(names)), strict=True):
        table = replay.days[replay.days["policy"] == name]
        usd, low, high = (
            table[c].where(table["usd"] > 0.01 * table["usd"].max()) for c in ("usd", "usd_low", "usd_high")
        )
        smooth = [column.rolling(days, min_periods=1).mean().where(usd.notna()) for column in (usd, low, high)]
        top.plot(table["date"], smooth[0], color=color, linewidth=2, label=name)
        top.fill_between(table["date"], smooth[1], smooth[2], color=color, alpha=0.07, linewidth=0)
        for edge in smooth[1:]:
            top.plot(table["date"], edge, color=color, linewidth=0.8, alpha=0.8, gid="edge")
        bottom.plot(table["date"], 100 * table["failed"], color=color, linewidth=1.5, drawstyle="steps-post")
        _say_where_it_ends(top, name, table["date"], smooth[0], color)
    for word, date in (events or {}).items():
        for panel in (top, bottom):
            panel.axvline(pd.Timestamp(date), color=quiet(panel), linestyle=":", linewidth=1, zorder=0)
        place = {"xycoords": ("data", "axes fraction"), "textcoords": "offset points", "xytext": (3, -10)}
        top.annotate(word, (pd.Timestamp(date), 1), fontsize=font(top, 0.8), **place)
    top.set(yscale="log", ylabel=f"USD a day, {days}-day mean (log axis)")
    marks = np.array([m * 10.0**k for k in range(-3, 7) for m in (1, 3)])
    marks = marks[(marks >= top.get_ylim()[0]) & (marks <= top.get_ylim()[1])]
    top.set_yticks(marks, [f"{mark:,.10g}" for mark in marks])
    top.minorticks_off()
    top.legend(frameon=False, fontsize=font(top), loc="lower left")
    bottom.set_ylabel("Failed requests, %\n(each day)")
    for panel in (top, bottom):
        bare(panel, "y")
    many = f"Bands: {replay.confidence:.0%} of {replay.n_paths:,} markets, day by day" if replay.n_paths > 1 else None
    note(bottom, many, replay.provenance)
    return np.array([top, bottom])


def _say_where_it_ends(ax: Axes, name: str, dates: pd.Series, usd: pd.Series, color: str) -> None:
    """Write next to a line that stops before the others that nothing is billed from there on."""
    billed = usd.notna().to_numpy()
    if billed.any() and not billed[-1]:
        last = int(np.flatnonzero(billed)[-1])
        ax.annotate(
            f"{name}:\nno answers,\nno bill", (dates.iloc[last], usd.iloc[last]), (4, 0), textcoords="offset points",
            fontsize=font(ax, 0.8), color=legible(color, ax), va="center", path_effects=halo(background(ax)),
        )  # fmt: skip
