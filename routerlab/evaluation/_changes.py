"""A part of a frontier: which prompts change their model in it, and what that changes. No browser in it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from routerlab.decision import Sweep, check_wtp
from routerlab.evaluation import frontier
from routerlab.schema import check_model, reject, shown
from routerlab.stats import mean_interval
from routerlab.widgets._drawing import cost_scale


def check_sweep(sweep: Any, quality: pd.DataFrame) -> Sweep:
    """Return a sweep; two models make one in which every prompt moves from the first to the second."""
    if isinstance(sweep, Sweep):
        return sweep
    if isinstance(sweep, str) or not isinstance(sweep, Sequence) or len(sweep) != 2 or sweep[0] == sweep[1]:
        got = type(sweep).__name__ if not isinstance(sweep, str | list | tuple) else repr(sweep)
        reject("'sweep'", f"got {got}.", "Pass router.sweep(X), or two models, e.g. ('gpt-4', 'mixtral').")
    for model in sweep:
        check_model(model, quality.columns, "sweep")
    n = len(quality)
    zeros, none = np.zeros(n, dtype=np.int8), np.zeros(n, dtype=bool)
    return Sweep(quality.index, pd.Index(list(sweep)), zeros, np.arange(n), zeros, zeros + 1, np.ones(n), none)


def changes(sweep: Sweep, upper: float, lower: float, quality: pd.DataFrame, cost: pd.DataFrame) -> pd.DataFrame:
    """Return the prompts whose choice changes as willingness to pay falls from `upper` to `lower`.

    Parameters
    ----------
    sweep : Sweep
        Operating points of a router.
    upper, lower : float
        Willingness to pay (USD per unit of quality and request) at the two ends; a switch at `lower` is taken.
    quality, cost : DataFrame of shape (n_prompts, n_models)
        Measured outcomes.

    Returns
    -------
    DataFrame of shape (n_changed, 6)
        ``prompt_id, model_from, model_to, willingness_to_pay`` (at which the prompt leaves its first model),
        ``quality_change, cost_change_usd`` (measured), in the order of the sweep's prompts.

    Examples
    --------
    >>> from routerlab.decision import sweep_estimates
    >>> quality = pd.DataFrame({"small": [0.6, 0.2], "large": [0.7, 0.9]}, index=["p1", "p2"])
    >>> cost = pd.DataFrame({"small": [0.001, 0.001], "large": [0.011, 0.011]}, index=["p1", "p2"])
    >>> part = changes(sweep_estimates(quality, cost), float("inf"), 0.05, quality, cost)
    >>> part[["prompt_id", "model_from", "model_to"]].values.tolist()
    [['p1', 'large', 'small']]
    """
    start, stop = (_taken(sweep, wtp) for wtp in (upper, lower))
    prompt = sweep.prompt[start:stop]
    changed, first = np.unique(prompt, return_index=True)
    last = len(prompt) - 1 - np.unique(prompt[::-1], return_index=True)[1]
    before, after = sweep.origin[start:stop][first], sweep.target[start:stop][last]
    frame = pd.DataFrame(
        {
            "prompt_id": sweep.index[changed],
            "model_from": sweep.models.to_numpy()[before],
            "model_to": sweep.models.to_numpy()[after],
            "willingness_to_pay": sweep.wtp[start:stop][first],
        }
    )
    for name, table in (("quality_change", quality), ("cost_change_usd", cost)):
        values = table.loc[sweep.index[changed], sweep.models].to_numpy(dtype=float)
        row = np.arange(len(changed))
        frame[name] = values[row, after] - values[row, before]
    return frame


def _taken(sweep: Sweep, wtp: float) -> int:
    """Switches made on the way from infinite willingness to pay down to `wtp`, as `Sweep.at` and `frontier` count."""
    return 0 if np.isinf(check_wtp(wtp)) else int(np.searchsorted(-sweep.wtp, -wtp, side="right"))


def check_intents(by: pd.Series | None, index: pd.Index) -> pd.Series | None:
    """Return the intent of each prompt of the sweep."""
    if by is None:
        return None
    if not isinstance(by, pd.Series):
        reject("'by'", f"got {type(by).__name__}.", "Pass a Series prompt_id -> intent, e.g. prompts['intent'].")
    missing = index.difference(by.index[by.notna()])
    if len(missing):
        reject("'by'", f"has no intent for prompt {shown(missing)}.", "Give every prompt of the sweep an intent.")
    return by.loc[index]


def by_intent(part: pd.DataFrame, intents: pd.Series, confidence: float) -> pd.DataFrame:
    """Return the mean change of quality in each intent, over all its prompts, with its interval.

    Parameters
    ----------
    part : DataFrame
        From `changes`. Other prompts change by 0.
    intents : Series of shape (n_prompts,)
        Intent of every prompt.
    confidence : float
        Nominal coverage.

    Returns
    -------
    DataFrame of shape (n_intents, 5)
        Index ``intent``; columns ``n, n_changed, quality_change, ci_low, ci_high``.

    Examples
    --------
    >>> part = pd.DataFrame({"prompt_id": ["p1"], "quality_change": [-0.5]})
    >>> by_intent(part, pd.Series({"p1": "code", "p2": "code", "p3": "chat"}), 0.95)["quality_change"].to_dict()
    {'chat': 0.0, 'code': -0.25}
    """
    change = part.set_index("prompt_id")["quality_change"].reindex(intents.index)
    rows = []
    for intent, values in change.groupby(intents, observed=True):
        mean, low, high = mean_interval(values.fillna(0.0).to_numpy(), confidence=confidence)
        rows.append((intent, len(values), int(values.notna().sum()), mean, low, high))
    names = ["intent", "n", "n_changed", "quality_change", "ci_low", "ci_high"]
    return pd.DataFrame(rows, columns=names).set_index("intent")


def points_of(sweep: Sweep, quality: pd.DataFrame, cost: pd.DataFrame, confidence: float, n: int) -> pd.DataFrame:
    """Return the operating points that are drawn, with intervals: at most about `n`, evenly along the drawn cost axis.

    The first and the last are always among them.
    """
    curve = frontier(sweep, quality, cost, ci=True, confidence=confidence)
    place = np.floor(n * cost_scale(curve["cost_usd"])[0])
    curve = curve[(place != place.shift()) | (curve.index == len(curve) - 1)]
    return curve.replace([np.inf, -np.inf], np.nan).assign(willingness_to_pay=curve["willingness_to_pay"])
