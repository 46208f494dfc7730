"""IntentEmbedder: what it must beat, and what it refuses."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.model_selection import StratifiedKFold
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline

from routerlab.embedding import IntentEmbedder, LsaEmbedder, SentenceEmbedder
from routerlab.schema import TableError

PROMPTS = pd.Series(
    ["Fix my SQL query", "Fix this regex", "Debug the Rust loop", "Poach an egg?", "Boil rice?", "Bake a cake?"] * 4,
    index=[f"p{k}" for k in range(24)],
)
INTENTS = pd.Series((["code"] * 3 + ["cooking"] * 3) * 4, index=PROMPTS.index)


def small() -> IntentEmbedder:
    return IntentEmbedder(LsaEmbedder(), surface_weight=0)


def test_rows_are_unit_float32_and_keep_their_labels():
    X = small().fit_transform(PROMPTS, INTENTS)
    assert X.shape == (24, 1) and (X.dtypes == np.float32).all() and X.index.equals(PROMPTS.index)
    np.testing.assert_allclose(np.linalg.norm(X, axis=1), 1, atol=1e-6)


def test_it_separates_intents_in_a_pipeline_and_clones():
    model = make_pipeline(clone(small()), KNeighborsClassifier(3)).fit(PROMPTS, INTENTS)
    assert model.predict(["Fix the SQL", "Poach two eggs"]).tolist() == ["code", "cooking"]
    again = small().fit(PROMPTS, INTENTS).transform(PROMPTS)
    pd.testing.assert_frame_equal(again, small().fit_transform(PROMPTS, INTENTS))


def test_intents_are_joined_on_the_index():
    shuffled = INTENTS.sample(frac=1, random_state=0)
    pd.testing.assert_frame_equal(small().fit_transform(PROMPTS, shuffled), small().fit_transform(PROMPTS, INTENTS))


@pytest.mark.parametrize(
    ("intents", "message"),
    [
        (None, "intents: are missing"),
        (INTENTS.iloc[1:].tolist(), "shape .23,. for 24 prompts"),
        (INTENTS.where(INTENTS.index != "p3"), "empty for 'p3'"),
        (["code"] * 24, "at least two intents"),
    ],
)
def test_bad_intents_are_named(intents, message):
    with pytest.raises(TableError, match=message):
        small().fit(PROMPTS, intents)


def test_shrinkage_out_of_range():
    with pytest.raises(ValueError, match="'shrinkage' parameter"):
        IntentEmbedder(LsaEmbedder(), shrinkage=2).fit(PROMPTS, INTENTS)


@pytest.mark.slow
@pytest.mark.realdata
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
