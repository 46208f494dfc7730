"""Captures read back as the project's own tables, to fit the next router on."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from html import escape
from pathlib import Path

import pandas as pd

from routerlab.exceptions import CaptureWarning
from routerlab.jsonl import Log
from routerlab.schema import (
    WIN_SHARE,
    DroppedRowsWarning,
    MixedScalesWarning,
    Outcomes,
    check_outcomes,
    check_prompts,
    check_responses,
    provenance_of,
    reject,
)
from routerlab.serving._capture import KIND
from routerlab.serving._columns import Columns


@dataclass(frozen=True)
class Captured:
    """What a capture file holds; ``prompt_id`` is the request_id of a call.

    Attributes
    ----------
    calls : DataFrame of shape (n_calls, n_columns)
        One row for each call, indexed by ``prompt_id``: when, what was asked, chosen and served, propensity, tokens,
        ``cost_usd`` and ``latency_s`` (of the request that was answered), ``lost_usd`` (billed for replies that could
        not be used, as far as these say; what was lost on the way may be on the bill as well), ``first_token_s``,
        ``routing_s``, ``total_s``, ``attempts`` (requests sent), failures, rested, error; ``tool_calls`` and
        ``refusal`` where a model answered so; and what a redaction hook added.
    prompts : DataFrame
        Prompts table: ``prompt`` of each routed call whose text was stored.
    responses : DataFrame
        Responses table: the calls that were answered to the end.
    outcomes : DataFrame
        Outcomes table: answered calls with feedback, its latest ``quality``, ``cost_usd``, ``latency_s``.
    quality, cost : DataFrame of shape (n_routed, n_models)
        The router's estimates when it chose; NaN for models that it did not know.
    path : Path
        The file.
    bad_lines : tuple of str
        Lines that could not be read, and why.
    n_feedback, n_orphans : int
        Feedback lines, and those among them whose call is not in the file.
    """

    calls: pd.DataFrame
    prompts: pd.DataFrame
    responses: pd.DataFrame
    outcomes: pd.DataFrame
    quality: pd.DataFrame
    cost: pd.DataFrame
    path: Path
    bad_lines: tuple[str, ...]
    n_feedback: int
    n_orphans: int

    @property
    def n_handed_over(self) -> int:
        """Calls that another model answered than the one that was chosen, which had failed or rested."""
        return int((self.calls["model"].notna() & (self.calls["model"] != self.calls["chosen"])).sum())

    def __repr__(self) -> str:
        """Say how much there is, what was spent, and what could not be read.

        Of unknown cost are calls without a price or a usage, and streams that broke off or that a reader left.
        """
        spent = self.calls[["cost_usd", "lost_usd"]].sum().sum()
        unknown = (self.calls["model"].notna() & self.calls["cost_usd"].isna()).sum()
        text = (
            f"{self.path.name}: {len(self.calls):,} calls, {len(self.responses):,} answered, {len(self.outcomes):,} "
            f"with feedback; {spent:.4g} USD" + (f" and {unknown:,} calls of unknown cost" if unknown else "")
        )
        served = self.calls["model"].value_counts()
        text += "; " + ", ".join(f"{model} {n:,}" for model, n in served.items()) if len(served) else ""
        handed = self.n_handed_over
        text += f"; {handed:,} answered by another model than the chosen one, which failed" if handed else ""
        text += f"; {self.n_orphans:,} feedbacks without their call" if self.n_orphans else ""
        return text + (f"; not readable: {'; '.join(self.bad_lines)}" if self.bad_lines else "")

    def _repr_html_(self) -> str:
        return f"<p>{escape(repr(self))}</p>"

    def complete(self) -> Outcomes:
        """Return quality and cost without gaps: measured where there is feedback, estimates elsewhere.

        A call has a measured outcome for one model, and a router needs all. The other cells, and a measured call's cost
        where it is not known, are what the router expected when it chose. What is fitted on this learns from feedback
        where models were used, and repeats the old router's opinion where they were not: ``explore=`` some calls,
        or have models answer a sample of the prompts (`routerlab.collect_responses`) and judge them.

        Returns
        -------
        Outcomes
            Named tuple ``(quality, cost)`` of shape (n_prompts, n_models), for routed calls with feedback.
            ``.quality.attrs["provenance"]``, and ``.cost``'s, say how many cells are measured.

        Warns
        -----
        DroppedRowsWarning
            If calls with feedback have no estimates for some model (a caller named the model, or models were added).
        MixedScalesWarning
            If the router was fitted on win shares (`routerlab.judged_outcomes`): feedback is on another scale.
        """
        known = self.quality.index[self.quality.notna().all(axis=1) & self.cost.notna().all(axis=1)]
        measured = self.outcomes.set_index("prompt_id")
        rows = measured.index.intersection(known)
        if len(rows) < len(measured):
            warnings.warn(
                f"Captured.complete left out {len(measured) - len(rows)} of {len(measured)} calls with feedback: no "
                "estimates for some model.",
                DroppedRowsWarning,
                stacklevel=2,
            )
        quality, cost = self.quality.loc[rows].copy(), self.cost.loc[rows].copy()
        n = 0
        for prompt_id, model, seen, usd in measured.loc[rows, ["model", "quality", "cost_usd"]].itertuples():
            if model in quality.columns:
                quality.loc[prompt_id, model] = seen
                n += 1
                if usd == usd:
                    cost.loc[prompt_id, model] = usd
        note = f"captured: {n:,} of {quality.size:,} cells measured by feedback, the others the router's estimates"
        fitted_on = provenance_of(self.quality)
        if fitted_on and f"quality: {WIN_SHARE}" in fitted_on:
            warnings.warn(
                f"Captured.complete mixes two scales: {n:,} cells are feedback on one reply alone, and the router's "
                "estimates beside them are win shares over other models. Have a judge compare replies of both to the "
                "same prompts instead (routerlab.PairwiseJudge), or fit on feedback alone.",
                MixedScalesWarning,
                stacklevel=2,
            )
            note += "; two scales are mixed, feedback and win shares"
        for frame in (quality, cost):
            frame.attrs["provenance"] = f"{note} (fitted on: {fitted_on})" if fitted_on else note
        return Outcomes(quality, cost)


def read_captured(path: str | Path) -> Captured:
    r"""Read the captures of a `RoutedClient`.

    Parameters
    ----------
    path : str or Path
        The file given as ``capture=``; may be written to meanwhile.

    Returns
    -------
    Captured
        Tables that pass the project's checks, and the router's estimates.

    Raises
    ------
    TableError
        No such file, no capture file, or one of a newer routerlab.

    Warns
    -----
    CaptureWarning
        If lines cannot be read, e.g. a last one that was torn when its process was killed.

    Notes
    -----
    `Captured.complete` gives the calls with feedback alone. To keep what the old router learned from, put its training
    data on top before the fit: ``pd.concat([old_prompts["prompt"], texts])``, and likewise quality and cost.
    ``pd.concat`` drops ``attrs["provenance"]`` where the notes differ: set it on the result again, above all if the old
    data is simulated. A new router has its default willingness to pay: give it the old one's again.

    Examples
    --------
    A file as a client writes it, with one call and its feedback:

    >>> import json, tempfile
    >>> header = {"format": "routerlab-captures", "version": 1}
    >>> call = {"type": "call", "request_id": "c1", "model": "small", "chosen": "small", "prompt": "Poach an egg?"}
    >>> call |= {"response": "Simmer it.", "cost_usd": 0.001}
    >>> call |= {"quality": {"small": 0.6, "large": 0.8}, "cost": {"small": 0.002, "large": 0.01}}
    >>> feedback = {"type": "feedback", "request_id": "c1", "quality": 0.9}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "captured.jsonl"
    ...     _ = path.write_text("\n".join(json.dumps(line) for line in (header, call, feedback)) + "\n")
    ...     captured = read_captured(path)
    >>> captured
    captured.jsonl: 1 calls, 1 answered, 1 with feedback; 0.001 USD; small 1

    The whole way to the next router:

    >>> import routerlab as rl
    >>> quality, cost = captured.complete()
    >>> quality.loc["c1"].to_dict()
    {'small': 0.9, 'large': 0.8}
    >>> quality.attrs["provenance"]
    "captured: 1 of 2 cells measured by feedback, the others the router's estimates"
    >>> texts = captured.prompts.loc[quality.index, "prompt"]
    >>> old = pd.DataFrame({"prompt": ["How do I boil rice?", "Fix my SQL query"]}, index=["p1", "p2"])
    >>> old_quality = pd.DataFrame({"small": [0.9, 0.2], "large": [0.9, 0.9]}, index=old.index)
    >>> embedder = rl.LsaEmbedder().fit(old["prompt"])  # the one that the client uses
    >>> X = embedder.transform(pd.concat([old["prompt"], texts]))
    >>> quality, cost = pd.concat([old_quality, quality]), pd.concat([old_quality / 100, cost])
    >>> router = rl.KNNRouter(n_neighbors=3, willingness_to_pay=0.1).fit(X, quality, cost=cost)
    >>> router.models_.tolist()
    ['small', 'large']
    """
    path = Path(path)
    if not path.is_file():
        reject(f"Captures {path}", "is no file.", "Give the path that the client got as capture=.")
    log, columns = Log(path, KIND), Columns()
    add = columns.add
    for number, record, _ in log.read("read"):
        add(number, record)
    columns.flush()
    bad = [f"line {n} {'is torn' if n == log.line and log.torn else wrong}" for n, wrong in columns.bad]
    if bad:
        more = f" and {len(bad) - 5} more lines" if len(bad) > 5 else ""
        warnings.warn(
            f"Captures {path}: {', '.join(bad[:5])}{more}; the others are read.", CaptureWarning, stacklevel=2
        )
    feedback = columns.feedback()
    tables = _tables(columns, feedback)
    n_orphans = len(feedback.index.difference(tables["calls"].index, sort=False))
    n_feedback = len(columns.judged)
    return Captured(**tables, path=path, bad_lines=tuple(bad), n_feedback=n_feedback, n_orphans=n_orphans)


def _tables(columns: Columns, feedback: pd.Series) -> dict[str, pd.DataFrame]:
    rows, index = columns.rows()
    quality, cost = (columns.estimates(name, rows, index) for name in ("quality", "cost"))
    texts = pd.DataFrame({name: columns.take(name, rows, index) for name in ("prompt", "response")}, index=index)
    table = pd.DataFrame({name: columns.take(name, rows, index) for name in columns.names()}, index=index)
    answered = table["model"].notna() & table["error"].isna()
    numbers = ["input_tokens", "output_tokens", "cost_usd", "latency_s"]
    replies = pd.concat([table[["model"]], texts[["response"]], table[[*numbers, "finish_reason"]]], axis=1)[answered]
    outcomes = replies.loc[replies.index.isin(feedback.index), ["model", "cost_usd", "latency_s"]]
    outcomes.insert(1, "quality", feedback.reindex(outcomes.index).to_numpy(float))
    outcomes["quality_scale"] = "feedback"
    said = texts["prompt"].notna() & ~columns.is_blank(rows)
    return {
        "calls": table,
        "prompts": check_prompts(texts.loc[said, ["prompt"]].reset_index()),
        "responses": check_responses(replies.reset_index()),
        "outcomes": check_outcomes(outcomes.reset_index()),
        "quality": quality,
        "cost": cost,
    }
