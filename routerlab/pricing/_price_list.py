"""The maintained price list: what it says, and how fresh it is."""

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from routerlab.schema import refuse

# Kinds of tokens whose prices, where they have no tiers, need not be asked of the list again for each request.
_CACHED = ("cache_read_tokens", "cache_write_tokens")
_OLLAMA_TAG = re.compile(r":(latest|\d+(\.\d+)?[bm])\b", re.IGNORECASE)
_PLAIN = frozenset({"input_tokens", "output_tokens", *_CACHED})


@dataclass(frozen=True)
class PriceListInfo:
    """Which price list is in use, and how fresh it is.

    Attributes
    ----------
    package, version : str
        The distribution that holds the list.
    n_providers, n_models : int
        Its size.
    checked : date or None
        The latest day, not in the future, on which its comments say that some price was checked.
    """

    package: str
    version: str
    n_providers: int
    n_models: int
    checked: date | None

    def __str__(self) -> str:
        """One line for notes and warnings."""
        checked = self.checked or "on no known day"
        return f"{self.package} {self.version} ({self.n_models:,} models, last checked {checked})"


def price_list_info() -> PriceListInfo:
    """Say which price list is in use and when it was last checked.

    Returns
    -------
    PriceListInfo
        Package, version, size, and the latest check that its comments name.

    References
    ----------
    https://github.com/pydantic/genai-prices

    Examples
    --------
    >>> price_list_info().package
    'genai-prices'
    """
    import genai_prices
    from genai_prices.data_snapshot import get_snapshot

    providers = get_snapshot().providers
    comments = [p.price_comments or "" for p in providers]
    comments += [m.price_comments or "" for p in providers for m in p.models]
    found = (re.findall(r"(?:checked|verified)\D{0,60}(\d{4}-\d\d-\d\d)", text, re.IGNORECASE) for text in comments)
    today = datetime.now(tz=UTC).date()
    days = [day for dates in found for day in map(date.fromisoformat, dates) if day <= today]
    return PriceListInfo(
        "genai-prices",
        genai_prices.__version__,
        len(providers),
        sum(len(p.models) for p in providers),
        max(days, default=None),
    )


def is_provider(name: Any) -> bool:
    """Whether the price list knows a provider by this name, or this is an address.

    Examples
    --------
    >>> is_provider("groq"), is_provider("no-such-company"), is_provider("https://api.groq.com/openai/v1")
    (True, False, True)
    """
    from genai_prices.data_snapshot import find_provider_by_id, get_snapshot

    if not isinstance(name, str) or "://" in name:
        return isinstance(name, str)
    return find_provider_by_id(get_snapshot().providers, name) is not None


class ListPrice:
    """What the price list asks for a model: looked up once, for any number of requests.

    Parameters
    ----------
    prices : genai_prices.types.ModelPrice
        Rates by kind of token.
    """

    def __init__(self, prices: Any) -> None:
        self._prices = prices
        given = {name: getattr(prices, f"{name.removesuffix('_tokens')}_mtok") for name in _PLAIN}
        rates = {name: rate for name, rate in given.items() if rate is not None}
        by_request = getattr(prices, "requests_kcount", None) is not None
        flat = all(isinstance(rate, Decimal) for rate in rates.values()) and "output_tokens" in rates and not by_request
        self._flat = rates if flat else None

    def cost(self, counts: Mapping[str, float]) -> float:
        """Return the USD of one request, NaN if it has output and the list no price for it."""
        counts = {name: float(n) for name, n in counts.items()}
        if not all(map(math.isfinite, counts.values())) or (
            self._prices.output_mtok is None and counts["output_tokens"]
        ):
            return math.nan
        if self._flat is not None and counts.keys() <= _PLAIN:
            parts = {name: Decimal(repr(counts.get(name, 0.0))) for name in self._flat}
            parts["input_tokens"] -= sum(parts.get(name, 0) for name in _CACHED)
            if parts["input_tokens"] >= 0:
                return float(sum(rate * parts[name] for name, rate in self._flat.items()) / 1_000_000)
        for known in _ever_less(counts):
            try:
                return float(self._prices.calc_price(_usage(known))["total_price"])
            except ValueError:  # the list's own check: parts that cannot add up to their whole
                continue
        return math.nan

    def costs(self, tokens: NDArray[Any], cached: NDArray[Any]) -> NDArray[np.float64]:
        """Return the USD of many requests: tokens of shape (n_requests, 2: input and output), cached input tokens."""
        if self._flat is not None and not cached.any():
            rates = [float(self._flat[name]) for name in ("input_tokens", "output_tokens")]
            return tokens @ np.array(rates) / 1e6
        rows, at = np.unique(np.column_stack([tokens, cached]), axis=0, return_inverse=True)
        names = ("input_tokens", "output_tokens", "cache_read_tokens")
        return np.array([self.cost(dict(zip(names, row, strict=True))) for row in rows.tolist()])[at.ravel()]


def list_price(
    model: str, on: date | str | None = None, provider: str | None = None, tier: str | None = None
) -> ListPrice | None:
    """Look up a model's price; None if the list does not know the model at the provider, or the price asked for.

    `provider` is the list's name for who serves the model, or the address of its API, and else guessed from the model's
    name. `on` is the day, or the moment, of the request (now by default; naive times are UTC). `tier` is 'batch',
    'flex', 'priority', ...
    """
    from genai_prices.data_snapshot import get_snapshot

    # To the minute: some prices depend on the time of day. The snapshot is another one once its owner updates it.
    when = _moment(on).replace(second=0, microsecond=0)
    return _listed(id(get_snapshot()), model, when, provider, tier)


@lru_cache(maxsize=1024)
def _listed(_: int, model: str, when: datetime, provider: str | None, tier: str | None) -> ListPrice | None:
    from genai_prices import calc_price

    context = {"processing": "batch"} if tier == "batch" else {"service_tier": tier} if tier else None
    for name, where in _places(model, provider):
        try:
            found = calc_price(_usage({}), name, genai_request_timestamp=when, price_context=context, **where)
        except LookupError:
            continue
        # The list holds models that are priced by page or minute, or not at all, and calls them 0 by the token.
        if found.model_price.input_mtok is None or (tier == "batch" and not _has_batch(found, when)):
            return None
        return ListPrice(found.model_price)
    return None


def _places(model: str, provider: str | None) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield where to look for a model, and under which name."""
    if provider is None:
        if _OLLAMA_TAG.search(model):  # runs on someone's own machine, whatever the list guesses
            return
        yield model, {}
        from genai_prices.data_snapshot import get_snapshot

        vendor, _, name = model.partition("/")
        if name and any(vendor.lower() == known.id for known in get_snapshot().providers):
            yield name, {"provider_id": vendor.lower()}
            yield model, {"provider_id": "openrouter"}  # whose spelling it is
    elif "://" in provider:
        address = f"https://{provider.partition('://')[2]}"  # the list's patterns; who listens without TLS is the same
        address = re.sub(r"(?<=//api\.together\.)ai(?=[:/]|$)", "xyz", address)  # its other name
        routed_to = model.partition(":")[2]
        if routed_to and re.fullmatch(r"https://router\.huggingface\.co(/v1)?/?", address):
            model, address = model.partition(":")[0], f"https://router.huggingface.co/{routed_to}"
        if not _serves(address):
            return
        yield model, {"provider_api_url": address}
        if "googleapis.com" in address:
            yield re.sub(r"^(models|google)/", "", model), {"provider_api_url": address}
    else:
        yield model, {"provider_id": provider}


def _serves(address: str) -> bool:
    """Whether a provider of the list is at an address; its patterns say how hosts begin, and not where they end."""
    from genai_prices.data_snapshot import get_snapshot

    host = re.match(r"https://[^/:?#]*", address)
    for pattern in {provider.api_pattern for provider in get_snapshot().providers}:
        with_path = "/" in pattern.partition("://")[2]
        found = re.match(pattern, address if with_path or host is None else host[0])
        if found and (with_path or pattern.endswith(r"\.") or host is None or found.end() == host.end()):
            return True
    return False


def _has_batch(found: Any, when: datetime) -> bool:
    """Whether the list has a batch price of the provider's own for a model."""
    if not any(found.model is model for model in found.provider.models):
        return False
    variants = found.model.price_variants or ()
    return any(
        v.when == {"processing": "batch"} and (v.constraint is None or v.constraint.active(when)) for v in variants
    )


def _moment(on: date | str | None) -> datetime:
    """Return a moment in UTC: now, a given one, or noon of a day."""
    if on is None:
        return datetime.now(tz=UTC)
    try:
        if isinstance(on, str):
            on = datetime.fromisoformat(on) if len(on) > len("2024-03-01") else date.fromisoformat(on)
        if not isinstance(on, datetime):
            on = datetime.combine(on, time(12))
    except (TypeError, ValueError):
        refuse("'on'", f"got {on!r}, expected a date.", "Example: on=datetime.date(2024, 3, 1).")
    return on.replace(tzinfo=UTC) if on.tzinfo is None else on.astimezone(UTC)


def _usage(counts: Mapping[str, float]) -> Any:
    from genai_prices import Usage

    return Usage(**{"input_tokens": 0, "output_tokens": 0, **counts})


def _ever_less(counts: Mapping[str, float]) -> Iterator[dict[str, float]]:
    """Yield counts as they are; then without audio and images, then all at the full price: the list checks sums."""
    kinds = ("audio", "image", "video")
    cached = {f"cache_{kind}_read_tokens": 0.0 for kind in kinds}
    spoken = [name for name in counts if any(f"_{kind}_" in name for kind in kinds)]
    yield {**(cached if spoken else {}), **counts}
    if spoken:
        yield {name: n for name, n in counts.items() if name not in spoken}
    yield {name: counts[name] for name in ("input_tokens", "output_tokens")}
