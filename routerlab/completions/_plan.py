"""What a run is going to ask for, checked before money is spent, and what it would cost."""

import heapq
import html
import json
import math
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from routerlab.completions._endpoint import Endpoint, Models, Request, is_local, resolve_models
from routerlab.completions._journal import RESERVED, Journal, Record, sent_digest
from routerlab.completions._protocol import most_cost, most_tokens, request_cost, tier_of
from routerlab.completions._report import counted
from routerlab.completions._transport import check_client
from routerlab.deprecation import old_name
from routerlab.exceptions import CollectionWarning
from routerlab.markup import fragment
from routerlab.pricing import Prices, estimate_tokens, price_list_info
from routerlab.schema import refuse, reject, shown

ASSUMED_OUTPUT_TOKENS = 300


@dataclass(frozen=True)
class Settings:
    """Limits of a run; see `run_requests`."""

    budget_usd: float | None = None
    concurrency: int = 8
    timeout_s: float = 60.0
    max_attempts: int = 6
    backoff_s: float = 1.0
    max_wait_s: float = 60.0
    random_state: int | None = None

    @property
    def limit_usd(self) -> float:
        """The budget, inf for none."""
        return math.inf if self.budget_usd is None else float(self.budget_usd)

    @property
    def patience(self) -> int:
        """Requests that may fail in a row, with all their attempts, before an endpoint counts as down."""
        return max(10, 2 * self.concurrency)

    def check(self) -> None:
        """Raise `ParameterError` for a limit that cannot be kept."""
        for name, low, example in (
            ("budget_usd", 0.0, "2.5"),
            ("timeout_s", 1e-3, "60"),
            ("backoff_s", 0.0, "1.0"),
            ("max_wait_s", 0.0, "60"),
        ):
            value = getattr(self, name)
            if value is None and name == "budget_usd":
                continue
            if not _is_number(value) or not math.isfinite(value) or value < low:
                refuse(f"'{name}'", f"got {value!r}, expected a finite number of at least {low:g}.", f"E.g. {example}.")
        for name, example in (("concurrency", "8"), ("max_attempts", "6")):
            value = getattr(self, name)
            if not isinstance(value, Integral) or isinstance(value, bool) or value < 1:
                refuse(f"'{name}'", f"got {value!r}, expected a whole number of at least 1.", f"E.g. {example}.")


def _is_number(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


@dataclass
class Plan:
    """Requests that were checked, who serves them, and the replies that the journal holds."""

    requests: list[Request]
    endpoints: dict[str, tuple[Endpoint, ...]]
    journal: Journal
    settings: Settings
    replies: dict[str, Record] = field(default_factory=dict)

    @property
    def unique(self) -> list[Request]:
        """The requests, each key once."""
        return list({request.key: request for request in self.requests}.values())

    def look_up(self) -> list[Request]:
        """Fill `replies` from the journal, once it was read, and return the requests that are left.

        A record answers a request if it came from what an endpoint of today would be asked for, at the same host.
        """
        unique, self.replies = self.unique, {}
        for request in unique:
            for endpoint in self.endpoints[request.model]:
                record = self._answer(endpoint, request)
                if record is not None:
                    self.replies[request.key] = record
                    break
        return [request for request in unique if request.key not in self.replies]

    def _answer(self, endpoint: Endpoint, request: Request) -> Record | None:
        done = self.journal.done
        if endpoint.client is None:  # a dry run without a host: a reply of any counts
            return self._by_model.get((request.key, endpoint.model))
        record = done.get((request.key, sent_digest(endpoint, request)))
        if record is None:  # version 0.1.0 kept the host in 'served_by' alone
            record = done.get((request.key, sent_digest(endpoint, request, with_place=False)))
            record = record if record is not None and record.get("served_by") == endpoint.name else None
        return record

    @cached_property
    def _by_model(self) -> dict[tuple[str, str], Record]:
        """Replies by request and by what the provider calls the model, from any host."""
        found = {}
        for key, sent in self.journal.done:
            record = self.journal.done[key, sent]
            found[key, str(record.get("served_by")).rpartition(" at ")[0]] = record
        return found

    def elsewhere(self, todo: Sequence[Request]) -> str:
        """Say which replies in the journal came from another host than any of today; empty if none did."""
        if not todo:
            return ""
        today = {r.key: [e for e in self.endpoints[r.model] if e.client is not None] for r in todo}
        found: dict[str, set[str]] = {}
        for key, sent in self.journal.done:
            served_by = self.journal.done[key, sent].get("served_by") if key in today else None
            model, _, host = str(served_by).rpartition(" at ")
            if any(e.model == model and e.host != host for e in today.get(key, ())):
                found.setdefault(str(served_by), set()).add(key)
        n = len(set().union(*found.values()))
        if not n:
            return ""
        names = shown(dict.fromkeys(e.name for key in set().union(*found.values()) for e in today[key]))
        return (
            f"The journal {self.journal.path} has replies to {counted(n, 'request')} from another host "
            f"({shown(found)}), which do not answer for {names}: these are asked again. To keep those replies, add "
            "that endpoint to the model's list: models={name: [this endpoint, that endpoint]}."
        )

    def max_in_flight_usd(self, todo: Sequence[Request]) -> float:
        """Return the most that requests in flight together can cost, as far as it is known.

        With a budget, every request must have a known price and a limit on its output.
        """
        if self.settings.budget_usd is not None:
            _check_prices_known([e for name in dict.fromkeys(r.model for r in todo) for e in self.endpoints[name]])
        costs = []
        for request in todo:
            each = [most_cost(endpoint, request) for endpoint in self.endpoints[request.model]]
            if self.settings.budget_usd is not None and math.inf in each:
                refuse(
                    "'budget_usd'",
                    f"nothing bounds the output of {request.model!r}: no budget can be kept.",
                    "Pass max_tokens (or params={'max_completion_tokens': ...} where the model wants that).",
                )
            costs += [max((cost for cost in each if math.isfinite(cost)), default=0.0)]
        return math.fsum(heapq.nlargest(self.settings.concurrency, costs))


def make_plan(
    requests: Iterable[Request],
    models: Models,
    path: str | Path,
    *,
    client: Any,
    prices: Prices | None,
    settings: Settings,
    dry_run: bool = False,
) -> Plan:
    """Check everything that can be checked before money is spent."""
    settings.check()
    requests = list(requests)
    endpoints = resolve_models(models, client, prices)
    odd = [r for r in requests if not isinstance(r, Request)]
    if odd:
        refuse("'requests'", f"holds a {type(odd[0]).__name__}.", "Build each with Request(model, messages, params).")
    unknown = sorted({r.model for r in requests} - endpoints.keys())
    if unknown:
        refuse("'requests'", f"model {shown(unknown)} is not in 'models'.", f"It has {shown(endpoints, 20)}.")
    taken = sorted({name for r in requests for name in r.about} & RESERVED)
    if taken:
        refuse("'requests', 'about'", f"{shown(taken)} is what the record itself says.", "Choose another name.")
    for request in requests:
        _check_about(request)
    _check_prices(prices, endpoints)
    if not dry_run:
        for endpoint in (e for group in endpoints.values() for e in group):
            check_client(endpoint.client)
    return Plan(requests, endpoints, Journal(Path(path)), settings)


def _check_about(request: Request) -> None:
    """Insist that the journal can hold what a request is about, before its reply is paid for."""
    for name, value in request.about.items():
        try:
            json.dumps(value, allow_nan=False, ensure_ascii=False).encode()  # half a surrogate pair fits into no table
        except (TypeError, ValueError, RecursionError):
            what = f"{name!r} is {value!r} of type {type(value).__name__}, which JSON cannot say: nothing was sent."
            reject("'requests', 'about'", what, "Use text or numbers, e.g. .astype(str): the journal is JSON.")


def _check_prices(prices: Prices | None, endpoints: Mapping[str, Sequence[Endpoint]]) -> None:
    """Refuse prices that match no model while a model has none; warn if that one has the price list's."""
    if not isinstance(prices, Mapping):
        return  # a table of prices may well hold more than is asked here
    every = [endpoint for group in endpoints.values() for endpoint in group]
    names = {*endpoints, *(endpoint.model for endpoint in every)}
    unused = [name for name in prices if name not in names]
    without = [endpoint for endpoint in every if endpoint.price is None]
    if not unused or not without:
        return
    wrong = f"{shown(unused)} is not a model of this call, which has {shown(dict.fromkeys(e.model for e in every))}."
    unknown = list(dict.fromkeys(e.model for e in without if math.isnan(request_cost(e, 1.0, 1.0))))
    if unknown:
        refuse("'prices'", wrong, f"Correct the name, or leave it out; the price of {shown(unknown)} is not known.")
    listed = shown(dict.fromkeys(endpoint.model for endpoint in without))
    text = f"'prices': {wrong} The price list's price is used for {listed}; correct the name, or leave it out."
    warnings.warn(text, CollectionWarning, stacklevel=4)


def unpriced(endpoints: Iterable[Endpoint]) -> tuple[list[str], str]:
    """Return the endpoints, by name, whose price is not known, and one question about all of them."""
    without = list({e.name: e for e in endpoints if math.isnan(request_cost(e, 1.0, 1.0))}.values())
    models = list(dict.fromkeys(e.model for e in without))
    prices = ", ".join(f"{model!r}: (input, output)" for model in models)
    free = ", ".join(f"{model!r}: 0" for model in models)
    paid = f"pass prices={{{prices}}} in USD per 1M tokens, or Endpoint(price=...)"
    if all(is_local(e.address) for e in without):
        text = f"Does that cost nothing? Then pass prices={{{free}}}, or Endpoint(price=0); if it does cost, {paid}."
    else:
        text = f"Does a listed provider bill it? Then say Endpoint(provider='openai'), by its name; or {paid}."
    return [e.name for e in without], text


def _check_prices_known(endpoints: Iterable[Endpoint]) -> None:
    names, question = unpriced(endpoints)
    if names:
        wrong = f"the price of {shown(names)} is not known, and without it no budget can be kept."
        refuse("'budget_usd'", wrong, question)


@dataclass(frozen=True)
class CostEstimate:
    """What a collection would cost; ``print(estimate)`` shows it with its assumptions.

    Attributes
    ----------
    by_model : DataFrame of shape (n_models, 7)
        Indexed by ``model``: ``n_requests`` to send, ``n_from_journal`` already there, and for those to send
        ``input_tokens``, ``output_tokens`` and ``expected_usd`` as expected, ``most_output_tokens`` and
        ``most_usd`` at most (inf without a limit on output). USD are NaN where no price is known.
    assumptions : tuple of str
        What the figures rest on.
    budget_usd, spent_before_usd : float or None, float
        The budget, and what the journal says was spent, maybe billed included.
    """

    by_model: pd.DataFrame
    assumptions: tuple[str, ...]
    budget_usd: float | None = None
    spent_before_usd: float = 0.0

    @property
    def n_requests(self) -> int:
        """Requests that would be sent."""
        return int(self.by_model["n_requests"].sum())

    @property
    def expected_usd(self) -> float:
        """Expected cost of all models in USD; NaN if the price of one is not known."""
        return float(self.by_model["expected_usd"].sum(skipna=False))

    @property
    def max_cost_usd(self) -> float:
        """Most that one attempt at each request can cost, in USD."""
        return float(self.by_model["most_usd"].sum(skipna=False))

    most_usd = old_name("most_usd", "max_cost_usd")

    def __str__(self) -> str:
        """Return the table, the sums, and what they rest on."""
        return "\n".join([self._rounded().to_string(float_format=_figure), self._summary(), *self.assumptions])

    def __repr__(self) -> str:
        """Return what ``print`` shows: in a notebook without HTML, this is the result."""
        return str(self)

    def _rounded(self) -> pd.DataFrame:
        """Return the table with whole tokens, for people."""
        return self.by_model.round({"input_tokens": 0, "output_tokens": 0, "most_output_tokens": 0})

    def _summary(self) -> str:
        text = (
            f"{counted(self.n_requests, 'request')}: expected {_figure(self.expected_usd)} USD, "
            f"at most {_figure(self.max_cost_usd)} USD."
        )
        if self.budget_usd is None:
            return text
        left = self.budget_usd - self.spent_before_usd
        verdict = "enough" if self.max_cost_usd <= left else "not enough for the worst case"
        if self.expected_usd > left:
            verdict = "not enough: the run would stop before its end"
        return f"{text} Of the budget of {self.budget_usd:g} USD, {_figure(max(left, 0.0))} are left: {verdict}."

    def _repr_html_(self) -> str:
        notes = "".join(f"<li>{html.escape(text)}</li>" for text in self.assumptions)
        table = self._rounded().to_html(float_format=_figure, border=0)
        return fragment(f"{table}<p>{html.escape(self._summary())}</p><ul>{notes}</ul>")


def estimate_requests(
    requests: Iterable[Request],
    models: Models,
    *,
    path: str | Path,
    client: Any = None,
    prices: Prices | None = None,
    budget_usd: float | None = None,
    expected_output_tokens: float | None = None,
) -> CostEstimate:
    """Return what `run_requests` would spend on what the journal does not answer; nothing is sent or written.

    Parameters
    ----------
    requests, models, path, client, prices, budget_usd
        As in `run_requests`.
    expected_output_tokens : float, optional
        Assumed length of a reply; by default the mean of the replies in the journal, or a figure that the result names.

    Returns
    -------
    CostEstimate
        By model, with its assumptions.

    Raises
    ------
    ParameterError
        What `run_requests` would refuse.

    Examples
    --------
    >>> request = Request("small", [{"role": "user", "content": "four" * 100}], {"max_tokens": 50})
    >>> cost = estimate_requests([request], ["small"], path="nowhere.jsonl", prices={"small": (1, 2)})
    >>> round(cost.expected_usd * 1e6)  # 100 tokens in, 50 out
    200
    """
    plan = make_plan(requests, models, path, client=client, prices=prices, settings=Settings(budget_usd), dry_run=True)
    return estimate(plan, expected_output_tokens)


def estimate(plan: Plan, expected_output_tokens: float | None = None) -> CostEstimate:
    """Return what the requests of a plan would cost that the journal does not answer."""
    if expected_output_tokens is not None and not (
        isinstance(expected_output_tokens, int | float) and 0 <= expected_output_tokens < math.inf
    ):
        refuse("'expected_output_tokens'", f"got {expected_output_tokens!r}.", "Pass a number of at least 0.")
    plan.journal.read()
    notes = [
        "Input: characters / 4 (a rule of thumb for English) as expected, bytes sent as the most.",
        "Each request is sent once, to its first endpoint; retries that were billed, and fallbacks, come on top.",
    ]
    todo = plan.look_up()
    notes += [text] if (text := plan.elsewhere(todo)) else []
    if plan.settings.budget_usd is not None:
        plan.max_in_flight_usd(todo)  # says which price or limit is missing, as the run would
    rows = [_row(plan, model, expected_output_tokens, notes) for model in plan.endpoints]
    names, question = unpriced(e for group in plan.endpoints.values() for e in group)
    notes += [f"The price of {shown(names)} is not known. {question}"] if names else []
    if any(not isinstance(group[0].price, tuple) for group in plan.endpoints.values()):
        notes.append(f"Prices of models without one of your own: {price_list_info()}.")
    spent = plan.journal.spent_usd + plan.journal.maybe_billed_usd
    return CostEstimate(pd.DataFrame(rows).set_index("model"), tuple(notes), plan.settings.budget_usd, spent)


def _row(plan: Plan, model: str, expected_output_tokens: float | None, notes: list[str]) -> dict[str, object]:
    requests = [r for r in plan.unique if r.model == model]
    todo = [r for r in requests if r.key not in plan.replies]
    endpoint, group = plan.endpoints[model][0], plan.endpoints[model]
    n_in = _input_tokens(todo)
    n_most = np.array([max(most_tokens(e, r)[1] for e in group) for r in todo])
    guess = _guess(plan, model, expected_output_tokens, notes)
    n_out = np.minimum(guess, n_most)
    expected = [
        request_cost(endpoint, a, b, tier=tier_of(endpoint, r)) for r, a, b in zip(todo, n_in, n_out, strict=True)
    ]
    most = [np.max([most_cost(e, r) for e in group]) for r in todo]
    return {
        "model": model,
        "n_requests": len(todo),
        "n_from_journal": len(requests) - len(todo),
        "input_tokens": n_in.sum(),
        "output_tokens": n_out.sum(),
        "most_output_tokens": n_most.sum(),
        "expected_usd": math.fsum(expected),
        "most_usd": math.fsum(most),
    }


def _guess(plan: Plan, model: str, expected_output_tokens: float | None, notes: list[str]) -> float:
    """Return output tokens for each request: what the journal measured for the model, or else an assumption."""
    names = {endpoint.name for endpoint in plan.endpoints[model]}
    unknown = any(endpoint.client is None for endpoint in plan.endpoints[model])  # and so is its host
    known = plan.journal.output_tokens.items()
    measured = [n for (m, name), lengths in known if m == model and (unknown or name in names) for n in lengths]
    if measured:
        mean = math.fsum(measured) / len(measured)
        replies = counted(len(measured), "reply", "replies")
        notes.append(f"Output of {model}: {mean:.0f} tokens, the mean of its {replies} in the journal.")
        return mean
    guess = ASSUMED_OUTPUT_TOKENS if expected_output_tokens is None else float(expected_output_tokens)
    why = "an assumption; pass expected_output_tokens" if expected_output_tokens is None else "as given"
    notes.append(f"Output of {model}: {guess:g} tokens ({why}), or max_tokens if less.")
    return guess


def _input_tokens(requests: Iterable[Request]) -> np.ndarray:
    texts = ["".join(str(m.get("content") or "") for m in request.messages) for request in requests]
    return estimate_tokens(pd.Series(texts, dtype=object)).to_numpy(float)


def _figure(value: float) -> str:
    if math.isnan(value):
        return "unknown"
    if math.isinf(value):
        return "no limit"
    return f"{value:,.0f}" if value >= 1000 or value == int(value) else f"{value:.4f}"
