"""What offers cost on one's own tokens, and routers at new costs."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest

import routerlab as rl
from routerlab.market import check_offers, load_offers, load_price_history, reprice, stale_costs
from routerlab.schema import TableError

OFFERS = check_offers(
    pd.DataFrame(
        [
            {"provider": "a", "model": "small", "input_usd_per_1m": 1.0, "output_usd_per_1m": 2.0}
            | {"cache_read_usd_per_1m": 0.1, "batch_input_usd_per_1m": 0.5, "batch_output_usd_per_1m": 1.0},
            {"provider": "b", "model": "small", "input_usd_per_1m": 0.5, "output_usd_per_1m": 4.0},
            {"provider": "a", "model": "large", "input_usd_per_1m": 10.0, "output_usd_per_1m": 30.0}
            | {"valid_to": "2026-06-01"},
            {"provider": "a", "model": "large", "input_usd_per_1m": 5.0, "output_usd_per_1m": 15.0}
            | {"valid_from": "2026-06-01", "valid_to": "2026-09-01"},
            {"provider": "a", "model": "large", "input_usd_per_1m": 8.0, "output_usd_per_1m": 24.0}
            | {"valid_from": "2026-09-01"},
        ]
    )
)


def tokens(n: int = 4, **more: object) -> pd.DataFrame:
    rows = [
        {"prompt_id": f"p{k}", "model": model, "input_tokens": 1000.0 * (k + 1), "output_tokens": 100.0 * (k + 1)}
        for k in range(n)
        for model in ("small", "large")
    ]
    return pd.DataFrame(rows).assign(**more)


def test_the_price_of_a_day_times_the_tokens_of_each_prompt():
    priced = reprice(tokens(), OFFERS, on="2026-05-31").set_index(["prompt_id", "model"])
    assert priced.loc[("p1", "large"), "cost_usd"] == pytest.approx(2000 * 10e-6 + 200 * 30e-6)
    later = reprice(tokens(), OFFERS, on="2026-06-01").set_index(["prompt_id", "model"])
    assert later.loc[("p1", "large"), "cost_usd"] == pytest.approx(2000 * 5e-6 + 200 * 15e-6)


def test_each_model_is_bought_where_these_tokens_are_cheapest():
    assert set(reprice(tokens(), OFFERS, on="2026-07-01").query("model == 'small'")["offer_id"]) == {"small@b"}
    long = tokens(output_tokens=10_000.0)
    assert set(reprice(long, OFFERS, on="2026-07-01").query("model == 'small'")["offer_id"]) == {"small@a"}


def test_offers_become_options_with_rows_of_their_own():
    table = tokens(quality=0.5)
    priced = reprice(table, OFFERS, on="2026-07-01", per="offer")
    assert set(priced["model"]) == {"small@a", "small@b", "large@a"}
    quality, cost = rl.pivot_outcomes(priced)
    assert cost.loc["p0"].to_dict() == pytest.approx({"small@a": 0.0012, "small@b": 0.0009, "large@a": 0.0065})
    assert (quality == 0.5).all(axis=None)


def test_cache_and_batch_discounts_count_where_an_offer_has_them():
    cached = tokens(1, cached_tokens=500.0)
    priced = reprice(cached, OFFERS, on="2026-07-01", per="offer").set_index("model")["cost_usd"]
    assert priced["small@a"] == pytest.approx(500e-6 + 500 * 0.1e-6 + 100 * 2e-6)
    assert priced["small@b"] == pytest.approx(1000 * 0.5e-6 + 100 * 4e-6)
    batch = reprice(tokens(1), OFFERS, on="2026-07-01", per="offer", batch=True).set_index("model")["cost_usd"]
    assert batch["small@a"] == pytest.approx(1000 * 0.5e-6 + 100 * 1e-6)
    assert batch["large@a"] == pytest.approx(1000 * 5e-6 + 100 * 15e-6)


def test_the_list_prices_of_a_published_table_come_out():
    demo = rl.load_demo().outcomes
    gpt4 = demo[demo["model"] == "gpt-4"]
    history = load_price_history().query("provider == 'openai'")
    priced = reprice(gpt4.drop(columns="cost_usd"), history, on="2024-03-01")
    np.testing.assert_allclose(priced["cost_usd"], gpt4["cost_usd"], atol=1e-6)
    assert "costs: list prices of 2024-03-01" in priced.attrs["provenance"]
    assert "simulated" in priced.attrs["provenance"]


REFUSED = {
    "tokens without a count": (tokens(output_tokens=np.nan), OFFERS, r"'output_tokens'.*row 0 \(small\).*estimate"),
    "no column of counts": (tokens().drop(columns="input_tokens"), OFFERS, "'input_tokens' is missing"),
    "negative count": (tokens(input_tokens=-1), OFFERS, r"row 0 \(small\).*got -1"),
    "more cached than there is": (tokens(cached_tokens=1e5), OFFERS, r"more than 'input_tokens' in row 0"),
    "a model that nobody sells": (tokens(model="smal"), OFFERS, r"for 'smal'.*none at all \(near: 'small'\)"),
    "a model of another day": (tokens(), OFFERS.iloc[[0, 2]], r"for 'large': 'large' has offers .*to 2026-06-01"),
    "offers without a price": (tokens(), pd.DataFrame([{"provider": "a", "model": "small"}]), "is missing"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_nothing_is_guessed(name):
    table, offers, message = REFUSED[name]
    with pytest.raises(TableError, match=message):
        reprice(table, offers, on="2026-07-01")


def test_per_is_model_or_offer():
    with pytest.raises(ValueError, match="'model' or 'offer'"):
        reprice(tokens(), OFFERS, per="provider")


# Routers at new costs ------------------------------------------------------------------------------------------------

N = 40


def outcomes() -> pd.DataFrame:
    table = tokens(N)
    good = np.where(table["model"] == "large", 0.9, np.where(table["prompt_id"].str[1:].astype(int) % 2, 0.9, 0.2))
    return table.assign(quality=good)


def fitted(kind: str) -> tuple[object, pd.DataFrame]:
    quality, cost = rl.pivot_outcomes(reprice(outcomes(), OFFERS, on="2026-05-01"))
    X = pd.DataFrame(np.random.default_rng(0).normal(size=(N, 8)), index=quality.index)
    if kind == "knn":
        return rl.KNNRouter(n_neighbors=5, willingness_to_pay=0.05).fit(X, quality, cost=cost), X
    if kind == "knn, mean cost":
        return rl.KNNRouter(n_neighbors=5, cost_estimate="mean", willingness_to_pay=0.05).fit(X, quality, cost=cost), X
    if kind == "intent":
        intents = pd.Series(["a", "b"] * (N // 2), index=quality.index)
        return rl.IntentRouter(n_neighbors=5, willingness_to_pay=0.05).fit(X, intents, quality=quality, cost=cost), X
    from sklearn.linear_model import Ridge

    return rl.Router(Ridge(), willingness_to_pay=0.05).fit(X, quality, cost=cost), X


KINDS = ["knn", "knn, mean cost", "intent", "ridge"]


@pytest.mark.parametrize("kind", KINDS)
def test_new_costs_without_a_refit_are_those_of_a_refit(kind):
    router, X = fitted(kind)
    new = reprice(outcomes(), OFFERS, on="2026-07-01")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        changed = router.with_costs(new)
        again = type(router)(**router.get_params(deep=False))
        quality, cost = rl.pivot_outcomes(new)
        if kind == "intent":
            again.fit(X, pd.Series(["a", "b"] * (N // 2), index=X.index), quality=quality, cost=cost)
        else:
            again.fit(X, quality, cost=cost)
        pd.testing.assert_frame_equal(changed.predict_cost(X), again.predict_cost(X), check_like=True)
        pd.testing.assert_frame_equal(changed.predict_quality(X), router.predict_quality(X))
        assert (changed.predict_cost(X)["large"] < router.predict_cost(X)["large"]).all()


@pytest.mark.parametrize("kind", KINDS)
def test_one_number_a_model_keeps_what_makes_a_prompt_dear(kind):
    router, X = fitted(kind)
    before = router.predict_cost(X)
    twice = router.with_costs({"small": 2 * before["small"].mean(), "large": before["large"].mean()})
    ratio = twice.predict_cost(X) / before
    assert np.ptp(ratio["small"]) < 1e-9
    pd.testing.assert_frame_equal(router.predict_cost(X), before)


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_that_is_excluded_is_never_chosen(kind):
    router, X = fitted(kind)
    without = router.with_costs(exclude=["large"])
    assert set(without.predict(X)) == {"small"}
    assert list(without.predict_quality(X).columns) == ["small"]
    assert "large" in set(router.sweep(X).at(np.inf))  # the router itself is as it was
    assert set(without.sweep(X).at(np.inf)) == {"small"}
    with pytest.raises(TableError, match="leaves none"):
        without.with_costs(exclude=["small"])
    with pytest.raises(ValueError, match="'exclude' must be one of the models"):
        without.with_costs(exclude=["large"])


def test_a_router_says_when_its_costs_are_older_than_the_prices(tmp_path):
    router, X = fitted("knn")
    old = router.with_costs(reprice(outcomes(), OFFERS, on="2026-07-01"))
    assert (old.priced_on_, old.prices_end_) == ("2026-07-01", "2026-09-01")
    with pytest.warns(UserWarning, match="prices of 2026-07-01; one of them changed on 2026-09-01"):
        old.predict(X)
    with pytest.warns(UserWarning, match="Renew them"):
        rl.load_router(old.save(tmp_path / "router")).predict(X)
    current = old.with_costs(reprice(outcomes(), OFFERS, on="2026-10-01"))
    current.predict(X)
    assert current.provenance_.count("costs:") == 1
    assert "2026-10-01" in current.provenance_


def test_stale_costs_names_the_prices_that_changed_since():
    router, _ = fitted("knn")
    with pytest.raises(TableError, match="does not know the day"):
        stale_costs(router, OFFERS)
    priced = router.with_costs(reprice(outcomes(), OFFERS, on="2026-07-01"))
    changed = stale_costs(priced, OFFERS, on="2026-10-01")
    assert changed["offer_id"].tolist() == ["large@a"]
    assert changed["input_usd_per_1m"].tolist() == [8.0]
    assert stale_costs(priced, OFFERS, on="2026-08-01").empty


def test_an_operating_point_does_not_outlive_its_costs():
    router, X = fitted("knn")
    quality, cost = rl.pivot_outcomes(reprice(outcomes(), OFFERS, on="2026-05-01"))
    chosen = rl.set_operating_point(router, X, quality, cost, baseline="large", max_quality_loss=0.5)
    changed = chosen.with_costs(cost * 2)
    assert not hasattr(changed, "operating_point_")
    assert hasattr(chosen, "operating_point_")
    assert changed.willingness_to_pay == chosen.willingness_to_pay


def test_costs_must_name_every_model_that_stays():
    router, X = fitted("knn")
    with pytest.raises(TableError, match=r"no value of model 'large'.*exclude=\['large'\]"):
        router.with_costs({"small": 0.1})
    assert set(router.with_costs({"small": 0.1}, exclude=["large"]).predict(X)) == {"small"}


def test_real_offers_price_real_tokens_today():
    table = tokens(3).replace({"model": {"small": "llama-3.1-8b-instruct", "large": "gpt-4o"}})
    priced = reprice(table, load_offers(), on="2026-11-29")
    assert (priced["cost_usd"] > 0).all()
    assert priced["offer_id"].nunique() == 2
