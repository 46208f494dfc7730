"""Take the pictures of the widgets that the READMEs and notebook 02 show, in a real JupyterLab.

python notebooks/take_pictures.py    # needs the browser extra and Chromium: see make test-browser
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests" / "browser"))

from apps import FLAGS, Book, chromium, jupyter  # noqa: E402
from playwright.sync_api import sync_playwright  # noqa: E402

IMPORTS = """
import pandas as pd, routerlab as rl
from routerlab.widgets import EvidencePlot
demo = rl.load_demo()
asked = demo.prompts.loc[demo.responses["prompt_id"].unique()]
X = rl.LsaEmbedder(64).fit_transform(asked["prompt"])
comparator = rl.PairComparator(demo.responses, demo.prompts, log="votes", rater="you", by="intent", random_state=4)
"""
# Name of the picture, what is shown, and the keys pressed before it is taken.
PICTURES = {
    "comparator": ("comparator", "1"),
    "evidence": ("plot.select(willingness_to_pay=(0.05, 0.5))", ""),
}
DARK = ("comparator",)  # shown light or dark as the reader has it; the others stand in a notebook, once
TALLEST = 1330  # pixels; the rest of a longer page is left out
THEMES = {"": "JupyterLab Light", "_dark": "JupyterLab Dark"}


def cell_with(text: str) -> str:
    """Return the code of notebook 02's cell that holds `text`: what is pictured is what the reader runs."""
    cells = json.loads((HERE / "02_label_side_by_side.ipynb").read_text(encoding="utf-8"))["cells"]
    return next(code for code in ("".join(cell["source"]) for cell in cells) if text in code)


def take(book: Book, name: str, code: str, keys: str) -> None:
    """Show a widget, press the keys, and take its picture, in both themes where both are shown."""
    page: Any = book.page
    book.show(code)
    page.focus(".rl")
    for key in keys:
        page.wait_for_timeout(1000)
        page.keyboard.press(key)
    for suffix, theme in THEMES.items():
        if suffix and name not in DARK:
            continue
        page.evaluate("(theme) => window.jupyterapp.commands.execute('apputils:change-theme', {theme})", theme)
        page.wait_for_function(f"document.body.dataset.jpThemeLight === '{json.dumps(not suffix)}'")
        page.wait_for_timeout(800)
        first, last = (page.locator(".rl").nth(at).bounding_box() for at in (0, -1))
        height = min(last["y"] + last["height"] - first["y"], TALLEST)
        target = HERE / "images" / f"{name}{suffix}.png"
        page.screenshot(path=target, clip={**first, "height": height})
        print(target)


def main() -> None:
    """Take them all, or those named on the command line."""
    with TemporaryDirectory() as folder, jupyter(Path(folder)) as url, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
        page = browser.new_page(viewport={"width": 1180, "height": 1800})
        book = Book(page, url, Path(folder), "lab", IMPORTS)
        book.run(cell_with("EvidencePlot(sweep").removesuffix("\nplot"))
        for name in sys.argv[1:] or PICTURES:
            take(book, name, *PICTURES[name])
        browser.close()


if __name__ == "__main__":
    main()
