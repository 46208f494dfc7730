"""Rows brought together by a key that several partitions may share: ids seen twice, groups."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from routerlab.exceptions import PartitionError
from routerlab.scale._folders import ID, Folder, Part, index_of, mark_of, naming, read_ids, read_table
from routerlab.scale._work import Runner, read_batch, run_kept, write_batches
from routerlab.schema import reject, shown

ROWS_PER_BUCKET = 4_000_000


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
    marks = [part.mark for part in folder.parts]
    if folder.stamp.get("n_parts") and stamped_unique(folder):
        return
    n_buckets = 1 + folder.n_rows // ROWS_PER_BUCKET
    tasks = [
        (work / f"ids-{number:05d}.arrow", mark_of("ids", part.mark, n_buckets), (part, n_buckets))
        for number, part in enumerate(folder.parts)
    ]
    run_kept(runner, _hash_ids, tasks, "Reading prompt ids")
    paths = [str(path) for path, *_ in tasks]
    done = work / "ids-checked.arrow"
    found = runner.map(_seen_twice, [(paths, number) for number in range(n_buckets)], "Comparing prompt ids")
    _name_those_seen_twice(folder, [pair for pairs in found for pair in pairs])
    write_batches(done, {"unique": [True]}, [1], {"mark": mark_of(marks)})


def stamped_unique(folder: Folder) -> bool:
    """Whether routerlab wrote these very files after it had compared their ids."""
    from routerlab.scale._work import stamp_of

    return stamp_of(folder.root / "_ids.arrow").get("mark") == mark_of([part.mark for part in folder.parts])


def stamp_unique(folder: Folder) -> None:
    """Note that the ids of these files were compared."""
    stamp = {"mark": mark_of([part.mark for part in folder.parts])}
    write_batches(folder.root / "_ids.arrow", {"unique": [True]}, [1], stamp)


def _hash_ids(path: Path, mark: str, part: Part, n_buckets: int) -> None:
    into_buckets(path, mark, hashed(read_ids(part)), {}, n_buckets)


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
        here, there = (index_of(read_ids(part)) for part in parts)
        both = here[here.duplicated()] if first == second else here.intersection(there)
        if not len(both):
            continue  # different ids of one hash
        what = f"'{folder.what}', files {parts[0].path!r} and {parts[1].path!r}"
        wrong = f"prompt_id {shown(both.unique())} is in both."
        if first == second:
            what, wrong = f"'{folder.what}', file {parts[0].path!r}", f"prompt_id {shown(both.unique())} appears twice."
        reject(what, wrong, "Keep one row for each prompt, or number copies so that ids differ.", PartitionError)


def read_groups(part: Part, column: str, ids: Any, like: Part) -> NDArray[np.uint64]:
    """Read the group of each prompt, as a hash."""
    from routerlab.scale._folders import positions

    found, table = read_table(part, [column])
    values = table[column]
    if values.null_count:
        odd = index_of(found)[values.is_null().to_numpy()]
        wrong = f"says nothing of prompt_id {shown(odd)}."
        remedy = "Give every prompt a group, e.g. its conversation; a group of one is fine."
        reject(f"file {part.path!r}, column {column!r}", wrong, remedy, PartitionError)
    place = positions(found, ids, part, like)
    keys = naming(hashed, part, _text_or_number(values))
    return keys if place is None else keys[place]


def _text_or_number(values: Any) -> Any:
    from routerlab.scale._folders import _plain_ids

    return _plain_ids(values, Part("", ID, 0, ("", 0, 0)))
