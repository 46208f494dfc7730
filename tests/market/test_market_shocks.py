"""Shocks: what a market went through, as a table; and the published incidents and requests behind it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from routerlab import market
from routerlab.datasets import fetch_incidents, fetch_llmperf
from routerlab.schema import TableError

GOOD = {"time": "2024-03-01", "kind": "price", "provider": "a", "model": "m", "old": 1.0, "new": 2.0}


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"kind": "flood"}, "'flood'.*outage"),
        ({"time": None}, "'time'.*is empty"),
        ({"time": "soon"}, "cannot be read as a date"),
        ({"time": 20240301}, "cannot be read as a date"),
        ({"provider": None}, "'provider'.*is empty"),
        ({"kind": "outage", "end": "2024-02-28"}, "'end'.*lies before 'time'"),
        ({"kind": "retirement", "model": None}, "'model'.*is empty"),
        ({"kind": "new", "model": None}, "'model'.*is empty"),
        ({"new": -1.0}, "not a price of at least 0"),
        ({"new": None}, "not a price of at least 0"),
        ({"new": np.inf}, "not a price of at least 0"),
        ({"new": "two"}, "not a price of at least 0"),
        ({"old": None}, "'old'.*above 0"),
        ({"old": 0.0}, "'old'.*above 0"),
        ({"old": 2e-6, "new": 2.0}, "per token"),
        ({"field": "price"}, "'field'.*unknown"),
        ({"kind": "degraded", "new": 30}, "share in"),
    ],
)
def test_bad_shocks_are_refused_by_name(row, words):
    with pytest.raises(TableError, match=words):
        market.check_shocks(pd.DataFrame([GOOD, GOOD | row]))


def test_dates_with_and_without_a_time_zone_in_one_column_are_refused():
    rows = [GOOD, GOOD | {"time": "2024-03-01T00:00+02:00"}]
    with pytest.raises(TableError, match="with a time zone and dates without"):
        market.check_shocks(pd.DataFrame(rows))


def test_time_zones_are_read_and_bare_dates_are_utc():
    zones = ["2024-03-01T02:00+02:00", "2024-02-29T19:00-05:00"]
    table = market.check_shocks(pd.DataFrame([GOOD | {"time": zone} for zone in zones]))
    assert (table["time"] == pd.Timestamp("2024-03-01", tz="UTC")).all()
    assert market.check_shocks(pd.DataFrame([GOOD]))["time"][0] == pd.Timestamp("2024-03-01", tz="UTC")


def test_tables_are_joined_in_order_of_time_and_keep_where_they_come_from():
    late, early = pd.DataFrame([GOOD]), pd.DataFrame([GOOD | {"time": "2024-01-01", "kind": "outage"}])
    late.attrs["provenance"], early.attrs["provenance"] = "list", "status page"
    table = market.check_shocks(late, early)
    assert table["kind"].tolist() == ["outage", "price"]
    assert table.attrs["provenance"] == "list; status page"
    assert market.check_shocks(table).equals(table)


def test_an_empty_table_is_a_quiet_market():
    assert len(market.check_shocks(pd.DataFrame(columns=["time", "kind", "provider"]))) == 0


def test_known_changes_stand_in_the_shipped_history():
    shocks = market.price_shocks(market.load_price_history())
    named = shocks.set_index(["provider", "model"]).sort_index()
    first = named.loc[("openai", "gpt-4o")].query("field == 'input_usd_per_1m'").iloc[0]
    assert (first["old"], first["new"]) == (5.0, 2.5)
    assert pd.Timestamp("2024-11-01", tz="UTC") < first["time"] < pd.Timestamp("2024-12-01", tz="UTC")
    assert ("openai", "gpt-4") not in named.index
    assert ("openai", "gpt-4-turbo") not in named.index
    cut = named.loc[("openai", "o3")].query("field == 'input_usd_per_1m'").iloc[0]
    assert cut["new"] / cut["old"] == pytest.approx(0.2)
    gone = market.retirement_shocks(market.load_retirements()).set_index(["provider", "model"])
    assert gone.loc[("openai", "gpt-4"), "time"].date().isoformat() == "2026-10-23"


def test_listings_add_arrivals_and_departures():
    history = pd.DataFrame(
        {
            "provider": "a", "model": ["m", "m", "n"], "valid_from": ["2024-01-01", "2024-06-01", "2024-03-01"],
            "valid_to": ["2024-06-01", "2024-09-01", None], "input_usd_per_1m": [2.0, 1.0, 5.0],
            "output_usd_per_1m": [2.0, 2.0, 5.0],
        }
    )  # fmt: skip
    shocks = market.price_shocks(history, listings=True)
    assert shocks[["kind", "model"]].to_numpy().tolist() == [
        ["new", "m"],
        ["new", "n"],
        ["price", "m"],
        ["retirement", "m"],
    ]
    opening = market.opening_offers(history, "2024-02-01").set_index("model")
    assert opening["input_usd_per_1m"].to_dict() == {"m": 2.0, "n": 5.0}
    assert list(market.opening_offers(history, "2024-10-01")["model"]) == ["n"]


def test_a_price_that_jumps_a_hundredfold_is_a_correction_of_the_catalogue():
    history = pd.DataFrame(
        {"provider": "a", "model": "m", "valid_from": ["2024-01-01", "2024-06-01"], "input_usd_per_1m": [0.02, 2.0],
         "output_usd_per_1m": [6.0, 5.0]}
    )  # fmt: skip
    assert market.price_shocks(history)["field"].tolist() == ["output_usd_per_1m"]


def test_outages_that_coincide_are_not_multiplied():
    shocks = pd.DataFrame(
        {"time": ["2024-01-01"] * 2, "end": ["2024-01-01T12:00"] * 2, "kind": "outage", "provider": list("ab")}
    )
    assert market.clear_share(shocks, "2024-01-01", "2024-01-03")["any"] == 0.75


def test_resampled_markets_keep_what_happened_together_and_how_often():
    n = 24
    time = pd.date_range("2024-01-10", periods=n, freq="15D", tz="UTC")
    both = [
        pd.DataFrame({"time": time, "end": time + pd.Timedelta("2h"), "kind": "outage", "provider": p}) for p in "ab"
    ]
    gone = pd.DataFrame({"time": ["2024-07-01"], "kind": "retirement", "provider": "a", "model": "m"})
    shocks = market.check_shocks(*both, gone)
    paths = market.resample_shocks(shocks, "2024-01-01", "2025-01-01", n_paths=200, random_state=1)
    assert all(
        set(path.loc[path["provider"] == "a", "time"]) >= set(path.loc[path["provider"] == "b", "time"])
        for path in paths
    )
    counts = np.array([len(path) for path in paths])
    assert counts.mean() == pytest.approx(2 * n + 1, rel=0.06)
    assert all((path["kind"] == "retirement").sum() == 1 for path in paths)
    assert "resampled" in paths[0].attrs["provenance"]
    with pytest.raises(ValueError, match="block_days"):
        market.resample_shocks(shocks, "2024-01-01", "2024-01-08", block_days=30)


def test_simulated_markets_say_so_and_share_outages():
    offers = pd.DataFrame({"provider": ["a", "b"], "model": ["m", "n"]})
    paths = market.simulate_shocks(offers, "2024-01-01", "2026-01-01", n_paths=40, shared=1.0, price_changes_per_year=2)
    assert all(path.attrs["provenance"].startswith("simulated") for path in paths)
    outages = [path[path["kind"] == "outage"] for path in paths]
    assert all(set(o.loc[o["provider"] == "a", "time"]) == set(o.loc[o["provider"] == "b", "time"]) for o in outages)
    assert np.mean([(path["kind"] == "price").sum() for path in paths]) == pytest.approx(8, rel=0.3)


@pytest.mark.parametrize(("start", "end"), [("2024-01-02", "2024-01-01"), ("2024-01-01", "2024-01-01")])
def test_a_window_without_a_day_is_refused(start, end):
    with pytest.raises(TableError, match="holds no whole day"):
        market.clear_share(pd.DataFrame(columns=["time", "kind", "provider"]), start, end)


@pytest.mark.realdata
def test_real_incidents_give_the_known_shares_of_clear_minutes(published_data):
    clear = market.clear_share(market.outage_shocks(fetch_incidents()), "2023-07-11", "2025-01-10")
    assert {name: round(100 * share, 2) for name, share in clear.items()} == {
        "openai": 98.57, "anthropic": 98.94, "any": 99.97,
    }  # fmt: skip
    product = 1 - (1 - clear["openai"]) * (1 - clear["anthropic"])
    assert 1 - clear["any"] > 2 * (1 - product)


@pytest.mark.realdata
def test_incidents_come_without_the_providers_words(published_data):
    incidents = fetch_incidents()
    assert len(incidents) == 792
    assert list(incidents) == ["incident_id", "provider", "components", "impact", "start", "end", "about_requests"]
    assert (~incidents["about_requests"]).sum() == 1


@pytest.mark.realdata
def test_real_requests_that_failed_become_degraded_service(published_data):
    requests = fetch_llmperf()
    assert len(requests) == 2845
    shocks = market.failure_shocks(requests, "2023-12-01", "2024-01-01").set_index(["provider", "model"])
    assert shocks.loc[("lepton", "llama-2-70b-chat"), "new"] == pytest.approx(130 / 150)
    assert ("groq", "llama-2-70b-chat") not in shocks.index
