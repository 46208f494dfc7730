"""Intent accuracy over the 59 intents of Auto-J's train queries, 5 folds, everything refitted on each training part.

python benchmarks/embedding.py    needs the published files: ROUTERLAB_DATA, or a download of 3 MB

Settings were chosen with folds shuffled by seed 1; the table uses seed 0.
"""

from __future__ import annotations

import tempfile
import time

import numpy as np
import pandas as pd
from figures import record
from sklearn.model_selection import StratifiedKFold
from sklearn.neighbors import KNeighborsClassifier

import routerlab as rl

PROTOCOL = "5 stratified folds, seed 0; out of fold; 95% bootstrap intervals over prompts"


def main() -> None:
    """Print a table of embedders."""
    prompts = rl.fetch_auto_j("intents").prompts
    texts, intents = prompts["prompt"], prompts["intent"]
    embedders = {
        "MiniLM": rl.SentenceEmbedder(),
        "LsaEmbedder": rl.LsaEmbedder(),
        "IntentEmbedder on MiniLM's last layer": rl.IntentEmbedder(rl.SentenceEmbedder()),
        "IntentEmbedder": rl.IntentEmbedder(),
    }
    right = {name: np.zeros(len(prompts)) for name in embedders}
    for train, test in StratifiedKFold(5, shuffle=True, random_state=0).split(texts, intents):
        for name, embedder in embedders.items():
            known = embedder.fit_transform(texts.iloc[train], intents.iloc[train])
            model = KNeighborsClassifier(20, weights="distance").fit(known, intents.iloc[train])
            right[name][test] = model.predict(embedder.transform(texts.iloc[test])) == intents.iloc[test]
    rows = np.random.default_rng(0).integers(len(prompts), size=(2000, len(prompts)))
    print(f"n = {len(prompts):,} queries, {intents.nunique()} intents; kNN, k = 20, weighted by distance\n")
    print("| embedding | accuracy | minus MiniLM, points |\n| --- | --- | --- |")
    for name, hits in right.items():
        lead = 100 * (hits - right["MiniLM"])
        low, high = np.quantile(lead[rows].mean(axis=1), [0.025, 0.975])
        about = {"n": len(prompts), "protocol": PROTOCOL, "command": "python benchmarks/embedding.py"}
        record(f"embedding: intent accuracy, {name}", hits.mean(), **about)
        record(f"embedding: {name} less MiniLM", (lead.mean() / 100, low / 100, high / 100), **about)
        print(f"| {name} | {hits.mean():.1%} | {lead.mean():+.1f} [{low:+.1f}, {high:+.1f}] |", flush=True)
    speed(texts, intents)


def speed(texts: pd.Series, intents: pd.Series, n: int = 512) -> None:
    """Print prompts a second: compare the rows, machines differ."""
    some = texts.sample(n, random_state=0)
    rl.SentenceEmbedder(cache=False).transform(some.iloc[:8])  # loads the model
    print(f"\n{n} queries, {some.str.len().median():.0f} characters in the median, two threads\n")
    print("| transform | prompts a second |\n| --- | --- |")
    with tempfile.TemporaryDirectory() as folder:
        cached = rl.SentenceEmbedder(cache_dir=folder, show_progress=False)
        apart = rl.SentenceEmbedder(cache_dir=f"{folder}/apart", show_progress=False)
        for name, embedder in {
            "SentenceEmbedder, new texts": cached,
            "SentenceEmbedder, texts seen before": cached,
            "IntentEmbedder, base's texts seen before": rl.IntentEmbedder(apart).fit(some, intents.loc[some.index]),
            "LsaEmbedder": rl.LsaEmbedder().fit(some),
            "SurfaceFeatures": rl.SurfaceFeatures().fit(some),
        }.items():
            start = time.perf_counter()
            embedder.transform(some)
            print(f"| {name} | {n / (time.perf_counter() - start):,.0f} |", flush=True)


if __name__ == "__main__":
    main()
