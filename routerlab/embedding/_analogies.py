"""Analogies by arithmetic on embeddings."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from routerlab.schema import check_embeddings, reject, shown, unit_rows


def analogies(X: pd.DataFrame, questions: pd.DataFrame) -> pd.DataFrame:
    """Answer "a is to b as c is to which?" by the row of X that is most similar to ``b - a + c``.

    Parameters
    ----------
    X : DataFrame of shape (n_texts, n_features)
        Embeddings, indexed by whatever the questions call the texts. All rows are possible answers.
    questions : DataFrame of shape (n_questions, n_columns)
        Columns ``a``, ``b``, ``c`` and the right answer ``d``, as labels of X.

    Returns
    -------
    DataFrame of shape (n_questions, 4)
        Index of `questions`. ``answer`` and ``right``: as in the literature, the three given texts are no
        possible answers. ``right_nearest``: the same when nothing is calculated and the neighbour nearest to ``c``
        is taken. ``right_open``: with arithmetic, and ``a``, ``b`` and ``c`` as possible answers.

    Raises
    ------
    TableError
        Questions on texts that X does not have.

    Notes
    -----
    Read ``right`` beside the other two. Much of what looks like arithmetic is the nearest neighbour once the
    inputs are out of the way [2]_.

    References
    ----------
    .. [1] T. Mikolov, W. Yih and G. Zweig, "Linguistic Regularities in Continuous Space Word Representations",
       NAACL 2013.
    .. [2] T. Linzen, "Issues in evaluating semantic spaces using word analogies", RepEval 2016.

    Examples
    --------
    >>> X = pd.DataFrame([[1, 0, 0], [1, 0, 1], [0, 1, 0], [0, 1, 1]], index=["man", "king", "woman", "queen"])
    >>> questions = pd.DataFrame([["man", "king", "woman", "queen"]], columns=list("abcd"))
    >>> analogies(X, questions)["answer"].tolist()
    ['queen']
    """
    if not X.index.is_unique:
        reject("'X'", f"has {shown(X.index[X.index.duplicated()])} twice.", "Keep one row for each text.")
    parts = {name: _positions(X, questions, name) for name in "abcd"}
    rows = unit_rows(check_embeddings(X))
    a, b, c, d = (parts[name] for name in "abcd")
    similarity = unit_rows(rows[b] - rows[a] + rows[c]) @ rows.T
    open_answer = similarity.argmax(axis=1)
    nearest = rows[c] @ rows.T
    each = np.arange(len(questions))
    for given in (a, b, c):
        similarity[each, given] = nearest[each, given] = -np.inf
    answer = similarity.argmax(axis=1)
    return pd.DataFrame(
        {
            "answer": X.index[answer],
            "right": answer == d,
            "right_nearest": nearest.argmax(axis=1) == d,
            "right_open": open_answer == d,
        },
        index=questions.index,
    )


def _positions(X: pd.DataFrame, questions: pd.DataFrame, name: str) -> Any:
    if name not in questions:
        reject("'questions'", f"has no column {name!r}; it has {shown(questions.columns)}.", "Columns: a, b, c, d.")
    found = X.index.get_indexer(questions[name])
    if (found < 0).any():
        absent = pd.unique(questions[name][found < 0])
        reject(f"'questions', column {name!r}", f"{shown(absent)} is not in X.", "Embed those texts too.")
    return found
