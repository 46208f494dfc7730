"""OutcomeEmbedder and IntentEmbedder: what they add, what they equal, and what they refuse."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from sklearn.base import clone
from sklearn.linear_model import Ridge, RidgeCV
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.pipeline import make_pipeline

import routerlab as rl
from routerlab.embedding import IntentEmbedder, LsaEmbedder, SentenceEmbedder, _intent_embedder
from routerlab.schema import TableError


def problem(n=600, seed=0):
    """Return embeddings, and two models' quality that depends on one small direction of them."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(n, 20)) * np.r_[0.3, np.ones(19)]
    X = pd.DataFrame(values / np.linalg.norm(values, axis=1, keepdims=True), index=[f"p{i}" for i in range(n)])
    ease = 1 / (1 + np.exp(-30 * X[0]))
    truth = pd.DataFrame({"strong": 0.5 + ease / 2, "weak": ease}, index=X.index)
    return X, truth, (truth > rng.random(truth.shape)).astype(float)


X, TRUTH, QUALITY = problem()
COST = pd.DataFrame({"strong": 0.01, "weak": 0.001}, index=X.index)


def test_neighbours_estimate_quality_better_than_in_the_plain_embedding():
    train, test = X.index[:400], X.index[400:]
    errors = []
    for embedder in (None, rl.OutcomeEmbedder()):
        known, new = X.loc[train], X.loc[test]
        if embedder is not None:
            known, new = embedder.fit_transform(known, QUALITY.loc[train]), embedder.transform(new)
        estimate = KNeighborsRegressor(30, metric="cosine").fit(known, QUALITY.loc[train]).predict(new)
        errors.append(np.square(estimate - TRUTH.loc[test]).mean(axis=None))
    assert errors[1] < 0.6 * errors[0]


@pytest.mark.parametrize("weight", [0.5, 2.0])
def test_similarity_is_a_mean_of_the_embeddings_and_the_angles(weight):
    embedder = rl.OutcomeEmbedder(weight=weight).fit(X, QUALITY)
    Z = embedder.transform(X)
    np.testing.assert_allclose(np.linalg.norm(Z, axis=1), 1, atol=1e-6)
    assert Z.index.equals(X.index) and (Z.dtypes == np.float32).all() and Z.shape == (600, 24)
    expected = RidgeCV(alphas=np.logspace(-2, 3, 11)).fit(X, QUALITY).predict(X)
    spread = np.clip((expected - expected.mean(axis=0)) / expected.std(axis=0), -3, 3)
    angle = np.cos(np.pi / 6 * (spread[0] - spread[1])).mean()
    similarity = (X.iloc[0] @ X.iloc[1] + weight**2 * angle) / (1 + weight**2)
    assert Z.iloc[0] @ Z.iloc[1] == pytest.approx(similarity, abs=1e-4)


def test_a_row_depends_on_itself_and_the_training_prompts_only():
    embedder = rl.OutcomeEmbedder().fit(X.iloc[:400], QUALITY.iloc[:400])
    pd.testing.assert_frame_equal(embedder.transform(X).iloc[[500]], embedder.transform(X.iloc[[500]]), atol=1e-6)
    pd.testing.assert_frame_equal(embedder.transform(1000 * X), embedder.transform(X), atol=1e-5)


def test_quality_is_joined_on_the_index_and_arrays_by_position():
    shuffled = QUALITY.sample(frac=1, random_state=0)
    pd.testing.assert_frame_equal(
        rl.OutcomeEmbedder().fit_transform(X, shuffled), rl.OutcomeEmbedder().fit_transform(X, QUALITY)
    )
    array = rl.OutcomeEmbedder().fit_transform(X.to_numpy(), QUALITY)
    np.testing.assert_allclose(array, rl.OutcomeEmbedder().fit_transform(X, QUALITY), atol=1e-6)


def test_a_model_that_is_always_right_adds_no_column():
    Z = rl.OutcomeEmbedder().fit_transform(X, QUALITY.assign(strong=1.0))
    assert [c for c in Z.columns if "expected" in c] == ["expected_cos_weak", "expected_sin_weak"]


def test_it_works_before_a_router_in_a_pipeline_and_clones():
    model = make_pipeline(clone(rl.OutcomeEmbedder(weight=0.5)), rl.KNNRouter(20))
    model.fit(X, QUALITY, knnrouter__cost=COST)
    assert model.predict(X).index.equals(X.index)
    assert model[0].weight == 0.5


@pytest.mark.parametrize(
    ("features", "quality", "message"),
    [
        (X, QUALITY.iloc[1:], "differ or appear twice: 'p0'"),
        (X.to_numpy(), QUALITY.iloc[1:], "599 rows for 600"),
        (X, QUALITY * 2, "'quality': got"),
        (X, QUALITY.assign(weak=np.nan), "'quality': got"),
        (X, QUALITY * 0, "no model's quality varies"),
        (X, QUALITY.to_numpy(), "expected a DataFrame"),
        (X * np.nan, QUALITY, "NaN"),
    ],
)
def test_what_cannot_be_learned_from(features, quality, message):
    with pytest.raises(rl.TableError, match=message):
        rl.OutcomeEmbedder().fit(features, quality)


def test_another_width_and_bad_weight():
    with pytest.raises(rl.TableError, match="fit saw 20"):
        rl.OutcomeEmbedder().fit(X, QUALITY).transform(X.iloc[:, 1:])
    with pytest.raises(ValueError, match="'weight' parameter of OutcomeEmbedder"):
        rl.OutcomeEmbedder(weight=0).fit(X, QUALITY)


# Intents.


PROMPTS = pd.Series(
    ["Fix my SQL query", "Fix this regex", "Debug the Rust loop", "Poach an egg?", "Boil rice?", "Bake a cake?"] * 4,
    index=[f"p{k}" for k in range(24)],
)
INTENTS = pd.Series((["code"] * 3 + ["cooking"] * 3) * 4, index=PROMPTS.index)
EMBEDDINGS = LsaEmbedder().fit_transform(PROMPTS)


def small() -> IntentEmbedder:
    return IntentEmbedder(LsaEmbedder())


@pytest.mark.parametrize("X", [PROMPTS, EMBEDDINGS], ids=["texts", "embeddings"])
def test_rows_are_unit_float32_and_keep_their_labels(X):
    embedder = small().fit(X, INTENTS)
    rows = embedder.transform(X)
    assert rows.shape == (24, 2) and (rows.dtypes == np.float32).all() and rows.index.equals(PROMPTS.index)
    assert rows.columns.tolist() == embedder.get_feature_names_out().tolist() == ["intent_code", "intent_cooking"]
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-6)
    np.testing.assert_array_equal(rows.idxmax(axis=1).str.removeprefix("intent_"), INTENTS)
    pd.testing.assert_frame_equal(small().fit_transform(X, INTENTS), rows)
    pd.testing.assert_frame_equal(pickle.loads(pickle.dumps(embedder)).transform(X), rows)
    np.testing.assert_allclose(embedder.transform(X.iloc[::-1]).iloc[::-1], rows, atol=1e-5)


def test_it_separates_intents_in_a_pipeline_and_a_grid_search():
    model = make_pipeline(clone(small()), KNeighborsClassifier(3, metric="cosine")).fit(PROMPTS, INTENTS)
    assert model.predict(["Fix the SQL", "Poach two eggs"]).tolist() == ["code", "cooking"]
    search = GridSearchCV(
        model, {"intentembedder__shrinkage": [0.2, 0.8], "intentembedder__opening_weight": [0, 1]}, cv=2
    )
    assert search.fit(PROMPTS, INTENTS).best_score_ > 0.9


def test_intents_in_a_script_without_spaces():
    prompts = ["翻译这句话", "翻译那篇文章", "请翻译", "修复代码", "修复这段代码", "代码有错"] * 4
    model = make_pipeline(small(), KNeighborsClassifier(1, metric="cosine"))
    model.fit(prompts, (["translation"] * 3 + ["code"] * 3) * 4)
    assert model.predict(["翻译文字", "坏代码"]).tolist() == ["translation", "code"]


@pytest.mark.parametrize("weight", ["semantic_weight", "lexical_weight", "opening_weight", "surface_weight"])
def test_a_kind_of_features_is_left_out_by_weight_0(weight):
    part = {"lexical_weight": "words"}.get(weight, weight.removesuffix("_weight"))
    assert part not in small().set_params(**{weight: 0}).fit(PROMPTS, INTENTS).parts_


def test_intents_are_joined_on_the_index():
    shuffled = INTENTS.sample(frac=1, random_state=0)
    pd.testing.assert_frame_equal(small().fit_transform(PROMPTS, shuffled), small().fit_transform(PROMPTS, INTENTS))


@pytest.mark.parametrize("n_features", [10, 60])  # fewer and more than prompts: the primal and the dual solution
def test_the_regression_is_scikit_learns(n_features):
    rng = np.random.default_rng(0)
    features, targets = rng.normal(2, 1, size=(40, n_features)), rng.normal(size=(40, 3))
    spread = ((features - features.mean(axis=0)) ** 2).sum(axis=1).mean()
    expected = Ridge(alpha=spread * 0.2 / 0.8).fit(features, targets).coef_.T
    np.testing.assert_allclose(_intent_embedder._ridge(sp.csr_array(features), targets, 0.2), expected, atol=1e-6)


@pytest.mark.parametrize(
    ("intents", "message"),
    [
        (None, "intents: are missing"),
        (INTENTS.iloc[1:].tolist(), "got 23 for 24 prompts"),
        (INTENTS.iloc[1:], "differ or appear twice: 'p0'"),
        (INTENTS.where(INTENTS.index != "p3"), "empty for 'p3'"),
        (["code"] * 24, "at least two intents"),
    ],
)
@pytest.mark.parametrize("X", [PROMPTS, EMBEDDINGS], ids=["texts", "embeddings"])
def test_bad_intents_are_named(X, intents, message):
    with pytest.raises(TableError, match=message):
        small().fit(X, intents)


@pytest.mark.parametrize(
    "parameters",
    [{"shrinkage": 0}, {"shrinkage": 2}, {"semantic_weight": -1}, {"opening_chars": 0}, {"max_chars": 1.5}],
)
def test_bad_parameters_are_named(parameters):
    with pytest.raises(ValueError, match=f"'{next(iter(parameters))}' parameter of IntentEmbedder must be"):
        small().set_params(**parameters).fit(PROMPTS, INTENTS)


def test_it_must_be_given_what_it_was_fitted_on():
    with pytest.raises(TableError, match="fitted on texts"):
        small().fit(PROMPTS, INTENTS).transform(EMBEDDINGS)
    on_embeddings = small().fit(EMBEDDINGS, INTENTS)
    with pytest.raises(TableError, match="fitted on embeddings"):
        on_embeddings.transform(PROMPTS)
    with pytest.raises(TableError, match="fit saw"):
        on_embeddings.transform(EMBEDDINGS.iloc[:, 1:])


def test_more_prompts_than_it_can_solve_for(monkeypatch):
    monkeypatch.setattr(_intent_embedder, "_LARGEST", 20)
    with pytest.raises(TableError, match=r"at most 20.*prompts.sample\(20"):
        small().fit(PROMPTS, INTENTS)


@pytest.mark.slow
@pytest.mark.realdata
@pytest.mark.filterwarnings("ignore::routerlab.embedding.CutPromptsWarning")
def test_it_beats_plain_minilm_by_15_points_on_auto_j(published_data):
    """Two of the five folds of benchmarks/embedding.py, everything refitted on the training folds."""
    from routerlab.datasets import fetch_auto_j

    prompts = fetch_auto_j("intents").prompts
    plain = SentenceEmbedder().fit_transform(prompts["prompt"])
    right = np.zeros(2)
    folds = list(StratifiedKFold(5, shuffle=True, random_state=0).split(prompts, prompts["intent"]))[:2]
    for train, test in folds:
        y, truth = prompts["intent"].iloc[train], prompts["intent"].iloc[test]
        learned = IntentEmbedder().fit(prompts["prompt"].iloc[train], y)
        pairs = [(plain.iloc[train], plain.iloc[test])]
        pairs.append(tuple(learned.transform(prompts["prompt"].iloc[rows]) for rows in (train, test)))
        for k, (a, b) in enumerate(pairs):
            right[k] += (KNeighborsClassifier(20, weights="distance").fit(a, y).predict(b) == truth).sum()
    n = sum(len(test) for _, test in folds)
    assert (right[1] - right[0]) / n >= 0.15, right / n
