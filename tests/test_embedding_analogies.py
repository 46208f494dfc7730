"""Analogies: exact on a grid, counted fairly, and what it refuses."""

from __future__ import annotations

from itertools import permutations, product

import numpy as np
import pandas as pd
import pytest

from routerlab.embedding import analogies
from routerlab.schema import TableError


def grid(n_kinds: int = 3, n_topics: int = 4, noise: float = 0.0) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rows that are the sum of a kind and a topic, and all analogies among them."""
    rng = np.random.default_rng(0)
    cells = list(product(range(n_kinds), range(n_topics)))
    kinds, topics = np.eye(n_kinds), np.eye(n_topics)
    rows = np.array([np.concatenate([kinds[k], topics[t]]) for k, t in cells])
    X = pd.DataFrame(rows + noise * rng.normal(size=rows.shape), index=[f"{k}/{t}" for k, t in cells])
    asked = [
        (f"{k}/{t}", f"{j}/{t}", f"{k}/{u}", f"{j}/{u}")
        for (k, j), (t, u) in product(permutations(range(n_kinds), 2), permutations(range(n_topics), 2))
    ]
    return X, pd.DataFrame(asked, columns=list("abcd"))


def test_sums_of_kind_and_topic_are_answered_exactly():
    X, questions = grid()
    result = analogies(X, questions)
    assert result["right"].all()
    assert result["right_open"].all()
    assert (result["answer"] == questions["d"]).all()
    # The nearest neighbour of c shares its topic or its kind: by itself it is mostly another text.
    assert result["right_nearest"].mean() < 0.5


def test_noise_alone_is_right_about_as_often_as_a_guess():
    X, questions = grid(4, 5, noise=1000.0)
    assert analogies(X, questions)["right"].mean() < 3 / (len(X) - 3)


def test_given_texts_are_no_answers_unless_open():
    X = pd.DataFrame([[1, 0.1], [1, 0], [0.9, 0.2], [0, 1]], index=["a", "b", "c", "d"], dtype=float)
    result = analogies(X, pd.DataFrame([["a", "b", "c", "d"]], columns=list("abcd"))).iloc[0]
    assert result["answer"] == "d" and result["right"] and result["right_nearest"] and not result["right_open"]


def test_order_of_rows_and_questions_does_not_matter():
    X, questions = grid(noise=0.4)
    shuffled = analogies(X.sample(frac=1, random_state=0), questions.sample(frac=1, random_state=1))
    pd.testing.assert_frame_equal(shuffled.loc[questions.index], analogies(X, questions))


def test_bad_questions_are_named():
    X, questions = grid()
    with pytest.raises(TableError, match="column 'd': '9/9' is not in X"):
        analogies(X, questions.assign(d="9/9"))
    with pytest.raises(TableError, match="no column 'd'"):
        analogies(X, questions.drop(columns="d"))
    with pytest.raises(TableError, match="'0/0' twice"):
        analogies(pd.concat([X, X.iloc[:1]]), questions)
