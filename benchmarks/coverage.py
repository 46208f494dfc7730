"""How often the 95% intervals of savings and quality differences hold the truth.

At 100 prompts a dozen dear calls carry most of the cost, and the saving's interval is too narrow; bootstrap-t and BCa
do no better there.

python benchmarks/coverage.py
"""

from __future__ import annotations

import numpy as np

import routerlab as rl


def savings_coverage(n_prompts: int, quality: str, n_simulations: int = 400) -> tuple[float, float]:
    """Fit a kNN router once, hold it fixed, and test it on many samples from a population with known truth.

    Parameters
    ----------
    n_prompts : int
        Prompts in each test sample.
    quality : {'bernoulli', 'beta'}
        Right or wrong, or graded.
    n_simulations : int, default 400
        Test samples.

    Returns
    -------
    saving, quality_difference : float
        Share of the intervals that hold the population's value.
    """
    train = rl.make_routing_problem(1000, quality=quality, random_state=5)
    router = rl.KNNRouter(30, willingness_to_pay=0.1).fit(train.X, train.quality, cost=train.cost)
    truth = train.population(lambda sample: router.predict(sample.X), n_prompts=100_000)
    hits = np.zeros(2)
    for seed in range(n_simulations):
        test = train.sample(n_prompts, random_state=1000 + seed)
        result = rl.savings(
            router.predict(test.X), test.quality, test.cost, baseline=train.baseline, n_resamples=999, random_state=seed
        )
        hits += [
            result.saving_low <= truth.saving <= result.saving_high,
            result.quality_low <= truth.quality_difference <= result.quality_high,
        ]
    return hits[0] / n_simulations, hits[1] / n_simulations


if __name__ == "__main__":
    print("| test prompts | quality | saving | quality difference | aim |\n| --- | --- | --- | --- | --- |")
    for n, kind in ((100, "bernoulli"), (375, "bernoulli"), (375, "beta"), (1000, "bernoulli"), (1000, "beta")):
        saving, difference = savings_coverage(n, kind)
        print(f"| {n:,} | {kind} | {saving:.1%} | {difference:.1%} | 93 to 97% |", flush=True)
