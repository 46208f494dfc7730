"""From a judge's reply to its verdict, or to the admission that it cannot be read."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

LABELS = ("A", "B", "tie", "both_bad")
_KEYS = ("verdict", "final_verdict", "winner", "decision", "choice", "answer", "better")
_MOST_OBJECTS = 100  # JSON objects looked at in one reply

# What stands for a label once case, markup and punctuation are gone. "C" and a bare "neither" mean different things to
# different judges, and are not here.
_SAME = {
    "A": ("a", "response a", "assistant a", "answer a", "model a", "a is better", "response a is better", "a wins"),
    "B": ("b", "response b", "assistant b", "answer b", "model b", "b is better", "response b is better", "b wins"),
    "tie": (
        "tie",
        "a tie",
        "it is a tie",
        "its a tie",
        "tied",
        "draw",
        "a draw",
        "equal",
        "equally good",
        "both equal",
    ),
    "both_bad": ("both bad", "bothbad", "both are bad", "both responses are bad", "neither is good", "tie bothbad"),
}
_LABEL_OF = {words: label for label, variants in _SAME.items() for words in variants}
_COMPARED = {">": "A", ">>": "A", "<": "B", "<<": "B", "=": "tie", "==": "tie", "~": "tie"}

_THOUGHT = re.compile(r"<(think|thinking|thought|reasoning|analysis)>.*?</\1>", re.DOTALL | re.IGNORECASE)
_OPEN_THOUGHT = re.compile(r"<(?:think|thinking|thought|reasoning|analysis)>", re.IGNORECASE)
_CLOSED_ONLY = re.compile(r"\A.*</(?:think|thinking|thought|reasoning|analysis)>", re.DOTALL | re.IGNORECASE)
_BRACKETS = re.compile(r"\[\[([^\[\]\n]{1,40})\]\]")
_NAMED = "|".join(key.replace("_", "[ _]") for key in _KEYS)
_SAID = re.compile(rf"(?:{_NAMED})[\"'*_` ]{{0,4}}(?:[:=]|\bis\b)\s{{0,3}}([^\n,}};.]{{1,80}})", re.IGNORECASE)
_REASON_FOLLOWS = re.compile(r"\b(?:because|since|as|due to|for)\b|[(\u2013\u2014]| - ", re.IGNORECASE)
_RATIONALE = re.compile(r'"(?:rationale|reason|reasoning|explanation)"\s*:\s*"((?:[^"\\]|\\.)*)"', re.DOTALL)


@dataclass(frozen=True)
class Verdict:
    """What a judge said.

    Attributes
    ----------
    label : {'A', 'B', 'tie', 'both_bad'} or None
        None: it cannot be read, which is no tie.
    rationale : str
        The judge's reasons, as far as they can be told apart from the rest.
    how : str
        Where the label was found: 'json', 'brackets', 'named', 'alone'; or why there is none: 'contradiction', 'unknown
        label', 'thinking not finished', 'nothing found'.
    """

    label: str | None
    rationale: str
    how: str


def parse_verdict(text: str) -> Verdict:
    """Read the verdict in a judge's reply, strictly: what could be meant in two ways is not read at all.

    Looked for in this order, and the first kind that is there decides: a JSON object with a key such as ``verdict``;
    double brackets (``[[A]]``, ``[[B>A]]``, as MT-Bench and Arena-Hard have them); a phrase such as ``Verdict: A``; a
    reply that is nothing but a label. Several of one kind must agree. Text inside thinking tags does not count.

    Parameters
    ----------
    text : str
        The reply, whatever it is. It is only ever compared, never run.

    Returns
    -------
    Verdict
        The label or None, the rationale, and how it was found.

    Examples
    --------
    >>> parse_verdict('{"rationale": "A is right.", "verdict": "A"}')
    Verdict(label='A', rationale='A is right.', how='json')
    >>> parse_verdict("Both are fine, but B is shorter. [[B]]").label
    'B'
    >>> parse_verdict("A is good, and so is B.")
    Verdict(label=None, rationale='A is good, and so is B.', how='nothing found')
    """
    said = text.strip()
    if not (said.startswith("{") and said.endswith("}")):  # in an answer as asked for, tags are part of the rationale
        said = _THOUGHT.sub(" ", said)
        if _OPEN_THOUGHT.search(said):
            return Verdict(None, "", "thinking not finished")
        said = _CLOSED_ONLY.sub(" ", said).strip()  # templates that open the tag themselves send its end alone
    objects = [found for found in _objects(said) if any(key in found for key in _KEYS)]
    if objects:
        given = [found[key] for found in objects for key in _KEYS if key in found]
        rationale = next((found[k] for found in objects for k in _REASONS if isinstance(found.get(k), str)), "")
        return _decided([_label(value) for value in given], rationale, "json")
    partial = _RATIONALE.search(said)
    rationale = partial.group(1) if partial else said
    for pattern, how in ((_BRACKETS, "brackets"), (_SAID, "named")):
        found = [_REASON_FOLLOWS.split(match.group(1), maxsplit=1)[0] for match in pattern.finditer(said)]
        if found:
            return _decided([_label(value) for value in found], rationale, how)
    alone = _label(said) if len(said) <= 60 else None
    return Verdict(alone, "" if alone else said, "alone" if alone else "nothing found")


_REASONS = ("rationale", "reason", "reasoning", "explanation")


def _decided(labels: list[str | None], rationale: str, how: str) -> Verdict:
    distinct = set(labels)
    if None in distinct:
        return Verdict(None, rationale, "unknown label")
    if len(distinct) > 1:
        return Verdict(None, rationale, "contradiction")
    return Verdict(labels[0], rationale, how)


def _label(value: Any) -> str | None:
    """Return the label that a value stands for, or None."""
    if not isinstance(value, str):
        return None
    text = re.sub(r"[*`\"'\[\](){}.!?:]", "", value.replace("’", "'")).casefold().replace("_", " ").replace("-", " ")
    text = " ".join(text.split())
    if text in _LABEL_OF:
        return _LABEL_OF[text]
    compared = re.fullmatch(r"([ab]) ?(>>|>|<<|<|==|=|~) ?([ab])", text)
    if compared is None or compared.group(1) == compared.group(3):
        return None
    label = _COMPARED[compared.group(2)]
    return label if compared.group(1) == "a" else {"A": "B", "B": "A"}.get(label, label)


def _objects(text: str) -> Iterator[dict[str, Any]]:
    """JSON objects in a text, outermost ones, wherever they stand: alone, in a fence, after prose."""
    decoder = json.JSONDecoder(object_pairs_hook=_without_contradiction)
    start = text.find("{")
    for _ in range(_MOST_OBJECTS):
        if start < 0:
            return
        try:
            value, end = decoder.raw_decode(text, start)
        except (ValueError, RecursionError):
            end = start + 1
        else:
            if isinstance(value, dict):
                yield value
        start = text.find("{", end)


def _without_contradiction(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Build an object whose keys are lower case; a key that is given two values has neither."""
    found: dict[str, Any] = {}
    for key, value in pairs:
        name = key.casefold()
        found[name] = value if name not in found or found[name] == value else None
    return found
