"""A toy router over two models on a loopback server: the small one is good at cooking, and no good at code."""

import pandas as pd
import pytest

import routerlab as rl
from routerlab.serving import RoutedClient
from tests.llm_server import LLMServer
from tests.serving.toy import EASY, HARD, PRICES


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
    """Make a client of the server's that asks in the router's order; its captures are at ``make.path``."""

    def client(endpoints=None, *, kind=RoutedClient, local=local, router=router, **options):
        return kind(
            router,
            embedder,
            endpoints,
            **{"client": local, "prices": PRICES, "capture": client.path, "rest_s": 0} | options,
        )

    client.path = tmp_path / "captured.jsonl"
    return client
