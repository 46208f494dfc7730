"""An append-only log of one rater's votes that survives crashes, torn lines and a second process."""

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from operator import itemgetter
from pathlib import Path
from threading import RLock
from typing import Any, Literal
from uuid import uuid4

import pandas as pd

from routerlab.exceptions import LogOwnerError, NothingToUndo, ParameterError, StaleVote
from routerlab.jsonl import Kind, Log, Record, line_of, now, parse
from routerlab.labeling._shown import Shown
from routerlab.schema import WINNERS, reject, shown

VOTE_COLUMNS = (
    "prompt_id", "model_a", "model_b", "winner", "judge", "judged_at", "note", "pair_id", "repeat_of", "side_seed",
    "propensity", "chosen_by", "restricted_to", "intent", "seconds", "nonce",
)  # fmt: skip
_FIELDS = {
    "vote": ("nonce", "pair_id", "prompt_id", "model_a", "model_b", "winner"),
    "label": ("nonce", "pair_id", "prompt_id", "intent"),
    "skip": ("nonce", "pair_id", "prompt_id"),
    "note": ("nonce", "pair_id", "note"),
    "rename": ("nonce", "intent", "to"),
    "undo": ("nonce", "undoes"),
}
_OF_A_VOTE = itemgetter(*_FIELDS["vote"])
_DECISIONS = ("vote", "label", "skip")
REPEATS = "repeats an earlier decision"
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


def record_problem(record: Any) -> str | None:
    """Say what is wrong with a record, None if nothing is."""
    if not isinstance(record, Mapping):
        return f"is {type(record).__name__}, not a record"
    kind = record.get("type")
    if not isinstance(kind, str) or kind not in _FIELDS:
        return f"has type {kind!r}, expected one of {', '.join(_FIELDS)}"
    missing = [name for name in _FIELDS[kind] if record.get(name) is None]
    if missing:
        return f"of type {kind!r} lacks {shown(missing)}"
    odd = [
        name for name in ("nonce", "pair_id", "undoes", "repeat_of") if not isinstance(record.get(name, ""), str | None)
    ]
    if odd:
        return f"has a {shown(odd)} that is not text"
    odd = [n for n in ("prompt_id", "model_a", "model_b") if not isinstance(record.get(n, ""), str | int | float)]
    if odd:
        return f"has a {shown(odd)} that is neither text nor a number"
    if kind == "vote" and record["winner"] not in WINNERS:
        return f"has winner {record['winner']!r}, expected one of {', '.join(WINNERS)}"
    if kind == "vote" and record["model_a"] == record["model_b"]:
        return f"compares {record['model_a']!r} with itself"
    return None


def _at_a_glance(vote: Mapping[str, Any]) -> tuple[str, tuple[Any, ...]] | None:
    """Return the nonce of a vote as nearly all are, and what it is about; None asks for a closer look."""
    try:
        nonce, pair_id, prompt_id, a, b, winner = _OF_A_VOTE(vote)
    except KeyError:
        return None
    usual = type(nonce) is type(pair_id) is type(prompt_id) is type(a) is type(b) is str
    if not usual or a == b or winner not in WINNERS or vote.get("repeat_of") is not None:
        return None
    return nonce, (prompt_id, a, b, False) if a < b else (prompt_id, b, a, False)


def check_record(record: Mapping[str, Any]) -> Record:
    """Insist on a record that the log can hold, and return it as the log will give it back."""
    problem = record_problem(record)
    if problem:
        reject("vote record", f"{problem}.", "Make it with Pair.vote, Pair.skip or label_record.")
    if record["type"] == "undo":
        reject("vote record", "is an undo.", "Call VoteLog.undo(), which takes back the latest decision.")
    try:
        plain = json.loads(json.dumps(dict(record), allow_nan=False))
    except (TypeError, ValueError) as error:
        reject("vote record", f"holds something that JSON cannot: {error}.", "Use text, numbers, lists and dicts only.")
    plain.pop("n", None)
    return dict(plain)


def label_record(prompt_id: Any, intent: str, *, nonce: str, judged_at: str, note: str | None = None) -> Record:
    """Return the record of an intent given to a prompt, for `VoteLog.append`.

    Parameters
    ----------
    prompt_id : str or int
        The prompt.
    intent : str
        Its intent.
    nonce : str
        See `Pair.vote`.
    judged_at : str
        Time in ISO 8601.
    note : str, optional
        The rater's remark.

    Returns
    -------
    dict
        A prompt that has a label must be undone before it is labelled again.

    Examples
    --------
    >>> label_record("p1", "cooking", nonce="n1", judged_at="2026-01-01T12:00:00+00:00")["pair_id"]
    "intent of 'p1'"
    """
    record = {"type": "label", "nonce": nonce, "pair_id": f"intent of {prompt_id!r}", "prompt_id": prompt_id}
    record |= {"intent": intent, "judged_at": judged_at}
    return {**record, "note": note} if note else record


def showing(record: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return what a decision is about, whatever the sides: one for a pair, and one for its swapped repeat."""
    if "model_a" not in record:
        return (record["pair_id"],)
    a, b, repeats = str(record["model_a"]), str(record["model_b"]), record.get("repeat_of") is not None
    return (record["prompt_id"], a, b, repeats) if a < b else (record["prompt_id"], b, a, repeats)


@dataclass
class LogState:
    """What the records read so far add up to. A decision is a vote, a label or a skip.

    Records stay as the lines that they were: most are never asked for, and a dict takes many times the memory.
    """

    lines: list[bytes] = field(default_factory=list)
    by_nonce: dict[str, int] = field(default_factory=dict)  # nonce -> place in `lines`
    decided: dict[str, str] = field(default_factory=dict)  # pair_id -> nonce of what counts, the oldest decision first
    showings: set[tuple[Any, ...]] = field(default_factory=set)  # what is decided, whatever its sides
    notes: dict[str, str] = field(default_factory=dict)  # nonce of a decision -> note added later
    renamed: list[tuple[int, str, str]] = field(default_factory=list)  # place in `lines`, intent, its new name
    n_votes: int = 0

    def records(self, since: int = 0) -> list[Record]:
        """Return the records in the order of writing, the first `since` left out."""
        return [parse(line, exact=True) for line in self.lines[since:]]

    def record(self, nonce: str) -> Record:
        """Return the record with this nonce."""
        return dict(parse(self.lines[self.by_nonce[nonce]], exact=True))

    def add(self, record: Any, line: bytes) -> str | None:
        """Apply a record that was read; say why it does not count, None if it does."""
        if record is None:
            return "is torn or damaged"
        about: tuple[Any, ...] | None
        glance = _at_a_glance(record) if isinstance(record, dict) and record.get("type") == "vote" else None
        if glance is not None:
            kind, decides, nonce = "vote", True, glance[0]
            about = glance[1]
        elif problem := record_problem(record):
            return problem
        else:
            nonce, kind = record["nonce"], record["type"]
            decides = kind in _DECISIONS
            about = showing(record) if decides else None
        if nonce in self.by_nonce or (decides and (record["pair_id"] in self.decided or about in self.showings)):
            return REPEATS
        self.by_nonce[nonce] = len(self.lines)
        self.lines.append(line)
        if about is not None:
            self.decided[record["pair_id"]] = nonce
            self.showings.add(about)
            self.n_votes += kind != "skip"
        elif kind == "undo" and record["undoes"] in self.by_nonce:
            self._undo(record["undoes"])
        elif kind == "rename":
            self.renamed.append((len(self.lines), record["intent"], record["to"]))
        elif kind == "note" and record["pair_id"] in self.decided:
            self.notes[self.decided[record["pair_id"]]] = record["note"]
        return None

    def _undo(self, nonce: str) -> None:
        undone = self.record(nonce)
        if undone["type"] in _DECISIONS and self.decided.get(undone["pair_id"]) == nonce:
            del self.decided[undone["pair_id"]]
            self.showings.discard(showing(undone))
            self.n_votes -= undone["type"] != "skip"

    def refuse_stale(self, record: Record, path: Path) -> None:
        """Raise `StaleVote` for a record that is in the log, or whose pair is decided."""
        if record["nonce"] in self.by_nonce:
            msg = f"Vote log {path}: this {record['type']} is recorded already (nonce {record['nonce']!r})."
            raise StaleVote(msg, recorded=True)
        if record["type"] in _DECISIONS and (record["pair_id"] in self.decided or showing(record) in self.showings):
            msg = f"Vote log {path}: pair {record['pair_id']!r} is decided already. Undo that first to change it."
            raise StaleVote(msg, recorded=False)

    def stands(self, nonce: str) -> bool:
        """Tell whether a decision is in the log and neither undone nor changed."""
        return nonce in self.by_nonce and self.decided.get(self.record(nonce).get("pair_id", "")) == nonce

    def intent(self, label: Record) -> str:
        """Return the intent of a label under the name that it has now."""
        name, given = label["intent"], self.by_nonce[label["nonce"]]
        for place, old, new in self.renamed:
            name = new if place > given and name == old else name
        return str(name)

    def counting(self, kind: str) -> list[Record]:
        """Return the decisions of a kind that count, oldest first, with the notes that were added later."""
        rows = map(self.record, self.decided.values())
        return [{**r, "note": self.notes.get(r["nonce"], r.get("note"))} for r in rows if r["type"] == kind]


def votes_frame(votes: Iterable[Mapping[str, Any]], dataset_id: str) -> pd.DataFrame:
    """Return votes (which name their ``judge``) as a judgments table with fixed first columns."""
    rows = [_row(vote) for vote in votes]
    extra = dict.fromkeys(key for row in rows for key in row if key not in VOTE_COLUMNS)
    frame = pd.DataFrame(rows, columns=[*VOTE_COLUMNS, *extra], dtype=object)
    for name in frame:
        with suppress(UnicodeEncodeError):  # pyarrow holds no lone surrogates: then the column stays as it is
            frame[name] = frame[name].infer_objects()
    frame["judged_at"] = pd.to_datetime(frame["judged_at"], utc=True, format="ISO8601", errors="coerce")
    frame.attrs["dataset_id"] = dataset_id
    return frame


def _row(vote: Mapping[str, Any]) -> Record:
    """Return a vote as a row; each criterion is a column of its own."""
    row = {key: value for key, value in vote.items() if key not in ("type", "n", "criteria", "strength")}
    for name, prefix in (("criteria", "criterion_"), ("strength", "strength_")):
        values = vote.get(name)
        if isinstance(values, Mapping):
            row |= {f"{prefix}{criterion}": value for criterion, value in values.items()}
        elif values is not None:
            row[name] = values
    return row


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


class Lock:
    """Lets one thread in at a time, the same one again; Jupyter may handle messages on a thread of its own.

    What holds one can be copied and pickled: the copy has a lock of its own.
    """

    def __init__(self) -> None:
        self._lock = RLock()

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    def __reduce__(self) -> tuple[type["Lock"], tuple[()]]:
        return Lock, ()


class Reader:
    """Reads a log, and later only what was added to it.

    The header of a new one says what is in `about` besides its format; `timeout` is in seconds, for others that write.
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


@dataclass(frozen=True, slots=True)
class Ack:
    """What `VoteLog.append` returns once a record is on the disk.

    Attributes
    ----------
    nonce : str
        The record's nonce.
    pair_id : str or None
        The pair that it is about.
    number : int
        Number of the record in the log, from 1.
    n_votes : int
        Votes that count in this log, undo applied.
    """

    nonce: str
    pair_id: str | None
    number: int
    n_votes: int


class VoteLog:
    """One rater's votes, in a JSONL file that only grows.

    A record is flushed and fsynced before `append` returns. Nothing is rewritten: an undo is a record as
    well. Every append takes a file lock and first reads what others wrote: two kernels on the same log neither corrupt
    it nor record a vote twice. Lines that cannot be read stay in the file and are reported.

    Parameters
    ----------
    path : str or Path
        The file; its folder is made if need be. A folder that exists stands for ``<folder>/<rater>.jsonl``.
    rater : str
        Who votes. One log has one rater.
    dataset_id : str
        Which responses the votes are about: ``PairQueue.dataset_id``.
    lock_timeout : float, default 10
        Seconds to wait for another process that is writing.

    Attributes
    ----------
    path : Path
        The file.
    report : LogReport
        How many records the log holds, and which lines could not be read.

    Raises
    ------
    LogFormatError
        The file is not a vote log, or a newer routerlab wrote it.
    LogOwnerError
        It belongs to another rater or data set.
    LogWriteError
        It cannot be written.

    Notes
    -----
    The lock is ``<path>.lock``. On a network file system locks and fsync may not hold what they promise: keep logs on
    a local disk, one for each kernel, and use `merge_logs`.

    Examples
    --------
    >>> import tempfile
    >>> folder = tempfile.TemporaryDirectory()
    >>> log = VoteLog(Path(folder.name) / "ana.jsonl", rater="ana", dataset_id="demo")
    >>> pair = {"pair_id": "x1", "prompt_id": "p1", "model_a": "big", "model_b": "small"}
    >>> log.append({"type": "vote", "nonce": "n1", "winner": "model_a", **pair}).n_votes
    1
    >>> log.undo().n_votes
    0
    >>> print(log.report)
    ana.jsonl: 2 records, 0 votes that count.
    >>> folder.cleanup()
    """

    def __init__(self, path: str | Path, *, rater: str, dataset_id: str, lock_timeout: float = 10.0) -> None:
        path = Path(path)
        self.path = path / f"{_file_name(rater)}.jsonl" if path.is_dir() else path
        self.rater = rater
        self.dataset_id = dataset_id
        self._reader = Reader(self.path, {"rater": rater, "dataset_id": dataset_id}, lock_timeout)
        self._lock = Lock()
        with self._reader.log.locked():
            self._reader.refresh()
        self._check_owner()
        self._shown = Shown(self.path)

    def __repr__(self) -> str:
        return f"VoteLog({str(self.path)!r}, rater={self.rater!r}: {self.n_votes} votes)"

    def __len__(self) -> int:
        """Votes (or labels) that count."""
        return self.n_votes

    @property
    def n_votes(self) -> int:
        """Votes (or labels) that count, undo applied."""
        return self._reader.state.n_votes

    @property
    def can_undo(self) -> bool:
        """Whether a vote, label or skip is left to take back."""
        return bool(self._reader.state.decided)

    @property
    def report(self) -> LogReport:
        """How many records the log holds, and which lines could not be read."""
        with self._lock:
            return self._reader.report()

    def append(self, record: Mapping[str, Any], *, replaces: str | None = None) -> Ack:
        """Write a record, wait until it is on the disk, and acknowledge it.

        Parameters
        ----------
        record : mapping
            From `Pair.vote`, `Pair.skip` or `label_record`; may hold whatever else JSON can. A record of type
            'note' with ``nonce``, ``pair_id`` and ``note`` adds a note to the pair's vote.
        replaces : str, optional
            Nonce of an earlier vote or skip that this one takes the place of, however long ago: an undo of that one
            and the record are written together.

        Returns
        -------
        Ack
            Only once the record is flushed and fsynced.

        Raises
        ------
        StaleVote
            The nonce is in the log (``recorded=True``), or the pair is decided otherwise, or what was to be replaced
            does not count any more (``recorded=False``).
        LogWriteError
            Nothing was recorded: disk full, read-only, removed, locked. Send it again once that is repaired.
        TableError
            A record that lacks a field.
        """
        checked = check_record(record)
        with self._writing():
            return self._write(checked) if replaces is None else self._replace(checked, replaces)

    def undo(self, *, nonce: str | None = None) -> Ack:
        """Take back the latest vote, label or skip that still counts, by a new record.

        Parameters
        ----------
        nonce : str, optional
            Makes an undo that is sent twice count once; a random one by default.

        Returns
        -------
        Ack
            ``pair_id`` is the pair that is open again.

        Raises
        ------
        NothingToUndo
            Nothing is left to take back.
        StaleVote
            This undo has been recorded already.
        """
        with self._writing():
            decided = self._reader.state.decided
            record: Record = {"type": "undo", "nonce": nonce or uuid4().hex, "judged_at": now()}
            self._reader.state.refuse_stale(record, self.path)
            if not decided:
                msg = f"Vote log {self.path}: no vote or skip is left to undo."
                raise NothingToUndo(msg)
            pair_id = next(reversed(decided))
            return self._write({**record, "undoes": decided[pair_id], "pair_id": pair_id})

    def refresh(self) -> None:
        """Read what another process has appended since."""
        with self._lock:
            self._reader.refresh()

    @contextmanager
    def choosing(self) -> Iterator[Shown]:
        """Keep other processes from choosing pairs while this one does: two kernels of one rater show different ones.

        Yields
        ------
        Shown
            What the others show; `Shown.put` says what this one shows. It is forgotten when the process ends.
        """
        with self._lock, self._shown.locked():
            yield self._shown

    def records(self, since: int = 0) -> list[Record]:
        """Return the records in the order of writing, undone ones and undos included.

        Parameters
        ----------
        since : int, default 0
            How many to leave out at the beginning.

        Returns
        -------
        list of dict
            Copies.
        """
        with self._lock:
            return self._reader.state.records(since)

    def votes(self) -> pd.DataFrame:
        """Return the votes that count, undo applied, as a judgments table.

        Returns
        -------
        DataFrame of shape (n_votes, n_columns)
            ``model_a`` is the model on the left, ``judge`` the rater. ``prompt_id, model_a, model_b, winner, judge,
            judged_at, note, pair_id, repeat_of, side_seed, propensity, chosen_by, intent, seconds, nonce``, and
            whatever else the records hold.
        """
        with self._lock:
            rows = [{**vote, "judge": self.rater} for vote in self._reader.state.counting("vote")]
        return votes_frame(rows, self.dataset_id)

    def labels(self) -> pd.Series:
        """Return the intents given to prompts, undo and new names applied.

        Returns
        -------
        Series of shape (n_labels,)
            ``prompt_id`` -> intent.
        """
        with self._lock:
            state = self._reader.state
            labels = state.counting("label")
        index = pd.Index([r["prompt_id"] for r in labels], name="prompt_id", dtype=None if labels else object)
        return pd.Series([state.intent(r) for r in labels], index=index, name="intent", dtype=object)

    def _check_owner(self) -> None:
        header = self._reader.log.header or {}
        for name, mine in (("rater", self.rater), ("dataset_id", self.dataset_id)):
            if header.get(name) != mine:
                msg = (
                    f"Vote log {self.path}: belongs to {name} {header.get(name)!r}, not {mine!r}. Choose another file "
                    "for these votes; the log is unchanged."
                )
                raise LogOwnerError(msg)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Keep other writers out, read what they wrote, and explain what the disk refuses."""
        with self._lock, self._reader.log.locked(create=False):
            self._reader.refresh()
            try:
                yield
            except OSError as error:
                raise self._reader.log.refused(error) from error

    def _write(self, record: Record) -> Ack:
        self._reader.state.refuse_stale(record, self.path)
        return self._write_lines(record)

    def _replace(self, record: Record, nonce: str) -> Ack:
        state = self._reader.state
        if record["nonce"] in state.by_nonce:
            state.refuse_stale(record, self.path)
        if not state.stands(nonce) or showing(state.record(nonce)) != showing(record):
            msg = f"Vote log {self.path}: what was to be changed was changed or undone elsewhere."
            raise StaleVote(msg, recorded=False)
        old = state.record(nonce)
        undo = {"type": "undo", "nonce": uuid4().hex, "judged_at": now(), "undoes": nonce, "pair_id": old["pair_id"]}
        return self._write_lines(undo, {**record, "replaces": nonce})

    def _write_lines(self, *records: Record) -> Ack:
        number = self._reader.next_number
        self._reader.log.append(b"".join(line_of({"n": n, **r}) for n, r in enumerate(records, number)))
        self._reader.refresh()
        last, number = records[-1], number + len(records) - 1
        return Ack(last["nonce"], last.get("pair_id"), number, self._reader.state.n_votes)


def _file_name(rater: str) -> str:
    name = "".join(c if c.isalnum() or c in "-_." else "_" for c in rater).strip(".")
    if not any(c.isalnum() for c in name):
        msg = f"The 'rater' parameter of VoteLog must hold a letter or digit to name a file. Got {rater!r} instead."
        raise ParameterError(msg)
    return name
