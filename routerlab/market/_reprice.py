"""What an offer costs you: prices times the tokens of your own prompts."""

from __future__ import annotations

from datetime import date
from difflib import get_close_matches
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from routerlab.exceptions import ParameterError
from routerlab.market._names import base_model
from routerlab.market._offers import COLUMNS, check_offers, moment, offers_on
from routerlab.schema import Odd, plain_frame, provenance_of, read_numbers, reject, shown

_COUNTS = ("input_tokens", "output_tokens")
_CACHE = ("cached_tokens", "cache_write_tokens")
COUNTS = (*_COUNTS, *_CACHE)


def reprice(
    table: Any,
    offers: pd.DataFrame,
    *,
    on: date | str | None = None,
    batch: bool = False,
    per: Literal["model", "offer"] = "model",
) -> pd.DataFrame:
    """Put the prices of offers on your own token counts, as of any day.

    Parameters
    ----------
    table : DataFrame
        Outcomes, responses, or tokens alone: ``prompt_id``, ``model``, ``input_tokens``, ``output_tokens``; optional
        ``cached_tokens`` and ``cache_write_tokens``, parts of the input that were read from, or written to, a cache.
        A model is the offer of that ``offer_id``, else all offers of its ``base_model``, at all hosts.
    offers : DataFrame
        `load_offers`, `load_price_history`, a choice of these, or your own (see `check_offers`).
    on : date, datetime or str, optional
        The day whose prices to use. Default: today.
    batch : bool, default False
        At batch prices, where an offer has one; else at its standard price.
    per : {'model', 'offer'}, default 'model'
        'model' keeps the rows, and prices each model at its offer with the smallest bill for these rows. 'offer' gives
        each offer rows of its own, with the offer's id as ``model``: one option, one column, for routers and
        evaluation alike. The quality is that of the model, which says nothing of a quantised offer's.

    Returns
    -------
    DataFrame
        A copy with ``cost_usd``, and ``offer_id``. ``attrs`` say where the costs come from (``costs``), the day
        (``priced_on``), and when the first of the prices used ends (``prices_end``), if that is known.

    Raises
    ------
    TableError
        A model without an offer on that day, or rows without token counts: nothing is guessed.

    Notes
    -----
    Input read from a cache is billed at ``cache_read_usd_per_1m`` where the offer has it, at the full input price
    where not; likewise input written to it. Rates for long prompts, which some offers have, are not in the table, and
    ``load_offers`` marks those 'dearer when long'.

    Examples
    --------
    >>> from routerlab.market import load_price_history
    >>> tokens = pd.DataFrame([{"prompt_id": "p1", "model": "gpt-4o", "input_tokens": 1e6, "output_tokens": 1e6}])
    >>> openai = load_price_history().query("provider == 'openai'")
    >>> [reprice(tokens, openai, on=day)["cost_usd"].item() for day in ("2024-06-01", "2024-12-01")]
    [20.0, 12.5]
    """
    if per not in ("model", "offer"):
        msg = f"The 'per' parameter of reprice must be 'model' or 'offer'. Got {per!r} instead."
        raise ParameterError(msg)
    frame = check_tokens(table)
    every = as_offers(offers)
    in_force = offers_on(every, on)
    parts, unknown = [], []
    for model, rows in frame.groupby("model", sort=False):
        found = offers_of(str(model), in_force)
        if found.empty:
            unknown.append(str(model))
            continue
        bills = token_cost(rows, found, batch=batch)
        if per == "model":
            best = int(np.argmin(bills.sum(axis=0)))
            parts.append(rows.assign(cost_usd=bills[:, best], offer_id=found["offer_id"].iloc[best]))
        else:
            parts += [
                rows.assign(cost_usd=bills[:, k], offer_id=name, model=name) for k, name in enumerate(found["offer_id"])
            ]
    if unknown:
        _reject_unknown(unknown, every, in_force, on)
    priced = pd.concat(parts)
    priced = priced.sort_index(kind="stable") if per == "model" else priced
    used = in_force[in_force["offer_id"].isin(priced["offer_id"])]
    priced.attrs = {**frame.attrs, **_provenance(used, on, batch)}
    note = provenance_of(frame)
    priced.attrs["provenance"] = "; ".join(filter(None, [note, priced.attrs["costs"]]))
    return priced


def as_offers(offers: Any) -> pd.DataFrame:
    """Return offers as `check_offers` leaves them, and check those that it has not seen.

    Examples
    --------
    >>> offer = {"provider": "p", "model": "m", "input_usd_per_1m": 1, "output_usd_per_1m": 2}
    >>> as_offers(pd.DataFrame([offer]))["offer_id"].tolist()
    ['m@p']
    """
    seen = isinstance(offers, pd.DataFrame) and set(COLUMNS) <= set(offers.columns)
    if seen and isinstance(offers["valid_from"].dtype, pd.DatetimeTZDtype):
        return offers
    return check_offers(offers)


def check_tokens(table: Any) -> pd.DataFrame:
    """Check a table of token counts: no empty cell, no negative one, no more cached than there is.

    Examples
    --------
    >>> row = {"prompt_id": "p", "model": "m", "input_tokens": 9, "output_tokens": 3}
    >>> check_tokens(pd.DataFrame([row]))["input_tokens"].tolist()
    [9.0]
    """
    frame = plain_frame(table, "tokens table").reset_index(drop=True)
    missing = [name for name in ("prompt_id", "model", *_COUNTS) if name not in frame]
    if missing:
        remedy = "Rename or add; routerlab.pricing.estimate_tokens gives a rough count from texts."
        reject("tokens table", f"column {shown(missing)} is missing; it has {shown(frame.columns, 12)}.", remedy)
    for column in COUNTS:
        if column not in frame:
            continue
        read = read_numbers(frame[column])
        if isinstance(read, Odd):
            reject(f"tokens table, column '{column}'", f"{read.wrong} in row {shown(read.rows)}.", read.remedy)
        values = np.asarray(read, dtype=float)
        if column in _CACHE:
            values = np.where(np.isnan(values), 0.0, values)
        bad = ~(np.isfinite(values) & (values >= 0))
        if bad.any():
            rows = ", ".join(f"row {k} ({frame.loc[k, 'model']})" for k in np.flatnonzero(bad)[:5])
            more = f" and {bad.sum() - 5} more" if bad.sum() > 5 else ""
            wrong = f"holds no count in {rows}{more} (got {shown(np.unique(values[bad]))})."
            remedy = "Count them, estimate them with routerlab.pricing.estimate_tokens, or drop those rows."
            reject(f"tokens table, column '{column}'", wrong, remedy)
        frame[column] = values
    over = sum((frame[name] for name in _CACHE if name in frame), start=pd.Series(0.0, index=frame.index))
    bad = over > frame["input_tokens"]
    if bad.any():
        wrong = f"counts more than 'input_tokens' in row {shown(frame.index[bad])}."
        reject("tokens table, column 'cached_tokens'", wrong, "Input tokens are all of them, cached ones included.")
    return frame


def offers_of(model: str, offers: pd.DataFrame) -> pd.DataFrame:
    """Return the offers of a model: the one of that id, else those of that base model, at all hosts.

    Examples
    --------
    >>> from routerlab.market import load_offers
    >>> found = offers_of("meta/llama-3.3-70b-instruct", load_offers(on="2026-11-29"))
    >>> len(found) > 10, found["base_model"].unique().tolist()
    (True, ['llama-3.3-70b'])
    """
    one = offers[offers["offer_id"] == model]
    if len(one):
        return one
    return offers[(offers["base_model"] == base_model(model)) | (offers["model"] == model)]


def token_cost(tokens: pd.DataFrame, offers: pd.DataFrame, *, batch: bool = False) -> NDArray[np.float64]:
    """Return the USD of requests at offers, of shape (n_requests, n_offers).

    Examples
    --------
    >>> tokens = pd.DataFrame({"input_tokens": [1e6], "output_tokens": [0.0], "cached_tokens": [4e5]})
    >>> offer = {"provider": "p", "model": "m", "input_usd_per_1m": 1, "output_usd_per_1m": 2}
    >>> offers = check_offers(pd.DataFrame([offer, offer | {"model": "n", "cache_read_usd_per_1m": 0.1}]))
    >>> token_cost(tokens, offers).round(6).tolist()
    [[1.0, 0.64]]
    """
    rates = {kind: offers[f"{kind}_usd_per_1m"].to_numpy(float) for kind in ("input", "output")}
    if batch:
        for kind, rate in rates.items():
            discounted = offers[f"batch_{kind}_usd_per_1m"].to_numpy(float)
            rates[kind] = np.where(np.isnan(discounted), rate, discounted)
    cost = np.outer(tokens["input_tokens"], rates["input"]) + np.outer(tokens["output_tokens"], rates["output"])
    for column, kind in zip(_CACHE, ("cache_read", "cache_write"), strict=True):
        if column in tokens and tokens[column].any():
            rate = offers[f"{kind}_usd_per_1m"].to_numpy(float)
            # A batch's input can't cost more for having been in the cache.
            rate = np.fmin(rate, rates["input"]) if kind == "cache_read" else rate
            extra = np.where(np.isnan(rate), 0.0, rate - rates["input"])
            cost = cost + np.outer(tokens[column], extra)
    return cost / 1e6


def stale_costs(router: Any, offers: pd.DataFrame, *, on: date | str | None = None) -> pd.DataFrame:
    """Return the prices of a router's models that changed after the day of its costs.

    Parameters
    ----------
    router : fitted router
        With the day of its prices: from ``router.with_costs(reprice(...))``.
    offers : DataFrame
        The newest price list: `load_offers`, `load_price_history`, or yours.
    on : date, datetime or str, optional
        Changes until this moment. Default: now.

    Returns
    -------
    DataFrame
        ``model, offer_id, valid_from, input_usd_per_1m, output_usd_per_1m`` of the new prices; empty if the costs are
        as fresh as the list.

    Raises
    ------
    TableError
        The router does not know the day of its costs.

    Examples
    --------
    >>> import routerlab as rl
    >>> from routerlab.market import load_price_history
    >>> row = {"prompt_id": "p1", "model": "gpt-4o", "quality": 1.0, "input_tokens": 900, "output_tokens": 90}
    >>> history = load_price_history().query("offer_id == 'gpt-4o@openai'")
    >>> quality, cost = rl.pivot_outcomes(reprice(pd.DataFrame([row]), history, on="2024-06-01"))
    >>> router = rl.KNNRouter(1).fit(np.ones((1, 2)), quality, cost=cost).with_costs(cost)
    >>> stale_costs(router, history, on="2024-12-01")["input_usd_per_1m"].tolist()
    [2.5]
    """
    day = getattr(router, "priced_on_", None)
    if day is None:
        reject("'router'", "does not know the day of its costs.", "Give it some: router.with_costs(reprice(...)).")
    table = as_offers(offers)
    new = table[(table["valid_from"] > moment(day)) & (table["valid_from"] <= moment(on))]
    parts = [offers_of(str(model), new).assign(model=model) for model in router.models_]
    columns = ["model", "offer_id", "valid_from", "input_usd_per_1m", "output_usd_per_1m"]
    return pd.concat(parts)[columns].sort_values("valid_from").reset_index(drop=True)


def _provenance(used: pd.DataFrame, on: date | str | None, batch: bool) -> dict[str, Any]:
    sources = sorted({str(source).partition(";")[0] for source in used["source"].dropna()})
    listed = ", ".join(sources[:3]) + (f" and {len(sources) - 3} more" if len(sources) > 3 else "")
    day = moment(on).date().isoformat()
    kind = "batch prices" if batch else "list prices"
    ends = used["valid_to"].dropna()
    return {
        "costs": f"costs: {kind} of {day}" + (f" ({listed})" if listed else ""),
        "priced_on": day,
        "prices_end": None if ends.empty else ends.min().date().isoformat(),
    }


def _reject_unknown(unknown: list[str], every: pd.DataFrame, in_force: pd.DataFrame, on: date | str | None) -> None:
    """Say which models nobody sells on that day, and what comes nearest: another day, or another name."""
    said = []
    for model in unknown[:5]:
        other = offers_of(model, every)
        if len(other):
            start, end = other["valid_from"].min(), other["valid_to"].max()
            first = "an unknown day" if other["valid_from"].isna().any() else start.date()
            last = "on" if other["valid_to"].isna().any() else f"to {end.date()}"
            said.append(f"{model!r} has offers from {first} {last}")
        else:
            near = get_close_matches(base_model(model), in_force["base_model"].unique(), 2, 0.6)
            said.append(f"{model!r} has none at all" + (f" (near: {shown(near)})" if near else ""))
    more = f" and {len(unknown) - 5} more" if len(unknown) > 5 else ""
    reject(
        "offers table",
        f"no offer on {moment(on).date()} for {shown(unknown, 5)}{more}: {'; '.join(said)}.",
        "Add a row with its price (check_offers), write the offer's name into column 'model', or leave the model out.",
    )
