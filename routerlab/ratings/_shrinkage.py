"""A hierarchical Bradley-Terry model: ratings of each group, spread around those of a typical group."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import ndtri

from routerlab.ratings._solver import damping, solve_bradley_terry
from routerlab.ratings._uncertainty import centred_inverse, cluster_scores, design_effect, information
from routerlab.ratings._votes import Votes, tally, win_matrix
from routerlab.stats import Floats

_SD_RANGE = (0.02, 3.0)  # log odds; 3 to 521 points at the arena's scale
_N_SDS = 10
_NEGLIGIBLE = 8.0  # log posterior this far below the top contributes nothing


@dataclass(frozen=True)
class Partial:
    """Posterior of each group's ratings, in natural-log units."""

    ratings: Floats  # (n_groups, n_models), posterior means
    covariance: Floats  # (n_groups, n_models, n_models)
    n_votes: NDArray[np.intp]  # (n_groups, n_models)
    prior_sd: float
    design_effect: float

    def interval(self, contrast: Floats, confidence: float) -> tuple[Floats, Floats, Floats]:
        """Estimate and interval of each row of `contrast`, within each group."""
        point = self.ratings @ contrast.T
        variance = np.einsum("ij,gjk,ik->gi", contrast, self.covariance, contrast)
        half = ndtri((1 + confidence) / 2) * np.sqrt(np.maximum(variance, 0.0))
        return point, point - half, point + half


@dataclass(frozen=True)
class _Fit:
    """The model at one standard deviation between groups."""

    sd: float
    typical: Floats
    ratings: Floats
    covariance: Floats
    log_evidence: float


def shrink(
    votes: Votes,
    group: NDArray[np.intp],
    n_groups: int,
    *,
    overall: Floats,
    shared: Floats,
    alpha: float,
    prior_sd: float | None,
) -> Partial:
    """Fit all groups, averaging over how far they may differ unless `prior_sd` says it.

    `shared` is the covariance of what shifts the ratings of all groups alike: the taste of a few raters.
    """
    counts = tally(votes, group, n_groups)
    wins = win_matrix(counts)
    effect = _design_effect(votes, group, information(wins, overall), overall)
    # A vote counts for what it is worth: eight on one prompt for less than eight on eight.
    wins = wins / effect
    if prior_sd is not None:
        fits = _fit_grid(wins, [prior_sd], alpha, overall)
    else:
        coarse = _fit_grid(wins, np.geomspace(*_SD_RANGE, _N_SDS), alpha, overall)
        fits = _fit_grid(wins, _refined(coarse), alpha, overall)
    weight = _weights(fits)
    ratings = np.array([f.ratings for f in fits])
    mean = np.einsum("k,kgi->gi", weight, ratings)
    apart = ratings - mean
    covariance = np.einsum("k,kgij->gij", weight, np.array([f.covariance for f in fits]))
    covariance += np.einsum("k,kgi,kgj->gij", weight, apart, apart) + shared
    in_pair = counts.sum(axis=3)
    return Partial(
        ratings=mean,
        covariance=covariance,
        n_votes=(in_pair.sum(axis=1) + in_pair.sum(axis=2)).astype(np.intp),
        prior_sd=float(weight @ [f.sd for f in fits]),
        design_effect=effect,
    )


def _fit_grid(wins: Floats, sds: Iterable[float], alpha: float, overall: Floats) -> list[_Fit]:
    """Fit at each standard deviation, starting from the one before."""
    fits: list[_Fit] = []
    typical, ratings = overall, np.tile(overall, (len(wins), 1))
    for sd in sds:
        fits.append(_fit(wins, sd, alpha, typical, ratings))
        typical, ratings = fits[-1].typical, fits[-1].ratings
    return fits


def _fit(wins: Floats, sd: float, alpha: float, typical: Floats, ratings: Floats) -> _Fit:
    """Laplace approximation at one `sd`: Newton on the typical ratings, with each group's solved within."""
    m, precision = wins.shape[-1], 1.0 / sd**2
    eye = np.eye(m)
    for _ in range(100):
        ratings = solve_bradley_terry(wins, alpha=precision, prior=typical, start=ratings)
        observed = information(wins, ratings) + precision * eye
        within = centred_inverse(observed)
        outer = (precision * eye - precision**2 * within).sum(axis=0) + alpha * eye
        spread = centred_inverse(outer)
        step = spread @ (precision * (ratings - typical).sum(axis=0) - alpha * typical)
        if np.ptp(step) < 1e-5:
            break
        typical = typical + damping(np.ptp(step)) * step
    else:
        msg = f"rate did not converge with intents {sd:g} log odds apart. Pass a larger 'alpha', or 'prior_sd'."
        raise RuntimeError(msg)
    pull = precision * within  # how far a group follows the typical ratings, which have an error of their own
    difference = ratings[:, :, None] - ratings[:, None, :]
    log_evidence = (
        -(wins * np.logaddexp(0.0, -difference)).sum()
        - precision / 2 * ((ratings - typical) ** 2).sum()
        - alpha / 2 * (typical**2).sum()
        + len(wins) * (m - 1) / 2 * np.log(precision)
        - (_log_det(observed).sum() + _log_det(outer)) / 2
    )
    return _Fit(sd, typical, ratings, within + pull @ spread @ pull, float(log_evidence))


def _log_det(matrix: Floats) -> Floats:
    """Log determinant on vectors that sum to zero, for matrices that map constants to constants."""
    m = matrix.shape[-1]
    constant = matrix.sum(axis=(-2, -1)) / m
    return np.linalg.slogdet(matrix + 1.0 / m)[1] - np.log(constant + 1.0)


def _log_posterior(fits: list[_Fit]) -> Floats:
    """Up to a constant, per step of a grid that is even in log sd, with a Rayleigh prior of scale 1.

    Near 0 that is flat in the variance, which is what makes intervals of shrunk means cover
    (Morris and Lysy, 2012).
    """
    sd = np.array([f.sd for f in fits])
    return np.array([f.log_evidence for f in fits]) + 2 * np.log(sd) - sd**2 / 2


def _weights(fits: list[_Fit]) -> Floats:
    log = _log_posterior(fits)
    weight = np.exp(log - log.max())
    return weight / weight.sum()


def _refined(fits: list[_Fit]) -> Floats:
    """Grid over the part of the coarse one that matters, and one step on either side."""
    log = _log_posterior(fits)
    near = np.flatnonzero(log > log.max() - _NEGLIGIBLE)
    low, high = max(near[0] - 1, 0), min(near[-1] + 1, len(fits) - 1)
    return np.geomspace(fits[low].sd, fits[high].sd, _N_SDS)


def _design_effect(votes: Votes, group: NDArray[np.intp], info: Floats, ratings: Floats) -> float:
    """Compare the variance of scores between clusters of a group with that of independent votes without ties."""
    n_groups, m = info.shape[:2]
    cluster, _ = pd.factorize(votes.cluster * n_groups + group)
    n_clusters = int(cluster.max()) + 1
    scores = cluster_scores(votes, ratings, cluster, n_clusters)
    home = np.empty(n_clusters, dtype=np.intp)
    home[cluster] = group
    size = np.bincount(home, minlength=n_groups)
    total = cluster_scores(votes, ratings, group, n_groups)
    squares = np.bincount(home, (scores**2).sum(axis=1), n_groups)
    known = size > 1
    n = size[known]
    variance = n / (n - 1) * (squares[known] - (total[known] ** 2).sum(axis=1) / n)
    expected = np.trace(info, axis1=1, axis2=2)[known]
    return design_effect(variance.sum(), expected.sum(), m)
