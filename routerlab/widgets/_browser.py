"""Look back at judgments: filter them, read the pair, see who said what."""

import base64
import hashlib
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
import traitlets
from numpy.typing import NDArray

from routerlab.jsonl import replace_file
from routerlab.markup import MATHJAX_OFF, visible
from routerlab.schema import WINNERS, check_judgments, check_prompts, check_responses, provenance_of, reject
from routerlab.widgets._chat import as_text, gist
from routerlab.widgets._labeler import CELL, Asker, boxed, source, style
from routerlab.widgets._render import show_whole, whole_prompt
from routerlab.widgets._slices import win_rates

_PER_PAGE = 50
_SNIPPET = 110
_SUMMARY_PAIRS = 5
OWN = ["_entry", "_pair", "_first", "_second", "_verdict", "_split", "_changed", "_tally", "_intent"]  # columns added
_SLICES = {"intent": ("Intent", "_intent"), "pair": ("Models", "_pair"), "judge": ("Judge", "judge")}
_FLIPPED = {"model_a": "model_b", "model_b": "model_a"}
# Shows the entries whose text contains what is typed.
_SCRIPT = (
    "const box=document.querySelector('input'),all=[...document.querySelectorAll('details')];"
    "box.addEventListener('input',()=>{const words=box.value.toLowerCase();"
    "for(const entry of all)entry.hidden=!entry.textContent.toLowerCase().includes(words)});"
)


class JudgmentBrowser(Asker):
    """Look back at judgments by intent, pair of models, judge or disagreement, and read the responses.

    All judgments of one prompt and two models are one entry, whichever side each model stood on. Above them stand the
    models' win rates in each intent, pair of models or judge.

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
    images : bool, default False
        Show images that a text holds itself, as data URIs. Images elsewhere are never loaded.

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
        images: bool = False,
    ) -> None:
        responses, prompts = as_text(responses, "response"), as_text(prompts, "prompt")
        self._images = images
        self._votes = entries(check_judgments(judgments), intents_of(by, prompts))
        self._provenance = provenance_of(judgments, responses)
        self._texts = texts_of(responses)
        self._prompts = None if prompts is None else check_prompts(prompts)["prompt"].to_dict()
        self._entries = self._votes.drop_duplicates("_entry").set_index("_entry")
        self._filters: dict[str, Any] = {}  # the one place where they stand: the page shows what it is told
        self._within: pd.Series | None = None
        self._choices = choices_of(self._votes)
        self._by = "intent" if "intent" in self._choices else None
        options = {
            name: {"label": _SLICES[name][0], "values": [str(v) for v in values]}
            for name, values in self._choices.items()
        }
        super().__init__(options=options, height=height)
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
    ) -> Self:
        """Select judgments, in place of whatever was selected before; the widget on the screen follows.

        Parameters
        ----------
        intent, judge : str, optional
            Only this intent; only pairs that this judge judged.
        models : tuple of two str, optional
            Only these two models, in either order.
        disagreement : bool, default False
            Only pairs on which judges differ; with `judge`, those on which they differ from another. What one judge
            said of a swapped repeat counts once: see "changed mind" in the list.
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
        self._select()
        return self

    def restrict(self, pairs: pd.DataFrame | None, reason: str = "a selection") -> NDArray[np.bool_]:
        """Look at some pairs only from now on, whatever the filters; None lifts the restriction.

        Parameters
        ----------
        pairs : DataFrame of shape (n_rows, n_columns) or None
            ``prompt_id``, and ``model_a, model_b`` (in either order) if only those matter.
        reason : str, default 'a selection'
            Not used here; `PairComparator.restrict` logs it.

        Returns
        -------
        ndarray of bool of shape (n_rows,)
            Rows that have judgments.
        """
        self._within, found = (None, np.empty(0, dtype=bool)) if pairs is None else within(self._votes, pairs)
        self._select()
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
        document = self._document(max_pairs)
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

    def _handle(self, content: Mapping[str, Any]) -> None:
        kind = content["type"]
        if kind == "filter":
            self._change(content)
            self._select()
        elif kind == "slice":
            self._by = content["by"] if content["by"] in self._choices else None
            self._select(self.found["page"])
        elif kind == "page":
            self._show(int(content["page"]))
        elif kind == "open":
            self.detail = self._open(int(content["id"]))

    def _change(self, content: Mapping[str, Any]) -> None:
        """Change the filters that the page names, and no others."""
        changed: dict[str, Any] = dict.fromkeys(self._filters if content.get("clear") else ())
        chosen = content.get("filters", {}).items()
        changed |= {name: None if i == "" else self._choices[name][int(i)] for name, i in chosen}
        changed |= {name: content[name] or None for name in ("split", "text", "prompt_ids") if name in content}
        self._filters = {name: value for name, value in {**self._filters, **changed}.items() if value is not None}

    def _fail(self, message: str) -> None:
        self.detail = {**self.detail, "error": message}

    def _select(self, page: int = 0) -> None:
        """Show what the filters leave, and the win rates in it."""
        table = win_rates(self._votes.loc[self._kept()], None if self._by is None else _SLICES[self._by][1])
        rows = [
            {"slice": str(r.slice), "model": str(r.model), "n": int(r.n), "rate": r.win_rate, "low": r.ci_low}
            | {"high": r.ci_high}
            for r in table.itertuples()
        ]
        self._rates = {"by": self._by or "", "rows": rows, "left_out": table.attrs["n_left_out"]}
        self._show(page)

    def _show(self, page: int) -> None:
        kept = self._votes.loc[self._kept()]
        entries = kept["_entry"].drop_duplicates().to_list()
        n_pages = -(-len(entries) // _PER_PAGE)
        page = max(0, min(page, n_pages - 1))
        items = [self._item(entry) for entry in entries[page * _PER_PAGE : (page + 1) * _PER_PAGE]]
        counts = {"page": page, "n_pages": n_pages, "n_pairs": len(entries), "n_judgments": len(kept)}
        counts["restricted"] = self._within is not None
        self.detail = self._open(int(items[0]["id"])) if items else {}
        self.found = {"items": items, **counts, "filters": self._shown_filters(), "rates": self._rates}

    def _shown_filters(self) -> dict[str, Any]:
        """Return how the page's controls stand, and in words what holds."""
        filters, stand, words = self._filters, {}, []
        for name, (label, _) in _SLICES.items():
            value, choices = filters.get(name), self._choices.get(name, [])
            stand[name] = str(choices.index(value)) if value is not None and value in choices else ""
            words += [] if value is None else [f"{label.lower()} {value}"]
        words += ["judges disagree"] if "split" in filters else []
        words += [f'prompt with "{filters["text"]}"'] if "text" in filters else []
        n_prompts = len(filters["prompt_ids"]) if "prompt_ids" in filters else None
        words += [] if n_prompts is None else [f"{n_prompts:,} chosen prompt{'' if n_prompts == 1 else 's'}"]
        return {
            "choices": stand,
            "split": "split" in filters,
            "text": str(filters.get("text", "")),
            "words": [visible(word)[0] for word in words],
            "prompts": n_prompts,
        }

    def _item(self, entry: int) -> dict[str, Any]:
        row = self._entries.loc[entry]
        prompt = visible(" ".join(gist(self._prompt(row["prompt_id"]))[:400].split()))[0]
        snippet = prompt[:_SNIPPET] + ("…" if len(prompt) > _SNIPPET else "")
        return {
            "id": str(entry),
            "prompt": snippet,
            "models": f"{row['_first']} · {row['_second']}",
            "split": bool(row["_split"]),
            "changed": bool(row["_changed"]),
            "winner": self._winner(row),
        }

    def _winner(self, row: pd.Series) -> dict[str, str]:
        """Say who wins a pair: what most judges say, each of whom counts once."""
        first, second, ties, bad = row["_tally"]
        also = [f"{n} {word}" for n, word in ((ties, "tie" if ties == 1 else "ties"), (bad, "both bad")) if n]
        if first == second:
            even = ["even"] if first else []
            counts = [f"{first} : {second}"] if first else []
            return {"side": "none", "name": "", "text": ", ".join([*even, *counts, *also])}
        side, name = ("a", row["_first"]) if first > second else ("b", row["_second"])
        score = f"{max(first, second)} : {min(first, second)}"
        return {"side": side, "name": str(name), "text": ", ".join([score, *also])}

    def _open(self, entry: int) -> dict[str, Any]:
        row = self._entries.loc[entry]
        sides = []
        for model in (row["_first"], row["_second"]):
            text = self._texts.get((row["prompt_id"], model))
            shown = None if text is None else show_whole(text, images=self._images)
            body = None if shown is None else shown.as_html() or "<p><em>The response is empty.</em></p>"
            sides.append({"model": str(model), "body": body, "detail": None if shown is None else shown.note})
        prompt = whole_prompt(self._prompt(row["prompt_id"]), images=self._images)
        asked = {"prompt": prompt.body, "html": prompt.html, "note": prompt.note}
        return {"id": str(entry), **asked, "sides": sides, "verdicts": self._verdicts(entry, row)}

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

    def _summary(self) -> str:
        """Return what a saved notebook shows in place of the browser: the counts, and the first pairs."""
        selection = self.selection
        pairs = self.found["items"][:_SUMMARY_PAIRS]
        rows = "".join(
            f'<tr><td style="{CELL}">{escape(item["prompt"])}</td><td style="{CELL}">{escape(item["models"])}</td>'
            f'<td style="{CELL}">{self._said(int(item["id"]))}</td></tr>'
            for item in pairs
        )
        counts = f"{len(selection):,} judgments of {self.found['n_pairs']:,} pairs"
        note = f" {escape(self._provenance)}." if self._provenance else ""
        table = f"<table><tbody>{rows}</tbody></table>" if rows else ""
        return boxed("Judgments", f"{counts}.{note}", table, "Run this cell to browse them.")

    def _said(self, entry: int) -> str:
        return escape("; ".join(map(_plain, self._open(entry)["verdicts"])))

    def _document(self, max_pairs: int) -> str:
        """Return a whole HTML document of the selected pairs, which its own policy forbids to load anything."""
        entries = self._votes.loc[self._kept(), "_entry"].drop_duplicates().to_list()
        digest = base64.b64encode(hashlib.sha256(_SCRIPT.encode()).digest()).decode()
        policy = f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
        shown = entries[:max_pairs]
        count = f"{len(shown):,} of {len(entries):,} pairs" if len(shown) < len(entries) else f"{len(entries):,} pairs"
        note = f'<div class="rl-notice">{escape(self._provenance)}</div>' if self._provenance else ""
        body = "\n".join(self._written(entry, first=k == 0) for k, entry in enumerate(shown))
        document = (
            f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>Judgments</title>'
            f'<meta name="viewport" content="width=device-width">'
            f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
            f"<style>{style()}\nbody{{margin:0;background:Canvas;color-scheme:light dark}}</style></head><body>"
            f'<main class="rl rl-report {MATHJAX_OFF}"><div class="rl-head"><h1 class="rl-title">Judgments</h1>'
            f'<span class="rl-count">{count}</span><span class="rl-grow"></span>'
            f'<input class="rl-input" type="search" aria-label="Filter" placeholder="Filter"></div>'
            f"{note}\n{body}\n</main><script>{_SCRIPT}</script></body></html>\n"
        )
        return visible(document)[0]

    def _written(self, entry: int, *, first: bool) -> str:
        item, shown = self._item(entry), self._open(entry)
        said = ((verdict["side"], escape(_plain(verdict))) for verdict in shown["verdicts"])
        chips = " ".join(f'<span class="rl-reveal rl-{side}">{text}</span>' for side, text in said)
        columns = "".join(
            f'<section class="rl-col rl-{side}"><div class="rl-head-model"><b>{escape(part["model"])}</b>'
            f"<small> {escape(part['detail'] or '')}</small></div>"
            f'<div class="rl-text" dir="auto">{part["body"] or "<em>No text.</em>"}</div></section>'
            for side, part in zip("ab", shown["sides"], strict=True)
        )
        note = f'<div class="rl-muted">{escape(shown["note"])}</div>' if shown["note"] else ""
        return (
            f"<details{' open' if first else ''}><summary>{escape(item['prompt'])} "
            f'<span class="rl-item-models">{escape(item["models"])}{" · split" if item["split"] else ""}</span>'
            "</summary>"
            f'<div class="rl-prompt"><b class="rl-label">Prompt</b>'
            f'<div class="rl-prompt-text{" rl-rich" if shown["html"] else ""}" dir="auto">'
            f"{shown['prompt'] if shown['html'] else escape(shown['prompt'])}</div>{note}</div>"
            f'<div class="rl-last">{chips}</div><div class="rl-cols">{columns}</div></details>'
        )


def _plain(verdict: dict[str, Any]) -> str:
    text = f"{verdict['judge']}: {verdict['said']}" if verdict["judge"] else str(verdict["said"])
    return f"{text} ({verdict['note']})" if verdict["note"] else text


def entries(votes: pd.DataFrame, intents: pd.Series | None) -> pd.DataFrame:
    """Add to each judgment its entry (prompt and two models, in either order), seen from one side."""
    frame = votes.reset_index(drop=True)
    a, b = frame["model_a"].astype(str), frame["model_b"].astype(str)
    swapped = a > b
    frame["_first"], frame["_second"] = a.where(~swapped, b), b.where(~swapped, a)
    frame["_pair"] = frame["_first"] + " · " + frame["_second"]
    frame["_verdict"] = frame["winner"].where(~swapped, frame["winner"].replace(_FLIPPED))
    frame["_entry"] = frame.groupby(["prompt_id", "_pair"], sort=False).ngroup()
    frame["_split"], frame["_changed"], frame["_tally"] = _among_judges(frame)
    own = frame["intent"] if "intent" in frame else pd.Series(None, index=frame.index, dtype=object)
    frame["_intent"] = own if intents is None else frame["prompt_id"].map(intents)
    return frame


def _among_judges(frame: pd.DataFrame) -> tuple[pd.Series, pd.Series, pd.Series]:
    """Say of each entry whether judges differ, whether one changed their mind, and how many say what.

    A judge counts once, by what they said first; a judgment without a name is a judge of its own.
    """
    named = frame["judge"] if "judge" in frame else pd.Series(None, index=frame.index, dtype=object)
    judge = named.astype(object).where(named.notna(), pd.Series(frame.index, index=frame.index).astype(object))
    later = frame["repeat_of"].notna() if "repeat_of" in frame else pd.Series(False, index=frame.index)
    said = frame.assign(_judge=judge.map(repr), _later=later).sort_values("_later", kind="stable")
    firsts = said.drop_duplicates(["_entry", "_judge"])
    counts = pd.crosstab(firsts["_entry"], firsts["_verdict"]).reindex(columns=list(WINNERS), fill_value=0)
    split = frame["_entry"].map((counts > 0).sum(axis=1) > 1)
    changed = said.groupby(["_entry", "_judge"])["_verdict"].nunique().gt(1).groupby("_entry").any()
    tally = pd.Series([tuple(row) for row in counts.to_numpy().tolist()], index=counts.index, dtype=object)
    return split.astype(bool), frame["_entry"].map(changed).astype(bool), frame["_entry"].map(tally)


def intents_of(by: str | pd.Series | None, prompts: pd.DataFrame | None) -> pd.Series | None:
    """Return the intent of each prompt, None if none was asked for."""
    if by is None or isinstance(by, pd.Series):
        return by
    table = None if prompts is None else check_prompts(prompts)
    if table is None or by not in table:
        reject("'by'", f"{by!r} is not a column of the prompts table.", "Pass prompts that have it, or a Series.")
    return table[by]


def texts_of(responses: pd.DataFrame | None) -> dict[tuple[Any, str], str]:
    """Return each response's text by (prompt_id, model)."""
    if responses is None:
        return {}
    table = check_responses(responses)
    keys = zip(table["prompt_id"], table["model"].astype(str), strict=True)
    return {key: text for key, text in zip(keys, table["response"], strict=True) if isinstance(text, str)}


def choices_of(votes: pd.DataFrame) -> dict[str, list[Any]]:
    """Return the values of each filter that has more than one."""
    columns = {"intent": "_intent", "pair": "_pair", "judge": "judge"}
    found = {name: sorted(votes[c].dropna().unique(), key=str) for name, c in columns.items() if c in votes}
    return {name: values for name, values in found.items() if len(values) > 1}


def within(votes: pd.DataFrame, pairs: pd.DataFrame) -> tuple[pd.Series, NDArray[np.bool_]]:
    """Which judgments are about `pairs` (``prompt_id``, optionally two models), and which rows of it have some."""
    if "model_a" not in pairs:
        kept, found = votes["prompt_id"].isin(pairs["prompt_id"]), pairs["prompt_id"].isin(votes["prompt_id"])
        return kept, found.to_numpy()
    a, b = pairs["model_a"].astype(str), pairs["model_b"].astype(str)
    wanted = pd.MultiIndex.from_arrays([pairs["prompt_id"], a.where(a < b, b), b.where(a < b, a)])
    judged = pd.MultiIndex.from_frame(votes[["prompt_id", "_first", "_second"]])
    return pd.Series(judged.isin(wanted), index=votes.index), wanted.isin(judged)
