"""A routing problem whose truth is known, to test routers, savings, ratings and their intervals against."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from routerlab.datasets._dataset import long_table, stamp
from routerlab.schema import provenance_of, reject, shown

TOKENS_MEDIAN, TOKENS_SPREAD = 150.0, 0.6
COST_SPREAD = 0.3
CONCENTRATION = 6.0
PROVENANCE = "simulated: make_routing_problem, known truth"


@dataclass(frozen=True)
class Population:
    """What a fixed rule costs and achieves in the population, to hold intervals against.

    Attributes
    ----------
    saving : float
        1 - cost / baseline cost, as a fraction.
    quality_difference : float
        Mean quality minus the baseline's.
    cost_usd, baseline_cost_usd : float
        Mean USD per request.
    quality, baseline_quality : float
        Mean expected quality.
    n_prompts : int
        Prompts drawn for these means.
    """

    saving: float
    quality_difference: float
    cost_usd: float
    baseline_cost_usd: float
    quality: float
    baseline_quality: float
    n_prompts: int


@dataclass(frozen=True, eq=False, repr=False)
class RoutingProblem:
    """A sample of a simulated routing problem, and its truth. Made by `make_routing_problem`.

    Attributes
    ----------
    X : DataFrame of shape (n_prompts, n_features)
        Embeddings, float32, unit length, indexed by ``prompt_id``.
    prompts : DataFrame
        ``prompt``, ``intent``, ``n_tokens`` and ``difficulty``, indexed by ``prompt_id``.
    quality, cost : DataFrame of shape (n_prompts, n_models)
        Observed quality in [0, 1] and USD per request.
    expected_quality, expected_cost : DataFrame of shape (n_prompts, n_models)
        Their true expectations given the prompt.
    judgments : DataFrame of shape (votes, 4)
        Votes drawn from `ratings`, without ties: P(a beats b) = 1 / (1 + exp(rating_b - rating_a)).
    ratings : DataFrame of shape (n_intents, n_models)
        True Bradley-Terry ratings by intent: natural log-odds, mean 0 in each row. Times 400 / ln 10, they are Elo.
    baseline : str
        The dearest model.
    """

    X: pd.DataFrame
    prompts: pd.DataFrame
    quality: pd.DataFrame
    cost: pd.DataFrame
    expected_quality: pd.DataFrame
    expected_cost: pd.DataFrame
    judgments: pd.DataFrame
    ratings: pd.DataFrame
    baseline: str
    _world: World

    @property
    def models(self) -> list[str]:
        """Names of the models, dearest first."""
        return list(self._world.models)

    @cached_property
    def outcomes(self) -> pd.DataFrame:
        """Observed quality and cost as an outcomes table."""
        table = long_table(self.quality.index, self.models, quality=self.quality, cost_usd=self.cost)
        table.attrs.update(self.prompts.attrs)
        return table

    def sample(
        self, n_prompts: int = 1000, *, votes: int = 0, random_state: int | np.random.Generator | None = 0
    ) -> RoutingProblem:
        """Draw other prompts, outcomes and votes from the same population, with the same truth.

        Parameters
        ----------
        n_prompts : int, default 1000
            Prompts.
        votes : int, default 0
            Judgments.
        random_state : int, Generator or None, default 0
            Seed.

        Returns
        -------
        RoutingProblem
            A new sample; its ``prompt_id`` start from 0 again.

        Examples
        --------
        >>> problem = make_routing_problem(100, random_state=0)
        >>> problem.sample(50, random_state=1).ratings.equals(problem.ratings)
        True
        """
        return _sample(self._world, n_prompts, votes, np.random.default_rng(random_state))

    def population(
        self,
        rule: str | Callable[[RoutingProblem], Any],
        *,
        n_prompts: int = 200_000,
        random_state: int | np.random.Generator | None = 0,
    ) -> Population:
        """Return what a fixed rule saves and loses in the population.

        The rule's choices on freshly drawn prompts are scored with the true expectations, so the only error left is
        that of which prompts were drawn.

        Parameters
        ----------
        rule : str or callable
            A model for all prompts, or a function from a sample to one model name for each of its prompts, e.g.
            ``lambda sample: router.predict(sample.X)``.
        n_prompts : int, default 200_000
            Prompts to draw.
        random_state : int, Generator or None, default 0
            Seed.

        Returns
        -------
        Population
            Saving, quality difference and the means behind them.

        Raises
        ------
        TableError
            A choice that is not a model, or another number of choices than prompts.

        Examples
        --------
        >>> problem = make_routing_problem(100, random_state=0)
        >>> problem.population(problem.baseline, n_prompts=1000).saving
        0.0
        """
        drawn = self.sample(n_prompts, random_state=random_state)
        chosen = _positions(rule if isinstance(rule, str) else rule(drawn), drawn)
        rows, baseline = np.arange(n_prompts), drawn.models.index(drawn.baseline)
        cost, quality = drawn.expected_cost.to_numpy(), drawn.expected_quality.to_numpy()
        mean_cost, mean_quality = float(cost[rows, chosen].mean()), float(quality[rows, chosen].mean())
        base_cost, base_quality = float(cost[:, baseline].mean()), float(quality[:, baseline].mean())
        return Population(
            saving=1.0 - mean_cost / base_cost,
            quality_difference=mean_quality - base_quality,
            cost_usd=mean_cost,
            baseline_cost_usd=base_cost,
            quality=mean_quality,
            baseline_quality=base_quality,
            n_prompts=n_prompts,
        )

    def __repr__(self) -> str:
        """Sizes, and that it is simulated."""
        (n_prompts, n_features), (n_intents, n_models) = self.X.shape, self.ratings.shape
        return (
            f"RoutingProblem: {n_prompts:,} prompts in {n_intents} intents, {n_features} features, {n_models} models, "
            f"{len(self.judgments):,} votes; baseline {self.baseline}; {provenance_of(self.prompts)}"
        )


def make_routing_problem(
    n_prompts: int = 1000,
    n_models: int = 4,
    n_features: int = 16,
    n_intents: int = 8,
    *,
    noise: float = 0.5,
    affinity: float = 0.7,
    quality: str = "bernoulli",
    votes: int = 0,
    random_state: int | np.random.Generator | None = 0,
) -> RoutingProblem:
    """Make a routing problem with known truth.

    Parameters
    ----------
    n_prompts : int, default 1000
        Prompts.
    n_models : int, default 4
        Models, at least 2: 'model-0' is the dearest and on average the best, and the baseline. Mean costs fall in equal
        ratios from $0.03 to $0.0003 per request.
    n_features : int, default 16
        Width of the embeddings, at least 2.
    n_intents : int, default 8
        Intents, equally likely; each has a random direction in embedding space.
    noise : float, default 0.5
        Spread of prompts about their intent's direction, whose length is 1. At 0, prompts of an intent coincide.
    affinity : float, default 0.7
        Standard deviation, in log-odds, of what a model's skill gains or loses by intent. At 0, one order of the models
        holds everywhere, and the pooled Bradley-Terry ratings are those of each intent.
    quality : {'bernoulli', 'beta'}, default 'bernoulli'
        Observed quality: right or wrong, or continuous with the same mean.
    votes : int, default 0
        Judgments: a random prompt, a random pair of models in random order, a winner drawn from exactly the
        Bradley-Terry model of the prompt's intent.
    random_state : int, Generator or None, default 0
        Seed of the population and the sample. `RoutingProblem.sample` draws further samples of one population.

    Returns
    -------
    RoutingProblem
        Embeddings, tables, and the truth behind them; marked as simulated.

    Raises
    ------
    TableError
        A size that is too small, or an unknown kind of quality.

    Notes
    -----
    The expected quality of model m on prompt x of intent t is logistic(skill[t, m] - hardness . x). Costs are
    log-normal: mean price of the model, times the prompt's length over the mean length, times noise of mean 1.

    Examples
    --------
    >>> problem = make_routing_problem(500, n_models=3, votes=200, random_state=0)
    >>> problem
    RoutingProblem: 500 prompts in 8 intents, 16 features, 3 models, 200 votes; baseline model-0; simulated: ...
    >>> cheap = problem.population("model-2", n_prompts=10_000)
    >>> round(cheap.saving, 2)
    0.99
    """
    sizes = {"n_models": (n_models, 2), "n_features": (n_features, 2), "n_intents": (n_intents, 1)}
    for name, (value, low) in {**sizes, "noise": (noise, 0), "affinity": (affinity, 0)}.items():
        if not value >= low:
            reject(f"make_routing_problem, '{name}'", f"must be at least {low}, got {value}.", "Pass a larger number.")
    if quality not in ("bernoulli", "beta"):
        reject("make_routing_problem, 'quality'", f"got {quality!r}.", "Pass 'bernoulli' or 'beta'.")
    rng = np.random.default_rng(random_state)
    rank = np.linspace(0.0, 1.0, n_models)
    centres = rng.standard_normal((n_intents, n_features))
    hardness = rng.standard_normal(n_features)
    world = World(
        models=tuple(f"model-{i}" for i in range(n_models)),
        centres=centres / np.linalg.norm(centres, axis=1, keepdims=True),
        skill=1.8 - 2.0 * rank + affinity * rng.standard_normal((n_intents, n_models)),
        hardness=1.5 * hardness / np.linalg.norm(hardness),
        price=0.03 * 0.01**rank,
        noise=noise,
        quality=quality,
    )
    return _sample(world, n_prompts, votes, rng)


def _sample(world: World, n_prompts: int, votes: int, rng: np.random.Generator) -> RoutingProblem:
    if n_prompts < 1 or votes < 0:
        got = f"got n_prompts={n_prompts} and votes={votes}."
        reject("routing problem", got, "Ask for at least 1 prompt and 0 votes.")
    return RoutingProblem(**world.draw(n_prompts, votes, rng), baseline=world.models[0], _world=world)


def _positions(choices: str | Sequence[str] | pd.Series, drawn: RoutingProblem) -> NDArray[np.int64]:
    """Column of each prompt's choice."""
    if isinstance(choices, str):
        choices = [choices] * len(drawn.X)
    elif isinstance(choices, pd.Series):
        choices = choices.reindex(drawn.X.index)
    names = pd.Series(np.asarray(choices, dtype=object))
    found = pd.Index(drawn.models).get_indexer(names)
    if len(names) != len(drawn.X) or (found < 0).any():
        wrong = f"{len(names)} choices for {len(drawn.X)} prompts"
        if (found < 0).any():
            wrong = f"{shown(names[found < 0].unique())} is not one of the models"
        reject("population, 'rule'", f"{wrong}.", f"Return one of {shown(drawn.models)} for each prompt.")
    return found


@dataclass(frozen=True, eq=False, repr=False)
class World:
    """What prompts, models and raters are drawn from; the same for every sample of a problem."""

    models: tuple[str, ...]
    centres: NDArray[np.float64]  # (n_intents, n_features), unit length
    skill: NDArray[np.float64]  # (n_intents, n_models), log-odds of a good answer at difficulty 0
    hardness: NDArray[np.float64]  # (n_features,), log-odds lost along X
    price: NDArray[np.float64]  # (n_models,), mean USD per request
    noise: float
    quality: str

    @property
    def ratings(self) -> NDArray[np.float64]:
        """True Bradley-Terry ratings of shape (n_intents, n_models): natural log-odds, mean 0 in each row."""
        return self.skill - self.skill.mean(axis=1, keepdims=True)

    def draw(self, n_prompts: int, votes: int, rng: np.random.Generator) -> dict[str, pd.DataFrame]:
        """Draw the frames of a `RoutingProblem`."""
        from scipy.special import expit

        n_intents = len(self.centres)
        intent = rng.integers(n_intents, size=n_prompts)
        x = self._embeddings(intent, rng)
        difficulty = x @ self.hardness
        tokens = rng.lognormal(np.log(TOKENS_MEDIAN), TOKENS_SPREAD, n_prompts)
        relative_length = tokens / (TOKENS_MEDIAN * np.exp(TOKENS_SPREAD**2 / 2))
        expected_quality = expit(self.skill[intent] - difficulty[:, None])
        expected_cost = self.price * relative_length[:, None]
        cost = expected_cost * rng.lognormal(-(COST_SPREAD**2) / 2, COST_SPREAD, expected_cost.shape)

        ids = pd.Index([f"p{i}" for i in range(n_prompts)], dtype=object, name="prompt_id")
        columns = pd.Index(self.models, dtype=object, name="model")
        intents = np.array([f"intent-{t}" for t in range(n_intents)], dtype=object)
        prompts = {
            "prompt": [f"simulated prompt {i} of intent-{t}" for i, t in enumerate(intent.tolist())],
            "intent": intents[intent],
            "n_tokens": tokens,
            "difficulty": difficulty,
        }
        matrices = {
            "quality": self._quality(expected_quality, rng),
            "cost": cost,
            "expected_quality": expected_quality,
            "expected_cost": expected_cost,
        }
        frames = {
            "X": pd.DataFrame(x, index=ids),
            "prompts": pd.DataFrame(prompts, index=ids),
            **{name: pd.DataFrame(values, index=ids, columns=columns) for name, values in matrices.items()},
            "judgments": self._votes(ids, intent, votes, rng),
            "ratings": pd.DataFrame(self.ratings, index=pd.Index(intents, name="intent"), columns=columns),
        }
        stamp(PROVENANCE, *frames.values())
        return frames

    def _embeddings(self, intent: NDArray[Any], rng: np.random.Generator) -> NDArray[np.float32]:
        n_features = self.centres.shape[1]
        spread = self.noise / np.sqrt(n_features) * rng.standard_normal((len(intent), n_features))
        x = self.centres[intent] + spread
        return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)

    def _quality(self, expected: NDArray[Any], rng: np.random.Generator) -> NDArray[np.float64]:
        if self.quality == "bernoulli":
            return (rng.random(expected.shape) < expected).astype(float)
        return rng.beta(CONCENTRATION * expected, CONCENTRATION * (1.0 - expected))

    def _votes(self, ids: pd.Index, intent: NDArray[Any], votes: int, rng: np.random.Generator) -> pd.DataFrame:
        from scipy.special import expit

        models = np.array(self.models, dtype=object)
        row = rng.integers(len(ids), size=votes)
        a = rng.integers(len(models), size=votes)
        b = (a + rng.integers(1, len(models), size=votes)) % len(models)
        rating_a, rating_b = self.ratings[intent[row], a], self.ratings[intent[row], b]
        a_wins = rng.random(votes) < expit(rating_a - rating_b)
        winner = np.where(a_wins, "model_a", "model_b")
        columns = {"prompt_id": ids[row], "model_a": models[a], "model_b": models[b], "winner": winner}
        return pd.DataFrame(columns)
