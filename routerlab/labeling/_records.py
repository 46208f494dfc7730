"""Records of a vote log: their form, what they add up to, and how the file is read."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from routerlab.labeling._errors import LogError, StaleVote
from routerlab.schema import WINNERS, reject, shown

VOTE_COLUMNS = (
    "prompt_id", "model_a", "model_b", "winner", "judge", "judged_at", "note", "pair_id", "repeat_of", "side_seed",
    "propensity", "chosen_by", "intent", "seconds", "nonce",
)  # fmt: skip
_FIELDS = {
    "vote": ("nonce", "pair_id", "prompt_id", "model_a", "model_b", "winner"),
    "skip": ("nonce", "pair_id", "prompt_id", "model_a", "model_b"),
    "note": ("nonce", "pair_id", "note"),
    "undo": ("nonce", "undoes"),
}


def record_problem(record: Any) -> str | None:
    """Say what is wrong with a record, None if nothing is."""
    if not isinstance(record, Mapping):
        return f"is no record but {type(record).__name__}"
    kind = record.get("type")
    if not isinstance(kind, str) or kind not in _FIELDS:
        return f"has type {kind!r}, expected one of {', '.join(_FIELDS)}"
    missing = [name for name in _FIELDS[kind] if record.get(name) is None]
    if missing:
        return f"of type {kind!r} lacks {shown(missing)}"
    if not all(isinstance(record[name], str) for name in ("nonce", "pair_id") if name in _FIELDS[kind]):
        return "has a nonce or pair_id that is not text"
    if kind == "vote" and record["winner"] not in WINNERS:
        return f"has winner {record['winner']!r}, expected one of {', '.join(WINNERS)}"
    return None


def check_record(record: Mapping[str, Any]) -> dict[str, Any]:
    """Insist on a record that the log can hold and give back unchanged."""
    problem = record_problem(record)
    if problem:
        reject("vote record", f"{problem}.", "Make it with Pair.vote or Pair.skip.")
    if record["type"] == "undo":
        reject("vote record", "is an undo.", "Call VoteLog.undo(), which takes back the latest vote.")
    plain = dict(record)
    try:
        text = json.dumps(plain, allow_nan=False)
    except (TypeError, ValueError) as error:
        reject("vote record", f"holds something that JSON cannot: {error}.", "Use text, numbers, lists and dicts only.")
    return json.loads(text)


@dataclass
class LogState:
    """What the records read so far add up to."""

    records: list[dict[str, Any]] = field(default_factory=list)
    nonces: set[str] = field(default_factory=set)
    by_nonce: dict[str, dict[str, Any]] = field(default_factory=dict)  # votes and skips
    stack: dict[str, None] = field(default_factory=dict)  # nonces of those that count, oldest first
    open_pairs: dict[str, str] = field(default_factory=dict)  # pair_id -> nonce of what decided it
    notes: dict[str, str] = field(default_factory=dict)  # nonce -> note added later
    n_votes: int = 0

    def add(self, record: dict[str, Any]) -> bool:
        """Apply a record; False if it is a duplicate that must not count."""
        nonce, kind = record["nonce"], record["type"]
        if nonce in self.nonces or (kind in ("vote", "skip") and record["pair_id"] in self.open_pairs):
            return False
        self.records.append(record)
        self.nonces.add(nonce)
        if kind in ("vote", "skip"):
            self.by_nonce[nonce] = record
            self.stack[nonce] = None
            self.open_pairs[record["pair_id"]] = nonce
            self.n_votes += kind == "vote"
        elif kind == "undo" and record["undoes"] in self.stack:
            del self.stack[record["undoes"]]
            undone = self.by_nonce[record["undoes"]]
            del self.open_pairs[undone["pair_id"]]
            self.n_votes -= undone["type"] == "vote"
        elif kind == "note" and record["pair_id"] in self.open_pairs:
            self.notes[self.open_pairs[record["pair_id"]]] = record["note"]
        return True

    def refuse_stale(self, record: dict[str, Any], path: Path) -> None:
        """Raise `StaleVote` for a record that is in the log, or whose pair is decided."""
        if record["nonce"] in self.nonces:
            msg = f"Vote log {path}: this {record['type']} is recorded already (nonce {record['nonce']!r})."
            raise StaleVote(msg, recorded=True)
        if record["type"] in ("vote", "skip") and record["pair_id"] in self.open_pairs:
            msg = f"Vote log {path}: pair {record['pair_id']!r} has been decided. Undo that first to change it."
            raise StaleVote(msg, recorded=False)

    def votes(self) -> list[dict[str, Any]]:
        """Return the votes that count, with notes that were added later."""
        rows = (self.by_nonce[nonce] for nonce in self.stack)
        return [{**r, "note": self.notes.get(r["nonce"], r.get("note"))} for r in rows if r["type"] == "vote"]


def votes_frame(votes: Iterable[Mapping[str, Any]], *, rater: str, dataset_id: str) -> pd.DataFrame:
    """Return votes as a table with fixed first columns."""
    rows = [{**{k: v for k, v in vote.items() if k not in ("type", "n")}, "judge": rater} for vote in votes]
    extra = dict.fromkeys(key for row in rows for key in row if key not in VOTE_COLUMNS)
    frame = pd.DataFrame(rows, columns=[*VOTE_COLUMNS, *extra])
    frame["judged_at"] = pd.to_datetime(frame["judged_at"], utc=True, format="ISO8601", errors="coerce")
    frame.attrs["dataset_id"] = dataset_id
    return frame


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line of the log that could not be read; it stays in the file."""

    line: int
    n_bytes: int
    reason: str
    text: str


@dataclass(frozen=True, slots=True)
class LogReport:
    """What reading a log found.

    Attributes
    ----------
    n_records, n_votes : int
        Records, and votes that count.
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
        """Whether every line could be read and no number is missing."""
        return not self.bad_lines and not self.lost

    def __str__(self) -> str:
        """Return one sentence, and one for each kind of damage."""
        text = f"{self.path.name}: {self.n_records} records, {self.n_votes} votes."
        for bad in self.bad_lines:
            text += f" Line {bad.line} ({bad.n_bytes} bytes) {bad.reason}; it was left in the file and does not count."
        if self.lost:
            text += f" Acknowledged records {shown(self.lost)} cannot be read: look at the lines above, or at a backup."
        elif self.bad_lines:
            text += " No acknowledged vote is missing."
        return text


class Reader:
    """Reads a log forward, whole lines at a time, and never again what it has read."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.header: dict[str, Any] | None = None
        self.state = LogState()
        self._offset = self._line = 0
        self._bad: list[BadLine] = []
        self._numbers: set[int] = set()

    def refresh(self, *, heal: bool = False) -> None:
        """Read the lines added since; with `heal` (only under the lock) end a torn last line, so that it is read."""
        from routerlab.labeling._log import append_durably

        try:
            with self.path.open("rb") as handle:
                size = handle.seek(0, 2)
                if size < self._offset:
                    msg = f"Vote log {self.path}: has become shorter. Something else rewrote it: restore it from a backup."
                    raise LogError(msg)
                handle.seek(self._offset)
                data = handle.read()
        except OSError as error:
            msg = f"Vote log {self.path}: cannot be read ({error.strerror or error}). Put it back, or open a new log."
            raise LogError(msg) from error
        if heal and data and not data.endswith(b"\n"):
            append_durably(self.path, b"\n")
            data += b"\n"
        for line in data.split(b"\n")[:-1]:
            self._offset += len(line) + 1
            self._line += 1
            self._read(line)

    def torn_at_birth(self, start: str) -> bool:
        """Whether the file holds nothing but the beginning of a header: a crash while it was made."""
        bad = self._bad[0].text if len(self._bad) == 1 else None
        return self.header is None and bad is not None and (bad.startswith(start) or start.startswith(bad))

    def report(self) -> LogReport:
        """Summarise what was read."""
        lost = sorted(set(range(1, max(self._numbers, default=0) + 1)) - self._numbers)
        return LogReport(self.path, len(self.state.records), self.state.n_votes, tuple(self._bad), tuple(lost))

    def _read(self, line: bytes) -> None:
        if not line.strip():
            return
        try:
            record = json.loads(line.decode("utf-8"))
        except ValueError:
            self._reject(line, "is torn or damaged")
            return
        if self.header is None and not self.state.records:
            self.header = record if isinstance(record, dict) else {}
            return
        problem = record_problem(record)
        if problem:
            self._reject(line, problem)
            return
        if isinstance(record.get("n"), int):
            self._numbers.add(record["n"])
        if not self.state.add(record):
            self._reject(line, "repeats an earlier vote")

    def _reject(self, line: bytes, reason: str) -> None:
        text = line[:200].decode("utf-8", "replace")
        self._bad.append(BadLine(self._line, len(line), reason, text))
