"""What the attempts at one request come to: tokens, USD, and the record that is kept."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from routerlab.completions._accounting import Account, account
from routerlab.completions._attempt import Failure, Reply
from routerlab.completions._endpoint import Endpoint, Request, digest
from routerlab.jsonl import Record, now

# What a record says of itself; `about` adds to it.
RESERVED = frozenset(
    "type key sent model text finish_reason input_tokens output_tokens cost_usd cost_source latency_s attempts "
    "served_by error at spent_usd unsure_usd tool_calls refusal".split()
)


@dataclass
class Tally:
    """What the attempts at one request came to."""

    attempts: int = 0
    n_unsure: int = 0
    n_unpriced: int = 0
    unpriced: set[str] = field(default_factory=set)  # models, as their endpoints call them
    again: bool = False  # whether the last failure somewhere may go better in a later run
    spent_usd: float = 0.0
    unsure_usd: float = 0.0
    problems: dict[str, str] = field(default_factory=dict)

    def count(self, outcome: Reply | Failure, endpoint: Endpoint, most_usd: float) -> tuple[Account, float, float]:
        """Count one attempt; return its account, and the USD that it cost and may have cost."""
        most_usd = most_usd if math.isfinite(most_usd) else 0.0
        spent = unsure = 0.0
        counted = account(outcome.usage, endpoint)
        if isinstance(outcome, Reply) or outcome.usage is not None:
            known = not math.isnan(counted.cost_usd)
            spent, unsure = (counted.cost_usd, 0.0) if known else (0.0, most_usd)
            self.n_unpriced += not known
            self.unpriced |= set() if known else {endpoint.model}
        elif outcome.maybe_billed:
            self.n_unsure += 1
            unsure = most_usd
        self.spent_usd += spent
        self.unsure_usd += unsure
        return counted, spent, unsure


def sent_digest(endpoint: Endpoint, request: Request, *, with_place: bool = True) -> str:
    """Return the sha256 of what is asked for beside the messages, and where: a record counts only for the same.

    Without the place, this is what version 0.1.0 wrote.
    """
    body = endpoint.body(request)
    sent = {name: value for name, value in body.items() if name != "messages"}
    return digest([endpoint.place, sent] if with_place else sent)


def make_record(
    request: Request,
    tally: Tally,
    *,
    endpoint: Endpoint | None = None,
    reply: Reply | None = None,
    counted: Account | None = None,
    latency_s: float = math.nan,
    error: str | None = None,
) -> Record:
    """Return what the journal keeps of a request: of its reply, or of the error that is left."""
    counted = counted or Account(math.nan, math.nan, math.nan, None)
    return {
        "type": "record",
        "key": request.key,
        "sent": sent_digest(endpoint, request) if endpoint else None,
        "model": request.model,
        "text": reply.text if reply else "",
        "finish_reason": reply.finish_reason if reply else None,
        **_other_answers(reply),
        **counted._asdict(),
        "latency_s": latency_s,
        "attempts": tally.attempts,
        "served_by": endpoint.name if endpoint else None,
        "error": error,
        "at": now(),
        "spent_usd": tally.spent_usd,
        "unsure_usd": tally.unsure_usd,
        **request.about,
    }


def _other_answers(reply: Reply | None) -> Record:
    """Return what a model answers with if not with text."""
    said = {"tool_calls": list(reply.tool_calls), "refusal": reply.refusal} if reply else {}
    return {name: value for name, value in said.items() if value}


def left_out_record(request: Request, reason: str) -> Record:
    """Return the record of a request that was not sent; it is in no journal."""
    return make_record(request, Tally(), error=f"not asked: {reason}")
