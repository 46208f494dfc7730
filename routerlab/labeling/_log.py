"""An append-only log of one rater's votes that survives crashes, torn lines and a second process."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pandas as pd

from routerlab.labeling._errors import (
    LogError,
    LogFormatError,
    LogOwnerError,
    LogWriteError,
    NothingToUndo,
    StaleVote,
    cannot_write,
)
from routerlab.labeling._records import LogReport, Reader, check_record, votes_frame

FORMAT, VERSION = "routerlab-votes", 1
_BIRTH = json.dumps({"format": FORMAT})[:-1]  # how every header begins


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
        Position of the record in the log, from 1.
    n_votes : int
        Votes that count in this log, undo applied.
    """

    nonce: str
    pair_id: str | None
    number: int
    n_votes: int


class VoteLog:
    """One rater's votes, in a JSONL file that only grows.

    A record is flushed and fsynced before `append` returns. Nothing is ever rewritten: undo is a
    record, too. Every append takes a file lock and first reads what others wrote, so that two kernels on the
    same log neither corrupt it nor record a vote twice. Lines that cannot be read are kept and reported.

    Parameters
    ----------
    path : str or Path
        The file; its folder is made if need be. A folder that exists stands for ``<folder>/<rater>.jsonl``.
    rater : str
        Who votes. One log has one rater.
    dataset_id : str
        Which responses the votes are about: see `dataset_id`, or ``PairQueue.dataset_id``.
    lock_timeout : float, default 10
        Seconds to wait for another process that is writing.

    Attributes
    ----------
    report : LogReport
        How many records the log holds and which lines could not be read.

    Raises
    ------
    LogFormatError
        The file is no vote log, or a newer routerlab wrote it.
    LogOwnerError
        It belongs to another rater or data set.
    LogWriteError
        It cannot be written.

    Notes
    -----
    The lock is ``<path>.lock``. On network file systems locks may not be reliable: keep logs on a
    local disk, or give each kernel a log of its own and use `merge_logs`.

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
    >>> folder.cleanup()
    """

    def __init__(self, path: str | Path, *, rater: str, dataset_id: str, lock_timeout: float = 10.0) -> None:
        from filelock import FileLock

        path = Path(path)
        self.path = path / f"{_file_name(rater)}.jsonl" if path.is_dir() else path
        self.rater = rater
        self.dataset_id = dataset_id
        self._reader = Reader(self.path)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise cannot_write(self.path, error) from error
        self._lock = FileLock(f"{self.path}.lock", timeout=lock_timeout)
        with self._locked():
            self._open()

    def __repr__(self) -> str:
        return f"VoteLog({str(self.path)!r}, rater={self.rater!r}: {self.n_votes} votes)"

    def __len__(self) -> int:
        return self.n_votes

    @property
    def n_votes(self) -> int:
        """Votes that count, undo applied."""
        return self._reader.state.n_votes

    @property
    def report(self) -> LogReport:
        """How many records the log holds and which lines could not be read."""
        return self._reader.report()

    def append(self, record: Mapping[str, Any]) -> Ack:
        """Write a record, wait until it is on the disk, and acknowledge it.

        Parameters
        ----------
        record : mapping
            From `Pair.vote` or `Pair.skip`: ``type`` 'vote' or 'skip', ``nonce``, ``pair_id``, ``prompt_id``, ``model_a``
            (left), ``model_b`` (right), for a vote ``winner``; whatever else JSON can hold. Type 'note' adds
            ``note`` to the pair's vote.

        Returns
        -------
        Ack
            Only once the record is flushed and fsynced.

        Raises
        ------
        StaleVote
            The nonce is in the log already (``recorded=True``), or the pair is (``recorded=False``).
        LogWriteError
            Nothing was recorded: disk full, read-only, removed, locked. Send it again once that is repaired.
        TableError
            A record without its fields.
        """
        checked = check_record(record)
        with self._locked():
            self._reader.refresh(heal=True)
            return self._write(checked)

    def undo(self, *, nonce: str | None = None) -> Ack:
        """Take back the latest vote or skip that still counts, by a new record.

        Parameters
        ----------
        nonce : str, optional
            Makes the undo itself safe to send twice; a random one by default.

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
        with self._locked():
            self._reader.refresh(heal=True)
            state = self._reader.state
            nonce = nonce or uuid4().hex
            if nonce not in state.nonces and not state.stack:
                msg = f"Vote log {self.path}: no vote or skip is left to undo."
                raise NothingToUndo(msg)
            target = next(reversed(state.stack), None)
            pair_id = state.by_nonce[target]["pair_id"] if target else None
            record = {"type": "undo", "nonce": nonce, "undoes": target, "pair_id": pair_id}
            return self._write({**record, "judged_at": _now()})

    def refresh(self) -> None:
        """Read what another process has appended since."""
        self._reader.refresh()

    def records(self) -> list[dict[str, Any]]:
        """Return every record in the order of writing, undone ones and undos included.

        Returns
        -------
        list of dict
            Copies.
        """
        return [dict(record) for record in self._reader.state.records]

    def records_since(self, n: int) -> list[dict[str, Any]]:
        """Return the records after the first `n`: for `PairQueue.sync`.

        Parameters
        ----------
        n : int
            How many have been seen.

        Returns
        -------
        list of dict
            Copies.
        """
        return [dict(record) for record in self._reader.state.records[n:]]

    def votes(self) -> pd.DataFrame:
        """Return the votes that count, undo applied, as a judgments table.

        Returns
        -------
        DataFrame of shape (n_votes, n_columns)
            ``prompt_id, model_a`` (left)``, model_b`` (right)``, winner, judge, judged_at, note, pair_id, repeat_of, ...``.
        """
        return votes_frame(self._reader.state.votes(), rater=self.rater, dataset_id=self.dataset_id)

    def _open(self) -> None:
        if self.path.exists() and self.path.stat().st_size:
            self._reader.refresh(heal=True)
            if not self._reader.torn_at_birth(_BIRTH):
                self._check_header()
                return
        header = {"format": FORMAT, "version": VERSION, "rater": self.rater, "dataset_id": self.dataset_id}
        self._put({**header, "created_at": _now()}, create=True)
        self._reader.refresh()

    def _check_header(self) -> None:
        header = self._reader.header
        check_header(self.path, header)
        for name, mine in (("rater", self.rater), ("dataset_id", self.dataset_id)):
            if header[name] != mine:
                msg = (
                    f"Vote log {self.path}: belongs to {name} {header[name]!r}, not {mine!r}. "
                    f"Choose another file for these votes; the log was left as it is."
                )
                raise LogOwnerError(msg)

    def _write(self, record: dict[str, Any]) -> Ack:
        state = self._reader.state
        state.refuse_stale(record, self.path)
        self._put({"n": len(state.records) + 1, **record})
        self._reader.refresh()
        return Ack(record["nonce"], record.get("pair_id"), len(state.records), state.n_votes)

    def _put(self, record: dict[str, Any], *, create: bool = False) -> None:
        data = (json.dumps(record, ensure_ascii=False, allow_nan=False) + "\n").encode("utf-8", "backslashreplace")
        append_durably(self.path, data, create=create)

    def _locked(self) -> Any:
        from filelock import Timeout

        return _Locked(self._lock, self.path, Timeout)


class _Locked:
    """The file lock, with errors that a rater understands."""

    def __init__(self, lock: Any, path: Path, timeout: type[Exception]) -> None:
        self._lock, self._path, self._timeout = lock, path, timeout

    def __enter__(self) -> None:
        try:
            self._lock.acquire()
        except self._timeout as error:
            msg = f"Vote log {self._path}: another process holds its lock. Close the other notebook and vote again."
            raise LogWriteError(msg) from error
        except OSError as error:
            raise cannot_write(self._path, error) from error

    def __exit__(self, *_: object) -> None:
        self._lock.release()


def append_durably(path: Path, data: bytes, *, create: bool = False) -> None:
    """Append `data` and fsync it; on failure take the unacknowledged bytes back and raise `LogWriteError`."""
    try:
        handle = os.open(path, os.O_RDWR | os.O_APPEND | (os.O_CREAT if create else 0) | getattr(os, "O_BINARY", 0))
    except OSError as error:
        raise cannot_write(path, error) from error
    try:
        size = os.fstat(handle).st_size
        try:
            written = 0
            while written < len(data):
                written += os.write(handle, data[written:])
            os.fsync(handle)
        except OSError as error:
            _take_back(handle, size)
            raise cannot_write(path, error) from error
    finally:
        os.close(handle)
    if create:
        _sync_folder(path.parent)


def _take_back(handle: int, size: int) -> None:
    try:
        os.ftruncate(handle, size)
    except OSError:
        return  # the torn line stays, and the next reader reports it


def _sync_folder(folder: Path) -> None:
    """Make the new file's name durable, too, where the system can."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def check_header(path: Path, header: dict[str, Any] | None) -> dict[str, Any]:
    """Insist on a header that this version understands."""
    if header is None or header.get("format") != FORMAT or not {"version", "rater", "dataset_id"} <= set(header):
        msg = f"{path}: is no vote log of routerlab (its first line is no header). Choose another file; it was left as it is."
        raise LogFormatError(msg)
    if not isinstance(header["version"], int) or header["version"] > VERSION:
        msg = (
            f"Vote log {path}: has format version {header['version']}, and this routerlab reads up to {VERSION}. "
            "Update routerlab (pip install -U routerlab); the log was left as it is."
        )
        raise LogFormatError(msg)
    return header


def _file_name(rater: str) -> str:
    name = "".join(c if c.isalnum() or c in "-_." else "_" for c in rater).strip(".")
    if not name:
        msg = f"The 'rater' parameter of VoteLog must hold a letter or digit. Got {rater!r} instead."
        raise LogError(msg)
    return name


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
