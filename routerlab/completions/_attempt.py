"""One attempt: what came back, or what went wrong and whether to try again."""

from __future__ import annotations

import json
import math
import random
import warnings
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from routerlab.completions._accounting import billed_usage
from routerlab.completions._content import sound_text, text_of, tool_calls_of, word_of
from routerlab.completions._words import ended

_RETRYABLE = {408, 409, 425, 429}
# Every later request to this endpoint would end the same way: a wrong key, no credit, no such model.
_FATAL = {401, 402, 404}
_NO_CREDIT = ("insufficient_quota", "billing_hard_limit_reached", "insufficient_balance")
_NEVER_SENT = ("ConnectError", "ConnectTimeout", "PoolTimeout", "UnsupportedProtocol", "ProxyError")
_LONGEST_ERROR = 4000  # characters of an error message
_ADVICE = {
    400: "The request itself is refused: check the parameters, and the prompt's length.",
    401: "Check the key that the client was made with, and its base_url.",
    402: "Add credit to the account.",
    403: "The account may not do this, or the provider refuses this prompt.",
    404: "Check the model's name at this provider, and the client's base_url.",
}


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
        Why the model does not answer; `text` if there is no other.
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

    @property
    def again(self) -> bool:
        """What `retryable` was called in 0.1.0."""
        warnings.warn("Failure.again is now Failure.retryable.", DeprecationWarning, stacklevel=2)
        return self.retryable

    @property
    def closes(self) -> bool:
        """What `fatal` was called in 0.1.0."""
        warnings.warn("Failure.closes is now Failure.fatal.", DeprecationWarning, stacklevel=2)
        return self.fatal


def read_reply(content: bytes) -> Reply | Failure:
    """Read the body of an answer with status 200.

    Examples
    --------
    >>> read_reply(b'{"choices": [{"message": {"content": "Yes."}, "finish_reason": "stop"}]}').text
    'Yes.'
    >>> read_reply(b'{"choices": []}').message
    'the reply holds no choices'
    """
    try:
        data = json.loads(content)
    except (ValueError, RecursionError):
        return Failure(f"the reply is no JSON ({len(content)} bytes)", retryable=True, maybe_billed=True)
    if not isinstance(data, dict):
        return Failure("the reply is no JSON object", retryable=True, maybe_billed=True)
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
        return Failure("the reply's content is no text", retryable=True, maybe_billed=usage is None, usage=usage)
    return Reply(
        text=sound_text(text or refusal or ""),
        finish_reason=word_of(choice.get("finish_reason")),
        usage=usage,
        reply_id=data["id"] if isinstance(data.get("id"), str) else None,
        tool_calls=tool_calls_of(message),
        refusal=refusal,
    )


def read_error(error: BaseException) -> Failure:
    """Say what an exception of the SDK, or a time-out, means.

    Examples
    --------
    >>> read_error(TimeoutError()).maybe_billed
    True
    """
    import openai

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
    return Failure(f"{type(error).__name__}: {error}", retryable=False)


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
