"""Hostile texts run nothing and ask nobody, live and in saved HTML."""

from __future__ import annotations

from typing import Any

import pytest
from apps import ROOT, Book
from payloads import PAYLOADS

SETUP = rf"""
import sys; sys.path.insert(0, {str(ROOT / "tests/browser")!r})
from payloads import PAYLOADS
shutil.rmtree("hostile", ignore_errors=True)
ids = [f"p{{i}}" for i in range(len(PAYLOADS))]
names = ["<img src=x onerror=window.pwned=1>", '"><svg onload=window.pwned=1>']
rows = [(p, m, t + "\n\n" + m) for p, t in zip(ids, PAYLOADS) for m in names]
responses = pd.DataFrame(rows, columns=["prompt_id", "model", "response"])
prompts = pd.DataFrame({{"prompt_id": ids, "prompt": PAYLOADS, "intent": PAYLOADS}})
rows = [(p, *names, "tie", t, t) for p, t in zip(ids, PAYLOADS)]
votes = pd.DataFrame(rows, columns=["prompt_id", "model_a", "model_b", "winner", "judge", "note"])

# The comparator gets them by the dozen, which is quicker.
texts = ["\n\n".join(PAYLOADS[i : i + 12]) for i in range(0, len(PAYLOADS), 12)]
rows = [(f"m{{i}}", m, t + m) for i, t in enumerate(texts) for m in names]
many = pd.DataFrame(rows, columns=["prompt_id", "model", "response"])
asked = pd.DataFrame([(f"m{{i}}", t, t) for i, t in enumerate(texts)], columns=["prompt_id", "prompt", "intent"])
"""
# What no text of a model may bring into the page.
FORBIDDEN = (
    "script,iframe,object,embed,link,style,svg,video,audio,form,input,base,meta,[style],[onerror],[onload],[ontoggle],"
    "[href],a,mglyph,annotation-xml,maction,img:not([src^='data:image/png;base64,'],[src^='data:image/jpeg;base64,'])"
)
OWN = ("/api/", "/lab/api", "/static/", "/files/", "data:image", "blob:")  # what Jupyter itself asks for


class Watch:
    """What a page asks for and says while hostile text is in it."""

    def __init__(self, page: Any) -> None:
        self.page = page
        self.asked: list[str] = []
        page.on("request", self._request)

    def _request(self, request: Any) -> None:
        if not any(part in request.url for part in OWN):
            self.asked.append(request.url)

    def check(self) -> None:
        self.page.wait_for_timeout(100)
        assert self.page.evaluate("window.pwned") is None
        assert self.asked == []
        found = f":is(.rl-text, .rl-rich) :is({FORBIDDEN}), .rl-prompt-text:not(.rl-rich) *"
        assert self.page.locator(found).count() == 0


@pytest.fixture
def hostile(book: Book) -> Book:
    book.run(SETUP)
    return book


def test_the_corpus_is_large_and_each_payload_is_once_in_it():
    assert len(set(PAYLOADS)) == len(PAYLOADS) >= 50


def test_hostile_responses_are_inert(hostile: Book):
    page, watch = hostile.page, Watch(hostile.page)
    hostile.show(
        "c = PairComparator(many, asked, log='hostile', rater='ana', by='intent', reveal=True, repeat_share=0,\n"
        "    images=True, guidelines=PAYLOADS[0], ratings=True)\nc"
    )
    page.focus(".rl")
    for i in range(-(-len(PAYLOADS) // 12)):
        page.wait_for_function(f"document.querySelector('.rl-count').textContent.startsWith('{i} of')")
        for key in "rdd":
            page.keyboard.press(key)
            page.wait_for_timeout(100)
        watch.check()
        page.keyboard.press("n")
        page.keyboard.insert_text(PAYLOADS[i])
        page.keyboard.press("Enter")
        page.keyboard.press("1")
    page.keyboard.press("g")
    watch.check()


def test_hostile_prompts_and_judgments_are_inert(lab: Book):
    page, watch = lab.page, Watch(lab.page)
    lab.run(SETUP)
    lab.show("l = IntentLabeler(prompts, PAYLOADS, log='hostile/labels.jsonl', rater='ana')\nl")
    page.focus(".rl")
    for _ in range(5):
        page.wait_for_timeout(300)
        page.keyboard.press("1")
    watch.check()
    lab.show("b = JudgmentBrowser(votes, responses, prompts, by='intent', images=True)\nb", ".rl-browser")
    selected = "document.querySelectorAll('.rl-item')[{}].getAttribute('aria-selected') === 'true'"
    n_pages = -(-len(PAYLOADS) // 50)
    for number in range(1, n_pages + 1):
        n_rows = min(50, len(PAYLOADS) - 50 * (number - 1))
        page.focus(".rl-rows")
        for i in range(n_rows):
            page.wait_for_function(selected.format(i))
            page.keyboard.press("ArrowDown")
        watch.check()
        if number < n_pages:
            page.click("text=Next")
            text = f"{number + 1} of {n_pages}"
            page.wait_for_function(f"document.querySelector('.rl-list .rl-count').textContent === '{text}'")


def test_saved_html_is_inert(lab: Book, chrome: Any):
    lab.run(SETUP)
    lab.run("""
b = JudgmentBrowser(votes, responses, prompts, by="intent", images=True)
b.to_html("report.html")
c = PairComparator(responses, prompts, log="hostile/<b>.jsonl", rater=names[0])
l = IntentLabeler(prompts, PAYLOADS, log="hostile/l.jsonl", rater=names[1])
bundles = [w._repr_mimebundle_()[0] for w in (b, c, l)]
pathlib.Path("saved.html").write_text("<meta charset=utf-8>" + "".join(d["text/html"] for d in bundles))
outputs = [{"output_type": "display_data", "data": data, "metadata": {}} for data in bundles]
cell = {"cell_type": "code", "id": "c", "source": "", "metadata": {}, "outputs": outputs, "execution_count": 1}
spec = {"kernelspec": {"name": "python3", "display_name": "Python 3"}}
book = {"cells": [cell], "metadata": spec, "nbformat": 4, "nbformat_minor": 5}
import json; pathlib.Path("saved.ipynb").write_text(json.dumps(book))""")
    page = chrome.new_page()
    for name in ("report.html", "saved.html"):
        asked: list[str] = []
        page.on("request", lambda request, asked=asked: asked.append(request.url))
        page.goto(f"file://{lab.path.parent}/{name}")
        page.wait_for_timeout(500)
        assert page.evaluate("window.pwned") is None
        assert asked == [f"file://{lab.path.parent}/{name}"]
    page.goto(f"file://{lab.path.parent}/report.html")
    page.fill("input[type=search]", "vbscript")
    assert page.locator("details:visible").count() == 1
    # A saved notebook whose kernel is gone shows the summary, not the address of an object.
    page.goto(lab.url + "/doc/tree/saved.ipynb")
    page.wait_for_selector("text=Run this cell to browse them")
    page.wait_for_selector("text=Run this cell to label >> nth=1")
    assert "object at 0x" not in page.inner_text(".jp-Cell-outputArea")
    assert page.evaluate("window.pwned") is None
    page.close()
