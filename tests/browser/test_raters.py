"""What a rater meets: the end, notes, earlier votes, criteria, the keyboard, zoom, forced colours, a second kernel."""

from __future__ import annotations

import itertools

from apps import Book
from conftest import opened
from test_comparator import MODELS, records, settle, show, shown

LONG = ", text='Response {i} ' + 'of many words {m} ' * 900"
BUTTONS = ("left", "right", "tie", "both_bad")


def focused(page) -> str:
    return page.evaluate("document.activeElement.dataset.action ?? document.activeElement.className")


def boxes(page) -> list[dict]:
    return [page.locator(f"[data-action={name}]").bounding_box() for name in BUTTONS]


def test_raters_are_told_what_is_meant_and_nothing_that_biases(lab: Book):
    log = show(lab, "told", extra=", reveal=True, goal=3, repeat_share=0")
    page = lab.page
    settle(lab)
    page.keyboard.press("g")  # ratings name the models and say who leads
    assert not page.locator("[data-action=ratings]").count() and "Points" not in page.inner_text(".rl")
    page.keyboard.press("1")
    settle(lab)
    said = page.inner_text(".rl-last")
    assert said.index("Last pair") < min(said.index(name) for name in MODELS)

    # A note has lines, and is neither cut nor dropped.
    page.keyboard.press("n")
    page.keyboard.type("one")
    page.keyboard.press("Shift+Enter")
    page.keyboard.type("two")
    page.keyboard.press("Escape")
    assert "✓" in page.inner_text("[data-action=note]")
    page.keyboard.press("2")
    settle(lab)
    assert records(log)[-1]["note"] == "one\ntwo" and page.input_value(".rl-note textarea") == ""
    page.keyboard.press("u")
    page.wait_for_function("document.querySelector('.rl-note textarea').value === 'one\\ntwo'")
    page.fill(".rl-note textarea", "x" * 10_001)
    page.click("[data-action=tie]")
    assert "shorten it to 10,000" in page.inner_text(".rl-note") and len(records(log)) == 2
    page.fill(".rl-note textarea", "one\ntwo, and three")
    page.wait_for_timeout(300)
    page.click("[data-action=tie]")
    settle(lab)
    assert records(log)[-1]["note"] == "one\ntwo, and three"

    # The goal is an end, with thanks and no word of Python, and the rater may go on.
    page.keyboard.press("1")
    page.wait_for_selector(".rl-finished:not([hidden])")
    text = page.inner_text(".rl-finished")
    assert "Thank you" in text and "judgments" not in text and "comparator" not in text
    assert focused(page).startswith("rl "), "the focus stays in the widget"
    page.click("text=Go on with 3 more")
    page.wait_for_function("document.querySelector('.rl-count').textContent === '3 of 6'")
    assert all(record["active_seconds"] <= record["seconds"] + 0.1 for record in records(log))
    assert lab.run(
        "c = PairComparator(responses, prompts, log='told/o', rater='owner', ratings=True); print(c.ratings)"
    )


def test_votes_can_be_changed_and_skipped_pairs_come_back(lab: Book):
    extra = ", repeat_share=0, criteria={'accuracy': 'verdict', 'style': 'strength'}"
    log = show(lab, "back", n_prompts=4, extra=extra)
    page = lab.page
    settle(lab)
    first = shown(page)
    page.click("text=A much better")
    page.get_by_role("group", name="accuracy").get_by_label("B", exact=True).check()
    page.click("[data-action=away]")
    page.click("[data-action=left]")
    settle(lab)
    vote = records(log)[-1]
    assert vote["criteria"] == {"accuracy": "model_b", "style": "model_a"} and vote["strength"] == {"style": 2}
    assert vote["gives_away"] and not page.locator(".rl-option :checked").count()
    skipped = shown(page)
    page.keyboard.press("s")
    settle(lab)
    page.keyboard.press("b")
    page.keyboard.press("b")
    page.wait_for_selector("text=Earlier pair 1 of 2")
    assert shown(page) == first and page.get_attribute("[data-action=left]", "aria-pressed") == "true"
    assert page.locator(".rl-option :checked").count() == 2
    page.wait_for_timeout(300)
    page.keyboard.press("2")
    settle(lab)
    assert [r["undoes"] for r in records(log, "undo")] == [vote["nonce"]]
    assert [records(log)[-1][name] for name in ("pair_id", "winner")] == [vote["pair_id"], "model_b"]
    for _ in range(2):
        settle(lab)
        page.keyboard.press("3")
    settle(lab)
    assert shown(page) == skipped, "the skipped pair comes back"
    page.keyboard.press("4")
    page.wait_for_selector("text=every pair is decided")
    assert len(records(log)) == 5 and len(records(log, "undo")) == 2
    found = lab.run(
        "from routerlab.labeling import to_judgments\n"
        "style = to_judgments(c.vote_log, criterion='style')\n"
        "print(c.judgments.winner.tolist(), style.winner.tolist(), len(c.judgments))",
        2,
    )
    assert found.strip() == "['model_b', 'tie', 'tie', 'both_bad'] ['model_a'] 4"


def test_the_keyboard_alone_is_enough(lab: Book):
    log = show(lab, "tabs", n_prompts=12, extra=", keys=None, repeat_share=0")
    page = lab.page
    settle(lab)
    lab.show(
        f"responses, prompts = table(8{LONG}); shutil.rmtree('tabs', ignore_errors=True)\n"
        "c = PairComparator(responses, prompts, log='tabs/ana.jsonl', rater='ana', keys=None, repeat_share=0)\nc"
    )
    # The focus stays where it was; from one verdict to another is a Tab or three.
    page.focus("[data-action=right]")
    for n in (1, 2):
        page.wait_for_timeout(300)
        page.keyboard.press("Enter")
        page.wait_for_function(f"document.querySelector('.rl-count').textContent.startsWith('{n} of')")
        assert focused(page) == "right"
    page.keyboard.press("Tab")
    assert focused(page) == "tie" and [r["winner"] for r in records(log)] == ["model_b"] * 2

    # Space and PageDown scroll: the responses first, then the page, and never nothing.
    top = "document.querySelector('.rl-text').scrollTop"
    page.keyboard.press("PageDown")
    assert page.evaluate(top) > 0
    page.focus(".rl")
    before = page.evaluate(top)
    page.keyboard.press("Space")
    assert page.evaluate(top) > before
    prevented = """(key) => {
      const event = new KeyboardEvent('keydown', {key, bubbles: true, cancelable: true});
      document.querySelector('.rl').dispatchEvent(event);
      return event.defaultPrevented;
    }"""
    page.evaluate("document.querySelectorAll('.rl-text').forEach((text) => (text.scrollTop = 1e6))")
    assert not page.evaluate(prevented, " ") and not page.evaluate(prevented, "PageDown")


def test_the_votes_stay_in_sight_and_in_order(lab: Book, axe: str):
    page = lab.page
    lab.show(
        f"responses, prompts = table(8{LONG}); shutil.rmtree('sight', ignore_errors=True)\n"
        "prompts['prompt'] = 'word ' * 900\n"
        "c = PairComparator(responses, prompts, log='sight/ana.jsonl', rater='ana', criteria=['accuracy'])\nc"
    )
    page.focus(".rl")
    page.click("[data-action=diff]")
    if not page.evaluate("typeof window.axe === 'object'"):
        page.evaluate(axe)
    tags = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
    for width, height in ((1280, 900), (640, 450), (600, 900)):  # the second is 1280 x 900 at 200%
        page.set_viewport_size({"width": width, "height": height})
        page.evaluate("document.querySelector('.rl').scrollIntoView()")
        page.wait_for_timeout(200)
        for box in boxes(page):
            assert box and box["y"] >= 0 and box["y"] + box["height"] <= height, (width, box)
        rows = [(round(box["y"]), box["x"]) for box in boxes(page)]
        assert rows == sorted(rows), "from left to right, in the order of the keys and of Tab"
        assert page.evaluate("document.querySelectorAll('.rl-dock').length") == 1
        result = page.evaluate("(values) => window.axe.run('.rl', {runOnly: {type: 'tag', values}})", tags)
        assert not [(v["id"], v["nodes"][0]["html"][:90]) for v in result["violations"]], width
    order = [page.get_attribute(f"[data-action={name}]", "aria-keyshortcuts") for name in BUTTONS]
    assert order == list("1234")
    page.set_viewport_size({"width": 1280, "height": 1000})

    page.emulate_media(forced_colors="active")
    page.keyboard.press("Escape")
    page.focus(".rl")
    page.keyboard.press("Shift")
    style = """(selector) => {
      const { outlineStyle, backgroundColor } = getComputedStyle(document.querySelector(selector));
      return [outlineStyle, backgroundColor];
    }"""
    outline, plain = page.evaluate(style, ".rl")
    assert outline == "solid", "the focus shows"
    pressed = page.evaluate(style, "[data-action=diff]")[1]
    assert pressed != page.evaluate(style, "[data-action=raw]")[1], "so does what is pressed"
    assert page.evaluate(style, ".rl-fill")[1] != plain, "and the progress"
    page.emulate_media(forced_colors="none")


def test_two_kernels_of_one_rater_show_different_pairs(books, chrome, server, folder):
    one, two = (opened(app, books, chrome, server, folder) for app in ("lab", "notebook"))
    log = show(one, "both", n_prompts=12, extra=", repeat_share=0")
    two.show(
        "responses, prompts = table(12)\n"
        "c = PairComparator(responses, prompts, log='both/ana.jsonl', rater='ana', repeat_share=0)\nc"
    )
    two.page.focus(".rl")
    for n, book in enumerate(itertools.islice(itertools.cycle((one, two)), 12)):
        settle(book)
        assert shown(one.page) != shown(two.page)
        book.page.bring_to_front()
        book.page.focus(".rl")
        book.page.wait_for_timeout(300)
        book.page.keyboard.press("1")
        settle(book)
        assert len(records(log)) == n + 1, "no press is refused"
        if n < 8:
            book.page.wait_for_selector(".rl-body:not([hidden])")
        else:
            break
