"""Calls and feedback as columns while a file of captures is read: a list of dicts takes ten times the memory."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable, Sequence
from itertools import chain
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
_KNOWN = frozenset((*_CALL_COLUMNS, *_ELSEWHERE))
_OBJECTS = tuple(name for name in (*_CALL_COLUMNS, "prompt", "response") if name not in (*_NUMBERS, "at"))
_NAMES = frozenset(_OBJECTS) - {"prompt", "response", "failures", "rested", "error"}  # come again and again
_TEXTS = ("model", "prompt", "provenance")
_AMOUNTS = ("input_tokens", "output_tokens", "cost_usd", "latency_s", "lost_usd")  # never below 0
_NOTHING: list[Any] = []  # one for all calls without failures
_AT_ONCE = 64  # calls that are taken apart together, few enough for the cache of the processor
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
        self._batch: list[Record] = []
        self._lines: list[int] = []
        self._ids: list[str] = []
        self._blank: list[int] = []
        self._objects: dict[str, list[Any]] = {name: [] for name in _OBJECTS}
        self._numbers: dict[str, list[NDArray[np.float64]]] = {name: [] for name in _NUMBERS}
        self._at: list[str | None] = []
        self._times: list[pd.Series] = []
        self._extra: dict[str, list[Any]] = {}
        self._same: dict[str, str] = {}
        self._estimates: dict[str, dict[tuple[str, ...], list[tuple[list[int], NDArray[np.float64]]]]]
        self._estimates = {"quality": {}, "cost": {}}

    def add(self, line: int, record: Any) -> None:
        """Take what a line holds."""
        if not isinstance(record, dict) or not isinstance(record.get("request_id"), str):
            self.bad.append((line, _CANNOT))
        elif record.get("type") == "call":
            self._batch.append(record)
            self._lines.append(line)
            if len(self._batch) == _AT_ONCE:
                self.flush()
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
            for line, record in zip(self._lines, self._batch, strict=True):
                try:
                    self._take_apart([record])
                except _OddError as error:
                    self.bad.append((line, str(error)))
            self.bad.sort()
        self._batch, self._lines = [], []

    def _take_apart(self, calls: list[Record]) -> None:
        objects = {name: [call.get(name, math.nan) for call in calls] for name in _OBJECTS}
        for name in _TEXTS:
            _insist(name, objects[name], {str, type(None)})
        numbers = {name: _floats(name, [call.get(name) for call in calls]) for name in _NUMBERS}
        estimates = [(name, *group) for name in self._estimates for group in _grouped(name, calls)]
        # From here on nothing fails: a batch is taken as a whole or not at all.
        n, same = len(self._ids), self._same
        self._ids += [call["request_id"] for call in calls]
        self._blank += [n + k for k, p in enumerate(objects["prompt"]) if type(p) is str and (not p or p.isspace())]
        for name, values in objects.items():
            if name in _NAMES:
                values = [same.setdefault(value, value) if type(value) is str else value for value in values]
            elif name in ("failures", "rested"):
                values = [value if value or type(value) is not list else _NOTHING for value in values]
            self._objects[name] += values
        for name, array_ in numbers.items():
            self._numbers[name].append(array_)
        for name, models, rows, cells in estimates:
            self._estimates[name].setdefault(models, []).append(([n + row for row in rows], cells))
        self._at += [at if isinstance(at := call.get("at"), str) else None for call in calls]
        if len(self._at) >= _TIMES_AT_ONCE:
            self._keep_times()
        for call in calls:
            if not _KNOWN.issuperset(call):
                for name in [name for name in call if name not in _KNOWN and name not in self._extra]:
                    self._extra[name] = [math.nan] * n
        for name, values in self._extra.items():
            values += [call.get(name, math.nan) for call in calls]

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
        return chain(_CALL_COLUMNS, self._extra)

    def take(self, name: str, rows: Rows) -> Any:
        """Return a column in the order of `rows`, and forget it."""
        if name in self._numbers:
            return np.concatenate([np.empty(0), *self._numbers.pop(name)])[rows]
        if name == "at":
            self._keep_times()
            return pd.concat(self._times, ignore_index=True).array[rows]
        objects = (self._extra if name in self._extra else self._objects)[name]
        values = np.empty(len(objects), dtype=object)
        values[:] = objects
        objects.clear()
        return pd.Series(values[rows], copy=False).infer_objects().array

    def estimates(self, name: str, rows: Rows, index: pd.Index) -> pd.DataFrame:
        """Return the router's estimates, one row for each call that it routed."""
        groups = self._estimates.pop(name)
        models = list(dict.fromkeys(chain.from_iterable(groups)))
        values = np.full((len(self._ids), len(models)), np.nan)
        for names, parts in groups.items():
            columns = [models.index(model) for model in names]
            for places, cells in parts:
                values[np.ix_(places, columns)] = cells
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


def _insist(name: str, values: Sequence[Any], types: set[type]) -> None:
    if not set(map(type, values)) <= types:
        for value in values:
            if type(value) not in types and value is not math.nan:
                raise _OddError(name, value)


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


def _grouped(name: str, calls: Sequence[Record]) -> Iterable[tuple[tuple[str, ...], list[int], NDArray[np.float64]]]:
    """Return the estimates of calls with the same models together: models, rows, and a number for each of both."""
    groups: dict[tuple[str, ...], list[int]] = {}
    for row, call in enumerate(calls):
        if value := call.get(name):
            if not isinstance(value, dict):
                raise _OddError(name, value)
            groups.setdefault(tuple(value), []).append(row)
    for models, rows in groups.items():
        try:
            cells = np.array([list(calls[row][name].values()) for row in rows], dtype=float)
        except (TypeError, ValueError, OverflowError):
            raise _OddError(name, calls[rows[0]][name]) from None
        if cells.ndim != 2:
            raise _OddError(name, calls[rows[0]][name])
        yield models, rows, cells


def _is_share(value: Any) -> bool:
    return isinstance(value, int | float) and 0 <= value <= 1
