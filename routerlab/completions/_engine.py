"""The slots that send requests: one reply each, recorded before the next request goes out."""

import asyncio
import math
import random
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from routerlab.completions._endpoint import Endpoint, Request
from routerlab.completions._journal import Journal, Record, Tally, Writer, make_record
from routerlab.completions._plan import Settings
from routerlab.completions._protocol import (
    CAME_BEFORE,
    Account,
    Failure,
    Reply,
    Seen,
    most_cost,
    read_answer,
    read_error,
    wait_s,
)
from routerlab.completions._report import usd
from routerlab.completions._transport import async_client, scrub, secrets_of

_INTERRUPTED = "Interrupted: waiting for requests in flight, which are paid for. Interrupt again to drop them."


class Budget:
    """USD spent, maybe billed, and set aside for requests in flight; used up once a request did not fit."""

    def __init__(self, limit_usd: float = math.inf, spent_usd: float = 0.0, maybe_billed_usd: float = 0.0) -> None:
        self.limit_usd = limit_usd
        self.spent_usd = spent_usd
        self.maybe_billed_usd = maybe_billed_usd
        self.used_up = False
        self._in_flight: list[float] = []
        self._changed = asyncio.Event()

    async def set_aside(self, usd: float) -> bool:
        """Wait until `usd` fits with what is in flight; False if it never will."""
        while not self.used_up and not self._fits(usd):
            if not self._in_flight:
                self.used_up = True
                self._changed.set()
                return False
            self._changed.clear()
            await self._changed.wait()
        if self.used_up:
            return False
        self._in_flight.append(usd)
        return True

    def settle(self, usd: float, *, spent_usd: float, maybe_billed_usd: float) -> None:
        """Give back the `usd` that were set aside, and count what came of them."""
        self._in_flight.remove(usd)
        self.spent_usd += spent_usd
        self.maybe_billed_usd += maybe_billed_usd
        self._changed.set()

    def _fits(self, usd: float) -> bool:
        if math.isinf(self.limit_usd):
            return True
        return math.fsum([self.spent_usd, self.maybe_billed_usd, *self._in_flight, usd]) <= self.limit_usd


class Progress:
    """A tqdm bar of replies and USD, or nothing."""

    def __init__(self, *, show: bool, total: int, done: int, budget_usd: float) -> None:
        from tqdm.auto import tqdm

        self._bar: Any = tqdm(total=total, initial=done, unit="reply", disable=not show, dynamic_ncols=True)
        self._budget_usd = budget_usd
        self._failed = 0

    def update(self, *, spent_usd: float, failed: bool) -> None:
        """Count one more request, and show what all have cost."""
        self._failed += failed
        text = f"{usd(spent_usd)} USD"
        text += f" of {usd(self._budget_usd)}" if math.isfinite(self._budget_usd) else ""
        text += f", {self._failed:,} failed" if self._failed else ""
        with suppress(Warning):  # tqdm's own, where a filter makes them errors
            self._bar.set_postfix_str(text, refresh=False)
            self._bar.update()

    def say(self, text: str) -> None:
        """Show a line above the bar, or without one."""
        self._bar.write(text, file=sys.stderr)

    def close(self) -> None:
        """End the bar where it stands."""
        self._bar.close()


@dataclass(eq=False)
class Served:
    """An endpoint, its client, and its state in this run.

    ``closed`` says why nothing more is sent, and ``stops_run`` whether a user must do something first: a wrong key, no
    credit. The provider asked not to be asked again before ``not_before``, a time of the event loop; since the last
    reply ``n_failed_in_a_row`` requests failed, all their attempts.
    """

    endpoint: Endpoint
    client: Any
    secrets: set[str]
    closed: str | None = None
    stops_run: bool = False
    not_before: float = 0.0
    n_failed_in_a_row: int = 0
    _seen: Seen = field(default_factory=Seen, repr=False)
    _shifted: list[Any] = field(default_factory=list, repr=False)

    async def send(self, request: Request, timeout_s: float) -> Reply | Failure:
        """Send one request and read what comes back; every error but a cancellation is a `Failure`."""
        body = self.endpoint.body(request)
        model, messages = body.pop("model"), body.pop("messages")
        try:
            async with asyncio.timeout(timeout_s):  # the client's own time-out starts again with every byte
                raw = await self.client.chat.completions.with_raw_response.create(
                    model=model, messages=messages, extra_body=body
                )
            outcome = read_answer(raw, self._seen)
        except Exception as error:
            return self._without_keys(read_error(error))
        stream = raw.http_response.extensions.get("network_stream")
        if isinstance(outcome, Reply) and any(stream is each for each in self._shifted):
            outcome = Failure(CAME_BEFORE, retryable=True, maybe_billed=True)
        if isinstance(outcome, Reply):
            return outcome
        if outcome.message == CAME_BEFORE:
            await self._hang_up(stream)
        return self._without_keys(outcome)

    def max_cost_usd(self, request: Request) -> float:
        """Return the most that one attempt can cost: inf or NaN if not known."""
        return most_cost(self.endpoint, request)

    def note(self, failure: Failure, now: float, max_wait_s: float) -> None:
        """Remember what a failed attempt says about the next ones."""
        if failure.retry_after_s:
            self.not_before = max(self.not_before, now + min(failure.retry_after_s, max_wait_s))
        if failure.fatal:
            self.closed = self.closed or failure.message
            self.stops_run = self.stops_run or failure.status != 404

    def note_failed_request(self, failure: Failure, patience: int) -> None:
        """Close the endpoint if requests keep failing at it after all attempts: it is down."""
        self.n_failed_in_a_row += failure.retryable
        if self.n_failed_in_a_row >= patience and not self.closed:
            self.closed = f"{self.n_failed_in_a_row} requests in a row failed, the last with: {failure.message}"

    def _without_keys(self, failure: Failure) -> Failure:
        self.secrets |= set(secrets_of(self.client))  # a key that a function makes is known once it was used
        return replace(failure, message=scrub(failure.message, self.secrets))

    async def _hang_up(self, stream: Any) -> None:
        """Close a connection, and believe nothing that still comes on it: it answers some other request."""
        if stream is not None:
            self._shifted.append(stream)
            await stream.aclose()


class Engine:
    """Sends requests from a bounded number of slots until all have a reply or an error, or something stops it.

    ``records`` holds those of requests that were asked, by key, and ``tallies`` what their attempts came to; ``served``
    the endpoints in use, by model. ``refused`` says why a provider refuses every request, if that stopped the run;
    ``dropped_usd`` is the most that attempts dropped in flight can have cost; ``n_to_retry`` requests may go better
    later.
    """

    def __init__(
        self,
        todo: Sequence[Request],
        endpoints: Mapping[str, Sequence[Endpoint]],
        journal: Journal,
        settings: Settings,
        progress: Progress,
    ) -> None:
        self.records: dict[str, Record] = {}
        self.served: dict[str, list[Served]] = {}
        self.refused: str | None = None
        self.dropped_usd = 0.0
        self.n_to_retry = 0
        self.tallies: list[Tally] = []
        self.writer = Writer(journal)
        self.budget = Budget(settings.limit_usd, journal.spent_usd, journal.maybe_billed_usd)
        self._todo, self._endpoints, self._settings, self._progress = todo, endpoints, settings, progress
        self._rng = random.Random(settings.random_state)
        self._stopping = asyncio.Event()
        self._dropping = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._slots: list[asyncio.Task[None]] = []
        self._clients: dict[int, Any] = {}

    async def go(self) -> None:
        """Send everything; returns when nothing is in flight any more and all records are written."""
        self._loop = asyncio.get_running_loop()
        queue = iter(self._todo)
        try:
            self._open_clients()
            n_slots = min(self._settings.concurrency, len(self._todo))
            self._slots = [asyncio.create_task(self._slot(queue)) for _ in range(n_slots)]
            if self._dropping:
                self._stop(drop=True)
            ended = await asyncio.gather(*self._slots, return_exceptions=True)
        except asyncio.CancelledError:
            self._stop(drop=True)
            await asyncio.gather(*self._slots, return_exceptions=True)
            raise
        finally:
            await self.writer.finish()
            for client in self._clients.values():
                await client.close()
        for error in ended:
            if isinstance(error, Exception):
                raise error

    def stop(self, *, drop: bool = False) -> None:
        """Send nothing more, from any thread; with `drop`, do not wait for what is in flight either."""
        self._dropping = self._dropping or drop
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._stop, drop)
        else:
            self._stopping.set()

    def interrupt(self, *, drop: bool) -> None:
        """Do what Ctrl-C asks for, and say so."""
        self._progress.say("Dropping requests in flight." if drop else _INTERRUPTED)
        self.stop(drop=drop)

    def why_not_asked(self, model: str) -> str:
        """Return why a request to `model` was left out."""
        served = self.served.get(model, [])
        if served and all(s.closed for s in served):
            return "; ".join(f"{s.endpoint.name}: {s.closed}" for s in served)
        if self.budget.used_up:
            return f"the budget of {self.budget.limit_usd:g} USD is used up: raise budget_usd and run again."
        return "the run was stopped."

    def _stop(self, drop: bool = False) -> None:
        self._stopping.set()
        for slot in self._slots if drop else ():
            slot.cancel()

    def _open_clients(self) -> None:
        settings = self._settings
        for name, endpoints in self._endpoints.items():
            self.served[name] = []
            for endpoint in endpoints:
                source = endpoint.client
                if id(source) not in self._clients:
                    self._clients[id(source)] = async_client(
                        source, timeout_s=settings.timeout_s, concurrency=settings.concurrency
                    )
                client = self._clients[id(source)]
                self.served[name].append(Served(endpoint, client, {*secrets_of(source), *secrets_of(client)}))

    async def _slot(self, queue: Iterator[Request]) -> None:
        for request in queue:
            if self._stopping.is_set() or self.budget.used_up:
                return
            tally = Tally()
            self.tallies.append(tally)
            record = await self._ask(request, tally)
            if record is not None:
                self.records[request.key] = record
                await self._write(record)
                self._progress.update(spent_usd=self.budget.spent_usd, failed=record["error"] is not None)

    async def _ask(self, request: Request, tally: Tally) -> Record | None:
        """Return the record of a reply, or of an error after all attempts; None if nothing was sent."""
        for served in self.served[request.model]:
            record = await self._ask_one(served, request, tally)
            if record is not None:
                return record
            if served.closed and served.endpoint.name not in tally.problems:
                tally.problems[served.endpoint.name] = served.closed
        self._stop_if_refused(request.model)
        if not tally.attempts:
            return None
        reason = "; ".join(f"{name}: {problem}" for name, problem in tally.problems.items())
        ended = self._stopping.is_set() or self.budget.used_up
        self.n_to_retry += tally.retryable or ended
        if ended:
            reason += f"; not tried again: {self.why_not_asked(request.model)}"
        return make_record(request, tally, error=reason)

    async def _ask_one(self, served: Served, request: Request, tally: Tally) -> Record | None:
        """Try one endpoint until it replies, or further attempts are pointless."""
        settings, failure = self._settings, None
        for n_attempt in range(1, settings.max_attempts + 1):
            max_cost_usd = served.max_cost_usd(request)
            if not await self._may_send(served, max_cost_usd):
                break
            started = time.perf_counter()
            outcome, counted = await self._attempt(served, request, tally, max_cost_usd)
            if isinstance(outcome, Reply):
                served.n_failed_in_a_row = 0
                latency_s = time.perf_counter() - started
                return make_record(
                    request, tally, endpoint=served.endpoint, reply=outcome, counted=counted, latency_s=latency_s
                )
            failure = outcome
            served.note(failure, self._now(), settings.max_wait_s)
            tally.problems[served.endpoint.name] = _said(failure, n_attempt, settings.max_attempts)
            if not failure.retryable or n_attempt == settings.max_attempts or self._better_elsewhere(served, failure):
                break
            await self._pause(
                wait_s(
                    n_attempt,
                    failure.retry_after_s,
                    self._rng,
                    backoff_s=settings.backoff_s,
                    max_wait_s=settings.max_wait_s,
                )
            )
        if failure is not None:
            tally.retryable |= failure.retryable
            served.note_failed_request(failure, settings.patience)
        return None

    async def _attempt(
        self, served: Served, request: Request, tally: Tally, max_cost_usd: float
    ) -> tuple[Reply | Failure, Account]:
        """Send once, for which `max_cost_usd` were set aside; what it cost without a reply is on disk on return."""
        tally.attempts += 1
        spent, maybe_billed = 0.0, max_cost_usd if math.isfinite(max_cost_usd) else 0.0
        try:
            outcome = await served.send(request, self._settings.timeout_s)
            counted, spent, maybe_billed = tally.count(outcome, served.endpoint, max_cost_usd)
        except asyncio.CancelledError:
            self.dropped_usd += maybe_billed
            raise
        finally:
            self.budget.settle(max_cost_usd, spent_usd=spent, maybe_billed_usd=maybe_billed)
        if isinstance(outcome, Failure) and spent + maybe_billed:
            await self._write({"type": "attempt", "key": request.key, "spent_usd": spent, "unsure_usd": maybe_billed})
        return outcome, counted

    async def _write(self, record: Record) -> None:
        if not await self.writer.write(record):
            self._stop()

    async def _may_send(self, served: Served, max_cost_usd: float) -> bool:
        """Wait until the provider and the budget allow it, and set the money aside; False if they never will."""
        while not self._stopping.is_set() and not served.closed and (wait := served.not_before - self._now()) > 0:
            await self._pause(wait)
        if self._stopping.is_set() or served.closed or not await self.budget.set_aside(max_cost_usd):
            return False
        if self._stopping.is_set() or served.closed:  # while we waited for the budget
            self.budget.settle(max_cost_usd, spent_usd=0.0, maybe_billed_usd=0.0)
            return False
        return True

    async def _pause(self, seconds: float) -> None:
        """Sleep, but not beyond a stop."""
        try:
            await asyncio.wait_for(self._stopping.wait(), timeout=seconds)
        except TimeoutError:
            return

    def _better_elsewhere(self, served: Served, failure: Failure) -> bool:
        """Whether the provider asks for a longer wait than we grant, and another serves the same model."""
        others = (s for group in self.served.values() if served in group for s in group[group.index(served) + 1 :])
        return (failure.retry_after_s or 0.0) > self._settings.max_wait_s and any(not s.closed for s in others)

    def _stop_if_refused(self, model: str) -> None:
        endpoints = self.served[model]
        if self.refused is None and all(s.closed for s in endpoints) and any(s.stops_run for s in endpoints):
            self.refused = "; ".join(f"{s.endpoint.name}: {s.closed}" for s in endpoints)
            self._stop()

    def _now(self) -> float:
        return asyncio.get_running_loop().time()


def _said(failure: Failure, n_attempt: int, max_attempts: int) -> str:
    """Return a failure's message, with the number of the attempt if there was or could be another."""
    counted = failure.retryable or n_attempt > 1
    return f"{failure.message} (attempt {n_attempt} of {max_attempts})" if counted else failure.message
