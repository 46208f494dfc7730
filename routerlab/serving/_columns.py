"""Calls and feedback as columns while a file of captures is read: a list of dicts takes ten times the memory."""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from itertools import chain
from operator import itemgetter
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

_CALL_COLUMNS = (
    "at", "asked", "willingness_to_pay", "chosen", "model", "served_by", "abstained", "explored", "propensity",
    "provenance",
    "finish_reason", "input_tokens", "output_tokens", "cost_usd", "cost_source", "routing_s", "latency_s",
    "first_token_s", "total_s", "stream", "attempts", "failures", "rested", "error", "lost_usd",
)  # fmt: skip
_NUMBERS = (
    "willingness_to_pay", "propensity", "input_tokens", "output_tokens", "cost_usd", "routing_s", "latency_s",
    "first_token_s", "total_s", "lost_usd",
)  # fmt: skip
_ELSEWHERE = {"type", "request_id", "prompt", "response", "quality", "cost", "order"}
_ALWAYS = tuple(name for name in (*_CALL_COLUMNS, "prompt", "response") if name not in (*_NUMBERS, "at"))
_NAMES = ("asked", "chosen", "model", "served_by", "provenance", "finish_reason", "cost_source")  # come again and again
_TEXTS = ("model", "prompt", "provenance")
_AMOUNTS = ("input_tokens", "output_tokens", "cost_usd", "latency_s", "lost_usd")  # never below 0
_NOTHING: list[Any] = []  # one for all calls without failures
_AT_ONCE = 64  # calls that are taken apart together, few enough for the processor's cache
_TIMES_AT_ONCE = 1 << 16  # as text they take six times the memory
_CANNOT = "cannot be read"

Record = dict[str, Any]
Rows = NDArray[np.intp] | slice


class Columns:
    """What `read_captured` keeps of each line.

    Attributes
    ----------
    judged : list of str
        The request_id of each feedback.
    bad : list of (int, str)
        Numbers of the lines that hold no such record, and what is wrong.
    """

    def __init__(self) -> None:
        self.judged: list[str] = []
        self.bad: list[tuple[int, str]] = []
        self._shares = array("d")
        self._names: tuple[str, ...] = ()  # of the calls in the batch, and how to get at their values
        self._values: Callable[[Record], tuple[Any, ...]] = itemgetter("request_id", "type")
        self._batch: list[tuple[Any, ...]] = []
        self._lines: list[int] = []
        self._ids: list[str] = []
        self._blank: list[int] = []
        self._objects: dict[str, list[Any]] = {name: [] for name in _ALWAYS}
        self._numbers = {name: array("d") for name in _NUMBERS}
        self._at: list[str | None] = []
        self._times: list[pd.Series] = []
        self._same: dict[str, str] = {}
        self._estimates: dict[str, dict[tuple[str, ...], tuple[array[int], array[float]]]] = {"quality": {}, "cost": {}}

    def add(self, line: int, record: Any) -> None:
        """Take what a line holds."""
        if not isinstance(record, dict) or not isinstance(record.get("request_id"), str):
            self.bad.append((line, _CANNOT))
        elif record.get("type") == "call":
            try:
                values = self._values(record) if len(record) == len(self._names) else None
            except KeyError:
                values = None
            if values is None or len(self._batch) == _AT_ONCE:
                self.flush()
                self._names = tuple(record)
                self._values = itemgetter(*record)
                values = self._values(record)
            self._batch.append(values)
            self._lines.append(line)
        elif record.get("type") == "feedback" and _is_share(record.get("quality")):
            self.judged.append(record["request_id"])
            self._shares.append(record["quality"])
        else:
            self.bad.append((line, _CANNOT))

    def flush(self) -> None:
        """Take the calls apart that wait for it; one that no table can hold is left out."""
        try:
            self._take_apart(self._batch)
        except _OddError:
            for line, call in zip(self._lines, self._batch, strict=True):
                try:
                    self._take_apart([call])
                except _OddError as error:
                    self.bad.append((line, str(error)))
            self.bad.sort()
        self._batch, self._lines = [], []

    def _take_apart(self, calls: list[tuple[Any, ...]]) -> None:
        columns = dict(zip(self._names, zip(*calls, strict=True), strict=False))
        for name in _TEXTS:
            _insist(name, columns.get(name, ()), (str, type(None)))
        numbers = {name: _floats(name, columns[name]) for name in _NUMBERS if name in columns}
        estimates = [(self._estimates[name], group) for name in self._estimates for group in _grouped(name, columns)]
        # From here on nothing fails: a batch is taken as a whole or not at all.
        n, missing = len(self._ids), [math.nan] * len(calls)
        self._ids += columns.get("request_id", ())
        self._blank += [n + k for k, p in enumerate(columns.get("prompt", ())) if p is not None and not p.strip()]
        for name in columns.keys() - self._objects.keys() - _ELSEWHERE - {*_NUMBERS, "at"}:
            self._objects[name] = [math.nan] * n
        for name, objects in self._objects.items():
            objects += self._kept(name, columns.get(name, missing))
        for name, column in self._numbers.items():
            column.frombytes(numbers[name].tobytes() if name in numbers else array("d", missing).tobytes())
        for kept, (models, rows, cells) in estimates:
            places, values = kept.setdefault(models, (array("q"), array("d")))
            places.extend(n + row for row in rows)
            values.frombytes(cells.tobytes())
        self._at += [at if isinstance(at, str) else None for at in columns.get("at", missing)]
        if len(self._at) >= _TIMES_AT_ONCE:
            self._keep_times()

    def _kept(self, name: str, values: Sequence[Any]) -> Sequence[Any]:
        """Return values of which equal names are one object, and so are empty lists."""
        if name in _NAMES and set(map(type, values)) <= {str, type(None)}:
            one = {value: self._same.setdefault(value, value) for value in set(values)}
            return [one[value] for value in values]
        if name in ("failures", "rested"):
            return [value if value or type(value) is not list else _NOTHING for value in values]
        return values

    def _keep_times(self) -> None:
        times = pd.Series(self._at, dtype=object)
        self._times.append(pd.to_datetime(times, utc=True, format="ISO8601", errors="coerce"))
        self._at = []

    def rows(self) -> tuple[Rows, pd.Index]:
        """Return which row of the columns holds each call (a request_id that comes again: the last one), and its id."""
        codes, ids = pd.factorize(np.array(self._ids, dtype=object))
        if len(ids) == len(codes):
            return slice(None), pd.Index(ids, name="prompt_id", dtype=object)
        rows = np.empty(len(ids), dtype=np.intp)
        rows[codes] = np.arange(len(codes))
        return rows, pd.Index(ids, name="prompt_id", dtype=object)

    def is_blank(self, rows: Rows) -> NDArray[np.bool_]:
        """Tell which prompts have no text: of a picture, say."""
        blank = np.zeros(len(self._ids), dtype=bool)
        blank[self._blank] = True
        return blank[rows]

    def names(self) -> Iterable[str]:
        """Return the columns of the table of calls."""
        return dict.fromkeys(chain(_CALL_COLUMNS, (name for name in self._objects if name not in _ELSEWHERE)))

    def take(self, name: str, rows: Rows, index: pd.Index) -> pd.Series:
        """Return a column in the order of `rows`, and forget it."""
        if name in self._numbers:
            return pd.Series(np.frombuffer(self._numbers.pop(name) or array("d"))[rows], index=index)
        if name == "at":
            self._keep_times()
            return pd.Series(pd.concat(self._times, ignore_index=True).array[rows], index=index)
        objects = self._objects[name]
        values = np.empty(len(objects), dtype=object)
        values[:] = objects
        objects.clear()
        column = pd.Series(values[rows], dtype=object, copy=False)
        with suppress(UnicodeEncodeError):  # pyarrow holds no lone surrogates: then the column stays as it is
            column = column.infer_objects()
        return column.set_axis(index)

    def estimates(self, name: str, rows: Rows, index: pd.Index) -> pd.DataFrame:
        """Return the router's estimates, one row for each call that it routed."""
        groups = self._estimates.pop(name)
        models = list(dict.fromkeys(chain.from_iterable(groups)))
        values = np.full((len(self._ids), len(models)), np.nan)
        for names, (places, cells) in groups.items():
            columns = np.array([models.index(model) for model in names], dtype=np.intp)
            row = np.frombuffer(places, dtype=np.int64)
            values[row[:, None], columns] = np.frombuffer(cells).reshape(-1, len(names))
        frame = pd.DataFrame(values[rows], index=index, columns=pd.Index(models, name="model"))
        notes = [note for note in dict.fromkeys(self._objects["provenance"]) if isinstance(note, str) and note]
        frame.attrs = {"provenance": "; ".join(notes)} if notes else {}
        return frame.dropna(how="all") if frame.isna().all(axis=1).any() else frame

    def feedback(self) -> pd.Series:
        """Return the latest feedback on each call."""
        shares = pd.Series(np.frombuffer(self._shares), index=pd.Index(self.judged, dtype=object))
        return shares[~shares.index.duplicated(keep="last")]


class _OddError(ValueError):
    """A record that no table can hold."""

    def __init__(self, name: str, value: Any) -> None:
        super().__init__(f"cannot be read ({name} is {str(value)[:40]!r})")


def _insist(name: str, values: Sequence[Any], types: tuple[type, ...]) -> None:
    if not set(map(type, values)) <= set(types):
        raise _OddError(name, next(value for value in values if type(value) not in types))


def _floats(name: str, values: Sequence[Any]) -> NDArray[np.float64]:
    """Return numbers, NaN for null and for text that is no number; what else there may be is odd."""
    try:
        array_ = np.array(values, dtype=float)
    except (TypeError, ValueError, OverflowError):
        array_ = np.array([_float(name, value) for value in values])
    if array_.ndim != 1 or (name in _AMOUNTS and ((array_ < 0) | (array_ == math.inf)).any()):
        raise _OddError(name, values[0])
    return array_


def _float(name: str, value: Any) -> float:
    try:
        return math.nan if value is None else float(value)
    except (TypeError, OverflowError):
        raise _OddError(name, value) from None
    except ValueError:
        return math.nan


def _grouped(
    name: str, columns: dict[str, tuple[Any, ...]]
) -> Iterable[tuple[tuple[str, ...], list[int], NDArray[np.float64]]]:
    """Return the estimates of calls with the same models together: models, rows, and a number for each of both."""
    groups: dict[tuple[str, ...], list[int]] = {}
    values = columns.get(name, ())
    _insist(name, values, (dict, type(None)))
    for row, value in enumerate(values):
        if value:
            groups.setdefault(tuple(value), []).append(row)
    for models, rows in groups.items():
        try:
            cells = np.array([list(values[row].values()) for row in rows], dtype=float)
        except (TypeError, ValueError, OverflowError):
            raise _OddError(name, values[rows[0]]) from None
        if cells.ndim != 2:
            raise _OddError(name, values[rows[0]])
        yield models, rows, cells


def _is_share(value: Any) -> bool:
    return isinstance(value, int | float) and 0 <= value <= 1
