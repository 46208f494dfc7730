"""Intervals and tests of routerlab.stats: identities, peers' formulas, coverage on hard samples."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats as peers

from routerlab import stats


def test_without_discordance_the_interval_is_wilsons():
    for k, n in ((0, 60), (3, 60), (30, 60), (1, 5)):
        values = -np.repeat([1.0, 0.0], [k, n - k])
        wanted = peers.binomtest(k, n).proportion_ci(method="wilson")
        _, low, _ = stats.mean_interval(values, bounds=(-1, 0), confidence=0.95)
        z, t = peers.norm.ppf(0.975), peers.t.ppf(0.975, n - 1)
        assert -low >= wanted.high  # Student's quantile is wider, and so is half a pseudo-observation
        if k == 0:
            assert -low == pytest.approx(t**2 / (n + t**2), rel=1e-4)
            assert wanted.high == pytest.approx(z**2 / (n + z**2), rel=1e-4)


def test_paired_binary_values_give_tangos_interval():
    """Tango (1998), table of Altman's example as in Newcombe: b = 12, c = 2, n = 44 (z quantile)."""
    b, c, n = 12, 2, 44
    values = np.repeat([1.0, -1.0, 0.0], [b, c, n - b - c])

    def tango(delta):  # score statistic with the restricted estimate of the smaller probability
        a0, a1, a2 = 2 * n, -b - c + (2 * n - b + c) * delta, -c * delta * (1 - delta)
        p21 = (np.sqrt(a1**2 - 4 * a0 * a2) - a1) / (2 * a0)
        return (b - c - n * delta) / np.sqrt(n * (2 * p21 + delta * (1 - delta)))

    t = peers.t.ppf(0.975, n - 1)
    total, size, count = stats._compressed(values, np.ones(n))
    low = stats._score_end(total, size, count, t)
    assert tango(low) == pytest.approx(t, rel=1e-4)
    high = -stats._score_end(-total, size, count, t)
    assert tango(high) == pytest.approx(-t, rel=1e-4)


def test_intervals_turn_with_the_sign_and_scale_with_the_bounds():
    values = np.random.default_rng(0).choice([-1, -0.5, 0, 0.5, 1], 80, p=[0.1, 0.1, 0.6, 0.1, 0.1])
    mean, low, high = stats.mean_interval(values)
    assert stats.mean_interval(-values) == pytest.approx((-mean, -high, -low))
    assert stats.mean_interval(values / 2 + 0.5, bounds=(0, 1)) == pytest.approx(
        (mean / 2 + 0.5, low / 2 + 0.5, high / 2 + 0.5)
    )


def test_groups_of_one_are_rows_and_order_does_not_matter():
    rng = np.random.default_rng(1)
    values, codes = rng.choice([-1.0, 0, 1], 90, p=[0.1, 0.8, 0.1]), rng.integers(0, 30, 90)
    assert stats.mean_interval(values, np.arange(90)) == pytest.approx(stats.mean_interval(values))
    order = rng.permutation(90)
    assert stats.mean_interval(values[order], codes[order]) == pytest.approx(stats.mean_interval(values, codes))
    cost = rng.lognormal(0, 0.5, (90, 2))
    a, b = (stats.ratio_interval(*cost.T, grouped) for grouped in (None, np.arange(90)))
    assert a == pytest.approx(b)


def test_many_rows_are_binned_without_moving_the_interval():
    values = np.random.default_rng(2).normal(-0.01, 0.2, 60_000).clip(-1, 1)
    whole = np.array(stats.mean_interval(values))
    t = np.array(stats.t_interval(values))
    assert whole == pytest.approx(t, abs=2e-4)


@pytest.mark.parametrize("sizes", [np.ones(40), np.repeat([1.0, 5.0], 20), np.append(np.ones(30), 60.0)])
def test_degrees_of_freedom_are_satterthwaites_by_brute_force(sizes):
    share = sizes / sizes.sum()
    project = np.eye(len(sizes)) - share[:, None] * np.ones(len(sizes))
    form = project.T @ np.diag(1 / (1 - share)) @ project
    found = []
    for variance in (sizes, sizes**2):
        product = form @ np.diag(variance)
        found.append(np.trace(product) ** 2 / np.trace(product @ product))
    assert stats.cluster_df(sizes) == pytest.approx(min(found))


@pytest.mark.parametrize("n", [20, 100, 300])
@pytest.mark.parametrize("null", [-0.02, -0.1])
def test_of_failures_alone_the_p_value_of_a_mean_is_the_binomial_test(n, null):
    for failures in range(0, int(-null * n) + 1, 3):
        values = -(np.arange(n) < failures).astype(float)
        exact = peers.binom.cdf(failures, n, -null)
        assert stats.mean_p_value(values, null) == pytest.approx(exact, rel=0.05) or exact > 0.4


@pytest.mark.parametrize(("n", "bar"), [(20, 0.15), (50, 0.05), (80, 0.02)])
def test_no_distribution_of_losses_wins_and_ties_is_passed_more_often_than_the_level_says(n, bar):
    tables = [(a, b, n - a - b) for a in range(n + 1) for b in range(n + 1 - a) if b - a + bar * n > 0]
    passed = [t for t in tables if stats.mean_p_value(np.repeat([-1.0, 1.0, 0.0], t), -bar) <= 0.05]
    for rate in np.linspace(bar, 0.9, 40):
        chances = [(rate + bar) / 2, (rate - bar) / 2, 1 - rate]
        assert peers.multinomial.pmf(passed, n, chances).sum() <= 0.05


@pytest.mark.parametrize("kind", ["two-point", "beta", "skewed", "groups"])
@pytest.mark.parametrize("n", [5, 30, 200])
def test_the_p_value_of_a_mean_holds_for_graded_values(kind, n):
    rng, n_simulations = np.random.default_rng(n), 1500
    false = 0
    for _ in range(n_simulations):
        size = None
        if kind == "two-point":
            values, mean = np.where(rng.random(n) < 0.1, -1.0, 0.05), -0.055
        elif kind == "beta":
            values, mean = 2 * rng.beta(0.3, 0.5, n) - 1, -0.25
        elif kind == "skewed":
            values, mean = -rng.beta(0.05, 2.0, n), -0.05 / 2.05
        else:
            size, mean = rng.integers(1, 20, n).astype(float), -0.4 * 135 / 190
            values = -(rng.random(n) < np.where(size > 10, 0.4, 0.0)).astype(float)  # the large ones lose, as a whole
        false += stats.mean_p_value(values, mean, size=size) <= 0.05
    assert peers.binom.sf(false - 1, n_simulations, 0.05) > 0.001, false


def test_the_p_value_of_a_mean_is_as_sharp_as_a_t_test_and_decides_the_edges():
    rng = np.random.default_rng(0)
    values = rng.choice([-1.0, -0.5, 0.0, 0.5, 1.0], p=[0.02, 0.05, 0.84, 0.05, 0.04], size=2000)
    by_t = peers.ttest_1samp(values, 0.0, alternative="greater").pvalue
    assert stats.mean_p_value(values, 0.0) == pytest.approx(by_t, rel=0.3)
    assert stats.mean_p_value(np.zeros(0), -0.1) == 1 and stats.mean_p_value(-np.ones(5), -1.0) == 0
    assert stats.mean_p_value(np.zeros(299), -0.01) < 0.05 < stats.mean_p_value(np.zeros(297), -0.01)


def test_a_studentised_flip_of_a_symmetric_mean_keeps_its_level_and_finds_a_difference():
    rng = np.random.default_rng(0)
    p = [stats.sign_flip_p_value(rng.normal(size=40), None, 199, k) for k in range(300)]
    assert 0.02 <= np.mean(np.array(p) <= 0.05) <= 0.09
    assert stats.sign_flip_p_value(rng.normal(1.0, 1.0, 40), None, 999, 0) < 0.01


HARD = {
    "rare": lambda rng: (-(rng.random(400) < 0.005).astype(float), None, -0.005),
    "rare, few": lambda rng: (-(rng.random(60) < 0.03).astype(float), None, -0.03),
    "three values": lambda rng: (rng.choice([-1, -0.5, 0, 0.5, 1], 60, p=[0.05, 0.1, 0.7, 0.1, 0.05]), None, 0.0),
    "ten groups": lambda rng: (np.repeat(-(rng.random(10) < 0.2).astype(float), 30), np.arange(300) // 30, -0.2),
    "uneven groups": lambda rng: _uneven(rng),
}


def _uneven(rng):
    codes = np.repeat(np.arange(40), rng.integers(1, 20, 40))
    return -(rng.random(40) < 0.1).astype(float)[codes], codes, -0.1


@pytest.mark.slow
@pytest.mark.parametrize("world", HARD)
def test_mean_intervals_cover_on_hard_samples(world):
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(400):
        values, codes, truth = HARD[world](rng)
        _, low, high = stats.mean_interval(values, codes)
        hits += low <= truth <= high
    assert hits / 400 >= 0.93


def test_groups_are_read_by_prompt_id():
    codes = stats.group_codes(pd.Series({"p1": "a", "p2": "b", "p3": "a"}), pd.Index(["p3", "p1", "p2"]))
    assert codes.tolist() == [0, 0, 1]
    assert stats.few_groups_note(np.arange(20)) is None and "only 19" in stats.few_groups_note(np.arange(19))
