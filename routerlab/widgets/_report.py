"""Static HTML: what is seen where no kernel runs. Nothing in it loads or runs anything but its own filter box."""

from __future__ import annotations

import base64
import hashlib
from html import escape
from typing import TYPE_CHECKING, Any

from routerlab.widgets._labeler import style

if TYPE_CHECKING:
    from routerlab.widgets._browser import JudgmentBrowser
    from routerlab.widgets._comparator import PairComparator
    from routerlab.widgets._evidence import EvidencePlot
    from routerlab.widgets._intents import IntentLabeler

_BOX = "border:1px solid #8885;border-radius:10px;padding:12px 16px;max-width:60em;line-height:1.5"
_CELL = "padding:2px 14px 2px 0;text-align:left"
_SUMMARY_PAIRS = 5
# Shows the entries whose text contains what is typed.
_SCRIPT = (
    "const box=document.querySelector('input'),all=[...document.querySelectorAll('details')];"
    "box.addEventListener('input',()=>{const words=box.value.toLowerCase();"
    "for(const entry of all)entry.hidden=!entry.textContent.toLowerCase().includes(words)});"
)


def _boxed(title: str, *parts: str) -> str:
    return f'<div style="{_BOX}"><b>{escape(title)}</b>{"".join(f"<div>{part}</div>" for part in parts)}</div>'


def comparator_summary(widget: PairComparator) -> str:
    """Return what a saved notebook shows in place of the comparator."""
    progress = widget.queue.progress()
    counts = f"{progress.n_votes:,} votes, {progress.n_skipped:,} skipped, {progress.n_left:,} pairs left"
    return _boxed("Which response is better?", *_log_lines(widget, counts), "Run this cell to label.")


def intent_summary(widget: IntentLabeler) -> str:
    """Return what a saved notebook shows in place of the intent labeler."""
    labels = widget.labels
    top = ", ".join(f"{escape(str(name))} {n}" for name, n in labels.value_counts().head(8).items())
    lines = _log_lines(widget, f"{len(labels):,} labels" + (f": {top}" if top else ""))
    return _boxed("What does the prompt ask for?", *lines, "Run this cell to label.")


def _log_lines(widget: Any, counts: str) -> tuple[str, ...]:
    log = widget.vote_log
    return (f"Rater {escape(log.rater)}, log <code>{escape(log.path.name)}</code>. When this cell ran: {counts}.",)


def evidence_summary(widget: EvidencePlot) -> str:
    """Return what a saved notebook shows in place of the plot: its ends, its intents, the selection."""
    said = widget.curve.get("said")
    ends = f"From {escape(said[0])}, to {escape(said[-1])}." if said else ""
    rows = "".join(
        f'<tr><td style="{_CELL}">{escape(bar["name"])}</td><td style="{_CELL}">{escape(bar["said"])}</td></tr>'
        for bar in widget.bars
    )
    heads = f'<tr><th style="{_CELL}">Intent</th><th style="{_CELL}">Change of quality, points</th></tr>'
    table = f"<table><thead>{heads}</thead><tbody>{rows}</tbody></table>" if rows else ""
    notes = (escape(str(text)) for text in (widget.picked["text"], widget.picked["note"]) if text)
    return _boxed("Which prompts decide it?", ends, table, *notes, "Run this cell to select some.")


def browser_summary(widget: JudgmentBrowser) -> str:
    """Return what a saved notebook shows in place of the browser: the counts, and the first pairs."""
    selection = widget.selection
    pairs = widget.found["items"][:_SUMMARY_PAIRS]
    rows = "".join(
        f'<tr><td style="{_CELL}">{escape(item["prompt"])}</td><td style="{_CELL}">{escape(item["models"])}</td>'
        f'<td style="{_CELL}">{_said(widget, int(item["id"]))}</td></tr>'
        for item in pairs
    )
    counts = f"{len(selection):,} judgments of {widget.found['n_pairs']:,} pairs"
    note = f" {escape(widget._provenance)}." if widget._provenance else ""
    table = f"<table><tbody>{rows}</tbody></table>" if rows else ""
    return _boxed("Judgments", f"{counts}.{note}", table, "Run this cell to browse them.")


def _said(widget: JudgmentBrowser, entry: int) -> str:
    return escape("; ".join(map(_plain, widget._open(entry)["verdicts"])))


def _plain(verdict: dict[str, Any]) -> str:
    text = f"{verdict['judge']}: {verdict['said']}" if verdict["judge"] else str(verdict["said"])
    return f"{text} ({verdict['note']})" if verdict["note"] else text


def browser_report(widget: JudgmentBrowser, max_pairs: int) -> str:
    """Return a whole HTML document of the selected pairs, which its own policy forbids to load anything."""
    entries = widget._votes.loc[widget._kept(), "_entry"].drop_duplicates().to_list()
    digest = base64.b64encode(hashlib.sha256(_SCRIPT.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    shown = entries[:max_pairs]
    count = f"{len(shown):,} of {len(entries):,} pairs" if len(shown) < len(entries) else f"{len(entries):,} pairs"
    note = f'<div class="rl-notice">{escape(widget._provenance)}</div>' if widget._provenance else ""
    body = "\n".join(_entry(widget, entry, first=k == 0) for k, entry in enumerate(shown))
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>Judgments</title>'
        f'<meta name="viewport" content="width=device-width">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        f"<style>{style()}\nbody{{margin:0;background:Canvas;color-scheme:light dark}}</style></head><body>"
        f'<main class="rl rl-report"><div class="rl-head"><h1 class="rl-title">Judgments</h1>'
        f'<span class="rl-count">{count}</span><span class="rl-grow"></span>'
        f'<input class="rl-input" type="search" aria-label="Filter" placeholder="Filter"></div>{note}\n{body}\n</main>'
        f"<script>{_SCRIPT}</script></body></html>\n"
    )


def _entry(widget: JudgmentBrowser, entry: int, *, first: bool) -> str:
    item, shown = widget._item(entry), widget._open(entry)
    chips = " ".join(f'<span class="rl-reveal rl-{v["side"]}">{escape(_plain(v))}</span>' for v in shown["verdicts"])
    columns = "".join(
        f'<section class="rl-col rl-{side}"><div class="rl-head-model"><b>{escape(part["model"])}</b></div>'
        f'<div class="rl-text" dir="auto">{part["body"] or "<em>No text.</em>"}</div></section>'
        for side, part in zip("ab", shown["sides"], strict=True)
    )
    return (
        f"<details{' open' if first else ''}><summary>{escape(item['prompt'])} "
        f'<span class="rl-item-models">{escape(item["models"])}{" · split" if item["split"] else ""}</span></summary>'
        f'<div class="rl-prompt"><b class="rl-label">Prompt</b>'
        f'<div class="rl-prompt-text" dir="auto">{escape(shown["prompt"])}</div></div>'
        f'<div class="rl-last">{chips}</div><div class="rl-cols">{columns}</div></details>'
    )
