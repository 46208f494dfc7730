"""A toy router over two models on a loopback server, for the tests of routerlab.serving."""

from __future__ import annotations

import asyncio

import pandas as pd
import pytest

import routerlab as rl
from routerlab.serving import AsyncRoutedClient, RoutedClient
from tests.llm_server import LLMServer

EASY = ["How do I poach an egg?", "How do I boil rice?", "How do I fry an egg?", "How do I steam rice?"]
HARD = ["Fix my SQL query", "Fix my Python script", "Repair this SQL statement", "Fix this Python function"]
MODELS = ("small", "large")
PRICES = {"small": (1.0, 2.0), "large": (10.0, 30.0)}


@pytest.fixture(scope="module")
def embedder():
    return rl.LsaEmbedder().fit(EASY + HARD)


@pytest.fixture(scope="module")
def router(embedder):
    quality = pd.DataFrame({"small": [0.9] * 4 + [0.2] * 4, "large": [0.9] * 8})
    cost = pd.DataFrame({"small": [0.0001] * 8, "large": [0.01] * 8})
    return rl.KNNRouter(n_neighbors=3, willingness_to_pay=0.1).fit(embedder.transform(EASY + HARD), quality, cost=cost)


@pytest.fixture
def server():
    with LLMServer(prices=PRICES) as running:
        yield running


@pytest.fixture
def local(server):
    with server.client() as client:
        yield client


@pytest.fixture
def make(router, embedder, local, tmp_path):
    """Make a client of the server's; its captures are at ``make.path``."""

    def client(endpoints=None, *, kind=RoutedClient, local=local, **options):
        return kind(
            router, embedder, endpoints, **{"client": local, "prices": PRICES, "capture": client.path} | options
        )

    client.path = tmp_path / "captured.jsonl"
    return client


def run_async(make, server, scenario, **options):
    """Run ``scenario(client)`` with an asynchronous client of the server's."""

    async def main():
        async with server.async_client() as local:
            return await scenario(make(kind=AsyncRoutedClient, local=local, **options))

    return asyncio.run(main())


def ask(client, prompt, **options):
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": prompt}]
    return client.chat.completions.create(**{"model": "routerlab", "messages": messages} | options)
