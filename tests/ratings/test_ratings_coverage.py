"""Do intervals hold the truth as often as they say? Simulations with known strengths."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
import pytest
from scipy.special import ndtri

from routerlab.ratings import BradleyTerry, rate

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:BradleyTerry")]
POINTS = 400 / np.log(10)


def simulated_counts(m: int, n: int, ties: float, n_simulations: int) -> Iterator[tuple[pd.DataFrame, pd.DataFrame]]:
    """Win and tie counts of n votes on random pairs; the expected score is that of Bradley-Terry, ties or not."""
    rng = np.random.default_rng(m * n)
    names, pairs = truth(m).index, np.triu_indices(m, 1)
    p = 1 / (1 + 10 ** ((truth(m).to_numpy()[pairs[1]] - truth(m).to_numpy()[pairs[0]]) / 400))
    tie = ties * np.minimum(p, 1 - p)
    chance = np.stack([p - tie / 2, tie, 1 - p - tie / 2]) / len(p)
    for counts in rng.multinomial(n, chance.ravel(), size=n_simulations).reshape(-1, *chance.shape):
        wins, tied = np.zeros((m, m)), np.zeros((m, m))
        wins[pairs], wins.T[pairs] = counts[0], counts[2]
        tied[pairs] = tied.T[pairs] = counts[1]
        yield pd.DataFrame(wins, names, names), pd.DataFrame(tied, names, names)


def truth(m: int) -> pd.Series:
    return pd.Series(1000 + np.linspace(120, -120, m), [f"m{k:02d}" for k in range(m)])


@pytest.mark.parametrize("ties", [0.0, 1.0])
@pytest.mark.parametrize(
    ("m", "n", "interval"),
    [(3, 60, "sandwich"), (8, 600, "sandwich"), (20, 1000, "sandwich"), (3, 60, "bootstrap"), (8, 600, "bootstrap")],
)
def test_overall_ratings(m: int, n: int, interval: str, ties: float) -> None:
    held, held_rate = [], []
    expected = 1 / (1 + 10 ** ((truth(m).iloc[0] - truth(m).iloc[1:]) / 400))
    for wins, tied in simulated_counts(m, n, ties, 400):
        model = BradleyTerry(interval=interval, n_resamples=400, random_state=0).fit_counts(wins, tied)
        held.append(truth(m).between(model.ci_low_, model.ci_high_))
        rates = model.expected_win_rate("m00").iloc[1:]
        held_rate.append(expected.between(rates["win_rate_low"], rates["win_rate_high"]))
    assert 0.93 < np.mean(held) < 0.98
    assert 0.93 < np.mean(held_rate) < 0.98


def simulated_intents(
    rng: np.random.Generator, m: int, n_intents: int, n: int, sd: float, per_prompt: int
) -> tuple[pd.DataFrame, pd.Series, pd.DataFrame]:
    """Intents of unequal sizes drawn from the prior; the votes of a prompt are on one pair, and correlated by half."""
    true = truth(m).to_numpy() + rng.normal(0, sd, (n_intents, m))
    true += 1000 - true.mean(axis=1, keepdims=True)
    intent = rng.choice(n_intents, n // per_prompt, p=rng.dirichlet(np.full(n_intents, 1.5)))
    a = rng.integers(m, size=len(intent))
    b = (a + rng.integers(1, m, size=len(intent))) % m
    p = 1 / (1 + 10 ** ((true[intent, b] - true[intent, a]) / 400))
    tie = 0.6 * np.minimum(p, 1 - p)
    shared = rng.normal(size=len(intent)) if per_prompt > 1 else np.zeros(len(intent))
    own = rng.normal(size=(per_prompt, len(intent))) * (np.sqrt(0.5) if per_prompt > 1 else 1.0)
    z = np.sqrt(0.5) * shared + own
    # Normal scores against normal quantiles: the chance of each outcome is exact, whatever the correlation.
    winner = np.select([z < ndtri(p - tie / 2), z < ndtri(p + tie / 2)], ["model_a", "tie"], "model_b")
    names = truth(m).index.to_numpy()
    columns = {"prompt_id": np.arange(len(intent)), "model_a": names[a], "model_b": names[b]}
    votes = pd.concat([pd.DataFrame({**columns, "winner": w}) for w in winner], ignore_index=True)
    codes = pd.Series([f"i{k:02d}" for k in intent], name="intent")
    levels = [f"i{k:02d}" for k in range(n_intents)]
    return votes, codes, pd.DataFrame(true, index=levels, columns=names)


@pytest.mark.parametrize(
    ("m", "n_intents", "n", "sd", "per_prompt", "low", "high"),
    [
        (6, 24, 3000, 50, 1, 0.93, 0.98),
        (6, 24, 3000, 140, 1, 0.93, 0.98),
        (6, 24, 600, 90, 1, 0.93, 0.98),
        (3, 4, 200, 90, 1, 0.93, 0.98),
        (6, 24, 4000, 90, 8, 0.93, 0.98),
        (6, 24, 3000, 0, 1, 0.95, 1.0),  # intents do not differ: the interval allows that they may
    ],
)
def test_intents_drawn_from_the_prior(
    m: int, n_intents: int, n: int, sd: float, per_prompt: int, low: float, high: float
) -> None:
    rng, held, held_rate = np.random.default_rng(0), [], []
    for _ in range(60 if n_intents > 10 else 200):
        votes, by, true = simulated_intents(rng, m, n_intents, n, sd, per_prompt)
        table = rate(votes, by=by, baseline="m00").set_index(["intent", "model"])
        rating = true.stack().rename_axis(["intent", "model"]).reindex(table.index)  # noqa: PD013
        held.append(rating.between(table["ci_low"], table["ci_high"]).mean())
        win_rate = 1 / (1 + 10 ** (true.rsub(true["m00"], axis=0) / 400))
        win_rate = win_rate.stack().rename_axis(["intent", "model"]).reindex(table.index)  # noqa: PD013
        others = table.index.get_level_values("model") != "m00"
        held_rate.append(win_rate.between(table["win_rate_low"], table["win_rate_high"])[others].mean())
    assert low < np.mean(held) < high
    assert low < np.mean(held_rate) < high
