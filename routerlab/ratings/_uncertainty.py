"""Covariances and resamples of Bradley-Terry ratings, in natural-log units."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import stdtrit

from routerlab.ratings._solver import solve_bradley_terry
from routerlab.ratings._votes import FIRST, SECOND, TIE, Votes, win_matrix
from routerlab.schema import check_model
from routerlab.stats import Floats, share_interval

_CELLS = 4_000_000  # numbers held at once while resampling


def points_per_log_odds(scale: float = 400.0, base: float = 10.0) -> float:
    """Rating points for one unit of log-odds: 173.7 in the arena's convention.

    Examples
    --------
    >>> round(points_per_log_odds(), 1)
    173.7
    """
    return float(scale / np.log(base))


def win_probability(ratings: Floats) -> Floats:
    """Probability that row beats column: shape (..., n_models, n_models)."""
    return 0.5 + 0.5 * np.tanh(0.5 * (ratings[..., :, None] - ratings[..., None, :]))


def contrasts(models: NDArray[np.object_], reference: str | None, parameter: str) -> Floats:
    """Each model's rating less that of `reference`, as rows of a matrix; without one, the rating itself."""
    rows = np.eye(len(models))
    if reference is not None:
        rows[:, list(models).index(check_model(reference, models, parameter))] -= 1.0
    return rows


def wilson(rate: Floats, n: Floats, confidence: float) -> tuple[Floats, Floats]:
    """Wilson's interval of a proportion: `routerlab.stats.share_interval` under its older name."""
    return share_interval(rate, n, confidence)


def raw_win_rates(counts: Floats, confidence: float) -> dict[str, NDArray]:
    """Wins, ties, losses and win rate of each model over all whom it met, with Wilson's interval."""
    won = counts[..., FIRST] + counts[..., SECOND].T
    tied = (counts[..., TIE] + counts[..., TIE].T).sum(axis=1)
    wins, losses = won.sum(axis=1), won.sum(axis=0)
    n = wins + tied + losses
    rate = (wins + tied / 2) / n
    low, high = share_interval(rate, n, confidence)
    columns = {"wins": whole(wins), "ties": whole(tied), "losses": whole(losses), "n": whole(n)}
    return columns | {"win_rate": rate, "win_rate_low": low, "win_rate_high": high}


def whole(values: Floats) -> NDArray:
    """As integers if they all are."""
    return values.astype(int) if (values == np.round(values)).all() else values


def information(wins: Floats, ratings: Floats) -> Floats:
    """Fisher information of the ratings: shape (..., n_models, n_models)."""
    return _laplacian((wins + np.swapaxes(wins, -1, -2)) * vote_information(ratings))


def vote_information(ratings: Floats) -> Floats:
    """Fisher information that one vote on each pair of models has on their difference: shape as `win_probability`."""
    p = win_probability(ratings)
    return p * (1.0 - p)


def _laplacian(weights: Floats) -> Floats:
    """Sum of ``weights[i, j] (e_i - e_j)(e_i - e_j)'`` over pairs."""
    return np.eye(weights.shape[-1]) * weights.sum(axis=-1, keepdims=True) - weights


def centred_inverse(matrix: Floats) -> Floats:
    """Invert symmetric matrices on vectors that sum to zero."""
    m = matrix.shape[-1]
    centring = np.eye(m) - 1.0 / m
    shift = np.trace(matrix, axis1=-2, axis2=-1)[..., None, None] / m**2
    return centring @ np.linalg.inv(matrix + shift) @ centring


def score_variance(counts: Floats, ratings: Floats) -> Floats:
    """Sum over votes of the outer product of their scores, from counts alone."""
    p = win_probability(ratings)
    squared = counts[..., FIRST] * (1 - p) ** 2 + counts[..., TIE] * (0.5 - p) ** 2 + counts[..., SECOND] * p**2
    return _laplacian(squared + np.swapaxes(squared, -1, -2))


def cluster_scores(votes: Votes, ratings: Floats, cluster: NDArray[np.intp], n_clusters: int) -> Floats:
    """Gradient of the log likelihood, summed by cluster: shape (n_clusters, n_models)."""
    m = len(votes.models)
    residual = 1.0 - 0.5 * votes.outcome - win_probability(ratings)[votes.first, votes.second]
    size = n_clusters * m
    plus = np.bincount(cluster * m + votes.first, residual, size)
    minus = np.bincount(cluster * m + votes.second, residual, size)
    return np.subtract(plus, minus, dtype=float).reshape(n_clusters, m)


def design_effect(seen: float, expected: float, unseen: float) -> float:
    """Return how many votes are worth as much as an independent one without ties: by the variance of their scores.

    Above 1 if votes of a cluster agree, below 1 if many are ties. As if scores of variance `unseen` had been seen that
    are exactly as variable as expected: few votes say little about this, and ties alone leave no variance at all.
    """
    return float((seen + unseen) / (expected + unseen))


def sandwich(counts: Floats, ratings: Floats, alpha: float, votes: Votes | None) -> Floats:
    """Robust covariance of penalized ratings.

    The penalty counts as one more observation: a model which only `alpha` holds in place
    has an interval as wide as that prior allows. Independent votes need `counts` alone; `votes`
    gives the clusters of those that are not.
    """
    bread = _bread(counts, ratings, alpha)
    m, n = len(ratings), counts.sum()
    if votes is None or votes.n_clusters == len(votes.first):
        meat, n_clusters = score_variance(counts, ratings), n
    else:
        scores = cluster_scores(votes, ratings, votes.cluster, votes.n_clusters)
        meat, n_clusters = scores.T @ scores, votes.n_clusters
    return bread @ (small_sample_factor(n, n_clusters, m) * meat + alpha * np.eye(m)) @ bread


def rater_covariance(counts: Floats, ratings: Floats, alpha: float, votes: Votes) -> Floats:
    """Covariance of ratings whose votes may be correlated within a prompt and within a rater.

    Two-way clustering: by prompt, plus by rater, less by both (Cameron, Gelbach and Miller 2011).
    """
    bread, m, n = _bread(counts, ratings, alpha), len(ratings), counts.sum()
    rater = votes.cluster if votes.rater is None else votes.rater
    both = pd.factorize(votes.cluster * (rater.max() + 1) + rater)[0]
    total = alpha * np.eye(m)
    for sign, codes in ((1, votes.cluster), (1, rater), (-1, both)):
        n_clusters = int(codes.max()) + 1
        scores = cluster_scores(votes, ratings, codes, n_clusters)
        total = total + sign * small_sample_factor(n, max(n_clusters, 2), m) * scores.T @ scores
    return excess_covariance(bread @ total @ bread, np.zeros((m, m)))


def unseen_covariance(wins: Floats, ratings: Floats, alpha: float, n_clusters: float) -> Floats:
    """Return the covariance from votes not seen yet: one more cluster of decided votes for each model.

    Sixty ties and nothing else do not show that nobody ever prefers a side. At most what all votes are worth.
    """
    info, m, n = information(wins, ratings), len(ratings), wins.sum()
    bread = centred_inverse(info + alpha * np.eye(m))
    return min(m * n / n_clusters**2, 1.0) * bread @ info @ bread


def excess_covariance(wide: Floats, narrow: Floats) -> Floats:
    """Return what `wide` has more than `narrow`, as far as it is a covariance."""
    values, vectors = np.linalg.eigh(wide - narrow)
    return (vectors * np.maximum(values, 0.0)) @ vectors.T


def spread(contrast: Floats, covariance: Floats) -> Floats:
    """Return the standard error of each row of ``contrast @ ratings``."""
    return np.sqrt(np.maximum(np.einsum("ij,jk,ik->i", contrast, covariance, contrast), 0.0))


def t_quantile(df: float, confidence: float) -> float:
    """Student's quantile of a two-sided interval."""
    return float(stdtrit(max(df, 1), (1 + confidence) / 2))


def _bread(counts: Floats, ratings: Floats, alpha: float) -> Floats:
    return centred_inverse(information(win_matrix(counts), ratings) + alpha * np.eye(len(ratings)))


def small_sample_factor(n: float, n_clusters: float, n_models: int) -> float:
    """How much too small the variance of scores is, for having been taken at fitted ratings (CR1)."""
    return n_clusters / (n_clusters - 1) * (n - 1) / max(n - (n_models - 1), 1.0)


def bootstrap(
    counts: Floats, ratings: Floats, alpha: float, votes: Votes | None, n_resamples: int, rng: np.random.Generator
) -> Floats:
    """Ratings refitted to resampled votes (or clusters of votes): shape (n_resamples, n_models)."""
    parts = [
        solve_bradley_terry(win_matrix(resampled), alpha=alpha, start=ratings)
        for resampled in _resample(counts, votes, n_resamples, rng)
    ]
    return np.concatenate(parts)


def _resample(counts: Floats, votes: Votes | None, n_resamples: int, rng: np.random.Generator) -> Iterator[Floats]:
    """Yield blocks of resampled counts, (n, n_models, n_models, 3).

    Votes that are their own cluster and of one pair and outcome are interchangeable: one
    multinomial draw over their counts does for all of them: its cost does not grow with their number.
    """
    flat = counts.ravel()
    together = None
    if votes is not None:
        together = _clusters_by_cell(votes, counts.size)
        flat = flat - np.asarray(together.sum(axis=0)).ravel()
    cells = np.flatnonzero(flat)
    n_together = 0 if together is None else together.shape[0]
    weights = np.concatenate([flat[cells], np.ones(n_together)])
    total = weights.sum()
    block = max(1, _CELLS // max(len(weights), counts.size))
    for k in range(0, n_resamples, block):
        drawn = rng.multinomial(round(total), weights / total, size=min(block, n_resamples - k))
        resampled = np.zeros((len(drawn), counts.size))
        resampled[:, cells] = drawn[:, : len(cells)]
        if together is not None:
            resampled += drawn[:, len(cells) :] @ together
        yield resampled.reshape(-1, *counts.shape)


def _clusters_by_cell(votes: Votes, n_cells: int):  # type: ignore[no-untyped-def]  # noqa: ANN202
    """Sparse counts by (cluster of two votes or more, cell)."""
    from scipy.sparse import csr_array

    m = len(votes.models)
    several = np.bincount(votes.cluster) > 1
    row = (np.cumsum(several) - 1)[votes.cluster]
    cell = (votes.first * m + votes.second) * 3 + votes.outcome
    chosen = several[votes.cluster]
    entries = (np.ones(int(chosen.sum())), (row[chosen], cell[chosen]))
    return csr_array(entries, shape=(int(several.sum()), n_cells))
