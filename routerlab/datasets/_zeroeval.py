"""ZeroEval: eight models' outputs on CRUX and on the hardest MATH problems, marked by comparing answers."""

import ast
import json
import re
import warnings
from datetime import date
from fractions import Fraction
from typing import Any

import pandas as pd

from routerlab.datasets._dataset import Dataset, stamp
from routerlab.datasets._files import PublishedFile, in_folder, json_array, malformed, read_published
from routerlab.pricing import Prices, add_cost, estimate_tokens, own_prices
from routerlab.schema import refuse_parameter

FOLDER = "WildEval/ZeroEval/result_dirs"
BASELINE = "claude-3-5-sonnet-20241022"
PRICED_ON = date(2024, 11, 1)
# Open models have no list price of their own: Together's, USD per 1M tokens (input, output).
OPEN_PRICES = {
    "Meta-Llama-3.1-70B-Instruct": (0.88, 0.88),
    "Meta-Llama-3.1-8B-Instruct": (0.18, 0.18),
    "Qwen2.5-7B-Instruct": (0.30, 0.30),
}
BENCHMARKS = {
    "crux": ("question", "what a Python function returns for an input", "Gu et al. (2024), CRUXEval, arXiv:2401.03065"),
    "math-l5": ("problem", "problems of the hardest level of MATH", "Hendrycks et al. (2021), MATH, arXiv:2103.03874"),
}


def fetch_zeroeval(benchmark: str = "crux", *, prices: Prices | None = None) -> Dataset:
    """Fetch a benchmark of ZeroEval: eight models' outputs on the same prompts, and whether their answers are right.

    Read from the folder that ``ROUTERLAB_DATA`` names (laid out ``<owner>/<repository>/<path>``) if it holds the
    files, else from the cache, else downloaded into the cache (19 MB each).

    Parameters
    ----------
    benchmark : {'crux', 'math-l5'}, default 'crux'
        'crux': 800 Python functions, whose output on an input is asked for. 'math-l5': 721 problems of the hardest
        level of MATH with answers that are, but for two, whole numbers.
    prices : mapping or DataFrame, optional
        Your own prices; see `routerlab.pricing.add_cost`.

    Returns
    -------
    Dataset
        ``prompts`` with the right ``answer``; ``responses`` with the ``answer`` that was read out of each (empty where
        there is none); ``outcomes``, quality 1 if it is right. Baseline: 'claude-3-5-sonnet-20241022'.

    Raises
    ------
    DataFileError
        A file that is absent with no network, or is not what was published.
    ValueError
        An unknown benchmark.

    Notes
    -----
    Models were told to end with ``"answer": "..."`` in JSON; the last one counts, also where the JSON is broken. CRUX's
    answers are compared as Python literals, or as text where a string came without its quotes; MATH's as numbers, else
    as text without dollar signs, commas and blanks. Outputs without an answer are wrong.

    **The files hold no costs and no tokens.** ``cost_usd`` is an estimate: tokens are characters / 4 of the prompt as
    it was sent and of the output, at the list prices of November 2024; open models at Together's.

    References
    ----------
    Lin (2024), ZeroEval, https://github.com/WildEval/ZeroEval

    Examples
    --------
    >>> crux = fetch_zeroeval("crux")  # doctest: +SKIP
    >>> crux.outcomes.groupby("model")["quality"].mean()  # doctest: +SKIP
    """
    if benchmark not in BENCHMARKS:
        refuse_parameter("benchmark", f"one of {', '.join(BENCHMARKS)}", benchmark, "fetch_zeroeval")
    column, description, citation = BENCHMARKS[benchmark]
    files = in_folder(f"{FOLDER}/{benchmark}", ".json")
    tables = {
        file.path.rsplit("/", 1)[1].removesuffix(".json"): _read(text, file, column)
        for file, text in zip(files, read_published(files, f"ZeroEval {benchmark}"), strict=True)
    }
    first = next(iter(tables.values()))
    for file, table in zip(files, tables.values(), strict=True):
        if not table[["prompt", "right"]].equals(first[["prompt", "right"]]):
            raise malformed(file, "its prompts or right answers are not those of the other files")
    responses = pd.concat(tables, names=["model"]).reset_index()
    responses["input_tokens"] = estimate_tokens(responses.pop("sent"))
    responses["output_tokens"] = estimate_tokens(responses["response"])
    own: dict[str, Any] = dict(OPEN_PRICES)
    if prices is not None:
        own |= own_prices(prices)
    responses = add_cost(responses, own, on=PRICED_ON)
    same = same_literal if benchmark == "crux" else same_number
    both = zip(responses["answer"], responses["right"], strict=True)
    right = [said is not None and same(said, true) for said, true in both]
    outcomes = responses[["prompt_id", "model", "cost_usd"]].assign(quality=pd.Series(right, dtype=float).to_numpy())
    prompts = first[["prompt", "right"]].rename(columns={"right": "answer"})
    responses = responses.drop(columns=["prompt", "right"])
    note = (
        "cost_usd is an estimate, not a measurement, as the files hold no costs: tokens = characters / 4, "
        f"list prices of {PRICED_ON:%B %Y}, open models at Together's"
    )
    commit = files[0].commit
    source = f"published: ZeroEval {benchmark} (WildEval/ZeroEval@{commit[:7]}); cost_usd estimated from list prices"
    stamp(source, prompts, responses, outcomes, cost_note=note)
    empty = int(responses["answer"].isna().sum())
    return Dataset(
        f"ZeroEval {benchmark}",
        prompts,
        responses=responses,
        outcomes=outcomes,
        baseline=BASELINE,
        description=f"Eight models' outputs on {description}; quality is 1 if the answer is right",
        source=f"https://github.com/WildEval/ZeroEval/tree/{commit}/result_dirs/{benchmark}",
        licence="Apache-2.0",
        citation=f"Lin (2024), ZeroEval, https://github.com/WildEval/ZeroEval; {citation}",
        notes=[note, f"{empty:,} of {len(responses):,} outputs hold no answer and count as wrong"],
    )


def _read(text: str, file: PublishedFile, column: str) -> pd.DataFrame:
    """One row for each prompt: what was asked and sent, what came, the answer in it, and the right one."""
    records = json_array(text, file, ["id", "chat_history", "output", "answer", column])
    benchmark = file.path.split("/")[1]
    frame = pd.DataFrame(
        {
            "prompt": [record[column] for record in records],
            "right": [str(record["answer"]) for record in records],
            "sent": ["\n\n".join(record["chat_history"]) for record in records],
            "response": ["\n\n".join(record["output"]) for record in records],
        },
        index=pd.Index([f"{benchmark}/{row}" for row in range(len(records))], name="prompt_id"),
    )
    frame["answer"] = pd.Series([last_answer(text) for text in frame["response"]], frame.index, dtype=object)
    return frame


def last_answer(output: str) -> str | None:
    """Read the last answer out of an output that may be broken JSON; None if there is none.

    Examples
    --------
    >>> last_answer('{"reasoning": "so", "answer": "[1, 2]"}'), last_answer('{"answer": 42}'), last_answer("42")
    ('[1, 2]', '42', None)
    """
    _, found, rest = output.rpartition('"answer"')
    rest = rest.lstrip().removeprefix(":").lstrip()
    if not found or not rest:
        return None
    try:
        value = json.JSONDecoder().raw_decode(rest)[0]
        return value if isinstance(value, str) else rest[: json.JSONDecoder().raw_decode(rest)[1]]
    except ValueError:  # LaTeX's backslashes, Python's literals
        quoted = re.match(r'"((?:[^"\\]|\\.)*)"', rest, re.DOTALL)
        return quoted.group(1) if quoted else rest.split("\n")[0].rstrip("`} ,")


def same_literal(said: str, true: str) -> bool:
    """Whether two Python literals are equal in value and type; a string may lack its quotes.

    Examples
    --------
    >>> same_literal("[1,2]", "[1, 2]"), same_literal("abc", "'abc'"), same_literal("1", "True")
    (True, True, False)
    """
    right, found = _literal(true), _literal(said)
    return repr(found) == repr(right) or said == right or (isinstance(right, dict) and found == right)


def _literal(text: str) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # invalid escapes
            return ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return text


def same_number(said: str, true: str) -> bool:
    r"""Whether two answers are the same number, or else the same text.

    Examples
    --------
    >>> same_number("$1,024$", "1024"), same_number(r"\boxed{7.0}", "7"), same_number("12_3", "12_3")
    (True, True, True)
    """
    return bool(_number(said) == _number(true))


def _number(text: str) -> Any:
    text = re.sub(r"\\boxed\{(.*)\}", r"\1", text.strip())
    text = re.sub(r"\\[dt]?frac\{([^{}]*)\}\{([^{}]*)\}", r"\1/\2", text)
    text = re.sub(r"\\[,!; ()\[\]]|[$,\s{}]", "", text).rstrip(".")
    try:
        return text if "_" in text else Fraction(text)  # Python would read 12_3 as 123
    except (ValueError, ZeroDivisionError):
        return text
