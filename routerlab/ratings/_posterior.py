"""Ratings with intervals that hold for votes which were chosen actively."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import ndtri

from routerlab.labeling._design import information, score_of
from routerlab.ratings import solve_bradley_terry
from routerlab.schema import check_judgments, provenance_of, reject

Floats = NDArray[np.float64]
POINTS = 400.0 / np.log(10.0)  # arena points of one log-odds
_SDS = np.geomspace(0.05, 5.0, 16)  # standard deviations of ratings that are averaged over, in log-odds


@dataclass(frozen=True, eq=False, repr=False)
class Standings:
    """Posterior of the models' ratings.

    Attributes
    ----------
    models : tuple of str
        Best first.
    ratings : ndarray of shape (n_models,)
        Posterior means, in natural-log units; they sum to 0.
    covariance : ndarray of shape (n_models, n_models)
        Posterior covariance.
    n_votes : ndarray of shape (n_models,)
        Votes that each model was in.
    n_judgments : int
        All votes.
    prior_sd : float
        Posterior mean of the standard deviation between models, in points.
    design_effect : float
        How many votes are worth as much as an independent one without ties.
    confidence : float
        Nominal coverage of each interval.
    provenance : str or None
        What the judgments say about their origin.
    method : str
        How it was made.
    """

    models: tuple[str, ...]
    ratings: Floats
    covariance: Floats
    n_votes: NDArray[np.intp]
    n_judgments: int
    prior_sd: float
    design_effect: float
    confidence: float
    provenance: str | None = None
    method: str = "Bradley-Terry, normal prior with its scale averaged over; posterior intervals"

    def table(self) -> pd.DataFrame:
        """Return the ratings as `routerlab.rate` does.

        Returns
        -------
        DataFrame of shape (n_models, 5)
            ``model, rating, ci_low, ci_high`` (points, mean 1000)``, n``, best model first.
        """
        half = ndtri((1 + self.confidence) / 2) * np.sqrt(np.diag(self.covariance))
        low, mid, high = (1000 + POINTS * (self.ratings + shift) for shift in (-half, 0, half))
        columns = {"model": self.models, "rating": mid, "ci_low": low, "ci_high": high, "n": self.n_votes}
        frame = pd.DataFrame(columns)
        frame.attrs = {
            k: getattr(self, k) for k in ("method", "confidence", "n_judgments", "prior_sd", "design_effect")
        }
        frame.attrs["provenance"] = self.provenance
        return frame

    def __repr__(self) -> str:
        """Return a line for each model, and one that says how they were made."""
        rows = self.table().itertuples(index=False)
        lines = [f"{r.model}: {r.rating:.0f} [{r.ci_low:.0f}, {r.ci_high:.0f}], {r.n} votes" for r in rows]
        made = f"{self.method}; {100 * self.confidence:.5g}%, {self.n_judgments} votes"
        return "\n".join([*lines, f"{made}; {self.provenance}" if self.provenance else made])

    def _repr_html_(self) -> str:
        return f"{self.table().round().to_html(index=False, escape=True)}<p>{escape(repr(self).splitlines()[-1])}</p>"


def standings(judgments: pd.DataFrame, *, confidence: float = 0.95) -> Standings:
    """Rate models from votes whose pairs were chosen actively, as they come in.

    Where earlier votes decide which pairs come next, maximum likelihood exaggerates differences, and its intervals
    hold the truth too seldom: in simulations with 400 votes on 10 or 20 models, 88 or 89% of the time, not 95%. A
    posterior does not depend on how pairs were chosen, if its prior is right. Here ratings have a normal prior whose
    standard deviation is averaged over, given the votes: in the same simulations, intervals held the truth 94% of
    the time, and errors were a third smaller.

    Parameters
    ----------
    judgments : DataFrame of shape (n_judgments, n_columns)
        See `routerlab.schema.check_judgments`. Ties of either kind are half wins.
    confidence : float, default 0.95
        Nominal coverage of each interval, on average over models.

    Returns
    -------
    Standings
        Ratings with intervals; `Standings.table` has them in points.

    Raises
    ------
    TableError
        No judgments; see `check_judgments` for the others.

    Notes
    -----
    Laplace's approximation at each of 16 standard deviations between 9 and 869 points. Votes on one prompt may be
    correlated, and ties vary less than wins: all votes are weighed by the inverse of their design effect.

    References
    ----------
    C. N. Morris and M. Lysy, "Shrinkage estimation in multilevel normal models", Statistical Science 27, 2012.

    Examples
    --------
    >>> votes = pd.DataFrame({"prompt_id": range(8), "model_a": ["small"] * 8, "model_b": ["large"] * 8})
    >>> result = standings(votes.assign(winner=["model_b"] * 5 + ["tie"] * 2 + ["model_a"]))
    >>> result.models, result.n_judgments
    (('large', 'small'), 8)
    """
    frame = check_judgments(judgments)
    if not len(frame):
        reject("judgments table", "has no rows.", "Cast a vote first.")
    codes, names = pd.factorize(pd.concat([frame["model_a"], frame["model_b"]], ignore_index=True), sort=True)
    a, b = codes[: len(frame)], codes[len(frame) :]
    score = frame["winner"].map(score_of).to_numpy(dtype=float)
    m = len(names)
    wins = np.zeros((m, m))
    np.add.at(wins, (a, b), score)
    np.add.at(wins, (b, a), 1.0 - score)
    effect = _design_effect(a, b, score, pd.factorize(frame["prompt_id"])[0], wins)
    mean, covariance, prior_sd = _posterior(wins / effect)
    order = np.argsort(-mean, kind="stable")
    return Standings(
        models=tuple(str(names[k]) for k in order),
        ratings=mean[order],
        covariance=covariance[np.ix_(order, order)],
        n_votes=np.bincount(codes, minlength=m)[order],
        n_judgments=len(frame),
        prior_sd=prior_sd * POINTS,
        design_effect=effect,
        confidence=confidence,
        provenance=provenance_of(judgments),
    )


def _posterior(wins: Floats) -> tuple[Floats, Floats, float]:
    """Mean and covariance of ratings that sum to zero, and mean of the prior's standard deviation."""
    m = len(wins)
    alpha = _SDS**-2
    ratings = solve_bradley_terry(np.broadcast_to(wins, (len(alpha), m, m)), alpha=alpha)
    observed = information(ratings, wins + wins.T, alpha)
    centring = np.eye(m) - 1.0 / m
    inverse = np.linalg.inv(observed)
    difference = ratings[:, :, None] - ratings[:, None, :]
    log_likelihood = -(wins * np.logaddexp(0.0, -difference)).sum(axis=(1, 2))
    # The sum of all ratings is not observed: its prior and its posterior are the same, and cancel.
    log_evidence = log_likelihood - alpha / 2 * (ratings**2).sum(axis=1)
    log_evidence += (m * np.log(alpha) - np.linalg.slogdet(observed)[1]) / 2
    # Flat in the variance near 0, so that intervals of shrunk means cover (Morris and Lysy), small beyond 2 log-odds.
    log = log_evidence + 2 * np.log(_SDS) - _SDS**2 / 8
    weight = np.exp(log - log.max())
    weight /= weight.sum()
    mean = weight @ ratings
    apart = ratings - mean
    covariance = np.einsum("k,kij->ij", weight, centring @ inverse @ centring) + np.einsum(
        "k,ki,kj->ij", weight, apart, apart
    )
    return mean, covariance, float(weight @ _SDS)


def _design_effect(a: Any, b: Any, score: Floats, prompt: Any, wins: Floats) -> float:
    """Variance of scores between prompts, relative to that of independent votes without ties.

    As if one more vote for each model had been seen that is exactly as variable: few votes say little about this.
    """
    m = len(wins)
    ratings = solve_bradley_terry(wins, alpha=1.0)
    residual = score - 1.0 / (1.0 + np.exp(ratings[b] - ratings[a]))
    scores = np.zeros((prompt.max() + 1, m))
    np.add.at(scores, (prompt, a), residual)
    np.add.at(scores, (prompt, b), -residual)
    expected = np.trace(information(ratings, wins + wins.T, 0.0))
    return float(((scores**2).sum() + m / 2) / (expected + m / 2))
