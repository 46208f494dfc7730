"""Judgments to and from JSONL, and the columns of evalica and arena-rank."""

import json
import math
import re
import warnings
from collections.abc import Mapping
from datetime import date, time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from routerlab.jsonl import replace_file
from routerlab.schema import (
    DroppedRowsWarning,
    check_judgments,
    check_prompts,
    check_responses,
    read_json,
    reject,
    shown,
)

_EVALICA = {"model_a": "left", "model_b": "right", "tie": "tie", "both_bad": "tie"}
_ARENA = {"tie (bothbad)": "both_bad"}
_LABELS = {"model_a": "A is better", "model_b": "B is better", "tie": "Tie", "both_bad": "Both bad"}
_SCORES = {"model_a": 1.0, "model_b": -1.0, "tie": 0.0, "both_bad": 0.0}
_OTHER = {"model_a": "model_b", "model_b": "model_a"}
_SAID = {"tie": "tie", "same": "tie", "sameas": "tie", "both bad": "both_bad"}
# "A is much better" in its own runner; "SlightlyBetterThan", of the response shown first, in what its page shows.
_BETTER = re.compile(r"([ab]) is (?:much |slightly )?better")
_THAN = re.compile(r"(?:much|slightly)?(better|worse)than")
_OURS = {"source_path": "routerlab", "rating_labels": "as shown"}  # 0.1.0 wrote them about the models as listed
_TEXTS = ("input_text", "output_text_a", "output_text_b")


def write_jsonl(judgments: pd.DataFrame, path: str | Path) -> None:
    """Write judgments, one JSON object in each line.

    Parameters
    ----------
    judgments : DataFrame of shape (n_judgments, n_columns)
        See `routerlab.schema.check_judgments`. Empty cells are left out, times are written in ISO 8601.
    path : str or Path
        The file; one that exists is replaced as a whole, once all of the new one is on the disk.

    Raises
    ------
    TableError
        See `check_judgments`; a cell that JSON cannot hold. A file that was there is as it was.

    Examples
    --------
    >>> import tempfile
    >>> votes = pd.DataFrame({"prompt_id": ["p1"], "model_a": ["x"], "model_b": ["y"], "winner": ["tie"]})
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_jsonl(votes, Path(folder) / "votes.jsonl")
    ...     read_jsonl(Path(folder) / "votes.jsonl").equals(votes)
    True
    """
    frame = check_judgments(judgments)
    lines = []
    for row in frame.to_dict("records"):
        kept = {str(name): _plain(value) for name, value in row.items() if not _empty(value)}
        try:
            text = json.dumps(kept, ensure_ascii=False)
        except (TypeError, ValueError) as error:
            reject(f"judgments table, row {row['prompt_id']!r}", f"holds what JSON cannot: {error}.", "Make it text.")
        lines.append((text + "\n").encode(errors="backslashreplace"))
    replace_file(path, b"".join(lines))


def read_jsonl(path: str | Path) -> pd.DataFrame:
    """Read judgments that `write_jsonl`, or anything like it, wrote.

    Parameters
    ----------
    path : str or Path
        The file.

    Returns
    -------
    DataFrame of shape (n_judgments, n_columns)
        A judgments table; ``judged_at`` as times.

    Raises
    ------
    TableError
        A line that is not a JSON object (it is named); see `check_judgments`.
    """
    rows = []
    with Path(path).open(encoding="utf-8-sig") as handle:
        for number, line in enumerate(handle, 1):
            if not line.strip():
                continue
            try:
                row = read_json(line)
            except ValueError as error:
                reject(f"{path}, line {number}", f"is not JSON ({error}).", "Correct or remove that line.")
            if not isinstance(row, dict):
                reject(f"{path}, line {number}", "is not a JSON object.", "Correct or remove that line.")
            rows.append(row)
    frame = pd.DataFrame(rows, columns=None if rows else ["prompt_id", "model_a", "model_b", "winner"])
    if "judged_at" in frame:
        frame["judged_at"] = pd.to_datetime(frame["judged_at"], utc=True, format="ISO8601")
    return check_judgments(frame)


def _empty(value: Any) -> bool:
    return value is None or (not isinstance(value, list | dict) and bool(pd.isna(value)))


def _plain(value: Any) -> Any:
    """Turn a cell into what JSON holds."""
    if isinstance(value, date | time):
        return value.isoformat()
    return value.item() if isinstance(value, np.generic) else value


def to_evalica(judgments: pd.DataFrame) -> pd.DataFrame:
    """Return the columns that evalica's command line reads.

    Parameters
    ----------
    judgments : DataFrame of shape (n_judgments, n_columns)
        See `routerlab.schema.check_judgments`.

    Returns
    -------
    DataFrame of shape (n_judgments, 4)
        ``left, right, winner`` in {'left', 'right', 'tie'} (both_bad becomes a tie: evalica has no such verdict), and
        ``prompt_id``.

    Examples
    --------
    >>> votes = pd.DataFrame({"prompt_id": ["p1"], "model_a": ["x"], "model_b": ["y"], "winner": ["model_b"]})
    >>> to_evalica(votes).loc[0, "winner"]
    'right'
    """
    frame = check_judgments(judgments)
    columns = {"left": frame["model_a"], "right": frame["model_b"], "winner": frame["winner"].map(_EVALICA)}
    return pd.DataFrame({**columns, "prompt_id": frame["prompt_id"]})


def from_evalica(table: pd.DataFrame) -> pd.DataFrame:
    """Turn evalica's columns into a judgments table.

    Parameters
    ----------
    table : DataFrame
        ``left, right, winner``. Without ``prompt_id``, each row counts as a prompt of its own.

    Returns
    -------
    DataFrame
        A judgments table; other columns pass through.

    Raises
    ------
    TableError
        Another verdict; see `check_judgments`.

    Examples
    --------
    >>> from_evalica(pd.DataFrame({"left": ["x"], "right": ["y"], "winner": ["tie"]})).loc[0, "model_a"]
    'x'
    """
    back = {"left": "model_a", "right": "model_b"}
    return _imported(table.rename(columns=back), back, "left, right, tie")


def to_arena(judgments: pd.DataFrame) -> pd.DataFrame:
    """Return the columns that arena-rank's ``PairDataset`` reads.

    Parameters
    ----------
    judgments : DataFrame of shape (n_judgments, n_columns)
        See `routerlab.schema.check_judgments`.

    Returns
    -------
    DataFrame of shape (n_judgments, 4)
        ``model_a, model_b, winner`` in {'model_a', 'model_b', 'tie', 'both_bad'}, ``prompt_id``.

    Examples
    --------
    >>> votes = pd.DataFrame({"prompt_id": ["p1"], "model_a": ["x"], "model_b": ["y"], "winner": ["both_bad"]})
    >>> to_arena(votes).loc[0, "winner"]
    'both_bad'
    """
    return check_judgments(judgments)[["model_a", "model_b", "winner", "prompt_id"]].reset_index(drop=True)


def from_arena(table: pd.DataFrame) -> pd.DataFrame:
    """Turn arena columns into a judgments table.

    Parameters
    ----------
    table : DataFrame
        ``model_a, model_b, winner``; 'tie (bothbad)', as older files say, is both_bad. Without ``prompt_id``,
        ``question_id`` or ``id`` names the prompt, or else each row counts as a prompt of its own.

    Returns
    -------
    DataFrame
        A judgments table; other columns pass through.

    Raises
    ------
    TableError
        Another verdict; see `check_judgments`.

    Examples
    --------
    >>> from_arena(pd.DataFrame({"model_a": ["x"], "model_b": ["y"], "winner": ["tie (bothbad)"]})).loc[0, "winner"]
    'both_bad'
    """
    name = next((c for c in ("prompt_id", "question_id", "id") if c in table), None)
    frame = table if name in (None, "prompt_id") else table.rename(columns={name: "prompt_id"})
    return _imported(frame, _ARENA, "model_a, model_b, tie, both_bad")


def _imported(frame: pd.DataFrame, verdicts: Mapping[str, str], known: str) -> pd.DataFrame:
    frame = frame.reset_index(drop=True)
    if "prompt_id" not in frame:
        frame = frame.assign(prompt_id=[f"row {k}" for k in range(len(frame))])
    if "winner" in frame:
        frame["winner"] = frame["winner"].replace(dict(verdicts))
    return check_judgments(frame)


class ComparatorTables(NamedTuple):
    """What an llm-comparator file holds: tables that routerlab works on."""

    prompts: pd.DataFrame
    responses: pd.DataFrame
    judgments: pd.DataFrame


def to_llm_comparator(
    judgments: pd.DataFrame,
    responses: pd.DataFrame,
    prompts: pd.DataFrame,
    *,
    model_a: str,
    model_b: str,
    tags: str = "intent",
) -> dict[str, Any]:
    """Return the JSON that llm-comparator shows: one pair of models, an example for each prompt.

    Parameters
    ----------
    judgments : DataFrame of shape (n_judgments, n_columns)
        Those on `model_a` and `model_b` are taken, in either order; ``is_flipped`` says that `model_b` was on the left.
    responses, prompts : DataFrame
        See `routerlab.schema.check_responses` and `check_prompts`.
    model_a, model_b : str
        The two models.
    tags : str, default 'intent'
        Column of `prompts` that becomes each example's tag, if there is one.

    Returns
    -------
    dict
        For ``json.dump``. Scores are 1 (`model_a` is better), -1 or 0, an example's is their mean. ``rating_label``
        spells the verdict out as the rater saw it: where ``is_flipped``, its A is `model_b`.

    Raises
    ------
    TableError
        No judgment on the two models; a response that is missing.

    References
    ----------
    M. Kahng et al., "LLM Comparator", CHI 2024.

    Examples
    --------
    >>> prompts = pd.DataFrame({"prompt_id": ["p1"], "prompt": ["Capital of France?"]})
    >>> texts = {"prompt_id": ["p1", "p1"], "model": ["x", "y"], "response": ["Paris.", "Lyon."]}
    >>> votes = pd.DataFrame({"prompt_id": ["p1"], "model_a": ["y"], "model_b": ["x"], "winner": ["model_b"]})
    >>> data = to_llm_comparator(votes, pd.DataFrame(texts), prompts, model_a="x", model_b="y")
    >>> data["examples"][0]["score"], data["examples"][0]["individual_rater_scores"][0]["is_flipped"]
    (1.0, True)
    """
    frame = check_judgments(judgments)
    frame = frame[frame[["model_a", "model_b"]].isin([model_a, model_b]).all(axis=1)]
    if not len(frame):
        reject("judgments table", f"holds none on {model_a!r} and {model_b!r}.", "Name two models that were compared.")
    texts = check_responses(responses).set_index(["prompt_id", "model"])["response"]
    known = check_prompts(prompts)
    examples = []
    for prompt_id, votes in frame.groupby("prompt_id", sort=False):
        ratings = [_rating(vote, model_a) for vote in votes.to_dict("records")]
        tag = known[tags].get(prompt_id) if tags in known else None
        example = {
            "input_text": _text(known["prompt"], prompt_id, "prompts"),
            "tags": [] if pd.isna(tag) else [str(tag)],
            "output_text_a": _text(texts, (prompt_id, model_a), "responses"),
            "output_text_b": _text(texts, (prompt_id, model_b), "responses"),
            "score": sum(r["score"] for r in ratings) / len(ratings),
            "individual_rater_scores": ratings,
            "custom_fields": {"prompt_id": str(prompt_id)},
        }
        examples.append(example)
    return {
        "metadata": {**_OURS, "custom_fields_schema": [{"name": "prompt_id", "type": "string"}]},
        "models": [{"name": model_a}, {"name": model_b}],
        "examples": examples,
    }


def from_llm_comparator(data: Mapping[str, Any] | str | Path, *, tie_within: float = 0.0) -> ComparatorTables:
    """Read llm-comparator's JSON into tables.

    Parameters
    ----------
    data : dict, str or Path
        What `to_llm_comparator` returns, or a JSON file.
    tie_within : float, default 0
        Scores whose absolute value is at most this are ties.

    Returns
    -------
    ComparatorTables
        ``(prompts, responses, judgments)``: a judgment for each individual rating, or, where there are none, for
        the example's score. ``model_a`` is the model that was shown first. ``judgments.attrs["n_left_out"]``: ratings
        without a score and with no label that is known.

    Raises
    ------
    TableError
        Not an llm-comparator file; a rating whose score and label name different winners; a score that is not a
        finite number.

    Warns
    -----
    DroppedRowsWarning
        How many ratings were left out.

    Notes
    -----
    The score decides: positive, the first of ``models`` is better, flipped or not. ``rating_label`` tells two bad
    responses from a tie, and stands in for a score that is missing; it is about the responses as shown: in a
    flipped rating its A is the second model.

    Examples
    --------
    >>> example = {"input_text": "Hi?", "tags": ["Chat"], "output_text_a": "Hello", "output_text_b": "No", "score": 0.5}
    >>> tables = from_llm_comparator({"models": [{"name": "x"}, {"name": "y"}], "examples": [example]})
    >>> tables.judgments.loc[0, "winner"], tables.prompts["intent"].tolist()
    ('model_a', ['Chat'])
    """
    source = data if isinstance(data, Mapping) else read_json(Path(data).read_text(encoding="utf-8"))
    a, b = _models(source)
    about = source.get("metadata")
    old = isinstance(about, Mapping) and about.get("source_path") == "routerlab" and "rating_labels" not in about
    n_left_out = 0
    prompts, responses, judgments = [], [], []
    for k, example in enumerate(source["examples"]):
        _check_example(k, example)
        about_it, tags = example.get("custom_fields"), example.get("tags")
        prompt_id = about_it.get("prompt_id") if isinstance(about_it, Mapping) else None
        prompt_id = prompt_id if isinstance(prompt_id, str | int) else f"example {k}"
        tags = tags if isinstance(tags, list) and tags else [None]
        prompts.append({"prompt_id": prompt_id, "prompt": example["input_text"], "intent": tags[0]})
        for model, side in ((a, "output_text_a"), (b, "output_text_b")):
            responses.append({"prompt_id": prompt_id, "model": model, "response": example[side]})
        ratings = example.get("individual_rater_scores") or [example]
        if not isinstance(ratings, list):
            where = f"llm-comparator JSON, example {k}, 'individual_rater_scores'"
            reject(where, f"is {type(ratings).__name__}, not a list.", "Leave it out.")
        for r, rating in enumerate(ratings):
            where = f"llm-comparator JSON, example {k}" + (f", rating {r}" if rating is not example else "")
            if not isinstance(rating, Mapping):
                reject(where, f"is {type(rating).__name__}, not an object.", "Leave that rating out.")
            winner = _winner(rating, where, tie_within, flipped_labels=not old)
            n_left_out += winner is None
            judgments += [] if winner is None else [_judgment(rating, winner, prompt_id, a, b)]
    if n_left_out:
        warnings.warn(
            f"from_llm_comparator left out {n_left_out} of {n_left_out + len(judgments)} ratings: without a score, and "
            "with no label that is known.",
            DroppedRowsWarning,
            stacklevel=2,
        )
    columns = ["prompt_id", "model_a", "model_b", "winner"]
    table = check_judgments(pd.DataFrame(judgments) if judgments else pd.DataFrame(columns=columns))
    table.attrs["n_left_out"] = n_left_out
    return ComparatorTables(
        check_prompts(pd.DataFrame(prompts, columns=["prompt_id", "prompt", "intent"])),
        check_responses(pd.DataFrame(responses, columns=["prompt_id", "model", "response"])),
        table,
    )


def _rating(vote: Mapping[str, Any], model_a: str) -> dict[str, Any]:
    """Express a vote with `model_a` as A, whatever its side."""
    flipped = vote["model_a"] != model_a
    winner = _OTHER.get(vote["winner"], vote["winner"]) if flipped else vote["winner"]
    about = {name: str(vote[name]) for name in ("judge", "judged_at") if not pd.isna(vote.get(name))}
    rating = {"score": _SCORES[winner], "rating_label": _LABELS[vote["winner"]], "is_flipped": flipped}
    rating["custom_fields"] = about
    note = vote.get("note")
    return {**rating, "rationale": note if isinstance(note, str) else ""}


def _winner(rating: Mapping[str, Any], where: str, tie_within: float, *, flipped_labels: bool) -> str | None:
    """Who won, with the models as listed; None if neither score nor label says so."""
    flipped = rating.get("is_flipped")
    if flipped not in (None, True, False):
        reject(f"{where}, 'is_flipped'", f"is {flipped!r}, expected true, false or null.", "Correct it.")
    label, unknown = _labelled(rating.get("rating_label")), flipped is None and flipped_labels
    if label in _OTHER and flipped_labels:
        label = _OTHER[label] if flipped else label
    score = rating.get("score")
    if score is None:
        return None if label in _OTHER and unknown else label
    if isinstance(score, bool) or not isinstance(score, int | float) or not math.isfinite(score):
        reject(f"{where}, 'score'", f"is {score!r}, expected a number or null.", "Correct it, or leave it out.")
    side = "model_a" if score > 0 else "model_b" if score < 0 else "tie"
    if (label in _OTHER and side == _OTHER[label] and not unknown) or (label in ("tie", "both_bad") and score):
        reject(
            where,
            f"the score {score:g} names another winner than the label {rating['rating_label']!r} does "
            f"(is_flipped: {flipped}).",
            "A score is positive if the first of 'models' is better; a label is about the responses as shown, A first.",
        )
    if label == "both_bad":
        return label
    return "tie" if abs(score) <= tie_within else side


def _labelled(label: Any) -> str | None:
    """Read what a label says of the responses as shown; None if it is another one."""
    text = " ".join(label.casefold().split()) if isinstance(label, str) else ""
    if text in _SAID:
        return _SAID[text]
    better, than = _BETTER.fullmatch(text), _THAN.fullmatch(text)
    if better:
        return f"model_{better.group(1)}"
    return {"better": "model_a", "worse": "model_b"}[than.group(1)] if than else None


def _judgment(rating: Mapping[str, Any], winner: str, prompt_id: Any, a: str, b: str) -> dict[str, Any]:
    """Turn one rating into a judgment, the model that was shown first on the left."""
    judgment = {"prompt_id": prompt_id, "model_a": a, "model_b": b, "winner": winner}
    if rating.get("is_flipped"):
        judgment |= {"model_a": b, "model_b": a, "winner": _OTHER.get(winner, winner)}
    about = rating.get("custom_fields")
    if isinstance(about, Mapping):
        judgment |= {k: v for k, v in about.items() if k in ("judge", "judged_at")}
    note = rating.get("rationale")
    return judgment | ({"note": note} if isinstance(note, str) and note else {})


def _text(texts: pd.Series, key: Any, table: str) -> str:
    value = texts.get(key)
    if not isinstance(value, str):
        reject(f"{table} table", f"has no text for {key!r}, which was judged.", "Add it, or leave that judgment out.")
    return value


def _models(source: Any) -> tuple[str, str]:
    models = source.get("models") if isinstance(source, Mapping) else None
    if not isinstance(models, list) or len(models) != 2 or not isinstance(source.get("examples"), list):
        wrong = "has no list of two 'models', or no list of 'examples'."
        reject("llm-comparator JSON", wrong, "Choose a file that llm-comparator shows.")
    names = [model.get("name") if isinstance(model, Mapping) else None for model in models]
    if not all(names):
        reject("llm-comparator JSON, 'models'", "has a model without a name.", "Name both.")
    return str(names[0]), str(names[1])


def _check_example(k: int, example: Any) -> None:
    texts = example if isinstance(example, Mapping) else {}
    odd = [name for name in _TEXTS if not isinstance(texts.get(name), str)]
    if odd:
        reject(f"llm-comparator JSON, example {k}", f"has no text in {shown(odd)}.", "Leave that example out.")
