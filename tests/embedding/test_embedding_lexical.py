"""SurfaceFeatures, LsaEmbedder and join_embeddings."""

import pickle
import time

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings, strategies as st
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import FeatureUnion, make_pipeline

from routerlab.embedding import LsaEmbedder, SurfaceFeatures, join_embeddings
from routerlab.embedding._lexical import FEATURES
from routerlab.schema import TableError

EGGS = ["How do I poach an egg?", "Poach two eggs for me", "Boil an egg until it is soft", "Fry eggs and bacon"]
CODE = ["Fix this SQL query: SELECT * FROM t", "Write a SQL query", "Explain this Python code", "Write Python code"]
PROMPTS = pd.Series(EGGS + CODE, index=pd.Index([f"p{i}" for i in range(8)], name="prompt_id"))
TOPIC = pd.Series(["eggs"] * 4 + ["code"] * 4, index=PROMPTS.index)
EMBEDDERS = [SurfaceFeatures(), LsaEmbedder()]


def ids(value):
    return type(value).__name__


@pytest.mark.parametrize("embedder", EMBEDDERS, ids=ids)
def test_frame_contract(embedder):
    fitted = clone(embedder).fit(PROMPTS)
    X = fitted.transform(PROMPTS)
    assert X.index.equals(PROMPTS.index)
    assert X.columns.tolist() == fitted.get_feature_names_out().tolist()
    assert (X.dtypes == np.float32).all()
    np.testing.assert_allclose(np.linalg.norm(X, axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(clone(embedder).fit_transform(PROMPTS), X, atol=2e-6)
    pd.testing.assert_frame_equal(pickle.loads(pickle.dumps(fitted)).transform(PROMPTS), X)
    shuffled = PROMPTS.sample(frac=1, random_state=0)
    np.testing.assert_allclose(fitted.transform(shuffled).loc[PROMPTS.index], X, atol=1e-6)


@pytest.mark.parametrize("embedder", EMBEDDERS, ids=ids)
def test_pipeline_and_grid_search(embedder):
    pipeline = make_pipeline(clone(embedder), KNeighborsClassifier(1, metric="cosine"))
    assert pipeline.fit(PROMPTS, TOPIC).score(PROMPTS, TOPIC) == 1.0
    search = GridSearchCV(pipeline, {"kneighborsclassifier__n_neighbors": [1, 2]}, cv=2).fit(PROMPTS, TOPIC)
    assert np.isfinite(search.best_score_)


@pytest.mark.parametrize("embedder", EMBEDDERS, ids=ids)
@settings(max_examples=30, deadline=None)
@given(texts=st.lists(st.text(st.characters(codec="utf-8"), min_size=1).filter(str.strip), min_size=1, max_size=8))
def test_any_text_gives_finite_rows(embedder, texts):
    X = clone(embedder).fit(PROMPTS).transform(texts)
    lengths = np.linalg.norm(X, axis=1)
    assert np.isfinite(X.to_numpy()).all()
    assert np.all((np.abs(lengths - 1) < 1e-5) | (lengths == 0))


@pytest.mark.parametrize("embedder", EMBEDDERS, ids=ids)
def test_bad_prompts_are_named(embedder):
    with pytest.raises(TableError, match="'p2'"):
        clone(embedder).fit(pd.Series(["fine", " "], index=["p1", "p2"]))
    with pytest.raises(TableError, match="'p2'"):
        clone(embedder).fit(PROMPTS).transform(pd.Series(["fine", 3], index=["p1", "p2"]))


@pytest.mark.parametrize(
    "embedder", [SurfaceFeatures(limit=0), LsaEmbedder(0), LsaEmbedder(min_df=0), LsaEmbedder(max_chars=1.5)]
)
def test_bad_parameters_are_named(embedder):
    with pytest.raises(ValueError, match=r"parameter of (SurfaceFeatures|LsaEmbedder) must be"):
        embedder.fit(PROMPTS)


# Surface


@pytest.mark.parametrize(
    ("more", "less", "feature"),
    [
        ("a b c d e f", "a b", "words"),
        ("one\ntwo\nthree", "one two three", "lines"),
        ("One. Two! Three?", "One, two, three", "sentences"),
        ("in 1999 and 2001", "in spring", "numbers"),
        ("STOP now", "stop now", "uppercase"),
        ("the NATO and EU", "the alliance", "acronyms"),
        ("Why?", "Because", "questions"),
        ("Yes, but why?", "Why? Tell me.", "ends_with_question"),
        ("What is it", "It is what", "starts_with_question"),
        ("Pick\nA. red\nB) blue\n(c) green", "Pick red or blue", "options"),
        ("- one\n- two\n3. three", "one, two, three", "list_items"),
        ("The sky is __.", "The sky is blue.", "blanks"),
        ("It isn't so, not ever", "It is so", "negations"),
        ("for (;;) { x = f(); }", "loop over x", "code"),
        ("2 + 2 = x^2", "two and two", "mathematics"),
        ("see https://a.org or me@a.org", "see that page", "links"),
        ("naïve café", "naive cafe", "not_ascii"),
        ("翻译这句话", "translate this", "cjk"),
        ("переведи это", "translate this", "other_scripts"),
        ("uncharacteristically", "a b c", "word_length"),
        ("a b c d", "a a a a", "distinct_words"),
    ],
)
def test_each_feature_sees_what_its_name_says(more, less, feature):
    assert FEATURES[feature](more) > FEATURES[feature](less)


def test_a_feature_that_never_varies_adds_nothing():
    X = SurfaceFeatures().fit_transform(["abc", "abcdef"])
    assert (X["links"] == 0).all()


def test_features_are_standardised_on_the_training_prompts_and_cut():
    surface = SurfaceFeatures().fit(PROMPTS)
    one, two = surface.transform(["x" * 10_000]), SurfaceFeatures(limit=1e6).fit(PROMPTS).transform(["x" * 10_000])
    assert one["characters"].iloc[0] == one["word_length"].iloc[0] == one.max(axis=None)  # both at the limit
    assert two["characters"].iloc[0] < two["word_length"].iloc[0]


@pytest.mark.parametrize(
    "unit", ["?", ".", "\n", " \n", "a@", "9", "1,", "A", "_", ";", "; ", "-", "'", "(", "é", "```", "= "]
)
def test_time_is_linear_in_the_length_whatever_is_repeated(unit):
    text = "x" + unit * (200_000 // len(unit)) + "x"
    start = time.perf_counter()
    for feature in FEATURES.values():
        feature(text)
    assert time.perf_counter() - start < 5  # a quadratic pattern takes minutes


# LSA


def test_lsa_sees_shared_wording():
    X = LsaEmbedder().fit_transform(PROMPTS)
    similarity = X.to_numpy() @ X.to_numpy().T
    same = np.equal.outer(TOPIC.to_numpy(), TOPIC.to_numpy()) & ~np.eye(8, dtype=bool)
    assert similarity[same].mean() > similarity[~same & ~np.eye(8, dtype=bool)].mean() + 0.1


@pytest.mark.parametrize(("wanted", "n_prompts", "expected"), [(256, 8, 7), (3, 8, 3), (256, 2, 1)])
def test_lsa_width_on_small_corpora(wanted, n_prompts, expected):
    embedder = LsaEmbedder(wanted).fit(PROMPTS[:n_prompts])
    assert embedder.n_components_ == expected
    assert embedder.transform(PROMPTS).shape == (8, expected)


def test_lsa_on_too_little():
    with pytest.raises(TableError, match="at least 2"):
        LsaEmbedder().fit(["one"])
    np.testing.assert_allclose(np.abs(LsaEmbedder().fit_transform(["a", "a"])), 1)


def test_lsa_prompt_like_nothing_known_is_zero():
    X = LsaEmbedder().fit(EGGS).transform(["卵", "egg"])
    assert (X.iloc[0] == 0).all()
    assert np.linalg.norm(X.iloc[1]) == pytest.approx(1, abs=1e-6)


def test_lsa_reads_both_ends_of_a_long_prompt():
    embedder = LsaEmbedder(max_chars=100).fit(PROMPTS)
    filler = "z" * 5000
    start, end, both = embedder.transform([f"poach an egg {filler}", f"{filler} SQL query", "z"]).to_numpy()
    assert start @ embedder.transform(["poach an egg"]).to_numpy()[0] > 0.5
    assert end @ embedder.transform(["SQL query"]).to_numpy()[0] > 0.5


# Joining


def frame(rows, columns, index=("p", "q")):
    return pd.DataFrame(np.asarray(rows, dtype=np.float32), index=list(index), columns=list(columns))


def test_joined_cosine_is_the_mean_of_the_parts_weighted_by_squares():
    rng = np.random.default_rng(0)
    unit = lambda a: a / np.linalg.norm(a, axis=1, keepdims=True)  # noqa: E731
    a, b = frame(unit(rng.normal(size=(2, 3))), "abc"), frame(unit(rng.normal(size=(2, 2))), "xy")
    joined = join_embeddings(a, b.iloc[::-1], weights=[1, 0.5])
    assert joined.index.tolist() == ["p", "q"]
    expected = (a.loc["p"] @ a.loc["q"] + 0.25 * (b.loc["p"] @ b.loc["q"])) / 1.25
    assert joined.loc["p"] @ joined.loc["q"] == pytest.approx(expected, abs=1e-6)
    np.testing.assert_allclose(np.linalg.norm(joined, axis=1), 1, atol=1e-6)


@pytest.mark.parametrize(
    ("frames", "weights", "message"),
    [
        ([], None, "weights"),
        ([frame([[1], [1]], "a")], [1, 2], "weights"),
        ([frame([[1], [1]], "a"), frame([[1], [1]], "b")], [1, -1], "weights"),
        ([frame([[1], [1]], "a"), frame([[1], [1]], "b", ["p", "z"])], None, "'q', 'z'"),
        ([frame([[1], [1]], "a"), frame([[1], [1]], "b", ["p", "p"])], None, "twice"),
        ([frame([[1], [1]], "a"), frame([[1], [1]], "a")], None, "column 'a'"),
        ([frame([[1], [np.nan]], "a")], None, "NaN"),
    ],
)
def test_frames_that_do_not_join(frames, weights, message):
    with pytest.raises(TableError, match=message):
        join_embeddings(*frames, weights=weights)


def test_feature_union_joins_within_a_pipeline_as_join_embeddings_does():
    parts = [("lexical", LsaEmbedder()), ("surface", SurfaceFeatures())]
    union = FeatureUnion(parts, transformer_weights={"surface": 0.5}).set_output(transform="pandas")
    X = union.fit_transform(PROMPTS)
    assert X.index.equals(PROMPTS.index)
    joined = join_embeddings(
        LsaEmbedder().fit_transform(PROMPTS), SurfaceFeatures().fit_transform(PROMPTS), weights=[1, 0.5]
    )
    np.testing.assert_allclose(X / np.sqrt(1.25), joined, atol=1e-5)
    assert make_pipeline(union, KNeighborsClassifier(1, metric="cosine")).fit(PROMPTS, TOPIC).score(PROMPTS, TOPIC) == 1
