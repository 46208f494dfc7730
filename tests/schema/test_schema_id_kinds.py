"""Ids that are numbers in one table and text in another: what to do is said wherever two tables meet."""

import numpy as np
import pandas as pd
import pytest

import routerlab as rl
from routerlab.ratings import ppi_rate

IDS = pd.RangeIndex(40)
X = pd.DataFrame(np.random.default_rng(0).normal(size=(40, 2)), IDS)
QUALITY = pd.DataFrame({"small": (X[0] > 0) * 1.0, "large": 1.0})
COST = pd.DataFrame({"small": 0.001, "large": 0.01}, IDS)
KEYS = pd.DataFrame({"prompt_id": IDS.repeat(2), "model": ["small", "large"] * 40})
OUTCOMES = KEYS.assign(quality=QUALITY.to_numpy().ravel(), cost_usd=COST.to_numpy().ravel())
TEXTS = KEYS.assign(response=["B", "The answer is A"] * 40, cost_usd=0.01)
VOTES = pd.DataFrame({"prompt_id": IDS, "model_a": "small", "model_b": "large", "winner": "tie", "judge": "made up"})
NUMBER = pd.Series(0.5, IDS)
KNN = rl.KNNRouter(5).fit(X, QUALITY, cost=COST)
CASCADES = rl.CascadeRouter(rl.KNNRouter(5), ["small"], n_steps=2)


def as_text(table):
    if "prompt_id" in table:
        return table.assign(prompt_id=table["prompt_id"].map(str))
    return table.set_axis(table.index.map(str))


def as_objects(table):
    if "prompt_id" in table:
        return table.assign(prompt_id=table["prompt_id"].astype(object))
    return table.set_axis(table.index.astype(object))


@pytest.mark.parametrize(
    ("call", "table"),
    [
        (lambda table: rl.judged_outcomes(VOTES, table), TEXTS),
        (lambda table: rl.judged_outcomes(table, TEXTS), VOTES),
        (lambda table: rl.judged_outcomes(table, TEXTS, baseline="large"), VOTES),
        (lambda table: rl.judge_trust(VOTES, table), VOTES),
        (lambda table: rl.judge_trust(VOTES, VOTES, table), TEXTS),
        (lambda table: rl.judge_trust(VOTES, VOTES, by=table), NUMBER),
        (lambda table: rl.judge_trust(VOTES, VOTES, groups=table), NUMBER),
        (lambda table: ppi_rate(VOTES, table), VOTES),
        (lambda table: CASCADES.fit(X, QUALITY, cost=COST, responses=table), TEXTS),
        (lambda table: rl.cross_cascades(CASCADES, X, QUALITY, COST, responses=table), TEXTS),
        (lambda table: rl.cascade_outcomes(OUTCOMES, table, first=["small", "large"]), TEXTS),
        (lambda table: rl.cascade_outcomes(OUTCOMES, first="small", then="large", check=table), NUMBER),
        (
            lambda table: rl.cascade_outcomes(
                OUTCOMES, TEXTS, first="small", then="large", check=rl.LearnedCheck(), X=table
            ),
            X,
        ),
        (lambda table: KNN.explain(X.iloc[[0]], table), X[0].map(str)),
        (lambda table: KNN.explain(X.iloc[[0]], table), pd.DataFrame({"prompt_id": IDS, "prompt": "Why?"})),
        (lambda table: rl.call_curve(table, QUALITY, strong="large", weak="small"), NUMBER),
        (lambda table: rl.savings(pd.Series("small", IDS), QUALITY, COST, baseline="large", groups=table), NUMBER),
    ],
)
def test_ids_that_are_numbers_here_and_text_there_are_told_with_the_remedy(call, table):
    with pytest.raises(rl.RouterlabError, match=r"They are numbers in .* and text in .*: make both text"):
        call(as_text(table))
    call(as_objects(table))  # the same numbers in a column of objects are the same ids


def test_numbers_in_an_index_of_objects_are_still_numbers():
    with pytest.raises(rl.TableError, match="They are numbers in"):
        rl.judge_trust(as_objects(VOTES), as_text(VOTES))
