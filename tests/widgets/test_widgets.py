"""The widgets without a browser: what they send, accept, refuse and leave behind."""

from __future__ import annotations

import html
import json
import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings, strategies as st

from routerlab.datasets import load_demo
from routerlab.labeling import LogOwnerError, VoteLog
from routerlab.schema import TableError
from routerlab.widgets import IntentLabeler, JudgmentBrowser, PairComparator
from routerlab.widgets._labeler import MAX_STEP, card_bytes, check_keys, style
from routerlab.widgets._render import MAX_HTML, show_difference, show_markdown, show_plain, visible

MODELS = ("quokka", "wombat", "numbat")


def responses_of(n_prompts: int = 6, text: str = "response {} of {}") -> pd.DataFrame:
    rows = [(f"p{i}", m, text.format(i, 7 * k + i)) for i in range(n_prompts) for k, m in enumerate(MODELS)]
    return pd.DataFrame(rows, columns=["prompt_id", "model", "response"])


def prompts_of(n_prompts: int = 6) -> pd.DataFrame:
    rows = [(f"p{i}", f"Prompt number {i}?", "even" if i % 2 == 0 else "odd") for i in range(n_prompts)]
    return pd.DataFrame(rows, columns=["prompt_id", "prompt", "intent"])


def send(widget, kind: str = "vote", nonce: str = "n1", **content) -> None:
    """Deliver a message as the page would."""
    item = content.pop("id", widget.state["item"])
    widget._handle_custom_msg({"type": kind, "nonce": nonce, "id": item, **content}, [])


@pytest.fixture
def comparator(tmp_path):
    return PairComparator(responses_of(), prompts_of(), log=tmp_path / "ana.jsonl", rater="ana", repeat_share=0)


# Votes


def test_a_vote_is_logged_acknowledged_and_followed_by_the_pair_that_was_announced(comparator):
    first, (second, third) = comparator.state["item"], comparator.state["ahead"]
    assert list(comparator.cards) == [first, second, third]
    send(comparator, choice="left", note="why", seconds=1.5)
    vote = comparator.vote_log.votes().iloc[0]
    assert (vote["pair_id"], vote["winner"], vote["note"], vote["seconds"]) == (first, "model_a", "why", 1.5)
    assert comparator.state["acks"] == ["n1"]
    assert comparator.state["item"] == second and comparator.state["ahead"][0] == third
    assert comparator.state["done"] == 1


def test_the_side_that_was_pressed_is_the_model_that_wins(comparator):
    data = responses_of().set_index(["prompt_id", "model"])["response"]
    for i, choice in enumerate(["left", "right"] * 4):
        card = comparator.cards[comparator.state["item"]]
        send(comparator, choice=choice, nonce=f"n{i}")
        vote = comparator.judgments.iloc[-1]
        winner = vote[vote["winner"]]
        assert data[vote["prompt_id"], winner] in card[choice]["body"]


def test_sent_twice_it_counts_once(comparator):
    item = comparator.state["item"]
    send(comparator, choice="left")
    send(comparator, choice="left", id=item)
    send(comparator, choice="right", id=item, nonce="n2")
    assert len(comparator.judgments) == 1
    assert comparator.state["acks"][-1] == "n2", "a refused vote must not be sent again and again"
    assert "decided" in comparator.state["notice"]


def test_an_unknown_pair_is_refused(comparator):
    send(comparator, choice="left", id="0" * 16)
    assert not len(comparator.judgments)
    assert "no such pair" in comparator.state["notice"] and comparator.state["acks"] == ["n1"]


def test_a_vote_on_a_pair_announced_for_later_counts(comparator):
    later = comparator.state["ahead"][1]
    send(comparator, choice="tie", id=later)
    assert comparator.judgments["pair_id"].tolist() == [later]
    assert later not in [comparator.state["item"], *comparator.state["ahead"]]


def test_undo_shows_the_pair_again(comparator):
    item = comparator.state["item"]
    send(comparator, "undo")
    assert comparator.state["notice"], "nothing to undo is said, not swallowed"
    send(comparator, choice="left", nonce="n2")
    send(comparator, "undo", nonce="n3")
    send(comparator, "undo", nonce="n3")
    assert comparator.state["item"] == item and not len(comparator.judgments)
    send(comparator, choice="right", nonce="n4")
    assert comparator.judgments["winner"].tolist() == ["model_b"]


def test_skip_is_recorded_and_moves_on(comparator):
    item = comparator.state["item"]
    send(comparator, "skip")
    assert comparator.vote_log.records()[-1]["type"] == "skip" and comparator.state["item"] != item


def test_to_the_end_and_back(tmp_path):
    widget = PairComparator(responses_of(2), log=tmp_path / "ana.jsonl", rater="ana", repeat_share=0)
    for i in range(6):
        send(widget, choice="tie", nonce=f"n{i}")
    assert widget.state["item"] is None and "saved" in widget.state["finished"]["text"]
    assert widget.judgments.groupby("prompt_id").size().tolist() == [3, 3]
    send(widget, "undo", nonce="u")
    assert widget.state["item"] is not None


def test_a_new_widget_goes_on_where_the_old_one_stopped_and_takes_its_votes(tmp_path):
    path = tmp_path / "ana.jsonl"
    old = PairComparator(responses_of(), log=path, rater="ana")
    send(old, choice="left")
    waiting = [old.state["item"], *old.state["ahead"]]
    new = PairComparator(responses_of(), log=path, rater="ana")
    assert new.state["store"] == old.state["store"] and new.state["done"] == 1
    texts = {name: (card["left"]["body"], card["right"]["body"]) for name, card in old.cards.items()}
    for i, item in enumerate(waiting):
        send(new, choice="left", id=item, nonce=f"late{i}")
    data = responses_of().set_index(["prompt_id", "model"])["response"]
    assert len(new.judgments) == 4
    for vote in new.judgments.iloc[1:].to_dict("records"):
        left, right = texts[vote["pair_id"]]
        assert data[vote["prompt_id"], vote["model_a"]] in left and data[vote["prompt_id"], vote["model_b"]] in right


def test_two_kernels_on_one_log_count_each_pair_once(tmp_path):
    path = tmp_path / "ana.jsonl"
    one, two = (PairComparator(responses_of(), log=path, rater="ana", repeat_share=0) for _ in range(2))
    assert one.state["item"] == two.state["item"]
    send(one, choice="left", nonce="a")
    send(two, choice="right", nonce="b")
    assert len(VoteLog(path, rater="ana", dataset_id=one.queue.dataset_id)) == 1
    assert two.state["item"] == one.state["item"], "the second widget learns of the vote and moves on"


# Blindness


def saved_html(widget) -> str:
    """What a notebook keeps of the widget."""
    bundle = widget._repr_mimebundle_()
    return (bundle[0] if isinstance(bundle, tuple) else bundle)["text/html"]


def synced(widget) -> str:
    return json.dumps(
        {name: widget.trait_values()[name] for name in widget.keys if not name.startswith("_")}, default=str
    )


@pytest.mark.parametrize("reveal", [False, True])
def test_no_name_before_the_vote(tmp_path, reveal):
    widget = PairComparator(
        responses_of(), prompts_of(), log=tmp_path / "a.jsonl", rater="ana", by="intent", reveal=reveal
    )
    assert not re.search("|".join(MODELS), synced(widget) + saved_html(widget))
    send(widget, choice="left")
    assert bool(re.search("|".join(MODELS), synced(widget))) == reveal


def test_reveal_names_the_right_sides(tmp_path):
    data = responses_of().assign(output_tokens=range(18), cost_usd=0.001)
    widget = PairComparator(data, log=tmp_path / "a.jsonl", rater="ana", reveal=True)
    send(widget, choice="left")
    vote, shown = widget.judgments.iloc[0], widget.state["last"]["reveal"]
    assert [s["model"] for s in shown] == [vote["model_a"], vote["model_b"]]
    tokens = data.set_index(["prompt_id", "model"])["output_tokens"][vote["prompt_id"], vote["model_a"]]
    assert shown[0]["detail"] == f"{tokens} tokens · $0.00100"


# The ratings panel


def test_ratings_come_only_to_who_may_see_them_and_when_asked_for(tmp_path, comparator):
    comparator._handle_custom_msg({"type": "panel", "open": True}, [])
    assert comparator.panel == {"open": False} and not comparator.ratings
    comparator = PairComparator(responses_of(), log=tmp_path / "o.jsonl", rater="owner", repeat_share=0, ratings=True)
    assert comparator.panel == {"open": False}
    comparator._handle_custom_msg({"type": "panel", "open": True}, [])
    assert "No ratings yet" in comparator.panel["text"]
    for i in range(5):
        send(comparator, choice="left", nonce=f"n{i}")
    rows = comparator.panel["rows"]
    assert all(row["low"] < row["rating"] < row["high"] for row in rows)
    assert sum(row["n"] for row in rows) == 10 and " leads " in comparator.panel["text"]


# Bad input


def test_errors_show_in_the_widget_and_are_not_acknowledged(comparator, monkeypatch):
    monkeypatch.setattr(comparator.vote_log, "append", lambda _: (_ for _ in ()).throw(OSError("disk on fire")))
    item = comparator.state["item"]
    send(comparator, choice="left")
    assert "disk on fire" in comparator.state["error"]
    assert comparator.state["acks"] == [] and comparator.state["item"] == item
    monkeypatch.undo()
    send(comparator, choice="left", id=item)
    assert comparator.state["error"] is None and comparator.state["acks"] == ["n1"]


@pytest.mark.parametrize(
    "content", [{}, {"type": "vote"}, {"type": "vote", "nonce": "x"}, {"type": "view", "id": 3}, {"type": 7}]
)
def test_a_garbled_message_is_shown_not_raised(comparator, content):
    comparator._handle_custom_msg(content, [])
    assert not len(comparator.judgments)


def test_a_log_of_other_responses_or_another_rater_is_refused(tmp_path):
    PairComparator(responses_of(), log=tmp_path / "votes.jsonl", rater="ana")
    with pytest.raises(LogOwnerError, match="rater"):
        PairComparator(responses_of(), log=tmp_path / "votes.jsonl", rater="ben")
    with pytest.raises(LogOwnerError, match="dataset_id"):
        PairComparator(responses_of(7), log=tmp_path / "votes.jsonl", rater="ana")
    with pytest.raises(TableError, match="'log'"):
        PairComparator(responses_of(), log=VoteLog(tmp_path / "x.jsonl", rater="a", dataset_id="other"))
    with pytest.raises(ValueError, match="rater"):
        PairComparator(responses_of(), log=tmp_path / "votes.jsonl")


def test_a_name_without_suffix_is_a_folder_of_logs(tmp_path):
    for rater in ("ana", "ben"):
        PairComparator(responses_of(), log=tmp_path / "votes", rater=rater)
    assert sorted(p.name for p in (tmp_path / "votes").glob("*.jsonl")) == ["ana.jsonl", "ben.jsonl"]


def test_what_is_left_out_is_said(tmp_path):
    data = responses_of()
    data.loc[0, "response"] = None
    data.loc[4, "response"] = data.loc[3, "response"]
    widget = PairComparator(data, log=tmp_path / "a.jsonl", rater="ana")
    assert "2 pairs are left out: a response is missing" in widget.state["notice"]
    assert "1 pair" in widget.state["notice"] and "same text" in widget.state["notice"]


def test_a_torn_log_is_reported_in_the_widget(tmp_path):
    path = tmp_path / "ana.jsonl"
    send(PairComparator(responses_of(), log=path, rater="ana"), choice="left")
    with path.open("a") as file:
        file.write('{"type": "vote", "winn')
    widget = PairComparator(responses_of(), log=path, rater="ana")
    assert "torn" in widget.state["notice"] and widget.state["done"] == 1


@pytest.mark.parametrize(
    ("keys", "message"), [({"lef": "a"}, "lef"), ({"left": "2"}, "two actions"), ({"left": "ab"}, "one character")]
)
def test_bad_keys_are_refused(keys, message):
    with pytest.raises(ValueError, match=message):
        check_keys(keys, {"left": "1", "right": "2"})


def test_keys_can_be_remapped_or_turned_off(tmp_path):
    widget = PairComparator(responses_of(), log=tmp_path / "a.jsonl", rater="ana", keys={"left": "a", "raw": ""})
    assert widget.bindings["left"] == "a" and widget.bindings["right"] == "2" and "raw" not in widget.bindings
    assert PairComparator(responses_of(), log=tmp_path / "a.jsonl", rater="ana", keys=None).bindings == {}


# Text


def test_a_step_is_small_whatever_the_texts(tmp_path):
    data = pd.DataFrame(
        [(f"p{i}", m, t * 50_000) for i, t in enumerate(["ab ", "```python\n1+x\n```\n", "<b>&"]) for m in MODELS],
        columns=["prompt_id", "model", "response"],
    )
    data["response"] += data["model"]
    widget = PairComparator(data, prompts_of(3).assign(prompt="why " * 20_000), log=tmp_path / "a.jsonl", rater="ana")
    assert card_bytes(widget.cards) < MAX_STEP + 20_000
    assert all(card_bytes(card) < 2 * MAX_HTML + 20_000 for card in widget.cards.values())


def test_views_on_demand(comparator, monkeypatch):
    sent = []
    monkeypatch.setattr(comparator, "send", lambda content, buffers=None: sent.append(content))
    for mode in ("raw", "diff"):
        comparator._handle_custom_msg({"type": "view", "id": comparator.state["item"], "mode": mode, "full": False}, [])
    assert [s["html"] for s in sent] == [False, True] and "<mark" in sent[1]["left"]["body"]
    comparator._handle_custom_msg({"type": "ping"}, [])
    assert sent[-1] == {"type": "pong"}


TAGS = (
    "p|br|hr|em|strong|s|del|code|pre|blockquote|ul|ol|li|h[1-6]|table|thead|tbody|tr|th|td|b|i|u|sub|sup|kbd|ins|mark"
)
FORMULA = (
    "m(ath|row|i|n|o|frac|sqrt|root|sub|sup|subsup|under|over|underover|table|tr|td|text|space|style|padded|enclose)"
)
ALLOWED = re.compile(
    rf'</?({TAGS}|small)( dir="auto"| start="\d+"| class="rl-(center|right)")* ?/?>'
    r'|</?(span|div)( class="rl-[a-z-]+( rl-formula)?"| title="[^"<>]*")*>'
    rf'|</?{FORMULA}( [a-z]+="[a-z0-9.-]+")*>'
)
PIECES = (
    r"""< > " ' ` ![ ]( ) [ javascript: <!-- &lt; # | |-| ** ~~ $ $$ \( \) \text{ \frac { } <sub> </sub> """
    "<br> <b> <svg> </span> = http://a.b <img\tsrc=x\tonerror=a()>"
).split(" ")
MARKUP = st.lists(st.sampled_from([*PIECES, "```\n", "\n", " ", "\x00"]) | st.text(max_size=5), max_size=30).map(
    "".join
)


@given(MARKUP)
@settings(max_examples=300, deadline=None)
def test_rendered_markdown_holds_nothing_but_what_is_allowed(text):
    left = ALLOWED.sub("", show_markdown(text).body)
    assert "<" not in left and ">" not in left.replace("&gt;", "")


@given(st.text(max_size=200), st.text(max_size=200))
@settings(max_examples=100, deadline=None)
def test_the_difference_holds_both_texts_in_full(left, right):
    for text, shown in zip((left, right), show_difference(left, right), strict=True):
        assert html.unescape(re.sub(r'<mark class="rl-only">|</mark>', "", shown.body)) == visible(text)[0]


def test_the_difference_marks_what_differs():
    left, right = show_difference("one two three", "one 2 three four")
    assert left.body == 'one <mark class="rl-only">two</mark> three'
    assert right.body == 'one <mark class="rl-only">2</mark> three<mark class="rl-only"> four</mark>'


def test_markdown_renders_what_models_write():
    body = show_markdown(
        "# T\n\n1. a\n2. b\n\n| x | y |\n|---|---|\n| 1 | 2 |\n\n```python\ndef f(): return 1\n```\n"
    ).body
    for part in ("<h1", "<ol", "<table>", '<span class="rl-hl-k">def</span>', '<span class="rl-hl-f">f</span>'):
        assert part in body


def test_odd_text_is_shown_and_said():
    assert show_markdown("").body == "" and show_markdown("  \n").body == ""
    assert show_plain("a\x00\x1b[31m").note == "2 hidden or control characters are shown as signs."
    assert "\ud800" not in show_plain("\ud800x").body and "⟦U+D800⟧" in show_plain("\ud800x").body
    assert 'dir="auto"' in show_markdown("שלום").body
    cut = show_markdown("word " * 300_000)
    assert cut.cut and "of 1,500,000 characters" in cut.note and len(cut.body.encode()) <= MAX_HTML


# Intents


@pytest.fixture
def labeler(tmp_path):
    return IntentLabeler(prompts_of(), ["even", "odd"], log=tmp_path / "intents.jsonl", rater="ana")


def test_labels_are_logged_undone_and_read_back(labeler, tmp_path):
    first = labeler._buffer[0]
    send(labeler, choice="even")
    send(labeler, "skip", nonce="n2")
    send(labeler, choice="something new", nonce="n3")
    assert labeler.labels.tolist() == ["even", "something new"] and labeler.state["done"] == 3
    again = IntentLabeler(prompts_of(), log=tmp_path / "intents.jsonl", rater="ana")
    assert again.state["done"] == 3 and "something new" in again.state["intents"]
    for nonce in ("u1", "u2", "u3"):
        send(again, "undo", nonce=nonce)
    assert again._buffer[0] == first and not len(again.labels)


def test_a_closed_list_stays_closed(tmp_path):
    labeler = IntentLabeler(prompts_of(), ["even"], log=tmp_path / "i.jsonl", rater="ana", closed=True)
    send(labeler, choice="odd")
    assert not len(labeler.labels) and "closed" in labeler.state["notice"]
    with pytest.raises(TableError, match="'intents'"):
        IntentLabeler(prompts_of(), log=tmp_path / "j.jsonl", rater="ana", closed=True)


def test_suggestions_are_the_neighbours_intents(tmp_path):
    prompts = prompts_of(40)
    X = pd.DataFrame([[1.0, 0.1], [0.1, 1.0]] * 20, index=prompts["prompt_id"])
    names = [f"other {k}" for k in range(9)] + ["even", "odd"]
    labeler = IntentLabeler(prompts, names, log=tmp_path / "i.jsonl", rater="ana", X=X, n_neighbors=3)
    truth = prompts.set_index("prompt_id")["intent"]
    for i in range(6):
        send(labeler, choice=truth[labeler._buffer[0]], nonce=f"n{i}")
    for prompt_id in ("p20", "p21"):
        assert labeler.suggest(prompt_id).idxmax() == truth[prompt_id]
    assert labeler.state["suggestions"][0]["intent"] == truth[labeler._buffer[0]]


def test_known_labels_are_not_asked_and_bad_ones_refused(tmp_path):
    known = prompts_of().set_index("prompt_id")["intent"][:4]
    labeler = IntentLabeler(prompts_of(), log=tmp_path / "i.jsonl", rater="ana", labels=known)
    assert labeler.state["total"] == 2 and labeler.state["intents"] == ["even", "odd"]
    with pytest.raises(TableError, match="zz"):
        IntentLabeler(prompts_of(), log=tmp_path / "j.jsonl", rater="ana", labels=pd.Series({"zz": "a"}))


@pytest.mark.slow
def test_suggestions_get_better_as_one_labels(tmp_path):
    """Through the widget's own messages, on the demo data: 28 intents, 200 prompts that are never labelled."""
    prompts = load_demo().prompts.sample(frac=1, random_state=0)
    truth, held = prompts["intent"].astype(str), prompts.index[-200:]
    labeler = IntentLabeler(prompts, sorted(set(truth)), log=tmp_path / "i.jsonl", rater="ana")
    ids = {name: prompt_id for name, prompt_id in labeler._ids.items() if prompt_id not in set(held)}
    right, among_nine = [], []
    for n, name in enumerate(list(ids)[:150], start=1):
        labeler._handle_custom_msg({"type": "vote", "nonce": f"n{n}", "id": name, "choice": truth[ids[name]]}, [])
        if n in (20, 60, 150):
            ranks = np.array([labeler.suggest(p).index.get_loc(truth[p]) for p in held])
            right.append(np.mean(ranks == 0))
            among_nine.append(np.mean(ranks < 9))
    assert len(labeler.labels) == 150
    assert right[2] > max(right[0], 3 / 28), "chance is 1 in 28"
    assert among_nine[0] < among_nine[1] < among_nine[2] > 0.55, "chance is 9 in 28"


def test_the_next_prompt_is_the_one_least_like_those_that_have_a_label(tmp_path):
    prompts = prompts_of(12)
    X = pd.DataFrame([[1.0, 0.1]] * 8 + [[0.1, 1.0]] * 4, index=prompts["prompt_id"])
    labeler = IntentLabeler(prompts, ["even", "odd"], log=tmp_path / "i.jsonl", rater="ana", X=X)
    assert labeler._buffer[:2] == ["p0", "p8"], "the first of the table, and then the first of the other kind"
    tabled = IntentLabeler(prompts, ["even"], log=tmp_path / "j.jsonl", rater="ana", X=X, order="table")
    assert tabled._buffer == ["p0", "p1", "p2"]
    with pytest.raises(ValueError, match="'order'"):
        IntentLabeler(prompts, ["even"], log=tmp_path / "k.jsonl", rater="ana", order="random")


# Looking back


@pytest.fixture
def browser():
    rows = [
        ("p0", "quokka", "wombat", "model_a", "ana", "good <b>"),
        ("p0", "wombat", "quokka", "model_b", "ben", None),
        ("p1", "quokka", "wombat", "model_a", "ana", None),
        ("p1", "wombat", "quokka", "model_a", "ben", None),
        ("p2", "quokka", "numbat", "tie", "ana", None),
    ]
    votes = pd.DataFrame(rows, columns=["prompt_id", "model_a", "model_b", "winner", "judge", "note"])
    return JudgmentBrowser(votes, responses_of(), prompts_of(), by="intent")


def test_votes_from_either_side_are_one_entry(browser):
    assert browser.found["n_pairs"] == 3 and browser.found["n_judgments"] == 5
    assert [item["split"] for item in browser.found["items"]] == [False, True, False]
    said = [v["said"] for v in browser.detail["verdicts"]]
    assert said == ["quokka is better"] * 2


@pytest.mark.parametrize(
    ("filters", "ids"),
    [
        ({"disagreement": True}, ["p1", "p1"]),
        ({"intent": "even"}, ["p0", "p0", "p2"]),
        ({"models": ("wombat", "quokka")}, ["p0", "p0", "p1", "p1"]),
        ({"judge": "ben", "intent": "odd"}, ["p1", "p1"]),
        ({"text": "NUMBER 2"}, ["p2"]),
        ({"prompt_ids": ["p0"]}, ["p0", "p0"]),
        ({"text": "nowhere"}, []),
    ],
)
def test_filters(browser, filters, ids):
    assert browser.filter(**filters).selection["prompt_id"].tolist() == ids
    assert list(browser.selection) == ["prompt_id", "model_a", "model_b", "winner", "judge", "note"]


def test_the_page_filters_as_the_method_does(browser):
    pair = browser.options["pair"]["values"].index("quokka · wombat")
    message = {"type": "filter", "filters": {"pair": str(pair), "judge": ""}, "split": True, "text": ""}
    browser._handle_custom_msg(message, [])
    assert browser.selection["prompt_id"].tolist() == ["p1", "p1"]
    browser._handle_custom_msg({"type": "open", "id": browser.found["items"][0]["id"]}, [])
    assert browser.detail["prompt"] == "Prompt number 1?" and browser.detail["sides"][0]["model"] == "quokka"
    browser._handle_custom_msg({"type": "open", "id": "99"}, [])
    assert browser.detail["error"]


def test_a_report_stands_alone(browser, tmp_path):
    browser.filter(disagreement=True)
    document = browser.to_html(tmp_path / "report.html")
    assert (tmp_path / "report.html").read_text(encoding="utf-8") == document
    assert "Prompt number 1?" in document and "Prompt number 0?" not in document
    assert "default-src 'none'" in document and "http:" not in document and "https:" not in document
    assert "1 of 3 pairs" in browser.filter().to_html(max_pairs=1)


def test_simulated_judgments_say_so(browser):
    votes = browser.selection
    votes.attrs["provenance"] = "simulated: seed 0"
    widget = JudgmentBrowser(votes)
    assert "simulated: seed 0" in widget.to_html() and "simulated: seed 0" in saved_html(widget)


# Saved notebooks


def test_saved_output_is_readable_without_a_kernel(comparator, labeler, browser):
    for widget in (comparator, labeler, browser):
        data = widget._repr_mimebundle_()
        data = data[0] if isinstance(data, tuple) else data
        assert "object at 0x" not in data["text/html"] + data["text/plain"]
        assert type(widget).__name__ in data["text/plain"]
        assert data["text/html"].startswith("<div")


def test_the_style_follows_jupyterlab_and_vs_code():
    css = style()
    assert css.count("--rl-bg: var(--jp-layout-color0, var(--vscode-editor-background, #") == 3  # light, dark, system
    assert "var(--jp-ui-font-family, var(--vscode-font-family," in css
    for mark in ('body[data-jp-theme-light="false"]', "body.vscode-dark", "body.vscode-high-contrast", ".vscode-light"):
        assert mark in css
    assert not re.search(r"url\(|@import|https?:", css), "nothing is loaded"
