"""Judgments to and from llm-comparator's JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from routerlab.schema import check_judgments, check_prompts, check_responses, reject, shown

_LABELS = {"model_a": "A is better", "model_b": "B is better", "tie": "Tie", "both_bad": "Both bad"}
_SCORES = {"model_a": 1.0, "model_b": -1.0, "tie": 0.0, "both_bad": 0.0}
_OTHER = {"model_a": "model_b", "model_b": "model_a"}
_TEXTS = ("input_text", "output_text_a", "output_text_b")


class ComparatorTables(NamedTuple):
    """What an llm-comparator file holds: tables that routerlab works on."""

    prompts: pd.DataFrame
    responses: pd.DataFrame
    judgments: pd.DataFrame


def to_llm_comparator(
    judgments: pd.DataFrame,
    responses: pd.DataFrame,
    prompts: pd.DataFrame,
    *,
    model_a: str,
    model_b: str,
    tags: str = "intent",
) -> dict[str, Any]:
    """Return the JSON that llm-comparator shows: one pair of models, an example for each prompt.

    Parameters
    ----------
    judgments : DataFrame of shape (n_judgments, n_columns)
        Those on `model_a` and `model_b` are taken, in either order; ``is_flipped`` says that `model_b` was on the left.
    responses, prompts : DataFrame
        See `routerlab.schema.check_responses` and `check_prompts`.
    model_a, model_b : str
        The two models.
    tags : str, default 'intent'
        Column of `prompts` that becomes each example's tag, if there is one.

    Returns
    -------
    dict
        For ``json.dump``. Scores are 1 (A is better), -1 or 0, an example's is their mean; ``rating_label`` spells the
        verdict out.

    Raises
    ------
    TableError
        No judgment on the two models; a response that is missing.

    References
    ----------
    M. Kahng et al., "LLM Comparator", CHI 2024.

    Examples
    --------
    >>> prompts = pd.DataFrame({"prompt_id": ["p1"], "prompt": ["Capital of France?"]})
    >>> texts = {"prompt_id": ["p1", "p1"], "model": ["x", "y"], "response": ["Paris.", "Lyon."]}
    >>> votes = pd.DataFrame({"prompt_id": ["p1"], "model_a": ["y"], "model_b": ["x"], "winner": ["model_b"]})
    >>> data = to_llm_comparator(votes, pd.DataFrame(texts), prompts, model_a="x", model_b="y")
    >>> data["examples"][0]["score"], data["examples"][0]["individual_rater_scores"][0]["is_flipped"]
    (1.0, True)
    """
    frame = check_judgments(judgments)
    wanted = frame[["model_a", "model_b"]].isin([model_a, model_b]).all(axis=1)
    frame = frame[wanted]
    if not len(frame):
        reject("judgments table", f"holds none on {model_a!r} and {model_b!r}.", "Name two models that were compared.")
    texts = check_responses(responses).set_index(["prompt_id", "model"])["response"]
    known = check_prompts(prompts)
    examples = []
    for prompt_id, votes in frame.groupby("prompt_id", sort=False):
        ratings = [_rating(vote, model_a) for vote in votes.to_dict("records")]
        tag = known[tags].get(prompt_id) if tags in known else None
        example = {
            "input_text": _text(known["prompt"], prompt_id, "prompts"),
            "tags": [] if pd.isna(tag) else [str(tag)],
            "output_text_a": _text(texts, (prompt_id, model_a), "responses"),
            "output_text_b": _text(texts, (prompt_id, model_b), "responses"),
            "score": sum(r["score"] for r in ratings) / len(ratings),
            "individual_rater_scores": ratings,
            "custom_fields": {"prompt_id": str(prompt_id)},
        }
        examples.append(example)
    schema = [{"name": "prompt_id", "type": "string"}]
    return {
        "metadata": {"source_path": "routerlab", "custom_fields_schema": schema},
        "models": [{"name": model_a}, {"name": model_b}],
        "examples": examples,
    }


def from_llm_comparator(data: Mapping[str, Any] | str | Path, *, tie_within: float = 0.0) -> ComparatorTables:
    """Read llm-comparator's JSON into tables.

    Parameters
    ----------
    data : dict, str or Path
        What `to_llm_comparator` returns, or a JSON file.
    tie_within : float, default 0
        Scores whose absolute value is at most this are ties. A verdict that ``rating_label`` spells out comes first.

    Returns
    -------
    ComparatorTables
        ``(prompts, responses, judgments)``: a judgment for each individual rating, or, where there are none, for
        the example's score.

    Raises
    ------
    TableError
        Something that is no llm-comparator file.

    Examples
    --------
    >>> example = {"input_text": "Hi?", "tags": ["Chat"], "output_text_a": "Hello", "output_text_b": "No", "score": 0.5}
    >>> tables = from_llm_comparator({"models": [{"name": "x"}, {"name": "y"}], "examples": [example]})
    >>> tables.judgments.loc[0, "winner"], tables.prompts["intent"].tolist()
    ('model_a', ['Chat'])
    """
    source = data if isinstance(data, Mapping) else json.loads(Path(data).read_text(encoding="utf-8"))
    a, b = _models(source)
    prompts, responses, judgments = [], [], []
    for k, example in enumerate(source["examples"]):
        _check_example(k, example)
        prompt_id = (example.get("custom_fields") or {}).get("prompt_id", f"example {k}")
        tags = example.get("tags") or [None]
        prompts.append({"prompt_id": prompt_id, "prompt": example["input_text"], "intent": tags[0]})
        for model, side in ((a, "output_text_a"), (b, "output_text_b")):
            responses.append({"prompt_id": prompt_id, "model": model, "response": example[side]})
        for rating in example.get("individual_rater_scores") or [example]:
            judgments += _judgment(rating, prompt_id, a, b, tie_within)
    columns = ["prompt_id", "model_a", "model_b", "winner"]
    return ComparatorTables(
        check_prompts(pd.DataFrame(prompts, columns=["prompt_id", "prompt", "intent"])),
        check_responses(pd.DataFrame(responses, columns=["prompt_id", "model", "response"])),
        check_judgments(pd.DataFrame(judgments) if judgments else pd.DataFrame(columns=columns)),
    )


def _rating(vote: Mapping[str, Any], model_a: str) -> dict[str, Any]:
    """Express a vote with `model_a` as A, whatever its side."""
    flipped = vote["model_a"] != model_a
    winner = _OTHER.get(vote["winner"], vote["winner"]) if flipped else vote["winner"]
    about = {name: str(vote[name]) for name in ("judge", "judged_at") if not pd.isna(vote.get(name))}
    rating = {"score": _SCORES[winner], "rating_label": _LABELS[winner], "is_flipped": flipped, "custom_fields": about}
    note = vote.get("note")
    return {**rating, "rationale": note if isinstance(note, str) else ""}


def _judgment(rating: Mapping[str, Any], prompt_id: Any, a: str, b: str, tie_within: float) -> list[dict[str, Any]]:
    """Turn one rating into one judgment; into none if it has neither label nor score."""
    winner = {label: verdict for verdict, label in _LABELS.items()}.get(rating.get("rating_label", ""))
    score = rating.get("score")
    if winner is None:
        if score is None:
            return []
        winner = "tie" if abs(score) <= tie_within else "model_a" if score > 0 else "model_b"
    judgment = {"prompt_id": prompt_id, "model_a": a, "model_b": b, "winner": winner}
    if rating.get("is_flipped"):
        judgment |= {"model_a": b, "model_b": a, "winner": _OTHER.get(winner, winner)}
    judgment |= {k: v for k, v in (rating.get("custom_fields") or {}).items() if k in ("judge", "judged_at")}
    return [judgment | ({"note": rating["rationale"]} if rating.get("rationale") else {})]


def _text(texts: pd.Series, key: Any, table: str) -> str:
    value = texts.get(key)
    if not isinstance(value, str):
        reject(f"{table} table", f"has no text for {key!r}, which was judged.", "Add it, or leave that judgment out.")
    return value


def _models(source: Any) -> tuple[str, str]:
    models = source.get("models") if isinstance(source, Mapping) else None
    if not isinstance(models, list) or len(models) != 2 or not isinstance(source.get("examples"), list):
        reject(
            "llm-comparator JSON",
            "has no list of two 'models', or no list of 'examples'.",
            "Choose a file that llm-comparator shows.",
        )
    names = [model.get("name") if isinstance(model, Mapping) else None for model in models]
    if not all(names):
        reject("llm-comparator JSON, 'models'", "has a model without a name.", "Name both.")
    return str(names[0]), str(names[1])


def _check_example(k: int, example: Any) -> None:
    texts = example if isinstance(example, Mapping) else {}
    odd = [name for name in _TEXTS if not isinstance(texts.get(name), str)]
    if odd:
        reject(f"llm-comparator JSON, example {k}", f"has no text in {shown(odd)}.", "Leave that example out.")
