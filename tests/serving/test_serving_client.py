"""RoutedClient against a real HTTP server on loopback: routing, fallback, streams, keys."""

import asyncio
import json
import threading
import traceback
from concurrent.futures import ThreadPoolExecutor
from copy import copy

import numpy as np
import openai
import pandas as pd
import pytest
from sklearn.linear_model import Ridge

import routerlab as rl
from routerlab.completions import Endpoint
from routerlab.decision import OperatingPoint, decide, ranked
from routerlab.model_selection._operating import apply_point
from routerlab.neighbors import nearest
from routerlab.routers import _knn
from routerlab.serving import AsyncRoutedClient, EndpointWarning, RoutedClient, _calls as resting, read_captured
from tests.llm_server import LLMServer, default_reply
from tests.serving.toy import EASY, HARD, MODELS, ask, run_async

# Said whenever another model answers than the chosen one; test_serving_wire.py tests that it is.
pytestmark = pytest.mark.filterwarnings("ignore:.* is asked in its place:routerlab.serving.EndpointWarning")

KEY = "planted-key-0123456789abcdef"


def failing(**faults):
    """Models that fail, and how; a list is taken one by one, the last one for ever."""

    def script(asked):
        fault = faults.get(asked.model)
        return (fault.pop(0) if len(fault) > 1 else fault[0]) if isinstance(fault, list) else fault

    return script


def test_routes_by_the_last_users_prompt_and_returns_the_sdks_object(make, server):
    client = make()
    easy, hard = ask(client, "How do I poach two eggs?"), ask(client, "Fix this SQL")
    assert type(easy) is type(hard) is openai.types.chat.ChatCompletion
    assert [asked.model for asked in server.asked] == ["small", "large"]
    assert easy.choices[0].message.content == default_reply(server.asked[0].body)
    assert server.asked[0].body["messages"][0] == {"role": "system", "content": "Be brief."}
    assert (easy._routerlab.model, hard._routerlab.model) == MODELS
    assert "_routerlab" not in easy.model_dump_json() and easy.model_dump()["model"] == "small"
    decision = easy._routerlab.decision
    assert decision.order == ("small", "large") and decision.quality["small"] == pytest.approx(0.9)
    assert decision.cost == pytest.approx({"small": 0.0001, "large": 0.01})


def test_willingness_to_pay_comes_from_the_call_the_name_or_the_router(make, server):
    client = make()
    for options in ({"willingness_to_pay": 1e-4}, {"model": "routerlab:wtp=0.0001"}, {"willingness_to_pay": 0}):
        assert ask(client, "Fix my SQL query", **options).model == "small"
    assert ask(client, "Fix my SQL query", model="routerlab:wtp=inf").model == "large"
    assert ask(client, "Fix my SQL query").model == "large"
    seen = read_captured(make.path).calls["willingness_to_pay"].tolist()
    assert seen == [1e-4, 1e-4, 0.0, float("inf"), 0.1]
    assert all(set(asked.body) <= {"messages", "model"} for asked in server.asked)


@pytest.mark.parametrize("kind", ["knn", "abstaining", "intent", "ridge"])
def test_the_choice_is_the_routers_own_whatever_the_router(embedder, local, kind):
    X, intents = embedder.transform(EASY + HARD), pd.Series(["cook"] * 4 + ["code"] * 4)
    quality = pd.DataFrame({"small": [0.9] * 4 + [0.2] * 4, "large": [0.9] * 8})
    cost = pd.DataFrame({"small": [0.0001] * 8, "large": [0.01] * 8})
    routers = {
        "knn": lambda: rl.KNNRouter(3, willingness_to_pay=0.05).fit(X, quality, cost=cost),
        "abstaining": lambda: rl.KNNRouter(3, willingness_to_pay=0.05, min_similarity=0.6, fallback="large").fit(
            X, quality, cost=cost
        ),
        "intent": lambda: rl.IntentRouter(3, willingness_to_pay=0.05).fit(X, intents, quality=quality, cost=cost),
        "ridge": lambda: rl.Router(Ridge(0.1), willingness_to_pay=0.05).fit(X, quality, cost=cost),
    }
    router = routers[kind]()
    client = RoutedClient(router, embedder, client=local)
    prompts = [*EASY, *HARD, "Boil an egg", "Python and SQL", "水煮蛋"]
    assert [client.route(prompt).chosen for prompt in prompts] == router.predict(embedder.transform(prompts)).tolist()


def test_a_route_searches_for_neighbours_once(embedder, local, monkeypatch):
    X = embedder.transform(EASY + HARD)
    quality = pd.DataFrame({"small": [0.9] * 4 + [0.2] * 4, "large": [0.9] * 8})
    router = rl.KNNRouter(3, willingness_to_pay=0.05, min_similarity=0.6, fallback="large")
    client = RoutedClient(router.fit(X, quality, cost=quality / 100), embedder, client=local)
    searches = []
    monkeypatch.setattr(_knn, "nearest", lambda *args, **given: searches.append(args) or nearest(*args, **given))
    decision = client.route("Boil an egg")
    assert decision.abstained == bool(router.estimate(embedder.transform(["Boil an egg"])).abstained[0])
    assert len(searches) == 2  # one of them ours, in the line above


def test_order_of_fallback_is_the_rule_applied_again_and_again():
    rng = np.random.default_rng(0)
    for wtp in (0.0, 1e-3, 0.05, float("inf")):
        quality, cost = rng.integers(0, 4, 6) / 4, rng.integers(1, 4, 6) / 100
        order = ranked(quality, cost, wtp)
        assert sorted(order) == list(range(6)) and order[0] == decide(quality[None], cost[None], wtp)[0]
        if 0 < wtp < float("inf"):
            value = quality - cost / wtp
            assert (np.diff(value[order]) <= 1e-12).all()


def test_naming_a_model_passes_through_and_is_recorded_as_such(make, server):
    server.prices = (0.0, 0.0)
    client = make([*MODELS, "other"], prices={"other": (0, 0)})
    completion = ask(client, "How do I poach an egg?", model="other", temperature=0)
    assert completion.model == "other" and server.asked[0].body["temperature"] == 0
    call = read_captured(make.path).calls.iloc[0]
    assert (call["asked"], call["chosen"], call["model"]) == ("other", "other", "other")
    assert np.isnan(call["willingness_to_pay"]) and call["cost_usd"] == 0
    assert read_captured(make.path).quality.empty


GOES_ON = ["429", "429_date", "500", "503", "cut_before", "cut", "malformed", "empty", "html", "error_in_body"]


@pytest.mark.parametrize(
    ("fault", "stream"),
    [(f, s) for f in GOES_ON for s in (False, True) if not (s and f in ("cut", "malformed"))],  # those: in mid-stream
)
def test_a_provider_that_fails_is_followed_by_the_next_model(make, server, fault, stream):
    server.script = failing(small=fault)
    client = make()
    reply = ask(client, "How do I poach an egg?", stream=stream)
    text = "".join(c.choices[0].delta.content or "" for c in reply) if stream else reply.choices[0].message.content
    assert text == default_reply(server.asks(model="large")[0].body)
    assert [asked.model for asked in server.asked] == ["small", "large"]
    assert [failed["model"] for failed in reply._routerlab.failures] == ["small"]
    call = read_captured(make.path).calls.iloc[0]
    assert (call["chosen"], call["model"], call["served_by"]) == ("small", "large", f"large at 127.0.0.1:{server.port}")
    assert len(call["failures"]) == 1 and pd.isna(call["error"])


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_a_provider_that_hangs_or_is_not_there_is_followed_by_the_next(make, server, stream):
    server.script = failing(small="timeout")
    with openai.OpenAI(base_url="http://127.0.0.1:9/v1", api_key="unused") as gone:
        client = make({"small": [Endpoint("small", gone), "small"], "large": "large"}, timeout_s=0.3)
        reply = ask(client, "How do I poach an egg?", stream=stream)
        _ = list(reply) if stream else None
    assert [f["error"] for f in reply._routerlab.failures] == ["cannot connect", "timed out"]
    assert reply._routerlab.served_by == f"large at 127.0.0.1:{server.port}"


@pytest.mark.parametrize("streamed", [False, True])
def test_a_reply_that_comes_twice_is_not_taken_for_the_next_prompts(make, server, streamed):
    server.script, server.latency_s = failing(small=["duplicate", None]), 0.2  # so that a shift would last
    client = make()
    texts = [ask(client, EASY[0]).choices[0].message.content]
    for prompt in EASY[1:]:
        reply = ask(client, prompt, stream=streamed)
        whole = None if streamed else reply.choices[0].message.content
        texts.append(whole or "".join(chunk.choices[0].delta.content or "" for chunk in reply))
    for prompt, text in zip(EASY, texts, strict=True):
        assert text in [default_reply({"model": m, "messages": [{"content": prompt}]}) for m in MODELS]
    failures = read_captured(make.path).calls["failures"]
    assert [f["error"] for each in failures for f in each] == [
        "the stream ended before the first token" if streamed else "the reply to another request came again"
    ]


def test_a_provider_that_is_down_is_asked_last_for_a_while(make, server, monkeypatch):
    clock = [1000.0]
    monkeypatch.setattr(resting.time, "monotonic", lambda: clock[0])
    server.script = failing(small="500")
    client = make(rest_s=15)
    replies = [ask(client, "Poach an egg?") for _ in range(3)]
    assert [asked.model for asked in server.asked] == ["small", "large", "large", "large"]
    assert [len(reply._routerlab.rested) for reply in replies] == [0, 1, 1]
    assert all(reply._routerlab.decision.chosen == "small" for reply in replies)
    assert read_captured(make.path).calls["rested"].map(len).tolist() == [0, 1, 1]
    server.script = None
    clock[0] += 16  # rested: it has its turn again
    assert ask(client, "Poach an egg?").model == "small"
    assert ask(client, "Poach an egg?")._routerlab.rested == ()


@pytest.mark.parametrize("fault", ["cut", "malformed"])
def test_an_endpoint_that_breaks_off_a_stream_rests(make, server, fault):
    server.script = failing(small=[fault, None])
    client = make(rest_s=15)
    with pytest.raises((openai.APIConnectionError, ValueError)):
        list(ask(client, EASY[0], stream=True))
    reply = ask(client, EASY[0])
    assert (reply.model, reply._routerlab.rested) == ("large", (f"small at 127.0.0.1:{server.port}",))


@pytest.mark.parametrize(("fault", "stream"), [("500", False), ("500", True), ("cut", True)])
def test_endpoints_rest_in_an_event_loop(make, server, fault, stream):
    server.script = failing(small=[fault, None])

    async def scenario(client):
        try:
            reply = await ask(client, EASY[0], stream=stream)
            _ = [chunk async for chunk in reply] if stream else None
        except openai.APIConnectionError:
            assert fault == "cut"
        return (await ask(client, EASY[0]))._routerlab

    routed = run_async(make, server, scenario, rest_s=15)
    assert (routed.model, len(routed.rested)) == ("large", 1)


def test_a_reader_that_leaves_a_stream_is_no_failure(make):
    client = make(rest_s=15)
    with ask(client, EASY[0], stream=True) as stream:
        next(stream)
    assert ask(client, EASY[0])._routerlab.rested == ()


def test_reprs_are_one_line_without_an_address(make, server):
    server.script = failing(small=["500", None])
    client, at = make(rest_s=15), f"127.0.0.1:{server.port}"
    routed = ask(client, EASY[0])._routerlab
    assert repr(routed) == f"Routed(large: large at {at}, after 1 failed, request_id={routed.request_id!r})"
    stream = ask(client, EASY[0], stream=True)
    key = stream._routerlab.request_id
    assert repr(stream._routerlab) == f"Routed(large: large at {at}, 1 rested, request_id={key!r})"
    assert repr(stream) == f"RoutedStream(large: large at {at}, open, request_id={key!r})"
    list(stream)
    assert repr(stream) == f"RoutedStream(large: large at {at}, ended, request_id={key!r})"


def test_if_all_rest_all_are_asked(make, server):
    server.script = failing(small=["500", None], large=["500", None])
    client = make(rest_s=15)
    with pytest.raises(openai.InternalServerError):
        ask(client, "Poach an egg?")
    assert ask(client, "Poach an egg?").model == "small"


@pytest.mark.parametrize("fault", ["401", "402", "404", "quota"])
def test_an_endpoint_that_refuses_everything_is_passed_over_with_a_warning(make, server, fault):
    server.script = failing(small=fault)
    with pytest.warns(EndpointWarning, match="small at 127.0.0.1.* refuses every request") as warned:
        assert ask(make(), "How do I poach an egg?").model == "large"
    assert warned[0].filename == ask.__code__.co_filename


def test_the_warning_points_to_the_line_that_awaits(make, server):
    server.script = failing(small="401")

    async def scenario(client):
        return await client.chat.completions.create(messages=[{"role": "user", "content": EASY[0]}])

    with pytest.warns(EndpointWarning, match="refuses every request") as warned:
        assert run_async(make, server, scenario).model == "large"
    assert warned[0].filename == __file__


@pytest.mark.parametrize(("fault", "kind"), [("400", openai.BadRequestError), ("403", openai.PermissionDeniedError)])
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_a_request_that_is_at_fault_is_raised_as_the_sdk_raises_it(make, server, fault, kind, stream):
    server.script = failing(small=fault)
    with pytest.raises(kind) as caught:
        ask(make(), "How do I poach an egg?", stream=stream)
    assert caught.value.status_code == int(fault) and len(server.asked) == 1
    captured = read_captured(make.path)
    assert captured.calls.iloc[0]["error"] == f"HTTP {fault}"
    assert captured.calls["model"].isna().all() and captured.responses.empty


def test_if_all_fail_the_first_error_is_raised_with_a_note_on_each(make, server):
    server.script = failing(small="429", large="503")
    with pytest.raises(openai.RateLimitError) as caught:
        ask(make(), "How do I poach an egg?")
    at = f"127.0.0.1:{server.port}"
    assert caught.value.__notes__ == [
        f"first small (small at {at}): HTTP 429 (rate_limit_exceeded): Rate limit reached for key [key].",
        f"then large (large at {at}): HTTP 503 (overloaded): Overloaded.",
    ]
    assert read_captured(make.path).calls["error"].tolist() == ["all 2 endpoints failed"]
    with pytest.raises(openai.InternalServerError):
        ask(make(), "How do I poach an egg?", model="large")


@pytest.mark.parametrize("asked_usage", [False, True])
def test_a_stream_keeps_the_sdks_shape_and_its_usage_is_captured(make, server, local, asked_usage):
    options = {"stream_options": {"include_usage": True}} if asked_usage else {}
    stream = ask(make(), "How do I poach an egg?", stream=True, **options)
    chunks = list(stream)
    plain = local.chat.completions.create(
        model="small", messages=server.asked[0].body["messages"], stream=True, **options
    )
    assert [c.model_dump(exclude={"id"}) for c in chunks] == [c.model_dump(exclude={"id"}) for c in plain]
    assert any(not c.choices for c in chunks) == asked_usage
    captured = read_captured(make.path)
    call, text = captured.calls.iloc[0], captured.responses.iloc[0]["response"]
    assert text == "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert call["finish_reason"] == "stop" and call["output_tokens"] > 0
    assert call["cost_usd"] == pytest.approx(server.asked[0].billed_usd)
    assert 0 < call["first_token_s"] <= call["latency_s"] <= call["total_s"]


@pytest.mark.parametrize(("fault", "kind"), [("cut", openai.APIConnectionError), ("malformed", ValueError)])
def test_an_error_after_the_first_token_surfaces_and_nothing_is_spliced(make, server, fault, kind):
    server.script = failing(small=fault)
    stream, texts = ask(make(), "How do I poach an egg?", stream=True), []
    with pytest.raises(kind):
        for chunk in stream:
            texts.append(chunk.choices[0].delta.content or "")
    assert len(server.asked) == 1 and "".join(texts) and default_reply(server.asked[0].body).startswith("".join(texts))
    captured = read_captured(make.path)
    call = captured.calls.iloc[0]
    assert call["error"].startswith("broke off") and np.isnan(call["cost_usd"]) and captured.responses.empty


def test_a_stream_that_dies_before_its_first_token_is_no_answer_yet(make, server):
    server.script, server.reply = failing(small="cut"), lambda body: "" if body["model"] == "small" else "Simmer it."
    stream = ask(make(), "How do I poach an egg?", stream=True)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in stream) == "Simmer it."
    assert [f["error"] for f in stream._routerlab.failures] == ["the connection broke"]


@pytest.mark.parametrize("how", ["break", "close", "with"])
def test_a_stream_that_its_reader_leaves_is_captured_once(make, how):
    stream = ask(make(), "How do I poach an egg?", stream=True)
    if how == "with":
        with stream:
            next(stream)
    else:
        next(stream)
    if how == "close":
        stream.close()
    del stream
    assert read_captured(make.path).calls["error"].tolist() == ["closed by the caller before its end"]


def test_a_prompt_that_a_promise_keeps_from_the_router_is_not_called_far(embedder, local):
    quality = pd.DataFrame({"small": [0.9] * 8, "large": [0.8] * 8})
    router = rl.KNNRouter(n_neighbors=1).fit(embedder.transform(EASY + HARD), quality, cost=quality / 100)
    for share, said in (
        (0.0, "nothing cheaper could be promised when the router was tuned"),
        (1e-9, "the promise sends only a share (0%) of prompts to the router, this one to the baseline"),
    ):
        promised = {"guarantee": 0.95, "share": share, "share_willingness_to_pay": 0.1 if share else None}
        point = OperatingPoint(float("nan"), "large", 0.01, None, 8, 0.01, 0.01, 0.0, **promised)
        decision = RoutedClient(apply_point(copy(router), point), embedder, client=local).route(EASY[0])
        assert decision.abstained and decision.chosen == "large"
        assert said in repr(decision) and "far from" not in repr(decision)


def test_abstention_goes_to_the_routers_fallback(embedder, local, tmp_path):
    quality = pd.DataFrame({"small": [0.9] * 8, "large": [0.8] * 8})
    router = rl.KNNRouter(n_neighbors=1, willingness_to_pay=0.1, min_similarity=0.5, fallback="large")
    router.fit(embedder.transform(EASY + HARD), quality, cost=quality / 100)
    client = RoutedClient(router, embedder, client=local, explore=1.0, capture=tmp_path / "c.jsonl")
    decision = client.route("水煮蛋")
    assert (decision.abstained, decision.explored, decision.order) == (True, False, ("large", "small"))
    assert "far from every training prompt: fallback" in repr(decision) and not client.route(EASY[0]).reason
    assert client.route(EASY[0]).abstained is False
    assert ask(client, "水煮蛋").model == "large"
    assert read_captured(tmp_path / "c.jsonl").calls["abstained"].tolist() == [True]


@pytest.mark.slow
def test_exploration_draws_models_with_the_propensity_that_it_logs(make, server):
    client = make(explore=0.4, random_state=0)
    decisions = [client.route(EASY[0]) for _ in range(2000)]
    share = np.mean([d.chosen == "large" for d in decisions])
    assert share == pytest.approx(0.2, abs=0.03)
    assert {(d.chosen, round(d.propensity, 12)) for d in decisions} == {("small", 0.8), ("large", 0.2)}
    assert all(d.explored for d in decisions if d.chosen == "large")
    again = make(explore=0.4, random_state=0)
    assert [again.route(EASY[0]).chosen for _ in range(50)] == [d.chosen for d in decisions[:50]]
    assert make().route(EASY[0]).propensity == 1


def test_parts_tool_messages_and_the_sdks_own_messages(make, server):
    client = make()
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}
    parts = [{"type": "text", "text": "Fix this"}, image, {"type": "text", "text": "SQL query"}]
    reply = openai.types.chat.ChatCompletionMessage(role="assistant", content="Which one?")
    tool = {"role": "tool", "tool_call_id": "t", "content": "How do I poach an egg?"}
    messages = [{"role": "user", "content": "How do I boil rice?"}, reply, {"role": "user", "content": parts}, tool]
    decision = client.route(messages)
    assert (decision.prompt, decision.chosen) == ("Fix this\nSQL query", "large")
    first = make(prompt_from=lambda messages: messages[0]["content"])
    assert first.route(messages).chosen == "small"
    with pytest.raises(rl.ParameterError, match="'messages': is empty"):
        client.chat.completions.create(messages=[])
    with pytest.raises(rl.ParameterError, match="prompt_from"):
        make(prompt_from=lambda messages: None).route(messages)
    assert server.asked == []


def test_what_is_wrong_is_said_before_anything_is_sent(make, router, embedder, server, local):
    client = make()
    cases = [
        ({"model": "gpt-5"}, "'gpt-5'.*'small', 'large'"),
        ({"model": "routerlab:cost=1"}, "routerlab:cost=1"),
        ({"model": "routerlab:wtp=cheap"}, "no number"),
        ({"model": "routerlab:wtp=-1"}, "'willingness_to_pay'"),
        ({"willingness_to_pay": -1}, "'willingness_to_pay'"),
        ({"model": "routerlab:wtp=1", "willingness_to_pay": 1}, "twice"),
        ({"model": "small", "willingness_to_pay": 1}, "names the model"),
        ({"model": None}, "'model'"),
    ]
    for options, message in cases:
        with pytest.raises(ValueError, match=message):
            ask(client, "Fix my SQL query", **options)
    bad = [
        (lambda: RoutedClient(router, embedder, {"small": "s"}, client=local), "none for 'large'"),
        (lambda: RoutedClient(router, embedder, {"small": "s", "large": "l", "routerlab": "r"}, client=local), "name"),
        (lambda: RoutedClient(router, embedder), "is missing, expected openai.OpenAI"),
        (
            lambda: RoutedClient(router, embedder, client=openai.AsyncOpenAI(api_key="k")),
            "AsyncOpenAI, expected openai.OpenAI",
        ),
        (lambda: AsyncRoutedClient(router, embedder, client=local), "expected openai.AsyncOpenAI"),
        (lambda: RoutedClient(rl.KNNRouter(), embedder, MODELS, client=local), "'router': .*not fitted"),
        (lambda: RoutedClient(rl.KNNRouter(), embedder, client=local), "'router': this KNNRouter is not fitted"),
        (lambda: RoutedClient(router, embedder, {"small": local}), "'endpoints', 'small': got OpenAI.*Endpoint\\("),
        (lambda: RoutedClient(router, embedder, []), "'endpoints': is empty"),
        (lambda: RoutedClient(object(), embedder, client=local), "'router': object has no 'predict_quality'"),
        (lambda: RoutedClient(router, None, client=local), "'embedder'"),
        (lambda: RoutedClient(router, embedder, client=local, explore=5), "'explore'"),
    ]
    for call, message in bad:
        with pytest.raises(ValueError, match=message):
            call()
    with pytest.raises(AttributeError, match="only chat.completions.create, not 'parse'"):
        _ = client.chat.completions.parse
    assert server.asked == []


def test_an_endpoints_own_parameters_come_before_the_calls(make, server):
    own = {"max_tokens": None, "max_completion_tokens": 2, "stream_options": None, "repeat_penalty": 1.1}
    client = make({"small": Endpoint("s-1b", params=own), "large": "large"}, prices={"s-1b": (1, 2)})
    server.prices = (1, 2)
    list(ask(client, EASY[0], max_tokens=50, stream=True, extra_body={"top_k": 3}))
    sent = server.asked[0].body
    assert sent["model"] == "s-1b" and "max_tokens" not in sent and "stream_options" not in sent
    assert (sent["max_completion_tokens"], sent["repeat_penalty"], sent["top_k"]) == (2, 1.1, 3)
    assert np.isnan(read_captured(make.path).calls.iloc[0]["cost_usd"])  # no usage came: not known, and not 0


def test_money_is_the_servers_own_count(make, server):
    client = make()
    for prompt in EASY + HARD:
        ask(client, prompt, max_tokens=8)
    captured = read_captured(make.path)
    assert captured.calls["cost_usd"].sum() == pytest.approx(server.billed_usd, rel=1e-12)
    assert set(captured.calls["cost_source"]) == {"own price"}
    server.carries_cost = True
    ask(client, EASY[0])
    assert read_captured(make.path).calls["cost_source"].iloc[-1] == "reply"


@pytest.mark.parametrize("key", [KEY, lambda: KEY], ids=["text", "function"])
def test_keys_show_nowhere(router, embedder, tmp_path, recwarn, key):
    faults = ["401", "500", "429", "402", "403"]
    path = tmp_path / "c.jsonl"
    with LLMServer(
        script=lambda asked: faults[(asked.number - 1) % 5], reply=lambda body: f"my key is {KEY}"
    ) as server:
        local = server.client(api_key=key)
        client = RoutedClient(router, embedder, client=local, capture=path)
        shown = [repr(client), repr(client._service.endpoints)]
        for _ in range(6):
            with pytest.raises(openai.APIStatusError) as caught:
                ask(client, EASY[0])
            shown += traceback.format_exception(caught.value) + [repr(caught.value), repr(caught.value.body)]
        server.script = None
        assert KEY in ask(client, EASY[0]).choices[0].message.content  # the reply is the caller's, unchanged
        assert KEY in "".join(c.choices[0].delta.content or "" for c in ask(client, EASY[0], stream=True))
        local.close()
    shown += [path.read_text(), *(str(w.message) for w in recwarn)]
    assert not [text for text in shown if KEY in text]
    assert "[key]" in path.read_text() and len(path.read_text().splitlines()) == 9


def test_a_placeholder_for_a_key_changes_no_text(router, embedder, server, tmp_path):
    with server.client(api_key="e") as local:
        client = RoutedClient(router, embedder, client=local, capture=tmp_path / "c.jsonl")
        text = ask(client, EASY[0]).choices[0].message.content
    captured = read_captured(tmp_path / "c.jsonl")
    assert (captured.responses["response"].tolist(), captured.prompts["prompt"].tolist()) == ([text], [EASY[0]])


def test_many_threads_at_once_over_a_server_that_misbehaves(make, server):
    server.faults = {"429": 0.05, "500": 0.05, "cut": 0.05, "empty": 0.03, "drip": 0.02}
    client = make()
    prompts = [f"{(EASY + HARD)[k % 8]} {k}" for k in range(200)]
    with ThreadPoolExecutor(16) as pool:
        replies = list(pool.map(lambda prompt: attempt(client, prompt), prompts))
    check_many(prompts, replies, read_captured(make.path), server)


def attempt(client, prompt):
    try:
        return ask(client, prompt).choices[0].message.content
    except openai.APIError:
        return None


def check_many(prompts, replies, captured, server):
    """Each reply belongs to its prompt, each call is captured once, and the money is the server's."""
    assert sum(reply is None for reply in replies) < 20
    for prompt, reply in zip(prompts, replies, strict=True):
        bodies = [{"model": m, "messages": [{"content": prompt}]} for m in MODELS]
        assert reply is None or reply in [default_reply(body) for body in bodies]
    assert sorted(captured.prompts["prompt"]) == sorted(prompts)
    assert len(captured.responses) == sum(reply is not None for reply in replies)
    served = captured.prompts["prompt"].loc[captured.responses["prompt_id"]].tolist()
    by_prompt = dict(zip(prompts, replies, strict=True))
    assert captured.responses["response"].tolist() == [by_prompt[prompt] for prompt in served]
    lost = sum(a.billed_usd for a in server.asked if a.fault in ("cut", "empty"))
    assert captured.calls["cost_usd"].sum() == pytest.approx(server.billed_usd - lost)


@pytest.mark.slow
def test_200_calls_at_once_in_an_event_loop(make, server):
    server.faults = {"429": 0.05, "500": 0.05, "cut": 0.05, "empty": 0.03, "drip": 0.02}
    server.latency_s = 0.3
    prompts = [f"{(EASY + HARD)[k % 8]} {k}" for k in range(200)]

    async def one(client, prompt):
        try:
            completion = await ask(client, prompt)
        except openai.APIError:
            return None
        await client.feedback(completion, 1.0)
        return completion.choices[0].message.content

    async def every(client):
        return await asyncio.gather(*(one(client, prompt) for prompt in prompts))

    replies = run_async(make, server, every, fsync=False)
    captured = read_captured(make.path)
    check_many(prompts, replies, captured, server)
    assert len(captured.outcomes) == len(captured.responses)
    assert server.most_in_flight > 8


def test_async_streams_fall_back_surface_errors_and_are_captured(make, server):
    server.script = failing(small=["503", "cut", None, None])

    async def scenario(client):
        first = await ask(client, EASY[0], stream=True)
        texts = [c.choices[0].delta.content or "" async for c in first]
        second = await ask(client, EASY[1], stream=True)
        with pytest.raises(openai.APIConnectionError):
            _ = [chunk async for chunk in second]
        async with await ask(client, EASY[2], stream=True) as third:
            await third.__anext__()
        whole = await ask(client, EASY[3])
        return "".join(texts), first._routerlab.model, whole.model

    text, model, whole = run_async(make, server, scenario)
    assert text == default_reply(server.asks(model="large")[0].body) and (model, whole) == ("large", "small")
    errors = read_captured(make.path).calls["error"].fillna("").tolist()
    assert errors == ["", "broke off: APIConnectionError", "closed by the caller before its end", ""]


def test_a_cancelled_call_is_captured(make, server):
    server.latency_s = 5

    async def scenario(client):
        task = asyncio.create_task(ask(client, EASY[0]))
        while not server.asked:
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run_async(make, server, scenario)
    assert read_captured(make.path).calls["error"].tolist() == ["cancelled"]


def test_the_embedder_is_used_by_one_thread_at_a_time(router, embedder, local):
    class Counting:
        n, most = 0, 0
        lock = threading.Lock()

        def transform(self, texts):
            with self.lock:
                Counting.n += 1
                Counting.most = max(Counting.most, Counting.n)
            X = embedder.transform(texts)
            with self.lock:
                Counting.n -= 1
            return X

    client = RoutedClient(router, Counting(), client=local)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(client.route, EASY * 20))
    assert Counting.most == 1


def test_records_are_json_lines_with_a_header(make):
    ask(make(), EASY[0])
    header, call = map(json.loads, make.path.read_text().splitlines())
    assert header["format"] == "routerlab-captures" and call["type"] == "call"
