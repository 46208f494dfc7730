"""Clients that route: chat.completions.create of the openai SDK over any number of models and providers."""

from __future__ import annotations

import asyncio
import contextvars
import math
import os
import sys
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from routerlab.completions import (
    Deadline,
    Failure,
    Models,
    Seen,
    ToolCalls,
    answered_within,
    billed_usage,
    error_of_sdk,
    part_of,
    read_answer,
    resolve_models,
    sound_text,
    text_of,
    unwarned,
    word_of,
)
from routerlab.options import Cascade, Extract
from routerlab.pricing import Prices
from routerlab.schema import Scale, refuse, shown, to_quality
from routerlab.serving._calls import (
    Asked,
    Call,
    Clients,
    Cooldown,
    Opened,
    Pause,
    Secrets,
    Send,
    Service,
    Together,
    Whole,
    Work,
    failure_of_piece,
    unreadable,
    unusable,
    wants_usage,
    without_keys,
)
from routerlab.serving._captures import CaptureLog, Redact, now
from routerlab.serving._decide import ROUTED, Decider, Decision, check_router, last_user_text
from routerlab.serving._escalate import Cascades, Check, routed_steps

_CLOSED = "closed by the caller before its end"
_STOPPED = "cancelled"
_FAILED = "error in the stream"
MOST_HELD = 10_000  # pieces of a stream before its first token


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
        """Stop the clock while the reader is busy; each piece of the answer restarts it."""
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
                raise (told := error_of_sdk(error)) from told.__cause__
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
                raise (told := error_of_sdk(error)) from told.__cause__
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


class KeptStream:
    """A whole answer, as a stream of one chunk, and one for the usage if the caller asked for it."""

    def __init__(self, completion: Any, routed: Any, params: Mapping[str, Any]) -> None:
        self._completion, self._routerlab = completion, routed
        self._chunks = iter(chunks_of(completion, with_usage=wants_usage(params)))

    def __iter__(self) -> KeptStream:
        return self

    def __next__(self) -> Any:
        """Return the next chunk."""
        return next(self._chunks)

    def __enter__(self) -> KeptStream:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give out nothing more."""
        self._chunks = iter(())


class AsyncKeptStream(KeptStream):
    """`KeptStream` of an asynchronous client."""

    def __aiter__(self) -> AsyncKeptStream:
        return self

    async def __anext__(self) -> Any:
        """Return the next chunk."""
        for chunk in self._chunks:
            return chunk
        raise StopAsyncIteration

    async def __aenter__(self) -> AsyncKeptStream:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:  # type: ignore[override]
        """Give out nothing more."""
        self._chunks = iter(())


def chunks_of(completion: Any, *, with_usage: bool) -> list[Any]:
    """Return a completion as the chunks of a stream."""
    from openai.types.chat import ChatCompletionChunk

    told = completion.model_dump(exclude_none=True, warnings=False)
    choices = []
    for choice in told["choices"]:
        delta = choice.pop("message")
        for place, call in enumerate(delta.get("tool_calls", ())):
            call["index"] = place
        choices.append(choice | {"delta": delta})
    usage = told.pop("usage", None)
    head = told | {"object": "chat.completion.chunk"}
    bodies = [head | {"choices": choices}]
    if with_usage and usage is not None:
        bodies.append(head | {"choices": [], "usage": usage})
    return [
        ChatCompletionChunk.construct(**body) for body in bodies
    ]  # as the SDK does: providers add what it does not know


class _Namespace:
    """``chat`` and ``chat.completions``, with an error that says what else there is not."""

    def __init__(self, **names: Any) -> None:
        self.__dict__.update(names)

    def __getattr__(self, name: str) -> Any:
        msg = f"routerlab's clients have only chat.completions.create, not {name!r}: use the openai client for that."
        raise AttributeError(msg)


class BaseClient:
    """Set up, route, take feedback; a subclass sends."""

    _sdk_client = ""
    _create: Any

    def __init__(
        self,
        router: Any,
        embedder: Any,
        endpoints: Models | None = None,
        *,
        client: Any = None,
        prices: Prices | None = None,
        capture: str | Path | None = None,
        redact: Redact | None = None,
        store_text: bool = True,
        fsync: bool = True,
        explore: float = 0.0,
        prompt_from: Callable[[Sequence[Any]], str] = last_user_text,
        timeout_s: float | None = 60.0,
        rest_s: float = 15.0,
        random_state: int | None = None,
        cascades: Mapping[str, Cascade] | None = None,
        check: Check | None = None,
        extract: Extract = "auto",
    ) -> None:
        check_router(router, embedder)
        _check_seconds("timeout_s", timeout_s, least=1e-3)
        _check_seconds("rest_s", rest_s)
        timeout_s = None if timeout_s == math.inf else timeout_s
        models = endpoints if endpoints is not None else [str(name) for name in getattr(router, "models_", ())]
        resolved = resolve_models(models, client, prices, name="endpoints")
        self._cascades = Cascades(router, resolved, cascades or {}, check, extract)
        decider = Decider(
            router,
            embedder,
            list(resolved),
            explore=explore,
            prompt_from=prompt_from,
            random_state=random_state,
            cascades=list(self._cascades),
        )
        every = [endpoint for served in resolved.values() for endpoint in served]
        clients = Clients(every, self._sdk_client)
        log = None
        if capture is not None:
            secrets = Secrets(clients)
            log = CaptureLog(capture, redact=redact, store_text=store_text, sync=fsync, secrets=secrets)
        self._service = Service(decider, resolved, clients, log, timeout_s, Cooldown(rest_s))
        self.chat = _Namespace(completions=_Namespace(create=self._create))

    def __repr__(self) -> str:
        """Router, endpoints and where captures go; never a key."""
        service = self._service
        served = "; ".join(f"{m}: {', '.join(e.name for e in es)}" for m, es in service.endpoints.items())
        captures = f", captures in {str(service.log.path)!r}" if service.log else ""
        named = f"; cascades {shown(list(self._cascades))}" if self._cascades else ""
        return f"{type(self).__name__}({type(service.decider.router).__name__} over {served}{named}{captures})"

    @property
    def n_lost(self) -> int:
        """Captures that could not be written; each was warned about."""
        return self._service.log.n_lost if self._service.log else 0

    def route(
        self, messages: str | Sequence[Any], *, model: str = ROUTED, willingness_to_pay: float | None = None
    ) -> Decision:
        """Say where a call would go, without sending or capturing anything.

        Parameters
        ----------
        messages : str or sequence of dict
            A prompt, or messages as ``create`` takes them.
        model, willingness_to_pay : optional
            As in ``create``.

        Returns
        -------
        Decision
            Estimates and the order of models; print it.
        """
        if isinstance(messages, str):
            messages = [{"role": "user", "content": messages}]
        decider = self._service.decider
        return decider.decide(messages, model, decider.willingness_to_pay(model, willingness_to_pay))

    def _steps(
        self, messages: Any, model: str, willingness_to_pay: float | None, stream: Any, params: Mapping[str, Any]
    ) -> Generator[Any, Any, Any]:
        wtp = self._service.decider.willingness_to_pay(model, willingness_to_pay)
        if isinstance(messages, str | bytes | Mapping) or not isinstance(messages, Iterable):
            remedy = "Example: messages=[{'role': 'user', 'content': 'Poach an egg?'}]."
            refuse("'messages'", f"got {type(messages).__name__}, expected a list of messages.", remedy)
        return routed_steps(self._service, self._cascades, Asked(list(messages), bool(stream), params), model, wtp)

    def _feedback(self, call: Any, quality: Any, note: str | None, scale: Scale | None) -> bool:
        log = self._service.log
        if log is None:
            refuse("feedback", "this client captures nothing.", "Make it with capture='captured.jsonl'.")
        request_id = call if isinstance(call, str) else getattr(getattr(call, "_routerlab", None), "request_id", None)
        if not request_id:
            got = type(call).__name__
            refuse("feedback", f"got {got}, expected a completion, a stream or a request_id.", "Pass what create gave.")
        if scale is not None:
            quality = to_quality([quality], scale, where="'quality'", names=["this call"]).iloc[0]
        quality = quality.item() if isinstance(quality, np.generic) else quality
        if not isinstance(quality, int | float) or not 0 <= quality <= 1:
            remedy = "Pass its scale, e.g. scale=(1, 5) or scale={'pass': 1, 'fail': 0}."
            refuse("'quality'", f"got {quality!r}, expected a number from 0 to 1.", remedy)
        record = {"type": "feedback", "request_id": request_id, "quality": float(quality), "note": note, "at": now()}
        return log.write(record)


def _check_seconds(name: str, seconds: Any, least: float = 0.0) -> None:
    """Refuse what no request could be held to, before any is sent."""
    if seconds is None and name == "timeout_s":
        return
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not least <= seconds:
        refuse(f"'{name}'", f"got {seconds!r}, expected a number of at least {least:g}.", f"Example: {name}=15.")


def read_whole(raw: Any, seen: Seen) -> Whole:
    """Return the SDK's completion, or raise the SDK's error if the answer holds no reply."""
    reply = read_answer(raw, seen)
    if isinstance(reply, Failure):
        raise unusable(raw.http_response, reply)
    try:
        completion = unwarned(raw.parse)
    except Exception as error:  # the SDK cannot make an object of it
        failure = Failure(f"the SDK cannot read the reply ({type(error).__name__})", retryable=True, usage=reply.usage)
        raise unusable(raw.http_response, failure) from error
    return Whole(completion, reply)


def check_opened(stream: Any, held: list[Any], deadline: Deadline) -> Opened:
    """Return a stream that has begun, or raise the SDK's error if it ended before that."""
    failed = bool(held) and fails(held[-1])
    if failed or not held or not begins(held[-1]):
        said = "error in the stream" if failed else "the stream ended before the first token"
        failure = Failure(said, retryable=True, maybe_billed=True)
        raise unusable(stream.response, failure)
    deadline.answered()
    return Opened(stream, held, deadline)


def deadline_of(send: Send) -> Deadline:
    """Return when a request must be answered: in the seconds of its ``timeout``, if that is a number."""
    seconds = send.body.get("timeout")
    return Deadline(float(seconds) if isinstance(seconds, int | float) and seconds > 0 else math.inf)


def connection_of(error: BaseException) -> Any:
    """Return the connection of an answer that holds no reply, to be closed: what comes next on it may be for others."""
    return error.response.extensions.get("network_stream") if hasattr(error, "_failure") else None  # type: ignore[attr-defined]


def with_routed(completion: Any, call: Call) -> Any:
    """Hang what routing did onto a completion, as the SDK hangs ``_request_id``: no part of ``model_dump()``."""
    completion._routerlab = call.routed()
    return completion


def step(steps: Generator[Any, Any, Any], result: Any, error: BaseException | None) -> tuple[Any, Any]:
    """Hand the last result (or error) to a call; return what is to be done next, or None and what came of it."""
    try:
        return (steps.throw(error) if error else steps.send(result)), None
    except StopIteration as stop:
        return None, stop.value


class RoutedClient(BaseClient):
    """Chat completions, each sent to the model that a fitted router chooses; a drop-in for ``openai.OpenAI``.

    ``client.chat.completions.create(model="routerlab", messages=[...])`` embeds the prompt, lets the router order the
    models, and asks them in turn until one answers. What comes back is the SDK's own object.

    Parameters
    ----------
    router : fitted router
        Of `routerlab.routers`, or anything with ``models_``, ``predict_quality``, ``predict_cost`` and
        ``willingness_to_pay``. Its abstention is respected.
    embedder : object
        With ``transform``, the one that the router was fitted with. ``SentenceEmbedder(cache=False)`` saves a write
        to disk for each new prompt.
    endpoints : list of str, or mapping, optional
        Who serves each model: name -> str, `Endpoint`, or a list of these in order of preference. Default: the router's
        models under their own names, through `client`. Models that the router does not know can be asked by name.
    client : openai.OpenAI, optional
        For endpoints without one of their own.
    prices : mapping or DataFrame, optional
        For endpoints without a price of their own; see `routerlab.add_cost`. 0 for a model that costs nothing.
    capture : str or Path, optional
        JSONL file that every call and feedback is appended to, for `read_captured`. Any number of threads and
        processes may share one. A new file can be read and written by its owner alone (mode 0600).
    redact : callable, optional
        Gets each record (a dict whose ``type`` is 'call' or 'feedback') before it is written, and returns what is
        written in its place, or None to write nothing. If it fails, nothing is written. It sees ``prompt``,
        ``response``, ``note`` and the ``message`` of each of ``failures``; it may add fields.
    store_text : bool, default True
        False leaves prompts, responses, notes and error messages out of the file.
    fsync : bool, default True
        Whether a record is on the disk before the reply is handed over. False is quicker, and a power failure may take
        the last records.
    explore : float, default 0
        Share of calls whose model is drawn at random: the next router learns about models that this one would not
        choose. Each record says with which probability (``propensity``) its model was chosen. A prompt on which the
        router abstains is never explored.
    prompt_from : callable, optional
        From the messages to the text to route by. Default: the text of the last message of role ``user``.
    timeout_s : float or None, default 60
        Until a reply is there, whole, whatever comes meanwhile; of a stream until its first token, then until each next
        one. ``create(timeout=)`` gives another number for one call. None leaves it to the clients (600 s by default).
    rest_s : float, default 15
        Seconds for which an endpoint that failed for good, mid-stream included, is asked after all others, or as long
        as its Retry-After asks for, up to 300: not every call waits for a provider that is down. 0: every call asks
        in the router's order.
    random_state : int, optional
        Seed of the exploration.
    cascades : mapping of str to Cascade, optional
        By name, e.g. ``routerlab.options.definitions(outcomes)``: what ``model=`` may name, and what the router chooses
        from if it was fitted on their columns. Those of a `CascadeRouter` need not be given.
    check : callable, optional
        From a frame of texts (one row, a column for each model asked so far, None where one failed) to a score in
        [0, 1], a Series of one, or a `routerlab.options.Checked`. By default the agreement of extracted answers.
    extract : str or callable, default 'auto'
        How answers are read; see `routerlab.options.extract_answers`.

    Attributes
    ----------
    n_lost : int
        Captures that could not be written. Each was warned about (`CaptureWarning`); no reply was held up by it.

    Notes
    -----
    ``create`` takes what the SDK's does, and ``willingness_to_pay=`` (USD per unit of quality on this request; or
    ``model="routerlab:wtp=0.01"``; default: the router's own). ``model=`` may name one of the models, which then
    answers unrouted, and is captured as such.

    *Failover.* Models are tried by ``quality - cost / willingness_to_pay``, each at all its endpoints. Broken
    connections, status 408, 409, 425, 429 and 5xx, and answers without a choice: the same model is asked again, as
    often as the client's ``max_retries`` says (2 by default; once at most where the lost reply may be on the bill),
    after the wait that ``Retry-After`` asks for, if it ends within `timeout_s`. Only then another model is asked, with
    an `EndpointWarning`; `Captured.n_handed_over` counts such calls. Time-outs, 401, 402, 404 and redirects to another
    host, which are not followed, go on at once. Any other status (400) is raised as the SDK raises it: the request is
    at fault. In a stream the same holds up to the first token. Later errors are raised, since another model's text must
    not continue the first one's. If all fail, the first one's error is raised, with a note on each attempt.

    *Cascades.* The models of a stage are asked in parallel, and the next stage where the check of what they said fails;
    a `CascadeRouter` applies its rule again, at the willingness to pay of the chosen column. A model that fails counts
    as one without an answer, and so the cascade escalates. If the last stage fails, the router's other models follow,
    as above; after them, or where the caller named the cascade, the best of the answers that are there is kept, with an
    `EndpointWarning`; without any, the error is raised. A cascade never follows a model that failed. Streams start
    when the answer is decided: the last stage is streamed as it comes, an answer kept from an earlier one is one chunk.
    Every call is captured with its own cost, under the ``cascade_id`` of all; `Captured.cascades` adds them up. The
    reply's ``_routerlab.cascade`` says who was asked.

    *Without text.* A message that is a picture alone, or empty, goes to the router's ``fallback``; without one, to the
    model that is best on average.

    *Limits.* A reply of more than 32 MiB (a stream: 128 MiB), unpacked, is an error. A forked process (gunicorn with
    --preload, celery) makes connections of its own, unless the client has an ``http_client`` of yours.

    *Usage in streams.* The endpoint is asked for it, as the cost is captured; one that refuses ``stream_options`` is
    asked without, and the cost of its streams is not known.

    *The reply* has ``_routerlab`` (request_id, decision, model, served_by, failures, rested, cascade). Of several
    choices (``n=``) the first one's text is captured, and the cost of all. A stream's latency contains what its reader
    takes between chunks.

    *Selection.* Feedback exists only for the model that answered. See `Captured.complete` and ``explore``.

    Other parts of the SDK's client (``responses``, ``embeddings``, ``parse``, ``with_raw_response``) are not provided.

    Examples
    --------
    >>> import numpy as np, openai, pandas as pd, routerlab as rl
    >>> prompts = ["How do I poach an egg?", "How do I boil rice?", "Fix my SQL query", "Fix my Python script"]
    >>> quality = pd.DataFrame({"small": [0.9, 0.9, 0.2, 0.3], "large": [0.9, 0.9, 0.9, 0.8]})
    >>> cost = pd.DataFrame({"small": [0.0001] * 4, "large": [0.01] * 4})
    >>> embedder = rl.LsaEmbedder().fit(prompts)
    >>> router = rl.KNNRouter(n_neighbors=2, willingness_to_pay=0.1)
    >>> router = router.fit(embedder.transform(prompts), quality, cost=cost)
    >>> local = openai.OpenAI(base_url="http://127.0.0.1:8080/v1", api_key="unused")
    >>> client = rl.RoutedClient(router, embedder, {"small": "smollm2", "large": "llama3"}, client=local)
    >>> print(client.route("How do I poach two eggs?"))
    willingness to pay 0.1 USD per unit of quality
    1. small: quality 0.90, 0.1 USD per 1,000 requests
    2. large: quality 0.90, 10 USD per 1,000 requests
    >>> client.route("Fix this query").chosen
    'large'
    """

    _sdk_client = "OpenAI"

    def _create(
        self,
        *,
        messages: Sequence[Any],
        model: str = ROUTED,
        willingness_to_pay: float | None = None,
        stream: bool | None = False,
        **params: Any,
    ) -> Any:
        """Route a chat completion; see `RoutedClient`."""
        answer, call = self._drive(self._steps(messages, model, willingness_to_pay, stream, params))
        if isinstance(answer, Opened):
            return RoutedStream(answer, call, self._service, pass_usage=wants_usage(params))
        return KeptStream(answer.completion, call.routed(), params) if stream else with_routed(answer.completion, call)

    def _drive(self, steps: Generator[Any, Any, Any]) -> Any:
        """Do what a call asks for, to its end."""
        todo, done = step(steps, None, None)
        while todo:
            result, error = None, None
            try:
                result = self._do(todo)
            except BaseException as caught:
                error = caught
            todo, done = step(steps, result, error)
        return done

    def feedback(self, call: Any, quality: Any, *, note: str | None = None, scale: Scale | None = None) -> bool:
        """Capture how good a reply was.

        Parameters
        ----------
        call : completion, stream or str
            What ``create`` returned, or its ``_routerlab.request_id``.
        quality : float
            From 0 to 1; True and False are 1 and 0. A later feedback on the same call replaces an earlier one.
        note : str, optional
            A remark.
        scale : (float, float) or mapping, optional
            Of `quality`, if it is not from 0 to 1: ``(1, 5)``, ``(0, 100)``, ``{"thumbs up": 1, "thumbs down": 0}``.

        Returns
        -------
        bool
            Whether it was written. If not, a `CaptureWarning` says why.
        """
        return self._feedback(call, quality, note, scale)

    def _do(self, todo: Work | Send | Pause | Together) -> Any:
        if isinstance(todo, Together):
            with ThreadPoolExecutor(len(todo.calls)) as pool:
                found = [pool.submit(contextvars.copy_context().run, self._drive, each) for each in todo.calls]
            return [future.exception() or future.result() for future in found]
        if isinstance(todo, Work):
            return todo.do()
        return self._send(todo) if isinstance(todo, Send) else time.sleep(todo.seconds)

    def _send(self, send: Send) -> Whole | Opened:
        client, seen = self._service.clients.of(send.endpoint)
        create, deadline = client.chat.completions, deadline_of(send)
        try:
            with answered_within(deadline):
                if send.stream:
                    return self._open(create.create(**send.body), deadline)
                return read_whole(create.with_raw_response.create(**send.body), seen)
        except Exception as error:
            if connection := connection_of(error):
                connection.close()
            raise

    def _open(self, stream: Any, deadline: Deadline) -> Opened:
        held: list[Any] = []
        try:
            with suppress(StopIteration):
                while len(held) < MOST_HELD and not (held and begins(held[-1])):
                    held.append(next(stream))
            return check_opened(stream, held, deadline)
        except Exception as error:
            stream.close()
            raise (told := unreadable(error, stream.response)) from told.__cause__
        except BaseException:
            stream.close()
            raise


class AsyncRoutedClient(BaseClient):
    """`RoutedClient` for ``openai.AsyncOpenAI`` clients: ``await client.chat.completions.create(...)``.

    Parameters, failover and captures are those of `RoutedClient`. Embedding, routing and writing happen in threads
    and do not block the event loop. ``feedback`` must be awaited (``await client.feedback(completion, 1.0)``):
    without ``await`` nothing is written.

    Examples
    --------
    >>> import numpy as np, openai, pandas as pd, routerlab as rl
    >>> prompts = ["How do I poach an egg?", "Fix my SQL query"]
    >>> quality = pd.DataFrame({"small": [0.9, 0.2], "large": [0.9, 0.9]})
    >>> embedder = rl.LsaEmbedder().fit(prompts)
    >>> router = rl.KNNRouter(n_neighbors=1).fit(embedder.transform(prompts), quality, cost=quality / 100)
    >>> local = openai.AsyncOpenAI(base_url="http://127.0.0.1:8080/v1", api_key="unused")
    >>> rl.AsyncRoutedClient(router, embedder, client=local)
    AsyncRoutedClient(KNNRouter over small: small at 127.0.0.1:8080; large: large at 127.0.0.1:8080)
    """

    _sdk_client = "AsyncOpenAI"

    async def _create(
        self,
        *,
        messages: Sequence[Any],
        model: str = ROUTED,
        willingness_to_pay: float | None = None,
        stream: bool | None = False,
        **params: Any,
    ) -> Any:
        """Route a chat completion; see `RoutedClient`."""
        answer, call = await self._drive(self._steps(messages, model, willingness_to_pay, stream, params))
        if isinstance(answer, Opened):
            return AsyncRoutedStream(answer, call, self._service, pass_usage=wants_usage(params))
        kept = partial(AsyncKeptStream, answer.completion, call.routed(), params)
        return kept() if stream else with_routed(answer.completion, call)

    async def _drive(self, steps: Generator[Any, Any, Any]) -> Any:
        """Do what a call asks for, to its end."""
        todo, done = step(steps, None, None)
        while todo:
            result, error = None, None
            try:
                result = await self._do(todo)
            except BaseException as caught:
                error = caught
            todo, done = step(steps, result, error)
        return done

    async def feedback(self, call: Any, quality: Any, *, note: str | None = None, scale: Scale | None = None) -> bool:
        """Capture how good a reply was; to be awaited, or nothing is written. See `RoutedClient.feedback`."""
        return await in_thread(self._feedback, call, quality, note, scale)

    async def _do(self, todo: Work | Send | Pause | Together) -> Any:
        if isinstance(todo, Together):
            return await asyncio.gather(*map(self._drive, todo.calls), return_exceptions=True)
        if isinstance(todo, Work):
            return await in_thread(todo.do)
        return await (self._send(todo) if isinstance(todo, Send) else asyncio.sleep(todo.seconds))

    async def _send(self, send: Send) -> Whole | Opened:
        client, seen = self._service.clients.of(send.endpoint)
        create, deadline = client.chat.completions, deadline_of(send)
        try:
            with answered_within(deadline):
                if send.stream:
                    return await self._open(await create.create(**send.body), deadline)
                return read_whole(await create.with_raw_response.create(**send.body), seen)
        except Exception as error:
            if connection := connection_of(error):
                await connection.aclose()
            raise

    async def _open(self, stream: Any, deadline: Deadline) -> Opened:
        held: list[Any] = []
        try:
            with suppress(StopAsyncIteration):
                while len(held) < MOST_HELD and not (held and begins(held[-1])):
                    held.append(await stream.__anext__())
            return check_opened(stream, held, deadline)
        except Exception as error:
            await stream.close()
            raise (told := unreadable(error, stream.response)) from told.__cause__
        except BaseException:
            await stream.close()
            raise
