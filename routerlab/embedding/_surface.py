"""What a prompt looks like, whatever it is about: length, digits, code, questions, scripts."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from routerlab.embedding._saved import SavedMixin
from routerlab.embedding._text import as_frame, check_texts, reads_text
from routerlab.schema import unit_rows

_WORD = re.compile(r"\w+(?:['’-]\w+)*")


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
        Standardised values are cut at plus and minus this many standard deviations, so that one
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
    In a pipeline, surface features beside an embedding:

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

    def fit(self, X: Any, y: Any = None) -> SurfaceFeatures:
        """Learn each feature's mean and standard deviation.

        Parameters
        ----------
        X : Series, list or DataFrame of n_prompts texts
            Indexed by ``prompt_id``; a DataFrame is read by its column ``prompt``.
        y : ignored

        Returns
        -------
        SurfaceFeatures
            self.
        """
        if not self.limit > 0:
            msg = f"The 'limit' parameter of SurfaceFeatures must be above 0. Got {self.limit!r} instead."
            raise ValueError(msg)
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
