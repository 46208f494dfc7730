"""A paired test of two sets of choices."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from routerlab.evaluation._scoring import check_choices, chosen_outcomes, score_choices
from routerlab.schema import Outcomes, by_prompt, provenance_of, spread_prices
from routerlab.stats import (
    check_confidence,
    check_n_resamples,
    few_groups_note,
    group_codes,
    mean_interval,
    sign_flip_p_value,
    skewed_note,
    t_interval,
)


@dataclass(frozen=True)
class Comparison:
    """Two sets of choices on the same prompts: first minus second, with paired intervals.

    Attributes
    ----------
    quality_difference, quality_low, quality_high : float
        In units of quality, [0, 1].
    cost_difference, cost_low, cost_high : float
        USD per request.
    quality_p, cost_p : float
        Two-sided, studentised sign-flip tests of no difference in the mean.
    n_groups : int, optional
        Groups of prompts that count as one piece of evidence each.
    notes : tuple of str
        What to keep in mind: few groups, unequal costs.
    """

    n: int
    quality_difference: float
    quality_low: float
    quality_high: float
    quality_p: float
    cost_difference: float
    cost_low: float
    cost_high: float
    cost_p: float
    confidence: float
    n_resamples: int
    random_state: Any
    method: str = "paired intervals and studentised sign-flip tests over prompts, both routers held fixed"
    n_groups: int | None = None
    notes: tuple[str, ...] = ()
    provenance: str | None = None

    def __repr__(self) -> str:
        """Both differences in a line each."""
        quality, low, high = (100 * v for v in (self.quality_difference, self.quality_low, self.quality_high))
        cost, cost_low, cost_high = (1000 * v for v in (self.cost_difference, self.cost_low, self.cost_high))
        note = "".join(f"\n{text}" for text in (*self.notes, self.provenance and f"[{self.provenance}]") if text)
        groups = "" if self.n_groups is None else f" in {self.n_groups:,} groups"
        return (
            f"quality {quality:+.1f} points [{low:+.1f}, {high:+.1f}], p = {self.quality_p:.3g}\n"
            f"cost {cost:+.3g} USD per 1,000 [{cost_low:+.3g}, {cost_high:+.3g}], p = {self.cost_p:.3g}\n"
            f"first minus second; n = {self.n:,} prompts{groups}; {100 * self.confidence:.5g}%; {self.method}{note}"
        )


def compare(
    first: pd.Series,
    second: pd.Series,
    quality: pd.DataFrame | Outcomes,
    cost: pd.DataFrame | None = None,
    *,
    confidence: float = 0.95,
    groups: Any = None,
    n_resamples: int = 2000,
    random_state: Any = 0,
) -> Comparison:
    """Test two sets of choices against each other on the same prompts.

    Parameters
    ----------
    first, second : Series of shape (n_prompts,)
        Model names indexed by prompt id.
    quality, cost : DataFrame of shape (n_prompts, n_models), cost optional with Outcomes
        Measured outcomes of the same prompts.
    confidence, groups : optional
        See `savings`.
    n_resamples : int, default 2000
        Sign flips of the tests.
    random_state : int or Generator, default 0
        Seeds them.

    Returns
    -------
    Comparison
        Differences of means, first minus second.

    Examples
    --------
    >>> quality = pd.DataFrame({"a": [1.0, 0.0], "b": [1.0, 1.0]})
    >>> choices = pd.Series(["a", "b"])
    >>> compare(choices, choices, quality, quality).quality_difference
    0.0
    """
    check_confidence(confidence)
    outcomes = chosen_outcomes([check_choices(choices) for choices in (first, second)], quality, cost)
    a, b = (score_choices(choices, outcomes) for choices in (first, second))
    check_n_resamples(n_resamples)
    b = b.loc[a.index]
    codes = group_codes(groups, a.index)
    rng = np.random.default_rng(random_state)
    gained = (a["quality"] - b["quality"]).to_numpy(dtype=float)
    spent = (a["cost_usd"] - b["cost_usd"]).to_numpy(dtype=float)
    same = first is second or (
        first.attrs.get("always") is not None and first.attrs.get("always") == second.attrs.get("always")
    )
    same = same and first.loc[a.index].equals(second.loc[a.index])  # agreement on a sample is none on all prompts
    quality_ends = (0.0, 0.0) if same else mean_interval(gained, codes, confidence=confidence)[1:]
    dear = np.maximum(a["cost_usd"], b["cost_usd"]).to_numpy(dtype=float)
    skewed = skewed_note(dear, codes) if spent.any() else None
    # What a prompt that was not seen may cost: the dearer of both choices or, where their costs never differed, of all.
    frame = quality.cost if isinstance(quality, Outcomes) else spread_prices(by_prompt(cost), by_prompt(quality))
    models = pd.unique(pd.concat([first, second])) if spent.any() else frame.columns
    dear = frame[models].max(axis=1).to_numpy(dtype=float, na_value=0.0)
    unseen = float(dear @ dear / dear.sum()) if dear.any() else 0.0  # cost of the prompt on which the mean dollar goes
    if same:
        cost_ends = (0.0, 0.0)
    elif skewed:
        cost_ends = (np.nan, np.nan)
    else:
        cost_ends = t_interval(spent, codes, confidence=confidence, unseen=unseen)[1:]
    numbers: dict[str, Any] = {}
    for name, values, (low, high) in (("quality", gained, quality_ends), ("cost", spent, cost_ends)):
        numbers |= {f"{name}_difference": float(values.mean()), f"{name}_low": low, f"{name}_high": high}
        numbers[f"{name}_p"] = sign_flip_p_value(values, codes, n_resamples, rng)
    return Comparison(
        n=len(gained),
        confidence=confidence,
        n_resamples=n_resamples,
        random_state=random_state,
        n_groups=None if codes is None else len(np.unique(codes)),
        notes=tuple(note for note in (few_groups_note(codes), skewed) if note),
        provenance=provenance_of(quality, cost),
        **numbers,
    )
