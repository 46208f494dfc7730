"""p-values of "this option loses more than the bar", valid at every sample size.

Losses are paired differences of quality in [-1, 1]. Where every quality is 0 or 1, a difference is a loss, a win or
neither, and the score test has an exact unconditional p-value: it needs less than half the prompts that betting does.
For graded quality, and for groups, betting holds whatever the distribution.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Floats = NDArray[np.float64]

_NUISANCE = 5e-4  # error that the exact test spends on bounding how often baseline and option differ


def loss_p_value(
    difference: Floats,
    bar: float,
    *,
    binary: bool,
    size: Floats | None = None,
    level: float = 0.05,
    random_state: Any = 0,
) -> float:
    """p-value of "the mean difference is at most -bar": small if the option surely loses less.

    Parameters
    ----------
    difference : ndarray of shape (n,)
        Quality of the option minus the baseline's; of groups, the means.
    bar : float
        Largest acceptable mean loss.
    binary : bool
        Whether every quality is 0 or 1.
    size : ndarray of shape (n,), optional
        Rows of each group.
    level : float, default 0.05
        Where the p-value is to be sharpest.
    random_state : int or Generator, default 0
        Shuffles the rows for betting.

    Examples
    --------
    >>> [loss_p_value(np.zeros(n), 0.01, binary=True) < 0.05 for n in (290, 310)]
    [False, True]
    """
    if not len(difference):
        return 1.0
    if bar >= 1:
        return 0.0
    if binary and size is None and bar > 0:
        return exact_p_value(int((difference < 0).sum()), int((difference > 0).sum()), len(difference), bar)
    return betting_p_value(difference, bar, size=size, level=level, random_state=random_state)


def betting_p_value(
    difference: Floats, bar: float, *, size: Floats | None = None, level: float = 0.05, random_state: Any = 0
) -> float:
    """Bet on the rows in random order, with the stake that would just reach 1 / level on the last one.

    The stake sqrt(2 ln(1 / level) / n) / sd, with the standard deviation seen so far, is the sharpest for a sample of n
    (Waudby-Smith and Ramdas 2024, section 3.2). Any stake that is set before its row is seen is valid.

    Examples
    --------
    >>> [betting_p_value(np.zeros(n), 0.01) < 0.05 for n in (290, 330)]
    [False, True]
    """
    n = len(difference)
    order = np.random.default_rng(random_state).permutation(n)
    gain = (difference[order] + bar) * (1.0 if size is None else size[order] / size.max())
    step = np.arange(1, n + 1)
    mean = np.cumsum(gain) / (step + 1)
    variance = (0.25 + np.cumsum((gain - mean) ** 2)) / (step + 1)
    variance = np.concatenate([[0.25], variance[:-1]])
    stake = np.minimum(np.sqrt(2 * np.log(1 / level) / (n * variance)), 0.99 / (1 - bar))
    return float(np.exp(-np.cumsum(np.log1p(stake * gain)).max(initial=0.0)))


def exact_p_value(n_losses: int, n_wins: int, n: int, bar: float) -> float:
    """Exact unconditional p-value of Tango's score test for losses, wins and ties among n independent prompts.

    The probability of a score at least as good, at the worst rate of discordance within its own confidence interval,
    plus that interval's error (Berger and Boos 1994).

    Examples
    --------
    >>> exact_p_value(0, 0, 300, 0.01) < 0.05, exact_p_value(3, 3, 300, 0.01) < 0.05
    (True, False)
    """
    score = float(_score(n_losses, n_wins, n, bar))
    if score <= 0:
        return 1.0
    discordant = n_losses + n_wins
    low = stats.beta.ppf(_NUISANCE / 2, discordant, n - discordant + 1) if discordant else 0.0
    high = stats.beta.ppf(1 - _NUISANCE / 2, discordant + 1, n - discordant) if discordant < n else 1.0
    rates = np.linspace(min(max(low, bar), 1.0), min(max(high, bar), 1.0), 16)
    worst = 0.0
    for rate in np.unique(rates):
        worst = max(worst, _chance(score, float(rate), n, bar))
    return min(1.0, worst + _NUISANCE)


def _score(losses: Any, wins: Any, n: int, bar: float) -> Any:
    """Tango's statistic: how far the mean loss stays below the bar, in null standard deviations."""
    middle = -losses - wins + (2 * n - losses + wins) * bar
    p_win = (np.sqrt(middle**2 + 8 * n * wins * bar * (1 - bar)) - middle) / (4 * n)
    return (n * bar - losses + wins) / np.sqrt(n * (2 * p_win + bar * (1 - bar)))


def _chance(score: float, rate: float, n: int, bar: float) -> float:
    """Probability of at least this score when prompts differ at this rate and the mean loss is exactly the bar."""
    p_loss, p_win = (rate + bar) / 2, max((rate - bar) / 2, 0.0)
    low, high = stats.binom.ppf([1e-9, 1 - 1e-9], n, p_loss)
    losses = np.arange(int(low), int(high) + 1)
    # The score grows with the wins: find the fewest that reach it.
    least, most = np.zeros(len(losses)), n - losses + 1.0
    while (least < most).any():
        half = np.floor((least + most) / 2)
        enough = _score(losses, half, n, bar) >= score - 1e-9
        most, least = np.where(enough, half, most), np.where(enough, least, half + 1)
        least = np.minimum(least, most)
    win = min(p_win / (1 - p_loss), 1.0) if p_loss < 1 else 0.0
    return float(stats.binom.pmf(losses, n, p_loss) @ stats.binom.sf(least - 1, n - losses, win)) + 2e-9
