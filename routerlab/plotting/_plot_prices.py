"""Prices over time: steps on a logarithmic axis."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from routerlab.exceptions import ParameterError
from routerlab.plotting._style import (
    LINES,
    axes_for,
    bare,
    colors,
    figure_of,
    font,
    ink,
    legible,
    mix,
    name_x,
    short_names,
)
from routerlab.schema import provenance_of, reject, shown

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_PER = {"input": (1.0, 0.0), "output": (0.0, 1.0), "blended": (0.75, 0.25)}
_SAID = {"input": "input", "output": "output", "blended": "3 parts input, 1 part output"}


def plot_prices(
    history: pd.DataFrame,
    offers: Sequence[str] | None = None,
    *,
    price: Literal["blended", "input", "output"] = "blended",
    until: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw what offers cost over time: a step for each change, on a logarithmic axis.

    A shaded step is one whose day is not known: the price changed some time within it.

    Parameters
    ----------
    history : DataFrame
        `routerlab.load_price_history`, or offers with validities.
    offers : sequence of str, optional
        ``offer_id`` of those to draw, in the order of their colours. Default: all, which is readable up to about ten.
    price : {'blended', 'input', 'output'}, default 'blended'
        USD per 1M tokens of input, of output, or of three parts input and one part output.
    until : str, optional
        The day at which prices that still hold end. Default: the last day in the table.
    ax : Axes, optional
        Where to draw.

    Returns
    -------
    Axes
        The Axes drawn on.

    Raises
    ------
    TableError
        An offer that is not in the table, or none that is paid for.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("agg")
    >>> days = pd.to_datetime(["2024-05-22", "2024-11-16"], utc=True)
    >>> history = pd.DataFrame({"offer_id": "gpt-4o@openai", "valid_from": days, "valid_to": [days[1], pd.NaT]})
    >>> history = history.assign(input_usd_per_1m=[5.0, 2.5], output_usd_per_1m=[15.0, 10.0])
    >>> plot_prices(history, until="2025-01-01").get_ylabel()
    'USD per 1M tokens (3 parts input, 1 part output)'
    """
    from routerlab.plotting._artists import note

    if price not in _PER:
        msg = f"'price' must be one of {shown(_PER)}. Got {price!r} instead."
        raise ParameterError(msg)
    names = list(dict.fromkeys(history["offer_id"])) if offers is None else list(offers)
    absent = [name for name in names if name not in set(history["offer_id"])]
    if absent:
        near = [name for name in history["offer_id"].unique() if any(a.partition("@")[0] in name for a in absent)]
        reject("'offers'", f"{shown(absent)} is not in the table.", f"It has {shown(near or history['offer_id'], 8)}.")
    share = np.array(_PER[price])
    usd = history[["input_usd_per_1m", "output_usd_per_1m"]].to_numpy(float) @ share
    table = history.assign(usd=usd)[history["offer_id"].isin(names) & (usd > 0)]
    if table.empty:
        reject("'history'", "has no price above 0 to draw.", "Free offers have no place on a logarithmic axis.")
    last = pd.Timestamp(until, tz="UTC") if until else table[["valid_from", "valid_to"]].max().max()
    ax = axes_for(ax, 9.0, 4.6)
    bare(ax, grid="y")
    palette, ends = colors(ax, len(names)), {}
    for place, name in enumerate(names):
        rows = table[table["offer_id"] == name].sort_values("valid_from", na_position="first")
        style = LINES[(place // 6) % len(LINES)]
        color = mix(palette[place], ink(ax), 0.45 * (place // 6 % 2))  # six colours, and then a shade of each
        if len(rows):
            ends[name] = (_steps(ax, rows, last, color, style), color)
    ax.set_yscale("log")
    low, high = ax.get_ylim()
    ax.set_ylim(low / 1.1, high * 1.1)
    _axes(ax)
    _label_ends(ax, ends)
    ax.set_ylabel(f"USD per 1M tokens ({_SAID[price]})")
    name_x(ax, "")
    note(ax, provenance_of(history))
    return ax


def _steps(ax: Axes, rows: pd.DataFrame, last: pd.Timestamp, color: Any, style: object) -> tuple[pd.Timestamp, float]:
    """Draw one offer, and return where its line ends."""
    starts, stops = rows["valid_from"].copy(), rows["valid_to"].fillna(last).clip(upper=last)
    unknown = starts.isna()
    starts = starts.fillna(stops - pd.Timedelta(days=30))  # in force before, nobody says since when
    usd = rows["usd"].to_numpy(float)
    x = np.column_stack([starts, stops]).ravel()
    ax.plot(x[2 * int(unknown.iloc[0]) :], np.repeat(usd, 2)[2 * int(unknown.iloc[0]) :], color=color, ls=style, lw=2)
    if unknown.iloc[0]:
        ax.plot(x[:3], np.repeat(usd, 2)[:3], color=color, ls=":", lw=2)
    if "changed_after" in rows:
        for k in range(1, len(rows)):
            after, by = rows["changed_after"].iloc[k], rows["valid_from"].iloc[k]
            if pd.notna(after) and by - after > pd.Timedelta(days=2):
                ax.fill_between([after, by], *sorted(usd[k - 1 : k + 1]), color=color, alpha=0.18, linewidth=0)
    return stops.iloc[-1], float(usd[-1])


def _axes(ax: Axes) -> None:
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    ax.yaxis.set_major_locator(LogLocator(subs=(1, 3)))
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.yaxis.set_minor_locator(NullLocator())
    days = AutoDateLocator(minticks=3, maxticks=7)
    ax.xaxis.set_major_locator(days)
    ax.xaxis.set_major_formatter(ConciseDateFormatter(days))


def _label_ends(ax: Axes, ends: dict[str, tuple[tuple[pd.Timestamp, float], Any]]) -> None:
    """Name each line where it ends, to the right, and keep the names apart."""
    size, names = font(ax, 0.85), short_names(ends)
    low, high = np.log10(ax.get_ylim())
    inches = float(ax.get_position().height * figure_of(ax).get_figheight())
    least_ratio = 10.0 ** (1.3 * size / 72 / inches * (high - low))
    at = 0.0
    right = max(day for (day, _), _ in ends.values())
    for name, ((day, usd), color) in sorted(ends.items(), key=lambda item: item[1][0][1]):
        at = max(usd, at * least_ratio)
        line = {
            "arrowstyle": "-",
            "linewidth": 0.6,
            "color": legible(color, ax),
            "shrinkA": 0,
            "shrinkB": 2,
            "relpos": (0, 0.5),
        }
        moved = at > usd * 1.02 or day < right
        ax.annotate(
            names[name], (day, usd), xytext=(right + pd.Timedelta(days=20), at), textcoords="data", va="center",
            fontsize=size, color=legible(color, ax), annotation_clip=False, arrowprops=line if moved else None,
        )  # fmt: skip
