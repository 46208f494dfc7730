"""Nearest neighbours by cosine similarity: the one place where neighbours are searched, exactly or by an index."""

import hashlib
import json
import math
import os
import re
import weakref
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from routerlab.exceptions import ParameterError, SavedFileError

# Bytes of similarities held at once. Larger blocks gain nothing on a CPU and cost memory.
_BLOCK_BYTES = 64 * 2**20
_RERANKED = 4 * 2**20  # candidates' bytes compared at once
_PRECISIONS = ("int8", "float16", "float32")
_N_CANDIDATES = 2  # that an index is asked for, for each neighbour
_ROWS = 50_000  # rows handed over at once


class OpenedIndex(Protocol):
    """What `nearest` needs of an index that was built for some vectors."""

    fingerprint: str

    def candidates(self, queries: NDArray[np.float32], n: int) -> NDArray[np.integer]:
        """Rows that may be each query's nearest, of shape (n_queries, at most n); negative ones are none."""
        ...


class Index(Protocol):
    """How to find neighbours: settings, which `open` turns into something that searches."""

    def open(self, train: NDArray[np.float32]) -> OpenedIndex:
        """Build the index for training vectors, or open the one that was built for the same ones."""
        ...


def nearest(
    queries: NDArray[np.float32], train: NDArray[np.float32], n_neighbors: int, *, index: OpenedIndex | None = None
) -> tuple[NDArray[np.float32], NDArray[np.intp]]:
    """Find each query's nearest training rows, exactly, or among an index's candidates.

    A plain matrix product and a partial sort are the quickest exact search on a CPU up to about a million rows, so by
    default there is no index to build or to keep in step. An index proposes several candidates for each neighbour;
    their similarities are computed exactly here, whatever precision it holds them in.

    Parameters
    ----------
    queries : ndarray of shape (n_queries, n_features)
        Unit-length rows.
    train : ndarray of shape (n_train, n_features)
        Unit-length rows.
    n_neighbors : int
        At most n_train.
    index : opened index, optional
        What ``UsearchIndex().open(train)`` or ``PgvectorIndex(...).open(train)`` gave, for the same `train`.

    Returns
    -------
    similarity : ndarray of shape (n_queries, n_neighbors)
        Cosine similarities, decreasing.
    index : ndarray of shape (n_queries, n_neighbors)
        Row numbers in `train`.

    Raises
    ------
    ParameterError
        If the index was built for other vectors.

    Examples
    --------
    >>> nearest(np.eye(2, dtype=np.float32), np.eye(2, dtype=np.float32), 1)[1].ravel()
    array([0, 1])
    """
    if index is None:
        return _exact(queries, train, n_neighbors)
    if index.fingerprint != fingerprint(train):
        _refuse_other(f"the {type(index).__name__.strip('_')} given", train, "Open it for these: index.open(train).")
    n_candidates = _N_CANDIDATES * n_neighbors
    if n_candidates >= len(train):
        return _exact(queries, train, n_neighbors)
    found = index.candidates(queries, n_candidates)
    few = (found >= 0).sum(axis=1) < n_neighbors  # an index may come back with less than it was asked for
    if found.shape[1] < n_neighbors:
        return _exact(queries, train, n_neighbors)
    similarity, rows = _rerank(queries, train, found, n_neighbors)
    if few.any():
        similarity[few], rows[few] = _exact(queries[few], train, n_neighbors)
    return similarity, rows


def _exact(
    queries: NDArray[np.float32], train: NDArray[np.float32], n_neighbors: int
) -> tuple[NDArray[np.float32], NDArray[np.intp]]:
    n_train = len(train)
    similarity = np.empty((len(queries), n_neighbors), dtype=np.float32)
    index = np.empty((len(queries), n_neighbors), dtype=np.intp)
    step = max(1, _BLOCK_BYTES // (4 * n_train))
    for start in range(0, len(queries), step):
        rows = slice(start, start + step)
        block = queries[rows] @ train.T
        top = np.argpartition(block, n_train - n_neighbors, axis=1)[:, n_train - n_neighbors :]
        similarity[rows], index[rows] = _sorted(np.take_along_axis(block, top, axis=1), top)
    return similarity, index


def _rerank(
    queries: NDArray[np.float32], train: NDArray[np.float32], found: NDArray[np.integer], n_neighbors: int
) -> tuple[NDArray[np.float32], NDArray[np.intp]]:
    """Return the nearest of the candidates by their exact similarity."""
    similarity = np.empty((len(queries), n_neighbors), dtype=np.float32)
    index = np.empty((len(queries), n_neighbors), dtype=np.intp)
    step = max(1, _RERANKED // (4 * found.shape[1] * train.shape[1]))
    for start in range(0, len(queries), step):
        rows = slice(start, start + step)
        value = np.matmul(train[found[rows]], queries[rows, :, None])[:, :, 0]
        value[found[rows] < 0] = -np.inf
        ordered = _sorted(value, found[rows].astype(np.intp))
        similarity[rows], index[rows] = (part[:, :n_neighbors] for part in ordered)
    return similarity, index


def _sorted(value: NDArray[np.float32], rows: NDArray[np.intp]) -> tuple[NDArray[np.float32], NDArray[np.intp]]:
    order = np.argsort(-value, axis=1, kind="stable")
    return np.take_along_axis(value, order, axis=1), np.take_along_axis(rows, order, axis=1)


def recall(found: NDArray[np.integer], exact: NDArray[np.integer]) -> float:
    """Share of the exact neighbours that were found: the mean over queries.

    Parameters
    ----------
    found, exact : ndarray of shape (n_queries, n_neighbors)
        Row numbers, from `nearest` with an index and without.

    Returns
    -------
    float
        Between 0 and 1.

    Examples
    --------
    >>> recall(np.array([[1, 2]]), np.array([[2, 7]]))
    0.5
    """
    both = np.sort(np.concatenate([found, exact], axis=1), axis=1)
    return float((both[:, 1:] == both[:, :-1]).sum() / exact.size)


_known: dict[int, tuple[Any, str]] = {}  # arrays that are alive, by identity: hashing a gigabyte takes a second


def fingerprint(vectors: NDArray[np.float32]) -> str:
    """Digest of vectors, their order and their shape; computed once for an array.

    Examples
    --------
    >>> fingerprint(np.eye(2, dtype=np.float32)) == fingerprint(np.eye(2, dtype=np.float32)[::-1])
    False
    """
    key = id(vectors)
    known = _known.get(key)
    if known is None or known[0]() is not vectors:
        digest = hashlib.sha256(f"{vectors.shape} {vectors.dtype.str}".encode())
        for start in range(0, len(vectors), _ROWS):
            digest.update(np.ascontiguousarray(vectors[start : start + _ROWS]).data)
        known = weakref.ref(vectors, lambda _: _known.pop(key, None)), digest.hexdigest()
        _known[key] = known
    return known[1]


def _refuse_other(what: str, train: NDArray[np.float32], remedy: str) -> None:
    shape = " x ".join(f"{size:,}" for size in train.shape)
    msg = f"{what} was built for other vectors than these {shape}: its neighbours would be of other prompts. {remedy}"
    raise ParameterError(msg)


@dataclass(frozen=True)
class UsearchIndex:
    """Approximate neighbours on one machine, by usearch's graph (HNSW): extra ``routerlab[scale]``.

    For a million training prompts and more; exact search is as quick below some ten thousand.

    Parameters
    ----------
    precision : {'int8', 'float16', 'float32'}, default 'int8'
        Of the vectors in the graph: 1, 2 or 4 bytes a number. Candidates are compared again with the exact ones.
    connectivity : int, default 32
        Edges of each vector in the graph: more find more, and take more memory.
    expansion_add : int, default 64
        Candidates looked at while building: more find more, and take longer.
    expansion_search : int, optional
        The same while searching. By default half the square root of the number of training vectors, at least 128: the
        more there are, the more must be looked at to find the same share of the nearest.
    path : str, optional
        File that keeps the graph, with ``path + '.json'`` which says what it was built for. Opened where it exists,
        written where it does not. Without it, the graph is built each time.
    threads : int, default 0
        Threads, 0 for all. With more than one, graphs of the same vectors differ slightly.

    References
    ----------
    Y. Malkov and D. Yashunin, "Efficient and robust approximate nearest neighbor search using Hierarchical Navigable
    Small World graphs", IEEE TPAMI 42(4), 2020.

    Examples
    --------
    >>> train = np.eye(200, dtype=np.float32)
    >>> index = UsearchIndex().open(train)
    >>> nearest(train[:2], train, 1, index=index)[1].ravel()
    array([0, 1])
    """

    kind: ClassVar[str] = "usearch"
    precision: str = "int8"
    connectivity: int = 32
    expansion_add: int = 64
    expansion_search: int | None = None
    path: str | None = None
    threads: int = 0

    def open(self, train: NDArray[np.float32]) -> "_OpenedUsearch":
        """Build the graph, or read the one at `path`.

        Parameters
        ----------
        train : ndarray of shape (n_train, n_features)
            Unit-length rows.

        Returns
        -------
        opened index
            For `nearest`.

        Raises
        ------
        ParameterError
            usearch is not installed, or the graph at `path` was built for other vectors or with other settings.
        SavedFileError
            The file at `path` is damaged.
        """
        if self.precision not in _PRECISIONS:
            msg = (
                f"'precision' of UsearchIndex must be one of {', '.join(_PRECISIONS)}. Got {self.precision!r} instead."
            )
            raise ParameterError(msg)
        expansion_search = self.expansion_search or max(128, math.isqrt(len(train)) // 2)
        Graph = _imported("usearch.index", "UsearchIndex", "scale").Index  # noqa: N806 - a class
        graph = Graph(
            ndim=train.shape[1],
            metric="cos",
            dtype={"int8": "i8", "float16": "f16", "float32": "f32"}[self.precision],
            connectivity=self.connectivity,
            expansion_add=self.expansion_add,
            expansion_search=expansion_search,
        )
        largest = float(np.abs(train).max()) or 1.0
        opened = _OpenedUsearch(fingerprint(train), graph, self.precision, largest, self.threads)
        made = {"fingerprint": opened.fingerprint, "precision": self.precision, "connectivity": self.connectivity}
        if self.path is not None and os.path.exists(self.path):
            self._load(graph, made, train)
            graph.expansion_search = expansion_search
            return opened
        for start in range(0, len(train), _ROWS):
            rows = np.arange(start, min(start + _ROWS, len(train)))
            graph.add(rows, opened.rounded(train[rows]), threads=self.threads)
        if self.path is not None:
            graph.save(self.path)
            about = made | {"sha256": _sha256(self.path), "n": len(train)}
            Path(f"{self.path}.json").write_text(json.dumps(about), encoding="utf-8")
        return opened

    def _load(self, graph: Any, made: dict[str, Any], train: NDArray[np.float32]) -> None:
        try:
            about = json.loads(Path(f"{self.path}.json").read_text(encoding="utf-8"))
            sound = about["sha256"] == _sha256(str(self.path))  # usearch itself does not survive a damaged file
        except (OSError, ValueError, KeyError, TypeError):
            about, sound = {}, False
        if not sound:
            msg = (
                f"{self.path}: not a graph saved by routerlab, or damaged. Delete it and its .json: it is built again."
            )
            raise SavedFileError(msg)
        if about["fingerprint"] != made["fingerprint"]:
            _refuse_other(f"the index at {self.path}", train, "Pass another path, or delete it: it is built again.")
        other = [name for name in made if about.get(name) != made[name]]
        if other:
            wrong = ", ".join(f"{name} {about.get(name)!r}" for name in other)
            msg = f"the index at {self.path} was built with {wrong}, and {self} is asked for. Pass another path."
            raise ParameterError(msg)
        graph.load(self.path)


@dataclass
class _OpenedUsearch:
    fingerprint: str
    graph: Any = field(repr=False)
    precision: str
    largest: float
    threads: int

    def rounded(self, vectors: NDArray[np.float32]) -> NDArray[Any]:
        """Round as the graph holds them; int8 over the range that is used, which a cosine does not see."""
        vectors = np.ascontiguousarray(vectors)
        if self.precision == "int8":
            return np.rint(vectors * (127 / self.largest)).clip(-127, 127).astype(np.int8)
        return vectors.astype(self.precision)

    def candidates(self, queries: NDArray[np.float32], n: int) -> NDArray[np.integer]:
        found = self.graph.search(self.rounded(queries), n, threads=self.threads)
        keys = np.atleast_2d(found.keys).astype(np.int64)
        counts = np.atleast_1d(getattr(found, "counts", len(found)))
        keys[np.arange(keys.shape[1]) >= counts[:, None]] = -1
        return keys


_NO_DATABASE = (
    "PgvectorIndex can't use the database ({}). Check url=, that the server answers, and that pgvector is installed "
    "(CREATE EXTENSION vector, by someone who may; halfvec, for precision='float16', came with its version 0.7)."
)


@dataclass(frozen=True)
class PgvectorIndex:
    """Neighbours from a team's PostgreSQL database with pgvector: extra ``routerlab[postgres]``.

    The table holds a row number and a vector for each training prompt; its comment says which vectors it was built for.
    The first who opens it fills it, the others search it. Other vectors are refused, never overwritten.

    Parameters
    ----------
    url : str
        Connection, as psycopg takes it: ``postgresql://user@host/database``. Leave the password to ``~/.pgpass`` or
        ``PGPASSWORD``: a saved router holds the url.
    table : str, default 'routerlab_vectors'
        Name of the table, with a schema before a dot if there is one.
    precision : {'float32', 'float16'}, default 'float32'
        Of the vectors in the database: ``vector``, or ``halfvec``, which pgvector has from 0.7 on.
    connectivity, expansion_add, expansion_search : int, default 16, 64, 128
        pgvector's ``m``, ``ef_construction`` and ``hnsw.ef_search``, which is raised to what is searched.

    Examples
    --------
    >>> PgvectorIndex("postgresql://localhost/team").table
    'routerlab_vectors'
    """

    kind: ClassVar[str] = "pgvector"
    url: str
    table: str = "routerlab_vectors"
    precision: str = "float32"
    connectivity: int = 16
    expansion_add: int = 64
    expansion_search: int = 128

    def open(self, train: NDArray[np.float32]) -> "_OpenedPgvector":
        """Fill the table and index it, or open the one that was filled with the same vectors.

        Parameters
        ----------
        train : ndarray of shape (n_train, n_features)
            Unit-length rows.

        Returns
        -------
        opened index
            For `nearest`. Holds a connection.

        Raises
        ------
        ParameterError
            psycopg or the extension is not there, nothing answers, or the table holds other vectors.
        """
        if not re.fullmatch(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)?", self.table):
            msg = f"'table' of PgvectorIndex must be a plain name, with a schema at most. Got {self.table!r} instead."
            raise ParameterError(msg)
        if self.precision not in ("float32", "float16"):
            msg = f"'precision' of PgvectorIndex must be 'float32' or 'float16'. Got {self.precision!r} instead."
            raise ParameterError(msg)
        psycopg = _imported("psycopg", "PgvectorIndex", "postgres")
        pgvector: Any = _imported("pgvector.psycopg", "PgvectorIndex", "postgres")
        try:
            connection = psycopg.connect(self.url, autocommit=True, client_encoding="utf8")
        except psycopg.Error as error:
            raise ParameterError(_NO_DATABASE.format(str(error).strip())) from error
        try:
            made = self._agree(connection, train)
        except psycopg.Error as error:
            connection.close()
            raise ParameterError(_NO_DATABASE.format(str(error).strip())) from error
        except ParameterError:
            connection.close()
            raise
        pgvector.register_vector(connection)
        return _OpenedPgvector(made, connection, self)

    def _agree(self, connection: Any, train: NDArray[np.float32]) -> str:
        """Fill the table if it is not there, or check what it holds; one at a time."""
        made = fingerprint(train)
        connection.execute("SET client_min_messages = warning; CREATE EXTENSION IF NOT EXISTS vector")
        with connection.transaction():
            connection.execute("SELECT pg_advisory_xact_lock(hashtext(%s))", [self.table])
            (there,) = connection.execute("SELECT to_regclass(%s)", [self.table]).fetchone()
            if there is None:
                self._fill(connection, train, made)
            else:
                (about,) = connection.execute("SELECT obj_description(%s::regclass)", [self.table]).fetchone()
                if about != f"routerlab {made}":
                    _refuse_other(f"the table {self.table}", train, "Name another table, or drop it.")
        return made

    def _fill(self, connection: Any, train: NDArray[np.float32], made: str) -> None:
        """Copy the vectors, index them, and say in the table's comment what they are."""
        from pgvector import HalfVector, Vector
        from pgvector.psycopg import register_vector

        kind, column = (HalfVector, "halfvec") if self.precision == "float16" else (Vector, "vector")
        register_vector(connection)
        connection.execute(f"CREATE TABLE {self.table} (row integer, vector {column}({train.shape[1]}))")
        with connection.cursor().copy(f"COPY {self.table} (row, vector) FROM STDIN WITH (FORMAT BINARY)") as copy:
            copy.set_types(["int4", column])
            for row, vector in enumerate(train):
                copy.write_row([row, kind(vector)])
        connection.execute(
            f"CREATE INDEX ON {self.table} USING hnsw (vector {column}_ip_ops) "
            f"WITH (m = {int(self.connectivity)}, ef_construction = {int(self.expansion_add)})"
        )
        connection.execute(f"COMMENT ON TABLE {self.table} IS 'routerlab {made}'")


@dataclass
class _OpenedPgvector:
    fingerprint: str
    connection: Any = field(repr=False)
    settings: PgvectorIndex

    def candidates(self, queries: NDArray[np.float32], n: int) -> NDArray[np.integer]:
        from pgvector import HalfVector, Vector

        n = min(n, 1000)  # pgvector's own limit
        kind = HalfVector if self.settings.precision == "float16" else Vector
        self.connection.execute(f"SET hnsw.ef_search = {min(max(n, int(self.settings.expansion_search)), 1000)}")
        query = f"SELECT row FROM {self.settings.table} ORDER BY vector <#> %s LIMIT %s"
        keys = np.full((len(queries), n), -1, dtype=np.int64)
        for place, vector in enumerate(queries):
            rows = self.connection.execute(query, [kind(vector), n]).fetchall()
            keys[place, : len(rows)] = [row for (row,) in rows]
        return keys


INDEXES: dict[str, Any] = {kind.kind: kind for kind in (UsearchIndex, PgvectorIndex)}


def check_index(index: Any) -> Index | None:
    """Return settings of an index; 'usearch' are the default ones, 'exact' and None are none.

    Examples
    --------
    >>> check_index("usearch") == UsearchIndex(), check_index("exact")
    (True, None)
    """
    if index is None or (isinstance(index, str) and index == "exact"):
        return None
    if isinstance(index, str) and index == "usearch":
        return UsearchIndex()
    if not isinstance(index, str) and callable(getattr(index, "open", None)):
        return index  # type: ignore[no-any-return]
    msg = f"'index' must be 'exact', 'usearch', a UsearchIndex or a PgvectorIndex. Got {index!r} instead."
    raise ParameterError(msg)


def _imported(module: str, what: str, extra: str) -> Any:
    import importlib

    try:
        return importlib.import_module(module)
    except ImportError as error:
        msg = f"{what} needs {module.split('.')[0]} ({error}). Remedy: pip install 'routerlab[{extra}]'."
        raise ParameterError(msg) from error


def _sha256(path: str) -> str:
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
