"""A real HTTP server on loopback that speaks the chat-completions protocol, and misbehaves on purpose.

    with LLMServer(faults={"429": 0.1, "cut": 0.1}, seed=0) as server:
        client = server.client()

Which request meets which fault is drawn from the seed, the prompt and how often it was asked, whatever the order
in which requests come; or `script` decides. The server counts what it was asked for, what it bills and what it
delivered.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import math
import random
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

# Refusals: status, code, message. They bill nothing.
REFUSALS = {
    "400": (400, "context_length_exceeded", "This prompt is too long."),
    "401": (401, "invalid_api_key", "Incorrect API key provided: {key}."),
    "402": (402, "insufficient_credits", "No credits on key {key}."),
    "403": (403, "forbidden", "Key {key} may not do this."),
    "404": (404, "model_not_found", "The model does not exist."),
    "quota": (429, "insufficient_quota", "You exceeded your current quota."),
    "429": (429, "rate_limit_exceeded", "Rate limit reached for key {key}."),
    "429_date": (429, "rate_limit_exceeded", "Rate limit reached."),
    "500": (500, "server_error", "The server had an error; Authorization: Bearer {key}."),
    "503": (503, "overloaded", "Overloaded."),
}
# Billed, and the reply is lost on the way or cannot be read.
LOST = ("timeout", "cut", "malformed")
# Billed and delivered, each odd in its way.
ODD = ("empty", "drip", "duplicate", "no_usage", "filter")
FREE = ("cut_before", "error_in_body", "html")


@dataclass
class Ask:
    """One request as the server saw it."""

    number: int
    body: dict[str, Any]
    nth: int  # how often this prompt was asked for, this time included
    headers: dict[str, str] = field(repr=False)
    fault: str | None = None
    billed_usd: float = 0.0
    delivered: bool = False
    shifted: bool = False  # an earlier reply came twice on this connection: what follows is taken for others

    @property
    def model(self) -> str:
        return self.body["model"]

    @property
    def prompt(self) -> str:
        return self.body["messages"][-1]["content"]


def default_reply(body: Mapping[str, Any]) -> str:
    """The same text for the same prompt and model, some 5 to 40 words long."""
    seed = int(hashlib.sha256(f"{body['model']}|{body['messages'][-1]['content']}".encode()).hexdigest()[:8], 16)
    return f"{body['model']} replies: " + " ".join(f"word{seed % 97 + k}" for k in range(5 + seed % 36))


def n_tokens(text: str) -> int:
    return math.ceil(len(text) / 4)


class LLMServer:
    """Serves any model on 127.0.0.1.

    Parameters
    ----------
    faults : mapping of str to float
        Probability of each kind; see the names above.
    script : callable
        ``script(ask) -> kind or None``, in place of `faults`.
    reply : callable
        ``reply(body) -> str``.
    prices : mapping or (float, float)
        What is billed: (input, output) in USD per 1M tokens, of all models or of each.
    carries_cost : bool
        Whether ``usage`` says the cost, as OpenRouter's does.
    api_key : str
        If given, other keys get a 401 that repeats them.
    retry_after : str
        The header of a 429.
    latency_s, hang_s, drip_s : float
        Time for each reply; how long a time-out hangs; how long a slow drip takes.
    """

    def __init__(
        self,
        *,
        faults: Mapping[str, float] | None = None,
        script: Callable[[Ask], str | None] | None = None,
        reply: Callable[[Mapping[str, Any]], str] = default_reply,
        seed: int = 0,
        prices: Any = (1.0, 2.0),
        carries_cost: bool = False,
        api_key: str | None = None,
        retry_after: str = "0",
        latency_s: float = 0.0,
        hang_s: float = 60.0,
        drip_s: float = 0.05,
    ) -> None:
        known = {*REFUSALS, *LOST, *ODD, *FREE}
        if set(faults or {}) - known:
            raise ValueError(f"unknown faults {set(faults) - known}; there are {sorted(known)}")  # noqa: EM102
        self.faults, self.script, self.reply, self.seed = dict(faults or {}), script, reply, seed
        self.prices, self.carries_cost, self.api_key = prices, carries_cost, api_key
        self.retry_after, self.latency_s, self.hang_s, self.drip_s = retry_after, latency_s, hang_s, drip_s
        self.asked: list[Ask] = []
        self.in_flight = self.most_in_flight = 0
        self.port = 0
        self.says: dict[str, Any] = {}  # more of each usage
        self.tier: str | None = None
        self._times_asked: dict[str, int] = {}
        self._writers: set[asyncio.StreamWriter] = set()
        self._shifted: set[asyncio.StreamWriter] = set()

    # What a test looks at.

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def billed_usd(self) -> float:
        return math.fsum(ask.billed_usd for ask in self.asked)

    @property
    def delivered_usd(self) -> float:
        return math.fsum(ask.billed_usd for ask in self.asked if ask.delivered)

    def asks(self, **wanted: Any) -> list[Ask]:
        """Requests with these attributes, e.g. ``asks(delivered=True, fault=None)``."""
        return [ask for ask in self.asked if all(getattr(ask, k) == v for k, v in wanted.items())]

    def client(self, **options: Any) -> Any:
        import openai

        options = {"api_key": self.api_key or "sk-loopback-0123456789", "max_retries": 0, **options}
        return openai.OpenAI(base_url=self.base_url, **options)

    def async_client(self, **options: Any) -> Any:
        import openai

        options = {"api_key": self.api_key or "sk-loopback-0123456789", "max_retries": 0, **options}
        return openai.AsyncOpenAI(base_url=self.base_url, **options)

    # Starting and stopping.

    def __enter__(self) -> LLMServer:
        self.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self.stop()

    def start(self) -> None:
        """Listen; after a stop, on the same port."""
        started = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve(started)), daemon=True)
        self._thread.start()
        if not started.wait(10):
            raise RuntimeError("the test server did not start")  # noqa: EM101

    def stop(self) -> None:
        """Stop as if killed: connections are cut."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stopped.set)
            self._thread.join(10)

    async def _serve(self, started: threading.Event) -> None:
        self._loop, self._stopped = asyncio.get_running_loop(), asyncio.Event()
        server = await asyncio.start_server(self._connection, "127.0.0.1", self.port, backlog=1024)
        self.port = server.sockets[0].getsockname()[1]
        started.set()
        await self._stopped.wait()
        server.close()
        for writer in list(self._writers):
            writer.transport.abort()

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            while await self._one_request(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self._writers.discard(writer)
            self._shifted.discard(writer)
            writer.transport.abort() if writer.transport.is_closing() else writer.close()

    # One request.

    async def _one_request(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answer one request; False if the connection is over."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head.split("\r\n")
        headers = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in lines if line)}
        raw = await reader.readexactly(int(headers.get("content-length", 0)))
        if "/chat/completions" not in first:
            return await self._send(writer, 404, {"error": {"message": f"no such path: {first.split()[1]}"}})
        ask = self._register(json.loads(raw), headers)
        ask.shifted = writer in self._shifted
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            if self.latency_s:
                await asyncio.sleep(self.latency_s)
            return await self._answer(ask, reader, writer)
        finally:
            self.in_flight -= 1

    def _register(self, body: dict[str, Any], headers: dict[str, str]) -> Ask:
        what = json.dumps([body["model"], body["messages"]], sort_keys=True)
        self._times_asked[what] = self._times_asked.get(what, 0) + 1
        ask = Ask(len(self.asked) + 1, body, self._times_asked[what], headers)
        ask.fault = self._fault(ask, what)
        self.asked.append(ask)
        return ask

    def _fault(self, ask: Ask, what: str) -> str | None:
        if self.api_key is not None and self._key(ask) != self.api_key:
            return "401"
        if self.script is not None:
            return self.script(ask)
        draw = random.Random(f"{self.seed}|{what}|{ask.nth}").random()
        for kind, probability in self.faults.items():
            draw -= probability
            if draw < 0:
                return kind
        return None

    @staticmethod
    def _key(ask: Ask) -> str:
        return ask.headers.get("authorization", "").removeprefix("Bearer ")

    async def _answer(self, ask: Ask, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        fault = ask.fault
        if fault in REFUSALS:
            return await self._refuse(ask, writer)
        if fault == "cut_before":
            writer.transport.abort()
            return False
        if fault == "html":
            return await self._send(writer, 502, b"<html><body>Bad gateway</body></html>", "text/html")
        if fault == "error_in_body":
            return await self._send(writer, 200, {"error": {"code": 502, "message": "Upstream failed."}})
        completion = self._completion(ask)
        ask.billed_usd = self._bill(ask, completion["usage"])
        if fault == "timeout":
            with suppress(TimeoutError):
                await asyncio.wait_for(reader.read(1), self.hang_s)
            return False
        if ask.body.get("stream"):
            return await self._stream(ask, completion, writer)
        return await self._whole(ask, completion, writer)

    async def _refuse(self, ask: Ask, writer: asyncio.StreamWriter) -> bool:
        status, code, message = REFUSALS[ask.fault or ""]
        extra = {"429": self.retry_after, "503": self.retry_after}.get(ask.fault or "")
        if ask.fault == "429_date":
            extra = format_datetime(datetime.now(UTC) + timedelta(seconds=float(self.retry_after)), usegmt=True)
        error = {"message": message.format(key=self._key(ask)), "code": code, "type": code}
        return await self._send(writer, status, {"error": error}, retry_after=extra)

    def _completion(self, ask: Ask) -> dict[str, Any]:
        text, limit = self.reply(ask.body), ask.body.get("max_tokens") or ask.body.get("max_completion_tokens")
        cut = limit is not None and n_tokens(text) > limit
        text = text[: 4 * limit] if cut else text
        reason = "length" if cut else "stop"
        if ask.fault == "filter":
            text, reason = "", "content_filter"
        n_in = sum(n_tokens(m["content"]) + 4 for m in ask.body["messages"])
        usage: dict[str, Any] = {"prompt_tokens": n_in, "completion_tokens": n_tokens(text)}
        if ask.fault == "empty":
            usage["completion_tokens"] = 0
        usage["total_tokens"] = sum(usage.values())
        if self.carries_cost:
            usage["cost"] = self._bill(ask, usage)
        choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": reason}
        name = hashlib.sha256(f"{self.seed}|{ask.number}|{self.port}".encode()).hexdigest()[:24]
        return {
            "id": f"chatcmpl-{name}",
            "object": "chat.completion",
            "created": 1_750_000_000,
            "model": ask.model,
            "choices": [] if ask.fault == "empty" else [choice],
            "usage": {**usage, **self.says},
            **({"service_tier": self.tier} if self.tier else {}),
        }

    def _bill(self, ask: Ask, usage: Mapping[str, Any]) -> float:
        rates = self.prices[ask.model] if isinstance(self.prices, Mapping) else self.prices
        return (usage["prompt_tokens"] * rates[0] + usage["completion_tokens"] * rates[1]) / 1e6

    async def _whole(self, ask: Ask, completion: dict[str, Any], writer: asyncio.StreamWriter) -> bool:
        if ask.fault == "no_usage":
            del completion["usage"]
        data = json.dumps(completion).encode()
        if ask.fault == "malformed":
            return await self._send(writer, 200, data[: len(data) // 2])
        head = _head(200, {"Content-Type": "application/json", "Content-Length": str(len(data))})
        if ask.fault == "cut":
            writer.write(head + data[: len(data) // 2])
            await writer.drain()
            writer.transport.abort()
            return False
        if ask.fault == "drip":
            for piece in (head, *(data[k : k + 1 + len(data) // 10] for k in range(0, len(data), 1 + len(data) // 10))):
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(self.drip_s / 10)
        else:
            writer.write((head + data) * (2 if ask.fault == "duplicate" else 1))
        ask.delivered = not ask.shifted
        if ask.fault == "duplicate":
            self._shifted.add(writer)
        await writer.drain()
        return True

    async def _stream(self, ask: Ask, completion: dict[str, Any], writer: asyncio.StreamWriter) -> bool:
        writer.write(_head(200, {"Content-Type": "text/event-stream", "Transfer-Encoding": "chunked"}))
        chunks = _chunks(completion, bool((ask.body.get("stream_options") or {}).get("include_usage")))
        for k, chunk in enumerate(chunks):
            line = f"data: {json.dumps(chunk)}\n\n".encode()
            if k == len(chunks) // 2:
                if ask.fault == "cut":
                    await writer.drain()
                    writer.transport.abort()
                    return False
                line = {"malformed": b'data: {"choices": [{\n\n', "duplicate": line * 2}.get(ask.fault or "", line)
            writer.write(b"%x\r\n%s\r\n" % (len(line), line))
            await writer.drain()
            if ask.fault == "drip":
                await asyncio.sleep(self.drip_s / len(chunks))
        line = b"data: [DONE]\n\n"
        writer.write(b"%x\r\n%s\r\n0\r\n\r\n" % (len(line), line))
        ask.delivered = ask.fault != "malformed"
        await writer.drain()
        return True

    @staticmethod
    async def _send(
        writer: asyncio.StreamWriter,
        status: int,
        body: dict[str, Any] | bytes,
        kind: str = "application/json",
        retry_after: str | None = None,
    ) -> bool:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = {"Content-Type": kind, "Content-Length": str(len(data))}
        if retry_after is not None:
            headers["Retry-After"] = retry_after
        writer.write(_head(status, headers) + data)
        await writer.drain()
        return True


def _head(status: int, headers: Mapping[str, str]) -> bytes:
    lines = [f"HTTP/1.1 {status} X", *(f"{name}: {value}" for name, value in headers.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def _chunks(completion: Mapping[str, Any], with_usage: bool) -> list[dict[str, Any]]:
    """A reply as the pieces of a stream: a role, words, a finish reason, and the usage in a piece without choices."""
    base = {k: completion[k] for k in ("id", "created", "model", "service_tier") if k in completion}
    base["object"] = "chat.completion.chunk"
    chunks = []
    for choice in completion["choices"]:
        words = choice["message"]["content"].split(" ")
        deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
        deltas += [{"content": word if k == 0 else f" {word}"} for k, word in enumerate(words)]
        ends = [None] * len(deltas) + [choice["finish_reason"]]
        for delta, end in zip([*deltas, {}], ends, strict=True):
            chunks.append({**base, "choices": [{"index": 0, "delta": delta, "finish_reason": end}]})
    if with_usage:
        chunks.append({**base, "choices": [], "usage": completion["usage"]})
    return chunks or [{**base, "choices": []}]
