"""The offers table: who sells which model, at what price, from when to when, on what terms."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, date, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from routerlab.market._names import base_model, is_moving_alias, quantization
from routerlab.pricing import price_list_info
from routerlab.schema import Odd, plain_frame, read_numbers, reject, shown

PRICES = (
    "input_usd_per_1m",
    "output_usd_per_1m",
    "cache_read_usd_per_1m",
    "cache_write_usd_per_1m",
    "batch_input_usd_per_1m",
    "batch_output_usd_per_1m",
)
_NUMBERS = (
    *PRICES,
    "context_window",
    "max_output",
    "latency_p50_s",
    "latency_p95_s",
    "throughput_tps",
    "uptime",
    "params",
    "co2e_g_low",
    "co2e_g_high",
)
_DATES = ("valid_from", "valid_to", "observed_at")
_YES_NO = ("open_weights", "trains_on_data", "retains_prompts")
COLUMNS = (
    *("offer_id", "provider", "model", "base_model", "valid_from", "valid_to"),
    *PRICES,
    *("context_window", "max_output", "quantization", "latency_p50_s", "latency_p95_s", "throughput_tps", "uptime"),
    *("open_weights", "license", "params", "region", "trains_on_data", "retains_prompts", "co2e_g_low", "co2e_g_high"),
    *("source", "observed_at", "caveats"),
)
RETIREMENTS = Path(__file__).parent / "data" / "retirements.csv"
_LEAST_USD, _MOST_USD = 5e-4, 1e4  # per 1M tokens: what lies outside was meant per token, or per 1e12
_ZOMBIE = 3.0  # times the median of at least three other offers of the same model


def check_offers(offers: Any) -> pd.DataFrame:
    """Check a table of offers, yours or the list's, and fill in what can be said about every row.

    Parameters
    ----------
    offers : DataFrame
        One row for each offer and validity. Required: ``provider``, ``model``, ``input_usd_per_1m`` and
        ``output_usd_per_1m`` (USD per 1M tokens; 0 for a free tier). Optional, empty where not known:
        ``cache_read_usd_per_1m``, ``cache_write_usd_per_1m``, ``batch_input_usd_per_1m``,
        ``batch_output_usd_per_1m``; ``valid_from`` (that moment included) and ``valid_to`` (excluded), UTC;
        ``context_window``, ``max_output``, ``quantization``, ``latency_p50_s``, ``latency_p95_s``,
        ``throughput_tps``, ``uptime`` (0 to 1), ``open_weights``, ``license``, ``params``, ``region``,
        ``trains_on_data``, ``retains_prompts``, ``co2e_g_low``, ``co2e_g_high`` (grams per request), ``source``,
        ``observed_at``. Other columns pass through. ``offer_id`` is ``model@provider`` unless given, ``base_model``
        is read from the name.

    Returns
    -------
    DataFrame
        A copy with all columns; ``caveats`` holds words, joined by '; ': 'free', 'moving alias', 'quantised', 'zombie'
        (see Notes), and what was there before.

    Raises
    ------
    TableError
        Names the rows, and what to do: a missing price, a negative one, one that was given per token, another currency,
        validities of one offer that overlap, dates in several time zones.

    Notes
    -----
    'zombie' marks an offer that costs at least three times the median of three or more other offers of the same model
    that are in force together with it: such prices are rarely asked any more, and the list was not told. Nothing is
    hidden: filter by ``caveats`` if you want to.

    Examples
    --------
    >>> ours = {"provider": "acme", "model": "Llama-3.3-70B-Instruct", "input_usd_per_1m": 0, "output_usd_per_1m": 0}
    >>> table = check_offers(pd.DataFrame([ours]))
    >>> table.loc[0, ["offer_id", "base_model", "caveats"]].tolist()
    ['Llama-3.3-70B-Instruct@acme', 'llama-3.3-70b', 'free']
    """
    frame = plain_frame(offers, "offers table").reset_index(drop=True)
    frame = frame.rename(columns={c: c.replace("_per_mtok", "_per_1m") for c in frame.columns if isinstance(c, str)})
    _check_currency(frame)
    required = ["provider", "model", "input_usd_per_1m", "output_usd_per_1m"]
    missing = [column for column in required if column not in frame]
    if missing:
        per_token = [c for c in frame.columns if "per_token" in str(c)]
        remedy = f"Multiply {shown(per_token)} by 1e6 and rename." if per_token else "Rename or add; 0 is a free tier."
        reject("offers table", f"column {shown(missing)} is missing; it has {shown(frame.columns, 12)}.", remedy)
    for column in ("provider", "model"):
        bad = ~frame[column].map(lambda cell: isinstance(cell, str) and bool(cell.strip())).astype(bool)
        _refuse(frame, bad, column, "is empty or not text", "Name it, or drop the row: nobody can be asked.")
    frame = frame.reindex(columns=[*COLUMNS, *(c for c in frame.columns if c not in COLUMNS)])
    given = frame["offer_id"].notna()
    frame["offer_id"] = frame["offer_id"].where(given, frame["model"] + "@" + frame["provider"]).astype(str)
    for column in _NUMBERS:
        _check_number(frame, column)
    _check_prices(frame)
    for column in _YES_NO:
        _check_yes_no(frame, column)
    for column in _DATES:
        frame[column] = _dates(frame, column)
    _check_validity(frame)
    for column in ("license", "region", "source", "caveats", "quantization", "base_model"):
        frame[column] = frame[column].astype(object).where(frame[column].notna(), None)
    names = {name: (base_model(name), quantization(name)) for name in frame["model"].unique()}
    for place, column in enumerate(("base_model", "quantization")):
        read = frame["model"].map({name: found[place] for name, found in names.items()})
        frame[column] = frame[column].where(frame[column].notna(), read.astype(object))
    frame["caveats"] = _caveats(frame)
    frame.attrs = dict(getattr(offers, "attrs", {}))
    return frame


def load_offers(on: date | str | None = None) -> pd.DataFrame:
    """Load the offers of the price list that is installed: prices of the past and the future, where it dates them.

    Parameters
    ----------
    on : date, datetime or str, optional
        Only offers in force at that moment (noon UTC of a day). Default: every validity, a row each.

    Returns
    -------
    DataFrame
        As `check_offers` returns it; see there for the columns. The list knows prices and context windows; latency,
        uptime, region, data terms and carbon stay empty until you add them, by ``offers.merge(yours, ...)``.

    Notes
    -----
    Prices of 1M tokens at the standard rate, at noon UTC; ``caveats`` tells where the list says more: 'dearer when
    long' (a higher rate for long prompts), 'by time of day', 'deprecated'; and what `load_retirements` says, as
    'retires 2026-10-23'. The list gives batch prices from the day on which they were verified. Offers that are not sold
    by the token (images, minutes, embeddings) are left out.

    References
    ----------
    https://github.com/pydantic/genai-prices

    Examples
    --------
    >>> offers = load_offers(on="2026-10-25")
    >>> offers.loc[offers["offer_id"] == "mistral-large-4@mistral", "input_usd_per_1m"].item()
    1.36
    """
    from genai_prices.data_snapshot import get_snapshot

    table = _load(id(get_snapshot())).copy()
    table.attrs["price_list"] = str(price_list_info())
    return table if on is None else offers_on(table, on)


def offers_on(offers: pd.DataFrame, on: date | str | None = None) -> pd.DataFrame:
    """Keep the offers in force at a moment, one row each.

    Parameters
    ----------
    offers : DataFrame
        As `check_offers` returns it.
    on : date, datetime or str, optional
        A moment, or noon UTC of a day. Default: now.

    Returns
    -------
    DataFrame
        Its rows with ``valid_from <= on < valid_to``; an empty end is open.

    Examples
    --------
    >>> offers = load_offers()
    >>> row = offers["offer_id"] == "gemini-4-argon@google"
    >>> [offers_on(offers[row], day)["output_usd_per_1m"].item() for day in ("2026-11-30", "2026-12-01")]
    [10.0, 20.0]
    """
    when = moment(on)
    in_force = ~(offers["valid_from"] > when) & ~(offers["valid_to"] <= when)
    return offers[in_force].reset_index(drop=True)


def moment(on: date | str | None) -> pd.Timestamp:
    """Return a moment in UTC: now, a given one, or noon of a day.

    Examples
    --------
    >>> moment("2026-10-20")
    Timestamp('2026-10-20 12:00:00+0000', tz='UTC')
    """
    if on is None:
        return pd.Timestamp.now(tz="UTC")
    try:
        when = pd.Timestamp(on)
    except (TypeError, ValueError):
        reject("'on'", f"got {on!r}, expected a date.", "Example: on='2026-10-20'.")
    if pd.isna(when):
        reject("'on'", f"got {on!r}, expected a date.", "Example: on='2026-10-20'.")
    day = isinstance(on, str) and len(on.strip()) <= len("2024-03-01")
    if day or (isinstance(on, date) and not isinstance(on, datetime)):
        when += pd.Timedelta(hours=12)
    return when.tz_localize("UTC") if when.tzinfo is None else when.tz_convert("UTC")


@lru_cache(maxsize=2)
def _load(_: int) -> pd.DataFrame:
    from genai_prices.data_snapshot import get_snapshot

    info = price_list_info()
    rows = []
    for provider in get_snapshot().providers:
        for model in provider.models:
            for row in _validities(model):
                known = {"provider": provider.id, "model": model.id, "context_window": model.context_window}
                rows.append({**known, **row, "source": f"{info.package} {info.version}", "observed_at": info.checked})
    table = pd.DataFrame(rows)
    gone = pd.read_csv(RETIREMENTS).set_index(["provider", "model"])["retired_on"]
    ends = pd.Series(gone.reindex(pd.MultiIndex.from_frame(table[["provider", "model"]])).to_numpy(), table.index)
    said = table["caveats"].fillna("").where(ends.isna(), table["caveats"].fillna("") + "; retires " + ends.astype(str))
    return check_offers(table.assign(caveats=said.str.removeprefix("; ")))


def _validities(model: Any) -> Iterator[dict[str, Any]]:
    """Yield a model's prices, one dictionary for each stretch of time in which they are the same."""
    conditional = [] if not isinstance(model.prices, list) else model.prices
    dated = [*conditional, *(v for v in model.price_variants or () if v.when == {"processing": "batch"})]
    starts = sorted({start for price in dated if (start := getattr(price.constraint, "start_date", None))})
    words = ["by time of day"] if any(hasattr(p.constraint, "start_time") for p in conditional) else []
    words += ["deprecated"] if model.deprecated else []
    previous: dict[str, Any] | None = None
    for begin in [None, *starts]:
        when = datetime.combine(begin or date(2000, 1, 1), datetime.min.time(), tzinfo=UTC).replace(hour=12)
        prices = _rates(model, when, words)
        if prices is None:
            continue
        if previous is not None and {k: previous[k] for k in prices} == prices:
            continue
        if previous is not None:
            yield {**previous, "valid_to": begin}
        previous = {**prices, "valid_from": begin}
    if previous is not None:
        yield previous


def _rates(model: Any, when: datetime, words: list[str]) -> dict[str, Any] | None:
    """Return a model's rates at a moment, in USD per 1M tokens; None if it is not sold by the token."""
    standard = model.get_prices(when)
    if getattr(standard, "input_mtok", None) is None or getattr(standard, "output_mtok", None) is None:
        return None
    tiered = any(hasattr(getattr(standard, f"{kind}_mtok"), "tiers") for kind in ("input", "output"))
    rates: dict[str, Any] = {
        f"{kind}_usd_per_1m": _base(getattr(standard, f"{kind}_mtok", None))
        for kind in ("input", "output", "cache_read", "cache_write")
    }
    batch = [v for v in model.price_variants or () if v.when == {"processing": "batch"}]
    if any(v.constraint is None or v.constraint.active(when) for v in batch):
        found = model.get_prices(when, {"processing": "batch"})
        rates |= {f"batch_{kind}_usd_per_1m": _base(getattr(found, f"{kind}_mtok")) for kind in ("input", "output")}
    else:
        rates |= {"batch_input_usd_per_1m": None, "batch_output_usd_per_1m": None}
    return rates | {"caveats": "; ".join([*words, *(["dearer when long"] if tiered else [])]) or None}


def _base(rate: Any) -> float | None:
    """Return a rate as a number; of a tiered one, the rate of the shortest prompts."""
    return None if rate is None else float(getattr(rate, "base", rate))


def _rows(frame: pd.DataFrame, bad: pd.Series) -> str:
    """Name offending rows by offer and number."""
    label = frame["offer_id"] if "offer_id" in frame and frame["offer_id"].notna().any() else frame["model"]
    named = [f"row {row} ({name})" for row, name in label[bad].items()]
    return ", ".join(named[:5]) + (f" and {len(named) - 5} more" if len(named) > 5 else "")


def _refuse(frame: pd.DataFrame, bad: pd.Series, column: str, wrong: str, remedy: str) -> None:
    if bad.any():
        got = shown(frame.loc[bad, column])
        reject(f"offers table, column '{column}'", f"{wrong} in {_rows(frame, bad)} (got {got}).", remedy)


def _check_currency(frame: pd.DataFrame) -> None:
    foreign = [c for c in frame.columns if re.search(r"_(eur|gbp|cny|rmb|jpy|inr|chf|cad|aud)(_|$)", str(c).lower())]
    if foreign:
        wrong = f"column {shown(foreign)} is in another currency: prices are compared in USD."
        reject("offers table", wrong, "Convert at the rate of a day that you note in 'source'.")
    if "currency" in frame:
        bad = frame["currency"].notna() & (frame["currency"].astype(str).str.upper() != "USD")
        remedy = "Convert to USD at the rate of a day that you note in 'source', and drop the column."
        _refuse(frame, bad, "currency", "is not USD", remedy)


def _check_number(frame: pd.DataFrame, column: str) -> None:
    read = read_numbers(frame[column])
    if isinstance(read, Odd):
        bad = pd.Series(np.isin(np.arange(len(frame)), read.rows), index=frame.index)
        text = "".join(map(str, frame.loc[bad, column]))
        foreign = re.search(r"[€£¥₹]|EUR|GBP|CNY|RMB|JPY", text)
        remedy = "Convert to USD first." if foreign else read.remedy
        _refuse(frame, bad, column, f"{read.wrong}: expected a number or empty", remedy)
        return
    frame[column] = np.asarray(read, dtype=float)
    most = 1.0 if column == "uptime" else np.inf
    values = frame[column]
    bad = values.notna() & ~(np.isfinite(values) & (values >= 0) & (values <= most))
    wanted = "a share between 0 and 1" if column == "uptime" else "a finite number of at least 0"
    remedy = "Divide percentages by 100." if column == "uptime" else "Correct it, or empty it if it is not known."
    if column in PRICES:
        remedy = "Correct it; 0 marks a free tier, and a credit or rebate is not a price."
    _refuse(frame, bad, column, f"is not {wanted}", remedy)


def _check_prices(frame: pd.DataFrame) -> None:
    for column in PRICES[:2]:
        _refuse(frame, frame[column].isna(), column, "is empty", "Fill it in; 0 if it is free. Drop the row otherwise.")
    for column in PRICES:
        small = (frame[column] > 0) & (frame[column] < _LEAST_USD)
        remedy = "It looks like USD per token: multiply by 1e6."
        _refuse(frame, small, column, f"is implausibly small, below {_LEAST_USD:g} USD per 1M tokens,", remedy)
        remedy = "It looks 10^6 times too large: give USD per 1M tokens."
        _refuse(frame, frame[column] > _MOST_USD, column, "is implausibly large", remedy)
    for low, high in (("co2e_g_low", "co2e_g_high"), ("latency_p50_s", "latency_p95_s")):
        _refuse(frame, frame[low] > frame[high], low, f"is above '{high}'", "Exchange the two.")


def _check_yes_no(frame: pd.DataFrame, column: str) -> None:
    known = frame[column].notna()
    bad = known & ~frame[column].map(lambda cell: isinstance(cell, bool | np.bool_) or (cell in (0, 1))).astype(bool)
    _refuse(frame, bad, column, "is neither True nor False", "Use True, False, or leave it empty: not known.")
    frame[column] = frame[column].map(lambda cell: pd.NA if pd.isna(cell) else bool(cell)).astype("boolean")


def _dates(frame: pd.DataFrame, column: str) -> pd.Series:
    """Read dates as UTC; those without a zone are UTC, and several zones in one column are refused."""
    cells = frame[column]
    if isinstance(cells.dtype, pd.DatetimeTZDtype) or cells.isna().all():
        return pd.to_datetime(cells, utc=True).astype("datetime64[ns, UTC]")
    read: list[Any] = []
    zones: dict[Any, Any] = {}
    for row, cell in cells.items():
        try:
            when = pd.NaT if pd.isna(cell) else pd.Timestamp(cell)
        except (TypeError, ValueError):
            bad = pd.Series(cells.index == row, index=frame.index)
            _refuse(frame, bad, column, "is not a date", "Write it as 2026-10-20, or leave it empty.")
        if pd.notna(when):
            zones.setdefault(None if when.tzinfo is None else when.utcoffset(), row)
        read.append(when if pd.isna(when) or when.tzinfo is None else when.tz_convert("UTC").tz_localize(None))
    if len(zones) > 1:
        first = sorted(zones.values())
        bad = pd.Series(frame.index.isin(first), index=frame.index)
        remedy = "Convert all to UTC: pd.to_datetime(column, utc=True), once it is certain which zone each one means."
        _refuse(frame, bad, column, "holds dates of several time zones, first", remedy)
    return pd.Series(pd.to_datetime(read), index=frame.index).dt.tz_localize("UTC").astype("datetime64[ns, UTC]")


def _check_validity(frame: pd.DataFrame) -> None:
    bad = frame["valid_from"] >= frame["valid_to"]
    remedy = "Exchange the two; 'valid_to' is the first moment at which the offer no longer holds."
    _refuse(frame, bad, "valid_to", "is not after 'valid_from'", remedy)
    by_time = frame.sort_values(["offer_id", "valid_from"], na_position="first", kind="stable")
    again = by_time["offer_id"] == by_time["offer_id"].shift()
    ended = by_time["valid_to"].shift()
    overlap = again & (ended.isna() | by_time["valid_from"].isna() | (by_time["valid_from"] < ended))
    if overlap.any():
        at = by_time.index[np.flatnonzero(overlap)[0] - 1], by_time.index[np.flatnonzero(overlap)[0]]
        wrong = f"rows {at[0]} and {at[1]} of offer {frame.loc[at[0], 'offer_id']!r} overlap in time."
        remedy = "End the first where the second begins (valid_to), or give them different offer_id."
        reject("offers table, columns 'valid_from' and 'valid_to'", wrong, remedy)


def _caveats(frame: pd.DataFrame) -> pd.Series:
    """Join what is worth knowing about each offer to the words that it came with."""
    aliases = {name: is_moving_alias(name) for name in frame["model"].unique()}
    free = (frame["input_usd_per_1m"] == 0) & (frame["output_usd_per_1m"] == 0)
    said = {
        "free": free,
        "moving alias": frame["model"].map(aliases).astype(bool),
        "quantised": frame["quantization"].notna() & ~frame["quantization"].isin(["fp16", "bf16"]),
        "zombie": _zombies(frame, free),
    }
    masks = np.column_stack([mask.to_numpy(bool) for mask in said.values()])
    old = frame["caveats"].fillna("").astype(str).str.split("; ")
    joined = []
    for words, marked in zip(old, masks.tolist(), strict=True):
        kept = [word for word in words if word and word not in said]
        joined.append("; ".join(kept + [word for word, yes in zip(said, marked, strict=True) if yes]))
    return pd.Series(joined, index=frame.index, dtype=object)


def _zombies(frame: pd.DataFrame, free: pd.Series) -> pd.Series:
    """Mark offers still in force that ask a multiple of what others ask for the same model."""
    last = frame[frame["valid_to"].isna() & ~free]
    price = (3 * last["input_usd_per_1m"] + last["output_usd_per_1m"]) / 4
    zombie = pd.Series(False, index=frame.index)
    for _, group in price.groupby(last["base_model"]):
        if len(group) >= 4:
            values = group.to_numpy()
            others = np.array([np.median(np.delete(values, k)) for k in range(len(values))])
            zombie.loc[group.index] = values >= _ZOMBIE * others
    return zombie
