"""Texts longer than a model's window: which they are, and how they are cut into windows."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

import numpy as np

from routerlab.embedding._models import ModelFiles, load_encoder

WINDOWS = ("first", "mean", "last")
_SHORT = 100  # bytes: no model's window is that small, so such texts need no tokenizer
_AT_ONCE = 256  # texts tokenized in one call, on all cores


def windows_of(texts: list[str], files: ModelFiles, device: str, window: str) -> tuple[dict[int, list[str]], int]:
    """Find the texts that are longer than the model's window, and cut them.

    Returns
    -------
    windows : dict of position in `texts` to list of str
        What to encode in place of each long text: itself for 'first' (the model keeps its beginning), its end for
        'last', pieces of like length for 'mean'.
    limit : int
        Tokens in a window, the special ones included; 0 if no text needed a look.
    """
    rows = [row for row, text in enumerate(texts) if len(text.encode()) > _SHORT]
    if not rows:
        return {}, 0
    tokenizer, limit = _tokenizer(files, device)
    room = limit - tokenizer.num_special_tokens_to_add(False) if tokenizer else 0
    if room < 1:
        return {}, 0
    rows = [row for row in rows if len(texts[row].encode()) > room]  # a token takes a byte or more
    found: dict[int, list[str]] = {}
    for start in range(0, len(rows), _AT_ONCE):
        some = rows[start : start + _AT_ONCE]
        for row, read in zip(
            some, tokenizer.encode_batch([texts[row] for row in some], add_special_tokens=False), strict=True
        ):
            if len(read.ids) > room:
                found[row] = _cut(texts[row], [begin for begin, _ in read.offsets], room, window)
    return found, limit


def _cut(text: str, begins: list[int], room: int, window: str) -> list[str]:
    """Cut a text, whose tokens begin at `begins`, at ends of words where there is one near."""
    if window == "first":
        return [text]
    n, near = len(begins), room // 10
    starts = np.array([b > 0 and (text[b].isspace() or text[b - 1].isspace()) for b in begins])
    if window == "last":
        first = n - room
        ahead = np.flatnonzero(starts[first : first + near])
        return [text[begins[first + int(ahead[0]) if len(ahead) else first] :]]
    n_windows = -(-n // (room - near))
    bounds = [0]
    for k in range(1, n_windows):
        bound = k * n // n_windows
        behind = np.flatnonzero(starts[bound - near + 1 : bound + 1])
        bounds.append(bound - near + 1 + int(behind[-1]) if len(behind) else bound)
    cuts = [0, *(begins[bound] for bound in bounds[1:]), len(text)]
    return [text[a:b] for a, b in zip(cuts[:-1], cuts[1:], strict=True) if text[a:b].strip()]


@functools.lru_cache(maxsize=2)
def _tokenizer(files: ModelFiles, device: str) -> tuple[Any, int]:
    """Return the model's tokenizer, which cuts nothing, and its window; (None, 0) if it has none.

    Read from the folder where it can be: a run whose vectors are all cached then needs no torch.
    """
    from tokenizers import Tokenizer

    folder = files.folder
    for part in _read(folder / "modules.json") or []:
        if part.get("idx") == 0:
            folder = folder / part.get("path", "")
    limit = _limit(folder)
    if (folder / "tokenizer.json").is_file() and limit:
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    else:
        encoder = load_encoder(files, device)
        fast = getattr(getattr(encoder, "tokenizer", None), "backend_tokenizer", None)
        limit = int(min(encoder.max_seq_length or 0, 2**31))
        if fast is None or not limit:
            return None, 0
        tokenizer = Tokenizer.from_str(fast.to_str())
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer, limit


def _limit(folder: Path) -> int:
    """Tokens that sentence-transformers reads of a text."""
    own = _read(folder / "sentence_bert_config.json").get("max_seq_length")
    if own:
        return int(own)
    sizes = [
        _read(folder / "tokenizer_config.json").get("model_max_length"),
        _read(folder / "config.json").get("max_position_embeddings"),
    ]
    return int(min((size for size in sizes if size), default=0)) if all(sizes) else 0


def _read(file: Path) -> Any:
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
