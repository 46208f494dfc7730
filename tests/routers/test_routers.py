"""Routers: peers' formulas, invariances, scikit-learn's contracts, saving, bad input."""

import errno
import json
import math
import os
import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings, strategies as st
from sklearn.base import BaseEstimator, clone
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer

import routerlab as rl
from routerlab.decision import decide, estimates_of
from routerlab.neighbors import nearest
from routerlab.routers import _knn, _similarity
from routerlab.routers._similarity import split_tiers
from routerlab.schema import unit_rows


def problem(n=120, m=3, d=8, seed=0):
    rng = np.random.default_rng(seed)
    index = pd.Index([f"p{k}" for k in range(n)], name="prompt_id")
    models = [f"m{k}" for k in range(m)]
    X = pd.DataFrame(rng.normal(size=(n, d)).astype(np.float32), index)
    quality = pd.DataFrame(rng.integers(0, 2, size=(n, m)).astype(float), index, models)
    cost = pd.DataFrame(rng.lognormal(-6, 1, size=(n, m)) * np.arange(1, m + 1), index, models)
    intents = pd.Series(rng.choice(["chat", "code", "maths"], size=n), index, name="intent")
    return X, quality, cost, intents


def votes_on(X, models, n=400, seed=0):
    rng = np.random.default_rng(seed)
    pair = np.array([rng.choice(models, size=2, replace=False) for _ in range(n)])
    winner = rng.choice(["model_a", "model_b", "tie", "both_bad"], p=[0.4, 0.35, 0.2, 0.05], size=n)
    prompt = rng.choice(X.index, size=n)
    return pd.DataFrame({"prompt_id": prompt, "model_a": pair[:, 0], "model_b": pair[:, 1], "winner": winner})


def fitted(seed=0):
    X, quality, cost, intents = problem(seed=seed)
    yield rl.KNNRouter(7).fit(X, quality, cost=cost)
    yield rl.IntentRouter(7).fit(X, intents, quality=quality, cost=cost)
    yield rl.SimilarityWeightedRouter(None).fit(X, votes_on(X, list(quality)), cost=cost)
    yield rl.Router(Ridge()).fit(X, quality, cost=cost)


def test_neighbours_equal_sorting_all_similarities():
    rng = np.random.default_rng(0)
    train, queries = (unit_rows(rng.normal(size=(n, 5)).astype(np.float32)) for n in (300, 40))
    similarity, index = nearest(queries, train, 12)
    full = queries @ train.T
    np.testing.assert_allclose(similarity, -np.sort(-full, axis=1)[:, :12], rtol=1e-5)
    np.testing.assert_allclose(np.take_along_axis(full, index, axis=1), similarity, rtol=1e-5)


def test_knn_equals_scikit_learns_regressor_on_unit_vectors():
    X, quality, cost, _ = problem()
    router = rl.KNNRouter(9).fit(X, quality, cost=cost)
    reference = KNeighborsRegressor(9).fit(unit_rows(X.to_numpy()), np.hstack([quality, cost]))
    queries = np.random.default_rng(1).normal(size=(30, 8)).astype(np.float32)
    expected = reference.predict(unit_rows(queries))
    np.testing.assert_allclose(router.predict_quality(queries), expected[:, :3], atol=1e-12)
    np.testing.assert_allclose(router.predict_cost(queries), expected[:, 3:], atol=1e-12)


def test_unanimous_neighbours_give_exactly_one_whatever_the_weights():
    X, quality, cost, _ = problem()
    router = rl.KNNRouter(7, weights="similarity").fit(X, quality * 0 + 1, cost=cost)
    assert router.predict_quality(X).max(axis=None) <= 1
    rl.cross_sweep(router, X, quality * 0 + 1, cost)  # estimates are checked on the way: 1 + 2e-16 would be refused


def test_pulze_scores_of_the_published_example():
    """The example's ten similarities give its two printed scores: 0.54 and 0.46."""
    similarity = [0.52368176, 0.48429558, 0.47992623, 0.4750255, 0.46624953]
    similarity += [0.4377066, 0.43222725, 0.41400117, 0.39327258, 0.3586356]
    s = np.array(similarity)
    train = np.column_stack([s, np.sqrt(1 - s**2)])  # unit rows with these similarities to (1, 0)
    scores = pd.DataFrame({"politics-agent": [1.0] * 5 + [0.0] * 5, "chitchat-agent": [0.0] * 5 + [1.0] * 5})
    router = rl.KNNRouter(10, weights="similarity").fit(train, scores, cost=scores)
    predicted = router.predict_quality([[1.0, 0.0]]).iloc[0]
    assert predicted["politics-agent"] == pytest.approx(s[:5].sum() / s.sum(), abs=1e-6)
    assert predicted.round(2).to_dict() == {"politics-agent": 0.54, "chitchat-agent": 0.46}
    assert predicted.round(3).to_dict() == {"politics-agent": 0.544, "chitchat-agent": 0.456}


def test_intent_routing_is_probabilities_times_the_table():
    X, quality, cost, intents = problem()
    router = rl.IntentRouter(11).fit(X, intents, quality=quality, cost=cost)
    pd.testing.assert_frame_equal(router.table_, quality.groupby(intents.to_numpy()).mean(), check_names=False)
    by_hand = router.predict_intent(X).to_numpy() @ router.table_.to_numpy()
    np.testing.assert_allclose(router.predict_quality(X), by_hand)


def test_intent_routing_from_ratings_uses_expected_win_rates():
    X, _, cost, intents = problem(m=2)
    ratings = pd.DataFrame(
        [(i, m, r) for i in ("chat", "code", "maths") for m, r in (("m0", 1000 + 400 * (i == "code")), ("m1", 1000))],
        columns=["intent", "model", "rating"],
    )
    router = rl.IntentRouter(5).fit(X, intents, ratings=ratings, cost=cost)
    assert router.table_.loc["chat"].tolist() == [0.5, 0.5]
    assert router.table_.loc["code", "m0"] == pytest.approx(10 / 11)  # 400 points are odds of 10 to 1
    with pytest.raises(rl.TableError, match="'ratings' table.*no intent 'maths'"):
        rl.IntentRouter(5).fit(X, intents, ratings=ratings[ratings["intent"] != "maths"], cost=cost)
    for both in ({}, {"ratings": ratings, "quality": cost * 0}):
        with pytest.raises(ValueError, match="exactly one of 'quality' and 'ratings'"):
            rl.IntentRouter(5).fit(X, intents, cost=cost, **both)


def routellm_by_hand(X, votes, tiers, query, strong, weak):
    """RouteLLM's similarity-weighted ranking: a logistic regression over all votes, twice each."""
    E = X.loc[votes["prompt_id"]].to_numpy(dtype=float)
    s = E @ query / (np.linalg.norm(E, axis=1) * np.linalg.norm(query))
    weight = np.tile(10 * 10 ** (s / s.max()), 2)
    a, b = (np.tile(tiers[votes[side]].to_numpy(), 2) for side in ("model_a", "model_b"))
    n = len(votes)
    design, y = np.zeros((2 * n, tiers.max() + 1)), np.zeros(2 * n)
    design[np.arange(2 * n), a] = math.log(10)
    design[np.arange(2 * n), b] = -math.log(10)
    y[np.tile(votes["winner"] == "model_a", 2)] = 1
    y[:n][votes["winner"].isin(["tie", "both_bad"])] = 1
    fit = LogisticRegression(fit_intercept=False, C=np.inf, tol=1e-12, max_iter=10_000).fit(design, y, weight)
    rating = 400 * fit.coef_[0]
    return 1 / (1 + 10 ** ((rating[tiers[weak]] - rating[tiers[strong]]) / 400))


@pytest.mark.parametrize("n_tiers", [None, 3])
def test_similarity_weighted_router_equals_routellms_regression(n_tiers):
    X, _, _, _ = problem(n=60)
    models = [f"m{k}" for k in range(6)]
    votes = votes_on(X, models)
    cost = pd.DataFrame({"m5": [0.001], "m0": [0.01]})
    router = rl.SimilarityWeightedRouter(n_tiers).fit(X, votes, cost=cost)
    queries = np.random.default_rng(1).normal(size=(4, 8)).astype(np.float32)
    got = router.win_rate(queries, "m0", "m5")
    expected = [routellm_by_hand(X, votes, router.tiers_, q.astype(float), "m0", "m5") for q in queries]
    np.testing.assert_allclose(got, expected, atol=1e-6)
    np.testing.assert_allclose(router.predict_quality(queries)["m0"], got, atol=1e-12)


def test_tiers_are_the_best_contiguous_groups():
    rng = np.random.default_rng(0)
    for _ in range(20):
        values = np.sort(rng.normal(size=rng.integers(5, 9)))[::-1]
        k = 3
        got = split_tiers(values, k)
        cost = sum(np.var(values[got == t]) for t in range(k))
        cuts = [(i, j) for i in range(1, len(values)) for j in range(i + 1, len(values))]
        best = min(sum(np.var(part) for part in np.split(values, cut)) for cut in cuts)
        assert cost == pytest.approx(best)


def test_a_model_that_lost_everything_needs_alpha():
    X, _, cost, _ = problem(m=2)
    votes = votes_on(X, ["m0", "m1"]).assign(model_a="m0", model_b="m1", winner="model_a")
    with pytest.raises(rl.TableError, match="Pass a small alpha"):
        rl.SimilarityWeightedRouter().fit(X, votes, cost=cost).predict(X)
    rate = rl.SimilarityWeightedRouter(alpha=0.01).fit(X, votes, cost=cost).win_rate(X, "m0", "m1")
    assert (rate > 0.9).all() and (rate < 1).all()


def test_votes_off_the_embedded_prompts_are_left_out_and_counted():
    X, _, cost, _ = problem(m=2)
    votes = votes_on(X, ["m0", "m1"])
    router = rl.SimilarityWeightedRouter().fit(X.iloc[:60], votes, cost=cost)
    assert router.n_votes_ + router.n_left_out_ == len(votes) and router.n_left_out_ > 0
    with pytest.raises(rl.TableError, match="no vote on a prompt of X"):
        rl.SimilarityWeightedRouter().fit(X.rename(index=lambda p: p + "x"), votes, cost=cost)


@pytest.mark.parametrize("router", list(fitted()), ids=lambda r: type(r).__name__)
def test_estimates_are_qualities_and_rows_keep_their_labels(router):
    X = problem(seed=1)[0].iloc[:20]
    quality, cost, choices = router.predict_quality(X), router.predict_cost(X), router.predict(X)
    assert ((quality >= 0) & (quality <= 1)).all(axis=None) and (cost >= 0).all(axis=None)
    assert quality.index.equals(X.index) and choices.index.equals(X.index)
    shuffled = X.iloc[::-1]
    pd.testing.assert_frame_equal(router.predict_quality(shuffled).loc[X.index], quality)
    assert router.sweep(X).at(router.willingness_to_pay).tolist() == choices.tolist()
    cheapest = router.set_params(willingness_to_pay=0.0).predict(X)
    assert (cheapest == cost.idxmin(axis=1)).all()


def test_training_rows_may_come_in_any_order():
    X, quality, cost, intents = problem()
    order = np.random.default_rng(0).permutation(X.index)
    queries = problem(seed=1)[0]
    one = rl.KNNRouter(5).fit(X, quality, cost=cost).predict_quality(queries)
    two = rl.KNNRouter(5).fit(X.loc[order], quality, cost=cost.loc[order, ::-1]).predict_quality(queries)
    pd.testing.assert_frame_equal(one, two)
    one = rl.IntentRouter(5).fit(X, intents, quality=quality, cost=cost).predict_quality(queries)
    two = rl.IntentRouter(5).fit(X.loc[order], intents, quality=quality, cost=cost).predict_quality(queries)
    pd.testing.assert_frame_equal(one, two)


def test_far_off_prompts_go_to_the_fallback_and_are_counted():
    X, quality, cost, _ = problem()
    router = rl.KNNRouter(5, min_similarity=0.999, fallback="m2", willingness_to_pay=0.0).fit(X, quality, cost=cost)
    queries = pd.concat([X.iloc[:3], -X.iloc[3:5].rename(index=lambda p: "far " + p)])
    choices = router.predict(queries)
    similar = nearest(unit_rows(queries.to_numpy()), router.embeddings_, 1)[0][:, 0] >= 0.999
    assert similar.tolist() == [True, True, True, False, False]
    assert choices.tolist()[3:] == ["m2", "m2"] and choices.attrs["n_abstained"] == 2
    assert router.sweep(queries).at(0.0).tolist() == choices.tolist()
    assert "the fallback" in router.explain(queries.iloc[[4]]).why
    with pytest.raises(ValueError, match="'fallback' is not"):
        rl.KNNRouter(5, min_similarity=0.5).fit(X, quality, cost=cost)
    with pytest.raises(rl.ParameterError, match="'fallback' must be one of the models"):
        rl.KNNRouter(5, min_similarity=0.5, fallback="gpt-9").fit(X, quality, cost=cost)


def test_explain_shows_neighbours_estimates_and_a_reason():
    X, quality, cost, intents = problem()
    prompts = pd.DataFrame({"prompt": "say <b>" + X.index, "intent": intents})
    for router in (
        rl.KNNRouter(5).fit(X, quality, cost=cost),
        rl.IntentRouter(5).fit(X, intents, quality=quality, cost=cost),
    ):
        told = router.explain(X.iloc[[0]], prompts)
        assert told.neighbors.index[0] == "p0" and told.neighbors["similarity"].iloc[0] == pytest.approx(1, abs=1e-6)
        assert told.neighbors["intent"].tolist() == intents[told.neighbors.index].tolist()
        assert told.chosen == router.predict(X.iloc[[0]]).iloc[0] == told.models.index[0]
        assert told.chosen in told.why and "Intents:" in repr(told)
        assert "<b>" not in told._repr_html_() and "&lt;b&gt;" in told._repr_html_()
    by_votes = rl.SimilarityWeightedRouter().fit(X, votes_on(X, list(quality)), cost=cost)
    told = by_votes.explain(X.iloc[[0]], prompts)
    assert told.neighbors["weight"].iloc[0] == pytest.approx(100) and told.chosen == told.models.index[0]
    with pytest.raises(rl.TableError, match="explain takes one"):
        router.explain(X)
    with pytest.raises(TypeError, match="keeps no training prompts"):
        rl.Router(Ridge()).fit(X, quality, cost=cost).explain(X.iloc[[0]])
    with pytest.raises(TypeError, match=r"MeanRouter keeps no training prompts .* one of its routers_"):
        rl.MeanRouter([rl.KNNRouter(5)]).fit(X, quality, cost=cost).explain(X.iloc[[0]])


@pytest.mark.parametrize(
    ("prompts", "said"),
    [
        (pd.DataFrame({"text": "Why?"}, index=["p0"]), "has no column 'prompt', but 'text'"),
        ("Why?", "got str"),
        (["Why?"], "got list"),
        (pd.Series("Why?", index=["p0", "p0"]), "has prompt_id 'p0' more than once"),
        (pd.Series("Why?", index=["other"]), "knows none of the neighbours, such as 'p"),
    ],
)
def test_explain_takes_texts_by_prompt_and_says_what_it_cannot_take(prompts, said):
    X, quality, cost, _ = problem()
    router = rl.KNNRouter(5).fit(X, quality, cost=cost)
    texts = pd.Series([f"question {k}" for k in range(len(X))], index=X.index)
    for known in (
        texts,
        texts.rename("prompt"),
        texts.to_frame("prompt"),
        texts.rename("prompt").rename_axis("prompt_id").reset_index(),
    ):
        told = router.explain(X.iloc[[0]], known).neighbors
        assert told["prompt"].tolist() == texts[told.index].tolist()
    few = router.explain(X.iloc[[0]], texts.iloc[:1]).neighbors
    assert few["prompt"].iloc[0] == "question 0" and few["prompt"].isna().sum() == 4
    with pytest.raises(rl.TableError, match=re.escape(said)):
        router.explain(X.iloc[[0]], prompts)


def test_similar_weights_and_functions_of_similarity():
    X, quality, cost, _ = problem()
    sharp = rl.KNNRouter(20, weights=lambda s: np.exp(50 * s)).fit(X, quality, cost=cost)
    np.testing.assert_allclose(sharp.predict_quality(X), quality, atol=0.05)
    same = rl.KNNRouter(20, weights=lambda s: np.ones_like(s)).fit(X, quality, cost=cost)
    np.testing.assert_allclose(same.predict_quality(X), rl.KNNRouter(20).fit(X, quality, cost=cost).predict_quality(X))
    with pytest.raises(ValueError, match="'weights' must"):
        rl.KNNRouter(3, weights="cosine").fit(X, quality, cost=cost).predict(X)
    with pytest.raises(ValueError, match="non-negative"):
        rl.KNNRouter(3, weights=lambda s: -s).fit(X, quality, cost=cost).predict(X)


def test_mean_cost_is_the_training_mean():
    X, quality, cost, _ = problem()
    router = rl.KNNRouter(5, cost_estimate="mean").fit(X, quality, cost=cost)
    np.testing.assert_allclose(router.predict_cost(X).iloc[0], cost.mean())
    with pytest.raises(ValueError, match="'cost_estimate'"):
        rl.KNNRouter(5, cost_estimate="list").fit(X, quality, cost=cost)


def test_scikit_learn_contracts():
    X, quality, cost, _ = problem()
    router = rl.KNNRouter(5, willingness_to_pay=0.1)
    assert clone(router).get_params() == router.get_params()
    search = GridSearchCV(rl.KNNRouter(), {"n_neighbors": [1, 40]}, cv=3).fit(X, quality, cost=cost)
    assert search.best_params_ == {"n_neighbors": 40}  # quality is pure noise: the wider, the better
    pipeline = make_pipeline(Normalizer(), rl.KNNRouter(5)).fit(X, quality, knnrouter__cost=cost.to_numpy() * 0 + cost)
    assert len(pipeline.predict(X)) == len(X)
    inner = rl.Router(Ridge(), cost_estimator=Ridge()).fit(X, quality, cost=cost)
    assert not hasattr(inner.estimator, "coef_")  # the parameter is cloned, never fitted


def test_out_of_fold_estimates_never_see_their_own_prompt():
    X, quality, cost, intents = problem()
    folds = [(np.arange(40, 120), np.arange(40)), (np.arange(40), np.arange(40, 120))]
    sweep = rl.cross_sweep(rl.KNNRouter(5), X, quality, cost, cv=folds)
    expected = rl.KNNRouter(5).fit(X.iloc[40:], quality.iloc[40:], cost=cost.iloc[40:]).predict(X.iloc[:40])
    assert sweep.at(np.inf).tolist()[:40] == expected.tolist()
    assert len(rl.cross_sweep(rl.IntentRouter(5), X, quality, cost, intents=intents).index) == len(X)
    piped = rl.cross_sweep(make_pipeline(Normalizer(), rl.KNNRouter(5)), X, quality, cost, cv=folds)
    assert piped.at(np.inf).tolist() == sweep.at(np.inf).tolist()  # cosine: scaling rows changes nothing
    with pytest.raises(rl.ParameterError, match="'cv'.*in no test fold"):
        rl.cross_sweep(rl.KNNRouter(5), X, quality, cost, cv=folds[:1])
    with pytest.raises(rl.TableError, match="'intents'"):
        rl.cross_sweep(rl.IntentRouter(5), X, quality, cost)


@pytest.mark.parametrize("router", list(fitted())[:3], ids=lambda r: type(r).__name__)
def test_a_saved_router_predicts_the_same(router, tmp_path):
    X = problem(seed=1)[0]
    router.set_params(min_similarity=-0.5, fallback="m1")
    again = rl.load_router(router.save(tmp_path / "my router"))
    assert type(again) is type(router) and again.get_params() == router.get_params()
    pd.testing.assert_frame_equal(again.predict_quality(X), router.predict_quality(X))
    pd.testing.assert_series_equal(again.predict(X), router.predict(X))


def test_an_operating_point_is_saved_with_its_router(tmp_path):
    X, quality, cost, _ = problem()
    router = rl.KNNRouter(7).fit(X, quality, cost=cost)
    router = rl.set_operating_point(router, X, quality, cost, baseline="m0", max_quality_loss=0.2)
    router.save(tmp_path / "chosen")
    again = rl.load_router(tmp_path / "chosen")
    assert again.operating_point_ == router.operating_point_
    pd.testing.assert_series_equal(again.predict(X), router.predict(X))


def test_files_that_are_no_routers_and_routers_that_need_pickle(tmp_path):
    X, quality, cost, _ = problem()
    bad = tmp_path / "bad.npz"
    bad.write_bytes(b"no")
    np.savez(tmp_path / "other.npz", a=np.arange(3))
    for path in (bad, tmp_path / "other.npz"):
        with pytest.raises(ValueError, match="not a router saved by routerlab"):
            rl.load_router(path)
    whole = rl.KNNRouter(3).fit(X, quality, cost=cost).save(tmp_path / "whole")
    (tmp_path / "torn.npz").write_bytes(whole.read_bytes()[:-200])
    with pytest.raises(ValueError, match="damaged"):
        rl.load_router(tmp_path / "torn.npz")
    with pytest.raises(TypeError, match="'weights'.*pickle"):
        rl.KNNRouter(3, weights=np.exp).fit(X, quality, cost=cost).save(tmp_path / "f")
    with pytest.raises(TypeError, match="'estimator'.*pickle"):
        rl.Router(Ridge()).fit(X, quality, cost=cost).save(tmp_path / "g")


BAD = {
    "k too large": (lambda X, q, c: rl.KNNRouter(500).fit(X, q, cost=c), "'n_neighbors' is 500.*120 training prompts"),
    "k zero": (lambda X, q, c: rl.KNNRouter(0).fit(X, q, cost=c), "'n_neighbors' must be an integer of at least 1"),
    "no cost": (lambda X, q, c: rl.KNNRouter(3).fit(X, q), "'cost' is missing|'cost': is missing"),
    "wtp": (lambda X, q, c: rl.KNNRouter(3, willingness_to_pay=-1).fit(X, q, cost=c), "'willingness_to_pay'"),
    "rows": (lambda X, q, c: rl.KNNRouter(3).fit(X.iloc[1:], q, cost=c), "'quality': has 120 rows, and X has 119"),
    "labels": (lambda X, q, c: rl.KNNRouter(3).fit(X.rename({"p0": "z"}), q, cost=c), "X and 'quality': prompt_id"),
    "numbered": (
        lambda X, q, c: rl.KNNRouter(3).fit(X.reset_index(drop=True), q, cost=c),
        "X and 'quality': prompt_id .* X is numbered, .*prompts = routerlab.check_prompts"),
    "numbered rows": (
        lambda X, q, c: rl.KNNRouter(3).fit(X.reset_index(drop=True).iloc[1:], q, cost=c),
        "X has 119. X is numbered, .*check_prompts"),
    "numbers that differ": (
        lambda X, q, c: rl.KNNRouter(3).fit(
            X.set_axis(range(1, 121)), q.reset_index(drop=True), cost=c.reset_index(drop=True)),
        r"X and 'quality': prompt_id 0, 120 .* Select the same prompts of both, e.g. quality.loc\[X.index\]"),
    "nan X": (lambda X, q, c: rl.KNNRouter(3).fit(X.mask(X > 2), q, cost=c), "'X': holds NaN or infinity"),
    "text X": (lambda X, q, c: rl.KNNRouter(3).fit(X.astype(str) + "a", q, cost=c), "'X': expected numbers"),
    "width": (lambda X, q, c: rl.KNNRouter(3).fit(X, q, cost=c).predict(X.iloc[:, 1:]), "7 features, and fit saw 8"),
    "quality": (lambda X, q, c: rl.KNNRouter(3).fit(X, q + 1, cost=c), r"'quality'.*\[0, 1\]"),
    "models": (lambda X, q, c: rl.KNNRouter(3).fit(X, q, cost=c.iloc[:, 1:]), "'quality' and 'cost': model 'm0'"),
    "unfitted": (lambda X, q, c: rl.KNNRouter(3).predict(X), "not fitted yet"),
    "intent": (
        lambda X, q, c: rl.IntentRouter(3).fit(X, [None] * 120, quality=q, cost=c), "'intents': is empty for"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_named_and_changes_nothing(case):
    call, message = BAD[case]
    X, quality, cost, _ = problem()
    before = X.copy(), quality.copy(), cost.copy()
    with pytest.raises(ValueError, match=message):
        call(X, quality, cost)
    for frame, copy in zip((X, quality, cost), before, strict=True):
        pd.testing.assert_frame_equal(frame, copy)


@settings(max_examples=40, deadline=None)
@given(k=st.integers(1, 30), wtp=st.floats(0, 10), seed=st.integers(0, 5))
def test_a_router_at_any_setting_picks_what_its_sweep_says(k, wtp, seed):
    X, quality, cost, _ = problem(n=30, seed=seed)
    router = rl.KNNRouter(k, willingness_to_pay=wtp).fit(X, quality, cost=cost)
    chosen, swept = router.predict(X), router.sweep(X).at(wtp)
    if wtp > 1e-9:  # two models may tie to the last digit: equal net value is what counts
        net = router.predict_quality(X) - router.predict_cost(X) / wtp
        rows = np.arange(30)
        a, b = (net.to_numpy()[rows, net.columns.get_indexer(c)] for c in (chosen, swept))
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9)


def rewritten(path, target, header=lambda header: None, **members):
    """Write a router's file again with another header, or with other members (None takes one out)."""
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files}
    content = json.loads(str(arrays["header"]))
    header(content)
    arrays = {k: v for k, v in {**arrays, "header": np.array(json.dumps(content)), **members}.items() if v is not None}
    np.savez_compressed(target, **arrays)
    return target


HOSTILE = {
    "a member that nobody declared": {"more": np.zeros(3)},
    "an array that is missing": {"quality_": None},
    "another width": {"embeddings_": np.zeros((120, 3), dtype=np.float32)},
    "fewer rows": {"quality_": np.zeros((7, 3))},
    "three axes": {"cost_": np.zeros((120, 3, 1))},
    "objects": {"quality_": np.full((120, 3), None)},
    "records": {"quality_": np.zeros(120, dtype=[("a", float)])},
    "a method for an attribute": {"header": lambda h: h["learned"].update(predict={"plain": 1})},
    "a class for an attribute": {"header": lambda h: h["learned"].update(__class__={"plain": 1})},
    "another class": {"header": lambda h: h.update({"class": "load_router"})},
    "an unknown parameter": {"header": lambda h: h["params"].update(more=1)},
    "no parameters": {"header": lambda h: h.pop("params")},
    "a list for the learned": {"header": lambda h: h.update(learned=[1])},
    "a loop of kinds": {"header": lambda h: h["learned"].update(more_={"array": "../header"})},
    "models that are missing": {"header": lambda h: h["learned"].pop("models_")},
}


@pytest.mark.parametrize("change", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_router_file_with_anything_else_in_it_is_refused_in_words(tmp_path, change):
    X, quality, cost, _ = problem()
    path = rl.KNNRouter(3).fit(X, quality, cost=cost).save(tmp_path / "router")
    assert rl.load_router(rewritten(path, tmp_path / "same.npz")).get_params() == rl.load_router(path).get_params()
    with pytest.raises(ValueError, match="not a router saved by routerlab, or damaged .*Save it again"):
        rl.load_router(rewritten(path, tmp_path / "hostile.npz", **change))


def test_indices_beyond_a_table_are_refused(tmp_path):
    router = next(r for r in fitted() if type(r).__name__ == "SimilarityWeightedRouter")
    path = router.save(tmp_path / "router")
    columns = np.full_like(router.count_columns_, 10**6)
    with pytest.raises(ValueError, match="damaged"):
        rl.load_router(rewritten(path, tmp_path / "hostile.npz", count_columns_=columns))


def test_a_file_that_unpacks_to_far_more_is_refused_before_it_is_unpacked(tmp_path):
    X, quality, cost, _ = problem()
    path = rl.KNNRouter(3).fit(X, quality, cost=cost).save(tmp_path / "router")
    big = rewritten(path, tmp_path / "big.npz", quality_=np.zeros((12_000_000, 1)))
    with pytest.raises(ValueError, match="would unpack to 9.* bytes, expected at most"):
        rl.load_router(big)


def test_a_newer_format_says_upgrade(tmp_path):
    X, quality, cost, _ = problem()
    path = rl.KNNRouter(3).fit(X, quality, cost=cost).save(tmp_path / "router")
    with pytest.raises(ValueError, match="written in format 2, this routerlab reads up to 1. Upgrade"):
        rl.load_router(rewritten(path, tmp_path / "newer.npz", lambda header: header.update(format=2)))


@pytest.mark.parametrize("call", ["write", "fsync"])
def test_a_router_that_cannot_be_saved_leaves_the_old_file(tmp_path, monkeypatch, call):
    X, quality, cost, _ = problem()
    path = rl.KNNRouter(3).fit(X, quality, cost=cost).save(tmp_path / "router")
    before = path.read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(os, call, lambda *_: (_ for _ in ()).throw(OSError(errno.ENOSPC, "No space")))
        with pytest.raises(OSError, match="No space"):
            rl.KNNRouter(5).fit(X, quality, cost=cost).save(path)
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


def test_the_number_of_neighbours_is_chosen_by_cross_validation_unless_given():
    """A weak signal in few directions wants many neighbours, a strong one few."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(600, 3)).astype(np.float32)
    chance = 0.5 + 0.05 * np.sign(X[:, :1]) * [1, -1]
    weak = pd.DataFrame((rng.random((600, 2)) < chance).astype(float), columns=["small", "large"])
    strong = pd.DataFrame((np.sin(6 * X[:, :1]) * [1, -1] > 0).astype(float), columns=["small", "large"])
    routers = [rl.KNNRouter().fit(X, quality, cost=quality + 0.001) for quality in (weak, strong)]
    assert routers[0].n_neighbors_ > 60 > 15 > routers[1].n_neighbors_
    for router in routers:
        assert router.n_neighbors_ == router.cv_error_.idxmin()
        assert f"n_neighbors_ = {router.n_neighbors_}" in repr(router)
        assert len(router.explain(X[:1]).neighbors) == router.n_neighbors_
    given = rl.KNNRouter(7).fit(X, weak, cost=weak + 0.001)
    assert (given.n_neighbors_, given.cv_error_) == (7, None)


def test_copies_of_a_text_do_not_choose_one_another():
    """Without signal the more neighbours the better; a copy in a training fold would make five look best."""
    rng = np.random.default_rng(0)
    X = np.repeat(rng.normal(size=(100, 5)).astype(np.float32), 6, axis=0)
    quality = pd.DataFrame(np.repeat(rng.random((100, 2)) < 0.5, 6, axis=0).astype(float), columns=["small", "large"])
    assert rl.KNNRouter().fit(X, quality, cost=quality + 0.001).n_neighbors_ > 60


def test_a_router_that_chose_its_neighbours_is_saved_with_them(tmp_path):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 3)).astype(np.float32)
    quality = pd.DataFrame(rng.random((60, 2)), columns=["small", "large"])
    router = rl.KNNRouter().fit(X, quality, cost=quality)
    again = rl.load_router(router.save(tmp_path / "router"))
    assert again.n_neighbors_ == router.n_neighbors_
    assert again.cv_error_.equals(router.cv_error_)
    pd.testing.assert_frame_equal(again.predict_quality(X), router.predict_quality(X))
    few = rl.KNNRouter().fit(X[:3], quality[:3], cost=quality[:3])
    assert few.n_neighbors_ == 3


def test_columns_that_are_numbers_are_compared_as_names_are():
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.normal(size=(60, 4)))
    quality = pd.DataFrame({"small": (X[0] > 0).astype(float), "large": 1.0})
    cost = pd.DataFrame({"small": 0.001, "large": 0.01}, X.index)
    router = rl.KNNRouter(5).fit(X, quality, cost=cost)
    expected = router.predict(X)
    assert expected.nunique() == 2
    pd.testing.assert_series_equal(router.predict(X[[3, 1, 0, 2]]), expected)
    by_array = rl.KNNRouter(5).fit(X.to_numpy(), quality, cost=cost)
    pd.testing.assert_series_equal(by_array.predict(X[[3, 1, 0, 2]]), expected)


CALLS = {
    "estimate": lambda router, X: router.estimate(X),
    "predict_quality": lambda router, X: router.predict_quality(X),
    "predict": lambda router, X: router.predict(X),
    "sweep": lambda router, X: router.sweep(X),
    "explain": lambda router, X: router.explain(X[:1]),
    "predict_intent": lambda router, X: router.predict_intent(X),
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("kind", ["knn", "intent", "similarity"])
def test_neighbours_are_searched_once_for_an_answer(monkeypatch, kind, call):
    X, quality, cost, intents = problem()
    far = {"min_similarity": 0.9, "fallback": "m0", "willingness_to_pay": 0.01}
    router = {
        "knn": lambda: rl.KNNRouter(7, **far).fit(X, quality, cost=cost),
        "intent": lambda: rl.IntentRouter(7, **far).fit(X, intents, quality=quality, cost=cost),
        "similarity": lambda: rl.SimilarityWeightedRouter(None, **far).fit(X, votes_on(X, list(quality)), cost=cost),
    }[kind]()
    if call == "predict_intent" and kind != "intent":
        return
    searches = []
    for module in (_knn, _similarity):
        monkeypatch.setattr(module, "nearest", lambda *args, **given: searches.append(args) or nearest(*args, **given))
    CALLS[call](router, X)
    assert len(searches) == (call == "explain" if kind == "similarity" else 1)


@pytest.mark.parametrize("router", list(fitted()))
def test_one_estimate_says_what_the_predictions_say(router):
    X = problem()[0]
    router.set_params(willingness_to_pay=0.01)
    found = router.estimate(X)
    pd.testing.assert_frame_equal(found.quality, router.predict_quality(X))
    pd.testing.assert_frame_equal(found.cost, router.predict_cost(X))
    chosen = decide(found.quality.to_numpy(), found.cost.to_numpy(), 0.01)
    assert router.predict(X).tolist() == found.quality.columns[chosen].tolist()
    assert not found.abstained.any()
    assert estimates_of(router, X).quality.equals(found.quality)


def test_a_router_of_another_library_needs_only_its_two_predictions():
    X, quality, cost, _ = problem()

    class Foreign(BaseEstimator):
        def fit(self, X, quality, *, cost):
            self.models_, self.means_ = quality.columns, (quality.mean(), cost.mean())
            return self

        def predict_quality(self, X):
            return pd.DataFrame([self.means_[0]] * len(X), index=X.index)

        def predict_cost(self, X):
            return pd.DataFrame([self.means_[1]] * len(X), index=X.index)

    found = estimates_of(Foreign().fit(X, quality, cost=cost), X)
    assert found.quality["m0"].eq(quality["m0"].mean()).all() and not found.abstained.any()
    assert len(rl.cross_sweep(Foreign(), X, quality, cost).index) == len(X)
