"""Embeddings of prompts as they are needed: a labeller opens at once, however many prompts there are."""

from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from routerlab.schema import check_embeddings, reject, shown, unit_rows

_FITTED_ON = 1000  # prompts, evenly over the table
_WIDTH = 64


class PromptVectors:
    """Vectors of unit length by place in the table: rows of `X`, or wording and form, computed when asked for.

    Centred, because what all prompts share makes all of them similar: sentence models' hidden layers most of all.
    """

    def __init__(self, prompts: pd.Series, X: pd.DataFrame | None) -> None:
        self._prompts = prompts
        self._fit: Future[Any] | None = None
        self.lazy = X is None
        self._known = np.ones(len(prompts), dtype=bool)
        if X is not None:
            missing = prompts.index.difference(X.index)
            if len(missing):
                reject("'X'", f"has no row for prompt {shown(missing)}.", "Embed all prompts.")
            vectors = unit_rows(np.asarray(check_embeddings(X.loc[prompts.index]), dtype=np.float32))
            self._vectors = unit_rows(vectors - vectors.mean(axis=0))
        elif len(prompts) < 3:
            self._vectors = np.zeros((len(prompts), 1), dtype=np.float32)
        else:
            self._known[:] = False
            pool = ThreadPoolExecutor(1)
            self._fit = pool.submit(self._fitted)  # while the first prompt is read
            pool.shutdown(wait=False)

    def rows(self, places: NDArray[np.intp]) -> NDArray[np.float32]:
        """Return the vectors of some prompts, of shape (n_places, n_features)."""
        todo = np.unique(places[~self._known[places]])
        if len(todo) and self._fit is not None:
            embedders, mean = self._fit.result()
            new = unit_rows(self._embedded(embedders, todo) - mean)
            if not hasattr(self, "_vectors"):
                self._vectors = np.zeros((len(self._prompts), new.shape[1]), dtype=np.float32)
            self._vectors[todo], self._known[todo] = new, True
        return self._vectors[places]

    def _fitted(self) -> tuple[Any, NDArray[np.float32]]:
        from routerlab.embedding import LsaEmbedder, SurfaceFeatures

        n = len(self._prompts)
        places = np.unique(np.linspace(0, n - 1, min(n, _FITTED_ON)).round().astype(np.intp))
        sample = self._prompts.iloc[places]
        embedders = LsaEmbedder(_WIDTH).fit(sample), SurfaceFeatures().fit(sample)
        return embedders, self._embedded(embedders, places).mean(axis=0)

    def _embedded(self, embedders: Any, places: NDArray[np.intp]) -> NDArray[np.float32]:
        from routerlab.embedding import join_embeddings

        texts = self._prompts.iloc[places]
        joined = join_embeddings(*(embedder.transform(texts) for embedder in embedders))
        return unit_rows(np.asarray(joined, dtype=np.float32))
