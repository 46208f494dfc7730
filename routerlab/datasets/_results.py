"""Result files of other tools, as the project's tables: promptfoo, Inspect, lm-evaluation-harness."""

import json
import math
import re
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from routerlab.datasets._dataset import Dataset, stamp
from routerlab.pricing import Prices, add_cost, estimate_tokens
from routerlab.schema import Scale, read_json, reject, shown, to_quality

Paths: TypeAlias = "str | Path | Sequence[str | Path]"
Row: TypeAlias = dict[str, Any]
SCORED = "test score"  # what quality is measured by: `routerlab.pivot_outcomes` mixes it with no other
_NUMBERS = ("input_tokens", "output_tokens", "cost_usd", "latency_s")
_GRADES = {"C": 1.0, "I": 0.0, "P": 0.5, "N": 0.0, "yes": 1.0, "no": 0.0, "true": 1.0, "false": 0.0}  # Inspect's own
_NOT_METRICS = {"doc_id", "doc", "target", "arguments", "resps", "filtered_resps", "filter", "metrics"}


def read_promptfoo(
    path: Paths, *, metric: str | None = None, scale: Scale | None = None, prices: Prices | None = None
) -> Dataset:
    """Read what ``promptfoo eval --output results.json`` (or ``.jsonl``) wrote.

    Parameters
    ----------
    path : str, Path or list of them
        Files, or folders of them.
    metric : str, optional
        A named score. By default the score of all assertions; 'pass' is whether they passed.
    scale : (float, float) or mapping, optional
        Of the scores, if they are not from 0 to 1: ``(1, 5)``, ``(0, 100)``.
    prices : mapping or DataFrame, optional
        Fills ``cost_usd`` where the file has none; see `routerlab.add_cost`.

    Returns
    -------
    Dataset
        ``prompts`` (a prompt for each test and text), ``responses`` and ``outcomes`` by provider. Quality is empty
        where a request failed or nothing was asserted; ``notes`` counts both. Of replies from promptfoo's cache, cost
        and latency are empty: they would be 0.

    Raises
    ------
    TableError
        A file that promptfoo did not write, or a field that cannot be read: file, record and field are named.

    Examples
    --------
    >>> import tempfile
    >>> graded = {"gradingResult": {"pass": True}, "score": 1, "testIdx": 0, "prompt": {"raw": "Capital of France?"}}
    >>> row = graded | {"provider": {"id": "openai:gpt-4o"}, "response": {"output": "Paris"}, "cost": 0.001}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder) / "results.json"
    ...     _ = file.write_text(json.dumps({"results": {"version": 3, "results": [row]}}))
    ...     read_promptfoo(file).outcomes[["model", "quality", "cost_usd"]].to_dict("records")
    [{'model': 'openai:gpt-4o', 'quality': 1.0, 'cost_usd': 0.001}]
    """
    rows: list[Row] = []
    files = _files(path, "*.json", "*.jsonl")
    for file in files:
        for where, record in _promptfoo_records(file):
            rows.append(_promptfoo_row(record, where, metric))
    texts: dict[Any, dict[str, None]] = {}
    for row in rows:
        texts.setdefault(row["test"], {})[row["prompt"]] = None
    for row in rows:
        of_test = list(texts[row["test"]])
        row["prompt_id"] = f"test {row['test']}" + (
            f", prompt {of_test.index(row['prompt'])}" if len(of_test) > 1 else ""
        )
    return _assembled("promptfoo", files, rows, scale, prices)


def _promptfoo_records(file: Path) -> Iterator[tuple[str, Row]]:
    if file.suffix == ".jsonl":
        yield from _lines(file)
        return
    found = _json(file)
    for _ in range(2):  # {"results": {"version": 3, "results": [...]}}
        found = found.get("results") if isinstance(found, dict) else found
    if not isinstance(found, list):
        reject(str(file), "has no list 'results' in 'results'.", "Write it with promptfoo eval --output results.json.")
    for number, record in enumerate(found):
        yield f"{file}, result {number}", _record(record, f"{file}, result {number}")


def _promptfoo_row(record: Row, where: str, metric: str | None) -> Row:
    response = _part(record, "response", where)
    provider = record.get("provider")
    model = (provider.get("label") or provider.get("id")) if isinstance(provider, dict) else provider
    prompt = record.get("prompt")
    usage, graded = _part(response, "tokenUsage", where), record.get("gradingResult")
    failed = record.get("failureReason") == 2 or (response.get("output") is None and bool(record.get("error")))
    named = _part(record, "namedScores", where)
    if metric is None or metric == "pass":
        score = record.get("score" if metric is None else "success")
    elif metric not in named and graded is not None and not failed:
        reject(f"{where}, 'namedScores'", f"has no {metric!r}; it has {shown(named, 8)}.", "Name one of these.")
    else:
        score = named.get(metric)
    cached = bool(response.get("cached"))
    row = {
        "where": where,
        "test": json.dumps(record.get("testIdx", record.get("vars")), sort_keys=True),
        "prompt": _text(prompt.get("raw") if isinstance(prompt, dict) else prompt, f"{where}, 'prompt.raw'"),
        "model": _text(model, f"{where}, 'provider.id'"),
        "response": None if failed else _said(response.get("output")),
        "score": None if failed or graded is None else score,
        "input_tokens": usage.get("prompt"),
        "output_tokens": usage.get("completion"),
        "cost_usd": None if cached else record.get("cost"),
        "latency_s": None if cached else _seconds(record.get("latencyMs"), f"{where}, 'latencyMs'"),
        "why": "failed" if failed else "nothing asserted" if graded is None else None,
    }
    if not row["input_tokens"] and not row["output_tokens"]:  # cached replies are counted apart
        row["input_tokens"] = row["output_tokens"] = None
    if row["cost_usd"] == 0 and not usage.get("total"):
        row["cost_usd"] = None
    return row


def read_inspect(
    path: Paths, *, metric: str | None = None, scale: Scale | None = None, prices: Prices | None = None
) -> Dataset:
    """Read evaluation logs of Inspect, ``.json`` or ``.eval``: one for each model.

    Parameters
    ----------
    path : str, Path or list of them
        Logs, or folders of them.
    metric : str, optional
        A scorer, or ``scorer.key`` of one that gives several values; needed if there is more than one.
    scale : (float, float) or mapping, optional
        Of the values. By default Inspect's own: C and 'yes' are 1, P is 1/2, I, N and 'no' are 0, numbers from 0 to 1.
    prices : mapping or DataFrame, optional
        Fills ``cost_usd``, from the tokens of the log; see `routerlab.add_cost`.

    Returns
    -------
    Dataset
        ``prompts`` (the last message of the user), ``responses`` and ``outcomes``; epochs of a sample are averaged.
        Quality is empty for samples that failed or were not scored; ``notes`` counts them.

    Raises
    ------
    TableError
        A file that Inspect did not write, or a field that cannot be read: file, sample and field are named.

    Examples
    --------
    >>> import tempfile
    >>> sample = {"id": "q1", "epoch": 1, "input": "2+2?", "output": {"completion": "4"}}
    >>> sample["scores"] = {"match": {"value": "C"}}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder) / "log.json"
    ...     _ = file.write_text(json.dumps({"eval": {"task": "sums", "model": "openai/gpt-4o"}, "samples": [sample]}))
    ...     read_inspect(file).outcomes[["prompt_id", "model", "quality"]].to_dict("records")
    [{'prompt_id': 'sums/q1', 'model': 'openai/gpt-4o', 'quality': 1.0}]
    """
    files = _files(path, "*.json", "*.eval")
    rows = []
    for file in files:
        header, samples = _inspect_log(file)
        about = _part(header, "eval", str(file))
        model = _text(about.get("model"), f"{file}, 'eval.model'")
        task = str(about.get("task") or "task")
        for where, sample in samples:
            rows.append(_inspect_row(sample, where, task, model, metric, plain=scale is None))
    return _assembled("Inspect", files, rows, scale, prices)


def _inspect_log(file: Path) -> tuple[Row, list[tuple[str, Row]]]:
    if file.suffix != ".eval":
        log = _record(_json(file), str(file))
        found = log.get("samples")
        if not isinstance(found, list) or "eval" not in log:
            reject(str(file), "has no 'eval', or no list 'samples'.", "Choose a log of Inspect that keeps its samples.")
        return log, [(f"{file}, sample {n}", _record(s, f"{file}, sample {n}")) for n, s in enumerate(found)]
    try:
        with zipfile.ZipFile(file) as archive:
            names = archive.namelist()
            head = next((name for name in ("header.json", "_journal/start.json") if name in names), None)
            parts = {name: archive.read(name) for name in names if name == head or re.match(r"samples/.*\.json$", name)}
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
        reject(str(file), f"cannot be opened ({error}).", "Convert it: inspect log convert FILE --to json.")
    if head is None:
        reject(str(file), "has no header.json.", "Choose a log of Inspect.")
    header = _record(_loads(parts.pop(head), f"{file}, {head}"), f"{file}, {head}")
    return header, [(f"{file}, {name}", _record(_loads(s, f"{file}, {name}"), name)) for name, s in parts.items()]


def _inspect_row(sample: Row, where: str, task: str, model: str, metric: str | None, *, plain: bool) -> Row:
    held = _part(sample, "attachments", where)
    output = _part(sample, "output", where)
    completion = output.get("completion")
    if completion is None and isinstance(output.get("choices"), list) and output["choices"]:
        completion = _part(_record(output["choices"][0], where), "message", where).get("content")
    usage = _part(_part(sample, "model_usage", where), model, where) or _part(output, "usage", where)
    failed = sample.get("error") is not None
    score = None if failed else _inspect_score(_part(sample, "scores", where), where, metric)
    if plain and isinstance(score, str):
        score = next((worth for grade, worth in _GRADES.items() if grade.casefold() == score.casefold()), score)
    read = ("input_tokens", "input_tokens_cache_read", "input_tokens_cache_write")
    seen = [_count(usage.get(name), f"{where}, {name!r}") for name in read]
    return {
        "where": where,
        "prompt_id": f"{task}/{sample.get('id')}",
        "prompt": _text(_message(sample.get("input"), held), f"{where}, 'input'"),
        "model": model,
        "response": None if failed else _message(completion, held, role="assistant"),
        "score": score,
        "input_tokens": sum(seen) if usage else None,
        "output_tokens": usage.get("output_tokens"),
        "cost_usd": usage.get("total_cost"),
        "latency_s": sample.get("working_time", sample.get("total_time")),
        "why": "failed" if failed else "not scored" if score is None else None,
    }


def _inspect_score(scores: Row, where: str, metric: str | None) -> Any:
    values: Row = {}
    for name, score in scores.items():
        value = score.get("value") if isinstance(score, dict) else score
        if isinstance(value, dict):
            values |= {f"{name}.{key}": one for key, one in value.items()}
        else:
            values[name] = value
    if not values:
        return None
    if metric is None and len(values) > 1:
        reject(f"{where}, 'scores'", f"has several: {shown(values, 8)}.", "Choose one: metric=...")
    if metric is not None and metric not in values:
        reject(f"{where}, 'scores'", f"has no {metric!r}; it has {shown(values, 8)}.", "Name one of these.")
    return values[metric] if metric is not None else next(iter(values.values()))


def read_lm_eval(
    path: Paths,
    *,
    model: str | None = None,
    metric: str | None = None,
    filter_name: str | None = None,
    scale: Scale | None = None,
    prices: Prices | None = None,
) -> Dataset:
    """Read ``samples_*.jsonl`` of lm-evaluation-harness (``lm_eval --log_samples --output_path ...``).

    Parameters
    ----------
    path : str, Path or list of them
        Files ``samples_<task>_<date>.jsonl``, or the folders in which they and ``results_<date>.json`` stand.
    model : str, optional
        Whose results these are. By default ``model_name`` of ``results_<date>.json`` next to each file, or the name of
        its folder.
    metric : str, optional
        Such as 'exact_match' or 'acc'; needed if samples have several.
    filter_name : str, optional
        Such as 'strict-match'; needed if answers were extracted in several ways.
    scale : (float, float) or mapping, optional
        Of the metric, if it is not from 0 to 1.
    prices : mapping or DataFrame, optional
        Fills ``cost_usd``, with tokens estimated from the texts: the harness keeps none. See `routerlab.add_cost`.

    Returns
    -------
    Dataset
        ``prompts`` (as sent; of chats the last message of the user), ``responses`` (generated text; empty for
        log-likelihood tasks) and ``outcomes``, keyed ``<task>/<doc_id>``.

    Raises
    ------
    TableError
        A file that the harness did not write, two runs of one model on a task, documents that differ under one number,
        or a field that cannot be read: file, line and field are named.

    Examples
    --------
    >>> import tempfile
    >>> sample = {"doc_id": 0, "arguments": {"gen_args_0": {"arg_0": "2+2="}}, "resps": [["4"]], "exact_match": 1.0}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder) / "samples_sums_2026-01-01T00-00-00.000000.jsonl"
    ...     _ = file.write_text(json.dumps(sample))
    ...     read_lm_eval(file, model="small").outcomes[["prompt_id", "model", "quality"]].to_dict("records")
    [{'prompt_id': 'sums/0', 'model': 'small', 'quality': 1.0}]
    """
    files = _files(path, "samples_*.jsonl")
    averages = [file.name for file in files if file.name.startswith("results_")]
    if averages:
        reject(shown(averages), "holds averages alone.", "Pass samples_*.jsonl, which lm_eval --log_samples writes.")
    rows: list[Row] = []
    runs: dict[tuple[str, str], Path] = {}
    documents: dict[str, tuple[Any, str]] = {}
    for file in files:
        task, name = _lm_eval_run(file, model)
        if (task, name) in runs:
            other = f"is a second run of {name!r} on {task!r}, after {runs[task, name].name}."
            reject(str(file), other, "Pass one of the files, or a name for each: read_lm_eval(file, model=...).")
        runs[task, name] = file
        chosen = [(w, s) for w, s in _lines(file) if filter_name is None or s.get("filter") in (filter_name, None)]
        filters = list(dict.fromkeys(str(s["filter"]) for _, s in chosen if s.get("filter") is not None))
        if len(filters) > 1:
            reject(str(file), f"has answers by several filters: {shown(filters)}.", "Choose one: filter_name=...")
        if not chosen:
            reject(str(file), f"has no sample with filter {filter_name!r}.", "Leave filter_name out to see them.")
        for where, sample in chosen:
            row = _lm_eval_row(sample, where, task, name, metric)
            known = documents.setdefault(row["prompt_id"], (sample.get("doc_hash"), where))
            if sample.get("doc_hash") != known[0]:
                reject(where, f"is another document than {known[1]}.", "Compare runs on the same data and limit.")
            rows.append(row)
    return _assembled("lm-evaluation-harness", files, rows, scale, prices)


def _lm_eval_run(file: Path, model: str | None) -> tuple[str, str]:
    parts = re.fullmatch(r"samples_(.+)_(\d{4}-\d{2}-\d{2}T[\d.-]+)", file.stem)
    task = parts.group(1) if parts else file.stem.removeprefix("samples_")
    if model is not None:
        return task, model
    results = file.with_name(f"results_{parts.group(2)}.json") if parts else file.with_name("results.json")
    if results.is_file():
        about = _record(_json(results), str(results))
        named = about.get("model_name") or _part(about, "config", str(results)).get("model")
        if isinstance(named, str) and named:
            return task, named
    return task, file.resolve().parent.name.replace("__", "/")


def _lm_eval_row(sample: Row, where: str, task: str, model: str, metric: str | None) -> Row:
    given = sample.get("metrics")
    known = given if isinstance(given, list) else [k for k in sample if not (k in _NOT_METRICS or k.endswith("_hash"))]
    texts = [name for name in known if isinstance(name, str)]
    names = [name for name in texts if isinstance(sample.get(name), bool | int | float | str)]
    if metric is None and len(names) != 1:
        reject(f"{where}, metrics", f"there are {len(names)}: {shown(names, 8)}.", "Choose one: metric=...")
    if metric is not None and metric not in sample:
        reject(f"{where}, {metric!r}", f"is missing; there are {shown(names, 8)}.", "Name one of these.")
    arguments = sample.get("arguments")
    every = list(arguments.values()) if isinstance(arguments, dict) else arguments
    first: Any = every[0] if isinstance(every, list) and every else None
    first = first.get("arg_0") if isinstance(first, dict) else first[0] if isinstance(first, list) and first else first
    if isinstance(first, list) and len(first) == 1 and isinstance(first[0], str):
        first = first[0]  # a chat, kept as JSON in a list
    if isinstance(first, str) and first.startswith('[{"role"'):
        first = _loads(first, f"{where}, 'arguments'")
    answer: Any = sample.get("resps") or sample.get("filtered_resps")
    while isinstance(answer, list) and len(answer) == 1:
        answer = answer[0]
    if "doc_id" not in sample:
        reject(f"{where}, 'doc_id'", "is missing.", "Choose a file that lm_eval --log_samples wrote.")
    return {
        "where": where,
        "prompt_id": f"{task}/{sample['doc_id']}",
        "prompt": _text(_message(first, {}), f"{where}, 'arguments'"),
        "model": model,
        "response": answer if isinstance(answer, str) else None,
        "score": sample[metric or names[0]],
    }


def _assembled(tool: str, files: list[Path], rows: list[Row], scale: Scale | None, prices: Prices | None) -> Dataset:
    """Make a data set of rows, one for each prompt and model; repetitions are averaged, and all that is odd noted."""
    if not rows:
        reject(shown(map(str, files)), "holds no results.", "Choose another file.")
    frame = pd.DataFrame(rows, columns=["prompt_id", "model", "prompt", "response", "score", *_NUMBERS, "why", "where"])
    frame["quality"] = to_quality(frame["score"], scale, where=f"{tool}, scores", names=frame["where"])
    for name in _NUMBERS:
        frame[name] = _numbers(frame[name], frame["where"])
    key = ["prompt_id", "model"]
    texts = frame.groupby("prompt_id", sort=False)["prompt"]
    groups = frame.groupby(key, sort=False)
    table = groups[["response"]].first().join(groups[[*_NUMBERS, "quality"]].mean()).reset_index()
    notes = [f"{n:,} results without quality: {why}" for why, n in frame["why"].value_counts().items()]
    if len(table) < len(frame):
        notes.append(f"{len(frame):,} results of {len(table):,} prompts and models: repetitions are averaged")
    if n := int(frame.drop_duplicates(["prompt_id", "prompt"])["prompt_id"].duplicated().sum()):
        notes.append(f"{n:,} prompts were sent in different words to different models; the first are kept")
    prompts = texts.first().to_frame()
    if prices is not None:
        words = prompts["prompt"].reindex(table["prompt_id"]).reset_index(drop=True)
        for name, text in (("input_tokens", words), ("output_tokens", table["response"])):
            if table[name].isna().any():
                table[name] = table[name].fillna(estimate_tokens(text.astype("str")).where(text.notna()))
                notes.append(f"{name} are estimated where the file has none (characters / 4)")
        table = add_cost(table, prices)
    outcomes = table[[*key, "quality", "cost_usd", "latency_s"]].assign(quality_scale=SCORED)
    responses = table[[*key, "response", *_NUMBERS]]
    stamp(f"{tool}: {', '.join(file.name for file in files[:3])}" + (", ..." if len(files) > 3 else ""),
          prompts, responses, outcomes)  # fmt: skip
    return Dataset(f"{tool} results", prompts, responses, outcomes=outcomes, source=str(files[0]), notes=notes)


def _numbers(column: pd.Series, where: pd.Series) -> pd.Series:
    values = pd.to_numeric(column, errors="coerce").astype(float)
    bad = (values.isna() & column.notna()) | (values < 0) | np.isinf(values)
    if bad.any():
        reject(
            f"{where[bad].iloc[0]}, {column.name}", f"got {column[bad].iloc[0]!r}, expected a number.", "Correct it."
        )
    return values


def _files(paths: Paths, *patterns: str) -> list[Path]:
    found: list[Path] = []
    for path in [paths] if isinstance(paths, str | Path) else paths:
        path = Path(path)
        if path.is_dir():
            inside = sorted(file for pattern in patterns for file in path.rglob(pattern))
            if not inside:
                reject(str(path), f"is a folder without {shown(patterns)}.", "Pass the folder of the results.")
            found += inside
        elif path.is_file():
            found.append(path)
        else:
            reject(str(path), "is not a file.", "Check the path.")
    return list(dict.fromkeys(found))


def _json(file: Path) -> Any:
    return _loads(file.read_bytes(), str(file))


def _loads(text: str | bytes, where: str) -> Any:
    try:
        return read_json(text.decode("utf-8-sig") if isinstance(text, bytes) else text)
    except (ValueError, RecursionError) as error:
        reject(where, f"is not JSON ({error}).", "Write it again; it may have been cut off.")


def _lines(file: Path) -> Iterator[tuple[str, Row]]:
    for number, line in enumerate(file.read_bytes().split(b"\n"), start=1):
        if line.strip():
            where = f"{file}, line {number}"
            yield where, _record(_loads(line, where), where)


def _record(value: Any, where: str) -> Row:
    if not isinstance(value, dict):
        reject(where, f"is a {type(value).__name__}, expected an object.", "Choose a file that the tool wrote.")
    return value


def _part(record: Row, name: str, where: str) -> Row:
    """Return an object within an object; an absent one is empty."""
    value = record.get(name)
    return {} if value is None else _record(value, f"{where}, {name!r}")


def _text(value: Any, where: str) -> str:
    if not isinstance(value, str) or not value.strip():
        reject(where, f"got {value!r:.60}, expected text.", "Leave that record out, or correct it.")
    return value


def _said(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _count(value: Any, where: str) -> float:
    if value is None:
        return 0
    if isinstance(value, bool) or not isinstance(value, int | float):
        reject(where, f"got {value!r:.60}, expected a number of tokens.", "Correct it.")
    return value


def _seconds(value: Any, where: str) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        reject(where, f"got {value!r}, expected milliseconds.", "Correct it.")
    return value / 1000


def _message(value: Any, attachments: Row, role: str = "user") -> str | None:
    """Return the text of a message, of its parts, or of the last message of `role`; attachments are looked up."""
    if isinstance(value, list):
        said = [m for m in value if isinstance(m, dict) and m.get("role") == role]
        if said or any(isinstance(m, dict) and "role" in m for m in value):
            return _message((said or value)[-1].get("content"), attachments, role)
        parts = [part if isinstance(part, str) else part.get("text") for part in value if isinstance(part, str | dict)]
        return "\n".join(part for part in parts if isinstance(part, str)) or None
    if isinstance(value, str):
        found = attachments.get(value.removeprefix("attachment://")) if value.startswith("attachment://") else value
        return found if isinstance(found, str) else value
    return None
