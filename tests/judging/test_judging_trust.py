"""How far to trust a judge: the measures are what they are called, and find what was built in."""

import re

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import cohen_kappa_score

from routerlab import TableError, fetch_auto_j, load_demo
from routerlab.judging import judge_trust, ppi_win_rate

VERDICTS = np.array(["model_a", "model_b", "tie"])


def votes_of(codes, judge, prompts=None, models=("x", "y")):
    table = pd.DataFrame({"prompt_id": np.arange(len(codes)) if prompts is None else prompts})
    return table.assign(model_a=models[0], model_b=models[1], winner=VERDICTS[codes], judge=judge)


def people_and_judge(n=400, agreement=0.7, seed=0, per_prompt=1):
    """A simulated judge that repeats a person's verdict with that probability, and else draws one at random."""
    rng = np.random.default_rng(seed)
    codes = np.repeat(rng.choice(3, size=n // per_prompt, p=[0.4, 0.3, 0.3]), per_prompt)
    keep = np.repeat(rng.random(n // per_prompt) < agreement, per_prompt)
    said = np.where(keep, codes, rng.integers(3, size=n))
    prompts = np.repeat(np.arange(n // per_prompt), per_prompt)
    tables = [votes_of(c, name, prompts) for c, name in ((said, "llm"), (codes, "ana"))]
    return [t.assign(model_b=[f"y{k % per_prompt}" for k in range(n)]) for t in tables]


def test_agreement_and_kappa_are_what_everybody_computes():
    judge, human = people_and_judge()
    report = judge_trust(judge, human)
    same = (judge["winner"] == human["winner"]).to_numpy()
    assert report.agreement.estimate == pytest.approx(same.mean())
    assert report.kappa.estimate == pytest.approx(cohen_kappa_score(human["winner"], judge["winner"]))
    sided = (judge["winner"] != "tie") & (human["winner"] != "tie")
    assert (report.decided.estimate, report.decided.n) == (pytest.approx(same[sided].mean()), sided.sum())
    score = {"model_a": 1, "tie": 0.5, "model_b": 0}
    r = np.corrcoef(judge["winner"].map(score), human["winner"].map(score))[0, 1]
    assert report.correlation == pytest.approx(r)
    assert report.width_limit == pytest.approx(np.sqrt(1 - r**2))
    table = pd.crosstab(human["winner"], judge["winner"]).loc[report.confusion.index, report.confusion.columns]
    assert (report.confusion == table).all(axis=None)
    low, high = report.agreement.low, report.agreement.high
    # One vote for each prompt: Wilson's interval of a proportion, but for n - 1 in place of n.
    assert high - low == pytest.approx(2 * 1.96 * np.sqrt(same.mean() * (1 - same.mean()) / len(same)), rel=0.02)


def test_sides_order_of_rows_and_both_bad_do_not_matter():
    judge, human = people_and_judge()
    report = judge_trust(judge, human)
    swap = {"model_a": "model_b", "model_b": "model_a"}
    turned = human.assign(model_a=human["model_b"], model_b=human["model_a"], winner=human["winner"].replace(swap))
    bad = judge.assign(winner=judge["winner"].replace("tie", "both_bad"))
    for other in (
        judge_trust(judge, turned),
        judge_trust(bad, human),
        judge_trust(judge, human.sample(frac=1, random_state=1)),
    ):
        assert other.agreement == report.agreement
        assert other.kappa.estimate == pytest.approx(report.kappa.estimate)
        assert other.correlation == pytest.approx(report.correlation)
    again = judge_trust(judge, human)
    assert str(again) == str(report)


def test_several_votes_on_a_pair_count_as_one_pair():
    judge, human = people_and_judge(100)
    second = human.assign(judge="bob", winner=np.roll(human["winner"], 1))
    report = judge_trust(judge, pd.concat([human, second]))
    share = np.mean([judge["winner"] == human["winner"], judge["winner"] == second["winner"]], axis=0)
    assert report.agreement.estimate == pytest.approx(share.mean())
    assert report.agreement.n == report.n_pairs == 100
    same = (human["winner"] == second["winner"]).mean()
    assert (report.people.estimate, report.people.n) == (pytest.approx(same), 100)
    assert judge_trust(judge, human).people is None


def test_a_judge_by_chance_is_said_to_be_one():
    judge, human = people_and_judge(300, agreement=0.0)
    report = judge_trust(judge, human)
    assert report.kappa.low < 0 < report.kappa.high
    assert "not shown to agree" in report.verdict
    good = judge_trust(*people_and_judge(300, agreement=0.9))
    assert good.kappa.low > 0.7 and "beyond chance" in good.verdict
    same = judge_trust(judge.assign(winner="tie"), human.assign(winner="tie"))
    assert np.isnan(same.kappa.estimate) and "not measured" in same.verdict and same.decided is None
    assert np.isnan(judge_trust(judge.assign(winner="tie"), human).kappa.estimate), "0 by construction: it says nothing"
    assert same.agreement.estimate == 1 and same.agreement.low == pytest.approx(300 / (300 + 1.96**2), abs=1e-3)


def test_by_intent():
    judge, human = people_and_judge(90)
    by = pd.Series({k: ("chat", "code", None)[k % 3] for k in range(90)}, name="kind")
    table = judge_trust(judge, human, by=by).by
    assert table.index.name == "kind" and table["n"].to_dict() == {"chat": 30, "code": 30}
    mine = by[by == "chat"].index
    alone = judge_trust(judge[judge["prompt_id"].isin(mine)], human)
    assert table.loc["chat", "agreement"] == pytest.approx(alone.agreement.estimate)
    assert table.loc["chat", "agreement_low"] == pytest.approx(alone.agreement.low)
    assert table.loc["chat", "kappa"] == pytest.approx(alone.kappa.estimate)
    with pytest.raises(TableError, match="knows none of the prompts"):
        judge_trust(judge, human, by=by.rename(lambda k: f"p{k}"))
    with pytest.raises(TableError, match="more than one row"):
        judge_trust(judge, human, by=pd.concat([by, by]))


def both_orders(n, bias, seed=0):
    """Long and wide tables of a made-up judge who says "first" with probability `bias`, else always the same model."""
    rng = np.random.default_rng(seed)
    taste = rng.integers(2, size=n)
    first = rng.random((n, 2)) < bias
    ab = np.where(first[:, 0], 0, taste)  # codes of the verdict in terms of model_a and model_b
    ba = np.where(first[:, 1], 1, taste)
    one = votes_of(ab, "llm")
    two = votes_of(1 - ba, "llm", models=("y", "x"))
    wide = one.assign(winner=np.where(ab == ba, VERDICTS[ab], "tie"), winner_ab=VERDICTS[ab], winner_ba=VERDICTS[ba])
    return pd.concat([one, two], ignore_index=True), wide, votes_of(taste, "ana")


def test_position_bias_and_consistency_from_long_and_wide_tables():
    long, wide, human = both_orders(4000, 0.4)
    reports = [judge_trust(table, human) for table in (long, wide)]
    for report in reports:
        assert report.position.left.low < 0.7 < report.position.left.high  # 0.4 + 0.6 / 2
        same = (wide["winner_ab"] == wide["winner_ba"]).mean()
        assert report.consistency.same.estimate == pytest.approx(same)
        assert report.consistency.same.low < 0.6 < report.consistency.same.high  # the order that puts it second
        assert report.consistency.n_same_side == (wide["winner_ab"] != wide["winner_ba"]).sum()
    assert reports[0].position == reports[1].position
    fair, _, human = both_orders(400, 0.0)
    report = judge_trust(fair, human)
    assert report.position.left.estimate == 0.5 and report.consistency.same.estimate == 1
    stubborn, _, human = both_orders(400, 0.9)
    assert "follows position, not content" in judge_trust(stubborn, human).verdict
    once = judge_trust(fair.head(400), human)
    assert once.consistency is None
    assert judge_trust(fair.assign(winner="tie"), human).position is None


def with_lengths(excess, seed=0, n=2000):
    """A world in which people prefer the longer response a little, and the judge by `excess` points more a doubling."""
    rng = np.random.default_rng(seed)
    log_ratio = rng.normal(0, 1, n)
    length = np.round(200 * 2.0 ** np.column_stack([log_ratio / 2, -log_ratio / 2])).astype(int)
    x = np.log2(length[:, 0] / length[:, 1])
    chance = [np.clip(0.5 + slope * x, 0.05, 0.95) for slope in (0.05 + excess, 0.05)]
    judge, human = (
        votes_of(np.where(rng.random(n) < p, 0, 1), name) for p, name in zip(chance, ("llm", "ana"), strict=True)
    )
    texts = {"x": length[:, 0], "y": length[:, 1]}
    rows = [
        pd.DataFrame({"prompt_id": range(n), "model": m, "response": ["z" * k for k in v]}) for m, v in texts.items()
    ]
    return judge, human, pd.concat(rows)


def test_length_bias_beyond_peoples_own_is_found():
    judge, human, responses = with_lengths(0.08)
    bias = judge_trust(judge, human, responses).length
    assert bias.human.low < 0.05 < bias.human.high
    assert bias.judge.low < 0.13 < bias.judge.high
    assert 0 < bias.difference.low < 0.08 < bias.difference.high
    assert bias.difference.estimate == pytest.approx(bias.judge.estimate - bias.human.estimate)
    assert bias.n == 2000
    score = (human["winner"] == "model_a").to_numpy() - 0.5
    length = [responses.loc[responses["model"] == m, "response"].str.len().to_numpy() for m in "xy"]
    x = np.log2(length[0] / length[1])
    assert bias.human.estimate == pytest.approx(np.linalg.lstsq(x[:, None], score, rcond=None)[0][0])
    fair = judge_trust(*with_lengths(0.0, seed=1)).length
    assert fair.difference.low < 0 < fair.difference.high


def test_length_bias_copes_with_empty_and_missing_responses():
    judge, human, responses = with_lengths(0.0, n=50)
    responses.loc[responses["prompt_id"] == 0, "response"] = ["", "zz"]
    bias = judge_trust(judge, human, responses[responses["prompt_id"] != 1]).length
    assert bias.n == 49 and np.isfinite(bias.difference.high)
    assert judge_trust(judge, human, responses.assign(response="same")).length is None


def test_the_report_says_how_it_was_made_and_escapes_names():
    judge, human = people_and_judge(60)
    judge["judge"] = "<llm>"
    judge.attrs |= {"n_unreadable": 7, "provenance": "simulated: seed 0"}
    report = judge_trust(judge, human, n_resamples=200, random_state=3)
    text, html = str(report), report._repr_html_()
    for words in ("Judge <llm>", "7 verdicts, left out", "200 resamples", "[simulated: seed 0]", "Cohen's kappa"):
        assert words in text
    assert "&lt;llm&gt;" in html and "<llm>" not in html
    assert set(re.findall("color:([^;]*);", html)) == {"inherit"}, "takes its colours from the page, dark or light"
    assert repr(report) == text


def test_a_width_is_promised_as_an_estimate_and_only_from_enough_pairs():
    many, few = (judge_trust(*people_and_judge(n), n_resamples=200) for n in (60, 29))
    assert "% as wide as from theirs alone, as estimated from 60 pairs" in many.verdict
    assert "agrees with people beyond chance" in few.verdict and "wide" not in few.verdict


@pytest.mark.parametrize("measure", [judge_trust, ppi_win_rate])
@pytest.mark.parametrize(
    ("change", "differs"),
    [
        (
            {"prompt_id": ["1", "2"]},
            r"no prompt_id is in both. The judge saw, e.g., \(1, 'x', 'y'\), people \('1', 'x'",
        ),
        ({"model_b": "z"}, r"no two models were compared by both. .* \(1, 'x', 'y'\), people \(1, 'x', 'z'\)"),
        ({"prompt_id": [2, 3], "model_b": ["w", "y"]}, "but never the same pair on the same prompt"),
    ],
    ids=["prompts", "models", "pairs"],
)
def test_tables_without_a_pair_in_common_say_what_differs(measure, change, differs):
    judge = pd.DataFrame({"prompt_id": [1, 2], "model_a": "x", "model_b": "y", "winner": "tie"})
    with pytest.raises(TableError, match=differs):
        measure(judge, judge.assign(**change))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda j, h: (j.assign(judge=["a", "b"] * 30), h), "Measure one at a time"),
        (lambda j, h: (j.assign(prompt_id=j["prompt_id"] + 100), h), "no pair of responses in common"),
        (lambda j, h: (j.head(0), h), "'judge': has no rows"),
        (lambda j, h: (j, h.head(0)), "'human': has no rows"),
        (lambda j, h: (j.assign(winner="first"), h), "expected one of"),
    ],
)
def test_what_cannot_be_measured_is_refused(change, message):
    tables = people_and_judge(60)
    before = [table.copy() for table in tables]
    with pytest.raises(TableError, match=message):
        judge_trust(*change(*tables))
    for table, copy in zip(tables, before, strict=True):
        pd.testing.assert_frame_equal(table, copy)


@pytest.mark.slow
@pytest.mark.parametrize("per_prompt", [1, 3])
def test_intervals_hold_the_truth(per_prompt):
    """Of agreement and kappa, 150 pairs, also if those of one prompt agree alike; 150 simulations at nominal 95%."""
    truth = judge_trust(*people_and_judge(300_000, per_prompt=per_prompt), n_resamples=2)
    held = np.zeros(2)
    for seed in range(150):
        report = judge_trust(*people_and_judge(150, seed=seed + 1, per_prompt=per_prompt), n_resamples=2)
        held += [
            report.agreement.low <= truth.agreement.estimate <= report.agreement.high,
            report.kappa.low <= truth.kappa.estimate <= report.kappa.high,
        ]
    assert (held / 150 >= 0.91).all(), held / 150


def test_on_the_demos_real_verdicts():
    """A judge that always prefers the longer response, which needs no model to be run."""
    demo = load_demo()
    length = demo.responses.assign(n=demo.responses["response"].str.len()).set_index(["prompt_id", "model"])["n"]
    n = [
        length.reindex(pd.MultiIndex.from_frame(demo.verdicts[["prompt_id", s]])).to_numpy()
        for s in ("model_a", "model_b")
    ]
    votes = demo.verdicts.assign(judge="longer", winner=np.where(n[0] > n[1], "model_a", "model_b"))
    report = judge_trust(votes, demo.verdicts, demo.responses, by=demo.prompts["intent"])
    assert report.n_pairs == 414 and report.n_prompts == 138
    assert len(report.by) == demo.prompts["intent"].nunique()
    assert report.length.difference.low > 0
    assert "real:" in str(report)


@pytest.mark.realdata
def test_on_auto_js_human_verdicts(published_data):
    data = fetch_auto_j("pairs")
    length = data.responses.assign(n=data.responses["response"].str.len().clip(lower=1))
    wide = length.pivot_table(index="prompt_id", columns="model", values="n").loc[data.judgments["prompt_id"]]
    ratio = np.log2(wide["response_1"] / wide["response_2"]).to_numpy()
    said = np.where(np.abs(ratio) < np.log2(1.25), "tie", np.where(ratio > 0, "model_a", "model_b"))
    report = judge_trust(data.judgments.assign(winner=said, judge="longer"), data.judgments, data.responses)
    assert report.n_pairs == 1392
    # People, too, prefer longer responses, but by far less than a judge that looks at nothing else.
    assert report.length.human.low > 0
    assert report.length.difference.low > report.length.human.estimate
    assert 0.1 < report.kappa.low < report.kappa.high < 0.4
