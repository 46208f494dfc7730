"""Look back at judgments: filter them, read the pair, see who said what."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import anywidget
import numpy as np
import pandas as pd
import traitlets
from numpy.typing import NDArray

from routerlab.jsonl import replace_file
from routerlab.schema import check_judgments, check_prompts, provenance_of
from routerlab.widgets._labeler import source, style, with_summary
from routerlab.widgets._judged import OWN, choices_of, entries, intents_of, texts_of, within
from routerlab.widgets._render import show_markdown, visible

_PER_PAGE = 50
_SNIPPET = 110


class JudgmentBrowser(anywidget.AnyWidget):
    """Look back at judgments by intent, pair of models, judge or disagreement, and read the responses.

    All judgments of one prompt and two models are one entry, whichever side each model stood on.

    Parameters
    ----------
    judgments : DataFrame
        ``prompt_id, model_a, model_b, winner``; optional ``judge``, ``note``. See `check_judgments`.
    responses : DataFrame, optional
        ``prompt_id``, ``model``, ``response``: what was judged.
    prompts : DataFrame, optional
        ``prompt_id``, ``prompt``.
    by : str or Series, optional
        Intent of each prompt: a column of `prompts`, or ``prompt_id`` -> intent.
    height : int, default 400
        Largest height of a response, in pixels.

    Attributes
    ----------
    selection : DataFrame
        The judgments that the filters leave.

    Raises
    ------
    TableError
        Bad tables, or `by` naming no column.

    Examples
    --------
    >>> votes = pd.DataFrame(
    ...     [("p1", "x", "y", "model_a", "ana"), ("p1", "y", "x", "model_a", "ben"), ("p2", "x", "y", "tie", "ana")],
    ...     columns=["prompt_id", "model_a", "model_b", "winner", "judge"],
    ... )
    >>> browser = JudgmentBrowser(votes)
    >>> browser.filter(disagreement=True).selection["prompt_id"].tolist()
    ['p1', 'p1']
    """

    _esm = source("browser.js")
    _css = style()
    options = traitlets.Dict().tag(sync=True)
    found = traitlets.Dict().tag(sync=True)
    detail = traitlets.Dict().tag(sync=True)
    height = traitlets.Int(400).tag(sync=True)

    def __init__(
        self,
        judgments: pd.DataFrame,
        responses: pd.DataFrame | None = None,
        prompts: pd.DataFrame | None = None,
        *,
        by: str | pd.Series | None = None,
        height: int = 400,
    ) -> None:
        self._votes = entries(check_judgments(judgments), intents_of(by, prompts))
        self._provenance = provenance_of(judgments, responses)
        self._texts = texts_of(responses)
        self._prompts = None if prompts is None else check_prompts(prompts)["prompt"].to_dict()
        self._entries = self._votes.drop_duplicates("_entry").set_index("_entry")
        self._filters: dict[str, Any] = {}
        self._within: pd.Series | None = None
        self._choices = choices_of(self._votes)
        labels = {"intent": "Intent", "pair": "Models", "judge": "Judge"}
        options = {
            name: {"label": labels[name], "values": [str(v) for v in values]} for name, values in self._choices.items()
        }
        super().__init__(options=options, height=height)
        self.on_msg(self._on_message)
        self.filter()

    def __repr__(self) -> str:
        counts = f"{len(self._votes)} judgments of {len(self._entries)} pairs"
        return f"JudgmentBrowser({counts}, {len(self.selection)} selected)"

    @property
    def selection(self) -> pd.DataFrame:
        """The judgments that the filters leave, as they came."""
        return self._votes.loc[self._kept()].drop(columns=OWN)

    def filter(
        self,
        *,
        intent: str | None = None,
        models: tuple[str, str] | None = None,
        judge: str | None = None,
        disagreement: bool = False,
        text: str = "",
        prompt_ids: Any = None,
    ) -> JudgmentBrowser:
        """Select judgments, in place of whatever was selected before; the widget on the screen follows.

        Parameters
        ----------
        intent, judge : str, optional
            Only this intent; only pairs that this judge judged.
        models : tuple of two str, optional
            Only these two models, in either order.
        disagreement : bool, default False
            Only pairs on which judgments differ.
        text : str, optional
            Only prompts that contain it, upper or lower case.
        prompt_ids : sequence, optional
            Only these prompts: for example those of a region of a plot.

        Returns
        -------
        JudgmentBrowser
            Itself.

        Examples
        --------
        >>> votes = pd.DataFrame({"prompt_id": ["p1", "p2"], "model_a": "x", "model_b": "y", "winner": "tie"})
        >>> JudgmentBrowser(votes).filter(prompt_ids=["p2"])
        JudgmentBrowser(2 judgments of 2 pairs, 1 selected)
        """
        pair = None if models is None else " · ".join(sorted(map(str, models)))
        given = {"intent": intent, "pair": pair, "judge": judge, "split": disagreement or None, "text": text or None}
        self._filters = {name: value for name, value in given.items() if value is not None}
        if prompt_ids is not None:
            self._filters["prompt_ids"] = set(prompt_ids)
        self._show(0)
        return self

    def restrict(self, pairs: pd.DataFrame | None, reason: str = "a selection") -> NDArray[np.bool_]:
        """Look at some pairs only from now on, whatever the filters; None lifts the restriction.

        Parameters
        ----------
        pairs : DataFrame of shape (n_rows, n_columns) or None
            ``prompt_id``, and ``model_a, model_b`` (in either order) if only those matter.
        reason : str
            Not used here; `PairComparator.restrict` logs it.

        Returns
        -------
        ndarray of bool of shape (n_rows,)
            Rows that have judgments.
        """
        self._within, found = (None, np.empty(0, dtype=bool)) if pairs is None else within(self._votes, pairs)
        self._show(0)
        return found

    def to_html(self, path: str | Path | None = None, *, max_pairs: int = 200) -> str:
        """Write the selection as one HTML file that needs no kernel and no network.

        Parameters
        ----------
        path : str or Path, optional
            Where to write it.
        max_pairs : int, default 200
            Pairs written at most; the page says how many there are.

        Returns
        -------
        str
            The document.

        Examples
        --------
        >>> votes = pd.DataFrame({"prompt_id": ["p1"], "model_a": "x", "model_b": "y", "winner": "tie"})
        >>> JudgmentBrowser(votes).to_html().splitlines()[0]
        '<!DOCTYPE html>'
        """
        from routerlab.widgets._report import browser_report

        document = browser_report(self, max_pairs)
        if path is not None:
            replace_file(path, document.encode(errors="backslashreplace"))
        return document

    def _kept(self) -> pd.Series:
        votes, filters = self._votes, self._filters
        keep = pd.Series(True, index=votes.index) if self._within is None else self._within.copy()
        if "intent" in filters:
            keep &= votes["_intent"] == filters["intent"]
        if "pair" in filters:
            keep &= votes["_pair"] == filters["pair"]
        if "judge" in filters and "judge" in votes:
            keep &= votes["_entry"].isin(votes.loc[votes["judge"] == filters["judge"], "_entry"])
        if "split" in filters:
            keep &= votes["_split"]
        if "prompt_ids" in filters:
            keep &= votes["prompt_id"].isin(filters["prompt_ids"])
        if "text" in filters:
            words = str(filters["text"]).casefold()
            keep &= votes["prompt_id"].map(lambda p: words in self._prompt(p).casefold())
        return keep

    def _prompt(self, prompt_id: Any) -> str:
        return str(prompt_id) if self._prompts is None else self._prompts.get(prompt_id, str(prompt_id))

    def _on_message(self, _widget: Any, content: dict[str, Any], _buffers: Any) -> None:
        """Handle a message; whatever goes wrong is shown in the widget, because Jupyter would swallow it."""
        try:
            self._handle(content)
        except Exception as error:  # noqa: BLE001
            self.detail = {**self.detail, "error": f"{type(error).__name__}: {error}"}

    def _handle(self, content: Mapping[str, Any]) -> None:
        kind = content["type"]
        if kind == "filter":
            chosen = {n: self._choices[n][int(i)] for n, i in content["filters"].items() if i != ""}
            extra = {"split": content["split"] or None, "text": content["text"] or None}
            self._filters = chosen | {name: value for name, value in extra.items() if value}
            self._show(0)
        elif kind == "page":
            self._show(int(content["page"]))
        elif kind == "open":
            self.detail = self._open(int(content["id"]))

    def _show(self, page: int) -> None:
        kept = self._votes.loc[self._kept()]
        entries = kept["_entry"].drop_duplicates().to_list()
        n_pages = -(-len(entries) // _PER_PAGE)
        page = max(0, min(page, n_pages - 1))
        items = [self._item(entry) for entry in entries[page * _PER_PAGE : (page + 1) * _PER_PAGE]]
        counts = {"page": page, "n_pages": n_pages, "n_pairs": len(entries), "n_judgments": len(kept)}
        counts["restricted"] = self._within is not None
        self.detail = self._open(int(items[0]["id"])) if items else {}
        self.found = {"items": items, **counts}

    def _item(self, entry: int) -> dict[str, Any]:
        row = self._entries.loc[entry]
        prompt = visible(" ".join(self._prompt(row["prompt_id"])[:400].split()))[0]
        snippet = prompt[:_SNIPPET] + ("…" if len(prompt) > _SNIPPET else "")
        return {
            "id": str(entry),
            "prompt": snippet,
            "models": f"{row['_first']} · {row['_second']}",
            "split": bool(row["_split"]),
        }

    def _open(self, entry: int) -> dict[str, Any]:
        row = self._entries.loc[entry]
        sides = []
        for model in (row["_first"], row["_second"]):
            text = self._texts.get((row["prompt_id"], model))
            shown = None if text is None else show_markdown(text)
            body = None if shown is None else shown.body or "<p><em>The response is empty.</em></p>"
            sides.append({"model": str(model), "body": body, "detail": None if shown is None else shown.note})
        prompt = visible(self._prompt(row["prompt_id"])[:8_000])[0]
        return {"id": str(entry), "prompt": prompt, "sides": sides, "verdicts": self._verdicts(entry, row)}

    def _verdicts(self, entry: int, row: pd.Series) -> list[dict[str, Any]]:
        said = {
            "model_a": f"{row['_first']} is better",
            "model_b": f"{row['_second']} is better",
            "tie": "tie",
            "both_bad": "both bad",
        }
        side = {"model_a": "a", "model_b": "b", "tie": "none", "both_bad": "none"}
        return [
            {
                "judge": str(vote["judge"]) if pd.notna(vote.get("judge")) else None,
                "said": said[vote["_verdict"]],
                "side": side[vote["_verdict"]],
                "note": visible(str(vote["note"]))[0] if pd.notna(vote.get("note")) else None,
            }
            for vote in self._votes[self._votes["_entry"] == entry].to_dict("records")
        ]

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        """Add a static summary, which a saved notebook shows when no kernel runs."""
        from routerlab.widgets._report import browser_summary

        return with_summary(super()._repr_mimebundle_(**kwargs), browser_summary(self), repr(self))
