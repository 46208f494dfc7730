"""A run of requests, from the journal's first line to its last: in scripts, notebooks and event loops alike."""

from __future__ import annotations

import asyncio
import threading
import time
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from routerlab.completions._endpoint import Models, Request
from routerlab.completions._engine import Engine
from routerlab.completions._plan import Plan, make_plan
from routerlab.completions._progress import Progress
from routerlab.completions._records import RESERVED, left_out_record
from routerlab.completions._report import Run, RunReport
from routerlab.completions._settings import Settings
from routerlab.exceptions import CollectionWarning, EndpointRefused, JournalError
from routerlab.jsonl import why_not_written
from routerlab.pricing import Prices


def run_requests(
    requests: Iterable[Request],
    models: Models,
    *,
    path: str | Path,
    client: Any = None,
    prices: Prices | None = None,
    budget_usd: float | None = None,
    concurrency: int = 8,
    timeout_s: float = 60.0,
    max_attempts: int = 6,
    backoff_s: float = 1.0,
    max_wait_s: float = 60.0,
    progress: bool = True,
    random_state: int | None = None,
) -> Run:
    """Send chat completions, and keep every reply on disk; a second run asks only for what is missing.

    Parameters
    ----------
    requests : iterable of Request
        Those with the same key are one request.
    models : iterable of str, or mapping
        Who serves each model that the requests name; see `resolve_models`.
    path : str or Path
        The journal (JSONL, append-only). Replies in it are not asked for again of the same host; errors are.
    client : openai.OpenAI or openai.AsyncOpenAI, optional
        For endpoints without a client of their own.
    prices : mapping or DataFrame, optional
        See `routerlab.add_cost`; they come before the price list, which goes by the client's address.
    budget_usd : float, optional
        What all runs in this journal may cost. Needs known prices and a limit on output (``max_tokens``), as the most
        that a request can cost is set aside while it is in flight.
    concurrency : int, default 8
        Most requests in flight.
    timeout_s : float, default 60
        Seconds until an attempt is given up, whole reply included.
    max_attempts : int, default 6
        Attempts at each endpoint. Refusals (400, 401, 402, 403, 404, 422, ...) are not repeated.
    backoff_s, max_wait_s : float, default 1 and 60
        Full jitter below ``backoff_s * 2**n``, on top of the provider's ``Retry-After``; at most `max_wait_s` in all.
    progress : bool, default True
        Show a bar with USD spent and time left.
    random_state : int, optional
        Seed of the jitter.

    Returns
    -------
    Run
        ``records`` in the order of `requests`, and ``report``.

    Raises
    ------
    EndpointRefused
        A wrong key or no credit, and no other endpoint for the model: nothing more is sent.
    JournalError
        The journal cannot be used, or the disk refuses; ``unwritten`` holds replies that are not on disk.
    TableError
        A parameter that cannot be used.
    KeyboardInterrupt
        After Ctrl-C requests in flight are awaited, as they are paid for; a second one drops them.

    Warns
    -----
    CollectionWarning
        How many failed or were left out.

    Notes
    -----
    A request that fails at an endpoint, for whatever reason, goes to the next in the list.

    A reply that is lost (time-out, broken connection, process killed) may be on the provider's bill, and nothing tells
    us. The report counts these attempts, and the most that they can have cost counts against the budget. An error
    status (429, 500, ...) is taken to cost nothing.

    A redirect to another host is not followed, and a reply of more than 32 MiB, unpacked, is an error.

    Examples
    --------
    >>> import openai, tempfile
    >>> client = openai.OpenAI(base_url="http://127.0.0.1:9", api_key="none")  # nobody is there
    >>> request = Request("small", [{"role": "user", "content": "Poach an egg?"}])
    >>> with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
    ...     warnings.simplefilter("ignore", CollectionWarning)
    ...     run = run_requests([request], ["small"], path=f"{folder}/run.jsonl", client=client, max_attempts=1,
    ...                        progress=False)
    >>> run.report.n_failed, run.records[0]["text"]
    (1, '')
    """
    settings = Settings(budget_usd, concurrency, timeout_s, max_attempts, backoff_s, max_wait_s, random_state)
    run = execute(make_plan(requests, models, path, client=client, prices=prices, settings=settings), progress)
    warn_of(run.report.problems())
    return run


async def arun_requests(
    requests: Iterable[Request],
    models: Models,
    *,
    path: str | Path,
    client: Any = None,
    prices: Prices | None = None,
    progress: bool = True,
    **settings: Any,
) -> Run:
    """Do as `run_requests` does, in the event loop that runs; cancelling it drops what is in flight.

    Examples
    --------
    >>> import inspect
    >>> inspect.iscoroutinefunction(arun_requests)
    True
    """
    plan = make_plan(requests, models, path, client=client, prices=prices, settings=Settings(**settings))
    started = time.perf_counter()
    with _running(plan, progress) as engine:
        await engine.go()
    run = _result(plan, engine, time.perf_counter() - started)
    warn_of(run.report.problems())
    return run


def execute(plan: Plan, progress: bool) -> Run:
    """Run a plan in a thread with an event loop of its own, so that a notebook's running loop does not matter."""
    started = time.perf_counter()
    with _running(plan, progress) as engine:
        _go_in_thread(engine)
    return _result(plan, engine, time.perf_counter() - started)


def warn_of(problems: list[str], stacklevel: int = 3) -> None:
    """Warn of what a user should know, in one warning, at the line that called the caller."""
    if problems:
        warnings.warn(" ".join(problems), CollectionWarning, stacklevel=stacklevel)


@contextmanager
def _running(plan: Plan, show: bool) -> Iterator[Engine]:
    """Hold the journal and the bar while the engine runs; whatever stops it, say what was dropped."""
    with plan.journal.locked() as journal:
        todo = plan.look_up()
        if elsewhere := plan.elsewhere(todo):  # before they are asked, and paid, again
            warnings.warn(elsewhere, CollectionWarning, stacklevel=6)
        journal.begin(plan.most_in_flight_usd(todo))
        n_done = len(plan.replies)
        bar = Progress(show=show, total=n_done + len(todo), done=n_done, budget_usd=plan.settings.limit_usd)
        engine = Engine(todo, plan.endpoints, journal, plan.settings, bar)
        try:
            yield engine
        finally:
            bar.close()
            _end(engine)


def _end(engine: Engine) -> None:
    try:
        engine.writer.journal.end(engine.dropped_usd)
    except OSError:
        return  # as after a kill: the next run counts what can have been in flight as maybe billed


def _go_in_thread(engine: Engine) -> None:
    failed: list[BaseException] = []
    ended = threading.Event()  # Thread.join() takes a thread for dead when Ctrl-C comes (CPython before 3.13)

    def target() -> None:
        try:
            asyncio.run(engine.go())
        except BaseException as error:
            failed.append(error)
        finally:
            ended.set()

    thread = threading.Thread(target=target, name="routerlab-completions", daemon=True)
    thread.start()
    n_interrupts = n_heard = 0
    while True:
        try:  # Ctrl-C may come at any line; nothing here may leave the thread behind
            if n_interrupts > n_heard:
                n_heard = n_interrupts
                engine.interrupt(drop=n_heard > 1)
            if ended.wait(0.5):
                break
        except KeyboardInterrupt:
            n_interrupts += 1
    if n_interrupts:
        raise KeyboardInterrupt
    if failed:
        raise failed[0]


def _result(plan: Plan, engine: Engine, seconds: float) -> Run:
    records = []
    for request in plan.requests:
        record = engine.records.get(request.key) or plan.replies.get(request.key)
        record = record or left_out_record(request, engine.why_not_asked(request.model))
        records.append({**{k: v for k, v in record.items() if k in RESERVED - {"type"}}, **request.about})
    run = Run(records, _report(plan, engine, seconds))
    if engine.writer.error is not None:
        raise _disk_refused(plan, engine)
    if engine.refused is not None:
        n_there = run.report.n_answered + run.report.n_from_journal
        msg = (
            f"{engine.refused} The run stopped: {n_there:,} of {run.report.n_requests:,} replies are in "
            f"{plan.journal.path}; run again to ask for the rest."
        )
        raise EndpointRefused(msg)
    return run


def _report(plan: Plan, engine: Engine, seconds: float) -> RunReport:
    requests, tallies, journal = plan.unique, engine.tallies, plan.journal
    n_failed = sum(record["error"] is not None for record in engine.records.values())
    left_out = [r for r in requests if r.key not in engine.records and r.key not in plan.replies]
    return RunReport(
        path=journal.path.name,
        n_requests=len(requests),
        n_answered=len(engine.records) - n_failed,
        n_from_journal=len(plan.replies),
        n_failed=n_failed,
        n_to_retry=engine.n_to_retry,
        first_error=next((r["error"] for r in engine.records.values() if r["error"] is not None), None),
        n_left_out=len(left_out),
        why_left_out=tuple(dict.fromkeys(engine.why_not_asked(r.model) for r in left_out)),
        n_attempts=sum(tally.attempts for tally in tallies),
        n_unsure=sum(tally.n_unsure for tally in tallies),
        spent_usd=sum(tally.spent_usd for tally in tallies),
        unsure_usd=sum(tally.unsure_usd for tally in tallies),
        n_unpriced=sum(tally.n_unpriced for tally in tallies),
        unpriced_models=tuple(sorted(set().union(*(tally.unpriced for tally in tallies)))),
        spent_before_usd=journal.spent_usd,
        unsure_before_usd=journal.unsure_usd,
        budget_usd=plan.settings.budget_usd,
        seconds=seconds,
        unreadable=tuple(journal.bad_lines),
        n_killed_runs=journal.n_killed,
        closed=tuple(
            f"{s.endpoint.name}: {s.closed}" for group in engine.served.values() for s in group if s.closed is not None
        ),
    )


def _disk_refused(plan: Plan, engine: Engine) -> JournalError:
    unwritten = [record for record in engine.writer.unwritten if record["type"] == "record"]
    error = engine.writer.error
    if error is not None and not isinstance(error, OSError):
        why = f"not written ({type(error).__name__}: {error})."
    else:
        why = why_not_written(error or OSError())
    msg = f"Journal {plan.journal.path}: {why} The run stopped; what was written is safe. "
    if unwritten:
        msg += f"{len(unwritten):,} records (replies that are paid for) are not on disk: this error's 'unwritten'."
    return JournalError(msg, unwritten)
