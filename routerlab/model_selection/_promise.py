"""The promise: an operating point whose loss of quality is bounded on prompts that nobody has seen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from html import escape
from math import ceil, log
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from routerlab.decision import Sweep
from routerlab.evaluation import always, frontier
from routerlab.exceptions import ParameterError
from routerlab.model_selection._loss_tests import loss_p_value
from routerlab.schema import Outcomes, check_aligned, check_model, models_of, provenance_of, reject, shown
from routerlab.stats import check_confidence, few_groups_note, group_codes, group_sums, mean_interval

_N_POINTS = 25  # tested at most: more of them are nearly the same point
_ORDERING = 1 / 3  # share of the prompts that orders a table of options


@dataclass(frozen=True)
class Promise:
    """What was granted, on which evidence, and where it ends.

    Attributes
    ----------
    option : str or None
        The option that was granted; None if the baseline is kept.
    willingness_to_pay : float
        Of the granted operating point of a sweep; NaN for named options, and if the baseline is kept.
    max_quality_loss, guarantee : float
        With probability `guarantee` over the tuning sample, the true mean loss is at most `max_quality_loss`.
    cost_usd, baseline_cost_usd, quality_difference : float
        Means over the testing prompts.
    unguarded_cost_usd : float
        Of the cheapest option whose estimate alone reaches the bar.
    n_ordering, n_testing : int
        Prompts that put the options in order, and that tested them.
    n_needed : int
        Testing prompts (groups, if there are some) that the promise needs without a single loss.
    n_needed_as_seen : float
        The same at the mean and spread of the best option seen; infinite if that one loses more than the bar.
    tested : DataFrame
        One row for each test that was made: ``option, cost_usd, quality_difference, p_value, granted``.
    slices : DataFrame or None
        ``n, share, quality_difference, quality_low`` of each slice, at the option that was granted. Bounds allow for
        the number of slices (Bonferroni), not for the option's having been picked on the same prompts.
    made_on, test_again : date
        When it was made, and until when it should be trusted.
    """

    option: str | None
    willingness_to_pay: float
    baseline: str
    max_quality_loss: float
    guarantee: float
    cost_usd: float
    baseline_cost_usd: float
    quality_difference: float
    unguarded_cost_usd: float
    n_options: int
    n_ordering: int
    n_testing: int
    n_groups: int | None
    n_needed: int
    n_needed_as_seen: float
    method: str
    random_state: Any
    tested: pd.DataFrame = field(repr=False, compare=False)
    slices: pd.DataFrame | None = field(repr=False, compare=False)
    made_on: date
    test_again: date
    note: str | None = None
    provenance: str | None = None

    @property
    def granted(self) -> bool:
        """Whether anything but the baseline was granted."""
        return self.option is not None

    @property
    def saving(self) -> float:
        """Share of the baseline's cost that the granted option saves."""
        return 1 - self.cost_usd / self.baseline_cost_usd if self.baseline_cost_usd else 0.0

    @property
    def unguarded_saving(self) -> float:
        """Share that the cheapest option with a good enough estimate would save."""
        return 1 - self.unguarded_cost_usd / self.baseline_cost_usd if self.baseline_cost_usd else 0.0

    def choose(self, options: Sweep | Mapping[str, pd.Series]) -> pd.Series:
        """Apply the promise to the same options on other prompts.

        Parameters
        ----------
        options : Sweep or mapping of str to Series
            As `promise` took it.

        Returns
        -------
        Series of shape (n_prompts,)
            Model names; the baseline for all if nothing was granted.
        """
        if isinstance(options, Sweep):
            return options.at(self.willingness_to_pay) if self.granted else always(self.baseline, options.index)
        if self.option is not None:
            return options[self.option]
        return always(self.baseline, next(iter(options.values())).index)

    def under_mix(self, by: Any) -> tuple[float, float]:
        """Weigh the slices by another mix of traffic.

        Parameters
        ----------
        by : Series or mapping
            Slice of each prompt now; or slice -> share.

        Returns
        -------
        quality_difference, lower_bound : float
            Under the new mix; the bound is that of the slices, and so allows for every mix of them at once.
        """
        if self.slices is None:
            reject(
                "'by'",
                "this promise was made without slices.",
                "Pass by= to promise(...), e.g. the intents.",
                ParameterError,
            )
        weight = pd.Series(by, dtype=float) if isinstance(by, Mapping) else pd.Series(by).value_counts(normalize=True)
        new = weight.index.difference(self.slices.index)
        if len(new):
            reject(
                "'by'",
                f"slice {shown(new)} was not in the tuning prompts.",
                "Make a promise that has seen it.",
                ParameterError,
            )
        weight = weight / weight.sum()
        part = self.slices.loc[weight.index]
        return float(weight @ part["quality_difference"]), float(weight @ part["quality_low"])

    def _lines(self) -> list[str]:
        bar, usd = f"{100 * self.max_quality_loss:g} points", 1000 * self.baseline_cost_usd
        unit = "prompts" if self.n_groups is None else "groups"
        as_seen = (
            f"about {self.n_needed_as_seen:,.0f} at the losses seen here"
            if np.isfinite(self.n_needed_as_seen)
            else "no number would do at the losses seen here"
        )
        if self.granted:
            lines = [
                f"saves {100 * self.saving:.0f}% of cost against {self.baseline} ({1000 * self.cost_usd:.3g} instead "
                f"of {usd:.3g} USD per 1,000 requests) at {self.option}",
                f"promise: with {100 * self.guarantee:.5g}% probability over the tuning sample, quality falls by at "
                f"most {bar} on average; seen: {100 * self.quality_difference:+.1f} points",
            ]
        else:
            lines = [
                f"keeps {self.baseline}: nothing cheaper can be promised to lose at most {bar} "
                f"({100 * self.guarantee:.5g}%)",
                f"a promise needs {self.n_needed:,} testing {unit} without a single loss, {as_seen}; allow a larger "
                "loss, or measure more prompts",
            ]
        lines.append(
            f"the guarantee costs: {100 * self.saving:.0f}% instead of the {100 * self.unguarded_saving:.0f}% of the "
            "cheapest option whose estimate is good enough"
        )
        groups = "" if self.n_groups is None else f" in {self.n_groups:,} groups"
        lines.append(
            f"{len(self.tested)} of {self.n_options:,} options tested on {self.n_testing:,} prompts{groups}, "
            f"{self.n_ordering:,} others put them in order; {self.method}"
        )
        if self.slices is not None and self.granted:
            worst = self.slices.loc[self.slices["quality_low"].idxmin()]
            lines.append(
                f"worst of {len(self.slices)} slices: {worst.name}, {100 * worst['quality_difference']:+.1f} points "
                f"(n = {worst['n']:,.0f}), at least {100 * worst['quality_low']:+.1f} "
                f"({100 * self.guarantee:.5g}% over all slices, this option held fixed)"
            )
        mix = "" if self.slices is None else " (under_mix(...) weighs the slices by today's)"
        lines.append(
            f"holds for traffic like that of the tuning prompts{mix}; made on {self.made_on}: test again by "
            f"{self.test_again}, and whenever a model, a prompt template or the mix changes"
        )
        return [*lines, *(f"[{text}]" for text in (self.note, self.provenance) if text)]

    def __repr__(self) -> str:
        """Put the promise first, then its price, its evidence and its limits."""
        return "\n".join(self._lines())

    def _repr_html_(self) -> str:
        first, *rest = (escape(line) for line in self._lines())
        return f"<div><strong>{first}</strong><br>" + "<br>".join(rest) + "</div>"


class _Options(NamedTuple):
    """Options on the same prompts: what each costs there, and its quality less the baseline's."""

    names: list[str]
    wtp: NDArray[np.float64]
    cost: NDArray[np.float64]  # (n_options, n_prompts)
    difference: NDArray[np.float64]

    def at(self, which: Any) -> _Options:
        return _Options([self.names[k] for k in which], self.wtp[which], self.cost[which], self.difference[which])


def promise(
    options: Sweep | Mapping[str, pd.Series],
    quality: pd.DataFrame | Outcomes,
    cost: pd.DataFrame | None = None,
    *,
    baseline: str,
    max_quality_loss: float = 0.01,
    guarantee: float = 0.95,
    groups: Any = None,
    by: Any = None,
    ordering: float | None = None,
    valid_days: int = 90,
    random_state: Any = 0,
) -> Promise:
    """Grant the cheapest option that can be promised to lose little, or keep the baseline.

    Learn then test: the options are put in order, from the safest on, without looking at the testing prompts; each is
    tested at level 1 - `guarantee`, until the first failure. However many options there are, the probability that one
    is granted whose true mean loss exceeds the bar is at most 1 - `guarantee`. Where every quality is 0 or 1 the test
    is exact; for graded quality and for groups it bets.

    Parameters
    ----------
    options : Sweep or mapping of str to Series
        ``router.sweep(X)`` on tuning prompts, which the router's fit has not seen; or named choices (prompt_id ->
        model).
        An option of any kind (a model, a cascade, an offer) is a column of `quality` and `cost`.
    quality, cost : DataFrame of shape (n_prompts, n_models)
        Measured outcomes of the tuning prompts.
    baseline : str
        The model that is paid for today. Keeping it is always a valid answer.
    max_quality_loss : float, default 0.01
        Mean quality may fall below the baseline's by this much.
    guarantee : float, default 0.95
        Probability, over the tuning sample, that the promise holds.
    groups : Series or array of shape (n_prompts,), optional
        Prompts that are no separate evidence: of one conversation, customer, or text.
    by : Series or array of shape (n_prompts,), optional
        Slices (intents, customers) whose differences are bounded as well, so that a mean can't hide the worst one.
    ordering : float, optional
        Share of the prompts (groups) that puts the options in order. 0: the order given is kept, and all prompts test.
        By default 0 for a sweep, whose order from the highest willingness to pay down is known beforehand, and 1/3 for
        a mapping.
    valid_days : int, default 90
        After these, the result asks to be tested again.
    random_state : int or Generator, default 0
        Draws the ordering part, and shuffles the bets.

    Returns
    -------
    Promise
        Frozen; prints what it granted and where that ends.

    Notes
    -----
    An out-of-fold sweep (`cross_sweep`) is of as many routers as there are folds, each of which has seen the others'
    prompts. That its promises hold for the router fitted on all prompts is not proven; in the one world simulated
    (``benchmarks/coverage_promise.py``, kNN, 400 and 1,000 prompts) they were broken no more often than promised.

    References
    ----------
    .. [1] A. N. Angelopoulos, S. Bates, E. J. Candes, M. I. Jordan and L. Lei, "Learn then Test", arXiv:2110.01052,
       2021.
    .. [2] B. Laufer-Goldshtein, A. Fisch, R. Barzilay and T. Jaakkola, "Efficiently Controlling Multiple Risks with
       Pareto Testing", ICLR 2023.

    Examples
    --------
    >>> index = [f"p{i}" for i in range(600)]
    >>> quality = pd.DataFrame({"small": 1.0, "tiny": [1.0, 0.0] * 300, "large": 1.0}, index=index)
    >>> cost = pd.DataFrame({"small": 0.002, "tiny": 0.001, "large": 0.01}, index=index)
    >>> options = {name: pd.Series(name, index=index) for name in ("small", "tiny")}
    >>> result = promise(options, quality, cost, baseline="large")
    >>> result.option, round(result.saving, 3), result.n_testing
    ('small', 0.8, 400)
    """
    check_confidence(guarantee, "guarantee")
    check_bar(max_quality_loss)
    index, wanted = _prompts(options)
    outcomes = _outcomes_of(index, quality, cost)
    quality, cost = outcomes
    check_model(baseline, models_of(quality), "baseline")
    table = _table(options, wanted, quality, cost, baseline)
    codes = group_codes(groups, index)
    if codes is not None and codes.max(initial=-1) + 1 == len(codes):
        codes = None  # every prompt is its own group
    share = (0.0 if isinstance(options, Sweep) or len(wanted) == 1 else _ORDERING) if ordering is None else ordering
    ordered = _in_order_part(share, len(index), codes, random_state)
    binary = bool(np.isin(quality.to_numpy(), (0.0, 1.0)).all())

    exact = binary and codes is None
    base_cost = cost[baseline].to_numpy(dtype=float)
    settings = {"bar": max_quality_loss, "binary": binary, "level": 1 - guarantee, "random_state": random_state}
    tested, testing = _test(table, base_cost, ordered, codes, settings), ~ordered
    passed = [k for k, p in tested if p <= 1 - guarantee]
    means = table.cost[:, testing].mean(axis=1), table.difference[:, testing].mean(axis=1)
    spent = float(base_cost[testing].mean())
    best = min((k for k in passed if means[0][k] < spent), key=lambda k: means[0][k], default=None)
    return Promise(
        option=None if best is None else table.names[best],
        willingness_to_pay=np.nan if best is None else float(table.wtp[best]),
        baseline=baseline,
        max_quality_loss=max_quality_loss,
        guarantee=guarantee,
        cost_usd=spent if best is None else float(means[0][best]),
        baseline_cost_usd=spent,
        quality_difference=0.0 if best is None else float(means[1][best]),
        unguarded_cost_usd=_unguarded(options, table, outcomes, baseline, max_quality_loss),
        n_options=len(options.wtp) + 1 if isinstance(options, Sweep) else len(table.names),
        n_ordering=int(ordered.sum()),
        n_testing=int(testing.sum()),
        n_groups=None if codes is None else len(np.unique(codes[testing])),
        **_needed(table, testing, codes, max_quality_loss, guarantee, exact=exact),
        method="exact score test" if exact else "betting",
        random_state=random_state,
        tested=_tests(table, tested, means, passed),
        slices=None if by is None else _slices(best, table, testing, codes, by, index, guarantee),
        made_on=date.today(),
        test_again=date.today() + timedelta(days=valid_days),
        note=None if codes is None else few_groups_note(codes[testing]),
        provenance=provenance_of(quality, cost),
    )


def check_bar(max_quality_loss: float) -> None:
    """Insist on a finite bar."""
    if not np.isfinite(max_quality_loss):
        msg = f"'max_quality_loss' must be a finite number, e.g. 0.01 for one point. Got {max_quality_loss!r}."
        raise ParameterError(msg)


def _prompts(options: Any) -> tuple[pd.Index, list[Any]]:
    """Return the prompts, and the names of the options (or some points of a sweep)."""
    if isinstance(options, Sweep):
        return options.index, _points(options)
    if not isinstance(options, Mapping) or not options:
        what = type(options).__name__ if not isinstance(options, Mapping) else "an empty mapping"
        reject(
            "'options'", f"expected a Sweep or name -> choices, got {what}.", "Pass router.sweep(X) of tuning prompts."
        )
    first = next(iter(options.values()))
    for name, choices in options.items():
        if not isinstance(choices, pd.Series):
            reject(f"option {name!r}", f"expected choices (prompt_id -> model), got {type(choices).__name__}.", "")
        odd = first.index.symmetric_difference(choices.index)
        if len(odd) or not choices.index.is_unique:
            reject(
                f"option {name!r}",
                f"its prompts differ from the first option's, or appear twice: {shown(odd)}.",
                "Choose once for each of the same prompts.",
            )
    return first.index, list(options)


def _points(sweep: Sweep) -> list[float]:
    """Willingness to pay of some points from the highest to the lowest, evenly along the switches."""
    distinct = np.unique(sweep.wtp)[::-1]
    if not len(distinct):
        return [np.inf]
    taken = np.searchsorted(-sweep.wtp, -distinct, side="right")
    marks = np.linspace(0, len(sweep.wtp), _N_POINTS)
    rows = np.unique(np.searchsorted(np.append(0, taken), marks))
    return [between(np.append(np.inf, distinct), int(row)) for row in rows]


def between(wtp: NDArray[np.float64], row: int) -> float:
    """Willingness to pay that holds at operating point `row` and keeps clear of its two ends."""
    high = wtp[row]
    low = wtp[row + 1] if row + 1 < len(wtp) else 0.0
    if np.isinf(high):
        return 2 * float(low) if low > 0 else float("inf")
    return float(np.sqrt(high * low)) if low > 0 else float(high) / 2


def _outcomes_of(index: pd.Index, quality: Any, cost: Any) -> Outcomes:
    outcomes = check_aligned(quality, cost)
    odd = index.symmetric_difference(outcomes.index)
    if len(odd):
        reject(
            "options and outcomes",
            f"prompt_id {shown(odd)} is in one and not in the other.",
            "Select the same prompts: quality.loc[sweep.index], cost.loc[sweep.index].",
        )
    return outcomes.loc[index]


def _table(options: Any, wanted: list[Any], quality: pd.DataFrame, cost: pd.DataFrame, baseline: str) -> _Options:
    """Score each option on each prompt."""
    q, c, rows = quality.to_numpy(dtype=float), cost.to_numpy(dtype=float), np.arange(len(quality))
    base = q[:, quality.columns.get_loc(baseline)]
    spent, difference = np.empty((len(wanted), len(q))), np.empty((len(wanted), len(q)))
    for k, name in enumerate(wanted):
        choices = options.at(name) if isinstance(options, Sweep) else options[name].reindex(quality.index)
        column = quality.columns.get_indexer(choices)
        if (column < 0).any():
            absent = pd.Index(choices[column < 0].unique())
            reject(
                "options", f"model {shown(absent)} has no outcomes; there are {shown(quality.columns, 20)}.", "Add it."
            )
        spent[k], difference[k] = c[rows, column], q[rows, column] - base
    swept = isinstance(options, Sweep)
    names = [f"willingness to pay {name:.4g}" if swept else str(name) for name in wanted]
    return _Options(names, np.array(wanted if swept else [np.nan] * len(wanted), dtype=float), spent, difference)


def _in_order_part(share: float, n: int, codes: Any, random_state: Any) -> NDArray[np.bool_]:
    """Draw the prompts, in whole groups, that put the options in order."""
    if not 0 <= share < 1:
        msg = f"'ordering' is a share of the prompts, at least 0 and below 1. Got {share!r} instead."
        raise ParameterError(msg)
    units = np.arange(n) if codes is None else codes
    n_units = int(units.max()) + 1 if n else 0
    drawn = np.zeros(n_units, dtype=bool)
    drawn[np.random.default_rng(random_state).permutation(n_units)[: round(share * n_units)]] = True
    return drawn[units]


def _test(
    table: _Options, base_cost: NDArray[np.float64], ordered: NDArray[np.bool_], codes: Any, settings: dict[str, Any]
) -> list[tuple[int, float]]:
    """Test the options in order until the first failure; return the position and the p-value of each."""

    def p_value(k: int, rows: Any) -> float:
        difference, size = table.difference[k][rows], None
        if codes is not None:
            total, size = group_sums(difference, pd.factorize(codes[rows])[0])
            difference = total / size
        return loss_p_value(difference, size=size, **settings)

    tested: list[tuple[int, float]] = []
    for k in _sequence(table, base_cost, ordered, settings["bar"]) if ordered.any() else range(len(table.names)):
        tested.append((k, p_value(k, ~ordered)))
        if tested[-1][1] > settings["level"]:
            break
    return tested


def _sequence(table: _Options, base_cost: NDArray[np.float64], ordered: NDArray[np.bool_], bar: float) -> list[int]:
    """From the safest to the least safe, without those that another beats in both safety and cost."""
    spent, difference = table.cost[:, ordered].mean(axis=1), table.difference[:, ordered]
    n = difference.shape[1]
    # Any order is valid. As there is always more to see, the variance is not taken for less than one whole loss.
    safety = (difference.mean(axis=1) + bar) / np.sqrt((difference.var(axis=1) + 1 / n) / n)
    kept, cheapest = [], float(base_cost[ordered].mean())
    for k in np.lexsort((spent, -safety)):
        if spent[k] < cheapest:
            kept.append(int(k))
            cheapest = spent[k]
    if len(kept) <= _N_POINTS:
        return kept
    return [kept[k] for k in np.unique(np.linspace(0, len(kept) - 1, _N_POINTS).round().astype(int))]


def _unguarded(options: Any, table: _Options, outcomes: Outcomes, baseline: str, bar: float) -> float:
    """Cost of the cheapest option whose estimate reaches the bar."""
    quality, cost = outcomes
    if isinstance(options, Sweep):
        curve = frontier(options, outcomes)
        spent, lead = curve["cost_usd"].to_numpy(), curve["quality"].to_numpy() - quality[baseline].mean()
    else:
        spent, lead = table.cost.mean(axis=1), table.difference.mean(axis=1)
    own = float(cost[baseline].mean())
    return float(min(own, np.where(lead >= -bar - 1e-12, spent, np.inf).min()))


def _needed(
    table: _Options, testing: NDArray[np.bool_], codes: Any, bar: float, guarantee: float, *, exact: bool
) -> dict[str, Any]:
    """Prompts (or groups) that a promise takes: without any loss; and as seen, to be granted in 8 of 10 samples."""
    if bar <= 0:
        return {"n_needed": 0, "n_needed_as_seen": np.nan}
    least = ceil(log(1 - guarantee) / log(1 - bar)) if bar < 1 else 1
    best = table.difference[:, testing]
    row = best[int(best.mean(axis=1).argmax())]
    total, size = group_sums(row, None if codes is None else pd.factorize(codes[testing])[0])
    lead = float(row.mean()) + bar
    score = (total - row.mean() * size) / size.mean()
    quantile = stats.norm.ppf(guarantee) if exact else np.sqrt(2 * log(1 / (1 - guarantee)))
    seen = ((quantile + stats.norm.ppf(0.8)) * score.std() / lead) ** 2 if lead > 0 else np.inf
    return {"n_needed": least, "n_needed_as_seen": float(np.ceil(max(seen, least)))}


def _tests(table: _Options, tested: list[tuple[int, float]], means: Any, passed: list[int]) -> pd.DataFrame:
    rows = [(table.names[k], means[0][k], means[1][k], p, k in passed) for k, p in tested]
    return pd.DataFrame(rows, columns=["option", "cost_usd", "quality_difference", "p_value", "granted"])


def _slices(
    best: int | None,
    table: _Options,
    testing: NDArray[np.bool_],
    codes: Any,
    by: Any,
    index: pd.Index,
    guarantee: float,
) -> pd.DataFrame:
    """Bound the mean difference of every slice at the granted option, held fixed; Bonferroni over the slices."""
    labels = pd.Series(by.reindex(index) if isinstance(by, pd.Series) else np.asarray(by), index=index)
    if labels.isna().any():
        reject("'by'", f"says nothing of prompt_id {shown(index[labels.isna()])}.", "Give every prompt a slice.")
    labels = labels.to_numpy()[testing]
    difference = np.zeros(testing.sum()) if best is None else table.difference[best][testing]
    rows = []
    names = pd.unique(labels)
    for name in names:
        inside = labels == name
        part = None if codes is None else pd.factorize(codes[testing][inside])[0]
        mean, low, _ = mean_interval(difference[inside], part, confidence=1 - 2 * (1 - guarantee) / len(names))
        rows.append((int(inside.sum()), inside.mean(), mean, 0.0 if best is None else low))
    columns = ["n", "share", "quality_difference", "quality_low"]
    return pd.DataFrame(rows, columns=columns, index=pd.Index(names, name="slice")).sort_values("quality_low")
