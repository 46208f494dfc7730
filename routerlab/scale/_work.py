"""Tasks on partitions: run on a Dask cluster or in this process, their files written whole and kept."""

from __future__ import annotations

import copy
import json
import os
import shutil
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

from routerlab.exceptions import ClusterError, ParameterError, RouterlabError, SpillError
from routerlab.scale._folders import STAMP, arrow, files_in, holds_data, path_of
from routerlab.schema import refuse_parameter, reject

_START = "Start one with `dask scheduler` and `dask worker`, or leave client= out: two processes on this machine."


class Runner:
    """Runs functions on partitions, in order of the tasks, and shows how many are done."""

    def __init__(self, client: Any, progress: bool) -> None:
        self.client, self.progress = client, progress

    def share(self, value: Any) -> Any:
        """Send an object to the workers once; a worker that is lost takes nothing with it: it can be sent again."""
        if self.client is None:
            return copy.copy(value)  # what a call sets on it is not the caller's
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that it is large
            return self.client.submit(_same, value, pure=False)

    def map(self, function: Callable[..., Any], tasks: Sequence[tuple[Any, ...]], label: str) -> list[Any]:
        """Return the results, in the order of the tasks."""
        from tqdm.auto import tqdm

        with tqdm(total=len(tasks), desc=label, unit="part", disable=not self.progress, dynamic_ncols=True) as bar:
            if self.client is None:
                return [_counted(function(*task), bar) for task in tasks]
            return self._on_cluster(function, tasks, bar)

    def _on_cluster(self, function: Callable[..., Any], tasks: Sequence[tuple[Any, ...]], bar: Any) -> list[Any]:
        from concurrent.futures import CancelledError

        from distributed import KilledWorker, as_completed

        futures = [self.client.submit(function, *task, pure=False) for task in tasks]
        try:
            for done in as_completed(futures):
                if done.status == "error":  # of the task, whatever its class
                    failed = done.exception()
                    break
                _counted(done.result(), bar)
            else:
                return [future.result() for future in futures]
        except (CancelledError, OSError, TimeoutError) as error:
            wrong = f"the scheduler went away before the work was done ({type(error).__name__}: {error})."
            reject("'client'", wrong, "Start it and run again: what is finished stays.", ClusterError)
        finally:
            with suppress(Exception):  # where the scheduler is gone there is nothing to cancel
                self.client.cancel(futures, force=True)
        if isinstance(failed, KilledWorker):
            wrong = f"a task lost its worker again and again, most likely for lack of memory ({failed})."
            remedy = "Write smaller files (some 500,000 rows), or give workers more memory. What is finished stays."
            reject("'client'", wrong, remedy, ClusterError)
        raise failed


def _same(value: Any) -> Any:
    return value


def _counted(result: Any, bar: Any) -> Any:
    bar.update()
    return result


@contextmanager
def running_on(client: Any, n_workers: int, progress: bool) -> Iterator[Runner]:
    """Yield a runner on the given cluster, on a new one on this machine, or, with 0 workers, in this process."""
    if isinstance(n_workers, bool) or not isinstance(n_workers, int) or n_workers < 0:
        refuse_parameter("n_workers", "a number of processes, or 0 for this process", n_workers)
    if client is None and not n_workers:
        yield Runner(None, progress)
        return
    distributed = _distributed()
    if isinstance(client, distributed.Client):
        if client.status != "running":
            reject("'client'", f"is {client.status}.", "Pass a connected one. " + _START, ClusterError)
        yield Runner(client, progress)
        return
    if client is not None and not isinstance(client, str):
        refuse_parameter("client", "a dask.distributed.Client, or the address of a scheduler: 'tcp://...'", client)
    with _connected(client, n_workers) as connected:
        yield Runner(connected, progress)


def _distributed() -> Any:
    try:
        import distributed
    except ImportError as error:
        msg = "routerlab.scale needs Dask, which is not installed. Run: pip install 'routerlab[scale]'."
        raise ImportError(msg) from error
    return distributed


@contextmanager
def _connected(address: str | None, n_workers: int) -> Iterator[Any]:
    distributed = _distributed()
    cluster = None
    try:
        if address is None:
            cluster = distributed.LocalCluster(
                n_workers=n_workers,
                threads_per_worker=1,
                processes=True,
                dashboard_address="127.0.0.1:0",
                host="127.0.0.1",
            )
        client = distributed.Client(address if cluster is None else cluster)
    except (OSError, TimeoutError, ValueError) as error:
        reject("'client'", f"no scheduler answers at {address!r} ({error}).", _START, ClusterError)
    except RuntimeError as error:
        remedy = "In a script, call it under `if __name__ == '__main__':`, or pass n_workers=0 for this process alone."
        reject("'n_workers'", f"worker processes do not start ({error}).", remedy, ClusterError)
    try:
        yield client
    finally:
        client.close()
        if cluster is not None:
            cluster.close()


@contextmanager
def results_in(
    to: Any, kind: str, names: Sequence[str] | None, sources: Sequence[Any], n_bytes: float = 0.0
) -> Iterator[Path]:
    """Yield the folder of the results, for this run alone, and see that there is space.

    Parameters
    ----------
    to : str or Path
        The folder.
    kind : str
        What the results are, as their stamps say.
    names : sequence of str, optional
        Files that will be written there. By default those of an earlier run may be replaced.
    sources : sequence of Folder
        What is read, in which no result may be written.
    n_bytes : float
        About how much will be written.
    """
    from filelock import FileLock, Timeout

    folder = path_of(to, "to", "the path of a folder for the results")
    for source in sources:
        root = source.root.resolve()
        if root == folder.resolve() or root in folder.resolve().parents:
            wrong = f"{str(folder)!r} is, or lies in, the folder of {source.what!r}."
            reject("'to'", wrong, "Choose another: results must not mix with what they are made of.", ParameterError)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / "_lock")
        lock.acquire(timeout=0)
    except Timeout:
        reject("'to'", f"another run writes into {str(folder)!r}.", "Wait for it, or choose another.", ParameterError)
    except OSError as error:
        reject("'to'", f"{str(folder)!r} cannot be used ({error}).", "Choose a folder that you may write.", SpillError)
    try:
        _check_contents(folder, kind, names)
        _remove_unfinished(folder)
        free = shutil.disk_usage(folder).free
        if free < n_bytes:
            wrong = f"{str(folder)!r} has {free / 1e9:.2f} GB free, and about {n_bytes / 1e9:.2f} GB will be written."
            reject("'to'", wrong, "Free some space, or choose another disk. What is finished stays.", SpillError)
        yield folder
        _remove_unfinished(folder)
    finally:
        lock.release()
        (folder / "_lock").unlink(missing_ok=True)


def _remove_unfinished(folder: Path) -> None:
    """Remove what a worker that was killed had begun to write."""
    for left in folder.rglob("*.unfinished"):
        left.unlink(missing_ok=True)


def _check_contents(folder: Path, kind: str, names: Sequence[str] | None) -> None:
    """Refuse a folder with files that are not such results, or results of other partitions."""
    for path in filter(holds_data, files_in(folder)):
        name = path.relative_to(folder).as_posix()
        if stamp_of(path).get("kind") != kind or (names is not None and name not in names):
            wrong = f"{str(folder)!r} holds {name!r}, which is not a result of this run."
            reject("'to'", wrong, "Choose an empty folder, or remove that file.", ParameterError)


@contextmanager
def _whole(path: Path) -> Iterator[Path]:
    """Write a file aside and put it in its place when it is whole."""
    aside = path.with_name(f"{path.name}.{uuid4().hex}.unfinished")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield aside
        os.replace(aside, path)
    except OSError as error:
        with suppress(OSError):
            aside.unlink(missing_ok=True)
        if isinstance(error, RouterlabError):
            raise
        remedy = "Free some space, or pass to= on another disk, and run again: what is finished stays."
        reject(f"file {str(path)!r}", f"cannot be written ({error}).", remedy, SpillError)


def write_parquet(path: Path, columns: dict[str, Any], stamp: dict[str, Any]) -> None:
    """Write a result for people and programs to read, with the stamp in its schema."""
    pa = arrow()
    table = pa.table(columns)
    table = table.replace_schema_metadata({**(table.schema.metadata or {}), STAMP: json.dumps(stamp).encode()})
    with _whole(path) as aside:
        names = [field.name for field in table.schema if pa.types.is_dictionary(field.type)]  # numbers seldom repeat
        pa.parquet.write_table(table, aside, use_dictionary=names)


def write_batches(path: Path, columns: dict[str, Any], ends: Sequence[int], stamp: dict[str, Any]) -> None:
    """Write rows in batches, which end at `ends`, for other tasks to read one batch of many files."""
    pa = arrow()
    table = pa.table(columns).replace_schema_metadata({STAMP: json.dumps(stamp).encode()}).combine_chunks()
    with _whole(path) as aside, pa.OSFile(str(aside), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        for start, end in zip([0, *ends[:-1]], ends, strict=True):
            rows = table.slice(start, end - start).combine_chunks()
            batches = rows.to_batches() or [pa.RecordBatch.from_pylist([], schema=table.schema)]
            writer.write_batch(batches[0])


def read_batch(path: Any, number: int) -> dict[str, Any]:
    """Read one batch as arrays."""
    pa = arrow()
    with pa.memory_map(str(path)) as source:
        batch = pa.ipc.open_file(source).get_batch(number)
        return {
            name: column.to_numpy(zero_copy_only=False).copy()
            for name, column in zip(batch.schema.names, batch, strict=True)
        }


def stamp_of(path: Path) -> dict[str, Any]:
    """Read the stamp of a file that routerlab wrote; empty where there is none, or the file is damaged."""
    pa = arrow()
    if not path.exists():
        return {}
    try:
        if path.suffix == ".arrow":
            with pa.memory_map(str(path)) as source:
                metadata = pa.ipc.open_file(source).schema.metadata
        else:
            metadata = pa.parquet.read_schema(path).metadata
        stamp: dict[str, Any] = json.loads((metadata or {}).get(STAMP, b"{}"))
        return stamp
    except (pa.ArrowInvalid, OSError, ValueError):
        return {}


def run_kept(
    runner: Runner, function: Callable[..., Any], tasks: Sequence[tuple[Path, str, tuple[Any, ...]]], label: str
) -> list[dict[str, Any]]:
    """Run ``function(path, mark, *args)`` where no file at `path` carries the mark yet; return all stamps."""
    stamps = {path: stamp_of(path) for path, _, _ in tasks}
    open_tasks = [(path, mark, *args) for path, mark, args in tasks if stamps[path].get("mark") != mark]
    runner.map(function, open_tasks, label)
    for path, *_ in open_tasks:
        stamps[path] = stamp_of(path)
        if not stamps[path]:
            wrong = f"{str(path)!r} was written by a worker, and is not there."
            reject("'to'", wrong, "Choose a folder that all workers and this process share.", ParameterError)
    return [stamps[path] for path, _, _ in tasks]


def remove(folder: Path) -> None:
    """Remove intermediate files."""
    shutil.rmtree(folder, ignore_errors=True)
