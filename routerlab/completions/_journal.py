"""The journal of a run: every record is on the disk before its slot sends the next request."""

from __future__ import annotations

import math
import os
from array import array
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

from routerlab.exceptions import JournalError
from routerlab.jsonl import Kind, Log, Record, line_of, now, parse

FORMAT, VERSION = "routerlab-completions", 1
KIND = Kind(
    FORMAT,
    VERSION,
    "Journal",
    "journal of completions",
    busy="another run is writing to it. Wait for it, or give this one another path.",
    safe="No request was sent.",
    format_error=JournalError,
    write_error=JournalError,
    read_error=JournalError,
)
_NUMBERS = ("input_tokens", "output_tokens", "cost_usd")  # NaN here is null in the file
_MOST = 1e300  # what a float can hold, with room for sums
_ALL_NUMBERS = (*_NUMBERS, "latency_s", "spent_usd", "unsure_usd", "in_flight_usd")


class Replies(Mapping[tuple[str, str], Record]):
    """(key, sent) -> record of the reply, which stays in the file until it is asked for.

    Parameters
    ----------
    log : Log
        The journal's.
    """

    def __init__(self, log: Log) -> None:
        self._log = log
        self._places: dict[str, dict[str, int]] = {}  # sent -> key -> where its line begins

    def add(self, key: str, sent: str, place: int) -> None:
        """Note where the line of a reply begins; a later one counts."""
        self._places.setdefault(sent, {})[key] = place

    def __getitem__(self, key: tuple[str, str]) -> Record:
        place = self._places[key[1]][key[0]]
        try:
            with self._log.real.open("rb") as file:
                file.seek(place)
                record = parse(file.readline(), exact=True)
        except OSError as error:
            raise self._log.refused(error) from error
        if not isinstance(record, dict) or record.get("key") != key[0]:
            msg = f"Journal {self._log.path}: something else rewrote it. Restore it from a backup."
            raise JournalError(msg)
        return record | {name: math.nan for name in _NUMBERS if record.get(name) is None}

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return ((key, sent) for sent, keys in self._places.items() for key in keys)

    def __len__(self) -> int:
        return sum(map(len, self._places.values()))

    def __contains__(self, key: object) -> bool:
        return isinstance(key, tuple) and key[0] in self._places.get(key[1], ())


@dataclass
class Journal:
    """Records of requests in a JSONL file that only grows; read once, then appended to under a lock.

    Parameters
    ----------
    path : Path
        The file; its folder is made if need be.

    Attributes
    ----------
    done : mapping
        (key, sent) -> record of the reply.
    output_tokens : dict
        (model, served_by) -> output tokens of its replies, as far as they are known.
    spent_usd, unsure_usd : float
        What the records say was paid, and the most that may have been billed without a reply that we could read.
    bad_lines : list of str
        Lines that could not be read, and why; they stay in the file.
    n_killed : int
        Earlier runs that did not come to their end.
    """

    path: Path
    done: Replies = field(init=False)
    output_tokens: dict[tuple[str, str], array[float]] = field(default_factory=dict)
    spent_usd: float = 0.0
    unsure_usd: float = 0.0
    bad_lines: list[str] = field(default_factory=list)
    n_killed: int = 0
    _run: str = ""
    _open_runs: dict[str, float] = field(default_factory=dict)
    _open_attempts: dict[str, list[Record]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._log = Log(self.path, KIND)
        self.done = Replies(self._log)

    def read(self) -> None:
        """Read what is there, if anything is; never changes the file.

        Raises
        ------
        JournalError
            A folder, some other file, a newer format.
        """
        self._log.check()
        if not os.path.exists(self._log.real):
            return
        for number, record, line in self._log.read("read"):
            self._read_line(number, record, self._log.offset - len(line) - 1)
        self._count_open()
        self.n_killed = len(self._open_runs)
        self.unsure_usd += sum(self._open_runs.values())

    @contextmanager
    def locked(self) -> Iterator[Journal]:
        """Keep other processes out, and read what is there.

        Raises
        ------
        JournalError
            Another process is writing; the disk refuses.
        """
        with self._log.locked():
            self.read()
            yield self

    def begin(self, in_flight_usd: float) -> None:
        """Write the first line of a run.

        Parameters
        ----------
        in_flight_usd : float
            The most that requests in flight can cost: what counts as maybe billed if the process is killed.
        """
        self._run = uuid4().hex
        try:
            self.append([{"type": "run", "run": self._run, "at": now(), "in_flight_usd": in_flight_usd}])
        except OSError as error:
            raise self._log.refused(error) from error

    def append(self, records: list[Record]) -> None:
        """Write records and wait until they are on the disk; raises `OSError` with the file as it was."""
        self._log.append(b"".join(line_of(_without_nan(record)) for record in records))

    def end(self, unsure_usd: float = 0.0) -> None:
        """Say that the run came to its end, and what of the requests that it dropped may have been billed."""
        self.append([{"type": "end", "run": self._run, "unsure_usd": unsure_usd}])

    def _read_line(self, number: int, record: object, place: int) -> None:
        if not isinstance(record, dict) or not _sound(record):
            torn = record is None and self._log.torn
            state = "is torn: its writer was stopped while it wrote" if torn else "cannot be read"
            self.bad_lines.append(f"line {number} {state}")
            return
        kind, key = record.get("type"), record.get("key")
        if kind == "record" and isinstance(key, str) and isinstance(record.get("text"), str):
            self._open_attempts.pop(key, None)  # the record's sums hold them
            self._count(record)
            if record.get("error") is None:
                self.done.add(key, str(record.get("sent")), place)
                if (n := record.get("output_tokens")) is not None:
                    at = str(record.get("model")), str(record.get("served_by"))
                    self.output_tokens.setdefault(at, array("d")).append(n)
        elif kind == "attempt" and isinstance(key, str):
            self._open_attempts.setdefault(key, []).append(record)
        elif kind == "run":
            self._count_open()
            self._open_runs[str(record.get("run"))] = record.get("in_flight_usd") or 0.0
        elif kind == "end":
            self._open_runs.pop(str(record.get("run")), None)
            self.unsure_usd += record.get("unsure_usd") or 0.0
        else:
            self.bad_lines.append(f"line {number} cannot be read")

    def _count(self, record: Record) -> None:
        self.spent_usd += record.get("spent_usd") or 0.0
        self.unsure_usd += record.get("unsure_usd") or 0.0

    def _count_open(self) -> None:
        """Count attempts whose request had no record when its run ended."""
        for attempts in self._open_attempts.values():
            for attempt in attempts:
                self._count(attempt)
        self._open_attempts = {}


def _sound(record: Record) -> bool:
    """Tell whether what should be numbers of at least 0 are; a file that was edited may hold anything."""
    for value in map(record.get, _ALL_NUMBERS):
        if value is not None and not (type(value) in (float, int) and 0 <= value < _MOST):
            return False
    return True


def _without_nan(record: Record) -> Record:
    return {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in record.items()}
