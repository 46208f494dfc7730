"""Whole curves with intervals: AIQ differences, and the saving at parity.

Both read something off a curve that was measured on the same prompts: which operating points lie on the hull, which one
is level with the baseline. Read off and scored on the same prompts, noise passes for gain. So the hull is read off the
other half, and parity is tested.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from routerlab.decision import Sweep
from routerlab.deprecation import renamed
from routerlab.evaluation._frontier import hull
from routerlab.evaluation._scoring import align, last_of_equal
from routerlab.exceptions import ParameterError
from routerlab.schema import Outcomes, check_aligned, check_model, models_of, provenance_of, refuse_parameter
from routerlab.stats import (
    Codes,
    Floats,
    Interval,
    check_confidence,
    check_n_resamples,
    few_groups_note,
    group_codes,
    linear_interval,
    mean_differs,
    ratio_interval,
    ratio_note,
)

N_FOLDS = 4  # of the point that is read off for a saving at parity
N_HALVINGS = 4  # of the prompts, for hulls: those of more folds are so alike that their errors add up
# Hulls of halves move with their prompts, which no prompt's influence shows. Of routers that gain nothing over the zero
# router, estimates spread by up to 1.2 times what influences say (benchmarks/coverage.py), of others by 1.0.
WIDENED = 1.1
N_TRIED, STRIDE = 97, 4  # points tested for the upper end of the saving at parity, and every fourth for the lower
_NO_POINT = "every point that was tried is shown to lose more than the margin: only the baseline keeps its quality"
TOO_FEW = "too few to say: one prompt, or one group, does not show how much prompts differ"


class _Replayed:
    """A sweep whose curve can be drawn again under any weights of the prompts."""

    def __init__(self, sweep: Sweep, outcomes: Outcomes) -> None:
        scored = align(sweep.index, sweep.models, outcomes)
        order = scored.models.get_indexer(sweep.models)
        self.sweep, self.column, self.n_models = sweep, order, len(scored.models)
        self.last = last_of_equal(sweep.wtp)
        self.prompt = sweep.prompt
        row = np.arange(len(sweep.index))
        self.start, self.step = [], []
        for values in (scored.cost[:, order], scored.quality[:, order]):
            self.start.append(values[row, sweep.first])
            self.step.append(values[sweep.prompt, sweep.target] - values[sweep.prompt, sweep.origin])

    def curve(self, weight: Floats) -> tuple[Floats, Floats]:
        """Mean cost and quality at each operating point."""
        n, of_switch = weight.sum(), weight[self.prompt]
        cost, quality = (
            np.append(weight @ start, weight @ start + np.cumsum(of_switch * step)[self.last]) / n
            for start, step in zip(self.start, self.step, strict=True)
        )
        return cost, quality

    def at(self, point: int) -> tuple[Floats, Floats]:
        """Cost and quality of each prompt at one operating point."""
        taken = slice(0, self.last[point - 1] + 1 if point else 0)
        cost, quality = (
            start + np.bincount(self.prompt[taken], step[taken], len(start))
            for start, step in zip(self.start, self.step, strict=True)
        )
        return cost, quality

    def spread(self, weight: Floats) -> Floats:
        """Weight of each prompt's models, of shape (n_prompts, n_models), from weights of the operating points."""
        after = np.append(np.cumsum(weight[::-1])[::-1], 0.0)  # of this point and all that follow
        moved = after[np.searchsorted(self.last, np.arange(len(self.prompt))) + 1]
        n = len(self.sweep.index)
        flat = [
            np.arange(n) * self.n_models + self.column[self.sweep.first],
            self.prompt.astype(np.intp) * self.n_models + self.column[self.sweep.target],
            self.prompt.astype(np.intp) * self.n_models + self.column[self.sweep.origin],
        ]
        values = [np.full(n, after[0]), moved, -moved]
        cells = np.bincount(np.concatenate(flat), np.concatenate(values), n * self.n_models)
        return cells.reshape(n, self.n_models).astype(float)


class _Mixed:
    """The zero router: single models, mixed at random."""

    def __init__(self, quality: pd.DataFrame, cost: pd.DataFrame) -> None:
        self.quality, self.cost = quality.to_numpy(dtype=float), cost.to_numpy(dtype=float)

    def curve(self, weight: Floats) -> tuple[Floats, Floats]:
        """Mean cost and quality of each single model."""
        return weight @ self.cost / weight.sum(), weight @ self.quality / weight.sum()

    def spread(self, weight: Floats) -> Floats:
        """Weight of each model, the same for all prompts."""
        return np.tile(weight, (len(self.quality), 1))


def aiq_difference(
    first: Sweep,
    second: Sweep | str,
    quality: pd.DataFrame | Outcomes,
    cost: pd.DataFrame | None = None,
    *,
    groups: Any = None,
    confidence: float = 0.95,
    n_resamples: int = 1000,
    random_state: Any = 0,
) -> Interval:
    """AIQ of one router minus another's, paired by prompt, each hull read off other prompts than it is scored on.

    A hull is drawn through the highest points of a curve, and on the prompts that made it some are high by luck: more
    of them on a router's thousands of points than on the zero router's few. So both hulls are read off one half of the
    prompts and scored on the other, both ways, for four random halvings. Areas are taken over the costs that both
    reach: from the larger of their least costs to the larger of their largest.

    Parameters
    ----------
    first : Sweep
        Of the first router.
    second : Sweep or 'zero_router'
        Of the second router on the same prompts, or the hull of the single models.
    quality, cost : DataFrame of shape (n_prompts, n_models), cost optional with Outcomes
        Measured outcomes.
    groups : Series prompt_id -> group, or array of shape (n_prompts,), optional
        Prompts of one conversation, customer or text: folds and resamples take them together.
    confidence, n_resamples, random_state : optional
        Of the interval; `random_state` draws folds and resamples. Both routers are held fixed.

    Returns
    -------
    Interval
        In units of quality. Against the zero router the estimate is cross-fitted as the interval is; between two
        routers it is the difference of their areas on all prompts, as `aiq` gives them.

    Notes
    -----
    To first order the difference is a mean over prompts: of the quality that each adds at the points on the hulls, less
    its cost at the hull's slope. The interval is that mean's: the wider of the score interval
    (`routerlab.stats.mean_interval`) and the bootstrap.

    Examples
    --------
    >>> from routerlab.decision import sweep_estimates
    >>> rng = np.random.default_rng(0)
    >>> quality = pd.DataFrame(rng.random((80, 2)), columns=["small", "large"])
    >>> cost = pd.DataFrame({"small": np.full(80, 0.001), "large": np.full(80, 0.01)})
    >>> aiq_difference(sweep_estimates(quality, cost), "zero_router", quality, cost, n_resamples=50).low > 0
    True
    """
    check_confidence(confidence)
    outcomes = check_aligned(quality, cost)
    if isinstance(second, str) and second != "zero_router":
        refuse_parameter("second", "a Sweep or 'zero_router'", second)
    rows = first.index
    a, blind = _Replayed(first, outcomes), isinstance(second, str)
    outcomes = outcomes.loc[rows]
    quality, cost = outcomes
    if isinstance(second, str):
        b: Any = _Mixed(quality, cost)
    else:
        if not second.index.equals(rows):
            msg = "'first' and 'second' must sweep the same prompts in the same order: pass the same X to both."
            raise ParameterError(msg)
        b = _Replayed(second, outcomes)
    codes = group_codes(groups, rows)
    estimate = _area_gap(a.curve(np.ones(len(rows))), b.curve(np.ones(len(rows)))).difference
    values, reach = _cross_fitted(a, b, quality, cost, codes, random_state)
    options = {"confidence": confidence, "n_resamples": n_resamples, "random_state": random_state}
    ends, middle = linear_interval(values, codes, bounds=(-reach, reach), **options), float(values.mean())
    low, high = (middle + WIDENED * (end - middle) for end in ends)
    if blind and len(rows) > 1:
        estimate = float(values.mean())
    return Interval(
        estimate, min(low, estimate), max(high, estimate), len(rows), confidence, n_resamples, random_state,
        f"hulls of other halves ({N_HALVINGS} halvings), the wider of score interval and bootstrap, routers held fixed",
        provenance_of(quality, cost), None if codes is None else int(codes.max()) + 1,
        TOO_FEW if np.isnan(low) else few_groups_note(codes),
    )  # fmt: skip


def _folds(n: int, codes: Codes | None, n_folds: int, random_state: Any) -> NDArray[np.intp]:
    """Fold of each row, whole groups together."""
    n_units = n if codes is None else int(codes.max()) + 1
    fold = np.random.default_rng(random_state).permutation(n_units) % n_folds
    return fold if codes is None else fold[codes]


def _cross_fitted(a: Any, b: Any, quality: Any, cost: Any, codes: Codes | None, seed: Any) -> tuple[Floats, float]:
    """AIQ difference plus each prompt's influence, at hulls of the other half; and the largest that one can have.

    Averaged over halvings: which prompts fell together is luck that a second one shares only in part.
    """
    worth, price = quality.to_numpy(dtype=float), cost.to_numpy(dtype=float)
    rng, reach = np.random.default_rng(seed), 0.0
    values = np.zeros(len(worth))
    for _ in range(N_HALVINGS):
        fold = _folds(len(worth), codes, 2, rng)
        for k in (0, 1):
            test, train = fold == k, (fold != k).astype(float)
            if not train.any() or not test.any():
                return np.full(len(worth), np.nan), 0.0
            gap = _area_gap(a.curve(train), b.curve(train))
            of_quality = a.spread(gap.by_quality[0]) - b.spread(gap.by_quality[1])
            of_cost = a.spread(gap.by_cost[0]) - b.spread(gap.by_cost[1])
            influence = (of_quality * worth + of_cost * price).sum(axis=1)
            values[test] += (gap.difference + influence[test] - train @ influence / train.sum()) / N_HALVINGS
            reach = max(reach, float(np.abs(of_quality).sum(axis=1).max()) / 2)
    if reach < 1e-12:
        return values, 0.0
    # Where costs are heavy-tailed a prompt counts for more than its quality can, and the heaviest is still to come.
    return values, max(reach, 2 * float(np.abs(values).max()) - reach)


class _AreaGap(NamedTuple):
    """Difference of two curves' mean heights, and its derivatives by each point's cost and quality, for each curve.

    Those of the second curve are to be subtracted.
    """

    difference: float
    by_cost: tuple[Floats, Floats]
    by_quality: tuple[Floats, Floats]


def _area_gap(a: tuple[Floats, Floats], b: tuple[Floats, Floats]) -> _AreaGap:
    """Mean height of the hull of `a` less that of `b`, over the costs that both reach."""
    low, high = max(a[0].min(), b[0].min()), max(a[0].max(), b[0].max())
    if high <= low:  # single points: the difference of their heights
        one = [np.eye(len(curve[0]))[_vertices(*curve)[-1]] for curve in (a, b)]
        difference = float(one[0] @ a[1] - one[1] @ b[1])
        return _AreaGap(difference, (0 * one[0], 0 * one[1]), (one[0], one[1]))
    sides = [_area(*curve, low, high) for curve in (a, b)]
    width = high - low
    difference = (sides[0][0] - sides[1][0]) / width
    by_cost, by_quality = ([side[k] / width for side in sides] for k in (1, 2))
    step = [first - second for first, second in zip(sides[0][3], sides[1][3], strict=True)]
    # The range itself ends at points of the curves, and moves with them.
    starts, ends = int(b[0].min() == low and a[0].min() < low), int(b[0].max() == high and a[0].max() < high)
    sign = (1, -1)
    by_cost[starts][(a, b)[starts][0].argmin()] += sign[starts] * (difference - step[0]) / width
    by_cost[ends][(a, b)[ends][0].argmax()] += sign[ends] * (step[1] - difference) / width
    return _AreaGap(float(difference), (by_cost[0], by_cost[1]), (by_quality[0], by_quality[1]))


def _vertices(cost: Floats, quality: Floats) -> NDArray[np.intp]:
    """Positions of the hull's vertices."""
    order = np.lexsort((-quality, cost))
    return order[np.searchsorted(cost[order], hull(cost, quality)[0])]


def _area(cost: Floats, quality: Floats, low: float, high: float) -> tuple[float, Floats, Floats, Floats]:
    """Area under a hull, its derivatives by each point's cost and quality, and the hull's height at both ends."""
    vertex = _vertices(cost, quality)
    x, y = cost[vertex], quality[vertex]
    edge, length = np.clip(x, low, high), np.diff(x)
    slope = np.diff(y) / length
    # A segment's height is a mean of its ends: raising one raises the height in proportion to the nearness.
    right = ((edge[1:] - x[:-1]) ** 2 - (edge[:-1] - x[:-1]) ** 2) / (2 * length)
    left = np.diff(edge) - right
    raised, shifted = np.zeros(len(x)), np.zeros(len(x))
    raised[:-1] += left
    raised[1:] += right
    raised[-1] += high - edge[-1]
    shifted[:-1] -= left * slope
    shifted[1:] -= right * slope
    by_cost, by_quality = np.zeros(len(cost)), np.zeros(len(cost))
    by_cost[vertex], by_quality[vertex] = shifted, raised
    return float(raised @ y), by_cost, by_quality, np.interp([low, high], x, y)


@dataclass(frozen=True, repr=False)
class ParitySaving(Interval):
    """The saving at parity in hindsight, its interval, and what stands next to it.

    Attributes
    ----------
    estimate : float
        In hindsight: the largest saving on the curve whose quality, on the same prompts, is not below the bar.
    low : float
        Saving of the cheapest operating point that is shown to keep the quality; 0 if none is.
    high : float
        Saving of the cheapest operating point that is not shown to lose it.
    blind : float
        What mixing single models at random, blind to the prompt, saves at the same quality, also in hindsight.
    held_out, held_out_quality : float
        Saving, and quality difference from the baseline, when the point is read off the other folds: what following the
        hindsight figure would have given.

    Examples
    --------
    >>> from routerlab.decision import sweep_estimates
    >>> quality = pd.DataFrame({"small": [1.0, 0.0] * 50, "large": [1.0, 1.0] * 50})
    >>> cost = pd.DataFrame({"small": [0.001] * 100, "large": [0.011] * 100})
    >>> found = saving_at_parity(sweep_estimates(quality, cost), quality, cost, baseline="large", n_resamples=99)
    >>> found.blind, round(found.held_out, 3)
    (0.0, 0.455)
    """

    blind: float = float("nan")
    held_out: float = float("nan")
    held_out_quality: float = float("nan")

    def __repr__(self) -> str:
        """Never print the estimate without the words that it needs."""
        return (
            f"in hindsight {super().__repr__()}; mixing models blindly saves {self.blind:.4f} (in hindsight); points "
            f"read off other prompts save {self.held_out:.4f} at quality {100 * self.held_out_quality:+.1f} points"
        )


@renamed(margin="max_quality_loss")
def saving_at_parity(
    sweep: Sweep,
    quality: pd.DataFrame | Outcomes,
    cost: pd.DataFrame | None = None,
    *,
    baseline: str,
    max_quality_loss: float = 0.0,
    groups: Any = None,
    confidence: float = 0.95,
    n_resamples: int = 1000,
    random_state: Any = 0,
) -> ParitySaving:
    """Largest saving along a frontier whose quality is not below the baseline's by more than a margin, in hindsight.

    The estimate reads the operating point off the same prompts that it scores, as published comparisons do, and so
    flatters the router. The interval is for the true largest saving, and does not rest on the estimate: its lower end
    is what the prompts prove, its upper end what they do not rule out. For a claim, set the operating point on a tuning
    split and use `savings`.

    Parameters
    ----------
    sweep : Sweep
        ``router.sweep(X)``.
    quality, cost : DataFrame of shape (n_prompts, n_models), cost optional with Outcomes
        Measured outcomes.
    baseline : str
        The model that is paid for today.
    max_quality_loss : float, default 0
        Acceptable loss of mean quality.
    groups : Series prompt_id -> group, or array of shape (n_prompts,), optional
        Prompts of one conversation, customer or text count as one piece of evidence.
    confidence, random_state : optional
        Of the interval, and of the folds. The router is held fixed.
    n_resamples : int, default 1000
        Without effect since the interval comes from tests; kept for calls that name it.

    Returns
    -------
    ParitySaving
        Share of the baseline's cost; 0 where only the baseline reaches its quality. Next to it, what blind mixing
        of models saves, and what the point does when it is read off other prompts.

    Notes
    -----
    From the dearest operating point down, some 25 are tested one after the other until the first whose quality is not
    shown to be above the bar (fixed-sequence testing: no price for their number). The upper end is the cheapest point
    whose quality is not shown to be below the bar. Both allow for the cost's own error.

    Examples
    --------
    >>> from routerlab.decision import sweep_estimates
    >>> quality = pd.DataFrame({"small": [1.0, 0.0], "large": [1.0, 1.0]})
    >>> cost = pd.DataFrame({"small": [0.001, 0.001], "large": [0.011, 0.011]})
    >>> round(saving_at_parity(sweep_estimates(quality, cost), quality, cost, baseline="large").estimate, 3)
    0.455
    """
    check_confidence(confidence)
    check_n_resamples(n_resamples)
    check_model(baseline, models_of(quality), "baseline")
    outcomes = check_aligned(quality, cost)
    replayed, codes = _Replayed(sweep, outcomes), group_codes(groups, sweep.index)
    quality, cost = outcomes.loc[sweep.index]
    level = _Level(replayed, quality[baseline].to_numpy(float), cost[baseline].to_numpy(float), max_quality_loss, codes)
    n = len(sweep.index)
    estimate = level.saving(level.hindsight(np.ones(n)))
    few = n < 2 or (codes is not None and codes.max() < 1)
    skewed, refused = ratio_note(level.cost, codes)
    low, high = (np.nan, np.nan) if few or refused else level.ends(confidence)
    held_out, change = level.held_out(_folds(n, codes, N_FOLDS, random_state))
    note = TOO_FEW if few else skewed or (_NO_POINT if high == 0 else few_groups_note(codes))
    return ParitySaving(
        estimate, min(low, estimate), max(high, estimate), n, confidence, 0, random_state,
        f"points tested one after the other at margin {max_quality_loss:g}, router held fixed",
        provenance_of(quality, cost),
        None if codes is None else int(codes.max()) + 1, note,
        _blind_saving(quality, cost, baseline, max_quality_loss), held_out, change,
    )  # fmt: skip


class _Level:
    """A curve and the baseline: which of its points keep the baseline's quality, less a margin."""

    def __init__(self, replayed: _Replayed, quality: Floats, cost: Floats, margin: float, codes: Codes | None) -> None:
        self.replayed, self.quality, self.cost, self.margin, self.codes = replayed, quality, cost, margin, codes
        n_points = len(replayed.last) + 1
        self.tried = np.unique(np.linspace(0, n_points - 1, min(n_points, N_TRIED)).astype(int))

    def at(self, point: int | None) -> tuple[Floats, Floats]:
        """Cost and quality of each prompt at a point; None is the baseline itself."""
        return (self.cost, self.quality) if point is None else self.replayed.at(point)

    def saving(self, point: int | None) -> float:
        """Share of the baseline's cost on all prompts, at least 0."""
        return max(0.0, float(1 - self.at(point)[0].sum() / self.cost.sum()))

    def hindsight(self, weight: Floats) -> int | None:
        """Cheapest point whose mean quality reaches the bar."""
        spent, worth = self.replayed.curve(weight)
        kept = worth >= weight @ self.quality / weight.sum() - self.margin - 1e-12
        point = int(np.where(kept, spent, np.inf).argmin())
        return point if kept[point] and spent[point] < weight @ self.cost / weight.sum() else None

    def ends(self, confidence: float) -> tuple[float, float]:
        """Find what the prompts prove, and what they do not rule out."""

        def verdict(point: int) -> int:
            lead = self.replayed.at(point)[1] - self.quality + self.margin
            bounds = -1 + self.margin, 1 + self.margin
            return mean_differs(lead, self.codes, bounds=bounds, confidence=confidence)

        def saved(point: int, end: int) -> float:
            ratio = ratio_interval(self.replayed.at(point)[0], self.cost, self.codes, confidence=confidence)
            return max(0.0, 1 - ratio[end])

        low = high = 0.0
        for point in self.tried[::STRIDE]:
            if verdict(point) <= 0:
                break
            low = max(low, saved(point, 2))
        for place in range(len(self.tried) - 1, -1, -1):
            if verdict(self.tried[place]) >= 0:
                # What lies between this point and the next one, which is ruled out, was not tried.
                high = saved(self.tried[min(place + 1, len(self.tried) - 1)], 1)
                break
        return low, high

    def held_out(self, fold: NDArray[np.intp]) -> tuple[float, float]:
        """Score points that were read off the other folds: saving, and quality difference."""
        spent, worth = self.cost.copy(), self.quality.copy()
        for k in np.unique(fold):
            test, train = fold == k, (fold != k).astype(float)
            if train.any():
                cost, quality = self.at(self.hindsight(train))
                spent[test], worth[test] = cost[test], quality[test]
        return float(1 - spent.sum() / self.cost.sum()), float(np.mean(worth - self.quality))


def _blind_saving(quality: pd.DataFrame, cost: pd.DataFrame, baseline: str, margin: float) -> float:
    """Find what the cheapest mix of single models saves whose mean quality reaches the bar."""
    x, y = hull(cost.mean(), quality.mean())
    bar, full = float(quality[baseline].mean()) - margin, float(cost[baseline].mean())
    if y[0] >= bar:
        return max(0.0, 1 - float(x[0]) / full)
    return max(0.0, 1 - float(np.interp(bar, y, x)) / full)
