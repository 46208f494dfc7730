"""The journal of a run: every record is on the disk before its slot sends the next request."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from routerlab.completions._errors import JournalError
from routerlab.disk import append_durably, file_lock, why_not_written

Record = dict[str, Any]
FORMAT, VERSION = "routerlab-completions", 1
_BIRTH = json.dumps({"format": FORMAT})[:-1].encode()  # how every header begins
_LONGEST_HEADER = 1 << 16  # bytes; a file without line ends need not be read whole to see that it is no journal
_NUMBERS = ("input_tokens", "output_tokens", "cost_usd")  # NaN here is null in the file
_ALL_NUMBERS = (*_NUMBERS, "latency_s", "spent_usd", "unsure_usd", "in_flight_usd")


@dataclass
class Journal:
    """Records of requests in a JSONL file that only grows; read once, then appended to under a lock.

    Parameters
    ----------
    path : Path
        The file; its folder is made if need be.

    Attributes
    ----------
    done : dict
        (key, sent) -> record of the reply.
    spent_usd, unsure_usd : float
        What the records say was paid, and the most that may have been billed without a reply that we could read.
    bad_lines : list of str
        Lines that could not be read, and why; they stay in the file.
    n_killed : int
        Earlier runs that did not come to their end.
    """

    path: Path
    done: dict[tuple[str, str], Record] = field(default_factory=dict)
    spent_usd: float = 0.0
    unsure_usd: float = 0.0
    bad_lines: list[str] = field(default_factory=list)
    n_killed: int = 0
    _run: str = ""
    _torn: bool = False
    _new: bool = True
    _open_runs: dict[str, float] = field(default_factory=dict)
    _open_attempts: dict[str, list[Record]] = field(default_factory=dict)

    def read(self) -> None:
        """Read what is there, if anything is; never changes the file.

        Raises
        ------
        JournalError
            A folder, some other file, a newer format.
        """
        data = self._read_bytes()
        if data is None:
            return
        lines = data.split(b"\n")
        self._torn = bool(lines.pop())
        if self._torn:
            self.bad_lines.append(f"line {len(lines) + 1} is torn: its writer was stopped while it wrote")
        self._new = not lines and _begins(data)
        if self._new:
            return
        self._check_header(lines[0] if lines else data)
        for number, line in enumerate(lines[1:], start=2):
            self._read_line(number, line)
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
        from filelock import Timeout

        # Before the lock, so that a path that is refused gets no lock file beside it.
        first = self._read_bytes(first_line=True) if self.path.exists() else None
        if first is not None and (first.endswith(b"\n") or not _begins(first)):
            self._check_header(first)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            lock = file_lock(self.path, 0)
            lock.acquire()
        except Timeout as error:
            msg = f"Journal {self.path}: another run is writing to it. Wait for it, or give this one another path."
            raise JournalError(msg) from error
        except OSError as error:
            raise self._refused(error) from error
        try:
            self.read()
            yield self
        finally:
            lock.release()

    def begin(self, in_flight_usd: float) -> None:
        """Write the first line of a run.

        Parameters
        ----------
        in_flight_usd : float
            The most that requests in flight can cost: what counts as maybe billed if the process is killed.
        """
        self._run = uuid4().hex
        header = {"format": FORMAT, "version": VERSION, "created_at": now()}
        start = {"type": "run", "run": self._run, "at": now(), "in_flight_usd": _finite(in_flight_usd)}
        data = (b"\n" if self._torn else b"") + (_line(header) if self._new else b"") + _line(start)
        try:
            if self._new and self._torn:  # the beginning of a header holds nothing: write it again
                os.truncate(self.path, 0)
                data = data[1:]
            append_durably(self.path, data, create=self._new)
        except OSError as error:
            raise self._refused(error) from error

    def append(self, lines: list[Record]) -> None:
        """Write records and wait until they are on the disk; raises `OSError` with the file as it was."""
        data = b"".join(_line(record) for record in lines)
        append_durably(self.path, data)

    def end(self, unsure_usd: float = 0.0) -> None:
        """Say that the run came to its end, and what of the requests that it dropped may have been billed."""
        self.append([{"type": "end", "run": self._run, "unsure_usd": unsure_usd}])

    def _read_bytes(self, *, first_line: bool = False) -> bytes | None:
        """Return what the file holds, or None if there is none."""
        if self.path.is_dir():
            raise JournalError(f"Journal {self.path}: is a folder. Name a file in it, e.g. responses.jsonl.")  # noqa: EM102
        try:
            with self.path.open("rb") as file:
                return file.readline(_LONGEST_HEADER) if first_line else file.read()
        except FileNotFoundError:
            return None
        except OSError as error:
            msg = f"Journal {self.path}: cannot be read ({error.strerror or error}). Check its permissions."
            raise JournalError(msg) from error

    def _check_header(self, line: bytes) -> None:
        header = _parse(line)
        if not isinstance(header, dict) or header.get("format") != FORMAT:
            msg = f"{self.path}: is no journal of completions (its first line is no header). "
            raise JournalError(msg + "Choose another path; the file is unchanged.")
        version = header.get("version")
        if not isinstance(version, int) or version > VERSION:
            msg = (
                f"Journal {self.path}: has format version {version}, and this routerlab reads up to {VERSION}. Update "
                "routerlab (pip install -U routerlab), or choose another path; the file is unchanged."
            )
            raise JournalError(msg)

    def _read_line(self, number: int, line: bytes) -> None:
        record = _parse(line)
        record = record if isinstance(record, dict) and _sound(record) else {}
        kind, has_key = record.get("type"), isinstance(record.get("key"), str)
        if kind == "run":
            self._count_open()
            self._open_runs[str(record.get("run"))] = record.get("in_flight_usd") or 0.0
        elif kind == "end":
            self._open_runs.pop(str(record.get("run")), None)
            self.unsure_usd += record.get("unsure_usd") or 0.0
        elif kind == "attempt" and has_key:
            self._open_attempts.setdefault(record["key"], []).append(record)
        elif kind == "record" and has_key and isinstance(record.get("text"), str):
            self._open_attempts.pop(record["key"], None)  # the record's sums hold them
            self._keep(record)
        elif line.strip():
            self.bad_lines.append(f"line {number} cannot be read")

    def _keep(self, record: Record) -> None:
        self._count(record)
        if record.get("error") is None:
            for name in _NUMBERS:
                record[name] = math.nan if record.get(name) is None else record[name]
            self.done[record["key"], str(record.get("sent"))] = record

    def _count(self, record: Record) -> None:
        self.spent_usd += record.get("spent_usd") or 0.0
        self.unsure_usd += record.get("unsure_usd") or 0.0

    def _count_open(self) -> None:
        """Count attempts whose request had no record when its run ended."""
        for attempts in self._open_attempts.values():
            for attempt in attempts:
                self._count(attempt)
        self._open_attempts = {}

    def _refused(self, error: OSError) -> JournalError:
        return JournalError(f"Journal {self.path}: {why_not_written(error)} No request was sent.")


def _begins(data: bytes) -> bool:
    """Tell whether this is all that a crash left while the file was made: the beginning of a header."""
    return _BIRTH.startswith(data) or data.startswith(_BIRTH)


def now() -> str:
    """Return the time in UTC, to the millisecond."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _parse(line: bytes) -> Any:
    try:
        return json.loads(line)
    except ValueError:
        return None


def _sound(record: Record) -> bool:
    """Tell whether what should be numbers of at least 0 are; a file that was edited may hold anything."""
    given = [record[name] for name in _ALL_NUMBERS if record.get(name) is not None]
    return all(isinstance(v, int | float) and not isinstance(v, bool) and 0 <= v < math.inf for v in given)


def _line(record: Record) -> bytes:
    clean = {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in record.items()}
    return (json.dumps(clean, allow_nan=False) + "\n").encode("ascii")


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
