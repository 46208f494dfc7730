"""What the design lets one measure about a rater: position bias and self-consistency."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from routerlab.labeling._merge import oriented
from routerlab.schema import check_judgments, reject


@dataclass(frozen=True, slots=True)
class Share:
    """A proportion with Wilson's interval.

    Attributes
    ----------
    share, ci_low, ci_high : float
        The proportion and its interval.
    n : int
        Votes (or pairs of votes) that it is taken over.
    confidence : float
        Nominal coverage of the interval.
    """

    share: float
    ci_low: float
    ci_high: float
    n: int
    confidence: float

    def __str__(self) -> str:
        """Return the share and its interval."""
        return f"{self.share:.0%} [{self.ci_low:.0%}, {self.ci_high:.0%}] of {self.n}"


@dataclass(frozen=True, slots=True)
class PositionBias:
    """How much the side decides.

    Attributes
    ----------
    left : Share
        Share of left among votes for a side: 0.5 without bias, since sides are random.
    n_undecided : int
        Votes for neither side.
    """

    left: Share
    n_undecided: int

    def __str__(self) -> str:
        """Return one line."""
        return f"left wins {self.left} votes for a side; {self.n_undecided} for neither"


@dataclass(frozen=True, slots=True)
class SelfConsistency:
    """What raters say when a pair comes again with its sides swapped.

    Attributes
    ----------
    same : Share
        Share of repeats with the same verdict as the first time.
    n_same_side : int
        Repeats in which the same *side* won both times, hence the other model: position bias.
    n_other : int
        Other changes of mind.
    """

    same: Share
    n_same_side: int
    n_other: int

    def __str__(self) -> str:
        """Return one line."""
        return f"same verdict in {self.same} swapped repeats; {self.n_same_side} times the side stayed, not the model"


def position_bias(votes: pd.DataFrame, *, confidence: float = 0.95) -> PositionBias:
    """Estimate how often the left response wins, whatever it says.

    Parameters
    ----------
    votes : DataFrame of shape (n_votes, n_columns)
        A judgments table whose ``model_a`` was shown on the left (or first) and whose sides were random.
    confidence : float, default 0.95
        Nominal coverage. Votes are taken as independent: if raters differ, look at one at a time.

    Returns
    -------
    PositionBias
        Share of left with its interval.

    Raises
    ------
    TableError
        No vote for a side.

    Examples
    --------
    >>> votes = pd.DataFrame({"prompt_id": range(8), "model_a": ["x", "y"] * 4, "model_b": ["y", "x"] * 4})
    >>> print(position_bias(votes.assign(winner=["model_a"] * 6 + ["model_b", "tie"])))
    left wins 86% [49%, 97%] of 7 votes for a side; 1 for neither
    """
    frame = check_judgments(votes)
    sided = frame["winner"].isin(("model_a", "model_b"))
    n = int(sided.sum())
    if not n:
        reject("judgments table, column 'winner'", "holds no vote for a side.", "Collect more votes.")
    return PositionBias(_share(int((frame["winner"] == "model_a").sum()), n, confidence), len(frame) - n)


def self_consistency(votes: pd.DataFrame, *, confidence: float = 0.95) -> SelfConsistency:
    """Estimate how often a rater repeats a verdict when the pair comes again with its sides swapped.

    Parameters
    ----------
    votes : DataFrame of shape (n_votes, n_columns)
        Votes with ``pair_id``, ``repeat_of`` and ``judge``: from `VoteLog.votes` or `merge_logs`.
    confidence : float, default 0.95
        Nominal coverage of the interval; repeats are taken as independent.

    Returns
    -------
    SelfConsistency
        Share of equal verdicts with its interval.

    Raises
    ------
    TableError
        No swapped repeat.

    Examples
    --------
    >>> rows = [("s1", None, "x", "y", "model_a"), ("s2", "s1", "y", "x", "model_a")]
    >>> votes = pd.DataFrame(rows, columns=["pair_id", "repeat_of", "model_a", "model_b", "winner"])
    >>> result = self_consistency(votes.assign(prompt_id="p1", judge="ana"))
    >>> result.same.share, result.n_same_side
    (0.0, 1)
    """
    frame = check_judgments(votes)
    missing = [name for name in ("pair_id", "repeat_of", "judge") if name not in frame]
    if missing:
        reject("votes table", f"lacks the columns {', '.join(missing)}.", "Take votes from VoteLog or merge_logs.")
    turned = oriented(frame).assign(side=frame["winner"])
    again = turned[turned["repeat_of"].notna()]
    both = again.merge(turned, left_on=["judge", "repeat_of"], right_on=["judge", "pair_id"], suffixes=("", "_first"))
    if not len(both):
        reject("votes table", "holds no swapped repeat of another vote.", "Label with repeat_share above 0.")
    same = both["winner"] == both["winner_first"]
    same_side = ~same & (both["side"] == both["side_first"]) & both["side"].isin(("model_a", "model_b"))
    return SelfConsistency(
        _share(int(same.sum()), len(both), confidence), int(same_side.sum()), int((~same & ~same_side).sum())
    )


def _share(k: int, n: int, confidence: float) -> Share:
    from scipy.stats import binomtest

    interval = binomtest(k, n).proportion_ci(confidence, method="wilson")
    return Share(k / n, float(interval.low), float(interval.high), n, confidence)
