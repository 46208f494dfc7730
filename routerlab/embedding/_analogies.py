"""Analogies by arithmetic on embeddings."""

from __future__ import annotations

from itertools import permutations, product

import numpy as np
import pandas as pd

from routerlab.schema import check_embeddings, reject, shown, unit_rows


def analogies(X: pd.DataFrame, grid: pd.DataFrame) -> pd.DataFrame:
    """Count analogies that arithmetic on embeddings solves: a is to b as c is to d, so ``b - a + c`` should be near d.

    Parameters
    ----------
    X : DataFrame of shape (n_texts, n_features)
        Embeddings, indexed by the texts or by names of them. All rows are possible answers.
    grid : DataFrame of shape (n_rows, n_columns)
        Index labels of X, such that any two rows and any two columns make an analogy: a and b in one row, c and d
        below them in another.

    Returns
    -------
    DataFrame of shape (n_analogies, 8)
        ``a``, ``b``, ``c``, ``d``; ``answer`` and whether it is ``right``: as in the literature, the three given texts
        are no possible answers. ``right_nearest``: the same without arithmetic, the nearest neighbour of ``c``.
        ``right_open``: with arithmetic, and with the given texts among the possible answers.

    Raises
    ------
    TableError
        Texts that X does not have, or has twice; fewer than two rows or columns.

    Notes
    -----
    Read ``right`` beside the other two. Much of what looks like arithmetic is the nearest neighbour once the given
    texts are out of the way [2]_.

    References
    ----------
    .. [1] T. Mikolov, W. Yih and G. Zweig, "Linguistic Regularities in Continuous Space Word Representations",
       NAACL 2013.
    .. [2] T. Linzen, "Issues in evaluating semantic spaces using word analogies", RepEval 2016.

    Examples
    --------
    >>> X = pd.DataFrame([[1, 0, 0], [1, 0, 1], [0, 1, 0], [0, 1, 1]], index=["man", "king", "woman", "queen"])
    >>> analogies(X, pd.DataFrame([["man", "king"], ["woman", "queen"]]))["answer"].tolist()
    ['queen', 'woman', 'king', 'man']
    """
    if not X.index.is_unique:
        reject("'X'", f"has {shown(X.index[X.index.duplicated()])} twice.", "Keep one row for each text.")
    if min(grid.shape) < 2:
        reject("'grid'", f"has shape {grid.shape}.", "Pass at least two rows and two columns.")
    cells = grid.to_numpy(dtype=object)
    steps = product(permutations(range(grid.shape[0]), 2), permutations(range(grid.shape[1]), 2))
    asked = [(cells[i, s], cells[i, t], cells[j, s], cells[j, t]) for (i, j), (s, t) in steps]
    table = pd.DataFrame(asked, columns=list("abcd"))
    places = X.index.get_indexer(table.to_numpy(dtype=object).ravel()).reshape(table.shape)
    if (places < 0).any():
        absent = pd.unique(table.to_numpy(dtype=object)[places < 0])
        reject("'grid'", f"{shown(absent)} is not in the index of X.", "Embed those texts too.")
    a, b, c, d = places.T
    rows = unit_rows(check_embeddings(X))
    similarity = unit_rows(rows[b] - rows[a] + rows[c]) @ rows.T
    nearest = rows[c] @ rows.T
    table["right_open"] = similarity.argmax(axis=1) == d
    each = np.arange(len(table))
    for given in (a, b, c):
        similarity[each, given] = nearest[each, given] = -np.inf
    answer = similarity.argmax(axis=1)
    table["answer"], table["right"] = X.index[answer], answer == d
    table["right_nearest"] = nearest.argmax(axis=1) == d
    return table[[*"abcd", "answer", "right", "right_nearest", "right_open"]]
