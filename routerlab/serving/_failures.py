"""What a failure means: whether another endpoint may do better, and its text without keys."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any

from routerlab.completions import Failure, read_error, read_reply, scrub, secrets_of

_DEEPEST = 50  # levels of an error's body
_MOST_SAID = 10_000  # characters of it
_UNKNOWN_PARAMETER = re.compile(
    r"(?i)stream.?options|include.?usage|\bextra\b|unknown|unrecogni[sz]ed|unsupported|not supported|unexpected"
    r"|not permitted"
)


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
        return Failure("the reply is no JSON", retryable=True, maybe_billed=True)
    if type(error).__module__.partition(".")[0] in ("httpx", "httpx2", "httpcore", "httpcore2"):
        if "Timeout" in type(error).__name__:
            return Failure("timed out", retryable=True, maybe_billed=True, timed_out=True)
        return Failure(f"the connection broke ({type(error).__name__}: {error})", retryable=True, maybe_billed=True)
    return read_error(error)


def unreadable(error: Exception, response: Any) -> Exception:
    """Return an error of the SDK or the HTTP client, or in place of any other one that says what it means."""
    import openai

    read = isinstance(error, openai.OpenAIError) or type(error).__module__.startswith("http")
    return error if read else unusable(response, failure_of_piece(error))


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
