"""judged_outcomes: from verdicts to quality by prompt, so that a judge's verdicts reach a savings claim."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import routerlab as rl
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
