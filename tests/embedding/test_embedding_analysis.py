"""domain_separability against synthetic truth, analogies on a grid, and what both refuse."""

from __future__ import annotations

from itertools import product

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from routerlab.embedding import analogies, domain_separability
from routerlab.embedding._analysis import _auc, _placements
from routerlab.schema import TableError


def two_sets(shift: float, n_ours: int = 60, n_general: int = 90, n_features: int = 6, seed: int = 0):
    """Normal rows, far from the origin in one more feature so that unit length changes little; shifted in the first."""
    rng = np.random.default_rng(seed)
    rows = [rng.normal(size=(n, n_features)) for n in (n_ours, n_general)]
    rows[0][:, 0] += shift
    return [np.column_stack([part, np.full(len(part), 100.0)]) for part in rows]


@pytest.mark.slow
def test_p_values_are_uniform_when_the_two_come_from_one_distribution():
    p = [
        domain_separability(*two_sets(0, 20, 40, seed=seed), n_permutations=99, random_state=seed).p_value
        for seed in range(200)
    ]
    for level in (0.1, 0.5):
        assert abs(np.mean(np.array(p) <= level) - level) < 3 * np.sqrt(level * (1 - level) / 200)


def test_sets_far_apart_are_told_apart_and_the_interval_keeps_a_width():
    result = domain_separability(*two_sets(20))
    assert result.auc == 1
    assert result.high == 1
    assert 0.85 < result.low < 1
    assert result.p_value == pytest.approx(1 / 1000)


@pytest.mark.slow
def test_interval_holds_the_true_auc():
    # Enough prompts that the classifier is the best one; its AUC is known for two normals.
    truth = norm.cdf(1 / np.sqrt(2))
    held = []
    for seed in range(150):
        result = domain_separability(*two_sets(1, 200, 300, 2, seed), n_permutations=1, random_state=seed)
        held.append(result.low <= truth <= result.high)
    assert 0.90 <= np.mean(held) <= 0.99


def test_auc_and_placements_are_scikit_learns():
    rng = np.random.default_rng(0)
    score, is_ours = rng.integers(5, size=40).astype(float), rng.random(40) < 0.3
    rank = pd.Series(score).rank().to_numpy()
    truth = roc_auc_score(is_ours, score)
    assert _auc(rank[:, None], is_ours[:, None].astype(np.float32))[0] == pytest.approx(truth)
    place = _placements(score, rank, is_ours)
    assert place[is_ours].mean() == pytest.approx(truth)
    assert place[~is_ours].mean() == pytest.approx(truth)


def test_swapping_the_sets_changes_nothing_of_substance():
    ours, general = two_sets(1, 150, 150)
    first, second = domain_separability(ours, general), domain_separability(general, ours)
    assert second.auc == pytest.approx(first.auc, abs=0.03)  # other folds
    assert (second.n_ours, second.n_general) == (first.n_general, first.n_ours)


def test_more_shift_more_auc_and_a_narrower_interval_with_more_prompts():
    auc = [domain_separability(*two_sets(shift), n_permutations=9).auc for shift in (0.5, 1.5, 3.0)]
    assert auc == sorted(auc)
    few, many = (domain_separability(*two_sets(1, n, n), n_permutations=9) for n in (40, 400))
    assert many.high - many.low < (few.high - few.low) / 2


def test_scores_point_at_the_prompts_that_stand_apart():
    ours, general = two_sets(0, 60, 60)
    ours[:10, 0] += 15
    frame = pd.DataFrame(ours, index=[f"p{k}" for k in range(60)])
    result = domain_separability(frame, general)
    assert set(result.scores.nlargest(10).index) == {f"p{k}" for k in range(10)}
    assert result.scores.index.equals(frame.index)


def test_says_how_it_was_made_and_is_the_same_for_the_same_seed():
    ours, general = (pd.DataFrame(part) for part in two_sets(1))
    general.attrs["provenance"] = "published: X"
    result = domain_separability(ours, general, n_permutations=99, random_state=3)
    text = repr(result)
    for part in ("AUC 0.", "p = ", "60 of ours", "90 general", "99 permutations", "[published: X]", "95%"):
        assert part in text
    assert "<strong>AUC" in result._repr_html_()
    assert repr(domain_separability(ours, general, n_permutations=99, random_state=3)) == text
    with pytest.raises(AttributeError):
        result.auc = 1.0


def test_shuffled_labels_lie_around_a_half_and_a_row_holds_all_numbers():
    result = domain_separability(*two_sets(0))
    assert result.null_low < 0.5 < result.null_high
    assert result.null_low < result.auc < result.null_high
    row = result.to_frame().iloc[0]
    assert row[["auc", "n_ours", "null_high"]].tolist() == [result.auc, 60, result.null_high]


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"X_general": np.ones((50, 3))}, TableError, "have 7 and 3 features.*one embedder"),
        ({"X_ours": np.ones((9, 7))}, TableError, "'X_ours': has 9 rows for 5 folds. Pass at least 10"),
        ({"X_ours": [["a"]]}, TableError, "'X_ours': expected numbers"),
        ({"n_folds": 1}, ValueError, "'n_folds' .* at least 2. Got 1"),
        ({"n_permutations": 0}, ValueError, "'n_permutations' .* at least 1. Got 0"),
        ({"confidence": 95}, ValueError, "'confidence' .* between 0 and 1, e.g. 0.95. Got 95"),
    ],
)
def test_bad_input_is_named(change, error, message):
    ours, general = two_sets(1)
    with pytest.raises(error, match=message):
        domain_separability(**{"X_ours": ours, "X_general": general} | change)


def conversations(seed: int, n: int = 10, size: int = 30):
    """Two samples of conversations from one population: prompts of one resemble each other."""
    rng = np.random.default_rng(seed)
    return [np.repeat(rng.normal(size=(n, 8)), size, axis=0) + 0.2 * rng.normal(size=(n * size, 8)) for _ in range(2)]


def test_ten_conversations_each_of_one_population_are_not_told_apart():
    groups = np.repeat(np.arange(10), 30)
    told = {"rows": 0, "groups": 0}
    for seed in range(6):
        sets = conversations(seed)
        told["rows"] += domain_separability(*sets, n_permutations=99, random_state=seed).p_value <= 0.05
        found = domain_separability(*sets, groups=(groups, groups), n_permutations=99, random_state=seed)
        told["groups"] += found.p_value <= 0.05
        assert "only 10 groups" in repr(found)
        assert "in 10 and 10 groups" in repr(found)
    assert told["rows"] == 6
    assert told["groups"] <= 2


def test_groups_are_read_by_prompt_or_by_place_and_four_are_the_least():
    ours, general = (pd.DataFrame(x, index=[f"{name}{k}" for k in range(300)]) for name, x in
                     zip("og", conversations(0), strict=True))  # fmt: skip
    place = np.repeat(np.arange(20), 30)
    by_place = domain_separability(ours, general, groups=place, n_permutations=19)
    labels = pd.Series(place, index=ours.index.append(general.index)).sample(frac=1, random_state=0)
    assert repr(domain_separability(ours, general, groups=labels, n_permutations=19)) == repr(by_place)
    assert by_place.n_groups_ours == by_place.n_groups_general == 10
    with pytest.raises(TableError, match="has 3 for X_ours.*four are the least"):
        domain_separability(ours, general, groups=(np.arange(300) % 3, np.arange(300)), n_permutations=19)
    with pytest.raises(TableError, match="'groups': has 9 entries for 300 prompts of ours and 300 general"):
        domain_separability(ours, general, groups=np.arange(9), n_permutations=19)


def test_groups_that_do_differ_are_told_apart():
    ours, general = conversations(0)
    ours[:, 0] += 8
    groups = np.repeat(np.arange(10), 30)
    found = domain_separability(ours, general, groups=(groups, groups), n_permutations=99)
    assert found.p_value <= 0.05
    assert found.low > 0.5


# Analogies.


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
