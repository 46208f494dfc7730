"""One class for every data set, whether shipped, published or generated."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd

from routerlab.markup import fragment
from routerlab.schema import (
    check_judgments,
    check_model,
    check_outcomes,
    check_prompts,
    check_responses,
    provenance_of,
    shown,
)

TABLES = ("prompts", "responses", "judgments", "outcomes")


@dataclass(frozen=True, repr=False, eq=False)
class Dataset:
    """The four tables of a data set, and where they come from.

    Every table is checked on construction (see `routerlab.schema`), once.

    Parameters
    ----------
    name : str
        Its name, e.g. 'MMLU (RouteLLM)'.
    prompts : DataFrame
        Indexed by ``prompt_id``; ``prompt``, optional ``intent`` and anything else.
    responses, judgments, outcomes : DataFrame, optional
        See `routerlab.schema.check_responses`, `check_judgments` and `check_outcomes`. Unset where the source has none.
    extra : mapping of str to DataFrame, optional
        Further tables, e.g. published embeddings or single turns.
    baseline : str, optional
        The model that savings are counted against.
    description, source, licence, citation : str, default ''
        What it is, where it is published, under which licence, and what to cite.
    notes : sequence of str, optional
        What a reader must know: what is estimated, missing or repeated.

    Raises
    ------
    TableError
        A table that fails its check, or a baseline that is not among the models.

    Examples
    --------
    >>> prompts = pd.DataFrame({"prompt_id": ["p1"], "prompt": ["Poach an egg?"]})
    >>> Dataset("tiny", prompts, licence="MIT")
    Dataset tiny
      prompts      1 x 1  (prompt)
      licence      MIT
    """

    name: str
    prompts: pd.DataFrame
    responses: pd.DataFrame | None = None
    judgments: pd.DataFrame | None = None
    outcomes: pd.DataFrame | None = None
    extra: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    baseline: str | None = None
    description: str = ""
    source: str = ""
    licence: str = ""
    citation: str = ""
    notes: Sequence[str] = ()

    def __post_init__(self) -> None:
        """Check every table, once."""
        prompts = check_prompts(self.prompts)
        tables: dict[str, Any] = {"prompts": prompts}
        checks = {"responses": check_responses, "judgments": check_judgments, "outcomes": check_outcomes}
        for name, check in checks.items():
            table = getattr(self, name)
            tables[name] = None if table is None else check(table, prompts)
        for name, table in tables.items():
            object.__setattr__(self, name, table)
        object.__setattr__(self, "extra", MappingProxyType(dict(self.extra)))
        object.__setattr__(self, "notes", tuple(self.notes))
        if self.baseline is not None:
            check_model(self.baseline, self.models, "baseline")

    @property
    def models(self) -> list[str]:
        """Names of the models, in order of appearance."""
        columns = []
        for table in (self.outcomes, self.responses, self.judgments):
            if table is not None:
                columns += [table[c] for c in ("model", "model_a", "model_b") if c in table]
        return list(pd.unique(pd.concat(columns))) if columns else []

    @property
    def provenance(self) -> str | None:
        """Where the tables come from, as plots and summaries print it."""
        return provenance_of(*(getattr(self, name) for name in TABLES))

    def _lines(self) -> list[tuple[str, str]]:
        tables = {name: getattr(self, name) for name in TABLES} | dict(self.extra)
        lines = [(name, _summary(table)) for name, table in tables.items() if table is not None]
        lines += [
            ("models", f"{len(self.models)}: {shown(self.models, 12)}" if self.models else ""),
            ("baseline", self.baseline or ""),
            ("provenance", self.provenance or ""),
            *((name, getattr(self, name)) for name in ("description", "source", "licence", "citation")),
            *(("note", note) for note in self.notes),
        ]
        return [(name, text) for name, text in lines if text]

    def __repr__(self) -> str:
        """Sizes of the tables, source and licence."""
        return "\n".join([f"Dataset {self.name}", *(f"  {name:<12} {text}" for name, text in self._lines())])

    def _repr_html_(self) -> str:
        rows = "".join(
            f'<tr><th style="text-align:left">{escape(name)}</th><td style="text-align:left">{escape(text)}</td></tr>'
            for name, text in self._lines()
        )
        return fragment(f"<table><caption><b>{escape(self.name)}</b></caption>{rows}</table>")


def _summary(table: pd.DataFrame) -> str:
    columns = ", ".join(map(str, table.columns[:8])) + (", ..." if table.shape[1] > 8 else "")
    empty = {c: int(table[c].isna().sum()) for c in ("quality", "cost_usd", "winner") if c in table}
    gaps = "".join(f"; {c} empty in {n:,}" for c, n in empty.items() if n)
    return f"{table.shape[0]:,} x {table.shape[1]}  ({columns}){gaps}"


def long_table(prompt_ids: pd.Index, models: Sequence[str], **values: Any) -> pd.DataFrame:
    """Lay arrays of shape (n_prompts, n_models) out as one row for each (prompt_id, model).

    Examples
    --------
    >>> long_table(pd.Index(["p1", "p2"]), ["a", "b"], quality=[[1, 2], [3, 4]])["quality"].tolist()
    [1, 2, 3, 4]
    """
    return pd.DataFrame(
        {
            "prompt_id": prompt_ids.repeat(len(models)),
            "model": np.tile(np.asarray(models, dtype=object), len(prompt_ids)),
            **{name: np.asarray(matrix).ravel() for name, matrix in values.items()},
        }
    )


def stamp(provenance: str, *tables: pd.DataFrame, **notes: str) -> None:
    """Write where `tables` come from, and further notes, into their ``attrs``."""
    for table in tables:
        table.attrs.update(provenance=provenance, **notes)
