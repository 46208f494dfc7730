"""Every pair that a table of responses holds."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from routerlab.schema import check_prompts, check_responses, reject, shown


def dataset_id(responses: pd.DataFrame) -> str:
    """Return a name for the content of a responses table, whatever the order of its rows.

    Parameters
    ----------
    responses : DataFrame
        ``prompt_id``, ``model``, ``response``; see `routerlab.schema.check_responses`.

    Returns
    -------
    str
        16 hexadecimal digits of a SHA-256. A vote log carries it, so that votes on other responses are not mixed in.

    Examples
    --------
    >>> table = pd.DataFrame({"prompt_id": ["p", "p"], "model": ["x", "y"], "response": ["Yes", "No"]})
    >>> dataset_id(table) == dataset_id(table[::-1])
    True
    """
    digest = hashlib.sha256()
    columns = (responses["prompt_id"], responses["model"], responses["response"])
    for row in sorted(tuple(str(cell) for cell in row) for row in zip(*columns, strict=True)):
        for cell in row:
            data = cell.encode("utf-8", "surrogatepass")
            digest.update(len(data).to_bytes(8, "big") + data)
    return digest.hexdigest()[:16]


@dataclass(frozen=True)
class Candidates:
    """Every pair of different responses to the same prompt, as index arrays of shape (n_pairs,).

    Pairs are sorted by cell: a cell is one (group, first model, second model).
    """

    prompt_ids: list[Any]
    prompts: list[str]
    models: list[str]
    groups: list[Any]
    texts: NDArray[np.object_]  # (n_prompts, n_models), None where missing
    group_of: NDArray[np.intp]  # (n_prompts,)
    prompt: NDArray[np.intp]
    first: NDArray[np.intp]
    second: NDArray[np.intp]
    cell: NDArray[np.intp]
    n_missing: int
    n_identical: int
    dataset_id: str

    @property
    def n_cells(self) -> int:
        """Number of (group, first, second), whether or not a pair is in it."""
        return len(self.groups) * len(self.models) ** 2

    def __len__(self) -> int:
        return len(self.prompt)

    def find(self, prompt_id: Any, model_a: Any, model_b: Any) -> int | None:
        """Return the candidate with this prompt and these models, in either order; None if there is none."""
        row, a, b = self._rows.get(prompt_id), self._columns.get(model_a), self._columns.get(model_b)
        if row is None or a is None or b is None:
            return None
        order, keys = self._sorted_keys
        key = (row * len(self.models) + min(a, b)) * len(self.models) + max(a, b)
        k = int(np.searchsorted(keys, key))
        return int(order[k]) if k < len(keys) and keys[k] == key else None

    def first_on_left(self, candidate: int, model_left: str) -> bool:
        """Whether the candidate's first model is the one on the left."""
        return self.models[self.first[candidate]] == model_left

    def pair_id(self, candidate: int, first_on_left: bool) -> str:
        """Name a showing: the pair, and the sides."""
        models = self.models[self.first[candidate]], self.models[self.second[candidate]]
        sides = models if first_on_left else models[::-1]
        name = repr((self.dataset_id, self.prompt_ids[self.prompt[candidate]], *sides))
        return hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()

    @cached_property
    def by_pair_id(self) -> dict[str, tuple[int, bool]]:
        """Candidate and side of every possible showing. Takes a second for 100,000 pairs."""
        return {self.pair_id(k, side): (k, side) for k in range(len(self)) for side in (True, False)}

    @cached_property
    def _rows(self) -> dict[Any, int]:
        return {prompt_id: k for k, prompt_id in enumerate(self.prompt_ids)}

    @cached_property
    def _columns(self) -> dict[str, int]:
        return {model: k for k, model in enumerate(self.models)}

    @cached_property
    def _sorted_keys(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        m = len(self.models)
        keys = (self.prompt * m + self.first) * m + self.second
        order = np.argsort(keys)
        return order, keys[order]


def build_candidates(
    responses: pd.DataFrame,
    prompts: pd.DataFrame | None = None,
    by: str | pd.Series | None = None,
    pairs: pd.DataFrame | None = None,
) -> Candidates:
    """Enumerate the pairs of a responses table; missing and identical responses are left out and counted."""
    table = check_responses(responses)
    _text_or_missing(table)
    row, prompt_ids = pd.factorize(table["prompt_id"])
    col, models = pd.factorize(table["model"])
    ids = [_plain(value) for value in prompt_ids]
    texts = np.full((len(prompt_ids), len(models)), None, dtype=object)
    texts[row, col] = table["response"].where(table["response"].notna(), None).to_numpy(dtype=object)
    group, groups = _groups(prompt_ids, prompts, by)
    prompt, first, second, n_missing, n_identical = _pairs_of(texts)
    if pairs is not None:
        keep = _wanted(pairs, prompt_ids, models, prompt, first, second)
        prompt, first, second = prompt[keep], first[keep], second[keep]
    if not len(prompt):
        reject(
            "responses table",
            f"holds no pair to compare: {len(models)} models, {len(prompt_ids)} prompts, {n_missing} pairs lack a "
            f"response, {n_identical} are identical.",
            "Give at least two models different responses to one prompt.",
        )
    cell = (group[prompt] * len(models) + first) * len(models) + second
    order = np.argsort(cell, kind="stable")
    return Candidates(
        prompt_ids=ids,
        prompts=_prompt_texts(prompt_ids, prompts),
        models=[str(m) for m in models],
        groups=groups,
        texts=texts,
        group_of=group,
        prompt=prompt[order],
        first=first[order],
        second=second[order],
        cell=cell[order],
        n_missing=n_missing,
        n_identical=n_identical,
        dataset_id=dataset_id(table),
    )


def _text_or_missing(table: pd.DataFrame) -> None:
    text = np.array([isinstance(response, str) for response in table["response"]], dtype=bool)
    bad = table["response"].notna().to_numpy() & ~text
    if bad.any():
        reject(
            "responses table, column 'response'",
            f"is not text for {shown(table.loc[bad, 'prompt_id'])} (got {shown(table.loc[bad, 'response'])}).",
            "Join the text of its parts, or empty those cells.",
        )


def _plain(value: Any) -> Any:
    """Turn a prompt_id into what JSON gives back unchanged."""
    value = value.item() if isinstance(value, np.generic) else value
    if not isinstance(value, str | int):
        reject(
            "responses table, column 'prompt_id'",
            f"got {value!r} of type {type(value).__name__}, expected text or whole numbers.",
            "Convert it with .map(str).",
        )
    return value


def _pairs_of(texts: NDArray[np.object_]) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp], int, int]:
    present = ~pd.isna(texts)
    rows, firsts, seconds, n_missing, n_identical = [], [], [], 0, 0
    for i, j in zip(*np.triu_indices(texts.shape[1], 1), strict=True):
        both = present[:, i] & present[:, j]
        same = both & (texts[:, i] == texts[:, j])
        keep = np.nonzero(both & ~same)[0]
        rows.append(keep)
        firsts.append(np.full(len(keep), i))
        seconds.append(np.full(len(keep), j))
        n_missing += int((~both).sum())
        n_identical += int(same.sum())
    if not rows:
        empty = np.empty(0, dtype=np.intp)
        return empty, empty, empty, 0, 0
    return np.concatenate(rows), np.concatenate(firsts), np.concatenate(seconds), n_missing, n_identical


def _groups(prompt_ids: Any, prompts: pd.DataFrame | None, by: str | pd.Series | None) -> tuple[Any, list[Any]]:
    if by is None:
        return np.zeros(len(prompt_ids), dtype=np.intp), [None]
    if isinstance(by, str):
        if prompts is None or by not in prompts:
            reject("'by'", f"{by!r} is no column of the prompts table.", "Pass prompts that have it, or a Series.")
        by = check_prompts(prompts)[by]
    labels = pd.Series(by).reindex(pd.Index(prompt_ids))
    if labels.isna().any():
        reject(
            "'by'",
            f"has no group for prompt {shown(labels.index[labels.isna()])}.",
            "Give every prompt_id of the responses a group, or keep only responses to labelled prompts.",
        )
    codes, values = pd.factorize(labels)
    plain = (v.item() if isinstance(v, np.generic) else v for v in values)
    return codes, [v if isinstance(v, str | int | float) else str(v) for v in plain]  # a record holds it as JSON


def _prompt_texts(prompt_ids: Any, prompts: pd.DataFrame | None) -> list[str]:
    if prompts is None:
        return [""] * len(prompt_ids)
    texts = check_prompts(prompts)["prompt"].reindex(pd.Index(prompt_ids))
    if texts.isna().any():
        reject(
            "responses table, column 'prompt_id'",
            f"{shown(texts.index[texts.isna()])} is not in the prompts table.",
            "Add those prompts, or keep responses[responses.prompt_id.isin(prompts.index)].",
        )
    return texts.tolist()


def _wanted(
    pairs: pd.DataFrame, prompt_ids: Any, models: Any, prompt: Any, first: Any, second: Any
) -> NDArray[np.bool_]:
    """Which candidates appear, in either order, among `pairs` (prompt_id, model_a, model_b)."""
    rows = pd.Index(prompt_ids).get_indexer(pd.Index(pairs["prompt_id"]))
    a = pd.Index(models).get_indexer(pd.Index(pairs["model_a"]))
    b = pd.Index(models).get_indexer(pd.Index(pairs["model_b"]))
    unknown = (rows < 0) | (a < 0) | (b < 0)
    if unknown.any():
        odd = pairs.loc[unknown, ["prompt_id", "model_a", "model_b"]].itertuples(index=False, name=None)
        reject("'pairs'", f"{shown(odd)} is not in the responses table.", "Add those responses, or drop those rows.")
    m = len(models)
    keys = (rows * m + np.minimum(a, b)) * m + np.maximum(a, b)
    return np.isin((prompt * m + first) * m + second, keys)
