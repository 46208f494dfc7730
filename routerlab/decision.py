"""The one decision rule, and the exact sweep of its operating points.

Every router estimates each model's quality and cost for a prompt; the rule picks the model with
the largest ``quality - cost_usd / willingness_to_pay``, ties going to the cheaper model. As
willingness to pay (WTP) falls from infinity to 0, each prompt walks down the upper hull of its own
(cost, quality) points, so all distinct operating points of a router are the sorted break points of
all prompts: no grid, no refit, no second search for neighbours.
"""

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from routerlab.schema import Outcomes, check_aligned, check_model, provenance_of, refuse_parameter

# Rows handled at once: keeps the working set of the hull walk inside the processor's cache.
_CHUNK = 2048


class Estimates(NamedTuple):
    """What a router expects of each model on each prompt, from ``router.estimate(X)``: one search for neighbours.

    Attributes
    ----------
    quality, cost : DataFrame of shape (n_prompts, n_models)
        Expected quality, between 0 and 1, and USD per request (arrays inside a router).
    abstained : ndarray of bool of shape (n_prompts,)
        Prompts that are too unlike the training prompts, and go to the fallback.
    """

    quality: Any
    cost: Any
    abstained: NDArray[np.bool_]


def estimates_of(router: Any, X: Any) -> Estimates:
    """Ask a router for its estimates: one of routerlab once, any other by ``predict_quality`` and ``predict_cost``.

    Examples
    --------
    >>> class Flat:
    ...     def predict_quality(self, X):
    ...         return pd.DataFrame({"small": [0.5] * len(X)})
    ...     predict_cost = predict_quality
    >>> estimates_of(Flat(), [[0.0], [1.0]]).abstained
    array([False, False])
    """
    if hasattr(router, "estimate"):
        found: Estimates = router.estimate(X)
        return found
    quality, cost = router.predict_quality(X), router.predict_cost(X)
    abstains = getattr(router, "min_similarity", None) is not None
    return Estimates(quality, cost, router.sweep(X).abstained if abstains else np.zeros(len(quality), dtype=bool))


@dataclass(frozen=True)
class Sweep:
    """Every distinct operating point of a router on a set of prompts.

    Parameters
    ----------
    index : Index of shape (n_prompts,)
        Prompt ids.
    models : Index of shape (n_models,)
        Model names.
    first : ndarray of shape (n_prompts,)
        Position in `models` of each prompt's choice at infinite willingness to pay.
    prompt, origin, target : ndarray of shape (n_switches,)
        Each switch: position of the prompt, model before, model after.
    wtp : ndarray of shape (n_switches,)
        Willingness to pay (USD per unit of quality and request) at which the switch happens, decreasing.
    abstained : ndarray of bool of shape (n_prompts,)
        Prompts that went to the fallback model and never switch.
    provenance : str or None, optional
        Note of the tables that the estimates came from.

    Examples
    --------
    >>> quality = pd.DataFrame({"small": [0.6, 0.2], "large": [0.7, 0.9]}, index=["p1", "p2"])
    >>> cost = pd.DataFrame({"small": [0.001, 0.001], "large": [0.011, 0.011]}, index=["p1", "p2"])
    >>> sweep = sweep_estimates(quality, cost)
    >>> sweep
    Sweep(n_prompts=2, n_models=2, n_switches=2, n_abstained=0)
    >>> sweep.at(0.05).to_dict()
    {'p1': 'small', 'p2': 'large'}
    """

    index: pd.Index
    models: pd.Index
    first: NDArray[np.integer]
    prompt: NDArray[np.integer]
    origin: NDArray[np.integer]
    target: NDArray[np.integer]
    wtp: NDArray[np.float64]
    abstained: NDArray[np.bool_] = field(repr=False)
    provenance: str | None = None

    def __repr__(self) -> str:
        """Sizes only: the arrays are long."""
        return (
            f"Sweep(n_prompts={len(self.index)}, n_models={len(self.models)}, "
            f"n_switches={len(self.wtp)}, n_abstained={int(self.abstained.sum())})"
        )

    def at(self, willingness_to_pay: float) -> pd.Series:
        """Choose a model for each prompt at one willingness to pay.

        Parameters
        ----------
        willingness_to_pay : float
            USD that one unit of quality is worth on one request; infinity means best quality.

        Returns
        -------
        Series of shape (n_prompts,)
            Model names indexed by prompt id.
        """
        check_wtp(willingness_to_pay)
        # wtp decreases; a tie goes to the cheaper model, so a switch at exactly this value is taken.
        taken = int(np.searchsorted(-self.wtp, -willingness_to_pay, side="right"))
        position = self.first.copy()
        position[self.prompt[:taken]] = self.target[:taken]  # a prompt's later switches overwrite its earlier ones
        return as_choices(position, self.index, self.models, self.abstained, self.provenance)


@dataclass(frozen=True)
class OperatingPoint:
    """A willingness to pay, and what it gave on the prompts that it was chosen on.

    Its ``cost_usd`` and ``quality_difference`` are tuning figures: optimistic, since they were selected. Without a
    `guarantee` it is an estimate, not a promise: make claims with `savings` on prompts that were not used here.

    Attributes
    ----------
    willingness_to_pay : float
        USD per unit of quality and request; NaN if no point was granted for all prompts.
    share, share_willingness_to_pay : float, float or None
        Where none was: the share of the prompts that a guarantee lets the router choose for, and at which point; the
        others go to the baseline. 0 and None otherwise.
    n : int
        Tuning prompts; with a guarantee, those that tested it.
    cost_usd, baseline_cost_usd : float
        Mean USD per request on the tuning prompts.
    quality_difference : float
        Mean quality minus the baseline's on the tuning prompts.
    guarantee : float or None
        Probability, over the tuning prompts, that the true mean loss is at most `max_quality_loss`.
    unguarded_cost_usd : float or None
        Of the cheapest point whose estimate alone reaches the bar: what the guarantee costs.
    n_groups : int or None
        Groups of tuning prompts that were taken as one piece of evidence each.
    n_needed, n_needed_as_seen : float or None
        Prompts (or groups) that the guarantee needs without any loss, and at the losses seen.
    worst_slice, worst_slice_low, worst_slice_n : str, float, int, or None
        The slice with the lowest bound of its quality difference, that bound, and the slice's prompts. With fewer than
        `n_needed` it is too small to tell.
    test_again : str or None
        Date until which the guarantee should be trusted.
    """

    willingness_to_pay: float
    baseline: str
    max_quality_loss: float
    assurance: float | None
    n: int
    cost_usd: float
    baseline_cost_usd: float
    quality_difference: float
    provenance: str | None = None
    guarantee: float | None = None
    unguarded_cost_usd: float | None = None
    n_groups: int | None = None
    n_needed: float | None = None
    n_needed_as_seen: float | None = None
    worst_slice: str | None = None
    worst_slice_low: float | None = None
    test_again: str | None = None
    share: float = 0.0
    share_willingness_to_pay: float | None = None
    worst_slice_n: int | None = None

    @property
    def keeps_baseline(self) -> bool:
        """Whether every prompt goes to the baseline, since nothing cheaper could be promised."""
        return bool(np.isnan(self.willingness_to_pay)) and not self.share

    def __repr__(self) -> str:
        """Say what was chosen, on how many prompts, and what the figures are worth."""
        asked = f"a quality loss of at most {self.max_quality_loss:g}"
        if self.assurance is not None:
            asked += f" with {self.assurance:.0%} assurance"
        note = f"\n[{self.provenance}]" if self.provenance else ""
        groups = "" if self.n_groups is None else f" in {self.n_groups:,} groups"
        if self.keeps_baseline:
            lines = [f"keeps {self.baseline}: {asked} can't be promised of anything cheaper", *self._guarantee()]
            return f"{lines[0]}\non {self.n:,} tuning prompts{groups}; {'; '.join(lines[1:])}{note}"
        worth = "; ".join(self._guarantee()) or "an estimate, not a promise: selected, so optimistic"
        wtp, part = self.willingness_to_pay, ""
        if self.share_willingness_to_pay is not None:
            wtp = self.share_willingness_to_pay
            part = f", for {100 * self.share:.0f}% of the prompts (the others keep {self.baseline})"
        return (
            f"willingness to pay {wtp:.4g} USD per unit of quality{part}: the cheapest point for {asked} "
            f"against {self.baseline}\non {self.n:,} tuning prompts{groups}: {1000 * self.cost_usd:.3g} instead of "
            f"{1000 * self.baseline_cost_usd:.3g} USD per 1,000 requests, quality {100 * self.quality_difference:+.1f} "
            f"points ({worth}; make claims on other prompts){note}"
        )

    def _guarantee(self) -> list[str]:
        """Say what was promised, what that costs, and where it ends."""
        if self.guarantee is None or self.unguarded_cost_usd is None:
            return []
        share = [100 * (1 - c / (self.baseline_cost_usd or 1)) for c in (self.cost_usd, self.unguarded_cost_usd)]
        said = [
            f"a promise that holds with {100 * self.guarantee:.5g}% probability over the tuning prompts",
            f"it saves {share[0]:.0f}% instead of the {share[1]:.0f}% of the cheapest estimate",
        ]
        if self.keeps_baseline:
            unit = "prompts" if self.n_groups is None else "groups"
            said = [f"the cheapest estimate would save {share[1]:.0f}%", f"a promise needs {self.n_needed:,} {unit}"]
            seen = self.n_needed_as_seen
            said[1] += " without any loss" + (
                f", about {seen:,.0f} at the losses seen" if np.isfinite(seen or 0) else ""
            )
        if self.worst_slice is not None and self.worst_slice_low is not None:
            few = self.worst_slice_n is not None and self.worst_slice_n < (self.n_needed or 0)
            n = "" if self.worst_slice_n is None else f" (n = {self.worst_slice_n:,})"
            slice_, low = f"slice {self.worst_slice}{n}", f"{100 * self.worst_slice_low:+.1f} points"
            said.append(
                f"least certain {slice_}, bound {low}: too few to say" if few else f"worst {slice_}, at least {low}"
            )
        return [*said, f"test again by {self.test_again}"]


def draws(index: pd.Index, X: Any = None) -> NDArray[np.float64]:
    """Draw a number in [0, 1) for each prompt: the same one each time, whatever the prompt is worth.

    Parameters
    ----------
    index : Index of shape (n_prompts,)
        Prompt ids.
    X : array of shape (n_prompts, n_features), optional
        Embeddings, which tell prompts apart where the ids don't: those of a live service are numbers from 0 on.

    Examples
    --------
    >>> draws(pd.Index(["p1", "p2", "p3"])).round(2)
    array([0.62, 0.93, 0.01])
    """
    key = pd.util.hash_array(
        index.to_numpy() if index.nlevels == 1 else np.array([str(i) for i in index], dtype=object)
    )
    if X is not None:
        mark = np.asarray(X, dtype=float) @ np.cos(np.arange(np.shape(X)[1]))
        key = key ^ pd.util.hash_array(mark.round(4) + 0.0)
    return np.asarray(key / 2.0**64)


def promised_share(router: Any) -> float:
    """Share of the prompts for which a promise lets a router choose, if it is for a share; 0 otherwise.

    Examples
    --------
    >>> promised_share(object())
    0.0
    """
    return float(getattr(getattr(router, "operating_point_", None), "share", 0.0))


def kept_back(router: Any, index: pd.Index, X: Any) -> NDArray[np.bool_]:
    """Prompts that a router leaves to its fallback whatever they are: all, those outside a promised share, or none.

    Parameters
    ----------
    router : router
        As `routerlab.set_operating_point` left it.
    index : Index of shape (n_prompts,)
        Prompt ids.
    X : array of shape (n_prompts, n_features)
        See `draws`.

    Examples
    --------
    >>> class Kept:
    ...     min_similarity = float("inf")
    >>> kept_back(Kept(), pd.Index(["p1", "p2"]), np.eye(2))
    array([ True,  True])
    """
    if getattr(router, "min_similarity", None) == np.inf:  # no prompt is that similar
        return np.ones(len(index), dtype=bool)
    share = promised_share(router)
    return draws(index, X) >= share if share else np.zeros(len(index), dtype=bool)


def check_wtp(willingness_to_pay: float) -> float:
    """Check that a willingness to pay is a number of at least 0 (infinity allowed)."""
    if not isinstance(willingness_to_pay, (int, float, np.number)) or not willingness_to_pay >= 0:
        worth = "USD that one unit of quality is worth on one request (float('inf') for best quality)"
        refuse_parameter("willingness_to_pay", f"a number of at least 0: {worth}", willingness_to_pay)
    return float(willingness_to_pay)


def as_choices(
    position: NDArray[np.integer],
    index: pd.Index,
    models: pd.Index,
    abstained: NDArray[np.bool_],
    provenance: str | None,
) -> pd.Series:
    """Name the chosen models, and carry the count of abstentions and the provenance along."""
    choices = pd.Series(models.to_numpy()[position], index=index, name="model")
    choices.attrs = {"n_abstained": int(abstained.sum())}
    if provenance:
        choices.attrs["provenance"] = provenance
    return choices


def best_first(quality: NDArray[np.float64], cost: NDArray[np.float64]) -> NDArray[np.intp]:
    """Position of the best quality in each row, the cheapest among equals."""
    best = quality.max(axis=1, keepdims=True)
    return np.where(quality == best, cost, np.inf).argmin(axis=1)


def decide(quality: NDArray[np.float64], cost: NDArray[np.float64], willingness_to_pay: float) -> NDArray[np.intp]:
    """Apply the rule to estimates of shape (n_prompts, n_models).

    Examples
    --------
    >>> decide(np.array([[0.6, 0.7]]), np.array([[0.001, 0.011]]), 0.05)
    array([0])
    """
    return best_first(*_compared(quality, cost, willingness_to_pay))


def ranked(quality: NDArray[np.float64], cost: NDArray[np.float64], willingness_to_pay: float) -> list[int]:
    """Order the models of one prompt by the rule: the choice, the choice among the others, and so on.

    Examples
    --------
    >>> ranked(np.array([0.6, 0.7, 0.9]), np.array([0.001, 0.011, 0.002]), 0.05)
    [2, 0, 1]
    """
    net, price = _compared(quality, cost, willingness_to_pay)
    order: list[int] = np.lexsort((price, -net)).tolist()
    return order


def _compared(quality: NDArray[np.float64], cost: NDArray[np.float64], willingness_to_pay: float) -> tuple[Any, Any]:
    """Return what the rule maximises, and what it minimises among equals."""
    if check_wtp(willingness_to_pay) == 0:
        return -cost, -quality  # cheapest, the best among equals
    with np.errstate(over="ignore"):  # at the smallest WTP every net value is minus infinity: the cheapest wins
        return quality - cost / willingness_to_pay, cost


def sweep_estimates(
    quality: pd.DataFrame | Outcomes,
    cost: pd.DataFrame | None = None,
    *,
    abstained: NDArray[np.bool_] | None = None,
    fallback: str | None = None,
) -> Sweep:
    """Enumerate every operating point of the rule on estimated quality and cost.

    Parameters
    ----------
    quality, cost : DataFrame of shape (n_prompts, n_models), cost optional with Outcomes
        Estimates (quality in [0, 1], cost in USD per request).
    abstained : ndarray of bool of shape (n_prompts,), optional
        Prompts that always go to `fallback`.
    fallback : str, optional
        Model for the abstained prompts.

    Returns
    -------
    Sweep
        In O(n m log(n m)) time for n prompts and m models.

    Examples
    --------
    >>> quality = pd.DataFrame({"small": [0.6], "large": [0.7]}, index=["p1"])
    >>> sweep_estimates(quality, quality / 100).wtp.round(6)
    array([0.01])
    """
    quality, cost = check_aligned(quality, cost)
    if abstained is not None and np.any(abstained):
        check_model(str(fallback), quality.columns, "fallback")
    return sweep_arrays(
        quality.to_numpy(dtype=float),
        cost.to_numpy(dtype=float),
        quality.index,
        quality.columns,
        abstained=abstained,
        fallback=fallback,
        provenance=provenance_of(quality, cost),
    )


def sweep_arrays(
    quality: NDArray[np.float64],
    cost: NDArray[np.float64],
    index: pd.Index,
    models: pd.Index,
    *,
    abstained: NDArray[np.bool_] | None = None,
    fallback: str | None = None,
    provenance: str | None = None,
) -> Sweep:
    """Do the work of `sweep_estimates` on plain arrays of shape (n_prompts, n_models)."""
    n_prompts = len(quality)
    small: type[np.integer] = np.int8 if len(models) < 128 else np.int32
    if abstained is None:
        abstained = np.zeros(n_prompts, dtype=bool)
    first = np.empty(n_prompts, dtype=small)
    parts: list[tuple[Any, ...]] = []
    for start in range(0, n_prompts, _CHUNK):
        rows = slice(start, start + _CHUNK)
        first[rows], switches = _walk(quality[rows], cost[rows], abstained[rows])
        parts += [((p + start).astype(np.int32), o.astype(small), t.astype(small), w) for p, o, t, w in switches]
    if abstained.any():
        first[abstained] = models.get_loc(fallback)
    empty = (np.empty(0, np.int32), np.empty(0, small), np.empty(0, small), np.empty(0))
    prompt, origin, target, wtp = (np.concatenate(column) for column in zip(empty, *parts, strict=True))
    order = quick_order(-wtp)  # switches of one prompt at equal WTP keep their order
    return Sweep(index, models, first, prompt[order], origin[order], target[order], wtp[order], abstained, provenance)


def quick_order(values: NDArray[np.float64], then: NDArray[np.float64] | None = None) -> NDArray[np.intp]:
    """Sort by `values`, equal ones by `then` (by default as they came): several times sooner than a stable sort.

    Examples
    --------
    >>> quick_order(np.array([2.0, 1.0, 2.0]), np.array([5.0, 0.0, 4.0]))
    array([1, 2, 0])
    """
    order = np.argsort(values)
    ordered = values[order]
    same = np.flatnonzero(ordered[1:] == ordered[:-1])
    if len(same) > len(values) // 8:
        return np.argsort(values, kind="stable") if then is None else np.lexsort((then, values))
    if len(same):
        rows = np.union1d(same, same + 1)
        tied = np.sort(order[rows])
        order[rows] = tied[np.lexsort((values[tied],) if then is None else (then[tied], values[tied]))]
    return order


def _walk(
    quality: NDArray[np.float64], cost: NDArray[np.float64], abstained: NDArray[np.bool_]
) -> tuple[NDArray[np.intp], list[tuple[Any, ...]]]:
    """Walk each row down its own hull; return the first choices and a list of switch batches.

    Models are rows here: what is compared across models then runs over long stretches of memory.
    """
    quality, cost = np.ascontiguousarray(quality.T), np.ascontiguousarray(cost.T)
    current = first = _cheapest(quality == quality.max(axis=0), cost)
    rows, floor = np.arange(len(first)), cost.min(axis=0)
    left = np.flatnonzero((cost[first, rows] > floor) & ~abstained)  # from the cheapest model nothing leads on
    price = np.zeros(len(first))  # 1 / WTP reached so far
    switches = []
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        while len(left):
            rows, current, price, floor = rows[left], current[left], price[left], floor[left]
            quality, cost = quality.take(left, axis=1), cost.take(left, axis=1)
            at = np.arange(len(rows))
            saved = cost[current, at] - cost
            rate = quality[current, at] - quality
            rate /= saved
            rate[saved <= 0] = np.inf
            lowest = rate.min(axis=0)
            # Among models that become preferable together, the cheapest.
            target = _cheapest(rate == lowest, cost)
            price = np.maximum(price, lowest)  # rounding must not reorder the switches of a prompt
            moves = np.isfinite(lowest)
            part = slice(None) if moves.all() else moves
            switches.append((rows[part], current[part], target[part], 1.0 / price[part]))
            current, left = target, np.flatnonzero(moves & (cost[target, at] > floor))
    return first, switches


def _cheapest(candidates: NDArray[np.bool_], cost: NDArray[np.float64]) -> NDArray[np.intp]:
    """Position of the cheapest candidate in each column, the first among equals."""
    if np.count_nonzero(candidates) > candidates.shape[1]:
        price = np.where(candidates, cost, np.inf)
        candidates = price == price.min(axis=0)
    n_models = len(cost)
    from_end = np.arange(n_models, 0, -1, dtype=np.int8 if n_models < 128 else np.int32)
    return n_models - (candidates * from_end[:, None]).max(axis=0).astype(np.intp)
