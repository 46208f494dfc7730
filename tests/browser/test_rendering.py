"""What raters read is what was written: all of it, formatted as it was meant, with nothing hidden."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from apps import ROOT, Book
from snippets import SNIPPETS

from routerlab.markup import visible
from routerlab.widgets import JudgmentBrowser

LONG = "A sentence of a long prompt. " * 581 + "THE QUESTION?"  # 16,862 characters
SETUP = rf"""
shutil.rmtree("rendering", ignore_errors=True)
soft, tag = chr(0xAD), chr(0xE0041)
names = ["akk" + soft + "ouq", "tab" + tag + "mow"]
chat = [
    {{"role": "system", "content": "Be *kind*."}},
    {{"role": "user", "content": [{{"type": "text", "text": "What is in **this**?"}},
        {{"type": "image_url", "image_url": {{"url": "data:image/png;base64,{{}}"}}}}]}},
    {{"role": "assistant", "content": None, "tool_calls": [
        {{"id": "c1", "type": "function", "function": {{"name": "look", "arguments": '{{"at": "it"}}'}}}}]}},
    {{"role": "tool", "tool_call_id": "c1", "content": "a red dot"}},
]
dot = (
    "iVBORw0KGgoAAAANSUhEUgAAAAUAAAAFCAYAAACNbyblAAAAHElEQVQI12P4//8/w38GIAXDIBKE0DHxgljNBAAO9TXL0Y4OHwAA"
    "AABJRU5ErkJggg=="
)
chat[1]["content"][1]["image_url"]["url"] = "data:image/png;base64," + dot
answers = {{
    "p0": "**Bold** \\(x^2\\) $5 or $10\n\n" + "word " * 6000 + "THE END",
    "p1": [{{"role": "assistant", "content": "A *dot*."}}],
}}
rows = [(p, m, answers[p] if m == names[0] else "Another answer.") for p in answers for m in names]
responses = pd.DataFrame(rows, columns=["prompt_id", "model", "response"])
prompts = pd.DataFrame({{"prompt_id": ["p0", "p1"], "prompt": [{LONG!r}, chat]}})
prompts["intent"] = ["coo" + soft + "king", "co" + tag + "de"]
guide = "Prefer what is **true**.\nThen what is short."
pairs = pd.DataFrame({{"prompt_id": ["p0", "p1"], "model_a": names[0], "model_b": names[1]}})
"""


def document(path: Path) -> Path:
    """The golden set and a very long pair, exported."""
    texts = {name: text for name, (text, _, _) in SNIPPETS.items()} | {"long": "# T\n\n" + "word " * 40_000 + "THE END"}
    rows = [(p, m, text if m == "a" else "-") for p, text in texts.items() for m in "ab"]
    responses = pd.DataFrame(rows, columns=["prompt_id", "model", "response"])
    prompts = pd.DataFrame([(p, LONG if p == "long" else p) for p in texts], columns=["prompt_id", "prompt"])
    votes = pd.DataFrame([(p, "a", "b", "tie") for p in texts], columns=["prompt_id", "model_a", "model_b", "winner"])
    JudgmentBrowser(votes, responses, prompts).to_html(path)
    return path


# Of each pair: its HTML, and whether it is laid out: nothing wider than its column, no cell that is a letter wide.
LAID_OUT = """() => [...document.querySelectorAll("details:has(> .rl-cols)")].map((entry) => {
    entry.open = true;
    const text = entry.querySelector(".rl-text");
    const cells = [...text.querySelectorAll("td,th")];
    const lines = cells.map((cell) => cell.offsetHeight / parseFloat(getComputedStyle(cell).lineHeight));
    return {
        name: entry.querySelector(".rl-prompt-text").textContent,
        html: text.innerHTML,
        wide: text.scrollWidth - text.clientWidth,
        narrow: cells.filter((cell) => cell.textContent.length > 3 && cell.offsetWidth < 30).length,
        lines: Math.max(0, ...lines),
        flat: [...text.querySelectorAll("math")].filter((m) => m.getBoundingClientRect().height < 5).length,
    };
})"""


def test_the_golden_set_in_the_export(chrome: Any, tmp_path: Path):
    page = chrome.new_page(viewport={"width": 1100, "height": 900})
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(document(tmp_path / "golden.html").as_uri())
    found = {entry["name"]: entry for entry in page.evaluate(LAID_OUT)}
    assert len(asked) == 1 and len(found) == len(SNIPPETS) + 1
    for name, (_, holds, holds_not) in SNIPPETS.items():
        entry = found[name]
        assert [part for part in holds if part not in entry["html"]] == [], name
        assert [part for part in holds_not if part in entry["html"]] == [], name
        assert entry["narrow"] == entry["flat"] == 0 and entry["lines"] < 7, name
        assert entry["wide"] <= 1 or name.startswith("deep"), name
    assert found[LONG]["html"].endswith("THE END</p>\n")  # neither prompt nor response is cut
    page.close()


def test_every_ignorable_character_is_marked_alike_in_python_and_in_the_page(chrome: Any):
    import regex

    chars = [chr(code) for code in range(sys.maxunicode + 1)]
    marked = {int(code, 16) for code in re.findall(r"⟦U\+([0-9A-F]+)⟧", visible("a".join(chars))[0])}
    ignorable = {ord(c) for c in regex.findall(r"\p{Default_Ignorable_Code_Point}", "".join(chars))}
    assert len(ignorable) > 4000 and ignorable <= marked
    assert {0x61C, 0xAD, 0x180E, 0x2028, 0x2029, 0x115F, 0x3164, 0xE0041, 0x200D, 0xFE0F} <= marked
    page = chrome.new_page()
    script = (ROOT / "routerlab/widgets/shared.js").read_text(encoding="utf-8")
    text = "Array.from({length: 0x110000}, (_, i) => String.fromCodePoint(i)).join('a')"
    found = page.evaluate(f"() => {{ {script}\nreturn visible({text}).match(/⟦U\\+[0-9A-F]+⟧/g) }}")
    assert {int(sign[3:-1], 16) for sign in found} == marked
    kept = "👩‍👩‍👧 ❤️ 1️⃣ می‌خواهم क्‍ष 葛󠄀"
    assert visible(kept) == (kept, 0)
    assert page.evaluate(f"(kept) => {{ {script}\nreturn visible(kept) }}", kept) == kept
    page.close()


@pytest.fixture
def shown(lab: Book) -> Book:
    lab.run(SETUP)
    lab.show(
        "c = PairComparator(responses, prompts, log='rendering', rater='ana', by='intent', pairs=pairs, reveal=True,\n"
        "    repeat_share=0, guidelines=guide, images=True)\nc"
    )
    return lab


def vote(page: Any, done: int) -> None:
    page.wait_for_timeout(300)
    page.focus(".rl")
    page.keyboard.press("1")
    page.wait_for_function(f"document.querySelector('.rl-count').textContent.startsWith('{done} of')")


def read_long(page: Any) -> None:
    """The prompt and the response are cut, say so, and open."""
    assert "Only the first 8,000 of" in page.inner_text(".rl-prompt")
    page.click(".rl-prompt-box .rl-more >> text=Show all")
    page.wait_for_function("document.querySelector('.rl-prompt-text').textContent.endsWith('THE QUESTION?')")
    height = page.locator(".rl-prompt-text").bounding_box()["height"]
    page.click("[data-action=fold]")
    assert page.locator(".rl-prompt-text").bounding_box()["height"] > 2 * height
    page.click("[data-action=fold]")
    page.click(".rl-col .rl-more >> text=Show all")
    page.wait_for_function("[...document.querySelectorAll('.rl-text')].some((t) => t.textContent.includes('THE END'))")
    assert page.locator(".rl-text strong").count() == page.locator(".rl-text math").count() == 1  # still formatted


def read_chat(page: Any) -> None:
    """A conversation stands turn by turn, with its tool call, its image, and the system prompt folded."""
    assert page.locator(".rl-prompt-text .rl-turn").count() == 4
    assert not page.is_visible(".rl-prompt-text >> text=Be kind.")
    page.click(".rl-prompt-text summary")
    assert page.is_visible(".rl-prompt-text em:text('kind')")
    for text in ("User", "calls look", '"at": "it"', "Tool (c1)", "a red dot"):
        assert text in page.inner_text(".rl-prompt-text")
    assert page.evaluate("document.querySelector('.rl-prompt-text img').naturalWidth") == 5
    assert page.locator(".rl-text em").count() == 1 and page.locator(".rl-text .rl-turn").count() == 0  # one message


def test_a_rater_reads_all_of_it(shown: Book):
    page = shown.page
    assert page.is_visible(".rl-guidelines strong:text('true')") and page.locator(".rl-guidelines br").count() == 1
    page.click(".rl-guidelines summary")
    assert page.locator(".rl [aria-pressed=true]").count() == 0  # nothing differs from how it starts
    assert (
        page.locator(".rl-text").first.bounding_box()["x"] + 40 > page.locator(".rl-text p").first.bounding_box()["x"]
    )
    seen = []
    for i in range(2):
        chip = page.inner_text(".rl-chip")
        seen.append(chip)
        read_long(page) if chip == "coo⟦U+00AD⟧king" else read_chat(page)
        vote(page, i + 1)
        said = page.inner_text(".rl-last")
        assert re.search(r"Last pair:\s*A [\d,]+ and B [\d,]+ words", said)
        assert "akk⟦U+00AD⟧ouq" in said and "tab⟦U+E0041⟧mow" in said  # names as well
    assert sorted(seen) == ["coo⟦U+00AD⟧king", "co⟦U+E0041⟧de"]
    shown.show("l = IntentLabeler(prompts, [*prompts.intent], log='rendering/i', rater='ana')\nl", ".rl-intents")
    assert "coo⟦U+00AD⟧king" in page.inner_text(".rl-choices") and "co⟦U+E0041⟧de" in page.inner_text(".rl-choices")
    for _ in range(2):
        if "A sentence of a long prompt" in page.inner_text(".rl-prompt-text"):
            assert page.inner_text(".rl-prompt-text").endswith("THE QUESTION?")
            break
        vote(page, 1)


def test_dollars_are_no_formula(lab: Book):
    lab.run(SETUP)
    lab.show(
        """
from IPython.display import HTML, display
from routerlab.labeling import standings
votes = pd.DataFrame({"prompt_id": [*"abc"], "model_a": "$5 or", "model_b": "$10 x", "winner": "tie"})
display(HTML("<p class=control>$x^2$</p>"))
display(standings(votes))
money = "It costs $5 or $10, all in."
plain = pd.DataFrame([("a", m, money + m) for m in "xy"], columns=["prompt_id", "model", "response"])
display(PairComparator(plain, log="rendering/money", rater="ana"))
display(HTML(JudgmentBrowser(votes)._summary()))
print("ready")""",
        ".control mjx-container",
    )
    page = lab.page
    page.wait_for_selector(".rl-text >> text=It costs $5 or $10, all in.")
    output = page.locator(".jp-Cell-outputArea:has(.control)")
    assert output.locator("mjx-container").count() == 1  # the control alone
    assert "$5 or" in output.inner_text()
