"""judged_outcomes: from verdicts to quality by prompt, so that a judge's verdicts reach a savings claim."""

import itertools
import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings, strategies as st

import routerlab as rl
from routerlab.decision import sweep_estimates
from routerlab.exceptions import ParameterError
from routerlab.schema import WINNERS, DroppedRowsWarning, TableError

MODELS = ["x", "y", "z"]


def replies(prompts, models=MODELS):
    rows = list(itertools.product(prompts, models))
    table = pd.DataFrame(rows, columns=["prompt_id", "model"])
    return table.assign(response="Yes.", cost_usd=0.01 * (1 + np.arange(len(rows))), latency_s=1.0)


def votes(rows):
    return pd.DataFrame(rows, columns=["prompt_id", "model_a", "model_b", "winner"])


def test_shares_of_wins_over_the_other_models():
    table = votes(
        [
            ("p", "x", "y", "model_a"),
            ("p", "z", "x", "model_b"),
            ("p", "y", "z", "tie"),
            ("q", "x", "y", "both_bad"),
            ("q", "x", "z", "model_b"),
            ("q", "y", "z", "model_b"),
        ]
    )
    found = rl.judged_outcomes(table, replies("pq"))
    assert found["quality"].tolist() == [1.0, 0.25, 0.25, 0.0, 0.0, 1.0]
    assert found["cost_usd"].tolist() == pytest.approx([0.01, 0.02, 0.03, 0.04, 0.05, 0.06])
    quality, cost = rl.pivot_outcomes(found)
    assert quality.columns.tolist() == MODELS and cost.shape == (2, 3)
    assert rl.judged_outcomes(table, replies("pq"), both_bad=0.5)["quality"].sum() == 3.0


def test_a_pair_with_more_votes_does_not_count_more():
    table = votes([("p", "x", "y", "model_a")] * 9 + [("p", "x", "z", "model_b"), ("p", "y", "z", "tie")])
    assert rl.judged_outcomes(table, replies("p"))["quality"].tolist() == [0.5, 0.25, 0.75]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.sampled_from(WINNERS), min_size=6, max_size=6), st.randoms(use_true_random=False))
def test_sides_and_order_of_rows_do_not_matter(winners, random):
    pairs = [(p, *pair) for p in "pq" for pair in itertools.combinations(MODELS, 2)]
    rows = [(*pair, winner) for pair, winner in zip(pairs, winners, strict=True)]
    swap = {"model_a": "model_b", "model_b": "model_a"}
    turned = [(p, b, a, swap.get(w, w)) for p, a, b, w in rows]
    random.shuffle(turned)
    key = ["prompt_id", "model"]
    plain, other = (rl.judged_outcomes(votes(r), replies("pq")).set_index(key).sort_index() for r in (rows, turned))
    pd.testing.assert_frame_equal(plain, other)
    assert rl.judged_outcomes(votes(rows), replies("pq"), both_bad=0.5)["quality"].mean() == pytest.approx(0.5)


def test_prompts_without_all_pairs_are_left_out_and_counted():
    table = votes([("p", "x", "y", "tie"), ("p", "x", "z", "tie"), ("p", "y", "z", "tie"), ("q", "x", "y", "model_a")])
    with pytest.warns(DroppedRowsWarning, match="left out 1 of 2 prompts"):
        found = rl.judged_outcomes(table, replies("pq"))
    assert found["prompt_id"].unique().tolist() == ["p"]
    with pytest.raises(TableError, match="on no prompt were all of 'x', 'y', 'z'"):
        rl.judged_outcomes(votes([("p", "x", "y", "tie"), ("q", "y", "z", "tie")]), replies("pq"))


def test_bad_input_is_explained_and_tables_are_unchanged():
    table, answers = votes([("p", "x", "y", "tie")]), replies("p")
    before = table.copy(), answers.copy()
    with pytest.raises(TableError, match=r"'cost_usd' is missing.*add_cost"):
        rl.judged_outcomes(table, answers.drop(columns="cost_usd"))
    with pytest.raises(TableError, match="no response of 'y' to prompt 'p'"):
        rl.judged_outcomes(table, answers[answers["model"] != "y"])
    with pytest.raises(TableError, match="'both_bad'"):
        rl.judged_outcomes(table, answers, both_bad=2)
    answers.attrs["provenance"] = "simulated: here"
    assert "simulated" in rl.judged_outcomes(table, answers).attrs["provenance"]
    pd.testing.assert_frame_equal(table, before[0])
    pd.testing.assert_frame_equal(answers, before[1])


def arena(n, rng, models=("big", "mid", "small")):
    """Prompts that are hard or easy, each judged for one random pair; skill wins, and on hard ones alone.

    On hard ones "big" wins 90% against "small" and 70% against "mid".
    """
    skill = {"big": 2.2, "mid": 1.35, "small": 0.0}
    ids, hard = [f"p{k}" for k in range(n)], rng.random(n) < 0.4
    pairs = [rng.permutation(models)[:2] for _ in ids]
    rows = []
    for prompt_id, difficult, (a, b) in zip(ids, hard, pairs, strict=True):
        chance = 1 / (1 + np.exp(-(skill[a] - skill[b]))) if difficult else 0.5
        rows.append((prompt_id, a, b, "model_a" if rng.random() < chance else "model_b"))
    answers = pd.DataFrame([(r[0], m) for r in rows for m in r[1:3]], columns=["prompt_id", "model"])
    price = {"big": 0.01, "mid": 0.003, "small": 0.001}
    return (
        votes(rows),
        answers.assign(response="Yes.", cost_usd=answers["model"].map(price)),
        pd.Series(hard, index=ids),
    )


@pytest.mark.filterwarnings("ignore::routerlab.schema.DroppedRowsWarning")
def test_392_held_out_prompts_with_one_vote_each_reach_an_operating_point_and_a_claim():
    rng = np.random.default_rng(1)
    (tuned, tune_replies, tune_hard), (tested, test_replies, test_hard) = arena(392, rng), arena(392, rng)
    with pytest.warns(DroppedRowsWarning, match=r"left out 1\d\d of 392 prompts without a vote on 'big'"):
        outcomes = rl.judged_outcomes(tuned, tune_replies, baseline="big")
    quality, cost = rl.pivot_outcomes(outcomes, missing="keep")
    assert len(quality) > 220 and (quality["big"] == 0.5).all() and quality["small"].isna().any()

    # What a router would know: whether a prompt is hard
    def sweep_of(ids, hard):
        known = hard.loc[ids].to_numpy()
        columns = {"big": 0.5, "mid": np.where(known, 0.3, 0.5), "small": np.where(known, 0.1, 0.5)}
        prices = {"big": 0.01, "mid": 0.003, "small": 0.001}
        estimates = pd.DataFrame(columns, index=ids)
        return sweep_estimates(estimates, pd.DataFrame(prices, index=ids))

    sweep = sweep_of(quality.index, tune_hard)
    point = rl.choose_operating_point(sweep, quality, cost, baseline="big", max_quality_loss=0.05)
    outcomes = rl.judged_outcomes(tested, test_replies, baseline="big")
    quality, cost = rl.pivot_outcomes(outcomes, missing="keep")
    choices = sweep_of(quality.index, test_hard).at(point.willingness_to_pay)
    with pytest.warns(DroppedRowsWarning, match="have a known outcome of the chosen model"):
        claim = rl.savings(choices, quality, cost, baseline="big")
    assert claim.n > 100 and "weighted to stand for all" in claim.method
    assert "quality: win share against big" in claim.provenance
    true_saving = 1 - choices.map({"big": 1.0, "mid": 0.3, "small": 0.1}).mean()
    assert claim.saving == pytest.approx(true_saving, abs=1e-9)
    hard = test_hard.loc[quality.index]
    truth = (choices.map({"big": 0.5, "mid": 0.3, "small": 0.1}).where(hard, 0.5) - 0.5).mean()
    assert claim.quality_low < truth < claim.quality_high < 0.2


def test_prompts_that_are_known_stand_for_the_others_of_the_same_model():
    quality = pd.DataFrame({"big": 0.5, "small": [0.0, 1.0, np.nan, np.nan, 0.5, np.nan]}, index=list("abcdef"))
    cost = pd.DataFrame({"big": 1.0, "small": [0.1, 0.1, np.nan, np.nan, 0.1, 0.1]}, index=quality.index)
    choices = pd.Series(["small", "big", "small", "small", "small", "big"], index=quality.index)
    with pytest.warns(DroppedRowsWarning, match="of 6 prompts, 4 have a known"):
        claim = rl.savings(choices, quality, cost, baseline="big")
    assert claim.n == 4
    assert claim.quality_difference == pytest.approx(4 / 6 * (0.25 - 0.5))  # small wins 1/4 of what is known
    assert claim.saving == pytest.approx(1 - (4 / 6 * 0.1 + 2 / 6))
    with pytest.raises(TableError, match="given to 'small' is its outcome known"):
        rl.savings(choices.drop(["a", "e"]), quality.drop(["a", "e"]), cost.drop(["a", "e"]), baseline="big")
    cost.loc["a", "small"] = np.nan
    with pytest.raises(TableError, match="'cost': is nan .* for 'small' on prompt 'a', whose quality is known"):
        rl.savings(choices, quality, cost, baseline="big")


@pytest.mark.parametrize("hidden", [0.0, 0.5])
def test_a_sweep_over_known_cells_agrees_with_the_claim_at_every_point(hidden):
    rng = np.random.default_rng(1)
    quality = pd.DataFrame(rng.random((60, 3)), columns=["big", "mid", "small"])
    quality["big"] = 0.5
    cost = pd.DataFrame(rng.random((60, 3)) * [1, 0.3, 0.1], columns=quality.columns)
    sweep = sweep_estimates(quality.sample(frac=1, random_state=0).reset_index(drop=True), cost)
    quality[["mid", "small"]] = quality[["mid", "small"]].mask(rng.random((60, 2)) < hidden)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DroppedRowsWarning)
        for loss in (0.0, 0.05, 0.2):
            try:
                point = rl.choose_operating_point(sweep, quality, cost, baseline="big", max_quality_loss=loss)
            except rl.NoOperatingPointError:
                continue
            claim = rl.savings(sweep.at(point.willingness_to_pay), quality, cost, baseline="big")
            assert point.quality_difference == pytest.approx(claim.quality_difference)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::routerlab.schema.DroppedRowsWarning")
def test_the_interval_of_a_claim_from_votes_holds_the_truth():
    truth, held, n = 0.6 * 0.0 + 0.4 * (1 / (1 + np.exp(2.2)) - 0.5), 0, 150
    for seed in range(n):
        table, answers, _ = arena(400, np.random.default_rng(seed))
        quality, cost = rl.pivot_outcomes(rl.judged_outcomes(table, answers, baseline="big"), missing="keep")
        choices = pd.Series("small", index=quality.index)
        claim = rl.savings(choices, quality, cost, baseline="big", n_resamples=300, random_state=seed)
        held += claim.quality_low <= truth <= claim.quality_high
    assert 0.91 <= held / n <= 0.99


def test_against_a_baseline_sides_and_both_bad_do_not_matter():
    rows = [("p", "x", "y", "model_a"), ("p", "y", "x", "model_a"), ("q", "z", "x", "both_bad"), ("q", "z", "y", "tie")]
    found = rl.judged_outcomes(votes(rows), replies("pq"), baseline="x").set_index(["prompt_id", "model"])["quality"]
    assert found.dropna().to_dict() == {("p", "x"): 0.5, ("p", "y"): 0.5, ("q", "x"): 0.5, ("q", "z"): 0.5}
    with pytest.raises(ParameterError, match="'baseline' must be one of"):
        rl.judged_outcomes(votes(rows), replies("pq"), baseline="w")
    assert len(rl.judged_outcomes(votes(rows[:2]), replies("p").drop(columns="response"), baseline="x")) == 2


def test_scales_are_part_of_provenance_and_are_not_mixed_in_one_table():
    shares = rl.judged_outcomes(votes([("p", "x", "y", "tie")]), replies("p", ["x", "y"]))
    quality, _ = rl.pivot_outcomes(shares)
    assert quality.attrs["quality_scale"] == "win share"
    router = rl.KNNRouter(n_neighbors=1).fit(
        pd.DataFrame([[1.0, 0.0]], index=["p"]), *rl.pivot_outcomes(shares)[:1], cost=rl.pivot_outcomes(shares).cost
    )
    assert "quality: win share" in router.provenance_
    table, answers, hard = arena(60, np.random.default_rng(0))
    cost = pd.DataFrame({"big": 0.01, "mid": 0.003, "small": 0.001}, index=hard.index)
    X = pd.DataFrame({"x": 1.0, "hard": hard.astype(float)})
    by_intent = rl.IntentRouter(n_neighbors=3).fit(
        X, hard.map(str), ratings=rl.rate(table, by=hard.map(str)), cost=cost
    )
    assert "quality: win share" in by_intent.provenance_
    told = shares.assign(prompt_id="q", quality_scale="feedback")
    for other in (told, told.drop(columns="quality_scale")):
        with pytest.raises(TableError, match="'quality_scale': quality is measured in 2 ways.*'win share' in 2 rows"):
            rl.pivot_outcomes(pd.concat([shares, other]))


@pytest.mark.parametrize("baseline", [None, "x"])
@pytest.mark.parametrize(
    ("judgments", "responses", "both_bad", "said"),
    [
        (slice(0, 0), slice(None), 0.0, "judgments table: has no rows"),
        (slice(None), None, 0.0, "responses table: expected a pandas DataFrame, got NoneType"),
        (None, slice(None), 0.0, "judgments table: expected a pandas DataFrame, got NoneType"),
        (slice(None), slice(None), "a", "'both_bad': got 'a', expected a quality from 0 to 1"),
        (slice(None), slice(None), None, "'both_bad': got None"),
        (slice(None), slice(None), float("nan"), "'both_bad': got nan"),
        (slice(None), slice(1, None), 0.0, "has no response of 'x' to prompt 'p0'. Pass the responses"),
    ],
)
def test_what_cannot_be_scored_is_refused_in_words(judgments, responses, both_bad, said, baseline):
    votes = pd.DataFrame({"prompt_id": ["p0", "p1"], "model_a": "x", "model_b": "y", "winner": "tie"})
    replies = pd.DataFrame({"prompt_id": ["p0", "p0", "p1", "p1"], "model": ["x", "y"] * 2, "cost_usd": 0.1})
    with pytest.raises(rl.RouterlabError) as raised:
        rl.judged_outcomes(
            None if judgments is None else votes[judgments],
            None if responses is None else replies[responses],
            both_bad=both_bad,
            baseline=baseline,
        )
    assert said in str(raised.value)
