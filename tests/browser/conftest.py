"""One server and one browser for the session; one notebook for each app."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from apps import FLAGS, ROOT, Book, chromium, jupyter

# The models' names stand backwards here, so that a name in the page is one that the widget leaked.
IMPORTS = """
import os, pathlib, shutil, zlib, numpy as np, pandas as pd
from routerlab.labeling import VoteLog
from routerlab.widgets import IntentLabeler, JudgmentBrowser, PairComparator

def table(n_prompts, models=("quokka", "wombat"), text="Response of {m} to prompt {i}: " + "word " * 120):
    codes = {m: zlib.crc32(m.encode()) % 997 for m in models}
    rows = [(f"p{i}", m[::-1], text.format(i=i, m=codes[m])) for i in range(n_prompts) for m in models]
    responses = pd.DataFrame(rows, columns=["prompt_id", "model", "response"])
    prompts = [(f"p{i}", f"Prompt number {i}?") for i in range(n_prompts)]
    return responses, pd.DataFrame(prompts, columns=["prompt_id", "prompt"])
"""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.browser)


MEASURED: list[str] = []


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Show what was measured."""
    for line in MEASURED:
        terminalreporter.line(f"measured: {line}")


@pytest.fixture
def measured() -> list[str]:
    """Lines for the summary."""
    return MEASURED


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("notebooks")


@pytest.fixture(scope="session")
def server(folder: Path) -> Iterator[str]:
    with jupyter(folder) as url:
        yield url


@pytest.fixture(scope="session")
def chrome() -> Iterator[Any]:
    sync_api = pytest.importorskip("playwright.sync_api", reason="needs Playwright: pip install playwright")
    path = chromium()
    if path is None:
        pytest.skip("no Chromium here: apt-get install chromium, or set ROUTERLAB_CHROMIUM to one")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def axe() -> str:
    file = Path(os.environ.get("ROUTERLAB_AXE", ROOT / ".cache/node_modules/axe-core/axe.min.js"))
    if not file.is_file():
        pytest.skip("axe-core is not here: npm install --no-save --prefix .cache axe-core@4, or set ROUTERLAB_AXE")
    return file.read_text(encoding="utf-8")


@pytest.fixture(scope="session")
def books(chrome: Any, server: str, folder: Path) -> Iterator[dict[str, Book]]:
    """The notebooks opened so far, by app."""
    opened: dict[str, Book] = {}
    yield opened
    for book in opened.values():
        book.page.close()


def opened(app: str, books: dict[str, Book], chrome: Any, server: str, folder: Path) -> Book:
    if app not in books:
        page = chrome.new_page(viewport={"width": 1280, "height": 1000})
        page.set_default_timeout(20_000)
        books[app] = Book(page, server, folder, app, IMPORTS)
    return books[app]


@pytest.fixture(params=["lab", "notebook"])
def book(request: pytest.FixtureRequest, books: Any, chrome: Any, server: str, folder: Path) -> Book:
    """A notebook in each app, with routerlab imported."""
    return opened(request.param, books, chrome, server, folder)


@pytest.fixture
def lab(books: Any, chrome: Any, server: str, folder: Path) -> Book:
    """The notebook in JupyterLab."""
    return opened("lab", books, chrome, server, folder)
