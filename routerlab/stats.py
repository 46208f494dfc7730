"""Intervals, resampling and tests that stay valid on small, skewed and clustered samples: one place for all of them.

The unit of evidence is the *group*: prompts of one conversation, copies of one text, votes of one rater. Without groups
every row is its own. Three ideas carry the rest.

- **Nothing that was not seen is impossible.** The interval of a mean of bounded values is the score interval of Wilson
  (1927) and Tango (1998), for any bounded values: the variance at each hypothetical mean is that of the likeliest
  distribution with that mean, which may put mass on the ends of the range. It is never less than what half a
  pseudo-observation per cell gives (Agresti and Min 2005). Sixty prompts without a loss leave room for 6 points.
- **Few groups are few.** Variances are sums over groups, corrected for leverage (CR2), with Satterthwaite's degrees of
  freedom (Bell and McCaffrey 2002) for a Student quantile.
- **A promise is a test.** `mean_p_value` tests the mean of any bounded values at any sample size: one worst case that
  was not seen is added to those that were, and then they are weighed at random (Gaffke 2005). Of failures alone it is
  the exact binomial test.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import optimize, special, stats

from routerlab.deprecation import old_name
from routerlab.exceptions import ParameterError
from routerlab.schema import reject, shown
from routerlab.tallies import points, tally

__all__ = [
    "FEW_GROUPS",
    "Interval",
    "anytime_half_width",
    "bounded_ends",
    "check_confidence",
    "check_n_resamples",
    "check_share",
    "cluster_df",
    "clustered_share",
    "cost_ends",
    "equation_interval",
    "few_groups_note",
    "group_codes",
    "group_sums",
    "linear_interval",
    "mean_differs",
    "mean_interval",
    "mean_p_value",
    "percentile_interval",
    "ratio_interval",
    "ratio_note",
    "ratio_set",
    "resample_counts",
    "resampled_sums",
    "share_interval",
    "share_of",
    "sign_flip_p_value",
    "skewed_note",
    "t_interval",
]

Floats = NDArray[np.float64]
Codes = NDArray[np.intp]

HEAVY = 5  # what the error of a ratio's interval is divided by where a few calls carry most of the cost
FEWEST_HEAVY = 100  # with fewer such prompts there is no interval
HEAVIEST = 5.3  # variance of logs of cost; above, there is none at any size
_MANY = 50_000  # rows above which a few thousand stand for them
FEW_GROUPS = 20  # fewer than this, and the spread between groups is itself poorly known: results say so


@dataclass(frozen=True)
class Interval:
    """An estimate with its interval, and how it was made.

    Attributes
    ----------
    estimate, low, high : float
        Lower and upper ends hold the truth with probability `confidence`.
    n : int
        Prompts (or other rows).
    confidence : float
        Nominal coverage.
    n_resamples : int
        Bootstrap resamples; 0 where none were drawn.
    random_state : object
        Seed of the bootstrap.
    method : str
        How the interval was made.
    provenance : str, optional
        Of simulated data.
    n_groups : int, optional
        Groups of rows that were taken as one piece of evidence each.
    note : str, optional
        What to keep in mind, in words.

    Examples
    --------
    >>> Interval(0.12, 0.05, 0.2, n=100, confidence=0.95, n_resamples=1000, random_state=0, method="bootstrap")
    0.1200 [0.0500, 0.2000] (95%, n = 100; bootstrap, 1,000 resamples)
    """

    estimate: float
    low: float
    high: float
    n: int
    confidence: float
    n_resamples: int = 0
    random_state: Any = None
    method: str = ""
    provenance: str | None = None
    n_groups: int | None = None
    note: str | None = None

    def __repr__(self) -> str:
        """Estimate, interval, and how."""
        groups = "" if self.n_groups is None else f" in {self.n_groups:,} groups"
        drawn = f", {self.n_resamples:,} resamples" if self.n_resamples else ""
        note = "".join(f" [{text}]" for text in (self.note, self.provenance) if text)
        return (
            f"{self.estimate:.4f} [{self.low:.4f}, {self.high:.4f}] ({100 * self.confidence:.5g}%, "
            f"n = {self.n:,}{groups}; {self.method}{drawn}){note}"
        )

    def __format__(self, spec: str) -> str:
        """Write estimate and ends in one format: ``f"{interval:.0%}"`` gives '86% [49%, 97%]'."""
        if not spec:
            return repr(self)
        return f"{self.estimate:{spec}} [{self.low:{spec}}, {self.high:{spec}}]"

    share = old_name("share", "estimate")
    value = old_name("value", "estimate")
    ci_low = old_name("ci_low", "low")
    ci_high = old_name("ci_high", "high")


def check_confidence(confidence: float, name: str = "confidence") -> float:
    """Return a probability that lies between 0 and 1, or raise.

    Examples
    --------
    >>> check_confidence(0.95)
    0.95
    """
    good = isinstance(confidence, (int, float, np.number)) and not isinstance(confidence, bool)
    if not good or not 0 < confidence < 1:
        msg = f"The {name!r} parameter must lie between 0 and 1, e.g. 0.95. Got {confidence!r} instead."
        raise ParameterError(msg)
    return float(confidence)


def check_share(value: Any, name: str) -> float:
    """Return a difference of mean quality, given as a share of the scale: 0.01 is one point.

    Examples
    --------
    >>> check_share(5, "max_quality_loss")
    Traceback (most recent call last):
    routerlab.exceptions.ParameterError: 'max_quality_loss' must be a share ...: 5 points are 0.05. Got 5 instead.
    """
    good = isinstance(value, (int, float, np.number)) and not isinstance(value, (bool, np.bool_))
    if good and 0 <= value < 1:
        return float(value)
    points = f"{value:g} points are {value / 100:g}" if good and 1 <= value < 100 else "0.01 is one point"
    msg = f"{name!r} must be a share of the quality scale, at least 0 and below 1: {points}. Got {value!r} instead."
    raise ParameterError(msg)


def check_n_resamples(n_resamples: int) -> int:
    """Return a number of resamples that is at least 2, or raise.

    Examples
    --------
    >>> check_n_resamples(999)
    999
    """
    if isinstance(n_resamples, bool) or not isinstance(n_resamples, (int, np.integer)) or n_resamples < 2:
        msg = f"The 'n_resamples' parameter must be at least 2, and some hundreds to be of use. Got {n_resamples!r}."
        raise ParameterError(msg)
    return int(n_resamples)


def group_codes(groups: Any, index: pd.Index) -> Codes | None:
    """Return the number of every row's group.

    Parameters
    ----------
    groups : Series, array of shape (n_rows,), or None
        A Series is read by its index (prompt_id), an array by position. None: every row is its own group.
    index : Index of shape (n_rows,)
        The rows.

    Returns
    -------
    ndarray of shape (n_rows,), or None
        Codes from 0, in order of appearance.

    Raises
    ------
    TableError
        A row has no group.

    Examples
    --------
    >>> group_codes(pd.Series({"p1": "ana", "p2": "bob", "p3": "ana"}), pd.Index(["p3", "p2"])).tolist()
    [0, 1]
    """
    if groups is None:
        return None
    if isinstance(groups, (str, pd.DataFrame)):
        what = f"the name {groups!r}" if isinstance(groups, str) else "a DataFrame"
        reject("'groups'", f"is {what}.", "Pass the column itself, a Series indexed by prompt_id.")
    groups = pd.Series(groups) if isinstance(groups, Mapping) else groups
    if isinstance(groups, pd.Series):
        if not groups.index.is_unique:
            again = groups.index[groups.index.duplicated()].unique()
            reject("'groups'", f"names prompt_id {shown(again)} more than once.", "Give one group for each prompt.")
        groups = groups.reindex(index)
    values = pd.Series(np.asarray(groups, dtype=object) if not isinstance(groups, pd.Series) else groups.to_numpy())
    if len(values) != len(index):
        reject(
            "'groups'", f"has {len(values)} entries for {len(index)} prompts.", "Pass a Series indexed by prompt_id."
        )
    if values.isna().any():
        remedy = "Give every prompt a group, e.g. its conversation or customer; a group of one is fine."
        reject("'groups'", f"says nothing of prompt_id {shown(index[values.isna().to_numpy()])}.", remedy)
    try:
        return pd.factorize(values)[0].astype(np.intp)
    except TypeError:
        reject("'groups'", f"are {shown(values, 2)}: not hashable.", "Name each group by a text or a number.")


def few_groups_note(codes: Codes | None) -> str | None:
    """Say that groups are few, if they are.

    Examples
    --------
    >>> few_groups_note(np.arange(300) % 10)
    'only 10 groups: the spread between groups is itself poorly known, and the interval is wide for it'
    """
    n_groups = None if codes is None else len(np.unique(codes))
    if n_groups is None or n_groups >= FEW_GROUPS:
        return None
    few = "one group alone" if n_groups == 1 else f"only {n_groups} groups"
    return f"{few}: the spread between groups is itself poorly known, and the interval is wide for it"


def group_sums(values: Floats, codes: Codes | None) -> tuple[Floats, Floats]:
    """Sum values, of shape (n,) or (n, k), over each group; and count its rows.

    Examples
    --------
    >>> group_sums(np.array([1.0, 2.0, 3.0]), np.array([0, 1, 0]))
    (array([4., 2.]), array([2., 1.]))
    """
    if codes is None:
        return values, np.ones(len(values))
    size = np.asarray(np.bincount(codes, np.ones(len(codes))), dtype=np.float64)
    if values.ndim == 1:
        return np.asarray(np.bincount(codes, values), dtype=np.float64), size
    return np.column_stack([np.bincount(codes, column) for column in values.T]), size


def resample_counts(n: int, n_resamples: int, random_state: Any, codes: Codes | None = None) -> Iterator[Floats]:
    """Yield blocks of shape (block, n): how often each row was drawn in each bootstrap resample.

    With `codes`, whole groups are drawn.
    """
    check_n_resamples(n_resamples)
    rng = np.random.default_rng(random_state)
    n_units = n if codes is None else int(codes.max()) + 1
    block = max(1, min(n_resamples, 2**21 // max(n, 1)))
    for start in range(0, n_resamples, block):
        size = min(block, n_resamples - start)
        drawn = rng.integers(n_units, size=(size, n_units)) + n_units * np.arange(size)[:, None]
        counts = np.bincount(drawn.ravel(), minlength=size * n_units).reshape(size, n_units).astype(float)
        yield counts if codes is None else counts[:, codes]


def resampled_sums(columns: Floats, n_resamples: int, random_state: Any, codes: Codes | None = None) -> Floats:
    """Sum columns (n, k) over bootstrap resamples of the rows (or groups), of shape (n_resamples, k)."""
    columns, _ = group_sums(columns, codes)
    return np.concatenate([c @ columns for c in resample_counts(len(columns), n_resamples, random_state)])


def percentile_interval(draws: Floats, confidence: float, n: int) -> tuple[float, float]:
    """Percentile interval, widened for small samples as Student's t is.

    Plain percentiles are too narrow by sqrt((n - 1) / n) and by normal instead of t quantiles
    (Hesterberg 2015, What Teachers Should Know About the Bootstrap, doi:10.1080/00031305.2015.1089789).
    `n` counts groups where groups were drawn.

    Examples
    --------
    >>> percentile_interval(np.linspace(0, 1, 1001), 0.95, n=10_000)
    (0.02..., 0.97...)
    """
    tail = (1 - confidence) / 2
    if n > 1:
        tail = stats.norm.cdf(np.sqrt(n / (n - 1)) * stats.t.ppf(tail, n - 1))
    low, high = np.quantile(draws, [tail, 1 - tail])
    return float(low), float(high)


def cluster_df(size: Floats, count: Floats | None = None) -> float:
    """Degrees of freedom of the variance of a mean over groups of these sizes: groups less one, if they are equal.

    `count` says how many groups have each size (default: one). Satterthwaite's, as Bell and McCaffrey (2002) and Imbens
    and Kolesar (2016) have them, for totals whose variance grows with the size or with its square: the smaller of both.

    Examples
    --------
    >>> cluster_df(np.ones(30)), round(cluster_df(np.array([100.0, 1.0]), np.array([1.0, 29.0])), 1)
    (29.0, 1.0)
    """
    count = np.ones(len(size)) if count is None else count
    n = float(count.sum())
    if n < 2:
        return 1.0
    if np.ptp(size) == 0:
        return n - 1
    share = size / (count @ size)
    inverse = 1 / np.maximum(1 - share, 1e-12)
    found = []
    for variance in (size, size**2):
        # A = (I - share 1')' diag(inverse) (I - share 1') = diag(inverse) - u 1' - 1 u' + c 1 1', u = share * inverse.
        u, c = share * inverse, float((count * share) @ (share * inverse))
        v = variance / (count @ variance)
        left = np.column_stack([u, np.ones(len(size))])
        middle = np.array([[0.0, -1.0], [-1.0, c]])
        diagonal = inverse + np.einsum("ij,jk,ik->i", left, middle, left)
        trace = (count * v) @ diagonal
        # trace(A V A V) from the diagonal part and the rank-two part.
        inner = left.T @ ((count * v)[:, None] * left)
        squares = (count * v * inverse) @ (v * inverse)
        squares += 2 * np.einsum("ij,jk,ik,i->", left, middle, left, count * v**2 * inverse)
        squares += np.trace(middle @ inner @ middle @ inner)
        found.append(trace**2 / squares)
    return float(np.clip(min(found), 1.0, n - 1))


def mean_interval(
    values: Floats,
    codes: Codes | None = None,
    *,
    bounds: tuple[float, float] = (-1.0, 1.0),
    confidence: float = 0.95,
    weight: Floats | None = None,
    count: Floats | None = None,
) -> tuple[float, float, float]:
    """Mean of bounded values and its interval, valid from one row on, whatever was not seen yet.

    Parameters
    ----------
    values : ndarray of shape (n,)
        Differences of quality in [-1, 1], or anything else with known bounds.
    codes : ndarray of shape (n,), optional
        Group of each row, from `group_codes`.
    bounds : (float, float), default (-1, 1)
        Least and largest value that is possible.
    confidence : float, default 0.95
        Two-sided.
    weight : ndarray of shape (n,), optional
        How many rows each stands for.
    count : ndarray of shape (n,), optional
        How many groups each row stands for, where rows are distinct means of groups and `weight` is their size.

    Returns
    -------
    mean, low, high : float

    References
    ----------
    T. Tango, "Equivalence test and confidence interval for the difference in proportions for the paired-sample
    design", Statistics in Medicine 17, 1998; A. Agresti and Y. Min, "Simple improved confidence intervals for comparing
    matched proportions", Statistics in Medicine 24, 2005; A. B. Owen, "Empirical Likelihood", 2001.

    Examples
    --------
    >>> [round(x, 3) for x in mean_interval(np.zeros(60))]
    [0.0, -0.063, 0.063]
    >>> [round(x, 3) for x in mean_interval(np.zeros(60), np.arange(60) // 6)]
    [0.0, -0.339, 0.339]
    """
    middle, half = (bounds[0] + bounds[1]) / 2, (bounds[1] - bounds[0]) / 2
    scaled = np.clip((np.asarray(values, dtype=float) - middle) / half, -1.0, 1.0)
    weight = np.ones(len(scaled)) if weight is None else np.asarray(weight, dtype=float)
    total, size = group_sums(np.column_stack([scaled * weight, weight]), codes)[0].T
    units = np.ones(len(total)) if count is None else count
    mean, average = float(units @ total / (units @ size)), float(units @ size / units.sum())
    quantile = float(stats.t.ppf((1 + confidence) / 2, max(cluster_df(size, units), 1.0)))
    total, size = total / average, size / average
    total, size, count = _compressed(total, size) if count is None else (total, size, count)
    low = min(_score_end(total, size, count, quantile), _pseudo_end(total, size, count, quantile))
    high = max(-_score_end(-total, size, count, quantile), -_pseudo_end(-total, size, count, quantile))
    return middle + half * mean, middle + half * low, middle + half * high


def t_interval(
    values: Floats, codes: Codes | None = None, *, confidence: float = 0.95, unseen: float = 0.0
) -> tuple[float, float, float]:
    """Mean of unbounded values and Student's interval over groups, with variances corrected for leverage (CR2).

    A value of about `unseen`, of either sign, may be missing from the sample: three of them are added to the squares,
    which covers what is too rare to be seen (an event of chance p is missed by n rows with probability exp(-n p)).
    Infinite ends for a single group.

    Examples
    --------
    >>> [round(x, 3) for x in t_interval(np.array([0.0, 1.0, 1.0, 0.0]))]
    [0.5, -0.419, 1.419]
    """
    total, size = group_sums(np.asarray(values, dtype=float), codes)
    mean = float(total.sum() / size.sum())
    if len(total) < 2:
        return mean, -np.inf, np.inf
    residual = total - mean * size
    squares = float((residual**2 / (1 - size / size.sum())).sum()) + 3 * (unseen * size.mean()) ** 2
    variance = squares / size.sum() ** 2
    half = float(stats.t.ppf((1 + confidence) / 2, cluster_df(size)) * np.sqrt(variance))
    return mean, mean - half, mean + half


def _compressed(total: Floats, size: Floats, limit: int = _MANY) -> tuple[Floats, Floats, Floats]:
    """Distinct (total, size) pairs with their counts; above `limit` rows, bins of close totals by their means."""
    if len(total) > limit and np.ptp(size) == 0:
        place = np.searchsorted(np.linspace(total.min(), total.max(), 4097)[1:-1], total)
        count = np.bincount(place).astype(float)
        seen = count > 0
        return np.bincount(place, total)[seen] / count[seen], np.full(seen.sum(), size[0]), count[seen]
    pairs, count = np.unique(np.column_stack([total, size]), axis=0, return_counts=True)
    return pairs[:, 0], pairs[:, 1], count.astype(float)


def _score_end(total: Floats, size: Floats, count: Floats, quantile: float) -> float:
    """Least mean that the score test does not reject: totals are of values in [-1, 1], sizes average 1."""
    n = count.sum()
    mean = float(count @ total / (count @ size))

    def excess(mu: float) -> float:
        score = total - mu * size
        gap = count @ score / n
        return float(gap**2 - quantile**2 * _null_variance(score, count / n, 1 + mu) / n)

    floor, ceiling = -1 + 1e-9, mean - 1e-9  # at the mean itself the test of constant values is 0 = 0
    if ceiling <= floor or excess(floor) <= 0:
        return -1.0
    return float(optimize.brentq(excess, floor, ceiling, xtol=1e-10)) if excess(ceiling) < 0 else mean


def _null_variance(score: Floats, weight: Floats, reach: float) -> float:
    """Variance of scores under the likeliest distribution that gives them mean 0, which may put mass on -`reach`.

    Empirical likelihood: each weight is divided by 1 + tilt * score. The tilt stops at 1 / reach, where the unseen
    value takes up the rest.
    """

    def left(tilt: float) -> float:
        return float((weight * score / (1 + tilt * score)).sum())

    most = (1 - 1e-10) / max(reach, -float(score.min()))
    remaining = left(most)
    if left(0.0) <= 0:
        tilt = 0.0
    else:
        tilt = most if remaining > 0 else optimize.brentq(left, 0.0, most, xtol=1e-12)
    unseen = max(remaining, 0.0) / reach
    return float((weight * score**2 / (1 + tilt * score)).sum() + unseen * reach**2)


def _pseudo_end(total: Floats, size: Floats, count: Floats, quantile: float) -> float:
    """Lower end of Student's interval after half a pseudo-group is added at -1, at 1, and a whole one at 0."""
    n = count.sum() + 2
    mean = count @ total / (count @ size + 2)
    residual = total - mean * size
    squares = count @ residual**2 + 0.5 * ((1 - mean) ** 2 + (1 + mean) ** 2) + mean**2
    return float(max(mean - quantile * np.sqrt(squares) / n, -1.0))


def share_interval(share: Any, n: Any, confidence: float = 0.95, quantile: Any = None) -> tuple[Any, Any]:
    """Wilson's interval of a share of n independent trials, both of any shape.

    Examples
    --------
    >>> [round(float(x), 3) for x in share_interval(1.0, 20)]
    [0.839, 1.0]
    """
    z = stats.norm.ppf((1 + confidence) / 2) if quantile is None else quantile
    share, n = np.asarray(share, dtype=float), np.asarray(n, dtype=float)
    centre = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    return np.clip(centre - half, 0.0, 1.0), np.clip(centre + half, 0.0, 1.0)


def bounded_ends(mean: Any, variance: Any, n: float, quantile: Any) -> tuple[Any, Any]:
    """Wilson's interval for means of values in [0, 1] from their variance, arrays of any shape.

    A mean of values other than 0 and 1 is worth more independent trials than n: variance of one trial over variance of
    one value. Where nothing varied, it is worth n.

    Parameters
    ----------
    mean : array
        Of all rows.
    variance : array
        Of the mean, over groups.
    n : float
        Groups.
    quantile : float
        Of Student's t, or the normal distribution.

    Examples
    --------
    >>> [round(float(x), 3) for x in bounded_ends(0.5, 0.0025, 100, 1.96)]
    [0.404, 0.596]
    """
    mean = np.clip(np.asarray(mean, dtype=float), 0.0, 1.0)
    trial = mean * (1 - mean)
    with np.errstate(invalid="ignore", divide="ignore"):
        relative = np.where(trial > 1e-12, n * np.asarray(variance) / trial, 1.0)
    relative = (n * np.clip(relative, 0.0, None) + 2) / (n + 2)  # two pseudo-rows of full spread
    return share_interval(mean, n / relative, quantile=quantile)


def ratio_interval(
    part: Floats,
    whole: Floats,
    codes: Codes | None = None,
    *,
    confidence: float = 0.95,
    count: Floats | None = None,
    df: float | None = None,
) -> tuple[float, float, float]:
    """Ratio of two sums of costs and its interval, which allows for dear calls that the sample happens to lack.

    The score interval of `mean_interval` for the mean of part - ratio * whole: the prompt that may not have been seen
    has the size at which the mean dollar is spent, and costs the whole, or nothing. Degrees of freedom allow for
    prompts that carry much of the cost. Above 50,000 groups, points with the same sums, squares and products stand for
    them (`routerlab.tallies`), which moves the ends by less than 1e-7.

    Parameters
    ----------
    part, whole : ndarray of shape (n,)
        At least 0; `whole` must not sum to 0.
    codes : ndarray of shape (n,), optional
        Group of each row.
    confidence : float, default 0.95
        Two-sided.
    count, df : ndarray of shape (n,), float, optional
        How many groups each row stands for, where rows are distinct sums over groups; and their `cluster_df`.

    Returns
    -------
    ratio, low, high : float
        Ends are NaN where `ratio_note` says that costs are too unequal, and further apart where it says so.

    Examples
    --------
    >>> [round(x, 2) for x in ratio_interval(np.full(50, 0.1), np.ones(50))]
    [0.1, 0.09, 0.17]
    """
    sums, size = group_sums(np.column_stack([part, whole]).astype(float), codes)
    units = np.ones(len(sums)) if count is None else count
    if count is None and len(sums) > _MANY:
        df = cluster_df(size) if df is None else df
        sums, units = points(tally(*sums.T))
    sums = sums / (units @ sums[:, 1] / units.sum())
    ratio = float(units @ sums[:, 0] / (units @ sums[:, 1]))
    note, refused = ratio_note(whole, codes, count)
    if refused:
        return ratio, float("nan"), float("nan")
    error = (1 - confidence) / (HEAVY if note else 1)
    dear = float((units * sums[:, 1]) @ sums[:, 1] / (units @ sums[:, 1]))  # size of the mean dollar's prompt
    df = min(cluster_df(size, units) if df is None else df, max(units.sum() / dear - 1, 1.0))
    quantile = float(stats.t.ppf(1 - error / 2, df))
    low, high = (_ratio_score_end(sums, units, ratio, quantile, dear, above) for above in (False, True))
    return ratio, low, high


def _ratio_score_end(sums: Floats, count: Floats, ratio: float, quantile: float, dear: float, above: bool) -> float:
    """Farthest ratio, above or below, that the score test does not reject."""
    n = float(count.sum())
    score = np.empty(len(sums))
    weight = count / n

    def excess(at: float) -> float:
        score[:] = (at * sums[:, 1] - sums[:, 0]) * (1 if above else -1)
        reach = max((1 - at if above else at) * dear, 1e-9)
        return float((weight @ score) ** 2 - quantile**2 * _null_variance(score, weight, reach) / n)

    near = ratio + (1e-7 if above else -1e-7) * max(ratio, 1e-3)
    far = max(1.0, 20 * ratio) if above else 1e-9
    if excess(near) >= 0:
        return ratio
    if excess(far) < 0:
        return far
    return float(optimize.brentq(excess, *sorted((near, far)), xtol=1e-7))


def cost_ends(mean: Any, variance: Any, dear: float, n: float, quantile: Any) -> tuple[Any, Any]:
    """Return the ends of intervals of mean costs, arrays of any shape: Student's t on the log.

    The upper end takes one more prompt into account, at the mean cost of the dearest choice: a sample of cheap calls
    may lack the dear ones.

    Parameters
    ----------
    mean, variance : array
        Mean cost, and the variance of that mean over groups.
    dear : float
        Mean cost if every prompt took its dearest choice.
    n : float
        Groups.
    quantile : float
        Of Student's t.

    Examples
    --------
    >>> [round(float(x), 3) for x in cost_ends(1.0, 0.0, 1.0, 50, 2.0)]
    [1.0, 1.0]
    """
    mean, variance = np.asarray(mean, dtype=float), np.asarray(variance, dtype=float)
    raised = (n * mean + dear) / (n + 1)
    spread = variance + ((dear - mean) / (n + 1)) ** 2
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        low = np.where(mean > 0, mean * np.exp(-quantile * np.sqrt(variance) / mean), 0.0)
        high = np.where(raised > 0, raised * np.exp(quantile * np.sqrt(spread) / raised), 0.0)
    return low, high


def skewed_note(cost: Floats, codes: Codes | None = None, count: Floats | None = None, what: str = "") -> str | None:
    """Say that costs are too unequal for an interval of their mean, if they are: the largest have not been seen yet.

    The error of such intervals grows as skewness / sqrt(n). Sample skewness cannot exceed sqrt(n) and misses the tail,
    so that of the lognormal distribution with the same spread of logs stands for it. `count` says how many prompts, or
    `what`, each row stands for (default: one).

    Examples
    --------
    >>> skewed_note(np.ones(5)) is None
    True
    >>> skewed_note(np.exp(np.linspace(-5, 5, 100)))
    'costs are too unequal for an interval from 100 prompts: a few carry most of the sum; about ... would do'
    """
    n, variance = _spread_of_logs(cost, codes, count)
    spread = np.exp(min(variance, 50.0))
    wanted = ((spread + 2) ** 2 * (spread - 1)) / 0.8**2
    if wanted <= n:
        return None
    what = what or ("prompts" if codes is None else "groups")
    return (
        f"costs are too unequal for an interval from {n:,} {what}: a few carry most of the sum; about "
        f"{float(f'{wanted:.1g}'):,.0f} would do"
    )


def _spread_of_logs(cost: Floats, codes: Codes | None, count: Floats | None) -> tuple[int, float]:
    """Return how many prompts or groups cost anything, and the variance of the logs of what they cost."""
    sums, _ = group_sums(np.asarray(cost, dtype=float), codes)
    count = np.ones(len(sums)) if count is None else count
    logs, count = np.log(sums[sums > 0]), count[sums > 0]
    n = float(count.sum())
    if n < 3:
        return round(n), 0.0
    order = np.argsort(logs)
    passed, half = np.cumsum(count[order]), n / 2
    middle = np.searchsorted(passed, half * (1 - 1e-12)), np.searchsorted(passed, half * (1 + 1e-12))
    median = float(logs[order[np.minimum(middle, len(logs) - 1)]].mean())
    upper = logs >= median
    above = float(count[upper] @ np.square(logs[upper] - median)) / (float(count[upper].sum()) - 0.5)
    whole = float(count @ np.square(logs - count @ logs / n)) / (n - 1)
    # The smaller of the spread and that above the median: cheap calls carry nothing, however cheap they are.
    return round(n), min(whole, above)


def ratio_note(
    cost: Floats, codes: Codes | None = None, count: Floats | None = None, what: str = ""
) -> tuple[str | None, bool]:
    """Say what very unequal costs do to the interval of a ratio of sums, and whether it is refused.

    A ratio asks less of the sample than a mean: dear prompts that were not seen only matter if they are routed
    otherwise than the others. Where logs had a standard deviation of 1.5 to 2 and routes went with cost, intervals
    with a fifth of the error held the truth in at least 96% of samples of 150 and more; with 60 they missed in 4.5% on
    one side, and at 2.5 in up to 7%: such samples get none.

    Returns
    -------
    note : str or None
        None if costs are even enough.
    refused : bool
        Whether no interval is given.

    Examples
    --------
    >>> ratio_note(np.ones(5))
    (None, False)
    >>> [ratio_note(np.exp(np.linspace(-3.4, 3.4, n)))[1] for n in (150, 60)]
    [False, True]
    """
    note = skewed_note(cost, codes, count, what)
    if note is None:
        return None, False
    n, variance = _spread_of_logs(cost, codes, count)
    if n < FEWEST_HEAVY or variance > HEAVIEST:
        return note, True
    return f"a few calls carry most of the cost: the saving's interval has 1/{HEAVY} of the usual error", False


def sign_flip_p_value(values: Floats, codes: Codes | None, n_resamples: int, random_state: Any) -> float:
    """Two-sided p-value of "the mean is 0" by sign flips of whole groups, studentised.

    Without studentising, flips test symmetry: skewed differences of mean 0 are rejected too often (Chung and Romano
    2013, Exact and asymptotically robust permutation tests, Annals of Statistics 41).

    Examples
    --------
    >>> sign_flip_p_value(np.zeros(5), None, 99, 0)
    1.0
    """
    total, _ = group_sums(np.asarray(values, dtype=float), codes)
    total = total[total != 0]
    if len(total) < 2:
        return 1.0
    rng = np.random.default_rng(random_state)
    squares = float(total @ total)

    def studentised(sums: Any) -> Any:
        return np.abs(sums) / np.sqrt(np.maximum(squares - sums**2 / len(total), 1e-300))

    observed = studentised(total.sum())
    extreme, block = 0, max(1, 2**22 // len(total))
    for start in range(0, n_resamples, block):
        flips = rng.integers(0, 2, size=(min(block, n_resamples - start), len(total)), dtype=np.int8) * 2.0 - 1
        extreme += int((studentised(flips @ total) >= observed * (1 - 1e-9)).sum())
    return (1 + extreme) / (n_resamples + 1)


def linear_interval(
    values: Floats,
    codes: Codes | None = None,
    *,
    bounds: tuple[float, float],
    confidence: float,
    n_resamples: int,
    random_state: Any,
) -> tuple[float, float]:
    """Interval of a statistic that is, to first order, a mean of `values`: the wider of score test and bootstrap.

    Parameters
    ----------
    values : ndarray of shape (n,)
        The statistic plus each row's influence on it.
    codes : ndarray of shape (n,), optional
        Group of each row.
    bounds : (float, float)
        Least and largest value that a row could have; widened to what was seen.
    confidence, n_resamples, random_state
        Of the interval and of the bootstrap.

    Returns
    -------
    low, high : float
        NaN where there are fewer than two rows, or groups.

    Examples
    --------
    >>> low, high = linear_interval(
    ...     np.zeros(60), bounds=(-1, 1), confidence=0.95, n_resamples=99, random_state=0
    ... )
    >>> round(low, 3), round(high, 3)
    (-0.063, 0.063)
    """
    sums, size = group_sums(np.column_stack([values, np.ones(len(values))]), codes)
    drawn = resampled_sums(sums, n_resamples, random_state)  # also where there is too little to say: bad input is told
    if len(size) < 2:
        return float("nan"), float("nan")
    bounds = min(bounds[0], float(values.min())), max(bounds[1], float(values.max()))
    if bounds[1] - bounds[0] < 1e-12:  # no row could have had another value
        return float(values[0]), float(values[0])
    _, low, high = mean_interval(values, codes, bounds=bounds, confidence=confidence)
    ends = percentile_interval(drawn[:, 0] / drawn[:, 1], confidence, round(cluster_df(size)) + 1)
    return min(low, ends[0]), max(high, ends[1])


def mean_differs(
    values: Floats, codes: Codes | None = None, *, bounds: tuple[float, float] = (-1.0, 1.0), confidence: float = 0.95
) -> int:
    """Say whether `mean_interval` leaves 0 out: 1 if it lies above, -1 if it lies below, else 0. Quicker than it.

    `bounds` must hold 0 and are widened to what was seen.

    Examples
    --------
    >>> mean_differs(np.full(60, 0.1)), mean_differs(np.full(60, 0.02)), mean_differs(np.full(60, -0.1))
    (1, 0, -1)
    """
    total, size = group_sums(np.asarray(values, dtype=float), codes)
    sign = 1 if total.sum() > 0 else -1
    low, high = (bounds[0], bounds[1]) if sign > 0 else (-bounds[1], -bounds[0])
    total, low, high = sign * total, min(low, float((sign * values).min())), max(high, float((sign * values).max()))
    quantile = float(stats.t.ppf((1 + confidence) / 2, cluster_df(size)))
    middle, half = (low + high) / 2, (high - low) / 2
    if total.sum() <= 0 or len(size) < 2:
        return 0
    scaled, size = (total - middle * size) / half / size.mean(), size / size.mean()
    null, count = -middle / half, np.ones(len(size))
    score = scaled - null * size
    mean = float(score.mean())
    if 1 + null < 1e-9:  # nothing below 0 is possible, and something above it was seen
        return sign
    if mean**2 <= quantile**2 * _null_variance(score, count / len(size), 1 + null) / len(size):
        return 0
    return sign if _pseudo_end(scaled, size, count, quantile) > null else 0


def ratio_set(
    part: Floats,
    whole: Floats,
    codes: Codes | None = None,
    *,
    reach: Callable[[float], tuple[float, float]],
    limits: tuple[float, float],
    confidence: float = 0.95,
) -> tuple[float, float]:
    """Interval of a ratio of two means, by Fieller's test inversion: the values that `mean_differs` does not rule out.

    Parameters
    ----------
    part, whole : ndarray of shape (n,)
        Each row's part in numerator and denominator.
    codes : ndarray of shape (n,), optional
        Group of each row.
    reach : callable
        Least and largest possible ``part - value * whole``, given the value.
    limits : (float, float)
        Where to look.
    confidence : float, default 0.95
        Two-sided.

    Returns
    -------
    low, high : float
        NaN where the denominator cannot be told from 0: then no finite interval holds the ratio with this confidence.

    Examples
    --------
    >>> low, high = ratio_set(
    ...     np.full(50, 0.5), np.ones(50), reach=lambda value: (-value, 1 - value), limits=(0, 1)
    ... )
    >>> round(low, 2), round(high, 2)
    (0.46, 0.54)
    """
    ratio = float(part.sum() / whole.sum()) if whole.sum() > 0 else float("nan")
    least = 0.0 if whole.min() >= 0 else -1.0
    if not np.isfinite(ratio) or mean_differs(whole, codes, bounds=(least, 1.0), confidence=confidence) <= 0:
        return float("nan"), float("nan")

    def end(outer: float) -> float:
        def out(value: float) -> bool:
            low, high = reach(value)
            z = part - value * whole
            return mean_differs(z, codes, bounds=(min(low, 0.0), max(high, 0.0)), confidence=confidence) != 0

        inner = ratio
        if not out(outer):
            return outer
        for _ in range(16):
            middle = (inner + outer) / 2
            inner, outer = (inner, middle) if out(middle) else (middle, outer)
        return outer

    return end(min(limits[0], ratio)), end(max(limits[1], ratio))


def share_of(hits: Any, of: Any, codes: Codes, *, confidence: float = 0.95) -> Interval:
    """Share of `hits` in `of`, with `clustered_share`'s interval; rows without a trial are left out.

    Parameters
    ----------
    hits, of : array-like of shape (n,)
        Hits and trials of each row, which may be fractions; None for one trial in each.
    codes : ndarray of shape (n,)
        Group of each row.
    confidence : float, default 0.95
        Two-sided.

    Returns
    -------
    Interval
        With `n` trials in `n_groups` groups.

    Examples
    --------
    >>> share = share_of([1, 0, 1, 1], None, np.arange(4))
    >>> f"{share:.0%} of {share.n}"
    '75% [30%, 95%] of 4'
    """
    hits = np.asarray(hits, dtype=float)
    of = np.ones(len(hits)) if of is None else np.asarray(of, dtype=float)
    hits, codes, of = hits[of > 0], codes[of > 0], of[of > 0]
    share, low, high = clustered_share(hits, of, codes, confidence=confidence)
    method = "Wilson's, at the rows' worth by group"
    return Interval(share, low, high, round(of.sum()), confidence, method=method, n_groups=len(np.unique(codes)))


def clustered_share(
    hits: Floats, of: Floats | None = None, codes: Codes | None = None, *, confidence: float = 0.95
) -> tuple[float, float, float]:
    """Share of `hits` in `of`: Wilson's interval at the number of independent trials that the rows are worth.

    Where all groups agree, that number is the number of groups: the rows of one may all be one. Groups that few say
    little of how they differ, for which Student's quantile stands.

    Parameters
    ----------
    hits, of : ndarray of shape (n,)
        Hits and trials of each row, which may be fractions; `of` is 1 by default.
    codes : ndarray of shape (n,), optional
        Group of each row.
    confidence : float, default 0.95
        Two-sided.

    Returns
    -------
    share, low, high : float

    Examples
    --------
    >>> [round(x, 2) for x in clustered_share(np.ones(20))]
    [1.0, 0.84, 1.0]
    >>> [round(x, 2) for x in clustered_share(np.ones(20), codes=np.arange(20) // 4)]
    [1.0, 0.39, 1.0]
    """
    of = np.ones(len(hits)) if of is None else of
    total = float(of.sum())
    share = float(hits.sum()) / total
    codes = None if codes is None or len(np.unique(codes)) == len(codes) else codes
    binary = codes is None and np.isin(of, (0.0, 1.0)).all() and np.isin(hits, (0.0, 1.0)).all()
    if binary:
        low, high = share_interval(share, total, confidence)
        return share, float(min(low, share)), float(max(high, share))
    sums, _ = group_sums(np.column_stack([hits, of]).astype(float), codes)
    sums = sums[sums[:, 1] > 0]
    weight = sums[:, 1] / total
    residual = sums[:, 0] - share * sums[:, 1]
    variance = float((residual**2 / np.maximum(1 - weight, 1e-9)).sum()) / total**2
    worth = share * (1 - share) / variance if variance > 0 else len(sums)
    quantile = stats.t.ppf((1 + confidence) / 2, cluster_df(sums[:, 1]))
    low, high = share_interval(share, np.clip(worth, 1.0, max(total, 1.0)), quantile=quantile)
    return share, float(min(low, share)), float(max(high, share))


def equation_interval(
    score: Callable[[float], tuple[Floats, float, float]],
    estimate: float,
    span: tuple[float, float],
    *,
    size: Floats | None = None,
    codes: Codes | None = None,
    confidence: float = 0.95,
) -> tuple[float, float]:
    """Interval of the root of an estimating equation whose scores are bounded: kappa, alpha, a weighted mean.

    It holds the values at which the mean score does not differ from 0, by the test that `mean_interval` inverts: what
    was not seen may still be there, groups are pieces of evidence, and few of them are few.

    Parameters
    ----------
    score : callable
        theta -> the rows' scores, of shape (n,), whose sum falls as theta grows and is 0 at `estimate`; and the least
        and largest score that a row of size 1 may have.
    estimate : float
        Root of the mean score.
    span : (float, float)
        Least and largest possible value.
    size : ndarray of shape (n,), optional
        Weight of each row.
    codes : ndarray of shape (n,), optional
        Group of each row.
    confidence : float, default 0.95
        Two-sided.

    Returns
    -------
    low, high : float

    Examples
    --------
    >>> seen = np.array([1.0] * 9 + [0.0])
    >>> [round(x, 3) for x in equation_interval(lambda theta: (seen - theta, -theta, 1 - theta), 0.9, (0.0, 1.0))]
    [0.544, 1.0]
    """
    n_rows = len(score(estimate)[0])
    weight, _ = group_sums(np.ones(n_rows) if size is None else size, codes)
    quantile = float(stats.t.ppf((1 + confidence) / 2, max(cluster_df(weight), 1.0)))

    def excess(theta: float) -> float:
        """Above 0 where `theta` is rejected."""
        values, least, most = score(theta)
        total, _ = group_sums(values, codes)
        total = total / weight.mean()
        if total.sum() < 0:
            total, least, most = -total, -most, -least
        distinct, count = np.unique(total, return_counts=True)
        n = count.sum()
        gap = count @ distinct / n
        tested = gap**2 - quantile**2 * _null_variance(distinct, count / n, max(-least, 1e-9)) / n
        pseudo = np.array([least, most, (least + most) / 2]), np.array([0.5, 0.5, 1.0])
        mean = (count @ distinct + pseudo[0] @ pseudo[1]) / (n + 2)
        squares = count @ (distinct - mean) ** 2 + pseudo[1] @ (pseudo[0] - mean) ** 2
        return float(min(tested, np.sign(mean) * mean**2 - quantile**2 * squares / (n + 2) ** 2))

    ends = []
    for end in span:
        inside = estimate + 1e-9 * (end - estimate)
        if abs(end - estimate) < 1e-9 or excess(end) <= 0 or excess(inside) >= 0:
            ends.append(end)
        else:
            ends.append(float(optimize.brentq(excess, inside, end, xtol=1e-6)))
    return ends[0], ends[1]


def anytime_half_width(variance: Any, scale: float, confidence: float = 0.95) -> Any:
    """Half-width of a confidence sequence: an interval that holds at all looks at once, however often one looks.

    Robbins' normal mixture: the running likelihood ratio of "the truth is normal with standard deviation `scale` around
    here" to "it is here" is expected not to grow if the latter is right, and passes 1 / (1 - confidence) at any time
    with probability at most 1 - confidence (Ville). For estimates that are close to normal, as asymptotic confidence
    sequences are.

    Parameters
    ----------
    variance : float or ndarray
        Of the estimate, at this look.
    scale : float
        Difference that one expects, fixed beforehand: where the sequence is narrowest.
    confidence : float, default 0.95
        Of all looks together.

    Returns
    -------
    float or ndarray

    References
    ----------
    H. Robbins, "Statistical methods related to the law of the iterated logarithm", Annals of Mathematical Statistics
    41, 1970; I. Waudby-Smith et al., "Time-uniform central limit theory and asymptotic confidence sequences", Annals of
    Statistics 52, 2024.

    Examples
    --------
    >>> round(anytime_half_width(0.04, 0.5), 3), round(1.96 * 0.2, 3)
    (0.608, 0.392)
    """
    ratio = (variance + scale**2) / variance
    half = np.sqrt(variance * ratio / (ratio - 1) * (np.log(ratio) - 2 * np.log(1 - confidence)))
    return float(half) if np.ndim(half) == 0 else half


def mean_p_value(values: Floats, null: float, *, low: float = -1.0, size: Floats | None = None) -> float:
    """p-value of "the mean is at most `null`" for values that can't fall below `low`, at any sample size.

    Add one value `low`, weigh all by independent exponential draws: the p-value is the probability that the weighted
    mean is at most `null`, here by its saddlepoint (Lugannani and Rice 1980). Of values that are either `low` or
    something else it is the exact binomial test; with many of them it is as sharp as Student's. That it holds for every
    distribution is a conjecture of Gaffke's, proven for few values; searches and simulations, ours included, have found
    no exception.

    Parameters
    ----------
    values : ndarray of shape (n,)
        Independent draws; of groups, their means.
    null : float
        Hypothetical largest mean.
    low : float, default -1
        Least possible value.
    size : ndarray of shape (n,), optional
        Rows in each group: the mean is over all of them. No group is taken to be larger than the largest seen.

    Returns
    -------
    float

    References
    ----------
    N. Gaffke, "Three test statistics for a nonparametric one-sided hypothesis on the mean of a nonnegative variable",
    Mathematical Methods of Statistics 14, 2005; E. Learned-Miller and P. S. Thomas, "A new confidence interval for the
    mean of a bounded random variable", arXiv:1905.06208, 2019.

    Examples
    --------
    >>> [round(mean_p_value(np.zeros(n), -0.01), 3) for n in (290, 310)]
    [0.055, 0.045]
    """
    gain, worst = np.asarray(values, dtype=float) - null, low - null
    if not len(gain):
        return 1.0
    if worst >= 0:
        return 0.0
    if size is not None:
        gain = gain * (size / np.max(size))
    value, count = np.unique(np.append(gain, worst), return_counts=True)
    if value @ count <= 1e-9 * len(gain):
        return 1.0  # one half and more
    # Cumulant generating function of the weighted sum: -sum(count * log(1 - t * value)), for 1 / value[0] < t <= 0.
    t = optimize.brentq(lambda t: (count * value / (1 - t * value)).sum(), (1 - 1e-12) / value[0], 0.0, xtol=1e-300)
    root = -np.sqrt(max(2 * (count * np.log1p(-t * value)).sum(), 0.0))
    slope = t * np.sqrt((count * (value / (1 - t * value)) ** 2).sum())
    if root > -1e-4:
        return 0.5
    density = np.exp(-(root**2) / 2) / np.sqrt(2 * np.pi)
    return float(np.clip(special.ndtr(root) + density * (1 / root - 1 / slope), 0.0, 1.0))
