"""Look up what choices cost and what they are worth."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from routerlab.decision import Sweep
from routerlab.schema import Outcomes, by_prompt, check_aligned, id_remedy, kind_of, plain, reject, shown, spread_prices
from routerlab.stats import Codes, few_groups_note, group_codes

_COPIES = "copies of a prompt, and groups, that held_out_choices kept together count as one piece of evidence each"
_BLOCK = 2**14  # switches scored at once: what they read twice stays in a core's cache


class Scored(NamedTuple):
    """Measured quality and cost, both of shape (n_prompts, n_models), in the order of some choices."""

    quality: NDArray[np.float64]
    cost: NDArray[np.float64]
    models: pd.Index


def align(index: pd.Index, models: pd.Index, outcomes: Outcomes, *, missing: bool = False) -> Scored:
    """Bring outcomes into the order of `index`, and say what of them is not there."""
    quality, cost = outcomes
    if not index.is_unique:
        reject(
            "choices", f"prompt_id {shown(index[index.duplicated()])} appears twice.", "Choose once for each prompt."
        )
    if index.nlevels != quality.index.nlevels:
        levels = f"{index.nlevels} levels of prompt ids, and the outcomes {quality.index.nlevels}"
        reject("choices", f"have {levels}.", "Index both by prompt_id alone.")
    odd: Any = () if index.equals(quality.index) else index.symmetric_difference(quality.index)
    same_kind = id_remedy(index, quality.index, ("the choices", "the outcomes"), "") if len(odd) else ""
    if len(odd) == len(index) + len(quality.index):
        wrong = f"no prompt is in both: choices have {shown(index, 3)}, outcomes have {shown(quality.index, 3)}."
        reject("choices and outcomes", wrong, same_kind or "Evaluate on the outcomes of the same split.")
    if len(odd):
        remedy = same_kind or "Select the same prompts: quality.loc[choices.index], cost.loc[choices.index]."
        reject("choices and outcomes", f"prompt_id {shown(odd)} is in one and not in the other.", remedy)
    absent = models.difference(quality.columns)
    if len(absent):
        reject(
            "choices", f"model {shown(absent)} has no outcomes; there are {shown(quality.columns, 20)}.", "Add them."
        )
    if missing and (costless := (cost.isna() & quality.notna()).to_numpy()).any():
        row, column = (int(axis[0]) for axis in np.nonzero(costless))
        reject(
            "'cost'",
            f"is nan (empty) for {quality.columns[column]!r} on prompt {quality.index[row]!r}, whose quality is known.",
            "Fill it: rl.add_cost(responses); or empty that quality as well.",
        )
    if not quality.index.equals(index):
        quality, cost = quality.loc[index], cost.loc[index]
    return Scored(quality.to_numpy(dtype=float), cost.to_numpy(dtype=float), quality.columns)


def check_choices(choices: Any) -> pd.Series:
    """Insist on a model for every prompt.

    Examples
    --------
    >>> check_choices(pd.Series({"p1": "a", "p2": None}))
    Traceback (most recent call last):
    routerlab.exceptions.TableError: choices: no model is chosen for prompt_id 'p2'. Choose one ...
    """
    if not isinstance(choices, pd.Series):
        reject("choices", f"expected a Series prompt_id -> model, got {kind_of(choices)}.", "Use router.predict(X).")
    if not len(choices):
        reject("choices", "are empty.", "Check the split that you selected.")
    empty = choices.isna().to_numpy()
    if empty.any():
        wrong = f"no model is chosen for prompt_id {shown(choices.index[empty])}."
        reject("choices", wrong, "Choose one for each prompt, e.g. choices.fillna(baseline).")
    return plain(choices)


def groups_of(groups: Any, *several: pd.Series) -> Codes | None:
    """Return the number of each prompt's group: as given, or as `held_out_choices` kept them together.

    Examples
    --------
    >>> choices = pd.Series("m", index=["p", "q", "r"])
    >>> choices.attrs["copies"] = {"p": 0, "r": 0}
    >>> groups_of(None, choices).tolist()
    [0, 1, 0]
    """
    index = several[0].index
    known = next((copies for choices in several if (copies := choices.attrs.get("copies"))), None)
    if groups is not None or not known:
        return group_codes(groups, index)
    found = pd.factorize(np.array([known.get(prompt, -1 - row) for row, prompt in enumerate(index)]))[0]
    return None if found.max() + 1 == len(index) else found.astype(np.intp)


def group_notes(groups: Any, codes: Codes | None) -> tuple[str | None, str | None]:
    """Say where the groups come from if they were not given, and that they are few.

    Examples
    --------
    >>> group_notes(None, None), group_notes([0, 0, 1] * 20, np.arange(60) % 30)
    ((None, None), (None, None))
    """
    return _COPIES if groups is None and codes is not None else None, few_groups_note(codes)


def chosen_outcomes(several: Sequence[pd.Series], quality: Any, cost: Any, *, missing: bool = False) -> Outcomes:
    """Check the outcomes of what was chosen: a missing or odd value of another model must not stand in the way."""
    models = pd.unique(pd.concat(several))
    if isinstance(quality, Outcomes):
        outcomes = check_aligned(quality, cost, missing=True)
        if not outcomes.complete:
            outcomes = Outcomes.checked(*(_chosen_cells(several, models, frame) for frame in outcomes))
        return check_aligned(outcomes, missing=missing)
    quality = by_prompt(quality)
    cost = spread_prices(by_prompt(cost), quality) if isinstance(quality, pd.DataFrame) else cost
    return check_aligned(*(_chosen_cells(several, models, frame) for frame in (quality, cost)), missing=missing)


def _chosen_cells(several: Sequence[pd.Series], models: Any, frame: Any) -> Any:
    known = isinstance(frame, pd.DataFrame) and frame.columns.is_unique and frame.index.is_unique
    known = known and all(choices.index.is_unique for choices in several)
    if not known or not len(models) or not pd.Index(models).isin(frame.columns).all():
        return frame  # `align` says what is wrong
    chosen = np.zeros((len(frame), len(models)), dtype=bool)
    for choices in several:
        place = pd.Series(pd.Index(models).get_indexer(choices), index=choices.index).reindex(frame.index).to_numpy()
        chosen |= place[:, None] == np.arange(len(models))
    cells = frame[models]
    if not all(kind.kind in "fiu" for kind in cells.dtypes):  # booleans and categories hold no 0.0
        cells = cells.apply(lambda column: plain(column).astype(object))
    return cells.where(chosen, 0.0)


def score_choices(
    choices: pd.Series, quality: pd.DataFrame | Outcomes, cost: pd.DataFrame | None = None, *, missing: bool = False
) -> pd.DataFrame:
    """Look up measured quality and cost of each prompt's chosen model.

    Parameters
    ----------
    choices : Series of shape (n_prompts,)
        Model names indexed by prompt id.
    quality, cost : DataFrame of shape (n_prompts, n_models), cost optional with Outcomes
        Measured outcomes of the same prompts.
    missing : bool, default False
        Whether cells may be empty (NaN); those of chosen models are then empty here.

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
    choices = check_choices(choices)
    outcomes = chosen_outcomes([choices], quality, cost, missing=missing)
    scored = align(choices.index, pd.Index(choices.unique()), outcomes, missing=missing)
    row, column = np.arange(len(choices)), scored.models.get_indexer(choices)
    found = {"quality": scored.quality[row, column], "cost_usd": scored.cost[row, column]}
    return pd.DataFrame(found, index=choices.index)


def stand_ins(known: NDArray[np.bool_], choices: pd.Series) -> NDArray[np.float64]:
    """Weights of prompts whose outcome is known, so that they stand for all to which the same model was given.

    They sum to the number of prompts with a known outcome. That is post-stratification by the chosen model, and right
    if what is known does not depend on the prompt.

    Examples
    --------
    >>> stand_ins(np.array([True, True, False, True]), pd.Series(["a", "b", "b", "a"])).tolist()
    [0.75, 1.5, 0.75]
    """
    code, models = pd.factorize(choices)
    asked, answered = np.bincount(code, minlength=len(models)), np.bincount(code[known], minlength=len(models))
    if (answered == 0).any():
        wrong = f"on no prompt that was given to {shown(models[answered == 0])} is its outcome known."
        reject("'quality' and 'cost'", wrong, "Have those responses judged, or evaluate a router without that model.")
    return (asked / answered)[code[known]] * known.sum() / len(known)


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

    Where values are empty, the known ones of a model stand for all prompts to which it is given, as in `stand_ins`.
    `last` comes from `last_of_equal`. With `codes`, from `stats.group_codes`, the variance is that between groups.
    """
    n = len(sweep.index)
    if np.isnan(values).any():
        return _stratified(sweep, values, last)
    start = values[np.arange(n), sweep.first]
    # Centring keeps the running sum of squares from losing digits.
    centre = start.mean()
    step = _steps(sweep, values)
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


def _steps(sweep: Sweep, values: NDArray[np.float64]) -> NDArray[np.float64]:
    """``values[prompt, target] - values[prompt, origin]`` of each switch; both are read while their row is at hand."""
    flat = values.ravel("A")  # a view where memory goes by prompts or by models
    by_models = values.flags.f_contiguous and not values.flags.c_contiguous
    stride, across = (1, np.intp(len(values))) if by_models else (values.shape[1], np.intp(1))
    step = np.empty(len(sweep.prompt))
    for start in range(0, len(step), _BLOCK):
        part = slice(start, start + _BLOCK)
        row = sweep.prompt[part].astype(np.intp) * stride
        step[part] = flat[row + sweep.target[part] * across] - flat[row + sweep.origin[part] * across]
    return step


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


def _stratified(sweep: Sweep, values: NDArray[np.float64], last: NDArray[np.intp]) -> Running:
    """Mean over prompts, model by model from those that are known; and the variance that n known values would give it.

    Both are NaN at points where no value is known of some model that is chosen.
    """
    n, known = len(sweep.index), ~np.isnan(values)
    filled = np.where(known, values, 0.0)
    mean, square, within = np.zeros((3, len(last) + 1))
    for model in range(values.shape[1]):
        moved, first = (sweep.target == model) - (sweep.origin == model).astype(float), sweep.first == model

        def total(column: NDArray[np.float64], moved: Any = moved, first: Any = first) -> NDArray[np.float64]:
            return np.round(_accumulate(column[first].sum(), moved * column[sweep.prompt], last), 9)

        chosen, seen = total(np.ones(n)), total(known[:, model].astype(float))
        with np.errstate(invalid="ignore", divide="ignore"):
            average = np.where(chosen > 0, total(filled[:, model]) / seen, 0.0)
            spread = total(filled[:, model] ** 2) - seen * average**2
            spread = np.where(chosen > 0, np.maximum(spread, 0.0) / (seen - 1), 0.0)
            within = within + np.where(chosen > 0, (chosen / n) ** 2 * n * spread / seen, 0.0)
        mean, square = mean + chosen / n * average, square + chosen / n * average**2
    return Running(mean, (within + square - mean**2) / n)


def _accumulate(start: float, step: NDArray[np.float64], last: NDArray[np.intp]) -> NDArray[np.float64]:
    return np.append(start, start + np.cumsum(step)[last])
