"""Verdicts of people and of a judge on the same pairs of responses, side by side."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import NoReturn

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import t as student

from routerlab.labeling import oriented
from routerlab.ratings import centred, influence, unit_weights
from routerlab.schema import check_judgments, reject, shown
from routerlab.stats import few_groups_note, group_codes

Floats = NDArray[np.float64]
Codes = NDArray[np.intp]

KEY = ["prompt_id", "model_a", "model_b"]
# What a verdict is worth to model_a. Two bad responses are no better than each other: a tie, as in `rate`.
SCORE = {"model_a": 1.0, "tie": 0.5, "both_bad": 0.5, "model_b": 0.0}


@dataclass(frozen=True)
class Units:
    """Pairs of responses to a prompt, each of them once, however often it was judged.

    Models of a pair are in alphabetical order; a score is what the votes on the pair were worth to its first model,
    on average: 1 for a win, 1/2 for a tie or both_bad, 0 for a loss. NaN: not judged.
    """

    models: NDArray[np.object_]  # (n_models,), sorted
    first: Codes  # (n_units,), code of the pair's first model
    second: Codes
    cluster: Codes  # code of the prompt, or of its group
    human: Floats  # (n_units,), score
    judge: Floats
    chance: Floats | None = None  # of being judged by people, where it is known
    grouped: bool = False

    @property
    def has_human(self) -> NDArray[np.bool_]:
        return ~np.isnan(self.human)

    @property
    def has_judge(self) -> NDArray[np.bool_]:
        return ~np.isnan(self.judge)

    @property
    def pair(self) -> Codes:
        """Code of the pair of models."""
        return np.unique(self.first * len(self.models) + self.second, return_inverse=True)[1]

    def take(self, rows: NDArray[np.bool_]) -> Units:
        """Keep some units."""
        codes = (self.first[rows], self.second[rows], self.cluster[rows])
        chance = None if self.chance is None else self.chance[rows]
        return Units(self.models, *codes, self.human[rows], self.judge[rows], chance, self.grouped)

    def notes(self) -> dict[str, object]:
        """Return what to keep in mind, for ``attrs``."""
        note = few_groups_note(np.unique(self.cluster[self.has_human])) if self.grouped else None
        notes: dict[str, object] = {"labels": "a random part" if self.chance is None else "drawn by known chances"}
        return notes | ({"note": note} if note else {})

    def warn_if_unlike(self, who: str) -> None:
        """Warn if the judge's verdicts where people judged are unlike its others: a random part is like the rest."""
        if self.chance is not None:
            return
        human, judge = self.has_human, self.has_judge
        weights = unit_weights(human, judge, self.pair)
        n_clusters = len(np.unique(self.cluster[human & judge]))
        if n_clusters < 10:
            return
        for code, model in enumerate(self.models):
            side = np.select([self.first == code, self.second == code], [1.0, -1.0], 0.0)
            score = centred((side * np.where(judge, self.judge - 0.5, 0.0))[:, None], weights, self.pair)
            gap = float(weights.bracket @ score[:, 0])
            moves = influence(np.zeros_like(score), score, weights, self.cluster, 1.0)
            error = float(np.sqrt((moves**2).sum() * n_clusters / (n_clusters - 1)))
            if error > 0 and 2 * student.sf(abs(gap) / error, n_clusters - 1) < 0.001 / len(self.models):
                warnings.warn(
                    f"{who}: where people judged, the judge gives {model!r} {-100 * gap:+.0f} points of win rate more "
                    "than elsewhere, which hardly happens to a random part. Pass propensity= (the chance with which "
                    "people were to judge each prompt), or have a random part judged.",
                    UserWarning,
                    stacklevel=3,
                )
                return

    def counts(self) -> dict[str, int]:
        """Pairs of responses that people judged, that the judge did, both, and people alone."""
        human, judge = self.has_human, self.has_judge
        both = int((human & judge).sum())
        return {
            "n_human": int(human.sum()),
            "n_judge": int(judge.sum()),
            "n_both": both,
            "n_human_only": int(human.sum()) - both,
            "n_clusters": len(np.unique(self.cluster[human])),
        }


def read_units(
    judge: pd.DataFrame,
    human: pd.DataFrame,
    groups: pd.Series | None = None,
    propensity: pd.Series | None = None,
) -> Units:
    """Check both tables and join them on the pair of responses."""
    scores = [_scores(human, "human"), _scores(judge, "judge")]
    table = pd.concat(scores, axis=1).reset_index()
    if not (table["human"].notna() & table["judge"].notna()).any():
        reject_disjoint(scores[1].index.to_frame(), scores[0].index.to_frame())
    codes, models = pd.factorize(pd.concat([table["model_a"], table["model_b"]], ignore_index=True), sort=True)
    cluster = group_codes(groups, pd.Index(table["prompt_id"]))
    return Units(
        models=np.asarray(models, dtype=object),
        first=codes[: len(table)],
        second=codes[len(table) :],
        cluster=pd.factorize(table["prompt_id"])[0] if cluster is None else cluster,
        human=table["human"].to_numpy(float),
        judge=table["judge"].to_numpy(float),
        chance=None if propensity is None else _chances(propensity, table),
        grouped=cluster is not None,
    )


def _chances(propensity: pd.Series, table: pd.DataFrame) -> Floats:
    """Chance of each unit's prompt to be judged by people."""
    if not isinstance(propensity, pd.Series) or not propensity.index.is_unique:
        reject("'propensity'", "must be a Series with one chance for each prompt_id.", "Index it by prompt_id.")
    chance = table["prompt_id"].map(propensity).to_numpy(float)
    bad = table["human"].notna().to_numpy() & ~((chance > 0) & (chance <= 1))
    if bad.any():
        reject(
            "'propensity'",
            f"got {shown(chance[bad], 3)} for prompt_id {shown(table.loc[bad, 'prompt_id'].unique())}.",
            "Give the chance, above 0 and at most 1, with which each prompt was to be judged by people.",
        )
    return chance


def reject_disjoint(judge: pd.DataFrame, human: pd.DataFrame) -> NoReturn:
    """Raise, for two tables of pairs of which none is in both: say what differs, and show one of each side."""
    models = [set(map(frozenset, side[KEY[1:]].itertuples(index=False, name=None))) for side in (judge, human)]
    prompts = [set(side["prompt_id"]) for side in (judge, human)]
    if models[0].isdisjoint(models[1]):
        differs = "no two models were compared by both"
    elif prompts[0].isdisjoint(prompts[1]):
        differs = "no prompt_id is in both"
    else:
        differs = "they share prompts and pairs of models, but never the same pair on the same prompt"
    one = [shown(side[KEY].head(1).itertuples(index=False, name=None)) for side in (judge, human)]
    reject(
        "'judge' and 'human'",
        f"have no pair of responses in common: {differs}. The judge saw, e.g., {one[0]}, people {one[1]}.",
        "Let the judge compare the pairs that people compared, too.",
    )


def read_votes(table: pd.DataFrame, name: str) -> pd.DataFrame:
    """Check a judgments table, naming the parameter, and turn each pair into alphabetical order."""
    frame = check_judgments(table)
    if not len(frame):
        reject(f"'{name}'", "has no rows.", "Check the split or the judge that you selected.")
    return oriented(frame)


def _scores(table: pd.DataFrame, name: str) -> pd.Series:
    frame = read_votes(table, name)
    return frame.assign(score=frame["winner"].map(SCORE)).groupby(KEY, sort=False)["score"].mean().rename(name)
