"""Scores of any scale to quality in [0, 1], in one place."""

from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from routerlab.exceptions import ParameterError
from routerlab.schema._doors import Odd, plain, read_numbers, reject, shown

# (worst, best) of a scale of numbers, or what each score is worth.
Scale: TypeAlias = tuple[float, float] | Mapping[Any, float]
WIN_SHARE = "win share"


def to_quality(scores: Any, scale: Scale | None = None, *, where: str = "scores", names: Any = None) -> pd.Series:
    """Turn scores into quality: 0 is the worst of their scale, and 1 the best.

    Parameters
    ----------
    scores : Series or sequence of shape (n_scores,)
        Scores. Empty ones (None, NaN) stay empty.
    scale : (float, float), mapping or None, optional
        ``(worst, best)`` of numbers: ``(1, 5)``, ``(0, 100)``, ``(5, 1)`` for marks of which 1 is the best. A mapping
        says what each score is worth: ``{"pass": 1, "fail": 0}``; capitals and blanks around a text do not count.
        None: they are from 0 to 1 already, or True and False.
    where : str, default 'scores'
        What an error calls them.
    names : sequence of shape (n_scores,), optional
        What an error calls each of them; by default the index.

    Returns
    -------
    Series of float, shape (n_scores,)
        Quality in [0, 1], indexed as `scores`.

    Raises
    ------
    TableError
        A score off the scale.
    ParameterError
        A scale that is none.

    Examples
    --------
    >>> to_quality([1, 4, None, 5], scale=(1, 5)).tolist()
    [0.0, 0.75, nan, 1.0]
    >>> to_quality(["pass", "FAIL"], scale={"pass": 1, "fail": 0}).tolist()
    [1.0, 0.0]
    """
    given = scores if isinstance(scores, pd.Series) else pd.Series(list(scores), dtype=object)
    at = np.asarray(given.index if names is None else names, dtype=object)
    values, odd, expected = _looked_up(given, scale) if isinstance(scale, Mapping) else _spread(given, scale, where)
    if odd.any():
        off = {repr(score): score for score in given[odd]}  # each once, lists among them
        reject(
            where,
            f"got {shown(off.values())} at {shown(at[odd])}, expected {expected}.",
            "Correct those scores, or say what they are: scale=(1, 5), scale=(0, 100), scale={'pass': 1, 'fail': 0}.",
        )
    return pd.Series(values, index=given.index, name=given.name)


def _spread(given: pd.Series, scale: Any, where: str) -> tuple[Any, Any, str]:
    worst, best = (0.0, 1.0) if scale is None else _ends(scale)
    read = read_numbers(given, booleans={worst, best} == {0.0, 1.0})
    expected = f"numbers from {min(worst, best):g} to {max(worst, best):g}"
    if isinstance(read, Odd):
        odd = np.zeros(len(given), dtype=bool)
        odd[read.rows] = True
        return given, odd, expected
    with np.errstate(invalid="ignore"):
        return (read - worst) / (best - worst), ~np.isnan(read) & ~_between(read, worst, best), expected


def _between(values: Any, one: float, other: float) -> Any:
    return (values >= min(one, other)) & (values <= max(one, other))


def _ends(scale: Any) -> tuple[float, float]:
    try:
        worst, best = (float(end) for end in scale)
    except (TypeError, ValueError):
        worst = best = float("nan")
    if not (np.isfinite(worst) and np.isfinite(best) and worst != best) or isinstance(scale, str):
        remedy = "Pass (worst, best), such as (1, 5), or a mapping {'pass': 1, 'fail': 0}."
        reject("'scale'", f"got {scale!r}.", remedy, ParameterError)
    return worst, best


def _looked_up(given: pd.Series, scale: Mapping[Any, float]) -> tuple[Any, Any, str]:
    worth = to_quality(pd.Series(list(scale.values()), dtype=object), where="'scale', what scores are worth").tolist()
    known = dict(zip(map(_folded, scale), worth, strict=True))
    cells = [_folded(cell) for cell in plain(given).astype(object)]
    empty = given.isna().to_numpy()
    values = np.array([known.get(cell, np.nan) for cell in cells], dtype=float)
    odd = np.array([cell not in known for cell in cells], dtype=bool) & ~empty
    return values, odd, f"one of {shown(scale, 10)}"


def _folded(score: Any) -> Any:
    if isinstance(score, str):
        return score.strip().casefold()
    return (type(score) is bool or isinstance(score, np.bool_), score) if _hashable(score) else repr(score)


def _hashable(value: Any) -> bool:
    try:
        hash(value)
    except TypeError:
        return False
    return True
