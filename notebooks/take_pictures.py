"""Take the pictures of the widgets that the READMEs and notebook 02 show, in a real JupyterLab, light and dark.

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
demo = rl.load_demo()
wins = {"model_a": (1, 0), "model_b": (0, 1), "tie": (0.5, 0.5), "both_bad": (0, 0)}
won = pd.DataFrame(demo.verdicts["winner"].map(wins).tolist(), columns=["model_a", "model_b"])
sides = [
    pd.DataFrame({"prompt_id": demo.verdicts["prompt_id"], "model": demo.verdicts[side], "quality": won[side]})
    for side in won
]
quality = pd.concat(sides).pivot_table(index="prompt_id", columns="model", values="quality")
seconds = demo.responses.pivot(index="prompt_id", columns="model", values="latency_s")[quality.columns]
cost = (seconds * 0.05 / 3600).fillna(0.002).loc[quality.index]
labels = demo.prompts["intent"].loc[quality.index]
X = rl.LsaEmbedder(64).fit_transform(demo.prompts["prompt"].loc[quality.index])
router = rl.KNNRouter(10).fit(X, quality, cost=cost)
"""
# Name of the picture, what is shown, and the keys pressed before it is taken.
PICTURES = {
    "comparator": (
        "rl.PairComparator(demo.responses, demo.prompts, log='votes', rater='you', by='intent', random_state=4)",
        "1",
    ),
    "evidence": (
        "rl.EvidencePlot(router.sweep(X), quality, cost, by=labels).select(willingness_to_pay=(0.001, 0.5))",
        "",
    ),
    "dashboard": ("rl.LabelingDashboard(demo.judgments)", ""),
}
THEMES = {"": "JupyterLab Light", "_dark": "JupyterLab Dark"}


def take(book: Book, name: str, code: str, keys: str) -> None:
    """Show a widget, press the keys, and take its picture in both themes."""
    page: Any = book.page
    book.show(f"w = {code}\nw")
    page.focus(".rl")
    for key in keys:
        page.wait_for_timeout(1000)
        page.keyboard.press(key)
    for suffix, theme in THEMES.items():
        page.evaluate("(theme) => window.jupyterapp.commands.execute('apputils:change-theme', {theme})", theme)
        page.wait_for_function(f"document.body.dataset.jpThemeLight === '{json.dumps(not suffix)}'")
        page.wait_for_timeout(800)
        target = HERE / "images" / f"{name}{suffix}.png"
        page.locator(".rl").first.screenshot(path=target)
        print(target)


def main() -> None:
    """Take them all, or those named on the command line."""
    with TemporaryDirectory() as folder, jupyter(Path(folder)) as url, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
        page = browser.new_page(viewport={"width": 1180, "height": 1300})
        book = Book(page, url, Path(folder), "lab", IMPORTS)
        for name in sys.argv[1:] or PICTURES:
            take(book, name, *PICTURES[name])
        browser.close()


if __name__ == "__main__":
    main()
