"""The rule and its exact sweep, against brute force and invariances."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings, strategies as st
from hypothesis.extra.numpy import arrays

from routerlab.decision import decide, sweep_estimates

grid = st.integers(0, 4).map(lambda k: k / 4)  # a coarse grid makes ties frequent


@st.composite
def estimates(draw):
    shape = (draw(st.integers(1, 6)), draw(st.integers(1, 5)))
    quality = draw(arrays(float, shape, elements=grid))
    cost = draw(arrays(float, shape, elements=grid))
    models = [f"m{k}" for k in range(shape[1])]
    return pd.DataFrame(quality, columns=models), pd.DataFrame(cost, columns=models)


def chosen(sweep, wtp, frame):
    column = frame.columns.get_indexer(sweep.at(wtp))
    return frame.to_numpy()[np.arange(len(frame)), column]


@settings(max_examples=300, deadline=None)
@given(estimates())
def test_every_operating_point_is_optimal_for_its_willingness_to_pay(problem):
    quality, cost = problem
    sweep = sweep_estimates(quality, cost)
    points = [np.inf, *sweep.wtp, *(sweep.wtp * 1.01), *(sweep.wtp * 0.99)]
    for wtp in points:
        utility = quality.to_numpy() - cost.to_numpy() / wtp
        got = chosen(sweep, wtp, quality) - chosen(sweep, wtp, cost) / wtp
        np.testing.assert_allclose(got, utility.max(axis=1), atol=1e-9)


@settings(max_examples=300, deadline=None)
@given(estimates())
def test_ties_go_to_the_cheaper_model(problem):
    quality, cost = problem
    best = quality.to_numpy() == quality.to_numpy().max(axis=1, keepdims=True)
    cheapest = np.where(best, cost, np.inf).min(axis=1)
    np.testing.assert_array_equal(chosen(sweep_estimates(quality, cost), np.inf, cost), cheapest)
    at = decide(quality.to_numpy(), cost.to_numpy(), np.inf)
    np.testing.assert_array_equal(cost.to_numpy()[np.arange(len(cost)), at], cheapest)


@settings(max_examples=200, deadline=None)
@given(estimates())
def test_each_prompt_switches_to_ever_cheaper_models_until_the_cheapest(problem):
    quality, cost = problem
    sweep = sweep_estimates(quality, cost)
    assert (np.diff(sweep.wtp) <= 0).all()
    assert np.bincount(sweep.prompt, minlength=len(quality)).max() <= quality.shape[1] - 1
    value = cost.to_numpy()
    assert (value[sweep.prompt, sweep.target] < value[sweep.prompt, sweep.origin]).all()
    np.testing.assert_array_equal(chosen(sweep, 0, cost), value.min(axis=1))


def test_sweep_agrees_with_deciding_anew_at_every_setting():
    rng = np.random.default_rng(0)
    quality = pd.DataFrame(rng.random((500, 6)), columns=list("abcdef"))
    cost = pd.DataFrame(rng.random((500, 6)) * 0.01, columns=list("abcdef"))
    sweep = sweep_estimates(quality, cost)
    for wtp in [*np.geomspace(1e-5, 1, 40), np.inf]:
        again = quality.columns.to_numpy()[decide(quality.to_numpy(), cost.to_numpy(), wtp)]
        assert sweep.at(wtp).tolist() == again.tolist()


def test_order_of_rows_and_of_models_does_not_matter():
    rng = np.random.default_rng(1)
    quality = pd.DataFrame(rng.random((80, 4)), columns=list("abcd"))
    cost = pd.DataFrame(rng.random((80, 4)), columns=list("abcd"))
    rows, columns = rng.permutation(80), list("cadb")
    one = sweep_estimates(quality, cost)
    other = sweep_estimates(quality.loc[rows, columns], cost.loc[rows, columns])
    for wtp in (0.1, 0.5, 2.0, np.inf):
        pd.testing.assert_series_equal(one.at(wtp), other.at(wtp).loc[quality.index])


def test_a_dominated_model_changes_nothing():
    rng = np.random.default_rng(2)
    quality = pd.DataFrame(rng.random((50, 3)), columns=list("abc"))
    cost = pd.DataFrame(rng.random((50, 3)) + 0.1, columns=list("abc"))
    worse = quality.assign(d=quality.min(axis=1) - 0.0), cost.assign(d=cost.max(axis=1) + 1)
    for wtp in (0.2, 1.0, np.inf):
        assert sweep_estimates(quality, cost).at(wtp).tolist() == sweep_estimates(*worse).at(wtp).tolist()


def test_abstained_prompts_go_to_the_fallback_at_every_setting():
    quality = pd.DataFrame({"small": [0.9, 0.9], "large": [0.1, 0.1]})
    cost = pd.DataFrame({"small": [0.1, 0.1], "large": [1.0, 1.0]})
    sweep = sweep_estimates(quality, cost, abstained=np.array([True, False]), fallback="large")
    for wtp in (0, 1, np.inf):
        assert sweep.at(wtp).tolist() == ["large", "small"]
        assert sweep.at(wtp).attrs["n_abstained"] == 1


@pytest.mark.parametrize("wtp", [-1, float("nan"), "high", None])
def test_a_willingness_to_pay_that_is_none_is_refused(wtp):
    sweep = sweep_estimates(pd.DataFrame({"m": [0.5]}), pd.DataFrame({"m": [0.5]}))
    with pytest.raises(ValueError, match="'willingness_to_pay' must be a number of at least 0"):
        sweep.at(wtp)
