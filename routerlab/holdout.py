"""Choices for prompts that nothing has seen: fit, operating point and claim on three splits, rotated."""

from __future__ import annotations

from typing import Any

import pandas as pd
from sklearn.model_selection import KFold
from sklearn.pipeline import Pipeline

from routerlab.evaluation import NoOperatingPointError, always, choose_operating_point
from routerlab.routers import cross_sweep, fit_copy
from routerlab.schema import by_prompt, check_model, provenance_of, spread_prices

__all__ = ["held_out_choices"]


def held_out_choices(
    router: Any,
    X: Any,
    quality: pd.DataFrame,
    cost: pd.DataFrame,
    *,
    baseline: str,
    max_quality_loss: float = 0.01,
    assurance: float | None = None,
    intents: pd.Series | None = None,
    n_folds: int = 5,
    random_state: int = 0,
) -> pd.Series:
    """Choose a model for every prompt with a router and an operating point that have not seen it.

    For each fold, the operating point is found inside the other folds, out of fold there too, and the router is fitted
    on them; then it chooses for the fold. So every prompt counts as a test prompt once, and `savings` of the choices is
    a claim on all of them. Where no operating point is good enough, the fold keeps the baseline: that is the advice.

    Parameters
    ----------
    router : router or Pipeline that ends in one
        Left as it is; clones are fitted.
    X : DataFrame of shape (n_prompts, n_features)
        Embeddings that have not learned from `quality` or `intents`, or what the pipeline's first step takes.
    quality, cost : DataFrame of shape (n_prompts, n_models)
        Measured outcomes of the same prompts, in the order of X.
    baseline : str
        The model that is paid for on every request today.
    max_quality_loss, assurance
        See `choose_operating_point`.
    intents : Series of shape (n_prompts,), optional
        Needed by `IntentRouter`.
    n_folds : int, default 5
        Outer folds; as many inside.
    random_state : int, default 0
        Shuffles the folds.

    Returns
    -------
    Series of shape (n_prompts,)
        Model names. ``attrs["n_kept_baseline"]`` counts the folds in which no operating point was good enough.

    Notes
    -----
    The folds' routers share training prompts, so an interval that resamples prompts and holds the routers fixed leaves
    out how another training set would change them. Repeat with other `random_state` to see some of that.

    References
    ----------
    .. [1] S. Varma and R. Simon, "Bias in error estimation when using cross-validation for model selection", BMC
       Bioinformatics 7:91, 2006.

    Examples
    --------
    >>> from routerlab.routers import KNNRouter
    >>> import numpy as np
    >>> X = pd.DataFrame(np.repeat(np.eye(2), 20, axis=0))
    >>> quality = pd.DataFrame({"small": np.repeat([1.0, 0.0], 20), "large": 1.0})
    >>> cost = pd.DataFrame({"small": 0.001, "large": 0.01}, index=X.index)
    >>> choices = held_out_choices(KNNRouter(3), X, quality, cost, baseline="large", max_quality_loss=0.0)
    >>> choices.iloc[[0, -1]].tolist(), choices.attrs["n_kept_baseline"]
    (['small', 'large'], 0)
    """
    X, quality = by_prompt(X), by_prompt(quality)
    cost = by_prompt(spread_prices(cost, quality))
    check_model(baseline, quality.columns, "baseline")
    parts, n_kept = [], 0
    for seen, test in KFold(n_folds, shuffle=True, random_state=random_state).split(quality):
        inside = {"quality": quality.iloc[seen], "cost": cost.iloc[seen]}
        known = None if intents is None else intents.iloc[seen]
        sweep = cross_sweep(router, X.iloc[seen], **inside, intents=known, cv=n_folds, random_state=random_state + 1)
        try:
            point = choose_operating_point(
                sweep, **inside, baseline=baseline, max_quality_loss=max_quality_loss, assurance=assurance
            )
        except NoOperatingPointError:
            parts.append(always(baseline, quality.index[test]))
            n_kept += 1
            continue
        fitted = fit_copy(router, X.iloc[seen], **inside, intents=known)
        last = fitted[-1] if isinstance(fitted, Pipeline) else fitted
        last.set_params(willingness_to_pay=point.willingness_to_pay)
        chosen = fitted.predict(X.iloc[test])
        chosen.index = quality.index[test]  # a step of a pipeline may have dropped the labels
        parts.append(chosen)
    n_abstained = sum(part.attrs.get("n_abstained", 0) for part in parts)
    choices = pd.concat(parts).loc[quality.index]
    choices.attrs = {"n_kept_baseline": n_kept, "n_folds": n_folds, "n_abstained": n_abstained}
    note = provenance_of(X, quality, cost)
    if note:
        choices.attrs["provenance"] = note
    return choices
