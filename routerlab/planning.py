"""Before and after a study: what n prompts can prove, and whether routing pays for what it took to prove it."""

from dataclasses import dataclass
from math import ceil, log, log1p
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from routerlab.deprecation import renamed
from routerlab.exceptions import ParameterError
from routerlab.schema import refuse_parameter, reject
from routerlab.stats import check_confidence, check_share, fewest_that_show, fewest_without_loss

__all__ = ["Payback", "StudyPlan", "payback", "plan_study"]

_LARGEST = 10**7  # units above which no search goes on
_DRAWS = 2000  # simulated samples of groups
_MOST_ALIKE = 50  # prompts in a simulated group


@dataclass(frozen=True)
class StudyPlan:
    """What a sample can prove, from `plan_study`.

    Attributes
    ----------
    n : int
        Prompts planned, or the fewest that reach `power` where none were given.
    power : float
        Probability that `n` prompts show non-inferiority.
    n_needed : int, optional
        Fewest prompts that show it with the power asked for; None if the assumed loss is not below the margin.
    n_fewest : int
        Prompts below which not even equal quality on every prompt would show it; a lucky gain may.
    n_promise : int
        Testing prompts below which no promise at this margin can be made (``guarantee=``), even without a loss.
    smallest_saving : float
        Smallest true saving whose interval excludes 0 with the power asked for, from `n` prompts.
    n_for_saving : int, optional
        Prompts whose interval of the `saving` asked about excludes 0 with the power asked for.
    n_labels_with_judge : int, optional
        People's labels that do as much as `n_needed` of them, where a judge labels ten times as many.
    assumptions : str
        What was assumed, in words.
    power_wanted : float
        The power asked for.
    loss : float
        Assumed true loss of mean quality.
    group_size : float
        Prompts per group; figures are whole groups.
    """

    n: int
    power: float
    n_needed: int | None
    n_fewest: int
    n_promise: int
    smallest_saving: float
    n_for_saving: int | None
    n_labels_with_judge: int | None
    margin: float
    confidence: float
    assumptions: str
    power_wanted: float = 0.8
    loss: float = 0.0
    group_size: float = 1.0

    def __repr__(self) -> str:
        """Say what n prompts prove, then how many would."""
        points = f"{100 * self.margin:g} point" + ("" if self.margin == 0.01 else "s")
        wanted = f"{100 * self.power_wanted:g}%"
        if self.n_needed is not None:
            fewest = f"fewest for {wanted}: {self.n_needed:,}"
        elif self.loss < self.margin:
            fewest = f"fewest for {wanted}: more than {_LARGEST:,}, as the assumed loss is so close to the margin"
        else:
            fewest = "no number of prompts would show it: the assumed loss is not below the margin"
        saving = ceil(1000 * self.smallest_saving - 1e-9) / 10  # rounded up: what is printed does show
        groups = f" in {max(int(self.n / self.group_size), 1):,} groups" if self.group_size > 1 else ""
        prompts = f"{self.n:,} prompt{'' if self.n == 1 else 's'}{groups}"
        lines = [
            f"{prompts}: {_chance(self.power)} chance to show non-inferiority at {points}",
            f"{fewest}; below {self.n_fewest:,} not even equal quality on every prompt would show it",
            f"a true saving of {saving:.1f}% or more would show with {wanted} chance",
            *([] if self.n_for_saving is None else [f"{self.n_for_saving:,} prompts show the saving asked about"]),
            f"a promise needs at least {self.n_promise:,} testing prompts",
        ]
        if self.n_labels_with_judge is not None:
            lines.append(
                f"with the judge on ten times as many prompts, {self.n_labels_with_judge:,} of people's labels"
            )
        return "\n".join([*lines, f"assumed: {self.assumptions}"])


def _chance(p: float) -> str:
    """Round to whole percents, but never to a certainty."""
    return "under 1%" if p < 0.01 else "over 99%" if p > 0.99 else f"{p:.0%}"


def fewest_for_promise(max_quality_loss: float, guarantee: float) -> int:
    """Return the fewest testing prompts (or groups) that a promise takes if nothing is ever lost.

    That is the smallest n with ``(1 - max_quality_loss)**n <= 1 - guarantee``: if the true loss were at the bar, so
    many prompts without one would be that unlikely.

    Examples
    --------
    >>> [fewest_for_promise(bar, 0.95) for bar in (0.05, 0.03, 0.02, 0.01)]
    [59, 99, 149, 299]
    """
    if max_quality_loss <= 0:
        return 0
    return ceil(log(1 - guarantee) / log1p(-max_quality_loss)) if max_quality_loss < 1 else 1


@renamed(margin="max_quality_loss")
def plan_study(
    pilot: Any = None,
    *,
    max_quality_loss: float = 0.01,
    n: int | None = None,
    saving: float | None = None,
    discordance: float = 0.1,
    loss: float = 0.0,
    price_ratio: float = 0.1,
    cost_spread: float = 0.7,
    group_size: float = 1.0,
    icc: float = 0.0,
    judge_correlation: float | None = None,
    power: float = 0.8,
    confidence: float = 0.95,
    guarantee: float = 0.95,
) -> StudyPlan:
    """Say what a number of prompts can prove, and how many a proof takes.

    Parameters
    ----------
    pilot : Series or array of shape (n_pilot,), optional
        Paired quality differences (choices less baseline) of a pilot; gives `discordance` and `loss`.
    max_quality_loss : float, default 0.01
        Largest acceptable loss of mean quality, as a share.
    n : int, optional
        Prompts (or people's labels, which are planned alike) that you have. By default as many as reach `power`.
    saving : float, optional
        A true saving, as a share of the baseline's cost: how many prompts show that it is above 0?
    discordance : float, default 0.1
        Share of prompts on which choices and baseline differ by a whole unit of quality; for graded quality the mean
        squared difference.
    loss : float, default 0.0
        Assumed true loss of mean quality.
    price_ratio : float, default 0.1
        Price of the cheaper models relative to the baseline's.
    cost_spread : float, default 0.7
        Standard deviation of the logarithm of the baseline's cost per prompt.
    group_size, icc : float, default 1.0 and 0.0
        Mean prompts per group (conversation, customer), and how much alike they are (intraclass correlation).
    judge_correlation : float, optional
        Correlation between a judge's and people's scores.
    power, confidence, guarantee : float, default 0.8, 0.95 and 0.95
        Probability of a proof, of the intervals, and of a promise.

    Returns
    -------
    StudyPlan

    Raises
    ------
    ValueError
        A number out of range, or differences that are larger than 1.

    Notes
    -----
    Power is that of the interval that `savings` gives. For single prompts it is exact, summed over the outcomes of the
    better and the worse. With groups a group is one piece of evidence, as it is in ``savings(groups=)``: power comes
    from 2,000 simulated samples of groups of equal size whose shares of better and worse differ as `icc` says, and a
    promise needs its groups, however many prompts each has. Figures for savings are by Student's t; more is shown than
    they say where the cheaper models are cheaper on every prompt.

    References
    ----------
    T. Tango, Statistics in Medicine 17, 1998.

    Examples
    --------
    >>> plan_study(max_quality_loss=0.01, n=400, discordance=0.02)
    400 prompts: ...% chance to show non-inferiority at 1 point
    fewest for 80%: ...; below 383 not even equal quality on every prompt would show it
    ...
    """
    margin = check_share(max_quality_loss, "max_quality_loss")
    for name, value in (("power", power), ("confidence", confidence), ("guarantee", guarantee)):
        check_confidence(value, name)
    _check_numbers(discordance=discordance, loss=loss, price_ratio=price_ratio, cost_spread=cost_spread)
    _check_numbers(group_size=group_size, icc=icc)
    optional = {"n": n, "saving": saving, "judge_correlation": judge_correlation}
    _check_numbers(**{name: value for name, value in optional.items() if value is not None})
    if pilot is not None:
        discordance, loss = _from_pilot(pilot)
    _check_together(margin, discordance, loss, saving, price_ratio)
    size, effect = float(group_size), 1 + (group_size - 1) * icc
    shows = _Power(size, icc, margin, discordance, loss, confidence)
    fewest = ceil(size * fewest_without_loss(margin, confidence))
    units = fewest_that_show(lambda units: shows(units) >= power, _LARGEST) if loss < margin else None
    needed = None if units is None else ceil(size * units)
    planned = int(n) if n is not None else (needed or fewest)
    limit, zb = 1 - price_ratio, stats.norm.ppf(power)  # saved if every prompt went to the cheaper models

    def smallest(units: int) -> float:
        spread = (_quantile(units, confidence) + zb) ** 2 * np.exp(cost_spread**2) * effect / size
        return float(limit * spread / (units + spread))

    for_saving = None if saving is None else fewest_that_show(lambda units: smallest(units) <= saving)
    return StudyPlan(
        n=planned,
        power=shows(max(int(planned / size), 1)),
        n_needed=needed,
        n_fewest=fewest,
        n_promise=ceil(size * fewest_for_promise(margin, guarantee)),
        smallest_saving=smallest(max(int(planned / size), 1)),
        n_for_saving=None if for_saving is None else ceil(size * for_saving),
        n_labels_with_judge=_labels(needed, judge_correlation),
        margin=margin,
        confidence=confidence,
        assumptions=f"discordance {discordance:.3g}, true loss {100 * loss:.2g} points, "
        + (f"groups of {size:g} with a correlation of {icc:g}, " if size > 1 else "independent prompts, ")
        + f"costs with a spread of logs of {cost_spread:g}, cheaper models at {price_ratio:.0%} of the price",
        power_wanted=power,
        loss=loss,
        group_size=size,
    )


_RANGES = {  # of numbers that the user gives: least, most, and whether only whole ones count
    "n": (1, 10**9, True),
    "saving": (1e-6, 1 - 1e-6, False),
    "discordance": (0, 1, False),
    "loss": (-1, 1, False),
    "price_ratio": (0, 1 - 1e-6, False),
    "cost_spread": (0, 2.3, False),  # above it, `savings` gives no interval
    "group_size": (1, 10**6, False),
    "icc": (0, 1, False),
    "judge_correlation": (-1, 1, False),
}


def _check_numbers(**given: Any) -> None:
    """Insist on finite numbers in their range; those not in the table must be at least 0."""
    for name, value in given.items():
        least, most, whole = _RANGES.get(name, (0, np.inf, False))
        number = isinstance(value, (int, float, np.number)) and not isinstance(value, (bool, np.bool_))
        if number and np.isfinite(value) and least <= value <= most and not (whole and value % 1):
            continue
        wanted = f"a {'whole' if whole else 'finite'} number "
        if name in ("saving", "price_ratio"):
            wanted += f"{'above' if least else 'of at least'} 0 and below 1"
        else:
            wanted += f"of at least {least:g}" if most == np.inf else f"from {least:,g} to {most:,.10g}"
        refuse_parameter(name, wanted, value)


def _check_together(margin: float, discordance: float, loss: float, saving: float | None, price_ratio: float) -> None:
    """Insist on numbers that are possible side by side."""
    if saving is not None and not saving < 1 - price_ratio:
        most = f"what is saved if all prompts go to models at {price_ratio:.0%} of the price"
        refuse_parameter("saving", f"above 0 and below {1 - price_ratio:g}, {most}", saving)
    if abs(loss) > discordance or margin == 0:
        msg = (
            f"plan_study needs |loss| <= discordance and max_quality_loss > 0. Got loss={loss:g}, "
            f"discordance={discordance:g}, max_quality_loss={margin:g}."
        )
        raise ParameterError(msg)


def _labels(needed: int | None, judge_correlation: float | None) -> int | None:
    """People's labels that do as much as `needed` of them, where a judge labels ten times as many."""
    if needed is None or judge_correlation is None:
        return None
    return ceil(needed * (1 - judge_correlation**2 * 10 / 11))


def _from_pilot(pilot: Any) -> tuple[float, float]:
    try:
        values = np.asarray(pilot, dtype=float).ravel()
    except (TypeError, ValueError):
        values = np.empty(0)  # refused below
    if not len(values) or not (np.abs(values) <= 1).all():
        reject("'pilot'", "must hold finite differences of quality in [-1, 1].", "Pass chosen quality less baseline's.")
    # A pilot without a difference has not shown that there is none: one pseudo-prompt of either sign.
    discordance, loss = float(((values**2).sum() + 1) / (len(values) + 2)), float(-values.mean())
    return max(discordance, abs(loss)), loss  # graded outcomes may vary less than any of -1, 0 and 1


def _quantile(units: int, confidence: float) -> float:
    """Return Student's, at the degrees of freedom that the interval of so many prompts or equal groups has."""
    return float(stats.t.ppf((1 + confidence) / 2, max(units - 1, 1)))


class _Power:
    """Probability that `mean_interval` lies above -margin, given a number of prompts or of equal groups."""

    def __init__(
        self, size: float, icc: float, margin: float, discordance: float, loss: float, confidence: float
    ) -> None:
        self.margin, self.confidence, self.grouped = margin, confidence, size > 1
        self.worse, self.better = (discordance + loss) / 2, (discordance - loss) / 2
        if self.grouped:
            self.values, self.chance = _group_means(size, icc, self.worse, self.better)

    def __call__(self, units: int) -> float:
        return self._of_groups(units) if self.grouped else self._of_prompts(units)

    def _of_prompts(self, n: int) -> float:
        """Sum over the outcomes of -1, 0 and 1."""
        margin, quantile = self.margin, _quantile(n, self.confidence)
        down, up = np.meshgrid(*(_likely(n, p) for p in (self.worse, self.better)), indexing="ij")
        # Tango's restricted estimate of the share of the better, under a mean of -margin.
        linear = -(down + up) + (2 * n - down + up) * margin
        root = np.sqrt(np.maximum(linear**2 + 8 * n * up * margin * (1 - margin), 0.0))
        restricted = (root - linear) / (4 * n)
        score = (up - down + n * margin) / np.sqrt(n * (2 * restricted + margin * (1 - margin)))
        shown = (score >= quantile) & self._beyond_pseudo((up - down), (up + down), n, quantile)
        chance = stats.binom.pmf(down, n, self.worse) * stats.binom.pmf(
            up, np.maximum(n - down, 0), self.better / max(1 - self.worse, 1e-12)
        )
        return float(chance[shown].sum() / chance.sum())

    def _of_groups(self, n: int) -> float:
        """Share of simulated samples of n groups: the test of `mean_interval` for all of them at once."""
        quantile, reach = _quantile(n, self.confidence), 1 - self.margin
        share = np.random.default_rng(0).multinomial(n, self.chance, _DRAWS) / n
        score = self.values + self.margin
        low, high = np.zeros(_DRAWS), np.full(_DRAWS, (1 - 1e-10) / reach)
        for _ in range(30):  # the tilt of empirical likelihood, by bisection
            tilt = (low + high) / 2
            left = (share / (1 + np.outer(tilt, score))) @ score
            low, high = np.where(left > 0, tilt, low), np.where(left > 0, high, tilt)
        tilted = share / (1 + np.outer(low, score))
        variance = tilted @ score**2 + np.maximum(tilted @ score, 0) * reach
        gap = share @ score
        shown = (gap > 0) & (gap**2 >= quantile**2 * variance / n)
        return float(
            (shown & self._beyond_pseudo(n * (share @ self.values), n * (share @ self.values**2), n, quantile)).mean()
        )

    def _beyond_pseudo(self, total: Any, squares: Any, n: int, quantile: float) -> Any:
        """Tell where Student's interval with two pseudo-groups lies above -margin."""
        mean = total / (n + 2)
        spread = np.sqrt(np.maximum(squares + 1 - (n + 2) * mean**2, 0.0))
        return mean - quantile * spread / (n + 2) >= -self.margin


def _likely(n: int, p: float) -> NDArray[np.int64]:
    """Return the counts that are not all but impossible, or some hundreds evenly among them."""
    low, high = stats.binom.ppf([1e-7, 1 - 1e-7], n, p)
    return np.arange(int(low), int(high) + 1, max(int(high - low) // 300, 1))


def _group_means(size: float, icc: float, worse: float, better: float) -> tuple[Any, Any]:
    """Return the mean differences that a group may have, and their chances, if groups differ by Dirichlet's law.

    Groups of a fractional or of a large size are taken for smaller ones, of prompts that are more alike, whose means
    vary as much.
    """
    variance, n = (1 + (size - 1) * icc) / size, min(ceil(size), _MOST_ALIKE)
    alike = np.clip((variance * n - 1) / (n - 1), 1e-6, 1 - 1e-6)
    down, up = (k.ravel() for k in np.meshgrid(np.arange(n + 1), np.arange(n + 1)))
    down, up = down[down + up <= n], up[down + up <= n]
    shares = np.clip([worse, 1 - worse - better, better], 1e-9, 1)
    law = stats.dirichlet_multinomial((1 / alike - 1) * shares / shares.sum(), n)
    chance = np.exp(law.logpmf(np.stack([down, n - down - up, up], axis=1)))
    chance = np.bincount(up - down + n, chance, 2 * n + 1)
    return np.arange(-n, n + 1) / n, chance / chance.sum()


@dataclass(frozen=True)
class Payback:
    """Whether routing pays for itself, from `payback`.

    Attributes
    ----------
    decision : {'go', 'wait', 'stop'}
        'go': the lower end of the saving pays within the horizon, and quality is non-inferior. 'stop': not even the
        upper end pays, or quality is inferior. 'wait': the data do not say yet.
    monthly_usd, monthly_low, monthly_high : float
        Saving per month less running costs, with the saving's interval.
    one_off_usd : float
        Spent once: labels, judge, probes, other.
    months, months_low, months_high : float
        Months until it is paid back; infinite if never.
    n_more : int, optional
        Prompts to add for a decision, where waiting is the advice and more prompts could help.
    """

    decision: str
    monthly_usd: float
    monthly_low: float
    monthly_high: float
    one_off_usd: float
    months: float
    months_low: float
    months_high: float
    horizon_months: float
    n_more: int | None
    why: str
    provenance: str | None = None

    def __repr__(self) -> str:
        """Advice first, then the sums."""
        note = f"\n[{self.provenance}]" if self.provenance else ""
        known = not np.isnan(self.monthly_low)
        usd = f"[{self.monthly_low:,.0f}, {self.monthly_high:,.0f}]" if known else "[no interval]"
        back = "nothing to pay back" if self.one_off_usd == 0 and self.monthly_usd >= 0 else "never paid back"
        if np.isfinite(self.months):
            late = f"{self.months_high:.1f}" if np.isfinite(self.months_high) else "never"
            ends = f"[{self.months_low:.1f}, {late}]" if known else "[no interval]"
            back = f"paid back in {self.months:.1f} months {ends}"
        return (
            f"{self.decision}: {self.why}\n"
            f"{self.monthly_usd:,.0f} USD a month {usd} against {self.one_off_usd:,.0f} USD once: {back}{note}"
        )


def payback(
    claim: Any,
    *,
    requests_per_month: float,
    labels: int = 0,
    usd_per_label: float = 0.5,
    judge_usd: float = 0.0,
    probes_usd: float = 0.0,
    other_usd: float = 0.0,
    router_usd_per_request: float = 0.0,
    monthly_usd: float = 0.0,
    horizon_months: float = 12.0,
) -> Payback:
    """Weigh what routing saves each month against what it costs to know.

    Parameters
    ----------
    claim : Savings
        From `savings`, on held-out prompts.
    requests_per_month : float
        Traffic.
    labels : int, default 0
        People's labels, at `usd_per_label`.
    usd_per_label : float, default 0.5
        Price of one.
    judge_usd, probes_usd, other_usd : float, default 0
        Spent once: judge calls, responses collected to compare models, anything else.
    router_usd_per_request : float, default 0
        The router's own cost, if `claim` does not include it (``savings(router_cost=)``).
    monthly_usd : float, default 0
        Running costs of routing.
    horizon_months : float, default 12
        By when it must have paid.

    Returns
    -------
    Payback

    Raises
    ------
    ParameterError
        An amount that is not a finite number of at least 0.

    Examples
    --------
    >>> import pandas as pd
    >>> from routerlab.evaluation import savings
    >>> quality = pd.DataFrame({"small": 1.0, "gpt-4": 1.0}, index=range(500))
    >>> cost = pd.DataFrame({"small": 0.001, "gpt-4": 0.01}, index=range(500))
    >>> claim = savings(pd.Series("small", index=range(500)), quality, cost, baseline="gpt-4")
    >>> payback(claim, requests_per_month=100_000, labels=500).decision
    'go'
    """
    amounts = {
        "requests_per_month": requests_per_month, "labels": labels, "usd_per_label": usd_per_label,
        "judge_usd": judge_usd, "probes_usd": probes_usd, "other_usd": other_usd,
        "router_usd_per_request": router_usd_per_request, "monthly_usd": monthly_usd, "horizon_months": horizon_months,
    }  # fmt: skip
    _check_numbers(**amounts)
    if not hasattr(claim, "saving_low"):
        refuse_parameter("claim", "what savings(...) returns", claim)
    once = labels * usd_per_label + judge_usd + probes_usd + other_usd
    own = router_usd_per_request * requests_per_month + monthly_usd
    bill = claim.baseline_cost_usd * requests_per_month
    low, middle, high = (bill * share - own for share in (claim.saving_low, claim.saving, claim.saving_high))
    bar = once / max(horizon_months, 1e-12)
    decision, why, more = _decide(claim, (low, high), bar, (bar + own) / bill if bill else np.inf, horizon_months)
    months = [once / value if value > 0 else np.inf for value in (high, middle, low)]
    return Payback(
        decision=decision, monthly_usd=middle, monthly_low=low, monthly_high=high, one_off_usd=once, months=months[1],
        months_low=months[0], months_high=months[2], horizon_months=horizon_months, n_more=more, why=why,
        provenance=claim.provenance,
    )  # fmt: skip


def _decide(
    claim: Any, monthly: tuple[float, float], bar: float, saving: float, horizon: float
) -> tuple[str, str, int | None]:
    """Advice, why, and how many more prompts would settle it; `saving` is the share that pays `bar` USD a month."""
    low, high = monthly
    within = f"within {horizon:g} months"
    whose = f" ({claim.caveat})" if claim.caveat else ""
    if claim.shares.get(claim.baseline, 0) == 1:
        return "stop", f"nothing is routed: all prompts stay with {claim.baseline}", None
    if claim.quality_high < -claim.margin:
        return "stop", f"quality is inferior{whose}", None
    if high < bar or high <= 0:
        return "stop", f"not even the upper end of the saving pays {within}", None
    pays = low >= bar and low > 0
    if claim.non_inferior and pays:
        return "go", f"the lower end of the saving pays {within}, and quality is non-inferior{whose}", None
    wanted = {}
    if not claim.non_inferior:
        wanted[f"quality{whose}"] = _units_needed(claim, "quality", -claim.margin)
    if not pays and np.isfinite(claim.saving_low):
        wanted["the saving"] = _units_needed(claim, "saving", saving)
    elif not pays:
        reasons = [note.split(";")[0] for note in claim.notes if note.startswith("costs are")]
        return "wait", f"the saving is not shown: {(reasons or ['it has no interval'])[0]}", None
    lost = [name for name, units in wanted.items() if not np.isfinite(units)]
    names = " and ".join(lost or wanted)
    verb, its = ("are", "their estimates") if len(lost or wanted) > 1 else ("is", "its estimate")
    if lost:
        return "wait", f"{names} {verb} not shown, and {its} would not pass with more prompts either", None
    units = claim.n if claim.n_groups is None else claim.n_groups
    more = ceil((max(wanted.values()) - units) * claim.n / units)
    added = f"{more:,} more prompt" + ("" if more == 1 else "s")
    if claim.n_people is not None:
        added += ", as large a part of them labelled by people,"
    return "wait", f"{names} {verb} not shown yet; about {added} would do if the estimates stay", more


def _units_needed(claim: Any, what: str, bar: float) -> float:
    """Return the prompts or groups at which the lower end of quality or saving passes `bar` if its estimate stays.

    The interval is that of a score test: its variance is what was seen, and a chance as large as the gap of what was
    not. What was seen follows from the interval that the claim has; an end at the worst possible quality tells nothing.
    """
    units = claim.n if claim.n_groups is None else claim.n_groups
    if what == "quality":
        estimate, low, worst, told = claim.quality_difference, claim.quality_low, -1.0, claim.quality_low > -1
        unseen = float(claim.n_people is None)  # with people's labels the interval is Student's
    else:
        estimate, low, worst, told, unseen = claim.saving, claim.saving_low, 0.0, True, 1.0
    room, gap = estimate - bar, estimate - low
    if room <= 0:
        return float("inf")
    seen = units * gap**2 / _quantile(units, claim.confidence) ** 2 - unseen * gap * max(low - worst, 0.0)
    variance = max(told * seen, 0.0) + unseen * room * max(bar - worst, 0.0)
    found = fewest_that_show(lambda n: n * room**2 >= _quantile(n, claim.confidence) ** 2 * variance, 10**15)
    fewest = claim.n_fewest if what == "quality" and unseen and estimate <= 0 else 0
    return float("inf") if found is None else max(found, fewest, units + 1)
