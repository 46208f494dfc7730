"""The user's client, made fit for many requests at once: asynchronous, and without retries of its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from routerlab.completions._guard import guard
from routerlab.schema import reject

_CONNECT_S = 10.0


def async_client(client: Any, *, timeout_s: float, concurrency: int) -> Any:
    """Return an ``AsyncOpenAI`` with the client's settings and connections of its own.

    An HTTP connection belongs to the event loop that opened it, so that the user's own pool cannot be shared.

    Parameters
    ----------
    client : openai.OpenAI, openai.AsyncOpenAI, or callable
        A function is called in the event loop and returns an ``AsyncOpenAI``.
    timeout_s : float
        Seconds until a request is given up.
    concurrency : int
        Connections.

    Returns
    -------
    openai.AsyncOpenAI
        With ``max_retries=0``: the engine retries, and counts it. No redirect to another host is followed, and no reply
        larger than 32 MiB is read.

    Raises
    ------
    TableError
        No client; a synchronous one whose settings cannot be carried over; an ``http_client`` of its own.
    """
    import openai

    timeout = openai.Timeout(timeout_s, connect=min(_CONNECT_S, timeout_s))
    options: dict[str, Any] = {"timeout": timeout, "max_retries": 0}
    if callable(client) and not isinstance(client, openai.OpenAI | openai.AsyncOpenAI):
        made = client()
        if not isinstance(made, openai.AsyncOpenAI):
            reject("'client'", f"the function returned {type(made).__name__}.", "Return an openai.AsyncOpenAI.")
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
    """Raise `TableError` unless requests can be sent with the client's settings, all of them."""
    import openai

    factory = "client=lambda: openai.AsyncOpenAI(..., http_client=...)"
    if client is None:
        reject("'client'", "is missing.", "Pass client=openai.OpenAI(), or give each Endpoint one.")
    if not isinstance(client, openai.OpenAI | openai.AsyncOpenAI):
        if callable(client):
            return
        reject("'client'", f"got {type(client).__name__}.", "Pass an openai.OpenAI or openai.AsyncOpenAI.")
    special = [n for n in ("_provider", "workload_identity", "_workload_identity_auth") if getattr(client, n, None)]
    if isinstance(client, openai.OpenAI) and (type(client) is not openai.OpenAI or special):
        what = special[0].strip("_") if special else type(client).__name__
        reject(
            "'client'",
            f"a synchronous client with {what} cannot be turned into an asynchronous one.",
            "Pass the asynchronous one, e.g. openai.AsyncAzureOpenAI.",
        )
    if type(client._client).__name__ not in ("SyncHttpxClientWrapper", "AsyncHttpxClientWrapper"):
        reject("'client'", "has an http_client of its own, which belongs to another event loop.", f"Pass {factory}.")


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
    """As many connections as slots; the class comes from whichever httpx the SDK uses."""
    from openai._constants import DEFAULT_CONNECTION_LIMITS

    return type(DEFAULT_CONNECTION_LIMITS)(max_connections=concurrency, max_keepalive_connections=concurrency)
