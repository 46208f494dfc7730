"""Tokens to USD, from the user's own prices or else from the price list."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from datetime import date
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from routerlab.pricing._price_list import list_cost, price_list_info
from routerlab.schema import as_pandas, check_responses, reject, shown

# What a user may say about a model: (input, output) in USD per 1M tokens, or the name that the list knows it by.
Prices: TypeAlias = Mapping[str, "tuple[float, float] | str"] | pd.DataFrame
PRICE_COLUMNS = ("input_usd_per_1m", "output_usd_per_1m")


class UnknownPriceWarning(UserWarning):
    """Costs were left empty; the message says for which models and how many rows."""


def estimate_tokens(texts: pd.Series) -> pd.Series:
    """Estimate token counts as characters / 4, rounded up: a rule of thumb for English, low for most other languages.

    Parameters
    ----------
    texts : Series of str, shape (n_texts,)
        Prompts or responses.

    Returns
    -------
    Series of float, shape (n_texts,)
        Estimated tokens, same index; empty where the text is missing.

    Examples
    --------
    >>> estimate_tokens(pd.Series(["four", "fives", ""])).tolist()
    [1.0, 2.0, 0.0]
    """
    return np.ceil(texts.str.len().astype(float) / 4)


def price(
    model: str,
    input_tokens: float,
    output_tokens: float,
    *,
    on: date | None = None,
    provider: str | None = None,
    prices: Prices | None = None,
    warn: bool = True,
) -> float:
    """Return the price of one request.

    Parameters
    ----------
    model : str
        The model's name, as its provider's API spells it.
    input_tokens, output_tokens : float
        Tokens, at least 0.
    on : date, optional
        The day of the request; prices change. Default: today.
    provider : str, optional
        Who serves the model, e.g. 'openai', 'mistral', 'together'. Default: guessed from the name by the price list.
    prices : mapping or DataFrame, optional
        Your own prices, which come before the list's; see `add_cost`.
    warn : bool, default True
        False if you look for NaN yourself.

    Returns
    -------
    float
        USD for the request; NaN if the price is not known.

    Warns
    -----
    UnknownPriceWarning
        If the price is not known, unless ``warn=False``.

    Raises
    ------
    TableError
        Negative or infinite token counts; a price table that cannot be read.

    Examples
    --------
    >>> price("gpt-4-1106-preview", 1000, 200)  # $10 and $30 per 1M tokens
    0.016
    >>> price("ours", 1000, 200, prices={"ours": (0.5, 1.5)})
    0.0008
    """
    tokens = np.array([[input_tokens, output_tokens]], dtype=float)
    if not (np.isfinite(tokens).all() and (tokens >= 0).all()):
        reject(
            "price, 'input_tokens' and 'output_tokens'",
            f"got {input_tokens} and {output_tokens}, expected finite numbers of at least 0.",
            "Pass token counts; estimate_tokens gives a rough count.",
        )
    usd = _cost(model, tokens, on, provider, own_prices(prices))
    if usd is None or not np.isfinite(usd[0]):
        if warn:
            _warn_unknown([model], 1, 0)
        return float("nan")
    return float(usd[0])


def add_cost(
    responses: pd.DataFrame,
    prices: Prices | None = None,
    *,
    on: date | None = None,
    provider: str | None = None,
) -> pd.DataFrame:
    """Fill the empty cells of ``cost_usd`` from token counts.

    Parameters
    ----------
    responses : DataFrame
        ``prompt_id``, ``model``, ``response``, ``input_tokens``, ``output_tokens``; optional ``cost_usd``, whose
        filled cells are kept. See `routerlab.schema.check_responses`.
    prices : mapping or DataFrame, optional
        Prices that come before the list's. A mapping from model to ``(input, output)`` in USD per 1M tokens, or to
        the name by which the price list knows the model; or a DataFrame with columns ``model`` (or as index),
        ``input_usd_per_1m`` and ``output_usd_per_1m``.
    on : date, optional
        The day whose prices to use. Default: today. Give it if figures must not change with the calendar.
    provider : str, optional
        Who serves the models; default: guessed from each name by the price list.

    Returns
    -------
    DataFrame
        A copy with ``cost_usd`` in USD per request, NaN where price or tokens are unknown. If the price list was
        asked, ``attrs["price_list"]`` says which one it was.

    Warns
    -----
    UnknownPriceWarning
        Once, naming every model whose price is not known and counting the rows left empty.

    Raises
    ------
    TableError
        Missing token columns, or a price table that cannot be read.

    References
    ----------
    https://github.com/pydantic/genai-prices

    Examples
    --------
    >>> row = {"prompt_id": "p1", "model": "gpt-4-1106-preview", "response": "Yes.", "input_tokens": 1000}
    >>> table = pd.DataFrame([{**row, "output_tokens": 200}])
    >>> add_cost(table)["cost_usd"].tolist()
    [0.016]
    """
    frame = check_responses(responses)
    absent = [c for c in ("input_tokens", "output_tokens") if c not in frame]
    if absent:
        reject(
            "responses table",
            f"column {shown(absent)} is missing, and cost is computed from token counts.",
            "Add it; estimate_tokens(frame['response']) gives a rough count.",
        )
    own = own_prices(prices)
    cost = frame["cost_usd"].to_numpy(float, copy=True) if "cost_usd" in frame else np.full(len(frame), np.nan)
    empty = np.isnan(cost)
    tokens = frame[["input_tokens", "output_tokens"]].to_numpy(float)
    counted = empty & ~np.isnan(tokens).any(axis=1)
    unknown = []
    for model, rows in pd.Series(np.arange(len(frame)))[counted].groupby(frame["model"].to_numpy()[counted]):
        usd = _cost(str(model), tokens[rows], on, provider, own)
        if usd is None or np.isnan(usd).any():
            unknown.append(str(model))
        if usd is not None:
            cost[rows] = usd
    frame["cost_usd"] = cost
    if any(isinstance(own.get(model, model), str) for model in frame["model"].unique()):
        frame.attrs["price_list"] = str(price_list_info())
    _warn_unknown(unknown, int(np.isnan(cost[counted]).sum()), int((empty & ~counted).sum()))
    return frame


def _warn_unknown(models: list[str], n_priceless: int, n_uncounted: int) -> None:
    parts = []
    if n_priceless:
        parts.append(
            f"{n_priceless} rows of {shown(models, 20)}, whose price is not in {price_list_info()}; pass "
            "prices={model: (input, output)} in USD per 1M tokens"
        )
    if n_uncounted:
        parts.append(f"{n_uncounted} rows with no token counts")
    if parts:
        warnings.warn(f"cost_usd is left empty for {' and for '.join(parts)}.", UnknownPriceWarning, stacklevel=3)


def own_prices(prices: Prices | None) -> dict[str, tuple[float, float] | str]:
    """Check the user's prices and return them as one mapping."""
    if prices is None:
        return {}
    prices = as_pandas(prices)
    if isinstance(prices, pd.DataFrame):
        frame = prices.set_index("model") if "model" in prices else prices
        absent = [c for c in PRICE_COLUMNS if c not in frame]
        if absent or not frame.index.is_unique:
            reject(
                "'prices' table",
                f"column {shown(absent)} is missing." if absent else "a model appears twice.",
                f"Give one row for each model, with columns 'model', {shown(PRICE_COLUMNS)}.",
            )
        prices = dict(zip(frame.index, frame[list(PRICE_COLUMNS)].itertuples(index=False, name=None), strict=True))
    return {str(model): _own_price(str(model), value) for model, value in prices.items()}


def _own_price(model: str, value: Any) -> tuple[float, float] | str:
    if isinstance(value, str):
        return value
    try:
        rate_in, rate_out = (float(v) for v in value)
    except (TypeError, ValueError):
        rate_in = rate_out = float("nan")
    if not (np.isfinite([rate_in, rate_out]).all() and min(rate_in, rate_out) >= 0):
        reject(
            f"'prices' of {model!r}",
            f"got {value!r}, expected (input, output) in USD per 1M tokens, each at least 0.",
            "Example: prices={'my-model': (0.5, 1.5)}.",
        )
    return rate_in, rate_out


def _cost(
    model: str, tokens: NDArray[Any], on: date | None, provider: str | None, own: dict[str, tuple[float, float] | str]
) -> NDArray[np.float64] | None:
    """USD of requests of shape (n_requests, 2), or None if nothing is known of the model."""
    rates = own.get(model, model)
    if isinstance(rates, str):
        return list_cost(rates, tokens, on, provider)
    return tokens @ np.array(rates) / 1e6
