"""Verdicts of people and of a judge on the same pairs of responses, side by side."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NoReturn

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from routerlab.labeling import oriented
from routerlab.schema import check_judgments, reject, shown

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
    cluster: Codes  # code of the prompt
    human: Floats  # (n_units,), score
    judge: Floats

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
        return Units(self.models, *codes, self.human[rows], self.judge[rows])

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


def read_units(judge: pd.DataFrame, human: pd.DataFrame) -> Units:
    """Check both tables and join them on the pair of responses."""
    scores = [_scores(human, "human"), _scores(judge, "judge")]
    table = pd.concat(scores, axis=1).reset_index()
    if not (table["human"].notna() & table["judge"].notna()).any():
        reject_disjoint(scores[1].index.to_frame(), scores[0].index.to_frame())
    codes, models = pd.factorize(pd.concat([table["model_a"], table["model_b"]], ignore_index=True), sort=True)
    return Units(
        models=np.asarray(models, dtype=object),
        first=codes[: len(table)],
        second=codes[len(table) :],
        cluster=pd.factorize(table["prompt_id"])[0],
        human=table["human"].to_numpy(float),
        judge=table["judge"].to_numpy(float),
    )


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
