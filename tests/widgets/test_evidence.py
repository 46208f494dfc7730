"""From a plot to its evidence, without a browser: what a selection means, opens, says and logs."""

import json
import re

import numpy as np
import pandas as pd
import pytest

import routerlab as rl
from routerlab.decision import sweep_estimates
from routerlab.evaluation import changes, changes_by_intent

MODELS = ("quokka", "wombat", "numbat")
INDEX = pd.Index([f"p{i}" for i in range(60)], name="prompt_id")
INTENTS = pd.Series(["cooking", "code", "chat"] * 20, index=INDEX, name="intent")


@pytest.fixture(scope="module")
def world():
    """Estimates and outcomes of three models on 60 prompts: the sweep of the first, scored on the second."""
    rng = np.random.default_rng(0)
    level = np.array([0.9, 0.6, 0.4])
    quality = pd.DataFrame((level + rng.normal(0, 0.2, (60, 3))).clip(0, 1), INDEX, MODELS)
    cost = pd.DataFrame(np.array([0.03, 0.004, 0.001]) * rng.uniform(0.5, 2, (60, 3)), INDEX, MODELS)
    estimate = (quality + rng.normal(0, 0.2, quality.shape)).clip(0, 1)
    return sweep_estimates(estimate, cost), quality, cost


def responses(n_prompts=60):
    rows = [(f"p{i}", m, f"text {7 * k + i} of {i}") for i in range(n_prompts) for k, m in enumerate(MODELS)]
    return pd.DataFrame(rows, columns=["prompt_id", "model", "response"])


@pytest.fixture
def comparator(tmp_path):
    return rl.PairComparator(responses(), log=tmp_path / "ana.jsonl", rater="ana", repeat_share=0)


def ask(plot, ends=None, intents=()):
    """Select as the page does."""
    plot._handle_custom_msg({"ends": ends, "intents": list(intents)}, [])


def vote(comparator, n=1):
    for k in range(n):
        content = {"type": "vote", "nonce": f"{comparator.state['item']}{k}", "id": comparator.state["item"]}
        comparator._handle_custom_msg({**content, "choice": "left"}, [])


# What a part of the curve means


def test_the_prompts_of_a_part_account_for_all_that_changes_in_it(world):
    sweep, quality, cost = world
    curve = rl.frontier(sweep, quality, cost)
    rng = np.random.default_rng(1)
    for _ in range(30):
        i, j = sorted(rng.integers(len(curve), size=2))
        part = changes(sweep, *curve["willingness_to_pay"].iloc[[i, j]], quality, cost)
        for column, measured in (("quality_change", "quality"), ("cost_change_usd", "cost_usd")):
            assert part[column].sum() / 60 == pytest.approx(curve[measured][j] - curve[measured][i], abs=1e-12)


def test_a_part_holds_exactly_the_prompts_whose_choice_differs_at_its_ends(world):
    sweep, quality, cost = world
    for upper, lower in ((np.inf, 0.0), (0.2, 0.02), (0.05, 0.05), (np.inf, 0.1)):
        before, after = sweep.at(upper), sweep.at(lower)
        part = changes(sweep, upper, lower, quality, cost).set_index("prompt_id")
        assert set(part.index) == set(before.index[before != after])
        assert (part["model_from"] == before[part.index]).all() and (part["model_to"] == after[part.index]).all()


def test_bars_average_over_all_prompts_of_an_intent(world):
    sweep, quality, cost = world
    part = changes(sweep, np.inf, 0.05, quality, cost)
    table = changes_by_intent(part, INTENTS, 0.95)
    assert (table["n"] * table["quality_change"]).sum() == pytest.approx(part["quality_change"].sum())
    assert table["n_changed"].sum() == len(part) and (table["ci_low"] < table["quality_change"]).all()


# Selecting


def test_the_page_and_the_method_select_the_same(world):
    plot = rl.EvidencePlot(*world, by=INTENTS)
    assert not len(plot.selection) and plot.picked["ends"] is None
    n = len(plot.curve["x"])
    ask(plot, [3, n - 5], [1])
    by_page, ends = plot.selection, plot.picked["ends"]
    assert ends == [3, n - 5] and plot.picked["intents"] == [1] and len(by_page)
    wtp = plot._points["willingness_to_pay"].iloc[ends]
    plot.select(willingness_to_pay=tuple(wtp)[::-1], intents=plot._order[1])
    pd.testing.assert_frame_equal(plot.selection, by_page)
    assert plot.picked["ends"] == ends
    plot.select()
    assert not len(plot.selection) and plot.picked["ends"] is None and plot.picked["intents"] == []


def test_the_ends_and_the_change_are_of_the_same_two_points(world, monkeypatch):
    monkeypatch.setattr("routerlab.widgets._evidence_plot._MAX_POINTS", 8)  # the curve draws few of its points
    plot = rl.EvidencePlot(*world)
    drawn, all_points = plot._points["willingness_to_pay"].to_numpy(), rl.frontier(*world)
    for upper, lower in ((np.inf, 0.03), (0.2, 0.02), (0.5, 0.05), tuple(drawn[[1, -1]])):
        plot.select(willingness_to_pay=(upper, lower))
        for end, k, said in zip((upper, lower), plot.picked["ends"], plot.picked["said"], strict=True):
            assert drawn[k] >= end, "the last drawn point before this end"
            assert k + 1 == len(drawn) or drawn[k + 1] < end
            at = all_points[all_points["willingness_to_pay"] >= end].iloc[-1]
            assert said.endswith(f"quality {at['quality']:.3f}")
            assert float(said.split()[0]) == pytest.approx(1000 * at["cost_usd"], abs=0.06)
        before, after = (float(said.split()[0]) for said in plot.picked["said"])
        change = float(re.search(r"changes cost by ([-+.\d]+) USD", plot.picked["text"])[1])
        assert change == pytest.approx(after - before, abs=0.11)


def test_an_intent_alone_selects_all_its_prompts(world):
    plot = rl.EvidencePlot(*world, by=INTENTS).select(intents=["code", "chat"])
    assert set(plot.selection["prompt_id"]) == set(INDEX[INTENTS != "cooking"])


def test_two_models_make_a_plot_of_intents(world):
    _, quality, cost = world
    plot = rl.EvidencePlot(("quokka", "numbat"), quality, cost, by=INTENTS)
    assert plot.curve == {} and len(plot.bars) == 3
    plot.select(intents="code")
    difference = (quality["numbat"] - quality["quokka"])[INTENTS == "code"]
    assert plot.selection["quality_change"].mean() == pytest.approx(difference.mean())
    assert f"{100 * difference.mean():+.1f} [" in plot.bars[plot._order.index("code")]["said"]


def test_everything_drawn_is_inside_and_is_json(world):
    plot = rl.EvidencePlot(*world, by=INTENTS)
    curve, quality = plot.curve, plot._points["quality"]
    for name in ("x", "y", "low", "high"):
        assert all(0 <= value <= 1 for value in curve[name])
    assert np.argmax(curve["y"]) == np.argmax(quality) and all(np.diff(curve["x"]) < 0)
    assert all(0 <= at <= 1 for bar in plot.bars for at in bar["at"])
    json.dumps([curve, plot.bars, plot.picked], allow_nan=False)
    single = rl.EvidencePlot(*world, by=pd.Series([*map(str, range(60))], INDEX))  # no interval of one prompt
    json.dumps([single.curve, single.bars], allow_nan=False)


def test_a_large_frontier_is_thinned_for_the_page_and_stays_exact_in_python():
    rng = np.random.default_rng(2)
    index = pd.RangeIndex(5000)
    quality, cost = (pd.DataFrame(rng.uniform(0.1, 1, (5000, 3)), index, MODELS) for _ in range(2))
    plot = rl.EvidencePlot(sweep_estimates(quality, cost), quality, cost)
    assert 100 < len(plot.curve["x"]) <= 242
    plot.select(willingness_to_pay=(0.5, 0.49))
    assert 0 < len(plot.selection) < 100


# What opens


def test_the_comparator_shows_the_selected_pairs_and_no_others(world, comparator):
    plot = rl.EvidencePlot(*world, by=INTENTS, opens=comparator).select(willingness_to_pay=(0.2, 0.02))
    wanted = {(r.prompt_id, *sorted((r.model_from, r.model_to))) for r in plot.selection.itertuples()}
    assert comparator.state["selected"] and comparator.state["total"] == len(wanted)
    vote(comparator, len(wanted))
    votes = comparator.vote_log.votes()
    assert {(r.prompt_id, *sorted((r.model_a, r.model_b))) for r in votes.itertuples()} == wanted
    assert set(votes["restricted_to"]) == {"EvidencePlot: willingness to pay 0.02 to 0.2"}
    assert comparator.state["item"] is None and "selection is decided" in comparator.state["finished"]["title"]
    plot.select()
    assert comparator.state["item"] and not comparator.state["selected"] and comparator.state["total"] == 180
    vote(comparator)
    assert pd.isna(comparator.vote_log.votes()["restricted_to"].iloc[-1])


def test_an_intent_opens_all_pairs_of_its_prompts(world, comparator):
    rl.EvidencePlot(*world, by=INTENTS, opens=comparator).select(intents="code")
    assert comparator.state["total"] == 60
    vote(comparator, 5)
    assert set(comparator.judgments["prompt_id"]) <= set(INDEX[INTENTS == "code"])
    assert "intent code" in comparator.vote_log.votes()["restricted_to"].iloc[0]


def test_undo_reaches_votes_from_before_the_selection(world, comparator):
    vote(comparator)
    before = comparator.vote_log.votes()["pair_id"].iloc[0]
    rl.EvidencePlot(*world, by=INTENTS, opens=comparator).select(willingness_to_pay=(0.2, 0.02))
    assert comparator.state["can_undo"]
    comparator._handle_custom_msg({"type": "undo", "nonce": "u"}, [])
    assert comparator.state["item"] == before and not len(comparator.judgments)
    assert not comparator.state["can_undo"]


def test_a_vote_on_its_way_when_the_selection_changes_is_not_lost(world, comparator):
    item, card = comparator.state["item"], comparator.cards[comparator.state["item"]]
    rl.EvidencePlot(*world, by=INTENTS, opens=comparator).select(willingness_to_pay=(0.05, 0.02))
    assert comparator.state["item"] != item
    comparator._handle_custom_msg({"type": "vote", "nonce": "late", "id": item, "choice": "left"}, [])
    vote = comparator.vote_log.votes().iloc[0]
    text = responses().set_index(["prompt_id", "model"])["response"][vote["prompt_id"], vote["model_a"]]
    assert vote["pair_id"] == item and text in card["left"]["body"]
    assert pd.isna(vote["restricted_to"]) and comparator.state["acks"] == ["late"]


def test_the_browser_shows_the_selected_pairs_and_filters_within_them(world):
    sweep, quality, cost = world
    judged = (("wombat", "ana"), ("numbat", "ben"))
    rows = [(p, model, "quokka", "tie", judge) for model, judge in judged for p in INDEX]
    votes = pd.DataFrame(rows, columns=["prompt_id", "model_a", "model_b", "winner", "judge"])
    browser = rl.JudgmentBrowser(votes, responses())
    plot = rl.EvidencePlot(sweep, quality, cost, opens=browser).select(willingness_to_pay=(np.inf, 0.05))
    part = plot.selection[plot.selection["model_from"] == "quokka"]
    wanted = set(zip(part["prompt_id"], part["model_to"], strict=True))
    assert set(zip(browser.selection["prompt_id"], browser.selection["model_a"], strict=True)) == wanted and wanted
    assert f"{len(wanted):,} have judgments, shown below" in plot.picked["text"]
    assert "from quokka to" in plot.picked["text"], "nobody votes blind here"
    browser._handle_custom_msg({"type": "filter", "filters": {"judge": "0"}, "split": False, "text": ""}, [])
    assert set(browser.selection["judge"]) == {"ana"} and set(browser.selection["prompt_id"]) <= set(part["prompt_id"])
    plot.select()
    assert len(browser.filter().selection) == 120 and not browser.found["restricted"]


# Blindness


def test_nothing_in_the_page_names_a_model_while_votes_are_blind(world, comparator):
    plot = rl.EvidencePlot(*world, by=INTENTS, opens=comparator)
    for select in ({}, {"willingness_to_pay": (0.2, 0.02)}, {"intents": "code"}, {"willingness_to_pay": (1e-9, 1e-9)}):
        plot.select(**select)
        shown = [plot._repr_mimebundle_()["text/html"], repr(plot)]
        for widget in (plot, comparator):
            shown += [repr(v) for name, v in widget.trait_values().items() if name in widget.keys and name[0] != "_"]
        assert not re.search("|".join(MODELS), " ".join(shown))
    assert "quokka" in repr(plot.select(willingness_to_pay=(0.2, 0.02)).selection["model_from"].tolist())


# Bad input


def test_prompts_without_responses_are_counted_and_said(world, tmp_path):
    data = responses()
    data = data[~((data["model"] == "numbat") & (data["prompt_id"] > "p3"))]
    half = rl.PairComparator(data, log=tmp_path / "a.jsonl", rater="ana")
    plot = rl.EvidencePlot(*world, opens=half).select(willingness_to_pay=(np.inf, 0))
    have = int(plot.selection.set_index("prompt_id")["model_to"].ne("numbat").sum()) + int(
        ((plot.selection["model_to"] == "numbat") & (plot.selection["prompt_id"] <= "p3")).sum()
    )
    assert (
        f"{have} have two different responses to compare, shown below; {len(plot.selection) - have} have not."
        in (plot.picked["text"])
    )
    assert half.state["total"] == have
    others = rl.PairComparator(responses().assign(model=responses()["model"] + "-x"), log=tmp_path / "b", rater="ana")
    plot = rl.EvidencePlot(*world, opens=others).select(willingness_to_pay=(np.inf, 0))
    assert "there is nothing to read below" in plot.picked["text"]
    assert others.state["item"] is None and "no pair to compare" in others.state["finished"]["title"]


def test_an_empty_part_says_so_in_the_widget(world, comparator):
    plot = rl.EvidencePlot(*world, by=INTENTS, opens=comparator)
    ask(plot, [4, 4])
    assert plot.picked["text"].startswith("No prompt changes its model") and comparator.state["item"] is None
    assert not len(plot.selection) and "no pair to compare" in comparator.state["finished"]["title"]


def test_a_garbled_message_is_shown_not_raised(world):
    plot = rl.EvidencePlot(*world, by=INTENTS)
    for ends, intents in (([0, 10**6], []), (None, [99]), ("x", []), (None, None)):
        content = {"ends": ends, "intents": intents}
        plot._handle_custom_msg(content, [])
        assert plot.picked["error"]
    ask(plot, [0, 5])
    assert plot.picked["error"] is None


def test_bad_parameters_are_refused(world):
    sweep, quality, cost = world
    for kwargs, message in (
        ({"sweep": "quokka"}, "'sweep'"),
        ({"sweep": ("quokka", "quokka")}, "'sweep'"),
        ({"sweep": ("quokka", "emu"), "by": INTENTS}, "emu"),
        ({"sweep": ("quokka", "numbat")}, "'by'"),
        ({"by": INTENTS[:5]}, "no intent for prompt"),
        ({"by": "intent"}, "'by'"),
        ({"opens": 3}, "'opens'"),
        ({"quality": quality[:9], "cost": cost[:9]}, "is in one and not in the other"),
    ):
        with pytest.raises((rl.TableError, ValueError), match=message):
            rl.EvidencePlot(**({"sweep": sweep, "quality": quality, "cost": cost} | kwargs))
    plot = rl.EvidencePlot(*world, by=INTENTS)
    with pytest.raises(rl.TableError, match="knitting"):
        plot.select(intents="knitting")
    with pytest.raises(ValueError, match="willingness_to_pay"):
        plot.select(willingness_to_pay=(-1, 2))
    assert not len(plot.selection), "what was refused changes nothing"


def test_saved_output_is_a_summary(world, comparator):
    sweep, quality, cost = world
    quality = quality.copy()
    quality.attrs["provenance"] = "simulated: <b>seed 0"
    plot = rl.EvidencePlot(sweep, quality, cost, by=INTENTS, opens=comparator).select(willingness_to_pay=(0.2, 0.02))
    data = plot._repr_mimebundle_()
    assert "change their model" in data["text/html"] and "object at 0x" not in data["text/html"] + data["text/plain"]
    assert "simulated: &lt;b&gt;seed 0" in data["text/html"] and data["text/plain"].startswith("EvidencePlot(")
    assert "application/vnd.jupyter.widget-view+json" in data
