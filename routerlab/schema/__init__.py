"""The four tables, their checks, and the pivot that routers and evaluation share.

Tables are tidy pandas frames joined on ``prompt_id``. Each is checked once, at the door, by a
``check_*`` function that returns a clean copy or raises a `TableError` naming the table, the
column, the offending rows and the remedy. Nothing downstream checks again.
"""

from routerlab.schema._errors import DroppedRowsWarning, TableError, provenance_of, reject, shown
from routerlab.schema._matrices import (
    Outcomes,
    check_aligned,
    check_embeddings,
    check_matrix,
    check_model,
    pivot_outcomes,
    unit_rows,
)
from routerlab.schema._tables import WINNERS, check_judgments, check_outcomes, check_prompts, check_responses

__all__ = [
    "WINNERS",
    "DroppedRowsWarning",
    "Outcomes",
    "TableError",
    "check_aligned",
    "check_embeddings",
    "check_judgments",
    "check_matrix",
    "check_model",
    "check_outcomes",
    "check_prompts",
    "check_responses",
    "pivot_outcomes",
    "provenance_of",
    "reject",
    "shown",
    "unit_rows",
]
