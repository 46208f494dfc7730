"""Notebooks mark their key numbers, and the comparison of `notebooks/execute.py --check` can fail."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import nbformat
import pandas as pd
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output

import routerlab as rl

ROOT = Path(__file__).parents[1]
# label.ipynb is an app that Voila serves, not a story.
NOTEBOOKS = [p for p in sorted((ROOT / "notebooks").rglob("*.ipynb")) if p.stem != "label"]

_spec = importlib.util.spec_from_file_location("execute", ROOT / "notebooks" / "execute.py")
execute = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(execute)

COMMITTED = "saving 0.362 [0.310, 0.402]; points -1.4; share 27.9%; n = 14,042 prompts; gpt-4 wins"


def notebook(*outputs: str, tags: tuple[str, ...] = ("numbers",)) -> nbformat.NotebookNode:
    cells = [new_code_cell(metadata={"tags": list(tags)}, outputs=[new_output("stream", text=t)]) for t in outputs]
    return new_notebook(cells=cells)


def compared(executed: str, tags: tuple[str, ...] = ("numbers",)) -> list[str]:
    return execute.differences(notebook(COMMITTED, tags=tags), notebook(executed, tags=tags))


@pytest.mark.parametrize("path", [pytest.param(p, id=p.stem) for p in NOTEBOOKS])
def test_every_notebook_marks_its_key_numbers(path):
    marked = execute.tagged(nbformat.read(path, as_version=4), "numbers")
    assert marked, "tag the cell that shows the key numbers 'numbers'"
    for cell in marked:
        assert any(execute.NUMBER.fullmatch(token) for token in execute.tokens(execute.texts(cell))), cell.source


@pytest.mark.parametrize(
    "executed", [COMMITTED, COMMITTED.replace("0.362", "0.371"), COMMITTED.replace("27.9", "28.8")]
)
def test_rounding_on_another_machine_passes(executed):
    assert compared(executed) == []


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("0.362", "0.375"),
        ("0.362", "-0.362"),
        ("0.362", "nan"),
        ("27.9%", "29.1%"),
        ("-1.4", "-1.5"),
        ("14,042", "14,041"),
        ("gpt-4", "mixtral"),
        ("wins", "does not win"),
    ],
)
def test_a_changed_number_count_or_word_fails(before, after):
    assert compared(COMMITTED.replace(before, after))


def test_a_tag_widens_the_tolerance_of_its_cell_only_for_numbers():
    tags = ("numbers", "tolerance=0.2")
    assert compared(COMMITTED.replace("-1.4", "-1.5"), tags) == []
    assert compared(COMMITTED.replace("-1.4", "-1.7"), tags)
    assert compared(COMMITTED.replace("14,042", "14,041"), tags)


def test_a_notebook_without_key_numbers_or_with_a_cell_less_fails():
    assert execute.differences(new_notebook(), new_notebook()) == ["no cell is tagged 'numbers'"]
    with pytest.raises(ValueError, match="zip"):
        execute.differences(notebook(COMMITTED, COMMITTED), notebook(COMMITTED))


def test_pictures_and_stderr_are_no_numbers():
    cell = new_code_cell(
        outputs=[
            new_output("stream", name="stderr", text="5 s"),
            new_output("display_data", {"image/png": "", "text/plain": "<Figure size 700x450>"}),
            new_output("execute_result", {"text/markdown": "**0.5**", "text/plain": "<Markdown>"}),
        ]
    )
    assert execute.texts(cell) == "**0.5**"


@pytest.mark.slow
@pytest.mark.realdata
def test_no_published_text_is_in_a_notebook(published_data):
    alpaca = rl.fetch_alpaca_eval(["claude-2.1"])
    published = [alpaca.prompts["prompt"], alpaca.responses["response"], rl.fetch_auto_j().prompts["prompt"]]
    published += [rl.fetch_routellm("mmlu").prompts["prompt"], rl.fetch_routerbench().prompts["question"]]
    openings = {text.strip()[:40] for text in pd.concat(published) if len(text.strip()) >= 40}
    assert len(openings) > 10_000
    for path in NOTEBOOKS:
        cells = nbformat.read(path, as_version=4).cells
        outputs = [str(dict(o, data=no_pictures(o))) for cell in cells for o in cell.get("outputs", [])]
        shown = "\n".join([*(cell.source for cell in cells), *outputs])
        found = [opening for opening in openings if opening in shown or repr(opening)[1:-1] in shown]
        assert not found, f"{path.name} shows {len(found)} published texts"


def no_pictures(output: nbformat.NotebookNode) -> dict[str, str]:
    return {kind: text for kind, text in output.get("data", {}).items() if not kind.startswith("image/")}
