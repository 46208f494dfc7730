"""An intent embedding learned from labelled prompts, on top of a frozen sentence embedding."""

from numbers import Integral
from typing import Any, Self

import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.linalg import solve
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.utils.validation import check_is_fitted

from routerlab.embedding._lexical import SurfaceFeatures
from routerlab.embedding._saved import SavedMixin
from routerlab.embedding._sentence import SentenceEmbedder
from routerlab.embedding._text import TOKEN, as_frame, check_texts, excerpt, fit_tfidf, reads_text
from routerlab.schema import (
    as_pandas,
    by_prompt,
    check_embeddings,
    id_remedy,
    plain,
    refuse_parameter,
    reject,
    row_labels,
    shown,
    unit_rows,
)

_LARGEST = 10_000  # the solver holds the square of this many numbers


class IntentEmbedder(SavedMixin, TransformerMixin, BaseEstimator):
    """Learn an embedding in which prompts of one intent lie together, in seconds on a CPU.

    A shrunk linear discriminant analysis in its regression form: a ridge regression of the intents' indicators on
    semantic features (a frozen sentence embedding) and, when it is given texts, on lexical ones (TF-IDF of words, of
    the opening words, surface features). A prompt's embedding is its row of discriminant scores, one for each intent,
    scaled to unit length. It plays the part of a sentence model fine-tuned on intents.

    Parameters
    ----------
    base : transformer of texts, optional
        Sentence embedder; ``SentenceEmbedder(layer=-2)`` by default, since the last layer but one
        tells intents apart better than the last. Not used when `fit` is given embeddings.
    shrinkage : float, default 0.5
        How far the covariance is drawn toward a multiple of the identity, above 0 and below 1.
    semantic_weight, lexical_weight, opening_weight, surface_weight : float, default 1.5, 1, 1 and 0.3
        Variance that the base's features, the words, the words of the opening and the surface features get, in
        proportion. 0 leaves a kind out. The defaults were chosen on other folds than those of benchmarks/embedding.py.
    opening_chars : int, default 150
        Length of the opening: requests mostly name what they want at the start.
    max_chars : int, default 2000
        Of a longer prompt, the words of the first and the last half of this many characters are read.

    Attributes
    ----------
    classes_ : ndarray of shape (n_intents,)
        Intents, sorted; the columns of the embedding.
    reads_ : {'texts', 'embeddings'}
        What `fit` was given, and `transform` must be given.

    Notes
    -----
    Embeddings of the training prompts lie closer to their own intent than those of new prompts do.
    A nearest-neighbour classifier on top was *more* accurate with them than with left-out ones
    (Auto-J's 59 intents), so nothing is cross-fitted; but measure accuracy on other prompts only.

    References
    ----------
    .. [1] T. Hastie, A. Buja and R. Tibshirani, "Penalized Discriminant Analysis", Annals of Statistics 23(1), 1995.

    Examples
    --------
    >>> from sklearn.neighbors import KNeighborsClassifier
    >>> from sklearn.pipeline import make_pipeline
    >>> from routerlab.embedding import IntentEmbedder, LsaEmbedder
    >>> prompts = ["Translate this into French", "Translate to German", "Fix my SQL", "Fix this Python bug"]
    >>> intents = ["translation", "translation", "code", "code"]
    >>> model = make_pipeline(IntentEmbedder(base=LsaEmbedder()), KNeighborsClassifier(1, metric="cosine"))
    >>> model.fit(prompts, intents).predict(["Translate it into Dutch"]).tolist()
    ['translation']
    """

    n_features_in_: int

    def __init__(
        self,
        base: Any = None,
        *,
        shrinkage: float = 0.5,
        semantic_weight: float = 1.5,
        lexical_weight: float = 1.0,
        opening_weight: float = 1.0,
        surface_weight: float = 0.3,
        opening_chars: int = 150,
        max_chars: int = 2000,
    ) -> None:
        self.base = base
        self.shrinkage = shrinkage
        self.semantic_weight = semantic_weight
        self.lexical_weight = lexical_weight
        self.opening_weight = opening_weight
        self.surface_weight = surface_weight
        self.opening_chars = opening_chars
        self.max_chars = max_chars

    def fit(self, X: Any, y: Any) -> Self:
        """Learn the embedding.

        Parameters
        ----------
        X : Series, list or DataFrame of n_prompts texts, or DataFrame of shape (n_prompts, n_features)
            Prompts, or embeddings of prompts; then lexical features are left out.
        y : Series or array of shape (n_prompts,)
            Intents. A Series is joined to `X` on ``prompt_id`` when both have an index.

        Returns
        -------
        IntentEmbedder
            self.

        Raises
        ------
        TableError
            Empty intents, fewer than two of them, or other prompts in `y` than in `X`.
        """
        self._fit(X, y)
        return self

    def fit_transform(self, X: Any, y: Any = None) -> pd.DataFrame:
        """Fit, and return the embeddings of `X`, computed once; see `fit` and `transform`."""
        features, index = self._fit(X, y)
        return self._frame(features, index)

    def transform(self, X: Any) -> pd.DataFrame:
        """Embed prompts.

        Parameters
        ----------
        X : Series, list or DataFrame of n_prompts texts, or DataFrame of shape (n_prompts, n_features)
            Texts if `fit` was given texts, otherwise embeddings of the same width.

        Returns
        -------
        DataFrame of shape (n_prompts, n_intents)
            float32, rows of unit length, the index of `X`, columns ``intent_<name>``.
        """
        check_is_fitted(self)
        blocks, index = self._blocks(X)
        return self._frame(self._stack(blocks), index)

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[np.object_]:
        """Return the names of the columns."""
        check_is_fitted(self)
        return np.array([f"intent_{intent}" for intent in self.classes_], dtype=object)

    def _fit(self, X: Any, y: Any) -> tuple[sp.csr_array, pd.Index]:
        self._check_parameters()
        self.reads_ = "embeddings" if _is_numeric(X) else "texts"
        blocks, index = self._blocks(X, fit=True)
        self.classes_, codes = np.unique(_check_intents(y, index), return_inverse=True)
        if len(self.classes_) < 2:
            reject("intents", f"got one only: {shown(self.classes_)}.", "Pass prompts of at least two intents.")
        weights = self._weights() if self.reads_ == "texts" else {"semantic": 1.0}
        self.scales_ = {name: np.sqrt(weights[name] / max(_spread(block), 1e-12)) for name, block in blocks.items()}
        features = self._stack(blocks)
        self.coef_ = _ridge(features, np.eye(len(self.classes_))[codes], self.shrinkage)
        self.offset_ = (features @ self.coef_).mean(axis=0)
        return features, index

    def _blocks(self, X: Any, *, fit: bool = False) -> tuple[dict[str, sp.csr_array], pd.Index]:
        """Return each kind of features, shape (n_prompts, n_features_of_that_kind), and the prompts' index."""
        if (self.reads_ == "embeddings") != _is_numeric(X):
            reject("X", f"IntentEmbedder was fitted on {self.reads_} and got the other.", f"Pass {self.reads_}.")
        if self.reads_ == "embeddings":
            values = check_embeddings(X, n_features=None if fit else self.n_features_in_)
            self.n_features_in_ = values.shape[1]
            index = row_labels(X)
            return {"semantic": sp.csr_array(values)}, index
        texts = check_texts(X)
        parts = {
            "semantic": texts,
            "words": [excerpt(text, self.max_chars) for text in texts],
            "opening": [text.strip()[: self.opening_chars] for text in texts],
            "surface": texts,
        }
        parts = {name: read for name, read in parts.items() if self._weights()[name]}
        if fit:
            self.parts_ = {name: self._fit_part(name, read) for name, read in parts.items()}
        return {name: sp.csr_array(self.parts_[name].transform(read)) for name, read in parts.items()}, texts.index

    def _fit_part(self, name: str, read: Any) -> Any:
        if name == "semantic":
            return (SentenceEmbedder(layer=-2) if self.base is None else clone(self.base)).fit(read)
        if name == "surface":
            return SurfaceFeatures().fit(read)
        rare, longest = (2 if len(read) >= 20 else 1), (2 if name == "words" else 3)
        return fit_tfidf(read, min_df=rare, token_pattern=TOKEN, ngram_range=(1, longest))

    def _weights(self) -> dict[str, float]:
        return {
            "semantic": self.semantic_weight,
            "words": self.lexical_weight,
            "opening": self.opening_weight,
            "surface": self.surface_weight,
        }

    def _check_parameters(self) -> None:
        weights = self._weights().values()
        for name, good, wanted in (
            ("shrinkage", 0 < self.shrinkage < 1, "above 0 and below 1"),
            (
                "opening_chars",
                isinstance(self.opening_chars, Integral) and self.opening_chars > 0,
                "an int of at least 1",
            ),
            ("max_chars", isinstance(self.max_chars, Integral) and self.max_chars > 1, "an int of at least 2"),
            ("semantic_weight", min(weights) >= 0 and max(weights) > 0, "at least 0, like the others, and one above 0"),
        ):
            if not good:
                refuse_parameter(name, wanted, getattr(self, name), "IntentEmbedder")

    def _stack(self, blocks: dict[str, sp.csr_array]) -> sp.csr_array:
        """Join the kinds of features, each scaled to its share of the variance."""
        return sp.hstack([self.scales_[name] * block for name, block in blocks.items()], format="csr")

    def _frame(self, features: sp.csr_array, index: pd.Index) -> pd.DataFrame:
        scores = unit_rows(features @ self.coef_ - self.offset_)
        return as_frame(scores, pd.Series(index=index, dtype=object), self.get_feature_names_out(), "IntentEmbedder")

    def __sklearn_tags__(self) -> Any:
        """Tell scikit-learn that it reads text and needs intents."""
        tags = reads_text(super().__sklearn_tags__())
        tags.target_tags.required = True
        return tags


def _is_numeric(X: Any) -> bool:
    """Tell embeddings from texts."""
    X = by_prompt(X)
    if isinstance(X, pd.DataFrame):
        return X.shape[1] > 0 and all(pd.api.types.is_numeric_dtype(kind) for kind in X.dtypes)
    return isinstance(X, np.ndarray) and X.ndim == 2 and X.dtype.kind in "fiu"


def _check_intents(y: Any, index: pd.Index) -> NDArray[Any]:
    """Return the intents of the prompts in `index`, joined on it if `y` is a Series."""
    if y is None:
        reject("intents", "are missing, and IntentEmbedder learns from them.", "Pass y: prompts['intent'].")
    named = isinstance(y, pd.Series)  # a series of another library has no prompt ids
    y = as_pandas(y)
    labels = plain(y) if isinstance(y, pd.Series) else pd.Series(np.asarray(y).ravel(), dtype=object)
    joined = named and not labels.index.equals(index)
    if joined:
        odd = index.symmetric_difference(labels.index)
        remedy = "Select the same rows of both, e.g. intents.loc[prompts.index]."
        if len(odd) or not (index.is_unique and labels.index.is_unique):
            wrong = f"their prompt ids differ or appear twice: {shown(odd)}."
            reject("prompts and intents", wrong, id_remedy(index, labels.index, ("prompts", "intents"), remedy))
        labels = labels.loc[index]
    if len(labels) != len(index):
        reject("intents", f"got {len(labels)} for {len(index)} prompts.", "Pass one for each prompt.")
    missing = labels.isna().to_numpy()
    if missing.any():
        reject("intents", f"are empty for {shown(index[missing])}.", "Label or drop those prompts.")
    return labels.to_numpy()


def _spread(block: sp.csr_array) -> float:
    """Mean squared distance of the rows from their mean."""
    return float(block.multiply(block).sum() / block.shape[0] - np.square(block.mean(axis=0)).sum())


def _ridge(features: sp.csr_array, targets: NDArray[np.float64], shrinkage: float) -> NDArray[np.float32]:
    """Solve the ridge regression of `targets` on centred `features`, by whichever side is smaller.

    The penalty is the mean squared length of the centred features times shrinkage / (1 - shrinkage).
    """
    n_prompts, n_features = features.shape
    if min(n_prompts, n_features) > _LARGEST:
        remedy = f"Fit it on a sample, e.g. prompts.sample({_LARGEST}, random_state=0); transform takes any number."
        reject("prompts", f"got {n_prompts}, and IntentEmbedder solves for at most {_LARGEST}.", remedy)
    targets = targets - targets.mean(axis=0)
    penalty = shrinkage / (1 - shrinkage) * _spread(features)
    if n_prompts <= n_features:
        kernel = (features @ features.T).toarray().astype(np.float64)
        kernel += kernel.mean() - kernel.mean(axis=0) - kernel.mean(axis=1)[:, None]
        return (features.T @ _solve(kernel, penalty, targets)).astype(np.float32)
    mean = features.mean(axis=0)
    gram = (features.T @ features).toarray().astype(np.float64) - n_prompts * np.outer(mean, mean)
    return _solve(gram, penalty, features.T @ targets).astype(np.float32)


def _solve(matrix: NDArray[np.float64], penalty: float, right: NDArray[np.float64]) -> NDArray[np.float64]:
    matrix[np.diag_indices_from(matrix)] += penalty
    return solve(matrix, right, assume_a="pos", overwrite_a=True)
