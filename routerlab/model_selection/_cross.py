"""Out-of-fold sweeps: every prompt is judged by a router that never saw it."""

from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import clone
from sklearn.pipeline import Pipeline

from routerlab.decision import Estimates, Sweep, estimates_of, sweep_arrays
from routerlab.exceptions import ParameterError
from routerlab.model_selection._copies import Folds, copy_codes, grouped_folds, refuse_learned, warn_of_near_copies
from routerlab.routers import IntentRouter, rows_like, training_outcomes
from routerlab.schema import Outcomes, by_prompt, provenance_of, reject


def cross_estimates(
    router: Any,
    X: Any,
    quality: pd.DataFrame | Outcomes,
    cost: pd.DataFrame | None = None,
    *,
    intents: pd.Series | None = None,
    groups: Any = None,
    prompts: Any = None,
    cv: int | Folds = 5,
    random_state: Any = 0,
) -> Estimates:
    """Estimate every prompt's quality and cost by a copy of the router fitted on the other folds.

    Parameters
    ----------
    router : router or Pipeline that ends in one
        Cloned for each fold. The earlier steps of a pipeline are fitted on the training folds alone,
        with `intents` (else `quality`) as their y.
    X : DataFrame of shape (n_prompts, n_features), or what the pipeline's first step takes
        Embeddings, or a Series of prompts for a pipeline that starts with an embedder.
    quality, cost : DataFrame of shape (n_prompts, n_models), cost optional with Outcomes
        Measured outcomes of the same prompts.
    intents : Series of shape (n_prompts,), optional
        Needed by `IntentRouter`.
    groups : Series or array of shape (n_prompts,), optional
        Prompts that folds must not tear apart (one conversation, customer, template).
    prompts : Series of shape (n_prompts,), optional
        Texts, to find copies by where X is an embedding.
    cv : int or iterable of (train, test) positions, default 5
        Shuffled folds, or your own. A number of folds keeps together `groups` and copies: equal texts (but for case
        and spacing), and equal rows of an embedding.
    random_state : int or Generator, default 0
        Shuffles the folds.

    Warns
    -----
    CopiesWarning
        Prompts have near copies (cosine above 0.99) in other folds.

    Returns
    -------
    Estimates
        Named tuple of ``quality`` and ``cost``, DataFrames of shape (n_prompts, n_models), and
        ``abstained`` of shape (n_prompts,).

    Raises
    ------
    TableError
        `intents` is missing, and the router learns from it; or X and the outcomes are of other prompts.
    ParameterError
        Folds that leave prompts in no test part.

    Examples
    --------
    >>> from routerlab.routers import KNNRouter
    >>> X = pd.DataFrame(np.eye(4))
    >>> quality = pd.DataFrame({"m": [0.0, 0.0, 1.0, 1.0]})
    >>> folds = [([0, 1], [2, 3]), ([2, 3], [0, 1])]
    >>> cross_estimates(KNNRouter(2), X, quality, quality, cv=folds).quality["m"].tolist()
    [1.0, 1.0, 0.0, 0.0]
    """
    X = by_prompt(X)
    outcomes = training_outcomes(X, quality, cost, missing=True)  # fit says whether it takes empty cells
    index, models = outcomes.index, outcomes.models
    needs_intents = isinstance(_last(router), IntentRouter)
    if needs_intents and intents is None:
        reject("'intents'", "is missing, and IntentRouter learns from it.", "Pass intents=prompts['intent'].")
    if intents is not None:
        intents = pd.Series(rows_like(X, intents, "intents"))
    estimated, paid = np.full((2, len(index), len(models)), np.nan)
    abstained = np.zeros(len(index), dtype=bool)
    for train, test in folds_of(router, X, index, intents, groups, prompts, cv, random_state):
        known = None if intents is None else intents.iloc[train]
        fitted = fit_copy(router, rows_of(X, train), outcomes.iloc[train], intents=known)
        X_test = rows_of(X, test)
        if isinstance(fitted, Pipeline):
            X_test = fitted[:-1].transform(X_test)
        estimates = estimates_of(_last(fitted), X_test)
        estimated[test], paid[test], abstained[test] = estimates.quality, estimates.cost, estimates.abstained
    if np.isnan(estimated).any():
        n_left = int(np.isnan(estimated).any(axis=1).sum())
        reject("'cv'", f"leaves {n_left} of {len(index)} prompts in no test fold.", "Cover them all.", ParameterError)
    note = provenance_of(X, outcomes)
    frames = [pd.DataFrame(values, index=index, columns=models) for values in (estimated, paid)]
    for frame in frames:
        frame.attrs = {"provenance": note} if note else {}
    return Estimates(frames[0], frames[1], abstained)


def cross_sweep(
    router: Any, X: Any, quality: pd.DataFrame | Outcomes, cost: pd.DataFrame | None = None, **options: Any
) -> Sweep:
    """Sweep a router on all prompts, each estimated by a copy fitted on the other folds.

    Parameters
    ----------
    router, X, quality, cost
        See `cross_estimates`.
    **options
        As of `cross_estimates`: `intents`, `groups`, `prompts`, `cv`, `random_state`.

    Returns
    -------
    Sweep
        In the order of X; one willingness to pay acts on all folds.

    Examples
    --------
    >>> from routerlab.routers import KNNRouter
    >>> X = pd.DataFrame(np.random.default_rng(0).normal(size=(20, 3)))
    >>> quality = pd.DataFrame({"small": [0.0, 1.0] * 10, "large": [1.0] * 20})
    >>> cross_sweep(KNNRouter(3), X, quality, quality / 100, cv=4)
    Sweep(n_prompts=20, n_models=2, n_switches=18, n_abstained=0)
    """
    estimates = cross_estimates(router, X, quality, cost, **options)
    return sweep_arrays(
        estimates.quality.to_numpy(),
        estimates.cost.to_numpy(),
        estimates.quality.index,
        estimates.quality.columns,
        abstained=estimates.abstained,
        fallback=getattr(_last(router), "fallback", None),
        provenance=provenance_of(estimates.quality),
    )


def _last(router: Any) -> Any:
    return router[-1] if isinstance(router, Pipeline) else router


def folds_of(
    router: Any, X: Any, index: pd.Index, intents: Any, groups: Any, prompts: Any, cv: int | Folds, random_state: Any
) -> Folds:
    """Folds for this X: your own, or shuffled ones that keep groups and copies together."""
    refuse_learned(X, router, intents=intents is not None)
    if not isinstance(cv, (int, np.integer)):
        return cv
    codes = copy_codes(X, index, groups, prompts)
    warn_of_near_copies(X, codes)
    seed = int(np.random.default_rng(random_state).integers(2**31))
    return grouped_folds(codes, cv, seed)


def rows_of(X: Any, rows: Any) -> Any:
    """Select rows by position."""
    return X.iloc[rows] if hasattr(X, "iloc") else np.asarray(X)[rows]


def fit_copy(
    router: Any,
    X: Any,
    quality: pd.DataFrame | Outcomes,
    cost: pd.DataFrame | None = None,
    *,
    intents: pd.Series | None = None,
) -> Any:
    """Fit a clone of a router, or of a pipeline that ends in one.

    Parameters
    ----------
    router : router or Pipeline
        Left as it is.
    X, quality, cost
        Training rows; see `cross_estimates`.
    intents : Series of shape (n_prompts,), optional
        What the steps before the router learn from in place of quality, and `IntentRouter` as well.

    Returns
    -------
    router or Pipeline
        Fitted.

    Examples
    --------
    >>> from routerlab.routers import KNNRouter
    >>> quality = pd.DataFrame({"small": [0.0, 1.0]})
    >>> fit_copy(KNNRouter(1), np.eye(2, dtype=np.float32), quality, quality / 100).models_.tolist()
    ['small']
    """
    steps, last = (clone(router[:-1]), clone(router[-1])) if isinstance(router, Pipeline) else (None, clone(router))
    if steps is not None:
        learned = quality.quality if isinstance(quality, Outcomes) else quality
        X = steps.fit_transform(X, learned if intents is None else intents)
    if isinstance(quality, Outcomes) and not type(last).__module__.startswith("routerlab."):
        quality, cost = quality  # a router of another library takes frames
    if isinstance(last, IntentRouter):
        last.fit(X, intents, quality=quality, cost=cost)
    else:
        last.fit(X, quality, cost=cost)
    return last if steps is None else Pipeline([*steps.steps, (router.steps[-1][0], last)])
