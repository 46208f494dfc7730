"""Which comparison tells most about the ranking: expected variance reduction in a Bradley-Terry model."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from routerlab.ratings import solve_bradley_terry

Floats = NDArray[np.float64]


class RatingState:
    """Ratings and covariance of every group, as far as votes go: what the choice of the next pair rests on.

    Each group has ratings of its own, pulled toward those of all groups together by a normal prior with standard
    deviation 1 (174 points). Votes that are still expected count in the covariance.
    """

    def __init__(self, n_groups: int, n_models: int) -> None:
        self.wins = np.zeros((n_groups, n_models, n_models))
        self.ratings = np.zeros((n_groups, n_models))
        self.covariance = np.zeros((n_groups, n_models, n_models))
        self._pooled = np.zeros(n_models)
        self._pending = np.zeros((n_groups, n_models, n_models))
        self._stale = np.ones(n_groups, dtype=bool)

    def add(self, group: int, i: int, j: int, score: float, weight: float = 1.0) -> None:
        """Count a vote in which i scored `score` (1 win, 0.5 tie, 0 loss) against j; weight -1 takes one back."""
        self.wins[group, i, j] += weight * score
        self.wins[group, j, i] += weight * (1.0 - score)
        self._stale[group] = True

    def expect(self, group: int, i: int, j: int, weight: float = 1.0) -> None:
        """Count a vote that is on its way; weight -1 when it has arrived."""
        self._pending[group, i, j] += weight
        self._pending[group, j, i] += weight
        self._stale[group] = True

    def refit(self) -> None:
        """Bring the groups that changed up to date."""
        changed = np.nonzero(self._stale)[0]
        if not len(changed):
            return
        if len(self.wins) > 1:
            self._pooled = solve_bradley_terry(self.wins.sum(axis=0), alpha=1.0, start=self._pooled)
        wins = self.wins[changed]
        ratings = solve_bradley_terry(wins, alpha=1.0, prior=self._pooled, start=self.ratings[changed])
        self.ratings[changed] = ratings
        n_votes = wins + wins.transpose(0, 2, 1) + self._pending[changed]
        self.covariance[changed] = np.linalg.inv(information(ratings, n_votes, 1.0))
        self._stale[:] = False


def information(ratings: Floats, n_votes: Floats, alpha: Floats | float) -> Floats:
    """Information of `n_votes` (..., n_models, n_models) at `ratings`, and of a prior of precision `alpha`."""
    weight = n_votes * vote_information(ratings)
    m = ratings.shape[-1]
    eye = np.eye(m)
    return eye * (weight.sum(axis=-1, keepdims=True) + np.reshape(alpha, (*np.shape(alpha), 1, 1))) - weight


def vote_information(ratings: Floats) -> Floats:
    """Fisher information p (1 - p) that one vote on each pair of models has on their difference."""
    difference = ratings[..., :, None] - ratings[..., None, :]
    return np.asarray(0.25 / np.cosh(difference / 2.0) ** 2)


def difference_variance(covariance: Floats) -> Floats:
    """Variance of each difference of two ratings: shape (..., n_models, n_models)."""
    variance = np.diagonal(covariance, axis1=-2, axis2=-1)
    return variance[..., :, None] + variance[..., None, :] - 2.0 * covariance


def ranking_gain(ratings: Floats, covariance: Floats) -> Floats:
    """Return how much one vote on each pair of models is expected to sharpen the ranking.

    Sums, over all pairs (a, b), the reduction of the standard error of their difference, times the probability that
    the difference has the wrong sign: votes go where the ranking is in doubt. A vote on (i, j) lowers the variance of
    every difference (a, b) by ``w c**2 / (1 + w s)``: c the covariance of the two differences, s the variance of (i,
    j), w = p (1 - p). The sum is a quadratic form, which costs O(n_models**3) for all (i, j) together.

    Parameters
    ----------
    ratings : ndarray of shape (n_groups, n_models)
        In natural-log units.
    covariance : ndarray of shape (n_groups, n_models, n_models)
        Of the ratings.

    Returns
    -------
    ndarray of shape (n_groups, n_models, n_models)
        Symmetric; the diagonal is 0.
    """
    m = ratings.shape[-1]
    spread = difference_variance(covariance)
    spread[:, range(m), range(m)] = 1.0
    error = np.sqrt(spread)
    difference = ratings[:, :, None] - ratings[:, None, :]
    weight = ndtr(-np.abs(difference) / error) / (2.0 * error)
    weight[:, range(m), range(m)] = 0.0
    laplacian = np.eye(m) * weight.sum(axis=2, keepdims=True) - weight
    reach = difference_variance(covariance @ laplacian @ covariance)
    information_ = vote_information(ratings)
    gain = information_ * reach / (1.0 + information_ * spread)
    gain[:, range(m), range(m)] = 0.0
    return np.asarray(gain)


def score_of(winner: str) -> float:
    """Return what model_a scores: 1 for a win, 0 for a loss, 0.5 for a tie of either kind."""
    return {"model_a": 1.0, "model_b": 0.0}.get(winner, 0.5)
