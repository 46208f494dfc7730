"""Clients that route: ``chat.completions.create`` of the ``openai`` SDK over any number of models and providers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from routerlab.completions import Deadline, answered_within
from routerlab.schema import Scale
from routerlab.serving._base import (
    MOST_HELD,
    BaseClient,
    check_opened,
    connection_of,
    deadline_of,
    read_whole,
    step,
    with_routed,
)
from routerlab.serving._calls import Opened, Pause, Send, Whole, Work, wants_usage
from routerlab.serving._decide import ROUTED
from routerlab.serving._failures import unreadable
from routerlab.serving._streams import AsyncRoutedStream, RoutedStream, begins, in_thread


class RoutedClient(BaseClient):
    """Chat completions, each sent to the model that a fitted router chooses; a drop-in for ``openai.OpenAI``.

    ``client.chat.completions.create(model="routerlab", messages=[...])`` embeds the prompt, lets the router order the
    models, and asks them in turn until one answers. What comes back is the SDK's own object.

    Parameters
    ----------
    router : fitted router
        Of `routerlab.routers`, or anything with ``models_``, ``predict_quality``, ``predict_cost`` and
        ``willingness_to_pay``. Its abstention is respected.
    embedder : object
        With ``transform``, the one that the router was fitted with. ``SentenceEmbedder(cache=False)`` spares a write
        to the disk for each new prompt.
    endpoints : list of str, or mapping, optional
        Who serves each model: name -> str, `Endpoint`, or a list of these in order of preference. Default: the
        router's models under their own names, through `client`. Models that the router does not know can be asked by
        name.
    client : openai.OpenAI, optional
        For endpoints without one of their own.
    prices : mapping or DataFrame, optional
        For endpoints without a price of their own; see `routerlab.add_cost`. 0 for a model that costs nothing.
    capture : str or Path, optional
        JSONL file that every call and feedback is appended to, for `read_captured`. Any number of threads and
        processes may share one. A new file can be read and written by its owner alone (mode 0600).
    redact : callable, optional
        Gets each record (a dict whose ``type`` is 'call' or 'feedback') before it is written, and returns what is
        written in its place, or None to write nothing. If it fails, nothing is written. It sees ``prompt``,
        ``response``, ``note`` and the ``message`` of each of ``failures``; it may add fields.
    store_text : bool, default True
        False leaves prompts, responses, notes and error messages out of the file.
    fsync : bool, default True
        Whether a record is on the disk before the reply is handed over. False is quicker, and a power failure may take
        the last records.
    explore : float, default 0
        Share of calls whose model is drawn at random, so that the next router learns about models that this one would
        not choose. Each record says with which probability (``propensity``) its model was chosen. A prompt on which the
        router abstains is never explored.
    prompt_from : callable, optional
        From the messages to the text to route by. Default: the text of the last message of role ``user``.
    timeout_s : float or None, default 60
        Until a reply is there, whole, whatever comes meanwhile; of a stream until its first token, then until each next
        one. ``create(timeout=)`` gives another number for one call. None leaves it to the clients (600 s by default).
    rest_s : float, default 15
        An endpoint that fails for good (in mid-stream, too) is asked after all others for so many seconds, or as long
        as its Retry-After asks for, up to 300, so that not every call waits for a provider that is down. 0: every call
        asks in the router's order.
    random_state : int, optional
        Seed of the exploration.

    Attributes
    ----------
    n_lost : int
        Captures that could not be written. Each was warned about (`CaptureWarning`); no reply was held up by it.

    Notes
    -----
    ``create`` takes what the SDK's does, and ``willingness_to_pay=`` (USD per unit of quality on this request; or
    ``model="routerlab:wtp=0.01"``; default: the router's own). ``model=`` may name one of the models, which then
    answers unrouted, and is captured as such.

    *Fallback.* Models are tried by ``quality - cost / willingness_to_pay``, each at all its endpoints. Broken
    connections, status 408, 409, 425, 429 and 5xx, and answers without a choice: the same model is asked again, as
    often as the client's ``max_retries`` says (2 by default; once at most where the lost reply may be on the bill),
    after the wait that ``Retry-After`` asks for, if it ends within `timeout_s`. Only then another model is asked, with
    an `EndpointWarning`; `Captured.n_handed_over` counts such calls. Time-outs, 401, 402, 404 and redirects to another
    host, which are not followed, go on at once. Any other status (400) is raised as the SDK raises it: the request is
    at fault. In a stream the same holds up to the first token. Later errors are raised, since another model's text must
    not continue the first one's. If all fail, the first one's error is raised, with a note on each attempt.

    *Without text.* A message that is a picture alone, or empty, goes to the router's ``fallback``; without one, to the
    model that is best on average.

    *Limits.* A reply of more than 32 MiB (a stream: 128 MiB), unpacked, is an error. A forked process (gunicorn with
    --preload, celery) makes connections of its own, unless the client has an ``http_client`` of yours.

    *Usage in streams.* The endpoint is asked for it, as the cost is captured; one that refuses ``stream_options`` is
    asked without, and the cost of its streams is not known.

    *The reply* has ``_routerlab`` (request_id, decision, model, served_by, failures, rested). Of several choices
    (``n=``) the first one's text is captured, and the cost of all. A stream's latency contains what its reader takes
    between chunks.

    *Selection.* Feedback exists only for the model that answered. See `Captured.complete` and ``explore``.

    Other parts of the SDK's client (``responses``, ``embeddings``, ``parse``, ``with_raw_response``) are not there.

    Examples
    --------
    >>> import numpy as np, openai, pandas as pd, routerlab as rl
    >>> prompts = ["How do I poach an egg?", "How do I boil rice?", "Fix my SQL query", "Fix my Python script"]
    >>> quality = pd.DataFrame({"small": [0.9, 0.9, 0.2, 0.3], "large": [0.9, 0.9, 0.9, 0.8]})
    >>> cost = pd.DataFrame({"small": [0.0001] * 4, "large": [0.01] * 4})
    >>> embedder = rl.LsaEmbedder().fit(prompts)
    >>> router = rl.KNNRouter(n_neighbors=2, willingness_to_pay=0.1)
    >>> router = router.fit(embedder.transform(prompts), quality, cost=cost)
    >>> local = openai.OpenAI(base_url="http://127.0.0.1:8080/v1", api_key="unused")
    >>> client = rl.RoutedClient(router, embedder, {"small": "smollm2", "large": "llama3"}, client=local)
    >>> print(client.route("How do I poach two eggs?"))
    willingness to pay 0.1 USD per unit of quality
    1. small: quality 0.90, 0.1 USD per 1,000 requests
    2. large: quality 0.90, 10 USD per 1,000 requests
    >>> client.route("Fix this query").chosen
    'large'
    """

    _sdk_client = "OpenAI"

    def _create(
        self,
        *,
        messages: Sequence[Any],
        model: str = ROUTED,
        willingness_to_pay: float | None = None,
        stream: bool | None = False,
        **params: Any,
    ) -> Any:
        """Route a chat completion; see `RoutedClient`."""
        steps = self._steps(messages, model, willingness_to_pay, stream, params)
        todo, done = step(steps, None, None)
        while todo:
            result, error = None, None
            try:
                result = self._do(todo)
            except BaseException as caught:
                error = caught
            todo, done = step(steps, result, error)
        answer, call = done
        if isinstance(answer, Opened):
            return RoutedStream(answer, call, self._service, pass_usage=wants_usage(params))
        return with_routed(answer.completion, call)

    def feedback(self, call: Any, quality: Any, *, note: str | None = None, scale: Scale | None = None) -> bool:
        """Capture how good a reply was.

        Parameters
        ----------
        call : completion, stream or str
            What ``create`` returned, or its ``_routerlab.request_id``.
        quality : float
            From 0 to 1; True and False are 1 and 0. A later feedback on the same call replaces an earlier one.
        note : str, optional
            A remark.
        scale : (float, float) or mapping, optional
            Of `quality`, if it is not from 0 to 1: ``(1, 5)``, ``(0, 100)``, ``{"thumbs up": 1, "thumbs down": 0}``.

        Returns
        -------
        bool
            Whether it was written. If not, a `CaptureWarning` says why.
        """
        return self._feedback(call, quality, note, scale)

    def _do(self, todo: Work | Send | Pause) -> Any:
        if isinstance(todo, Work):
            return todo.do()
        return self._send(todo) if isinstance(todo, Send) else time.sleep(todo.seconds)

    def _send(self, send: Send) -> Whole | Opened:
        client, seen = self._service.clients.of(send.endpoint)
        create, deadline = client.chat.completions, deadline_of(send)
        try:
            with answered_within(deadline):
                if send.stream:
                    return self._open(create.create(**send.body), deadline)
                return read_whole(create.with_raw_response.create(**send.body), seen)
        except Exception as error:
            if connection := connection_of(error):
                connection.close()
            raise

    def _open(self, stream: Any, deadline: Deadline) -> Opened:
        held: list[Any] = []
        try:
            with suppress(StopIteration):
                while len(held) < MOST_HELD and not (held and begins(held[-1])):
                    held.append(next(stream))
            return check_opened(stream, held, deadline)
        except Exception as error:
            stream.close()
            raise unreadable(error, stream.response) from error.__cause__
        except BaseException:
            stream.close()
            raise


class AsyncRoutedClient(BaseClient):
    """`RoutedClient` for ``openai.AsyncOpenAI`` clients: ``await client.chat.completions.create(...)``.

    Parameters, fallback and captures are those of `RoutedClient`. Embedding, routing and writing happen in threads, so
    that the event loop goes on. ``feedback`` must be awaited, too (``await client.feedback(completion, 1.0)``): without
    ``await`` nothing is written.

    Examples
    --------
    >>> import numpy as np, openai, pandas as pd, routerlab as rl
    >>> prompts = ["How do I poach an egg?", "Fix my SQL query"]
    >>> quality = pd.DataFrame({"small": [0.9, 0.2], "large": [0.9, 0.9]})
    >>> embedder = rl.LsaEmbedder().fit(prompts)
    >>> router = rl.KNNRouter(n_neighbors=1).fit(embedder.transform(prompts), quality, cost=quality / 100)
    >>> local = openai.AsyncOpenAI(base_url="http://127.0.0.1:8080/v1", api_key="unused")
    >>> rl.AsyncRoutedClient(router, embedder, client=local)
    AsyncRoutedClient(KNNRouter over small: small at 127.0.0.1:8080; large: large at 127.0.0.1:8080)
    """

    _sdk_client = "AsyncOpenAI"

    async def _create(
        self,
        *,
        messages: Sequence[Any],
        model: str = ROUTED,
        willingness_to_pay: float | None = None,
        stream: bool | None = False,
        **params: Any,
    ) -> Any:
        """Route a chat completion; see `RoutedClient`."""
        steps = self._steps(messages, model, willingness_to_pay, stream, params)
        todo, done = step(steps, None, None)
        while todo:
            result, error = None, None
            try:
                result = await self._do(todo)
            except BaseException as caught:
                error = caught
            todo, done = step(steps, result, error)
        answer, call = done
        if isinstance(answer, Opened):
            return AsyncRoutedStream(answer, call, self._service, pass_usage=wants_usage(params))
        return with_routed(answer.completion, call)

    async def feedback(self, call: Any, quality: Any, *, note: str | None = None, scale: Scale | None = None) -> bool:
        """Capture how good a reply was; to be awaited, or nothing is written. See `RoutedClient.feedback`."""
        return await in_thread(self._feedback, call, quality, note, scale)

    async def _do(self, todo: Work | Send | Pause) -> Any:
        if isinstance(todo, Work):
            return await in_thread(todo.do)
        return await (self._send(todo) if isinstance(todo, Send) else asyncio.sleep(todo.seconds))

    async def _send(self, send: Send) -> Whole | Opened:
        client, seen = self._service.clients.of(send.endpoint)
        create, deadline = client.chat.completions, deadline_of(send)
        try:
            with answered_within(deadline):
                if send.stream:
                    return await self._open(await create.create(**send.body), deadline)
                return read_whole(await create.with_raw_response.create(**send.body), seen)
        except Exception as error:
            if connection := connection_of(error):
                await connection.aclose()
            raise

    async def _open(self, stream: Any, deadline: Deadline) -> Opened:
        held: list[Any] = []
        try:
            with suppress(StopAsyncIteration):
                while len(held) < MOST_HELD and not (held and begins(held[-1])):
                    held.append(await stream.__anext__())
            return check_opened(stream, held, deadline)
        except Exception as error:
            await stream.close()
            raise unreadable(error, stream.response) from error.__cause__
        except BaseException:
            await stream.close()
            raise
