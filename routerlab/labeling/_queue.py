"""Which pair next: a queue over all pairs of responses, with no browser in it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from routerlab.labeling._candidates import Candidates, build_candidates
from routerlab.labeling._choice import Chooser, Drawn, Original
from routerlab.labeling._pairs import Pair
from routerlab.schema import check_judgments

if TYPE_CHECKING:
    from routerlab.labeling._log import VoteLog

_REPEAT_GAP = 5  # votes between a pair and its swapped repeat, if there are that many


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a rater is.

    Attributes
    ----------
    n_votes, n_skipped, n_repeats : int
        Votes that count (repeats among them), skips, swapped repeats.
    n_pairs, n_left : int
        Pairs in the queue at the start, and pairs not yet decided.
    n_missing, n_identical : int
        Pairs never shown, for want of a response or because both are the same text.
    by_intent : dict
        Votes of each group.
    """

    n_votes: int
    n_skipped: int
    n_repeats: int
    n_pairs: int
    n_left: int
    n_missing: int
    n_identical: int
    by_intent: dict[Any, int]


class PairQueue:
    """Pairs of responses in the order in which votes on them tell most.

    Parameters
    ----------
    responses : DataFrame
        ``prompt_id``, ``model``, ``response``: see `routerlab.schema.check_responses`. Pairs that lack a response,
        or whose two responses are the same text, are left out and counted in `progress`.
    prompts : DataFrame, optional
        ``prompt_id``, ``prompt``: the texts that `Pair.prompt` shows.
    judgments : DataFrame or VoteLog, optional
        What has been judged already: it informs the choice, and pairs judged by `rater` are not shown again.
    by : str or Series, optional
        Intent of each prompt (a column of `prompts`, or a Series indexed by ``prompt_id``). With
        'information', every intent has ratings of its own; with 'by_intent', intents take turns.
    strategy : {'information', 'random', 'by_intent'}, default 'information'
        What picks the next pair.
    random_share : float, default 0.2
        Share of pairs drawn uniformly, whatever the strategy, so that every pair can come and its probability is known.
    repeat_share : float, default 0.1
        Share of showings that repeat an earlier pair with its sides swapped.
    pairs : DataFrame, optional
        Only these ``prompt_id, model_a, model_b``: for example `disagreements`.
    rater : str, optional
        Whose votes in `judgments` (column ``judge``) count as done; None: everybody's.
    random_state : int, Generator or None, default None
        Seed of sides, draws and repeats. With an int, the queue is a function of it and of the votes so far.

    Attributes
    ----------
    dataset_id : str
        Names the responses; give it to `VoteLog`.

    Raises
    ------
    TableError
        No pair to compare; responses that are not text; prompts or intents missing.

    Examples
    --------
    >>> rows = [("p1", "big", "Paris."), ("p1", "small", "Lyon."), ("p2", "big", "4"), ("p2", "small", "5")]
    >>> responses = pd.DataFrame(rows, columns=["prompt_id", "model", "response"])
    >>> queue = PairQueue(responses, random_state=0)
    >>> len(queue)
    2
    >>> pair = queue.next_pair()
    >>> queue.observe(pair.vote("left", nonce="n1"))
    >>> queue.progress().n_votes
    1
    """

    def __init__(
        self,
        responses: pd.DataFrame,
        prompts: pd.DataFrame | None = None,
        *,
        judgments: pd.DataFrame | VoteLog | None = None,
        by: str | pd.Series | None = None,
        strategy: Literal["information", "random", "by_intent"] = "information",
        random_share: float = 0.2,
        repeat_share: float = 0.1,
        pairs: pd.DataFrame | None = None,
        rater: str | None = None,
        random_state: int | np.random.Generator | None = None,
    ) -> None:
        self._candidates = build_candidates(responses, prompts, by, pairs)
        self.dataset_id = self._candidates.dataset_id
        self._chooser = Chooser(self._candidates, strategy, random_share, repeat_share)
        self._entropy = _entropy(random_state)
        self._buffer: list[Pair] = []
        self._issued: dict[str, Pair] = {}  # drawn and not decided yet, those in the buffer among them
        self._decided: dict[str, dict[str, Any]] = {}  # pair_id -> the vote or skip that counts
        self._by_nonce: dict[str, str] = {}  # nonce -> pair_id of what counts
        self._originals: dict[int, Original] = {}  # votes that have not been repeated, oldest first
        self._n_synced = 0
        self._n_ignored = 0
        self._lookup = _Lookup(self._candidates)
        if judgments is not None:
            self._take(judgments, rater)

    def __len__(self) -> int:
        """Pairs not yet decided (swapped repeats not counted)."""
        return self._chooser.remaining.total + sum(p.repeat_of is None for p in self._issued.values())

    def __iter__(self) -> Iterator[Pair]:
        """Yield pairs until none is left."""
        while (pair := self.next_pair()) is not None:
            yield pair

    def next_pair(self) -> Pair | None:
        """Return the next pair to show, and never the same one again unless it is undone.

        Returns
        -------
        Pair or None
            None when every pair is decided or handed out.
        """
        self._fill(1)
        return self._buffer.pop(0) if self._buffer else None

    def peek(self, n: int = 2) -> list[Pair]:
        """Return the pairs that `next_pair` will give, without taking them: for prefetching.

        Parameters
        ----------
        n : int, default 2
            How many.

        Returns
        -------
        list of Pair
            Fewer than `n` at the end. They are settled now, counting on votes for those before them.
        """
        self._fill(n)
        return self._buffer[:n]

    def put_back(self, pair: Pair) -> None:
        """Make a pair that was handed out and not decided the next one again.

        Parameters
        ----------
        pair : Pair
            From `next_pair`.
        """
        if pair.pair_id in self._issued and pair not in self._buffer:
            self._buffer.insert(0, pair)

    def observe(self, record: Mapping[str, Any]) -> None:
        """Take note of a vote, skip or undo: from `Pair.vote`, or as it stands in a log.

        Parameters
        ----------
        record : mapping
            An undone pair comes back as the next one.
        """
        kind = record["type"]
        if kind in ("vote", "skip") and record["pair_id"] not in self._decided:
            self._decide(dict(record))
        elif kind == "undo" and record["undoes"] in self._by_nonce:
            self._reopen(self._by_nonce.pop(record["undoes"]))

    def sync(self, log: VoteLog) -> None:
        """Take note of everything that a log holds and that this queue has not seen: after each append or undo.

        Parameters
        ----------
        log : VoteLog
            Always the same one: the rater's own.
        """
        records = log.records(self._n_synced)
        self._n_synced += len(records)
        for record in records:
            self.observe(record)

    def progress(self) -> Progress:
        """Return how far the rater is.

        Returns
        -------
        Progress
            Counts.
        """
        votes = [r for r in self._decided.values() if r["type"] == "vote"]
        groups = zip(self._candidates.groups, self._chooser.votes_by_group.tolist(), strict=True)
        return Progress(
            n_votes=len(votes),
            n_skipped=len(self._decided) - len(votes),
            n_repeats=sum(r.get("repeat_of") is not None for r in votes),
            n_pairs=len(self._candidates),
            n_left=len(self),
            n_missing=self._candidates.n_missing,
            n_identical=self._candidates.n_identical,
            by_intent=dict(groups),
        )

    def _fill(self, n: int) -> None:
        while len(self._buffer) < n:
            step = len(self._decided) + len(self._issued)
            late = list(self._originals)[: max(0, len(self._originals) - _REPEAT_GAP)]
            drawn = self._chooser.draw(
                np.random.default_rng([self._entropy, step]), {k: self._originals[k] for k in late}
            )
            if drawn is None:
                return
            pair = self._pair(drawn)
            self._issued[pair.pair_id] = pair
            self._buffer.append(pair)
            if drawn.repeat_of is None:
                self._chooser.take(drawn.candidate)
            else:
                self._originals.pop(drawn.candidate)

    def _pair(self, drawn: Drawn) -> Pair:
        c, k = self._candidates, drawn.candidate
        prompt, sides = c.prompt[k], (int(c.first[k]), int(c.second[k]))
        left, right = sides if drawn.first_on_left else sides[::-1]
        return Pair(
            pair_id=self._pair_id(k, drawn.repeat_of is not None),
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
        )

    def _pair_id(self, k: int, repeat: bool) -> str:
        c = self._candidates
        models = c.models[c.first[k]], c.models[c.second[k]]
        name = repr((c.dataset_id, c.prompt_ids[c.prompt[k]], sorted(models), repeat))
        return hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()

    def _decide(self, record: dict[str, Any]) -> None:
        k = self._lookup.candidate(record)
        if k is None:
            self._n_ignored += 1
            return
        pair_id, repeat = record["pair_id"], record.get("repeat_of") is not None
        issued = self._issued.pop(pair_id, None)
        self._buffer = [p for p in self._buffer if p.pair_id != pair_id]
        self._decided[pair_id] = record
        self._by_nonce[record["nonce"]] = pair_id
        if repeat:
            self._originals.pop(k, None)
            return
        self._chooser.settle(k, was_issued=issued is not None)
        if record["type"] == "vote":
            first_on_left = record["model_a"] == self._candidates.models[self._candidates.first[k]]
            self._chooser.count(k, first_on_left, record["winner"])
            self._originals[k] = Original(pair_id, first_on_left, int(record.get("side_seed") or 0))

    def _reopen(self, pair_id: str) -> None:
        record = self._decided.pop(pair_id)
        k = self._lookup.candidate(record)
        if k is None:
            return
        first_on_left = record["model_a"] == self._candidates.models[self._candidates.first[k]]
        repeat_of = record.get("repeat_of")
        if repeat_of is None:
            self._originals.pop(k, None)
            if record["type"] == "vote":
                self._chooser.count(k, first_on_left, record["winner"], weight=-1.0)
            self._chooser.take(k)
        seed, chosen_by = int(record.get("side_seed") or 0), str(record.get("chosen_by", self._chooser.strategy))
        pair = self._pair(
            Drawn(k, first_on_left, seed, float(record.get("propensity") or np.nan), chosen_by, repeat_of)
        )
        self._issued[pair.pair_id] = pair
        self._buffer.insert(0, pair)

    def _take(self, judgments: Any, rater: str | None) -> None:
        if hasattr(judgments, "records"):
            self.sync(judgments)
            return
        table = check_judgments(judgments)
        own = table["judge"] == rater if rater is not None and "judge" in table else pd.Series(True, table.index)
        for row, mine in zip(table.to_dict("records"), own, strict=True):
            k = self._lookup.candidate(row)
            if k is None:
                self._n_ignored += 1
                continue
            first_on_left = row["model_a"] == self._candidates.models[self._candidates.first[k]]
            self._chooser.count(k, first_on_left, row["winner"])
            if mine:
                self._chooser.settle(k, was_issued=False)


class _Lookup:
    """Finds the candidate that a record is about."""

    def __init__(self, candidates: Candidates) -> None:
        self._row = {prompt: k for k, prompt in enumerate(candidates.prompt_ids)}
        self._col = {model: k for k, model in enumerate(candidates.models)}
        m = len(candidates.models)
        self._m = m
        keys = (candidates.prompt * m + candidates.first) * m + candidates.second
        self._order = np.argsort(keys)
        self._keys = keys[self._order]

    def candidate(self, record: Mapping[str, Any]) -> int | None:
        row, a, b = (
            self._row.get(record["prompt_id"]),
            self._col.get(record["model_a"]),
            self._col.get(record["model_b"]),
        )
        if row is None or a is None or b is None:
            return None
        key = (row * self._m + min(a, b)) * self._m + max(a, b)
        k = int(np.searchsorted(self._keys, key))
        return int(self._order[k]) if k < len(self._keys) and self._keys[k] == key else None


def _entropy(random_state: int | np.random.Generator | None) -> int:
    if isinstance(random_state, np.random.Generator):
        return int(random_state.integers(2**63))
    if random_state is None:
        return int(np.random.SeedSequence().entropy) % 2**63  # type: ignore[arg-type]
    return int(random_state)
