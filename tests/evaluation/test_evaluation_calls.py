"""APGR and CPT with intervals, and predictability: against plain resampling, scikit-learn, and known truth."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import r2_score, roc_auc_score

import routerlab as rl
from routerlab.evaluation._call_metrics import _auc, _metrics, _r2

PAIR = {"strong": "large", "weak": "small"}


@pytest.fixture(scope="module")
def problem():
    rng = np.random.default_rng(0)
    hard = rng.random(400)
    quality = pd.DataFrame({"small": rng.random(400) > hard, "large": rng.random(400) > hard / 3}).astype(float)
    score = pd.Series(np.round(hard + rng.normal(0, 0.2, 400), 2))  # with ties
    return score, quality


def test_a_resample_is_the_metric_of_the_resampled_prompts(problem):
    score, quality = problem
    rows = np.random.default_rng(1).integers(400, size=400)
    curve = rl.call_curve(score.iloc[rows].reset_index(drop=True), quality.iloc[rows].reset_index(drop=True), **PAIR)
    expected = rl.apgr(curve), rl.cpt(curve, 0.5), rl.cpt(curve, 0.8)
    order = np.argsort(-score.to_numpy(), kind="stable")
    weight = np.bincount(rows, minlength=400)[order].astype(float)
    lead = (quality["large"] - quality["small"]).to_numpy()[order]
    ends = np.append(0, np.append(np.nonzero(np.diff(score.to_numpy()[order]))[0] + 1, 400))
    assert _metrics(weight, lead, ends, (0.5, 0.8)) == pytest.approx(expected)


def test_estimates_are_those_of_apgr_and_cpt_and_lie_in_their_intervals(problem):
    curve, found = rl.call_curve(*problem, **PAIR), rl.call_metrics(*problem, **PAIR, n_resamples=300)
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


def test_a_random_score_has_an_apgr_of_one_half(problem):
    score = pd.Series(np.random.default_rng(2).random(400))
    found = rl.call_metrics(score, problem[1], **PAIR, n_resamples=200)["APGR"]
    assert found.low < 0.5 < found.high


def test_auc_and_r2_are_scikit_learns_under_weights(problem):
    score, quality = problem
    true = (quality["small"] - quality["large"]).to_numpy()
    guess = -score.to_numpy()
    weight = np.random.default_rng(3).integers(0, 4, 400).astype(float)
    assert _auc(guess, true >= 0)(weight) == pytest.approx(roc_auc_score(true >= 0, guess, sample_weight=weight))
    assert _r2(guess, true)(weight) == pytest.approx(r2_score(true, guess, sample_weight=weight))


def test_predictability_of_noise_is_a_coins(problem):
    quality = problem[1]
    estimated = pd.DataFrame(np.random.default_rng(4).random((400, 2)), columns=quality.columns)
    row = rl.predictability(estimated, quality, baseline="large", n_resamples=200).loc["small"]
    assert row["auc_low"] < 0.5 < row["auc_high"]
    assert row["r2"] < 0
    assert row["as_good"] == (quality["small"] >= quality["large"]).mean()


def test_order_of_rows_does_not_matter(problem):
    score, quality = problem
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


def test_other_prompts_are_an_error(problem):
    quality = problem[1]
    with pytest.raises(rl.TableError, match="'estimated' and 'quality': prompt_id 0 is in one"):
        rl.predictability(quality.iloc[1:], quality, baseline="large")
