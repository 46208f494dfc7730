"""What a run is going to ask for, checked before money is spent."""

from __future__ import annotations

import heapq
import json
import math
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from routerlab.completions._accounting import most_cost, request_cost
from routerlab.completions._clients import check_client
from routerlab.completions._endpoint import Endpoint, Models, Request, is_local, resolve_models
from routerlab.completions._journal import Journal, Record
from routerlab.completions._records import RESERVED, sent_digest
from routerlab.completions._settings import Settings
from routerlab.completions._words import counted
from routerlab.exceptions import CollectionWarning
from routerlab.pricing import Prices
from routerlab.schema import reject, shown


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
        """Replies by request and by what the provider calls the model, from whichever host."""
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

    def most_in_flight_usd(self, todo: Sequence[Request]) -> float:
        """Return the most that requests in flight together can cost, as far as it is known.

        With a budget, every request must have a known price and a limit on its output.
        """
        if self.settings.budget_usd is not None:
            _check_prices_known([e for name in dict.fromkeys(r.model for r in todo) for e in self.endpoints[name]])
        costs = []
        for request in todo:
            each = [most_cost(endpoint, request) for endpoint in self.endpoints[request.model]]
            if self.settings.budget_usd is not None and math.inf in each:
                reject(
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
        reject("'requests'", f"holds a {type(odd[0]).__name__}.", "Build each with Request(model, messages, params).")
    unknown = sorted({r.model for r in requests} - endpoints.keys())
    if unknown:
        reject("'requests'", f"model {shown(unknown)} is not in 'models'.", f"It has {shown(endpoints, 20)}.")
    taken = sorted({name for r in requests for name in r.about} & RESERVED)
    if taken:
        reject("'requests', 'about'", f"{shown(taken)} is what the record itself says.", "Choose another name.")
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
    wrong = f"{shown(unused)} is no model here; there is {shown(dict.fromkeys(e.model for e in every))}."
    unknown = list(dict.fromkeys(e.model for e in without if math.isnan(request_cost(e, 1.0, 1.0))))
    if unknown:
        reject("'prices'", wrong, f"Correct the name, or leave it out; the price of {shown(unknown)} is not known.")
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
        reject("'budget_usd'", wrong, question)
