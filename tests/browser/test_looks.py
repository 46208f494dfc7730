"""Readable in every theme and width, usable without a mouse: axe-core finds nothing serious."""

from __future__ import annotations

import json
from typing import Any

import pytest
from apps import Book

from routerlab.widgets._labeler import style

SETUP = """
shutil.rmtree("looks", ignore_errors=True)
text = '''# Title {i}

Some **bold** `code`, [a link](http://x.invalid), ![an image](y)

> quote

```python
def f(x): return 'a' + 1  # {m}
```

| a | b |
|-|-|
| 1 | 2 |

| first | second | third | fourth | fifth | sixth | seventh | eighth | ninth | tenth | eleventh | twelfth |
|-|-|-|-|-|-|-|-|-|-|-|-|
| unbreakable | unbreakable | unbreakable | unbreakable | unbreakable | unbreakable | unbreakable | unbreakable |

- [x] one $x^2$
- two

\\[ x = y \\]
'''
responses, prompts = table(8, text=text + "more words " * 150)
prompts["intent"] = ["cooking", "code"] * 4
verdicts = [("ana", "model_a"), ("ben", "tie")]
rows = [(p, "akkouq", "tabmow", w, j, "because") for p in prompts.prompt_id[:4] for j, w in verdicts]
votes = pd.DataFrame(rows, columns=["prompt_id", "model_a", "model_b", "winner", "judge", "note"])
owner = {"ratings": True, "criteria": {"accuracy": "verdict", "style": "strength"}}
known = prompts.set_index("prompt_id").intent[:4]

from routerlab.decision import sweep_estimates
from routerlab import load_offers
from routerlab.widgets import EvidencePlot, LabelingDashboard, OfferExplorer
by = prompts.set_index("prompt_id").intent
quality = pd.DataFrame({"akkouq": np.linspace(0.9, 0.6, 8), "tabmow": np.linspace(0.2, 0.5, 8)}, by.index)
cost = pd.DataFrame({"akkouq": 0.03, "tabmow": 0.001}, by.index)
sweep = sweep_estimates(quality, cost)
"""
WIDGETS = {
    "comparator": "PairComparator(responses, prompts, log='looks', rater='ana', by='intent', judgments=votes,\n"
    "    guidelines='Be **fair**.', **owner)",
    "intents": "IntentLabeler(prompts, ['cooking', 'code', 'chat'], log='looks/i.jsonl', rater='ana', labels=known)",
    "browser": "JudgmentBrowser(votes, responses, prompts, by='intent')",
    "dashboard": "LabelingDashboard(votes, responses)",
    "offers": "OfferExplorer(load_offers(), on='2026-11-29', quality={'gpt-4o': .8}).filter(without=['free'])",
    "evidence": "EvidencePlot(sweep, quality, cost, by=by).select(willingness_to_pay=(.1, .04), intents='code')",
}
THEMES = {"light": "JupyterLab Light", "dark": "JupyterLab Dark"}


@pytest.fixture
def themed(lab: Book):
    def switch(theme: str) -> None:
        lab.page.evaluate(
            "(theme) => window.jupyterapp.commands.execute('apputils:change-theme', {theme})", THEMES[theme]
        )
        lab.page.wait_for_function(f"document.body.dataset.jpThemeLight === '{json.dumps(theme == 'light')}'")

    yield switch
    switch("light")
    lab.page.set_viewport_size({"width": 1280, "height": 1000})


@pytest.mark.parametrize("name", WIDGETS)
def test_axe_finds_nothing_serious(lab: Book, axe: str, themed, name: str):
    page = lab.page
    lab.run(SETUP)
    lab.show(f"w = {WIDGETS[name]}\nw")
    if not page.evaluate("typeof window.axe === 'object'"):
        page.evaluate(axe)
    for theme, width in (("light", 1280), ("dark", 1280), ("dark", 600), ("light", 600)):
        themed(theme)
        page.set_viewport_size({"width": width, "height": 1000})
        page.focus(".rl-thumb" if name == "evidence" else ".rl")
        if name == "comparator" and theme == "light" and width == 1280:
            for key in "1dg?n":
                page.wait_for_timeout(350)
                page.keyboard.press(key)
        page.wait_for_timeout(300)
        result = page.evaluate("window.axe.run('.rl', {resultTypes: ['violations']})")
        serious = [
            (v["id"], [(n["html"][:120], n["failureSummary"][:300]) for n in v["nodes"][:3]])
            for v in result["violations"] if v["impact"] in ("serious", "critical")
        ]  # fmt: skip
        assert not serious, (theme, width, serious)
        wide = "[...document.querySelectorAll('.rl')].filter((e) => e.scrollWidth > e.clientWidth + 1).length"
        assert page.evaluate(wide) == 0, (theme, width)


def test_columns_stand_side_by_side_or_stacked(lab: Book, themed):
    lab.run(SETUP)
    lab.show(f"w = {WIDGETS['comparator']}\nw")

    def tops() -> list[float]:
        return lab.page.evaluate(
            "[...document.querySelectorAll('.rl-col')].map((e) => Math.round(e.getBoundingClientRect().top))"
        )

    assert tops()[0] == tops()[1]
    heights = lab.page.evaluate("[...document.querySelectorAll('.rl-col')].map((e) => e.offsetHeight)")
    assert heights[0] == heights[1]
    lab.page.evaluate("document.querySelector('.rl-text').scrollTop = 1e6")
    lab.page.wait_for_function("document.querySelectorAll('.rl-text')[1].scrollTop > 0")
    lab.page.set_viewport_size({"width": 600, "height": 1000})
    lab.page.wait_for_timeout(200)
    assert tops()[0] < tops()[1]


# VS Code's own themes: class of the body, background of its editor.
CODE_THEMES = {
    "Dark Modern": ("vscode-dark", "#1f1f1f"),
    "Solarized Dark": ("vscode-dark", "#002b36"),
    "Monokai": ("vscode-dark", "#272822"),
    "High Contrast": ("vscode-high-contrast", "#000000"),
    "Light Modern": ("vscode-light", "#ffffff"),
    "Solarized Light": ("vscode-light", "#fdf6e3"),
    "High Contrast Light": ("vscode-high-contrast vscode-high-contrast-light", "#ffffff"),
}
PARTS = "title hint count label muted chip reveal num model hl-k hl-s hl-c hl-m hl-f waits none split tick".split()


@pytest.mark.parametrize("theme", CODE_THEMES)
def test_text_is_readable_in_vs_codes_themes(chrome: Any, axe: str, theme: str):
    """VS Code is not here; its class names and variables are."""
    kind, background = CODE_THEMES[theme]
    parts = "".join(f'<p class="rl-{part}">some text</p>' for part in PARTS)
    parts += '<button class="rl-btn rl-vote rl-a">A</button><button class="rl-btn rl-vote rl-b">B</button>'
    parts += '<div class="rl-notice">notice</div><div class="rl-banner">banner</div><div class="rl-said">said</div>'
    parts += '<span class="rl-reveal rl-a">a</span><span class="rl-reveal rl-b">b</span><kbd>1</kbd>'
    page = chrome.new_page()
    page.set_content(
        f'<html lang="en"><style>{style()}</style><body class="{kind}" style="background:{background};'
        f'--vscode-editor-background:{background};--vscode-font-family:monospace"><div class="rl">{parts}</div></body>'
    )
    shown = page.evaluate("(() => { const s = getComputedStyle(document.querySelector('.rl')); "
                          "return [s.backgroundColor, s.fontFamily]; })()")  # fmt: skip
    red, green, blue = (int(background[i : i + 2], 16) for i in (1, 3, 5))
    assert shown == [f"rgb({red}, {green}, {blue})", "monospace"]
    page.evaluate(axe)
    result = page.evaluate("window.axe.run('.rl', {runOnly: ['color-contrast']})")
    assert not [(n["html"], n["failureSummary"]) for v in result["violations"] for n in v["nodes"]]
    page.close()
