"""Whole curves with intervals: AIQ differences, and the saving at parity."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from routerlab.decision import Sweep
from routerlab.evaluation._frontier import hull
from routerlab.evaluation._metrics import hull_area
from routerlab.evaluation._scoring import align, last_of_equal
from routerlab.schema import check_aligned, check_model, provenance_of
from routerlab.stats import Interval, check_confidence, percentile_interval, resample_counts


class _Replayed:
    """A sweep whose curve can be drawn again under any weights of the prompts."""

    def __init__(self, sweep: Sweep, quality: pd.DataFrame, cost: pd.DataFrame) -> None:
        scored = align(sweep.index, sweep.models, quality, cost)
        order = scored.models.get_indexer(sweep.models)
        self.last = last_of_equal(sweep.wtp)
        self.prompt = sweep.prompt
        row = np.arange(len(sweep.index))
        self.start, self.step = [], []
        for values in (scored.cost[:, order], scored.quality[:, order]):
            self.start.append(values[row, sweep.first])
            self.step.append(values[sweep.prompt, sweep.target] - values[sweep.prompt, sweep.origin])

    def curve(self, weight: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Mean cost and quality at each operating point."""
        n, of_switch = weight.sum(), weight[self.prompt]
        cost, quality = (
            np.append(weight @ start, weight @ start + np.cumsum(of_switch * step)[self.last]) / n
            for start, step in zip(self.start, self.step, strict=True)
        )
        return cost, quality


class _Mixed:
    """The zero router: single models, mixed at random."""

    def __init__(self, quality: pd.DataFrame, cost: pd.DataFrame) -> None:
        self.quality, self.cost = quality.to_numpy(dtype=float), cost.to_numpy(dtype=float)

    def curve(self, weight: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Mean cost and quality of each single model."""
        return weight @ self.cost / weight.sum(), weight @ self.quality / weight.sum()


def aiq_difference(
    first: Sweep,
    second: Sweep | str,
    quality: pd.DataFrame,
    cost: pd.DataFrame,
    *,
    confidence: float = 0.95,
    n_resamples: int = 1000,
    random_state: Any = 0,
) -> Interval:
    """AIQ of one router minus another's, with a paired bootstrap interval over prompts.

    Both curves are drawn anew in every resample, and their areas taken over the costs that both
    reach: from the larger of their least costs to the larger of their largest.

    Parameters
    ----------
    first : Sweep
        Of the first router.
    second : Sweep or 'zero_router'
        Of the second router on the same prompts, or the hull of the single models.
    quality, cost : DataFrame of shape (n_prompts, n_models)
        Measured outcomes.
    confidence, n_resamples, random_state
        Of the bootstrap. Both routers are held fixed.

    Returns
    -------
    Interval
        In units of quality.

    Examples
    --------
    >>> from routerlab.decision import sweep_estimates
    >>> rng = np.random.default_rng(0)
    >>> quality = pd.DataFrame(rng.random((40, 2)), columns=["small", "large"])
    >>> cost = pd.DataFrame({"small": np.full(40, 0.001), "large": np.full(40, 0.01)})
    >>> aiq_difference(sweep_estimates(quality, cost), "zero_router", quality, cost, n_resamples=50).low > 0
    True
    """
    check_confidence(confidence)
    quality, cost = check_aligned(quality, cost)
    if isinstance(second, str) and second != "zero_router":
        msg = f"'second' must be a Sweep or 'zero_router'. Got {second!r} instead."
        raise ValueError(msg)
    rows = first.index
    a = _Replayed(first, quality, cost)
    if isinstance(second, str):
        b: Any = _Mixed(quality.loc[rows], cost.loc[rows])
    else:
        if not second.index.equals(rows):
            msg = "'first' and 'second' must sweep the same prompts in the same order: pass the same X to both."
            raise ValueError(msg)
        b = _Replayed(second, quality, cost)
    draws = [
        _area_difference(a.curve(w), b.curve(w))
        for block in resample_counts(len(rows), n_resamples, random_state)
        for w in block
    ]
    estimate = _area_difference(a.curve(np.ones(len(rows))), b.curve(np.ones(len(rows))))
    low, high = percentile_interval(np.array(draws), confidence, len(rows))
    return Interval(
        estimate, low, high, len(rows), confidence, n_resamples, random_state,
        "paired bootstrap of the AIQ difference over prompts, routers held fixed", provenance_of(quality, cost),
    )  # fmt: skip


def _area_difference(a: Any, b: Any) -> float:
    low, high = max(a[0].min(), b[0].min()), max(a[0].max(), b[0].max())
    if high <= low:
        return float(hull(*a)[1][-1] - hull(*b)[1][-1])
    return (hull_area(a[0], a[1], low, high) - hull_area(b[0], b[1], low, high)) / (high - low)


def saving_at_parity(
    sweep: Sweep,
    quality: pd.DataFrame,
    cost: pd.DataFrame,
    *,
    baseline: str,
    margin: float = 0.0,
    confidence: float = 0.95,
    n_resamples: int = 1000,
    random_state: Any = 0,
) -> Interval:
    """Largest saving along a frontier whose quality is not below the baseline's by more than a margin.

    It reads the operating point off the same prompts that it scores, as published comparisons do,
    and so flatters the router; every resample reads it off again. For a claim, set the operating
    point on a tuning split and use `savings`.

    Parameters
    ----------
    sweep : Sweep
        ``router.sweep(X)``.
    quality, cost : DataFrame of shape (n_prompts, n_models)
        Measured outcomes.
    baseline : str
        The model that is paid for today.
    margin : float, default 0
        Acceptable loss of mean quality.
    confidence, n_resamples, random_state
        Of the bootstrap over prompts. The router is held fixed.

    Returns
    -------
    Interval
        Share of the baseline's cost; 0 where only the baseline itself reaches its quality.

    Examples
    --------
    >>> from routerlab.decision import sweep_estimates
    >>> quality = pd.DataFrame({"small": [1.0, 0.0], "large": [1.0, 1.0]})
    >>> cost = pd.DataFrame({"small": [0.001, 0.001], "large": [0.011, 0.011]})
    >>> round(saving_at_parity(sweep_estimates(quality, cost), quality, cost, baseline="large").estimate, 3)
    0.455
    """
    check_confidence(confidence)
    check_model(baseline, quality.columns, "baseline")
    replayed = _Replayed(sweep, quality, cost)
    q = quality.loc[sweep.index, baseline].to_numpy(dtype=float)
    c = cost.loc[sweep.index, baseline].to_numpy(dtype=float)

    def saving(weight: NDArray[np.float64]) -> float:
        spent, worth = replayed.curve(weight)
        kept = worth >= weight @ q / weight.sum() - margin - 1e-12
        full = weight @ c / weight.sum()
        return float(max(0.0, 1 - spent[kept].min() / full)) if kept.any() else 0.0

    draws = [saving(w) for block in resample_counts(len(sweep.index), n_resamples, random_state) for w in block]
    low, high = percentile_interval(np.array(draws), confidence, len(sweep.index))
    return Interval(
        saving(np.ones(len(sweep.index))), low, high, len(sweep.index), confidence, n_resamples, random_state,
        f"bootstrap over prompts, operating point read off the evaluation prompts at margin {margin:g}",
        provenance_of(quality, cost),
    )  # fmt: skip
