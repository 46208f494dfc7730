"""The journal: a run that is killed, interrupted or refused by the disk loses nothing that came, and goes on later."""

import asyncio
import errno
import json
import os
import random
import signal
import subprocess
import sys
import time
import warnings
from datetime import date
from pathlib import Path

import pandas as pd
import pytest
from filelock import FileLock
from hypothesis import given, settings, strategies as st

import routerlab as rl
from routerlab.completions import CollectionWarning, Endpoint, JournalError, Request, arun_requests, run_requests
from routerlab.completions._journal import FORMAT, VERSION, Journal, Writer
from routerlab.jsonl import why_not_written
from tests.llm_server import LLMServer

PRICES = {"small": (1.0, 2.0), "large": (10.0, 20.0)}
PROMPTS = {f"p{k}": f"prompt {k}" for k in range(60)}
CHILD = """
import signal, sys, openai, routerlab as rl
signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background starts with it ignored
url, path = sys.argv[1:]
prompts = {f"p{k}": f"prompt {k}" for k in range(60)}
rl.collect_responses(
    prompts, ["small", "large"], path=path, client=openai.OpenAI(base_url=url, api_key="sk-loopback-0123456789"),
    prices={"small": (1.0, 2.0), "large": (10.0, 20.0)}, max_tokens=300, budget_usd=1.0, backoff_s=0.01, concurrency=4,
)
"""


def collect(server, path, **options):
    base = {"client": server.client(), "prices": PRICES, "progress": False, "backoff_s": 0.01, "max_tokens": 300}
    return rl.collect_responses(PROMPTS, ["small", "large"], path=path, **{**base, **options})


def start_child(server, path):
    command = [sys.executable, "-c", CHILD, server.base_url, str(path)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)


def wait_for_records(path, n, child):
    """Wait until the journal holds so many lines."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and child.poll() is None:
        if path.exists() and path.read_bytes().count(b"\n") >= n:
            return
        time.sleep(0.005)
    raise AssertionError(f"the child ended or hung: {child.poll()}")  # noqa: EM102


def wait_until(reached):
    deadline = time.monotonic() + 60
    while not reached():
        assert time.monotonic() < deadline, "hung"
        time.sleep(0.01)


def steady(table):
    """What does not depend on the clock, or on which attempts the chance of a fault took."""
    return table.drop(columns=["latency_s", "attempts"])


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="SIGKILL")
@pytest.mark.parametrize("seed", range(4))
def test_a_killed_run_resumes_to_the_table_of_an_uninterrupted_one(tmp_path, seed):
    rng = random.Random(seed)
    faults = {"500": 0.05, "cut": 0.05}
    path = tmp_path / "killed.jsonl"
    with LLMServer(faults=faults, prices=PRICES, latency_s=0.02) as server:
        child = start_child(server, path)
        wait_for_records(path, 2 + rng.randrange(1, 90), child)
        time.sleep(rng.random() * 0.02)
        child.send_signal(signal.SIGKILL)
        child.communicate()
        n_before = len(server.asked)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", CollectionWarning)  # a torn last line is reported
            resumed = collect(server, path)
        asked_again = server.asked[n_before:]
        whole = collect(server, tmp_path / "whole.jsonl")
    pd.testing.assert_frame_equal(steady(resumed), steady(whole), check_exact=True)
    report = resumed.attrs["collection"]
    assert 0 < report["n_from_journal"] < 120 and report["n_from_journal"] + report["n_answered"] == 120
    # Only what was missing was asked for: no more than the 4 in flight when it was killed came twice.
    answered = {(a.model, a.prompt) for a in server.asked[:n_before] if a.delivered}
    twice = {(a.model, a.prompt) for a in asked_again} & answered
    assert len(twice) <= 4
    # What those may have cost counts as maybe billed.
    assert report["n_killed_runs"] == 1 and report["maybe_billed_before_usd"] > 0
    spent = report["spent_usd"] + report["spent_before_usd"]
    unsure = report["maybe_billed_usd"] + report["maybe_billed_before_usd"]
    billed = sum(a.billed_usd for a in [*server.asked[:n_before], *asked_again])
    assert spent <= billed <= spent + unsure


@pytest.mark.skipif(os.name == "nt", reason="SIGINT")
@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.slow
def test_an_interrupt_leaves_everything_resumable(tmp_path, times):
    path = tmp_path / "r.jsonl"
    with LLMServer(prices=PRICES, latency_s=0.05) as server:
        child = start_child(server, path)
        wait_for_records(path, 12, child)
        server.latency_s = 30.0 if times == 2 else 1.0  # it cannot come to its end meanwhile, however busy this machine
        if times == 2:
            time.sleep(1)  # the quick ones are through
            wait_until(lambda: server.in_flight == 4 and path.read_bytes().count(b"\n") == len(server.asked) - 4 + 2)
        child.send_signal(signal.SIGINT)
        err = ""
        while "Interrupted: waiting" not in err and (said := child.stderr.read(1)):
            err += said
        if times == 2:
            child.send_signal(signal.SIGINT)
        with child.stderr:  # not communicate(): part of it was read
            err += child.stderr.read()
        child.wait(60)
        assert "KeyboardInterrupt" in err and "Interrupted: waiting for requests in flight" in err
        assert ("Dropping requests in flight" in err) == (times == 2)
        server.latency_s = 0.0
        n_before = len(server.asked)
        table = collect(server, path)
    report = table.attrs["collection"]
    assert report["n_killed_runs"] == 0 and not report["unreadable"]
    dropped = n_before + len(server.asked[n_before:]) - 120
    if times == 1:  # what was in flight came, and is in the journal
        assert dropped == 0 and report["maybe_billed_before_usd"] == 0
        assert report["spent_usd"] + report["spent_before_usd"] == pytest.approx(server.billed_usd)
    else:
        assert 0 < dropped <= 4 and report["maybe_billed_before_usd"] > 0
    assert table["error"].isna().all()


def test_cancelling_in_a_running_loop_leaves_everything_resumable(tmp_path):
    async def main(server):
        asked = [Request("m", [{"role": "user", "content": f"q{k}"}], {"max_tokens": 9}) for k in range(100)]
        options = {"path": tmp_path / "r", "client": server.client(), "prices": {"m": (1, 1)}, "progress": False}
        task = asyncio.create_task(arun_requests(asked, ["m"], **options))
        while len(server.asked) < 20:
            await asyncio.sleep(0.01)
        server.latency_s, n_asked = 2.0, len(server.asked)
        while len(server.asked) < n_asked + 1:  # one is under way for certain when the run is cancelled
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        server.latency_s = 0.02
        return await arun_requests(asked, ["m"], **options)

    with LLMServer(latency_s=0.02) as server:
        report = asyncio.run(main(server)).report
    assert report.n_from_journal > 0 and report.n_from_journal + report.n_answered == 100
    assert report.n_killed_runs == 0 and report.maybe_billed_before_usd > 0


def test_a_record_is_on_disk_before_its_slot_asks_again(tmp_path):
    path, seen = tmp_path / "r.jsonl", []

    def script(ask):
        lines = path.read_bytes().splitlines()[2:]  # after the header and the run's first line
        seen.append((ask.number, len(lines)))

    with LLMServer(script=script, prices=PRICES) as server:
        collect(server, path, concurrency=1)
    assert seen == [(n, n - 1) for n in range(1, 121)]


# Files that are not as they were left.


def journal_of(tmp_path, server):
    path = tmp_path / "r.jsonl"
    collect(server, path)
    return path, path.read_bytes()


def test_a_torn_last_line_is_reported_and_its_request_asked_again(tmp_path):
    with LLMServer(prices=PRICES) as server:
        path, data = journal_of(tmp_path, server)
        lines = data.splitlines(keepends=True)
        path.write_bytes(b"".join(lines[:50]) + lines[50][:40])
        with pytest.warns(CollectionWarning, match="has 1 bad line: line 51 is torn"):
            table = collect(server, path)
        assert table["error"].isna().all()
        assert table.attrs["collection"]["n_from_journal"] == 48
        with pytest.warns(CollectionWarning, match="line 51 cannot be read"):
            assert collect(server, path).attrs["collection"]["n_from_journal"] == 120


LINES = [
    *(b'{"type": "record", "key": "k"}', b'{"type": "record", "key": 3}', b'{"type": "end", "unsure_usd": []}'),
    *(b'{"type": "run", "in_flight_usd": "x"}', b'{"type": "record", "key": "k", "spent_usd": "much"}', b"[]", b"3"),
    *(b'{"type": "record", "key": "k", "error": null, "spent_usd": NaN}', b"\xff\xfe"),
]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.binary(max_size=20) | st.sampled_from(LINES), max_size=6))
def test_no_line_stops_a_journal_from_being_read(tmp_path_factory, lines):
    path = tmp_path_factory.getbasetemp() / "odd.jsonl"
    header = json.dumps({"format": FORMAT, "version": VERSION}).encode()
    path.write_bytes(b"\n".join([header, *lines]))
    journal = Journal(path)
    journal.read()
    assert 0 <= journal.spent_usd < 1 and 0 <= journal.maybe_billed_usd < 1
    assert not [record for record in journal.done.values() if "text" not in record]


@pytest.mark.parametrize("content", [b"", b'{"format": "routerlab-compl', b"{"])
def test_a_journal_that_was_torn_at_birth_starts_anew(tmp_path, content):
    path = tmp_path / "r.jsonl"
    path.write_bytes(content)
    with LLMServer(prices=PRICES) as server, warnings.catch_warnings():
        warnings.simplefilter("ignore", CollectionWarning)
        collect(server, path)
        collect(server, path)
        assert len(server.asked) == 120
    assert json.loads(path.read_bytes().splitlines()[0])["format"] == FORMAT


@pytest.mark.parametrize("dry_run", [False, True])
def test_another_file_is_left_alone_and_nothing_is_asked(tmp_path, dry_run):
    path = tmp_path / "r.jsonl"
    path.write_bytes(b"prompt,response\na,b\n")
    with LLMServer() as server:
        with pytest.raises(JournalError, match="is not a journal of completions .* Choose another path"):
            collect(server, path, dry_run=dry_run)
        assert not server.asked
    assert path.read_bytes() == b"prompt,response\na,b\n" and list(tmp_path.iterdir()) == [path], "no lock file stays"


def test_attempts_count_once_with_or_without_the_record_of_their_request(tmp_path):
    path = tmp_path / "r.jsonl"
    attempt = {"type": "attempt", "key": "k", "spent_usd": 0.25, "unsure_usd": 0.0}
    lines = [
        {"format": FORMAT, "version": VERSION},
        {"type": "run", "run": "killed", "in_flight_usd": 8.0},
        attempt,
        {"type": "run", "run": "whole", "in_flight_usd": 4.0},
        attempt,
        {"type": "record", "key": "k", "sent": "s", "text": "a", "error": None, "spent_usd": 1.25, "unsure_usd": 0.5},
        {"type": "attempt", "key": "other", "spent_usd": 0.0, "unsure_usd": 2.0},
        {"type": "end", "run": "whole", "unsure_usd": 16.0},
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    journal = Journal(path)
    journal.read()
    assert (journal.spent_usd, journal.maybe_billed_usd, journal.n_killed) == (1.5, 8.0 + 0.5 + 2.0 + 16.0, 1)
    assert list(journal.done) == [("k", "s")] and not journal.bad_lines


def test_what_an_attempt_cost_is_on_disk_before_the_next(tmp_path):
    path, seen = tmp_path / "r", []

    def script(ask):
        seen.append(json.loads(path.read_bytes().splitlines()[-1])["type"])
        return "cut" if ask.nth < 3 else None

    asked = [Request("m", [{"role": "user", "content": "a"}], {"max_tokens": 9})]
    with LLMServer(script=script) as server:
        models = {"m": Endpoint("m", server.client(), price=(1.0, 2.0))}
        report = run_requests(asked, models, path=path, progress=False, backoff_s=0.01).report
        again = run_requests(asked, models, path=path, progress=False).report
    assert seen == ["run", "attempt", "attempt"]
    assert (
        again.maybe_billed_before_usd == report.maybe_billed_usd > 0 and again.spent_before_usd == report.spent_usd > 0
    )


def test_a_folder_a_second_run_and_a_file_for_a_folder_are_refused(tmp_path):
    with LLMServer() as server:
        with pytest.raises(JournalError, match="is a folder. Name a file in it"):
            collect(server, tmp_path)
        assert not Path(f"{tmp_path}.lock").exists()
        path = tmp_path / "r.jsonl"
        with FileLock(f"{path}.lock"), pytest.raises(JournalError, match="another run is writing to it"):
            collect(server, path)
        (tmp_path / "file").write_text("")
        with pytest.raises(JournalError, match="not written .*No request was sent"):
            collect(server, tmp_path / "file" / "r.jsonl")
        assert not server.asked
        collect(server, tmp_path / "new" / "folder" / "r.jsonl")


# A disk that refuses.


def refusing(monkeypatch, code, after, times=10**9):
    """Let the disk refuse appends with an error after so many."""
    from routerlab import jsonl

    real, calls = jsonl.append_durably, []

    def append(handle, data, **options):
        calls.append(1)
        if after < len(calls) <= after + times:
            raise OSError(code, os.strerror(code))
        real(handle, data, **options)

    monkeypatch.setattr(jsonl, "append_durably", append)


@pytest.mark.parametrize("code", [errno.EROFS, errno.EACCES, errno.ENOSPC])
def test_a_disk_that_refuses_at_once_costs_nothing(tmp_path, monkeypatch, code):
    refusing(monkeypatch, code, after=0)
    remedy = {errno.EROFS: "choose another folder", errno.EACCES: "permissions", errno.ENOSPC: "free some space"}
    with LLMServer() as server:
        with pytest.raises(JournalError, match=f"{remedy[code]}.* No request was sent"):
            collect(server, tmp_path / "r.jsonl")
        assert not server.asked


def test_a_disk_that_fills_up_stops_the_run_and_hands_over_what_was_paid_for(tmp_path, monkeypatch):
    path = tmp_path / "r.jsonl"
    with LLMServer(prices=PRICES) as server:
        refusing(monkeypatch, errno.ENOSPC, after=10)
        with pytest.raises(
            JournalError, match=r"disk is full.*records \(replies that are paid for\) are not on"
        ) as caught:
            collect(server, path, concurrency=4)
        n_asked = len(server.asked)
        unwritten = caught.value.unwritten
        assert 1 <= len(unwritten) <= 4 and all(record["text"] for record in unwritten)
        monkeypatch.undo()
        table = collect(server, path)
    report = table.attrs["collection"]
    assert report["n_from_journal"] + len(unwritten) == n_asked
    assert table["error"].isna().all() and len(server.asked) == 120 + len(unwritten)
    # Nobody could write that the run ended: what it had in flight counts as maybe billed.
    assert report["n_killed_runs"] == 1
    assert report["maybe_billed_before_usd"] >= sum(record["spent_usd"] for record in unwritten)


def test_a_disk_that_refuses_once_gets_the_records_at_the_second_try(tmp_path, monkeypatch):
    with LLMServer(prices=PRICES) as server:
        refusing(monkeypatch, errno.EIO, after=10, times=1)
        with pytest.raises(JournalError, match="The run stopped; what was written is safe") as caught:
            collect(server, tmp_path / "r.jsonl", concurrency=4)
        assert not caught.value.unwritten
        monkeypatch.undo()
        table = collect(server, tmp_path / "r.jsonl")
        assert len(server.asked) == 120
    assert table.attrs["collection"]["n_killed_runs"] == 0
    assert table["cost_usd"].sum() == pytest.approx(server.billed_usd)


@pytest.mark.skipif(not hasattr(signal, "SIGXFSZ"), reason="RLIMIT_FSIZE")
def test_a_real_limit_on_the_file_leaves_whole_lines(tmp_path):
    path = tmp_path / "r.jsonl"
    limit = "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
    limit += "resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))"
    with LLMServer(prices=PRICES) as server:
        command = [sys.executable, "-c", limit + CHILD, server.base_url, str(path)]
        child = subprocess.run(command, capture_output=True, text=True, check=False)
        assert "JournalError" in child.stderr and "largest size allowed: raise the limit" in child.stderr
        data = path.read_bytes()
        assert 10_000 < len(data) <= 20_000 and data.endswith(b"\n")
        assert all(json.loads(line) for line in data.splitlines())
        assert collect(server, path)["error"].isna().all()


def test_errors_in_the_journal_count_their_money_and_are_no_answers(tmp_path):
    asked = [Request("m", [{"role": "user", "content": "a"}], {"max_tokens": 9})]
    options = {"path": tmp_path / "r", "progress": False, "max_attempts": 2, "backoff_s": 0.01}
    models = {"m": Endpoint("m", price=(1.0, 2.0))}
    with LLMServer(script=lambda ask: "empty" if ask.nth <= 2 else None, prices=(1.0, 2.0)) as server:
        with pytest.warns(CollectionWarning, match="1 of 1 requests failed"):
            first = run_requests(asked, models, client=server.client(), **options).report
        assert first.spent_usd == pytest.approx(server.delivered_usd) and first.spent_usd > 0
        second = run_requests(asked, models, client=server.client(), **options).report
    assert second.spent_before_usd == pytest.approx(first.spent_usd) and second.n_answered == 1


def test_a_record_that_json_cannot_hold_keeps_nobody_waiting(tmp_path):
    async def main(journal):
        writer = Writer(journal)
        waiting = [writer.write({"type": "record", "key": "k", "day": date(2026, 1, 2)}) for _ in range(3)]
        written = await asyncio.wait_for(asyncio.gather(*waiting), 20)
        await writer.finish()
        return writer, written

    with Journal(tmp_path / "r").locked() as journal:
        writer, written = asyncio.run(main(journal))
    assert written == [False] * 3 and len(writer.unwritten) == 3
    assert why_not_written(writer.error).startswith("not written (TypeError: Object of type date")


def test_two_runs_on_one_journal_do_not_pay_twice_by_whatever_name_or_without_the_lock_file(tmp_path):
    path, link = tmp_path / "r.jsonl", tmp_path / "link.jsonl"
    with LLMServer(prices=PRICES) as server:
        collect(server, path)
        link.symlink_to(path)
        n = len(server.asked)
        with Journal(path).locked():
            Path(f"{path}.lock").unlink()
            for name in (path, link):
                with pytest.raises(JournalError, match="another run is writing to it"):
                    collect(server, name)
        assert collect(server, link).attrs["collection"]["n_from_journal"] == 120 and len(server.asked) == n


def test_replies_are_read_from_the_file_when_they_are_asked_for(tmp_path):
    with LLMServer(prices=PRICES) as server:
        collect(server, tmp_path / "r")
    journal = Journal(tmp_path / "r")
    journal.read()
    assert len(journal.done) == len(set(journal.done)) == 120
    for key, sent in journal.done:
        assert (key, sent) in journal.done and journal.done[key, sent]["key"] == key
    assert ("nothing", "of that") not in journal.done and journal.done.get(("nothing", "of that")) is None
    (tmp_path / "r").write_bytes(b"x" * 100_000)
    with pytest.raises(JournalError, match="something else rewrote it"):
        list(journal.done.values())
