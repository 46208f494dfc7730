"""Which pair next: a queue over all pairs of responses, with no browser in it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from routerlab.labeling._candidates import build_candidates
from routerlab.labeling._choice import Chooser, checked_share, entropy
from routerlab.labeling._pairs import Pair, Progress
from routerlab.labeling._records import Record
from routerlab.labeling._scope import count_progress, repeatable, selected
from routerlab.labeling._showing import Drawn, asked_for, drawn_before, pair_of, swapped
from routerlab.schema import check_judgments

if TYPE_CHECKING:
    from routerlab.labeling._votelog import VoteLog

Key = tuple[int, bool]  # a candidate, and whether its swapped repeat is meant
_REPEAT_GAP = 5  # votes between a pair and its repeat


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
        Whose votes in `judgments` (column ``judge``) count as done; None: everybody's. Raters with the same
        `random_state` get draws of their own.
    overlap : bool, default True
        Whether pairs drawn at random come in one order for all raters. They then share some, which `agreement` needs.
    random_state : int, Generator or None, default None
        Seed of sides, draws and repeats.

    Raises
    ------
    TableError
        No pair to compare; responses that are not text; prompts or intents missing.

    Examples
    --------
    >>> rows = [("p1", "big", "Paris."), ("p1", "small", "Lyon."), ("p2", "big", "4"), ("p2", "small", "5")]
    >>> responses = pd.DataFrame(rows, columns=["prompt_id", "model", "response"])
    >>> queue = PairQueue(responses, random_state=0)
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
        overlap: bool = True,
        random_state: int | np.random.Generator | None = None,
    ) -> None:
        self._candidates = build_candidates(responses, prompts, by, pairs)
        self._chooser = Chooser(self._candidates, strategy, random_share, overlap)
        self._repeat_share = checked_share(repeat_share, "repeat_share")
        self._seed = [entropy(random_state), *(rater or "").encode()]
        self._buffer: list[Pair] = []
        self._issued: dict[Key, Pair] = {}  # on its way to the rater, those in the buffer among them
        self._decided: dict[Key, Record] = {}  # the vote or skip that counts
        self._by_nonce: dict[str, Key] = {}
        self._restricted_to = None if pairs is None else f"pairs given at the start: {len(self._candidates):,}"
        self._n_synced = 0
        self._n_foreign = 0
        if isinstance(judgments, pd.DataFrame):
            self._take(check_judgments(judgments), rater)
        elif judgments is not None:
            self.sync(judgments)

    @property
    def dataset_id(self) -> str:
        """Name of the responses, which `VoteLog` needs."""
        return self._candidates.dataset_id

    def __len__(self) -> int:
        """Pairs not yet decided (swapped repeats not counted)."""
        return self._chooser.remaining.total + sum(not repeat for _, repeat in self._issued)

    def __iter__(self) -> Iterator[Pair]:
        """Yield pairs until none is left."""
        return iter(self.next_pair, None)

    def next_pair(self) -> Pair | None:
        """Return the next pair to show; it does not come again unless it is undone or put back.

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
        if pair in self._issued.values() and pair not in self._buffer:
            self._buffer.insert(0, pair)

    def find(self, pair_id: str) -> Pair | None:
        """Return the pair with this id, sides included, whether or not it was drawn: for a vote that comes late.

        Parameters
        ----------
        pair_id : str
            From a `Pair` of a queue over the same responses, with whatever seed.

        Returns
        -------
        Pair or None
            None if these responses have no such pair.
        """
        issued = next((pair for pair in self._issued.values() if pair.pair_id == pair_id), None)
        return issued or asked_for(self._candidates, self._decided, pair_id)

    def observe(self, record: Mapping[str, Any]) -> None:
        """Take note of a vote, skip or undo: from `Pair.vote`, or as it stands in a log.

        Parameters
        ----------
        record : mapping
            What is decided already, or about other responses, is passed over. An undone pair comes back as the next.
        """
        kind = record["type"]
        if kind in ("vote", "skip"):
            self._decide(dict(record))
        elif kind == "undo" and record["undoes"] in self._by_nonce:
            self._reopen(self._by_nonce.pop(record["undoes"]))

    def sync(self, log: VoteLog) -> None:
        """Take note of everything that a log holds and this queue has not seen: after each append or undo.

        Parameters
        ----------
        log : VoteLog
            Always the same one: the rater's own.
        """
        records = log.records(self._n_synced)
        self._n_synced += len(records)
        for record in records:
            self.observe(record)

    def restrict(self, pairs: pd.DataFrame | None, reason: str = "a selection") -> NDArray[np.bool_]:
        """Show only some pairs from now on, or all again; what is prefetched goes back.

        Parameters
        ----------
        pairs : DataFrame of shape (n_rows, n_columns) or None
            ``prompt_id``, and ``model_a, model_b`` if only those are to be compared; None lifts the restriction.
        reason : str
            Goes into every record as ``restricted_to``. Propensities are then those within the restriction.

        Returns
        -------
        ndarray of bool of shape (n_rows,)
            Rows that the queue has a pair for: both responses are there, and differ.
        """
        every = np.ones(len(self._candidates), dtype=bool)
        allowed, found = (every, every[:0]) if pairs is None else selected(self._candidates, pairs)
        for key in [key for key, pair in self._issued.items() if pair in self._buffer]:
            self._withdraw(key)
            if not key[1]:
                self._chooser.remaining.put_back(key[0])
        self._chooser.remaining.restrict(allowed)
        self._restricted_to = None if pairs is None else reason
        return found

    def progress(self) -> Progress:
        """Return how far the rater is.

        Returns
        -------
        Progress
            Counts.
        """
        counts = {"n_left": len(self), "n_foreign": self._n_foreign, "restricted_to": self._restricted_to}
        return count_progress(self._candidates, self._decided, self._chooser, **counts)

    def _fill(self, n: int) -> None:
        while len(self._buffer) < n and self._chooser.remaining.total:
            self._buffer.append(self._issue(self._draw()))

    def _draw(self) -> Drawn:
        rng = np.random.default_rng([*self._seed, len(self._decided) + len(self._issued)])
        allowed = self._chooser.remaining.allowed
        old = repeatable(self._decided, self._issued, allowed, _REPEAT_GAP) if self._repeat_share else []
        share = self._repeat_share if old else 0.0
        if rng.random() < share:
            k, record = old[int(rng.integers(len(old)))]
            drawn = swapped(self._candidates, k, record, share / len(old))
        else:
            drawn = self._chooser.draw(rng, 1.0 - share)
        return replace(drawn, restricted_to=self._restricted_to)

    def _issue(self, drawn: Drawn) -> Pair:
        """Note that a pair is on its way to the rater."""
        pair = pair_of(self._candidates, drawn)
        self._issued[drawn.candidate, drawn.repeat_of is not None] = pair
        if drawn.repeat_of is None:
            self._chooser.take(drawn.candidate)
        return pair

    def _withdraw(self, key: Key) -> None:
        """Note that a pair is no longer on its way."""
        if (pair := self._issued.pop(key, None)) is None:
            return
        self._buffer = [other for other in self._buffer if other.pair_id != pair.pair_id]
        if pair.repeat_of is None:
            self._chooser.expect(key[0], -1.0)

    def _decide(self, record: Record) -> None:
        k = self._candidates.find(record["prompt_id"], record.get("model_a"), record.get("model_b"))
        if k is None:
            self._n_foreign += 1
            return
        key = (k, record.get("repeat_of") is not None)
        if key in self._decided:
            return
        self._withdraw(key)
        self._decided[key] = record
        self._by_nonce[record["nonce"]] = key
        if record.get("repeat_of") is None:
            self._chooser.remaining.remove(k)
            self._chooser.count(k, record)

    def _reopen(self, key: Key) -> None:
        record = self._decided.pop(key)
        if record.get("repeat_of") is None:
            self._chooser.count(key[0], record, weight=-1.0)
            self._withdraw((key[0], True))
        self._buffer.insert(0, self._issue(drawn_before(self._candidates, key[0], record)))

    def _take(self, judgments: pd.DataFrame, rater: str | None) -> None:
        for row in judgments.to_dict("records"):
            k = self._candidates.find(row["prompt_id"], row["model_a"], row["model_b"])
            if k is None:
                self._n_foreign += 1
                continue
            self._chooser.count(k, row)
            if rater is None or row.get("judge", rater) == rater:
                self._chooser.remaining.remove(k)
