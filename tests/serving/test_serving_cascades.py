"""Cascades in service: who is asked, what is kept, what a stream gives, what is captured."""

from __future__ import annotations

import json

import pytest

from routerlab.options import Cascade
from routerlab.schema import TableError
from routerlab.serving import CascadeClient, read_captured
from tests.serving.toy import PRICES, ask

TWO = Cascade("two", (("small", "tiny"), ("large",)))


def saying(server, **answers):
    """Let models answer as told; None refuses."""
    server.reply = lambda body: answers[body["model"]]
    server.script = lambda asked: "400" if answers[asked.model] is None else None


@pytest.fixture
def cascades(make, server):
    prices = PRICES | {"tiny": (1.0, 2.0)}
    server.prices = prices
    return CascadeClient(make({"small": "small", "large": "large", "tiny": "tiny"}, prices=prices), {"two": TWO})


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("answers", "kept", "score"),
    [
        ({"small": "B", "tiny": "(b)", "large": "C"}, "small", 1.0),
        ({"small": "B", "tiny": "A", "large": "C"}, "large", 0.0),
        ({"small": None, "tiny": "A", "large": "C"}, "large", 0.0),
        ({"small": None, "tiny": None, "large": "C"}, "large", 0.0),
    ],
)
def test_cheap_calls_agree_or_the_dear_one_answers(cascades, server, make, stream, answers, kept, score):
    saying(server, **answers)
    reply = ask(cascades, "A or B?", model="two", stream=stream)
    text = "".join(c.choices[0].delta.content or "" for c in reply if c.choices) if stream else None
    assert (text if stream else reply.choices[0].message.content) == answers[kept]
    told = reply._cascade
    assert (told.kept, told.scores) == (kept, (score,))
    assert {m for m, a in answers.items() if a is None} == set(told.failed)
    asked = {"small", "tiny"} | ({"large"} if kept == "large" else set())
    assert {a.model for a in server.asked} == asked
    calls = read_captured(make.path).calls
    assert set(calls["asked"]) == asked
    assert (calls["cost_usd"].dropna() > 0).all()
    assert calls["cost_usd"].notna().sum() == len(asked) - len(told.failed)


def test_other_models_are_asked_as_the_client_does(cascades, server):
    saying(server, small="yes", large="no")
    assert ask(cascades, "x", model="small").choices[0].message.content == "yes"
    assert ask(cascades, "Fix my SQL query").choices[0].message.content == "no"


@pytest.mark.parametrize(
    ("gave", "says"), [(2.0, r"gave 2.0, expected a score in \[0, 1\]"), (float("nan"), "gave nan")]
)
def test_a_check_must_give_a_score(cascades, server, gave, says):
    saying(server, small="A", tiny="B", large="C")
    with pytest.raises(TableError, match=says):
        ask(CascadeClient(cascades.client, {"two": TWO}, check=lambda texts: gave), "x", model="two")


def test_a_cascade_with_another_check_needs_it():
    with pytest.raises(TableError, match="is checked by 'judge'.*Pass that check"):
        CascadeClient(None, {"two": Cascade("two", (("small",), ("large",)), check="judge")})
    with pytest.raises(TableError, match="is not a Cascade"):
        CascadeClient(None, {"two": json.dumps("no")})
