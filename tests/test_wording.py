"""Who wrote and judged the demo's real part is said in one way: its authors, who are AI agents, and no person."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FORBIDDEN = re.compile(
    r"human[- ]written|written by (?:a )?(?:human|person|people)|(?:a person|people|humans?)'s? (?:answers?|responses?)"
    r"|human (?:writers?|authors?|answers?|responses?)|one reader\b|him ?self|\bleave a person\b|simulated people",
    re.IGNORECASE,
)
PAGES = sorted(
    path
    for pattern in ("*.md", "notebooks/**/*.md", "notebooks/**/*.ipynb", "data/*.md", "data/*.py", "routerlab/**/*.py")
    for path in ROOT.glob(pattern)
    if path.name != "CHANGELOG.md" and ".ipynb_checkpoints" not in path.parts
)


def words(path: Path) -> str:
    """Text of a page; of a notebook prose, code and printed outputs, no pictures."""
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".ipynb":
        return re.sub(r"\s+", " ", text)
    parts = []
    for cell in json.loads(text)["cells"]:
        parts += cell["source"]
        for output in cell.get("outputs", []):
            parts += output.get("text", [])
            for kind, lines in output.get("data", {}).items():
                parts += lines if kind.startswith("text") else []
    return re.sub(r"\s+", " ", "".join(parts))


@pytest.mark.parametrize(
    "text", ["the human-written responses", "a person's answer costs", "138 prompts and one reader"]
)
def test_the_pattern_finds_what_was_said_wrongly(text):
    assert FORBIDDEN.search(text)


@pytest.mark.parametrize("path", [pytest.param(p, id=str(p.relative_to(ROOT))) for p in PAGES])
def test_no_page_calls_what_agents_wrote_a_persons(path):
    found = [words(path)[max(m.start() - 60, 0) : m.end() + 60] for m in FORBIDDEN.finditer(words(path))]
    assert not found, found


@pytest.mark.parametrize(
    "page", ["data/README.md", "routerlab/datasets/_demo.py", "notebooks/02_label_side_by_side.ipynb"]
)
def test_pages_on_the_real_part_say_that_its_authors_are_ai_agents(page):
    assert re.search(r"authors[^.]{0,40}AI agents", words(ROOT / page))
