"""Look up what choices cost and what they are worth."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from routerlab.decision import Sweep
from routerlab.schema import Outcomes, check_aligned, reject, shown


class Scored(NamedTuple):
    """Measured quality and cost, both of shape (n_prompts, n_models), in the order of some choices."""

    quality: NDArray[np.float64]
    cost: NDArray[np.float64]
    models: pd.Index


def align(index: pd.Index, models: pd.Index, quality: pd.DataFrame, cost: pd.DataFrame) -> Scored:
    """Check the outcomes and bring them into the order of `index`.

    Raises
    ------
    TableError
        If the prompts differ from `index`, or a chosen model has no outcomes.
    """
    quality, cost = check_aligned(quality, cost)
    if not index.is_unique:
        reject(
            "choices", f"prompt_id {shown(index[index.duplicated()])} appears twice.", "Choose once for each prompt."
        )
    odd = index.symmetric_difference(quality.index)
    if len(odd) == len(index) + len(quality.index):
        reject(
            "choices and outcomes",
            f"no prompt is in both: choices have {shown(index, 3)}, outcomes have {shown(quality.index, 3)}.",
            "Evaluate on the outcomes of the same split.",
        )
    if len(odd):
        reject(
            "choices and outcomes",
            f"prompt_id {shown(odd)} is in one and not in the other.",
            "Select the same prompts: quality.loc[choices.index], cost.loc[choices.index].",
        )
    absent = models.difference(quality.columns)
    if len(absent):
        reject(
            "choices", f"model {shown(absent)} has no outcomes; there are {shown(quality.columns, 20)}.", "Add them."
        )
    if not quality.index.equals(index):
        quality, cost = Outcomes(quality.loc[index], cost.loc[index])
    return Scored(quality.to_numpy(dtype=float), cost.to_numpy(dtype=float), quality.columns)


def _chosen_cells(choices: pd.Series, models: pd.Index, frame: Any) -> Any:
    """Keep what was chosen: a missing or odd value of another model must not stand in the way."""
    known = isinstance(frame, pd.DataFrame) and frame.columns.is_unique and frame.index.is_unique
    if not known or not choices.index.is_unique or not len(models) or not models.isin(frame.columns).all():
        return frame  # `align` says what is wrong
    code = pd.Series(pd.factorize(choices)[0], index=choices.index).reindex(frame.index).to_numpy()
    return frame[models].where(code[:, None] == np.arange(len(models)), 0.0)


def score_choices(choices: pd.Series, quality: pd.DataFrame, cost: pd.DataFrame) -> pd.DataFrame:
    """Look up measured quality and cost of each prompt's chosen model.

    Parameters
    ----------
    choices : Series of shape (n_prompts,)
        Model names indexed by prompt id.
    quality, cost : DataFrame of shape (n_prompts, n_models)
        Measured outcomes of the same prompts.

    Returns
    -------
    DataFrame of shape (n_prompts, 2)
        Columns ``quality`` and ``cost_usd``.

    Examples
    --------
    >>> quality = pd.DataFrame({"a": [0.5, 1.0], "b": [1.0, 1.0]}, index=["p1", "p2"])
    >>> score_choices(pd.Series({"p1": "b", "p2": "a"}), quality, quality / 100)["quality"].tolist()
    [1.0, 1.0]
    """
    if not isinstance(choices, pd.Series):
        reject(
            "choices", f"expected a Series prompt_id -> model, got {type(choices).__name__}.", "Use router.predict(X)."
        )
    models = pd.Index(choices.unique())
    scored = align(choices.index, models, *(_chosen_cells(choices, models, frame) for frame in (quality, cost)))
    column = scored.models.get_indexer(choices)
    row = np.arange(len(choices))
    return pd.DataFrame(
        {"quality": scored.quality[row, column], "cost_usd": scored.cost[row, column]}, index=choices.index
    )


class Running(NamedTuple):
    """Mean over prompts, and the variance of that mean, at each operating point; each of shape (n_points,)."""

    mean: NDArray[np.float64]
    variance: NDArray[np.float64]


def last_of_equal(wtp: NDArray[np.float64]) -> NDArray[np.intp]:
    """Position after which each distinct willingness to pay has been passed."""
    if not len(wtp):
        return np.empty(0, dtype=np.intp)
    return np.append(np.nonzero(np.diff(wtp))[0], len(wtp) - 1)


def running(
    sweep: Sweep,
    values: NDArray[np.float64],
    last: NDArray[np.intp],
    variance: bool,
    codes: NDArray[np.intp] | None = None,
) -> Running:
    """Accumulate ``values[prompt, choice]`` over all operating points of a sweep, exactly.

    Parameters
    ----------
    values : ndarray of shape (n_prompts, n_models)
        In the order of ``sweep.index`` and ``sweep.models``.
    last : ndarray
        From `last_of_equal`.
    variance : bool
        Whether the variance is wanted too.
    codes : ndarray of shape (n_prompts,), optional
        Group of each prompt, from `stats.group_codes`: the variance is then that between groups.
    """
    n = len(sweep.index)
    start = values[np.arange(n), sweep.first]
    # Centring keeps the running sum of squares from losing digits.
    centre = start.mean()
    step = values[sweep.prompt, sweep.target] - values[sweep.prompt, sweep.origin]
    total = _accumulate((start - centre).sum(), step, last)
    if not variance:
        return Running(centre + total / n, np.empty(0))
    codes = np.arange(n) if codes is None else codes
    size = np.bincount(codes).astype(float)
    held = np.bincount(codes, start - centre).astype(float)  # each group's total before the first switch
    before = _totals_before(codes[sweep.prompt], step, held)
    squares = _accumulate(float(held @ held), step * (2 * before + step), last)
    crossed = _accumulate(float(held @ size), step * size[codes[sweep.prompt]], last)
    mean = total / n
    residual = squares - 2 * mean * crossed + mean**2 * (size @ size)
    n_groups = len(size)
    spread = np.maximum(residual, 0) / n**2 * n_groups / (n_groups - 1) if n_groups > 1 else np.full(len(total), np.nan)
    return Running(centre + mean, spread)


def _totals_before(
    group: NDArray[np.intp], step: NDArray[np.float64], held: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Total of each switch's group just before the switch."""
    order = np.argsort(group, kind="stable")
    passed = np.cumsum(step[order]) - step[order]
    ordered = group[order]
    first = np.append(True, ordered[1:] != ordered[:-1]) if len(order) else np.empty(0, dtype=bool)
    passed -= np.repeat(passed[first], np.diff(np.append(np.nonzero(first)[0], len(order))))
    before = np.empty(len(order))
    before[order] = passed + held[ordered]
    return before


def _accumulate(start: float, step: NDArray[np.float64], last: NDArray[np.intp]) -> NDArray[np.float64]:
    return np.append(start, start + np.cumsum(step)[last])
