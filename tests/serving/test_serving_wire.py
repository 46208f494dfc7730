"""What comes over the wire: any JSON, slow drips, bombs, redirects, 429s; forks, cancellation, garbage."""

import asyncio
import gc
import gzip
import json
import os
import signal
import threading
import time
import tracemalloc
import warnings
from concurrent.futures import ThreadPoolExecutor

import httpx
import numpy as np
import openai
import pandas as pd
import pytest
from openai._legacy_response import LegacyAPIResponse

import routerlab as rl
from routerlab.completions import account
from routerlab.serving import AsyncRoutedClient, CaptureWarning, EndpointWarning, RoutedClient, read_captured
from tests.raw_server import RawServer, completion, drip, events, http, piece
from tests.serving.toy import EASY, HARD, ask, run_async

STREAM_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n"
JSON_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 100000\r\n\r\n"
ROLE = b"data: " + json.dumps(piece({"role": "assistant", "content": ""})).encode() + b"\n\n"


@pytest.fixture
def routed(router, embedder, tmp_path):
    """Make a client of a raw server's, which asks its models ``small`` and ``large``; it retries at once."""

    def client(server, *, local=None, max_retries=0, **options):
        kind = RoutedClient if local is None else AsyncRoutedClient
        options = {"prices": {"small": (1, 2), "large": (10, 30)}, "capture": tmp_path / "c.jsonl", **options}
        return kind(router, embedder, client=local or server.client(max_retries=max_retries), **options)

    client.path = tmp_path / "c.jsonl"
    return client


async def with_async(routed, server, scenario, *, max_retries=0, **options):
    """Run ``scenario(client)`` with an asynchronous client of a raw server's."""
    async with openai.AsyncOpenAI(base_url=server.url, api_key="k", max_retries=max_retries) as local:
        return await scenario(routed(server, local=local, **options))


def answering(*answers):
    """A server that gives these answers, the last one for ever."""
    return RawServer(lambda connection, number: connection.sendall(answers[min(number, len(answers)) - 1]))


def text_of(reply):
    if isinstance(reply, openai.types.chat.ChatCompletion):
        return reply.choices[0].message.content
    return "".join(chunk.choices[0].delta.content or "" for chunk in reply)


# A deadline is a deadline.

DRIPS = {
    "headers": (False, b"HTTP/1.1 200 OK\r\n", b"x-a: b\r\n"),
    "body": (False, JSON_HEAD, b" "),
    "headers of a stream": (True, b"HTTP/1.1 200 OK\r\n", b"x-a: b\r\n"),
    "comments": (True, STREAM_HEAD, b": still there\n\n"),
    "empty deltas": (True, STREAM_HEAD, ROLE),
    "half a line": (True, STREAM_HEAD + b"data: ", b" "),
}


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize("how", DRIPS)
@pytest.mark.slow
def test_no_drip_holds_a_call_past_its_time_out(routed, how, is_async):
    stream, head, drop = DRIPS[how]
    options = {"timeout_s": 0.4, "max_retries": 2}

    async def scenario(client):
        await ask(client, EASY[0], model="small", stream=stream)

    with RawServer(lambda connection, number: drip(connection, head, drop)) as server:
        started = time.monotonic()
        with pytest.raises(openai.APITimeoutError):
            if is_async:
                asyncio.run(with_async(routed, server, scenario, **options))
            else:
                ask(routed(server, **options), EASY[0], model="small", stream=stream)
        assert time.monotonic() - started < 2.5
        assert len(server.asked) == 1  # it had its time: not asked again
    assert read_captured(routed.path).calls["failures"].iloc[0][0]["error"] == "timed out"


@pytest.mark.parametrize("drop", [b": still there\n\n", ROLE], ids=["comments", "empty deltas"])
def test_a_stream_that_says_no_more_is_given_up_but_a_slow_reader_is_not(routed, drop):
    begun = STREAM_HEAD + b"data: " + json.dumps(piece({"content": "Sim"})).encode() + b"\n\n"
    with RawServer(lambda connection, number: drip(connection, begun, drop)) as server:
        stream = ask(routed(server, timeout_s=0.4), EASY[0], model="small", stream=True)
        texts = [next(stream).choices[0].delta.content]
        time.sleep(0.6)  # nobody waits for the provider meanwhile
        started = time.monotonic()
        with pytest.raises(openai.APITimeoutError):
            texts += [chunk.choices[0].delta.content for chunk in stream]
        assert time.monotonic() - started < 2.5
    call = read_captured(routed.path).calls.iloc[0]
    assert "".join(texts) == "Sim" and call["error"] == "broke off: APITimeoutError"


def test_a_slow_answer_in_time_is_whole(routed):
    def slowly(connection, number):
        data = http(completion("Simmer it."))
        for k in range(0, len(data), 1 + len(data) // 8):
            connection.sendall(data[k : k + 1 + len(data) // 8])
            time.sleep(0.05)

    with RawServer(slowly) as server:
        assert text_of(ask(routed(server, timeout_s=5), EASY[0])) == "Simmer it."


# Sizes.


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_a_bomb_is_not_unpacked(routed, stream):
    bomb = gzip.compress(b'data: "' + b" " * 300_000_000, compresslevel=1)
    bomb = gzip.compress(gzip.decompress(bomb)) if len(bomb) > 2_000_000 else bomb
    kind = "text/event-stream" if stream else "application/json"
    with answering(http(bomb, kind=kind, content_encoding="gzip")) as server:
        client = routed(server)
        tracemalloc.start()
        with pytest.raises(openai.APIConnectionError) as caught:
            ask(client, EASY[0], model="small", stream=stream)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert "larger than" in str(caught.value.__cause__)
    assert peak < 400e6 if stream else peak < 120e6


# Redirects.


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_no_redirect_takes_prompt_or_key_to_another_host(routed, status, stream):
    with answering(http(completion("mine"))) as elsewhere:
        moved = http(b"", status, location=f"{elsewhere.url}/chat/completions")
        with answering(moved) as server, pytest.warns(EndpointWarning, match="redirects to http.*base_url"):
            with pytest.raises(openai.APIStatusError):
                ask(routed(server), EASY[0], model="small", stream=stream)
        assert elsewhere.asked == []


def test_a_redirect_to_the_same_host_is_followed(routed):
    with answering(http(b"", 307, location="/v2/chat/completions"), http(completion("moved"))) as server:
        assert text_of(ask(routed(server), EASY[0])) == "moved"
        assert [request.split()[1] for request in server.asked] == [b"/v1/chat/completions", b"/v2/chat/completions"]
        assert server.bodies[0] == server.bodies[1]


# 429: the same model again, and only then another.

BUSY = http({"error": {"message": "slow down"}}, 429, retry_after="0.2")


def by_model(**answers):
    """A server that answers each model's requests one by one, its last answer for ever."""
    counts = dict.fromkeys(answers, 0)

    def answer(connection, number):
        model = server.bodies[number - 1]["model"]
        counts[model] += 1
        connection.sendall(answers[model][min(counts[model], len(answers[model])) - 1])

    server = RawServer(answer)
    return server


@pytest.mark.parametrize(
    "blip",
    [
        BUSY,
        http({"error": {"message": "slow down"}}, 429),
        http({"error": {"message": "overloaded"}}, 503, retry_after="0.1"),
        http({"error": {"message": "conflict"}}, 409),
        http({"choices": []}),
        http(b"<html>"),
        http({"error": {"code": 502, "message": "upstream"}}),
        http(events(piece({}, "error")), kind="text/event-stream"),
    ],
    ids=["429 with a wait", "429", "503", "409", "no choices", "no JSON", "error in the body", "error in the stream"],
)
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.slow
def test_one_failure_hands_nothing_to_a_weaker_model(routed, blip, stream):
    good = http(events(piece({"content": "ok"}), piece({}, "stop")), kind="text/event-stream")
    with by_model(large=[blip, good if stream else http(completion("ok"))], small=[http(completion("weak"))]) as server:
        client = routed(server, max_retries=2)
        reply = ask(client, HARD[0], stream=stream)
        assert (text_of(reply), reply._routerlab.model, len(reply._routerlab.failures)) == ("ok", "large", 1)
        assert client.route(HARD[1]).chosen == "large"
        assert not client._service.cooldown.rests(client._service.endpoints["large"][0])
    captured = read_captured(routed.path)
    assert captured.calls["attempts"].tolist() == [2] and captured.n_handed_over == 0


@pytest.mark.parametrize(("answer", "n_asked"), [(http({"choices": []}), 2), (http({"error": {}}, 500), 4)])
def test_what_may_be_billed_each_time_is_asked_for_once_more_at_most(routed, answer, n_asked):
    with answering(answer) as server, pytest.raises(openai.APIError):
        ask(routed(server, max_retries=3), HARD[0], model="large")
    assert len(server.asked) == n_asked
    assert read_captured(routed.path).calls["attempts"].tolist() == [n_asked]


def test_what_retry_after_asks_for_is_waited(routed):
    async def scenario(client):
        return text_of(await ask(client, HARD[0]))

    for is_async in (False, True):
        with by_model(large=[BUSY, http(completion("ok"))], small=[http(completion("weak"))]) as server:
            started = time.monotonic()
            if is_async:
                assert asyncio.run(with_async(routed, server, scenario, max_retries=1)) == "ok"
            else:
                assert text_of(ask(routed(server, max_retries=1), HARD[0])) == "ok"
            assert 0.2 <= time.monotonic() - started < 1.5


def test_another_model_answers_after_all_retries_with_a_warning_and_a_count(routed):
    with by_model(large=[BUSY], small=[http(completion("weak"))]) as server:
        client = routed(server, max_retries=2)
        with pytest.warns(EndpointWarning, match="large failed 3 times, the last with HTTP 429: small is asked") as w:
            assert text_of(ask(client, HARD[0])) == "weak"
        assert w[0].filename == ask.__code__.co_filename
        with pytest.warns(EndpointWarning, match="large failed a moment ago, and rests: small is asked"):
            assert ask(client, HARD[1])._routerlab.model == "small"
        assert [body["model"] for body in server.bodies] == ["large"] * 3 + ["small"] * 2
        time.sleep(0.2)  # it rests as long as Retry-After asks for, and no longer
        with pytest.warns(EndpointWarning, match="large failed 3 times"):
            ask(client, HARD[2])
    captured = read_captured(routed.path)
    assert captured.calls["attempts"].tolist() == [4, 1, 4] and captured.n_handed_over == 3
    assert "3 answered by another model than the chosen one" in repr(captured)


def test_a_provider_that_is_often_busy_weakens_no_answer(make, server):
    server.faults, server.retry_after = {"429": 0.1, "503": 0.05}, "0.01"
    with server.client(max_retries=3) as local:
        client = make(local=local, rest_s=15)
        with ThreadPoolExecutor(4) as pool:
            replies = list(pool.map(lambda k: ask(client, f"{HARD[k % 4]} {k}"), range(60)))
    assert {reply._routerlab.model for reply in replies} == {"large"}
    assert sum(len(reply._routerlab.failures) for reply in replies) > 2


@pytest.mark.parametrize("wait", ["31536000", "9" * 400, "1e308", "Fri, 31 Dec 9999 23:59:59 GMT"])
def test_a_wait_of_a_year_is_not_waited(routed, wait):
    busy = http({"error": {"message": "slow down"}}, 429, retry_after=wait)
    with by_model(large=[busy], small=[http(completion("weak"))]) as server:
        started = time.monotonic()
        with pytest.warns(EndpointWarning, match="small is asked in its place"):
            assert text_of(ask(routed(server, max_retries=1), HARD[0])) == "weak"
        assert time.monotonic() - started < 5


def test_the_same_model_elsewhere_comes_before_a_wait(router, embedder):
    with answering(http({"error": {}}, 429, retry_after="5")) as busy, answering(http(completion("ok"))) as other:
        at = [rl.Endpoint("large", server.client(max_retries=2)) for server in (busy, other)]
        client = RoutedClient(router, embedder, {"large": at, "small": at[1:]})
        started = time.monotonic()
        assert text_of(ask(client, HARD[0])) == "ok" and time.monotonic() - started < 3
        assert (len(busy.asked), len(other.asked)) == (1, 1)


# Gateways and their habits.


def test_a_cached_reply_to_the_same_request_is_right(routed):
    cached = http(completion("Simmer it.", name="chatcmpl-0123456789abcdef0123"))
    with answering(cached) as server:
        client = routed(server)
        assert [text_of(ask(client, EASY[0])) for _ in range(3)] == ["Simmer it."] * 3
        with pytest.raises(openai.APIResponseValidationError, match="another request came again"):
            ask(client, EASY[1], model="small")


def test_streams_may_have_a_constant_id(routed):
    said = http(events(piece({"content": "Simmer it."}), piece({}, "stop")), kind="text/event-stream")
    with answering(said) as server:
        client = routed(server)
        assert [text_of(ask(client, prompt, stream=True)) for prompt in EASY] == ["Simmer it."] * 4


@pytest.mark.parametrize(
    ("status", "refusal"),
    [
        (422, {"detail": [{"type": "extra_forbidden", "loc": ["body", "stream_options"], "msg": "Extra inputs"}]}),
        (422, {"error": {"message": "Invalid request"}}),
        (400, {"error": {"message": "Unrecognized request argument supplied: stream_options"}}),
        (400, {"message": "include_usage is not supported by this model"}),
    ],
)
def test_an_endpoint_that_refuses_stream_options_is_asked_without(routed, status, refusal):
    said = http(events(piece({"content": "ok"}), piece({}, "stop")), kind="text/event-stream")

    def answer(connection, number):
        refused = "stream_options" in server.bodies[number - 1]
        connection.sendall(http(refusal, status) if refused else said)

    with RawServer(answer) as server:
        client = routed(server)
        assert [text_of(ask(client, prompt, stream=True)) for prompt in EASY[:3]] == ["ok"] * 3
        assert ["stream_options" in body for body in server.bodies] == [True, False, False, False]  # it is remembered
        wanted = {"stream_options": {"include_usage": True}}
        with pytest.raises(openai.APIStatusError):  # what the caller asks for is not taken away
            ask(client, EASY[0], stream=True, **wanted)
    assert read_captured(routed.path).calls["cost_usd"].isna().all()


@pytest.mark.parametrize(
    "message",
    [
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}]},
        {"role": "user", "content": ""},
        {"role": "user", "content": " \n"},
        {"role": "user", "content": None},
        {"role": "user", "content": []},
        {"role": "system", "content": "Say something."},
        {"role": "tool", "tool_call_id": "c1", "content": "4"},
    ],
)
@pytest.mark.parametrize("fallback", [None, "small"])
def test_a_message_without_text_goes_to_the_fallback(embedder, make, server, message, fallback):
    quality = pd.DataFrame({"small": [0.9] * 7 + [0.2], "large": [0.9] * 8})
    options = {} if fallback is None else {"min_similarity": 0.1, "fallback": fallback}
    fitted = rl.KNNRouter(3, **options).fit(embedder.transform(EASY + HARD), quality, cost=quality / 100)
    client = make()
    client._service.decider.router = fitted
    server.reply = lambda body: "A cat."
    client._service.log.n_lost = 0
    decision = client.route([message])
    assert (decision.chosen, decision.prompt, decision.abstained) == (fallback or "large", None, True)
    assert repr(decision) == f"{decision.chosen}, no text to route by: fallback"


def test_a_picture_alone_is_answered_and_captured(routed):
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}
    with answering(http(completion("A cat."))) as server:
        reply = routed(server).chat.completions.create(messages=[{"role": "user", "content": [image]}])
    captured = read_captured(routed.path)
    assert (text_of(reply), captured.calls["abstained"].tolist(), len(captured.prompts)) == ("A cat.", [True], 0)
    with pytest.raises(rl.ParameterError, match="'messages': is empty"):
        routed(server).chat.completions.create(messages=[])


# What models answer with.

CALL = {"id": "c1", "type": "function", "function": {"name": "add", "arguments": '{"a": 2, "b": 3}'}}
PARTS = [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}, {"type": "text", "text": "4"}]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_tool_calls_refusals_and_parts_are_captured(routed, stream):
    begun = {**CALL, "index": 0, "function": {"name": "add", "arguments": '{"a": 2'}}
    more = {"index": 0, "function": {"arguments": ', "b": 3}'}}
    other = {**CALL, "index": 1, "id": "c2"}
    wholes = [
        completion(None, "tool_calls", tool_calls=[CALL, {**CALL, "id": "c2"}]),
        completion(None, refusal="I may not."),
    ]
    streams = [
        events(piece({"tool_calls": [begun]}), piece({"tool_calls": [more, other]}), piece({}, "tool_calls")),
        events(piece({"refusal": "I may"}), piece({"refusal": " not."}), piece({}, "stop")),
        events(piece({"content": PARTS[:1]}), piece({"content": PARTS[1:]}), piece({}, "stop")),
    ]
    wholes += [completion(PARTS)]
    answers = [http(s, kind="text/event-stream") for s in streams] if stream else [http(w) for w in wholes]
    with answering(*answers) as server:
        client = routed(server)
        for _ in answers:
            reply = ask(client, EASY[0], stream=stream)
            _ = list(reply) if stream else reply
        quiet = routed(server, capture=routed.path.with_name("quiet.jsonl"), store_text=False)
    captured = read_captured(routed.path)
    assert captured.calls["tool_calls"].iloc[0] == [CALL, {**CALL, "id": "c2"}]
    assert captured.responses["response"].tolist() == ["", "I may not.", "4"]
    assert captured.calls["refusal"].iloc[1] == "I may not." and quiet.n_lost == 0


def test_without_texts_no_arguments_of_a_tool_are_written(routed):
    with answering(http(completion(None, "tool_calls", tool_calls=[CALL]))) as server:
        ask(routed(server, store_text=False), EASY[0])
    assert "arguments" not in routed.path.read_text()


# Forks, cancellation, garbage.


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
@pytest.mark.parametrize("used", [False, True], ids=["fresh", "used before"])
def test_a_forked_worker_asks_and_captures(make, server, used):
    client = make()
    if used:
        ask(client, EASY[0])
    holders = [client._service.log._one_at_a_time, client._service.decider._one_at_a_time]
    with holders[0], holders[1]:  # held by a thread that the child does not have
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            signal.alarm(20)
            try:
                threading.Thread(target=lambda: os.write(write, ask(client, EASY[1]).model.encode())).start()
            finally:
                [t.join() for t in threading.enumerate() if t is not threading.current_thread() and not t.daemon]
                os._exit(0)
        os.close(write)
        assert os.read(read, 100) == b"small"
        os.waitpid(child, 0)
    ask(client, EASY[2])
    captured = read_captured(make.path)
    assert captured.prompts["prompt"].tolist() == [*EASY[: int(used)], EASY[1], EASY[2]]
    ports = {asked.headers["host"] for asked in server.asked}
    assert len(ports) == 1 and client.n_lost == 0


class Disk(Exception):
    """Of a kind that nobody thought of."""


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("where", ["lock", "append", "record"])
def test_a_capture_that_fails_in_whatever_way_costs_no_reply(make, monkeypatch, where, stream):
    def fail(*args, **kwargs):
        raise Disk("of another kind")  # noqa: EM101

    client = make()
    if where == "lock":
        monkeypatch.setattr(client._service.log._log, "locked", fail)
    elif where == "append":
        monkeypatch.setattr(client._service.log._log, "append", fail)
    else:
        monkeypatch.setattr("routerlab.serving._calls.account", fail)
    with pytest.warns(CaptureWarning, match=r"Disk.* 1 captures are lost"):
        assert text_of(ask(client, EASY[0], stream=stream)).startswith("small replies")
    assert client.n_lost == 1


def warning_first(do):
    """Warn, then do it: as code does that is about to change."""

    def warned(*args, **kwargs):
        warnings.warn("soon to change", DeprecationWarning, stacklevel=2)
        return do(*args, **kwargs)

    return warned


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("where", ["capture", "price", "parse", "hand over", "refusal"])
def test_a_warning_that_is_an_error_costs_no_reply(make, server, monkeypatch, caplog, where, stream):
    warnings.simplefilter("error")  # as python -W error sets it
    client = make()
    if where == "capture":
        monkeypatch.setattr(client._service.log._log, "append", lambda *_, **__: 1 / 0)
    elif where == "price":
        monkeypatch.setattr("routerlab.serving._calls.account", warning_first(account))
    elif where == "parse":
        monkeypatch.setattr(LegacyAPIResponse, "parse", warning_first(LegacyAPIResponse.parse))
    else:
        server.script = lambda asked: {"hand over": "500", "refusal": "401"}[where] if asked.model == "small" else None
    reply = text_of(ask(client, EASY[0], stream=stream))
    fails_over = where in ("hand over", "refusal")
    assert reply.startswith("large replies" if fails_over else "small replies")
    assert [asked.model for asked in server.asked].count("large" if fails_over else "small") == 1
    assert client.n_lost == (where == "capture")
    told = {"capture": "captures are lost", "hand over": "is asked in its place", "refusal": "refuses every request"}
    assert told.get(where, "") in caplog.text
    if where != "capture":
        assert read_captured(make.path).calls["cost_usd"].gt(0).all()


def test_a_replys_json_is_read_once(make, server, monkeypatch):
    read = []
    plain = json.loads
    monkeypatch.setattr(json, "loads", lambda text, **options: read.append(text) or plain(text, **options))
    assert ask(make(), EASY[0]).choices[0].message.content.startswith("small replies")
    assert len([text for text in read if "choices" in str(text)]) <= 2  # the server reads its request, too


@pytest.mark.parametrize(("name", "kind"), [("ReadTimeout", "APITimeoutError"), ("ReadError", "APIConnectionError")])
@pytest.mark.parametrize("when", ["before", "after"])
def test_an_error_of_the_http_client_in_a_stream_is_the_sdks(make, monkeypatch, name, kind, when):
    """Older versions of the SDK let it through."""
    client = make(["small", "large"], timeout_s=5)
    plain = openai.Stream.__next__
    seen = []

    def breaks(stream):
        if when == "before" or seen:
            raise getattr(httpx, name)("broke off")  # noqa: EM101
        seen.append(plain(stream))
        return plain(stream)

    monkeypatch.setattr(openai.Stream, "__next__", breaks)
    with warnings.catch_warnings(), pytest.raises(getattr(openai, kind)) as caught:
        warnings.simplefilter("ignore", EndpointWarning)
        text_of(ask(client, EASY[0], stream=True))
    assert type(caught.value.__cause__).__name__ == name


def test_a_stream_collected_as_garbage_inside_a_write_is_captured(make, monkeypatch):
    client = make()
    left = [ask(client, EASY[0], stream=True)]
    next(left[0])
    log = client._service.log._log
    plain = log.append

    def collecting(line, **options):
        while left:
            del left[0]  # as the garbage collector does, in the middle of another call's write
            gc.collect()
        plain(line, **options)

    monkeypatch.setattr(log, "append", collecting)
    done = threading.Thread(target=ask, args=(client, EASY[1]), daemon=True)
    done.start()
    done.join(20)
    assert not done.is_alive()
    captured = read_captured(make.path)
    assert captured.calls["error"].fillna("").tolist() == ["", "closed by the caller before its end"]


def test_no_capture_of_a_cancelled_call_is_lost(make, server):
    server.latency_s = 0.05

    async def scenario(client):
        tasks = [asyncio.create_task(ask(client, f"{EASY[k % 4]} {k}")) for k in range(60)]
        while len(server.asked) < 20:
            await asyncio.sleep(0.005)
        for task in tasks:
            await asyncio.sleep(0.003)
            task.cancel()
        return await asyncio.gather(*tasks, return_exceptions=True)

    replies = run_async(make, server, scenario)
    captured = read_captured(make.path)
    answered = [reply for reply in replies if isinstance(reply, openai.types.chat.ChatCompletion)]
    assert 0 < len(answered) < 60 and len(captured.responses) >= len(answered)
    assert {asked.prompt for asked in server.asked} <= set(captured.prompts["prompt"])
    assert set(captured.calls["error"].dropna()) <= {"cancelled"}


def test_a_stream_whose_reader_is_cancelled_is_captured(routed):
    begun = STREAM_HEAD + b"data: " + json.dumps(piece({"content": "Sim"})).encode() + b"\n\n"

    async def scenario(client):
        stream = await ask(client, EASY[0], stream=True)
        await stream.__anext__()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(stream.__anext__(), 0.2)
        return read_captured(routed.path).calls["error"].tolist()

    with RawServer(lambda connection, number: drip(connection, begun, b": still there\n\n")) as server:
        assert asyncio.run(with_async(routed, server, scenario)) == ["cancelled"]


def test_one_odd_piece_ends_no_stream(routed):
    odd = [7, None, "text", [], {"choices": 5}, {"choices": [3]}, {"choices": [{"delta": "x"}]}, {"usage": [1]}]
    said = events(piece({"content": "Sim"}), *odd, piece({"content": "mer"}), piece({}, ["stop"]))
    with answering(http(said, kind="text/event-stream")) as server, warnings.catch_warnings():
        stream = ask(routed(server), EASY[0], stream=True)
        assert "Simmer" in "".join(
            getattr(choice.delta, "content", None) or "" for chunk in stream for choice in chunk.choices or ()
        )
    assert read_captured(routed.path).responses["response"].tolist() == ["Simmer"]


@pytest.mark.parametrize("wrong", ["hello", b"hello", {"role": "user", "content": "hello"}, None, 7], ids=repr)
def test_messages_that_are_no_list_are_refused_before_anything_is_sent(make, server, wrong):
    with pytest.raises(rl.ParameterError, match="'messages': got"):
        make().chat.completions.create(model="routerlab", messages=wrong)
    assert not server.asked


@pytest.mark.parametrize("wrong", [0, -1, float("nan"), "5", True])
def test_a_time_out_that_no_request_can_be_held_to_is_refused(make, wrong):
    with pytest.raises(rl.ParameterError, match="'timeout_s': got"):
        make(timeout_s=wrong)


@pytest.mark.parametrize("limit", [None, float("inf"), 20, 2.5])
def test_a_time_out_may_be_left_out(make, limit):
    assert ask(make(timeout_s=limit), EASY[0]).model == "small"


def test_text_parts_of_every_kind_are_routed_by(make):
    for parts in ([HARD[0]], [{"type": "input_text", "text": HARD[0]}], [{"type": "text", "text": HARD[0]}]):
        assert make().route([{"role": "user", "content": parts}]).prompt == HARD[0]


@pytest.mark.parametrize("quality", [np.int64(1), np.bool_(True), np.float32(1)], ids=repr)
def test_feedback_takes_numpys_numbers(make, quality):
    client = make()
    assert client.feedback(ask(client, EASY[0]), quality)
    assert json.loads(make.path.read_text().splitlines()[-1])["quality"] == 1.0
