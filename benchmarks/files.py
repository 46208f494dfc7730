"""What opening a long log takes: captures, a journal of completions, a vote log; against plain json and pandas.

python benchmarks/files.py              100,000 records in each file
python benchmarks/files.py 1000000      more: a file of captures is then about 1.6 GB
python benchmarks/files.py --against ../routerlab-0.1.0     against a checkout of an earlier version

Each figure comes from a process of its own: seconds of its processor time, and the peak of its memory less what the
imports take. "Plain" is what one writes without a library: read the file, `json.loads` on each line, a DataFrame of the
list of dicts. It checks nothing, and makes one table where `read_captured` makes six.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
MODELS = ("tiny", "small", "medium", "large", "huge", "vast")
WORDS = "how do I poach an egg for friends who like it soft and then fix my SQL query in the office".split()

READ = """
import json, resource, sys, time
import numpy, pandas
from pathlib import Path
import routerlab
from routerlab.completions._journal import Journal
from routerlab.labeling import VoteLog
from routerlab.serving import read_captured

def plain(path):
    return pandas.DataFrame([json.loads(line) for line in Path(path).read_bytes().split(b"\\n") if line])

def journal(path):
    opened = Journal(Path(path))
    opened.read()
    return opened

ways = {"plain": plain, "captures": read_captured, "journal": journal,
        "votes": lambda path: VoteLog(path, rater="ana", dataset_id="demo")}
pandas.DataFrame({"at": pandas.to_datetime(["2026-01-01T00:00:00Z"]), "a": ["x"]}).groupby("a").size()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
started = time.process_time()
kept = ways[sys.argv[1]](sys.argv[2])
seconds = time.process_time() - started
print(seconds, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
"""


def text(rng: random.Random, low: int, high: int) -> str:
    """Return made-up text of so many words."""
    return " ".join(rng.choices(WORDS, k=rng.randint(low, high)))


def time_of(k: int) -> str:
    """Return a time, a second later for each `k`."""
    return f"2026-01-{1 + k // 86400 % 28:02}T{k // 3600 % 24:02}:{k // 60 % 60:02}:{k % 60:02}.{k % 1000:03}+00:00"


def captures(n: int, rng: random.Random) -> Iterator[dict[str, Any]]:
    """Yield calls; every tenth has feedback."""
    yield {"format": "routerlab-captures", "version": 1}
    for k in range(n):
        model, quality = rng.choice(MODELS), {m: round(rng.random(), 4) for m in MODELS}
        call = {"type": "call", "request_id": f"{rng.getrandbits(128):032x}", "at": time_of(k), "asked": "routerlab"}
        call |= {"willingness_to_pay": 0.1, "prompt": text(rng, 10, 40), "chosen": model, "order": list(MODELS)}
        call |= {"quality": quality, "cost": {m: q / 100 for m, q in quality.items()}, "abstained": False}
        call |= {"explored": False, "propensity": 1.0, "provenance": None, "model": model}
        call |= {"served_by": f"{model} at api.example.com", "response": text(rng, 20, 80), "finish_reason": "stop"}
        call |= {"input_tokens": 20.0, "output_tokens": 40.0, "cost_usd": rng.random() / 1000}
        call |= {"cost_source": "own price", "routing_s": rng.random() / 100, "latency_s": rng.random()}
        call |= {"first_token_s": None, "total_s": rng.random(), "stream": False, "failures": [], "rested": []}
        yield call | {"error": None}
        if k % 10 == 0:
            yield {"type": "feedback", "request_id": call["request_id"], "quality": rng.random(), "note": None}


def journal(n: int, rng: random.Random) -> Iterator[dict[str, Any]]:
    """Yield the records of one run."""
    yield {"format": "routerlab-completions", "version": 1}
    yield {"type": "run", "run": "r", "at": time_of(0), "in_flight_usd": 0.1}
    for k in range(n):
        model = rng.choice(MODELS)
        record = {"type": "record", "key": sha256(str(k).encode()).hexdigest()}
        record |= {"sent": sha256(model.encode()).hexdigest(), "model": model, "text": text(rng, 20, 80)}
        record |= {"finish_reason": "stop", "input_tokens": 20.0, "output_tokens": 40.0, "cost_usd": 0.001}
        record |= {"cost_source": "own price", "latency_s": rng.random(), "attempts": 1}
        record |= {"served_by": f"{model} at api.example.com", "error": None, "at": time_of(k)}
        yield record | {"spent_usd": 0.001, "unsure_usd": 0.0, "prompt_id": f"p{k}"}
    yield {"type": "end", "run": "r", "unsure_usd": 0.0}


def votes(n: int, rng: random.Random) -> Iterator[dict[str, Any]]:
    """Yield one rater's votes."""
    yield {"format": "routerlab-votes", "version": 1, "rater": "ana", "dataset_id": "demo"}
    for k in range(n):
        a, b = rng.sample(MODELS, 2)
        vote = {"n": k + 1, "type": "vote", "nonce": f"{rng.getrandbits(128):032x}"}
        vote |= {"pair_id": f"{rng.getrandbits(64):016x}", "prompt_id": f"p{k}", "model_a": a, "model_b": b}
        vote |= {"winner": rng.choice(["model_a", "model_b", "tie"]), "judged_at": time_of(k), "side_seed": 0}
        yield vote | {"propensity": 0.5, "chosen_by": "uncertain", "intent": "cooking", "seconds": 3.2}


KINDS: dict[str, Callable[[int, random.Random], Iterator[dict[str, Any]]]] = {
    "captures": captures,
    "journal": journal,
    "votes": votes,
}


def measure(way: str, path: Path, package: Path) -> tuple[float, float]:
    """Return the seconds and megabytes that opening `path` takes, in a process of its own."""
    environment = {**os.environ, "PYTHONPATH": str(package)}
    command = [sys.executable, "-c", READ, way, str(path)]
    run = subprocess.run(command, capture_output=True, text=True, check=True, env=environment, cwd=package)
    seconds, megabytes = map(float, run.stdout.split())
    return seconds, megabytes


def main(n: int, against: Path | None, kinds: list[str]) -> None:
    """Print the table."""
    other = against.name if against else "plain"
    print(f"n = {n:,} records in each file\n")
    print(f"| file | MB | {other}, s | routerlab, s | ratio | {other}, MB | routerlab, MB | ratio |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for name in kinds:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"{name}.jsonl"
            with path.open("w", encoding="ascii") as file:
                file.writelines(json.dumps(record) + "\n" for record in KINDS[name](n, random.Random(0)))
            (new, new_mb) = measure(name, path, ROOT)
            (old, old_mb) = measure(name, path, against) if against else measure("plain", path, ROOT)
            size = path.stat().st_size / 2**20
        row = f"{size:,.0f} | {old:.2f} | {new:.2f} | {old / new:.1f} | {old_mb:,.0f} | {new_mb:,.0f} | "
        print(f"| {name} | {row}{old_mb / new_mb:.1f} |", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("records", type=int, nargs="?", default=100_000)
    parser.add_argument("--against", type=lambda text: Path(text).resolve())
    parser.add_argument("--only", choices=KINDS)
    given = parser.parse_args()
    main(given.records, given.against, [given.only] if given.only else list(KINDS))
