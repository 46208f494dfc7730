"""How often intervals hold the truth, verdicts are false and promises broken, on the samples that people have.

python benchmarks/coverage.py [simulations] [--part savings|promise|curves|raters] [--close 300 2000] [--write]

Populations of published files need ROUTERLAB_DATA. Each cell draws samples from a population with known truth.
`coverage` is the share of 95% intervals that hold it, among those given; `refused` the share not given; `false` the
share of lower ends above the truth, each of which would carry a false verdict at some margin (nominal 2.5%), of broken
promises, or of false verdicts (nominal as printed). `width` is the median; `width / 0.1.0's` is relative to the
percentile bootstrap of version 0.1.0 on the same samples. `median saving` is of the claim or promise, where keeping the
baseline saves nothing. Cells that look worse than they may be are simulated again, 300 times, and if they still do,
2,000 times (`--close`), and judged by that. Finished parts stay under .cache/coverage; `--write` puts all of them into
benchmarks/README.md.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from datetime import date
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks import coverage_curves, coverage_promise, coverage_raters, coverage_savings
from benchmarks.grid import Row, cell_of, close, failures, table, worst

PARTS = {
    "savings": coverage_savings.rows,
    "promise": coverage_promise.rows,
    "curves": coverage_curves.rows,
    "raters": coverage_raters.rows,
}


MARKS = "<!-- coverage -->", "<!-- end of coverage -->"
KEPT = Path(__file__).parents[1] / ".cache" / "coverage"


def run(part: str, n_simulations: int, n_close: list[int]) -> list[Row]:
    """Simulate one part of the grid, and again, ever more often, what looks worse than it may be."""
    found = []
    for row in PARTS[part](n_simulations):
        print(part, *cell_of(row), file=sys.stderr, flush=True)
        found.append(row)
    for n_again in n_close:
        looks_bad = close(found)
        print(part, f"{len(looks_bad)} cells again, {n_again} times", file=sys.stderr, flush=True)
        again = {cell_of(row): row for row in PARTS[part](n_again, only=looks_bad)}
        found = [again.get(cell_of(row), row) for row in found]
    return found


def section(rows: list[Row], head: str) -> str:
    """Write what README shows: what fails, what refuses, the worst cells of each measure, and promises."""
    bad = failures(rows)
    plain = [row for row in rows if row.get("ordinary") and row["n"] >= 150]
    refused = [row for row in rows if row["refused"] > 0 and row["measure"] != "promise"]
    wide = [ratio for row in plain if row["n"] >= 375 and (ratio := row.get("width / 0.1.0's"))]
    promises = [row for row in rows if row["measure"] == "promise" and row["n"] in (60, 400, 1000, 2000)]
    parts = [
        f"{head}\n\n{len(bad)} of {len(rows)} cells fail beyond simultaneous simulation error" + (":" if bad else "."),
        table(bad) if bad else "",
        f"{len(refused)} cells refuse some or all samples; {sum(row['refused'] > 0 for row in plain)} of them are "
        "cells of 150 or more independent prompts without rare failures.",
        f"There, intervals from 375 prompts on are at most {max(wide):.2f} times as wide as version 0.1.0's."
        if wide
        else "",
        "Worst cells of each measure: of least coverage, and whose false verdicts pass nominal by most",
        table(worst(rows)),
        "Promises",
        table(promises),
    ]
    return "\n\n".join(part for part in (parts if promises else parts[:-2]) if part)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("simulations", type=int, nargs="?", default=100)
    parser.add_argument("--part", choices=PARTS)
    parser.add_argument("--close", type=int, nargs="*", default=[300, 2000])
    parser.add_argument("--write", action="store_true", help="put the summary into benchmarks/README.md")
    given = parser.parse_args()
    KEPT.mkdir(parents=True, exist_ok=True)
    for part in [given.part] if given.part else PARTS:
        start = time.process_time()
        found = run(part, given.simulations, given.close)
        times = " then ".join(str(n) for n in [given.simulations, *given.close])
        said = f"{part}: {times} simulations a cell, fixed seeds, {date.today()}"
        (KEPT / f"{part}.json").write_text(json.dumps({"head": said, "rows": found}), encoding="utf-8")
        print(f"{said} ({(time.process_time() - start) / 60:.0f} minutes)\n\n{table(found)}\n", flush=True)
    kept = [json.loads((KEPT / f"{part}.json").read_text()) for part in PARTS if (KEPT / f"{part}.json").exists()]
    everything = [row for part in kept for row in part["rows"]]
    summary = section(everything, "; ".join(part["head"] for part in kept))
    print(summary)
    if given.write:
        readme = Path(__file__).with_name("README.md")
        before, _, rest = readme.read_text(encoding="utf-8").partition(MARKS[0])
        after = rest.partition(MARKS[1])[2]
        readme.write_text(f"{before}{MARKS[0]}\n{summary}\n{MARKS[1]}{after}", encoding="utf-8")
