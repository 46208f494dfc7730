"""Errors and small helpers that every check uses."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NoReturn


class TableError(ValueError):
    """A table, column or aligned pair of frames that routerlab cannot use as it is."""


class DroppedRowsWarning(UserWarning):
    """Rows were left out of a computation; the message says how many and why."""


class MixedScalesWarning(UserWarning):
    """Qualities that were measured on different scales stand in one table; the message says which."""


def shown(values: Iterable[Any], limit: int = 5) -> str:
    """Format offending values for an error message.

    Examples
    --------
    >>> shown(range(8))
    '0, 1, 2, 3, 4 and 3 more'
    """
    items = [repr(v) if isinstance(v, str) else str(v) for v in values]
    more = f" and {len(items) - limit} more" if len(items) > limit else ""
    return ", ".join(items[:limit]) + more


def reject(where: str, wrong: str, remedy: str) -> NoReturn:
    """Raise the project's one form of error: where, what is wrong, what to do.

    Examples
    --------
    >>> reject("prompts table, column 'prompt'", "is empty for 'p1'.", "Drop that row.")
    Traceback (most recent call last):
    routerlab.schema._errors.TableError: prompts table, column 'prompt': is empty for 'p1'. Drop that row.
    """
    msg = f"{where}: {wrong} {remedy}"
    raise TableError(msg)


def provenance_of(*tables: Any) -> str | None:
    """Return the ``provenance`` note that any of `tables` carries, joined if they differ.

    The scale that quality was measured on, ``attrs["quality_scale"]``, is part of it.

    Examples
    --------
    >>> import pandas as pd
    >>> frame = pd.DataFrame()
    >>> frame.attrs["provenance"] = "simulated: seed 0"
    >>> provenance_of(None, frame)
    'simulated: seed 0'
    >>> frame.attrs["quality_scale"] = "win share"
    >>> provenance_of(frame, frame)
    'simulated: seed 0; quality: win share'
    """
    known = [t for t in tables if hasattr(t, "attrs")]
    notes = [note for t in known for note in str(t.attrs.get("provenance") or "").split("; ")]
    scales = [f"quality: {t.attrs['quality_scale']}" for t in known if t.attrs.get("quality_scale")]
    return "; ".join(dict.fromkeys(note for note in [*notes, *scales] if note)) or None
