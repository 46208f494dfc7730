"""Checks of the four tidy tables, done once, at the door."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from routerlab.schema._doors import (
    KEYS,
    Odd,
    as_labels,
    as_pandas,
    check_keys,
    id_remedy,
    own,
    plain,
    plain_frame,
    read_numbers,
    reject,
    shown,
)
from routerlab.schema._scale import Scale, to_quality

WINNERS = ("model_a", "model_b", "tie", "both_bad")


def _frame(table: object, name: str, required: Sequence[str]) -> pd.DataFrame:
    """Copy `table` with plain columns, ``prompt_id`` among them, and insist on `required` and on keys."""
    frame = plain_frame(table, f"{name} table")
    missing = [c for c in required if c not in frame]
    if missing:
        what, remedy = f"column {shown(missing)} is missing", "Rename or add it."
        if len(missing) > 1:
            what, remedy = f"columns {shown(missing)} are missing", "Rename or add them."
        if "model" in missing and {"model_a", "model_b"} <= set(frame.columns):
            remedy = "This looks like a judgments table: routerlab.rate(judgments) takes it."
        reject(f"{name} table", f"{what}; it has {shown(frame.columns, 12)}.", remedy)
    check_keys(frame, f"{name} table", [c for c in required if c in KEYS])
    return frame


def _unique(frame: pd.DataFrame, name: str, key: Sequence[str]) -> None:
    twice = frame.loc[frame.duplicated(list(key)), list(key)].drop_duplicates()
    if len(twice):
        reject(
            f"{name} table, key ({', '.join(key)})",
            f"appears more than once: {shown(twice.itertuples(index=False, name=None))}.",
            f"Keep one row for each, e.g. frame.drop_duplicates({list(key)}).",
        )


def _known(frame: pd.DataFrame, name: str, prompts: pd.DataFrame | None) -> None:
    if prompts is None:
        return
    table = as_pandas(prompts)
    known = pd.Index(plain(table["prompt_id"] if "prompt_id" in table else table.index.to_series()))
    absent = frame.loc[~frame["prompt_id"].isin(known), "prompt_id"].unique()
    if len(absent):
        remedy = f"Add those prompts, or keep {name}[{name}.prompt_id.isin(prompts.index)]."
        reject(
            f"{name} table, column 'prompt_id'",
            f"{len(absent)} ids are not in the prompts table: {shown(absent)}.",
            id_remedy(pd.Index(absent), known, (f"the {name} table", "the prompts table"), remedy),
        )


def _number(
    frame: pd.DataFrame, name: str, column: str, low: float, high: float = np.inf, *, scale: str | None = None
) -> None:
    """Insist on a finite number in [low, high] in `column`, NaN (missing) allowed."""
    read = read_numbers(frame[column], booleans=column == "quality")
    if isinstance(read, Odd):
        rows = frame.iloc[read.rows]
        at = f"at {shown(rows['prompt_id'])} (got {shown(rows[column])})"
        reject(f"{name} table, column '{column}'", f"{read.wrong} {at}, expected numbers or empty.", read.remedy)
    values = pd.Series(read, index=frame.index)
    bad = ~values.isna() & ~(np.isfinite(values) & (values >= low) & (values <= high))
    if bad.any():
        where = f"{shown(values[bad])} at {shown(frame.loc[bad, 'prompt_id'])}"
        wanted = f"[{low:g}, {high:g}]" if np.isfinite(high) else f"finite numbers of at least {low:g}"
        wrong = f"got {where}, expected {wanted} or empty."
        reject(f"{name} table, column '{column}'", wrong, scale or "Correct or empty those cells.")
    frame[column] = values


def check_prompts(prompts: pd.DataFrame) -> pd.DataFrame:
    """Check a prompts table and return it indexed by ``prompt_id``.

    Parameters
    ----------
    prompts : DataFrame of shape (n_prompts, n_columns)
        ``prompt_id`` as index or column, and ``prompt`` (non-empty text). Other columns pass through.

    Returns
    -------
    DataFrame
        A copy, indexed by ``prompt_id``.

    Raises
    ------
    TableError
        Duplicate or empty ids; empty or non-text prompts.

    Examples
    --------
    >>> check_prompts(pd.DataFrame({"prompt_id": ["p1"], "prompt": ["Poach an egg?"]})).loc["p1", "prompt"]
    'Poach an egg?'
    """
    frame = _frame(prompts, "prompts", ["prompt_id", "prompt"])
    _unique(frame, "prompts", ["prompt_id"])
    bad = not_text(frame["prompt"])
    if bad.any():
        reject(
            "prompts table, column 'prompt'",
            f"is empty or not text for {shown(frame.loc[bad, 'prompt_id'])} (got {shown(frame.loc[bad, 'prompt'])}).",
            text_remedy(frame.loc[bad, "prompt"]),
        )
    return frame.drop(columns="prompt_id").set_index(as_labels(frame["prompt_id"]))


def not_text(column: pd.Series) -> NDArray[np.bool_]:
    """Tell which cells hold no text to read, of shape (n_rows,).

    Examples
    --------
    >>> not_text(pd.Series(["NA", " ", None, 3], dtype=object)).tolist()
    [False, True, True, True]
    """
    return np.array([not (isinstance(cell, str) and bool(cell.strip())) for cell in column], dtype=bool)


def text_remedy(cells: pd.Series) -> str:
    """Say what to do about cells that are not text, by what they are.

    Examples
    --------
    >>> text_remedy(pd.Series([3]))
    'Convert the numbers with .map(str).'
    """
    filled = [cell for cell in cells if not (isinstance(cell, str) or (pd.api.types.is_scalar(cell) and pd.isna(cell)))]
    if not filled:
        return (
            "Drop those rows; if the file says 'NA' or 'null' there, read it with "
            "pd.read_csv(..., keep_default_na=False)."
        )
    if all(isinstance(cell, (list, tuple, Mapping, np.ndarray)) for cell in filled):
        return (
            "Pass the text to route by: of chat messages the last of the user, e.g. "
            "frame['prompt'].map(lambda messages: messages[-1]['content'])."
        )
    if all(isinstance(cell, (int, float, np.number)) for cell in filled):
        return "Convert the numbers with .map(str)." if len(filled) == len(cells) else "Drop those rows."
    if all(isinstance(cell, bytes) for cell in filled):
        return "Decode them: .str.decode('utf-8')."
    return "Drop those rows, or put text there."


def check_responses(responses: pd.DataFrame, prompts: pd.DataFrame | None = None) -> pd.DataFrame:
    """Check a responses table: one row for each (prompt_id, model).

    Parameters
    ----------
    responses : DataFrame
        ``prompt_id``, ``model``, ``response``; optional ``input_tokens``, ``output_tokens``,
        ``cost_usd`` and ``latency_s``, non-negative or empty.
    prompts : DataFrame, optional
        If given, every ``prompt_id`` must be in it.

    Returns
    -------
    DataFrame
        A copy with ``prompt_id`` and ``model`` as columns.

    Raises
    ------
    TableError
        Duplicate keys, unknown prompt ids, negative or infinite numbers.

    Examples
    --------
    >>> row = {"prompt_id": "p1", "model": "m", "response": "Yes.", "cost_usd": 0.01}
    >>> len(check_responses(pd.DataFrame([row])))
    1
    """
    frame = _frame(responses, "responses", ["prompt_id", "model", "response"])
    _unique(frame, "responses", ["prompt_id", "model"])
    _known(frame, "responses", prompts)
    for column in ("input_tokens", "output_tokens", "cost_usd", "latency_s"):
        if column in frame:
            _number(frame, "responses", column, 0.0)
    return frame


class Judgments:
    """A judgments table that was checked, here, and is taken as checked from then on.

    Whatever takes a judgments table takes one of these in its place.

    Parameters
    ----------
    judgments : DataFrame
        See `check_judgments`.
    prompts : DataFrame, optional
        If given, every ``prompt_id`` must be in it.

    Attributes
    ----------
    table : DataFrame of shape (n_judgments, n_columns)
        Its reader's: changing it changes nothing in here.

    Examples
    --------
    >>> vote = {"prompt_id": "p1", "model_a": "x", "model_b": "y", "winner": "tie"}
    >>> votes = Judgments(pd.DataFrame([vote]))
    >>> votes, check_judgments(votes).winner.tolist()
    (Judgments(n=1), ['tie'])
    """

    __slots__ = ("_table",)
    _table: pd.DataFrame

    def __init__(self, judgments: Any, prompts: pd.DataFrame | None = None) -> None:
        self._table = check_judgments(judgments, prompts)

    @classmethod
    def checked(cls, table: pd.DataFrame) -> Judgments:
        """Hold a table that comes out of a checked one, without looking again."""
        self = cls.__new__(cls)
        self._table = own(table)
        return self

    table = property(lambda self: own(self._table))
    attrs = property(lambda self: self._table.attrs)

    def to_pandas(self) -> pd.DataFrame:
        """Return `table`."""
        return own(self._table)

    def __len__(self) -> int:
        """Judgments."""
        return len(self._table)

    def __repr__(self) -> str:
        """Size only."""
        return f"Judgments(n={len(self)})"


def check_judgments(judgments: pd.DataFrame | Judgments, prompts: pd.DataFrame | None = None) -> pd.DataFrame:
    """Check a judgments table: one verdict on two models' responses to a prompt in each row.

    Parameters
    ----------
    judgments : DataFrame, or Judgments
        ``prompt_id``, ``model_a``, ``model_b`` and ``winner``, one of 'model_a', 'model_b', 'tie',
        'both_bad'. Optional columns (``judge``, ``judged_at``, ``note``, ...) pass through.
    prompts : DataFrame, optional
        If given, every ``prompt_id`` must be in it.

    Returns
    -------
    DataFrame
        A copy.

    Raises
    ------
    TableError
        Unknown winner labels (never turned into ties), a model judged against itself, unknown prompt ids.

    Examples
    --------
    >>> vote = {"prompt_id": "p1", "model_a": "x", "model_b": "y", "winner": "tie"}
    >>> len(check_judgments(pd.DataFrame([vote])))
    1
    """
    if isinstance(judgments, Judgments):
        frame = judgments.table
        _known(frame, "judgments", prompts)
        return frame
    frame = _frame(judgments, "judgments", ["prompt_id", "model_a", "model_b", "winner"])
    _known(frame, "judgments", prompts)
    winner = frame["winner"]
    if isinstance(winner.dtype, pd.StringDtype):
        bad = ~winner.isin(WINNERS)
    else:  # anything may stand there, lists as well
        bad = ~winner.map(lambda winner: isinstance(winner, str) and winner in WINNERS).astype(bool)
    if bad.any():
        labels = {repr(winner): winner for winner in frame.loc[bad, "winner"]}
        reject(
            "judgments table, column 'winner'",
            f"got {shown(labels.values())} in {bad.sum()} rows (first: {shown(frame.index[bad])}); "
            f"expected one of {', '.join(WINNERS)}.",
            "Map your labels to these, or drop verdicts that could not be read.",
        )
    same = frame["model_a"] == frame["model_b"]
    if same.any():
        reject(
            "judgments table, columns 'model_a' and 'model_b'",
            f"{shown(frame.loc[same, 'model_a'].unique())} is judged against itself in row {shown(frame.index[same])}.",
            "Drop those rows: they say nothing about which model is better.",
        )
    return frame


def check_outcomes(
    outcomes: pd.DataFrame, prompts: pd.DataFrame | None = None, *, scale: Scale | None = None
) -> pd.DataFrame:
    """Check an outcomes table: measured quality and cost for each (prompt_id, model).

    Parameters
    ----------
    outcomes : DataFrame
        ``prompt_id``, ``model``, ``quality`` in [0, 1], ``cost_usd`` in USD per request, at least 0. Empty cells are
        allowed. Optional ``latency_s``, and ``quality_scale``: what quality was measured by, such as 'win share'.
    prompts : DataFrame, optional
        If given, every ``prompt_id`` must be in it.
    scale : (float, float) or mapping, optional
        Of ``quality``, if it is not from 0 to 1: ``(1, 5)``, ``(0, 100)``, ``{"pass": 1, "fail": 0}``.

    Returns
    -------
    DataFrame
        A copy with float columns.

    Raises
    ------
    TableError
        Duplicate keys, unknown prompt ids, values out of range.

    Examples
    --------
    >>> row = {"prompt_id": "p1", "model": "m", "quality": 0.5, "cost_usd": 0.01}
    >>> len(check_outcomes(pd.DataFrame([row])))
    1
    >>> check_outcomes(pd.DataFrame([row | {"quality": 4}]), scale=(1, 5))["quality"].tolist()
    [0.75]
    """
    frame = _frame(outcomes, "outcomes", ["prompt_id", "model", "quality", "cost_usd"])
    _unique(frame, "outcomes", ["prompt_id", "model"])
    _known(frame, "outcomes", prompts)
    if scale is not None:
        where = "outcomes table, column 'quality'"
        frame["quality"] = to_quality(frame["quality"], scale, where=where, names=frame["prompt_id"])
    _number(
        frame, "outcomes", "quality", 0.0, 1.0, scale="Pass the scale of the scores, e.g. scale=(1, 5) or (0, 100)."
    )
    _number(frame, "outcomes", "cost_usd", 0.0)
    if "latency_s" in frame:
        _number(frame, "outcomes", "latency_s", 0.0)
    return frame
