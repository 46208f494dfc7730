"""Prompts-by-models frames and embeddings: the pivot, and the checks that routers and evaluation share."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from routerlab.exceptions import DroppedRowsWarning, ParameterError, TableError
from routerlab.schema._doors import (
    Odd,
    as_labels,
    as_pandas,
    check_choice,
    id_remedy,
    kind_of,
    own,
    plain,
    plain_frame,
    provenance_of,
    read_numbers,
    refuse_parameter,
    reject,
    shown,
)
from routerlab.schema._scale import Scale
from routerlab.schema._tables import check_outcomes


class Outcomes:
    """Measured quality and cost of each model on each prompt: checked once, here, and taken as checked from then on.

    Whatever takes `quality` and `cost` takes an Outcomes in place of `quality`, and no `cost`. It unpacks:
    ``quality, cost = outcomes``. These frames are their reader's: changing them changes nothing in here.

    Parameters
    ----------
    quality : DataFrame of shape (n_prompts, n_models)
        In [0, 1]; cells may be empty (NaN).
    cost : DataFrame of shape (n_prompts, n_models), or Series of one price per model
        USD per request, at least 0, of the same prompts and models; in any order.

    Attributes
    ----------
    quality, cost : DataFrame of shape (n_prompts, n_models)
        In one order.
    index, models : Index
        Prompt ids, and names of the models.
    complete : bool
        Whether no cell is empty.
    loc, iloc
        Rows by prompt id, or by position, as Outcomes: ``outcomes.loc[train]``.

    Examples
    --------
    >>> quality = pd.DataFrame({"small": [0.5, 1.0], "large": [1.0, 1.0]}, index=["p1", "p2"])
    >>> outcomes = Outcomes(quality, {"small": 0.001, "large": 0.01})
    >>> outcomes
    Outcomes(n_prompts=2, n_models=2)
    >>> outcomes.loc[["p2"]].cost.loc["p2", "large"]
    np.float64(0.01)
    """

    __slots__ = ("_cost", "_quality", "complete")
    _quality: pd.DataFrame
    _cost: pd.DataFrame
    complete: bool

    def __init__(self, quality: Any, cost: Any) -> None:
        checked = check_aligned(quality, cost, missing=True)
        self._quality, self._cost, self.complete = checked._quality, checked._cost, checked.complete

    @classmethod
    def checked(cls, quality: pd.DataFrame, cost: pd.DataFrame, *, complete: bool = False) -> Outcomes:
        """Hold frames that come out of checked ones, without looking again; `complete`: that no cell is empty."""
        self = cls.__new__(cls)
        self._quality, self._cost = own(quality), own(cost)
        self.complete = complete or not (_empty(quality) or _empty(cost))
        return self

    quality = property(lambda self: own(self._quality))
    cost = property(lambda self: own(self._cost))
    index = property(lambda self: self._quality.index)
    models = property(lambda self: self._quality.columns)
    attrs = property(lambda self: {"provenance": provenance_of(self._quality, self._cost)})
    loc = property(lambda self: _Rows(self, "loc"))
    iloc = property(lambda self: _Rows(self, "iloc"))

    def __iter__(self) -> Iterator[pd.DataFrame]:
        """Unpack into quality and cost."""
        return iter((self.quality, self.cost))

    def __getitem__(self, place: int) -> pd.DataFrame:
        """Quality (0) or cost (1), as of a tuple."""
        return (self.quality, self.cost)[place]

    def __repr__(self) -> str:
        """Sizes only."""
        empty = "" if self.complete else ", with empty cells"
        return f"Outcomes(n_prompts={len(self.index)}, n_models={len(self.models)}{empty})"


@dataclass(frozen=True)
class _Rows:
    """Some rows of checked outcomes, which need no check but that each prompt comes once."""

    of: Outcomes
    how: str

    def __getitem__(self, rows: Any) -> Outcomes:
        quality, cost = (getattr(frame, self.how)[rows] for frame in (self.of._quality, self.of._cost))
        if not isinstance(quality, pd.DataFrame) or quality.shape[1] != len(self.of.models):
            reject(f"outcomes.{self.how}", "takes rows.", "Pass prompt ids or positions in a list.", ParameterError)
        if not len(quality):
            reject("outcomes", f"are empty: shape {quality.shape}.", "Check the split that you selected.")
        if quality.index is not self.of.index:
            _check_labels(quality.index, "prompt_id", f"outcomes.{self.how}")
        return Outcomes.checked(quality, cost, complete=self.of.complete)


def _empty(frame: pd.DataFrame) -> bool:
    return bool(np.isnan(frame.to_numpy().sum()))  # one pass; infinities are refused before


def pivot_outcomes(outcomes: pd.DataFrame, *, missing: str = "drop", scale: Scale | None = None) -> Outcomes:
    """Turn an outcomes table into two aligned frames, quality and cost.

    Parameters
    ----------
    outcomes : DataFrame
        See `check_outcomes`.
    missing : {'drop', 'keep'}, default 'drop'
        'drop' keeps complete cases and warns how many prompts that left out; 'keep' leaves NaN.
    scale : (float, float) or mapping, optional
        Of ``quality``, if it is not from 0 to 1: ``(1, 5)``, ``(0, 100)``, ``{"pass": 1, "fail": 0}``.

    Returns
    -------
    Outcomes
        Unpacks into ``quality, cost``, each a DataFrame of shape (n_prompts, n_models) indexed by
        ``prompt_id`` in order of appearance, columns in order of appearance. As it is, or by ``outcomes.loc[train]``,
        it is taken for `quality` and `cost` everywhere, and not checked again.

    Raises
    ------
    TableError
        Rows of different ``quality_scale``, such as feedback and a judge's win shares: 0.6 says different things there.

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
    check_choice(missing, ("drop", "keep"), "missing", "pivot_outcomes")
    frame = check_outcomes(outcomes, scale=scale)
    if frame.empty:
        reject("outcomes table", "has no rows.", "Check the split that you selected.")
    measured_by = _one_scale(frame)
    rows, columns = (as_labels(frame[key]) for key in ("prompt_id", "model"))
    wide = frame.pivot(index="prompt_id", columns="model", values=["quality", "cost_usd"])  # noqa: PD010
    quality = wide["quality"].reindex(index=rows, columns=columns).astype(float)
    cost = wide["cost_usd"].reindex(index=rows, columns=columns).astype(float)
    incomplete = (quality.isna() | cost.isna()).any(axis=1)
    if missing == "drop" and incomplete.any():
        warnings.warn(
            f"pivot_outcomes left out {incomplete.sum():,} of {len(rows):,} prompts with an empty quality or cost for "
            "some model; pass missing='keep' to see them.",
            DroppedRowsWarning,
            stacklevel=2,
        )
        quality, cost = quality[~incomplete], cost[~incomplete]
    for wide_frame, name in ((quality, "quality"), (cost, "cost_usd")):
        wide_frame.index.name, wide_frame.columns.name = "prompt_id", "model"
        wide_frame.attrs = {**frame.attrs, "n_dropped": int(incomplete.sum()) if missing == "drop" else 0}
        wide_frame.attrs["measure"] = name
        wide_frame.attrs |= {"quality_scale": measured_by} if measured_by else {}
    return Outcomes.checked(quality, cost)


def _one_scale(outcomes: pd.DataFrame) -> str | None:
    """Return what all of quality was measured by, if the table says so, and refuse two scales in one table."""
    if "quality_scale" not in outcomes:
        return outcomes.attrs.get("quality_scale")
    scales = outcomes.loc[outcomes["quality"].notna(), "quality_scale"]
    found = scales.where(scales.notna(), "not known").value_counts()
    if len(found) > 1:
        reject(
            "outcomes table, column 'quality_scale'",
            f"quality is measured in {len(found)} ways, which do not compare: "
            + ", ".join(f"{name!r} in {n:,} rows" for name, n in found.items())
            + ".",
            "Keep the rows of one of them; if they do mean the same, write the same into that column.",
        )
    return None if not len(found) or found.index[0] == "not known" else str(found.index[0])


def check_matrix(
    frame: pd.DataFrame, name: str, low: float = 0.0, high: float = np.inf, *, missing: bool = False
) -> pd.DataFrame:
    """Check a prompts-by-models frame, and return it as floats: unique labels, finite numbers within [low, high].

    Empty cells are refused unless `missing`.

    Examples
    --------
    >>> check_matrix(pd.DataFrame({"m": [0.5]}, index=["p"]), "quality", 0, 1).shape
    (1, 1)
    """
    frame = by_prompt(frame)
    if not isinstance(frame, pd.DataFrame):
        wrong = f"expected a DataFrame (prompts x models), got {kind_of(frame)}."
        reject(f"'{name}'", wrong, "See pivot_outcomes.")
    for labels, axis in ((frame.index, "prompt_id"), (frame.columns, "model")):
        _check_labels(labels, axis, name)
    if not frame.shape[0] or not frame.shape[1]:
        reject(f"'{name}'", f"is empty: shape {frame.shape}.", "Check the split that you selected.")
    if not all(kind == np.float64 for kind in frame.dtypes):
        frame = _as_floats(frame, name)
    values = frame.to_numpy()
    least, most = values.min(), values.max()  # NaN if any is
    if low <= least and most <= high and np.isfinite(most - least):
        return frame
    bad = ~(np.isfinite(values) & (values >= low) & (values <= high))
    if missing:
        bad &= ~np.isnan(values)
    if bad.any():
        rows, cols = np.nonzero(bad)
        cells = ((frame.index[r], frame.columns[c], float(values[r, c])) for r, c in zip(rows, cols, strict=True))
        wanted = f"[{low:g}, {high:g}]" if np.isfinite(high) else f"finite numbers of at least {low:g}"
        if np.isfinite(values[bad]).all() and (values[bad] >= low).all():
            remedy = "Say what scale that is: pivot_outcomes(outcomes, scale=(1, 5)), or (0, 100)."
        else:
            remedy = "Drop incomplete prompts with pivot_outcomes(outcomes), or correct the cells."
        reject(f"'{name}'", f"got {shown(cells)}, expected {wanted}.", remedy)
    return frame


def by_prompt(frame: Any) -> Any:
    """Return a frame of any library as pandas, indexed by its column ``prompt_id`` if it has one.

    Examples
    --------
    >>> by_prompt(pd.DataFrame({"prompt_id": ["p"], "m": [0.5]})).index.tolist()
    ['p']
    """
    frame = as_pandas(frame)
    if isinstance(frame, pd.DataFrame) and frame.columns.nlevels == 1 and "prompt_id" in frame.columns:
        attrs, frame = frame.attrs, plain_frame(frame, "frame").set_index("prompt_id")
        frame.attrs = dict(attrs)
    return frame


def row_labels(X: Any) -> pd.Index:
    """Return the prompt ids of a frame, and 0, 1, ... for what has none.

    Examples
    --------
    >>> row_labels([[1.0], [2.0]]).tolist()
    [0, 1]
    """
    X = by_prompt(X)
    return X.index if isinstance(X, pd.DataFrame) else pd.RangeIndex(len(X), name="prompt_id")


def check_columns(X: Any, names: Any) -> Any:
    """Bring the columns of a frame into the order of `names`, those seen at fit, or name those that differ.

    An array, and a frame with names where the fit had none, are taken as they come; so are numbers 0, 1, ...

    Examples
    --------
    >>> check_columns(pd.DataFrame([[1, 2]], columns=["b", "a"]), ["a", "b"]).columns.tolist()
    ['a', 'b']
    """
    if names is None and isinstance(X, pd.DataFrame) and X.columns.nlevels == 1:
        numbers = pd.RangeIndex(X.shape[1])  # at fit they were numbered: order is theirs
        return X if X.columns.has_duplicates or set(X.columns) != set(numbers) else X[list(numbers)]
    seen = column_names(X)
    if seen is None or names is None or list(seen) == list(names):
        return X
    odd = pd.Index(names, dtype=object).symmetric_difference(pd.Index(seen, dtype=object))
    if len(odd) or len(set(seen)) < len(seen):
        wrong = f"column {shown(odd if len(odd) else seen)} was at fit and is not here, or the other way round."
        reject("'X'", wrong, "Use the embedder that made the training embeddings.")
    return X[list(names)]


def column_names(X: Any) -> NDArray[np.object_] | None:
    """Return the names of a frame's columns, or None if they are 0, 1, ... or neither text nor numbers.

    Examples
    --------
    >>> column_names(pd.DataFrame({"x": [1.0]})).tolist()
    ['x']
    """
    if not isinstance(X, pd.DataFrame) or X.columns.nlevels > 1 or X.columns.equals(pd.RangeIndex(X.shape[1])):
        return None
    names = X.columns.to_numpy(dtype=object)
    return names if all(isinstance(name, (str, int)) for name in names) else None


def _check_labels(labels: pd.Index, axis: str, name: str) -> None:
    if labels.nlevels > 1 and axis == "model":
        reject(f"'{name}'", f"has {labels.nlevels} levels of columns.", "Pass one column for each model.")
    if labels.nlevels == 1 and labels.hasnans:
        at = shown(np.flatnonzero(labels.isna()))
        reject(f"'{name}'", f"{axis} is empty (None or NaN) at position {at}.", "Name it, or leave it out.")
    try:
        unique = labels.is_unique
    except TypeError:
        reject(f"'{name}'", f"{axis} {shown(labels, 2)}: not hashable.", "Ids and names must be text or numbers.")
    if not unique:
        reject(f"'{name}'", f"{axis} {shown(labels[labels.duplicated()])} appears twice.", "Keep one.")


def _as_floats(frame: pd.DataFrame, name: str) -> pd.DataFrame:
    columns = {}
    for place, model in enumerate(frame.columns):
        read = read_numbers(frame.iloc[:, place], booleans=name == "quality")
        if isinstance(read, Odd):
            cells = [(frame.index[row], model, frame.iloc[row, place]) for row in read.rows[:3]]
            reject(f"'{name}'", f"{read.wrong}: {shown(cells, 3)}. Expected numbers.", read.remedy)
        columns[place] = read
    floats = pd.DataFrame(columns, index=frame.index).set_axis(frame.columns, axis=1)
    floats.attrs = dict(frame.attrs)
    return floats


def spread_prices(cost: Any, like: pd.DataFrame) -> Any:
    """Repeat one price per model (a Series or mapping) for every prompt of `like`; return a frame as it is.

    Examples
    --------
    >>> spread_prices({"m": 0.01}, pd.DataFrame({"m": [1.0, 0.5]})).shape
    (2, 1)
    """
    if isinstance(cost, Mapping):
        cost = pd.Series(cost)
    cost = as_pandas(cost)
    if not isinstance(cost, pd.Series):
        return cost
    odd = cost.index.symmetric_difference(like.columns)
    if len(odd) or not cost.index.is_unique:
        wrong = f"has one number for each of {shown(cost.index, 4)}; the models are {shown(like.columns, 4)}."
        reject("'cost'", wrong, "Pass one price for each model, in USD per request, or a frame of prompts x models.")
    frame = pd.DataFrame([plain(cost).to_numpy()] * len(like), index=like.index, columns=cost.index)
    frame.attrs = dict(cost.attrs)
    return frame


def check_aligned(quality: Any, cost: Any = None, *, missing: bool = False) -> Outcomes:
    """Check quality in [0, 1] and cost at least 0, with the same prompts and models, and align cost to quality.

    Cost may be a Series of one price per model. Empty cells are refused unless `missing`. An `Outcomes` (without a
    `cost`) is returned as it is.

    Examples
    --------
    >>> quality = pd.DataFrame({"m": [0.5]}, index=["p"])
    >>> check_aligned(quality, quality * 0.01).cost.loc["p", "m"]
    np.float64(0.005)
    >>> check_aligned(quality, pd.Series({"m": 0.01})).cost.loc["p", "m"]
    np.float64(0.01)
    """
    if isinstance(quality, Outcomes):
        if cost is not None:
            remedy = "Pass the Outcomes alone, or two frames."
            reject("'cost'", "comes with an Outcomes, which holds the cost.", remedy, ParameterError)
        if missing or quality.complete:
            return quality
        quality, cost = quality
    if cost is None:
        reject("'cost'", "is missing.", "Pass cost=, USD per request, or an Outcomes: pivot_outcomes(outcomes).")
    quality = check_matrix(quality, "quality", 0.0, 1.0, missing=missing)
    cost = spread_prices(cost, quality)
    if isinstance(cost, pd.DataFrame) and cost.index.equals(quality.index):
        cost = cost.set_axis(quality.index)  # one index, whose ids are compared once
    cost = check_matrix(cost, "cost", missing=missing)
    for a, b, axis in ((quality.index, cost.index, "prompt_id"), (quality.columns, cost.columns, "model")):
        odd = () if a.equals(b) else a.symmetric_difference(b)
        if len(odd):
            remedy = "Select the same rows and columns of both, as pivot_outcomes returns them."
            wrong = f"{axis} {shown(odd)} is in one and not in the other."
            reject("'quality' and 'cost'", wrong, id_remedy(a, b, ("quality", "cost"), remedy))
    if not quality.index.equals(cost.index) or not quality.columns.equals(cost.columns):
        cost = cost.reindex(index=quality.index, columns=quality.columns)
    return Outcomes.checked(quality, cost, complete=not missing)


def models_of(quality: Any) -> pd.Index:
    """Return the models of a frame of prompts x models, or say that it is none.

    Examples
    --------
    >>> models_of(pd.DataFrame({"small": [0.5]})).tolist()
    ['small']
    """
    if isinstance(quality, Outcomes):
        return quality.models
    frame = by_prompt(quality)
    if not isinstance(frame, pd.DataFrame):
        reject("'quality'", f"expected a DataFrame (prompts x models), got {kind_of(quality)}.", "See pivot_outcomes.")
    return frame.columns


def check_model(model: str, models: Iterable[str], parameter: str) -> str:
    """Check that `model` is one of `models`.

    Examples
    --------
    >>> check_model("gpt-4", ["gpt-4", "small"], "baseline")
    'gpt-4'
    """
    names = list(models)
    if model not in names:
        refuse_parameter(parameter, f"one of the models {shown(names, 20)}", model)
    return model


def check_embeddings(X: Any, *, n_features: int | None = None, name: str = "X") -> NDArray[np.float32]:
    """Return embeddings as a finite float32 array of shape (n_prompts, n_features).

    Parameters
    ----------
    X : DataFrame or array of shape (n_prompts, n_features)
        Embeddings.
    n_features : int, optional
        The width that was seen at fit.
    name : str, default 'X'
        The name that the error uses.

    Examples
    --------
    >>> check_embeddings([[1, 0]]).dtype
    dtype('float32')
    """
    values = _as_float32(by_prompt(X), name)
    if values.ndim != 2 or not values.shape[0]:
        wrong = f"expected shape (n_prompts, n_features), got {values.shape}."
        reject(f"'{name}'", wrong, "Pass rows, e.g. X.loc[[prompt_id]] for one.")
    if n_features is not None and values.shape[1] != n_features:
        wrong = f"has {values.shape[1]} features, and fit saw {n_features}."
        reject(f"'{name}'", wrong, "Use the embedder that made the training embeddings.")
    with np.errstate(over="ignore", invalid="ignore"):
        bad = np.flatnonzero(~np.isfinite(values.sum(axis=1)))  # a sum tells, and needs no second array of that size
    bad = bad[~np.isfinite(values[bad]).all(axis=1)]
    if len(bad):
        reject(f"'{name}'", f"holds NaN or infinity in row {shown(bad)}.", "Embed those prompts again or drop them.")
    return values


def _as_float32(X: Any, name: str) -> NDArray[np.float32]:
    remedy = "Embed prompts first, e.g. SentenceEmbedder()."
    if hasattr(X, "toarray"):
        reject(
            f"'{name}'", f"expected a dense array, got {kind_of(X)}.", "Call X.toarray(), or reduce it (LsaEmbedder)."
        )
    kinds = X.dtypes if isinstance(X, pd.DataFrame) else [getattr(X, "dtype", None)]
    odd = next((kind for kind in kinds if getattr(kind, "kind", "f") in "mMcSUV"), None)
    if odd is not None:
        reject(f"'{name}'", f"expected numbers, got {odd}.", remedy)
    try:
        if isinstance(X, pd.DataFrame) and not all(isinstance(kind, np.dtype) for kind in kinds):
            X = pd.DataFrame({place: plain(X.iloc[:, place]) for place in range(X.shape[1])}).to_numpy()
        values = np.asarray(X)
        if values.dtype.kind in "mMcSUV" or (values.dtype == object and any(isinstance(v, str) for v in values.flat)):
            reject(f"'{name}'", f"expected numbers, got {shown(values.flat, 2)}.", remedy)
        with np.errstate(over="ignore"):  # an infinity is refused below
            return values.astype(np.float32, copy=False)
    except (TypeError, ValueError, OverflowError) as error:
        if isinstance(error, TableError):
            raise
        reject(f"'{name}'", f"expected numbers: {error}.", remedy)


def unit_rows(values: NDArray[Any]) -> NDArray[np.float32]:
    """Scale rows to length 1 in float32; a row of zeros stays as it is, and so is similar to nothing.

    Examples
    --------
    >>> unit_rows(np.array([[3.0, 4.0], [0.0, 0.0]]))
    array([[0.6, 0.8],
           [0. , 0. ]], dtype=float32)
    """
    values = np.asarray(values)
    scaled = np.empty(values.shape, dtype=np.float32)
    for start in range(0, len(values), 2**14):  # millions of rows leave no memory for all in float64
        rows = values[start : start + 2**14].astype(np.float64)
        lengths = np.linalg.norm(rows, axis=1, keepdims=True)
        scaled[start : start + 2**14] = rows / np.where(lengths > 0, lengths, 1)
    return scaled
