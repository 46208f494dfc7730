"""Plans hold in simulation, and the advice follows from the intervals."""

import numpy as np
import pandas as pd
import pytest

import routerlab as rl
from routerlab.stats import mean_interval, ratio_interval


@pytest.mark.slow
@pytest.mark.parametrize(("margin", "discordance", "loss"), [(0.03, 0.15, 0.005), (0.03, 0.05, 0.0), (0.05, 0.3, 0.01)])
def test_the_planned_power_is_what_simulation_finds(margin, discordance, loss):
    plan = rl.plan_study(max_quality_loss=margin, discordance=discordance, loss=loss)
    chances = [(discordance + loss) / 2, 1 - discordance, (discordance - loss) / 2]
    rng = np.random.default_rng(0)
    shown = [mean_interval(rng.choice([-1.0, 0, 1], plan.n, p=chances))[1] >= -margin for _ in range(400)]
    assert np.mean(shown) == pytest.approx(plan.power, abs=3 * np.sqrt(0.16 / 400) + 0.02)
    assert plan.power == pytest.approx(0.8, abs=0.03)


@pytest.mark.slow
@pytest.mark.parametrize(("saving", "spread"), [(0.05, 0.7), (0.2, 0.7), (0.1, 0.3)])
def test_the_planned_prompts_show_the_saving_with_the_planned_power_at_least(saving, spread):
    n = rl.plan_study(max_quality_loss=0.03, saving=saving, cost_spread=spread).n_for_saving
    assert rl.plan_study(max_quality_loss=0.03, n=n, cost_spread=spread).smallest_saving == pytest.approx(
        saving, rel=0.05
    )
    rng = np.random.default_rng(0)
    shown = []
    for _ in range(200):
        base = rng.lognormal(0, spread, n)
        spent = np.where(rng.random(n) < saving / 0.9, 0.1, 1.0) * base
        shown.append(ratio_interval(spent, base)[2] < 1)
    assert np.mean(shown) >= 0.75


def test_a_plan_without_differences_needs_what_savings_says():
    index = pd.RangeIndex(60)
    quality, cost = pd.DataFrame({"small": 1.0, "large": 1.0}, index), pd.DataFrame({"small": 0.1, "large": 1.0}, index)
    claim = rl.savings(pd.Series("small", index), quality, cost, baseline="large")
    assert rl.plan_study(max_quality_loss=0.01).n_fewest == claim.n_fewest == 381


@pytest.mark.parametrize(
    ("margin", "guarantee", "n"),
    [(0.05, 0.95, 59), (0.03, 0.95, 99), (0.02, 0.95, 149), (0.01, 0.95, 299), (0.03, 0.9, 76), (0.5, 0.95, 5)],
)
def test_a_plan_and_a_promise_count_the_same_prompts(margin, guarantee, n):
    assert (1 - margin) ** n <= 1 - guarantee < (1 - margin) ** (n - 1)
    bar = {"max_quality_loss": margin, "guarantee": guarantee}
    assert rl.plan_study(**bar).n_promise == n
    for size, granted in ((n - 1, False), (n, True)):
        index = pd.RangeIndex(size)
        quality, cost = pd.DataFrame(1.0, index, ["small", "large"]), pd.DataFrame({"small": 0.1, "large": 1.0}, index)
        made = rl.promise({"small": pd.Series("small", index)}, quality, cost, baseline="large", **bar)
        assert made.n_needed == n and made.granted == granted


@pytest.mark.parametrize(
    ("options", "first", "second", "third"),
    [
        (
            {},
            "904 prompts: 80% chance to show non-inferiority at 3 points",
            "fewest for 80%: 904; below 125 not",
            "1.3% or",
        ),
        ({"n": 200, "power": 0.9}, "200 prompts: ", "fewest for 90%: ", "or more would show with 90% chance"),
        ({"n": 10**6}, "1,000,000 prompts: over 99% chance", "fewest for 80%: ", "0.1% or more"),
        ({"n": 50}, "50 prompts: 6% chance", "below 125 not even equal quality", "or more would show"),
        ({"loss": 0.03}, "125 prompts: ", "no number of prompts would show it: the assumed loss is not", "or more"),
        ({"loss": 0.029}, "125 prompts: ", "more than 2,000, as the assumed loss is so close", "or more"),
    ],
)
def test_a_plan_says_its_chance_the_fewest_and_the_saving_in_plain_words(options, first, second, third, monkeypatch):
    monkeypatch.setattr("routerlab.planning._LARGEST", 2000)
    plan = rl.plan_study(max_quality_loss=0.03, discordance=0.1, **options)
    lines = repr(plan).splitlines()
    for line, said in zip(lines, (first, second, third), strict=False):
        assert said in line
    assert "would do" not in repr(plan) and "from 0%" not in repr(plan)


def test_more_discordance_smaller_margins_and_groups_take_more_prompts():
    base = rl.plan_study(max_quality_loss=0.03, discordance=0.1)
    assert rl.plan_study(max_quality_loss=0.03, discordance=0.3).n_needed > base.n_needed
    assert rl.plan_study(max_quality_loss=0.01, discordance=0.1).n_needed > base.n_needed
    grouped = rl.plan_study(max_quality_loss=0.03, discordance=0.1, group_size=10, icc=0.5)
    assert grouped.n_needed == pytest.approx(5.5 * base.n_needed, rel=0.02)
    assert rl.plan_study(max_quality_loss=0.03, n=200).power < base.power
    assert rl.plan_study(max_quality_loss=0.03, judge_correlation=0.8).n_labels_with_judge < base.n_needed


def test_a_loss_at_the_margin_cannot_be_shown_to_be_below_it():
    plan = rl.plan_study(max_quality_loss=0.01, discordance=0.1, loss=0.02, n=1000)
    assert plan.n_needed is None and plan.power < 0.025 and "no number of prompts" in repr(plan)


def test_a_pilot_without_a_difference_is_not_taken_for_certainty():
    plan = rl.plan_study(np.zeros(30), max_quality_loss=0.03)
    assert plan.n_needed > plan.n_fewest


@pytest.mark.parametrize(
    "options",
    [{"max_quality_loss": 5}, {"discordance": 2}, {"loss": 0.5}, {"icc": -1}, {"power": 80}, {"group_size": 0}],
)
def test_plans_of_impossible_numbers_are_refused(options):
    with pytest.raises(ValueError, match="must|needs"):
        rl.plan_study(**options)
    with pytest.raises(ValueError, match="'saving' must lie above 0 and below 0.9"):
        rl.plan_study(saving=0.95)
    with pytest.raises(ValueError, match="pilot"):
        rl.plan_study([3.0])


def claim(n=600, saves=0.9, wrong=0.0):
    index = pd.RangeIndex(n)
    quality = pd.DataFrame({"small": 1.0, "large": 1.0}, index)
    quality.iloc[: round(wrong * n), 0] = 0.0
    cost = pd.DataFrame({"small": 0.01 * (1 - saves), "large": 0.01}, index)
    return rl.savings(pd.Series("small", index), quality, cost, baseline="large", max_quality_loss=0.03)


def test_the_advice_follows_from_the_intervals():
    go = rl.payback(claim(), requests_per_month=100_000, labels=500)
    assert go.decision == "go" and go.one_off_usd == 250 and go.monthly_usd == pytest.approx(900)
    assert go.months == pytest.approx(250 / 900) and go.months_low <= go.months <= go.months_high
    assert rl.payback(claim(), requests_per_month=10, labels=500).decision == "stop"
    assert rl.payback(claim(wrong=0.2), requests_per_month=100_000).decision == "stop"
    wait = rl.payback(claim(wrong=0.02), requests_per_month=100_000, labels=500)
    assert wait.decision == "wait" and wait.n_more > 0 and "more prompts" in repr(wait)
    hopeless = rl.payback(claim(n=60, wrong=0.05), requests_per_month=100_000)
    assert hopeless.decision == "wait" and hopeless.n_more is None


def test_running_costs_come_off_every_month_and_bad_sums_are_refused():
    plain, own = (rl.payback(claim(), requests_per_month=1000, monthly_usd=usd) for usd in (0, 5))
    assert own.monthly_usd == pytest.approx(plain.monthly_usd - 5)
    with pytest.raises(ValueError, match="'labels'"):
        rl.payback(claim(), requests_per_month=1000, labels=-1)
    with pytest.raises(ValueError, match="'requests_per_month'"):
        rl.payback(claim(), requests_per_month=float("nan"))


def test_what_is_never_paid_back_is_said_so_and_a_pilot_of_another_kind_is_refused():
    quality = pd.DataFrame(1.0, range(40), ["small", "gpt-4"])
    cost = pd.DataFrame({"small": 0.01, "gpt-4": 0.001}, range(40))
    claim = rl.savings(pd.Series("small", range(40)), quality, cost, baseline="gpt-4")
    assert "never paid back" in repr(rl.payback(claim, requests_per_month=1000, labels=1))
    with pytest.raises(ValueError, match="'pilot'"):
        rl.plan_study(claim)


def test_a_pilot_of_many_small_losses_can_be_planned_for():
    plan = rl.plan_study(np.full(200, -0.02), max_quality_loss=0.05)
    assert "true loss 2 points" in plan.assumptions and plan.n_needed > 0
