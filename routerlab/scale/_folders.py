"""Folders of Parquet files: found, compared, and read one partition at a time."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from routerlab.exceptions import PartitionError, TableError
from routerlab.schema import Outcomes, check_aligned, kind_of, provenance_of, refuse_parameter, reject, shown

ID = "prompt_id"
STAMP = b"routerlab"  # key of what routerlab writes into a file's schema


def arrow() -> Any:
    """Import pyarrow, or say which extra brings it."""
    try:
        import pyarrow.compute
        import pyarrow.parquet
    except ImportError as error:
        msg = "routerlab.scale needs pyarrow, which is not installed. Run: pip install 'routerlab[scale]'."
        raise ImportError(msg) from error
    return pyarrow


@dataclass(frozen=True)
class Part:
    """One file of a folder: where it is, its name there, its rows, and what tells whether it was changed."""

    path: str
    name: str
    n_rows: int
    mark: tuple[str, int, int]


@dataclass(frozen=True)
class Folder:
    """A folder of Parquet files with one schema.

    Attributes
    ----------
    what : str
        The parameter that names it, for messages.
    parts : tuple of Part
        In order of their names.
    columns : dict of str to str
        Type of each column.
    stamp : dict
        What routerlab wrote into the first file's schema.
    provenance : str or None
        Of the files' tables, joined where they differ.
    """

    root: Path
    what: str
    parts: tuple[Part, ...]
    columns: dict[str, str]
    stamp: dict[str, Any]
    provenance: str | None

    @property
    def n_rows(self) -> int:
        """Of all files."""
        return sum(part.n_rows for part in self.parts)


def open_folder(path: Any, what: str, needed: Sequence[str] = (), remedy: str = "") -> Folder:
    """Find the files of a folder and compare their schemas, which are read from their ends: no row is read.

    Parameters
    ----------
    path : str or Path
        A folder of ``*.parquet`` files, of subfolders as well; what starts with ``_`` or ``.`` is left out. Or a file.
    what : str
        The parameter that names it.
    needed : sequence of str
        Columns that must be there besides ``prompt_id``.
    remedy : str
        What to do where one of them is absent.
    """
    if not isinstance(path, (str, Path)):
        refuse_parameter(what, "the path of a folder of Parquet files", path)
    root = Path(path)
    if not root.exists():
        reject(f"'{what}'", f"there is no folder {str(root)!r}.", "Check the path; workers must see it as well.")
    files = [root] if root.is_file() else sorted(root.rglob("*.parquet"))
    files = [file for file in files if not any(p.startswith(("_", ".")) for p in file.relative_to(root).parts)]
    if not files:
        reject(f"'{what}'", f"folder {str(root)!r} has no *.parquet file.", "Write it with frame.to_parquet(...).")
    parts, first, stamp, notes = [], None, {}, []
    for file in files:
        name = file.name if root.is_file() else file.relative_to(root).as_posix()
        columns, n_rows, metadata = _footer(file, what)
        if first is None:
            first, stamp = columns, _stamp(metadata)
            _check_columns(file, what, columns, needed, remedy)
        elif columns != first:
            _refuse_schema(file, files[0], what, columns, first)
        if not n_rows:
            reject(f"'{what}', file {str(file)!r}", "has no rows.", "Remove it, or write it again.", PartitionError)
        notes.append(_noted(metadata))
        parts.append(Part(str(file), name, n_rows, (name, file.stat().st_size, file.stat().st_mtime_ns)))
    return Folder(root, what, tuple(parts), first or {}, stamp, provenance_of(*notes))


def _footer(file: Path, what: str) -> tuple[dict[str, str], int, dict[bytes, bytes]]:
    pa = arrow()
    try:
        with pa.parquet.ParquetFile(file) as opened:
            schema = opened.schema_arrow
            columns = {field.name: _kind(field.type) for field in schema}
            if len(columns) < len(schema):
                again = pd.Index(schema.names)
                wrong = f"has two columns named {shown(again[again.duplicated()].unique())}."
                reject(f"'{what}', file {str(file)!r}", wrong, "Keep one of them.", PartitionError)
            return columns, opened.metadata.num_rows, schema.metadata or {}
    except (pa.ArrowInvalid, OSError) as error:
        wrong = f"cannot be read as Parquet ({error})."
        reject(f"'{what}', file {str(file)!r}", wrong, "Write it again, or remove it.", PartitionError)


def _kind(of: Any) -> str:
    """Name a column's type; the ways in which Arrow holds text are one."""
    types = arrow().types
    inner = of.value_type if types.is_dictionary(of) else of
    return "text" if types.is_string(inner) or types.is_large_string(inner) or str(inner) == "string_view" else str(of)


def _stamp(metadata: dict[bytes, bytes]) -> dict[str, Any]:
    return json.loads(metadata[STAMP]) if STAMP in metadata else {}


def _noted(metadata: dict[bytes, bytes]) -> pd.DataFrame:
    """Return an empty frame with what a file notes of its provenance."""
    frame = pd.DataFrame()
    frame.attrs = json.loads(metadata.get(b"PANDAS_ATTRS", b"{}"))
    frame.attrs |= {"provenance": note} if (note := _stamp(metadata).get("provenance")) else {}
    return frame


def _check_columns(file: Path, what: str, columns: dict[str, str], needed: Sequence[str], remedy: str) -> None:
    where = f"'{what}', file {str(file)!r}"
    if ID not in columns:
        wrong = f"has no column {ID!r}; there are {shown(columns)}."
        reject(where, wrong, "Write it with the ids in a column: frame.reset_index(names='prompt_id').", PartitionError)
    absent = [name for name in needed if name not in columns]
    if absent:
        reject(where, f"has no column {shown(absent)}; there are {shown(columns)}.", remedy, PartitionError)


def _refuse_schema(file: Path, first: Path, what: str, columns: dict[str, str], expected: dict[str, str]) -> None:
    where, like = f"'{what}', file {str(file)!r}", f"those before it, from {first.name!r} on"
    odd = [name for name in {**expected, **columns} if (name in columns) != (name in expected)]
    if odd:
        name = odd[0]
        wrong = f"column {name!r} is " + ("here and not in " if name in columns else "not here, and it is in ") + like
        reject(where, f"{wrong} ({len(odd)} such columns).", "Write all files with the same columns.", PartitionError)
    name = next(name for name in columns if columns[name] != expected[name])
    wrong = f"column {name!r} is of type {columns[name]}, and {expected[name]} in {like}."
    remedy = f"Write it again with frame[{name!r}].astype(...), one type in all files."
    reject(where, wrong, remedy, PartitionError)


def check_same_parts(*folders: Folder) -> None:
    """Insist that folders hold files of the same names: a file's prompts stand in the files of its name."""
    first = folders[0]
    names = [part.name for part in first.parts]
    for other in folders[1:]:
        theirs = [part.name for part in other.parts]
        if len(first.parts) == len(other.parts) == 1 or theirs == names:
            continue
        odd = sorted(set(names) ^ set(theirs))
        here, there = (first, other) if odd[0] in names else (other, first)
        wrong = f"file {odd[0]!r} is in {str(here.root)!r} and not in {str(there.root)!r} ({len(odd)} such files)."
        remedy = "Write both with the same partitions: a prompt's rows stand in files of the same name."
        reject(f"'{first.what}' and '{other.what}'", wrong, remedy, PartitionError)


def mark_of(*what: Any) -> str:
    """Fingerprint of files and parameters: a result that carries it need not be computed again."""
    return hashlib.sha256(json.dumps(what, default=str, sort_keys=True).encode()).hexdigest()[:32]


def read_ids(part: Part) -> Any:
    """Read a partition's prompt ids, as an Arrow array of numbers or text."""
    pa = arrow()
    column = pa.parquet.read_table(part.path, columns=[ID], partitioning=None)[ID]
    return plain_ids(column, part)


def plain_ids(column: Any, part: Part, name: str = ID, remedy: str = "Name every prompt.") -> Any:
    """Return ids, or names of groups, as one Arrow array of numbers or text without empty ones."""
    pa = arrow()
    if column.null_count:
        row = int(np.flatnonzero(column.is_null().to_numpy())[0])
        reject(f"file {part.path!r}, column {name!r}", f"is empty in row {row}.", remedy, PartitionError)
    if _kind(column.type) == "text":
        column = column.cast(pa.large_string())
    return column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)


def read_table(part: Part, columns: Sequence[str] | None = None) -> tuple[Any, Any]:
    """Read a partition's ids, and its columns as an Arrow table."""
    pa = arrow()
    try:
        wanted = None if columns is None else [ID, *columns]
        table = pa.parquet.read_table(part.path, columns=wanted, partitioning=None)
    except (pa.ArrowInvalid, OSError) as error:
        reject(f"file {part.path!r}", f"cannot be read ({error}).", "Write it again, and run again.", PartitionError)
    return plain_ids(table[ID], part), table.drop_columns([ID])


def index_of(ids: Any) -> pd.Index:
    """Return Arrow ids as an Index."""
    return pd.Index(ids.to_pandas(), name=ID)


def positions(ids: Any, wanted: Any, part: Part, like: Part) -> NDArray[np.intp] | None:
    """Return where the prompts of `like` stand in `part`; None where both have one order."""
    if ids.equals(wanted):
        return None
    here, there = index_of(ids), index_of(wanted)
    where = f"file {part.path!r}"
    for index, file in ((here, part), (there, like)):
        if not index.is_unique:
            wrong = f"prompt_id {shown(index[index.duplicated()].unique())} appears twice."
            reject(f"file {file.path!r}", wrong, "Keep one row for each prompt.", PartitionError)
    odd = here.symmetric_difference(there)
    if len(odd):
        wrong = f"prompt_id {shown(odd)} is in it and not in {like.path!r}, or the other way round."
        remedy = "Write the same prompts into files of the same name, ids of one type."
        reject(where, wrong, remedy, PartitionError)
    return here.get_indexer(there)


def outcomes_of(
    like: Part, ids: Any, quality: Part, cost: Part | dict[str, float], missing: bool = False
) -> tuple[Outcomes, pd.Index]:
    """Read and check the outcomes of a partition's prompts, in the order of `ids`."""
    frames = {name: _frame(part, ids, like) for name, part in (("quality", quality), ("cost", cost))}

    def check(index: Any = None) -> Outcomes:
        both = [f.set_axis(index) if index is not None and isinstance(f, pd.DataFrame) else f for f in frames.values()]
        return check_aligned(*both, missing=missing)

    try:
        outcomes = check()
    except TableError:
        try:
            check(index_of(ids))  # names the prompts
        except TableError as error:
            files = quality.path if isinstance(cost, dict) else f"{quality.path} and {cost.path}"
            msg = f"files {files}: {error}"
            raise PartitionError(msg) from error
        raise
    return outcomes, outcomes.models


def _frame(part: Part | dict[str, float], ids: Any, like: Part) -> Any:
    if isinstance(part, dict):
        return part
    found, table = read_table(part)
    place = positions(found, ids, part, like)
    columns = dict(zip(table.column_names, table.columns, strict=True))
    if all(str(column.type) == "double" for column in columns.values()):  # most are, and need no copy as a frame
        values = np.empty((len(found), len(columns)))
        for number, column in enumerate(columns.values()):
            values[:, number] = column.to_numpy()
        return pd.DataFrame(values if place is None else values[place], columns=list(columns), copy=False)
    frame = pd.DataFrame({name: column.to_numpy() for name, column in columns.items()})
    return frame if place is None else frame.iloc[place].reset_index(drop=True)


def open_outcomes(quality: Any, cost: Any) -> tuple[Folder, Folder | dict[str, float]]:
    """Open folders of measured quality and cost, prompts x models; cost may be one price for each model."""
    numbers = {"double", "float", "int64", "int32", "int16", "int8", "uint8", "bool", "halffloat"}
    measured = open_folder(quality, "quality")
    if isinstance(cost, (dict, pd.Series)):
        spent: Any = {str(model): float(price) for model, price in dict(cost).items()}
        folders = [measured]
    else:
        if cost is None:
            reject("'cost'", "is missing.", "Pass a folder as of quality, or one price for each model.")
        spent = open_folder(cost, "cost")
        folders = [measured, spent]
        check_same_parts(measured, spent)
    for folder in folders:
        odd = [name for name, kind in folder.columns.items() if name != ID and kind not in numbers]
        if odd:
            wrong = f"column {odd[0]!r} is of type {folder.columns[odd[0]]}, expected numbers."
            remedy = "Leave out what is not a model, and write numbers."
            reject(f"'{folder.what}', file {folder.parts[0].path!r}", wrong, remedy, PartitionError)
    return measured, spent


def naming(function: Callable[..., Any], part: Part, *args: Any) -> Any:
    """Call a function of the package on a partition's rows; its errors name the file."""
    try:
        return function(*args)
    except PartitionError:
        raise
    except TableError as error:
        msg = f"file {part.path!r}: {error}"
        raise PartitionError(msg) from error


def check_text(value: Any, name: str) -> str:
    """Insist on a text, e.g. the name of a column."""
    if not isinstance(value, str):
        reject(f"'{name}'", f"expected a text, got {kind_of(value)}.", "Pass a name.")
    return value
