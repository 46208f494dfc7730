"""Prompts on a plane."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from routerlab.plotting._checks import check_frame, numbers
from routerlab.plotting._style import MARKERS, axes_for, colors, font, ink, muted, shown_name, unique
from routerlab.schema import id_remedy, provenance_of, reject, shown

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def plot_embedding_map(
    points: pd.DataFrame,
    labels: pd.Series | None = None,
    *,
    ax: Axes | None = None,
    highlight: str | Sequence[str] | None = None,
    max_groups: int = 12,
) -> Axes:
    """Draw prompts on a plane, with each group's name at its median.

    Up to `max_groups` groups get a colour and a marker each. With more, all points are grey and the
    names alone show what lies where; a name that finds no room is left out.

    Parameters
    ----------
    points : DataFrame of shape (n_prompts, 2 or more)
        Columns ``x`` and ``y``, e.g. from PCA or t-SNE of embeddings, indexed by ``prompt_id``.
        ``attrs["method"]`` is printed.
    labels : Series of shape (n_prompts,), optional
        Group of each prompt, e.g. its intent, joined on the index of `points`. Empty: grey.
    ax : Axes, optional
        Where to draw; by default a new figure of 7 x 5.5 inches.
    highlight : str or list of str, optional
        Colour and name these groups; the rest is grey.
    max_groups : int, default 12
        Most groups that are coloured.

    Returns
    -------
    Axes
        The Axes drawn on.

    Raises
    ------
    TableError
        No columns ``x`` and ``y``; points that `labels` does not have, or has twice; a group to highlight that
        is not there.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("agg")
    >>> points = pd.DataFrame({"x": [0.0, 0.1, 1.0, 1.1], "y": [0.0, 0.2, 1.0, 0.9]})
    >>> ax = plot_embedding_map(points, pd.Series(["chat", "chat", "code", "code"]))
    >>> [text.get_text() for text in ax.texts if text.get_gid() == "label"]
    ['chat', 'code']
    """
    remedy = "Project embeddings first, e.g. pd.DataFrame(PCA(2).fit_transform(X), X.index, ['x', 'y'])."
    check_frame(points, ("x", "y"), "'points'", remedy)
    numbers(points, ("x", "y"), "'points'")
    group = _groups(points, labels)
    names = [] if group is None else list(group.value_counts().index)
    picked = _picked(names, highlight, max_groups)
    coloured = picked if highlight is not None or len(picked) <= max_groups else []
    from routerlab.plotting._artists import DirectLabels

    ax = axes_for(ax, 7.0, 5.5)
    size = float(np.clip(14000 / len(points), 6, 40))
    rest = points if group is None else points[~group.isin(coloured).to_numpy()]
    ax.scatter(rest["x"], rest["y"], s=size * 0.7, color=muted(ax, 0.6), alpha=0.55, linewidths=0, zorder=2)
    placer = DirectLabels.of(ax)
    hues = dict(zip(coloured, colors(ax, len(coloured)), strict=True))
    for i, name in enumerate(picked):
        members = points[(group == name).to_numpy()]  # type: ignore[union-attr]
        if name in hues:
            marker = MARKERS[(i % 6 + 3 * (i // 6)) % len(MARKERS)]  # colours repeat after six, with other markers
            ax.scatter(
                members["x"], members["y"], s=size, color=hues[name], marker=marker, alpha=0.75, linewidths=0,
                zorder=3, label=str(name),
            )  # fmt: skip
        text = textwrap.fill(shown_name(name), 14, break_long_words=False)
        placer.add(
            text, [members[["x", "y"]].median()], hues.get(name, ink(ax)), centred=True, optional=True, gap=3.0,
            fontsize=font(ax, 0.95 if hues else 0.8), fontweight="bold" if hues else "normal",
            multialignment="center",
        )  # fmt: skip
    _finish(ax, points)
    return ax


def _groups(points: pd.DataFrame, labels: Any) -> pd.Series | None:
    """Group of each row of `points`."""
    if labels is None:
        return None
    if not isinstance(labels, pd.Series):
        reject("'labels'", f"expected a Series, got {type(labels).__name__}.", "Pass e.g. prompts['intent'].")
    absent = points.index.difference(labels.index)
    if len(absent):
        wrong = f"{len(absent)} of {len(points)} points have none: {shown(absent)}."
        remedy = "Index points and labels by the same prompt_id."
        reject("'labels'", wrong, id_remedy(points.index, labels.index, ("the points", "'labels'"), remedy))
    if not labels.index.is_unique:
        twice = labels.index[labels.index.duplicated()].unique()
        reject("'labels'", f"has more than one for prompt_id {shown(twice)}.", "Keep one label for each prompt.")
    return labels.reindex(points.index)


def _picked(names: list[Any], highlight: Any, max_groups: int) -> list[Any]:
    """Choose the groups to name, the largest first."""
    if highlight is None:
        return names
    wanted = unique([highlight] if isinstance(highlight, str) else highlight)
    absent = [name for name in wanted if name not in names]
    if absent:
        reject("'highlight'", f"{shown(absent)} is not among the labels.", f"They are {shown(names, 12)}.")
    if len(wanted) > max_groups:
        reject("'highlight'", f"got {len(wanted)} groups, at most {max_groups} can be told apart.", "Name fewer.")
    return wanted


def _finish(ax: Axes, points: pd.DataFrame) -> None:
    """No ticks: distances on a projection have no unit."""
    from routerlab.plotting._artists import note

    ax.set_xticks([])
    ax.set_yticks([])
    ax.grid(False)
    ax.spines[:].set_visible(False)
    ax.margins(0.04)
    method = points.attrs.get("method")
    note(ax, f"n = {len(points):,} prompts" + (f"; {method}" if method else ""), provenance_of(points))
