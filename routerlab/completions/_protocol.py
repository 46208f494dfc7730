"""What a message holds, what came back of an attempt or went wrong, and what it took."""

import hashlib
import json
import math
import random
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple

from routerlab.completions._endpoint import Endpoint, Request
from routerlab.completions._report import ended
from routerlab.completions._transport import ProcessLock
from routerlab.deprecation import old_name
from routerlab.pricing import Usage, as_mapping, number, read_usage, usage_cost
from routerlab.schema import refuse, sound_text

_TEXT_PARTS = (None, "text", "output_text")
_CALLS = (("function", "arguments"), ("custom", "input"))  # kinds of tool call, and where each says its input
# Chat templates add marks around each message, and some a system message of their own.
_TOKENS_BY_MESSAGE, _TOKENS_BY_REQUEST = 16, 64
_MOST = 1e15  # what no count of tokens and no cost is above
_RETRYABLE = {408, 409, 425, 429}
# Every later request to this endpoint would end the same way: a wrong key, no credit, no such model.
_FATAL = {401, 402, 404}
_NO_CREDIT = ("insufficient_quota", "billing_hard_limit_reached", "insufficient_balance")
_NEVER_SENT = ("ConnectError", "ConnectTimeout", "PoolTimeout", "UnsupportedProtocol", "ProxyError")
_HTTP_CLIENTS = ("httpx", "httpx2", "httpcore", "httpcore2")
CAME_BEFORE = "the reply to another request came again"
_REAL_ID = 20  # characters from which on a reply's id can be no placeholder
_REMEMBERED = 1000  # replies
_LONGEST_ERROR = 4000  # characters of an error message
_ADVICE = {
    400: "The request itself is refused: check the parameters, and the prompt's length.",
    401: "Check the key that the client was made with, and its base_url.",
    402: "Add credit to the account.",
    403: "The account may not do this, or the provider refuses this prompt.",
    404: "Check the model's name at this provider, and the client's base_url.",
}


def part_of(value: Any, name: str) -> Any:
    """Return a field of a mapping or of an object of the SDK; None if there is none.

    Examples
    --------
    >>> part_of({"a": 1}, "a"), part_of(5, "a")
    (1, None)
    """
    return value.get(name) if isinstance(value, Mapping) else getattr(value, name, None)


def text_of(content: Any) -> str | None:
    """Return the text of a message's ``content``; None if it is neither text nor parts.

    Parts other than text (a model's thinking, pictures) are passed over.

    Examples
    --------
    >>> text_of([{"type": "thinking", "thinking": "Hm."}, {"type": "text", "text": "4"}, " is it."])
    '4 is it.'
    >>> text_of(None), text_of(7)
    ('', None)
    """
    if content is None or isinstance(content, str):
        return content or ""
    parts = content if isinstance(content, list | tuple) else [content]
    texts = [_text_of_part(part) for part in parts]
    if parts and all(text is None for text in texts):
        return None
    return "".join(text for text in texts if text)


def _text_of_part(part: Any) -> str | None:
    if isinstance(part, str):
        return part
    if part is None or isinstance(part, bool | int | float | list | tuple):
        return None
    kind, text = part_of(part, "type"), part_of(part, "text")
    if isinstance(kind, str | None) and kind in _TEXT_PARTS:
        text = text if isinstance(text, str) else part_of(text, "value")
        return text if isinstance(text, str) else ""
    return ""


def word_of(value: Any, *, longest: int = 200) -> str | None:
    """Return what should be a word or a number as text, whatever it is; None if it is empty.

    Examples
    --------
    >>> word_of("stop"), word_of(["stop"]), word_of(None)
    ('stop', '["stop"]', None)
    """
    if value is None or value == "" or (isinstance(value, list | dict) and not value):
        return None
    return sound_text(value if isinstance(value, str) else _json(value))[:longest]


def tool_calls_of(message: Any) -> tuple[dict[str, Any], ...]:
    """Return the tool calls of a message (or of a delta): id, type, name and input, all of them text.

    Examples
    --------
    >>> call = {"id": "c1", "type": "function", "function": {"name": "add", "arguments": '{"a": 2}'}}
    >>> tool_calls_of({"tool_calls": [call]}) == (call,)
    True
    """
    calls = part_of(message, "tool_calls")
    found = [_tool_call(call) for call in calls] if isinstance(calls, list | tuple) else []
    found.append(_tool_call({"function": part_of(message, "function_call")}))  # as it was called before
    return tuple(call for call in found if call)


def _tool_call(call: Any) -> dict[str, Any] | None:
    for kind, said in _CALLS:
        body = part_of(call, kind)
        name, given = part_of(body, "name"), part_of(body, said)
        if name is not None or given is not None:
            body = {"name": _text_or_json(name), said: _text_or_json(given)}
            return {"id": _text_or_json(part_of(call, "id")), "type": kind, kind: body}
    return None


class ToolCalls:
    """Tool calls put together from the deltas of a stream."""

    def __init__(self) -> None:
        self._calls: dict[Any, dict[str, Any]] = {}

    def add(self, delta: Any) -> None:
        """Take the pieces of a delta: the first names the call, the others go on with its input."""
        calls = part_of(delta, "tool_calls")
        pieces: Iterable[Any] = calls if isinstance(calls, list | tuple) else ()
        for place, piece in [*enumerate(pieces), (-1, {"function": part_of(delta, "function_call")})]:
            read = _tool_call(piece)
            if read is None:
                continue
            index = part_of(piece, "index")
            kept = self._calls.setdefault(index if isinstance(index, int) else place, read)
            if kept is not read:
                _join(kept, read)

    def whole(self) -> tuple[dict[str, Any], ...]:
        """Return the calls so far."""
        return tuple(self._calls.values())


def _join(kept: dict[str, Any], more: dict[str, Any]) -> None:
    kept["id"] = kept["id"] or more["id"]
    for kind, said in _CALLS:
        if kind in kept and kind in more:
            kept[kind]["name"] = kept[kind]["name"] or more[kind]["name"]
            kept[kind][said] = (kept[kind][said] or "") + (more[kind][said] or "")


def _text_or_json(value: Any) -> str | None:
    return sound_text(value) if isinstance(value, str) else None if value is None else _json(value)


def _json(value: Any) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, default=str)
    except (ValueError, TypeError, RecursionError):  # whole numbers of thousands of digits, lists a thousand deep
        return f"({type(value).__name__})"


class Account(NamedTuple):
    """What one reply took.

    Attributes
    ----------
    input_tokens, output_tokens : float
        As the provider counts them; NaN if the reply does not say.
    cost_usd : float
        NaN if not known; never 0 because a price is missing.
    cost_source : str or None
        'reply' (the provider said it), 'own price', 'price list', or None.
    """

    input_tokens: float
    output_tokens: float
    cost_usd: float
    cost_source: str | None


def account(usage: Any, endpoint: Endpoint) -> Account:
    """Return tokens and cost of one reply.

    Parameters
    ----------
    usage : mapping, openai ``CompletionUsage``, or None
        The reply's ``usage``, in any provider's spelling; see `routerlab.pricing.read_usage`. If it carries a cost in
        USD (``cost``, as OpenRouter's do), that is what counts. A ``service_tier`` in it ('batch', 'flex', ...) has the
        list's price for that tier.
    endpoint : Endpoint
        Who served it, with its price, as `resolve_models` fills it in.

    Returns
    -------
    Account
        Cached input tokens are charged at the price for these, where the list or the endpoint's price has one.

    Notes
    -----
    For a request on one's own provider key, OpenRouter's ``cost`` is its fee alone, and
    ``cost_details.upstream_inference_cost`` is what the provider charges: both are added.

    Examples
    --------
    >>> account({"prompt_tokens": 1000, "completion_tokens": 200}, Endpoint("ours", price=(0.5, 1.5)))
    Account(input_tokens=1000.0, output_tokens=200.0, cost_usd=0.0008, cost_source='own price')
    >>> account({"prompt_tokens": 9, "completion_tokens": 1, "cost": 0.25}, Endpoint("ours")).cost_source
    'reply'
    """
    used = read_usage(usage)
    cost, source = used.cost_usd, "reply"
    if math.isnan(cost):
        cost = _cost(endpoint, used)
        source = "price list" if endpoint.price is None or isinstance(endpoint.price, str) else "own price"
    n_in, n_out = used.counts["input_tokens"], used.counts["output_tokens"]
    return Account(n_in, n_out, cost, None if math.isnan(cost) else source)


def billed_usage(reply: Any, before: Any = None) -> Any:
    """Return the usage of a reply, or of a stream's chunk, with the tier at which it was served.

    Parameters
    ----------
    reply : mapping, openai ``ChatCompletion`` or ``ChatCompletionChunk``
        What may have ``usage`` and ``service_tier``.
    before : optional
        The usage so far of the same stream: what later chunks do not say stands.

    Returns
    -------
    mapping, or whatever came as usage
        None if there is none.

    Examples
    --------
    >>> first = billed_usage({"usage": {"prompt_tokens": 9}, "service_tier": "flex"})
    >>> billed_usage({"usage": {"completion_tokens": 2}}, first)
    {'service_tier': 'flex', 'prompt_tokens': 9, 'completion_tokens': 2}
    """
    usage, tier = _usage_in(reply), part_of(reply, "service_tier")
    given = {name: value for name, value in as_mapping(usage).items() if value is not None}
    if not given:
        return usage if before is None else before
    tiers = {"service_tier": tier} if isinstance(tier, str) else {}
    return {**as_mapping(before), **tiers, **given}


def _usage_in(reply: Any) -> Any:
    """Return a reply's usage from where its provider puts it: under that name, or in streams in a place of its own."""
    usage = part_of(reply, "usage")
    if as_mapping(usage):
        return usage
    choices = part_of(reply, "choices")
    last = choices[0] if isinstance(choices, list | tuple) and choices else None
    others = (part_of(part_of(reply, "x_groq"), "usage"), part_of(last, "usage"), part_of(reply, "timings"))
    return next((each for each in others if as_mapping(each)), usage)  # Groq, Moonshot, llama.cpp


def request_cost(endpoint: Endpoint, input_tokens: float, output_tokens: float, *, tier: str | None = None) -> float:
    """Return the USD of a request by the endpoint's price, or the price list's; NaN if not known.

    Examples
    --------
    >>> request_cost(Endpoint("ours", price=(0.5, 1.5)), 1000, 200)
    0.0008
    """
    return _cost(endpoint, Usage({"input_tokens": input_tokens, "output_tokens": output_tokens}, tier=tier))


def tier_of(endpoint: Endpoint, request: Request) -> str | None:
    """Return the service tier that a request asks for; None for the standard one.

    Examples
    --------
    >>> tier_of(Endpoint("m"), Request("m", [], {"service_tier": "flex"}))
    'flex'
    """
    return read_usage({"service_tier": endpoint.body(request).get("service_tier")}).tier


def _cost(endpoint: Endpoint, usage: Usage) -> float:
    return usage_cost(
        endpoint.model,
        usage,
        provider=endpoint.provider or endpoint.address,
        prices=None if endpoint.price is None else {endpoint.model: endpoint.price},
        batch=endpoint.batch,
    )


def most_tokens(endpoint: Endpoint, request: Request) -> tuple[float, float]:
    """Return the most tokens, input and output, that a request can take at an endpoint.

    A token of the byte-level tokenizers in use stands for at least one byte: the bytes that are sent, plus some for the
    chat template, bound the input. ``max_tokens`` or ``max_completion_tokens`` bounds the output (inf without them).

    Examples
    --------
    >>> request = Request("m", [{"role": "user", "content": "Hi"}], {"max_tokens": 5})
    >>> n_in, n_out = most_tokens(Endpoint("m"), request)
    >>> n_in > 64, n_out
    (True, 5.0)
    """
    body = endpoint.body(request)
    for message in request.messages:
        if not isinstance(message.get("content", ""), str | None):
            wrong = "a message holds something other than text, whose tokens cannot be bounded."
            refuse("'budget_usd'", wrong, "Leave the budget out, or send text.")
    n_bytes = len(json.dumps(body, ensure_ascii=False).encode("utf-8", "surrogatepass"))
    limits = [number(body.get(name)) for name in ("max_tokens", "max_completion_tokens")]
    given = [limit for limit in limits if not math.isnan(limit)]
    return n_bytes + _TOKENS_BY_MESSAGE * len(request.messages) + _TOKENS_BY_REQUEST, max(given, default=math.inf)


def most_cost(endpoint: Endpoint, request: Request) -> float:
    """Return the most USD that a request can cost at an endpoint: inf without a limit on output, NaN without a price.

    Examples
    --------
    >>> most_cost(Endpoint("m", price=(1, 1)), Request("m", [{"role": "user", "content": "Hi"}]))
    inf
    """
    n_in, n_out = most_tokens(endpoint, request)
    if math.isfinite(n_out):
        return _most(endpoint, request, n_in, n_out)
    unit = _most(endpoint, request, n_in, 1.0)
    return unit if math.isnan(unit) or unit == _most(endpoint, request, n_in, 0.0) else math.inf


def _most(endpoint: Endpoint, request: Request, n_in: float, n_out: float) -> float:
    """Return the cost at the dearest that these tokens can be: written to a cache, or not served at the tier asked."""
    counts = {"input_tokens": n_in, "output_tokens": n_out}
    plain = _cost(endpoint, Usage(counts))
    if math.isnan(plain) or not (endpoint.price is None or isinstance(endpoint.price, str)):
        return plain
    said = endpoint.body(request).get("modalities")
    spoken = {f"output_{kind}_tokens": n_out for kind in said if kind != "text"} if isinstance(said, list) else {}
    dearest = counts | {"cache_write_tokens": n_in} | spoken
    costs = [_cost(endpoint, Usage(dearest))]
    if tier := tier_of(endpoint, request):
        costs += [_cost(endpoint, Usage(kinds, tier=tier)) for kinds in (counts, dearest)]
    return max(plain, *(cost for cost in costs if not math.isnan(cost)))


@dataclass(frozen=True)
class Reply:
    """What a model answered.

    Attributes
    ----------
    text : str
        Empty if the model said nothing. Of a content in parts, the text parts.
    finish_reason : str or None
        'stop', 'length' (cut off at max_tokens), 'content_filter', ...
    usage : mapping or None
        As it came.
    reply_id : str or None
        The provider's id of it.
    tool_calls : tuple of dict
        What the model wants called: ``id``, ``type``, and name and input under the type.
    refusal : str or None
        Why the model does not answer; without other text, `text` is this.
    """

    text: str
    finish_reason: str | None
    usage: Any
    reply_id: str | None
    tool_calls: tuple[dict[str, Any], ...] = ()
    refusal: str | None = None


@dataclass(frozen=True)
class Failure:
    """Why an attempt has no reply.

    Attributes
    ----------
    message : str
        May hold keys: scrub it.
    retryable : bool
        Whether a later attempt may go better.
    fatal : bool
        Whether every other request to the endpoint would fail as well.
    status : int or None
        The HTTP status.
    retry_after_s : float or None
        How long the provider asks to wait.
    maybe_billed : bool
        The request was sent and its reply is lost: it may be on the bill, and nothing tells us.
    usage : mapping or None
        What a reply that cannot be used says that it took: billed.
    timed_out : bool
        Whether it took all the time that it had.
    """

    message: str
    retryable: bool
    fatal: bool = False
    status: int | None = None
    retry_after_s: float | None = None
    maybe_billed: bool = False
    usage: Any = None
    timed_out: bool = False

    again = old_name("again", "retryable")
    closes = old_name("closes", "fatal")


def read_reply(content: bytes) -> Reply | Failure:
    """Read the body of an answer with status 200.

    Examples
    --------
    >>> read_reply(b'{"choices": [{"message": {"content": "Yes."}, "finish_reason": "stop"}]}').text
    'Yes.'
    >>> read_reply(b'{"choices": []}').message
    'the reply holds no choices'
    """
    return _reply_in(_loaded(content), len(content))


def _loaded(content: bytes) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return None


def _reply_in(data: Any, n_bytes: int) -> Reply | Failure:
    if not isinstance(data, dict):
        return Failure(f"the reply is not a JSON object ({n_bytes} bytes)", retryable=True, maybe_billed=True)
    usage = billed_usage(data)
    usage = usage if isinstance(usage, dict) else None
    choices = data.get("choices")
    if data.get("error") and not choices:
        return _error_in_body(data["error"], usage)
    choice = choices[0] if isinstance(choices, list) and choices and isinstance(choices[0], dict) else None
    message = choice.get("message") if choice else None
    if choice is None or not isinstance(message, dict):
        return Failure("the reply holds no choices", retryable=True, maybe_billed=usage is None, usage=usage)
    if choice.get("error") or choice.get("finish_reason") == "error":
        return _error_in_body(choice.get("error"), usage)
    text, refusal = text_of(message.get("content")), text_of(message.get("refusal")) or None
    if text is None:
        return Failure("the reply's content is not text", retryable=True, maybe_billed=usage is None, usage=usage)
    return Reply(
        text=sound_text(text or refusal or ""),
        finish_reason=word_of(choice.get("finish_reason")),
        usage=usage,
        reply_id=data["id"] if isinstance(data.get("id"), str) else None,
        tool_calls=tool_calls_of(message),
        refusal=refusal,
    )


class Seen:
    """Replies that came: one that comes again must not pass for the answer to another request.

    A server (or a proxy) that sends a reply twice leaves the second one in the connection's buffer, where the next
    request takes it for its own, and so on: HTTP has nothing that says which request a reply is for. The same reply to
    the same request is right: gateways cache. Ids of some servers are placeholders: those are short, or their replies
    differ.

    Examples
    --------
    >>> seen, name = Seen(), "chatcmpl-0123456789abcdef"
    >>> [seen.again(name, request, b"Yes.") for request in (b"one", b"one", b"two")]
    [False, False, True]
    """

    def __init__(self) -> None:
        self._kept: OrderedDict[str, tuple[bytes, bytes]] = OrderedDict()
        self._one_at_a_time = ProcessLock()

    def again(self, reply_id: str | None, request: bytes, content: bytes) -> bool:
        """Whether this very reply answered another request; remember it."""
        if reply_id is None:
            return False
        asked, said = hashlib.sha256(request).digest(), hashlib.sha256(content).digest()
        with self._one_at_a_time:
            before = self._kept.pop(reply_id, (asked, said))
            placeholder = before[1] != said
            self._kept[reply_id] = (b"", b"") if placeholder else before
            if len(self._kept) > _REMEMBERED:
                self._kept.popitem(last=False)
            real = len(reply_id) >= _REAL_ID or len(self._kept) > 1
        return real and not placeholder and before[0] != asked


def read_answer(raw: Any, seen: Seen) -> Reply | Failure:
    """Read the SDK's raw response, whose ``parse`` need not read its JSON again; a reply to another request is none."""
    data = _loaded(raw.content)
    if isinstance(data, dict):
        raw.http_response.json = lambda **_: data
    reply = _reply_in(data, len(raw.content))
    if isinstance(reply, Reply) and seen.again(reply.reply_id, raw.http_request.content, raw.content):
        return Failure(CAME_BEFORE, retryable=True, maybe_billed=True)
    return reply


def error_of_sdk(error: Exception) -> Exception:
    """Return an error of the HTTP client as the SDK's own: before 2.0 it let some through that came in a stream."""
    import openai

    kind = type(error)
    if kind.__module__.partition(".")[0] not in _HTTP_CLIENTS:
        return error
    timed_out = "Timeout" in kind.__name__
    request: Any = getattr(error, "_request", None)
    made = openai.APITimeoutError(request) if timed_out else openai.APIConnectionError(request=request)
    made.__cause__ = error
    return made


def read_error(error: Exception) -> Failure:
    """Say what an exception of the SDK, its HTTP client, or a time-out, means.

    Examples
    --------
    >>> read_error(TimeoutError()).maybe_billed
    True
    """
    import openai

    error = error_of_sdk(error)
    if isinstance(error, openai.APIStatusError):
        return _bad_status(error)
    cause = error.__cause__ or error
    kind = type(cause).__name__
    if isinstance(error, TimeoutError | openai.APITimeoutError):
        return Failure("timed out", retryable=True, maybe_billed=kind not in _NEVER_SENT, timed_out=True)
    if isinstance(error, openai.APIConnectionError):
        if kind in _NEVER_SENT:
            return Failure(f"cannot connect ({kind}: {cause})", retryable=True)
        return Failure(f"the connection broke ({kind}: {cause})", retryable=True, maybe_billed=True)
    # A warning that a filter made an error may have come after the reply.
    return Failure(f"{type(error).__name__}: {error}", retryable=False, maybe_billed=isinstance(error, Warning))


def retry_after(headers: Any, now: datetime | None = None) -> float | None:
    """Return the seconds that a provider asks to wait: ``retry-after-ms``, or ``Retry-After`` in seconds or as a date.

    References
    ----------
    RFC 9110, section 10.2.3.

    Examples
    --------
    >>> retry_after({"retry-after": "2"}), retry_after({"retry-after-ms": "500"}), retry_after({})
    (2.0, 0.5, None)
    >>> noon = datetime(2026, 1, 1, 12, tzinfo=UTC)
    >>> retry_after({"retry-after": "Thu, 01 Jan 2026 12:00:30 GMT"}, noon)
    30.0
    """
    for name, unit in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        text = headers.get(name)
        if not isinstance(text, str):
            continue
        try:
            seconds = float(text) / unit
        except ValueError:
            seconds = _seconds_until(text, now or datetime.now(UTC))
        if math.isfinite(seconds):
            return max(seconds, 0.0)
    return None


def _seconds_until(text: str, now: datetime) -> float:
    """Read a date of HTTP; NaN if it is none."""
    try:
        when = parsedate_to_datetime(text)
        return ((when if when.tzinfo else when.replace(tzinfo=UTC)) - now).total_seconds()
    except (ValueError, TypeError, OverflowError, IndexError):
        return math.nan


def wait_s(
    n_failed: int, retry_after_s: float | None, rng: random.Random, *, backoff_s: float, max_wait_s: float
) -> float:
    """Return how long to wait before the next attempt: full jitter, on top of what the provider asks for.

    Parameters
    ----------
    n_failed : int
        Attempts that failed, from 1.
    retry_after_s : float or None
        What the provider asks for.
    rng : random.Random
        Source of the jitter.
    backoff_s, max_wait_s : float
        The first wait is at most `backoff_s`, each later one at most twice the one before, and none beyond
        `max_wait_s`.

    References
    ----------
    M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.

    Examples
    --------
    >>> 0 <= wait_s(3, None, random.Random(0), backoff_s=1, max_wait_s=60) <= 4
    True
    >>> wait_s(1, 500, random.Random(0), backoff_s=1, max_wait_s=60)
    60
    """
    jitter = rng.uniform(0.0, min(max_wait_s, backoff_s * 2.0 ** min(n_failed - 1, 30)))
    return min(max_wait_s, (retry_after_s or 0.0) + jitter)


def _bad_status(error: Any) -> Failure:
    status, body = error.status_code, error.body
    detail = body.get("error", body) if isinstance(body, dict) else body
    code = word_of(detail.get("code") or detail.get("type")) if isinstance(detail, dict) else None
    said = detail.get("message") if isinstance(detail, dict) else detail
    no_credit, moved = code in _NO_CREDIT, 300 <= status < 400
    said = _moved_to(error.response) if moved else word_of(said, longest=_LONGEST_ERROR) or error.message
    advice = _ADVICE[402] if no_credit else _ADVICE.get(status, "")
    text = " ".join(f"HTTP {status}{f' ({code})' if code else ''}: {said}".split())
    message = f"{ended(text)} {advice}" if advice else text
    fatal = no_credit or moved or status in _FATAL
    retryable = not fatal and (status in _RETRYABLE or status >= 500)
    return Failure(message, retryable, fatal, status, retry_after(error.response.headers))


def _moved_to(response: Any) -> str:
    where = word_of(response.headers.get("location")) or "an address that it does not name"
    return (
        f"the endpoint redirects to {where}, and neither prompt nor key is sent there. If that is the provider, make "
        "the client with this base_url."
    )


def _error_in_body(error: Any, usage: Any) -> Failure:
    """Read an error that came with status 200, in the body."""
    detail = error if isinstance(error, dict) else {"message": error or "the provider failed"}
    code, said = word_of(detail.get("code")), word_of(detail.get("message"), longest=_LONGEST_ERROR)
    status = int(code) if code and code.isascii() and code.isdigit() and len(code) == 3 else None
    refused = status is not None and 400 <= status < 500 and status not in _RETRYABLE
    fatal = status in _FATAL or code in _NO_CREDIT
    message = f"error in the reply{f' ({code})' if code else ''}: {said}"
    return Failure(message, retryable=not (refused or fatal), fatal=fatal, status=status, usage=usage)
