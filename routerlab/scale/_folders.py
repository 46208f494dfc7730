"""Folders of Parquet files: found, compared, and read one partition at a time."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

import routerlab
from routerlab.exceptions import ParameterError, PartitionError, TableError
from routerlab.schema import (
    Outcomes,
    check_aligned,
    check_matrix,
    kind_of,
    provenance_of,
    refuse_parameter,
    reject,
    shown,
    spread_prices,
)

ID = "prompt_id"
STAMP = b"routerlab"  # key of what routerlab writes into a file's schema
_ENDINGS = (".parquet", ".parq", ".pq")
_DATA = {*_ENDINGS, ".csv", ".tsv", ".jsonl", ".ndjson", ".arrow", ".feather", ".orc", ".avro"}
_NUMBER = r"(u?int(8|16|32|64)|halffloat|float|double|decimal\d*\(.*\))"
_KINDS = {  # of columns, with what to do about another
    "numbers": (rf"{_NUMBER}|bool", "Leave out what is not a model, and write numbers."),
    "true or false": (rf"{_NUMBER}|bool", "Write frame[...].astype(bool)."),
    "text or numbers": (r"(?!.*(list|struct|map|union)).*", "Write one text or number in each row."),
    "lists of numbers": (rf".*list.*<\w+: {_NUMBER}( not null)?>(\[\d+\])?", "Write it with embed_parquet."),
}
# Raise a number when a step comes to other results from the same files: what an older version wrote is made again.
_VERSIONS = {"ids": 1, "embed": 1, "route": 1, "sweep": 1, "savings": 1, "steps": 1, "grouped": 1, "merged": 1}


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
    """One file of a folder: where it is, its name there, its rows, its columns besides ids, and what tells changes."""

    path: str
    name: str
    n_rows: int
    columns: tuple[str, ...]
    mark: tuple[str, int, int, str]


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


def path_of(value: Any, what: str, expected: str) -> Path:
    """Return a parameter as a path, ``~`` written out."""
    if not isinstance(value, (str, Path)):
        refuse_parameter(what, expected, value)
    try:
        return Path(value).expanduser()
    except RuntimeError as error:
        reject(f"'{what}'", f"{str(value)!r} cannot be found ({error}).", "Write the path in full.", ParameterError)


def files_in(folder: Path, above: tuple[Path, ...] = ()) -> Iterator[Path]:
    """Yield the files of a folder and its subfolders, linked ones as well, without what starts with ``_`` or ``.``."""
    real = folder.resolve()
    if real in above:
        return  # a link to a folder that holds it: its files are those already seen
    for path in sorted(folder.iterdir()):
        if path.name.startswith(("_", ".")):
            continue
        if path.is_dir():
            yield from files_in(path, (*above, real))
        else:
            yield path


def open_folder(path: Any, what: str, needed: Mapping[str, str] | None = None, remedy: str = "") -> Folder:
    """Find the files of a folder and compare their schemas, which are read from their ends: no row is read.

    Parameters
    ----------
    path : str or Path
        A folder of ``*.parquet`` (or ``*.pq``, ``*.parq``) files, of subfolders as well; what starts with ``_`` or
        ``.`` is left out. Or a file.
    what : str
        The parameter that names it.
    needed : mapping of str to str, optional
        Columns that must be there besides ``prompt_id``, and what they hold.
    remedy : str
        What to do where one of them is absent.
    """
    root, needed = path_of(path, what, "the path of a folder of Parquet files"), needed or {}
    if not root.exists():
        reject(f"'{what}'", f"there is no folder {str(root)!r}.", "Check the path; workers must see it as well.")
    files = [root] if root.is_file() else _parquet_files(root, what)
    parts, first, stamp, notes = [], None, {}, []
    for file in files:
        name = file.name if root.is_file() else file.relative_to(root).as_posix()
        columns, index, n_rows, metadata, digest = _footer(file, what)
        if first is None:
            _check_columns(file, what, columns, needed, remedy)
        # An index that pandas wrote besides the ids tells rows apart: it is neither a model nor a feature.
        columns = {name: kind for name, kind in columns.items() if name not in index or name in (ID, *needed)}
        if first is None:
            first, stamp = columns, _stamp(metadata)
        elif columns != first:
            _refuse_schema(file, files[0], what, columns, first)
        if not n_rows:
            reject(f"'{what}', file {str(file)!r}", "has no rows.", "Remove it, or write it again.", PartitionError)
        notes.append(_noted(metadata))
        mark = (str(file.resolve()), file.stat().st_size, file.stat().st_mtime_ns, digest)
        parts.append(Part(str(file), name, n_rows, tuple(column for column in columns if column != ID), mark))
    folder = Folder(root, what, tuple(parts), first or {}, stamp, provenance_of(*notes))
    check_kinds(folder, {ID: "text or numbers", **needed})
    return folder


def _parquet_files(root: Path, what: str) -> list[Path]:
    """Find the Parquet files of a folder; other data in it is refused, which would be left out unseen."""
    try:
        files = list(files_in(root))
        found = [file for file in files if file.suffix.lower() in _ENDINGS]
        others = [file for file in files if file.suffix.lower() not in _ENDINGS and holds_data(file)]
    except OSError as error:
        reject(f"'{what}'", f"folder {str(root)!r} cannot be read ({error}).", "Check who may read it.", PartitionError)
    odd = f"{shown([file.relative_to(root).as_posix() for file in others], 2)}"
    if not found:
        but = f"; there is {odd}" if others else ""
        wrong = f"folder {str(root)!r} has no *.parquet file{but}."
        reject(f"'{what}'", wrong, "Write it with frame.to_parquet(...).")
    if others:
        wrong = f"folder {str(root)!r} holds {odd} besides *.parquet files, which would be left out."
        reject(f"'{what}'", wrong, "Rename it to *.parquet if it is Parquet, or move it elsewhere.", PartitionError)
    return sorted(found)


def holds_data(file: Path) -> bool:
    """Say whether a file is Parquet, or its name is that of data."""
    if file.suffix == ".unfinished" or not (file.is_file() or file.is_symlink()):  # begun by a worker; a pipe
        return False
    if _DATA & {suffix.lower() for suffix in file.suffixes}:
        return True
    with file.open("rb") as opened:
        return opened.read(4) == b"PAR1"


def check_kinds(folder: Folder, kinds: Mapping[str, str]) -> None:
    """Insist that columns, where they are there, hold what they must, as their types say."""
    for name, kind in kinds.items():
        of = folder.columns.get(name)
        pattern, remedy = _KINDS[kind]
        if of is not None and not re.fullmatch(pattern, of):
            where, wrong = f"'{folder.what}', file {folder.parts[0].path!r}", f"column {name!r} is of type {of}, "
            reject(where, f"{wrong}expected {kind}.", remedy, PartitionError)


def _footer(file: Path, what: str) -> tuple[dict[str, str], set[str], int, dict[bytes, bytes], str]:
    """Read a file's columns with their types, those that are pandas' index, its rows, its notes, and a digest."""
    pa = arrow()
    try:
        with pa.parquet.ParquetFile(file) as opened, file.open("rb") as raw:
            schema = opened.schema_arrow
            columns = {field.name: _kind(field.type) for field in schema}
            if len(columns) < len(schema):
                again = pd.Index(schema.names)
                wrong = f"has two columns named {shown(again[again.duplicated()].unique())}."
                reject(f"'{what}', file {str(file)!r}", wrong, "Keep one of them.", PartitionError)
            metadata = schema.metadata or {}
            written = json.loads(metadata.get(b"pandas", b"{}")).get("index_columns", [])
            index = {name for name in written if isinstance(name, str)}
            raw.seek(-8 - opened.metadata.serialized_size, 2)
            digest = hashlib.sha256(raw.read()).hexdigest()
            return columns, index, opened.metadata.num_rows, metadata, digest
    except (pa.ArrowException, OSError) as error:
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


def _check_columns(file: Path, what: str, columns: dict[str, str], needed: Mapping[str, str], remedy: str) -> None:
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


def mark_of(step: str, *what: Any) -> str:
    """Fingerprint of a step, its files and parameters: a result that carries it need not be computed again."""
    made = [routerlab.__version__, step, _VERSIONS[step], *what]
    return hashlib.sha256(json.dumps(made, default=str, sort_keys=True).encode()).hexdigest()[:32]


def plain_ids(column: Any, part: Part, name: str = ID, remedy: str = "Name every prompt.") -> Any:
    """Return ids, or names of groups, as one Arrow array of numbers or text without empty ones."""
    pa = arrow()
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    empty = np.flatnonzero(pa.compute.is_null(column, nan_is_null=True).to_numpy())
    if len(empty):
        reject(f"file {part.path!r}, column {name!r}", f"is empty in row {empty[0]}.", remedy, PartitionError)
    if _kind(column.type) == "text":
        column = column.cast(pa.large_string())
    return column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)


def read_table(part: Part, columns: Sequence[str] | None = None) -> tuple[Any, Any]:
    """Read a partition's ids, and its columns as an Arrow table."""
    pa = arrow()
    columns = part.columns if columns is None else columns
    try:
        table = pa.parquet.read_table(part.path, columns=list(dict.fromkeys([ID, *columns])), partitioning=None)
    except (pa.ArrowException, OSError) as error:
        reject(f"file {part.path!r}", f"cannot be read ({error}).", "Write it again, and run again.", PartitionError)
    return plain_ids(table[ID], part), table.select(columns)


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
    like: Part,
    ids: Any,
    quality: Part,
    cost: Part | dict[str, float],
    models: Sequence[str] | None = None,
    cells: NDArray[np.bool_] | None = None,
) -> tuple[Outcomes, pd.Index]:
    """Read and check the outcomes of a partition's prompts, in the order of `ids`.

    Given `models` and `cells`, only those matter, and they may be empty.
    """
    frames = {name: _frame(part, ids, like, models) for name, part in (("quality", quality), ("cost", cost))}

    def check(index: Any = None) -> Outcomes:
        both: list[Any] = []
        for frame in frames.values():
            if isinstance(frame, pd.DataFrame):
                kept = frame if cells is None else frame.where(cells, 0.0)
                both.append(kept if index is None else kept.set_axis(index))
            else:
                both.append(frame)
        return check_aligned(*both, missing=cells is not None)

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


def _frame(part: Part | dict[str, float], ids: Any, like: Part, models: Sequence[str] | None) -> Any:
    if isinstance(part, dict):
        return part if models is None else {name: part[name] for name in models}
    found, table = read_table(part, models)
    place = positions(found, ids, part, like)
    types = arrow().types
    columns = {
        name: column.cast("double") if types.is_decimal(column.type) else column
        for name, column in zip(table.column_names, table.columns, strict=True)
    }
    if all(str(column.type) == "double" for column in columns.values()):  # most are, and need no copy as a frame
        values = np.empty((len(found), len(columns)))
        for number, column in enumerate(columns.values()):
            values[:, number] = column.to_numpy()
        return pd.DataFrame(values if place is None else values[place], columns=list(columns), copy=False)
    frame = pd.DataFrame({name: column.to_numpy() for name, column in columns.items()})
    return frame if place is None else frame.iloc[place].reset_index(drop=True)


def open_outcomes(quality: Any, cost: Any, all_models: bool = True) -> tuple[Folder, Folder | dict[str, float]]:
    """Open folders of quality and cost, prompts x models (all in both); cost may be one price for each model."""
    measured = open_folder(quality, "quality")
    models = measured.parts[0].columns
    if not models:
        where = f"'quality', file {measured.parts[0].path!r}"
        reject(where, "has no column besides prompt_id.", "Write a column for each model.", PartitionError)
    check_kinds(measured, dict.fromkeys(models, "numbers"))
    if isinstance(cost, (Mapping, pd.Series)):
        prices = spread_prices(cost, pd.DataFrame(0.0, ["every prompt"], list(models)))
        row = check_matrix(prices, "cost", 0.0 if all_models else -np.inf, missing=not all_models).iloc[0]
        return measured, {str(model): float(price) for model, price in row.items()}
    if cost is None:
        reject("'cost'", "is missing.", "Pass a folder as of quality, or one price for each model.")
    spent = open_folder(cost, "cost")
    check_kinds(spent, dict.fromkeys(spent.parts[0].columns, "numbers"))
    check_same_parts(measured, spent)
    odd = sorted(set(models) ^ set(spent.parts[0].columns))
    if odd and all_models:
        wrong = f"model {shown(odd)} has a column in {str(measured.root)!r} or {str(spent.root)!r}, and not in both."
        reject("'quality' and 'cost'", wrong, "Write a column for each model into both.", PartitionError)
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
