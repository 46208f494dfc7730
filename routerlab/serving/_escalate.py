"""Cascades in service: cheap calls in parallel, a check of what they said, and an escalation where it fails."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple
from uuid import uuid4

import pandas as pd

from routerlab.completions import tell
from routerlab.exceptions import EndpointWarning
from routerlab.options import Cascade, Checked, Extract, agreement, extract_answers
from routerlab.schema import refuse, shown
from routerlab.serving._calls import Asked, Call, Escalated, Service, Together, Whole, Work, to_caller
from routerlab.serving._decide import Decision

Check = Callable[[pd.DataFrame], Any]
Texts = dict[str, str]


class Stage(NamedTuple):
    """Models to ask at once; whether an answer is the end, unchecked; what the check gave after earlier stages."""

    models: tuple[str, ...]
    is_last: bool
    scores: tuple[float, ...]


# Yields stages, and is sent all that has been said so far. At the end: whose answer is kept, and the scores.
Plan = Generator[Stage, Texts, tuple[str, tuple[float, ...]]]


class Cascades:
    """What a client knows to escalate: cascades that it was given, and those of a `CascadeRouter`."""

    def __init__(
        self,
        router: Any,
        endpoints: Mapping[str, Any],
        cascades: Mapping[str, Cascade],
        check: Check | None,
        extract: Extract,
    ) -> None:
        self.router, self.given, self.check, self.extract = router, dict(cascades), check, extract
        self.endpoints = endpoints
        self.ruled = dict(getattr(router, "stages_", {}))
        _check_cascades(self.given, endpoints, check)
        silent = sorted({model for stage in self.ruled.values() for model in stage if model not in endpoints})
        if silent:
            refuse("'endpoints'", f"none for {shown(silent)}, which the router asks first.", "Give each model one.")

    def __iter__(self) -> Iterator[str]:
        return iter([*self.given, *(name for name in self.ruled if name not in self.given)])

    def __len__(self) -> int:
        return len(list(iter(self)))

    def plan(self, decision: Decision, embed: Callable[[str], Any]) -> Plan | None:
        """Return how the chosen option goes on; None if it is a model."""
        name = decision.chosen
        if name in self.given:
            return self._plan(self.given[name])
        return self._ruled(name, decision, embed) if name in self.ruled else None

    def _plan(self, cascade: Cascade, before: tuple[float, ...] = ()) -> Plan:
        scores, best, asked = before, "", list[str]()
        for k, models in enumerate(cascade.stages):
            last = k == len(cascade.stages) - 1
            if last and models[0] in self.given:
                kept, scores = yield from self._plan(self.given[models[0]], scores)
                return kept or best, scores
            asked += models
            ends = last and len(models) == 1 and k > 0
            texts = yield Stage(models, ends, scores)
            if ends:
                break  # it failed: its answer would have been the end
            said = {model: texts[model] for model in asked if model in texts}
            score, best = self._checked(cascade, said, asked) if said else (0.0, "")
            scores = (*scores, score)
            if not last and said and score >= cascade.threshold[k]:
                break
        return best, scores

    def _checked(self, cascade: Cascade, said: Texts, asked: Sequence[str]) -> tuple[float, str]:
        """Score the answers so far, and say whose is kept."""
        if self.check is None:
            rows = [{"prompt_id": "p", "model": model, "response": said.get(model, "")} for model in asked]
            found: Any = agreement(extract_answers(pd.DataFrame(rows), self.extract))
        else:
            found = self.check(pd.DataFrame([{model: said.get(model) for model in asked}], index=["p"]))
        kept = found.kept.iloc[0] if isinstance(found, Checked) else next(iter(said))
        score = found.score if isinstance(found, Checked) else found
        score = float(score.iloc[0]) if isinstance(score, pd.Series) else float(score)
        if not 0 <= score <= 1:
            wrong = f"the check of {cascade.name!r} gave {score}, expected a score in [0, 1]."
            refuse("'check'", wrong, "Rescale it, and return 0 where there is nothing to go by.")
        return score, kept if kept in said else next(iter(said))

    def _ruled(self, name: str, decision: Decision, embed: Callable[[str], Any]) -> Plan:
        """Let the router decide again after each answer."""
        if decision.prompt is None:
            wrong = f"hold no text, and {name!r} decides by it after the first answers."
            refuse("'messages'", wrong, "Name a model for them.")
        X = embed(decision.prompt)
        texts: Texts = {}
        asked = set[str]()
        while name in self.ruled:
            stage = self.ruled[name]
            texts = yield Stage(tuple(model for model in stage if model not in asked), False, ())
            asked |= set(stage)
            if not asked & set(texts):
                name = next((n for n in decision.order if n in self.endpoints and n not in asked), "")
                break
            name = str(
                self.router.follow(name, X, pd.DataFrame([{model: texts.get(model) for model in stage}])).iloc[0]
            )
        if name and name not in asked:
            texts = yield Stage((name,), True, ())
        return name if name in texts else next(iter(texts), ""), ()


def _check_cascades(cascades: Mapping[str, Cascade], endpoints: Mapping[str, Any], check: Check | None) -> None:
    """Refuse, before anything is sent, what could not be executed."""
    unknown = [name for name, cascade in cascades.items() if not isinstance(cascade, Cascade)]
    if unknown:
        refuse("'cascades'", f"{shown(unknown)} is not a Cascade.", "Pass options.definitions(outcomes).")
    if taken := sorted(cascades.keys() & set(endpoints)):
        refuse("'cascades'", f"{shown(taken)} is the name of a model.", "Give the cascade another name.")
    odd = [n for n, c in cascades.items() if check is None and c.check != "agreement"]
    if odd:
        made_with = shown({cascades[name].check for name in odd})
        refuse("'check'", f"is missing, and {shown(odd)} is checked by {made_with}.", "Pass that check as check=.")
    for name, cascade in cascades.items():
        last = cascade.stages[-1] if cascade.stages else ()
        nested = len(cascade.stages) > 1 and len(last) == 1 and last[0] in cascades
        absent = [m for m in cascade.models if model_of(m, endpoints) not in endpoints and not (nested and m in last)]
        if absent or not cascade.models:
            wrong = f"{name!r} asks {shown(absent)}, without an endpoint." if absent else f"{name!r} has no stage."
            refuse("'cascades'", wrong, f"There are {shown(endpoints, 20)}: give each model one.")
        n_checks = len(cascade.stages) - 1
        if len(cascade.threshold) < n_checks:
            wrong = f"{name!r} has {len(cascade.threshold)} thresholds for {n_checks} checks."
            refuse("'cascades'", wrong, "Give each stage but the last its own.")
        if check is None and len(cascade.stages[0]) < 2:
            wrong = f"{name!r} asks {shown(cascade.stages[0])} alone, which can't agree with anyone."
            refuse("'cascades'", wrong, "Ask two models, or pass check=.")
        path = [name]
        while path[-1] in cascades:
            path.append(cascades[path[-1]].stages[-1][0])
            if path[-1] in path[:-1]:
                refuse("'cascades'", f"{name!r} leads to itself.", "Let its last stage be a model.")


def model_of(name: str, endpoints: Mapping[str, Any]) -> str:
    """Return the model that a sample is drawn from: 'small' of 'small#2'.

    Examples
    --------
    >>> model_of("small#2", {"small": []})
    'small'
    """
    return name if name in endpoints else name.partition("#")[0]


def routed_steps(
    service: Service, cascades: Cascades, asked: Asked, model: str, wtp: float | None
) -> Generator[Any, Any, tuple[Any, Call]]:
    """Route, then ask the chosen model and those that follow, or run the chosen cascade; return the reply and its call.

    See `Service.answer` for what is yielded.
    """
    started = time.perf_counter()
    decider = service.decider
    decision = yield Work(partial(decider.decide, asked.messages, model, wtp))
    routing_s = time.perf_counter() - started
    plan = cascades.plan(decision, decider.embed)
    if plan is None:
        return (yield from service.answer(Call(decision, asked.stream, started, routing_s=routing_s), asked))
    return (yield from _Escalation(service, decision, asked, started, routing_s).run(plan))


class _Escalation:
    """A cascade under way."""

    def __init__(self, service: Service, decision: Decision, asked: Asked, started: float, routing_s: float) -> None:
        self.service, self.decision, self.asked = service, decision, asked
        self.started, self.routing_s = started, routing_s
        self.cascade_id = uuid4().hex
        self.stage = 0
        self.answers: dict[str, tuple[Whole, Call]] = {}
        self.failed: dict[str, Exception] = {}

    def run(self, plan: Plan) -> Generator[Any, Any, tuple[Any, Call]]:
        """Ask stage after stage, until an answer is the end or the plan says whose is kept."""
        stage, done = yield Work(partial(_advance, plan, None))
        while stage:
            found = yield Together([self._ask(model, is_last=stage.is_last) for model in stage.models])
            for model, each in zip(stage.models, found, strict=True):
                if isinstance(each, Exception):
                    self.failed[model] = each
                elif isinstance(each, BaseException):
                    raise each
                elif stage.is_last:
                    return self._told(each, stage.scores)
                else:
                    self.answers[model] = each
            self.stage += 1
            asked = stage
            texts = {model: answer.reply.text for model, (answer, _) in self.answers.items()}
            stage, done = yield Work(partial(_advance, plan, texts))
        kept, scores = done
        if not kept:
            raise next(iter(self.failed.values()))
        if asked.is_last:
            said = f"{asked.models[0]} failed: the answer of {kept} is kept, though it did not pass the check."
            tell(said, EndpointWarning, to_caller())
        return self._told(self.answers[kept], scores)

    def _ask(self, model: str, *, is_last: bool) -> Generator[Any, Any, tuple[Any, Call]]:
        """Ask a model; where there is no answer but the last one, those that follow in the router's order as well."""
        service, asked = self.service, self.asked
        stream = asked.stream and is_last
        known = {model_of(m, service.endpoints) for m in (model, *self.answers, *self.failed)}
        follow = [m for m in self.decision.order if is_last and m in service.endpoints and m not in known]
        decision = replace(self.decision, order=(model_of(model, service.endpoints), *follow))
        call = Call(decision, stream, self.started, routing_s=self.routing_s)
        call.part_of = {"cascade": self.decision.chosen, "cascade_id": self.cascade_id, "stage": self.stage}
        params = {k: v for k, v in asked.params.items() if stream or k != "stream_options"}
        return (yield from service.answer(call, Asked(asked.messages, stream, params)))

    def _told(self, kept: tuple[Any, Call], scores: tuple[float, ...]) -> tuple[Any, Call]:
        """Hang onto a call what became of the cascade."""
        answer, call = kept
        calls = [each for _, each in self.answers.values()]
        calls += [] if any(each is call for each in calls) else [call]
        failed = {model: type(error).__name__ for model, error in self.failed.items()}
        told = tuple(each.routed() for each in calls)
        call.cascade = Escalated(self.decision.chosen, call.model, scores, told, failed)
        return answer, call


def _advance(plan: Plan, texts: Any) -> tuple[Stage | None, Any]:
    """Return the next stage, or what came of the plan."""
    try:
        return (next(plan) if texts is None else plan.send(texts)), None
    except StopIteration as stop:
        return None, stop.value
