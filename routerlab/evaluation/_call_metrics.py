"""APGR and CPT with intervals, and how far a router's estimates foretell who wins."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from routerlab.evaluation._metrics import apgr, call_curve, cpt
from routerlab.schema import check_matrix, check_model, models_of, provenance_of, reject, shown
from routerlab.stats import (
    Codes,
    Floats,
    Interval,
    check_confidence,
    cluster_df,
    few_groups_note,
    group_codes,
    group_sums,
    linear_interval,
    mean_differs,
    mean_interval,
    percentile_interval,
    ratio_set,
    resample_counts,
)

_HOW = "the wider of score test and bootstrap over prompts, router held fixed"
_NO_GAP = "too few to say: the strong model's lead cannot be told from 0, and shares of it can be anything"


def call_metrics(
    score: pd.Series,
    quality: pd.DataFrame,
    *,
    strong: str,
    weak: str,
    targets: Sequence[float] = (0.5, 0.8),
    n_thresholds: int | None = None,
    groups: Any = None,
    confidence: float = 0.95,
    n_resamples: int = 1000,
    random_state: Any = 0,
) -> dict[str, Interval]:
    """APGR, and CPT at each target, with intervals over prompts.

    Parameters
    ----------
    score, quality, strong, weak
        See `call_curve`.
    targets : sequence of float, default (0.5, 0.8)
        Shares of the performance gap.
    n_thresholds : int, optional
        Also give the figures that RouteLLM's evaluation gives with this many thresholds (it uses 10) and interpolates:
        a published figure is like these, and not like the exact ones.
    groups : Series prompt_id -> group, or array of shape (n_prompts,), optional
        Prompts of one conversation, customer or text count as one piece of evidence.
    confidence, n_resamples, random_state : optional
        Of the intervals: the wider of a test's and the bootstrap's, in which the curve is drawn again in every resample
        and the router held fixed. A resample in which the strong model is not the better one is left out.

    Returns
    -------
    dict of str to Interval
        ``'APGR'``, and ``'CPT(50%)'`` and the like; with `n_thresholds`, ``'APGR, 10 thresholds'`` and
        ``'CPT(50%), 10 thresholds'`` as well. The ends are NaN, and the note says so, where the strong model's lead
        cannot be told from 0.

    Notes
    -----
    APGR is a ratio of two means, and its interval holds each value that a score test does not rule out (Fieller). CPT's
    holds each share of calls at which the curve cannot be told from the target.

    References
    ----------
    Ong et al. (2024), RouteLLM: Learning to Route LLMs with Preference Data, arXiv:2406.18665.

    Examples
    --------
    >>> quality = pd.DataFrame({"weak": [0.0, 1.0] * 50, "strong": 1.0})
    >>> found = call_metrics(1 - quality["weak"], quality, strong="strong", weak="weak", targets=[0.5])
    >>> {name: round(value.estimate, 2) for name, value in found.items()}
    {'APGR': 0.75, 'CPT(50%)': 0.5}
    """
    check_confidence(confidence)
    for target in targets:
        check_confidence(target, "targets")
    codes = group_codes(groups, score.index)
    order = np.argsort(-score.to_numpy(dtype=float), kind="stable")
    found: dict[str, tuple[float, float, float]] = {}
    for thresholds in (None,) if n_thresholds is None else (None, n_thresholds):
        curve = call_curve(score, quality, strong=strong, weak=weak, n_thresholds=thresholds)
        pair = quality.loc[score.index, [weak, strong]].to_numpy(dtype=float)[order]
        ends = np.rint(curve["strong_share"].to_numpy() * len(score)).astype(int)
        gains = _Gains(pair[:, 1] - pair[:, 0], ends, None if codes is None else codes[order], thresholds is not None)
        kind = "" if thresholds is None else f", {thresholds} thresholds"
        values = [apgr(curve), *(cpt(curve, t, method="exact" if not kind else "compat") for t in targets)]
        names = [f"APGR{kind}", *(f"CPT({target:.0%}){kind}" for target in targets)]
        pairs = gains.intervals(targets, confidence, n_resamples, random_state)
        found |= {
            name: (value, min(low, value), max(high, value))
            for name, value, (low, high) in zip(names, values, pairs, strict=True)
        }
    return {
        name: Interval(
            value, low, high, len(score), confidence, n_resamples, random_state, _HOW, provenance_of(quality),
            None if codes is None else int(codes.max()) + 1, _NO_GAP if np.isnan(low) else few_groups_note(codes),
        )
        for name, (value, low, high) in found.items()
    }  # fmt: skip


class _Gains:
    """What the strong model gains on each prompt, in order of score, and where the thresholds are."""

    def __init__(self, lead: Floats, ends: NDArray[np.intp], codes: Codes | None, interpolated: bool) -> None:
        self.lead, self.ends, self.codes, self.interpolated = lead, ends, codes, interpolated
        self.share = ends / len(lead)
        self.gained = np.append(0.0, np.cumsum(lead))[ends] / len(lead)
        self.segment = np.searchsorted(ends, np.arange(len(lead)), side="right")  # the threshold that takes each prompt

    def intervals(
        self, targets: Sequence[float], confidence: float, n_resamples: int, random_state: Any
    ) -> list[tuple[float, float]]:
        """APGR's and each CPT's."""
        draws = [
            drawn
            for block in resample_counts(len(self.lead), n_resamples, random_state, self.codes)
            for weight in block
            if (drawn := _metrics(weight, self.lead, self.ends, targets, self.interpolated)) is not None
        ]
        if mean_differs(self.lead, self.codes, confidence=confidence) <= 0:
            return [(np.nan, np.nan)] * (1 + len(targets))
        n_units = round(cluster_df(group_sums(self.lead, self.codes)[1])) + 1
        redrawn = [percentile_interval(column, confidence, n_units) for column in np.transpose(draws)]
        tested = [self._apgr(confidence), *(self._cpt(target, confidence) for target in targets)]
        return [(min(a[0], b[0]), max(a[1], b[1])) for a, b in zip(redrawn, tested, strict=True)]

    def _apgr(self, confidence: float) -> tuple[float, float]:
        middle = (self.share[1:] + self.share[:-1])[self.segment - 1] / 2
        area = float(np.trapezoid(self.gained, self.share))
        # A prompt adds its lead at all thresholds below its score, and moves the ranks of all prompts above it.
        ranks = (self.gained[1:] + self.gained[:-1])[self.segment - 1] / 2 - area
        return ratio_set(
            self.lead * (1 - middle) + ranks, self.lead, self.codes,
            reach=lambda value: (-max(abs(value), abs(1 - value)), max(abs(value), abs(1 - value))),
            limits=(-1.0, 2.0), confidence=confidence,
        )  # fmt: skip

    def _cpt(self, target: float, confidence: float) -> tuple[float, float]:
        width = max(0.05, len(self.lead) ** (-1 / 3) / 2)
        before, after = self.share[self.segment - 1], self.share[self.segment]

        def verdict(share: float) -> int:
            """Whether the gain at this share of calls, less the target's part of the gap, is above 0 or below."""
            taken = np.clip((share - before) / (after - before), 0.0, 1.0)
            around = np.clip([share - width, share + width], 0.0, 1.0)
            rise = float(np.diff(np.interp(around, self.share, self.gained))[0] / np.diff(around)[0])
            z = self.lead * (taken - target) - max(rise, 0.0) * (taken - share)
            return mean_differs(z, self.codes, confidence=confidence)

        recovered = self.gained >= target * self.gained[-1] - 1e-12
        found = float(self.share[recovered.argmax()])
        return _edge(verdict, found, 0.0, -1), _edge(verdict, found, 1.0, 1)


def _edge(verdict: Callable[[float], int], inner: float, outer: float, sign: int) -> float:
    """Where, from inside out, the verdict turns to `sign`."""
    if verdict(outer) != sign:
        return outer
    for _ in range(12):
        middle = (inner + outer) / 2
        inner, outer = (inner, middle) if verdict(middle) == sign else (middle, outer)
    return outer


def _metrics(
    weight: Floats, lead: Floats, ends: NDArray[np.intp], targets: Sequence[float], interpolated: bool = False
) -> tuple[float, ...] | None:
    """APGR and CPTs of prompts in order of score that count `weight` times; thresholds fall at `ends`."""
    share = np.append(0.0, np.cumsum(weight))[ends] / weight.sum()
    gained = np.append(0.0, np.cumsum(weight * lead))[ends]
    if gained[-1] <= 0:
        return None
    recovered = gained / gained[-1]
    if interpolated:
        crossings: Any = (np.interp(target, recovered, share) for target in targets)
    else:
        crossings = (share[(recovered >= target - 1e-12).argmax()] for target in targets)
    return float(np.trapezoid(recovered, share)), *(float(x) for x in crossings)


def predictability(
    estimated: pd.DataFrame,
    quality: pd.DataFrame,
    *,
    baseline: str,
    groups: Any = None,
    confidence: float = 0.95,
    n_resamples: int = 1000,
    random_state: Any = 0,
) -> pd.DataFrame:
    """Measure how far estimates foretell, prompt by prompt, where a model is as good as the baseline.

    Routing lives on this. The saving depends on finding the prompts on which a cheaper model does as well, and a router
    can only go by its estimates. An AUC of 0.5 is a coin, 1 an oracle.

    Parameters
    ----------
    estimated : DataFrame of shape (n_prompts, n_models)
        Estimated quality, out of fold: ``cross_estimates(...).quality``. Only differences from the baseline count, so
        estimated differences with a baseline of 0 do as well.
    quality : DataFrame of shape (n_prompts, n_models)
        Measured quality of the same prompts.
    baseline : str
        The model that is paid for today.
    groups : Series prompt_id -> group, or array of shape (n_prompts,), optional
        Prompts of one conversation, customer or text count as one piece of evidence.
    confidence, n_resamples, random_state : optional
        Of the intervals: the wider of score test and bootstrap over prompts, the estimates held fixed.

    Returns
    -------
    DataFrame
        Indexed by ``model``, without the baseline. ``as_good``, ``as_good_low``, ``as_good_high``: share of prompts on
        which it is at least as good as the baseline. ``auc``, ``auc_low``, ``auc_high``: how well the estimated
        difference from the baseline ranks these prompts before the others; NaN where there is nothing to tell apart.
        ``r2``, ``r2_low``, ``r2_high``: share of the variance of the difference that the estimates explain, below 0 if
        its mean is the better guess. ``note``: why ends are NaN, or what to keep in mind; else empty.

    Raises
    ------
    TableError
        Estimates and outcomes of other prompts or models.

    Examples
    --------
    >>> quality = pd.DataFrame({"small": [1.0, 0.0] * 20, "large": 1.0})
    >>> table = predictability(quality, quality, baseline="large")
    >>> table[["as_good", "auc", "r2"]].values.tolist()
    [[0.5, 1.0, 1.0]]
    """
    check_confidence(confidence)
    estimated, quality = check_matrix(estimated, "estimated", -np.inf), check_matrix(quality, "quality", 0.0, 1.0)
    check_model(baseline, models_of(quality), "baseline")
    for a, b, axis in ((estimated.index, quality.index, "prompt_id"), (estimated.columns, quality.columns, "model")):
        if len(odd := a.symmetric_difference(b)):
            reject(
                "'estimated' and 'quality'", f"{axis} {shown(odd)} is in one and not in the other.", "Select the same."
            )
    estimated = estimated.reindex(index=quality.index, columns=quality.columns)
    codes = group_codes(groups, quality.index)
    options = {"confidence": confidence, "n_resamples": n_resamples, "random_state": random_state}
    models = quality.columns.drop(baseline)
    rows = []
    for model in models:
        guess, true = (frame[model].to_numpy(float) - frame[baseline].to_numpy(float) for frame in (estimated, quality))
        good = true >= 0
        row: dict[str, Any] = dict(zip(_ends("as_good"), mean_interval(
            good, codes, bounds=(0.0, 1.0), confidence=confidence), strict=True))  # fmt: skip
        row |= dict(zip(_ends("auc"), _auc_interval(guess, good, codes, options), strict=True))
        row |= dict(zip(_ends("r2"), _r2_interval(guess, true, codes, options), strict=True))
        row["note"] = _FEW if np.isnan(row["auc_low"]) or np.isnan(row["r2_low"]) else few_groups_note(codes) or ""
        rows.append(row)
    table = pd.DataFrame(rows, index=pd.Index(models, name="model"))
    table.attrs = {"n": len(quality), "baseline": baseline, "confidence": confidence, "interval": _HOW}
    if codes is not None:
        table.attrs["n_groups"] = int(codes.max()) + 1
    note = provenance_of(quality)
    if note:
        table.attrs["provenance"] = note
    return table


_FEW = "too few to say: fewer than two prompts, or groups, of one kind"


def _ends(name: str) -> tuple[str, str, str]:
    return name, f"{name}_low", f"{name}_high"


def _several(rows: NDArray[np.bool_], codes: Codes | None) -> bool:
    """Whether these rows are of two groups at least."""
    return len(np.flatnonzero(rows) if codes is None else np.unique(codes[rows])) > 1


def _auc_interval(
    guess: Floats, good: NDArray[np.bool_], codes: Codes | None, options: dict[str, Any]
) -> tuple[float, float, float]:
    """AUC: each prompt is placed by the share of the other kind on its right side."""
    auc = _auc(guess, good)(np.ones(len(guess)))
    if not (_several(good, codes) and _several(~good, codes)):
        return auc, np.nan, np.nan
    share = np.where(good, good.mean(), 1 - good.mean())
    place = np.empty(len(guess))
    for own, sign in ((good, 1.0), (~good, -1.0)):
        other = np.sort(sign * guess[~own])
        place[own] = sum(np.searchsorted(other, sign * guess[own], side) for side in ("left", "right")) / 2 / len(other)
    bounds = auc - auc / share.min(), auc + (1 - auc) / share.min()
    low, high = linear_interval(auc + (place - auc) / share, codes, bounds=bounds, **options)
    return auc, max(low, 0.0), min(high, 1.0)


def _r2_interval(
    guess: Floats, true: Floats, codes: Codes | None, options: dict[str, Any]
) -> tuple[float, float, float]:
    """R2: one less a ratio of two means, of the squared error and of the squared deviation."""
    r2 = _r2(guess, true)(np.ones(len(true)))
    deviation, error = (true - true.mean()) ** 2, (true - guess) ** 2
    if not np.isfinite(r2) or not (_several(true != np.median(true), codes)):
        return r2, np.nan, np.nan
    # What a difference of 1 or -1, the farther one, would add on a typical prompt.
    most_error, most_spread = float(((1 + np.abs(guess)) ** 2).mean()), float((1 + abs(true.mean())) ** 2)
    low, high = ratio_set(
        error, deviation, codes, reach=lambda value: (-value * most_spread, most_error),
        limits=(0.0, most := 20 * (2 - r2)), confidence=options["confidence"],
    )  # fmt: skip
    if np.isnan(low) or high == most:  # the variance itself is hardly known
        return r2, np.nan, np.nan
    values = r2 - (error - (1 - r2) * deviation) / deviation.mean()
    ends = linear_interval(values, codes, bounds=(values.min(), values.max()), **options)
    return r2, min(1 - high, ends[0]), max(1 - low, ends[1])


def _auc(guess: Floats, positive: NDArray[np.bool_]) -> Any:
    """AUC as a function of the prompts' weights: the order is found once."""
    _, tied = np.unique(guess, return_inverse=True)
    n = int(tied.max()) + 1

    def auc(weight: Floats) -> float:
        good, bad = (np.bincount(tied, weight * kind, n) for kind in (positive, ~positive))
        pairs = good.sum() * bad.sum()
        return float(good @ (np.cumsum(bad) - bad / 2) / pairs) if pairs else float("nan")

    return auc


def _r2(guess: Floats, true: Floats) -> Any:
    """R2 as a function of the prompts' weights."""

    def r2(weight: Floats) -> float:
        spread = weight @ (true - weight @ true / weight.sum()) ** 2
        return float(1 - weight @ (true - guess) ** 2 / spread) if spread > 0 else float("nan")

    return r2
