"""What can be measured of a judge: agreement with people, position and length bias, self-consistency."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from routerlab.judging._units import KEY, SCORE
from routerlab.labeling import PositionBias, SelfConsistency, Share, oriented
from routerlab.ratings import wilson
from routerlab.schema import reject, shown
from routerlab.stats import percentile_interval, resampled_sums

Floats = NDArray[np.float64]
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


def clustered_share(hits: Floats, of: Floats, cluster: NDArray[np.intp], confidence: float) -> Share:
    """Share of `hits` in `of`, with Wilson's interval at the number of independent votes that it is worth.

    Where all clusters agree, that number is the number of clusters: votes on one prompt may all be one.
    """
    total = float(of.sum())
    share = float(hits.sum()) / total
    in_cluster = np.bincount(cluster[of > 0])
    n_clusters = int(np.count_nonzero(in_cluster))
    residual = np.bincount(cluster, hits - share * of)
    variance = float((residual**2).sum()) / total**2 * n_clusters / max(n_clusters - 1, 1)
    worth = share * (1 - share) / variance if variance > 0 else n_clusters
    low, high = wilson(np.array(share), np.array(np.clip(worth, 1.0, max(total, 1.0))), confidence)
    return Share(share, max(float(low), 0.0), min(float(high), 1.0), round(total), confidence)


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


def kappa_estimate(
    matrices: Floats, cluster: NDArray[np.intp], confidence: float, n_resamples: int, rng: np.random.Generator
) -> Estimate:
    """Kappa with a percentile interval from resampled prompts."""
    sums = _by_cluster(matrices.reshape(len(matrices), 9), cluster)
    draws = kappa(resampled_sums(sums, n_resamples, rng).reshape(-1, 3, 3))
    return _interval(float(kappa(matrices.sum(axis=0))), draws, confidence, len(sums))


def correlation(matrices: Floats) -> float:
    """Correlation of the scores (1, 1/2, 0) that people and judge give; NaN where either gives one only."""
    joint = matrices.sum(axis=0) / matrices.sum()
    score = np.array([SCORE[kind] for kind in KINDS])
    human, judge = joint.sum(axis=1), joint.sum(axis=0)
    covariance = score @ joint @ score - (human @ score) * (judge @ score)
    spread = np.prod([p @ score**2 - (p @ score) ** 2 for p in (human, judge)])
    return float(covariance / np.sqrt(spread)) if spread > 1e-15 else float("nan")


def human_agreement(human: pd.DataFrame, confidence: float) -> Share | None:
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
    prompts = pd.factorize(counts.index.get_level_values("prompt_id"))[0]
    return clustered_share(agree.to_numpy(float), np.ones(len(counts)), prompts, confidence)


def showings(judge: pd.DataFrame) -> pd.DataFrame:
    """Verdicts of single showings, whose ``model_a`` came first: what combined orders are made of."""
    if not {"winner_ab", "winner_ba"} <= set(judge):
        return judge[[*KEY, "winner"]]
    swap = {"model_a": "model_b", "model_b": "model_a"}
    back = judge.assign(model_a=judge["model_b"], model_b=judge["model_a"], winner=judge["winner_ba"].replace(swap))
    both = pd.concat([judge.assign(winner=judge["winner_ab"]), back], ignore_index=True)
    return both.loc[both["winner"].notna(), [*KEY, "winner"]]


def position(shown: pd.DataFrame, confidence: float) -> PositionBias | None:
    """Share of votes for a side that went to the first response; None if no vote is for a side."""
    sided = shown["winner"].isin(("model_a", "model_b")).to_numpy()
    if not sided.any():
        return None
    first = (shown["winner"] == "model_a").to_numpy(float)
    prompts = pd.factorize(shown["prompt_id"])[0]
    share = clustered_share(first * sided, sided.astype(float), prompts, confidence)
    return PositionBias(share, int((~sided).sum()))


def consistency(shown: pd.DataFrame, confidence: float) -> SelfConsistency | None:
    """Compare the verdicts of both orders; None if no pair was shown in both."""
    turned = oriented(shown).assign(swapped=shown["model_a"] > shown["model_b"], side=shown["winner"])
    turned = turned.drop_duplicates([*KEY, "swapped"])
    both = turned[~turned["swapped"]].merge(turned[turned["swapped"]], on=KEY, suffixes=("", "_swapped"))
    if not len(both):
        return None
    same = (both["winner"] == both["winner_swapped"]).to_numpy()
    stayed = ~same & (both["side"] == both["side_swapped"]).to_numpy() & both["side"].isin(KINDS[::2]).to_numpy()
    prompts = pd.factorize(both["prompt_id"])[0]
    share = clustered_share(same.astype(float), np.ones(len(both)), prompts, confidence)
    return SelfConsistency(share, int(stayed.sum()), int((~same & ~stayed).sum()))


def length_bias(
    units: pd.DataFrame, responses: pd.DataFrame, confidence: float, n_resamples: int, rng: np.random.Generator
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
    sums = _by_cluster(columns, pd.factorize(rows["prompt_id"])[0])
    drawn = resampled_sums(sums, n_resamples, rng)
    drawn = drawn[drawn[:, 2] > 0]
    slopes, draws = sums.sum(axis=0)[:2] / sums[:, 2].sum(), drawn[:, :2] / drawn[:, 2:]
    judge, human = (_interval(float(slopes[k]), draws[:, k], confidence, len(sums)) for k in (0, 1))
    more = _interval(float(slopes[0] - slopes[1]), draws[:, 0] - draws[:, 1], confidence, len(sums))
    return LengthBias(judge, human, more, len(x))


def agreement(matrices: Floats, prompts: NDArray[np.intp], confidence: float) -> Share:
    """Share of verdicts on the diagonal."""
    return clustered_share(np.trace(matrices, axis1=1, axis2=2), matrices.sum(axis=(1, 2)), prompts, confidence)


def by_intent(
    units: pd.DataFrame,
    matrices: Floats,
    by: pd.Series,
    confidence: float,
    n_resamples: int,
    rng: np.random.Generator,
) -> pd.DataFrame:
    """Agreement and kappa for each intent; prompts that `by` does not know are left out."""
    if not by.index.is_unique:
        reject("'by'", "has more than one row for a prompt_id.", "Keep one intent for each prompt.")
    intents = units["prompt_id"].map(by)
    if not intents.notna().any():
        reject("'by'", f"knows none of the prompts, such as {shown(units['prompt_id'], 2)}.", "Index it by prompt_id.")
    rows = {}
    for intent in sorted(intents.dropna().unique(), key=str):
        mine = (intents == intent).to_numpy()
        prompts = pd.factorize(units.loc[mine, "prompt_id"])[0]
        share = agreement(matrices[mine], prompts, confidence)
        kappa = kappa_estimate(matrices[mine], prompts, confidence, n_resamples, rng)
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


def _by_cluster(values: Floats, cluster: NDArray[np.intp]) -> Floats:
    return np.column_stack([np.bincount(cluster, column) for column in values.T])


def _interval(value: float, draws: Floats, confidence: float, n: int) -> Estimate:
    draws = draws[np.isfinite(draws)]
    if n < 2 or len(draws) < 2:
        return Estimate(value, float("nan"), float("nan"))
    return Estimate(value, *percentile_interval(draws, confidence, n))
