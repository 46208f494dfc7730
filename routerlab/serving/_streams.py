"""Streams that read like the SDK's, and are captured when they end."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any

from routerlab.completions import billed_usage
from routerlab.serving._calls import Call, Opened, Service
from routerlab.serving._failures import failure_of, without_keys

_CLOSED = "closed by the caller before its end"


def begins(chunk: Any) -> bool:
    """Whether a chunk holds something of the answer: text, a tool call, its end. A role alone is nothing yet."""
    for choice in chunk.choices or ():
        delta = choice.delta.model_dump(exclude_none=True) if choice.delta else {}
        if choice.finish_reason or any(value for name, value in delta.items() if name != "role"):
            return True
    return False


def wants_usage(params: Mapping[str, Any]) -> bool:
    """Whether the caller asked for the chunk with the usage."""
    options = params.get("stream_options")
    return isinstance(options, Mapping) and bool(options.get("include_usage"))


class BaseStream:
    """What both kinds of stream share: look at each chunk, and make the record at the end."""

    def __init__(self, opened: Opened, call: Call, service: Service, *, pass_usage: bool) -> None:
        self._stream = opened.stream
        self._held = list(opened.held)
        self._call = call
        self._service = service
        self._pass_usage = pass_usage
        self._first_token_s = time.perf_counter() - call.sent
        self._texts: list[str] = []
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
        self._usage = billed_usage(chunk, self._usage)
        for choice in chunk.choices or ():
            if choice.index == 0:
                self._texts.append((choice.delta and choice.delta.content) or "")
                self._finish_reason = choice.finish_reason or self._finish_reason
        only_usage = not chunk.choices and chunk.usage is not None
        return self._pass_usage or not only_usage

    def _end(self, error: str | None) -> None:
        """Capture the stream, once."""
        if self._ended:
            return
        self._ended = True
        if self._finish_reason is None and error is None:
            error = "ended without a finish_reason"
        record = self._call.record(
            response="".join(self._texts),
            finish_reason=self._finish_reason,
            usage=self._usage,
            first_token_s=self._first_token_s,
            error=error,
        )
        self._service.write(record)

    def _broken(self, error: Exception) -> str:
        """Note an error after the first token: it is the caller's to handle, since half an answer is out."""
        failure = failure_of(error)
        self._service.rest(self._call, failure)
        without_keys(error, self._service.secrets())
        return f"broke off: {'HTTP ' + str(failure.status) if failure.status else type(error).__name__}"

    def _left(self) -> str | None:
        return None if self._finish_reason else _CLOSED

    def __del__(self) -> None:
        """Capture what a caller left before its end, e.g. by ``break``."""
        if not getattr(self, "_ended", True) and not sys.is_finalizing():
            self._end(self._left())


class RoutedStream(BaseStream):
    """Iterates over the chunks of one model's answer, as ``openai.Stream`` does."""

    def __iter__(self) -> RoutedStream:
        return self

    def __next__(self) -> Any:
        """Return the next chunk."""
        while True:
            try:
                chunk = self._held.pop(0) if self._held else next(self._stream)
            except StopIteration:
                self._end(None)
                raise
            except Exception as error:
                self._end(self._broken(error))
                raise
            if self._see(chunk):
                return chunk

    def __enter__(self) -> RoutedStream:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection and capture what came."""
        self._stream.close()
        self._end(self._left())


class AsyncRoutedStream(BaseStream):
    """Iterates over the chunks of one model's answer, as ``openai.AsyncStream`` does."""

    def __aiter__(self) -> AsyncRoutedStream:
        return self

    async def __anext__(self) -> Any:
        """Return the next chunk."""
        while True:
            try:
                chunk = self._held.pop(0) if self._held else await self._stream.__anext__()
            except StopAsyncIteration:
                await asyncio.to_thread(self._end, None)
                raise
            except Exception as error:
                await asyncio.to_thread(self._end, self._broken(error))
                raise
            if self._see(chunk):
                return chunk

    async def __aenter__(self) -> AsyncRoutedStream:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connection and capture what came."""
        await self._stream.close()
        await asyncio.to_thread(self._end, self._left())
