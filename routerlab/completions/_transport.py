"""The SDK's clients within limits: no other host gets anything, no answer takes forever, no key shows.

The HTTP client's time-outs start again with every byte that comes, it follows redirects with prompt and headers, and it
unpacks whatever it gets. `guard` puts a limit on each, for one client of the SDK.
"""

import asyncio
import math
import os
import re
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Self
from weakref import WeakSet

from routerlab.schema import refuse

_owners: WeakSet[Any] = WeakSet()
_hooked: list[bool] = []
# What is shorter ("k", "none", "unused", "EMPTY") is a placeholder, and may be a word of the text.
SHORTEST_KEY = 12
# What keys look like, also those that a provider has half masked ("sk-abc***xyz").
_LIKE_A_KEY = re.compile(
    r"""(?ix)
    \b(?:bearer|basic)\s+[^\s"',;}]+
    | \b(?:sk|rk|pk|gsk|hf|xai|nvapi|r8)[-_][^\s"',;}]{6,}
    | \beyJ[\w-]{8,}(?:\.[\w-]+)+
    | \bAIza[^\s"',;}]{6,}
    | (?<=://)[^\s/@:]+:[^\s/@]+(?=@)
    | (?<=[?&]key=)[^\s&"']+
    | (?<=[?&]api[-_]key=)[^\s&"']+
    """
)
# Unpacked. The largest replies there are (100,000 tokens, some pictures) stay far below; JSON in memory is up to 25
# times as large as its text.
LARGEST_REPLY = 32 * 2**20
LARGEST_STREAM = 4 * LARGEST_REPLY  # read line by line, none above `LARGEST_REPLY`, with some 250 bytes for each token
_MOST_REDIRECTS = 5
_SHORTEST_S = 1e-3  # of a time-out: for a socket 0 means not to wait at all
_CONNECT_S = 10.0


def renew_after_fork(owner: Any) -> None:
    """Call ``owner.after_fork()`` in every child process that is forked from this one, before anything else runs there.

    Examples
    --------
    >>> lock = ProcessLock()  # does so
    """
    _owners.add(owner)
    if not _hooked and hasattr(os, "register_at_fork"):
        _hooked.append(True)
        os.register_at_fork(after_in_child=_renew)


def _renew() -> None:
    for owner in list(_owners):
        owner.after_fork()


class ProcessLock:
    """A lock among the threads of one process, which a thread may take again while it holds it.

    Examples
    --------
    >>> lock = ProcessLock()
    >>> with lock, lock:
    ...     pass
    """

    def __init__(self) -> None:
        self.after_fork()
        renew_after_fork(self)

    def after_fork(self) -> None:
        """Forget who held it: that thread is not in this process."""
        self._lock = threading.RLock()

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()


def real_keys(secrets: Iterable[str]) -> list[str]:
    """Return the secrets other than placeholders, longest first.

    Examples
    --------
    >>> real_keys(["none", "hunter2-hunter2"])
    ['hunter2-hunter2']
    """
    return sorted({s for s in secrets if len(s) >= SHORTEST_KEY}, key=len, reverse=True)


def scrub(text: str, secrets: Iterable[str] = (), *, limit: int = 500) -> str:
    """Replace keys by ``[key]`` and shorten the text.

    Parameters
    ----------
    text : str
        An error message.
    secrets : iterable of str, optional
        The client's own key and other values that must not show. Those below 12 characters are placeholders, and stay.
    limit : int, default 500
        Longest text returned, in characters.

    Returns
    -------
    str
        The text without keys; `secrets` go first, then whatever looks like a key.

    Examples
    --------
    >>> scrub("Incorrect API key provided: sk-abc***xyz.")
    'Incorrect API key provided: [key]'
    >>> scrub("no access for hunter2-hunter2", ["hunter2-hunter2"])
    'no access for [key]'
    """
    for secret in real_keys(secrets):
        text = text.replace(secret, "[key]")
    text = _LIKE_A_KEY.sub("[key]", text)
    return text if len(text) <= limit else text[: limit - 4] + " ..."


class Deadline:
    """When an answer must be there, whatever comes meanwhile.

    Parameters
    ----------
    seconds : float, optional
        From now on; inf for no limit.

    Examples
    --------
    >>> Deadline(math.inf).left_s()
    inf
    >>> 0 < Deadline(60).cut(None) <= 60, Deadline(60).cut(5)
    (True, 5)
    """

    def __init__(self, seconds: float = math.inf) -> None:
        self.seconds = seconds
        self._left = 0.0
        self.restart()

    def restart(self) -> None:
        """Give it all its seconds again."""
        self._at = time.monotonic() + self.seconds

    def answered(self) -> None:
        """Give it all its seconds again, and stop the clock until the next piece is waited for."""
        self.restart()
        self.pause()

    def pause(self) -> None:
        """Stop the clock, while nobody waits for the provider."""
        self._left = self.left_s()
        self._at = math.inf

    def go_on(self) -> None:
        """Let the clock run again after `pause`."""
        self._at = time.monotonic() + self._left

    def left_s(self) -> float:
        """Return the seconds left."""
        return self._at - time.monotonic()

    def cut(self, timeout: float | None) -> float | None:
        """Return a time-out that ends with the deadline."""
        left = self.left_s()
        return timeout if math.isinf(left) else max(min(left, math.inf if timeout is None else timeout), _SHORTEST_S)


_DEADLINE: ContextVar[Deadline | None] = ContextVar("deadline", default=None)


@contextmanager
def answered_within(deadline: Deadline) -> Iterator[None]:
    """Hold every request of a guarded client in this block to a deadline."""
    token = _DEADLINE.set(deadline)
    try:
        yield
    finally:
        _DEADLINE.reset(token)


def guard(client: Any) -> Any:
    """Put the limits on a client of the SDK, which must be a copy of the user's own; return it.

    Examples
    --------
    >>> import openai
    >>> client = guard(openai.OpenAI(base_url="http://127.0.0.1:9/v1", api_key="none"))
    >>> type(client).__name__, client.is_closed()
    ('OpenAI', False)
    """
    import openai

    kind = _AsyncGuarded if isinstance(client, openai.AsyncOpenAI) else _Guarded
    client._client = kind(client._client)
    return client


class _Guard:
    """An HTTP client with limits; all but ``send`` is the client's own."""

    def __init__(self, http: Any) -> None:
        self._http = http

    def __getattr__(self, name: str) -> Any:
        return getattr(self._http, name)

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        """The SDK asks which HTTP client this is."""
        return type(self._http)


class _Guarded(_Guard):
    def send(self, request: Any, *, stream: bool = False, **options: Any) -> Any:
        deadline = _prepare(request)
        request.extensions["trace"] = _notice_connection
        options["follow_redirects"] = False
        response = self._http.send(request, stream=True, **options)
        for _ in range(_MOST_REDIRECTS):
            target = _same_place(request, response)
            if target is None:
                break
            response.close()
            response = self._http.send(target, stream=True, **options)
        response.iter_bytes = _limited(response, response.iter_bytes, deadline, stream)
        if not stream:
            try:
                response.read()
            finally:
                response.close()
        return response


class _AsyncGuarded(_Guard):
    async def send(self, request: Any, *, stream: bool = False, **options: Any) -> Any:
        deadline = _prepare(request)
        options["follow_redirects"] = False
        try:
            async with asyncio.timeout(_finite(deadline)):
                response = await self._http.send(request, stream=True, **options)
                for _ in range(_MOST_REDIRECTS):
                    target = _same_place(request, response)
                    if target is None:
                        break
                    await response.aclose()
                    response = await self._http.send(target, stream=True, **options)
        except TimeoutError as error:
            raise _too_late(request, request) from error
        response.aiter_bytes = _limited(response, response.aiter_bytes, deadline, stream)
        if not stream:
            try:
                await response.aread()
            finally:
                await response.aclose()
        return response


class _Pieces:
    """The unpacked pieces of an answer, until there are too many or time is up."""

    def __init__(self, response: Any, pieces: Any, deadline: Deadline | None, most: int) -> None:
        self._response, self._pieces, self._deadline, self._most = response, pieces, deadline, most
        self._n_bytes = self._n_bytes_of_line = 0

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> bytes:
        token = _DEADLINE.set(self._deadline)
        try:
            self._in_time()
            return self._counted(next(self._pieces))
        finally:
            _DEADLINE.reset(token)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        self._in_time()
        try:
            async with asyncio.timeout(_finite(self._deadline)):
                return self._counted(await anext(self._pieces))
        except TimeoutError as error:
            raise _too_late(self._response, self._response.request) from error

    async def aclose(self) -> None:
        await self._pieces.aclose()

    def _in_time(self) -> None:
        if self._deadline is not None and self._deadline.left_s() <= 0:
            raise _too_late(self._response, self._response.request)

    def _counted(self, piece: bytes) -> bytes:
        self._n_bytes += len(piece)
        end = piece.rfind(b"\n")
        self._n_bytes_of_line = len(piece) - end - 1 if end >= 0 else self._n_bytes_of_line + len(piece)
        n_bytes, most = max(
            (self._n_bytes, self._most), (self._n_bytes_of_line, LARGEST_REPLY), key=lambda x: x[0] / x[1]
        )
        if n_bytes > most:
            msg = f"the reply is larger than {most // 2**20} MiB"
            raise _module_of(self._response).RemoteProtocolError(msg, request=self._response.request)
        return piece


def _prepare(request: Any) -> Deadline | None:
    """End the request's own time-outs with the deadline."""
    deadline = _DEADLINE.get()
    if deadline is not None:
        given = request.extensions.get("timeout") or {}
        request.extensions["timeout"] = {name: deadline.cut(seconds) for name, seconds in given.items()}
    return deadline


def _limited(response: Any, pieces: Any, deadline: Deadline | None, stream: bool) -> Any:
    most = LARGEST_STREAM if stream else LARGEST_REPLY
    return lambda *args, **kwargs: _Pieces(response, pieces(*args, **kwargs), deadline, most)


def _same_place(request: Any, response: Any) -> Any:
    """Return the request that a redirect asks for, if it is the same one to the same host; None for all others."""
    target = response.next_request
    if target is None or target.method != request.method or target.url.host != request.url.host:
        return None
    ports = [url.port or {"http": 80, "https": 443}.get(url.scheme) for url in (request.url, target.url)]
    to_tls = [request.url.scheme, target.url.scheme] == ["http", "https"] and ports == [80, 443]
    same = request.url.scheme == target.url.scheme and ports[0] == ports[1]
    if not (same or to_tls):
        return None
    target.read()  # its bytes, as the first request's are
    return target


def _notice_connection(name: str, info: dict[str, Any]) -> None:
    """Hold the reads of a new connection to the reader's deadline: headers may also come byte by byte."""
    stream: Any = info.get("return_value")
    if not name.endswith((".connect_tcp.complete", ".start_tls.complete")) or not hasattr(stream, "read"):
        return
    read: Any = stream.read

    def read_in_time(max_bytes: int, timeout: float | None = None) -> Any:
        deadline = _DEADLINE.get()
        return read(max_bytes, timeout if deadline is None else deadline.cut(timeout))

    stream.read = read_in_time


def _finite(deadline: Deadline | None) -> float | None:
    left = math.inf if deadline is None else deadline.left_s()
    return None if math.isinf(left) else left


def _too_late(sent: Any, request: Any) -> Exception:
    return _module_of(sent).ReadTimeout("the reply was not there in time", request=request)


def _module_of(value: Any) -> Any:
    """Return the httpx that the SDK uses: it knows the errors of that one."""
    return sys.modules[type(value).__module__.partition(".")[0]]


def async_client(client: Any, *, timeout_s: float, concurrency: int) -> Any:
    """Return an ``AsyncOpenAI`` with the client's settings and connections of its own.

    An HTTP connection belongs to the event loop that opened it: the user's own pool cannot be shared.

    It has ``max_retries=0``: the engine retries, and counts it. A function is called in the event loop and returns an
    ``AsyncOpenAI``.
    """
    import openai

    timeout = openai.Timeout(timeout_s, connect=min(_CONNECT_S, timeout_s))
    options: dict[str, Any] = {"timeout": timeout, "max_retries": 0}
    if callable(client) and not isinstance(client, openai.OpenAI | openai.AsyncOpenAI):
        made = client()
        if not isinstance(made, openai.AsyncOpenAI):
            refuse("'client'", f"the function returned {type(made).__name__}.", "Return an openai.AsyncOpenAI.")
        return guard(made.with_options(**options))
    check_client(client)
    pool = openai.DefaultAsyncHttpxClient(timeout=timeout, limits=_limits(openai, concurrency))
    if isinstance(client, openai.AsyncOpenAI):
        return guard(client.with_options(http_client=pool, **options))
    own = openai.AsyncOpenAI(
        api_key=_async_key(client),
        organization=client.organization,
        project=client.project,
        base_url=client.base_url,
        default_headers=client._custom_headers,
        default_query=client._custom_query,
        http_client=pool,
        **options,
    )
    return guard(own)


def check_client(client: Any) -> None:
    """Raise `ParameterError` unless requests can be sent with the client's settings, all of them."""
    import openai

    factory = "client=lambda: openai.AsyncOpenAI(..., http_client=...)"
    if client is None:
        refuse("'client'", "is missing.", "Pass client=openai.OpenAI(), or give each Endpoint one.")
    if not isinstance(client, openai.OpenAI | openai.AsyncOpenAI):
        if callable(client):
            return
        refuse("'client'", f"got {type(client).__name__}.", "Pass an openai.OpenAI or openai.AsyncOpenAI.")
    special = [n for n in ("_provider", "workload_identity", "_workload_identity_auth") if getattr(client, n, None)]
    if isinstance(client, openai.OpenAI) and (type(client) is not openai.OpenAI or special):
        what = special[0].strip("_") if special else type(client).__name__
        wrong = f"a synchronous client with {what} cannot be turned into an asynchronous one."
        refuse("'client'", wrong, "Pass the asynchronous one, e.g. openai.AsyncAzureOpenAI.")
    if type(client._client).__name__ not in ("SyncHttpxClientWrapper", "AsyncHttpxClientWrapper"):
        refuse("'client'", "has an http_client of its own, which belongs to another event loop.", f"Pass {factory}.")


def secrets_of(client: Any) -> list[str]:
    """Return what must never show: the key, tokens, and headers that look like credentials.

    Examples
    --------
    >>> import openai
    >>> secrets_of(openai.OpenAI(api_key="example-key", default_headers={"X-Api-Key": "example-two"}))
    ['example-key', 'example-two']
    """
    return list(_secrets(client))


def _secrets(client: Any) -> Iterator[str]:
    for name in ("api_key", "admin_api_key", "_azure_ad_token", "webhook_secret"):
        value = getattr(client, name, None)
        if isinstance(value, str) and value:
            yield value
    headers = getattr(client, "_custom_headers", None)
    query = getattr(client, "_custom_query", None)
    for values in (headers, query):
        for name, value in values.items() if isinstance(values, Mapping) else ():
            if isinstance(value, str) and any(part in name.lower() for part in ("auth", "key", "token", "secret")):
                yield value


def _async_key(client: Any) -> Any:
    provider = getattr(client, "_api_key_provider", None)
    if provider is None:
        return client.api_key

    async def fresh_key() -> str:
        return str(provider())

    return fresh_key


def _limits(openai: Any, concurrency: int) -> Any:
    """As many connections as slots; the class comes from the httpx that the SDK uses."""
    from openai._constants import DEFAULT_CONNECTION_LIMITS

    return type(DEFAULT_CONNECTION_LIMITS)(max_connections=concurrency, max_keepalive_connections=concurrency)
