"""One thing has one number: what README and the benchmarks' page quote is what `benchmarks/figures.json` holds."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from benchmarks import figures

ROOT = Path(__file__).parents[1]
ROWS = figures.read()
NUMBER = r"([-+]?\d*\.?\d+)%?"
# "24.5% [22.7, 26.7]", "-0.6 points [-1.3, +0.0]", "76 [66, 91]"
QUOTED = re.compile(rf"{NUMBER}(?: of cost| points(?: of \w+)?)? \[{NUMBER}, {NUMBER}\]")


def digits(text: str) -> int:
    return len(text.partition(".")[2])


def is_rounded(text: str, value: float) -> bool:
    return abs(float(text) - value) <= 0.5 * 10 ** -digits(text) + 1e-4  # the file holds six decimals


def known(quoted: tuple[str, ...], *starts: str) -> bool:
    """Whether a figure of these benchmarks, as a share, in percent or what is left of 100%, has these three numbers."""
    rows = [row for name, row in ROWS.items() if name.startswith(starts) and row["low"] is not None]
    triples = [[row["value"], row["low"], row["high"]] for row in rows]
    triples += [[1 - row["value"], 1 - row["high"], 1 - row["low"]] for row in rows]
    return any(
        all(is_rounded(text, times * value) for text, value in zip(quoted, triple, strict=True))
        for triple in triples
        for times in (1, 100)
    )


def section(page: str, start: str, end: str) -> str:
    text = (ROOT / page).read_text(encoding="utf-8")
    return text[text.index(start) : text.index(end)]


BENCHMARKS = "benchmarks/README.md"


@pytest.mark.parametrize(
    ("page", "start", "end", "of"),
    [
        ("README.md", "In ten lines", "## With your own prompts", ["ten lines", "quickstart"]),
        ("README.md", "## Measured", "## Why", ["mmlu", "routerbench", "embedding", "cascades"]),
        (BENCHMARKS, "## MMLU", "## RouterBench", ["mmlu"]),
        (BENCHMARKS, "## RouterBench", "## Coverage", ["routerbench"]),
        (BENCHMARKS, "## Ask, check", "## The mean", ["cascades"]),
        (BENCHMARKS, "## The quickstart", "## Labelling", ["ten lines", "quickstart"]),
    ],
)
def test_every_interval_that_is_quoted_stands_in_the_file_of_figures(page, start, end, of):
    quoted = QUOTED.findall(section(page, start, end))
    assert quoted
    assert [q for q in quoted if not known(q, *of)] == []


@pytest.mark.parametrize(
    ("page", "text", "names"),
    [
        ("README.md", "{:.1%}, +19.8 points", ["embedding: intent accuracy, IntentEmbedder"]),
        ("README.md", "{:.1%}: plain MiniLM", ["embedding: intent accuracy, MiniLM"]),
        ("README.md", "{:.2f} s, {:.0f}x quicker", ["ratings: seconds", "ratings: times quicker than evalica"]),
        ("README.md", "{:.2f} s, {:.2f} GB", ["speed: exact frontier, seconds", "speed: exact frontier, GB"]),
        ("README.md", "saves {:.1%}: GPT-4 Turbo keeps 99% of prompts", ["alpaca eval, promise of 1 point: saving"]),
        ("README.md", "at 5 points {:.1%}", ["alpaca eval, promise of 5 points: saving"]),
        ("README.md", "{:.0%}: with every verdict foreseen", ["alpaca eval, every verdict foreseen: saving"]),
        ("README.md", "on 20 others the same recipe saved {:.0%}", ["quickstart, 20 splits: saving"]),
    ],
)
def test_a_number_without_an_interval_is_the_one_in_the_file(page, text, names):
    said = text.format(*(ROWS[name]["value"] for name in names))
    assert said in re.sub(r"\s+", " ", (ROOT / page).read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("notebook", "name", "places"),
    [
        ("06_cost_and_quality", "routerbench, kNN, k = 200, promise of 3 points: saving", 0),
        ("06_cost_and_quality", "routerbench, kNN, k = 200, promise of 3 points: quality difference", 1),
        ("case_studies/routerbench", "routerbench, kNN, k = 200, promise of 3 points: saving", 0),
        ("case_studies/routerbench", "routerbench, kNN, k = 200, promise of 3 points: quality difference", 1),
        ("case_studies/routerbench", "routerbench, kNN, k = 200: AIQ less zero router", 1),
        ("case_studies/routellm_mmlu", "mmlu, layer 3: APGR", 3),
    ],
)
def test_notebooks_give_the_same_figure(notebook, name, places):
    cells = json.loads((ROOT / "notebooks" / f"{notebook}.ipynb").read_text(encoding="utf-8"))["cells"]
    shown = "".join(
        line for c in cells for o in c.get("outputs", []) for line in o.get("data", {}).get("text/markdown", "")
    )
    times = 1 if places == 3 else 100
    figure = [times * ROWS[name][key] for key in ("value", "low", "high")]
    found = [q for q in QUOTED.findall(shown) if all(map(is_rounded, q, figure))]
    assert any(digits(q[0]) == places for q in found), shown


def test_a_figure_has_a_protocol_a_command_that_exists_and_ends_in_order():
    for name, row in ROWS.items():
        assert row["protocol"] and row["n"], name
        script = re.fullmatch(r"python (benchmarks/\w+\.py).*|make notebooks", row["command"])
        assert script, name
        assert script[1] is None or (ROOT / script[1]).exists(), name
        assert row["low"] is None or row["low"] <= row["value"] <= row["high"], name


def test_a_changed_figure_would_be_found():
    row = next(row for name, row in ROWS.items() if name == "mmlu, layer 3: APGR")
    assert known(tuple(f"{row[key]:.3f}" for key in ("value", "low", "high")), "mmlu")
    assert not known(tuple(f"{row[key] + 0.002:.3f}" for key in ("value", "low", "high")), "mmlu")
    assert not known(tuple(f"{row[key]:.3f}" for key in ("value", "low", "high")), "routerbench")


def test_figures_are_recorded_as_they_are_read(tmp_path, monkeypatch):
    monkeypatch.setattr(figures, "PATH", tmp_path / "figures.json")
    figures.record("a", (0.5, 0.25, 0.75), n=4, protocol="p", command="python benchmarks/mmlu.py")
    figures.record("b", 2, n=4, protocol="p", command="python benchmarks/mmlu.py")
    assert figures.read()["a"] | {} == {
        "value": 0.5, "low": 0.25, "high": 0.75, "n": 4, "protocol": "p", "command": "python benchmarks/mmlu.py"
    }  # fmt: skip
    assert json.loads(figures.PATH.read_text(encoding="utf-8"))["b"]["low"] is None
