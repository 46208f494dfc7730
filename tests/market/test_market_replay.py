"""Replay: a market against policies, day by day."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from routerlab import market
from routerlab.schema import TableError
from routerlab.stats import ratio_interval, t_interval

START, END = "2024-01-01", "2024-01-11"
IDS = pd.Index(["p", "q", "r", "s"], name="prompt_id")
QUALITY = pd.DataFrame({"large": [1.0, 1.0, 1.0, 0.0], "small": [1.0, 0.0, 1.0, 0.0]}, index=IDS)
OFFERS = pd.DataFrame(
    {
        "offer_id": ["large@a", "small@b", "small@c"],
        "provider": ["a", "b", "c"],
        "model": ["large", "small", "small"],
        "input_usd_per_1m": [10.0, 1.0, 2.0],
        "output_usd_per_1m": [30.0, 2.0, 2.0],
    }
)
TOKENS = pd.DataFrame(
    {"prompt_id": list(IDS) * 2, "model": ["large"] * 4 + ["small"] * 4, "input_tokens": 1000.0, "output_tokens": 100.0}
)
NOTHING = pd.DataFrame(columns=["time", "kind", "provider"])
LARGE, SMALL = 0.013, 0.0012  # USD a request
MONTHLY = 1000 * 365.25 / 12


def shock(**fields):
    return {"time": "2024-01-06", "provider": "a"} | fields


def run(policies, rows=(), **options):
    shocks = pd.DataFrame(rows) if len(rows) else NOTHING
    options = {"tokens": TOKENS, "start": START, "end": END} | options
    offers, quality = options.pop("offers", OFFERS), options.pop("quality", QUALITY)
    return market.replay(policies, shocks, offers, quality, **options)


def test_a_quiet_market_costs_its_prices():
    found = run({"locked": market.locked("large@a"), "hosts": market.hosts("small")})
    assert found.table["usd_per_month"].tolist() == pytest.approx([LARGE * MONTHLY, SMALL * MONTHLY])
    assert found.table["quality"].tolist() == [0.75, 0.5]
    assert found.table["failed"].tolist() == [0, 0]
    assert found.table[["market_low", "market_high"]].isna().all(axis=None)


def test_a_price_counts_from_its_day_for_one_field_or_all():
    double = run({"x": market.locked("large@a")}, [shock(kind="price", old=1, new=2)])
    assert double.table.loc["x", "usd_per_month"] == pytest.approx(1.5 * LARGE * MONTHLY)
    row = shock(kind="price", field="output_usd_per_1m", old=30.0, new=0.0)
    free = run({"x": market.locked("large@a")}, [row])
    assert free.table.loc["x", "usd_per_month"] == pytest.approx((LARGE + 0.01) / 2 * MONTHLY)
    row = shock(kind="price", field="output_usd_per_1m", old=0.0, new=40.0)
    paid = run({"x": market.locked("large@a")}, [row], offers=OFFERS.assign(output_usd_per_1m=0.0))
    assert paid.table.loc["x", "usd_per_month"] == pytest.approx((0.01 + 0.014) / 2 * MONTHLY)


def test_an_outage_fails_the_minutes_that_it_lasts():
    rows = [shock(kind="outage", time="2024-01-05T12:00", end="2024-01-06T12:00")]
    found = run({"x": market.locked("large@a")}, rows)
    assert found.table.loc["x", "failed"] == pytest.approx(0.1)
    assert found.table.loc["x", "quality"] == pytest.approx(0.9 * 0.75)
    assert found.table.loc["x", "usd_per_month"] == pytest.approx(0.9 * LARGE * MONTHLY)
    assert found.days.query("failed > 0")["failed"].tolist() == pytest.approx([0.5, 0.5])


def test_outages_of_two_hosts_are_laid_over_each_other_not_multiplied():
    same = [shock(kind="outage", provider=p, time="2024-01-05", end="2024-01-06") for p in "bc"]
    other = [same[0], same[1] | {"time": "2024-01-07", "end": "2024-01-08"}]
    assert run({"x": market.hosts("small")}, same).table.loc["x", "failed"] == pytest.approx(0.1)
    assert run({"x": market.hosts("small")}, other).table.loc["x", "failed"] == 0
    dearer = run({"x": market.hosts("small")}, other).table.loc["x", "usd_per_month"]
    assert dearer == pytest.approx((0.9 * SMALL + 0.1 * 0.0022) * MONTHLY)


def test_degraded_service_fails_a_share_and_the_same_requests_everywhere():
    rows = [shock(kind="degraded", provider="b", new=0.5), shock(kind="degraded", provider="c", new=0.2)]
    table = run({"b": market.locked("small@b"), "both": market.hosts("small")}, rows).table
    assert table["failed"].tolist() == pytest.approx([0.25, 0.1])
    assert table.loc["both", "usd_per_month"] == pytest.approx(
        MONTHLY * (0.5 * SMALL + 0.5 * (0.5 * SMALL + 0.3 * 0.0022))
    )


def test_the_shape_of_the_day_weighs_an_outage():
    rows = [shock(kind="outage", time="2024-01-05T00:00", end="2024-01-05T12:00")]
    failed = [
        run({"x": market.locked("large@a")}, rows, shape=shape).table.loc["x", "failed"]
        for shape in (None, [0, 1], [3, 1])
    ]
    assert failed == pytest.approx([0.05, 0.0, 0.075])


def test_a_log_of_arrivals_becomes_the_shape_of_a_day():
    two_days = pd.date_range("2024-01-01", "2024-01-03", freq="h", inclusive="left")
    rush = two_days[two_days.hour == 9]
    shape = market.traffic_shape(two_days.append([rush] * 3))
    assert shape.tolist() == [2.0] * 9 + [8.0] + [2.0] * 14
    assert market.traffic_shape(two_days.append([rush] * 3).tz_localize("UTC").tz_convert("Asia/Tokyo")).tolist() == (
        shape.tolist()
    )
    half_more = pd.date_range("2024-01-01T06:00", "2024-01-02T18:00", freq="h")
    assert market.traffic_shape(half_more).tolist() == [1.0] * 24  # the half day that follows is left out
    minutes = market.traffic_shape(np.r_[0.0, 30.0, 90.0, 3599.0], period="1h", n_slots=60)
    assert len(minutes) == 1440
    assert minutes[:3].tolist() == minutes[60:63].tolist() == [2, 1, 0]
    rows = [shock(kind="outage", time="2024-01-05T09:00", end="2024-01-05T10:00")]
    failed = run({"x": market.locked("large@a")}, rows, shape=shape).table.loc["x", "failed"]
    assert failed == pytest.approx(8 / 54 / 10)


@pytest.mark.parametrize(
    ("arrivals", "options", "words"),
    [
        ([0.0, 3500.0], {}, "cover 4.1% of a period of 1D.*period='1h'"),
        ([], {}, "cover 0.0%"),
        ([-1.0, 90000.0], {}, "missing or negative"),
        ([np.nan, 90000.0], {}, "missing or negative"),
        (["2024-01-01", None, "2024-01-03"], {}, "dates that are missing"),
        (["soon"], {}, "cannot be read as a date"),
        (["2024-01-01", "2024-01-03T00:00Z"], {}, "time zone"),
        ([0.0, 90000.0], {"period": "7h"}, "must divide a day"),
        ([0.0, 90000.0], {"period": "2D"}, "must divide a day"),
        ([0.0, 90000.0], {"n_slots": 0}, "whole number of at least 1"),
    ],
)
def test_a_log_that_is_no_day_is_refused(arrivals, options, words):
    with pytest.raises(ValueError, match=words):
        market.traffic_shape(arrivals, **options)


@pytest.mark.realdata
@pytest.mark.usefixtures("published_data")
def test_a_real_hour_of_chats_weighs_its_outages():
    file = Path(os.environ["ROUTERLAB_DATA"]) / "market" / "trace_azure_conv_2023-11-16.csv"
    if not file.exists():
        pytest.skip("no market/trace_azure_conv_2023-11-16.csv here: an hour of arrivals")
    arrivals = pd.read_csv(file)["t_s"]
    shape = market.traffic_shape(arrivals, period="1h", n_slots=12)
    assert shape[:12].sum() == len(arrivals) == 19_366
    assert (shape.reshape(24, 12) == shape[:12]).all()
    busiest = shape[:12].argmax()
    assert shape[busiest] > 1.1 * shape.mean()
    begin = pd.Timestamp("2024-01-05T10:00") + busiest * pd.Timedelta("5min")
    rows = [shock(kind="outage", time=begin, end=begin + pd.Timedelta("5min"))]
    failed = run({"x": market.locked("large@a")}, rows, shape=shape).table.loc["x", "failed"]
    assert failed == pytest.approx(shape[busiest] / shape.sum() / 10)


def test_traffic_by_date_weighs_the_days():
    days = pd.date_range(START, periods=10)
    traffic = pd.Series(np.where(days < "2024-01-06", 100.0, 300.0), index=days)
    found = run({"x": market.locked("large@a")}, [shock(kind="retirement", model="large")], traffic=traffic)
    assert found.table.loc["x", "failed"] == pytest.approx(0.75)
    with pytest.raises(TableError, match="traffic"):
        run({"x": market.locked("large@a")}, traffic=traffic.iloc[:5])


def test_a_locked_policy_fails_follows_or_switches_when_its_model_is_retired():
    offers = pd.concat([OFFERS, OFFERS.iloc[[0]].assign(offer_id="next@a", model="next")], ignore_index=True)
    policies = {
        "stays": market.locked("large@a"),
        "follows": market.locked("large@a", successor=True),
        "switches": market.locked("large@a", switch_after=2, willingness_to_pay=0.001),
    }
    rows = [shock(kind="retirement", model="large", new="next")]
    found = run(policies, rows, offers=offers, scenarios={"next": 0.9})
    assert found.table["failed"].tolist() == pytest.approx([0.5, 0.0, 0.2])
    assert found.table.loc["follows", "quality"] == pytest.approx((0.75 + 0.9) / 2)
    assert "scenario: quality of next assumed to be 0.9, not measured" in repr(found)


def test_a_successor_without_a_measured_quality_needs_a_scenario():
    offers = pd.concat([OFFERS, OFFERS.iloc[[0]].assign(offer_id="next@a", model="next")], ignore_index=True)
    with pytest.raises(TableError, match="no column for the model of offer 'next@a'.*scenarios"):
        run({"x": market.locked("large@a")}, offers=offers)
    with pytest.raises(TableError, match="names 'large', which was measured"):
        run({"x": market.locked("large@a")}, scenarios={"large": 0.5})


def test_a_rise_in_price_moves_those_who_switch_and_those_who_refit():
    policies = {
        "never": market.routed(QUALITY, willingness_to_pay=0.02, refit="never"),
        "always": market.routed(QUALITY, willingness_to_pay=0.02),
        "switches": market.locked("large@a", switch_after=2, willingness_to_pay=0.02),
    }
    found = run(policies, [shock(kind="price", old=1, new=3)])
    q_large = (LARGE + 3 * SMALL) / 4  # q alone needs the large model
    after = (3 * LARGE + 3 * SMALL) / 4, SMALL
    expected = [(q_large + a) / 2 * MONTHLY for a in after]
    assert found.table["usd_per_month"].tolist()[:2] == pytest.approx(expected)
    assert found.table["quality"].tolist()[:2] == pytest.approx([0.75, 0.625])
    assert found.table.loc["switches", "usd_per_month"] == pytest.approx(
        (0.5 * LARGE + 0.2 * 3 * LARGE + 0.3 * SMALL) * MONTHLY
    )


def test_a_router_that_never_refits_does_not_know_new_offers():
    rows = [shock(kind="new", provider="a", model="large")]
    policies = {r: market.routed(QUALITY, refit=r) for r in ("never", "always")}
    table = run(policies, rows).table
    assert table["quality"].tolist() == pytest.approx([0.5, 0.625])


def test_a_routed_request_takes_the_next_best_when_its_first_choice_is_down():
    rows = [shock(kind="outage", time="2024-01-03", end="2024-01-04")]
    found = run({"x": market.routed(QUALITY)}, rows)
    assert found.table.loc["x", "failed"] == 0
    assert found.table.loc["x", "quality"] == pytest.approx(0.9 * 0.75 + 0.1 * 0.5)


def test_cost_stands_for_tokens_as_long_as_prices_move_alike():
    cost = pd.DataFrame({"large": LARGE, "small": SMALL}, index=IDS)
    policies = {"x": market.locked("large@a"), "y": market.routed(QUALITY, willingness_to_pay=0.02)}
    rows = [shock(kind="price", old=1, new=2)]
    by_cost, by_tokens = run(policies, rows, tokens=None, cost=cost), run(policies, rows)
    assert by_cost.table["usd_per_month"].tolist() == pytest.approx(by_tokens.table["usd_per_month"].tolist())
    with pytest.raises(TableError, match="input and output move differently"):
        run(policies, [shock(kind="price", field="input_usd_per_1m", old=10.0, new=5.0)], tokens=None, cost=cost)


def brute_force(policy_quality, shocks, offers, quality, tokens, wtp, minutes):
    """Route every prompt in every minute by itself."""
    now = offers.set_index("offer_id")[["input_usd_per_1m", "output_usd_per_1m"]].astype(float)
    spent = good = failed = 0.0
    wide = tokens.pivot_table(index="prompt_id", columns="model", values=["input_tokens", "output_tokens"])
    mean_output = wide["output_tokens"].mean()
    done = set()
    for minute in minutes:
        day = minute.floor("D")
        for k, s in shocks[shocks["kind"] == "price"].iterrows():
            if s["time"].floor("D") <= day and k not in done:
                done.add(k)
                now.loc[
                    offers.loc[(offers["provider"] == s["provider"]) & (offers["model"] == s["model"]), "offer_id"]
                ] *= s["new"] / s["old"]
        open_now = shocks[(shocks["kind"] == "outage") & (shocks["time"] <= minute) & (shocks["end"] > minute)]
        up = offers[~offers["provider"].isin(open_now["provider"])]
        for prompt in quality.index:
            best, chosen = -np.inf, None
            for o in up.itertuples():
                price = now.loc[o.offer_id]
                asked = wide["input_tokens"].loc[prompt, o.model]
                value = (
                    wtp * policy_quality.loc[prompt, o.model]
                    - (asked * price.iloc[0] + mean_output[o.model] * price.iloc[1]) / 1e6
                )
                if value > best:
                    best, chosen = value, o
            if chosen is None:
                failed += 1
                continue
            price = now.loc[chosen.offer_id]
            spent += (
                wide["input_tokens"].loc[prompt, chosen.model] * price.iloc[0]
                + wide["output_tokens"].loc[prompt, chosen.model] * price.iloc[1]
            ) / 1e6
            good += quality.loc[prompt, chosen.model]
    n = len(minutes) * len(quality)
    return spent / n, good / n, failed / n


@pytest.mark.slow
def test_it_agrees_with_routing_every_prompt_in_every_hour():
    rng = np.random.default_rng(3)
    ids = pd.RangeIndex(6, name="prompt_id")
    quality = pd.DataFrame(rng.random((6, 2)).round(1), ids, ["large", "small"])
    estimates = (quality * 0.7 + 0.1).clip(0, 1)
    cells = pd.MultiIndex.from_product([ids, ["large", "small"]], names=["prompt_id", "model"])
    tokens = pd.DataFrame(
        {"input_tokens": rng.integers(100, 900, 12), "output_tokens": rng.integers(50, 400, 12)}, cells
    ).reset_index()
    shocks = market.simulate_shocks(
        OFFERS, START, END, price_changes_per_year=60, outages_per_year=200, outage_hours=9, shared=0.3, random_state=2
    )[0]
    shocks["time"], shocks["end"] = shocks["time"].dt.floor("h"), shocks["end"].dt.ceil("h")
    found = market.replay(
        {"x": market.routed(estimates, willingness_to_pay=0.02)},
        shocks,
        OFFERS,
        quality,
        tokens=tokens,
        start=START,
        end=END,
    ).table.loc["x"]
    hours = pd.date_range(START, END, freq="h", inclusive="left", tz="UTC")
    usd, good, failed = brute_force(estimates, shocks, OFFERS, quality, tokens, 0.02, hours)
    assert found["failed"] == pytest.approx(failed)
    assert found["failed"] > 0
    assert found["quality"] == pytest.approx(good)
    assert found["usd_per_month"] == pytest.approx(usd * MONTHLY)


def test_policies_are_compared_prompt_by_prompt():
    found = run({"x": market.locked("large@a"), "y": market.routed(QUALITY, willingness_to_pay=0.02)})
    row = found.compare("x").loc["y"]
    own = np.array([SMALL, LARGE, SMALL, SMALL]) * MONTHLY
    saving, low, high = t_interval(LARGE * MONTHLY - own)
    assert row[["saving_usd_per_month", "low", "high"]].tolist() == pytest.approx([saving, low, high])
    share = ratio_interval(own, np.full(4, LARGE * MONTHLY))
    assert row[["saving", "saving_low", "saving_high"]].tolist() == pytest.approx(
        [1 - share[0], 1 - share[2], 1 - share[1]]
    )
    assert row["quality_low"] <= row["quality_difference"] == 0 <= row["quality_high"]
    with pytest.raises(ValueError, match="baseline"):
        found.compare("z")


def test_groups_widen_the_interval():
    rng = np.random.default_rng(0)
    ids = pd.RangeIndex(200, name="prompt_id")
    quality = pd.DataFrame({"large": 1.0, "small": 1.0}, index=ids)
    size = np.repeat(rng.lognormal(6, 1, 20), 10)
    tokens = pd.DataFrame(
        {
            "prompt_id": list(ids) * 2,
            "model": ["large"] * 200 + ["small"] * 200,
            "input_tokens": np.tile(size, 2),
            "output_tokens": 1.0,
        }
    )
    own, grouped = (
        run({"x": market.locked("large@a")}, quality=quality, tokens=tokens, groups=groups).table.loc["x"]
        for groups in (None, np.arange(200) // 10)
    )
    assert grouped["high"] - grouped["low"] > 2 * (own["high"] - own["low"])


def test_several_paths_give_a_range_over_markets_apart_from_prompts():
    paths = market.simulate_shocks(OFFERS, START, END, n_paths=60, price_changes_per_year=40, outages_per_year=300)
    policies = {"x": market.locked("large@a"), "y": market.hosts("small")}
    found = market.replay(policies, paths, OFFERS, QUALITY, tokens=TOKENS, start=START, end=END)
    single = [market.replay(policies, p, OFFERS, QUALITY, tokens=TOKENS, start=START, end=END) for p in paths[:3]]
    assert found._paths[:3, 0, 0] == pytest.approx([s.table.loc["x", "usd_per_month"] for s in single])
    row = found.table.loc["x"]
    assert row["market_low"] < row["usd_per_month"] < row["market_high"]
    assert np.isfinite(found.days[["total_low", "total_high"]]).all(axis=None)
    assert "simulated" in repr(found)
    few = market.replay(policies, paths[:5], OFFERS, QUALITY, tokens=TOKENS, start=START, end=END)
    assert np.isnan(few.table.loc["x", "market_low"])
    assert "5 markets are too few" in repr(few)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"rows": [shock(kind="outage", provider="z", end="2024-01-07")]}, "provider 'z', which no offer has"),
        ({"rows": [shock(kind="price", model="small", old=1, new=2)]}, "'small at a', which no offer serves"),
        ({"offers": OFFERS.iloc[:0]}, "holds no offer.*filter"),
        ({"offers": pd.concat([OFFERS, OFFERS])}, "more than once"),
        ({"offers": OFFERS.drop(columns="provider")}, "lacks column 'provider'"),
        ({"offers": OFFERS.assign(input_usd_per_1m=[-1.0, 1, 1])}, "not a price of at least 0 for offer 'large@a'"),
        ({"offers": OFFERS.assign(output_usd_per_1m=np.nan)}, "not a price of at least 0"),
        ({"tokens": None}, "exactly one"),
        ({"tokens": TOKENS.drop(columns="input_tokens")}, "not a table of tokens"),
        ({"tokens": TOKENS.iloc[1:]}, "no value of some prompts for offer 'large@a'"),
        ({"tokens": pd.concat([TOKENS, TOKENS])}, "more than once"),
        ({"tokens": TOKENS.assign(output_tokens=-1.0)}, "negative"),
        ({"end": START}, "holds no whole day"),
        ({"end": "2024-01-11T00:00+00:00"}, "time zone"),
        ({"traffic": -1}, "traffic"),
        ({"traffic": 0}, "traffic"),
        ({"shape": [1, -1]}, "shape"),
        ({"policies": {}}, "is empty"),
        ({"policies": {"x": "large@a"}}, "is a str"),
        ({"policies": {"x": market.locked("huge@a")}}, "'huge@a'"),
        ({"policies": {"x": market.hosts("huge")}}, "leaves no offer"),
        ({"policies": {"x": market.hosts("small", offers=["large@a"])}}, "leaves no offer"),
        ({"policies": {"x": market.hosts("small", offers=["huge@z"])}}, "'huge@z', which is not there"),
        ({"policies": {"x": market.routed(QUALITY.iloc[:2])}}, "no estimate of prompt 'r', 's'"),
        ({"policies": {"x": market.routed(QUALITY.rename(columns=str.upper))}}, "leaves no offer"),
    ],
)
def test_bad_input_is_refused_by_name(change, words):
    options = {"policies": {"x": market.locked("large@a")}} | change
    with pytest.raises(ValueError, match=words):
        run(options.pop("policies"), options.pop("rows", ()), **options)


@pytest.mark.parametrize(
    "make",
    [
        lambda: market.locked("x", switch_after=-1),
        lambda: market.locked("x", switch_after=1.5),
        lambda: market.routed(QUALITY, refit="weekly"),
        lambda: market.routed(QUALITY, willingness_to_pay=-1),
    ],
)
def test_bad_policies_are_refused(make):
    with pytest.raises(ValueError, match="must be"):
        make()
