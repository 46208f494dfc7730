"""Savings on partitions: sums are added, and intervals come from weighted points that stand for the prompts."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from routerlab.evaluation import Savings
from routerlab.exceptions import DroppedRowsWarning, ParameterError, PartitionError
from routerlab.scale._folders import (
    Folder,
    Part,
    check_kinds,
    check_same_parts,
    mark_of,
    open_folder,
    open_outcomes,
    outcomes_of,
)
from routerlab.scale._partitioned import choices_of, parts_of
from routerlab.scale._shuffle import (
    ROWS_PER_BUCKET,
    check_ids,
    from_buckets,
    into_buckets,
    open_groups,
    read_groups,
)
from routerlab.scale._work import Runner, remove, results_in, run_kept, running_on, write_batches, write_parquet
from routerlab.schema import check_model, read_numbers, reject, shown
from routerlab.stats import (
    check_confidence,
    check_share,
    cluster_df,
    few_groups_note,
    mean_interval,
    ratio_interval,
    ratio_note,
)
from routerlab.tallies import EXACT, exact_rows, merge, points, tally

_METHOD = "score intervals over prompts, router held fixed"
_THOSE = "; of {:,} prompts those with a known outcome, weighted to stand for all given to the model"
_STAYS = "all of these prompts stay with {}, others may not; if none ever leaves, route with one model"
_ERRORS = "quality is {}'s: its errors hide losses; label a random part of the prompts: savings(people=)"
_SUMS = ("spent", "base", "difference", "quality", "baseline_quality", "weight")


def savings_parquet(
    choices: str | Path,
    quality: str | Path,
    cost: Any,
    to: str | Path,
    *,
    baseline: str,
    max_quality_loss: float = 0.01,
    router_cost: float | None = None,
    confidence: float = 0.95,
    groups: tuple[str | Path, str] | None = None,
    judged: bool | str = False,
    client: Any = None,
    n_workers: int = 2,
    progress: bool = True,
) -> Savings:
    """Compare choices with always calling the baseline, on partitions: the same numbers as `savings`'s.

    Parameters
    ----------
    choices : path of a folder of Parquet files
        ``prompt_id`` and ``model``, as `route_parquet` and `sweep_parquet` write them, or from anywhere else.
    quality, cost : path of a folder of Parquet files
        Measured outcomes: ``prompt_id`` and a column for each model, with the same prompts in files of the same name.
        Cells may be empty, as in `savings`. `cost` may be one price for each model (a mapping or Series).
    to : path of a folder
        For ``savings.parquet``, one row with all numbers, and for intermediate files.
    baseline : str
        The model that is paid for on every request today.
    max_quality_loss : float, default 0.01
        Largest acceptable loss of mean quality, as a share: 0.01 is one point.
    router_cost : float, optional
        The router's own cost in USD per request, added to the choices' cost.
    confidence : float, default 0.95
        Of the intervals.
    groups : (path, str), optional
        See `frontier_parquet`.
    judged : bool or str, default False
        Quality was measured by a judge model (or by this one).
    client, n_workers, progress
        See `embed_parquet`.

    Returns
    -------
    Savings
        As `savings` gives it. Means and sums are exact. Above 4,096 prompts (or groups), intervals are computed from
        points with the same sums, squares and products, in bins of an eighth of an octave.

    Raises
    ------
    PartitionError, ClusterError, SpillError
        See `embed_parquet`.

    Examples
    --------
    >>> import tempfile
    >>> folder, index = Path(tempfile.mkdtemp()), pd.Index(["p1", "p2", "p3"], name="prompt_id")
    >>> pd.DataFrame({"small": [1.0, 0.0, 1.0], "gpt-4": 1.0}, index).to_parquet(folder / "quality.parquet")
    >>> pd.DataFrame({"model": ["small", "gpt-4", "small"]}, index).to_parquet(folder / "choices.parquet")
    >>> prices = {"small": 0.001, "gpt-4": 0.01}
    >>> files = [folder / "choices.parquet", folder / "quality.parquet", prices, folder / "savings"]
    >>> round(savings_parquet(*files, baseline="gpt-4", n_workers=0, progress=False).saving, 3)
    0.6
    """
    check_confidence(confidence)
    margin = check_share(max_quality_loss, "max_quality_loss")
    own = _own_cost(router_cost)
    chosen = open_folder(
        choices, "choices", {"model": "text or numbers"}, "Write it with route_parquet, or name the column so."
    )
    check_kinds(chosen, {"abstained": "true or false"})
    measured, spent = open_outcomes(quality, cost, all_models=False)
    check_same_parts(chosen, measured)
    check_model(baseline, measured.parts[0].columns, "baseline")
    grouped = None if groups is None else open_groups(groups, chosen)
    sources = [folder for folder in (chosen, measured, spent) if isinstance(folder, Folder)]
    n_bytes = 0.0 if grouped is None else 72.0 * chosen.n_rows
    with (
        results_in(to, "savings", ["savings.parquet"], sources, n_bytes) as folder,
        running_on(client, n_workers, progress) as runner,
    ):
        work = folder / "_work"
        check_ids(chosen, work, runner)
        inputs = (runner, work, chosen, measured, spent, grouped, baseline, own)
        total = _add(_scored(*inputs, {}))
        if total["n"] < total["n_asked"]:
            total = _add(_scored(*inputs, _stand_in_weights(total)))
        if total["sums"]["base"] <= 0:
            where = f"'cost', folder {str(spent.root)!r}" if isinstance(spent, Folder) else "'cost'"
            reject(where, f"the baseline {baseline!r} costs nothing.", "Nothing can be saved: check its cost.")
        found = _claim(total, chosen, measured, baseline, margin, router_cost, own, confidence, grouped, judged)
        row = {name: [value] for name, value in _row(found).items()}
        write_parquet(folder / "savings.parquet", row, {"kind": "savings"})
        remove(work)
    return found


def _row(found: Savings) -> dict[str, Any]:
    row = found.to_frame().iloc[0].to_dict()
    return {name: "; ".join(value) if isinstance(value, tuple) else value for name, value in row.items()}


def _own_cost(router_cost: Any) -> float:
    if router_cost is None:
        return 0.0
    read = read_numbers(pd.Series([router_cost]))
    if not isinstance(read, np.ndarray) or not (np.isfinite(read[0]) and read[0] >= 0):
        wrong = f"must be a finite number of at least 0. Got {router_cost!r} instead."
        reject("'router_cost'", wrong, "USD per request.", ParameterError)
    return float(read[0])


def _scored(
    runner: Runner,
    work: Path,
    chosen: Folder,
    measured: Folder,
    spent: Any,
    grouped: tuple[Folder, str] | None,
    baseline: str,
    own: float,
    weights: dict[str, float],
) -> list[dict[str, Any]]:
    """Sum up each partition, and, with groups, each bucket of groups; return what their files say."""
    n_buckets, exact = 0 if grouped is None else 1 + chosen.n_rows // ROWS_PER_BUCKET, exact_rows(chosen.n_rows)
    group_parts = [(None, "")] * len(chosen.parts) if grouped is None else [(p, grouped[1]) for p in grouped[0].parts]
    tasks: list[tuple[Path, str, tuple[Any, ...]]] = []
    rows = zip(chosen.parts, measured.parts, parts_of(spent, measured), group_parts, strict=True)
    for number, (part, quality, price, of) in enumerate(rows):
        sources = [part.mark, quality.mark, getattr(price, "mark", price), getattr(of[0], "mark", None), of[1]]
        mark = mark_of("savings", sources, baseline, own, weights, n_buckets, exact)
        args = (part, quality, price, baseline, own, weights, of, n_buckets, exact)
        tasks.append((work / f"totals-{number:05d}.arrow", mark, args))
    stamps = run_kept(runner, _totals, tasks, "Scoring")
    if grouped is None:
        return stamps
    paths, key = [str(path) for path, *_ in tasks], [stamp["mark"] for stamp in stamps]
    tasks = [
        (work / f"groups-{number:05d}.arrow", mark_of("grouped", key, number), (paths, number))
        for number in range(n_buckets)
    ]
    return [*stamps, *run_kept(runner, _grouped, tasks, "Adding up groups")]


def _totals(
    path: Path,
    mark: str,
    part: Part,
    quality: Part,
    cost: Any,
    baseline: str,
    own: float,
    weights: dict[str, float],
    group: tuple[Part | None, str],
    n_buckets: int,
    exact: int,
) -> None:
    """Sum up what a partition's choices and the baseline cost and are worth."""
    ids, choices, abstained = choices_of(part)
    code, names = pd.factorize(choices)
    where = f"file {part.path!r}, column 'model'"
    if (code < 0).any():
        empty = shown(ids.take(np.flatnonzero(code < 0)).to_pylist())
        reject(where, f"is empty for prompt_id {empty}.", "Choose a model for each prompt.", PartitionError)
    used = pd.Index([baseline, *(name for name in names if name != baseline)])
    for measured in (quality, cost):
        odd = [] if isinstance(measured, dict) else [name for name in used if name not in measured.columns]
        if odd:
            wrong = f"names {shown(odd)}, which has no column in {measured.path!r}."
            reject(where, wrong, "Measure it, or correct the name.", PartitionError)
    row, place = np.arange(len(code)), used.get_indexer(names)
    cells = np.arange(len(used)) == place[code][:, None]
    cells[:, 0] = True  # the baseline's; what other models would have done does not count
    outcomes, models = outcomes_of(part, ids, quality, cost, list(used), cells)
    worth, price = outcomes.quality.to_numpy(), outcomes.cost.to_numpy()
    best, base = models.get_loc(baseline), price[:, models.get_loc(baseline)]
    spent, gained, before = price[row, place[code]] + own, worth[row, place[code]], worth[:, best]
    for value, of in ((spent, gained), (base, before)):
        if (odd := np.isnan(value) & ~np.isnan(of)).any():
            lost = shown(ids.take(np.flatnonzero(odd)).to_pylist())
            wrong = f"has no cost for prompt_id {lost}, whose quality is known."
            reject(f"file {part.path!r}", wrong, "Fill it, or empty that quality as well.", PartitionError)
    known = ~np.isnan(spent + base + gained + before)
    weight = pd.Series(names).map(lambda name: weights.get(name, 1.0)).to_numpy(dtype=float)[code]
    rows: dict[str, Any] = {"spent": spent * weight, "base": base * weight, "difference": (gained - before) * weight}
    rows |= {"quality": gained * weight, "baseline_quality": before * weight, "weight": weight}
    rows = {name: value[known] for name, value in rows.items()}
    counts = [np.bincount(codes, minlength=len(names)).tolist() for codes in (code, code[known])]
    stamp = {
        "n": int(known.sum()),
        "n_asked": len(code),
        "n_abstained": int(abstained.sum()),
        "sums": {name: float(value.sum()) for name, value in rows.items()},
        "models": {str(name): list(both) for name, *both in zip(names, *counts, strict=True)},
        "n_models": len(quality.columns),
        "same": bool(np.array_equal(rows["spent"], rows["base"])),
    }
    if group[0] is not None:
        key = read_groups(group[0], group[1], ids, part)[known]
        found, first = np.unique(key, return_inverse=True)
        sums = {name: np.bincount(first, rows[name], len(found)) for name in _SUMS}
        into_buckets(path, mark, found, sums | {"rows": np.bincount(first).astype(float)}, n_buckets, **stamp)
        return
    tallied = _tallied(rows, np.ones(int(known.sum())), exact)
    write_batches(path, {"n": [len(code)]}, [1], {"mark": mark, **stamp, **tallied})


def _grouped(path: Path, mark: str, paths: list[str], number: int) -> None:
    """Add up the groups of one bucket over all partitions."""
    rows = from_buckets(paths, number)
    code, seen = pd.factorize(rows["key"])
    sums = {name: np.bincount(code, rows[name], len(seen)) for name in (*_SUMS, "rows")}
    write_batches(path, {"n": [len(seen)]}, [1], {"mark": mark, **_tallied(sums, sums.pop("rows"), EXACT)})


def _tallied(rows: dict[str, Any], size: Any, exact: int) -> dict[str, Any]:
    """Tally what intervals need, with a unit of evidence in each row."""
    sizes, count = np.unique(size, return_counts=True)
    return {
        "costs": tally(rows["spent"], rows["base"], exact=exact).tolist(),
        "gains": tally(rows["difference"], rows["weight"], exact=exact).tolist(),
        "sizes": np.column_stack([sizes, count]).astype(float).tolist(),
    }


def _add(stamps: list[dict[str, Any]]) -> dict[str, Any]:
    """Add up what the files say."""
    parts = [stamp for stamp in stamps if "n_asked" in stamp]
    total: dict[str, Any] = {name: sum(stamp[name] for stamp in parts) for name in ("n", "n_asked", "n_abstained")}
    total["sums"] = {name: float(np.sum([stamp["sums"][name] for stamp in parts])) for name in _SUMS}
    total["models"] = {}
    for stamp in parts:
        for name, (asked, answered) in stamp["models"].items():
            before = total["models"].get(name, (0, 0))
            total["models"][name] = (before[0] + asked, before[1] + answered)
    total |= {"same": all(stamp["same"] for stamp in parts), "n_models": parts[0]["n_models"]}
    units = [stamp for stamp in stamps if "costs" in stamp and len(stamp["sizes"])]
    for name in ("costs", "gains"):
        total[name] = merge(stamp[name] for stamp in units) if units else np.empty((0, 6))
    total["sizes"] = np.concatenate([stamp["sizes"] for stamp in units]) if units else np.empty((0, 2))
    return total


def _stand_in_weights(total: dict[str, Any]) -> dict[str, float]:
    """Weights of prompts whose outcome is known, by the model that was chosen: they stand for all given to it."""
    unknown = [name for name, (_, answered) in total["models"].items() if not answered]
    if unknown:
        wrong = f"on no prompt that was given to {shown(unknown)} is its outcome known."
        reject("'quality' and 'cost'", wrong, "Have those responses judged, or evaluate a router without that model.")
    warnings.warn(
        f"savings: of {total['n_asked']:,} prompts, {total['n']:,} have a known outcome of the chosen model. They "
        "stand for the others, which is right if what is known does not depend on the prompt.",
        DroppedRowsWarning,
        stacklevel=3,
    )
    share = total["n"] / total["n_asked"]
    return {name: asked / answered * share for name, (asked, answered) in total["models"].items()}


def _claim(
    total: dict[str, Any],
    chosen: Folder,
    measured: Folder,
    baseline: str,
    margin: float,
    router_cost: float | None,
    own: float,
    confidence: float,
    grouped: Any,
    judged: bool | str,
) -> Savings:
    """Say what the sums come to."""
    sums, n = total["sums"], total["n"]
    size, count = total["sizes"].T
    n_groups = round(float(count.sum()))
    same = set(total["models"]) == {baseline}
    kept = same and (bool(chosen.stamp.get("always")) or total["n_models"] == 1)
    (cost_points, of_cost), (gain_points, of_gain) = points(total["costs"]), points(total["gains"])
    gain = (0.0, 0.0, 0.0)
    if not kept:
        weight = gain_points[:, 1]
        _, *ends = mean_interval(gain_points[:, 0] / weight, confidence=confidence, weight=weight, count=of_gain)
        gain = (sums["difference"] / sums["weight"], ends[0], ends[1])
    saving, note = (0.0, 0.0, 0.0), None
    if not (kept and total["same"]):
        df = cluster_df(size, count)
        _, low, high = ratio_interval(*cost_points.T, confidence=confidence, count=of_cost, df=df)
        note, _ = ratio_note(cost_points[:, 1], count=of_cost, what="groups" if grouped else "prompts")
        saving = (1 - sums["spent"] / sums["base"], 1 - high, 1 - low)
    judge = judged if isinstance(judged, str) else "the judge" if judged else None
    few = None if grouped is None else few_groups_note(np.arange(min(n_groups, 1000)))
    stays = _STAYS.format(baseline) if same and not kept else None
    notes = (stays, few, note, _ERRORS.format(judge) if judge else None)
    n_asked = total["n_asked"]
    return Savings(
        baseline=baseline,
        n=n,
        saving=saving[0],
        saving_low=saving[1],
        saving_high=saving[2],
        quality_difference=gain[0],
        quality_low=gain[1],
        quality_high=gain[2],
        quality=sums["quality"] / sums["weight"],
        baseline_quality=sums["baseline_quality"] / sums["weight"],
        cost_usd=sums["spent"] / n,
        baseline_cost_usd=sums["base"] / n,
        router_cost_usd=None if router_cost is None else own,
        shares={name: asked / n_asked for name, (asked, _) in total["models"].items()},
        n_abstained=total["n_abstained"],
        margin=margin,
        confidence=confidence,
        n_groups=None if grouped is None else n_groups,
        judge=judge,
        notes=tuple(text for text in notes if text),
        method=_METHOD + (_THOSE.format(n_asked) if n < n_asked else ""),
        provenance=measured.provenance or chosen.provenance,
    )
