"""Held-out choices: nothing that a prompt's own outcome could leak through."""

import numpy as np
import pandas as pd
import pytest
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.model_selection import KFold
from sklearn.pipeline import make_pipeline

import routerlab as rl


@pytest.fixture(scope="module")
def problem():
    rng = np.random.default_rng(0)
    kind = pd.Series(rng.integers(0, 2, 200), index=[f"p{i}" for i in range(200)])
    X = pd.DataFrame(np.eye(2)[kind] + rng.normal(0, 0.05, (200, 2)), index=kind.index)
    quality = pd.DataFrame({"small": 1.0 - kind, "large": 1.0}, index=kind.index)
    cost = pd.DataFrame({"small": 0.001, "large": 0.01}, index=kind.index)
    return X, quality, cost, kind


@pytest.mark.parametrize("router", [rl.KNNRouter(5), make_pipeline(rl.OutcomeEmbedder(), rl.KNNRouter(5))])
def test_finds_what_can_be_known(problem, router):
    X, quality, cost, kind = problem
    choices = rl.held_out_choices(router, X, quality, cost, baseline="large")
    assert choices.index.equals(X.index)
    assert (choices == kind.map({0: "small", 1: "large"})).all()
    assert choices.attrs["n_kept_baseline"] == 0


def test_intent_router(problem):
    X, quality, cost, kind = problem
    intents = kind.map({0: "easy", 1: "hard"})
    choices = rl.held_out_choices(rl.IntentRouter(5), X, quality, cost, baseline="large", intents=intents)
    assert (choices == kind.map({0: "small", 1: "large"})).all()


def test_a_prompts_own_outcome_does_not_change_its_choice(problem):
    X, quality, cost, _ = problem
    rng = np.random.default_rng(1)
    noisy = quality.assign(small=rng.integers(0, 2, len(quality)).astype(float))
    options = {"baseline": "large", "max_quality_loss": 0.4, "cv": 4}
    before = rl.held_out_choices(rl.KNNRouter(5), X, noisy, cost, **options)
    fold = next(KFold(4, shuffle=True, random_state=0).split(noisy))[1]
    changed = noisy.copy()
    changed.iloc[fold, 0] = 1 - changed.iloc[fold, 0]
    after = rl.held_out_choices(rl.KNNRouter(5), X, changed, cost, **options)
    assert after.iloc[fold].equals(before.iloc[fold])
    assert not after.equals(before)


def test_where_no_point_is_good_enough_the_baseline_stays():
    rng = np.random.default_rng(0)
    X = pd.DataFrame(np.repeat(rng.normal(size=(100, 8)), 2, axis=0))
    kind = np.tile([0, 1], 100)  # a prompt's nearest neighbour, its twin, always misleads
    quality, cost = (
        pd.DataFrame({"small": 1.0 - kind, "large": 1.0}),
        pd.DataFrame({"small": [0.001] * 200, "large": 1}),
    )
    choices = rl.held_out_choices(rl.KNNRouter(1), X, quality, cost, baseline="large", max_quality_loss=0.0)
    assert set(choices) == {"large"}
    assert choices.attrs["n_kept_baseline"] == choices.attrs["n_folds"] == 5


def test_choices_carry_their_bar_and_a_verdict_on_another_one_says_so(problem):
    X, quality, cost, _ = problem
    bar = {"baseline": "large", "max_quality_loss": 0.05}
    choices = rl.held_out_choices(rl.KNNRouter(5), X, quality, cost, **bar)
    assert (choices.attrs["max_quality_loss"], choices.attrs["guarantee"]) == (0.05, None)
    said = "these choices were made to lose at most 5 points (by estimate), and the verdict is on 1"
    assert said in repr(rl.savings(choices, quality, cost, baseline="large"))
    assert "these choices" not in repr(rl.savings(choices, quality, cost, **bar))
    promised = rl.held_out_choices(rl.KNNRouter(5), X, quality, cost, guarantee=0.9, **bar)
    assert "at most 5 points (with 90% probability)" in repr(rl.savings(promised, quality, cost, baseline="large"))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"assurance": 2}, "assurance"),
        ({"guarantee": 95}, "guarantee"),
        ({"max_quality_loss": float("nan")}, "max_quality_loss"),
        ({"cv": 500}, "cv"),
        ({"baseline": "gpt-5"}, "gpt-5"),
    ],
)
def test_a_mistake_is_an_error_and_no_advice_to_keep_the_baseline(problem, wrong, message):
    X, quality, cost, _ = problem
    with pytest.raises(rl.ParameterError, match=message):
        rl.held_out_choices(rl.KNNRouter(5), X, quality, cost, **{"baseline": "large", **wrong})


def test_intents_may_serve_an_earlier_step_of_a_pipeline(problem):
    X, quality, cost, kind = problem
    router = make_pipeline(LinearDiscriminantAnalysis(), rl.KNNRouter(5))  # the first step learns from intents
    choices = rl.held_out_choices(router, X, quality, cost, baseline="large", intents=kind.map({0: "easy", 1: "hard"}))
    assert (choices == kind.map({0: "small", 1: "large"})).all()
