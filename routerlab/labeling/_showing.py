"""From a draw to the pair that is shown, and from a record back to its draw."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from routerlab.labeling._candidates import Candidates
from routerlab.labeling._pairs import Pair
from routerlab.labeling._records import Record


@dataclass(frozen=True, slots=True)
class Drawn:
    """A candidate that was drawn: on which sides, how, and what it repeats."""

    candidate: int
    first_on_left: bool
    side_seed: int
    propensity: float | None
    chosen_by: str
    repeat_of: str | None = None
    restricted_to: str | None = None


def drawn_before(candidates: Candidates, k: int, record: Mapping[str, Any]) -> Drawn:
    """Return how the pair of a decision was drawn."""
    return Drawn(
        candidate=k,
        first_on_left=candidates.first_on_left(k, record["model_a"]),
        side_seed=int(record.get("side_seed") or 0),
        propensity=record.get("propensity"),
        chosen_by=str(record.get("chosen_by")),
        repeat_of=record.get("repeat_of"),
        restricted_to=record.get("restricted_to"),
    )


def swapped(candidates: Candidates, k: int, record: Mapping[str, Any], propensity: float) -> Drawn:
    """Return the draw that shows a decided pair again with its sides swapped."""
    first = drawn_before(candidates, k, record)
    return Drawn(k, not first.first_on_left, first.side_seed ^ 1, propensity, "repeat", record["pair_id"])


def pair_of(candidates: Candidates, drawn: Drawn) -> Pair:
    """Return the pair with its texts."""
    c, k = candidates, drawn.candidate
    prompt, sides = c.prompt[k], (int(c.first[k]), int(c.second[k]))
    left, right = sides if drawn.first_on_left else sides[::-1]
    return Pair(
        pair_id=c.pair_id(k, drawn.first_on_left),
        prompt_id=c.prompt_ids[prompt],
        prompt=c.prompts[prompt],
        left=c.texts[prompt, left],
        right=c.texts[prompt, right],
        model_left=c.models[left],
        model_right=c.models[right],
        side_seed=drawn.side_seed,
        repeat_of=drawn.repeat_of,
        propensity=drawn.propensity,
        intent=c.groups[c.group_of[prompt]],
        chosen_by=drawn.chosen_by,
        restricted_to=drawn.restricted_to,
    )


def asked_for(candidates: Candidates, decided: Mapping[tuple[int, bool], Record], pair_id: str) -> Pair | None:
    """Return a pair that is decided, or that was never drawn, by its id; None if these responses have no such pair."""
    for (k, _), record in decided.items():
        if record["pair_id"] == pair_id:
            return pair_of(candidates, drawn_before(candidates, k, record))
    if pair_id not in candidates.by_pair_id:
        return None
    k, first_on_left = candidates.by_pair_id[pair_id]
    original = decided.get((k, False))
    repeat_of = original["pair_id"] if original else None
    return pair_of(candidates, Drawn(k, first_on_left, int(not first_on_left), None, "asked", repeat_of))
