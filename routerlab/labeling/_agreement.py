"""How far raters agree, and which pairs they should look at again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from routerlab.labeling._merge import first_showings
from routerlab.ratings import oriented, vote_groups
from routerlab.schema import WINNERS, check_judgments, reject
from routerlab.stats import check_confidence, equation_interval, few_groups_note

Floats = NDArray[np.float64]
_KEY = ["prompt_id", "model_a", "model_b"]


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


def agreement(
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
        With ``judge``; from `to_judgments` or `merge_logs`. Votes are turned so that sides do not matter. Swapped
        repeats, and pairs with one vote, are left out.
    level : {'nominal', 'ordinal'}, default 'nominal'
        'nominal': four verdicts, any two of which differ alike. 'ordinal': a tie, of either kind, lies between the
        two wins.
    groups : str, Series or array, optional
        Pairs that are one piece of evidence: a column, prompt_id -> group, or an entry for each judgment; by default
        those on one prompt.
    confidence : float, default 0.95
        Nominal coverage of the interval.
    n_resamples, random_state
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
    >>> round(agreement(votes).alpha, 3)
    0.533
    """
    if level not in ("nominal", "ordinal"):
        msg = f"The 'level' parameter of agreement must be 'nominal' or 'ordinal'. Got {level!r} instead."
        raise ValueError(msg)
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
        With ``judge``; see `agreement`.
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


_TALLY = ("wins_a", "wins_b", "ties", "both_bad")


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
        reject(
            "judgments table",
            "holds no pair of responses that two raters judged.",
            "Let raters share pairs: PairQueue(overlap=True, random_share=...), or the same pairs=... for each.",
        )
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
