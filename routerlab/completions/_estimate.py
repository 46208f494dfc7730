"""What a collection would cost, before anything is sent."""

from __future__ import annotations

import html
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from routerlab.completions._accounting import most_cost, most_tokens, request_cost, tier_of
from routerlab.completions._endpoint import Models, Request
from routerlab.completions._plan import Plan, make_plan, unpriced
from routerlab.completions._settings import Settings
from routerlab.completions._words import counted
from routerlab.pricing import Prices, estimate_tokens, price_list_info
from routerlab.schema import reject, shown

ASSUMED_OUTPUT_TOKENS = 300


@dataclass(frozen=True)
class CostEstimate:
    """What a collection would cost; ``print(estimate)`` shows it with its assumptions.

    Attributes
    ----------
    by_model : DataFrame of shape (n_models, 7)
        Indexed by ``model``: ``n_requests`` to send, ``n_from_journal`` already there, and for those to send
        ``input_tokens``, ``output_tokens`` and ``expected_usd`` as expected, ``most_output_tokens`` and ``most_usd`` at
        most (inf without a limit on output). USD are NaN where no price is known.
    assumptions : tuple of str
        What the figures rest on.
    budget_usd, spent_before_usd : float or None, float
        The budget, and what the journal says was spent, maybe billed included.
    """

    by_model: pd.DataFrame
    assumptions: tuple[str, ...]
    budget_usd: float | None = None
    spent_before_usd: float = 0.0

    @property
    def n_requests(self) -> int:
        """Requests that would be sent."""
        return int(self.by_model["n_requests"].sum())

    @property
    def expected_usd(self) -> float:
        """Expected cost of all models in USD; NaN if the price of one is not known."""
        return float(self.by_model["expected_usd"].sum(skipna=False))

    @property
    def most_usd(self) -> float:
        """Most that one attempt at each request can cost, in USD."""
        return float(self.by_model["most_usd"].sum(skipna=False))

    def __str__(self) -> str:
        """Return the table, the sums, and what they rest on."""
        return "\n".join([self._rounded().to_string(float_format=_figure), self._summary(), *self.assumptions])

    def __repr__(self) -> str:
        """Return what ``print`` shows: in a notebook without HTML, this is the result."""
        return str(self)

    def _rounded(self) -> pd.DataFrame:
        """Return the table with whole tokens, for people."""
        return self.by_model.round({"input_tokens": 0, "output_tokens": 0, "most_output_tokens": 0})

    def _summary(self) -> str:
        text = (
            f"{counted(self.n_requests, 'request')}: expected {_figure(self.expected_usd)} USD, "
            f"at most {_figure(self.most_usd)} USD."
        )
        if self.budget_usd is None:
            return text
        left = self.budget_usd - self.spent_before_usd
        verdict = "enough" if self.most_usd <= left else "not enough for the worst case"
        if self.expected_usd > left:
            verdict = "not enough: the run would stop before its end"
        return f"{text} Of the budget of {self.budget_usd:g} USD, {_figure(max(left, 0.0))} are left: {verdict}."

    def _repr_html_(self) -> str:
        notes = "".join(f"<li>{html.escape(text)}</li>" for text in self.assumptions)
        table = self._rounded().to_html(float_format=_figure, border=0)
        return f"{table}<p>{html.escape(self._summary())}</p><ul>{notes}</ul>"


def estimate_requests(
    requests: Iterable[Request],
    models: Models,
    *,
    path: str | Path,
    client: Any = None,
    prices: Prices | None = None,
    budget_usd: float | None = None,
    expected_output_tokens: float | None = None,
) -> CostEstimate:
    """Return what `run_requests` would spend on what the journal does not answer; nothing is sent or written.

    Parameters
    ----------
    requests, models, path, client, prices, budget_usd
        As in `run_requests`.
    expected_output_tokens : float, optional
        Assumed length of a reply; by default the mean of the replies in the journal, or a figure that the result names.

    Returns
    -------
    CostEstimate
        By model, with its assumptions.

    Raises
    ------
    TableError
        What `run_requests` would refuse.

    Examples
    --------
    >>> request = Request("small", [{"role": "user", "content": "four" * 100}], {"max_tokens": 50})
    >>> cost = estimate_requests([request], ["small"], path="nowhere.jsonl", prices={"small": (1, 2)})
    >>> round(cost.expected_usd * 1e6)  # 100 tokens in, 50 out
    200
    """
    plan = make_plan(requests, models, path, client=client, prices=prices, settings=Settings(budget_usd), dry_run=True)
    return estimate(plan, expected_output_tokens)


def estimate(plan: Plan, expected_output_tokens: float | None = None) -> CostEstimate:
    """Return what the requests of a plan would cost that the journal does not answer."""
    if expected_output_tokens is not None and not (
        isinstance(expected_output_tokens, int | float) and 0 <= expected_output_tokens < math.inf
    ):
        reject("'expected_output_tokens'", f"got {expected_output_tokens!r}.", "Pass a number of at least 0.")
    plan.journal.read()
    notes = [
        "Input: characters / 4 (a rule of thumb for English) as expected, bytes sent as the most.",
        "Each request is sent once, to its first endpoint; retries that were billed, and fallbacks, come on top.",
    ]
    todo = plan.look_up()
    notes += [text] if (text := plan.elsewhere(todo)) else []
    if plan.settings.budget_usd is not None:
        plan.most_in_flight_usd(todo)  # says which price or limit is missing, as the run would
    rows = [_row(plan, model, expected_output_tokens, notes) for model in plan.endpoints]
    names, question = unpriced(e for group in plan.endpoints.values() for e in group)
    notes += [f"The price of {shown(names)} is not known. {question}"] if names else []
    if any(not isinstance(group[0].price, tuple) for group in plan.endpoints.values()):
        notes.append(f"Prices of models without one of your own: {price_list_info()}.")
    spent = plan.journal.spent_usd + plan.journal.unsure_usd
    return CostEstimate(pd.DataFrame(rows).set_index("model"), tuple(notes), plan.settings.budget_usd, spent)


def _row(plan: Plan, model: str, expected_output_tokens: float | None, notes: list[str]) -> dict[str, object]:
    requests = [r for r in plan.unique if r.model == model]
    todo = [r for r in requests if r.key not in plan.replies]
    endpoint, group = plan.endpoints[model][0], plan.endpoints[model]
    n_in = _input_tokens(todo)
    n_most = np.array([max(most_tokens(e, r)[1] for e in group) for r in todo])
    guess = _guess(plan, model, expected_output_tokens, notes)
    n_out = np.minimum(guess, n_most)
    expected = [
        request_cost(endpoint, a, b, tier=tier_of(endpoint, r)) for r, a, b in zip(todo, n_in, n_out, strict=True)
    ]
    most = [np.max([most_cost(e, r) for e in group]) for r in todo]
    return {
        "model": model,
        "n_requests": len(todo),
        "n_from_journal": len(requests) - len(todo),
        "input_tokens": n_in.sum(),
        "output_tokens": n_out.sum(),
        "most_output_tokens": n_most.sum(),
        "expected_usd": math.fsum(expected),
        "most_usd": math.fsum(most),
    }


def _guess(plan: Plan, model: str, expected_output_tokens: float | None, notes: list[str]) -> float:
    """Return output tokens for each request: what the journal measured for the model, or else an assumption."""
    names = {endpoint.name for endpoint in plan.endpoints[model]}
    unknown = any(endpoint.client is None for endpoint in plan.endpoints[model])  # and so is its host
    known = plan.journal.output_tokens.items()
    measured = [n for (m, name), lengths in known if m == model and (unknown or name in names) for n in lengths]
    if measured:
        mean = math.fsum(measured) / len(measured)
        replies = counted(len(measured), "reply", "replies")
        notes.append(f"Output of {model}: {mean:.0f} tokens, the mean of its {replies} in the journal.")
        return mean
    guess = ASSUMED_OUTPUT_TOKENS if expected_output_tokens is None else float(expected_output_tokens)
    why = "an assumption; pass expected_output_tokens" if expected_output_tokens is None else "as given"
    notes.append(f"Output of {model}: {guess:g} tokens ({why}), or max_tokens if less.")
    return guess


def _input_tokens(requests: Iterable[Request]) -> np.ndarray:
    texts = ["".join(str(m.get("content") or "") for m in request.messages) for request in requests]
    return estimate_tokens(pd.Series(texts, dtype=object)).to_numpy(float)


def _figure(value: float) -> str:
    if math.isnan(value):
        return "unknown"
    if math.isinf(value):
        return "no limit"
    return f"{value:,.0f}" if value >= 1000 or value == int(value) else f"{value:.4f}"
