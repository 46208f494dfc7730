"""What the owner of a study sees: saved notebooks, judgments looked back at, intents given, honest bars."""

from __future__ import annotations

import json
from typing import Any

from apps import PATHS, Book

SETUP = """
shutil.rmtree("owner", ignore_errors=True)
from routerlab import load_offers
from routerlab.decision import sweep_estimates
from routerlab.widgets import EvidencePlot, LabelingDashboard, OfferExplorer
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
    "LabelingDashboard": "LabelingDashboard(votes)",
}
SUMMARIES = [
    "Which response is better?",
    "What does the prompt ask for?",
    "Judgments",
    "Which prompts decide it?",
    "Offers",
    "How labeling goes",
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


def test_looking_back_follows_python_keeps_what_was_chosen_and_says_when_the_kernel_is_gone(lab: Book):
    lab.run(SETUP)
    lab.show("b = JudgmentBrowser(votes, responses, prompts, by='intent')\nb")
    page = lab.page
    counted = "document.querySelector('.rl-head .rl-count').textContent === '{}'"
    # What Python filters, the page's controls show.
    lab.run("b.filter(intent='code', disagreement=True, text='number');", 2)
    page.wait_for_function(counted.format("7 pairs, 21 judgments"))
    assert page.locator("select[name=intent]").evaluate("(e) => e.selectedOptions[0].text") == "code"
    assert page.locator(".rl-check input").is_checked() and page.input_value("input[type=search]") == "number"
    # Ticking and unticking changes that box alone, and leaves what the page has no box for.
    lab.run("b.filter(prompt_ids=['p0', 'p1', 'p30']);", 2)
    page.wait_for_function(counted.format("3 pairs, 9 judgments"))
    assert not page.locator(".rl-check input").is_checked() and page.input_value("input[type=search]") == ""
    page.check(".rl-check input")
    page.wait_for_function(counted.format("2 pairs, 6 judgments"))
    page.uncheck(".rl-check input")
    page.wait_for_function(counted.format("3 pairs, 9 judgments"))
    assert lab.run("print(sorted(b.selection.prompt_id.unique()))", 2).strip() == "['p0', 'p1', 'p30']"
    # Who wins is in each row; each judge counts once.
    assert page.locator(".rl-item-won").all_inner_texts()[0].split("\n")[:2] == ["akkouq wins", "2 : 1"]
    page.click("button:has-text('3 chosen prompts')")
    page.wait_for_function(counted.format("40 pairs, 120 judgments"))
    # Win rates by slice, sorted by their heads.
    assert page.locator(".rl-rates tbody tr").count() == 6
    page.click(".rl-sort[data-sort=rate]")
    rates = [int(cell.split("[")[0]) for cell in page.locator(".rl-rates td.rl-rate").all_inner_texts()]
    assert rates == sorted(rates, reverse=True) and rates[0] > rates[-1]
    assert page.get_attribute(".rl-rates th:nth-child(3)", "aria-sort") == "descending"
    page.select_option(".rl-rates select", "judge")
    page.wait_for_function("document.querySelector('.rl-rates tbody').innerText.includes('cleo')")
    # Nothing matches: said, with a way back.
    page.fill("input[type=search]", "no such words")
    page.keyboard.press("Enter")
    text_of(page, 'No judgment matches[^]*prompt with "no such words"')
    page.click(".rl-finished button")
    page.wait_for_function(counted.format("40 pairs, 120 judgments"))
    lab.restart()
    page.wait_for_selector(".rl-browser .rl-banner:not([hidden])", timeout=5000)
    assert "kernel does not answer" in page.inner_text(".rl-browser .rl-banner")
    lab.revive()
    lab.run(SETUP)
    lab.show("b = JudgmentBrowser(votes, responses, prompts, by='intent')\nb")
    page.click(".rl-item >> nth=2")
    page.wait_for_timeout(1800)
    assert page.locator(".rl-browser .rl-banner:visible").count() == 0, "a kernel that answers is not called gone"


def test_bars_show_what_changed_first_and_no_interval_of_a_handful(lab: Book):
    lab.run(SETUP)
    lab.run(
        "labels = pd.Series(['still'] * 20 + ['sure'] * 20 + ['few'] * 5 + ['gains'] * 15, index=by.index)\n"
        "flat = pd.DataFrame({'akkouq': 1.0, 'tabmow': 0.0}, by.index)\n"
        "flat.loc[labels == 'still'] = 0.5\n"
        "flat.loc[labels == 'gains', 'akkouq'] = [0.0, 0.9] * 7 + [0.5]\n"
        "price = cost.where(labels != 'still', 0.01)\n"
        "plot = EvidencePlot(sweep_estimates(flat, price), flat, price, by=labels)"
    )
    lab.show("plot")
    page = lab.page
    bars = [row.split("\n") for row in page.locator(".rl-bar-row").all_inner_texts()]
    assert bars[-1][0] == "still" and "no change" in bars[-1][1], "what does not change stands last"
    said = {row[0]: row[1] for row in bars}
    assert "too few" in said["few"] and "[" not in said["few"] and "[" in said["sure"]
    inside = """[...document.querySelectorAll('.rl-bar-row')].map((row) => {
        const [track, whisker] = ['.rl-track', '.rl-whisker'].map((c) => row.querySelector(c)?.getBoundingClientRect());
        return !whisker || (whisker.left >= track.left - 1 && whisker.right <= track.right + 1 && whisker.width > 2);
    })"""
    assert all(page.evaluate(inside))
    assert page.locator(".rl-bar-row:has-text('few') .rl-whisker").count() == 0
    page.click(".rl-bar-row:has-text('gains')")
    page.wait_for_function("document.querySelector('.rl-said').textContent.includes('15 prompts in gains')")
    assert page.locator(".rl-bar-row[aria-pressed=true]").inner_text().startswith("gains")


def test_new_intents_are_confirmed_twins_are_pointed_out_and_names_can_be_changed(lab: Book):
    lab.run(SETUP)
    lab.show("l = IntentLabeler(prompts, ['cooking', 'code'], log='owner/n.jsonl', rater='ana')\nl")
    page = lab.page
    search = page.locator(".rl-search input")

    def typed(name: str) -> str:
        page.wait_for_timeout(300)
        search.fill(name)
        search.press("Enter")
        page.wait_for_selector(".rl-asked:not([hidden])")
        return page.inner_text(".rl-asked")

    def labels() -> list[str]:
        return json.loads(lab.run("print(pd.Series(l.labels.tolist()).to_json(orient='values'))", 2))

    assert "is in the list, written “cooking”" in typed("Cooking")
    assert page.locator(".rl-asked button:has-text('Create')").count() == 0
    assert page.inner_text(".rl-count").startswith("0 of"), "nothing is given before it is confirmed"
    page.keyboard.press("Enter")  # on "Use cooking"
    page.wait_for_function("document.querySelector('.rl-count').textContent.startsWith('1 of')")
    assert "Did you mean" in typed("cokoing")
    page.click(".rl-asked button:has-text('Create cokoing')")
    page.wait_for_function("document.querySelector('.rl-count').textContent.startsWith('2 of')")
    typed("travel")
    page.keyboard.press("Escape")
    assert page.locator(".rl-asked").is_hidden()
    typed("travel")
    page.click(".rl-asked button:has-text('Create travel')")
    page.wait_for_function("document.querySelector('.rl-count').textContent.startsWith('3 of')")
    assert labels() == ["cooking", "cokoing", "travel"]
    # Merge the typo, rename another.
    page.click(".rl-names summary")
    row = "[data-name={}]"
    page.fill(row.format("cokoing") + " input", "cooking")
    page.click(row.format("cokoing") + " button")
    assert "1 prompt of cokoing will be cooking" in page.inner_text(row.format("cokoing"))
    page.click(row.format("cokoing") + " button")
    page.wait_for_function("!document.querySelector('[data-name=cokoing]')")
    page.fill(row.format("travel") + " input", "trips")
    page.click(row.format("travel") + " button")
    page.wait_for_selector(row.format("trips"))
    assert labels() == ["cooking", "cooking", "trips"]
    again = (
        "l = IntentLabeler(prompts, ['cooking', 'code'], log='owner/n.jsonl', rater='ana'); print(l.state['intents'])"
    )
    assert lab.run(again, 2).strip() == "['cooking', 'code', 'trips']", "a new kernel reads the new names"
    # Choices stand in two columns in a narrow page.
    columns = "new Set([...document.querySelectorAll('.rl-choice')].map((e) => e.offsetLeft)).size"
    assert page.evaluate(columns) == 3
    page.set_viewport_size({"width": 700, "height": 1000})
    page.wait_for_function(f"{columns} === 2")
    page.set_viewport_size({"width": 1280, "height": 1000})


def test_the_dashboard_reads_the_logs_again_sorts_and_keeps_its_keys(lab: Book):
    lab.run(SETUP)
    lab.run(
        "c = PairComparator(responses, prompts, log='owner/votes', rater='ana', repeat_share=0)\n"
        "def vote(n, choice='left'):\n"
        "    for _ in range(n):\n"
        "        content = {'type': 'vote', 'nonce': os.urandom(8).hex(), 'id': c.state['item'], 'choice': choice}\n"
        "        c._handle_custom_msg(content, [])\n"
        "vote(3)"
    )
    lab.show("d = LabelingDashboard('owner/votes', responses)\nd")
    page = lab.page
    text_of(page, r"Votes\s+3\s+by 1 raters?[^]*ana\s+3 of 60")
    lab.run("vote(2)", 2)
    page.focus(".rl-dashboard")
    page.keyboard.press("r")
    text_of(page, r"Votes\s+5\s+by")
    lab.show("d = LabelingDashboard(votes)\nd")
    text_of(page, "cleo")
    rows = "document.querySelectorAll('.rl-dashboard section:first-of-type tbody tr')"
    names = f"[...{rows}].map((row) => row.cells[0].innerText)"
    assert page.evaluate(names) == ["ana", "ben", "cleo"]
    page.click(".rl-dashboard .rl-sort >> nth=2")
    assert page.evaluate(names)[-1] == "cleo", "who votes for the right side most stands last"
    assert page.get_attribute(".rl-dashboard section:first-of-type th:nth-child(3)", "aria-sort") == "descending"
    shown = page.inner_text(".rl-dashboard")
    compute = "from routerlab.labeling import krippendorff_alpha as k\nprint(f'{k(votes).alpha:.2f}')"
    alpha = lab.run(compute, 2)
    assert f"Krippendorff's alpha\n{alpha.strip()}" in shown
    assert "The first" not in shown and shown.count("akkouq · tabmow") == 20
    cells = lab.cells()
    for place in (".rl-dashboard", ".rl-sort", ".rl-dashboard .rl-btn", ".rl-dashboard .rl-wide"):
        for key in [*"abdxm", "Shift+Enter", "d", "d"]:
            page.locator(place).first.focus()
            page.keyboard.press(key)
    assert lab.cells() == cells
    lab.restart()
    page.wait_for_selector(".rl-dashboard .rl-banner:not([hidden])", timeout=5000)
    lab.revive()
