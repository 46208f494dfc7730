"""The exact cost-quality frontier, its hull, and what to compare it with."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression

from routerlab.decision import Sweep, best_first
from routerlab.evaluation._scoring import (
    align,
    check_confidence,
    half_width,
    last_of_equal,
    mean_interval,
    running,
    score_choices,
)
from routerlab.schema import check_aligned, check_model, provenance_of, reject


def frontier(
    sweep: Sweep | pd.Series,
    quality: pd.DataFrame,
    cost: pd.DataFrame,
    *,
    ci: bool = False,
    confidence: float = 0.95,
    max_points: int | None = None,
) -> pd.DataFrame:
    """Measure every operating point of a router: what it costs and what it is worth.

    Parameters
    ----------
    sweep : Sweep or Series
        ``router.sweep(X)``, or one set of choices (prompt_id -> model), which gives one row.
    quality, cost : DataFrame of shape (n_prompts, n_models)
        Measured quality in [0, 1] and cost in USD per request, of the same prompts.
    ci : bool, default False
        Add pointwise Student-t intervals of both means over prompts: ``cost_low``, ``cost_high``,
        ``quality_low``, ``quality_high``. The router is held fixed; each interval is for one
        operating point that was named in advance, not for the best of them.
    confidence : float, default 0.95
        Of those intervals.
    max_points : int, optional
        Thin to about this many rows for display, evenly along the cost; the first and the last row stay.

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
    if isinstance(sweep, pd.Series):
        sweep = _constant_sweep(sweep)
    scored = align(sweep.index, sweep.models, quality, cost)
    order = scored.models.get_indexer(sweep.models)
    in_order = np.array_equal(order, np.arange(len(scored.models)))
    last = last_of_equal(sweep.wtp)
    columns: dict[str, Any] = {"willingness_to_pay": np.append(np.inf, sweep.wtp[last])}
    for name, values in (("cost", scored.cost), ("quality", scored.quality)):
        mean, variance = running(sweep, values if in_order else values[:, order], last, variance=ci)
        columns["cost_usd" if name == "cost" else name] = mean
        if ci:
            half = half_width(variance, len(sweep.index), confidence)
            columns |= {f"{name}_low": mean - half, f"{name}_high": mean + half}
    curve = pd.DataFrame(columns)
    curve.attrs = {"n": len(sweep.index), "n_abstained": int(sweep.abstained.sum()), "n_points": len(curve)}
    if ci:
        curve.attrs |= {"confidence": confidence, "interval": "pointwise Student t over prompts, router held fixed"}
    note = provenance_of(quality, cost) or sweep.provenance
    if note:
        curve.attrs["provenance"] = note
    return curve if max_points is None else _thin(curve, max_points)


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
    order = np.lexsort((-y, x))  # by cost, the best quality first among equals
    x, y = x[order], y[order]
    record = np.append(True, y[1:] > np.maximum.accumulate(y)[:-1])
    x, y = x[record], y[record]
    if len(x) < 3:
        return x, y
    width = np.diff(x)
    blocks = isotonic_regression(np.diff(y) / width, weights=width, increasing=False).blocks
    return x[blocks], y[blocks]


def oracle(quality: pd.DataFrame, cost: pd.DataFrame) -> pd.Series:
    """Choose with hindsight: each prompt's best quality, the cheapest among equals.

    Returns
    -------
    Series of shape (n_prompts,)
        Model names.

    Examples
    --------
    >>> quality = pd.DataFrame({"small": [1.0, 0.0], "large": [1.0, 1.0]})
    >>> oracle(quality, pd.DataFrame({"small": [0.1, 0.1], "large": [1.0, 1.0]})).tolist()
    ['small', 'large']
    """
    quality, cost = check_aligned(quality, cost)
    position = best_first(quality.to_numpy(dtype=float), cost.to_numpy(dtype=float))
    return pd.Series(quality.columns.to_numpy()[position], index=quality.index, name="model")


def always(model: str, index: pd.Index) -> pd.Series:
    """Choose one model for every prompt.

    Examples
    --------
    >>> always("gpt-4", pd.Index(["p1", "p2"])).tolist()
    ['gpt-4', 'gpt-4']
    """
    return pd.Series(model, index=index, name="model", dtype=object)


def random_mix(index: pd.Index, shares: dict[str, float], *, random_state: Any = None) -> pd.Series:
    """Choose at random with given shares, blind to the prompt: what a router must beat.

    Parameters
    ----------
    index : Index of shape (n_prompts,)
        Prompt ids.
    shares : dict of model name to probability
        Must sum to 1.
    random_state : int or Generator, optional
        Seed.

    Examples
    --------
    >>> random_mix(pd.RangeIndex(4), {"small": 0.5, "large": 0.5}, random_state=0).tolist()
    ['large', 'small', 'small', 'small']
    """
    p = np.array(list(shares.values()), dtype=float)
    if not len(p) or (p < 0).any() or not np.isclose(p.sum(), 1):
        msg = f"'shares' must be probabilities that sum to 1. Got {shares!r} instead."
        raise ValueError(msg)
    rng = np.random.default_rng(random_state)
    return pd.Series(rng.choice(list(shares), size=len(index), p=p), index=index, name="model", dtype=object)


def zero_router(quality: pd.DataFrame, cost: pd.DataFrame) -> pd.DataFrame:
    """Hull of the single models: what mixing them at random reaches (RouterBench's zero router).

    Returns
    -------
    DataFrame
        ``model``, ``cost_usd``, ``quality`` of the vertices, by increasing cost.

    Examples
    --------
    >>> quality = pd.DataFrame({"small": [0.4], "middle": [0.5], "large": [1.0]})
    >>> zero_router(quality, pd.DataFrame({"small": [1.0], "middle": [2.0], "large": [3.0]}))["model"].tolist()
    ['small', 'large']
    """
    quality, cost = check_aligned(quality, cost)
    x, y = cost.mean().to_numpy(), quality.mean().to_numpy()
    vx, vy = hull(x, y)
    names = [quality.columns[np.nonzero((x == a) & (y == b))[0][0]] for a, b in zip(vx, vy, strict=True)]
    return pd.DataFrame({"model": names, "cost_usd": vx, "quality": vy})


def baselines(
    quality: pd.DataFrame, cost: pd.DataFrame, *, baseline: str | None = None, confidence: float = 0.95
) -> pd.DataFrame:
    """Score the single models, the oracle, the zero router, and a random mix.

    Parameters
    ----------
    quality, cost : DataFrame of shape (n_prompts, n_models)
        Measured outcomes.
    baseline : str, optional
        The model that is paid for today; the random mix runs from the cheapest model to it. By
        default the dearest.
    confidence : float, default 0.95
        Of the Student-t intervals of single models and the oracle.

    Returns
    -------
    DataFrame
        ``name``, ``kind`` ('model', 'oracle', 'zero_router', 'random_mix'), ``cost_usd``,
        ``quality``, and ``cost_low``, ``cost_high``, ``quality_low``, ``quality_high``.

    Examples
    --------
    >>> quality = pd.DataFrame({"small": [0.0, 1.0], "large": [1.0, 1.0]})
    >>> table = baselines(quality, pd.DataFrame({"small": [0.1, 0.1], "large": [1.0, 1.0]}))
    >>> table.groupby("kind").size().to_dict()
    {'model': 2, 'oracle': 1, 'random_mix': 2, 'zero_router': 2}
    """
    quality, cost = check_aligned(quality, cost)
    check_confidence(confidence)
    baseline = cost.mean().idxmax() if baseline is None else check_model(baseline, quality.columns, "baseline")
    rows = []
    best = score_choices(oracle(quality, cost), quality, cost)
    named = [(m, "model", quality[m], cost[m]) for m in quality.columns]
    for name, kind, q, c in [*named, ("oracle", "oracle", best["quality"], best["cost_usd"])]:
        row: dict[str, Any] = {"name": name, "kind": kind}
        row |= dict(
            zip(("cost_usd", "cost_low", "cost_high"), mean_interval(c.to_numpy(float), confidence), strict=True)
        )
        row |= dict(
            zip(("quality", "quality_low", "quality_high"), mean_interval(q.to_numpy(float), confidence), strict=True)
        )
        rows.append(row)
    rows += [
        {"name": m, "kind": "zero_router", "cost_usd": c, "quality": q}
        for m, c, q in zero_router(quality, cost).itertuples(index=False, name=None)
    ]
    rows += [
        {"name": m, "kind": "random_mix", "cost_usd": cost[m].mean(), "quality": quality[m].mean()}
        for m in dict.fromkeys([cost.mean().idxmin(), baseline])
    ]
    columns = ["name", "kind", "cost_usd", "quality", "cost_low", "cost_high", "quality_low", "quality_high"]
    table = pd.DataFrame(rows, columns=columns)
    table.attrs = {"n": len(quality), "baseline": baseline, "confidence": confidence}
    note = provenance_of(quality, cost)
    if note:
        table.attrs["provenance"] = note
    return table


def model_share(sweep: Sweep, intents: pd.Series | None = None, *, n_points: int = 60) -> pd.DataFrame:
    """Share of prompts that each model gets along the frontier, overall or by intent.

    Parameters
    ----------
    sweep : Sweep
        ``router.sweep(X)``.
    intents : Series, optional
        Intent of each prompt, indexed by prompt id.
    n_points : int, default 60
        Willingness-to-pay values, spread evenly over the switches.

    Returns
    -------
    DataFrame
        ``willingness_to_pay``, ``intent`` ('all' without `intents`), ``model``, ``share``.

    Examples
    --------
    >>> from routerlab.decision import sweep_estimates
    >>> quality = pd.DataFrame({"small": [0.6], "large": [0.7]}, index=["p1"])
    >>> model_share(sweep_estimates(quality, quality / 100))["share"].tolist()
    [1.0, 0.0, 0.0, 1.0]
    """
    grid = np.unique(np.quantile(sweep.wtp, np.linspace(0, 1, n_points))) if len(sweep.wtp) else np.empty(0)
    if intents is None:
        group = pd.Series("all", index=sweep.index)
    else:
        group = intents.reindex(sweep.index)
        if group.isna().any():
            reject(
                "'intents'", f"has none for {group.isna().sum()} prompts of the sweep.", "Pass intents.loc[X.index]."
            )
    parts = []
    for wtp in [*grid, np.inf]:
        share = pd.crosstab(group.to_numpy(), sweep.at(wtp).to_numpy(), normalize="index")
        share = share.reindex(columns=sweep.models, fill_value=0.0)
        long = share.rename_axis(index="intent", columns="model").stack().rename("share").reset_index()  # noqa: PD013
        parts.append(long.assign(willingness_to_pay=wtp))
    table = pd.concat(parts, ignore_index=True)[["willingness_to_pay", "intent", "model", "share"]]
    if sweep.provenance:
        table.attrs["provenance"] = sweep.provenance
    return table
