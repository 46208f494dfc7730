"""Every router keeps to the operating point that it was set to: the baseline, or a share of the prompts."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import RidgeCV

import routerlab as rl
from routerlab.options import CascadeRouter

MODELS = ["small", "tiny", "large"]
N = 800  # half to learn from, half to promise on


@pytest.fixture(scope="module")
def world():
    rng = np.random.default_rng(0)
    index = pd.Index([f"p{k}" for k in range(N)], name="prompt_id")
    X = pd.DataFrame(rng.normal(size=(N, 4)), index, columns=list("abcd"))
    right = rng.random((N, 3)) < [0.85, 0.8, 0.9]
    quality = pd.DataFrame(right.astype(float), index, MODELS)
    cost = pd.DataFrame(rng.lognormal(0, 0.2, (N, 3)) * [0.001, 0.0005, 0.01], index, MODELS)
    said = [
        pd.DataFrame({"prompt_id": index, "model": model, "response": rng.choice(["A", "B"], N)})  # tells nothing
        for model in ("small", "tiny")
    ]
    votes = pd.DataFrame({"prompt_id": index, "model_a": "small", "model_b": "large"})
    votes["winner"] = np.where(rng.random(N) < 0.4, "model_a", "model_b")
    return X, quality, cost, pd.concat(said), votes


def fitted(kind, world):
    """Fit on the first half; return the router, and its columns' outcomes on the second."""
    X, quality, cost, said, votes = (table.loc[table.index[: N // 2]] if len(table) == N else table for table in world)
    said = world[3][world[3]["prompt_id"].isin(X.index)]
    router = {
        "knn": lambda: rl.KNNRouter(10).fit(X, quality, cost=cost),
        "intents": lambda: rl.IntentRouter(10).fit(
            X, pd.Series(np.where(X["a"] > 0, "x", "y"), X.index), quality=quality, cost=cost
        ),
        "mean": lambda: rl.MeanRouter([rl.KNNRouter(10), rl.KNNRouter(20)]).fit(X, quality, cost=cost),
        "any regressor": lambda: rl.Router(RidgeCV()).fit(X, quality, cost=cost),
        "votes": lambda: rl.SimilarityWeightedRouter().fit(X, votes, cost=cost[["small", "large"]]),
        "cascade": lambda: CascadeRouter(rl.KNNRouter(10), [["small", "tiny"]], n_steps=3).fit(
            X, quality, cost=cost, responses=said
        ),
    }[kind]()
    X, quality, cost = (table.iloc[N // 2 :] for table in world[:3])
    if kind == "cascade":
        said = world[3][world[3]["prompt_id"].isin(X.index)]
        return router, X, *router.outcomes(X, quality, cost, responses=said)
    return router, X, quality[list(router.models_)], cost[list(router.models_)]


@pytest.mark.parametrize("kind", ["knn", "intents", "mean", "any regressor", "votes", "cascade"])
def test_where_nothing_can_be_promised_all_prompts_stay_with_the_baseline(kind, world):
    router, X, quality, cost = fitted(kind, world)
    bar = {"baseline": "large", "max_quality_loss": 0.001, "guarantee": 0.95}
    chosen = rl.set_operating_point(router, X, quality, cost, **bar)
    assert chosen.operating_point_.keeps_baseline
    for answer in (chosen.predict(X), chosen.sweep(X).at(0.0), chosen.sweep(X).at(np.inf)):
        assert (answer == "large").all()
    assert chosen.estimate(X).abstained.all()
    assert not router.estimate(X).abstained.any()  # the one that was given is left as it is


@pytest.mark.parametrize("kind", ["knn", "intents", "mean", "any regressor", "votes", "cascade"])
def test_what_is_promised_for_a_share_is_done_for_that_share(kind, world):
    router, X, quality, cost = fitted(kind, world)
    for bar in np.arange(0.02, 0.3, 0.01):
        options = {"baseline": "large", "max_quality_loss": bar, "guarantee": 0.95}
        chosen = rl.set_operating_point(router, X, quality, cost, **options)
        if 0.1 < chosen.operating_point_.share < 0.9:
            break
    else:
        pytest.fail("no bar led to a share")
    share = chosen.operating_point_.share
    abstained = chosen.estimate(X).abstained
    assert np.mean(~abstained) == pytest.approx(share, abs=4 * np.sqrt(share * (1 - share) / len(X)))
    assert (chosen.predict(X)[abstained] == "large").all()
    assert (chosen.sweep(X).at(0.0)[abstained] == "large").all()
    pd.testing.assert_series_equal(chosen.predict(X.iloc[::-1]).iloc[::-1], chosen.predict(X))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n_steps": 0}, "'n_steps' must be a whole number of at least 1"),
        ({"n_steps": 2.0}, "'n_steps' must be a whole number of at least 1"),
        ({"first": [["nobody"]]}, "has nothing of 'nobody'"),
        ({"responses": lambda said: said.assign(prompt_id=np.arange(len(said)))}, "has no response for 800 prompts"),
    ],
)
def test_a_cascade_router_says_what_is_wrong(change, message, world):
    X, quality, cost, said, _ = world
    said = change.pop("responses", lambda table: table)(said)
    router = CascadeRouter(rl.KNNRouter(10), **{"first": ["small"], "n_steps": 2} | change)
    with pytest.raises(ValueError, match=message):
        router.fit(X, quality, cost=cost, responses=said)


def test_one_name_is_a_set_of_one(world):
    X, quality, cost, said, _ = world
    fits = [
        CascadeRouter(rl.KNNRouter(10), first, n_steps=2).fit(X, quality, cost=cost, responses=said)
        for first in ("small", ["small"])
    ]
    assert fits[0].models_.tolist() == fits[1].models_.tolist()
