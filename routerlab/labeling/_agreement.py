"""How far raters agree, and which pairs they should look at again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from routerlab.labeling._merge import first_showings, oriented
from routerlab.schema import WINNERS, check_judgments, reject

_KEY = ["prompt_id", "model_a", "model_b"]


@dataclass(frozen=True)
class Agreement:
    """Agreement between raters, with its bootstrap interval.

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
        Bootstrap resamples of prompts, and those among them in which all votes were equal, which have no alpha.
    random_state : object
        Seed of the bootstrap.
    method : str
        How the interval was made.
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
    n_resamples: int
    n_undefined: int
    random_state: Any
    method: str = "Krippendorff's alpha; percentile bootstrap over prompts"

    def __str__(self) -> str:
        """Return one line."""
        return (
            f"Krippendorff's alpha ({self.level}) {self.alpha:.2f} [{self.ci_low:.2f}, {self.ci_high:.2f}], "
            f"{self.raw:.0%} of votes agree; {self.n_raters} raters, {self.n_units} pairs, {self.n_votes} votes"
        )


def agreement(
    judgments: pd.DataFrame,
    *,
    level: str = "nominal",
    confidence: float = 0.95,
    n_resamples: int = 1000,
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
    confidence : float, default 0.95
        Nominal coverage of the interval.
    n_resamples : int, default 1000
        Bootstrap resamples of prompts.
    random_state : int, Generator or None
        Seeds the bootstrap.

    Returns
    -------
    Agreement
        Alpha with its interval.

    Raises
    ------
    TableError
        No column ``judge``; no pair that two raters judged; all votes equal.

    References
    ----------
    K. Krippendorff, "Content Analysis: An Introduction to Its Methodology", 4th ed., 2019, chapter 12.

    Examples
    --------
    >>> rows = [(p, "x", "y", w, judge) for judge, ws in (("ana", "abab"), ("bob", "abaa")) for p, w in enumerate(ws)]
    >>> votes = pd.DataFrame(rows, columns=["prompt_id", "model_a", "model_b", "winner", "judge"])
    >>> votes["winner"] = "model_" + votes["winner"]
    >>> round(agreement(votes, n_resamples=200, random_state=0).alpha, 3)
    0.533
    """
    if level not in ("nominal", "ordinal"):
        msg = f"The 'level' parameter of agreement must be 'nominal' or 'ordinal'. Got {level!r} instead."
        raise ValueError(msg)
    frame = _comparable(judgments)
    counts, cluster = _counts(frame, level)
    rng = np.random.default_rng(random_state)
    alphas = _bootstrap(counts, cluster, level, n_resamples, rng)
    defined = alphas[np.isfinite(alphas)]
    tail = (1 - confidence) / 2
    low, high = np.quantile(defined, [tail, 1 - tail])
    n = counts.sum(axis=1)
    return Agreement(
        alpha=_alpha(counts, level),
        ci_low=float(low),
        ci_high=float(high),
        raw=float((counts * (counts - 1)).sum() / (n * (n - 1)).sum()),
        level=level,
        n_units=len(counts),
        n_raters=int(frame["judge"].nunique()),
        n_votes=int(n.sum()),
        confidence=confidence,
        n_resamples=n_resamples,
        n_undefined=len(alphas) - len(defined),
        random_state=random_state,
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


def _with_judge(judgments: pd.DataFrame) -> pd.DataFrame:
    frame = check_judgments(judgments)
    if "judge" not in frame or frame["judge"].isna().any():
        reject("judgments table, column 'judge'", "is missing or has empty cells.", "Say who cast each vote.")
    frame = oriented(first_showings(frame))
    return frame.drop_duplicates([*_KEY, "judge"])


def _comparable(judgments: pd.DataFrame) -> pd.DataFrame:
    frame = _with_judge(judgments)
    frame = frame[frame.groupby(_KEY)["judge"].transform("size") > 1]
    if not len(frame):
        reject(
            "judgments table",
            "holds no pair of responses that two raters judged.",
            "Let raters share pairs: PairQueue(overlap=True, random_share=...), or the same pairs=... for each.",
        )
    return frame


def _counts(frame: pd.DataFrame, level: str) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Votes of each unit by verdict, (n_units, n_verdicts), and the prompt of each unit."""
    codes = {"model_a": 0, "tie": 1, "model_b": 2, "both_bad": 3 if level == "nominal" else 1}
    verdict = frame["winner"].map(codes).to_numpy()
    unit = frame.groupby(_KEY, sort=False).ngroup().to_numpy()
    counts = np.zeros((unit.max() + 1, 4 if level == "nominal" else 3), dtype=np.intp)
    np.add.at(counts, (unit, verdict), 1)
    prompts = pd.factorize(frame["prompt_id"])[0]
    cluster = np.zeros(len(counts), dtype=np.intp)
    cluster[unit] = prompts
    if (counts.sum(axis=0) > 0).sum() < 2:
        reject("judgments table", "holds one verdict only, for which alpha is not defined.", "Collect more votes.")
    return counts, cluster


def _alpha(counts: NDArray[np.intp], level: str) -> float:
    import krippendorff

    return float(krippendorff.alpha(value_counts=counts, level_of_measurement=level))  # type: ignore[arg-type]


def _bootstrap(
    counts: NDArray[np.intp], cluster: NDArray[np.intp], level: str, n_resamples: int, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Alpha of each resample of prompts, NaN where all votes are equal."""
    n_clusters = int(cluster.max()) + 1
    order = np.argsort(cluster, kind="stable")
    bounds = np.searchsorted(cluster[order], np.arange(n_clusters + 1))
    units = [order[bounds[c] : bounds[c + 1]] for c in range(n_clusters)]
    alphas = np.full(n_resamples, np.nan)
    for k in range(n_resamples):
        drawn = np.concatenate([units[c] for c in rng.integers(n_clusters, size=n_clusters)])
        resampled = counts[drawn]
        if (resampled.sum(axis=0) > 0).sum() > 1:
            alphas[k] = _alpha(resampled, level)
    if not np.isfinite(alphas).any():
        reject("judgments table", "has too few pairs with different verdicts for a bootstrap.", "Collect more votes.")
    return alphas
