"""Everything that can happen to the votes of two raters, in any order: none is lost, and none counts twice."""

import json
import shutil
import tempfile
import warnings
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import HealthCheck, settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from routerlab.labeling import LogWarning, NothingToUndo, PairQueue, StaleVote, VoteLog, merge_logs

MODELS, N_PROMPTS = ("big", "mid", "small"), 4
ROWS = [(f"p{k}", model, f"{model} answers {k}") for k in range(N_PROMPTS) for model in MODELS]
RESPONSES = pd.DataFrame(ROWS, columns=["prompt_id", "model", "response"])
WINNERS = {"left": "model_a", "right": "model_b", "tie": "tie", "both_bad": "both_bad"}

kernels = st.sampled_from(["ana 1", "ana 2", "bob 1"])
choices = st.sampled_from(sorted(WINNERS))


class Kernel:
    """A notebook kernel: a log, a queue, and the pair on the screen."""

    def __init__(self, folder, name):
        self.rater = name.split()[0]
        self.queue = PairQueue(RESPONSES, rater=self.rater, random_state=3, repeat_share=0.3)
        self.log = VoteLog(folder / f"{self.rater}.jsonl", rater=self.rater, dataset_id=self.queue.dataset_id)
        self.queue.sync(self.log)
        self.shown = None

    def show(self):
        if self.shown is None:
            self.queue.peek(2)
            self.shown = self.queue.next_pair()
        return self.shown

    def sync(self):
        self.queue.sync(self.log)
        self.shown = None


class Labelling(RuleBasedStateMachine):
    """Two kernels of one rater on one log, another rater, crashes, backups and merges.

    The model is a list of decisions for each rater: what was acknowledged, or written so that it must count.
    """

    @initialize()
    def begin(self):
        self.folder = Path(tempfile.mkdtemp())
        self.kernels = {name: Kernel(self.folder, name) for name in ("ana 1", "ana 2", "bob 1")}
        self.truth = {"ana": [], "bob": []}
        self.sent = {"ana": set(), "bob": set()}
        self.backups = []
        self.n = 0

    def teardown(self):
        if hasattr(self, "folder"):
            shutil.rmtree(self.folder)

    def nonce(self):
        self.n += 1
        return f"n{self.n}"

    def append(self, kernel, record):
        """Append, as the widget does; the model says what must come of it."""
        truth = self.truth[kernel.rater]
        taken = any(same_showing(record, other) for other in truth)
        if taken:
            with pytest.raises(StaleVote) as caught:
                kernel.log.append(record)
            assert not caught.value.recorded
        else:
            kernel.log.append(record)
            truth.append(record)
            self.sent[kernel.rater].add(record["nonce"])
        kernel.sync()

    @rule(name=kernels, choice=choices)
    def vote(self, name, choice):
        kernel = self.kernels[name]
        if pair := kernel.show():
            self.append(kernel, pair.vote(choice, nonce=self.nonce()))

    @rule(name=kernels)
    def skip(self, name):
        kernel = self.kernels[name]
        if pair := kernel.show():
            self.append(kernel, pair.skip(nonce=self.nonce()))

    @rule(name=kernels)
    def undo(self, name):
        kernel = self.kernels[name]
        truth = self.truth[kernel.rater]
        if not truth:
            with pytest.raises(NothingToUndo):
                kernel.log.undo()
            return
        undone = truth.pop()
        assert kernel.log.undo().pair_id == undone["pair_id"]
        kernel.sync()
        assert kernel.show().pair_id == undone["pair_id"]

    @rule(name=kernels, data=st.data())
    def send_again(self, name, data):
        """The page repeats a message that it has no answer to."""
        kernel = self.kernels[name]
        if truth := self.truth[kernel.rater]:
            with pytest.raises(StaleVote) as caught:
                kernel.log.append(data.draw(st.sampled_from(truth)))
            assert caught.value.recorded

    @rule(name=kernels, choice=choices)
    def press_twice(self, name, choice):
        kernel = self.kernels[name]
        if pair := kernel.show():
            self.append(kernel, pair.vote(choice, nonce=self.nonce()))
            with pytest.raises(StaleVote):
                kernel.log.append(pair.vote("tie", nonce=self.nonce()))

    @rule(name=kernels, choice=choices, n=st.integers(0, 3), asked=st.sets(st.integers(0, N_PROMPTS), max_size=2))
    def vote_within_a_selection(self, name, choice, n, asked):
        """A part of a plot is selected, voted on, and cleared: nothing of the rest is lost by it."""
        kernel = self.kernels[name]
        if kernel.shown is not None:
            kernel.queue.put_back(kernel.shown)
            kernel.shown = None
        prompts = [f"p{k}" for k in sorted(asked)]  # one of them is not in the table
        kernel.queue.restrict(pd.DataFrame({"prompt_id": prompts}), "a selection")
        for _ in range(n):
            if pair := kernel.show():
                assert pair.prompt_id in prompts
                record = pair.vote(choice, nonce=self.nonce())
                assert record["restricted_to"] == "a selection"
                self.append(kernel, record)
        kernel.queue.restrict(None)

    @rule(name=kernels)
    def restart(self, name):
        self.kernels[name] = Kernel(self.folder, name)

    @rule(name=kernels, choice=choices, share=st.floats(0.05, 0.95))
    def die_while_writing(self, name, choice, share):
        """Killed in the middle of a line: the vote was never acknowledged, and the page sends it to the next kernel."""
        kernel = self.kernels[name]
        if pair := kernel.show():
            record = pair.vote(choice, nonce=self.nonce())
            line = json.dumps({"n": len(kernel.log.records()) + 1, **record}).encode()
            with kernel.log.path.open("ab") as handle:
                handle.write(line[: int(len(line) * share)])
            self.kernels[name] = resumed = Kernel(self.folder, name)
            assert resumed.log.report.bad_lines and not resumed.log.report.lost
            found = resumed.queue.find(pair.pair_id)
            assert (found.left, found.right, found.repeat_of) == (pair.left, pair.right, pair.repeat_of)
            self.append(resumed, record)

    @rule(name=kernels, choice=choices)
    def die_before_the_acknowledgement(self, name, choice):
        """Killed between the disk and the page: the vote counts, and when the page sends it again it counts once."""
        kernel = self.kernels[name]
        if pair := kernel.show():
            record = pair.vote(choice, nonce=self.nonce())
            self.append(kernel, record)
            self.kernels[name] = resumed = Kernel(self.folder, name)
            if record in self.truth[kernel.rater]:
                with pytest.raises(StaleVote) as caught:
                    resumed.log.append(record)
                assert caught.value.recorded

    @precondition(lambda self: len(self.backups) < 3)
    @rule(rater=st.sampled_from(["ana", "bob"]))
    def back_up(self, rater):
        copy = self.folder / f"backup {len(self.backups)} of {rater}.jsonl"
        shutil.copy(self.folder / f"{rater}.jsonl", copy)
        self.backups.append(copy)

    @invariant()
    def every_vote_counts_once(self):
        if not hasattr(self, "kernels"):
            return
        for kernel in self.kernels.values():
            truth = [record for record in self.truth[kernel.rater] if record["type"] == "vote"]
            kernel.log.refresh()
            assert signature(kernel.log.votes()) == signature(pd.DataFrame(truth))
            assert kernel.log.n_votes == len(truth)
            assert not kernel.log.report.lost

    @invariant()
    def the_merge_holds_the_same(self):
        if not hasattr(self, "kernels"):
            return
        logs = [self.folder / "ana.jsonl", self.folder / "bob.jsonl", *self.backups]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", LogWarning)
            merged, turned = merge_logs(logs), merge_logs(logs[::-1])
        pd.testing.assert_frame_equal(merged, turned)
        for rater, truth in self.truth.items():
            votes = [record for record in truth if record["type"] == "vote"]
            assert sorted(signature(merged[merged["judge"] == rater])) == sorted(signature(pd.DataFrame(votes)))
        assert merged.attrs["n_conflicts"] == 0

    @invariant()
    def the_queue_agrees_with_the_log(self):
        for kernel in getattr(self, "kernels", {}).values():
            kernel.queue.sync(kernel.log)
            truth = self.truth[kernel.rater]
            progress = kernel.queue.progress()
            assert (progress.n_votes, progress.n_skipped) == (
                sum(record["type"] == "vote" for record in truth),
                sum(record["type"] == "skip" for record in truth),
            )
            first = sum(record["repeat_of"] is None for record in truth)
            assert len(kernel.queue) == progress.n_pairs - first
            for pair in kernel.queue.peek(2):
                assert not any(same_showing(pair.skip(nonce=""), record) for record in truth)


def same_showing(record, other):
    def about(r):
        return r["prompt_id"], {r["model_a"], r["model_b"]}, r["repeat_of"] is None

    return about(record) == about(other)


def signature(votes):
    columns = ["nonce", "pair_id", "prompt_id", "model_a", "model_b", "winner"]
    return list(votes.reindex(columns=columns).itertuples(index=False, name=None))


TestLabelling = Labelling.TestCase
TestLabelling.settings = settings(
    max_examples=3, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
)


@pytest.mark.slow
class TestLabellingForLonger(Labelling.TestCase):
    settings = settings(max_examples=30, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck))
