"""Checks of what the pictures are given, with errors that anticipate the usual mix-ups."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from routerlab.schema import reject, shown

CURVE = ("cost_usd", "quality")
INTERVALS = ("cost_low", "cost_high", "quality_low", "quality_high")
KINDS = ("model", "cascade", "oracle", "zero_router", "random_mix")


def check_curves(curve: Any) -> dict[str, pd.DataFrame]:
    """Return named curves, each from infinite willingness to pay downwards."""
    if isinstance(curve, Mapping):
        if not curve:
            reject("'curve'", "is an empty dict.", "Pass a frontier, or a dict of name -> frontier.")
        return {str(name): _check_curve(frame, f"'curve' {name!r}") for name, frame in curve.items()}
    frame = _check_curve(curve, "'curve'")
    return {str(frame.attrs.get("router", "router")): frame}


def _check_curve(curve: Any, where: str) -> pd.DataFrame:
    remedy = "Pass frontier(router.sweep(X), quality, cost), or a dict of name -> frontier."
    if hasattr(curve, "at") and hasattr(curve, "wtp"):
        reject(where, "got a Sweep, which has choices but no measured quality.", remedy)
    check_frame(curve, CURVE, where, remedy)
    if "kind" in curve:
        reject(where, "got a table of baselines.", "Pass it as baselines=..., and a frontier as curve.")
    _check_points(curve, where)
    if "willingness_to_pay" in curve:
        curve = curve.sort_values("willingness_to_pay", ascending=False, kind="stable")
    return curve


def check_baselines(baselines: Any) -> pd.DataFrame:
    """Check a table of baselines."""
    check_frame(baselines, ("name", "kind", *CURVE), "'baselines'", "Pass baselines(quality, cost, ...).")
    odd = baselines.loc[~baselines["kind"].isin(KINDS), "kind"].unique()
    if len(odd):
        reject("'baselines', column 'kind'", f"got {shown(odd)}, expected {shown(KINDS)}.", "Drop those rows.")
    return _check_points(baselines, "'baselines'")


def check_chosen(chosen: Any, curves: Mapping[str, pd.DataFrame]) -> dict[str, float]:
    """Read an operating point: (USD per request, quality), a row of a frontier, or Savings."""
    if isinstance(chosen, pd.DataFrame) and len(chosen) == 1:
        chosen = chosen.iloc[0]
    if isinstance(chosen, (pd.Series, Mapping)) and {*CURVE} <= {*chosen.keys()}:
        point = {name: float(chosen[name]) for name in (*CURVE, *INTERVALS) if name in chosen}
    elif all(hasattr(chosen, name) for name in CURVE):  # Savings, whose quality interval is that of the difference
        point = {name: float(getattr(chosen, name)) for name in CURVE}
    elif isinstance(chosen, (Sequence, np.ndarray)) and not isinstance(chosen, str) and len(chosen) == 2:
        point = dict(zip(CURVE, map(float, chosen), strict=True))
    else:
        wrong = f"expected (cost_usd, quality), a row of a frontier or Savings, got {type(chosen).__name__}."
        reject("'chosen'", wrong, "Pass e.g. curve.iloc[10], or the result of savings(...).")
    _check_points(pd.DataFrame([point]), "'chosen'")
    cost, quality = (point[name] for name in CURVE)
    if not _within(cost, quality, curves) and _within(quality, cost, curves):
        wrong = f"got cost_usd={cost:g}, quality={quality:g}, which lies far off the curve, and the reverse lies on it."
        reject("'chosen'", wrong, "Pass (cost_usd, quality), in this order.")
    return point


def _within(cost: float, quality: float, curves: Mapping[str, pd.DataFrame]) -> bool:
    """Whether a point lies within the range of some curve, give or take a little."""
    return any(
        frame["cost_usd"].min() / 2 <= cost <= 2 * frame["cost_usd"].max()
        and frame["quality"].min() - 0.1 <= quality <= frame["quality"].max() + 0.1
        for frame in curves.values()
    )


def check_ratings(ratings: Any) -> tuple[pd.DataFrame, str | None]:
    """Check a table of ratings; return it and its column of intents, if it has one."""
    columns = ("model", "rating", "ci_low", "ci_high")
    check_frame(ratings, columns, "'ratings'", "Pass rate(judgments), or BradleyTerry().fit(judgments).summary().")
    numbers(ratings, columns[1:], "'ratings'")
    known = (*columns, "n", "win_rate", "win_rate_low", "win_rate_high")
    by = next((c for c in ratings.columns if c not in known), None)
    key = ["model"] if by is None else [by, "model"]
    twice = ratings.loc[ratings.duplicated(key), key].drop_duplicates()
    if len(twice):
        wrong = f"appears more than once: {shown(twice.itertuples(index=False, name=None))}."
        reject(f"'ratings', key ({', '.join(key)})", wrong, "Pass one table as rate(...) returns it.")
    bad = (ratings["ci_low"] > ratings["rating"]) | (ratings["ci_high"] < ratings["rating"])
    if bad.any():
        reject(
            "'ratings', columns 'ci_low' and 'ci_high'",
            f"do not enclose the rating of {shown(ratings.loc[bad, 'model'].unique())}.",
            "Pass the ends of the interval (not its half width), the low one first.",
        )
    return ratings.reset_index(drop=True), by


def check_shares(shares: Any) -> pd.DataFrame:
    """Check a table of model shares: within [0, 1], adding up to 1."""
    columns = ("willingness_to_pay", "model", "share")
    check_frame(shares, columns, "'shares'", "Pass model_share(sweep, intents).")
    numbers(shares, ("share",), "'shares'", 0.0, 1.0, "Shares are fractions, not percent.")
    if "intent" not in shares:
        shares = shares.assign(intent="all")
    total = shares.groupby(["intent", "willingness_to_pay"], sort=False)["share"].sum()
    bad = total[(total - 1).abs() > 1e-6]
    if len(bad):
        reject(
            "'shares', column 'share'",
            f"adds up to {bad.iloc[0]:g}, not 1, over the models of {bad.index[0]}.",
            "Keep all models, and one row for each (willingness_to_pay, intent, model).",
        )
    return shares


def check_frame(table: Any, columns: Sequence[str], where: str, remedy: str) -> None:
    """Insist on a frame with `columns` and rows; say so if it is prompts by models."""
    if not isinstance(table, pd.DataFrame):
        reject(where, f"expected a DataFrame, got {type(table).__name__}.", remedy)
    missing = [c for c in columns if c not in table]
    if missing and (table.index.name == "prompt_id" or table.columns.name == "model"):
        reject(where, f"looks like a frame of prompts x models (shape {table.shape}), not a result.", remedy)
    if missing:
        reject(where, f"column {shown(missing)} is missing; it has {shown(table.columns, 12)}.", remedy)
    if not len(table):
        reject(where, "has no rows.", remedy)


def numbers(
    table: pd.DataFrame, columns: Sequence[str], where: str, low: float = -np.inf, high: float = np.inf, hint: str = ""
) -> None:
    """Insist on finite numbers in [low, high]."""
    for column in columns:
        values = pd.to_numeric(table[column], errors="coerce")
        bad = ~(np.isfinite(values) & (values >= low) & (values <= high))
        if bad.any():
            wanted = "finite numbers" if not np.isfinite(low) else f"numbers in [{low:g}, {high:g}]"
            got = f"got {shown(table.loc[bad, column])}, expected {wanted}."
            reject(f"{where}, column '{column}'", got, hint or "Correct or drop those rows.")


def _check_points(table: pd.DataFrame, where: str) -> pd.DataFrame:
    """Insist on quality in [0, 1], cost of at least 0, and intervals that are numbers or missing."""
    swapped = "Quality is a fraction; are quality and cost_usd swapped, or quality in percent?"
    numbers(table, ["quality"], where, 0.0, 1.0, swapped)
    numbers(table, ["cost_usd"], where, 0.0, float(np.finfo(float).max), "Costs are in USD per request.")
    for column in (c for c in INTERVALS if c in table):
        numbers(table[table[column].notna()], [column], where)
    return table
