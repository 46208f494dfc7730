"""From a conversation to an order of models: its text, estimates, the rule, abstention, exploration."""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from routerlab.completions import ProcessLock, part_of, renew_after_fork, sound_text
from routerlab.decision import check_wtp, estimates_of, kept_back, promised_share, ranked
from routerlab.exceptions import ParameterError
from routerlab.schema import TableError, check_model, refuse, shown

_REMEDY = "Pass prompt_from=, a function from the messages to the text to route by, or name a model: model='...'."
ROUTED = "routerlab"  # the model name that asks for routing


def last_user_text(messages: Sequence[Any]) -> str:
    """Return the text of the last message whose role is ``user``.

    Parameters
    ----------
    messages : sequence of dict or openai message objects
        As ``chat.completions.create`` takes them. A content of several parts is read by its text parts, joined by line
        ends; images, audio and files are passed over.

    Returns
    -------
    str
        Not empty.

    Raises
    ------
    ParameterError
        No message of a user, or one without text. `RoutedClient` sends those to the router's fallback.

    Examples
    --------
    >>> last_user_text([{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Poach an egg?"}])
    'Poach an egg?'
    """
    asked = [message for message in messages if part_of(message, "role") == "user"]
    if not asked:
        roles = ", ".join(str(part_of(message, "role")) for message in messages) or "none"
        refuse("'messages'", f"hold none of role 'user' to route by (roles: {roles}).", _REMEDY)
    content = part_of(asked[-1], "content")
    if isinstance(content, str):
        text = content
    else:
        parts = content if isinstance(content, list | tuple) else ()
        texts = [
            part if isinstance(part, str) else part_of(part, "text")
            for part in parts
            if isinstance(part, str) or part_of(part, "type") in ("text", "input_text")
        ]
        text = "\n".join(each for each in texts if isinstance(each, str))
    if not text.strip():
        refuse("'messages'", "the last message of role 'user' gives no text to route by.", _REMEDY)
    return text


def text_or_none(prompt_from: Callable[[Sequence[Any]], Any], messages: Sequence[Any]) -> str | None:
    """Return the text to route by; None if the messages hold none, which is not the caller's fault.

    Examples
    --------
    >>> text_or_none(last_user_text, [{"role": "user", "content": [{"type": "image_url"}]}])
    """
    if not messages:
        refuse("'messages'", "is empty: there is nothing to answer, and nothing to route by.", _REMEDY)
    try:
        text = prompt_from(messages)
    except (TableError, ParameterError):
        return None
    if not isinstance(text, str):
        refuse("'messages'", f"'prompt_from' gives {type(text).__name__} to route by, expected text.", _REMEDY)
    return text if text.strip() else None


@dataclass(frozen=True)
class Decision:
    """Which models a call is sent to, in which order, and why.

    Attributes
    ----------
    asked : str
        The caller's ``model=``.
    prompt : str or None
        The text that was routed by; None if there is none (a picture alone).
    willingness_to_pay : float or None
        USD that one unit of quality is worth on this request; None if the caller named a model.
    order : tuple of str
        The chosen model, then those that follow if it fails.
    quality, cost : mapping of str to float
        Each model's estimates (quality in [0, 1], cost in USD); empty if the caller named a model, or without a prompt.
    abstained : bool
        The router's fallback was asked: the prompt was too far from the training prompts, missing, or left to the
        baseline by the promise.
    explored : bool
        The choice was drawn at random, to learn.
    propensity : float
        Probability with which this model was chosen: 1 without exploration.
    provenance : str or None
        Note of the tables that the router was fitted on.
    reason : str
        Why the fallback was asked, where it was and the prompt has a text.

    Examples
    --------
    >>> Decision("small", None, None, ("small",), {}, {}).chosen
    'small'
    """

    asked: str
    prompt: str | None
    willingness_to_pay: float | None
    order: tuple[str, ...]
    quality: Mapping[str, float]
    cost: Mapping[str, float]
    abstained: bool = False
    explored: bool = False
    propensity: float = 1.0
    provenance: str | None = None
    reason: str = ""

    @property
    def chosen(self) -> str:
        """The model that is asked first."""
        return self.order[0]

    def __repr__(self) -> str:
        """One line for each model, in order."""
        if not self.quality:
            return f"{self.chosen}, {'no text to route by: fallback' if self.abstained else 'named by the caller'}"
        why = "drawn at random (explore)" if self.explored else self.reason
        lines = [f"willingness to pay {self.willingness_to_pay:.4g} USD per unit of quality{why and '; '}{why}"]
        for place, model in enumerate(self.order, start=1):
            usd = 1000 * self.cost[model]
            lines.append(f"{place}. {model}: quality {self.quality[model]:.2f}, {usd:.3g} USD per 1,000 requests")
        lines += [f"[{self.provenance}]"] if self.provenance else []
        return "\n".join(lines)


class Decider:
    """Routes one prompt at a time, from any thread; parameters as of `RoutedClient`."""

    def __init__(
        self,
        router: Any,
        embedder: Any,
        models: Sequence[str],
        *,
        explore: float,
        prompt_from: Callable[[Sequence[Any]], str],
        random_state: int | None,
        cascades: Sequence[str] = (),
    ) -> None:
        check_router(router, embedder)
        models = [*models, *cascades]
        _check_models(router, models)
        if isinstance(explore, bool) or not isinstance(explore, int | float) or not 0 <= explore <= 1:
            refuse("'explore'", f"got {explore!r}, expected a share from 0 to 1.", "0.05 explores one call in twenty.")
        self.router = router
        self.embedder = embedder
        self.models = tuple(models)
        self.explore = float(explore)
        self.prompt_from = prompt_from
        self._random_state = random_state
        self._rng = random.Random(random_state)
        # Tokenizers may not be shared by threads ("Already borrowed"), and torch uses all cores for one text anyway.
        self._one_at_a_time = ProcessLock()
        renew_after_fork(self)

    def after_fork(self) -> None:
        """Draw other numbers than the parent does, unless a seed is given."""
        if self._random_state is None:
            self._rng.seed()

    def willingness_to_pay(self, model: Any, given: float | None) -> float | None:
        """Read ``model=`` and ``willingness_to_pay=``: a willingness to pay, or None if a model is named."""
        name, _, setting = model.partition(":") if isinstance(model, str) else (model, "", "")
        if model in self.models:
            if given is not None:
                msg = f"names the model {model!r} and a willingness to pay."
                refuse("'willingness_to_pay'", msg, f"Use model={ROUTED!r} to route.")
            return None
        if name != ROUTED or (setting and not setting.startswith("wtp=")):
            known = f"{ROUTED!r}, '{ROUTED}:wtp=0.01' (USD per unit of quality), or one of {shown(self.models, 20)}"
            refuse("'model'", f"got {model!r}.", f"Use {known}.")
        if setting and given is not None:
            refuse("'willingness_to_pay'", f"is given twice: {given!r} and in model={model!r}.", "Give it once.")
        if setting:
            try:
                given = float(setting.removeprefix("wtp="))
            except ValueError:
                refuse("'model'", f"got {model!r}, which gives no number.", f"Example: '{ROUTED}:wtp=0.01'.")
        return check_wtp(self.router.willingness_to_pay if given is None else given)

    def decide(self, messages: Sequence[Any], model: str, wtp: float | None) -> Decision:
        """Route one call."""
        if wtp is None:
            return Decision(model, self._prompt_or_none(messages), None, (model,), {}, {})
        prompt = text_or_none(self.prompt_from, messages)
        if prompt is None:
            learned = (True, False, 1.0, getattr(self.router, "provenance_", None))
            return Decision(model, None, wtp, tuple(self._without_prompt()), {}, {}, *learned)
        prompt = sound_text(prompt)
        X = self.embed(prompt)
        estimates = estimates_of(self.router, X)
        quality, cost = (frame.to_numpy(dtype=float)[0] for frame in estimates[:2])
        names = [str(name) for name in self.router.models_]
        order = [names[at] for at in ranked(quality, cost, wtp)]
        abstained = bool(estimates.abstained[0])
        explored, propensity = False, 1.0
        if abstained:
            order = _first(str(self.router.fallback), order)
        elif self.explore:
            best = order[0]
            explored, drawn = self._draw(names)
            order = _first(drawn, order) if explored else order
            propensity = self.explore / len(names) + (1 - self.explore) * (order[0] == best)
        by_name = [dict(zip(names, values.tolist(), strict=True)) for values in (quality, cost)]
        learned = (abstained, explored, propensity, getattr(self.router, "provenance_", None))
        reason = _why_abstained(self.router, estimates.quality.index, X) if abstained else ""
        return Decision(model, prompt, wtp, tuple(order), by_name[0], by_name[1], *learned, reason)

    def embed(self, prompt: str) -> Any:
        """Embed one prompt."""
        with self._one_at_a_time:
            return self.embedder.transform([prompt])

    def _prompt_or_none(self, messages: Sequence[Any]) -> str | None:
        """Return what would be routed by, for the captures: a caller who names a model needs no text."""
        try:
            return text_or_none(self.prompt_from, messages)
        except (TableError, ParameterError):
            return None

    def _without_prompt(self) -> list[str]:
        """Return the fallback, then the models by their quality on the training prompts, as far as that is known."""
        names = [str(name) for name in self.router.models_]
        quality = np.asarray(getattr(self.router, "quality_", []), dtype=float)
        if quality.ndim == 2 and quality.shape[1] == len(names):
            known = np.where(np.isnan(quality), 0.0, quality).sum(axis=0) / np.maximum(
                (~np.isnan(quality)).sum(axis=0), 1
            )
            names = [names[at] for at in np.argsort(-known, kind="stable")]
        fallback = getattr(self.router, "fallback", None)
        return names if fallback is None else _first(str(fallback), names)

    def _draw(self, names: list[str]) -> tuple[bool, str]:
        with self._one_at_a_time:
            return self._rng.random() < self.explore, self._rng.choice(names)


def _first(model: str, order: list[str]) -> list[str]:
    return [model, *(other for other in order if other != model)]


def _why_abstained(router: Any, index: Any, X: Any) -> str:
    """Say why a router leaves a prompt to its fallback."""
    floor = getattr(router, "min_similarity", None)
    if floor == np.inf:
        return "nothing cheaper could be promised when the router was tuned: baseline"
    share = promised_share(router)
    if share and kept_back(router, index, np.asarray(X, dtype=np.float32))[0]:
        return f"the promise sends only a share ({100 * share:.0f}%) of prompts to the router, this one to the baseline"
    return "the router abstains: fallback" if floor is None else "far from every training prompt: fallback"


def check_router(router: Any, embedder: Any) -> None:
    """Insist on a fitted router and an embedder."""
    for name in ("predict_quality", "predict_cost", "willingness_to_pay"):
        if not hasattr(router, name):
            refuse("'router'", f"{type(router).__name__} has no {name!r}.", "Pass a fitted router, e.g. KNNRouter.")
    if not hasattr(router, "models_"):
        remedy = "Call its fit first, or read a fitted one with load_router(path)."
        refuse("'router'", f"this {type(router).__name__} is not fitted yet (it has no 'models_').", remedy)
    if not hasattr(embedder, "transform"):
        wrong = f"{type(embedder).__name__} has no 'transform'."
        refuse("'embedder'", wrong, "Pass the one that the router was fitted with.")


def _check_models(router: Any, models: Sequence[str]) -> None:
    missing = [str(name) for name in router.models_ if name not in models]
    if missing:
        refuse("'endpoints'", f"none for {shown(missing, 20)}, which the router chooses from.", "Give each model one.")
    taken = [name for name in models if name.partition(":")[0] == ROUTED]
    if taken:
        refuse("'endpoints'", f"{shown(taken)} is the name that asks for routing.", "Give the model another name.")
    if getattr(router, "fallback", None) is not None:
        check_model(router.fallback, models, "fallback")
