"""What lock-in costs on real prices, retirements and outages; outages replayed; a new model with 100 probes; speed.

python benchmarks/market.py                  needs the published files: ROUTERLAB_DATA, or a download of 30 MB
python benchmarks/market.py lock-in outages  parts: outages, failures, lock-in, onboarding, speed
"""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from figures import record

import routerlab as rl
from routerlab import market
from routerlab.datasets import fetch_incidents, fetch_llmperf
from routerlab.decision import decide
from routerlab.pricing import estimate_tokens

END = "2026-11-20"
GPT4 = "gpt-4-1106-preview"
SUCCESSOR = "gpt-5.6-sol"
# Where the models of the benchmarks were sold, of the listings that ship. Left out: Anyscale and Perplexity, whose
# listings outlived their open APIs, and Replicate, which served another quantisation.
SOLD: dict[str, list[tuple[str, str]]] = {
    "claude-instant-v1": [("anthropic", "claude-instant-1"), ("aws", "anthropic.claude-instant-v1")],
    "claude-v1": [("aws", "anthropic.claude-v1")],
    "claude-v2": [("anthropic", "claude-2"), ("aws", "anthropic.claude-v2")],
    "gpt-3.5-turbo-1106": [("openai", "gpt-3.5-turbo-1106"), ("azure", "gpt-35-turbo-1106")],
    GPT4: [("openai", GPT4), ("azure", GPT4)],
    "meta/code-llama-instruct-34b-chat": [("deepinfra", "codellama/CodeLlama-34b-Instruct-hf")],
    "meta/llama-2-70b-chat": [
        ("aws", "meta.llama2-70b-chat-v1"),
        ("deepinfra", "meta-llama/Llama-2-70b-chat-hf"),
        ("groq", "llama2-70b-4096"),
    ],
    "mistralai/mistral-7b-chat": [("deepinfra", "mistralai/Mistral-7B-Instruct-v0.1")],
    "mistralai/mixtral-8x7b-chat": [
        ("aws", "mistral.mixtral-8x7b-instruct-v0:1"),
        ("deepinfra", "mistralai/Mixtral-8x7B-Instruct-v0.1"),
        ("groq", "mixtral-8x7b-32768"),
        ("mistral", "open-mixtral-8x7b"),
        ("together", "mistralai/Mixtral-8x7B-Instruct-v0.1"),
    ],
    "zero-one-ai/Yi-34B-Chat": [("deepinfra", "01-ai/Yi-34B-Chat"), ("fireworks", "yi-34b-chat")],
}
MIXTRAL = "mistralai/Mixtral-8x7B-Instruct-v0.1"  # as the MMLU files name it
# CRUX's models. The listing gpt-4o is an alias; its quality is that of its snapshot of August 2024.
SOLD_CRUX: dict[str, list[tuple[str, str]]] = {
    "Meta-Llama-3.1-70B-Instruct": [
        ("aws", "meta.llama3-1-70b-instruct-v1:0"),
        ("cerebras", "llama3.1-70b"),
        ("deepinfra", "meta-llama/Meta-Llama-3.1-70B-Instruct"),
        ("together", "meta-llama/Meta-Llama-3.1-70B-Instruct-Turbo"),
    ],
    "Meta-Llama-3.1-8B-Instruct": [
        ("aws", "meta.llama3-1-8b-instruct-v1:0"),
        ("cerebras", "llama3.1-8b"),
        ("deepinfra", "meta-llama/Meta-Llama-3.1-8B-Instruct"),
        ("together", "meta-llama/Meta-Llama-3.1-8B-Instruct-Turbo"),
    ],
    "Qwen2.5-7B-Instruct": [("deepinfra", "Qwen/Qwen2.5-7B-Instruct"), ("fireworks", "qwen2p5-7b-instruct")],
    "claude-3-5-sonnet-20241022": [
        ("anthropic", "claude-3-5-sonnet-20241022"),
        ("aws", "anthropic.claude-3-5-sonnet-20241022-v2:0"),
    ],
    "claude-3-haiku-20240307": [
        ("anthropic", "claude-3-haiku-20240307"),
        ("aws", "anthropic.claude-3-haiku-20240307-v1:0"),
    ],
    "gpt-3.5-turbo-0125": [("openai", "gpt-3.5-turbo-0125"), ("azure", "gpt-35-turbo-0125")],
    "gpt-4o-2024-08-06": [("openai", "gpt-4o"), ("azure", "gpt-4o")],
    "gpt-4o-mini-2024-07-18": [("openai", "gpt-4o-mini"), ("azure", "gpt-4o-mini")],
}


def keep(name: str, figure: Any, n: int | None = None, protocol: str = "") -> None:
    """Write a figure to the file that all pages read; an interval that was refused has no ends there."""
    if hasattr(figure, "estimate") and not np.isfinite(figure.low):
        figure, n = figure.estimate, figure.n
    record(f"market, {name}", figure, n=n, protocol=protocol, command="python benchmarks/market.py")


def routerbench() -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Embeddings, quality, cost and tokens of RouterBench; tokens are characters / 4."""
    data = rl.fetch_routerbench()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        quality, cost = rl.pivot_outcomes(data.outcomes)
    X = rl.SentenceEmbedder().fit_transform(data.prompts.loc[quality.index, "question"])
    tokens = data.responses[data.responses["prompt_id"].isin(quality.index)][["prompt_id", "model"]].copy()
    tokens["input_tokens"] = estimate_tokens(data.prompts["prompt"]).reindex(tokens["prompt_id"]).to_numpy()
    tokens["output_tokens"] = estimate_tokens(data.responses["response"].fillna("").loc[tokens.index]).to_numpy()
    return X, quality, cost, tokens


def mmlu() -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Embeddings, quality, cost and tokens of MMLU; answers are one letter, tokens of questions characters / 4."""
    data = rl.fetch_routellm("mmlu")
    quality, cost = rl.pivot_outcomes(data.outcomes)
    X = rl.SentenceEmbedder().fit_transform(data.prompts.loc[quality.index, "prompt"])
    tokens = data.outcomes[["prompt_id", "model"]].assign(output_tokens=1.0)
    tokens["input_tokens"] = estimate_tokens(data.prompts["prompt"]).reindex(tokens["prompt_id"]).to_numpy()
    return X, quality, cost, tokens


def crux() -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Embeddings, quality, cost and tokens of CRUX; tokens are characters / 4."""
    data = rl.fetch_zeroeval("crux")
    quality, cost = rl.pivot_outcomes(data.outcomes)
    X = rl.SentenceEmbedder().fit_transform(data.prompts.loc[quality.index, "prompt"])
    return X, quality, cost, data.responses[["prompt_id", "model", "input_tokens", "output_tokens"]]


def real_market(sold: dict[str, list[tuple[str, str]]], start: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Offers of the first day and all shocks: prices, listings, retirements, outages."""
    history = market.load_price_history()
    names = {pair: model for model, pairs in sold.items() for pair in pairs} | {("openai", SUCCESSOR): SUCCESSOR}
    history = history[[pair in names for pair in zip(history["provider"], history["model"], strict=True)]]
    opening = market.opening_offers(history, start)
    opening["base_model"] = [names[pair] for pair in zip(opening["provider"], opening["model"], strict=True)]
    retired = market.retirement_shocks(market.load_retirements())
    here = pd.MultiIndex.from_frame(opening[["provider", "model"]])
    retired = retired[pd.MultiIndex.from_frame(retired[["provider", "model"]]).isin(here)]
    outages = market.outage_shocks(fetch_incidents())
    outages = outages[outages["provider"].isin(opening["provider"])]
    return opening, market.check_shocks(market.price_shocks(history, offers=opening, listings=True), retired, outages)


def outages() -> None:
    """Print the share of minutes without an incident."""
    clear = market.clear_share(market.outage_shocks(fetch_incidents()), "2023-07-11", "2025-01-10")
    print("\n| provider | minutes without an incident, 2023-07-11 to 2025-01-10, impact 2 or 3 |\n| --- | --- |")
    for name, share in clear.items():
        print(f"| {name} | {100 * share:.2f}% |")
        keep(f"clear minutes, {name}", share, 549 * 1440, "2023-07-11 to 2025-01-10, impact 2 or 3, by the minute")
    print(f"\nthe product of both would say {100 * (1 - (1 - clear.iloc[0]) * (1 - clear.iloc[1])):.3f}%")


def failures() -> None:
    """Print what real failing requests do to policies over Llama 2 70B's hosts."""
    requests = fetch_llmperf()
    requests = requests[requests["model"] == "llama-2-70b-chat"]
    ids = sorted(requests["provider"].unique())
    offers = pd.DataFrame({"offer_id": ids, "provider": ids, "model": "llama-2-70b-chat"})
    offers = offers.assign(input_usd_per_1m=1.0, output_usd_per_1m=1.0)
    index = pd.Index(["p", "q"], name="prompt_id")
    tokens = pd.DataFrame(
        {"prompt_id": index, "model": "llama-2-70b-chat", "input_tokens": 550.0, "output_tokens": 150.0}
    )
    policies = {name: market.locked(name) for name in ids} | {"any of the eight": market.hosts("llama-2-70b-chat")}
    shocks = market.failure_shocks(requests, "2023-12-01", "2024-01-01")
    result = market.replay(
        policies, shocks, offers, pd.DataFrame({"llama-2-70b-chat": 1.0}, index=index), tokens=tokens,
        start="2023-12-01", end="2024-01-01",
    )  # fmt: skip
    print("\n| host | requests that failed |\n| --- | --- |")
    for name, share in result.table["failed"].items():
        print(f"| {name} | {share:.1%} |")


def lock_in() -> None:
    """Print policies through the real shocks, with the quality that RouterBench, MMLU and CRUX measured."""
    gpt4 = {
        "locked to GPT-4 Turbo": market.locked(f"{GPT4}@openai"),
        "locked, follows to the successor": market.locked(f"{GPT4}@openai", successor=True),
        "locked, switches after 14 days": market.locked(f"{GPT4}@openai", switch_after=14),
        "GPT-4 Turbo at OpenAI or Azure": market.hosts(GPT4),
    }
    mixtral = "mistralai/mixtral-8x7b-chat"
    llama = "Meta-Llama-3.1-70B-Instruct"
    on_crux = {
        "locked to GPT-4o": market.locked("gpt-4o@openai"),
        "GPT-4o at OpenAI or Azure": market.hosts("gpt-4o-2024-08-06"),
        "locked to Llama 3.1 70B at AWS": market.locked("meta.llama3-1-70b-instruct-v1:0@aws"),
        "Llama 3.1 70B at four hosts": market.hosts(llama),
    }
    lock_in_on("RouterBench", routerbench, SOLD, "2024-03-26", gpt4 | {"Mixtral at five hosts": market.hosts(mixtral)})
    sold = {GPT4: SOLD[GPT4], MIXTRAL: SOLD[mixtral]}
    lock_in_on("MMLU", mmlu, sold, "2024-03-26", gpt4 | {"Mixtral at five hosts": market.hosts(MIXTRAL)})
    lock_in_on("CRUX", crux, SOLD_CRUX, "2024-07-26", on_crux)


def lock_in_on(name: str, load: Any, sold: Any, start: str, policies: dict[str, market.Policy]) -> None:
    """Print a table of policies, and what swings are worth, on the quality of one data set."""
    X, quality, cost, tokens = load()
    quality, cost = quality[list(sold)], cost[list(sold)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        estimates = rl.cross_estimates(rl.KNNRouter(), X, quality, cost).quality
    offers, shocks = real_market(sold, start)
    policies = dict(policies)
    for wtp in (0.03, 0.3):
        policies[f"routed at {wtp} USD, prices of the first day"] = market.routed(
            estimates, willingness_to_pay=wtp, refit="never"
        )
        policies[f"routed at {wtp} USD, on every change"] = market.routed(estimates, willingness_to_pay=wtp)
    common: dict[str, Any] = {"tokens": tokens, "start": start, "end": END, "traffic": 100_000}
    common["scenarios"] = {SUCCESSOR: quality[GPT4]} if GPT4 in quality else None
    if common["scenarios"] is None:
        offers = offers[offers["base_model"] != SUCCESSOR]
        shocks = shocks[shocks["model"] != SUCCESSOR]
    real = market.replay(policies, shocks, offers, quality, **common)
    paths = market.resample_shocks(shocks, start, END, n_paths=99)
    many = market.replay(policies, paths, offers, quality, **common)
    print(f"\n{name}: {len(quality):,} prompts, {len(offers)} offers, {len(shocks)} shocks, {start} to {END}, 100,000")
    print(f"requests a day\n\n{real.provenance}\n")
    baseline = next(iter(policies))
    against = real.compare(baseline)
    head = "policy", "USD a month", "95% of resampled markets", "quality, points", "failed", "saving, USD a month"
    print(f"| {' | '.join([*head, 'quality difference, points'])} |\n|{' --- |' * 7}")
    for policy, row in real.table.iterrows():
        spread = many.table.loc[policy]
        cells = [
            f"{row.usd_per_month:,.0f} [{row.low:,.0f}, {row.high:,.0f}]",
            f"{spread.market_low:,.0f} to {spread.market_high:,.0f}",
            f"{100 * row.quality:.1f} [{100 * row.quality_low:.1f}, {100 * row.quality_high:.1f}]",
            f"{row.failed:.2%}",
        ]
        keep(f"{name}, {policy}: USD a month", (row.usd_per_month, row.low, row.high), real.n, f"{start} to {END}")
        if policy == baseline:
            cells += ["", ""]
        else:
            won = against.loc[policy]
            cells.append(f"{won.saving_usd_per_month:,.0f} [{won.low:,.0f}, {won.high:,.0f}]")
            ends = [100 * won[c] for c in ("quality_difference", "quality_low", "quality_high")]
            cells.append(f"{ends[0]:+.1f} [{ends[1]:+.1f}, {ends[2]:+.1f}]")
            saved = (won.saving, won.saving_low, won.saving_high)
            keep(f"{name}, {policy}: saving", saved, real.n, f"{start} to {END}")
        print(f"| {policy} | {' | '.join(cells)} |", flush=True)
    swings(name, estimates, quality, tokens, offers, shocks, paths, start)


def swings(
    name: str, estimates: Any, quality: Any, tokens: Any, offers: Any, shocks: Any, paths: Any, start: str
) -> None:
    """Print what price swings alone are worth to one who chooses among the offers that were there all along."""
    kept = offers[offers["base_model"] != SUCCESSOR]

    def about(table: pd.DataFrame) -> pd.DataFrame:
        return table[table["model"].ne(SUCCESSOR) & table["kind"].isin(["price", "new", "retirement"])]

    common: dict[str, Any] = {
        "tokens": tokens,
        "start": start,
        "end": END,
        "traffic": 100_000,
        "willingness_to_pay": 0.03,
    }
    found = {
        "as believed": market.antifragility(about(shocks), kept, estimates, **common),
        "measured": market.antifragility(about(shocks), kept, estimates, quality=quality, **common),
        "as believed, resampled markets": market.antifragility([about(p) for p in paths], kept, estimates, **common),
    }
    head = "prices alone, at 0.03 USD", "gain from swings, USD a month", "option to switch, USD a month"
    print(f"\n| {' | '.join([*head, 'changes a month'])} |\n| --- | --- | --- | --- |")
    for what, result in found.items():
        cells = [
            f"{x.estimate + 0:,.1f} " + (f"[{x.low:,.1f}, {x.high:,.1f}]" if np.isfinite(x.low) else f"({x.note})")
            for x in (result.gain, result.option)
        ]
        print(f"| {what} | {' | '.join(cells)} | {result.changes_per_month:.2f} |")
        for part in ("gain", "option"):
            keep(f"{name}, {part} {what}, USD a month", getattr(result, part), protocol=f"{start} to {END}")
    print(f"\nLeft out, as not there on all days: {len(found['measured'].left_out)} of {len(kept)} offers")


WTPS = (0.003, 0.01, 0.03, 0.1, 0.3)


def values(router: Any, X: pd.DataFrame, quality: pd.DataFrame, cost: pd.DataFrame) -> np.ndarray:
    """Mean quality less cost / willingness to pay of a router's choices, at five willingnesses."""
    believed = router.predict_quality(X).to_numpy(), router.predict_cost(X).to_numpy()
    measured = quality[router.models_].to_numpy(), cost[router.models_].to_numpy()
    row = np.arange(len(X))
    choices = [decide(*believed, wtp) for wtp in WTPS]
    return np.array(
        [(measured[0][row, c] - measured[1][row, c] / w).mean() for c, w in zip(choices, WTPS, strict=True)]
    )


def onboarding_runs(load: Any, n_probes: int, seeds: Any) -> Iterator[np.ndarray]:
    """Yield, for each model held out: what full data gains, and what probes lose of it."""
    X, quality, cost = load()[:3]
    for seed in seeds:
        order = np.random.default_rng(seed).permutation(quality.index.to_numpy())
        train, test = order[: len(order) // 2], order[len(order) // 2 :][:3000]
        held = X.loc[test], quality.loc[test], cost.loc[test]
        full = rl.KNNRouter().fit(X.loc[train], quality.loc[train], cost=cost.loc[train])
        best = values(full, *held)
        for new in quality.columns:
            old = [m for m in quality.columns if m != new]
            base = rl.KNNRouter(full.n_neighbors_).fit(X.loc[train], quality.loc[train, old], cost=cost.loc[train, old])
            probes = market.probe_prompts(base, n_probes, random_state=seed)
            asked = pd.DataFrame({"quality": quality.loc[probes.index, new], "cost_usd": cost.loc[probes.index, new]})
            asked = asked.rename_axis("prompt_id").reset_index().assign(model=new)
            grown = market.add_model(base, asked, probes=probes, willingness_to_pay=0.03).router
            yield np.array([best - values(base, *held), best - values(grown, *held)])


def onboarding() -> None:
    """Print what is lost by asking a new model 100 prompts instead of all."""
    worlds = {"RouterBench": (routerbench, 8), "CRUX": (crux, 8), "MMLU": (mmlu, 4)}
    head = " | ".join(f"gain at {w} USD, points; lost" for w in WTPS)
    print(f"\n| data | probes | splits | {head} | lost of all gains |")
    print(f"|{' --- |' * (len(WTPS) + 4)}")
    for name, (load, n) in worlds.items():
        for n_probes in (50, 100):
            runs = np.array(list(onboarding_runs(load, n_probes, range(20, 20 + n))))
            gain, lost = runs[:, 0].mean(axis=0), runs[:, 1].mean(axis=0)
            cells = [f"{100 * g:.2f}; {100 * x:.2f}" for g, x in zip(gain, lost, strict=True)]
            share = lost.sum() / gain.sum()
            print(f"| {name} | {n_probes} | {n} | {' | '.join(cells)} | {share:.0%} |", flush=True)
            keep(
                f"onboarding {name}, {n_probes} probes: lost of the gain", share, len(runs), f"{n} splits, every model"
            )


def speed() -> None:
    """Time 1,000 days, 20 offers, 10,000 prompts, two routed policies."""
    rng = np.random.default_rng(0)
    models, ids = [f"m{k}" for k in range(10)], pd.RangeIndex(10_000, name="prompt_id")
    offers = pd.DataFrame({"provider": [f"p{k // 4}" for k in range(20)], "model": [models[k % 10] for k in range(20)]})
    offers["offer_id"] = offers["model"] + "@" + offers["provider"]
    offers["input_usd_per_1m"], offers["output_usd_per_1m"] = rng.lognormal(0, 1, 20), rng.lognormal(1, 1, 20)
    quality = pd.DataFrame(rng.random((10_000, 10)), ids, models)
    cells = pd.MultiIndex.from_product([ids, models], names=["prompt_id", "model"])
    tokens = pd.DataFrame(
        {"input_tokens": 500.0, "output_tokens": rng.integers(50, 500, len(cells))}, cells
    ).reset_index()
    policies = {
        "locked": market.locked(offers["offer_id"][0]),
        "hosts": market.hosts("m0"),
        "never": market.routed(quality, willingness_to_pay=0.01, refit="never"),
        "always": market.routed(quality, willingness_to_pay=0.01),
    }
    start, end = "2024-01-01", pd.Timestamp("2024-01-01") + pd.Timedelta(days=1000)
    print("\n| price changes a year and offer | shocks | seconds |\n| --- | --- | --- |")
    for rate in (1, 25):
        shocks = market.simulate_shocks(offers, start, end, price_changes_per_year=rate, outages_per_year=60)[0]
        begun = time.perf_counter()
        market.replay(policies, shocks, offers, quality, tokens=tokens, start=start, end=end)
        print(f"| {rate} | {len(shocks):,} | {time.perf_counter() - begun:.1f} |", flush=True)


def main() -> None:
    """Run the parts named on the command line, or all."""
    parts = {"outages": outages, "failures": failures, "lock-in": lock_in, "onboarding": onboarding, "speed": speed}
    for name in sys.argv[1:] or parts:
        parts[name]()


if __name__ == "__main__":
    main()
