"""More than the price: seconds and grams in USD, and limits that no money buys off."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from routerlab.decision import Sweep
from routerlab.exceptions import ParameterError
from routerlab.model_selection import NoOperatingPointError, promise
from routerlab.schema import by_prompt, check_aligned, check_matrix, check_outcomes, provenance_of, reject, shown
from routerlab.stats import check_confidence, cluster_df, cost_ends, group_codes, group_sums

_N_POINTS = 40  # of a sweep that limits are checked at
_LIMIT = "the limit"


def full_cost(
    outcomes: pd.DataFrame,
    *,
    usd_per_second: float = 0.0,
    usd_per_kg_co2e: float = 0.0,
    co2e: Literal["low", "high", "middle"] = "high",
) -> pd.DataFrame:
    """Add what waiting and emissions are worth to you to the price, in USD: the one place where costs are added up.

    Parameters
    ----------
    outcomes : DataFrame
        See `routerlab.check_outcomes`; with ``latency_s``, and ``co2e_g_low`` and ``co2e_g_high`` (see `add_carbon`),
        where these are to count.
    usd_per_second : float, default 0
        What a second of waiting costs you.
    usd_per_kg_co2e : float, default 0
        What a kilogram of CO2 equivalents costs you: 0.05 to 0.3 are common prices of carbon.
    co2e : {'low', 'high', 'middle'}, default 'high'
        Which end of the range to count, or the geometric mean of the two.

    Returns
    -------
    DataFrame
        A copy: ``cost_usd`` is the sum, ``price_usd`` the price alone. ``attrs["provenance"]`` names the weights.
        Routers, sweeps, savings and plots take it like any other outcomes. Called again, it starts from ``price_usd``.

    Raises
    ------
    TableError
        A weight without the column that it weighs, or with empty cells: an unknown wait is not a wait of 0.

    Examples
    --------
    >>> row = {"prompt_id": "p", "model": "m", "quality": 1, "cost_usd": 0.01, "latency_s": 3.0}
    >>> full_cost(pd.DataFrame([row]), usd_per_second=0.002)["cost_usd"].tolist()
    [0.016]
    """
    frame = check_outcomes(outcomes)
    weights = {"usd_per_second": usd_per_second, "usd_per_kg_co2e": usd_per_kg_co2e}
    for name, weight in weights.items():
        if not (np.isfinite(weight) and weight >= 0):
            msg = f"'{name}' must be a finite number of at least 0, in USD. Got {weight!r} instead."
            raise ParameterError(msg)
    if co2e not in ("low", "high", "middle"):
        msg = f"'co2e' must be 'low', 'high' or 'middle'. Got {co2e!r} instead."
        raise ParameterError(msg)
    price = frame["price_usd"] if "price_usd" in frame else frame["cost_usd"]
    total, said = price, ["costs: price"]
    if usd_per_second:
        total = total + usd_per_second * _known(frame, "latency_s", "usd_per_second")
        said.append(f"latency at {usd_per_second:g} USD/s")
    if usd_per_kg_co2e:
        low, high = (_known(frame, f"co2e_g_{end}", "usd_per_kg_co2e") for end in ("low", "high"))
        grams = {"low": low, "high": high, "middle": np.sqrt(low * high)}[co2e]
        total = total + usd_per_kg_co2e * grams / 1000
        said.append(f"CO2e ({co2e} end of its range) at {usd_per_kg_co2e:g} USD/kg")
    frame = frame.assign(price_usd=price, cost_usd=total)
    note = "; ".join(
        part for part in (provenance_of(outcomes) or "").split("; ") if not part.startswith("costs: price")
    )
    frame.attrs = {**outcomes.attrs, "provenance": "; ".join(filter(None, [note, " + ".join(said)]))}
    return frame


def _known(frame: pd.DataFrame, column: str, weight: str) -> pd.Series:
    if column not in frame:
        remedy = "Measure it, see add_carbon, or leave the weight at 0."
        reject("outcomes table", f"column '{column}' is missing, and '{weight}' weighs it.", remedy)
    values = pd.to_numeric(frame[column], errors="coerce")
    bad = ~(np.isfinite(values) & (values >= 0))
    if bad.any():
        models = shown(frame.loc[bad, "model"].unique())
        wrong = f"is not known in {bad.sum():,} rows (first: row {frame.index[bad][0]}), of model {models}."
        reject(f"outcomes table, column '{column}'", wrong, f"Leave these models out, or set {weight}=0.")
    return values


def measured_latency(outcomes: pd.DataFrame, *, confidence: float = 0.95) -> pd.DataFrame:
    """Summarise the latency that was measured of each model.

    Parameters
    ----------
    outcomes : DataFrame
        Outcomes or responses with ``model`` and ``latency_s``; empty cells are left out and counted.
    confidence : float, default 0.95
        Of the interval of the 95th percentile, from order statistics: it holds whatever the distribution.

    Returns
    -------
    DataFrame
        Indexed by model: ``n``, ``n_unknown``, ``latency_p50_s``, ``latency_p95_s``, ``latency_p95_low_s``,
        ``latency_p95_high_s`` (infinite where there are too few requests to say).

    Raises
    ------
    TableError
        The outcomes have no column ``latency_s``.

    Examples
    --------
    >>> table = pd.DataFrame({"model": "m", "latency_s": np.arange(1.0, 201.0)})
    >>> measured_latency(table).round(2).loc["m", ["latency_p95_s", "latency_p95_low_s", "latency_p95_high_s"]].tolist()
    [190.05, 184.0, 197.0]
    """
    check_confidence(confidence, "confidence")
    if "latency_s" not in outcomes:
        reject("outcomes table", "column 'latency_s' is missing.", "routerlab.collect_responses measures it.")
    rows = {}
    for model, all_of_it in outcomes.groupby("model", sort=False)["latency_s"]:
        values = np.sort(all_of_it.dropna().to_numpy(float))
        n = len(values)
        edge = stats.binom.ppf([(1 - confidence) / 2, (1 + confidence) / 2], n, 0.95) if n else np.array([0, 0])
        low = values[int(edge[0]) - 1] if n and edge[0] >= 1 else 0.0
        high = values[int(edge[1])] if n and edge[1] < n else np.inf
        p50, p95 = np.percentile(values, [50, 95]) if n else (np.nan, np.nan)
        rows[model] = (n, len(all_of_it) - n, p50, p95, low, high)
    columns = ["n", "n_unknown", "latency_p50_s", "latency_p95_s", "latency_p95_low_s", "latency_p95_high_s"]
    frame = pd.DataFrame.from_dict(rows, orient="index", columns=columns)
    frame.index.name = "model"
    return frame


@dataclass(frozen=True)
class PointWithin:
    """The best operating point of a sweep that keeps to limits.

    Attributes
    ----------
    willingness_to_pay : float
        For ``router.set_params(willingness_to_pay=...)``.
    quality, cost_usd : float
        Means on the tuning prompts.
    late_share : float or None
        Share of requests that took longer than ``max_latency_s``.
    guarantee : float or None
        Probability, over the tuning sample, that the limits hold on prompts like these; None: only seen, not tested.
    """

    willingness_to_pay: float
    quality: float
    cost_usd: float
    late_share: float | None
    max_cost_usd: float | None
    max_latency_s: float | None
    max_late: float
    guarantee: float | None
    n: int
    note: str | None = None
    provenance: str | None = field(default=None, repr=False)

    def __repr__(self) -> str:
        """Say the limits, what was found within them, and what that is worth."""
        limits = _limits(self.max_cost_usd, self.max_latency_s, self.max_late)
        limits = ("for " if self.max_cost_usd is not None else "with ") + limits
        late = "" if self.late_share is None else f", {100 * self.late_share:.1f}% over {self.max_latency_s:g} s"
        worth = "seen on the tuning prompts, not promised"
        if self.guarantee is not None:
            worth = f"the limits hold with {100 * self.guarantee:.5g}% probability over the tuning prompts"
        notes = "".join(f"\n[{text}]" for text in (self.note, self.provenance) if text)
        return (
            f"best quality {limits}: willingness to pay {self.willingness_to_pay:.4g} USD per unit of quality\n"
            f"on {self.n:,} tuning prompts: quality {self.quality:.3f}, {1000 * self.cost_usd:.3g} USD per 1,000 "
            f"requests{late} ({worth}){notes}"
        )


def point_within(
    sweep: Sweep,
    quality: pd.DataFrame,
    cost: pd.DataFrame,
    *,
    max_cost_usd: float | None = None,
    latency: pd.DataFrame | None = None,
    max_latency_s: float | None = None,
    max_late: float = 0.05,
    guarantee: float | None = None,
    groups: Any = None,
    random_state: Any = 0,
) -> PointWithin:
    """Find the operating point of best quality that keeps to a budget, to a limit of latency, or to both.

    Parameters
    ----------
    sweep : Sweep
        ``router.sweep(X)`` on tuning prompts.
    quality, cost : DataFrame of shape (n_prompts, n_models)
        Measured outcomes of the tuning prompts.
    max_cost_usd : float, optional
        Mean USD a request: 0.002 is "at most 2 USD per 1,000 requests".
    latency : DataFrame of shape (n_prompts, n_models), optional
        Seconds a request, e.g. ``outcomes.pivot(index="prompt_id", columns="model", values="latency_s")``.
    max_latency_s : float, optional
        Not more than the share `max_late` of requests may take longer: 2.0 is "p95 under 2 s".
    max_late : float, default 0.05
        That share.
    guarantee : float, optional
        0.95, say: with this probability over the tuning sample, the limits hold for the true means; see
        `routerlab.promise`. Points are tested from the cheapest up, until one fails. By default they need only hold on
        the tuning prompts.
    groups : Series or array of shape (n_prompts,), optional
        Prompts that are not separate evidence; for the guarantee.
    random_state : int or Generator, default 0
        For the guarantee.

    Returns
    -------
    PointWithin
        Its willingness to pay, and what it gave.

    Raises
    ------
    NoOperatingPointError
        A ValueError: no point keeps to the limits, or none can be promised to.

    Notes
    -----
    With both limits and a guarantee, each is tested at half the level. That of latency is a `promise`, and exact. Costs
    have no largest value, so that of a budget rests on Student's t, on the logarithm, and allows for one request of the
    dearest model more than was seen; by simulation it is broken no more often than promised (``tests/market``).

    Examples
    --------
    >>> from routerlab.decision import sweep_estimates
    >>> index = [f"p{k}" for k in range(400)]
    >>> quality = pd.DataFrame({"small": 0.6, "large": 0.9}, index=index)
    >>> cost = pd.DataFrame({"small": 0.001, "large": np.linspace(0.005, 0.015, 400)}, index=index)
    >>> point = point_within(sweep_estimates(quality, cost), quality, cost, max_cost_usd=0.004)
    >>> round(point.cost_usd, 4), round(point.quality, 2)
    (0.0039, 0.74)
    """
    index = sweep.index
    quality, cost = check_aligned(by_prompt(quality).loc[index, sweep.models], by_prompt(cost).loc[index, sweep.models])
    late = _late(latency, max_latency_s, quality)
    if max_cost_usd is None and late is None:
        msg = "point_within needs a limit: 'max_cost_usd', or 'latency' with 'max_latency_s'."
        raise ParameterError(msg)
    if not (0 < max_late < 1) or (max_cost_usd is not None and not (np.isfinite(max_cost_usd) and max_cost_usd > 0)):
        msg = f"'max_late' is a share between 0 and 1, 'max_cost_usd' above 0. Got {max_late!r} and {max_cost_usd!r}."
        raise ParameterError(msg)
    points = _points(sweep)
    seen = _seen(sweep, points, quality, cost, late)
    good = pd.Series(True, index=points)
    if guarantee is None:
        good &= True if max_cost_usd is None else seen["cost_usd"] <= max_cost_usd
        good &= True if late is None else seen["late"] <= max_late
    else:
        check_confidence(guarantee, "guarantee")
        tests = {"guarantee": guarantee, "groups": groups, "random_state": random_state}
        if max_cost_usd is not None and late is not None:
            tests["guarantee"] = (1 + guarantee) / 2
        if max_cost_usd is not None:
            good &= _affordable(sweep, points, cost, max_cost_usd, tests)
        if late is not None:
            good &= _on_time(sweep, points, late, max_late, tests)
    if not good.any():
        _refuse(seen, max_cost_usd, max_latency_s, max_late, guarantee, len(index))
    best = seen[good].sort_values(["quality", "cost_usd"], ascending=[False, True]).iloc[0]
    return PointWithin(
        willingness_to_pay=float(best.name),
        quality=float(best["quality"]),
        cost_usd=float(best["cost_usd"]),
        late_share=None if late is None else float(best["late"]),
        max_cost_usd=max_cost_usd,
        max_latency_s=max_latency_s,
        max_late=max_late,
        guarantee=guarantee,
        n=len(index),
        provenance=provenance_of(quality, cost),
    )


def _seen(
    sweep: Sweep, points: list[float], quality: pd.DataFrame, cost: pd.DataFrame, late: pd.DataFrame | None
) -> pd.DataFrame:
    """Return what each point gives on the tuning prompts."""
    rows, columns = np.arange(len(quality)), quality.columns
    chosen = [columns.get_indexer(sweep.at(wtp)) for wtp in points]

    def means(frame: pd.DataFrame) -> list[float]:
        return [float(frame.to_numpy()[rows, at].mean()) for at in chosen]

    measured = {"quality": means(quality), "cost_usd": means(cost), "late": np.nan if late is None else means(late)}
    return pd.DataFrame(measured, index=points)


def _late(latency: pd.DataFrame | None, limit: float | None, quality: pd.DataFrame) -> pd.DataFrame | None:
    """Return which requests take too long, as 0 and 1."""
    if limit is None:
        return None
    if latency is None:
        reject("'latency'", "is missing.", "Pass seconds, prompts x models: outcomes.pivot(..., values='latency_s').")
    if not (np.isfinite(limit) and limit > 0):
        msg = f"'max_latency_s' must be a number of seconds above 0. Got {limit!r} instead."
        raise ParameterError(msg)
    frame = by_prompt(latency)
    missing = [name for name in quality.columns if name not in frame]
    if missing or not quality.index.isin(frame.index).all():
        lost = missing or list(quality.index[~quality.index.isin(frame.index)])
        reject("'latency'", f"has nothing of {shown(lost)}.", "Measure it, or leave the model out (with_costs).")
    return (check_matrix(frame.loc[quality.index, quality.columns], "latency") > limit).astype(float)


def _points(sweep: Sweep) -> list[float]:
    """Willingness to pay of points from the cheapest to the dearest, evenly along the switches."""
    levels = np.unique(sweep.wtp)
    if not len(levels):
        return [np.inf]
    marks = np.unique(np.linspace(0, len(levels), min(_N_POINTS, len(levels) + 1)).round().astype(int))
    edges = np.concatenate([[levels[0] / 2], np.sqrt(levels[:-1] * levels[1:]), [np.inf]])
    return [float(edge) for edge in edges[marks]]


def _affordable(
    sweep: Sweep, points: list[float], cost: pd.DataFrame, limit: float, settings: dict[str, Any]
) -> NDArray[np.bool_]:
    """Tell which points, from the cheapest up to the first failure, surely cost no more than `limit` on average."""
    codes = group_codes(settings["groups"], sweep.index)
    values, rows = cost.to_numpy(), np.arange(len(cost))
    dear = float(values.max(axis=1).mean())
    passed = np.zeros(len(points), dtype=bool)
    for k, wtp in enumerate(points):
        spent = values[rows, cost.columns.get_indexer(sweep.at(wtp))]
        total, size = group_sums(spent, codes)
        mean = float(spent.mean())
        variance = float(((total - mean * size) ** 2).sum() / size.sum() ** 2 * len(size) / max(len(size) - 1, 1))
        quantile = stats.t.ppf(settings["guarantee"], cluster_df(size))
        if len(size) < 2 or cost_ends(mean, variance, dear, len(size), quantile)[1] > limit:
            break
        passed[k] = True
    return passed


def _on_time(
    sweep: Sweep, points: list[float], late: pd.DataFrame, max_late: float, settings: dict[str, Any]
) -> NDArray[np.bool_]:
    """Tell which points, from the cheapest up to the first failure, are surely late no more often than allowed.

    This is `promise` with being on time for quality, and a baseline that always is, which every point is cheaper than.
    """
    options = {str(k): sweep.at(wtp) for k, wtp in enumerate(points)}
    rank = pd.DataFrame(0.0, index=late.index, columns=late.columns).assign(**{_LIMIT: 1.0})
    scored = (1 - late).assign(**{_LIMIT: 1.0})
    made = promise(options, scored, rank, baseline=_LIMIT, max_quality_loss=max_late, ordering=0.0, **settings)
    passed = made.tested.loc[made.tested["granted"], "option"].astype(int)
    return np.isin(np.arange(len(points)), passed)


def _limits(max_cost_usd: float | None, max_latency_s: float | None, max_late: float) -> str:
    said = []
    if max_cost_usd is not None:
        said.append(f"at most {1000 * max_cost_usd:.4g} USD per 1,000 requests")
    if max_latency_s is not None:
        said.append(f"{'with ' * bool(said)}p{100 * (1 - max_late):g} latency at most {max_latency_s:g} s")
    return " and ".join(said)


def _refuse(
    seen: pd.DataFrame, budget: float | None, seconds: float | None, max_late: float, guarantee: float | None, n: int
) -> None:
    least = [f"{1000 * seen['cost_usd'].min():.3g} USD per 1,000 requests at least"]
    if seconds is not None:
        least.append(f"{100 * seen['late'].min():.1f}% over {seconds:g} s at least")
    what = "keeps to" if guarantee is None else f"can be promised ({100 * guarantee:.5g}%) to keep to"
    msg = (
        f"No operating point of this router {what}: {_limits(budget, seconds, max_late)}. Seen on {n:,} tuning "
        f"prompts: {'; '.join(least)}. Widen the limit, measure more prompts, or leave slow and dear models out: "
        "router.with_costs(exclude=[...])."
    )
    raise NoOperatingPointError(msg)
