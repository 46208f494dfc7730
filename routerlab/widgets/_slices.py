"""Win rates of each model in each slice of the judgments: what `JudgmentBrowser` shows above its list."""

from typing import Any

import pandas as pd

from routerlab.stats import clustered_share

_MOST = 300  # rows


def win_rates(votes: pd.DataFrame, by: str | None, confidence: float = 0.95) -> pd.DataFrame:
    """Return each model's win rate by slice, with intervals over prompts; ties of either kind are half wins.

    Parameters
    ----------
    votes : DataFrame of shape (n_votes, n_columns)
        From `routerlab.widgets._browser.entries`.
    by : str or None
        Column that holds the slice; None for all votes together.
    confidence : float, default 0.95
        Nominal coverage of each interval.

    Returns
    -------
    DataFrame of shape (n_rows, 6)
        ``slice, model, win_rate, ci_low, ci_high, n``. The slices with most votes, 300 rows at most;
        ``attrs["n_left_out"]`` counts the others.
    """
    first = votes["_verdict"].map({"model_a": 1.0, "model_b": 0.0}).fillna(0.5).to_numpy()
    slices = pd.Series("all", index=votes.index) if by is None else votes[by]
    frame = pd.DataFrame({"slice": slices, "prompt": pd.factorize(votes["prompt_id"])[0]})
    sides = [frame.assign(model=votes["_first"], won=first), frame.assign(model=votes["_second"], won=1 - first)]
    groups = pd.concat(sides, ignore_index=True).groupby(["slice", "model"], sort=True, observed=True)
    size = groups.size().sort_values(ascending=False, kind="stable")
    rows: list[tuple[Any, ...]] = []
    for key in size.index[:_MOST].sort_values():
        group = groups.get_group(key)
        rate = clustered_share(group["won"].to_numpy(), codes=group["prompt"].to_numpy(), confidence=confidence)
        rows.append((*key, *rate, len(group)))
    table = pd.DataFrame(rows, columns=["slice", "model", "win_rate", "ci_low", "ci_high", "n"])
    table.attrs["n_left_out"] = max(0, len(size) - _MOST)
    return table
