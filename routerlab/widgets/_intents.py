"""Give prompts an intent, with suggestions from the neighbours that have one."""

import unicodedata
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from typing import Any, Literal, Self
from uuid import uuid4

import numpy as np
import pandas as pd

from routerlab.labeling import StaleVote, VoteLog, dataset_id, label_record
from routerlab.neighbors import nearest
from routerlab.schema import check_choice, check_prompts, id_remedy, reject, shown
from routerlab.widgets._chat import as_text
from routerlab.widgets._labeler import Labeler, open_log, source
from routerlab.widgets._render import whole_prompt
from routerlab.widgets._vectors import PromptVectors

KEYS = {f"pick{k}": str(k) for k in range(1, 10)} | {"search": "/", "skip": "s", "undo": "u", "note": "n", "help": "?"}
_MOST_KNOWN = 1000  # of the labels given at the start, those that suggest: evenly over the table
_AHEAD = 60  # prompts of the table from which the next one is chosen


class IntentLabeler(Labeler):
    """Give prompts an intent by one key each, with suggestions that improve with every label.

    Labels are kept in a `VoteLog` like votes: on the disk before the next prompt appears, undoable, one file for
    each rater. A new name is confirmed first, and names much like it are pointed out.

    Parameters
    ----------
    prompts : DataFrame of shape (n_prompts, n_columns)
        ``prompt_id``, ``prompt``.
    intents : sequence of str, optional
        The intents to choose from. By default those of `labels`; new ones can be typed in either case unless `closed`.
    log : str, Path or VoteLog
        Where labels go: a file, a folder (one file for each rater), or a log that is open.
    rater : str, optional
        Who labels; not needed with a `VoteLog`.
    labels : Series, optional
        Intents known already, ``prompt_id`` -> intent: they are not asked, and they suggest.
    X : DataFrame of shape (n_prompts, n_features), optional
        Embeddings of the prompts. By default wording and form (`LsaEmbedder`, `SurfaceFeatures`), which need no model;
        ``SentenceEmbedder(layer=-2)`` suggests nearly twice as well (see Notes).
    n_neighbors : int, default 20
        Labelled neighbours that suggest.
    order : {'coverage', 'table'}, default 'coverage'
        'coverage' asks next for the prompt that is least like any labelled one, of the next 60 in the table: then
        suggestions get better sooner, but the labels so far are not a random sample. 'table' keeps the order.
    closed : bool, default False
        Whether only `intents` may be given.
    guidelines : str, optional
        Markdown for raters, in a panel above the prompt that folds.
    keys : mapping, optional
        Remaps keys, as in `PairComparator`.

    Attributes
    ----------
    vote_log : VoteLog
        The rater's log.

    Raises
    ------
    TableError
        Bad prompts, or embeddings of other prompts.
    LogError
        See `VoteLog`.

    Notes
    -----
    On the demo data (28 intents, 300 held-out prompts) the first suggestion is right for 8, 13 and 17% of prompts
    after 20, 60 and 150 labels, and for 15, 21 and 28% with ``SentenceEmbedder(layer=-2)``; chance is 4%. The intent is
    among the nine on the keys for 39, 52 and 65%, or 46, 65 and 77%; chance is 32% (benchmarks/labeling.py).

    A label that follows a suggestion is not independent of it: to measure agreement between raters, hide suggestions
    with ``n_neighbors=0``.

    Examples
    --------
    >>> import tempfile
    >>> prompts = pd.DataFrame({"prompt_id": ["p1", "p2"], "prompt": ["Poach an egg?", "Fix my SQL"]})
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     labeler = IntentLabeler(prompts, ["cooking", "code"], log=folder, rater="ana")
    >>> labeler
    IntentLabeler(rater='ana', 0 labels, 2 prompts left)
    """

    _esm = source("intents.js")

    def __init__(
        self,
        prompts: pd.DataFrame,
        intents: Sequence[str] | None = None,
        *,
        log: str | Path | VoteLog,
        rater: str | None = None,
        labels: pd.Series | None = None,
        X: pd.DataFrame | None = None,
        n_neighbors: int = 20,
        order: Literal["coverage", "table"] = "coverage",
        closed: bool = False,
        guidelines: str | None = None,
        keys: Mapping[str, str] | None = {},  # noqa: B006
    ) -> None:
        self._prompts = check_prompts(as_text(prompts, "prompt"))["prompt"]
        self._known = _known(labels, self._prompts.index)
        self._intents = list(dict.fromkeys([*(intents or []), *self._known.dropna()]))
        if not self._intents and closed:
            reject("'intents'", "is empty, and 'closed' lets nobody add one.", "Name the intents, or use closed=False.")
        check_choice(order, ("coverage", "table"), "order", "IntentLabeler")
        self._closed, self._n_neighbors, self._order = closed, n_neighbors, order
        self._vectors = PromptVectors(self._prompts, X) if n_neighbors else None
        self._places = {prompt_id: k for k, prompt_id in enumerate(self._prompts.index)}
        self._ids = {_pair_id(prompt_id): prompt_id for prompt_id in self._prompts.index}
        self._buffer: list[Any] = []
        self._decided: dict[str, dict[str, Any]] = {}  # nonce -> label or skip that counts
        self._n_read = 0
        self._hits: list[bool] = []
        self._last: dict[str, Any] | None = None
        super().__init__(
            open_log(log, rater, _dataset_id(self._prompts), "IntentLabeler"), keys, KEYS, guidelines=guidelines
        )
        self._show()

    def __repr__(self) -> str:
        return f"IntentLabeler(rater={self.vote_log.rater!r}, {len(self.labels)} labels, {self._n_open} prompts left)"

    @property
    def labels(self) -> pd.Series:
        """The labels given so far: ``prompt_id`` -> intent."""
        return self.vote_log.labels()

    def suggest(self, prompt_id: Any) -> pd.Series:
        """Return each intent's share among the prompt's labelled neighbours, the largest first.

        Parameters
        ----------
        prompt_id : str or int
            A prompt.

        Returns
        -------
        Series of shape (n_intents,)
            Shares, weighted by similarity; all zero as long as nothing is labelled.

        Raises
        ------
        TableError
            A prompt that is not in the table.

        Examples
        --------
        >>> import tempfile
        >>> prompts = pd.DataFrame({"prompt_id": ["p1", "p2"], "prompt": ["Poach an egg?", "Fix my SQL"]})
        >>> X, known = pd.DataFrame([[1, 0], [1, 1]], index=["p1", "p2"]), pd.Series({"p1": "cooking"})
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     labeler = IntentLabeler(prompts, ["code"], log=folder, rater="ana", labels=known, X=X)
        >>> labeler.suggest("p2").to_dict()
        {'cooking': 1.0, 'code': 0.0}
        """
        if prompt_id not in self._places:
            reject("'prompt_id'", f"names no prompt of the table: {prompt_id!r}.", "Take it from the prompts table.")
        shares = self._shares(np.array([self._places[prompt_id]]))[0]
        return pd.Series(shares, index=self._intents, name="share").sort_values(ascending=False, kind="stable")

    def rename(self, intent: str, to: str) -> Self:
        """Rename an intent wherever it was given; an intent that exists already takes it in.

        Parameters
        ----------
        intent, to : str
            The old name and the new one. Where `to` is in the list, the two are merged.

        Returns
        -------
        IntentLabeler
            Itself. The log keeps the labels as they were given, and a record of the change.

        Raises
        ------
        TableError
            No such intent; an empty name; a name that a closed list does not hold.

        Examples
        --------
        >>> import tempfile
        >>> prompts = pd.DataFrame({"prompt_id": ["p1", "p2"], "prompt": ["Poach an egg?", "Fix my SQL"]})
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     labeler = IntentLabeler(prompts, ["coking", "code"], log=folder, rater="a").rename("coking", "cooking")
        >>> labeler.state["intents"]
        ['cooking', 'code']
        """
        to = str(to).strip()
        if intent not in self._intents:
            reject("'intent'", f"{intent!r} is not in the list.", f"There are {shown(self._intents, 30)}.")
        if not to or (self._closed and to not in self._intents):
            why = "is empty" if not to else "is not in the list, which is closed"
            reject("'to'", f"{to!r} {why}.", "Give a name.")
        if to != intent:
            self.vote_log.append({"type": "rename", "nonce": uuid4().hex, "intent": intent, "to": to})
            self._last = {"text": f"Renamed: {intent} is {to} now".replace("_", " ")}
        self._show()
        return self

    def _show(self, error: str | None = None) -> None:
        self._refresh()
        super()._show(error)

    def _refresh(self) -> None:
        """Read from the log which prompts are decided, and choose the next three."""
        self._read_log()
        labels = self._known.to_numpy(copy=True)
        given = {r["prompt_id"]: r.get("intent") for r in self._decided.values() if r["prompt_id"] in self._places}
        places = np.array([self._places[p] for p in given], dtype=np.intp)
        labels[places] = np.array([*given.values()], dtype=object)
        self._labels = labels
        labelled = pd.notna(labels)
        # Labels given here suggest, and so many of those from the start.
        known = np.flatnonzero(self._known.notna().to_numpy())
        if len(known) > _MOST_KNOWN:
            known = known[np.linspace(0, len(known) - 1, _MOST_KNOWN).round().astype(np.intp)]
        self._suggesting = np.union1d(known, places[labelled[places]])
        self._intents = list(dict.fromkeys([*self._intents, *(i for i in given.values() if i is not None)]))
        waiting = ~labelled
        waiting[places] = False
        self._n_open = int(waiting.sum())
        self._buffer = [p for p in self._buffer if waiting[self._places[p]]]  # an undone prompt comes first
        ahead = [self._prompts.index[k] for k in np.flatnonzero(waiting)[: _AHEAD + 3]]
        while len(self._buffer) < min(3, self._n_open):
            self._buffer.append(self._next([p for p in ahead if p not in self._buffer][:_AHEAD]))

    def _read_log(self) -> None:
        """Apply what was written since: labels and skips, what undid them, and new names."""
        for record in self.vote_log.records(self._n_read):
            self._n_read += 1
            if record["type"] in ("label", "skip"):
                self._decided[record["nonce"]] = record
            elif record["type"] == "undo":
                self._decided.pop(record["undoes"], None)
            elif record["type"] == "rename":
                old, new = record["intent"], record["to"]
                for label in self._decided.values():
                    if label.get("intent") == old:
                        label["intent"] = new
                self._known = self._known.where(self._known != old, new)
                self._intents = list(dict.fromkeys(new if name == old else name for name in self._intents))

    def _next(self, ahead: list[Any]) -> Any:
        """Choose among the next prompts of the table the one least like any that has a label, or is about to."""
        places = np.array([self._places[p] for p in self._buffer], dtype=np.intp)
        taken = np.union1d(self._suggesting, places)
        if self._order == "table" or self._vectors is None or not len(taken):
            return ahead[0]
        if not len(self._suggesting) and self._vectors.lazy:
            return ahead[0]  # the first prompts are shown at once
        rows = np.array([self._places[p] for p in ahead], dtype=np.intp)
        likeness, _ = nearest(self._vectors.rows(rows), self._vectors.rows(taken), 1)
        return ahead[int(likeness[:, 0].argmin())]

    def _shares(self, rows: Any) -> Any:
        """Share of each intent among the labelled neighbours, of shape (n_rows, n_intents)."""
        shares = np.zeros((len(rows), len(self._intents)))
        labelled = self._suggesting
        if self._vectors is None or not len(labelled):
            return shares
        codes = pd.Index(self._intents).get_indexer(self._labels[labelled])
        k = min(self._n_neighbors, len(labelled))
        similarity, index = nearest(self._vectors.rows(rows), self._vectors.rows(labelled), k)
        np.add.at(shares, (np.arange(len(rows))[:, None], codes[index]), np.maximum(similarity, 1e-3) ** 2)
        total = shares.sum(axis=1, keepdims=True)
        return np.divide(shares, total, out=np.zeros_like(shares), where=total > 0)

    def _decide(self, content: dict[str, Any]) -> None:
        prompt_id = self._ids.get(str(content["id"]))
        if prompt_id is None:
            msg = "A label was refused: these prompts have no such prompt."
            raise StaleVote(msg, recorded=False)
        nonce, note, now = content["nonce"], content.get("note"), datetime.now(UTC).isoformat(timespec="milliseconds")
        record = {"type": "skip", "nonce": nonce, "pair_id": content["id"], "prompt_id": prompt_id, "judged_at": now}
        if content["type"] == "skip":
            record, said = record | ({"note": note} if note else {}), "Skipped"
        else:
            intent = self._as_listed(str(content["choice"]).strip())
            if not intent or (self._closed and intent not in self._intents):
                msg = f"The intent {intent!r} was refused: it is not in the list, and the list is closed."
                raise StaleVote(msg, recorded=False)
            self._hits = [*self._hits, intent in [s["intent"] for s in self._ranked(prompt_id)]][-20:]
            record, said = label_record(prompt_id, intent, nonce=nonce, judged_at=now, note=note), f"Saved: {intent}"
        self.vote_log.append(record)
        self._last = {"text": said.replace("_", " ")}

    def _as_listed(self, intent: str) -> str:
        """Return the intent of the list that differs in case, spaces or hyphens only, if there is one."""
        if intent in self._intents:
            return intent
        return next((name for name in self._intents if _plain_name(name) == _plain_name(intent)), intent)

    def _answer(self, content: dict[str, Any]) -> None:
        if content.get("type") == "rename":
            self.rename(content["intent"], content["to"])

    def _undo(self, nonce: str) -> None:
        ack = self.vote_log.undo(nonce=nonce)
        self._last = {"text": "Undone: decide again"}
        undone = self._ids.get(ack.pair_id or "")
        self._buffer = [p for p in self._buffer if p != undone]
        if undone is not None:
            self._buffer = [undone, *self._buffer][:3]

    def _ranked(self, prompt_id: Any) -> list[dict[str, Any]]:
        """Nine intents at most: all in their order if they fit the keys, else the likeliest first."""
        shares = self.suggest(prompt_id)
        if len(shares) <= 9:
            shares = shares.reindex(self._intents)
        return [{"intent": name, "share": round(float(share), 3)} for name, share in shares.iloc[:9].items()]

    def _upcoming(self) -> list[tuple[str, Any]]:
        return [(_pair_id(prompt_id), prompt_id) for prompt_id in self._buffer]

    def _card(self, item: Any) -> dict[str, Any]:
        shown = whole_prompt(self._prompts[item])
        return {"prompt": shown.body, "html": shown.html, "note": shown.note}

    def _status(self) -> dict[str, Any]:
        done = len(self._prompts) - self._n_open - int(self._known.notna().sum())
        finished = {"title": "Every prompt has an intent.", "text": "Your labels are in labeler.labels."}
        hint = f"Of your last {len(self._hits)}, the suggestions held {sum(self._hits)}."
        return {
            "done": done,
            "total": done + self._n_open,
            "last": self._last,
            "can_undo": done > 0,
            "finished": finished,
            "suggestions": self._ranked(self._buffer[0]) if self._buffer else [],
            "intents": self._intents,
            "counts": self._counts(),
            "open": not self._closed,
            "hint": hint if self._hits and len(self._intents) > 9 else None,
        }

    def _counts(self) -> list[int]:
        """Count the prompts that have each intent."""
        counts = pd.Series(self._labels, dtype=object).value_counts()
        return [int(counts.get(name, 0)) for name in self._intents]

    def _summary(self) -> tuple[str, str]:
        labels = self.labels
        top = ", ".join(f"{escape(str(name))} {n}" for name, n in labels.value_counts().head(8).items())
        return "What does the prompt ask for?", f"{len(labels):,} labels" + (f": {top}" if top else "")


def _plain_name(intent: str) -> str:
    """Return a name without what a hand varies: case, spaces, hyphens, width.

    Examples
    --------
    >>> _plain_name("Text-Summary ") == _plain_name("text_summary")
    True
    """
    return "".join(c for c in unicodedata.normalize("NFKC", intent).casefold() if c not in " _-\t\u00a0")


def _pair_id(prompt_id: Any) -> str:
    return str(label_record(prompt_id, "", nonce="", judged_at="")["pair_id"])


def _dataset_id(prompts: pd.Series) -> str:
    return dataset_id(pd.DataFrame({"prompt_id": prompts.index, "model": "prompt", "response": prompts.to_numpy()}))


def _known(labels: pd.Series | None, index: pd.Index) -> pd.Series:
    known = pd.Series(None, index=index, dtype=object, name="intent")
    if labels is None:
        return known
    strange = labels.index.difference(index)
    if len(strange):
        remedy = id_remedy(strange, index, ("'labels'", "the prompts table"), "Drop those labels.")
        reject("'labels'", f"has prompt_id {shown(strange)}, which is not in the prompts table.", remedy)
    known.loc[labels.index] = labels
    return known
