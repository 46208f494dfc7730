"""Who may choose gains from swings: the theorem on simulated and hand-made markets."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from routerlab import market
from routerlab.market._antifragility import _interval
from routerlab.schema import TableError

START, END, N = "2024-01-01", "2024-04-10", 60
IDS = pd.RangeIndex(N, name="prompt_id")
OFFERS = pd.DataFrame(
    {
        "offer_id": ["m@a", "m@b", "n@b"], "provider": ["a", "b", "b"], "model": ["m", "m", "n"],
        "input_usd_per_1m": [10.0, 10.0, 20.0], "output_usd_per_1m": [10.0, 10.0, 40.0],
    }
)  # fmt: skip


@pytest.fixture
def asked():
    rng = np.random.default_rng(0)
    estimates = pd.DataFrame({"m": rng.uniform(0.4, 0.8, N), "n": rng.uniform(0.5, 0.9, N)}, IDS)
    cells = pd.MultiIndex.from_product([IDS, ["m", "n"]], names=["prompt_id", "model"])
    tokens = pd.DataFrame({"input_tokens": 500.0, "output_tokens": rng.integers(50, 900, 2 * N)}, cells).reset_index()
    return estimates, tokens


def measure(asked, shocks, offers=OFFERS, **options):
    estimates, tokens = asked
    options = {"tokens": tokens, "start": START, "end": END, "willingness_to_pay": 0.05} | options
    return market.antifragility(shocks, offers, estimates, **options)


def test_swings_never_cost_one_who_may_choose(asked):
    for seed in range(8):
        shocks = market.simulate_shocks(OFFERS, START, END, price_changes_per_year=20, random_state=seed)[0]
        found = measure(asked, shocks)
        assert found.gain.estimate >= 0
        assert found.option.estimate >= found.gain.estimate


def test_one_offer_to_choose_from_has_nothing_to_gain(asked):
    shocks = market.simulate_shocks(OFFERS, START, END, price_changes_per_year=20)[0]
    dear = OFFERS.assign(input_usd_per_1m=[10.0, 1e4, 1e4], output_usd_per_1m=[10.0, 1e4, 1e4])
    assert measure(asked, shocks, dear).gain.estimate == pytest.approx(0, abs=1e-6)
    with pytest.raises(TableError, match="has 1 offer there on all days"):
        measure(asked, shocks[shocks["provider"] == "a"], OFFERS.iloc[:1])


def test_a_swing_between_two_hosts_is_worth_what_it_is(asked):
    estimates, tokens = asked
    days = [("2024-01-01", "a", 1.0, 1.5), ("2024-02-20", "a", 1.5, 0.5), ("2024-02-20", "b", 1.0, 1.0)]
    rows = [{"time": t, "kind": "price", "provider": p, "model": "m", "old": o, "new": n} for t, p, o, n in days]
    hosts = OFFERS.iloc[:2]
    found = measure((estimates[["m"]], tokens), pd.DataFrame(rows), hosts)
    usd = (500 + tokens[tokens["model"] == "m"]["output_tokens"].mean()) * 10e-6  # a request at the usual price
    # a costs 1.5 then .5 times that, on average 1; b always 1: choosing saves a half on half of the days.
    assert found.gain.estimate == pytest.approx(0.25 * usd * 1000 * 365.25 / 12)
    assert found.single_provider == ()


def test_switching_costs_are_taken_off_and_may_eat_the_gain(asked):
    shocks = market.simulate_shocks(OFFERS, START, END, price_changes_per_year=20)[0]
    free, dear = measure(asked, shocks), measure(asked, shocks, switching_usd=1e4)
    assert dear.gain.estimate < 0 < free.gain.estimate
    change = free.option.estimate - dear.option.estimate
    assert change == pytest.approx(1e4 * free.changes_per_month)
    assert free.break_even_usd == pytest.approx(free.option.estimate / free.changes_per_month)


def test_what_was_not_there_all_along_is_left_out_and_named(asked):
    shocks = pd.DataFrame([{"time": "2024-02-01", "kind": "retirement", "provider": "b", "model": "n"}])
    found = measure(asked, shocks)
    assert found.left_out == ("n@b",)
    assert "left out" in repr(found)


def test_measured_quality_may_disappoint_beliefs(asked):
    estimates, tokens = asked
    paths = market.simulate_shocks(OFFERS, START, END, price_changes_per_year=20, n_paths=4)
    wrong = [measure((estimates, tokens), path, quality=1 - estimates).gain.estimate for path in paths]
    assert min(wrong) < 0
    with pytest.raises(TableError, match="lacks"):
        measure((estimates, tokens), paths[0], quality=estimates[["m"]])


def test_a_gain_that_few_prompts_carry_has_no_interval(asked):
    estimates, tokens = asked
    shocks = market.simulate_shocks(OFFERS, START, END, price_changes_per_year=20)[0]
    tokens = tokens.assign(input_tokens=tokens["input_tokens"].where(tokens["prompt_id"] > 0, 1e6))
    found = measure((estimates, tokens), shocks)
    assert np.isnan(found.gain.low)
    assert np.isnan(found.gain.high)
    assert "a single prompt carries it" in found.gain.note


def test_paths_widen_the_interval_and_are_named(asked):
    paths = market.simulate_shocks(OFFERS, START, END, price_changes_per_year=20, n_paths=12)
    found = measure(asked, paths)
    assert "12 markets" in found.gain.method
    assert "simulated" in found.provenance
    assert found.gain.low < found.gain.estimate < found.gain.high


def test_value_needs_a_finite_willingness_to_pay(asked):
    with pytest.raises(ValueError, match="finite"):
        measure(asked, pd.DataFrame(columns=["time", "kind", "provider"]), willingness_to_pay=np.inf)


@pytest.mark.slow
def test_intervals_hold_the_truth_on_simulated_markets():
    from benchmarks.coverage_market import rows

    cells = list(rows(n_simulations=60, thin=True))
    assert {cell["measure"] for cell in cells} >= {"saving, USD a month", "gain from swings"}
    for cell in cells:
        kept = cell["n_simulations"] * (1 - cell["refused"])
        error = 2.9 * np.sqrt(0.95 * 0.05 / max(kept, 1))  # Bonferroni over five cells
        assert cell["coverage"] >= 0.95 - error - 0.01, cell
        assert cell["refused"] < 0.2, cell


@pytest.mark.parametrize(
    ("carriers", "grouped", "said"),
    [
        (1, False, "USD a month, no interval: a single prompt carries it; an interval takes some 30"),
        (3, False, "USD a month, no interval: as few as 3 prompts carry it; an interval takes some 30"),
        (4, True, "USD a month, no interval: only 2 groups"),
        (0, False, "gain from swings: 0.00 USD a month, no interval: no prompt gained or lost"),
    ],
)
def test_a_gain_that_few_prompts_carry_has_no_interval_and_says_why(carriers, grouped, said):
    of_prompt = np.r_[np.ones(carriers), np.zeros(N - carriers)]
    codes = np.arange(N) % 2 if grouped else None
    found = _interval(of_prompt, np.zeros(1), codes, 0.95, None)
    text = repr(market.Antifragility(found, found, 0.0, float("inf"), (), (), None))
    assert said in text and "nan" not in text and "inf" not in text.replace("information", "")


def test_every_amount_of_a_gain_says_that_it_is_in_usd(asked):
    shocks = market.simulate_shocks(OFFERS, START, END, price_changes_per_year=20)[0]
    found = measure(asked, shocks)
    few, _, changed, *_ = repr(found).splitlines()
    assert re.search(r"^gain from swings: [\d,.]+ USD a month, no interval: as few as \d+ prompts carry it", few), few
    known = repr(replace(found, gain=_interval(np.linspace(1, 2, N), np.zeros(1), None, 0.95, None))).splitlines()[0]
    assert re.search(r"^gain from swings: [\d,.]+ \[[\d,.]+, [\d,.]+\] USD a month$", known), known
    assert re.search(r"may cost [\d,.]+ USD before", changed)
