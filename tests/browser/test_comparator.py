"""The comparator in a real JupyterLab and a real Notebook 7: keys, votes, kernels that die, blindness."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

from apps import Book

MODELS = ("akkouq", "tabmow")  # as they stand in the tables, where the notebook's code spells them backwards
KEYS = "1234sungrdlfbi.?"


def show(book: Book, name: str, n_prompts: int = 40, extra: str = "") -> Path:
    """Show a new comparator with a log of its own, focus it, and return the log."""
    book.show(
        f"shutil.rmtree('{name}', ignore_errors=True); responses, prompts = table({n_prompts})\n"
        f"c = PairComparator(responses, prompts, log='{name}/ana.jsonl', rater='ana'{extra})\nc"
    )
    book.page.focus(".rl")
    return book.path.parent / name / "ana.jsonl"


def records(log: Path, kind: str = "vote") -> list[dict]:
    lines = [json.loads(line) for line in log.read_text().splitlines()[1:]]
    return [record for record in lines if record["type"] == kind]


def settle(book: Book) -> None:
    """Wait until every decision is acknowledged, and a new pair may be voted on."""
    book.page.wait_for_selector(".rl[aria-busy=false]")
    book.page.wait_for_timeout(300)


def test_keys_stay_in_the_widget(book: Book):
    show(book, "keys")
    before = book.cells()
    page = book.page
    places = [".rl", ".rl [data-action=left]", ".rl .rl-text", ".rl .rl-prompt-text", ".rl [data-action=help]"]
    for place in places:
        for key in [*KEYS, *"abdxmyzcv0", "Shift+Enter", "Escape", "ArrowUp", "ArrowDown", "d", "d"]:
            page.focus(place)
            page.keyboard.press(key)
        assert book.cells() == before, place
    show(book, "keys")
    page.keyboard.press("n")
    page.keyboard.type("abdxm 1234 sunq")
    assert page.input_value(".rl-note .rl-input") == "abdxm 1234 sunq"
    page.keyboard.press("Shift+Enter")
    page.keyboard.press("Escape")
    assert book.cells() == before
    assert page.evaluate("document.activeElement.matches('.rl')")
    page.keyboard.press("Control+s")  # the one shortcut that should get through
    page.wait_for_function("!window.jupyterapp.shell.currentWidget.context.model.dirty")
    assert page.evaluate("document.activeElement.dataset.lmSuppressShortcuts") == "true"


def test_one_press_one_label(book: Book):
    log = show(book, "presses")
    settle(book)
    # A pair must be seen for 250 ms, and a vote acknowledged, before the next one counts.
    elapsed = book.page.evaluate("""async () => {
      const start = performance.now();
      for (let i = 0; i < 20; i++) {
        document.querySelector(".rl").dispatchEvent(new KeyboardEvent("keydown", {key: "1", bubbles: true}));
        await new Promise((done) => setTimeout(done, 10));
      }
      return performance.now() - start;
    }""")
    settle(book)
    votes = records(log)
    assert 1 <= len(votes) <= 1 + elapsed // 250
    assert len({vote["pair_id"] for vote in votes}) == len(votes)

    book.page.focus("[data-action=right]")
    book.page.keyboard.press("2")
    book.page.wait_for_timeout(5)
    book.page.keyboard.press("Enter")
    settle(book)
    assert len(records(log)) == len(votes) + 1


def test_what_was_pressed_is_what_is_logged(book: Book):
    log = show(book, "said", extra=", reveal=True")
    page = book.page
    for key in "1234":
        settle(book)
        page.keyboard.press(key)
    settle(book)
    page.keyboard.press("n")
    page.keyboard.type("B is wrong")
    page.keyboard.press("Escape")
    page.click("[data-action=left]")
    settle(book)
    assert [vote["winner"] for vote in records(log)] == ["model_a", "model_b", "tie", "both_bad", "model_a"]
    assert records(log)[-1]["note"] == "B is wrong"
    vote = records(log)[-1]
    assert page.inner_text(".rl-reveal.rl-a").startswith(f"A {vote['model_a']}")
    page.keyboard.press("u")
    page.wait_for_selector("text=Undone: decide again")
    settle(book)
    page.keyboard.press("s")
    page.wait_for_selector(".rl-foot >> text=Skipped")
    settle(book)
    assert [r["pair_id"] for r in records(log, "undo") + records(log, "skip")] == [vote["pair_id"]] * 2
    assert book.run("print(len(c.judgments))", 2).strip() == "4"


def test_no_name_before_the_vote(book: Book):
    book.frames = []
    show(book, "blind")
    settle(book)
    for key in "12rd":
        book.page.keyboard.press(key)
        settle(book)
    dom = book.page.evaluate("document.documentElement.outerHTML")
    sent, book.frames = b"".join(book.frames), None
    assert "Prompt number" in dom and b"Prompt number" in sent
    for name in MODELS:
        assert name not in dom
        assert name.encode() not in sent


def test_a_killed_kernel_loses_nothing(book: Book):
    log = show(book, "killed")
    page = book.page
    for key in "121":
        settle(book)
        page.keyboard.press(key)
    settle(book)
    acknowledged = page.inner_text(".rl-count")
    pid = int(book.run("print(os.getpid())", 2))
    page.focus(".rl")
    os.kill(pid, signal.SIGKILL)
    assert acknowledged.startswith("3 of") and len(records(log)) == 3

    # Votes go on in the page while there is no kernel, and are saved once when the cell is run again.
    sides = [shown(page)]
    page.keyboard.press("1")
    page.wait_for_selector(".rl-banner:not([hidden])")
    assert "1 decision not saved" in page.inner_text(".rl-banner")
    page.locator(".jp-Dialog .jp-mod-accept").click()  # "the kernel appears to have died"
    page.focus(".rl")
    page.wait_for_timeout(300)
    sides.append(shown(page))
    page.keyboard.press("2")
    assert "2 decisions not saved" in page.inner_text(".rl-banner") and len(records(log)) == 3
    book.revive()
    again = "c = PairComparator(responses, prompts, log='killed/ana.jsonl', rater='ana')\nc"
    book.show(f"responses, prompts = table(40)\n{again}")
    page.wait_for_function("document.querySelector('.rl-count').textContent.startsWith('5 of')")
    book.show(again)
    page.wait_for_timeout(500)
    votes = records(log)
    assert len(votes) == 5
    assert [v["winner"] for v in votes[3:]] == ["model_a", "model_b"]
    for vote, (left, right) in zip(votes[3:], sides, strict=True):
        assert (response(book, vote, "model_a"), response(book, vote, "model_b")) == (left, right)
    assert page.is_hidden(".rl-banner")


def shown(page) -> tuple[str, str]:
    left, right = (text.strip() for text in page.locator(".rl-text").all_inner_texts())
    return left, right


def response(book: Book, vote: dict, side: str) -> str:
    row = f"(responses.prompt_id == {vote['prompt_id']!r}) & (responses.model == {vote[side]!r})"
    return book.run(f"print(responses.response[{row}].item())", 2).strip()


def test_a_restart_is_announced_within_two_seconds(book: Book):
    show(book, "restarted")
    settle(book)
    book.restart()
    start = time.perf_counter()
    book.page.wait_for_selector(".rl-banner:not([hidden])")
    assert time.perf_counter() - start < 2
    book.revive()


def test_a_failing_disk_is_shown_and_nothing_is_lost(lab: Book):
    log = show(lab, "full")
    settle(lab)
    fail = """
import routerlab.jsonl as module
from routerlab.labeling import LogWriteError
real = module.append_durably
def full(*_, **__): raise LogWriteError("Vote log: not written. The disk is full.")
module.append_durably = full"""
    lab.run(fail, 2)
    lab.page.focus(".rl")
    lab.page.keyboard.press("1")
    lab.page.wait_for_selector(".rl-banner:not([hidden])")
    assert "disk is full" in lab.page.inner_text(".rl-banner") and not records(log)
    lab.run("module.append_durably = real", 2)
    lab.page.click(".rl-banner button")
    settle(lab)
    assert lab.page.is_hidden(".rl-banner") and len(records(log)) == 1


def test_two_views_are_one_widget(lab: Book):
    log = show(lab, "views")
    lab.start("c", 2)
    lab.page.wait_for_function("document.querySelectorAll('.rl').length === 2")
    lab.page.focus(".rl >> nth=1")
    lab.page.wait_for_timeout(300)
    lab.page.keyboard.press("1")
    lab.page.wait_for_function(
        "[...document.querySelectorAll('.rl-count')].every((c) => c.textContent.startsWith('1 of'))"
    )
    assert len(records(log)) == 1
    lab.run("", 2)
