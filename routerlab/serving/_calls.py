"""One call from beginning to end, without I/O of its own: what is sent to whom, in which order, what is captured.

`Service.answer` is a generator. It yields what is to be done (`Work` in this process, `Send` over the network, a
`Pause`, calls to make `Together`) and is sent the result, or thrown the exception; the synchronous client does it at
once, the asynchronous one awaits it.
"""

import heapq
import json
import math
import random
import re
import sys
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from uuid import uuid4

from routerlab.completions import (
    Deadline,
    Endpoint,
    Failure,
    ProcessLock,
    Reply,
    Seen,
    account,
    error_of_sdk,
    guard,
    read_error,
    read_reply,
    renew_after_fork,
    scrub,
    secrets_of,
    tell,
    unwarned,
    wait_s,
)
from routerlab.exceptions import EndpointWarning
from routerlab.schema import refuse
from routerlab.serving._captures import CaptureLog, Record, now
from routerlab.serving._decide import Decider, Decision

_POOLS = {"OpenAI": "DefaultHttpxClient", "AsyncOpenAI": "DefaultAsyncHttpxClient"}
_OWN_POOLS = ("SyncHttpxClientWrapper", "AsyncHttpxClientWrapper")  # what the SDK makes if it is given no http_client
_DEEPEST = 50  # levels of an error's body
_MOST_SAID = 10_000  # characters of it
_UNKNOWN_PARAMETER = re.compile(
    r"(?i)stream.?options|include.?usage|\bextra\b|unknown|unrecogni[sz]ed|unsupported|not supported|unexpected"
    r"|not permitted"
)
_LONGEST_S = 300.0  # whatever a provider's Retry-After says
_PATIENCE_S = 120.0  # for which a model is asked again, if a request may take as long as it likes
_BACKOFF_S, _LONGEST_BACKOFF_S = 0.5, 8.0  # as the SDK's own retries wait


class Clients:
    """Copies of the endpoints' clients.

    A process that was forked makes connections of its own: on one connection, two processes would read each other's
    replies. An ``http_client`` that the user made is theirs, and stays. `kind`: ``OpenAI`` or ``AsyncOpenAI``.
    """

    def __init__(self, endpoints: Iterable[Endpoint], kind: str) -> None:
        self._endpoints, self._kind = list(endpoints), kind
        self._inherited = False
        self._one_at_a_time = ProcessLock()
        for endpoint in self._endpoints:
            self._check(endpoint)
        self._make()
        renew_after_fork(self)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._clients.values())

    def of(self, endpoint: Endpoint) -> tuple[Any, Seen]:
        """Return the client of an endpoint, and the replies that came by it."""
        with self._one_at_a_time:
            if self._inherited:
                self._make(new_connections=True)
                self._inherited = False
            key = id(endpoint.client)
            return self._clients[key], self._seen[key]

    def after_fork(self) -> None:
        """Use nothing of the parent's."""
        self._inherited = True

    def _check(self, endpoint: Endpoint) -> None:
        import openai

        if not isinstance(endpoint.client, getattr(openai, self._kind)):
            got = "is missing" if endpoint.client is None else f"got {type(endpoint.client).__name__}"
            routed = f"{'Async' if self._kind == 'AsyncOpenAI' else ''}RoutedClient"
            remedy = f"{routed} needs openai.{self._kind}(base_url=..., api_key=...), in the Endpoint or as client=."
            refuse(f"'client' of {endpoint.model!r}", f"{got}, expected openai.{self._kind}.", remedy)

    def _make(self, *, new_connections: bool = False) -> None:
        import openai

        pool = getattr(openai, _POOLS[self._kind])
        made = {}
        for client in {id(e.client): e.client for e in self._endpoints}.values():
            own = new_connections and type(client._client).__name__ in _OWN_POOLS
            options = {"http_client": pool()} if own else {}
            made[id(client)] = guard(client.with_options(max_retries=0, **options))
        self._clients: dict[int, Any] = made
        self._seen = {key: Seen() for key in made}


def to_caller() -> int:
    """Count the frames from the function that warns to the line that called (or awaits) create."""
    frame, n = sys._getframe(1), 1
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith(__package__):
        frame, n = frame.f_back, n + 1
    return n


class Secrets:
    """Keys of clients, all that were used so far: one that a function makes is known only once it was used."""

    def __init__(self, clients: Iterable[Any]) -> None:
        self._clients = clients
        self._known: set[str] = set()

    def __call__(self) -> set[str]:
        """Return what must never show."""
        self._known = self._known | {secret for client in self._clients for secret in secrets_of(client)}
        return self._known


def refuses_usage(error: Exception) -> bool:
    """Whether an endpoint may have refused ``stream_options``, which not all know.

    Examples
    --------
    >>> refuses_usage(TimeoutError())
    False
    """
    status = getattr(error, "status_code", None)
    said = f"{getattr(error, 'message', '')} {getattr(error, 'body', '')!r}"[:_MOST_SAID]
    return status == 422 or (status == 400 and bool(_UNKNOWN_PARAMETER.search(said)))


def unusable(response: Any, failure: Failure) -> Exception:
    """Return the SDK's exception for an answer with status 200 that holds no reply."""
    import openai

    error = openai.APIResponseValidationError(response=response, body=None, message=failure.message)
    error.__dict__["_failure"] = failure
    return error


def failure_of(error: Exception) -> Failure:
    """Say what an exception before the first token means.

    Examples
    --------
    >>> failure_of(json.JSONDecodeError("no", "doc", 0)).retryable
    True
    >>> failure_of(KeyError("x")).retryable
    False
    """
    import openai

    if isinstance(getattr(error, "_failure", None), Failure):
        return error.__dict__["_failure"]
    if type(error) is openai.APIError:  # an error inside a stream, as a body with status 200 has it
        return _error_in_stream(error)
    if isinstance(
        error, json.JSONDecodeError | UnicodeDecodeError | RecursionError | openai.APIResponseValidationError
    ):
        return Failure("the reply is not JSON", retryable=True, maybe_billed=True)
    return read_error(error)


def unreadable(error: Exception, response: Any) -> Exception:
    """Return an error of the SDK, or in place of any other one that says what it means."""
    import openai

    error = error_of_sdk(error)
    return error if isinstance(error, openai.OpenAIError) else unusable(response, failure_of_piece(error))


def failure_of_piece(error: Exception) -> Failure:
    """Say what an exception means that came while a stream was read: whatever it is, the stream is at fault.

    Examples
    --------
    >>> failure_of_piece(TypeError("x")).retryable
    True
    """
    failure = failure_of(error)
    if failure.retryable or failure.fatal or failure.status:
        return failure
    return Failure(f"the stream cannot be read ({type(error).__name__})", retryable=True, maybe_billed=True)


def _error_in_stream(error: Any) -> Failure:
    try:
        read = read_reply(json.dumps({"error": error.body or {"message": error.message}}).encode())
    except (ValueError, RecursionError):
        return Failure("error in the reply", retryable=True)
    return read if isinstance(read, Failure) else read_error(error)


def without_keys(error: Exception, secrets: Iterable[str]) -> Exception:
    """Take keys out of what an exception of the SDK says; it stays the same exception, with its type and status."""
    for link in _chain(error):
        link.args = tuple(_scrubbed(arg, secrets) for arg in link.args)
        for name in {"message", "body"} & vars(link).keys():
            setattr(link, name, _scrubbed(getattr(link, name), secrets))
    return error


def _chain(error: BaseException | None) -> list[BaseException]:
    links: list[BaseException] = []
    while error is not None and error not in links:
        links.append(error)
        error = error.__cause__ or error.__context__
    return links


def _scrubbed(value: Any, secrets: Iterable[str], depth: int = 0) -> Any:
    if depth > _DEEPEST:
        return "..."
    if isinstance(value, str):
        return scrub(value, secrets, limit=4000)
    if isinstance(value, dict):
        return {k: _scrubbed(v, secrets, depth + 1) for k, v in value.items()}
    return [_scrubbed(v, secrets, depth + 1) for v in value] if isinstance(value, list) else value


class Cooldown:
    """Endpoints that failed a moment ago: not every call should wait for the time-out of a provider that is down.

    One rests for `rest_s` seconds after a failure that does not say for how long; 0 turns this off.

    Examples
    --------
    >>> down, up = Endpoint("down"), Endpoint("up")
    >>> cooldown = Cooldown(15)
    >>> cooldown.note(down, Failure("timed out", retryable=True))
    >>> [name for name, _ in cooldown.last([("large", [down]), ("small", [up])])]
    ['small', 'large']
    """

    def __init__(self, rest_s: float) -> None:
        self.rest_s = rest_s
        self._until: dict[int, float] = {}  # id of an endpoint -> when it may be asked in its turn again

    def last(self, models: Iterable[tuple[str, Sequence[Endpoint]]]) -> list[tuple[str, list[Endpoint]]]:
        """Put those that rest behind all others; each part keeps its order."""
        models = list(models)
        parts = [
            (name, [endpoint for endpoint in endpoints if self.rests(endpoint) == resting])
            for resting in (False, True)
            for name, endpoints in models
        ]
        return [(name, endpoints) for name, endpoints in parts if endpoints]

    def rests(self, endpoint: Endpoint) -> bool:
        """Whether it failed a moment ago."""
        return time.monotonic() < self._until.get(id(endpoint), 0.0)

    def note(self, endpoint: Endpoint, failure: Failure) -> None:
        """Let it rest after a failure that is its own: as long as its Retry-After asks for, and no longer."""
        if self.rest_s > 0:
            asked = failure.retry_after_s
            seconds = min(self.rest_s if asked is None else asked, _LONGEST_S)
            self._until[id(endpoint)] = time.monotonic() + seconds

    def wake(self, endpoint: Endpoint) -> None:
        """End its rest: it has answered."""
        self._until.pop(id(endpoint), None)


@dataclass(frozen=True)
class Work:
    """Something to compute or to write: CPU or disk, which an event loop should not wait for."""

    do: Callable[[], Any]


@dataclass(frozen=True)
class Send:
    """A request to one endpoint; `Whole` or `Opened` comes back."""

    endpoint: Endpoint
    body: Mapping[str, Any]
    stream: bool


@dataclass(frozen=True)
class Pause:
    """Seconds to wait before the same model is asked again."""

    seconds: float


@dataclass(frozen=True)
class Together:
    """Calls to make at the same time; what each returned or raised comes back, in order."""

    calls: Sequence[Generator[Any, Any, Any]]


@dataclass(frozen=True)
class Whole:
    """A reply that is not streamed: the SDK's object, and what was read from it."""

    completion: Any
    reply: Reply


@dataclass(frozen=True)
class Opened:
    """A stream, its chunks up to the first token, and the clock that runs while its next token is waited for."""

    stream: Any
    held: list[Any]
    deadline: Deadline


@dataclass(frozen=True)
class Asked:
    """What the caller asked for."""

    messages: Sequence[Any]
    stream: bool
    params: Mapping[str, Any]


@dataclass(frozen=True)
class Escalated:
    """What became of a cascade.

    Attributes
    ----------
    name : str
        The cascade.
    kept : str
        The model whose answer was kept.
    scores : tuple of float
        What the check gave after each stage; empty where a router's rule decided.
    calls : tuple of Routed
        Every call that was answered, in order. One whose stream is the reply has not ended yet.
    failed : mapping of str to str
        Models that did not answer, and why; they count as having none.
    """

    name: str
    kept: str
    scores: tuple[float, ...]
    calls: "tuple[Routed, ...]"
    failed: Mapping[str, str]


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
        billed, ``maybe_billed`` if its reply was lost on the way.
    rested : tuple of str
        Endpoints that would have had their turn before, and were put last since they failed a moment ago.
    cascade : Escalated or None
        What became of the cascade that the call is part of.
    """

    request_id: str
    decision: Decision
    model: str
    served_by: str
    failures: tuple[Mapping[str, Any], ...] = ()
    rested: tuple[str, ...] = ()
    cascade: "Escalated | None" = None

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
    attempts: int = 0
    failures: list[dict[str, Any]] = field(default_factory=list)
    rested: tuple[str, ...] = ()
    handed_over: bool = False
    part_of: Mapping[str, Any] = field(default_factory=dict)  # the cascade, its call and the stage
    cascade: Escalated | None = None

    def begin(self, model: str, endpoint: Endpoint) -> None:
        """Note that a request goes out."""
        self.model, self.endpoint, self.sent = model, endpoint, time.perf_counter()
        self.attempts += 1

    def fail(self, failure: Failure, message: str) -> None:
        """Note that it failed."""
        what = f"HTTP {failure.status}" if failure.status else failure.message.partition(" (")[0].partition(":")[0]
        taken = time.perf_counter() - self.sent
        served_by = self.endpoint.name if self.endpoint else ""
        failed = {"model": self.model, "served_by": served_by, "error": what, "message": message, "latency_s": taken}
        if failure.usage is not None and self.endpoint:  # what cannot be used is billed all the same
            failed["cost_usd"] = unwarned(account, failure.usage, self.endpoint).cost_usd
        elif failure.maybe_billed:
            failed["maybe_billed"] = True
        self.failures.append(failed)

    def routed(self) -> Routed:
        """Return what the caller is told."""
        served_by = self.endpoint.name if self.endpoint else ""
        told = tuple(self.failures), self.rested, self.cascade
        return Routed(self.request_id, self.decision, self.model, served_by, *told)

    def record(
        self,
        *,
        response: str | None = None,
        finish_reason: str | None = None,
        usage: Any = None,
        tool_calls: Sequence[Any] = (),
        refusal: str | None = None,
        first_token_s: float | None = None,
        error: str | None = None,
    ) -> Record:
        """Return what is captured; without a reply, no model served it."""
        ended, decision = time.perf_counter(), self.decision
        served = self.endpoint if response is not None else None
        spent = unwarned(account, usage, served)._asdict() if served else {}
        answers = {"tool_calls": list(tool_calls), "refusal": refusal}
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
            **{name: value for name, value in answers.items() if value},
            **spent,
            "lost_usd": math.fsum(n for f in self.failures if not math.isnan(n := f.get("cost_usd", 0.0))),
            "routing_s": self.routing_s,
            "latency_s": ended - self.sent if served else None,
            "first_token_s": first_token_s,
            "total_s": ended - self.started,
            "stream": self.stream,
            "attempts": self.attempts,
            "failures": list(self.failures),
            "rested": list(self.rested),
            "error": error,
            **self.part_of,
        }


class Service:
    """What every call of a client shares."""

    def __init__(
        self,
        decider: Decider,
        endpoints: Mapping[str, Sequence[Endpoint]],
        clients: Clients,
        log: CaptureLog | None,
        timeout_s: float | None,
        cooldown: Cooldown,
    ) -> None:
        self.decider, self.endpoints, self.clients, self.log = decider, endpoints, clients, log
        self.timeout_s, self.cooldown = timeout_s, cooldown
        self.secrets = Secrets(clients)
        self._without_usage: set[int] = set()  # ids of endpoints that refuse stream_options
        self._rng = random.SystemRandom()  # forked workers draw apart

    def capture(self, call: Call, **what: Any) -> None:
        """Write what became of a call, if captures are wanted."""
        if self.log is None:
            return
        try:
            record = call.record(**what)
        except Exception as error:  # the reply is paid for, and goes to the caller
            self.log.lose(f"the record failed ({type(error).__name__}: {error}).")
        else:
            self.log.write(record)

    def answer(self, call: Call, asked: Asked) -> Generator[Work | Send | Pause, Any, tuple[Any, Call]]:
        """Ask one model after the other; return the reply (or the opened stream) and its call."""
        models = [(name, self.endpoints[name]) for name in call.decision.order if name in self.endpoints]
        call.rested = tuple(e.name for _, endpoints in models for e in endpoints if self.cooldown.rests(e))
        first: Exception | None = None
        for name, endpoints in self.cooldown.last(models):
            self._hand_over(call, name)
            answer, error = yield from self._ask_model(call, name, endpoints, asked)
            if answer is not None:
                return answer, call
            first = first or error
        n_endpoints = sum(len(endpoints) for _, endpoints in models)
        yield Work(partial(self.capture, call, error=f"all {n_endpoints} endpoints failed"))
        raise self._all_failed(call, first)

    def _ask_model(
        self, call: Call, name: str, endpoints: Sequence[Endpoint], asked: Asked
    ) -> Generator[Work | Send | Pause, Any, tuple[Any, Exception | None]]:
        """Ask the endpoints of one model in turn, and again those that may yet answer, as often as their clients retry.

        Return the answer, or the first error.
        """
        until = time.monotonic() + (_PATIENCE_S if self.timeout_s is None else self.timeout_s)
        turns = [(0.0, turn, endpoint) for turn, endpoint in enumerate(endpoints)]
        failed: list[list[Failure]] = [[] for _ in endpoints]
        first: Exception | None = None
        while turns:
            ready, turn, endpoint = heapq.heappop(turns)
            if failed[turn] and max(ready, time.monotonic()) > until:
                self.cooldown.note(endpoint, failed[turn][-1])
                continue
            if (wait := ready - time.monotonic()) > 0:
                yield from self._wait(call, wait)
            answer = yield from self._ask(call, name, endpoint, asked)
            if not isinstance(answer, Exception):
                return answer, None
            first, failure = first or answer, failure_of(answer)
            failed[turn].append(failure)
            n_failed = len(failed[turn])
            if n_failed <= _n_retries(endpoint, failure):
                heapq.heappush(turns, (time.monotonic() + self._wait_s(n_failed, failure), turn, endpoint))
            else:
                self.cooldown.note(endpoint, failure)
        return None, first

    def _wait_s(self, n_failed: int, failure: Failure) -> float:
        """Return how long to wait before an endpoint is asked again: what it asks for, or some jitter."""
        if failure.retry_after_s is not None:
            return failure.retry_after_s * self._rng.uniform(1.0, 1.1)
        return wait_s(n_failed, None, self._rng, backoff_s=_BACKOFF_S, max_wait_s=_LONGEST_BACKOFF_S)

    def _wait(self, call: Call, seconds: float) -> Generator[Pause, Any, None]:
        try:
            yield Pause(seconds)
        except BaseException:
            self.capture(call, error="cancelled")
            raise

    def _ask(
        self, call: Call, name: str, endpoint: Endpoint, asked: Asked
    ) -> Generator[Work | Send, Any, Whole | Opened | Exception]:
        """Send one request; return the answer, or an error that is the endpoint's own. Raise the request's."""
        adds_usage, refused = self._adds_usage(endpoint, asked), False
        call.begin(name, endpoint)
        while True:
            try:
                answer = yield Send(endpoint, self._body(endpoint, asked, adds_usage), asked.stream)
            except Exception as error:
                if adds_usage and refuses_usage(error):
                    adds_usage, refused = False, True
                    call.attempts += 1
                    continue
                if self._is_its_own(call, error):
                    return error
                yield Work(partial(self.capture, call, error=call.failures[-1]["error"]))
                raise without_keys(error, self.secrets()) from error.__cause__
            except BaseException:  # a cancelled task, Ctrl-C: what was sent may be on the bill
                self.capture(call, error="cancelled")
                raise
            break
        if refused:
            self._without_usage.add(id(endpoint))
        self.cooldown.wake(endpoint)
        if isinstance(answer, Whole):
            yield Work(partial(self.capture, call, **answered(answer.reply)))
        return answer

    def _hand_over(self, call: Call, name: str) -> None:
        """Warn, before another model is asked than the one that was chosen."""
        chosen = call.decision.chosen
        if name == chosen or call.handed_over:
            return
        call.handed_over = True
        errors = [failed["error"] for failed in call.failures if failed["model"] == chosen]
        why = f"failed {len(errors)} times, the last with {errors[-1]}" if errors else "failed a moment ago, and rests"
        why = why.replace("failed 1 times, the last with", "failed with")
        tell(f"{chosen} {why}: {name} is asked in its place.", EndpointWarning, to_caller())

    def _is_its_own(self, call: Call, error: Exception) -> bool:
        """Note a failure; whether it is the endpoint's, not the request's: another may then answer."""
        failure = failure_of(error)
        message = scrub(failure.message, self.secrets())
        call.fail(failure, message)
        if failure.fatal:
            where = call.failures[-1]["served_by"]
            tell(f"{where} refuses every request: {message}", EndpointWarning, to_caller())
        return failure.retryable or failure.fatal

    def rest(self, call: Call, failure: Failure) -> None:
        """Let the endpoint of a stream that broke off rest."""
        if (failure.retryable or failure.fatal) and call.endpoint:
            self.cooldown.note(call.endpoint, failure)

    def _all_failed(self, call: Call, error: Exception | None) -> Exception:
        """Return the error of the first endpoint, as the SDK would raise it, with a note on each attempt, in order."""
        if error is None:
            error = RuntimeError("no endpoint was asked")
        for turn, failed in enumerate(call.failures):
            when = "then" if turn else "first"
            error.add_note(f"{when} {failed['model']} ({failed['served_by']}): {failed['message']}")
        return without_keys(error, self.secrets())

    def _adds_usage(self, endpoint: Endpoint, asked: Asked) -> bool:
        """Whether a stream is asked for its usage, which the caller did not do."""
        known = "stream_options" not in endpoint.params and id(endpoint) not in self._without_usage
        return asked.stream and known and not wants_usage(asked.params)

    def _body(self, endpoint: Endpoint, asked: Asked, adds_usage: bool) -> dict[str, Any]:
        body = {"model": endpoint.model, "messages": asked.messages, **asked.params}
        if self.timeout_s is not None:
            body.setdefault("timeout", self.timeout_s)
        if asked.stream:
            body["stream"] = True
        if adds_usage:
            given = asked.params.get("stream_options")
            options = dict(given) if isinstance(given, Mapping) else {}
            body["stream_options"] = {**options, "include_usage": True}
        own = {name: value for name, value in endpoint.params.items() if value is not None}
        for name in endpoint.params.keys() - own.keys():
            body.pop(name, None)
        if own:
            body["extra_body"] = {**(asked.params.get("extra_body") or {}), **own}
        return body


def _n_retries(endpoint: Endpoint, failure: Failure) -> int:
    """Return how often an endpoint is asked again after a failure: once at most if each time may be on the bill."""
    if not failure.retryable or failure.timed_out:
        return 0
    billed = failure.maybe_billed or failure.usage is not None
    return min(endpoint.client.max_retries, 1) if billed else endpoint.client.max_retries


def answered(reply: Reply) -> dict[str, Any]:
    """Return what is captured of a reply."""
    return {
        "response": reply.text,
        "finish_reason": reply.finish_reason,
        "usage": reply.usage,
        "tool_calls": reply.tool_calls,
        "refusal": reply.refusal,
    }


def wants_usage(params: Mapping[str, Any]) -> bool:
    """Whether the caller asked for the chunk with the usage."""
    options = params.get("stream_options")
    return isinstance(options, Mapping) and bool(options.get("include_usage"))
