"""Routers that look at a prompt's nearest neighbours."""

from collections.abc import Callable
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from routerlab.exceptions import ParameterError
from routerlab.neighbors import OpenedIndex, check_index, fingerprint, frozen, nearest
from routerlab.routers._base import BaseRouter, Estimates, training_outcomes
from routerlab.schema import Outcomes, check_choice, refuse_parameter, row_labels, unit_rows

N_FOLDS = 5  # of the cross-validation that chooses a number of neighbours
Weights = str | Callable[[NDArray[np.float32]], NDArray[np.floating]]


class NeighborRouter(BaseRouter):
    """Shared by the routers that keep their training embeddings: search, weights, abstention."""

    n_neighbors: int | str
    weights: Weights
    min_similarity: float | None
    index: Any = "exact"

    def _keep_embeddings(self, X: Any, values: NDArray[np.float32]) -> None:
        k = self.n_neighbors
        if not isinstance(k, (int, np.integer)) or k < 1:
            refuse_parameter("n_neighbors", "an integer of at least 1", k)
        if k > len(values):
            msg = (
                f"'n_neighbors' is {k}, and there are only {len(values):,} training prompts. "
                f"Use n_neighbors={len(values)} or fewer, or more prompts."
            )
            raise ParameterError(msg)
        self._keep_rows(X, values)

    def _keep_rows(self, X: Any, values: NDArray[np.float32]) -> None:
        self.embeddings_ = frozen(unit_rows(values))
        self.index_ = row_labels(X)
        self._opened_index()

    def _opened_index(self) -> OpenedIndex | None:
        """Return the index of the training embeddings, built when the router was fitted or is first used again."""
        settings = check_index(self.index)
        if settings is None:
            self.__dict__.pop("_opened", None)
            return None
        if self.embeddings_.flags.writeable:  # after unpickling or loading; nobody may change what was indexed
            self.embeddings_ = frozen(self.embeddings_)
        known, opened = getattr(self, "_opened", (None, None))
        if opened is None or known != settings or opened.fingerprint != fingerprint(self.embeddings_):
            opened = settings.open(self.embeddings_)
            self._opened = settings, opened
        return opened

    def __getstate__(self) -> Any:
        """Leave out the opened index, which may hold a connection; it is opened again."""
        return {name: value for name, value in super().__getstate__().items() if name != "_opened"}

    @property
    def _k(self) -> int:
        """How many neighbours count: as given, or as chosen at fit."""
        return int(getattr(self, "n_neighbors_", self.n_neighbors))

    def _weigh(self, similarity: NDArray[np.float32]) -> NDArray[np.float64]:
        """Weights of shape (n_queries, n_neighbors) that sum to 1 in each row."""
        if callable(self.weights):
            weight = np.asarray(self.weights(similarity), dtype=float)
            if weight.shape != similarity.shape or not (np.isfinite(weight) & (weight >= 0)).all():
                msg = f"'weights' must return finite, non-negative numbers of shape {similarity.shape}."
                raise ParameterError(msg)
        elif self.weights == "similarity":
            weight = np.maximum(similarity.astype(float), 0)
        elif self.weights == "uniform":
            weight = np.ones(similarity.shape)
        else:
            refuse_parameter("weights", "'uniform', 'similarity' or a function", self.weights)
        total = weight.sum(axis=1, keepdims=True)
        # Nothing similar at all: every neighbour counts the same.
        return np.where(total > 0, weight / np.where(total > 0, total, 1), 1 / weight.shape[1])

    def _search(self, X: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.intp], NDArray[np.float64]]:
        """Similarity, row and weight of each query's neighbours, all of shape (n_queries, n_neighbors)."""
        similarity, neighbor = nearest(unit_rows(X), self.embeddings_, self._k, index=self._opened_index())
        return similarity, neighbor, self._weigh(similarity)

    def _estimate(self, X: NDArray[np.float32]) -> Estimates:
        return self._average(*self._search(X))

    def _average(self, similarity: NDArray[np.float32], neighbor: NDArray[np.intp], weight: Any) -> Estimates:
        quality = np.clip(average(weight, neighbor, self.quality_), 0, 1)  # weights sum to 1 but for rounding
        cost = (
            np.broadcast_to(self.cost_, quality.shape)
            if self.cost_.ndim == 1
            else average(weight, neighbor, self.cost_)
        )
        far = similarity[:, 0] < (-np.inf if self.min_similarity is None else self.min_similarity)
        return Estimates(quality, cost, far)

    def _explained(self, X: NDArray[np.float32]) -> tuple[Estimates, pd.DataFrame]:
        similarity, neighbor, weight = self._search(X)
        table = pd.DataFrame({"similarity": similarity[0], "weight": weight[0]}, index=self.index_[neighbor[0]])
        if hasattr(self, "intents_"):
            table["intent"] = self.intents_[neighbor[0]]
        return self._average(similarity, neighbor, weight), table


def average(
    weight: NDArray[np.float64], neighbor: NDArray[np.intp], target: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Weighted mean of the neighbours' rows of `target`, of shape (n_queries, n_models).

    Empty cells do not count; without any other, the mean of the column stands in.
    """
    known = ~np.isnan(target)
    if not known.all():
        share = average(weight, neighbor, known.astype(float))
        total = average(weight, neighbor, np.where(known, target, 0.0))
        mean = np.nansum(target, axis=0) / np.maximum(known.sum(axis=0), 1)
        return np.where(share > 1e-12, total / np.maximum(share, 1e-12), mean)
    result = np.empty((len(neighbor), target.shape[1]))
    step = max(1, 2**21 // (neighbor.shape[1] * target.shape[1]))
    for start in range(0, len(neighbor), step):
        rows = slice(start, start + step)
        result[rows] = np.matmul(weight[rows, None, :], target[neighbor[rows]])[:, 0]
    return result


class KNNRouter(NeighborRouter):
    """Estimate quality and cost as the mean over a prompt's nearest training prompts.

    Parameters
    ----------
    n_neighbors : int or 'auto', default 'auto'
        How many neighbours (cosine similarity). 'auto' chooses by cross-validation at `fit`, from 5 to
        500: the number whose estimates of the models' differences have the least squared error.
    weights : {'uniform', 'similarity'} or callable, default 'uniform'
        How much each neighbour counts; a function maps similarities of shape (n_queries, n_neighbors)
        to weights of the same shape.
    cost_estimate : {'neighbors', 'mean'}, default 'neighbors'
        Cost from the same neighbours, or each model's mean training cost.
    willingness_to_pay : float, default infinity
        USD that one unit of quality is worth on one request.
    min_similarity : float, optional
        A prompt whose nearest neighbour is less similar than this goes to `fallback`.
    fallback : str, optional
        A model name, usually the baseline.
    index : {'exact', 'usearch'}, UsearchIndex or PgvectorIndex, default 'exact'
        How neighbours are searched. From some hundred thousand training prompts on, an index is quicker and misses a
        few neighbours; see `routerlab.neighbors`. Cross-validation of `n_neighbors` is always exact.

    Attributes
    ----------
    models_ : Index of shape (n_models,)
        Model names.
    embeddings_ : ndarray of shape (n_train, n_features)
        Training embeddings, unit length.
    quality_ : ndarray of shape (n_train, n_models)
        Training quality.
    n_neighbors_ : int
        How many neighbours count. Given, it is `n_neighbors`.
    cv_error_ : Series n_neighbors -> mean squared error, or None
        What 'auto' chose by; None where a number was given, or prompts are too few to choose.

    Notes
    -----
    Missing means missing: where a model has no value for some neighbours, the others count, and where it has none at
    all, its estimate is its mean over the training prompts. A model with few judgments can so be routed to; its
    estimates rest on few values, so ask more of its operating point (``assurance=``).

    References
    ----------
    Hu et al. (2024), RouterBench: A Benchmark for Multi-LLM Routing Systems, arXiv:2403.12031.

    Examples
    --------
    >>> X = np.array([[1, 0], [0.9, 0.1], [0, 1]], dtype=np.float32)
    >>> quality = pd.DataFrame({"small": [1, 1, 0], "large": [1, 1, 1]})
    >>> cost = pd.DataFrame({"small": [0.001] * 3, "large": [0.01] * 3})
    >>> router = KNNRouter(n_neighbors=1).fit(X, quality, cost=cost)
    >>> router.predict(np.array([[1, 0.05], [0.1, 1]])).tolist()
    ['small', 'large']
    """

    def __init__(
        self,
        n_neighbors: int | str = "auto",
        *,
        weights: Weights = "uniform",
        cost_estimate: str = "neighbors",
        willingness_to_pay: float = float("inf"),
        min_similarity: float | None = None,
        fallback: str | None = None,
        index: Any = "exact",
    ) -> None:
        self.n_neighbors = n_neighbors
        self.weights = weights
        self.cost_estimate = cost_estimate
        self.willingness_to_pay = willingness_to_pay
        self.min_similarity = min_similarity
        self.fallback = fallback
        self.index = index

    def fit(self, X: Any, quality: pd.DataFrame | Outcomes, *, cost: pd.DataFrame | None = None) -> Self:
        """Keep the training prompts' embeddings, quality and cost.

        Parameters
        ----------
        X : DataFrame or array of shape (n_prompts, n_features)
            Embeddings.
        quality, cost : DataFrame of shape (n_prompts, n_models), cost optional with Outcomes
            Measured quality in [0, 1] and cost in USD per request: see `routerlab.pivot_outcomes`. Cells may be
            empty (``missing='keep'``). `cost` may be a Series of one price per model.

        Returns
        -------
        KNNRouter
            Itself.
        """
        check_choice(self.cost_estimate, ("neighbors", "mean"), "cost_estimate")
        values = self._start_fit(X, quality, cost)
        quality, cost = training_outcomes(X, quality, cost, missing=True)
        self.quality_ = quality.to_numpy(dtype=float)
        self.cv_error_: pd.Series | None = None
        if self.n_neighbors == "auto":
            self._keep_rows(X, values)
            self._choose_n_neighbors()
        else:
            self._keep_embeddings(X, values)
            self.n_neighbors_ = int(self.n_neighbors)
        self.models_ = quality.columns
        self.cost_ = cost.to_numpy(dtype=float)
        if self.cost_estimate == "mean":
            self.cost_ = np.nanmean(self.cost_, axis=0)
        self._check_fallback()
        return self

    def _choose_n_neighbors(self) -> None:
        """Cross-validate: one search for neighbours in each fold serves all numbers. Copies of a text share a fold."""
        _, copy = np.unique(self.embeddings_, axis=0, return_inverse=True)
        copy = copy.ravel()
        n_texts, n_prompts = int(copy.max()) + 1, len(copy)
        if n_texts < 2 * N_FOLDS:
            self.n_neighbors_ = min(30, n_prompts)
            return
        fold = (np.random.default_rng(0).permutation(n_texts) % N_FOLDS)[copy]
        most = min(500, n_prompts - int(np.bincount(fold).max()))
        tried = np.unique(np.geomspace(min(5, most), most, 10).round().astype(int))
        # Choices depend on differences between models: what all models find hard does not matter.
        n_known = np.isfinite(self.quality_).sum(axis=1, keepdims=True)
        mean = np.nansum(self.quality_, axis=1, keepdims=True) / np.maximum(n_known, 1)
        lead = self.quality_ - np.where(n_known > 1, mean, 0.0)
        squares = np.zeros(len(tried))
        for part in range(N_FOLDS):
            test = fold == part
            similarity, neighbor = nearest(self.embeddings_[test], self.embeddings_[~test], most)
            for place, k in enumerate(tried):
                guess = average(self._weigh(similarity[:, :k]), neighbor[:, :k], lead[~test])
                squares[place] += np.nansum((guess - lead[test]) ** 2)
        self.n_neighbors_ = int(tried[squares.argmin()])
        self.cv_error_ = pd.Series(squares / n_known.sum(), index=pd.Index(tried, name="n_neighbors"), name="error")

    def __repr__(self, N_CHAR_MAX: int = 700) -> str:  # noqa: N803 - scikit-learn's name
        """Parameters, and the number of neighbours that 'auto' chose."""
        chosen = "" if getattr(self, "cv_error_", None) is None else f" chose n_neighbors_ = {self.n_neighbors_}"
        return super().__repr__(N_CHAR_MAX) + chosen
