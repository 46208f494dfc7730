"""A model that compares two responses, over any OpenAI-compatible endpoint."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from routerlab.completions import (
    CollectionWarning,
    CostEstimate,
    Endpoint,
    Request,
    Run,
    estimate_requests,
    host_of,
    run_requests,
)
from routerlab.judging._orders import check_combine, combine_orders, make_showings
from routerlab.judging._problems import warn_of_problems
from routerlab.judging._prompt import FORMATS, RUBRIC, judge_messages
from routerlab.judging._verdict import parse_verdict
from routerlab.schema import check_judgments, provenance_of

_WINNER = {"A": "model_a", "B": "model_b", "tie": "tie", "both_bad": "both_bad"}
_REFUSED = re.compile(r"HTTP (?:400|415|422|501)\b")  # how endpoints refuse a parameter that they do not know
_KEPT = ("finish_reason", "input_tokens", "output_tokens", "cost_usd", "latency_s", "served_by")


class PairwiseJudge:
    """A judge model that is shown two responses without names, in both orders.

    Parameters
    ----------
    client : openai.OpenAI or openai.AsyncOpenAI or None
        Where the judge is served; None if `model` is an `Endpoint` with a client of its own.
    model : str, Endpoint or list of them
        The judge; a list is in order of preference, see `routerlab.collect_responses`.
    rubric : str
        Criteria, the first ones first. By default correctness, constraints, completeness, clarity.
    combine : {'both', 'soft'}, default 'both'
        'both': a win only if it wins in both orders, else a tie. 'soft': each order is a vote of its own.
    structured : {'auto', 'json_schema', 'json_object', 'text'}, default 'auto'
        ``response_format`` of the endpoint, and where the verdict is asked for and read: in a JSON object that is the
        whole reply, or for 'text' on its last line. 'auto': the strictest that the endpoint keeps to, found out on the
        first pairs.
    name : str, optional
        What the column ``judge`` says; by default the model's name.
    max_tokens : int, default 400
        Most output tokens of a verdict, thoughts included; None leaves it out. What was cut off is not read.
    temperature : float, default 0
        None leaves it out, for models that refuse it.
    params : mapping, optional
        Other request parameters.

    Notes
    -----
    The judge sees the request and the responses between lines with a mark that no response can hold, and is told to
    follow nothing in them. That makes injected instructions weaker, not harmless: look at `judge_trust`.

    References
    ----------
    L. Zheng et al., "Judging LLM-as-a-judge with MT-Bench and Chatbot Arena", NeurIPS 2023: position bias, both orders.
    T. Li et al., "From crowdsourced data to high-quality benchmarks: Arena-Hard", 2024.

    Examples
    --------
    What it would cost, with nothing sent:

    >>> import tempfile
    >>> prompts = pd.DataFrame({"prompt_id": ["p1"], "prompt": ["Poach an egg?"]})
    >>> responses = pd.DataFrame({"prompt_id": "p1", "model": ["x", "y"], "response": ["Simmer it.", "Boil it."]})
    >>> judge = PairwiseJudge(None, Endpoint("small-judge", price=(0.5, 1.5)))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     cost = judge.judge(prompts, responses, path=f"{folder}/judge.jsonl", dry_run=True)
    >>> cost.n_requests, 0 < cost.expected_usd < cost.most_usd < 0.01
    (2, True)
    """

    def __init__(
        self,
        client: Any,
        model: str | Endpoint | Sequence[str | Endpoint],
        *,
        rubric: str = RUBRIC,
        combine: str = "both",
        structured: str = "auto",
        name: str | None = None,
        max_tokens: int | None = 400,
        temperature: float | None = 0.0,
        params: Mapping[str, Any] | None = None,
    ) -> None:
        self.client = client
        self.model = model
        self.rubric = rubric
        self.combine = combine
        self.structured = structured
        self.name = name
        self.max_tokens = max_tokens
        self.temperature = temperature
        self.params = params

    def __repr__(self) -> str:
        """Name, host and settings; never a key."""
        where = f", at {host_of(self.client)}" if self.client is not None else ""
        return f"PairwiseJudge({self.judge_name!r}{where}, combine={self.combine!r}, structured={self.structured!r})"

    @property
    def judge_name(self) -> str:
        """What the column ``judge`` says."""
        first = self.model if isinstance(self.model, str | Endpoint) else self.model[0]
        return self.name or (first.model if isinstance(first, Endpoint) else first)

    def judge(
        self,
        prompts: pd.DataFrame,
        responses: pd.DataFrame,
        pairs: pd.DataFrame | None = None,
        *,
        path: str | Path,
        budget_usd: float | None = None,
        prices: Any = None,
        dry_run: bool = False,
        expected_output_tokens: float | None = None,
        **options: Any,
    ) -> pd.DataFrame | CostEstimate:
        """Compare pairs of responses; the same call again asks only for what is missing.

        Parameters
        ----------
        prompts : DataFrame
            Prompts table.
        responses : DataFrame
            Responses table. A pair of which a response is missing, or has an ``error``, is left out and counted.
        pairs : DataFrame, optional
            ``prompt_id, model_a, model_b``, such as a judgments table of people. By default all pairs of models.
        path : str or Path
            The journal (JSONL): every reply is on disk before the next request goes out.
        budget_usd : float, optional
            What this journal may cost in all its runs.
        prices : mapping or DataFrame, optional
            (input, output) in USD per 1M tokens, 0 for a judge that costs nothing; see `routerlab.add_cost`.
        dry_run : bool, default False
            Send nothing, and return what it would cost.
        expected_output_tokens : float, optional
            Assumption of the dry run, by default 100 for each verdict.
        **options
            ``concurrency``, ``timeout_s``, ``max_attempts``, ``progress``, ... of `routerlab.completions.run_requests`.

        Returns
        -------
        DataFrame, or CostEstimate
            Judgments table; see `routerlab.judging.combine_orders` for its columns. ``attrs``: judge, combine,
            structured, n_unreadable, unreadable (how many for which reason), n_failed, n_incomplete, n_left_out,
            collection (the run's report), provenance.

        Raises
        ------
        TableError
            Tables that cannot be used. EndpointRefused, JournalError: see `routerlab.collect_responses`.
        ValueError
            An unknown `combine` or `structured`; nothing was sent.

        Warns
        -----
        CollectionWarning
            How many verdicts could not be read, requests failed or pairs were left out.
        """
        shown, n_left_out = self._showings(prompts, responses, pairs)
        if dry_run:
            return estimate_requests(
                self._requests(shown, self._formats()[0]),
                self._models(),
                path=path,
                client=self.client,
                prices=prices,
                budget_usd=budget_usd,
                expected_output_tokens=100 if expected_output_tokens is None else expected_output_tokens,
            )
        table, run, used = self._run(shown, path=path, budget_usd=budget_usd, prices=prices, **options)
        table.attrs["provenance"] = self._provenance(responses)
        judgments = combine_orders(table, self.combine)
        judgments.attrs |= {"judge": self.judge_name, "structured": used, "n_left_out": n_left_out}
        unread = table.loc[table["winner"].isna() & table["error"].isna(), "how"]
        judgments.attrs["unreadable"] = {str(why): int(n) for why, n in unread.value_counts().items()}
        judgments.attrs["collection"] = run.report.to_dict()
        warn_of_problems(run.report, judgments.attrs)
        return check_judgments(judgments)

    def verdicts(
        self, prompts: pd.DataFrame, responses: pd.DataFrame, pairs: pd.DataFrame | None = None, **options: Any
    ) -> pd.DataFrame:
        """Return every single showing, read or not; after `judge` with the same `path`, nothing is asked again.

        Parameters
        ----------
        prompts, responses, pairs, **options
            As in `judge`.

        Returns
        -------
        DataFrame of shape (2 * n_pairs, n_columns)
            ``prompt_id, model_a`` (shown first)``, model_b, winner`` (None: unreadable or failed)``, judge, judged_at,
            note`` (rationale)``, how`` (it was read, or why not)``, text`` (the whole reply)``, error``, tokens, cost.
        """
        shown, _ = self._showings(prompts, responses, pairs)
        table, _, used = self._run(shown, **options)
        table.attrs = {"judge": self.judge_name, "structured": used, "provenance": self._provenance(responses)}
        return table

    def _showings(self, *tables: Any) -> tuple[pd.DataFrame, int]:
        check_combine(self.combine)  # before anything is paid for
        self._formats()
        return make_showings(*tables)

    def _run(self, shown: pd.DataFrame, **options: Any) -> tuple[pd.DataFrame, Run, str]:
        used = self._accepted_format(shown, **options)
        run = self._ask(self._requests(shown, used), **options)
        rows = []
        for record, (_, pair) in zip(run.records, shown.iterrows(), strict=True):
            verdict = parse_verdict(record["text"], structured=used, finish_reason=record["finish_reason"])
            failed = record["error"] is not None
            rows.append(
                {
                    "prompt_id": pair["prompt_id"],
                    "model_a": pair["model_a"],
                    "model_b": pair["model_b"],
                    "winner": None if failed or verdict.label is None else _WINNER[verdict.label],
                    "judge": self.judge_name,
                    "judged_at": record["at"],
                    "note": verdict.rationale,
                    "how": "failed" if failed else verdict.how,
                    "text": record["text"],
                    "error": record["error"],
                    **{name: record[name] for name in _KEPT},
                }
            )
        return pd.DataFrame(rows).astype({"winner": object, "error": object}), run, used

    def _accepted_format(self, shown: pd.DataFrame, **options: Any) -> str:
        """Return the strictest response format that the endpoint keeps to, as its first pairs show.

        One that takes the parameter and then answers in prose gets the next question: where nothing is asked for in
        JSON, the last line counts.
        """
        formats, refused = self._formats(), set()
        for row in range(min(3, len(shown)) if len(formats) > 1 else 0):
            for name in formats:
                run = self._ask(self._requests(shown.iloc[[row]], name), **{**options, "progress": False})
                record = run.records[0]
                if record["error"] is None:
                    read = parse_verdict(record["text"], structured=name, finish_reason=record["finish_reason"])
                    if read.how != "nothing found":
                        return name
                elif _REFUSED.search(record["error"]):
                    refused.add(name)
                else:
                    break  # it failed for another reason, which says nothing about formats
        return next((name for name in formats if name not in refused), formats[-1])

    def _formats(self) -> list[str]:
        if self.structured != "auto" and self.structured not in FORMATS:
            msg = f"The 'structured' parameter must be 'auto' or one of {', '.join(FORMATS)}. Got {self.structured!r}."
            raise ValueError(msg)
        return list(FORMATS) if self.structured == "auto" else [self.structured]

    def _ask(self, requests: list[Request], **options: Any) -> Run:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", CollectionWarning)  # said once, together with what could not be read
            return run_requests(requests, self._models(), client=self.client, **options)

    def _models(self) -> dict[str, Any]:
        return {self.judge_name: self.model}

    def _requests(self, shown: pd.DataFrame, format_name: str) -> list[Request]:
        params = {"max_tokens": self.max_tokens, "temperature": self.temperature, **(self.params or {})}
        params["response_format"] = FORMATS[format_name]
        given = {name: value for name, value in params.items() if value is not None}
        return [
            Request(
                self.judge_name,
                judge_messages(row.prompt, row.first, row.second, self.rubric, format_name),
                given,
                {"prompt_id": _plain(row.prompt_id), "shown_as_a": row.model_a, "shown_as_b": row.model_b},
                purpose="verdict",
            )
            for row in shown.itertuples(index=False)
        ]

    def _provenance(self, responses: pd.DataFrame) -> str:
        said = f"verdicts of the judge model {self.judge_name}"
        source = provenance_of(responses)
        return f"{said}, on {source}" if source else said


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value
