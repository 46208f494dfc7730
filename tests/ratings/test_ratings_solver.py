"""solve_bradley_terry against independent optimizers, and what it must refuse."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from hypothesis.extra import numpy as hnp
from scipy.optimize import minimize
from sklearn.linear_model import LogisticRegression

from routerlab.ratings import solve_bradley_terry
from routerlab.schema import TableError


def random_wins(n_batch: int, m: int, seed: int = 0) -> np.ndarray:
    """Weighted wins with unequal strengths, some pairs never met."""
    rng = np.random.default_rng(seed)
    strength = rng.normal(0, 1, m)
    chance = 1 / (1 + np.exp(strength - strength[:, None]))
    met = np.triu(rng.random((n_batch, m, m)) < 0.8, 1)
    met |= np.eye(m, k=1, dtype=bool)
    weight = rng.exponential(20, (n_batch, m, m)) * (met + met.transpose(0, 2, 1))
    return weight * chance


def by_scipy(wins: np.ndarray, alpha: float, prior: np.ndarray) -> np.ndarray:
    def loss(r: np.ndarray) -> tuple[float, np.ndarray]:
        d = r[:, None] - r
        slope = wins / (1 + np.exp(d))
        gradient = slope.sum(axis=0) - slope.sum(axis=1) + alpha * (r - prior)
        return float((wins * np.logaddexp(0, -d)).sum() + alpha / 2 * ((r - prior) ** 2).sum()), gradient

    found = minimize(loss, prior, jac=True, method="BFGS", options={"gtol": 1e-9, "maxiter": 10_000})
    return found.x - found.x.mean() + prior.mean()


@pytest.mark.parametrize("alpha", [0.0, 0.01, 3.0])
@pytest.mark.parametrize("m", [2, 5, 12])
def test_agrees_with_scipy(m: int, alpha: float) -> None:
    wins = random_wins(4, m, seed=m)
    prior = np.random.default_rng(1).normal(size=(4, m))
    ratings = solve_bradley_terry(wins, alpha=alpha, prior=prior)
    expected = [by_scipy(w, alpha, p) for w, p in zip(wins, prior, strict=True)]
    np.testing.assert_allclose(ratings, expected, atol=1e-6)


@pytest.mark.parametrize("C", [0.01, 1.0, 100.0])
def test_alpha_is_that_of_scikit_learn(C: float) -> None:
    m, x = 4, np.log(10)
    wins = random_wins(1, m, seed=3)[0]
    i, j = np.nonzero(wins)
    design = x * (np.eye(m)[i] - np.eye(m)[j])
    # Both signs of each row: scikit-learn wants two classes. Half the weight each.
    peer = LogisticRegression(C=C, fit_intercept=False, tol=1e-12, max_iter=10_000, solver="newton-cholesky")
    weight = np.tile(wins[i, j] / 2, 2)
    peer.fit(np.concatenate([design, -design]), np.repeat([1, 0], len(i)), sample_weight=weight)
    np.testing.assert_allclose(solve_bradley_terry(wins, alpha=1 / (C * x**2)), x * peer.coef_[0], atol=1e-6)


def test_one_alpha_for_each_problem() -> None:
    wins, alphas = random_wins(3, 5), np.array([0.0, 0.1, 10.0])
    together = solve_bradley_terry(wins, alpha=alphas)
    alone = [solve_bradley_terry(w, alpha=a) for w, a in zip(wins, alphas, strict=True)]
    np.testing.assert_allclose(together, alone, atol=1e-10)


def test_many_blocks_are_one_batch() -> None:
    wins = random_wins(3000, 6)
    ratings, n_iter = solve_bradley_terry(wins, return_n_iter=True)
    np.testing.assert_allclose(ratings[::500], [solve_bradley_terry(w) for w in wins[::500]], atol=1e-10)
    assert n_iter.shape == (3000,)
    assert 1 <= n_iter.min() <= n_iter.max() < 20


def test_start_changes_the_way_not_the_answer() -> None:
    wins = random_wins(20, 7)
    cold, cold_steps = solve_bradley_terry(wins, return_n_iter=True)
    warm, warm_steps = solve_bradley_terry(wins, start=cold, return_n_iter=True)
    far = solve_bradley_terry(wins, start=np.linspace(-30, 50, 7))
    np.testing.assert_allclose(warm, cold, atol=1e-10)
    np.testing.assert_allclose(far, cold, atol=1e-8)
    assert warm_steps.max() == 1 < cold_steps.min()


def test_only_proportions_and_differences_matter() -> None:
    wins = random_wins(5, 6)
    ratings = solve_bradley_terry(wins)
    np.testing.assert_allclose(ratings.sum(axis=1), 0, atol=1e-12)
    np.testing.assert_allclose(solve_bradley_terry(1000 * wins), ratings, atol=1e-10)
    np.testing.assert_allclose(solve_bradley_terry(wins.transpose(0, 2, 1)), -ratings, atol=1e-10)
    order = np.array([3, 0, 5, 1, 2, 4])
    np.testing.assert_allclose(solve_bradley_terry(wins[:, order][:, :, order]), ratings[:, order], atol=1e-10)
    np.testing.assert_allclose(solve_bradley_terry(wins + 7 * np.eye(6)), ratings, atol=1e-10)


def test_no_wins_leave_the_prior() -> None:
    prior = np.array([1.0, -2.0, 4.0])
    np.testing.assert_allclose(solve_bradley_terry(np.zeros((2, 3, 3)), alpha=1.0, prior=prior), [prior, prior])


@given(wins=hnp.arrays(float, (2, 4, 4), elements=st.floats(0, 1e4, width=32)), alpha=st.floats(1e-3, 100))
@settings(max_examples=200, deadline=None)
def test_gradient_is_zero_whatever_the_wins(wins: np.ndarray, alpha: float) -> None:
    ratings = solve_bradley_terry(wins, alpha=alpha)
    chance = 1 / (1 + np.exp(ratings[:, None, :] - ratings[:, :, None]))
    n = wins + wins.transpose(0, 2, 1)
    gradient = (wins - n * chance).sum(axis=2) - alpha * ratings
    scale = (n * chance * (1 - chance)).sum(axis=2) + alpha
    assert np.abs(gradient / scale).max() < 1e-6


@pytest.mark.parametrize(
    "wins",
    [
        [[0, 3], [0, 0]],
        [[0, 1, 1], [1, 0, 1], [0, 0, 0]],  # the last never won
        [[0, 1, 0], [1, 0, 0], [0, 0, 0]],  # the last never played
    ],
)
def test_infinite_ratings_raise_without_alpha_and_not_with_it(wins: list) -> None:
    fine = np.ones((len(wins), len(wins)))
    with pytest.raises(TableError, match=r"\(problem 1\).*alpha such as 0.01"):
        solve_bradley_terry([fine, wins])
    assert np.isfinite(solve_bradley_terry(wins, alpha=1e-4)).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"wins": np.ones((2, 3))}, r"'wins': expected shape"),
        ({"wins": np.ones((0, 3, 3))}, r"'wins': expected shape"),
        ({"wins": [[0, -1], [1, 0]]}, r"negative at \(0, 0, 1\)"),
        ({"wins": [[0, np.nan], [1, 0]]}, r"'wins': is NaN"),
        ({"wins": [[0, np.inf], [1, 0]]}, r"'wins': is NaN, infinite"),
        ({"wins": np.ones((2, 2)), "alpha": -1}, r"'alpha': got -1.0, expected finite numbers of at least 0"),
        ({"wins": np.ones((2, 2)), "prior": [0, np.nan]}, r"'prior': got 0.0, nan"),
        ({"wins": np.ones((2, 2)), "start": [0, np.inf]}, r"'start': got"),
    ],
)
def test_bad_input(arguments: dict, message: str) -> None:
    with pytest.raises(TableError, match=message):
        solve_bradley_terry(**arguments)


def test_says_when_it_did_not_converge() -> None:
    with pytest.raises(RuntimeError, match="did not converge in 1 steps for 2 of 2 problems"):
        solve_bradley_terry(random_wins(2, 4), max_iter=1)
