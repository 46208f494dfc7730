"""The promise: an operating point whose loss of quality is bounded on prompts that nobody has seen."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from html import escape
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from routerlab.decision import Sweep, draws
from routerlab.evaluation import always, frontier
from routerlab.exceptions import ParameterError
from routerlab.markup import fragment
from routerlab.planning import fewest_for_promise
from routerlab.schema import Outcomes, check_aligned, check_model, models_of, provenance_of, reject, shown
from routerlab.stats import check_confidence, few_groups_note, group_codes, mean_interval, mean_p_value

_N_POINTS = 40  # of a sweep, or tested options, at most: more of them are nearly the same
_ORDERING = 0.2  # share of the prompts that lays the path
_CAUTION = 1.5  # standard errors by which the path takes a loss to be larger than it looks
_STEPS = [step / 20 for step in range(1, 21)]  # shares of the prompts that go on to the next option


@dataclass(frozen=True)
class Promise:
    """What was granted, on which evidence, and where it ends.

    Attributes
    ----------
    option : str or None
        The option that was granted for all prompts; None if none was.
    willingness_to_pay : float
        Of the operating point of a sweep that was granted for all prompts; NaN for named options, and if none was.
    share, share_option, share_willingness_to_pay : float, str or None, float or None
        The next option, granted for this share of the prompts on top: `choose` draws them by their ids. 0 if none was.
    max_quality_loss, guarantee : float
        With probability `guarantee` over the tuning sample, the true mean loss is at most `max_quality_loss`.
    cost_usd, baseline_cost_usd, quality_difference : float
        Means over the testing prompts, the share's in expectation.
    unguarded_cost_usd : float
        Of the cheapest option whose estimate alone reaches the bar.
    n_ordering, n_testing : int
        Prompts that laid the path through the options, and that tested along it.
    n_needed : int
        Testing prompts (groups, if there are some) that the promise needs without a single loss.
    n_needed_as_seen : float
        The same at the mean and spread of the best option seen; infinite if that one loses more than the bar.
    tested : DataFrame
        One row for each option on the path, at the largest share tested: ``option, share, cost_usd,
        quality_difference, p_value, granted``.
    slices : DataFrame or None
        ``n, share, quality_difference, quality_low`` of each slice, at the option that was granted. Bounds allow for
        the number of slices (Bonferroni), not for the option's having been picked on the same prompts. A slice of
        fewer than `n_needed` prompts could not show the bar even without a loss: it is said to be too small to tell.
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
    random_state: Any
    share: float
    share_option: str | None
    share_willingness_to_pay: float | None
    tested: pd.DataFrame = field(repr=False, compare=False)
    slices: pd.DataFrame | None = field(repr=False, compare=False)
    made_on: date
    test_again: date
    note: str | None = None
    provenance: str | None = None

    @property
    def granted(self) -> bool:
        """Whether an option was granted for all prompts; if not, there may still be a `share`."""
        return self.option is not None

    @property
    def keeps_baseline(self) -> bool:
        """Whether every prompt stays with the baseline."""
        return not (self.granted or self.share)

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
            Model names; the baseline for all if nothing was granted. Where a share was, `draws` of the prompt ids say
            which prompts it is: the same ones each time.
        """
        kept = self._choices(options, self.option, self.willingness_to_pay)
        if not self.share:
            return kept
        onward = self._choices(options, self.share_option, self.share_willingness_to_pay)
        return onward.where(draws(kept.index) < self.share, kept)

    def _choices(self, options: Sweep | Mapping[str, pd.Series], option: str | None, wtp: Any) -> pd.Series:
        if isinstance(options, Sweep):
            return options.at(wtp) if option is not None else always(self.baseline, options.index)
        return always(self.baseline, next(iter(options.values())).index) if option is None else options[option]

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

        Raises
        ------
        ParameterError
            The promise was made without slices, or without one of these.
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
        if not self.keeps_baseline:
            rest = self.option or self.baseline
            where = f"{100 * self.share:.0f}% of prompts at {self.share_option}, the others at {rest}"
            lines = [
                f"saves {100 * self.saving:.0f}% of cost against {self.baseline} ({1000 * self.cost_usd:.3g} instead "
                f"of {usd:.3g} USD per 1,000 requests) at {where if self.share else self.option}",
                f"promise: with {100 * self.guarantee:.5g}% probability over the tuning sample, quality falls by at "
                f"most {bar} on average; seen: {100 * self.quality_difference:+.1f} points",
            ]
            if self.option is None:
                lines.append(f"all prompts would take more testing {unit}: {as_seen}")
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
            f"{self.n_ordering:,} others put them in order"
        )
        if self.slices is not None and not self.keeps_baseline:
            said = _said_of_slices(self.slices, self.n_needed)
            lines.append(f"{said} ({100 * self.guarantee:.5g}% over all slices, this option held fixed)")
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
        return fragment(f"<div><strong>{first}</strong><br>" + "<br>".join(rest) + "</div>")


def _said_of_slices(slices: pd.DataFrame, n_needed: int) -> str:
    """Name the slice with the lowest bound; where it is too small to tell, the worst of the others as well."""

    def said(part: pd.DataFrame, bound: str) -> str:
        row = part.loc[part["quality_low"].idxmin()]
        seen, low = 100 * row["quality_difference"], 100 * row["quality_low"]
        return f"{row.name} (n = {row['n']:,.0f}): seen {seen:+.1f}, {bound} {low:+.1f} points"

    enough = slices[slices["n"] >= n_needed]
    if slices["quality_low"].idxmin() in enough.index:
        return f"worst of {len(slices):,} slices: {said(slices, 'at least')}"
    text = f"least certain slice of {len(slices):,}: {said(slices, 'bound')}: too few to say"
    if not len(enough):
        return text
    return f"{text}; worst of the others with {n_needed:,} prompts or more: {said(enough, 'at least')}"


class Options(NamedTuple):
    """Options on the same prompts: cost and quality, both less the baseline's."""

    names: list[str]
    wtp: NDArray[np.float64]
    cost: NDArray[np.float64]  # of shape (n_options, n_prompts)
    difference: NDArray[np.float64]
    swept: bool  # points of one sweep, from the highest willingness to pay down


class Place(NamedTuple):
    """On the path: a share of the prompts has gone on to the next option, the others are at the one before."""

    kept: int | None  # None: the baseline
    next: int
    share: float
    p_value: float

    def of(self, values: Any) -> NDArray[np.float64]:
        """Mix rows of values (costs or differences), one for each option."""
        kept = 0.0 if self.kept is None else values[self.kept]
        return kept + self.share * (values[self.next] - kept)


class Found(NamedTuple):
    """What was tested, where; what passed; and the cheapest of that, unless the baseline is."""

    testing: NDArray[np.bool_]
    tested: list[Place]
    granted: list[Place]
    best: Place | None


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
    ordering: float | Any = None,
    valid_days: int = 90,
    random_state: Any = 0,
) -> Promise:
    """Grant the cheapest option that can be promised to lose little, or keep the baseline.

    Learn then test: a fifth of the prompts lays a path from the baseline through the options that save most for what
    they lose. Along it, share by share of the prompts goes on to the next option, and each step is tested on the other
    prompts at level 1 - `guarantee`, until the first failure. However many options there are, the probability that a
    step is granted whose true mean loss exceeds the bar is at most 1 - `guarantee`, as far as `routerlab.stats.
    mean_p_value` holds. With fewer prompts than `n_needed`, the baseline is kept.

    Parameters
    ----------
    options : Sweep or mapping of str to Series
        ``router.sweep(X)`` on tuning prompts, which the router's fit has not seen; or named choices (prompt_id ->
        model).
        An option of any kind (a model, a cascade, an offer) is a column of `quality` and `cost`.
    quality, cost : DataFrame of shape (n_prompts, n_models), cost optional with Outcomes
        Measured outcomes of the tuning prompts.
    baseline : str
        The model that is paid for today. Keeping it is always a valid answer.
    max_quality_loss : float, default 0.01
        Mean quality may fall below the baseline's by this much.
    guarantee : float, default 0.95
        Probability, over the tuning sample, that the promise holds.
    groups : Series or array of shape (n_prompts,), optional
        Prompts that are not separate evidence: of one conversation, customer, or text.
    by : Series or array of shape (n_prompts,), optional
        Slices (intents, customers) whose differences are bounded as well, so that a mean can't hide the worst one.
    ordering : float or array of bool, optional
        Share of the prompts (groups) that lays the path, or which ones do; by default 0.2, or 0 if there is one option.
        0: the path goes through the options in the order given, and all prompts test.
    valid_days : int, default 90
        After these, the result asks to be tested again.
    random_state : int or Generator, default 0
        Draws the prompts that lay the path.

    Returns
    -------
    Promise
        Frozen; prints what it granted and where that ends.

    Notes
    -----
    The promise is of the router that made the sweep. An out-of-fold sweep (`cross_sweep`) is of as many routers as
    there are folds: what two folds like by luck they confirm to each other, and the router that is fitted on all
    prompts may do what none of them did.
    `held_out_choices` takes folds (`routerlab.model_selection.promise_folds`) that test one router.

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
    ('small', 0.8, 480)
    """
    check_confidence(guarantee, "guarantee")
    check_bar(max_quality_loss)
    index = _prompts(options)
    outcomes = _outcomes_of(index, quality, cost)
    quality, cost = outcomes
    check_model(baseline, models_of(quality), "baseline")
    table = options_table(options, quality, cost, baseline)
    codes = group_codes(groups, index)
    if codes is not None and codes.max(initial=-1) + 1 == len(codes):
        codes = None  # every prompt is its own group
    found = learn_then_test(
        table, codes, max_quality_loss, guarantee=guarantee, ordering=ordering, random_state=random_state
    )
    testing, best = found.testing, found.best
    kept, onward = (None, None) if best is None else (best.kept, best.next) if best.share < 1 else (best.next, None)
    spent = float(cost[baseline].to_numpy(dtype=float)[testing].mean())
    lead = np.zeros(len(index)) if best is None else best.of(table.difference)
    return Promise(
        option=None if kept is None else table.names[kept],
        willingness_to_pay=np.nan if kept is None else float(table.wtp[kept]),
        share=0.0 if best is None or onward is None else float(best.share),
        share_option=None if onward is None else table.names[onward],
        share_willingness_to_pay=float(table.wtp[onward]) if onward is not None and table.swept else None,
        baseline=baseline,
        max_quality_loss=max_quality_loss,
        guarantee=guarantee,
        cost_usd=spent if best is None else spent + float(best.of(table.cost)[testing].mean()),
        baseline_cost_usd=spent,
        quality_difference=float(lead[testing].mean()),
        unguarded_cost_usd=_unguarded(options, table, outcomes, baseline, max_quality_loss),
        n_options=len(options.wtp) + 1 if isinstance(options, Sweep) else len(table.names),
        n_ordering=int((~testing).sum()),
        n_testing=int(testing.sum()),
        n_groups=None if codes is None else len(np.unique(codes[testing])),
        n_needed=fewest_for_promise(max_quality_loss, guarantee),
        n_needed_as_seen=_needed(table, testing, codes, max_quality_loss, guarantee, onward),
        random_state=random_state,
        tested=_tests(table, found, spent),
        slices=None if by is None else _slices(lead, best is None, testing, codes, by, index, guarantee),
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


def _prompts(options: Any) -> pd.Index:
    """Return the prompts of the options, which must be the same ones."""
    if isinstance(options, Sweep):
        return options.index
    if not isinstance(options, Mapping) or not options:
        what = type(options).__name__ if not isinstance(options, Mapping) else "an empty mapping"
        reject(
            "'options'", f"expected a Sweep or name -> choices, got {what}.", "Pass router.sweep(X) of tuning prompts."
        )
    first = next(iter(options.values()))
    for name, choices in options.items():
        if not isinstance(choices, pd.Series):
            reject(f"option {name!r}", f"expected choices (prompt_id -> model), got {type(choices).__name__}.", "")
        if not choices.index.equals(first.index) or not choices.index.is_unique:
            odd = first.index.symmetric_difference(choices.index)
            if not len(odd) and choices.index.is_unique:
                continue
            reject(
                f"option {name!r}",
                f"its prompts differ from the first option's, or appear twice: {shown(odd)}.",
                "Choose once for each of the same prompts.",
            )
    return first.index


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


def options_table(options: Any, quality: pd.DataFrame, cost: pd.DataFrame, baseline: str) -> Options:
    """Score each option on each prompt."""
    wanted = _points(options) if isinstance(options, Sweep) else list(options)
    parts = [options.at(name) if isinstance(options, Sweep) else options[name] for name in wanted]
    same = [part if part.index.equals(quality.index) else part.reindex(quality.index) for part in parts]
    code, chosen = pd.factorize(pd.concat(same, ignore_index=True), use_na_sentinel=False)
    column = quality.columns.get_indexer(chosen)
    if (column < 0).any():
        absent, known = shown(pd.Index(chosen)[column < 0]), shown(quality.columns, 20)
        reject("options", f"model {absent} has no outcomes; there are {known}.", "Add it.")
    column = column[code].reshape(len(wanted), len(quality))
    own, rows = quality.columns.get_loc(baseline), np.arange(len(quality))
    paid, difference = (
        (values - values[:, [own]])[rows, column]
        for values in (cost.to_numpy(dtype=float), quality.to_numpy(dtype=float))
    )
    swept = isinstance(options, Sweep)
    names = [f"willingness to pay {name:.4g}" if swept else str(name) for name in wanted]
    return Options(names, np.array(wanted if swept else [np.nan] * len(wanted), dtype=float), paid, difference, swept)


def _in_order_part(share: float, n: int, codes: Any, random_state: Any) -> NDArray[np.bool_]:
    """Draw the prompts, in whole groups, that lay the path."""
    if np.ndim(share):
        given = np.asarray(share)
        if given.shape != (n,) or given.dtype != bool or given.all():
            reject("'ordering'", f"has shape {given.shape} of {given.dtype}.", f"Give {n} bools, not all of them true.")
        return given
    if not 0 <= share < 1:
        msg = f"'ordering' is a share of the prompts, at least 0 and below 1. Got {share!r} instead."
        raise ParameterError(msg)
    units = np.arange(n) if codes is None else codes
    n_units = int(units.max()) + 1 if n else 0
    drawn = np.zeros(n_units, dtype=bool)
    drawn[np.random.default_rng(random_state).permutation(n_units)[: round(share * n_units)]] = True
    return drawn[units]


def learn_then_test(
    table: Options,
    codes: Any,
    bar: float,
    *,
    guarantee: float = 0.95,
    ordering: float | Any = None,
    random_state: Any = 0,
) -> Found:
    """Lay a path on some prompts, and walk it on the others."""
    n_options, n = table.cost.shape
    share = (0.0 if n_options == 1 else _ORDERING) if ordering is None else ordering
    testing = ~_in_order_part(share, n, codes, random_state)
    path = list(range(n_options)) if testing.all() else _path(table, ~testing, codes)
    tested, granted = _walk(table, path, testing, codes, bar, guarantee)
    change = [float(at.of(table.cost)[testing].mean()) for at in granted]
    return Found(testing, tested, granted, granted[int(np.argmin(change))] if min(change, default=0.0) < 0 else None)


def _part(codes: Any, rows: NDArray[np.bool_]) -> Any:
    return None if codes is None else pd.factorize(codes[rows])[0]


def _sums(values: NDArray[np.float64], codes: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Sum rows of values over groups of columns, and count the columns of each group."""
    if codes is None:
        return values, np.ones(values.shape[1])
    order, size = np.argsort(codes, kind="stable"), np.bincount(codes)
    return np.add.reduceat(values[:, order], np.append(0, size.cumsum()[:-1]), axis=1), size.astype(float)


def _path(table: Options, rows: NDArray[np.bool_], codes: Any) -> list[int]:
    """Lead from the baseline through the options that save most for what they may lose, ever more dearly.

    These are the corners of the hull of savings over losses, each loss taken for larger than it looks. As there is
    always more to see, its variance is not taken for less than one whole loss. Of a sweep, whose points lie close, the
    first corner and all points after it.
    """
    total, size = _sums(table.difference[:, rows], _part(codes, rows))
    loss, n = -total.sum(axis=1) / size.sum(), len(size)
    score = (total + loss[:, None] * size) / size.mean()
    loss = loss + _CAUTION * np.sqrt((score.var(axis=1) + 1 / n) / n)
    saved = -table.cost[:, rows].mean(axis=1)
    path: list[int] = []
    at = (0.0, 0.0)
    while (further := saved > at[1]).any() and len(path) < _N_POINTS:
        rate = np.where(further, (loss - at[0]) / np.where(further, saved - at[1], 1.0), np.inf)
        path.append(int(rate.argmin()))
        at = loss[path[-1]], saved[path[-1]]
        if table.swept:
            return list(range(path[0], len(saved)))
    return path


def _walk(
    table: Options, path: list[int], testing: NDArray[np.bool_], codes: Any, bar: float, guarantee: float
) -> tuple[list[Place], list[Place]]:
    """Test step by step until the first failure; return the last step of each option, and all that was granted."""
    total, size = _sums(table.difference[path][:, testing], _part(codes, testing))
    means = dict(zip(path, total / size, strict=True))
    tested: list[Place] = []
    granted: list[Place] = []

    def tried(place: Place) -> Place:
        low = -place.share if place.kept is None else -1.0
        return place._replace(p_value=mean_p_value(place.of(means), -bar, low=low, size=size))

    kept = None
    for k in path:
        # Points of a sweep lie close: only from the baseline to the first of them is it worth going share by share.
        by_share = len(size) >= fewest_for_promise(bar, guarantee) and (kept is None or not table.swept)
        places = [Place(kept, k, share, np.nan) for share in (_STEPS if by_share else [1.0])]
        if kept is None:  # to test a share is to test a wider bar: p-values rise, and not each has to be tried
            n_passed = bisect_right(places, 1 - guarantee, key=lambda place: tried(place).p_value)
        else:
            n_passed = next((i for i, at in enumerate(places) if tried(at).p_value > 1 - guarantee), len(places))
        granted += map(tried, places[:n_passed][-1:])
        tested += map(tried, places[: n_passed + 1][-1:])
        if n_passed < len(places):
            break
        kept = k
    return tested, granted


def _unguarded(options: Any, table: Options, outcomes: Outcomes, baseline: str, bar: float) -> float:
    """Cost of the cheapest option whose estimate reaches the bar."""
    quality, cost = outcomes
    if isinstance(options, Sweep):
        curve = frontier(options, outcomes)
        spent, lead = curve["cost_usd"].to_numpy(), curve["quality"].to_numpy() - quality[baseline].mean()
    else:
        spent, lead = table.cost.mean(axis=1) + cost[baseline].mean(), table.difference.mean(axis=1)
    own = float(cost[baseline].mean())
    return float(min(own, np.where(lead >= -bar - 1e-12, spent, np.inf).min()))


def _needed(
    table: Options, testing: NDArray[np.bool_], codes: Any, bar: float, guarantee: float, which: int | None
) -> float:
    """Prompts (or groups) that an option takes (the best one by default), to be granted in 8 of 10 samples."""
    difference = table.difference[:, testing]
    if bar <= 0 or not difference.size:
        return np.nan
    row = difference[int(difference.mean(axis=1).argmax()) if which is None else which]
    total, size = _sums(row[None], _part(codes, testing))
    lead = float(row.mean()) + bar
    score = (total[0] - row.mean() * size) / size.mean()
    quantile = stats.norm.ppf(guarantee) + stats.norm.ppf(0.8)
    seen = (quantile * score.std() / lead) ** 2 if lead > 0 else np.inf
    return float(np.ceil(max(seen, fewest_for_promise(bar, guarantee))))


def _tests(table: Options, found: Found, spent: float) -> pd.DataFrame:
    rows = [
        (
            table.names[at.next],
            at.share,
            spent + at.of(table.cost)[found.testing].mean(),
            at.of(table.difference)[found.testing].mean(),
            at.p_value,
            at in found.granted,
        )
        for at in found.tested
    ]
    columns = ["option", "share", "cost_usd", "quality_difference", "p_value", "granted"]
    return pd.DataFrame(rows, columns=columns)


def _slices(
    lead: NDArray[np.float64],
    kept: bool,
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
    difference = lead[testing]
    rows = []
    names = pd.unique(labels)
    for name in names:
        inside = labels == name
        part = None if codes is None else pd.factorize(codes[testing][inside])[0]
        mean, low, _ = mean_interval(difference[inside], part, confidence=1 - 2 * (1 - guarantee) / len(names))
        rows.append((int(inside.sum()), inside.mean(), mean, 0.0 if kept else low))
    columns = ["n", "share", "quality_difference", "quality_low"]
    return pd.DataFrame(rows, columns=columns, index=pd.Index(names, name="slice")).sort_values("quality_low")
