"""How often intervals hold the truth, verdicts are false and promises broken, on the samples that people have.

python benchmarks/coverage.py [simulations] [--part savings|promise|curves|raters] [--close 400]

Populations of published files need ROUTERLAB_DATA. Each cell draws samples from a population with known truth.
`coverage` is the share of 95% intervals that hold it, among those given; `refused` the share not given; `false` the
share of lower ends above the truth, each of which would carry a false verdict at some margin (nominal 2.5%), of broken
promises, or of false verdicts (nominal as printed). `width` is the median; `width / 0.1.0's` is relative to the
percentile bootstrap of version 0.1.0 on the same samples. `median saving` is of the claim or promise, where keeping the
baseline saves nothing. Cells that look worse than they may be are simulated again, `--close` times, and judged by that.
"""

from __future__ import annotations

import argparse
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


def run(part: str, n_simulations: int, n_close: int) -> list[Row]:
    """Simulate one part of the grid, and again what looks worse than it may be."""
    found = list(PARTS[part](n_simulations))
    again = {cell_of(row): row for row in PARTS[part](n_close, only=close(found))}
    return [again.get(cell_of(row), row) for row in found]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("simulations", type=int, nargs="?", default=100)
    parser.add_argument("--part", choices=PARTS)
    parser.add_argument("--close", type=int, default=400)
    given = parser.parse_args()
    print(f"{given.simulations} simulations a cell, {given.close} where it looked close; {date.today()}; fixed seeds\n")
    everything: list[Row] = []
    for part in [given.part] if given.part else PARTS:
        start = time.process_time()
        found = run(part, given.simulations, given.close)
        everything += found
        print(f"{part} ({(time.process_time() - start) / 60:.0f} minutes)\n\n{table(found)}\n", flush=True)
    bad = failures(everything)
    print(f"worst cells of each measure\n\n{table(worst(everything))}\n")
    print(f"{len(bad)} of {len(everything)} cells fail beyond simultaneous simulation error" + (":\n" if bad else ""))
    print(table(bad) if bad else "")
