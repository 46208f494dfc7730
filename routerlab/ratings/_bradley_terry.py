"""The Bradley-Terry estimator: ratings of models with intervals."""

import warnings
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components
from scipy.special import ndtr
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from routerlab.markup import NotebookReprMixin
from routerlab.ratings._solver import solve_bradley_terry
from routerlab.ratings._uncertainty import (
    bootstrap,
    contrasts,
    excess_covariance,
    points_per_log_odds,
    rater_covariance,
    raw_win_rates,
    sandwich,
    small_sample_factor,
    spread,
    t_quantile,
    unseen_covariance,
    whole,
    win_probability,
)
from routerlab.ratings._votes import TIE, Votes, read_counts, read_votes, tally, win_matrix
from routerlab.schema import check_judgments, provenance_of, refuse_parameter, reject, shown
from routerlab.stats import FEW_GROUPS, Floats, check_confidence


class BradleyTerry(NotebookReprMixin, BaseEstimator):
    r"""Ratings of models from pairwise judgments, by maximum likelihood, with intervals.

    A model with rating r beats one with rating s with probability ``1 / (1 + base**((s - r) / scale))``.
    Votes are first counted by pair and outcome: the cost hardly depends on their number.

    Parameters
    ----------
    ties : {'half', 'drop'}, default 'half'
        'half': a tie is half a win for each, and ratings predict the expected score. 'drop': ties
        are left out, and ratings predict who wins once somebody does.
    both_bad : {'tie', 'drop'}, default 'tie'
        'tie': treat both_bad as a tie. 'drop': leave it out.
    alpha : float, default 0.01
        L2 penalty on ratings in natural-log units: a normal prior of standard deviation
        ``1 / sqrt(alpha)``, by default 10 log-odds or 1,737 points. It keeps the rating of a model
        that won or lost everything finite, and is worth about 0.04 votes to a model. 0 is plain maximum
        likelihood, and raises on such data.
    cluster : str, Series or None, default 'auto'
        Column (or Series prompt_id -> group) whose equal values mark votes that may be correlated. 'auto': those of a
        prompt, and those of a rater if ``judge`` names several (two-way clustering [1]_; intervals are then for raters
        like these, and wide if raters are few). 'prompt_id': those of a prompt only; no other raters than these matter.
        None: all votes are independent, which makes intervals too narrow if several votes share a prompt.
    interval : {'sandwich', 'bootstrap'}, default 'sandwich'
        'sandwich': robust covariance with a small-sample factor, and Student's t with (number of
        clusters - 1) degrees of freedom. 'bootstrap': percentiles over resampled clusters, widened likewise.
    n_resamples : int, default 1000
        Bootstrap resamples.
    confidence : float, default 0.95
        Nominal coverage of each interval by itself (not of all of them at once).
    scale, base, center : float, default 400, 10 and 1000
        The arena's convention: 400 points are odds of 10 to 1, and the models' mean is 1000.
    anchor : str, optional
        Model whose rating is `center` exactly. Intervals are then those of the differences from it.
    random_state : int, Generator or None, default 0
        Seeds the bootstrap.

    Attributes
    ----------
    models_ : ndarray of shape (n_models,)
        Model names, sorted: the order of everything below.
    ratings_, ci_low_, ci_high_ : Series of shape (n_models,)
        Ratings and the ends of their intervals, in points.
    covariance_ : DataFrame of shape (n_models, n_models)
        Covariance of the ratings, in squared points.
    log_ratings_, log_covariance_ : ndarray of shape (n_models,) and (n_models, n_models)
        The same in natural-log units, with ratings that sum to 0.
    log_resamples_ : ndarray of shape (n_resamples, n_models) or None
        Ratings of each bootstrap resample, in natural-log units.
    n_votes_ : Series of shape (n_models,)
        Votes that each model was in.
    n_judgments_, n_dropped_, n_clusters_, n_iter_ : int
        Votes used, votes left out by `ties` and `both_bad`, clusters among those used, and Newton steps.
    n_raters_ : int or None
        Raters that were taken as clusters.
    counts_ : ndarray of shape (n_models, n_models, 3)
        Votes by pair (upper triangle) and outcome: first won, tie, second won.
    provenance_ : str or None
        What the judgments say about their origin.

    Raises
    ------
    TableError
        From `fit`: bad judgments; models that no chain of votes connects; infinite ratings with
        ``alpha=0``; fewer clusters than models.

    Warns
    -----
    UserWarning
        From `fit`: a model won or lost everything, and only `alpha` holds its rating.

    Notes
    -----
    No interval covers what the votes do not show: biased judges, or prompts unlike those judged. But votes that were
    all ties do not show that nobody ever prefers a side: intervals are as wide as one more cluster of decided votes for
    each model would make them.

    References
    ----------
    .. [1] A. C. Cameron, J. B. Gelbach and D. L. Miller, "Robust inference with multiway clustering", Journal of
       Business & Economic Statistics 29, 2011.

    R. A. Bradley and M. E. Terry, "Rank analysis of incomplete block designs", Biometrika 39, 1952.
    W.-L. Chiang et al., "Chatbot Arena", ICML 2024: the sandwich covariance.
    T. C. Hesterberg, "What teachers should know about the bootstrap", The American Statistician 69, 2015:
    percentiles widened for small samples.

    Examples
    --------
    >>> votes = pd.DataFrame({
    ...     "prompt_id": range(8),
    ...     "model_a": ["small"] * 8,
    ...     "model_b": ["large"] * 8,
    ...     "winner": ["model_b"] * 5 + ["tie"] * 2 + ["model_a"],
    ... })
    >>> model = BradleyTerry().fit(votes)
    >>> model.ratings_.round().to_dict()
    {'large': 1095.0, 'small': 905.0}
    >>> model.expected_win_rate("small").loc["large"].round(2).to_dict()
    {'win_rate': 0.75, 'win_rate_low': 0.3, 'win_rate_high': 0.95}
    """

    def __init__(
        self,
        *,
        ties: str = "half",
        both_bad: str = "tie",
        alpha: float = 0.01,
        cluster: str | pd.Series | None = "auto",
        interval: str = "sandwich",
        n_resamples: int = 1000,
        confidence: float = 0.95,
        scale: float = 400.0,
        base: float = 10.0,
        center: float = 1000.0,
        anchor: str | None = None,
        random_state: int | np.random.Generator | None = 0,
    ) -> None:
        self.ties = ties
        self.both_bad = both_bad
        self.alpha = alpha
        self.cluster = cluster
        self.interval = interval
        self.n_resamples = n_resamples
        self.confidence = confidence
        self.scale = scale
        self.base = base
        self.center = center
        self.anchor = anchor
        self.random_state = random_state

    def fit(self, judgments: pd.DataFrame, y: Any = None) -> Self:
        """Fit to a judgments table (see `check_judgments`), and return self; `y` is ignored."""
        self._fit_checked(check_judgments(judgments))
        return self

    def _fit_checked(self, frame: pd.DataFrame) -> Votes:
        """Fit to a judgments table that was checked, and return its votes."""
        check_parameters(self)
        votes = read_votes(frame, ties=self.ties, both_bad=self.both_bad, cluster=self.cluster)
        self._fit(votes.models, tally(votes)[0], None if self.cluster is None else votes)
        self.n_dropped_, self.provenance_ = int((~votes.kept).sum()), provenance_of(frame)
        return votes

    def fit_counts(self, wins: pd.DataFrame, ties: pd.DataFrame | None = None) -> Self:
        """Fit to counts by pair, and return self. They name no prompts, so votes are taken as independent.

        Parameters
        ----------
        wins : DataFrame of shape (n_models, n_models)
            ``wins.loc[i, j]``: how often i beat j.
        ties : DataFrame of shape (n_models, n_models), optional
            ``ties.loc[i, j]``: how often i and j tied; symmetric.

        Raises
        ------
        TableError
            Counts that are fractions, which cannot be resampled.

        Examples
        --------
        >>> wins = pd.DataFrame([[0, 30], [10, 0]], index=["x", "y"], columns=["x", "y"])
        >>> BradleyTerry(alpha=0).fit_counts(wins).ratings_.diff().round(1).iloc[1]
        np.float64(-190.8)
        """
        check_parameters(self)
        models, counts = read_counts(wins, ties)
        if self.interval == "bootstrap" and (counts != np.round(counts)).any():
            reject("'wins' or 'ties'", "holds fractions, which cannot be resampled.", "Use interval='sandwich'.")
        tied = counts[..., TIE].sum()
        if self.ties == "drop":
            counts[..., TIE] = 0.0
        self._fit(models, counts, None)
        self.n_dropped_, self.provenance_ = round(tied) if self.ties == "drop" else 0, provenance_of(wins, ties)
        return self

    def _fit(self, models: NDArray[np.object_], counts: Floats, votes: Votes | None) -> None:
        wins, contrast = win_matrix(counts), contrasts(models, self.anchor, "anchor")
        n = round(counts.sum())
        n_clusters = n if votes is None else votes.n_clusters
        check_connected(wins, models)
        check_separable(wins, models, self.alpha)
        check_enough(n_clusters, n, len(models), None if votes is None else self.cluster)
        self.models_, self.counts_, self.n_judgments_, self.n_clusters_ = models, counts, n, n_clusters
        ratings, n_iter = solve_bradley_terry(wins, alpha=self.alpha, return_n_iter=True)
        self.log_ratings_, self.n_iter_, self.log_resamples_ = ratings, int(n_iter[0]), None
        # An interval is as wide as the widest of these makes it: covariance, and degrees of freedom.
        unseen = unseen_covariance(wins, ratings, self.alpha, n_clusters)
        self.log_covariance_ = sandwich(counts, ratings, self.alpha, votes)
        self._floors = [(self.log_covariance_ + unseen, n_clusters - 1)]
        self.n_raters_ = None if votes is None or votes.rater is None else int(votes.rater.max()) + 1
        if votes is not None and self.n_raters_ is not None:
            self._floors.append((rater_covariance(counts, ratings, self.alpha, votes), self.n_raters_ - 1))
        if self.interval == "bootstrap":
            rng = np.random.default_rng(self.random_state)
            self.log_resamples_ = bootstrap(counts, ratings, self.alpha, votes, self.n_resamples, rng)
            self.log_covariance_ = np.cov(self.log_resamples_, rowvar=False)
            self._floors[0] = (unseen, n_clusters - 1)
        self._describe(contrast)

    def _describe(self, contrast: Floats) -> None:
        """Express the fit in points."""
        names = pd.Index(self.models_, name="model")
        point, low, high = self._interval(contrast)
        unit = self.points_per_log_odds
        covariance = contrast @ self.log_covariance_ @ contrast.T * unit**2
        self.ratings_ = pd.Series(self.center + unit * point, names, name="rating")
        self.ci_low_ = pd.Series(self.center + unit * low, names, name="ci_low")
        self.ci_high_ = pd.Series(self.center + unit * high, names, name="ci_high")
        self.covariance_ = pd.DataFrame(covariance, index=names, columns=names)
        in_pair = self.counts_.sum(axis=2)
        self.n_votes_ = pd.Series(whole(in_pair.sum(axis=0) + in_pair.sum(axis=1)), names, name="n")

    def _interval(self, contrast: Floats) -> tuple[Floats, Floats, Floats]:
        """Estimate and interval of each row of ``contrast @ log_ratings_``."""
        point = contrast @ self.log_ratings_
        half = np.max([t_quantile(df, self.confidence) * spread(contrast, v) for v, df in self._floors], axis=0)
        if self.log_resamples_ is None:
            return point, point - half, point + half
        # Resamples spread as little as a variance with no small-sample factor (Hesterberg, 2015).
        width = t_quantile(self.n_clusters_ - 1, self.confidence)
        width *= np.sqrt(small_sample_factor(self.n_judgments_, self.n_clusters_, len(self.models_)))
        low, high = np.quantile(self.log_resamples_ @ contrast.T, [ndtr(-width), ndtr(width)], axis=0)
        return point, np.minimum(low, point - half), np.maximum(high, point + half)

    def _shared_covariance(self) -> Floats:
        """How much more ratings vary between sets of raters than between prompts, for a normal quantile."""
        if self.n_raters_ is None:
            return np.zeros_like(self.log_covariance_)
        few = t_quantile(self.n_raters_ - 1, self.confidence) / t_quantile(np.inf, self.confidence)
        return excess_covariance(few**2 * self._floors[1][0], self._floors[0][0])

    @property
    def points_per_log_odds(self) -> float:
        """Rating points for one unit of log odds, 173.7 by default."""
        return points_per_log_odds(self.scale, self.base)

    def win_rates(self) -> pd.DataFrame:
        """Return the expected win rate of row over column, ties as half: shape (n_models, n_models)."""
        check_is_fitted(self)
        return pd.DataFrame(win_probability(self.log_ratings_), index=self.ratings_.index, columns=self.models_)

    def expected_win_rate(self, baseline: str) -> pd.DataFrame:
        """Return each model's expected win rate against `baseline`, with its interval.

        Parameters
        ----------
        baseline : str
            One of the models.

        Returns
        -------
        DataFrame of shape (n_models, 3)
            ``win_rate``, ``win_rate_low``, ``win_rate_high``, in [0, 1], by model.
        """
        check_is_fitted(self)
        contrast = contrasts(self.models_, baseline, "baseline")
        rates = 0.5 + 0.5 * np.tanh(0.5 * np.column_stack(self._interval(contrast)))
        return pd.DataFrame(rates, index=self.ratings_.index, columns=["win_rate", "win_rate_low", "win_rate_high"])

    def raw_win_rates(self) -> pd.DataFrame:
        """Return how each model did against those it met, with Wilson's interval and without a model of strength.

        Returns
        -------
        DataFrame of shape (n_models, 7)
            ``wins``, ``ties``, ``losses``, ``n``, ``win_rate`` (ties as half), ``win_rate_low``, ``win_rate_high``.
            The interval takes votes as independent.
        """
        check_is_fitted(self)
        return pd.DataFrame(raw_win_rates(self.counts_, self.confidence), index=self.ratings_.index)

    def summary(self) -> pd.DataFrame:
        """Return the leaderboard: ``model, rating, ci_low, ci_high, n``, best first.

        ``attrs`` says how it was made.
        """
        check_is_fitted(self)
        frame = pd.concat([self.ratings_, self.ci_low_, self.ci_high_, self.n_votes_], axis=1)
        frame = frame.sort_values("rating", ascending=False, kind="stable").reset_index()
        frame.attrs = self._made_by()
        return frame

    def _made_by(self) -> dict[str, Any]:
        told = ("confidence", "alpha", "ties", "both_bad", "cluster", "scale", "base", "center", "anchor")
        made = {"method": f"Bradley-Terry, {self.interval} intervals"} | {name: getattr(self, name) for name in told}
        made["cluster"] = "groups" if isinstance(self.cluster, pd.Series) else self.cluster
        made |= {"n_judgments": self.n_judgments_, "n_dropped": self.n_dropped_, "n_clusters": self.n_clusters_}
        if self.n_raters_ is not None:
            made["n_raters"] = self.n_raters_
            if self.n_raters_ < FEW_GROUPS:
                made["note"] = (
                    f"only {self.n_raters_} raters: how raters differ is itself poorly known, and intervals are wide "
                    "for it; cluster='prompt_id' is about these raters alone"
                )
        if self.interval == "bootstrap":
            made |= {"n_resamples": self.n_resamples, "random_state": self.random_state}
        return made | ({"provenance": self.provenance_} if self.provenance_ else {})


def check_parameters(model: BradleyTerry) -> None:
    """Raise if a parameter is out of range."""
    choices = {"ties": ("half", "drop"), "both_bad": ("tie", "drop"), "interval": ("sandwich", "bootstrap")}
    for name, allowed in choices.items():
        if getattr(model, name) not in allowed:
            refuse_parameter(name, " or ".join(map(repr, allowed)), getattr(model, name), "BradleyTerry")
    check_confidence(model.confidence)
    finite = np.inf
    numbers = {
        "alpha": (0 <= model.alpha < finite, "at least 0, and finite"),
        "n_resamples": (model.n_resamples >= 2, "at least 2"),
        "scale": (0 < model.scale < finite, "above 0"),
        "base": (1 < model.base < finite, "above 1"),
        "center": (-finite < model.center < finite, "finite"),
    }
    for name, (good, wanted) in numbers.items():
        if not good:
            refuse_parameter(name, wanted, getattr(model, name), "BradleyTerry")


def check_connected(wins: NDArray[np.float64], models: NDArray[np.object_]) -> None:
    """Raise if the comparisons fall into parts: ratings in one say nothing about those in another."""
    n_parts, part = connected_components(wins > 0, connection="weak")
    if n_parts > 1:
        parts = "; ".join(f"({shown(models[part == k], 8)})" for k in range(n_parts))
        wrong = f"no vote compares models across {n_parts} groups: {parts}."
        reject("judgments table", wrong, "Collect votes between them, or rate each group alone.")


def check_separable(wins: NDArray[np.float64], models: NDArray[np.object_], alpha: float) -> None:
    """Raise, or with a penalty warn, if maximum likelihood ratings are infinite."""
    n_parts, part = connected_components(wins > 0, connection="strong")
    if n_parts == 1:
        return
    odd = f"{shown(models[part != np.bincount(part).argmax()], 8)} won everything or lost everything against others"
    if alpha == 0:
        wrong = f"{odd}: with alpha=0 their ratings are infinite."
        reject("judgments table", wrong, "Pass a small alpha such as 0.01, or collect more votes.")
    warnings.warn(
        f"BradleyTerry: {odd}. Only alpha={alpha:g} keeps their distance finite: read it as 'far'.",
        UserWarning,
        stacklevel=5,
    )


def check_enough(n_clusters: int, n_votes: int, n_models: int, cluster: str | pd.Series | None) -> None:
    """Raise if there are too few independent units to see how votes scatter."""
    if n_clusters < n_models:
        column = "groups" if isinstance(cluster, pd.Series) else repr(cluster).replace("auto", "prompt_id")
        units = f"{n_votes:,} votes" if cluster is None else f"{n_votes:,} votes on {n_clusters:,} values of {column}"
        wrong = f"has {units} for {n_models} models: too few to say how sure the ratings are."
        reject("judgments table", wrong, "Collect more, or pass cluster=None if votes of one cluster are independent.")
