"""The mean of several routers."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import RidgeCV
from sklearn.pipeline import make_pipeline

import routerlab as rl
from routerlab.schema import TableError


def world(n: int = 80) -> tuple[pd.Series, pd.DataFrame, pd.DataFrame]:
    rng = np.random.default_rng(0)
    index = pd.Index([f"p{k}" for k in range(n)], name="prompt_id")
    words = rng.choice(["egg", "rice", "SQL", "Python", "poem", "sum"], size=(n, 4))
    prompts = pd.Series([f"Tell me about {' '.join(row)} {k}" for k, row in enumerate(words)], index=index)
    quality = pd.DataFrame({"small": rng.random(n), "large": 1.0}, index=index)
    return prompts, quality, pd.DataFrame({"small": 0.001, "large": 0.01}, index=index)


def members() -> list:
    return [
        make_pipeline(rl.LsaEmbedder(), rl.OutcomeEmbedder(), rl.KNNRouter(9)),
        make_pipeline(rl.SurfaceFeatures(), rl.Router(RidgeCV([1.0, 10.0]))),
    ]


def test_the_mean_is_that_of_its_members_estimates_each_on_its_own_embedding():
    prompts, quality, cost = world()
    folds = [(np.arange(40), np.arange(40, 80)), (np.arange(40, 80), np.arange(40))]
    alone = [rl.cross_estimates(m, prompts, quality, cost, cv=folds) for m in members()]
    together = rl.cross_estimates(rl.MeanRouter(members()), prompts, quality, cost, cv=folds)
    for part in ("quality", "cost"):
        expected = sum(getattr(e, part) for e in alone) / 2
        pd.testing.assert_frame_equal(getattr(together, part), expected, check_names=False)


def test_it_sweeps_keeps_a_baseline_and_sends_far_prompts_to_the_fallback():
    prompts, quality, cost = world()
    router = rl.MeanRouter(members()).fit(prompts, quality, cost=cost)
    assert rl.frontier(router.sweep(prompts), quality, cost)["cost_usd"].is_monotonic_decreasing
    kept = rl.set_operating_point(
        router, prompts, quality, cost, baseline="large", max_quality_loss=0.0, guarantee=0.95
    )
    assert (kept.predict(prompts) == "large").all()
    X = pd.DataFrame(np.eye(80, dtype=np.float32), index=quality.index)
    far = rl.MeanRouter([rl.KNNRouter(3, min_similarity=2.0, fallback="large")], fallback="large")
    assert far.fit(X, quality, cost=cost).predict(X).attrs["n_abstained"] == 80


@pytest.mark.parametrize("routers", [[], "knn", None])
def test_members_are_needed(routers):
    _, quality, cost = world()
    with pytest.raises(TableError, match="'routers'.*Pass a list"):
        rl.MeanRouter(routers).fit(np.eye(80), quality, cost=cost)
