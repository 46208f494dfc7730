"""Intent routing: which model does well on prompts of this kind."""

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from routerlab.exceptions import ParameterError
from routerlab.routers._base import rows_like, training_outcomes
from routerlab.routers._knn import NeighborRouter, Weights, average
from routerlab.routers._winrates import quality_from_ratings
from routerlab.schema import WIN_SHARE, Outcomes, check_matrix, plain, reject, row_labels, shown, spread_prices


class IntentRouter(NeighborRouter):
    """Route by a prompt's likely intents and a table of which model does well on each.

    Class probabilities from the neighbours' intents, times the table's rows: the same as kNN
    regression on each training prompt's intent row, and less noisy than single outcomes.

    Parameters
    ----------
    n_neighbors : int, default 15
        How many neighbours (cosine similarity).
    weights : {'uniform', 'similarity'} or callable, default 'uniform'
        See `KNNRouter`.
    willingness_to_pay : float, default infinity
        USD that one unit of quality is worth on one request.
    min_similarity, fallback : optional
        See `KNNRouter`. In an intent embedding everything resembles some intent, keyboard noise as well: judge by
        similarity in the plain sentence embedding instead.
    index : {'exact', 'usearch'}, UsearchIndex or PgvectorIndex, default 'exact'
        See `KNNRouter`.

    Attributes
    ----------
    table_ : DataFrame of shape (n_intents, n_models)
        Quality of each model on each intent.
    intents_ : ndarray of shape (n_train,)
        Intent of each training prompt.

    Examples
    --------
    >>> X = np.array([[1, 0], [0.9, 0.1], [0, 1]], dtype=np.float32)
    >>> quality = pd.DataFrame({"small": [1, 0.5, 0], "large": [1, 1, 1]})
    >>> cost = pd.DataFrame({"small": [0.001] * 3, "large": [0.01] * 3})
    >>> router = IntentRouter(n_neighbors=1).fit(X, ["chat", "chat", "maths"], quality=quality, cost=cost)
    >>> router.table_.loc["chat", "small"]
    np.float64(0.75)
    """

    def __init__(
        self,
        n_neighbors: int = 15,
        *,
        weights: Weights = "uniform",
        willingness_to_pay: float = float("inf"),
        min_similarity: float | None = None,
        fallback: str | None = None,
        index: Any = "exact",
    ) -> None:
        self.n_neighbors = n_neighbors
        self.weights = weights
        self.willingness_to_pay = willingness_to_pay
        self.min_similarity = min_similarity
        self.fallback = fallback
        self.index = index

    def fit(
        self,
        X: Any,
        intents: Any,
        *,
        quality: pd.DataFrame | Outcomes | None = None,
        ratings: pd.DataFrame | None = None,
        cost: pd.DataFrame | None = None,
    ) -> Self:
        """Fit on embeddings, intents, and either measured quality or ratings.

        Parameters
        ----------
        X : DataFrame or array of shape (n_prompts, n_features)
            Embeddings.
        intents : Series or sequence of shape (n_prompts,)
            Intent of each prompt.
        quality : DataFrame of shape (n_prompts, n_models), optional
            Measured quality; its per-intent means make the table. Cells may be empty: the others count, and an intent
            without any of a model gets the model's mean.
        ratings : DataFrame, optional
            From `routerlab.rate`: intent, model, rating; expected win rates against the other models
            make the table. Give exactly one of `quality` and `ratings`.
        cost : DataFrame of shape (n_prompts, n_models), optional with Outcomes
            USD per request; its per-intent means are the estimates. Or a Series of one price per model.

        Returns
        -------
        IntentRouter
            Itself.

        Raises
        ------
        ParameterError
            Both of `quality` and `ratings` are given, or neither.
        TableError
            `cost` is missing.
        """
        if (quality is None) == (ratings is None):
            given = "both" if quality is not None else "neither"
            msg = f"IntentRouter.fit takes exactly one of 'quality' and 'ratings'. Got {given}."
            raise ParameterError(msg)
        if cost is None and quality is None:
            reject("'cost'", "is missing.", "Pass cost=, USD per request: pivot_outcomes(outcomes).cost.")
        values = self._start_fit(X, quality, ratings, cost, scale=WIN_SHARE if quality is None else None)
        intents = _check_intents(rows_like(X, intents, "intents"))
        if quality is not None:
            measured, cost = training_outcomes(X, quality, cost, missing=True)
            table = measured.groupby(intents).mean().fillna(measured.mean())
        else:
            cost = rows_like(X, check_matrix(_priced(X, cost), "cost", missing=True), "cost")
            table = quality_from_ratings(ratings, pd.unique(intents), cost.columns)
        self._keep_embeddings(X, values)
        self.models_ = cost.columns
        self.intents_ = intents
        self.table_ = table[self.models_]
        row = self.table_.index.get_indexer(intents)
        self.quality_ = self.table_.to_numpy(dtype=float)[row]
        self.cost_ = cost.groupby(intents).transform("mean").fillna(cost.mean()).to_numpy(dtype=float)
        self._check_fallback()
        return self

    def predict_intent(self, X: Any) -> pd.DataFrame:
        """Estimate the probability of each intent.

        Returns
        -------
        DataFrame of shape (n_prompts, n_intents)
            Rows sum to 1.
        """
        values, index = self._checked(X)
        _, neighbor, weight = self._search(values)
        one_hot = pd.get_dummies(pd.Series(self.intents_), dtype=float)
        return pd.DataFrame(average(weight, neighbor, one_hot.to_numpy()), index=index, columns=one_hot.columns)


def _priced(X: Any, cost: Any) -> Any:
    """Repeat one price per model for every row of X; a frame stays as it is."""
    if not isinstance(cost, (pd.Series, Mapping)):
        return cost
    prices = pd.Series(cost)
    return spread_prices(prices, pd.DataFrame(index=row_labels(X), columns=prices.index))


def _check_intents(intents: Any) -> NDArray[np.object_]:
    intents = plain(intents) if isinstance(intents, pd.Series) else intents
    values = np.asarray(intents, dtype=object)
    empty = pd.isna(values)
    if empty.any():
        rows = intents.index[empty] if isinstance(intents, pd.Series) else np.nonzero(empty)[0]
        reject("'intents'", f"is empty for {shown(rows)}.", "Label those prompts, or leave them out.")
    return values
