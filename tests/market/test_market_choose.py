"""The power to choose: filters that the unknown never passes, one's own bill, and what an empty result says."""

from __future__ import annotations

import time

import numpy as np
import pandas as pd
import pytest

import routerlab as rl
from routerlab.market import FILTERS, apply_filters, check_offers, choose_offers, load_offers, value_offers
from routerlab.schema import TableError

TYPICAL = {"input_tokens": 1000, "output_tokens": 500}


def offers() -> pd.DataFrame:
    known = {"latency_p95_s": 1.0, "uptime": 0.999, "region": "eu", "trains_on_data": False, "retains_prompts": False}
    known |= {"open_weights": True, "co2e_g_low": 0.1, "co2e_g_high": 0.2, "context_window": 32_000}
    known |= {"throughput_tps": 80, "input_usd_per_1m": 1.0, "output_usd_per_1m": 2.0}
    rows = [
        known | {"provider": "good", "model": "m-7b"},
        {"provider": "silent", "model": "m-7b", "input_usd_per_1m": 0.1, "output_usd_per_1m": 0.2},
        known
        | {"provider": "bad", "model": "n-70b", "latency_p95_s": 9.0, "uptime": 0.9, "region": "us"}
        | {"trains_on_data": True, "retains_prompts": True, "open_weights": False, "co2e_g_high": 5.0}
        | {"context_window": 2_000, "throughput_tps": 5, "input_usd_per_1m": 50.0, "output_usd_per_1m": 90.0},
    ]
    return check_offers(pd.DataFrame(rows))


STRICT = {
    "max_latency_p95_s": 2.0,
    "min_uptime": 0.99,
    "region": "eu",
    "no_training": True,
    "no_retention": True,
    "open_weights": True,
    "max_co2e_g": 1.0,
    "min_context_window": 8_000,
    "min_throughput_tps": 20,
}


@pytest.mark.parametrize("name", STRICT)
def test_the_unknown_never_passes_a_strict_filter(name):
    found = choose_offers(offers(), tokens=TYPICAL, **{name: STRICT[name]})
    assert found["provider"].tolist() == ["good"]
    ((text, left, unknown),) = found.attrs["funnel"]
    assert (left, unknown) == (1, 1)
    assert text.startswith(name)


def test_other_filters_and_all_together():
    assert choose_offers(offers(), search="7B good")["provider"].tolist() == ["good"]
    assert choose_offers(offers(), provider=["good", "bad"])["provider"].tolist() == ["good", "bad"]
    assert choose_offers(offers(), base_model="n-70b")["provider"].tolist() == ["bad"]
    assert choose_offers(offers(), tokens=TYPICAL, max_monthly_usd=100)["provider"].tolist() == ["silent"]
    assert choose_offers(offers(), quality={"m-7b": 0.7}, min_quality=0.5)["provider"].tolist() == ["silent", "good"]
    assert len(choose_offers(offers(), **STRICT)) == 1
    assert set(FILTERS) == {*STRICT, "search", "provider", "base_model", "max_monthly_usd", "min_quality", "without"}


def test_caveats_are_filtered_only_on_request():
    free = offers().assign(input_usd_per_1m=0.0, output_usd_per_1m=0.0)
    assert len(choose_offers(check_offers(free))) == 3
    with pytest.raises(TableError, match="without='free' removed the last 3 of 3"):
        choose_offers(check_offers(free), without="free")


def test_what_is_retired_on_that_day_is_marked_so():
    listed = load_offers()
    assert listed.loc[listed["offer_id"] == "gpt-4@openai", "caveats"].str.contains("retires 2026-10-23").all()
    for day, gone in (("2026-10-22", False), ("2026-10-24", True)):
        valued = value_offers(listed, on=day).set_index("offer_id")
        assert ("retired" in valued.loc["gpt-4@openai", "caveats"].split("; ")) is gone
    assert "gpt-4@openai" not in set(choose_offers(listed, on="2026-11-29", without="retired")["offer_id"])


def test_an_empty_result_names_the_filter_that_removed_the_last():
    with pytest.raises(TableError, match=r"region='asia' removed the last 1 of 3.*Widen that filter"):
        choose_offers(offers(), max_latency_p95_s=2, region="asia", open_weights=True)
    silent = offers().iloc[[1]]
    with pytest.raises(TableError, match=r"min_uptime=0.5 removed the last 1 of 1 \(not known of 1 of them\)"):
        choose_offers(silent, min_uptime=0.5)


REFUSED = {
    "no such filter": ({"max_price": 1}, r"'max_price' is none.*max_monthly_usd"),
    "text for a number": ({"max_latency_p95_s": "2"}, "'max_latency_p95_s'.*expected a number"),
    "a negative limit": ({"max_monthly_usd": -1}, "at least 0"),
    "yes or no for a demand": ({"no_training": "yes"}, "expected True"),
    "no such column": ({"sort_by": "price"}, "'sort_by'.*monthly_usd"),
    "tokens without a count": ({"tokens": {"input_tokens": 9}}, "'output_tokens' is missing"),
    "no number of tokens": ({"tokens": {"input_tokens": 9, "output_tokens": None}}, "holds no count"),
    "no table of tokens": ({"tokens": [1, 2]}, "'tokens'"),
    "no requests": ({"requests_per_month": 0}, "above 0"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_a_filter_is_refused(name):
    given, message = REFUSED[name]
    with pytest.raises(ValueError, match=message):
        choose_offers(offers(), **given)


def test_the_bill_is_that_of_ones_own_tokens():
    valued = value_offers(offers(), tokens=TYPICAL, requests_per_month=1e6).set_index("provider")
    assert valued.loc["good", "monthly_usd"] == pytest.approx(1e6 * (1000 * 1e-6 + 500 * 2e-6))
    table = pd.DataFrame({"prompt_id": ["a", "b"], "model": ["m-7b-instruct", "other"]})
    table = table.assign(input_tokens=[100, 300], output_tokens=[10, 30])
    valued = value_offers(offers(), tokens=table, requests_per_month=1000).set_index("provider")
    assert valued.loc["good", "monthly_usd"] == pytest.approx(0.1 + 0.02)  # its own model's counts
    assert valued.loc["bad", "monthly_usd"] == pytest.approx(200 * 50e-3 + 20 * 90e-3)  # the mean of all


def test_quality_is_of_the_model_with_its_interval_and_never_guessed():
    quality = pd.DataFrame({"m-7b-instruct": [1.0, 0.0, 1.0, 1.0]}, index=list("abcd"))
    valued = value_offers(offers(), quality=quality).set_index("provider")
    assert valued.loc["good", ["quality", "n_prompts"]].tolist() == [0.75, 4]
    assert 0 < valued.loc["silent", "quality_low"] < 0.75 < valued.loc["silent", "quality_high"] <= 1
    assert valued.loc["bad", ["quality", "quality_low", "quality_high"]].isna().all()
    demo = rl.load_demo().outcomes
    real = value_offers(load_offers(), on="2026-11-29", tokens=demo, quality=demo)
    assert set(real.loc[real["quality"].notna(), "base_model"]) >= {"gpt-4", "gpt-3.5-turbo", "mixtral-8x7b"}


def test_filtering_five_thousand_offers_takes_no_time():
    listed = load_offers(on="2026-11-29")
    many = pd.concat([listed.assign(provider=listed["provider"] + str(k)) for k in range(3)]).iloc[:5000]
    valued = value_offers(check_offers(many.assign(offer_id=None)), on="2026-11-29", tokens=TYPICAL)
    assert len(valued) == 5000
    best = np.inf
    for _ in range(5):
        start = time.perf_counter()
        kept, _ = apply_filters(valued, {"max_monthly_usd": 50, "search": "llama", "without": ["zombie"]})
        best = min(best, time.perf_counter() - start)
    assert kept.any()
    assert best < 0.1
