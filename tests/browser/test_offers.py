"""Choosing among offers in a real browser: filters by mouse and keys, the unknown, what is picked, how quick it is."""

from __future__ import annotations

from apps import Book

SETUP = """
import routerlab as rl
from routerlab.widgets import OfferExplorer
rng = np.random.default_rng(0)
listed = rl.load_offers(on="2026-11-29")
copies = [listed.assign(provider=listed["provider"] + "x" * k, offer_id=None) for k in range(3)]
many = pd.concat(copies).iloc[:5000].reset_index(drop=True)
some = rng.random(5000) < 0.5
many["latency_p95_s"] = np.where(some, rng.lognormal(0.5, 0.6, 5000), np.nan)
many["region"] = np.where(some, rng.choice(["eu", "us"], 5000), None)
many["trains_on_data"] = pd.array(np.where(some, rng.random(5000) < 0.5, None), dtype="boolean")
demo = rl.load_demo().outcomes
e = OfferExplorer(rl.check_offers(many), on="2026-11-29", tokens=demo, quality=demo)
"""


def show(book: Book) -> None:
    book.run(SETUP)
    book.show("e", ".rl-offers")


def passing(page) -> int:
    return int(page.inner_text(".rl-offers .rl-count").split(" of ")[0].replace(",", ""))


def settled(page, before: str) -> None:
    page.wait_for_function("(b) => document.querySelector('.rl-offers').dataset.serial !== b", arg=before)


def serial(page) -> str:
    return page.get_attribute(".rl-offers", "data-serial")


def test_filters_find_what_python_finds_and_the_unknown_never_passes(book: Book):
    show(book)
    page = book.page
    assert passing(page) == 5000
    before = serial(page)
    page.fill("[data-filter=max_latency_p95_s]", "2")
    settled(page, before)
    before = serial(page)
    page.focus("[data-filter=no_training]")
    page.keyboard.press("Space")
    settled(page, before)
    demands = "on='2026-11-29', max_latency_p95_s=2, no_training=True"
    assert (
        book.run(f"f = rl.choose_offers(many, {demands}); print(len(f), len(e.found))", 2).split()
        == [str(passing(page))] * 2
    )
    assert "not known" in page.inner_text(".rl-off-funnel")
    before = serial(page)
    page.select_option("[data-filter=region]", "eu")
    settled(page, before)
    before = serial(page)
    page.fill("[data-filter=max_monthly_usd]", "0.0001")
    settled(page, before)
    assert "No offer is left: region='eu' removed" not in page.inner_text(".rl-offers .rl-notice")
    assert "removed the last" in page.inner_text(".rl-offers .rl-notice")
    page.click(".rl-offers button:has-text('Clear filters')")
    page.wait_for_function("document.querySelector('.rl-offers .rl-count').textContent.startsWith('5,000 of')")


def test_what_is_picked_comes_back_as_a_table(book: Book):
    show(book)
    page, cells = book.page, book.cells()
    before = serial(page)
    page.focus(".rl-off-table tbody tr:nth-child(2) input")
    page.keyboard.press("Space")
    settled(page, before)
    assert page.evaluate("document.activeElement.matches('.rl-off-table tbody tr:nth-child(2) input')"), "focus is kept"
    before = serial(page)
    page.click(".rl-off-sort[data-sort=quality]")
    settled(page, before)
    before = serial(page)
    page.check(".rl-off-table tbody tr:nth-child(1) input")
    settled(page, before)
    for key in ("a", "b", "d", "d", "x", "m", "Shift+Enter"):
        page.keyboard.press(key)
    picked = book.run("print(*e.chosen['offer_id'], sep='\\n')", 2).split("\n")
    assert len([name for name in picked if name]) == 2
    assert book.cells()[:2] == cells[:2], "no key reached the notebook"
    assert book.run("print(e.chosen['quality'].max() == e.found['quality'].max())", 2).strip() == "True"


def test_a_click_beside_a_dot_picks_the_nearest(lab: Book):
    show(lab)
    page = lab.page
    lab.run("_ = e.filter(base_model='gpt-4')", 2)
    page.wait_for_function("!document.querySelector('.rl-offers .rl-count').textContent.startsWith('5,000')")
    before = serial(page)
    path = page.get_attribute(".rl-off-dot", "d").split("h")[0].removeprefix("M").split()
    page.locator(".rl-off-stage svg").first.scroll_into_view_if_needed()
    box = page.locator(".rl-off-stage svg").first.bounding_box()
    page.mouse.click(
        box["x"] + float(path[0]) * box["width"] / 640 + 2, box["y"] + float(path[1]) * box["height"] / 330
    )
    settled(page, before)
    assert lab.run("print(e.chosen['base_model'].unique().tolist())", 2).strip() == "['gpt-4']"


def test_filter_to_picture_is_quick_at_five_thousand_offers(lab: Book, measured: list[str]):
    show(lab)
    page, took = lab.page, []
    for word in ("llama", "gpt", "qwen", "mistral", "claude", "llama"):
        before = serial(page)
        page.fill("[data-filter=search]", word)
        settled(page, before)
        took.append(int(page.get_attribute(".rl-offers", "data-took")))
    measured.append(
        f"offers: filter to picture at 5,000 offers {sorted(took)[len(took) // 2]} ms (median), {max(took)} ms"
    )
    assert sorted(took)[len(took) // 2] < 100


def test_a_saved_notebook_shows_a_table(book: Book):
    show(book)
    html = book.page.evaluate(
        "() => window.jupyterapp.shell.currentWidget.content.widgets[1].model.outputs.toJSON()[0].data['text/html']"
    )
    html = "".join(html)
    assert "USD a month" in html
    assert "5,000 of 5,000 offers pass" in html
    assert "<script" not in html


def test_a_stopped_kernel_is_said(lab: Book):
    show(lab)
    lab.restart()
    lab.page.fill("[data-filter=search]", "llama")
    lab.page.wait_for_selector(".rl-offers .rl-banner:has-text('kernel does not answer')")
    lab.revive()
