"""An endpoint in use: it sends one request, and remembers whether there is any use in sending more."""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from dataclasses import dataclass, field, replace
from typing import Any

from routerlab.completions._accounting import most_cost
from routerlab.completions._attempt import Failure, Reply, read_error, read_reply
from routerlab.completions._clients import secrets_of
from routerlab.completions._endpoint import Endpoint, Request
from routerlab.completions._processes import ProcessLock
from routerlab.completions._secrets import scrub

CAME_BEFORE = "the reply to another request came again"
_REAL_ID = 20  # characters from which on a reply's id is no placeholder
_REMEMBERED = 1000  # replies


class Seen:
    """Replies that came, so that one that comes again is not taken for the answer to another request.

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


@dataclass(eq=False)
class Served:
    """An endpoint, its client, and its state in this run.

    Attributes
    ----------
    endpoint : Endpoint
        Who serves.
    client : openai.AsyncOpenAI
        Of this run.
    secrets : set of str
        What must not show in error messages.
    closed : str or None
        Why nothing more is sent.
    stops_run : bool
        Whether a user must do something first: a wrong key, no credit.
    not_before : float
        The provider asked not to be asked again before this time of the event loop.
    n_failed_in_a_row : int
        Requests that failed, all their attempts, since the last reply.
    """

    endpoint: Endpoint
    client: Any
    secrets: set[str]
    closed: str | None = None
    stops_run: bool = False
    not_before: float = 0.0
    n_failed_in_a_row: int = 0
    _seen: Seen = field(default_factory=lambda: Seen(), repr=False)
    _shifted: list[Any] = field(default_factory=list, repr=False)

    async def send(self, request: Request, timeout_s: float) -> Reply | Failure:
        """Send one request and read what comes back; every error but a cancellation is a `Failure`."""
        body = self.endpoint.body(request)
        model, messages = body.pop("model"), body.pop("messages")
        try:
            async with asyncio.timeout(timeout_s):  # the client's own time-out starts again with every byte
                raw = await self.client.chat.completions.with_raw_response.create(
                    model=model, messages=messages, extra_body=body
                )
                content = raw.content
        except Exception as error:
            return self._without_keys(read_error(error))
        outcome = read_reply(content)
        if isinstance(outcome, Failure):
            return self._without_keys(outcome)
        stream = raw.http_response.extensions.get("network_stream")
        shifted = any(stream is shifted for shifted in self._shifted)
        if self._seen.again(outcome.reply_id, raw.http_request.content, content) or shifted:
            await self._hang_up(stream)
            return Failure(CAME_BEFORE, retryable=True, maybe_billed=True)
        return outcome

    def most_usd(self, request: Request) -> float:
        """Return the most that one attempt can cost: inf or NaN if not known."""
        return most_cost(self.endpoint, request)

    def note(self, failure: Failure, now: float, max_wait_s: float) -> None:
        """Remember what a failed attempt says about the next ones."""
        if failure.retry_after_s:
            self.not_before = max(self.not_before, now + min(failure.retry_after_s, max_wait_s))
        if failure.fatal:
            self.closed = self.closed or failure.message
            self.stops_run = self.stops_run or failure.status != 404

    def note_failed_request(self, failure: Failure, patience: int) -> None:
        """Close the endpoint if requests keep failing at it after all attempts: it is down."""
        self.n_failed_in_a_row += failure.retryable
        if self.n_failed_in_a_row >= patience and not self.closed:
            self.closed = f"{self.n_failed_in_a_row} requests in a row failed, the last with: {failure.message}"

    def _without_keys(self, failure: Failure) -> Failure:
        self.secrets |= set(secrets_of(self.client))  # a key that a function makes is known once it was used
        return replace(failure, message=scrub(failure.message, self.secrets))

    async def _hang_up(self, stream: Any) -> None:
        """Close a connection, and believe nothing that still comes on it: it answers some other request."""
        if stream is not None:
            self._shifted.append(stream)
            await stream.aclose()
