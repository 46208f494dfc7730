"""Tokens and USD of one reply: the reply's own figures first, then a price; what nobody knows stays empty."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from routerlab.completions._endpoint import Endpoint, Request
from routerlab.pricing import price
from routerlab.schema import reject

# Chat templates add marks around each message, and some a system message of their own.
_TOKENS_BY_MESSAGE, _TOKENS_BY_REQUEST = 16, 64
_MOST = 1e15  # what no count of tokens and no cost is above


class Account(NamedTuple):
    """What one reply took.

    Attributes
    ----------
    input_tokens, output_tokens : float
        As the provider counts them; NaN if the reply does not say.
    cost_usd : float
        NaN if not known; never 0 for want of a price.
    cost_source : str or None
        'reply' (the provider said it), 'own price', 'price list', or None.
    """

    input_tokens: float
    output_tokens: float
    cost_usd: float
    cost_source: str | None


def account(usage: Any, endpoint: Endpoint) -> Account:
    """Return tokens and cost of one reply.

    Parameters
    ----------
    usage : mapping, openai ``CompletionUsage``, or None
        The reply's ``usage``. If it carries a cost in USD (``cost``, as OpenRouter's do), that is what counts.
    endpoint : Endpoint
        Who served it, with its price, as `resolve_models` fills it in.

    Returns
    -------
    Account
        Cached input tokens are charged at the full input price unless the reply carries its own cost.

    Notes
    -----
    For a request on one's own provider key, OpenRouter's ``cost`` is its fee alone, and
    ``cost_details.upstream_inference_cost`` is what the provider charges: both are added.

    Examples
    --------
    >>> account({"prompt_tokens": 1000, "completion_tokens": 200}, Endpoint("ours", price=(0.5, 1.5)))
    Account(input_tokens=1000.0, output_tokens=200.0, cost_usd=0.0008, cost_source='own price')
    >>> account({"prompt_tokens": 9, "completion_tokens": 1, "cost": 0.25}, Endpoint("ours")).cost_source
    'reply'
    """
    given = usage.model_dump(warnings=False) if hasattr(usage, "model_dump") else usage
    given = given if isinstance(given, Mapping) else {}
    n_in, n_out = _number(given.get("prompt_tokens")), _number(given.get("completion_tokens"))
    cost, source = _number(given.get("cost")), "reply"
    if given.get("is_byok") is True:
        details = given.get("cost_details")
        cost += _number(details.get("upstream_inference_cost") if isinstance(details, Mapping) else None)
    if math.isnan(cost):
        cost = request_cost(endpoint, n_in, n_out)
        source = "price list" if endpoint.price is None or isinstance(endpoint.price, str) else "own price"
    return Account(n_in, n_out, cost, None if math.isnan(cost) else source)


def request_cost(endpoint: Endpoint, input_tokens: float, output_tokens: float) -> float:
    """Return the USD of a request by the endpoint's price, or the price list's; NaN if not known.

    Examples
    --------
    >>> request_cost(Endpoint("ours", price=(0.5, 1.5)), 1000, 200)
    0.0008
    """
    if math.isnan(input_tokens) or math.isnan(output_tokens):
        return math.nan
    own = None if endpoint.price is None else {endpoint.model: endpoint.price}
    return price(endpoint.model, input_tokens, output_tokens, prices=own, warn=False)


def most_tokens(endpoint: Endpoint, request: Request) -> tuple[float, float]:
    """Return the most tokens, input and output, that a request can take at an endpoint.

    A token of the byte-level tokenizers in use stands for at least one byte, so that the bytes of what is sent, and
    some for the chat template, bound the input. ``max_tokens`` or ``max_completion_tokens`` bounds the output (inf
    without them).

    Examples
    --------
    >>> request = Request("m", [{"role": "user", "content": "Hi"}], {"max_tokens": 5})
    >>> n_in, n_out = most_tokens(Endpoint("m"), request)
    >>> n_in > 64, n_out
    (True, 5.0)
    """
    body = endpoint.body(request)
    for message in request.messages:
        if not isinstance(message.get("content", ""), str | None):
            reject(
                "'budget_usd'",
                "a message holds something else than text, whose tokens cannot be bounded.",
                "Leave the budget out, or send text.",
            )
    n_bytes = len(json.dumps(body, ensure_ascii=False).encode("utf-8", "surrogatepass"))
    limits = [_number(body.get(name)) for name in ("max_tokens", "max_completion_tokens")]
    given = [limit for limit in limits if not math.isnan(limit)]
    return n_bytes + _TOKENS_BY_MESSAGE * len(request.messages) + _TOKENS_BY_REQUEST, max(given, default=math.inf)


def most_cost(endpoint: Endpoint, request: Request) -> float:
    """Return the most USD that a request can cost at an endpoint: inf without a limit on output, NaN without a price.

    Examples
    --------
    >>> most_cost(Endpoint("m", price=(1, 1)), Request("m", [{"role": "user", "content": "Hi"}]))
    inf
    """
    n_in, n_out = most_tokens(endpoint, request)
    if math.isfinite(n_out):
        return request_cost(endpoint, n_in, n_out)
    unit = request_cost(endpoint, n_in, 1.0)
    return unit if math.isnan(unit) or unit == request_cost(endpoint, n_in, 0.0) else math.inf


def _number(value: Any) -> float:
    """Return a number from 0 to 1e15, or NaN: what providers send is not always a number."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return math.nan
    try:
        number = float(value)
    except (ValueError, OverflowError):  # the latter for whole numbers of hundreds of digits
        return math.nan
    return number if 0 <= number <= _MOST else math.nan
