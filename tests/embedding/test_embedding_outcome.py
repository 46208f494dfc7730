"""OutcomeEmbedder: what it adds, and what it refuses."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.linear_model import RidgeCV
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline

import routerlab as rl


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
