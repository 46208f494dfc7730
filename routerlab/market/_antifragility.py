"""Who may choose gains from prices that swing: how much, and what the option to switch is worth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from routerlab.market._replay import (
    MONTH,
    Traffic,
    believed_value,
    checked_offers,
    checked_paths,
    expected_output,
    lay_out,
    make_market,
    worth_of,
)
from routerlab.market._shocks import window
from routerlab.schema import check_matrix, provenance_of, reject, shown
from routerlab.stats import Interval, check_confidence, few_groups_note, group_codes, group_sums, t_interval

Floats = NDArray[np.float64]
FEWEST = 30  # prompts that carry a gain; with fewer, Student's interval held the truth in 70% of samples


@dataclass(frozen=True, repr=False)
class Antifragility:
    """What price swings are worth to a policy that may choose, from `antifragility`.

    Attributes
    ----------
    gain : Interval
        USD a month: mean value under the prices that were, less the value at their mean. At least 0 for one who chooses
        by what he believes; exactly 0 for one who is locked in.
    option : Interval
        USD a month: choosing each day, less keeping the first day's choices.
    changes_per_month : float
        Days on which a price changed.
    break_even_usd : float
        What one change of choices may cost before the option is worth nothing: `option` / `changes_per_month`.
    single_provider : tuple of str
        Models with one offer alone: switching among hosts cannot rescue those.
    left_out : tuple of str
        Offers that were not there on all days.
    provenance : str, optional
        Of tables and shocks.

    Notes
    -----
    The interval is over prompts, and, given several paths of the market, over markets as well. Its ends are NaN where
    a few prompts carry the sum.
    """

    gain: Interval
    option: Interval
    changes_per_month: float
    break_even_usd: float
    single_provider: tuple[str, ...]
    left_out: tuple[str, ...]
    provenance: str | None

    def __repr__(self) -> str:
        """Both figures, and what they leave out."""
        lines = [
            f"{name}: {_monthly(value)}"
            for name, value in (("gain from swings", self.gain), ("option to switch", self.option))
        ]
        worth = (
            f"prices changed on {self.changes_per_month:.1f} days a month; a change of choices may cost "
            f"{_amount(self.break_even_usd)} USD before the option is worth nothing"
        )
        lines.append(worth if self.changes_per_month else "no price changed")
        if self.single_provider:
            lines.append(f"one provider alone: {shown(self.single_provider, 3)}")
        if self.left_out:
            lines.append(f"left out, as not there on all days: {shown(self.left_out, 3)}")
        lines.append(f"{self.gain.confidence:.0%} intervals; {self.gain.method}; n = {self.gain.n:,} prompts")
        return "\n".join([*lines, *([self.provenance] if self.provenance else [])])


def _monthly(value: Interval) -> str:
    """USD a month with its interval, or why it has none."""
    if np.isnan(value.low):
        return f"{_amount(value.estimate)} USD a month, no interval" + (f": {value.note}" if value.note else "")
    ends = f"[{_amount(value.low)}, {_amount(value.high)}]"
    return f"{_amount(value.estimate)} {ends} USD a month" + (f" ({value.note})" if value.note else "")


def _amount(usd: float) -> str:
    return f"{round(usd, 2) + 0.0:,.2f}"  # not "-0.00"


def antifragility(
    shocks: pd.DataFrame | Sequence[pd.DataFrame],
    offers: pd.DataFrame,
    estimates: pd.DataFrame,
    *,
    tokens: pd.DataFrame,
    start: Any,
    end: Any,
    willingness_to_pay: float,
    quality: pd.DataFrame | None = None,
    output_tokens: pd.Series | None = None,
    traffic: float | pd.Series = 1000.0,
    switching_usd: float = 0.0,
    groups: Any = None,
    confidence: float = 0.95,
) -> Antifragility:
    """Say what price swings are worth to a policy that may choose, and the option to switch.

    A policy that sends each prompt to the offer of the largest value, ``willingness_to_pay * quality - cost(prices)``,
    gets a maximum of functions that are linear in prices; a maximum of linear functions is convex (the bill of a
    minimiser is concave). So by Jensen's inequality its mean value under prices that swing is at least its value at the
    mean prices: E[V(P)] >= V(E[P]). One who is locked to an offer has a linear V, and neither gains nor loses by swings
    around the same mean. The difference, in USD, is what this measures.

    Parameters
    ----------
    shocks : DataFrame, or sequence of DataFrame
        See `check_shocks`. Prices count here; outages and failures do not. Several paths of a market
        (`simulate_shocks`, `resample_shocks`) give an interval over markets as well.
    offers : DataFrame
        As for `routerlab.market.replay`. Offers that are not there on all days are left out, and named.
    estimates : DataFrame of shape (n_prompts, n_models)
        What the router believes of quality, of prompts that it has not seen.
    tokens : DataFrame
        ``prompt_id, model, input_tokens, output_tokens``.
    start, end : date
        The window.
    willingness_to_pay : float
        USD that one unit of quality is worth on one request; finite.
    quality : DataFrame of shape (n_prompts, n_models), optional
        Measured: what choices are really worth. By default what the router believes.
    output_tokens : Series, optional
        Output tokens that the router expects of each model; by default the mean over these prompts.
    traffic : float or Series, default 1000
        Requests a day.
    switching_usd : float, default 0
        What a change of choices costs (tests, caches that start cold, people's time); once for each day on which a
        price changed, taken off both figures.
    groups : Series or array, optional
        Prompts of one group count as one piece of evidence.
    confidence : float, default 0.95
        Of the intervals.

    Returns
    -------
    Antifragility

    Raises
    ------
    TableError
        As `routerlab.market.replay`, or fewer than two offers to choose from.

    Notes
    -----
    Where the theorem does not hold. *Switching costs*: value less the cost of changes is not convex; with
    ``switching_usd`` the gain can be negative. *Cold caches*: a prompt cache that was paid for at one offer is lost at
    another, which is such a cost for every conversation. *Single-provider models*: without a second offer that is
    good enough there is nothing to choose. *Errors of belief*: the theorem is about what the router believes; measured
    (``quality=``), it may switch to what is worse than it thinks. And it speaks of swings around a given mean: who
    chooses is not protected against a market where all prices rise.

    Examples
    --------
    >>> offers = pd.DataFrame({"offer_id": ["m@a", "m@b"], "provider": ["a", "b"], "model": "m",
    ...                        "input_usd_per_1m": 10.0, "output_usd_per_1m": 10.0})
    >>> good = pd.DataFrame({"m": [0.9, 0.8]}, index=pd.Index(["p", "q"], name="prompt_id"))
    >>> tokens = pd.DataFrame({"prompt_id": ["p", "q"], "model": "m", "input_tokens": 900, "output_tokens": 100})
    >>> swing = pd.DataFrame({"time": ["2024-01-03", "2024-01-05", "2024-01-05"], "kind": "price",
    ...                       "provider": ["a", "a", "b"], "old": [1.0, 1.5, 1.0], "new": [1.5, 1.0, 1.5]})
    >>> found = antifragility(swing, offers, good, tokens=tokens, willingness_to_pay=0.1, start="2024-01-01",
    ...                       end="2024-01-07")
    >>> round(found.gain.estimate, 2), round(found.option.estimate, 2)
    (50.73, 50.73)
    """
    check_confidence(confidence)
    first, last = window(start, end)
    offers = checked_offers(offers)
    if not np.isfinite(willingness_to_pay):
        msg = f"'willingness_to_pay' must be finite: value is in USD here. Got {willingness_to_pay!r} instead."
        raise ValueError(msg)
    paths = checked_paths(shocks, offers)
    n_days = int((last - first) / pd.Timedelta("1D"))
    markets = [make_market(offers, path, first, n_days) for path in paths]
    stays = np.all([market.there.all(axis=0) for market in markets], axis=0)
    if stays.sum() < 2:
        reject("offers table", f"has {int(stays.sum())} offer there on all days.", "There must be two to choose from.")
    kept = offers[stays].reset_index(drop=True)
    asked, _, _ = lay_out(kept, estimates, tokens, None, first, last, traffic, None)
    measured = None if quality is None else _measured(quality, asked)
    swing = np.zeros((2, len(asked.index)))  # gain and option, means over paths
    by_path = np.zeros((len(paths), 2))
    changes = np.zeros(len(paths))
    for k, market in enumerate(markets):
        prices = market.prices[:, stays]
        found = _gain(prices, asked, measured, willingness_to_pay, output_tokens)
        changes[k] = (prices[1:] != prices[:-1]).any(axis=(1, 2)).sum()
        found -= changes[k] * switching_usd / asked.requests.sum()
        by_path[k] = found.mean(axis=1)
        swing += found / len(paths)
    scale = asked.requests.sum() * MONTH / n_days
    codes = group_codes(groups, asked.index)
    frames = [shocks] if isinstance(shocks, pd.DataFrame) else list(shocks)[:1]
    note = provenance_of(estimates, quality, tokens, offers, *frames)
    gain, option = (
        _interval(scale * swing[what], scale * by_path[:, what], codes, confidence, note) for what in (0, 1)
    )
    monthly = float(changes.mean() * MONTH / n_days)
    models, n_offers = np.unique(np.array(asked.columns, dtype=object).astype(str), return_counts=True)
    return Antifragility(
        gain,
        option,
        monthly,
        option.estimate / monthly if monthly else float("inf"),
        tuple(models[n_offers == 1].tolist()),
        tuple(offers["offer_id"][~stays]),
        note,
    )


def _measured(quality: pd.DataFrame, asked: Traffic) -> Floats:
    """Measured quality by offer, of the prompts that have estimates."""
    given = check_matrix(quality, "quality", 0.0, 1.0)
    absent = [m for m in asked.columns if m not in given.columns] + list(asked.index.difference(given.index))
    if absent:
        reject("'quality'", f"lacks {shown(absent)}, which has estimates.", "Pass the same prompts and models.")
    return given.reindex(index=asked.index, columns=asked.columns).to_numpy()


def _gain(
    prices: Floats, asked: Traffic, measured: Floats | None, willingness_to_pay: float, output_tokens: pd.Series | None
) -> Floats:
    """Gain and option of each prompt, USD a request, of shape (2, n_prompts)."""
    expected = expected_output(output_tokens, asked)
    worth, weight = worth_of(asked.quality, willingness_to_pay)
    share = asked.requests / asked.requests.sum()
    rows, of_day = np.unique(prices.reshape(len(prices), -1), axis=0, return_inverse=True)
    of_row = np.bincount(of_day.ravel(), share)
    mean = np.einsum("d,doc->oc", share, prices)
    prompt = np.arange(len(asked.index))

    def value_of(choice: NDArray[np.intp], price: Floats, believed: Floats) -> Floats:
        if measured is None:
            return believed[prompt, choice]
        cost = asked.input_tokens[prompt, choice] * price[choice, 0]
        cost += asked.output_tokens[prompt, choice] * price[choice, 1]
        return np.asarray(willingness_to_pay * measured[prompt, choice] - cost)

    chosen = np.zeros(len(prompt))
    for part, row in zip(of_row, rows, strict=True):
        price = row.reshape(-1, 2)
        believed = believed_value(worth, weight, asked, price, expected)
        chosen += part * value_of(believed.argmax(axis=1), price, believed)
    at_mean = believed_value(worth, weight, asked, mean, expected)
    start = believed_value(worth, weight, asked, prices[0], expected).argmax(axis=1)
    kept = np.stack([value_of(choice, mean, at_mean) for choice in (at_mean.argmax(axis=1), start)])
    found = chosen - kept
    return np.where(np.abs(found) > 1e-12 * np.abs(kept), found, 0.0)  # rounding is not a gain


def _carried_by(of_prompt: Floats, codes: Any) -> str | None:
    """Say that few prompts carry the sum, if they do: those that matter most may not have been drawn."""
    sums = np.abs(group_sums(of_prompt, codes)[0])
    if not sums.any():
        return "no prompt gained or lost: those that would are too rare for this sample, or prices did not move"
    alike = float(sums.sum() ** 2 / (sums @ sums))  # as many equal prompts would do
    if alike >= FEWEST:
        return None
    one = round(alike) == 1
    what = ("prompt" if codes is None else "group of prompts") if one else ("prompts" if codes is None else "groups")
    who = f"a single {what} carries it" if one else f"as few as {alike:.0f} {what} carry it"
    return f"{who}; an interval takes some {FEWEST}"


def _interval(of_prompt: Floats, of_path: Floats, codes: Any, confidence: float, note: str | None) -> Interval:
    """Interval of a mean over prompts, and over paths where there are several: their half-widths add in squares."""
    estimate, low, high = t_interval(of_prompt, codes, confidence=confidence)
    method = "over prompts, the market as it was"
    notes = [few_groups_note(codes), _carried_by(of_prompt, codes)]
    if len(of_path) > 1:
        _, below, above = t_interval(of_path, confidence=confidence)
        half = float(np.hypot(high - estimate, (above - below) / 2))
        low, high = estimate - half, estimate + half
        method = f"over prompts and {len(of_path):,} markets"
    if notes[1]:
        low = high = float("nan")
    few = "; ".join(filter(None, notes)) or None
    return Interval(
        estimate, low, high, n=len(of_prompt), confidence=confidence, method=method, provenance=note,
        n_groups=None if codes is None else len(np.unique(codes)), note=few,
    )  # fmt: skip
