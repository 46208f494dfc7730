"""Save and load fitted embedders as one ``.npz`` file: arrays and JSON, never pickle."""

import io
import json
import zipfile
from pathlib import Path
from typing import Any, BinaryIO, ClassVar

import numpy as np

from routerlab.exceptions import SavedFileError
from routerlab.jsonl import replace_file
from routerlab.markup import NotebookReprMixin

FORMAT = 1
_HEADER = "header"
_OVERHEAD = 10_000  # bytes that the .npy format adds to an array

# What each kind has learned; nothing else is written, and nothing else is read.
_LEARNED = {
    "SentenceEmbedder": ("n_features_out_",),
    "LsaEmbedder": ("n_components_", "words_", "characters_", "svd_"),
    "SurfaceFeatures": ("mean_", "scale_"),
    "OutcomeEmbedder": ("models_", "n_features_in_", "ridge_", "mean_", "scale_"),
    "IntentEmbedder": ("classes_", "reads_", "n_features_in_", "parts_", "scales_", "coef_", "offset_"),
    "TfidfVectorizer": ("vocabulary_", "idf_"),
    "TruncatedSVD": ("components_", "n_features_in_"),
    "RidgeCV": ("coef_", "intercept_", "alpha_", "n_features_in_"),
}
_EMBEDDERS = tuple(name for name in _LEARNED if name not in ("TfidfVectorizer", "TruncatedSVD", "RidgeCV"))


class SavedMixin(NotebookReprMixin):
    """Give an embedder its method ``save``, and let `load_embedder` find it by name."""

    kinds: ClassVar[dict[str, Any]] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        SavedMixin.kinds.setdefault(cls.__name__, cls)

    def save(self, path: str | Path) -> Path:
        """Write the embedder, fitted or not, to one ``.npz`` file, without pickle. See `load_embedder`.

        The sentence model itself is not in the file: `SentenceEmbedder` finds it again by name.
        """
        return save_embedder(self, path)


def save_embedder(embedder: Any, path: str | Path) -> Path:
    """Write an embedder's parameters and what it has learned: aside first, then in the place of the old file.

    A parameter that is neither an array, text, a number nor one of routerlab's embedders is a TypeError.
    """
    arrays: dict[str, Any] = {}
    header = {"format": FORMAT, "embedder": _put(embedder, type(embedder).__name__, arrays)}
    target, file = _with_suffix(path), io.BytesIO()
    np.savez_compressed(file, allow_pickle=False, **{_HEADER: np.array(json.dumps(header))}, **arrays)
    replace_file(target, file.getvalue())
    return target


def load_embedder(path: str | Path) -> Any:
    """Read an embedder that its method ``save`` wrote.

    Parameters
    ----------
    path : str or Path
        The ``.npz`` file, with or without its suffix.

    Returns
    -------
    IntentEmbedder, LsaEmbedder, OutcomeEmbedder, SentenceEmbedder or SurfaceFeatures
        Transforms as the saved one did.

    Raises
    ------
    ValueError
        If the file is not a saved embedder, is damaged, or comes from a newer version.

    Examples
    --------
    >>> import tempfile
    >>> from routerlab.embedding import LsaEmbedder
    >>> prompts = ["Poach an egg", "Poach two eggs", "Fix my SQL"]
    >>> embedder = LsaEmbedder().fit(prompts)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     load_embedder(embedder.save(f"{folder}/lsa")).transform(prompts).equals(embedder.transform(prompts))
    True
    """
    source = _with_suffix(path)
    try:
        with source.open("rb") as raw:
            header, arrays = _read(raw)
        version = int(header["format"])
        if version <= FORMAT:
            if header["embedder"]["estimator"] not in _EMBEDDERS:
                msg = f"a {header['embedder']['estimator']} is not an embedder"
                raise ValueError(msg)
            return _get(header["embedder"], arrays)
    except (ValueError, KeyError, TypeError, AttributeError, EOFError, RecursionError, zipfile.BadZipFile) as error:
        msg = f"{source}: not an embedder saved by routerlab, or damaged ({error}). Save it again: embedder.save(path)."
        raise SavedFileError(msg) from error
    msg = f"{source}: written in format {version}, this routerlab reads up to {FORMAT}. Upgrade routerlab."
    raise SavedFileError(msg)


def _with_suffix(path: str | Path) -> Path:
    target = Path(path).expanduser()
    return target if target.suffix == ".npz" else target.with_name(target.name + ".npz")


def _read(raw: BinaryIO) -> tuple[Any, dict[str, Any]]:
    """Return the header, and the arrays that it declares, each of the size that it declares."""
    sizes = {info.filename.removesuffix(".npy"): info.file_size for info in zipfile.ZipFile(raw).infolist()}
    raw.seek(0)
    with np.load(raw, allow_pickle=False) as file:
        header = json.loads(str(file[_HEADER]))
        declared: dict[str, Any] = {}
        _declared(header["embedder"], declared)
        if set(sizes) != {_HEADER, *declared} or len(file.files) != len(sizes):
            msg = f"it holds {sorted(sizes)[:5]} and declares {sorted(declared)[:5]}"
            raise ValueError(msg)
        arrays = {}
        for name, spec in declared.items():
            kind, shape = np.dtype(spec["dtype"]), tuple(spec["shape"])
            if sizes[name] > int(np.prod(shape, dtype=object)) * kind.itemsize + _OVERHEAD:
                msg = f"{name} is larger than it declares"
                raise ValueError(msg)
            array = file[name]
            if array.shape != shape or array.dtype != kind or (kind.kind == "f" and not np.isfinite(array).all()):
                msg = f"{name} is not what it declares"
                raise ValueError(msg)
            arrays[name] = array
    return header, arrays


def _declared(spec: Any, found: dict[str, Any]) -> None:
    if isinstance(spec, dict):
        if "array" in spec:
            found[spec["array"]] = spec
        for part in spec.values():
            _declared(part, found)
    elif isinstance(spec, list):
        for part in spec:
            _declared(part, found)


def _put(value: Any, key: str, arrays: dict[str, Any]) -> Any:
    """Store arrays under names that start with `key`; return what JSON needs to find them."""
    name = type(value).__name__
    if name in _LEARNED:
        learned = {part: getattr(value, part) for part in _LEARNED[name] if hasattr(value, part)}
        params = value.get_params(deep=False)
        return {
            "estimator": name,
            "params": {part: _put(given, f"{key}.{part}", arrays) for part, given in params.items()},
            "learned": {part: _put(given, f"{key}.{part}", arrays) for part, given in learned.items()},
        }
    if isinstance(value, np.ndarray) and value.dtype.kind != "O":
        arrays[key] = value
        return {"array": key, "dtype": value.dtype.str, "shape": list(value.shape)}
    if isinstance(value, (np.ndarray, tuple)):
        return {name: [_put(item, f"{key}.{at}", arrays) for at, item in enumerate(value)]}
    if isinstance(value, dict):
        return {"names": list(map(str, value)), "items": [_put(v, f"{key}.{k}", arrays) for k, v in value.items()]}
    if isinstance(value, type) and issubclass(value, np.generic):
        return {"dtype": value.__name__}
    if isinstance(value, np.generic) and not isinstance(value, np.str_):
        return {"scalar": _put(value.item(), key, arrays), "of": value.dtype.str}  # 32 bits stay 32 bits
    if isinstance(value, (np.str_, Path)):
        value = str(value)
    if isinstance(value, float) and not np.isfinite(value):
        return {"float": repr(value)}
    if value is None or isinstance(value, (str, int, float)):
        return {"plain": value}
    msg = (
        f"{key} can't be saved: it is a {name}, which only pickle could hold. Use routerlab's own embedders, or keep "
        "the prompts and fit again."
    )
    raise TypeError(msg)


def _get(spec: Any, arrays: dict[str, Any]) -> Any:
    if "estimator" in spec:
        return _estimator(spec, arrays)
    if "array" in spec:
        return arrays[spec["array"]]
    if "ndarray" in spec:
        found = np.empty(len(spec["ndarray"]), dtype=object)
        found[:] = [_get(item, arrays) for item in spec["ndarray"]]
        return found
    if "tuple" in spec:
        return tuple(_get(item, arrays) for item in spec["tuple"])
    if "names" in spec:
        return {name: _get(item, arrays) for name, item in zip(spec["names"], spec["items"], strict=True)}
    if "scalar" in spec:
        return np.dtype(spec["of"]).type(_get(spec["scalar"], arrays))
    if "dtype" in spec:
        return np.dtype(spec["dtype"]).type
    return float(spec["float"]) if "float" in spec else spec["plain"]


def _estimator(spec: Any, arrays: dict[str, Any]) -> Any:
    """Build one of the known kinds again, without its ``fit``."""
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfTransformer, TfidfVectorizer
    from sklearn.linear_model import RidgeCV

    name = spec["estimator"]
    if name not in _LEARNED or not set(spec["learned"]) <= set(_LEARNED[name]):
        msg = f"a {name} with {sorted(spec['learned'])}"
        raise ValueError(msg)
    own = {"TfidfVectorizer": TfidfVectorizer, "TruncatedSVD": TruncatedSVD, "RidgeCV": RidgeCV}
    kind = own.get(name) or SavedMixin.kinds[name]
    made = kind(**{part: _get(given, arrays) for part, given in spec["params"].items()})
    if name == "TfidfVectorizer":
        made._tfidf = TfidfTransformer(
            norm=made.norm, use_idf=made.use_idf, smooth_idf=made.smooth_idf, sublinear_tf=made.sublinear_tf
        )
    for part, given in spec["learned"].items():
        setattr(made, part, _get(given, arrays))
    return made
