"""What a failure means: whether another endpoint may do better, and its text without keys."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from routerlab.completions import Failure, read_error, read_reply, scrub, secrets_of


class Secrets:
    """Keys of clients, all that were used so far: one that a function makes is known only once it was used."""

    def __init__(self, clients: Iterable[Any]) -> None:
        self._clients = list(clients)
        self._known: set[str] = set()

    def __call__(self) -> set[str]:
        """Return what must never show."""
        self._known = self._known | {secret for client in self._clients for secret in secrets_of(client)}
        return self._known


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
    >>> failure_of(json.JSONDecodeError("no", "doc", 0)).again
    True
    >>> failure_of(KeyError("x")).again
    False
    """
    import openai

    if isinstance(getattr(error, "_failure", None), Failure):
        return error.__dict__["_failure"]
    if type(error) is openai.APIError:  # an error inside a stream, as a body with status 200 has it
        read = read_reply(json.dumps({"error": error.body or {"message": error.message}}).encode())
        return read if isinstance(read, Failure) else read_error(error)
    if isinstance(error, json.JSONDecodeError | UnicodeDecodeError | openai.APIResponseValidationError):
        return Failure("the reply is no JSON", again=True, maybe_billed=True)
    if type(error).__module__.partition(".")[0] in ("httpx", "httpx2", "httpcore", "httpcore2"):
        return Failure(f"the connection broke ({type(error).__name__}: {error})", again=True, maybe_billed=True)
    return read_error(error)


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


def _scrubbed(value: Any, secrets: Iterable[str]) -> Any:
    if isinstance(value, str):
        return scrub(value, secrets, limit=4000)
    if isinstance(value, dict):
        return {k: _scrubbed(v, secrets) for k, v in value.items()}
    return [_scrubbed(v, secrets) for v in value] if isinstance(value, list) else value
