"""An append-only log of one rater's votes that survives crashes, torn lines and a second process."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pandas as pd

from routerlab.exceptions import LogOwnerError, NothingToUndo
from routerlab.jsonl import Record, line_of, now
from routerlab.labeling._reader import LogReport, Reader
from routerlab.labeling._records import check_record, votes_frame


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

    A record is flushed and fsynced before `append` returns. Nothing is rewritten: undo is a record,
    too. Every append takes a file lock and first reads what others wrote, so that two kernels on the same log neither
    corrupt it nor record a vote twice. Lines that cannot be read stay in the file and are reported.

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
        The file is no vote log, or a newer routerlab wrote it.
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
        with self._reader.log.locked():
            self._reader.refresh()
        self._check_owner()

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
        return self._reader.report()

    def append(self, record: Mapping[str, Any]) -> Ack:
        """Write a record, wait until it is on the disk, and acknowledge it.

        Parameters
        ----------
        record : mapping
            From `Pair.vote`, `Pair.skip` or `label_record`; may hold whatever else JSON can. A record of type
            'note' with ``nonce``, ``pair_id`` and ``note`` adds a note to the pair's vote.

        Returns
        -------
        Ack
            Only once the record is flushed and fsynced.

        Raises
        ------
        StaleVote
            The nonce is in the log (``recorded=True``), or the pair is decided otherwise (``recorded=False``).
        LogWriteError
            Nothing was recorded: disk full, read-only, removed, locked. Send it again once that is repaired.
        TableError
            A record that lacks a field.
        """
        checked = check_record(record)
        with self._writing():
            return self._write(checked)

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
        self._reader.refresh()

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
        rows = ({**vote, "judge": self.rater} for vote in self._reader.state.counting("vote"))
        return votes_frame(rows, self.dataset_id)

    def labels(self) -> pd.Series:
        """Return the intents given to prompts, undo applied.

        Returns
        -------
        Series of shape (n_labels,)
            ``prompt_id`` -> intent.
        """
        labels = self._reader.state.counting("label")
        index = pd.Index([r["prompt_id"] for r in labels], name="prompt_id", dtype=None if labels else object)
        return pd.Series([r["intent"] for r in labels], index=index, name="intent", dtype=object)

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
        with self._reader.log.locked(create=False):
            self._reader.refresh()
            try:
                yield
            except OSError as error:
                raise self._reader.log.refused(error) from error

    def _write(self, record: Record) -> Ack:
        state, number = self._reader.state, self._reader.next_number
        state.refuse_stale(record, self.path)
        self._reader.log.append(line_of({"n": number, **record}))
        self._reader.refresh()
        return Ack(record["nonce"], record.get("pair_id"), number, state.n_votes)


def _file_name(rater: str) -> str:
    name = "".join(c if c.isalnum() or c in "-_." else "_" for c in rater).strip(".")
    if not any(c.isalnum() for c in name):
        msg = f"The 'rater' parameter of VoteLog must hold a letter or digit to name a file. Got {rater!r} instead."
        raise ValueError(msg)
    return name
