"""Ratings with their intervals."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from routerlab.plotting._checks import check_ratings
from routerlab.plotting._style import (
    MARKERS,
    axes_for,
    background,
    bare,
    colors,
    figure_of,
    font,
    ink,
    intervals_note,
    mix,
    muted,
    name_x,
    quiet,
    shown_name,
    unique,
    width_in,
)
from routerlab.schema import provenance_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_ROWS = 24  # more (intent, model) rows than this, and each intent becomes one row of a grid


def plot_ratings(ratings: pd.DataFrame, *, ax: Axes | None = None, max_intents: int = 8) -> Axes:
    """Draw ratings and their intervals: a row for each model, or for each intent.

    Without intents, and with few of them, every (intent, model) has a row, and the interval of the best model is
    shaded: a model whose interval reaches into it may well be as good. With many intents, each is a row of a grid with
    a column for each model: the dot and its bar are placed within the column, the colour of the cell is the rating, and
    the dot is filled where the interval reaches that of the intent's best.

    Parameters
    ----------
    ratings : DataFrame
        As `rate` returns it: ``model``, ``rating``, ``ci_low``, ``ci_high`` (points), optionally ``n``
        (votes) and one more column for the intent.
    ax : Axes, optional
        Where to draw; by default a new figure as high as the rows need.
    max_intents : int, default 8
        More intents than this, or more than 24 rows, are drawn as a grid.

    Returns
    -------
    Axes
        The Axes drawn on.

    Raises
    ------
    TableError
        Not a table of ratings; an interval that does not hold its rating; two ratings of one model.

    Notes
    -----
    Two intervals that overlap do not prove that two models are equal, nor does a gap of a hair between
    them say much: `BradleyTerry` gives the interval of a difference with ``anchor=``.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("agg")
    >>> ratings = pd.DataFrame({"model": ["large", "small"], "rating": [1095.0, 905.0]})
    >>> ratings = ratings.assign(ci_low=ratings["rating"] - 60, ci_high=ratings["rating"] + 60)
    >>> [label.get_text() for label in plot_ratings(ratings).get_yticklabels()]
    ['large', 'small']
    """
    ratings, by = check_ratings(ratings)
    intents = [None] if by is None else unique(ratings[by])
    if by is not None and (len(intents) > max_intents or len(ratings) > _ROWS):
        return _grid(ratings, by, ax)
    return _forest(ratings, by, intents, ax)


def _forest(ratings: pd.DataFrame, by: str | None, intents: list[Any], ax: Axes | None) -> Axes:
    """One row for each (intent, model), best first, intents under a heading each."""
    rows = len(ratings) + 1.3 * (len(intents) if by else 0)
    ax = axes_for(ax, 7.0, 1.3 + 0.3 * rows)
    bare(ax, "x")
    size = min(font(ax, 0.95), max(4.0, 0.8 * ax.bbox.height / figure_of(ax).dpi * 72 / rows))
    looks = _looks(ax, unique(ratings["model"]), alike=by is None)
    ticks: dict[float, str] = {}
    y = 0.0
    for intent in intents:
        group = ratings if by is None else ratings[ratings[by] == intent]
        if by is not None:
            _text_at(ax, y, shown_name(intent), 0.0, fontsize=size, color=ink(ax), fontweight="bold")
            y += 0.95
        ticks |= _draw_group(ax, group.sort_values("rating", ascending=False, kind="stable"), y, size, looks)
        y += len(group) + 0.35
    if "n" in ratings:
        _text_at(ax, -0.75 if by is None else 0.0, "votes", 1.0, fontsize=0.85 * size, color=quiet(ax))
    ax.set_yticks(list(ticks), list(ticks.values()), fontsize=size)
    _embolden(ax.get_yticklabels(), ratings.attrs.get("baseline"))
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
    ax.set_ylim(y - 0.85, -0.6)
    name_x(ax, "Rating (points)")
    _small_print(ax, ratings, "Shaded: interval of the best model" + (" of each group" if by else ""))
    return ax


def _looks(ax: Axes, models: list[str], *, alike: bool) -> dict[str, tuple[str, str]]:
    """Colour and marker of each model; `alike` where its row alone tells it from the others."""
    hues = colors(ax, len(models))
    return {model: (hues[0], "o") if alike else (hues[i], MARKERS[i % len(MARKERS)]) for i, model in enumerate(models)}


def _draw_group(
    ax: Axes, group: pd.DataFrame, top: float, size: float, looks: dict[str, tuple[str, str]]
) -> dict[float, str]:
    """Draw sorted rows from `top` down, the best one's interval shaded through all; return their places and names."""
    best = group.iloc[0]
    ax.fill_betweenx(
        [top - 0.5, top + len(group) - 0.5], best["ci_low"], best["ci_high"],
        color=muted(ax), alpha=0.13, linewidth=0, zorder=0, gid="best",
    )  # fmt: skip
    places = {top + i: model for i, model in enumerate(group["model"])}
    for y, row in zip(places, group.to_dict("records"), strict=True):
        color, marker = looks[row["model"]]
        ax.hlines(y, row["ci_low"], row["ci_high"], color=color, linewidth=2.2, zorder=3)
        edge: dict[str, Any] = {"markeredgecolor": background(ax), "markeredgewidth": 0.8}
        ax.plot(row["rating"], y, marker, markersize=min(7, size), color=color, zorder=4, **edge)
        if "n" in row:
            _text_at(ax, y, f"{row['n']:,}", 1.0, fontsize=0.85 * size, color=quiet(ax))
    return places


def _text_at(ax: Axes, y: float, text: str, x: float, **style: Any) -> None:
    """Write in row `y`, from the left edge of the axes (x = 0) or in the margin right of it (x = 1)."""
    ax.annotate(
        text, (x, y), xycoords=("axes fraction", "data"), xytext=(6 * x, 0), textcoords="offset points",
        ha="left", va="center", annotation_clip=False, **style,
    )  # fmt: skip


def _embolden(labels: Iterable[Any], name: Any) -> None:
    for label in labels:
        label.set_fontweight("bold" if label.get_text() == name else "normal")


def _grid(ratings: pd.DataFrame, by: str, ax: Axes | None) -> Axes:
    """Rows of intents, columns of models, each cell a dot with its bar."""
    order = ratings.groupby("model", sort=False)["rating"].mean().sort_values(ascending=False)
    models, lead = list(order.index), ratings[ratings["model"] == order.index[0]].sort_values("rating", ascending=False)
    intents = unique([*lead[by], *ratings[by]])
    ax = axes_for(ax, 7.0, 2.4 + 0.22 * len(intents))
    bare(ax)
    middle = ratings["rating"].mean()
    reach = _round_up(float(np.abs(ratings[["ci_low", "ci_high"]].to_numpy() - middle).max()))
    best = ratings.loc[ratings.groupby(by, sort=False)["rating"].idxmax()].set_index(by)["ci_low"]
    x = pd.Index(models).get_indexer(ratings["model"])
    y = pd.Index(intents).get_indexer(ratings[by])
    _fill_cells(ax, x, y, ratings["rating"].to_numpy() - middle)
    low, high, dot = (x + 0.5 * (ratings[c].to_numpy() - middle) / reach for c in ("ci_low", "ci_high", "rating"))
    rival = ratings["ci_high"].to_numpy() >= ratings[by].map(best).to_numpy()
    size = float(np.clip(0.12 * 72 * width_in(ax) / len(models), 2.0, 4.5)) ** 2
    for these, face, alpha, gid in ((rival, ink(ax), 1.0, "rival"), (~rival, background(ax), 0.55, "behind")):
        ax.hlines(y[these], low[these], high[these], color=ink(ax), linewidth=1.3, alpha=alpha, zorder=3)
        ax.scatter(dot[these], y[these], s=size, facecolor=face, edgecolor=ink(ax), linewidth=1.0, zorder=4, gid=gid)
    _frame_grid(ax, models, intents, ratings.attrs.get("baseline"))
    _small_print(
        ax,
        ratings,
        f"A column spans {2 * reach:,g} points around {middle:,.4g}; blue cells: ratings above that, orange: below; "
        f"filled: the interval reaches that of the row's best model. Rows are in order of {models[0]}'s rating.",
    )
    return ax


def _fill_cells(ax: Axes, x: NDArray[np.intp], y: NDArray[np.intp], depth: NDArray[np.float64]) -> None:
    """Colour cells by rating: one colour above the middle, one below, none at it."""
    from matplotlib.collections import PolyCollection

    good, bad = colors(ax, 2)
    deepest = np.abs(depth).max() or 1.0
    square = np.array([(-0.5, -0.5), (0.5, -0.5), (0.5, 0.5), (-0.5, 0.5)])
    shades = [mix(background(ax), good if d > 0 else bad, 0.6 * abs(d) / deepest) for d in depth]
    ax.add_collection(PolyCollection(list(square + np.column_stack([x, y])[:, None]), facecolors=shades, zorder=0))


def _round_up(value: float) -> float:
    """Next multiple of half a power of ten."""
    step = 10.0 ** np.floor(np.log10(value)) / 2 if value > 0 else 1.0
    return float(np.ceil(value / step) * step) or 1.0


def _frame_grid(ax: Axes, models: list[str], intents: list[Any], baseline: Any) -> None:
    """Names of rows and columns, with gaps between the columns."""
    for x in range(len(models)):
        ax.axvline(x, color=ink(ax), alpha=0.25, linewidth=0.6, zorder=1)
    for x in range(len(models) + 1):
        ax.axvline(x - 0.5, color=background(ax), linewidth=4, zorder=1)
    for y in range(len(intents) + 1):
        ax.axhline(y - 0.5, color=background(ax), linewidth=1, zorder=1)
    ax.set_yticks(range(len(intents)), [shown_name(intent) for intent in intents], fontsize=font(ax))
    ax.set_xticks(range(len(models)), models, fontsize=font(ax, 0.95), rotation=30, ha="left", rotation_mode="anchor")
    ax.xaxis.tick_top()
    _embolden(ax.get_xticklabels(), baseline)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    ax.set_xlim(-0.5, len(models) - 0.5)
    ax.set_ylim(len(intents) - 0.5, -0.5)


def _small_print(ax: Axes, ratings: pd.DataFrame, how: str) -> None:
    from routerlab.plotting._artists import note

    note(ax, intervals_note(ratings.attrs, "Bars", "votes", "n_judgments"), how, provenance_of(ratings))
