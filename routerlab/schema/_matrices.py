"""Prompts-by-models frames and embeddings: the pivot, and the checks that routers and evaluation share."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from routerlab.schema._errors import DroppedRowsWarning, TableError, reject, shown
from routerlab.schema._tables import check_outcomes


class Outcomes(NamedTuple):
    """Aligned quality and cost, both of shape (n_prompts, n_models)."""

    quality: pd.DataFrame
    cost: pd.DataFrame


def pivot_outcomes(outcomes: pd.DataFrame, *, missing: str = "drop") -> Outcomes:
    """Turn an outcomes table into two aligned frames, quality and cost.

    Parameters
    ----------
    outcomes : DataFrame
        See `check_outcomes`.
    missing : {'drop', 'keep'}, default 'drop'
        'drop' keeps complete cases and warns how many prompts that left out; 'keep' leaves NaN.

    Returns
    -------
    Outcomes
        Named tuple ``(quality, cost)``, each a DataFrame of shape (n_prompts, n_models) indexed by
        ``prompt_id`` in order of appearance, columns in order of appearance.

    Warns
    -----
    DroppedRowsWarning
        If prompts were dropped.

    Examples
    --------
    >>> rows = [("p1", "a", 1.0, 0.01), ("p1", "b", 0.5, 0.001)]
    >>> table = pd.DataFrame(rows, columns=["prompt_id", "model", "quality", "cost_usd"])
    >>> pivot_outcomes(table).quality.loc["p1", "b"]
    np.float64(0.5)
    """
    if missing not in ("drop", "keep"):
        msg = f"The 'missing' parameter of pivot_outcomes must be 'drop' or 'keep'. Got {missing!r} instead."
        raise ValueError(msg)
    frame = check_outcomes(outcomes)
    rows, columns = pd.unique(frame["prompt_id"]), pd.unique(frame["model"])
    wide = frame.pivot(index="prompt_id", columns="model", values=["quality", "cost_usd"])  # noqa: PD010
    quality = wide["quality"].reindex(index=rows, columns=columns).astype(float)
    cost = wide["cost_usd"].reindex(index=rows, columns=columns).astype(float)
    incomplete = (quality.isna() | cost.isna()).any(axis=1)
    if missing == "drop" and incomplete.any():
        warnings.warn(
            f"pivot_outcomes left out {incomplete.sum()} of {len(rows)} prompts with an empty quality or cost for "
            "some model; pass missing='keep' to see them.",
            DroppedRowsWarning,
            stacklevel=2,
        )
        quality, cost = quality[~incomplete], cost[~incomplete]
    for wide_frame, name in ((quality, "quality"), (cost, "cost_usd")):
        wide_frame.index.name, wide_frame.columns.name = "prompt_id", "model"
        wide_frame.attrs = {**outcomes.attrs, "n_dropped": int(incomplete.sum()) if missing == "drop" else 0}
        wide_frame.attrs["measure"] = name
    return Outcomes(quality, cost)


def check_matrix(frame: pd.DataFrame, name: str, low: float = 0.0, high: float = np.inf) -> pd.DataFrame:
    """Check a prompts-by-models frame: unique labels, finite numbers within [low, high].

    Examples
    --------
    >>> check_matrix(pd.DataFrame({"m": [0.5]}, index=["p"]), "quality", 0, 1).shape
    (1, 1)
    """
    if not isinstance(frame, pd.DataFrame):
        reject(
            f"'{name}'", f"expected a DataFrame (prompts x models), got {type(frame).__name__}.", "See pivot_outcomes."
        )
    for labels, axis in ((frame.index, "prompt_id"), (frame.columns, "model")):
        if not labels.is_unique:
            reject(f"'{name}'", f"{axis} {shown(labels[labels.duplicated()])} appears twice.", "Keep one.")
    if not frame.shape[0] or not frame.shape[1]:
        reject(f"'{name}'", f"is empty: shape {frame.shape}.", "Check the split that you selected.")
    try:
        values = frame.to_numpy(dtype=float)
    except (TypeError, ValueError) as error:
        reject(f"'{name}'", f"holds something that is no number: {error}.", "Keep model columns only.")
    bad = ~(np.isfinite(values) & (values >= low) & (values <= high))
    if bad.any():
        rows, cols = np.nonzero(bad)
        cells = ((frame.index[r], frame.columns[c], float(values[r, c])) for r, c in zip(rows, cols, strict=True))
        wanted = f"[{low:g}, {high:g}]" if np.isfinite(high) else f"finite numbers of at least {low:g}"
        if np.isfinite(values).all() and (values >= low).all():
            remedy = "Divide by the maximum of the scale, e.g. 1-10 scores by 10."
        else:
            remedy = "Drop incomplete prompts with pivot_outcomes(outcomes), or correct the cells."
        reject(f"'{name}'", f"got {shown(cells)}, expected {wanted}.", remedy)
    return frame


def check_aligned(quality: pd.DataFrame, cost: pd.DataFrame) -> Outcomes:
    """Check quality in [0, 1] and cost at least 0, with the same prompts and models, and align cost to quality.

    Examples
    --------
    >>> quality = pd.DataFrame({"m": [0.5]}, index=["p"])
    >>> check_aligned(quality, quality * 0.01).cost.loc["p", "m"]
    np.float64(0.005)
    """
    check_matrix(quality, "quality", 0.0, 1.0)
    check_matrix(cost, "cost")
    for a, b, axis in ((quality.index, cost.index, "prompt_id"), (quality.columns, cost.columns, "model")):
        odd = a.symmetric_difference(b)
        if len(odd):
            reject(
                "'quality' and 'cost'",
                f"{axis} {shown(odd)} is in one and not in the other.",
                "Select the same rows and columns of both, as pivot_outcomes returns them.",
            )
    if not quality.index.equals(cost.index) or not quality.columns.equals(cost.columns):
        cost = cost.reindex(index=quality.index, columns=quality.columns)
    return Outcomes(quality, cost)


def check_model(model: str, models: Iterable[str], parameter: str) -> str:
    """Check that `model` is one of `models`.

    Examples
    --------
    >>> check_model("gpt-4", ["gpt-4", "small"], "baseline")
    'gpt-4'
    """
    names = list(models)
    if model not in names:
        msg = f"'{parameter}' must be one of the models {shown(names, 20)}. Got {model!r} instead."
        raise TableError(msg)
    return model


def check_embeddings(X: Any, *, n_features: int | None = None, name: str = "X") -> NDArray[np.float32]:
    """Return embeddings as a finite float32 array of shape (n_prompts, n_features).

    Parameters
    ----------
    X : DataFrame or array of shape (n_prompts, n_features)
        Embeddings.
    n_features : int, optional
        The width that was seen at fit.
    name : str
        The name that the error uses.

    Examples
    --------
    >>> check_embeddings([[1, 0]]).dtype
    dtype('float32')
    """
    try:
        values = np.asarray(X, dtype=np.float32)
    except (TypeError, ValueError) as error:
        reject(f"'{name}'", f"expected numbers: {error}.", "Embed prompts first, e.g. SentenceEmbedder().")
    if values.ndim != 2 or not values.shape[0]:
        reject(
            f"'{name}'",
            f"expected shape (n_prompts, n_features), got {values.shape}.",
            "Pass rows, e.g. X.loc[[prompt_id]] for one.",
        )
    if n_features is not None and values.shape[1] != n_features:
        reject(
            f"'{name}'",
            f"has {values.shape[1]} features, and fit saw {n_features}.",
            "Use the embedder that made the training embeddings.",
        )
    if not np.isfinite(values).all():
        bad = np.nonzero(~np.isfinite(values).all(axis=1))[0]
        reject(f"'{name}'", f"holds NaN or infinity in row {shown(bad)}.", "Embed those prompts again or drop them.")
    return values


def unit_rows(values: NDArray[Any]) -> NDArray[np.float32]:
    """Scale rows to length 1 in float32; a row of zeros stays as it is, and so is similar to nothing.

    Examples
    --------
    >>> unit_rows(np.array([[3.0, 4.0], [0.0, 0.0]]))
    array([[0.6, 0.8],
           [0. , 0. ]], dtype=float32)
    """
    values = np.asarray(values, dtype=np.float64)
    lengths = np.linalg.norm(values, axis=1, keepdims=True)
    return (values / np.where(lengths > 0, lengths, 1)).astype(np.float32)
