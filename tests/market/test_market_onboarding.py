"""A new model arrives: probes, a router that learns from them, and what models are worth."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import RidgeCV

import routerlab as rl
from routerlab import market
from routerlab.schema import TableError

N = 400
IDS = pd.Index([f"p{k}" for k in range(N)], name="prompt_id")


@pytest.fixture(scope="module")
def world():
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.normal(size=(N, 3)), index=IDS)
    chance = pd.DataFrame(
        {
            "large": 1 / (1 + np.exp(-(1.2 + X[1]))),
            "medium": 1 / (1 + np.exp(-(0.3 + X[0] + X[1]))),
            "small": 1 / (1 + np.exp(-(-0.5 + X[0]))),
            "new": 1 / (1 + np.exp(-(0.8 + X[0] + 0.5 * X[1]))),
        }
    )
    quality = (pd.DataFrame(rng.random((N, 4)), IDS, chance.columns) < chance).astype(float)
    cost = pd.DataFrame({"large": 0.01, "medium": 0.004, "small": 0.001, "new": 0.002}, index=IDS)
    return X, quality, cost


@pytest.fixture(scope="module")
def router(world):
    X, quality, cost = world
    old = ["large", "medium", "small"]
    return rl.KNNRouter(25, willingness_to_pay=0.03).fit(X, quality[old], cost=cost[old])


def asked(world, probes, **changes):
    _, quality, cost = world
    table = pd.DataFrame({"quality": quality.loc[probes, "new"], "cost_usd": cost.loc[probes, "new"]})
    return table.rename_axis("prompt_id").reset_index().assign(model="new", **changes)


def test_probes_are_training_prompts_that_stand_for_all(router):
    probes = market.probe_prompts(router, 60, random_state=1)
    assert len(probes) == 60
    assert probes.index.is_unique
    assert probes.index.isin(IDS).all()
    assert probes["weight"].sum() == pytest.approx(N)
    assert probes.equals(market.probe_prompts(router, 60, random_state=1))


def test_probes_lie_where_rivals_disagree(router):
    means = [market.probe_prompts(router, 60, random_state=k)["disagreement"].mean() for k in range(5)]
    assert np.mean(means) > router.quality_.std(axis=1).mean()


def test_copies_of_a_prompt_leave_enough_probes(world):
    X, quality, cost = world
    twice = rl.KNNRouter(5).fit(X.iloc[[0] * 30].set_axis(IDS[:30]), quality.iloc[:30] * 0 + 1, cost=cost.iloc[:30])
    probes = market.probe_prompts(twice, 20)
    assert len(probes) == 20
    assert probes["weight"].sum() == pytest.approx(30)


def test_the_router_learns_a_model_from_its_probes_and_stays_as_it_was(world, router):
    X, quality, _ = world
    probes = market.probe_prompts(router, 100)
    found = market.add_model(router, asked(world, probes.index), probes=probes)
    assert list(router.models_) == ["large", "medium", "small"]
    assert list(found.router.models_) == ["large", "medium", "small", "new"]
    believed = found.router.predict_quality(X)
    assert believed["new"].mean() == pytest.approx(quality["new"].mean(), abs=0.07)
    full = rl.KNNRouter(25).fit(X, quality, cost=world[2]).predict_quality(X)
    assert np.corrcoef(believed["new"], full["new"])[0, 1] > 0.6
    assert (found.router.predict(X) == "new").mean() > 0.2
    assert found.estimated == pytest.approx(0.75)
    assert "estimated: quality of new" in found.router.predict_quality(X).attrs["provenance"]


def test_a_model_that_is_better_and_cheaper_is_worth_adding_and_its_rival_not_worth_keeping(world, router):
    probes = market.probe_prompts(router, 100)
    found = market.add_model(router, asked(world, probes.index), probes=probes)
    new, medium = found.worth.loc["new"], found.worth.loc["medium"]
    assert new["low"] > 0
    assert new["share"] > 0.2
    assert medium["worth"] < new["worth"]
    assert "adding new" in repr(found)
    poor = market.add_model(router, asked(world, probes.index, quality=0.0, cost_usd=0.02), probes=probes)
    assert poor.worth.loc["new", "share"] < 0.02
    assert poor.worth.loc["new", "worth"] == pytest.approx(0, abs=0.2)


def test_worth_is_of_quality_where_willingness_to_pay_is_infinite(world, router):
    found = market.add_model(router, asked(world, IDS[:60]), willingness_to_pay=np.inf)
    assert found.unit == "points of quality"
    row = found.worth.loc["large"]
    assert row["worth"] == pytest.approx(100 * row["quality_gain"])


def test_costs_of_one_price_a_model_and_missing_cells_are_taken(world):
    X, quality, cost = world
    holes = quality[["large", "medium"]].copy()
    holes.iloc[::3, 0] = np.nan
    base = rl.KNNRouter(15, willingness_to_pay=0.05, cost_estimate="mean").fit(
        X, holes, cost=cost.mean()[["large", "medium"]]
    )
    found = market.add_model(base, asked(world, IDS[:80]))
    assert found.router.predict_cost(X)["new"].iloc[0] == pytest.approx(0.002)
    assert found.router.predict_quality(X).notna().all(axis=None)


OTHERS = {
    "ridge": rl.Router(RidgeCV([1.0, 10.0]), willingness_to_pay=0.03),
    "mean": rl.MeanRouter([rl.KNNRouter(25), rl.Router(RidgeCV([1.0, 10.0]))], willingness_to_pay=0.03),
    "intent": rl.IntentRouter(25, willingness_to_pay=0.03),
}


@pytest.mark.parametrize("kind", OTHERS)
def test_other_routers_learn_the_model_from_the_tables_they_were_fitted_on(world, kind):
    X, quality, cost = world
    old = ["large", "medium", "small"]
    data = {"X": X, "quality": quality[old], "cost": cost[old]}
    intents = np.where(X[0] > 0, "one", "two")
    if kind == "intent":
        base = OTHERS[kind].fit(X, intents, quality=quality[old], cost=cost[old])
    else:
        base = OTHERS[kind].fit(X, quality[old], cost=cost[old])
    with pytest.raises(TableError, match=f"{type(base).__name__}, which keeps no outcomes.*X=, quality=, cost="):
        market.probe_prompts(base)
    probes = market.probe_prompts(base, 100, **data)
    found = market.add_model(base, asked(world, probes.index), probes=probes, **data)
    assert list(base.models_) == old
    assert type(found.router) is type(base)
    assert list(found.router.models_) == [*old, "new"]
    believed = found.router.predict_quality(X)["new"]
    assert believed.mean() == pytest.approx(quality["new"].mean(), abs=0.07)
    assert believed[X[0] > 0].mean() > believed[X[0] < 0].mean() + 0.1
    assert (found.router.predict(X) == "new").mean() > 0.2
    assert "estimated: quality of new" in found.provenance
    assert "as a KNNRouter" in repr(found)


def test_tables_that_the_router_was_not_fitted_on_are_refused(world):
    X, quality, cost = world
    old = ["large", "medium"]
    base = rl.Router(RidgeCV([1.0])).fit(X, quality[old], cost=cost[old])
    with pytest.raises(TableError, match="the router differ in model 'small'"):
        market.probe_prompts(base, X=X, quality=quality[[*old, "small"]], cost=cost[[*old, "small"]])
    judged = pd.DataFrame({"prompt_id": IDS, "model_a": "large", "model_b": "medium", "winner": "tie"})
    votes = rl.SimilarityWeightedRouter().fit(X, judged, cost=cost[old])
    with pytest.raises(TableError, match="learns from judgments"):
        market.add_model(votes, asked(world, IDS[:40]))
    intent = rl.IntentRouter(5).fit(X, np.repeat("one", N), quality=quality[old], cost=cost[old])
    with pytest.raises(TableError, match="other prompts than the router"):
        market.probe_prompts(intent, X=X.iloc[:50], quality=quality[old].iloc[:50], cost=cost[old].iloc[:50])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: t.assign(model=["new", "other"] * (len(t) // 2)), "'new', 'other'.*one model at a time"),
        (lambda t: t.assign(model="large"), "'large', which the router knows"),
        (lambda t: t.assign(prompt_id="x" + t["prompt_id"]), "unknown to the router"),
        (lambda t: t.iloc[:5], "hold 5 prompts"),
        (lambda t: t.assign(quality=np.nan), "hold"),
        (lambda t: t.drop(columns="cost_usd"), "cost_usd"),
    ],
)
def test_bad_probes_are_refused_by_name(world, router, change, words):
    with pytest.raises(TableError, match=words):
        market.add_model(router, change(asked(world, IDS[:40])))


def test_bad_routers_and_numbers_are_refused(world, router):
    with pytest.raises(TableError, match="is a str"):
        market.probe_prompts("router")
    with pytest.raises(TableError, match="not fitted"):
        market.probe_prompts(rl.KNNRouter())
    with pytest.raises(ValueError, match="n_probes"):
        market.probe_prompts(router, N + 1)
    with pytest.raises(TableError, match="no weight of prompt"):
        market.add_model(router, asked(world, IDS[:40]), probes=pd.DataFrame({"weight": 1.0}, index=IDS[:20]))


@pytest.mark.slow
def test_the_interval_of_a_new_models_worth_holds_what_it_brings_to_other_prompts():
    from benchmarks.coverage_market import over_new_models

    (cell,) = over_new_models(100, 1, ["takes a third or more"])
    assert 0.93 <= cell["coverage"] <= 0.99
