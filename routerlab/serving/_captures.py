"""The capture file: one JSON line for each call and each feedback, never in the way of a reply; and how it is read."""

import math
import warnings
from array import array
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from html import escape
from itertools import chain
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from routerlab.completions import ProcessLock, real_keys, renew_after_fork, tell
from routerlab.exceptions import CaptureError, CaptureWarning, LogError
from routerlab.jsonl import Kind, Log, Record, line_of, now, why_not_written
from routerlab.markup import fragment
from routerlab.schema import (
    WIN_SHARE,
    DroppedRowsWarning,
    MixedScalesWarning,
    Outcomes,
    check_outcomes,
    check_prompts,
    check_responses,
    provenance_of,
    reject,
)

__all__ = ["CaptureLog", "Record", "Redact", "now"]

_LOCK_S = 2.0  # a reply does not wait longer for another process that writes
KIND = Kind(
    "routerlab-captures",
    1,
    "Captures",
    "capture file",
    busy=f"another process held its lock for {_LOCK_S:g} s. Give each service its own file.",
    safe="",
    format_error=CaptureError,
    read_error=CaptureError,
)
_TEXTS = ("prompt", "response", "note", "message", "tool_calls", "refusal")

Redact = Callable[[Record], Mapping[str, Any] | None]
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
_TEXT_COLUMNS = ("model", "prompt", "provenance")
_AMOUNTS = ("input_tokens", "output_tokens", "cost_usd", "latency_s", "lost_usd")  # never below 0
_NOTHING: list[Any] = []  # one for all calls without failures
_AT_ONCE = 64  # calls that are taken apart together, few enough for the processor's cache
_TIMES_AT_ONCE = 1 << 16  # as text they take six times the memory
_CANNOT = "cannot be read"

Rows = NDArray[np.intp] | slice


class CaptureLog:
    """Appends records to a JSONL file from any thread and process; what it cannot write it counts.

    `secrets` returns the values that never reach the file; `n_lost` counts the records that could not be written.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        redact: Redact | None,
        store_text: bool,
        sync: bool,
        secrets: Callable[[], Iterable[str]] = tuple,
    ) -> None:
        self.path = Path(path)
        self.redact = redact
        self.store_text = store_text
        self.sync = sync
        self.n_lost = 0
        self._secrets = secrets
        self._log = Log(path, KIND, timeout=_LOCK_S)
        self._log.check()
        self._one_at_a_time = ProcessLock()
        self.after_fork()
        renew_after_fork(self)

    def after_fork(self) -> None:
        """Forget what the parent process is about to write itself."""
        self._waiting: deque[bytes] = deque()
        self._writes = False

    def write(self, record: Record) -> bool:
        """Write a record; warn and return False if that cannot be."""
        try:
            line = self._line(record)
        except Exception as error:  # whatever a redaction hook may raise: nothing unredacted is written
            what = "the record" if self.redact is None else "'redact'"
            return self.lose(f"{what} failed ({type(error).__name__}), so nothing was written. Correct the hook.")
        return line is not None and self._lose(self._write(line))

    def _write(self, line: bytes) -> list[str]:
        """Write a line and what comes meanwhile; return why lines are lost.

        A stream that the garbage collector closes in the middle of a write comes here again, in the same thread.
        """
        problems: list[str] = []
        with self._one_at_a_time:
            self._waiting.append(line)
            if self._writes:
                return []
            self._writes = True
            try:
                while self._waiting:
                    line = self._waiting.popleft()
                    try:
                        with self._log.locked():
                            self._log.append(line, sync=self.sync)
                    except LogError as error:
                        problems.append(str(error))
                    except Exception as error:  # noqa: BLE001 - whatever it is, the reply is paid for
                        problems.append(f"Captures {self.path}: {why_not_written(error)}")
            finally:
                self._writes = False
        return problems

    def _line(self, record: Record) -> bytes | None:
        kept = record if self.store_text else _without_texts(record)
        redacted = kept if self.redact is None else self.redact(kept)
        if redacted is None:
            return None
        whole = {**dict(redacted), "type": record["type"], "request_id": record["request_id"]}
        return line_of(_plain(whole, real_keys(self._secrets())))

    def lose(self, why: str) -> bool:
        """Count and warn of a record that is lost."""
        return self._lose([f"Captures {self.path}: {why}"])

    def _lose(self, problems: list[str]) -> bool:
        """Count and warn of what is lost; True if nothing is."""
        for problem in problems:
            with self._one_at_a_time:
                self.n_lost += 1
            message = f"{problem} The reply is not affected; {self.n_lost:,} captures are lost so far."
            tell(message, CaptureWarning, 3)
        return not problems


def _without_texts(value: Any) -> Any:
    """Leave out what people or models wrote, at every depth."""
    if isinstance(value, Mapping):
        return {k: _without_texts(v) for k, v in value.items() if k not in _TEXTS}
    return [_without_texts(v) for v in value] if isinstance(value, list | tuple) else value


def _plain(value: Any, keys: Sequence[str]) -> Any:
    """Take keys out, and say what JSON has no numbers for: null for a cost that nobody knows, 'inf' for a WTP."""
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else repr(value)
    if isinstance(value, str):
        for key in keys:
            value = value.replace(key, "[key]")
        return value
    if isinstance(value, Mapping):
        return {str(k): _plain(v, keys) for k, v in value.items()}
    return [_plain(v, keys) for v in value] if isinstance(value, list | tuple) else value


class Columns:
    """What `read_captured` keeps of each line.

    ``judged`` holds the request_id of each feedback, ``bad`` the numbers of the lines that hold no such record, and
    why.
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
        for name in _TEXT_COLUMNS:
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
    """Return numbers, NaN for null and for text that is not a number; anything else is odd."""
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


@dataclass(frozen=True)
class Captured:
    """What a capture file holds; ``prompt_id`` is the request_id of a call.

    Attributes
    ----------
    calls : DataFrame of shape (n_calls, n_columns)
        One row for each call, indexed by ``prompt_id``: when, what was asked, chosen and served, propensity, tokens,
        ``cost_usd`` and ``latency_s`` (of the request that was answered), ``lost_usd`` (billed for replies that could
        not be used, as far as these say; what was lost on the way may be on the bill as well), ``first_token_s``,
        ``routing_s``, ``total_s``, ``attempts`` (requests sent), failures, rested, error; ``tool_calls`` and
        ``refusal`` where a model answered so; ``cascade``, ``cascade_id`` and ``stage`` of calls that a cascade made;
        and what a redaction hook added.
    prompts : DataFrame
        Prompts table: ``prompt`` of each routed call whose text was stored.
    responses : DataFrame
        Responses table: the calls that were answered to the end.
    outcomes : DataFrame
        Outcomes table: answered calls with feedback, its latest ``quality``, ``cost_usd``, ``latency_s``.
    quality, cost : DataFrame of shape (n_routed, n_models)
        The router's estimates when it chose; NaN for models that it did not know.
    path : Path
        The file.
    bad_lines : tuple of str
        Lines that could not be read, and why.
    n_feedback, n_orphans : int
        Feedback lines, and those among them whose call is not in the file.
    """

    calls: pd.DataFrame
    prompts: pd.DataFrame
    responses: pd.DataFrame
    outcomes: pd.DataFrame
    quality: pd.DataFrame
    cost: pd.DataFrame
    path: Path
    bad_lines: tuple[str, ...]
    n_feedback: int
    n_orphans: int

    @property
    def n_handed_over(self) -> int:
        """Calls that another model answered than the one that was chosen, which had failed or rested."""
        return int((self.calls["model"].notna() & (self.calls["model"] != self.calls["chosen"])).sum())

    @property
    def cascades(self) -> pd.DataFrame:
        """Cascades that ran, as rows of an outcomes table: all their calls' cost, feedback on the answer that was kept.

        Indexed by ``cascade_id``: ``prompt_id`` of the call with feedback (else of the last one), ``model`` (the
        cascade), ``quality`` (NaN without feedback), ``cost_usd``, ``latency_s`` and ``n_calls``. What failed replies
        were billed counts; NaN where a reply's cost is not known.
        """
        columns = ["prompt_id", "model", "quality", "cost_usd", "latency_s", "n_calls"]
        if "cascade_id" not in self.calls:
            return pd.DataFrame(columns=columns, index=pd.Index([], name="cascade_id"))
        calls = self.calls[self.calls["cascade_id"].notna()].reset_index(names="prompt_id")
        calls["quality"] = calls["prompt_id"].map(self.outcomes.set_index("prompt_id")["quality"])
        unpaid = calls["model"].isna()  # no reply came: only what was lost counts
        calls["spent"] = calls["cost_usd"].where(~unpaid, 0.0) + calls["lost_usd"].fillna(0.0)
        calls = calls.sort_values("quality", na_position="first", kind="stable")
        groups = calls.groupby("cascade_id", sort=False)
        found = groups.agg(
            prompt_id=("prompt_id", "last"),
            model=("cascade", "last"),
            quality=("quality", "last"),
            latency_s=("total_s", "max"),
            n_calls=("prompt_id", "size"),
        )
        return found.assign(cost_usd=groups["spent"].agg(lambda spent: spent.sum(skipna=False)))[columns]

    def __repr__(self) -> str:
        """Say how much there is, what was spent, and what could not be read.

        Of unknown cost are calls without a price or a usage, and streams that broke off or that a reader left.
        """
        spent = self.calls[["cost_usd", "lost_usd"]].sum().sum()
        unknown = (self.calls["model"].notna() & self.calls["cost_usd"].isna()).sum()
        text = (
            f"{self.path.name}: {len(self.calls):,} calls, {len(self.responses):,} answered, {len(self.outcomes):,} "
            f"with feedback; {spent:.4g} USD" + (f" and {unknown:,} calls of unknown cost" if unknown else "")
        )
        served = self.calls["model"].value_counts()
        text += "; " + ", ".join(f"{model} {n:,}" for model, n in served.items()) if len(served) else ""
        handed = self.n_handed_over
        text += f"; {handed:,} answered by another model than the chosen one, which failed" if handed else ""
        text += f"; {self.n_orphans:,} feedbacks without their call" if self.n_orphans else ""
        return text + (f"; not readable: {'; '.join(self.bad_lines)}" if self.bad_lines else "")

    def _repr_html_(self) -> str:
        return fragment(f"<p>{escape(repr(self))}</p>")

    def complete(self) -> Outcomes:
        """Return quality and cost without gaps: measured where there is feedback, estimates elsewhere.

        A call has a measured outcome for one model, and a router needs all. The other cells, and a measured call's cost
        where it is not known, are what the router expected when it chose. What is fitted on this learns from feedback
        where models were used, and repeats the old router's opinion where they were not: ``explore=`` some calls,
        or have models answer a sample of the prompts (`routerlab.collect_responses`) and judge them.

        Returns
        -------
        Outcomes
            Named tuple ``(quality, cost)`` of shape (n_prompts, n_models), for routed calls with feedback.
            ``.quality.attrs["provenance"]``, and ``.cost``'s, say how many cells are measured.

        Warns
        -----
        DroppedRowsWarning
            If calls with feedback have no estimates for some model (a caller named the model, or models were added).
        MixedScalesWarning
            If the router was fitted on win shares (`routerlab.judged_outcomes`): feedback is on another scale.
        """
        known = self.quality.index[self.quality.notna().all(axis=1) & self.cost.notna().all(axis=1)]
        measured = self.outcomes.set_index("prompt_id")
        rows = measured.index.intersection(known)
        if len(rows) < len(measured):
            warnings.warn(
                f"Captured.complete left out {len(measured) - len(rows):,} of {len(measured):,} calls with feedback: "
                "no estimates for some model.",
                DroppedRowsWarning,
                stacklevel=2,
            )
        quality, cost = self.quality.loc[rows].copy(), self.cost.loc[rows].copy()
        n = 0
        for prompt_id, model, seen, usd in measured.loc[rows, ["model", "quality", "cost_usd"]].itertuples():
            if model in quality.columns:
                quality.loc[prompt_id, model] = seen
                n += 1
                if usd == usd:
                    cost.loc[prompt_id, model] = usd
        for prompt_id, cascade, seen, usd in self.cascades[["prompt_id", "model", "quality", "cost_usd"]].to_numpy():
            if cascade in quality.columns and prompt_id in rows and seen == seen:
                quality.loc[prompt_id, cascade] = seen
                n += 1
                if usd == usd:
                    cost.loc[prompt_id, cascade] = usd
        note = f"captured: {n:,} of {quality.size:,} cells measured by feedback, the others the router's estimates"
        fitted_on = provenance_of(self.quality)
        if fitted_on and f"quality: {WIN_SHARE}" in fitted_on:
            warnings.warn(
                f"Captured.complete mixes two scales: {n:,} cells are feedback on one reply alone, and the router's "
                "other estimates are win shares against other models. Have a judge compare replies of both to the "
                "same prompts instead (routerlab.PairwiseJudge), or fit on feedback alone.",
                MixedScalesWarning,
                stacklevel=2,
            )
            note += "; two scales are mixed, feedback and win shares"
        for frame in (quality, cost):
            frame.attrs["provenance"] = f"{note} (fitted on: {fitted_on})" if fitted_on else note
        return Outcomes(quality, cost)


def read_captured(path: str | Path) -> Captured:
    r"""Read the captures of a `RoutedClient`.

    Parameters
    ----------
    path : str or Path
        The file given as ``capture=``; may be written to meanwhile.

    Returns
    -------
    Captured
        Tables that pass the project's checks, and the router's estimates.

    Raises
    ------
    TableError
        The file is absent, not a capture file, or written by a newer routerlab.

    Warns
    -----
    CaptureWarning
        If lines cannot be read, e.g. a last one that was torn when its process was killed.

    Notes
    -----
    `Captured.complete` gives the calls with feedback alone. To keep what the old router learned from, put its training
    data on top before the fit: ``pd.concat([old_prompts["prompt"], texts])``, and likewise quality and cost.
    ``pd.concat`` drops ``attrs["provenance"]`` where the notes differ: set it on the result again, above all if the old
    data is simulated. A new router has its default willingness to pay: give it the old one's again.

    Examples
    --------
    A file as a client writes it, with one call and its feedback:

    >>> import json, tempfile
    >>> header = {"format": "routerlab-captures", "version": 1}
    >>> call = {"type": "call", "request_id": "c1", "model": "small", "chosen": "small", "prompt": "Poach an egg?"}
    >>> call |= {"response": "Simmer it.", "cost_usd": 0.001}
    >>> call |= {"quality": {"small": 0.6, "large": 0.8}, "cost": {"small": 0.002, "large": 0.01}}
    >>> feedback = {"type": "feedback", "request_id": "c1", "quality": 0.9}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "captured.jsonl"
    ...     _ = path.write_text("\n".join(json.dumps(line) for line in (header, call, feedback)) + "\n")
    ...     captured = read_captured(path)
    >>> captured
    captured.jsonl: 1 calls, 1 answered, 1 with feedback; 0.001 USD; small 1

    The whole way to the next router:

    >>> import routerlab as rl
    >>> quality, cost = captured.complete()
    >>> quality.loc["c1"].to_dict()
    {'small': 0.9, 'large': 0.8}
    >>> quality.attrs["provenance"]
    "captured: 1 of 2 cells measured by feedback, the others the router's estimates"
    >>> texts = captured.prompts.loc[quality.index, "prompt"]
    >>> old = pd.DataFrame({"prompt": ["How do I boil rice?", "Fix my SQL query"]}, index=["p1", "p2"])
    >>> old_quality = pd.DataFrame({"small": [0.9, 0.2], "large": [0.9, 0.9]}, index=old.index)
    >>> embedder = rl.LsaEmbedder().fit(old["prompt"])  # the one that the client uses
    >>> X = embedder.transform(pd.concat([old["prompt"], texts]))
    >>> quality, cost = pd.concat([old_quality, quality]), pd.concat([old_quality / 100, cost])
    >>> router = rl.KNNRouter(n_neighbors=3, willingness_to_pay=0.1).fit(X, quality, cost=cost)
    >>> router.models_.tolist()
    ['small', 'large']
    """
    path = Path(path)
    if not path.is_file():
        reject(f"Captures {path}", "is not a file.", "Give the path that the client got as capture=.")
    log, columns = Log(path, KIND), Columns()
    add = columns.add
    for number, record, _ in log.read("read"):
        add(number, record)
    columns.flush()
    bad = [f"line {n} {'is torn' if n == log.line and log.torn else wrong}" for n, wrong in columns.bad]
    if bad:
        more = f" and {len(bad) - 5} more lines" if len(bad) > 5 else ""
        warnings.warn(
            f"Captures {path}: {', '.join(bad[:5])}{more}; the others are read.", CaptureWarning, stacklevel=2
        )
    feedback = columns.feedback()
    tables = _tables(columns, feedback)
    n_orphans = len(feedback.index.difference(tables["calls"].index, sort=False))
    n_feedback = len(columns.judged)
    return Captured(**tables, path=path, bad_lines=tuple(bad), n_feedback=n_feedback, n_orphans=n_orphans)


def _tables(columns: Columns, feedback: pd.Series) -> dict[str, pd.DataFrame]:
    rows, index = columns.rows()
    quality, cost = (columns.estimates(name, rows, index) for name in ("quality", "cost"))
    texts = pd.DataFrame({name: columns.take(name, rows, index) for name in ("prompt", "response")}, index=index)
    table = pd.DataFrame({name: columns.take(name, rows, index) for name in columns.names()}, index=index)
    answered = table["model"].notna() & table["error"].isna()
    numbers = ["input_tokens", "output_tokens", "cost_usd", "latency_s"]
    replies = pd.concat([table[["model"]], texts[["response"]], table[[*numbers, "finish_reason"]]], axis=1)[answered]
    outcomes = replies.loc[replies.index.isin(feedback.index), ["model", "cost_usd", "latency_s"]]
    outcomes.insert(1, "quality", feedback.reindex(outcomes.index).to_numpy(float))
    outcomes["quality_scale"] = "feedback"
    said = texts["prompt"].notna() & ~columns.is_blank(rows)
    return {
        "calls": table,
        "prompts": check_prompts(texts.loc[said, ["prompt"]].reset_index()),
        "responses": check_responses(replies.reset_index()),
        "outcomes": check_outcomes(outcomes.reset_index()),
        "quality": quality,
        "cost": cost,
    }
