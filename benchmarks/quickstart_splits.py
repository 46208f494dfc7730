"""The quickstart's recipe on 20 other splits of the demo data (simulated outcomes).

python benchmarks/quickstart_splits.py

The quickstart's own test split was seen several times while the embedders were built, so its figures may
flatter the recipe. These splits played no part in any choice. They share prompts, so the rows are no
independent repeats: read their spread, not an interval of their mean.
"""

from __future__ import annotations

import pandas as pd
from sklearn.model_selection import train_test_split

import routerlab as rl
from routerlab.datasets import Demo


def one_split(demo: Demo, seed: int) -> dict[str, float | bool | None]:
    """Fit on train, choose the operating point on tune, claim on test, as the notebook does."""
    quality, cost = rl.pivot_outcomes(demo.outcomes)
    intents, prompts = demo.prompts["intent"], demo.prompts["prompt"]
    train, rest = train_test_split(demo.prompts.index, test_size=0.5, random_state=seed)
    tune, test = train_test_split(rest, test_size=0.5, random_state=seed)
    embedder = rl.IntentEmbedder()
    X = embedder.fit_transform(prompts[train], intents[train])
    X_tune, X_test = embedder.transform(prompts[tune]), embedder.transform(prompts[test])
    ratings = rl.rate(demo.judgments, by=intents[train])
    router = rl.IntentRouter(n_neighbors=60).fit(X, intents[train], ratings=ratings, cost=cost.loc[train])
    gain = rl.aiq_difference(router.sweep(X_test), "zero_router", quality.loc[test], cost.loc[test], n_resamples=200)
    row = {"AIQ less zero router's": gain.estimate, "its interval excludes 0": gain.low > 0}
    try:
        router = rl.set_operating_point(
            router, X_tune, quality.loc[tune], cost.loc[tune], baseline="gpt-4", max_quality_loss=0.02, assurance=0.9
        )
    except ValueError:  # no point is sure enough: the advice is to keep the baseline
        choices = rl.always("gpt-4", test)
    else:
        choices = router.predict(X_test)
    result = rl.savings(choices, quality.loc[test], cost.loc[test], baseline="gpt-4", margin=0.03, n_resamples=500)
    return row | {
        "saving": result.saving,
        "quality difference": result.quality_difference,
        "non-inferior at 3 points": result.non_inferior,
    }


def main() -> None:
    """Print the spread over splits."""
    demo = rl.load_demo()
    rows = pd.DataFrame([one_split(demo, seed) for seed in range(1, 21)])
    print(f"{len(rows)} splits of {len(demo.prompts)} prompts; test sets of 217; {demo.outcomes.attrs['provenance']}\n")
    print("| what | mean | least | largest |\n| --- | --- | --- | --- |")
    for name in ("saving", "quality difference", "AIQ less zero router's"):
        values, unit = 100 * rows[name], "%" if name == "saving" else " points"
        cells = (f"{v:+.1f}{unit}" for v in (values.mean(), values.min(), values.max()))
        print(f"| {name} | {' | '.join(cells)} |")
    for name in ("non-inferior at 3 points", "its interval excludes 0"):
        print(f"| {name.replace('its', 'AIQ')} | {rows[name].sum()} of {len(rows)} | | |")


if __name__ == "__main__":
    main()
