"""100,000 replies, errors and streams with any JSON at any place: each is read or recorded, and none raises."""

import asyncio
import json
import math
import random
import warnings

import httpx2
import openai
import pandas as pd
import pytest
from openai._models import construct_type
from openai.types.chat import ChatCompletionChunk

import routerlab as rl
from routerlab.completions import Deadline, Endpoint, Failure, account, read_error, read_reply, retry_after
from routerlab.serving import AsyncRoutedClient, RoutedClient, RoutedStream, read_captured
from routerlab.serving._calls import Call, Opened
from routerlab.serving._captures import CaptureLog
from routerlab.serving._client import begins
from routerlab.serving._decide import Decision
from tests.wire_fuzz import ERROR, REPLY, STREAM, body, mutated, retry_headers

N = 100_000
N_SDK = 1_000  # through the SDK and its HTTP client, at some ms each
ENDPOINT = Endpoint("m", price=(1, 2))
MESSAGES = [{"role": "user", "content": "Poach an egg?"}]


@pytest.mark.fuzz
def test_every_body_is_a_reply_or_a_failure():
    rng = random.Random(0)
    n_replies = 0
    for _ in range(N):
        outcome = read_reply(body(mutated(rng.choice([REPLY, REPLY, ERROR]), rng), rng))
        if isinstance(outcome, Failure):
            assert isinstance(outcome.message, str) and outcome.message
            assert outcome.status is None or 100 <= outcome.status < 1000
        else:
            n_replies += 1
            outcome.text.encode()  # no half of a surrogate pair
            json.dumps([outcome.finish_reason, outcome.tool_calls, outcome.refusal])
    assert 0.3 * N < n_replies < 0.9 * N


@pytest.mark.fuzz
def test_every_usage_is_an_account():
    rng = random.Random(0)
    for _ in range(N):
        counted = account(mutated(REPLY["usage"], rng), ENDPOINT)
        assert all(math.isnan(value) or 0 <= value < math.inf for value in counted[:3])
        assert (counted.cost_source is None) == math.isnan(counted.cost_usd)


@pytest.mark.fuzz
def test_every_header_is_a_wait_or_none():
    rng = random.Random(0)
    for _ in range(N):
        seconds = retry_after(retry_headers(rng))
        assert seconds is None or 0 <= seconds < math.inf


class Chunks:
    """A stream of the SDK's, less the SDK."""

    response = None

    def __init__(self, chunks):
        self._chunks = iter(chunks)

    def __next__(self):
        return next(self._chunks)


class Captures:
    """A service that keeps the lines that it would write."""

    def __init__(self, path):
        self.log = CaptureLog(path, redact=None, store_text=True, sync=False)
        self.lines = []

    def capture(self, call, **what):
        self.lines.append(self.log._line(call.record(**what)))


@pytest.mark.fuzz
def test_every_stream_is_read_to_its_end_and_captured(tmp_path):
    rng, captures = random.Random(0), Captures(tmp_path / "c.jsonl")
    decision = Decision("m", None, None, ("m",), {}, {})
    whole = [construct_type(type_=ChatCompletionChunk, value=chunk) for chunk in STREAM]
    values = [mutated(rng.choice(STREAM), rng) for _ in range(N // 10)]
    changed = [construct_type(type_=ChatCompletionChunk, value=value) for value in values]
    for k in range(N):
        chunks = [changed[k % len(changed)], *rng.sample(whole, 2), *rng.sample(changed, rng.choice([0, 0, 1]))]
        rng.shuffle(chunks)
        source, held = Chunks(chunks), []
        while not (held and begins(held[-1])):
            held.append(next(source, None))
            if held[-1] is None:
                break
        call = Call(decision, True, 0.0)
        call.begin("m", ENDPOINT)
        for handed_on in RoutedStream(Opened(source, held, Deadline()), call, captures, pass_usage=True):
            assert all(hasattr(choice, "delta") for choice in handed_on.choices or ())
        (line,) = captures.lines
        captures.lines.clear()
        assert isinstance(json.loads(line)["response"], str)


def responses(seed):
    """Answers of a provider that sends anything, in one piece or as a stream."""
    rng = random.Random(seed)

    def answer(request):
        wants_stream = json.loads(request.content).get("stream")
        status = rng.choice([200] * 6 + [400, 404, 422, 429, 500, 503, 302, 418])
        kind = "text/event-stream" if wants_stream and status == 200 else rng.choice(["application/json", "text/html"])
        headers = {name: value.encode("latin-1", "replace") for name, value in retry_headers(rng).items()}
        if status == 200 and wants_stream:
            chunks = [mutated(chunk, rng) if rng.random() < 0.2 else chunk for chunk in STREAM]
            content = b"".join(b"data: " + body(chunk, rng) + b"\n\n" for chunk in chunks)
            content = content.replace(b"\r", b"") + rng.choice([b"data: [DONE]\n\n", b"", b": bye\n\n"])
        else:
            content = body(mutated(REPLY if status == 200 else ERROR, rng), rng)
        return httpx2.Response(status, headers={"content-type": kind, **headers}, content=content)

    return httpx2.MockTransport(answer)


@pytest.fixture(scope="module")
def fitted():
    embedder = rl.LsaEmbedder().fit(["Poach an egg?", "Fix my SQL query"])
    quality = pd.DataFrame({"m": [0.9, 0.9]})
    return rl.KNNRouter(1).fit(embedder.transform(["Poach an egg?", "Fix"]), quality, cost=quality / 100), embedder


def check_captured(path, n_calls, outcomes):
    captured = read_captured(path)
    assert (len(captured.calls), captured.bad_lines) == (n_calls, ())
    assert n_calls * 0.2 < outcomes.count("answered") < n_calls
    assert captured.calls["error"].isna().sum() <= outcomes.count("answered")


@pytest.mark.fuzz
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_through_the_sdk_every_answer_is_the_sdks_object_or_its_error_and_is_captured(fitted, tmp_path, stream):
    path, outcomes = tmp_path / "c.jsonl", []
    with openai.OpenAI(api_key="k", max_retries=0, http_client=httpx2.Client(transport=responses(0))) as local:
        client = RoutedClient(*fitted, client=local, prices={"m": (1, 2)}, capture=path, fsync=False, rest_s=0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", rl.serving.EndpointWarning)
            for _ in range(N_SDK):
                try:
                    reply = client.chat.completions.create(model="m", messages=MESSAGES, stream=stream)
                except openai.OpenAIError as error:
                    assert read_error(error).message
                    outcomes.append("failed")
                    continue
                try:
                    assert (len(list(reply)) if stream else len(reply.choices)) >= 0
                    outcomes.append("answered")
                except Exception:  # in mid-stream: as the SDK raises it
                    assert stream
                    outcomes.append("broke off")
    assert client.n_lost == 0
    check_captured(path, N_SDK, outcomes)


@pytest.mark.fuzz
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_through_the_asynchronous_sdk_as_well(fitted, tmp_path, stream):
    path, n_calls = tmp_path / "c.jsonl", N_SDK // 4
    check_captured(path, n_calls, asyncio.run(ask_asynchronously(fitted, path, n_calls, stream)))


async def ask_asynchronously(fitted, path, n_calls, stream):
    outcomes = []
    async with openai.AsyncOpenAI(
        api_key="k", max_retries=0, http_client=httpx2.AsyncClient(transport=responses(1))
    ) as local:
        client = AsyncRoutedClient(*fitted, client=local, prices={"m": (1, 2)}, capture=path, fsync=False, rest_s=0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", rl.serving.EndpointWarning)
            for _ in range(n_calls):
                try:
                    reply = await client.chat.completions.create(model="m", messages=MESSAGES, stream=stream)
                    _ = [chunk async for chunk in reply] if stream else reply.choices
                    outcomes.append("answered")
                except openai.OpenAIError:
                    outcomes.append("failed")
                except Exception:
                    assert stream
                    outcomes.append("broke off")
    assert client.n_lost == 0
    return outcomes
