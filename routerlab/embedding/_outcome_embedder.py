"""An embedding that also brings prompts together on which the models are expected to do alike."""

from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from routerlab.embedding._saved import SavedMixin
from routerlab.schema import (
    by_prompt,
    check_embeddings,
    check_matrix,
    id_remedy,
    refuse_parameter,
    reject,
    row_labels,
    shown,
    unit_rows,
)

_LIMIT = 3.0  # standard deviations that lie a quarter turn from the mean


class OutcomeEmbedder(SavedMixin, TransformerMixin, BaseEstimator):
    """Add to an embedding what a linear model expects of each LLM's quality.

    Neighbours in a sentence embedding are about the same thing; that is not yet equally hard. A ridge
    regression of each model's quality on the embedding gives a first, rough estimate. Each estimate is
    standardised and turned into an angle between a quarter turn left and right, and its cosine and
    sine are added to the row: two prompts that are alike *and* equally promising are near. Angles keep
    every row at the same length, so the cosine of two rows is still a weighted mean of similarities.

    Parameters
    ----------
    weight : float, default 1.0
        Length of the added coordinates together, against the embedding's length of 1.

    Attributes
    ----------
    models_ : ndarray of shape (n_models,)
        The columns of the quality that `fit` saw.
    ridge_ : RidgeCV
        The regression; its penalty is chosen by leaving one prompt out.

    Notes
    -----
    Fit it on training prompts only, with the router: it learns from their outcomes. Leaving a prompt
    out of the regression that embeds it gained nothing on MMLU, so training rows are not cross-fitted.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> X = pd.DataFrame(rng.normal(size=(50, 4)), index=[f"p{i}" for i in range(50)])
    >>> quality = pd.DataFrame({"gpt-4": 1.0, "small": (X[0] > 0).astype(float)})
    >>> Z = OutcomeEmbedder().fit_transform(X, quality)
    >>> Z.shape  # 4 features, 2 more for each model whose quality varies
    (50, 6)
    """

    def __init__(self, *, weight: float = 1.0) -> None:
        self.weight = weight

    def fit(self, X: Any, y: Any) -> Self:
        """Learn what to expect.

        Parameters
        ----------
        X : DataFrame of shape (n_prompts, n_features)
            Embeddings, e.g. from `SentenceEmbedder`; rows are scaled to unit length.
        y : DataFrame of shape (n_prompts, n_models)
            Quality in [0, 1], as `pivot_outcomes` returns it, joined to `X` on ``prompt_id``.

        Returns
        -------
        OutcomeEmbedder
            self.

        Raises
        ------
        TableError
            Other prompts in `y` than in `X`, quality out of range, or the same for all prompts.
        """
        from sklearn.linear_model import RidgeCV

        if not 0 < self.weight < np.inf:
            refuse_parameter("weight", "above 0", self.weight, "OutcomeEmbedder")
        X = by_prompt(X)
        values = unit_rows(check_embeddings(X))
        quality = _aligned(X, check_matrix(y, "quality", 0.0, 1.0))
        quality = quality.loc[:, quality.max() > quality.min()]
        if quality.empty:
            reject("'quality'", "no model's quality varies.", "There is nothing to learn from these prompts.")
        self.models_ = quality.columns.to_numpy()
        self.n_features_in_ = values.shape[1]
        self.ridge_ = RidgeCV(alphas=np.logspace(-2, 3, 11)).fit(values, quality.to_numpy())
        expected = self._expected(values)
        self.mean_, self.scale_ = expected.mean(axis=0), np.maximum(expected.std(axis=0), 1e-12)
        return self

    def transform(self, X: Any) -> pd.DataFrame:
        """Add the expected outcomes to embeddings.

        Parameters
        ----------
        X : DataFrame of shape (n_prompts, n_features)
            Embeddings as at fit.

        Returns
        -------
        DataFrame of shape (n_prompts, n_features + 2 * n_models)
            float32, rows of unit length, the index of `X`.
        """
        check_is_fitted(self)
        X = by_prompt(X)
        values = unit_rows(check_embeddings(X, n_features=self.n_features_in_))
        spread = np.clip((self._expected(values) - self.mean_) / self.scale_, -_LIMIT, _LIMIT)
        angles = spread * (np.pi / 2 / _LIMIT)
        length = self.weight / np.sqrt(len(self.models_))
        rows = unit_rows(np.hstack([values, length * np.cos(angles), length * np.sin(angles)]))
        frame = pd.DataFrame(rows, index=row_labels(X), columns=self.get_feature_names_out(getattr(X, "columns", None)))
        frame.attrs = {**getattr(X, "attrs", {}), "embedder": f"OutcomeEmbedder of {_made_by(X)}"}
        return frame

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[np.object_]:
        """Return the names of the columns."""
        check_is_fitted(self)
        names = range(self.n_features_in_) if input_features is None else input_features
        added = [f"expected_{part}_{model}" for part in ("cos", "sin") for model in self.models_]
        return np.array([*map(str, names), *added], dtype=object)

    def _expected(self, values: NDArray[Any]) -> NDArray[np.float64]:
        return self.ridge_.predict(values).reshape(len(values), -1)

    def __sklearn_tags__(self) -> Any:
        """Tell scikit-learn that it needs outcomes."""
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        tags.target_tags.multi_output = True
        return tags


def _aligned(X: Any, quality: pd.DataFrame) -> pd.DataFrame:
    """Bring quality into the order of the embeddings."""
    if not isinstance(X, pd.DataFrame):
        if len(X) != len(quality):
            reject("'quality'", f"has {len(quality)} rows for {len(X)} embeddings.", "Pass one row for each.")
        return quality
    odd = X.index.symmetric_difference(quality.index)
    if len(odd) or not X.index.is_unique:
        reject(
            "'X' and 'quality'",
            f"their prompt ids differ or appear twice: {shown(odd)}.",
            id_remedy(X.index, quality.index, ("X", "quality"), "Select the same rows of both: quality.loc[X.index]."),
        )
    return quality.loc[X.index]


def _made_by(X: Any) -> str:
    return str(getattr(X, "attrs", {}).get("embedder", "embeddings"))
