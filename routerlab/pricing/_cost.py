"""Tokens to USD, from the user's own prices or else from the price list."""

import math
import warnings
from collections.abc import Iterator, Mapping
from datetime import date
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from routerlab.exceptions import UnknownPriceWarning
from routerlab.pricing._price_list import ListPrice, list_price, price_list_info
from routerlab.pricing._usage import Usage
from routerlab.schema import as_pandas, check_outcomes, check_responses, refuse, reject, shown

# What a user may say about a model: (input, output) or (input, output, cached input) in USD per 1M tokens, 0 for
# nothing at all, or the name that the list knows it by.
OwnPrice: TypeAlias = "tuple[float, ...] | str"
Prices: TypeAlias = Mapping[str, "tuple[float, ...] | str | float"] | pd.DataFrame
_COUNTS = ("input_tokens", "output_tokens", "cache_read_tokens")
PRICE_COLUMNS = ("input_usd_per_1m", "output_usd_per_1m")
CACHED_COLUMN = "cached_input_usd_per_1m"


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
    cached_tokens: float = 0.0,
    on: date | str | None = None,
    provider: str | None = None,
    prices: Prices | None = None,
    batch: bool = False,
    warn: bool = True,
) -> float:
    """Return the price of one request.

    Parameters
    ----------
    model : str
        The model's name, as its provider's API spells it.
    input_tokens, output_tokens : float
        Tokens, at least 0.
    cached_tokens : float, default 0
        Those among the input tokens that were read from the provider's cache.
    on : date, datetime or str, optional
        The day of the request; prices change. Default: today.
    provider : str, optional
        Who serves the model, e.g. 'openai', 'mistral', 'together'; or the address of its API, e.g.
        'https://api.groq.com/openai/v1'. Default: guessed from the name by the price list.
    prices : mapping or DataFrame, optional
        Your own prices, which come before the list's; see `add_cost`.
    batch : bool, default False
        The list's price for batches, where it has one. Your own prices are taken as they are.
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
    >>> price("gpt-4o", 1_000_000, 0), price("gpt-4o", 1_000_000, 0, batch=True)
    (2.5, 1.25)
    >>> price("ours", 1000, 200, prices={"ours": (0.5, 1.5)})
    0.0008
    """
    tokens = (input_tokens, output_tokens, cached_tokens)
    if not (np.isfinite(tokens).all() and min(tokens) >= 0 and cached_tokens <= input_tokens):
        refuse(
            "price, 'input_tokens' and 'output_tokens'",
            f"got {input_tokens} and {output_tokens}, {cached_tokens} of the input cached, expected finite numbers of "
            "at least 0, and no more cached than there are.",
            "Pass token counts; estimate_tokens gives a rough count.",
        )
    counts = dict(zip(_COUNTS, map(float, tokens), strict=True))
    usd = usage_cost(model, Usage(counts), on=on, provider=provider, prices=prices, batch=batch)
    if warn and math.isnan(usd):
        _warn_unknown([model], 1, 0)
    return usd


def usage_cost(
    model: str,
    usage: Usage,
    *,
    on: date | str | None = None,
    provider: str | None = None,
    prices: Prices | None = None,
    batch: bool = False,
) -> float:
    """Return the price of what one request took, whatever the provider says that it billed; NaN if it is not known.

    Parameters
    ----------
    model : str
        As in `price`.
    usage : Usage
        Tokens by kind; see `read_usage`. Its tier comes before `batch`.
    on, provider, prices, batch : optional
        As in `price`.

    Returns
    -------
    float
        USD.

    Examples
    --------
    >>> from routerlab.pricing import read_usage
    >>> usage = read_usage({"prompt_tokens": 1_000_000, "completion_tokens": 0, "prompt_cache_hit_tokens": 400_000})
    >>> usage_cost("ours", usage, prices={"ours": (1, 2)}), usage_cost("ours", usage, prices={"ours": (1, 2, 0.1)})
    (1.0, 0.64)
    """
    counts, own = usage.counts, own_prices(prices)
    rates = own.get(model, model)
    if not isinstance(rates, str):
        return _own_cost(rates, counts)
    if math.isnan(counts["input_tokens"] + counts["output_tokens"]):
        return math.nan
    tier = usage.tier or ("batch" if batch else None)
    listed = _listed(rates, on, provider, tier, by_user=model in own)
    return math.nan if listed is None else listed.cost(counts)


def add_cost(
    responses: pd.DataFrame,
    prices: Prices | None = None,
    *,
    on: date | str | None = None,
    provider: str | None = None,
    batch: bool = False,
) -> pd.DataFrame:
    """Fill the empty cells of ``cost_usd`` from token counts.

    Parameters
    ----------
    responses : DataFrame
        A table of responses or of outcomes: ``prompt_id``, ``model``, ``input_tokens``, ``output_tokens``; optional
        ``cached_tokens`` (those among the input tokens that were read from a cache), ``served_by`` (as
        `routerlab.collect_responses` writes it: the host decides the price), and ``cost_usd``, whose filled cells are
        kept. See `routerlab.check_responses` and `routerlab.check_outcomes`.
    prices : mapping or DataFrame, optional
        Prices that come before the list's. A mapping from model to ``(input, output)`` or ``(input, output, cached
        input)`` in USD per 1M tokens, to 0 for a model that costs nothing, or to the name by which the price list knows
        the model; or a DataFrame with columns ``model`` (or as index), ``input_usd_per_1m``, ``output_usd_per_1m`` and
        optional ``cached_input_usd_per_1m``.
    on : date, datetime or str, optional
        The day whose prices to use. Default: today. Give it if figures must not change with the calendar.
    provider : str, optional
        Who serves the models, or the address of its API; see `price`. Default: the host in ``served_by``, or else
        guessed from each name by the price list.
    batch : bool, default False
        The list's prices for batches.

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
    frame = _checked(responses)
    own = own_prices(prices)
    cost = frame["cost_usd"].to_numpy(float, copy=True) if "cost_usd" in frame else np.full(len(frame), np.nan)
    empty = np.isnan(cost)
    tokens = frame[["input_tokens", "output_tokens"]].to_numpy(float)
    cached = np.zeros(len(frame))
    if "cached_tokens" in frame:
        cached = frame["cached_tokens"].fillna(0.0).to_numpy(float)
    counted = empty & ~np.isnan(tokens).any(axis=1)
    unknown, listed = [], False
    for (model, server), at in _groups(frame, counted):
        name, host = _server(str(model), server)
        key = next((key for key in (str(model), name) if key in own), None)
        rates, where = name if key is None else own[key], host if provider is None else provider
        cost[at] = _costs(rates, tokens[at], cached[at], on, where, batch, by_user=key is not None)
        listed |= isinstance(rates, str)
        if np.isnan(cost[at]).any():
            unknown.append(str(model))
    frame["cost_usd"] = cost
    if listed:
        frame.attrs["price_list"] = str(price_list_info())
    _warn_unknown(list(dict.fromkeys(unknown)), int(np.isnan(cost[counted]).sum()), int((empty & ~counted).sum()))
    return frame


def _checked(table: pd.DataFrame) -> pd.DataFrame:
    """Return a copy of a table of responses, or of outcomes, whose token counts are numbers of at least 0."""
    if not isinstance(table, pd.DataFrame) or "response" in table or "quality" not in table:
        frame = check_responses(table)
    else:
        costed = table if "cost_usd" in table else table.assign(cost_usd=np.nan)
        frame = check_responses(check_outcomes(costed).assign(response="")).drop(columns="response")
    absent = [c for c in ("input_tokens", "output_tokens") if c not in frame]
    if absent:
        reject(
            "responses table" if "response" in frame else "outcomes table",
            f"column {shown(absent)} is missing, and cost is computed from token counts.",
            "Add it; estimate_tokens(frame['response']) gives a rough count.",
        )
    if "cached_tokens" in frame:
        cached = pd.to_numeric(frame["cached_tokens"], errors="coerce")
        wrong = frame["cached_tokens"].notna() & ~(cached.between(0, frame["input_tokens"]))
        wrong &= frame["input_tokens"].notna()
        if wrong.any():
            reject(
                "responses table, column 'cached_tokens'",
                f"{int(wrong.sum())} rows hold no number from 0 to their input_tokens, the first "
                f"{frame.loc[wrong, 'cached_tokens'].iloc[0]!r}.",
                "Cached tokens are part of the input: correct them, or drop the column.",
            )
        frame["cached_tokens"] = cached
    return frame


def _groups(frame: pd.DataFrame, counted: NDArray[np.bool_]) -> Iterator[tuple[tuple[Any, Any], NDArray[np.intp]]]:
    """Yield models and who served them, with the positions of their rows."""
    keys = pd.DataFrame({"model": frame["model"].to_numpy()})
    keys["server"] = frame["served_by"].to_numpy() if "served_by" in frame else None
    for key, rows in keys[counted].groupby(["model", "server"], dropna=False, sort=False):
        yield key, rows.index.to_numpy()


def _server(model: str, served_by: Any) -> tuple[str, str | None]:
    """Return the provider's name for a model, and its address, from what records say in ``served_by``."""
    name, _, host = served_by.rpartition(" at ") if isinstance(served_by, str) else ("", "", "")
    return (name, f"https://{host}") if name and host and " " not in host else (model, None)


def _warn_unknown(models: list[str], n_priceless: int, n_uncounted: int) -> None:
    parts = []
    if n_priceless:
        parts.append(
            f"{n_priceless} rows of {shown(models, 20)}, whose price (at its host, where one is given) is not in "
            f"{price_list_info()}; pass prices={{model: (input, output)}} in USD per 1M tokens, prices={{model: 0}} if "
            "it costs nothing, or provider= if it is billed at a listed provider's prices"
        )
    if n_uncounted:
        parts.append(f"{n_uncounted} rows with no token counts")
    if parts:
        warnings.warn(f"cost_usd is left empty for {' and for '.join(parts)}.", UnknownPriceWarning, stacklevel=3)


def own_prices(prices: Prices | None) -> dict[str, OwnPrice]:
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
        columns = list(PRICE_COLUMNS)
        if CACHED_COLUMN in frame:  # where it is empty, cached input has no price of its own
            frame = frame.assign(**{CACHED_COLUMN: frame[CACHED_COLUMN].fillna(frame[columns[0]])})
            columns.append(CACHED_COLUMN)
        prices = dict(zip(frame.index, frame[columns].itertuples(index=False, name=None), strict=True))
    return {str(model): _own_price(str(model), value) for model, value in prices.items()}


def _own_price(model: str, value: Any) -> OwnPrice:
    if isinstance(value, str):
        return value
    try:
        free = isinstance(value, int | float) and not isinstance(value, bool) and value == 0
        rates = (0.0, 0.0) if free else tuple(float(v) for v in value)
    except (TypeError, ValueError, OverflowError):
        rates = ()
    if len(rates) not in (2, 3) or not np.isfinite(rates).all() or min(rates) < 0:
        reject(
            f"'prices' of {model!r}",
            f"got {value!r}, expected (input, output) or (input, output, cached input) in USD per 1M tokens, each at "
            "least 0; or 0 if it costs nothing.",
            "Example: prices={'my-model': (0.5, 1.5)}.",
        )
    return rates


def _listed(
    name: str, on: date | str | None, where: str | None, tier: str | None, *, by_user: bool
) -> ListPrice | None:
    """Look a name up at who serves it; a name that the user gave, anywhere: a proxy or a local server is in no list."""
    found = list_price(name, on, where, tier)
    if found is None and by_user and where is not None and "://" in where:
        return list_price(name, on, None, tier)
    return found


def _own_cost(rates: tuple[float, ...], counts: Mapping[str, float]) -> float:
    """USD at a user's prices; what costs nothing need not be counted."""
    cached = counts.get("cache_read_tokens", 0.0) if len(rates) > 2 else 0.0
    parts = ((counts["input_tokens"] - cached, rates[0]), (counts["output_tokens"], rates[1]), (cached, rates[-1]))
    return math.fsum(n * rate for n, rate in parts if rate) / 1e6


def _costs(
    rates: OwnPrice,
    tokens: NDArray[Any],
    cached: NDArray[Any],
    on: date | str | None,
    where: str | None,
    batch: bool,
    *,
    by_user: bool,
) -> NDArray[Any] | float:
    """USD of requests of shape (n_requests, 2), NaN if nothing is known of the model."""
    if isinstance(rates, str):
        listed = _listed(rates, on, where, "batch" if batch else None, by_user=by_user)
        return math.nan if listed is None else listed.costs(tokens, cached)
    cached = cached if len(rates) > 2 else 0.0 * cached
    return ((tokens - np.column_stack([cached, 0.0 * cached])) @ np.array(rates[:2]) + cached * rates[-1]) / 1e6
