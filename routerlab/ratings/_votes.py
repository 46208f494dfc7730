"""From a judgments table to counts by pair and outcome, which is all that a fit needs."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from routerlab.schema import reject, shown
from routerlab.stats import Floats, group_codes

FIRST, TIE, SECOND = 0, 1, 2


@dataclass(frozen=True)
class Votes:
    """Judgments as integer codes, each pair in alphabetical order; dropped verdicts are gone."""

    models: NDArray[np.object_]  # (n_models,), sorted
    first: NDArray[np.intp]  # (n_votes,), code of the pair's first model
    second: NDArray[np.intp]
    outcome: NDArray[np.intp]  # FIRST, TIE or SECOND
    cluster: NDArray[np.intp]  # votes of one cluster may be correlated
    rater: NDArray[np.intp] | None  # and so may those of one rater, where several cast them
    kept: NDArray[np.bool_]  # (n_judgments,), which rows of the table these are

    @property
    def n_clusters(self) -> int:
        return int(self.cluster.max(initial=-1)) + 1


def read_votes(frame: pd.DataFrame, *, ties: str, both_bad: str, cluster: Any) -> Votes:
    """Encode a judgments table that was checked."""
    if not len(frame):
        reject("judgments table", "has no rows.", "Check the split that you selected.")
    auto = isinstance(cluster, str) and cluster == "auto"
    codes, models = pd.factorize(pd.concat([frame["model_a"], frame["model_b"]], ignore_index=True), sort=True)
    a, b = codes[: len(frame)], codes[len(frame) :]
    winner = frame["winner"].to_numpy(dtype=object)
    outcome = np.where(winner == "model_a", np.where(a < b, FIRST, SECOND), np.where(a < b, SECOND, FIRST))
    bad = winner == "both_bad"
    tied = (winner == "tie") | bad
    outcome[tied] = TIE
    kept = ~((tied & (ties == "drop")) | (bad & (both_bad == "drop")))
    if not kept.any():
        wrong = f"has no verdict left with ties={ties!r}, both_bad={both_bad!r}."
        reject("judgments table, column 'winner'", wrong, "Use ties='half' and both_bad='tie'.")
    return Votes(
        models=np.asarray(models, dtype=object),
        first=np.minimum(a, b)[kept],
        second=np.maximum(a, b)[kept],
        outcome=outcome[kept],
        cluster=_clusters(frame, "prompt_id" if auto else cluster, kept),
        rater=_clusters(frame, "judge", kept) if auto and _several_raters(frame[kept]) else None,
        kept=kept,
    )


def _clusters(frame: pd.DataFrame, cluster: Any, kept: NDArray[np.bool_]) -> NDArray[np.intp]:
    if cluster is None:
        return np.arange(int(kept.sum()))
    if not isinstance(cluster, str):
        return pd.factorize(np.asarray(group_codes(cluster, pd.Index(frame["prompt_id"])))[kept])[0]
    if cluster not in frame:
        wrong = f"has no column {cluster!r} to cluster by; it has {shown(frame.columns, 12)}."
        reject("judgments table", wrong, "Name a column, or pass cluster=None if votes are independent.")
    codes, _ = pd.factorize(frame[cluster][kept])
    if (codes < 0).any():
        reject(f"judgments table, column '{cluster}'", "has empty cells and is to cluster by.", "Fill or drop them.")
    return codes


def _several_raters(frame: pd.DataFrame) -> bool:
    return "judge" in frame and bool(frame["judge"].notna().all()) and len(frame["judge"].unique()) > 1


def vote_groups(frame: pd.DataFrame, groups: Any = None) -> NDArray[np.intp]:
    """Code the group of each vote: a column's name, a Series prompt_id -> group, or an array with one entry a vote.

    None: the rater, where the column ``judge`` names several; else the prompt.
    """
    if groups is None:
        groups = "judge" if _several_raters(frame) else "prompt_id"
    return _clusters(frame, groups, np.ones(len(frame), dtype=bool))


def tally(votes: Votes, group: NDArray[np.intp] | None = None, n_groups: int = 1) -> Floats:
    """Count votes: shape (n_groups, n_models, n_models, 3), in the upper triangles, by outcome."""
    m = len(votes.models)
    cell = (votes.first * m + votes.second) * 3 + votes.outcome
    if group is not None:
        cell = cell + group * (m * m * 3)
    return np.bincount(cell, minlength=n_groups * m * m * 3).reshape(n_groups, m, m, 3).astype(float)


def win_matrix(counts: Floats) -> Floats:
    """Wins of row over column, ties as half: shape (..., n_models, n_models)."""
    half = 0.5 * counts[..., TIE]
    return counts[..., FIRST] + half + np.swapaxes(counts[..., SECOND] + half, -1, -2)


def read_counts(wins: pd.DataFrame, ties: pd.DataFrame | None) -> tuple[NDArray[np.object_], Floats]:
    """Check tables of counts by pair; return the models, sorted, and counts as `tally` has them for one group."""
    models, won = _square(wins, "wins")
    tied = np.zeros_like(won)
    if ties is not None:
        names, tied = _square(ties, "ties")
        if list(names) != list(models) or not np.array_equal(tied, tied.T):
            reject("'ties'", "must be symmetric, with the models of 'wins'.", "Count a tie at (i, j) and (j, i).")
    return models, np.triu(np.stack([won, tied, won.T]), 1).transpose(1, 2, 0)


def _square(table: pd.DataFrame, name: str) -> tuple[NDArray[np.object_], Floats]:
    if not isinstance(table, pd.DataFrame) or not table.index.is_unique or set(table.index) != set(table.columns):
        reject(f"'{name}'", "expected a DataFrame with the same models as rows and columns.", "See pandas.crosstab.")
    ordered = table.sort_index(axis=0).sort_index(axis=1)
    values = ordered.to_numpy(dtype=float)
    bad = ~(np.isfinite(values) & (values >= 0)) | (np.eye(len(values)) * values > 0)
    if bad.any():
        cells = ((ordered.index[i], ordered.columns[j], float(values[i, j])) for i, j in np.argwhere(bad))
        reject(f"'{name}'", f"got {shown(cells)}, expected counts of at least 0, 0 on the diagonal.", "Correct them.")
    return ordered.index.to_numpy(dtype=object), values


def pair_keys(judgments: pd.DataFrame) -> pd.DataFrame:
    """Return ``prompt_id, model_a, model_b`` with each pair's models in alphabetical order, and whether that swaps."""
    swap = judgments["model_a"] > judgments["model_b"]
    first = judgments["model_a"].where(~swap, judgments["model_b"])
    second = judgments["model_b"].where(~swap, judgments["model_a"])
    return pd.DataFrame({"prompt_id": judgments["prompt_id"], "model_a": first, "model_b": second, "swapped": swap})


def oriented(judgments: pd.DataFrame) -> pd.DataFrame:
    """Turn every judgment so that its models are in alphabetical order."""
    keys = pair_keys(judgments)
    other = judgments["winner"].replace({"model_a": "model_b", "model_b": "model_a"})
    winner = judgments["winner"].where(~keys["swapped"], other)
    return judgments.assign(model_a=keys["model_a"], model_b=keys["model_b"], winner=winner)
