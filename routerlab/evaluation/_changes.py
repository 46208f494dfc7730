"""A part of a frontier: which prompts change their model in it, and what that changes."""

import numpy as np
import pandas as pd

from routerlab.decision import Sweep, check_wtp
from routerlab.stats import mean_interval


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


def changes_by_intent(part: pd.DataFrame, intents: pd.Series, confidence: float) -> pd.DataFrame:
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
    >>> changes_by_intent(part, pd.Series({"p1": "code", "p2": "code", "p3": "chat"}), 0.95)["quality_change"].to_dict()
    {'chat': 0.0, 'code': -0.25}
    """
    change = part.set_index("prompt_id")["quality_change"].reindex(intents.index)
    rows = []
    for intent, values in change.groupby(intents, observed=True):
        mean, low, high = mean_interval(values.fillna(0.0).to_numpy(), confidence=confidence)
        rows.append((intent, len(values), int(values.notna().sum()), mean, low, high))
    names = ["intent", "n", "n_changed", "quality_change", "ci_low", "ci_high"]
    return pd.DataFrame(rows, columns=names).set_index("intent")
