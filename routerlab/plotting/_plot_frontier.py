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
    on_light,
    short_names,
    unique,
)
from routerlab.schema import provenance_of, reject

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from routerlab.plotting._artists import DirectLabels

Floats = NDArray[np.float64]
MARKERS = {"model": ("o", 5.5), "cascade": ("D", 4.5), "oracle": ("*", 11)}
_FEW, _MANY = 40, 5000  # a curve of fewer points shows each of them; one of more is thinned


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
        Operating points as `frontier` returns them: ``cost_usd`` (mean USD per request), ``quality`` (mean, in [0, 1])
        and, for the band, ``cost_low, cost_high, quality_low, quality_high``. Several routers: a dict of name -> curve.
    baselines : DataFrame, optional
        As `baselines` returns them: single models, cascades (diamonds) and the oracle with their intervals, the zero
        router (dashed) and the random mix of the cheapest model and the baseline (dotted).
    ax : Axes, optional
        Where to draw; by default a new figure of 7 x 4.5 inches.
    log_cost : bool, default True
        Logarithmic cost axis.
    band : bool, default True
        Draw the band of each curve that has intervals.
    chosen : (float, float), row of a curve, or Savings, optional
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
        Not a frontier; quality outside [0, 1]; a cost of 0 on a logarithmic axis.

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
    floor = _axis_floor(tables) if log_cost else None
    from routerlab.plotting._artists import DirectLabels, note

    ax = axes_for(ax)
    ax.set_xscale("log" if log_cost else "linear")
    bare(ax, "y")
    labels = DirectLabels.of(ax)
    if points is not None:
        _draw_baselines(ax, labels, _scaled(points, per, floor), max_labels)
    hues = colors(ax, len(curves))
    for i, (name, frame) in enumerate(curves.items()):
        line = {"color": hues[i], "linestyle": LINES[i // 6 % len(LINES)]}  # dashes are for what needs no router
        _draw_curve(ax, labels, name, _scaled(frame, per, floor), band, **line)
    if mark is not None:
        color = hues[0] if len(curves) == 1 else ink(ax)
        _draw_chosen(ax, labels, _scaled(pd.DataFrame([mark]), per, floor), color)
    _name_axes(ax, per, log_cost=log_cost)
    cut = floor is not None and any((table["cost_low"] < floor).any() for table in tables if "cost_low" in table)
    note(ax, _what_is_drawn(curves, points, band=band, cut=cut), _marks(points), provenance_of(*tables))
    return ax


def _axis_floor(tables: list[pd.DataFrame]) -> float:
    """Least cost that a logarithmic axis shows."""
    least = min(float(table["cost_usd"].min()) for table in tables)
    if least <= 0:
        reject("'log_cost'", "a cost of 0 has no place on a logarithmic axis.", "Pass log_cost=False.")
    return least / 3


def _scaled(frame: pd.DataFrame, per: int, floor: float | None) -> pd.DataFrame:
    """Costs of `per` requests, intervals cut at `floor`, and no more rows than a picture can show."""
    rows = np.unique(np.linspace(0, len(frame) - 1, min(len(frame), _MANY)).astype(int))
    frame = frame.iloc[rows].copy()
    for column in (c for c in frame if str(c).startswith("cost_")):
        frame[column] = per * frame[column].clip(lower=floor)
    return frame


def _name_axes(ax: Axes, per: int, *, log_cost: bool) -> None:
    from matplotlib.ticker import StrMethodFormatter

    name_x(ax, f"Cost (USD per {'request' if per == 1 else f'{per:,} requests'})")
    ax.set_ylabel("Mean quality (0 to 1)")
    ax.margins(0.06, 0.07)
    if log_cost:
        dollars(ax, *ax.get_xlim())
    else:
        ax.set_xlim(left=0)
        ax.xaxis.set_major_formatter(StrMethodFormatter("${x:,.10g}"))


def _what_is_drawn(curves: Mapping[str, pd.DataFrame], points: pd.DataFrame | None, *, band: bool, cut: bool) -> str:
    """Small print on intervals and their n."""
    bands = band and any(_has_intervals(frame) for frame in curves.values())
    bars = points is not None and _has_intervals(points)
    attrs: dict[str, Any] = {} if points is None else dict(points.attrs)
    for frame in curves.values():
        attrs |= frame.attrs
    what = "Bands and bars" if bands and bars else "Bands" if bands else "Bars" if bars else None
    return intervals_note(attrs, what) + ("; cut at the left edge of the axis" if cut else "")


def _marks(points: pd.DataFrame | None) -> str | None:
    """Small print on what needs no router: lines that mix models by lot, and markers."""
    if points is None:
        return None
    paths, parts = _mixtures(points), []
    if "zero router" in paths:
        parts.append("dashed: best random mix of all models")
    elif paths:
        parts.append("dashed: best random mix of all models, that of the cheapest one and the baseline")
    if "random mix" in paths:
        parts.append("dotted: cheapest model and baseline mixed")
    if (points["kind"] == "cascade").any():
        parts.append("diamonds: cascades")
    return f"Grey, {'; '.join(parts)}" if parts else None


def _has_intervals(frame: pd.DataFrame) -> bool:
    return set(INTERVALS) <= set(frame.columns)


def _mixing(points: pd.DataFrame, cost: str = "cost_usd", quality: str = "quality") -> Floats:
    """Path through operating points: mixing two at random is a straight line in cost, so it bends on a log axis."""
    xy = points[[cost, quality]].to_numpy(dtype=float)
    if len(xy) < 2 or (xy[:, 0] <= 0).any():
        return xy
    steps = np.clip(np.ceil(np.abs(np.diff(np.log(xy[:, 0]))) / 0.04), 1, 200).astype(int)
    segment = np.repeat(np.arange(len(steps)), steps)
    share = (np.arange(len(segment)) - np.repeat(np.cumsum(steps) - steps, steps)) / steps[segment]
    return np.vstack([xy[:-1][segment] + share[:, None] * np.diff(xy, axis=0)[segment], xy[-1]])


def _draw_curve(ax: Axes, labels: DirectLabels, name: str, frame: pd.DataFrame, band: bool, **style: Any) -> None:
    path = _mixing(frame)
    if band and _has_intervals(frame):
        dearest, cheapest = frame.iloc[0], frame.iloc[-1]
        edge = np.vstack([
            dearest[["cost_high", "quality_high"]],
            _mixing(frame, "cost_low", "quality_high"),
            cheapest[["cost_low", "quality_low"]],
            _mixing(frame, "cost_high", "quality_low")[::-1],
        ]).astype(float)  # fmt: skip
        alpha = 0.18 if on_light(ax) else 0.26
        ax.fill(*edge.T, facecolor=style["color"], alpha=alpha, linewidth=0, zorder=1.5, gid="band")
    ax.plot(*path.T, linewidth=2.2, solid_capstyle="round", zorder=4, label=name, **style)
    if len(frame) <= _FEW:
        ax.plot(frame["cost_usd"], frame["quality"], "o", color=style["color"], markersize=4, zorder=4)
    labels.avoid(path, path=True)
    labels.add(name, _along(path, 25, 0.15, 0.9), style["color"], weight="bold", gap=6.0)


def _along(path: Floats, n: int, start: float, stop: float) -> Floats:
    """Pick `n` places along a path where a label may hang."""
    return path[np.unique(np.linspace(start * (len(path) - 1), stop * (len(path) - 1), n).astype(int))]


def _draw_chosen(ax: Axes, labels: DirectLabels, mark: pd.DataFrame, color: Any) -> None:
    if _has_intervals(mark):
        _bars(ax, labels, mark, color, linewidth=1.4, zorder=5)
    here = (mark["cost_usd"].item(), mark["quality"].item())
    ring = {"markerfacecolor": background(ax), "markeredgecolor": color, "markeredgewidth": 2.2}
    _dot(ax, here, "chosen", marker="o", markersize=9, zorder=7, **ring)
    labels.avoid([here], weight=60)
    text = f"operating point\n${here[0]:,.3g}, quality {here[1]:.3f}"
    labels.add(text, [here], ink(ax), gap=9.0, weight="bold")


def _draw_baselines(ax: Axes, labels: DirectLabels, points: pd.DataFrame, max_labels: int) -> None:
    _draw_mixtures(ax, labels, points)
    baseline, grey = points.attrs.get("baseline"), muted(ax, 0.45)
    solo = points[points["kind"].isin(["model", "cascade", "oracle"])]
    if _has_intervals(solo):
        whiskers = solo["kind"] != "cascade"
        _bars(ax, labels, solo[whiskers], grey)
        _bars(ax, labels, solo[~whiskers], muted(ax, 0.7), linewidth=0.5)  # a dial's settings stand close together
    worthy, names = _worth_a_label(points, baseline, max_labels), short_names(solo["name"])
    for kind, name, *here in solo[["kind", "name", "cost_usd", "quality"]].itertuples(index=False, name=None):
        reference = kind == "model" and name == baseline
        marker, size = ("s", 7) if reference else MARKERS[kind]
        color = ink(ax) if kind == "oracle" or reference else grey
        if reference:
            _draw_parity(ax, labels, here, points["cost_usd"].min())
        _dot(ax, here, kind, marker=marker, markersize=size, color=color, markeredgecolor=background(ax))
        labels.avoid([here], weight=25)
        if kind == "oracle" or name in worthy:
            labels.add(names[name] + (" (baseline)" if reference else ""), [here], ink(ax))


def _draw_parity(ax: Axes, labels: DirectLabels, here: Any, start: float) -> None:
    """Hairline from the baseline to the quality axis: a curve crosses it at the baseline's quality."""
    line = {"arrowstyle": "-", "color": muted(ax, 0.6), "linewidth": 0.8, "shrinkA": 0, "shrinkB": 0}
    across = ("axes fraction", "data")
    ax.annotate("", here, (0, here[1]), textcoords=across, arrowprops=line, zorder=1.6, gid="parity")
    labels.avoid([(start, here[1]), here], path=True, weight=0.3)


def _dot(ax: Axes, here: Any, kind: str, **style: Any) -> None:
    ax.plot(*here, **dict({"linestyle": "", "markeredgewidth": 0.8, "zorder": 5, "gid": kind}, **style))


def _mixtures(points: pd.DataFrame) -> dict[str, Floats]:
    """Paths of what mixing single models at random reaches: the zero router, and the two-model random mix."""
    paths = {}
    for kind, name in (("random_mix", "random mix"), ("zero_router", "zero router")):
        rows = points[points["kind"] == kind].sort_values("cost_usd")
        if len(rows) > 1:
            paths[name] = _mixing(rows)
    random, zero = paths.get("random mix"), paths.get("zero router")
    if random is not None and zero is not None and random.shape == zero.shape and np.allclose(random, zero):
        paths = {"zero router = random mix": zero}
    return paths


def _draw_mixtures(ax: Axes, labels: DirectLabels, points: pd.DataFrame) -> None:
    for name, path in _mixtures(points).items():
        line = (0, (1, 1.6)) if name == "random mix" else (0, (5, 2))
        ax.plot(*path.T, color=muted(ax, 0.45), linestyle=line, linewidth=1.3, zorder=2.5, label=name)
        labels.avoid(path, path=True, weight=0.7)
        labels.add(name, _along(path, 15, 0.1, 0.95), muted(ax), style="italic")


def _bars(ax: Axes, labels: DirectLabels, rows: pd.DataFrame, color: Any, **style: Any) -> None:
    """Interval of quality (vertical) and of cost (horizontal) of each row."""
    style = {"color": color, "linewidth": 1.0, "zorder": 3} | style
    ax.hlines(rows["quality"], rows["cost_low"], rows["cost_high"], **style)
    ax.vlines(rows["cost_usd"], rows["quality_low"], rows["quality_high"], **style)
    for row in rows[["cost_usd", "quality", *INTERVALS]].itertuples():
        labels.avoid([(row.cost_low, row.quality), (row.cost_high, row.quality)], path=True, weight=0.7)
        labels.avoid([(row.cost_usd, row.quality_low), (row.cost_usd, row.quality_high)], path=True, weight=0.7)


def _worth_a_label(points: pd.DataFrame, baseline: Any, max_labels: int) -> set[Any]:
    """Names of the models to label: the baseline, those of the zero router, then the best."""
    models = points[points["kind"] == "model"].sort_values("quality", ascending=False)["name"]
    vertices = points.loc[points["kind"] == "zero_router", "name"]
    first = [name for name in (baseline, *vertices) if name in set(models)]
    return set(unique([*first, *models])[:max_labels])
