"""Latency and carbon beside price, and operating points within limits."""

from __future__ import annotations

import builtins

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

import routerlab as rl
from routerlab.decision import sweep_estimates
from routerlab.market import add_carbon, full_cost, load_offers, measured_latency, point_within
from routerlab.model_selection import NoOperatingPointError
from routerlab.schema import TableError

ROW = {"prompt_id": "p", "model": "m", "quality": 0.5, "cost_usd": 0.01, "latency_s": 3.0}
ROW |= {"co2e_g_low": 1.0, "co2e_g_high": 4.0}


@pytest.mark.parametrize(
    ("weights", "usd"),
    [
        ({}, 0.01),
        ({"usd_per_second": 0.002}, 0.016),
        ({"usd_per_kg_co2e": 0.5}, 0.012),
        ({"usd_per_kg_co2e": 0.5, "co2e": "low"}, 0.0105),
        ({"usd_per_kg_co2e": 0.5, "co2e": "middle"}, 0.011),
        ({"usd_per_second": 0.002, "usd_per_kg_co2e": 0.5}, 0.018),
    ],
)
def test_seconds_and_grams_become_usd(weights, usd):
    full = full_cost(pd.DataFrame([ROW]), **weights)
    assert full["cost_usd"].tolist() == pytest.approx([usd])
    assert full["price_usd"].tolist() == [0.01]
    again = full_cost(full, **weights)  # the price is where it starts from
    assert again["cost_usd"].tolist() == pytest.approx([usd])
    assert again.attrs["provenance"].count("costs: price") == 1


def test_the_weights_travel_with_the_result():
    table = pd.DataFrame([ROW])
    table.attrs["provenance"] = "simulated: here"
    full = full_cost(table, usd_per_second=0.002, usd_per_kg_co2e=0.5)
    note = "simulated: here; costs: price + latency at 0.002 USD/s + CO2e (high end of its range) at 0.5 USD/kg"
    assert full.attrs["provenance"] == note
    assert note in rl.pivot_outcomes(full).cost.attrs["provenance"]


REFUSED = {
    "no latency": (pd.DataFrame([ROW]).drop(columns="latency_s"), {"usd_per_second": 1}, "'latency_s' is missing"),
    "unknown latency": (pd.DataFrame([ROW | {"latency_s": None}]), {"usd_per_second": 1}, r"row 0\), of model 'm'"),
    "unknown carbon": (pd.DataFrame([ROW | {"co2e_g_high": None}]), {"usd_per_kg_co2e": 1}, "not known in 1 rows"),
    "negative weight": (pd.DataFrame([ROW]), {"usd_per_second": -1}, "at least 0"),
    "no end of the range": (pd.DataFrame([ROW]), {"co2e": "best"}, "'low', 'high' or 'middle'"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_an_unknown_wait_is_no_wait_of_zero(name):
    table, weights, message = REFUSED[name]
    with pytest.raises(ValueError, match=message):
        full_cost(table, **weights)


def test_a_dear_second_moves_the_router_to_the_fast_model():
    demo = rl.load_demo().outcomes
    slow = demo.groupby("model")["latency_s"].mean().idxmax()
    share = []
    for usd in (0.0, 0.05):
        quality, cost = rl.pivot_outcomes(full_cost(demo, usd_per_second=usd))
        share.append((sweep_estimates(quality, cost).at(0.5) == slow).mean())
    assert share[1] < share[0]


def test_the_interval_of_a_percentile_covers_it():
    rng, truth, held = np.random.default_rng(0), np.exp(1.6448536), 0
    for _ in range(400):
        table = pd.DataFrame({"model": "m", "latency_s": rng.lognormal(size=150)})
        row = measured_latency(table).loc["m"]
        held += row["latency_p95_low_s"] <= truth <= row["latency_p95_high_s"]
    assert held / 400 > 0.93
    few = measured_latency(pd.DataFrame({"model": "m", "latency_s": [1.0, np.nan]})).loc["m"]
    assert few["latency_p95_high_s"] == np.inf
    assert few["n_unknown"] == 1


def world(n: int, seed: int = 0) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Three models: the better, the dearer; and the middle one is the slow one."""
    rng, index = np.random.default_rng(seed), pd.RangeIndex(n, name="prompt_id")
    hard = rng.random(n)
    quality = pd.DataFrame({"s": hard < 0.5, "m": hard < 0.7, "l": hard < 0.95}, index=index).astype(float)
    cost = pd.DataFrame({"s": 1e-3, "m": 4e-3, "l": 2e-2}, index=index) * rng.lognormal(0, 0.3, (n, 1))
    latency = pd.DataFrame({"s": 0.5, "m": 1.5, "l": 1.0}, index=index) * rng.lognormal(0, 0.25, (n, 3))
    return quality, cost, latency


def test_the_best_point_of_a_budget():
    quality, cost, _ = world(1000)
    sweep = sweep_estimates(quality, cost)
    tight, wide = (point_within(sweep, quality, cost, max_cost_usd=usd) for usd in (0.002, 0.006))
    assert tight.cost_usd <= 0.002 < wide.cost_usd <= 0.006
    assert tight.quality < wide.quality
    promised = point_within(sweep, quality, cost, max_cost_usd=0.006, guarantee=0.95)
    assert promised.cost_usd <= wide.cost_usd
    assert "95% probability" in repr(promised)
    assert repr(wide).startswith("best quality for at most 6 USD per 1,000 requests: willingness to pay")
    assert len(set(sweep.at(wide.willingness_to_pay))) > 1
    ax = rl.plot_frontier(rl.frontier(sweep, quality, cost), chosen=wide)
    assert any(np.isclose(line.get_xdata(), 1000 * wide.cost_usd).any() for line in ax.lines), "the point is marked"
    plt.close("all")


def test_the_best_point_under_a_limit_of_latency():
    quality, cost, latency = world(1000)
    sweep = sweep_estimates(quality, cost)
    limit = {"latency": latency, "max_latency_s": 1.6}
    point = point_within(sweep, quality, cost, **limit)
    assert point.late_share <= 0.05
    both = point_within(sweep, quality, cost, max_cost_usd=0.003, guarantee=0.9, **limit)
    assert both.cost_usd <= 0.003
    assert both.late_share <= 0.05
    assert repr(point).startswith("best quality with p95 latency at most 1.6 s: willingness to pay")
    assert "for at most 3 USD per 1,000 requests and with p95 latency at most 1.6 s: " in repr(both)


@pytest.mark.slow
def test_guaranteed_limits_are_broken_no_more_often_than_promised():
    big = world(10_000, seed=99)
    truth = {name: k for k, name in enumerate("sml")}
    broken = {"budget": 0, "latency": 0}
    n_draws = 100
    for seed in range(n_draws):
        quality, cost, latency = world(300, seed)
        sweep = sweep_estimates(quality * 0 + quality.mean(), cost)
        everywhere = sweep_estimates(big[0] * 0 + quality.mean().to_numpy(), big[1])
        for name, limits in (
            ("budget", {"max_cost_usd": 0.005}),
            ("latency", {"latency": latency, "max_latency_s": 1.6}),
        ):
            try:
                point = point_within(sweep, quality, cost, guarantee=0.9, **limits)
            except NoOperatingPointError:
                continue
            at = everywhere.at(point.willingness_to_pay).map(truth).to_numpy()
            rows = np.arange(len(at))
            if name == "budget":
                broken[name] += big[1].to_numpy()[rows, at].mean() > 0.005
            else:
                broken[name] += (big[2].to_numpy()[rows, at] > 1.6).mean() > 0.05
    assert max(broken.values()) / n_draws <= 0.1 + 3 * np.sqrt(0.1 * 0.9 / n_draws), broken


def test_what_no_point_keeps_to_is_said():
    quality, cost, latency = world(200)
    sweep = sweep_estimates(quality, cost)
    with pytest.raises(NoOperatingPointError, match="at most 0.1 USD per 1,000 .* requests at least"):
        point_within(sweep, quality, cost, max_cost_usd=0.0001)
    with pytest.raises(NoOperatingPointError, match="% over 0.1 s at least.*exclude"):
        point_within(sweep, quality, cost, latency=latency, max_latency_s=0.1)
    with pytest.raises(ValueError, match="needs a limit"):
        point_within(sweep, quality, cost)
    with pytest.raises(TableError, match="'latency': has nothing of 'l'"):
        point_within(sweep, quality, cost, latency=latency.drop(columns="l"), max_latency_s=2)
    with pytest.raises(TableError, match="'latency': is missing"):
        point_within(sweep, quality, cost, max_latency_s=2)


def test_carbon_is_a_range_and_unknown_where_the_model_is():
    pytest.importorskip("ecologits")
    table = pd.DataFrame({"model": ["gpt-4", "no-such-model", "mistralai/Mistral-7B-Instruct-v0.2"]})
    carbon = add_carbon(table, output_tokens=300)
    assert carbon.loc[0, "co2e_g_low"] < carbon.loc[0, "co2e_g_high"]
    assert carbon.loc[1, ["co2e_g_low", "co2e_g_high"]].isna().all()
    assert carbon.loc[2, "co2e_g_high"] < carbon.loc[0, "co2e_g_low"]
    assert "unknown for 1 models" in carbon.attrs["carbon"]
    twice = add_carbon(table.assign(output_tokens=[600, 600, 600]))
    np.testing.assert_allclose(twice["co2e_g_high"].iloc[[0, 2]], 2 * carbon["co2e_g_high"].iloc[[0, 2]])
    given = add_carbon(carbon.assign(co2e_g_low=0.5, co2e_g_high=0.7), output_tokens=300)
    assert given["co2e_g_high"].tolist() == [0.7] * 3  # what the user knows stays
    with pytest.raises(TableError, match="electricity mix of 'XX'"):
        add_carbon(table, output_tokens=300, zone="XX")
    offers = add_carbon(load_offers(on="2026-11-29"), output_tokens=300)
    assert 0.1 < offers["co2e_g_high"].notna().mean() < 0.9


def test_without_ecologits_the_error_says_what_to_install(monkeypatch):
    real = builtins.__import__

    def absent(name, *args, **kwargs):
        if name.startswith("ecologits"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", absent)
    with pytest.raises(ImportError, match=r"pip install 'routerlab\[carbon\]'"):
        add_carbon(pd.DataFrame({"model": ["gpt-4"]}), output_tokens=1)
