"""Judgments leave for other tools, and come back the same."""

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings, strategies as st

from routerlab.labeling import (
    from_arena,
    from_evalica,
    from_llm_comparator,
    read_jsonl,
    to_arena,
    to_evalica,
    to_llm_comparator,
    write_jsonl,
)
from routerlab.schema import WINNERS, DroppedRowsWarning, TableError, check_judgments

KEY = ["prompt_id", "model_a", "model_b", "winner"]
texts = st.text(min_size=1, max_size=8)  # lone surrogates, controls, line separators and all


@st.composite
def judgments(draw):
    """Judgments of any two models on any prompts, with notes and times."""
    pair = st.sampled_from([("x", "y"), ("y", "x"), ("x", "ü"), ("ü", "y")])
    row = st.tuples(texts, pair, st.sampled_from(WINNERS), st.none() | texts)
    rows = draw(st.lists(row, min_size=1, max_size=12))
    frame = pd.DataFrame([(prompt, *pair, winner, note) for prompt, pair, winner, note in rows], columns=[*KEY, "note"])
    frame["judge"] = "ana"
    frame["judged_at"] = pd.Timestamp("2026-01-01T12:00:00.123Z") + pd.to_timedelta(np.arange(len(frame)), unit="s")
    return frame


@settings(max_examples=40, deadline=None)
@given(judgments())
def test_jsonl_comes_back(tmp_path_factory, votes):
    path = tmp_path_factory.mktemp("jsonl") / "votes.jsonl"
    write_jsonl(votes, path)
    back = read_jsonl(path)
    assert len(path.read_bytes().split(b"\n")) == len(votes) + 1
    assert back[[*KEY, "judge"]].equals(votes[[*KEY, "judge"]])
    assert back["judged_at"].tolist() == votes["judged_at"].tolist()
    notes = back["note"] if "note" in back else pd.Series([None] * len(back))
    assert [None if pd.isna(n) else n for n in notes] == [None if pd.isna(n) else n for n in votes["note"]]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"prompt_id": 1}\n', "'model_a', 'model_b', 'winner' are missing"),
        ('{"prompt_id": 1, "model_a": "x", "model_b": "y", "winner": "tie"}\nnot json\n', "line 2.*is not JSON"),
        ("[1, 2]\n", "line 1.*not a JSON object"),
        ('{"prompt_id": 1, "model_a": "x", "model_b": "y", "winner": "draw"}\n', "got 'draw'"),
    ],
)
def test_bad_jsonl_is_named(tmp_path, content, message):
    path = tmp_path / "votes.jsonl"
    path.write_text(content)
    with pytest.raises(TableError, match=message):
        read_jsonl(path)


def test_an_empty_file_holds_no_judgments(tmp_path):
    (tmp_path / "empty.jsonl").touch()
    assert len(read_jsonl(tmp_path / "empty.jsonl")) == 0
    write_jsonl(check_judgments(pd.DataFrame(columns=KEY)), tmp_path / "none.jsonl")
    assert (tmp_path / "none.jsonl").read_bytes() == b""


@settings(max_examples=40, deadline=None)
@given(judgments())
def test_evalica_and_arena_columns_come_back(votes):
    decided = votes.assign(winner=votes["winner"].replace("both_bad", "tie"))
    assert from_evalica(to_evalica(votes))[KEY].equals(decided[KEY])
    assert from_arena(to_arena(votes))[KEY].equals(votes[KEY])


def test_evalica_itself_reads_our_columns(tmp_path):
    from evalica import Winner, bradley_terry
    from evalica.__main__ import read_csv

    rows = [(k, *("xy" if k % 2 else "yx"), WINNERS[k % 3]) for k in range(12)]
    votes = pd.DataFrame(rows, columns=KEY)
    to_evalica(votes).to_csv(tmp_path / "votes.csv", index=False)
    with (tmp_path / "votes.csv").open() as handle:
        left, right, winners = read_csv(handle)
    assert (left, right) == (votes["model_a"].tolist(), votes["model_b"].tolist())
    codes = {"model_a": Winner.X, "model_b": Winner.Y, "tie": Winner.Draw}
    assert winners == [codes[w] for w in votes["winner"]]
    assert set(bradley_terry(left, right, winners).scores.index) == {"x", "y"}


def test_arena_files_of_other_years():
    old = pd.DataFrame({"question_id": ["q1"], "model_a": ["x"], "model_b": ["y"], "winner": ["tie (bothbad)"]})
    assert from_arena(old)[KEY].to_numpy().tolist() == [["q1", "x", "y", "both_bad"]]
    assert from_arena(old.drop(columns="question_id"))["prompt_id"].tolist() == ["row 0"]
    with pytest.raises(TableError, match="got 'maybe'"):
        from_arena(old.assign(winner="maybe"))
    with pytest.raises(TableError, match="'winner' is missing"):
        from_arena(old.drop(columns="winner"))


def tables(n=4):
    prompts = pd.DataFrame({"prompt": [f"question {k}" for k in range(n)], "intent": ["a", None, "b", "b"][:n]})
    prompts.index = pd.Index([f"p{k}" for k in range(n)], name="prompt_id")
    rows = [(f"p{k}", model, f"{model} says {k}") for k in range(n) for model in ("x", "y", "z")]
    return prompts, pd.DataFrame(rows, columns=["prompt_id", "model", "response"])


def test_llm_comparator_round_trip(tmp_path):
    prompts, responses = tables()
    rows = [
        ("p0", "x", "y", "model_a", "ana", "clear"),
        ("p0", "y", "x", "model_a", "bob", None),
        ("p1", "y", "x", "both_bad", "ana", None),
        ("p2", "x", "y", "tie", "ana", "close"),
        ("p3", "x", "z", "model_a", "ana", None),
    ]
    votes = pd.DataFrame(rows, columns=[*KEY, "judge", "note"])
    data = to_llm_comparator(votes, responses, prompts, model_a="x", model_b="y")
    assert [example["score"] for example in data["examples"]] == [0, 0, 0]
    assert [r["score"] for r in data["examples"][0]["individual_rater_scores"]] == [1, -1]
    assert [r["rating_label"] for r in data["examples"][0]["individual_rater_scores"]] == ["A is better"] * 2
    assert data["examples"][0]["output_text_a"] == "x says 0"
    assert [example["tags"] for example in data["examples"]] == [["a"], [], ["b"]]
    (tmp_path / "data.json").write_text(json.dumps(data))
    back = from_llm_comparator(tmp_path / "data.json")
    assert back.judgments[[*KEY, "judge"]].to_numpy().tolist() == votes[[*KEY, "judge"]][:4].to_numpy().tolist()
    assert back.judgments["note"].fillna("").tolist() == ["clear", "", "", "close"]
    assert back.prompts["prompt"].tolist() == ["question 0", "question 1", "question 2"]
    kept = responses[responses["model"].isin(["x", "y"]) & (responses["prompt_id"] != "p3")]
    assert back.responses.to_numpy().tolist() == kept.to_numpy().tolist()


def test_llm_comparator_files_of_others():
    """Scores only, as in their minimal example: the sign says who is better."""
    texts = {"input_text": "?", "output_text_a": "1", "output_text_b": "2"}
    examples = [texts | {"tags": [], "score": s, "individual_rater_scores": []} for s in (0.5, -1.25, 0.0, None)]
    rating = {"score": -1.5, "is_flipped": True, "rationale": "B is right"}
    examples.append(texts | {"score": 0.1, "individual_rater_scores": [rating]})
    data = {"metadata": {}, "models": [{"name": "x"}, {"name": "y"}], "examples": examples}
    with pytest.warns(DroppedRowsWarning, match="left out 1 of 5 ratings"):
        judged = from_llm_comparator(data).judgments
    assert judged.attrs["n_left_out"] == 1
    assert judged[["model_a", "winner"]].to_numpy().tolist() == [
        ["x", "model_a"], ["x", "model_b"], ["x", "tie"], ["y", "model_a"],
    ]  # fmt: skip
    del examples[3]
    assert from_llm_comparator(data, tie_within=0.5).judgments["winner"].tolist() == [
        "tie", "model_b", "tie", "model_a",
    ]  # fmt: skip


def rated(metadata=None, **rating):
    texts = {"input_text": "?", "output_text_a": "1", "output_text_b": "2", "tags": [], "score": None}
    example = texts | {"individual_rater_scores": [{"is_flipped": False, "rationale": "r"} | rating]}
    models = [{"name": "first"}, {"name": "second"}]
    return {"metadata": metadata or {}, "models": models, "examples": [example]}


# rating as llm-comparator's own runner writes it (the label as shown, the score about the models as listed): shown
# first, winner
RATINGS = [
    ({"is_flipped": False, "rating_label": "A is much better", "score": 1.5}, "first", "first"),
    ({"is_flipped": False, "rating_label": "B is slightly better", "score": -0.5}, "first", "second"),
    ({"is_flipped": True, "rating_label": "A is better", "score": -1.0}, "second", "second"),
    ({"is_flipped": True, "rating_label": "A is much better", "score": -1.5}, "second", "second"),
    ({"is_flipped": True, "rating_label": "B is better", "score": 1.0}, "second", "first"),
    ({"is_flipped": True, "rating_label": "same", "score": 0.0}, "second", "tie"),
    ({"is_flipped": True, "rating_label": "B is better", "score": None}, "second", "first"),
    ({"is_flipped": True, "rating_label": "SlightlyBetterThan"}, "second", "second"),
    ({"is_flipped": False, "rating_label": "MuchWorseThan"}, "first", "second"),
    ({"is_flipped": True, "rating_label": "SameAs"}, "second", "tie"),
    ({"is_flipped": True, "score": 0.25}, "second", "first"),
    ({"is_flipped": True, "rating_label": "ours, unknown", "score": -0.25}, "second", "second"),
    ({"is_flipped": None, "rating_label": "A is better", "score": -1.0}, "first", "second"),
]


@pytest.mark.parametrize(("rating", "left", "winner"), RATINGS, ids=range(len(RATINGS)))
def test_a_flipped_rating_names_the_model_that_won(rating, left, winner):
    row = from_llm_comparator(rated(**rating)).judgments.iloc[0]
    assert row["model_a"] == left
    assert row.get(row["winner"], row["winner"]) == winner


def test_files_that_0_1_0_wrote_are_read_as_they_were_meant():
    """Their labels were about the models as listed, flipped or not."""
    rating = {"is_flipped": True, "rating_label": "A is better", "score": 1.0}
    row = from_llm_comparator(rated({"source_path": "routerlab"}, **rating)).judgments.iloc[0]
    assert (row["model_a"], row["winner"]) == ("second", "model_b")


@pytest.mark.parametrize(
    ("rating", "message"),
    [
        ({"is_flipped": True, "rating_label": "A is better", "score": 1.0}, "example 0, rating 0: .*another winner"),
        ({"rating_label": "B is better", "score": 0.5}, "another winner"),
        ({"rating_label": "same", "score": 0.5}, "another winner"),
        ({"score": "1.0"}, "'score': is '1.0', expected a number"),
        ({"score": float("nan")}, "'score'"),
        ({"score": True}, "'score'"),
        ({"is_flipped": "yes", "score": 1}, "'is_flipped': is 'yes'"),
    ],
)
def test_a_rating_that_says_two_things_is_refused_by_name(rating, message):
    with pytest.raises(TableError, match=message):
        from_llm_comparator(rated(**rating))


def test_a_label_without_a_score_or_a_side_is_left_out_and_counted():
    with pytest.warns(DroppedRowsWarning, match="left out 1 of 1"):
        assert not len(from_llm_comparator(rated(is_flipped=None, rating_label="A is better")).judgments)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({}, "no list of two 'models'"),
        ({"models": [{"name": "x"}], "examples": []}, "no list of two 'models'"),
        ({"models": [{"name": "x"}, {}], "examples": []}, "model without a name"),
        ({"models": [{"name": "x"}, {"name": "y"}], "examples": [{"input_text": "?"}]}, "example 0.*output_text_a"),
        ({"models": [{"name": "x"}, {"name": "y"}], "examples": ["?"]}, "example 0"),
        ([1], "no list of two 'models'"),
    ],
)
def test_bad_llm_comparator_files_are_refused(tmp_path, data, message):
    (tmp_path / "data.json").write_text(json.dumps(data))
    with pytest.raises(TableError, match=message):
        from_llm_comparator(tmp_path / "data.json")


def test_an_export_that_lacks_a_response_is_refused():
    prompts, responses = tables()
    votes = pd.DataFrame([("p0", "x", "y", "tie")], columns=KEY)
    with pytest.raises(TableError, match=r"no text for \('p0', 'y'\)"):
        to_llm_comparator(votes, responses[responses["model"] != "y"], prompts, model_a="x", model_b="y")
    with pytest.raises(TableError, match="holds none on 'x' and 'w'"):
        to_llm_comparator(votes, responses, prompts, model_a="x", model_b="w")
