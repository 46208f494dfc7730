"""Lexical embeddings that need nothing but scikit-learn."""

from __future__ import annotations

from numbers import Integral
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from routerlab.embedding._saved import SavedMixin
from routerlab.embedding._text import TOKEN, as_frame, check_texts, excerpt, fit_tfidf, reads_text
from routerlab.schema import reject, unit_rows


class LsaEmbedder(SavedMixin, TransformerMixin, BaseEstimator):
    """Embed prompts by latent semantic analysis: TF-IDF of words and of character n-grams, truncated SVD.

    It knows only the words of the corpus that it was fitted on, but it needs no model, no torch and no
    network, and it sees wording ("translate", "fix the grammar") that a sentence embedding blurs.

    Parameters
    ----------
    n_components : int, default 256
        Width of the embedding. A small corpus has fewer: `n_components_` is the least of this,
        n_prompts - 1 and the number of n-grams - 1.
    min_df : int, default 2
        Leave out n-grams found in fewer prompts. For fewer than 10 * `min_df` prompts, all are kept.
    max_chars : int, default 2000
        Of a longer prompt, read the first and the last half of this many characters: that is where
        instructions stand, and one pasted book does not cost minutes.
    random_state : int, RandomState instance or None, default 0
        Seed of the randomised SVD.

    Attributes
    ----------
    n_components_ : int
        Width of the embedding after fit.

    Notes
    -----
    A prompt that shares no n-gram with the corpus has a row of zeros: it is like nothing known.

    References
    ----------
    .. [1] S. Deerwester et al., "Indexing by Latent Semantic Analysis", JASIS 41(6), 1990.

    Examples
    --------
    >>> prompts = pd.Series(["How do I poach an egg?", "Poach two eggs", "Fix my SQL query"], index=["p1", "p2", "p3"])
    >>> X = LsaEmbedder().fit_transform(prompts)
    >>> X.shape
    (3, 2)
    >>> bool(X.loc["p1"] @ X.loc["p2"] > X.loc["p1"] @ X.loc["p3"])
    True
    """

    def __init__(
        self, n_components: int = 256, *, min_df: int = 2, max_chars: int = 2000, random_state: Any = 0
    ) -> None:
        self.n_components = n_components
        self.min_df = min_df
        self.max_chars = max_chars
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None) -> LsaEmbedder:
        """Learn the vocabulary and the components.

        Parameters
        ----------
        X : Series, list or DataFrame of n_prompts texts
            Indexed by ``prompt_id``; a DataFrame is read by its column ``prompt``.
        y : ignored

        Returns
        -------
        LsaEmbedder
            self.
        """
        self.fit_transform(X)
        return self

    def fit_transform(self, X: Any, y: Any = None) -> pd.DataFrame:
        """Fit, and return the embeddings of `X`; see `fit` and `transform`."""
        from sklearn.decomposition import TruncatedSVD

        for name in ("n_components", "min_df", "max_chars"):
            if not isinstance(value := getattr(self, name), Integral) or value < 1:
                msg = f"The {name!r} parameter of LsaEmbedder must be an int of at least 1. Got {value!r} instead."
                raise ValueError(msg)
        texts = check_texts(X)
        if len(texts) < 2:
            reject("prompts", f"LsaEmbedder cannot be fitted on {len(texts)}.", "Pass at least 2, better hundreds.")
        rare = self.min_df if len(texts) >= 10 * self.min_df else 1
        excerpts = [excerpt(text, self.max_chars) for text in texts]
        self.words_ = fit_tfidf(excerpts, min_df=rare, token_pattern=TOKEN, ngram_range=(1, 2))
        self.characters_ = fit_tfidf(excerpts, min_df=rare, analyzer="char_wb", ngram_range=(2, 4))
        counts = self._counts(texts)
        self.n_components_ = max(1, min(self.n_components, len(texts) - 1, counts.shape[1] - 1))
        self.svd_ = TruncatedSVD(self.n_components_, random_state=self.random_state)
        with np.errstate(invalid="ignore"):  # the share of variance, not used here, when all prompts are the same
            values = self.svd_.fit_transform(counts)
        return self._frame(values, texts)

    def transform(self, X: Any) -> pd.DataFrame:
        """Embed prompts.

        Parameters
        ----------
        X : Series, list or DataFrame of n_prompts texts
            Indexed by ``prompt_id``; a DataFrame is read by its column ``prompt``.

        Returns
        -------
        DataFrame of shape (n_prompts, n_components_)
            float32, rows of unit length, the index of `X`, columns ``lexical_0``, ...
        """
        check_is_fitted(self)
        texts = check_texts(X)
        return self._frame(self.svd_.transform(self._counts(texts)), texts)

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[np.object_]:
        """Return the names of the columns."""
        check_is_fitted(self)
        return np.array([f"lexical_{i}" for i in range(self.n_components_)], dtype=object)

    def _counts(self, texts: pd.Series) -> Any:
        excerpts = [excerpt(text, self.max_chars) for text in texts]
        return sp.hstack([part.transform(excerpts) for part in (self.words_, self.characters_)], format="csr")

    def _frame(self, values: NDArray[Any], texts: pd.Series) -> pd.DataFrame:
        return as_frame(unit_rows(values), texts, self.get_feature_names_out(), "LsaEmbedder")

    def __sklearn_tags__(self) -> Any:
        """Tell scikit-learn that it reads text."""
        return reads_text(super().__sklearn_tags__())
