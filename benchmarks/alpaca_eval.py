"""AlpacaEval 2: what a promise saves where the judge nearly always prefers the dear model.

python benchmarks/alpaca_eval.py     needs ROUTERLAB_DATA, or the network

The case study notebooks/case_studies/alpaca_eval.ipynb says what the figures mean.
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import routerlab as rl
from benchmarks import figures
from routerlab.decision import sweep_estimates

COMMAND = "python benchmarks/alpaca_eval.py"
HELD_OUT = "5 folds, promise (95%) inside the other four"


def main() -> None:
    """Print and record what is saved: promised, and with every verdict foreseen."""
    warnings.filterwarnings("ignore", message="cost_usd is left empty|SentenceEmbedder cut")
    everything = rl.fetch_alpaca_eval()
    priced = everything.outcomes.dropna(subset="cost_usd")["model"].unique()
    data = rl.fetch_alpaca_eval([model for model in priced if model != everything.baseline])
    quality, cost = rl.pivot_outcomes(data.outcomes)
    prompts = data.prompts.loc[quality.index, "prompt"]
    X = rl.join_embeddings(rl.SentenceEmbedder().fit_transform(prompts), rl.SurfaceFeatures().fit_transform(prompts))
    options = {"quality": quality, "cost": cost, "baseline": everything.baseline}
    for points in (1, 5):
        ask = {"max_quality_loss": points / 100, "guarantee": 0.95, "prompts": prompts}
        choices = rl.held_out_choices(rl.KNNRouter(100), X, **options, **ask)
        claim = rl.savings(choices, **options, max_quality_loss=points / 100)
        name = f"alpaca eval, promise of {points} point{'s' * (points > 1)}: saving"
        saved = claim.saving, claim.saving_low, claim.saving_high
        figures.record(name, saved, n=claim.n, protocol=HELD_OUT, command=COMMAND)
        print(f"promise of {points} points: {claim}")
    foreseen = rl.saving_at_parity(sweep_estimates(quality, cost), **options)
    name = "alpaca eval, every verdict foreseen: saving"
    figures.record(name, foreseen, protocol="hindsight, at parity", command=COMMAND)
    print(f"every verdict foreseen: {foreseen}")


if __name__ == "__main__":
    main()
