"""Bradley-Terry ratings from few human verdicts and many of a judge."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import expit, stdtrit

from routerlab.judging._units import Units, read_units
from routerlab.judging._win_rate import METHOD, check_options
from routerlab.ratings import (
    BradleyTerry,
    Weights,
    cautious,
    centred,
    centred_inverse,
    check_connected,
    check_separable,
    contrasts,
    influence,
    information,
    power,
    small_sample_factor,
    solve_bradley_terry,
    unit_weights,
    unseen_covariance,
)
from routerlab.schema import provenance_of, reject
from routerlab.stats import cluster_df

Floats = NDArray[np.float64]

FEWEST_WEIGHTED = 100  # labels, drawn alike, that labels drawn by unequal chances must be worth for an interval


def ppi_rate(
    judge: pd.DataFrame,
    human: pd.DataFrame,
    *,
    baseline: str | None = None,
    anchor: str | None = None,
    lam: float | None = None,
    alpha: float = 0.01,
    groups: pd.Series | None = None,
    propensity: pd.Series | None = None,
    confidence: float = 0.95,
) -> pd.DataFrame:
    """Rate models as people would, from many judge verdicts and few human ones.

    Parameters
    ----------
    judge, human : DataFrame of shape (n_votes, n_columns)
        Judgments tables of judge models and of people; see `routerlab.judging.ppi_win_rate`. Within each pair of
        models, people's prompts must be like the judge's: a random part. Models are compared on the pairs of models
        that people judged, which must connect them all.
    baseline : str, optional
        Adds each model's expected win rate against this one.
    anchor : str, optional
        Model whose rating is 1000 exactly. Intervals, and `lam`, are then those of the differences from it.
    lam : float, optional
        Weight of the judge, in [0, 1]; by default the one that makes the summed variance of the ratings least.
    alpha : float, default 0.01
        L2 penalty, as in `routerlab.BradleyTerry`; above 0.
    groups, propensity : Series, optional
        As in `routerlab.judging.ppi_win_rate`: prompts that are one piece of evidence; chances of being labelled.
    confidence : float, default 0.95
        Nominal coverage of each interval by itself.

    Returns
    -------
    DataFrame
        As `routerlab.rate` returns it, for `routerlab.plot_ratings`: ``model, rating, ci_low, ci_high`` (points),
        ``n`` (pairs of responses with a human verdict that the model was in) and with `baseline` ``win_rate,
        win_rate_low, win_rate_high``. ``attrs``: lam, n_human, n_judge, n_both, n_human_only, width_ratio
        (mean width of the ratings' intervals, relative to people alone), method, confidence, provenance.

    Raises
    ------
    TableError
        No pair of responses in common; models that human verdicts do not connect; fewer prompts with human verdicts
        than models and one more.
    ValueError
        `lam`, `alpha` or `confidence` out of range.

    Warns
    -----
    UserWarning
        A model won or lost everything, so that only `alpha` holds its rating; or people's part is hardly random.

    Notes
    -----
    The gradient of the Bradley-Terry likelihood of human scores is corrected by `lam` times the judge's, taken where
    people judged less where they did not, within each pair of models. What is left is one more linear term.
    Intervals are the sandwich's, clustered by prompt, with Student's t, as in `BradleyTerry`. A pair of responses
    counts once, however many votes it has; a tie of either kind is half a win.

    References
    ----------
    A. N. Angelopoulos, J. C. Duchi and T. Zrnic, "PPI++: efficient prediction-powered inference",
    arXiv:2311.01453, 2023.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> table = pd.DataFrame({"prompt_id": range(1000), "model_a": "large", "model_b": "small"})
    >>> taste = rng.random(1000)
    >>> people = table.assign(winner=np.where(taste < 0.7, "model_a", "model_b")).head(100)
    >>> votes = table.assign(winner=np.where(taste < 0.6, "model_a", "model_b"))
    >>> ratings = ppi_rate(votes, people)
    >>> ratings["model"].tolist(), ratings.attrs["n_human"], ratings.attrs["width_ratio"] < 0.8
    (['large', 'small'], 100, True)
    """
    check_options(lam, confidence, "ppi_rate")
    if not 0 < alpha < np.inf:
        msg = f"The 'alpha' parameter of ppi_rate must be above 0, and finite. Got {alpha!r} instead."
        raise ValueError(msg)
    units = _rated(read_units(judge, human, groups, propensity))
    units.warn_if_unlike("ppi_rate")
    contrast = contrasts(units.models, anchor, "anchor")
    fit = fit_ratings(units, contrast, alpha, lam)
    if lam is None:
        fit = fit_ratings(units, contrast, alpha, cautious(fit.lam, fit.n_clusters))
    check_separable(np.maximum(fit.wins, 0.0), units.models, alpha)
    alone = fit_ratings(units, contrast, alpha, 0.0)
    table = _table(units, fit, confidence, baseline)
    ratio = np.sqrt(
        np.diag(fit.covariance) / np.where(np.diag(alone.covariance) > 0, np.diag(alone.covariance), np.nan)
    )
    table.attrs = {"method": f"Bradley-Terry, {METHOD}", "confidence": confidence, "alpha": alpha, "anchor": anchor}
    table.attrs |= {"baseline": baseline, "lam": fit.lam, "width_ratio": float(np.nanmean(ratio))}
    table.attrs |= units.counts() | units.notes() | {"n_judgments": int(units.has_human.sum())}
    provenance = provenance_of(judge, human)
    table.attrs |= {"provenance": provenance} if provenance else {}
    return table if propensity is None else _refuse_few(table, units)


def _refuse_few(table: pd.DataFrame, units: Units) -> pd.DataFrame:
    """Leave intervals empty where labels drawn by unequal chances are few: they held the truth too seldom."""
    weight = 1 / np.asarray(units.chance, dtype=float)[units.has_human]
    worth = float(weight.sum() ** 2 / (weight**2).sum())
    if worth >= FEWEST_WEIGHTED:
        return table
    table.loc[:, [name for name in table if str(name).endswith(("_low", "_high"))]] = np.nan
    table.attrs["note"] = (
        f"too few to say: labels drawn by these chances are worth {worth:.0f} drawn alike, and intervals need "
        f"{FEWEST_WEIGHTED}"
    )
    return table


@dataclass(frozen=True)
class Ratings:
    """Ratings in natural-log units, with their influence by prompt and covariance."""

    ratings: Floats  # (n_models,), summing to 0
    point: Floats  # (n_targets,): contrasts of the ratings
    lam: float
    wins: Floats  # (n_models, n_models), corrected: entries may be negative
    influence: Floats  # (n_clusters, n_targets)
    covariance: Floats  # (n_targets, n_targets)
    log_covariance: Floats  # (n_models, n_models)
    n_clusters: int
    df: float


def fit_ratings(
    units: Units, contrast: Floats, alpha: float, lam: float | None, stratum: NDArray[np.intp] | None = None
) -> Ratings:
    """Fit, at `lam` or at the one that suits the variance of ``contrast @ ratings`` best."""
    stratum = units.pair if stratum is None else stratum
    weight = unit_weights(units.has_human, units.has_judge, stratum, units.chance)
    if lam is None:
        first = _solve(units, weight, alpha, 1.0)[0]
        bread = _bread(units, weight, first, alpha, 1.0)
        parts = _scores(units, weight, stratum, first)
        n = units.has_human.sum()
        lam = power(parts[0] @ bread @ contrast.T, n * parts[1] @ bread @ contrast.T, weight, units.cluster)
        n_fitted = len(units.models)
    else:
        n_fitted = len(units.models) - 1
    ratings, wins = _solve(units, weight, alpha, lam)
    bread = _bread(units, weight, ratings, alpha, lam)
    human, judge = _scores(units, weight, stratum, ratings)
    n = int(units.has_human.sum())
    moved = influence(human, n * judge, weight, units.cluster, lam) @ bread
    n_clusters = len(np.unique(units.cluster[units.has_human]))
    size = np.bincount(np.unique(units.cluster[units.has_human], return_inverse=True)[1]).astype(float)
    covariance = small_sample_factor(n, n_clusters, n_fitted + 1) * moved.T @ moved + alpha * bread @ bread
    covariance += unseen_covariance(np.maximum(wins, 0.0), ratings, alpha, n_clusters)
    return Ratings(
        ratings=ratings,
        point=contrast @ ratings,
        lam=lam,
        wins=wins,
        influence=moved @ contrast.T,
        covariance=contrast @ covariance @ contrast.T,
        log_covariance=covariance,
        n_clusters=n_clusters,
        df=cluster_df(size),
    )


def _rated(units: Units) -> Units:
    """Keep the models that people judged, and check that their verdicts can rate."""
    human = units.has_human
    judged = np.union1d(units.first[human], units.second[human])
    kept = np.isin(units.first, judged) & np.isin(units.second, judged)
    units = units.take(kept)
    code = np.searchsorted(judged, np.arange(len(units.models)))
    units = Units(
        units.models[judged], code[units.first], code[units.second], *(units.cluster, units.human, units.judge),
        chance=units.chance, grouped=units.grouped,
    )  # fmt: skip
    check_connected(_wins(units, np.where(units.has_human, 1.0, 0.0), np.zeros(len(units.first))), units.models)
    n_prompts, m = len(np.unique(units.cluster[units.has_human])), len(judged)
    if n_prompts < m + 1:
        reject(
            "'human'",
            f"has verdicts on {n_prompts} prompts or groups for {m} models: too few to say how sure the ratings are.",
            "Collect more.",
        )
    return units


def _solve(units: Units, weight: Weights, alpha: float, lam: float) -> tuple[Floats, Floats]:
    """Ratings at `lam`, and the corrected wins of row over column that they fit."""
    n = units.has_human.sum()
    wins = _wins(units, n * weight.own, n * lam * weight.bracket)
    total = wins + wins.T
    # Corrected wins may be negative, which the solver rightly refuses. All that is not in the totals is linear in the
    # ratings, and so is the pull of a prior: let the totals be even, and the prior carry the rest.
    margin = (wins - total / 2).sum(axis=1)
    # A pair corrected beyond all wins or none is held by `alpha` alone, and far away: many steps.
    start = np.zeros(len(units.models))
    return solve_bradley_terry(total / 2, alpha=alpha, prior=margin / alpha, start=start, max_iter=2000), wins


def _wins(units: Units, human: Floats, judge: Floats) -> Floats:
    """Sum weighted scores by pair: wins of row over column."""
    m = len(units.models)
    won = human * np.nan_to_num(units.human) + judge * np.nan_to_num(units.judge)
    lost = human + judge - won
    wins = np.zeros((m, m))
    np.add.at(wins, (units.first, units.second), won)
    np.add.at(wins, (units.second, units.first), lost)
    return np.where(np.abs(wins) < 1e-12, 0.0, wins)


def _bread(units: Units, weight: Weights, ratings: Floats, alpha: float, lam: float) -> Floats:
    n = units.has_human.sum()
    wins = _wins(units, n * weight.own, n * lam * weight.bracket)
    return centred_inverse(information(wins, ratings) + alpha * np.eye(len(ratings)))


def _scores(units: Units, weight: Weights, stratum: NDArray[np.intp], ratings: Floats) -> tuple[Floats, Floats]:
    """Gradients (n_units, n_models) of human and judge scores, less their means; 0 where there is none."""
    n, m = len(units.first), len(units.models)
    direction = np.zeros((n, m))
    direction[np.arange(n), units.first] += 1.0
    direction[np.arange(n), units.second] -= 1.0
    expected = expit(ratings[units.first] - ratings[units.second])
    counted = (units.has_human.sum() * weight.own)[:, None]
    human = direction * np.where(units.has_human, units.human - expected, 0.0)[:, None]
    human = counted * (human - weight.own @ human)
    judge = direction * np.where(units.has_judge, units.judge - expected, 0.0)[:, None]
    return human, centred(judge, weight, stratum)


def _table(units: Units, fit: Ratings, confidence: float, baseline: str | None) -> pd.DataFrame:
    scale = BradleyTerry()
    unit, quantile = scale.points_per_log_odds, stdtrit(fit.df, (1 + confidence) / 2)
    half = quantile * np.sqrt(np.diag(fit.covariance))
    human = units.has_human
    seen = np.concatenate([units.first[human], units.second[human]])
    columns: dict[str, Any] = {
        "model": units.models,
        "rating": scale.center + unit * fit.point,
        "ci_low": scale.center + unit * (fit.point - half),
        "ci_high": scale.center + unit * (fit.point + half),
        "n": np.bincount(seen, minlength=len(units.models)),
    }
    if baseline is not None:
        rows = contrasts(units.models, baseline, "baseline")
        point = rows @ fit.ratings
        spread = quantile * np.sqrt(np.maximum(np.einsum("ij,jk,ik->i", rows, fit.log_covariance, rows), 0.0))
        for name, value in (("", point), ("_low", point - spread), ("_high", point + spread)):
            columns[f"win_rate{name}"] = expit(value)
    return pd.DataFrame(columns).sort_values("rating", ascending=False, kind="stable", ignore_index=True)
