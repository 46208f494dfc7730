"""What a run is going to ask for, checked before money is spent."""

from __future__ import annotations

import heapq
import json
import math
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from routerlab.completions._accounting import most_cost, request_cost
from routerlab.completions._clients import check_client
from routerlab.completions._endpoint import Endpoint, Models, Request, resolve_models
from routerlab.completions._errors import CollectionWarning
from routerlab.completions._journal import Journal, Record
from routerlab.completions._records import RESERVED, sent_digest
from routerlab.completions._settings import Settings
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

        A record answers a request if it came from what an endpoint of today would be asked for.
        """
        unique, self.replies = self.unique, {}
        for request in unique:
            for endpoint in self.endpoints[request.model]:
                record = self.journal.done.get((request.key, sent_digest(endpoint, request)))
                if record is not None:
                    self.replies[request.key] = record
                    break
        return [request for request in unique if request.key not in self.replies]

    def most_in_flight_usd(self, todo: Sequence[Request]) -> float:
        """Return the most that requests in flight together can cost, as far as it is known.

        With a budget, every request must have a known price and a limit on its output.
        """
        costs = []
        for request in todo:
            endpoints = self.endpoints[request.model]
            each = [most_cost(endpoint, request) for endpoint in endpoints]
            if self.settings.budget_usd is not None:
                _check_bounded(request, endpoints, each)
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
            json.dumps(value, allow_nan=False)
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


def _check_bounded(request: Request, endpoints: Sequence[Endpoint], costs: Sequence[float]) -> None:
    for endpoint, cost in zip(endpoints, costs, strict=True):
        if math.isnan(cost):
            reject(
                "'budget_usd'",
                f"the price of {endpoint.model!r} is not known, so that no budget can be kept.",
                f"Pass prices={{{endpoint.model!r}: (input, output)}} in USD per 1M tokens, or Endpoint(price=...).",
            )
        if math.isinf(cost):
            reject(
                "'budget_usd'",
                f"nothing bounds the output of {request.model!r}, so that no budget can be kept.",
                "Pass max_tokens (or params={'max_completion_tokens': ...} where the model wants that).",
            )
