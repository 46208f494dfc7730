"""Two real models on this machine: collected from, streamed, routed between, one of them killed (`make test-llm`)."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path
from typing import NamedTuple

import numpy as np
import openai
import pandas as pd
import pytest

import routerlab as rl

pytestmark = [pytest.mark.llm, pytest.mark.slow]

ROOT = Path(__file__).parents[1]
WEIGHTS = ROOT / ".cache" / "local-llm" / "tinyllama-1.1b-chat.gguf"
SMALL, LARGE = MODELS = ("smollm2-135m-instruct", "tinyllama-1.1b-chat")
PRICES = {SMALL: (0.01, 0.02), LARGE: (0.10, 0.30)}  # made up: USD per 1M tokens
GREEDY = {"temperature": 0, "extra_body": {"repeat_penalty": 1.1, "repeat_last_n": 256}}


class Served(NamedTuple):
    script: subprocess.Popen
    clients: dict[str, openai.OpenAI]
    processes: dict[str, int]


def start() -> Served:
    """Run what `make local-llm` runs, and wait until both models answer."""
    if not WEIGHTS.is_file():
        pytest.fail("the models are not installed: make test-llm fetches them and runs these tests")
    command = [sys.executable, str(ROOT / "data" / "local_llm.py"), "--tinyllama", str(WEIGHTS)]
    script = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert script.stdout is not None
    lines = [script.stdout.readline() for _ in MODELS]
    found = re.findall(r"(\S+)  base_url=(http://127\.0\.0\.1:\d+/v1)  process=(\d+)", "".join(lines))
    assert [model for model, *_ in found] == list(MODELS), lines
    clients = {m: openai.OpenAI(base_url=url, api_key="unused", max_retries=0, timeout=300) for m, url, _ in found}
    return Served(script, clients, {model: int(pid) for model, _, pid in found})


def is_running(pid: int) -> bool:
    status = Path(f"/proc/{pid}/status")
    return status.exists() and "State:\tZ" not in status.read_text()


def wait_for_end(served: Served, seconds: float = 15) -> bool:
    """Whether all processes end in time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and any(map(is_running, served.processes.values())):
        time.sleep(0.05)
    for client in served.clients.values():
        client.close()
    assert served.script.stdout is not None
    served.script.stdout.close()
    return not any(map(is_running, served.processes.values()))


@pytest.fixture(scope="module")
def served():
    running = start()
    yield running
    running.script.terminate()
    assert running.script.wait(15) == 0
    assert wait_for_end(running)


@pytest.fixture(scope="module")
def demo():
    return rl.load_demo()


@pytest.fixture(scope="module")
def prompts(demo):
    """The 40 shortest of the prompts whose responses by both models were judged by reading them."""
    judged = demo.prompts.loc[demo.responses["prompt_id"].unique()]
    return judged.loc[judged["prompt"].str.len().sort_values(kind="stable").index[:40]]


@pytest.fixture(scope="module")
def router(demo, prompts):
    """A router fitted on the real responses of the demo data, and on the verdicts of the authors, who are AI agents."""
    responses = demo.responses[demo.responses["model"].isin(MODELS)].drop(columns="cost_usd", errors="ignore")
    cost = rl.add_cost(responses, PRICES).pivot(index="prompt_id", columns="model", values="cost_usd")  # noqa: PD010
    verdicts = demo.verdicts[demo.verdicts["model_a"].isin(MODELS) & demo.verdicts["model_b"].isin(MODELS)]
    a = verdicts["winner"].map({"model_a": 1.0, "model_b": 0.0, "tie": 0.5, "both_bad": 0.0})
    b = verdicts["winner"].map({"model_a": 0.0, "model_b": 1.0, "tie": 0.5, "both_bad": 0.0})
    sides = [verdicts[["prompt_id", s]].set_axis(["prompt_id", "model"], axis=1) for s in ("model_a", "model_b")]
    tidy = pd.concat([sides[0].assign(quality=a), sides[1].assign(quality=b)])
    quality = tidy.pivot(index="prompt_id", columns="model", values="quality")[list(MODELS)]  # noqa: PD010
    embedder = rl.LsaEmbedder(64)
    X = embedder.fit_transform(demo.prompts.loc[quality.index, "prompt"])
    fitted = rl.KNNRouter(n_neighbors=20).fit(X, quality, cost=cost.loc[quality.index, list(MODELS)])
    return fitted, embedder


@pytest.fixture(scope="module")
def endpoints(served):
    return {model: rl.Endpoint(model, client, PRICES[model]) for model, client in served.clients.items()}


@pytest.fixture
def client(router, endpoints, tmp_path):
    path = tmp_path / "captured.jsonl"
    made = rl.RoutedClient(*router, endpoints, capture=path, timeout_s=300)
    made.path = path
    return made


def ask(client, prompt, **options):
    messages = [{"role": "user", "content": prompt}]
    return client.chat.completions.create(**{"messages": messages, "max_tokens": 8, **GREEDY} | options)


def test_the_script_leaves_no_process_behind():
    for how in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
        running = start()
        running.script.send_signal(how)
        assert running.script.wait(15) == (-9 if how == signal.SIGKILL else 0)
        assert wait_for_end(running), how


def test_collects_the_responses_of_both_models_to_20_prompts(prompts, endpoints, tmp_path):
    prompts = prompts.head(20)
    path, began = tmp_path / "responses.jsonl", time.monotonic()
    collect = {"path": path, "max_tokens": 8, "params": GREEDY, "progress": False, "timeout_s": 300}
    with pytest.warns(rl.CollectionWarning, match="max_tokens"):
        responses = rl.collect_responses(prompts, endpoints, budget_usd=0.01, **collect)
    took = time.monotonic() - began
    assert len(responses) == 40 and responses["error"].isna().all() and responses["response"].str.strip().all()
    rates = pd.DataFrame(PRICES, index=["input_tokens", "output_tokens"]).T.loc[responses["model"]].to_numpy()
    tokens = responses[["input_tokens", "output_tokens"]].to_numpy()
    np.testing.assert_allclose(responses["cost_usd"], (tokens * rates).sum(axis=1) / 1e6)
    by_model = responses.groupby("model")
    assert by_model["cost_usd"].sum()[LARGE] > 5 * by_model["cost_usd"].sum()[SMALL]
    assert by_model["latency_s"].median()[LARGE] > by_model["latency_s"].median()[SMALL]
    began = time.monotonic()
    with pytest.warns(rl.CollectionWarning):
        again = rl.collect_responses(prompts, endpoints, budget_usd=0.01, **collect)
    assert time.monotonic() - began < took / 4
    pd.testing.assert_frame_equal(again, responses)


def test_a_local_model_judges_pairs_in_both_orders(demo, endpoints, tmp_path):
    """What 135 million parameters think is worth little: that they are asked, read and counted is what is tested."""
    responses = demo.responses[demo.responses["model"].isin(MODELS)]
    shortest = responses.groupby("prompt_id")["response"].apply(lambda texts: texts.str.len().sum()).nsmallest(3).index
    pairs = responses[responses["prompt_id"].isin(shortest)]
    judge = rl.PairwiseJudge(None, endpoints[SMALL], max_tokens=60)
    options = {"path": tmp_path / "judge.jsonl", "progress": False, "timeout_s": 300}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rl.CollectionWarning)  # cut off, not readable: looked at below
        judgments = judge.judge(demo.prompts, pairs, **options)
        verdicts = judge.verdicts(demo.prompts, pairs, **options)
    assert len(verdicts) == 6 and verdicts["error"].isna().all() and (verdicts["cost_usd"] > 0).all()
    read = verdicts["winner"].notna()
    assert judgments.attrs["n_unreadable"] == (~read).sum() and read.any()
    assert len(judgments) == verdicts.groupby("prompt_id")["winner"].count().eq(2).sum()
    assert set(judgments["judge"]) <= {SMALL}


def test_streams_what_it_also_says_at_once_and_accounts_for_it(client):
    question = "What is the capital of France?"
    chunks, at = [], []
    with ask(client, question, model=LARGE, stream=True, max_tokens=16) as stream:
        for chunk in stream:
            chunks.append(chunk)
            at.append(time.perf_counter())
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    whole = ask(client, question, model=LARGE, max_tokens=16)
    assert "Paris" in text and whole.choices[0].message.content == text
    assert all(chunk.choices for chunk in chunks) and at[-1] > at[0]
    streamed, at_once = (call for _, call in rl.read_captured(client.path).calls.iterrows())
    assert streamed["output_tokens"] == at_once["output_tokens"] == whole.usage.completion_tokens
    assert streamed["cost_usd"] == pytest.approx(at_once["cost_usd"])
    assert 0 < streamed["first_token_s"] < streamed["latency_s"] and np.isnan(at_once["first_token_s"])


def test_routes_between_them_and_learns_from_what_it_captured(client, router, prompts):
    texts = prompts["prompt"].tolist()[:6]
    for wtp in (0.0, float("inf")):
        for text in texts:
            completion = ask(client, text, willingness_to_pay=wtp, max_tokens=4)
            decision = completion._routerlab.decision
            assert completion.model == decision.chosen == (SMALL if wtp == 0 else decision.chosen)
            assert decision.quality[decision.chosen] == max(decision.quality.values()) or wtp == 0
            client.feedback(completion, float(completion.model == LARGE))
    captured = rl.read_captured(client.path)
    rates = pd.DataFrame(PRICES, index=["i", "o"]).T.loc[captured.calls["model"]].to_numpy()
    tokens = captured.calls[["input_tokens", "output_tokens"]].to_numpy()
    np.testing.assert_allclose(captured.calls["cost_usd"], (tokens * rates).sum(axis=1) / 1e6)
    assert set(captured.calls["model"]) == set(MODELS)
    quality, cost = captured.complete()
    X = router[1].transform(captured.prompts.loc[quality.index, "prompt"])
    assert rl.KNNRouter(n_neighbors=4).fit(X, quality, cost=cost).predict(X).eq(LARGE).mean() > 0.5


@pytest.mark.filterwarnings("ignore:.*is asked in its place")
def test_one_is_killed_and_the_other_answers(client, served, prompts):
    """Keep this one last: nothing starts the model again."""
    text = next(t for t in prompts["prompt"] if client.route(t, willingness_to_pay=float("inf")).chosen == LARGE)
    stream = ask(client, text, willingness_to_pay=float("inf"), stream=True, max_tokens=200)
    begun = "".join(next(stream).choices[0].delta.content or "" for _ in range(3))
    os.kill(served.processes[LARGE], signal.SIGKILL)
    with pytest.raises(openai.APIConnectionError):
        list(stream)
    for streamed in (False, True):
        reply = ask(client, text, willingness_to_pay=float("inf"), stream=streamed, max_tokens=4)
        said = (
            "".join(c.choices[0].delta.content or "" for c in reply) if streamed else reply.choices[0].message.content
        )
        assert said.strip() and reply._routerlab.model == SMALL
    calls = rl.read_captured(client.path).calls
    assert begun and calls["error"].fillna("").tolist() == ["broke off: APIConnectionError", "", ""]
    assert calls["model"].tolist() == [LARGE, SMALL, SMALL] and set(calls["chosen"]) == {LARGE}
    assert [len(rested) for rested in calls["rested"]] == [0, 1, 1], "it broke off, so that it rests: not asked again"
