"""What BradleyTerry refuses: bad parameters, and votes that cannot rate."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components

from routerlab.schema import reject, shown

if TYPE_CHECKING:
    from routerlab.ratings._bradley_terry import BradleyTerry


def check_parameters(model: BradleyTerry) -> None:
    """Raise if a parameter is out of range."""
    choices = {"ties": ("half", "drop"), "both_bad": ("tie", "drop"), "interval": ("sandwich", "bootstrap")}
    for name, allowed in choices.items():
        if getattr(model, name) not in allowed:
            _reject_parameter(name, " or ".join(map(repr, allowed)), getattr(model, name))
    finite = np.inf
    numbers = {
        "alpha": (0 <= model.alpha < finite, "at least 0, and finite"),
        "n_resamples": (model.n_resamples >= 2, "at least 2"),
        "confidence": (0 < model.confidence < 1, "between 0 and 1, such as 0.95"),
        "scale": (0 < model.scale < finite, "above 0"),
        "base": (1 < model.base < finite, "above 1"),
        "center": (-finite < model.center < finite, "finite"),
    }
    for name, (good, wanted) in numbers.items():
        if not good:
            _reject_parameter(name, wanted, getattr(model, name))


def _reject_parameter(name: str, wanted: str, got: object) -> None:
    msg = f"The {name!r} parameter of BradleyTerry must be {wanted}. Got {got!r} instead."
    raise ValueError(msg)


def check_connected(wins: NDArray[np.float64], models: NDArray[np.object_]) -> None:
    """Raise if the comparisons fall into parts: ratings in one say nothing about those in another."""
    n_parts, part = connected_components(wins > 0, connection="weak")
    if n_parts > 1:
        parts = "; ".join(f"({shown(models[part == k], 8)})" for k in range(n_parts))
        reject(
            "judgments table",
            f"no vote compares models across {n_parts} groups: {parts}.",
            "Collect votes between them, or rate each group alone.",
        )


def check_separable(wins: NDArray[np.float64], models: NDArray[np.object_], alpha: float) -> None:
    """Raise, or with a penalty warn, if maximum likelihood ratings are infinite."""
    n_parts, part = connected_components(wins > 0, connection="strong")
    if n_parts == 1:
        return
    odd = f"{shown(models[part != np.bincount(part).argmax()], 8)} won everything or lost everything against others"
    if alpha == 0:
        reject(
            "judgments table",
            f"{odd}: with alpha=0 their ratings are infinite.",
            "Pass a small alpha such as 0.01, or collect more votes.",
        )
    warnings.warn(
        f"BradleyTerry: {odd}. Only alpha={alpha:g} keeps their distance finite: read it as 'far'.",
        UserWarning,
        stacklevel=4,
    )


def check_enough(n_clusters: int, n_votes: int, n_models: int, cluster: str | pd.Series | None) -> None:
    """Raise if there are too few independent units to see how votes scatter."""
    if n_clusters < n_models:
        column = "groups" if isinstance(cluster, pd.Series) else repr(cluster).replace("auto", "prompt_id")
        units = f"{n_votes} votes" if cluster is None else f"{n_votes} votes on {n_clusters} values of {column}"
        reject(
            "judgments table",
            f"has {units} for {n_models} models: too few to say how sure the ratings are.",
            "Collect more, or pass cluster=None if votes of one cluster are independent.",
        )
