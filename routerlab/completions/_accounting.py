"""Tokens and USD of one reply: the reply's own figures first, then a price; what nobody knows stays empty."""

from __future__ import annotations

import json
import math
from typing import Any, NamedTuple

from routerlab.completions._content import part_of
from routerlab.completions._endpoint import Endpoint, Request
from routerlab.pricing import Usage, as_mapping, number, read_usage, usage_cost
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
        The reply's ``usage``, in any provider's spelling; see `routerlab.pricing.read_usage`. If it carries a cost in
        USD (``cost``, as OpenRouter's do), that is what counts. A ``service_tier`` in it ('batch', 'flex', ...) has the
        list's price for that tier.
    endpoint : Endpoint
        Who served it, with its price, as `resolve_models` fills it in.

    Returns
    -------
    Account
        Cached input tokens are charged at the price for these, where the list or the endpoint's price has one.

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
    used = read_usage(usage)
    cost, source = used.cost_usd, "reply"
    if math.isnan(cost):
        cost = _cost(endpoint, used)
        source = "price list" if endpoint.price is None or isinstance(endpoint.price, str) else "own price"
    n_in, n_out = used.counts["input_tokens"], used.counts["output_tokens"]
    return Account(n_in, n_out, cost, None if math.isnan(cost) else source)


def billed_usage(reply: Any, before: Any = None) -> Any:
    """Return the usage of a reply, or of a stream's chunk, with the tier at which it was served.

    Parameters
    ----------
    reply : mapping, openai ``ChatCompletion`` or ``ChatCompletionChunk``
        What may have ``usage`` and ``service_tier``.
    before : optional
        The usage so far of the same stream: what later chunks do not say stands.

    Returns
    -------
    mapping, or whatever came as usage
        None if there is none.

    Examples
    --------
    >>> first = billed_usage({"usage": {"prompt_tokens": 9}, "service_tier": "flex"})
    >>> billed_usage({"usage": {"completion_tokens": 2}}, first)
    {'service_tier': 'flex', 'prompt_tokens': 9, 'completion_tokens': 2}
    """
    usage, tier = _usage_in(reply), part_of(reply, "service_tier")
    given = {name: value for name, value in as_mapping(usage).items() if value is not None}
    if not given:
        return usage if before is None else before
    tiers = {"service_tier": tier} if isinstance(tier, str) else {}
    return {**as_mapping(before), **tiers, **given}


def _usage_in(reply: Any) -> Any:
    """Return a reply's usage from where its provider puts it: under that name, or in streams in a place of its own."""
    usage = part_of(reply, "usage")
    if as_mapping(usage):
        return usage
    choices = part_of(reply, "choices")
    last = choices[0] if isinstance(choices, list | tuple) and choices else None
    others = (part_of(part_of(reply, "x_groq"), "usage"), part_of(last, "usage"), part_of(reply, "timings"))
    return next((each for each in others if as_mapping(each)), usage)  # Groq, Moonshot, llama.cpp


def request_cost(endpoint: Endpoint, input_tokens: float, output_tokens: float, *, tier: str | None = None) -> float:
    """Return the USD of a request by the endpoint's price, or the price list's; NaN if not known.

    Examples
    --------
    >>> request_cost(Endpoint("ours", price=(0.5, 1.5)), 1000, 200)
    0.0008
    """
    return _cost(endpoint, Usage({"input_tokens": input_tokens, "output_tokens": output_tokens}, tier=tier))


def tier_of(endpoint: Endpoint, request: Request) -> str | None:
    """Return the service tier that a request asks for; None for the standard one.

    Examples
    --------
    >>> tier_of(Endpoint("m"), Request("m", [], {"service_tier": "flex"}))
    'flex'
    """
    return read_usage({"service_tier": endpoint.body(request).get("service_tier")}).tier


def _cost(endpoint: Endpoint, usage: Usage) -> float:
    return usage_cost(
        endpoint.model,
        usage,
        provider=endpoint.provider or endpoint.address,
        prices=None if endpoint.price is None else {endpoint.model: endpoint.price},
        batch=endpoint.batch,
    )


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
    limits = [number(body.get(name)) for name in ("max_tokens", "max_completion_tokens")]
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
        return _most(endpoint, request, n_in, n_out)
    unit = _most(endpoint, request, n_in, 1.0)
    return unit if math.isnan(unit) or unit == _most(endpoint, request, n_in, 0.0) else math.inf


def _most(endpoint: Endpoint, request: Request, n_in: float, n_out: float) -> float:
    """Return the cost at the dearest that these tokens can be: written to a cache, or not served at the tier asked."""
    counts = {"input_tokens": n_in, "output_tokens": n_out}
    plain = _cost(endpoint, Usage(counts))
    if math.isnan(plain) or not (endpoint.price is None or isinstance(endpoint.price, str)):
        return plain
    said = endpoint.body(request).get("modalities")
    spoken = {f"output_{kind}_tokens": n_out for kind in said if kind != "text"} if isinstance(said, list) else {}
    dearest = counts | {"cache_write_tokens": n_in} | spoken
    costs = [_cost(endpoint, Usage(dearest))]
    if tier := tier_of(endpoint, request):
        costs += [_cost(endpoint, Usage(kinds, tier=tier)) for kinds in (counts, dearest)]
    return max(plain, *(cost for cost in costs if not math.isnan(cost)))
