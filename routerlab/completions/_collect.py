"""Every model's response to every prompt, as the responses table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from routerlab.completions._endpoint import Models, Request, check_params, named_models
from routerlab.completions._estimate import CostEstimate, estimate
from routerlab.completions._plan import make_plan
from routerlab.completions._report import Run
from routerlab.completions._run import execute, warn_of
from routerlab.completions._settings import Settings
from routerlab.completions._words import counted
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

    Whatever comes back is on disk before the next request goes out. The same call again asks only for what is missing:
    after a crash, Ctrl-C, a used-up budget, or with more prompts and models.

    Parameters
    ----------
    prompts : DataFrame, Series, mapping or iterable of str
        The prompts table, or texts by prompt_id; plain texts are numbered 'p1', 'p2', ...
    models : iterable of str, or mapping
        Names; or name -> `Endpoint` or a list of these in order of preference: the same model at several providers,
        and fallbacks. Names are what the table shows.
    path : str or Path
        The journal (JSONL), which only grows. A reply counts for the same prompt_id, messages, model, parameters and
        host.
    client : openai.OpenAI or openai.AsyncOpenAI, optional
        For models without an `Endpoint` that has its own.
    budget_usd : float, optional
        What this journal may cost in all its runs. It stops before it would be passed: what requests in flight can cost
        at most is set aside. Needs `max_tokens` and known prices.
    prices : mapping or DataFrame, optional
        Your own, (input, output) in USD per 1M tokens, or 0 for a model that costs nothing; see `routerlab.add_cost`.
        Else the price list's for the host: a server of your own has none there.
    system : str, optional
        A system message before each prompt.
    max_tokens : int, optional
        Most output tokens. A response that reaches it has the finish reason 'length'.
    temperature : float, optional
        As the provider understands it.
    params : mapping, optional
        Whatever else the endpoint knows: ``seed``, ``top_p``, ``max_completion_tokens``, ``extra_body``, ...
    concurrency, timeout_s, max_attempts, backoff_s, max_wait_s, progress, random_state
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
    TableError
        Duplicate prompt_ids, empty prompts, no models, a budget without prices, ...

    Warns
    -----
    CollectionWarning
        How many requests failed, were left out or were cut off at `max_tokens`.

    Notes
    -----
    Requests go out prompt by prompt, so that a budget that ends leaves whole rows of models behind it.

    A reply that is lost on the way (time-out, broken connection, killed process) may be on the provider's bill, and
    nothing tells us. The report counts such attempts, and the most that they can have cost counts against the budget.
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
    prompt_id = str(prompt_id) if isinstance(prompt_id, str) else int(prompt_id)  # numpy's are no JSON
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
