"""rate(by=...) and best_models: shrinkage against its limits, winners and how often they are wrong, and bad input."""

from __future__ import annotations

from itertools import product

import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

import routerlab as rl
from routerlab.exceptions import ParameterError
from routerlab.ratings import best_models, rate

POINTS = 400 / np.log(10)


def make_problem(
    n: int = 3000, m: int = 5, n_intents: int = 8, *, sd: float = 0.4, per_prompt: int = 1, seed: int = 0
) -> tuple[pd.DataFrame, pd.Series]:
    """Votes and intents; each prompt has `per_prompt` votes, and they agree."""
    rng = np.random.default_rng(seed)
    strength = np.linspace(0.8, -0.8, m) + rng.normal(0, sd, (n_intents, m))
    n_prompts = n // per_prompt
    intent = rng.integers(n_intents, size=n_prompts)
    a = rng.integers(m, size=n_prompts)
    b = (a + rng.integers(1, m, size=n_prompts)) % m
    p = 1 / (1 + np.exp(strength[intent, b] - strength[intent, a]))
    tie, u = 0.3 * np.minimum(p, 1 - p), rng.random(n_prompts)
    winner = np.where(u < p - tie, "model_a", np.where(u < p + tie, "tie", "model_b"))
    table = {"prompt_id": np.arange(n_prompts), "model_a": a, "model_b": b, "winner": winner}
    votes = pd.DataFrame(table).replace({side: {k: f"m{k}" for k in range(m)} for side in ("model_a", "model_b")})
    return votes.loc[np.repeat(np.arange(n_prompts), per_prompt)], pd.Series(intent, name="intent").map("i{}".format)


def wide(table: pd.DataFrame, value: str = "rating") -> pd.DataFrame:
    return table.pivot(index=table.columns[0], columns="model", values=value)  # noqa: PD010


@pytest.fixture(scope="module")
def problem() -> tuple[pd.DataFrame, pd.Series]:
    return make_problem()


@pytest.fixture(scope="module")
def table(problem: tuple[pd.DataFrame, pd.Series]) -> pd.DataFrame:
    return rl.rate(problem[0], by=problem[1], baseline="m0")


def test_is_tidy(problem: tuple[pd.DataFrame, pd.Series], table: pd.DataFrame) -> None:
    votes, _ = problem
    values = ["rating", "ci_low", "ci_high", "n", "win_rate", "win_rate_low", "win_rate_high"]
    assert table.columns.tolist() == ["intent", "model", *values]
    assert table["intent"].unique().tolist() == [f"i{k}" for k in range(8)]
    assert len(table) == 8 * 5
    assert table["n"].sum() == 2 * len(votes)
    np.testing.assert_allclose(wide(table).mean(axis=1), 1000)
    np.testing.assert_allclose(table["ci_high"] - table["rating"], table["rating"] - table["ci_low"])
    own = table.loc[table["model"] == "m0", ["win_rate", "win_rate_low", "win_rate_high"]]
    assert (own == 0.5).all().all()
    gap = wide(table)["m3"] - wide(table)["m0"]
    np.testing.assert_allclose(wide(table, "win_rate")["m3"], 1 / (1 + 10 ** (-gap / 400)))


def test_says_how_it_was_made(problem: tuple[pd.DataFrame, pd.Series]) -> None:
    votes, by = problem
    votes = votes.copy()
    votes.attrs["provenance"] = "simulated: seed 0"
    attrs = rl.rate(votes, by=by.iloc[:1000], confidence=0.9).attrs
    assert attrs["provenance"] == "simulated: seed 0"
    assert (attrs["confidence"], attrs["n_judgments"], attrs["n_left_out"]) == (0.9, 1000, 2000)
    assert 30 < attrs["prior_sd"] < 160  # 69 points in truth
    assert 0.5 < attrs["design_effect"] < 1  # ties


# Limits


def test_one_intent_is_the_overall_rating(problem: tuple[pd.DataFrame, pd.Series]) -> None:
    votes, by = problem
    one = rl.rate(votes, by=by.where(by.isna(), "all")).set_index("model").sort_index()
    overall = rl.BradleyTerry().fit(votes)
    np.testing.assert_allclose(one["rating"], overall.ratings_, atol=0.05)
    ratio = (one["ci_high"] - one["ci_low"]) / (overall.ci_high_ - overall.ci_low_)
    np.testing.assert_allclose(ratio, 1, atol=0.06)


def test_a_wide_prior_is_no_prior(problem: tuple[pd.DataFrame, pd.Series]) -> None:
    votes, by = problem
    free = wide(rl.rate(votes, by=by, prior_sd=20_000))
    for intent, rows in votes.groupby(votes["prompt_id"].map(by)):
        np.testing.assert_allclose(free.loc[intent], rl.BradleyTerry(alpha=0).fit(rows).ratings_, atol=0.5)


def test_a_narrow_prior_is_one_rating_for_all(problem: tuple[pd.DataFrame, pd.Series]) -> None:
    votes, by = problem
    pooled = rl.rate(votes, by=by, prior_sd=0.1)
    overall = rl.BradleyTerry().fit(votes)
    np.testing.assert_allclose(wide(pooled).sub(overall.ratings_), 0, atol=0.5)
    width = wide(pooled, "ci_high") - wide(pooled, "ci_low")
    np.testing.assert_allclose(width / (overall.ci_high_ - overall.ci_low_), 1, atol=0.06)


def test_narrower_priors_pull_farther(problem: tuple[pd.DataFrame, pd.Series]) -> None:
    votes, by = problem
    spread = [wide(rl.rate(votes, by=by, prior_sd=sd)).std().mean() for sd in (5, 25, 100, 400)]
    assert spread == sorted(spread)


def test_agrees_with_numerical_integration() -> None:
    """Two models, three intents: the posterior of each difference on a grid."""
    sd, won, lost = 0.8, np.array([9, 30, 3]), np.array([3, 30, 11])
    rows = [(f"i{g}", w) for g in range(3) for w in ["model_a"] * won[g] + ["model_b"] * lost[g]]
    votes = pd.DataFrame(rows, columns=["topic", "winner"]).assign(model_a="x", model_b="y")
    votes["prompt_id"] = range(len(votes))
    table = rl.rate(votes, by="topic", prior_sd=sd * POINTS, alpha=1e-6)
    effect = table.attrs["design_effect"]
    # A difference of two ratings has sqrt(2) times the standard deviation of one.
    grid = np.linspace(-6, 6, 481)
    prior = np.exp(-((grid[:, None] - grid) ** 2) / (4 * sd**2))  # (typical, own)
    likelihood = [
        (1 + np.exp(-grid)) ** (-a / effect) * (1 + np.exp(grid)) ** (-b / effect)
        for a, b in zip(won, lost, strict=True)
    ]
    typical = np.prod([prior @ like for like in likelihood], axis=0)
    x = table[table["model"] == "x"]
    for g, row in enumerate(x.itertuples()):
        posterior = likelihood[g] * (prior.T @ (typical / (prior @ likelihood[g])))
        posterior /= posterior.sum()
        mean = posterior @ grid
        deviation = np.sqrt(posterior @ (grid - mean) ** 2)
        assert 2 * (row.rating - 1000) / POINTS == pytest.approx(mean, abs=0.15 * deviation)
        assert 2 * (row.ci_high - row.rating) / 1.96 / POINTS == pytest.approx(deviation, rel=0.06)


# Weak intents


def test_intent_with_few_votes_is_typical_and_unsure(problem: tuple[pd.DataFrame, pd.Series]) -> None:
    votes, by = problem
    rare = by.copy()
    rare.iloc[:2] = "rare"
    rare.loc[10_000] = "unseen"
    table = rl.rate(votes, by=rare)
    width = (wide(table, "ci_high") - wide(table, "ci_low")).mean(axis=1)
    assert wide(table, "n").loc["unseen"].tolist() == [0] * 5
    assert np.isfinite(table[["rating", "ci_low", "ci_high"]]).all().all()
    assert width["unseen"] > width["rare"] > width.drop(["unseen", "rare"]).max()
    usual = wide(table).drop(["unseen", "rare"]).mean()
    np.testing.assert_allclose(wide(table).loc["unseen"], usual, atol=10)
    # No votes: the interval is that of the prior, a little wider for not knowing the typical ratings.
    expected = 2 * 1.96 * table.attrs["prior_sd"] * np.sqrt(4 / 5)
    assert expected < width["unseen"] < 1.25 * expected


def test_intent_that_does_not_connect_the_models_is_rated(problem: tuple[pd.DataFrame, pd.Series]) -> None:
    votes, by = problem
    in_i0 = votes["prompt_id"].map(by) == "i0"
    apart = votes[["model_a", "model_b"]].isin(["m0", "m1"]).sum(axis=1) == 1
    table = rl.rate(votes[~(in_i0 & apart)], by=by)
    assert np.isfinite(table["rating"]).all()


def test_models_apart_in_every_intent_raise() -> None:
    votes, by = make_problem(400)
    apart = votes[["model_a", "model_b"]].isin(["m0", "m1"]).sum(axis=1) == 1
    with pytest.raises(rl.TableError, match=r"across 2 groups: \('m0', 'm1'\); \('m2', 'm3', 'm4'\)"):
        rl.rate(votes[~apart], by=by)


def test_votes_that_repeat_each_other_are_worth_one() -> None:
    once, by = make_problem(3000)
    repeated, _ = make_problem(24_000, per_prompt=8)
    single, many = rl.rate(once, by=by), rl.rate(repeated, by=by)
    assert many.attrs["design_effect"] == pytest.approx(8 * single.attrs["design_effect"], rel=0.01)
    np.testing.assert_allclose(many["rating"], single["rating"], atol=1)
    np.testing.assert_allclose(many["ci_low"], single["ci_low"], atol=1)


def test_unanimous_votes() -> None:
    """All ties: nothing scatters, and ratings are equal, not infinite or NaN."""
    votes, by = make_problem(400)
    table = rl.rate(votes.assign(winner="tie"), by=by)
    np.testing.assert_allclose(table["rating"], 1000, atol=1e-6)
    assert (table["ci_low"] < 1000).all()


# Selection


def test_order_of_rows_does_not_matter(problem: tuple[pd.DataFrame, pd.Series], table: pd.DataFrame) -> None:
    votes, by = problem
    mixed = rl.rate(votes.sample(frac=1, random_state=0), by=by.sample(frac=1, random_state=1), baseline="m0")
    assert_frame_equal(mixed, table, rtol=1e-6)


def test_by_selects_the_split(problem: tuple[pd.DataFrame, pd.Series]) -> None:
    votes, by = problem
    train = by.iloc[:1500]
    selected = rl.rate(votes, by=train)
    alone = rl.rate(votes[votes["prompt_id"].isin(train.index)], by=train)
    assert selected.attrs["n_left_out"] == len(votes) - alone["n"].sum() / 2
    assert_frame_equal(selected, alone)
    with_gaps = rl.rate(votes, by=by.where(by.index < 1500))
    assert_frame_equal(with_gaps, alone)


def test_by_a_column_or_a_categorical(problem: tuple[pd.DataFrame, pd.Series], table: pd.DataFrame) -> None:
    votes, by = problem
    column = rl.rate(votes.assign(topic=votes["prompt_id"].map(by)), by="topic", baseline="m0")
    assert_frame_equal(column.rename(columns={"topic": "intent"}), table)
    categorical = rl.rate(votes, by=by.astype("category"), baseline="m0")
    np.testing.assert_allclose(categorical["rating"], table["rating"])


def test_anchor_is_the_same_in_every_intent(problem: tuple[pd.DataFrame, pd.Series], table: pd.DataFrame) -> None:
    votes, by = problem
    anchored = rl.rate(votes, by=by, anchor="m0", baseline="m0")
    assert (wide(anchored, "ci_low")["m0"] == 1000).all()
    assert_frame_equal(wide(anchored, "win_rate"), wide(table, "win_rate"))


@pytest.mark.parametrize(("prompt_ids", "by"), list(product([["p0"], [3]], ["Series", "column"])))
def test_no_overlap(prompt_ids: list, by: str) -> None:
    votes, _ = make_problem(200)
    with pytest.raises(rl.TableError, match="no overlap: 'by' is indexed by|column 'topic': is empty"):
        rl.rate(
            votes.assign(prompt_id=votes["prompt_id"] + 1000, topic=None),
            by=pd.Series(["i0"], index=prompt_ids) if by == "Series" else "topic",
        )


def test_bad_arguments(problem: tuple[pd.DataFrame, pd.Series]) -> None:
    votes, by = problem
    with pytest.raises(rl.TableError, match="more than one row for prompt_id 0"):
        rl.rate(votes, by=pd.concat([by, by.iloc[:1]]))
    with pytest.raises(TypeError, match="'by' parameter of rate must be a Series"):
        rl.rate(votes, by=["i0"])
    with pytest.raises(rl.TableError, match="has no column 'topic'"):
        rl.rate(votes, by="topic")
    with pytest.raises(rl.TableError, match=r"is named 'n', which is a column of the result"):
        rl.rate(votes, by=by.rename("n"))
    with pytest.raises(rl.ParameterError, match="'baseline' must be one of the models"):
        rl.rate(votes, by=by, baseline="gpt-5")
    with pytest.raises(ValueError, match="'interval' parameter of rate must be 'sandwich'"):
        rl.rate(votes, by=by, interval="bootstrap")
    for wrong in ({"by": by, "prior_sd": 0}, {"prior_sd": 50}):
        with pytest.raises(ValueError, match="'prior_sd' parameter of rate must be above 0, and goes with 'by'"):
            rl.rate(votes, **wrong)
    with pytest.raises(TypeError, match="n_resample"):
        rl.rate(votes, n_resample=5)


# The best model by intent.


def make_votes(strength: np.ndarray, n: int, seed: int = 0) -> tuple[pd.DataFrame, pd.Series]:
    """Votes of `n` prompts on random pairs of models, of strengths (n_intents, n_models) in log odds."""
    rng = np.random.default_rng(seed)
    n_intents, m = strength.shape
    intent, a = rng.integers(n_intents, size=n), rng.integers(m, size=n)
    b = (a + rng.integers(1, m, size=n)) % m
    won = rng.random(n) < 1 / (1 + np.exp(strength[intent, b] - strength[intent, a]))
    votes = pd.DataFrame({"prompt_id": np.arange(n), "model_a": a, "model_b": b})
    names = {k: f"m{k}" for k in range(m)}
    votes = votes.replace({"model_a": names, "model_b": names}).assign(winner=np.where(won, "model_a", "model_b"))
    return votes, pd.Series(intent, name="intent").map("i{}".format)


STRENGTH = np.array([[2.0, 0, 0, -1], [0, 2.0, 0, -1], [0.5, 0.5, 0.5, -1]])


def test_clear_winners_are_named_and_the_unclear_intent_keeps_its_contenders():
    votes, by = make_votes(STRENGTH, 3000)
    table = best_models(votes, by).set_index("intent")
    assert table.loc[["i0", "i1"], "best"].tolist() == ["m0", "m1"]
    assert (table.loc[["i0", "i1"], "n_contenders"] == 1).all()
    assert table.loc["i2", "n_contenders"] >= 2
    assert "m3" not in table.loc["i2", "contenders"]
    assert table["p_best"].is_monotonic_decreasing
    assert table["n"].sum() == len(votes)


def test_lead_is_the_difference_of_the_ratings_with_its_interval():
    votes, by = make_votes(STRENGTH, 1000)
    table = best_models(votes, by)
    for row in table.itertuples():
        anchored = rate(votes, by=by, anchor=row.rival).set_index(["intent", "model"]).loc[(row.intent, row.best)]
        np.testing.assert_allclose(
            [row.lead, row.lead_low, row.lead_high], anchored[["rating", "ci_low", "ci_high"]].to_numpy(float) - 1000
        )


def test_probabilities_are_those_of_two_normals():
    from scipy.stats import norm

    votes, by = make_votes(STRENGTH[:, :2], 200)
    for row in best_models(votes, by, n_draws=100_000).itertuples():
        sd = (row.lead_high - row.lead_low) / 2 / norm.ppf(0.975)
        assert row.p_best == pytest.approx(norm.cdf(abs(row.lead) / sd), abs=0.01)


def test_among_ranks_those_only():
    votes, by = make_votes(STRENGTH, 3000)
    table = best_models(votes, by, among=["m2", "m3"])
    assert (table["best"] == "m2").all()
    assert set(", ".join(table["contenders"]).split(", ")) <= {"m2", "m3"}


@pytest.mark.slow
def test_winners_are_wrong_as_often_as_promised():
    expected, wrong, named = 0.0, 0, 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        strength = np.linspace(0.5, -0.5, 4) + rng.normal(0, 0.5, (12, 4))
        table = best_models(*make_votes(strength, 1200, seed), confidence=0.8, n_draws=2000)
        sure = table[table["n_contenders"] == 1]
        truth = strength.argmax(axis=1)[sure["intent"].str[1:].astype(int)]
        expected += table.attrs["expected_wrong"]
        wrong += int((sure["best"].str[1:].astype(int).to_numpy() != truth).sum())
        named += len(sure)
    assert named > 100
    assert abs(wrong - expected) < 3.5 * np.sqrt(expected)


def test_order_of_votes_and_sides_do_not_matter():
    votes, by = make_votes(STRENGTH, 600)
    swapped = votes.rename(columns={"model_a": "model_b", "model_b": "model_a"})
    swapped["winner"] = swapped["winner"].map({"model_a": "model_b", "model_b": "model_a"})
    again = best_models(swapped.sample(frac=1, random_state=0), by)
    pd.testing.assert_frame_equal(again, best_models(votes, by), rtol=1e-6)


def test_says_how_it_was_made_and_what_it_cannot_do():
    votes, by = make_votes(STRENGTH, 600)
    votes.attrs["provenance"] = "simulated: seed 0"
    attrs = best_models(votes, by).attrs
    assert attrs["provenance"] == "simulated: seed 0"
    assert "10,000 draws" in attrs["method"]
    with pytest.raises(ValueError, match="'among' .* at least two models. Got \\['m0'\\]"):
        best_models(votes, by, among=["m0"])
    with pytest.raises(ParameterError, match="'among' must be one of"):
        best_models(votes, by, among=["m0", "gpt-5"])
