"""Nearest neighbours by cosine similarity: the one place where neighbours are searched, exactly or by an index."""

import hashlib
import json
import math
import os
import re
import threading
import weakref
from dataclasses import dataclass, field
from itertools import pairwise
from numbers import Integral
from pathlib import Path
from typing import Any, ClassVar, NoReturn, Protocol

import numpy as np
from numpy.typing import NDArray

from routerlab.exceptions import ParameterError, SavedFileError

# Bytes of similarities held at once. Larger blocks gain nothing on a CPU and cost memory.
_BLOCK_BYTES = 64 * 2**20
_RERANKED = 4 * 2**20  # candidates' bytes compared at once
_N_CANDIDATES = 2  # that an index is asked for, for each neighbour
_ROWS = 50_000  # rows handed over at once
_FIRST_ROWS = 1000  # of a graph, by one thread: several leave parts of a small graph unconnected


class OpenedIndex(Protocol):
    """What `nearest` needs of an index that was built for some vectors.

    One that was built for distinct rows only keeps their `Copies` as its attribute ``copies``.
    """

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
    their similarities are computed exactly here, whatever precision it holds them in. Copies of one vector stand in it
    once, and are all found with it.

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
        If the index was built for other vectors or names rows that are not there, vectors are not two-dimensional,
        not of one width, or not finite, or `n_neighbors` is not an integer from 1 to n_train.

    Examples
    --------
    >>> nearest(np.eye(2, dtype=np.float32), np.eye(2, dtype=np.float32), 1)[1].ravel()
    array([0, 1])
    """
    _check_shape(train, "train")
    _check_vectors(queries, "queries", train.shape[1])
    if not _is_integer(n_neighbors, 1, len(train)):
        _refuse("n_neighbors", f"an integer from 1 to {len(train)}, the number of rows of 'train'", n_neighbors)
    if index is None or not len(queries):
        return _exact(queries, train, n_neighbors)
    if index.fingerprint != fingerprint(train):
        _refuse_other(f"the {type(index).__name__.strip('_')} given", train, "Open it for these: index.open(train).")
    copies = getattr(index, "copies", None) or Copies.none(len(train))
    n_candidates, enough = _N_CANDIDATES * n_neighbors, min(n_neighbors, len(copies.first))
    if n_candidates >= len(copies.first):
        similarity, rows = _exact(queries, train[copies.first], enough)
        return copies.added(similarity, copies.first[rows], n_neighbors)
    found = index.candidates(queries, n_candidates)
    copies.check(found)
    few = (found >= 0).sum(axis=1) < enough  # an index may come back with less than it was asked for
    if found.shape[1] < enough:
        return _exact(queries, train, n_neighbors)
    similarity, rows = copies.added(*_rerank(queries, train, found, enough), n_neighbors)
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
        with np.errstate(invalid="ignore", over="ignore"):
            block = queries[rows] @ train.T
            if not np.isfinite(block.sum()):  # a product with NaN or infinity is one as well
                _check_finite(train, "train")
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
    shapes = np.shape(found), np.shape(exact)
    if not all(len(shape) == 2 for shape in shapes) or shapes[0][0] != shapes[1][0] or not np.size(exact):
        _refuse("found, exact", "row numbers of the same queries, of shape (n_queries, n_neighbors)", shapes)
    both = np.sort(np.concatenate([found, exact], axis=1), axis=1)
    return float((both[:, 1:] == both[:, :-1]).sum() / exact.size)


@dataclass(frozen=True, eq=False)
class Copies:
    """Which rows hold the same vector: prompts that came again fill a graph with clusters that no search leaves.

    Parameters
    ----------
    first : ndarray of shape (n_distinct,)
        The first row of each distinct vector, increasing.
    order : ndarray of shape (n_rows,)
        Rows, one distinct vector after the other, each in the order of rows.
    start : ndarray of shape (n_distinct + 1,)
        Where each distinct vector starts in `order`.

    Examples
    --------
    >>> Copies.of(np.array([[1, 0], [0, 1], [1, 0]], dtype=np.float32)).first
    array([0, 1])
    """

    first: NDArray[np.intp]
    order: NDArray[np.intp]
    start: NDArray[np.intp]

    @classmethod
    def of(cls, vectors: NDArray[np.floating]) -> "Copies":
        """Find rows that hold the same vector by two 64-bit hashes, block by block."""
        number = np.result_type(vectors.dtype, np.float32)
        n_words = vectors.shape[1] * number.itemsize // 4
        factors = np.random.default_rng(0).integers(2**64, size=(n_words, 2), dtype=np.uint64) | np.uint64(1)
        hashes = np.empty((2, len(vectors)), dtype=np.uint64)
        step = max(1, _BLOCK_BYTES // (8 * n_words + 8))
        for start in range(0, len(vectors), step):
            rows = vectors[start : start + step] + number.type(0)  # 0 and -0 are the same
            words = np.ascontiguousarray(rows, dtype=number).view(np.uint32).astype(np.uint64)
            hashes[:, start : start + step] = (words @ factors).T
        order = np.lexsort(hashes)
        new = np.append(True, (np.diff(hashes[:, order], axis=1) != 0).any(axis=0))
        begins = np.flatnonzero(new)
        distinct = np.empty(len(vectors), dtype=np.intp)
        distinct[order] = np.argsort(np.argsort(order[begins]))[np.cumsum(new) - 1]
        counts = np.bincount(distinct)
        return cls(np.sort(order[begins]), np.argsort(distinct, kind="stable"), np.append(0, np.cumsum(counts)))

    @classmethod
    def none(cls, n: int) -> "Copies":
        """Each of `n` rows stands for itself."""
        return cls(np.arange(n), np.arange(n), np.arange(n + 1))

    def check(self, found: NDArray[np.integer]) -> None:
        """Refuse candidates that are not among the distinct rows."""
        place = np.minimum(np.searchsorted(self.first, found), len(self.first) - 1)
        odd = found[(found >= 0) & (self.first[place] != found)]
        if len(odd):
            msg = (
                f"the index names row {odd[0]:,}, which is not one of the {len(self.first):,} distinct rows of 'train' "
                f"({len(self.order):,} in all): something else changed it. Delete the file or drop the table, and open "
                "the index again."
            )
            raise ParameterError(msg)

    def added(
        self, similarity: NDArray[np.float32], rows: NDArray[np.intp], n: int
    ) -> tuple[NDArray[np.float32], NDArray[np.intp]]:
        """Put each distinct row's copies behind it, up to `n` in all."""
        if len(self.first) == len(self.order):
            return similarity, rows
        place = np.searchsorted(self.first, rows)
        count = self.start[place + 1] - self.start[place]
        taken = np.clip(n - (np.cumsum(count, axis=1) - count), 0, count).ravel()
        begin = np.repeat(self.start[place].ravel() - (np.cumsum(taken) - taken), taken)
        found = self.order[begin + np.arange(len(begin))]
        return np.repeat(similarity.ravel(), taken).reshape(-1, n), found.reshape(-1, n)


_known: dict[int, tuple[Any, str]] = {}  # arrays that are alive, by identity: hashing a gigabyte takes a second


def fingerprint(vectors: NDArray[np.float32]) -> str:
    """Digest of vectors, their order and their shape.

    Computed once for an array that nobody can write to (``vectors.setflags(write=False)``, as routers do with theirs),
    and each time for others, which may have changed: a second for a gigabyte.

    Examples
    --------
    >>> fingerprint(np.eye(2, dtype=np.float32)) == fingerprint(np.eye(2, dtype=np.float32)[::-1])
    False
    """
    key = id(vectors)
    known = _known.get(key)
    if known is not None and known[0]() is vectors and not _is_writeable(vectors):
        return known[1]
    digest = hashlib.sha256(f"{vectors.shape} {vectors.dtype.str}".encode())
    for start in range(0, len(vectors), _ROWS):
        digest.update(np.ascontiguousarray(vectors[start : start + _ROWS]).data)
    if not _is_writeable(vectors):
        _known[key] = weakref.ref(vectors, lambda _: _known.pop(key, None)), digest.hexdigest()
    return digest.hexdigest()


def _is_writeable(vectors: Any) -> bool:
    """Whether somebody can write to an array, or to what it is a view of."""
    while isinstance(vectors, np.ndarray):
        if vectors.flags.writeable:
            return True
        vectors = vectors.base
    return not (vectors is None or isinstance(vectors, bytes))


def frozen(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return vectors that nobody can write to: these, made read-only, or a copy if they belong to somebody else.

    Examples
    --------
    >>> frozen(np.eye(2, dtype=np.float32)).flags.writeable
    False
    """
    vectors = np.require(vectors, requirements=["C", "O"])
    vectors.setflags(write=False)
    return vectors


def _is_integer(value: Any, least: int, most: int) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool) and least <= int(value) <= most


def _refuse(name: str, wanted: str, got: Any, of: str = "") -> NoReturn:
    msg = f"{name!r}{of} must be {wanted}. Got {got!r} instead."
    raise ParameterError(msg)


def _check_shape(vectors: Any, name: str) -> None:
    if not isinstance(vectors, np.ndarray) or vectors.ndim != 2 or vectors.dtype.kind not in "fiu":
        got = f"one of {vectors.dtype}, shape {vectors.shape}" if isinstance(vectors, np.ndarray) else type(vectors)
        msg = f"{name!r} must be a numpy array of numbers with two axes, a row for each prompt. Got {got} instead."
        raise ParameterError(msg)
    if name == "train" and not vectors.size:
        msg = f"'train' has shape {vectors.shape}: there is nothing to search. Pass at least one row."
        raise ParameterError(msg)


def _check_vectors(vectors: Any, name: str, width: int | None = None) -> None:
    _check_shape(vectors, name)
    if width is not None and vectors.shape[1] != width:
        msg = f"{name!r} has {vectors.shape[1]} columns, and 'train' has {width}. Embed both by the same embedder."
        raise ParameterError(msg)
    _check_finite(vectors, name)


def _check_finite(vectors: NDArray[Any], name: str) -> None:
    """Refuse NaN and infinity, which a row's sum shows."""
    for start in range(0, len(vectors), _ROWS):
        with np.errstate(invalid="ignore", over="ignore"):
            total = vectors[start : start + _ROWS].sum(axis=1, dtype=np.result_type(vectors.dtype, np.float32))
        odd = np.flatnonzero(~np.isfinite(total))
        if len(odd):
            msg = (
                f"{name!r} must hold finite numbers, in rows of length 1. Row {start + odd[0]:,} holds NaN, infinity "
                "or too large ones. Embed that prompt again, or leave it out."
            )
            raise ParameterError(msg)


def _refuse_other(what: str, train: NDArray[np.float32], remedy: str) -> None:
    shape = " x ".join(f"{size:,}" for size in train.shape)
    msg = f"{what} was built for other vectors than these {shape}: its neighbours would be of other prompts. {remedy}"
    raise ParameterError(msg)


class _Settings:
    """Checks that both kinds of index share."""

    precisions: ClassVar[tuple[str, ...]]
    limits: ClassVar[dict[str, tuple[int, int]]]  # least and most of each number

    def __post_init__(self) -> None:
        """Make a path and numbers of numpy what JSON can hold."""
        for name, value in vars(self).items():
            plain = os.fspath(value) if isinstance(value, os.PathLike) else value
            object.__setattr__(self, name, int(plain) if isinstance(plain, np.integer) else plain)

    def check(self, train: Any) -> None:
        """Refuse settings and training vectors that no index can be built with."""
        if self.precision not in self.precisions:  # type: ignore[attr-defined]
            *others, last = map(repr, self.precisions)
            self._refuse("precision", f"{', '.join(others)} or {last}")
        for name, (least, most) in self.limits.items():
            value = getattr(self, name)
            optional = type(self).__dataclass_fields__[name].default is None  # type: ignore[attr-defined]
            if not (_is_integer(value, least, most) or (optional and value is None)):
                self._refuse(name, f"an integer from {least:,} to {most:,}" + (", or None" if optional else ""))
        _check_vectors(train, "train")

    def _refuse(self, name: str, wanted: str) -> NoReturn:
        _refuse(name, wanted, getattr(self, name), f" of {type(self).__name__}")


@dataclass(frozen=True)
class UsearchIndex(_Settings):
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
        The same while searching. By default half the square root of the number of distinct vectors, at least 128: the
        more there are, the more must be looked at to find the same share of the nearest.
    path : str or Path, optional
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
    precisions = ("int8", "float16", "float32")
    limits: ClassVar = {
        "connectivity": (2, 1024),
        "expansion_add": (1, 2**20),
        "expansion_search": (1, 2**20),
        "threads": (0, 1024),
    }
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
            usearch is not installed, a setting or `train` is not what it must be, or the graph at `path` was built for
            other vectors or with other settings.
        SavedFileError
            The file at `path` is damaged.
        """
        self.check(train)
        Graph = _imported("usearch.index", "UsearchIndex", "scale").Index  # noqa: N806 - a class
        copies = Copies.of(train)
        expansion_search = self.expansion_search or max(128, math.isqrt(len(copies.first)) // 2)
        graph = Graph(
            ndim=train.shape[1],
            metric="cos",
            dtype={"int8": "i8", "float16": "f16", "float32": "f32"}[self.precision],
            connectivity=self.connectivity,
            expansion_add=self.expansion_add,
            expansion_search=expansion_search,
        )
        largest = float(max(train.max(), -train.min())) or 1.0
        opened = _OpenedUsearch(fingerprint(train), copies, graph, self.precision, largest, self.threads)
        made = {"fingerprint": opened.fingerprint, "n": len(copies.first)}
        made |= {name: getattr(self, name) for name in ("precision", "connectivity", "expansion_add")}
        if self.path is not None and os.path.exists(self.path):
            self._load(graph, made, train)
            graph.expansion_search = expansion_search
            return opened
        n = len(copies.first)
        for start, end in pairwise(sorted({0, min(n, _FIRST_ROWS), *range(_ROWS, n, _ROWS), n})):
            rows = copies.first[start:end]
            graph.add(rows, opened.rounded(train[rows]), threads=self.threads if start else 1)
        if self.path is not None:
            self._save(graph, made)
        return opened

    def check(self, train: Any) -> None:
        """Refuse settings and training vectors that no graph can be built with."""
        super().check(train)
        if self.path is None:
            return
        if not isinstance(self.path, str) or not self.path:
            self._refuse("path", "the name of a file, as text or a Path, or None")
        if os.path.isdir(self.path) or not os.path.isdir(os.path.dirname(self.path) or "."):
            self._refuse("path", "a file in a folder that is there (make it first)")

    def _save(self, graph: Any, made: dict[str, Any]) -> None:
        try:
            graph.save(self.path)
            about = made | {"sha256": _sha256(str(self.path))}
            Path(f"{self.path}.json").write_text(json.dumps(about), encoding="utf-8")
        except (OSError, RuntimeError) as error:
            msg = f"the index can't be written to {self.path} ({error}). Make room, or pass another path."
            raise ParameterError(msg) from error

    def _load(self, graph: Any, made: dict[str, Any], train: NDArray[np.float32]) -> None:
        try:
            about = json.loads(Path(f"{self.path}.json").read_text(encoding="utf-8"))
            sound = about["sha256"] == _sha256(str(self.path))  # usearch itself does not survive a damaged file
            sound = sound and isinstance(about["fingerprint"], str)
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
    copies: Copies = field(repr=False)
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
    "(CREATE EXTENSION vector, by someone who may)."
)
_NO_TABLE = (
    "PgvectorIndex can't use the table {} ({}). Name another table, or look at that one: it must be yours to create, "
    "fill and read (halfvec, for precision='float16', came with pgvector 0.7)."
)
_MOST_COLUMNS = {"float32": 2000, "float16": 4000}  # pgvector's limits for what it indexes


@dataclass(frozen=True)
class PgvectorIndex(_Settings):
    """Neighbours from a team's PostgreSQL database with pgvector: extra ``routerlab[postgres]``.

    The table holds each distinct vector with the number of its first row; its comment says which vectors it was built
    for. The first who opens it fills it, the others search it. Other vectors and other settings are refused, never
    overwritten. A connection that was lost is made again.

    Parameters
    ----------
    url : str
        Connection, as psycopg takes it: ``postgresql://user@host/database``. Leave the password to ``~/.pgpass`` or
        ``PGPASSWORD``: a saved router holds the url.
    table : str, default 'routerlab_vectors'
        Name of the table, with a schema before a dot if there is one.
    precision : {'float32', 'float16'}, default 'float32'
        Of the vectors in the database: ``vector``, of at most 2,000 columns, or ``halfvec``, of at most 4,000, which
        pgvector has from 0.7 on.
    connectivity, expansion_add, expansion_search : int, default 16, 64, 128
        pgvector's ``m``, ``ef_construction``, at least twice as large, and ``hnsw.ef_search``, which is raised to what
        is searched.

    Examples
    --------
    >>> PgvectorIndex("postgresql://localhost/team").table
    'routerlab_vectors'
    """

    kind: ClassVar[str] = "pgvector"
    precisions = ("float32", "float16")
    limits: ClassVar = {"connectivity": (2, 100), "expansion_add": (4, 1000), "expansion_search": (1, 1000)}
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
            For `nearest`. Holds a connection, which is closed with it.

        Raises
        ------
        ParameterError
            psycopg or the extension is not there, nothing answers, a setting or `train` is not what it must be, or the
            table holds other vectors or was built with other settings.
        """
        self.check(train)
        psycopg = _imported("psycopg", "PgvectorIndex", "postgres")
        copies = Copies.of(train)
        made = f"routerlab {fingerprint(train)}"
        if len(copies.first) < len(train):  # a table of all rows is not the same
            made += f" {len(copies.first)} distinct"
        connection = self.connected()
        try:
            with connection.transaction():  # one at a time
                connection.execute("SELECT pg_advisory_xact_lock(hashtext(%s))", [self.table])
                if self.about(connection) is None:
                    self._fill(connection, train, copies, made)
                self.agree(connection, made)
        except psycopg.Error as error:
            broken = connection.closed
            connection.close()
            said = str(error).strip()
            raise ParameterError(_NO_DATABASE.format(said) if broken else _NO_TABLE.format(self.table, said)) from error
        except BaseException:
            connection.close()
            raise
        return _OpenedPgvector(fingerprint(train), copies, self, made, connection)

    def check(self, train: Any) -> None:
        """Refuse settings and training vectors that no table can be built with."""
        super().check(train)
        if not isinstance(self.url, str):
            self._refuse("url", "text, such as 'postgresql://user@host/database'")
        if not isinstance(self.table, str) or not re.fullmatch(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)?", self.table):
            self._refuse("table", "a plain name, with a schema at most")
        if self.expansion_add < 2 * self.connectivity:
            self._refuse("expansion_add", f"at least twice the connectivity, {self.connectivity}")
        if train.shape[1] > (most := _MOST_COLUMNS[self.precision]):
            msg = f"'train' has {train.shape[1]:,} columns, and pgvector indexes at most {most:,} in {self.precision}."
            raise ParameterError(msg + " Pass precision='float16' (4,000), fewer columns, or UsearchIndex.")

    def connected(self) -> Any:
        """Return a new connection that knows the type vector."""
        psycopg = _imported("psycopg", "PgvectorIndex", "postgres")
        register: Any = _imported("pgvector.psycopg", "PgvectorIndex", "postgres").register_vector
        connection = None
        try:
            connection = psycopg.connect(self.url, autocommit=True, client_encoding="utf8")
            connection.execute("SET client_min_messages = warning; CREATE EXTENSION IF NOT EXISTS vector")
            register(connection)
        except psycopg.Error as error:
            if connection is not None:
                connection.close()
            raise ParameterError(_NO_DATABASE.format(str(error).strip())) from error
        return connection

    @property
    def _column(self) -> str:
        return {"float32": "vector", "float16": "halfvec"}[self.precision]

    @property
    def _graph(self) -> str:
        """The index as PostgreSQL writes it."""
        settings = f"m='{self.connectivity}', ef_construction='{self.expansion_add}'"
        return f"USING hnsw (vector {self._column}_ip_ops) WITH ({settings})"

    def about(self, connection: Any) -> tuple[str | None, str] | None:
        """Comment of the table and definitions of its indexes, or None if it is not there."""
        query = (
            "SELECT obj_description(%s::regclass), "
            "(SELECT string_agg(pg_get_indexdef(indexrelid), '; ') FROM pg_index WHERE indrelid = %s::regclass)"
        )
        (there,) = connection.execute("SELECT to_regclass(%s)", [self.table]).fetchone()
        if there is None:
            return None
        comment, graph = connection.execute(query, [self.table, self.table]).fetchone()
        return comment, graph or "no index"

    def agree(self, connection: Any, made: str) -> None:
        """Refuse a table that is gone, or holds other vectors, or was indexed with other settings."""
        found = self.about(connection)
        if found is None:
            msg = f"the table {self.table} is not there any more. Open the index again (index.open(train), or fit)."
            raise ParameterError(msg)
        comment, graph = found
        if comment != made:
            msg = f"the table {self.table} was built for other vectors than these. Name another table, or drop it."
            raise ParameterError(msg)
        if self._graph not in graph:
            msg = f"the table {self.table} has {graph}, and {self} needs {self._graph}. Name another table."
            raise ParameterError(msg)

    def _fill(self, connection: Any, train: NDArray[np.float32], copies: Copies, made: str) -> None:
        """Copy the distinct vectors, index them, and say in the table's comment what they are."""
        connection.execute(f"CREATE TABLE {self.table} (row integer, vector {self._column}({train.shape[1]}))")
        with connection.cursor().copy(f"COPY {self.table} (row, vector) FROM STDIN WITH (FORMAT BINARY)") as copy:
            copy.set_types(["int4", self._column])
            for row in copies.first.tolist():
                copy.write_row([row, self.vector(train[row])])
        connection.execute(f"CREATE INDEX ON {self.table} {self._graph}")
        connection.execute(f"COMMENT ON TABLE {self.table} IS '{made}'")

    def vector(self, values: NDArray[np.float32]) -> Any:
        """Return a vector as psycopg sends it."""
        from pgvector import HalfVector, Vector

        return (HalfVector if self.precision == "float16" else Vector)(values)


@dataclass(eq=False)
class _OpenedPgvector:
    fingerprint: str
    copies: Copies = field(repr=False)
    settings: PgvectorIndex
    made: str = field(repr=False)
    connection: Any = field(repr=False)

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._close = weakref.finalize(self, self.connection.close)

    def candidates(self, queries: NDArray[np.float32], n: int) -> NDArray[np.integer]:
        import psycopg

        with self._lock:
            for again in (True, False):
                try:
                    return self._search(queries, min(n, 1000))  # pgvector's own limit
                except psycopg.Error as error:
                    if not (again and self.connection.closed):
                        raise ParameterError(_NO_TABLE.format(self.settings.table, str(error).strip())) from error
                    self.connection = self.settings.connected()
                    self._close = weakref.finalize(self, self.connection.close)
        raise AssertionError

    def _search(self, queries: NDArray[np.float32], n: int) -> NDArray[np.integer]:
        self.settings.agree(self.connection, self.made)
        self.connection.execute(f"SET hnsw.ef_search = {max(n, self.settings.expansion_search)}")
        query = f"SELECT row FROM {self.settings.table} ORDER BY vector <#> %s LIMIT %s"
        keys = np.full((len(queries), n), -1, dtype=np.int64)
        for place, vector in enumerate(queries):
            rows = self.connection.execute(query, [self.settings.vector(vector), n]).fetchall()
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
    if not isinstance(index, (str, type)) and callable(getattr(index, "open", None)):
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
