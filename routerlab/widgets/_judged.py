"""Judgments as the browser needs them: one entry for each prompt and two models, whichever side each stood on."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from routerlab.schema import check_prompts, check_responses, reject

OWN = ["_entry", "_pair", "_first", "_second", "_verdict", "_split", "_intent"]  # columns added to the judgments
_FLIPPED = {"model_a": "model_b", "model_b": "model_a"}


def entries(votes: pd.DataFrame, intents: pd.Series | None) -> pd.DataFrame:
    """Add to each judgment its entry (prompt and two models, in either order), seen from one side."""
    frame = votes.reset_index(drop=True)
    a, b = frame["model_a"].astype(str), frame["model_b"].astype(str)
    swapped = a > b
    frame["_first"], frame["_second"] = a.where(~swapped, b), b.where(~swapped, a)
    frame["_pair"] = frame["_first"] + " · " + frame["_second"]
    frame["_verdict"] = frame["winner"].where(~swapped, frame["winner"].replace(_FLIPPED))
    frame["_entry"] = frame.groupby(["prompt_id", "_pair"], sort=False).ngroup()
    frame["_split"] = frame.groupby("_entry")["_verdict"].transform("nunique") > 1
    own = frame["intent"] if "intent" in frame else pd.Series(None, index=frame.index, dtype=object)
    frame["_intent"] = own if intents is None else frame["prompt_id"].map(intents)
    return frame


def intents_of(by: str | pd.Series | None, prompts: pd.DataFrame | None) -> pd.Series | None:
    """Return the intent of each prompt, None if none was asked for."""
    if by is None or isinstance(by, pd.Series):
        return by
    table = None if prompts is None else check_prompts(prompts)
    if table is None or by not in table:
        reject("'by'", f"{by!r} is no column of the prompts table.", "Pass prompts that have it, or a Series.")
    return table[by]


def texts_of(responses: pd.DataFrame | None) -> dict[tuple[Any, str], str]:
    """Return each response's text by (prompt_id, model)."""
    if responses is None:
        return {}
    table = check_responses(responses)
    keys = zip(table["prompt_id"], table["model"].astype(str), strict=True)
    return {key: text for key, text in zip(keys, table["response"], strict=True) if isinstance(text, str)}


def choices_of(votes: pd.DataFrame) -> dict[str, list[Any]]:
    """Return the values of each filter that has more than one."""
    columns = {"intent": "_intent", "pair": "_pair", "judge": "judge"}
    found = {name: sorted(votes[c].dropna().unique(), key=str) for name, c in columns.items() if c in votes}
    return {name: values for name, values in found.items() if len(values) > 1}


def within(votes: pd.DataFrame, pairs: pd.DataFrame) -> tuple[pd.Series, NDArray[np.bool_]]:
    """Which judgments are about `pairs` (``prompt_id``, optionally two models), and which rows of it have some."""
    if "model_a" not in pairs:
        kept, found = votes["prompt_id"].isin(pairs["prompt_id"]), pairs["prompt_id"].isin(votes["prompt_id"])
        return kept, found.to_numpy()
    a, b = pairs["model_a"].astype(str), pairs["model_b"].astype(str)
    wanted = pd.MultiIndex.from_arrays([pairs["prompt_id"], a.where(a < b, b), b.where(a < b, a)])
    judged = pd.MultiIndex.from_frame(votes[["prompt_id", "_first", "_second"]])
    return pd.Series(judged.isin(wanted), index=votes.index), wanted.isin(judged)
