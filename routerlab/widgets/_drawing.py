"""Where things stand in an `EvidencePlot`: fractions of its width and height, and the ticks of its axes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

PER = 1000  # requests that costs are shown for
_LOG_FROM = 5.0  # ratio of the largest to the smallest cost from which the axis is logarithmic
_MARGIN = 0.04

Scale = Callable[[Any], Any]


def scale(low: float, high: float, *, log: bool = False) -> tuple[Scale, list[dict[str, Any]]]:
    """Return a map from data to fractions in [0, 1], and ticks as ``{"at": fraction, "label": text}``.

    Examples
    --------
    >>> at, ticks = scale(0, 1)
    >>> round(float(at(0.5)), 6), [tick["label"] for tick in ticks]
    (0.5, ['0', '0.2', '0.4', '0.6', '0.8', '1'])
    """
    from matplotlib.ticker import LogLocator, MaxNLocator

    if high <= low:
        low, high = (low / 1.5, low * 1.5) if log else (low - 0.05, low + 0.05)
    values = (LogLocator(subs=(1, 2, 5)) if log else MaxNLocator(5)).tick_values(low, high)
    start, stop = (np.log([low, high])) if log else (low, high)
    edge = _MARGIN * (stop - start)

    def at(value: Any) -> Any:
        inner = np.log(value) if log else value
        return (inner - start + edge) / (stop - start + 2 * edge)

    places = [(float(at(value)), f"{value:.4g}") for value in values if value > 0 or not log]
    return at, [{"at": round(place, 4), "label": label} for place, label in places if 0 <= place <= 1]


def cost_scale(cost_usd: pd.Series) -> tuple[pd.Series, list[dict[str, Any]], bool]:
    """Return the fractions and ticks of mean costs a request, and whether the axis is logarithmic."""
    cost = PER * cost_usd
    low, high = float(cost.min()), float(cost.max())
    log = low > 0 and high > _LOG_FROM * low
    at, ticks = scale(low, high, log=log)
    return at(cost), ticks, log


def drawn_curve(points: pd.DataFrame) -> dict[str, Any]:
    """Return what the page needs of operating points: places, ticks, and a sentence about each."""
    cost, quality = PER * points["cost_usd"], points["quality"]
    x, xticks, log = cost_scale(points["cost_usd"])
    low, high = points["quality_low"].fillna(quality), points["quality_high"].fillna(quality)
    y, yticks = scale(float(low.min()), float(high.max()))
    said = [f"{c:.3g} USD per {PER:,} requests, quality {q:.3f}" for c, q in zip(cost, quality, strict=True)]
    return {
        "x": _places(x),
        "y": _places(y(quality)),
        "low": _places(y(low)),
        "high": _places(y(high)),
        "said": said,
        "xticks": xticks,
        "yticks": yticks,
        "xlabel": f"Cost, USD per {PER:,} requests" + (", log scale" if log else ""),
        "ylabel": "Mean quality",
    }


def drawn_bars(table: pd.DataFrame, order: list[Any], span: tuple[float, float]) -> list[dict[str, Any]]:
    """Return what the page needs of intents: places on one scale for all, and a sentence about each."""
    at, _ = scale(*span)
    rows = []
    for intent in order:
        row = table.loc[intent]
        known = bool(np.isfinite(row["ci_low"]))
        interval = f" [{100 * row['ci_low']:+.1f}, {100 * row['ci_high']:+.1f}]" if known else ""
        said = f"{100 * row['quality_change']:+.1f}{interval}" if row["n_changed"] else "no change"
        low, high = (row["ci_low"], row["ci_high"]) if known else (row["quality_change"],) * 2
        places = np.clip(_places(at(np.array([0.0, low, row["quality_change"], high]))), 0, 1)
        rows.append(
            {
                "name": str(intent).replace("_", " "),
                "at": places.tolist(),
                "said": said,
                "count": f"{int(row['n_changed']):,} of {int(row['n']):,}",
            }
        )
    return rows


def _places(values: Any) -> list[float]:
    return [round(float(value), 4) for value in np.asarray(values)]
