"""Bradley-Terry ratings for each query, from votes weighted by similarity (RouteLLM's sw_ranking)."""

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse
from scipy.special import expit

from routerlab.neighbors import nearest
from routerlab.ratings import solve_bradley_terry
from routerlab.routers._base import BaseRouter, Estimates
from routerlab.routers._winrates import mean_win_rates
from routerlab.schema import WIN_SHARE, by_prompt, check_judgments, check_matrix, check_model, reject, shown, unit_rows

# Queries solved at once: their weights over all voted prompts are the largest array.
_BATCH_BYTES = 64 * 2**20


class SimilarityWeightedRouter(BaseRouter):
    """Rate the models for each query, counting votes on similar prompts more.

    A vote on a prompt of cosine similarity s weighs ``10 * 10**(s / max(s))``. Each query's weights are first summed by
    pair and outcome, so that its ratings come from a small table of counts, and many queries are solved at once: the
    same win rates as a logistic regression over all votes for each query, hundreds of times sooner.

    Parameters
    ----------
    n_tiers : int or None, default 10
        Models of similar rating share a tier, and the tiers are rated: contiguous groups that
        minimise the sum of variances. None, or at most this many models: one tier for each model.
    alpha : float, default 0
        L2 penalty on ratings in natural-log units, as in `BradleyTerry`. 0 is RouteLLM's; a model (or tier)
        that won or lost everything needs a little, e.g. 0.01.
    willingness_to_pay : float, default infinity
        USD that one unit of quality is worth on one request.
    min_similarity : float, optional
        A prompt whose nearest voted prompt is less similar than this goes to `fallback`.
    fallback : str, optional
        A model name, usually the baseline.

    Attributes
    ----------
    tiers_ : Series indexed by model
        Tier of each model in the votes, 0 the best.
    n_votes_ : int
        Votes used.
    n_left_out_ : int
        Votes on prompts that are not in X.

    Notes
    -----
    Votes between two models of one tier enter as RouteLLM's code has them: as a vote between the tier and a fixed
    point, counted for the fixed point if ``model_a`` wins. Ties and ``both_bad`` count half for each side.

    References
    ----------
    Ong et al. (2024), RouteLLM: Learning to Route LLMs with Preference Data, arXiv:2406.18665.

    Examples
    --------
    >>> X = pd.DataFrame(np.eye(2, dtype=np.float32), index=["p1", "p2"])
    >>> votes = pd.DataFrame({"prompt_id": ["p1", "p1", "p2", "p2"], "model_a": "small", "model_b": "large",
    ...                       "winner": ["model_a", "tie", "model_b", "tie"]})
    >>> cost = pd.DataFrame({"small": [0.001], "large": [0.01]})
    >>> router = SimilarityWeightedRouter().fit(X, votes, cost=cost)
    >>> router.win_rate(X, "large", "small").round(2).tolist()
    [0.3, 0.7]
    """

    def __init__(
        self,
        n_tiers: int | None = 10,
        *,
        alpha: float = 0.0,
        willingness_to_pay: float = float("inf"),
        min_similarity: float | None = None,
        fallback: str | None = None,
    ) -> None:
        self.n_tiers = n_tiers
        self.alpha = alpha
        self.willingness_to_pay = willingness_to_pay
        self.min_similarity = min_similarity
        self.fallback = fallback

    def fit(self, X: pd.DataFrame, judgments: pd.DataFrame, *, cost: pd.DataFrame | None = None) -> Self:
        """Fit on embeddings of judged prompts, and their judgments.

        Parameters
        ----------
        X : DataFrame of shape (n_prompts, n_features)
            Embeddings, indexed by prompt id. Votes on other prompts are left out and counted.
        judgments : DataFrame
            See `routerlab.schema.check_judgments`. May judge more models than are routed among.
        cost : DataFrame of shape (n, n_models), optional with Outcomes
            USD per request of the models to route among; their means over the cells that are not empty are the
            estimates. Or a Series of one price per model.

        Returns
        -------
        SimilarityWeightedRouter
            Itself.

        Raises
        ------
        TableError
            X has no prompt ids, `cost` is missing, or a model or all prompts of X are without a vote.
        """
        X = by_prompt(X)
        if not isinstance(X, pd.DataFrame):
            reject(
                "'X'", f"expected a DataFrame indexed by prompt_id, got {type(X).__name__}.", "Votes are joined on it."
            )
        if cost is None:
            reject("'cost'", "is missing.", "Pass cost=, USD per request: pivot_outcomes(outcomes).cost.")
        values = self._start_fit(X, judgments, cost, scale=WIN_SHARE)
        votes = check_judgments(judgments)
        known = votes["prompt_id"].isin(X.index)
        votes = votes[known]
        self.n_votes_, self.n_left_out_ = len(votes), int((~known).sum())
        if not len(votes):
            reject("judgments table", "has no vote on a prompt of X.", "Pass the embeddings of the judged prompts.")
        if isinstance(cost, (pd.Series, Mapping)):
            cost = pd.Series(cost).to_frame().T
        cost = check_matrix(cost, "cost", missing=True)
        self.mean_cost_ = cost.mean().to_numpy(dtype=float)
        unknown = cost.columns[np.isnan(self.mean_cost_)]
        if len(unknown):
            reject("'cost'", f"has no value of model {shown(unknown)}.", "Measure some, or leave the model out.")
        self.models_ = cost.columns
        self.tiers_ = self._tier(votes)
        absent = self.models_.difference(self.tiers_.index)
        if len(absent):
            reject("judgments table", f"has no vote on model {shown(absent)}.", "Judge it, or route without it.")
        self._check_fallback()
        voted = self._count(votes, X.index)
        self.embeddings_, self.index_ = unit_rows(values[voted]), X.index[voted]
        return self

    def _tier(self, votes: pd.DataFrame) -> pd.Series:
        """Group models into tiers of similar overall rating."""
        names = np.asarray(pd.unique(pd.concat([votes["model_a"], votes["model_b"]])), dtype=object)
        if self.n_tiers is None or len(names) <= self.n_tiers:
            return pd.Series(range(len(names)), index=names, name="tier")
        a, b = (pd.Index(names).get_indexer(votes[side]) for side in ("model_a", "model_b"))
        wins = np.zeros((len(names), len(names)))
        np.add.at(wins, (a, b), _credit(votes["winner"], "model_a"))
        np.add.at(wins, (b, a), _credit(votes["winner"], "model_b"))
        strength = solve_bradley_terry(wins, alpha=self.alpha)
        order = np.argsort(-strength, kind="stable")
        return pd.Series(split_tiers(strength[order], self.n_tiers), index=names[order], name="tier")

    def _count(self, votes: pd.DataFrame, index: pd.Index) -> NDArray[np.intp]:
        """Tabulate votes by (winner, loser) cell and voted prompt; return the rows of the voted prompts.

        The last tier is the fixed point.
        """
        fixed = int(self.tiers_.max()) + 1
        a, b = (self.tiers_.loc[votes[side]].to_numpy() for side in ("model_a", "model_b"))
        # Within a tier: the fixed point takes the place of model_a.
        first, second = np.where(a == b, fixed, a), b
        row = index.get_indexer(votes["prompt_id"])
        voted, prompt = np.unique(row, return_inverse=True)
        cells = np.concatenate([first * (fixed + 1) + second, second * (fixed + 1) + first])
        credit = np.concatenate([_credit(votes["winner"], "model_a"), _credit(votes["winner"], "model_b")])
        used = credit > 0
        table = sparse.csr_matrix(
            (credit[used].astype(np.float32), (cells[used], np.tile(prompt, 2)[used])),
            shape=((fixed + 1) ** 2, len(voted)),
        )
        self.counts_ = table.data
        self.count_columns_, self.count_rows_ = table.indices, table.indptr
        return voted

    @property
    def _table(self) -> sparse.csr_matrix:
        n_tiers = int(self.tiers_.max()) + 2
        shape = (n_tiers**2, len(self.embeddings_))
        return sparse.csr_matrix((self.counts_, self.count_columns_, self.count_rows_), shape=shape)

    def _strengths(self, X: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
        """Log-strengths of the routed models for each query, and the largest similarity."""
        queries, table = unit_rows(X), self._table
        n_tiers = int(self.tiers_.max()) + 2
        tier = self.tiers_.loc[self.models_].to_numpy()
        strength = np.empty((len(X), len(self.models_)))
        closest = np.empty(len(X), dtype=np.float32)
        used = np.nonzero(np.diff(self.count_rows_))[0]
        seen = np.unique(np.concatenate([used // n_tiers, used % n_tiers]))
        start = None
        step = max(1, _BATCH_BYTES // (4 * len(self.embeddings_)))
        for begin in range(0, len(X), step):
            rows = slice(begin, begin + step)
            weight = self.embeddings_ @ queries[rows].T
            closest[rows] = weight.max(axis=0)
            # 10 * 10**(s / max s), in place; only ratios of weights matter, so the constant is left out.
            weight *= np.float32(np.log(10)) / np.where(closest[rows] == 0, 1, closest[rows])
            np.exp(weight, out=weight)
            wins = (table @ weight).T.reshape(-1, n_tiers, n_tiers)[:, seen[:, None], seen]
            solved = np.zeros((len(wins), n_tiers))
            if start is None:
                start = solve_bradley_terry(wins[:1].astype(float), alpha=self.alpha)[0]
            solved[:, seen] = solve_bradley_terry(wins.astype(float), alpha=self.alpha, start=start)
            strength[rows] = solved[:, tier]
        return strength, closest

    def _explained(self, X: NDArray[np.float32], n: int = 10) -> tuple[Estimates, pd.DataFrame]:
        """Return the estimates, and the voted prompts that count most, with what one vote on them weighs."""
        similarity, neighbor = nearest(unit_rows(X), self.embeddings_, min(n, len(self.embeddings_)))
        weight = 10 * 10 ** (similarity[0] / (similarity[0, 0] or 1))
        table = pd.DataFrame({"similarity": similarity[0], "weight": weight}, index=self.index_[neighbor[0]])
        return self._estimate(X), table

    def win_rate(self, X: Any, model: str, opponent: str) -> pd.Series:
        """Probability that one model's response beats the other's (RouteLLM's strong win rate).

        Parameters
        ----------
        X : DataFrame or array of shape (n_prompts, n_features)
            Embeddings, made as at fit.
        model, opponent : str
            Two of the models that are routed among.

        Returns
        -------
        Series of shape (n_prompts,)
            Between 0 and 1.
        """
        a, b = (
            self.models_.get_loc(check_model(name, self.models_, parameter))
            for name, parameter in ((model, "model"), (opponent, "opponent"))
        )
        values, index = self._checked(X)
        strength, _ = self._strengths(values)
        return pd.Series(expit(strength[:, a] - strength[:, b]), index=index, name="win_rate")

    def _estimate(self, X: NDArray[np.float32]) -> Estimates:
        strength, closest = self._strengths(X)
        quality = mean_win_rates(strength)
        far = closest < (-np.inf if self.min_similarity is None else self.min_similarity)
        return Estimates(quality, np.broadcast_to(self.mean_cost_, quality.shape), far)


def _credit(winner: pd.Series, side: str) -> NDArray[np.float64]:
    """1 for a win of `side`, a half for a tie or both_bad."""
    value = winner.to_numpy(dtype=object)
    return (value == side) + 0.5 * ((value == "tie") | (value == "both_bad"))


def split_tiers(strength: NDArray[np.float64], n_tiers: int) -> NDArray[np.intp]:
    """Split sorted values into contiguous groups that minimise the sum of the groups' variances.

    Examples
    --------
    >>> split_tiers(np.array([9.0, 8.9, 5.0, 1.0, 0.9]), 3).tolist()
    [0, 0, 1, 2, 2]
    """
    n = len(strength)
    spread = np.zeros((n, n))
    for i in range(n):
        for j in range(i + 1, n):
            spread[i, j] = np.var(strength[i : j + 1])
    best, split = spread[0].copy(), []
    for _ in range(1, n_tiers):
        # best[j]: least sum for the first j + 1 values so far; the next group starts after l.
        total = np.where(np.tri(n, n, -1, dtype=bool), best[None, :] + np.vstack([spread[1:], np.zeros(n)]).T, np.inf)
        at = total.argmin(axis=1)
        best = np.append(0.0, total[np.arange(1, n), at[1:]])
        split.append(at)
    ends, last = [], n - 1
    for at in reversed(split):
        last = int(at[last])
        ends.append(last)
    return np.searchsorted(np.array(ends[::-1]), np.arange(n), side="left")
