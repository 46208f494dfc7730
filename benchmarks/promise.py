"""What a promise saves on RouterBench, held out: models alone, and with agreement cascades among the options.

python benchmarks/promise.py [shuffles]    needs the published files: ROUTERLAB_DATA, or a download of 7 MB

A cascade asks two or three cheap models; where they name the same letter, the first one's answer is kept, else GPT-4 is
asked. All calls are paid. MBPP's answers are programs, which can't be compared so: its prompts go to GPT-4 at once.
"""

from __future__ import annotations

import sys
import warnings
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

import routerlab as rl
from routerlab.embedding import join_embeddings

BASELINE = "gpt-4-1106-preview"
CHEAP = 0.001  # USD per request: what may be asked first
COMMAND = "python benchmarks/promise.py"


def with_cascades(quality: pd.DataFrame, cost: pd.DataFrame, data: Any) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Append an option for each pair and triple of cheap models."""
    outcomes = data.outcomes[data.outcomes["prompt_id"].isin(quality.index)]
    letter = data.responses["response"].str.extract(r"\b([A-E1-5])\b", expand=False)
    responses = data.responses.assign(letter=letter)
    programs = outcomes["prompt_id"].isin(data.prompts.index[data.prompts["dataset"] == "mbpp"])
    choices, dear = outcomes[~programs], outcomes[programs & (outcomes["model"] == BASELINE)]
    first = [name for name in quality.columns if name != BASELINE and cost[name].mean() < CHEAP]
    parts = [outcomes]
    for asked in [*combinations(first, 2), *combinations(first, 3)]:
        name = " + ".join(asked) + f" -> {BASELINE}"
        few = choices[choices["model"].isin([*asked, BASELINE])]
        said = responses[responses["model"].isin(asked)]
        made = rl.cascade_outcomes(few, said, first=asked, then=BASELINE, extract="letter", name=name)
        parts += [made[made["model"] == name], dear.assign(model=name)]
    options = pd.concat(parts, ignore_index=True)
    options.attrs = dict(outcomes.attrs)
    return rl.pivot_outcomes(options)


def held_out(X: Any, quality: pd.DataFrame, cost: pd.DataFrame, seed: int, **options: Any) -> tuple[float, float, int]:
    """Claim on one shuffle of five folds: saving, quality difference, and how many folds kept GPT-4."""
    choices = rl.held_out_choices(
        rl.IntentRouter(15), X, quality, cost, baseline=BASELINE, random_state=seed, guarantee=0.95, **options
    )
    result = rl.savings(choices, quality, cost, baseline=BASELINE, n_resamples=50)
    return result.saving, result.quality_difference, choices.attrs["n_kept_baseline"]


def main(n_shuffles: int = 6) -> None:
    """Print one row for each set of options and each bar."""
    from figures import record  # beside this script; the grid imports its cascades alone

    data = rl.fetch_routerbench()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        models = rl.pivot_outcomes(data.outcomes)
    prompts = data.prompts.loc[models.quality.index]
    texts = prompts["question"]
    X = join_embeddings(rl.LsaEmbedder().fit_transform(texts), rl.SurfaceFeatures().fit_transform(texts))
    tables = {"11 models": models, "and their agreement cascades": with_cascades(*models, data)}
    print("| options | promise, points | saving | quality difference, points | folds of 5 that kept GPT-4 |")
    print("| --- | --- | --- | --- | --- |")
    for name, (quality, cost) in tables.items():
        for bar in (0.01, 0.02, 0.03):
            known = {"intents": prompts["dataset"], "prompts": texts, "max_quality_loss": bar}
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", rl.model_selection.CopiesWarning)
                runs = [held_out(X, quality, cost, seed, **known) for seed in range(n_shuffles)]
            saved, lead, kept = np.mean(runs, axis=0)
            about = {"n": len(quality), "protocol": f"5 folds, {n_shuffles} shuffles, mean", "command": COMMAND}
            record(f"promise on RouterBench, {name}, bar {100 * bar:g}: saving", float(saved), **about)
            record(f"promise on RouterBench, {name}, bar {100 * bar:g}: quality difference", float(lead), **about)
            shown = f"{100 * bar:g} | {100 * saved:.1f}% | {100 * lead:+.2f} | {kept:.1f}"
            print(f"| {name} ({quality.shape[1]}) | {shown} |", flush=True)


if __name__ == "__main__":
    main(*(int(count) for count in sys.argv[1:]))
