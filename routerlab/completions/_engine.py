"""The slots that send requests: one reply each, recorded before the next request goes out."""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from routerlab.completions._accounting import Account
from routerlab.completions._attempt import Failure, Reply, wait_s
from routerlab.completions._budget import Budget
from routerlab.completions._clients import async_client, secrets_of
from routerlab.completions._endpoint import Endpoint, Request
from routerlab.completions._journal import Journal, Record
from routerlab.completions._progress import Progress
from routerlab.completions._records import Tally, make_record
from routerlab.completions._served import Served
from routerlab.completions._settings import Settings
from routerlab.completions._writer import Writer

_INTERRUPTED = "Interrupted: waiting for requests in flight, which are paid for. Interrupt again to drop them."


class Engine:
    """Sends requests from a bounded number of slots until all have a reply or an error, or something stops it.

    Parameters
    ----------
    todo : sequence of Request
        What the journal does not answer.
    endpoints : mapping of str to sequence of Endpoint
        Who serves each model, in order of preference.
    journal : Journal
        Open for writing.
    settings : Settings
        Limits.
    progress : Progress
        The bar.

    Attributes
    ----------
    records : dict
        key -> record, of requests that were asked.
    served : dict
        model -> its endpoints in use.
    refused : str or None
        Why a provider refuses every request, if that stopped the run.
    dropped_usd : float
        The most that attempts dropped in flight can have cost.
    n_to_retry : int
        Requests that failed, and may go better in a later run.
    tallies : list of Tally
        One for each request that was asked.
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
        self.budget = Budget(settings.limit_usd, journal.spent_usd, journal.unsure_usd)
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
        self.n_to_retry += tally.again or ended
        if ended:
            reason += f"; not tried again: {self.why_not_asked(request.model)}"
        return make_record(request, tally, error=reason)

    async def _ask_one(self, served: Served, request: Request, tally: Tally) -> Record | None:
        """Try one endpoint until it replies, or there is no use in going on."""
        settings, failure = self._settings, None
        for n_attempt in range(1, settings.max_attempts + 1):
            most_usd = served.most_usd(request)
            if not await self._may_send(served, most_usd):
                break
            started = time.perf_counter()
            outcome, counted = await self._attempt(served, request, tally, most_usd)
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
            tally.again |= failure.retryable
            served.note_failed_request(failure, settings.patience)
        return None

    async def _attempt(
        self, served: Served, request: Request, tally: Tally, most_usd: float
    ) -> tuple[Reply | Failure, Account]:
        """Send once, for which `most_usd` were set aside; what it cost without a reply is on disk on return."""
        tally.attempts += 1
        spent, unsure = 0.0, most_usd if math.isfinite(most_usd) else 0.0
        try:
            outcome = await served.send(request, self._settings.timeout_s)
            counted, spent, unsure = tally.count(outcome, served.endpoint, most_usd)
        except asyncio.CancelledError:
            self.dropped_usd += unsure
            raise
        finally:
            self.budget.settle(most_usd, spent_usd=spent, unsure_usd=unsure)
        if isinstance(outcome, Failure) and spent + unsure:
            await self._write({"type": "attempt", "key": request.key, "spent_usd": spent, "unsure_usd": unsure})
        return outcome, counted

    async def _write(self, record: Record) -> None:
        if not await self.writer.write(record):
            self._stop()

    async def _may_send(self, served: Served, most_usd: float) -> bool:
        """Wait until the provider and the budget allow it, and set the money aside; False if they never will."""
        while not self._stopping.is_set() and not served.closed and (wait := served.not_before - self._now()) > 0:
            await self._pause(wait)
        if self._stopping.is_set() or served.closed or not await self.budget.set_aside(most_usd):
            return False
        if self._stopping.is_set() or served.closed:  # while we waited for the budget
            self.budget.settle(most_usd, spent_usd=0.0, unsure_usd=0.0)
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
