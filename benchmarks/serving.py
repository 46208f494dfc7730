"""What routing adds to a call: against the openai client alone, to a server on loopback that answers at once.

python benchmarks/serving.py            200 calls of each kind
python benchmarks/serving.py 50         fewer

The kinds take turns call by call, so that all meet the same load of the machine. A real model takes a second or so
where this server takes a millisecond: the last column sets what is added against that.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

from completions import SERVER

import routerlab as rl


def clients(url: str, folder: str) -> dict[str, Callable[[str], Any]]:
    """Return what is timed: name -> a function that sends one prompt."""
    import openai

    demo = rl.load_demo()
    quality, cost = rl.pivot_outcomes(demo.outcomes)
    texts = demo.prompts.loc[quality.index, "prompt"]
    lsa, minilm = rl.LsaEmbedder(64).fit(texts), rl.SentenceEmbedder(cache=False)
    X = {id(lsa): lsa.transform(texts), id(minilm): rl.SentenceEmbedder().transform(texts)}
    local = openai.OpenAI(base_url=url, api_key="loopback", max_retries=0)

    def routed(embedder: Any, model: str = "routerlab", **options: Any) -> Callable[[str], Any]:
        router = rl.KNNRouter(n_neighbors=30, willingness_to_pay=0.05).fit(X[id(embedder)], quality, cost=cost)
        client = rl.RoutedClient(router, embedder, client=local, prices=dict.fromkeys(quality, (1, 2)), **options)
        return lambda prompt: client.chat.completions.create(model=model, messages=message(prompt), max_tokens=50)

    return {
        "openai.OpenAI": lambda prompt: local.chat.completions.create(
            model="gpt-4", messages=message(prompt), max_tokens=50
        ),
        "RoutedClient, model named": routed(lsa, model="gpt-4"),
        "routed, LsaEmbedder": routed(lsa),
        "routed, MiniLM": routed(minilm),
        "routed, MiniLM, captured": routed(minilm, capture=f"{folder}/sync.jsonl"),
        "routed, MiniLM, captured with fsync=False": routed(minilm, capture=f"{folder}/lazy.jsonl", fsync=False),
    }


def message(prompt: str) -> list[dict[str, str]]:
    """Return the messages of one prompt."""
    return [{"role": "user", "content": prompt}]


def main() -> None:
    """Print the table."""
    n = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    command = [sys.executable, "-c", SERVER, str(Path(__file__).parents[1] / "tests")]
    pipe = subprocess.PIPE
    with (
        subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as server,
        tempfile.TemporaryDirectory() as folder,
    ):
        assert server.stdin and server.stdout
        kinds = clients(server.stdout.readline().strip(), folder)
        taken: dict[str, list[float]] = {name: [] for name in kinds}
        number = count()
        for k in range(n + 5):
            for name, send in kinds.items():
                started = time.perf_counter()
                send(f"How do I poach {next(number)} eggs for a party of friends who all like them soft?")
                if k >= 5:  # the first ones open connections and load the model
                    taken[name].append(time.perf_counter() - started)
        server.stdin.close()
    bare = statistics.median(taken["openai.OpenAI"])
    print(f"n = {n} calls of each kind, in turn; medians\n")
    print("| what | ms a call | times the first | added, ms | added to a reply that takes 1 s |")
    print("| --- | --- | --- | --- | --- |")
    for name, times in taken.items():
        took = statistics.median(times)
        added = statistics.median(a - b for a, b in zip(times, taken["openai.OpenAI"], strict=True))
        print(f"| {name} | {1000 * took:.1f} | {took / bare:.2f} | {1000 * added:.1f} | {added:.1%} |")


if __name__ == "__main__":
    main()
