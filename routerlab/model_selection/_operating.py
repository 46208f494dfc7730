"""Choose an operating point on a tuning split: by a promise, or by an estimate."""

import warnings
from copy import copy
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats
from sklearn.pipeline import Pipeline

from routerlab.decision import OperatingPoint, Sweep
from routerlab.evaluation import frontier
from routerlab.exceptions import NoOperatingPointError, ParameterError
from routerlab.model_selection._promise import Promise, between, check_bar, promise
from routerlab.schema import DroppedRowsWarning, Outcomes, check_aligned, check_model, provenance_of
from routerlab.stats import check_confidence


def choose_operating_point(
    sweep: Sweep,
    quality: pd.DataFrame | Outcomes,
    cost: pd.DataFrame | None = None,
    *,
    baseline: str,
    max_quality_loss: float = 0.01,
    guarantee: float | None = None,
    groups: Any = None,
    by: Any = None,
    assurance: float | None = None,
    ordering: Any = None,
    random_state: Any = 0,
) -> OperatingPoint:
    """Find the cheapest point of a sweep whose quality is close enough to the baseline's.

    Parameters
    ----------
    sweep : Sweep
        ``router.sweep(X)`` on tuning prompts, unseen by the router's fit.
    quality, cost : DataFrame of shape (n_prompts, n_models), cost optional with Outcomes
        Measured outcomes of the tuning prompts. Where cells are empty (`routerlab.judged_outcomes` with ``baseline=``),
        the known ones of a model stand for all prompts to which it is given; a guarantee needs them all.
    baseline : str
        The model that is paid for today.
    max_quality_loss : float, default 0.01
        Mean quality may fall below the baseline's by this much.
    guarantee : float, optional
        0.95, say, makes it a promise: with this probability over the tuning prompts, the true mean loss is at most
        `max_quality_loss`; if no point can be promised that, the baseline is kept. See `promise`. By default the
        *estimate* must reach the bar, and of many points one does by luck: on RouterBench the true loss exceeded the
        bar in more than half of the splits.
    groups : Series or array of shape (n_prompts,), optional
        Prompts that are not separate evidence (one conversation, customer or text); for the guarantee.
    by : Series or array of shape (n_prompts,), optional
        Slices, of which the worst one's bound is given; for the guarantee.
    assurance : float, optional
        Deprecated: a one-sided Student-t bound of each point, of which the cheapest was taken. It did not assure.
    ordering : float or array of bool, optional
        For the guarantee: the prompts that lay the path, see `promise`.
    random_state : int or Generator, default 0
        For the guarantee: draws them.

    Returns
    -------
    OperatingPoint
        Its willingness to pay lies midway (geometrically) between two switches, so that rounding
        does not move it. It is NaN where the baseline is kept, and where the guarantee grants a point for a `share` of
        the prompts.

    Raises
    ------
    NoOperatingPointError
        A ValueError: without a guarantee, and no operating point reaches the bar.
    ValueError
        `max_quality_loss` is not a finite number; `guarantee` is out of range.

    Examples
    --------
    >>> from routerlab.decision import sweep_estimates
    >>> quality = pd.DataFrame({"small": [0.6, 0.2], "large": [0.7, 0.9]}, index=["p1", "p2"])
    >>> cost = pd.DataFrame({"small": [0.001, 0.001], "large": [0.011, 0.011]}, index=["p1", "p2"])
    >>> sweep = sweep_estimates(quality, cost)
    >>> point = choose_operating_point(sweep, quality, cost, baseline="large", max_quality_loss=0.06)
    >>> sweep.at(point.willingness_to_pay).tolist()
    ['small', 'large']
    >>> choose_operating_point(sweep, quality, cost, baseline="large", guarantee=0.95).keeps_baseline
    True
    """
    check_bar(max_quality_loss)
    outcomes = check_aligned(quality, cost, missing=True)
    if guarantee is not None:
        if assurance is not None:
            msg = "'assurance' is deprecated and can't be combined with 'guarantee'. Leave it out."
            raise ParameterError(msg)
        granted = promise(
            sweep, outcomes, baseline=baseline, max_quality_loss=max_quality_loss, guarantee=guarantee,
            groups=groups, by=by, ordering=ordering, random_state=random_state,
        )  # fmt: skip
        return _point_of(granted)
    quality, cost = outcomes
    check_model(baseline, outcomes.models, "baseline")
    _warn_of_missing(quality[sweep.models])
    curve = frontier(sweep, outcomes, missing=True)
    lead = curve["quality"].to_numpy() - float(quality[baseline].mean())
    bound = lead if assurance is None else _assured(sweep, quality, baseline, lead, assurance)
    spent, wtp, n = curve["cost_usd"].to_numpy(), curve["willingness_to_pay"].to_numpy(), len(sweep.index)
    good = bound >= -max_quality_loss - 1e-12
    if not good.any():
        best = int(np.where(np.isnan(bound), -np.inf, bound).argmax())
        what = "the estimate" if assurance is None else f"the {assurance:.0%} lower bound"
        msg = (
            f"No operating point of this router keeps the loss within max_quality_loss={max_quality_loss:g} of "
            f"{baseline!r} on {n} tuning prompts: the best has {what} {bound[best]:+.4f}. Allow a larger loss, use "
            "more training prompts, or keep calling the baseline."
        )
        raise NoOperatingPointError(msg)
    row = int(np.where(good, spent, np.inf).argmin())
    return OperatingPoint(
        willingness_to_pay=between(wtp, row),
        baseline=baseline,
        max_quality_loss=max_quality_loss,
        assurance=assurance,
        n=n,
        cost_usd=float(spent[row]),
        baseline_cost_usd=float(cost[baseline].mean()),
        quality_difference=float(lead[row]),
        provenance=provenance_of(quality, cost),
    )


def _warn_of_missing(quality: pd.DataFrame) -> None:
    unknown = quality.isna().to_numpy().mean()
    if unknown:
        warnings.warn(
            f"choose_operating_point knows no quality in {unknown:.0%} of {quality.shape[0]} prompts x "
            f"{quality.shape[1]} models: the known ones of a model stand for all prompts to which it is given.",
            DroppedRowsWarning,
            stacklevel=3,
        )


def _point_of(granted: Promise) -> OperatingPoint:
    shared = {f.name: getattr(granted, f.name) for f in fields(OperatingPoint) if hasattr(granted, f.name)}
    shared |= {"assurance": None, "n": granted.n_testing, "test_again": str(granted.test_again)}
    if granted.slices is not None and not granted.keeps_baseline:
        worst = granted.slices.loc[granted.slices["quality_low"].idxmin()]
        shared |= {
            "worst_slice": str(worst.name),
            "worst_slice_low": float(worst["quality_low"]),
            "worst_slice_n": int(worst["n"]),
        }
    return OperatingPoint(**shared)


def _assured(
    sweep: Sweep, quality: pd.DataFrame, baseline: str, lead: NDArray[np.float64], assurance: float
) -> NDArray[np.float64]:
    """One-sided Student-t bound of the paired difference at each operating point."""
    check_confidence(assurance, "assurance")
    warnings.warn(
        "'assurance' is deprecated: it bounds one point and then takes the cheapest of many, so it does not assure. "
        "Use guarantee=0.95.",
        DeprecationWarning,
        stacklevel=3,
    )
    n = len(sweep.index)
    if n < 2:
        msg = f"'assurance' needs at least two tuning prompts. Got {n}."
        raise ParameterError(msg)
    paired = quality.sub(quality[baseline], axis=0).loc[sweep.index, sweep.models].to_numpy(dtype=float)
    squares = paired**2
    step = np.cumsum(squares[sweep.prompt, sweep.target] - squares[sweep.prompt, sweep.origin])
    passed = np.searchsorted(-sweep.wtp, -np.unique(sweep.wtp)[::-1], side="right")
    total = squares[np.arange(n), sweep.first].sum() + np.append(0.0, step)[np.append(0, passed)]
    variance = np.maximum(total - n * lead**2, 0) / (n - 1)
    return lead - stats.t.ppf(assurance, n - 1) * np.sqrt(variance / n)


def set_operating_point(
    router: Any, X: Any, quality: pd.DataFrame | Outcomes, cost: pd.DataFrame | None = None, **options: Any
) -> Any:
    """Return the router at the cheapest operating point that keeps quality, chosen on a tuning split.

    Parameters
    ----------
    router : fitted router, or fitted Pipeline that ends in one
        Left as it is.
    X : DataFrame of shape (n_prompts, n_features)
        Embeddings of tuning prompts, unseen by ``fit``; or what the pipeline's first step takes.
    quality, cost : DataFrame of shape (n_prompts, n_models), cost optional with Outcomes
        Measured outcomes of the tuning prompts.
    **options
        As of `choose_operating_point`: `baseline`, `max_quality_loss`, `guarantee`, `groups`, `by`, `random_state`.

    Returns
    -------
    router
        A copy (of a pipeline, with a copy of its last step) with ``willingness_to_pay`` set, and the choice recorded
        in ``operating_point_``. Where the guarantee leaves nothing but the baseline, the copy sends every prompt
        there: it has ``fallback=baseline`` and ``min_similarity=inf``, which no prompt reaches. Where it lets the
        router choose for a share of the prompts, the copy abstains on the others, in favour of the baseline.

    Examples
    --------
    >>> from routerlab.routers import KNNRouter
    >>> X = pd.DataFrame(np.eye(2, dtype=np.float32), index=["p1", "p2"])
    >>> quality = pd.DataFrame({"small": [0.9, 0.2], "large": [0.9, 0.9]}, index=["p1", "p2"])
    >>> cost = pd.DataFrame({"small": [0.001, 0.001], "large": [0.011, 0.011]}, index=["p1", "p2"])
    >>> router = KNNRouter(n_neighbors=1).fit(X, quality, cost=cost)
    >>> chosen = set_operating_point(router, X, quality, cost, baseline="large")
    >>> chosen.predict(X).tolist(), chosen.operating_point_.quality_difference
    (['small', 'large'], 0.0)
    >>> set_operating_point(router, X, quality, cost, baseline="large", guarantee=0.95).predict(X).tolist()
    ['large', 'large']
    """
    if isinstance(router, Pipeline):
        rows = router[:-1].transform(X)
        if not isinstance(rows, pd.DataFrame) and isinstance(X, (pd.DataFrame, pd.Series)):
            rows = pd.DataFrame(np.asarray(rows), index=X.index)  # a step may have dropped the prompt ids
        router, X = Pipeline([*router.steps[:-1], (router.steps[-1][0], copy(router[-1]))]), rows
    else:
        router = copy(router)
    return apply_point(router, choose_operating_point(last_step(router).sweep(X), quality, cost, **options))


def last_step(router: Any) -> Any:
    """Return the router itself, or the one that a pipeline ends in."""
    return router[-1] if isinstance(router, Pipeline) else router


def apply_point(router: Any, point: OperatingPoint) -> Any:
    """Set a fitted router, or a pipeline that ends in one, to an operating point, and return it."""
    last = last_step(router)
    if point.share and getattr(last, "fallback", None) not in (None, point.baseline):
        # Prompts that are far from all others go to another model already, and a router has one fallback.
        point = replace(
            point, share=0.0, share_willingness_to_pay=None, cost_usd=point.baseline_cost_usd, quality_difference=0.0
        )
    if point.share:
        if last.min_similarity is None:
            last.min_similarity = -float("inf")
        last.fallback, last.willingness_to_pay = point.baseline, point.share_willingness_to_pay
    elif point.keeps_baseline:
        # As attributes: `Router` has no neighbours, and no parameters for abstaining, but honours both.
        last.min_similarity, last.fallback = float("inf"), point.baseline
        last.willingness_to_pay = float("inf")
    else:
        last.set_params(willingness_to_pay=point.willingness_to_pay)
    last.operating_point_ = point
    return router
