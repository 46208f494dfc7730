"""Judgments to and from JSONL, and the columns of evalica and arena-rank."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date, time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from routerlab.jsonl import replace_file
from routerlab.schema import check_judgments, read_json, reject

_EVALICA = {"model_a": "left", "model_b": "right", "tie": "tie", "both_bad": "tie"}
_ARENA = {"tie (bothbad)": "both_bad"}


def write_jsonl(judgments: pd.DataFrame, path: str | Path) -> None:
    """Write judgments, one JSON object in each line.

    Parameters
    ----------
    judgments : DataFrame of shape (n_judgments, n_columns)
        See `routerlab.schema.check_judgments`. Empty cells are left out, times are written in ISO 8601.
    path : str or Path
        The file; one that exists is replaced as a whole, once all of the new one is on the disk.

    Raises
    ------
    TableError
        See `check_judgments`; a cell that JSON cannot hold. A file that was there is as it was.

    Examples
    --------
    >>> import tempfile
    >>> votes = pd.DataFrame({"prompt_id": ["p1"], "model_a": ["x"], "model_b": ["y"], "winner": ["tie"]})
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_jsonl(votes, Path(folder) / "votes.jsonl")
    ...     read_jsonl(Path(folder) / "votes.jsonl").equals(votes)
    True
    """
    frame = check_judgments(judgments)
    lines = []
    for row in frame.to_dict("records"):
        kept = {str(name): _plain(value) for name, value in row.items() if not _empty(value)}
        try:
            text = json.dumps(kept, ensure_ascii=False)
        except (TypeError, ValueError) as error:
            reject(f"judgments table, row {row['prompt_id']!r}", f"holds what JSON cannot: {error}.", "Make it text.")
        lines.append((text + "\n").encode(errors="backslashreplace"))
    replace_file(path, b"".join(lines))


def read_jsonl(path: str | Path) -> pd.DataFrame:
    """Read judgments that `write_jsonl`, or anything like it, wrote.

    Parameters
    ----------
    path : str or Path
        The file.

    Returns
    -------
    DataFrame of shape (n_judgments, n_columns)
        A judgments table; ``judged_at`` as times.

    Raises
    ------
    TableError
        A line that is no JSON object (it is named); see `check_judgments`.
    """
    rows = []
    with Path(path).open(encoding="utf-8-sig") as handle:
        for number, line in enumerate(handle, 1):
            if not line.strip():
                continue
            try:
                row = read_json(line)
            except ValueError as error:
                reject(f"{path}, line {number}", f"is no JSON ({error}).", "Correct or remove that line.")
            if not isinstance(row, dict):
                reject(f"{path}, line {number}", "is no JSON object.", "Correct or remove that line.")
            rows.append(row)
    frame = pd.DataFrame(rows, columns=None if rows else ["prompt_id", "model_a", "model_b", "winner"])
    if "judged_at" in frame:
        frame["judged_at"] = pd.to_datetime(frame["judged_at"], utc=True, format="ISO8601")
    return check_judgments(frame)


def _empty(value: Any) -> bool:
    return value is None or (not isinstance(value, list | dict) and bool(pd.isna(value)))


def _plain(value: Any) -> Any:
    """Turn a cell into what JSON holds."""
    if isinstance(value, date | time):
        return value.isoformat()
    return value.item() if isinstance(value, np.generic) else value


def to_evalica(judgments: pd.DataFrame) -> pd.DataFrame:
    """Return the columns that evalica's command line reads.

    Parameters
    ----------
    judgments : DataFrame of shape (n_judgments, n_columns)
        See `routerlab.schema.check_judgments`.

    Returns
    -------
    DataFrame of shape (n_judgments, 4)
        ``left, right, winner`` in {'left', 'right', 'tie'} (both_bad becomes a tie: evalica has no such verdict), and
        ``prompt_id``.

    Examples
    --------
    >>> votes = pd.DataFrame({"prompt_id": ["p1"], "model_a": ["x"], "model_b": ["y"], "winner": ["model_b"]})
    >>> to_evalica(votes).loc[0, "winner"]
    'right'
    """
    frame = check_judgments(judgments)
    columns = {"left": frame["model_a"], "right": frame["model_b"], "winner": frame["winner"].map(_EVALICA)}
    return pd.DataFrame({**columns, "prompt_id": frame["prompt_id"]})


def from_evalica(table: pd.DataFrame) -> pd.DataFrame:
    """Turn evalica's columns into a judgments table.

    Parameters
    ----------
    table : DataFrame
        ``left, right, winner``. Without ``prompt_id``, each row counts as a prompt of its own.

    Returns
    -------
    DataFrame
        A judgments table; other columns pass through.

    Raises
    ------
    TableError
        Another verdict; see `check_judgments`.

    Examples
    --------
    >>> from_evalica(pd.DataFrame({"left": ["x"], "right": ["y"], "winner": ["tie"]})).loc[0, "model_a"]
    'x'
    """
    back = {"left": "model_a", "right": "model_b"}
    frame = table.rename(columns=back)
    return _imported(frame, back, "left, right, tie")


def to_arena(judgments: pd.DataFrame) -> pd.DataFrame:
    """Return the columns that arena-rank's ``PairDataset`` reads.

    Parameters
    ----------
    judgments : DataFrame of shape (n_judgments, n_columns)
        See `routerlab.schema.check_judgments`.

    Returns
    -------
    DataFrame of shape (n_judgments, 4)
        ``model_a, model_b, winner`` in {'model_a', 'model_b', 'tie', 'both_bad'}, ``prompt_id``.

    Examples
    --------
    >>> votes = pd.DataFrame({"prompt_id": ["p1"], "model_a": ["x"], "model_b": ["y"], "winner": ["both_bad"]})
    >>> to_arena(votes).loc[0, "winner"]
    'both_bad'
    """
    return check_judgments(judgments)[["model_a", "model_b", "winner", "prompt_id"]].reset_index(drop=True)


def from_arena(table: pd.DataFrame) -> pd.DataFrame:
    """Turn arena columns into a judgments table.

    Parameters
    ----------
    table : DataFrame
        ``model_a, model_b, winner``; 'tie (bothbad)', as older files say, is both_bad. Without ``prompt_id``,
        ``question_id`` or ``id`` names the prompt, or else each row counts as a prompt of its own.

    Returns
    -------
    DataFrame
        A judgments table; other columns pass through.

    Raises
    ------
    TableError
        Another verdict; see `check_judgments`.

    Examples
    --------
    >>> from_arena(pd.DataFrame({"model_a": ["x"], "model_b": ["y"], "winner": ["tie (bothbad)"]})).loc[0, "winner"]
    'both_bad'
    """
    name = next((c for c in ("prompt_id", "question_id", "id") if c in table), None)
    frame = table if name in (None, "prompt_id") else table.rename(columns={name: "prompt_id"})
    return _imported(frame, _ARENA, "model_a, model_b, tie, both_bad")


def _imported(frame: pd.DataFrame, verdicts: Mapping[str, str], known: str) -> pd.DataFrame:
    frame = frame.reset_index(drop=True)
    if "prompt_id" not in frame:
        frame = frame.assign(prompt_id=[f"row {k}" for k in range(len(frame))])
    if "winner" in frame:
        frame["winner"] = frame["winner"].replace(dict(verdicts))
    return check_judgments(frame)
