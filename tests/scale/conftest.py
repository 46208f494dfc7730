"""Worlds in memory, and the same in folders of Parquet files."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

HERE = {"n_workers": 0, "progress": False}
MODELS = ["small", "middle", "large"]


@dataclass
class World:
    """Frames of a world, and the folders that hold them."""

    folder: Path
    frames: dict[str, pd.DataFrame]

    def path(self, name: str) -> Path:
        return self.folder / name


def write(frame: pd.DataFrame, folder: Path, n_parts: int = 3, shuffled: int | None = None) -> None:
    folder.mkdir(parents=True)
    for number, rows in enumerate(np.array_split(np.arange(len(frame)), n_parts)):
        part = frame.iloc[rows]
        part = part if shuffled is None else part.sample(frac=1, random_state=shuffled)
        part.to_parquet(folder / f"part-{number}.parquet")


@pytest.fixture
def world(tmp_path):
    def make(n: int = 900, *, seed: int = 0, digits: int = 9, skew: float = 0.5, n_parts: int = 3) -> World:
        rng = np.random.default_rng(seed)
        index = pd.Index([f"p{k}" for k in range(n)], name="prompt_id")

        def frame(values):
            return pd.DataFrame(values, index=index, columns=MODELS)

        def costs():
            return frame((np.exp(skew * rng.normal(size=(n, 3))) * [0.001, 0.003, 0.01]).round(digits))

        quality = frame((rng.random((n, 3)) * 0.6 + [0.0, 0.2, 0.4]).round(digits))
        expected = frame((rng.random((n, 3)) * 0.3 + [0.2, 0.4, 0.6]).round(digits))
        frames = {
            "quality": quality,
            "cost": costs(),
            "expected_quality": expected,
            "expected_cost": costs(),
            "prompts": pd.DataFrame({"conversation": rng.integers(0, n // 3, n)}, index).assign(
                team=np.where(rng.random(n) < 0.3, "red", "blue")
            ),
        }
        made = World(tmp_path / f"world{seed}", frames)
        for name, table in frames.items():
            write(table, made.path(name), n_parts, shuffled=1 if name == "cost" else None)
        return made

    return make
