"""How far to trust a judge: one report of what agreement, bias and consistency say."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np
import pandas as pd

from routerlab.completions import counted
from routerlab.judging._measures import (
    KINDS,
    Estimate,
    LengthBias,
    agreement,
    by_intent,
    confusion,
    consistency,
    correlation,
    human_agreement,
    joined,
    kappa_estimate,
    length_bias,
    position,
    showings,
)
from routerlab.judging._units import read_votes, reject_disjoint
from routerlab.labeling import PositionBias, SelfConsistency, Share
from routerlab.schema import as_pandas, check_judgments, check_responses, provenance_of, reject, shown
from routerlab.stats import check_confidence, few_groups_note, group_codes

_FEWEST_FOR_WIDTH = 30  # pairs of people's, below which a correlation says too little to promise a width


@dataclass(frozen=True, repr=False, eq=False)
class JudgeReport:
    """What is known of a judge model beside people; ``print(report)`` says it in words.

    Attributes
    ----------
    judge : str
        Name of the judge.
    n_pairs, n_prompts : int
        Pairs of responses, and prompts, that both people and the judge judged.
    agreement : Share
        How often a verdict of the judge is a person's: first model, second model, or a tie of either kind.
    decided : Share or None
        The same where both prefer a side.
    kappa : Estimate
        Cohen's: 1 is perfect agreement, 0 what chance gives.
    people : Share or None
        How often two people agree, where two judged the same pair: what one can ask of a judge.
    correlation : float
        Of the judge's scores with people's (1, 1/2, 0).
    confusion : DataFrame of shape (3, 3)
        Pairs by people's verdict (rows) and the judge's, models of a pair in alphabetical order.
    by : DataFrame or None
        ``n``, ``agreement``, ``kappa`` with their intervals, for each intent.
    position : PositionBias or None
        Of single showings: 50% without bias, since sides are random or each pair is shown in both orders.
    consistency : SelfConsistency or None
        What became of verdicts when sides were swapped.
    length : LengthBias or None
        With `responses`.
    n_unreadable : int or None
        Verdicts that could not be read, as the table's ``attrs`` say.
    confidence : float
        Nominal coverage of each interval by itself.
    n_resamples : int
        Bootstrap resamples of prompts, for length bias.
    random_state : object
        Seed of the bootstrap.
    method, provenance : str
        How intervals were made; where the tables come from.
    n_groups : int or None
        Groups of prompts that were taken as one piece of evidence each.
    note : str or None
        What to keep in mind, such as that groups are few.
    """

    judge: str
    n_pairs: int
    n_prompts: int
    agreement: Share
    decided: Share | None
    kappa: Estimate
    people: Share | None
    correlation: float
    confusion: pd.DataFrame
    by: pd.DataFrame | None
    position: PositionBias | None
    consistency: SelfConsistency | None
    length: LengthBias | None
    n_unreadable: int | None
    confidence: float
    n_resamples: int
    random_state: Any
    method: str = "shares: Wilson's, at the votes' worth by group; kappa: score interval; length: percentile bootstrap"
    provenance: str | None = None
    n_groups: int | None = None
    note: str | None = None

    @property
    def width_limit(self) -> float:
        """Least width that this judge can bring an interval of a win rate to, relative to people alone (estimated)."""
        return float(np.sqrt(1 - max(self.correlation, 0.0) ** 2))

    @property
    def verdict(self) -> str:
        """What the agreement comes to, in words."""
        swapped = self.consistency
        if swapped and swapped.n_same_side > swapped.same.n / 2:
            return (
                "follows position, not content: the same side won both times in "
                f"{swapped.n_same_side:,} of {swapped.same.n:,} pairs shown in both orders"
            )
        if not np.isfinite(self.kappa.ci_low):
            return "agreement beyond chance not measured: people or the judge gave one verdict only"
        if self.kappa.ci_low <= 0:
            return "not shown to agree with people more often than chance would"
        if self.n_pairs < _FEWEST_FOR_WIDTH:
            return "agrees with people beyond chance"
        return (
            "agrees with people beyond chance; with any number of its verdicts, an interval corrected by people's "
            f"(ppi_win_rate) is at best {self.width_limit:.0%} as wide as from theirs alone, as estimated from "
            f"{self.n_pairs:,} pairs"
        )

    def _facts(self) -> Iterator[tuple[str, str]]:
        yield "agreement", f"{self.agreement} pairs of responses on {counted(self.n_prompts, 'prompt')}"
        yield "both decided", f"{self.decided}" if self.decided else "never"
        yield "Cohen's kappa", f"{self.kappa}"
        yield "two people agree", f"{self.people}" if self.people else "not known: no pair was judged by two"
        if self.position:
            undecided = f"; {self.position.n_undecided:,} for neither"
            yield "position", f"the first response wins {self.position.left} votes for a side{undecided}"
        if self.consistency:
            yield "consistency", str(self.consistency)
        if self.length:
            yield "length", str(self.length)
        if self.n_unreadable is not None:
            yield "unreadable", f"{counted(self.n_unreadable, 'verdict')}, left out everywhere"
        yield "", self.verdict
        yield "", f"{100 * self.confidence:.5g}% intervals; {self.method}, {self.n_resamples:,} resamples"
        if self.note:
            yield "", self.note
        if self.provenance:
            yield "", f"[{self.provenance}]"

    def __str__(self) -> str:
        """Return the report in lines."""
        facts = [f"  {name:<17} {text}" if name else f"  {text}" for name, text in self._facts()]
        return "\n".join([f"Judge {self.judge}", *facts])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        cell = 'style="text-align:left;padding:2px 14px 2px 0;vertical-align:top"'
        rows = "".join(
            f"<tr><th {cell}>{escape(name)}</th><td {cell}>{escape(text)}</td></tr>"
            if name
            else f'<tr><td colspan="2" {cell}>{escape(text)}</td></tr>'
            for name, text in self._facts()
        )
        box = "border:1px solid #8885;border-radius:10px;padding:12px 16px;max-width:60em"
        by = "" if self.by is None else self.by.round(2).to_html(escape=True, border=0)
        tables = f"<table>{rows}</table>{by}".replace("<table", '<table style="color:inherit;font:inherit"')
        return f'<div style="{box}"><b>Judge {escape(self.judge)}</b>{tables}</div>'


def judge_trust(
    judge: pd.DataFrame,
    human: pd.DataFrame,
    responses: pd.DataFrame | None = None,
    *,
    by: pd.Series | None = None,
    groups: pd.Series | None = None,
    confidence: float = 0.95,
    n_resamples: int = 1000,
    random_state: Any = 0,
) -> JudgeReport:
    """Measure how far a judge model's verdicts can stand for people's.

    Parameters
    ----------
    judge : DataFrame of shape (n_judge_votes, n_columns)
        Judgments of one judge, as `routerlab.judging.PairwiseJudge` or any other source gives them. ``model_a`` came
        first, unless the columns ``winner_ab`` and ``winner_ba`` hold the verdicts of both orders.
    human : DataFrame of shape (n_human_votes, n_columns)
        Judgments of people, with ``judge`` for who they are if agreement among them is wanted.
    responses : DataFrame, optional
        Responses table: adds length bias.
    by : Series, optional
        ``prompt_id`` -> intent: adds agreement by intent.
    groups : Series, optional
        ``prompt_id`` -> group: prompts that are one piece of evidence, such as those of one conversation. By default
        each prompt is its own. An entry for every prompt that the judge or people judged.
    confidence : float, default 0.95
        Nominal coverage of each interval by itself.
    n_resamples : int, default 1000
        Bootstrap resamples of prompts, for length bias.
    random_state : int or Generator, default 0
        Seeds the bootstrap.

    Returns
    -------
    JudgeReport
        Agreement, kappa, bias and consistency with their intervals.

    Raises
    ------
    TableError
        Several judges; no pair of responses that both judged.

    Notes
    -----
    A pair of responses counts once: with several votes on it, agreement is the share of its (person, judge) pairs
    that agree. A tie and both_bad are one verdict. Position bias and consistency use all verdicts of the judge, the
    rest only those on pairs that people judged.

    Kappa's interval holds the values that a score test does not reject. It leaves room for what few pairs did not show:
    four pairs that all agree say little, and the verdict "agrees beyond chance" is wrong in no more than about
    (1 - confidence) / 2 of the cases, from the first pair on.

    Length: slope of the score (1, 1/2, 0) on log2 of the ratio of lengths in characters. People, too, may prefer longer
    responses, and longer ones may be better: hence the difference on the same pairs. It also grows if the judge
    is more decided than people are, so look at ties in `JudgeReport.confusion` first.

    References
    ----------
    .. [1] L. Zheng et al., "Judging LLM-as-a-judge with MT-Bench and Chatbot Arena", NeurIPS 2023.
    .. [2] Y. Dubois et al., "Length-controlled AlpacaEval", COLM 2024.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> table = pd.DataFrame({"prompt_id": range(300), "model_a": "x", "model_b": "y"})
    >>> people = table.assign(winner=rng.choice(["model_a", "tie", "model_b"], 300))
    >>> votes = people.assign(winner=people["winner"].where(rng.random(300) < 0.7, "model_a"), judge="made up")
    >>> report = judge_trust(votes, people)
    >>> report.judge, report.agreement.n, 0.6 < report.agreement.share < 0.9, report.kappa.ci_low > 0.4
    ('made up', 300, True, True)
    """
    check_confidence(confidence)
    judge, human = as_pandas(judge), as_pandas(human)
    name = _one_judge(judge)
    theirs, people = read_votes(judge, "judge"), read_votes(human, "human")
    units = joined(theirs, people)
    if not len(units):
        reject_disjoint(theirs, people)
    rng = np.random.default_rng(random_state)
    group_of = _groups(groups, theirs, people)
    matrices, codes = confusion(units), pd.factorize(units["prompt_id"].map(group_of))[0]
    n_prompts, n_groups = units["prompt_id"].nunique(), len(np.unique(codes))
    counts = pd.DataFrame(
        matrices.sum(axis=0), index=pd.Index(KINDS, name="people"), columns=pd.Index(KINDS, name="judge")
    )
    shown_once = showings(check_judgments(judge))
    checked = None if responses is None else check_responses(responses)
    return JudgeReport(
        judge=name,
        n_pairs=len(units),
        n_prompts=n_prompts,
        agreement=agreement(matrices, codes, confidence),
        decided=agreement(matrices[:, ::2, ::2], codes, confidence) if matrices[:, ::2, ::2].any() else None,
        kappa=kappa_estimate(matrices, codes, confidence),
        people=human_agreement(people, group_of, confidence),
        correlation=correlation(matrices),
        confusion=counts,
        by=None if by is None else by_intent(units, matrices, by, codes, confidence),
        position=position(shown_once, group_of, confidence),
        consistency=consistency(shown_once, group_of, confidence),
        length=None if checked is None else length_bias(units, checked, codes, confidence, n_resamples, rng),
        n_unreadable=judge.attrs.get("n_unreadable"),
        confidence=confidence,
        n_resamples=n_resamples,
        random_state=random_state,
        provenance=provenance_of(judge, human, responses),
        n_groups=n_groups,
        note=few_groups_note(codes) if n_groups < len(units) else None,
    )


def _groups(groups: pd.Series | None, *tables: pd.DataFrame) -> pd.Series:
    """Code the group of every prompt in the tables."""
    prompts = pd.Index(pd.concat([table["prompt_id"] for table in tables]).unique())
    codes = group_codes(groups, prompts)
    return pd.Series(np.arange(len(prompts)) if codes is None else codes, index=prompts)


def _one_judge(judge: pd.DataFrame) -> str:
    names = list(judge["judge"].dropna().unique()) if "judge" in judge else []
    if len(names) > 1:
        reject(
            "'judge', column 'judge'",
            f"holds several: {shown(names)}.",
            "Measure one at a time: judge_trust(votes[votes.judge == name], human).",
        )
    return str(names[0]) if names else "(unnamed)"
