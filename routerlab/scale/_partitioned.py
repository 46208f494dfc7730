"""What is done to each partition by itself: embed, route, sweep."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError
from sklearn.utils import get_tags
from sklearn.utils.validation import check_is_fitted

from routerlab.decision import Sweep, check_wtp, decide, estimates_of, sweep_arrays
from routerlab.exceptions import PartitionError
from routerlab.scale._folders import (
    ID,
    Folder,
    Part,
    arrow,
    check_kinds,
    check_text,
    index_of,
    mark_of,
    naming,
    open_folder,
    open_outcomes,
    outcomes_of,
    read_table,
)
from routerlab.scale._shuffle import check_ids, note_compared
from routerlab.scale._work import remove, results_in, run_kept, running_on, stamp_of, write_parquet
from routerlab.schema import refuse_parameter, reject, shown

SWITCHES = "_switches"  # folder of the switches, inside that of the choices
_QUANTILES = 64  # at least, which tell how a file's switches are spread before any is read


def embed_parquet(
    embedder: Any,
    prompts: str | Path,
    to: str | Path,
    *,
    column: str = "prompt",
    client: Any = None,
    n_workers: int = 2,
    progress: bool = True,
) -> Path:
    """Embed prompts, partition by partition, as ``embedder.transform`` does.

    Parameters
    ----------
    embedder : embedder
        Fitted, if it is one that learns.
    prompts : path of a folder of Parquet files
        With columns ``prompt_id`` and `column`.
    to : path of a folder
        For a file of the same name for each, with columns ``prompt_id`` and ``embedding``. Files that were made of the
        same prompts by the same embedder stay.
    column : str, default 'prompt'
        What to embed.
    client : dask.distributed.Client or str, optional
        A cluster, or the address of its scheduler (``"tcp://..."``), whose workers see the same folders. By default
        `n_workers` processes are started on this machine; in a script, call this under
        ``if __name__ == "__main__":``.
    n_workers : int, default 2
        Processes; 0 does all in this one.
    progress : bool, default True
        Show how many partitions are done.

    Returns
    -------
    Path
        The folder `to`.

    Raises
    ------
    PartitionError
        Files of different columns or types, an empty one, or a prompt id that comes twice.
    ClusterError
        No scheduler, or workers that end again and again.
    SpillError
        No space.

    Examples
    --------
    >>> import tempfile
    >>> from routerlab.embedding import SurfaceFeatures
    >>> folder = Path(tempfile.mkdtemp())
    >>> prompts = pd.DataFrame({"prompt_id": ["p1", "p2"], "prompt": ["Hi", "How do I poach an egg?"]})
    >>> (folder / "prompts").mkdir()
    >>> prompts.to_parquet(folder / "prompts" / "part-0.parquet")
    >>> embedder = SurfaceFeatures().fit(prompts["prompt"])
    >>> made = embed_parquet(embedder, folder / "prompts", folder / "X", n_workers=0, progress=False)
    >>> pd.read_parquet(made).columns.tolist()
    ['prompt_id', 'embedding']
    """
    mark = _fingerprint(embedder, "embedder", "transform")
    needed = {check_text(column, "column"): "text or numbers"}
    source = open_folder(prompts, "prompts", needed, "Say column=, the one to embed.")
    with (
        results_in(to, "embeddings", _names(source), [source]) as folder,
        running_on(client, n_workers, progress) as runner,
    ):
        check_ids(source, folder / "_work", runner)
        shared = runner.share(embedder)
        tasks = [
            (folder / part.name, mark_of("embed", mark, column, part.mark), (shared, part, column, source.provenance))
            for part in source.parts
        ]
        run_kept(runner, _embed, tasks, "Embedding")
        return _finished(folder)


def route_parquet(
    router: Any,
    X: str | Path,
    to: str | Path,
    *,
    client: Any = None,
    n_workers: int = 2,
    progress: bool = True,
) -> Path:
    """Choose a model for each prompt, and enumerate every operating point, partition by partition.

    Parameters
    ----------
    router : router
        Fitted. Its ``predict`` and its ``sweep`` come from one search for neighbours.
    X : path of a folder of Parquet files
        Embeddings: ``prompt_id``, and a column ``embedding`` of lists as `embed_parquet` writes it, or one column for
        each feature.
    to : path of a folder
        For a file of the same name for each: ``prompt_id``, ``model`` (the choice), ``best`` (at infinite willingness
        to pay), ``abstained``; and in the folder ``_switches`` within it the sweep, for `frontier_parquet`.
    client, n_workers, progress
        See `embed_parquet`.

    Returns
    -------
    Path
        The folder `to`.

    Raises
    ------
    PartitionError, ClusterError, SpillError
        See `embed_parquet`.

    Examples
    --------
    >>> import tempfile
    >>> from routerlab.routers import KNNRouter
    >>> folder = Path(tempfile.mkdtemp())
    >>> X = pd.DataFrame(np.eye(2), columns=["x", "y"], index=pd.Index(["p1", "p2"], name="prompt_id"))
    >>> quality = pd.DataFrame({"small": [0.5, 0.4], "large": [1.0, 0.9]}, index=X.index)
    >>> router = KNNRouter(1).fit(X, quality, cost=quality / 100)
    >>> X.to_parquet(folder / "X.parquet")
    >>> made = route_parquet(router, folder / "X.parquet", folder / "choices", n_workers=0, progress=False)
    >>> pd.read_parquet(made)["model"].tolist()
    ['large', 'large']
    """
    mark = _fingerprint(router, "router", "predict_quality")
    source = open_folder(X, "X")
    check_kinds(source, {"embedding": "lists of numbers"})
    with (
        results_in(to, "choices", _names(source), [source]) as folder,
        running_on(client, n_workers, progress) as runner,
    ):
        check_ids(source, folder / "_work", runner)
        shared = runner.share(router)
        tasks = [
            (folder / part.name, mark_of("route", mark, part.mark), (shared, part, source.provenance))
            for part in source.parts
        ]
        run_kept(runner, _route, tasks, "Routing")
        return _finished(folder)


def sweep_parquet(
    quality: str | Path,
    cost: Any,
    to: str | Path,
    *,
    willingness_to_pay: float = float("inf"),
    client: Any = None,
    n_workers: int = 2,
    progress: bool = True,
) -> Path:
    """Enumerate every operating point on estimates, partition by partition, as `sweep_estimates` does.

    Parameters
    ----------
    quality, cost : path of a folder of Parquet files
        Estimates: ``prompt_id`` and a column for each model, quality in [0, 1] and cost in USD per request, with the
        same prompts in files of the same name. `cost` may be one price for each model (a mapping or Series).
    to : path of a folder
        See `route_parquet`.
    willingness_to_pay : float, default infinity
        For the column ``model``: USD that one unit of quality is worth on one request.
    client, n_workers, progress
        See `embed_parquet`.

    Returns
    -------
    Path
        The folder `to`.

    Raises
    ------
    PartitionError, ClusterError, SpillError
        See `embed_parquet`.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> index = pd.Index(["p1", "p2"], name="prompt_id")
    >>> pd.DataFrame({"small": [0.6, 0.2], "large": [0.7, 0.9]}, index).to_parquet(folder / "q.parquet")
    >>> prices = {"small": 0.001, "large": 0.011}
    >>> made = sweep_parquet(
    ...     folder / "q.parquet", prices, folder / "sweep", willingness_to_pay=0.05, n_workers=0, progress=False
    ... )
    >>> pd.read_parquet(made)["model"].tolist()
    ['small', 'large']
    """
    check_wtp(willingness_to_pay)
    estimated, spent = open_outcomes(quality, cost)
    provenance = estimated.provenance
    sources = [folder for folder in (estimated, spent) if isinstance(folder, Folder)]
    with (
        results_in(to, "choices", _names(estimated), sources) as folder,
        running_on(client, n_workers, progress) as runner,
    ):
        check_ids(estimated, folder / "_work", runner)
        tasks = []
        for part, price in zip(estimated.parts, parts_of(spent, estimated), strict=True):
            mark = mark_of("sweep", part.mark, getattr(price, "mark", price), str(willingness_to_pay))
            tasks.append((folder / part.name, mark, (part, price, willingness_to_pay, provenance)))
        run_kept(runner, _sweep, tasks, "Sweeping")
        return _finished(folder)


def parts_of(folder: Folder | dict[str, float], like: Folder) -> Any:
    """Return a folder's partitions; prices are the same for all."""
    return folder.parts if isinstance(folder, Folder) else [folder] * len(like.parts)


def _fingerprint(estimator: Any, name: str, does: str) -> str:
    """Hash a fitted router or embedder; of what plain pickle cannot hold, such as a class of a notebook, its bytes."""
    import pickle

    import joblib

    if isinstance(estimator, type) or not hasattr(estimator, does):
        refuse_parameter(name, f"a fitted {name}", estimator)
    if isinstance(estimator, BaseEstimator):
        try:
            check_is_fitted(estimator)
        except NotFittedError:
            refuse_parameter(name, f"a fitted {name}: call its fit first", estimator)
        if not get_tags(estimator).requires_fit:  # it learns nothing; what transform notes on it does not count
            estimator = (type(estimator).__module__, type(estimator).__qualname__, estimator.get_params())
    try:
        return str(joblib.hash(estimator))
    except (pickle.PicklingError, AttributeError, TypeError):
        import cloudpickle  # comes with Dask

        return str(joblib.hash(cloudpickle.dumps(estimator)))


def _names(folder: Folder) -> list[str]:
    return [part.name for part in folder.parts]


def _finished(folder: Path) -> Path:
    """Note that ids were compared, and remove what only helped."""
    remove(folder / "_work")
    note_compared(open_folder(folder, "to"))
    return folder


def _embed(path: Path, mark: str, embedder: Any, part: Part, column: str, provenance: str | None) -> None:
    pa = arrow()
    ids, table = read_table(part, [column])
    texts = pd.Series(table[column].to_pandas().to_numpy(dtype=object), index=index_of(ids), name=column)
    vectors = naming(embedder.transform, part, texts)
    values = np.ascontiguousarray(vectors, dtype=np.float32)
    lists = pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), values.shape[1])
    names = [str(name) for name in getattr(vectors, "columns", [])] or None
    stamp = {
        "kind": "embeddings",
        "mark": mark,
        "provenance": provenance,
        "features": names,
    }
    write_parquet(path, {ID: ids, "embedding": lists}, stamp)


def embeddings_of(part: Part) -> tuple[Any, pd.DataFrame]:
    """Read ids and embeddings of a partition."""
    ids, table = read_table(part)
    if "embedding" in table.column_names:
        column = table["embedding"].combine_chunks()
        column = column.chunk(0) if hasattr(column, "chunk") else column
        lengths, numbers = arrow().compute.list_value_length(column).unique().to_pylist(), column.flatten()
        if len(lengths) != 1 or not lengths[0] or numbers.null_count:
            wrong = f"holds vectors of {shown(lengths)} numbers{', some of them empty' * bool(numbers.null_count)}."
            remedy = "Embed all prompts with one embedder, and leave no vector out."
            reject(f"file {part.path!r}, column 'embedding'", wrong, remedy, PartitionError)
        frame = pd.DataFrame(numbers.to_numpy().reshape(len(ids), -1), index=index_of(ids))
        features = json.loads((table.schema.metadata or {}).get(b"routerlab", b"{}")).get("features")
        numbered = features is None or features == [str(k) for k in range(len(features))]
        return ids, frame if numbered else frame.set_axis(features, axis=1)
    return ids, table.to_pandas(ignore_metadata=True).set_axis(index_of(ids))


def _route(path: Path, mark: str, router: Any, part: Part, provenance: str | None) -> None:
    ids, frame = embeddings_of(part)
    estimates = naming(estimates_of, part, router, frame)
    models, abstained = estimates.quality.columns, np.asarray(estimates.abstained)
    quality, cost = (np.asarray(f, dtype=float) for f in (estimates.quality, estimates.cost[list(models)]))
    fallback = getattr(router, "fallback", None)
    sweep = sweep_arrays(quality, cost, index_of(ids), models, abstained=abstained, fallback=fallback)
    position = decide(quality, cost, getattr(router, "willingness_to_pay", float("inf")))
    if abstained.any():
        position[abstained] = models.get_loc(fallback)
    always = getattr(router, "min_similarity", None) == np.inf or len(models) == 1
    provenance = provenance or getattr(router, "provenance_", None)
    _write_sweep(path, mark, ids, sweep, position, provenance, always)


def _sweep(path: Path, mark: str, quality: Part, cost: Any, wtp: float, provenance: str | None) -> None:
    ids, _ = read_table(quality, [])
    outcomes, models = outcomes_of(quality, ids, quality, cost)
    worth, price = (frame.to_numpy() for frame in outcomes)
    sweep = sweep_arrays(worth, price, outcomes.index, models)
    position = decide(worth, price, wtp)
    _write_sweep(path, mark, ids, sweep, position, provenance, len(models) == 1)


def _write_sweep(
    path: Path,
    mark: str,
    ids: Any,
    sweep: Sweep,
    position: NDArray[np.intp],
    provenance: str | None,
    always: bool,
) -> None:
    pa = arrow()
    names = [str(model) for model in sweep.models]

    def named(place: Any) -> Any:
        return pa.DictionaryArray.from_arrays(pa.array(np.asarray(place, dtype=np.int32)), pa.array(names))

    n = len(sweep.wtp)
    place = np.linspace(0, n - 1, min(n, 1 + max(_QUANTILES, n // 8192))).round().astype(int)
    stamp = {"kind": "choices", "mark": mark, "models": names, "provenance": provenance, "always": always}
    stamp["spread"] = sweep.wtp[place].tolist()
    columns = {"prompt": sweep.prompt, "origin": sweep.origin, "target": sweep.target, "willingness_to_pay": sweep.wtp}
    write_parquet(switches_at(path), columns, stamp)
    chosen = {ID: ids, "model": named(position), "best": named(sweep.first), "abstained": sweep.abstained}
    write_parquet(path, chosen, stamp)


def switches_at(path: str | Path) -> Path:
    """Where the switches of a file of choices are: in a folder within the one that holds it."""
    return Path(path).parent / SWITCHES / Path(path).name


def choices_of(part: Part) -> tuple[Any, pd.Series, NDArray[np.bool_]]:
    """Read a partition's ids, its choices by position, and who abstained."""
    ids, table = read_table(part, [name for name in ("model", "abstained") if name in part.columns])
    column = table["model"].to_pandas().to_numpy(dtype=object)
    return ids, pd.Series(column, name="model"), _abstained(part, table)


def _abstained(part: Part, table: Any) -> NDArray[np.bool_]:
    if "abstained" not in table.column_names:
        return np.zeros(table.num_rows, dtype=bool)
    flags = table["abstained"].to_pandas()
    if not flags.isin([0, 1]).all():
        wrong = f"holds {shown(flags[~flags.isin([0, 1])].unique())}, expected true or false."
        reject(f"file {part.path!r}, column 'abstained'", wrong, "Write frame[...].astype(bool).", PartitionError)
    return flags.to_numpy(dtype=bool)


def sweep_of(part: Part) -> tuple[Any, NDArray[np.intp], NDArray[np.bool_], list[str]]:
    """Read a partition's ids, its first choices by position among its models, and who abstained."""
    ids, table = read_table(part, ["best", "abstained"])
    models = stamp_of(Path(part.path))["models"]
    place = pd.Index(models).get_indexer(table["best"].to_pandas())
    return ids, place, _abstained(part, table), models
