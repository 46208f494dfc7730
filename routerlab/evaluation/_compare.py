"""A paired test of two sets of choices."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from routerlab.evaluation._resample import percentile_interval, resampled_sums
from routerlab.evaluation._scoring import check_confidence, score_choices
from routerlab.schema import provenance_of


@dataclass(frozen=True)
class Comparison:
    """Two sets of choices on the same prompts: first minus second, with paired intervals.

    Attributes
    ----------
    quality_difference, quality_low, quality_high : float
        In units of quality, [0, 1].
    cost_difference, cost_low, cost_high : float
        USD per request.
    quality_p, cost_p : float
        Two-sided sign-flip permutation tests of no difference in the mean.
    """

    n: int
    quality_difference: float
    quality_low: float
    quality_high: float
    quality_p: float
    cost_difference: float
    cost_low: float
    cost_high: float
    cost_p: float
    confidence: float
    n_resamples: int
    random_state: Any
    method: str = "paired bootstrap intervals and sign-flip tests over prompts, both routers held fixed"
    provenance: str | None = None

    def __repr__(self) -> str:
        """Both differences in a line each."""
        quality, low, high = (100 * v for v in (self.quality_difference, self.quality_low, self.quality_high))
        cost, cost_low, cost_high = (1000 * v for v in (self.cost_difference, self.cost_low, self.cost_high))
        note = f"\n[{self.provenance}]" if self.provenance else ""
        return (
            f"quality {quality:+.1f} points [{low:+.1f}, {high:+.1f}], p = {self.quality_p:.3g}\n"
            f"cost {cost:+.3g} USD per 1,000 [{cost_low:+.3g}, {cost_high:+.3g}], p = {self.cost_p:.3g}\n"
            f"first minus second; n = {self.n:,} prompts; {self.confidence:.0%}; {self.method}{note}"
        )


def compare(
    first: pd.Series,
    second: pd.Series,
    quality: pd.DataFrame,
    cost: pd.DataFrame,
    *,
    confidence: float = 0.95,
    n_resamples: int = 2000,
    random_state: Any = 0,
) -> Comparison:
    """Test two sets of choices against each other on the same prompts.

    Parameters
    ----------
    first, second : Series of shape (n_prompts,)
        Model names indexed by prompt id.
    quality, cost : DataFrame of shape (n_prompts, n_models)
        Measured outcomes of the same prompts.
    confidence, n_resamples, random_state
        See `savings`.

    Returns
    -------
    Comparison
        Differences of means, first minus second.

    Examples
    --------
    >>> quality = pd.DataFrame({"a": [1.0, 0.0], "b": [1.0, 1.0]})
    >>> choices = pd.Series(["a", "b"])
    >>> compare(choices, choices, quality, quality).quality_difference
    0.0
    """
    check_confidence(confidence)
    a, b = (score_choices(choices, quality, cost) for choices in (first, second))
    difference = (a - b.loc[a.index])[["quality", "cost_usd"]].to_numpy(dtype=float)
    n = len(difference)
    rng = np.random.default_rng(random_state)
    draws = resampled_sums(difference, n_resamples, rng) / n
    observed = difference.mean(axis=0)
    flips = rng.integers(0, 2, size=(n_resamples, n), dtype=np.int8) * 2.0 - 1
    extreme = np.abs(flips @ difference / n) >= np.abs(observed) * (1 - 1e-9)
    p = (1 + extreme.sum(axis=0)) / (n_resamples + 1)
    numbers: dict[str, Any] = {}
    for k, name in enumerate(("quality", "cost")):
        low, high = percentile_interval(draws[:, k], confidence, n)
        numbers |= {f"{name}_difference": float(observed[k]), f"{name}_low": low, f"{name}_high": high}
        numbers[f"{name}_p"] = float(p[k])
    return Comparison(
        n=n,
        confidence=confidence,
        n_resamples=n_resamples,
        random_state=random_state,
        provenance=provenance_of(quality, cost),
        **numbers,
    )
