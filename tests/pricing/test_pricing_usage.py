"""What a reply says that it took, in every spelling: tokens by kind, the billed cost, and nothing that crashes."""

from __future__ import annotations

import math
import random
from typing import Any

import pytest
from openai.types import CompletionUsage

from routerlab.completions import Endpoint, account, billed_usage
from routerlab.pricing import read_usage, usage_cost

BIG = 10**6


def chat(prompt: float, completion: float, total: float | None = None, **more: Any) -> dict[str, Any]:
    usage = {"prompt_tokens": prompt, "completion_tokens": completion, **more}
    return usage if total is None else {**usage, "total_tokens": total}


def inside(**details: Any) -> dict[str, Any]:
    return {"prompt_tokens_details": details}


def outside(**details: Any) -> dict[str, Any]:
    return {"completion_tokens_details": details}


def responses(n_in: float, n_out: float, cached: float = 0) -> dict[str, Any]:
    return {"input_tokens": n_in, "output_tokens": n_out, "input_tokens_details": {"cached_tokens": cached}}


# usage -> tokens in, tokens out
TOTALS: dict[str, tuple[Any, tuple[float, float]]] = {
    "reasoning beside the completion": (chat(32, 9, 135, **outside(reasoning_tokens=94)), (32, 103)),
    "thoughts in the total alone": (chat(10, 5, 415), (10, 405)),
    "reasoning inside the completion": (chat(32, 103, 135, **outside(reasoning_tokens=94)), (32, 103)),
    "reasoning beside it, no total": (chat(32, 9, **outside(reasoning_tokens=94)), (32, 103)),
    "reasoning inside it, no total": (chat(32, 103, **outside(reasoning_tokens=94)), (32, 103)),
    "reasoning beside it, cached input": (
        chat(10_120, 1499, 14_428, **inside(cached_tokens=128), **outside(reasoning_tokens=2809)),
        (10_120, 4308),
    ),
    "as much reasoning beside it as is cached": (
        chat(100, 5, 145, **inside(cached_tokens=40), **outside(reasoning_tokens=40)),
        (100, 45),
    ),
    "total below the prompt": (chat(100, 5, 50), (100, 5)),
    "total of the prompt": (chat(100, 5, 100), (100, 5)),
    "total is no number": (chat(100, 5, "many"), (100, 5)),  # type: ignore[arg-type]
    "no completion": ({"prompt_tokens": 10, "total_tokens": 17}, (10, 7)),
    "no prompt": ({"completion_tokens": 7, "total_tokens": 17}, (10, 7)),
    "responses API": (responses(40, 8, 30), (40, 8)),
    "Anthropic counts the cache apart": (
        {"input_tokens": 3, "cache_creation_input_tokens": 12_304, "cache_read_input_tokens": 0, "output_tokens": 550},
        (12_307, 550),
    ),
    "Anthropic, more new than cached": (
        {"input_tokens": 5000, "cache_read_input_tokens": 1000, "output_tokens": 7},
        (6000, 7),
    ),
    "a proxy's prompt without the cache": (chat(3, 550, 12_857, cache_creation_input_tokens=12_304), (12_307, 550)),
    "a proxy's prompt with the cache": (chat(12_307, 550, 12_857, cache_creation_input_tokens=12_304), (12_307, 550)),
    "a proxy's prompt with what was read alone": (
        chat(20_649, 123, cache_read_input_tokens=20_646, cache_creation_input_tokens=1101),
        (21_750, 123),
    ),
    "texts": (chat("32", "9", "135"), (32, 103)),  # type: ignore[arg-type]
    "floats": (chat(32.0, 9.0, 135.0), (32, 103)),
    "nothing was written": (chat(32, 0, 32), (32, 0)),
    "the SDK's object": (CompletionUsage(prompt_tokens=32, completion_tokens=9, total_tokens=135), (32, 103)),
    "the SDK's object with odd fields": (
        CompletionUsage.construct(prompt_tokens="32", completion_tokens=[9], total_tokens=135),
        (32, 103),
    ),
}


@pytest.mark.parametrize("case", TOTALS)
def test_all_tokens_are_counted_once(case: str) -> None:
    usage, (n_in, n_out) = TOTALS[case]
    counts = read_usage(usage).counts
    assert (counts["input_tokens"], counts["output_tokens"]) == (n_in, n_out)
    billed = account(usage, Endpoint("m", price=(3, 15)))
    assert billed[:2] == (n_in, n_out)
    assert billed.cost_usd == pytest.approx((3 * n_in + 15 * n_out) / 1e6, rel=1e-12)


UNKNOWN = {
    "nothing": None,
    "empty": {},
    "a list": [1, 2],
    "a text": "12 tokens",
    "negative": chat(-5, 7),
    "infinite": chat(math.inf, 7),
    "not a number": chat(math.nan, 7),
    "larger than any float": chat(10**400, 7),
    "larger than any prompt": chat(10**15, 7),
    "true": chat(True, 7),
    "lists": {"prompt_tokens": [5], "completion_tokens": 7},
    "dicts": {"prompt_tokens": {"n": 5}, "completion_tokens": 7},
    "null": {"prompt_tokens": None, "completion_tokens": 7},
    "blank": {"prompt_tokens": "", "completion_tokens": 7},
    "a total alone": {"total_tokens": 17},
}


@pytest.mark.parametrize("case", UNKNOWN)
def test_what_cannot_be_read_is_unknown_and_never_free(case: str) -> None:
    billed = account(UNKNOWN[case], Endpoint("m", price=(3, 15)))
    assert math.isnan(billed.input_tokens)
    assert math.isnan(billed.cost_usd) and billed.cost_source is None
    assert account(UNKNOWN[case], Endpoint("m", price=0)).cost_usd == 0.0  # what costs nothing need not be counted


# details of a usage of 1M input tokens -> those read from a cache
CACHED = {
    "OpenAI": chat(BIG, 0, **inside(cached_tokens=400_000)),
    "Responses API": responses(BIG, 0, 400_000),
    "DeepSeek": chat(BIG, 0, prompt_cache_hit_tokens=400_000, prompt_cache_miss_tokens=600_000),
    "Moonshot": chat(BIG, 0, cached_tokens=400_000),
    "Anthropic": {"input_tokens": 600_000, "cache_read_input_tokens": 400_000, "output_tokens": 0},
    "a proxy": chat(BIG, 0, cache_read_input_tokens=400_000, **inside(cached_tokens=400_000)),
    "texts": chat(BIG, 0, **inside(cached_tokens="400000")),
}


@pytest.mark.parametrize("case", CACHED)
def test_cached_tokens_have_the_cached_price(case: str) -> None:
    at_list = account(CACHED[case], Endpoint("gpt-4o", provider="openai"))
    assert at_list.cost_usd == pytest.approx(0.6 * 2.5 + 0.4 * 1.25, rel=1e-12)
    assert at_list.cost_source == "price list"
    assert account(CACHED[case], Endpoint("m", price=(2.0, 9.0, 0.5))).cost_usd == pytest.approx(1.4, rel=1e-12)
    assert account(CACHED[case], Endpoint("m", price=(2.0, 9.0))).cost_usd == pytest.approx(2.0, rel=1e-12)


@pytest.mark.parametrize(
    ("usage", "model", "usd"),
    [
        # Claude Sonnet 4.5: $3 in, $3.75 written to the cache, $6 for an hour, $0.3 read from it, $15 out.
        ({"input_tokens": 1000, "cache_creation_input_tokens": 4000, "output_tokens": 0}, "claude-sonnet-4-5", 0.018),
        (chat(5000, 0, **inside(cache_write_tokens=4000)), "claude-sonnet-4-5", 0.018),
        (chat(5000, 0, **inside(cache_creation_tokens=4000)), "claude-sonnet-4-5", 0.018),
        (
            {
                "input_tokens": 1000,
                "cache_creation_input_tokens": 4000,
                "cache_creation": {"ephemeral_5m_input_tokens": 1000, "ephemeral_1h_input_tokens": 3000},
                "cache_read_input_tokens": 10_000,
                "output_tokens": 100,
            },
            "claude-sonnet-4-5",
            0.003 + 0.00375 + 0.018 + 0.003 + 0.0015,
        ),
        # Above 200,000 input tokens, all of them are dearer.
        (chat(200_000, 0), "claude-sonnet-4-5", 0.6),
        (chat(300_000, 1000), "claude-sonnet-4-5", 1.8 + 0.0225),
        # gpt-audio: $2.5 in, $10 out; audio $32 in, $64 out.
        (chat(1000, 500, **inside(audio_tokens=400), **outside(audio_tokens=300)), "gpt-audio", 0.0355),
        (chat(1000, 500, **inside(audio_tokens=4000)), "gpt-audio", 0.0075),  # more parts than tokens: no parts
        # Realtime: $5 in, $2.5 cached, audio $40 in, $2.5 cached.
        (chat(100, 0, **inside(cached_tokens=40, audio_tokens=30)), "gpt-4o-realtime-preview", 0.00145),
        (
            chat(100, 0, **inside(cached_tokens=40, audio_tokens=30, cached_tokens_details={"audio_tokens": 20})),
            "gpt-4o-realtime-preview",
            (50 * 5 + 20 * 2.5 + 10 * 40 + 20 * 2.5) / 1e6,
        ),
        ({"input_tokens": 0, "output_tokens": 0, "server_tool_use": {"web_search_requests": 3}}, "gpt-4o", 0.03),
    ],
)
def test_every_kind_of_token_has_its_own_price(usage: Any, model: str, usd: float) -> None:
    assert account(usage, Endpoint(model)).cost_usd == pytest.approx(usd, rel=1e-9)


BILLED: list[dict[str, Any]] = [
    *({"cost": 0.25}, {"cost": "0.25"}, {"cost_in_usd_ticks": 2_500_000_000}, {"estimated_cost": 0.25}),
    {"cost": {"input_tokens_cost": 0.1, "request_cost": 0.1, "total_cost": 0.25}},
    {"cost": 0.01, "is_byok": True, "cost_details": {"upstream_inference_cost": 0.24}},
]
NOT_BILLED: list[dict[str, Any]] = [
    *({"cost": cost} for cost in (-1, math.inf, 10**400, 1e9, "free", True, [0.25], {})),
    {"cost_in_usd_ticks": -5},
    {"cost": 0.01, "is_byok": True, "cost_details": None},
]


@pytest.mark.parametrize(
    ("said", "usd"), [({"cost": 0}, 0.0), *((said, 0.25) for said in BILLED), *((said, None) for said in NOT_BILLED)]
)
def test_a_billed_cost_comes_first_and_one_that_cannot_be_leaves_it_to_the_price(said: Any, usd: float | None) -> None:
    billed = account(chat(1000, 100, **said), Endpoint("m", price=(3, 15)))
    assert billed.cost_usd == pytest.approx(0.0045 if usd is None else usd, rel=1e-12)
    assert billed.cost_source == ("own price" if usd is None else "reply")


@pytest.mark.parametrize(
    ("tier", "usd"),
    [("default", 2.5), ("auto", 2.5), (None, 2.5), (7, 2.5), ("priority", 4.25), ("batch", 1.25), ("BATCH", 1.25)],
)
def test_a_tier_has_its_own_price(tier: Any, usd: float) -> None:
    usage = billed_usage({"usage": chat(BIG, 0), "service_tier": tier})
    assert account(usage, Endpoint("gpt-4o", provider="openai")).cost_usd == pytest.approx(usd)
    assert account({**chat(BIG, 0), "service_tier": tier}, Endpoint("gpt-4o")).cost_usd == pytest.approx(usd)


def test_a_batch_endpoint_is_charged_batch_prices_and_no_price_is_made_up_where_there_is_none() -> None:
    usage = chat(BIG, BIG)
    assert account(usage, Endpoint("gpt-4o", provider="openai", batch=True)).cost_usd == pytest.approx(6.25)
    assert account(usage, Endpoint("gpt-4o", provider="openai")).cost_usd == pytest.approx(12.5)
    assert math.isnan(account(usage, Endpoint("gpt-4o", provider="azure", batch=True)).cost_usd)
    assert account(usage, Endpoint("m", price=(1, 2), batch=True)).cost_usd == pytest.approx(3.0)


def test_usage_that_comes_in_pieces_adds_up() -> None:
    chunks: list[Any] = [
        {"usage": None},
        {"usage": chat(900, 1, **inside(cached_tokens=800)), "service_tier": "default"},
        {},
        {"usage": {"completion_tokens": 40}},
        {"usage": {}},
        {"usage": {"prompt_tokens": None, "completion_tokens": 41, "cost": 0.5}},
    ]
    usage = None
    for chunk in chunks:
        usage = billed_usage(chunk, usage)
    read = read_usage(usage)
    assert read.counts == {"input_tokens": 900, "output_tokens": 41, "cache_read_tokens": 800}
    assert read.cost_usd == 0.5


NAMES = (
    "prompt_tokens completion_tokens total_tokens input_tokens output_tokens cached_tokens prompt_cache_hit_tokens "
    "cache_read_input_tokens cache_creation_input_tokens cost is_byok cost_details cost_in_usd_ticks estimated_cost "
    "service_tier prompt_tokens_details completion_tokens_details input_tokens_details output_tokens_details "
    "cache_creation server_tool_use reasoning_tokens audio_tokens image_tokens cached_tokens_details text_tokens "
    "ephemeral_1h_input_tokens web_search_requests upstream_inference_cost total_cost"
).split()
SCALARS: tuple[Any, ...] = (
    None, True, False, 0, 1, 7, 10**6, 10**12, -1, 10**400, 1.5, math.nan, math.inf, -math.inf, 1e308, 5e-324, "", "7",
    "1e3", "nan", "batch", "flex", "\ud800", b"7", [], [7], (), {}, {"n": 7}, object(), 1j,
)  # fmt: skip


def odd_usage(rng: random.Random, depth: int = 0) -> Any:
    if rng.random() < 0.03:
        return rng.choice(SCALARS)
    usage: dict[Any, Any] = {}
    for name in rng.sample(NAMES, rng.randrange(1, 9)):
        kind = rng.random()
        nested = name.endswith("details") or name in ("cache_creation", "server_tool_use", "cost") or kind < 0.02
        if nested and depth < 3 and kind < 0.8:
            usage[name] = odd_usage(rng, depth + 1)
        else:
            usage[name] = rng.randrange(10 ** rng.randrange(1, 9)) if kind < 0.7 else rng.choice(SCALARS)
    return usage


def check_odd_usage(n: int) -> None:
    rng = random.Random(0)
    endpoints = [
        Endpoint("m", price=(3, 15)),
        Endpoint("m", price=(3, 15, 0.3)),
        Endpoint("gpt-4o"),
        Endpoint("claude-sonnet-4-5"),
        Endpoint("gpt-4o-realtime-preview", provider="openai", batch=True),
        Endpoint("gemini-2.5-flash"),
        Endpoint("nobody-knows-it"),
    ]
    for k in range(n):
        usage = odd_usage(rng)
        billed = account(usage, endpoints[k % len(endpoints)])
        for value in billed[:3]:
            assert math.isnan(value) or 0 <= value < math.inf, usage
        assert (billed.cost_source is None) == math.isnan(billed.cost_usd), usage


def test_odd_usage_is_read_or_unknown() -> None:
    check_odd_usage(3000)


@pytest.mark.fuzz
def test_odd_usage_is_read_or_unknown_in_100000_replies() -> None:
    check_odd_usage(100_000)


def test_parts_never_cost_more_than_all_at_the_dearest_price() -> None:
    """Whatever a reply says of its parts, the sum lies between all cached and all written to the cache."""
    rng = random.Random(1)
    for _ in range(500):
        n_in, n_out = rng.randrange(150_000), rng.randrange(10_000)
        read = rng.randrange(n_in + 1)
        write = rng.randrange(n_in - read + 1)
        usage = chat(n_in, n_out, **inside(cached_tokens=read, cache_write_tokens=write))
        usd = usage_cost("claude-sonnet-4-5", read_usage(usage))
        exact = (3 * (n_in - read - write) + 0.3 * read + 3.75 * write + 15 * n_out) / 1e6
        assert usd == pytest.approx(exact, rel=1e-9)


NATIVE = {
    "Bedrock": ({"inputTokens": 12, "outputTokens": 30, "totalTokens": 42}, (12, 30, 0)),
    "Bedrock, from a cache": (
        {"inputTokens": 12, "outputTokens": 30, "totalTokens": 1042, "cacheReadInputTokens": 1000},
        (1012, 30, 1000),
    ),
    "Gemini": (
        {"promptTokenCount": 10, "candidatesTokenCount": 20, "thoughtsTokenCount": 100, "totalTokenCount": 130},
        (10, 120, 0),
    ),
    "Gemini, from a cache": (
        {"promptTokenCount": 9, "candidatesTokenCount": 2, "cachedContentTokenCount": 5},
        (9, 2, 5),
    ),
    "Ollama": ({"prompt_eval_count": 26, "eval_count": 298}, (26, 298, 0)),
    "Cohere": ({"billed_units": {"input_tokens": 5, "output_tokens": 7}, "tokens": {"input_tokens": 71}}, (5, 7, 0)),
    "llama.cpp": ({"prompt_n": 90, "cache_n": 10, "predicted_n": 7, "predicted_ms": 5.0}, (100, 7, 10)),
}


@pytest.mark.parametrize("name", NATIVE)
def test_counts_in_a_providers_own_spelling_are_read(name: str) -> None:
    usage, expected = NATIVE[name]
    counts = read_usage(usage).counts
    assert (counts["input_tokens"], counts["output_tokens"], counts.get("cache_read_tokens", 0)) == expected


@pytest.mark.parametrize(
    "chunk",
    [
        {"choices": [], "x_groq": {"id": "x", "usage": {"prompt_tokens": 9, "completion_tokens": 2}}},
        {"choices": [{"index": 0, "delta": {}, "usage": {"prompt_tokens": 9, "completion_tokens": 2}}]},
        {"usage": None, "choices": [{"delta": {}}], "timings": {"prompt_n": 9, "predicted_n": 2}},
    ],
    ids=["Groq", "Moonshot", "llama.cpp"],
)
def test_usage_of_a_stream_is_found_where_its_provider_puts_it(chunk: dict[str, Any]) -> None:
    assert account(billed_usage(chunk), Endpoint("m", price=(1, 1))).cost_usd == pytest.approx(11e-6)
