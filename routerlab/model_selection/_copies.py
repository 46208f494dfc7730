"""Folds that keep copies of a prompt together, and embeddings that have seen the answers."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from sklearn.model_selection import GroupKFold, GroupShuffleSplit, KFold
from sklearn.pipeline import Pipeline

from routerlab.exceptions import CopiesWarning, ParameterError
from routerlab.schema import id_remedy, refuse, refuse_parameter, reject, shown, unit_rows
from routerlab.stats import group_codes

Folds = Iterable[tuple[Any, Any]]
Codes = NDArray[np.intp]
_LEARN = 0.5  # share of the prompts that a promised router is fitted on

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
    texts = _texts(X) if prompts is None else _read_prompts(prompts, index)
    if texts is not None:
        texts = pd.Series(texts)
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


def shared_codes(codes: Codes, index: pd.Index) -> dict[Any, int]:
    """Map each prompt that shares its group with another to the group's number: plain, to go into ``attrs``.

    Examples
    --------
    >>> shared_codes(np.array([0, 1, 0]), pd.Index(["p", "q", "r"]))
    {'p': 0, 'r': 0}
    """
    shared = (np.bincount(codes) > 1)[codes]
    return dict(zip(index[shared].tolist(), codes[shared].tolist(), strict=True))


def _read_prompts(prompts: Any, index: pd.Index) -> Any:
    """Return the text of each prompt, whose labels decide where they have some."""
    prompts = pd.Series(prompts) if isinstance(prompts, Mapping) else prompts
    remedy = "Pass the texts of the same prompts, a Series indexed by prompt_id."
    if isinstance(prompts, (str, pd.DataFrame)):
        reject("'prompts'", f"is {'one text' if isinstance(prompts, str) else 'a DataFrame'}.", remedy)
    if isinstance(prompts, pd.Series):
        if not prompts.index.is_unique:
            again = prompts.index[prompts.index.duplicated()].unique()
            reject("'prompts'", f"names prompt_id {shown(again)} more than once.", remedy)
        if len(absent := index.difference(prompts.index)):
            remedy = id_remedy(prompts.index, index, ("the prompts", "the outcomes"), remedy)
            reject("'prompts'", f"has no text of prompt_id {shown(absent)}.", remedy)
        prompts = prompts.reindex(index)
    texts = prompts.to_numpy() if isinstance(prompts, pd.Series) else np.asarray(prompts, dtype=object)
    if texts.shape != (len(index),):
        has = f"{len(texts)} entries" if texts.ndim == 1 else f"the shape {texts.shape}"
        reject("'prompts'", f"has {has} for {len(index)} prompts.", remedy)
    if (empty := pd.isna(texts)).any():
        reject("'prompts'", f"has no text of prompt_id {shown(index[empty])}.", remedy)
    return texts


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
    n, n_groups = len(codes), len(np.unique(codes))
    if isinstance(n_folds, bool) or not isinstance(n_folds, (int, np.integer)) or not 2 <= n_folds <= n_groups:
        many = f"{n} prompts"
        if n_groups < n:
            many = f"groups of prompts, {n_groups} in {n} prompts (copies of one prompt are one group)"
        msg = f"'cv' must be between 2 and the number of {many}. Got {n_folds!r} instead."
        raise ParameterError(msg)
    if n_groups == n and codes.max() + 1 == n:
        return list(KFold(int(n_folds), shuffle=True, random_state=random_state).split(np.empty(n)))
    folds = GroupKFold(int(n_folds), shuffle=True, random_state=random_state)
    return list(folds.split(np.empty(n), groups=codes))


def seed_of(random_state: Any) -> int:
    """Return a seed that is a number, drawn where none was given: folds, points and claims all start from it.

    Examples
    --------
    >>> seed_of(3), 0 <= seed_of(None) < 2**31
    (3, True)
    """
    if isinstance(random_state, (int, np.integer)) and not isinstance(random_state, bool) and random_state >= 0:
        return int(random_state)
    return int(generator_of(random_state).integers(2**31))


def generator_of(random_state: Any) -> np.random.Generator:
    """Return NumPy's generator of a seed, or say that it is none.

    Examples
    --------
    >>> int(generator_of(0).integers(10))
    8
    """
    try:
        return np.random.default_rng(random_state)
    except (TypeError, ValueError):
        refuse_parameter("random_state", "a number of at least 0, a Generator, or None", random_state)


def own_folds(cv: Any, codes: Codes) -> list[tuple[Any, Any]]:
    """Read folds of one's own: a splitter of scikit-learn, or pairs of positions (or of bools) to train and test on.

    Examples
    --------
    >>> [test.tolist() for _, test in own_folds(KFold(2), np.arange(4))]
    [[0, 1], [2, 3]]
    """
    n = len(codes)
    wanted = "a number of folds, a splitter such as KFold(5), or pairs of (train, test) positions"
    if hasattr(cv, "split") and not isinstance(cv, str):
        together = {"groups": codes} if "Group" in type(cv).__name__ else {}  # the others warn of groups
        try:
            return list(cv.split(np.empty(n), **together))
        except (TypeError, ValueError) as error:
            refuse("'cv'", f"{cv!r} can't split {n} prompts: {error}.", "Pass a number of folds.")
    if isinstance(cv, (str, Mapping)) or not isinstance(cv, Iterable):
        refuse_parameter("cv", wanted, cv)
    folds = []
    for fold in cv:
        parts = [np.asarray(part) for part in fold] if isinstance(fold, (tuple, list, np.ndarray)) else []
        parts = [np.flatnonzero(part) if part.dtype == bool and part.shape == (n,) else part for part in parts]
        good = all(part.ndim == 1 and part.dtype.kind in "iu" for part in parts if part.size)
        if len(parts) != 2 or not good or any(part.min() < 0 or part.max() >= n for part in parts if part.size):
            refuse_parameter("cv", f"{wanted} from 0 to {n - 1}", fold)
        folds.append((parts[0].astype(np.intp), parts[1].astype(np.intp)))
    return folds


def promise_folds(
    codes: Codes, n_folds: int = 5, random_state: Any = 0
) -> tuple[list[tuple[Any, Any]], NDArray[np.bool_]]:
    """Folds for a promise of one router: it is fitted on half of the prompts, and the others test it.

    Were every fold tested with a router fitted on all others, the promise would be of no router in particular: folds
    that like the same model by luck confirm each other, and the router fitted on all prompts may do what none of theirs
    did.

    Parameters
    ----------
    codes : ndarray of int of shape (n_prompts,)
        Group of each prompt, from 0 on: copies of a text, one conversation. ``np.arange(n_prompts)`` if there are none.
    n_folds : int, default 5
        Among the prompts that the router is fitted on, out of which their own estimates come.
    random_state : int or Generator, default 0
        Shuffles.

    Returns
    -------
    folds : list of (train, test) positions
        For ``cross_sweep(cv=)``.
    learn : ndarray of bool of shape (n_prompts,)
        Prompts to fit the router on, and to lay the path with: ``promise(ordering=)``.

    Examples
    --------
    >>> folds, learn = promise_folds(np.arange(20))
    >>> [(len(train), len(test)) for train, test in folds], int(learn.sum())
    ([(8, 2), (8, 2), (8, 2), (8, 2), (8, 2), (10, 10)], 10)
    """
    learn = np.zeros(len(codes), dtype=bool)
    ((first, rest),) = grouped_splits(codes, 1, 1 - _LEARN, random_state)
    learn[first] = True
    known = np.unique(codes[first], return_inverse=True)[1]
    inside = grouped_folds(known, min(n_folds, int(known.max()) + 1), random_state)
    return [*((first[train], first[test]) for train, test in inside), (first, rest)], learn


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
