"""Prediction-powered win rates and ratings: the authors' own figures, invariances, coverage."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings, strategies as st
from scipy.stats import norm, t

from benchmarks.judging import auto_j_run, league_run, league_truth, limit, make_league, make_pairs, win_rate_run
from routerlab import TableError, fetch_auto_j, plot_ratings, rate
from routerlab.ratings import contrasts, ppi_rate, ppi_win_rate
from routerlab.ratings._ppi import ppi_mean
from routerlab.ratings._ppi_rate import Units, fit_ratings

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "ppi.json").read_text(encoding="utf-8"))
Z = norm.ppf(1 - GOLDEN["alpha"] / 2)


@pytest.mark.parametrize("case", GOLDEN["mean"], ids=["good judge", "poor judge", "no judge"])
def test_means_are_those_of_the_authors_package(case):
    """Estimate, lambda and interval; theirs has the normal quantile and no small-sample factor."""
    human = np.array(case["human"] + [np.nan] * len(case["judge_more"]))
    judge = np.array(case["judge"] + case["judge_more"])
    one = np.zeros(len(human), dtype=int)
    for result in case["results"]:
        ours = ppi_mean(human, judge, one, np.arange(len(human)), result["lam"])
        assert ours.lam == pytest.approx(result["used"], abs=1e-12)
        assert ours.estimate == pytest.approx(result["estimate"], abs=1e-12)
        half = Z * np.sqrt((ours.influence**2).sum())
        assert ours.estimate - half == pytest.approx(result["low"], abs=1e-12)
        assert ours.estimate + half == pytest.approx(result["high"], abs=1e-12)
    assert len({result["used"] for result in case["results"]}) > 2


@pytest.mark.parametrize("case", GOLDEN["logistic"], ids=["good judge", "poor judge"])
def test_ratings_are_the_authors_logistic_regression(case):
    """Without ties, a rating less the anchor's is a coefficient of +1/-1 columns; strata off, penalty next to none."""
    n_more = len(case["judge"]) - case["n_human"]
    human, judge = np.array(case["human"] + [np.nan] * n_more), np.array(case["judge"])
    cluster = np.arange(len(judge))
    models = np.array(["m0", "m1", "m2"], dtype=object)
    units = Units(models, np.array(case["first"]), np.array(case["second"]), cluster, human, judge)
    contrast = contrasts(models, "m0", "anchor")
    for result in case["results"]:
        ours = fit_ratings(units, contrast, 1e-9, result["lam"], stratum=np.zeros(len(judge), dtype=int))
        assert ours.lam == pytest.approx(result["used"], abs=1e-6)
        assert ours.point[1:] == pytest.approx(result["estimate"], abs=1e-6)
        # Their covariances are over n - 1, of labelled and unlabelled units each.
        n = np.where(units.has_human, case["n_human"], n_more)
        variance = ((ours.influence**2) * (n / (n - 1))[:, None]).sum(axis=0)[1:]
        assert ours.point[1:] - Z * np.sqrt(variance) == pytest.approx(result["low"], abs=1e-6)
        assert ours.point[1:] + Z * np.sqrt(variance) == pytest.approx(result["high"], abs=1e-6)


def world(n_human=100, n_judge=1000, agreement=0.8, seed=0, **more):
    judge, human = make_pairs(n_judge, 0.6, 0.26, agreement, np.random.default_rng(seed), **more)
    return judge, human.head(n_human)


def league(n_human=120, n_prompts=150, seed=0):
    """People on one pair of each of `n_human` prompts, a judge on all six pairs of four models."""
    judge, human = make_league(n_prompts, 4, 0.8, np.random.default_rng(seed))
    return judge, human.sample(frac=1, random_state=seed).drop_duplicates("prompt_id").head(n_human)


SCORE = {"model_a": 1.0, "tie": 0.5, "both_bad": 0.5, "model_b": 0.0}


def test_without_the_judge_a_win_rate_is_peoples_mean_with_students_interval():
    judge, human = world()
    row = ppi_win_rate(judge, human, lam=0).set_index("model").loc["x"]
    score = human["winner"].map(SCORE)
    assert row.win_rate == row.human_win_rate == pytest.approx(score.mean())
    half = t.ppf(0.975, 99) * score.std() / np.sqrt(100)
    assert row.win_rate_high - row.win_rate_low == pytest.approx(2 * half, rel=0.03)
    # Wilson's: at either end, the estimate is just as far off as Student's quantile allows if that end were the truth.
    worth = score.mean() * (1 - score.mean()) / (score.var() / 100)
    for end in (row.win_rate_low, row.win_rate_high):
        assert abs(score.mean() - end) == pytest.approx(t.ppf(0.975, 99) * np.sqrt(end * (1 - end) / worth))
    assert row.judge_win_rate == pytest.approx(judge["winner"].map(SCORE).mean())
    assert (row.n_human, row.n_judge, row.width_ratio) == (100, 1000, 1)


def test_without_the_judge_ratings_are_those_of_rate():
    judge, human = league()
    table, plain = ppi_rate(judge, human, lam=0, baseline="m1"), rate(human, baseline="m1")
    assert list(table) == list(plain)
    assert table["model"].tolist() == plain["model"].tolist() and table["n"].tolist() == plain["n"].tolist()
    for column in table.columns[1:]:
        assert np.allclose(table[column], plain[column], rtol=1e-4), column
    anchored = ppi_rate(judge, human, lam=0, anchor="m2"), rate(human, anchor="m2")
    assert np.allclose(anchored[0]["ci_low"], anchored[1]["ci_low"], rtol=1e-4)


def test_a_judge_who_is_people_is_as_good_as_people():
    judge, human = world(agreement=1.0)
    row = ppi_win_rate(judge, human).set_index("model").loc["x"]
    assert row.win_rate == pytest.approx(judge["winner"].map(SCORE).mean(), abs=0.02)
    assert row.width_ratio == pytest.approx(np.sqrt(100 / 1000), abs=0.03)
    assert row.lam == pytest.approx(0.9, abs=0.06)


def test_people_who_all_agree_do_not_make_it_certain():
    judge, human = world()
    row = ppi_win_rate(judge, human.head(10).assign(winner="model_a"), lam=0).set_index("model").loc["x"]
    assert row.win_rate == row.win_rate_high == 1
    assert row.win_rate_low == pytest.approx(10 / (10 + t.ppf(0.975, 9) ** 2))


def test_a_judge_who_knows_nothing_is_left_out():
    judge, human = world(agreement=1 / 3)
    table = ppi_win_rate(judge, human)
    assert (table["lam"] < 0.2).all() and (table["width_ratio"] < 1.03).all()
    always = ppi_win_rate(judge.assign(winner="model_a"), human)
    assert (always["lam"] == 0).all()
    assert np.allclose(always["win_rate"], always["human_win_rate"])
    only_paired = ppi_win_rate(judge.head(100), human)
    assert (only_paired["lam"] == 0).all() and np.allclose(only_paired["win_rate"], only_paired["human_win_rate"])


@pytest.mark.parametrize("function", [ppi_win_rate, ppi_rate])
def test_sides_order_and_repeated_verdicts_do_not_matter(function):
    judge, human = league()
    expected = function(judge, human)
    swap = {"model_a": "model_b", "model_b": "model_a"}
    rows = np.arange(len(judge)) % 2 == 0
    turned = judge.rename(columns={"model_a": "model_b", "model_b": "model_a"}).assign(
        winner=judge["winner"].replace(swap)
    )
    mixed = pd.concat([judge[rows], turned[~rows]])
    for tables in ((mixed, human), (judge.sample(frac=1, random_state=1), human), (pd.concat([judge, turned]), human)):
        pd.testing.assert_frame_equal(function(*tables), expected, check_exact=False, rtol=1e-6)
    bad = human.assign(winner=human["winner"].replace("tie", "both_bad"))
    pd.testing.assert_frame_equal(function(judge, bad), expected)


def test_human_verdicts_with_none_of_the_judge_still_count():
    """Say because its verdict could not be read: they count as people's, and nothing is taken for a tie."""
    judge, human = world()
    fewer = judge[judge["prompt_id"] >= 20]
    table = ppi_win_rate(fewer, human)
    assert {k: table.attrs[k] for k in ("n_human", "n_judge", "n_both", "n_human_only")} == {
        "n_human": 100, "n_judge": 980, "n_both": 80, "n_human_only": 20,
    }  # fmt: skip
    row = table.set_index("model").loc["x"]
    people, said = human["winner"].map(SCORE), judge["winner"].map(SCORE)
    expected = people.mean() - row.lam * (said[20:100].mean() - said[100:].mean())
    assert row.win_rate == pytest.approx(expected)


def test_people_who_compare_other_pairs_more_often_do_not_pass_for_chance():
    """A judge who always says m0, of which people see more than its share: no correction at all is due."""
    rng = np.random.default_rng(0)
    judge, human = make_league(300, 4, 1.0, rng)
    judge["winner"] = np.where(judge["model_a"] == "m0", "model_a", human["winner"])
    chosen = human[(human["model_a"] == "m0") | (rng.random(len(human)) < 0.1)]
    chosen = chosen[chosen["prompt_id"] < 60]
    table, alone = (ppi_win_rate(judge, chosen, lam=lam).set_index("model").loc["m0"] for lam in (1.0, 0.0))
    assert table.win_rate == pytest.approx(alone.win_rate)
    assert table.judge_win_rate == 1


def test_ratings_are_drawn_like_any_others():
    judge, human = league()
    judge.attrs["provenance"] = "simulated: a test"
    table = ppi_rate(judge, human)
    axes = plot_ratings(table)
    assert [label.get_text() for label in axes.get_yticklabels()] == table["model"].tolist()
    attrs = table.attrs
    assert attrs["provenance"] == "simulated: a test" and "PPI++" in attrs["method"]
    assert 0 < attrs["lam"] < 1 and 0.5 < attrs["width_ratio"] < 1
    assert (attrs["n_human"], attrs["n_judge"], attrs["n_clusters"]) == (120, 900, 120)


def test_corrected_wins_may_be_negative():
    """Where few people judged a pair and the judge corrects them by more than they said."""
    judge, human = league(n_human=12)
    table = ppi_rate(judge, human, lam=1.0)
    assert np.isfinite(table[["rating", "ci_low", "ci_high"]]).all(axis=None)
    assert table["rating"].mean() == pytest.approx(1000)


@pytest.mark.parametrize(
    ("change", "options", "error", "message"),
    [
        (lambda j, h: (j, h), {"lam": 2}, ValueError, "'lam' parameter .* Got 2"),
        (lambda j, h: (j, h), {"confidence": 95}, ValueError, "'confidence' parameter .* Got 95"),
        (lambda j, h: (j, h), {"baseline": "gpt"}, ValueError, "'baseline'"),
        (lambda j, h: (j.assign(prompt_id=-1), h), {}, TableError, "no pair of responses in common"),
        (lambda j, h: (j, h.head(2)), {}, TableError, "too few"),
        (lambda j, h: (j, h.head(0)), {}, TableError, "has no rows"),
        (lambda j, h: (j.assign(winner="A"), h), {}, TableError, "expected one of"),
    ],
)
@pytest.mark.parametrize("function", [ppi_win_rate, ppi_rate])
def test_what_cannot_be_estimated_is_refused(function, change, options, error, message):
    tables = league()
    before = [table.copy() for table in tables]
    with pytest.raises(error, match=message):
        function(*change(*tables), **options)
    for table, copy in zip(tables, before, strict=True):
        pd.testing.assert_frame_equal(table, copy)


def test_models_that_people_do_not_connect_are_refused():
    judge, human = league()
    apart = human[human["model_a"].eq("m0") & human["model_b"].eq("m1") | human["model_a"].eq("m2")]
    with pytest.raises(TableError, match="no vote compares models across 2 groups"):
        ppi_rate(judge, apart)
    with pytest.raises(ValueError, match="'alpha' parameter"):
        ppi_rate(judge, human, alpha=0)
    with pytest.raises(TableError, match="holds no verdict on 'm3'"):
        ppi_win_rate(judge, human[(human["model_a"] != "m3") & (human["model_b"] != "m3")], baseline="m3")


MODELS = ("x", "y", "z")
PAIRS = [(a, b) for a in MODELS for b in MODELS if a != b]
votes = st.lists(
    st.tuples(st.integers(0, 8), st.sampled_from(PAIRS), st.sampled_from([*SCORE])), min_size=1, max_size=40
)


@pytest.mark.filterwarnings("ignore:BradleyTerry:UserWarning")
@settings(max_examples=60, deadline=None)
@given(judge=votes, human=votes, lam=st.sampled_from([None, 0.0, 1.0]))
@pytest.mark.slow
def test_any_tables_give_finite_intervals_around_the_estimate_or_a_clear_refusal(judge, human, lam):
    tables = [
        pd.DataFrame([(p, a, b, w) for p, (a, b), w in rows], columns=["prompt_id", "model_a", "model_b", "winner"])
        for rows in (judge, human)
    ]
    for function, names in (
        (ppi_win_rate, ("win_rate_low", "win_rate", "win_rate_high")),
        (ppi_rate, ("ci_low", "rating", "ci_high")),
    ):
        try:
            table = function(*tables, lam=lam)
        except TableError:
            continue
        low, middle, high = (table[name].to_numpy() for name in names)
        assert np.isfinite(low).all() and np.isfinite(high).all()
        assert (low <= middle + 1e-9).all() and (middle <= high + 1e-9).all()


@pytest.mark.slow
def test_win_rates_hold_the_truth_and_are_shorter():
    """Agreement on 80% of three verdicts, 50 people and 1,000 of the judge; 200 simulations at nominal 95%."""
    runs = np.array([win_rate_run(50, 1000, seed, ties=0.26, agreement=0.8) for seed in range(200)], dtype=float)
    held, judge_alone, ratio = runs.mean(axis=0)
    assert 0.93 <= held <= 0.98
    assert judge_alone < 0.6
    assert ratio <= 0.75
    assert ratio == pytest.approx(limit(0.8, 0.26, 50, 1000), abs=0.02)


@pytest.mark.slow
def test_without_ties_80_percent_agreement_cannot_do_better_than_80_percent_of_the_width():
    runs = np.array([win_rate_run(100, 1000, seed, ties=0.0, agreement=0.8) for seed in range(150)], dtype=float)
    assert 0.915 <= runs[:, 0].mean() <= 0.98
    assert runs[:, 2].mean() == pytest.approx(limit(0.8, 0.0, 100, 1000), abs=0.02)
    assert limit(0.8, 0.0, 100, 10**9) > 0.79


@pytest.mark.slow
def test_ratings_hold_the_truth_though_the_judge_has_a_favourite_and_people_other_pairs():
    truth = league_truth(4)
    runs = np.array([league_run(truth, 200, 2400, seed) for seed in range(125)])
    held, judge_alone, ratio = runs.mean(axis=0)
    assert 0.92 <= held <= 0.98
    assert judge_alone < 0.6
    assert ratio < 0.85


@pytest.mark.slow
@pytest.mark.realdata
@pytest.mark.filterwarnings("ignore:ppi_win_rate. where people judged")  # at p < .001, once in so many runs
@pytest.mark.parametrize("judge", ["0.8", "length"])
def test_on_auto_js_human_verdicts(published_data, judge):
    """All human verdicts are the truth, few are seen; the first judge is simulated, the second real and poor."""
    data = fetch_auto_j("pairs")
    runs = np.array([auto_j_run(data, judge, 50, 1000, seed) for seed in range(200)], dtype=float)
    assert 0.92 <= runs[:, 0].mean() <= 0.98
    assert runs[:, 2].mean() <= (0.75 if judge == "0.8" else 0.97)
