"""Requests sent and replies collected: in scripts, notebooks and event loops alike."""

import asyncio
import threading
import time
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from routerlab.completions._endpoint import Models, Request, check_params, named_models
from routerlab.completions._engine import Engine, Progress
from routerlab.completions._journal import RESERVED, left_out_record
from routerlab.completions._plan import CostEstimate, Plan, Settings, estimate, make_plan
from routerlab.completions._report import Run, RunReport, counted
from routerlab.exceptions import CollectionWarning, EndpointRefused, JournalError
from routerlab.jsonl import why_not_written
from routerlab.pricing import Prices
from routerlab.schema import as_pandas, check_prompts, check_responses, reject, shown

Prompts: TypeAlias = pd.DataFrame | pd.Series | Mapping[Any, str] | Iterable[str]
COLUMNS = (
    "prompt_id",
    "model",
    "response",
    "input_tokens",
    "output_tokens",
    "cost_usd",
    "latency_s",
    "finish_reason",
    "error",
    "served_by",
    "attempts",
    "cost_source",
)
_ANSWERS = ("tool_calls", "refusal")  # columns that are there if some model answered so


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
    """Send chat completions and keep every reply on disk; a second run asks only for what is missing.

    Parameters
    ----------
    requests : iterable of Request
        Those with the same key are one request.
    models : iterable of str, or mapping
        Who serves each model that the requests name; see `resolve_models`.
    path : str or Path
        The journal (JSONL, append-only). Requests that the same host answered are not sent again; failed ones are.
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
        Seconds for an attempt, up to the end of its reply.
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
    ParameterError
        A parameter that cannot be used.
    KeyboardInterrupt
        After Ctrl-C requests in flight are awaited, as they are paid for; a second one drops them.

    Warns
    -----
    CollectionWarning
        How many failed or were left out.

    Notes
    -----
    A request that fails at one endpoint, for any reason, goes to the next in the list.

    A reply that is lost (time-out, broken connection, process killed) may be on the provider's bill, which nothing here
    can tell. The report counts these attempts, and the most that they can have cost counts against the budget. An error
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
    """Run a plan in a thread with its own event loop: a notebook has one running already."""
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
        journal.begin(plan.max_in_flight_usd(todo))
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
        n_maybe_billed=sum(tally.n_maybe_billed for tally in tallies),
        spent_usd=sum(tally.spent_usd for tally in tallies),
        maybe_billed_usd=sum(tally.maybe_billed_usd for tally in tallies),
        n_unpriced=sum(tally.n_unpriced for tally in tallies),
        unpriced_models=tuple(sorted(set().union(*(tally.unpriced for tally in tallies)))),
        spent_before_usd=journal.spent_usd,
        maybe_billed_before_usd=journal.maybe_billed_usd,
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


def collect_responses(
    prompts: Prompts,
    models: Models,
    *,
    path: str | Path,
    client: Any = None,
    budget_usd: float | None = None,
    prices: Prices | None = None,
    system: str | None = None,
    max_tokens: int | None = None,
    temperature: float | None = None,
    params: Mapping[str, Any] | None = None,
    concurrency: int = 8,
    timeout_s: float = 60.0,
    max_attempts: int = 6,
    backoff_s: float = 1.0,
    max_wait_s: float = 60.0,
    progress: bool = True,
    random_state: int | None = None,
    dry_run: bool = False,
    expected_output_tokens: float | None = None,
) -> pd.DataFrame | CostEstimate:
    """Ask every model every prompt, and return the responses table.

    Every reply is on disk before the next request goes out. Repeating the call asks only for what is missing: after a
    crash, Ctrl-C, an exhausted budget, or with more prompts and models.

    Parameters
    ----------
    prompts : DataFrame, Series, mapping or iterable of str
        The prompts table, or texts by prompt_id; plain texts are numbered 'p1', 'p2', ...
    models : iterable of str, or mapping
        Names; or name -> `Endpoint` or a list of these in order of preference: the same model at several providers,
        then others to ask if it fails. Names are what the table shows.
    path : str or Path
        The journal (JSONL), which only grows. A reply counts for the same prompt_id, messages, model, parameters and
        host.
    client : openai.OpenAI or openai.AsyncOpenAI, optional
        For models without an `Endpoint` that has its own.
    budget_usd : float, optional
        What all runs in this journal may cost together. The run stops before it would spend more: the most that
        requests in flight can cost is set aside. Needs `max_tokens` and known prices.
    prices : mapping or DataFrame, optional
        Your own, (input, output) in USD per 1M tokens, or 0 for a model that costs nothing; see `routerlab.add_cost`.
        Otherwise the price list's for the host; your own server has none there.
    system : str, optional
        A system message before each prompt.
    max_tokens : int, optional
        Most output tokens. A response that reaches it has the finish reason 'length'.
    temperature : float, optional
        As the provider understands it.
    params : mapping, optional
        Anything else that the endpoint accepts: ``seed``, ``top_p``, ``max_completion_tokens``, ``extra_body``, ...
    concurrency, timeout_s, max_attempts, backoff_s, max_wait_s, progress, random_state : optional
        See `routerlab.completions.run_requests`.
    dry_run : bool, default False
        Send nothing, and return what it would cost. Needs no client.
    expected_output_tokens : float, optional
        Assumption of the dry run for models of which the journal holds no reply. Default: 300, or `max_tokens` if less.

    Returns
    -------
    DataFrame of shape (n_prompts * n_models, 12 or more), or CostEstimate
        One row for each (prompt_id, model), in the order given: ``prompt_id, model, response, input_tokens,
        output_tokens, cost_usd, latency_s, finish_reason, error, served_by, attempts, cost_source``. Where there is no
        reply, ``response`` is empty and ``error`` says why; it is missing (None or NaN) otherwise. ``cost_usd`` is that
        of the reply kept, NaN if not known. Where a model called tools or refused, columns ``tool_calls`` (lists of
        dicts) and ``refusal`` say so. ``attrs["collection"]`` is the report: counts, USD, what was left out.

    Raises
    ------
    EndpointRefused
        A wrong key or no credit: the run stops early.
    JournalError
        The journal cannot be used or written.
    TableError, ParameterError
        Duplicate prompt_ids, empty prompts; no models, a budget without prices, ...

    Warns
    -----
    CollectionWarning
        How many requests failed, were left out or were cut off at `max_tokens`.

    Notes
    -----
    Requests go out prompt by prompt: when the budget ends, prompts have all their models or none.

    A reply that is lost on the way (time-out, broken connection, killed process) may be on the provider's bill, which
    nothing here can tell. The report counts such attempts, and their highest possible cost counts against the budget.
    A provider that ignores ``max_tokens``, or charges more than the price given, can still pass it.

    Examples
    --------
    >>> import tempfile
    >>> prompts = {"p1": "Poach an egg?", "p2": "Boil one?"}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     cost = collect_responses(
    ...         prompts, ["small"], path=f"{folder}/responses.jsonl", prices={"small": (0.5, 1.5)}, max_tokens=100,
    ...         dry_run=True, expected_output_tokens=50,
    ...     )
    >>> round(cost.expected_usd * 1e6), cost.n_requests
    (154, 2)
    """
    table = prompts_table(prompts)
    settings = Settings(budget_usd, concurrency, timeout_s, max_attempts, backoff_s, max_wait_s, random_state)
    given = {"max_tokens": max_tokens, "temperature": temperature, **check_params(params or {}, "collect_responses")}
    given = {name: value for name, value in given.items() if value is not None}
    named = named_models(models)
    requests = [_request(prompt_id, text, name, system, given) for prompt_id, text in table.items() for name in named]
    plan = make_plan(requests, named, path, client=client, prices=prices, settings=settings, dry_run=dry_run)
    if dry_run:
        return estimate(plan, expected_output_tokens)
    run = execute(plan, progress)
    responses = responses_table(run)
    warn_of([*run.report.problems(), *_oddities(responses, max_tokens)])
    return responses


def prompts_table(prompts: Prompts) -> pd.Series:
    """Return checked texts by prompt_id.

    Examples
    --------
    >>> prompts_table(["Poach an egg?", "Boil one?"]).index.tolist()
    ['p1', 'p2']
    """
    if isinstance(prompts, str):
        reject("'prompts'", "got one text.", "Pass a list of texts, or a prompts table.")
    prompts = as_pandas(prompts)
    if isinstance(prompts, pd.DataFrame):
        frame = prompts
    elif isinstance(prompts, pd.Series):
        frame = pd.DataFrame({"prompt_id": prompts.index, "prompt": prompts.to_numpy()})
    elif isinstance(prompts, Mapping):
        frame = pd.DataFrame({"prompt_id": list(prompts), "prompt": list(prompts.values())})
    else:
        try:
            texts = list(prompts)
        except TypeError:
            reject("'prompts'", f"got {type(prompts).__name__}.", "Pass a prompts table, or texts by prompt_id.")
        frame = pd.DataFrame({"prompt_id": [f"p{k}" for k in range(1, len(texts) + 1)], "prompt": texts})
    checked = check_prompts(frame)["prompt"]
    if checked.empty:
        reject("prompts table", "has no rows.", "Check the selection.")
    odd = [i for i in checked.index if not isinstance(i, str | int | np.integer)]
    if odd:
        reject("prompts table, 'prompt_id'", f"got {shown(odd)}.", "Use text or whole numbers: the journal is JSON.")
    return checked


def _request(prompt_id: Any, text: str, model: str, system: str | None, params: Mapping[str, Any]) -> Request:
    messages = [{"role": "system", "content": system}] if system else []
    prompt_id = str(prompt_id) if isinstance(prompt_id, str) else int(prompt_id)  # JSON does not take numpy's
    return Request(
        model,
        [*messages, {"role": "user", "content": text}],
        params,
        {"prompt_id": prompt_id},
        purpose=f"response to {prompt_id!r}",
    )


def responses_table(run: Run) -> pd.DataFrame:
    """Return the records of `collect_responses` as a responses table, the report in ``attrs["collection"]``."""
    frame = pd.DataFrame(run.records).rename(columns={"text": "response"})
    frame = frame[[*COLUMNS, *(name for name in _ANSWERS if name in frame)]]
    frame.attrs["collection"] = run.report.to_dict()
    return check_responses(frame)


def _oddities(responses: pd.DataFrame, max_tokens: int | None) -> list[str]:
    """Say what is odd about the replies that came: a table with cut-off responses compares lengths, not models."""
    reasons, found = responses["finish_reason"], []
    n_cut, n_filtered = int((reasons == "length").sum()), int((reasons == "content_filter").sum())
    empty = responses["error"].isna() & (responses["response"].str.strip() == "")
    calls = responses["tool_calls"].notna() if "tool_calls" in responses else empty & False
    n_empty, n_calls = int((empty & ~calls).sum()), int((empty & calls).sum())
    if n_cut:
        limit = f" at max_tokens={max_tokens}" if max_tokens is not None else ""
        cut, whose = counted(n_cut, "response is", "responses are"), "its" if n_cut == 1 else "their"
        found.append(f"{cut} cut off{limit}: {whose} finish_reason is 'length'.")
    if n_filtered:
        found.append(f"{counted(n_filtered, 'was', 'were')} stopped by the provider's content filter.")
    if n_calls:
        found.append(f"{counted(n_calls, 'response is', 'responses are')} tool calls alone: see 'tool_calls'.")
    if n_empty:
        found.append(f"{counted(n_empty, 'response is', 'responses are')} empty without an error.")
    return found
