"""Who serves a model, and what is asked of it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from inspect import iscoroutinefunction
from ipaddress import ip_address
from typing import Any, TypeAlias
from urllib.parse import urlsplit

from routerlab.pricing import Prices, is_provider, own_prices
from routerlab.schema import refuse, shown

# One model's name, or a mapping from the name that tables show to who serves it, in order of preference.
Models: TypeAlias = "Iterable[str] | Mapping[str, str | Endpoint | Sequence[str | Endpoint]]"
# Parameters that would change what a reply is, or how many are paid for.
_REFUSED = {
    "stream": "Streaming is for RoutedClient: a table needs the whole reply.",
    "n": "Ask for one choice and repeat the prompt under other ids: all choices are billed, only one would be kept.",
    "model": "Say it in 'models'.",
    "messages": "Say it in 'prompts' and 'system'.",
    "extra_headers": "Give them to the client: OpenAI(default_headers=...).",
    "extra_query": "Give them to the client: OpenAI(default_query=...).",
}


@dataclass(frozen=True)
class Endpoint:
    """Where a model is served: the provider's name for it, a client, a price.

    Parameters
    ----------
    model : str
        The name by which the provider knows the model.
    client : openai.OpenAI or openai.AsyncOpenAI, optional
        Providers differ only in ``base_url`` and key. Or a function without arguments that returns an
        ``AsyncOpenAI``, for one with an ``http_client`` of its own. Default: the call's ``client=``.
    price : (float, float), (float, float, float), 0 or str, optional
        (input, output) or (input, output, cached input) in USD per 1M tokens, 0 for what costs nothing, or the name by
        which the price list knows the model. Default: ``prices=`` of the call, or else the price list under `model`.
    params : mapping, optional
        Request parameters for this endpoint alone, over those of the call; None removes one.
    provider : str, optional
        Whose prices in the price list are charged, e.g. 'openai' behind a proxy of your own. Default: the provider that
        the list knows under the client's address; a host that it does not know, such as your own machine, has no list
        price.
    batch : bool, default False
        Whether the price list's prices for batches are charged.

    Examples
    --------
    >>> Endpoint("llama3.2:1b", price=(0, 0), params={"max_tokens": None, "max_completion_tokens": 200})
    Endpoint('llama3.2:1b', price=(0, 0), params={'max_tokens': None, 'max_completion_tokens': 200})
    """

    model: str
    client: Any = None
    price: tuple[float, ...] | str | float | None = None
    params: Mapping[str, Any] = field(default_factory=dict)
    provider: str | None = None
    batch: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.model, str) or not self.model.strip():
            refuse("Endpoint, 'model'", f"got {self.model!r}, expected a name.", "Example: Endpoint('gpt-4.1-mini').")
        if self.price is not None:
            own = own_prices({self.model: self.price})[self.model]
            if not isinstance(self.price, tuple):
                object.__setattr__(self, "price", own)
        if self.provider is not None and not is_provider(self.provider):
            remedy = "Examples: 'openai', 'anthropic', 'groq', 'together', 'openrouter'; or the address of its API."
            refuse("Endpoint, 'provider'", f"got {self.provider!r}, expected a provider of the price list.", remedy)
        object.__setattr__(self, "params", check_params(self.params or {}, "Endpoint"))

    def __repr__(self) -> str:
        """Name, host and price; never a key."""
        parts = [repr(self.model)]
        parts += [f"at {self.host}"] if self.client is not None else []
        parts += [f"price={self.price!r}"] if self.price is not None else []
        parts += [f"params={dict(self.params)!r}"] if self.params else []
        parts += [f"provider={self.provider!r}"] if self.provider is not None else []
        parts += ["batch=True"] if self.batch else []
        return f"Endpoint({', '.join(parts)})"

    @property
    def name(self) -> str:
        """What records say in ``served_by``: model and host."""
        return f"{self.model} at {self.host}"

    @cached_property
    def address(self) -> str | None:
        """Where the client sends to, without user, password and query; None without a client to tell."""
        client = self.client
        if callable(client) and not hasattr(client, "base_url") and not iscoroutinefunction(client):
            try:
                client = client()  # never used: the host must be known before anything is sent
            except Exception:  # the run will say so, when it opens its clients
                return None
        return address_of(client)

    @property
    def host(self) -> str:
        """Host and port of the address, for people and records."""
        return _host(self.address)

    @property
    def place(self) -> str:
        """Host, port and path of the address: what a stored reply answers for."""
        return (self.address or "").partition("://")[2]

    def body(self, request: Request) -> dict[str, Any]:
        """Return what is sent for `request`: the call's parameters, with this endpoint's over them."""
        params = {**request.params, **self.params}
        given = {name: value for name, value in params.items() if value is not None}
        return {"model": self.model, "messages": list(request.messages), **given}


@dataclass(frozen=True)
class Request:
    """One chat completion to ask for.

    Parameters
    ----------
    model : str
        A name in ``models=``.
    messages : sequence of dict
        ``role`` and ``content``, as the chat-completions protocol has them.
    params : mapping, optional
        ``max_tokens``, ``temperature``, ``response_format``, or anything else that the endpoint accepts.
    about : mapping, optional
        What the record keeps with the reply (prompt_id, order, ...); must be JSON.
    purpose : str, default 'response'
        Distinguishes requests that ask the same thing for different reasons: a prompt_id, a repeat.

    Examples
    --------
    >>> request = Request("small", [{"role": "user", "content": "Poach an egg?"}], {"max_tokens": 50})
    >>> request.key == Request("small", request.messages, {"max_tokens": 60}).key
    False
    """

    model: str
    messages: Sequence[Mapping[str, Any]]
    params: Mapping[str, Any] = field(default_factory=dict)
    about: Mapping[str, Any] = field(default_factory=dict)
    purpose: str = "response"

    def __post_init__(self) -> None:
        object.__setattr__(self, "params", check_params(self.params or {}, "Request"))

    @cached_property
    def key(self) -> str:
        """A sha256 of purpose, model, messages and parameters: what a later run recognises."""
        return digest([self.purpose, self.model, list(self.messages), dict(self.params)])


def digest(value: Any) -> str:
    """Return the sha256 of a JSON value, whatever the order of its keys.

    Examples
    --------
    >>> digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})
    True
    """
    try:
        text = json.dumps(value, sort_keys=True, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError) as error:
        refuse("request", f"holds something that JSON cannot say: {error}.", "Use text, numbers, lists and dicts.")
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def check_params(params: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Return request parameters with ``extra_body`` merged in, or say which one cannot be used here."""
    if not isinstance(params, Mapping):
        refuse(f"{where}, 'params'", f"got {type(params).__name__}, expected a mapping.", "{'temperature': 0}, say.")
    merged = {**{k: v for k, v in params.items() if k != "extra_body"}, **(params.get("extra_body") or {})}
    for name in _REFUSED.keys() & merged.keys():
        if not (name == "n" and merged[name] == 1):
            refuse(f"{where}, 'params'", f"{name!r} cannot be given here.", _REFUSED[name])
    return merged


def resolve_models(
    models: Models, client: Any = None, prices: Prices | None = None, *, name: str = "models"
) -> dict[str, tuple[Endpoint, ...]]:
    """Return who serves each model, in order of preference, with clients and prices filled in.

    Parameters
    ----------
    models : iterable of str, or mapping
        Names, or name -> str, `Endpoint` or a list of these (the same model at several providers, then fallbacks).
    client : openai.OpenAI or openai.AsyncOpenAI, optional
        For endpoints without one of their own.
    prices : mapping or DataFrame, optional
        See `routerlab.add_cost`. Looked up by the provider's name for the model; then, for the first endpoint and
        others with the same name, by the name in `models`.
    name : str, default 'models'
        What the caller's argument is called, for errors.

    Returns
    -------
    dict of str to tuple of Endpoint
        In the order of `models`.

    Raises
    ------
    ParameterError
        No models, a name that comes twice, an entry that is not an endpoint, prices that cannot be read.

    Examples
    --------
    >>> resolve_models({"small": ["s-1b", "s-2b"]}, prices={"small": (1, 2), "s-2b": (3, 4)})
    {'small': (Endpoint('s-1b', price=(1.0, 2.0)), Endpoint('s-2b', price=(3.0, 4.0)))}
    """
    own = own_prices(prices)
    resolved = {}
    for model, entry in named_models(models, name).items():
        entries = [entry] if isinstance(entry, str | Endpoint) or not isinstance(entry, Iterable) else list(entry)
        wrong = [e for e in entries if not isinstance(e, str | Endpoint)]
        if wrong or not entries:
            what = f"got {type(wrong[0]).__name__}" if wrong else "has no endpoint"
            remedy = "Write Endpoint('name at the provider', client)." if wrong else "See Endpoint."
            refuse(f"'{name}', {model!r}", f"{what}, expected a name, an Endpoint or a list of these.", remedy)
        endpoints = [Endpoint(e) if isinstance(e, str) else e for e in entries]
        resolved[model] = tuple(_filled(model, e, endpoints[0].model, client, own) for e in endpoints)
    return resolved


def named_models(models: Models, name: str = "models") -> dict[str, Any]:
    """Return a mapping from each model's name to what was said about it, or say what is wrong with the names.

    Examples
    --------
    >>> named_models(["small", "large"])
    {'small': 'small', 'large': 'large'}
    """
    if isinstance(models, Mapping):
        pairs = list(models.items())
    elif isinstance(models, Iterable):
        pairs = [(name, name) for name in ([models] if isinstance(models, str) else models)]
    else:
        refuse(f"'{name}'", f"got {type(models).__name__}.", "Pass names, or a mapping from name to Endpoint.")
    if not pairs:
        refuse(f"'{name}'", "is empty.", f"Name at least one, e.g. {name}=['gpt-4.1-mini'].")
    odd = [model for model, _ in pairs if not isinstance(model, str) or not model.strip()]
    if odd:
        refuse(f"'{name}'", f"got {odd[0]!r} as a name, expected text.", "Use a mapping from name to Endpoint.")
    names = [model for model, _ in pairs]
    twice = sorted({model for model in names if names.count(model) > 1})
    if twice:
        refuse(f"'{name}'", f"{shown(twice)} comes twice.", "Name each model once.")
    return dict(pairs)


def _filled(name: str, endpoint: Endpoint, first: str, client: Any, own: Mapping[str, Any]) -> Endpoint:
    price = endpoint.price
    if price is None:
        price = own.get(endpoint.model, own.get(name) if endpoint.model == first else None)
    return replace(endpoint, client=endpoint.client if endpoint.client is not None else client, price=price)


def address_of(client: Any) -> str | None:
    """Return where a client sends to, without user, password, query and closing slash.

    Examples
    --------
    >>> import openai
    >>> address_of(openai.OpenAI(api_key="none", base_url="https://me:secret@api.groq.com/openai/v1/?key=secret"))
    'https://api.groq.com/openai/v1'
    """
    url = getattr(client, "base_url", None)
    if url is None:
        return None
    parts = urlsplit(str(url))
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path.rstrip('/')}" if parts.hostname else None


def host_of(client: Any) -> str:
    """Return the host that a client talks to, without user, password, path or query."""
    return _host(address_of(client))


def is_local(address: str | None) -> bool:
    """Whether an address is on this machine or in its own network: no provider's prices hold there.

    Examples
    --------
    >>> is_local("http://localhost:11434/v1"), is_local("http://ollama:11434"), is_local("https://api.openai.com/v1")
    (True, True, False)
    """
    host = urlsplit(address or "").hostname or ""
    try:
        return not ip_address(host).is_global
    except ValueError:
        return bool(host) and ("." not in host or host.endswith((".local", ".localhost", ".internal", ".lan")))


def _host(address: str | None) -> str:
    parts = urlsplit(address or "")
    return (parts.hostname or "an endpoint") + (f":{parts.port}" if parts.port else "")
