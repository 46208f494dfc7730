"""Raters, judges and ratings: what few votes say, and how often intervals hold the truth."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
import pytest
from scipy.special import ndtri
from scipy.stats import binomtest

import routerlab as rl
from benchmarks import coverage_raters
from benchmarks.coverage_raters import VERDICTS, leaning, panel, routed, stopped, votes
from benchmarks.grid import failures
from routerlab.judging import ppi_rate, ppi_win_rate
from routerlab.labeling import krippendorff_alpha, position_bias, self_consistency
from routerlab.ratings import best_models, ppi_mean_difference
from routerlab.stats import anytime_half_width, clustered_share, equation_interval, mean_interval


def coin(n, rng):
    return votes(rng.choice([0, 2], n)), votes(rng.choice([0, 2], n), "coin")


def test_few_pairs_that_agree_are_not_certain_to_agree():
    people = votes(np.array([0, 2, 0, 2]))
    report = rl.judge_trust(people.assign(judge="llm"), people)
    assert report.kappa.estimate == 1 == report.kappa.high
    assert report.kappa.low < 0 and "not shown to agree" in report.verdict
    both = krippendorff_alpha(pd.concat([people, people.assign(judge="bob")]))
    assert both.alpha == 1 and both.ci_low < 0.5


@pytest.mark.slow
@pytest.mark.parametrize("n", [6, 10, 25])
def test_a_coin_is_seldom_said_to_agree_beyond_chance(n):
    rng = np.random.default_rng(n)
    said = [rl.judge_trust(judge, people, n_resamples=2).verdict for people, judge in (coin(n, rng) for _ in range(60))]
    wrong = sum(text.startswith("agrees") for text in said)
    assert binomtest(wrong, len(said), 0.025, alternative="greater").pvalue > 0.01


def test_pairs_of_one_conversation_count_as_one():
    rng = np.random.default_rng(0)
    people, judge = coin(6, rng)
    wide = [pd.concat([t.assign(prompt_id=t["prompt_id"] + 6 * k) for k in range(20)]) for t in (people, judge)]
    groups = pd.Series(np.tile(np.arange(6), 20))
    once, many = rl.judge_trust(judge, people), rl.judge_trust(wide[1], wide[0], groups=groups)
    assert many.kappa.low == pytest.approx(once.kappa.low, abs=0.02)
    assert many.agreement.low == pytest.approx(once.agreement.low, abs=0.15)
    assert "only 6 groups" in str(many) and many.n_groups == 6
    both = krippendorff_alpha(pd.concat(wide), groups=groups)
    assert both.ci_high - both.ci_low > 0.9 * (lambda a: a.ci_high - a.ci_low)(
        krippendorff_alpha(pd.concat([people, judge]))
    )


def test_raters_are_groups_unless_there_is_one():
    rng = np.random.default_rng(1)
    said = votes(np.where(rng.random(300) < 0.5, 0, 2)).assign(judge=np.arange(300) % 5)
    several, one = position_bias(said), position_bias(said.assign(judge="ana"))
    assert several.left.n_groups == 5 and "only 5 groups" in str(several)
    assert one.left.n_groups == 300 and one.note is None
    assert several.left.high - several.left.low > one.left.high - one.left.low
    interval = binomtest(int(one.left.estimate * 300), 300).proportion_ci(method="wilson")
    assert (one.left.low, one.left.high) == pytest.approx((interval.low, interval.high))
    by_prompt = position_bias(said, groups="prompt_id")
    assert by_prompt.left.low == pytest.approx(one.left.low)
    repeats = pd.DataFrame({"pair_id": ["a", "b"], "repeat_of": [None, "a"], "prompt_id": "p", "judge": "ana"})
    repeats = repeats.assign(model_a=["x", "y"], model_b=["y", "x"], winner="model_a")
    assert self_consistency(repeats).same.high < 1


def test_position_bias_holds_the_truth_for_five_raters_who_lean():
    rng = np.random.default_rng(0)
    held = [low <= truth <= high for low, high, truth in (leaning(5, 60, 0.1)(rng) for _ in range(100))]
    assert np.mean(held) > 0.9


def test_ratings_are_for_raters_at_large():
    said = panel(6, 360, 0.4, 1, np.random.default_rng(0))
    auto, fixed = rl.rate(said), rl.rate(said, cluster="prompt_id")
    assert auto["rating"].tolist() == fixed["rating"].tolist()
    wide, narrow = (t.set_index("model")["ci_high"] - t.set_index("model")["ci_low"] for t in (auto, fixed))
    assert (wide >= narrow - 1e-9).all() and wide.mean() > 1.2 * narrow.mean()
    assert auto.attrs["n_raters"] == 6 and "only 6 raters" in auto.attrs["note"]
    one = rl.rate(said.assign(judge="ana"))
    pd.testing.assert_frame_equal(one, fixed)
    groups = pd.Series(np.arange(360) // 12)
    by_column = rl.rate(said.assign(chat=said["prompt_id"] // 12), cluster="chat")
    np.testing.assert_allclose(rl.rate(said, cluster=groups)["ci_low"], by_column["ci_low"])


def test_winners_by_intent_are_less_sure_where_raters_differ():
    said = panel(3, 600, 1.0, 1, np.random.default_rng(3))
    intent = pd.Series(np.arange(600) % 3, name="intent")
    auto, fixed = (best_models(said, intent, **more).sort_values("intent") for more in ({}, {"cluster": "prompt_id"}))
    assert (
        (auto["lead_high"] - auto["lead_low"]).to_numpy() > (fixed["lead_high"] - fixed["lead_low"]).to_numpy()
    ).all()


@pytest.mark.parametrize("interval", ["sandwich", "bootstrap"])
@pytest.mark.parametrize("n", [8, 60])
def test_nothing_but_ties_does_not_rate_models_for_certain(n, interval):
    table = rl.rate(votes(np.ones(n, dtype=int)), baseline="y", interval=interval, random_state=0).set_index("model")
    row = table.loc["x"]
    assert row.win_rate == pytest.approx(0.5)
    # A share p of wins for x that n votes would miss with a probability of 5% is inside.
    assert row.win_rate_high > 0.5 + 0.8 * (1 - 0.05 ** (1 / n)) / 2


def pairs_and_labels(rng, n=1000, chosen=True):
    human = rng.choice(3, n, p=[0.5, 0.2, 0.3])
    judge = np.where(rng.random(n) < 0.8, human, rng.choice(3, n))
    chance = np.where(human == 0, 0.27, 0.06) if chosen else np.full(n, 0.15)
    return votes(judge, "llm"), votes(human)[rng.random(n) < chance], pd.Series(chance)


def test_labels_that_are_no_random_part_are_warned_of_and_weighed():
    judge, human, chance = pairs_and_labels(np.random.default_rng(0))
    for function in (ppi_win_rate, ppi_rate):
        with pytest.warns(UserWarning, match="hardly happens to a random part. Pass propensity="):
            function(judge, human)
    weighed = ppi_win_rate(judge, human, propensity=chance).set_index("model").loc["x"]
    assert weighed.win_rate_low < 0.6 < weighed.win_rate_high
    rated = ppi_rate(judge, human, propensity=chance, baseline="y").set_index("model").loc["x"]
    assert rated.win_rate == pytest.approx(weighed.win_rate, abs=0.02)
    random = pairs_and_labels(np.random.default_rng(0), chosen=False)
    plain, even = ppi_win_rate(*random[:2]), ppi_win_rate(*random[:2], propensity=random[2])
    np.testing.assert_allclose(even["win_rate"], plain["win_rate"], atol=0.01)
    np.testing.assert_allclose(even["width_ratio"], plain["width_ratio"], atol=0.05)
    with pytest.raises(rl.TableError, match="'propensity'"):
        ppi_win_rate(judge, human, propensity=chance * 0)


def test_prompts_of_one_conversation_count_as_one_in_win_rates_and_ratings():
    judge, human, _ = pairs_and_labels(np.random.default_rng(1), n=200, chosen=False)
    wide = [pd.concat([t.assign(prompt_id=t["prompt_id"] + 200 * k) for k in range(5)]) for t in (judge, human)]
    groups = pd.Series(np.tile(np.arange(200), 5))
    for function, low, high in ((ppi_win_rate, "win_rate_low", "win_rate_high"), (ppi_rate, "ci_low", "ci_high")):
        once, naive, grouped = function(judge, human), function(*wide), function(*wide, groups=groups)
        widths = [(t[high] - t[low]).mean() for t in (once, naive, grouped)]
        assert widths[1] < 0.6 * widths[0] and widths[2] == pytest.approx(widths[0], rel=0.1)


def test_people_correct_what_a_judge_hides():
    rng = np.random.default_rng(0)
    n = 2000
    strong = rng.random(n) < 0.85
    truth = pd.DataFrame({"cheap": strong & (rng.random(n) > 0.07), "dear": strong}).astype(float)
    seen_as = truth.where(rng.random(truth.shape) < 0.7, 1 - truth)
    cost = pd.DataFrame({"cheap": 0.001, "dear": 0.01}, index=truth.index)
    choices = pd.Series("cheap", index=truth.index)
    plain = rl.savings(choices, seen_as, cost, baseline="dear")
    judged = rl.savings(choices, seen_as, cost, baseline="dear", judged="gpt-4o")
    assert judged.quality_low == plain.quality_low and judged.judge == "gpt-4o"
    assert judged.verdict.startswith("as gpt-4o judges, and no label of people corrects: ")
    assert "pass people=" in str(judged) and "judge" not in str(plain)
    people = truth.loc[rng.permutation(n)[:400]]
    both = rl.savings(choices, seen_as, cost, baseline="dear", judged="gpt-4o", people=people)
    real = (truth["cheap"] - truth["dear"]).mean()
    assert both.quality_low < real < both.quality_high < 0
    assert plain.quality_difference > real / 1.5, "the judge's errors hide most of the loss"
    assert both.n_people == 400 and "corrected by people's labels of 400 prompts" in str(both)
    kept = rl.savings(rl.always("dear", truth.index), seen_as, cost, baseline="dear", people=people)
    assert (kept.quality_low, kept.quality_high) == (0, 0)
    even = pd.Series(0.2, index=truth.index)
    weighed = rl.savings(choices, seen_as, cost, baseline="dear", people=people, propensity=even)
    assert weighed.quality_difference == pytest.approx(both.quality_difference, abs=0.005)
    with pytest.raises(rl.TableError, match="'people'.*lacks the chosen model"):
        rl.savings(choices, seen_as, cost, baseline="dear", people=people[["dear"]])
    with pytest.raises(rl.TableError, match="'people'.*names no prompt"):
        rl.savings(choices, seen_as, cost, baseline="dear", people=people.rename(lambda k: f"p{k}"))


def test_few_labels_without_a_loss_prove_nothing():
    rng = np.random.default_rng(0)
    low, high, _ = routed(5, 300, 1.0, 0.0)(rng)
    assert low < -0.3 and high > 0.3
    estimate, low, high, lam = ppi_mean_difference(np.zeros(300), np.where(np.arange(300) < 60, 0.0, np.nan))
    assert lam == 0 and (estimate, low, high) == pytest.approx(mean_interval(np.zeros(60)))


@pytest.mark.slow
def test_looking_often_declares_no_winner_between_equals():
    rng = np.random.default_rng(0)
    wrong = sum(stopped(200, 20, 2, rng) for _ in range(40))
    assert binomtest(wrong, 40, 0.05, alternative="greater").pvalue > 0.01
    # A Brownian motion, looked at at all times.
    steps = rng.normal(size=(2000, 2000)).cumsum(axis=1)
    n = np.arange(1, 2001)
    out = (np.abs(steps / n) > anytime_half_width(1 / n, 0.1)).any(axis=1)
    assert out.mean() <= 0.05


def test_shares_and_equations_agree_with_the_mean():
    rng = np.random.default_rng(0)
    seen = rng.choice([0.0, 0.5, 1.0], 50)
    codes = np.arange(50) // 5
    for by in (None, codes):
        ends = equation_interval(lambda t: (seen - t, -t, 1 - t), seen.mean(), (0.0, 1.0), codes=by)
        assert ends == pytest.approx(mean_interval(seen, by, bounds=(0, 1))[1:], abs=2e-3)
    assert clustered_share(np.repeat(seen.round(), 4), codes=np.arange(200) // 4)[1:] == pytest.approx(
        clustered_share(seen.round())[1:], abs=0.02
    )


@pytest.mark.slow
def test_the_grid_of_raters_holds():
    found = list(coverage_raters.rows(16, thin=True))
    assert not failures(found), failures(found)
    assert set(VERDICTS) == {"model_a", "tie", "model_b"}


# Ratings: simulations with known strengths.


def simulated_counts(m: int, n: int, ties: float, n_simulations: int) -> Iterator[tuple[pd.DataFrame, pd.DataFrame]]:
    """Win and tie counts of n votes on random pairs; the expected score is that of Bradley-Terry, ties or not."""
    rng = np.random.default_rng(m * n)
    names, pairs = truth(m).index, np.triu_indices(m, 1)
    p = 1 / (1 + 10 ** ((truth(m).to_numpy()[pairs[1]] - truth(m).to_numpy()[pairs[0]]) / 400))
    tie = ties * np.minimum(p, 1 - p)
    chance = np.stack([p - tie / 2, tie, 1 - p - tie / 2]) / len(p)
    for counts in rng.multinomial(n, chance.ravel(), size=n_simulations).reshape(-1, *chance.shape):
        wins, tied = np.zeros((m, m)), np.zeros((m, m))
        wins[pairs], wins.T[pairs] = counts[0], counts[2]
        tied[pairs] = tied.T[pairs] = counts[1]
        yield pd.DataFrame(wins, names, names), pd.DataFrame(tied, names, names)


def truth(m: int) -> pd.Series:
    return pd.Series(1000 + np.linspace(120, -120, m), [f"m{k:02d}" for k in range(m)])


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:BradleyTerry")
@pytest.mark.parametrize("ties", [0.0, 1.0])
@pytest.mark.parametrize(
    ("m", "n", "interval"),
    [(3, 60, "sandwich"), (8, 600, "sandwich"), (20, 1000, "sandwich"), (3, 60, "bootstrap"), (8, 600, "bootstrap")],
)
def test_overall_ratings(m: int, n: int, interval: str, ties: float) -> None:
    held, held_rate = [], []
    expected = 1 / (1 + 10 ** ((truth(m).iloc[0] - truth(m).iloc[1:]) / 400))
    for wins, tied in simulated_counts(m, n, ties, 200):
        model = rl.BradleyTerry(interval=interval, n_resamples=400, random_state=0).fit_counts(wins, tied)
        held.append(truth(m).between(model.ci_low_, model.ci_high_))
        rates = model.expected_win_rate("m00").iloc[1:]
        held_rate.append(expected.between(rates["win_rate_low"], rates["win_rate_high"]))
    assert 0.93 < np.mean(held) < 0.98
    assert 0.93 < np.mean(held_rate) < 0.98


def simulated_intents(
    rng: np.random.Generator, m: int, n_intents: int, n: int, sd: float, per_prompt: int
) -> tuple[pd.DataFrame, pd.Series, pd.DataFrame]:
    """Intents of unequal sizes drawn from the prior; the votes of a prompt are on one pair, and correlated by half."""
    true = truth(m).to_numpy() + rng.normal(0, sd, (n_intents, m))
    true += 1000 - true.mean(axis=1, keepdims=True)
    intent = rng.choice(n_intents, n // per_prompt, p=rng.dirichlet(np.full(n_intents, 1.5)))
    a = rng.integers(m, size=len(intent))
    b = (a + rng.integers(1, m, size=len(intent))) % m
    p = 1 / (1 + 10 ** ((true[intent, b] - true[intent, a]) / 400))
    tie = 0.6 * np.minimum(p, 1 - p)
    shared = rng.normal(size=len(intent)) if per_prompt > 1 else np.zeros(len(intent))
    own = rng.normal(size=(per_prompt, len(intent))) * (np.sqrt(0.5) if per_prompt > 1 else 1.0)
    z = np.sqrt(0.5) * shared + own
    # Normal scores against normal quantiles: the chance of each outcome is exact, whatever the correlation.
    winner = np.select([z < ndtri(p - tie / 2), z < ndtri(p + tie / 2)], ["model_a", "tie"], "model_b")
    names = truth(m).index.to_numpy()
    columns = {"prompt_id": np.arange(len(intent)), "model_a": names[a], "model_b": names[b]}
    votes = pd.concat([pd.DataFrame({**columns, "winner": w}) for w in winner], ignore_index=True)
    codes = pd.Series([f"i{k:02d}" for k in intent], name="intent")
    levels = [f"i{k:02d}" for k in range(n_intents)]
    return votes, codes, pd.DataFrame(true, index=levels, columns=names)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:BradleyTerry")
@pytest.mark.parametrize(
    ("m", "n_intents", "n", "sd", "per_prompt", "low", "high"),
    [
        (6, 24, 3000, 50, 1, 0.93, 0.98),
        (6, 24, 3000, 140, 1, 0.93, 0.98),
        (6, 24, 600, 90, 1, 0.93, 0.98),
        (3, 4, 200, 90, 1, 0.93, 0.98),
        (6, 24, 4000, 90, 8, 0.93, 0.98),
        (6, 24, 3000, 0, 1, 0.95, 1.0),  # intents do not differ: the interval allows that they may
    ],
)
def test_intents_drawn_from_the_prior(
    m: int, n_intents: int, n: int, sd: float, per_prompt: int, low: float, high: float
) -> None:
    rng, held, held_rate = np.random.default_rng(0), [], []
    for _ in range(40 if n_intents > 10 else 120):
        votes, by, true = simulated_intents(rng, m, n_intents, n, sd, per_prompt)
        table = rl.rate(votes, by=by, baseline="m00").set_index(["intent", "model"])
        rating = true.stack().rename_axis(["intent", "model"]).reindex(table.index)  # noqa: PD013
        held.append(rating.between(table["ci_low"], table["ci_high"]).mean())
        win_rate = 1 / (1 + 10 ** (true.rsub(true["m00"], axis=0) / 400))
        win_rate = win_rate.stack().rename_axis(["intent", "model"]).reindex(table.index)  # noqa: PD013
        others = table.index.get_level_values("model") != "m00"
        held_rate.append(win_rate.between(table["win_rate_low"], table["win_rate_high"])[others].mean())
    assert low < np.mean(held) < high
    assert low < np.mean(held_rate) < high
