"""The rule by which an edit of a catalogue counts as a change of price or as a correction."""

from __future__ import annotations

import importlib.util
from datetime import date, timedelta
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
_spec = importlib.util.spec_from_file_location("build_prices", ROOT / "data" / "build_prices.py")
build = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(build)

START = date(2024, 1, 1)


def steps(*prices: tuple[int, float, float]) -> list:
    """Steps from (day of first sight, input, output); each is seen until the day before the next."""
    made = []
    for k, (first, usd_in, usd_out) in enumerate(prices):
        last = prices[k + 1][0] - 1 if k + 1 < len(prices) else first + 100
        since, until = START + timedelta(days=first), START + timedelta(days=last)
        made.append(build.Step(usd_in, usd_out, None, made[-1].last if made else None, since, until, "catalogue 1"))
    return made


# Prices as seen, and the changes that count: (day, change, input).
CASES = {
    "a cut": ([(0, 5, 15), (60, 2.5, 10)], [(0, "first", 5), (60, "cut", 2.5)]),
    "a rise": ([(0, 1, 2), (60, 2, 4)], [(0, "first", 1), (60, "rise", 2)]),
    "a new entry that was wrong": ([(0, 5, 15), (20, 3, 9)], [(0, "first", 3), (0, "correction", 5)]),
    "undone within a month": (
        [(0, 5, 15), (60, 3, 9), (80, 5, 15)],
        [(0, "first", 5), (60, "correction", 3)],
    ),
    "undone after a month": (
        [(0, 5, 15), (60, 3, 9), (120, 5, 15)],
        [(0, "first", 5), (60, "cut", 3), (120, "rise", 5)],
    ),
    "a decimal point that slipped": (
        [(0, 1.63, 5.51), (60, 0.163, 0.551)],
        [(0, "first", 1.63), (60, "correction", 0.163)],
    ),
    "far too dear for a while": (
        [(0, 2, 8), (100, 900, 3000), (150, 2, 8)],
        [(0, "first", 2), (100, "correction", 900)],
    ),
    "free, then paid": ([(0, 0, 0), (60, 1, 2)], [(0, "first", 0), (60, "rise", 1)]),
}


@pytest.mark.parametrize("name", CASES)
def test_which_edits_are_changes(name):
    seen, expected = CASES[name]
    found = [((s.since - START).days, s.change, s.input) for s in build.corrected(steps(*seen))]
    assert found == expected


def test_a_dated_price_gives_the_day_and_fills_what_catalogues_missed():
    seen = build.corrected(steps((0, 10, 40), (60, 2, 8)))
    day = START + timedelta(days=55)
    exact = build.Step(2, 8, None, day - timedelta(days=1), day, None, "dated 1")
    old = build.Step(10, 40, None, None, None, None, "dated 1")
    known = build.merged(seen, [old, exact])
    assert [(s.since, s.change) for s in known] == [(START, "first"), (day, "cut")]
    assert known[1].source == "catalogue 1; day: dated 1"
    dated = [build.Step(2, 8, None, None, None, None, "d"), exact._replace(input=4, output=9)]
    missed = build.merged(build.corrected(steps((0, 2, 8))), dated)
    assert [(s.input, s.change) for s in missed] == [(2, "first"), (4, "rise")]


def test_the_pins_are_whole():
    lines = (ROOT / "data" / "price_wheels.csv").read_text(encoding="utf-8").splitlines()
    assert lines[0] == "package,version,seen,sha256,file"
    assert len(lines) > 30
    for line in lines[1:]:
        package, version, seen, digest, file = line.split(",")
        assert file.startswith(f"{package}-{version}-")
        assert file.endswith(".whl")
        assert len(digest) == 64
        date.fromisoformat(seen)
