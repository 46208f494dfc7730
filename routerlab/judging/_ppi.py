r"""Prediction-powered inference (PPI++): few human scores, corrected by many of a judge.

With human scores Y on some units and the judge's scores J on these and on many others,

    estimate = mean(Y) - lambda * (mean of J where people judged, too - mean of J elsewhere)

The bracket is 0 on average whatever the judge is worth, so that the estimate is unbiased for any fixed lambda. Where
the judge follows people, the bracket carries much of the chance in mean(Y), and taking it off shortens the interval.

Two things go beyond the paper. Means of J are compared *within each pair of models*, since people and judge seldom
compare all pairs equally often, and a judge who favours one model would otherwise pass for chance. And units of a
prompt count as correlated.

References: A. N. Angelopoulos et al., "Prediction-powered inference", Science 382, 2023; A. N. Angelopoulos,
J. C. Duchi and T. Zrnic, "PPI++: efficient prediction-powered inference", arXiv:2311.01453, 2023.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Codes = NDArray[np.intp]


def judge_weights(human: NDArray[np.bool_], judge: NDArray[np.bool_], stratum: Codes) -> Floats:
    """Weight of each unit's judge score in minus the bracket: shape (n_units,), summing to 0 in every stratum.

    Units that people judged as well share a weight of -1; the others share +1 such that each stratum (pair of models)
    has the part that it has among the former. A stratum that lacks either kind has no weight.
    """
    both, alone = human & judge, ~human & judge
    n_both = np.bincount(stratum, both, minlength=stratum.max() + 1)
    n_alone = np.bincount(stratum, alone, minlength=stratum.max() + 1)
    usable = (n_both > 0) & (n_alone > 0)
    total = n_both[usable].sum()
    weight = np.zeros(len(stratum))
    weight[both & usable[stratum]] = -1.0 / max(total, 1.0)
    share = np.divide(n_both, total * n_alone, out=np.zeros_like(n_both), where=usable)
    weight[alone] = share[stratum[alone]]
    return weight


def centred(values: Floats, weight: Floats, stratum: Codes) -> Floats:
    """Values (n_units, n_targets) less their mean over the weighted units of their stratum; 0 where weight is 0."""
    counted = weight != 0
    n = np.bincount(stratum, counted)
    means = (
        np.column_stack([np.bincount(stratum, np.where(counted, v, 0.0)) for v in values.T]) / np.maximum(n, 1)[:, None]
    )
    return np.where(counted[:, None], values - means[stratum], 0.0)


def power(human: Floats, judge: Floats, weight: Floats, cluster: Codes) -> float:
    """Lambda between 0 and 1 that minimises the summed variance of all targets: how far to believe the judge.

    Parameters
    ----------
    human : ndarray of shape (n_units, n_targets)
        Influence of each human score on the estimates, 0 where there is none.
    judge : ndarray of shape (n_units, n_targets)
        The same for judge scores, before `weight`; from `centred`.
    weight : ndarray of shape (n_units,)
        From `judge_weights`.
    cluster : ndarray of shape (n_units,)
        Prompts, as codes.
    """
    n = np.count_nonzero(weight)
    if n < 2:
        return 0.0
    shared = -(by_cluster(human, cluster) * by_cluster(weight[:, None] * judge, cluster)).sum()
    # Variance of a judge score from all units, of which there are more than of those that people judged.
    variance = (by_cluster(judge, cluster) ** 2).sum() / (n - 1) * (weight**2).sum()
    return float(np.clip(shared / variance, 0.0, 1.0)) if variance > 0 else 0.0


def influence(human: Floats, judge: Floats, weight: Floats, cluster: Codes, lam: float) -> Floats:
    """How far each prompt moves the estimates, (n_clusters, n_targets): their sum of squares is the variance."""
    moved = weight[:, None] * judge
    for part in (weight < 0, weight > 0):
        if part.any():
            moved[part] -= weight[part, None] * moved[part].sum(axis=0) / weight[part].sum()
    return by_cluster(human + lam * moved, cluster)


def by_cluster(values: Floats, cluster: Codes) -> Floats:
    """Sum over the units of each cluster."""
    return np.column_stack([np.bincount(cluster, column) for column in values.T])
