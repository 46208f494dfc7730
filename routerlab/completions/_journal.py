"""The journal of a run: every record is on the disk before its slot sends the next request."""

from __future__ import annotations

import asyncio
import math
import os
from array import array
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self
from uuid import uuid4

from routerlab.completions._endpoint import Endpoint, Request, digest
from routerlab.completions._protocol import Account, Failure, Reply, account
from routerlab.completions._report import unwarned
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
# What a record says of itself; `about` adds to it.
RESERVED = frozenset(
    "type key sent model text finish_reason input_tokens output_tokens cost_usd cost_source latency_s attempts "
    "served_by error at spent_usd unsure_usd tool_calls refusal".split()
)


class Replies(Mapping[tuple[str, str], Record]):
    """(key, sent) -> record of the reply, which stays in the file until it is asked for."""

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
    spent_usd, maybe_billed_usd : float
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
    maybe_billed_usd: float = 0.0
    bad_lines: list[str] = field(default_factory=list)
    n_killed: int = 0
    _run: str = ""
    _open_runs: dict[str, float] = field(default_factory=dict)
    _open_attempts: dict[str, list[Record]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._log = Log(self.path, KIND)
        self.done = Replies(self._log)

    def read(self) -> None:
        """Read what is there, if anything is; never changes the file."""
        self._log.check()
        if not os.path.exists(self._log.real):
            return
        for number, record, line in self._log.read("read"):
            self._read_line(number, record, self._log.offset - len(line) - 1)
        self._count_open()
        self.n_killed = len(self._open_runs)
        self.maybe_billed_usd += sum(self._open_runs.values())

    @contextmanager
    def locked(self) -> Iterator[Self]:
        """Keep other processes out, and read what is there."""
        with self._log.locked():
            self.read()
            yield self

    def begin(self, in_flight_usd: float) -> None:
        """Write the first line of a run: its `in_flight_usd` count as maybe billed if the process is killed."""
        self._run = uuid4().hex
        try:
            self.append([{"type": "run", "run": self._run, "at": now(), "in_flight_usd": in_flight_usd}])
        except OSError as error:
            raise self._log.refused(error) from error

    def append(self, records: list[Record]) -> None:
        """Write records and wait until they are on the disk; raises `OSError` with the file as it was."""
        self._log.append(b"".join(line_of(_without_nan(record)) for record in records))

    def end(self, maybe_billed_usd: float = 0.0) -> None:
        """Say that the run came to its end, and what of the requests that it dropped may have been billed."""
        self.append([{"type": "end", "run": self._run, "unsure_usd": maybe_billed_usd}])

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
            self.maybe_billed_usd += record.get("unsure_usd") or 0.0
        else:
            self.bad_lines.append(f"line {number} cannot be read")

    def _count(self, record: Record) -> None:
        self.spent_usd += record.get("spent_usd") or 0.0
        self.maybe_billed_usd += record.get("unsure_usd") or 0.0

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


@dataclass
class Tally:
    """What the attempts at one request came to."""

    attempts: int = 0
    n_maybe_billed: int = 0
    n_unpriced: int = 0
    unpriced: set[str] = field(default_factory=set)  # models, as their endpoints call them
    retryable: bool = False  # whether the last failure somewhere may go better in a later run
    spent_usd: float = 0.0
    maybe_billed_usd: float = 0.0
    problems: dict[str, str] = field(default_factory=dict)

    def count(self, outcome: Reply | Failure, endpoint: Endpoint, max_cost_usd: float) -> tuple[Account, float, float]:
        """Count one attempt; return its account, and the USD that it cost and may have cost."""
        max_cost_usd = max_cost_usd if math.isfinite(max_cost_usd) else 0.0
        spent = maybe_billed = 0.0
        counted = unwarned(account, outcome.usage, endpoint)
        if isinstance(outcome, Reply) or outcome.usage is not None:
            known = not math.isnan(counted.cost_usd)
            spent, maybe_billed = (counted.cost_usd, 0.0) if known else (0.0, max_cost_usd)
            self.n_unpriced += not known
            self.unpriced |= set() if known else {endpoint.model}
        elif outcome.maybe_billed:
            self.n_maybe_billed += 1
            maybe_billed = max_cost_usd
        self.spent_usd += spent
        self.maybe_billed_usd += maybe_billed
        return counted, spent, maybe_billed


def sent_digest(endpoint: Endpoint, request: Request, *, with_place: bool = True) -> str:
    """Return the sha256 of the parameters sent and of where they go: a record answers only the same request.

    Without the place, this is what version 0.1.0 wrote.
    """
    body = endpoint.body(request)
    sent = {name: value for name, value in body.items() if name != "messages"}
    return digest([endpoint.place, sent] if with_place else sent)


def make_record(
    request: Request,
    tally: Tally,
    *,
    endpoint: Endpoint | None = None,
    reply: Reply | None = None,
    counted: Account | None = None,
    latency_s: float = math.nan,
    error: str | None = None,
) -> Record:
    """Return what the journal keeps of a request: of its reply, or of the error that is left."""
    counted = counted or Account(math.nan, math.nan, math.nan, None)
    return {
        "type": "record",
        "key": request.key,
        "sent": sent_digest(endpoint, request) if endpoint else None,
        "model": request.model,
        "text": reply.text if reply else "",
        "finish_reason": reply.finish_reason if reply else None,
        **_other_answers(reply),
        **counted._asdict(),
        "latency_s": latency_s,
        "attempts": tally.attempts,
        "served_by": endpoint.name if endpoint else None,
        "error": error,
        "at": now(),
        "spent_usd": tally.spent_usd,
        "unsure_usd": tally.maybe_billed_usd,
        **request.about,
    }


def _other_answers(reply: Reply | None) -> Record:
    """Return what a model answers with if not with text."""
    said = {"tool_calls": list(reply.tool_calls), "refusal": reply.refusal} if reply else {}
    return {name: value for name, value in said.items() if value}


def left_out_record(request: Request, reason: str) -> Record:
    """Return the record of a request that was not sent; it is in no journal."""
    return make_record(request, Tally(), error=f"not asked: {reason}")


class Writer:
    """Appends records to a journal without stopping the event loop.

    ``error`` says why a record could not be written, as a rule an `OSError` of the disk; nothing is written after that.
    Records that are not in the journal are ``unwritten``.
    """

    def __init__(self, journal: Journal) -> None:
        self.error: Exception | None = None
        self.unwritten: list[Record] = []
        self.journal = journal
        self._waiting: list[tuple[Record, asyncio.Future[bool]]] = []
        self._task: asyncio.Task[None] | None = None

    async def write(self, record: Record) -> bool:
        """Return once the record is on the disk, or False if it is not."""
        written = asyncio.get_running_loop().create_future()
        self._waiting.append((record, written))
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._write_all())
        # Shielded: a slot that is cancelled here has a paid reply, and the task goes on to write it.
        return await asyncio.shield(written)

    async def finish(self) -> None:
        """Wait for what is under way, then try once more what the disk refused: its replies are paid for."""
        if self._task is not None:
            await self._task
        left, self.unwritten = self.unwritten, []
        for record in left:  # one by one: if one is at fault, the others are not
            try:
                await asyncio.to_thread(self.journal.append, [record])
            except Exception:
                self.unwritten.append(record)

    async def _write_all(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting, []
            try:
                await self._write_batch([record for record, _ in batch])
            finally:  # whatever happens, nobody waits for ever
                for _, written in batch:
                    if not written.done():
                        written.set_result(self.error is None)

    async def _write_batch(self, records: list[Record]) -> None:
        if self.error is None:
            try:
                await asyncio.to_thread(self.journal.append, records)
            except Exception as error:
                self.error = error
        if self.error is not None:
            self.unwritten += records
