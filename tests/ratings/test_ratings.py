"""BradleyTerry against other packages, closed forms and invariances, and what it must refuse."""

from __future__ import annotations

from typing import Any

import choix
import evalica
import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from pandas.testing import assert_frame_equal, assert_series_equal
from scipy.stats import binomtest
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression

from routerlab.exceptions import ParameterError
from routerlab.ratings import BradleyTerry, rate
from routerlab.schema import WINNERS, TableError

POINTS = 400 / np.log(10)


def make_votes(n: int = 2000, m: int = 6, *, ties: float = 0.4, seed: int = 0, per_prompt: int = 1) -> pd.DataFrame:
    """Votes with known strengths; `per_prompt` of them agree on each prompt."""
    rng = np.random.default_rng(seed)
    strength = np.linspace(0.9, -0.9, m)
    n_prompts = n // per_prompt
    a = rng.integers(m, size=n_prompts)
    b = (a + rng.integers(1, m, size=n_prompts)) % m
    p = 1 / (1 + np.exp(strength[b] - strength[a]))
    tie, u = ties * np.minimum(p, 1 - p), rng.random(n_prompts)
    tied = np.where(rng.random(n_prompts) < 0.5, "tie", "both_bad")
    winner = np.where(u < p - tie / 2, "model_a", np.where(u < p + tie / 2, tied, "model_b"))
    names = np.array([f"m{k}" for k in range(m)])
    table = {"prompt_id": np.arange(n_prompts), "model_a": names[a], "model_b": names[b], "winner": winner}
    return pd.DataFrame(table).loc[np.repeat(np.arange(n_prompts), per_prompt)].reset_index(drop=True)


def votes_of(*rows: tuple[str, str, str]) -> pd.DataFrame:
    frame = pd.DataFrame(list(rows), columns=["model_a", "model_b", "winner"])
    return frame.assign(prompt_id=range(len(frame)))


@pytest.fixture(scope="module")
def votes() -> pd.DataFrame:
    return make_votes()


@pytest.fixture(scope="module")
def fitted(votes: pd.DataFrame) -> BradleyTerry:
    return BradleyTerry().fit(votes)


# Goldens


def test_agrees_with_evalica(votes: pd.DataFrame) -> None:
    winner = {"model_a": evalica.Winner.X, "model_b": evalica.Winner.Y}
    outcomes = [winner.get(w, evalica.Winner.Draw) for w in votes["winner"]]
    peer = evalica.bradley_terry(votes["model_a"], votes["model_b"], outcomes, tolerance=1e-12, limit=10_000)
    log = np.log(peer.scores.sort_index())
    ours = BradleyTerry(alpha=0).fit(votes)
    np.testing.assert_allclose(ours.log_ratings_, log - log.mean(), atol=1e-3)


@pytest.mark.parametrize("solver", [choix.ilsr_pairwise, choix.opt_pairwise])
def test_agrees_with_choix(votes: pd.DataFrame, solver: Any) -> None:
    decided = votes[votes["winner"].isin(["model_a", "model_b"])]
    won = decided["winner"] == "model_a"
    code = {f"m{k}": k for k in range(6)}
    winners = decided["model_a"].where(won, decided["model_b"]).map(code)
    losers = decided["model_b"].where(won, decided["model_a"]).map(code)
    peer = solver(6, list(zip(winners, losers, strict=True)))
    ours = BradleyTerry(alpha=0, ties="drop").fit(votes)
    np.testing.assert_allclose(ours.log_ratings_, peer - peer.mean(), atol=1e-3)


def test_agrees_with_fastchat(votes: pd.DataFrame) -> None:
    """The arena's recipe: every vote twice, a tie once for each side, an unpenalized logistic regression."""
    a, b = (votes[side].str[1:].astype(int).to_numpy() for side in ("model_a", "model_b"))
    design = np.log(10) * (np.eye(6)[a] - np.eye(6)[b])
    won = (votes["winner"] == "model_a").to_numpy()
    tied = votes["winner"].isin(["tie", "both_bad"]).to_numpy()
    regression = LogisticRegression(fit_intercept=False, C=np.inf, tol=1e-10, max_iter=10_000)
    regression.fit(np.concatenate([design, design]), np.concatenate([won | tied, won]).astype(int))
    arena = 400 * regression.coef_[0] + 1000
    ours = BradleyTerry().fit(votes).ratings_
    np.testing.assert_allclose(ours, arena - arena.mean() + 1000, atol=0.05)


@pytest.mark.parametrize(("won", "tied", "lost"), [(30, 0, 10), (50, 20, 30), (5, 90, 5)])
def test_two_models_have_a_closed_form(won: int, tied: int, lost: int) -> None:
    n = won + tied + lost
    p = (won + tied / 2) / n
    variance = (won * (1 - p) ** 2 + tied * (0.5 - p) ** 2 + lost * p**2) / (n - 1) / n
    votes = votes_of(*[("x", "y", "model_a")] * won, *[("y", "x", "tie")] * tied, *[("y", "x", "model_a")] * lost)
    fitted = BradleyTerry(alpha=0, anchor="y").fit(votes)
    assert fitted.ratings_["x"] == pytest.approx(1000 + 400 * np.log10(p / (1 - p)))
    assert np.sqrt(fitted.covariance_.loc["x", "x"]) == pytest.approx(POINTS * np.sqrt(variance) / (p * (1 - p)))


def test_two_kinds_of_interval_agree(votes: pd.DataFrame, fitted: BradleyTerry) -> None:
    resampled = BradleyTerry(interval="bootstrap", random_state=0, n_resamples=2000).fit(votes)
    assert_series_equal(resampled.ratings_, fitted.ratings_)
    np.testing.assert_allclose(resampled.ci_low_, fitted.ci_low_, atol=3)
    np.testing.assert_allclose(resampled.ci_high_, fitted.ci_high_, atol=3)


# Correlated votes


@pytest.mark.parametrize("interval", ["sandwich", "bootstrap"])
def test_repeated_votes_on_a_prompt_say_nothing_new(votes: pd.DataFrame, interval: str) -> None:
    def width(model: BradleyTerry) -> pd.Series:
        return model.ci_high_ - model.ci_low_

    once = BradleyTerry(interval=interval, random_state=0).fit(votes)
    twice = pd.concat([votes, votes], ignore_index=True)
    clustered = BradleyTerry(interval=interval, random_state=0).fit(twice)
    independent = BradleyTerry(interval=interval, random_state=0, cluster=None).fit(twice)
    tolerance = 0.005 if interval == "sandwich" else 0.1
    np.testing.assert_allclose(clustered.ratings_, once.ratings_, atol=0.01)
    np.testing.assert_allclose(width(clustered) / width(once), 1, atol=tolerance)
    np.testing.assert_allclose(width(independent) / width(once), np.sqrt(0.5), atol=tolerance)


def test_clusters_of_mixed_sizes() -> None:
    mixed = pd.concat([make_votes(1200, per_prompt=3), make_votes(600, seed=1).assign(prompt_id=range(1000, 1600))])
    sandwich = BradleyTerry().fit(mixed)
    resampled = BradleyTerry(interval="bootstrap", n_resamples=3000, random_state=0).fit(mixed)
    assert sandwich.n_clusters_ == 1000
    ratio = np.sqrt(np.diag(resampled.covariance_) / np.diag(sandwich.covariance_))
    np.testing.assert_allclose(ratio, 1, atol=0.06)


def test_one_vote_a_prompt_is_an_independent_vote(votes: pd.DataFrame, fitted: BradleyTerry) -> None:
    assert_frame_equal(BradleyTerry(cluster=None).fit(votes).covariance_, fitted.covariance_)


# Invariances


def test_sides_and_order_do_not_matter(votes: pd.DataFrame, fitted: BradleyTerry) -> None:
    swapped = votes.rename(columns={"model_a": "model_b", "model_b": "model_a"})
    swapped["winner"] = swapped["winner"].replace({"model_a": "model_b", "model_b": "model_a"})
    for same in (swapped, votes.sample(frac=1, random_state=0), votes.set_index("prompt_id")):
        other = BradleyTerry().fit(same)
        assert_series_equal(other.ratings_, fitted.ratings_)
        assert_series_equal(other.ci_low_, fitted.ci_low_)


def test_winning_and_losing_are_opposites(votes: pd.DataFrame, fitted: BradleyTerry) -> None:
    turned = votes.assign(winner=votes["winner"].replace({"model_a": "model_b", "model_b": "model_a"}))
    assert_series_equal(2000 - BradleyTerry().fit(turned).ratings_, fitted.ratings_)


def test_fit_leaves_the_table_alone(votes: pd.DataFrame) -> None:
    before = votes.copy()
    BradleyTerry().fit(votes)
    assert_frame_equal(votes, before)


def test_counts_say_all_that_votes_say(votes: pd.DataFrame, fitted: BradleyTerry) -> None:
    tied = votes["winner"].isin(["tie", "both_bad"])
    first = votes["model_a"].where(votes["winner"] == "model_a", votes["model_b"])
    second = votes["model_b"].where(votes["winner"] == "model_a", votes["model_a"])
    wins = pd.crosstab(first[~tied], second[~tied])
    ties = pd.crosstab(first[tied], second[tied])
    other = BradleyTerry().fit_counts(wins, ties + ties.T)
    assert_frame_equal(other.summary(), fitted.summary())
    no_ties = BradleyTerry(ties="drop").fit_counts(wins, ties + ties.T)
    assert no_ties.n_dropped_ == tied.sum()
    assert_series_equal(no_ties.ratings_, BradleyTerry(ties="drop").fit(votes).ratings_)


def test_scale_base_center_anchor(votes: pd.DataFrame, fitted: BradleyTerry) -> None:
    assert fitted.ratings_.mean() == pytest.approx(1000)
    log_odds = BradleyTerry(scale=1, base=np.e, center=0).fit(votes)
    np.testing.assert_allclose(log_odds.ratings_, log_odds.log_ratings_)
    np.testing.assert_allclose(log_odds.ratings_ * POINTS + 1000, fitted.ratings_)
    anchored = BradleyTerry(anchor="m3").fit(votes)
    np.testing.assert_allclose(anchored.ratings_ - fitted.ratings_, 1000 - fitted.ratings_["m3"])
    assert anchored.ci_low_["m3"] == anchored.ci_high_["m3"] == 1000
    C = fitted.covariance_
    of_difference = C.loc["m0", "m0"] + C.loc["m3", "m3"] - 2 * C.loc["m0", "m3"]
    assert anchored.covariance_.loc["m0", "m0"] == pytest.approx(of_difference)
    np.testing.assert_allclose(C.sum(), 0, atol=1e-8)


def test_confidence_widens(votes: pd.DataFrame, fitted: BradleyTerry) -> None:
    sure = BradleyTerry(confidence=0.99).fit(votes)
    np.testing.assert_allclose(
        (sure.ci_high_ - sure.ci_low_) / (fitted.ci_high_ - fitted.ci_low_), 2.576 / 1.96, rtol=2e-3
    )


# Ties


def test_dropping_is_leaving_out(votes: pd.DataFrame) -> None:
    for params, left in (
        ({"both_bad": "drop"}, votes["winner"] != "both_bad"),
        ({"ties": "drop"}, votes["winner"].isin(["model_a", "model_b"])),
    ):
        model = BradleyTerry(**params).fit(votes)
        assert model.n_dropped_ == (~left).sum()
        assert_series_equal(model.ratings_, BradleyTerry().fit(votes[left]).ratings_)


def test_ties_bring_models_together(votes: pd.DataFrame, fitted: BradleyTerry) -> None:
    assert np.ptp(fitted.ratings_) < np.ptp(BradleyTerry(ties="drop").fit(votes).ratings_)


# Win rates


def test_expected_win_rates(fitted: BradleyTerry) -> None:
    rates = fitted.win_rates()
    np.testing.assert_allclose(rates + rates.T, 1)
    assert rates.loc["m0", "m5"] == pytest.approx(
        1 / (1 + 10 ** (-fitted.ratings_.loc[["m5", "m0"]].diff().iloc[1] / 400))
    )
    against = fitted.expected_win_rate("m2")
    np.testing.assert_allclose(against["win_rate"], rates["m2"])
    assert against.loc["m2"].tolist() == [0.5, 0.5, 0.5]
    assert (against["win_rate_low"] <= against["win_rate"]).all()
    with pytest.raises(ParameterError, match="'baseline' must be one of the models"):
        fitted.expected_win_rate("gpt-5")


def test_raw_win_rates_have_wilson_intervals(votes: pd.DataFrame) -> None:
    raw = BradleyTerry(ties="drop").fit(votes).raw_win_rates()
    for row in raw.itertuples():
        interval = binomtest(row.wins, row.n).proportion_ci(method="wilson")
        assert (row.win_rate_low, row.win_rate_high) == pytest.approx((interval.low, interval.high))
    with_ties = BradleyTerry().fit(votes).raw_win_rates()
    assert with_ties["n"].sum() == 2 * len(votes)
    assert (with_ties["wins"] + with_ties["ties"] + with_ties["losses"] == with_ties["n"]).all()
    assert (with_ties["wins"] + with_ties["ties"] / 2).sum() == len(votes)


# The table


def test_rate_is_the_leaderboard(votes: pd.DataFrame, fitted: BradleyTerry) -> None:
    votes = votes.copy()
    votes.attrs["provenance"] = "simulated: seed 0"
    table = rate(votes, baseline="m2", confidence=0.9)
    names = ["model", "rating", "ci_low", "ci_high", "n", "win_rate", "win_rate_low", "win_rate_high"]
    assert table.columns.tolist() == names
    assert table["model"].tolist() == ["m0", "m1", "m2", "m3", "m4", "m5"]
    assert table["rating"].is_monotonic_decreasing
    assert table["n"].sum() == 2 * len(votes)
    assert table.attrs["provenance"] == "simulated: seed 0"
    assert table.attrs["confidence"] == 0.9
    assert table.attrs["n_judgments"] == len(votes)
    assert table.attrs["baseline"] == "m2"
    np.testing.assert_allclose(table.set_index("model")["rating"], fitted.ratings_)


def test_bootstrap_is_seeded(votes: pd.DataFrame) -> None:
    first, same, other = (rate(votes, interval="bootstrap", random_state=seed, n_resamples=50) for seed in (1, 1, 2))
    assert_frame_equal(first, same)
    assert not first.equals(other)
    assert first.attrs["n_resamples"] == 50
    assert first.attrs["random_state"] == 1


def test_is_an_estimator() -> None:
    model = BradleyTerry(alpha=0.5, anchor="x")
    assert clone(model).get_params() == model.get_params()
    assert not [name for name in vars(model) if name.endswith("_")]


# What it refuses


def test_disconnected_models_are_named() -> None:
    votes = votes_of(("a", "b", "tie"), ("b", "a", "model_a"), ("c", "d", "model_b"), ("e", "d", "tie"))
    with pytest.raises(TableError, match=r"across 2 groups: \('a', 'b'\); \('c', 'd', 'e'\)"):
        BradleyTerry().fit(votes)


def test_dropping_ties_can_disconnect() -> None:
    votes = votes_of(("a", "b", "model_a"), ("a", "b", "model_b"), ("b", "c", "tie"))
    with pytest.raises(TableError, match="across 2 groups"):
        BradleyTerry(ties="drop").fit(votes)


@pytest.fixture
def separable() -> pd.DataFrame:
    return votes_of(*[("a", "b", "model_a"), ("b", "a", "model_a")] * 10, *[("c", "a", "model_a")] * 6)


def test_separable_votes_need_alpha(separable: pd.DataFrame) -> None:
    with pytest.raises(TableError, match=r"'c' won everything.*Pass a small alpha such as 0.01"):
        BradleyTerry(alpha=0).fit(separable)


def test_separable_votes_have_a_wide_interval_and_a_warning(separable: pd.DataFrame) -> None:
    with pytest.warns(UserWarning, match="'c' won everything.*read it as 'far'"):
        model = BradleyTerry().fit(separable)
    width = model.ci_high_ - model.ci_low_
    assert width["c"] > 600
    assert model.ratings_["c"] - 600 > model.ratings_["a"]


def test_too_few_clusters() -> None:
    votes = make_votes(300, m=4).assign(prompt_id=0)
    with pytest.raises(TableError, match=r"300 votes on 1 values of 'prompt_id' for 4 models.*cluster=None"):
        BradleyTerry().fit(votes)
    assert np.isfinite(BradleyTerry(cluster=None).fit(votes).ci_low_).all()


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"ties": "win"}, "The 'ties' parameter of BradleyTerry must be 'half' or 'drop'. Got 'win'"),
        ({"both_bad": "half"}, "'both_bad' parameter"),
        ({"interval": "basic"}, "'interval' parameter"),
        ({"alpha": -1}, "'alpha' parameter .* at least 0"),
        ({"alpha": np.nan}, "'alpha' parameter"),
        ({"n_resamples": 1}, "'n_resamples' parameter"),
        ({"confidence": 95}, "'confidence' parameter .* 0.95. Got 95"),
        ({"scale": 0}, "'scale' parameter"),
        ({"base": 1}, "'base' parameter"),
        ({"center": np.inf}, "'center' parameter"),
        ({"anchor": "gpt-5"}, "'anchor' must be one of the models"),
        ({"cluster": "session"}, "no column 'session' to cluster by"),
    ],
)
def test_bad_parameters(votes: pd.DataFrame, params: dict, message: str) -> None:
    model = BradleyTerry(**params)
    with pytest.raises(ValueError, match=message):
        model.fit(votes)
    assert not [name for name in vars(model) if name.endswith("_")]


def test_bad_tables(votes: pd.DataFrame) -> None:
    with pytest.raises(TableError, match="has no rows"):
        BradleyTerry().fit(votes.head(0))
    with pytest.raises(TableError, match="no verdict left with ties='drop'"):
        BradleyTerry(ties="drop").fit(votes.assign(winner="tie"))
    with pytest.raises(TableError, match="'judge': has empty cells"):
        BradleyTerry(cluster="judge").fit(votes.assign(judge=None))


@pytest.mark.parametrize(
    ("wins", "ties", "params", "message"),
    [
        ([[0, 1], [2, 0]], [[0, 1], [2, 0]], {}, "'ties': must be symmetric"),
        ([[5, 1], [2, 0]], None, {}, r"'wins': got \('x', 'x', 5.0\)"),
        ([[0, -1], [2, 0]], None, {}, r"'wins': got \('x', 'y', -1.0\)"),
        ([[0, 1.5], [2, 0]], None, {"interval": "bootstrap"}, "holds fractions"),
    ],
)
def test_bad_counts(wins: list, ties: list | None, params: dict, message: str) -> None:
    frames = [None if t is None else pd.DataFrame(t, index=["x", "y"], columns=["x", "y"]) for t in (wins, ties)]
    with pytest.raises(TableError, match=message):
        BradleyTerry(**params).fit_counts(*frames)


def test_counts_must_be_square() -> None:
    with pytest.raises(TableError, match="same models as rows and columns"):
        BradleyTerry().fit_counts(pd.DataFrame([[0, 1]], index=["x"], columns=["x", "y"]))


# Any input


@st.composite
def comparisons(draw: st.DrawFn, *, shape: str) -> pd.DataFrame:
    """Judgments tables; the 'bad' ones have one cell that no check may let through."""
    name = st.sampled_from("abcde")
    row = st.tuples(name, name, st.sampled_from(WINNERS)).filter(lambda r: r[0] != r[1])
    votes = votes_of(*draw(st.lists(row, min_size=1, max_size=40)))
    if shape == "good":
        return votes
    spoiled = draw(st.integers(0, len(votes) - 1))
    column, value = draw(
        st.sampled_from(
            [("winner", "A"), ("winner", None), ("winner", "Tie"), ("model_a", None), ("model_b", "model_a")]
        )
    )
    votes[column] = votes[column].astype(object)
    votes.loc[spoiled, column] = votes.loc[spoiled, "model_a"] if value == "model_a" else value
    return votes


@given(votes=comparisons(shape="good"))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@pytest.mark.filterwarnings("ignore:BradleyTerry")
def test_good_input_gives_ordered_intervals_or_says_why_not(votes: pd.DataFrame) -> None:
    try:
        table = rate(votes)
    except TableError as error:
        assert "no vote compares" in str(error) or "too few to say" in str(error)
        return
    assert np.isfinite(table[["rating", "ci_low", "ci_high"]]).all().all()
    assert (table["ci_low"] <= table["rating"]).all()
    assert (table["rating"] <= table["ci_high"]).all()
    assert table["rating"].mean() == pytest.approx(1000)


@given(votes=comparisons(shape="bad"))
@settings(max_examples=50, deadline=None)
def test_bad_input_never_passes(votes: pd.DataFrame) -> None:
    with pytest.raises(TableError, match="judgments table, column"):
        BradleyTerry().fit(votes)
