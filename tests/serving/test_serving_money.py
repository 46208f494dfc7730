"""What live calls cost: by the rules of every other reply, in captures, streamed or not, lost replies included."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

from routerlab.completions import Endpoint
from routerlab.serving import EndpointWarning, read_captured
from tests.llm_server import _chunks
from tests.serving.toy import EASY, ask, run_async

REASONING = {"prompt_tokens": 32, "completion_tokens": 9, "total_tokens": 135}
CACHED = {"prompt_tokens": 1000, "completion_tokens": 10, "prompt_tokens_details": {"cached_tokens": 800}}
# what the usage says, at which tier -> USD with gpt-4o at $2.5, $1.25 cached, $10; 1.7 times as much with priority
SAID: dict[str, tuple[dict[str, Any], str | None, float]] = {
    "reasoning beside the completion": (REASONING, None, (32 * 2.5 + 103 * 10) / 1e6),
    "cached input": (CACHED, None, (200 * 2.5 + 800 * 1.25 + 10 * 10) / 1e6),
    "a tier": ({"prompt_tokens": 1000, "completion_tokens": 0, "total_tokens": 1000}, "priority", 0.00425),
    "billed": ({"cost": 0.25}, None, 0.25),
}


@pytest.mark.parametrize("kind", ["whole", "streamed", "async", "async streamed"])
@pytest.mark.parametrize("case", SAID)
def test_captures_hold_what_was_charged(make, server, case, kind):
    server.says, server.tier, usd = SAID[case]
    server.prices = (1, 2)
    models = {"small": Endpoint("gpt-4o", provider="openai"), "large": "large"}
    options = {"endpoints": models, "prices": None}

    async def scenario(client):
        answer = await ask(client, EASY[0], stream="streamed" in kind)
        if "streamed" in kind:
            async for _ in answer:
                pass

    if "async" in kind:
        run_async(make, server, scenario, **options)
    else:
        answer = ask(make(**options), EASY[0], stream=kind == "streamed")
        list(answer) if kind == "streamed" else None
    captured = read_captured(make.path)
    (call,) = captured.calls.to_dict("records")
    assert call["cost_usd"] == pytest.approx(usd, rel=1e-9) and call["lost_usd"] == 0
    assert call["cost_source"] == ("reply" if case == "billed" else "price list")
    assert captured.responses["cost_usd"].tolist() == [call["cost_usd"]]


def test_what_was_billed_for_a_reply_that_cannot_be_used_is_counted(make, server):
    server.script = lambda seen: "empty" if seen.model == "small" else None
    client = make({"small": Endpoint("small", price=(1, 2)), "large": Endpoint("large", price=(10, 30))})
    server.prices = {"small": (1, 2), "large": (10, 30)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", EndpointWarning)  # another model answers
        ask(client, EASY[0])
    captured = read_captured(make.path)
    (call,) = captured.calls.to_dict("records")
    lost = [seen.billed_usd for seen in server.asked if seen.fault == "empty"]
    paid = [seen.billed_usd for seen in server.asked if seen.fault is None]
    assert lost and call["model"] == "large"
    assert call["lost_usd"] == pytest.approx(sum(lost)) and call["cost_usd"] == pytest.approx(sum(paid))
    assert [failed["cost_usd"] for failed in call["failures"]] == pytest.approx(lost)
    assert f"{sum(lost) + sum(paid):.4g} USD" in repr(captured)


def test_a_local_model_costs_nothing_if_its_price_is_0_and_is_unknown_without_one(make, server):
    server.prices = (1, 2)
    ask(make(["small", "large"], prices={"small": 0}), EASY[0])
    ask(make({"small": "gpt-4o", "large": "large"}, prices=None), EASY[0])
    assert read_captured(make.path).calls["cost_usd"].tolist() == pytest.approx([0.0, np.nan], nan_ok=True)


def test_usage_that_comes_in_pieces_of_a_stream_adds_up(make, server, monkeypatch):
    def pieces(completion: Any, _: bool) -> list[dict[str, Any]]:
        chunks = _chunks(completion, False)
        chunks[0]["usage"] = {"prompt_tokens": 1000, "completion_tokens": 1}
        chunks[-1]["usage"] = {"completion_tokens": 500}
        return chunks

    monkeypatch.setattr("tests.llm_server._chunks", pieces)
    list(ask(make(["small", "large"], prices={"small": (1, 2)}), EASY[0], stream=True))
    (call,) = read_captured(make.path).calls.to_dict("records")
    assert (call["input_tokens"], call["output_tokens"]) == (1000, 500)
    assert call["cost_usd"] == pytest.approx(0.002)
