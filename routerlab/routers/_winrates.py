"""From ratings to a quality between 0 and 1: expected win rates against the other models."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import expit

from routerlab.schema import reject, shown


def mean_win_rates(strength: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean expected win rate of each model against the others, from Bradley-Terry log-strengths on the last axis.

    Examples
    --------
    >>> mean_win_rates(np.array([np.log(3), 0.0])).round(6).tolist()
    [0.75, 0.25]
    """
    n_models = strength.shape[-1]
    if n_models < 2:
        return np.full(strength.shape, 0.5)
    wins = expit(strength[..., :, None] - strength[..., None, :])
    return (wins.sum(axis=-1) - 0.5) / (n_models - 1)


def quality_from_ratings(ratings: pd.DataFrame, intents: Iterable[Any], models: pd.Index) -> pd.DataFrame:
    """Turn ratings by intent into expected win rates of shape (n_intents, n_models)."""
    lacking = [c for c in ("intent", "model", "rating") if c not in ratings]
    if lacking:
        reject("'ratings' table", f"column {shown(lacking)} is missing.", "Make it with rate(judgments, by=intents).")
    wide = ratings.pivot(index="intent", columns="model", values="rating")  # noqa: PD010
    for needed, has, axis in ((pd.Index(list(intents)), wide.index, "intent"), (models, wide.columns, "model")):
        absent = needed.difference(has)
        if len(absent):
            reject("'ratings' table", f"has no {axis} {shown(absent)}.", "Rate them, or leave their prompts out.")
    points_per_unit = float(ratings.attrs.get("scale", 400.0)) / np.log(float(ratings.attrs.get("base", 10.0)))
    wide = wide[models]
    return pd.DataFrame(mean_win_rates(wide.to_numpy(dtype=float) / points_per_unit), index=wide.index, columns=models)
