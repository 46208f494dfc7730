"""Weighted points that stand for many rows, with the same sums and squares: what intervals are computed from.

A tally is an array with a row for each bin: the count, the sums of its values, and the sums of their squares and
products. Bins are an eighth of an octave wide in each value, the same everywhere, so that tallies of partitions add
up to the tally of all. `points` puts points in each bin with its mean and covariance. Until there are many rows, each
stays as it is.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
EXACT = 4096  # rows that stay as they are
_FEW = 256  # rows of one of many partitions that stay as they are: bins of more take less space
_PER_OCTAVE = 8


def exact_rows(total: int) -> int:
    """Return how many rows of a partition stay as they are, by how many there are in all.

    Examples
    --------
    >>> exact_rows(4096), exact_rows(4097)
    (4096, 256)
    """
    return EXACT if total <= EXACT else _FEW


def tally(*values: Floats, exact: int = EXACT) -> Floats:
    """Tally rows of one or more values; up to `exact` of them stay as they are.

    Examples
    --------
    >>> tally(np.array([1.0, 2.0]))
    array([[1., 1., 1.],
           [1., 2., 4.]])
    """
    columns = [np.asarray(value, dtype=float) for value in values]
    return _binned(columns, [np.ones(len(columns[0])), *columns, *(a * b for a, b in _pairs(columns))], exact)


def merge(tallies: Iterable[Any]) -> Floats:
    """Add tallies up."""
    rows = np.concatenate([np.asarray(one, dtype=float) for one in tallies])
    k = _n_values(rows.shape[1])
    return _binned([rows[:, 1 + j] / rows[:, 0] for j in range(k)], list(rows.T), EXACT)


def points(rows: Floats) -> tuple[Floats, Floats]:
    """Return points of shape (n_points, n_values) and how many rows each stands for."""
    k = _n_values(rows.shape[1])
    count, mean = rows[:, 0], rows[:, 1 : 1 + k] / rows[:, :1]
    spread = np.empty((len(rows), k, k))
    for number, (i, j) in enumerate(zip(*np.triu_indices(k), strict=True)):
        spread[:, i, j] = spread[:, j, i] = rows[:, 1 + k + number] / count - mean[:, i] * mean[:, j]
    wide = (count > 1) & (np.einsum("rii->r", spread) > 1e-14 * np.square(mean).sum(axis=1))
    found, counts = [mean[~wide]], [count[~wide]]
    size, direction = np.linalg.eigh(spread[wide])
    for axis in range(k):
        step = np.sqrt(k * np.maximum(size[:, axis], 0.0))[:, None] * direction[:, :, axis]
        found += [mean[wide] + step, mean[wide] - step]
        counts += [count[wide] / (2 * k)] * 2
    return np.concatenate(found), np.concatenate(counts)


def _binned(columns: list[Floats], moments: list[Floats], exact: int) -> Floats:
    if len(columns[0]) <= exact:
        return np.column_stack(moments)
    import pandas as pd

    key = np.zeros(len(columns[0]), dtype=np.int64)
    for column in columns:
        key = key * 2**21 + _bin(column)
    code, seen = pd.factorize(key, sort=True)
    return np.column_stack([np.bincount(code, moment, len(seen)) for moment in moments])


def _bin(column: Floats) -> NDArray[np.int64]:
    """Return the number of each value's bin, by size and sign; 0 has its own."""
    with np.errstate(divide="ignore"):
        size = np.floor(_PER_OCTAVE * np.log2(np.abs(column)))
    place = np.where(column == 0, 0, np.clip(size, -(2**19) + 1, 2**19 - 1) + 2**19)
    return (np.sign(column) * place).astype(np.int64) + 2**20


def _pairs(columns: list[Floats]) -> list[tuple[Floats, Floats]]:
    return [(columns[i], columns[j]) for i in range(len(columns)) for j in range(i, len(columns))]


def _n_values(width: int) -> int:
    return {3: 1, 6: 2}[width]
