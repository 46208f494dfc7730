"""The four tables, their checks, and the pivot that routers and evaluation share.

Tables are tidy pandas frames joined on ``prompt_id``. Each is checked once, at the door, by a
``check_*`` function that returns a clean copy or raises a `TableError` naming the table, the
column, the offending rows and the remedy. Nothing downstream checks again.
"""

from routerlab.exceptions import DroppedRowsWarning, MixedScalesWarning, ParameterError, TableError
from routerlab.schema._doors import (
    Odd,
    as_pandas,
    check_choice,
    id_remedy,
    kind_of,
    plain,
    provenance_of,
    read_json,
    read_numbers,
    refuse,
    refuse_parameter,
    reject,
    shown,
    sound_text,
)
from routerlab.schema._matrices import (
    Outcomes,
    by_prompt,
    check_aligned,
    check_columns,
    check_embeddings,
    check_matrix,
    check_model,
    column_names,
    models_of,
    pivot_outcomes,
    row_labels,
    spread_prices,
    unit_rows,
)
from routerlab.schema._scale import WIN_SHARE, Scale, to_quality
from routerlab.schema._tables import (
    WINNERS,
    check_judgments,
    check_outcomes,
    check_prompts,
    check_responses,
    not_text,
    text_remedy,
)

__all__ = [
    "read_json",
    "sound_text",
    "WINNERS",
    "WIN_SHARE",
    "DroppedRowsWarning",
    "MixedScalesWarning",
    "Odd",
    "Outcomes",
    "ParameterError",
    "Scale",
    "TableError",
    "as_pandas",
    "by_prompt",
    "check_aligned",
    "check_choice",
    "check_columns",
    "check_embeddings",
    "check_judgments",
    "check_matrix",
    "check_model",
    "check_outcomes",
    "check_prompts",
    "check_responses",
    "column_names",
    "id_remedy",
    "kind_of",
    "models_of",
    "not_text",
    "pivot_outcomes",
    "plain",
    "provenance_of",
    "read_numbers",
    "refuse",
    "refuse_parameter",
    "reject",
    "row_labels",
    "shown",
    "spread_prices",
    "text_remedy",
    "to_quality",
    "unit_rows",
]
