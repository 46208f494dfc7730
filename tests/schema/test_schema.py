"""The tables at the door: every kind of bad input is named, and the caller's frame is left alone."""

from functools import partial

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings, strategies as st

import routerlab as rl
from routerlab.schema import WINNERS, check_aligned, check_embeddings, check_matrix, provenance_of

PROMPTS = pd.DataFrame({"prompt_id": ["p1", "p2", "p3"], "prompt": ["Hi", "Poach an egg?", "¿Qué hora es?"]})


def judgments(n=6):
    rows = [(f"p{1 + k % 3}", "small", "large", WINNERS[k % 4]) for k in range(n)]
    return pd.DataFrame(rows, columns=["prompt_id", "model_a", "model_b", "winner"])


def outcomes():
    rows = [(p, m, 0.5, 0.01) for p in ("p1", "p2", "p3") for m in ("small", "large")]
    return pd.DataFrame(rows, columns=["prompt_id", "model", "quality", "cost_usd"])


JUDGED, SCORED = partial(rl.check_judgments, prompts=PROMPTS), partial(rl.check_outcomes, prompts=PROMPTS)


def test_good_tables_pass_with_index_or_column():
    assert rl.check_prompts(PROMPTS).index.name == "prompt_id"
    pd.testing.assert_frame_equal(rl.check_prompts(PROMPTS.set_index("prompt_id")), rl.check_prompts(PROMPTS))
    assert len(rl.check_judgments(judgments(), PROMPTS)) == 6
    assert len(rl.check_outcomes(outcomes(), rl.check_prompts(PROMPTS))) == 6
    assert rl.check_outcomes(outcomes().assign(quality=[1, 0, 1, 0, 1, 0]))["quality"].dtype == float


RESPONSE = pd.DataFrame({"prompt_id": ["p1"], "model": ["m"], "response": ["x"], "output_tokens": [-1]})
BAD = {
    "ids twice": (rl.check_prompts, PROMPTS.assign(prompt_id=["p1", "p1", "p3"]), "prompts table|more than once|p1"),
    "empty": (rl.check_prompts, PROMPTS.assign(prompt=["Hi", "  ", "x"]), "column 'prompt'|p2|Drop those rows"),
    "number": (rl.check_prompts, PROMPTS.assign(prompt=["Hi", 3, None]), "column 'prompt'|p2|p3"),
    "no id": (rl.check_prompts, PROMPTS.drop(columns="prompt_id"), "'prompt_id'|missing|Rename or add"),
    "null id": (rl.check_prompts, PROMPTS.assign(prompt_id=["p1", None, "p3"]), "column 'prompt_id'|empty in row 1"),
    "winner": (JUDGED, judgments().assign(winner="A"), f"column 'winner'|'A'|6 rows|{', '.join(WINNERS)}"),
    "null winner": (JUDGED, judgments().assign(winner=None), "column 'winner'"),
    "itself": (JUDGED, judgments().assign(model_b="small"), "'model_a' and 'model_b'|'small'|against itself"),
    "unknown prompt": (JUDGED, judgments().assign(prompt_id="p9"), "column 'prompt_id'|'p9'|isin"),
    "no winner": (JUDGED, judgments().drop(columns="winner"), "'winner'|missing"),
    "scale": (SCORED, outcomes().assign(quality=7.0), "column 'quality'|7.0|[0, 1]|scale=(1, 5)"),
    "negative": (SCORED, outcomes().assign(cost_usd=-1.0), "column 'cost_usd'|-1.0|at least 0"),
    "infinite": (SCORED, outcomes().assign(cost_usd=np.inf), "column 'cost_usd'|inf|finite"),
    "text": (SCORED, outcomes().assign(quality="good"), "column 'quality'|text"),
    "cells twice": (SCORED, pd.concat([outcomes()] * 2, ignore_index=True), "(prompt_id, model)|('p1', 'small')"),
    "latency": (SCORED, outcomes().assign(latency_s=-2.0), "column 'latency_s'"),
    "no model": (SCORED, outcomes().drop(columns="model"), "column 'model' is missing|Rename or add it"),
    "columns": (SCORED, outcomes().iloc[:, :2], "columns 'quality', 'cost_usd' are missing|Rename or add them"),
    "judgments": (SCORED, judgments(), "'model', 'quality', 'cost_usd' are missing|judgments table|routerlab.rate"),
    "responses": (rl.check_responses, RESPONSE, "responses table|'output_tokens'"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_table_is_refused_by_place_and_stays_as_it_was(case):
    check, table, names = BAD[case]
    before = table.copy()
    with pytest.raises(rl.TableError) as caught:
        check(table)
    for name in names.split("|"):
        assert name in str(caught.value), str(caught.value)
    pd.testing.assert_frame_equal(table, before)


@pytest.mark.parametrize(
    ("cell", "remedy"), [(80.0, "Say what scale that is"), (np.nan, "Drop incomplete"), (-1.0, "correct the cells")]
)
def test_a_quality_out_of_range_gets_the_remedy_that_fits(cell, remedy):
    frame = pd.DataFrame({"small": [cell, 0.5], "large": [2.0, 1.0]}, index=["p1", "p2"])
    with pytest.raises(rl.TableError, match=rf"'quality': got .*expected \[0, 1\]\. .*{remedy}"):
        check_matrix(frame, "quality", 0, 1)


def test_a_list_is_not_a_table():
    with pytest.raises(rl.TableError, match="expected a pandas DataFrame, got list"):
        rl.check_prompts([{"prompt_id": 1}])


@settings(max_examples=80, deadline=None)
@given(
    where=st.integers(0, 5),
    bad=st.one_of(st.text().filter(lambda t: t not in WINNERS), st.none(), st.integers(), st.floats(allow_nan=True)),
)
def test_any_unknown_winner_is_refused_and_never_becomes_a_tie(where, bad):
    table = judgments()
    winners = table["winner"].astype(object)
    winners.iloc[where] = bad
    with pytest.raises(rl.TableError, match="column 'winner'"):
        rl.check_judgments(table.assign(winner=winners))


@settings(max_examples=80, deadline=None)
@given(
    where=st.integers(0, 5),
    column=st.sampled_from(["quality", "cost_usd"]),
    bad=st.one_of(st.floats(max_value=-1e-9, allow_nan=False), st.sampled_from([np.inf, -np.inf])),
)
def test_any_number_out_of_range_is_located(where, column, bad):
    table = outcomes()
    table.loc[where, column] = bad
    with pytest.raises(rl.TableError, match=f"column '{column}'.*'{table.loc[where, 'prompt_id']}'"):
        rl.check_outcomes(table)


def test_pivot_drops_incomplete_prompts_and_says_how_many():
    table = outcomes()
    table.loc[0, "quality"] = np.nan
    with pytest.warns(rl.DroppedRowsWarning, match="left out 1 of 3 prompts"):
        quality, cost = rl.pivot_outcomes(table)
    assert quality.index.tolist() == cost.index.tolist() == ["p2", "p3"]
    assert quality.attrs["n_dropped"] == 1
    kept = rl.pivot_outcomes(table, missing="keep").quality
    assert kept.shape == (3, 2) and kept.isna().sum().sum() == 1
    absent = outcomes().drop(index=5)
    with pytest.warns(rl.DroppedRowsWarning):
        assert len(rl.pivot_outcomes(absent).quality) == 2
    with pytest.raises(ValueError, match="'missing' parameter"):
        rl.pivot_outcomes(table, missing="fill")


def test_pivot_keeps_order_and_provenance():
    table = outcomes().iloc[::-1]
    table.attrs["provenance"] = "simulated: seed 1"
    quality, cost = rl.pivot_outcomes(table)
    assert quality.index.tolist() == ["p3", "p2", "p1"] and quality.columns.tolist() == ["large", "small"]
    assert provenance_of(quality) == provenance_of(cost) == "simulated: seed 1"


@pytest.mark.parametrize(
    ("X", "message"),
    [
        ([[1.0, np.nan]], "NaN or infinity in row 0"),
        ([["a"]], "expected numbers"),
        (np.empty((0, 3)), "Pass rows"),
        ([1.0, 2.0], "expected shape"),
    ],
)
def test_bad_embeddings(X, message):
    with pytest.raises(rl.TableError, match=message):
        check_embeddings(X)
    with pytest.raises(rl.TableError, match="has 2 features, and fit saw 3"):
        check_embeddings([[1.0, 2.0]], n_features=3)


def two_frames():
    quality = pd.DataFrame({"small": [0.5, 1.0, 0.0], "large": [1.0, 1.0, 0.5]}, index=["p1", "p2", "p3"])
    quality.attrs["provenance"] = "simulated: seed 0"
    return quality, quality / 100


def test_outcomes_unpack_and_are_taken_by_rows():
    quality, cost = two_frames()
    outcomes = rl.Outcomes(quality, cost.iloc[::-1, ::-1])
    pd.testing.assert_frame_equal(outcomes.cost, cost)
    again, paid = outcomes
    pd.testing.assert_frame_equal(again, quality)
    pd.testing.assert_frame_equal(outcomes[1], paid)
    part = outcomes.loc[["p3", "p1"]]
    assert part.quality.index.tolist() == ["p3", "p1"] and part.complete
    pd.testing.assert_frame_equal(outcomes.iloc[[2, 0]].cost, part.cost)
    assert outcomes.loc[quality["large"] == 1].index.tolist() == ["p1", "p2"]
    assert part.quality.attrs == quality.attrs
    assert rl.Outcomes(quality, {"small": 0.1, "large": 1.0}).cost["large"].tolist() == [1.0] * 3


@pytest.mark.parametrize(
    ("take", "message"),
    [
        (lambda o: o.loc[["p1", "p1"]], "'p1' appears twice"),
        (lambda o: o.iloc[[]], "are empty"),
        (lambda o: o.loc["p1"], "takes rows"),
        (lambda o: o.loc[:, "small"], "takes rows"),
        (lambda o: check_aligned(o, o.cost), "holds the cost"),
        (lambda o: check_aligned(o.quality), "'cost': is missing"),
        (lambda o: rl.Outcomes(o.quality * 2, o.cost), "expected"),
        (lambda o: check_aligned(rl.Outcomes(o.quality.where(o.quality > 0), o.cost)), "nan"),
    ],
)
def test_outcomes_that_are_none_are_refused(take, message):
    with pytest.raises(ValueError, match=message):
        take(rl.Outcomes(*two_frames()))


def test_changing_a_frame_afterwards_changes_no_outcomes():
    quality, cost = two_frames()
    outcomes = rl.Outcomes(quality, cost)
    quality.iloc[0, 0], cost.loc["p1", "large"] = 7.0, -1.0
    theirs = outcomes.quality
    theirs.loc["p2", "small"] = 9.0
    theirs["new"] = 1.0
    pd.testing.assert_frame_equal(outcomes.quality, two_frames()[0])
    pd.testing.assert_frame_equal(outcomes.cost, two_frames()[1])
    with pytest.raises(AttributeError):
        outcomes.quality = theirs
    with pytest.raises(rl.TableError, match=r"7.0"):
        check_aligned(quality, cost.abs())


def test_outcomes_give_what_their_frames_give():
    problem = rl.make_routing_problem(n_prompts=60, random_state=0)
    outcomes = rl.Outcomes(problem.quality, problem.cost)
    router = rl.KNNRouter(5).fit(problem.X, outcomes)
    sweep = rl.KNNRouter(5).fit(problem.X, problem.quality, cost=problem.cost).sweep(problem.X)
    np.testing.assert_array_equal(router.sweep(problem.X).wtp, sweep.wtp)
    choices = rl.oracle(outcomes)
    for call in (
        lambda *tables: rl.frontier(sweep, *tables, ci=True),
        lambda *tables: rl.baselines(*tables),
        lambda *tables: rl.savings(choices, *tables, baseline=problem.baseline).to_frame(),
        lambda *tables: rl.score_choices(choices, *tables),
        lambda *tables: rl.held_out_choices(rl.KNNRouter(5), problem.X, *tables, baseline=problem.baseline).to_frame(),
    ):
        pd.testing.assert_frame_equal(call(outcomes), call(problem.quality, problem.cost))
    assert rl.compare(choices, sweep.at(0.01), outcomes) == rl.compare(
        choices, sweep.at(0.01), problem.quality, problem.cost
    )


def test_what_was_not_chosen_may_be_missing_from_outcomes():
    quality, cost = two_frames()
    outcomes = rl.Outcomes(quality.replace(0.5, np.nan), cost)
    choices = pd.Series({"p1": "large", "p2": "small", "p3": "small"})
    assert rl.score_choices(choices, outcomes)["quality"].tolist() == [1.0, 1.0, 0.0]
    with pytest.raises(rl.TableError, match="nan"):
        rl.score_choices(pd.Series({"p1": "small", "p2": "small", "p3": "small"}), outcomes)
