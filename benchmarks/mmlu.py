"""A kNN router on MMLU (RouteLLM's files): GPT-4 against Mixtral-8x7B, APGR and CPT, out of fold.

python benchmarks/mmlu.py    needs the published files: ROUTERLAB_DATA, or a download of 7 MB

Settings were chosen with folds shuffled by seeds 1 and 2; the table uses seed 0.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from sklearn.model_selection import KFold
from sklearn.pipeline import make_pipeline

import routerlab as rl
from routerlab.embedding import join_embeddings

STRONG, WEAK = "gpt-4-1106-preview", "mistralai/Mixtral-8x7B-Instruct-v0.1"
PAIR = {"strong": STRONG, "weak": WEAK}


def interval(score: pd.Series, quality: pd.DataFrame, n_resamples: int = 400) -> dict[str, tuple[float, float]]:
    """95% percentile intervals over resampled prompts, the router held fixed."""
    rng = np.random.default_rng(0)
    draws = []
    for _ in range(n_resamples):
        rows = rng.integers(len(score), size=len(score))
        curve = rl.call_curve(
            score.iloc[rows].reset_index(drop=True), quality.iloc[rows].reset_index(drop=True), **PAIR
        )
        draws.append((rl.apgr(curve), rl.cpt(curve, 0.5)))
    low, high = np.quantile(draws, [0.025, 0.975], axis=0)
    return {"APGR": (low[0], high[0]), "CPT(50%)": (low[1], high[1])}


def main() -> None:
    """Print a table of routers."""
    data = rl.fetch_routellm("mmlu")
    quality, cost = rl.pivot_outcomes(data.outcomes)
    prompts = data.prompts["prompt"].loc[quality.index]
    X = rl.SentenceEmbedder().fit_transform(prompts)
    folds = list(KFold(5, shuffle=True, random_state=0).split(X))
    joined = join_embeddings(X, rl.SurfaceFeatures().fit_transform(prompts), weights=[1, 0.5])
    routers = {
        "kNN, MiniLM, k = 160": (rl.KNNRouter(160), X),
        "kNN, MiniLM + looks (SurfaceFeatures at 0.5), k = 120, weighted by similarity": (
            rl.KNNRouter(120, weights="similarity"),
            joined,
        ),
        "kNN, layer 3 of MiniLM + OutcomeEmbedder, k = 240": (
            make_pipeline(rl.OutcomeEmbedder(), rl.KNNRouter(240)),
            rl.SentenceEmbedder(layer=3).fit_transform(prompts),
        ),
    }
    print(f"n = {len(quality):,} prompts; 5 folds, each prompt scored by a router that never saw it\n")
    print("| router | APGR | CPT(50%) | CPT(80%) | as RouteLLM computes them |\n| --- | --- | --- | --- | --- |")
    for name, (router, features) in routers.items():
        estimate = rl.cross_estimates(router, features, quality, cost, cv=folds).quality
        score = estimate[STRONG] - estimate[WEAK]
        curve, deciles = (rl.call_curve(score, quality, **PAIR, n_thresholds=k) for k in (None, 10))
        ends = interval(score, quality)
        compat = f"APGR {rl.apgr(deciles):.3f}, CPT(50%) {rl.cpt(deciles, 0.5, method='compat'):.1%}"
        print(
            f"| {name} | {rl.apgr(curve):.3f} [{ends['APGR'][0]:.3f}, {ends['APGR'][1]:.3f}] "
            f"| {rl.cpt(curve, 0.5):.1%} [{ends['CPT(50%)'][0]:.1%}, {ends['CPT(50%)'][1]:.1%}] "
            f"| {rl.cpt(curve, 0.8):.1%} | {compat} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
