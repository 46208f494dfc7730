"""How much the journal, the budget and the retries cost: against bare requests, to a server that answers at once.

python benchmarks/completions.py            2,000 requests
python benchmarks/completions.py 500        fewer

The kinds take turns, so that all meet the same load of the machine. The server runs in a process of its own, on
loopback. A real model takes seconds where this server takes less than a millisecond: what is compared here is all
overhead.
"""

from __future__ import annotations

import asyncio
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

CONCURRENCY, REPEATS = 32, 3
SERVER = """
import sys
sys.path.insert(0, sys.argv[1])
from llm_server import LLMServer
with LLMServer() as server:
    print(server.base_url, flush=True)
    sys.stdin.read()
"""


async def bare(url: str, n_requests: int) -> float:
    """Seconds for the same requests through AsyncOpenAI, a semaphore and gather, with nothing kept."""
    import openai

    slots = asyncio.Semaphore(CONCURRENCY)

    async def ask(k: int) -> Any:
        async with slots:
            message = {"role": "user", "content": f"prompt {k}"}
            return await client.chat.completions.create(model="m", messages=[message], max_tokens=200)

    async with openai.AsyncOpenAI(base_url=url, api_key="loopback", max_retries=0) as client:
        started = time.perf_counter()
        await asyncio.gather(*map(ask, range(n_requests)))
        return time.perf_counter() - started


def kept(url: str, n_requests: int, path: Path, budget_usd: float | None) -> float:
    """Seconds for collect_responses, journal on disk and all."""
    import openai

    import routerlab as rl

    prompts = [f"prompt {k}" for k in range(n_requests)]
    client = openai.OpenAI(base_url=url, api_key="loopback")
    started = time.perf_counter()
    rl.collect_responses(
        prompts,
        ["m"],
        path=path,
        client=client,
        prices={"m": (1, 2)},
        max_tokens=200,
        concurrency=CONCURRENCY,
        budget_usd=budget_usd,
        progress=False,
    )
    return time.perf_counter() - started


def main() -> None:
    """Print the table."""
    n_requests = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    tests = str(Path(__file__).parents[1] / "tests")
    command = [sys.executable, "-c", SERVER, tests]
    with (
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server,
        tempfile.TemporaryDirectory() as folder,
    ):
        assert server.stdin and server.stdout
        url = server.stdout.readline().strip()
        asyncio.run(bare(url, 50))
        kept(url, 50, Path(folder) / "warm.jsonl", 1.0)
        times: dict[str, list[float]] = {"bare": [], "kept": [], "resumed": []}
        for k in range(REPEATS):
            path = Path(folder) / f"{k}.jsonl"
            times["bare"].append(asyncio.run(bare(url, n_requests)))
            times["kept"].append(kept(url, n_requests, path, 10.0))
            times["resumed"].append(kept(url, n_requests, path, 10.0))
        server.stdin.close()
    names = {
        "bare": "AsyncOpenAI and gather, nothing kept",
        "kept": "collect_responses, journal and budget",
        "resumed": "the same again, all from the journal",
    }
    print(f"n = {n_requests:,} requests, {CONCURRENCY} in flight; median of {REPEATS} runs in turn\n")
    print("| what | seconds | requests a second | time against bare |\n| --- | --- | --- | --- |")
    for name, what in names.items():
        took = statistics.median(times[name])
        ratio = statistics.median(a / b for a, b in zip(times[name], times["bare"], strict=True))
        print(f"| {what} | {took:.2f} | {n_requests / took:,.0f} | {ratio:.2f} |")


if __name__ == "__main__":
    main()
