"""What the comparator promises to raters and owners, without a browser."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from threading import Thread

import pandas as pd
import pytest

import routerlab as rl
from routerlab.exceptions import ParameterError
from routerlab.labeling import PairQueue, StaleVote, VoteLog, merge_logs, to_judgments
from routerlab.schema import TableError
from routerlab.widgets import PairComparator, RaterPage

MODELS = ("quokka", "wombat", "numbat")
ROOT = Path(__file__).parents[2]


def responses_of(n_prompts: int = 6) -> pd.DataFrame:
    rows = [(f"p{i}", m, f"response {i} of {7 * k + i}") for i in range(n_prompts) for k, m in enumerate(MODELS)]
    return pd.DataFrame(rows, columns=["prompt_id", "model", "response"])


def comparator_of(log, n_prompts: int = 6, **params) -> PairComparator:
    return PairComparator(responses_of(n_prompts), log=log, rater="ana", **{"repeat_share": 0, **params})


def tell(widget, kind: str, **content) -> None:
    """Deliver a message as the page would."""
    widget._handle_custom_msg({"type": kind, **content}, [])


def vote(widget, choice: str, nonce: str, **content) -> None:
    tell(widget, "vote", **{"id": widget.state["item"], "choice": choice, "nonce": nonce, **content})


def decide(widget, n: int, start: int = 0) -> None:
    for k in range(start, start + n):
        vote(widget, "left", f"n{k}")


# The goal


def test_the_goal_ends_the_work_with_thanks_and_more_is_the_raters_choice(tmp_path):
    widget = comparator_of(tmp_path / "a.jsonl", goal=2)
    decide(widget, 2)
    assert widget.state["item"] is None and widget.state["finished"]["title"] == "Thank you!"
    assert (widget.state["done"], widget.state["total"]) == (2, 2)
    tell(widget, "more")
    assert widget.state["item"] and widget.state["total"] == 4
    decide(comparator_of(tmp_path / "a.jsonl", goal=2), 1, 9)  # opened again, it is at its end
    assert len(widget.judgments) == 2


# Earlier votes, notes, skips


def test_an_earlier_vote_is_changed_by_records_and_the_old_one_stays_in_the_file(tmp_path):
    widget = comparator_of(tmp_path / "a.jsonl")
    first = widget.state["item"]
    vote(widget, "left", "n0", note="one\ntwo")
    decide(widget, 2, 1)
    going_on = widget.state["item"]
    for _ in range(9):
        tell(widget, "back")
    assert widget.state["item"] == first and widget.state["earlier"]["number"] == "1 of 3"
    given = widget.state["given"]
    assert (given["choice"], given["note"], widget.state["can_undo"]) == ("left", "one\ntwo", False)
    tell(widget, "onward")
    assert widget.state["earlier"]["number"] == "2 of 3"
    tell(widget, "back")
    vote(widget, "both_bad", "again", changes=widget.state["earlier"]["nonce"])
    vote(widget, "both_bad", "again", id=first, changes="n0")  # sent twice
    assert widget.state["item"] == going_on and widget.state["last"]["text"] == "Changed: Both bad"
    kinds = [record["type"] for record in widget.vote_log.records()]
    assert kinds == ["vote", "vote", "vote", "undo", "vote"] and widget.vote_log.report.clean
    assert widget.judgments["winner"].tolist() == ["model_a", "model_a", "both_bad"]
    again = comparator_of(tmp_path / "a.jsonl")
    assert again.judgments.equals(widget.judgments) and again.state["item"] == going_on


def test_undo_gives_the_note_back_after_a_restart_as_well(tmp_path):
    widget = comparator_of(tmp_path / "a.jsonl")
    vote(widget, "left", "n0", note="one\ntwo", away=True)
    assert widget.state["given"] is None and widget.judgments["gives_away"].tolist() == [True]
    tell(widget, "undo", nonce="u")
    for opened in (widget, comparator_of(tmp_path / "a.jsonl")):
        given = opened.state["given"]
        assert (given["id"], given["note"], given["away"]) == (opened.state["item"], "one\ntwo", True)
        assert given["choice"] is None


def test_a_skipped_pair_comes_back_once_after_a_while_or_at_the_end(tmp_path):
    widget = comparator_of(tmp_path / "a.jsonl", n_prompts=9)
    skipped = widget.state["item"]
    tell(widget, "skip", nonce="s", id=skipped)
    shown = []
    for k in range(22):
        shown.append(widget.state["item"])
        vote(widget, "left", f"n{k}")
    assert shown.index(skipped) == 20 and widget.judgments["pair_id"].tolist().count(skipped) == 1
    for k in range(22, 26):
        vote(widget, "left", f"n{k}")
    last = widget.state["item"]
    assert (widget.state["done"], widget.state["total"]) == (26, 27)
    tell(widget, "skip", nonce="first", id=last)
    assert widget.state["item"] == last and widget.state["done"] == 26, "shown again, and not done"
    for n in range(1):
        tell(widget, "skip", nonce=f"last{n}", id=last)
    assert widget.state["item"] is None and (widget.state["done"], widget.state["total"]) == (27, 27)
    assert comparator_of(tmp_path / "a.jsonl", n_prompts=9).state["item"] is None


def test_a_log_refuses_to_replace_what_does_not_count_any_more(tmp_path):
    queue = PairQueue(responses_of(), random_state=0)
    log = VoteLog(tmp_path / "a.jsonl", rater="ana", dataset_id=queue.dataset_id)
    one, two = queue.next_pair(), queue.next_pair()
    log.append(one.vote("left", nonce="n1"))
    log.append(one.vote("right", nonce="n2"), replaces="n1")
    for pair, replaced in ((one, "n1"), (two, "n2"), (two, "unknown")):
        with pytest.raises(StaleVote, match="changed or undone elsewhere"):
            log.append(pair.vote("tie", nonce="n3"), replaces=replaced)
    assert log.votes()["winner"].tolist() == ["model_b"] and len(log.records()) == 3


# Criteria and gold


def test_criteria_are_columns_and_are_rated_like_verdicts(tmp_path):
    widget = comparator_of(tmp_path / "a.jsonl", criteria={"accuracy": "verdict", "style": "strength"})
    for k in range(12):
        vote(widget, "tie", f"n{k}", criteria={"accuracy": "left", "style": "2" if k % 2 else "-1"})
    vote(widget, "tie", "n12")
    votes = widget.judgments
    assert votes["criterion_accuracy"].dropna().eq("model_a").all() and votes["criterion_accuracy"].count() == 12
    assert votes["criterion_style"].tolist()[:2] == ["model_a", "model_b"]
    assert votes["strength_style"].tolist()[:2] == [1, 2]
    answers = to_judgments(widget.vote_log, criterion="style")
    assert len(rl.rate(answers)) == 3 and len(answers) == 12 and answers.attrs["n_unanswered"] == 1
    merged = to_judgments(merge_logs([widget.vote_log.path]), criterion="accuracy")
    assert merged["winner"].eq("model_a").all() and len(merged) == 12
    stored = widget.vote_log.records()[0]
    assert stored["criteria"] == {"accuracy": "model_a", "style": "model_a"} and stored["strength"] == {"style": 1}
    vote(widget, "tie", "bad", criteria={"accuracy": "-2"})
    assert "refused" in widget.state["notice"] and len(widget.judgments) == 13
    with pytest.raises(ParameterError, match=r"one that was answered \(accuracy, style\)"):
        to_judgments(widget.vote_log, criterion="speed")


@pytest.mark.parametrize("criteria", ["accuracy", list("abcdef"), {"a": "stars"}, [""]])
def test_criteria_that_cannot_be_asked_are_refused(tmp_path, criteria):
    with pytest.raises(ParameterError, match="'criteria'"):
        comparator_of(tmp_path / "a.jsonl", criteria=criteria)


def test_gold_pairs_are_mixed_in_and_a_rater_below_the_threshold_is_warned(tmp_path):
    pairs = [(f"p{i}", "quokka", "wombat", "model_a") for i in range(5)]
    gold = pd.DataFrame(pairs, columns=["prompt_id", "model_a", "model_b", "winner"])
    widget = comparator_of(tmp_path / "a.jsonl", gold=gold, gold_share=0.5)
    for k in range(14):
        pair = widget.queue.peek(1)[0]
        loser = {"quokka": "right", "wombat": "left"}
        vote(widget, loser[pair.model_left] if pair.chosen_by == "gold" else "tie", f"n{k}")
    votes = widget.judgments
    assert (
        widget.queue.gold_hits() == (0, votes["chosen_by"].eq("gold").sum()) and votes["chosen_by"].eq("gold").sum() > 3
    )
    assert "answer is known" in widget.state["warning"]
    asked = votes[votes["chosen_by"] == "gold"]
    assert set(asked["prompt_id"]) <= set(gold["prompt_id"]) and "numbat" not in {*asked["model_a"], *asked["model_b"]}
    assert votes["propensity"].between(0, 1).all()
    fine = comparator_of(tmp_path / "b.jsonl", gold=gold, gold_share=0.5, gold_threshold=0.0)
    decide(fine, 14)
    assert fine.state["warning"] is None
    with pytest.raises(TableError, match="does not hold"):
        comparator_of(tmp_path / "c.jsonl", gold=gold.assign(prompt_id="elsewhere"))


def test_keys_that_the_caller_gives_away_are_taken_from_newer_actions(tmp_path):
    bindings = comparator_of(tmp_path / "a.jsonl", keys={"left": "a", "right": "b", "back": ""}).bindings
    assert (bindings["left"], bindings["right"], bindings["away"]) == ("a", "b", "i") and "back" not in bindings
    assert "onward" not in comparator_of(tmp_path / "b.jsonl", keys={"skip": "."}).bindings


# Threads and kernels


def test_one_thread_votes_while_others_read(tmp_path):
    """JupyterLab may handle messages on a subshell's thread, while a cell reads what was voted."""
    widget = comparator_of(tmp_path / "a.jsonl", n_prompts=150, repeat_share=0.2)
    wrong: list[BaseException] = []
    done = False

    def read() -> None:
        try:
            while not done:
                assert len(widget.judgments) <= len(widget.vote_log.votes())
                list(widget.queue.earlier()), widget.queue.progress(), repr(widget), widget.vote_log.report
                if len(widget.judgments):
                    widget.standings()
                widget.restrict(None)
        except BaseException as error:  # noqa: BLE001
            wrong.append(error)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    readers = [Thread(target=read) for _ in range(3)]
    try:
        for reader in readers:
            reader.start()
        decide(widget, 60)
    finally:
        done = True
        for reader in readers:
            reader.join()
        sys.setswitchinterval(interval)
    assert not wrong and widget.state["error"] is None
    assert len(widget.judgments) == 60


KERNEL = """
import sys; sys.path.insert(0, {tests!r})
from test_widgets_raters import comparator_of, vote
widget = comparator_of({log!r})
for line in sys.stdin:
    if line.strip() == "vote":
        vote(widget, "left", f"k{{len(widget.vote_log)}}")
    print(*widget.queue.showings()[0][:1], *sorted(widget.queue.showings()[0][1:3]), flush=True)
"""


def test_another_kernel_of_the_same_rater_takes_the_next_pair(tmp_path):
    log = tmp_path / "a.jsonl"
    code = KERNEL.format(tests=str(Path(__file__).parent), log=str(log))
    command = [sys.executable, "-W", "ignore", "-c", code]
    widget = comparator_of(log)

    def here() -> str:
        prompt_id, *models, _ = widget.queue.showings()[0]
        return " ".join([prompt_id, *sorted(models)])

    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, cwd=ROOT) as other:

        def there(message: str) -> str:
            other.stdin.write(f"{message}\n")
            other.stdin.flush()
            return other.stdout.readline().strip()

        shown = there("look")
        assert shown and shown != here()
        for k in range(6):
            vote(widget, "left", f"n{k}")
            assert here() != shown
            shown = there("vote")
            assert shown != here() and widget.state["notice"] is None
        expected = here()
        other.stdin.close()
        other.wait(20)
    assert len(VoteLog(log, rater="ana", dataset_id=widget.queue.dataset_id)) == 12
    while widget.state["item"]:  # what the other one showed comes back when it is gone
        vote(widget, "left", f"m{len(widget.vote_log)}")
    assert expected and len(widget.judgments) == 18


# Pages for raters


def test_a_raters_page_says_what_is_wrong_with_a_name_in_words(tmp_path):
    page = RaterPage(lambda name: comparator_of(tmp_path / f"{name}.jsonl"))
    for name in ("", " \t", "///", "..", "x" * 300):
        said = page.start(name)
        assert said and "Traceback" not in said and "parameter" not in said and page.rater is None
    VoteLog(tmp_path / "ben.jsonl", rater="other", dataset_id="other")
    assert "other votes" in page.start("ben")
    assert page.start("  ana ") is None and page.rater == "ana"
    assert [type(child).__name__ for child in page.children] == ["PairComparator"]
    broken = RaterPage(lambda name: 1 / 0)
    assert "show this to" in broken.start("ana")
