"""Lexical embeddings that need nothing but scikit-learn."""

import re
from collections.abc import Callable
from numbers import Integral
from typing import Any, Self

import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from routerlab.embedding._saved import SavedMixin
from routerlab.embedding._text import TOKEN, as_frame, check_texts, excerpt, fit_tfidf, reads_text
from routerlab.schema import refuse_parameter, reject, unit_rows

_WORD = re.compile(r"\w+(?:['’-]\w+)*")


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

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn the vocabulary and the components.

        Parameters
        ----------
        X : Series, list or DataFrame of n_prompts texts
            Indexed by ``prompt_id``; a DataFrame is read by its column ``prompt``.
        y : ignored, optional

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
                refuse_parameter(name, "an int of at least 1", value, "LsaEmbedder")
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
        DataFrame of shape (n_prompts, n_features)
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


def _count(pattern: str, flags: int = 0) -> Callable[[str], float]:
    """Log of 1 + the number of matches: the tenth match says less than the first."""
    found = re.compile(pattern, flags)
    return lambda text: np.log1p(len(found.findall(text)))


def _has(pattern: str, flags: int = 0) -> Callable[[str], float]:
    found = re.compile(pattern, flags)
    return lambda text: float(found.search(text) is not None)


def _share(pattern: str) -> Callable[[str], float]:
    """Share of the characters that match."""
    found = re.compile(pattern)
    return lambda text: len(found.findall(text)) / len(text)


def _word_length(text: str) -> float:
    words = _WORD.findall(text)
    return sum(map(len, words)) / len(words) if words else 0.0


def _distinct_words(text: str) -> float:
    words = _WORD.findall(text.lower())
    return len(set(words)) / len(words) ** 0.5 if words else 0.0


# Each is a number that a glance gives, whatever the prompt is about.
FEATURES: dict[str, Callable[[str], float]] = {
    "characters": lambda text: np.log(len(text)),
    "words": _count(_WORD.pattern),
    "lines": _count(r"\n"),
    "sentences": _count(r"[.!?。！？](?=\s|\Z)"),
    "longest_line": lambda text: np.log1p(max(map(len, text.splitlines()))),
    "last_line": lambda text: np.log1p(len(text.rstrip().rpartition("\n")[2])),
    "word_length": _word_length,
    "distinct_words": _distinct_words,
    "digits": _share(r"\d"),
    "numbers": _count(r"\d+(?:[.,]\d+)*"),
    "uppercase": _share(r"[A-Z]"),
    "capitalised_words": _count(r"\b[A-Z][a-z]+"),
    "acronyms": _count(r"\b[A-Z]{2,}\b"),
    "punctuation": _share(r"[^\w\s]"),
    "commas": _count(r"[,;]"),
    "quotes": _count(r"[\"“”«»]"),
    "brackets": _count(r"[(\[]"),
    "questions": _count(r"[?？]"),
    "ends_with_question": _has(r"[?？]\W{0,20}\Z"),
    "starts_with_question": _has(r"\A\W*(?:how|what|which|who|whom|when|where|why|is|are|do|does|can|could)\b", re.I),
    "options": _count(r"^[ \t]*\(?[A-Ha-h][.):]\s", re.M),
    "list_items": _count(r"^[ \t]*(?:[-*•]|\d+[.)])\s", re.M),
    "blanks": _has(r"_{2,}|\s_\s|…|\.{3}"),
    "negations": _count(r"\b(?:not|no|never|except|least|without|false)\b|n['’]t\b", re.I),
    "code": _count(r"```|[{}<>]|[=!]=|=>|->|::|\w\(\)|;[ \t]*$|\b(?:def|class|import|return|SELECT|const)\b", re.M),
    "mathematics": _count(r"[=+^×÷√≤≥∑∫π%$]|\\[a-z]+|\d\s*[-*/]\s*\d"),
    "links": _has(r"https?://|www\.|\w@[\w.-]{1,80}\.\w"),
    "not_ascii": _share(r"[^\x00-\x7f]"),
    "cjk": _share(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]"),
    "other_scripts": _share(r"[\u0370-\u1fff]"),
}  # fmt: skip


class SurfaceFeatures(SavedMixin, TransformerMixin, BaseEstimator):
    """Describe prompts by their surface: length, digits, code, questions, options, scripts.

    Two prompts may be about the same thing and still differ in how hard they are: a sentence
    embedding says little about length, numbers or the form of the question. Join these features with
    an embedding by `join_embeddings`, or in a pipeline by scikit-learn's ``FeatureUnion``.

    Parameters
    ----------
    limit : float, default 3.0
        Standardised values are cut at plus and minus this many standard deviations: one
        freak prompt does not rule its row.

    Attributes
    ----------
    mean_, scale_ : ndarray of shape (n_features,)
        Mean and standard deviation of each feature at fit; `scale_` is 1 for one that did not vary.

    See Also
    --------
    join_embeddings : Join frames of embeddings with weights.

    Examples
    --------
    In a pipeline, surface features next to an embedding:

    >>> from sklearn.pipeline import FeatureUnion
    >>> from routerlab.embedding import LsaEmbedder, SurfaceFeatures
    >>> parts = [("lexical", LsaEmbedder()), ("surface", SurfaceFeatures())]
    >>> joined = FeatureUnion(parts, transformer_weights={"surface": 0.5}).set_output(transform="pandas")
    >>> joined.fit_transform(["Poach an egg.", "What is 3 + 4?", "def f(): pass"]).shape
    (3, 32)

    Alone:

    >>> prompts = pd.Series(["Poach an egg.", "What is 3 + 4?"], index=["p1", "p2"])
    >>> features = SurfaceFeatures().fit_transform(prompts)
    >>> bool(features.loc["p2", "numbers"] > features.loc["p1", "numbers"])
    True
    """

    def __init__(self, *, limit: float = 3.0) -> None:
        self.limit = limit

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn each feature's mean and standard deviation.

        Parameters
        ----------
        X : Series, list or DataFrame of n_prompts texts
            Indexed by ``prompt_id``; a DataFrame is read by its column ``prompt``.
        y : ignored, optional

        Returns
        -------
        SurfaceFeatures
            self.
        """
        if not self.limit > 0:
            refuse_parameter("limit", "above 0", self.limit, "SurfaceFeatures")
        values = _measure(check_texts(X))
        self.mean_ = values.mean(axis=0)
        spread = values.std(axis=0)
        self.scale_ = np.where(spread > 1e-9, spread, 1.0)
        return self

    def transform(self, X: Any) -> pd.DataFrame:
        """Measure prompts and standardise.

        Parameters
        ----------
        X : Series, list or DataFrame of n_prompts texts
            Indexed by ``prompt_id``; a DataFrame is read by its column ``prompt``.

        Returns
        -------
        DataFrame of shape (n_prompts, n_features)
            float32, rows of unit length, the index of `X`, a named column for each feature.
        """
        check_is_fitted(self)
        texts = check_texts(X)
        values = np.clip((_measure(texts) - self.mean_) / self.scale_, -self.limit, self.limit)
        return as_frame(unit_rows(values), texts, FEATURES, "SurfaceFeatures")

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[np.object_]:
        """Return the names of the columns."""
        return np.array(list(FEATURES), dtype=object)

    def __sklearn_tags__(self) -> Any:
        """Tell scikit-learn that it reads text."""
        return reads_text(super().__sklearn_tags__())


def _measure(texts: pd.Series) -> NDArray[np.float64]:
    return np.array([[feature(text) for feature in FEATURES.values()] for text in texts], dtype=float)
