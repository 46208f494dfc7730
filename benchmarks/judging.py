"""How much shorter a judge makes the intervals of human verdicts, and whether they still hold the truth.

The judges that agree with people on a given share of pairs are *simulated*: they repeat the human verdict on that
share, and give one of the other verdicts at random on the rest. The judge that prefers the longer response is real.

python benchmarks/judging.py [n_simulations]
"""

from __future__ import annotations

import sys
import warnings

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import expit

import routerlab as rl
from routerlab.judging import ppi_rate, ppi_win_rate
from routerlab.ratings import solve_bradley_terry

VERDICTS = np.array(["model_a", "model_b", "tie"])


def repeat(verdicts: NDArray, agreement: float, n_kinds: int, rng: np.random.Generator) -> NDArray:
    """Return the verdict (a code) with probability `agreement`, else one of the others: a simulated judge."""
    other = (verdicts + rng.integers(1, n_kinds, len(verdicts))) % n_kinds
    return np.where(rng.random(len(verdicts)) < agreement, verdicts, other)


def make_pairs(n: int, rate: float, ties: float, agreement: float, rng: np.random.Generator, kindness: float = 0.0):
    """Verdicts of people and of a simulated judge on `n` pairs of two models, one for each prompt.

    Parameters
    ----------
    n : int
        Prompts.
    rate, ties : float
        People's win rate of model x over y (ties as half), and share of ties.
    agreement : float
        Share of pairs on which the judge repeats the human verdict.
    rng : Generator
        Source of chance.
    kindness : float, default 0
        Share of all pairs on which the judge then says x whatever people say: a bias.

    Returns
    -------
    judge, human : DataFrame of shape (n, 4)
        Judgments tables.
    """
    n_kinds = 3 if ties else 2
    verdicts = rng.choice(3, size=n, p=[rate - ties / 2, 1 - rate - ties / 2, ties])
    said = repeat(verdicts, agreement, n_kinds, rng)
    said[rng.random(n) < kindness] = 0
    table = pd.DataFrame({"prompt_id": np.arange(n), "model_a": "x", "model_b": "y"})
    return table.assign(winner=VERDICTS[said]), table.assign(winner=VERDICTS[verdicts])


def win_rate_run(n_human: int, n_judge: int, seed: int, *, ties: float, agreement: float, kindness: float = 0.0):
    """Whether the interval holds x's win rate of 0.6, whether the judge's own does, and the relative width."""
    rng = np.random.default_rng([n_human, n_judge, seed])
    judge, human = make_pairs(n_judge, 0.6, ties, agreement, rng, kindness)
    row = ppi_win_rate(judge, human.head(n_human)).set_index("model").loc["x"]
    alone = rl.rate(judge, baseline="y").set_index("model").loc["x"]
    held = row.win_rate_low <= 0.6 <= row.win_rate_high
    return held, alone.win_rate_low <= 0.6 <= alone.win_rate_high, row.width_ratio


def make_league(n_prompts: int, n_models: int, agreement: float, rng: np.random.Generator):
    """Verdicts on all pairs of `n_models` for each prompt: people's, and those of a simulated judge who likes m0.

    Returns
    -------
    judge, human : DataFrame
        Judgments tables; two pairs of one prompt are correlated, since models have good and bad prompts.
    """
    strength = np.linspace(-0.6, 0.6, n_models)
    first, second = np.triu_indices(n_models, 1)
    luck = rng.normal(0, 1.0, (n_prompts, n_models))
    edge = strength[first] - strength[second] + luck[:, first] - luck[:, second]
    verdicts = _verdicts(edge, rng)
    said = repeat(verdicts.ravel(), agreement / 0.96, 3, rng).reshape(verdicts.shape)
    said = np.where((first == 0) & (rng.random(said.shape) < 0.1), 0, said)
    names = np.array([f"m{k}" for k in range(n_models)])
    table = pd.DataFrame(
        {
            "prompt_id": np.repeat(np.arange(n_prompts), len(first)),
            "model_a": np.tile(names[first], n_prompts),
            "model_b": np.tile(names[second], n_prompts),
        }
    )
    return table.assign(winner=VERDICTS[said.ravel()]), table.assign(winner=VERDICTS[verdicts.ravel()])


def _verdicts(edge: NDArray, rng: np.random.Generator) -> NDArray:
    """Draw verdicts with ties (Rao and Kupper)."""
    draw = rng.random(edge.shape)
    a, b = expit(edge - 0.6), expit(-edge - 0.6)
    return np.where(draw < a, 0, np.where(draw < a + b, 1, 2))


def league_truth(n_models: int) -> pd.Series:
    """Ratings in points that people's verdicts on very many prompts come to, all pairs alike."""
    _, human = make_league(200_000 // n_models, n_models, 0.8, np.random.default_rng(0))
    score = human["winner"].map({"model_a": 1.0, "tie": 0.5, "model_b": 0.0})
    names = sorted(set(human["model_a"]) | set(human["model_b"]))
    wins = pd.DataFrame(0.0, index=names, columns=names)
    for (a, b), mean in score.groupby([human["model_a"], human["model_b"]]).mean().items():
        wins.loc[a, b], wins.loc[b, a] = mean, 1 - mean
    return pd.Series(1000 + 400 / np.log(10) * solve_bradley_terry(wins.to_numpy()), index=names)


def league_run(truth: pd.Series, n_human: int, n_judge: int, seed: int):
    """Share of ratings whose interval holds the truth, the same for the judge alone, and the mean relative width.

    People judge `n_human` pairs, two of each prompt; of those with m0 twice as many as the judge's mixture has.
    """
    rng = np.random.default_rng([n_human, n_judge, seed])
    n_models = len(truth)
    n_pairs = n_models * (n_models - 1) // 2
    judge, human = make_league(n_judge // n_pairs, n_models, 0.8, rng)
    odds = np.where(human["model_a"] == "m0", 2.0, 1.0) * rng.exponential(size=len(human)) ** -1
    chosen = human.assign(odds=odds).sort_values("odds", ascending=False).groupby("prompt_id").head(2)
    chosen = chosen[chosen["prompt_id"] < n_human // 2].drop(columns="odds")
    held, ratios = [], None
    for table in (ppi_rate(judge, chosen), rl.rate(judge)):
        ratios = ratios or table.attrs["width_ratio"]
        table = table.set_index("model")
        true = truth.loc[table.index]
        held.append(((table["ci_low"] <= true) & (true <= table["ci_high"])).mean())
    return held[0], held[1], ratios


def auto_j_run(data: rl.datasets.Dataset, judge: str, n_human: int, n_judge: int, seed: int):
    """Draw pairs of Auto-J with replacement; as `win_rate_run`, for 'response_1' (a place, not a model)."""
    rng = np.random.default_rng([n_human, n_judge, seed])
    code = data.judgments["winner"].map({"model_a": 0, "model_b": 1, "tie": 2}).to_numpy()
    rows = rng.integers(len(code), size=n_judge)
    said = length_verdicts(data)[rows] if judge == "length" else repeat(code[rows], float(judge), 3, rng)
    table = pd.DataFrame({"prompt_id": np.arange(n_judge), "model_a": "response_1", "model_b": "response_2"})
    human = table.assign(winner=VERDICTS[code[rows]]).head(n_human)
    row = ppi_win_rate(table.assign(winner=VERDICTS[said]), human).set_index("model").loc["response_1"]
    alone = rl.rate(table.assign(winner=VERDICTS[said]), baseline="response_2").set_index("model").loc["response_1"]
    truth = np.mean((code == 0) + 0.5 * (code == 2))
    held = row.win_rate_low <= truth <= row.win_rate_high
    return held, alone.win_rate_low <= truth <= alone.win_rate_high, row.width_ratio


def length_verdicts(data: rl.datasets.Dataset) -> NDArray:
    """Prefer the longer response, unless they are within a quarter of each other: a real judge, if a poor one."""
    length = data.responses.assign(n=data.responses["response"].str.len().clip(lower=1))
    wide = length.pivot_table(index="prompt_id", columns="model", values="n").loc[data.judgments["prompt_id"]]
    ratio = np.log(wide["response_1"] / wide["response_2"]).to_numpy()
    return np.where(np.abs(ratio) < np.log(1.25), 2, np.where(ratio > 0, 0, 1))


def summary(runs: list[tuple[float, float, float]]) -> str:
    """Columns of a table: coverage with its simulation error, the judge's own, and the mean relative width."""
    table = np.array(runs, dtype=float)
    error = 1.96 * table[:, 0].std() / np.sqrt(len(table))
    return f"{table[:, 0].mean():.1%} ± {error:.1%} | {table[:, 1].mean():.0%} | {table[:, 2].mean():.2f}"


def limit(agreement: float, ties: float, n_human: int, n_judge: int) -> float:
    """Least relative width in the world of `make_pairs` without kindness at a win rate of 0.6."""
    p = np.array([0.6 - ties / 2, 0.4 - ties / 2, ties])
    score, n_kinds = np.array([1.0, 0.0, 0.5]), 3 if ties else 2
    joint = np.diag(p * agreement)
    for i in range(n_kinds):
        for j in range(n_kinds):
            joint[i, j] += (i != j) * p[i] * (1 - agreement) / (n_kinds - 1)
    said = joint.sum(axis=0)
    cov = score @ joint @ score - (p @ score) * (said @ score)
    r2 = cov**2 / ((p @ score**2 - (p @ score) ** 2) * (said @ score**2 - (said @ score) ** 2))
    return float(np.sqrt(1 - r2 * (1 - n_human / n_judge)))


HEAD = "coverage at nominal 95% | judge alone holds the truth | width relative to people alone"


def win_rates(n: int) -> None:
    """Print the table of win rates of two models."""
    print(f"Win rate of one model over another, simulated, {n:,} simulations\n")
    print(f"| verdicts | agreement | people | judge | {HEAD} | least possible |\n{'| --- ' * 8}|")
    for ties, agreement, kindness in (
        (0.0, 0.8, 0.0),
        (0.26, 0.8, 0.0),
        (0.26, 0.8, 0.1),
        (0.26, 0.6, 0.0),
        (0.26, 1 / 3, 0.0),
    ):
        for n_human, n_judge in ((50, 1000), (100, 1000), (200, 2000), (200, 400)):
            world = {"ties": ties, "agreement": agreement, "kindness": kindness}
            runs = [win_rate_run(n_human, n_judge, seed, **world) for seed in range(n)]
            least = "" if kindness else f"{limit(agreement, ties, n_human, n_judge):.2f}"
            name = "26% ties" if ties else "no ties"
            bias = ", then 10% turned to x" if kindness else ""
            print(
                f"| {name} | {agreement:.0%}{bias} | {n_human} | {n_judge:,} | {summary(runs)} | {least} |", flush=True
            )


def ratings(n: int) -> None:
    """Print the table of ratings."""
    print(f"\nRatings of 4 models, simulated, {n:,} simulations, a judge that likes m0; pooled over models\n")
    print(f"| people | judge | {HEAD} |\n{'| --- ' * 5}|")
    truth = league_truth(4)
    for n_human, n_judge in ((100, 1200), (200, 2400), (400, 2400)):
        runs = [league_run(truth, n_human, n_judge, seed) for seed in range(n)]
        print(f"| {n_human} | {n_judge:,} | {summary(runs)} |", flush=True)


def auto_j(n: int) -> None:
    """Print the table of Auto-J."""
    data = rl.fetch_auto_j("pairs")
    agree = np.mean(VERDICTS[length_verdicts(data)] == data.judgments["winner"])
    print(f"\nAuto-J: n = {len(data.judgments):,} human verdicts, taken as the truth and drawn with replacement;")
    print(f"how often the first response wins; {n:,} draws. The longer response agrees with people on {agree:.0%}\n")
    print(f"| judge | people | judge | {HEAD} |\n{'| --- ' * 6}|")
    for judge, name in (("0.8", "simulated, agrees on 80%"), ("length", "real: the longer response")):
        for n_human, n_judge in ((50, 1000), (100, 1000), (200, 2000)):
            runs = [auto_j_run(data, judge, n_human, n_judge, seed) for seed in range(n)]
            print(f"| {name} | {n_human} | {n_judge:,} | {summary(runs)} |", flush=True)


def main() -> None:
    """Print the tables."""
    warnings.simplefilter("ignore", UserWarning)
    n = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    win_rates(n)
    ratings(n)
    auto_j(n)


if __name__ == "__main__":
    main()
