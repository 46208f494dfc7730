"""Where labels go so that they stay clear of each other and of the data: plain geometry in pixels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from routerlab.plotting._style import unique

Floats = NDArray[np.float64]

# Where a label may sit around its anchor, best first: right, left, above, below, then the corners.
_SIDES = np.array([(1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (-1, 1), (1, -1), (-1, -1)], dtype=float)
_STEPS = np.array([1.0, 2.0, 3.5, 5.5, 8.0])  # distances tried, in multiples of the gap
LEADER = 1.7  # farther than this many gaps, a label gets a line to its anchor


class Candidates(NamedTuple):
    """Boxes (x0, y0, x1, y1) that a label may take, the position of each one's anchor, and what taking it costs."""

    boxes: Floats
    at: NDArray[np.intp]
    cost: Floats


class Crowd:
    """Weights of obstacles on a grid over the axes, so that many boxes are priced at once."""

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
