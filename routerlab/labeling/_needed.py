"""About how many more votes it takes to tell two models apart."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.optimize import brentq
from scipy.special import ndtri

from routerlab.labeling._design import vote_information
from routerlab.ratings._posterior import POINTS, Standings, standings
from routerlab.stats import anytime_half_width

_SCALE = 0.5  # log-odds (87 points): the difference at which the confidence sequence is narrowest


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

    def __str__(self) -> str:
        """Return one line."""
        gap = f"{self.better} leads {self.worse} by {self.difference:.0f} [{self.ci_low:.0f}, {self.ci_high:.0f}]"
        if self.separated:
            return f"{gap}: told apart"
        if np.isinf(self.n_votes):
            return f"{gap}: too close to say how many more votes it takes"
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
        `top` is no rank from 2 on.
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
        n = len(posterior.models)
        msg = f"The 'top' parameter of votes_needed must be a rank from 2 to {n}. Got {top!r} instead."
        raise ValueError(msg)
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
    return f"{float(f'{n:.2g}'):.0f}"
