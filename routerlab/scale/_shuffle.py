"""Rows brought together by a key that several partitions may share: ids seen twice, groups."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from routerlab.exceptions import PartitionError
from routerlab.scale._folders import (
    Folder,
    Part,
    check_same_parts,
    index_of,
    mark_of,
    open_folder,
    plain_ids,
    positions,
    read_table,
)
from routerlab.scale._work import Runner, read_batch, run_kept, stamp_of, write_batches
from routerlab.schema import reject, shown

ROWS_PER_BUCKET = 4_000_000
_COMPARED = "_ids.arrow"


def hashed(values: Any) -> NDArray[np.uint64]:
    """Hash Arrow ids or group names, the same on every machine."""
    array = values.to_numpy(zero_copy_only=False)
    found: NDArray[np.uint64] = pd.util.hash_array(array, categorize=False)
    return found


def into_buckets(
    path: Path, mark: str, key: NDArray[np.uint64], columns: dict[str, Any], n_buckets: int, **stamp: Any
) -> None:
    """Write rows in batches by bucket of their key."""
    bucket = (key % np.uint64(n_buckets)).astype(np.intp)
    order = np.argsort(bucket, kind="stable")
    ends = np.cumsum(np.bincount(bucket, minlength=n_buckets)).tolist()
    rows = {"key": key, **columns}
    write_batches(path, {name: value[order] for name, value in rows.items()}, ends, {"mark": mark, **stamp})


def from_buckets(paths: list[str], number: int) -> dict[str, NDArray[Any]]:
    """Read one bucket of all partitions; ``part`` says where each row comes from."""
    batches = [read_batch(path, number) for path in paths]
    rows = {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}
    rows["part"] = np.repeat(np.arange(len(batches)), [len(batch["key"]) for batch in batches])
    return rows


def check_ids(folder: Folder, work: Path, runner: Runner) -> None:
    """Refuse a prompt id that stands in two files, or twice in one. Hashes are compared, bucket by bucket."""
    if stamp_of(folder.root / _COMPARED).get("mark") == _mark_of_all(folder):
        return
    n_buckets = 1 + folder.n_rows // ROWS_PER_BUCKET
    tasks = [
        (work / f"ids-{number:05d}.arrow", mark_of("ids", part.mark, n_buckets), (part, n_buckets))
        for number, part in enumerate(folder.parts)
    ]
    run_kept(runner, _hash_ids, tasks, "Reading prompt ids")
    paths = [str(path) for path, *_ in tasks]
    found = runner.map(_seen_twice, [(paths, number) for number in range(n_buckets)], "Comparing prompt ids")
    _name_those_seen_twice(folder, [pair for pairs in found for pair in pairs])


def note_compared(folder: Folder) -> None:
    """Note in a folder of results that the ids of these very files were compared."""
    write_batches(folder.root / _COMPARED, {"unique": [True]}, [1], {"mark": _mark_of_all(folder)})


def _mark_of_all(folder: Folder) -> str:
    return mark_of("ids", [part.mark for part in folder.parts])


def _hash_ids(path: Path, mark: str, part: Part, n_buckets: int) -> None:
    into_buckets(path, mark, hashed(read_table(part, [])[0]), {}, n_buckets)


def _seen_twice(paths: list[str], number: int) -> list[tuple[int, int, int]]:
    """Return hashes that came twice, and the two partitions that they came from."""
    rows = from_buckets(paths, number)
    order = np.argsort(rows["key"], kind="stable")
    key, part = rows["key"][order], rows["part"][order]
    again = np.flatnonzero(key[1:] == key[:-1])[:1000]
    return [(int(key[i]), int(part[i]), int(part[i + 1])) for i in again]


def _name_those_seen_twice(folder: Folder, pairs: list[tuple[int, int, int]]) -> None:
    for first, second in sorted({(a, b) for _, a, b in pairs}):
        parts = folder.parts[first], folder.parts[second]
        here, there = (index_of(read_table(part, [])[0]) for part in parts)
        both = here[here.duplicated()] if first == second else here.intersection(there)
        if not len(both):
            continue  # different ids of one hash
        what = f"'{folder.what}', files {parts[0].path!r} and {parts[1].path!r}"
        wrong = f"prompt_id {shown(both.unique())} is in both."
        if first == second:
            what, wrong = f"'{folder.what}', file {parts[0].path!r}", f"prompt_id {shown(both.unique())} appears twice."
        reject(what, wrong, "Keep one row for each prompt, or number copies so that ids differ.", PartitionError)


def open_groups(groups: Any, like: Folder) -> tuple[Folder, str]:
    """Open the folder that says which prompts are not independent, and name its column."""
    if not isinstance(groups, tuple) or len(groups) != 2 or not isinstance(groups[1], str):
        reject("'groups'", f"is {groups!r}.", "Pass a folder and its column: ('prompts/', 'conversation').")
    opened = open_folder(groups[0], "groups", {groups[1]: "text or numbers"}, "Name the column that holds the groups.")
    check_same_parts(like, opened)
    return opened, groups[1]


def read_groups(part: Part, column: str, ids: Any, like: Part) -> NDArray[np.uint64]:
    """Read the group of each prompt, as a hash."""
    found, table = read_table(part, [column])
    keys = hashed(plain_ids(table[column], part, column, "Give every prompt a group; a group of one is fine."))
    place = positions(found, ids, part, like)
    return keys if place is None else keys[place]
