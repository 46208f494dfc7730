"""Bootstrap over prompts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats


def resample_counts(n: int, n_resamples: int, random_state: Any) -> Iterator[NDArray[np.float64]]:
    """Yield blocks of shape (block, n): how often each prompt was drawn in each resample."""
    rng = np.random.default_rng(random_state)
    block = max(1, min(n_resamples, 2**21 // max(n, 1)))
    for start in range(0, n_resamples, block):
        size = min(block, n_resamples - start)
        drawn = rng.integers(n, size=(size, n)) + n * np.arange(size)[:, None]
        yield np.bincount(drawn.ravel(), minlength=size * n).reshape(size, n).astype(float)


def resampled_sums(columns: NDArray[np.float64], n_resamples: int, random_state: Any) -> NDArray[np.float64]:
    """Sum columns (n, k) over bootstrap resamples of the rows, of shape (n_resamples, k)."""
    return np.concatenate([c @ columns for c in resample_counts(len(columns), n_resamples, random_state)])


def percentile_interval(draws: NDArray[np.float64], confidence: float, n: int) -> tuple[float, float]:
    """Percentile interval, widened for small samples as Student's t is.

    Plain percentiles are too narrow by sqrt((n - 1) / n) and by normal instead of t quantiles
    (Hesterberg 2015, What Teachers Should Know About the Bootstrap, doi:10.1080/00031305.2015.1089789).

    Examples
    --------
    >>> percentile_interval(np.linspace(0, 1, 1001), 0.95, n=10_000)
    (0.02..., 0.97...)
    """
    tail = (1 - confidence) / 2
    if n > 1:
        tail = stats.norm.cdf(np.sqrt(n / (n - 1)) * stats.t.ppf(tail, n - 1))
    low, high = np.quantile(draws, [tail, 1 - tail])
    return float(low), float(high)
