"""What policies paid and lost, day by day, through a market's shocks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from routerlab.plotting._style import bare, colors, font, quiet
from routerlab.schema import reject

if TYPE_CHECKING:
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
        Lines are means over so many days.

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
    'USD a day (log axis)'
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
        top.fill_between(table["date"], smooth[1], smooth[2], color=color, alpha=0.15, linewidth=0)
        failed = 100 * table["failed"].rolling(days, min_periods=1).mean()
        bottom.plot(table["date"], failed, color=color, linewidth=1.5)
    for word, date in (events or {}).items():
        for panel in (top, bottom):
            panel.axvline(pd.Timestamp(date), color=quiet(panel), linestyle=":", linewidth=1, zorder=0)
        place = {"xycoords": ("data", "axes fraction"), "textcoords": "offset points", "xytext": (3, -10)}
        top.annotate(word, (pd.Timestamp(date), 1), fontsize=font(top, 0.8), **place)
    top.set(yscale="log", ylabel="USD a day (log axis)")
    marks = np.array([m * 10.0**k for k in range(-3, 7) for m in (1, 3)])
    marks = marks[(marks >= top.get_ylim()[0]) & (marks <= top.get_ylim()[1])]
    top.set_yticks(marks, [f"{mark:,.10g}" for mark in marks])
    top.minorticks_off()
    top.legend(frameon=False, fontsize=font(top), loc="lower left")
    bottom.set_ylabel(f"Failed requests, %\n({days}-day mean)")
    for panel in (top, bottom):
        bare(panel, "y")
    many = f"Bands: {replay.confidence:.0%} of {replay.n_paths:,} markets, day by day" if replay.n_paths > 1 else None
    note(bottom, many, replay.provenance)
    return np.array([top, bottom])
