"""Published files: which they are, where they come from, and whether what came is what was published."""

from __future__ import annotations

import csv
import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from routerlab.exceptions import AbsentFileError, DataFileError

BASE_URL = "https://raw.githubusercontent.com"


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

    Whichever it is, the content is checked against the registry, so where it came from makes no difference.

    Raises
    ------
    DataFileError
        Absent and no network; truncated, of another sha256 or encoding.
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
