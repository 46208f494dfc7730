"""Votes of many raters in one table."""

import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from routerlab.exceptions import LogOwnerError, LogWarning
from routerlab.jsonl import Record
from routerlab.labeling._votelog import Reader, VoteLog, showing, votes_frame
from routerlab.ratings import pair_keys
from routerlab.schema import check_choice, check_judgments, refuse_parameter, reject, shown


def merge_logs(paths: Iterable[str | Path] | str | Path) -> pd.DataFrame:
    """Read the logs of many raters, and return the votes that count.

    The result does not depend on the order of `paths`, nor on logs given twice: a record counts once, by rater and
    nonce, and so does a pair, by rater.

    Parameters
    ----------
    paths : str, Path or iterable of them
        Logs, or folders, which stand for the ``*.jsonl`` in them. They are only read.

    Returns
    -------
    DataFrame of shape (n_votes, n_columns)
        As from `VoteLog.votes`, sorted by ``judged_at``. ``attrs``: dataset_id, reports (for each
        log, what reading it found), n_conflicts.

    Raises
    ------
    LogFormatError
        A file that is not a vote log, or from a newer version.
    LogOwnerError
        Logs about different data sets.
    TableError
        No log at all.

    Warns
    -----
    LogWarning
        Lines that could not be read; a pair that the same rater decided twice in different files, of which the
        earlier vote counts.

    Examples
    --------
    >>> import tempfile
    >>> folder = tempfile.TemporaryDirectory()
    >>> for rater, winner in (("ana", "model_a"), ("bob", "tie")):
    ...     log = VoteLog(folder.name, rater=rater, dataset_id="demo")
    ...     pair = {"pair_id": "x1", "prompt_id": "p1", "model_a": "big", "model_b": "small"}
    ...     ack = log.append({"type": "vote", "nonce": "n1", "winner": winner, **pair})
    >>> merge_logs(folder.name)[["judge", "winner"]].to_dict("records")
    [{'judge': 'ana', 'winner': 'model_a'}, {'judge': 'bob', 'winner': 'tie'}]
    >>> folder.cleanup()
    """
    readers = [_read(path) for path in _files(paths)]
    headers = [reader.log.header or {} for reader in readers]
    ids = {header["dataset_id"]: reader.log.path for header, reader in zip(headers, readers, strict=True)}
    if len(ids) > 1:
        about = ", ".join(f"{path.name}: {name}" for name, path in ids.items())
        msg = f"These vote logs are about different data sets ({about}). Merge those of one data set at a time."
        raise LogOwnerError(msg)
    votes, n_conflicts = _union(zip((header["rater"] for header in headers), readers, strict=True))
    frame = votes_frame(votes, next(iter(ids)))
    reports = [reader.report() for reader in readers]
    frame.attrs |= {"reports": [str(report) for report in reports], "n_conflicts": n_conflicts}
    problems = [str(report) for report in reports if not report.clean]
    if n_conflicts:
        problems.append(
            f"{n_conflicts} votes are on pairs that the same rater had decided in another file; the earlier ones count."
        )
    if problems:
        warnings.warn(" ".join(problems), LogWarning, stacklevel=2)
    return frame


def to_judgments(
    votes: VoteLog | pd.DataFrame | str | Path | Iterable[VoteLog | str | Path],
    *,
    repeats: str = "keep",
    adjudicator: str | None = None,
    criterion: str | None = None,
) -> pd.DataFrame:
    """Turn logs or votes into a judgments table, ready for `routerlab.rate`.

    Parameters
    ----------
    votes : VoteLog, path, iterable of them, or DataFrame
        Logs, or the votes that `merge_logs` and `VoteLog.votes` return.
    repeats : {'keep', 'drop'}, default 'keep'
        Whether swapped repeats of a pair count. `routerlab.rate` takes votes on one prompt as correlated, and its
        intervals stay honest with them.
    adjudicator : str, optional
        Rater whose vote on a pair replaces all others on it.
    criterion : str, optional
        One of the `criteria` of a `PairComparator`: its answers take the place of the verdicts, and votes that have
        none are left out. A preference strength is in ``strength_<criterion>``, from 0 (equal) to 2 (much better).

    Returns
    -------
    DataFrame of shape (n_judgments, n_columns)
        ``prompt_id, model_a`` (left)``, model_b`` (right)``, winner, judge, judged_at, note``, and the rest of the
        votes' columns. ``attrs`` counts what `repeats`, `adjudicator` and `criterion` left out.

    Raises
    ------
    TableError
        See `routerlab.schema.check_judgments`.

    Examples
    --------
    >>> rows = [("p1", "big", "small", "tie", "ana"), ("p1", "small", "big", "model_b", "eva")]
    >>> votes = pd.DataFrame(rows, columns=["prompt_id", "model_a", "model_b", "winner", "judge"])
    >>> to_judgments(votes, adjudicator="eva")["judge"].tolist()
    ['eva']
    """
    check_choice(repeats, ("keep", "drop"), "repeats", "to_judgments")
    frame = check_judgments(_votes(votes))
    n_given = len(frame)
    if criterion is not None:
        frame = _answers_to(frame, criterion)
    n_all = len(frame)
    if repeats == "drop":
        frame = first_showings(frame)
    n_first = len(frame)
    if adjudicator is not None:
        frame = _adjudicated(frame, adjudicator)
    frame = frame.reset_index(drop=True)
    frame.attrs |= {"n_repeats_dropped": n_all - n_first, "n_overruled": n_first - len(frame)}
    frame.attrs["n_unanswered"] = n_given - n_all
    return frame


def _answers_to(votes: pd.DataFrame, criterion: str) -> pd.DataFrame:
    """Return the votes with an answer on a criterion, which takes the place of the winner."""
    column = f"criterion_{criterion}"
    if column not in votes:
        asked = [str(name).removeprefix("criterion_") for name in votes if str(name).startswith("criterion_")]
        refuse_parameter(
            "criterion", f"one that was answered ({', '.join(asked) or 'none'})", criterion, "to_judgments"
        )
    answered = votes[votes[column].notna()]
    return answered.assign(winner=answered[column])


def first_showings(judgments: pd.DataFrame) -> pd.DataFrame:
    """Leave out swapped repeats."""
    return judgments[judgments["repeat_of"].isna()] if "repeat_of" in judgments else judgments


def _files(paths: Iterable[str | Path] | str | Path) -> list[Path]:
    given = [Path(paths)] if isinstance(paths, str | Path) else [Path(path) for path in paths]
    files = [file for path in given for file in (sorted(path.glob("*.jsonl")) if path.is_dir() else [path])]
    if not files:
        reject("'paths'", f"hold no vote log: {shown(map(str, given))}.", "Name .jsonl files, or a folder of them.")
    return list(dict.fromkeys(files))


def _read(path: Path) -> Reader:
    reader = Reader(path)
    reader.log.check()
    reader.refresh("read")
    if reader.log.header is None:
        reader.log.refuse()
    return reader


def _union(logs: Iterable[tuple[str, Reader]]) -> tuple[list[Record], int]:
    """Votes that count over all logs, and how many were left out because their pair was decided before."""
    records: dict[tuple[str, str], Record] = {}
    undone: set[tuple[str, str]] = set()
    notes: dict[tuple[str, str], str] = {}
    for rater, reader in logs:
        for record in reader.state.records():
            records.setdefault((rater, record["nonce"]), record)
            if record["type"] == "undo":
                undone.add((rater, record["undoes"]))
        for nonce, note in reader.state.notes.items():
            notes[rater, nonce] = max(note, notes.get((rater, nonce), ""))
    votes = [
        {**record, "judge": key[0], "note": notes.get(key, record.get("note"))}
        for key, record in records.items()
        if record["type"] == "vote" and key not in undone
    ]
    votes.sort(key=lambda r: (str(r.get("judged_at")), r["judge"], r["nonce"]))
    first = {(r["judge"], *showing(r)): r["nonce"] for r in reversed(votes)}
    counting = [r for r in votes if first[r["judge"], *showing(r)] == r["nonce"]]
    return counting, len(votes) - len(counting)


def _votes(votes: Any) -> pd.DataFrame:
    if isinstance(votes, pd.DataFrame):
        return votes
    if isinstance(votes, VoteLog):
        return votes.votes()
    if isinstance(votes, str | Path):
        return merge_logs(votes)
    if isinstance(votes, Mapping) or not isinstance(votes, Iterable):
        msg = f"The 'votes' parameter must be logs, paths or a DataFrame of votes. Got {type(votes).__name__} instead."
        raise TypeError(msg)
    return merge_logs(item.path if isinstance(item, VoteLog) else item for item in votes)


def _adjudicated(frame: pd.DataFrame, adjudicator: str) -> pd.DataFrame:
    if "judge" not in frame or not (frame["judge"] == adjudicator).any():
        reject("'adjudicator'", f"{adjudicator!r} has cast no vote.", "Name a rater in the column 'judge'.")
    keys = pd.MultiIndex.from_frame(pair_keys(frame)[["prompt_id", "model_a", "model_b"]])
    mine = (frame["judge"] == adjudicator).to_numpy()
    return frame[mine | ~keys.isin(keys[mine])]
