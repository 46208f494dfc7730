"""New costs for a fitted router: prices move more often than quality does."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from copy import copy
from datetime import UTC, date, datetime
from typing import Any

import numpy as np
import pandas as pd

from routerlab.schema import by_prompt, check_matrix, check_model, provenance_of, reject, shown


def with_costs(router: Any, cost: Any, exclude: Iterable[str]) -> Any:
    """Do the work of ``router.with_costs``."""
    models: pd.Index = router.models_
    left_out = [exclude] if isinstance(exclude, str) else list(exclude)
    for name in left_out:
        check_model(name, models, "exclude")
    kept = ~models.isin(left_out)
    if not kept.any():
        reject("'exclude'", f"leaves none of {shown(models)}.", "Leave one model in.")
    if router.fallback in left_out:
        reject(
            "'exclude'", f"{router.fallback!r} is the fallback.", "Set another one: router.set_params(fallback=...)."
        )
    changed = copy(router)
    if cost is not None:
        _replace(changed, _by_model(cost, models[kept]), kept)
        changed.provenance_ = "; ".join(filter(None, [_without_costs(router.provenance_), _said(cost)])) or None
        attrs = getattr(cost, "attrs", {})
        changed.priced_on_, changed.prices_end_ = attrs.get("priced_on"), attrs.get("prices_end")
    if left_out:
        _drop(changed, kept)
    if hasattr(changed, "operating_point_"):
        del changed.operating_point_  # was chosen, or promised, at other costs or among other models
    return changed


def warn_if_stale(router: Any) -> None:
    """Warn if a price has changed since the router got its costs."""
    end = getattr(router, "prices_end_", None)
    if end is not None and datetime.now(tz=UTC).date() >= date.fromisoformat(end):
        warnings.warn(
            f"This router's costs are prices of {router.priced_on_}; one of them changed on {end}. Renew them: "
            "router.with_costs(routerlab.reprice(outcomes, offers)).",
            UserWarning,
            stacklevel=4,
        )


def _by_model(cost: Any, models: pd.Index) -> pd.DataFrame:
    """Return costs as prompts x models: a table of `reprice`, such a frame, or one number for each model."""
    frame = by_prompt(cost)
    if isinstance(cost, pd.DataFrame) and {"prompt_id", "model", "cost_usd"} <= set(cost.columns):
        frame = cost.pivot(index="prompt_id", columns="model", values="cost_usd")  # noqa: PD010
    elif isinstance(frame, Mapping | pd.Series):
        frame = pd.DataFrame([dict(frame)])
    frame = check_matrix(frame, "cost", missing=True)
    unknown = [name for name in models if name not in frame or frame[name].isna().all()]
    if unknown:
        reject("'cost'", f"has no value of model {shown(unknown)}.", f"Price it, or pass exclude={unknown!r}.")
    return frame


def _replace(router: Any, cost: pd.DataFrame, kept: Any) -> None:
    """Put new costs in: those of the training prompts where they are all there, else each model's mean."""
    models = router.models_[kept]
    cost = cost[models]
    if hasattr(router, "mean_cost_"):
        router.mean_cost_ = _put(router.mean_cost_, kept, cost.mean().to_numpy(float))
    if getattr(router, "cost_estimator", None) is not None:
        msg = "with_costs can't renew a 'cost_estimator'. Fit the router again with cost=."
        raise TypeError(msg)
    if not hasattr(router, "cost_"):
        return
    old = np.asarray(router.cost_, dtype=float)
    known = len(cost) > 1 and router.index_.isin(cost.index).all()
    if known and old.ndim == 2:
        rows = cost.loc[router.index_]
        if hasattr(router, "intents_"):
            rows = rows.groupby(router.intents_).transform("mean").fillna(rows.mean())
        new = rows.to_numpy(float)
    elif old.ndim == 2:  # keep what makes one prompt dearer than another
        before = np.nanmean(old[:, kept], axis=0)
        factor = np.divide(cost.mean().to_numpy(float), before, out=np.ones_like(before), where=before > 0)
        new = np.where(before > 0, old[:, kept] * factor, cost.mean().to_numpy(float))
    else:
        new = (cost.loc[router.index_] if known else cost).mean().to_numpy(float)
    router.cost_ = _put(old, kept, new)


def _put(old: Any, kept: Any, new: Any) -> Any:
    values = np.array(old, dtype=float)
    values[..., kept] = new
    return values


def _drop(router: Any, kept: Any) -> None:
    """Leave models out of everything that was learned a column each."""
    for name in ("quality_", "cost_", "mean_cost_"):
        if hasattr(router, name):
            setattr(router, name, getattr(router, name)[..., kept])
    if hasattr(router, "table_"):
        router.table_ = router.table_.loc[:, router.models_[kept]]
    if hasattr(router, "estimator_"):  # which goes on to predict all that it was fitted on
        before = getattr(router, "columns_", np.arange(len(router.models_)))
        router.columns_ = before[kept]
    router.models_ = router.models_[kept]


def _said(cost: Any) -> str | None:
    attrs = getattr(cost, "attrs", {})
    return attrs.get("costs") or provenance_of(cost)


def _without_costs(note: str | None) -> str | None:
    return "; ".join(part for part in (note or "").split("; ") if not part.startswith("costs: ")) or None
