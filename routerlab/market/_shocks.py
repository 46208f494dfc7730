"""What happens to a market, as one table: prices that move, outages, retirements, arrivals, degraded service."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from routerlab.schema import provenance_of, reject, shown

KINDS = ("price", "outage", "retirement", "new", "degraded")
COLUMNS = ("time", "end", "kind", "provider", "model", "field", "old", "new", "source")
FIELDS = ("input_usd_per_1m", "output_usd_per_1m")
IMPLAUSIBLE = 1e4  # a price that changes by more was written in another unit


def utc(values: Any, where: str) -> pd.Series:
    """Read dates as UTC; those without a time zone are UTC, unless others in the column have one.

    Examples
    --------
    >>> utc(["2024-05-01", None], "shocks table, column 'time'").tolist()
    [Timestamp('2024-05-01 00:00:00+0000', tz='UTC'), NaT]
    """
    column = pd.Series(values).reset_index(drop=True)
    if column.dtype.kind == "M":
        return column.dt.tz_localize("UTC") if column.dt.tz is None else column.dt.tz_convert("UTC")
    try:
        stamps = [pd.NaT if value is None or value is pd.NA or value != value else _stamp(value) for value in column]
    except (TypeError, ValueError, OverflowError) as error:
        reject(where, f"holds what cannot be read as a date ({error}).", "Write 2024-05-01 or 2024-05-01T12:00Z.")
    known = [stamp for stamp in stamps if stamp is not pd.NaT]
    bare = [stamp for stamp in known if stamp.tzinfo is None]
    if bare and len(bare) < len(known):
        wrong = f"has dates with a time zone and dates without, e.g. {shown([str(bare[0])], 1)}."
        reject(where, wrong, "Say the zone of all, e.g. 2024-05-01T12:00+00:00, or of none (then they are UTC).")
    stamps = [s if s is pd.NaT else s.tz_localize("UTC") if s.tzinfo is None else s.tz_convert("UTC") for s in stamps]
    return pd.Series(pd.DatetimeIndex(stamps, dtype="datetime64[us, UTC]"))


def _stamp(value: Any) -> pd.Timestamp:
    if isinstance(value, (int, float, np.number)):
        msg = f"got the number {value}"
        raise TypeError(msg)
    return pd.Timestamp(value)


def check_shocks(*tables: pd.DataFrame) -> pd.DataFrame:
    """Check tables of shocks, and join them into one, sorted by time.

    Parameters
    ----------
    *tables : DataFrame
        Columns: ``time``; ``kind``, one of 'price', 'outage', 'retirement', 'new', 'degraded'; ``provider``; and where
        they apply ``model`` (empty: all of the provider's), ``end`` (of an outage or degraded service; empty: still
        open), ``field`` (of a price: 'input_usd_per_1m' or 'output_usd_per_1m'; empty: all prices), ``old``,
        ``new`` and ``source``. Further columns are kept. For a price, ``old`` and ``new`` are USD per million tokens;
        for degraded service ``new`` is the share of requests that fail; for a retirement the successor, if any.

    Returns
    -------
    DataFrame
        All columns, times in UTC.

    Raises
    ------
    TableError
        An unknown kind, dates with and without a time zone, an outage that ends before it starts, a price that is
        negative or changes by more than a factor of 10,000, a share that is not in [0, 1], a retirement of no model.

    Examples
    --------
    >>> shocks = check_shocks(pd.DataFrame([{"time": "2024-06-04T07:00Z", "end": "2024-06-04T12:00Z",
    ...                                      "kind": "outage", "provider": "openai"}]))
    >>> shocks[["time", "kind", "provider"]].to_dict("records")
    [{'time': Timestamp('2024-06-04 07:00:00+0000', tz='UTC'), 'kind': 'outage', 'provider': 'openai'}]
    """
    parts = [_checked(table) for table in tables]
    filled = [part for part in parts if len(part)] or parts[:1] or [_checked(pd.DataFrame(columns=list(COLUMNS)))]
    table = filled[0] if len(filled) == 1 else pd.concat([part.astype({"end": part["time"].dtype}) for part in filled])
    table = table.sort_values("time", kind="stable", ignore_index=True)
    table.attrs = {}
    if note := provenance_of(*tables):
        table.attrs["provenance"] = note
    return table


def _checked(table: Any) -> pd.DataFrame:
    where = "shocks table"
    if not isinstance(table, pd.DataFrame):
        reject(where, f"expected a DataFrame, got {type(table).__name__}.", f"Its columns: {', '.join(COLUMNS)}.")
    frame = table.reset_index(drop=True)
    absent = [name for name in ("time", "kind", "provider") if name not in frame]
    if absent:
        reject(where, f"lacks column {shown(absent)}.", f"Its columns: {', '.join(COLUMNS)}.")
    for name in COLUMNS:
        if name not in frame:
            frame[name] = None
    frame = frame[[*COLUMNS, *(c for c in frame if c not in COLUMNS)]]
    for name in ("time", "end"):
        frame[name] = utc(frame[name], f"{where}, column '{name}'")

    def refuse(bad: Any, column: str, wrong: str, remedy: str) -> None:
        bad = np.asarray(bad, dtype=bool)
        if bad.any():
            reject(f"{where}, column '{column}'", f"{wrong} in row {shown(table.index[bad])}.", remedy)

    kind = frame["kind"]
    refuse(~kind.isin(KINDS), "kind", f"got {shown(kind[~kind.isin(KINDS)].unique())}", f"Use {', '.join(KINDS)}.")
    refuse(frame["time"].isna(), "time", "is empty", "Say when it happened.")
    refuse(frame["provider"].isna(), "provider", "is empty", "Name the provider that it happened at.")
    refuse(frame["end"] < frame["time"], "end", "lies before 'time'", "Swap them, or correct the time zone.")
    named = kind.isin(["retirement", "new"])
    refuse(named & frame["model"].isna(), "model", "is empty", "Name the model that was retired or is new.")
    price = kind == "price"
    refuse(price & ~frame["field"].isin(FIELDS) & frame["field"].notna(), "field", "is unknown", f"Use {FIELDS}.")
    old, new = (pd.to_numeric(frame[name].where(kind.isin(["price", "degraded"])), errors="coerce").astype(float)
                for name in ("old", "new"))  # fmt: skip
    refuse(price & ~((new >= 0) & (new < np.inf)), "new", "is not a price of at least 0", "Give USD per 1M tokens.")
    relative = price & frame["field"].isna()
    refuse(relative & ~(old > 0), "old", "is not above 0", "Give the old price: all prices change by new / old.")
    both = price & (old > 0) & (new > 0)
    refuse(
        both & (np.abs(np.log(np.where(both, new / old, 1))) > np.log(IMPLAUSIBLE)),
        "new",
        f"changes a price by more than a factor of {IMPLAUSIBLE:,.0f}",
        "Is one of both USD per token, and the other per million?",
    )
    degraded = kind == "degraded"
    refuse(degraded & ~new.between(0, 1), "new", "is not a share in [0, 1]", "Give the share of requests that fail.")
    for name, numbers in (("old", old), ("new", new)):
        numeric = (price | degraded).to_numpy()
        frame[name] = frame[name].astype(object)
        frame.loc[numeric, name] = numbers[numeric].astype(object)
    return frame


def _provenance(table: pd.DataFrame, *sources: Any) -> pd.DataFrame:
    table = check_shocks(table)
    if note := provenance_of(*sources):
        table.attrs["provenance"] = note
    return table


def price_shocks(
    history: pd.DataFrame, *, offers: pd.DataFrame | None = None, listings: bool = False, max_ratio: float = 10.0
) -> pd.DataFrame:
    """Read the changes of prices out of a price history.

    Parameters
    ----------
    history : DataFrame
        One row for each stretch of one price: ``provider, model, valid_from, input_usd_per_1m, output_usd_per_1m``, and
        optional ``valid_to``, ``changed_after``, ``source``: see `routerlab.market.load_price_history`.
    offers : DataFrame, optional
        Keep only what concerns these offers (``provider``, ``model``).
    listings : bool, default False
        Add when each offer was first listed (kind 'new') and no longer listed ('retirement').
    max_ratio : float, default 10
        A price that changes by more was wrong in the catalogue before or after: left out.

    Returns
    -------
    DataFrame
        Shocks of kind 'price', one for each changed field, dated when the new price was first seen, with
        ``changed_after``, when the old one was last seen.

    Examples
    --------
    >>> history = pd.DataFrame({"provider": "openai", "model": "gpt-4o", "valid_from": ["2024-05-13", "2024-11-15"],
    ...                         "input_usd_per_1m": [5.0, 2.5], "output_usd_per_1m": [15.0, 10.0]})
    >>> price_shocks(history)[["time", "field", "old", "new"]].to_dict("records")[0]
    {'time': Timestamp('2024-11-15 00:00:00+0000', tz='UTC'), 'field': 'input_usd_per_1m', 'old': 5.0, 'new': 2.5}
    """
    frame = _history_of(history, offers)
    groups = frame.groupby(["provider", "model"])
    before = groups[list(FIELDS)].shift()
    parts = []
    for name in FIELDS:
        low, high = np.minimum(before[name], frame[name]), np.maximum(before[name], frame[name])
        changed = low.notna() & ~np.isclose(low, high) & (high <= max_ratio * low)
        part = frame.assign(kind="price", field=name, old=before[name], new=frame[name])[changed]
        parts.append(part.rename(columns={"valid_from": "time"}))
    if listings:
        parts.append(
            groups.head(1).dropna(subset="valid_from").assign(kind="new").rename(columns={"valid_from": "time"})
        )
        gone = groups.tail(1).dropna(subset="valid_to").assign(kind="retirement", source="no longer listed")
        parts.append(gone.rename(columns={"valid_to": "time"}))
    kept = [*COLUMNS, "changed_after"]
    return _provenance(pd.concat([p.reindex(columns=kept).astype(object) for p in parts]), history)


def _history_of(history: pd.DataFrame, offers: pd.DataFrame | None) -> pd.DataFrame:
    absent = [c for c in ("provider", "model", "valid_from", *FIELDS) if c not in history]
    if absent:
        reject("price history", f"lacks column {shown(absent)}.", "One row for each stretch of one price.")
    frame = history.reset_index(drop=True)
    for name in ("valid_from", "valid_to"):
        frame[name] = utc(frame[name] if name in frame else [None] * len(frame), f"price history, column '{name}'")
    if offers is not None:
        wanted = pd.MultiIndex.from_frame(offers[["provider", "model"]])
        frame = frame[pd.MultiIndex.from_frame(frame[["provider", "model"]]).isin(wanted)]
    return frame.sort_values(["provider", "model", "valid_from"], na_position="first", kind="stable")


def opening_offers(history: pd.DataFrame, on: Any) -> pd.DataFrame:
    """Return each offer of a price history with its price on a day, or its first price if it came later.

    Parameters
    ----------
    history : DataFrame
        See `price_shocks`.
    on : date
        The first day of a replay; offers that were gone by then are left out.

    Returns
    -------
    DataFrame
        One row for each offer: what `routerlab.market.replay` begins with.

    Examples
    --------
    >>> history = pd.DataFrame({"provider": "openai", "model": "gpt-4o", "valid_from": ["2024-05-13", "2024-11-15"],
    ...                         "input_usd_per_1m": [5.0, 2.5], "output_usd_per_1m": [15.0, 10.0]})
    >>> opening_offers(history, "2024-12-01")[["model", "input_usd_per_1m"]].to_dict("records")
    [{'model': 'gpt-4o', 'input_usd_per_1m': 2.5}]
    """
    frame = _history_of(history, None)
    day = utc([on], "'on'")[0]
    groups = frame.groupby(["provider", "model"], sort=False)
    is_last = groups.cumcount(ascending=False) == 0
    ended = is_last & (frame["valid_to"] <= day)
    gone = ended.groupby([frame["provider"], frame["model"]], sort=False).transform("any")
    old = (frame["valid_from"] <= day) & (groups["valid_from"].shift(-1) <= day)
    kept = frame[~gone & ~old].groupby(["provider", "model"], sort=False).head(1).reset_index(drop=True)
    if "offer_id" not in kept:
        kept.insert(0, "offer_id", kept["model"] + "@" + kept["provider"])
    return kept


def retirement_shocks(retirements: pd.DataFrame) -> pd.DataFrame:
    """Turn dated retirements into shocks.

    Parameters
    ----------
    retirements : DataFrame
        ``provider``, ``model``, ``retired_on`` (or ``deprecation_date``), optional ``successor`` (or
        ``successor_model``) and ``source``.

    Returns
    -------
    DataFrame
        Shocks of kind 'retirement'; ``new`` is the successor that the provider names.

    Raises
    ------
    TableError
        The retirements have no column ``retired_on``.

    Examples
    --------
    >>> rows = pd.DataFrame({"provider": ["openai"], "model": ["gpt-4"], "retired_on": ["2026-10-23"]})
    >>> retirement_shocks(rows)[["kind", "model"]].to_dict("records")
    [{'kind': 'retirement', 'model': 'gpt-4'}]
    """
    names = {"deprecation_date": "time", "retired_on": "time", "successor_model": "new", "successor": "new"}
    frame = retirements.rename(columns={old: new for old, new in names.items() if old in retirements})
    if "time" not in frame:
        reject("retirements table", "lacks column 'retired_on'.", "Say when each model goes.")
    kept = [c for c in ("time", "provider", "model", "new", "source") if c in frame]
    return _provenance(frame[kept].assign(kind="retirement"), retirements)


def outage_shocks(
    incidents: pd.DataFrame, *, components: Mapping[str, str] | None = None, impact: Sequence[int] = (2, 3)
) -> pd.DataFrame:
    """Turn incidents of status pages into outages, at the times when they were: those that coincided still do.

    Parameters
    ----------
    incidents : DataFrame
        As `routerlab.datasets.fetch_incidents` returns them.
    components : mapping of provider to component, optional
        Default: OpenAI's 'API' and Anthropic's 'api.anthropic.com'.
    impact : sequence of int, default (2, 3)
        Which count. Level 4 looks like planned maintenance.

    Returns
    -------
    DataFrame
        Shocks of kind 'outage'. An incident means that the provider said so: service was degraded more often than gone,
        so counting every one as a full outage gives an upper bound.

    Examples
    --------
    >>> incidents = pd.DataFrame({"provider": ["openai"], "components": [("API",)], "impact": [3],
    ...     "start": ["2024-06-04T07:00Z"], "end": ["2024-06-04T12:00Z"], "about_requests": [True]})
    >>> len(outage_shocks(incidents)), len(outage_shocks(incidents, impact=[2]))
    (1, 0)
    """
    components = {"openai": "API", "anthropic": "api.anthropic.com"} if components is None else components
    hit = [components.get(p) in c for p, c in zip(incidents["provider"], incidents["components"], strict=True)]
    kept = incidents[np.array(hit, dtype=bool) & incidents["impact"].isin(impact) & incidents["about_requests"]]
    table = kept[["provider"]].assign(time=kept["start"], end=kept["end"], kind="outage", source="status page")
    return _provenance(table, incidents)


def failure_shocks(requests: pd.DataFrame, time: Any, end: Any) -> pd.DataFrame:
    """Turn the share of real requests that failed into degraded service from `time` to `end`.

    Parameters
    ----------
    requests : DataFrame
        ``provider``, ``model``, ``failed``, as `routerlab.datasets.fetch_llmperf` returns them.
    time, end : date
        When service is taken to have been so: requests of one afternoon say nothing of a year.

    Returns
    -------
    DataFrame
        Shocks of kind 'degraded', ``new`` the share that failed, for each provider and model with a failure.

    Examples
    --------
    >>> requests = pd.DataFrame({"provider": "a", "model": "m", "failed": [True, False, False, False]})
    >>> failure_shocks(requests, "2023-12-01", "2024-01-01")["new"].tolist()
    [0.25]
    """
    share = requests.groupby(["provider", "model"], observed=True)["failed"].agg(["mean", "size"]).reset_index()
    share = share[share["mean"] > 0]
    source = share["size"].map("{:,} requests".format)
    table = share[["provider", "model"]].assign(time=time, end=end, kind="degraded", new=share["mean"], source=source)
    return _provenance(table, requests)


def clear_share(shocks: pd.DataFrame, start: Any, end: Any, providers: Sequence[str] | None = None) -> pd.Series:
    """Return the share of minutes without an outage: of each provider, and of at least one of them.

    Parameters
    ----------
    shocks : DataFrame
        See `check_shocks`; only outages of whole providers count.
    start, end : date
        The window.
    providers : sequence of str, optional
        By default all that had an outage.

    Returns
    -------
    Series of shape (n_providers + 1,)
        The last, 'any', is read off the minutes themselves. It is not a product of uptimes: outages coincide more often
        than chance would have it.

    Examples
    --------
    >>> shocks = check_shocks(pd.DataFrame({"time": ["2024-01-01T00:00Z", "2024-01-01T06:00Z"], "kind": "outage",
    ...     "end": ["2024-01-01T12:00Z", "2024-01-01T18:00Z"], "provider": ["a", "b"]}))
    >>> clear_share(shocks, "2024-01-01", "2024-01-02").to_dict()
    {'a': 0.5, 'b': 0.5, 'any': 0.75}
    """
    first, last = window(start, end)
    shocks = check_shocks(shocks)
    shocks = shocks[(shocks["kind"] == "outage") & shocks["model"].isna()]
    names = list(shocks["provider"].unique()) if providers is None else list(providers)
    minute = pd.Timedelta("1min")
    down = np.zeros((len(names), int((last - first) / minute)), dtype=bool)
    for place, name in enumerate(names):
        for begin, stop in shocks.loc[shocks["provider"] == name, ["time", "end"]].itertuples(index=False):
            low = max(0, int((begin - first) // minute))
            high = down.shape[1] if stop is pd.NaT else max(low, int((stop - first) // minute))
            down[place, low:high] = True
    clear = pd.Series(1 - down.mean(axis=1), index=names)
    return pd.concat([clear, pd.Series({"any": 1 - down.all(axis=0).mean() if names else 1.0})]).rename("clear")


def window(start: Any, end: Any) -> tuple[pd.Timestamp, pd.Timestamp]:
    """Return both ends of a window in UTC, or say that it holds no day.

    Examples
    --------
    >>> window("2024-01-01", "2024-01-03")[1]
    Timestamp('2024-01-03 00:00:00+0000', tz='UTC')
    """
    first, last = utc([start, end], "'start' and 'end'")
    if not last >= first + pd.Timedelta("1D"):
        reject("'start' and 'end'", f"got {start} to {end}, which holds no whole day.", "Let 'end' lie after 'start'.")
    return first, last


def resample_shocks(
    shocks: pd.DataFrame,
    start: Any,
    end: Any,
    *,
    n_paths: int = 200,
    block_days: int = 30,
    kinds: Sequence[str] = ("price", "outage", "degraded"),
    random_state: Any = 0,
) -> list[pd.DataFrame]:
    """Draw markets that could have been from the one that was: blocks of days, in another order, some twice.

    All that happened in a block stays together, at all providers: outages that coincided still do, and a price war
    stays one. Prices change by the same ratios. Each path draws weights of the blocks first (the Bayesian bootstrap:
    what one history leaves open about how often things happen), then blocks by these weights (what chance does).

    Parameters
    ----------
    shocks : DataFrame
        See `check_shocks`.
    start, end : date
        The window that the history covers, and that each path will cover.
    n_paths : int, default 200
        How many.
    block_days : int, default 30
        Length of a block; longer than what belongs together.
    kinds : sequence of str, optional
        What is drawn; other shocks (arrivals, retirements) stay at their dates.
    random_state : int, Generator or None, default 0
        Seed.

    Returns
    -------
    list of DataFrame
        Shocks, each labelled as resampled.

    Raises
    ------
    ValueError
        `block_days` is not between 1 and the days of the window.

    Notes
    -----
    A range over such markets says what another order of the same shocks would have cost. It does not forecast: of
    further markets of the same kind, ranges from a single year held 45% (the bill of one who is locked to an offer) to
    79% (the bill of one who routes), as a year shows few changes of one offer's price. Ranges over `simulate_shocks` at
    the true rates held 94 to 95%.

    References
    ----------
    D. B. Rubin, "The Bayesian bootstrap", Annals of Statistics 9, 1981.

    Examples
    --------
    >>> shocks = pd.DataFrame({"time": ["2024-02-10"], "kind": "price", "provider": "a", "old": 2, "new": 1})
    >>> sorted({len(path) for path in resample_shocks(shocks, "2024-01-01", "2024-12-31", n_paths=50)})
    [0, 1, ...]
    """
    first, last = window(start, end)
    shocks = check_shocks(shocks)
    day = pd.Timedelta("1D")
    n_days = int((last - first) / day)
    if not 1 <= block_days <= n_days:
        msg = f"'block_days' must lie between 1 and the {n_days} days of the window. Got {block_days!r} instead."
        raise ValueError(msg)
    rng = np.random.default_rng(random_state)
    drawn = shocks["kind"].isin(kinds) & shocks["time"].between(first, last, inclusive="left")
    moving, fixed = shocks[drawn], shocks[~shocks["kind"].isin(kinds)]
    at = ((moving["time"] - first) / day).to_numpy(dtype=float)
    n_blocks = -(-n_days // block_days)
    paths = []
    for _ in range(n_paths):
        turned = (at + rng.integers(n_days)) % n_days  # blocks begin on another day in each path
        block = (turned // block_days).astype(int)
        chosen = rng.choice(n_blocks, size=n_blocks, p=rng.dirichlet(np.ones(n_blocks)))
        place, row = np.nonzero(chosen[:, None] == block[None, :])
        new_at = turned[row] - block[row] * block_days + place * block_days
        inside = new_at < n_days
        path = moving.iloc[row[inside]].copy()
        shift = pd.to_timedelta(new_at[inside] - at[row[inside]], unit="D")
        path["time"], path["end"] = path["time"] + shift, path["end"] + shift
        paths.append(_joined(path, fixed, f"resampled: blocks of {block_days} days of real shocks", shocks))
    return paths


def _joined(path: pd.DataFrame, fixed: pd.DataFrame, note: str, like: pd.DataFrame) -> pd.DataFrame:
    table = pd.concat([path, fixed]) if len(fixed) else path
    table = table.sort_values("time", kind="stable", ignore_index=True)
    table.attrs["provenance"] = "; ".join(filter(None, [note, provenance_of(like)]))
    return table


def simulate_shocks(
    offers: pd.DataFrame,
    start: Any,
    end: Any,
    *,
    n_paths: int = 1,
    price_changes_per_year: float = 0.5,
    log_ratio: tuple[float, float] = (-0.1, 0.5),
    outages_per_year: float = 40.0,
    outage_hours: float = 1.0,
    shared: float = 0.05,
    random_state: Any = 0,
) -> list[pd.DataFrame]:
    """Simulate markets: prices of each offer jump, providers have outages, some of them together.

    Parameters
    ----------
    offers : DataFrame
        ``provider`` and ``model``.
    start, end : date
        The window.
    n_paths : int, default 1
        How many markets.
    price_changes_per_year : float, default 0.5
        Of each offer (a Poisson process).
    log_ratio : (float, float), default (-0.1, 0.5)
        Mean and standard deviation of the logarithm of new / old price.
    outages_per_year, outage_hours : float, optional
        Of each provider; durations are lognormal with this median and a log standard deviation of 1.
    shared : float, default 0.05
        Share of outages that hit all providers at once.
    random_state : int, Generator or None, default 0
        Seed.

    Returns
    -------
    list of DataFrame
        Shocks, each labelled as simulated.

    Examples
    --------
    >>> offers = pd.DataFrame({"provider": ["a", "b"], "model": ["m", "m"]})
    >>> simulate_shocks(offers, "2024-01-01", "2025-01-01")[0].attrs["provenance"]
    'simulated: 0.5 price changes per offer and year, 40 outages per provider and year, 5% of them shared'
    """
    first, last = window(start, end)
    years, span = (last - first) / pd.Timedelta("365.25D"), last - first
    rng = np.random.default_rng(random_state)
    pairs = offers[["provider", "model"]].drop_duplicates().reset_index(drop=True)
    providers = pairs["provider"].unique()
    note = (
        f"simulated: {price_changes_per_year:g} price changes per offer and year, {outages_per_year:g} outages per "
        f"provider and year, {shared:.0%} of them shared"
    )
    n_changes = rng.poisson(price_changes_per_year * years, (n_paths, len(pairs)))
    n_own = rng.poisson(outages_per_year * (1 - shared) * years, (n_paths, len(providers)))
    n_shared = rng.poisson(outages_per_year * shared * years, n_paths)
    path, which = (np.repeat(places.ravel(), n_changes.ravel()) for places in np.indices(n_changes.shape))
    prices = pairs.iloc[which].assign(path=path, kind="price", old=1.0, new=np.exp(rng.normal(*log_ratio, len(which))))
    prices["time"] = first + rng.random(len(which)) * span
    path, which = (np.repeat(places.ravel(), n_own.ravel()) for places in np.indices(n_own.shape))
    n_common, n_all = int(n_shared.sum()), len(providers)
    begin, hours = rng.random(len(path) + n_common), outage_hours * np.exp(rng.normal(size=len(path) + n_common))
    row = np.concatenate([np.arange(len(path)), len(path) + np.repeat(np.arange(n_common), n_all)])  # all go at once
    outages = pd.DataFrame({"provider": np.concatenate([providers[which], np.tile(providers, n_common)])})
    outages["path"] = np.concatenate([path, np.repeat(np.repeat(np.arange(n_paths), n_shared), n_all)])
    outages["time"] = first + begin[row] * span
    outages = outages.assign(kind="outage", end=outages["time"] + pd.to_timedelta(hours[row], unit="h"))
    table = check_shocks(prices, outages).assign(source="simulated")
    return split_paths(table, n_paths, note)


def split_paths(table: pd.DataFrame, n_paths: int, note: str | None) -> list[pd.DataFrame]:
    """Return the rows of each path, numbered from 0 in the column ``path``.

    Examples
    --------
    >>> [len(path) for path in split_paths(pd.DataFrame({"path": [0, 2, 2]}), 3, None)]
    [1, 0, 2]
    """
    order = np.argsort(table["path"].to_numpy(), kind="stable")
    ends = np.searchsorted(table["path"].to_numpy()[order], np.arange(n_paths + 1))
    rows = table.drop(columns="path").iloc[order]
    paths = [rows.iloc[a:b].reset_index(drop=True) for a, b in zip(ends[:-1], ends[1:], strict=True)]
    for path in paths:
        path.attrs = {"provenance": note} if note else {}
    return paths
