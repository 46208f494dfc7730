"""Calls and feedback as columns while a file of captures is read: a list of dicts takes ten times the memory."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable
from itertools import chain
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

_CALL_COLUMNS = (
    "at", "asked", "willingness_to_pay", "chosen", "model", "served_by", "abstained", "explored", "propensity",
    "provenance",
    "finish_reason", "input_tokens", "output_tokens", "cost_usd", "cost_source", "routing_s", "latency_s",
    "first_token_s", "total_s", "stream", "failures", "rested", "error",
)  # fmt: skip
_NUMBERS = (
    "willingness_to_pay", "propensity", "input_tokens", "output_tokens", "cost_usd", "routing_s", "latency_s",
    "first_token_s", "total_s",
)  # fmt: skip
_ELSEWHERE = {"type", "request_id", "prompt", "response", "quality", "cost", "order"}
_KNOWN = frozenset((*_CALL_COLUMNS, *_ELSEWHERE))
_OBJECTS = tuple(name for name in (*_CALL_COLUMNS, "prompt", "response") if name not in (*_NUMBERS, "at"))
_NAMES = frozenset(_OBJECTS) - {"prompt", "response", "error"}
_AMOUNTS = ("input_tokens", "output_tokens", "cost_usd", "latency_s")  # never below 0
_NOTHING: list[Any] = []  # one for all calls without failures
_AT_ONCE = 1 << 16  # times, which take six times the memory as text


class Columns:
    """What `read_captured` keeps of each line.

    Attributes
    ----------
    judged : list of str
        The request_id of each feedback.
    """

    def __init__(self) -> None:
        self.judged: list[str] = []
        self._shares = array("d")
        self._ids: list[str] = []
        self._objects: dict[str, list[Any]] = {name: [] for name in _OBJECTS}
        self._numbers = {name: array("d") for name in _NUMBERS}
        self._extra: dict[str, list[Any]] = {}
        self._same: dict[str, str] = {}  # names that come again and again, kept once
        self._texts_of_times: list[Any] = []
        self._times: list[Any] = []
        self._estimates: dict[str, dict[tuple[str, ...], tuple[array[int], array[float]]]] = {"quality": {}, "cost": {}}

    def add(self, record: Any) -> str | None:
        """Take a record; say what is wrong with it, None if nothing is."""
        if not isinstance(record, dict) or not isinstance(record.get("request_id"), str):
            return "cannot be read"
        if record.get("type") == "feedback" and (share := _share(record.get("quality"))) is not None:
            self.judged.append(record["request_id"])
            self._shares.append(share)
            return None
        if record.get("type") != "call":
            return "cannot be read"
        try:
            self._add_call(record)
        except _OddError as error:
            return str(error)
        return None

    def _add_call(self, record: dict[str, Any]) -> None:
        get, n = record.get, len(self._ids)
        for name in ("model", "prompt", "provenance"):
            if get(name) is not None and type(record[name]) is not str:
                raise _OddError(name, record[name])
        numbers = [_number(name, get(name)) for name in _NUMBERS]
        estimates = [_numbers(name, get(name)) for name in self._estimates]
        self._ids.append(record["request_id"])
        for column, number in zip(self._numbers.values(), numbers, strict=True):
            column.append(number)
        for name, values in zip(self._estimates, estimates, strict=True):
            if values:
                rows, cells = self._estimates[name].setdefault(tuple(record[name]), (array("q"), array("d")))
                rows.append(n)
                cells.extend(values)
        same = self._same
        for name, objects in self._objects.items():
            value = get(name, math.nan)
            if type(value) is str:
                if name in _NAMES:
                    value = same.setdefault(value, value)
            elif type(value) is list and not value:
                value = _NOTHING
            objects.append(value)
        if not _KNOWN.issuperset(record):
            for name in record.keys() - _KNOWN - self._extra.keys():
                self._extra[name] = [math.nan] * n
        for name, objects in self._extra.items():
            objects.append(get(name, math.nan))
        at = get("at")
        self._texts_of_times.append(at if isinstance(at, str) else None)
        if len(self._texts_of_times) == _AT_ONCE:
            self._keep_times()

    def _keep_times(self) -> None:
        times = pd.to_datetime(pd.Series(self._texts_of_times, dtype=object), utc=True, format="ISO8601", errors="coerce")
        self._times.append(times)
        self._texts_of_times = []

    def rows(self) -> tuple[NDArray[np.intp], pd.Index]:
        """Return which row of the columns holds each call (a request_id that comes again: the last one), and its id."""
        codes, ids = pd.factorize(np.array(self._ids, dtype=object))
        rows = np.empty(len(ids), dtype=np.intp)
        rows[codes] = np.arange(len(codes))
        self._ids = []
        return rows, pd.Index(ids, name="prompt_id", dtype=object)

    def names(self) -> Iterable[str]:
        """Return the columns of the table of calls."""
        return chain(_CALL_COLUMNS, self._extra)

    def take(self, name: str, rows: NDArray[np.intp]) -> Any:
        """Return a column in the order of `rows`, and forget it."""
        if name in self._numbers:
            return np.frombuffer(self._numbers.pop(name) or array("d"))[rows]
        if name == "at":
            self._keep_times()
            return pd.concat(self._times, ignore_index=True).take(rows).array
        values = np.empty(len(rows), dtype=object)
        objects = (self._extra if name in self._extra else self._objects)[name]
        values[:] = objects if len(rows) == len(objects) else [objects[row] for row in rows]
        objects.clear()
        return pd.Series(values).infer_objects().array

    def estimates(self, name: str, rows: NDArray[np.intp], index: pd.Index) -> pd.DataFrame:
        """Return the router's estimates, one row for each call that it routed."""
        parts = self._estimates[name]
        models = list(dict.fromkeys(chain.from_iterable(parts)))
        values = np.full((len(self._objects["model"]), len(models)), np.nan)
        for names, (places, cells) in parts.items():
            block = np.frombuffer(cells).reshape(-1, len(names))
            values[np.ix_(np.frombuffer(places, dtype=np.int64), [models.index(m) for m in names])] = block
        parts.clear()
        frame = pd.DataFrame(values[rows], index=index, columns=pd.Index(models, name="model"))
        notes = [note for note in dict.fromkeys(self._objects["provenance"]) if isinstance(note, str) and note]
        frame.attrs = {"provenance": "; ".join(notes)} if notes else {}
        return frame.dropna(how="all")

    def feedback(self) -> pd.Series:
        """Return the latest feedback on each call."""
        shares = pd.Series(np.frombuffer(self._shares), index=pd.Index(self.judged, dtype=object))
        return shares[~shares.index.duplicated(keep="last")]


class _OddError(ValueError):
    """A record that no table can hold."""

    def __init__(self, name: str, value: Any) -> None:
        super().__init__(f"holds {name} = {str(value)[:40]}")


def _number(name: str, value: Any) -> float:
    if type(value) is float and (value >= 0 or name not in _AMOUNTS):
        return value
    if value is None:
        return math.nan
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        if isinstance(value, str) and name in _NUMBERS:
            return math.nan
        raise _OddError(name, value) from None
    if name in _AMOUNTS and not 0 <= number < math.inf and not math.isnan(number):
        raise _OddError(name, value)
    return number


def _numbers(name: str, values: Any) -> list[float]:
    if values is None:
        return []
    if not isinstance(values, dict):
        raise _OddError(name, values)
    return [value if type(value) is float else _number(name, value) for value in values.values()]


def _share(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and 0 <= value <= 1 else None
