"""What a router is compared with: single models, oracle, zero router, random mix; who gets which prompts."""

from typing import Any

import numpy as np
import pandas as pd

from routerlab.decision import Sweep, best_first
from routerlab.deprecation import renamed
from routerlab.evaluation._frontier import frontier, hull
from routerlab.schema import Outcomes, check_aligned, check_model, models_of, provenance_of, refuse_parameter, reject
from routerlab.stats import check_confidence


def oracle(quality: pd.DataFrame | Outcomes, cost: pd.DataFrame | None = None) -> pd.Series:
    """Choose with hindsight: each prompt's best quality, the cheapest among equals.

    Returns
    -------
    Series of shape (n_prompts,)
        Model names.

    Examples
    --------
    >>> quality = pd.DataFrame({"small": [1.0, 0.0], "large": [1.0, 1.0]})
    >>> oracle(quality, pd.DataFrame({"small": [0.1, 0.1], "large": [1.0, 1.0]})).tolist()
    ['small', 'large']
    """
    quality, cost = check_aligned(quality, cost)
    position = best_first(quality.to_numpy(dtype=float), cost.to_numpy(dtype=float))
    return pd.Series(quality.columns.to_numpy()[position], index=quality.index, name="model")


def always(model: str, index: pd.Index) -> pd.Series:
    """Choose one model for every prompt, these and any other: ``attrs["always"]`` says so.

    Examples
    --------
    >>> always("gpt-4", pd.Index(["p1", "p2"])).tolist()
    ['gpt-4', 'gpt-4']
    """
    choices = pd.Series(model, index=index, name="model", dtype=object)
    choices.attrs["always"] = model
    return choices


def random_mix(index: pd.Index, shares: dict[str, float], *, random_state: Any = 0) -> pd.Series:
    """Choose at random with given shares, blind to the prompt: what a router must beat.

    Parameters
    ----------
    index : Index of shape (n_prompts,)
        Prompt ids.
    shares : dict of model name to probability
        Must sum to 1.
    random_state : int or Generator, default 0
        Seed.

    Raises
    ------
    ParameterError
        Shares that are not probabilities which sum to 1.

    Examples
    --------
    >>> random_mix(pd.RangeIndex(4), {"small": 0.5, "large": 0.5}, random_state=0).tolist()
    ['large', 'small', 'small', 'small']
    """
    p = np.array(list(shares.values()), dtype=float)
    if not len(p) or (p < 0).any() or not np.isclose(p.sum(), 1):
        refuse_parameter("shares", "probabilities that sum to 1", shares)
    rng = np.random.default_rng(random_state)
    return pd.Series(rng.choice(list(shares), size=len(index), p=p), index=index, name="model", dtype=object)


def zero_router(quality: pd.DataFrame | Outcomes, cost: pd.DataFrame | None = None) -> pd.DataFrame:
    """Hull of the single models: what mixing them at random reaches (RouterBench's zero router).

    Returns
    -------
    DataFrame
        ``model``, ``cost_usd``, ``quality`` of the vertices, by increasing cost.

    Examples
    --------
    >>> quality = pd.DataFrame({"small": [0.4], "middle": [0.5], "large": [1.0]})
    >>> zero_router(quality, pd.DataFrame({"small": [1.0], "middle": [2.0], "large": [3.0]}))["model"].tolist()
    ['small', 'large']
    """
    quality, cost = check_aligned(quality, cost)
    x, y = cost.mean().to_numpy(), quality.mean().to_numpy()
    vx, vy = hull(x, y)
    names = [quality.columns[np.nonzero((x == a) & (y == b))[0][0]] for a, b in zip(vx, vy, strict=True)]
    return pd.DataFrame({"model": names, "cost_usd": vx, "quality": vy})


def baselines(
    quality: pd.DataFrame | Outcomes,
    cost: pd.DataFrame | None = None,
    *,
    baseline: str | None = None,
    confidence: float = 0.95,
    groups: Any = None,
) -> pd.DataFrame:
    """Score the single models, the oracle, the zero router, and a random mix.

    Cascades among the columns (`routerlab.cascade_outcomes`) are scored as well; oracle, zero router and random mix are
    those of the models.

    Parameters
    ----------
    quality, cost : DataFrame of shape (n_prompts, n_models), cost optional with Outcomes
        Measured outcomes.
    baseline : str, optional
        The model that is paid for today; the random mix runs from the cheapest model to it. By default the dearest.
    confidence : float, default 0.95
        Of the intervals of single models and the oracle, which are those of `frontier`.
    groups : Series or array of shape (n_prompts,), optional
        See `frontier`.

    Returns
    -------
    DataFrame
        ``name``, ``kind`` ('model', 'cascade', 'oracle', 'zero_router', 'random_mix'), ``cost_usd``,
        ``quality``, and ``cost_low``, ``cost_high``, ``quality_low``, ``quality_high``.

    Examples
    --------
    >>> quality = pd.DataFrame({"small": [0.0, 1.0], "large": [1.0, 1.0]})
    >>> table = baselines(quality, pd.DataFrame({"small": [0.1, 0.1], "large": [1.0, 1.0]}))
    >>> table.groupby("kind").size().to_dict()
    {'model': 2, 'oracle': 1, 'random_mix': 2, 'zero_router': 2}
    """
    check_confidence(confidence)
    outcomes = check_aligned(quality, cost)
    quality, cost = outcomes
    baseline = cost.mean().idxmax() if baseline is None else check_model(baseline, models_of(quality), "baseline")
    rows: list[dict[str, Any]] = []
    cascades = [m for m in quality.columns if m in quality.attrs.get("options", {})]
    named = [(m, "cascade" if m in cascades else "model", always(m, quality.index)) for m in quality.columns]
    alone = check_aligned(quality.drop(columns=cascades), cost.drop(columns=cascades)) if cascades else outcomes
    for name, kind, choices in [*named, ("oracle", "oracle", oracle(alone))]:
        point = frontier(choices, outcomes, ci=True, confidence=confidence, groups=groups)
        rows.append({"name": name, "kind": kind} | point.iloc[0].drop("willingness_to_pay").to_dict())
    rows += [
        {"name": m, "kind": "zero_router", "cost_usd": c, "quality": q}
        for m, c, q in zero_router(alone).itertuples(index=False, name=None)
    ]
    rows += [
        {"name": m, "kind": "random_mix", "cost_usd": cost[m].mean(), "quality": quality[m].mean()}
        for m in dict.fromkeys([alone.cost.mean().idxmin(), baseline])
    ]
    columns = ["name", "kind", "cost_usd", "quality", "cost_low", "cost_high", "quality_low", "quality_high"]
    table = pd.DataFrame(rows, columns=columns)
    table.attrs = {"n": len(quality), "baseline": baseline, "confidence": confidence}
    note = provenance_of(quality, cost)
    if note:
        table.attrs["provenance"] = note
    return table


@renamed(intents="by")
def model_share(sweep: Sweep, by: pd.Series | None = None, *, n_points: int = 60) -> pd.DataFrame:
    """Share of prompts that each model gets along the frontier, overall or by intent.

    Parameters
    ----------
    sweep : Sweep
        ``router.sweep(X)``.
    by : Series, optional
        Intent (or other group) of each prompt, indexed by prompt id.
    n_points : int, default 60
        Willingness-to-pay values, spread evenly over the switches.

    Returns
    -------
    DataFrame
        ``willingness_to_pay``, ``intent`` ('all' without `by`), ``model``, ``share``.

    Raises
    ------
    TableError
        `by` says nothing of some prompts of the sweep.

    Examples
    --------
    >>> from routerlab.decision import sweep_estimates
    >>> quality = pd.DataFrame({"small": [0.6], "large": [0.7]}, index=["p1"])
    >>> model_share(sweep_estimates(quality, quality / 100))["share"].tolist()
    [1.0, 0.0, 0.0, 1.0]
    """
    grid = np.unique(np.quantile(sweep.wtp, np.linspace(0, 1, n_points))) if len(sweep.wtp) else np.empty(0)
    if by is None:
        group = pd.Series("all", index=sweep.index)
    else:
        group = by.reindex(sweep.index)
        if group.isna().any():
            reject("'by'", f"has none for {group.isna().sum()} prompts of the sweep.", "Pass intents.loc[X.index].")
    parts = []
    for wtp in [*grid, np.inf]:
        share = pd.crosstab(group.to_numpy(), sweep.at(wtp).to_numpy(), normalize="index")
        share = share.reindex(columns=sweep.models, fill_value=0.0)
        long = share.rename_axis(index="intent", columns="model").stack().rename("share").reset_index()  # noqa: PD013
        parts.append(long.assign(willingness_to_pay=wtp))
    table = pd.concat(parts, ignore_index=True)[["willingness_to_pay", "intent", "model", "share"]]
    if sweep.provenance:
        table.attrs["provenance"] = sweep.provenance
    return table
