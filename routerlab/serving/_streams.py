"""Streams that read like the SDK's, and are captured when they end."""

from __future__ import annotations

import asyncio
import contextvars
import os
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from types import TracebackType
from typing import Any

from routerlab.completions import ToolCalls, billed_usage, part_of, sound_text, text_of, word_of
from routerlab.serving._calls import Call, Opened, Service
from routerlab.serving._failures import failure_of_piece, without_keys

_CLOSED = "closed by the caller before its end"
_STOPPED = "cancelled"
_FAILED = "error in the stream"


def begins(chunk: Any) -> bool:
    """Whether a chunk holds something of the answer: text, a tool call, its end. A role alone is nothing yet."""
    for choice in _choices(chunk):
        if part_of(choice, "finish_reason") or any(v for k, v in _fields(part_of(choice, "delta")) if k != "role"):
            return True
    return False


def fails(chunk: Any) -> bool:
    """Whether a chunk says that the provider failed on the way."""
    return any(part_of(each, "finish_reason") == "error" or part_of(each, "error") for each in _choices(chunk))


async def in_thread(do: Callable[..., Any], *args: Any) -> Any:
    """Do something in a thread, to its end: a caller who is cancelled meanwhile loses no record."""
    work = partial(contextvars.copy_context().run, do, *args)
    return await asyncio.shield(asyncio.get_running_loop().run_in_executor(None, work))


def _choices(chunk: Any) -> Sequence[Any]:
    choices = part_of(chunk, "choices")
    return choices if isinstance(choices, list | tuple) else ()


def _fields(delta: Any) -> Iterable[tuple[str, Any]]:
    if isinstance(delta, Mapping):
        return delta.items()
    return iter(delta) if hasattr(delta, "model_dump") else ()


def _is_chunk(chunk: Any) -> bool:
    """Whether a reader can make something of it: providers send other JSON, and the SDK hands that on as it is."""
    whole = all(hasattr(choice, "delta") for choice in _choices(chunk))
    return whole and hasattr(chunk, "choices") and isinstance(chunk.choices, list | None)


class BaseStream:
    """What both kinds of stream share: look at each chunk, and make the record at the end."""

    def __init__(self, opened: Opened, call: Call, service: Service, *, pass_usage: bool) -> None:
        self._stream = opened.stream
        self._held = deque(opened.held)
        self._deadline = opened.deadline
        self._call = call
        self._service = service
        self._pass_usage = pass_usage
        self._first_token_s = time.perf_counter() - call.sent
        self._texts: list[str] = []
        self._refusal: list[str] = []
        self._tool_calls = ToolCalls()
        self._failed = False
        self._pid = os.getpid()
        self._finish_reason: str | None = None
        self._usage: Any = None
        self._ended = False
        self._routerlab = call.routed()

    def __repr__(self) -> str:
        """Who answers, and whether the stream has ended."""
        routed = self._routerlab
        state = "ended" if self._ended else "open"
        return f"{type(self).__name__}({routed.model}: {routed.served_by}, {state}, request_id={routed.request_id!r})"

    @property
    def response(self) -> Any:
        """The HTTP response, as the SDK's streams have it."""
        return self._stream.response

    def _see(self, chunk: Any) -> bool:
        """Take from a chunk what is captured; whether it is passed on."""
        usage, choices = part_of(chunk, "usage"), _choices(chunk)
        self._usage = billed_usage(chunk, self._usage)
        for choice in choices:
            index, delta = part_of(choice, "index"), part_of(choice, "delta")
            if isinstance(index, int) and index != 0:
                continue
            for kept, name in ((self._texts, "content"), (self._refusal, "refusal")):
                if text := text_of(part_of(delta, name)):
                    kept.append(text)
            self._tool_calls.add(delta)
            self._failed |= fails(chunk)
            self._finish_reason = word_of(part_of(choice, "finish_reason")) or self._finish_reason
        only_usage = not choices and usage is not None
        return _is_chunk(chunk) and (self._pass_usage or not only_usage)

    def _waited(self, chunk: Any) -> Any:
        """Stop the clock while the reader is busy; it starts anew with each piece of the answer."""
        if begins(chunk):
            self._deadline.answered()
        return chunk

    def _end(self, error: str | None) -> None:
        """Capture the stream, once."""
        if self._ended:
            return
        self._ended = True
        if error is None and (self._failed or self._finish_reason is None):
            error = _FAILED if self._failed else "ended without a finish_reason"
        refusal = sound_text("".join(self._refusal)) or None
        self._service.capture(
            self._call,
            response=sound_text("".join(self._texts)) or refusal or "",
            finish_reason=self._finish_reason,
            usage=self._usage,
            tool_calls=self._tool_calls.whole(),
            refusal=refusal,
            first_token_s=self._first_token_s,
            error=error,
        )

    def _broken(self, error: Exception) -> str:
        """Note an error after the first token: it is the caller's to handle, since half an answer is out."""
        failure = failure_of_piece(error)
        self._service.rest(self._call, failure)
        without_keys(error, self._service.secrets())
        return f"broke off: {'HTTP ' + str(failure.status) if failure.status else type(error).__name__}"

    def _left(self) -> str | None:
        return None if self._finish_reason else _CLOSED

    def __del__(self) -> None:
        """Capture what a caller left before its end, e.g. by ``break``."""
        here = getattr(self, "_pid", None) == os.getpid()  # a fork's copy is the parent's to capture
        if here and not getattr(self, "_ended", True) and not sys.is_finalizing():
            self._end(self._left())


class RoutedStream(BaseStream):
    """Iterates over the chunks of one model's answer, as ``openai.Stream`` does."""

    def __iter__(self) -> RoutedStream:
        return self

    def __next__(self) -> Any:
        """Return the next chunk."""
        while True:
            try:
                chunk = self._held.popleft() if self._held else self._next()
            except StopIteration:
                self._end(None)
                raise
            except Exception as error:
                self._end(self._broken(error))
                raise
            except BaseException:
                self._end(_STOPPED)
                raise
            if self._see(chunk):
                return chunk

    def _next(self) -> Any:
        self._deadline.go_on()
        try:
            return self._waited(next(self._stream))
        finally:
            self._deadline.pause()

    def __enter__(self) -> RoutedStream:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection and capture what came."""
        try:
            self._stream.close()
        finally:
            self._end(self._left())


class AsyncRoutedStream(BaseStream):
    """Iterates over the chunks of one model's answer, as ``openai.AsyncStream`` does."""

    def __aiter__(self) -> AsyncRoutedStream:
        return self

    async def __anext__(self) -> Any:
        """Return the next chunk."""
        while True:
            try:
                chunk = self._held.popleft() if self._held else await self._next()
            except StopAsyncIteration:
                await in_thread(self._end, None)
                raise
            except Exception as error:
                await in_thread(self._end, self._broken(error))
                raise
            except BaseException:  # a task that is cancelled must not wait
                self._end(_STOPPED)
                raise
            if self._see(chunk):
                return chunk

    async def _next(self) -> Any:
        self._deadline.go_on()
        try:
            return self._waited(await self._stream.__anext__())
        finally:
            self._deadline.pause()

    async def __aenter__(self) -> AsyncRoutedStream:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connection and capture what came."""
        try:
            await self._stream.close()
        finally:
            await in_thread(self._end, self._left())
