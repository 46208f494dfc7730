"""Which comparison tells most: expected information of one more vote on a Bradley-Terry model."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from routerlab.ratings import solve_bradley_terry

Floats = NDArray[np.float64]


class RatingState:
    """Bradley-Terry ratings and their covariance for every group, kept up to date vote by vote.

    Each group has its own ratings, pulled toward those of all groups together by a normal prior of
    precision `alpha`. Refits are exact; between them a vote that is still expected takes its information from a
    rank-one update.
    """

    def __init__(self, n_groups: int, n_models: int, alpha: float = 1.0) -> None:
        self.alpha = alpha
        self.wins = np.zeros((n_groups, n_models, n_models))
        self.ratings = np.zeros((n_groups, n_models))
        self._pooled = np.zeros(n_models)
        self._stale = np.ones(n_groups, dtype=bool)
        self._pending = np.zeros((n_groups, n_models, n_models))
        self._cov = np.zeros((n_groups, n_models, n_models))

    def add(self, group: int, i: int, j: int, score: float, weight: float = 1.0) -> None:
        """Count a vote in which i scored `score` (1 win, 0.5 tie, 0 loss) against j; weight -1 takes one back."""
        self.wins[group, i, j] += weight * score
        self.wins[group, j, i] += weight * (1.0 - score)
        self._stale[group] = True

    def expect(self, group: int, i: int, j: int, weight: float = 1.0) -> None:
        """Count the information of a vote that is on its way; weight -1 when it has arrived."""
        self._pending[group, i, j] += weight
        self._pending[group, j, i] += weight
        self._stale[group] = True

    def refit(self) -> None:
        """Bring ratings and covariances of the groups that changed up to date."""
        if not self._stale.any():
            return
        wins = np.maximum(self.wins, 0.0)
        if len(wins) > 1:
            self._pooled = solve_bradley_terry(wins.sum(axis=0), alpha=self.alpha, start=self._pooled)
        changed = np.nonzero(self._stale)[0]
        self.ratings[changed] = solve_bradley_terry(
            wins[changed], alpha=self.alpha, prior=self._pooled, start=self.ratings[changed]
        )
        self._cov[changed] = covariance(
            self.ratings[changed], (wins + wins.transpose(0, 2, 1) + self._pending)[changed], self.alpha
        )
        self._stale[:] = False

    @property
    def covariance(self) -> Floats:
        """Covariance of the ratings, shape (n_groups, n_models, n_models)."""
        return self._cov


def covariance(ratings: Floats, n_votes: Floats, alpha: float) -> Floats:
    """Invert the information of `n_votes` (n_groups, n_models, n_models) at `ratings`, prior precision `alpha`."""
    difference = ratings[:, :, None] - ratings[:, None, :]
    weight = n_votes * 0.25 / np.cosh(difference / 2.0) ** 2
    information = -weight
    diagonal = np.arange(ratings.shape[1])
    information[:, diagonal, diagonal] = weight.sum(axis=2) - weight[:, diagonal, diagonal] + alpha
    return np.linalg.inv(information)


def information_gain(ratings: Floats, cov: Floats) -> Floats:
    """Log-determinant gain (nats) of one vote on every pair of models (the D-optimal criterion).

    Shapes (n_groups, n_models) and (n_groups, n_models, n_models) to (n_groups, n_models, n_models).
    """
    variance = np.einsum("gii->gi", cov)
    spread = variance[:, :, None] + variance[:, None, :] - 2.0 * cov
    difference = ratings[:, :, None] - ratings[:, None, :]
    return np.asarray(0.5 * np.log1p(spread * 0.25 / np.cosh(difference / 2.0) ** 2), dtype=float)


def score_of(winner: Any) -> float:
    """Return what model_a scores: 1 for a win, 0 for a loss, 0.5 for a tie of either kind."""
    return {"model_a": 1.0, "model_b": 0.0}.get(winner, 0.5)
