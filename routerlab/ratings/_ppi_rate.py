"""Win rates and Bradley-Terry ratings from few human verdicts and many of a judge."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import expit, stdtrit
from scipy.stats import t as student

from routerlab.ratings._bradley_terry import BradleyTerry, check_connected, check_separable
from routerlab.ratings._ppi import Weights, cautious, centred, influence, power, ppi_mean, unit_weights
from routerlab.ratings._solver import solve_bradley_terry
from routerlab.ratings._uncertainty import (
    centred_inverse,
    contrasts,
    information,
    small_sample_factor,
    unseen_covariance,
)
from routerlab.ratings._votes import oriented
from routerlab.schema import check_judgments, check_model, id_remedy, provenance_of, refuse_parameter, reject, shown
from routerlab.stats import Codes, Floats, check_confidence, cluster_df, few_groups_note, group_codes

KEY = ["prompt_id", "model_a", "model_b"]
# What a verdict is worth to model_a. Two bad responses are no better than each other: a tie, as in `rate`.
SCORE = {"model_a": 1.0, "tie": 0.5, "both_bad": 0.5, "model_b": 0.0}
METHOD = "prediction-powered (PPI++), within pairs of models, clustered by prompt"
FEWEST_WEIGHTED = 100  # labels, drawn alike, that labels drawn by unequal chances must be worth for an interval


@dataclass(frozen=True)
class Units:
    """Pairs of responses to a prompt, each of them once, however often it was judged.

    Models of a pair are in alphabetical order; a score is what the votes on the pair were worth to its first model,
    on average: 1 for a win, 1/2 for a tie or both_bad, 0 for a loss. NaN: not judged.
    """

    models: NDArray[np.object_]  # (n_models,), sorted
    first: Codes  # (n_units,), code of the pair's first model
    second: Codes
    cluster: Codes  # code of the prompt, or of its group
    human: Floats  # (n_units,), score
    judge: Floats
    chance: Floats | None = None  # of being judged by people, where it is known
    grouped: bool = False

    @property
    def has_human(self) -> NDArray[np.bool_]:
        return ~np.isnan(self.human)

    @property
    def has_judge(self) -> NDArray[np.bool_]:
        return ~np.isnan(self.judge)

    @property
    def pair(self) -> Codes:
        """Code of the pair of models."""
        return np.unique(self.first * len(self.models) + self.second, return_inverse=True)[1]

    def take(self, rows: NDArray[np.bool_]) -> Units:
        """Keep some units."""
        codes = (self.first[rows], self.second[rows], self.cluster[rows])
        chance = None if self.chance is None else self.chance[rows]
        return Units(self.models, *codes, self.human[rows], self.judge[rows], chance, self.grouped)

    def notes(self) -> dict[str, object]:
        """Return what to keep in mind, for ``attrs``."""
        note = few_groups_note(np.unique(self.cluster[self.has_human])) if self.grouped else None
        notes: dict[str, object] = {"labels": "a random part" if self.chance is None else "drawn by known chances"}
        return notes | ({"note": note} if note else {})

    def warn_if_unlike(self, who: str) -> None:
        """Warn if the judge's verdicts where people judged are unlike its others: a random part is like the rest."""
        if self.chance is not None:
            return
        human, judge = self.has_human, self.has_judge
        weights = unit_weights(human, judge, self.pair)
        n_clusters = len(np.unique(self.cluster[human & judge]))
        if n_clusters < 10:
            return
        for code, model in enumerate(self.models):
            side = np.select([self.first == code, self.second == code], [1.0, -1.0], 0.0)
            score = centred((side * np.where(judge, self.judge - 0.5, 0.0))[:, None], weights, self.pair)
            gap = float(weights.bracket @ score[:, 0])
            moves = influence(np.zeros_like(score), score, weights, self.cluster, 1.0)
            error = float(np.sqrt((moves**2).sum() * n_clusters / (n_clusters - 1)))
            if error > 0 and 2 * student.sf(abs(gap) / error, n_clusters - 1) < 0.001 / len(self.models):
                warnings.warn(
                    f"{who}: where people judged, the judge gives {model!r} {-100 * gap:+.0f} points of win rate more "
                    "than elsewhere, which hardly happens to a random part. Pass propensity= (the chance with which "
                    "people were to judge each prompt), or have a random part judged.",
                    UserWarning,
                    stacklevel=3,
                )
                return

    def counts(self) -> dict[str, int]:
        """Pairs of responses that people judged, that the judge did, both, and people alone."""
        human, judge = self.has_human, self.has_judge
        both = int((human & judge).sum())
        return {
            "n_human": int(human.sum()),
            "n_judge": int(judge.sum()),
            "n_both": both,
            "n_human_only": int(human.sum()) - both,
            "n_clusters": len(np.unique(self.cluster[human])),
        }


def read_units(
    judge: pd.DataFrame, human: pd.DataFrame, groups: pd.Series | None = None, propensity: pd.Series | None = None
) -> Units:
    """Check both tables and join them on the pair of responses."""
    scores = [_mean_scores(human, "human"), _mean_scores(judge, "judge")]
    table = pd.concat(scores, axis=1).reset_index()
    if not (table["human"].notna() & table["judge"].notna()).any():
        reject_disjoint(scores[1].index.to_frame(), scores[0].index.to_frame())
    codes, models = pd.factorize(pd.concat([table["model_a"], table["model_b"]], ignore_index=True), sort=True)
    cluster = group_codes(groups, pd.Index(table["prompt_id"]))
    return Units(
        models=np.asarray(models, dtype=object),
        first=codes[: len(table)],
        second=codes[len(table) :],
        cluster=pd.factorize(table["prompt_id"])[0] if cluster is None else cluster,
        human=table["human"].to_numpy(float),
        judge=table["judge"].to_numpy(float),
        chance=None if propensity is None else _chances(propensity, table),
        grouped=cluster is not None,
    )


def _chances(propensity: pd.Series, table: pd.DataFrame) -> Floats:
    """Chance of each unit's prompt to be judged by people."""
    if not isinstance(propensity, pd.Series) or not propensity.index.is_unique:
        reject("'propensity'", "must be a Series with one chance for each prompt_id.", "Index it by prompt_id.")
    chance = table["prompt_id"].map(propensity).to_numpy(float)
    bad = table["human"].notna().to_numpy() & ~((chance > 0) & (chance <= 1))
    if bad.any():
        reject(
            "'propensity'",
            f"got {shown(chance[bad], 3)} for prompt_id {shown(table.loc[bad, 'prompt_id'].unique())}.",
            "Give the chance, above 0 and at most 1, with which each prompt was to be judged by people.",
        )
    return chance


def reject_disjoint(judge: pd.DataFrame, human: pd.DataFrame) -> NoReturn:
    """Raise, for two tables of pairs of which none is in both: say what differs, and show one of each side."""
    models = [set(map(frozenset, side[KEY[1:]].itertuples(index=False, name=None))) for side in (judge, human)]
    prompts = [set(side["prompt_id"]) for side in (judge, human)]
    if models[0].isdisjoint(models[1]):
        differs = "no two models were compared by both"
    elif prompts[0].isdisjoint(prompts[1]):
        differs = "no prompt_id is in both"
    else:
        differs = "they share prompts and pairs of models, but never the same pair on the same prompt"
    one = [shown(side[KEY].head(1).itertuples(index=False, name=None)) for side in (judge, human)]
    wrong = f"have no pair of responses in common: {differs}. The judge saw, e.g., {one[0]}, people {one[1]}."
    remedy = "Let the judge also compare the pairs that people compared."
    ids = (pd.Index(judge["prompt_id"]), pd.Index(human["prompt_id"]))
    reject("'judge' and 'human'", wrong, id_remedy(*ids, ("'judge'", "'human'"), remedy))


def paired_votes(table: pd.DataFrame, name: str) -> pd.DataFrame:
    """Check a judgments table, naming the parameter, and turn each pair into alphabetical order."""
    frame = check_judgments(table)
    if not len(frame):
        reject(f"'{name}'", "has no rows.", "Check the split or the judge that you selected.")
    return oriented(frame)


def _mean_scores(table: pd.DataFrame, name: str) -> pd.Series:
    frame = paired_votes(table, name)
    return frame.assign(score=frame["winner"].map(SCORE)).groupby(KEY, sort=False)["score"].mean().rename(name)


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
        The judge's verdicts where people judged are unlike its others (p < 0.001): people's part is hardly random.
        Give its `propensity`, or draw it at random.

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
        refuse_parameter("lam", "between 0 and 1, or None to tune it", lam, who)
    check_confidence(confidence)


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
        wrong = f"has verdicts on {fit.n_clusters} prompts or groups for {model!r}: too few for an interval."
        reject("'human'", wrong, "Collect more, or leave the model out.")
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
        Judgments tables of judge models and of people; see `routerlab.ppi_win_rate`. Within each pair of
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
        As in `routerlab.ppi_win_rate`: prompts that are one piece of evidence; chances of being labelled.
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
        A model won or lost everything and only `alpha` limits its rating; or people's part is hardly random.

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
        refuse_parameter("alpha", "above 0, and finite", alpha, "ppi_rate")
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
    units = units.take(np.isin(units.first, judged) & np.isin(units.second, judged))
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
