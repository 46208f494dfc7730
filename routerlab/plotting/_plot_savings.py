"""Savings, and what they cost in quality."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from routerlab.plotting._style import background, bare, check_axes, colors, font, ink, legible, unique
from routerlab.schema import reject, shown

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

_NEEDED = ("baseline", "n", "saving", "saving_low", "saving_high", "quality_difference", "quality_low", "quality_high")


def plot_savings(savings: Any, *, ax: Sequence[Axes] | None = None) -> NDArray[Any]:
    """Draw cost savings and quality differences side by side, with their intervals.

    A dot of quality is filled if the interval lies above minus the margin: no worse than the baseline by
    more than the margin.

    Parameters
    ----------
    savings : Savings or dict of str to Savings
        As `savings` returns it, or several by name.
    ax : pair of Axes, optional
        Where to draw savings and quality; by default a new figure with two panels.

    Returns
    -------
    ndarray of shape (2,)
        The two Axes drawn on.

    Raises
    ------
    TableError
        Not a result of `savings`; anything but two Axes.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("agg")
    >>> from types import SimpleNamespace
    >>> result = SimpleNamespace(
    ...     baseline="gpt-4", n=375, saving=0.46, saving_low=0.41, saving_high=0.51, quality_difference=-0.003,
    ...     quality_low=-0.014, quality_high=0.008, margin=0.02, confidence=0.95)
    >>> left, right = plot_savings(result)
    >>> " ".join(left.get_xlabel().split())
    'Cost saved against gpt-4 (%)'
    """
    rows = _check(savings)
    baselines = unique(result.baseline for result in rows.values())
    names = [f"{name}\nn = {result.n:,}" if name else f"n = {result.n:,}" for name, result in rows.items()]
    left, right = _panels(ax, names, baselines[0] if len(baselines) == 1 else "the baseline")
    for y, result in enumerate(rows.values()):
        _interval(left, y, "{:.0f}%", result.saving, result.saving_low, result.saving_high)
        quality = (result.quality_difference, result.quality_low, result.quality_high)
        _interval(right, y, "{:+.1f}", *quality, filled=_is_safe(result))
    _draw_margins(right, list(rows.values()))
    _small_print(left, rows)
    return np.array([left, right])


def _check(savings: Any) -> dict[str, Any]:
    rows = dict(savings) if isinstance(savings, Mapping) else {"": savings}
    if not rows:
        reject("'savings'", "is an empty dict.", "Pass the result of savings(...), or a dict of name -> result.")
    for name, result in rows.items():
        missing = [attribute for attribute in _NEEDED if not hasattr(result, attribute)]
        if missing:
            reject(
                f"'savings' {name!r}" if name else "'savings'",
                f"got {type(result).__name__}, which has no {shown(missing)}.",
                "Pass the result of savings(choices, quality, cost, baseline=...), or a dict of name -> result.",
            )
    return {str(name): result for name, result in rows.items()}


def _pair(ax: Any, n_rows: int) -> tuple[Axes, Axes]:
    """Two Axes to draw on."""
    if ax is None:
        import matplotlib.pyplot as plt

        left, right = plt.subplots(1, 2, figsize=(8.5, 1.7 + 0.45 * n_rows), layout="constrained")[1]
        return left, right
    pair = list(np.ravel(np.asarray(ax, dtype=object)))
    if len(pair) != 2:
        reject("'ax'", f"expected two Axes, got {len(pair)}.", "Pass plt.subplots(1, 2)[1].")
    return check_axes(pair[0]), check_axes(pair[1])


def _panels(ax: Any, names: Sequence[str], baseline: str) -> tuple[Axes, Axes]:
    """Two Axes for savings and quality, a named row for each interval."""
    left, right = _pair(ax, len(names))
    for panel in (left, right):
        bare(panel, "x")
        panel.axvline(0, color=ink(panel), linewidth=0.8, alpha=0.6, zorder=1)
        panel.spines["left"].set_visible(False)
        panel.set_ylim(len(names) - 0.5, -0.5)
        panel.margins(x=0.12)
    left.set_yticks(range(len(names)), names, fontsize=font(left, 1.0))
    right.set_yticks([])
    left.tick_params(axis="y", length=0)
    left.set_xlabel(f"Cost saved\nagainst {baseline} (%)")  # on two lines: the numbers leave the panels little width
    right.set_xlabel("Quality difference\n(percentage points)")
    return left, right


def _is_safe(result: Any) -> bool:
    margin = getattr(result, "margin", None)
    return margin is not None and result.quality_low >= -margin


def _interval(ax: Axes, y: float, form: str, value: float, low: float, high: float, *, filled: bool = True) -> None:
    """Dot and bar, with the numbers right of the panel, where no line crosses them; fractions in, percent out."""
    value, low, high = 100 * value, 100 * low, 100 * high
    color = colors(ax, 1)[0]
    ax.hlines(y, low, high, color=color, linewidth=2.2, zorder=3)
    face = color if filled else background(ax)
    ax.plot(value, y, "o", markersize=8, color=color, markerfacecolor=face, markeredgewidth=1.8, zorder=4)
    plain = form.replace("%", "")
    text = f"{form.format(value)} [{plain.format(low)}, {plain.format(high)}]".replace("-", "\N{MINUS SIGN}")
    ax.annotate(
        text, (1, y), (6, 0), xycoords=("axes fraction", "data"), textcoords="offset points", ha="left", va="center",
        fontsize=font(ax), color=ink(ax), annotation_clip=False, gid="value",
    )  # fmt: skip


def _draw_margins(ax: Axes, results: list[Any]) -> None:
    """Line at minus the margin: one with a name if all share it, one in each row if not."""
    margins = [getattr(result, "margin", None) for result in results]
    color = colors(ax, 2)[1]
    style: dict[str, Any] = {"color": color, "linewidth": 1.4, "linestyle": (0, (4, 2)), "gid": "margin"}
    if len(set(margins)) == 1 and margins[0] is not None:
        ax.axvline(-100 * margins[0], **style)
        ax.annotate(
            "margin", (-100 * margins[0], 1.0), (0, 2), xycoords=("data", "axes fraction"), textcoords="offset points",
            ha="center", va="bottom", fontsize=font(ax, 0.8), color=legible(color, ax), annotation_clip=False,
        )  # fmt: skip
        return
    for y, margin in enumerate(margins):
        if margin is not None:
            ax.vlines(-100 * margin, y - 0.4, y + 0.4, **style)


def _small_print(ax: Axes, rows: Mapping[str, Any]) -> None:
    from routerlab.plotting._artists import note

    levels = unique(getattr(result, "confidence", None) for result in rows.values())
    level = f"{100 * levels[0]:g}% intervals" if len(levels) == 1 and levels[0] is not None else "intervals"
    margins = any(getattr(result, "margin", None) is not None for result in rows.values())
    filled = "dashed: margin; filled dot of quality: whole interval above it" if margins else None
    provenance = unique(getattr(result, "provenance", None) for result in rows.values())
    note(ax, "; ".join(part for part in (f"Bars: {level}", filled) if part), *provenance)


def plot_repeats(repeats: Any, *, ax: Any = None) -> NDArray[Any]:
    """Draw each split's saving and quality difference as a strip, and below them both intervals.

    Parameters
    ----------
    repeats : RepeatedClaims
        As `repeat_claims` returns it.
    ax : pair of Axes, optional
        Where to draw savings and quality; by default a new figure with two panels.

    Returns
    -------
    ndarray of shape (2,)
        The two Axes drawn on.

    Raises
    ------
    TableError
        Not a result of `repeat_claims`; anything but two Axes.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("agg")
    >>> import pandas as pd
    >>> from types import SimpleNamespace
    >>> claims = pd.DataFrame({"saving": [0.4, 0.5], "quality_difference": [0.0, -0.01]})
    >>> for name in ("saving", "quality"):
    ...     claims[f"{name}_low"], claims[f"{name}_high"] = -0.02, 0.6
    >>> whole = SimpleNamespace(estimate=0.45, low=0.3, high=0.6, confidence=0.95)
    >>> result = SimpleNamespace(claims=claims, saving=whole, quality_difference=whole, baseline="gpt-4")
    >>> " ".join(plot_repeats(result)[0].get_xlabel().split())
    'Cost saved against gpt-4 (%)'
    """
    missing = [name for name in ("claims", "saving", "quality_difference", "baseline") if not hasattr(repeats, name)]
    if missing:
        reject("'repeats'", f"got {type(repeats).__name__}.", "Pass the result of repeat_claims(...).")
    from routerlab.plotting._artists import note

    claims = repeats.claims
    names = [f"each of {len(claims)} splits", "the procedure", "one router\n(first split)"]
    left, right = _panels(ax, names, repeats.baseline)
    shift = np.random.default_rng(0).uniform(-0.22, 0.22, len(claims))  # only keeps the dots apart
    columns = (("saving", "saving", "{:.0f}%"), ("quality_difference", "quality", "{:+.1f}"))
    for panel, (column, ends, form) in zip((left, right), columns, strict=True):
        panel.plot(100 * claims[column], shift, "o", color=colors(panel, 1)[0], alpha=0.45, markersize=6, gid="splits")
        whole, first = getattr(repeats, column), claims.iloc[0]
        if np.isfinite([whole.low, whole.high]).all():
            _interval(panel, 1, form, whole.estimate, whole.low, whole.high)
        _interval(panel, 2, form, first[column], first[f"{ends}_low"], first[f"{ends}_high"], filled=False)
    level = f"Bars: {100 * repeats.saving.confidence:g}% intervals; the procedure's is for fitting and choosing again"
    note(left, level, *(text for text in (getattr(repeats, "provenance", None),) if text))
    return np.array([left, right])
