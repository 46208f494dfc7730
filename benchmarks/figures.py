"""One file of figures: benchmarks write it; README, notebooks and tests read it.

A figure that stands on several pages comes from one row of ``figures.json``, so that one thing has one number.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

import routerlab as rl

PATH = Path(__file__).with_name("figures.json")


def read() -> dict[str, dict[str, Any]]:
    """Return all figures by name: ``value``, ``low``, ``high``, ``n``, ``protocol``, ``command``."""
    return json.loads(PATH.read_text(encoding="utf-8")) if PATH.exists() else {}


def blind_difference(cost_usd: float, quality: Any, cost: Any, baseline: str) -> float:
    """Quality of models mixed at random for the same mean cost, less the baseline's: what a router must beat."""
    mixed = rl.zero_router(quality, cost)
    return float(np.interp(cost_usd, mixed["cost_usd"], mixed["quality"]) - quality[baseline].mean())


def record(name: str, figure: Any, *, n: int | None = None, protocol: str, command: str) -> None:
    """Write one figure: an interval of routerlab, a (value, low, high), or a number."""
    if hasattr(figure, "estimate"):
        figure, n = (figure.estimate, figure.low, figure.high), figure.n if n is None else n
    value, low, high = figure if isinstance(figure, tuple) else (figure, None, None)
    row = {"value": value, "low": low, "high": high, "n": n}
    row = {key: None if v is None else round(float(v), 6) if key != "n" else int(v) for key, v in row.items()}
    rows = read() | {name: row | {"protocol": protocol, "command": command}}
    text = ",\n".join(f"  {json.dumps(key)}: {json.dumps(rows[key])}" for key in sorted(rows))
    PATH.write_text(f"{{\n{text}\n}}\n", encoding="utf-8")
