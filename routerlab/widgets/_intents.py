"""Give prompts an intent, with suggestions from the neighbours that have one."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from routerlab.labeling import StaleVote, VoteLog, dataset_id, label_record
from routerlab.neighbors import nearest
from routerlab.schema import check_choice, check_embeddings, check_prompts, reject, shown, unit_rows
from routerlab.widgets._chat import as_text
from routerlab.widgets._labeler import Labeler, open_log, source
from routerlab.widgets._render import whole_prompt

KEYS = {f"pick{k}": str(k) for k in range(1, 10)} | {"search": "/", "skip": "s", "undo": "u", "note": "n", "help": "?"}
_AHEAD = 60  # prompts of the table from which the next one is chosen


class IntentLabeler(Labeler):
    """Give prompts an intent by one key each, with suggestions that improve with every label.

    Labels are kept in a `VoteLog` like votes: on the disk before the next prompt appears, undoable, one file for
    each rater.

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
        self._vectors = self._embed(X) if n_neighbors else None
        self._ids = {_pair_id(prompt_id): prompt_id for prompt_id in self._prompts.index}
        self._buffer: list[Any] = []
        self._hits: list[bool] = []
        self._last: dict[str, Any] | None = None
        super().__init__(
            open_log(log, rater, _dataset_id(self._prompts), "IntentLabeler"), keys, KEYS, guidelines=guidelines
        )
        self._show()

    def __repr__(self) -> str:
        return (
            f"IntentLabeler(rater={self.vote_log.rater!r}, {len(self.labels)} labels, {len(self._open)} prompts left)"
        )

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
        shares = self._shares(np.array([self._prompts.index.get_loc(prompt_id)]))[0]
        return pd.Series(shares, index=self._intents, name="share").sort_values(ascending=False, kind="stable")

    def _embed(self, X: pd.DataFrame | None) -> Any:
        if X is None:
            from routerlab.embedding import LsaEmbedder, SurfaceFeatures, join_embeddings

            if len(self._prompts) < 3:
                return np.zeros((len(self._prompts), 1), dtype=np.float32)
            X = join_embeddings(
                LsaEmbedder(64).fit_transform(self._prompts), SurfaceFeatures().fit_transform(self._prompts)
            )
        missing = self._prompts.index.difference(X.index)
        if len(missing):
            reject("'X'", f"has no row for prompt {shown(missing)}.", "Embed all prompts.")
        # Centred, because what all prompts share makes all of them similar: sentence models' hidden layers most of all.
        vectors = unit_rows(np.asarray(check_embeddings(X.loc[self._prompts.index]), dtype=np.float32))
        return unit_rows(vectors - vectors.mean(axis=0))

    def _show(self, error: str | None = None) -> None:
        self._refresh()
        super()._show(error)

    def _refresh(self) -> None:
        """Read from the log which prompts are decided, and choose the next three."""
        labels = self._known.copy()
        given = self.vote_log.labels()
        labels.loc[given.index] = given
        self._labels = labels
        self._intents = list(dict.fromkeys([*self._intents, *given]))
        skipped = self._skipped()
        self._open = [p for p in self._prompts.index if pd.isna(labels[p]) and p not in skipped]
        still = set(self._open)
        self._buffer = [p for p in self._buffer if p in still]  # an undone prompt comes first
        while len(self._buffer) < min(3, len(self._open)):
            self._buffer.append(self._next())

    def _next(self) -> Any:
        """Choose among the next prompts of the table the one least like any that has a label, or is about to."""
        ahead = [p for p in self._open[: _AHEAD + 3] if p not in self._buffer][:_AHEAD]
        taken = self._labels.notna().to_numpy() | self._prompts.index.isin(self._buffer)
        if self._order == "table" or self._vectors is None or not taken.any():
            return ahead[0]
        rows = self._prompts.index.get_indexer(pd.Index(ahead))
        likeness, _ = nearest(self._vectors[rows], self._vectors[taken], 1)
        return ahead[int(likeness[:, 0].argmin())]

    def _skipped(self) -> set[Any]:
        counting: dict[str, Any] = {}
        for record in self.vote_log.records():
            if record["type"] == "skip":
                counting[record["nonce"]] = record["prompt_id"]
            elif record["type"] == "undo":
                counting.pop(record["undoes"], None)
        return set(counting.values())

    def _shares(self, rows: Any) -> Any:
        """Share of each intent among the labelled neighbours, of shape (n_rows, n_intents)."""
        shares = np.zeros((len(rows), len(self._intents)))
        labelled = np.nonzero(self._labels.notna().to_numpy())[0]
        if self._vectors is None or not len(labelled):
            return shares
        codes = pd.Index(self._intents).get_indexer(self._labels.iloc[labelled])
        k = min(self._n_neighbors, len(labelled))
        similarity, index = nearest(self._vectors[rows], self._vectors[labelled], k)
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
            intent = str(content["choice"]).strip()
            if not intent or (self._closed and intent not in self._intents):
                msg = f"The intent {intent!r} was refused: it is not in the list, and the list is closed."
                raise StaleVote(msg, recorded=False)
            self._hits = [*self._hits, intent in [s["intent"] for s in self._ranked(prompt_id)]][-20:]
            record, said = label_record(prompt_id, intent, nonce=nonce, judged_at=now, note=note), f"Saved: {intent}"
        self.vote_log.append(record)
        self._last = {"text": said.replace("_", " ")}

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
        done = len(self._prompts) - len(self._open) - int(self._known.notna().sum())
        finished = {"title": "Every prompt has an intent.", "text": "Your labels are in labeler.labels."}
        hint = f"Of your last {len(self._hits)}, the suggestions held {sum(self._hits)}."
        return {
            "done": done,
            "total": done + len(self._open),
            "last": self._last,
            "can_undo": done > 0,
            "finished": finished,
            "suggestions": self._ranked(self._buffer[0]) if self._buffer else [],
            "intents": self._intents,
            "open": not self._closed,
            "hint": hint if self._hits and len(self._intents) > 9 else None,
        }

    def _summary(self) -> tuple[str, str]:
        labels = self.labels
        top = ", ".join(f"{escape(str(name))} {n}" for name, n in labels.value_counts().head(8).items())
        return "What does the prompt ask for?", f"{len(labels):,} labels" + (f": {top}" if top else "")


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
        reject("'labels'", f"has prompt_id {shown(strange)}, which is not in the prompts table.", "Drop those labels.")
    known.loc[labels.index] = labels
    return known
