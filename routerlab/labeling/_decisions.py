"""What a rater has decided, kept as a queue needs it."""

from itertools import islice
from typing import Any

from routerlab.jsonl import Record

Key = tuple[int, bool]  # a candidate, and whether its swapped repeat is meant
_REPEAT_GAP = 5  # votes between a pair and its repeat


class Decisions(dict[Key, Record]):
    """The votes and skips that count, the oldest first.

    What a step asks for is kept up to date: looking through all decisions takes longer with each of them.
    """

    def __init__(self) -> None:
        super().__init__()
        self.n_votes = self.n_skipped = self.n_repeats = 0  # of what the queue's restriction allows
        self.by_nonce: dict[str, Key] = {}
        self.by_pair_id: dict[str, Key] = {}
        self.undone: dict[str, Record] = {}  # pair_id -> the decision that was taken back
        self.skips: dict[Key, int] = {}  # skipped for the first time -> how many were decided then
        self._firsts: dict[int, None] = {}  # candidates voted on, in that order
        self.once: dict[int, None] = {}  # those whose repeat is neither decided nor on its way

    def add(self, key: Key, record: Record, *, allowed: bool, repeat_issued: bool) -> None:
        """Take a decision in: whether the restriction allows it, and whether the pair's repeat is on its way."""
        self[key] = record
        self.by_nonce[record["nonce"]] = self.by_pair_id[record["pair_id"]] = key
        self.undone.pop(record["pair_id"], None)
        self.count(record, allowed)
        if record["type"] == "skip" and record.get("replaces") is None:
            self.skips[key] = len(self)
        if key[1]:
            self.once.pop(key[0], None)
        elif record["type"] == "vote":
            self._firsts[key[0]] = None
            if (key[0], True) not in self and not repeat_issued:
                self.may_repeat(key[0])

    def take_back(self, key: Key, *, allowed: bool) -> Record:
        """Undo a decision, and return it."""
        record = self.pop(key)
        self.by_pair_id.pop(record["pair_id"], None)
        self.undone[record["pair_id"]] = record
        self.skips.pop(key, None)
        self.count(record, allowed, -1)
        if not key[1]:
            self._firsts.pop(key[0], None)
            self.once.pop(key[0], None)
        return record

    def count(self, record: Record, allowed: bool, sign: int = 1) -> None:
        """Count a decision if the restriction allows it."""
        if not allowed:
            return
        if record["type"] == "skip":
            self.n_skipped += sign
        else:
            self.n_votes += sign
            self.n_repeats += sign * (record.get("repeat_of") is not None)

    def recount(self, allowed: Any) -> None:
        """Count again: only candidates that a mask of shape (n_candidates,) allows."""
        self.n_votes = self.n_skipped = self.n_repeats = 0
        for key, record in self.items():
            self.count(record, bool(allowed[key[0]]))

    def may_repeat(self, k: int) -> None:
        """Note that a vote may come again with sides swapped, in the order of voting; gold pairs do not."""
        if k in self._firsts and self[k, False].get("chosen_by") != "gold":
            self.once[k] = None
            if k != next(reversed(self._firsts)):
                self.once = {k: None for k in self._firsts if k in self.once}

    def repeatable(self) -> list[int]:
        """Return the votes that could come again: those that may, but not the latest few."""
        latest = islice(reversed(self._firsts), _REPEAT_GAP)  # they are the last of `once` as well
        return list(self.once)[: len(self.once) - sum(k in self.once for k in latest)]
