"""Labels and small print that follow the size of their axes. Imports matplotlib: import it inside functions only."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.text import Annotation, Text
from matplotlib.transforms import Bbox, IdentityTransform
from numpy.typing import NDArray

from routerlab.plotting._style import background, font, halo, legible, muted, unique

Floats = NDArray[np.float64]

# Where a label may sit around its anchor, best first: right, left, above, below, then the corners.
_SIDES = np.array([(1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (-1, 1), (1, -1), (-1, -1)], dtype=float)
_STEPS = np.array([1.0, 2.0, 3.5, 5.5, 8.0])  # distances tried, in multiples of the gap

_LEADER = 1.7  # farther than this many gaps, a label gets a line to its point


@dataclass
class _Label:
    text: Annotation
    anchors: Floats  # data coordinates, (n_anchors, 2)
    gap: float  # points
    centred: bool
    optional: bool


class Note(Annotation):
    """Small print under an Axes, wrapped to the width that the Axes and its tick labels have when drawn."""

    def __init__(self, ax: Axes, paragraphs: Sequence[str], **style: Any) -> None:
        self.paragraphs = list(paragraphs)
        super().__init__(
            "\n".join(self.paragraphs),
            xy=(0.0, 0.0),
            xycoords=("axes fraction", ax.xaxis.label),
            xytext=(0.0, -4.0),
            textcoords="offset points",
            ha="left",
            va="top",
            annotation_clip=False,
            gid="note",
            parse_math=False,
            **style,
        )
        self.set_transform(IdentityTransform())  # or add_artist takes its position for data

    def _fit_width(self, renderer: Any) -> None:
        ax, points = self.axes, renderer.points_to_pixels(1.0)
        labels = ax.yaxis.get_tightbbox(renderer)
        left = ax.bbox.x0 if labels is None else min(labels.x0, ax.bbox.x0)
        room = (ax.bbox.x1 - left) / renderer.get_text_width_height_descent("n" * 100, self.get_fontproperties(), False)[0]
        lines = (textwrap.wrap(text, max(24, int(100 * room))) for text in self.paragraphs)
        self.set_text("\n".join(line for wrapped in lines for line in wrapped))
        self.set_position(((left - ax.bbox.x0) / points, self.get_position()[1]))

    def get_window_extent(self, renderer: Any = None) -> Bbox:
        """Where the note is, wrapped as it will be drawn."""
        if renderer is not None:
            self._fit_width(renderer)
        return super().get_window_extent(renderer)

    def draw(self, renderer: Any) -> None:
        """Wrap and draw."""
        self._fit_width(renderer)
        super().draw(renderer)


class DirectLabels(Artist):
    """Places the labels of an Axes anew whenever it is drawn, so that they follow its size and limits.

    Draws nothing itself: labels are ordinary annotations in ``ax.texts``.
    """

    def __init__(self) -> None:
        super().__init__()
        self.set_zorder(-100)  # placed before anything is drawn
        self.set_in_layout(False)
        self._labels: list[_Label] = []
        self._obstacles: list[tuple[Floats, bool, float]] = []

    @classmethod
    def of(cls, ax: Axes) -> DirectLabels:
        """Return the placer of `ax`, made at the first call: labels of several calls share it."""
        for artist in ax.artists:
            if isinstance(artist, cls):
                return artist
        placer = cls()
        ax.add_artist(placer)
        return placer

    def add(
        self,
        name: str,
        anchors: Any,
        color: Any,
        *,
        on: Any = None,
        gap: float = 5.0,
        centred: bool = False,
        optional: bool = False,
        **style: Any,
    ) -> Annotation:
        """Label a point, or the best of several `anchors` of shape (n_anchors, 2), in data coordinates.

        `on`: what the label lies on, if not the background. `centred`: the label may lie on its anchor.
        `optional`: it is left out where it would overlap another.
        """
        ax = self.axes
        anchors = np.atleast_2d(np.asarray(anchors, dtype=float))
        text = ax.annotate(
            name,
            xy=tuple(anchors[0]),
            xytext=(gap, 0),
            textcoords="offset points",
            ha="left",
            va="bottom",
            color=legible(color, ax, on),
            arrowprops={
                "arrowstyle": "-", "color": muted(ax), "linewidth": 0.6, "shrinkA": 0, "shrinkB": 3,
                "relpos": (0.5, 0.5),
            },
            path_effects=halo(background(ax) if on is None else on),
            zorder=6,
            parse_math=False,
            **{"fontsize": font(ax)} | style,
        )
        text.set_in_layout(False)
        text.set_gid("label")
        self._labels.append(_Label(text, anchors, gap, centred, optional))
        return text

    def avoid(self, points: Any, *, path: bool = False, weight: float = 1.0) -> None:
        """Keep labels off `points` of shape (n_points, 2), or off the line through them."""
        self._obstacles.append((np.atleast_2d(np.asarray(points, dtype=float)), path, weight))

    def draw(self, renderer: Any) -> None:
        """Place all labels."""
        if self._labels and self.get_visible():
            self._place(renderer)
        self.stale = False

    def _place(self, renderer: Any) -> None:
        ax = self.axes
        pixels = renderer.points_to_pixels(1.0)
        frame = ax.get_window_extent(renderer).padded(-2 * pixels)
        obstacles, weights = self._in_pixels(3.0 * pixels)
        options = []
        for label in self._labels:
            label.text.set_visible(True)
            words = Text.get_window_extent(label.text, renderer)  # without the leader
            size = np.array([words.width, words.height])
            anchors = ax.transData.transform(label.anchors)
            boxes, at, cost = _candidates(anchors, size, label, pixels)
            outside = np.maximum(frame.min - boxes[:, :2], 0).sum(1) + np.maximum(boxes[:, 2:] - frame.max, 0).sum(1)
            cost = cost + 50 * outside / pixels + _covered(boxes, obstacles, weights, 1.5 * pixels)
            cost += self._mistakable(label, boxes, anchors[at])
            if len(anchors) == 1:
                cost += _crossed(boxes, anchors[0], _LEADER * label.gap * pixels, obstacles, weights, 2 * pixels)
            options.append((boxes, at, cost))
        chosen = _settle(options, 1.5 * pixels)
        taken: list[Floats] = []
        for label, (boxes, at, _), pick in zip(self._labels, options, chosen, strict=True):
            box, anchor = boxes[pick], label.anchors[at[pick]]
            point = ax.transData.transform(anchor)
            label.text.xy = tuple(anchor)
            label.text.set_position(tuple((box[:2] - point) / pixels))
            far = _distance(box[None], point)[0] > _LEADER * label.gap * pixels
            label.text.arrow_patch.set_visible(bool(far))
            fits = not label.optional or not any(_overlap(box[None], other, pixels)[0] > 0 for other in taken)
            label.text.set_visible(fits)
            if fits:
                taken.append(box)

    def _mistakable(self, label: _Label, boxes: Floats, anchors: Floats) -> Floats:
        """Cost of boxes that lie nearer to another label's point (or line) than to their own."""
        line = len(label.anchors) > 1
        others = [o.anchors for o in self._labels if o is not label and (len(o.anchors) > 1) == line]
        if not others:
            return np.zeros(len(boxes))
        rivals = self.axes.transData.transform(np.concatenate(others))
        nearest = np.min([_distance(boxes, rival) for rival in rivals], axis=0)
        return np.where(nearest < 1.3 * _distance(boxes, anchors), 30.0 if line else 15.0, 0.0)

    def _in_pixels(self, spacing: float) -> tuple[Floats, Floats]:
        """Obstacles as points in pixels, lines filled in and crowds thinned to `spacing`."""
        parts, weights = [np.empty((0, 2))], [np.empty(0)]
        for points, path, weight in self._obstacles:
            xy = self.axes.transData.transform(points)
            xy = xy[np.isfinite(xy).all(axis=1)]
            if path and len(xy) > 1:
                xy = _filled(xy, spacing)
            xy = np.unique(np.round(xy / spacing), axis=0) * spacing
            parts.append(xy)
            weights.append(np.full(len(xy), weight))
        return np.concatenate(parts), np.concatenate(weights)


def _filled(xy: Floats, spacing: float) -> Floats:
    """Points along the line through `xy`, no farther apart than `spacing`."""
    length = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(xy, axis=0).T))])
    at = np.linspace(0, length[-1], int(np.clip(length[-1] / spacing, 2, 5000)))
    return np.column_stack([np.interp(at, length, xy[:, 0]), np.interp(at, length, xy[:, 1])])


def _candidates(
    anchors: Floats, size: Floats, label: _Label, pixels: float
) -> tuple[Floats, NDArray[np.intp], Floats]:
    """Boxes (x0, y0, x1, y1) that a label may take, the anchor of each, and what taking it costs."""
    gap = label.gap * pixels
    reach = _SIDES * (1.0 - 0.3 * (np.abs(_SIDES).sum(axis=1, keepdims=True) - 1.0))
    offset = (_SIDES - 1) / 2 * size + (_STEPS[:, None, None] * reach * gap)
    cost = 3.0 * (_STEPS[:, None] - 1) + 0.15 * np.arange(len(_SIDES))
    offsets, costs = offset.reshape(-1, 2), cost.ravel()
    if label.centred:
        offsets, costs = np.vstack([-size / 2, offsets]), np.concatenate([[0.0], costs + 1.0])
    low = (anchors[:, None, :] + offsets).reshape(-1, 2)
    at = np.repeat(np.arange(len(anchors)), len(offsets))
    return np.hstack([low, low + size]), at, np.tile(costs, len(anchors))


def _covered(boxes: Floats, points: Floats, weights: Floats, pad: float) -> Floats:
    """Weight of the obstacle points inside each box."""
    x, y = points.T
    inside = (x > boxes[:, [0]] - pad) & (x < boxes[:, [2]] + pad)
    inside &= (y > boxes[:, [1]] - pad) & (y < boxes[:, [3]] + pad)
    return inside @ weights


def _crossed(boxes: Floats, anchor: Floats, near: float, points: Floats, weights: Floats, pad: float) -> Floats:
    """Weight of the obstacles under the line from each box to its anchor, if it has one."""
    ends = np.clip(anchor, boxes[:, :2], boxes[:, 2:])
    others = np.hypot(*(points - anchor).T) > 2 * pad
    points, weights = points[others], weights[others]
    along = anchor + np.linspace(0.1, 1, 12)[:, None, None] * (ends - anchor)
    hit = (np.abs(along[:, :, None, :] - points) < pad).all(axis=3).any(axis=0)
    return np.where(_distance(boxes, anchor) > near, hit @ weights, 0.0)


def _overlap(boxes: Floats, other: Floats, pad: float) -> Floats:
    """Share of the smaller of two boxes that they have in common, for each of `boxes`."""
    both = np.minimum(boxes[:, 2:], other[2:]) - np.maximum(boxes[:, :2], other[:2]) + pad
    area = np.prod(np.maximum(both, 0), axis=1)
    return area / np.prod(np.minimum(boxes[:, 2:] - boxes[:, :2], other[2:] - other[:2]), axis=1)


def _settle(options: list[tuple[Floats, NDArray[np.intp], Floats]], pad: float) -> list[int]:
    """Pick a box for each label: descent from a few orders of the labels, and the best end of them."""
    n = len(options)
    starts = unique(tuple(np.roll(np.arange(n)[::step], shift)) for step in (1, -1) for shift in (0, n // 3, 2 * n // 3))
    return min((_descend(options, pad, order) for order in starts), key=lambda end: end[1])[0]


def _descend(
    options: list[tuple[Floats, NDArray[np.intp], Floats]], pad: float, order: Sequence[int], passes: int = 4
) -> tuple[list[int], float]:
    """Let each label in turn take its best box given the others', a few times over."""
    chosen: list[int] = [-1] * len(options)
    cost_now = np.zeros(len(options))
    for _ in range(passes):
        before = list(chosen)
        for i in order:
            boxes, _, cost = options[i]
            total = cost.copy()
            for j, (others, _, _) in enumerate(options):
                if j != i and chosen[j] >= 0:
                    clash = _overlap(boxes, others[chosen[j]], pad)
                    total += np.where(clash > 0, 40 + 200 * clash, 0)
            chosen[i] = int(total.argmin())
            cost_now[i] = total[chosen[i]]
        if chosen == before:
            break
    return chosen, float(cost_now.sum())


def _distance(boxes: Floats, point: Floats) -> Floats:
    """Distance from a point to each box."""
    return np.hypot(*np.maximum(np.maximum(boxes[:, :2] - point, point - boxes[:, 2:]), 0).T)
