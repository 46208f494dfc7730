"""Sentence models of BERT's kind by onnxruntime and tokenizers: the same vectors as torch, without loading it."""

import contextlib
import functools
import hashlib
import importlib.util
import json
import os
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from routerlab.exceptions import ParameterError
from routerlab.jsonl import replace_file

PACKAGES = ("onnx", "onnxruntime", "tokenizers", "safetensors")
_VERSION = 2  # of the graph below: raise it when the graph changes
# Tokens encoded in one call. What a layer holds of them stays in a core's cache: 512 is up to three times as quick as
# 64 long prompts at once.
_TOKENS = 512
_MICROSOFT = "com.microsoft"
_SIZES = (
    "vocab_size",
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "intermediate_size",
    "max_position_embeddings",
    "type_vocab_size",
)


def is_installed() -> bool:
    """Tell whether the packages of the ``onnx`` extra are there, without importing them."""
    return all(importlib.util.find_spec(name) for name in PACKAGES)


@functools.lru_cache(maxsize=8)
def why_not(folder: Path) -> str | None:
    """Say why a model's folder can't be run without torch, or return None.

    Only what is known to give sentence-transformers' own vectors is taken: BERT (MiniLM, BGE, E5, GTE), the mean of the
    tokens or the first one, and nothing behind it that is not undone by scaling to unit length.
    """
    parts = [str(part.get("type", "")).rsplit(".", 1)[-1] for part in read_json(folder / "modules.json") or []]
    if parts not in (["Transformer", "Pooling"], ["Transformer", "Pooling", "Normalize"]):
        return f"its modules are {parts or 'not listed in modules.json'}"
    config, pooling = _config(folder), _pooling(folder)
    wanted = {"model_type": "bert", "hidden_act": "gelu", "position_embedding_type": "absolute"}
    got = {"position_embedding_type": "absolute"} | config
    for name, value in wanted.items():
        if got.get(name) != value:
            return f"its {name} is {got.get(name)!r}, not {value!r}"
    if pooling not in ("mean", "cls"):
        return f"it pools tokens by {pooling}"
    if not all((transformer_folder(folder) / name).is_file() for name in ("model.safetensors", "tokenizer.json")):
        return "it holds no model.safetensors or no tokenizer.json"
    if read_json(transformer_folder(folder) / "sentence_bert_config.json").get("do_lower_case"):
        return "it turns texts into lower case first"
    if not window_of(transformer_folder(folder)):
        return "it does not say how many tokens it reads"
    if read_json(folder / "config_sentence_transformers.json").get("default_prompt_name"):
        return "it puts an instruction before each text"
    unsaid = [name for name in _SIZES if not isinstance(config.get(name), int)]
    if unsaid:
        return f"its config.json does not say {unsaid[0]}"
    kinds = _kinds_of_numbers(transformer_folder(folder) / "model.safetensors") - {"F32"}
    if kinds:  # torch computes in them, and rounds as it goes
        return f"its weights are {', '.join(sorted(kinds))}, not F32"
    return None


def _kinds_of_numbers(file: Path) -> set[str]:
    """Kinds of numbers of a model's weights, whole ones apart."""
    with _weights_of(file) as weights:
        kinds = {weights.get_slice(name).get_dtype() for name in weights.keys()}  # noqa: SIM118 - no mapping
    return {kind for kind in kinds if kind[0] not in "IU"}


def _weights_of(file: Path) -> Any:
    from safetensors import SafetensorError, safe_open

    try:
        return safe_open(file, framework="numpy")
    except (SafetensorError, OSError) as error:
        _refuse_damaged(file, error)


def _refuse_damaged(what: Any, error: Any) -> NoReturn:
    msg = f"{what}: damaged, or not what its name says ({error}). Download the model again, or correct that file."
    raise ParameterError(msg)


class OnnxEncoder:
    """Texts in, the vectors of one layer out.

    The graph is written once for each kind of model, layer and precision, into the user's cache. It holds no weights:
    they are read from the model's own file, whose sha256 is part of the graph's name.
    """

    def __init__(self, folder: Path, fingerprint: str, cache: Path, layer: int | None, int8: bool) -> None:
        config = _config(folder)
        n_layers = int(config["num_hidden_layers"])
        if (size := config["hidden_size"]) % (n_heads := config["num_attention_heads"]):
            why = f"hidden_size {size} can't be shared by {n_heads} attention heads"
            _refuse_damaged(transformer_folder(folder) / "config.json", why)
        depth = n_layers if layer is None else check_layer(layer, n_layers)
        pooling = _pooling(folder) if layer is None else "mean"
        graph = _kept_graph(config, depth, pooling, int8, fingerprint, cache)
        inner = transformer_folder(folder)
        weights = _weights(inner, depth, int8)
        try:
            self._session = _session(graph, weights)
        except Exception as error:  # noqa: BLE001 - onnxruntime's own have no common base
            _refuse_damaged(f"{inner / 'model.safetensors'} does not fit config.json", error)
        self._tokenizer, self._folder = read_tokenizer(inner / "tokenizer.json"), inner
        self._tokenizer.enable_truncation(window_of(inner))
        self._n_positions = int(config["max_position_embeddings"])
        self._tokenizer.no_padding()

    def encode(self, texts: list[str]) -> NDArray[np.float32]:
        """Return vectors of shape (n_texts, n_features), in the order of the texts, which are encoded by length."""
        read = self._tokenizer.encode_batch(texts)
        length = np.array([len(text.ids) for text in read])
        if length.max() > self._n_positions:
            msg = (
                f"{self._folder}: a text has {length.max()} tokens, and config.json has {self._n_positions} positions. "
                f"Set max_seq_length in sentence_bert_config.json to at most {self._n_positions}."
            )
            raise ParameterError(msg)
        order = np.argsort(length, kind="stable")
        parts = []
        for rows in _batches(order, length):
            ids = np.zeros((len(rows), length[rows[-1]]), dtype=np.int64)
            mask = np.zeros(ids.shape, dtype=np.int32)
            for place, row in enumerate(rows):
                ids[place, : length[row]], mask[place, : length[row]] = read[row].ids, 1
            parts.append(self._session.run(None, {"ids": ids, "mask": mask})[0])
        vectors = np.empty((len(texts), parts[0].shape[1]), dtype=np.float32)
        vectors[order] = np.concatenate(parts)
        return vectors


def check_layer(layer: int, n_layers: int) -> int:
    """Return the number of a layer counted from the bottom, or refuse one that the model has not."""
    if -n_layers - 1 <= layer <= n_layers:
        return layer % (n_layers + 1)
    msg = (
        f"The 'layer' parameter must lie in [{-n_layers - 1}, {n_layers}] for this model (0: token "
        f"embeddings, {n_layers} or -1: last layer). Got {layer} instead."
    )
    raise ParameterError(msg)


def _batches(order: NDArray[np.intp], length: NDArray[np.intp]) -> list[NDArray[np.intp]]:
    """Cut rows that are sorted by length into batches of at most `_TOKENS` tokens, padding counted."""
    batches, start = [], 0
    for end in range(1, len(order) + 1):
        if end == len(order) or (end + 1 - start) * length[order[end]] > _TOKENS:
            batches.append(order[start:end])
            start = end
    return batches


def _session(graph: bytes, weights: dict[str, NDArray[Any]]) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    if os.environ.get("OMP_NUM_THREADS", "").isdigit():  # as torch takes it
        options.intra_op_num_threads = int(os.environ["OMP_NUM_THREADS"])
    # Threads that spin while they wait take the core that the working one needs, on small machines.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    values = [onnxruntime.OrtValue.ortvalue_from_numpy(array) for array in weights.values()]
    options.add_external_initializers(list(weights), values)
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


def _weights(folder: Path, depth: int, int8: bool) -> dict[str, NDArray[Any]]:
    """Read the layers that are needed; matrices are turned, and rounded for int8, as the graph wants them."""
    found: dict[str, NDArray[Any]] = {}
    with _weights_of(folder / "model.safetensors") as file:
        names = {name.removeprefix("bert."): name for name in file.keys()}  # noqa: SIM118 - no mapping
        for short, name in names.items():
            place = short.split(".")
            if place[0] == "embeddings" and place[-1] in ("weight", "bias"):
                found[short] = file.get_tensor(name).astype(np.float32, copy=False)
            elif place[:2] == ["encoder", "layer"] and int(place[2]) < depth:
                values = file.get_tensor(name).astype(np.float32, copy=False)
                found |= _turned(short, values, int8) if values.ndim == 2 else {short: values}
    return found


def _turned(name: str, values: NDArray[np.float32], int8: bool) -> dict[str, NDArray[Any]]:
    values = np.ascontiguousarray(values.T)
    if not int8:
        return {name: values}
    scale = np.maximum(np.abs(values).max(axis=0), np.finfo(np.float32).tiny) / 127
    rounded = np.rint(values / scale).astype(np.int8)
    return {name: rounded, f"{name}.scale": scale, f"{name}.zero": np.zeros(len(scale), dtype=np.int8)}


def _kept_graph(config: Any, depth: int, pooling: str, int8: bool, fingerprint: str, cache: Path) -> bytes:
    """Return the graph from the cache, or make it; a file that is not what its name says is made again."""
    key = f"bert-{fingerprint[:16]}-{depth}-{pooling}{'-int8' if int8 else ''}-v{_VERSION}"
    for file in cache.glob(f"{key}-*.onnx"):
        graph = file.read_bytes() if file.is_file() else b""
        if file.stem == f"{key}-{hashlib.sha256(graph).hexdigest()[:16]}":
            return graph
    graph = bert_graph(config, depth, pooling, int8)
    # Nothing is lost where it cannot be kept: the next process makes it again, in a second.
    with contextlib.suppress(OSError):
        cache.mkdir(parents=True, exist_ok=True)
        replace_file(cache / f"{key}-{hashlib.sha256(graph).hexdigest()[:16]}.onnx", graph)
    return graph


def bert_graph(config: Any, depth: int, pooling: str, int8: bool) -> bytes:
    """Write BERT's first `depth` layers as ONNX: token ids and their mask in, a vector for each text out."""
    from onnx import TensorProto, helper

    graph = _Graph(config, int8)
    x = graph.embeddings()
    for k in range(depth):
        x = graph.layer(x, f"encoder.layer.{k}")
    graph.pooled(x, pooling)
    int64, float32 = TensorProto.INT64, TensorProto.FLOAT
    inputs = [
        helper.make_tensor_value_info("ids", int64, ["texts", "tokens"]),
        helper.make_tensor_value_info("mask", TensorProto.INT32, ["texts", "tokens"]),
    ]
    output = helper.make_tensor_value_info("vectors", float32, ["texts", config["hidden_size"]])
    made = helper.make_graph(graph.nodes, "bert", inputs, [output], graph.initializers)
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid(_MICROSOFT, 1)]
    return bytes(helper.make_model(made, opset_imports=opsets, ir_version=9).SerializeToString())


class _Graph:
    """Nodes and the names of weights, in the order in which they are computed."""

    def __init__(self, config: Any, int8: bool) -> None:
        self.nodes: list[Any] = []
        self.initializers: list[Any] = []
        self._config, self._int8 = config, int8
        self._made: set[str] = set()

    def add(self, op: str, inputs: list[str], output: str, domain: str = "", **attributes: Any) -> str:
        from onnx import helper

        self.nodes.append(helper.make_node(op, inputs, [output], domain=domain, **attributes))
        return output

    def weight(self, name: str, shape: list[int], kind: str = "FLOAT") -> str:
        """Name a weight whose values come from the model's own file."""
        from onnx import TensorProto

        tensor = TensorProto(name=name, data_type=TensorProto.DataType.Value(kind), dims=shape)
        tensor.data_location = TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value="model.safetensors")
        self.initializers.append(tensor)
        return name

    def constant(self, name: str, values: list[int]) -> str:
        return self.add("Constant", [], name, value_ints=values)

    def linear(self, x: str, name: str, n_in: int, n_out: int) -> str:
        weight, bias = f"{name}.weight", self.weight(f"{name}.bias", [n_out])
        if self._int8:
            rounded, size = self.rounded(x)
            self.weight(weight, [n_in, n_out], "INT8")
            scale, zero = self.weight(f"{weight}.scale", [n_out]), self.weight(f"{weight}.zero", [n_out], "INT8")
            parts = [rounded, weight, "per_step", scale, "middle", zero]
            product = self.add("MatMulIntegerToFloat", parts, f"{name}.steps", _MICROSOFT)
            return self.add("Add", [self.add("Mul", [product, size], f"{name}.product"), bias], name)
        return self.add(
            "Add", [self.add("MatMul", [x, self.weight(weight, [n_in, n_out])], f"{name}.product"), bias], name
        )

    def rounded(self, x: str) -> tuple[str, str]:
        """Round each token's row over its own range: what stands next to a text in a batch does not change it."""
        rounded, size = f"{x}.rounded", f"{x}.size"
        if rounded not in self._made:
            self._made.add(rounded)
            if len(self._made) == 1:
                self.number("tiny", np.float32(1e-30))
                self.number("per_step", np.float32(1 / 127))
                self.number("middle", np.uint8(128))
            largest = self.add(
                "ReduceMax", [self.add("Abs", [x], f"{x}.abs"), self.constant(f"{x}.axis", [-1])], f"{x}.largest"
            )
            self.add("Max", [largest, "tiny"], size)
            self.add("QuantizeLinear", [self.add("Div", [x, size], f"{x}.unit"), "per_step", "middle"], rounded)
        return rounded, size

    def number(self, name: str, value: Any) -> str:
        from onnx import numpy_helper

        return self.add("Constant", [], name, value=numpy_helper.from_array(np.asarray(value)))

    def norm(self, x: str, skipped: str, name: str) -> str:
        size = [self._config["hidden_size"]]
        parts = [
            self.add("Add", [x, skipped], f"{name}.sum"),
            *(self.weight(f"{name}.{p}", size) for p in ("weight", "bias")),
        ]
        return self.add("LayerNormalization", parts, name, axis=-1, epsilon=self._config["layer_norm_eps"])

    def embeddings(self) -> str:
        size, first = self._config["hidden_size"], "embeddings."
        tables = {
            "word": self._config["vocab_size"],
            "position": self._config["max_position_embeddings"],
            "token_type": self._config["type_vocab_size"],
        }
        word, position, kind = (self.weight(f"{first}{t}_embeddings.weight", [n, size]) for t, n in tables.items())
        zero = self.constant("zero", [0])
        n_tokens = self.add("Shape", ["ids"], "n_tokens", start=1, end=2)
        positions = self.add("Slice", [position, zero, n_tokens, zero], "positions")
        same = self.add("Add", [positions, self.add("Gather", [kind, zero], "kind")], "positions_and_kind")
        return self.norm(self.add("Gather", [word, "ids"], "words"), same, f"{first}LayerNorm")

    def layer(self, x: str, name: str) -> str:
        size, inner = self._config["hidden_size"], self._config["intermediate_size"]
        attended = [self.linear(x, f"{name}.attention.self.{part}", size, size) for part in ("query", "key", "value")]
        heads = self._config["num_attention_heads"]
        mixed = self.add("MultiHeadAttention", [*attended, "", "mask"], f"{name}.mixed", _MICROSOFT, num_heads=heads)
        out = self.linear(mixed, f"{name}.attention.output.dense", size, size)
        x = self.norm(out, x, f"{name}.attention.output.LayerNorm")
        wide = self.add("Gelu", [self.linear(x, f"{name}.intermediate.dense", size, inner)], f"{name}.gelu", _MICROSOFT)
        return self.norm(self.linear(wide, f"{name}.output.dense", inner, size), x, f"{name}.output.LayerNorm")

    def pooled(self, x: str, pooling: str) -> None:
        one = self.constant("one", [1])
        if pooling == "cls":
            self.add("Squeeze", [self.add("Slice", [x, "zero", one, one], "first"), one], "vectors")
            return
        from onnx import TensorProto

        real = self.add("Unsqueeze", [self.add("Cast", ["mask"], "real", to=TensorProto.FLOAT), one], "row")
        n_real = self.add("ReduceSum", [real, self.constant("two", [2])], "n_real", keepdims=1)
        mean = self.add("Div", [self.add("MatMul", [real, x], "total"), n_real], "mean")
        self.add("Squeeze", [mean, one], "vectors")


def transformer_folder(folder: Path) -> Path:
    """Return the folder of a sentence-transformers model that holds its transformer."""
    first: str = next((p.get("path", "") for p in read_json(folder / "modules.json") or [] if p.get("idx") == 0), "")
    return folder / first


def window_of(folder: Path) -> int:
    """Tokens that sentence-transformers reads of a text, or 0 if the transformer's folder does not say."""
    own = read_json(folder / "sentence_bert_config.json").get("max_seq_length")
    if own:
        return int(own)
    sizes = [
        read_json(folder / "tokenizer_config.json").get("model_max_length"),
        read_json(folder / "config.json").get("max_position_embeddings"),
    ]
    return int(min((size for size in sizes if size), default=0)) if all(sizes) else 0


def _config(folder: Path) -> Any:
    file = transformer_folder(folder) / "config.json"
    config = read_json(file)
    return config if isinstance(config, dict) else _refuse_damaged(file, f"it holds a {type(config).__name__}")


def _pooling(folder: Path) -> str:
    """How tokens become a vector: 'mean', 'cls', or what the configuration says instead."""
    path = next((p.get("path", "") for p in read_json(folder / "modules.json") or [] if p.get("idx") == 1), "")
    own = read_json(folder / path / "config.json")
    if "pooling_mode" in own:
        mode = own["pooling_mode"]
        return mode if isinstance(mode, str) else "+".join(mode)
    modes = [name.removeprefix("pooling_mode_") for name, on in own.items() if name.startswith("pooling_mode_") and on]
    return {"mean_tokens": "mean", "cls_token": "cls"}.get("+".join(modes), "+".join(modes) or "nothing known")


def read_json(file: Path) -> Any:
    """Read a configuration; one that is not there is empty."""
    try:
        return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    except ValueError as error:
        _refuse_damaged(file, error)


def read_tokenizer(file: Path) -> Any:
    """Read a tokenizer, or say that its file is damaged."""
    from tokenizers import Tokenizer

    try:
        return Tokenizer.from_file(str(file))
    except Exception as error:  # noqa: BLE001 - tokenizers raises no other
        _refuse_damaged(file, error)
