"""What a response answers: the part that can be compared with another model's."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from fractions import Fraction
from typing import Any, NoReturn

import pandas as pd

from routerlab.datasets import last_answer
from routerlab.exceptions import ParameterError
from routerlab.schema import check_responses, reject, shown

Extract = str | Callable[[str], Any]

_ALONE = re.compile(r"\W{0,3}([A-Ja-j]|\d)\W{0,3}")
_STATED = re.compile(r"answer(?:\s+is|\s*:|\s*=)\s*(?:option\s*)?[\W_]{0,3}([A-J])\b(?!')", re.IGNORECASE)
_LEADING = re.compile(r"\W{0,3}([A-J])\s*[).:,\n]")
_BRACKETED = re.compile(r"\(([A-J])\)")
_NUMBER = re.compile(r"[-+]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?:/\d+)?")
_FINAL = re.compile(
    r"(?:####|\\boxed\{|answer(?:\s+is|\s*:|\s*=))[^\d+\-\n]{0,20}([-+]?[\d,.]*\d(?:/\d+)?)", re.IGNORECASE
)
_SHORT = 60  # characters of a text that is an answer and not an essay
_ESSAY = 200  # characters from which others would not give a text as a whole word for word


def refuse(where: str, wrong: str, remedy: str) -> NoReturn:
    """Refuse a parameter."""
    reject(where, wrong, remedy, ParameterError)


def plain_answer(text: str) -> str:
    r"""Bring equal answers to one form: numbers to one value, quotes, dollar signs, blanks and final stops away.

    Examples
    --------
    >>> plain_answer("1,024.0"), plain_answer(r"$\frac{1}{2}$"), plain_answer("[1,2]"), plain_answer(" 'Yes'. ")
    ('1024', '1/2', '[1,2]', 'Yes')
    """
    text = unicodedata.normalize("NFKC", text).strip()
    text = re.sub(r"\\boxed\{(.*)\}", r"\1", text, flags=re.DOTALL)
    text = re.sub(r"\\[dt]?frac\{([^{}]*)\}\{([^{}]*)\}", r"\1/\2", text)
    text = re.sub(r"\\[,!; ()\[\]]|\$", "", text)
    bare = re.sub(r"(?<=[,:(\[{])\s+|\s+(?=[)\]},])", "", " ".join(text.split())).rstrip(".").strip("'\"` ")
    number = bare.replace(",", "") if re.fullmatch(_NUMBER, bare) else bare
    try:
        return bare if "_" in number else str(Fraction(number))
    except (ValueError, ZeroDivisionError):
        return bare


def choice(text: str) -> str | None:
    """Read the letter (or digit) of a multiple choice.

    Examples
    --------
    >>> [choice(text) for text in ("B", "(c)", "The answer is D, since ...", "A. Water", "I do not know", "A dog")]
    ['B', 'C', 'D', 'A', None, None]
    """
    alone = _ALONE.fullmatch(text.strip())
    if alone:
        return alone[1].upper()
    stated = _STATED.findall(text)
    if stated:
        return str(stated[-1]).upper()
    leading = _LEADING.match(text)
    if leading:
        return leading[1]
    bracketed = set(_BRACKETED.findall(text))
    return bracketed.pop() if len(bracketed) == 1 else None


def number(text: str) -> str | None:
    """Read the final number: the one that is said to be the answer, else the last one.

    Examples
    --------
    >>> number("2 + 3 = 5, so the answer is 5."), number("#### 1,000"), number("none")
    ('5', '1000', None)
    """
    stated = _FINAL.findall(text)
    found = stated[-1:] or _NUMBER.findall(text)[-1:]
    return plain_answer(found[0]) if found else None


def json_answer(text: str) -> str | None:
    """Read the last ``"answer"`` of a JSON object, however broken.

    Examples
    --------
    >>> json_answer('{"reasoning": "so", "answer": "[1, 2]"}')
    '[1,2]'
    """
    found = last_answer(text)
    return None if found is None else plain_answer(found) or None


def whole_text(text: str) -> str | None:
    """Take the whole text, but for case, blanks and final stops.

    Examples
    --------
    >>> whole_text("  Paris. ")
    'paris'
    """
    return plain_answer(text).casefold() or None


def any_answer(text: str) -> str | None:
    r"""Read what there is: a JSON answer, a choice, a number that is said to be the answer, or a short text.

    Examples
    --------
    >>> [any_answer(text) for text in ('{"answer": 7}', "B", "So it is 5.\n#### 5", "Paris.")]
    ['7', 'B', '5', 'paris']
    """
    found = json_answer(text) or choice(text)
    if found is None and _FINAL.search(text):
        found = number(text)
    return found or (whole_text(text) if len(text) <= _ESSAY else None)


EXTRACTORS: dict[str, Callable[[str], Any]] = {
    "auto": any_answer,
    "choice": choice,
    "number": number,
    "json": json_answer,
    "text": whole_text,
}


def extract_answers(responses: pd.DataFrame, extract: Extract = "auto") -> pd.DataFrame:
    """Read the answer out of each response.

    Parameters
    ----------
    responses : DataFrame
        Responses table: ``prompt_id, model, response``. Several samples of one model have a column ``sample``: the
        first keeps the model's name, the others get '#2', '#3' after it.
    extract : {'auto', 'choice', 'number', 'json', 'text'}, name of a column, or callable, default 'auto'
        'choice': a letter of a multiple choice; 'number': the final one; 'json': the field ``answer``; 'text': all of
        it, but for case and blanks. 'auto' tries them in turn, the whole text only if it is short. The name of a column
        of `responses` that holds answers,
        or a function from a response to its answer, None where there is none.

    Returns
    -------
    DataFrame of shape (n_prompts, n_models)
        Answers, None where a response holds none.

    Examples
    --------
    >>> rows = [("p1", "small", "The answer is B."), ("p1", "tiny", "(B)")]
    >>> extract_answers(pd.DataFrame(rows, columns=["prompt_id", "model", "response"])).loc["p1"].tolist()
    ['B', 'B']
    """
    return wide(with_samples(check_samples(responses)), read_answers(responses, extract))


def read_answers(responses: pd.DataFrame, extract: Extract) -> list[Any]:
    """Read each row's answer, None where there is none."""
    if isinstance(extract, str) and extract not in EXTRACTORS:
        if extract not in responses:
            known = f"{shown(EXTRACTORS)}, a column of the responses ({shown(responses.columns, 8)}) or a function"
            refuse("'extract'", f"got {extract!r}, expected one of {known}.", "Pass e.g. extract='choice'.")
        column = responses[extract]
        return [None if pd.isna(cell) else plain_answer(str(cell)) or None for cell in column]
    read = EXTRACTORS[extract] if isinstance(extract, str) else extract
    if not callable(read):
        refuse("'extract'", f"got {extract!r}, expected a name or a function.", "Pass e.g. extract='choice'.")
    found = [read(text) if isinstance(text, str) and text.strip() else None for text in responses["response"]]
    return [None if answer is None or answer != answer else str(answer) for answer in found]


def check_samples(table: pd.DataFrame) -> pd.DataFrame:
    """Check a responses table that may hold several samples of one model."""
    if table is None:
        reject("'responses'", "is missing.", "Pass the responses table of the models that are asked first.")
    if "sample" not in table:
        return check_responses(table)
    return check_responses(with_samples(table))


def with_samples(table: pd.DataFrame) -> pd.DataFrame:
    """Name the samples of a model apart: the first keeps its name, the others get '#2', '#3' after it.

    Examples
    --------
    >>> table = pd.DataFrame({"prompt_id": "p1", "model": "small", "sample": [0, 1]})
    >>> with_samples(table)["model"].tolist()
    ['small', 'small#2']
    """
    if "sample" not in table:
        return table
    named = table.reset_index(drop="prompt_id" in table).copy()
    rank = named.groupby(["prompt_id", "model"])["sample"].rank(method="first").astype(int)
    named["model"] = named["model"].where(rank == 1, named["model"].astype(str) + "#" + rank.astype(str))
    named.attrs = dict(table.attrs)
    return named.drop(columns="sample")


def wide(table: pd.DataFrame, values: Any) -> pd.DataFrame:
    """Lay a column out as prompts x models, in the order of appearance."""
    column = pd.Series(list(values), index=pd.MultiIndex.from_frame(table[["prompt_id", "model"]]), dtype=object)
    rows, columns = pd.unique(table["prompt_id"]), pd.unique(table["model"])
    frame = column.unstack("model").reindex(index=rows, columns=columns)  # noqa: PD010
    frame.index.name = "prompt_id"
    return frame.astype(object).where(frame.notna(), None)
