"""AIQ, saving at parity, APGR, CPT and predictability with intervals: against resampling, peers and known truth."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import r2_score, roc_auc_score

import routerlab as rl
from benchmarks import coverage_curves
from benchmarks.grid import failures
from routerlab.decision import sweep_estimates
from routerlab.evaluation._call_metrics import _auc, _metrics, _r2
from routerlab.evaluation._curves import _area_gap, _Mixed, _Replayed
from routerlab.schema import Outcomes

PAIR = {"strong": "large", "weak": "small"}


def problem(n: int, seed: int = 0, estimated: str = "informed"):
    """Right or wrong answers of a weak, a dominated and a strong model; estimates that know hardness, or nothing."""
    rng = np.random.default_rng(seed)
    hard = rng.random((n, 1))
    quality = (rng.random((n, 3)) > hard * [1.0, 0.8, 0.3]).astype(float)
    guess = 1 - hard * [1.0, 0.8, 0.3] if estimated == "informed" else 0.02 * rng.normal(size=(n, 3)) + [0.5, 0.0, 0.7]
    names = ["small", "middle", "large"]
    cost = np.tile([0.001, 0.006, 0.01], (n, 1)) * rng.lognormal(0, 0.3, (n, 1))
    quality, cost, guess = (pd.DataFrame(x, columns=names) for x in (quality, cost, np.clip(guess, 0, 1)))
    return sweep_estimates(guess, cost * 0 + [0.001, 0.006, 0.01]), quality, cost


def test_derivatives_of_the_aiq_difference_are_those_of_small_changes_of_weight():
    sweep, quality, cost = problem(60)
    a, b, ones = _Replayed(sweep, Outcomes(quality, cost)), _Mixed(quality, cost), np.ones(60)
    gap = _area_gap(a.curve(ones), b.curve(ones))
    of_quality = a.spread(gap.by_quality[0]) - b.spread(gap.by_quality[1])
    of_cost = a.spread(gap.by_cost[0]) - b.spread(gap.by_cost[1])
    influence = (of_quality * quality.to_numpy() + of_cost * cost.to_numpy()).sum(axis=1)
    for row in range(5):
        weight = ones.copy()
        weight[row] += 1e-5
        change = (_area_gap(a.curve(weight), b.curve(weight)).difference - gap.difference) / 1e-5 * 60
        assert influence[row] - influence.mean() == pytest.approx(change, abs=1e-4)


def test_a_points_prompts_average_to_the_curve():
    sweep, quality, cost = problem(40)
    replayed = _Replayed(sweep, Outcomes(quality, cost))
    curve = replayed.curve(np.ones(40))
    for point in (0, 7, len(replayed.last)):
        assert [x.mean() for x in replayed.at(point)] == pytest.approx([x[point] for x in curve])


def test_a_blind_router_is_not_ahead_of_mixing_models_blindly():
    """Its true difference is 0; the hull of its lucky points lay above 0 in a quarter of the samples and more."""
    ahead = [
        rl.aiq_difference(*[(s := problem(200, seed, "blind"))[0], "zero_router", *s[1:]], n_resamples=50).low > 0
        for seed in range(60)
    ]
    assert sum(ahead) <= 5


def test_hindsight_is_said_on_every_print_of_the_saving_at_parity():
    sweep, quality, cost = problem(200)
    found = rl.saving_at_parity(sweep, quality, cost, baseline="large", max_quality_loss=0.02)
    for text in (repr(found), str(found), f"{found}"):
        assert "in hindsight" in text
        assert "mixing models blindly saves" in text
        assert "other prompts save" in text
    zero = rl.zero_router(quality, cost)
    spent = np.interp(quality["large"].mean() - 0.02, zero["quality"], zero["cost_usd"])
    assert found.blind == pytest.approx(1 - spent / cost["large"].mean())
    assert found.low <= found.estimate <= found.high


def test_the_saving_at_parity_of_a_router_without_one_is_not_claimed():
    """Cheaper points lose quality, and luck alone puts some of them level with the baseline."""
    lows = []
    for seed in range(20):
        sweep, quality, cost = problem(60, seed, "blind")
        lows.append(rl.saving_at_parity(sweep, quality, cost, baseline="large").low)
    assert max(lows) == 0


MEASURES = {
    "aiq": lambda s, q, c, **o: rl.aiq_difference(s, "zero_router", q, c, **o),
    "parity": lambda s, q, c, **o: rl.saving_at_parity(s, q, c, baseline="large", **o),
    "apgr": lambda s, q, c, **o: rl.call_metrics(pd.Series(np.arange(len(q)) / len(q)), q, **PAIR, **o)["APGR"],
}


@pytest.mark.parametrize("name", MEASURES)
def test_ten_conversations_say_less_than_three_hundred_prompts(name):
    sweep, quality, cost = problem(30)
    quality, cost = (pd.concat([x] * 10, ignore_index=True) for x in (quality, cost))
    sweep = sweep_estimates(0.5 * quality + 0.25, cost)
    apart = MEASURES[name](sweep, quality, cost)
    together = MEASURES[name](sweep, quality, cost, groups=np.arange(300) % 30)
    assert together.n_groups == 30
    assert apart.n_groups is None
    assert together.high - together.low > 1.3 * (apart.high - apart.low)
    few = MEASURES[name](sweep, quality, cost, groups=pd.Series(np.arange(300) % 10))
    assert "10 groups" in few.note or "too few to say" in few.note


@pytest.mark.parametrize("name", MEASURES)
def test_one_resample_and_one_group_are_refused(name):
    sweep, quality, cost = problem(60)
    with pytest.raises(ValueError, match="'n_resamples' parameter must be at least 2"):
        MEASURES[name](sweep, quality, cost, n_resamples=1)
    found = MEASURES[name](sweep, quality, cost, groups=np.zeros(60))
    assert np.isnan([found.low, found.high]).all()
    assert "too few to say" in found.note


def test_one_resample_is_refused_by_predictability():
    _, quality, _ = problem(60)
    with pytest.raises(ValueError, match="'n_resamples' parameter must be at least 2"):
        rl.predictability(quality, quality, baseline="large", n_resamples=1)


def test_a_lead_that_cannot_be_told_from_none_is_said_and_does_not_raise():
    quality = pd.DataFrame({"small": [1.0, 0.0, 1.0, 1.0], "large": [1.0, 1.0, 1.0, 1.0]})
    found = rl.call_metrics(pd.Series([0.1, 0.9, 0.2, 0.3]), quality, **PAIR, n_resamples=20)
    assert found["APGR"].estimate == pytest.approx(0.875)
    assert all(np.isnan([value.low, value.high]).all() and "lead cannot be told from 0" in value.note
               for value in found.values())  # fmt: skip


def test_five_prompts_do_not_show_that_a_router_is_ahead():
    quality = pd.DataFrame({"small": [1.0, 1.0, 0.0, 1.0, 1.0], "large": 1.0})
    cost = quality * 0 + [0.001, 0.01]
    found = rl.aiq_difference(sweep_estimates(quality, cost), "zero_router", quality, cost)
    assert found.low < 0 < found.high
    assert found.high - found.low > 0.2


def test_the_decile_figures_stand_next_to_the_exact_ones():
    rng = np.random.default_rng(0)
    hard = rng.random(400)
    quality = pd.DataFrame({"small": rng.random(400) > hard, "large": rng.random(400) > hard / 3}).astype(float)
    score = pd.Series(hard)
    found = rl.call_metrics(score, quality, **PAIR, targets=[0.5], n_thresholds=10, n_resamples=50)
    assert list(found) == ["APGR", "CPT(50%)", "APGR, 10 thresholds", "CPT(50%), 10 thresholds"]
    deciles = rl.call_curve(score, quality, **PAIR, n_thresholds=10)
    assert found["APGR, 10 thresholds"].estimate == pytest.approx(rl.apgr(deciles))
    assert found["CPT(50%), 10 thresholds"].estimate == pytest.approx(rl.cpt(deciles, 0.5, method="compat"))
    assert found["APGR"].estimate == pytest.approx(rl.apgr(rl.call_curve(score, quality, **PAIR)))
    assert all(value.low < value.estimate < value.high for value in found.values())


def test_predictability_from_one_failure_is_not_known():
    rng = np.random.default_rng(0)
    quality = pd.DataFrame({"small": 1.0, "large": np.ones(200)})
    quality.loc[3, "small"] = 0.0
    estimated = pd.DataFrame(rng.random((200, 2)), columns=quality.columns)
    row = rl.predictability(estimated, quality, baseline="large", n_resamples=50).loc["small"]
    assert row[["auc_low", "auc_high", "r2_low", "r2_high"]].isna().all()
    assert "too few to say" in row["note"]
    assert row["as_good_low"] < 0.995 < row["as_good_high"]


def test_predictability_of_copies_is_that_of_their_texts():
    rng = np.random.default_rng(0)
    quality = pd.DataFrame((rng.random((50, 2)) < 0.7).astype(float), columns=["small", "large"])
    estimated = pd.DataFrame(rng.random((50, 2)), columns=quality.columns)
    one = rl.predictability(estimated, quality, baseline="large", n_resamples=400).loc["small"]
    copies = [pd.concat([x] * 6, ignore_index=True) for x in (estimated, quality)]
    many = rl.predictability(*copies, baseline="large", groups=np.arange(300) % 50, n_resamples=400).loc["small"]
    for name in ("auc", "as_good"):
        widths = [row[f"{name}_high"] - row[f"{name}_low"] for row in (one, many)]
        assert widths[1] == pytest.approx(widths[0], rel=0.15)


def test_costs_too_unequal_for_a_saving_are_for_a_saving_at_parity():
    sweep, quality, cost = problem(60)
    cost = cost.mul(np.random.default_rng(0).lognormal(0, 2.5, 60), axis=0)
    found = rl.saving_at_parity(sweep, quality, cost, baseline="large", max_quality_loss=0.02)
    assert np.isnan(found.low) and np.isnan(found.high)
    assert "unequal" in found.note


@pytest.mark.slow
def test_a_thin_grid_of_worlds_with_known_truth():
    assert not failures(coverage_curves.rows(20, thin=True))


@pytest.mark.slow
def test_a_router_that_knows_nothing_is_seldom_said_to_gain():
    """Of hulls of more folds, whose errors add up, the interval covers 91%."""
    world, held, false = coverage_curves.World("independent"), [], []
    for seed in range(250):
        sample = world.draw(np.random.default_rng([1, seed]), 400)
        found = rl.aiq_difference(
            sample["blind sweep"], "zero_router", sample["quality"], sample["cost"], n_resamples=50, random_state=seed
        )
        held.append(found.low <= 0 <= found.high)
        false.append(found.low > 0)
    assert np.mean(held) >= 0.935 and np.mean(false) <= 0.036


# Calls of the strong model, and what can be predicted.


@pytest.fixture(scope="module")
def called():
    rng = np.random.default_rng(0)
    hard = rng.random(400)
    quality = pd.DataFrame({"small": rng.random(400) > hard, "large": rng.random(400) > hard / 3}).astype(float)
    score = pd.Series(np.round(hard + rng.normal(0, 0.2, 400), 2))  # with ties
    return score, quality


def test_a_resample_is_the_metric_of_the_resampled_prompts(called):
    score, quality = called
    rows = np.random.default_rng(1).integers(400, size=400)
    curve = rl.call_curve(score.iloc[rows].reset_index(drop=True), quality.iloc[rows].reset_index(drop=True), **PAIR)
    expected = rl.apgr(curve), rl.cpt(curve, 0.5), rl.cpt(curve, 0.8)
    order = np.argsort(-score.to_numpy(), kind="stable")
    weight = np.bincount(rows, minlength=400)[order].astype(float)
    lead = (quality["large"] - quality["small"]).to_numpy()[order]
    ends = np.append(0, np.append(np.nonzero(np.diff(score.to_numpy()[order]))[0] + 1, 400))
    assert _metrics(weight, lead, ends, (0.5, 0.8)) == pytest.approx(expected)


def test_estimates_are_those_of_apgr_and_cpt_and_lie_in_their_intervals(called):
    curve, found = rl.call_curve(*called, **PAIR), rl.call_metrics(*called, **PAIR, n_resamples=300)
    assert found["APGR"].estimate == rl.apgr(curve)
    assert found["CPT(80%)"].estimate == rl.cpt(curve, 0.8)
    for value in found.values():
        assert value.low < value.estimate < value.high
        assert value.n == 400


def test_interval_of_apgr_covers_the_truth():
    rng = np.random.default_rng(0)
    hits = 0
    for seed in range(100):
        hard = rng.random(300)
        quality = pd.DataFrame({"small": rng.random(300) > hard, "large": rng.random(300) > hard / 3}).astype(float)
        found = rl.call_metrics(pd.Series(hard), quality, **PAIR, targets=(), n_resamples=200, random_state=seed)[
            "APGR"
        ]
        # lead at hardness h is 2h/3: sending the share s of hardest first recovers 1 - (1 - s)^2, whose mean is 2/3.
        hits += found.low <= 2 / 3 <= found.high
    assert 88 <= hits <= 100


def test_a_random_score_has_an_apgr_of_one_half(called):
    score = pd.Series(np.random.default_rng(2).random(400))
    found = rl.call_metrics(score, called[1], **PAIR, n_resamples=200)["APGR"]
    assert found.low < 0.5 < found.high


def test_auc_and_r2_are_scikit_learns_under_weights(called):
    score, quality = called
    true = (quality["small"] - quality["large"]).to_numpy()
    guess = -score.to_numpy()
    weight = np.random.default_rng(3).integers(0, 4, 400).astype(float)
    assert _auc(guess, true >= 0)(weight) == pytest.approx(roc_auc_score(true >= 0, guess, sample_weight=weight))
    assert _r2(guess, true)(weight) == pytest.approx(r2_score(true, guess, sample_weight=weight))


def test_predictability_of_noise_is_a_coins(called):
    quality = called[1]
    estimated = pd.DataFrame(np.random.default_rng(4).random((400, 2)), columns=quality.columns)
    row = rl.predictability(estimated, quality, baseline="large", n_resamples=200).loc["small"]
    assert row["auc_low"] < 0.5 < row["auc_high"]
    assert row["r2"] < 0
    assert row["as_good"] == (quality["small"] >= quality["large"]).mean()


def test_order_of_rows_does_not_matter(called):
    score, quality = called
    mixed = np.random.default_rng(5).permutation(400)
    estimated = pd.DataFrame({"small": -score, "large": 0.0})
    a = rl.predictability(estimated, quality, baseline="large", n_resamples=20)
    b = rl.predictability(estimated.iloc[mixed], quality, baseline="large", n_resamples=20)
    pd.testing.assert_frame_equal(a[["as_good", "auc", "r2"]], b[["as_good", "auc", "r2"]])


def test_a_model_that_is_always_as_good_has_no_auc():
    quality = pd.DataFrame({"small": [1.0, 1.0, 1.0], "large": [1.0, 0.0, 1.0]})
    row = rl.predictability(quality, quality, baseline="large", n_resamples=20).loc["small"]
    assert row["as_good"] == 1.0
    assert row[["auc", "auc_low", "auc_high"]].isna().all()


def test_other_prompts_are_an_error(called):
    quality = called[1]
    with pytest.raises(rl.TableError, match="'estimated' and 'quality': prompt_id 0 is in one"):
        rl.predictability(quality.iloc[1:], quality, baseline="large")
