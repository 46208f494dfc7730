"""Routers that look at a prompt's nearest neighbours."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from routerlab.neighbors import nearest
from routerlab.routers._base import BaseRouter, Estimates, training_outcomes
from routerlab.schema import row_labels, unit_rows

Weights = str | Callable[[NDArray[np.float32]], NDArray[np.floating]]


class NeighborRouter(BaseRouter):
    """Shared by the routers that keep their training embeddings: search, weights, abstention."""

    n_neighbors: int
    weights: Weights
    min_similarity: float | None

    def _keep_embeddings(self, X: Any, values: NDArray[np.float32]) -> None:
        if not isinstance(self.n_neighbors, (int, np.integer)) or self.n_neighbors < 1:
            msg = f"'n_neighbors' must be an integer of at least 1. Got {self.n_neighbors!r} instead."
            raise ValueError(msg)
        if self.n_neighbors > len(values):
            msg = (
                f"'n_neighbors' is {self.n_neighbors}, and there are only {len(values)} training prompts. "
                f"Use n_neighbors={len(values)} or fewer, or more prompts."
            )
            raise ValueError(msg)
        self.embeddings_ = unit_rows(values)
        self.index_ = row_labels(X)

    def _weigh(self, similarity: NDArray[np.float32]) -> NDArray[np.float64]:
        """Weights of shape (n_queries, n_neighbors) that sum to 1 in each row."""
        if callable(self.weights):
            weight = np.asarray(self.weights(similarity), dtype=float)
            if weight.shape != similarity.shape or not (np.isfinite(weight) & (weight >= 0)).all():
                msg = f"'weights' must return finite, non-negative numbers of shape {similarity.shape}."
                raise ValueError(msg)
        elif self.weights == "similarity":
            weight = np.maximum(similarity.astype(float), 0)
        elif self.weights == "uniform":
            weight = np.ones(similarity.shape)
        else:
            msg = f"'weights' must be 'uniform', 'similarity' or a function. Got {self.weights!r} instead."
            raise ValueError(msg)
        total = weight.sum(axis=1, keepdims=True)
        # Nothing similar at all: every neighbour counts the same.
        return np.where(total > 0, weight / np.where(total > 0, total, 1), 1 / weight.shape[1])

    def _estimate(self, X: NDArray[np.float32]) -> Estimates:
        similarity, neighbor = nearest(unit_rows(X), self.embeddings_, self.n_neighbors)
        weight = self._weigh(similarity)
        quality = np.clip(average(weight, neighbor, self.quality_), 0, 1)  # weights sum to 1 but for rounding
        cost = (
            np.broadcast_to(self.cost_, quality.shape)
            if self.cost_.ndim == 1
            else average(weight, neighbor, self.cost_)
        )
        far = similarity[:, 0] < (-np.inf if self.min_similarity is None else self.min_similarity)
        return Estimates(quality, cost, far)

    def _neighbors(self, X: NDArray[np.float32]) -> pd.DataFrame:
        similarity, neighbor = nearest(unit_rows(X), self.embeddings_, self.n_neighbors)
        table = pd.DataFrame({"similarity": similarity[0], "weight": self._weigh(similarity)[0]})
        table.index = self.index_[neighbor[0]]
        if hasattr(self, "intents_"):
            table["intent"] = self.intents_[neighbor[0]]
        return table


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
        return np.where(share > 1e-12, total / np.maximum(share, 1e-12), np.nanmean(target, axis=0))
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
    n_neighbors : int, default 30
        How many neighbours (cosine similarity, exact search).
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

    Attributes
    ----------
    models_ : Index of shape (n_models,)
        Model names.
    embeddings_ : ndarray of shape (n_train, n_features)
        Training embeddings, unit length.
    quality_ : ndarray of shape (n_train, n_models)
        Training quality.

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
        n_neighbors: int = 30,
        *,
        weights: Weights = "uniform",
        cost_estimate: str = "neighbors",
        willingness_to_pay: float = float("inf"),
        min_similarity: float | None = None,
        fallback: str | None = None,
    ) -> None:
        self.n_neighbors = n_neighbors
        self.weights = weights
        self.cost_estimate = cost_estimate
        self.willingness_to_pay = willingness_to_pay
        self.min_similarity = min_similarity
        self.fallback = fallback

    def fit(self, X: Any, quality: pd.DataFrame, *, cost: pd.DataFrame | None = None) -> KNNRouter:
        """Keep the training prompts' embeddings, quality and cost.

        Parameters
        ----------
        X : DataFrame or array of shape (n_prompts, n_features)
            Embeddings.
        quality, cost : DataFrame of shape (n_prompts, n_models)
            Measured quality in [0, 1] and cost in USD per request: see `routerlab.pivot_outcomes`. Cells may be
            empty (``missing='keep'``). `cost` may be a Series of one price per model.

        Returns
        -------
        KNNRouter
            Itself.
        """
        if self.cost_estimate not in ("neighbors", "mean"):
            msg = f"'cost_estimate' must be 'neighbors' or 'mean'. Got {self.cost_estimate!r} instead."
            raise ValueError(msg)
        values = self._start_fit(X, quality, cost)
        quality, cost = training_outcomes(X, quality, cost, missing=True)
        self._keep_embeddings(X, values)
        self.models_ = quality.columns
        self.quality_ = quality.to_numpy(dtype=float)
        self.cost_ = cost.to_numpy(dtype=float)
        if self.cost_estimate == "mean":
            self.cost_ = np.nanmean(self.cost_, axis=0)
        self._check_fallback()
        return self
