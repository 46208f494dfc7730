"""The append-only log under the journal, the vote log and the captures; files that are replaced as a whole."""

import errno
import gc
import json
import os
import shutil
import stat
import subprocess
import sys
import threading
import warnings
from datetime import date
from pathlib import Path
from uuid import uuid4

import numpy as np
import pandas as pd
import pytest

import routerlab as rl
from routerlab import jsonl
from routerlab.completions import JournalError
from routerlab.completions._journal import Journal
from routerlab.jsonl import Kind, Log, LogError, LogFormatError, LogWriteError, line_of, parse, replace_file
from routerlab.labeling import merge_logs, read_jsonl, write_jsonl
from routerlab.serving._captures import CaptureLog

OLD = Path(__file__).parent / "fixtures" / "0.1.0"
EXPECTED = json.loads((OLD / "expected.json").read_text())
KIND = Kind("routerlab-test", 1, "Test log", "test log", busy="another process writes.", safe="All is safe.")
HEADER = b'{"format": "routerlab-test", "version": 1}\n'
VOTE = {"type": "vote", "winner": "tie", "pair_id": "x1", "prompt_id": "p1", "model_a": "big", "model_b": "small"}


@pytest.fixture
def old(tmp_path):
    """A copy of the files that 0.1.0 wrote."""
    for path in OLD.iterdir():
        shutil.copy(path, tmp_path)
    return tmp_path


def records(log):
    return [(number, value) for number, value, _ in log.read("read")]


def written(path, *values):
    log = Log(path, KIND)
    with log.locked():
        for value in values:
            log.append(line_of(value))
    return log


# Files of 0.1.0.


def journal_of(path):
    journal = Journal(path)
    journal.read()
    return journal


def test_a_journal_of_0_1_0_opens_and_goes_on(old):
    before = (old / "journal.jsonl").read_bytes()
    journal = journal_of(old / "journal.jsonl")
    expected = EXPECTED["journal"]
    assert (len(journal.done), journal.n_killed, journal.bad_lines) == (5, 1, expected["bad_lines"])
    assert (journal.spent_usd, journal.maybe_billed_usd) == (expected["spent_usd"], expected["unsure_usd"])
    assert sorted(record["text"] for record in journal.done.values()) == expected["texts"]
    with journal_of(old / "journal.jsonl")._log.locked():
        pass
    with Journal(old / "journal.jsonl").locked() as going_on:
        going_on.begin(0.5)
        going_on.append([{"type": "record", "key": "k", "sent": "s", "text": "new", "error": None, "spent_usd": 1.0}])
        going_on.end()
    assert (old / "journal.jsonl").read_bytes().startswith(before)
    assert journal_of(old / "journal.jsonl").done["k", "s"]["text"] == "new"


def test_a_vote_log_of_0_1_0_opens_and_goes_on(old):
    log = rl.VoteLog(old / "ana.jsonl", rater="ana", dataset_id="made up")
    expected = EXPECTED["votes"]
    assert (log.n_votes, str(log.report), len(log.records())) == (5, expected["report"], expected["n_records"])
    assert log.votes()[["nonce", "winner", "note"]].fillna("").to_dict("records") == expected["votes"]
    assert log.labels().to_dict() == expected["labels"]
    assert log.append({**VOTE, "nonce": "n10", "pair_id": "x10", "prompt_id": "p10"}).number == 9
    log.undo(nonce="u")
    assert rl.VoteLog(log.path, rater="ana", dataset_id="made up").n_votes == 5
    with pytest.warns(rl.LogWarning, match="Line 9"):
        assert len(merge_logs(old / "ana.jsonl")) == 4


def test_captures_of_0_1_0_are_read_and_gone_on_with(old):
    path, expected = old / "captured.jsonl", EXPECTED["captures"]
    with pytest.warns(rl.CaptureWarning, match="line 11 cannot be read"):
        captured = rl.read_captured(path)
    assert repr(captured) == expected["repr"]
    assert captured.outcomes["quality"].tolist() == expected["quality"]
    assert captured.prompts["prompt"].tolist() == expected["prompts"]
    assert captured.responses["response"].tolist() == expected["responses"]
    assert captured.quality.attrs["provenance"] == expected["provenance"]
    assert captures(path).write({"type": "call", "request_id": "new", "model": None})
    with pytest.warns(rl.CaptureWarning):
        assert "new" in rl.read_captured(path).calls.index


@pytest.mark.parametrize("name", ["knn", "intent"])
def test_routers_of_0_1_0_predict_the_same(old, name):
    router, expected = rl.load_router(old / f"{name}.npz"), EXPECTED[name]
    np.testing.assert_array_equal(router.predict_quality(np.array(expected["X"])), expected["quality"])


def captures(path, **options):
    return CaptureLog(path, **{"redact": None, "store_text": True, "sync": False, **options})


# What a line says.


@pytest.mark.parametrize(
    ("line", "value"),
    [
        (b'{"a": NaN}', {"a": np.nan}),
        (b'{"a": [Infinity, -Infinity]}', {"a": [np.inf, -np.inf]}),
        (b'{"a": 123456789012345678901234567890}', {"a": 123456789012345678901234567890}),
        (b'{"a":-9223372036854775809}', {"a": -9223372036854775809}),
        (b'{"a": [1, 18446744073709551616]}', {"a": [1, 18446744073709551616]}),
        (b'{"a": 18446744073709551615}', {"a": 18446744073709551615}),
        (b'{"a": "\\ud800"}', {"a": "\ud800"}),
        (b'\xef\xbb\xbf{"a": 1}', {"a": 1}),
        (b'{"a": 1e400, "b": 0.00012345678901234567}', {"a": np.inf, "b": 0.00012345678901234567}),
        (b'{"a": 1, "a": 2}\r', {"a": 2}),
        (b'{"a": "\xff"}', None),
        (b'{"a": ', None),
        (b"[" * 100_000, None),
        (b"1" * 5000, None),
    ],
)
def test_a_line_means_what_pythons_json_says(tmp_path, line, value):
    assert repr(parse(line, exact=True)) == repr(value)
    path = tmp_path / "log"
    path.write_bytes(HEADER + line + b"\n" + b'{"after": 1}\n')
    assert repr(records(Log(path, KIND))) == repr([(2, value), (3, {"after": 1})])


def test_numbers_and_offsets_are_right_over_blocks_and_long_lines(tmp_path, monkeypatch):
    monkeypatch.setattr(jsonl, "_BLOCK", 64)
    path = tmp_path / "log"
    written(path, *({"k": k, "text": "x" * (k % 200)} for k in range(300)))
    log, data = Log(path, KIND), path.read_bytes()
    for number, value, line in log.read():
        assert value["k"] == number - 2 and data[log.offset - len(line) - 1 : log.offset] == line + b"\n"
    assert log.offset == len(data) and not list(log.read())


def test_what_is_added_is_read_once_and_a_line_under_way_is_left(tmp_path):
    log, path = Log(tmp_path / "log", KIND), tmp_path / "log"
    written(path, {"k": 1})
    assert [value for _, value, _ in log.read()] == [{"k": 1}]
    with path.open("ab") as file:
        file.write(b'{"k": 2')
        file.flush()
        assert not list(log.read())
        file.write(b"}\n")
    assert [value for _, value, _ in log.read()] == [{"k": 2}]


# Files that are not as they were left.


@pytest.mark.parametrize("cut", range(1, 30, 4))
def test_a_torn_line_gets_its_end_and_is_said_to_be_torn(tmp_path, cut):
    path = tmp_path / "log"
    written(path, {"k": 1}, {"text": "that was under way"})
    path.write_bytes(path.read_bytes()[:-cut])
    torn = path.read_bytes()
    assert records(Log(path, KIND))[-1][1] == (None if cut > 1 else {"text": "that was under way"})
    log = Log(path, KIND)
    with log.locked():
        for _, value, _ in log.read():
            assert log.torn == (value is None)
        log.append(line_of({"k": 3}))
    assert path.read_bytes() == torn + b'\n{"k": 3}\n'


@pytest.mark.parametrize(
    "beginning", [b"", b"{", b'{"format": "routerlab-te', HEADER[:-2], b'{"format"\n', b'{"for\n{"format": "r']
)
def test_a_part_of_a_header_is_written_again(tmp_path, beginning):
    path = tmp_path / "log"
    path.write_bytes(beginning)
    assert not [value for _, value in records(Log(path, KIND)) if value is not None]
    written(path, {"k": 1})
    assert json.loads(path.read_bytes().split(b"\n")[0])["format"] == KIND.format
    assert [value for _, value in records(Log(path, KIND))] == [{"k": 1}]


def test_a_header_with_a_byte_order_mark_or_without_its_line_end_is_one(tmp_path):
    for n, content in enumerate((b"\xef\xbb\xbf" + HEADER, HEADER[:-1], HEADER.replace(b"\n", b"\r\n"))):
        path = tmp_path / str(n)
        path.write_bytes(content)
        written(path, {"k": 1})
        assert [value for _, value in records(Log(path, KIND))] == [{"k": 1}]
        assert path.read_bytes().startswith(content)


FOREIGN = {
    "notes": b"my notes",
    "a line": b"my notes\n",
    "json": b'{"some": "json"}\n',
    "a list": b"[1, 2]\n",
    "another log": b'{"format": "routerlab-other", "version": 1}\n',
    "without version": b'{"format": "routerlab-test"}\n',
    "a picture": b"\x89PNG\r\n\x1a\n" + bytes(300),
    "deep": b"[" * 50_000,
    "no end, and long": b'{"format": "routerlab-test"' + b"x" * (1 << 17),
    "newer": b'{"format": "routerlab-test", "version": 2}\n',
    "no version": b'{"format": "routerlab-test", "version": "x"}\n',
    "blank": b"\n\n",
}


# Two ways to use each kind of log.
USES = {
    "test": (lambda path: Log(path, KIND).check(), lambda path: written(path, {"k": 1})),
    "completions": (lambda path: Journal(path).read(), lambda path: Journal(path).locked().__enter__()),
    "votes": (lambda path: rl.VoteLog(path, rater="ana", dataset_id="d"), merge_logs),
    "captures": (captures, rl.read_captured),
}


@pytest.mark.parametrize("kind", USES)
@pytest.mark.parametrize("content", FOREIGN.values(), ids=FOREIGN.keys())
def test_a_foreign_file_is_refused_and_never_changed(tmp_path, content, kind):
    path, content = tmp_path / "log", content.replace(b"-test", f"-{kind}".encode())
    path.write_bytes(content)
    for use in USES[kind][: 1 if (kind, content) == ("captures", b"\n\n") else 2]:  # whose reader skips blank lines
        with pytest.raises(LogError, match=r"is not a (test log|journal|vote log|capture file)|has format version"):
            use(path)
    assert path.read_bytes() == content and list(tmp_path.iterdir()) == [path]


def test_a_foreign_file_that_comes_while_a_client_runs_costs_a_capture_and_is_not_changed(tmp_path):
    log, call = captures(tmp_path / "c.jsonl"), {"type": "call", "request_id": "r"}
    assert log.write(call)
    log.path.unlink()
    for content in (b"my notes", b"my notes\n", b'{"format": "routerlab-votes", "version": 1}\n'):
        log.path.write_bytes(content)
        with pytest.warns(rl.CaptureWarning, match="is not a capture file .* The reply is not affected"):
            assert not log.write(call)
        assert log.path.read_bytes() == content


def test_all_errors_are_one_family_and_keep_what_they_were(tmp_path):
    (tmp_path / "log").write_text("my notes\n")
    with pytest.raises(LogError) as journal:
        Journal(tmp_path / "log").read()
    with pytest.raises(LogError) as votes:
        rl.VoteLog(tmp_path / "log", rater="ana", dataset_id="d")
    with pytest.raises(LogError) as captured:
        rl.read_captured(tmp_path / "log")
    kinds = [type(caught.value) for caught in (journal, votes, captured)]
    assert issubclass(kinds[0], JournalError) and issubclass(kinds[1], LogFormatError)
    assert issubclass(kinds[2], rl.TableError) and issubclass(kinds[2], LogFormatError)


# Locks.


@pytest.fixture(params=["the same path", "a symbolic link", "a hard link", "without its lock file", "another folder"])
def second(request, tmp_path):
    """A second path, or the same, to a log that is in use."""
    path = tmp_path / "log"
    log = written(path, {"k": 1})
    with log.locked():
        other = path
        if request.param == "a symbolic link":
            other = tmp_path / "link"
            other.symlink_to(path)
        elif request.param == "a hard link":
            other = tmp_path / "hard"
            os.link(path, other)
        elif request.param == "without its lock file":
            Path(f"{path}.lock").unlink()
        elif request.param == "another folder":
            (tmp_path / "folder").symlink_to(tmp_path)
            other = tmp_path / "folder" / "log"
        yield other


@pytest.mark.skipif(os.name == "nt", reason="links")
@pytest.mark.slow
def test_a_second_writer_waits_in_vain_however_it_comes(second):
    with pytest.raises(LogWriteError, match="another process writes"), Log(second, KIND, timeout=0.05).locked():
        raise AssertionError
    child = "import sys; from tests.test_jsonl import *; written(sys.argv[1], {'k': 2})"
    command = [sys.executable, "-c", child, str(second)]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "LogWriteError" in run.stderr and "another process writes" in run.stderr
    assert b'"k": 2' not in second.read_bytes()


def test_the_lock_is_free_afterwards_and_threads_take_turns(tmp_path):
    path, problems = tmp_path / "log", []

    def write(name):
        try:
            for k in range(20):
                log = Log(path, KIND, timeout=30)
                with log.locked():
                    log.append(line_of({"name": name, "k": k}), sync=False)
        except Exception as error:  # noqa: BLE001
            problems.append(error)

    threads = [threading.Thread(target=write, args=(name,)) for name in "abc"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not problems
    values = [value for _, value in records(Log(path, KIND))]
    for name in "abc":
        assert [value["k"] for value in values if value["name"] == name] == list(range(20))


def test_a_file_that_is_taken_away_under_its_writer_gets_no_record(tmp_path):
    path = tmp_path / "log"
    log = written(path, {"k": 1})
    with log.locked():
        path.rename(tmp_path / "moved")
        with pytest.raises(FileNotFoundError):
            log.append(line_of({"k": 2}))
        path.write_bytes(HEADER)
        with pytest.raises(FileNotFoundError, match="another file"):
            log.append(line_of({"k": 2}))
    assert path.read_bytes() == HEADER


# Permissions and disks.


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such modes")
def test_new_logs_are_for_their_owner_alone_and_old_ones_keep_their_mode(tmp_path):
    rl.VoteLog(tmp_path / "votes", rater="ana", dataset_id="d")
    with Journal(tmp_path / "journal").locked():
        pass
    for mode in (0o600, 0o640):
        captures(tmp_path / "captures").write({"type": "call", "request_id": f"{mode}"})
        for path in (tmp_path / name for name in ("votes", "journal", "captures")):
            assert stat.S_IMODE(path.stat().st_mode) == mode
            path.chmod(0o640)
        with Journal(tmp_path / "journal").locked() as journal:
            journal.begin(0.0)
        votes = rl.VoteLog(tmp_path / "votes", rater="ana", dataset_id="d")
        votes.append({**VOTE, "nonce": f"{mode}", "pair_id": f"x{mode}", "prompt_id": f"p{mode}"})


@pytest.mark.parametrize("call", ["write", "fsync"])
def test_a_full_disk_leaves_the_log_as_it_was(tmp_path, monkeypatch, call):
    path = tmp_path / "log"
    log = written(path, {"k": 1})
    before, real = path.read_bytes(), os.write

    def fail(handle, *data):
        if data:
            real(handle, data[0][:5])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with log.locked(), monkeypatch.context() as patch:
        patch.setattr(os, call, fail)
        with pytest.raises(OSError, match="No space"):
            log.append(line_of({"k": 2}))
    assert path.read_bytes() == before
    with monkeypatch.context() as patch:
        patch.setattr(os, call, fail)
        with pytest.raises(LogWriteError, match="disk is full: free some space .* All is safe"):
            written(tmp_path / "new", {"k": 1})


def test_a_folder_and_a_pipe_are_refused(tmp_path):
    with pytest.raises(LogFormatError, match="is a folder. Name a file"):
        written(tmp_path, {"k": 1})
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")
        with pytest.raises(LogFormatError, match="is not a file"):
            written(tmp_path / "pipe", {"k": 1})


# Captures in the way of nothing.


def test_a_write_within_a_write_neither_hangs_nor_is_lost(tmp_path, monkeypatch):
    """The garbage collector closes a stream, whose record is written, in the middle of a write."""
    log, real = captures(tmp_path / "c.jsonl"), jsonl.append_durably
    late = [{"type": "call", "request_id": f"late {k}"} for k in range(2)]

    def append(handle, data, **options):
        if late and b"first" in data:
            assert log.write(late.pop()) and log.write(late.pop())
        real(handle, data, **options)

    monkeypatch.setattr(jsonl, "append_durably", append)
    done = threading.Thread(target=log.write, args=({"type": "call", "request_id": "first"},), daemon=True)
    done.start()
    done.join(20)
    assert not done.is_alive() and log.n_lost == 0
    assert rl.read_captured(log.path).calls.index.tolist() == ["first", "late 1", "late 0"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="fork")
def test_a_forked_worker_writes_though_a_thread_of_its_parent_was_writing(tmp_path):
    log = captures(tmp_path / "c.jsonl")
    with log._one_at_a_time, warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # fork with threads
        child = os.fork()
        if not child:
            code = 1
            try:
                worker = threading.Thread(target=log.write, args=({"type": "call", "request_id": "w"},), daemon=True)
                worker.start()
                worker.join(20)
                code = int(worker.is_alive())
            finally:
                os._exit(code)
    assert os.waitpid(child, 0)[1] == 0
    assert rl.read_captured(log.path).calls.index.tolist() == ["w"]


ODD = [
    {"quality": {"small": [0.5]}},
    {"quality": {"small": {"x": 1}}},
    {"quality": [0.5]},
    {"quality": "high"},
    {"cost": {"small": "dear"}},
    {"cost": 3},
    {"cost_usd": -1.0},
    {"cost_usd": float("inf")},
    {"cost_usd": [0.1]},
    {"cost_usd": 10**400},
    {"input_tokens": {"n": 1}},
    {"latency_s": -0.5},
    {"propensity": []},
    {"model": ["small"]},
    {"model": 3},
    {"prompt": [{"type": "text"}]},
    {"prompt": 5},
    {"provenance": {"a": 1}},
]


@pytest.mark.parametrize("odd", ODD, ids=str)
def test_an_odd_call_is_left_out_and_said_and_the_others_are_read(tmp_path, odd):
    path = tmp_path / "c.jsonl"
    sound = {"type": "call", "model": "small", "prompt": "a", "response": "b", "cost_usd": 0.1, "latency_s": 1.0}
    sound |= {"quality": {"small": 0.5, "large": 0.9}, "cost": {"small": 0.1, "large": 0.2}}
    lines = [{"format": "routerlab-captures", "version": 1}, {**sound, "request_id": "one"}]
    lines += [{**sound, "request_id": "odd", **odd}, {**sound, "request_id": "two"}]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    with pytest.warns(rl.CaptureWarning, match=f"line 3 cannot be read .{next(iter(odd))}"):
        captured = rl.read_captured(path)
    assert captured.calls.index.tolist() == ["one", "two"] == captured.responses["prompt_id"].tolist()
    assert captured.quality.to_numpy().tolist() == [[0.5, 0.9]] * 2 and len(captured.bad_lines) == 1


def test_calls_that_are_merely_unusual_are_kept(tmp_path):
    path = tmp_path / "c.jsonl"
    calls = [
        {"request_id": "blank", "prompt": " ", "model": "m", "response": "a picture"},
        {"request_id": "parts", "response": [{"type": "text"}], "model": "m", "error": {"code": []}},
        {"request_id": "inf", "willingness_to_pay": "inf", "quality": {"m": None}, "cost": {"m": 1}},
        {"request_id": "hook", "tenant": {"a": [1]}, "at": 17, "failures": "none", "input_tokens": "many"},
        {"request_id": "surrogate", "prompt": "\ud800", "model": "m", "finish_reason": ["x"]},
    ]
    header = {"format": "routerlab-captures", "version": 1}
    path.write_text("".join(json.dumps(line) + "\n" for line in (header, *({"type": "call", **c} for c in calls))))
    captured = rl.read_captured(path)
    assert captured.calls.index.tolist() == [call["request_id"] for call in calls]
    assert captured.prompts.index.tolist() == ["surrogate"]
    assert captured.calls.loc["inf", "willingness_to_pay"] == np.inf
    assert captured.calls.loc["hook", "tenant"] == {"a": [1]} and pd.isna(captured.calls.loc["hook", "at"])


def test_a_call_that_comes_again_counts_as_it_came_last_in_its_first_place(tmp_path):
    log = captures(tmp_path / "c.jsonl")
    for k, name in enumerate("abacb" * 60):
        log.write({"type": "call", "request_id": name, "model": f"m{k}", "total_s": float(k), "prompt": f"p{k}"})
    calls = rl.read_captured(log.path).calls
    assert calls.index.tolist() == ["a", "b", "c"]
    assert calls["model"].tolist() == ["m297", "m299", "m298"] and calls["total_s"].tolist() == [297, 299, 298]


def test_votes_with_odd_fields_are_said_and_the_others_count(tmp_path):
    log = rl.VoteLog(tmp_path / "ana", rater="ana", dataset_id="d")
    odd = [{"prompt_id": ["p"]}, {"prompt_id": {}}, {"model_a": []}, {"winner": ["tie"]}, {"n": 10**12}, {"nonce": []}]
    with log.path.open("a") as file:
        for k, fields in enumerate(odd):
            line = {**VOTE, "pair_id": f"y{k}", "prompt_id": f"q{k}", "nonce": f"o{k}", "n": 1, **fields}
            file.write(json.dumps(line) + "\n")
        file.write("[" * 20_000 + "\n")
    again = rl.VoteLog(log.path, rater="ana", dataset_id="d")
    assert again.append({**VOTE, "nonce": "n1"}).n_votes in (1, 2)
    assert len(again.report.bad_lines) == len(odd) + 1


# Files that are replaced as a whole.


def test_a_failed_export_leaves_the_old_file(tmp_path, monkeypatch):
    votes = pd.DataFrame({"prompt_id": ["p1", "p2"], "model_a": "x", "model_b": "y", "winner": "tie"})
    path = tmp_path / "votes.jsonl"
    write_jsonl(votes, path)
    before = path.read_bytes()
    with pytest.raises(rl.TableError, match="row 'p1'.*JSON cannot"):
        write_jsonl(votes.assign(odd=[uuid4(), None]), path)
    assert path.read_bytes() == before
    write_jsonl(votes.assign(day=date(2026, 1, 2)), path)
    assert read_jsonl(path)["day"].tolist() == ["2026-01-02"] * 2
    before = path.read_bytes()
    for call in ("write", "fsync"):
        with monkeypatch.context() as patch:
            patch.setattr(os, call, lambda *_: (_ for _ in ()).throw(OSError(errno.ENOSPC, "No space")))
            with pytest.raises(OSError, match="No space"):
                write_jsonl(votes, path)
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path], "nothing stays behind"


@pytest.mark.skipif(os.name == "nt", reason="links and modes")
def test_a_replaced_file_keeps_its_mode_and_links_stay_links(tmp_path):
    path, link = tmp_path / "real", tmp_path / "link"
    replace_file(path, b"1")
    mask = os.umask(0)
    os.umask(mask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~mask
    path.chmod(0o640)
    link.symlink_to(path)
    replace_file(link, b"2")
    assert path.read_bytes() == b"2" and link.is_symlink() and stat.S_IMODE(path.stat().st_mode) == 0o640
    replace_file(os.devnull, b"3")
    with pytest.raises(OSError, match="irectory"):
        replace_file(tmp_path, b"4")
    with pytest.raises(FileNotFoundError):
        replace_file(tmp_path / "absent" / "file", b"5")
    gc.collect()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_fork_writes_to_a_log_that_its_parent_has_locked_before(tmp_path):
    log = Log(tmp_path / "a.jsonl", KIND)
    with log.locked():
        log.append(line_of({"n": 1}))
    child = os.fork()
    if child == 0:
        try:
            with log.locked():
                log.append(line_of({"n": 2}))
            os._exit(0)
        finally:
            os._exit(1)
    assert os.waitpid(child, 0)[1] == 0
    with log.locked():
        log.append(line_of({"n": 3}))
    assert [value["n"] for _, value, _ in log.read()] == [1, 2, 3]
