"""Which pair comes next: what is shown, on which side, with which probability, and why."""

import time

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest

from routerlab.labeling import PairQueue, VoteLog, dataset_id
from routerlab.labeling._candidates import difference_variance, ranking_gain
from routerlab.ratings import information
from routerlab.schema import TableError


def make_responses(n_prompts=6, models=("big", "mid", "small")):
    rows = [(f"p{k}", model, f"{model} on {k}") for k in range(n_prompts) for model in models]
    return pd.DataFrame(rows, columns=["prompt_id", "model", "response"])


def key(pair):
    return (pair.prompt_id, *sorted((pair.model_left, pair.model_right)))


def answer(queue, n, choice="left", **params):
    """Vote `n` times; return the pairs."""
    pairs = []
    for k in range(n):
        pair = queue.next_pair(**params)
        pairs.append(pair)
        queue.observe(pair.vote(choice(pair) if callable(choice) else choice, nonce=f"n{k}"))
    return pairs


@pytest.mark.parametrize("strategy", ["information", "random", "by_intent"])
def test_every_pair_comes_once(strategy):
    responses = make_responses()
    queue = PairQueue(responses, strategy=strategy, repeat_share=0, random_state=0)
    assert len(queue) == 18
    pairs = list(queue)
    assert len({key(pair) for pair in pairs}) == len(pairs) == 18
    texts = responses.set_index(["prompt_id", "model"])["response"]
    for pair in pairs:
        assert pair.left == texts[pair.prompt_id, pair.model_left]
        assert pair.right == texts[pair.prompt_id, pair.model_right]
    assert len(queue) == 18  # handed out, not decided
    assert queue.next_pair() is None


def test_peek_takes_nothing_and_keeps_its_word():
    queue = PairQueue(make_responses(), random_state=0)
    ahead = queue.peek(3)
    assert [queue.next_pair() for _ in range(3)] == ahead
    queue.put_back(ahead[2])
    queue.put_back(ahead[2])
    assert queue.next_pair() == ahead[2]
    assert queue.next_pair() not in ahead


def test_missing_and_identical_responses_are_left_out_and_counted():
    responses = make_responses(3)
    responses.loc[0, "response"] = None
    responses.loc[4, "response"] = responses.loc[5, "response"]
    responses = responses.drop(8)
    queue = PairQueue(responses, random_state=0)
    progress = queue.progress()
    assert (len(queue), progress.n_missing, progress.n_identical) == (4, 4, 1)
    assert {key(pair) for pair in queue} == {
        ("p0", "mid", "small"), ("p1", "big", "mid"), ("p1", "big", "small"), ("p2", "big", "mid"),
    }  # fmt: skip


def test_odd_texts_pass_unchanged():
    texts = ["", "x" * 1_000_000, "\x00\x01\xff", "\u202eעברית", "\ud800"]
    rows = [("p", f"m{k}", text) for k, text in enumerate(texts)]
    # With pyarrow, pandas' own text columns hold no half surrogates: objects do.
    queue = PairQueue(pd.DataFrame(rows, columns=["prompt_id", "model", "response"], dtype=object), random_state=0)
    assert {text for pair in queue for text in (pair.left, pair.right)} == set(texts)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.assign(response=3), "is not text"),
        (lambda t: t.assign(response="same"), "no pair to compare: 3 models, 6 prompts, 0 pairs lack"),
        (lambda t: t[t["model"] == "big"], "no pair to compare: 1 models"),
        (lambda t: t.assign(prompt_id=t["prompt_id"].map(lambda p: (p,))), "expected text or whole numbers"),
        (lambda t: t.drop(columns="response"), "'response' is missing"),
        (lambda t: pd.concat([t, t]), "appears more than once"),
        (lambda t: t[:0], "no pair to compare"),
    ],
)
def test_bad_responses_are_refused(change, message):
    with pytest.raises(TableError, match=message):
        PairQueue(change(make_responses()))


@pytest.mark.parametrize(
    ("params", "error", "message"),
    [
        ({"strategy": "clever"}, ValueError, "'strategy' .* Got 'clever'"),
        ({"random_share": 1.5}, ValueError, "'random_share' .* in \\[0, 1\\]"),
        ({"random_share": float("nan")}, ValueError, "'random_share'"),
        ({"repeat_share": 1}, ValueError, "'repeat_share' .* below 1"),
        ({"by": "intent"}, TableError, "not a column of the prompts table"),
        ({"by": pd.Series({"p0": "a"})}, TableError, "no group for prompt 'p1'"),
        ({"prompts": pd.DataFrame({"prompt_id": ["p0"], "prompt": ["?"]})}, TableError, "not in the prompts table"),
        (
            {"pairs": pd.DataFrame({"prompt_id": ["p0"], "model_a": ["big"], "model_b": ["huge"]})},
            TableError,
            "'huge'.* is not in the responses table",
        ),
    ],
)
def test_bad_parameters_are_refused(params, error, message):
    with pytest.raises(error, match=message):
        PairQueue(make_responses(), **params)


def test_numeric_ids_and_an_index_of_prompts_work():
    responses = make_responses(2).assign(prompt_id=np.repeat([7, 8], 3))
    prompts = pd.DataFrame(
        {"prompt": ["seven", "eight"], "intent": ["odd", "even"]}, index=pd.Index([7, 8], name="prompt_id")
    )
    pair = PairQueue(responses, prompts, by="intent", random_state=0).next_pair()
    assert type(pair.prompt_id) is int
    assert (pair.prompt, pair.intent) in {("seven", "odd"), ("eight", "even")}


def test_the_data_set_has_one_name_whatever_the_order():
    responses = make_responses()
    assert dataset_id(responses) == dataset_id(responses.sample(frac=1, random_state=0))
    assert dataset_id(responses) == PairQueue(responses.set_index(["prompt_id", "model"]).reset_index()).dataset_id
    other = responses.copy()
    other.loc[0, "response"] += " "
    assert dataset_id(responses) != dataset_id(other)
    shifted = pd.DataFrame({"prompt_id": ["ab"], "model": ["c"], "response": ["d"]})
    assert dataset_id(shifted) != dataset_id(shifted.assign(prompt_id="a", model="bc"))


def test_sides_are_random_and_stored():
    pairs = list(PairQueue(make_responses(300), repeat_share=0, random_state=1))
    order = {"big": 0, "mid": 1, "small": 2}
    first_left = [order[p.model_left] < order[p.model_right] for p in pairs]
    assert first_left == [p.side_seed % 2 == 0 for p in pairs]
    assert binomtest(sum(first_left), len(pairs)).pvalue > 0.01
    assert max(p.side_seed for p in pairs) < 2**53


def test_nothing_that_a_page_needs_tells_the_models():
    for pair in PairQueue(make_responses(20), random_state=1):
        assert "big" not in repr(pair) and "big" not in pair.pair_id
        assert len(pair.pair_id) == 16


def test_repeats_come_swapped_later_and_as_often_as_asked():
    queue = PairQueue(make_responses(200), repeat_share=0.2, random_state=0)
    pairs = answer(queue, 400)
    position = {pair.pair_id: k for k, pair in enumerate(pairs)}
    assert len(position) == len(pairs)
    repeats = [pair for pair in pairs if pair.repeat_of]
    assert binomtest(len(repeats), 394, 0.2).pvalue > 0.01
    assert len({pair.repeat_of for pair in repeats}) == len(repeats)
    for pair in repeats:
        first = pairs[position[pair.repeat_of]]
        assert (pair.left, pair.right) == (first.right, first.left)
        assert position[pair.pair_id] - position[first.pair_id] > 5
        assert first.repeat_of is None
        assert pair.side_seed ^ first.side_seed == 1
    assert queue.progress().n_repeats == len(repeats)


def test_undo_brings_the_same_pair_back_and_withdraws_its_repeat():
    queue = PairQueue(make_responses(3), repeat_share=0.9, random_state=0)
    pairs = answer(queue, 6)
    coming = queue.peek(1)[0]
    assert coming.repeat_of == pairs[0].pair_id
    for k in range(5, -1, -1):
        queue.observe({"type": "undo", "nonce": f"u{k}", "undoes": f"n{k}"})
    assert queue.progress().n_votes == 0
    again = [queue.next_pair() for _ in range(9)]
    assert again[:6] == pairs
    assert all(pair.repeat_of is None for pair in again)
    assert queue.next_pair() is None


def first_pairs(n, **params):
    """First pair of many queues that differ in their seed, after five votes."""
    responses = make_responses(3)
    votes = pd.DataFrame(
        [("p0", "big", "small", "model_a"), ("p0", "big", "mid", "model_a"), ("p1", "big", "small", "model_a")],
        columns=["prompt_id", "model_a", "model_b", "winner"],
    )
    return [
        PairQueue(responses, judgments=votes, overlap=False, random_state=s, **params).next_pair() for s in range(n)
    ]


@pytest.mark.parametrize(
    "params",
    [
        {"random_share": 0.3},
        {"random_share": 0.3, "strategy": "by_intent", "by": pd.Series({"p0": "x", "p1": "x", "p2": "y"})},
        {"strategy": "random"},
    ],
)
@pytest.mark.slow
def test_propensities_are_the_true_probabilities(params):
    n = 300
    drawn = first_pairs(n, **params)
    counts = pd.Series([key(pair) for pair in drawn]).value_counts()
    stated = {key(pair): pair.propensity for pair in drawn}
    assert len(stated) == 6  # of nine pairs, three are judged
    assert sum(stated.values()) == pytest.approx(1)
    for pair, p in stated.items():
        assert binomtest(int(counts[pair]), n, p).pvalue > 1e-3


def test_weights_by_propensity_are_unbiased_along_a_whole_session():
    """At any step, the mean of 1 / propensity over what can come is the number of showings that can come."""
    errors = []
    for seed in range(100):
        queue = PairQueue(make_responses(4), random_share=0.4, repeat_share=0.25, overlap=False, random_state=seed)
        answer(queue, 9, lambda p: "left" if p.model_left < p.model_right else "right")
        possible = len(queue) + len(queue._repeatable())
        errors.append(1 / queue.next_pair().propensity - possible)
    assert abs(np.mean(errors)) < 3 * np.std(errors) / np.sqrt(len(errors))
    assert np.std(errors) > 1


def test_the_gain_is_what_refitting_would_show():
    """Against brute force: add one vote's information, invert, and sum the weighted variances."""
    from scipy.special import ndtr

    rng = np.random.default_rng(0)
    m = 5
    ratings = rng.normal(size=(1, m))
    votes = rng.integers(0, 9, (m, m)).astype(float)
    votes = np.triu(votes, 1) + np.triu(votes, 1).T
    info = information(votes[None] / 2, ratings) + np.eye(m)
    cov = np.linalg.inv(info)
    gain = ranking_gain(ratings, cov)[0]
    upper = np.triu_indices(m, 1)
    var = difference_variance(cov)[0]
    gap = np.abs(ratings[0][:, None] - ratings[0])
    weight = ndtr(-gap[upper] / np.sqrt(var[upper])) / (2 * np.sqrt(var[upper]))
    for i, j in zip(*upper, strict=True):
        x = np.zeros(m)
        x[i], x[j] = 1, -1
        p = 1 / (1 + np.exp(ratings[0, j] - ratings[0, i]))
        after = difference_variance(np.linalg.inv(info + p * (1 - p) * np.outer(x, x)))[0]
        assert gain[i, j] == pytest.approx((weight * (var - after)[upper]).sum())
    assert np.allclose(gain, gain.T)


def test_the_choice_goes_where_the_order_is_in_doubt():
    """Two close models at the top, one far behind: few votes on the latter."""
    rng = np.random.default_rng(0)
    strength = {"big": 2.0, "mid": 1.9, "small": -2.0}

    def judge(pair):
        gap = strength[pair.model_left] - strength[pair.model_right]
        return "left" if rng.random() < 1 / (1 + np.exp(-gap)) else "right"

    pairs = answer(PairQueue(make_responses(300), repeat_share=0, random_state=0), 200, judge)
    chosen = pd.Series([key(p)[1:] for p in pairs if p.chosen_by == "information"]).value_counts(normalize=True)
    assert chosen["big", "mid"] > 0.7
    share = np.mean([p.chosen_by == "random" for p in pairs])
    assert 0.13 < share < 0.28


def test_intents_take_turns():
    intents = pd.Series({f"p{k}": "rare" if k < 10 else "common" for k in range(100)})
    queue = PairQueue(
        make_responses(100), by=intents, strategy="by_intent", random_share=0, repeat_share=0, random_state=0
    )
    answer(queue, 40)
    assert queue.progress().by_intent == {"rare": 20, "common": 20}
    informed = PairQueue(make_responses(100), by=intents, random_share=0, repeat_share=0, random_state=0)
    answer(informed, 50, "tie")
    counts = informed.progress().by_intent
    assert min(counts.values()) > 15


def test_a_resumed_queue_goes_on_as_if_nothing_had_happened(tmp_path):
    def session(resume_at):
        queue = PairQueue(make_responses(30), rater="ana", random_state=5)
        log = VoteLog(tmp_path / f"{resume_at}.jsonl", rater="ana", dataset_id=queue.dataset_id)
        shown = []
        for k in range(40):
            if k == resume_at:
                queue = PairQueue(make_responses(30), judgments=log, rater="ana", random_state=5)
            pair = queue.next_pair()
            shown.append(pair)
            log.append(pair.vote("left" if k % 3 else "tie", nonce=f"n{k}"))
            queue.sync(log)
        return shown

    assert session(None) == session(23)


def test_find_knows_every_pair_by_its_id_whatever_the_seed():
    queue, other = (PairQueue(make_responses(5), random_state=s) for s in (0, 1))
    pairs = list(queue)
    for pair in pairs:
        found = other.find(pair.pair_id)
        assert (found.left, found.right, found.model_left) == (pair.left, pair.right, pair.model_left)
    other.observe(other.find(pairs[0].pair_id).vote("left", nonce="n"))
    assert len(other) == 14
    assert key(pairs[0]) not in {key(pair) for pair in other}
    assert other.find(pairs[0].pair_id).model_left == pairs[0].model_left
    ids = {pair.pair_id for pair in pairs}
    turned = next(i for i in other._candidates.by_pair_id if i not in ids and key(other.find(i)) == key(pairs[0]))
    assert other.find(turned).repeat_of == pairs[0].pair_id
    assert other.find("0" * 16) is None


def test_other_raters_inform_the_choice_and_keep_nothing_away():
    responses = make_responses(50)
    rows = [(f"p{k}", "big", "mid", "model_a", "bob") for k in range(40)]
    others = pd.DataFrame(rows, columns=["prompt_id", "model_a", "model_b", "winner", "judge"])
    queue = PairQueue(responses, judgments=others, rater="ana", random_state=0)
    assert len(queue) == 150
    pairs = answer(queue, 12, "tie")
    assert sum(key(pair)[1:] == ("big", "mid") for pair in pairs) < 4
    assert len(PairQueue(responses, judgments=others, rater="bob")) == 110
    assert len(PairQueue(responses, judgments=others)) == 110
    foreign = others.assign(model_b="huge")
    assert PairQueue(responses, judgments=foreign).progress().n_foreign == 40


def test_raters_overlap_on_the_random_share_only_if_asked():
    def drawn(rater, **params):
        queue = PairQueue(make_responses(400), rater=rater, random_state=0, **params)
        return {key(pair) for pair in answer(queue, 60, "tie")}

    assert len(drawn("ana") & drawn("bob")) >= 6
    assert len(drawn("ana", strategy="random") & drawn("bob", strategy="random")) > 40
    assert len(drawn("ana", strategy="random", overlap=False) & drawn("bob", strategy="random", overlap=False)) < 12


def test_only_the_pairs_asked_for():
    pairs = pd.DataFrame({"prompt_id": ["p1", "p2"], "model_a": ["small", "big"], "model_b": ["big", "mid"]})
    queue = PairQueue(make_responses(), pairs=pairs, random_state=0)
    assert {key(pair) for pair in queue} == {("p1", "big", "small"), ("p2", "big", "mid")}


def test_a_generator_seeds_the_queue():
    first, second = (PairQueue(make_responses(), random_state=np.random.default_rng(0)) for _ in range(2))
    assert list(first) == list(second)
    free = [[p.pair_id for p in PairQueue(make_responses(60))] for _ in range(2)]
    assert free[0] != free[1]


@pytest.mark.parametrize("models", [6, 21])
def test_a_step_over_100_000_pairs_takes_less_than_20_ms(models):
    names = tuple(f"m{k}" for k in range(models))
    n_prompts = 100_000 // (models * (models - 1) // 2) + 1
    queue = PairQueue(make_responses(n_prompts, names), random_state=0)
    assert len(queue) >= 100_000
    times = []
    for k in range(30):
        start = time.perf_counter()
        pair = queue.next_pair()
        queue.observe(pair.vote("left" if pair.model_left < pair.model_right else "right", nonce=f"n{k}"))
        times.append(time.perf_counter() - start)
    assert np.median(times) < 0.02


# Restrictions


def test_a_restricted_queue_shows_only_those_pairs_and_says_so_in_each_record():
    queue = PairQueue(make_responses(), repeat_share=0, random_state=0)
    shown = queue.peek(3)
    wanted = pd.DataFrame({"prompt_id": ["p1", "p4"], "model_a": ["small", "big"], "model_b": ["big", "mid"]})
    assert queue.restrict(wanted, "a region").tolist() == [True, True]
    assert len(queue) == 2 and queue.progress().n_pairs == 2 and queue.progress().restricted_to == "a region"
    pairs = answer(queue, 2)
    assert {key(pair) for pair in pairs} == {("p1", "big", "small"), ("p4", "big", "mid")}
    assert queue.next_pair() is None and queue.progress().n_votes == 2
    assert {pair.vote("tie", nonce="n")["restricted_to"] for pair in pairs} == {"a region"}
    queue.restrict(None)
    rest = list(queue)
    assert len(rest) == 16 and not {key(p) for p in rest} & {key(p) for p in pairs}, "nothing is lost, nothing twice"
    assert {key(p) for p in shown} <= {key(p) for p in [*rest, *pairs]}
    assert {pair.restricted_to for pair in rest} == {None}


def test_prompts_alone_restrict_to_all_their_pairs():
    queue = PairQueue(make_responses(), repeat_share=0, random_state=0)
    assert queue.restrict(pd.DataFrame({"prompt_id": ["p2", "nowhere"]})).tolist() == [True, False]
    assert {pair.prompt_id for pair in queue} == {"p2"}


def test_a_restriction_says_which_rows_have_no_pair():
    responses = make_responses(3)
    responses.loc[0, "response"] = None  # big on p0
    responses.loc[4, "response"] = responses.loc[5, "response"]  # mid and small on p1
    queue = PairQueue(responses, random_state=0)
    rows = [("p0", "big", "mid"), ("p0", "mid", "small"), ("p1", "small", "mid"), ("p2", "big", "huge")]
    found = queue.restrict(pd.DataFrame(rows, columns=["prompt_id", "model_a", "model_b"]))
    assert found.tolist() == [False, True, False, False] and len(queue) == 1
    assert queue.restrict(pd.DataFrame(rows[:1], columns=["prompt_id", "model_a", "model_b"])).tolist() == [False]
    assert queue.next_pair() is None and len(queue) == 0
    with pytest.raises(TableError, match="needs prompt_id"):
        queue.restrict(pd.DataFrame({"prompt_id": ["p0"], "model_a": ["big"]}))


def test_propensities_within_a_restriction_are_those_of_its_draws():
    """Over many seeds, each pair comes first as often as its propensity says."""
    wanted = pd.DataFrame({"prompt_id": ["p0", "p1", "p2"]})
    seen, chance, n = {}, {}, 600
    for seed in range(n):
        queue = PairQueue(make_responses(), strategy="random", overlap=False, random_state=seed)
        queue.peek(2)
        queue.restrict(wanted)
        pair = queue.next_pair()
        seen[key(pair)] = seen.get(key(pair), 0) + 1
        chance[key(pair)] = pair.propensity
    assert len(seen) == 9 and all(value == pytest.approx(1 / 9) for value in chance.values())
    assert all(binomtest(count, n, 1 / 9).pvalue > 1e-4 for count in seen.values())


def test_restricting_keeps_undo_repeats_and_late_votes_right():
    queue = PairQueue(make_responses(12), repeat_share=0.5, random_state=3)
    pairs = answer(queue, 12)
    late = queue.peek(1)[0]
    queue.restrict(pd.DataFrame({"prompt_id": sorted({pair.prompt_id for pair in pairs})[:2]}), "two prompts")
    allowed = {pair.prompt_id for pair in queue.peek(3)}
    assert len(allowed) <= 2
    again = queue.find(late.pair_id)
    assert (again.left, again.right, again.propensity) == (late.left, late.right, None)
    queue.observe({"type": "undo", "nonce": "u", "undoes": "n11"})
    undone = queue.peek(1)[0]
    assert undone.pair_id == pairs[-1].pair_id and undone.restricted_to is None, "it keeps how it was drawn"


def test_pairs_given_at_the_start_are_a_restriction_too():
    given = pd.DataFrame({"prompt_id": ["p0"], "model_a": ["big"], "model_b": ["mid"]})
    pair = PairQueue(make_responses(), pairs=given, random_state=0).next_pair()
    assert pair.vote("tie", nonce="n")["restricted_to"] == "pairs given at the start: 1"
