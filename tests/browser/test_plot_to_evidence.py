"""From a plot to its evidence in a real browser: drag, keys, an intent; what opens is voted on, blind, and logged."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from apps import Book

MODELS = ("akkouq", "tabmow")  # as they stand in the tables, where the notebook's code spells them backwards
SETUP = """
from routerlab.decision import sweep_estimates
from routerlab.widgets import EvidencePlot
shutil.rmtree({name!r}, ignore_errors=True)
responses, prompts = table(40)
rng, index = np.random.default_rng(0), prompts.prompt_id
names = [m[::-1] for m in ("quokka", "wombat")]
quality = pd.DataFrame(np.array([0.8, 0.4]) + rng.uniform(-0.2, 0.2, (40, 2)), index, names)
cost = pd.DataFrame(np.array([0.03, 0.001]) * rng.uniform(0.5, 2, (40, 2)), index, quality.columns)
sweep, intents = sweep_estimates(quality, cost), pd.Series(["cooking", "code"] * 20, index)
c = PairComparator(responses, prompts, log='{name}/ana.jsonl', rater='ana', repeat_share=0)
plot = EvidencePlot(sweep, quality, cost, by=intents, opens=c)
"""


def show(book: Book, name: str) -> Path:
    book.run(SETUP.format(name=name))
    book.show("plot", ".rl-evidence")
    book.page.wait_for_selector(".rl-comparator")
    return book.path.parent / name / "ana.jsonl"


def drag(page, start: float, stop: float) -> None:
    """Drag across the curve from one share of its width to another."""
    page.locator(".rl-stage").scroll_into_view_if_needed()
    box = page.locator(".rl-stage").bounding_box()
    y = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + start * box["width"], y)
    page.mouse.down()
    page.mouse.move(box["x"] + stop * box["width"], y, steps=4)
    page.mouse.up()


def said(page, pattern: str) -> re.Match:
    page.wait_for_function("(p) => new RegExp(p).test(document.querySelector('.rl-said').textContent)", arg=pattern)
    return re.search(pattern, page.inner_text(".rl-said"))


def votes(log: Path) -> list[dict]:
    return [r for r in map(json.loads, log.read_text().splitlines()[1:]) if r["type"] == "vote"]


def test_a_drag_opens_its_prompts_and_the_vote_is_logged(book: Book):
    book.frames = []
    log = show(book, "dragged")
    page = book.page
    drag(page, 0.4, 0.8)
    n = int(said(page, r"(\d+) prompts change their model: over all 40")[1])
    assert 0 < n < 40
    page.wait_for_function(f"document.querySelector('.rl-count').textContent === '0 of {n} in the selection'")
    selected = set(book.run("print(*plot.selection.prompt_id)", 2).split())
    assert len(selected) == n
    shown = re.search(r"number (\d+)", page.inner_text(".rl-prompt-text"))[1]
    assert f"p{shown}" in selected
    page.focus(".rl-comparator")
    page.wait_for_timeout(300)
    dom, sent = page.evaluate("document.documentElement.outerHTML"), b"".join(book.frames)
    book.frames = None
    assert b"Prompt number" in sent and not any(name in dom or name.encode() in sent for name in MODELS), "blind"
    page.keyboard.press("1")
    page.wait_for_function("document.querySelector('.rl-count').textContent.startsWith('1 of')")
    (vote,) = votes(log)
    assert vote["prompt_id"] in selected and vote["restricted_to"].startswith("EvidencePlot: willingness to pay")
    assert 0 < vote["propensity"] <= 1
    page.click(".rl-evidence button:has-text('Clear')")
    page.wait_for_function("document.querySelector('.rl-count').textContent === '1 of 40'")
    page.wait_for_function("document.querySelector('.rl-said').textContent === ''")


def test_the_ends_move_by_keys_and_the_keys_stay_here(book: Book):
    show(book, "keyed")
    page = book.page
    dear, cheap = page.locator(".rl-thumb").all()
    last = int(dear.get_attribute("aria-valuemax"))
    dear.focus()
    for key in ("Shift+ArrowLeft", "ArrowLeft", "ArrowLeft", "ArrowRight"):
        page.keyboard.press(key)
    n = int(said(page, r"(\d+) prompts change their model: over all 40")[1])
    assert n == int(book.run("print(len(plot.selection))", 2)) and n >= 11  # points may hold more than one switch
    assert int(dear.get_attribute("aria-valuenow")) == last - 11
    assert "USD per 1,000 requests, quality" in dear.get_attribute("aria-valuetext")
    dear.focus()
    page.keyboard.press("End")  # the dearest point
    assert int(dear.get_attribute("aria-valuenow")) == last
    cheap.focus()
    page.keyboard.press("End")  # as far as the other end
    assert cheap.get_attribute("aria-valuenow") == dear.get_attribute("aria-valuenow")
    said(page, "No prompt changes its model")
    page.wait_for_selector("text=The selection holds no pair to compare")
    page.keyboard.press("ArrowLeft")
    said(page, "[1-3] prompts? changes? (its|their) model: over all 40")
    cells = book.cells()
    for place in (".rl-thumb", ".rl-bar-row", ".rl-evidence .rl-btn"):
        for key in [*"abdxmyzc0", "Shift+Enter", "Escape", "d", "d"]:
            page.locator(place).first.focus()
            page.keyboard.press(key)
    assert book.cells() == cells


def test_a_click_on_an_intent_opens_its_prompts(book: Book):
    log = show(book, "intent")
    page = book.page
    page.click(".rl-bar-row:has-text('code')")
    said(page, "20 prompts in code. 20 have two different responses")
    assert page.locator(".rl-bar-row[aria-pressed=true]").inner_text().startswith("code")
    page.wait_for_function("document.querySelector('.rl-count').textContent === '0 of 20 in the selection'")
    page.focus(".rl-comparator")
    page.wait_for_timeout(300)
    page.keyboard.press("2")
    page.wait_for_function("document.querySelector('.rl-count').textContent.startsWith('1 of')")
    (vote,) = votes(log)
    assert int(vote["prompt_id"][1:]) % 2 == 1 and vote["restricted_to"] == "EvidencePlot: intent code"
    drag(page, 0.3, 0.9)
    n = int(said(page, r"(\d+) prompts? in code changes? (its|their) model: over all 40")[1])
    assert n < 20
    page.keyboard.press("Tab")
    book.run("plot.select(intents='cooking');", 2)  # from Python, and the page follows
    said(page, "20 prompts in cooking")
    assert page.locator(".rl-bar-row[aria-pressed=true]").inner_text().startswith("cooking")


def test_a_selection_opens_in_the_browser_of_judgments(lab: Book):
    lab.run(SETUP.format(name="looked"))
    lab.run(
        "rows = [(p, 'akkouq', 'tabmow', 'tie', 'ana') for p in index]\n"
        "votes = pd.DataFrame(rows, columns=['prompt_id', 'model_a', 'model_b', 'winner', 'judge'])\n"
        "b = JudgmentBrowser(votes, responses, prompts)\n"
        "plot = EvidencePlot(sweep, quality, cost, opens=b)"
    )
    lab.show("plot", ".rl-browser")
    drag(lab.page, 0.4, 0.8)
    n = int(said(lab.page, r"(\d+) from akkouq to tabmow. \1 have judgments, shown below")[1])
    assert lab.page.inner_text(".rl-browser .rl-head .rl-count") == f"{n} pairs, {n} judgments in the selection"


@pytest.mark.parametrize("how", ["drag", "keys"])
def test_a_dead_kernel_is_said(lab: Book, how: str):
    show(lab, f"dead {how}")
    lab.restart()
    lab.page.wait_for_selector(".rl-comparator .rl-banner:not([hidden])")
    if how == "drag":
        drag(lab.page, 0.4, 0.8)
    else:
        lab.page.focus(".rl-thumb")
        lab.page.keyboard.press("ArrowLeft")
    lab.page.wait_for_selector(".rl-evidence .rl-banner:not([hidden])")
    assert "kernel does not answer" in lab.page.inner_text(".rl-evidence .rl-banner")
    lab.revive()
