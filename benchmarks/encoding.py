"""Encoding with and without torch: prompts a second, the first prompt of a process, and what int8 does to savings.

python benchmarks/encoding.py           all of it; the last part needs MMLU's published files (ROUTERLAB_DATA)
python benchmarks/encoding.py speed     a part: first, speed or savings
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

import numpy as np
from figures import record

import routerlab as rl

BACKENDS = ("torch", "onnx", "onnx-int8")
COMMAND = "python benchmarks/encoding.py"
STRONG = "gpt-4-1106-preview"
N_FIRST, N_SPEED, N_SAVINGS = 3, 96, 1600
FIRST = """
import time
start = time.perf_counter()
import routerlab as rl
rl.SentenceEmbedder(backend={0!r}, cache=False).transform(["How do I poach an egg?"])
print(time.perf_counter() - start)
"""
BARE = """
import time
start = time.perf_counter()
import pandas, scipy.stats, sklearn.base
print(time.perf_counter() - start)
"""


def first() -> None:
    """Seconds from the start of `import routerlab` to the first vector, each in a fresh process."""

    def seconds(code: str) -> float:
        return float(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout)

    codes = {"pandas, scipy.stats and scikit-learn alone": BARE} | {name: FIRST.format(name) for name in BACKENDS}
    taken: dict[str, list[float]] = {name: [] for name in codes}
    for _ in range(N_FIRST):  # in turn: the machine's other work hits all alike
        for name, code in codes.items():
            taken[name].append(seconds(code))
    print("\n| first prompt of a fresh process | seconds |\n| --- | --- |")
    for name, times in taken.items():
        print(f"| {name} | {statistics.median(times):.2f} |", flush=True)
    about = {"n": N_FIRST, "protocol": "median of fresh processes; two shared cores", "command": COMMAND}
    record("encoding: first prompt, onnx, seconds", statistics.median(taken["onnx"]), **about)
    record("encoding: first prompt, torch, seconds", statistics.median(taken["torch"]), **about)


def speed() -> None:
    """Prompts a second, batch by batch in turn, and how far vectors differ."""
    prompts = rl.load_demo().prompts["prompt"].sample(N_SPEED, random_state=0).tolist()
    encoders = {name: rl.SentenceEmbedder(backend=name, cache=False, window="mean") for name in BACKENDS}
    taken, vectors = {name: [] for name in BACKENDS}, {}
    for name, encoder in encoders.items():
        vectors[name] = encoder.transform(prompts).to_numpy()  # loads the model
    rounds = 3
    for _ in range(rounds):
        for name, encoder in encoders.items():
            start = time.perf_counter()
            encoder.transform(prompts)
            taken[name].append(time.perf_counter() - start)
    print(f"\n{N_SPEED} prompts of the demo, {np.median([len(p) for p in prompts]):.0f} characters in the median\n")
    print("| backend | prompts a second | against torch [range of rounds] | largest difference | least cosine |")
    print("|" + " --- |" * 5)
    for name in BACKENDS:
        ratio = sorted(t / own for t, own in zip(taken["torch"], taken[name], strict=True))
        apart = np.abs(vectors[name] - vectors["torch"]).max()
        cosine = (vectors[name] * vectors["torch"]).sum(axis=1).min()
        times = f"{statistics.median(ratio):.2f} [{ratio[0]:.2f}, {ratio[-1]:.2f}]"
        figures = f"{N_SPEED / statistics.median(taken[name]):,.0f} | {times} | {apart:.1e} | {cosine:.4f}"
        print(f"| {name} | {figures} |", flush=True)
        about = {
            "n": N_SPEED,
            "protocol": f"demo prompts, {rounds} rounds in turn; two shared cores",
            "command": COMMAND,
        }
        record(f"encoding: {name} against torch", (statistics.median(ratio), ratio[0], ratio[-1]), **about)


def savings() -> None:
    """Route MMLU by exact and by rounded vectors, and compare what they save."""
    data = rl.fetch_routellm("mmlu")
    quality, cost = rl.pivot_outcomes(data.outcomes)
    prompts = data.prompts["prompt"].loc[quality.index].drop_duplicates().sample(N_SAVINGS, random_state=0)
    quality, cost = quality.loc[prompts.index], cost.loc[prompts.index]
    train, rest = prompts.index[: N_SAVINGS // 2], prompts.index[N_SAVINGS // 2 :]
    tune, test = rest[: len(rest) // 3], rest[len(rest) // 3 :]
    chosen = {}
    for name in ("onnx", "onnx-int8"):
        X = rl.SentenceEmbedder(backend=name, window="mean").fit_transform(prompts)
        router = rl.KNNRouter(80).fit(X.loc[train], quality.loc[train], cost=cost.loc[train])
        curve = rl.frontier(router.sweep(X.loc[tune]), quality.loc[tune], cost.loc[tune])
        middle = (curve["cost_usd"].max() + curve["cost_usd"].min()) / 2
        wtp = float(curve.loc[(curve["cost_usd"] - middle).abs().idxmin(), "willingness_to_pay"])
        chosen[name] = router.sweep(X.loc[test]).at(wtp)
        print(f"\n{name}: {rl.savings(chosen[name], quality.loc[test], cost.loc[test], baseline=STRONG)}")
    gap = rl.compare(chosen["onnx-int8"], chosen["onnx"], quality.loc[test], cost.loc[test])
    paid = 100 / cost.loc[test, STRONG].mean()
    points = -paid * gap.cost_difference, -paid * gap.cost_high, -paid * gap.cost_low
    print("\nint8 less exact: saving {:+.2f} points [{:+.2f}, {:+.2f}]".format(*points))
    print(gap)
    same = float((chosen["onnx"] == chosen["onnx-int8"]).mean())
    print(f"the same model for {same:.1%} of the prompts")
    protocol = "MMLU, kNN, k = 80, half of the way between cheapest and dearest on tuning prompts; paired 95% interval"
    record("encoding: int8's saving less exact's, points", points, n=gap.n, protocol=protocol, command=COMMAND)


PARTS = {part.__name__: part for part in (first, speed, savings)}

if __name__ == "__main__":
    for part in sys.argv[1:] or PARTS:
        PARTS[part]()
