"""Save and load routers as one ``.npz`` file: arrays and JSON, never pickle."""

import io
import json
import math
import os
import re
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from routerlab.decision import OperatingPoint
from routerlab.exceptions import SavedFileError
from routerlab.jsonl import replace_file
from routerlab.neighbors import INDEXES
from routerlab.schema import shown

FORMAT = 1
KINDS: dict[str, type] = {}  # what can be loaded, by name; the package fills it
_LEARNED = re.compile(r"[a-z][a-z0-9_]*[a-z0-9]_")
_LEAST_LIMIT = 64 << 20  # bytes that any file may unpack to
_DAMAGE = (AttributeError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error)
_MOST_COMPRESSED = 50  # times smaller on the disk; embeddings hardly shrink, tables of 0 and 1 by some 20


def save_router(router: Any, path: str | Path) -> Path:
    """Write a fitted router's parameters and learned arrays.

    A file that is there is replaced as a whole, once all of the new one is on the disk. A TypeError says what is
    neither an array, a frame, text nor a number: a function as `weights`, or the inner estimator of `Router`.
    """
    arrays: dict[str, Any] = {}
    learned = {name: value for name, value in vars(router).items() if name.endswith("_")}
    header = {
        "format": FORMAT,
        "class": type(router).__name__,
        "params": {k: _plain(v, f"parameter '{k}'", router) for k, v in router.get_params(deep=False).items()},
        "learned": {k: _put(v, k, arrays, router) for k, v in learned.items()},
    }
    arrays["header"] = np.array(json.dumps(header))
    target, file = _with_suffix(path), io.BytesIO()
    np.savez_compressed(file, allow_pickle=False, **arrays)
    replace_file(target, file.getvalue())
    return target


def load_router(path: str | Path) -> Any:
    """Read a router that ``router.save(path)`` wrote.

    Parameters
    ----------
    path : str or Path
        The ``.npz`` file, with or without its suffix.

    Returns
    -------
    KNNRouter, IntentRouter or SimilarityWeightedRouter
        Fitted; predicts exactly as the saved one did.

    Raises
    ------
    ValueError
        If the file is not a saved router, is damaged, comes from a newer version, or would take much more memory than
        a router of its size can. Only numbers, times and text are read: no pickle, and no member that the header does
        not declare.
    OSError
        If the file cannot be read.

    Examples
    --------
    >>> import tempfile
    >>> from routerlab.routers import KNNRouter
    >>> X, quality = np.eye(2, dtype=np.float32), pd.DataFrame({"m": [0.5, 1.0]})
    >>> router = KNNRouter(n_neighbors=1).fit(X, quality, cost=quality / 100)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     load_router(router.save(f"{folder}/router")).predict_quality(X)["m"].tolist()
    [0.5, 1.0]
    """
    try:
        with _with_suffix(path).open("rb") as raw, zipfile.ZipFile(raw) as file:
            _check_sizes(file, os.fstat(raw.fileno()).st_size)
            header = json.loads(str(_array(file, "header")))
            version = int(header["format"])
            router = _rebuilt(header, file) if version <= FORMAT else None
    except (LookupError, TypeError, ValueError, *_DAMAGE) as error:
        msg = f"{path}: not a router saved by routerlab, or damaged ({error}). Save it again with router.save(path)."
        raise SavedFileError(msg) from error
    if router is None:
        msg = f"{path}: written in format {version}, this routerlab reads up to {FORMAT}. Upgrade routerlab."
        raise SavedFileError(msg)
    return router


def _rebuilt(header: dict[str, Any], file: zipfile.ZipFile) -> Any:
    learned, members = header["learned"], set(file.namelist())
    odd = [name for name in learned if not _LEARNED.fullmatch(name)]
    odd += sorted(members - {f"{name}.npy" for name in ("header", *_declared(learned))})
    if odd:
        _damaged(f"it holds {shown(odd)}")
    router = KINDS[header["class"]](**{k: _number(v) for k, v in header["params"].items()})
    for name, spec in learned.items():
        setattr(router, name, _get(spec, file))
    _check_shapes(router)
    return router


def _check_sizes(file: zipfile.ZipFile, on_disk: int) -> None:
    """Refuse what would unpack to far more than trained routers do."""
    most = _LEAST_LIMIT + _MOST_COMPRESSED * on_disk
    if any(member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) for member in file.infolist()):
        _damaged("it is compressed in a way that numpy does not use")
    unpacked = sum(member.file_size for member in file.infolist())
    if unpacked > most:
        _damaged(f"it would unpack to {unpacked:,} bytes, expected at most {most:,}")


def _array(file: zipfile.ZipFile, name: str) -> NDArray[Any]:
    """Read one member, whose size must be that of the array that it announces, of numbers, times or text."""
    size = file.getinfo(f"{name}.npy").file_size
    with file.open(f"{name}.npy") as member:
        version = np.lib.format.read_magic(member)
        read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}[version]
        shape, _, dtype = read(member)
        if dtype.kind not in "biufUMm" or len(shape) > 2:
            _damaged(f"'{name}' is an array of {dtype} of shape {shape}, expected numbers or text, of 2 axes at most")
        if member.tell() + math.prod(shape) * dtype.itemsize != size:
            _damaged(f"'{name}' has {size:,} bytes, which are not an array of {dtype} of shape {shape}")
    with file.open(f"{name}.npy") as member:
        array: NDArray[Any] = np.lib.format.read_array(member, allow_pickle=False)
    return array


def _declared(spec: Any) -> Iterator[str]:
    """Yield the arrays that the header names."""
    for key, value in spec.items():
        if key == "array":
            yield value
        elif isinstance(value, dict):
            yield from _declared(value)


def _check_shapes(router: Any) -> None:
    """Insist on arrays that fit together: a row for each training prompt, a column for each model."""
    n, m = len(router.index_), len(router.models_)
    expected = (
        ("embeddings_", [(n, router.n_features_in_)]),
        ("quality_", [(n, m)]),
        ("cost_", [(n, m), (m,)]),
        ("mean_cost_", [(m,)]),
    )
    for name, shapes in expected:
        if hasattr(router, name) and np.shape(getattr(router, name)) not in shapes:
            got = np.shape(getattr(router, name))
            _damaged(f"'{name}' has shape {got}, expected {shapes[0]}: {n} prompts, {m} models")
    if hasattr(router, "counts_"):
        router._table.check_format(full_check=True)


def _damaged(why: str) -> NoReturn:
    raise ValueError(why)


def _with_suffix(path: str | Path) -> Path:
    """Add ``.npz`` where it is missing, in saving as in loading."""
    target = Path(path)
    return target if target.suffix == ".npz" else target.with_name(target.name + ".npz")


def _plain(value: Any, what: str, router: Any) -> Any:
    if isinstance(value, np.generic):
        value = value.item()
    if type(value) in INDEXES.values():
        return {"index": value.kind} | asdict(value)
    if isinstance(value, float) and not np.isfinite(value):
        return {"float": repr(value)}
    if value is None or isinstance(value, (str, int, float)):
        return value
    msg = (
        f"{type(router).__name__} can't be saved: {what} is a {type(value).__name__}, which only pickle could hold. "
        "Use the built-in weights, or keep the training tables and fit again."
    )
    raise TypeError(msg)


def _number(value: Any) -> Any:
    if isinstance(value, dict) and "index" in value:
        return INDEXES[value["index"]](**{name: given for name, given in value.items() if name != "index"})
    return float(value["float"]) if isinstance(value, dict) and "float" in value else value


def _put(value: Any, key: str, arrays: dict[str, Any], router: Any) -> Any:
    """Store arrays under names that start with `key`; return what JSON needs to find them."""
    if isinstance(value, pd.DataFrame):
        return {
            "frame": _put(value.to_numpy(), f"{key}.values", arrays, router),
            "index": _put(value.index, f"{key}.index", arrays, router),
            "columns": _put(value.columns, f"{key}.columns", arrays, router),
        }
    if isinstance(value, OperatingPoint):
        return {"point": {k: _plain(v, f"'{key}'", router) for k, v in asdict(value).items()}}
    if isinstance(value, pd.Series):
        return {"series": _put(value.to_frame(), key, arrays, router)}
    if isinstance(value, pd.Index):
        return {"labels": _put(value.to_numpy(), key, arrays, router), "name": value.name}
    if isinstance(value, np.ndarray):
        if value.dtype.kind == "O":
            return {"json": [_plain(v, f"'{key}'", router) for v in value]}
        arrays[key] = value
        return {"array": key}
    return {"plain": _plain(value, f"'{key}'", router)}


def _get(spec: Any, file: zipfile.ZipFile) -> Any:
    if "point" in spec:
        return OperatingPoint(**{k: _number(v) for k, v in spec["point"].items()})
    if "series" in spec:
        return _get(spec["series"], file).iloc[:, 0]
    if "frame" in spec:
        return pd.DataFrame(*(_get(spec[part], file) for part in ("frame", "index", "columns")))
    if "labels" in spec:
        return pd.Index(_get(spec["labels"], file), name=spec["name"])
    if "json" in spec:
        return np.array(spec["json"], dtype=object)
    return _array(file, spec["array"]) if "array" in spec else _number(spec["plain"])
