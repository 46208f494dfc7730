"""How a vote log is read: forward, whole lines at a time, with every unreadable line reported."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from routerlab.labeling._disk import append_durably
from routerlab.labeling._errors import LogError, LogFormatError
from routerlab.labeling._records import LogState, Record, record_problem
from routerlab.schema import shown

FORMAT, VERSION = "routerlab-votes", 1
_BIRTH = json.dumps({"format": FORMAT})[:-1]  # how every header begins


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line that could not be read and stays in the file.

    Attributes
    ----------
    line, n_bytes : int
        Number of the line, from 1, and its length.
    reason : str
        What is wrong with it.
    text : str
        Its first 200 bytes.
    """

    line: int
    n_bytes: int
    reason: str
    text: str


@dataclass(frozen=True, slots=True)
class LogReport:
    """What reading a log found; ``str(report)`` says it in words.

    Attributes
    ----------
    path : Path
        The log.
    n_records, n_votes : int
        Records, and votes (or labels) that count.
    bad_lines : tuple of BadLine
        Lines that could not be read. A torn last line was never acknowledged.
    lost : tuple of int
        Numbers of records that were acknowledged and cannot be read any more.
    """

    path: Path
    n_records: int
    n_votes: int
    bad_lines: tuple[BadLine, ...]
    lost: tuple[int, ...]

    @property
    def clean(self) -> bool:
        """Whether every line could be read and no record is missing."""
        return not self.bad_lines and not self.lost

    def __str__(self) -> str:
        """Return one sentence, and one more for each kind of damage."""
        text = f"{self.path.name}: {self.n_records} records, {self.n_votes} votes that count."
        for bad in self.bad_lines:
            text += f" Line {bad.line} ({bad.n_bytes} bytes) {bad.reason}; it stays in the file and does not count."
        if self.lost:
            return f"{text} Record {shown(self.lost)} was acknowledged and is not readable: look for a backup."
        return text if self.clean else f"{text} No acknowledged vote is missing."


class Reader:
    """Reads a log, and later only what was added to it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.header: Record | None = None
        self.state = LogState()
        self._offset = self._line = 0
        self._bad: list[BadLine] = []
        self._numbers: set[int] = set()

    def refresh(self, tail: Literal["wait", "end", "read"] = "wait") -> None:
        """Read what was added.

        A last line without its end is being written, or torn. 'wait': leave it for the next time. 'end' (for
        who holds the lock, so that it is torn): write its end and read it. 'read': read it as it is.
        """
        data = self._added()
        if data and not data.endswith(b"\n"):
            if tail == "end":
                append_durably(self.path, b"\n")
            if tail != "wait":
                data += b"\n"
        for line in data.split(b"\n")[:-1]:
            self._offset += len(line) + 1
            self._line += 1
            if line.strip():
                self._read(line)

    def report(self) -> LogReport:
        """Summarise what was read."""
        lost = sorted(set(range(1, max(self._numbers, default=0) + 1)) - self._numbers)
        return LogReport(self.path, len(self.state.records), self.state.n_votes, tuple(self._bad), tuple(lost))

    @property
    def next_number(self) -> int:
        """Number of the next record."""
        return max(self._numbers, default=0) + 1

    @property
    def torn_at_birth(self) -> bool:
        """Whether the file holds nothing, or the beginning of a header: a crash while it was made."""
        if self.header is not None or len(self._bad) > 1:
            return False
        return all(bad.text.startswith(_BIRTH) or _BIRTH.startswith(bad.text) for bad in self._bad)

    def checked_header(self) -> Record:
        """Return the header, if this version understands it."""
        header = self.header
        if header is None or header.get("format") != FORMAT or not {"version", "rater", "dataset_id"} <= set(header):
            msg = f"{self.path}: is no vote log (its first line is no header). Choose another file; it is unchanged."
            raise LogFormatError(msg)
        if not isinstance(header["version"], int) or header["version"] > VERSION:
            msg = (
                f"Vote log {self.path}: has format version {header['version']}, and this routerlab reads up to "
                f"{VERSION}. Update routerlab (pip install -U routerlab); the log is unchanged."
            )
            raise LogFormatError(msg)
        return header

    def _added(self) -> bytes:
        try:
            with self.path.open("rb") as handle:
                size = handle.seek(0, 2)
                handle.seek(self._offset)
                data = handle.read()
        except OSError as error:
            msg = f"Vote log {self.path}: cannot be read ({error.strerror or error}). Put it back, or open another."
            raise LogError(msg) from error
        if size < self._offset:
            msg = f"Vote log {self.path}: became shorter, so something else rewrote it. Restore it from a backup."
            raise LogError(msg)
        return data

    def _read(self, line: bytes) -> None:
        record = _parsed(line)
        if record is None:
            self._reject(line, "is torn or damaged")
        elif self.header is None:
            self.header = record if isinstance(record, dict) else {}
        elif problem := record_problem(record):
            self._reject(line, problem)
        else:
            if isinstance(record.get("n"), int):
                self._numbers.add(record["n"])
            if not self.state.add(record):
                self._reject(line, "repeats an earlier decision")

    def _reject(self, line: bytes, reason: str) -> None:
        self._bad.append(BadLine(self._line, len(line), reason, line[:200].decode("utf-8", "replace")))


def _parsed(line: bytes) -> Any:
    try:
        return json.loads(line.decode("utf-8"))
    except (ValueError, RecursionError):
        return None
