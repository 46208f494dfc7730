"""What the synchronous and the asynchronous client share: all but I/O."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from routerlab.completions import CAME_BEFORE, Deadline, Failure, Models, Reply, Seen, read_reply, resolve_models
from routerlab.pricing import Prices
from routerlab.schema import Scale, reject, to_quality
from routerlab.serving._calls import Call, Opened, Send, Service, Whole
from routerlab.serving._capture import CaptureLog, Redact, now
from routerlab.serving._clients import Clients
from routerlab.serving._decide import ROUTED, Chooser, Decision, check_router
from routerlab.serving._failures import Secrets, unusable
from routerlab.serving._prompts import last_user_text
from routerlab.serving._resting import Cooldown
from routerlab.serving._streams import begins, fails

MOST_HELD = 10_000  # pieces of a stream before its first token


class _Namespace:
    """``chat`` and ``chat.completions``, with an error that says what else there is not."""

    def __init__(self, **names: Any) -> None:
        self.__dict__.update(names)

    def __getattr__(self, name: str) -> Any:
        msg = f"routerlab's clients have chat.completions.create alone, not {name!r}: for that, use the openai client."
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
    ) -> None:
        check_router(router, embedder)
        _check_seconds("timeout_s", timeout_s, least=1e-3)
        _check_seconds("rest_s", rest_s)
        timeout_s = None if timeout_s == math.inf else timeout_s
        models = endpoints if endpoints is not None else [str(name) for name in getattr(router, "models_", ())]
        resolved = resolve_models(models, client, prices, name="endpoints")
        chooser = Chooser(
            router, embedder, list(resolved), explore=explore, prompt_from=prompt_from, random_state=random_state
        )
        every = [endpoint for served in resolved.values() for endpoint in served]
        clients = Clients(every, self._sdk_client)
        log = None
        if capture is not None:
            secrets = Secrets(clients)
            log = CaptureLog(capture, redact=redact, store_text=store_text, sync=fsync, secrets=secrets)
        self._service = Service(chooser, resolved, clients, log, timeout_s, Cooldown(rest_s))
        self.chat = _Namespace(completions=_Namespace(create=self._create))

    def __repr__(self) -> str:
        """Router, endpoints and where captures go; never a key."""
        service = self._service
        served = "; ".join(f"{m}: {', '.join(e.name for e in es)}" for m, es in service.endpoints.items())
        captures = f", captures in {str(service.log.path)!r}" if service.log else ""
        return f"{type(self).__name__}({type(service.chooser.router).__name__} over {served}{captures})"

    @property
    def n_lost(self) -> int:
        """Captures that could not be written; each was warned about."""
        return self._service.log.n_lost if self._service.log else 0

    def route(
        self,
        messages: str | Sequence[Any],
        *,
        model: str = ROUTED,
        willingness_to_pay: float | None = None,
    ) -> Decision:
        """Say where a call would go, without sending or capturing anything.

        Parameters
        ----------
        messages : str or sequence of dict
            A prompt, or messages as ``create`` takes them.
        model, willingness_to_pay
            As in ``create``.

        Returns
        -------
        Decision
            Estimates and the order of models; print it.
        """
        if isinstance(messages, str):
            messages = [{"role": "user", "content": messages}]
        chooser = self._service.chooser
        return chooser.decide(messages, model, chooser.willingness_to_pay(model, willingness_to_pay))

    def _steps(
        self, messages: Any, model: str, willingness_to_pay: float | None, stream: Any, params: Mapping[str, Any]
    ) -> Generator[Any, Any, Any]:
        wtp = self._service.chooser.willingness_to_pay(model, willingness_to_pay)
        if isinstance(messages, str | bytes | Mapping) or not isinstance(messages, Iterable):
            remedy = "Example: messages=[{'role': 'user', 'content': 'Poach an egg?'}]."
            reject("'messages'", f"got {type(messages).__name__}, expected a list of messages.", remedy)
        return self._service.steps(list(messages), model, wtp, bool(stream), params)

    def _feedback(self, call: Any, quality: Any, note: str | None, scale: Scale | None) -> bool:
        log = self._service.log
        if log is None:
            reject("feedback", "this client captures nothing.", "Make it with capture='captured.jsonl'.")
        request_id = call if isinstance(call, str) else getattr(getattr(call, "_routerlab", None), "request_id", None)
        if not request_id:
            got = type(call).__name__
            reject("feedback", f"got {got}, expected a completion, a stream or a request_id.", "Pass what create gave.")
        if scale is not None:
            quality = to_quality([quality], scale, where="'quality'", names=["this call"]).iloc[0]
        quality = quality.item() if isinstance(quality, np.generic) else quality
        if not isinstance(quality, int | float) or not 0 <= quality <= 1:
            remedy = "Pass its scale, e.g. scale=(1, 5) or scale={'pass': 1, 'fail': 0}."
            reject("'quality'", f"got {quality!r}, expected a number from 0 to 1.", remedy)
        record = {"type": "feedback", "request_id": request_id, "quality": float(quality), "note": note, "at": now()}
        return log.write(record)


def _check_seconds(name: str, seconds: Any, least: float = 0.0) -> None:
    """Refuse what no request could be held to, before any is sent."""
    if seconds is None and name == "timeout_s":
        return
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not least <= seconds:
        reject(f"'{name}'", f"got {seconds!r}, expected a number of at least {least:g}.", f"Example: {name}=15.")


def read_whole(raw: Any, seen: Seen) -> Whole:
    """Return the SDK's completion, or raise the SDK's error if the answer holds no reply."""
    reply = read_reply(raw.content)
    if isinstance(reply, Reply) and seen.again(reply.reply_id, raw.http_request.content, raw.content):
        reply = Failure(CAME_BEFORE, retryable=True, maybe_billed=True)
    if isinstance(reply, Failure):
        raise unusable(raw.http_response, reply)
    try:
        completion = raw.parse()
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
