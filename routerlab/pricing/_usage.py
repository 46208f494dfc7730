"""What a reply says that it took, in its provider's spelling."""

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

# No single request takes or costs as much: such figures are errors, and nobody's bill.
_MOST_TOKENS, _MOST_USD = 1e9, 1e6
_TICKS_PER_USD = 1e10  # xAI's unit
_MODALITIES = ("audio", "image", "video")
# Tiers at the standard price, by whatever name.
_STANDARD = frozenset({"", "auto", "default", "standard", "on_demand"})


# What a provider's own protocol calls them, where a gateway hands its figures on as they are.
_ALSO_CALLED = {
    "prompt_token_count": "prompt_tokens",  # Gemini
    "candidates_token_count": "completion_tokens",
    "thoughts_token_count": "reasoning_tokens",
    "total_token_count": "total_tokens",
    "cached_content_token_count": "cached_tokens",
    "cache_write_input_tokens": "cache_write_tokens",  # Bedrock
    "prompt_eval_count": "prompt_tokens",  # Ollama
    "eval_count": "completion_tokens",
    "prompt_n": "prompt_tokens",  # llama.cpp, whose prompt_n leaves out what it had in its cache
    "predicted_n": "completion_tokens",
}


class Usage(NamedTuple):
    """Tokens of one request by kind, and what the provider says that it billed.

    Attributes
    ----------
    counts : dict of str to float
        By the price list's names: ``input_tokens`` and ``output_tokens`` are all of them (NaN if the reply does not
        say); ``cache_read_tokens``, ``cache_write_tokens``, ``input_audio_tokens``, ``output_reasoning_tokens``, ...
        are parts of these, and there only if the reply says so.
    cost_usd : float
        As the provider reports it; NaN if it does not.
    tier : str or None
        'batch', 'flex', 'priority', ... if the request was not billed at the standard price.
    """

    counts: dict[str, float]
    cost_usd: float = math.nan
    tier: str | None = None


def read_usage(usage: Any) -> Usage:
    """Read the ``usage`` of a reply; never raises, and what cannot be read is not known.

    Parameters
    ----------
    usage : mapping, openai ``CompletionUsage`` or ``ResponseUsage``, or anything else
        As it came.

    Returns
    -------
    Usage
        Tokens by kind, billed cost, tier.

    Notes
    -----
    Reasoning that a provider counts apart from ``completion_tokens`` (xAI, Gemini) shows in ``total_tokens``: output is
    ``max(completion, total - prompt)``. Cached tokens are part of ``prompt_tokens``; of Anthropic's ``input_tokens``
    they are not, and are added.

    Examples
    --------
    >>> usage = {"prompt_tokens": 32, "completion_tokens": 9, "total_tokens": 135}
    >>> read_usage(usage).counts
    {'input_tokens': 32.0, 'output_tokens': 103.0}
    >>> read_usage({"input_tokens": 3, "cache_read_input_tokens": 900, "output_tokens": 5}).counts
    {'input_tokens': 903.0, 'output_tokens': 5.0, 'cache_read_tokens': 900.0}
    """
    given = _named(as_mapping(usage))
    inside = _part(given, "prompt_tokens_details", "input_tokens_details")
    outside = _part(given, "completion_tokens_details", "output_tokens_details")
    read = _most(given, "cache_read_input_tokens", "prompt_cache_hit_tokens", "cached_tokens", "num_cached_tokens")
    read = max(read, _most(inside, "cached_tokens", "cache_read_tokens", "cache_read_input_tokens"))
    write, write_1h = _written(given, inside)
    total, completion = _count(given, "total_tokens"), _count(given, "completion_tokens", "output_tokens")
    reasoning = max(_most(outside, "reasoning_tokens"), _most(given, "reasoning_tokens"))
    n_in = _input(given, total - completion, read, write, reasoning)
    n_out = _output(n_in, total, completion, reasoning)
    counts = {"input_tokens": n_in, "output_tokens": n_out}
    parts = {
        "cache_read_tokens": read,
        "cache_write_tokens": write,
        "cache_write_1h_tokens": write_1h,
        "output_reasoning_tokens": reasoning,
        "web_searches": _most(_part(given, "server_tool_use"), "web_search_requests"),
    }
    cached = _part(inside, "cached_tokens_details")
    for kind in _MODALITIES:
        parts[f"input_{kind}_tokens"] = _most(inside, f"{kind}_tokens")
        parts[f"output_{kind}_tokens"] = _most(outside, f"{kind}_tokens")
        parts[f"cache_{kind}_read_tokens"] = _most(cached, f"{kind}_tokens")
    return Usage(counts | {name: n for name, n in parts.items() if n > 0}, _billed(given), _tier(given))


def number(value: Any, most: float = math.inf) -> float:
    """Return a finite number from 0 to `most`, or NaN: what providers send is not always a number.

    Examples
    --------
    >>> number("12"), number(-1), number(10**400), number(True)
    (12.0, nan, nan, nan)
    """
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return math.nan
    try:
        read = float(value)
    except (ValueError, OverflowError):
        return math.nan
    return read if math.isfinite(read) and 0 <= read <= most else math.nan


def _input(given: Mapping[str, Any], rest: float, read: float, write: float, reasoning: float) -> float:
    """Return all input tokens: with those read from and written to a cache, which some providers count apart.

    `rest` is the total without the output: it tells how a provider counts, where it is given.
    """
    anthropic = math.isnan(_count(given, "prompt_tokens"))
    anthropic &= not math.isnan(_count(given, "cache_read_input_tokens", "cache_creation_input_tokens"))
    prompt = _count(given, "prompt_tokens", "input_tokens")
    if math.isnan(prompt):
        return rest if rest >= read + write else math.nan
    possible = sorted({prompt, prompt + read, prompt + write, prompt + read + write})
    possible = [n for n in possible if n >= read + write]
    if rest in possible and rest - reasoning != prompt:
        return rest
    return prompt + read + write if anthropic else possible[0]


def _output(n_in: float, total: float, completion: float, reasoning: float) -> float:
    """Return all output tokens, reasoning among them."""
    if math.isnan(completion):
        return total - n_in if total >= n_in else math.nan
    if total >= n_in + completion:
        return total - n_in
    return completion + reasoning if reasoning > completion else completion


def _written(given: Mapping[str, Any], inside: Mapping[str, Any]) -> tuple[float, float]:
    """Return tokens written to a cache, and those among them that are kept for an hour."""
    apart = _part(given, "cache_creation")
    hour = _most(apart, "ephemeral_1h_input_tokens")
    names = ("cache_write_tokens", "cache_creation_tokens", "cache_creation_input_tokens")
    write = max(_most(given, *names), _most(inside, *names), hour + _most(apart, "ephemeral_5m_input_tokens"))
    return write, hour


def _billed(given: Mapping[str, Any]) -> float:
    """Return what the provider says that the request cost, in USD."""
    cost = given.get("cost")
    if isinstance(cost, Mapping):  # Perplexity
        cost = cost.get("total_cost")
    usd = number(cost, _MOST_USD)
    if given.get("is_byok") is True:  # OpenRouter: its fee alone; the provider's own bill comes on top
        return usd + number(_part(given, "cost_details").get("upstream_inference_cost"), _MOST_USD)
    others = (usd, number(given.get("cost_in_usd_ticks")) / _TICKS_PER_USD, number(given.get("estimated_cost")))
    return next((n for n in others if n <= _MOST_USD), math.nan)


def _tier(given: Mapping[str, Any]) -> str | None:
    tier = given.get("service_tier")
    return None if not isinstance(tier, str) or tier.lower() in _STANDARD else tier.lower()


def as_mapping(value: Any) -> Mapping[str, Any]:
    """Return the SDK's objects as plain mappings, and anything that is not a mapping as an empty one.

    Examples
    --------
    >>> as_mapping({"prompt_tokens": 9}), as_mapping([9]), as_mapping(None)
    ({'prompt_tokens': 9}, {}, {})
    """
    if hasattr(value, "model_dump"):
        try:
            value = value.model_dump(warnings=False)  # fields of other types than declared are what we are prepared for
        except Exception:
            return {}
    return value if isinstance(value, Mapping) else {}


def _named(given: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return counts under the names of the chat protocol: ``inputTokens`` and the like are what some gateways send."""
    if "cache_n" in given and "prompt_n" in given:
        cached = number(given["cache_n"], _MOST_TOKENS)
        given = {**given, "prompt_n": number(given["prompt_n"], _MOST_TOKENS) + cached, "cached_tokens": cached}
    named: dict[str, Any] = {}
    for name, value in given.items():
        snake = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower() if isinstance(name, str) else str(name)
        named.setdefault(_ALSO_CALLED.get(snake, snake), value)
    if not named.keys() & {"prompt_tokens", "input_tokens"} and isinstance(given.get("billed_units"), Mapping):
        return {**named, **given["billed_units"]}  # Cohere
    return {**named, **{name: value for name, value in given.items() if isinstance(name, str)}}


def _part(given: Mapping[str, Any], *names: str) -> Mapping[str, Any]:
    return next((given[name] for name in names if isinstance(given.get(name), Mapping)), {})


def _count(given: Mapping[str, Any], *names: str) -> float:
    """Return the largest count under these names, NaN if there is none."""
    return max(_counts(given, names), default=math.nan)


def _most(given: Mapping[str, Any], *names: str) -> float:
    """Return the largest count under these names, 0 if there is none: one figure may stand under several."""
    return max(_counts(given, names), default=0.0)


def _counts(given: Mapping[str, Any], names: Iterable[str]) -> list[float]:
    found = [number(given.get(name), _MOST_TOKENS) for name in names]
    return [n for n in found if not math.isnan(n)]
