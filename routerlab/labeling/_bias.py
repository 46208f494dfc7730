"""What the design lets one measure about a rater: position bias and self-consistency."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from routerlab.ratings import oriented, vote_groups
from routerlab.schema import check_judgments, reject
from routerlab.stats import clustered_share, few_groups_note

Codes = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Share:
    """A proportion with Wilson's interval, at the number of independent votes that the groups are worth.

    Attributes
    ----------
    share, ci_low, ci_high : float
        The proportion and its interval.
    n : int
        Votes (or pairs of votes) that it is taken over.
    confidence : float
        Nominal coverage of the interval.
    n_groups : int or None
        Groups of votes that were taken as one piece of evidence each: raters, prompts, or what `groups` named.
    """

    share: float
    ci_low: float
    ci_high: float
    n: int
    confidence: float
    n_groups: int | None = None

    @classmethod
    def of(cls, hits: Any, of: Any, groups: Codes, confidence: float) -> Share:
        """Estimate the share of `hits` in `of`, both of shape (n,), from groups of votes."""
        hits, of = np.asarray(hits, dtype=float), np.asarray(of, dtype=float)
        share, low, high = clustered_share(hits[of > 0], of[of > 0], groups[of > 0], confidence=confidence)
        return cls(share, low, high, round(of.sum()), confidence, len(np.unique(groups[of > 0])))

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
    note : str or None
        What to keep in mind, such as that raters are few.
    """

    left: Share
    n_undecided: int
    note: str | None = None

    def __str__(self) -> str:
        """Return one line."""
        note = f" [{self.note}]" if self.note else ""
        return f"left wins {self.left} votes for a side; {self.n_undecided} for neither{note}"


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
    note : str or None
        What to keep in mind, such as that raters are few.
    """

    same: Share
    n_same_side: int
    n_other: int
    note: str | None = None

    @classmethod
    def of(cls, both: pd.DataFrame, groups: Codes, confidence: float, note: str | None = None) -> SelfConsistency:
        """Compare ``winner`` and ``side`` with ``winner_first`` and ``side_first``, one row for each pair of votes."""
        same = (both["winner"] == both["winner_first"]).to_numpy()
        stayed = (both["side"] == both["side_first"]) & both["side"].isin(("model_a", "model_b"))
        same_side = ~same & stayed.to_numpy()
        share = Share.of(same, np.ones(len(both)), groups, confidence)
        return cls(share, int(same_side.sum()), int((~same & ~same_side).sum()), note)

    def __str__(self) -> str:
        """Return one line."""
        note = f" [{self.note}]" if self.note else ""
        stayed = f"{self.n_same_side} times the side stayed, not the model"
        return f"same verdict in {self.same} swapped repeats; {stayed}{note}"


def position_bias(votes: pd.DataFrame, *, groups: Any = None, confidence: float = 0.95) -> PositionBias:
    """Estimate how often the left response wins, whatever it says.

    Parameters
    ----------
    votes : DataFrame of shape (n_votes, n_columns)
        A judgments table whose ``model_a`` was shown on the left (or first) and whose sides were random.
    groups : str, Series or array, optional
        Votes that are one piece of evidence: a column, prompt_id -> group, or an entry for each vote. By default the
        rater, if ``judge`` names several (the interval is then for raters like these), else the prompt.
    confidence : float, default 0.95
        Nominal coverage.

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
    codes = vote_groups(frame, groups)
    left = Share.of(frame["winner"] == "model_a", sided, codes, confidence)
    return PositionBias(left, len(frame) - n, _note(codes[sided.to_numpy()]))


def self_consistency(votes: pd.DataFrame, *, groups: Any = None, confidence: float = 0.95) -> SelfConsistency:
    """Estimate how often a rater repeats a verdict when the pair comes again with its sides swapped.

    Parameters
    ----------
    votes : DataFrame of shape (n_votes, n_columns)
        Votes with ``pair_id``, ``repeat_of`` and ``judge``: from `VoteLog.votes` or `merge_logs`.
    groups : str, Series or array, optional
        As in `position_bias`: by default raters, if there are several, else prompts.
    confidence : float, default 0.95
        Nominal coverage of the interval.

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
    turned = oriented(frame).assign(side=frame["winner"], group=vote_groups(frame, groups))
    again = turned[turned["repeat_of"].notna()]
    both = again.merge(turned, left_on=["judge", "repeat_of"], right_on=["judge", "pair_id"], suffixes=("", "_first"))
    if not len(both):
        reject("votes table", "holds no swapped repeat of another vote.", "Label with repeat_share above 0.")
    codes = both["group"].to_numpy()
    return SelfConsistency.of(both, codes, confidence, _note(codes))


def _note(codes: Codes) -> str | None:
    """Say that groups are few, unless each holds one vote or all are one rater's."""
    return few_groups_note(codes) if 1 < len(np.unique(codes)) < len(codes) else None
