"""How a vote log is read: forward, whole lines at a time, with every unreadable line reported."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from routerlab.jsonl import Kind, Log
from routerlab.labeling._records import REPEATS, LogState
from routerlab.schema import shown

KIND = Kind(
    "routerlab-votes",
    1,
    "Vote log",
    "vote log",
    busy="another process is writing to it and does not stop. Close that one and vote again.",
    safe="Votes acknowledged before are safe.",
    fields=("rater", "dataset_id"),
)
_MOST_LOST = 1_000_000  # records in a row; a number beyond that is damage


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
    """Reads a log, and later only what was added to it.

    Parameters
    ----------
    path : Path
        The log.
    about : mapping, optional
        What the header of a new one says besides its format.
    timeout : float
        Seconds to wait for another process that writes.
    """

    def __init__(self, path: Path, about: Mapping[str, Any] | None = None, timeout: float = 0) -> None:
        self.log = Log(path, KIND, about, timeout)
        self.state = LogState()
        self.next_number = 1  # of the next record
        self._bad: list[BadLine] = []
        self._lost: set[int] = set()

    def refresh(self, tail: Literal["wait", "read"] = "wait") -> None:
        """Read what was added; `tail` as in `Log.read`."""
        add = self.state.add
        for number, record, line in self.log.read(tail):
            problem = add(record, line)
            if problem is None or problem is REPEATS:
                problem = self._number(record) or problem
            if problem:
                start = line[:200].decode("utf-8", "replace")
                self._bad.append(BadLine(number, len(line), problem, start))

    def report(self) -> LogReport:
        """Summarise what was read."""
        state, lost = self.state, tuple(sorted(self._lost))
        return LogReport(self.log.path, len(state.lines), state.n_votes, tuple(self._bad), lost)

    def _number(self, record: Mapping[str, Any]) -> str | None:
        n = record.get("n")
        if n == self.next_number:
            self.next_number += 1
        elif isinstance(n, int):
            if n > self.next_number + _MOST_LOST:
                return f"has number {n}, expected {self.next_number}"
            self._lost.discard(n)
            self._lost.update(range(self.next_number, n))
            self.next_number = max(self.next_number, n + 1)
        return None
