"""The cost-quality frontier."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from routerlab.plotting._checks import INTERVALS, check_baselines, check_chosen, check_curves
from routerlab.plotting._style import (
    LINES,
    axes_for,
    background,
    bare,
    colors,
    dollars,
    ink,
    intervals_note,
    muted,
    name_x,
    note,
    on_light,
)
from routerlab.schema import provenance_of, reject

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from routerlab.plotting._artists import DirectLabels

Floats = NDArray[np.float64]
_FEW = 40  # a curve of fewer points shows each of them


def plot_frontier(
    curve: pd.DataFrame | Mapping[str, pd.DataFrame],
    *,
    baselines: pd.DataFrame | None = None,
    ax: Axes | None = None,
    log_cost: bool = True,
    band: bool = True,
    chosen: Any = None,
    per: int = 1000,
    max_labels: int = 12,
) -> Axes:
    """Draw quality against cost over all operating points of a router.

    The band around a curve covers the intervals of both quality and cost: its upper edge joins the
    points (cost_low, quality_high), its lower edge (cost_high, quality_low).

    Parameters
    ----------
    curve : DataFrame or dict of str to DataFrame
        Operating points as `frontier` returns them: ``cost_usd`` (mean USD per request), ``quality``
        (mean, in [0, 1]) and, for the band, ``cost_low, cost_high, quality_low, quality_high``. Several
        routers: a dict of name -> curve.
    baselines : DataFrame, optional
        As `baselines` returns them: single models and the oracle with their intervals, the zero router
        (dashed) and the random mix of the cheapest model and the baseline (dotted).
    ax : Axes, optional
        Where to draw; by default a new figure of 7 x 4.5 inches.
    log_cost : bool, default True
        Logarithmic cost axis.
    band : bool, default True
        Draw the band of each curve that has intervals.
    chosen : (float, float) or row of a curve, optional
        Operating point to mark: (USD per request, quality).
    per : int, default 1000
        The cost axis is in USD per this many requests.
    max_labels : int, default 12
        Label at most this many single models, those that the zero router mixes first.

    Returns
    -------
    Axes
        The Axes drawn on.

    Raises
    ------
    TableError
        Something that is no frontier; quality outside [0, 1]; a cost of 0 on a logarithmic axis.

    References
    ----------
    Q. J. Hu et al., "RouterBench: a benchmark for multi-LLM routing system", 2024, for the zero router.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("agg")
    >>> curve = pd.DataFrame({"cost_usd": [0.02, 0.008, 0.001], "quality": [0.8, 0.78, 0.6]})
    >>> ax = plot_frontier(curve)
    >>> ax.get_xlabel(), ax.get_ylabel()
    ('Cost (USD per 1,000 requests)', 'Mean quality (0 to 1)')
    """
    curves = check_curves(curve)
    points = None if baselines is None else check_baselines(baselines)
    mark = None if chosen is None else check_chosen(chosen, curves)
    if not per > 0:
        reject("'per'", f"expected a number of requests above 0, got {per!r}.", "Pass e.g. 1000.")
    tables = [*curves.values(), *([] if points is None else [points])]
    if log_cost:
        _check_positive(tables)
    from routerlab.plotting._artists import DirectLabels

    ax = axes_for(ax)
    labels = DirectLabels.of(ax)
    bare(ax, "y")
    if log_cost:
        ax.set_xscale("log")
    if points is not None:
        _draw_baselines(ax, labels, points, per, max_labels)
    for (name, frame), color, line in zip(curves.items(), colors(ax, len(curves)), _cycle(len(curves)), strict=True):
        _draw_curve(ax, labels, name, frame, per, band=band, color=color, line=line)
    if mark is not None:
        _draw_chosen(ax, labels, mark, per, colors(ax, 1)[0] if len(curves) == 1 else ink(ax))
    _finish(ax, tables, curves, points, per, band=band, log_cost=log_cost)
    return ax


def _cycle(n: int) -> list[Any]:
    return [LINES[i % len(LINES)] for i in range(n)]


def _check_positive(tables: list[pd.DataFrame]) -> None:
    for table in tables:
        costs = table[[c for c in ("cost_usd", "cost_low") if c in table]]
        if (costs <= 0).to_numpy().any():
            reject("'log_cost'", "a cost of 0 has no place on a logarithmic axis.", "Pass log_cost=False.")


def _finish(
    ax: Axes,
    tables: list[pd.DataFrame],
    curves: Mapping[str, pd.DataFrame],
    points: pd.DataFrame | None,
    per: int,
    *,
    band: bool,
    log_cost: bool,
) -> None:
    """Axes, units, and the small print."""
    from matplotlib.ticker import FuncFormatter

    requests = "request" if per == 1 else f"{per:,} requests"
    name_x(ax, f"Cost (USD per {requests})")
    ax.set_ylabel("Mean quality (0 to 1)")
    ax.margins(0.06, 0.07)
    if log_cost:
        dollars(ax, *ax.get_xlim())
    else:
        ax.set_xlim(left=0)
        ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"${value:,.10g}"))
    banded = band and any(_has_intervals(frame) for frame in curves.values())
    what = " and ".join(
        word
        for word, there in (("bands", banded), ("bars", points is not None and _has_intervals(points)))
        if there
    )
    attrs: dict[str, Any] = {}
    for table in reversed(tables):
        attrs |= table.attrs
    size = f"n = {attrs['n']:,} prompts" if "n" in attrs else None
    note(ax, intervals_note(attrs, what.capitalize()) if what else size, provenance_of(*tables))


def _has_intervals(frame: pd.DataFrame) -> bool:
    return set(INTERVALS) <= set(frame.columns)


def _mixing(cost: Any, quality: Any) -> Floats:
    """Path through operating points: mixing two at random is a straight line in cost, so it bends on a log axis."""
    xy = np.column_stack([cost, quality]).astype(float)
    if len(xy) < 2 or (xy[:, 0] <= 0).any():
        return xy
    steps = np.clip(np.ceil(np.abs(np.diff(np.log(xy[:, 0]))) / 0.04), 1, 200).astype(int)
    segment = np.repeat(np.arange(len(steps)), steps)
    share = (np.arange(len(segment)) - np.repeat(np.cumsum(steps) - steps, steps)) / steps[segment]
    return np.vstack([xy[:-1][segment] + share[:, None] * np.diff(xy, axis=0)[segment], xy[-1]])


def _draw_curve(
    ax: Axes, labels: DirectLabels, name: str, frame: pd.DataFrame, per: int, *, band: bool, color: str, line: Any
) -> None:
    path = _mixing(frame["cost_usd"] * per, frame["quality"])
    if band and _has_intervals(frame):
        upper = np.vstack([_mixing(frame["cost_low"] * per, frame["quality_high"]), _last(frame, "low", per)])
        lower = np.vstack([_mixing(frame["cost_high"] * per, frame["quality_low"]), _last(frame, "low", per)])
        top = frame[["cost_high", "quality_high"]].iloc[[0]].to_numpy() * [per, 1]
        edge = np.vstack([top, upper, lower[::-1]])
        ax.fill(*edge.T, facecolor=color, alpha=0.18 if on_light(ax) else 0.26, linewidth=0, zorder=1.5, gid="band")
    ax.plot(*path.T, color=color, linestyle=line, linewidth=2.2, solid_capstyle="round", zorder=4, label=name)
    if len(frame) <= _FEW:
        ax.plot(frame["cost_usd"] * per, frame["quality"], linestyle="", marker="o", color=color, markersize=4, zorder=4)
    labels.avoid(path, path=True)
    labels.add(name, _along(path, 25, 0.15, 0.9), color, weight="bold", gap=6.0)


def _last(frame: pd.DataFrame, end: str, per: int) -> Floats:
    """Corner of the cheapest point's rectangle of intervals."""
    return np.asarray(frame[[f"cost_{end}", f"quality_{end}"]].iloc[[-1]] * [per, 1], dtype=float)


def _along(path: Floats, n: int, start: float, stop: float) -> Floats:
    """Pick `n` places along a path where a label may hang."""
    return path[np.unique(np.linspace(start * (len(path) - 1), stop * (len(path) - 1), n).astype(int))]


def _draw_chosen(ax: Axes, labels: DirectLabels, mark: dict[str, float], per: int, color: Any) -> None:
    here = (mark["cost_usd"] * per, mark["quality"])
    if set(INTERVALS) <= set(mark):
        _bars(ax, labels, pd.DataFrame([mark]), per, color, linewidth=1.4, zorder=5)
    ring = {"markerfacecolor": background(ax), "markeredgecolor": color, "markeredgewidth": 2.2}
    _dot(ax, here, "chosen", marker="o", markersize=9, zorder=7, **ring)
    labels.avoid([here], weight=60)
    text = f"operating point\n${here[0]:,.3g}, quality {here[1]:.3f}"
    labels.add(text, [here], ink(ax), gap=9.0, weight="bold")


def _draw_baselines(ax: Axes, labels: DirectLabels, points: pd.DataFrame, per: int, max_labels: int) -> None:
    _draw_mixtures(ax, labels, points, per)
    baseline, grey = points.attrs.get("baseline"), muted(ax, 0.45)
    solo = points[points["kind"].isin(["model", "oracle"])]
    if _has_intervals(solo):
        _bars(ax, labels, solo, per, grey)
    named = _worth_a_label(points, baseline, max_labels)
    for kind, name, cost, quality in solo[["kind", "name", "cost_usd", "quality"]].itertuples(index=False, name=None):
        here, reference = (cost * per, quality), kind == "model" and name == baseline
        marker, size = ("*", 11) if kind == "oracle" else ("s", 7) if reference else ("o", 5.5)
        color = ink(ax) if kind == "oracle" or reference else grey
        if reference:
            _draw_parity(ax, labels, here, points["cost_usd"].min() * per)
        _dot(ax, here, kind, marker=marker, markersize=size, color=color, markeredgecolor=background(ax))
        labels.avoid([here], weight=25)
        if kind == "oracle" or name in named:
            labels.add(f"{name} (baseline)" if reference else str(name), [here], ink(ax))


def _draw_parity(ax: Axes, labels: DirectLabels, here: tuple[float, float], start: float) -> None:
    """Hairline from the baseline to the quality axis: a curve crosses it at the baseline's quality."""
    line = {"arrowstyle": "-", "color": muted(ax, 0.6), "linewidth": 0.8, "shrinkA": 0, "shrinkB": 0}
    across = ("axes fraction", "data")
    ax.annotate("", here, (0, here[1]), textcoords=across, arrowprops=line, zorder=1.6, gid="parity")
    labels.avoid([(start, here[1]), here], path=True, weight=0.3)


def _dot(ax: Axes, here: tuple[float, float], kind: str, **style: Any) -> None:
    ax.plot(*here, **{"linestyle": "", "markeredgewidth": 0.8, "zorder": 5, "gid": kind} | style)


def _draw_mixtures(ax: Axes, labels: DirectLabels, points: pd.DataFrame, per: int) -> None:
    """Draw what mixing single models at random reaches: the zero router, and the two-model random mix."""
    paths = {}
    for kind, name in (("random_mix", "random mix"), ("zero_router", "zero router")):
        rows = points.loc[points["kind"] == kind, ["cost_usd", "quality"]].sort_values("cost_usd")
        if len(rows) > 1:
            paths[name] = _mixing(rows["cost_usd"] * per, rows["quality"])
    if len(paths) == 2 and np.array_equal(*paths.values()):
        paths = {"zero router = random mix": paths["zero router"]}
    for name, path in paths.items():
        line = (0, (1, 1.6)) if name == "random mix" else (0, (5, 2))
        ax.plot(*path.T, color=muted(ax, 0.45), linestyle=line, linewidth=1.3, zorder=2.5, label=name)
        labels.avoid(path, path=True, weight=0.7)
        labels.add(name, _along(path, 15, 0.1, 0.95), muted(ax), style="italic")


def _bars(ax: Axes, labels: DirectLabels, rows: pd.DataFrame, per: int, color: Any, **style: Any) -> None:
    """Interval of quality (vertical) and of cost (horizontal) of each row."""
    x, y = rows["cost_usd"].to_numpy() * per, rows["quality"].to_numpy()
    x_low, x_high = rows["cost_low"].to_numpy() * per, rows["cost_high"].to_numpy() * per
    y_low, y_high = rows["quality_low"].to_numpy(), rows["quality_high"].to_numpy()
    style = {"color": color, "linewidth": 1.0, "zorder": 3} | style
    ax.hlines(y, x_low, x_high, **style)
    ax.vlines(x, y_low, y_high, **style)
    for i in range(len(rows)):
        labels.avoid([(x_low[i], y[i]), (x_high[i], y[i])], path=True, weight=0.7)
        labels.avoid([(x[i], y_low[i]), (x[i], y_high[i])], path=True, weight=0.7)


def _worth_a_label(points: pd.DataFrame, baseline: Any, max_labels: int) -> set[Any]:
    """Names of the models to label: the baseline, those on the zero router, then the best."""
    models = points[points["kind"] == "model"]
    vertices = points.loc[points["kind"] == "zero_router", ["cost_usd", "quality"]]
    on_hull = models.merge(vertices.drop_duplicates(), how="inner")["name"]
    best = models.sort_values("quality", ascending=False)["name"]
    return set(list(dict.fromkeys([*([baseline] if baseline else []), *on_hull, *best]))[:max_labels])
