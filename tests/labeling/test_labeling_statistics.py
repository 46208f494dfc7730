"""What the votes say: agreement, position bias, self-consistency, ratings under active choice, votes needed."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import routerlab as rl
from benchmarks.labeling import compare, label
from routerlab.labeling import (
    LogError,
    LogOwnerError,
    disagreements,
    krippendorff_alpha,
    merge_logs,
    position_bias,
    self_consistency,
    standings,
    to_judgments,
    votes_needed,
)
from routerlab.stats import anytime_half_width


def panel(n_pairs=60, n_raters=3, noise=0.3, seed=0, missing=0.2, per_prompt=1):
    """Raters who see the same true verdict and sometimes pick another at random."""
    rng = np.random.default_rng(seed)
    verdicts = np.array(["model_a", "model_b", "tie", "both_bad"])
    truth = rng.choice(4, n_pairs, p=[0.4, 0.3, 0.2, 0.1])
    rows = []
    for k in range(n_pairs):
        for r in range(n_raters):
            if rng.random() < missing:
                continue
            code = truth[k] if rng.random() > noise else rng.choice(4, p=[0.4, 0.3, 0.2, 0.1])
            rows.append((f"p{k // per_prompt}", f"x{k % per_prompt}", "y", verdicts[code], f"rater {r}"))
    return pd.DataFrame(rows, columns=["prompt_id", "model_a", "model_b", "winner", "judge"])


def turned(votes, rows):
    """The same votes, with the sides of some exchanged."""
    other = {"model_a": "model_b", "model_b": "model_a"}
    swap = votes.iloc[rows]
    back = swap.assign(model_a=swap["model_b"], model_b=swap["model_a"], winner=swap["winner"].replace(other))
    return pd.concat([votes.drop(swap.index), back])


@pytest.mark.parametrize("seed", range(3))
def test_alpha_is_that_of_evalica(seed):
    """Another implementation, in Rust, from a matrix of raters by pairs."""
    import evalica

    votes = panel(seed=seed)
    wide = votes.pivot(index="judge", columns="prompt_id", values="winner")  # noqa: PD010
    expected = evalica.alpha(wide, distance="nominal").alpha
    assert krippendorff_alpha(votes).alpha == pytest.approx(expected)


def test_alpha_of_a_worked_example():
    """Two raters, ten units, binary: Krippendorff (2011), "Computing Krippendorff's alpha-reliability", B."""
    first, second = "0100000010", "1110010000"
    rows = [
        (k, "x", "y", "model_a" if value == "1" else "model_b", judge)
        for judge, values in (("a", first), ("b", second))
        for k, value in enumerate(values)
    ]
    votes = pd.DataFrame(rows, columns=["prompt_id", "model_a", "model_b", "winner", "judge"])
    assert krippendorff_alpha(votes).alpha == pytest.approx(0.095, abs=5e-4)


def test_agreement_at_its_ends():
    votes = panel(noise=0.0)
    perfect = krippendorff_alpha(votes)
    assert (perfect.alpha, perfect.ci_high, perfect.raw) == (1, 1, 1)
    assert 0.8 < perfect.ci_low < 0.95, "sixty pairs without a disagreement do not rule disagreements out"
    chance = krippendorff_alpha(panel(n_pairs=400, noise=1.0, seed=1))
    assert chance.ci_low < 0 < chance.ci_high
    assert abs(chance.alpha) < 0.1


def test_agreement_does_not_depend_on_sides_order_or_repeats():
    votes = panel()
    result = krippendorff_alpha(votes)
    repeat = votes[:5].assign(winner="both_bad", repeat_of="x")
    for same in (turned(votes, slice(0, None, 3)), votes.sample(frac=1, random_state=0), pd.concat([votes, repeat])):
        assert krippendorff_alpha(same).alpha == pytest.approx(result.alpha)
    single = votes.drop_duplicates("prompt_id")
    assert krippendorff_alpha(pd.concat([votes, single.assign(prompt_id="q" + single["prompt_id"])])).n_units == (
        result.n_units
    )


def test_ordinal_agreement_forgives_ties_more_than_opposites():
    votes = panel(noise=0.0)
    first = votes.groupby("prompt_id").cumcount() == 0
    decided = votes["winner"].isin(["model_a", "model_b"])
    other = votes["winner"].replace({"model_a": "model_b", "model_b": "model_a"})
    near = votes.assign(winner=votes["winner"].mask(first & decided, "tie"))
    far = votes.assign(winner=votes["winner"].mask(first & decided, other))
    ordinal = [krippendorff_alpha(v, level="ordinal").alpha for v in (near, far)]
    assert ordinal[0] > ordinal[1] + 0.2
    assert not krippendorff_alpha(near).alpha > krippendorff_alpha(far).alpha + 0.2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda v: v.drop(columns="judge"), "column 'judge'"),
        (lambda v: v.drop_duplicates("prompt_id"), "no pair of responses that two raters judged"),
        (lambda v: v.assign(winner="tie"), "one verdict only"),
        (lambda v: v.assign(winner="left"), "expected one of"),
    ],
)
def test_agreement_refuses_what_has_none(change, message):
    with pytest.raises(rl.TableError, match=message):
        krippendorff_alpha(change(panel()))


@pytest.mark.slow
def test_the_interval_of_alpha_holds_the_truth():
    """Several pairs on one prompt; the truth from a large panel. At 95%, 150 simulations: at least 93%, and noise."""
    truth = krippendorff_alpha(panel(20_000, missing=0.3)).alpha
    held = []
    for seed in range(150):
        result = krippendorff_alpha(panel(150, missing=0.3, seed=seed + 1, per_prompt=3))
        held.append(result.ci_low <= truth <= result.ci_high)
    assert np.mean(held) >= 0.91


def test_disagreements_lead_to_a_queue_and_back():
    votes = panel(30)
    table = disagreements(votes)
    by_pair = votes.groupby("prompt_id")["winner"].nunique()
    assert set(table["prompt_id"]) == set(by_pair.index[by_pair > 1])
    assert table["severity"].is_monotonic_decreasing
    opposite = votes.groupby("prompt_id")["winner"].agg(lambda w: {"model_a", "model_b"} <= set(w))
    assert set(table.loc[table["severity"] == 2, "prompt_id"]) == set(opposite.index[opposite])
    sums = table[["wins_a", "wins_b", "ties", "both_bad"]].sum(axis=1)
    assert (sums == table["n_judges"]).all()
    rows = [(f"p{k}", model, f"{model}{k}") for k in range(30) for model in ("x0", "y")]
    responses = pd.DataFrame(rows, columns=["prompt_id", "model", "response"])
    queue = rl.PairQueue(responses, pairs=table, random_state=0, repeat_share=0)
    settled = [pair.vote("left", nonce=pair.pair_id) | {"judge": "eva"} for pair in queue]
    assert len(settled) == len(table)
    everything = pd.concat([votes, pd.DataFrame(settled)])
    assert not len(disagreements(everything, adjudicator="eva"))
    final = to_judgments(everything, adjudicator="eva")
    assert final.groupby("prompt_id")["winner"].nunique().max() == 1 or len(final) < len(everything)
    assert set(final.loc[final["judge"] == "eva", "prompt_id"]) == set(table["prompt_id"])
    assert not set(final.loc[final["judge"] != "eva", "prompt_id"]) & set(table["prompt_id"])
    with pytest.raises(rl.TableError, match="'nobody' has cast no vote"):
        to_judgments(votes, adjudicator="nobody")


def simulate_rater(bias=0.0, consistency=1.0, n=300, seed=0, repeat_share=0.3):
    """A rater who prefers a model at random, picks left with probability `bias` whatever it says, and may forget."""
    rng = np.random.default_rng(seed)
    rows = [(f"p{k}", model, f"{model}{k}") for k in range(n) for model in ("x", "y")]
    responses = pd.DataFrame(rows, columns=["prompt_id", "model", "response"])
    queue = rl.PairQueue(responses, strategy="random", repeat_share=repeat_share, random_state=seed)
    taste = {f"p{k}": rng.choice(["x", "y"]) for k in range(n)}
    votes = []
    for k, pair in enumerate(queue):
        likes = taste[pair.prompt_id] if rng.random() < consistency else rng.choice(["x", "y"])
        side = "left" if rng.random() < bias or likes == pair.model_left else "right"
        votes.append(pair.vote(side, nonce=str(k)) | {"judge": "ana"})
        queue.observe(votes[-1])
    return pd.DataFrame(votes)


def test_position_bias_is_found_where_there_is_one():
    fair = position_bias(simulate_rater())
    assert fair.left.low < 0.5 < fair.left.high
    biased = position_bias(simulate_rater(bias=0.3))
    assert biased.left.low < 0.65 < biased.left.high  # 0.3 + 0.7 / 2
    assert biased.left.low > 0.5
    assert biased.left.n + biased.n_undecided == len(simulate_rater(bias=0.3))
    with pytest.raises(rl.TableError, match="no vote for a side"):
        position_bias(simulate_rater().assign(winner="tie"))


def test_self_consistency_is_that_of_the_rater():
    steady = self_consistency(simulate_rater())
    assert (steady.same.estimate, steady.n_same_side, steady.n_other) == (1, 0, 0)
    votes = simulate_rater(consistency=0.6, n=600)
    wavering = self_consistency(votes)
    expected = 0.6**2 + (1 - 0.6**2) / 2
    assert wavering.same.low < expected < wavering.same.high
    assert wavering.same.n == votes["repeat_of"].notna().sum()
    always_left = self_consistency(simulate_rater(bias=1.0))
    assert always_left.same.estimate == 0
    assert always_left.n_same_side == always_left.same.n
    with pytest.raises(rl.TableError, match="no swapped repeat"):
        self_consistency(votes[votes["repeat_of"].isna()])
    with pytest.raises(rl.TableError, match="lacks the columns"):
        self_consistency(votes.drop(columns="judge"))


def test_repeats_of_two_raters_are_not_mixed_up():
    votes = pd.concat([simulate_rater().assign(judge=judge) for judge in ("ana", "bob")])
    assert self_consistency(votes).same.n == 2 * self_consistency(votes[votes["judge"] == "ana"]).same.n


def test_logs_of_several_raters_merge_and_rate(tmp_path):
    rows = [(f"p{k}", model, f"{model}{k}") for k in range(20) for model in ("x", "y", "z")]
    responses = pd.DataFrame(rows, columns=["prompt_id", "model", "response"])
    for rater in ("ana", "bob"):
        queue = rl.PairQueue(responses, rater=rater, random_state=0)
        log = rl.VoteLog(tmp_path, rater=rater, dataset_id=queue.dataset_id)
        for k in range(30):
            pair = queue.next_pair()
            log.append(pair.vote("left" if pair.model_left < pair.model_right else "tie", nonce=f"{k}"))
            queue.sync(log)
    merged = merge_logs(tmp_path)
    assert merged["judge"].value_counts().to_dict() == {"ana": 30, "bob": 30}
    assert merged["judged_at"].is_monotonic_increasing
    ratings = rl.rate(to_judgments(tmp_path))
    assert ratings["model"].tolist() == ["x", "y", "z"]
    once = to_judgments([log], repeats="drop")
    assert once.attrs["n_repeats_dropped"] == 30 - len(once) > 0
    assert to_judgments(log).equals(to_judgments(log.path))
    with pytest.raises(ValueError, match="'repeats'"):
        to_judgments(log, repeats="maybe")
    with pytest.raises(TypeError, match="Got int"):
        to_judgments(3)
    rl.VoteLog(tmp_path, rater="eve", dataset_id="other")
    with pytest.raises(LogOwnerError, match="different data sets"):
        merge_logs(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(rl.TableError, match="no vote log"):
        merge_logs(tmp_path / "empty")
    with pytest.raises(LogError, match="cannot be read"):
        merge_logs(tmp_path / "nothing.jsonl")


def test_one_rater_in_two_files_counts_once_for_each_pair(tmp_path):
    vote = {"type": "vote", "pair_id": "x", "prompt_id": "p", "model_a": "a", "model_b": "b"}
    for k, (name, winner) in enumerate((("one", "tie"), ("two", "model_a"))):
        log = rl.VoteLog(tmp_path / f"{name}.jsonl", rater="ana", dataset_id="d")
        log.append(vote | {"winner": winner, "nonce": name, "judged_at": f"2026-01-0{2 - k}T00:00:00+00:00"})
    with pytest.warns(rl.LogWarning, match="1 votes are on pairs that the same rater had decided"):
        merged = merge_logs(tmp_path)
    assert merged["winner"].tolist() == ["model_a"]


def random_votes(n, m=5, seed=0, spread=1.0, n_prompts=None):
    rng = np.random.default_rng(seed)
    strength = rng.normal(0, spread, m)
    pairs = np.array([rng.choice(m, 2, replace=False) for _ in range(n)])
    p = 1 / (1 + np.exp(strength[pairs[:, 1]] - strength[pairs[:, 0]]))
    winner = np.where(rng.random(n) < p, "model_a", "model_b")
    names = np.array([f"m{k}" for k in range(m)])
    prompt = np.arange(n) if n_prompts is None else rng.integers(n_prompts, size=n)
    table = {"prompt_id": prompt, "model_a": names[pairs[:, 0]], "model_b": names[pairs[:, 1]], "winner": winner}
    return pd.DataFrame(table), strength


def test_standings_agree_with_maximum_likelihood_when_votes_are_many():
    votes, _ = random_votes(30_000)
    result = standings(votes)
    table, plain = result.table().set_index("model"), rl.rate(votes).set_index("model")
    assert np.allclose(table["rating"], plain["rating"].loc[table.index], atol=1)
    assert np.allclose(table["ci_low"], plain["ci_low"].loc[table.index], atol=2)
    many, strengths = random_votes(30_000, m=30)
    assert standings(many).prior_sd == pytest.approx(400 / np.log(10) * np.std(strengths), rel=0.15)
    assert result.design_effect == pytest.approx(1, abs=0.03)
    assert abs(result.ratings.sum()) < 1e-9


def test_standings_are_the_posterior():
    """Against numerical integration over the difference and the scale of two models."""
    votes = pd.DataFrame({"prompt_id": range(12), "model_a": "x", "model_b": "y"})
    votes["winner"] = ["model_a"] * 9 + ["model_b"] * 3
    result = standings(votes)
    effect = result.design_effect
    sd = np.geomspace(0.05, 5, 400)[:, None]
    gap = np.linspace(-12, 12, 4001)[None]
    likelihood = -(9 * np.logaddexp(0, -gap) + 3 * np.logaddexp(0, gap)) / effect
    log = likelihood - gap**2 / (4 * sd**2) - np.log(sd) + 2 * np.log(sd) - sd**2 / 8
    weight = np.exp(log - log.max())
    mean = (weight * gap).sum() / weight.sum()
    variance = (weight * (gap - mean) ** 2).sum() / weight.sum()
    found = result.ratings[0] - result.ratings[1]
    spread = result.covariance[0, 0] + result.covariance[1, 1] - 2 * result.covariance[0, 1]
    assert found == pytest.approx(mean, rel=0.1)
    assert spread == pytest.approx(variance, rel=0.2)


def test_standings_say_how_they_were_made():
    votes, _ = random_votes(50, m=2)
    votes["model_a"] = votes["model_a"].replace("m0", "<m>")
    votes["model_b"] = votes["model_b"].replace("m0", "<m>")
    votes.attrs["provenance"] = "simulated: seed 0"
    result = standings(votes)
    assert repr(result).count("\n") == 2 and repr(result).endswith("95%, 50 votes; simulated: seed 0")
    assert "&lt;m&gt;" in result._repr_html_() and "<m>" not in result._repr_html_()
    assert result.table().attrs["provenance"] == "simulated: seed 0"


def test_standings_do_not_depend_on_sides_order_or_names():
    votes, _ = random_votes(100, n_prompts=40)
    result = standings(votes)
    for same in (turned(votes, slice(0, None, 2)), votes.sample(frac=1, random_state=1)):
        assert standings(same).models == result.models
        assert np.allclose(standings(same).ratings, result.ratings)
        assert np.allclose(standings(same).covariance, result.covariance)
    with pytest.raises(rl.TableError, match="has no rows"):
        standings(votes[:0])


def test_votes_on_one_prompt_that_agree_are_worth_less():
    votes, _ = random_votes(200)
    eightfold = pd.concat([votes] * 8, ignore_index=True)
    together = standings(eightfold)
    assert together.design_effect > 5
    width = np.sqrt(np.diag(together.covariance)) / np.sqrt(np.diag(standings(votes).covariance))
    assert np.all((0.9 < width) & (width < 1.25))


def test_a_rater_who_always_says_the_same_counts_as_one_voice():
    """Thirty votes of each of six raters who differ in taste: what thirty tell of one rater is no news on the next."""
    rng = np.random.default_rng(0)
    rows = [(f"p{r}-{k}", "x", "y", "model_a" if rng.random() < (0.9, 0.2)[r % 3 == 0] else "model_b", f"r{r}")
            for r in range(6) for k in range(30)]  # fmt: skip
    votes = pd.DataFrame(rows, columns=["prompt_id", "model_a", "model_b", "winner", "judge"])
    alone, by_rater = standings(votes), standings(votes, groups="judge")
    assert by_rater.design_effect > 5 * alone.design_effect and alone.df == np.inf
    assert by_rater.df == 5 and "only 6 groups" in by_rater.note and by_rater.note in repr(by_rater)
    width = [np.ptp(s.table()[["ci_low", "ci_high"]].iloc[0]) for s in (alone, by_rater)]
    assert width[1] > 2 * width[0]
    same = standings(votes, groups=votes["judge"].to_numpy())
    assert np.array_equal(same.covariance, by_rater.covariance)
    assert standings(votes, groups=pd.Series(votes["judge"].to_numpy(), votes["prompt_id"])).df == 5


@pytest.mark.parametrize("confidence", [0, 1, 95])
def test_standings_refuse_a_confidence_that_is_not_a_probability(confidence):
    with pytest.raises(rl.ParameterError, match="must lie between 0 and 1"):
        standings(pd.DataFrame([("p", "x", "y", "tie")], columns=["prompt_id", "model_a", "model_b", "winner"]),
                  confidence=confidence)  # fmt: skip


def test_votes_needed_is_what_it_takes():
    """Add that many votes which leave the estimate where it is: the interval then just excludes 0."""
    votes, _ = random_votes(100, m=4, seed=1, spread=0.3)
    posterior = standings(votes)
    forecast = votes_needed(posterior)
    assert 0 < forecast.n_low < forecast.n_votes < forecast.n_high and not forecast.separated
    assert (forecast.better, forecast.worse) == posterior.models[:2]
    gap = posterior.ratings[0] - posterior.ratings[1]
    p = 1 / (1 + np.exp(-gap))
    contrast = np.array([1.0, -1.0, 0, 0])
    before = contrast @ posterior.covariance @ contrast
    after = 1 / (1 / before + forecast.n_votes * p * (1 - p) / posterior.design_effect)
    assert gap / anytime_half_width(after, 0.5) == pytest.approx(1, abs=0.01)
    assert gap / anytime_half_width(before, 0.5) < 1
    assert str(forecast).startswith(f"{forecast.better} leads {forecast.worse} by {forecast.difference:.0f}")


def test_votes_needed_at_its_ends():
    votes, _ = random_votes(3000, m=3, seed=1, spread=2.0)
    apart = votes_needed(votes)
    assert apart.separated and apart.n_mixed == 0 and "told apart" in str(apart)
    even = pd.DataFrame({"prompt_id": range(4), "model_a": "x", "model_b": "y", "winner": ["model_a", "model_b"] * 2})
    assert "too close to say" in str(votes_needed(even)) and votes_needed(even).forecast == "too close to say"
    assert apart.forecast == "told apart"
    for top in (1, 4, 0):
        with pytest.raises(ValueError, match="rank from 2 to 3"):
            votes_needed(votes, top=top)


@pytest.mark.parametrize(
    ("n_votes", "said"),
    [
        (470.0, "about 470 more votes on this pair (120 or more)"),
        (1234.0, "about 1,200 more votes on this pair (120 or more)"),
        (1.2e7, "too close to tell with fewer than 100,000 more votes on this pair"),
    ],
)
def test_a_forecast_of_votes_is_written_for_people(n_votes, said):
    votes = pd.DataFrame({"prompt_id": range(40), "model_a": "small", "model_b": "large"})
    found = votes_needed(votes.assign(winner=["model_b"] * 23 + ["model_a"] * 17))
    assert str(replace(found, n_votes=n_votes, n_low=120.0)).endswith(f": {said}")


def test_the_forecast_is_right_about_half_the_time():
    """Cast the votes that it asks for, at the true odds: the pair should be apart in about half of all cases."""
    apart = []
    for seed in range(90):
        votes, strength = random_votes(150, m=3, seed=seed, spread=0.4)
        forecast = votes_needed(votes)
        if forecast.separated or forecast.n_votes > 1500:
            continue
        i, j = int(forecast.better[1:]), int(forecast.worse[1:])
        rng = np.random.default_rng(seed)
        n = int(forecast.n_votes)
        wins = rng.random(n) < 1 / (1 + np.exp(strength[j] - strength[i]))
        more = pd.DataFrame({"prompt_id": 10_000 + np.arange(n), "model_a": forecast.better, "model_b": forecast.worse})
        more["winner"] = np.where(wins, "model_a", "model_b")
        result = standings(pd.concat([votes, more]))
        a, b = (result.models.index(name) for name in (forecast.better, forecast.worse))
        contrast = np.zeros(3)
        contrast[[a, b]] = 1, -1
        apart.append(abs(contrast @ result.ratings) > anytime_half_width(contrast @ result.covariance @ contrast, 0.5))
    assert len(apart) > 25
    assert 0.3 < np.mean(apart) < 0.75


@pytest.mark.filterwarnings("ignore:BradleyTerry:UserWarning")  # a model that won everything
def test_maximum_likelihood_exaggerates_where_standings_do_not():
    """Why `standings`: with chosen pairs, maximum likelihood spreads ratings too far."""
    plain, posterior = [], []
    for seed in range(4):
        strength, results = label("information", 400, seed, n_models=20)
        result, votes = results[400]
        true = np.std(list(strength.values()))
        posterior.append(np.std(result.ratings) / true)
        plain.append(np.std(rl.rate(votes, alpha=0.01)["rating"]) * np.log(10) / 400 / true)
    assert 0.8 < np.mean(posterior) < 1.15
    assert np.mean(plain) > 1.3


@pytest.fixture(scope="module")
def sessions():
    """Eighty raters of ten models: votes at random, and votes on chosen pairs."""
    return compare(80, n_models=10)


@pytest.mark.slow
def test_400_chosen_votes_rank_as_well_as_600_random_ones(sessions):
    """No worse than 600, and surely better than 400. benchmarks/labeling.py measures it with more raters."""
    assert sessions["chosen 400"].mean() <= sessions["random 600"].mean()
    better = sessions["random 400"] - sessions["chosen 400"]
    assert better.mean() - 1.96 * better.std() / np.sqrt(len(better)) > 0


@pytest.mark.slow
def test_intervals_hold_the_truth_although_pairs_were_chosen(sessions):
    for votes in ("chosen 300", "chosen 400", "random 400", "random 600"):
        assert 0.93 <= sessions[f"held, {votes}"].mean() <= 0.98
