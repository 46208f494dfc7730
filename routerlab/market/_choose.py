"""Which offers would you take: what each costs you, how good it is, and the filters that it must pass."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import date
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from routerlab.exceptions import ParameterError
from routerlab.market._names import base_model
from routerlab.market._offers import moment, offers_on
from routerlab.market._reprice import as_offers, check_tokens, token_cost
from routerlab.schema import by_prompt, check_matrix, kind_of, reject, shown
from routerlab.stats import check_confidence, mean_interval

VALUED = ("monthly_usd", "quality", "quality_low", "quality_high", "n_prompts")
Masks = dict[str, Callable[[pd.DataFrame, Any], Any]]


def _most(column: str) -> Callable[[pd.DataFrame, Any], Any]:
    return lambda table, limit: table[column] <= limit


def _least(column: str) -> Callable[[pd.DataFrame, Any], Any]:
    return lambda table, limit: table[column] >= limit


def _among(column: str) -> Callable[[pd.DataFrame, Any], Any]:
    return lambda table, wanted: table[column].isin([wanted] if isinstance(wanted, str) else list(wanted))


def _is(column: str, value: bool) -> Callable[[pd.DataFrame, Any], Any]:
    return lambda table, _: (table[column] == value).fillna(False)


def _without(table: pd.DataFrame, words: Any) -> Any:
    unwanted = {words} if isinstance(words, str) else set(words)
    return ~table["caveats"].map(lambda said: bool(unwanted & set(said.split("; "))))


def _text(table: pd.DataFrame, text: Any) -> Any:
    words = str(text).lower().split()
    named = zip(table["offer_id"], table["base_model"], strict=True)
    return np.array([all(word in f"{name} {base}".lower() for word in words) for name, base in named], dtype=bool)


# Every filter, and what passes it. A comparison with an empty cell is False: unknown never passes.
FILTERS: Masks = {
    "search": _text,
    "provider": _among("provider"),
    "base_model": _among("base_model"),
    "max_monthly_usd": _most("monthly_usd"),
    "min_quality": _least("quality"),
    "max_latency_p95_s": _most("latency_p95_s"),
    "min_throughput_tps": _least("throughput_tps"),
    "min_uptime": _least("uptime"),
    "min_context_window": _least("context_window"),
    "region": _among("region"),
    "no_training": _is("trains_on_data", False),
    "no_retention": _is("retains_prompts", False),
    "open_weights": _is("open_weights", True),
    "max_co2e_g": _most("co2e_g_high"),
    "without": _without,
}


def choose_offers(
    offers: pd.DataFrame,
    *,
    on: date | str | None = None,
    tokens: Any = None,
    requests_per_month: float = 100_000,
    quality: Any = None,
    batch: bool = False,
    sort_by: str = "monthly_usd",
    **filters: Any,
) -> pd.DataFrame:
    """Filter offers by what you demand, and sort them by your monthly bill.

    Parameters
    ----------
    offers : DataFrame
        `load_offers`, with what you know about them added, or your own; see `check_offers`.
    on : date, datetime or str, optional
        The day. Default: today.
    tokens : DataFrame or mapping, optional
        What your requests take: a table with ``input_tokens``, ``output_tokens`` (and ``cached_tokens``), or one
        typical request, ``{"input_tokens": 800, "output_tokens": 200}``. With a column ``model``, an offer is billed
        by its own model's counts where they are there, else by the mean of all. Default: 1,000 in, 300 out.
    requests_per_month : float, default 100,000
        Of which the bill is made.
    quality : DataFrame or Series, optional
        Outcomes, a frame of prompts x models, or one number for each model; matched by base model. An offer of a model
        that was not measured has no quality: none is guessed.
    batch : bool, default False
        At batch prices, where there are some.
    sort_by : str, default 'monthly_usd'
        Any column; 'quality' sorts from the best down. Empty cells come last.
    **filters
        ``search`` (words in the offer's id), ``provider``, ``base_model``, ``region`` (one or several),
        ``max_monthly_usd``, ``min_quality``, ``max_latency_p95_s``, ``min_throughput_tps``, ``min_uptime``,
        ``min_context_window``, ``max_co2e_g`` (the high end), ``no_training=True``, ``no_retention=True``,
        ``open_weights=True``, and ``without`` (caveats, such as 'zombie' or 'moving alias').

    Returns
    -------
    DataFrame
        The offers that pass, with ``monthly_usd``, ``quality``, ``quality_low``, ``quality_high``, ``n_prompts``.
        ``attrs["funnel"]`` says how many were left after each filter.

    Raises
    ------
    TableError
        An unknown filter; or no offer is left, in which case it names the filter that removed the last of them.

    Notes
    -----
    Filters are strict: what is not known about an offer does not pass.

    Examples
    --------
    >>> from routerlab.market import load_offers
    >>> typical = {"input_tokens": 800, "output_tokens": 200}
    >>> llama = load_offers(on="2026-11-29").query("base_model == 'llama-3.3-70b'")
    >>> cheap = choose_offers(llama, on="2026-11-29", tokens=typical, without="zombie")
    >>> len(cheap) > 5, bool(cheap["monthly_usd"].is_monotonic_increasing)
    (True, True)
    """
    table = value_offers(
        offers, on=on, tokens=tokens, requests_per_month=requests_per_month, quality=quality, batch=batch
    )
    kept, funnel = apply_filters(table, filters)
    if not kept.any():
        reject("offers table", said_empty(table, funnel), "Widen that filter, or fill in what is not known.")
    found = sort_offers(table[kept], sort_by)
    found.attrs["funnel"] = funnel
    return found


def sort_offers(table: pd.DataFrame, sort_by: str) -> pd.DataFrame:
    """Sort by a column: the best first, empty cells last.

    Examples
    --------
    >>> sort_offers(pd.DataFrame({"quality": [0.2, None, 0.9]}), "quality")["quality"].tolist()
    [0.9, 0.2, nan]
    """
    return table.iloc[order_of(table, sort_by)].reset_index(drop=True)


def order_of(table: pd.DataFrame, sort_by: str) -> NDArray[np.intp]:
    """Return the positions of the rows, sorted by a column: the best first, empty cells last.

    Examples
    --------
    >>> order_of(pd.DataFrame({"monthly_usd": [20.0, None, 5.0]}), "monthly_usd").tolist()
    [2, 0, 1]
    """
    if sort_by not in table:
        reject("'sort_by'", f"got {sort_by!r}.", f"Use a column: {shown(table.columns, 50)}.")
    best_down = sort_by in ("quality", "quality_low", "uptime", "throughput_tps", "context_window")
    keys = table[sort_by].reset_index(drop=True)
    order = keys.sort_values(ascending=not best_down, na_position="last", kind="stable").index
    return order.to_numpy()


def value_offers(
    offers: pd.DataFrame,
    *,
    on: date | str | None = None,
    tokens: Any = None,
    requests_per_month: float = 100_000,
    quality: Any = None,
    batch: bool = False,
    confidence: float = 0.95,
) -> pd.DataFrame:
    """Add to the offers in force on a day what each costs a month, and how good its model is.

    Examples
    --------
    >>> offer = {"provider": "p", "model": "m", "input_usd_per_1m": 1, "output_usd_per_1m": 2}
    >>> typical = {"input_tokens": 1000, "output_tokens": 500}
    >>> valued = value_offers(pd.DataFrame([offer]), tokens=typical, quality={"m": 0.9})
    >>> valued[["monthly_usd", "quality"]].iloc[0].tolist()
    [200.0, 0.9]
    """
    if not (np.isfinite(requests_per_month) and requests_per_month > 0):
        msg = f"'requests_per_month' must be a number above 0. Got {requests_per_month!r} instead."
        raise ParameterError(msg)
    check_confidence(confidence, "confidence")
    table = offers_on(as_offers(offers), on).drop(columns=list(VALUED), errors="ignore")
    if table.empty:
        reject("offers table", "has no offer in force on that day.", "Pass another day, on=.")
    table["caveats"] = _retired(table["caveats"], on)
    table["monthly_usd"] = requests_per_month * _request_usd(table, tokens, batch)
    scores = _scores(quality, confidence)
    for place, column in enumerate(VALUED[1:]):
        by_model = {name: score[place] for name, score in scores.items()}
        exact = table["offer_id"].map(by_model).fillna(table["model"].map(by_model))
        by_base = {base_model(str(name)): value for name, value in by_model.items()}
        table[column] = exact.fillna(table["base_model"].map(by_base)).astype(float)
    return table


def apply_filters(
    table: pd.DataFrame, filters: Mapping[str, Any]
) -> tuple[NDArray[np.bool_], list[tuple[str, int, int]]]:
    """Return which offers pass, and for each filter how many were left and how many it removed as not known.

    Examples
    --------
    >>> table = pd.DataFrame({"uptime": [0.999, 0.9, None]})
    >>> kept, funnel = apply_filters(table, {"min_uptime": 0.99})
    >>> kept.tolist(), funnel
    ([True, False, False], [('min_uptime=0.99', 1, 1)])
    """
    unknown = [name for name in filters if name not in FILTERS]
    if unknown:
        reject("filters", f"{shown(unknown)} is none.", f"Use some of {', '.join(FILTERS)}.")
    kept, funnel = np.ones(len(table), dtype=bool), []
    for name, passes in FILTERS.items():
        value = filters.get(name)
        if value is None or value is False or (isinstance(value, str | list | tuple) and not len(value)):
            continue
        _check_value(name, value)
        empty = _empty(name, table)
        removed = int((kept & empty).sum())
        kept &= np.asarray(passes(table, value), dtype=bool)
        funnel.append((f"{name}={value!r}", int(kept.sum()), removed))
    return kept, funnel


def said_empty(table: pd.DataFrame, funnel: Sequence[tuple[str, int, int]]) -> str:
    """Say which filter removed the last offers, and why.

    Examples
    --------
    >>> said_empty(pd.DataFrame({"uptime": [None, None]}), [("min_uptime=0.99", 0, 2)])
    'no offer is left: min_uptime=0.99 removed the last 2 of 2 (not known of 2 of them).'
    """
    before = len(table)
    for text, left, unknown in funnel:
        if left == 0:
            why = f" (not known of {unknown} of them)" if unknown else ""
            return f"no offer is left: {text} removed the last {before} of {len(table)}{why}."
        before = left
    return "no offer is left."


def _retired(caveats: pd.Series, on: date | str | None) -> pd.Series:
    """Add 'retired' where the day of a retirement that was announced has come."""
    said = caveats.str.extract(r"retires (\d{4}-\d\d-\d\d)", expand=False)
    gone = pd.to_datetime(said, utc=True) <= moment(on)
    return caveats.where(~gone, caveats + "; retired")


def _check_value(name: str, value: Any) -> None:
    number = name.startswith(("max_", "min_"))
    if number and not (isinstance(value, int | float | np.number) and np.isfinite(value) and value >= 0):
        reject(f"filter '{name}'", f"got {value!r}, expected a number of at least 0.", "Leave it out to have no limit.")
    if name in ("no_training", "no_retention", "open_weights") and value is not True:
        reject(f"filter '{name}'", f"got {value!r}, expected True, or nothing.", "It asks that this be known.")


def _empty(name: str, table: pd.DataFrame) -> NDArray[np.bool_]:
    """Tell of which offers a filter's column is not known."""
    columns = {"no_training": "trains_on_data", "no_retention": "retains_prompts", "max_co2e_g": "co2e_g_high"}
    column = columns.get(name, name.removeprefix("max_").removeprefix("min_"))
    return table[column].isna().to_numpy(bool) if column in table else np.zeros(len(table), dtype=bool)


def _request_usd(table: pd.DataFrame, tokens: Any, batch: bool) -> NDArray[np.float64]:
    """Return the mean USD of one of your requests at each offer."""
    if tokens is None:
        tokens = {"input_tokens": 1000, "output_tokens": 300}
    if isinstance(tokens, Mapping):
        tokens = pd.DataFrame([dict(tokens)])
    if not isinstance(tokens, pd.DataFrame):
        reject("'tokens'", f"got {kind_of(tokens)}.", "Pass a table, or {'input_tokens': 800, 'output_tokens': 200}.")
    by_model = "model" in tokens
    frame = check_tokens(tokens.assign(**{name: "yours" for name in ("prompt_id", "model") if name not in tokens}))
    counts = [
        name for name in ("input_tokens", "output_tokens", "cached_tokens", "cache_write_tokens") if name in frame
    ]
    usd = token_cost(frame[counts].mean().to_frame().T, table, batch=batch)[0]
    if by_model:
        own = frame.groupby(frame["model"].map(lambda name: base_model(str(name).partition("@")[0])))[counts].mean()
        for name, mean in own.iterrows():
            at = np.flatnonzero(table["base_model"] == name)
            if len(at):
                usd[at] = token_cost(mean.to_frame().T, table.iloc[at], batch=batch)[0]
    return usd


def _scores(quality: Any, confidence: float) -> dict[str, tuple[float, float, float, float]]:
    """Return mean quality, its interval and the number of prompts, of each model that was measured."""
    if quality is None:
        return {}
    if isinstance(quality, Mapping | pd.Series):
        return {str(name): (float(value), np.nan, np.nan, np.nan) for name, value in dict(quality).items()}
    if isinstance(quality, pd.DataFrame) and {"prompt_id", "model", "quality"} <= set(quality.columns):
        quality = quality.pivot(index="prompt_id", columns="model", values="quality")  # noqa: PD010
    frame = check_matrix(by_prompt(quality), "quality", 0.0, 1.0, missing=True)
    found = {}
    for name in frame.columns:
        values = frame[name].dropna().to_numpy(float)
        if len(values):
            found[str(name)] = (*mean_interval(values, bounds=(0.0, 1.0), confidence=confidence), float(len(values)))
    return found
