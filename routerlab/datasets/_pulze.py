"""Pulze's example: ten points with embeddings and the targets that they favour."""

import numpy as np
import pandas as pd

from routerlab.datasets._dataset import Dataset, stamp
from routerlab.datasets._files import json_lines, malformed, read_published, registry

FOLDER = "pulzeai-oss/knn-router/deploy/docker-compose/data"


def fetch_pulze_example() -> Dataset:
    """Fetch the example of Pulze's knn-router: ten prompts in two intents, embedded, with the targets' scores.

    Read from the folder that ``ROUTERLAB_DATA`` names (laid out ``<owner>/<repository>/<path>``) if it holds the
    files, else from the cache, else downloaded into the cache (54 kB).

    Returns
    -------
    Dataset
        ``prompts`` with ``intent``; ``extra["embeddings"]``, float32 of shape (10, 384), unit length, indexed by
        ``prompt_id``; ``extra["scores"]`` of shape (10, 2), one column for each target, empty where a point has none
        (Pulze's formula counts it as 0).

    Raises
    ------
    DataFileError
        A file that is absent with no network, or is not what was published.

    References
    ----------
    https://github.com/pulzeai-oss/knn-router

    Examples
    --------
    >>> fetch_pulze_example().extra["embeddings"].shape  # doctest: +SKIP
    (10, 384)
    """
    files = [registry()[f"{FOLDER}/{name}.jsonl"] for name in ("points", "targets")]
    texts = read_published(files, "Pulze example")
    points = json_lines(texts[0], files[0], ["point_uid", "category", "utterance", "embedding"])
    targets = pd.DataFrame(json_lines(texts[1], files[1], ["point_uid", "target", "score"]))
    index = pd.Index([p["point_uid"] for p in points], name="prompt_id")
    prompts = pd.DataFrame(
        {"prompt": [p["utterance"] for p in points], "intent": [p["category"] for p in points]}, index=index
    )
    try:
        embeddings = pd.DataFrame(np.array([p["embedding"] for p in points], dtype=np.float32), index=index)
    except ValueError as error:
        raise malformed(files[0], f"'embedding' should hold as many numbers in each row ({error})") from error
    unknown = targets.loc[~targets["point_uid"].isin(index), "point_uid"]
    if len(unknown) or targets.duplicated(["point_uid", "target"]).any():
        raise malformed(files[1], "a 'point_uid' is not among the points, or has a target twice")
    scores = targets.pivot_table(index="point_uid", columns="target", values="score").reindex(index)
    scores.index.name = "prompt_id"
    stamp(f"published: Pulze example (pulzeai-oss/knn-router@{files[0].commit[:7]})", prompts, embeddings, scores)
    return Dataset(
        "Pulze example",
        prompts,
        extra={"embeddings": embeddings, "scores": scores},
        description="Ten prompts in two intents with bge-small embeddings and the score of each target",
        source=f"https://github.com/pulzeai-oss/knn-router/tree/{files[0].commit}/deploy/docker-compose/data",
        licence="Apache-2.0",
        citation="Pulze.ai (2024), knn-router, https://github.com/pulzeai-oss/knn-router",
    )
