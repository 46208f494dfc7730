"""Frontier, hull, baselines and metrics: against brute force, the peers' definitions, and published figures."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings, strategies as st
from hypothesis.extra.numpy import arrays

import routerlab.evaluation as ev
from routerlab.decision import sweep_estimates
from routerlab.evaluation._scoring import last_of_equal, running
from routerlab.schema import ParameterError


def problem(n=300, m=4, seed=0):
    rng = np.random.default_rng(seed)
    models = [f"m{k}" for k in range(m)]
    index = pd.Index([f"p{k}" for k in range(n)], name="prompt_id")
    skill = rng.random((n, m)) * 0.6 + np.linspace(0, 0.4, m)
    quality = pd.DataFrame((rng.random((n, m)) < skill).astype(float), index, models)
    cost = pd.DataFrame(rng.lognormal(size=(n, m)) * np.geomspace(1e-4, 1e-2, m), index, models)
    guess = pd.DataFrame(skill, index, models)
    return quality, cost, sweep_estimates(guess, cost)


def test_frontier_equals_scoring_every_operating_point_by_itself():
    quality, cost, sweep = problem(n=60)
    curve = ev.frontier(sweep, quality, cost, ci=True)
    assert len(curve) == len(np.unique(sweep.wtp)) + 1
    for row in curve.itertuples():
        scored = ev.score_choices(sweep.at(row.willingness_to_pay), quality, cost)
        assert row.quality == pytest.approx(scored["quality"].mean(), abs=1e-12)
        assert row.cost_usd == pytest.approx(scored["cost_usd"].mean(), rel=1e-12)
        relative = scored["cost_usd"].std(ddof=1) / np.sqrt(60) / row.cost_usd
        low = row.cost_usd * np.exp(-2.0009953780882674 * relative)  # t(59), 97.5%
        assert row.cost_low == pytest.approx(low, rel=1e-6) and row.cost_high > row.cost_usd
        assert 0 <= row.quality_low < row.quality < row.quality_high <= 1


@pytest.mark.parametrize("ties", [False, True])
def test_variance_between_groups_is_exact_at_every_operating_point(ties):
    quality, cost, sweep = problem(n=60)
    if ties:
        sweep = sweep_estimates(quality.round(1), (cost * 0 + [0.01, 0.02, 0.05, 0.1]))
    codes = np.random.default_rng(3).integers(0, 9, 60)
    values = quality[sweep.models].to_numpy()
    last = last_of_equal(sweep.wtp)
    mean, variance = running(sweep, values, last, True, codes)
    for k, wtp in enumerate(np.append(np.inf, sweep.wtp[last])):
        chosen = ev.score_choices(sweep.at(wtp), quality, cost)["quality"].to_numpy()
        totals = np.bincount(codes, chosen - chosen.mean())
        assert mean[k] == pytest.approx(chosen.mean())
        assert variance[k] == pytest.approx((totals**2).sum() / 60**2 * 9 / 8)


def test_frontier_of_choices_is_one_row_and_matches_the_sweep():
    quality, cost, sweep = problem()
    one = ev.frontier(sweep.at(0.01), quality, cost)
    assert len(one) == 1
    curve = ev.frontier(sweep, quality, cost)
    row = curve[curve["willingness_to_pay"] >= 0.01].iloc[-1]
    assert one["quality"].iloc[0] == pytest.approx(row["quality"])


def test_frontier_ignores_the_order_of_rows_and_models():
    quality, cost, sweep = problem()
    rows = np.random.default_rng(0).permutation(quality.index)
    shuffled = ev.frontier(sweep, quality.loc[rows, quality.columns[::-1]], cost.loc[rows])
    pd.testing.assert_frame_equal(shuffled, ev.frontier(sweep, quality, cost))


def test_thinning_keeps_both_ends_and_says_so():
    quality, cost, sweep = problem()
    full, thin = (ev.frontier(sweep, quality, cost, max_points=k) for k in (None, 20))
    assert len(thin) <= 22 < len(full) == thin.attrs["thinned_from"]
    pd.testing.assert_frame_equal(thin.iloc[[0, -1]].reset_index(drop=True), full.iloc[[0, -1]].reset_index(drop=True))


def test_frontier_intervals_cover():
    rng = np.random.default_rng(0)
    truth, hits = 0.3, 0
    for _ in range(400):
        quality = pd.DataFrame({"m": (rng.random(200) < truth).astype(float)})
        row = ev.frontier(pd.Series("m", index=quality.index), quality, quality, ci=True).iloc[0]
        hits += row["quality_low"] <= truth <= row["quality_high"]
    assert 0.93 <= hits / 400 <= 0.97


def brute_hull_height(x, y, at):
    """Best mixture of two points that costs exactly `at`, or one point that costs no more."""
    best = max((q for c, q in zip(x, y, strict=True) if c <= at), default=-np.inf)
    for a, b in zip(x, y, strict=True):
        for c, d in zip(x, y, strict=True):
            if a < at < c:
                best = max(best, b + (d - b) * (at - a) / (c - a))
    return best


@settings(max_examples=200, deadline=None)
@given(arrays(float, st.tuples(st.integers(1, 8), st.just(2)), elements=st.integers(0, 6).map(float)))
def test_hull_is_the_best_random_mixture_at_every_cost(points):
    x, y = ev.hull(points[:, 0], points[:, 1])
    assert (np.diff(x) > 0).all() and (np.diff(y) > 0).all()
    assert (np.diff(np.diff(y) / np.diff(x)) < 1e-9).all()
    for at in np.linspace(points[:, 0].min(), points[:, 0].max(), 9):
        assert np.interp(at, x, y) == pytest.approx(brute_hull_height(points[:, 0], points[:, 1], at), abs=1e-9)


def test_oracle_zero_router_and_bounds():
    quality, cost, sweep = problem()
    curve = ev.frontier(sweep, quality, cost)
    best = ev.score_choices(ev.oracle(quality, cost), quality, cost)
    assert best["quality"].mean() == quality.max(axis=1).mean()
    assert (curve["quality"] <= best["quality"].mean()).all()
    assert ev.gap_to_oracle(ev.oracle(quality, cost), quality, cost) == 0
    zero = ev.zero_router(quality, cost)
    for model in quality:
        assert quality[model].mean() <= np.interp(cost[model].mean(), zero["cost_usd"], zero["quality"]) + 1e-12
    table = ev.baselines(quality, cost, baseline="m3")
    assert table.attrs["baseline"] == "m3"
    singles = table[table["kind"] == "model"].set_index("name")
    np.testing.assert_allclose(singles["quality"], quality.mean())
    assert (singles["quality_low"] < singles["quality"]).all() and (singles["quality"] < singles["quality_high"]).all()


def test_random_mix_keeps_its_shares():
    mixed = ev.random_mix(pd.RangeIndex(20_000), {"a": 0.25, "b": 0.75}, random_state=0)
    assert mixed.value_counts(normalize=True)["a"] == pytest.approx(0.25, abs=0.01)
    with pytest.raises(ValueError, match="sum to 1"):
        ev.random_mix(pd.RangeIndex(3), {"a": 0.5})


def test_model_share_sums_to_one_and_follows_the_sweep():
    quality, _, sweep = problem()
    intents = pd.Series(np.arange(len(quality)) % 3, index=quality.index)
    table = ev.model_share(sweep, intents, n_points=5)
    totals = table.groupby(["willingness_to_pay", "intent"])["share"].sum()
    np.testing.assert_allclose(totals, 1)
    top = table[np.isinf(table["willingness_to_pay"]) & (table["intent"] == 0)].set_index("model")["share"]
    expected = sweep.at(np.inf)[intents == 0].value_counts(normalize=True)
    np.testing.assert_allclose(top[expected.index], expected)


def test_aiq_against_a_fine_grid():
    quality, cost, sweep = problem()
    curve = ev.frontier(sweep, quality, cost)
    x, y = ev.hull(curve["cost_usd"], curve["quality"])
    grid = np.linspace(curve["cost_usd"].min(), curve["cost_usd"].max(), 200_001)
    height = np.interp(grid, x, y)
    assert ev.aiq(curve) == pytest.approx(height.mean(), abs=1e-5)
    # RouterBench's code: hull, one more point flat at the largest cost, trapezoids, over that cost.
    largest = 2 * grid[-1]
    area = np.trapezoid(np.append(y, y[-1]), np.append(x, largest))
    assert ev.aiq(curve, method="compat", max_cost=largest) == pytest.approx(area / largest, abs=1e-12)
    with pytest.raises(ValueError, match="least cost"):
        ev.aiq(curve, cost_range=(0.0, grid[-1]))


def routellm_by_hand(score, strong, weak, n):
    """RouteLLM's evaluation, step by step: deciles as thresholds, trapezoids, linear interpolation."""
    edges = pd.qcut(score, n, retbins=True)[1]
    share, quality = [], []
    for k, edge in enumerate(edges):
        picked = score >= edge if k < len(edges) - 1 else score > edge
        share.append(picked.mean())
        quality.append(np.where(picked, strong, weak).mean())
    order = np.argsort(share, kind="stable")
    share, quality = np.array(share)[order], np.array(quality)[order]
    area = np.trapezoid(quality, share)
    span = share[-1] - share[0]
    value = (area - weak.mean() * span) / (strong.mean() * span - weak.mean() * span)
    calls = [np.interp(weak.mean() + t * (strong.mean() - weak.mean()), quality, share) for t in (0.2, 0.5, 0.8)]
    return value, calls


@pytest.mark.parametrize("ties", [False, True])
def test_apgr_and_cpt_compat_equal_routellms(ties):
    rng = np.random.default_rng(3)
    weak, strong = (rng.random((2, 5000)) < [[0.6], [0.8]]).astype(float)
    score = strong - weak + rng.normal(size=5000)
    score = score.round(1) if ties else score
    quality = pd.DataFrame({"weak": weak, "strong": strong})
    curve = ev.call_curve(pd.Series(score), quality, strong="strong", weak="weak", n_thresholds=10)
    value, calls = routellm_by_hand(score, strong, weak, 10)
    assert ev.apgr(curve) == pytest.approx(value, abs=1e-9)
    got = [ev.cpt(curve, t, method="compat") for t in (0.2, 0.5, 0.8)]
    np.testing.assert_allclose(got, calls, atol=1e-9)


def test_apgr_is_half_at_random_and_more_with_a_better_score():
    rng = np.random.default_rng(4)
    weak, strong = (rng.random((2, 40_000)) < [[0.6], [0.8]]).astype(float)
    quality = pd.DataFrame({"weak": weak, "strong": strong})
    exact = {"strong": "strong", "weak": "weak"}
    at_random = ev.call_curve(pd.Series(rng.random(40_000)), quality, **exact)
    assert ev.apgr(at_random) == pytest.approx(0.5, abs=0.02)
    assert at_random["pgr"].iloc[0] == 0 and at_random["pgr"].iloc[-1] == pytest.approx(1)
    hindsight = ev.call_curve(pd.Series(strong - weak), quality, **exact)
    assert ev.apgr(hindsight) > 0.8
    assert ev.cpt(hindsight, 0.5) < ev.cpt(at_random, 0.5)
    with pytest.raises(ValueError, match="swap them"):
        ev.call_curve(pd.Series(rng.random(40_000)), quality, strong="weak", weak="strong")


def test_constant_scores_make_a_curve_of_two_points():
    quality = pd.DataFrame({"weak": [0.0, 1.0, 0.0], "strong": [1.0, 1.0, 1.0]})
    curve = ev.call_curve(pd.Series([0.5] * 3), quality, strong="strong", weak="weak")
    assert curve["strong_share"].tolist() == [0, 1]
    assert ev.apgr(curve) == pytest.approx(0.5)


def test_arena_score_at_its_anchors():
    # At the cheapest cost C = 1, at the dearest C = 0: S = 1.1 A / (0.1 A + 1) and 0.
    assert ev.arena_score(0.6, 0.0044 / 1000) == pytest.approx(1.1 * 0.6 / 1.06, abs=1e-9)
    assert ev.arena_score(0.6, 0.2) == pytest.approx(0.0, abs=1e-12)
    with pytest.raises(ParameterError, match="above 0"):
        ev.arena_score(0.6, 0.0)


def test_a_model_that_is_never_chosen_does_not_widen_the_cost_of_another():
    quality, cost, _ = problem(n=200)
    alone = ev.baselines(quality[["m0"]], cost[["m0"]]).query("kind == 'model'").iloc[0]
    among = ev.baselines(quality, cost).query("name == 'm0' and kind == 'model'").iloc[0]
    assert (among["cost_low"], among["cost_high"]) == (alone["cost_low"], alone["cost_high"])
    assert among["cost_high"] < 1.5 * among["cost_usd"]
