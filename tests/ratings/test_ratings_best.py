"""best_models: what follows from ratings, how often its winners are wrong, and what it refuses."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from routerlab.exceptions import ParameterError
from routerlab.ratings import best_models, rate


def make_votes(strength: np.ndarray, n: int, seed: int = 0) -> tuple[pd.DataFrame, pd.Series]:
    """Votes of `n` prompts on random pairs of models, of strengths (n_intents, n_models) in log odds."""
    rng = np.random.default_rng(seed)
    n_intents, m = strength.shape
    intent, a = rng.integers(n_intents, size=n), rng.integers(m, size=n)
    b = (a + rng.integers(1, m, size=n)) % m
    won = rng.random(n) < 1 / (1 + np.exp(strength[intent, b] - strength[intent, a]))
    votes = pd.DataFrame({"prompt_id": np.arange(n), "model_a": a, "model_b": b})
    names = {k: f"m{k}" for k in range(m)}
    votes = votes.replace({"model_a": names, "model_b": names}).assign(winner=np.where(won, "model_a", "model_b"))
    return votes, pd.Series(intent, name="intent").map("i{}".format)


STRENGTH = np.array([[2.0, 0, 0, -1], [0, 2.0, 0, -1], [0.5, 0.5, 0.5, -1]])


def test_clear_winners_are_named_and_the_unclear_intent_keeps_its_contenders():
    votes, by = make_votes(STRENGTH, 3000)
    table = best_models(votes, by).set_index("intent")
    assert table.loc[["i0", "i1"], "best"].tolist() == ["m0", "m1"]
    assert (table.loc[["i0", "i1"], "n_contenders"] == 1).all()
    assert table.loc["i2", "n_contenders"] >= 2
    assert "m3" not in table.loc["i2", "contenders"]
    assert table["p_best"].is_monotonic_decreasing
    assert table["n"].sum() == len(votes)


def test_lead_is_the_difference_of_the_ratings_with_its_interval():
    votes, by = make_votes(STRENGTH, 1000)
    table = best_models(votes, by)
    for row in table.itertuples():
        anchored = rate(votes, by=by, anchor=row.rival).set_index(["intent", "model"]).loc[(row.intent, row.best)]
        np.testing.assert_allclose(
            [row.lead, row.lead_low, row.lead_high], anchored[["rating", "ci_low", "ci_high"]].to_numpy(float) - 1000
        )


def test_probabilities_are_those_of_two_normals():
    from scipy.stats import norm

    votes, by = make_votes(STRENGTH[:, :2], 200)
    for row in best_models(votes, by, n_draws=100_000).itertuples():
        sd = (row.lead_high - row.lead_low) / 2 / norm.ppf(0.975)
        assert row.p_best == pytest.approx(norm.cdf(abs(row.lead) / sd), abs=0.01)


def test_among_ranks_those_only():
    votes, by = make_votes(STRENGTH, 3000)
    table = best_models(votes, by, among=["m2", "m3"])
    assert (table["best"] == "m2").all()
    assert set(", ".join(table["contenders"]).split(", ")) <= {"m2", "m3"}


@pytest.mark.slow
def test_winners_are_wrong_as_often_as_promised():
    expected, wrong, named = 0.0, 0, 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        strength = np.linspace(0.5, -0.5, 4) + rng.normal(0, 0.5, (12, 4))
        table = best_models(*make_votes(strength, 1200, seed), confidence=0.8, n_draws=2000)
        sure = table[table["n_contenders"] == 1]
        truth = strength.argmax(axis=1)[sure["intent"].str[1:].astype(int)]
        expected += table.attrs["expected_wrong"]
        wrong += int((sure["best"].str[1:].astype(int).to_numpy() != truth).sum())
        named += len(sure)
    assert named > 100
    assert abs(wrong - expected) < 3.5 * np.sqrt(expected)


def test_order_of_votes_and_sides_do_not_matter():
    votes, by = make_votes(STRENGTH, 600)
    swapped = votes.rename(columns={"model_a": "model_b", "model_b": "model_a"})
    swapped["winner"] = swapped["winner"].map({"model_a": "model_b", "model_b": "model_a"})
    again = best_models(swapped.sample(frac=1, random_state=0), by)
    pd.testing.assert_frame_equal(again, best_models(votes, by), rtol=1e-6)


def test_says_how_it_was_made_and_what_it_cannot_do():
    votes, by = make_votes(STRENGTH, 600)
    votes.attrs["provenance"] = "simulated: seed 0"
    attrs = best_models(votes, by).attrs
    assert attrs["provenance"] == "simulated: seed 0"
    assert "10,000 draws" in attrs["method"]
    with pytest.raises(ValueError, match="'among' .* at least two models. Got \\['m0'\\]"):
        best_models(votes, by, among=["m0"])
    with pytest.raises(ParameterError, match="'among' must be one of"):
        best_models(votes, by, among=["m0", "gpt-5"])
