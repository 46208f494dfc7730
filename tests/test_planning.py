"""Plans hold in simulation, and the advice follows from the intervals."""

import itertools

import numpy as np
import pandas as pd
import pytest
from scipy.stats import multinomial

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
    assert rl.plan_study(max_quality_loss=0.01).n_fewest == claim.n_fewest == 383


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
            "902 prompts: 80% chance to show non-inferiority at 3 points",
            "fewest for 80%: 902; below 127 not",
            "1.3% or",
        ),
        ({"n": 200, "power": 0.9}, "200 prompts: ", "fewest for 90%: ", "or more would show with 90% chance"),
        ({"n": 10**6}, "1,000,000 prompts: over 99% chance", "fewest for 80%: ", "0.1% or more"),
        ({"n": 1}, "1 prompt: under 1% chance", "below 127 not even equal quality", "or more would show"),
        ({"n": 50}, "50 prompts: 6% chance", "below 127 not even equal quality", "or more would show"),
        ({"loss": 0.03}, "127 prompts: ", "no number of prompts would show it: the assumed loss is not", "or more"),
        ({"loss": 0.029}, "127 prompts: ", "more than 2,000, as the assumed loss is so close", "or more"),
    ],
)
def test_a_plan_says_its_chance_the_fewest_and_the_saving_in_plain_words(options, first, second, third, monkeypatch):
    monkeypatch.setattr("routerlab.planning._LARGEST", 2000)
    plan = rl.plan_study(max_quality_loss=0.03, discordance=0.1, **options)
    lines = repr(plan).splitlines()
    for line, said in zip(lines, (first, second, third), strict=False):
        assert said in line
    assert "would do" not in repr(plan) and "from 0%" not in repr(plan)


@pytest.mark.parametrize(("margin", "n"), [(0.3, 12), (0.2, 18), (0.1, 38), (0.05, 76), (0.01, 383)])
@pytest.mark.parametrize("size", [1, 5])
def test_the_fewest_without_a_loss_is_where_the_claim_itself_turns(margin, n, size):
    for units in (n - 1, n):
        index = pd.RangeIndex(units * size)
        quality, cost = pd.DataFrame(1.0, index, ["small", "large"]), pd.DataFrame({"small": 0.1, "large": 1.0}, index)
        groups = None if size == 1 else np.arange(units * size) // size
        options = {"baseline": "large", "max_quality_loss": margin, "groups": groups}
        made = rl.savings(pd.Series("small", index), quality, cost, **options)
        assert made.n_fewest == n and made.non_inferior == (units >= n)
        plan = rl.plan_study(max_quality_loss=margin, discordance=0, n=units * size, group_size=size)
        assert plan.n_fewest == plan.n_needed == n * size and plan.power == (units >= n)


@pytest.mark.parametrize("confidence", [0.9, 0.99])
@pytest.mark.parametrize("n", [12, 40])
def test_the_planned_test_is_the_interval_for_every_outcome(n, confidence):
    for margin in (0.05, 0.3):
        plan = rl.plan_study(max_quality_loss=margin, discordance=0.2, n=n, confidence=confidence)
        chance = 0.0
        for down, up in itertools.product(range(n + 1), repeat=2):
            mass = multinomial.pmf([down, up, n - down - up], n, [0.1, 0.1, 0.8]) if down + up <= n else 0.0
            if mass > 1e-6:
                values = np.repeat([-1.0, 1.0, 0.0], [down, up, n - down - up])
                chance += mass * (mean_interval(values, confidence=confidence)[1] >= -margin)
        assert plan.power == pytest.approx(chance, abs=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("margin", "discordance", "loss", "icc"), [(0.05, 0.1, 0.0, 0.0), (0.03, 0.05, 0.0, 0.05), (0.05, 0.1, 0.01, 0.3)]
)
@pytest.mark.parametrize("alike", ["shares differ", "some are one"])
def test_the_planned_power_of_groups_is_what_savings_finds(margin, discordance, loss, icc, alike):
    size, n_samples = 10, 150
    plan = rl.plan_study(max_quality_loss=margin, discordance=discordance, loss=loss, group_size=size, icc=icc)
    n, rng = plan.n // size, np.random.default_rng(0)
    chances = np.array([(discordance + loss) / 2, 1 - discordance, (discordance - loss) / 2])
    index, shown = pd.RangeIndex(plan.n), []
    cost = pd.DataFrame({"small": 0.1, "large": 1.0}, index)
    for _ in range(n_samples):
        if alike == "shares differ":  # as planned
            shares = rng.dirichlet(np.minimum(1 / max(icc, 1e-6) - 1, 1e6) * chances, n)
            values = (rng.random((n, size, 1)) > shares.cumsum(axis=1)[:, None, :2]).sum(axis=2) - 1.0
        else:  # a prompt follows its group with a chance whose square is the correlation
            own = rng.choice([-1.0, 0.0, 1.0], (n, size), p=chances)
            values = np.where(rng.random((n, size)) < np.sqrt(icc), rng.choice([-1.0, 0, 1], (n, 1), p=chances), own)
        quality = pd.DataFrame({"small": (values.ravel() >= 0) * 1.0, "large": (values.ravel() <= 0) * 1.0}, index)
        made = rl.savings(pd.Series("small", index), quality, cost, baseline="large", max_quality_loss=margin,
                          groups=np.arange(plan.n) // size)  # fmt: skip
        shown.append(made.non_inferior)
    assert np.mean(shown) == pytest.approx(plan.power, abs=3 * np.sqrt(0.16 / n_samples) + 0.02)
    assert np.mean(shown) >= 0.7 and plan.power == pytest.approx(0.8, abs=0.03)


def test_a_promise_of_groups_takes_the_groups_that_are_planned():
    plan = rl.plan_study(max_quality_loss=0.05, group_size=10, icc=0.1)
    assert plan.n_promise == 590 and "groups of 10" in plan.assumptions and "in 97 groups" in repr(plan)
    for n, granted in ((58, False), (59, True)):
        index = pd.RangeIndex(10 * n)
        quality, cost = pd.DataFrame(1.0, index, ["small", "large"]), pd.DataFrame({"small": 0.1, "large": 1.0}, index)
        options = {"baseline": "large", "max_quality_loss": 0.05, "groups": np.arange(10 * n) // 10}
        assert rl.promise({"small": pd.Series("small", index)}, quality, cost, **options).granted == granted


@pytest.mark.parametrize("size", [2.5, 1000, 1.01])
@pytest.mark.parametrize("icc", [0.0, 1.0])
@pytest.mark.parametrize("discordance", [0.0, 0.3, 1.0])
def test_groups_of_any_size_can_be_planned_for(size, icc, discordance):
    plan = rl.plan_study(max_quality_loss=0.2, group_size=size, icc=icc, discordance=discordance, saving=0.2)
    assert plan.n_needed >= plan.n_fewest >= size * 18 - 1 and 0.8 <= plan.power <= 1 and plan.n_for_saving >= 1
    alone = rl.plan_study(max_quality_loss=0.2, discordance=discordance)
    assert plan.n_needed >= 0.97 * alone.n_needed


def test_a_study_close_to_its_margin_is_planned_in_little_memory():
    plan = rl.plan_study(max_quality_loss=0.01, loss=0.0095, discordance=0.3)
    assert plan.n_needed is not None or "more than 10,000,000" in repr(plan)


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
    with pytest.raises(ValueError, match="'saving' must be above 0 and below 0.9"):
        rl.plan_study(saving=0.95)
    with pytest.raises(ValueError, match="pilot"):
        rl.plan_study([3.0])


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("n", [0, -5, 1.5, float("nan"), float("inf"), "100", True, 10**12]),
        ("loss", ["a", float("nan"), -2, None]),
        ("discordance", ["a", float("nan"), -0.1, 1.1]),
        ("price_ratio", [1, 2, -1, float("nan"), "0.1"]),
        ("cost_spread", [float("nan"), -1, 50, "a"]),
        ("group_size", [0, float("nan"), "a", float("inf")]),
        ("icc", [-0.1, 1.1, float("nan"), "a"]),
        ("judge_correlation", [2, -2, float("nan"), "a"]),
        ("saving", [0, 1, -0.1, float("nan"), "a"]),
        ("power", [0, 1, 80, float("nan"), "a", None]),
        ("confidence", [95, float("nan"), "0.95"]),
        ("guarantee", [1, float("nan"), "0.95"]),
        ("max_quality_loss", [-0.1, 1, float("nan"), "a"]),
    ],
)
def test_every_number_of_a_plan_out_of_its_range_is_refused_in_words(name, values):
    for value in values:
        with pytest.raises(rl.exceptions.ParameterError, match=rf"'{name}'.*must.* Got .* instead"):
            rl.plan_study(**{name: value})


def claim(n=600, saves=0.9, wrong=0.0, **options):
    index = pd.RangeIndex(n)
    quality = pd.DataFrame({"small": 1.0, "large": 1.0}, index)
    quality.iloc[: round(wrong * n), 0] = 0.0
    cost = pd.DataFrame({"small": 0.01 * (1 - saves), "large": 0.01}, index)
    return rl.savings(
        pd.Series("small", index), quality, cost, baseline="large", **{"max_quality_loss": 0.03} | options
    )


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


@pytest.mark.parametrize(("wrong", "decision"), [(0.0, "go"), (0.02, "wait"), (0.05, "wait"), (0.3, "stop")])
def test_advice_keeps_what_a_claim_by_a_judge_alone_says(wrong, decision):
    made = rl.payback(claim(300, wrong=wrong, judged="gpt-4"), requests_per_month=100_000)
    assert made.decision == decision and "as gpt-4 judges, and no label of people corrects" in made.why
    assert "judges" not in rl.payback(claim(300, wrong=wrong), requests_per_month=100_000).why


def test_a_saving_without_an_interval_is_what_is_not_shown():
    index = pd.RangeIndex(50)
    cost = pd.DataFrame({"large": np.exp(3 * np.random.default_rng(0).normal(size=50))})
    quality, cost = pd.DataFrame(1.0, index, ["small", "large"]), cost.assign(small=0.1 * cost["large"])
    for bar in (0.01, 0.2):
        made = rl.savings(pd.Series("small", index), quality, cost, baseline="large", max_quality_loss=bar)
        found = rl.payback(made, requests_per_month=1000)
        assert found.decision == "wait" and found.n_more is None
        assert found.why.startswith("the saving is not shown: costs are too unequal for an interval from 50 prompts")


@pytest.mark.parametrize("n", [1, 2, 8, 50, 126])
@pytest.mark.parametrize("size", [1, 4])
def test_advice_on_a_sample_without_a_loss_counts_as_the_claim_does(n, size):
    groups = None if size == 1 else np.arange(n * size) // size
    made = claim(n * size, groups=groups)
    found = rl.payback(made, requests_per_month=100_000)
    assert found.n_more == (127 - n) * size and f"{n * size + found.n_more:,}" == f"{127 * size:,}"
    assert ("1 more prompt would" in found.why) == (found.n_more == 1)


@pytest.mark.parametrize(("wrong", "n", "bar"), [(0.02, 100, 0.05), (0.02, 200, 0.03), (0.01, 100, 0.03)])
def test_the_prompts_that_are_advised_do_show_it_if_the_estimates_stay(wrong, n, bar):
    found = rl.payback(claim(n, wrong=wrong, max_quality_loss=bar), requests_per_month=100_000)
    n_then = int(np.ceil((n + found.n_more) * 1.05 / 100) * 100)
    assert claim(n_then, wrong=wrong, max_quality_loss=bar).non_inferior
    assert not claim(int((n + found.n_more) * 0.8 / 100) * 100, wrong=wrong, max_quality_loss=bar).non_inferior


@pytest.mark.parametrize("labels", [0, 100])
def test_where_nothing_is_routed_the_advice_says_so(labels):
    index = pd.RangeIndex(500)
    quality, cost = pd.DataFrame(1.0, index, ["small", "large"]), pd.DataFrame({"small": 0.1, "large": 1.0}, index)
    for choices in (rl.always("large", index), pd.Series("large", index)):
        found = rl.payback(rl.savings(choices, quality, cost, baseline="large"), requests_per_month=1000, labels=labels)
        assert found.decision == "stop" and "nothing is routed: all prompts stay with large" in repr(found)
        assert ("never paid back" in repr(found)) == (labels > 0)


def test_advice_on_what_is_not_a_claim_and_amounts_in_text_are_refused_in_words():
    for wrong in ("x", None, 3.0, pd.DataFrame()):
        with pytest.raises(rl.exceptions.ParameterError, match=r"'claim' must be what savings\(...\) returns"):
            rl.payback(wrong, requests_per_month=1000)
    for name in ("requests_per_month", "labels", "usd_per_label", "monthly_usd", "horizon_months"):
        for value in ("1e5", None, -1, float("nan"), float("inf")):
            with pytest.raises(rl.exceptions.ParameterError, match=f"'{name}' must be a finite number of at least 0"):
                rl.payback(claim(), **{"requests_per_month": 1000} | {name: value})
