"""The door of every embedder: prompts in, frame out."""

from collections.abc import Hashable, Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from routerlab.schema import (
    as_pandas,
    by_prompt,
    check_embeddings,
    check_prompts,
    id_remedy,
    not_text,
    provenance_of,
    reject,
    shown,
    text_remedy,
    unit_rows,
)

_CJK = "\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af"
# Words; single characters of scripts that are written without spaces; punctuation marks.
TOKEN = rf"[{_CJK}]|[^\W{_CJK}]+|[^\w\s]"


def check_texts(X: Any) -> pd.Series:
    """Return prompts as a Series of text, index kept, or name the ids of what is not text.

    A DataFrame is read by its column ``prompt``, or is one column wide; a list is numbered from 0. The index is named
    ``prompt_id`` if it had no name.

    Examples
    --------
    >>> check_texts(["Poach an egg?"]).index.name
    'prompt_id'
    """
    texts = _series(X)
    if not len(texts):
        reject("prompts", "got none.", "Pass at least one; check the split that you selected.")
    bad = not_text(texts)
    if bad.any():
        wrong = f"empty or not text for {shown(texts.index[bad])} (got {shown(texts[bad])})."
        reject("prompts", wrong, text_remedy(texts[bad]))
    broken = texts.map(_is_broken).to_numpy(dtype=bool)
    if broken.any():
        wrong = f"hold half of a surrogate pair (a broken emoji, say) for {shown(texts.index[broken])}."
        reject("prompts", wrong, "Repair them with text.encode('utf-8', 'replace').decode().")
    texts.index.name = texts.index.name or "prompt_id"
    return texts


def _series(X: Any) -> pd.Series:
    X = as_pandas(X)
    if isinstance(X, pd.DataFrame):
        if "prompt" in X:
            frame = check_prompts(X) if "prompt_id" in X else X
            return frame["prompt"].astype(object)
        if X.shape[1] != 1:
            reject("prompts", f"got columns {shown(X.columns)}, expected 'prompt'.", "Pass frame['prompt'].")
        return X.iloc[:, 0].astype(object)
    if isinstance(X, pd.Series):
        return X.astype(object)
    if isinstance(X, str) or not isinstance(X, Iterable):
        reject("prompts", f"expected a Series or list of texts, got {type(X).__name__}.", "Wrap one prompt in a list.")
    values = np.empty(len(items := list(X)), dtype=object)
    for row, item in enumerate(items):
        values[row] = item[0] if isinstance(item, np.ndarray) and item.shape == (1,) else item
    return pd.Series(values, dtype=object)


def _is_broken(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return True
    return False


def excerpt(text: str, limit: int) -> str:
    """Return the first and the last half of `limit` characters of a longer text.

    Examples
    --------
    >>> excerpt("0123456789", 4)
    '01 89'
    """
    return text if len(text) <= limit else f"{text[: limit // 2]} {text[len(text) - limit // 2 :]}"


def fit_tfidf(texts: list[str], *, min_df: int, **parameters: Any) -> Any:
    """Fit TF-IDF without the n-grams of fewer than `min_df` texts, or with all if no other is left.

    Examples
    --------
    >>> fit_tfidf(["a b", "c d"], min_df=2, token_pattern=TOKEN).get_feature_names_out().tolist()
    ['a', 'b', 'c', 'd']
    """
    from sklearn.feature_extraction.text import TfidfVectorizer

    parameters |= {"sublinear_tf": True, "dtype": np.float32}
    try:
        return TfidfVectorizer(min_df=min_df, **parameters).fit(texts)
    except ValueError:  # "no terms remain"
        return TfidfVectorizer(min_df=1, **parameters).fit(texts)


def as_frame(values: NDArray[Any], texts: pd.Series, columns: Iterable[Hashable], embedder: str) -> pd.DataFrame:
    """Put float32 values in a frame that keeps the prompts' index and says which embedder made it.

    Examples
    --------
    >>> as_frame(np.ones((1, 1)), check_texts(["a"]), ["x"], "toy").attrs
    {'embedder': 'toy'}
    """
    frame = pd.DataFrame(values.astype(np.float32, copy=False), index=texts.index, columns=list(columns))
    frame.attrs["embedder"] = embedder
    if provenance := provenance_of(texts):
        frame.attrs["provenance"] = provenance
    return frame


def reads_text(tags: Any, *, requires_fit: bool = True) -> Any:
    """Mark scikit-learn's tags of an estimator whose input is a column of text."""
    tags.requires_fit = requires_fit
    tags.input_tags.string = True
    tags.input_tags.one_d_array = True
    return tags


def join_embeddings(*frames: pd.DataFrame, weights: Sequence[float] | None = None) -> pd.DataFrame:
    """Join embeddings of the same prompts side by side, weighted, rows scaled to unit length.

    The cosine similarity of two joined rows is the mean of the parts' cosine similarities, weighted
    by the squares of `weights`.

    Parameters
    ----------
    *frames : DataFrame of shape (n_prompts, n_features_i)
        Embeddings with unit rows and the same ``prompt_id`` in the same or another order.
    weights : sequence of float, optional
        One for each frame, above 0; 1 each by default.

    Returns
    -------
    DataFrame of shape (n_prompts, sum of n_features_i)
        float32, rows of unit length, the index of the first frame.

    Raises
    ------
    TableError
        Prompts in one frame and not in another, or columns of the same name.

    Examples
    --------
    >>> a, b = pd.DataFrame({"x": [1.0]}, index=["p"]), pd.DataFrame({"y": [1.0]}, index=["p"])
    >>> join_embeddings(a, b, weights=[3, 4])
         x    y
    p  0.6  0.8
    """
    weights = [1.0] * len(frames) if weights is None else list(weights)
    if not frames or len(weights) != len(frames) or not all(np.isfinite(w) and w > 0 for w in weights):
        reject("'weights'", f"got {weights} for {len(frames)} frames.", "Pass one number above 0 for each frame.")
    frames = tuple(by_prompt(frame) for frame in frames)
    first = frames[0]
    for other in frames[1:]:
        odd = first.index.symmetric_difference(other.index)
        if len(odd) or not first.index.is_unique or not other.index.is_unique:
            reject(
                "embeddings to join",
                f"their prompt ids differ or appear twice: {shown(odd)}.",
                id_remedy(first.index, other.index, ("one", "another"), "Embed the same prompts with each embedder."),
            )
    names = pd.Index([name for frame in frames for name in frame.columns])
    if not names.is_unique:
        reject("embeddings to join", f"column {shown(names[names.duplicated()])} appears twice.", "Rename it.")
    parts = [w * check_embeddings(frame.reindex(first.index)) for w, frame in zip(weights, frames, strict=True)]
    joined = pd.DataFrame(unit_rows(np.hstack(parts)), index=first.index, columns=names)
    joined.attrs["embedder"] = " + ".join(str(frame.attrs.get("embedder", "?")) for frame in frames)
    if provenance := provenance_of(*frames):
        joined.attrs["provenance"] = provenance
    return joined
