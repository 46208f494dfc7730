"""Cascades as options: what they cost, what they are worth, and what they refuse."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import routerlab as rl
from routerlab.exceptions import RouterlabError
from routerlab.options import (
    Checked,
    LearnedCheck,
    agreement,
    cascade_outcomes,
    definitions,
    extract_answers,
    option_table,
    similarity,
)

PRICE = {"small": 0.001, "tiny": 0.002, "mid": 0.004, "large": 0.01}
SECONDS = {"small": 1.0, "tiny": 3.0, "mid": 2.0, "large": 5.0}
SAID = {"p1": ("B", "B"), "p2": ("A", "C"), "p3": ("", "C")}
RIGHT = {"p1": (1.0, 1.0, 1.0, 0.0), "p2": (0.0, 0.0, 0.0, 1.0), "p3": (0.0, 1.0, 1.0, 1.0)}


def tables() -> tuple[pd.DataFrame, pd.DataFrame]:
    outcomes = [(p, m, q, PRICE[m], SECONDS[m]) for p, row in RIGHT.items() for m, q in zip(PRICE, row, strict=True)]
    responses = [(p, m, r) for p, row in SAID.items() for m, r in zip(("small", "tiny"), row, strict=True)]
    responses += [(p, "mid", "C") for p in SAID]
    return (
        pd.DataFrame(outcomes, columns=["prompt_id", "model", "quality", "cost_usd", "latency_s"]),
        pd.DataFrame(responses, columns=["prompt_id", "model", "response"]),
    )


def rows_of(table: pd.DataFrame, name: str) -> list[list[float]]:
    part = table[table["model"] == name].set_index("prompt_id")
    return part[["quality", "cost_usd", "latency_s"]].round(6).to_numpy().tolist()


def test_every_call_is_paid_the_kept_answer_counts_and_parallel_calls_take_the_slowest():
    outcomes, responses = tables()
    found = cascade_outcomes(outcomes, responses, first=["small", "tiny"], then="large", name="two")
    assert rows_of(found, "two") == [[1.0, 0.003, 3.0], [1.0, 0.013, 8.0], [1.0, 0.013, 8.0]]
    assert len(found) == len(outcomes) + 3
    assert option_table(rl.pivot_outcomes(found).cost).loc["two"].tolist() == [
        "small + tiny", "large", "agreement", "1",
    ]  # fmt: skip
    assert definitions(found)["two"].models == ("small", "tiny", "large")


def test_stages_follow_one_another_and_the_check_sees_all_answers_so_far():
    outcomes, responses = tables()
    found = cascade_outcomes(
        outcomes, responses, first=["small", "tiny"], then=["mid", "large"], threshold=[(1.0, 0.5)], name="three"
    )
    # p2: A, C, then C: tiny's answer is kept, as mid agrees. p3: nothing and C, then C.
    assert rows_of(found, "three") == [[1.0, 0.003, 3.0], [0.0, 0.007, 5.0], [1.0, 0.007, 5.0]]


def test_several_samples_of_one_model_vote():
    rows = [("p1", "small", k, q, 0.001) for k, q in enumerate((0.0, 1.0, 1.0))]
    outcomes = pd.DataFrame(rows, columns=["prompt_id", "model", "sample", "quality", "cost_usd"])
    responses = outcomes[["prompt_id", "model", "sample"]].assign(response=["A", "B", "B"])
    found = cascade_outcomes(outcomes, responses, first=["small"] * 3, name="vote")
    assert found[found["model"] == "vote"][["quality", "cost_usd"]].round(6).to_numpy().tolist() == [[1.0, 0.003]]


def test_thresholds_make_options_that_cost_more_the_stricter_they_are():
    outcomes, responses = tables()
    responses["judge"] = [0.9, 0.2, 0.4] * 3
    found = cascade_outcomes(
        outcomes, responses, first="small", then="large", check="judge", threshold=[0.1, 0.5, 1.0], name="j"
    )
    spent = found.groupby("model")["cost_usd"].mean()
    assert spent["j @0.1"] < spent["j @0.5"] <= spent["j @1"]


@pytest.mark.parametrize("kind", ["series", "frame", "function", "checked"])
def test_scores_may_come_in_any_form(kind):
    outcomes, responses = tables()
    score = pd.Series([1.0, 0.0, 0.0], index=["p1", "p2", "p3"])
    check = {
        "series": score,
        "frame": score.to_frame("small"),
        "function": lambda texts: score.loc[texts.index],
        "checked": lambda texts: Checked(score, pd.Series("small", index=texts.index)),
    }[kind]
    found = cascade_outcomes(outcomes, responses, first="small", then="large", check=check, name="one")
    assert [row[1] for row in rows_of(found, "one")] == [0.001, 0.011, 0.011]


def test_an_empty_outcome_of_a_model_leaves_the_option_empty():
    outcomes, responses = tables()
    outcomes.loc[0, "quality"] = np.nan
    found = cascade_outcomes(outcomes, responses, first=["small", "tiny"], then="large", name="two")
    assert np.isnan(rows_of(found, "two")[0][0])


def test_similar_texts_agree():
    texts = pd.DataFrame({"a": ["Simmer it gently."], "b": ["Fry the rice."], "c": ["Simmer it gently."]}, index=["p"])
    found = similarity(texts, rl.LsaEmbedder().fit(["Simmer it gently.", "Fry the rice.", "Boil an egg."]))
    assert found.kept["p"] in ("a", "c")
    assert 0 <= found.score["p"] <= 1


@pytest.mark.parametrize(
    ("extract", "text", "answer"),
    [
        ("choice", "The correct answer is (C).", "C"),
        ("choice", "I don't know", None),
        ("choice", "B\n", "B"),
        ("number", "So 3 + 4 = 7.", "7"),
        ("number", "I count 1,234.50 of them", "2469/2"),
        ("json", 'Sure: {"answer": "[1, 2]"}', "[1,2]"),
        ("json", "no answer", None),
        ("text", "  Paris. ", "paris"),
        ("auto", r"so \boxed{42}", "42"),
        ("auto", "Water boils. " * 40, None),
        ("auto", "", None),
        (str.upper, "yes", "YES"),
    ],
)
def test_answers_are_read(extract, text, answer):
    table = pd.DataFrame({"prompt_id": ["p"], "model": ["m"], "response": [text]})
    found = extract_answers(table, extract).loc["p", "m"]
    assert found == answer if answer is not None else found is None


def test_no_answer_agrees_with_nothing():
    found = agreement(pd.DataFrame({"a": [None, "x"], "b": [None, "x"]}))
    assert found.score.tolist() == [0.0, 1.0]


def test_a_learned_check_scores_every_prompt_by_a_copy_that_has_not_seen_it():
    rng = np.random.default_rng(0)
    index = [f"p{k}" for k in range(300)]
    agree = rng.random(300) < 0.5
    right = (rng.random(300) < np.where(agree, 0.95, 0.1)).astype(float)
    outcomes = pd.concat(
        [
            pd.DataFrame({"prompt_id": index, "model": m, "quality": q, "cost_usd": PRICE[m]})
            for m, q in (("small", right), ("tiny", right), ("large", 1.0))
        ]
    )
    said = {"small": "A", "tiny": np.where(agree, "A", "B")}
    responses = pd.concat([pd.DataFrame({"prompt_id": index, "model": m, "response": r}) for m, r in said.items()])
    X = pd.DataFrame(rng.normal(size=(300, 4)), index=pd.Index(index, name="prompt_id"))
    options = {"first": ["small", "tiny"], "then": "large", "check": LearnedCheck(), "X": X, "threshold": 0.5}
    found = cascade_outcomes(outcomes, responses, **options, name="learned")
    quality, cost = rl.pivot_outcomes(found)
    assert quality["learned"].mean() > 0.95
    assert cost["learned"].mean() < 0.7 * cost["large"].mean() + cost[["small", "tiny"]].mean().sum()


def looped(table: pd.DataFrame) -> pd.DataFrame:
    """A table whose option 'two' says that it goes on with 'outer'."""
    table = table.copy()
    table.attrs = {"options": {"two": table.attrs["options"]["two"] | {"stages": [["tiny"], ["outer"]]}}}
    return table


def broken(what: str) -> dict:
    outcomes, responses = tables()
    call = {"outcomes": outcomes, "responses": responses, "first": ["small", "tiny"], "then": "large"}
    nan, far = pd.Series([np.nan, 1, 1], index=list(SAID)), pd.Series([2.0, 1, 1], index=list(SAID))
    first = cascade_outcomes(outcomes, responses, first=["small", "tiny"], then="large", name="two")
    cheap = first.copy()
    cheap.loc[cheap["model"] == "two", "cost_usd"] = 0.0001
    cheap.attrs = dict(first.attrs)
    return (
        call
        | {
            "missing": {"responses": responses[responses["model"] == "small"]},
            "no responses": {"responses": None},
            "some missing": {"responses": responses[responses["prompt_id"] != "p2"]},
            "other prompts": {"responses": responses.assign(prompt_id="q" + responses["prompt_id"])},
            "numbers": {"responses": responses.assign(prompt_id=range(len(responses)))},
            "then is first": {"then": "tiny"},
            "asked again": {"then": ["mid", "mid"]},
            "cycle": {"outcomes": first, "first": ["mid", "small"], "then": "two", "name": "two"},
            "pays twice": {"outcomes": first, "first": ["mid", "small"], "then": "two"},
            "NaN": {"check": nan},
            "out of range": {"check": far},
            "unscored": {"check": far.iloc[1:]},
            "no such check": {"check": "judge"},
            "no such model": {"then": "giant"},
            "repeated": {"first": ["small", "small"]},
            "alone": {"first": "small", "then": None},
            "alone agrees": {"first": "small"},
            "threshold": {"threshold": 1.5},
            "no thresholds": {"threshold": []},
            "threshold in words": {"threshold": "a"},
            "no threshold": {"threshold": None},
            "thresholds in words": {"threshold": [0.5, "0.7"]},
            "pivoted": {"outcomes": rl.pivot_outcomes(outcomes)},
            "first is a number": {"first": 3},
            "no fee": {"check_cost": None},
            "extract": {"extract": "letters"},
            "cheaper than its parts": {"outcomes": cheap, "first": ["mid", "tiny"], "name": "other"},
            "same name": {"outcomes": first, "name": "two"},
            "no embedding": {"check": LearnedCheck(), "X": pd.DataFrame({"x": [1.0]}, index=["p1"])},
            "empty first": {"first": []},
            "fee": {"check_cost": -0.1},
            "no such fee": {"check_cost": "judge_usd"},
            "empty fee": {"responses": responses.assign(fee=np.nan), "check_cost": "fee"},
            "text score": {"responses": responses.assign(judge="good"), "check": "judge"},
            "returns NaN": {"check": lambda texts: nan.loc[texts.index]},
            "returns too much": {"check": lambda texts: far.loc[texts.index]},
            "returns too few": {"check": lambda texts: far.iloc[1:]},
            "checked NaN": {"check": lambda texts: Checked(nan, pd.Series("small", index=texts.index))},
            "longer cycle": {"outcomes": looped(first), "first": ["mid", "small"], "then": "two", "name": "outer"},
        }[what]
    )


@pytest.mark.parametrize(
    ("what", "says"),
    [
        ("missing", r"no rows of 'tiny'.*Add what"),
        ("no responses", r"'responses': is missing.*Pass the responses"),
        ("some missing", r"no response of 'small', 'tiny' for 1 prompts: 'p2'.*Add what"),
        ("other prompts", r"no response of 'small', 'tiny' for 3 prompts.*select the prompts"),
        ("numbers", r"no response"),
        ("then is first", r"'then': 'tiny' is among those asked before.*Name a model"),
        ("asked again", r"'then': 'mid' is among those asked before"),
        ("cycle", r"option 'two' leads to itself.*another"),
        ("pays twice", r"asks 'small' again.*Pass its stages"),
        ("NaN", r"'check': is nan at prompt_id 'p1', expected a score in \[0, 1\]"),
        ("out of range", r"'check': is 2.0 at prompt_id 'p1'.*Rescale"),
        ("unscored", r"'check': has no score of prompt_id 'p1'"),
        ("no such check", r"neither 'agreement' nor a column of the responses"),
        ("no such model", r"no rows of 'giant'; there are"),
        ("repeated", r"no rows of 'small#2'.*column 'sample'"),
        ("alone", r"alone, and 'then' is missing"),
        ("alone agrees", r"'small' alone can't agree.*Ask two"),
        ("threshold", r"'threshold': got 1.5, expected 1 in \[0, 1\]"),
        ("no thresholds", r"'threshold': is empty"),
        ("threshold in words", r"'threshold': got 'a', expected 1 in \[0, 1\]"),
        ("no threshold", r"'threshold': got None"),
        ("thresholds in words", r"'threshold': got '0.7'"),
        ("pivoted", r"'outcomes': got pivoted Outcomes, expected the outcomes table"),
        ("first is a number", r"'first': got 3"),
        ("no fee", r"'check_cost': got None"),
        ("extract", r"'extract': got 'letters'.*Pass e.g."),
        ("cheaper than its parts", r"option 'two': costs 0.0001.*first calls 0.003.*Count every call"),
        ("same name", r"'two' is in the outcomes already"),
        ("no embedding", r"'X': has no embedding of prompt_id 'p2', 'p3'"),
        ("empty first", r"name no model"),
        ("fee", r"'check_cost': is -0.1.*at least 0"),
        ("no such fee", r"'check_cost': got 'judge_usd', expected USD or a column"),
        ("empty fee", r"'check_cost': is nan, nan, nan at prompt_id 'p1'.*0 if it was free"),
        ("text score", r"'check': is 'good', .*expected a score"),
        ("returns NaN", r"'check': is nan at prompt_id 'p1'"),
        ("returns too much", r"'check': is 2.0 at prompt_id 'p1'"),
        ("returns too few", r"'check': has no score of prompt_id 'p1'"),
        ("checked NaN", r"'check': is nan at prompt_id 'p1'"),
        ("longer cycle", r"option 'outer' leads to itself"),
    ],
)
def test_bad_input_is_named_with_a_remedy(what, says):
    with pytest.raises(RouterlabError, match=says):
        cascade_outcomes(**broken(what))


@pytest.mark.parametrize("n", [20, 60])
def test_a_promise_on_too_few_prompts_keeps_the_baseline_and_says_how_many_it_needs(n):
    rng = np.random.default_rng(0)
    right = rng.random(n) < 0.5
    index = [f"p{k}" for k in range(n)]
    rows = [(p, m, float(q or m == "large"), PRICE[m]) for p, q in zip(index, right, strict=True) for m in PRICE]
    outcomes = pd.DataFrame(rows, columns=["prompt_id", "model", "quality", "cost_usd"])
    said = [
        (p, m, "A" if q or m == "small" else "B") for p, q in zip(index, right, strict=True) for m in ("small", "tiny")
    ]
    responses = pd.DataFrame(said, columns=["prompt_id", "model", "response"])
    quality, cost = rl.pivot_outcomes(
        cascade_outcomes(outcomes, responses, first=["small", "tiny"], then="large", name="two")
    )
    options = {name: pd.Series(name, index=quality.index) for name in ("two", "small")}
    promise = rl.promise(options, quality, cost, baseline="large", max_quality_loss=0.01)
    assert promise.keeps_baseline
    assert (promise.choose(options) == "large").all()
    assert promise.n_needed > n
    assert f"{promise.n_needed:,}" in repr(promise)


def test_groups_that_do_not_cover_the_prompts_are_named():
    outcomes, responses = tables()
    groups = pd.Series(["a", "b"], index=["p1", "p2"])
    with pytest.raises(RouterlabError, match="'p3'"):
        cascade_outcomes(
            outcomes,
            responses,
            first=["small", "tiny"],
            then="large",
            check=LearnedCheck(cv=2),
            cv=2,
            groups=groups,
        )
    quality, cost = rl.pivot_outcomes(
        cascade_outcomes(outcomes, responses, first=["small", "tiny"], then="large", name="two")
    )
    with pytest.raises(RouterlabError, match="'p3'"):
        options = {"two": pd.Series("two", index=quality.index)}
        rl.promise(options, quality, cost, baseline="large", max_quality_loss=0.1, groups=groups)
