"""Two responses side by side, and a verdict: the widget over `PairQueue` and `VoteLog`."""

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import traitlets
from numpy.typing import NDArray

from routerlab.exceptions import ParameterError
from routerlab.labeling import (
    LogError,
    Pair,
    PairQueue,
    StaleVote,
    Standings,
    VoteLog,
    standings,
    to_judgments,
    votes_needed,
)
from routerlab.schema import TableError
from routerlab.widgets._chat import as_text
from routerlab.widgets._labeler import Labeler, open_log, source
from routerlab.widgets._render import (
    n_words,
    show_difference,
    show_markdown,
    show_plain,
    show_prompt,
    show_whole,
    whole_prompt,
)

KEYS = {
    "left": "1", "right": "2", "tie": "3", "both_bad": "4", "skip": "s", "undo": "u", "note": "n", "raw": "r",
    "diff": "d", "lock": "l", "fold": "f", "back": "b", "onward": ".", "away": "i", "ratings": "g", "help": "?",
}  # fmt: skip
_LATER = ("back", "onward", "away")  # not in 0.1.0: a key that the caller gives to another action is not theirs
SAID = {"left": "A is better", "right": "B is better", "tie": "Tie", "both_bad": "Both bad"}
_SIDES = {"model_a": "left", "model_b": "right", "tie": "tie", "both_bad": "both_bad"}
_ALL = "Thank you: every pair is decided.", "Your votes are saved. You can close this page."
_OTHERS = "No pair is left for this page.", "The last ones are shown in another page of yours."
_SELECTED = "Every pair of the selection is decided.", "Clear the selection to go on with the others."
_NONE = "The selection holds no pair to compare.", "Select another part, or clear the selection."
_MAX_CRITERIA = 5
_STRENGTHS = {"-2": "model_a", "-1": "model_a", "0": "tie", "1": "model_b", "2": "model_b"}
_MIN_GOLD = 3
_MAX_WHOLE = 2_000_000


class PairComparator(Labeler):
    """Label pairs of responses side by side, blind, and keep every vote.

    Show it as the last line of a cell. A vote is on the disk before the next pair appears. Which model wrote
    what is not in the page until after the vote, and then only with ``reveal=True``.

    Parameters
    ----------
    responses : DataFrame
        ``prompt_id``, ``model``, ``response``; optional ``output_tokens``, ``latency_s`` and ``cost_usd`` for `reveal`.
        A response is markdown or a list of messages, and so is shown turn by turn.
    prompts : DataFrame, optional
        ``prompt_id``, ``prompt``: text, or a list of messages (dicts with ``role`` and ``content``).
    log : str, Path or VoteLog
        Where votes go: a file, a folder (one file for each rater), or a log that is open.
    rater : str, optional
        Who votes; not needed with a `VoteLog`.
    judgments : DataFrame, optional
        Votes given already, by others or a judge: they inform the choice of pairs and the ratings panel.
    by : str or Series, optional
        Intent of each prompt, as in `PairQueue`; shown next to the prompt.
    goal : int, optional
        How many pairs to decide; then the page thanks the rater, who may go on with as many again. By default, all.
    reveal : bool, default False
        Name the models after each vote, with tokens, latency and cost, as the *last* pair's. Repeats of that pair are
        then no longer blind.
    ratings : bool, default False
        Offer the panel of ratings so far (key ``g``), which names the models. Off for raters, whom it would tell what
        leads; on for the owner of the data. `standings` is there either way.
    criteria : list or mapping, optional
        Up to five questions asked of each pair besides the verdict, each A / B / tie, or with
        ``{"accuracy": "verdict", "style": "strength"}`` in five steps from A much better to B much better. Answers are
        optional, and come as columns of `judgments`; ``to_judgments(comparator.vote_log, criterion="style")`` has
        them in the place of the verdicts, for `rate` and the rest of routerlab.
    gold_threshold : float, default 0.7
        Share of gold pairs (see ``gold`` in `PairQueue`) below which the rater is warned, from the third on.
    keys : mapping, optional
        Remaps keys, such as ``{"left": "a", "right": "b"}``; '' takes a key away, None turns all off.
    height : int, default 440
        Largest height of a response, in pixels.
    guidelines : str, optional
        Markdown for raters, in a panel above the first prompt that folds.
    images : bool, default False
        Show images that a text holds itself, as data URIs. Images elsewhere are never loaded.
    random_state : int, optional
        Seed of the queue. By default it follows from rater and responses, and so is the same after a restart.
    **queue
        ``strategy``, ``random_share``, ``repeat_share``, ``pairs``, ``gold``, ``gold_share``,
        ``return_skipped`` (here True): see `PairQueue`.

    Attributes
    ----------
    vote_log : VoteLog
        The rater's log.
    queue : PairQueue
        What picks the pairs.

    Raises
    ------
    TableError
        No pair to compare.
    LogError
        The log is another rater's, about other responses, from a newer version, or cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> rows = [("p1", "big", "Paris."), ("p1", "small", "Lyon."), ("p2", "big", "4"), ("p2", "small", "5")]
    >>> responses = pd.DataFrame(rows, columns=["prompt_id", "model", "response"])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     comparator = PairComparator(responses, log=folder, rater="ana")
    >>> comparator
    PairComparator(rater='ana', 0 votes, 2 pairs left)
    """

    _esm = source("comparator.js")
    height = traitlets.Int(440).tag(sync=True)
    panel = traitlets.Dict().tag(sync=True)
    criteria: traitlets.List[dict[str, str]] = traitlets.List().tag(sync=True)
    ratings = traitlets.Bool().tag(sync=True)

    def __init__(
        self,
        responses: pd.DataFrame,
        prompts: pd.DataFrame | None = None,
        *,
        log: str | Path | VoteLog,
        rater: str | None = None,
        judgments: pd.DataFrame | None = None,
        by: str | pd.Series | None = None,
        goal: int | None = None,
        reveal: bool = False,
        ratings: bool = False,
        criteria: Iterable[str] | Mapping[str, Literal["verdict", "strength"]] | None = None,
        gold_threshold: float = 0.7,
        keys: Mapping[str, str] | None = {},  # noqa: B006
        height: int = 440,
        guidelines: str | None = None,
        images: bool = False,
        random_state: int | None = None,
        **queue: Any,
    ) -> None:
        rater = log.rater if isinstance(log, VoteLog) else rater
        responses, prompts = as_text(responses, "response"), as_text(prompts, "prompt")
        seed = _seed(rater or "") if random_state is None else random_state
        self.queue = PairQueue(
            responses,
            prompts,
            judgments=judgments,
            by=by,
            rater=rater,
            random_state=seed,
            **{"return_skipped": True, **queue},
        )
        vote_log = open_log(log, rater, self.queue.dataset_id, "PairComparator")
        self._earlier = judgments
        self._details = _details(responses) if reveal else None
        self._goal, self._batch = goal, goal
        self._images = images
        self._gold_threshold = gold_threshold
        self._selected = False
        self._reviewed_nonce: str | None = None  # of the earlier decision that is looked at again
        self._last: dict[str, Any] | None = None
        theirs = set((keys or {}).values())
        defaults = {name: "" if name in _LATER and key in theirs else key for name, key in KEYS.items()}
        traits = {"criteria": _criteria(criteria), "ratings": ratings}
        super().__init__(vote_log, keys, defaults, height=height, guidelines=guidelines, **traits)
        self._notices += _left_out(self.queue, vote_log)
        self._show()
        self._show_ratings()

    def __repr__(self) -> str:
        log = self.vote_log
        return f"PairComparator(rater={log.rater!r}, {log.n_votes} votes, {len(self.queue)} pairs left)"

    @property
    def judgments(self) -> pd.DataFrame:
        """The votes that count, as a judgments table for `rate` and the rest of routerlab."""
        with self._lock:
            return to_judgments(self.vote_log)

    def standings(self, *, confidence: float = 0.95) -> Standings:
        """Rate the models from the votes so far, and from the `judgments` given at the start.

        Parameters
        ----------
        confidence : float, default 0.95
            Nominal coverage of each interval.

        Returns
        -------
        Standings
            See `routerlab.labeling.standings`: its intervals hold although earlier votes chose the later pairs.
        """
        tables = [table for table in (self._earlier, self.judgments) if table is not None and len(table)]
        joined = pd.concat(tables, ignore_index=True) if tables else self.judgments
        return standings(joined, confidence=confidence)

    def restrict(self, pairs: pd.DataFrame | None, reason: str = "a selection") -> NDArray[np.bool_]:
        """Show only some pairs from now on, or all again: see `PairQueue.restrict`.

        Parameters
        ----------
        pairs, reason
            As there. The reason is logged and not shown: it may name models.

        Returns
        -------
        ndarray of bool of shape (n_rows,)
            Rows for which there is a pair to show.
        """
        with self._lock:
            self.queue.sync(self.vote_log)
            found = self.queue.restrict(pairs, reason)
            self._selected = pairs is not None
            self._reviewed_nonce = None
            self._show()
            return found

    def _pair(self, pair_id: str) -> Pair:
        pair = next((p for p in self.queue.peek(3) if p.pair_id == pair_id), None) or self.queue.find(pair_id)
        if pair is None:
            msg = f"A decision on pair {pair_id} was refused: these responses have no such pair."
            raise StaleVote(msg, recorded=False)
        return pair

    def _decide(self, content: dict[str, Any]) -> None:
        pair = self._pair(str(content["id"]))
        nonce, note = content["nonce"], content.get("note")
        standing, replaces = self.queue.standing(pair), content.get("changes")
        if replaces is None and standing is not None and standing["type"] == "skip":
            replaces = standing["nonce"]  # it came back
        more = {"active_seconds": content.get("active"), "gives_away": True if content.get("away") else None}
        if content["type"] == "skip":
            record, said = pair.skip(nonce=nonce, note=note), "Skipped"
        else:
            more |= _answers(self.criteria, content.get("criteria") or {})
            record = pair.vote(content["choice"], nonce=nonce, note=note, seconds=content.get("seconds"), **more)
            said = SAID[content["choice"]]
        # Written again by a page that missed the acknowledgement, a change is refused as recorded, by its nonce.
        self.vote_log.append(record) if replaces is None else self.vote_log.append(record, replaces=replaces)
        verb = "Changed" if content.get("changes") else "Saved"
        self._reviewed_nonce = None
        words = " and ".join(f"{side} {n_words(text):,}" for side, text in (("A", pair.left), ("B", pair.right)))
        text = f"{verb}: {said}" + (", with your note" if note else "")
        self._last = {"text": text, "words": f"{words} words", "reveal": self._reveal(pair)}

    def _undo(self, nonce: str) -> None:
        self._reviewed_nonce = None
        self.vote_log.undo(nonce=nonce)
        self._last = {"text": "Undone: decide again"}

    def _reveal(self, pair: Pair) -> list[dict[str, str]]:
        if self._details is None:
            return []
        sides = (("A", pair.model_left), ("B", pair.model_right))
        return [{"side": s, "model": m, "detail": self._details.get((pair.prompt_id, m), "")} for s, m in sides]

    def _show(self, error: str | None = None) -> None:
        with self._lock:
            error = self._catch_up() or error
            super()._show(error)
            if self.panel.get("open"):
                self._show_ratings()

    def _catch_up(self) -> str | None:
        """Read what another kernel wrote, and choose pairs that it does not show; return what went wrong."""
        with self.vote_log.choosing() as shown:
            try:
                self.vote_log.refresh()
            except LogError as error:
                return str(error)
            self.queue.sync(self.vote_log)
            self.queue.leave_to_others(shown.others())
            self.queue.peek(3)
            shown.put(self.queue.showings())
        return None

    def _look_again(self) -> None:
        before = self.queue.earlier()
        self._catch_up()
        if before != self.queue.earlier():
            self._show()

    def _answer(self, content: dict[str, Any]) -> None:
        if content["type"] == "panel" and self.ratings:
            self.panel = {"open": bool(content["open"])}
            self._show_ratings()
        elif content["type"] == "view":
            pair = self._pair(str(content["id"]))
            self.send({**content, **_view(pair, content["mode"], bool(content.get("full")), self._images)})
        elif content["type"] == "more" and self._goal is not None and self._batch is not None:
            self._goal = self.queue.progress().n_votes + self._batch
            self._show()
        elif content["type"] in ("back", "onward"):
            self._turn(-1 if content["type"] == "back" else 1)
            self._show()

    def _turn(self, step: int) -> None:
        """Look at the decision before or after the one looked at; after the latest comes the pair to decide."""
        nonces = [record["nonce"] for record in self.queue.earlier()]
        at = nonces.index(self._reviewed_nonce) if self._reviewed_nonce in nonces else len(nonces)
        at = max(0, at + step)
        self._reviewed_nonce = nonces[at] if at < len(nonces) else None

    def _reviewed(self) -> tuple[Pair, dict[str, Any], str] | None:
        """Return the earlier pair that is looked at again, the decision on it, and which it is."""
        records = self.queue.earlier() if self._reviewed_nonce else []
        for number, record in enumerate(records, 1):
            if record["nonce"] == self._reviewed_nonce and (pair := self.queue.find(record["pair_id"])):
                return pair, record, f"{number:,} of {len(records):,}"
        return None

    def _upcoming(self) -> list[tuple[str, Any]]:
        coming = [] if self._at_goal() else self.queue.peek(3)
        if earlier := self._reviewed():
            coming = [earlier[0], *coming[:2]]
        return [(pair.pair_id, pair) for pair in coming]

    def _at_goal(self) -> bool:
        return self._goal is not None and not self._selected and self.queue.progress().n_votes >= self._goal

    def _card(self, item: Pair) -> dict[str, Any]:
        prompt = show_prompt(item.prompt, images=self._images).payload()
        sides = {side: show_markdown(getattr(item, side), images=self._images).payload() for side in ("left", "right")}
        intent = None if item.intent is None else str(item.intent).replace("_", " ")
        return {"prompt": prompt, "intent": intent, **sides}

    def _status(self) -> dict[str, Any]:
        progress = self.queue.progress()
        done = progress.n_votes + progress.n_skipped - progress.n_to_return
        left = progress.n_left + progress.n_to_return
        total = done + left
        if self._goal is not None and not self._selected:
            total = max(self._goal, done)
        earlier = self._reviewed()
        return {
            "done": done,
            "total": total,
            "selected": self._selected,
            "last": self._last,
            "can_undo": self.vote_log.can_undo and earlier is None,
            "can_go_back": self.vote_log.can_undo,
            "earlier": earlier and {"number": earlier[2], "nonce": earlier[1]["nonce"]},
            "given": self._given(earlier),
            "warning": self._gold_warning(),
            "finished": self._finished(done, left),
        }

    def _given(self, earlier: tuple[Pair, dict[str, Any], str] | None) -> dict[str, Any] | None:
        """Return what the rater said on the pair shown, if it was decided before: to look at, or to say again."""
        if earlier is None:
            pair = next(iter(self.queue.peek(1)), None)
            record = pair and (self.queue.undone(pair.pair_id) or self.queue.standing(pair))
        else:
            pair, record = earlier[:2]
        if pair is None or not record:
            return None
        strength, sign = record.get("strength") or {}, {"model_a": -1, "tie": 0, "model_b": 1}
        criteria = {
            name: str(sign[winner] * int(strength[name])) if name in strength else _SIDES[winner]
            for name, winner in (record.get("criteria") or {}).items()
        }
        return {
            "id": pair.pair_id,
            "choice": earlier and _SIDES.get(record.get("winner", ""), "skip"),
            "note": record.get("note"),
            "away": bool(record.get("gives_away")),
            "criteria": criteria,
        }

    def _gold_warning(self) -> str | None:
        hits, n = self.queue.gold_hits()
        if n < _MIN_GOLD or hits >= self._gold_threshold * n:
            return None
        return (
            f"Of {n:,} pairs whose answer is known, you gave that answer on {hits:,} ({hits / n:.0%}; expected at "
            f"least {self._gold_threshold:.0%}). Please read the guidelines again, or ask who gave you this task."
        )

    def _finished(self, done: int, left: int) -> dict[str, Any]:
        if self._at_goal():
            n = self.queue.progress().n_votes
            more = min(self._batch or 0, left)
            text = f"That was the goal: {n:,} pairs are decided, and saved. You can close this page" + (
                ", or go on." if more else "."
            )
            return {"title": "Thank you!", "text": text, "more": f"Go on with {more:,} more" if more else None}
        if self._selected:
            title, text = _SELECTED if done + left else _NONE
        else:
            title, text = _OTHERS if left else _ALL
        return {"title": title, "text": text, "more": None}

    def _show_ratings(self) -> None:
        """Fill the ratings panel; its rows only if it is open, because they hold the models' names."""
        if not self.panel.get("open"):
            self.panel = {"open": False}
            return
        try:
            result = self.standings()
        except TableError as error:
            self.panel = {"open": True, "text": f"No ratings yet: {error}"}
            return
        rows = [
            {"model": r.model, "rating": r.rating, "low": r.ci_low, "high": r.ci_high, "n": int(r.n)}
            for r in result.table().itertuples()
        ]
        text = f"Points, with {100 * result.confidence:.5g}% intervals. {votes_needed(result)}."
        self.panel = {"open": True, "rows": rows, "text": text}

    def _summary(self) -> tuple[str, str]:
        progress = self.queue.progress()
        counts = f"{progress.n_votes:,} votes, {progress.n_skipped:,} skipped, {progress.n_left:,} pairs left"
        return "Which response is better?", counts


def _criteria(criteria: Iterable[str] | Mapping[str, str] | None) -> list[dict[str, str]]:
    """Check the criteria, and return name and scale of each."""
    named = dict(criteria) if isinstance(criteria, Mapping) else dict.fromkeys(criteria or [], "verdict")
    start = "The 'criteria' parameter of PairComparator "
    if isinstance(criteria, str) or not all(isinstance(name, str) and name.strip() for name in named):
        msg = f"{start}must name each criterion by text, e.g. ['accuracy', 'style']. Got {criteria!r}."
        raise ParameterError(msg)
    if len(named) > _MAX_CRITERIA:
        msg = f"{start}names {len(named)}, expected at most {_MAX_CRITERIA}: each takes a rater's time on every pair."
        raise ParameterError(msg)
    odd = {scale for scale in named.values() if scale not in ("verdict", "strength")}
    if odd:
        msg = f"{start}gives the scale {odd.pop()!r}, expected 'verdict' (A, B or tie) or 'strength' (five steps)."
        raise ParameterError(msg)
    return [{"name": name, "scale": str(scale)} for name, scale in named.items()]


def _answers(criteria: list[dict[str, str]], given: Mapping[str, str]) -> dict[str, Any]:
    """Return the fields of a record that hold the answers on criteria, of those that were answered."""
    scales = {criterion["name"]: criterion["scale"] for criterion in criteria}
    winners = {choice: winner for winner, choice in _SIDES.items() if winner != "both_bad"}
    answers = {
        name: (_STRENGTHS if scales.get(name) == "strength" else winners).get(str(value))
        for name, value in given.items()
    }
    if not scales.keys() >= answers.keys() or None in answers.values():
        msg = f"A vote was refused: it answers {dict(given)!r}, which is not among the criteria. Show the pair again."
        raise StaleVote(msg, recorded=False)
    strength = {name: abs(int(value)) for name, value in given.items() if scales[name] == "strength"}
    return {"criteria": answers or None, "strength": strength or None}


def _seed(rater: str) -> int:
    return int.from_bytes(hashlib.sha256(rater.encode("utf-8", "replace")).digest()[:6], "big")


def _view(pair: Pair, mode: Literal["markdown", "raw", "diff", "prompt"], full: bool, images: bool) -> dict[str, Any]:
    """Return what the page asks for beyond what it was sent: another view of the responses, or a text to its end."""
    if mode == "prompt":
        return {"prompt": whole_prompt(pair.prompt, images=images).payload()}
    if mode == "diff":
        left, right = show_difference(pair.left, pair.right)
    elif mode == "markdown":
        left, right = (show_whole(text, images=images) for text in (pair.left, pair.right))
    elif full:
        left, right = (show_plain(text, max_chars=_MAX_WHOLE) for text in (pair.left, pair.right))
    else:
        left, right = show_plain(pair.left), show_plain(pair.right)
    shown = {"html": mode == "diff", "left": left.payload(), "right": right.payload()}
    return {**shown, "prompt": show_plain(pair.prompt, max_chars=_MAX_WHOLE).payload()} if mode == "raw" else shown


def _details(responses: pd.DataFrame) -> dict[tuple[Any, str], str]:
    """Tokens, latency and cost of each response, as one line."""
    forms = {"output_tokens": "{:,.0f} tokens", "latency_s": "{:.1f} s", "cost_usd": "${:.5f}"}
    columns = {name: form for name, form in forms.items() if name in responses}
    table = responses.reset_index() if "prompt_id" in responses.index.names else responses
    return {
        (row["prompt_id"], str(row["model"])): " · ".join(
            f.format(row[c]) for c, f in columns.items() if pd.notna(row[c])
        )
        for row in table[["prompt_id", "model", *columns]].to_dict("records")
    }


def _left_out(queue: PairQueue, log: VoteLog) -> list[str]:
    """Say what a rater should know before starting."""
    progress = queue.progress()
    notes = []
    reasons = {"a response is missing": progress.n_missing, "both responses are the same text": progress.n_identical}
    for reason, n in reasons.items():
        if n:
            notes.append(f"{n:,} pair{' is' if n == 1 else 's are'} left out: {reason}.")
    if not log.report.clean:
        notes.append(str(log.report))
    return notes
