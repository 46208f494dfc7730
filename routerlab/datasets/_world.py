"""What a simulated routing problem is drawn from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from routerlab.datasets._dataset import stamp

TOKENS_MEDIAN, TOKENS_SPREAD = 150.0, 0.6
COST_SPREAD = 0.3
CONCENTRATION = 6.0
PROVENANCE = "simulated: make_routing_problem, known truth"


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
