"""Vectors on disk: one SQLite file for each model, keyed by the sha256 of the text."""

import functools
import hashlib
import os
import sqlite3
import warnings
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from routerlab.schema import unit_rows

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


@functools.cache
def demo_vectors(layer: int | None) -> dict[bytes, NDArray[np.float32]]:
    """Return the vectors that come with routerlab, by text key: the demo's texts, by the default model.

    ``data/build_demo.py --vectors`` makes them; they are stored as float16.
    """
    name = f"layer {layer}"
    with resources.files(__package__).joinpath("demo_vectors.npz").open("rb") as file:
        with np.load(file, allow_pickle=False) as arrays:
            if name not in arrays:
                return {}
            keys, vectors = arrays[f"keys, {name}"], unit_rows(arrays[name].astype(np.float32))
    return {key.tobytes(): vector for key, vector in zip(keys, vectors, strict=True)}


class VectorCache:
    """Unit vectors by text key, in a file that two processes may share and a crash cannot corrupt.

    Each `write` is one transaction: a process killed in the middle leaves the batches before it. A vector whose
    checksum or length is wrong is left out, and one of version 0.1.0 has no checksum. A file that was damaged from
    outside is moved aside and started again, since everything in it can be computed again. One that cannot be read or
    written is done without. Each says so in a warning. The file and its folder are made when first written; vectors
    that are `known` need no file, and go before those in it.
    """

    def __init__(self, path: Path, known: Mapping[bytes, NDArray[np.float32]] | None = None) -> None:
        self.path = path
        self._known = known or {}
        self._usable = True

    def read(self, keys: Sequence[bytes]) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
        """Return positions in `keys` that are known, and their vectors, shape (n_known, n_features)."""
        at_hand = [i for i, key in enumerate(keys) if key in self._known]
        other = [i for i, key in enumerate(keys) if key not in self._known]
        found, vectors = self._read([keys[i] for i in other])
        if not at_hand:
            return found, vectors
        stored = np.stack([self._known[keys[i]] for i in at_hand])
        if vectors.shape[1] == stored.shape[1]:
            at_hand, stored = [*at_hand, *np.array(other)[found]], np.concatenate([stored, vectors])
        return np.array(at_hand, dtype=np.intp), stored

    def _read(self, keys: Sequence[bytes]) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
        """Read what the file holds."""
        rows = []
        if keys and os.path.exists(self.path):
            rows = self._run(lambda connection: list(_select(connection, keys)), create=False) or []
        sound = [row for row in rows if _is_sound(*row)]
        widths = Counter(len(blob) for _, blob, _ in sound)
        sound = [row for row in sound if len(row[1]) == max(widths, key=widths.__getitem__)]
        vectors = np.frombuffer(b"".join(blob for _, blob, _ in sound), dtype="<f4").reshape(
            len(sound), -1 if sound else 0
        )
        # Every vector was stored with length 1: one without a checksum that is damaged shows.
        unit = np.abs(np.linalg.norm(vectors, axis=1) - 1) < 1e-3
        if n := len(rows) - int(unit.sum()):
            self._warn(f"holds {n:,} damaged vector{'s' * (n > 1)}, computed again.")
        position = {key: i for i, key in enumerate(keys)}
        found = np.fromiter((position[key] for key, _, _ in sound), dtype=np.intp, count=len(sound))
        return found[unit], vectors[unit]

    def write(self, keys: Sequence[bytes], vectors: NDArray[np.float32]) -> None:
        """Add vectors in one transaction; one that is there already is replaced."""
        blobs = [row.tobytes() for row in vectors.astype("<f4")]

        def insert(connection: sqlite3.Connection) -> None:
            connection.executemany("INSERT OR REPLACE INTO vectors VALUES (?, ?)", zip(keys, blobs, strict=True))
            sums = zip(keys, map(zlib.crc32, blobs), strict=True)
            connection.executemany("INSERT OR REPLACE INTO checksums VALUES (?, ?)", sums)

        self._run(insert, create=True)

    def _run(self, action: Callable[[sqlite3.Connection], _Result], *, create: bool) -> _Result | None:
        """Do something with the file, as far as it can be used."""
        if not self._usable:
            return None
        try:
            try:
                with self._connection(create) as connection:
                    return action(connection)
            except (sqlite3.OperationalError, OSError):
                raise
            except sqlite3.DatabaseError as error:
                aside = self.path.with_suffix(".damaged")
                self.path.replace(aside)
                self._warn(f"is damaged ({error}): moved to {aside.name} and started again.")
                with self._connection(create=True) as connection:
                    return action(connection)
        except (sqlite3.Error, OSError) as error:
            self._usable = False
            self._warn(
                f"cannot be used ({error}), so texts are encoded without it. Pass SentenceEmbedder(cache_dir=...) a "
                "folder that you may write to, or cache=False."
            )
            return None

    def _warn(self, what: str) -> None:
        warnings.warn(f"The embedding cache {self.path} {what}", stacklevel=6)

    @contextmanager
    def _connection(self, create: bool) -> Iterator[sqlite3.Connection]:
        """Open the file for one transaction; none stays open, so estimators pickle and fork freely."""
        if create:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(self.path, timeout=60)) as connection, connection:
            if create:
                connection.execute("CREATE TABLE IF NOT EXISTS vectors (key BLOB PRIMARY KEY, vector BLOB NOT NULL)")
                connection.execute("CREATE TABLE IF NOT EXISTS checksums (key BLOB PRIMARY KEY, crc32 INTEGER)")
            yield connection


def _select(connection: sqlite3.Connection, keys: Sequence[bytes]) -> Iterator[tuple[Any, Any, Any]]:
    """Yield key, vector and checksum (None if there is none) of the keys that are there."""
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
    if "vectors" not in tables:
        return
    join = "LEFT JOIN checksums USING (key)" if "checksums" in tables else ""
    columns = f"key, CAST(vector AS BLOB), {'crc32' if join else 'NULL'}"
    for start in range(0, len(keys), _CHUNK):
        chunk = keys[start : start + _CHUNK]
        marks = ",".join("?" * len(chunk))
        yield from connection.execute(f"SELECT {columns} FROM vectors {join} WHERE key IN ({marks})", chunk)


def _is_sound(_: bytes, blob: Any, checksum: Any) -> bool:
    if not isinstance(blob, bytes) or not blob or len(blob) % 4:
        return False
    return checksum is None or checksum == zlib.crc32(blob)
