"""What claims take and what they refuse: shares, copies, groups, slices, folds, seeds."""

import numpy as np
import pandas as pd
import pytest
from sklearn.model_selection import GroupKFold, KFold, StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import routerlab as rl
from routerlab.exceptions import ParameterError, TableError
from routerlab.model_selection import fit_copy, grouped_folds, promise, promise_folds

N = 60
IDS = pd.Index([f"p{i}" for i in range(N)])
RNG = np.random.default_rng(0)
X = pd.DataFrame(RNG.normal(size=(N, 20)), index=IDS)
QUALITY = pd.DataFrame({"small": np.where(X[0] > 0, 0.95, 0.3), "large": 0.95}, index=IDS)
COST = pd.DataFrame({"small": 0.001, "large": 0.01}, index=IDS)
ROUTER = rl.KNNRouter(2).fit(X, QUALITY, cost=COST)
ON = {"baseline": "large", "max_quality_loss": 0.3}
EVEN = pd.Series(np.arange(N) % 3, index=IDS)


def held(rows=slice(None), **options):
    return rl.held_out_choices(rl.KNNRouter(1), X[rows], QUALITY[rows], COST[rows], **(ON | options))


def repeated(rows=slice(None), **options):
    options = ON | {"n_repeats": 3} | options
    return rl.repeat_claims(rl.KNNRouter(1), X[rows], QUALITY[rows], COST[rows], **options)


def promised(options=None, **more):
    return promise(ROUTER.sweep(X) if options is None else options, QUALITY, COST, **(ON | more))


CLAIMS = {
    "promise": promised,
    "choose": lambda **options: rl.choose_operating_point(ROUTER.sweep(X), QUALITY, COST, **(ON | options)),
    "choose, promised": lambda **options: CLAIMS["choose"](guarantee=0.95, **options),
    "set": lambda **options: rl.set_operating_point(ROUTER, X, QUALITY, COST, **(ON | options)),
    "set, promised": lambda **options: CLAIMS["set"](guarantee=0.95, **options),
    "held out": held,
    "repeated": repeated,
    "parity": lambda **options: rl.saving_at_parity(ROUTER.sweep(X), QUALITY, COST, **(ON | options)),
    "savings": lambda **options: rl.savings(ROUTER.predict(X), QUALITY, COST, **(ON | options)),
}


@pytest.mark.parametrize("bar", [3, 5, 1, -0.01, "5%", None, np.nan, np.inf, True, [0.01]])
@pytest.mark.parametrize("claim", CLAIMS)
def test_a_loss_is_a_share_of_the_scale_in_every_claim(claim, bar):
    with pytest.raises(ParameterError, match="'max_quality_loss' must be a share of the quality scale"):
        CLAIMS[claim](max_quality_loss=bar)


def test_a_promise_of_no_loss_asks_for_a_gain_and_not_for_zero_prompts():
    kept = promised(max_quality_loss=0)
    point = CLAIMS["set, promised"](max_quality_loss=0).operating_point_
    assert kept.keeps_baseline and "takes an option that is better than large, not as good" in str(kept)
    assert " 0 testing prompts" not in str(kept) and "needs 0 " not in str(point)
    index = range(100)
    better = (
        pd.DataFrame({"small": 1.0, "large": 0.5}, index=index),
        pd.DataFrame({"small": 1, "large": 2}, index=index),
    )
    assert promise({"small": pd.Series("small", index)}, *better, baseline="large", max_quality_loss=0).granted


@pytest.mark.parametrize("router", ["plain", "pipeline"])
@pytest.mark.parametrize("told", ["rows", "prompts", "both"])
def test_one_prompt_in_four_hundred_copies_is_one_prompt(told, router):
    """Its copies granted all traffic."""
    index = pd.RangeIndex(400)
    rows = pd.DataFrame(np.repeat(X.iloc[:1].to_numpy(), 400, axis=0), index=index)
    if told == "prompts":
        rows = rows + np.random.default_rng(1).normal(0, 0.1, rows.shape)
    options = {} if told == "rows" else {"prompts": ["How do I sort?", "how do I  sort?"] * 200}
    quality, cost = (pd.DataFrame({"small": v, "large": w}, index=index) for v, w in ((1.0, 1.0), (0.001, 0.01)))
    fitted = rl.KNNRouter(5) if router == "plain" else make_pipeline(StandardScaler(), rl.KNNRouter(5))
    fitted = fit_copy(fitted, rows, quality, cost)
    made = rl.set_operating_point(fitted, rows, quality, cost, baseline="large", guarantee=0.95, **options)
    point = (made if router == "plain" else made[-1]).operating_point_
    assert point.keeps_baseline and point.n_groups == 1
    assert (made.predict(rows) == "large").all()


def test_copies_join_the_groups_that_were_given():
    twice = pd.concat([X, X.set_axis([f"{i} again" for i in IDS])])
    quality, cost = (pd.concat([frame] * 2).set_axis(twice.index) for frame in (QUALITY, COST))
    on = {"baseline": "large", "guarantee": 0.95}
    point = rl.set_operating_point(ROUTER, twice, quality, cost, groups=np.arange(2 * N) // 2, **on).operating_point_
    assert point.n_groups < N // 2
    alone = rl.set_operating_point(ROUTER, X, QUALITY, COST, **on).operating_point_
    assert alone.n_groups is None and "larger than those seen" not in str(alone)
    assert alone == rl.choose_operating_point(ROUTER.sweep(X), QUALITY, COST, **on)


def test_a_promise_on_groups_says_that_larger_ones_are_not_covered():
    line = "assumes that no group is larger than those seen"
    assert line in str(promised(groups=np.arange(N) // 2))
    assert line in str(CLAIMS["choose, promised"](groups=np.arange(N) // 2))
    assert line not in str(promised()) and line not in str(promised(groups=np.arange(N)))


@pytest.mark.parametrize(
    ("by", "wrong"),
    [
        ("intent", "'by': is the name 'intent'"),
        (EVEN.to_frame(), "'by': is a DataFrame"),
        (np.arange(20), "'by': has 20 entries for 60 prompts"),
        (np.zeros((N, 1)), "'by': has the shape"),
        (3, "'by': has the shape"),
        (pd.concat([EVEN, EVEN]), "'by': names prompt_id 'p0'"),
    ],
)
@pytest.mark.parametrize("claim", ["promise", "choose", "choose, promised", "set", "set, promised"])
def test_slices_are_one_label_for_each_prompt(claim, by, wrong):
    with pytest.raises(ParameterError, match=wrong):
        CLAIMS[claim](by=by)


def test_slices_are_read_by_prompt():
    made = promised(by=EVEN).slices
    for by in (EVEN[::-1], EVEN.to_dict(), EVEN.to_numpy(), pd.Categorical(EVEN)):
        pd.testing.assert_frame_equal(promised(by=by).slices, made, check_index_type=False, check_column_type=False)
    with pytest.raises(TableError, match="says nothing of prompt_id 'p0'"):
        promised(by=EVEN[1:])


@pytest.mark.parametrize(
    "mix", [{0: 1, 1: -2}, {0: 0}, {}, {0: np.nan}, {0: np.inf}, {0: "a"}, [], "a", 3, EVEN.to_frame()]
)
def test_a_mix_is_shares_of_at_least_zero(mix):
    made = promised(by=EVEN)
    with pytest.raises(ParameterError, match="'by'"):
        made.under_mix(mix)
    assert made.under_mix({0: 1, 1: 1, 2: 1}) == pytest.approx(made.under_mix(EVEN))


def test_bools_that_lay_the_path_are_read_by_prompt():
    which = pd.Series(np.arange(N) < 30, index=IDS)
    rest = np.random.default_rng(0).permutation(N)
    made = promised(ordering=which)
    for given in (which.iloc[rest], which.to_numpy(), which.tolist()):
        assert promised(ordering=given) == made
        assert promised(ordering=given).tested.equals(made.tested)


@pytest.mark.parametrize(
    "ordering",
    [
        pd.Series(True, index=IDS[:30]),
        pd.Series(np.arange(N) < 30),
        pd.Series(np.arange(2 * N) < 30, index=IDS.append(IDS)),
        pd.DataFrame({"which": np.arange(N) < 30}, index=IDS),
        np.arange(30) < 3,
        np.arange(N),
    ],
)
def test_bools_of_other_prompts_are_refused(ordering):
    with pytest.raises(TableError, match="'ordering'"):
        promised(ordering=ordering)


@pytest.mark.parametrize("ordering", [True, 1, "x", -0.1])
def test_a_share_that_lays_the_path_is_a_number_below_one(ordering):
    with pytest.raises(ParameterError, match="'ordering' is a share of the prompts"):
        promised(ordering=ordering)


def test_a_promise_chooses_among_the_options_that_it_was_made_of():
    index = range(600)
    quality, cost = (pd.DataFrame({"small": v, "large": w}, index=index) for v, w in ((1.0, 1.0), (0.001, 0.01)))
    cheap = pd.Series("small", index)
    made = promise({"s": cheap}, quality, cost, baseline="large")
    assert made.choose({"s": cheap, "other": cheap}).equals(cheap)
    for options, wrong in (
        ({"m": cheap}, "there is no 's', which was granted; there are 'm'"),
        (ROUTER.sweep(X), "was made of named options, and this is a sweep"),
    ):
        with pytest.raises(ParameterError, match=wrong):
            made.choose(options)
    with pytest.raises(ParameterError, match="was made of a sweep, and these are named"):
        promised(max_quality_loss=0.9).choose({"s": cheap})


@pytest.mark.parametrize(
    ("options", "wrong"),
    [
        ({"cv": 5.0}, "'cv' must be"),
        ({"cv": "5"}, "'cv' must be"),
        ({"cv": None}, "'cv' must be"),
        ({"cv": True}, "'cv' must be"),
        ({"cv": [(IDS[:30], IDS[30:]), (IDS[30:], IDS[:30])]}, "'cv' must be"),
        ({"cv": [(np.arange(30), np.arange(30, 99))]}, "'cv' must be"),
        ({"cv": [np.arange(30)]}, "'cv' must be"),
        ({"cv": StratifiedKFold(3)}, "'cv': StratifiedKFold"),
        ({"groups": np.zeros(N)}, "'cv' must be between 2 and the number of groups of prompts, 1 in 60"),
        ({"groups": np.arange(N) % 3}, "number of groups of prompts, 3 in 60"),
        ({"groups": np.arange(N) % 2, "cv": 2}, "'cv': leaves 1 of 2 groups"),
        ({"groups": np.arange(N) % 3, "cv": 3, "guarantee": 0.95}, "'cv': leaves 2 of 3 groups"),
        ({"groups": np.zeros((N, 2))}, r"'groups': has the shape \(60, 2\) for 60 prompts"),
        ({"groups": 3}, "'groups': has the shape"),
        ({"prompts": EVEN.astype(str).to_frame()}, "'prompts': is a DataFrame"),
        ({"prompts": ["a"] * 5}, "'prompts': has 5 entries for 60 prompts"),
        ({"prompts": EVEN.astype(str).reset_index(drop=True)}, "'prompts': has no text of prompt_id 'p0'"),
        ({"prompts": EVEN.astype(str).iloc[:30]}, "'prompts': has no text of prompt_id 'p30'"),
        ({"prompts": EVEN.astype(object).where(EVEN > 0)}, "'prompts': has no text of prompt_id 'p0'"),
        ({"random_state": -1}, "'random_state' must be"),
        ({"random_state": "x"}, "'random_state' must be"),
    ],
)
def test_folds_groups_texts_and_seeds_that_do_not_serve_are_named(options, wrong):
    with pytest.raises((ParameterError, TableError), match=wrong):
        held(**options)


@pytest.mark.parametrize(("k", "guarantee"), [(3, None), (4, None), (5, None), (8, None), (5, 0.95), (8, 0.95)])
def test_few_groups_make_fewer_folds_inside(k, guarantee):
    choices = held(groups=np.arange(N) % k, cv=min(5, k), guarantee=guarantee)
    assert len(choices) == N and choices.attrs["n_groups"] == k


@pytest.mark.parametrize("n", range(1, 8))
@pytest.mark.parametrize("guarantee", [None, 0.95])
def test_a_handful_of_prompts_is_taken_or_refused_in_words(n, guarantee):
    try:
        assert len(held(slice(n), cv=min(5, n), guarantee=guarantee)) == n
        assert n > (2 if guarantee is None else 4)
    except ParameterError as error:
        assert "'cv'" in str(error)
        assert n < (3 if guarantee is None else 6)


@pytest.mark.parametrize("options", [{"groups": np.zeros(N)}, {"groups": np.arange(N) % 2}, {"cv": "5"}, {"cv": 5.0}])
def test_repeated_claims_say_how_many_groups_they_need(options):
    with pytest.raises(
        ParameterError, match=r"needs 6 groups of prompts .* in 60 prompts|'cv' must be a number of folds"
    ):
        repeated(**options)


def test_repeated_claims_take_a_few_groups():
    assert len(repeated(groups=np.arange(N) % 8, cv=5).claims) == 3


def test_splitters_masks_and_pairs_give_the_same_folds():
    pairs = [(train, test) for train, test in KFold(4).split(X)]
    masks = [tuple(np.isin(np.arange(N), part) for part in pair) for pair in pairs]
    made = held(cv=pairs)
    for cv in (KFold(4), masks, KFold(4).split(X), [[list(part) for part in pair] for pair in pairs]):
        assert held(cv=cv).equals(made)
    together = held(cv=GroupKFold(4), groups=np.arange(N) // 5)
    assert len(together) == N


def test_a_seed_may_be_a_generator_or_none():
    drawn = [held(random_state=np.random.default_rng(7)) for _ in range(2)]
    assert drawn[0].equals(drawn[1])
    assert len(held(random_state=None)) == N
    assert len(repeated(random_state=np.random.default_rng(1)).claims) == 3
    assert len(repeated(random_state=None).claims) == 3


def test_groups_numbered_with_gaps_are_kept_whole():
    for codes in (np.array([0, 0, 2, 3, 3]), np.array([1, 1, 5, 5, 4, 4])):
        for train, test in grouped_folds(codes, 3, 0):
            assert not set(codes[train]) & set(codes[test])
    with pytest.raises(ParameterError, match="3 in 6 prompts"):
        grouped_folds(np.array([1, 1, 5, 5, 4, 4]), 5, 0)
    folds, learn = promise_folds(np.array([9, 9, 3, 3, 5, 5, 7, 7]))
    assert len(folds) == 3 and learn.sum() == 4


# What held-out choices knew of copies, savings and comparisons count.


def copied(k=20):
    rows = pd.concat([X.iloc[:15]] * k).set_axis([f"q{i}" for i in range(15 * k)])
    quality = pd.concat([QUALITY.iloc[:15]] * k).set_axis(rows.index)
    return rows, quality, pd.concat([COST.iloc[:15]] * k).set_axis(rows.index)


def test_a_claim_counts_copies_that_its_choices_were_kept_apart_for():
    rows, quality, cost = copied()
    choices = rl.held_out_choices(rl.KNNRouter(5), rows, quality, cost, **ON)
    claim = rl.savings(choices, quality, cost, baseline="large")
    same = rl.savings(choices, quality, cost, baseline="large", groups=np.arange(300) % 15)
    assert claim.n_groups == 15 and "n = 300 prompts in 15 groups" in str(claim) and "kept together" in str(claim)
    assert (claim.quality_low, claim.saving_low) == (same.quality_low, same.saving_low)
    own = rl.savings(choices, quality, cost, baseline="large", groups=np.arange(300))
    assert own.n_groups == 300  # what is said counts more than what was found
    some = choices.index[[0, 15, 30, 1, 2]]
    part = rl.savings(choices.loc[some], quality.loc[some], cost.loc[some], baseline="large")
    assert part.n_groups == 3
    compared = rl.compare(choices, rl.always("large", choices.index), quality, cost)
    assert compared.n_groups == 15 and "kept together" in str(compared)
    assert rl.compare(rl.always("large", choices.index), choices, quality, cost).n_groups == 15


def test_copies_travel_as_a_plain_dict_and_leave_nothing_where_there_are_none():
    rows, quality, cost = copied(2)
    rows.iloc[3] += 1.0  # q3 and q18 are no copies any more
    choices = rl.held_out_choices(rl.KNNRouter(2), rows, quality, cost, **ON)
    known = choices.attrs["copies"]
    assert type(known) is dict and len(known) == 28 and not {"q3", "q18"} & set(known)
    assert known["q0"] == known["q15"] != known["q1"]
    assert {(type(k), type(v)) for k, v in known.items()} == {(str, int)}
    halves = pd.concat([choices.iloc[:10], choices.iloc[10:]])
    assert halves.attrs["copies"] == known
    none = held()
    assert "copies" not in none.attrs
    claim = rl.savings(none, QUALITY, COST, baseline="large")
    assert claim.n_groups is None and "kept together" not in str(claim)
    alone = choices.index[[0, 1, 2, 3]]
    assert rl.savings(choices[alone], quality.loc[alone], cost.loc[alone], baseline="large").n_groups is None
