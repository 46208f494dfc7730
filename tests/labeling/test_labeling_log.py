"""The vote log: durable, readable after any crash, and safe with two processes."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest

from routerlab.labeling import (
    LogError,
    LogFormatError,
    LogOwnerError,
    LogWarning,
    LogWriteError,
    NothingToUndo,
    StaleVote,
    VoteLog,
    label_record,
    merge_logs,
)
from routerlab.schema import TableError


def vote(k, *, nonce=None, winner="model_a", **more):
    pair = {"pair_id": f"x{k}", "prompt_id": f"p{k}", "model_a": "big", "model_b": "small"}
    return {"type": "vote", "nonce": nonce or f"n{k}", "winner": winner, **pair, **more}


def skip(k, nonce):
    return {**vote(k, nonce=nonce), "type": "skip"}


@pytest.fixture
def log(tmp_path):
    return VoteLog(tmp_path / "ana.jsonl", rater="ana", dataset_id="demo")


def again(log):
    return VoteLog(log.path, rater=log.rater, dataset_id=log.dataset_id)


def test_a_vote_is_on_the_disk_before_it_is_acknowledged(log, monkeypatch):
    synced = []
    fsync = os.fsync
    monkeypatch.setattr(os, "fsync", lambda handle: (synced.append(os.fstat(handle).st_size), fsync(handle))[1])
    ack = log.append(vote(1))
    assert synced == [log.path.stat().st_size]
    assert (ack.nonce, ack.pair_id, ack.number, ack.n_votes) == ("n1", "x1", 1, 1)


def test_records_come_back_as_they_were_written(log):
    note = "naïve \u202eתודה 🙂 \x00 \ud800 \n"
    log.append(vote(1, note=note, extra={"deep": [1, None, 0.1]}))
    record = again(log).records()[0]
    assert record["note"] == note
    assert record["extra"] == {"deep": [1, None, 0.1]}
    assert log.path.read_bytes().count(b"\n") == 2


def test_votes_are_a_judgments_table(log):
    log.append(vote(1, judged_at="2026-01-01T12:00:00.000+00:00"))
    log.append(vote(2, winner="both_bad", note="both wrong"))
    frame = log.votes()
    assert frame["judge"].tolist() == ["ana", "ana"]
    assert frame["winner"].tolist() == ["model_a", "both_bad"]
    assert frame["judged_at"].iloc[0].year == 2026
    assert list(again(log).votes().columns) == list(VoteLog(log.path.with_name("b"), rater="b", dataset_id="d").votes())


def test_undo_is_a_new_record_and_takes_back_the_latest(log):
    log.append(vote(1))
    log.append(vote(2))
    log.append(skip(3, "s3"))
    assert log.undo().pair_id == "x3"
    assert log.undo().pair_id == "x2"
    assert log.votes()["pair_id"].tolist() == ["x1"]
    log.append(vote(2, nonce="n2 again", winner="tie"))
    assert again(log).votes()["winner"].tolist() == ["model_a", "tie"]
    assert len(log.path.read_text().splitlines()) == 7
    log.undo(), log.undo()
    with pytest.raises(NothingToUndo, match="no vote or skip is left"):
        log.undo()


def test_an_undo_sent_twice_counts_once(log):
    log.append(vote(1))
    log.append(vote(2))
    log.undo(nonce="u")
    with pytest.raises(StaleVote) as caught:
        log.undo(nonce="u")
    assert caught.value.recorded
    assert log.n_votes == 1


def test_stale_votes_are_refused(log):
    log.append(vote(1))
    with pytest.raises(StaleVote, match="recorded already") as same:
        log.append(vote(1))
    with pytest.raises(StaleVote, match="decided already") as other:
        log.append(vote(1, nonce="another", winner="tie"))
    turned = vote(1, nonce="third") | {"pair_id": "other side", "model_a": "small", "model_b": "big"}
    with pytest.raises(StaleVote, match="decided already"):
        log.append(turned)
    assert (same.value.recorded, other.value.recorded) == (True, False)
    log.append(turned | {"repeat_of": "x1"})
    assert log.n_votes == 2


def test_a_note_can_come_later(log):
    log.append(vote(1, note="first"))
    log.append({"type": "note", "nonce": "m", "pair_id": "x1", "note": "second"})
    assert again(log).votes()["note"].tolist() == ["second"]


def test_labels_of_prompts(log):
    log.append(label_record("p1", "cooking", nonce="a", judged_at="2026-01-01T00:00:00+00:00"))
    log.append(label_record(2, "code", nonce="b", judged_at="2026-01-01T00:00:00+00:00"))
    with pytest.raises(StaleVote):
        log.append(label_record("p1", "code", nonce="c", judged_at="2026-01-01T00:00:00+00:00"))
    log.undo()
    assert again(log).labels().to_dict() == {"p1": "cooking"}


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"type": "vote"}, "lacks"),
        ({"type": "dance", "nonce": "n"}, "has type 'dance'"),
        (vote(1, winner="left"), "expected one of model_a"),
        (vote(1) | {"nonce": 3}, "not text"),
        (vote(1) | {"model_b": "big"}, "with itself"),
        (vote(1, odd={1, 2}), "JSON cannot"),
        (vote(1, odd=float("nan")), "JSON cannot"),
        ({"type": "undo", "nonce": "n", "undoes": "m"}, r"Call VoteLog.undo\(\)"),
    ],
)
def test_records_that_cannot_be_kept_are_refused(log, record, message):
    size = log.path.stat().st_size
    with pytest.raises(TableError, match=message):
        log.append(record)
    assert log.path.stat().st_size == size


@pytest.mark.parametrize("cut", [1, 2, 10, 40, -2, -1])
def test_a_torn_last_line_is_reported_and_stays(log, cut):
    log.append(vote(1))
    line = json.dumps({"n": 2, **vote(2)}).encode() + b"\n"
    with log.path.open("ab") as handle:
        handle.write(line[:cut])
    torn = log.path.read_bytes()
    resumed = again(log)
    complete = cut == -1  # all but the line's end: the record is whole, though nobody was told
    assert resumed.n_votes == 1 + complete
    assert resumed.report.clean == complete
    assert resumed.report.lost == ()
    assert log.path.read_bytes() == torn + b"\n"
    if not complete:
        assert "Line 3" in str(resumed.report) and "No acknowledged vote is missing" in str(resumed.report)
        resumed.append(vote(2))
    assert again(log).votes()["pair_id"].tolist() == ["x1", "x2"]


def test_damage_to_an_acknowledged_vote_is_not_taken_for_a_torn_line(log):
    for k in range(3):
        log.append(vote(k))
    lines = log.path.read_bytes().splitlines(keepends=True)
    lines[2] = b"\x00" * 20 + b"\n"
    log.path.write_bytes(b"".join(lines))
    report = again(log).report
    assert report.lost == (2,)
    assert "Record 2 was acknowledged and is not readable" in str(report)
    with pytest.warns(LogWarning, match="Record 2"):
        assert len(merge_logs(log.path)) == 2


def test_a_crash_at_birth_leaves_a_log_that_opens(log):
    header = log.path.read_bytes()
    for n in (0, 1, 30, len(header) - 1):
        log.path.write_bytes(header[:n])
        resumed = again(log)
        resumed.append(vote(1))
        assert again(log).n_votes == 1


def test_a_line_appended_twice_counts_once(log):
    log.append(vote(1))
    with log.path.open("ab") as handle:
        handle.write(log.path.read_bytes().splitlines(keepends=True)[1])
    resumed = again(log)
    assert resumed.n_votes == 1
    assert "repeats an earlier decision" in str(resumed.report)


HEADER = '{{"format": "routerlab-votes", "version": {}, "rater": "{}", "dataset_id": "{}"}}\n'


@pytest.mark.parametrize(
    ("content", "error", "message"),
    [
        *((content, LogFormatError, "is not a vote log") for content in (b"prompt,winner\n1,a\n", b"[1]\n")),
        *((content, LogFormatError, "is not a vote log") for content in (b'{"some": "json"}\n', b"\x89PNG\r\n\x1a\n")),
        (HEADER.format(2, "ana", "demo").encode(), LogFormatError, "Update"),
        (HEADER.format(1, "bob", "demo").encode(), LogOwnerError, "rater 'bob'"),
        (HEADER.format(1, "ana", "x").encode(), LogOwnerError, "dataset_id 'x'"),
    ],
)
def test_a_file_that_is_not_ours_is_left_as_it_is(tmp_path, content, error, message):
    path = tmp_path / "ana.jsonl"
    path.write_bytes(content)
    with pytest.raises(error, match=message):
        VoteLog(path, rater="ana", dataset_id="demo")
    assert path.read_bytes() == content
    if error is LogFormatError:
        with pytest.raises(LogFormatError):
            merge_logs(path)


def test_a_folder_stands_for_the_raters_file(tmp_path):
    assert VoteLog(tmp_path, rater="ana/../b", dataset_id="d").path == tmp_path / "ana_.._b.jsonl"
    assert VoteLog(tmp_path / "new" / "x.jsonl", rater="ana", dataset_id="d").path.exists()
    with pytest.raises(ValueError, match="letter or digit"):
        VoteLog(tmp_path, rater="../", dataset_id="d")


def test_a_log_that_shrinks_or_vanishes_raises(log):
    log.append(vote(1))
    whole = log.path.read_bytes()
    log.path.write_bytes(whole[:-10])
    with pytest.raises(LogError, match="became shorter"):
        log.append(vote(2))
    log.path.unlink()
    with pytest.raises(LogError, match="cannot be read"):
        log.append(vote(2))
    log.path.write_bytes(whole)
    assert log.append(vote(2)).n_votes == 2


@pytest.mark.parametrize("call", ["write", "fsync"])
@pytest.mark.parametrize("code", ["ENOSPC", "EIO", "EROFS"])
def test_a_failing_disk_loses_nothing(log, monkeypatch, call, code):
    import errno

    log.append(vote(1))
    before = log.path.read_bytes()

    def fail(handle, *data):
        if data:
            real(handle, data[0][:7])  # the disk takes a part before it fails
        raise OSError(getattr(errno, code), os.strerror(getattr(errno, code)))

    real = os.write
    with monkeypatch.context() as patch:
        patch.setattr(os, call, fail)
        with pytest.raises(LogWriteError, match="not written .* acknowledged before are safe"):
            log.append(vote(2))
    assert log.path.read_bytes() == before
    assert log.append(vote(2)).n_votes == 2
    assert again(log).report.clean


def test_a_real_limit_on_the_file_size(log):
    """The kernel lets a part of the line through and then refuses: what a full disk does."""
    resource = pytest.importorskip("resource")
    log.append(vote(1))
    size = log.path.stat().st_size
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 40, hard))
    try:
        with pytest.raises(LogWriteError, match="largest size allowed"):
            log.append(vote(2))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert log.path.stat().st_size == size
    assert log.append(vote(2)).n_votes == 2


@pytest.fixture
def unprivileged():
    """Root may write everywhere: become nobody for a while."""
    if os.geteuid():
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.mark.skipif(os.name == "nt", reason="permissions of POSIX")
def test_read_only(tmp_path_factory, request):
    folder = tmp_path_factory.mktemp("shared")
    for path in (folder, *folder.parents):
        if path.name.startswith(("pytest", "popen")):  # pytest-xdist nests a folder
            path.chmod(0o755)
    log = VoteLog(folder / "ana.jsonl", rater="ana", dataset_id="demo")
    log.append(vote(1))
    for path in folder.iterdir():
        path.chmod(0o444)
    folder.chmod(0o555)
    request.getfixturevalue("unprivileged")
    with pytest.raises(LogWriteError, match="You may not write there"):
        again(log)
    with pytest.raises(LogWriteError, match="You may not write there"):
        log.append(vote(2))
    assert len(merge_logs(folder)) == 1


def test_another_process_that_holds_the_lock(log):
    from filelock import FileLock

    impatient = VoteLog(log.path, rater="ana", dataset_id="demo", lock_timeout=0.05)
    with FileLock(f"{log.path}.lock"), pytest.raises(LogWriteError, match="another process"):
        impatient.append(vote(1))
    assert impatient.append(vote(1)).n_votes == 1


def test_two_logs_on_one_file_see_each_other(log):
    other = again(log)
    log.append(vote(1))
    with pytest.raises(StaleVote):
        other.append(vote(1, nonce="else"))
    other.append(vote(2))
    assert log.undo().pair_id == "x2"
    other.refresh()
    assert other.n_votes == 1


VOTER = """
    import os, signal, sys
    from routerlab.labeling import StaleVote, VoteLog
    path, name, n = sys.argv[1], sys.argv[2], int(sys.argv[3])
    log = VoteLog(path, rater="ana", dataset_id="demo")
    print("ready", flush=True)
    sys.stdin.readline()
    for k in range(n):
        vote = {"type": "vote", "pair_id": f"x{k}", "prompt_id": f"p{k}", "model_a": "big", "model_b": "small"}
        try:
            ack = log.append({**vote, "winner": "tie", "nonce": f"{name}{k}"})
        except StaleVote:
            continue
        print(ack.nonce, flush=True)
"""


def start(script, *args):
    command = [sys.executable, "-c", textwrap.dedent(script), *map(str, args)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "ready\n"
    return process


def go(process):
    process.stdin.write("go\n")
    process.stdin.flush()


@pytest.mark.skipif(os.name == "nt", reason="kill -9")
def test_kill_9_loses_no_acknowledged_vote(tmp_path):
    path = tmp_path / "ana.jsonl"
    process = start(VOTER, path, "k", 100_000)
    go(process)
    time.sleep(0.4)
    process.send_signal(signal.SIGKILL)
    acknowledged = process.communicate()[0].split()
    log = VoteLog(path, rater="ana", dataset_id="demo")
    votes = log.votes()
    assert len(acknowledged) > 3
    assert set(acknowledged) <= set(votes["nonce"])
    assert len(votes) - len(acknowledged) <= 1  # written, and killed before it could say so
    assert log.report.lost == ()
    assert log.append(vote(999_999)).n_votes == len(votes) + 1


@pytest.mark.skipif(os.name == "nt", reason="kill -9")
def test_kill_9_in_the_middle_of_a_write(tmp_path):
    """The process writes half a line and dies: at once, with no chance to clean up."""
    path = tmp_path / "ana.jsonl"
    dying = VOTER.replace(
        'print("ready", flush=True)',
        """
    write = os.write
    def half(handle, data):
        if b'"k7"' in data:
            write(handle, data[: len(data) // 2])
            os.kill(os.getpid(), signal.SIGKILL)
        return write(handle, data)
    os.write = half
    print("ready", flush=True)""",
    )
    process = start(dying, path, "k", 100)
    acknowledged = process.communicate("go\n")[0].split()
    assert acknowledged == [f"k{k}" for k in range(7)]
    log = VoteLog(path, rater="ana", dataset_id="demo")
    assert log.votes()["nonce"].tolist() == acknowledged
    assert len(log.report.bad_lines) == 1 and log.report.lost == ()
    log.append(vote(7))
    assert again(log).n_votes == 8


@pytest.mark.slow
def test_two_processes_at_once_neither_corrupt_nor_duplicate(tmp_path):
    path = tmp_path / "ana.jsonl"
    processes = [start(VOTER, path, name, 40) for name in "ab"]
    for process in processes:
        go(process)
    acknowledged = [process.communicate()[0].split() for process in processes]
    votes = VoteLog(path, rater="ana", dataset_id="demo")
    assert votes.report.clean
    assert sorted(votes.votes()["nonce"]) == sorted(sum(acknowledged, []))
    assert sorted(votes.votes()["pair_id"]) == sorted(f"x{k}" for k in range(40))
    assert [r["n"] for r in votes.records()] == list(range(1, 41))
