"""Cascades in service: who is asked, what is kept, what a stream gives, what is captured."""

from __future__ import annotations

import asyncio
import json

import numpy as np
import pandas as pd
import pytest
from sklearn.tree import DecisionTreeRegressor

import routerlab as rl
from routerlab.exceptions import ParameterError
from routerlab.market import point_within
from routerlab.options import Cascade, CascadeRouter
from routerlab.serving import AsyncRoutedClient, EndpointWarning, RoutedClient, read_captured
from tests.serving.toy import EASY, HARD, PRICES, ask, run_async

TWO = Cascade("two", (("small", "tiny"), ("large",)))
THREE = ("small", "tiny", "large")
COST = {"small": 0.0001, "tiny": 0.00005, "large": 0.01}


def saying(server, **answers):
    """Let models answer as told; None refuses."""
    server.reply = lambda body: answers[body["model"]]
    server.script = lambda asked: "400" if answers[asked.model] is None else None


@pytest.fixture
def three(make, server):
    """Make a client of three models that knows the cascade 'two'."""
    server.prices = PRICES | {"tiny": (1.0, 2.0)}

    def client(cascades=None, **options):
        cascades = {"two": TWO} if cascades is None else cascades
        return make({m: m for m in THREE}, **{"prices": server.prices, "cascades": cascades} | options)

    client.path = make.path
    return client


@pytest.fixture(scope="module")
def optional(embedder):
    """A router that was fitted on two models and a cascade: the cascade for code, the small model for cooking."""
    quality = pd.DataFrame({"small": [0.9] * 4 + [0.2] * 4, "large": 0.9, "two": [0.5] * 4 + [0.9] * 4})
    cost = pd.DataFrame({"small": [0.0001] * 8, "large": 0.01, "two": 0.003})
    X = embedder.transform(EASY + HARD)
    return rl.KNNRouter(n_neighbors=3, willingness_to_pay=0.1).fit(X, quality, cost=cost)


def text_of(reply, stream):
    if not stream:
        return reply.choices[0].message.content
    return "".join(chunk.choices[0].delta.content or "" for chunk in reply if chunk.choices)


CASES = [
    ({"small": "B", "tiny": "(b)", "large": "C"}, "small", 1.0),
    ({"small": "B", "tiny": "A", "large": "C"}, "large", 0.0),
    ({"small": None, "tiny": "A", "large": "C"}, "large", 0.0),
    ({"small": None, "tiny": None, "large": "C"}, "large", 0.0),
]


@pytest.mark.parametrize("kind", ["sync", "async"])
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("answers", "kept", "score"), CASES)
def test_cheap_calls_agree_or_the_dear_one_answers(three, server, kind, stream, answers, kept, score):
    saying(server, **answers)
    if kind == "sync":
        reply = ask(three(), "A or B?", model="two", stream=stream)
        text = text_of(reply, stream)
    else:

        async def scenario(client):
            reply = await ask(client, "A or B?", model="two", stream=stream)
            if not stream:
                return reply, text_of(reply, stream)
            return reply, "".join([c.choices[0].delta.content or "" async for c in reply if c.choices])

        reply, text = run_async(three, server, scenario)
    assert text == answers[kept]
    told = reply._routerlab.cascade
    assert (told.name, told.kept, told.scores) == ("two", kept, (score,))
    assert {m for m, a in answers.items() if a is None} == set(told.failed)
    asked = {"small", "tiny"} | ({"large"} if kept == "large" else set())
    assert {a.model for a in server.asked} == asked
    captured = read_captured(three.path)
    assert set(captured.calls["chosen"]) == asked
    assert set(captured.calls["cascade"]) == {"two"} == set(captured.calls["asked"])
    assert len(captured.cascades) == 1
    assert captured.calls["cost_usd"].notna().sum() == len(asked) - len(told.failed)
    assert captured.calls["cost_usd"].sum() == pytest.approx(sum(a.billed_usd for a in server.asked))
    assert captured.n_handed_over == 0


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_cheap_calls_are_made_at_the_same_time(three, server, kind):
    saying(server, small="A", tiny="A", large="C")
    server.latency_s = 0.5
    if kind == "sync":
        ask(three(), "x", model="two")
    else:
        run_async(three, server, lambda client: ask(client, "x", model="two"))
    calls = read_captured(three.path).calls
    assert calls["total_s"].max() < calls["latency_s"].sum()


@pytest.mark.parametrize("stream", [False, True])
def test_if_the_last_stage_fails_the_best_answer_that_is_there_is_kept(three, server, stream):
    saying(server, small="B", tiny="A", large=None)
    with pytest.warns(EndpointWarning, match="large failed: the answer of small is kept"):
        reply = ask(three(), "A or B?", model="two", stream=stream)
    assert text_of(reply, stream) == "B"
    assert reply._routerlab.cascade.failed == {"large": "BadRequestError"}


def test_if_all_fail_the_first_error_is_raised_and_each_call_captured(three, server):
    saying(server, small=None, tiny=None, large=None)
    with pytest.raises(Exception, match="too long"):
        ask(three(), "A or B?", model="two")
    calls = read_captured(three.path).calls
    assert len(calls) == 3
    assert calls["error"].notna().all()


@pytest.mark.parametrize("stream", [False, True])
def test_the_router_s_other_models_follow_a_last_stage_that_fails(three, server, optional, stream):
    drawn = iter("AB")
    server.reply = lambda body: next(drawn) if body["model"] == "tiny" else "C"
    server.script = lambda asked: "404" if asked.model == "large" else None
    cascades = {"two": Cascade("two", (("tiny", "tiny#2"), ("large",)))}
    with (
        pytest.warns(EndpointWarning, match="large at .* refuses every request"),
        pytest.warns(EndpointWarning, match="small is asked in its place"),
    ):
        reply = ask(three(cascades, router=optional), "Fix my SQL query", stream=stream)
    assert text_of(reply, stream) == "C"
    assert reply._routerlab.cascade.kept == "small"
    assert read_captured(three.path).n_handed_over == 1


def test_a_router_chooses_cascades_and_feedback_is_theirs(three, server, optional):
    saying(server, small="A", tiny="B", large="C")
    client = three(router=optional)
    assert client.route("Fix my SQL query").chosen == "two"
    assert ask(client, "How do I poach an egg?").choices[0].message.content == "A"
    reply = ask(client, "Fix my SQL query")
    assert reply._routerlab.cascade.kept == "large"
    client.feedback(reply, 1.0)
    captured = read_captured(three.path)
    ran = captured.cascades
    assert ran[["model", "quality", "n_calls"]].to_numpy().tolist() == [["two", 1.0, 3]]
    spent = sum(a.billed_usd for a in server.asked[1:])
    assert ran["cost_usd"].item() == pytest.approx(spent)
    quality, cost = captured.complete()
    assert quality[["large", "two"]].to_numpy().tolist() == [[1.0, 1.0]]
    assert cost["two"].item() == pytest.approx(spent)
    assert cost["large"].item() < spent
    assert captured.calls.loc[captured.calls["cascade"].notna(), "propensity"].eq(1.0).all()


def test_exploration_draws_cascades_with_their_probability(three, server, optional):
    saying(server, small="A", tiny="B", large="C")
    client = three(router=optional, explore=1.0, random_state=0)
    for _ in range(12):
        ask(client, "How do I poach an egg?")
    calls = read_captured(three.path).calls
    assert calls["explored"].all()
    assert calls["propensity"].to_numpy() == pytest.approx(1 / 3)
    first = calls.drop_duplicates(subset=["cascade_id"])["cascade"].notna().sum()
    assert 0 < first < 12


def test_a_budget_picks_a_cascade_that_is_served(three, server, optional, embedder):
    saying(server, small="A", tiny="B", large="C")
    X = embedder.transform(EASY + HARD)
    quality, cost = optional.predict_quality(X), optional.predict_cost(X)
    point = point_within(optional.sweep(X), quality, cost, max_cost_usd=0.002)
    client = three(router=optional)
    reply = ask(client, "Fix my SQL query", willingness_to_pay=point.willingness_to_pay)
    assert reply._routerlab.cascade.name == "two"
    assert point.cost_usd <= 0.002 < cost["two"].max()


def rule(embedder, **options):
    """A router that looks at two cheap models and asks the large one where they differ, whatever the prompt."""
    prompts = [f"{text} {k}" for k in range(8) for text in EASY + HARD]
    agree = np.arange(len(prompts)) // 8 % 2 == 0  # whatever the prompt
    index = pd.Index([f"p{k}" for k in range(len(prompts))], name="prompt_id")
    quality = pd.DataFrame({"small": agree * 1.0, "tiny": agree * 1.0, "large": 1.0}, index=index)
    cost = pd.DataFrame(COST, index=index)
    said = {"small": "A", "tiny": np.where(agree, "A", "B")}
    responses = pd.concat([pd.DataFrame({"prompt_id": index, "model": m, "response": r}) for m, r in said.items()])
    router = CascadeRouter(
        rl.KNNRouter(16), [["small", "tiny"]], estimator=DecisionTreeRegressor(), n_steps=4, **options
    )
    return router.fit(embedder.transform(prompts).set_axis(index), quality, cost=cost, responses=responses)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("answers", "kept"),
    [
        ({"small": "A", "tiny": "A", "large": "C"}, "small or tiny"),
        ({"small": "A", "tiny": "B", "large": "C"}, "large"),
        ({"small": None, "tiny": None, "large": "C"}, "large"),
    ],
)
def test_the_rule_is_applied_again_after_the_answers(three, server, embedder, stream, answers, kept):
    saying(server, **answers)
    client = three({}, router=rule(embedder, willingness_to_pay=0.05))
    assert client.route("Fix my SQL query").chosen.startswith("small + tiny > ")
    reply = ask(client, "Fix my SQL query", stream=stream)
    assert text_of(reply, stream) == ("A" if kept != "large" else "C")
    assert reply._routerlab.cascade.kept in kept
    assert len(server.asked) == (2 if kept != "large" else 3)


def test_other_models_are_asked_as_before(three, server):
    saying(server, small="yes", large="no")
    assert ask(three(), "x", model="small").choices[0].message.content == "yes"
    assert ask(three(), "Fix my SQL query").choices[0].message.content == "no"


@pytest.mark.parametrize(
    ("drawn", "kept", "scores"), [("AA", "small", (1.0,)), ("ABCC", "large", (0.0, 1.0)), ("ABCD", "tiny", (0.0, 0.0))]
)
def test_another_option_may_follow(three, server, drawn, kept, scores):
    drawn = iter(drawn)
    server.reply = lambda body: next(drawn) if body["model"] != "tiny" else "T"
    dear = Cascade("dear", (("large", "large#2"), ("tiny",)))
    vote = Cascade("vote", (("small", "small#2"), ("dear",)))
    told = ask(three({"vote": vote, "dear": dear}), "x", model="vote")._routerlab.cascade
    assert (told.kept, told.scores) == (kept, scores)


def test_a_kept_answer_streams_its_usage_if_asked(three, server):
    saying(server, small="A", tiny="A", large="C")
    chunks = list(ask(three(), "x", model="two", stream=True, stream_options={"include_usage": True}))
    assert [len(chunk.choices) for chunk in chunks] == [1, 0]
    assert chunks[0].choices[0].finish_reason == "stop"
    assert chunks[1].usage.completion_tokens > 0


def test_a_cancelled_cascade_is_captured(three, server):
    saying(server, small="A", tiny="A", large="C")
    server.latency_s = 5.0

    async def scenario(client):
        task = asyncio.create_task(ask(client, "x", model="two"))
        while len(server.asked) < 2:
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run_async(three, server, scenario)
    assert read_captured(three.path).calls["error"].tolist() == ["cancelled", "cancelled"]


@pytest.mark.parametrize(
    ("gave", "says"), [(2.0, r"gave 2.0, expected a score in \[0, 1\]"), (float("nan"), "gave nan")]
)
def test_a_check_must_give_a_score(three, server, gave, says):
    saying(server, small="A", tiny="B", large="C")
    with pytest.raises(ParameterError, match=says):
        ask(three(check=lambda texts: gave), "x", model="two")


@pytest.mark.parametrize("kind", [RoutedClient, AsyncRoutedClient])
@pytest.mark.parametrize(
    ("cascades", "says"),
    [
        ({"two": Cascade("two", (("small",), ("large",)), check="judge")}, "is checked by 'judge'.*Pass that check"),
        ({"two": json.dumps("no")}, "is not a Cascade"),
        ({"small": TWO}, "'small' is the name of a model"),
        ({"two": Cascade("two", (("small", "giant"), ("large",)))}, "'two' asks 'giant', without an endpoint"),
        ({"one": Cascade("one", (("small",), ("large",)))}, "'one' asks 'small' alone"),
        ({"none": Cascade("none", ())}, "'none' has no stage"),
        (
            {"far": Cascade("far", (("small", "tiny"), ("small#2",), ("large",)))},
            "'far' has 1 thresholds for 2 checks.*its own",
        ),
        ({"a": Cascade("a", (("small", "tiny"), ("a",)))}, "'a' leads to itself"),
    ],
)
def test_cascades_that_cannot_be_executed_are_refused_at_once(three, kind, cascades, says):
    with pytest.raises(ParameterError, match=says):
        three(cascades, kind=kind)
