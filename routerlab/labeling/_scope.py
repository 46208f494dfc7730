"""A queue restricted to some of its pairs: which candidates those are, and how far the rater is with them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from routerlab.labeling._candidates import Candidates
from routerlab.labeling._choice import Chooser
from routerlab.labeling._pairs import Progress
from routerlab.labeling._records import Record
from routerlab.schema import reject

Bools = NDArray[np.bool_]


def selected(candidates: Candidates, pairs: pd.DataFrame) -> tuple[Bools, Bools]:
    """Look up rows of ``prompt_id`` and optionally ``model_a, model_b`` (in either order) among the candidates.

    Returns
    -------
    allowed : ndarray of bool of shape (n_candidates,)
        Candidates of some row.
    found : ndarray of bool of shape (n_rows,)
        Rows that have a candidate.

    Raises
    ------
    TableError
        If a column is missing.
    """
    columns = [name for name in ("model_a", "model_b") if name in pairs]
    if "prompt_id" not in pairs or len(columns) == 1:
        reject("'pairs'", f"has the columns {list(pairs)}.", "It needs prompt_id, or prompt_id, model_a and model_b.")
    c, m = candidates, len(candidates.models)
    row = pd.Index(c.prompt_ids).get_indexer(pd.Index(pairs["prompt_id"]))
    key, wanted, known = c.prompt, row, row >= 0
    if columns:
        a, b = (pd.Index(c.models).get_indexer(pd.Index(pairs[name].astype(str))) for name in columns)
        key = (c.prompt * m + c.first) * m + c.second
        wanted, known = (row * m + np.minimum(a, b)) * m + np.maximum(a, b), known & (a >= 0) & (b >= 0)
    return np.isin(key, wanted[known]), known & np.isin(wanted, key)


def repeatable(
    decided: Mapping[tuple[int, bool], Record], issued: Collection[tuple[int, bool]], allowed: Bools, gap: int
) -> list[tuple[int, Record]]:
    """Votes that could come again with sides swapped: not repeated yet, and not among the latest `gap`."""
    first = [(k, r) for (k, repeat), r in decided.items() if not repeat and r["type"] == "vote"]
    old = first[: max(0, len(first) - gap)]
    return [(k, r) for k, r in old if allowed[k] and (k, True) not in decided and (k, True) not in issued]


def count_progress(
    candidates: Candidates, decided: Mapping[tuple[int, bool], Record], chooser: Chooser, **counts: Any
) -> Progress:
    """Count the decisions on candidates that may be shown."""
    allowed = chooser.remaining.allowed
    kept = [record for (k, _), record in decided.items() if allowed[k]]
    votes = [record for record in kept if record["type"] == "vote"]
    return Progress(
        n_votes=len(votes),
        n_skipped=len(kept) - len(votes),
        n_repeats=sum(record.get("repeat_of") is not None for record in votes),
        n_pairs=int(allowed.sum()),
        n_missing=candidates.n_missing,
        n_identical=candidates.n_identical,
        by_intent=dict(zip(candidates.groups, chooser.votes_by_group.tolist(), strict=True)),
        **counts,
    )
