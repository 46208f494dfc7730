"""Which pair next: a queue over all pairs of responses, with no browser in it."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import wraps
from typing import Any, Concatenate, Literal, ParamSpec, TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from routerlab.labeling._candidates import Sampler, build_candidates, checked_share, entropy
from routerlab.labeling._decisions import Decisions, Key
from routerlab.labeling._votelog import Lock, Record, VoteLog
from routerlab.schema import check_choice, check_judgments

CHOICES = {"left": "model_a", "right": "model_b", "tie": "tie", "both_bad": "both_bad"}
_SKIP_GAP = 20  # decisions after which a skipped pair comes back, once
Bools = NDArray[np.bool_]
_P = ParamSpec("_P")
_R = TypeVar("_R")


def _locked(
    method: Callable[Concatenate["PairQueue", _P], _R],
) -> Callable[Concatenate["PairQueue", _P], _R]:
    """Let one thread at a time into a queue: Jupyter may handle messages on a thread of its own."""

    @wraps(method)
    def alone(self: "PairQueue", *args: _P.args, **kwargs: _P.kwargs) -> _R:
        with self._lock:
            return method(self, *args, **kwargs)

    return alone


@dataclass(frozen=True, slots=True)
class Pair:
    """Two responses to one prompt, side by side, in the order in which they are shown.

    Attributes
    ----------
    pair_id : str
        Names this showing, sides included: the swapped repeat has an id of its own. Does not tell the models.
    prompt_id : str or int
        Key into the prompts table.
    prompt : str
        Text of the prompt; empty if the queue was given no prompts.
    left, right : str
        Texts of the responses.
    model_left, model_right : str
        Who wrote them. Never to be sent to the page before the vote; left out of the repr.
    side_seed : int
        The random number that set the sides: the model that comes first in the responses table is
        on the left if it is even. A swapped repeat has the original's seed with its lowest bit flipped.
    repeat_of : str or None
        ``pair_id`` of the showing that this one repeats with its sides swapped.
    propensity : float or None
        Probability that the queue shows this pair at this step, given all votes before it and the restriction that
        held; None if it was asked for.
    intent : object
        Group of the prompt, None if the queue was given none.
    chosen_by : str
        'information', 'random', 'by_intent', 'repeat' or 'gold': what picked it.
    restricted_to : str or None
        What the queue was restricted to, see `PairQueue.restrict`.
    """

    pair_id: str
    prompt_id: Any
    prompt: str = field(repr=False)
    left: str = field(repr=False)
    right: str = field(repr=False)
    model_left: str = field(repr=False)
    model_right: str = field(repr=False)
    side_seed: int = field(repr=False)
    repeat_of: str | None = field(repr=False, default=None)
    propensity: float | None = field(repr=False, default=None)
    intent: Any = None
    chosen_by: str = field(repr=False, default="random")
    restricted_to: str | None = field(repr=False, default=None)

    def vote(
        self, choice: str, *, nonce: str, note: str | None = None, seconds: float | None = None, **more: Any
    ) -> dict[str, Any]:
        """Return the record of a vote, for `VoteLog.append`.

        Parameters
        ----------
        choice : {'left', 'right', 'tie', 'both_bad'}
            The verdict.
        nonce : str
            A string that the page makes once for each press of a key; a second one with the same nonce is refused.
        note : str, optional
            The rater's remark.
        seconds : float, optional
            Time between the pair's showing and the vote, in seconds.
        **more
            Further fields of the record, such as ``active_seconds``; None leaves one out.

        Returns
        -------
        dict
            ``model_a`` is the model on the left, ``model_b`` the one on the right.

        Raises
        ------
        ValueError
            Another choice.

        Examples
        --------
        >>> pair = Pair("x1", "p1", "Hi?", "Hello", "Go away", "big", "small", side_seed=4)
        >>> pair.vote("left", nonce="n1")["winner"]
        'model_a'
        """
        check_choice(choice, CHOICES, "choice", "Pair.vote")
        record = {**self._shown("vote", nonce), "winner": CHOICES[choice]}
        record |= {name: value for name, value in more.items() if value is not None}
        if note:
            record["note"] = note
        if seconds is not None:
            record["seconds"] = float(seconds)
        return record

    def skip(self, *, nonce: str, note: str | None = None) -> dict[str, Any]:
        """Return the record of a skip: the pair was seen and left undecided.

        Parameters
        ----------
        nonce : str
            See `vote`.
        note : str, optional
            The rater's remark.

        Returns
        -------
        dict
            A record for `VoteLog.append`.

        Examples
        --------
        >>> Pair("x1", "p1", "Hi?", "Hello", "Go away", "big", "small", side_seed=4).skip(nonce="n1")["type"]
        'skip'
        """
        record = self._shown("skip", nonce)
        return {**record, "note": note} if note else record

    def _shown(self, kind: str, nonce: str) -> dict[str, Any]:
        return {
            "type": kind,
            "nonce": nonce,
            "pair_id": self.pair_id,
            "prompt_id": self.prompt_id,
            "model_a": self.model_left,
            "model_b": self.model_right,
            "judged_at": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "side_seed": self.side_seed,
            "repeat_of": self.repeat_of,
            "propensity": self.propensity,
            "chosen_by": self.chosen_by,
            "restricted_to": self.restricted_to,
            "intent": self.intent,
        }


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a rater is. While the queue is restricted, only pairs that it may show are counted.

    Attributes
    ----------
    n_votes, n_skipped, n_repeats : int
        Votes that count (repeats among them), skips, swapped repeats.
    n_pairs, n_left : int
        Pairs in the queue at the start, and pairs not yet decided.
    n_missing, n_identical : int
        Pairs never shown, because a response is missing or both are the same text.
    n_foreign : int
        Earlier votes on pairs that are not in this queue, which were passed over.
    by_intent : dict
        Votes of each group, whatever the restriction.
    restricted_to : str or None
        What the queue is restricted to.
    n_to_return : int
        Skipped pairs that will come back.
    """

    n_votes: int
    n_skipped: int
    n_repeats: int
    n_pairs: int
    n_left: int
    n_missing: int
    n_identical: int
    n_foreign: int
    by_intent: dict[Any, int]
    restricted_to: str | None = None
    n_to_return: int = 0


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
        Share of pairs drawn uniformly, whatever the strategy: every pair can come, and its probability is known.
    repeat_share : float, default 0.1
        Share of showings that repeat an earlier pair with its sides swapped.
    pairs : DataFrame, optional
        Only these ``prompt_id, model_a, model_b``: for example `disagreements`.
    rater : str, optional
        Whose votes in `judgments` (column ``judge``) count as done; None: everybody's. Raters with the same
        `random_state` get draws of their own.
    gold : DataFrame, optional
        ``prompt_id, model_a, model_b, winner``: pairs whose verdict is known, to check raters with. They come at
        random, like any other pair, and are in no other draw.
    gold_share : float, default 0.05
        Share of showings that are gold pairs, as long as some are left.
    return_skipped : bool, default False
        Whether a skipped pair comes back once: 20 decisions later, or when no other is left. A vote on it replaces the
        skip (``replaces`` of `VoteLog.append`). `PairComparator` does so.
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
        gold: pd.DataFrame | None = None,
        gold_share: float = 0.05,
        return_skipped: bool = False,
        overlap: bool = True,
        random_state: int | np.random.Generator | None = None,
    ) -> None:
        self._lock = Lock()
        self._candidates = build_candidates(responses, prompts, by, pairs)
        self._sampler = Sampler(self._candidates, strategy, random_share, overlap)
        self._repeat_share = checked_share(repeat_share, "repeat_share")
        self._seed = [entropy(random_state), *(rater or "").encode()]
        self._buffer: list[Pair] = []
        self._issued: dict[Key, Pair] = {}  # on its way to the rater, those in the buffer among them
        self._decided = Decisions()
        self._return_skipped = return_skipped
        self._restricted_to = None if pairs is None else f"pairs given at the start: {len(self._candidates):,}"
        self._n_synced = 0
        self._n_foreign = 0
        self._elsewhere: dict[Key, bool] = {}  # shown by another process; whether it waits to be drawn here
        self._gold = {} if gold is None else self._candidates.verdicts(check_judgments(gold))
        self._gold_share = checked_share(gold_share, "gold_share") if self._gold else 0.0
        for k in self._gold:
            self._sampler.remaining.remove(k)
        if isinstance(judgments, pd.DataFrame):
            self._take(check_judgments(judgments), rater)
        elif judgments is not None:
            self.sync(judgments)

    @property
    def dataset_id(self) -> str:
        """Name of the responses, which `VoteLog` needs."""
        return self._candidates.dataset_id

    @_locked
    def __len__(self) -> int:
        """Pairs not yet decided (swapped repeats not counted)."""
        on_their_way = sum(not key[1] and key not in self._decided for key in self._issued)
        return self._sampler.remaining.total + on_their_way + sum(self._elsewhere.values())

    def __iter__(self) -> Iterator[Pair]:
        """Yield pairs until none is left."""
        return iter(self.next_pair, None)

    @_locked
    def next_pair(self) -> Pair | None:
        """Return the next pair to show; it does not come again unless it is undone or put back.

        Returns
        -------
        Pair or None
            None when every pair is decided or handed out.
        """
        self._fill(1)
        return self._buffer.pop(0) if self._buffer else None

    @_locked
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

    @_locked
    def put_back(self, pair: Pair) -> None:
        """Make a pair that was handed out and not decided the next one again.

        Parameters
        ----------
        pair : Pair
            From `next_pair`.
        """
        if pair in self._issued.values() and pair not in self._buffer:
            self._buffer.insert(0, pair)

    @_locked
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
        for pair in self._issued.values():
            if pair.pair_id == pair_id:
                return pair
        if pair_id in self._decided.by_pair_id:
            key = self._decided.by_pair_id[pair_id]
            return self._as_decided(key[0], self._decided[key])
        if pair_id not in self._candidates.by_pair_id:
            return None
        k, first_on_left = self._candidates.by_pair_id[pair_id]
        original = self._decided.get((k, False))
        how = {"side_seed": int(not first_on_left), "repeat_of": original["pair_id"] if original else None}
        return self._pair(k, first_on_left, chosen_by="asked", **how)

    @_locked
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
        elif kind == "undo" and record["undoes"] in self._decided.by_nonce:
            self._reopen(self._decided.by_nonce.pop(record["undoes"]))

    @_locked
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

    @_locked
    def restrict(self, pairs: pd.DataFrame | None, reason: str = "a selection") -> NDArray[np.bool_]:
        """Show only some pairs from now on, or all again; what is prefetched goes back.

        Parameters
        ----------
        pairs : DataFrame of shape (n_rows, n_columns) or None
            ``prompt_id``, and ``model_a, model_b`` if only those are to be compared; None lifts the restriction.
        reason : str, default 'a selection'
            Goes into every record as ``restricted_to``. Propensities are then those within the restriction.

        Returns
        -------
        ndarray of bool of shape (n_rows,)
            Rows that the queue has a pair for: both responses are there, and differ.
        """
        every = np.ones(len(self._candidates), dtype=bool)
        allowed, found = (every, every[:0]) if pairs is None else self._candidates.selected(pairs)
        for key in [key for key, pair in self._issued.items() if pair in self._buffer]:
            self._withdraw(key)
            if not key[1] and key[0] not in self._gold and key not in self._decided:
                self._sampler.remaining.put_back(key[0])
        self._sampler.remaining.restrict(allowed)
        self._restricted_to = None if pairs is None else reason
        self._decided.recount(allowed)
        return found

    @_locked
    def earlier(self) -> list[dict[str, Any]]:
        """Return the votes and skips that count, the oldest first: to look at one again, and to change it.

        Returns
        -------
        list of dict
            Records, as the log holds them.
        """
        return [dict(record) for record in self._decided.values()]

    @_locked
    def undone(self, pair_id: str) -> dict[str, Any] | None:
        """Return the decision on a pair that was taken back, None if there was none or a new one counts.

        Parameters
        ----------
        pair_id : str
            As in `find`.

        Returns
        -------
        dict or None
            A record, whose note can be offered again.
        """
        return self._decided.undone.get(pair_id)

    @_locked
    def standing(self, pair: Pair) -> dict[str, Any] | None:
        """Return the vote or skip that counts on a pair, whatever its sides; None if it is open.

        Parameters
        ----------
        pair : Pair
            From this queue.

        Returns
        -------
        dict or None
            A record.
        """
        k = self._candidates.find(pair.prompt_id, pair.model_left, pair.model_right)
        return None if k is None else self._decided.get((k, pair.repeat_of is not None))

    @_locked
    def leave_to_others(self, showings: Iterable[Any]) -> None:
        """Pass over what other processes show, from `Shown.others`, until they show something else.

        Parameters
        ----------
        showings : iterable of (prompt_id, model_a, model_b, whether it is a repeat)
            All of them, each time.
        """
        found = ((self._candidates.find(*names), bool(repeat)) for *names, repeat in showings)
        keys = {(k, repeat) for k, repeat in found if k is not None}
        for key, waits in list(self._elsewhere.items()):
            if key not in keys:
                del self._elsewhere[key]
                if waits:
                    self._sampler.remaining.give(key[0])
        for key in keys:
            issued = self._issued.get(key)
            if issued in self._buffer:
                self._withdraw(key)
            if key not in self._elsewhere:
                fresh = not key[1] and key not in self._decided and key[0] not in self._gold
                self._elsewhere[key] = fresh and (self._sampler.remaining.remove(key[0]) or issued is not None)

    @_locked
    def showings(self) -> list[tuple[Any, str, str, bool]]:
        """Return what is on its way to the rater, as `leave_to_others` of another process takes it.

        Returns
        -------
        list of (prompt_id, model_a, model_b, whether it is a repeat)
            Those prefetched among them.
        """
        return [(p.prompt_id, p.model_left, p.model_right, key[1]) for key, p in self._issued.items()]

    @_locked
    def gold_hits(self) -> tuple[int, int]:
        """Return on how many gold pairs the rater gave the known verdict, and how many were decided.

        Returns
        -------
        n_hits, n_decided : int
            Skips not counted.
        """
        votes = [(known, self._decided[k, False]) for k, known in self._gold.items() if (k, False) in self._decided]
        votes = [(known, record) for known, record in votes if record["type"] == "vote"]
        return sum(verdict_of(record) == known for known, record in votes), len(votes)

    @_locked
    def progress(self) -> Progress:
        """Return how far the rater is.

        Returns
        -------
        Progress
            Counts.
        """
        return Progress(
            n_votes=self._decided.n_votes,
            n_skipped=self._decided.n_skipped,
            n_repeats=self._decided.n_repeats,
            n_pairs=self._sampler.remaining.n_allowed,
            n_left=len(self),
            n_missing=self._candidates.n_missing,
            n_identical=self._candidates.n_identical,
            n_foreign=self._n_foreign,
            by_intent=dict(zip(self._candidates.groups, self._sampler.votes_by_group.tolist(), strict=True)),
            restricted_to=self._restricted_to,
            n_to_return=sum(map(self._allowed, self._to_return())),
        )

    def _fill(self, n: int) -> None:
        while len(self._buffer) < n:
            if (key := self._returning()) is not None:
                self._buffer.append(self._issue(key[0], self._as_decided(key[0], self._decided[key])))
            elif self._sampler.remaining.total:
                self._buffer.append(self._draw())
            else:
                break

    def _returning(self) -> Key | None:
        """Return the pair that was skipped long enough ago to come back, or because nothing else is left."""
        for key, when in self._to_return().items():
            if len(self._decided) + len(self._buffer) < when + _SKIP_GAP and self._sampler.remaining.total:
                break
            if key not in self._issued and key not in self._elsewhere and self._allowed(key):
                return key
        return None

    def _to_return(self) -> dict[Key, int]:
        return self._decided.skips if self._return_skipped else {}

    def _allowed(self, key: Key) -> bool:
        return bool(self._sampler.remaining.allowed[key[0]])

    def _draw(self) -> Pair:
        n_seen = len(self._decided) + sum(key not in self._decided for key in self._issued)
        rng = np.random.default_rng([*self._seed, n_seen])
        gold = self._gold_left() if self._gold_share else []
        share = self._gold_share if gold else 0.0
        if gold and rng.random() < share:
            k, side_seed = gold[int(rng.integers(len(gold)))], int(rng.integers(2**52))
            how = {"side_seed": side_seed, "propensity": share / len(gold), "chosen_by": "gold"}
            return self._issue(k, self._pair(k, side_seed % 2 == 0, **how, restricted_to=self._restricted_to))
        return self._draw_other(rng, 1.0 - share)

    def _gold_left(self) -> list[int]:
        taken = self._decided.keys() | self._issued.keys() | self._elsewhere.keys()
        return [k for k in self._gold if (k, False) not in taken and self._allowed((k, False))]

    def _draw_other(self, rng: np.random.Generator, chance: float) -> Pair:
        """Draw a repeat, or else by the strategy; `chance` that it came to this."""
        old = self._repeatable() if self._repeat_share else []
        share = self._repeat_share if old else 0.0
        how: dict[str, Any]
        if rng.random() < share:
            k = old[int(rng.integers(len(old)))]
            record = self._decided[k, False]
            first_on_left = not self._candidates.first_on_left(k, record["model_a"])
            how = {"side_seed": _side_seed(record) ^ 1, "repeat_of": record["pair_id"], "chosen_by": "repeat"}
            how["propensity"] = chance * share / len(old)
        else:
            k, how = self._sampler.draw(rng)
            first_on_left = how["side_seed"] % 2 == 0
            how["propensity"] *= chance * (1.0 - share)
        return self._issue(k, self._pair(k, first_on_left, **how, restricted_to=self._restricted_to))

    def _repeatable(self) -> list[int]:
        """Votes that could come again with sides swapped."""
        old, remaining = self._decided.repeatable(), self._sampler.remaining
        if remaining.n_allowed == len(self._candidates) and not self._elsewhere:  # then no need to look at each
            return old
        return [k for k in old if remaining.allowed[k] and (k, True) not in self._elsewhere]

    def _pair(self, k: int, first_on_left: bool, **how: Any) -> Pair:
        """Return candidate `k` with its texts, on these sides; `how` it was drawn."""
        c = self._candidates
        prompt, sides = c.prompt[k], (int(c.first[k]), int(c.second[k]))
        left, right = sides if first_on_left else sides[::-1]
        return Pair(
            pair_id=c.pair_id(k, first_on_left),
            prompt_id=c.prompt_ids[prompt],
            prompt=c.prompts[prompt],
            left=c.texts[prompt, left],
            right=c.texts[prompt, right],
            model_left=c.models[left],
            model_right=c.models[right],
            intent=c.groups[c.group_of[prompt]],
            **how,
        )

    def _as_decided(self, k: int, record: Record) -> Pair:
        """Return the pair of a decision, as it was shown."""
        how = {name: record.get(name) for name in ("propensity", "repeat_of", "restricted_to")}
        how |= {"side_seed": _side_seed(record), "chosen_by": str(record.get("chosen_by"))}
        return self._pair(k, self._candidates.first_on_left(k, record["model_a"]), **how)

    def _issue(self, k: int, pair: Pair) -> Pair:
        """Note that a pair is on its way to the rater."""
        self._issued[k, pair.repeat_of is not None] = pair
        if pair.repeat_of is None:
            self._sampler.take(k)
        else:
            self._decided.once.pop(k, None)
        return pair

    def _withdraw(self, key: Key) -> None:
        """Note that a pair is no longer on its way."""
        if (pair := self._issued.pop(key, None)) is None:
            return
        self._buffer = [other for other in self._buffer if other.pair_id != pair.pair_id]
        if pair.repeat_of is None:
            self._sampler.expect(key[0], -1.0)
        elif key not in self._decided:
            self._decided.may_repeat(key[0])

    def _decide(self, record: Record) -> None:
        k = self._candidates.find(record["prompt_id"], record.get("model_a"), record.get("model_b"))
        if k is None:
            self._n_foreign += 1
            return
        key = (k, record.get("repeat_of") is not None)
        if key in self._decided:
            return
        self._withdraw(key)
        allowed, repeat_issued = self._allowed(key), (k, True) in self._issued
        self._decided.add(key, record, allowed=allowed, repeat_issued=repeat_issued)
        if key in self._elsewhere:
            self._elsewhere[key] = False
        if not key[1]:
            self._sampler.remaining.remove(k)
            self._sampler.count(k, record)

    def _reopen(self, key: Key) -> None:
        self._withdraw(key)  # a skipped pair may be on its way back
        record = self._decided.take_back(key, allowed=self._allowed(key))
        if not key[1]:
            self._sampler.count(key[0], record, weight=-1.0)
            self._withdraw((key[0], True))
        self._buffer.insert(0, self._issue(key[0], self._as_decided(key[0], record)))

    def _take(self, judgments: pd.DataFrame, rater: str | None) -> None:
        for row in judgments.to_dict("records"):
            k = self._candidates.find(row["prompt_id"], row["model_a"], row["model_b"])
            if k is None:
                self._n_foreign += 1
                continue
            self._sampler.count(k, row)
            if rater is None or row.get("judge", rater) == rater:
                self._sampler.remaining.remove(k)


def verdict_of(record: Mapping[str, Any]) -> str:
    """Return who won, by name, or 'tie' or 'both_bad'."""
    return str(record[record["winner"]] if record["winner"] in ("model_a", "model_b") else record["winner"])


def _side_seed(record: Record) -> int:
    return int(record.get("side_seed") or 0)
