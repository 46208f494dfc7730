"""A procedure's claims on repeated splits, beside its interval and that of one router."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from routerlab.plotting._plot_savings import _interval, _pair
from routerlab.plotting._style import bare, colors, font, ink, name_x, note
from routerlab.schema import reject

if TYPE_CHECKING:
    from numpy.typing import NDArray


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
        Something that is no result of `repeat_claims`; anything but two Axes.

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
    >>> plot_repeats(result)[0].get_xlabel()
    'Cost saved against gpt-4 (%)'
    """
    missing = [name for name in ("claims", "saving", "quality_difference", "baseline") if not hasattr(repeats, name)]
    if missing:
        reject("'repeats'", f"got {type(repeats).__name__}.", "Pass the result of repeat_claims(...).")
    left, right = _pair(ax, 3)
    claims = repeats.claims
    shift = np.random.default_rng(0).uniform(-0.22, 0.22, len(claims))  # only keeps the dots apart
    columns = (("saving", "saving", "{:.0f}%"), ("quality_difference", "quality", "{:+.1f}"))
    for panel, (column, ends, form) in zip((left, right), columns, strict=True):
        bare(panel, "x")
        panel.axvline(0, color=ink(panel), linewidth=0.8, alpha=0.6, zorder=1)
        panel.spines["left"].set_visible(False)
        panel.set_ylim(2.5, -0.75)
        panel.margins(x=0.12)
        panel.plot(100 * claims[column], shift, "o", color=colors(panel, 1)[0], alpha=0.45, markersize=6, gid="splits")
        whole, first = getattr(repeats, column), claims.iloc[0]
        if np.isfinite([whole.low, whole.high]).all():
            _interval(panel, 1, form, whole.estimate, whole.low, whole.high)
        _interval(panel, 2, form, first[column], first[f"{ends}_low"], first[f"{ends}_high"], filled=False)
    names = [f"each of {len(claims)} splits", "the procedure", "one router\n(first split)"]
    left.set_yticks(range(3), names, fontsize=font(left, 1.0))
    right.set_yticks([])
    left.tick_params(axis="y", length=0)
    name_x(left, f"Cost saved against {repeats.baseline} (%)")
    name_x(right, "Quality difference (percentage points)")
    level = f"Bars: {100 * repeats.saving.confidence:g}% intervals; the procedure's is for fitting and choosing anew"
    note(left, level, *(text for text in (getattr(repeats, "provenance", None),) if text))
    return np.array([left, right])
