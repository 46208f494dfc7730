"""Published files: which they are, where they come from, and whether what came is what was published."""

import ast
import csv
import hashlib
import io
import json
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from routerlab.exceptions import AbsentFileError, DataFileError
from routerlab.schema import shown

BASE_URL = "https://raw.githubusercontent.com"
REMEDY = "Compare the file with the published one: it may have been edited, or published again in another layout."
_Result = TypeVar("_Result")


@dataclass(frozen=True)
class PublishedFile:
    """One file of the registry, pinned to a commit.

    `sha256` and `n_bytes` are unset for the few files whose bytes we have not seen; their number of characters and
    the least number of rows are checked instead.
    """

    repository: str
    commit: str
    path: str
    sha256: str | None = None
    n_bytes: int | None = None
    n_characters: int | None = None
    min_rows: int = 0

    @property
    def key(self) -> str:
        """``<owner>/<repository>/<path>``, the layout of ``ROUTERLAB_DATA`` and of the cache."""
        return f"{self.repository}/{self.path}"

    @property
    def url(self) -> str:
        """Where the file is published."""
        return f"{BASE_URL}/{self.repository}/{self.commit}/{self.path}"

    def problem(self, content: bytes) -> str | None:
        """Say what is wrong with `content`, or None if it is what was published."""
        found = hashlib.sha256(content).hexdigest()
        if found == self.sha256:
            return None
        try:
            text = content.decode("utf-8")
        except UnicodeDecodeError as error:
            cut_inside_a_character = error.end == len(content) and "unexpected end" in error.reason
            if not cut_inside_a_character:
                byte = f"byte {content[error.start]:#04x} at position {error.start:,}"
                return f"is not UTF-8: expected UTF-8 text as published, got {byte}"
            text = content[: error.start].decode("utf-8")
        if self.n_bytes is not None and len(content) < self.n_bytes:
            return f"is truncated: expected {self.n_bytes:,} bytes, got {len(content):,}"
        if self.sha256 is not None:
            hint = "; were its line ends changed by git or an editor?" if b"\r\n" in content else ""
            return f"is not the published file: expected sha256 {self.sha256}, got {found}{hint}"
        # Our count may have been taken after a normalisation of line ends.
        lengths = (len(text), len(text.replace("\r\n", "\n")))
        if self.n_characters is not None and self.n_characters not in lengths:
            return f"has the wrong size: expected {self.n_characters:,} characters, got {len(text):,}"
        return None


@cache
def registry() -> dict[str, PublishedFile]:
    """Every file that a ``fetch_*`` function reads, by key."""
    table = resources.files(__package__).joinpath("registry.csv").read_text(encoding="utf-8")
    files = [
        PublishedFile(
            row["repository"],
            row["commit"],
            row["path"],
            row["sha256"] or None,
            int(row["bytes"]) if row["bytes"] else None,
            int(row["characters"]) if row["characters"] else None,
            int(row["min_rows"] or 0),
        )
        for row in csv.DictReader(table.splitlines())
    ]
    return {file.key: file for file in files}


def in_folder(folder: str, suffix: str) -> list[PublishedFile]:
    """Return the registered files below `folder` (``<owner>/<repository>/...``) that end in `suffix`, in order."""
    return [file for key, file in sorted(registry().items()) if key.startswith(f"{folder}/") and key.endswith(suffix)]


def read_published(files: Sequence[PublishedFile], title: str) -> list[str]:
    """Return the text of `files`: from ``ROUTERLAB_DATA``, else from the cache, else downloaded into the cache.

    Whichever it is, the content is checked against the registry, so where it came from makes no difference. A file that
    is absent with no network, truncated, or of another sha256 or encoding is a `DataFileError`.
    """
    places = [_own_copy(file) or _cached(file) for file in files]
    absent = [(file, place) for file, place in zip(files, places, strict=True) if not place.exists()]
    if absent:
        _download_all(absent, title)
    return [_read(file, place) for file, place in zip(files, places, strict=True)]


def _own_folder() -> Path | None:
    value = os.environ.get("ROUTERLAB_DATA")
    if not value:
        return None
    folder = Path(value).expanduser()
    if not folder.is_dir():
        msg = (
            f"ROUTERLAB_DATA is {value!r}, which is not a folder. Point it at a folder laid out "
            "<owner>/<repository>/<path>, or unset it to download published files."
        )
        raise DataFileError(msg)
    return folder


def _own_copy(file: PublishedFile) -> Path | None:
    folder = _own_folder()
    return folder / file.key if folder and (folder / file.key).is_file() else None


def _cached(file: PublishedFile) -> Path:
    """Place of `file` in the cache. A copy there that is not what was published is removed: it is ours."""
    import pooch

    place = Path(pooch.os_cache("routerlab")) / file.key
    if place.is_file() and file.problem(place.read_bytes()):
        place.unlink()
    return place


def _read(file: PublishedFile, place: Path) -> str:
    content = place.read_bytes()
    problem = file.problem(content)
    if problem:
        msg = f"{place} {problem}. Replace it with {file.url}, or take it out of ROUTERLAB_DATA to download it."
        raise DataFileError(msg)
    return content.decode("utf-8")


def _download_all(absent: Sequence[tuple[PublishedFile, Path]], title: str) -> None:
    from tqdm.auto import tqdm

    total = sum(file.n_bytes or file.n_characters or 0 for file, _ in absent)
    with tqdm(total=total, desc=title, unit="B", unit_scale=True) as bar:
        for file, place in absent:
            _download(file, place)
            bar.update(place.stat().st_size)


def _download(file: PublishedFile, place: Path) -> None:
    """Download `file` to a temporary name and move it to `place` once it is known to be whole."""
    import pooch

    known = f"sha256:{file.sha256}" if file.sha256 else None
    try:
        pooch.retrieve(file.url, known, fname=place.name, path=place.parent, downloader=_checked(file))
    except DataFileError:
        raise
    except (OSError, ValueError) as error:
        own = os.environ.get("ROUTERLAB_DATA")
        where = f"neither in ROUTERLAB_DATA ({own}) nor in the cache" if own else "not in the cache"
        msg = (
            f"{file.key} is {where} ({place}), and downloading {file.url} failed: {type(error).__name__}: {error}. "
            "Run this once with network, or set ROUTERLAB_DATA to a folder that holds the file as "
            "<owner>/<repository>/<path>."
        )
        raise AbsentFileError(msg) from error


def _checked(file: PublishedFile) -> Callable[[str, Any, Any], None]:
    """Return a downloader that rejects, before pooch moves it into place, what is not the published file."""
    import pooch

    def download(url: str, target: Any, pup: Any) -> None:
        pooch.HTTPDownloader()(url, target, pup)
        problem = file.problem(Path(target).read_bytes())
        if problem:
            msg = f"{url} {problem}. Try again: the download was cut short or changed on its way. Nothing was kept."
            raise DataFileError(msg)

    return download


def malformed(file: PublishedFile, wrong: str) -> DataFileError:
    """Build the error for a file that is not laid out as expected."""
    return DataFileError(f"{file.key}: {wrong}. {REMEDY}")


def csv_table(text: str, file: PublishedFile, columns: Iterable[str]) -> pd.DataFrame:
    """Parse CSV with every cell as text: a prompt that reads ``NA`` or ``007`` stays what it is."""
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


class StopNotebook(Exception):  # noqa: N818, a reader who runs a notebook did nothing wrong
    """Ends the run of a notebook's cells; shown as nothing."""


def fetch_or_stop(fetch: Callable[..., _Result], *args: Any, **kwargs: Any) -> _Result:
    """Fetch published data, or end a notebook's run with a note on what to do.

    For the first code cell of a notebook on published data. Where a file is absent and cannot be downloaded, the
    cell shows what to do, and "Run all" runs nothing below it: no traceback, and no `NameError` in every later
    cell. Outside IPython, and for a file that is there but is not what was published, errors are raised as ever.

    Parameters
    ----------
    fetch : callable
        A ``fetch_*`` function.
    *args, **kwargs
        Passed to `fetch`.

    Returns
    -------
    Dataset
        What `fetch` returns.

    Raises
    ------
    DataFileError
        Absent outside IPython; anywhere, a file that is not what was published.
    StopNotebook
        Absent, in IPython.

    Examples
    --------
    >>> fetch_or_stop(dict, a=1)
    {'a': 1}
    """
    shell = _shell()
    try:
        return fetch(*args, **kwargs)
    except AbsentFileError as error:
        if shell is None:
            raise
        _show(type(error.__cause__ or error).__name__)
        shell.set_custom_exc((StopNotebook,), _show_nothing)
        message = str(error)
    raise StopNotebook(message)


def _shell() -> Any:
    """Return the running IPython shell, or None; IPython is not imported for it."""
    module = sys.modules.get("IPython")
    return None if module is None else module.get_ipython()


def _show(cause: str) -> None:
    from IPython.display import clear_output, display

    head = "This notebook needs published data that is not here, and stops in this cell."
    steps = (
        f"The files could not be downloaded ({cause}). Run this cell once with network: it downloads and checks them. "
        "Or set the environment variable `ROUTERLAB_DATA` to a folder that holds them as "
        "`<owner>/<repository>/<path>`, and restart the kernel."
    )
    clear_output()  # the bar and the log lines of the download that failed
    display({"text/plain": f"{head}\n{steps}", "text/markdown": f"**{head}** {steps}"}, raw=True)


def _show_nothing(shell: Any, kind: Any, value: Any, traceback: Any, tb_offset: Any = None) -> list[str]:
    return []
