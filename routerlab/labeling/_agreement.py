"""How far raters agree, and which pairs they should look at again."""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from routerlab.labeling._merge import first_showings
from routerlab.ratings import oriented, vote_groups
from routerlab.schema import WINNERS, check_choice, check_judgments, reject
from routerlab.stats import Codes, Floats, Interval, check_confidence, equation_interval, few_groups_note, share_of

_KEY = ["prompt_id", "model_a", "model_b"]
_TALLY = ("wins_a", "wins_b", "ties", "both_bad")


@dataclass(frozen=True)
class Agreement:
    """Agreement between raters, with its interval.

    Attributes
    ----------
    alpha, ci_low, ci_high : float
        Krippendorff's alpha: 1 is perfect agreement, 0 what chance gives.
    raw : float
        Share of pairs of votes on the same pair of responses that agree.
    level : str
        Level of measurement of the verdicts.
    n_units, n_raters, n_votes : int
        Pairs of responses with two votes or more, raters, and votes on those pairs.
    confidence : float
        Nominal coverage of the interval.
    n_resamples, n_undefined : int
        0: kept for readers of 0.1.0, whose interval was a bootstrap's.
    random_state : object
        None, likewise.
    method : str
        How the interval was made.
    n_groups : int
        Groups of pairs that were taken as one piece of evidence each.
    note : str or None
        What to keep in mind, such as that groups are few.
    """

    alpha: float
    ci_low: float
    ci_high: float
    raw: float
    level: str
    n_units: int
    n_raters: int
    n_votes: int
    confidence: float
    n_resamples: int = 0
    n_undefined: int = 0
    random_state: Any = None
    method: str = "Krippendorff's alpha; score interval over prompts"
    n_groups: int = 0
    note: str | None = None

    def __str__(self) -> str:
        """Return one line."""
        return (
            f"Krippendorff's alpha ({self.level}) {self.alpha:.2f} [{self.ci_low:.2f}, {self.ci_high:.2f}], "
            f"{self.raw:.0%} of votes agree; {self.n_raters} raters, {self.n_units} pairs, {self.n_votes} votes"
            + (f" [{self.note}]" if self.note else "")
        )


def krippendorff_alpha(
    judgments: pd.DataFrame,
    *,
    level: str = "nominal",
    groups: Any = None,
    confidence: float = 0.95,
    n_resamples: int | None = None,
    random_state: int | np.random.Generator | None = None,
) -> Agreement:
    """Measure agreement between raters by Krippendorff's alpha.

    Parameters
    ----------
    judgments : DataFrame of shape (n_judgments, n_columns)
        With ``judge``; from `to_judgments` or `merge_logs`. Votes are turned first: sides do not matter. Swapped
        repeats, and pairs with one vote, are left out.
    level : {'nominal', 'ordinal'}, default 'nominal'
        'nominal': four verdicts, any two of which differ alike. 'ordinal': a tie, of either kind, lies between the
        two wins.
    groups : str, Series or array, optional
        Pairs that are one piece of evidence: a column, prompt_id -> group, or an entry for each judgment; by default
        those on one prompt.
    confidence : float, default 0.95
        Nominal coverage of the interval.
    n_resamples, random_state : optional
        Without effect: nothing is drawn at random any more. Kept for calls written for 0.1.0.

    Returns
    -------
    Agreement
        Alpha with its interval.

    Raises
    ------
    TableError
        No column ``judge``; no pair that two raters judged; all votes equal.

    Notes
    -----
    The interval holds the values of alpha that a score test does not reject. It leaves room for disagreements that few
    pairs happened not to show: perfect agreement on ten pairs is not certain to be perfect. It is for these raters, on
    other pairs of responses.

    References
    ----------
    K. Krippendorff, "Content Analysis: An Introduction to Its Methodology", 4th ed., 2019, chapter 12.

    Examples
    --------
    >>> rows = [(p, "x", "y", w, judge) for judge, ws in (("ana", "abab"), ("bob", "abaa")) for p, w in enumerate(ws)]
    >>> votes = pd.DataFrame(rows, columns=["prompt_id", "model_a", "model_b", "winner", "judge"])
    >>> votes["winner"] = "model_" + votes["winner"]
    >>> round(krippendorff_alpha(votes).alpha, 3)
    0.533
    """
    check_choice(level, ("nominal", "ordinal"), "level", "krippendorff_alpha")
    check_confidence(confidence)
    frame = _comparable(judgments, groups)
    counts, codes = _counts(frame, level)
    alpha = _alpha(counts, level)
    low, high = _alpha_interval(counts, codes, alpha, level, confidence)
    n = counts.sum(axis=1)
    n_groups = len(np.unique(codes))
    return Agreement(
        alpha=alpha,
        ci_low=low,
        ci_high=high,
        raw=float((counts * (counts - 1)).sum() / (n * (n - 1)).sum()),
        level=level,
        n_units=len(counts),
        n_raters=int(frame["judge"].nunique()),
        n_votes=int(n.sum()),
        confidence=confidence,
        n_groups=n_groups,
        note=few_groups_note(codes) if n_groups < len(counts) else None,
    )


def disagreements(judgments: pd.DataFrame, *, adjudicator: str | None = None) -> pd.DataFrame:
    """List the pairs on which raters disagree, the starkest first: a queue to adjudicate.

    Parameters
    ----------
    judgments : DataFrame of shape (n_judgments, n_columns)
        With ``judge``; see `krippendorff_alpha`.
    adjudicator : str, optional
        Rater who settles: pairs that they judged are left out.

    Returns
    -------
    DataFrame
        ``prompt_id, model_a, model_b`` (alphabetical), ``n_judges``, a count for each verdict (``model_a``'s wins are
        ``wins_a``), ``verdicts`` (who said what), ``severity``: 2 if raters prefer opposite models, else 1. Pass
        it as ``PairQueue(pairs=...)``.

    Raises
    ------
    TableError
        No column ``judge``.

    Examples
    --------
    >>> rows = [("p1", "x", "y", "model_a", "ana"), ("p1", "y", "x", "model_a", "bob")]
    >>> votes = pd.DataFrame(rows, columns=["prompt_id", "model_a", "model_b", "winner", "judge"])
    >>> disagreements(votes)[["prompt_id", "verdicts", "severity"]].to_dict("records")
    [{'prompt_id': 'p1', 'verdicts': 'ana: x, bob: y', 'severity': 2}]
    """
    frame = _with_judge(judgments)
    settled = frame["judge"] == adjudicator
    keys = pd.MultiIndex.from_frame(frame[_KEY])
    frame = frame[~keys.isin(keys[settled.to_numpy()])] if adjudicator is not None else frame
    rows = []
    for key, votes in frame.groupby(_KEY, sort=False):
        if votes["winner"].nunique() < 2:
            continue
        names = {"model_a": key[1], "model_b": key[2]}
        said = ", ".join(f"{j}: {names.get(w, w)}" for j, w in zip(votes["judge"], votes["winner"], strict=True))
        counts = votes["winner"].value_counts()
        tally = {name: int(counts.get(winner, 0)) for winner, name in zip(WINNERS, _TALLY, strict=True)}
        severity = 2 if tally["wins_a"] and tally["wins_b"] else 1
        rows.append({**dict(zip(_KEY, key, strict=True)), "n_judges": len(votes), **tally})
        rows[-1] |= {"verdicts": said, "severity": severity}
    table = pd.DataFrame(rows, columns=[*_KEY, "n_judges", *_TALLY, "verdicts", "severity"])
    return table.sort_values(["severity", "n_judges"], ascending=False, kind="stable", ignore_index=True)


def _with_judge(judgments: pd.DataFrame, groups: Any = "prompt_id") -> pd.DataFrame:
    frame = check_judgments(judgments)
    if "judge" not in frame or frame["judge"].isna().any():
        reject("judgments table, column 'judge'", "is missing or has empty cells.", "Say who cast each vote.")
    frame = oriented(first_showings(frame.assign(group=vote_groups(frame, groups))))
    return frame.drop_duplicates([*_KEY, "judge"])


def _comparable(judgments: pd.DataFrame, groups: Any) -> pd.DataFrame:
    frame = _with_judge(judgments, "prompt_id" if groups is None else groups)
    frame = frame[frame.groupby(_KEY)["judge"].transform("size") > 1]
    if not len(frame):
        remedy = "Let raters share pairs: PairQueue(overlap=True, random_share=...), or the same pairs=... for each."
        reject("judgments table", "holds no pair of responses that two raters judged.", remedy)
    return frame


def _counts(frame: pd.DataFrame, level: str) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Votes of each unit by verdict, (n_units, n_verdicts), and the group of each unit."""
    codes = {"model_a": 0, "tie": 1, "model_b": 2, "both_bad": 3 if level == "nominal" else 1}
    verdict = frame["winner"].map(codes).to_numpy()
    unit = frame.groupby(_KEY, sort=False).ngroup().to_numpy()
    counts = np.zeros((unit.max() + 1, 4 if level == "nominal" else 3), dtype=np.intp)
    np.add.at(counts, (unit, verdict), 1)
    cluster = np.zeros(len(counts), dtype=np.intp)
    cluster[unit] = pd.factorize(frame["group"])[0]
    if (counts.sum(axis=0) > 0).sum() < 2:
        reject("judgments table", "holds one verdict only, for which alpha is not defined.", "Collect more votes.")
    return counts, cluster


def _alpha(counts: NDArray[np.intp], level: str) -> float:
    import krippendorff

    return float(krippendorff.alpha(value_counts=counts, level_of_measurement=level))  # type: ignore[arg-type]


def _distances(margin: Floats, level: str) -> Floats:
    """Squared distances of two verdicts, as Krippendorff has them for verdicts that are this frequent."""
    k = len(margin)
    if level == "nominal":
        return 1.0 - np.eye(k)
    below = np.concatenate([[0.0], np.cumsum(margin)])
    first, second = np.minimum.outer(range(k), range(k)), np.maximum.outer(range(k), range(k))
    return np.square(below[second + 1] - below[first] - (margin[first] + margin[second]) / 2)


def _alpha_interval(
    counts: NDArray[np.intp], codes: NDArray[np.intp], alpha: float, level: str, confidence: float
) -> tuple[float, float]:
    """Invert the score test of ``(1 - alpha) * expected disagreement = observed``, with the margins' own influence."""
    size = counts.sum(axis=1).astype(float)
    n, k = size.sum(), counts.shape[1]
    margin = counts.sum(axis=0) / n
    seen = np.einsum("uk,ul,u->kl", counts, counts, 1 / (size - 1)) - np.diag(
        (counts / (size - 1)[:, None]).sum(axis=0)
    )

    def expected(at: Floats) -> float:
        return float(n / (n - 1) * at @ _distances(at, level) @ at)

    def observed(at: Floats) -> float:
        return float((seen * _distances(at, level)).sum() / n)

    step = 1e-5 * np.eye(k)
    slopes = [np.array([(f(margin + d) - f(margin - d)) / 2e-5 for d in step]) for f in (expected, observed)]
    distance = _distances(margin, level)
    apart = np.einsum("uk,kl,ul->u", counts, distance, counts) / (size - 1)
    unlike = counts - size[:, None] * margin
    two = (np.eye(k)[:, None] + np.eye(k)[None]) / 2 - margin  # every pair of votes that a unit of two may have

    def score(at: float) -> tuple[Floats, float, float]:
        pull = (1 - at) * slopes[0] - slopes[1]
        cells = (1 - at) * expected(margin) + two @ pull - distance
        return (1 - at) * size * expected(margin) + unlike @ pull - apart, cells.min(), cells.max()

    least = min(1 - distance.max() / expected(margin), alpha)
    return equation_interval(score, alpha, (least, 1.0), size=size, codes=codes, confidence=confidence)


@dataclass(frozen=True, slots=True)
class PositionBias:
    """How much the side decides.

    Attributes
    ----------
    left : Interval
        Share of left among votes for a side: 0.5 without bias, since sides are random.
    n_undecided : int
        Votes for neither side.
    note : str or None
        What to keep in mind, such as that raters are few.
    """

    left: Interval
    n_undecided: int
    note: str | None = None

    def __str__(self) -> str:
        """Return one line."""
        note = f" [{self.note}]" if self.note else ""
        return f"left wins {self.left:.0%} of {self.left.n} votes for a side; {self.n_undecided} for neither{note}"


@dataclass(frozen=True, slots=True)
class SelfConsistency:
    """What raters say when a pair comes again with its sides swapped.

    Attributes
    ----------
    same : Interval
        Share of repeats with the same verdict as the first time.
    n_same_side : int
        Repeats in which the same *side* won both times, hence the other model: position bias.
    n_other : int
        Other changes of mind.
    note : str or None
        What to keep in mind, such as that raters are few.
    """

    same: Interval
    n_same_side: int
    n_other: int
    note: str | None = None

    @classmethod
    def of(cls, both: pd.DataFrame, groups: Codes, confidence: float, note: str | None = None) -> Self:
        """Compare ``winner`` and ``side`` with ``winner_first`` and ``side_first``, one row for each pair of votes."""
        same = (both["winner"] == both["winner_first"]).to_numpy()
        stayed = (both["side"] == both["side_first"]) & both["side"].isin(("model_a", "model_b"))
        same_side = ~same & stayed.to_numpy()
        share = share_of(same, None, groups, confidence=confidence)
        return cls(share, int(same_side.sum()), int((~same & ~same_side).sum()), note)

    def __str__(self) -> str:
        """Return one line."""
        note = f" [{self.note}]" if self.note else ""
        stayed = f"{self.n_same_side} times the side stayed, not the model"
        return f"same verdict in {self.same:.0%} of {self.same.n} swapped repeats; {stayed}{note}"


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
    left = share_of(frame["winner"] == "model_a", sided, codes, confidence=confidence)
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
    >>> result.same.estimate, result.n_same_side
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
