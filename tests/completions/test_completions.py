"""collect_responses as its user meets it: the table, resuming, clients, fallbacks, the dry run, bad input."""

import asyncio
import json
import math
import re
import warnings

import numpy as np
import openai
import pandas as pd
import pytest
from hypothesis import given, settings, strategies as st

import routerlab as rl
from routerlab.completions import CollectionWarning, CostEstimate, Endpoint, Request, run_requests
from routerlab.schema import TableError, check_responses
from tests.llm_server import LLMServer, default_reply

PROMPTS = {"p1": "Poach an egg?", "p2": "Boil one?", "p3": "Fry one?"}
PRICES = {"small": (1.0, 2.0), "large": (10.0, 20.0)}


@pytest.fixture
def server():
    with LLMServer(prices=PRICES) as running:
        yield running


def collect(server, path, prompts=PROMPTS, models=("small", "large"), **options):
    options = {"client": server.client(), "prices": PRICES, "progress": False, "backoff_s": 0.01, **options}
    return rl.collect_responses(prompts, models, path=path, **options)


def texts(model, prompts=PROMPTS):
    return [default_reply({"model": model, "messages": [{"content": prompt}]}) for prompt in prompts.values()]


def test_the_table_holds_every_models_response_to_every_prompt(server, tmp_path):
    table = collect(server, tmp_path / "r.jsonl")
    pd.testing.assert_frame_equal(check_responses(table, pd.DataFrame({"prompt_id": list(PROMPTS)})), table)
    assert list(table["prompt_id"]) == ["p1", "p1", "p2", "p2", "p3", "p3"]
    assert list(table["model"]) == ["small", "large"] * 3
    assert list(table.loc[table.model == "large", "response"]) == texts("large")
    assert table["error"].isna().all() and (table["finish_reason"] == "stop").all()
    assert table["cost_usd"].sum() == pytest.approx(server.billed_usd)
    assert (table["latency_s"] > 0).all() and (table["attempts"] == 1).all()
    assert set(table["served_by"]) == {f"{m} at 127.0.0.1:{server.port}" for m in PRICES}
    report = table.attrs["collection"]
    assert (report["n_answered"], report["n_failed"], report["n_left_out"]) == (6, 0, 0)
    assert report["spent_usd"] == pytest.approx(server.billed_usd)
    assert json.loads(json.dumps(table.attrs["collection"])) == report


def test_a_second_run_asks_only_for_what_is_missing(server, tmp_path):
    path = tmp_path / "r.jsonl"
    first = collect(server, path, dict(list(PROMPTS.items())[:2]), ["small"])
    more = collect(server, path)
    assert len(server.asked) == 6
    assert more.attrs["collection"]["n_from_journal"] == 2
    pd.testing.assert_frame_equal(more.iloc[[0, 2]].reset_index(drop=True), first)
    pd.testing.assert_frame_equal(collect(server, path), more)
    assert len(server.asked) == 6


@pytest.mark.parametrize(
    "change",
    [
        {"max_tokens": 500},
        {"system": "Be brief."},
        {"temperature": 0.0},
        {"params": {"seed": 1}},
        {"params": {"extra_body": {"top_k": 4}}},
        {"prompts": {"p1": "Poach an egg!"}},
        {"prompts": {"q1": "Poach an egg?"}},
        {"models": {"small": "other"}},
        {"models": {"small": Endpoint("small", params={"seed": 2})}},
    ],
    ids=str,
)
def test_whatever_changes_the_reply_asks_again(server, tmp_path, change):
    server.prices = (1.0, 2.0)
    path, base = tmp_path / "r.jsonl", {"prompts": {"p1": "Poach an egg?"}, "models": ["small"]}
    collect(server, path, **base)
    collect(server, path, **{**base, **change})
    assert len(server.asked) == 2
    collect(server, path, **base)
    assert len(server.asked) == 2


def test_a_provider_or_fallback_that_is_added_does_not_ask_again(server, tmp_path):
    path = tmp_path / "r.jsonl"
    collect(server, path, models=["small"])
    with LLMServer() as other:
        models = [Endpoint("small", other.client()), Endpoint("large"), Endpoint("small")]
        collect(server, path, models={"small": models})
        assert not other.asked
    assert len(server.asked) == 3


def test_parameters_arrive_as_they_were_given(server, tmp_path):
    options = {"system": "Be brief.", "max_tokens": 9, "temperature": 0.5, "params": {"seed": 3, "top_k": 4}}
    models = {"small": Endpoint("small", params={"max_tokens": None, "max_completion_tokens": 7})}
    with pytest.warns(CollectionWarning, match="3 responses are cut off at max_tokens=9: their finish_reason"):
        table = collect(server, tmp_path / "r.jsonl", models=models, **options)
    prompt = {"role": "user", "content": server.asked[0].prompt}
    sent = {"model": "small", "temperature": 0.5, "seed": 3, "top_k": 4, "max_completion_tokens": 7}
    assert server.asked[0].body == {"messages": [{"role": "system", "content": "Be brief."}, prompt], **sent}
    assert (table["output_tokens"] == 7).all() and (table["finish_reason"] == "length").all()


def test_failed_cells_say_why_and_are_asked_again(server, tmp_path):
    path = tmp_path / "r.jsonl"
    server.script = lambda ask: "400" if ask.prompt == PROMPTS["p2"] else None
    with pytest.warns(CollectionWarning, match=r"1 of 3 requests failed"):
        table = collect(server, path, models=["small"]).set_index("prompt_id")
    assert table.loc["p2", "response"] == ""
    assert "HTTP 400 (context_length_exceeded): This prompt is too long." in table.loc["p2", "error"]
    assert math.isnan(table.loc["p2", "cost_usd"]) and math.isnan(table.loc["p2", "latency_s"])
    assert len(server.asked) == 3  # a 400 is not repeated
    server.script = None
    table = collect(server, path, models=["small"])
    assert list(table["response"]) == texts("small") and len(server.asked) == 4
    # The table with failed cells is a responses table like any other, priced or not.
    assert rl.add_cost(check_responses(table), PRICES)["cost_usd"].notna().all()


@pytest.mark.parametrize("kind", ["table", "index", "series", "list", "generator"])
def test_prompts_may_come_in_many_forms(server, tmp_path, kind):
    frame = pd.DataFrame({"prompt_id": list(PROMPTS), "prompt": list(PROMPTS.values())})
    forms = {
        "table": frame,
        "index": frame.set_index("prompt_id"),
        "series": frame.set_index("prompt_id")["prompt"],
        "list": list(PROMPTS.values()),
        "generator": (p for p in PROMPTS.values()),
    }
    models = (name for name in ["small"])
    table = collect(server, tmp_path / "r.jsonl", forms[kind], models)
    assert list(table["prompt_id"]) == list(PROMPTS) and list(table["response"]) == texts("small")


def test_whole_numbers_are_prompt_ids_too(server, tmp_path):
    prompts = pd.Series(["a", "b"], index=np.array([7, 8]))
    for _ in range(2):
        assert collect(server, tmp_path / "r.jsonl", prompts, ["small"])["prompt_id"].tolist() == [7, 8]
    assert len(server.asked) == 2


# Clients.


@pytest.mark.parametrize("kind", ["sync", "async", "function", "azure"])
def test_clients_of_every_kind(server, tmp_path, kind):
    clients = {
        "sync": server.client(default_headers={"X-Team": "eggs"}, default_query={"v": "2"}),
        "async": server.async_client(default_headers={"X-Team": "eggs"}, default_query={"v": "2"}),
        "function": lambda: server.async_client(
            default_headers={"X-Team": "eggs"}, http_client=openai.DefaultAsyncHttpxClient()
        ),
        "azure": openai.AsyncAzureOpenAI(
            api_key="azure-key-0123456789",
            azure_endpoint=f"http://127.0.0.1:{server.port}",
            api_version="2024-10-21",
            default_headers={"X-Team": "eggs"},
        ),
    }
    table = collect(server, tmp_path / "r.jsonl", models=["small"], client=clients[kind])
    assert list(table["response"]) == texts("small")
    assert server.asked[0].headers["x-team"] == "eggs"
    if kind == "async":  # the user's client still works, in the user's loop
        assert asyncio.run(ask_and_close(clients[kind])).choices


async def ask_and_close(client):
    async with client:
        return await client.chat.completions.create(model="small", messages=[{"role": "user", "content": "a"}])


def test_a_key_that_is_made_when_needed(server, tmp_path):
    server.api_key = "sk-fresh-0123456789"
    client = openai.OpenAI(base_url=server.base_url, api_key=lambda: "sk-fresh-0123456789")
    assert list(collect(server, tmp_path / "r.jsonl", models=["small"], client=client)["response"]) == texts("small")


def test_it_works_inside_a_running_event_loop(server, tmp_path):
    async def cell():
        return collect(server, tmp_path / "r.jsonl", models=["small"])

    assert list(asyncio.run(cell())["response"]) == texts("small")


@pytest.mark.parametrize(
    ("client", "message"),
    [
        (None, "'client': is missing. Pass client=openai.OpenAI()"),
        ("sk-0123456789", "'client': got str. Pass an openai.OpenAI"),
        (
            openai.AzureOpenAI(api_key="k", azure_endpoint="http://127.0.0.1:9", api_version="1"),
            "with AzureOpenAI cannot be turned into an asynchronous one. Pass the asynchronous one",
        ),
        (openai.OpenAI(api_key="k", http_client=openai.DefaultHttpxClient()), "has an http_client of its own"),
        (
            openai.AsyncOpenAI(api_key="k", http_client=openai.DefaultAsyncHttpxClient()),
            "has an http_client of its own",
        ),
        (lambda: openai.OpenAI(api_key="k"), "the function returned OpenAI. Return an openai.AsyncOpenAI"),
    ],
    ids=["none", "text", "azure", "sync http_client", "async http_client", "function"],
)
def test_clients_that_cannot_be_used_are_refused_by_name(tmp_path, client, message):
    with pytest.raises(rl.ParameterError, match=re.escape(message)):
        rl.collect_responses(PROMPTS, ["m"], path=tmp_path / "r.jsonl", client=client, progress=False)


# Providers and fallbacks.


def test_the_next_provider_answers_when_the_first_is_down(server, tmp_path):
    with LLMServer() as other:
        down = other.client()
    models = {"small": [Endpoint("small", down, price=(9, 9)), Endpoint("small-b", price=(1, 2))]}
    server.prices = (1.0, 2.0)
    table = collect(server, tmp_path / "r.jsonl", models=models, max_attempts=2)
    assert set(table["served_by"]) == {f"small-b at 127.0.0.1:{server.port}"}
    assert (table["attempts"] == 3).all()  # two at the first
    assert table["cost_usd"].sum() == pytest.approx(server.billed_usd)
    assert set(table["model"]) == {"small"}


def test_an_endpoint_that_is_down_is_left_alone_after_a_while(server, tmp_path):
    prompts = {f"p{k}": f"prompt {k}" for k in range(60)}
    server.script = lambda ask: "500"
    with pytest.warns(
        CollectionWarning, match="were not asked: small at .*requests in a row failed, the last with: HTTP 500"
    ):
        table = collect(server, tmp_path / "r.jsonl", prompts, ["small"], max_attempts=2, concurrency=4)
    failed = table["attempts"] > 0
    assert 10 <= failed.sum() <= 10 + 4
    assert table.loc[~failed, "error"].str.startswith("not asked: small at").all()
    server.script = None
    assert collect(server, tmp_path / "r.jsonl", prompts, ["small"])["error"].isna().all()


def test_an_unknown_model_closes_its_endpoint_and_no_other(server, tmp_path):
    server.script = lambda ask: "404" if ask.model == "small" else None
    with pytest.warns(CollectionWarning, match="model's name at this provider"):
        table = collect(server, tmp_path / "r.jsonl", {f"p{k}": f"q{k}" for k in range(40)}, concurrency=2)
    assert len([ask for ask in server.asked if ask.model == "small"]) <= 2
    assert table.loc[table.model == "large", "error"].isna().all()


# Costs.


def test_the_replys_own_cost_comes_before_any_price(tmp_path):
    with LLMServer(prices={"small": (3.0, 5.0)}, carries_cost=True) as server:
        table = collect(server, tmp_path / "r.jsonl", models=["small"])
    assert set(table["cost_source"]) == {"reply"}
    assert table["cost_usd"].sum() == pytest.approx(server.billed_usd)


def test_a_cost_that_nobody_knows_is_empty_never_zero(server, tmp_path):
    with pytest.warns(CollectionWarning, match="The cost of 3 replies is not known"):
        table = collect(server, tmp_path / "r.jsonl", models=["small"], prices=None)
    assert table["cost_usd"].isna().all() and table["input_tokens"].notna().all()
    assert table.attrs["collection"]["n_unpriced"] == 3


def test_the_price_list_is_used_under_the_providers_name(server, tmp_path):
    server.prices = (2.5, 10.0)
    models = {"big": Endpoint("gpt-4o", provider="openai")}
    table = collect(server, tmp_path / "r.jsonl", models=models, prices=None)
    assert set(table["cost_source"]) == {"price list"}
    assert table["cost_usd"].sum() == pytest.approx(server.billed_usd)


# The dry run.


def test_a_dry_run_sends_nothing_and_brackets_the_bill(server, tmp_path):
    path = tmp_path / "r.jsonl"
    estimate = collect(server, path, max_tokens=200, client=None, dry_run=True)
    assert isinstance(estimate, CostEstimate) and not server.asked and not path.exists()
    assert estimate.n_requests == 6
    collect(server, path, max_tokens=200)
    assert server.billed_usd < estimate.max_cost_usd
    n_chars = sum(map(len, PROMPTS.values()))
    assert estimate.by_model.loc["small", "input_tokens"] == sum(math.ceil(len(p) / 4) for p in PROMPTS.values())
    assert n_chars / 4 <= estimate.by_model.loc["small", "input_tokens"]
    small = estimate.by_model.loc["small"]
    assert small["output_tokens"] == 600 and small["most_output_tokens"] == 600
    assert small["expected_usd"] == pytest.approx((small["input_tokens"] + 2 * 600) / 1e6)
    assert all(float(word).is_integer() for word in str(estimate).splitlines()[2].split()[1:6]), "whole tokens"
    assert "characters / 4" in str(estimate) and "expected_output_tokens" in estimate._repr_html_()


def test_a_dry_run_learns_from_the_journal(server, tmp_path):
    path = tmp_path / "r.jsonl"
    table = collect(server, path, models=["small"], max_tokens=200)
    estimate = collect(server, path, {**PROMPTS, "p4": "Scramble one?"}, ["small"], max_tokens=200, dry_run=True)
    assert estimate.by_model.loc["small", ["n_requests", "n_from_journal"]].tolist() == [1, 3]
    assert estimate.by_model.loc["small", "output_tokens"] == pytest.approx(table["output_tokens"].mean())
    assert "the mean of its 3 replies in the journal" in str(estimate)


def test_a_dry_run_says_what_it_does_not_know(tmp_path):
    free = rl.collect_responses(PROMPTS, ["nobody-knows-it"], path=tmp_path / "r.jsonl", dry_run=True)
    assert math.isnan(free.expected_usd) and "expected unknown USD" in str(free)
    no_limit = rl.collect_responses(PROMPTS, ["m"], path=tmp_path / "r.jsonl", prices={"m": (1, 1)}, dry_run=True)
    assert math.isinf(no_limit.max_cost_usd) and "at most no limit" in str(no_limit)


@pytest.mark.parametrize(
    ("budget", "verdict"), [(1.0, ": enough."), (0.0005, "worst case"), (1e-6, "would stop before its end")]
)
def test_a_dry_run_says_whether_the_budget_is_enough(tmp_path, budget, verdict):
    options = {"prices": {"m": (1, 1)}, "max_tokens": 400, "budget_usd": budget, "expected_output_tokens": 10}
    estimate = rl.collect_responses(PROMPTS, ["m"], path=tmp_path / "r.jsonl", dry_run=True, **options)
    assert verdict in str(estimate)


# What is shown.


def test_the_bar_shows_money_and_time_left(server, tmp_path, capsys):
    collect(server, tmp_path / "r.jsonl", progress=True, budget_usd=1.0, max_tokens=100)
    shown = capsys.readouterr().err
    assert re.search(r"6/6 \[\d\d:\d\d<\d\d:\d\d, .*\d\.\d{4,6} USD of 1\.0000\]", shown)
    collect(server, tmp_path / "r.jsonl", max_tokens=100)
    assert capsys.readouterr().err == ""


def test_a_report_reads_as_sentences(server, tmp_path):
    requests = [Request("small", [{"role": "user", "content": "a"}], about={"n": k}) for k in range(2)]
    run = run_requests(requests, ["small"], path=tmp_path / "r", client=server.client(), prices=PRICES, progress=False)
    assert len(server.asked) == 1  # the same key is the same request
    assert [record["n"] for record in run.records] == [0, 1]
    assert str(run.report).startswith("1 request: 1 answered now, 0 in the journal before, 0 failed, 0 not asked.")
    assert "<p>1 request:" in run._repr_html_() and repr(run).startswith("Run(1 request:")


# Bad input.

BAD = {
    "duplicate ids": ({"prompts": pd.DataFrame({"prompt_id": ["a", "a"], "prompt": ["x", "y"]})}, "more than once: "),
    "empty prompt": ({"prompts": {"a": " "}}, "is empty or not text for 'a'"),
    "one text": ({"prompts": "a"}, "got one text. Pass a list"),
    "a number": ({"prompts": 3}, "got int. Pass a prompts table"),
    "no prompts": ({"prompts": {}}, "has no rows"),
    "odd ids": ({"prompts": {1.5: "a"}}, "got 1.5. Use text or whole numbers"),
    "no models": ({"models": []}, "'models': is empty"),
    "model twice": ({"models": ["a", "a"]}, "'a' comes twice"),
    "no endpoint": ({"models": {"a": []}}, "has no endpoint, expected"),
    "not an endpoint": ({"models": {"a": 3.0}}, "'models'"),
    "negative budget": ({"budget_usd": -1}, "'budget_usd': got -1, expected a finite number of at least 0"),
    "budget nan": ({"budget_usd": math.nan}, "'budget_usd': got nan"),
    "budget, no limit": ({"budget_usd": 1, "max_tokens": None}, "Pass max_tokens"),
    "budget, no price": ({"budget_usd": 1, "prices": None}, "pass prices={'small': (input, output)}"),
    "bad price": ({"prices": {"small": (-1, 2)}}, "'prices' of 'small'"),
    "no slots": ({"concurrency": 0}, "'concurrency': got 0"),
    "no time": ({"timeout_s": 0}, "'timeout_s': got 0"),
    "no attempts": ({"max_attempts": 1.5}, "'max_attempts': got 1.5"),
    "streaming": ({"params": {"stream": True}}, "Streaming is for RoutedClient"),
    "choices": ({"params": {"n": 3}}, "all choices are billed"),
    "no json": ({"params": {"seed": {1, 2}}}, "something that JSON cannot say"),
    "nan": ({"temperature": math.nan}, "something that JSON cannot say"),
    "expected": ({"dry_run": True, "expected_output_tokens": -3}, "'expected_output_tokens': got -3"),
}

BAD_TABLES = {"duplicate ids", "empty prompt", "one text", "a number", "no prompts", "odd ids", "bad price"}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_refused_before_anything_is_sent(server, tmp_path, case):
    change, message = BAD[case]
    with pytest.raises(TableError if case in BAD_TABLES else rl.ParameterError, match=re.escape(message)):
        collect(server, tmp_path / "r.jsonl", **{"max_tokens": 10, "models": ["small"], **change})
    assert not server.asked


def test_requests_of_the_wrong_kind_are_refused(tmp_path):
    message = [{"role": "user", "content": "a"}]
    client = openai.OpenAI(api_key="k")
    for requests, match in (
        ([{"model": "m"}], "holds a dict"),
        ([Request("other", message)], "model 'other' is not in 'models'"),
        ([Request("m", message, about={"error": 1})], "'error' is what the record itself says"),
    ):
        with pytest.raises(rl.ParameterError, match=match):
            run_requests(requests, ["m"], path=tmp_path / "r", client=client, progress=False)
    with pytest.raises(rl.ParameterError, match="something other than text"):
        image = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:"}}]}]
        requests = [Request("m", image, {"max_tokens": 5})]
        run_requests(requests, {"m": Endpoint("m", price=(1, 1))}, path=tmp_path / "r", client=client, budget_usd=1)


@settings(max_examples=60, deadline=None)
@given(
    st.one_of(
        st.none(),
        st.integers(),
        st.text(max_size=3),
        st.lists(st.one_of(st.none(), st.text(max_size=3), st.floats()), max_size=3),
        st.dictionaries(st.text(max_size=2), st.one_of(st.text(max_size=3), st.integers()), max_size=3),
    ),
    st.one_of(st.none(), st.text(max_size=2), st.lists(st.one_of(st.text(max_size=2), st.integers()), max_size=3)),
    st.one_of(st.none(), st.floats(), st.text(max_size=2)),
)
def test_whatever_comes_it_is_estimated_or_refused_in_words(tmp_path_factory, prompts, models, budget):
    path = tmp_path_factory.getbasetemp() / "nothing.jsonl"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            estimate = rl.collect_responses(
                prompts, models, path=path, budget_usd=budget, prices={"a": (1, 1)}, max_tokens=5, dry_run=True
            )
        except (TableError, rl.ParameterError) as error:
            assert str(error)
        else:
            assert estimate.n_requests >= 1 and str(estimate)
    assert not path.exists()
