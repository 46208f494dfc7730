"""APGR and CPT with bootstrap intervals, and how far a router's estimates foretell who wins."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from routerlab.evaluation._curves import Interval
from routerlab.evaluation._metrics import apgr, call_curve, cpt
from routerlab.schema import check_matrix, check_model, provenance_of, reject, shown
from routerlab.stats import check_confidence, percentile_interval, resample_counts

Floats = NDArray[np.float64]
_HOW = "bootstrap over prompts, router held fixed"


def call_metrics(
    score: pd.Series,
    quality: pd.DataFrame,
    *,
    strong: str,
    weak: str,
    targets: Sequence[float] = (0.5, 0.8),
    confidence: float = 0.95,
    n_resamples: int = 1000,
    random_state: Any = 0,
) -> dict[str, Interval]:
    """APGR, and CPT at each target, with bootstrap intervals over prompts.

    Parameters
    ----------
    score, quality, strong, weak
        See `call_curve`.
    targets : sequence of float, default (0.5, 0.8)
        Shares of the performance gap.
    confidence, n_resamples, random_state
        Of the bootstrap: the curve is drawn anew in every resample, the router is held fixed. A resample in which the
        strong model is not the better one has no gap to recover, and is left out.

    Returns
    -------
    dict of str to Interval
        ``'APGR'``, and ``'CPT(50%)'`` and the like.

    References
    ----------
    Ong et al. (2024), RouteLLM: Learning to Route LLMs with Preference Data, arXiv:2406.18665.

    Examples
    --------
    >>> quality = pd.DataFrame({"weak": [0.0, 1.0] * 50, "strong": 1.0})
    >>> found = call_metrics(1 - quality["weak"], quality, strong="strong", weak="weak", targets=[0.5])
    >>> {name: round(value.estimate, 2) for name, value in found.items()}
    {'APGR': 0.75, 'CPT(50%)': 0.5}
    """
    check_confidence(confidence)
    curve = call_curve(score, quality, strong=strong, weak=weak)
    estimates = [apgr(curve), *(cpt(curve, target) for target in targets)]
    order = np.argsort(-score.to_numpy(dtype=float), kind="stable")
    pair = quality.loc[score.index, [weak, strong]].to_numpy(dtype=float)[order]
    ends = np.rint(curve["strong_share"].to_numpy() * len(score)).astype(int)
    draws = [
        drawn
        for block in resample_counts(len(score), n_resamples, random_state)
        for weight in block
        if (drawn := _metrics(weight, pair[:, 1] - pair[:, 0], ends, targets)) is not None
    ]
    names = ["APGR", *(f"CPT({target:.0%})" for target in targets)]
    intervals = [percentile_interval(np.array(column), confidence, len(score)) for column in zip(*draws, strict=True)]
    options = (len(score), confidence, n_resamples, random_state, _HOW, provenance_of(quality))
    return {
        name: Interval(estimate, low, high, *options)
        for name, estimate, (low, high) in zip(names, estimates, intervals, strict=True)
    }


def _metrics(
    weight: Floats, lead: Floats, ends: NDArray[np.intp], targets: Sequence[float]
) -> tuple[float, ...] | None:
    """APGR and CPTs of prompts in order of score that count `weight` times; thresholds fall at `ends`."""
    share = np.append(0.0, np.cumsum(weight))[ends] / weight.sum()
    gained = np.append(0.0, np.cumsum(weight * lead))[ends]
    if gained[-1] <= 0:
        return None
    recovered = gained / gained[-1]
    crossings = (share[(recovered >= target - 1e-12).argmax()] for target in targets)
    return float(np.trapezoid(recovered, share)), *crossings


def predictability(
    estimated: pd.DataFrame,
    quality: pd.DataFrame,
    *,
    baseline: str,
    confidence: float = 0.95,
    n_resamples: int = 1000,
    random_state: Any = 0,
) -> pd.DataFrame:
    """Measure how far estimates foretell, prompt by prompt, where a model is as good as the baseline.

    Routing lives on this. The saving depends on finding the prompts on which a cheaper model does as well, and a router
    can only go by its estimates. An AUC of 0.5 is a coin, 1 an oracle.

    Parameters
    ----------
    estimated : DataFrame of shape (n_prompts, n_models)
        Estimated quality, out of fold: ``cross_estimates(...).quality``. Only differences from the baseline count, so
        estimated differences with a baseline of 0 do as well.
    quality : DataFrame of shape (n_prompts, n_models)
        Measured quality of the same prompts.
    baseline : str
        The model that is paid for today.
    confidence, n_resamples, random_state
        Of the bootstrap over prompts, the estimates held fixed.

    Returns
    -------
    DataFrame
        Indexed by ``model``, without the baseline. ``as_good``: share of prompts on which it is at least as good as the
        baseline. ``auc``, ``auc_low``, ``auc_high``: how well the estimated difference from the baseline ranks these
        prompts before the others; NaN where there is nothing to tell apart. ``r2``, ``r2_low``, ``r2_high``: share of
        the variance of the difference that the estimates explain, below 0 if its mean is the better guess.

    Examples
    --------
    >>> quality = pd.DataFrame({"small": [1.0, 0.0] * 20, "large": 1.0})
    >>> table = predictability(quality, quality, baseline="large")
    >>> table[["as_good", "auc", "r2"]].values.tolist()
    [[0.5, 1.0, 1.0]]
    """
    check_confidence(confidence)
    check_model(baseline, quality.columns, "baseline")
    check_matrix(estimated, "estimated", -np.inf)
    check_matrix(quality, "quality", 0.0, 1.0)
    for a, b, axis in ((estimated.index, quality.index, "prompt_id"), (estimated.columns, quality.columns, "model")):
        if len(odd := a.symmetric_difference(b)):
            reject(
                "'estimated' and 'quality'", f"{axis} {shown(odd)} is in one and not in the other.", "Select the same."
            )
    estimated = estimated.reindex(index=quality.index, columns=quality.columns)
    pairs = {
        model: [frame[model].to_numpy(float) - frame[baseline].to_numpy(float) for frame in (estimated, quality)]
        for model in quality.columns.drop(baseline)
    }
    measures = {model: (_auc(guess, true >= 0), _r2(guess, true)) for model, (guess, true) in pairs.items()}
    draws: dict[Any, list[list[float]]] = {model: [] for model in pairs}
    for block in resample_counts(len(quality), n_resamples, random_state):
        for model, both in measures.items():
            draws[model] += [[measure(weight) for measure in both] for weight in block]
    rows = []
    for model, (_, true) in pairs.items():
        row = {"as_good": float((true >= 0).mean())}
        for name, measure, drawn in zip(("auc", "r2"), measures[model], np.transpose(draws[model]), strict=True):
            drawn = drawn[np.isfinite(drawn)]
            ends = percentile_interval(drawn, confidence, len(true)) if len(drawn) else (np.nan, np.nan)
            row |= {name: measure(np.ones(len(true))), f"{name}_low": ends[0], f"{name}_high": ends[1]}
        rows.append(row)
    table = pd.DataFrame(rows, index=pd.Index(pairs, name="model"))
    table.attrs = {"n": len(quality), "baseline": baseline, "confidence": confidence, "interval": _HOW}
    note = provenance_of(quality)
    if note:
        table.attrs["provenance"] = note
    return table


def _auc(guess: Floats, positive: NDArray[np.bool_]) -> Any:
    """AUC as a function of the prompts' weights: the order is found once."""
    _, tied = np.unique(guess, return_inverse=True)
    n = int(tied.max()) + 1

    def auc(weight: Floats) -> float:
        good, bad = (np.bincount(tied, weight * kind, n) for kind in (positive, ~positive))
        pairs = good.sum() * bad.sum()
        return float(good @ (np.cumsum(bad) - bad / 2) / pairs) if pairs else float("nan")

    return auc


def _r2(guess: Floats, true: Floats) -> Any:
    """R2 as a function of the prompts' weights."""

    def r2(weight: Floats) -> float:
        spread = weight @ (true - weight @ true / weight.sum()) ** 2
        return float(1 - weight @ (true - guess) ** 2 / spread) if spread > 0 else float("nan")

    return r2
