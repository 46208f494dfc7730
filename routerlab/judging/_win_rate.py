"""Win rates from few human verdicts and many of a judge."""

from __future__ import annotations

import numpy as np
import pandas as pd

from routerlab.judging._units import Units, read_units
from routerlab.ratings import cautious, ppi_mean
from routerlab.schema import check_model, provenance_of, reject

METHOD = "prediction-powered (PPI++), within pairs of models, clustered by prompt"


def ppi_win_rate(
    judge: pd.DataFrame,
    human: pd.DataFrame,
    *,
    baseline: str | None = None,
    lam: float | None = None,
    groups: pd.Series | None = None,
    propensity: pd.Series | None = None,
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
        A judgments table by people. Within each pair of models, their prompts must be like the judge's: a random part,
        or one drawn by the chances in `propensity`.
    baseline : str, optional
        Win rates against this model alone. By default, against whomever the model met in `human`, in that mixture.
    lam : float, optional
        Weight of the judge, in [0, 1]; by default the one that makes the interval shortest, from the data, and nearer
        to 0 where people's prompts are too few (under 40) to tell it. 0 leaves the judge out. 1 is prediction-powered
        inference without tuning.
    groups : Series, optional
        ``prompt_id`` -> group: prompts that are one piece of evidence, such as those of one conversation. By default
        each prompt is its own.
    propensity : Series, optional
        ``prompt_id`` -> the chance, known beforehand, with which people were to judge it: for labels that were not
        drawn evenly, say more of the hard prompts. Each label then counts for the prompts that it stands for.
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

    Warns
    -----
    UserWarning
        The judge's verdicts where people judged are unlike its others (p < 0.001), so that people's part is hardly
        random: give its `propensity`, or draw it at random.

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
    units = read_units(judge, human, groups, propensity)
    units.warn_if_unlike("ppi_win_rate")
    names = list(units.models) if baseline is None else [check_model(baseline, units.models, "baseline")]
    names = names if baseline is None else [name for name in units.models if name != baseline]
    rows = [_row(units, str(name), baseline, lam, confidence) for name in names]
    table = pd.DataFrame([row for row in rows if row is not None])
    if not len(table):
        reject("'human'", f"holds no verdict on {baseline!r}.", "Name a baseline that people judged.")
    table = table.sort_values("win_rate", ascending=False, kind="stable", ignore_index=True)
    table.attrs = {"method": METHOD, "confidence": confidence, "baseline": baseline} | units.counts() | units.notes()
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
    fit = ppi_mean(human, judge, own.pair, own.cluster, lam, own.chance)
    if lam is None:
        fit = ppi_mean(human, judge, own.pair, own.cluster, cautious(fit.lam, fit.n_clusters), own.chance)
    if fit.n_clusters < 3:
        reject(
            "'human'",
            f"has verdicts on {fit.n_clusters} prompts or groups for {model!r}: too few for an interval.",
            "Collect more, or leave the model out.",
        )
    low, high = fit.interval(confidence, 1 + (lam is None))
    alone = ppi_mean(human, judge, own.pair, own.cluster, 0.0, own.chance)
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
