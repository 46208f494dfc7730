"""Grams of CO2 equivalents of requests, as the range that can be said, by EcoLogits."""

from __future__ import annotations

import logging
import re
from typing import Any

import numpy as np
import pandas as pd

from routerlab.market._names import base_model
from routerlab.schema import reject, shown


def add_carbon(table: pd.DataFrame, *, output_tokens: float | None = None, zone: str | None = None) -> pd.DataFrame:
    """Add ``co2e_g_low`` and ``co2e_g_high``: grams of CO2 equivalents of each request, or of each offer.

    Parameters
    ----------
    table : DataFrame
        Outcomes or responses (``model``, ``output_tokens``), or offers, together with ``output_tokens=``.
    output_tokens : float, optional
        Tokens that a request generates; for offers, and for tables without that column.
    zone : str, optional
        Where the electricity comes from, as ISO 3166-1 alpha-3, e.g. 'FRA', or 'WOR' for the world's mix. Default:
        where EcoLogits says that the provider's machines stand.

    Returns
    -------
    DataFrame
        A copy. Models that EcoLogits does not know have empty cells, never 0. Cells that are filled are kept.

    Raises
    ------
    ImportError
        EcoLogits is not installed: ``pip install 'routerlab[carbon]'``.

    Notes
    -----
    An estimate from the number of parameters, which of closed models is a guess itself: show the range, not its middle.
    Against 32 measured pairs of a model and a GPU it held 84% of them, and its middle was 1.9 times the measured
    median; above 400 billion parameters it overshoots 6 to 15 times. Training is not in it.

    References
    ----------
    https://ecologits.ai (MPL-2.0)

    Examples
    --------
    >>> table = pd.DataFrame({"prompt_id": ["p"], "model": ["no-such-model"], "output_tokens": [100]})
    >>> add_carbon(table)["co2e_g_high"].isna().all()  # doctest: +SKIP
    True
    """
    if "model" not in table:
        reject("table", f"column 'model' is missing; it has {shown(table.columns, 12)}.", "Rename it.")
    if output_tokens is None and "output_tokens" not in table:
        reject("table", "column 'output_tokens' is missing.", "Pass output_tokens=, the tokens that a request makes.")
    per_token, version = _estimator()
    frame = table.copy()
    tokens = pd.Series(output_tokens, index=frame.index) if output_tokens is not None else frame["output_tokens"]
    rates = {name: per_token(str(name), zone) for name in frame["model"].unique()}
    for place, column in enumerate(("co2e_g_low", "co2e_g_high")):
        estimate = frame["model"].map(lambda name, k=place: rates[name][k]).astype(float) * tokens.astype(float)
        frame[column] = frame[column].fillna(estimate) if column in frame else estimate
    unknown = sorted(str(name) for name, rate in rates.items() if np.isnan(rate[0]))
    frame.attrs["carbon"] = f"CO2e: estimated by ecologits {version}, a range; unknown for {len(unknown)} models"
    return frame


def _estimator() -> tuple[Any, str]:
    try:
        import ecologits
        from ecologits.model_repository import models
        from ecologits.tracers.utils import PROVIDER_CONFIG_MAP, llm_impacts
    except ImportError as error:
        msg = "add_carbon needs EcoLogits, which is not installed. Run: pip install 'routerlab[carbon]'."
        raise ImportError(msg) from error
    logging.getLogger("ecologits").setLevel(logging.ERROR)  # it warns of what its ranges are there for

    known: dict[str, Any] = {}
    for model in models.list_models():
        if model.provider.value in PROVIDER_CONFIG_MAP:
            known.setdefault(_size_of(model.name), model)

    def per_token(name: str, zone: str | None) -> tuple[float, float]:
        model = known.get(_size_of(name.partition("@")[0]))
        if model is None:
            return np.nan, np.nan
        n = 1000
        found = llm_impacts(model.provider.value, model.name, n, 0.02 * n, zone)
        if found.gwp is None:
            reject("'zone'", f"EcoLogits has no electricity mix of {zone!r}.", "Use ISO 3166-1 alpha-3, e.g. 'FRA'.")
        value: Any = found.gwp.value
        ends = (getattr(value, "min", value), getattr(value, "max", value))
        return tuple(float(end) * 1000 / n for end in ends)  # type: ignore[return-value]

    return per_token, ecologits.__version__


def _size_of(name: str) -> str:
    """Return the base model less its revision, which changes nothing about its size."""
    return re.sub(r"-v0\.\d$", "", base_model(name))
