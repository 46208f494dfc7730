"""The owner's widgets without a browser: what they count, keep, refuse and show."""

from __future__ import annotations

import re
import time

import numpy as np
import pandas as pd
import pytest

import routerlab as rl
from routerlab.labeling import VoteLog, disagreements, krippendorff_alpha, position_bias, self_consistency
from routerlab.schema import TableError
from routerlab.widgets._evidence_plot import bar_span, drawn_bars
from routerlab.widgets._labeler import Panel

COLUMNS = ["prompt_id", "model_a", "model_b", "winner", "judge"]


def judgments(rows, **more):
    return pd.DataFrame(rows, columns=COLUMNS).assign(**more)


@pytest.fixture
def votes():
    """Three judges on 30 prompts: cleo disagrees on ten; ana sees six again and changes her mind on two."""
    said = {"ana": "model_a", "ben": "model_a", "cleo": "model_b"}
    rows = [(f"p{i}", "quokka", "wombat", w if i < 10 else "model_a", j) for i in range(30) for j, w in said.items()]
    table = judgments(rows)
    table = table.assign(pair_id=[f"k{i}" for i in range(len(table))], repeat_of=None)
    seen = table[table["judge"] == "ana"].head(6)
    again = seen.assign(repeat_of=seen["pair_id"], pair_id=seen["pair_id"] + "r", model_a="wombat", model_b="quokka")
    again["winner"] = ["model_b"] * 4 + ["model_a"] * 2
    return pd.concat([table, again], ignore_index=True)


def change(browser, **content):
    browser._handle_custom_msg({"type": "filter", "ask": 1, **content}, [])


def test_what_one_judge_says_twice_is_a_changed_mind_and_no_disagreement():
    rows = [("p0", "x", "y", "model_a", "ana"), ("p0", "y", "x", "model_a", "ana"), ("p0", "x", "y", "model_a", "ben")]
    browser = rl.JudgmentBrowser(judgments(rows, repeat_of=[None, "k", None]))
    (item,) = browser.found["items"]
    assert not item["split"] and item["changed"]
    assert item["winner"] == {"side": "a", "name": "x", "text": "2 : 0"}
    assert not len(browser.filter(disagreement=True).selection)


@pytest.mark.parametrize(
    ("winners", "name", "text"),
    [
        (["model_a", "model_b"], "", "even, 1 : 1"),
        (["tie", "tie"], "", "2 ties"),
        (["both_bad"], "", "1 both bad"),
        (["model_b", "model_b", "tie"], "y", "2 : 0, 1 tie"),
    ],
)
def test_each_row_says_who_wins(winners, name, text):
    rows = [("p0", "x", "y", winner, f"judge {k}") for k, winner in enumerate(winners)]
    winner = rl.JudgmentBrowser(judgments(rows)).found["items"][0]["winner"]
    assert (winner["name"], winner["text"]) == (name, text)


def test_judgments_without_names_are_judges_of_their_own():
    rows = [("p0", "x", "y", "model_a", None), ("p0", "x", "y", "model_b", None)]
    assert rl.JudgmentBrowser(judgments(rows)).found["items"][0]["split"]
    assert rl.JudgmentBrowser(judgments(rows).drop(columns="judge")).found["items"][0]["split"]


def test_filters_have_one_source(votes):
    browser = rl.JudgmentBrowser(votes).filter(prompt_ids=["p0", "p1", "p20"], text="p")
    shown = browser.found["filters"]
    assert shown["prompts"] == 3 and shown["text"] == "p" and not shown["split"]
    change(browser, split=True)
    assert set(browser.selection["prompt_id"]) == {"p0", "p1"} and browser.found["filters"]["text"] == "p"
    change(browser, split=False)
    assert set(browser.selection["prompt_id"]) == {"p0", "p1", "p20"}
    change(browser, prompt_ids=None)
    assert browser.found["n_pairs"] == 30 and browser.found["filters"]["prompts"] is None
    browser.filter(intent="nowhere")
    assert browser.found["filters"]["words"] == ["intent nowhere"] and browser.detail == {}
    change(browser, clear=True)
    assert browser.found["n_pairs"] == 30 and browser.answered == 1


def test_win_rates_by_slice_follow_the_filters(votes):
    intents = pd.Series({f"p{i}": "hard" if i < 10 else "easy" for i in range(30)})
    browser = rl.JudgmentBrowser(votes, by=intents)
    rates = {(row["slice"], row["model"]): row for row in browser.found["rates"]["rows"]}
    assert rates["easy", "quokka"]["rate"] == 1 and rates["easy", "quokka"]["n"] == 60
    hard = votes[votes["prompt_id"].map(intents) == "hard"]
    won = np.where(hard["model_a"] == "quokka", hard["winner"] == "model_a", hard["winner"] == "model_b")
    assert rates["hard", "quokka"]["rate"] == pytest.approx(won.mean())
    assert all(row["low"] < row["high"] for row in rates.values()), "no certainty from a few prompts"
    browser.filter(judge="cleo", intent="hard")
    assert {row["slice"] for row in browser.found["rates"]["rows"]} == {"hard"}
    browser._handle_custom_msg({"type": "slice", "by": "judge", "ask": 2}, [])
    assert {row["slice"] for row in browser.found["rates"]["rows"]} == {"ana", "ben", "cleo"}


def test_bars_of_a_handful_have_no_interval_and_all_others_fit_their_scale():
    table = pd.DataFrame(
        {"n": [5, 20, 20], "n_changed": [5, 0, 9], "quality_change": [-1.0, 0.0, -0.3]}
        | {"ci_low": [-1.0, -0.1, -0.6], "ci_high": [0.2, 0.1, 0.4]},
        index=["few", "still", "wide"],
    )
    order = ["few", "wide", "still"]
    bars = drawn_bars(table, order, bar_span(table))
    assert [bar["name"] for bar in bars] == order
    assert bars[0]["said"] == "-100.0; too few" and not bars[0]["known"] and bars[2]["said"] == "no change"
    zero, low, mid, high = bars[1]["at"]
    assert 0 <= low < mid < zero < high <= 1, "the whisker ends where the interval does, beyond 0"


def test_a_bar_whose_interval_grows_with_the_selection_is_not_cut():
    rng = np.random.default_rng(0)
    index = pd.RangeIndex(60)
    quality = pd.DataFrame({"a": rng.uniform(0.8, 1, 60), "b": rng.uniform(0, 0.2, 60)}, index)
    cost = pd.DataFrame({"a": rng.uniform(0.5, 2, 60), "b": 0.001}, index)
    plot = rl.EvidencePlot(rl.decision.sweep_estimates(quality, cost), quality, cost, by=pd.Series("one", index))
    for end in range(1, len(plot.curve["x"])):
        plot._handle_custom_msg({"ends": [0, end], "intents": [], "ask": end}, [])
        assert plot.answered == end and all(0 < place < 1 for place in plot.bars[0]["at"])


def labeler(tmp_path, n=6, intents=("cooking", "code"), **more):
    prompts = pd.DataFrame({"prompt_id": [f"p{i}" for i in range(n)], "prompt": [f"Prompt {i}?" for i in range(n)]})
    return rl.IntentLabeler(prompts, intents, log=tmp_path / "i.jsonl", rater="ana", **more)


def give(widget, intent, nonce):
    content = {"type": "vote", "nonce": nonce, "id": widget.state["item"], "choice": intent}
    widget._handle_custom_msg(content, [])


@pytest.mark.parametrize("typed", ["Cooking", "cooking ", "COOKING", "ｃｏｏｋｉｎｇ"])
def test_a_name_that_differs_in_case_or_width_only_is_the_one_in_the_list(tmp_path, typed):
    widget = labeler(tmp_path)
    give(widget, typed, "n1")
    assert widget.labels.tolist() == ["cooking"] and widget.state["intents"] == ["cooking", "code"]


def test_renamed_and_merged_intents_are_in_the_log_and_in_the_next_widget(tmp_path):
    widget = labeler(tmp_path)
    for k, intent in enumerate(("coking", "cooking", "code")):
        give(widget, intent, f"n{k}")
    widget.rename("coking", "cooking").rename("code", "programming")
    assert widget.labels.tolist() == ["cooking", "cooking", "programming"]
    assert widget.state["intents"] == ["cooking", "programming"] and widget.state["counts"] == [2, 1]
    again = labeler(tmp_path)
    assert again.labels.tolist() == widget.labels.tolist() and again.state["intents"] == ["cooking", "programming"]
    give(again, "code", "later")
    assert again.labels.tolist()[-1] == "code", "a name given after it was renamed is a new one"
    again._handle_custom_msg({"type": "undo", "nonce": "u"}, [])
    again._handle_custom_msg({"type": "undo", "nonce": "u2"}, [])
    assert again.labels.tolist() == ["cooking", "cooking"]
    given = [r["intent"] for r in again.vote_log.records() if r["type"] == "label"]
    assert given[:3] == ["coking", "cooking", "code"], "the log keeps what was given"
    with pytest.raises(TableError, match="'nothing' is not in the list"):
        again.rename("nothing", "cooking")
    with pytest.raises(TableError, match="is empty"):
        again.rename("cooking", " ")


def test_labels_known_from_the_start_are_renamed_as_well(tmp_path):
    widget = labeler(tmp_path, labels=pd.Series({"p0": "old", "p1": "cooking"}))
    widget.rename("old", "cooking")
    assert widget.state["intents"] == ["cooking", "code"] and widget.state["counts"] == [2, 0]


@pytest.mark.slow
def test_50_000_prompts_open_at_once(tmp_path):
    words = np.random.default_rng(0).choice(np.array([f"word{k}" for k in range(3000)]), (50_000, 30))
    prompts = pd.DataFrame({"prompt_id": range(50_000), "prompt": [" ".join(row) for row in words]})
    start = time.process_time()
    widget = rl.IntentLabeler(prompts, ["cooking", "code"], log=tmp_path / "i.jsonl", rater="ana")
    assert time.process_time() - start < 3
    for k in range(3):
        give(widget, "code", f"n{k}")
    assert widget.state["done"] == 3 and widget.state["error"] is None


# The dashboard


def test_every_figure_of_the_dashboard_is_that_of_the_function_for_it(votes):
    dashboard = rl.LabelingDashboard(votes, goal=40)
    ana, row = votes[votes["judge"] == "ana"], dashboard.raters.loc["ana"]
    left, same = position_bias(ana).left, self_consistency(ana).same
    assert (row["left_share"], row["left_low"], row["left_high"]) == (left.estimate, left.low, left.high)
    assert (row["same_share"], row["same_low"], row["same_high"]) == (same.estimate, same.low, same.high)
    assert row["n_votes"] == 36 and row["n_repeats"] == 6 and np.isnan(dashboard.raters.loc["ben", "same_share"])
    pd.testing.assert_frame_equal(dashboard.to_adjudicate, disagreements(votes))
    alpha = krippendorff_alpha(votes)
    for text in (f"{alpha.alpha:.2f}", f"[{alpha.ci_low:.2f}, {alpha.ci_high:.2f}]", "30 of 40", "too few votes"):
        assert text in dashboard.html
    assert len(rl.LabelingDashboard(votes, adjudicator="cleo").to_adjudicate) == 0


def test_one_rater_and_no_votes_are_said_not_raised(votes, tmp_path):
    alone = rl.LabelingDashboard(votes[(votes["judge"] == "ben")])
    assert "holds no pair of responses that two raters judged" in alone.html and "agree on all pairs" in alone.html
    with VoteLogFolder(tmp_path) as folder:
        assert "0 votes of 0 raters" in repr(rl.LabelingDashboard(folder))
    with pytest.raises(TableError, match="whose they are"):
        rl.LabelingDashboard(votes.drop(columns="judge"))


class VoteLogFolder:
    """A folder with a log that holds no vote yet."""

    def __init__(self, path):
        self.path = path

    def __enter__(self):
        VoteLog(self.path / "ana.jsonl", rater="ana", dataset_id="x")
        return self.path

    def __exit__(self, *_):
        return None


def test_names_in_the_dashboard_are_text(votes, tmp_path):
    odd = "<img src=x onerror=alert(1)>"
    named = votes.replace({"judge": {"ben": odd}, "model_a": {"quokka": odd}, "model_b": {"quokka": odd}})
    document = rl.LabelingDashboard(named).to_html(tmp_path / "d.html")
    assert "<img" not in document and "&lt;img" in document and not re.search(r"https?:|<script", document)
    assert (tmp_path / "d.html").read_text(encoding="utf-8") == document


def test_simulated_votes_say_so_in_the_dashboard(votes):
    votes.attrs["provenance"] = "simulated: seed 0"
    assert "simulated: seed 0" in rl.LabelingDashboard(votes).html


def test_each_widget_is_shown_as_a_summary_and_a_view(votes, monkeypatch):
    import IPython.display

    shown = []
    monkeypatch.setattr(IPython.display, "display", lambda data, raw: shown.append(data))
    for widget in (rl.JudgmentBrowser(votes), rl.LabelingDashboard(votes)):
        assert isinstance(widget, Panel)
        shown.clear()
        widget._ipython_display_()
        summary, view = shown
        assert widget.summary_id in summary["text/html"] and "application/vnd.jupyter.widget-view+json" not in summary
        assert "text/html" not in view and "application/vnd.jupyter.widget-view+json" in view
