"""How far to trust a judge: agreement with people, position and length bias, self-consistency, in one report."""

from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np
import pandas as pd

from routerlab.completions import counted
from routerlab.labeling import PositionBias, SelfConsistency, position_bias
from routerlab.markup import fragment
from routerlab.ratings import KEY, SCORE, oriented, paired_votes, reject_disjoint
from routerlab.schema import Judgments, check_responses, id_remedy, provenance_of, reject, shown
from routerlab.stats import (
    Codes,
    Floats,
    Interval,
    check_confidence,
    cluster_df,
    equation_interval,
    few_groups_note,
    group_codes,
    percentile_interval,
    resampled_sums,
    share_of,
)

KINDS = ("model_a", "tie", "model_b")
_FEWEST_FOR_WIDTH = 30  # pairs of people's, below which a correlation says too little to promise a width


@dataclass(frozen=True)
class LengthBias:
    """How much more often a response wins that is twice as long as the other.

    Attributes
    ----------
    judge, human : Interval
        Change of the win rate (ties as half) for each doubling of the ratio of lengths, among the judge and people, on
        the same pairs.
    difference : Interval
        Judge less people: what the judge adds to their taste.
    n : int
        Pairs of responses.
    """

    judge: Interval
    human: Interval
    difference: Interval
    n: int

    def __str__(self) -> str:
        """Return one line, in points of win rate."""
        judge, human, more = (
            f"{100 * e.estimate:+.1f} [{100 * e.low:+.1f}, {100 * e.high:+.1f}]"
            for e in (self.judge, self.human, self.difference)
        )
        return f"twice the length moves the win rate by {judge} points (judge), {human} (people); difference {more}"


def confusion(frame: pd.DataFrame) -> Floats:
    """Human by judge verdict for each row of `joined`, as shares: shape (n_units, 3, 3)."""
    human = frame[[f"human_{kind}" for kind in KINDS]].to_numpy(float)
    judge = frame[[f"judge_{kind}" for kind in KINDS]].to_numpy(float)
    return human[:, :, None] * judge[:, None, :]


def joined(judge: pd.DataFrame, human: pd.DataFrame) -> pd.DataFrame:
    """One row for each pair of responses that both judged: the share of each side's votes by kind of verdict."""
    tables = []
    for name, votes in (("judge", judge), ("human", human)):
        kinds = votes["winner"].replace("both_bad", "tie")
        shares = pd.DataFrame({f"{name}_{kind}": (kinds == kind).astype(float) for kind in KINDS})
        tables.append(pd.concat([votes[KEY], shares], axis=1).groupby(KEY, sort=False).mean())
    return tables[0].join(tables[1], how="inner").reset_index()


def kappa(matrix: Floats) -> Floats:
    """Cohen's kappa of confusion matrices (..., 3, 3).

    NaN where either side has one verdict only: kappa would be 0 whatever the other said, or not defined at all.
    """
    total = matrix.sum(axis=(-2, -1))
    people, judge = matrix.sum(axis=-1), matrix.sum(axis=-2)
    seen = np.trace(matrix, axis1=-2, axis2=-1) / total
    chance = (people * judge).sum(axis=-1) / total**2
    several = ((people > 0).sum(axis=-1) > 1) & ((judge > 0).sum(axis=-1) > 1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(several, (seen - chance) / (1 - chance), np.nan)


def kappa_estimate(matrices: Floats, groups: Codes, confidence: float) -> Interval:
    """Kappa and the values of it that a score test does not reject, at any number of pairs.

    It inverts the test of ``agreement - chance = kappa * (1 - chance)``, with the influence of the margins on chance:
    disagreements that few pairs happened not to show stay possible.
    """
    total = matrices.sum(axis=0) / matrices.sum()
    value = float(kappa(total))
    if np.isnan(value):
        return Interval(value, value, value, len(matrices), confidence, method="not defined")
    people, judge = total.sum(axis=1), total.sum(axis=0)
    chance = judge[:, None] + people[None, :] - people @ judge  # what each cell adds to the agreement by chance
    agree = np.eye(len(KINDS))
    seen, pulled = (np.einsum("uij,ij->u", matrices, part) for part in (agree, chance))

    def score(at: float) -> tuple[Floats, float, float]:
        cells = agree - at - (1 - at) * chance
        return seen - at - (1 - at) * pulled, cells.min(), cells.max()

    low, high = equation_interval(score, value, (-1.0, 1.0), codes=groups, confidence=confidence)
    return Interval(value, low, high, len(matrices), confidence, method="score interval")


def correlation(matrices: Floats) -> float:
    """Correlation of the scores (1, 1/2, 0) that people and judge give; NaN where either gives one only."""
    joint = matrices.sum(axis=0) / matrices.sum()
    score = np.array([SCORE[kind] for kind in KINDS])
    human, judge = joint.sum(axis=1), joint.sum(axis=0)
    covariance = score @ joint @ score - (human @ score) * (judge @ score)
    spread = np.prod([p @ score**2 - (p @ score) ** 2 for p in (human, judge)])
    return float(covariance / np.sqrt(spread)) if spread > 1e-15 else float("nan")


def human_agreement(human: pd.DataFrame, groups: pd.Series, confidence: float) -> Interval | None:
    """Share of pairs of people who agree on the same pair of responses; None if nobody shared one."""
    if "judge" not in human or human["judge"].isna().any():
        return None
    votes = human.drop_duplicates([*KEY, "judge"])
    kinds = votes["winner"].replace("both_bad", "tie")
    counts = pd.DataFrame({kind: kinds == kind for kind in KINDS}).groupby([votes[name] for name in KEY]).sum()
    n = counts.sum(axis=1)
    counts, n = counts[n > 1], n[n > 1]
    if not len(counts):
        return None
    agree = ((counts**2).sum(axis=1) - n) / (n * (n - 1))
    codes = groups.loc[counts.index.get_level_values("prompt_id")].to_numpy()
    return share_of(agree, None, codes, confidence=confidence)


def showings(judge: pd.DataFrame) -> pd.DataFrame:
    """Verdicts of single showings, whose ``model_a`` came first: what combined orders are made of."""
    if not {"winner_ab", "winner_ba"} <= set(judge):
        return judge[[*KEY, "winner"]]
    swap = {"model_a": "model_b", "model_b": "model_a"}
    back = judge.assign(model_a=judge["model_b"], model_b=judge["model_a"], winner=judge["winner_ba"].replace(swap))
    both = pd.concat([judge.assign(winner=judge["winner_ab"]), back], ignore_index=True)
    return both.loc[both["winner"].notna(), [*KEY, "winner"]]


def position(shown: pd.DataFrame, groups: pd.Series, confidence: float) -> PositionBias | None:
    """Share of votes for a side that went to the first response; None if no vote is for a side."""
    if not shown["winner"].isin(("model_a", "model_b")).any():
        return None
    return position_bias(Judgments.checked(shown), groups=groups, confidence=confidence)


def consistency(shown: pd.DataFrame, groups: pd.Series, confidence: float) -> SelfConsistency | None:
    """Compare the verdicts of both orders; None if no pair was shown in both."""
    turned = oriented(shown).assign(swapped=shown["model_a"] > shown["model_b"], side=shown["winner"])
    turned = turned.drop_duplicates([*KEY, "swapped"])
    both = turned[turned["swapped"]].merge(turned[~turned["swapped"]], on=KEY, suffixes=("", "_first"))
    if not len(both):
        return None
    return SelfConsistency.of(both, groups.loc[both["prompt_id"]].to_numpy(), confidence)


def length_bias(
    units: pd.DataFrame,
    responses: pd.DataFrame,
    groups: Codes,
    confidence: float,
    n_resamples: int,
    rng: np.random.Generator,
) -> LengthBias | None:
    """Least-squares slope of scores on log2 of the lengths' ratio, through the origin as sides are exchangeable."""
    length = responses.assign(n=responses["response"].str.len().clip(lower=1)).set_index(["prompt_id", "model"])["n"]
    sides = [length.reindex(pd.MultiIndex.from_frame(units[["prompt_id", side]])) for side in ("model_a", "model_b")]
    ratio = np.log2(sides[0].to_numpy(float) / sides[1].to_numpy(float))
    known = np.isfinite(ratio)
    if not known.any():
        ids = (pd.Index(units["prompt_id"]), pd.Index(responses["prompt_id"]))
        remedy = id_remedy(*ids, ("the judgments", "'responses'"), "Pass the responses that were judged.")
        reject("'responses'", "has both responses of no pair that was judged.", remedy)
    if not (known & (ratio != 0)).any():
        return None
    x, rows = ratio[known], units[known]
    score = {
        name: rows[f"{name}_model_a"].to_numpy() + 0.5 * rows[f"{name}_tie"].to_numpy() for name in ("judge", "human")
    }
    columns = np.column_stack([x * (score["judge"] - 0.5), x * (score["human"] - 0.5), x * x])
    codes = pd.factorize(groups[known])[0]
    sums = np.column_stack([np.bincount(codes, column) for column in columns.T]).astype(float)
    drawn = resampled_sums(sums, n_resamples, rng)
    drawn = drawn[drawn[:, 2] > 0]
    slopes, draws = sums.sum(axis=0)[:2] / sums[:, 2].sum(), drawn[:, :2] / drawn[:, 2:]
    judge, human = (_interval(float(slopes[k]), draws[:, k], confidence, codes) for k in (0, 1))
    more = _interval(float(slopes[0] - slopes[1]), draws[:, 0] - draws[:, 1], confidence, codes)
    return LengthBias(judge, human, more, len(x))


def agreement(matrices: Floats, groups: Codes, confidence: float) -> Interval:
    """Share of verdicts on the diagonal."""
    return share_of(np.trace(matrices, axis1=1, axis2=2), matrices.sum(axis=(1, 2)), groups, confidence=confidence)


def by_intent(units: pd.DataFrame, matrices: Floats, by: pd.Series, groups: Codes, confidence: float) -> pd.DataFrame:
    """Agreement and kappa for each intent; prompts that `by` does not know are left out."""
    if not by.index.is_unique:
        reject("'by'", "has more than one row for a prompt_id.", "Keep one intent for each prompt.")
    intents = units["prompt_id"].map(by)
    if not intents.notna().any():
        ids = (pd.Index(units["prompt_id"]), by.index)
        remedy = id_remedy(*ids, ("the judgments", "'by'"), "Index it by prompt_id.")
        reject("'by'", f"knows none of the prompts, such as {shown(units['prompt_id'], 2)}.", remedy)
    rows = {}
    for intent in sorted(intents.dropna().unique(), key=str):
        mine = (intents == intent).to_numpy()
        codes = pd.factorize(groups[mine])[0]
        share = agreement(matrices[mine], codes, confidence)
        kappa = kappa_estimate(matrices[mine], codes, confidence)
        rows[intent] = {
            "n": int(mine.sum()),
            "agreement": share.estimate,
            "agreement_low": share.low,
            "agreement_high": share.high,
            "kappa": kappa.estimate,
            "kappa_low": kappa.low,
            "kappa_high": kappa.high,
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis(by.name or "intent")


def _interval(value: float, draws: Floats, confidence: float, codes: Codes) -> Interval:
    n_resamples, draws, size = len(draws), draws[np.isfinite(draws)], np.bincount(codes).astype(float)
    low = high = float("nan")
    if len(size) > 1 and len(draws) > 1:
        low, high = percentile_interval(draws, confidence, int(cluster_df(size)) + 1)
    return Interval(value, low, high, len(codes), confidence, n_resamples, method="percentile bootstrap")


@dataclass(frozen=True, repr=False, eq=False)
class JudgeReport:
    """How a judge model's verdicts compare with people's; ``print(report)`` says it in words.

    Attributes
    ----------
    judge : str
        Name of the judge.
    n_pairs, n_prompts : int
        Pairs of responses, and prompts, that both people and the judge judged.
    agreement : Interval
        How often a verdict of the judge is a person's: first model, second model, or a tie of either kind.
    decided : Interval or None
        The same where both prefer a side.
    kappa : Interval
        Cohen's: 1 is perfect agreement, 0 what chance gives.
    people : Interval or None
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
    agreement: Interval
    decided: Interval | None
    kappa: Interval
    people: Interval | None
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
        if not np.isfinite(self.kappa.low):
            return "agreement beyond chance not measured: people or the judge gave one verdict only"
        if self.kappa.low <= 0:
            return "not shown to agree with people more often than chance would"
        if self.n_pairs < _FEWEST_FOR_WIDTH:
            return "agrees with people beyond chance"
        return (
            "agrees with people beyond chance; with any number of its verdicts, an interval corrected by people's "
            f"(ppi_win_rate) is at best {self.width_limit:.0%} as wide as from theirs alone, as estimated from "
            f"{self.n_pairs:,} pairs"
        )

    def _facts(self) -> Iterator[tuple[str, str]]:
        pairs = f"{self.agreement.n:,} pairs of responses on {counted(self.n_prompts, 'prompt')}"
        one_verdict = "not defined: people or the judge gave one verdict only"
        yield "agreement", f"{self.agreement:.0%} of {pairs}"
        yield "both decided", f"{self.decided:.0%} of {self.decided.n:,}" if self.decided else "never"
        yield "Cohen's kappa", one_verdict if np.isnan(self.kappa.estimate) else f"{self.kappa:.2f}"
        people = self.people
        yield "two people agree", f"{people:.0%} of {people.n:,}" if people else "not known: no pair was judged by two"
        if self.position:
            left = self.position.left
            undecided = f"; {self.position.n_undecided:,} for neither"
            yield "position", f"the first response wins {left:.0%} of {left.n:,} votes for a side{undecided}"
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
        return fragment(f'<div style="{box}"><b>Judge {escape(self.judge)}</b>{tables}</div>')


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

    Length: slope of the score (1, 1/2, 0) on log2 of the ratio of lengths in characters. People may also prefer longer
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
    >>> report.judge, report.agreement.n, 0.6 < report.agreement.estimate < 0.9, report.kappa.low > 0.4
    ('made up', 300, True, True)
    """
    check_confidence(confidence)
    judge, human = Judgments(judge), Judgments(human)
    name = _one_judge(judge.table)
    theirs, people = paired_votes(judge, "judge"), paired_votes(human, "human")
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
    shown_once = showings(judge.table)
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
        remedy = "Measure one at a time: judge_trust(votes[votes.judge == name], human)."
        reject("'judge', column 'judge'", f"holds several: {shown(names)}.", remedy)
    return str(names[0]) if names else "(unnamed)"
