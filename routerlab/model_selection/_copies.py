"""Folds that keep copies of a prompt together, and embeddings that have seen the answers."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from sklearn.model_selection import GroupKFold, GroupShuffleSplit, KFold
from sklearn.pipeline import Pipeline

from routerlab.exceptions import CopiesWarning, ParameterError
from routerlab.schema import reject, unit_rows
from routerlab.stats import group_codes

Folds = Iterable[tuple[Any, Any]]
Codes = NDArray[np.intp]

NEAR = 0.99  # cosine similarity above which two prompts nearly are one
_EMBEDDING = 16  # features from which equal rows mean equal texts, rather than equal categories


def copy_codes(X: Any, index: pd.Index, groups: Any = None, prompts: Any = None) -> Codes:
    """Give a number to what must not be torn apart by folds: groups, and copies of one prompt.

    Copies are texts that are equal but for case and spacing, where `X` or `prompts` is text; and equal rows of an
    embedding. Groups that share a copy become one.

    Parameters
    ----------
    X : Series of prompts, or DataFrame or array of shape (n_prompts, n_features)
        What the router or the pipeline is fitted on.
    index : Index of shape (n_prompts,)
        The prompts.
    groups, prompts : Series or array of shape (n_prompts,), optional
        Conversation or customer of each prompt; its text.

    Returns
    -------
    ndarray of shape (n_prompts,)

    Examples
    --------
    >>> copy_codes(pd.Series(["Hi there", "hi  there", "Bye"]), pd.RangeIndex(3)).tolist()
    [0, 0, 1]
    """
    found = []
    texts = _texts(X) if prompts is None else prompts
    if texts is not None:
        texts = texts.reindex(index) if isinstance(texts, pd.Series) and prompts is not None else pd.Series(texts)
        found.append(pd.factorize(texts.astype(str).str.casefold().str.split().str.join(" ").to_numpy())[0])
    values = _matrix(X)
    if values is not None:
        plain = np.ascontiguousarray(values + 0)  # -0.0 + 0 is 0.0
        rows = pd.factorize(np.array([row.tobytes() for row in plain], dtype=object))[0]
        if values.shape[1] >= _EMBEDDING or rows.max(initial=0) + 1 == len(rows):
            found.append(rows)
    if groups is not None:
        found.append(group_codes(groups, index))
    return _joined(found, len(index))


def _joined(parts: list[Any], n: int) -> Codes:
    """Rows that any part puts together, directly or through others."""
    parts = [part for part in parts if part.max(initial=-1) + 1 < n]
    if not parts:
        return np.arange(n)
    if len(parts) == 1:
        return pd.factorize(parts[0])[0].astype(np.intp)
    offset, edges = n, []
    for part in parts:
        edges.append(np.column_stack([np.arange(n), part + offset]))
        offset += int(part.max()) + 1
    pairs = np.concatenate(edges)
    graph = coo_array((np.ones(len(pairs), dtype=np.int8), (pairs[:, 0], pairs[:, 1])), shape=(offset, offset))
    return pd.factorize(connected_components(graph, directed=False)[1][:n])[0].astype(np.intp)


def _texts(X: Any) -> Any:
    if isinstance(X, pd.DataFrame):
        return None
    values = np.asarray(X, dtype=object) if not hasattr(X, "dtype") else X
    is_text = getattr(values, "ndim", 1) == 1 and len(values) and isinstance(next(iter(values)), str)
    return values if is_text else None


def _matrix(X: Any) -> Any:
    if _texts(X) is not None:
        return None
    if isinstance(X, pd.DataFrame) and not all(pd.api.types.is_numeric_dtype(kind) for kind in X.dtypes):
        return None
    values = np.asarray(X)
    return values if values.ndim == 2 and values.dtype.kind in "fiub" else None


def grouped_folds(codes: Codes, n_folds: int, random_state: Any) -> list[tuple[Any, Any]]:
    """Shuffled folds that keep each group in one piece; plain ones if every prompt is its own group.

    Examples
    --------
    >>> [test.tolist() for _, test in grouped_folds(np.array([0, 0, 1, 1]), 2, 0)]
    [[2, 3], [0, 1]]
    """
    n, n_groups = len(codes), int(codes.max(initial=-1)) + 1
    if isinstance(n_folds, bool) or not isinstance(n_folds, (int, np.integer)) or not 2 <= n_folds <= n_groups:
        many = f"{n_groups} groups of prompts (copies of one prompt are one group)" if n_groups < n else f"{n} prompts"
        msg = f"'cv' must be between 2 and the number of {many}. Got {n_folds!r} instead."
        raise ParameterError(msg)
    if n_groups == n:
        return list(KFold(int(n_folds), shuffle=True, random_state=random_state).split(np.empty(n)))
    folds = GroupKFold(int(n_folds), shuffle=True, random_state=random_state)
    return list(folds.split(np.empty(n), groups=codes))


def grouped_splits(codes: Codes, n_splits: int, test_size: float, random_state: Any) -> list[tuple[Any, Any]]:
    """Draw repeated random splits that keep each group in one piece."""
    splitter = GroupShuffleSplit(n_splits, test_size=test_size, random_state=random_state)
    return list(splitter.split(np.empty(len(codes)), groups=codes))


def warn_of_near_copies(X: Any, codes: Codes, *, limit: int = 4000) -> None:
    """Count the prompts that have a near copy (cosine above 0.99) in another group, and warn of them.

    Of more than `limit` prompts, as many evenly chosen ones are compared with all.

    Examples
    --------
    >>> warn_of_near_copies(np.eye(32), np.arange(32))
    """
    values = _matrix(X)
    if values is None or values.shape[1] < _EMBEDDING:
        return
    rows = unit_rows(values.astype(np.float32))
    n_near = 0
    looked = np.arange(len(rows)) if len(rows) <= limit else np.linspace(0, len(rows) - 1, limit).astype(int)
    for part in np.array_split(looked, max(1, len(looked) // 1024)):
        alike = (rows[part] @ rows.T > NEAR) & (codes[part, None] != codes)
        n_near += int(alike.any(axis=1).sum())
    if n_near:
        warnings.warn(
            f"{n_near:,} of {len(looked):,} prompts have a near copy (cosine similarity above {NEAR:g}) that may be in "
            "a training fold while they are tested: the claim is then about prompts seen before. Pass groups= (one "
            "value for all copies of a prompt, e.g. its template), or leave copies out.",
            CopiesWarning,
            stacklevel=4,
        )


def refuse_learned(X: Any, router: Any, *, intents: bool) -> None:
    """Refuse to cross-fit on an embedding that has learned from the outcomes (or intents) of all prompts."""
    made_by = str(getattr(X, "attrs", {}).get("embedder", ""))
    learned = [name for name in ("OutcomeEmbedder", "IntentEmbedder") if name in made_by]
    if not learned or (learned == ["IntentEmbedder"] and not intents):
        return
    last = router[-1] if isinstance(router, Pipeline) else router
    what = "outcomes" if learned[0] == "OutcomeEmbedder" else "intents"
    reject(
        "'X'",
        f"was made by {learned[0]}, which learns from {what}: every fold's router would have seen the answers that it "
        "is tested on.",
        f"Let each fold fit its own: make_pipeline({learned[0]}(...), {type(last).__name__}(...)), with X as the "
        "embedder takes it. If it was fitted on other prompts only, say so: X.attrs.pop('embedder').",
    )
