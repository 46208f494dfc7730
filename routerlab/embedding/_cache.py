"""Vectors on disk: one SQLite file for each model, keyed by the sha256 of the text."""

from __future__ import annotations

import hashlib
import sqlite3
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

_CHUNK = 500  # SQLite takes at least 999 parameters in one statement
_Result = TypeVar("_Result")


def default_folder() -> Path:
    """Return the user's cache folder for embeddings, as pooch finds it on each platform.

    Examples
    --------
    >>> default_folder().name
    'embeddings'
    """
    import pooch

    return Path(pooch.os_cache("routerlab")) / "embeddings"


def text_key(text: str) -> bytes:
    """Return the key of a text, 32 bytes.

    Examples
    --------
    >>> len(text_key("Poach an egg?"))
    32
    """
    return hashlib.sha256(text.encode("utf-8")).digest()


class VectorCache:
    """Unit vectors by text key, in a file that two processes may share and a crash cannot corrupt.

    Each `write` is one transaction: a process killed in the middle leaves the batches before it.
    A file that was damaged from outside is moved aside with a warning and started again, since
    everything in it can be computed again.

    Parameters
    ----------
    path : Path
        The SQLite file; it and its folder are made when first used.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self, keys: Sequence[bytes]) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
        """Return positions in `keys` that are known, and their vectors, shape (n_known, n_features)."""
        position = {key: i for i, key in enumerate(keys)}
        rows = self._run(lambda connection: list(_select(connection, keys)))
        if not rows:
            return np.empty(0, dtype=np.intp), np.empty((0, 0), dtype=np.float32)
        width = len(rows[0][1])
        rows = [row for row in rows if len(row[1]) == width]
        vectors = np.frombuffer(b"".join(blob for _, blob in rows), dtype="<f4").reshape(len(rows), -1)
        # Every vector was stored with length 1, so a damaged one shows, and is computed again.
        sound = np.abs(np.linalg.norm(vectors, axis=1) - 1) < 1e-3
        found = np.fromiter((position[key] for key, _ in rows), dtype=np.intp, count=len(rows))
        return found[sound], vectors[sound]

    def write(self, keys: Sequence[bytes], vectors: NDArray[np.float32]) -> None:
        """Add vectors in one transaction; one that is there already is replaced."""
        rows = [(key, row.tobytes()) for key, row in zip(keys, vectors.astype("<f4"), strict=True)]
        self._run(lambda connection: connection.executemany("INSERT OR REPLACE INTO vectors VALUES (?, ?)", rows))

    def _run(self, action: Callable[[sqlite3.Connection], _Result]) -> _Result:
        try:
            with self._connection() as connection:
                return action(connection)
        except sqlite3.OperationalError as error:
            msg = (
                f"The embedding cache {self.path} cannot be used: {error}. "
                "Pass SentenceEmbedder(cache_dir=...) a folder that you may write to, or cache=False."
            )
            raise OSError(msg) from error
        except sqlite3.DatabaseError as error:
            aside = self.path.with_suffix(".damaged")
            self.path.replace(aside)
            warnings.warn(
                f"The embedding cache {self.path} is damaged ({error}): moved to {aside.name} and started again.",
                stacklevel=4,
            )
            with self._connection() as connection:
                return action(connection)

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        """Open the file for one transaction; none stays open, so estimators pickle and fork freely."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise sqlite3.OperationalError(str(error)) from error
        with closing(sqlite3.connect(self.path, timeout=60)) as connection, connection:
            connection.execute("CREATE TABLE IF NOT EXISTS vectors (key BLOB PRIMARY KEY, vector BLOB NOT NULL)")
            yield connection


def _select(connection: sqlite3.Connection, keys: Sequence[bytes]) -> Iterator[tuple[bytes, bytes]]:
    for start in range(0, len(keys), _CHUNK):
        chunk = keys[start : start + _CHUNK]
        marks = ",".join("?" * len(chunk))
        yield from connection.execute(f"SELECT key, vector FROM vectors WHERE key IN ({marks})", chunk)
