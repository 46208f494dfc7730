"""Split prompts into parts that share no text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from routerlab.exceptions import ParameterError
from routerlab.schema import by_prompt, id_remedy, plain, reject, shown


def split_prompts(
    prompts: Any,
    sizes: Sequence[float] = (0.5, 0.25, 0.25),
    *,
    groups: pd.Series | str | None = None,
    stratify: pd.Series | str | bool | None = None,
    random_state: Any = 0,
) -> tuple[pd.Index, ...]:
    """Split prompts at random: by default half to train on, a quarter to tune on, a quarter to test on.

    Parameters
    ----------
    prompts : DataFrame, Series or Index of n_prompts prompts
        Prompts table, texts indexed by prompt id, or prompt ids alone.
    sizes : sequence of float, default (0.5, 0.25, 0.25)
        Share of the prompts that each part gets; they sum to 1.
    groups : Series or str, optional
        prompt_id -> group, or a column of the table, such as a conversation or a customer: prompts of one group stay
        together. Copies of one text (but for blanks) stay together in any case, where `prompts` holds texts.
    stratify : Series, str or False, optional
        prompt_id -> stratum, or a column of the table: each part gets its share of every stratum. Default: the
        column ``intent`` where there is one; False for none.
    random_state : int or Generator, default 0
        Seed of the split.

    Returns
    -------
    tuple of Index
        Prompt ids of each part, in the order of `prompts`: plain objects or integers, whatever holds them there.

    Raises
    ------
    TableError
        Ids twice; groups or strata of other prompts, or empty ones; too few groups to fill every part.

    Notes
    -----
    Groups are dealt in random order, the largest first, each to the part that lacks most of its share, of the group's
    most frequent stratum and overall. Shares are met to within the largest group.

    Examples
    --------
    >>> prompts = pd.DataFrame({"prompt": ["Hi", "Hi ", "Poach an egg?", "Fix my SQL"]}, index=["p1", "p2", "p3", "p4"])
    >>> train, test = split_prompts(prompts, (0.5, 0.5))
    >>> train.tolist(), test.tolist()
    (['p1', 'p2'], ['p3', 'p4'])
    """
    shares = _check_sizes(sizes)
    table = _table(prompts)
    ids = pd.Index(plain(table.index.to_series()).to_numpy(), name=table.index.name or "prompt_id")
    if ids.dtype == "str":
        ids = ids.astype(object)  # scikit-learn's own splitters cannot index ids that Arrow holds
    if not ids.is_unique:
        reject("prompts", f"prompt_id {shown(ids[ids.duplicated()].unique())} appears twice.", "Keep one row for each.")
    group = _groups(table, groups)
    if stratify is None and "intent" in table:
        stratify = "intent"
    stratum = np.zeros(len(ids), dtype=np.intp)
    if stratify is not None and stratify is not False:
        stratum = _codes(table, stratify, "stratify")
    n_groups = int(group.max()) + 1
    if n_groups < len(shares):
        wrong = f"{len(ids)} prompts make {n_groups} groups for {len(shares)} parts."
        reject("prompts", wrong, "Pass more prompts, fewer parts, or other groups.")
    part = _deal(group, stratum, shares, np.random.default_rng(random_state))
    empty = np.setdiff1d(np.arange(len(shares)), part)
    if len(empty):
        largest = np.bincount(group).max()
        wrong = f"no prompt is left for part {shown(empty)}: the largest of {n_groups} groups has {largest} prompts."
        reject("prompts", wrong, "Pass more prompts, or smaller groups.")
    return tuple(ids[part == k] for k in range(len(shares)))


def _check_sizes(sizes: Sequence[float]) -> NDArray[np.float64]:
    shares = np.asarray(sizes, dtype=float).ravel()
    if len(shares) < 2 or not (shares > 0).all() or not np.isclose(shares.sum(), 1):
        msg = (
            f"'sizes' must be two or more shares above 0 that sum to 1, e.g. (0.5, 0.25, 0.25). Got {sizes!r} instead."
        )
        raise ParameterError(msg)
    return shares


def _table(prompts: Any) -> pd.DataFrame:
    """Return what was passed as a frame indexed by prompt id."""
    frame = by_prompt(prompts)
    if isinstance(frame, pd.Series):
        frame = frame.to_frame("prompt")
    if not isinstance(frame, pd.DataFrame):
        frame = pd.DataFrame(index=pd.Index(frame, name=getattr(frame, "name", None)))
    if not len(frame):
        reject("prompts", "got none.", "Pass at least one for each part.")
    return frame


def _groups(table: pd.DataFrame, groups: pd.Series | str | None) -> NDArray[np.intp]:
    """Return the number of each prompt's group: joined by `groups`, and by having the same text."""
    links = []
    if groups is not None:
        links.append(_codes(table, groups, "groups"))
    if "prompt" in table:
        links.append(pd.factorize(table["prompt"].map(_bare))[0])
    if not links:
        return np.arange(len(table))
    n = len(table)
    rows, columns, start = [], [], n
    for codes in links:
        known = codes >= 0
        rows.append(np.flatnonzero(known))
        columns.append(codes[known] + start)
        start += int(codes.max(initial=-1)) + 1
    row, column = np.concatenate(rows), np.concatenate(columns)
    graph = sparse.coo_array((np.ones(len(row), dtype=bool), (row, column)), shape=(start, start))
    return connected_components(graph, directed=False)[1][:n]


def _bare(text: Any) -> Any:
    return " ".join(text.split()) if isinstance(text, str) else None


def _codes(table: pd.DataFrame, labels: Any, name: str) -> NDArray[np.intp]:
    """Return the number of each prompt's label in `table`, labels given as a column or as prompt_id -> label."""
    if isinstance(labels, str):
        if labels not in table:
            reject(
                f"'{name}'",
                f"{labels!r} is no column of the prompts; they have {shown(table.columns, 12)}.",
                "Name one.",
            )
        labels = table[labels]
    elif not isinstance(labels, pd.Series):
        msg = f"'{name}' must be a Series (prompt_id -> label) or the name of a column. Got {type(labels).__name__}."
        raise TypeError(msg)
    absent = table.index.difference(labels.index)
    if len(absent) or not labels.index.is_unique:
        wrong = f"has no label for {shown(absent)}." if len(absent) else "has a prompt_id twice."
        remedy = id_remedy(table.index, labels.index, ("prompts", f"'{name}'"), "Pass one label for each prompt.")
        reject(f"'{name}'", wrong, remedy)
    codes = pd.factorize(labels.loc[table.index])[0]
    if (codes < 0).any():
        reject(f"'{name}'", f"is empty for {shown(table.index[codes < 0])}.", "Label those prompts, or leave them out.")
    return codes


def _deal(
    group: NDArray[np.intp], stratum: NDArray[np.intp], shares: NDArray[np.float64], rng: np.random.Generator
) -> NDArray[np.intp]:
    """Deal groups to parts; return each prompt's part."""
    size = np.bincount(group)
    n_strata = int(stratum.max()) + 1
    counts = sparse.coo_array((np.ones(len(group)), (group, stratum)), shape=(len(size), n_strata)).tocsr()
    main = np.asarray(counts.argmax(axis=1)).ravel()
    order = rng.permutation(len(size))
    order = order[np.argsort(-size[order], kind="stable")]
    lacks = np.zeros((n_strata, len(shares)))  # of each stratum dealt so far, what each part should have more
    lacks_overall = np.zeros(len(shares))
    part = np.empty(len(size), dtype=np.intp)
    for one in order:
        own = lacks[main[one]]
        due = shares * size[one]
        own += due
        lacks_overall += due
        taker = int((own + lacks_overall).argmax())
        own[taker] -= size[one]
        lacks_overall[taker] -= size[one]
        part[one] = taker
    return part[group]
