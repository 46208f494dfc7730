"""What the owner of a study sees: saved notebooks, judgments looked back at, intents given, honest bars."""

from __future__ import annotations

import json
from typing import Any

import pytest
from apps import PATHS, Book

SETUP = """
shutil.rmtree("owner", ignore_errors=True)
from routerlab import load_offers
from routerlab.decision import sweep_estimates
from routerlab.widgets import EvidencePlot, OfferExplorer
responses, prompts = table(60)
prompts["intent"] = ["cooking", "code", "chat"] * 20
by = prompts.set_index("prompt_id").intent
judges = [("ana", "model_a"), ("ben", "model_a"), ("cleo", "model_b")]
rows = [(p, "akkouq", "tabmow", w if i < 20 else "model_a", j)
        for i, p in enumerate(prompts.prompt_id[:40]) for j, w in judges]
votes = pd.DataFrame(rows, columns=["prompt_id", "model_a", "model_b", "winner", "judge"])
quality = pd.DataFrame({"akkouq": np.linspace(0.9, 0.6, 60), "tabmow": np.linspace(0.2, 0.5, 60)}, by.index)
cost = pd.DataFrame({"akkouq": 0.03, "tabmow": 0.001}, by.index)
sweep = sweep_estimates(quality, cost)
"""
WIDGETS = {
    "PairComparator": "PairComparator(responses, prompts, log='owner', rater='ana')",
    "IntentLabeler": "IntentLabeler(prompts, ['cooking', 'code'], log='owner/i.jsonl', rater='ana')",
    "JudgmentBrowser": "JudgmentBrowser(votes, responses, prompts, by='intent')",
    "EvidencePlot": "EvidencePlot(sweep, quality, cost, by=by, opens=JudgmentBrowser(votes, responses, prompts))",
    "OfferExplorer": "OfferExplorer(load_offers(), on='2026-11-29')",

}
SUMMARIES = ["Which response is better?", "What does the prompt ask for?", "Judgments", "Which prompts decide it?", "Offers",
            ]
NO_MODEL = "Error displaying widget"


def text_of(page: Any, pattern: str) -> None:
    page.wait_for_function("(p) => new RegExp(p).test(document.querySelector('.rl').innerText)", arg=pattern)


def test_a_reopened_notebook_shows_summaries_and_a_live_one_widgets(book: Book, chrome: Any):
    book.run(SETUP)
    page = book.page
    book.show("from IPython.display import display\n" + "\n".join(f"display({code})" for code in WIDGETS.values()))
    page.wait_for_function(f"document.querySelectorAll('.rl').length === {len(WIDGETS) + 1}")  # one opens another
    assert page.locator(".rl-static").count() == len(WIDGETS)
    assert page.locator(".rl-static:visible").count() == 0, "the live widget hides its summary"
    page.evaluate("window.jupyterapp.commands.execute('docmanager:save')")
    page.wait_for_function("!window.jupyterapp.shell.currentWidget.context.model.dirty")
    saved = json.loads(book.path.read_text())
    outputs = saved["cells"][1]["outputs"]
    summaries = ["".join(o["data"]["text/html"]) for o in outputs if "text/html" in o["data"]]
    assert [title for title in SUMMARIES if not any(title in html for html in summaries)] == []
    # The author's own notebook, opened in a new kernel: trusted, and nothing knows its widgets.
    # A copy stays trusted, as it is the author's own, and in its new kernel nothing knows the widgets.
    copied = "(name) => window.jupyterapp.serviceManager.contents.copy(name, '').then((made) => made.path)"
    copy = page.evaluate(copied, book.path.name)
    again = chrome.new_page(viewport={"width": 1280, "height": 1000})
    again.goto(book.url + PATHS[book.app].format(copy))
    again.wait_for_function(
        f"document.body.textContent.split('{NO_MODEL}').length === {len(WIDGETS) + 1}", timeout=60_000
    )
    shown = again.inner_text(".jp-Notebook")
    again.close()
    assert [title for title in SUMMARIES if title not in shown] == []
    assert NO_MODEL not in shown and "object at 0x" not in shown
