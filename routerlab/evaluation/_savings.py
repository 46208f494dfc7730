"""What routing saves, what it does to quality, and how sure that is."""

import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from html import escape
from typing import Any

import numpy as np
import pandas as pd

from routerlab.deprecation import renamed
from routerlab.evaluation._baselines import always
from routerlab.evaluation._scoring import (
    check_choices,
    chosen_outcomes,
    group_notes,
    groups_of,
    score_choices,
    stand_ins,
)
from routerlab.exceptions import ParameterError
from routerlab.markup import fragment
from routerlab.ratings import ppi_mean_difference
from routerlab.schema import (
    WIN_SHARE,
    DroppedRowsWarning,
    Odd,
    Outcomes,
    by_prompt,
    check_model,
    id_remedy,
    kind_of,
    models_of,
    provenance_of,
    read_numbers,
    reject,
    shown,
)
from routerlab.stats import (
    check_confidence,
    check_n_resamples,
    check_share,
    fewest_without_loss,
    mean_interval,
    ratio_interval,
    ratio_note,
)

_METHOD = "score intervals over prompts, router held fixed"
_KEPT = "all of these prompts stay with {0}, others may not; if none ever leaves, pass always({0!r}, index) as choices"


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
        The saving's interval is NaN where costs are too unequal for one; `notes` says so.
    margin : float
        Largest acceptable loss of quality for the non-inferiority verdict.
    n_groups : int, optional
        Groups of prompts that count as one piece of evidence each.
    judge : str, optional
        Who measured quality, if a judge model did.
    n_people : int, optional
        Prompts on which people's labels correct the judge's quality difference.
    judge_weight : float, optional
        Weight of the judge in it, from 0 (people's labels alone) to 1.
    notes : tuple of str
        What to keep in mind: few groups, unequal costs, a sample too small for any verdict.
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
    n_groups: int | None = None
    judge: str | None = None
    n_people: int | None = None
    judge_weight: float | None = None
    notes: tuple[str, ...] = ()
    method: str = _METHOD
    provenance: str | None = None

    @property
    def non_inferior(self) -> bool:
        """Whether the quality interval lies wholly above ``-margin``."""
        return self.quality_low >= -self.margin

    @property
    def verdict(self) -> str:
        """The non-inferiority verdict in words, and whose it is."""
        return f"{self.caveat}: {self._verdict}" if self.caveat else self._verdict

    @property
    def caveat(self) -> str | None:
        """Whose word quality is, if it is a judge's alone."""
        if self.judge is None or self.n_people is not None:
            return None
        return f"as {self.judge} judges, and no label of people corrects"

    @property
    def _verdict(self) -> str:
        points = f"{100 * self.margin:g} point" + ("" if 100 * self.margin == 1 else "s")
        loss = f"a loss of more than {points}"
        if self.non_inferior:
            return f"non-inferior: the interval rules out {loss}"
        if self.quality_high < -self.margin:
            return f"inferior: the interval lies wholly below a loss of {points}"
        if self.n_people is None and self.n_fewest > (n := self.n if self.n_groups is None else self.n_groups):
            what = ("prompt" if self.n_groups is None else "group") + ("" if n == 1 else "s")
            return f"too few to say: {n:,} {what} cannot rule out {loss}, {self.n_fewest:,} without any loss would"
        return f"not shown to be non-inferior: the interval does not rule out {loss}"

    @property
    def n_fewest(self) -> int:
        """Prompts (or groups) that would rule out a loss above `margin` if not one of them showed any difference."""
        return fewest_without_loss(self.margin, self.confidence)

    def to_frame(self) -> pd.DataFrame:
        """One row with all numbers, for tables of several routers."""
        row = {k: v for k, v in asdict(self).items() if k != "shares"}
        return pd.DataFrame([row | {"non_inferior": self.non_inferior}])

    def _lines(self) -> list[str]:
        points, worst, best = (100 * v for v in (self.quality_difference, self.quality_low, self.quality_high))
        of = " of win share" if f"quality: {WIN_SHARE}" in (self.provenance or "") else ""  # of a judge, not of answers
        change = f"{points:+.1f} points{of} [{worst:+.1f}, {best:+.1f}]"
        share = ", ".join(f"{m} {s:.0%}" for m, s in sorted(self.shares.items(), key=lambda item: -item[1]) if s > 0)
        own = (
            "not included"
            if self.router_cost_usd is None
            else f"included: {1000 * self.router_cost_usd:.4f} USD per 1,000"
        )
        groups = "" if self.n_groups is None else f" in {self.n_groups:,} groups"
        lines = [
            f"{self._saved()}; quality {change}; n = {self.n:,} prompts{groups}; baseline {self.baseline}",
            f"{1000 * self.cost_usd:.3g} instead of {1000 * self.baseline_cost_usd:.3g} USD per 1,000 requests; "
            f"quality {self.quality:.3f} instead of {self.baseline_quality:.3f}; router's own cost {own}",
            f"{self.verdict}",
            f"calls: {share}" + (f"; {self.n_abstained:,} prompts left to the fallback" if self.n_abstained else ""),
            f"{100 * self.confidence:.5g}% intervals: {self.method}",
            *self.notes,
        ]
        return [*lines, f"[{self.provenance}]"] if self.provenance else lines

    def _saved(self) -> str:
        """Say what is saved, or how many times the baseline's cost is paid."""
        if np.isnan(self.saving_low):
            ends = "no interval"
        else:
            ends = f"{100 * self.saving_low:.0f}, {100 * self.saving_high:.0f}"
        if self.saving >= 0:
            return f"saves {100 * self.saving:.0f}% of cost [{ends}]"
        if not np.isnan(self.saving_low):
            ends = f"{1 - self.saving_high:.2f}, {1 - self.saving_low:.2f}"
        return f"costs {1 - self.saving:.2f} times as much [{ends}]"

    def __repr__(self) -> str:
        """Put the claim first, then how it was made."""
        return "\n".join(self._lines())

    def _repr_html_(self) -> str:
        first, *rest = (escape(line) for line in self._lines())
        return fragment(f"<div><strong>{first}</strong><br>" + "<br>".join(rest) + "</div>")


@renamed(margin="max_quality_loss")
def savings(
    choices: pd.Series,
    quality: pd.DataFrame | Outcomes,
    cost: pd.DataFrame | None = None,
    *,
    baseline: str,
    max_quality_loss: float = 0.01,
    router_cost: float | pd.Series | None = None,
    confidence: float = 0.95,
    groups: Any = None,
    judged: bool | str = False,
    people: pd.DataFrame | None = None,
    propensity: Any = None,
    n_resamples: int = 1000,
    random_state: Any = 0,
) -> Savings:
    """Compare choices with always calling the baseline, on held-out prompts.

    The router is held fixed: the intervals say how far the result may differ on other prompts of the same kind, not how
    another training set would change the router (`repeat_claims` does). Use prompts that neither the router nor its
    operating point has seen. Intervals hold from one prompt on: what a small sample did not show is not taken for
    impossible, so few prompts give wide intervals (``benchmarks/coverage.py``).

    Parameters
    ----------
    choices : Series of shape (n_prompts,)
        Model names indexed by prompt id: ``router.predict(X)``, or from anywhere else.
    quality, cost : DataFrame of shape (n_prompts, n_models), cost optional with Outcomes
        Measured quality in [0, 1] and cost in USD per request, of the same prompts. Where cells are empty
        (`routerlab.judged_outcomes` with ``baseline=``), prompts whose outcome is known stand for all that were given
        to the same model, which is right if what is known does not depend on the prompt; n counts the known ones.
    baseline : str
        The model that is paid for on every request today.
    max_quality_loss : float, default 0.01
        Largest acceptable loss of mean quality, for the non-inferiority verdict (its margin), as a share: 0.01 is one
        point. If `held_out_choices` made the choices to another bar, the result says so.
    router_cost : float or Series, optional
        The router's own cost in USD per request (embedding time, judge calls), added to the choices' cost. Of the same
        prompts as all other figures: those whose outcome is known.
    confidence : float, default 0.95
        Of the two-sided intervals. Their lower ends are one-sided bounds at (1 + confidence) / 2.
    groups : Series or array of shape (n_prompts,), optional
        What makes prompts depend on each other: the conversation, the customer, the text that several ids share. A
        group counts as one piece of evidence, and under 20 of them the result says so. By default, the copies and
        groups that `held_out_choices` kept together (``choices.attrs["copies"]``), if there are some.
    judged : bool or str, default False
        Quality was measured by a judge model (or by this one). Its errors pull the difference toward 0 and hide losses:
        without `people` the result says that the verdict is the judge's.
    people : DataFrame of shape (n_labelled, n_models), optional
        Quality in [0, 1] as people measured it, on a random part of the prompts, indexed by prompt_id or with a column
        of it. The quality difference is then theirs:
        the judge's, corrected by how far people differ from it (prediction-powered inference), with an interval that is
        wide if labels are few.
    propensity : Series, mapping, array of shape (n_prompts,), or float, optional
        prompt_id -> chance with which people were to label it, if the part was drawn by known chances that differ; an
        array in the order of `choices`.
    n_resamples, random_state : optional
        Not used any more: intervals are computed, not drawn. Kept for code written for 0.1.0.

    Returns
    -------
    Savings
        Saving as the ratio of summed costs; paired quality difference; verdict.

    Raises
    ------
    TableError
        If prompts differ, the baseline is unknown, or it costs nothing.
    ValueError
        If `max_quality_loss` is given in points, or a probability is out of range.

    References
    ----------
    T. Tango, "Equivalence test and confidence interval for the difference in proportions for the paired-sample
    design", Statistics in Medicine 17, 1998. `routerlab.stats` says how it is generalised.

    Examples
    --------
    >>> quality = pd.DataFrame({"small": [1.0, 0.0, 1.0], "gpt-4": [1.0, 1.0, 1.0]})
    >>> cost = pd.DataFrame({"small": [0.001] * 3, "gpt-4": [0.01] * 3})
    >>> choices = pd.Series(["small", "gpt-4", "small"])
    >>> round(savings(choices, quality, cost, baseline="gpt-4").saving, 3)
    0.6
    """
    check_confidence(confidence)
    margin = check_share(max_quality_loss, "max_quality_loss")
    check_n_resamples(n_resamples)
    check_model(baseline, models_of(quality), "baseline")
    both = check_choices(choices), always(baseline, choices.index)
    outcomes = chosen_outcomes(both, quality, cost, missing=True)
    ours, theirs = (score_choices(chosen, outcomes, missing=True) for chosen in both)
    own = _router_cost(router_cost, choices.index)
    shares = choices.value_counts(normalize=True).to_dict()
    spent = ours["cost_usd"].to_numpy(dtype=float) + own
    base = theirs["cost_usd"].to_numpy(dtype=float)
    difference = (ours["quality"] - theirs["quality"]).to_numpy(dtype=float)
    codes = groups_of(groups, choices)
    same = bool((choices == baseline).all())
    kept = same and (choices.attrs.get("always") == baseline or len(models_of(quality)) == 1)
    known, weight, stand_in = _known(spent, base, difference, choices)
    choices, spent, base, difference = choices[known], spent[known] * weight, base[known] * weight, difference[known]
    if base.sum() <= 0:
        reject("'cost'", f"the baseline {baseline!r} costs nothing.", "Nothing can be saved: check its cost column.")
    codes = None if codes is None else pd.factorize(codes[known])[0]
    measured = _measured(difference, choices, baseline, kept, codes, weight, judged, people, propensity, confidence)
    saved = _saving(spent, base, kept, codes, confidence)
    choice_notes = _choice_notes(choices, baseline, margin, same and not kept)
    notes = (*choice_notes, *group_notes(groups, codes), saved.pop("note"))
    return Savings(
        baseline=baseline,
        n=len(choices),
        quality=float(weight @ ours["quality"].to_numpy(dtype=float)[known] / weight.sum()),
        baseline_quality=float(weight @ theirs["quality"].to_numpy(dtype=float)[known] / weight.sum()),
        cost_usd=float(spent.mean()),
        baseline_cost_usd=float(base.mean()),
        router_cost_usd=None if router_cost is None else float(np.mean(own[known] * weight if np.ndim(own) else own)),
        shares=shares,
        n_abstained=int(choices.attrs.get("n_abstained", 0)),
        margin=margin,
        confidence=confidence,
        n_groups=None if codes is None else len(np.unique(codes)),
        **saved,
        **measured,
        notes=tuple(note for note in (*notes, _judge_note(**measured)) if note),
        method=_METHOD + stand_in,
        provenance=provenance_of(quality, cost),
    )


def _choice_notes(choices: pd.Series, baseline: str, margin: float, same: bool) -> list[str]:
    """Say that choices were made to another bar than the verdict's, or that they never left the baseline here."""
    notes, bar, sure = [], choices.attrs.get("max_quality_loss"), choices.attrs.get("guarantee")
    if bar is not None and bar != margin:
        how = "by estimate" if sure is None else f"with {100 * sure:.5g}% probability"
        notes.append(
            f"these choices were made to lose at most {100 * bar:g} points ({how}), and the verdict is on "
            f"{100 * margin:g}: for their bar pass max_quality_loss={bar:g}"
        )
    return [*notes, *([_KEPT.format(baseline)] if same else [])]


def _saving(spent: Any, base: Any, kept: bool, codes: Any, confidence: float) -> dict[str, Any]:
    """Share that is saved with its interval, and why it has none."""
    if kept and np.array_equal(spent, base):
        return {"saving": 0.0, "saving_low": 0.0, "saving_high": 0.0, "note": None}
    ratio, low, high = ratio_interval(spent, base, codes, confidence=confidence)
    note, _ = ratio_note(base, codes)
    return {"saving": 1 - ratio, "saving_low": 1 - high, "saving_high": 1 - low, "note": note}


def _measured(
    difference: Any,
    choices: pd.Series,
    baseline: str,
    kept: bool,
    codes: Any,
    weight: Any,
    judged: bool | str,
    people: pd.DataFrame | None,
    propensity: Any,
    confidence: float,
) -> dict[str, Any]:
    """Quality difference with its interval, and who measured it."""
    judge = judged if isinstance(judged, str) else "the judge" if judged or people is not None else None
    found: dict[str, Any] = {"judge": judge}
    if kept:  # a baseline that is kept whatever the prompt differs from itself by nothing
        ends: tuple[float, ...] = (0.0, 0.0, 0.0)
    elif people is None:
        ends = mean_interval(difference, codes, confidence=confidence, weight=weight)
    elif (weight != 1).any():
        reject(
            "'people'", "needs a known outcome of every prompt.", "Complete the judge's outcomes, or leave people= out."
        )
    else:
        labels = _people_difference(people, choices, baseline)
        chance = None if propensity is None else _chances(propensity, labels)
        *ends, weight = ppi_mean_difference(difference, labels.to_numpy(), codes, chance, confidence=confidence)  # type: ignore[assignment]
        found |= {"n_people": int(labels.notna().sum()), "judge_weight": weight}
    return found | dict(zip(("quality_difference", "quality_low", "quality_high"), ends, strict=True))


def _judge_note(judge: str | None, n_people: int | None = None, judge_weight: float = 0.0, **_: float) -> str | None:
    """Say whose the quality difference is."""
    if judge is None:
        return None
    if n_people is None:
        return f"quality is {judge}'s: its errors hide losses; label a random part of the prompts and pass people="
    return (
        f"quality difference: {judge}'s, corrected by people's labels of {n_people:,} prompts "
        f"(weight of the judge {judge_weight:.2f}); mean qualities above are {judge}'s"
    )


def _people_difference(people: pd.DataFrame, choices: pd.Series, baseline: str) -> pd.Series:
    """People's quality of the choice less the baseline's on each prompt; NaN where they labelled neither."""
    people = _read_people(people)
    known = choices.index.intersection(people.index)
    if not len(known):
        remedy = "Index it by prompt_id, as 'quality' is."
        remedy = id_remedy(choices.index, people.index, ("the choices", "people"), remedy)
        reject("'people'", f"names no prompt of 'choices', which have {shown(choices.index, 3)}.", remedy)
    check_model(baseline, models_of(people), "baseline")
    theirs = people.loc[known].reindex(columns=people.columns.union(choices.unique(), sort=False))
    place = theirs.columns.get_indexer(choices.loc[known])
    values = theirs.to_numpy()[np.arange(len(known)), place] - theirs[baseline].to_numpy()
    labelled = theirs.notna().any(axis=1).to_numpy()
    if np.isnan(values[labelled]).any():
        lost = known[labelled & np.isnan(values)]
        reject("'people'", f"lacks the chosen model or the baseline on {shown(lost)}.", "Label both, or neither.")
    if ((theirs < 0) | (theirs > 1)).any(axis=None):
        reject("'people'", "must hold qualities from 0 to 1.", "Rescale them as 'quality' is.")
    return pd.Series(values, known).reindex(choices.index)


def _read_people(people: Any) -> pd.DataFrame:
    """Read people's quality as numbers by prompt and model."""
    people = people.quality if isinstance(people, Outcomes) else by_prompt(people)
    if not isinstance(people, pd.DataFrame):
        remedy = "Pass a frame of quality by prompt_id and model, as 'quality' is."
        reject("'people'", f"expected a DataFrame, got {kind_of(people)}.", remedy)
    for axis, what in ((people.index, "prompt_id"), (people.columns, "model")):
        if not axis.is_unique:
            twice = shown(axis[axis.duplicated()].unique())
            reject("'people'", f"holds {what} {twice} more than once.", "Give one label for each prompt and model.")
    read = {model: read_numbers(people[model], booleans=True) for model in people.columns}
    for model, values in read.items():
        if isinstance(values, Odd):
            reject(f"'people', model {model!r}", f"{values.wrong}.", "Give qualities from 0 to 1, empty if unlabelled.")
    return pd.DataFrame(read, index=people.index, columns=people.columns, dtype=float)


def _chances(propensity: Any, labels: pd.Series) -> Any:
    remedy = "Pass prompt_id -> chance, an array in the order of the choices, or one number."
    given = pd.Series(propensity) if isinstance(propensity, Mapping) else propensity
    if isinstance(given, pd.Series):
        if not given.index.is_unique:
            again = shown(given.index[given.index.duplicated()].unique())
            reject("'propensity'", f"names prompt_id {again} more than once.", "Give one chance for each prompt.")
        given = given.reindex(labels.index)
    elif isinstance(given, pd.DataFrame) or np.ndim(given) > 1:
        reject("'propensity'", f"is {kind_of(given)} of {np.ndim(given)} dimensions.", remedy)
    elif np.ndim(given) and len(given) != len(labels):
        reject("'propensity'", f"has {len(given)} entries for {len(labels)} prompts.", remedy)
    chance = read_numbers(pd.Series(given, index=labels.index))
    if isinstance(chance, Odd):
        reject("'propensity'", f"{chance.wrong}.", remedy)
    bad = labels.notna().to_numpy() & ~((chance > 0) & (chance <= 1))
    if bad.any():
        reject("'propensity'", f"must be above 0 and at most 1 on {shown(labels.index[bad])}.", "Give every chance.")
    return chance


def _known(spent: Any, base: Any, difference: Any, choices: pd.Series) -> tuple[Any, Any, str]:
    """Find the prompts whose outcomes are known, their weights to stand for the others, and the note that says so."""
    known = ~np.isnan(spent + base + difference)
    if known.all():
        return known, np.ones(len(known)), ""
    weight = stand_ins(known, choices)
    warnings.warn(
        f"savings: of {len(known):,} prompts, {known.sum():,} have a known outcome of the chosen model. They stand for "
        "the others, which is right if what is known does not depend on the prompt.",
        DroppedRowsWarning,
        stacklevel=4,
    )
    note = f"; of {len(known):,} prompts those with a known outcome, weighted to stand for all given to the model"
    return known, weight, note


def _router_cost(router_cost: float | pd.Series | None, index: pd.Index) -> Any:
    if router_cost is None:
        return 0.0
    if isinstance(router_cost, pd.Series):
        router_cost = router_cost.reindex(index)
    read = read_numbers(pd.Series(router_cost))
    if isinstance(read, Odd):
        reject(
            "'router_cost'",
            f"{read.wrong}.",
            "Pass USD per request: a number, or a Series by prompt_id.",
            ParameterError,
        )
    if len(read) not in (1, len(index)):
        reject(
            "'router_cost'",
            f"has {len(read):,} entries for {len(index):,} prompts.",
            "Index it by prompt_id.",
            ParameterError,
        )
    router_cost = read if isinstance(router_cost, pd.Series) or len(read) > 1 else float(read[0])
    if not (np.isfinite(router_cost) & (np.asarray(router_cost) >= 0)).all():
        reject("'router_cost'", "must be finite and at least 0 for every prompt.", "USD per request.", ParameterError)
    return router_cost
