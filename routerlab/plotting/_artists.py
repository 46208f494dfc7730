"""Labels and small print that follow the size of their axes. Imports matplotlib: import it inside functions only."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import matplotlib as mpl
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.text import Annotation, Text
from matplotlib.transforms import Bbox, IdentityTransform
from numpy.typing import ArrayLike, NDArray

from routerlab.plotting._style import background, font, halo, legible, muted, quiet, unique

Floats = NDArray[np.float64]

# Where a label may sit around its anchor, best first: right, left, above, below, then the corners.
_SIDES = np.array([(1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (-1, 1), (1, -1), (-1, -1)], dtype=float)
_STEPS = np.array([1.0, 2.0, 3.5, 5.5, 8.0])  # distances tried, in multiples of the gap
LEADER = 1.7  # farther than this many gaps, a label gets a line to its anchor
_LEADER_STYLE = {"arrowstyle": "-", "linewidth": 0.6, "shrinkA": 0, "shrinkB": 3, "relpos": (0.5, 0.5)}


class Candidates(NamedTuple):
    """Boxes (x0, y0, x1, y1) that a label may take, the position of each one's anchor, and what taking it costs."""

    boxes: Floats
    at: NDArray[np.intp]
    cost: Floats


class Crowd:
    """Weights of obstacles on a grid over the axes, which prices many boxes at once."""

    def __init__(self, low: ArrayLike, high: ArrayLike, cell: float) -> None:
        self.low, self.cell = np.asarray(low, dtype=float), cell
        self.weight = np.zeros(np.maximum(np.ceil((np.asarray(high) - self.low) / cell).astype(int), 1))

    def add(self, xy: Floats, weight: float, *, path: bool) -> None:
        """Put an obstacle at points, or along the line through them: once in each cell."""
        xy = xy[np.isfinite(xy).all(axis=1)]
        if path and len(xy) > 1:
            length = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(xy, axis=0).T))])
            along = np.linspace(0, length[-1], int(np.clip(length[-1] / self.cell, 2, 5000)))
            xy = np.column_stack([np.interp(along, length, xy[:, 0]), np.interp(along, length, xy[:, 1])])
        cells = np.floor((xy - self.low) / self.cell).astype(int)
        inside = ((cells >= 0) & (cells < self.weight.shape)).all(axis=1)
        self.weight[tuple(np.unique(cells[inside], axis=0).T)] += weight

    def under(self, boxes: Floats) -> Floats:
        """Weight inside each box, half a cell around it included."""
        total = np.pad(self.weight.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
        low = np.round((boxes[:, :2] - self.low) / self.cell - 0.5).astype(int)
        high = np.round((boxes[:, 2:] - self.low) / self.cell + 0.5).astype(int)
        (x0, y0), (x1, y1) = (np.clip(corner, 0, self.weight.shape).T for corner in (low, high))
        return total[x1, y1] - total[x0, y1] - total[x1, y0] + total[x0, y0]

    def across(self, boxes: Floats, anchor: Floats, clear: float) -> Floats:
        """Weight under the line from each box to its anchor, but for what is nearer to the anchor than `clear`."""
        ends = np.clip(anchor, boxes[:, :2], boxes[:, 2:])
        along = anchor + np.linspace(0, 1, 24)[:, None, None] * (ends - anchor)
        cells = np.clip(((along - self.low) / self.cell).astype(int), 0, np.array(self.weight.shape) - 1)
        weight = np.where(np.hypot(*(along - anchor).T).T > clear, self.weight[cells[..., 0], cells[..., 1]], 0.0)
        again = (cells[1:] == cells[:-1]).all(axis=2)
        weight[1:][again] = 0.0
        return weight.sum(axis=0)


def candidates(anchors: Floats, size: Floats, gap: float, *, centred: bool) -> Candidates:
    """List the boxes around each anchor, nearer and better sides cheaper; `centred`: first of all the one on it."""
    reach = _SIDES * (1.0 - 0.3 * (np.abs(_SIDES).sum(axis=1, keepdims=True) - 1.0))
    offsets = ((_SIDES - 1) / 2 * size + _STEPS[:, None, None] * reach * gap).reshape(-1, 2)
    cost = (3.0 * (_STEPS[:, None] - 1) + 0.15 * np.arange(len(_SIDES))).ravel()
    if centred:
        offsets, cost = np.vstack([-size / 2, offsets]), np.concatenate([[0.0], cost + 1.0])
    low = (anchors[:, None, :] + offsets).reshape(-1, 2)
    at = np.repeat(np.arange(len(anchors)), len(offsets))
    return Candidates(np.hstack([low, low + size]), at, np.tile(cost, len(anchors)))


def outside(boxes: Floats, low: ArrayLike, high: ArrayLike) -> Floats:
    """How far each box reaches beyond the axes."""
    below, above = np.asarray(low) - boxes[:, :2], boxes[:, 2:] - np.asarray(high)
    return np.maximum(below, 0).sum(axis=1) + np.maximum(above, 0).sum(axis=1)


def distance(boxes: Floats, points: Floats) -> Floats:
    """Distance from each box to its point, or to one point."""
    return np.hypot(*np.maximum(np.maximum(boxes[:, :2] - points, points - boxes[:, 2:]), 0).T)


def overlap(boxes: Floats, others: Floats, pad: float) -> Floats:
    """Share of the smaller box that each of `boxes` and of `others` have in common; closer than `pad` is overlap."""
    a, b = boxes[:, None], others[None]
    common = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2]) + pad
    smaller = np.minimum(a[..., 2:] - a[..., :2], b[..., 2:] - b[..., :2])
    return np.prod(np.maximum(common, 0), axis=-1) / np.prod(smaller, axis=-1)


def settle(options: Sequence[Candidates], pad: float) -> list[int]:
    """Pick a box for each label: descent from a few orders of the labels, and the best end of them."""
    n = len(options)
    shifts = (0, n // 3, 2 * n // 3)
    orders = unique(tuple(np.roll(np.arange(n)[::step], shift)) for step in (1, -1) for shift in shifts)
    return min((_descend(options, pad, order) for order in orders), key=lambda end: end[1])[0]


def _descend(options: Sequence[Candidates], pad: float, order: Sequence[int]) -> tuple[list[int], float]:
    """Let each label in turn take its best box given the others', a few times over."""
    picks = np.full(len(options), -1)
    taken = np.full((len(options), 4), np.nan)  # not yet taken: overlaps nothing
    paid = np.zeros(len(options))
    for _ in range(4):
        before = picks.copy()
        for i in order:
            taken[i] = np.nan
            clash = overlap(options[i].boxes, taken, pad)
            total = options[i].cost + np.where(clash > 0, 40 + 200 * clash, 0).sum(axis=1)
            picks[i] = total.argmin()
            taken[i], paid[i] = options[i].boxes[picks[i]], total[picks[i]]
        if np.array_equal(picks, before):
            break
    return picks.tolist(), float(paid.sum())


@dataclass
class _Label:
    text: Annotation
    leader: Any  # the line to the anchor
    anchors: Floats  # data coordinates, (n_anchors, 2)
    gap: float  # points
    centred: bool
    optional: bool


class Note(Annotation):
    """Small print under an Axes, wrapped to the width that the Axes and its tick labels have when drawn."""

    def __init__(self, ax: Axes, paragraphs: Sequence[str], **style: Any) -> None:
        self._ax, self.paragraphs = ax, list(paragraphs)
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
        ax, points = self._ax, renderer.points_to_pixels(1.0)
        labels = ax.yaxis.get_tightbbox(renderer)
        left = ax.bbox.x0 if labels is None else min(labels.x0, ax.bbox.x0)
        width = renderer.get_text_width_height_descent("n" * 100, self.get_fontproperties(), False)[0]
        room = (ax.bbox.x1 - left) / width
        lines = (textwrap.wrap(text, max(24, int(100 * room))) for text in self.paragraphs)
        self.set_text("\n".join(line for wrapped in lines for line in wrapped))
        self.set_position(((left - ax.bbox.x0) / points, self.get_position()[1]))

    def get_window_extent(self, renderer: Any = None, dpi: float | None = None) -> Bbox:
        """Where the note is, wrapped as it will be drawn."""
        if renderer is not None:
            self._fit_width(renderer)
        return super().get_window_extent(renderer)

    def draw(self, renderer: Any) -> None:
        """Wrap and draw."""
        self._fit_width(renderer)
        super().draw(renderer)


def note(ax: Axes, *paragraphs: str | None) -> None:
    """Write small print under the axes; what is already there stays, once."""
    old = next((text for text in ax.texts if isinstance(text, Note)), None)
    kept = unique([*(old.paragraphs if old else []), *(line for line in paragraphs if line)])
    if old is not None:
        old.remove()
    if kept:
        ax.add_artist(Note(ax, kept, fontsize=0.8 * mpl.rcParams["font.size"], color=quiet(ax))).set_clip_on(False)


class DirectLabels(Artist):
    """Places the labels of an Axes whenever it is drawn: they follow its size and limits.

    Draws nothing itself: labels are ordinary annotations in ``ax.texts``.
    """

    def __init__(self, ax: Axes) -> None:
        super().__init__()
        self._ax = ax
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
        placer = cls(ax)
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
        ax = self._ax
        anchors = np.atleast_2d(np.asarray(anchors, dtype=float))
        text = ax.annotate(
            name,
            xy=tuple(anchors[0]),
            xytext=(gap, 0),
            textcoords="offset points",
            ha="left",
            va="bottom",
            color=legible(color, ax, on),
            arrowprops=dict(_LEADER_STYLE, color=muted(ax)),
            path_effects=halo(background(ax) if on is None else on),
            zorder=6,
            parse_math=False,
            **{"fontsize": font(ax)} | style,
        )
        text.set_in_layout(False)
        text.set_gid("label")
        self._labels.append(_Label(text, text.arrow_patch, anchors, gap, centred, optional))
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
        pixels = renderer.points_to_pixels(1.0)
        frame = self._ax.get_window_extent(renderer).padded(-2 * pixels)
        crowd = Crowd(frame.min, frame.max, 3 * pixels)
        for points, path, weight in self._obstacles:
            crowd.add(self._ax.transData.transform(points), weight, path=path)
        options = [self._options(label, renderer, crowd, frame) for label in self._labels]
        taken: list[Floats] = []
        for label, option, pick in zip(self._labels, options, settle(options, 1.5 * pixels), strict=True):
            box, anchor = option.boxes[pick], label.anchors[option.at[pick]]
            point = self._ax.transData.transform(anchor)
            label.text.xy = tuple(anchor)
            label.text.set_position(tuple((box[:2] - point) / pixels))
            label.leader.set_visible(bool(distance(box[None], point)[0] > LEADER * label.gap * pixels))
            fits = not label.optional or not taken or not overlap(box[None], np.array(taken), pixels).any()
            label.text.set_visible(fits)
            if fits:
                taken.append(box)

    def _options(self, label: _Label, renderer: Any, crowd: Crowd, frame: Bbox) -> Candidates:
        """Boxes that a label may take, and what they cost."""
        pixels = renderer.points_to_pixels(1.0)
        label.text.set_visible(True)
        words = Text.get_window_extent(label.text, renderer)  # without the leader
        anchors, gap = self._ax.transData.transform(label.anchors), label.gap * pixels
        boxes, at, cost = candidates(anchors, np.array([words.width, words.height]), gap, centred=label.centred)
        away = distance(boxes, anchors[at])
        cost = cost + crowd.under(boxes) + 50 * outside(boxes, frame.min, frame.max) / pixels
        cost += np.where(self._nearest_rival(label, boxes) < 1.3 * away, 15.0 * min(len(anchors), 2), 0.0)
        if len(anchors) == 1:
            far = away > LEADER * gap
            cost[far] += crowd.across(boxes[far], anchors[0], 5 * pixels)
        return Candidates(boxes, at, cost)

    def _nearest_rival(self, label: _Label, boxes: Floats) -> Floats:
        """Distance from each box to what a reader may take it for: other labels' points, or other labels' lines."""
        line = len(label.anchors) > 1
        others = [o.anchors for o in self._labels if o is not label and (len(o.anchors) > 1) == line]
        if not others:
            return np.full(len(boxes), np.inf)
        rivals = self._ax.transData.transform(np.concatenate(others))
        return np.min([distance(boxes, rival) for rival in rivals], axis=0)
