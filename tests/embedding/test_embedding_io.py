"""Saved embedders: the same vectors come back, nothing is unpickled, and a damaged file says so."""

from __future__ import annotations

import json
import os
import zipfile

import numpy as np
import pandas as pd
import pytest
from sklearn.feature_extraction.text import HashingVectorizer

import routerlab as rl
from routerlab.embedding import IntentEmbedder, LsaEmbedder, OutcomeEmbedder, SentenceEmbedder, SurfaceFeatures

TEXTS = [f"{verb} {thing}" for verb in ("Poach", "Fix", "Write") for thing in ("an egg", "my SQL", "ünïcode 卵")]
PROMPTS = pd.DataFrame({"prompt": TEXTS}, index=[f"p{i}" for i in range(9)])
INTENTS = pd.Series(["cook", "code", "text"] * 3, index=PROMPTS.index)
X = LsaEmbedder(4).fit_transform(PROMPTS)
QUALITY = pd.DataFrame({"small": np.linspace(0, 1, 9), "large": np.linspace(1, 0.2, 9)}, index=X.index)

FITTED = {
    "LsaEmbedder": (LsaEmbedder(4).fit(PROMPTS), PROMPTS),
    "SurfaceFeatures": (SurfaceFeatures(limit=2.0).fit(PROMPTS), PROMPTS),
    "OutcomeEmbedder": (OutcomeEmbedder(weight=0.5).fit(X, QUALITY), X),
    "IntentEmbedder of texts": (IntentEmbedder(LsaEmbedder(4)).fit(PROMPTS, INTENTS), PROMPTS),
    "IntentEmbedder of embeddings": (IntentEmbedder().fit(X, INTENTS), X),
    "numbers as intents": (IntentEmbedder().fit(X, INTENTS.map({"cook": 1, "code": 2, "text": 3})), X),
    "intents that are objects": (IntentEmbedder().fit(X, INTENTS.astype(object)), X),
}


@pytest.mark.parametrize("name", FITTED)
def test_what_was_saved_comes_back_bit_for_bit(name, tmp_path):
    embedder, given = FITTED[name]
    path = embedder.save(tmp_path / "embedder")
    assert path.name == "embedder.npz" and os.listdir(tmp_path) == ["embedder.npz"]
    for found in (rl.load_embedder(path), rl.load_embedder(tmp_path / "embedder")):
        assert type(found) is type(embedder)
        assert str(found.get_params()) == str(embedder.get_params())
        pd.testing.assert_frame_equal(found.transform(given), embedder.transform(given), rtol=0, atol=0)
        assert found.get_feature_names_out().tolist() == embedder.get_feature_names_out().tolist()


def test_an_embedder_that_is_not_fitted_is_saved_by_its_parameters(tmp_path):
    embedder = SentenceEmbedder(layer=-2, window="mean", cache_dir=tmp_path, batch_size=np.int64(8))
    found = rl.load_embedder(embedder.save(tmp_path / "s"))
    assert found.get_params() == {**embedder.get_params(), "cache_dir": str(tmp_path)}
    nested = rl.load_embedder(IntentEmbedder(embedder, shrinkage=0.25).save(tmp_path / "s"))
    assert nested.base.layer == -2 and nested.shrinkage == 0.25


def test_a_failed_save_leaves_the_old_file(tmp_path):
    embedder, given = FITTED["LsaEmbedder"]
    embedder.save(tmp_path / "e")
    strange = IntentEmbedder(HashingVectorizer())
    with pytest.raises(TypeError, match=r"IntentEmbedder.base can't be saved.*only pickle"):
        strange.save(tmp_path / "e")
    assert os.listdir(tmp_path) == ["e.npz"]
    pd.testing.assert_frame_equal(rl.load_embedder(tmp_path / "e").transform(given), embedder.transform(given))


def rewritten(path, change):
    """Write the file again with its members as `change` returns them."""
    with zipfile.ZipFile(path) as file:
        members = {name: file.read(name) for name in file.namelist()}
    with np.load(path) as file:
        header = json.loads(str(file["header"]))
    members = change(members, header)
    with zipfile.ZipFile(path, "w") as file:
        for name, content in members.items():
            file.writestr(name, content)


def npy(value) -> bytes:
    import io

    stream = io.BytesIO()
    np.save(stream, value, allow_pickle=True)
    return stream.getvalue()


def with_header(**changes):
    return lambda members, header: {**members, "header.npy": npy(np.array(json.dumps({**header, **changes})))}


def other_kind(members, header):
    header["embedder"]["estimator"] = "Pipeline"
    return {**members, "header.npy": npy(np.array(json.dumps(header)))}


def other_attribute(members, header):
    header["embedder"]["learned"]["transform"] = {"plain": 1}
    return {**members, "header.npy": npy(np.array(json.dumps(header)))}


def only_ridge(members, header):
    ridge = {"estimator": "RidgeCV", "params": {}, "learned": {}}
    return {"header.npy": npy(np.array(json.dumps({"format": 1, "embedder": ridge})))}


def first_array(members):
    return next(name for name in members if name != "header.npy")


DAMAGES = {
    "newer": (with_header(format=99), "format 99.*Upgrade"),
    "another kind": (other_kind, "Pipeline"),
    "another attribute": (other_attribute, "transform"),
    "no embedder": (only_ridge, "RidgeCV is not an embedder"),
    "a member more": (lambda members, header: {**members, "more.npy": npy(np.ones(2))}, "declares"),
    "a member less": (lambda m, header: {k: v for k, v in m.items() if k != first_array(m)}, "declares"),
    "a pickle": (lambda m, header: {**m, first_array(m): npy(np.array([{"a": 1}], dtype=object))}, "damaged"),
    "a longer array": (lambda m, header: {**m, first_array(m): npy(np.ones(10**5))}, "larger than it declares"),
    "another shape": (lambda m, header: {**m, first_array(m): npy(np.ones(1))}, "not what it declares"),
    "half a file": (None, "damaged"),
    "text": (None, "damaged"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_file_that_is_not_whole_is_refused(damage, tmp_path):
    path = FITTED["IntentEmbedder of texts"][0].save(tmp_path / "e")
    change, message = DAMAGES[damage]
    if change:
        rewritten(path, change)
    else:
        path.write_bytes(path.read_bytes()[:500] if damage == "half a file" else b"not an archive")
    with pytest.raises(ValueError, match=message):
        rl.load_embedder(path)
