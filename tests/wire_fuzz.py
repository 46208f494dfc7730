"""Replies, errors and chunks as providers send them, with any JSON at any place: for tests of what reads them."""

from __future__ import annotations

import copy
import json
import random
from typing import Any

from tests.raw_server import completion

CALL = {"id": "call_1", "type": "function", "function": {"name": "add", "arguments": '{"a": 2}'}}
REPLY = completion("Simmer it.", name="chatcmpl-0123456789abcdef", refusal=None, tool_calls=[CALL], function_call=None)
REPLY["usage"] |= {"prompt_tokens_details": {"cached_tokens": 50}, "completion_tokens_details": {"reasoning_tokens": 4}}
REPLY["usage"] |= {"cost": 0.01, "is_byok": True, "cost_details": {"upstream_inference_cost": 0.2}}
ERROR = {"error": {"message": "slow down", "code": 429, "type": "rate_limit", "param": None, "metadata": {"raw": "x"}}}
PARTS = [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}, {"type": "text", "text": "Simmer it."}]


def chunk(delta: Any = None, finish: Any = None, usage: Any = None) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta or {}, "finish_reason": finish}
    head = {"id": "chatcmpl-0123456789abcdef", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    return {**head, "choices": [] if usage else [choice], "usage": usage}


PIECE = {"index": 0, **CALL}
STREAM = [
    chunk({"role": "assistant", "content": ""}),
    chunk({"content": "Simmer"}),
    chunk({"content": PARTS}),
    chunk({"tool_calls": [PIECE], "refusal": "no"}),
    chunk({"tool_calls": [{"index": 0, "function": {"arguments": "}"}}], "function_call": {"name": "f"}}),
    chunk({}, "stop"),
    chunk(usage=REPLY["usage"]),
]
ODD = [
    None, True, False, 0, -1, 1, 3.5, 10**18, 10**400, -(10**400), 1e308, "", "x", "429", "\ud83d", "\x00", "é" * 50,
    "9" * 400, [], {}, [[]], [None], [1, "x"], {"text": "y"}, {"": None}, PARTS, [CALL], {"code": []}, [{"index": "0"}],
    {"message": {"content": 1}}, "insufficient_quota", 500, 402,
]  # fmt: skip


def nested(depth: int, rng: random.Random) -> Any:
    """A value that many levels deep."""
    value: Any = 1
    for _ in range(depth):
        value = [value] if rng.random() < 0.5 else {"a": value}
    return value


def odd(rng: random.Random) -> Any:
    """Any JSON value; now and then a deep one, or a piece of what belongs elsewhere."""
    draw = rng.random()
    if draw < 0.02:
        return nested(rng.choice([5, 60, 200]), rng)
    if draw < 0.1:
        return copy.deepcopy(rng.choice([REPLY, ERROR, STREAM[3], REPLY["choices"][0]]))
    return copy.deepcopy(rng.choice(ODD))


def places(value: Any) -> list[tuple[Any, Any]]:
    """Every (container, key) in a value."""
    found = []
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in inner:
        found += [(value, key), *places(each)]
    return found


def mutated(value: Any, rng: random.Random) -> Any:
    """A copy with one to three places changed: another value, none, one more, or wrapped in a list."""
    value = json.loads(json.dumps(value))
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        spots = places(value)
        if not spots or rng.random() < 0.01:
            return odd(rng)
        holder, key = rng.choice(spots)
        draw = rng.random()
        if draw < 0.7:
            holder[key] = odd(rng)
        elif draw < 0.8:
            del holder[key]
        elif draw < 0.9:
            holder[key] = [holder[key]]
        elif isinstance(holder, dict):
            holder[rng.choice(["error", "usage", "content", "choices", "code", "index"])] = odd(rng)
        else:
            holder.append(odd(rng))
    return value


def body(value: Any, rng: random.Random) -> bytes:
    """A value as bytes: now and then cut off, nested beyond what can be parsed, in another encoding, or no JSON."""
    draw, text = rng.random(), json.dumps(value)
    if draw < 0.02:
        return text[: rng.randrange(len(text))].encode()
    if draw < 0.025:
        return b'{"choices": ' + b"[" * 100_000
    if draw < 0.03:
        return text.encode("utf-16")
    if draw < 0.04:
        return rng.randbytes(40)
    if draw < 0.045:
        return text.encode().replace(b"100", b"1" * 5000)
    return text.encode()


def retry_headers(rng: random.Random) -> dict[str, Any]:
    """Headers that ask to wait, in forms that providers do and do not send."""
    numbers = ["0", "1", "0.2", "-1", "31536000", "1e400", "9" * 400, "nan", "inf", "-inf", "1_0", "١", "", " 2 ", "2s"]
    day = rng.choice(["Thu, 01 Jan 2026", "Thu, 31 Dec 9999", "01 Jan 0001", "Thu, 99 Foo 2026", "Thu, 01 Jan 999999"])
    clock = rng.choice(["12:00:30", "99:99:99", "", "23:59:60", "1", f"{10 ** rng.randrange(30)}:00:00"])
    zone = rng.choice(["GMT", "+0000", "-2359", "+9999", "EST", "", "+" + "9" * rng.randrange(20)])
    given = [*numbers, f"{day} {clock} {zone}", rng.randbytes(12).decode("latin-1"), str(rng.randrange(-5, 10**9))]
    names = rng.sample(["retry-after", "retry-after-ms"], rng.randrange(3))
    return {name: rng.choice(given) for name in names}
