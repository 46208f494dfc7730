"""How often the intervals of replays and of anti-fragility hold the truth, on simulated markets.

python benchmarks/coverage_market.py [simulations]           all parts
python benchmarks/coverage_market.py 400 prompts             parts: prompts, markets, both, worth

*Over prompts*: a market is fixed, and samples of prompts are drawn from a population whose value is known. *Over
markets*: a further market of the same kind falls into the range of 99 simulated ones; and into that of 99 markets
resampled from a single history, which has to learn from the history how often things happen. *Worth*: a new model is
learnt from 100 probes among 500 prompts, and what it then brings to others is known.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

import routerlab as rl
from routerlab import market

START, DAYS, WTP = "2024-01-01", 360, 0.02
MODELS = ("small", "medium", "large", "huge")
OFFERS = pd.DataFrame(
    {
        "provider": ["a", "b", "a", "b", "c", "c"],
        "model": ["small", "small", "medium", "large", "large", "huge"],
        "input_usd_per_1m": [0.2, 0.25, 1.0, 3.0, 3.2, 10.0],
        "output_usd_per_1m": [0.4, 0.5, 3.0, 9.0, 9.5, 30.0],
    }
)
OFFERS.insert(0, "offer_id", OFFERS["model"] + "@" + OFFERS["provider"])
HISTORY: dict[str, Any] = {"price_changes_per_year": 2.0, "log_ratio": (-0.05, 0.5), "outages_per_year": 40}
END = pd.Timestamp(START) + pd.Timedelta(days=DAYS)
EXPECTED = pd.Series(np.exp(5 + 0.7**2 / 2), index=MODELS)  # output tokens, as a router learnt them elsewhere


def population(n: int = 20_000, seed: int = 0) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Quality, estimates and tokens of many prompts; tokens of a prompt are lognormal."""
    rng = np.random.default_rng(seed)
    index = pd.RangeIndex(n, name="prompt_id")
    hard = rng.random(n)
    chance = np.clip(np.array([0.55, 0.68, 0.78, 0.85]) + 0.5 * (0.5 - hard)[:, None], 0.02, 0.98)
    quality = pd.DataFrame((rng.random((n, 4)) < chance).astype(float), index, MODELS)
    estimates = pd.DataFrame(np.clip(chance + rng.normal(0, 0.08, chance.shape), 0, 1), index, MODELS)
    asked, answered = rng.lognormal(6, 0.7, n), rng.lognormal(5, 0.7, (n, 4))
    tokens = pd.DataFrame({"input_tokens": np.repeat(asked, 4), "output_tokens": answered.ravel()})
    cells = pd.MultiIndex.from_product([index, MODELS], names=["prompt_id", "model"])
    return quality, estimates, tokens.set_index(cells)


def drawn(everyone: Any, rows: np.ndarray) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Return a sample of the population, prompts numbered from 0."""
    quality, estimates, tokens = everyone
    index = pd.RangeIndex(len(rows), name="prompt_id")
    cells = pd.MultiIndex.from_product([index, MODELS], names=["prompt_id", "model"])
    places = (rows[:, None] * 4 + np.arange(4)).ravel()
    return (
        quality.iloc[rows].set_axis(index),
        estimates.iloc[rows].set_axis(index),
        tokens.iloc[places].set_axis(cells).reset_index(),
    )


def replayed(sample: Any, shocks: Any) -> market.Replay:
    """Replay one that is locked in, and one that routes."""
    quality, estimates, tokens = sample
    policies = {
        "locked": market.locked("large@b"),
        "routed": market.routed(estimates, willingness_to_pay=WTP, output_tokens=EXPECTED),
    }
    return market.replay(policies, shocks, OFFERS, quality, tokens=tokens, start=START, end=END)


def taken(result: market.Replay, rows: np.ndarray) -> market.Replay:
    """Return what a replay of some of the prompts gives: policies here choose for each prompt by itself."""
    prompts = {name: tuple(values[rows] for values in pair) for name, pair in result._prompts.items()}
    return replace(result, n=len(rows), _prompts=prompts)


def swings(sample: Any, shocks: Any) -> market.Antifragility:
    """Measure what swings are worth."""
    _, estimates, tokens = sample
    return market.antifragility(
        shocks, OFFERS, estimates, tokens=tokens, start=START, end=END, willingness_to_pay=WTP, output_tokens=EXPECTED
    )


def simulate(n_paths: int, seed: Any) -> list[pd.DataFrame]:
    """Draw markets."""
    return market.simulate_shocks(OFFERS, START, END, n_paths=n_paths, random_state=seed, **HISTORY)


def row(measure: str, world: str, n: int, held: list[Any], width: list[float]) -> dict[str, Any]:
    """Sum up one cell; an interval without ends was refused."""
    given = np.isfinite(width)
    coverage = float(np.mean(np.array(held)[given])) if given.any() else float("nan")
    middle = float(np.median(np.array(width)[given])) if given.any() else float("nan")
    return {
        "measure": measure, "world": world, "n": n, "coverage": coverage, "false": None, "nominal": 0.95,
        "refused": 1 - float(given.mean()), "width": middle,
        "n_simulations": len(held),
    }  # fmt: skip


def over_prompts(n_simulations: int, sizes: tuple[int, ...], seed: int) -> Iterator[dict[str, Any]]:
    """Draw samples of prompts in one market."""
    everyone = population()
    shocks = simulate(1, seed)[0]
    whole = drawn(everyone, np.arange(len(everyone[0])))
    result, gain = replayed(whole, shocks), swings(whole, shocks)
    truth = result.compare("locked").loc["routed"]
    columns = {
        "saving, USD a month": ("saving_usd_per_month", "low", "high"),
        "saving, share": ("saving", "saving_low", "saving_high"),
        "quality difference": ("quality_difference", "quality_low", "quality_high"),
    }
    for n in sizes:
        rng = np.random.default_rng([seed, n])
        held: dict[str, list[bool]] = {name: [] for name in (*columns, "gain from swings", "option to switch")}
        width: dict[str, list[float]] = {name: [] for name in held}
        for _ in range(n_simulations):
            rows = rng.integers(len(everyone[0]), size=n)
            found = taken(result, rows).compare("locked").loc["routed"]
            for name, (value, low, high) in columns.items():
                held[name].append(bool(found[low] <= truth[value] <= found[high]))
                width[name].append(found[high] - found[low])
            own = swings(drawn(everyone, rows), shocks)
            for name, part, true in (
                ("gain from swings", own.gain, gain.gain),
                ("option to switch", own.option, gain.option),
            ):
                held[name].append(part.low <= true.estimate <= part.high)
                width[name].append(part.high - part.low)
        for name in held:
            yield row(name, f"market {seed}, prompts drawn", n, held[name], width[name])


def over_markets(n_histories: int, seed: int, n_new: int = 300) -> Iterator[dict[str, Any]]:
    """Draw ranges of markets, and see how many further markets fall into each."""
    everyone = population()
    sample = drawn(everyone, np.arange(50))
    names = "bill, locked", "bill, routed", "saving, USD a month"
    bills = replayed(sample, simulate(n_new, [seed, 0]))._paths[..., 0]
    new = np.column_stack([bills, bills[:, 0] - bills[:, 1]])
    for world in ("99 simulated markets", "99 markets resampled from one history"):
        held: dict[str, list[float]] = {name: [] for name in names}
        width: dict[str, list[float]] = {name: [] for name in names}
        for k in range(n_histories):
            paths = simulate(99, [seed, k + 1])
            if "resampled" in world:
                paths = market.resample_shocks(paths[0], START, END, n_paths=99, random_state=k)
            ranges = replayed(sample, paths)
            found = [tuple(ranges.table.loc[p, ["market_low", "market_high"]]) for p in ("locked", "routed")]
            found.append(tuple(ranges.compare("locked").loc["routed", ["market_low", "market_high"]]))
            for (low, high), values, name in zip(found, new.T, names, strict=True):
                held[name].append(float(((low <= values) & (values <= high)).mean()))
                width[name].append(high - low)
        for name in names:
            yield row(name, world, 50, held[name], width[name])


def over_both(n_simulations: int, sizes: tuple[tuple[int, int], ...], seed: int) -> Iterator[dict[str, Any]]:
    """Draw samples of prompts and of markets: expected gains."""
    everyone = population()
    whole = drawn(everyone, np.random.default_rng(seed).integers(len(everyone[0]), size=2000))
    gain = swings(whole, simulate(1500, seed + 1))
    for n, n_paths in sizes:
        rng = np.random.default_rng([seed, n, n_paths])
        held: dict[str, list[bool]] = {"gain from swings": [], "option to switch": []}
        width: dict[str, list[float]] = {name: [] for name in held}
        for _ in range(n_simulations):
            rows = rng.integers(len(everyone[0]), size=n)
            own = swings(drawn(everyone, rows), simulate(n_paths, rng))
            for name, part, true in zip(held, (own.gain, own.option), (gain.gain, gain.option), strict=True):
                held[name].append(part.low <= true.estimate <= part.high)
                width[name].append(part.high - part.low)
        for name in held:
            yield row(name, f"{n_paths} markets and prompts drawn", n, held[name], width[name])


# Log-odds of a right answer without and with the prompt's two features, USD a request, USD that quality is worth.
NEW_MODELS: dict[str, tuple[Any, ...]] = {
    "takes a third or more": ([1.0, 0.3, 0.7], [[0.2, 0.8, 1.0], [0.8, 0.3, 0.0]], [0.01, 0.001, 0.002], 0.05),
    "complements a rival": ([0.8, 0.3, 0.8], [[1.0, 0.3, -1.0], [0.0, 0.0, 0.0]], [0.005, 0.001, 0.005], 0.1),
    "hardly ever chosen": ([1.2, 0.6, 0.2], [[0.5, 0.5, 0.5], [0.0, 0.0, 0.0]], [0.01, 0.001, 0.004], 0.05),
}


def onboarded(which: str, rng: np.random.Generator) -> tuple[float, float, float]:
    """Return the interval of a new model's worth, and what it brought to 3,500 other prompts."""
    base, slopes, prices, wtp = NEW_MODELS[which]
    names = ["large", "small", "new"]
    X = pd.DataFrame(rng.normal(size=(4000, 3)))
    chance = 1 / (1 + np.exp(-(np.array(base) + X[[0, 1]].to_numpy() @ np.array(slopes))))
    quality = pd.DataFrame((rng.random((4000, 3)) < chance) * 1.0, X.index, names)
    cost = pd.DataFrame(dict(zip(names, prices, strict=True)), index=X.index)
    some, rest = X.index[:500], X.index[500:]
    router = rl.KNNRouter(40, willingness_to_pay=wtp)
    router.fit(X.loc[some], quality.loc[some, names[:2]], cost=cost.loc[some, names[:2]])
    probes = market.probe_prompts(router, 100, random_state=rng)
    asked = pd.DataFrame({"model": "new", "quality": quality["new"], "cost_usd": cost["new"]}).loc[probes.index]
    found = market.add_model(router, asked.rename_axis("prompt_id").reset_index(), probes=probes)
    value = (wtp * quality - cost).loc[rest].to_numpy()
    with_it, without = (
        value[np.arange(len(rest)), quality.columns.get_indexer(r.predict(X.loc[rest]))].mean()
        for r in (found.router, router)
    )
    low, high = found.worth.loc["new", ["low", "high"]]
    return low, high, 1000 * (with_it - without)


def over_new_models(n_simulations: int, seed: int, which: Any = NEW_MODELS) -> Iterator[dict[str, Any]]:
    """Draw prompts, outcomes and probes of new models."""
    for name in which:
        rng = np.random.default_rng(seed)
        found = [onboarded(name, rng) for _ in range(n_simulations)]
        held, width = zip(*[(low <= truth <= high, high - low) for low, high, truth in found], strict=True)
        yield row("worth of a new model", name, 100, list(held), list(width))


def rows(n_simulations: int = 400, thin: bool = False, seed: int = 0) -> Iterator[dict[str, Any]]:
    """Yield one row for each cell."""
    # Market 0: one prompt in fourteen gains. Market 1: almost all do.
    for which in (1,) if thin else (1, 0):
        yield from over_prompts(n_simulations, (150,) if thin else (60, 150, 400), which)
    if not thin:
        yield from over_markets(n_simulations // 10, seed)
        yield from over_both(n_simulations // 2, ((150, 40), (400, 100)), seed)


def main() -> None:
    """Print a markdown table."""
    n = int(sys.argv[1]) if len(sys.argv) > 1 else 400
    parts = {
        "prompts": lambda: (cell for which in (1, 0) for cell in over_prompts(n, (60, 150, 400), which)),
        "markets": lambda: over_markets(n // 10, 0),
        "both": lambda: over_both(n // 2, ((150, 40), (400, 100)), 0),
        "worth": lambda: over_new_models(n, 1),
    }
    print(f"| measure | world | n | coverage | refused | simulations | median width |\n|{' --- |' * 7}")
    for name in sys.argv[2:] or parts:
        for cell in parts[name]():
            shown = f"{cell['coverage']:.3f} | {cell['refused']:.2f} | {cell['n_simulations']} | {cell['width']:.3g}"
            print(f"| {cell['measure']} | {cell['world']} | {cell['n']:,} | {shown} |", flush=True)


if __name__ == "__main__":
    main()
