"""Pairs to show, and what their verdicts in both orders come to."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from routerlab.completions import sound_text
from routerlab.judging._units import KEY
from routerlab.labeling import oriented
from routerlab.schema import WINNERS, check_judgments, check_prompts, check_responses, provenance_of, reject, shown

_SWAPPED = {"model_a": "model_b", "model_b": "model_a"}


def make_showings(prompts: Any, responses: pd.DataFrame, pairs: pd.DataFrame | None) -> tuple[pd.DataFrame, int]:
    """Return each pair in both orders with its texts, and how many pairs were left out for want of a response.

    Returns
    -------
    showings : DataFrame of shape (2 * n_pairs, 6)
        ``prompt_id, model_a, model_b`` (shown first, second), ``prompt, first, second`` (texts).
    n_left_out : int
        Pairs of which a response is missing.
    """
    table = check_prompts(prompts)
    broken = [i for i in table.index if isinstance(i, str) and sound_text(i) != i]
    if broken:
        reject("prompts table, 'prompt_id'", f"{broken[0]!r} is not sound Unicode.", "Use text that files can hold.")
    texts = check_responses(responses)
    given = [isinstance(text, str) for text in texts["response"]]
    if "error" in texts:
        given &= texts["error"].isna().to_numpy()
    text = texts[given].set_index(["prompt_id", "model"])["response"]
    wanted = _all_pairs(texts) if pairs is None else _checked_pairs(pairs)
    unknown = wanted.loc[~wanted["prompt_id"].isin(table.index), "prompt_id"].unique()
    if len(unknown):
        reject("'pairs' or responses table", f"prompts {shown(unknown)} are not in the prompts table.", "Add them.")
    both = wanted.assign(
        first=text.reindex(pd.MultiIndex.from_frame(wanted[["prompt_id", "model_a"]])).to_numpy(),
        second=text.reindex(pd.MultiIndex.from_frame(wanted[["prompt_id", "model_b"]])).to_numpy(),
        prompt=table["prompt"].reindex(wanted["prompt_id"]).to_numpy(),
    )
    there = both["first"].notna() & both["second"].notna()
    both = both[there].reset_index(drop=True)
    if not len(both):
        reject(
            "responses table",
            f"holds both responses of none of {len(wanted):,} pairs; it has models {shown(texts['model'].unique())}.",
            "Collect responses of at least two models to the same prompts.",
        )
    # What the table of verdicts will be checked for is said before they are paid for.
    check_judgments(pd.DataFrame({name: list(both[name]) for name in KEY}).assign(winner="tie"))
    back = both.rename(columns={"model_a": "model_b", "model_b": "model_a", "first": "second", "second": "first"})
    # Both orders of a pair, one after the other: a run that ends early leaves whole pairs behind it.
    return pd.concat([both, back[both.columns]]).sort_index(kind="stable").reset_index(drop=True), int((~there).sum())


def _all_pairs(responses: pd.DataFrame) -> pd.DataFrame:
    rows = [
        (prompt_id, *pair)
        for prompt_id, models in responses.groupby("prompt_id", sort=False)["model"]
        for pair in combinations(sorted(models), 2)
    ]
    if not rows:
        reject("responses table", "has one model's responses only.", "Collect those of at least two models.")
    return pd.DataFrame(rows, columns=KEY)


def _checked_pairs(pairs: pd.DataFrame) -> pd.DataFrame:
    """Pairs, each once whichever way round it is given: a judgments table of people, say."""
    missing = [name for name in KEY if name not in pairs]
    if missing or not len(pairs):
        what = f"lacks the columns {shown(missing)}." if missing else "has no rows."
        reject("'pairs'", what, "Pass prompt_id, model_a, model_b: a judgments table will do.")
    return oriented(pairs[KEY].assign(winner="tie"))[KEY].drop_duplicates(ignore_index=True)


def combine_orders(verdicts: pd.DataFrame, combine: str = "both") -> pd.DataFrame:
    """Turn verdicts on single showings into judgments.

    Parameters
    ----------
    verdicts : DataFrame of shape (n_showings, n_columns)
        As `PairwiseJudge.verdicts` returns them: ``prompt_id, model_a`` (shown first)``, model_b, winner`` (None where
        there is none)``, judge, judged_at, note``.
    combine : {'both', 'soft'}, default 'both'
        'both': one judgment for each pair: a win only if it wins in both orders, both_bad only if both say so, else a
        tie. 'soft': each order is a judgment of its own, so that a pair counts as half a win where they differ.

    Returns
    -------
    DataFrame
        A judgments table with ``judge, judged_at, note``, and for 'both' the verdicts of both orders, ``winner_ab``
        (model_a first) and ``winner_ba``. A pair that lacks a readable verdict in either order is left out, since one
        order alone would let position decide. ``attrs``: n_unreadable, n_failed (showings), n_incomplete (pairs).

    Raises
    ------
    ValueError
        An unknown `combine`.

    Examples
    --------
    >>> said = (("p1", "x", "model_a"), ("p1", "y", "model_a"), ("p2", "x", "tie"), ("p2", "y", None))
    >>> rows = [(prompt, first, "y" if first == "x" else "x", winner) for prompt, first, winner in said]
    >>> verdicts = pd.DataFrame(rows, columns=["prompt_id", "model_a", "model_b", "winner"])
    >>> table = combine_orders(verdicts.assign(judge="j", judged_at="", note="", error=None))
    >>> table[["prompt_id", "winner", "winner_ab", "winner_ba"]].to_dict("records")
    [{'prompt_id': 'p1', 'winner': 'tie', 'winner_ab': 'model_a', 'winner_ba': 'model_b'}]
    >>> table.attrs["n_unreadable"], table.attrs["n_incomplete"]
    (1, 1)
    """
    check_combine(combine)
    swapped = verdicts["model_a"] > verdicts["model_b"]
    one, two = verdicts[~swapped], verdicts[swapped].rename(columns={"model_a": "model_b", "model_b": "model_a"})
    units = pd.concat([one[KEY], two[KEY]]).sort_index(kind="stable").drop_duplicates()  # in the order given
    both = units.merge(one, on=KEY, how="left").merge(two, on=KEY, how="left", suffixes=("_ab", "_ba"))
    complete = both[both["winner_ab"].isin(WINNERS) & both["winner_ba"].isin(WINNERS)].reset_index(drop=True)
    complete["winner_ba"] = complete["winner_ba"].replace(_SWAPPED)
    table = _both(complete) if combine == "both" else _soft(complete)
    failed = verdicts["winner"].isna() & verdicts["error"].notna()
    table.attrs = {
        "combine": combine,
        "n_unreadable": int((verdicts["winner"].isna() & ~failed).sum()),
        "n_failed": int(failed.sum()),
        "n_incomplete": len(both) - len(complete),
    }
    provenance = provenance_of(verdicts)
    table.attrs |= {"provenance": provenance} if provenance else {}
    return table


def check_combine(combine: str) -> None:
    """Raise for an unknown `combine`."""
    if combine not in ("both", "soft"):
        msg = f"The 'combine' parameter must be 'both' or 'soft'. Got {combine!r} instead."
        raise ValueError(msg)


def _both(pairs: pd.DataFrame) -> pd.DataFrame:
    same = pairs["winner_ab"] == pairs["winner_ba"]
    notes = [
        f"{a} as A: {ab}\n{b} as A: {ba}"
        for a, b, ab, ba in zip(pairs["model_a"], pairs["model_b"], pairs["note_ab"], pairs["note_ba"], strict=True)
    ]
    return pairs[KEY].assign(
        winner=pairs["winner_ab"].where(same, "tie").astype(object),
        judge=pairs["judge_ab"],
        judged_at=np.maximum(pairs["judged_at_ab"].astype(str), pairs["judged_at_ba"].astype(str)),
        note=pd.Series(notes, dtype=object),
        winner_ab=pairs["winner_ab"],
        winner_ba=pairs["winner_ba"],
    )


def _soft(pairs: pd.DataFrame) -> pd.DataFrame:
    names = ("winner", "judge", "judged_at", "note")
    one = pairs[KEY].assign(**{name: pairs[f"{name}_ab"] for name in names})
    two = pairs[KEY].rename(columns={"model_a": "model_b", "model_b": "model_a"})
    two = two.assign(**{name: pairs[f"{name}_ba"] for name in names})
    two["winner"] = two["winner"].replace(_SWAPPED)
    return pd.concat([one, two[one.columns]]).sort_index(kind="stable").reset_index(drop=True)
