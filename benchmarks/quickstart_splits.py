"""The quickstart's recipe on 20 other splits of the demo data (simulated outcomes).

python benchmarks/quickstart_splits.py

The quickstart's own test split was seen several times while the embedders were built, so its figures may
flatter the recipe. These splits played no part in any choice. They share prompts, so the rows are no
independent repeats: read their spread, not an interval of their mean.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from figures import blind_difference, record
from sklearn.pipeline import make_pipeline

import routerlab as rl
from routerlab.datasets import Demo
from routerlab.model_selection import promise_folds

COMMAND = "python benchmarks/quickstart_splits.py"


def one_split(demo: Demo, seed: int) -> dict[str, float | bool | None]:
    """Promise on three quarters of the prompts (learn on half of them), claim on the rest, as the notebook does."""
    quality, cost = rl.pivot_outcomes(demo.outcomes)
    texts, intents = demo.prompts["prompt"], demo.prompts["intent"]
    known, test = rl.split_prompts(demo.prompts, (0.75, 0.25), random_state=seed)
    embedder = rl.IntentEmbedder(rl.SentenceEmbedder(layer=-2, window="mean"))
    router = make_pipeline(embedder, rl.IntentRouter(60))
    folds, learn = promise_folds(np.arange(len(known)), random_state=seed)
    sweep = rl.cross_sweep(router, texts[known], quality.loc[known], cost.loc[known], intents=intents[known], cv=folds)
    bar = {"baseline": "gpt-4", "max_quality_loss": 0.03, "ordering": learn}
    promise = rl.promise(sweep, quality.loc[known], cost.loc[known], **bar)
    fit_on = texts[known].index[learn]
    X = embedder.fit_transform(texts[fit_on], intents[fit_on])
    router = rl.IntentRouter(60).fit(X, intents[fit_on], quality=quality.loc[fit_on], cost=cost.loc[fit_on])
    sweep = router.sweep(embedder.transform(texts[test]))
    result = rl.savings(
        promise.choose(sweep), quality.loc[test], cost.loc[test], baseline="gpt-4", max_quality_loss=0.03
    )
    gain = rl.aiq_difference(sweep, "zero_router", quality.loc[test], cost.loc[test], n_resamples=200)
    return {
        "saving": result.saving,
        "quality difference": result.quality_difference,
        "AIQ less zero router's": gain.estimate,
        "GPT-4 kept": promise.keeps_baseline,
        "loss above 3 points on the test prompts": result.quality_difference < -0.03,
        "non-inferior at 3 points": bool(result.non_inferior),
        "AIQ interval excludes 0": gain.low > 0,
    }


def ten_lines(demo: Demo, loss: float = 0.03) -> rl.Savings:
    """README's ten lines, up to what they print."""
    quality, cost = rl.pivot_outcomes(demo.outcomes)
    X = rl.SentenceEmbedder(window="mean").fit_transform(demo.prompts["prompt"])
    bar = {"baseline": "gpt-4", "max_quality_loss": loss}
    choices = rl.held_out_choices(rl.KNNRouter(30), X, quality, cost, **bar, guarantee=0.95)
    result = rl.savings(choices, quality, cost, **bar)
    protocol = "5 folds; promise (95%) inside the other four, fitted on half of them"
    about = {"n": result.n, "protocol": protocol, "command": COMMAND}
    name = "ten lines" if loss == 0.03 else f"ten lines, {100 * loss:g} point"
    record(f"{name}: saving", (result.saving, result.saving_low, result.saving_high), **about)
    ends = (result.quality_difference, result.quality_low, result.quality_high)
    record(f"{name}: quality difference", ends, **about)
    mixed = blind_difference(result.cost_usd, quality, cost, "gpt-4")
    record(f"{name}: quality difference of mixing blindly", mixed, **about)
    print(f"{name}: {str(result).splitlines()[0]}; mixing models blindly at that cost: {100 * mixed:+.1f} points\n")
    return result


def main() -> None:
    """Print what README's ten lines give, and the spread of the quickstart's recipe over splits."""
    demo = rl.load_demo()
    ten_lines(demo, 0.01)
    ten_lines(demo)
    rows = pd.DataFrame([one_split(demo, seed) for seed in range(1, 21)])
    about = {"n": len(rows), "protocol": "20 splits, 651 prompts to learn and promise on, 217 to claim on"}
    print(f"{len(rows)} splits of {len(demo.prompts)} prompts; test sets of 217; {demo.outcomes.attrs['provenance']}\n")
    print("| what | mean | least | largest |\n| --- | --- | --- | --- |")
    for name in ("saving", "quality difference", "AIQ less zero router's"):
        values, unit = rows[name], "%" if name == "saving" else " points"
        spread = (values.mean(), values.min(), values.max())
        record(f"quickstart, 20 splits: {name}", spread, **about, command=COMMAND)
        print(f"| {name} | {' | '.join(f'{100 * v:+.1f}{unit}' for v in spread)} |")
    for name in rows.columns[3:]:
        count = int(rows[name].sum())
        record(f"quickstart, 20 splits: {name}", count, **about, command=COMMAND)
        print(f"| {name} | {count} of {len(rows)} | | |")


if __name__ == "__main__":
    main()
