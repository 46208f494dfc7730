"""Save and load routers as one ``.npz`` file: arrays and JSON, never pickle."""

from __future__ import annotations

import json
import zipfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from routerlab.decision import OperatingPoint

FORMAT = 1


def save_router(router: Any, path: str | Path) -> Path:
    """Write a fitted router's parameters and learned arrays.

    Raises
    ------
    TypeError
        If a parameter or a learned attribute is neither an array, a frame, text nor a number (a
        function as `weights`, or the inner estimator of `Router`).
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
    target = _with_suffix(path)
    with target.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)
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
        If the file is no saved router, is damaged, or comes from a newer version.

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
    from routerlab import routers

    try:
        with _with_suffix(path).open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        header = json.loads(str(arrays["header"]))
        kind = getattr(routers, header["class"])
        version = int(header["format"])
    except (ValueError, KeyError, TypeError, AttributeError, EOFError, zipfile.BadZipFile) as error:
        msg = f"{path}: not a router saved by routerlab, or damaged ({error}). Save it again with router.save(path)."
        raise ValueError(msg) from error
    if version > FORMAT:
        msg = f"{path}: written in format {version}, this routerlab reads up to {FORMAT}. Upgrade routerlab."
        raise ValueError(msg)
    router = kind(**{k: _number(v) for k, v in header["params"].items()})
    for name, spec in header["learned"].items():
        setattr(router, name, _get(spec, arrays))
    return router


def _with_suffix(path: str | Path) -> Path:
    """Add ``.npz`` where it is missing, in saving as in loading."""
    target = Path(path)
    return target if target.suffix == ".npz" else target.with_name(target.name + ".npz")


def _plain(value: Any, what: str, router: Any) -> Any:
    if isinstance(value, np.generic):
        value = value.item()
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


def _get(spec: Any, arrays: dict[str, Any]) -> Any:
    if "point" in spec:
        return OperatingPoint(**{k: _number(v) for k, v in spec["point"].items()})
    if "series" in spec:
        return _get(spec["series"], arrays).iloc[:, 0]
    if "frame" in spec:
        parts = (_get(spec[part], arrays) for part in ("frame", "index", "columns"))
        return pd.DataFrame(*parts)
    if "labels" in spec:
        return pd.Index(_get(spec["labels"], arrays), name=spec["name"])
    if "json" in spec:
        return np.array(spec["json"], dtype=object)
    return arrays[spec["array"]] if "array" in spec else _number(spec["plain"])
