"""What can be measured of a judge: agreement with people, position and length bias, self-consistency."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from routerlab.judging._units import KEY, SCORE
from routerlab.labeling import PositionBias, SelfConsistency, Share, oriented, position_bias
from routerlab.schema import reject, shown
from routerlab.stats import cluster_df, equation_interval, percentile_interval, resampled_sums

Floats = NDArray[np.float64]
Codes = NDArray[np.intp]
KINDS = ("model_a", "tie", "model_b")


@dataclass(frozen=True)
class Estimate:
    """A number with its interval.

    Attributes
    ----------
    value, ci_low, ci_high : float
        NaN where the data do not define it, such as kappa where people or the judge have one verdict only.
    """

    value: float
    ci_low: float
    ci_high: float

    def __str__(self) -> str:
        """Return the number and its interval."""
        if np.isnan(self.value):
            return "not defined: people or the judge gave one verdict only"
        return f"{self.value:.2f} [{self.ci_low:.2f}, {self.ci_high:.2f}]"


@dataclass(frozen=True)
class LengthBias:
    """How much more often a response wins that is twice as long as the other.

    Attributes
    ----------
    judge, human : Estimate
        Change of the win rate (ties as half) for each doubling of the ratio of lengths, among the judge and people, on
        the same pairs.
    difference : Estimate
        Judge less people: what the judge adds to their taste.
    n : int
        Pairs of responses.
    """

    judge: Estimate
    human: Estimate
    difference: Estimate
    n: int

    def __str__(self) -> str:
        """Return one line, in points of win rate."""
        judge, human, more = (
            f"{100 * e.value:+.1f} [{100 * e.ci_low:+.1f}, {100 * e.ci_high:+.1f}]"
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


def kappa_estimate(matrices: Floats, groups: Codes, confidence: float) -> Estimate:
    """Kappa and the values of it that a score test does not reject, at any number of pairs.

    It inverts the test of ``agreement - chance = kappa * (1 - chance)``, with the influence of the margins on chance:
    disagreements that few pairs happened not to show stay possible.
    """
    total = matrices.sum(axis=0) / matrices.sum()
    value = float(kappa(total))
    if np.isnan(value):
        return Estimate(value, value, value)
    people, judge = total.sum(axis=1), total.sum(axis=0)
    chance = judge[:, None] + people[None, :] - people @ judge  # what each cell adds to the agreement by chance
    agree = np.eye(len(KINDS))
    seen, pulled = (np.einsum("uij,ij->u", matrices, part) for part in (agree, chance))

    def score(at: float) -> tuple[Floats, float, float]:
        cells = agree - at - (1 - at) * chance
        return seen - at - (1 - at) * pulled, cells.min(), cells.max()

    return Estimate(value, *equation_interval(score, value, (-1.0, 1.0), codes=groups, confidence=confidence))


def correlation(matrices: Floats) -> float:
    """Correlation of the scores (1, 1/2, 0) that people and judge give; NaN where either gives one only."""
    joint = matrices.sum(axis=0) / matrices.sum()
    score = np.array([SCORE[kind] for kind in KINDS])
    human, judge = joint.sum(axis=1), joint.sum(axis=0)
    covariance = score @ joint @ score - (human @ score) * (judge @ score)
    spread = np.prod([p @ score**2 - (p @ score) ** 2 for p in (human, judge)])
    return float(covariance / np.sqrt(spread)) if spread > 1e-15 else float("nan")


def human_agreement(human: pd.DataFrame, groups: pd.Series, confidence: float) -> Share | None:
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
    return Share.of(agree, np.ones(len(counts)), codes, confidence)


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
    return position_bias(shown, groups=groups, confidence=confidence)


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


def agreement(matrices: Floats, groups: Codes, confidence: float) -> Share:
    """Share of verdicts on the diagonal."""
    return Share.of(np.trace(matrices, axis1=1, axis2=2), matrices.sum(axis=(1, 2)), groups, confidence)


def by_intent(units: pd.DataFrame, matrices: Floats, by: pd.Series, groups: Codes, confidence: float) -> pd.DataFrame:
    """Agreement and kappa for each intent; prompts that `by` does not know are left out."""
    if not by.index.is_unique:
        reject("'by'", "has more than one row for a prompt_id.", "Keep one intent for each prompt.")
    intents = units["prompt_id"].map(by)
    if not intents.notna().any():
        reject("'by'", f"knows none of the prompts, such as {shown(units['prompt_id'], 2)}.", "Index it by prompt_id.")
    rows = {}
    for intent in sorted(intents.dropna().unique(), key=str):
        mine = (intents == intent).to_numpy()
        codes = pd.factorize(groups[mine])[0]
        share = agreement(matrices[mine], codes, confidence)
        kappa = kappa_estimate(matrices[mine], codes, confidence)
        rows[intent] = {
            "n": int(mine.sum()),
            "agreement": share.share,
            "agreement_low": share.ci_low,
            "agreement_high": share.ci_high,
            "kappa": kappa.value,
            "kappa_low": kappa.ci_low,
            "kappa_high": kappa.ci_high,
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis(by.name or "intent")


def _interval(value: float, draws: Floats, confidence: float, codes: Codes) -> Estimate:
    draws, size = draws[np.isfinite(draws)], np.bincount(codes).astype(float)
    if len(size) < 2 or len(draws) < 2:
        return Estimate(value, float("nan"), float("nan"))
    return Estimate(value, *percentile_interval(draws, confidence, int(cluster_df(size)) + 1))
