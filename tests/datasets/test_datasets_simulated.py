"""The generated routing problem is drawn from the truth that it states."""

from __future__ import annotations

import time

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.neighbors import KNeighborsRegressor

from routerlab.datasets import RoutingProblem, make_routing_problem
from routerlab.schema import TableError, check_judgments, check_outcomes, check_prompts, pivot_outcomes


@pytest.fixture(scope="module")
def problem() -> RoutingProblem:
    return make_routing_problem(20_000, n_models=4, n_intents=5, votes=100_000, random_state=0)


def test_tables_are_valid_and_aligned(problem: RoutingProblem) -> None:
    prompts = check_prompts(problem.prompts)
    check_judgments(problem.judgments, prompts)
    check_outcomes(problem.outcomes, prompts)
    quality, cost = pivot_outcomes(problem.outcomes)
    pd.testing.assert_frame_equal(quality, problem.quality)
    pd.testing.assert_frame_equal(cost, problem.cost)
    assert problem.X.index.equals(prompts.index)
    assert problem.X.to_numpy().dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(problem.X.to_numpy(), axis=1), 1.0, atol=1e-6)


def test_nothing_can_be_taken_for_a_measurement(problem: RoutingProblem) -> None:
    frames = [value for value in vars(problem).values() if isinstance(value, pd.DataFrame)]
    assert len(frames) >= 8
    for frame in [*frames, problem.outcomes, *pivot_outcomes(problem.outcomes)]:
        assert frame.attrs["provenance"].startswith("simulated: ")
    assert "simulated" in repr(problem)


def test_one_seed_one_problem() -> None:
    first, again = (make_routing_problem(50, votes=20, random_state=3) for _ in range(2))
    pd.testing.assert_frame_equal(first.outcomes, again.outcomes)
    pd.testing.assert_frame_equal(first.judgments, again.judgments)
    other = make_routing_problem(50, votes=20, random_state=4)
    assert not other.ratings.equals(first.ratings)


def test_samples_share_the_truth_and_nothing_else(problem: RoutingProblem) -> None:
    sample = problem.sample(100, votes=10, random_state=1)
    pd.testing.assert_frame_equal(sample.ratings, problem.ratings)
    assert not np.isclose(sample.X.to_numpy(), problem.X.to_numpy()[:100]).all(axis=1).any()


@pytest.mark.parametrize(("kind", "variance_factor"), [("bernoulli", 1.0), ("beta", 1.0 / 7.0)])
def test_observed_quality_has_the_stated_expectation(kind: str, variance_factor: float) -> None:
    drawn = make_routing_problem(20_000, quality=kind, random_state=1)
    expected, observed = drawn.expected_quality, drawn.quality
    assert observed.to_numpy().min() >= 0
    assert observed.to_numpy().max() <= 1
    # By decile of the expectation and by model, so that the truth holds everywhere and not only on average.
    z = []
    for model in drawn.models:
        e = expected[model]
        for _, rows in e.groupby(pd.qcut(e, 10)):
            variance = (rows * (1 - rows)).sum() * variance_factor
            z.append((observed.loc[rows.index, model].sum() - rows.sum()) / np.sqrt(variance))
    assert stats.chi2.sf(np.square(z).sum(), len(z)) > 1e-4


def test_observed_cost_has_the_stated_expectation(problem: RoutingProblem) -> None:
    ratio = problem.cost / problem.expected_cost
    error = ratio.std() / np.sqrt(len(ratio))
    assert (((ratio.mean() - 1.0) / error).abs() < 4).all()
    assert problem.expected_cost.mean().is_monotonic_decreasing
    # Longer prompts cost more, in proportion.
    assert np.corrcoef(problem.prompts["n_tokens"], problem.expected_cost["model-0"])[0, 1] == pytest.approx(1.0)


def test_votes_are_drawn_from_the_stated_ratings(problem: RoutingProblem) -> None:
    intents = problem.prompts["intent"].reindex(problem.judgments["prompt_id"]).to_numpy()
    votes = problem.judgments.assign(intent=intents, won=problem.judgments["winner"] == "model_a")
    table = votes.groupby(["intent", "model_a", "model_b"])["won"].agg(["sum", "count"])
    assert len(table) == 5 * 4 * 3
    gap = np.array([problem.ratings.loc[t, a] - problem.ratings.loc[t, b] for t, a, b in table.index])
    p = 1 / (1 + np.exp(-gap))
    z = (table["sum"] - table["count"] * p) / np.sqrt(table["count"] * p * (1 - p))
    assert stats.chi2.sf(np.square(z).sum(), len(z)) > 1e-4
    np.testing.assert_allclose(problem.ratings.mean(axis=1), 0.0, atol=1e-12)


def test_population_is_what_a_large_sample_shows(problem: RoutingProblem) -> None:
    def rule(sample: RoutingProblem) -> pd.Series:
        return pd.Series(np.where(sample.X[0] > 0, "model-1", "model-3"), index=sample.X.index)

    truth, drawn = problem.population(rule), problem.sample(100_000, random_state=5)
    rows, chosen = np.arange(len(drawn.X)), drawn.quality.columns.get_indexer(rule(drawn))
    difference = drawn.quality.to_numpy()[rows, chosen] - drawn.quality["model-0"]
    assert abs(difference.mean() - truth.quality_difference) < 4 * difference.std() / np.sqrt(len(difference))
    saving = 1 - drawn.cost.to_numpy()[rows, chosen].sum() / drawn.cost["model-0"].sum()
    assert saving == pytest.approx(truth.saving, abs=0.005)
    assert truth.saving == pytest.approx(1 - truth.cost_usd / truth.baseline_cost_usd)


def test_population_of_constant_choices(problem: RoutingProblem) -> None:
    baseline = problem.population(problem.baseline)
    assert (baseline.saving, baseline.quality_difference) == (0.0, 0.0)
    cheapest = problem.population("model-3")
    assert cheapest.saving == pytest.approx(0.99)  # $0.0003 for $0.03, at whatever length
    assert cheapest.quality_difference < 0


def test_intervals_cover_the_population_difference(problem: RoutingProblem) -> None:
    """A plain paired t interval has its nominal coverage, so the samples and the stated truth fit each other."""
    truth = problem.population("model-2", n_prompts=400_000).quality_difference
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(300):
        drawn = problem.sample(200, random_state=rng)
        difference = drawn.quality["model-2"] - drawn.quality["model-0"]
        half = stats.t.ppf(0.975, 199) * difference.std() / np.sqrt(200)
        covered += abs(difference.mean() - truth) <= half
    assert 0.91 <= covered / 300 <= 0.985  # within 3 standard errors of 95%


def test_embeddings_tell_quality() -> None:
    drawn = make_routing_problem(4000, random_state=2)
    train, test = slice(0, 3000), slice(3000, None)
    knn = KNeighborsRegressor(30).fit(drawn.X.iloc[train], drawn.quality.iloc[train])
    assert knn.score(drawn.X.iloc[test], drawn.expected_quality.iloc[test]) > 0.5


def test_limits_of_noise_and_affinity() -> None:
    drawn = make_routing_problem(200, noise=0.0, affinity=0.0, random_state=0)
    assert len(np.unique(drawn.X.to_numpy(), axis=0)) == drawn.prompts["intent"].nunique()
    assert np.ptp(drawn.ratings.to_numpy(), axis=0).max() < 1e-12


def test_a_hundred_thousand_prompts_are_quick() -> None:
    start = time.perf_counter()
    make_routing_problem(100_000, votes=100_000, random_state=0)
    assert time.perf_counter() - start < 5.0  # 0.3 s on an idle core


@pytest.mark.parametrize(
    "given",
    [{"n_prompts": 0}, {"n_models": 1}, {"n_features": 1}, {"n_intents": 0}, {"votes": -1}, {"noise": -0.1}]
    + [{"quality": "normal"}],
)
def test_what_makes_no_problem_is_named(given: dict) -> None:
    kind = "': got 'normal'.*'bernoulli' or 'beta'" if "quality" in given else ""
    with pytest.raises(TableError, match=next(iter(given)) + kind):
        make_routing_problem(**given)


@pytest.mark.parametrize("rule", ["gpt-4", lambda sample: ["model-0"], lambda sample: pd.Series({"p0": "model-0"})])
def test_rules_that_do_not_choose(problem: RoutingProblem, rule: object) -> None:
    with pytest.raises(TableError, match="population, 'rule'"):
        problem.population(rule, n_prompts=10)  # type: ignore[arg-type]
