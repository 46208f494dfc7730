"""Two responses side by side, and a verdict: the widget over `PairQueue` and `VoteLog`."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import traitlets
from numpy.typing import NDArray

from routerlab.labeling import Pair, PairQueue, StaleVote, Standings, VoteLog, standings, to_judgments, votes_needed
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
    "diff": "d", "lock": "l", "fold": "f", "ratings": "g", "help": "?",
}  # fmt: skip
SAID = {"left": "A is better", "right": "B is better", "tie": "Tie", "both_bad": "Both bad"}
_ALL = "Every pair is decided.", "Your votes are in comparator.judgments: rate(comparator.judgments)."
_SELECTED = "Every pair of the selection is decided.", "Clear the selection to go on with the others."
_NONE = "The selection holds no pair to compare.", "Select another part, or clear the selection."
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
        How many pairs to decide in all; progress is shown against it. By default, all.
    reveal : bool, default False
        Name the models after each vote, with tokens, latency and cost. Repeats of that pair are then no longer blind.
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
        ``strategy``, ``random_share``, ``repeat_share``, ``pairs``: see `PairQueue`.

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
        self.queue = PairQueue(responses, prompts, judgments=judgments, by=by, rater=rater, random_state=seed, **queue)
        vote_log = open_log(log, rater, self.queue.dataset_id, "PairComparator")
        self._earlier = judgments
        self._details = _details(responses) if reveal else None
        self._goal = goal
        self._images = images
        self._selected = False
        self._last: dict[str, Any] | None = None
        super().__init__(vote_log, keys, KEYS, height=height, guidelines=guidelines)
        self._notices += _left_out(self.queue, vote_log)
        self._show()
        self._show_ratings()

    def __repr__(self) -> str:
        log = self.vote_log
        return f"PairComparator(rater={log.rater!r}, {log.n_votes} votes, {len(self.queue)} pairs left)"

    @property
    def judgments(self) -> pd.DataFrame:
        """The votes that count, as a judgments table for `rate` and the rest of routerlab."""
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
        self.queue.sync(self.vote_log)
        found = self.queue.restrict(pairs, reason)
        self._selected = pairs is not None
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
        nonce, note, seconds = content["nonce"], content.get("note"), content.get("seconds")
        if content["type"] == "skip":
            record, said = pair.skip(nonce=nonce, note=note), "Skipped"
        else:
            record, said = (
                pair.vote(content["choice"], nonce=nonce, note=note, seconds=seconds),
                SAID[content["choice"]],
            )
        self.vote_log.append(record)
        words = " and ".join(f"{side} {n_words(text):,}" for side, text in (("A", pair.left), ("B", pair.right)))
        text = f"Saved: {said}" + (", with your note" if note else "")
        self._last = {"text": text, "words": f"Words: {words}", "reveal": self._reveal(pair)}

    def _undo(self, nonce: str) -> None:
        self.vote_log.undo(nonce=nonce)
        self._last = {"text": "Undone: decide again"}

    def _reveal(self, pair: Pair) -> list[dict[str, str]]:
        if self._details is None:
            return []
        sides = (("A", pair.model_left), ("B", pair.model_right))
        return [{"side": s, "model": m, "detail": self._details.get((pair.prompt_id, m), "")} for s, m in sides]

    def _show(self, error: str | None = None) -> None:
        self.queue.sync(self.vote_log)  # another kernel may have written to it as well
        super()._show(error)
        if self.panel.get("open"):
            self._show_ratings()

    def _answer(self, content: dict[str, Any]) -> None:
        if content["type"] == "panel":
            self.panel = {**self.panel, "open": bool(content["open"])}
            self._show_ratings()
        elif content["type"] == "view":
            pair = self._pair(str(content["id"]))
            self.send({**content, **_view(pair, content["mode"], bool(content.get("full")), self._images)})

    def _upcoming(self) -> list[tuple[str, Any]]:
        return [(pair.pair_id, pair) for pair in self.queue.peek(3)]

    def _card(self, item: Pair) -> dict[str, Any]:
        prompt = show_prompt(item.prompt, images=self._images).payload()
        sides = {side: show_markdown(getattr(item, side), images=self._images).payload() for side in ("left", "right")}
        intent = None if item.intent is None else str(item.intent).replace("_", " ")
        return {"prompt": prompt, "intent": intent, **sides}

    def _status(self) -> dict[str, Any]:
        progress = self.queue.progress()
        done = progress.n_votes + progress.n_skipped
        total = done + progress.n_left
        finished = _ALL if not self._selected else _SELECTED if total else _NONE
        if self._goal is not None and not self._selected:
            total = max(self._goal, done)
        return {
            "done": done,
            "total": total,
            "selected": self._selected,
            "last": self._last,
            "can_undo": self.vote_log.can_undo,
            "finished": dict(zip(("title", "text"), finished, strict=True)),
        }

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
