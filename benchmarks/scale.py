"""Sweep, frontier and savings on two Dask workers against one frame in memory: numbers, time, memory, growth.

python benchmarks/scale.py                 1,000,000 prompts x 11 models, a worker killed in a second run
python benchmarks/scale.py --n 10000000    the same for so many; 1,000,000 in memory stay the yardstick
python benchmarks/scale.py --n 10000000 --whole   and all of them in one frame, where memory allows

Data are drawn, written to a temporary folder in files of 500,000 prompts, and removed afterwards.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

ROWS = 500_000  # in a file
YARDSTICK = 1_000_000
MODELS = [f"m{k:02d}" for k in range(11)]
WTP, BASELINE = 0.01, "m10"
CORE = ("sweep", "frontier", "savings")
STAGES = ("sweep", "frontier", "frontier with intervals", "savings")


def draw(folder: Path, n: int) -> None:
    """Write estimates and outcomes of simulated prompts: dearer models are better, prompts differ."""
    price, worth = np.geomspace(1e-4, 1e-2, len(MODELS)), np.linspace(0.3, 0.7, len(MODELS))
    for number, start in enumerate(range(0, n, ROWS)):
        rng = np.random.default_rng([7, number])
        rows = min(ROWS, n - start)
        index = pd.Index([f"prompt-{k}" for k in range(start, start + rows)], name="prompt_id")
        length = np.exp(0.5 * rng.normal(size=(rows, 1)))
        expected = np.clip(worth + 0.2 * rng.normal(size=(rows, 1)) + 0.1 * rng.normal(size=(rows, len(MODELS))), 0, 1)
        frames = {
            "expected_quality": expected,
            "expected_cost": price * length,
            "quality": np.clip(expected + 0.2 * rng.normal(size=expected.shape), 0, 1),
            "cost": price * length * np.exp(0.2 * rng.normal(size=expected.shape)),
        }
        for name, values in frames.items():
            (folder / name).mkdir(exist_ok=True)
            pd.DataFrame(values, index, MODELS).to_parquet(folder / name / f"part-{number:04d}.parquet")


class Clock:
    """Seconds of each stage: on the wall, and of the processors, which other programs on the machine hardly change."""

    def __init__(self, cpu: Callable[[], float] = time.process_time) -> None:
        self.cpu, self.wall, self.of_cpu = cpu, {}, {}

    def __call__(self, stage: str, action: Callable[[], Any]) -> Any:
        """Run one stage."""
        start, before = time.perf_counter(), self.cpu()
        result = action()
        self.wall[stage], self.of_cpu[stage] = time.perf_counter() - start, self.cpu() - before
        return result


def in_memory(folder: Path, n: int) -> None:
    """Do all in one frame, in this process alone, and write what came of it."""
    import routerlab as rl
    from routerlab.decision import sweep_estimates

    files = sorted(path.name for path in (folder / "cost").glob("*.parquet"))[: -(-n // ROWS)]
    names = ("expected_quality", "expected_cost", "quality", "cost")
    frames = [pd.concat([pd.read_parquet(folder / name / file) for file in files]).iloc[:n] for name in names]
    clock = Clock()
    sweep = clock("sweep", lambda: sweep_estimates(frames[0], frames[1]))
    curve = clock("frontier", lambda: rl.frontier(sweep, *frames[2:]))
    with_ends = clock("frontier with intervals", lambda: rl.frontier(sweep, *frames[2:], ci=True))
    found = clock("savings", lambda: rl.savings(sweep.at(WTP), *frames[2:], baseline=BASELINE))
    curve.to_parquet(folder / f"curve-{n}.parquet")
    with_ends.to_parquet(folder / f"ends-{n}.parquet")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(json.dumps({"times": clock.wall, "cpu": clock.of_cpu, "peak": peak, "savings": asdict(found)}))


def memory_of(folder: Path, n: int) -> dict[str, Any]:
    """Run `in_memory` in a process of its own."""
    command = [sys.executable, __file__, "--in-memory", str(folder), "--n", str(n)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def on_workers(folder: Path, to: Path, client: Any) -> dict[str, Any]:
    """Do the same on partitions."""
    import routerlab as rl

    for module in ("routerlab.scale._totals", "pyarrow.parquet", "pyarrow.compute"):
        client.run(__import__, module)  # what a worker imports once is not counted
    expected, measured = ([folder / f"{kind}{name}" for name in ("quality", "cost")] for kind in ("expected_", ""))
    clock = Clock(lambda: time.process_time() + sum(client.run(time.process_time).values()))
    here: dict[str, Any] = {"client": client, "progress": False}
    sweep = clock("sweep", lambda: rl.sweep_parquet(*expected, to / "sweep", willingness_to_pay=WTP, **here))
    clock("frontier", lambda: rl.frontier_parquet(sweep, *measured, to / "curve", **here))
    ends = clock("frontier with intervals", lambda: rl.frontier_parquet(sweep, *measured, to / "ends", ci=True, **here))
    found = clock("savings", lambda: rl.savings_parquet(sweep, *measured, to / "savings", baseline=BASELINE, **here))
    peaks = client.run(lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20)
    return {
        "times": clock.wall, "cpu": clock.of_cpu, "peak": max(peaks.values()), "savings": asdict(found),
        "n_points": ends.attrs["n_points"],
    }  # fmt: skip


def largest_differences(one: Path, other: Path, first: dict[str, Any], second: dict[str, Any]) -> str:
    """Say how far two runs' operating points, savings and intervals lie apart."""
    apart = {}
    for kind in ("curve", "ends"):
        a, b = (pd.read_parquet(path.with_name(path.name.replace("ends", kind))) for path in (one, other))
        if len(a) != len(b) or not np.array_equal(a["willingness_to_pay"], b["willingness_to_pay"]):
            return f"operating points differ: {len(a):,} and {len(b):,}"
        for column in b.columns[1:]:
            of = "points" if column in ("cost_usd", "quality") else "their intervals"
            apart[of] = max(apart.get(of, 0.0), float(np.abs(a[column] - b[column]).max()))
    for name, value in second.items():
        if isinstance(value, float):
            of = "savings' intervals" if name.endswith(("low", "high")) else "savings' sums"
            apart[of] = max(apart.get(of, 0.0), abs(value - first[name]))
    return ", ".join(f"{of} {value:.1e}" for of, value in apart.items())


def size_of(folder: Path) -> float:
    """GB of the files of a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e9


def killing(client: Any, to: Path) -> threading.Thread:
    """Kill one worker by signal 9 as soon as the first partition is swept, and another while steps are written."""

    def kill() -> None:
        for wait in (lambda: list(to.glob("sweep/part-*")), lambda: list(to.glob("curve/_work/steps-*.arrow"))):
            while not wait():
                time.sleep(0.005)
            pid = next(iter(client.run(os.getpid).values()))
            os.kill(pid, signal.SIGKILL)

    thread = threading.Thread(target=kill, daemon=True)
    thread.start()
    return thread


def table(rows: list[list[str]], head: list[str]) -> None:
    """Print a table."""
    for row in (head, ["---"] * len(head), *rows):
        print("| " + " | ".join(row) + " |", flush=True)


def report(n: int, folder: Path, to: Path, yardstick: dict[str, Any], found: dict[str, Any]) -> None:
    """Print times against the yardstick, and what 100 million prompts would need."""
    ours, theirs, cpu, their_cpu = found["times"], yardstick["times"], found["cpu"], yardstick["cpu"]
    first = min(n, YARDSTICK)
    factor = n / first
    stages = [*((stage, (stage,)) for stage in STAGES), (" + ".join(CORE), CORE)]
    rows = []
    for name, parts in stages:
        seconds = [sum(of[part] for part in parts) for of in (theirs, ours, their_cpu, cpu)]
        rows.append([name, *(f"{took:.2f}" for took in seconds)])
        rows[-1] += [f"{seconds[1] / seconds[0] / factor:.2f}", f"{seconds[3] / seconds[2] / factor / 2:.2f}"]
    head = ["stage", f"{first:,} in memory, s", f"{n:,} on two workers, s", "processor seconds in memory"]
    head += ["of all processes", f"time / {factor:g} times that in memory", "processors' time likewise, on two"]
    table(rows, head)
    print(f"\npeak memory: {found['peak']:.2f} GB of a worker, {yardstick['peak']:.2f} GB in memory at {first:,}\n")
    disk = {"inputs": folder, "choices and switches": to / "sweep", "points with intervals": to / "ends"}
    rows = []
    for stage in STAGES:
        minutes = 1e8 * cpu[stage] / n / 60
        rows.append([stage, f"{1e6 * cpu[stage] / n:.2f} us", f"{minutes / 2:.0f} min", f"{minutes / 32:.1f} min"])
    for what, where in disk.items():
        parts = ("expected_quality", "expected_cost", "quality", "cost") if where == folder else (".",)
        gb = sum(size_of(where / part) for part in parts)
        rows.append([f"disk: {what}", f"{1e9 * gb / n:.0f} bytes", f"{1e8 * gb / n:.0f} GB", f"{1e8 * gb / n:.0f} GB"])
    steps = 40 * found["n_points"] / n
    whole = f"{steps / 10:.0f} GB"
    rows.append(["disk: steps, removed at the end", f"{steps:.0f} bytes", whole, whole])
    rows.append(["memory of a worker", "", *[f"{found['peak']:.2f} GB"] * 2])
    table(rows, ["per prompt (11 models)", "measured", "100 million, two workers", "100 million, 32 workers"])


def main() -> None:
    """Draw, run, compare, report, remove."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=1_000_000)
    parser.add_argument("--whole", action="store_true", help="compare with all prompts in one frame")
    parser.add_argument("--in-memory", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.in_memory:
        in_memory(args.in_memory, args.n)
        return
    from distributed import Client, LocalCluster

    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": "127.0.0.1:0", "host": "127.0.0.1"}
    with tempfile.TemporaryDirectory(prefix="routerlab-scale-") as root:
        folder = Path(root)
        draw(folder, args.n)
        yardstick = memory_of(folder, min(args.n, YARDSTICK))
        with LocalCluster(**options) as cluster, Client(cluster) as client:
            found = on_workers(folder, folder / "out", client)
        print(f"n = {args.n:,} prompts x {len(MODELS)} models, {found['n_points']:,} operating points\n")
        report(args.n, folder, folder / "out", yardstick, found)
        if args.whole or args.n <= YARDSTICK:
            whole = yardstick if args.n <= YARDSTICK else memory_of(folder, args.n)
            ends = folder / f"ends-{args.n}.parquet"
            apart = largest_differences(folder / "out" / "ends", ends, found["savings"], whole["savings"])
            print(f"\nlargest differences from one frame in memory: {apart}")
            if args.n > YARDSTICK:
                seconds = ", ".join(f"{stage} {took:.1f} s" for stage, took in whole["times"].items())
                print(f"all {args.n:,} in memory: {seconds}; {whole['peak']:.1f} GB")
        if args.n <= YARDSTICK:
            with LocalCluster(**options) as cluster, Client(cluster) as client:
                thread = killing(client, folder / "again")
                again = on_workers(folder, folder / "again", client)
                thread.join(1)
            killed = largest_differences(
                folder / "again" / "ends", folder / "out" / "ends", again["savings"], found["savings"]
            )
            print(f"\nthe same with two workers killed by signal 9: {killed}")


if __name__ == "__main__":
    main()
