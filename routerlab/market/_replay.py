"""A market's history, day by day, against policies: what each would have paid, got, and lost to failed requests."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from routerlab.decision import check_wtp
from routerlab.market._shocks import FIELDS, check_shocks, split_paths, utc, window
from routerlab.schema import Odd, check_matrix, check_model, provenance_of, read_numbers, reject, shown
from routerlab.stats import check_confidence, few_groups_note, group_codes, mean_interval, ratio_interval, t_interval

MONTH = 365.25 / 12  # days
DAY = pd.Timedelta("1D")
Floats = NDArray[np.float64]
Codes = NDArray[np.intp]


@dataclass(frozen=True)
class Policy:
    """How requests find an offer: see `locked`, `hosts` and `routed`.

    Attributes
    ----------
    kind : {'locked', 'hosts', 'routed'}
        What decides.
    name : str, optional
        The offer that is held, or the model.
    offers : tuple of str, optional
        Offers that may be used; by default all.
    estimates : DataFrame of shape (n_prompts, n_models), optional
        What the router believes of quality.
    willingness_to_pay : float
        USD per unit of quality and request.
    refit : {'always', 'never'}
        Whether the router learns of prices, arrivals and retirements on the day, or keeps the first day's.
    switch_after : int, optional
        Days from a rise in price or a retirement until a locked policy has moved.
    successor : bool
        Whether a locked policy follows the provider to the model that it names.
    output_tokens : Series, optional
        Output tokens that the router expects of each model.

    Examples
    --------
    >>> locked("gpt-4@openai", switch_after=30).switch_after
    30
    """

    kind: str
    name: str | None = None
    offers: tuple[str, ...] | None = None
    estimates: pd.DataFrame | None = field(default=None, repr=False, compare=False)
    willingness_to_pay: float = float("inf")
    refit: str = "always"
    switch_after: int | None = None
    successor: bool = False
    output_tokens: pd.Series | None = field(default=None, repr=False, compare=False)


def locked(
    offer: str, *, switch_after: int | None = None, willingness_to_pay: float = float("inf"), successor: bool = False
) -> Policy:
    """Send every request to one offer; requests fail while it is down, and once it is retired.

    Parameters
    ----------
    offer : str
        Its ``offer_id``.
    switch_after : int, optional
        Move to the best offer of the day, so many days after this one became dearer or was retired. By default never.
    willingness_to_pay : float, default infinity
        The best offer is that with the largest mean quality less mean cost / willingness to pay.
    successor : bool, default False
        Follow the provider at once to the successor that a retirement names.

    Returns
    -------
    Policy

    Raises
    ------
    ValueError
        `switch_after` is neither a number of whole days nor None.

    Examples
    --------
    >>> locked("gpt-4@openai")
    Policy(kind='locked', name='gpt-4@openai', ...)
    """
    check_wtp(willingness_to_pay)
    if switch_after is not None and not (isinstance(switch_after, (int, np.integer)) and switch_after >= 0):
        msg = f"'switch_after' must be a number of whole days, or None for never. Got {switch_after!r} instead."
        raise ValueError(msg)
    return Policy(
        "locked", offer, willingness_to_pay=willingness_to_pay, switch_after=switch_after, successor=successor
    )


def hosts(model: str, *, offers: Sequence[str] | None = None) -> Policy:
    """Send every request to one model, at the cheapest of its hosts that is up.

    Parameters
    ----------
    model : str
        A column of quality.
    offers : sequence of str, optional
        Hosts that may be used, by ``offer_id``; by default all that offer the model.

    Returns
    -------
    Policy

    Examples
    --------
    >>> hosts("llama-3.1-70b")
    Policy(kind='hosts', name='llama-3.1-70b', ...)
    """
    return Policy("hosts", model, offers=None if offers is None else tuple(offers))


def routed(
    estimates: pd.DataFrame,
    *,
    willingness_to_pay: float = float("inf"),
    refit: str = "always",
    offers: Sequence[str] | None = None,
    output_tokens: pd.Series | None = None,
) -> Policy:
    """Send each request to the offer with the largest estimated quality less cost / willingness to pay that is up.

    Parameters
    ----------
    estimates : DataFrame of shape (n_prompts, n_models)
        Estimated quality, of prompts that the router has not seen: `routerlab.cross_estimates`, or
        ``router.predict_quality(X)``. Models without a column are never used.
    willingness_to_pay : float, default infinity
        USD that one unit of quality is worth on one request.
    refit : {'always', 'never'}, default 'always'
        'always': takes today's prices and models. 'never': those of the first day, though it pays today's.
    offers : sequence of str, optional
        Offers that may be used, by ``offer_id``; by default all.
    output_tokens : Series, optional
        Output tokens that the router expects of each model: of its training prompts. By default the mean over the
        prompts of the replay.

    Returns
    -------
    Policy

    Raises
    ------
    ValueError
        `refit` is neither 'always' nor 'never'.

    Examples
    --------
    >>> routed(pd.DataFrame({"m": [0.5]}), refit="never").refit
    'never'
    """
    check_wtp(willingness_to_pay)
    if refit not in ("always", "never"):
        msg = f"'refit' must be 'always' or 'never'. Got {refit!r} instead."
        raise ValueError(msg)
    chosen = None if offers is None else tuple(offers)
    return Policy(
        "routed", None, chosen, estimates, willingness_to_pay, refit,
        output_tokens=None if output_tokens is None else pd.Series(output_tokens, dtype=float),
    )  # fmt: skip


@dataclass(frozen=True)
class Traffic:
    """What is asked: quality and tokens of each prompt at each offer, and how many requests a day brings."""

    quality: Floats  # (n_prompts, n_offers)
    input_tokens: Floats
    output_tokens: Floats
    requests: Floats  # (n_days,)
    index: pd.Index
    columns: list[str]  # column of quality of each offer


@dataclass(frozen=True)
class Market:
    """One path of a market: daily prices and offers, and the stretches of each day with the offers that are up."""

    prices: Floats  # (n_days, n_offers, 2), USD per token
    there: NDArray[np.bool_]  # (n_days, n_offers)
    day: Codes  # of each stretch
    weight: Floats  # share of the day's requests
    up: NDArray[np.bool_]  # (n_stretches, n_offers)
    successor: dict[int, int]


@dataclass(frozen=True, repr=False)
class Replay:
    """What each policy would have paid and got, from `replay`.

    Attributes
    ----------
    table : DataFrame of shape (n_policies, ...)
        ``usd_per_month`` with ``low``, ``high`` (over prompts, this market) and ``market_low``, ``market_high`` (where
        95% of the markets lie, these prompts; NaN for a single path); ``quality`` of all requests, 0 where they failed,
        with ends; ``failed``, the share of requests, with ``failed_market_low`` and ``failed_market_high``.
    days : DataFrame
        ``policy, date, usd, quality, failed``: means over the paths, and ``total_usd`` so far; ``usd_low``,
        ``usd_high``, ``total_low``, ``total_high``: where 95% of the paths lie on that day.
    n, n_days, n_paths : int
        Prompts, days, and paths of the market.
    confidence : float
        Of all intervals.
    provenance : str, optional
        Of tables and shocks; scenarios say so here.
    notes : tuple of str
        What to keep in mind.
    """

    table: pd.DataFrame
    days: pd.DataFrame
    n: int
    n_days: int
    n_paths: int
    confidence: float
    provenance: str | None
    notes: tuple[str, ...]
    _prompts: dict[str, tuple[Floats, Floats]] = field(repr=False)  # USD per month and quality of each prompt
    _paths: Floats = field(repr=False)  # (n_paths, n_policies, 3): USD per month, quality, failed
    _codes: Codes | None = field(repr=False)

    def compare(self, baseline: str) -> pd.DataFrame:
        """Compare each policy with one of them, pairwise: same prompts, same markets.

        Parameters
        ----------
        baseline : str
            Name of a policy.

        Returns
        -------
        DataFrame of shape (n_policies - 1, ...)
            ``saving_usd_per_month`` with ends over prompts and over markets; ``saving``, the share of the baseline's
            bill, with ends; ``quality_difference`` with ends; ``failed_difference``.
        """
        check_model(baseline, self.table.index, "baseline")
        names = list(self.table.index)
        bill, good = self._prompts[baseline]
        base = self._paths[:, names.index(baseline)]
        rows = {}
        for place, name in enumerate(names):
            if name == baseline:
                continue
            own_bill, own_good = self._prompts[name]
            saving, low, high = t_interval(bill - own_bill, self._codes, confidence=self.confidence)
            below, above = _spread(base[:, 0] - self._paths[:, place, 0], self.confidence)
            share = (
                ratio_interval(own_bill, bill, self._codes, confidence=self.confidence)
                if bill.sum() > 0
                else 3 * (np.nan,)
            )
            lost = mean_interval(own_good - good, self._codes, confidence=self.confidence)
            rows[name] = {
                "saving_usd_per_month": saving, "low": low, "high": high, "market_low": below, "market_high": above,
                "saving": 1 - share[0], "saving_low": 1 - share[2], "saving_high": 1 - share[1],
                "quality_difference": lost[0], "quality_low": lost[1], "quality_high": lost[2],
                "failed_difference": float((self._paths[:, place, 2] - base[:, 2]).mean()),
            }  # fmt: skip
        return pd.DataFrame.from_dict(rows, orient="index").rename_axis("policy")

    def __repr__(self) -> str:
        """One line per policy, then how it was made."""
        lines = []
        for name, row in self.table.iterrows():
            market = "" if self.n_paths == 1 else f", markets [{row.market_low:,.0f}, {row.market_high:,.0f}]"
            lines.append(
                f"{name}: {row.usd_per_month:,.0f} USD a month [{row.low:,.0f}, {row.high:,.0f}]{market}; quality "
                f"{100 * row.quality:.1f} [{100 * row.quality_low:.1f}, {100 * row.quality_high:.1f}]; "
                f"{row.failed:.2%} of requests failed"
            )
        paths = "one market as it was" if self.n_paths == 1 else f"{self.n_paths:,} markets"
        lines.append(f"{self.confidence:.0%} intervals over {self.n:,} prompts; {self.n_days:,} days; {paths}")
        return "\n".join([*lines, *self.notes, *([self.provenance] if self.provenance else [])])


def replay(
    policies: Mapping[str, Policy],
    shocks: pd.DataFrame | Sequence[pd.DataFrame],
    offers: pd.DataFrame,
    quality: pd.DataFrame,
    *,
    tokens: pd.DataFrame | None = None,
    cost: pd.DataFrame | None = None,
    start: Any,
    end: Any,
    traffic: float | pd.Series = 1000.0,
    shape: Any = None,
    scenarios: Mapping[str, Any] | None = None,
    groups: Any = None,
    confidence: float = 0.95,
) -> Replay:
    """Replay a market day by day, and say what each policy would have paid, got, and lost.

    Parameters
    ----------
    policies : mapping of str to Policy
        See `locked`, `hosts` and `routed`.
    shocks : DataFrame, or sequence of DataFrame
        What happened (see `check_shocks`); several paths of a market (`resample_shocks`, `simulate_shocks`) give
        intervals over markets, apart from those over prompts.
    offers : DataFrame
        One row for each offer as on the first day: ``offer_id, provider, model``, optional ``base_model``,
        ``input_usd_per_1m, output_usd_per_1m``. One that a shock of kind 'new' names is not there before.
    quality : DataFrame of shape (n_prompts, n_models)
        Measured quality in [0, 1], one column for each ``model`` or ``base_model`` of the offers.
    tokens : DataFrame, optional
        ``prompt_id, model, input_tokens, output_tokens``: a responses table. Either this or `cost` is needed.
    cost : DataFrame of shape (n_prompts, n_models), optional
        Instead of tokens, USD per request at the first day's prices; then prices of input and output must move alike.
    start, end : date
        From the start of the first day to the start of the day after the last.
    traffic : float or Series, default 1000
        Requests a day; a Series gives them for each date.
    shape : array of shape (n_slots,), optional
        How requests spread over equal slots of a day, e.g. arrivals in each hour; by default evenly. An outage fails
        as many requests as there would have been. See `traffic_shape`.
    scenarios : mapping of model to float or Series, optional
        Quality of a model that nobody measured, e.g. a successor: assumed, and labelled so. Its tokens are the mean of
        the other models'.
    groups : Series or array, optional
        Prompts of one group count as one piece of evidence: conversations, customers.
    confidence : float, default 0.95
        Of all intervals.

    Returns
    -------
    Replay

    Raises
    ------
    TableError
        A shock for a provider or a model that no offer has, an offer whose quality or tokens are not known, a policy
        that leaves no offer.

    Notes
    -----
    Prices, arrivals and retirements count from the day on which they happen; outages by the minute. Outages are laid
    over each other as they were: nowhere are uptimes multiplied. Degraded service fails the same requests at all
    providers that are degraded at the time, which is the worst case for switching. A router that finds its first choice
    down takes its next; retries cost nothing here. A router knows a prompt's input tokens, and each model's mean
    output.

    Intervals over prompts hold the market fixed, and those over markets the prompts.

    Examples
    --------
    >>> offers = pd.DataFrame({"offer_id": ["large@a", "small@b"], "provider": ["a", "b"], "model": ["large", "small"],
    ...                        "input_usd_per_1m": [10.0, 1.0], "output_usd_per_1m": [30.0, 2.0]})
    >>> quality = pd.DataFrame({"large": [1.0, 1.0], "small": [1.0, 0.0]}, index=pd.Index(["p", "q"], name="prompt_id"))
    >>> tokens = pd.DataFrame({"prompt_id": ["p", "q"] * 2, "model": ["large"] * 2 + ["small"] * 2,
    ...                        "input_tokens": 1000, "output_tokens": 100})
    >>> shocks = pd.DataFrame({"time": ["2024-01-06"], "kind": "price", "provider": "a", "old": 1.0, "new": 2.0})
    >>> both = {"locked": locked("large@a"), "routed": routed(quality, willingness_to_pay=1.0)}
    >>> result = replay(both, shocks, offers, quality, tokens=tokens, start="2024-01-01", end="2024-01-11")
    >>> result.table["usd_per_month"].round(1).to_dict()
    {'locked': 593.5, 'routed': 315.0}
    """
    check_confidence(confidence)
    first, last = window(start, end)
    offers = checked_offers(offers)
    asked, notes, assumed = lay_out(offers, quality, tokens, cost, first, last, traffic, scenarios)
    codes = group_codes(groups, asked.index)
    players = {name: _checked_policy(name, policy, offers, asked) for name, policy in policies.items()}
    if not players:
        reject("'policies'", "is empty.", "Pass at least one: {'locked': locked(offer_id)}.")
    paths = checked_paths(shocks, offers)
    n_paths, n_days, n_prompts = len(paths), len(asked.requests), len(asked.index)
    daily = np.zeros((n_paths, len(players), n_days, 3))  # USD, quality, failed: means over prompts
    of_prompt = np.zeros((len(players), 2, n_prompts))
    for k, path in enumerate(paths):
        market = make_market(offers, path, first, n_days, shape)
        if cost is not None:
            _alike(market, offers)
        for p, (policy, estimates) in enumerate(players.values()):
            for choice, rows in _assignments(policy, estimates, market, asked, offers):
                _add(daily[k, p], of_prompt[p], choice, rows, market, asked)
    of_prompt /= n_paths
    of_prompt[:, 0] *= MONTH / n_days
    of_prompt[:, 1] /= asked.requests.sum()
    dates = pd.date_range(first, periods=n_days, freq="D", tz="UTC").tz_localize(None)
    source = pd.DataFrame()
    source.attrs["provenance"] = "; ".join(assumed)
    frames = list(shocks)[:1] if not isinstance(shocks, pd.DataFrame) else [shocks]
    return _result(
        list(players), daily, of_prompt, asked.requests, dates, codes, confidence,
        provenance_of(quality, tokens, cost, offers, *frames, source), notes,
    )  # fmt: skip


def traffic_shape(arrivals: Any, *, period: str = "1D", n_slots: int = 24) -> Floats:
    """Count arrivals in equal slots of a day: the ``shape`` of `replay`.

    Parameters
    ----------
    arrivals : Series or array of shape (n_requests,)
        When each request came: dates (UTC where they name no zone), or seconds since the log began.
    period : str, default '1D'
        What repeats: a day, or a part of one that divides it, e.g. '1h' for a log of one hour. What follows the last
        whole period is left out.
    n_slots : int, default 24
        Of one period.

    Returns
    -------
    ndarray of shape (n_slots * periods in a day,)
        Requests in each slot.

    Raises
    ------
    TableError
        Arrivals that cannot be read as times, or a log that covers less than nine tenths of a period: slots without
        arrivals would then mean that nobody looked.

    Examples
    --------
    >>> hour = traffic_shape([0.0, 600.0, 1900.0, 3500.0], period="1h", n_slots=2)
    >>> len(hour), hour[:4].tolist()
    (48, [2.0, 2.0, 2.0, 2.0])
    """
    length = pd.Timedelta(period)
    if not pd.Timedelta(0) < length <= DAY or DAY % length:
        msg = f"'period' must divide a day: '1h', '6h', '1D'. Got {period!r} instead."
        raise ValueError(msg)
    if isinstance(n_slots, bool) or not isinstance(n_slots, (int, np.integer)) or n_slots < 1:
        msg = f"'n_slots' must be a whole number of at least 1. Got {n_slots!r} instead."
        raise ValueError(msg)
    column = pd.Series(arrivals)
    if column.dtype.kind in "iuf":
        seconds = column.to_numpy(dtype=float)
        if not (np.isfinite(seconds) & (seconds >= 0)).all():
            wrong = "hold seconds that are missing or negative."
            reject("'arrivals'", wrong, "Give the seconds since the log began, of every request.")
        at = pd.Series(pd.to_timedelta(seconds, unit="s"))
    else:
        at = utc(column, "'arrivals'") - pd.Timestamp(0, tz="UTC")
        if at.isna().any():
            reject("'arrivals'", "hold dates that are missing.", "Drop those requests.")
    covered = (at.max() - at.min()) / length if len(at) else 0.0
    if covered < 0.9:
        wrong = f"cover {covered:.1%} of a period of {period}."
        reject("'arrivals'", wrong, "Pass a shorter period, e.g. period='1h' for a log of one hour.")
    kept = at[at < at.min() + max(1, int(covered + 0.1)) * length]
    slot = kept % length // (length / n_slots)
    return np.tile(np.bincount(slot.astype(int), minlength=n_slots)[:n_slots].astype(float), int(DAY / length))


def checked_offers(offers: Any) -> pd.DataFrame:
    where = "offers table"
    if not isinstance(offers, pd.DataFrame) or not len(offers):
        reject(where, "holds no offer.", "Pass one row for each offer; if a filter removed the last, loosen it.")
    wanted = ("offer_id", "provider", "model", *FIELDS)
    absent = [name for name in wanted if name not in offers]
    if absent:
        reject(where, f"lacks column {shown(absent)}.", f"It needs {', '.join(wanted)}.")
    frame = offers.reset_index(drop=True)
    twice = frame["offer_id"][frame["offer_id"].duplicated()].unique()
    if len(twice):
        reject(where, f"has offer {shown(twice)} more than once.", "Keep the row that is valid on the first day.")
    for name in FIELDS:
        numbers = read_numbers(frame[name])
        bad = np.arange(len(frame)) if isinstance(numbers, Odd) else ~(np.isfinite(numbers) & (numbers >= 0))
        if isinstance(numbers, Odd) or bad.any():
            reject(
                f"{where}, column '{name}'",
                f"is not a price of at least 0 for offer {shown(frame['offer_id'][bad])}.",
                "Give USD per 1M tokens, or leave the offer out.",
            )
        frame[name] = numbers
    return frame


def lay_out(
    offers: pd.DataFrame, quality: Any, tokens: Any, cost: Any, first: Any, last: Any, traffic: Any, scenarios: Any
) -> tuple[Traffic, tuple[str, ...], list[str]]:
    """Lay quality and tokens out by offer; return them, notes, and what is assumed rather than measured."""
    quality = check_matrix(quality, "quality", 0.0, 1.0)
    scenarios = dict(scenarios or {})
    if (tokens is None) == (cost is None):
        reject("'tokens' and 'cost'", "exactly one is needed.", "Pass tokens=responses, or cost= in USD per request.")
    assumed = []
    measured = list(quality.columns)
    for model, value in scenarios.items():
        if model in measured:
            reject("'scenarios'", f"names {model!r}, which was measured.", "Leave it out, or drop its column.")
        quality = quality.assign(**{model: value})
        said = f"{float(value):g}" if isinstance(value, (int, float)) else "as given"
        assumed.append(f"scenario: quality of {model} assumed to be {said}, not measured")
    quality = check_matrix(quality, "quality", 0.0, 1.0) if scenarios else quality
    base = offers["base_model"] if "base_model" in offers else offers["model"]
    columns = [m if m in quality.columns else b for m, b in zip(offers["model"], base, strict=True)]
    unknown = [o for o, c in zip(offers["offer_id"], columns, strict=True) if c not in quality.columns]
    if unknown:
        reject(
            "'quality'",
            f"has no column for the model of offer {shown(unknown)}.",
            "Measure it, leave the offer out, or assume a quality: scenarios={model: 0.8}.",
        )
    if cost is None:
        read = _token_frames(tokens, quality.index, measured)
    else:
        price = offers.drop_duplicates("model").set_index(pd.Index(columns)[~offers["model"].duplicated()])
        usd = check_matrix(cost, "cost").reindex(index=quality.index, columns=measured)
        dear = price[FIELDS[1]].reindex(measured).where(lambda x: x > 0)
        read = [usd * 0.0, usd / dear * 1e6]  # as if all were output: prices must move alike
    counts = [frame.assign(**{model: frame.mean(axis=1) for model in scenarios})[columns].to_numpy() for frame in read]
    lacking = [o for o, bad in zip(offers["offer_id"], np.isnan(counts[1]).any(axis=0), strict=True) if bad]
    if lacking:
        what = "'tokens'" if cost is None else "'cost'"
        reject(
            what, f"has no value of some prompts for offer {shown(lacking)}.", "Give one for every prompt and model."
        )
    n_days = int((last - first) / DAY)
    notes = () if cost is None else ("costs stand for tokens: prices of input and output move alike",)
    asked = Traffic(
        quality[columns].to_numpy(), counts[0], counts[1], _requests(traffic, first, n_days), quality.index, columns
    )
    return asked, notes, assumed


def _token_frames(tokens: Any, index: pd.Index, models: list[str]) -> list[pd.DataFrame]:
    wanted = ("prompt_id", "model", "input_tokens", "output_tokens")
    if not isinstance(tokens, pd.DataFrame) or [c for c in wanted if c not in tokens]:
        reject("'tokens'", "is not a table of tokens.", f"Its columns: {', '.join(wanted)}, as a responses table has.")
    if tokens.duplicated(["prompt_id", "model"]).any():
        reject("'tokens'", "has a prompt and model more than once.", "Keep one row of each.")
    wide = tokens.set_index(["prompt_id", "model"])
    cells = pd.MultiIndex.from_product([index, models])
    shape = (len(index), len(models))
    frames = [
        pd.DataFrame(wide[name].reindex(cells).to_numpy(dtype=float).reshape(shape), index, models)
        for name in ("input_tokens", "output_tokens")
    ]
    if any((frame < 0).any(axis=None) for frame in frames):
        reject("'tokens'", "has a negative number of tokens.", "Correct it.")
    return frames


def _requests(traffic: Any, first: pd.Timestamp, n_days: int) -> Floats:
    if isinstance(traffic, pd.Series):
        days = pd.date_range(first, periods=n_days, freq="D")
        known = traffic.set_axis(pd.DatetimeIndex(pd.to_datetime(traffic.index, utc=True)).floor("D"))
        traffic = known.groupby(level=0).sum().reindex(days.floor("D")).to_numpy(dtype=float)
    values = np.broadcast_to(np.asarray(traffic, dtype=float), n_days).copy()
    if not (np.isfinite(values) & (values >= 0)).all() or not values.sum() > 0:
        reject("'traffic'", "must be requests a day, at least 0 and some on every day of the window.", "Fill the days.")
    return values


def _checked_policy(name: str, policy: Any, offers: pd.DataFrame, asked: Traffic) -> tuple[Policy, Floats]:
    """Return a policy with the positions of its offers, and its estimates of quality by offer, NaN without one."""
    if not isinstance(policy, Policy):
        reject(f"policy {name!r}", f"is a {type(policy).__name__}.", "Make one with locked(), hosts() or routed().")
    ids = list(offers["offer_id"])
    if policy.kind == "locked":
        check_model(str(policy.name), ids, f"offer of policy {name!r}")
    if policy.offers is not None:
        unknown = [o for o in policy.offers if o not in ids]
        if unknown:
            reject(f"policy {name!r}", f"names offer {shown(unknown)}, which is not there.", f"Use {shown(ids)}.")
    usable = np.array([policy.offers is None or o in policy.offers for o in ids])
    estimates = asked.quality
    if policy.kind == "hosts":
        usable &= np.array(
            [c == policy.name or m == policy.name for c, m in zip(asked.columns, offers["model"], strict=True)]
        )
    elif policy.kind == "routed":
        given = check_matrix(policy.estimates, "estimates", 0.0, 1.0)
        missing = asked.index.difference(given.index)
        if len(missing):
            reject(f"policy {name!r}", f"has no estimate of prompt {shown(missing)}.", "Estimate all of them.")
        usable &= np.isin(asked.columns, list(given.columns))
        estimates = given.reindex(index=asked.index, columns=asked.columns).to_numpy()
    if not usable.any():
        reject(f"policy {name!r}", "leaves no offer.", f"Of {shown(ids)}, none serves what it asks for.")
    return replace(policy, offers=tuple(np.flatnonzero(usable))), estimates  # type: ignore[arg-type]


def checked_paths(shocks: Any, offers: pd.DataFrame) -> list[pd.DataFrame]:
    paths = [shocks] if isinstance(shocks, pd.DataFrame) else list(shocks)
    if not paths:
        reject("'shocks'", "holds no path.", "Pass a table, or several.")
    whole = (
        pd.concat([path.assign(path=k) for k, path in enumerate(paths)]) if len(paths) > 1 else paths[0].assign(path=0)
    )
    whole = check_shocks(whole)
    unknown = whole["provider"][~whole["provider"].isin(offers["provider"])].unique()
    if len(unknown):
        reject(
            "shocks table",
            f"names provider {shown(unknown)}, which no offer has.",
            "Spell it as in the offers, or keep shocks[shocks['provider'].isin(offers['provider'])].",
        )
    served = {
        (p, m) for name in ("model", "base_model") if name in offers for p, m in offers[["provider", name]].to_numpy()
    }
    pairs = whole.loc[whole["model"].notna(), ["provider", "model"]].drop_duplicates()
    unknown_pairs = [f"{m} at {p}" for p, m in pairs.itertuples(index=False) if (p, m) not in served]
    if unknown_pairs:
        remedy = "Keep the shocks of your offers only, e.g. price_shocks(history, offers=offers)."
        reject("shocks table", f"names {shown(unknown_pairs)}, which no offer serves.", remedy)
    return split_paths(whole, len(paths), None)


def make_market(
    offers: pd.DataFrame, shocks: pd.DataFrame, first: pd.Timestamp, n_days: int, shape: Any = None
) -> Market:
    """Lay shocks over the offers of the first day.

    Examples
    --------
    >>> offers = pd.DataFrame({"provider": ["a"], "model": ["m"], "input_usd_per_1m": 1.0,
    ...                        "output_usd_per_1m": 2.0})
    >>> shocks = check_shocks(pd.DataFrame({"time": ["2024-01-02T06:00Z"], "end": ["2024-01-02T12:00Z"],
    ...                                     "kind": ["outage"], "provider": ["a"]}))
    >>> market = make_market(offers, shocks, pd.Timestamp("2024-01-01", tz="UTC"), 2)
    >>> market.weight.tolist(), market.up.ravel().tolist()
    ([1.0, 0.25, 0.25, 0.5], [True, True, False, True])
    """
    n_offers = len(offers)
    provider, model = offers["provider"].to_numpy(dtype=object), offers["model"].to_numpy(dtype=object)
    base = offers["base_model"].to_numpy(dtype=object) if "base_model" in offers else model
    prices = np.repeat(offers[list(FIELDS)].to_numpy(dtype=float)[None] / 1e6, n_days, axis=0)
    there = np.ones((n_days, n_offers), dtype=bool)
    when = ((shocks["time"] - first) / DAY).to_numpy(dtype=float)
    until = ((shocks["end"] - first) / DAY).fillna(n_days).to_numpy(dtype=float)
    failing: list[tuple[float, float, NDArray[np.bool_], float]] = []
    successor: dict[int, int] = {}
    values = shocks[["kind", "provider", "model", "field", "old", "new"]].to_numpy(dtype=object)
    for (kind, at, of, name, old, new), t, stop in zip(values, when, until, strict=True):
        if t >= n_days:
            continue
        hit = (provider == at) if pd.isna(of) else (provider == at) & ((model == of) | (base == of))
        day = max(0, int(t))
        if kind == "price":
            if t < 0:  # the offers are those of the first day
                continue
            fields = slice(None) if pd.isna(name) else FIELDS.index(name)
            scaled = np.ix_(range(day, n_days), hit)
            relative = pd.notna(old) and old > 0
            part = prices[scaled]
            part[..., fields] = part[..., fields] * (new / old) if relative else new / 1e6
            prices[scaled] = part
        elif kind == "retirement":
            there[day:, hit] = False
            follows = np.flatnonzero((provider == at) & ((model == new) | (base == new)))
            if pd.notna(new) and len(follows):
                successor.update(dict.fromkeys(np.flatnonzero(hit).tolist(), int(follows[0])))
        elif kind == "new":
            there[:day, hit] = False
        elif stop > max(t, 0):
            failing.append((max(t, 0.0), min(stop, n_days), hit, 1.0 if kind == "outage" else float(new)))
    return Market(prices, there, *_stretches(failing, there, shape), successor)


def _stretches(
    failing: list[tuple[float, float, NDArray[np.bool_], float]], there: NDArray[np.bool_], shape: Any
) -> tuple[Codes, Floats, NDArray[np.bool_]]:
    """Cut days where an outage begins or ends; give each stretch its share of the day's requests and who is up."""
    n_days = len(there)
    edges = np.unique(np.concatenate([np.arange(n_days + 1.0), [x for low, high, *_ in failing for x in (low, high)]]))
    day = edges[:-1].astype(int)
    weight = _passed(edges[1:], shape) - _passed(edges[:-1], shape)
    share = np.zeros((len(day), there.shape[1]))
    for low, high, hit, level in failing:
        rows = slice(np.searchsorted(edges, low), np.searchsorted(edges, high))
        share[rows] = np.maximum(share[rows], np.where(hit, level, 0.0))
    partial = ((share > 0) & (share < 1)).any(axis=1)
    parts = [(day[~partial], weight[~partial], share[~partial] == 0)]
    for row in np.flatnonzero(partial):
        # A request's luck u is the same everywhere: it fails where u < share failing.
        levels = np.unique(np.concatenate([[0.0, 1.0], share[row]]))
        parts.append(
            (
                np.full(len(levels) - 1, day[row]),
                weight[row] * np.diff(levels),
                share[row] <= levels[:-1, None],
            )
        )
    day, weight, up = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    order = np.argsort(day, kind="stable")
    return day[order], weight[order], up[order] & there[day[order]]


def _passed(days: Floats, shape: Any) -> Floats:
    """Share of requests before a time, in days: whole days, and what has passed of the last by the day's shape."""
    if shape is None:
        return days
    slots = np.asarray(shape, dtype=float)
    if slots.ndim != 1 or not (np.isfinite(slots) & (slots >= 0)).all() or not slots.sum() > 0:
        reject("'shape'", "must hold requests in equal slots of a day, at least 0.", "E.g. 24 numbers, one an hour.")
    total = np.concatenate([[0.0], np.cumsum(slots)]) / slots.sum()
    whole = np.floor(days)
    return np.asarray(whole + np.interp(days - whole, np.linspace(0, 1, len(total)), total))


def _alike(market: Market, offers: pd.DataFrame) -> None:
    first = np.where(market.prices[0] > 0, market.prices[0], 1.0)
    ratio = market.prices / first
    odd = ~np.isclose(ratio[..., 0], ratio[..., 1]).all(axis=0)
    if odd.any():
        reject(
            "'cost'",
            f"cannot follow the prices of offer {shown(offers['offer_id'][odd])}: input and output move differently.",
            "Pass tokens= instead.",
        )


def _assignments(
    policy: Policy, estimates: Floats, market: Market, asked: Traffic, offers: pd.DataFrame
) -> Iterator[tuple[Codes, NDArray[np.intp]]]:
    """Yield choices, an offer for each prompt or -1 where all fail, and the stretches in which they are made."""
    n_prompts = len(asked.index)
    if policy.kind != "routed":
        held = (
            _held(policy, market, asked, offers) if policy.kind == "locked" else _cheapest_host(policy, market, asked)
        )
        for offer in np.unique(held):
            yield np.full(n_prompts, offer), np.flatnonzero(held == offer)
        return
    usable = np.zeros(estimates.shape[1], dtype=bool)
    usable[list(policy.offers or ())] = True
    worth, weight = worth_of(estimates, policy.willingness_to_pay)
    expected = expected_output(policy.output_tokens, asked)
    known = np.zeros(len(market.there), dtype=int) if policy.refit == "never" else np.arange(len(market.there))
    belief = np.concatenate([market.prices[known].reshape(len(known), -1), market.there[known]], axis=1)
    _, belief_of = np.unique(belief, axis=0, return_inverse=True)
    stretch_key = np.column_stack([belief_of.ravel()[market.day], market.up])
    groups, group_of = np.unique(stretch_key, axis=0, return_inverse=True)
    last, rows_of = -1, np.argsort(group_of.ravel(), kind="stable")
    ends = np.searchsorted(group_of.ravel()[rows_of], np.arange(len(groups) + 1))
    value, first = np.empty(0), np.empty(0, dtype=int)
    for k, group in enumerate(groups):
        rows = rows_of[ends[k] : ends[k + 1]]
        if group[0] != last:
            last = group[0]
            day = known[market.day[rows[0]]]
            price = market.prices[day]
            value = believed_value(worth, weight, asked, price, expected)
            value[:, ~(usable & market.there[day])] = -np.inf
            first = value.argmax(axis=1)
        up = group[1:].astype(bool)
        choice, down = first, ~up[first]
        if down.any():
            rest = np.where(up, value[down], -np.inf)
            second = rest.argmax(axis=1)
            choice = first.copy()
            choice[down] = np.where(np.isfinite(rest.max(axis=1)), second, -1)
        yield choice, rows


def worth_of(estimates: Floats, willingness_to_pay: float) -> tuple[Floats, float]:
    """Return what quality is worth, and what a dollar counts: next to nothing if willingness to pay is infinite.

    Examples
    --------
    >>> worth_of(np.array([[0.5]]), 0.02)
    (array([[0.01]]), 1.0)
    """
    return (estimates, 1e-12) if np.isinf(willingness_to_pay) else (estimates * willingness_to_pay, 1.0)


def expected_output(output_tokens: pd.Series | None, asked: Traffic) -> Floats:
    """Return the output tokens that a router expects of each offer.

    Examples
    --------
    >>> asked = Traffic(*np.array([[[0.5]], [[100.0]], [[10.0]]]), np.ones(1), pd.Index(["p"]), ["m"])
    >>> expected_output(None, asked).tolist(), expected_output(pd.Series({"m": 12.0}), asked).tolist()
    ([10.0], [12.0])
    """
    if output_tokens is None:
        return asked.output_tokens.mean(axis=0)
    found = output_tokens.reindex(asked.columns).to_numpy(dtype=float)
    if np.isnan(found).any():
        lacking = sorted({c for c, bad in zip(asked.columns, np.isnan(found), strict=True) if bad})
        reject("'output_tokens'", f"lacks model {shown(lacking)}.", "Give the mean of each model's answers.")
    return found


def believed_value(worth: Floats, weight: float, asked: Traffic, price: Floats, output: Floats) -> Floats:
    """Return what a router believes each offer to be worth, less its cost; it expects the same output of all prompts.

    Examples
    --------
    >>> asked = Traffic(*np.array([[[0.5]], [[100.0]], [[10.0]]]), np.ones(1), pd.Index(["p"]), ["m"])
    >>> price = np.array([[1e-6, 2e-6]])
    >>> believed_value(np.array([[0.01]]), 1.0, asked, price, np.array([10.0])).round(5).tolist()
    [[0.00988]]
    """
    value = asked.input_tokens * (-weight * price[:, 0])
    value -= weight * output * price[:, 1]
    value += worth
    return value


def _mean_costs(market: Market, asked: Traffic) -> Floats:
    """Mean USD per request of each offer on each day, of shape (n_days, n_offers)."""
    return market.prices[..., 0] * asked.input_tokens.mean(axis=0) + market.prices[..., 1] * asked.output_tokens.mean(
        axis=0
    )


def _cheapest_host(policy: Policy, market: Market, asked: Traffic) -> Codes:
    usable = np.zeros(market.up.shape[1], dtype=bool)
    usable[list(policy.offers or ())] = True
    cost = np.where(market.up & usable, _mean_costs(market, asked)[market.day], np.inf)
    return np.where(np.isfinite(cost.min(axis=1)), cost.argmin(axis=1), -1)


def _held(policy: Policy, market: Market, asked: Traffic, offers: pd.DataFrame) -> Codes:
    """Offer that a locked policy holds in each stretch, -1 while that is down."""
    cost = _mean_costs(market, asked)
    quality = asked.quality.mean(axis=0)
    held = int(np.flatnonzero(offers["offer_id"] == policy.name)[0])
    signed, since = cost[0, held], None
    of_day = np.empty(len(cost), dtype=int)
    for day, (today, there) in enumerate(zip(cost, market.there, strict=True)):
        if policy.successor and not there[held] and held in market.successor:
            held = market.successor[held]
            signed, since = today[held], None
        if not there[held] or today[held] > signed * (1 + 1e-9):
            since = day if since is None else since
            if policy.switch_after is not None and day - since >= policy.switch_after and there.any():
                value = quality - today / policy.willingness_to_pay - 1e-12 * today
                held = int(np.where(there, value, -np.inf).argmax())
                signed, since = today[held], None
        else:
            since = None
        of_day[day] = held
    offer = of_day[market.day]
    return np.where(market.up[np.arange(len(offer)), offer], offer, -1)


def _add(
    daily: Floats, of_prompt: Floats, choice: Codes, rows: NDArray[np.intp], market: Market, asked: Traffic
) -> None:
    """Add what one set of choices costs and gives in its stretches: products of matrices, no loop over prompts."""
    day, weight = market.day[rows], market.weight[rows]
    volume = asked.requests[day] * weight
    n_prompts, n_offers = asked.quality.shape
    answered = choice >= 0
    place = np.where(answered, choice, 0)
    prompt = np.arange(n_prompts)
    given, taken, good = (
        np.where(answered, values[prompt, place], 0.0)
        for values in (asked.input_tokens, asked.output_tokens, asked.quality)
    )
    paid = np.einsum("s,soc->oc", volume, market.prices[day])  # USD for a token on all of these requests
    of_prompt[0] += given * paid[place, 0] + taken * paid[place, 1]
    of_prompt[1] += volume.sum() * good
    tokens = [np.bincount(place, values, n_offers) / n_prompts for values in (given, taken)]
    usd = market.prices[day, :, 0] @ tokens[0] + market.prices[day, :, 1] @ tokens[1]
    np.add.at(daily[:, 0], day, volume * usd)
    np.add.at(daily[:, 1], day, weight * good.mean())
    np.add.at(daily[:, 2], day, weight * (1 - answered.mean()))


def _spread(values: Floats, confidence: float) -> tuple[float, float]:
    """Range that a further path falls into with this probability; NaN where there are too few paths to say."""
    tail = (1 - confidence) / 2
    if len(values) + 1 < 1 / tail:
        return np.nan, np.nan
    low, high = np.quantile(values, [tail, 1 - tail], method="weibull")
    return float(low), float(high)


def _result(
    names: list[str], daily: Floats, of_prompt: Floats, requests: Floats, dates: pd.DatetimeIndex, codes: Codes | None,
    confidence: float, provenance: str | None, notes: tuple[str, ...],
) -> Replay:  # fmt: skip
    n_paths, n_days = len(daily), len(dates)
    usd = daily[..., 0].sum(axis=2) * MONTH / n_days
    share = requests / requests.sum()
    paths = np.stack([usd, daily[..., 1] @ share, daily[..., 2] @ share], axis=-1)
    rows, days = {}, []
    for place, name in enumerate(names):
        bill, low, high = t_interval(of_prompt[place, 0], codes, confidence=confidence)
        good, good_low, good_high = mean_interval(of_prompt[place, 1], codes, bounds=(0.0, 1.0), confidence=confidence)
        ends = [_spread(paths[:, place, what], confidence) for what in (0, 2)]
        rows[name] = {
            "usd_per_month": bill, "low": max(low, 0.0), "high": high,
            "market_low": ends[0][0], "market_high": ends[0][1],
            "quality": good, "quality_low": good_low, "quality_high": good_high,
            "failed": paths[:, place, 2].mean(), "failed_market_low": ends[1][0], "failed_market_high": ends[1][1],
        }  # fmt: skip
        tail = (1 - confidence) / 2
        each, total = daily[:, place, :, 0], daily[:, place, :, 0].cumsum(axis=1)
        bands = [
            np.quantile(usd, [tail, 1 - tail], axis=0) if n_paths > 1 else np.full((2, n_days), np.nan)
            for usd in (each, total)
        ]
        means = daily[:, place].mean(axis=0)
        days.append(
            pd.DataFrame(
                {"policy": name, "date": dates, "usd": means[:, 0], "usd_low": bands[0][0], "usd_high": bands[0][1],
                 "quality": means[:, 1], "failed": means[:, 2],
                 "total_usd": total.mean(axis=0), "total_low": bands[1][0], "total_high": bands[1][1]}
            )
        )  # fmt: skip
    few = few_groups_note(codes)
    if 1 < n_paths < 2 / (1 - confidence) - 1:
        notes = (*notes, f"{n_paths} markets are too few for a {confidence:.0%} range over markets")
    prompts = {name: (of_prompt[p, 0], of_prompt[p, 1]) for p, name in enumerate(names)}
    return Replay(
        pd.DataFrame.from_dict(rows, orient="index").rename_axis("policy"), pd.concat(days, ignore_index=True),
        of_prompt.shape[2], n_days, n_paths, confidence, provenance, (*notes, *([few] if few else [])),
        prompts, paths, codes,
    )  # fmt: skip
