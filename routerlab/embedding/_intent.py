"""An intent embedding, learned from labelled intents on top of frozen features."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.utils.validation import check_is_fitted

from routerlab.embedding._lsa import LsaEmbedder
from routerlab.embedding._prompts import as_frame, check_texts, reads_text, unit_rows
from routerlab.embedding._sentence import SentenceEmbedder
from routerlab.embedding._surface import SurfaceFeatures
from routerlab.schema import reject, shown


class IntentEmbedder(TransformerMixin, BaseEstimator):
    """Embed prompts so that intents stand apart: shrunk discriminant analysis of frozen features.

    A sentence embedding brings prompts together that are about the same thing; an intent is what is
    to be done with it. Discriminant analysis finds the directions in which labelled intents differ
    most for their spread, in meaning (a sentence embedding), wording (`LsaEmbedder`) and looks
    (`SurfaceFeatures`) together, of the whole prompt and of its opening, where an instruction mostly
    stands. It takes seconds on a CPU, where fine-tuning a model takes a GPU.

    Parameters
    ----------
    base : embedder, optional
        The semantic features; by default ``SentenceEmbedder()``.
    shrinkage : float, default 0.7
        How far the covariance within intents is drawn toward a multiple of the identity, 0 to 1.
    lexical_weight, surface_weight, opening_weight : float, default 1, 0.3 and 0.7
        Of the lexical and the surface features of the whole prompt, and of meaning and wording of its
        opening, beside the semantic features of the whole; all have unit length. 0 leaves them out.
    opening_words : int, default 15
        Length of the opening.
    random_state : int, RandomState instance or None, default 0
        Seed of the lexical embedding.

    Attributes
    ----------
    classes_ : ndarray of shape (n_intents,)
        The intents.
    parts_ : list of (embedder, weight, whether of the opening)
        The fitted features.
    lda_ : LinearDiscriminantAnalysis
        The fitted analysis.
    mean_ : ndarray of shape (n_components,)
        Mean of the training projections, taken off before rows are scaled to unit length.

    Notes
    -----
    Training prompts lie somewhat tighter around their intents than new ones will: embed prompts that
    you test on with ``transform``, never with ``fit_transform``.

    References
    ----------
    .. [1] J. H. Friedman, "Regularized Discriminant Analysis", JASA 84(405), 1989.

    Examples
    --------
    >>> prompts = pd.Series(["Fix my SQL", "Fix this regex", "Poach an egg?", "Boil rice?"] * 3)
    >>> embedder = IntentEmbedder(LsaEmbedder()).fit(prompts, ["code", "code", "cooking", "cooking"] * 3)
    >>> X = embedder.transform(["Fix my SQL query", "Fix the regex", "Poach two eggs?"])
    >>> bool(X.loc[0] @ X.loc[1] > X.loc[0] @ X.loc[2])
    True
    """

    def __init__(
        self,
        base: Any = None,
        *,
        shrinkage: float = 0.7,
        lexical_weight: float = 1.0,
        surface_weight: float = 0.3,
        opening_weight: float = 0.7,
        opening_words: int = 15,
        random_state: Any = 0,
    ) -> None:
        self.base = base
        self.shrinkage = shrinkage
        self.lexical_weight = lexical_weight
        self.surface_weight = surface_weight
        self.opening_weight = opening_weight
        self.opening_words = opening_words
        self.random_state = random_state

    def fit(self, X: Any, y: Any) -> IntentEmbedder:
        """Learn the directions in which intents differ.

        Parameters
        ----------
        X : Series, list or DataFrame of n_prompts texts
            Indexed by ``prompt_id``; a DataFrame is read by its column ``prompt``.
        y : Series or sequence of shape (n_prompts,)
            Intent of each prompt: at least two intents. A Series is joined on its index.

        Returns
        -------
        IntentEmbedder
            self.
        """
        self.fit_transform(X, y)
        return self

    def fit_transform(self, X: Any, y: Any = None) -> pd.DataFrame:
        """Fit, and return the embeddings of `X`; see `fit` and `transform`."""
        from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

        for name, good in (
            ("shrinkage", 0 <= self.shrinkage <= 1),
            ("opening_words", isinstance(self.opening_words, int) and self.opening_words >= 1),
        ):
            if not good:
                wanted = "between 0 and 1" if name == "shrinkage" else "an int of at least 1"
                msg = f"The {name!r} parameter of IntentEmbedder must be {wanted}. Got {getattr(self, name)!r} instead."
                raise ValueError(msg)
        texts = check_texts(X)
        intents = _check_intents(y, texts)
        self.parts_ = self._parts()
        features = self._join([part.fit_transform(self._view(texts, opening)) for part, _, opening in self.parts_])
        self.lda_ = LinearDiscriminantAnalysis(solver="eigen", shrinkage=self.shrinkage).fit(features, intents)
        self.classes_ = self.lda_.classes_
        projected = self.lda_.transform(features)
        self.mean_ = projected.mean(axis=0)
        self.n_components_ = len(self.mean_)
        return self._frame(projected, texts)

    def transform(self, X: Any) -> pd.DataFrame:
        """Embed prompts.

        Parameters
        ----------
        X : Series, list or DataFrame of n_prompts texts
            Indexed by ``prompt_id``; a DataFrame is read by its column ``prompt``.

        Returns
        -------
        DataFrame of shape (n_prompts, n_components)
            float32, rows of unit length, the index of `X`, columns ``intent_0``, ...; at most
            n_intents - 1 of them.
        """
        check_is_fitted(self)
        texts = check_texts(X)
        frames = [part.transform(self._view(texts, opening)) for part, _, opening in self.parts_]
        return self._frame(self.lda_.transform(self._join(frames)), texts)

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[np.object_]:
        """Return the names of the columns."""
        check_is_fitted(self)
        return np.array([f"intent_{i}" for i in range(self.n_components_)], dtype=object)

    def _parts(self) -> list[tuple[Any, float, bool]]:
        base = SentenceEmbedder() if self.base is None else self.base
        lexical = LsaEmbedder(random_state=self.random_state)
        parts = [
            (base, 1.0, False),
            (lexical, self.lexical_weight, False),
            (SurfaceFeatures(), self.surface_weight, False),
            (base, self.opening_weight, True),
            (lexical, self.opening_weight, True),
        ]
        return [(clone(part), weight, opening) for part, weight, opening in parts if weight > 0]

    def _view(self, texts: pd.Series, opening: bool) -> pd.Series:
        return texts.map(lambda text: " ".join(text.split()[: self.opening_words])) if opening else texts

    def _join(self, frames: list[pd.DataFrame]) -> NDArray[np.float64]:
        weighted = [weight * frame.to_numpy() for (_, weight, _), frame in zip(self.parts_, frames, strict=True)]
        return unit_rows(np.hstack(weighted)).astype(np.float64)

    def _frame(self, projected: NDArray[Any], texts: pd.Series) -> pd.DataFrame:
        return as_frame(unit_rows(projected - self.mean_), texts, self.get_feature_names_out(), "IntentEmbedder")

    def __sklearn_tags__(self) -> Any:
        """Tell scikit-learn that it reads text and needs intents."""
        tags = reads_text(super().__sklearn_tags__())
        tags.target_tags.required = True
        return tags


def _check_intents(y: Any, texts: pd.Series) -> NDArray[np.object_]:
    """Intents in the order of the prompts; none may be missing."""
    if y is None:
        reject("intents", "are missing, and IntentEmbedder learns from them.", "Pass y: prompts['intent'].")
    if isinstance(y, pd.Series) and not y.index.equals(texts.index) and set(texts.index) <= set(y.index):
        y = y.loc[texts.index]
    values = np.asarray(y, dtype=object)
    if values.shape != (len(texts),):
        reject("intents", f"have shape {values.shape} for {len(texts)} prompts.", "Pass one for each prompt.")
    empty = pd.isna(values)
    if empty.any():
        reject("intents", f"are empty for {shown(texts.index[empty])}.", "Label those prompts, or leave them out.")
    if len(set(values)) < 2:
        reject("intents", f"are all {shown(set(values))}.", "Pass prompts of at least two intents.")
    return values.astype(str)
