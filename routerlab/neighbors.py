"""Exact nearest neighbours by cosine similarity: the one place where neighbours are searched."""

import numpy as np
from numpy.typing import NDArray

# Bytes of similarities held at once. Larger blocks gain nothing on a CPU and cost memory.
_BLOCK_BYTES = 64 * 2**20


def nearest(
    queries: NDArray[np.float32], train: NDArray[np.float32], n_neighbors: int
) -> tuple[NDArray[np.float32], NDArray[np.intp]]:
    """Find each query's nearest training rows, exactly.

    A plain matrix product and a partial sort are the quickest exact search on a CPU at this
    project's sizes (up to about a million rows), so there is no index to build or to keep in step.

    Parameters
    ----------
    queries : ndarray of shape (n_queries, n_features)
        Unit-length rows.
    train : ndarray of shape (n_train, n_features)
        Unit-length rows.
    n_neighbors : int
        At most n_train.

    Returns
    -------
    similarity : ndarray of shape (n_queries, n_neighbors)
        Cosine similarities, decreasing.
    index : ndarray of shape (n_queries, n_neighbors)
        Row numbers in `train`.

    Examples
    --------
    >>> nearest(np.eye(2, dtype=np.float32), np.eye(2, dtype=np.float32), 1)[1].ravel()
    array([0, 1])
    """
    n_train = len(train)
    similarity = np.empty((len(queries), n_neighbors), dtype=np.float32)
    index = np.empty((len(queries), n_neighbors), dtype=np.intp)
    step = max(1, _BLOCK_BYTES // (4 * n_train))
    for start in range(0, len(queries), step):
        rows = slice(start, start + step)
        block = queries[rows] @ train.T
        top = np.argpartition(block, n_train - n_neighbors, axis=1)[:, n_train - n_neighbors :]
        value = np.take_along_axis(block, top, axis=1)
        order = np.argsort(-value, axis=1, kind="stable")
        similarity[rows] = np.take_along_axis(value, order, axis=1)
        index[rows] = np.take_along_axis(top, order, axis=1)
    return similarity, index
