"""p-values of "this option loses more than the bar", valid at every sample size.

Losses are paired differences of quality in [-1, 1]. Where every quality is 0 or 1, a difference is a loss, a win or
neither, and the score test has an exact unconditional p-value: it needs less than half the prompts that betting does.
For graded quality, and for groups, betting holds whatever the distribution.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats

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
    rates = np.unique(np.linspace(min(max(low, bar), 1.0), min(max(high, bar), 1.0), 16))
    return float(min(1.0, _chances(score, rates, n, bar).max() + _NUISANCE))


def _score(losses: Any, wins: Any, n: int, bar: float) -> Any:
    """Tango's statistic: how far the mean loss stays below the bar, in null standard deviations."""
    middle = -losses - wins + (2 * n - losses + wins) * bar
    p_win = (np.sqrt(middle**2 + 8 * n * wins * bar * (1 - bar)) - middle) / (4 * n)
    return (n * bar - losses + wins) / np.sqrt(n * (2 * p_win + bar * (1 - bar)))


def _chances(score: float, rates: Floats, n: int, bar: float) -> Floats:
    """Probability of at least this score when prompts differ at these rates and the mean loss is exactly the bar."""
    p_loss, p_win = (rates[:, None] + bar) / 2, np.maximum((rates[:, None] - bar) / 2, 0.0)
    reach = 7 * np.sqrt(n * p_loss * (1 - p_loss)) + 20  # what lies beyond weighs less than 1e-9
    losses = np.arange(max(0, int((n * p_loss - reach).min())), min(n, int((n * p_loss + reach).max())) + 1)
    # The score grows with the wins: find the fewest that reach it.
    least, most = np.zeros(len(losses)), n - losses + 1.0
    while (least < most).any():
        half = np.floor((least + most) / 2)
        enough = _score(losses, half, n, bar) >= score - 1e-9
        most, least = np.where(enough, half, most), np.where(enough, least, np.minimum(half + 1, most))
    left = n - losses
    weight = np.exp(
        special.gammaln(n + 1) - special.gammaln(losses + 1) - special.gammaln(left + 1)
        + special.xlogy(losses, p_loss) + special.xlog1py(left, -p_loss)
    )  # fmt: skip
    win = np.clip(p_win / np.maximum(1 - p_loss, 1e-300), 0.0, 1.0)
    inside = (least > 0) & (least <= left)
    tail = special.betainc(np.where(inside, least, 1.0), np.where(inside, left - least + 1, 1.0), win)
    tail = np.where(inside, tail, least == 0)  # no win is needed, or more than there are prompts
    return (weight * tail).sum(axis=1) + 2e-9
