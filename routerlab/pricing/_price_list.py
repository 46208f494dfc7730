"""The maintained price list: what it says, and how fresh it is."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

import numpy as np
from numpy.typing import NDArray


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


def list_cost(model: str, tokens: NDArray[Any], on: date | None, provider: str | None) -> NDArray[np.float64] | None:
    """USD of requests of shape (n_requests, 2: input and output tokens), or None if the list has no price by token."""
    from genai_prices import Usage, calc_price

    when = on if isinstance(on, datetime) or on is None else datetime.combine(on, time(12), tzinfo=UTC)

    def calculate(n_in: float, n_out: float) -> Any:
        usage = Usage(input_tokens=n_in, output_tokens=n_out)
        return calc_price(usage, model_ref=model, provider_id=provider, genai_request_timestamp=when)

    try:
        listed = calculate(0, 0).model_price
    except LookupError:
        return None
    rate_in, rate_out = listed.input_mtok, listed.output_mtok
    # The list holds models that are priced by page or minute, or not at all, and calls them 0 by the token.
    if rate_in is None or (rate_out is None and tokens[:, 1].any()):
        return None
    by_request = getattr(listed, "requests_kcount", None) is not None
    if isinstance(rate_in, Decimal) and isinstance(rate_out, Decimal) and not by_request:
        return tokens @ np.array([float(rate_in), float(rate_out)]) / 1e6
    pairs, at = np.unique(tokens, axis=0, return_inverse=True)
    return np.array([float(calculate(n_in, n_out).total_price) for n_in, n_out in pairs.tolist()])[at.ravel()]
