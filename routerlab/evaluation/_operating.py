"""Choose an operating point on a tuning split."""

from __future__ import annotations

from copy import copy
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from routerlab.decision import OperatingPoint, Sweep
from routerlab.evaluation._scoring import align, last_of_equal, running
from routerlab.schema import check_model, provenance_of
from routerlab.stats import check_confidence


class NoOperatingPointError(ValueError):
    """No operating point keeps the loss within the bar: keep calling the baseline, or allow a larger loss."""


def choose_operating_point(
    sweep: Sweep,
    quality: pd.DataFrame,
    cost: pd.DataFrame,
    *,
    baseline: str,
    max_quality_loss: float = 0.01,
    assurance: float | None = None,
) -> OperatingPoint:
    """Find the cheapest point of a sweep whose quality is close enough to the baseline's.

    Parameters
    ----------
    sweep : Sweep
        ``router.sweep(X)`` on tuning prompts, unseen by the router's fit.
    quality, cost : DataFrame of shape (n_prompts, n_models)
        Measured outcomes of the tuning prompts.
    baseline : str
        The model that is paid for today.
    max_quality_loss : float, default 0.01
        Mean quality may fall below the baseline's by this much.
    assurance : float, optional
        By default the estimate must reach the bar. With 0.9, say, a one-sided 90% Student-t lower
        bound of the paired difference must: dearer, and safer against a lucky tuning split.

    Returns
    -------
    OperatingPoint
        Its willingness to pay lies midway (geometrically) between two switches, so that rounding
        does not move it.

    Raises
    ------
    NoOperatingPointError
        A ValueError: no operating point reaches the bar.
    ValueError
        `max_quality_loss` is no finite number; `assurance` is out of range, or needs more prompts.

    Examples
    --------
    >>> from routerlab.decision import sweep_estimates
    >>> quality = pd.DataFrame({"small": [0.6, 0.2], "large": [0.7, 0.9]}, index=["p1", "p2"])
    >>> cost = pd.DataFrame({"small": [0.001, 0.001], "large": [0.011, 0.011]}, index=["p1", "p2"])
    >>> sweep = sweep_estimates(quality, cost)
    >>> point = choose_operating_point(sweep, quality, cost, baseline="large", max_quality_loss=0.06)
    >>> sweep.at(point.willingness_to_pay).tolist()
    ['small', 'large']
    """
    if not np.isfinite(max_quality_loss):
        msg = f"'max_quality_loss' must be a finite number, e.g. 0.01 for one point. Got {max_quality_loss!r}."
        raise ValueError(msg)
    scored = align(sweep.index, sweep.models, quality, cost)
    check_model(baseline, scored.models, "baseline")
    column = scored.models.get_loc(baseline)
    order = scored.models.get_indexer(sweep.models)
    last = last_of_equal(sweep.wtp)
    n = len(sweep.index)
    lead = running(
        sweep, (scored.quality - scored.quality[:, [column]])[:, order], last, variance=assurance is not None
    )
    spent = running(sweep, scored.cost[:, order], last, variance=False).mean
    bound = lead.mean
    if assurance is not None:
        check_confidence(assurance, "assurance")
        if n < 2:
            msg = f"'assurance' needs at least two tuning prompts. Got {n}."
            raise ValueError(msg)
        bound = lead.mean - stats.t.ppf(assurance, n - 1) * np.sqrt(np.maximum(lead.variance, 0))
    good = bound >= -max_quality_loss - 1e-12
    if not good.any():
        best = int(bound.argmax())
        what = "the estimate" if assurance is None else f"the {assurance:.0%} lower bound"
        msg = (
            f"No operating point of this router keeps the loss within max_quality_loss={max_quality_loss:g} of "
            f"{baseline!r} on {n} tuning prompts: the best has {what} {bound[best]:+.4f}. Allow a larger loss, use "
            "more training prompts, or keep calling the baseline."
        )
        raise NoOperatingPointError(msg)
    row = int(np.where(good, spent, np.inf).argmin())
    return OperatingPoint(
        willingness_to_pay=_between(np.append(np.inf, sweep.wtp[last]), row),
        baseline=baseline,
        max_quality_loss=max_quality_loss,
        assurance=assurance,
        n=n,
        cost_usd=float(spent[row]),
        baseline_cost_usd=float(scored.cost[:, column].mean()),
        quality_difference=float(lead.mean[row]),
        provenance=provenance_of(quality, cost),
    )


def _between(wtp: np.ndarray, row: int) -> float:
    """Willingness to pay that holds at operating point `row` and keeps clear of its two ends."""
    high = wtp[row]
    low = wtp[row + 1] if row + 1 < len(wtp) else 0.0
    if np.isinf(high):
        return 2 * float(low) if low > 0 else float("inf")
    return float(np.sqrt(high * low)) if low > 0 else float(high) / 2


def set_operating_point(
    router: Any,
    X: Any,
    quality: pd.DataFrame,
    cost: pd.DataFrame,
    *,
    baseline: str,
    max_quality_loss: float = 0.01,
    assurance: float | None = None,
) -> Any:
    """Return the router at the cheapest operating point that keeps quality, chosen on a tuning split.

    Parameters
    ----------
    router : fitted router
        Left as it is.
    X : DataFrame of shape (n_prompts, n_features)
        Embeddings of tuning prompts, unseen by ``fit``.
    quality, cost, baseline, max_quality_loss, assurance
        See `choose_operating_point`.

    Returns
    -------
    router
        A copy with ``willingness_to_pay`` set, and the choice recorded in ``operating_point_``.

    Examples
    --------
    >>> from routerlab.routers import KNNRouter
    >>> X = pd.DataFrame(np.eye(2, dtype=np.float32), index=["p1", "p2"])
    >>> quality = pd.DataFrame({"small": [0.9, 0.2], "large": [0.9, 0.9]}, index=["p1", "p2"])
    >>> cost = pd.DataFrame({"small": [0.001, 0.001], "large": [0.011, 0.011]}, index=["p1", "p2"])
    >>> router = KNNRouter(n_neighbors=1).fit(X, quality, cost=cost)
    >>> router = set_operating_point(router, X, quality, cost, baseline="large")
    >>> router.predict(X).tolist(), router.operating_point_.quality_difference
    (['small', 'large'], 0.0)
    """
    point = choose_operating_point(
        router.sweep(X), quality, cost, baseline=baseline, max_quality_loss=max_quality_loss, assurance=assurance
    )
    chosen = copy(router).set_params(willingness_to_pay=point.willingness_to_pay)
    chosen.operating_point_ = point
    return chosen
