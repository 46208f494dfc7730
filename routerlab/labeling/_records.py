"""Records of a vote log: their form, and what they add up to."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from operator import itemgetter
from pathlib import Path
from typing import Any

import pandas as pd

from routerlab.exceptions import StaleVote
from routerlab.jsonl import Record, parse
from routerlab.schema import WINNERS, reject, shown

VOTE_COLUMNS = (
    "prompt_id", "model_a", "model_b", "winner", "judge", "judged_at", "note", "pair_id", "repeat_of", "side_seed",
    "propensity", "chosen_by", "restricted_to", "intent", "seconds", "nonce",
)  # fmt: skip
_FIELDS = {
    "vote": ("nonce", "pair_id", "prompt_id", "model_a", "model_b", "winner"),
    "label": ("nonce", "pair_id", "prompt_id", "intent"),
    "skip": ("nonce", "pair_id", "prompt_id"),
    "note": ("nonce", "pair_id", "note"),
    "undo": ("nonce", "undoes"),
}
_OF_A_VOTE = itemgetter(*_FIELDS["vote"])
_DECISIONS = ("vote", "label", "skip")
REPEATS = "repeats an earlier decision"


def record_problem(record: Any) -> str | None:
    """Say what is wrong with a record, None if nothing is."""
    if not isinstance(record, Mapping):
        return f"is no record but {type(record).__name__}"
    kind = record.get("type")
    if not isinstance(kind, str) or kind not in _FIELDS:
        return f"has type {kind!r}, expected one of {', '.join(_FIELDS)}"
    missing = [name for name in _FIELDS[kind] if record.get(name) is None]
    if missing:
        return f"of type {kind!r} lacks {shown(missing)}"
    odd = [
        name for name in ("nonce", "pair_id", "undoes", "repeat_of") if not isinstance(record.get(name, ""), str | None)
    ]
    if odd:
        return f"has a {shown(odd)} that is not text"
    odd = [n for n in ("prompt_id", "model_a", "model_b") if not isinstance(record.get(n, ""), str | int | float)]
    if odd:
        return f"has a {shown(odd)} that is neither text nor a number"
    if kind == "vote" and record["winner"] not in WINNERS:
        return f"has winner {record['winner']!r}, expected one of {', '.join(WINNERS)}"
    if kind == "vote" and record["model_a"] == record["model_b"]:
        return f"compares {record['model_a']!r} with itself"
    return None


def _at_a_glance(vote: Mapping[str, Any]) -> tuple[str, tuple[Any, ...]] | None:
    """Return the nonce of a vote as nearly all are, and what it is about; None asks for a closer look."""
    try:
        nonce, pair_id, prompt_id, a, b, winner = _OF_A_VOTE(vote)
    except KeyError:
        return None
    usual = type(nonce) is type(pair_id) is type(prompt_id) is type(a) is type(b) is str
    if not usual or a == b or winner not in WINNERS or vote.get("repeat_of") is not None:
        return None
    return nonce, (prompt_id, a, b, False) if a < b else (prompt_id, b, a, False)


def check_record(record: Mapping[str, Any]) -> Record:
    """Insist on a record that the log can hold, and return it as the log will give it back."""
    problem = record_problem(record)
    if problem:
        reject("vote record", f"{problem}.", "Make it with Pair.vote, Pair.skip or label_record.")
    if record["type"] == "undo":
        reject("vote record", "is an undo.", "Call VoteLog.undo(), which takes back the latest decision.")
    try:
        plain = json.loads(json.dumps(dict(record), allow_nan=False))
    except (TypeError, ValueError) as error:
        reject("vote record", f"holds something that JSON cannot: {error}.", "Use text, numbers, lists and dicts only.")
    plain.pop("n", None)
    return dict(plain)


def label_record(prompt_id: Any, intent: str, *, nonce: str, judged_at: str, note: str | None = None) -> Record:
    """Return the record of an intent given to a prompt, for `VoteLog.append`.

    Parameters
    ----------
    prompt_id : str or int
        The prompt.
    intent : str
        Its intent.
    nonce : str
        See `Pair.vote`.
    judged_at : str
        Time in ISO 8601.
    note : str, optional
        The rater's remark.

    Returns
    -------
    dict
        A prompt that has a label must be undone before it is labelled anew.

    Examples
    --------
    >>> label_record("p1", "cooking", nonce="n1", judged_at="2026-01-01T12:00:00+00:00")["pair_id"]
    "intent of 'p1'"
    """
    record = {"type": "label", "nonce": nonce, "pair_id": f"intent of {prompt_id!r}", "prompt_id": prompt_id}
    record |= {"intent": intent, "judged_at": judged_at}
    return {**record, "note": note} if note else record


def showing(record: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return what a decision is about, whatever the sides: one for a pair, and one for its swapped repeat."""
    if "model_a" not in record:
        return (record["pair_id"],)
    a, b, repeats = str(record["model_a"]), str(record["model_b"]), record.get("repeat_of") is not None
    return (record["prompt_id"], a, b, repeats) if a < b else (record["prompt_id"], b, a, repeats)


@dataclass
class LogState:
    """What the records read so far add up to. A decision is a vote, a label or a skip.

    Records stay as the lines that they were: most are never asked for, and a dict takes many times the memory.
    """

    lines: list[bytes] = field(default_factory=list)
    by_nonce: dict[str, int] = field(default_factory=dict)  # nonce -> place in `lines`
    decided: dict[str, str] = field(default_factory=dict)  # pair_id -> nonce of what counts, the oldest decision first
    showings: set[tuple[Any, ...]] = field(default_factory=set)  # what is decided, whatever its sides
    notes: dict[str, str] = field(default_factory=dict)  # nonce of a decision -> note added later
    n_votes: int = 0

    def records(self, since: int = 0) -> list[Record]:
        """Return the records in the order of writing, the first `since` left out."""
        return [parse(line, exact=True) for line in self.lines[since:]]

    def record(self, nonce: str) -> Record:
        """Return the record with this nonce."""
        return dict(parse(self.lines[self.by_nonce[nonce]], exact=True))

    def add(self, record: Any, line: bytes) -> str | None:
        """Apply a record that was read; say why it does not count, None if it does."""
        if record is None:
            return "is torn or damaged"
        about: tuple[Any, ...] | None
        glance = _at_a_glance(record) if isinstance(record, dict) and record.get("type") == "vote" else None
        if glance is not None:
            kind, decides, nonce = "vote", True, glance[0]
            about = glance[1]
        elif problem := record_problem(record):
            return problem
        else:
            nonce, kind = record["nonce"], record["type"]
            decides = kind in _DECISIONS
            about = showing(record) if decides else None
        if nonce in self.by_nonce or (decides and (record["pair_id"] in self.decided or about in self.showings)):
            return REPEATS
        self.by_nonce[nonce] = len(self.lines)
        self.lines.append(line)
        if about is not None:
            self.decided[record["pair_id"]] = nonce
            self.showings.add(about)
            self.n_votes += kind != "skip"
        elif kind == "undo" and record["undoes"] in self.by_nonce:
            self._undo(record["undoes"])
        elif kind == "note" and record["pair_id"] in self.decided:
            self.notes[self.decided[record["pair_id"]]] = record["note"]
        return None

    def _undo(self, nonce: str) -> None:
        undone = self.record(nonce)
        if undone["type"] in _DECISIONS and self.decided.get(undone["pair_id"]) == nonce:
            del self.decided[undone["pair_id"]]
            self.showings.discard(showing(undone))
            self.n_votes -= undone["type"] != "skip"

    def refuse_stale(self, record: Record, path: Path) -> None:
        """Raise `StaleVote` for a record that is in the log, or whose pair is decided."""
        if record["nonce"] in self.by_nonce:
            msg = f"Vote log {path}: this {record['type']} is recorded already (nonce {record['nonce']!r})."
            raise StaleVote(msg, recorded=True)
        if record["type"] in _DECISIONS and (record["pair_id"] in self.decided or showing(record) in self.showings):
            msg = f"Vote log {path}: pair {record['pair_id']!r} is decided already. Undo that first to change it."
            raise StaleVote(msg, recorded=False)

    def counting(self, kind: str) -> list[Record]:
        """Return the decisions of a kind that count, oldest first, with the notes that were added later."""
        rows = map(self.record, self.decided.values())
        return [{**r, "note": self.notes.get(r["nonce"], r.get("note"))} for r in rows if r["type"] == kind]


def votes_frame(votes: Iterable[Mapping[str, Any]], dataset_id: str) -> pd.DataFrame:
    """Return votes (which name their ``judge``) as a judgments table with fixed first columns."""
    rows = [{key: value for key, value in vote.items() if key not in ("type", "n")} for vote in votes]
    extra = dict.fromkeys(key for row in rows for key in row if key not in VOTE_COLUMNS)
    frame = pd.DataFrame(rows, columns=[*VOTE_COLUMNS, *extra], dtype=object)
    for name in frame:
        with suppress(UnicodeEncodeError):  # pyarrow holds no lone surrogates: then the column stays as it is
            frame[name] = frame[name].infer_objects()
    frame["judged_at"] = pd.to_datetime(frame["judged_at"], utc=True, format="ISO8601", errors="coerce")
    frame.attrs["dataset_id"] = dataset_id
    return frame
