"""One rule, applied again after each answer."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
from sklearn.tree import DecisionTreeRegressor

import routerlab as rl
from routerlab.options import CascadeRouter, cross_cascades
from routerlab.schema import TableError

MODELS = ("small", "tiny", "large")
PRICE = {"small": 0.001, "tiny": 0.0005, "large": 0.01}


def world(n_types: int = 2, repeats: int = 40, seed: int = 0) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Prompts of a few types, whose cheap answers agree or not: all that can be known is the type and the agreement."""
    rng = np.random.default_rng(seed)
    rows = []
    for kind, agree in itertools.product(range(n_types), (True, False)):
        worth = rng.integers(9, size=3) / 8  # graded: a cell's mean is the same in every fold
        rows += [(kind, agree, *worth)] * repeats
    frame = pd.DataFrame(rows, columns=["kind", "agree", *MODELS])
    frame.index = pd.Index([f"p{i}" for i in range(len(frame))], name="prompt_id")
    X = pd.get_dummies(frame["kind"]).astype(np.float32)
    said = pd.concat(
        [
            pd.DataFrame({"prompt_id": frame.index, "model": model, "response": answer})
            for model, answer in (("small", "A"), ("tiny", np.where(frame["agree"], "A", "B")))
        ]
    )
    return X, frame, said


def brute_force(frame: pd.DataFrame) -> pd.DataFrame:
    """Mean cost and quality of every policy that depends on the type and, after a look, on the agreement."""
    per_type = []
    for _, part in frame.groupby("kind"):
        share = len(part) / len(frame)
        found = [(PRICE[m] * share, part[m].mean() * share) for m in MODELS]
        look = PRICE["small"] + PRICE["tiny"]
        for when in itertools.product(MODELS, repeat=2):
            cost = quality = 0.0
            for agree, model in zip((True, False), when, strict=True):
                cell = part[part["agree"] == agree]
                weight = len(cell) / len(frame)
                cost += weight * (look + (PRICE["large"] if model == "large" else 0.0))
                quality += weight * cell[model].mean()
            found.append((cost, quality))
        per_type.append(found)
    totals = [np.sum(policy, axis=0) for policy in itertools.product(*per_type)]
    return pd.DataFrame(totals, columns=["cost_usd", "quality"])


class Means(rl.KNNRouter):
    """A router that knows each type's means."""

    def __init__(self, truth: pd.DataFrame | None = None) -> None:
        super().__init__(1)
        self.truth = truth

    def fit(self, X, quality, *, cost=None):
        super().fit(X, quality, cost=cost)
        self.quality_ = self.truth.loc[np.asarray(X).argmax(axis=1)].to_numpy()
        return self


def knowing(frame: pd.DataFrame, first: list, n_steps: int) -> CascadeRouter:
    tree = DecisionTreeRegressor()  # each cell of type and agreement is a leaf
    return CascadeRouter(Means(frame.groupby("kind")[list(MODELS)].mean()), first, estimator=tree, n_steps=n_steps)


@pytest.mark.parametrize("seed", range(6))
def test_the_joint_frontier_is_that_of_all_policies_where_they_can_be_enumerated(seed):
    X, frame, said = world(seed=seed)
    quality, cost = frame[list(MODELS)], pd.DataFrame(PRICE, index=frame.index)
    router = knowing(frame, [["small", "tiny"]], 60).fit(X, quality, cost=cost, responses=said)
    curve = rl.frontier(router.sweep(X), *router.outcomes(X, quality, cost, responses=said))
    best = rl.hull(*brute_force(frame).to_numpy().T)
    grid = np.linspace(best[0][0], best[0][-1], 200)
    ours = rl.hull(curve["cost_usd"], curve["quality"])
    gap = np.interp(grid, *best) - np.interp(grid, *ours)
    assert gap.max() < 1e-6
    assert gap.min() > -1e-9


def test_looks_can_follow_one_another():
    X, frame, said = world()
    quality, cost = frame[list(MODELS)], pd.DataFrame(PRICE, index=frame.index)
    router = knowing(frame, ["small", ["small", "tiny"]], 3)
    router.fit(X, quality, cost=cost, responses=said)
    paid = router.outcomes(X, quality, cost, responses=said).cost
    assert router.models_.tolist()[3:6] == [f"small + tiny > {k} of 3" for k in (1, 2, 3)]
    assert (paid["small > 3 of 3"] >= PRICE["small"] - 1e-12).all()
    assert paid.max().max() <= sum(PRICE.values()) + 1e-12  # no call is paid twice


def test_out_of_fold_columns_cover_every_prompt_once_and_know_their_costs():
    X, frame, said = world()
    X = X + np.random.default_rng(0).normal(scale=1e-3, size=X.shape).astype(np.float32)
    quality, cost = frame[list(MODELS)], pd.DataFrame(PRICE, index=frame.index)
    router = CascadeRouter(rl.KNNRouter(20), [["small", "tiny"]], n_steps=4)
    joint = cross_cascades(router, X, quality, cost, responses=said)
    assert joint.quality.index.equals(quality.index)
    assert joint.sweep.index.equals(quality.index)
    assert joint.quality.notna().all().all()
    cascades = joint.cost.iloc[:, 3:]
    assert (cascades >= PRICE["small"] + PRICE["tiny"] - 1e-12).all().all()
    assert set(joint.after) == {("small", "tiny")}
    promise = rl.promise(joint.sweep, joint.quality, joint.cost, baseline="large", max_quality_loss=0.2)
    assert promise.n_testing + promise.n_ordering == len(quality)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"first": [["small", "giant"]]}, "giant"),
        ({"responses": 200}, "no response"),
    ],
)
def test_what_is_missing_is_named(change, says):
    X, frame, said = world()
    quality, cost = frame[list(MODELS)], pd.DataFrame(PRICE, index=frame.index)
    router = CascadeRouter(rl.KNNRouter(5), change.get("first", [["small", "tiny"]]))
    with pytest.raises(TableError, match=says):
        router.fit(X, quality, cost=cost, responses=said.iloc[: change.get("responses", len(said))])
