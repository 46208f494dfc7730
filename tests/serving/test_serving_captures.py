"""What a RoutedClient writes down: redaction, damage, a full disk, several writers, and how it reads back."""

import errno
import html
import json
import os
import subprocess
import sys
import time

import numpy as np
import openai
import pandas as pd
import pytest
from filelock import FileLock

import routerlab as rl
from tests.serving.toy import EASY, HARD, MODELS, ask, run_async

pytestmark = pytest.mark.filterwarnings("ignore:.* is asked in its place:routerlab.serving.EndpointWarning")


def test_tables_pass_the_projects_checks_and_join(make, server):
    client = make()
    replies = [ask(client, prompt) for prompt in EASY + HARD]
    client.feedback(replies[0], 0.2)
    client.feedback(replies[0]._routerlab.request_id, 0.8, note="on second thoughts")
    client.feedback(replies[4], True)
    client.feedback("never-made", 0.5)
    captured = rl.read_captured(make.path)
    assert rl.check_prompts(captured.prompts)["prompt"].tolist() == EASY + HARD
    responses = rl.check_responses(captured.responses, captured.prompts)
    assert responses["model"].tolist() == ["small"] * 4 + ["large"] * 4
    assert responses["response"].tolist() == [r.choices[0].message.content for r in replies]
    outcomes = rl.check_outcomes(captured.outcomes, captured.prompts)
    assert outcomes[["model", "quality"]].to_numpy().tolist() == [["small", 0.8], ["large", 1.0]]
    assert outcomes["cost_usd"].notna().all() and (outcomes["latency_s"] > 0).all()
    assert captured.calls["at"].is_monotonic_increasing and str(captured.calls["at"].dtype).startswith("datetime64")
    assert (captured.calls["routing_s"] <= captured.calls["total_s"]).all()
    assert (captured.n_feedback, captured.n_orphans) == (4, 1)
    text = repr(captured)
    for part in ("8 calls, 8 answered, 2 with feedback", "small 4, large 4", "1 feedbacks without their call"):
        assert part in text


def test_the_summary_counts_streams_left_early_as_of_unknown_cost(make, server):
    client = make()
    ask(client, EASY[0])
    stream = ask(client, EASY[1], stream=True)
    next(stream)
    stream.close()
    server.script = lambda asked: "400"
    with pytest.raises(openai.BadRequestError):
        ask(client, EASY[2])
    captured = rl.read_captured(make.path)
    assert "3 calls, 1 answered, 0 with feedback" in repr(captured)
    assert "USD and 1 calls of unknown cost" in repr(captured)
    assert f"<p>{html.escape(repr(captured))}</p>" in captured._repr_html_()


def test_the_next_router_learns_from_feedback_what_this_one_had_wrong(embedder, server, local, tmp_path):
    """The router in use thinks that the small model can do all; feedback says otherwise."""
    prompts = EASY + HARD
    truth = pd.DataFrame({"small": [0.9] * 4 + [0.1] * 4, "large": [0.9] * 8}, index=prompts)
    cost = pd.DataFrame({"small": [0.0001] * 8, "large": [0.01] * 8})
    wrong = pd.DataFrame({"small": [0.9] * 8, "large": [0.8] * 8})
    X = embedder.transform(prompts)
    old = rl.KNNRouter(n_neighbors=1, willingness_to_pay=0.1).fit(X, wrong, cost=cost)
    client = rl.RoutedClient(old, embedder, client=local, capture=tmp_path / "c.jsonl", prices=server.prices)
    explorer = rl.RoutedClient(
        old, embedder, client=local, capture=tmp_path / "c.jsonl", explore=0.5, random_state=0, prices=server.prices
    )
    assert {client.route(prompt).chosen for prompt in prompts} == {"small"}
    for _ in range(6):
        for prompt in prompts:
            reply = ask(explorer, prompt)
            explorer.feedback(reply, truth.loc[prompt, reply._routerlab.model])
    captured = rl.read_captured(tmp_path / "c.jsonl")
    quality, paid = captured.complete()
    assert quality.shape == paid.shape == (48, 2) and quality.notna().all(axis=None)
    assert quality.attrs["provenance"].startswith("captured: 48 of 96 cells measured")
    new = rl.KNNRouter(n_neighbors=5, willingness_to_pay=0.1)
    texts = captured.prompts.loc[quality.index, "prompt"]
    new.fit(embedder.transform(texts), quality, cost=paid)
    assert new.predict(embedder.transform(prompts)).tolist() == ["small"] * 4 + ["large"] * 4
    assert "captured: 48 of 96" in new.predict_quality(embedder.transform(EASY)).attrs["provenance"]


def test_simulated_outcomes_stay_marked_from_router_to_captures(embedder, server, local, tmp_path):
    quality = pd.DataFrame({"small": [0.9] * 8, "large": [0.8] * 8})
    quality.attrs["provenance"] = "simulated: seed 0"
    router = rl.KNNRouter(n_neighbors=1).fit(embedder.transform(EASY + HARD), quality, cost=quality / 100)
    client = rl.RoutedClient(router, embedder, client=local, capture=tmp_path / "c.jsonl")
    reply = ask(client, EASY[0])
    client.feedback(reply, 1.0)
    captured = rl.read_captured(tmp_path / "c.jsonl")
    for note in (repr(client.route(EASY[0])), *(f.attrs["provenance"] for f in captured.complete())):
        assert "simulated: seed 0" in note
    assert captured.quality.attrs["provenance"] == "simulated: seed 0"


def test_complete_keeps_estimates_where_nothing_was_measured(make):
    client = make()
    easy, named = ask(client, EASY[0]), ask(client, EASY[0], model="large")
    client.feedback(easy, 0.3)
    client.feedback(named, 0.4)
    with pytest.warns(rl.DroppedRowsWarning, match="left out 1 of 2"):
        quality, cost = rl.read_captured(make.path).complete()
    key = easy._routerlab.request_id
    assert quality.loc[key].to_dict() == pytest.approx(
        {"small": 0.3, "large": easy._routerlab.decision.quality["large"]}
    )
    assert cost.loc[key, "large"] == pytest.approx(0.01) and cost.loc[key, "small"] < 0.0001


def test_redaction_comes_before_the_disk(make):
    def redact(record):
        return {**record, "prompt": "[redacted]", "response": None, "tenant": "t1", "request_id": "mine"}

    client = make(redact=redact)
    completion = ask(client, "How do I poach an egg for Ada?")
    list(ask(client, "How do I poach an egg for Ada?", stream=True))
    client.feedback(completion, 1.0, note="Ada liked it")
    written = make.path.read_text()
    assert "Ada" not in written.replace("Ada liked it", "") and "word" not in written
    captured = rl.read_captured(make.path)
    assert captured.prompts["prompt"].tolist() == ["[redacted]"] * 2
    assert captured.calls["tenant"].tolist() == ["t1", "t1"]
    assert completion._routerlab.request_id in captured.calls.index and len(captured.outcomes) == 1


def test_a_hook_that_returns_none_leaves_the_call_out(make):
    client = make(redact=lambda record: None if "egg" in record["prompt"] else record)
    ask(client, "How do I poach an egg?")
    ask(client, "How do I boil rice?")
    assert rl.read_captured(make.path).prompts["prompt"].tolist() == ["How do I boil rice?"]
    assert client.n_lost == 0


@pytest.mark.parametrize(
    "hook", [lambda record: record["nothing"], lambda record: "text", lambda record: {"x": object()}]
)
@pytest.mark.parametrize("stream", [False, True])
def test_a_hook_that_fails_writes_nothing_and_the_reply_comes(make, hook, stream):
    client = make(redact=hook)
    with pytest.warns(rl.CaptureWarning, match="'redact' failed .* nothing was written") as warned:
        reply = ask(client, "How do I poach an egg for Ada?", stream=stream)
        text = "".join(c.choices[0].delta.content or "" for c in reply) if stream else reply.choices[0].message.content
    assert text.startswith("small replies") and not make.path.exists() and client.n_lost == 1
    assert "Ada" not in str(warned[0].message)


def test_without_texts_nothing_that_was_said_is_written(make, server):
    server.script = lambda asked: "500" if asked.model == "small" else None
    client = make(store_text=False)
    client.feedback(ask(client, "How do I poach an egg?"), 0.5, note="not bad")
    written = make.path.read_text()
    assert not [word for word in ("poach", "replies", "not bad", "had an error") if word in written]
    captured = rl.read_captured(make.path)
    assert captured.prompts.empty and captured.outcomes["quality"].tolist() == [0.5]
    assert captured.calls["failures"].iloc[0][0]["error"] == "HTTP 500"


def refuse_to_write(monkeypatch, code):
    def write(handle, data):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr("routerlab.jsonl.os.write", write)


@pytest.mark.parametrize(("code", "why"), [(errno.ENOSPC, "disk is full"), (errno.EROFS, "read-only")])
def test_a_disk_that_refuses_costs_a_warning_and_no_reply(make, monkeypatch, code, why):
    client = make()
    first = ask(client, EASY[0])
    with monkeypatch.context() as patched:
        refuse_to_write(patched, code)
        with pytest.warns(rl.CaptureWarning, match=f"{why}.* 1 captures are lost"):
            assert ask(client, EASY[1]).model == "small"
        with pytest.warns(rl.CaptureWarning, match="2 captures are lost"):
            assert client.feedback(first, 1.0) is False
        with pytest.warns(rl.CaptureWarning, match="3 captures are lost"):
            assert len(list(ask(client, EASY[2], stream=True))) > 2
    ask(client, EASY[3])
    assert client.n_lost == 3
    assert rl.read_captured(make.path).prompts["prompt"].tolist() == [EASY[0], EASY[3]]


def test_a_folder_that_cannot_be_made_costs_a_warning(make, tmp_path):
    (tmp_path / "file").write_text("")
    client = make(capture=tmp_path / "file" / "captured.jsonl")
    with pytest.warns(rl.CaptureWarning, match="not written"):
        ask(client, EASY[0])
    client = make(capture=tmp_path / "new" / "folder" / "captured.jsonl")
    ask(client, EASY[0])
    assert len(rl.read_captured(tmp_path / "new" / "folder" / "captured.jsonl").calls) == 1


def test_a_lock_that_another_process_holds_costs_a_warning(make, monkeypatch):
    client = make()
    client._service.log._log.timeout = 0.1
    with FileLock(f"{make.path}.lock"), pytest.warns(rl.CaptureWarning, match="lock"):
        ask(client, EASY[0])


@pytest.mark.parametrize("cut", [1, 20, 200])
def test_a_torn_line_is_reported_and_later_ones_are_read(make, cut):
    client = make()
    ask(client, EASY[0])
    ask(client, EASY[1])
    make.path.write_bytes(make.path.read_bytes()[:-cut])
    if cut > 1:
        with pytest.warns(rl.CaptureWarning, match="line 3 is torn; the others are read"):
            assert len(rl.read_captured(make.path).calls) == 1
    ask(make(), EASY[2])  # another client ends the torn line first
    if cut == 1:
        assert len(rl.read_captured(make.path).calls) == 3
    else:
        with pytest.warns(rl.CaptureWarning, match="line 3 cannot be read"):
            captured = rl.read_captured(make.path)
        assert captured.prompts["prompt"].tolist() == [EASY[0], EASY[2]] and "line 3" in repr(captured)


def test_a_file_that_was_torn_at_birth_or_is_empty_is_captures(make, tmp_path):
    birth = '{"format": "routerlab-captures", "vers'
    make.path.write_text(birth)
    client = make()  # a crash while the header was written
    ask(client, EASY[0])
    assert len(rl.read_captured(make.path).calls) == 1
    with pytest.raises(rl.TableError, match="is not a file"):
        rl.read_captured(tmp_path / "absent.jsonl")
    (tmp_path / "empty.jsonl").write_text("")
    assert rl.read_captured(tmp_path / "empty.jsonl").calls.empty


def test_feedback_says_what_is_wrong(make):
    client = make()
    completion = ask(client, EASY[0])
    for bad in (5, -0.1, float("nan"), "good", None):
        with pytest.raises(rl.ParameterError, match="'quality'.*from 0 to 1"):
            client.feedback(completion, bad)
    with pytest.raises(rl.ParameterError, match="feedback.*got dict"):
        client.feedback({}, 1.0)
    with pytest.raises(rl.ParameterError, match="captures nothing"):
        make(capture=None).feedback(completion, 1.0)
    assert make(capture=None).n_lost == 0


def test_async_feedback(make, server):
    async def scenario(client):
        completion = await ask(client, EASY[0])
        return await client.feedback(completion, 0.7)

    assert run_async(make, server, scenario) is True
    assert rl.read_captured(make.path).outcomes["quality"].tolist() == [0.7]


WRITER = """
import sys
from routerlab.serving._captures import CaptureLog
log = CaptureLog(sys.argv[1], redact=None, store_text=True, sync=False)
k = 0
while k < int(sys.argv[3]):
    log.write({"type": "call", "request_id": f"{sys.argv[2]}-{k}", "prompt": "long " * 400, "model": None})
    k += 1
"""


@pytest.mark.slow
def test_several_processes_write_one_file_and_one_is_killed(tmp_path):
    path = tmp_path / "captured.jsonl"
    command = [sys.executable, "-c", WRITER, str(path)]
    counts = {"a": 60, "b": 60, "killed": 10**9}
    writers = {name: subprocess.Popen([*command, name, str(n)]) for name, n in counts.items()}
    assert writers["a"].wait(120) == writers["b"].wait(120) == 0
    while "killed-5" not in path.read_text():
        time.sleep(0.05)
    writers["killed"].kill()
    writers["killed"].wait(10)
    lines = path.read_text().splitlines()
    whole = [json.loads(line) for line in lines[1:-1]]
    for name in ("a", "b"):
        written = [r["request_id"] for r in whole if r["request_id"].startswith(f"{name}-")]
        assert written == [f"{name}-{k}" for k in range(60)][: len(written)] and len(written) >= 59
    assert sum("format" in line for line in lines) == 1


def test_estimates_are_what_the_router_said(make, router, embedder):
    ask(make(), HARD[0])
    captured = rl.read_captured(make.path)
    X = embedder.transform([HARD[0]])
    np.testing.assert_allclose(captured.quality[list(MODELS)], router.predict_quality(X)[list(MODELS)])
    np.testing.assert_allclose(captured.cost[list(MODELS)], router.predict_cost(X)[list(MODELS)])


def test_feedback_beside_a_judges_win_shares_is_said(embedder, server, local, tmp_path):
    quality = pd.DataFrame({"small": [0.4] * 8, "large": [0.6] * 8})
    quality.attrs["quality_scale"] = "win share"
    router = rl.KNNRouter(n_neighbors=1).fit(embedder.transform(EASY + HARD), quality, cost=quality / 100)
    client = rl.RoutedClient(router, embedder, client=local, capture=tmp_path / "c.jsonl")
    client.feedback(ask(client, EASY[0]), 1.0)
    captured = rl.read_captured(tmp_path / "c.jsonl")
    assert captured.outcomes["quality_scale"].tolist() == ["feedback"]
    with pytest.warns(rl.MixedScalesWarning, match=r"1 cells are feedback.*win shares"):
        mixed, _ = captured.complete()
    assert "two scales are mixed" in mixed.attrs["provenance"]


@pytest.mark.parametrize(
    ("given", "scale", "quality"),
    [(4, (1, 5), 0.75), (80, (0, 100), 0.8), ("pass", {"pass": 1, "fail": 0}, 1.0), (True, None, 1.0)],
)
def test_feedback_comes_on_any_scale(make, given, scale, quality):
    client = make()
    client.feedback(ask(client, EASY[0]), given, scale=scale)
    assert rl.read_captured(make.path).outcomes["quality"].tolist() == [quality]
    with pytest.raises(ValueError, match="'quality'"):
        client.feedback("some-id", 700, scale=scale)
