"""One call from beginning to end, without I/O of its own: what is sent to whom, in which order, and what is captured.

`steps` is a generator. It yields what is to be done (`Work` in this process, `Send` over the network) and is sent the
result, or thrown the exception; the synchronous client does it at once, the asynchronous one awaits it.
"""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from uuid import uuid4

from routerlab.completions import Endpoint, Failure, account, billed_usage, scrub
from routerlab.serving._capture import CaptureLog, Record, now
from routerlab.serving._decide import Chooser, Decision
from routerlab.serving._errors import EndpointWarning
from routerlab.serving._failures import Secrets, failure_of, without_keys
from routerlab.serving._resting import Resting

_TO_CALLER = 5  # frames from a warning to the line that called (or awaits) create: _goes_on, steps, step, _create


@dataclass(frozen=True)
class Work:
    """Something to compute or to write: CPU or disk, which an event loop should not wait for."""

    do: Callable[[], Any]


@dataclass(frozen=True)
class Send:
    """A request to one endpoint; `Whole` or `Opened` comes back."""

    client: Any
    body: Mapping[str, Any]
    stream: bool


@dataclass(frozen=True)
class Whole:
    """A reply that is not streamed: the SDK's object, the text of its first choice."""

    completion: Any
    text: str
    finish_reason: str | None


@dataclass(frozen=True)
class Opened:
    """A stream, and its chunks up to the first token."""

    stream: Any
    held: list[Any]


@dataclass(frozen=True)
class Routed:
    """What became of a call; completions and streams carry it as ``_routerlab``.

    Attributes
    ----------
    request_id : str
        For `RoutedClient.feedback`.
    decision : Decision
        Estimates, and the order of models.
    model, served_by : str
        Who answered: the model's name in ``endpoints``, and the provider's name for it and host.
    failures : tuple of dict
        What was tried before: ``model``, ``served_by``, ``error``, ``message``, ``latency_s``; ``cost_usd`` if it was
        billed.
    rested : tuple of str
        Endpoints that would have had their turn before, and were put last since they failed a moment ago.
    """

    request_id: str
    decision: Decision
    model: str
    served_by: str
    failures: tuple[Mapping[str, Any], ...] = ()
    rested: tuple[str, ...] = ()

    def __repr__(self) -> str:
        """One line; print ``decision`` and ``failures`` for more."""
        failed = f", after {len(self.failures)} failed" if self.failures else ""
        rested = f", {len(self.rested)} rested" if self.rested else ""
        return f"Routed({self.model}: {self.served_by}{failed}{rested}, request_id={self.request_id!r})"


@dataclass
class Call:
    """A call under way."""

    decision: Decision
    stream: bool
    started: float
    request_id: str = field(default_factory=lambda: uuid4().hex)
    at: str = field(default_factory=now)
    routing_s: float = 0.0
    model: str = ""
    endpoint: Endpoint | None = None
    sent: float = 0.0
    failures: list[dict[str, Any]] = field(default_factory=list)
    rested: tuple[str, ...] = ()

    def begin(self, model: str, endpoint: Endpoint) -> None:
        """Note that a request goes out."""
        self.model, self.endpoint, self.sent = model, endpoint, time.perf_counter()

    def fail(self, failure: Failure, message: str) -> None:
        """Note that it failed."""
        what = f"HTTP {failure.status}" if failure.status else failure.message.partition(" (")[0].partition(":")[0]
        taken = time.perf_counter() - self.sent
        served_by = self.endpoint.name if self.endpoint else ""
        failed = {"model": self.model, "served_by": served_by, "error": what, "message": message, "latency_s": taken}
        if failure.usage is not None and self.endpoint:  # what cannot be used is billed all the same
            failed["cost_usd"] = account(failure.usage, self.endpoint).cost_usd
        self.failures.append(failed)

    def routed(self) -> Routed:
        """Return what the caller is told."""
        served_by = self.endpoint.name if self.endpoint else ""
        return Routed(self.request_id, self.decision, self.model, served_by, tuple(self.failures), self.rested)

    def record(
        self,
        *,
        response: str | None = None,
        finish_reason: str | None = None,
        usage: Any = None,
        first_token_s: float | None = None,
        error: str | None = None,
    ) -> Record:
        """Return what is captured; without a reply, no model served it."""
        ended, decision = time.perf_counter(), self.decision
        served = self.endpoint if response is not None else None
        spent = account(usage, served)._asdict() if served else {}
        return {
            "type": "call",
            "request_id": self.request_id,
            "at": self.at,
            "asked": decision.asked,
            "willingness_to_pay": decision.willingness_to_pay,
            "prompt": decision.prompt,
            "chosen": decision.chosen,
            "order": list(decision.order),
            "quality": dict(decision.quality),
            "cost": dict(decision.cost),
            "abstained": decision.abstained,
            "explored": decision.explored,
            "propensity": decision.propensity,
            "provenance": decision.provenance,
            "model": self.model if served else None,
            "served_by": served.name if served else None,
            "response": response,
            "finish_reason": finish_reason,
            **spent,
            "lost_usd": math.fsum(n for f in self.failures if not math.isnan(n := f.get("cost_usd", 0.0))),
            "routing_s": self.routing_s,
            "latency_s": ended - self.sent if served else None,
            "first_token_s": first_token_s,
            "total_s": ended - self.started,
            "stream": self.stream,
            "failures": list(self.failures),
            "rested": list(self.rested),
            "error": error,
        }


@dataclass(frozen=True)
class Service:
    """What every call of a client shares."""

    chooser: Chooser
    endpoints: Mapping[str, Sequence[Endpoint]]
    clients: Mapping[int, Any]  # id of an endpoint -> its client, without retries of its own
    secrets: Secrets
    log: CaptureLog | None
    timeout_s: float | None
    resting: Resting

    def write(self, record: Record) -> None:
        """Capture a record, if captures are wanted."""
        if self.log is not None:
            self.log.write(record)

    def steps(
        self, messages: Sequence[Any], model: str, wtp: float | None, stream: bool, params: Mapping[str, Any]
    ) -> Generator[Work | Send, Any, tuple[Any, Call]]:
        """Route, then ask one endpoint after the other; return the reply (or the opened stream) and its call."""
        started = time.perf_counter()
        decision = yield Work(partial(self.chooser.decide, messages, model, wtp))
        call = Call(decision, stream, started, routing_s=time.perf_counter() - started)
        first: Exception | None = None
        turns = [(n, e) for n in decision.order for e in self.endpoints[n]]
        call.rested = tuple(e.name for _, e in turns if self.resting.rests(e))
        for name, endpoint in self.resting.last(turns):
            call.begin(name, endpoint)
            body = self._body(endpoint, messages, params, stream)
            try:
                answer = yield Send(self.clients[id(endpoint)], body, stream)
            except Exception as error:
                first = first or error
                if not self._goes_on(call, error):
                    yield Work(partial(self.write, call.record(error=call.failures[-1]["error"])))
                    raise without_keys(error, self.secrets()) from error.__cause__
            except BaseException:  # a cancelled task, Ctrl-C: what was sent may be on the bill
                self.write(call.record(error="cancelled"))
                raise
            else:
                self.resting.wake(endpoint)
                if isinstance(answer, Whole):
                    usage = billed_usage(answer.completion)
                    record = call.record(response=answer.text, finish_reason=answer.finish_reason, usage=usage)
                    yield Work(partial(self.write, record))
                return answer, call
        yield Work(partial(self.write, call.record(error=f"all {len(call.failures)} endpoints failed")))
        raise self._all_failed(call, first)

    def _goes_on(self, call: Call, error: Exception) -> bool:
        """Note a failure; whether it is the endpoint's, so that the next one may answer."""
        failure = failure_of(error)
        message = scrub(failure.message, self.secrets())
        call.fail(failure, message)
        if failure.closes:
            where = call.failures[-1]["served_by"]
            warnings.warn(f"{where} refuses every request: {message}", EndpointWarning, stacklevel=_TO_CALLER)
        return self.rest(call, failure)

    def rest(self, call: Call, failure: Failure) -> bool:
        """Whether a failure is the endpoint's and not the request's; if so, let the endpoint rest."""
        its_own = failure.again or failure.closes
        if its_own and call.endpoint:
            self.resting.note(call.endpoint, failure)
        return its_own

    def _all_failed(self, call: Call, error: Exception | None) -> Exception:
        """Return the error of the first endpoint, as the SDK would raise it, with a note on each endpoint, in order."""
        if error is None:
            error = RuntimeError("no endpoint was asked")
        for turn, failed in enumerate(call.failures):
            when = "then" if turn else "first"
            error.add_note(f"{when} {failed['model']} ({failed['served_by']}): {failed['message']}")
        return without_keys(error, self.secrets())

    def _body(
        self, endpoint: Endpoint, messages: Sequence[Any], params: Mapping[str, Any], stream: bool
    ) -> dict[str, Any]:
        body = {"model": endpoint.model, "messages": messages, **params}
        if self.timeout_s is not None:
            body.setdefault("timeout", self.timeout_s)
        if stream:
            given = params.get("stream_options")
            options = dict(given) if isinstance(given, Mapping) else {}
            body |= {"stream": True, "stream_options": {**options, "include_usage": True}}
        own = {name: value for name, value in endpoint.params.items() if value is not None}
        for name in endpoint.params.keys() - own.keys():
            body.pop(name, None)
        if own:
            body["extra_body"] = {**(params.get("extra_body") or {}), **own}
        return body
