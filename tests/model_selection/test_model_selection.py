"""Promises, copies, and claims of a procedure."""

import warnings
from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.dummy import DummyRegressor
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline

import routerlab as rl
from benchmarks import coverage_promise
from benchmarks.grid import failures
from routerlab.decision import sweep_estimates
from routerlab.exceptions import ParameterError
from routerlab.model_selection import CopiesWarning, RepeatedClaims
from routerlab.schema import TableError


def constant(name, index):
    return pd.Series(name, index=index)


def world(n, loss=0.0, win=0.0, seed=0):
    """Draw a small model that loses and wins on shares of the prompts, against one that costs five times as much."""
    rng = np.random.default_rng(seed)
    index = pd.Index([f"p{i}" for i in range(n)])
    better = rng.choice([-1, 0, 1], p=[loss, 1 - loss - win, win], size=n)
    both = rng.random(n) < 0.6
    small = np.where(better == 0, both, better > 0).astype(float)
    large = np.where(better == 0, both, better < 0).astype(float)
    quality = pd.DataFrame({"small": small, "large": large}, index=index)
    return quality, pd.DataFrame({"small": 0.002, "large": 0.01}, index=index)


@pytest.mark.parametrize(("n", "granted"), [(290, False), (310, True)])
def test_without_a_loss_a_promise_of_one_point_takes_three_hundred_prompts(n, granted):
    quality, cost = world(n)
    result = rl.promise({"small": constant("small", quality.index)}, quality, cost, baseline="large")
    assert result.granted == granted and result.n_testing == n and result.n_needed == 299
    assert result.saving == pytest.approx(0.8 * granted)
    assert result.unguarded_saving == pytest.approx(0.8)


def test_a_promise_that_is_not_granted_says_how_many_prompts_would_do():
    quality, cost = world(200, loss=0.02, win=0.02)
    result = rl.promise({"small": constant("small", quality.index)}, quality, cost, baseline="large")
    assert not result.granted and result.option is None and np.isnan(result.willingness_to_pay)
    assert result.n_needed < result.n_needed_as_seen < np.inf
    assert set(result.choose({"small": constant("small", quality.index)})) == {"large"}
    assert "keeps large" in repr(result) and f"needs {result.n_needed:,}" in repr(result)
    hopeless = rl.promise({"s": constant("small", quality.index)}, *world(200, loss=0.2), baseline="large")
    assert np.isinf(hopeless.n_needed_as_seen) and "no number would do" in repr(hopeless)


def test_a_promise_prints_its_price_its_evidence_and_its_limits():
    quality, cost = world(1200, loss=0.01, win=0.01)
    kind = pd.Series(np.where(np.arange(1200) < 60, "rare", "common"), index=quality.index)
    quality.loc[kind == "rare", "small"] = 0.0
    options = {"small": constant("small", quality.index)}
    result = rl.promise(options, quality, cost, baseline="large", max_quality_loss=0.1, by=kind, valid_days=30)
    assert result.granted and result.test_again == date.today() + timedelta(days=30)
    assert result.slices.index[0] == "rare" and result.slices.loc["rare", "quality_low"] < -0.4
    for said in (
        "80% of cost",
        "95% probability",
        "at most 10 points",
        "worst of 2 slices: rare (n = ",
        "test again by",
    ):
        assert said in repr(result), said
    few = pd.Series(np.where(np.arange(1200) < 1192, "common", "handful"), index=quality.index)
    told = repr(rl.promise(options, quality, cost, baseline="large", max_quality_loss=0.1, by=few))
    assert "least certain slice of 2: handful (n = 8): seen" in told
    assert "points: too few to say; worst of the others with 29 prompts or more: common (n = 1,192): seen" in told
    sweep = sweep_estimates(quality.assign(small=0.9, large=1.0), cost)
    for by, said in ((few, "least certain slice handful (n = "), (kind, "worst slice rare (n = ")):
        tuned = {"baseline": "large", "max_quality_loss": 0.1, "guarantee": 0.95, "by": by, "ordering": 0}
        point = rl.choose_operating_point(sweep, quality, cost, **tuned)
        assert said in repr(point) and ("too few to say" in repr(point)) == (by is few)
    now, low = result.under_mix({"rare": 0.5, "common": 0.5})
    assert low < now < result.quality_difference
    assert result.under_mix(kind)[0] == pytest.approx(result.quality_difference)
    with pytest.raises(ParameterError, match="unheard"):
        result.under_mix({"unheard": 1.0})


def test_hundreds_of_worthless_options_are_not_granted_by_luck():
    rng = np.random.default_rng(1)
    index = pd.RangeIndex(400)
    quality = pd.DataFrame((rng.random((400, 300)) < 0.7).astype(float), index=index).rename(columns=str)
    quality["large"] = (rng.random(400) < 0.8).astype(float)
    cost = pd.DataFrame(0.001, index=index, columns=quality.columns).assign(large=0.01)
    options = {name: constant(name, index) for name in quality.columns.drop("large")}
    result = rl.promise(options, quality, cost, baseline="large", max_quality_loss=0.03)
    assert result.n_options == 300 and result.unguarded_saving > 0.8 and not result.granted


@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize(("n", "bar", "discordance"), [(60, 0.05, 0.05), (300, 0.02, 0.2), (150, 0.3, 0.5)])
@pytest.mark.slow
def test_a_loss_of_exactly_the_bar_is_granted_in_one_of_twenty_at_most(binary, n, bar, discordance):
    broken, n_simulations = 0, 150
    loss, win = (discordance + bar) / 2, (discordance - bar) / 2
    for seed in range(n_simulations):
        quality, cost = world(n, loss, win, seed)
        quality = quality if binary else quality * 0.998
        options = {"small": constant("small", quality.index)}
        broken += rl.promise(options, quality, cost, baseline="large", max_quality_loss=bar).granted
    assert stats.binom.sf(broken - 1, n_simulations, 0.05) > 0.001, broken


def halfway(n=2000, seed=0):
    """Draw a small model that loses too much for all prompts, and not too much for half of them."""
    quality, cost = world(n, loss=0.05, win=0.01, seed=seed)
    return {"small": constant("small", quality.index)}, quality, cost


def test_what_is_too_much_for_all_prompts_may_be_right_for_a_share_of_them():
    options, quality, cost = halfway()
    result = rl.promise(options, quality, cost, baseline="large", max_quality_loss=0.02)
    assert not result.granted and result.option is None and np.isnan(result.willingness_to_pay)
    assert 0.25 < result.share < 0.5 and result.share_option == "small"
    assert result.saving == pytest.approx(0.8 * result.share)
    assert f"{100 * result.share:.0f}% of prompts at small, the others at large" in repr(result)
    assert "no number would do" in repr(result)
    chosen = result.choose(options)
    assert abs((chosen == "small").mean() - result.share) < 0.04
    part = {"small": options["small"].iloc[::-7]}
    assert result.choose(part).equals(chosen.iloc[::-7])  # the same prompts each time
    tested = result.tested.iloc[-1]
    assert not tested["granted"] and tested["p_value"] > 0.05 and tested["share"] == pytest.approx(result.share + 0.05)


def test_with_too_few_prompts_not_even_a_share_is_granted():
    options, quality, cost = halfway(140)
    result = rl.promise(options, quality, cost, baseline="large", max_quality_loss=0.02)
    assert result.share == 0 and result.n_needed == 149 and set(result.choose(options)) == {"large"}
    options, quality, cost = halfway(160)
    assert rl.promise(options, quality, cost, baseline="large", max_quality_loss=0.02).share > 0


def test_between_two_options_a_share_of_the_prompts_goes_on():
    quality, cost = world(2000, loss=0.05, win=0.01)
    quality["mid"], cost["mid"] = quality["large"], 0.006
    options = {name: constant(name, quality.index) for name in ("small", "mid")}
    result = rl.promise(options, quality, cost, baseline="large", max_quality_loss=0.01)
    assert result.option == "mid" and result.share_option == "small" and 0 < result.share < 0.25
    assert result.saving == pytest.approx(0.4 + 0.4 * result.share)
    assert set(result.choose(options)) == {"mid", "small"}


def test_ten_conversations_are_not_three_hundred_prompts():
    quality, cost = world(300)
    options = {"small": constant("small", quality.index)}
    talk = pd.Series(np.arange(300) // 30, index=quality.index)
    alone, together = (
        rl.promise(options, quality, cost, baseline="large", groups=g, max_quality_loss=0.05) for g in (None, talk)
    )
    assert alone.granted and not together.granted
    assert together.n_groups == 10 and "10 groups" in repr(together)


def test_ordering_and_testing_do_not_share_a_group():
    quality, cost = world(600)
    options = {"small": constant("small", quality.index), "large": constant("large", quality.index)}
    talk = np.arange(600) // 6
    result = rl.promise(options, quality, cost, baseline="large", groups=talk, max_quality_loss=0.2)
    assert result.n_ordering % 6 == 0 and result.n_testing % 6 == 0 and result.n_groups == 80


def problem(n=400, seed=0):
    rng = np.random.default_rng(seed)
    kind = rng.integers(0, 2, n)
    X = pd.DataFrame(np.eye(2)[kind] + rng.normal(0, 0.05, (n, 2)), index=[f"p{i}" for i in range(n)])
    quality = pd.DataFrame({"small": 1.0 - kind, "large": 1.0}, index=X.index)
    return X, quality, pd.DataFrame({"small": 0.001, "large": 0.01}, index=X.index)


@pytest.mark.parametrize("router", [rl.KNNRouter(5), rl.Router(Ridge())], ids=lambda r: type(r).__name__)
def test_a_router_that_was_promised_nothing_sends_everything_to_the_baseline(router, tmp_path):
    X, quality, cost = problem(60)
    router = router.fit(X, quality, cost=cost)
    kept = rl.set_operating_point(router, X, quality, cost, baseline="large", guarantee=0.95)
    assert kept.operating_point_.keeps_baseline and "small" in set(router.predict(X))
    assert set(kept.predict(X)) == {"large"}
    assert set(kept.sweep(X).at(0.0)) == {"large"}
    with pytest.raises(ValueError, match="nan"):
        router.sweep(X).at(kept.operating_point_.willingness_to_pay)
    if isinstance(router, rl.KNNRouter):
        again = rl.load_router(kept.save(tmp_path / "router"))
        assert set(again.predict(X)) == {"large"} and again.operating_point_.keeps_baseline
        assert "nothing cheaper could be promised" in again.explain(X.iloc[[0]]).why


@pytest.mark.parametrize("router", [rl.KNNRouter(5), rl.Router(Ridge())], ids=lambda r: type(r).__name__)
def test_a_router_that_was_promised_a_share_keeps_the_others_at_the_baseline(router, tmp_path):
    rng = np.random.default_rng(2)
    X, quality, cost = problem(1500)
    router = router.fit(X, quality, cost=cost)
    quality["small"] = (rng.random(1500) < np.where(quality["small"] > 0, 0.93, 0.0)).astype(float)
    options = {"baseline": "large", "max_quality_loss": 0.015, "guarantee": 0.95}
    tuned = rl.set_operating_point(router, X, quality, cost, **options)
    point = tuned.operating_point_
    assert 0 < point.share < 1 and not point.keeps_baseline and np.isnan(point.willingness_to_pay)
    assert f"for {100 * point.share:.0f}% of the prompts (the others keep large)" in repr(point)
    free = router.set_params(willingness_to_pay=point.share_willingness_to_pay).predict(X) == "small"
    small = tuned.predict(X) == "small"
    assert (free | ~small).all() and small.sum() / free.sum() == pytest.approx(point.share, abs=0.06)
    assert (tuned.sweep(X).at(0.0) == "small").mean() == pytest.approx(point.share, abs=0.06)
    if isinstance(router, rl.KNNRouter):
        again = rl.load_router(tuned.save(tmp_path / "router"))
        assert again.predict(X).equals(tuned.predict(X))
        other = X.index[tuned.predict(X) == "large"][0]
        percent = f"{100 * point.share:.0f}%"
        left = tuned.explain(X.loc[[other]])
        assert left.left_to_baseline and left.share == point.share
        assert left.why.startswith(f"large: the promise sends only a share ({percent}) of the prompts to the router")
        assert "drawn for the baseline" in left.why
        sent = tuned.explain(X.loc[[X.index[small][0]]])
        assert not sent.left_to_baseline and f"in the share ({percent}) that the promise sends" in sent.why
        elsewhere = rl.KNNRouter(5, min_similarity=0.1, fallback="small").fit(*problem(1500)[:2], cost=cost)
        assert rl.set_operating_point(elsewhere, X, quality, cost, **options).operating_point_.keeps_baseline


def test_an_estimate_says_that_it_is_no_promise_and_a_promise_what_it_costs():
    X, quality, cost = problem()
    router = rl.KNNRouter(5).fit(X, quality, cost=cost)
    options = {"baseline": "large", "max_quality_loss": 0.02}
    plain = rl.set_operating_point(router, X, quality, cost, **options).operating_point_
    assert "an estimate, not a promise" in repr(plain)
    sure = rl.set_operating_point(router, X, quality, cost, **options, guarantee=0.95)
    assert set(sure.predict(X)) == {"small", "large"}
    assert "not a promise" not in repr(sure.operating_point_) and "95%" in repr(sure.operating_point_)


def copied(n=60, copies=5, d=32, seed=0):
    rng = np.random.default_rng(seed)
    index = [f"p{i}-{k}" for i in range(n) for k in range(copies)]
    X = pd.DataFrame(np.repeat(rng.normal(size=(n, d)), copies, axis=0), index=index)
    quality = pd.DataFrame({"small": np.repeat((rng.random(n) < 0.6).astype(float), copies), "large": 1.0}, index=index)
    return X, quality, pd.DataFrame({"small": 0.001, "large": 0.01}, index=index)


def test_an_answer_is_not_estimated_from_its_own_copy():
    X, quality, cost = copied()
    estimate = rl.cross_estimates(rl.KNNRouter(3), X, quality, cost).quality["small"]
    assert abs(np.corrcoef(estimate, quality["small"])[0, 1]) < 0.4
    torn = list(np.array_split(np.random.default_rng(0).permutation(len(X)), 5))
    folds = [(np.setdiff1d(np.arange(len(X)), test), test) for test in torn]
    estimate = rl.cross_estimates(rl.KNNRouter(3), X, quality, cost, cv=folds).quality["small"]
    assert np.corrcoef(estimate, quality["small"])[0, 1] > 0.9
    choices = rl.held_out_choices(rl.KNNRouter(3), X, quality, cost, baseline="large")
    assert choices.attrs["n_groups"] == 60
    assert (choices == "large").mean() > 0.9


@pytest.mark.parametrize("given", ["X", "prompts", "groups"])
def test_copies_are_known_by_text_or_by_group(given):
    X, quality, cost = copied()
    rng = np.random.default_rng(1)
    texts = pd.Series(
        [f"Tell me  {'ABOUT' if i % 2 else 'about'} {name.split('-')[0]}" for i, name in enumerate(X.index)]
    )
    texts.index = X.index
    # Too far from the copy for a warning, near enough to be its nearest neighbour.
    X = pd.DataFrame(X + rng.normal(0, 0.3, X.shape), index=X.index)
    router, options = rl.KNNRouter(3), {}
    if given == "X":
        router, X = make_pipeline(rl.LsaEmbedder(8), router), texts
    else:
        options = {"prompts": texts} if given == "prompts" else {"groups": texts.str.lower().str.split().str[-1]}
    estimate = rl.cross_estimates(router, X, quality, cost, **options).quality["small"]
    assert abs(np.corrcoef(estimate, quality["small"])[0, 1]) < 0.4


def test_near_copies_are_counted_in_a_warning_and_groups_settle_it():
    X, quality, cost = copied(n=100, copies=2)
    X += np.random.default_rng(0).normal(0, 0.01, X.shape)
    with pytest.warns(CopiesWarning, match="200 of 200 prompts have a near copy"):
        rl.held_out_choices(rl.KNNRouter(3), X, quality, cost, baseline="large", cv=3)
    group = pd.Series(X.index.str.split("-").str[0], index=X.index)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rl.held_out_choices(rl.KNNRouter(3), X, quality, cost, baseline="large", cv=3, groups=group)


@pytest.mark.parametrize("run", [rl.cross_estimates, rl.cross_sweep])
def test_an_embedding_that_has_seen_the_outcomes_is_refused(run):
    X, quality, cost = problem()
    learned = rl.OutcomeEmbedder().fit_transform(X, quality)
    with pytest.raises(TableError, match=r"make_pipeline\(OutcomeEmbedder"):
        run(rl.KNNRouter(5), learned, quality, cost)
    with pytest.raises(TableError, match="OutcomeEmbedder"):
        rl.held_out_choices(rl.KNNRouter(5), learned, quality, cost, baseline="large")
    run(make_pipeline(rl.OutcomeEmbedder(), rl.KNNRouter(5)), X, quality, cost)


def test_held_out_choices_take_folds_of_ones_own():
    X, quality, cost = problem(200)
    half = np.arange(200) < 100
    folds = [(np.flatnonzero(half), np.flatnonzero(~half)), (np.flatnonzero(~half), np.flatnonzero(half))]
    choices = rl.held_out_choices(rl.KNNRouter(5), X, quality, cost, baseline="large", cv=folds)
    assert choices.index.equals(X.index) and choices.attrs["n_folds"] == 2
    with pytest.raises(ParameterError, match="Test each prompt once"):
        rl.held_out_choices(rl.KNNRouter(5), X, quality, cost, baseline="large", cv=folds[:1])


def test_held_out_choices_under_a_guarantee_keep_the_baseline_where_prompts_are_few():
    X, quality, cost = problem(200)
    options = {"baseline": "large", "max_quality_loss": 0.05}
    few = rl.held_out_choices(rl.KNNRouter(5), X, quality, cost, **options, guarantee=0.95, groups=np.arange(200) // 10)
    assert few.attrs["n_kept_baseline"] == 5 and few.attrs["n_groups"] == 20
    enough = rl.held_out_choices(rl.KNNRouter(5), X, quality, cost, **options, guarantee=0.95)
    assert enough.attrs["n_kept_baseline"] == 0


def test_outcomes_in_another_order_are_joined_by_prompt():
    X, quality, cost = problem(200)
    options = {"baseline": "large", "max_quality_loss": 0.0}
    plain = rl.held_out_choices(rl.KNNRouter(5), X, quality, cost, **options)
    turned = rl.held_out_choices(rl.KNNRouter(5), X, quality.iloc[::-1], cost.iloc[::-1], **options)
    assert turned.equals(plain)


def test_repeated_claims_name_the_procedure_and_one_router():
    X, quality, cost = problem(160)
    rng = np.random.default_rng(3)
    noisy = quality.assign(small=np.where(rng.random(160) < 0.3, 1 - quality["small"], quality["small"]))
    options = {"baseline": "large", "max_quality_loss": 0.15, "n_repeats": 6}
    result = rl.repeat_claims(rl.KNNRouter(9), X, noisy, cost, **options)
    assert isinstance(result, RepeatedClaims) and len(result.claims) == 6
    assert result.saving.low < result.claims["saving"].mean() < result.saving.high
    assert "the procedure saves" in repr(result) and "one of its routers, held fixed" in repr(result)
    assert rl.repeat_claims(rl.KNNRouter(9), X, noisy, cost, **options) == result


def test_a_procedure_that_always_kept_the_baseline_claims_no_certainty():
    X, quality, cost = problem(60)
    result = rl.repeat_claims(rl.KNNRouter(5), X, quality, cost, baseline="large", guarantee=0.95, n_repeats=3)
    assert result.claims["kept_baseline"].all() and np.isnan(result.saving.low)
    assert "every split kept the baseline" in repr(result)


def test_the_sweep_of_a_promise_is_tested_from_the_best_quality_down():
    X, quality, cost = problem()
    sweep = sweep_estimates(quality * 0.8 + 0.1, cost)
    result = rl.promise(sweep, quality, cost, baseline="large", max_quality_loss=0.02)
    assert result.granted and result.n_ordering == 80
    assert result.tested["cost_usd"].is_monotonic_decreasing
    assert set(result.choose(sweep)) == {"small", "large"}


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"guarantee": 95}, "guarantee"),
        ({"max_quality_loss": np.nan}, "max_quality_loss"),
        ({"ordering": 1.0}, "ordering"),
        ({"baseline": "gpt-5"}, "gpt-5"),
    ],
)
def test_what_can_not_be_promised_is_named(wrong, message):
    quality, cost = world(50)
    with pytest.raises(ValueError, match=message):
        rl.promise({"s": constant("small", quality.index)}, quality, cost, **({"baseline": "large"} | wrong))


def test_options_of_other_prompts_or_models_are_named():
    quality, cost = world(50)
    for options, message in (
        ({}, "empty"),
        ({"s": "small"}, "got str"),
        ({"s": constant("tiny", quality.index)}, "tiny"),
        ({"s": constant("small", quality.index), "t": constant("small", quality.index[1:])}, "p0"),
    ):
        with pytest.raises(TableError, match=message):
            rl.promise(options, quality, cost, baseline="large")


def test_a_strip_of_repeats_shows_every_split_and_both_intervals():
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("agg")
    X, quality, cost = problem(160)
    result = rl.repeat_claims(rl.KNNRouter(9), X, quality, cost, baseline="large", max_quality_loss=0.15, n_repeats=4)
    left, right = rl.plot_repeats(result)
    for panel in (left, right):
        strip = next(line for line in panel.lines if line.get_gid() == "splits")
        assert len(strip.get_xdata()) == 4
    assert [text.get_text() for text in left.get_yticklabels()][1] == "the procedure"
    with pytest.raises(TableError, match="repeat_claims"):
        rl.plot_repeats(result.claims)


@pytest.mark.slow
def test_no_cell_of_the_grid_breaks_more_promises_than_it_may():
    cells = list(coverage_promise.rows(30, thin=True))
    assert not failures(cells), failures(cells)
    granted = {(cell["world"], cell["n"]): 1 - cell["refused"] for cell in cells}
    assert granted["independent, bar 2 points", 400] > 0.5


@pytest.mark.slow
def test_a_promise_is_of_the_router_that_was_tested():
    n, bar, broken, n_simulations = 500, 0.05, 0, 150
    names = [f"small {k}" for k in range(12)]
    for seed in range(n_simulations):
        rng = np.random.default_rng(seed)
        X = pd.DataFrame(rng.normal(size=(n, 2)))
        turned = rng.choice([-1.0, 0.0, 1.0], p=[0.1 + bar / 2, 0.8, 0.1 - bar / 2], size=(n, len(names)))
        quality = pd.DataFrame(0.5 + turned / 2, columns=names).assign(large=0.5)
        cost = pd.DataFrame(0.001, X.index, names).assign(large=0.01)
        folds, learn = rl.model_selection.promise_folds(np.arange(n), random_state=seed)
        router = rl.Router(DummyRegressor())  # takes the model that is best on average, for all prompts
        sweep = rl.cross_sweep(router, X, quality, cost, cv=folds)
        options = {"baseline": "large", "max_quality_loss": 0.49 * bar}
        granted = rl.promise(sweep, quality, cost, **options, ordering=learn)
        if granted.granted:  # every small model loses more
            fitted = router.fit(X[learn], quality[learn], cost=cost[learn])
            broken += (fitted.sweep(X).at(granted.willingness_to_pay) != "large").all()
    assert stats.binom.sf(broken - 1, n_simulations, 0.05) > 0.001, broken


@pytest.mark.parametrize("ordering", [np.ones(50, dtype=bool), np.zeros(49, dtype=bool), np.zeros(50)])
def test_prompts_that_lay_the_path_are_given_as_bools_and_leave_some_to_test(ordering):
    quality, cost = world(50)
    with pytest.raises(ValueError, match="ordering"):
        rl.promise({"s": constant("small", quality.index)}, quality, cost, baseline="large", ordering=ordering)


def test_half_of_the_prompts_test_a_router_that_has_not_seen_their_groups():
    codes = np.arange(60) // 3
    folds, learn = rl.model_selection.promise_folds(codes)
    assert sorted(np.concatenate([test for _, test in folds])) == list(range(60)) and learn.sum() == 30
    assert all(not set(codes[train]) & set(codes[test]) for train, test in folds)
    assert set(folds[-1][0]) == set(np.flatnonzero(learn)) and all(learn[train].all() for train, _ in folds)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("make", "options"),
    [
        (coverage_promise.independent, {}),
        (coverage_promise.two_points, {}),
        (coverage_promise.thresholds, {"n_options": 20}),
        (coverage_promise.thresholds, {"n_options": 300}),
        (coverage_promise.thresholds, {"graded": True}),
    ],
)
def test_a_promise_saves_two_thirds_of_what_an_oracle_does_and_keeps_its_word(make, options):
    drawn = make(0.02, np.random.default_rng(0), **options)
    row = coverage_promise.cell("power", drawn, 2000, 0.02, 100)
    assert stats.binom.sf(round(100 * row["false"]) - 1, 100, 0.05) > 0.001, row["false"]
    assert row["mean saving"] > (2 / 3 - 0.02) * row["oracle"]


def test_serving_honours_a_promise_that_kept_the_baseline():
    openai = pytest.importorskip("openai")
    texts = ["How do I poach an egg?", "How do I boil rice?", "Fix my SQL query", "Fix my Python script"]
    quality = pd.DataFrame({"small": [0.9, 0.9, 0.2, 0.3], "large": [0.9, 0.9, 0.9, 0.8]})
    cost = pd.DataFrame({"small": [0.0001] * 4, "large": [0.01] * 4})
    embedder = rl.LsaEmbedder().fit(texts)
    X = embedder.transform(texts)
    router = rl.KNNRouter(n_neighbors=2, willingness_to_pay=0.1).fit(X, quality, cost=cost)
    kept = rl.set_operating_point(router, X, quality, cost, baseline="large", guarantee=0.95)
    local = openai.OpenAI(base_url="http://127.0.0.1:9/v1", api_key="unused")
    endpoints = {"small": "s", "large": "l"}
    assert (
        rl.RoutedClient(router, embedder, endpoints, client=local).route("How do I poach two eggs?").chosen == "small"
    )
    assert rl.RoutedClient(kept, embedder, endpoints, client=local).route("How do I poach two eggs?").chosen == "large"


def test_splits_that_agree_by_chance_are_not_certainty():
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.normal(size=(40, 3)))
    quality = pd.DataFrame(0.5, X.index, ["small", "large"])
    cost = pd.DataFrame({"small": 0.001, "large": 0.01}, X.index)
    result = rl.repeat_claims(rl.KNNRouter(3), X, quality, cost, baseline="large", n_repeats=3)
    assert result.quality_difference.low < -0.05 < 0.05 < result.quality_difference.high
    assert result.saving.low < result.saving.estimate - 0.01
    with pytest.raises(ValueError, match="repeat_claims needs 14 prompts"):
        rl.repeat_claims(rl.KNNRouter(3), X[:9], quality[:9], cost[:9], baseline="large", n_repeats=3)


def test_serving_routes_the_share_that_was_promised_and_the_same_prompts_each_time():
    openai = pytest.importorskip("openai")
    rng = np.random.default_rng(0)
    words = ["egg", "rice", "query", "script", "poach", "boil", "fix", "write", "quick", "slow", "old", "new"]
    texts = list({" ".join(rng.choice(words, 5)) for _ in range(400)})
    embedder = rl.LsaEmbedder(6).fit(texts)
    X = embedder.transform(texts)
    quality = pd.DataFrame({"small": (rng.random(len(X)) < 0.93).astype(float), "large": 1.0}, index=X.index)
    cost = pd.DataFrame({"small": 0.001, "large": 0.01}, index=X.index)
    router = rl.Router(DummyRegressor()).fit(X, quality, cost=cost)
    tuned = rl.set_operating_point(router, X, quality, cost, baseline="large", max_quality_loss=0.04, guarantee=0.95)
    assert 0.2 < tuned.operating_point_.share < 0.7
    local = openai.OpenAI(base_url="http://127.0.0.1:9/v1", api_key="unused")
    client = rl.RoutedClient(tuned, embedder, {"small": "s", "large": "l"}, client=local)
    chosen, again = ([client.route(text).chosen for text in texts[:120]] for _ in range(2))
    assert chosen == again
    assert abs(chosen.count("small") / 120 - tuned.operating_point_.share) < 0.16
