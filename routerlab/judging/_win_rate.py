"""Win rates from few human verdicts and many of a judge."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import ndtr, stdtrit

from routerlab.judging._ppi import centred, influence, judge_weights, power
from routerlab.judging._units import Units, read_units
from routerlab.ratings import small_sample_factor, wilson
from routerlab.schema import check_model, provenance_of, reject

Floats = NDArray[np.float64]
METHOD = "prediction-powered (PPI++), within pairs of models, clustered by prompt"


def ppi_win_rate(
    judge: pd.DataFrame,
    human: pd.DataFrame,
    *,
    baseline: str | None = None,
    lam: float | None = None,
    confidence: float = 0.95,
) -> pd.DataFrame:
    r"""Estimate each model's win rate among people from many judge verdicts and few human ones.

    The estimate is what people say, less `lam` times how far the judge's verdicts on those very pairs happen to be from
    its verdicts elsewhere (PPI++ [1]_). It is unbiased however biased the judge is; a judge who follows people makes
    the interval shorter than theirs alone.

    Parameters
    ----------
    judge : DataFrame of shape (n_judge_votes, n_columns)
        A judgments table by one or several judges: see `routerlab.check_judgments`. It should hold the pairs that
        people judged, and many more. Verdicts on both orders of a pair are averaged.
    human : DataFrame of shape (n_human_votes, n_columns)
        A judgments table by people. Within each pair of models, their prompts must be like the judge's: a random part.
    baseline : str, optional
        Win rates against this model alone. By default, against whomever the model met in `human`, in that mixture.
    lam : float, optional
        Weight of the judge, in [0, 1]; by default the one that makes the interval shortest, from the data. 0 leaves the
        judge out. 1 is prediction-powered inference without tuning.
    confidence : float, default 0.95
        Nominal coverage of each interval by itself.

    Returns
    -------
    DataFrame
        ``model, win_rate, win_rate_low, win_rate_high`` in [0, 1], best first; ``n_human``, ``n_judge`` (pairs of
        responses that people and the judge judged), ``lam``, ``human_win_rate``, ``judge_win_rate`` (each side alone,
        the judge on all its pairs), ``width_ratio`` (width relative to people alone). ``attrs``: how it was made.

    Raises
    ------
    TableError
        No pair of responses in common; fewer than 3 prompts with human verdicts on a model; an unknown baseline.
    ValueError
        `lam` or `confidence` out of range.

    Notes
    -----
    A win is 1, a tie of either kind 1/2, a loss 0. A pair of responses counts once, however many votes it has. Human
    verdicts with none of the judge, say as it could not be read, still count. Intervals are Wilson's, at the number
    of verdicts that the estimate's variance (clustered by prompt) amounts to, with the quantile of Student's t with one
    degree of freedom less than prompts.

    The best that a judge can do is a width of ``sqrt(1 - r**2)`` relative to people alone, with r the correlation of
    its scores with theirs. Without ties, agreement on 80% of balanced pairs is r = 0.6, hence at best 80% of the width.

    References
    ----------
    .. [1] A. N. Angelopoulos, J. C. Duchi and T. Zrnic, "PPI++: efficient prediction-powered inference",
       arXiv:2311.01453, 2023.

    Examples
    --------
    A judge who is kinder to "small" than people are, and agrees with them otherwise:

    >>> rng = np.random.default_rng(0)
    >>> table = pd.DataFrame({"prompt_id": range(1000), "model_a": "large", "model_b": "small"})
    >>> taste = rng.random(1000)
    >>> people = table.assign(winner=np.where(taste < 0.7, "model_a", "model_b")).head(100)
    >>> votes = table.assign(winner=np.where(taste < 0.6, "model_a", "model_b"))
    >>> large = ppi_win_rate(votes, people).iloc[0]
    >>> bool(large.judge_win_rate < large.win_rate_low < 0.7 < large.win_rate_high), bool(large.width_ratio < 0.7)
    (True, True)
    """
    check_options(lam, confidence, "ppi_win_rate")
    units = read_units(judge, human)
    names = list(units.models) if baseline is None else [check_model(baseline, units.models, "baseline")]
    names = names if baseline is None else [name for name in units.models if name != baseline]
    rows = [_row(units, str(name), baseline, lam, confidence) for name in names]
    table = pd.DataFrame([row for row in rows if row is not None])
    if not len(table):
        reject("'human'", f"holds no verdict on {baseline!r}.", "Name a baseline that people judged.")
    table = table.sort_values("win_rate", ascending=False, kind="stable", ignore_index=True)
    table.attrs = {"method": METHOD, "confidence": confidence, "baseline": baseline} | units.counts()
    provenance = provenance_of(judge, human)
    table.attrs |= {"provenance": provenance} if provenance else {}
    return table


def check_options(lam: float | None, confidence: float, who: str) -> None:
    """Raise if an option is out of range."""
    if lam is not None and not 0 <= lam <= 1:
        msg = f"The 'lam' parameter of {who} must be between 0 and 1, or None to tune it. Got {lam!r} instead."
        raise ValueError(msg)
    if not 0 < confidence < 1:
        msg = f"The 'confidence' parameter of {who} must be between 0 and 1, such as 0.95. Got {confidence!r} instead."
        raise ValueError(msg)


@dataclass(frozen=True)
class Mean:
    """A prediction-powered mean, and what its variance is made of."""

    estimate: float
    lam: float
    influence: Floats  # (n_clusters, 1)
    n: int  # units with a human score
    n_clusters: int  # prompts with one

    def interval(self, confidence: float, n_fitted: int) -> tuple[float, float]:
        """Wilson's interval at the number of verdicts that the estimate is worth, with Student's quantile.

        It is the usual one in the middle, and stays within [0, 1] and wider than nothing at the ends; where all agree,
        the estimate is worth one verdict for each prompt. `n_fitted` numbers were fitted to human scores.
        """
        variance = small_sample_factor(self.n, self.n_clusters, n_fitted + 1) * float((self.influence**2).sum())
        rate = float(np.clip(self.estimate, 0.0, 1.0))
        spread = rate * (1 - rate)
        worth = spread / variance if variance > 0 and spread > 0 else float(self.n_clusters)
        quantile = stdtrit(self.n_clusters - 1, (1 + confidence) / 2)
        low, high = wilson(np.array(rate), np.array(worth), 2 * ndtr(quantile) - 1)
        return max(float(low), 0.0), min(float(high), 1.0)


def ppi_mean(
    human: Floats, judge: Floats, stratum: NDArray[np.intp], cluster: NDArray[np.intp], lam: float | None
) -> Mean:
    """Mean of human scores, corrected by a judge's: both of shape (n_units,), NaN where there is none."""
    has_human, has_judge = ~np.isnan(human), ~np.isnan(judge)
    weight = judge_weights(has_human, has_judge, stratum)
    n, mean = int(has_human.sum()), float(np.nanmean(human))
    score = np.where(has_judge, judge, 0.0)[:, None]
    from_human = np.where(has_human, human - mean, 0.0)[:, None] / n
    from_judge = centred(score, weight, stratum)
    lam = power(from_human, from_judge, weight, cluster) if lam is None else lam
    return Mean(
        estimate=mean + lam * float(weight @ score[:, 0]),
        lam=lam,
        influence=influence(from_human, from_judge, weight, cluster, lam),
        n=n,
        n_clusters=len(np.unique(cluster[has_human])),
    )


def _row(
    units: Units, model: str, baseline: str | None, lam: float | None, confidence: float
) -> dict[str, object] | None:
    """One model's win rate, or None if people never judged it."""
    code = list(units.models).index(model)
    mine = (units.first == code) | (units.second == code)
    if baseline is not None:
        other = list(units.models).index(baseline)
        mine &= (units.first == other) | (units.second == other)
    own = units.take(mine)
    if not own.has_human.any():
        return None
    human, judge = (np.where(own.first == code, score, 1.0 - score) for score in (own.human, own.judge))
    fit = ppi_mean(human, judge, own.pair, own.cluster, lam)
    if fit.n_clusters < 3:
        reject(
            "'human'",
            f"has verdicts on {fit.n_clusters} prompts for {model!r}: too few to say how sure its win rate is.",
            "Collect more, or leave the model out.",
        )
    low, high = fit.interval(confidence, 1 + (lam is None))
    alone = ppi_mean(human, judge, own.pair, own.cluster, 0.0)
    alone_low, alone_high = alone.interval(confidence, 1)
    return {
        "model": model,
        "win_rate": float(np.clip(fit.estimate, 0.0, 1.0)),
        "win_rate_low": low,
        "win_rate_high": high,
        "n_human": fit.n,
        "n_judge": int(own.has_judge.sum()),
        "lam": fit.lam,
        "human_win_rate": alone.estimate,
        "judge_win_rate": float(np.nanmean(judge)) if own.has_judge.any() else float("nan"),
        "width_ratio": (high - low) / (alone_high - alone_low),
    }
