"""The exact cost-quality frontier, its hull, and what to compare it with."""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats
from scipy.optimize import isotonic_regression

from routerlab.decision import Sweep, quick_order
from routerlab.evaluation._scoring import align, check_choices, last_of_equal, running
from routerlab.schema import Outcomes, check_aligned, provenance_of, reject
from routerlab.stats import (
    bounded_ends,
    check_confidence,
    cluster_df,
    cost_ends,
    few_groups_note,
    group_codes,
    skewed_note,
)


def frontier(
    sweep: Sweep | pd.Series,
    quality: pd.DataFrame | Outcomes,
    cost: pd.DataFrame | None = None,
    *,
    ci: bool = False,
    confidence: float = 0.95,
    max_points: int | None = None,
    groups: Any = None,
    missing: bool = False,
) -> pd.DataFrame:
    """Measure every operating point of a router: what it costs and what it is worth.

    Parameters
    ----------
    sweep : Sweep or Series
        ``router.sweep(X)``, or one set of choices (prompt_id -> model), which gives one row.
    quality, cost : DataFrame of shape (n_prompts, n_models), cost optional with Outcomes
        Measured quality in [0, 1] and cost in USD per request, of the same prompts.
    ci : bool, default False
        Add pointwise intervals of both means over prompts: ``cost_low``, ``cost_high``,
        ``quality_low``, ``quality_high``. The router is held fixed; each interval is for one
        operating point that was named in advance, not for the best of them. Costs too unequal for an interval leave
        NaN, and ``attrs["note"]`` says how many prompts would do.
    confidence : float, default 0.95
        Of those intervals.
    max_points : int, optional
        Thin to about this many rows for display, evenly along the cost; the first and the last row stay.
    groups : Series or array of shape (n_prompts,), optional
        Conversation, customer or text of each prompt, where prompts of a group are not independent; for `ci`.
    missing : bool, default False
        Whether outcomes may be empty: the known ones of a model then stand for all prompts to which it is given.

    Returns
    -------
    DataFrame
        One row for each distinct operating point, from infinite willingness to pay down:
        ``willingness_to_pay``, ``cost_usd`` (mean per request), ``quality`` (mean).

    Raises
    ------
    TableError
        If prompts or models of the sweep and the outcomes differ.

    Examples
    --------
    >>> from routerlab.decision import sweep_estimates
    >>> quality = pd.DataFrame({"small": [0.0, 1.0], "large": [1.0, 1.0]}, index=["p1", "p2"])
    >>> cost = pd.DataFrame({"small": [0.001, 0.001], "large": [0.01, 0.01]}, index=["p1", "p2"])
    >>> frontier(sweep_estimates(quality, cost), quality, cost)[["cost_usd", "quality"]].round(4).values.tolist()
    [[0.0055, 1.0], [0.001, 0.5]]
    """
    check_confidence(confidence)
    if not isinstance(sweep, Sweep):
        sweep = _constant_sweep(check_choices(sweep))
    outcomes = check_aligned(quality, cost, missing=missing)
    scored = align(sweep.index, sweep.models, outcomes, missing=missing)
    order = scored.models.get_indexer(sweep.models)
    in_order = np.array_equal(order, np.arange(len(scored.models)))
    last = last_of_equal(sweep.wtp)
    columns: dict[str, Any] = {"willingness_to_pay": np.append(np.inf, sweep.wtp[last])}
    codes = group_codes(groups, sweep.index)
    means = [
        running(sweep, values if in_order else values[:, order], last, ci, codes)
        for values in (scored.cost, scored.quality)
    ]
    columns |= {"cost_usd": means[0].mean, "quality": means[1].mean}
    if ci:
        ends, said = _ends(means, scored.cost[:, order].max(axis=1), codes, confidence)
        columns |= ends
    curve = pd.DataFrame(columns)
    curve.attrs = {"n": len(sweep.index), "n_abstained": int(sweep.abstained.sum()), "n_points": len(curve)}
    if ci:
        curve.attrs |= {"confidence": confidence, "interval": "pointwise, over prompts, router held fixed"} | said
    note = provenance_of(outcomes) or sweep.provenance
    if note:
        curve.attrs["provenance"] = note
    return curve if max_points is None else _thin(curve, max_points)


def _ends(
    means: list[Any], dearest: NDArray[np.float64], codes: NDArray[np.intp] | None, confidence: float
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Columns of the intervals, and what to say of them; `dearest`: what each prompt's dearest model in use costs."""
    size = np.ones(len(dearest)) if codes is None else np.bincount(codes).astype(float)
    quantile = stats.t.ppf((1 + confidence) / 2, cluster_df(size))
    spent, gained = means
    low, high = cost_ends(spent.mean, spent.variance, float(np.nanmean(dearest)), len(size), quantile)
    skewed = skewed_note(dearest, codes)
    if skewed:
        low, high = np.full((2, len(low)), np.nan)
    worst, best = bounded_ends(gained.mean, gained.variance, len(size), quantile)
    said = {"n_groups": len(size)} if codes is not None else {}
    notes = "; ".join(note for note in (few_groups_note(codes), skewed) if note)
    ends = {"cost_low": low, "cost_high": high, "quality_low": worst, "quality_high": best}
    return ends, said | ({"note": notes} if notes else {})


def _constant_sweep(choices: pd.Series) -> Sweep:
    position, models = pd.factorize(choices)
    none = np.empty(0, dtype=np.int32)
    abstained = np.zeros(len(choices), dtype=bool)
    return Sweep(choices.index, pd.Index(models), position, none, none, none, np.empty(0), abstained)


def _thin(curve: pd.DataFrame, max_points: int) -> pd.DataFrame:
    if len(curve) <= max_points:
        return curve
    grid = np.linspace(curve["cost_usd"].min(), curve["cost_usd"].max(), max_points)
    kept = np.searchsorted(-np.minimum.accumulate(curve["cost_usd"].to_numpy()), -grid).clip(0, len(curve) - 1)
    rows = np.unique(np.concatenate([kept, [0, len(curve) - 1]]))
    thinned = curve.iloc[rows].reset_index(drop=True)
    thinned.attrs = {**curve.attrs, "thinned_from": len(curve)}
    return thinned


def hull(cost: Any, quality: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Vertices of the non-decreasing upper convex hull of points in the cost-quality plane.

    Mixing two operating points at random reaches every point between them, so the hull is what a
    router can reach. It is the least concave majorant of the points that set a new best quality
    as cost rises, which is an isotonic regression of their slopes: O(n log n).

    Parameters
    ----------
    cost, quality : array of shape (n_points,)
        USD per request, and quality.

    Returns
    -------
    cost, quality : ndarray of shape (n_vertices,)
        Increasing in both.

    Raises
    ------
    TableError
        Costs and qualities that are not as many finite numbers of each.

    References
    ----------
    Hu et al. (2024), RouterBench: A Benchmark for Multi-LLM Routing Systems, arXiv:2403.12031.

    Examples
    --------
    >>> x, y = hull([1, 2, 3, 4], [0.5, 0.5, 0.9, 0.8])
    >>> x.tolist(), y.tolist()
    ([1.0, 3.0], [0.5, 0.9])
    """
    x, y = np.asarray(cost, dtype=float).ravel(), np.asarray(quality, dtype=float).ravel()
    if len(x) != len(y) or not len(x) or not (np.isfinite(x).all() and np.isfinite(y).all()):
        reject("hull", f"got {len(x)} costs and {len(y)} qualities.", "Pass as many finite numbers of each.")
    order = quick_order(x, -y)  # by cost, the best quality first among equals
    x, y = x[order], y[order]
    record = np.append(True, y[1:] > np.maximum.accumulate(y)[:-1])
    x, y = x[record], y[record]
    if len(x) < 3:
        return x, y
    width = np.diff(x)
    blocks = isotonic_regression(np.diff(y) / width, weights=width, increasing=False).blocks
    return x[blocks], y[blocks]
