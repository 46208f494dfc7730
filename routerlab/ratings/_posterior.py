"""Ratings with intervals that hold for votes which were chosen actively."""

from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import ndtri, stdtrit

from routerlab.markup import fragment
from routerlab.ratings._solver import solve_bradley_terry
from routerlab.ratings._uncertainty import (
    cluster_scores,
    design_effect,
    information,
    points_per_log_odds,
    vote_information,
)
from routerlab.ratings._votes import read_votes, tally, vote_groups, win_matrix
from routerlab.schema import check_judgments, provenance_of, refuse_parameter, reject
from routerlab.stats import Floats, anytime_half_width, check_confidence, few_groups_note

POINTS = points_per_log_odds()
_SDS = np.geomspace(0.05, 5.0, 16)  # standard deviations of ratings that are averaged over, in log-odds
_FORESEEABLE = 100_000  # more votes than anybody collects on one pair: the figure would be of the noise
_SCALE = 0.5  # log-odds (87 points): the difference at which the confidence sequence is narrowest


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
    df : float
        Degrees of freedom of the intervals: infinite unless `groups` were given.
    note : str or None
        What to keep in mind, such as that raters are few.
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
    df: float = np.inf
    note: str | None = None
    provenance: str | None = None
    method: str = "Bradley-Terry, normal prior with its scale averaged over; posterior intervals"

    def table(self) -> pd.DataFrame:
        """Return the ratings as `routerlab.rate` does.

        Returns
        -------
        DataFrame of shape (n_models, 5)
            ``model, rating, ci_low, ci_high`` (points, mean 1000)``, n``, best model first.
        """
        half = stdtrit(self.df, (1 + self.confidence) / 2) * np.sqrt(np.diag(self.covariance))
        low, mid, high = (1000 + POINTS * (self.ratings + shift) for shift in (-half, 0, half))
        columns = {"model": self.models, "rating": mid, "ci_low": low, "ci_high": high, "n": self.n_votes}
        frame = pd.DataFrame(columns)
        frame.attrs = {
            k: getattr(self, k) for k in ("method", "confidence", "n_judgments", "prior_sd", "design_effect")
        }
        frame.attrs |= {"note": self.note} if self.note else {}
        frame.attrs["provenance"] = self.provenance
        return frame

    def __repr__(self) -> str:
        """Return a line for each model, and one that says how they were made."""
        rows = self.table().itertuples(index=False)
        lines = [f"{r.model}: {r.rating:.0f} [{r.ci_low:.0f}, {r.ci_high:.0f}], {r.n:,} votes" for r in rows]
        made = [self.method, f"{100 * self.confidence:.5g}%, {self.n_judgments:,} votes", self.note, self.provenance]
        return "\n".join([*lines, "; ".join(part for part in made if part)])

    def _repr_html_(self) -> str:
        return fragment(
            f"{self.table().round().to_html(index=False, escape=True)}<p>{escape(repr(self).splitlines()[-1])}</p>"
        )


def standings(judgments: pd.DataFrame, *, groups: Any = None, confidence: float = 0.95) -> Standings:
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
    groups : str, Series or array, optional
        Votes that are one piece of evidence: a column such as ``'judge'`` (intervals are then for raters like these),
        prompt_id -> group, or an entry for each vote. By default those on one prompt.
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
    correlated, and ties vary less than wins: all votes are weighed by the inverse of their design effect. With
    `groups`, intervals have Student's quantile for as many groups.

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
    check_confidence(confidence)
    frame = check_judgments(judgments)
    if not len(frame):
        reject("judgments table", "has no rows.", "Cast a vote first.")
    codes = vote_groups(frame, "prompt_id" if groups is None else groups)
    votes = read_votes(frame, ties="half", both_bad="tie", cluster=codes)
    names, wins = votes.models, win_matrix(tally(votes)[0])
    rough = solve_bradley_terry(wins, alpha=1.0)
    squares = (cluster_scores(votes, rough, votes.cluster, votes.n_clusters) ** 2).sum()
    effect = design_effect(squares, np.trace(information(wins, rough)), len(names) / 2)
    mean, covariance, prior_sd = _posterior(wins / effect)
    order = np.argsort(-mean, kind="stable")
    return Standings(
        models=tuple(str(names[k]) for k in order),
        ratings=mean[order],
        covariance=covariance[np.ix_(order, order)],
        n_votes=np.bincount(np.concatenate([votes.first, votes.second]), minlength=len(names))[order],
        n_judgments=len(frame),
        prior_sd=prior_sd * POINTS,
        design_effect=effect,
        confidence=confidence,
        df=np.inf if groups is None else max(votes.n_clusters - 1, 1),
        note=None if groups is None else few_groups_note(codes),
        provenance=provenance_of(judgments),
    )


def _posterior(wins: Floats) -> tuple[Floats, Floats, float]:
    """Mean and covariance of ratings that sum to zero, and mean of the prior's standard deviation."""
    m = len(wins)
    alpha = _SDS**-2
    ratings = solve_bradley_terry(np.broadcast_to(wins, (len(alpha), m, m)), alpha=alpha)
    observed = information(wins, ratings) + alpha[:, None, None] * np.eye(m)
    centring = np.eye(m) - 1.0 / m
    inverse = np.linalg.inv(observed)
    difference = ratings[:, :, None] - ratings[:, None, :]
    log_likelihood = -(wins * np.logaddexp(0.0, -difference)).sum(axis=(1, 2))
    # The sum of all ratings is not observed: its prior and its posterior are the same, and cancel.
    log_evidence = log_likelihood - alpha / 2 * (ratings**2).sum(axis=1)
    log_evidence += (m * np.log(alpha) - np.linalg.slogdet(observed)[1]) / 2
    # Flat in the variance near 0, for intervals of shrunk means to cover (Morris and Lysy), small beyond 2 log-odds.
    log = log_evidence + 2 * np.log(_SDS) - _SDS**2 / 8
    weight = np.exp(log - log.max())
    weight /= weight.sum()
    mean = weight @ ratings
    apart = ratings - mean
    covariance = np.einsum("k,kij->ij", weight, centring @ inverse @ centring) + np.einsum(
        "k,ki,kj->ij", weight, apart, apart
    )
    return mean, covariance, float(weight @ _SDS)


@dataclass(frozen=True, slots=True)
class VotesNeeded:
    """How far two neighbours in the ranking are from being told apart.

    Attributes
    ----------
    better, worse : str
        The two models.
    difference, ci_low, ci_high : float
        Difference of their ratings in points, and a confidence sequence: it holds the truth at all looks at once, so
        that one may look after every vote and stop when it excludes 0.
    n_votes : float
        More votes on this pair after which the sequence excludes 0, if the difference is what it seems: 0 if it does
        already, infinite if they seem equal.
    n_low, n_high : float
        The same if the difference is at the far or the near end of its 50% interval.
    n_mixed : float
        The same if votes go on over all pairs as they have so far.
    confidence : float
        Nominal coverage.
    """

    better: str
    worse: str
    difference: float
    ci_low: float
    ci_high: float
    n_votes: float
    n_low: float
    n_high: float
    n_mixed: float
    confidence: float

    @property
    def separated(self) -> bool:
        """Whether the sequence excludes 0, which it does by chance at no more than 1 - confidence, at any look."""
        return self.n_votes == 0

    @property
    def forecast(self) -> str:
        """How many more votes on this pair, in words."""
        if self.separated:
            return "told apart"
        if np.isinf(self.n_votes):
            return "too close to say"
        if self.n_votes > _FORESEEABLE:
            return f"more than {_FORESEEABLE:,}: too close to tell"
        return f"about {_about(self.n_votes)} ({_about(self.n_low)} or more)"

    def __str__(self) -> str:
        """Return one line."""
        gap = f"{self.better} leads {self.worse} by {self.difference:.0f} [{self.ci_low:.0f}, {self.ci_high:.0f}]"
        if self.separated:
            return f"{gap}: told apart"
        if np.isinf(self.n_votes):
            return f"{gap}: too close to say how many more votes it takes"
        if self.n_votes > _FORESEEABLE:
            return f"{gap}: too close to tell with fewer than {_FORESEEABLE:,} more votes on this pair"
        return f"{gap}: about {_about(self.n_votes)} more votes on this pair ({_about(self.n_low)} or more)"


def votes_needed(judgments: pd.DataFrame | Standings, top: int = 2, *, confidence: float = 0.95) -> VotesNeeded:
    """Estimate how many more votes separate two neighbours in the ranking.

    Parameters
    ----------
    judgments : DataFrame or Standings
        Votes so far, or what `standings` makes of them.
    top : int, default 2
        Rank of the lower of the two: 2 for the first and the second model.
    confidence : float, default 0.95
        Of the sequence that is to exclude 0, over all looks together. With `Standings`, theirs counts.

    Returns
    -------
    VotesNeeded
        A forecast: it takes the present estimate for the truth.

    Notes
    -----
    Votes are usually looked at as they come in, and an interval made for one look excludes 0 at some look far too
    often: between equal models, looking every 20 votes, in 24% of cases. Here the interval is a confidence sequence
    (`routerlab.stats.anytime_half_width`), about 1.5 times as wide, which does so in less than 5% of cases.

    Raises
    ------
    ValueError
        `top` is not a rank from 2 on.
    TableError
        See `standings`.

    Examples
    --------
    >>> votes = pd.DataFrame({"prompt_id": range(40), "model_a": ["small"] * 40, "model_b": ["large"] * 40})
    >>> print(votes_needed(votes.assign(winner=["model_b"] * 23 + ["model_a"] * 17)))
    large leads small by 49 [-122, 219]: about 470 more votes on this pair (120 or more)
    """
    posterior = judgments if isinstance(judgments, Standings) else standings(judgments, confidence=confidence)
    if not 2 <= top <= len(posterior.models):
        refuse_parameter("top", f"a rank from 2 to {len(posterior.models)}", top, "votes_needed")
    return _needed(posterior, top - 2, top - 1)


def _needed(posterior: Standings, i: int, j: int) -> VotesNeeded:
    covariance = posterior.covariance
    difference = float(posterior.ratings[i] - posterior.ratings[j])
    variance = float(covariance[i, i] + covariance[j, j] - 2 * covariance[i, j])
    half = anytime_half_width(variance, _SCALE, posterior.confidence)
    worth = float(vote_information(posterior.ratings)[i, j]) / posterior.design_effect
    quartile = float(ndtri(0.75) * np.sqrt(variance))

    def goal(gap: float) -> float:
        """Variance at which the sequence just excludes 0 if `gap` is the difference."""
        return float(brentq(lambda v: anytime_half_width(v, _SCALE, posterior.confidence) - gap, 1e-9 * gap**2, gap**2))

    def more(gap: float) -> float:
        """Votes on the pair until then."""
        return float(max(np.ceil((1 / goal(gap) - 1 / variance) / worth), 0.0)) if gap > 1e-9 else np.inf

    mixed = posterior.n_judgments * (variance / goal(difference) - 1) if difference > 1e-9 else np.inf
    return VotesNeeded(
        better=posterior.models[i],
        worse=posterior.models[j],
        difference=POINTS * difference,
        ci_low=POINTS * (difference - half),
        ci_high=POINTS * (difference + half),
        n_votes=more(difference),
        n_low=more(difference + quartile),
        n_high=more(difference - quartile),
        n_mixed=float(max(np.ceil(mixed), 0.0)),
        confidence=posterior.confidence,
    )


def _about(n: float) -> str:
    """Two leading digits: more would promise too much."""
    return f"{float(f'{n:.2g}'):,.0f}"
