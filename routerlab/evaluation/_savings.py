"""What routing saves, what it does to quality, and how sure that is."""

from __future__ import annotations

import warnings
from dataclasses import asdict, dataclass
from html import escape
from typing import Any

import numpy as np
import pandas as pd

from routerlab.evaluation._baselines import always
from routerlab.evaluation._resample import percentile_interval, resampled_sums
from routerlab.evaluation._scoring import check_confidence, score_choices, stand_ins
from routerlab.schema import DroppedRowsWarning, check_model, provenance_of, reject

FEW = 200  # prompts below which the saving's interval was seen to be too narrow (benchmarks/coverage.py)


@dataclass(frozen=True)
class Savings:
    """Savings against a baseline, never without the quality difference, both intervals and n.

    Attributes
    ----------
    saving, saving_low, saving_high : float
        Share of the baseline's cost that is saved (0.4 means 40%), and its interval.
    quality_difference, quality_low, quality_high : float
        Mean quality of the choices minus the baseline's (quality in [0, 1]), and its interval.
    cost_usd, baseline_cost_usd, router_cost_usd : float
        Mean USD per request: choices (including the router's own cost), baseline, router alone.
    shares : dict
        Share of prompts that each model gets.
    margin : float
        Largest acceptable loss of quality for the non-inferiority verdict.
    """

    baseline: str
    n: int
    saving: float
    saving_low: float
    saving_high: float
    quality_difference: float
    quality_low: float
    quality_high: float
    quality: float
    baseline_quality: float
    cost_usd: float
    baseline_cost_usd: float
    router_cost_usd: float | None
    shares: dict[str, float]
    n_abstained: int
    margin: float
    confidence: float
    n_resamples: int
    random_state: Any
    method: str = "paired bootstrap over prompts, router held fixed"
    provenance: str | None = None

    @property
    def non_inferior(self) -> bool:
        """Whether the quality interval lies wholly above ``-margin``."""
        return self.quality_low >= -self.margin

    @property
    def verdict(self) -> str:
        """The non-inferiority verdict in words."""
        points = f"{100 * self.margin:g} point" + ("" if 100 * self.margin == 1 else "s")
        loss = f"a loss of more than {points}"
        if self.non_inferior:
            return f"non-inferior: the interval rules out {loss}"
        if self.quality_high < -self.margin:
            return f"inferior: the interval lies wholly below a loss of {points}"
        return f"not shown to be non-inferior: the interval does not rule out {loss}"

    def to_frame(self) -> pd.DataFrame:
        """One row with all numbers, for tables of several routers."""
        row = {k: v for k, v in asdict(self).items() if k != "shares"}
        return pd.DataFrame([row | {"non_inferior": self.non_inferior}])

    def _lines(self) -> list[str]:
        low, high = 100 * self.saving_low, 100 * self.saving_high
        points, worst, best = (100 * v for v in (self.quality_difference, self.quality_low, self.quality_high))
        change = f"{points:+.1f} points [{worst:+.1f}, {best:+.1f}]"
        share = ", ".join(f"{m} {s:.0%}" for m, s in sorted(self.shares.items(), key=lambda item: -item[1]) if s > 0)
        own = (
            "not included"
            if self.router_cost_usd is None
            else f"included: {1000 * self.router_cost_usd:.4f} USD per 1,000"
        )
        lines = [
            f"saves {100 * self.saving:.0f}% of cost [{low:.0f}, {high:.0f}]; quality {change}; "
            f"n = {self.n:,} prompts; baseline {self.baseline}",
            f"{1000 * self.cost_usd:.3g} instead of {1000 * self.baseline_cost_usd:.3g} USD per 1,000 requests; "
            f"quality {self.quality:.3f} instead of {self.baseline_quality:.3f}; router's own cost {own}",
            f"{self.verdict}",
            f"calls: {share}" + (f"; {self.n_abstained} prompts abstained to the fallback" if self.n_abstained else ""),
            f"{self.confidence:.0%} intervals: {self.method}, {self.n_resamples:,} resamples",
        ]
        if self.n < FEW:
            lines.append(f"fewer than {FEW} prompts: read the interval of the saving as somewhat too narrow")
        return [*lines, f"[{self.provenance}]"] if self.provenance else lines

    def __repr__(self) -> str:
        """Put the claim first, then how it was made."""
        return "\n".join(self._lines())

    def _repr_html_(self) -> str:
        first, *rest = (escape(line) for line in self._lines())
        return f"<div><strong>{first}</strong><br>" + "<br>".join(rest) + "</div>"


def savings(
    choices: pd.Series,
    quality: pd.DataFrame,
    cost: pd.DataFrame,
    *,
    baseline: str,
    margin: float = 0.01,
    router_cost: float | pd.Series | None = None,
    confidence: float = 0.95,
    n_resamples: int = 2000,
    random_state: Any = 0,
) -> Savings:
    """Compare choices with always calling the baseline, on held-out prompts.

    The router is held fixed: the intervals say how far the result may differ on other prompts of
    the same kind, not how another training set would change the router. Use prompts that neither
    the router nor its operating point has seen, and more than a hundred: where a dozen dear calls
    carry most of the cost, a 95% interval of the saving holds the truth only 90% of the time; from
    about 375 prompts on it is 93 to 97% (``benchmarks/coverage.py``).

    Parameters
    ----------
    choices : Series of shape (n_prompts,)
        Model names indexed by prompt id: ``router.predict(X)``, or from anywhere else.
    quality, cost : DataFrame of shape (n_prompts, n_models)
        Measured quality in [0, 1] and cost in USD per request, of the same prompts. Where cells are empty
        (`routerlab.judged_outcomes` with ``baseline=``), prompts whose outcome is known stand for all that were given
        to the same model, which is right if what is known does not depend on the prompt; n counts the known ones.
    baseline : str
        The model that is paid for on every request today.
    margin : float, default 0.01
        Largest acceptable loss of mean quality, for the non-inferiority verdict.
    router_cost : float or Series, optional
        The router's own cost in USD per request (embedding time, judge calls), added to the choices' cost.
    confidence : float, default 0.95
        Of the two-sided intervals. Their lower ends are one-sided bounds at (1 + confidence) / 2.
    n_resamples : int, default 2000
        Bootstrap resamples of the prompts; cost and quality are resampled together.
    random_state : int or Generator, default 0
        Seed of the bootstrap.

    Returns
    -------
    Savings
        Saving as the ratio of summed costs; quality difference in the same resamples; verdict.

    Raises
    ------
    TableError
        If prompts differ, the baseline is unknown, or it costs nothing.

    Examples
    --------
    >>> quality = pd.DataFrame({"small": [1.0, 0.0, 1.0], "gpt-4": [1.0, 1.0, 1.0]})
    >>> cost = pd.DataFrame({"small": [0.001] * 3, "gpt-4": [0.01] * 3})
    >>> choices = pd.Series(["small", "gpt-4", "small"])
    >>> round(savings(choices, quality, cost, baseline="gpt-4").saving, 3)
    0.6
    """
    check_confidence(confidence)
    if margin < 0:
        msg = f"'margin' is the largest acceptable loss and must be at least 0. Got {margin!r} instead."
        raise ValueError(msg)
    check_model(baseline, quality.columns, "baseline")
    ours = score_choices(choices, quality, cost, missing=True)
    theirs = score_choices(always(baseline, choices.index), quality, cost, missing=True)
    own = _router_cost(router_cost, choices.index)
    table = np.column_stack(
        [ours["cost_usd"].to_numpy() + own, theirs["cost_usd"], ours["quality"] - theirs["quality"]]
    ).astype(float)
    table, ours, theirs, stand_in = _known(table, ours, theirs, choices)
    if table[:, 1].sum() <= 0:
        reject(
            "'cost'", f"the baseline {baseline!r} costs nothing.", "There is nothing to save: check its cost column."
        )
    n = len(table)
    spent, base, gained = table.mean(axis=0)
    sums = resampled_sums(table, n_resamples, random_state)
    sums = sums[sums[:, 1] > 0]
    saving_low, saving_high = percentile_interval(1 - sums[:, 0] / sums[:, 1], confidence, n)
    quality_low, quality_high = percentile_interval(sums[:, 2] / n, confidence, n)
    return Savings(
        baseline=baseline,
        n=n,
        saving=float(1 - spent / base),
        saving_low=saving_low,
        saving_high=saving_high,
        quality_difference=float(gained),
        quality_low=quality_low,
        quality_high=quality_high,
        quality=float(ours["quality"].mean()),
        baseline_quality=float(theirs["quality"].mean()),
        cost_usd=float(spent),
        baseline_cost_usd=float(base),
        router_cost_usd=None if router_cost is None else float(np.mean(own)),
        shares=choices.value_counts(normalize=True).to_dict(),
        n_abstained=int(choices.attrs.get("n_abstained", 0)),
        margin=margin,
        confidence=confidence,
        n_resamples=n_resamples,
        random_state=random_state,
        method=f"paired bootstrap over prompts, router held fixed{stand_in}",
        provenance=provenance_of(quality, cost),
    )


def _known(table: Any, ours: Any, theirs: Any, choices: pd.Series) -> tuple[Any, Any, Any, str]:
    """Keep prompts whose outcomes are known, weighted to stand for the others; and the note that says so."""
    known = ~np.isnan(table).any(axis=1)
    if known.all():
        return table, ours, theirs, ""
    weight = stand_ins(known, choices)
    warnings.warn(
        f"savings: of {len(table):,} prompts, {known.sum():,} have a known outcome of the chosen model. They stand for "
        "the others, which is right if what is known does not depend on the prompt.",
        DroppedRowsWarning,
        stacklevel=3,
    )
    note = f"; of {len(table):,} prompts those with a known outcome, weighted to stand for all given to the model"
    return table[known] * weight[:, None], ours[known].mul(weight, axis=0), theirs[known].mul(weight, axis=0), note


def _router_cost(router_cost: float | pd.Series | None, index: pd.Index) -> Any:
    if router_cost is None:
        return 0.0
    if isinstance(router_cost, pd.Series):
        router_cost = router_cost.reindex(index).to_numpy(dtype=float)
    if not (np.isfinite(router_cost) & (np.asarray(router_cost) >= 0)).all():
        reject("'router_cost'", "must be finite and at least 0 for every prompt.", "USD per request.")
    return router_cost
