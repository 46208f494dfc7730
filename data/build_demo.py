"""Build the simulated part of the demo data: ``demo/outcomes.csv``, ``demo/judgments.csv``, ``demo/provenance.json``.

    python data/build_demo.py            # write the files
    python data/build_demo.py --check    # rebuild in memory and compare, byte for byte
    python data/build_demo.py --vectors  # embed the prompts: routerlab/embedding/demo_vectors.npz (--check: compare)

No model was run for these tables. The process, its parameters and its sources are described in ``data/README.md``;
this file is the process. Two choices make it reproducible bit for bit:

- The only random numbers are uniform doubles of PCG64, one stream for each component; normals, choices and orders are
  made from them by inversion or sorting. NumPy may change how it draws those, not the doubles.
- Every figure is rounded to fixed decimals, far coarser than the last-bit differences of ``exp`` between processors,
  and the files are plain text: compressed bytes depend on the zlib that made them.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sqlite3
import sys
import tempfile
import warnings
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from demo_parameters import (
    AFFINITY_SD,
    BASELINE_WEIGHT,
    DOUBLE_SHARE,
    FAMILIES,
    FIRST_MONDAY,
    INTENTS,
    LANGUAGES,
    MODELS,
    N_PAIRS,
    PROMPT_SD,
    RATERS,
    RESPONSE_SD,
    WEEKS,
)
from numpy.typing import NDArray
from scipy.special import expit, ndtri

Array = NDArray[np.float64]

FOLDER = Path(__file__).parent / "demo"
VECTORS = Path(__file__).parents[1] / "routerlab" / "embedding" / "demo_vectors.npz"
LAYERS = (None, -2)  # what the README and the quickstart embed with
ASKED = ("How do I poach an egg without the white going everywhere?", "Poach an egg?", "How do I poach an egg?")
SEED = 20240207
PROVENANCE = f"simulated: routerlab demo, seed {SEED}, see data/README.md"
PROMPTS_SHA256 = "8411e0ac12e14779e42192b64d66000323024d60c7583eb9e8f443a9068663fe"

STREAMS = (
    *("prompt", "response", "affinity", "length", "verbosity", "latency"),
    *("pairs", "order", "rater", "double", "second", "vote", "lapse", "day", "clock"),
)


def uniform(stream: str, *shape: int) -> Array:
    """Draw doubles in [0, 1) from the stream of one component."""
    return np.random.Generator(np.random.PCG64([SEED, STREAMS.index(stream)])).random(shape)


def normal(stream: str, *shape: int) -> Array:
    """Draw standard normals, by inversion."""
    return np.asarray(ndtri(uniform(stream, *shape)))


def read_prompts(folder: Path = FOLDER) -> pd.DataFrame:
    """Read the prompts, and refuse others than those that the committed tables were built from."""
    text = (folder / "prompts.jsonl").read_bytes()
    if (found := hashlib.sha256(text).hexdigest()) != PROMPTS_SHA256:
        msg = (
            f"{folder / 'prompts.jsonl'} has sha256 {found}, expected {PROMPTS_SHA256}. If the prompts were changed "
            "on purpose, set PROMPTS_SHA256 in data/build_demo.py, build again, and bring data/README.md up to date."
        )
        raise ValueError(msg)
    return pd.DataFrame([json.loads(line) for line in text.decode().splitlines()])


def column(table: Mapping[str, tuple], keys: Iterable[str], field: str) -> Array:
    """Look up one field of a parameter table for each key."""
    if absent := set(keys) - set(table):
        msg = f"No {field!r} for {sorted(absent)}: add a row to data/demo_parameters.py; it has {list(table)}."
        raise ValueError(msg)
    return np.array([getattr(table[key], field) for key in keys], dtype=float)


def grade(latent: Array) -> Array:
    """Turn latent quality into steps of 0.1, as a judge with a ten-point scale gives it."""
    return np.round(10 * expit(latent)) / 10


def latent_quality(prompts: pd.DataFrame) -> Array:
    """Draw latent quality, shape (n_prompts, n_models), with intercepts such that mean grades are MT-Bench / 10."""
    n, models = len(prompts), tuple(MODELS)
    intents = sorted(INTENTS)
    family = [FAMILIES[INTENTS[i].family] for i in prompts["intent"]]
    easy = np.array([f.easy for f in family])
    gain = np.array([f.gain for f in family])
    affinity = AFFINITY_SD * normal("affinity", len(intents), len(models))
    distance = column(LANGUAGES, prompts["language"], "distance")
    without_intercept = (
        (easy + PROMPT_SD * normal("prompt", n))[:, None]
        + gain
        + affinity[[intents.index(i) for i in prompts["intent"]]]
        - column(MODELS, models, "slope") * (prompts["difficulty"].to_numpy()[:, None] - 3)
        - column(MODELS, models, "foreign") * distance[:, None]
        + RESPONSE_SD * normal("response", n, len(models))
    )
    return without_intercept + solve_intercepts(without_intercept, column(MODELS, models, "mt_bench") / 10)


def solve_intercepts(latent: Array, target: Array) -> Array:
    """Bisect for the intercept of each model at which its mean grade is the target."""
    low, high = np.full(len(target), -20.0), np.full(len(target), 20.0)
    for _ in range(60):
        middle = (low + high) / 2
        too_low = grade(latent + middle).mean(axis=0) < target
        low, high = np.where(too_low, middle, low), np.where(too_low, high, middle)
    return np.round(high, 6)


def build_outcomes(prompts: pd.DataFrame, latent: Array) -> pd.DataFrame:
    """Lay out quality, tokens, cost and latency, one row for each prompt and model."""
    n, models = len(prompts), tuple(MODELS)
    languages = prompts["language"]
    tokenizer = column(MODELS, models, "tokenizer")
    content = prompts["prompt"].str.len().to_numpy() / column(LANGUAGES, languages, "characters")
    n_in = np.round(content[:, None] * tokenizer) + 8  # 8: the chat template

    verbosity = column(MODELS, models, "characters") / MODELS["gpt-4"].characters
    own = (
        column(INTENTS, prompts["intent"], "base")
        * column(LANGUAGES, languages, "tokens")
        * np.exp(0.12 * (prompts["difficulty"].to_numpy() - 3) + 0.35 * normal("length", n))
    )
    copied = column(INTENTS, prompts["intent"], "copied") * content
    n_out = own[:, None] * verbosity * np.exp(0.45 * normal("verbosity", n, len(models))) + copied[:, None]
    n_out = np.clip(np.round(n_out * tokenizer), 4, 2000)

    cost = (column(MODELS, models, "usd_in") * n_in + column(MODELS, models, "usd_out") * n_out) / 1e6
    seconds = column(MODELS, models, "first_token_s") + n_out / column(MODELS, models, "tokens_per_s")
    latency = seconds * np.exp(0.25 * normal("latency", n, len(models)))
    return pd.DataFrame(
        {
            "prompt_id": np.repeat(prompts["prompt_id"].to_numpy(), len(models)),
            "model": np.tile(models, n),
            "quality": fixed(grade(latent), 1),
            "input_tokens": fixed(n_in, 0),
            "output_tokens": fixed(n_out, 0),
            "cost_usd": fixed(cost, 7),
            "latency_s": fixed(latency, 2),
        }
    )


def fixed(values: Array, decimals: int) -> list[str]:
    """Write numbers with fixed decimals, row by row."""
    return [f"{v:.{decimals}f}" for v in values.ravel()]


def choose_pairs(n_prompts: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Draw N_PAIRS different (prompt, model, model), pairs with the baseline more often (Efraimidis and Spirakis)."""
    pairs = np.array(list(combinations(range(len(MODELS)), 2)))
    weight = np.where(pairs[:, 0] == 0, BASELINE_WEIGHT, 1.0)
    key = np.log(uniform("pairs", n_prompts, len(pairs))) / weight
    chosen = np.argsort(-key, axis=None, kind="stable")[:N_PAIRS]
    prompt, pair = np.unravel_index(chosen, key.shape)
    return prompt, pairs[pair, 0], pairs[pair, 1]


def build_judgments(prompts: pd.DataFrame, latent: Array) -> pd.DataFrame:
    """Let the raters vote on pairs of responses, by the latent quality behind the outcomes."""
    prompt, left, right = choose_pairs(len(prompts))
    names = np.array(list(RATERS))
    start = np.cumsum(column(RATERS, names, "share"))[:-1]
    rater = np.searchsorted(start, uniform("rater", N_PAIRS), side="right")

    # The second rater of a pair is another one, equally likely to be any, who sees it in an order of its own.
    n_second = int(DOUBLE_SHARE * N_PAIRS)
    again = np.argsort(uniform("double", N_PAIRS), kind="stable")[:n_second]
    other = (rater[again] + 1 + np.floor((len(names) - 1) * uniform("second", n_second)).astype(int)) % len(names)
    votes = np.concatenate([np.arange(N_PAIRS), again])
    rater = np.concatenate([rater, other])
    swap = uniform("order", len(votes)) < 0.5
    a = np.where(swap, right[votes], left[votes])
    b = np.where(swap, left[votes], right[votes])

    table = pd.DataFrame(
        {
            "prompt_id": prompts["prompt_id"].to_numpy()[prompt[votes]],
            "model_a": np.array(list(MODELS))[a],
            "model_b": np.array(list(MODELS))[b],
            "winner": vote(latent[prompt[votes], a], latent[prompt[votes], b], names[rater]),
            "judge": names[rater],
            "judged_at": np.datetime_as_string(office_hours(len(votes)), unit="m", timezone="UTC"),
        }
    )
    return table.sort_values(["judged_at", "prompt_id", "judge"], kind="stable", ignore_index=True)


def vote(latent_a: Array, latent_b: Array, raters: NDArray[np.str_]) -> NDArray[np.str_]:
    """Draw Bradley-Terry votes with ties (Rao and Kupper), position bias, a floor for both_bad, and lapses."""
    for_a = column(RATERS, raters, "sharpness") * (latent_a - latent_b) + column(RATERS, raters, "position")
    tie = column(RATERS, raters, "tie")
    u = uniform("vote", len(raters))
    winner = np.where(u < expit(for_a - tie), "model_a", np.where(u >= expit(for_a + tie), "model_b", "tie"))
    best = np.maximum(grade(latent_a), grade(latent_b))
    winner = np.where(best <= column(RATERS, raters, "floor"), "both_bad", winner)
    lapse, blind = uniform("lapse", 2, len(raters))
    unread = np.array(["model_a", "model_b", "tie"])[np.floor(3 * blind).astype(int)]
    return np.where(lapse < column(RATERS, raters, "lapse"), unread, winner)


def office_hours(n: int) -> NDArray[np.datetime64]:
    """Draw minutes between 8:00 and 18:00 UTC on weekdays."""
    day = np.floor(5 * WEEKS * uniform("day", n)).astype(int)
    minute = 8 * 60 + np.floor(10 * 60 * uniform("clock", n)).astype(int)
    return np.datetime64(f"{FIRST_MONDAY}T00:00") + ((day // 5 * 7 + day % 5) * 1440 + minute).astype("timedelta64[m]")


def build(folder: Path = FOLDER) -> dict[str, bytes]:
    """Build every file in memory: name -> content."""
    prompts = read_prompts(folder)
    latent = latent_quality(prompts)
    tables = {"outcomes.csv": build_outcomes(prompts, latent), "judgments.csv": build_judgments(prompts, latent)}
    files = {name: table.to_csv(index=False, lineterminator="\n").encode() for name, table in tables.items()}
    sha256 = {"prompts.jsonl": PROMPTS_SHA256} | {n: hashlib.sha256(text).hexdigest() for n, text in files.items()}
    note = {"provenance": PROVENANCE, "seed": SEED, "built_by": "data/build_demo.py", "sha256": sha256}
    return files | {"provenance.json": (json.dumps(note, indent=2) + "\n").encode()}


def build_vectors(folder: Path = FOLDER) -> dict[str, NDArray[Any]]:
    """Embed the demo's prompts, and those that the notebooks ask about: keys and float16 vectors of each layer."""
    from routerlab.embedding import CutPromptsWarning, SentenceEmbedder

    texts = [*read_prompts(folder)["prompt"], *ASKED]
    arrays = {}
    for layer in LAYERS:
        with tempfile.TemporaryDirectory() as cache:
            for window in ("mean", "first"):  # long prompts have a vector of their own for each
                with warnings.catch_warnings(action="ignore", category=CutPromptsWarning):
                    embedder = SentenceEmbedder(layer=layer, window=window, cache_dir=cache)
                    embedder.transform(texts)
            with closing(sqlite3.connect(embedder.cache_path)) as connection:
                rows = connection.execute("SELECT key, vector FROM vectors ORDER BY key").fetchall()
        arrays[f"keys, layer {layer}"] = np.array([list(key) for key, _ in rows], dtype=np.uint8)
        arrays[f"layer {layer}"] = np.array([np.frombuffer(vector, "<f4") for _, vector in rows]).astype("<f2")
    return arrays


def check_vectors(arrays: Mapping[str, NDArray[Any]]) -> int:
    """Compare vectors with the committed ones: processors differ in the last bit of a float32, not more."""
    with np.load(VECTORS, allow_pickle=False) as committed:
        good = set(committed) == set(arrays) and all(
            committed[name].shape == array.shape and np.allclose(committed[name], array, atol=1e-3)
            for name, array in arrays.items()
        )
    print(f"{VECTORS.name}: {'equal to a fresh build' if good else 'differs from a fresh build'}")
    return 0 if good else 1


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the files, or compare them with a fresh build."""
    parser = argparse.ArgumentParser(description="Build the simulated part of the demo data.")
    parser.add_argument("--check", action="store_true", help="compare with the files instead of writing them")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where prompts.jsonl is (default: data/demo)")
    parser.add_argument("--vectors", action="store_true", help="the prompts' embeddings instead of the tables")
    options = parser.parse_args(arguments)
    if options.vectors:
        vectors = build_vectors(options.folder)
        if options.check:
            return check_vectors(vectors)
        np.savez(VECTORS, **vectors)
        print(f"wrote {VECTORS}")
        return 0
    files = build(options.folder)
    if not options.check:
        for name, content in files.items():
            (options.folder / name).write_bytes(content)
        print(f"wrote {', '.join(files)} to {options.folder}")
        return 0
    paths = {name: options.folder / name for name in files}
    differing = [name for name, path in paths.items() if not path.is_file() or path.read_bytes() != files[name]]
    if differing:
        print(f"differs from a fresh build: {', '.join(differing)}; build again with python data/build_demo.py")
        return 1
    print(f"{', '.join(files)}: equal to a fresh build, byte for byte")
    return 0


if __name__ == "__main__":
    sys.exit(main())
