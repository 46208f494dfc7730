"""About how many more votes it takes to tell two models apart."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import ndtri

from routerlab.labeling._design import vote_information
from routerlab.labeling._posterior import POINTS, Standings, standings


@dataclass(frozen=True, slots=True)
class VotesNeeded:
    """How far two neighbours in the ranking are from being told apart.

    Attributes
    ----------
    better, worse : str
        The two models.
    difference, ci_low, ci_high : float
        Difference of their ratings and its interval, in points.
    n_votes : float
        More votes on this pair after which the interval excludes 0, if the difference is what it seems: 0 if it does
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
        """Whether the interval excludes 0."""
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
        Nominal coverage of the interval that is to exclude 0. With `Standings`, theirs counts.

    Returns
    -------
    VotesNeeded
        A forecast: it takes the present estimate for the truth.

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
    large leads small by 49 [-57, 154]: about 160 more votes on this pair (24 or more)
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
    sd, z = np.sqrt(variance), float(ndtri((1 + posterior.confidence) / 2))
    worth = float(vote_information(posterior.ratings)[i, j]) / posterior.design_effect
    quartile = float(ndtri(0.75)) * sd

    def more(gap: float) -> float:
        """Votes on the pair until `z` standard deviations are less than `gap`."""
        return float(max(np.ceil((z**2 / gap**2 - 1 / variance) / worth), 0.0)) if gap > 0 else np.inf

    mixed = posterior.n_judgments * (z**2 * variance / difference**2 - 1) if difference > 0 else np.inf
    return VotesNeeded(
        better=posterior.models[i],
        worse=posterior.models[j],
        difference=POINTS * difference,
        ci_low=POINTS * (difference - z * sd),
        ci_high=POINTS * (difference + z * sd),
        n_votes=more(difference),
        n_low=more(difference + quartile),
        n_high=more(difference - quartile),
        n_mixed=float(max(np.ceil(mixed), 0.0)),
        confidence=posterior.confidence,
    )


def _about(n: float) -> str:
    """Two leading digits: more would promise too much."""
    return f"{float(f'{n:.2g}'):.0f}"
