"""Cascades in service: cheap calls in parallel, a check of what they said, and an escalation where it fails."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pandas as pd

from routerlab.options import Cascade, Checked, agreement, extract_answers
from routerlab.schema import reject, shown
from routerlab.serving._client import RoutedClient
from routerlab.serving._decide import ROUTED

Check = Callable[[pd.DataFrame], Any]


@dataclass(frozen=True)
class Escalated:
    """What became of a cascade; completions and streams carry it as ``_cascade``.

    Attributes
    ----------
    name : str
        The cascade.
    kept : str
        The model whose answer was kept.
    scores : tuple of float
        What the check gave after each stage.
    calls : tuple of Routed
        Every call that was answered, in order, as ``_routerlab`` of a single one. A call whose stream is the reply has
        not ended yet.
    failed : tuple of str
        Models that did not answer; they count as having none.
    """

    name: str
    kept: str
    scores: tuple[float, ...]
    calls: tuple[Any, ...]
    failed: tuple[str, ...] = ()


class CascadeClient:
    """Chat completions of a `RoutedClient` that may be cascades.

    ``cascades.chat.completions.create(model="two", messages=[...])`` asks the models of the cascade's first stage in
    parallel, checks what they said, and returns the kept answer, or asks the next stage. Every call goes through the
    client: to its endpoints, with its fallback and time-outs, each captured with its own cost. With
    ``model="routerlab"`` the client's router chooses among models and cascades, if it was fitted on columns of both;
    any other model is asked as the client does.

    Parameters
    ----------
    client : RoutedClient
        With endpoints of every model of the cascades. If its router knows cascades, give it as the endpoint of each
        that of its last model.
    cascades : mapping of str to Cascade
        By name, e.g. ``routerlab.options.definitions(outcomes)``.
    check : callable, optional
        From a frame of texts (one row, a column for each model that has answered so far) to a score in [0, 1], a
        Series of one, or a `routerlab.options.Checked`. By default the agreement of extracted answers.
    extract : str or callable, default 'auto'
        How answers are read; see `routerlab.extract_answers`.

    Notes
    -----
    A model of an earlier stage that fails counts as one without an answer, and so escalates. ``stream=True`` streams
    the last stage as it comes; an answer that is kept from an earlier stage has come whole, and is one chunk. Either
    way the first token comes when the answer has been decided on.

    Examples
    --------
    >>> from types import SimpleNamespace as Reply
    >>> def create(model, messages, **params):
    ...     message = Reply(content={"small": "B", "tiny": "(b)", "large": "C"}[model])
    ...     return Reply(choices=[Reply(message=message)], model=model, _routerlab=model)
    >>> client = Reply(chat=Reply(completions=Reply(create=create)))
    >>> two = Cascade("two", (("small", "tiny"), ("large",)))
    >>> reply = CascadeClient(client, {"two": two}).chat.completions.create(model="two", messages=[])
    >>> reply.choices[0].message.content, reply._cascade.calls
    ('B', ('small', 'tiny'))
    """

    def __init__(
        self,
        client: RoutedClient,
        cascades: Mapping[str, Cascade],
        *,
        check: Check | None = None,
        extract: Any = "auto",
    ) -> None:
        unknown = [name for name, cascade in cascades.items() if not isinstance(cascade, Cascade)]
        if unknown:
            reject("'cascades'", f"{shown(unknown)} is not a Cascade.", "Pass options.definitions(outcomes).")
        odd = [n for n, c in cascades.items() if check is None and c.check != "agreement"]
        if odd:
            made_with = shown({cascades[name].check for name in odd})
            reject("'check'", f"is missing, and {shown(odd)} is checked by {made_with}.", "Pass that check as check=.")
        self.client, self.cascades, self.check, self.extract = client, dict(cascades), check, extract
        self.chat = SimpleNamespace(completions=SimpleNamespace(create=self._create))

    def _create(self, *, messages: Sequence[Any], model: str = ROUTED, **params: Any) -> Any:
        """Ask a cascade, or a model."""
        name = model
        if self._routes(model):
            wtp = params.get("willingness_to_pay")
            name = self.client.route(messages, model=model, willingness_to_pay=wtp).chosen
        if name not in self.cascades:
            return self.client.chat.completions.create(messages=messages, model=model, **params)
        params.pop("willingness_to_pay", None)
        return self._run(self.cascades[name], messages, params)

    def _routes(self, model: str) -> bool:
        return model.partition(":")[0] == ROUTED and hasattr(self.client, "route")

    def _run(self, cascade: Cascade, messages: Sequence[Any], params: dict[str, Any]) -> Any:
        stream = bool(params.pop("stream", False))
        said: dict[str, Any] = {}
        scores: list[float] = []
        failed: list[str] = []
        for k, stage in enumerate(cascade.stages):
            last = k == len(cascade.stages) - 1
            if last and len(stage) == 1:
                reply = self._ask(stage[0], messages, params | ({"stream": True} if stream else {}))
                return _told(reply, cascade, stage[0], scores, [*said.values(), reply], failed)
            errors = self._stage(stage, messages, params, said)
            failed += errors
            if not said:
                if last:
                    raise next(iter(errors.values()))
                scores.append(0.0)
                continue
            score, kept = self._checked(cascade, said, [*said, *failed])
            scores.append(score)
            if last or score >= cascade.threshold[k]:
                reply = said[kept]
                return _told(_Kept(reply) if stream else reply, cascade, kept, scores, said.values(), failed)
        msg = f"cascade {cascade.name!r} has no stage"
        raise ValueError(msg)

    def _stage(
        self, stage: Sequence[str], messages: Sequence[Any], params: dict[str, Any], said: dict[str, Any]
    ) -> dict[str, BaseException]:
        """Ask the models of a stage at once; add what came to `said`, and return the errors."""
        with ThreadPoolExecutor(len(stage)) as pool:
            futures = {model: pool.submit(self._ask, model, messages, params) for model in stage}
        errors = {model: error for model, future in futures.items() if (error := future.exception()) is not None}
        fatal = next((e for e in errors.values() if not isinstance(e, Exception)), None)
        if fatal is not None:
            raise fatal
        said |= {model: future.result() for model, future in futures.items() if model not in errors}
        return errors

    def _ask(self, model: str, messages: Sequence[Any], params: Mapping[str, Any]) -> Any:
        return self.client.chat.completions.create(messages=messages, model=model.partition("#")[0], **params)

    def _checked(self, cascade: Cascade, said: Mapping[str, Any], models: list[str]) -> tuple[float, str]:
        """Score the answers so far, and say whose is kept; models that failed have said nothing."""
        texts = {model: _text(said[model]) if model in said else "" for model in models}
        if self.check is None:
            rows = [{"prompt_id": "p", "model": model, "response": text} for model, text in texts.items()]
            found: Any = agreement(extract_answers(pd.DataFrame(rows), self.extract))
        else:
            found = self.check(pd.DataFrame([texts], index=["p"]))
        kept = found.kept.iloc[0] if isinstance(found, Checked) else next(iter(said))
        score = found.score if isinstance(found, Checked) else found
        score = float(score.iloc[0]) if isinstance(score, pd.Series) else float(score)
        if not 0 <= score <= 1:
            wrong = f"the check of {cascade.name!r} gave {score}, expected a score in [0, 1]."
            reject("'check'", wrong, "Rescale it, and return 0 where there is nothing to go by.")
        return score, kept if kept in said else next(iter(said))


def _text(completion: Any) -> str:
    return str(completion.choices[0].message.content or "")


def _told(reply: Any, cascade: Cascade, kept: str, scores: Sequence[float], replies: Any, failed: Sequence[str]) -> Any:
    calls = tuple(getattr(r, "_routerlab", None) for r in replies)
    reply._cascade = Escalated(cascade.name, kept, tuple(scores), calls, tuple(failed))
    return reply


class _Kept:
    """A whole answer as a stream of one chunk."""

    def __init__(self, completion: Any) -> None:
        from openai.types.chat import ChatCompletionChunk

        choice, message = completion.choices[0], completion.choices[0].message
        delta = {"role": "assistant", "content": message.content}
        chunk = {"index": 0, "delta": delta, "finish_reason": choice.finish_reason}
        whole = {"id": completion.id, "object": "chat.completion.chunk", "created": completion.created}
        self._chunks = [ChatCompletionChunk.model_validate(whole | {"model": completion.model, "choices": [chunk]})]
        self._routerlab = getattr(completion, "_routerlab", None)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._chunks)

    def __enter__(self) -> _Kept:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._chunks = []
