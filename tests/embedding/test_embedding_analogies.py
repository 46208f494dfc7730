"""Analogies: exact on a grid, counted fairly, and what it refuses."""

from __future__ import annotations

from itertools import product

import numpy as np
import pandas as pd
import pytest

from routerlab.embedding import analogies
from routerlab.schema import TableError


def grid(n_kinds: int = 3, n_topics: int = 4, noise: float = 0.0) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rows that are the sum of a kind and a topic, and their names as a grid."""
    rng = np.random.default_rng(0)
    cells = list(product(range(n_kinds), range(n_topics)))
    kinds, topics = np.eye(n_kinds), np.eye(n_topics)
    rows = np.array([np.concatenate([kinds[k], topics[t]]) for k, t in cells])
    names = [f"{k}/{t}" for k, t in cells]
    table = pd.DataFrame(np.array(names, dtype=object).reshape(n_kinds, n_topics))
    return pd.DataFrame(rows + noise * rng.normal(size=rows.shape), index=names), table


def test_sums_of_kind_and_topic_are_answered_exactly():
    result = analogies(*grid())
    assert len(result) == 3 * 2 * 4 * 3
    assert result["right"].all()
    assert result["right_open"].all()
    assert (result["answer"] == result["d"]).all()
    # The nearest neighbour of c shares its topic or its kind: by itself it is mostly another text.
    assert result["right_nearest"].mean() < 0.5


def test_each_analogy_shares_rows_and_columns():
    for row in analogies(*grid()).itertuples():
        a, b, c, d = (text.split("/") for text in (row.a, row.b, row.c, row.d))
        assert a[0] == b[0] != c[0] == d[0]
        assert a[1] == c[1] != b[1] == d[1]


def test_noise_alone_is_right_about_as_often_as_a_guess():
    X, table = grid(4, 5, noise=1000.0)
    assert analogies(X, table)["right"].mean() < 3 / (len(X) - 3)


def test_given_texts_are_no_answers_unless_open():
    X = pd.DataFrame([[1, 0.1], [1, 0], [0.9, 0.2], [0, 1]], index=list("abcd"), dtype=float)
    first = analogies(X, pd.DataFrame([["a", "b"], ["c", "d"]])).iloc[0]
    assert first["answer"] == "d"
    assert first["right"]
    assert first["right_nearest"]
    assert not first["right_open"]


def test_transposing_the_grid_and_the_order_of_rows_change_nothing():
    X, table = grid(noise=0.4)
    columns = ["right", "right_open"]
    whole = analogies(X, table)[columns].sum()
    assert (analogies(X, table.T)[columns].sum() == whole).all()
    assert (analogies(X.sample(frac=1, random_state=0), table.iloc[::-1])[columns].sum() == whole).all()


def test_bad_grids_are_named():
    X, table = grid()
    with pytest.raises(TableError, match="'9/9' is not in the index of X"):
        analogies(X, table.replace("0/0", "9/9"))
    with pytest.raises(TableError, match=r"'grid': has shape \(1, 4\)"):
        analogies(X, table.iloc[:1])
    with pytest.raises(TableError, match="'0/0' twice"):
        analogies(pd.concat([X, X.iloc[:1]]), table)
