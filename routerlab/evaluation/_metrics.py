"""Metrics as their authors compute them: AIQ, PGR, APGR, CPT, arena score, gap to the oracle."""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from routerlab.evaluation._baselines import oracle
from routerlab.evaluation._frontier import hull
from routerlab.evaluation._scoring import score_choices
from routerlab.exceptions import ParameterError
from routerlab.schema import (
    Outcomes,
    check_aligned,
    check_choice,
    check_matrix,
    check_model,
    id_remedy,
    models_of,
    refuse,
    reject,
    shown,
)


def hull_area(cost: NDArray[np.float64], quality: NDArray[np.float64], low: float, high: float) -> float:
    """Area under the non-decreasing hull between two costs, flat beyond its dearest vertex.

    Examples
    --------
    >>> hull_area(np.array([0.0, 1.0]), np.array([0.0, 1.0]), 0.0, 2.0)
    1.5
    """
    x, y = hull(cost, quality)
    inside = x[(x > low) & (x < high)]
    grid = np.concatenate([[low], inside, [high]])
    return float(np.trapezoid(np.interp(grid, x, y), grid))


def aiq(
    curve: pd.DataFrame,
    *,
    method: str = "paper",
    cost_range: tuple[float, float] | None = None,
    max_cost: float | None = None,
) -> float:
    """Average improvement in quality: the mean height of a frontier's hull.

    Parameters
    ----------
    curve : DataFrame
        ``cost_usd`` and ``quality``, e.g. from `frontier`, or `zero_router`.
    method : {'paper', 'compat'}, default 'paper'
        'paper': area under the hull over [c_min, c_max], divided by c_max - c_min. 'compat': what RouterBench's code
        computes: from the curve's own least cost to `max_cost`, divided by `max_cost`.
    cost_range : (float, float), optional
        c_min and c_max in USD per request, for 'paper'; by default the curve's own. Use one range
        for all curves that you compare.
    max_cost : float, optional
        Largest cost over all curves that are compared, for 'compat'; by default the curve's own.

    Returns
    -------
    float
        Between 0 and 1.

    References
    ----------
    Hu et al. (2024), RouterBench: A Benchmark for Multi-LLM Routing Systems, arXiv:2403.12031.

    Examples
    --------
    >>> curve = pd.DataFrame({"cost_usd": [0.01, 0.03], "quality": [0.5, 0.9]})
    >>> round(aiq(curve), 3), round(aiq(curve, method="compat"), 3)
    (0.7, 0.467)
    """
    lacking = {"cost_usd", "quality"} - set(curve)
    if lacking:
        reject("aiq", f"'curve' lacks {shown(sorted(lacking))}.", "Make it with frontier(sweep, quality, cost).")
    x, y = hull(curve["cost_usd"], curve["quality"])
    if method == "compat":
        high = float(np.max(curve["cost_usd"]) if max_cost is None else max_cost)
        return hull_area(x, y, float(x[0]), high) / high
    check_choice(method, ("paper", "compat"), "method")
    low, high = (float(x[0]), float(np.max(curve["cost_usd"]))) if cost_range is None else cost_range
    if low < x[0] * (1 - 1e-9):
        wrong = f"starts at {low:g} USD, and what the curve is worth below its least cost, {x[0]:g}, is not defined."
        refuse("'cost_range'", wrong, "Start at the largest of the curves' least costs.")
    if high <= low:
        return float(y[-1])  # one point, or a range of no width: the limit of the mean height
    return hull_area(x, y, low, high) / (high - low)


def call_curve(
    score: pd.Series, quality: pd.DataFrame, *, strong: str, weak: str, n_thresholds: int | None = None
) -> pd.DataFrame:
    """Quality against the share of calls that go to the strong model.

    Parameters
    ----------
    score : Series of shape (n_prompts,)
        The larger, the more a prompt needs the strong model: a strong win rate, or the difference
        of the two models' predicted quality.
    quality : DataFrame of shape (n_prompts, n_models)
        Measured quality of the same prompts.
    strong, weak : str
        The two models.
    n_thresholds : int, optional
        By default every distinct score is a threshold: the exact curve. 10 gives the deciles (with
        repeated ones an error) that RouteLLM's evaluation uses.

    Returns
    -------
    DataFrame
        ``strong_share`` (0 to 1, increasing), ``quality``, ``pgr`` (performance gap recovered).

    Raises
    ------
    TableError
        Scores and outcomes of other prompts, or a score that is not finite.

    References
    ----------
    Ong et al. (2024), RouteLLM: Learning to Route LLMs with Preference Data, arXiv:2406.18665.

    Examples
    --------
    >>> quality = pd.DataFrame({"weak": [0.0, 1.0], "strong": [1.0, 1.0]})
    >>> call_curve(pd.Series([0.9, 0.1]), quality, strong="strong", weak="weak")["pgr"].tolist()
    [0.0, 1.0, 1.0]
    """
    quality = check_matrix(quality, "quality")
    check_model(strong, models_of(quality), "strong")
    check_model(weak, models_of(quality), "weak")
    odd = score.index.symmetric_difference(quality.index)
    if len(odd):
        wrong = f"prompt_id {shown(odd)} is in one and not in the other."
        remedy = id_remedy(score.index, quality.index, ("'score'", "'quality'"), "Select the same prompts.")
        reject("'score' and 'quality'", wrong, remedy)
    if not np.isfinite(score.to_numpy(dtype=float)).all():
        wrong = f"is not finite for {shown(score.index[~np.isfinite(score.to_numpy(dtype=float))])}."
        reject("'score'", wrong, "Drop them.")
    value = score.to_numpy(dtype=float)
    pair = quality.loc[score.index, [weak, strong]].to_numpy(dtype=float)
    order = np.argsort(-value, kind="stable")
    gained = np.append(0.0, np.cumsum(pair[order, 1] - pair[order, 0]))
    if n_thresholds is None:
        calls = np.append(0, np.append(np.nonzero(np.diff(value[order]))[0] + 1, len(value)))
    else:
        edges = pd.qcut(value, n_thresholds, retbins=True)[1]
        # A score on a threshold goes to the strong model; at the last one, only what is above it: nothing.
        calls = np.unique(np.append(0, np.searchsorted(-value[order], -edges[:-1], side="right")))
    mean = pair[:, 0].mean() + gained[calls] / len(value)
    ends = pair[:, 0].mean(), pair[:, 1].mean()
    curve = pd.DataFrame({"strong_share": calls / len(value), "quality": mean, "pgr": pgr(mean, *ends)})
    curve.attrs = {"n": len(value), "weak": weak, "strong": strong, "quality_weak": ends[0], "quality_strong": ends[1]}
    return curve


def pgr(quality: Any, weak: float, strong: float) -> Any:
    """Compute the performance gap recovered: 0 at the weak model's quality, 1 at the strong model's.

    Examples
    --------
    >>> pgr(0.75, weak=0.5, strong=1.0)
    0.5
    """
    if not strong > weak:
        msg = f"The strong model's mean quality ({strong:g}) must be above the weak model's ({weak:g}): swap them?"
        raise ParameterError(msg)
    return (quality - weak) / (strong - weak)


def apgr(curve: pd.DataFrame) -> float:
    """Average performance gap recovered over the share of strong calls; 0.5 for a random router.

    Parameters
    ----------
    curve : DataFrame
        From `call_curve`.

    Returns
    -------
    float
        (AUC - AUC_weak) / (AUC_strong - AUC_weak), by trapezoids.

    Examples
    --------
    >>> quality = pd.DataFrame({"weak": [0.0, 1.0], "strong": [1.0, 1.0]})
    >>> apgr(call_curve(pd.Series([0.9, 0.1]), quality, strong="strong", weak="weak"))
    0.75
    """
    share = curve["strong_share"].to_numpy()
    return float(np.trapezoid(curve["pgr"], share) / (share[-1] - share[0]))


def cpt(curve: pd.DataFrame, target: float, *, method: str = "exact") -> float:
    """Call-performance threshold: the least share of strong calls that recovers `target` of the gap.

    Parameters
    ----------
    curve : DataFrame
        From `call_curve`.
    target : float
        Share of the performance gap, e.g. 0.5 for CPT(50%).
    method : {'exact', 'compat'}, default 'exact'
        'exact': the first point of the curve that reaches it. 'compat': RouteLLM's linear
        interpolation of share over quality (use with ``n_thresholds=10``).

    Returns
    -------
    float
        Between 0 and 1.

    Raises
    ------
    ParameterError
        A target above the largest PGR of the curve.

    Examples
    --------
    >>> curve = pd.DataFrame({"strong_share": [0.0, 0.2, 1.0], "pgr": [0.0, 0.6, 1.0]})
    >>> cpt(curve, 0.5), round(cpt(curve, 0.5, method="compat"), 4)
    (0.2, 0.1667)
    """
    if method == "compat":
        return float(np.interp(target, curve["pgr"], curve["strong_share"]))
    check_choice(method, ("exact", "compat"), "method")
    reached = curve["pgr"].to_numpy() >= target - 1e-12  # a running sum may end a rounding error short of 1
    if not reached.any():
        msg = f"'target' {target:g} is above the largest PGR of the curve, {curve['pgr'].max():.3f}."
        raise ParameterError(msg)
    return float(curve["strong_share"].to_numpy()[reached.argmax()])


def arena_score(
    quality: Any, cost_usd: Any, *, beta: float = 0.1, cheapest: float = 0.0044, dearest: float = 200.0
) -> Any:
    """RouterArena's score: a weighted harmonic mean of accuracy and normalised log cost.

    Parameters
    ----------
    quality : float or array
        Accuracy, between 0 and 1.
    cost_usd : float or array
        USD per request (the formula takes USD per 1,000).
    beta : float, default 0.1
        Weight of cost.
    cheapest, dearest : float, optional
        USD per 1,000 requests that map to 1 and 0.

    References
    ----------
    Lu et al. (2025), RouterArena: An Open Platform for Comprehensive Comparison of LLM Routers, arXiv:2510.00202.

    Examples
    --------
    >>> round(float(arena_score(0.7, 0.001)), 4)
    0.6744
    """
    c = np.asarray(cost_usd, dtype=float) * 1000
    if (c <= 0).any():
        wrong = "must be above 0: the score takes its logarithm."
        reject("'cost_usd' of arena_score", wrong, "Leave free models out.", ParameterError)
    thrift = (np.log2(dearest) - np.log2(c)) / (np.log2(dearest) - np.log2(cheapest))
    return (1 + beta) * np.asarray(quality) * thrift / (beta * np.asarray(quality) + thrift)


def gap_to_oracle(choices: pd.Series, quality: pd.DataFrame | Outcomes, cost: pd.DataFrame | None = None) -> float:
    """Share of the oracle's quality that the choices miss: 1 - quality / oracle quality.

    Examples
    --------
    >>> quality = pd.DataFrame({"small": [1.0, 0.0], "large": [1.0, 1.0]})
    >>> gap_to_oracle(pd.Series(["small", "small"]), quality, quality)
    0.5
    """
    outcomes = check_aligned(quality, cost)
    best = score_choices(oracle(outcomes), outcomes)["quality"].mean()
    if best == 0:
        reject("gap_to_oracle", "the oracle's mean quality is 0.", "No model answered anything: check the outcomes.")
    return float(1 - score_choices(choices, outcomes)["quality"].mean() / best)
