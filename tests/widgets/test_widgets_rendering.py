"""Texts as raters read them, without a browser."""

import json

import numpy as np
import pandas as pd
import pytest

from routerlab.widgets import IntentLabeler, JudgmentBrowser, PairComparator
from routerlab.widgets._chat import gist, transcript, turns_of
from routerlab.widgets._maths import mathml
from routerlab.widgets._render import n_words, show_markdown, show_prompt, show_whole

CALL = {"id": "c", "type": "function", "function": {"name": "look", "arguments": '{"at": 1}'}}
CHAT = [
    {"role": "system", "content": "Be *kind*."},
    {"role": "user", "content": [{"type": "text", "text": "Look **here**"}]},
    {"role": "assistant", "content": None, "tool_calls": [CALL]},
    {"role": "tool", "tool_call_id": "c", "content": '{"found": true}'},
    {"role": "assistant", "content": "There."},
]
DOT = "data:image/png;base64,iVBORw0KGgo="


def test_a_conversation_is_shown_turn_by_turn():
    body = show_markdown(json.dumps(CHAT)).body
    parts = ["<summary>System prompt</summary>", "<em>kind</em>", "<strong>here</strong>", "calls look", '"at": 1']
    at = [body.index(part) for part in [*parts, "Tool (c)", '"found": true', "There."]]
    assert at == sorted(at)


@pytest.mark.parametrize(
    "text",
    ["[1, 2]", '{"role": "user"}', '[{"role": 1, "content": "x"}]', '[{"content": "role"}]', "[", '"role"', "[]"],
)
def test_other_json_stays_text(text):
    assert turns_of(text) is None and transcript(text) == text


@pytest.mark.parametrize("kind", [list, tuple, np.array])
def test_messages_in_tables_are_read(tmp_path, kind):
    prompts = pd.DataFrame({"prompt_id": ["p"], "prompt": [kind(CHAT[:2])]})
    responses = pd.DataFrame({"prompt_id": "p", "model": ["a", "b"], "response": [kind(CHAT[2:]), "Text"]})
    comparator = PairComparator(responses, prompts, log=tmp_path / "c.jsonl", rater="ana", random_state=0)
    card = comparator.cards[comparator.state["item"]]
    assert card["prompt"]["html"] and "<strong>here</strong>" in card["prompt"]["body"]
    assert any("calls look" in card[side]["body"] for side in ("left", "right"))
    labeler = IntentLabeler(prompts, ["x"], log=tmp_path / "i.jsonl", rater="ana", n_neighbors=0)
    assert "<strong>here</strong>" in next(iter(labeler.cards.values()))["prompt"]
    votes = pd.DataFrame({"prompt_id": ["p"], "model_a": "a", "model_b": "b", "winner": "tie"})
    html = JudgmentBrowser(votes, responses, prompts).to_html()
    assert "<strong>here</strong>" in html and "calls look" in html and "<summary>Look **here**" in html


def test_other_shapes_of_content_are_kept():
    picture = {"type": "base64", "media_type": "image/png", "data": "AA=="}
    called = {"type": "tool_use", "name": "f", "input": {"x": 1}}
    anthropic = [
        {"role": "user", "content": [{"type": "image", "source": picture}]},
        {"role": "assistant", "content": [called, {"type": "odd", "v": "kept"}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": "said"}]},
    ]  # fmt: skip
    body = show_markdown(json.dumps(anthropic), images=True).body
    for part in ('<img src="data:image/png;base64,AA=="', "calls f", '"x": 1', "kept", "Tool result t", "said"):
        assert part in body


def test_images_are_shown_on_request_only_and_never_loaded():
    text = f"![a dot]({DOT}) ![far](https://a.invalid/b.png)"
    assert "<img" not in show_markdown(text).body
    body = show_markdown(text, images=True).body
    assert f'<img src="{DOT}" alt="a dot">' in body and body.count("<img") == 1 and "image: far" in body
    large = f"![x](data:image/png;base64,{'A' * 300_000})"
    assert show_markdown(large, images=True).cut is False and len(show_markdown(large).body) < 1_000


@pytest.mark.parametrize("n", [7_999, 8_001, 17_000, 400_000])
def test_what_is_cut_says_so_and_the_whole_is_whole(n):
    text = "x" * (n - 4) + " END"
    shown = show_prompt(text)
    assert shown.cut == ("END" not in shown.body) == (n > 8_000)
    assert (shown.note or "").startswith("Only the first") == shown.cut
    assert show_whole(text).as_html().rstrip("\n").endswith(("END</p>", "END</div>")) and not show_whole(text).cut


def test_a_long_conversation_is_cut_and_whole():
    chat = json.dumps([{"role": "user", "content": f"turn {i} " + "word " * 500} for i in range(20)])
    shown = show_prompt(chat)
    assert shown.cut and "turn 19" not in shown.body and "turn 19" in show_whole(chat).body


def test_words_of_a_conversation_are_counted():
    assert n_words(json.dumps(CHAT[-1:])) == 1
    assert gist(json.dumps(CHAT)) == "Look **here**"


@pytest.mark.parametrize(
    "latex", ["{" * 900, "^" * 900, r"\frac" * 300, r"\left(" * 100, "x^{" * 300 + "}" * 300, "&" * 900]
)
def test_formulas_that_are_not_well_formed_do_not_stop_the_page(latex):
    mathml(latex)
    assert "END" in show_markdown(f"$${latex}$$ and \\({latex}\\) END").body
