"""Votes of an arena: two models' answers to each prompt, and which one a person prefers."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from routerlab.datasets._dataset import Dataset, stamp
from routerlab.datasets._results import _lines, _loads, _message
from routerlab.pricing import Prices, add_cost, estimate_tokens
from routerlab.schema import WINNERS, as_pandas, read_json, reject, shown

_WIDE = {"winner_model_a": "model_a", "winner_model_b": "model_b", "winner_tie": "tie"}
_SAID = {"tie (bothbad)": "both_bad", "bothbad": "both_bad", "both bad": "both_bad"}
_IDS = ("prompt_id", "question_id", "id")
_REMEDY = "Correct those rows or leave them out."


def read_arena_votes(votes: Any, *, prices: Prices | None = None) -> Dataset:
    """Read arena votes: conversation lists, or the columns of the 55k and 140k releases.

    Parameters
    ----------
    votes : DataFrame, str or Path
        A frame, or a ``.csv``, ``.json``, ``.jsonl`` or ``.parquet`` file, with ``model_a, model_b``; the verdict as
        ``winner`` ('model_a', 'model_b', 'tie', 'tie (bothbad)', 'both_bad') or as ``winner_model_a, winner_model_b,
        winner_tie``; the texts as ``conversation_a, conversation_b`` (lists of messages) or as ``prompt, response_a,
        response_b`` (texts, or JSON lists with a text for each turn); ``question_id`` or ``id`` names the prompt.
    prices : mapping or DataFrame, optional
        Fills ``cost_usd`` of the responses, with tokens estimated from the texts; see `routerlab.add_cost`.

    Returns
    -------
    Dataset
        ``prompts`` (the first message, with ``n_turns``), ``responses`` (the answers to it) and ``judgments``. A vote
        is on the whole conversation: keep ``prompts[prompts.n_turns == 1]`` for votes on what is shown here.

    Raises
    ------
    TableError
        A missing verdict, or several; a text that cannot be read; another text under the same id. File, row and
        column are named.

    Notes
    -----
    Each prompt has one pair of models: quality by prompt is known against one opponent only:
    ``rl.judged_outcomes(data.judgments, data.responses, baseline="gpt-4")`` takes it from there.

    Examples
    --------
    >>> row = {"id": 7, "model_a": "x", "model_b": "y", "prompt": '["Poach an egg?"]', "response_a": '["Simmer it."]'}
    >>> row |= {"response_b": '["No."]', "winner_model_a": 1, "winner_model_b": 0, "winner_tie": 0}
    >>> data = read_arena_votes(pd.DataFrame([row]))
    >>> data.judgments["winner"].tolist(), data.prompts["prompt"].tolist(), data.responses["response"].tolist()
    (['model_a'], ['Poach an egg?'], ['Simmer it.', 'No.'])
    """
    source = "arena votes" if not isinstance(votes, str | Path) else str(votes)
    frame = _frame(votes, source).reset_index(drop=True)
    absent = [name for name in ("model_a", "model_b") if name not in frame]
    if absent:
        reject(source, f"lacks {shown(absent)}; it has {shown(frame.columns, 12)}.", "Rename the columns.")
    ids = next((frame[name] for name in _IDS if name in frame), pd.Series([f"row {k}" for k in range(len(frame))]))
    _check_names(ids.rename("id"), source, (str, int, np.integer))
    for name in ("model_a", "model_b"):
        _check_names(frame[name], source, (str,))
    turns = pd.DataFrame([_turns(row, f"{source}, row {k}") for k, row in enumerate(frame.to_dict("records"))])
    extra = [name for name in ("judge", "language", "tstamp") if name in frame]
    judgments = pd.DataFrame({"prompt_id": ids, "model_a": frame["model_a"], "model_b": frame["model_b"]})
    judgments["winner"] = _winners(frame, source)
    judgments = judgments.assign(**{name: frame[name] for name in extra})
    prompts = turns[["prompt", "n_turns"]].assign(prompt_id=ids).drop_duplicates(["prompt_id", "prompt"])
    sides = [
        pd.DataFrame({"prompt_id": ids, "model": frame[f"model_{s}"], "response": turns[f"response_{s}"]}) for s in "ab"
    ]
    responses = pd.concat(sides).sort_index(kind="stable").drop_duplicates(ignore_index=True)
    twice = prompts["prompt_id"].duplicated()
    if twice.any():
        wrong = f"names different prompts: {shown(prompts.loc[twice, 'prompt_id'])}."
        reject(f"{source}, ids", wrong, "Give each prompt an id of its own, or drop the column of ids.")
    notes = []
    if n := int((prompts["n_turns"] > 1).sum()):
        notes.append(f"{n:,} conversations have several turns: the vote is on all of them, the texts are the first")
    if prices is not None:
        words = prompts.set_index("prompt_id")["prompt"].reindex(responses["prompt_id"]).reset_index(drop=True)
        tokens = {"input_tokens": estimate_tokens(words), "output_tokens": estimate_tokens(responses["response"])}
        responses = add_cost(responses.assign(**tokens), prices)
        notes.append("tokens are estimated (characters / 4)")
    stamp(f"votes: {Path(source).name}", prompts, responses, judgments)
    return Dataset("Arena votes", prompts.set_index("prompt_id"), responses, judgments, source=source, notes=notes)


def _frame(votes: Any, source: str) -> pd.DataFrame:
    if not isinstance(votes, str | Path):
        frame = as_pandas(votes)
        if not isinstance(frame, pd.DataFrame):
            reject(source, f"expected a frame or a path, got {type(votes).__name__}.", "Pass one of these.")
        return frame if not any(name in frame.index.names for name in _IDS) else frame.reset_index()
    path = Path(votes)
    if not path.is_file():
        reject(source, "is not a file.", "Check the path.")
    if path.suffix == ".parquet":
        return pd.read_parquet(path)
    if path.suffix in (".jsonl", ".ndjson"):
        return pd.DataFrame([record for _, record in _lines(path)])
    if path.suffix == ".json":
        records = _loads(path.read_bytes(), source)
        if not isinstance(records, list) or not all(isinstance(record, dict) for record in records):
            reject(source, "is not a list of objects.", "Choose a file of votes.")
        return pd.DataFrame(records)
    return pd.read_csv(path, keep_default_na=False, encoding="utf-8-sig")


def _check_names(column: pd.Series, source: str, kinds: tuple[type, ...]) -> None:
    bad = [not isinstance(name, kinds) or isinstance(name, bool) or name == "" for name in column]
    if any(bad):
        rows, got = column.index[bad], column[bad].iloc[0]
        wrong = f"got {got!r:.60}, expected {'text' if kinds == (str,) else 'text or a whole number'}."
        reject(f"{source}, row {shown(rows)}, column {column.name!r}", wrong, _REMEDY)


def _winners(frame: pd.DataFrame, source: str) -> Any:
    if "winner" in frame:
        said = frame["winner"].map(lambda value: value.strip().casefold() if isinstance(value, str) else value)
        winners = said.replace(_SAID)
        bad = ~winners.isin(WINNERS)
        got, expected = frame["winner"], f"one of {', '.join(WINNERS)} or 'tie (bothbad)'"
    else:
        absent = [name for name in _WIDE if name not in frame]
        if absent:
            remedy = "Rename the column that says who won."
            reject(source, f"has no 'winner', and lacks {shown(absent)}; it has {shown(frame.columns, 12)}.", remedy)
        marks = frame[list(_WIDE)].apply(pd.to_numeric, errors="coerce").to_numpy(float)
        bad = pd.Series(~(np.isin(marks, (0, 1)).all(axis=1) & (marks.sum(axis=1) == 1)), index=frame.index)
        winners = pd.Series(np.array(list(_WIDE.values()), dtype=object)[marks.argmax(axis=1)], index=frame.index)
        got, expected = frame[list(_WIDE)].apply(tuple, axis=1), "a 1 in one of the three and 0 in the others"
    if bad.any():
        rows = frame.index[bad]
        column = "winner" if "winner" in frame else ", ".join(_WIDE)
        wrong = f"got {shown(got[bad].map(str).unique())}, expected {expected}."
        reject(f"{source}, row {shown(rows)}, column {column!r}", wrong, _REMEDY)
    return winners.astype(object)


def _turns(row: dict[str, Any], where: str) -> dict[str, Any]:
    """First message and both answers to it, and how many turns there are."""
    if "conversation_a" in row and "conversation_b" in row:
        talks = [_listed(row[name], f"{where}, column {name!r}") for name in ("conversation_a", "conversation_b")]
        asked, answered = [_texts(talk, "user") for talk in talks], [_texts(talk, "assistant") for talk in talks]
        parts = {"prompt": asked[0], "response_a": answered[0], "response_b": answered[1]}
        if asked[0][:1] != asked[1][:1]:
            reject(f"{where}, column 'conversation_b'", "begins with another prompt than conversation_a.", _REMEDY)
    else:
        parts = {}
        for name in ("prompt", "response_a", "response_b"):
            if name not in row:
                reject(where, f"has no column {name!r}, nor conversations; it has {shown(row, 12)}.", "Rename it.")
            value = row[name]
            listed = isinstance(value, list | np.ndarray) or (isinstance(value, str) and value.lstrip().startswith("["))
            parts[name] = _listed(value, f"{where}, column {name!r}", text=True) if listed else [value]
    prompt = parts["prompt"][0] if parts["prompt"] else None
    if not isinstance(prompt, str) or not prompt.strip():
        reject(f"{where}, the prompt", f"got {prompt!r:.60}, expected text.", _REMEDY)
    answers = {name: next(iter(parts[name]), None) for name in ("response_a", "response_b")}
    odd = [name for name, answer in answers.items() if not isinstance(answer, str | None)]
    if odd:
        reject(f"{where}, {odd[0]}", f"got {answers[odd[0]]!r:.60}, expected text.", _REMEDY)
    return {"prompt": prompt, "n_turns": len(parts["prompt"]), **answers}


def _listed(value: Any, where: str, *, text: bool = False) -> list[Any]:
    """Return a list, or the one that a text holds as JSON; any other text is one turn, where texts are allowed."""
    if isinstance(value, str):
        try:
            value = read_json(value)
        except ValueError:
            if text:
                return [value]
            reject(where, f"is not a list of messages ({value[:40]!r}).", _REMEDY)
    value = value.tolist() if isinstance(value, np.ndarray) else value
    if not isinstance(value, list):
        reject(where, f"got {type(value).__name__}, expected a list of messages.", _REMEDY)
    return value


def _texts(messages: list[Any], role: str) -> list[str | None]:
    return [_message(_content(m), {}) for m in messages if isinstance(m, dict) and m.get("role") == role]


def _content(message: dict[str, Any]) -> Any:
    content = message.get("content")
    return content.tolist() if isinstance(content, np.ndarray) else content
