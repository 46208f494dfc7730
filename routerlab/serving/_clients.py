"""The SDK's clients of all endpoints: within limits, without retries of their own, and never shared with a fork."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from routerlab.completions import Endpoint, ProcessLock, Seen, guard, renew_after_fork
from routerlab.schema import reject

_POOLS = {"OpenAI": "DefaultHttpxClient", "AsyncOpenAI": "DefaultAsyncHttpxClient"}
_OWN_POOLS = ("SyncHttpxClientWrapper", "AsyncHttpxClientWrapper")  # what the SDK makes if it is given no http_client


class Clients:
    """Copies of the endpoints' clients.

    A process that was forked makes connections of its own: on one connection, two processes would read each other's
    replies. An ``http_client`` that the user made is theirs, and stays.

    Parameters
    ----------
    endpoints : iterable of Endpoint
        Of all models.
    kind : str
        Name of the SDK's class: ``OpenAI`` or ``AsyncOpenAI``.
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
            reject(
                f"'client' of {endpoint.model!r}",
                f"{got}, expected openai.{self._kind}.",
                f"{routed} needs openai.{self._kind}(base_url=..., api_key=...), in the Endpoint or as client=.",
            )

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
