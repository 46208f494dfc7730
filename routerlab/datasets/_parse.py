"""Text of published files to frames and records: literally, with errors that name the file and the row."""

from __future__ import annotations

import ast
import io
import json
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from routerlab.datasets._files import PublishedFile
from routerlab.exceptions import DataFileError
from routerlab.schema import shown

REMEDY = "Compare the file with the published one: it may have been edited, or published anew in another layout."


def malformed(file: PublishedFile, wrong: str) -> DataFileError:
    """Build the error for a file that is not laid out as expected."""
    return DataFileError(f"{file.key}: {wrong}. {REMEDY}")


def csv_table(text: str, file: PublishedFile, columns: Iterable[str]) -> pd.DataFrame:
    """Parse CSV with every cell as text, so that a prompt that reads ``NA`` or ``007`` stays what it is."""
    try:
        frame = pd.read_csv(io.StringIO(text), dtype=str, keep_default_na=False)
    except (pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise malformed(file, f"expected CSV, got {error}") from error
    _require(file, columns, frame.columns, "the header")
    _enough(file, len(frame))
    return frame


def json_lines(text: str, file: PublishedFile, keys: Sequence[str]) -> list[dict[str, Any]]:
    """Parse one JSON object a line."""
    records = []
    # Not splitlines(): U+2028 and the like are legal inside a JSON string.
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            records.append(_loads(line, file, f"line {number}"))
    return _records(records, file, keys)


def json_array(text: str, file: PublishedFile, keys: Sequence[str]) -> list[dict[str, Any]]:
    """Parse one JSON array of objects."""
    records = _loads(text, file, "the file")
    if not isinstance(records, list):
        raise malformed(file, f"expected a JSON array, got {type(records).__name__}")
    return _records(records, file, keys)


def _loads(text: str, file: PublishedFile, where: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise malformed(file, f"{where} is not JSON ({error})") from error


def _records(records: list[Any], file: PublishedFile, keys: Sequence[str]) -> list[dict[str, Any]]:
    for number, record in enumerate(records, start=1):
        if not isinstance(record, dict):
            raise malformed(file, f"record {number} should be an object, got {type(record).__name__}")
        _require(file, keys, record, f"record {number}")
    _enough(file, len(records))
    return records


def require_columns(frame: pd.DataFrame, file: PublishedFile, columns: Iterable[str]) -> None:
    """Raise where a table lacks columns."""
    _require(file, columns, frame.columns, "the header")


def _require(file: PublishedFile, wanted: Iterable[str], found: Iterable[str], where: str) -> None:
    found = list(found)
    absent = [name for name in wanted if name not in found]
    if absent:
        raise malformed(file, f"{where} lacks {shown(absent)}; it has {shown(found, 12)}")


def _enough(file: PublishedFile, n_rows: int) -> None:
    if n_rows < max(file.min_rows, 1):
        raise malformed(file, f"expected at least {max(file.min_rows, 1):,} rows, got {n_rows:,}")


def numbers(cells: pd.Series, file: PublishedFile) -> pd.Series:
    """Turn a text column into floats; an empty cell is missing, other text is an error."""
    values = pd.to_numeric(cells.where(cells.str.strip() != "", np.nan), errors="coerce").astype(float)
    bad = values.isna() & (cells.str.strip() != "")
    if bad.any():
        raise malformed(
            file, f"column {cells.name!r} should hold numbers, got {shown(cells[bad])} in row {shown(cells.index[bad])}"
        )
    return values


def correctness(cells: pd.Series, file: PublishedFile) -> pd.Series:
    """Turn the texts ``True`` and ``False`` into 1.0 and 0.0; an empty cell is missing, other text is an error."""
    values = cells.map({"True": 1.0, "False": 0.0, "": np.nan}).astype(float)
    bad = values.isna() & (cells != "")
    if bad.any():
        raise malformed(file, f"column {cells.name!r} should hold True or False, got {shown(cells[bad].unique())}")
    return values


def turns(cells: pd.Series, file: PublishedFile) -> pd.Series:
    """Turn Python list literals of texts into lists, without evaluating anything."""

    def parse(row: Any, cell: str) -> list[str]:
        try:
            value = ast.literal_eval(cell)
        except (ValueError, SyntaxError, MemoryError, RecursionError) as error:
            wrong = f"column {cells.name!r}, row {row}: expected a list literal, got {cell[:60]!r}"
            raise malformed(file, wrong) from error
        if not isinstance(value, list) or not all(isinstance(turn, str) for turn in value):
            raise malformed(file, f"column {cells.name!r}, row {row}: expected a list of texts, got {cell[:60]!r}")
        return value

    return pd.Series([parse(row, cell) for row, cell in cells.items()], index=cells.index, dtype=object)
