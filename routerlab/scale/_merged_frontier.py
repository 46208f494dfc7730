"""The frontier of all partitions: their switches merged in order of willingness to pay, range by range.

Each partition turns its switches into steps of the total cost and quality, in order, cut at the same willingnesses to
pay. One task then merges one range of all partitions, and starts from the sums over the ranges before it. So no worker
holds more than one partition, or one range. With groups that several partitions share, switches are first brought
together by group: the variance between groups needs each group's total before a switch.
"""

from __future__ import annotations

from numbers import Integral
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from routerlab.exceptions import PartitionError
from routerlab.scale._folders import (
    Folder,
    Part,
    arrow,
    check_same_parts,
    mark_of,
    open_folder,
    open_outcomes,
    outcomes_of,
)
from routerlab.scale._partitioned import parts_of, sweep_of, switches_at
from routerlab.scale._shuffle import (
    ROWS_PER_BUCKET,
    check_ids,
    from_buckets,
    into_buckets,
    open_groups,
    read_groups,
)
from routerlab.scale._work import (
    Runner,
    read_batch,
    remove,
    results_in,
    run_kept,
    running_on,
    stamp_of,
    write_batches,
    write_parquet,
)
from routerlab.schema import refuse_parameter, reject
from routerlab.stats import bounded_ends, check_confidence, cluster_df, cost_ends, few_groups_note, skewed_note
from routerlab.tallies import exact_rows, merge, points, tally

ROWS_PER_RANGE = 2_000_000
_VALUES = ("cost", "quality")


class _Start(NamedTuple):
    """Where a range starts: sums before its first switch, and what its intervals need."""

    n: int
    n_groups: float
    squared_sizes: float
    centre: tuple[float, float]
    total: tuple[float, float]
    squares: tuple[float, float]
    crossed: tuple[float, float]
    ends: dict[str, Any] | None


def frontier_parquet(
    sweep: str | Path,
    quality: str | Path,
    cost: Any,
    to: str | Path,
    *,
    ci: bool = False,
    confidence: float = 0.95,
    max_points: int | None = 1000,
    groups: tuple[str | Path, str] | None = None,
    client: Any = None,
    n_workers: int = 2,
    progress: bool = True,
) -> pd.DataFrame:
    """Measure every operating point of a router on partitions: the same points as `frontier`'s.

    Parameters
    ----------
    sweep : path of a folder
        As `route_parquet` or `sweep_parquet` wrote it.
    quality, cost : path of a folder of Parquet files
        Measured outcomes: ``prompt_id`` and a column for each model, with the same prompts in files of the same name,
        in any order. `cost` may be one price for each model (a mapping or Series).
    to : path of a folder
        For all operating points, in order: ``pandas.read_parquet(to)`` is the whole frontier.
    ci : bool, default False
        Add pointwise intervals of both means, as `frontier` does. The spread of costs, which decides whether there is
        an interval of the cost, comes from bins of an eighth of an octave above 4,096 prompts.
    confidence : float, default 0.95
        Of those intervals.
    max_points : int, optional
        Thin what is returned to about this many rows, evenly along the cost; None returns all.
    groups : (path, str), optional
        A folder of Parquet files with the same prompts in files of the same name, and its column that says which
        prompts are not independent: conversation, customer, text. For `ci`. Groups may span partitions; a worker holds
        a whole group.
    client, n_workers, progress
        See `embed_parquet`.

    Returns
    -------
    DataFrame
        ``willingness_to_pay``, ``cost_usd``, ``quality`` and, with `ci`, the ends of the intervals.

    Raises
    ------
    PartitionError, ClusterError, SpillError
        See `embed_parquet`.

    Examples
    --------
    >>> import tempfile
    >>> from routerlab.scale import sweep_parquet
    >>> folder, here = Path(tempfile.mkdtemp()), {"n_workers": 0, "progress": False}
    >>> index = pd.Index(["p1", "p2"], name="prompt_id")
    >>> pd.DataFrame({"small": [0.0, 1.0], "large": [1.0, 1.0]}, index).to_parquet(folder / "q.parquet")
    >>> prices = {"small": 0.001, "large": 0.01}
    >>> swept = sweep_parquet(folder / "q.parquet", prices, folder / "sweep", **here)
    >>> curve = frontier_parquet(swept, folder / "q.parquet", prices, folder / "frontier", **here)
    >>> curve[["cost_usd", "quality"]].round(4).values.tolist()
    [[0.0055, 1.0], [0.001, 0.5]]
    """
    check_confidence(confidence)
    if max_points is not None and (
        isinstance(max_points, bool) or not isinstance(max_points, Integral) or max_points < 1
    ):
        refuse_parameter("max_points", "a number of points, at least 1, or None for all", max_points)
    needed = {"best": "text or numbers", "abstained": "true or false"}
    swept = open_folder(sweep, "sweep", needed, "Write it with route_parquet or sweep_parquet.")
    measured, spent = open_outcomes(quality, cost)
    check_same_parts(swept, measured)
    switches = _switches_of(swept)
    grouped = None if groups is None else open_groups(groups, swept)
    grouped = grouped if ci else None
    n_switches = sum(opened.n_rows for opened in switches)
    n_columns = 6 + 6 * ci + 6 * (grouped is not None)  # of the steps and of the points
    sources = [folder for folder in (swept, measured, spent) if isinstance(folder, Folder)]
    cuts = _cuts(switches, n_switches)
    with (
        results_in(to, "frontier", None, sources, 8.0 * n_switches * n_columns) as folder,
        running_on(client, n_workers, progress) as runner,
    ):
        work = folder / "_work"
        check_ids(swept, work, runner)
        steps = _all_steps(runner, work, swept, measured, spent, grouped, cuts, ci)
        starts = _starts(steps, len(cuts) + 1, ci, confidence, None if grouped is None else "groups")
        key = [[stamp["mark"] for stamp in steps], confidence]
        paths = [stamp["path"] for stamp in steps]
        tasks = [
            (folder / f"part-{number:05d}.parquet", mark_of("merged", key, number), (paths, number, start))
            for number, start in enumerate(starts)
        ]
        _remove_others(folder, {path for path, *_ in tasks})
        sizes = run_kept(runner, _merged, tasks, "Merging")
        remove(work)
    curve = _read_thinned([path for path, *_ in tasks], sizes, max_points)
    n_abstained = sum(stamp["n_abstained"] for stamp in steps)
    curve.attrs = {"n": swept.n_rows, "n_abstained": n_abstained, "n_points": sum(s["n"] for s in sizes)} | curve.attrs
    ends = starts[0].ends
    if ends is not None:
        curve.attrs |= {"confidence": confidence, "interval": "pointwise, over prompts, router held fixed"}
        curve.attrs |= {"n_groups": round(starts[0].n_groups)} if grouped is not None else {}
        curve.attrs |= {"note": ends["note"]} if ends["note"] else {}
    if note := measured.provenance or swept.provenance:
        curve.attrs["provenance"] = note
    return curve


class _Switches(NamedTuple):
    """A partition's file of switches: how many, and evenly spaced ones' willingness to pay, falling."""

    n_rows: int
    spread: list[float]


def _switches_of(swept: Folder) -> list[_Switches]:
    """Look at the ends of the files of switches, which say how they are spread."""
    pa = arrow()
    found = []
    for part in swept.parts:
        path = switches_at(part.path)
        where, remedy = f"file {str(path)!r}", "Run route_parquet or sweep_parquet again."
        try:
            n_rows = pa.parquet.read_metadata(path).num_rows
        except (pa.ArrowException, OSError) as error:
            reject(where, f"cannot be read ({error}).", remedy, PartitionError)
        stamp = stamp_of(path)
        if "spread" not in stamp or stamp != stamp_of(Path(part.path)):
            reject(where, f"was not written together with {part.path!r}.", remedy, PartitionError)
        found.append(_Switches(n_rows, stamp["spread"]))
    return found


def _cuts(switches: list[_Switches], n_switches: int) -> NDArray[np.float64]:
    """Willingnesses to pay, falling, that cut all switches into ranges of about the same number.

    Between the known ones of a file, its switches are taken to be spread evenly. Equal ones stay in one range; a
    partition has each only once.
    """
    n_ranges = -(-n_switches // ROWS_PER_RANGE)
    if n_ranges < 2:
        return np.empty(0)
    filled = [one for one in switches if one.n_rows]
    most = int(np.clip(4_000_000 // len(filled), 64, 1024))
    wtp, rows = [], []
    for one in filled:
        n = min(one.n_rows, most)
        wtp.append(np.interp((np.arange(n) + 0.5) / n, np.linspace(0, 1, len(one.spread)), one.spread))
        rows.append(np.full(n, one.n_rows / n))
    value, passed = np.concatenate(wtp), np.concatenate(rows)
    order = np.argsort(-value, kind="stable")
    passed = np.cumsum(passed[order])
    place = np.searchsorted(passed, n_switches * np.arange(1, n_ranges) / n_ranges)
    return np.unique(value[order][place])[::-1]


def _all_steps(
    runner: Runner,
    work: Path,
    swept: Folder,
    measured: Folder,
    spent: Any,
    grouped: tuple[Folder, str] | None,
    cuts: NDArray[np.float64],
    ci: bool,
) -> list[dict[str, Any]]:
    """Write each partition's steps by range, or, with groups, each bucket of groups; return what their files say."""
    costs = parts_of(spent, measured)
    group_parts = [(None, "")] * len(swept.parts) if grouped is None else [(p, grouped[1]) for p in grouped[0].parts]
    centre = runner.map(_centre, [(swept.parts[0], measured.parts[0], costs[0])], "Looking at the first partition")[0]
    n_buckets, exact = 0 if grouped is None else 1 + (2 * swept.n_rows) // ROWS_PER_BUCKET, exact_rows(swept.n_rows)
    tasks: list[tuple[Path, str, tuple[Any, ...]]] = []
    for number, (part, quality, price, of) in enumerate(
        zip(swept.parts, measured.parts, costs, group_parts, strict=True)
    ):
        sources = [part.mark, quality.mark, getattr(price, "mark", price), getattr(of[0], "mark", None), of[1]]
        mark = mark_of("steps", sources, cuts.tolist(), centre, ci, n_buckets, exact)
        args = (part, quality, price, centre, cuts, ci, of, n_buckets, exact)
        tasks.append((work / f"steps-{number:05d}.arrow", mark, args))
    stamps = run_kept(runner, _steps, tasks, "Scoring")
    paths = [str(path) for path, *_ in tasks]
    n_abstained = sum(stamp["n_abstained"] for stamp in stamps)
    if grouped is not None:
        key = [stamp["mark"] for stamp in stamps]
        tasks = [
            (work / f"groups-{number:05d}.arrow", mark_of("grouped", key, number), (paths, number, centre, cuts))
            for number in range(n_buckets)
        ]
        stamps = run_kept(runner, _grouped_steps, tasks, "Scoring by group")
        paths = [str(path) for path, *_ in tasks]
        stamps = [stamp | {"n_abstained": n_abstained if not number else 0} for number, stamp in enumerate(stamps)]
    return [stamp | {"path": path, "centre": centre} for stamp, path in zip(stamps, paths, strict=True)]


class _Scored(NamedTuple):
    """A partition's prompts and their models' outcomes, cost before quality."""

    ids: Any
    best: NDArray[np.intp]
    n_abstained: int
    outcomes: list[NDArray[np.float64]]


def _scored(part: Part, quality: Part, cost: Any) -> _Scored:
    ids, best, abstained, models = sweep_of(part)
    outcomes, measured = outcomes_of(part, ids, quality, cost)
    order = measured.get_indexer(models)
    if (order < 0).any():
        absent = [model for model, place in zip(models, order, strict=True) if place < 0]
        wrong = f"has no column {absent[0]!r}, a model of the sweep in {part.path!r}."
        reject(f"file {quality.path!r}", wrong, "Measure every model that the router may choose.", PartitionError)
    values = [outcomes.cost.to_numpy(), outcomes.quality.to_numpy()]
    if not np.array_equal(order, np.arange(len(measured))):
        values = [value[:, order] for value in values]
    return _Scored(ids, best, int(abstained.sum()), values)


def _centre(part: Part, quality: Part, cost: Any) -> tuple[float, float]:
    """Means of the first partition at the first point: squares are summed about them, which keeps their digits."""
    scored = _scored(part, quality, cost)
    spent, worth = (float(value[np.arange(len(scored.best)), scored.best].mean()) for value in scored.outcomes)
    return spent, worth


def _read_switches(part: Part) -> tuple[NDArray[Any], ...]:
    table = arrow().parquet.read_table(switches_at(part.path), partitioning=None)
    return tuple(column.to_numpy() for column in table.columns)


def _steps(
    path: Path,
    mark: str,
    part: Part,
    quality: Part,
    cost: Any,
    centre: tuple[float, float],
    cuts: NDArray[np.float64],
    ci: bool,
    group: tuple[Part | None, str],
    n_buckets: int,
    exact: int,
) -> None:
    """Turn a partition's switches into steps of the totals."""
    scored = _scored(part, quality, cost)
    prompt, origin, target, wtp = _read_switches(part)
    row = np.arange(len(scored.best))
    held = [value[row, scored.best] - middle for value, middle in zip(scored.outcomes, centre, strict=True)]
    moves = [
        (value[prompt, origin] - middle, value[prompt, target] - middle)
        for value, middle in zip(scored.outcomes, centre, strict=True)
    ]
    step = [after - before for before, after in moves]
    dearest = scored.outcomes[0].max(axis=1)
    stamp: dict[str, Any] = {"n": len(row), "n_abstained": scored.n_abstained}
    if group[0] is not None:  # prompts and their switches, for the bucket of their group
        key = read_groups(group[0], group[1], scored.ids, part)
        columns = {
            "wtp": np.concatenate([np.full(len(row), np.nan), wtp]),
            "cost": np.concatenate([held[0], step[0]]),
            "quality": np.concatenate([held[1], step[1]]),
            "dearest": np.concatenate([dearest, np.zeros(len(wtp))]),
        }
        into_buckets(path, mark, np.concatenate([key, key[prompt]]), columns, n_buckets, **stamp)
        return
    columns = dict(zip(_VALUES, step, strict=True))
    if ci:
        columns |= {f"{name}_squares": b * b - a * a for name, (a, b) in zip(_VALUES, moves, strict=True)}
        stamp["dearest"] = tally(dearest, exact=exact).tolist()
    stamp["sizes"] = [[1.0, float(len(row))]]
    stamp["start"] = {name: float(value.sum()) for name, value in zip(_VALUES, held, strict=True)}
    stamp["start"] |= {f"{name}_squares": float(value @ value) for name, value in zip(_VALUES, held, strict=True)}
    _write_steps(path, mark, wtp, columns, cuts, stamp)


def _grouped_steps(
    path: Path, mark: str, paths: list[str], number: int, centre: tuple[float, float], cuts: NDArray[np.float64]
) -> None:
    """Do the same for a bucket of groups, whose prompts come from all partitions."""
    rows = from_buckets(paths, number)
    first, code = np.isnan(rows["wtp"]), pd.factorize(rows["key"])[0]
    moved = np.flatnonzero(~first)
    moved = moved[np.argsort(-rows["wtp"][moved], kind="stable")]
    n_groups = int(code.max()) + 1 if len(code) else 0
    size = np.bincount(code[first], minlength=n_groups).astype(float)
    dearest = np.bincount(code[first], rows["dearest"][first], n_groups).astype(float)
    columns: dict[str, Any] = {}
    start: dict[str, Any] = {}
    for name in _VALUES:
        held = np.bincount(code[first], rows[name][first], n_groups).astype(float)
        step = rows[name][moved]
        before = _before(code[moved], step, held)
        columns |= {
            name: step,
            f"{name}_squares": step * (2 * before + step),
            f"{name}_crossed": step * size[code[moved]],
        }
        start |= {name: held.sum(), f"{name}_squares": held @ held, f"{name}_crossed": held @ size}
    sizes, count = np.unique(size, return_counts=True)
    stamp: dict[str, Any] = {
        "n": int(first.sum()),
        "sizes": np.column_stack([sizes, count]).astype(float).tolist(),
        "start": {name: float(value) for name, value in start.items()},
        "dearest": tally(dearest).tolist(),
    }
    _write_steps(path, mark, rows["wtp"][moved], columns, cuts, stamp)


def _before(group: NDArray[np.intp], step: NDArray[np.float64], held: NDArray[np.float64]) -> NDArray[np.float64]:
    """Total of each switch's group just before the switch."""
    order = np.argsort(group, kind="stable")
    ordered, stepped = group[order], step[order]
    passed = np.cumsum(stepped) - stepped
    first = np.append(True, ordered[1:] != ordered[:-1]) if len(order) else np.empty(0, dtype=bool)
    passed -= np.repeat(passed[first], np.diff(np.append(np.flatnonzero(first), len(order))))
    before = np.empty(len(order))
    before[order] = passed + held[ordered]
    return before


def _write_steps(
    path: Path,
    mark: str,
    wtp: NDArray[np.float64],
    columns: dict[str, NDArray[np.float64]],
    cuts: NDArray[np.float64],
    stamp: dict[str, Any],
) -> None:
    """Add up steps at equal willingness to pay, and write them range by range, with each range's sums."""
    first = np.flatnonzero(np.append(True, np.diff(wtp) != 0)) if len(wtp) else np.empty(0, dtype=np.intp)
    if len(first) < len(wtp):
        wtp, columns = wtp[first], {name: np.add.reduceat(value, first) for name, value in columns.items()}
    ends = [*np.searchsorted(-wtp, -cuts, side="right").tolist(), len(wtp)]
    sums = {
        name: [float(value[a:b].sum()) for a, b in zip([0, *ends[:-1]], ends, strict=True)]
        for name, value in columns.items()
    }
    write_batches(path, {"wtp": wtp, **columns}, ends, {"mark": mark, "sums": sums, **stamp})


def _starts(steps: list[dict[str, Any]], n_ranges: int, ci: bool, confidence: float, what: str | None) -> list[_Start]:
    """Add up what the files of steps say: where each range starts."""
    n = sum(stamp["n"] for stamp in steps)
    filled = [stamp for stamp in steps if stamp["n"]]  # a bucket may have no group
    size, count = np.concatenate([stamp["sizes"] for stamp in filled]).T
    n_groups = float(count.sum())
    ends = None
    if ci:
        worth, units = points(merge(stamp["dearest"] for stamp in filled))
        skewed = skewed_note(worth[:, 0], count=units, what=what or "prompts")
        few = None if what is None else few_groups_note(np.arange(min(round(n_groups), 10**4)))
        ends = {
            "quantile": float(stats.t.ppf((1 + confidence) / 2, cluster_df(size, count))),
            "dearest": float(sum(np.asarray(stamp["dearest"])[:, 1].sum() for stamp in filled)) / n,
            "refused": skewed is not None,
            "note": "; ".join(note for note in (few, skewed) if note),
        }
    names = list(steps[0]["sums"])
    sums = {
        name: np.add.accumulate(
            [
                sum(stamp["start"].get(name, 0.0) for stamp in steps),
                *(sum(stamp["sums"][name][k] for stamp in steps) for k in range(n_ranges)),
            ]
        )
        for name in names
    }

    def at(suffix: str, k: int) -> tuple[float, float]:
        spent, worth = (float(sums[name + suffix][k]) if name + suffix in sums else 0.0 for name in _VALUES)
        return spent, worth

    centre = steps[0]["centre"]
    squared = float(count @ size**2)
    return [
        _Start(n, n_groups, squared, tuple(centre), at("", k), at("_squares", k), at("_crossed", k), ends)
        for k in range(n_ranges)
    ]


def _merged(path: Path, mark: str, paths: list[str], number: int, start: _Start) -> None:
    """Merge one range of all files of steps, and write its operating points."""
    batches = [read_batch(one, number) for one in paths]
    rows = {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}
    del batches
    order = np.argsort(-rows["wtp"], kind="stable")
    wtp = rows.pop("wtp")[order]
    last = np.flatnonzero(np.append(np.diff(wtp) != 0, True)) if len(wtp) else np.empty(0, dtype=np.intp)
    lead = number == 0  # its first row is the best quality, before any switch

    def running(name: str, begin: float) -> NDArray[np.float64]:
        passed = begin + np.cumsum(rows[name][order])[last]
        return np.append(begin, passed) if lead else passed

    columns = {"willingness_to_pay": np.append(np.inf, wtp[last]) if lead else wtp[last]}
    total = [running(name, begin) for name, begin in zip(_VALUES, start.total, strict=True)]
    for name, value, middle in zip(("cost_usd", "quality"), total, start.centre, strict=True):
        columns[name] = middle + value / start.n
    if start.ends is not None:
        variances = []
        for k, name in enumerate(_VALUES):
            squares, mean = running(f"{name}_squares", start.squares[k]), total[k] / start.n
            crossed = running(f"{name}_crossed", start.crossed[k]) if f"{name}_crossed" in rows else total[k]
            variances.append(_variance(squares, crossed, mean, start))
        columns |= _ends(columns, variances, start)
    write_parquet(path, columns, {"kind": "frontier", "mark": mark, "n": len(columns["quality"])})


def _variance(squares: Any, crossed: Any, mean: Any, start: _Start) -> Any:
    """Variance of a mean over groups, from sums of squares and products."""
    if start.n_groups < 2:
        return np.full(len(mean), np.nan)
    residual = squares - 2 * mean * crossed + mean**2 * start.squared_sizes
    return np.maximum(residual, 0) / start.n**2 * start.n_groups / (start.n_groups - 1)


def _ends(columns: dict[str, Any], variances: list[Any], start: _Start) -> dict[str, Any]:
    """Return the ends of both intervals at each point."""
    ends = start.ends or {}
    low, high = cost_ends(columns["cost_usd"], variances[0], ends["dearest"], start.n_groups, ends["quantile"])
    if ends["refused"]:
        low, high = np.full((2, len(low)), np.nan)
    worst, best = bounded_ends(columns["quality"], variances[1], start.n_groups, ends["quantile"])
    return {"cost_low": low, "cost_high": high, "quality_low": worst, "quality_high": best}


def _remove_others(folder: Path, wanted: set[Path]) -> None:
    """Remove points of an earlier run with more ranges."""
    for path in folder.glob("part-*.parquet"):
        if path not in wanted:
            path.unlink()


def _read_thinned(paths: list[Path], sizes: list[dict[str, Any]], max_points: int | None) -> pd.DataFrame:
    """Read the points, all or thinned evenly along the cost as `frontier` does, one file after the other."""
    pa = arrow()
    n = sum(stamp["n"] for stamp in sizes)
    if max_points is None or n <= max_points:
        return pd.concat([pd.read_parquet(path, partitioning=None) for path in paths], ignore_index=True)
    low, high = np.inf, -np.inf
    for path in paths:
        spans = pa.parquet.read_table(path, columns=["cost_usd"], partitioning=None)["cost_usd"].to_numpy()
        if len(spans):
            low, high = min(low, spans.min()), max(high, spans.max())
    grid = np.linspace(low, high, max_points)
    found, least, first = [], np.inf, 0
    for path in paths:
        rows = pd.read_parquet(path, partitioning=None)
        falling = np.minimum(np.minimum.accumulate(rows["cost_usd"].to_numpy()), least)
        place = np.searchsorted(-falling, -grid[grid < least])
        kept = set(place[place < len(rows)].tolist())
        kept |= {0} if first == 0 else set()
        kept |= {len(rows) - 1} if len(rows) and first + len(rows) == n else set()
        found.append(rows.iloc[sorted(kept)])
        least, first = float(falling[-1]) if len(rows) else least, first + len(rows)
    curve = pd.concat(found, ignore_index=True)
    curve.attrs = {"thinned_from": n}
    return curve
