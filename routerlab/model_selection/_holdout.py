"""Choices for prompts that nothing has seen: fit, operating point and claim on three splits, rotated."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from routerlab.deprecation import renamed
from routerlab.evaluation import always
from routerlab.exceptions import NoOperatingPointError, ParameterError
from routerlab.model_selection._copies import (
    Folds,
    copy_codes,
    grouped_folds,
    promise_folds,
    refuse_learned,
    warn_of_near_copies,
)
from routerlab.model_selection._cross import cross_sweep, fit_copy, rows_of
from routerlab.model_selection._operating import apply_point, choose_operating_point
from routerlab.routers import training_outcomes
from routerlab.schema import Outcomes, by_prompt, check_model, models_of, provenance_of, reject


@renamed(n_folds="cv")
def held_out_choices(
    router: Any,
    X: Any,
    quality: pd.DataFrame | Outcomes,
    cost: pd.DataFrame | None = None,
    *,
    baseline: str,
    max_quality_loss: float = 0.01,
    guarantee: float | None = None,
    groups: Any = None,
    prompts: Any = None,
    assurance: float | None = None,
    intents: pd.Series | None = None,
    cv: int | Folds = 5,
    random_state: int = 0,
) -> pd.Series:
    """Choose a model for every prompt with a router and an operating point that have not seen it.

    For each fold, the operating point is found inside the other folds, out of fold there as well, and the router is
    fitted on them; then it chooses for the fold. With a guarantee it is fitted on half of them and tested by the other
    half: the promise is of this one router (see `promise_folds`). So every prompt counts as a test prompt once, and
    `savings` of the choices is a claim on all of them. Where no operating point is good enough, the fold keeps the
    baseline: that is the advice.

    Parameters
    ----------
    router : router or Pipeline that ends in one
        Left as it is; clones are fitted.
    X : DataFrame of shape (n_prompts, n_features)
        Embeddings that have not learned from `quality` or `intents`, or what the pipeline's first step takes.
    quality, cost : DataFrame of shape (n_prompts, n_models), cost optional with Outcomes
        Measured outcomes of the same prompts. Rows are joined by prompt_id where X has labels, and else stand in the
        order of X.
    baseline : str
        The model that is paid for on every request today.
    max_quality_loss : float, default 0.01
        Mean quality may fall below the baseline's by this much.
    guarantee : float, optional
        0.95, say: with this probability the router of each fold keeps to the bar, see `promise`. By default each fold
        takes the cheapest point whose *estimate* reaches the bar: an optimistic choice, as it was selected, which loses
        more than the bar about as often as not. What the choices do lose is for `savings` to say.
    groups : Series or array of shape (n_prompts,), optional
        Prompts that belong together (one conversation, customer, template): no fold tears them apart, and the
        guarantee counts each group once.
    prompts : Series of shape (n_prompts,), optional
        Texts, to find copies by where X is an embedding.
    assurance : float, optional
        Deprecated: use `guarantee`.
    intents : Series of shape (n_prompts,), optional
        Needed by `IntentRouter`.
    cv : int or iterable of (train, test) positions, default 5
        Outer folds, and as many inside (5 where they are your own). A number of folds shuffles, and keeps together
        `groups` and copies of one prompt (equal texts, equal rows of an embedding).
    random_state : int, default 0
        Shuffles the folds.

    Returns
    -------
    Series of shape (n_prompts,)
        Model names. ``attrs["n_kept_baseline"]`` counts the folds in which no operating point was good enough,
        ``attrs["n_groups"]`` the groups, if some prompts were kept together: pass them on to `savings`.
        ``attrs["max_quality_loss"]`` and ``attrs["guarantee"]`` are the bar: None is an estimate, not a promise.

    Raises
    ------
    TableError
        X and the outcomes are of other prompts, a model has no outcomes at all, the baseline is unknown, or X is an
        embedding that has learned from the answers of all prompts.
    ParameterError
        Folds that do not test each prompt once, more folds than groups of prompts, or a bar that is not a number.

    Warns
    -----
    CopiesWarning
        Prompts have near copies (cosine above 0.99) in other folds.

    Notes
    -----
    The folds' routers share training prompts, so an interval that resamples prompts and holds the routers fixed leaves
    out how another training set would change them: `repeat_claims` shows that.

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
    X = by_prompt(X)
    check_model(baseline, models_of(quality), "baseline")
    refuse_learned(X, router, intents=intents is not None)
    outcomes = training_outcomes(X, quality, cost, missing=True)
    codes = copy_codes(X, outcomes.index, groups, prompts)
    options = {
        "baseline": baseline,
        "max_quality_loss": max_quality_loss,
        "guarantee": guarantee,
        "assurance": assurance,
    }
    inside = 5
    if isinstance(cv, (int, np.integer)):
        warn_of_near_copies(X, codes)
        inside, cv = int(cv), grouped_folds(codes, cv, random_state)
    parts = [
        choices_of(router, X, outcomes, seen, test, codes, intents, inside, random_state + 1, options)
        for seen, test in cv
    ]
    choices = pd.concat(parts)
    if not choices.index.is_unique or len(choices) != len(outcomes.index):
        reject(
            "'cv'",
            f"tests {len(choices)} prompts, and there are {len(outcomes.index)}.",
            "Test each prompt once.",
            ParameterError,
        )
    choices = choices.loc[outcomes.index]
    choices.attrs = {
        "n_kept_baseline": sum(part.attrs["kept_baseline"] for part in parts),
        "n_folds": len(parts),
        "n_abstained": sum(part.attrs.get("n_abstained", 0) for part in parts if not part.attrs["kept_baseline"]),
        "max_quality_loss": max_quality_loss,
        "guarantee": guarantee,
    }
    if choices.attrs["n_kept_baseline"] == len(parts):
        choices.attrs["always"] = baseline
    if codes.max(initial=-1) + 1 < len(codes):
        choices.attrs["n_groups"] = int(codes.max()) + 1
    note = provenance_of(X, outcomes)
    if note:
        choices.attrs["provenance"] = note
    return choices


def choices_of(
    router: Any,
    X: Any,
    outcomes: Outcomes,
    seen: Any,
    test: Any,
    codes: Any,
    intents: pd.Series | None,
    n_folds: int,
    random_state: Any,
    options: dict[str, Any],
) -> pd.Series:
    """Find the operating point and fit on the `seen` positions, and choose for the `test` positions."""
    inside = outcomes.iloc[seen]
    known = None if intents is None else intents.iloc[seen]
    groups = codes[seen]
    seed = int(np.random.default_rng(random_state).integers(2**31))
    folds, learn = grouped_folds(groups, n_folds, seed), None
    if options["guarantee"] is not None:
        folds, learn = promise_folds(groups, n_folds, seed)
    sweep = cross_sweep(router, rows_of(X, seen), inside, intents=known, cv=folds)
    try:
        point = choose_operating_point(
            sweep, inside, groups=groups, random_state=random_state, ordering=learn, **options
        )
    except NoOperatingPointError:
        point = None
    if point is None or point.keeps_baseline:
        kept = always(options["baseline"], outcomes.index[test])
        kept.attrs["kept_baseline"] = True
        return kept
    if learn is not None:  # the promise is of this router
        seen = seen[learn]
        inside, known = inside.iloc[np.flatnonzero(learn)], None if known is None else known[learn]
    fitted = apply_point(fit_copy(router, rows_of(X, seen), inside, intents=known), point)
    chosen = fitted.predict(rows_of(X, test))
    chosen.index = outcomes.index[test]  # a step of a pipeline may have dropped the labels
    chosen.attrs["kept_baseline"] = False
    return chosen
