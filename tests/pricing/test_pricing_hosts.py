"""One model, many hosts: each has its own prices, one's own machine none, and a reply answers for its host alone."""

from __future__ import annotations

import hashlib
import json
import math
import warnings
from datetime import date
from typing import Any

import openai
import pandas as pd
import pytest

import routerlab as rl
from routerlab.completions import Request as Ask, account, most_cost, request_cost, resolve_models
from tests.llm_server import LLMServer

MILLION = {"prompt_tokens": 10**6, "completion_tokens": 10**6}


def at(url: str, **options: Any) -> openai.OpenAI:
    return openai.OpenAI(base_url=url, api_key="k", **options)


# (name, address) -> USD for 1M tokens in and 1M out, as the list of that host says; None where there is none
HOSTS: dict[tuple[str, str], float | None] = {
    ("gpt-oss-120b", "https://api.cerebras.ai/v1"): 0.35 + 0.75,
    ("openai/gpt-oss-120b", "https://api.groq.com/openai/v1"): 0.15 + 0.60,
    ("llama-3.3-70b-versatile", "https://api.groq.com/openai/v1"): 0.59 + 0.79,
    ("openai/gpt-4o", "https://openrouter.ai/api/v1"): 2.5 + 10,
    ("gpt-4o", "https://api.openai.com/v1"): 2.5 + 10,
    ("gpt-4o", "https://mine.openai.azure.com/openai/v1"): 2.5 + 10,
    ("gpt-4o", "http://api.openai.com/v1/"): 2.5 + 10,
    ("models/gemini-2.5-flash", "https://generativelanguage.googleapis.com/v1beta/openai/"): 0.3 + 2.5,
    ("gemini-2.5-flash", "https://generativelanguage.googleapis.com/v1beta/openai/"): 0.3 + 2.5,
    ("gpt-4o", "https://api.groq.com/openai/v1"): None,
    ("gpt-4o", "https://llm.example.com/v1"): None,
    ("deepseek-r1:7b", "http://localhost:11434/v1"): None,
    ("gpt-4o", "http://127.0.0.1:8000/v1"): None,
    ("gpt-4o", "http://[::1]:8000/v1"): None,
    ("gpt-4o", "http://10.1.2.3:8000/v1"): None,
    ("gpt-4o", "http://vllm:8000/v1"): None,
    ("gpt-4o", "http://host.docker.internal:8000/v1"): None,
}


@pytest.mark.parametrize(("name", "address"), HOSTS)
def test_the_host_decides_the_price(name: str, address: str) -> None:
    usd = HOSTS[name, address]
    ask = Ask(name, [{"role": "user", "content": "Hi"}], {"max_tokens": 10})
    served_by = rl.Endpoint(name, at(address)).name
    table = pd.DataFrame({"prompt_id": ["p"], "model": ["m"], "response": ["r"], "served_by": [served_by]})
    table[["input_tokens", "output_tokens"]] = 10**6
    for client in (at(address), lambda: openai.AsyncOpenAI(base_url=address, api_key="k")):
        endpoint = rl.Endpoint(name, client)
        billed = account(MILLION, endpoint)
        if usd is None:
            assert math.isnan(billed.cost_usd) and billed.cost_source is None
            assert math.isnan(request_cost(endpoint, 1, 1)) and math.isnan(most_cost(endpoint, ask))
        else:
            assert billed.cost_usd == pytest.approx(usd, rel=1e-12) and billed.cost_source == "price list"
            assert request_cost(endpoint, 10**6, 10**6) == pytest.approx(usd, rel=1e-12)
            assert 0 < most_cost(endpoint, ask) < 0.01
    if usd is None:
        with pytest.warns(rl.UnknownPriceWarning, match="costs nothing"):
            assert math.isnan(rl.add_cost(table)["cost_usd"][0])
    else:
        assert rl.price(name, 10**6, 10**6, provider=address) == pytest.approx(usd, rel=1e-12)
        expected = HOSTS.get((name.removeprefix("models/"), address), usd)
        assert rl.add_cost(table)["cost_usd"][0] == pytest.approx(expected, rel=1e-12)


def test_who_bills_behind_ones_own_proxy_can_be_said() -> None:
    proxy = at("http://localhost:4000")
    assert account(MILLION, rl.Endpoint("gpt-4o", proxy, provider="openai")).cost_usd == pytest.approx(12.5)
    assert account(MILLION, rl.Endpoint("gpt-oss-120b", proxy, provider="cerebras")).cost_usd == pytest.approx(1.1)
    assert account(MILLION, rl.Endpoint("mine", proxy, price="gpt-4o")).cost_usd == pytest.approx(
        12.5
    )  # the list's name
    (endpoint,) = resolve_models(["mine"], proxy, {"mine": "gpt-4o"})["mine"]
    assert account(MILLION, endpoint).cost_usd == pytest.approx(12.5)
    assert (
        repr(rl.Endpoint("gpt-4o", provider="openai", batch=True))
        == "Endpoint('gpt-4o', provider='openai', batch=True)"
    )


@pytest.mark.parametrize("provider", ["", " ", 7, "no-such-company"])
def test_a_provider_that_nobody_knows_is_refused(provider: Any) -> None:
    with pytest.raises(rl.ParameterError, match="Endpoint, 'provider': got"):
        rl.Endpoint("gpt-4o", provider=provider)


@pytest.mark.parametrize(
    ("name", "usd"),
    [("openai/gpt-4o", 12.5), ("OpenAI/GPT-4o", 12.5), ("x-ai/grok-4", 18.0), ("google/gemini-2.5-pro", None)],
)
def test_openrouters_spelling_needs_no_host(name: str, usd: float | None) -> None:
    vendor, _, plain = name.partition("/")
    assert rl.price(name, 10**5, 10**5) == rl.price(plain, 10**5, 10**5, provider=vendor.lower()) > 0
    if usd is not None:
        assert rl.price(name, 10**5, 10**5) == pytest.approx(usd / 10)


@pytest.mark.parametrize("name", ["deepseek-r1:7b", "deepseek-r1:latest", "mistral-small:24b-instruct-q4_K_M"])
def test_a_model_with_ollamas_tag_has_no_price_of_a_cloud(name: str) -> None:
    with pytest.warns(rl.UnknownPriceWarning, match="costs nothing"):
        assert math.isnan(rl.price(name, 1000, 1000))
    assert math.isnan(account(MILLION, rl.Endpoint(name)).cost_usd)


def test_the_price_is_that_of_the_moment() -> None:
    days = ["2025-06-01", date(2025, 6, 1), pd.Timestamp("2025-06-01"), "2025-06-01T10:00:00+02:00"]
    assert {rl.price("o3", 10**6, 0, on=day) for day in days} == {10.0}
    assert rl.price("o3", 10**6, 0, on="2025-07-01") == 2.0
    with pytest.raises(rl.ParameterError, match="'on': got 'last year', expected a date"):
        rl.price("o3", 1, 1, on="last year")


def test_batch_prices_of_a_table() -> None:
    row = {"prompt_id": "p", "model": "gpt-4o", "response": "r", "input_tokens": 10**6, "output_tokens": 10**6}
    table = pd.DataFrame([row])
    assert rl.add_cost(table, batch=True)["cost_usd"].tolist() == [6.25]
    assert rl.price("gpt-4o", 10**6, 10**6, batch=True) == 6.25
    with pytest.warns(rl.UnknownPriceWarning):
        assert rl.add_cost(table, batch=True, provider="azure")["cost_usd"].isna().all()


def test_cached_tokens_of_a_table() -> None:
    row = {"prompt_id": "p", "response": "r", "input_tokens": 10**6, "output_tokens": 0, "cached_tokens": 400_000}
    table = pd.DataFrame([{**row, "model": "gpt-4o"}, {**row, "model": "ours"}, {**row, "model": "theirs"}])
    costs = rl.add_cost(table, {"ours": (1, 9, 0.1), "theirs": (1, 9)})["cost_usd"]
    assert costs.tolist() == pytest.approx([2.0, 0.64, 1.0])
    prices = pd.DataFrame({"model": ["ours", "theirs"], "input_usd_per_1m": 1.0, "output_usd_per_1m": 9.0})
    prices["cached_input_usd_per_1m"] = [0.1, None]
    assert rl.add_cost(table, prices)["cost_usd"].tolist() == pytest.approx([2.0, 0.64, 1.0])
    assert rl.price("gpt-4o", 10**6, 0, cached_tokens=400_000) == pytest.approx(2.0)
    for wrong in (-1, 2 * 10**6, "many"):
        with pytest.raises(rl.TableError, match="cached_tokens"):
            rl.add_cost(table.assign(cached_tokens=wrong))
    with pytest.raises(rl.ParameterError, match="cached"):
        rl.price("gpt-4o", 10, 0, cached_tokens=11)


def test_outcomes_get_their_cost_and_are_outcomes_still() -> None:
    row = {"model": "gpt-4o", "quality": 0.5, "input_tokens": 10**6, "output_tokens": 0}
    table = pd.DataFrame([{**row, "prompt_id": "p1"}, {**row, "prompt_id": "p2", "model": "free"}])
    for outcomes in (table, table.assign(cost_usd=float("nan")), table.set_index(["prompt_id", "model"])):
        costed = rl.add_cost(outcomes, {"free": 0})
        assert costed["cost_usd"].tolist() == [2.5, 0.0]
        assert "response" not in costed
        quality, cost = rl.pivot_outcomes(rl.check_outcomes(costed).assign(model="gpt-4o"))
        assert quality.shape == cost.shape == (2, 1)
    with pytest.raises(rl.TableError, match="outcomes table: column 'output_tokens' is missing"):
        rl.add_cost(table.drop(columns="output_tokens"))
    with pytest.raises(rl.TableError, match="quality"):
        rl.add_cost(table.assign(quality=7))
    with pytest.raises(rl.TableError, match="input_tokens"):
        rl.add_cost(table.assign(input_tokens=-7))


@pytest.mark.parametrize("free", [0, 0.0, (0, 0), (0, 0, 0)])
def test_a_price_of_0_is_a_price(free: Any) -> None:
    assert account(MILLION, rl.Endpoint("m", price=free))[2:] == (0.0, "own price")
    assert rl.price("m", 10, 10, prices={"m": free}) == 0.0


@pytest.mark.parametrize("wrong", [1, 0.5, False, -0.5, (1,), (1, 2, 3, 4), (1, 2, -3), {}, 10**400])
def test_other_numbers_are_no_price(wrong: Any) -> None:
    with pytest.raises(rl.TableError, match=r"'prices' of 'm'.*or 0 if it costs nothing"):
        rl.Endpoint("m", price=wrong)


# What is set aside for a request is at least what it can cost.


def test_the_most_that_a_request_costs_holds_for_what_is_dearer() -> None:
    message = [{"role": "user", "content": "Hi"}]
    endpoint = rl.Endpoint("claude-sonnet-4-5", provider="anthropic")
    n_in = most_tokens_in = 10**4
    ask = Ask("m", [{"role": "user", "content": "x" * n_in}], {"max_tokens": 10})
    written = {"input_tokens": 0, "cache_creation_input_tokens": most_tokens_in, "output_tokens": 10}
    assert most_cost(endpoint, ask) >= account(written, endpoint).cost_usd
    spoken = rl.Endpoint("gpt-audio", provider="openai")
    voice = Ask("m", message, {"max_tokens": 1000, "modalities": ["text", "audio"]})
    usage = {"prompt_tokens": 10, "completion_tokens": 1000, "completion_tokens_details": {"audio_tokens": 1000}}
    written_only = Ask("m", message, {"max_tokens": 1000})
    assert most_cost(spoken, voice) >= account(usage, spoken).cost_usd > most_cost(spoken, written_only)
    fast = Ask("m", message, {"max_tokens": 1000, "service_tier": "priority"})
    usage = {"prompt_tokens": 10, "completion_tokens": 1000, "service_tier": "priority"}
    assert most_cost(rl.Endpoint("gpt-4o"), fast) >= account(usage, rl.Endpoint("gpt-4o")).cost_usd


def collect(client: Any, path: Any, **options: Any) -> Any:
    options = {"models": ["small"], "max_tokens": 500, "progress": False, **options}
    return rl.collect_responses({"p1": "Hi", "p2": "Ho"}, client=client, path=path, **options)


def test_estimate_and_bill_follow_the_same_rules(tmp_path) -> None:
    models = {"m": rl.Endpoint("gpt-4o", provider="openai")}
    with LLMServer() as server:
        server.tier = "priority"
        for tier, factor in ((None, 1.0), ("priority", 1.7)):
            params = {"service_tier": tier} if tier else {}
            options = {"models": models, "params": params}
            dry = collect(server.client(), tmp_path / "dry.jsonl", dry_run=True, expected_output_tokens=10, **options)
            row = dry.by_model.loc["m"]
            expected = factor * (2.5 * row["input_tokens"] + 10 * row["output_tokens"]) / 1e6
            assert dry.expected_usd == pytest.approx(expected, rel=1e-9)
        table = collect(server.client(), tmp_path / "r.jsonl", **options)
        exact = 1.7 * (2.5 * table["input_tokens"] + 10 * table["output_tokens"]) / 1e6
        assert table["cost_usd"].tolist() == pytest.approx(exact.tolist(), rel=1e-9)


def test_reasoning_beside_the_completion_is_in_table_budget_and_report(tmp_path) -> None:
    options = {"prices": {"small": (3, 15)}, "concurrency": 1, "max_tokens": 50}
    with LLMServer(reply=lambda _: "103 tokens") as server:
        server.says = {"prompt_tokens": 32, "completion_tokens": 9, "total_tokens": 135}
        with pytest.warns(rl.CollectionWarning, match="the budget was passed by that"):  # more than max_tokens
            table = collect(server.client(), tmp_path / "r.jsonl", budget_usd=0.0032, **options)
    assert table["output_tokens"].tolist() == [103, 103]
    assert table.attrs["collection"]["spent_usd"] == pytest.approx(2 * (32 * 3 + 103 * 15) / 1e6)


# One question about what a budget needs to know.


def test_a_budget_asks_once_what_local_models_cost_and_then_works(tmp_path) -> None:
    with LLMServer() as server:
        client, path = server.client(), tmp_path / "r.jsonl"
        with pytest.raises(rl.ParameterError) as asked:
            collect(client, path, models=["small", "large", "third"], budget_usd=1)
        text = str(asked.value)
        assert "Does that cost nothing? Then pass prices={'small': 0, 'large': 0, 'third': 0}" in text
        assert "'small': (input, output)" in text and f"small at {server.base_url.split('/')[2]}" in text
        assert not server.asked
        table = collect(client, path, budget_usd=0, prices={"small": 0}, max_tokens=None)
        assert table["cost_usd"].tolist() == [0.0, 0.0] and set(table["cost_source"]) == {"own price"}
        models = {"m": rl.Endpoint("large", client, price=0)}
        assert collect(client, path, models=models, budget_usd=0)["cost_usd"].sum() == 0.0
        dry = collect(client, tmp_path / "dry.jsonl", dry_run=True)
        assert math.isnan(dry.expected_usd) and "prices={'small': 0}" in str(dry)


def test_behind_a_host_that_the_list_does_not_know_the_question_is_who_bills(tmp_path) -> None:
    with pytest.raises(rl.ParameterError, match=r"gpt-4o at llm.example.com.*Endpoint\(provider='openai'\)"):
        collect(at("https://llm.example.com/v1"), tmp_path / "r.jsonl", models=["gpt-4o"], budget_usd=1)


def test_without_a_budget_the_report_says_how_to_set_0(tmp_path) -> None:
    with (
        LLMServer() as server,
        pytest.warns(rl.CollectionWarning, match="prices= for 'small' .0 if it costs nothing") as w,
    ):
        table = collect(server.client(), tmp_path / "r.jsonl")
    assert table["cost_usd"].isna().all() and len(w) == 1


# A stored reply answers for its host alone.


def test_a_journal_does_not_answer_for_another_host(tmp_path) -> None:
    path, free = tmp_path / "r.jsonl", {"small": (0, 0)}
    with LLMServer(reply=lambda _: "stub") as stub, LLMServer(reply=lambda _: "real") as real:
        collect(stub.client(), path, prices=free)
        with pytest.warns(rl.CollectionWarning, match="replies to 2 requests from another host") as said:
            table = collect(real.client(), path, prices=free)
        assert table["response"].tolist() == ["real", "real"] and len(real.asked) == 2
        for server in (stub, real):
            assert f"small at 127.0.0.1:{server.port}" in str(said[0].message)
        for server, reply in ((stub, "stub"), (real, "real")):  # both are kept, each for its own
            assert collect(server.client(), path, prices=free)["response"].tolist() == [reply] * 2
            both = {"small": [rl.Endpoint("small", server.client()), rl.Endpoint("small", stub.client())]}
            assert collect(None, path, models=both, prices=free)["response"].tolist() == [reply] * 2
        assert len(stub.asked) == len(real.asked) == 2


def test_a_dry_run_says_what_it_would_ask_again(tmp_path) -> None:
    path, free = tmp_path / "r.jsonl", {"small": (1, 1)}
    with LLMServer() as server:
        collect(server.client(), path, prices=free)
    assert collect(None, path, prices=free, dry_run=True).n_requests == 0  # no client: no other host
    elsewhere = collect(at("https://api.groq.com/openai/v1"), path, prices=free, dry_run=True)
    assert elsewhere.n_requests == 2 and "from another host" in str(elsewhere)


def test_two_providers_behind_one_gateway_are_two(tmp_path) -> None:
    path, free = tmp_path / "r.jsonl", {"small": (0, 0)}
    with LLMServer() as server:
        for part in ("groq", "together", "groq", "together"):
            client = at(server.base_url.replace("/v1", f"/{part}/v1"))
            collect(client, path, prices=free)
        assert len(server.asked) == 4


def test_a_client_that_a_function_makes_has_a_host(tmp_path) -> None:
    path, free = tmp_path / "r.jsonl", {"small": (0, 0)}
    with LLMServer(reply=lambda _: "stub") as stub, LLMServer(reply=lambda _: "real") as real:
        table = collect(stub.async_client, path, prices=free)
        assert table.loc[0, "served_by"] == f"small at 127.0.0.1:{stub.port}"
        with pytest.warns(rl.CollectionWarning, match="another host"):
            assert collect(real.async_client, path, prices=free)["response"].tolist() == ["real", "real"]


def old_sent(model: str, params: dict[str, Any]) -> str:
    """What version 0.1.0 wrote as 'sent': model and parameters, no host."""
    body = {"model": model, **params}
    return hashlib.sha256(json.dumps(body, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


@pytest.mark.parametrize("knows_host", [True, False])
def test_a_journal_of_version_0_1_0_answers_for_its_host_and_says_so_of_others(tmp_path, knows_host) -> None:
    path, free = tmp_path / "r.jsonl", {"small": (0, 0)}
    with LLMServer(reply=lambda _: "old") as old, LLMServer(reply=lambda _: "new") as new:
        collect(old.client(), path, prices=free)
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        for line in lines:
            if line.get("type") == "record":
                line["sent"] = old_sent("small", {"max_tokens": 500})
                line["served_by"] = line["served_by"] if knows_host else "small at an endpoint"
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore" if not knows_host else "error", rl.CollectionWarning)
            assert collect(old.client(), path, prices=free)["response"].tolist() == ["old", "old"]
        assert len(old.asked) == (2 if knows_host else 4)
        with pytest.warns(rl.CollectionWarning, match=r"from another host \('small at "):
            assert collect(new.client(), path, prices=free)["response"].tolist() == ["new", "new"]


@pytest.mark.parametrize(
    "address",
    [
        "https://api.openai.com.example.org/v1",
        "https://api.openai.community/v1",
        "https://example.org/api.openai.com/v1",
        "https://example.org/x.googleapis.com/v1",
        "https://notapi.openai.com/v1",
    ],
)
def test_a_host_that_only_looks_like_a_provider_has_no_price(address: str) -> None:
    assert math.isnan(rl.price("gpt-4o", 10**6, 10**6, provider=address, warn=False))
    assert math.isnan(rl.price("gemini-2.5-flash", 10**6, 10**6, provider=address, warn=False))


@pytest.mark.parametrize(
    ("model", "address", "same"),
    [
        ("openai/gpt-oss-120b", "https://api.together.ai/v1", "https://api.together.xyz/v1"),
        (
            "google/gemini-2.5-flash",
            "https://us-central1-aiplatform.googleapis.com/v1/projects/p/locations/us-central1/endpoints/openapi",
            "https://generativelanguage.googleapis.com/v1beta/openai",
        ),
        (
            "openai/gpt-oss-120b:cerebras",
            "https://router.huggingface.co/v1",
            "https://router.huggingface.co/cerebras/v1",
        ),
        ("gpt-4o", "HTTPS://API.OPENAI.COM:443/v1/", "https://api.openai.com/v1"),
    ],
)
def test_one_provider_under_two_addresses_has_one_price(model: str, address: str, same: str) -> None:
    plain = model.partition(":")[0].removeprefix("google/")
    client = openai.OpenAI(api_key="none", base_url=address)
    usd = account(MILLION, rl.Endpoint(model, client)).cost_usd
    assert usd == account(MILLION, rl.Endpoint(plain, provider=same)).cost_usd > 0
