"""Cascades as options: ask cheap models, check what they answered, escalate where that is not good enough."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from routerlab.model_selection import grouped_folds
from routerlab.options._answers import Extract, check_samples, read_answers, refuse, wide, with_samples
from routerlab.options._scores import Checked, LearnedCheck, agreement, features_of, given_scores
from routerlab.schema import Outcomes, by_prompt, check_outcomes, id_remedy, reject, row_labels, shown
from routerlab.stats import group_codes

Names = str | Sequence[str]


@dataclass(frozen=True)
class Cascade:
    """Who is asked first, how their answers are checked, and who is asked where that is not enough.

    Attributes
    ----------
    name : str
        Of the option.
    stages : tuple of tuple of str
        Models of each stage, asked in parallel; the next stage follows where the check fails.
    check : str
        What the answers are checked by.
    threshold : tuple of float
        Score from which a stage's answer is kept, one for each stage but the last; empty if all are asked and the best
        answer is kept.

    Examples
    --------
    >>> Cascade("two, then large", (("small", "tiny"), ("large",)), "agreement", (1.0,))
    Cascade(two, then large: small + tiny; agreement < 1: large)
    """

    name: str
    stages: tuple[tuple[str, ...], ...]
    check: str = "agreement"
    threshold: tuple[float, ...] = field(default=(1.0,))

    @property
    def models(self) -> tuple[str, ...]:
        """All models that it may ask, in order."""
        return tuple(model for stage in self.stages for model in stage)

    def __repr__(self) -> str:
        """Say what happens, in order."""
        said = " + ".join(self.stages[0])
        for stage, bar in zip(self.stages[1:], self.threshold, strict=True):
            said += f"; {self.check} < {bar:g}: {' + '.join(stage)}"
        return f"Cascade({self.name}: {said})"


def cascade_outcomes(
    outcomes: pd.DataFrame,
    responses: pd.DataFrame | None = None,
    *,
    first: Names,
    then: Names | Sequence[Names] | None = None,
    check: Any = "agreement",
    threshold: float | Sequence[float | tuple[float, ...]] = 1.0,
    extract: Extract = "auto",
    check_cost: str | float = 0.0,
    X: pd.DataFrame | None = None,
    groups: Any = None,
    name: str | None = None,
    cv: int = 5,
    random_state: int = 0,
) -> pd.DataFrame:
    """Append a cascade to the outcomes table: what it would have cost and been worth on every prompt.

    The models in `first` are asked in parallel and their answers checked. Where the score reaches the threshold, the
    answer is kept; elsewhere `then` is asked. Cost is that of every call made, quality that of the answer kept, latency
    the slowest of parallel calls plus what followed.

    Parameters
    ----------
    outcomes : DataFrame
        Outcomes table with rows of every model that is asked; see `routerlab.check_outcomes`.
    responses : DataFrame, optional
        Responses table of the models whose answers are checked; not needed if `check` holds scores.
    first : str or list of str
        Models asked first. A model named several times is sampled so often: both tables then hold its samples, told
        apart by a column ``sample`` (or as models 'small', 'small#2').
    then : str or list, optional
        Who is asked where the check fails: a model, or several stages, each a model or a list of models asked in
        parallel. The last one's answer is kept unchecked. Another option of the table may stand here. None: all of
        `first` are asked, and the answer that scores best is kept.
    check : 'agreement', str, Series, DataFrame, callable or LearnedCheck, default 'agreement'
        'agreement' of the answers so far, see `routerlab.options.agreement`; a column of `responses` that holds scores
        in [0, 1], such as a judge's; scores by prompt, or by prompt and model; a function from a frame of responses
        (n_prompts, n_models) to scores, e.g. ``partial(similarity, embedder=SentenceEmbedder())``; a `LearnedCheck`,
        which scores each prompt by a copy that has not seen it.
    threshold : float or sequence, default 1.0
        Score from which an answer is kept. Several make as many options. With several stages, a tuple says one for
        each.
    extract : str or callable, default 'auto'
        How answers are read, see `routerlab.options.extract_answers`.
    check_cost : float or str, default 0
        What checking costs, on top of the calls: USD for each stage that is checked, or a column of `responses` with
        the USD for each response, such as ``judge_usd`` of `routerlab.PointwiseJudge`.
    X : DataFrame of shape (n_prompts, n_features), optional
        Embeddings, for a `LearnedCheck`.
    groups : Series or array, optional
        Prompts that the folds of a `LearnedCheck` must not tear apart.
    name : str, optional
        Name of the option; by default 'small + tiny > large'. Several thresholds are added as ' @0.5'.
    cv, random_state : int, optional
        Folds of a `LearnedCheck`.

    Returns
    -------
    DataFrame
        The outcomes, and below them one row for each prompt and new option. ``attrs["options"]`` holds the
        definitions; `option_table` shows them. Where an outcome of a model is empty, so is the option's.

    Raises
    ------
    TableError
        Missing answers, a model that is asked twice, a cascade that leads to itself, scores outside [0, 1].

    References
    ----------
    .. [1] L. Chen, M. Zaharia and J. Zou, "FrugalGPT", arXiv:2305.05176, 2023.
    .. [2] J. Dekoninck, M. Baader and M. Vechev, "A unified approach to routing and cascading for LLMs",
       arXiv:2410.10347, 2024.

    Examples
    --------
    >>> rows = [("p1", "small", 1.0, 0.001), ("p1", "tiny", 1.0, 0.001), ("p1", "large", 1.0, 0.01)]
    >>> rows += [("p2", "small", 0.0, 0.001), ("p2", "tiny", 0.0, 0.001), ("p2", "large", 1.0, 0.01)]
    >>> outcomes = pd.DataFrame(rows, columns=["prompt_id", "model", "quality", "cost_usd"])
    >>> said = [("p1", "small", "B"), ("p1", "tiny", "B"), ("p2", "small", "A"), ("p2", "tiny", "C")]
    >>> responses = pd.DataFrame(said, columns=["prompt_id", "model", "response"])
    >>> both = cascade_outcomes(outcomes, responses, first=["small", "tiny"], then="large", name="two")
    >>> both[both["model"] == "two"][["prompt_id", "quality", "cost_usd"]].values.tolist()
    [['p1', 1.0, 0.002], ['p2', 1.0, 0.012]]
    """
    if isinstance(outcomes, Outcomes):
        remedy = "Pass that table, one row for each prompt and model; rl.pivot_outcomes comes after this."
        reject("'outcomes'", "got pivoted Outcomes, expected the outcomes table.", remedy)
    known = dict(getattr(outcomes, "attrs", {}).get("options", {}))
    outcomes = check_outcomes(with_samples(outcomes))
    stages = _stages(first, then)
    called = name or " > ".join(" + ".join(stage) for stage in stages)
    table = _Table.of(outcomes, [model for stage in stages for model in stage])
    _check_stages(stages, called, table, known)
    check_options(outcomes, known)
    bars = _thresholds(threshold, len(stages) - 1)
    given = _Given.of(responses, extract, X, table.index, table.models)
    checked = _checked(stages, check, given, table, groups, cv, random_state)
    fees = [_check_cost(check_cost, responses, stage, table.index) for stage in stages[: len(checked)]]
    parts, new = [outcomes], {}
    for bar in bars:
        title = called if len(bars) == 1 else f"{called} @{'/'.join(f'{b:g}' for b in bar)}"
        if title in known or title in set(outcomes["model"]):
            refuse("'name'", f"{title!r} is in the outcomes already.", "Pass another name=.")
        parts.append(_rows(title, table, stages, checked, bar, fees))
        new[title] = {"stages": stages, "check": _said(check), "threshold": bar}
    result = pd.concat(parts, ignore_index=True)
    result.attrs = {**outcomes.attrs, "options": known | new}
    return result


def option_table(outcomes: pd.DataFrame) -> pd.DataFrame:
    """Show how the options of a table are defined.

    Parameters
    ----------
    outcomes : DataFrame
        From `cascade_outcomes`; or quality or cost, pivoted from it.

    Returns
    -------
    DataFrame
        Indexed by ``option``: ``first``, ``then``, ``check``, ``threshold``.

    Examples
    --------
    >>> frame = pd.DataFrame()
    >>> frame.attrs["options"] = {"two": {"stages": [["a", "b"], ["c"]], "check": "agreement", "threshold": (1.0,)}}
    >>> option_table(frame).loc["two"].tolist()
    ['a + b', 'c', 'agreement', '1']
    """
    rows = {
        name: {
            "first": " + ".join(option["stages"][0]),
            "then": ", ".join(" + ".join(stage) for stage in option["stages"][1:]),
            "check": option["check"],
            "threshold": ", ".join(f"{bar:g}" for bar in option["threshold"]),
        }
        for name, option in outcomes.attrs.get("options", {}).items()
    }
    table = pd.DataFrame.from_dict(rows, orient="index", columns=["first", "then", "check", "threshold"])
    return table.rename_axis("option")


def definitions(outcomes: pd.DataFrame) -> dict[str, Cascade]:
    """Return the cascades of a table, for `routerlab.RoutedClient` to execute.

    Examples
    --------
    >>> frame = pd.DataFrame()
    >>> frame.attrs["options"] = {"two": {"stages": [["a", "b"], ["c"]], "check": "agreement", "threshold": (1.0,)}}
    >>> definitions(frame)
    {'two': Cascade(two: a + b; agreement < 1: c)}
    """
    return {
        name: Cascade(name, tuple(map(tuple, o["stages"])), o["check"], tuple(o["threshold"]))
        for name, o in outcomes.attrs.get("options", {}).items()
    }


def check_options(outcomes: pd.DataFrame, options: Mapping[str, Any]) -> None:
    """Insist that no option costs less than the calls that it always makes.

    Examples
    --------
    >>> rows = [("p1", "small", 1.0, 0.002), ("p1", "two", 1.0, 0.001)]
    >>> table = pd.DataFrame(rows, columns=["prompt_id", "model", "quality", "cost_usd"])
    >>> check_options(table, {"two": {"stages": [["small"], ["large"]]}})
    Traceback (most recent call last):
    routerlab.exceptions.TableError: option 'two': costs 0.001 USD at prompt_id 'p1', and its first calls 0.002...
    """
    for name, option in options.items():
        rows = outcomes[outcomes["model"] == name].set_index("prompt_id")["cost_usd"]
        parts = outcomes[outcomes["model"].isin(option["stages"][0])]
        paid = parts.groupby("prompt_id")["cost_usd"].sum(min_count=1).reindex(rows.index)
        cheap = rows < paid * (1 - 1e-9)
        if cheap.any():
            where = f"costs {shown(rows[cheap], 3)} USD at prompt_id {shown(rows.index[cheap], 3)}"
            reject(
                f"option {name!r}",
                f"{where}, and its first calls {shown(paid[cheap], 3)} together.",
                "Count every call that was made: cascade_outcomes(...) does.",
            )


class _Table:
    """Outcomes of the models that are asked, as arrays of shape (n_prompts, n_models)."""

    def __init__(self, index: pd.Index, models: list[str], data: dict[str, NDArray[np.float64]]) -> None:
        self.index, self.models, self.data = index, models, data

    @classmethod
    def of(cls, outcomes: pd.DataFrame, models: list[str]) -> _Table:
        index = pd.Index(pd.unique(outcomes["prompt_id"]), name="prompt_id")
        known = list(pd.unique(outcomes["model"]))
        absent = [model for model in models if model not in known]
        if absent:
            remedy = "Add their outcomes, or pick models that are there."
            if any("#" in str(model) for model in absent):
                remedy = (
                    "A model that is named several times is sampled so often: add a column 'sample' to both tables."
                )
            reject("outcomes table", f"has no rows of {shown(absent)}; there are {shown(known, 20)}.", remedy)
        columns = [c for c in ("quality", "cost_usd", "latency_s") if c in outcomes]
        part = outcomes[outcomes["model"].isin(models)].set_index(["prompt_id", "model"])[columns]
        wides = {c: part[c].unstack("model").reindex(index=index, columns=models) for c in columns}  # noqa: PD010
        return cls(index, models, {c: w.to_numpy(dtype=float) for c, w in wides.items()})

    def at(self, column: str, models: Sequence[str]) -> NDArray[np.float64]:
        return self.data[column][:, [self.models.index(model) for model in models]]


class _Given:
    """What checks may look at: answers, texts, embeddings."""

    def __init__(self, responses: Any, answers: Any, texts: Any, X: Any) -> None:
        self.responses, self.answers, self.texts, self.X = responses, answers, texts, X

    @classmethod
    def of(cls, responses: Any, extract: Extract, X: Any, index: pd.Index, models: Sequence[str]) -> _Given:
        if X is not None:
            X = by_prompt(X)
            absent = index.difference(row_labels(X))
            if len(absent):
                wrong, remedy = f"has no embedding of prompt_id {shown(absent)}.", "Embed all prompts of the outcomes."
                reject("'X'", wrong, id_remedy(row_labels(X), absent, ("'X'", "the outcomes table"), remedy))
            X = X.loc[index] if isinstance(X, pd.DataFrame) else X
        if responses is None:
            return cls(None, None, None, X)
        table = with_samples(check_samples(responses))
        return cls(
            responses, lambda: wide(table, read_answers(table, extract)), lambda: wide(table, table["response"]), X
        )

    def frame(self, kind: str, models: Sequence[str], table: _Table) -> pd.DataFrame:
        """Answers or texts of the models on all prompts; say what is missing."""
        if self.responses is None:
            reject("'responses'", "is missing, and the check looks at them.", "Pass the responses table of 'first'.")
        made = getattr(self, kind)
        if callable(made):
            made = made()
            setattr(self, kind, made)
        absent = [model for model in models if model not in made]
        if absent:
            reject("responses table", f"has no rows of {shown(absent)}.", "Add what the first models answered.")
        frame = made.reindex(index=table.index, columns=list(models))
        texts = self.frame("texts", models, table) if kind == "answers" else frame
        needed = ~np.isnan(table.at("quality", models))
        bare = (texts.isna().to_numpy() & needed).any(axis=1)
        if bare.any():
            at = table.index[bare]
            remedy = "Add what the first models answered there ('' if nothing), or select the prompts of both tables."
            reject(
                "responses table",
                f"has no response of {shown(models)} for {bare.sum()} prompts: {shown(at)}.",
                id_remedy(at, made.index, ("the outcomes table", "the responses table"), remedy),
            )
        return frame.astype(object).where(frame.notna(), None)


def _stages(first: Names, then: Any) -> list[list[str]]:
    """Return the models of each stage; a model that is named again is its next sample."""
    for name, given in (("'first'", first), ("'then'", then)):
        if not isinstance(given, Iterable) and not (given is None and name == "'then'"):
            refuse(name, f"got {given!r}.", "Name models, e.g. first=['small', 'tiny'], then='large'.")
    later = [] if then is None else [then] if isinstance(then, str) else list(then)
    stages = [
        [first] if isinstance(first, str) else list(first),
        *([s] if isinstance(s, str) else list(s) for s in later),
    ]
    if not all(stages):
        refuse("'first' and 'then'", "name no model.", "Pass e.g. first=['small', 'tiny'], then='large'.")
    seen: dict[str, int] = {}
    for k, model in enumerate(stages[0]):
        seen[model] = seen.get(model, 0) + 1
        if seen[model] > 1:
            stages[0][k] = f"{model}#{seen[model]}"
    return stages


def _check_stages(stages: list[list[str]], name: str, table: _Table, known: Mapping[str, Any]) -> None:
    if len(stages) == 1 and len(stages[0]) < 2:
        refuse(
            "'first'", f"names {shown(stages[0])} alone, and 'then' is missing.", "Pass then='large', or two models."
        )
    asked: list[str] = []
    for stage in stages:
        again = [model for model in stage if model in asked]
        if again:
            refuse(
                "'then'",
                f"{shown(again)} is among those asked before: its answer is there already.",
                "Name a model that has not been asked.",
            )
        asked += stage
    behind, seen = list(asked), set[str]()
    while behind:
        part = behind.pop()
        if part == name:
            refuse(
                "'then'", f"option {name!r} leads to itself.", "Name another model, or give the option another name."
            )
        if part in seen:
            continue
        seen.add(part)
        behind += [model for stage in known.get(part, {}).get("stages", []) for model in stage]
    twice = [m for m in stages[0] for s in stages[1:] for o in s if m in sum(known.get(o, {}).get("stages", []), [])]
    if twice:
        refuse(
            "'then'", f"asks {shown(twice)} again, which is asked first.", "Pass its stages: then=['claude', 'gpt-4']."
        )


def _thresholds(threshold: Any, n_checks: int) -> list[tuple[float, ...]]:
    if n_checks == 0:
        return [()]
    several = isinstance(threshold, (list, np.ndarray, pd.Series, range)) or (
        isinstance(threshold, tuple) and n_checks == 1
    )
    found = []
    for bar in list(threshold) if several else [threshold]:
        bars = tuple(bar) if isinstance(bar, (tuple, list)) else (bar,) * n_checks
        numbers = all(isinstance(b, (int, float, np.number)) and not isinstance(b, bool) for b in bars)
        if len(bars) != n_checks or not numbers or not all(0 <= b <= 1 for b in bars):
            refuse("'threshold'", f"got {bar!r}, expected {n_checks} in [0, 1].", "Pass e.g. threshold=0.5.")
        found.append(tuple(map(float, bars)))
    if not found:
        refuse("'threshold'", "is empty.", "Pass e.g. threshold=[0.3, 0.5, 0.7].")
    return found


def _checked(
    stages: list[list[str]], check: Any, given: _Given, table: _Table, groups: Any, cv: int, random_state: int
) -> list[Checked]:
    """Check the answers after each stage but the last; and after it, if several answers compete there."""
    found: list[Checked] = []
    for k in range(len(stages)):
        so_far = [model for stage in stages[: k + 1] for model in stage]
        last = k == len(stages) - 1
        if last and k > 0:
            if len(stages[k]) == 1:
                break
            so_far = stages[k]
        found.append(_score(so_far, stages, check, given, table, groups, cv, random_state))
    return found


def _score(
    so_far: list[str],
    stages: list[list[str]],
    check: Any,
    given: _Given,
    table: _Table,
    groups: Any,
    cv: int,
    seed: int,
) -> Checked:
    if isinstance(check, str) and check == "agreement":
        if len(so_far) < 2:
            remedy = "Ask two, sample it twice, or pass another check=, e.g. a LearnedCheck or a column of scores."
            refuse("'check'", f"{so_far[0]!r} alone can't agree with anyone.", remedy)
        return agreement(given.frame("answers", so_far, table))
    if isinstance(check, LearnedCheck):
        return _learned(check, so_far, stages[-1], given, table, groups, cv, seed)
    if callable(check):
        said = check(given.frame("texts", so_far, table))
        if isinstance(said, Checked):
            kept = said.kept
            return Checked(given_scores(said.score, None, so_far, table.index).score, kept)
        return given_scores(said, None, so_far, table.index)
    return given_scores(check, given.responses, so_far, table.index)


def _learned(
    check: LearnedCheck,
    so_far: list[str],
    last: list[str],
    given: _Given,
    table: _Table,
    groups: Any,
    cv: int,
    seed: int,
) -> Checked:
    answers, texts = (given.frame(kind, so_far, table) for kind in ("answers", "texts"))
    kept = agreement(answers).kept if len(so_far) > 1 else pd.Series(so_far[0], index=table.index, name="kept")
    own = table.at("quality", so_far)[np.arange(len(kept)), pd.Index(so_far).get_indexer(kept)]
    other = table.at("quality", last).max(axis=1) if last != so_far else np.ones(len(own))
    known = ~np.isnan(own) & ~np.isnan(other)
    codes = group_codes(groups, table.index)
    codes = np.arange(len(own)) if codes is None else codes
    folds = [(train[known[train]], test) for train, test in grouped_folds(codes, cv, seed)]
    features = features_of(answers, texts, so_far)
    return Checked(check.cross_score(features, own >= other, given.X, folds=folds), kept)


def _check_cost(check_cost: str | float, responses: Any, stage: Sequence[str], index: pd.Index) -> NDArray[np.float64]:
    """USD that checking a stage costs on each prompt."""
    if isinstance(check_cost, str):
        if responses is None or check_cost not in responses:
            wrong = f"got {check_cost!r}, expected USD or a column of the responses."
            refuse("'check_cost'", wrong, "Pass e.g. 'judge_usd' of PointwiseJudge.grade.")
        table = with_samples(responses)
        frame = wide(table, table[check_cost]).reindex(index=index, columns=list(stage))
        usd = frame.astype(float).to_numpy().sum(axis=1)
    elif isinstance(check_cost, bool) or not isinstance(check_cost, (int, float, np.number)):
        wrong = f"got {check_cost!r}, expected USD or a column of the responses."
        refuse("'check_cost'", wrong, "Pass e.g. 0.001, or 'judge_usd' of PointwiseJudge.grade.")
    else:
        usd = np.full(len(index), float(check_cost))
    if not (np.isfinite(usd) & (usd >= 0)).all():
        odd = ~(np.isfinite(usd) & (usd >= 0))
        wrong = f"is {shown(usd[odd], 3)} at prompt_id {shown(index[odd], 3)}, expected USD of at least 0."
        refuse("'check_cost'", wrong, "Give each checked response its cost, 0 if it was free.")
    return usd


def _rows(
    name: str,
    table: _Table,
    stages: list[list[str]],
    checked: list[Checked],
    bars: tuple[float, ...],
    fees: list[NDArray[np.float64]],
) -> pd.DataFrame:
    """Walk the stages, and add up what each prompt costs and takes."""
    n = len(table.index)
    alive, kept = np.ones(n, dtype=bool), np.zeros(n, dtype=int)
    spent, taken = np.zeros(n), np.zeros(n)
    names = pd.Index(table.models)
    for k, stage in enumerate(stages):
        spent[alive] += table.at("cost_usd", stage)[alive].sum(axis=1)
        if k < len(fees):
            spent[alive] += fees[k][alive]
        if "latency_s" in table.data:
            taken[alive] += table.at("latency_s", stage)[alive].max(axis=1)
        if k == len(stages) - 1:
            choice = checked[k].kept if len(checked) > k else np.repeat(stage[0], n)
            kept[alive] = names.get_indexer(choice)[alive]
            break
        enough = alive & (checked[k].score.to_numpy() >= bars[k])
        kept[enough] = names.get_indexer(checked[k].kept)[enough]
        alive &= ~enough
    rows = {"prompt_id": table.index, "model": name, "quality": table.data["quality"][np.arange(n), kept]}
    rows["cost_usd"] = spent
    if "latency_s" in table.data:
        rows["latency_s"] = taken
    return pd.DataFrame(rows)


def _said(check: Any) -> str:
    if isinstance(check, str):
        return check
    kind = type(check).__name__
    return getattr(check, "__name__", "given scores" if kind in ("Series", "DataFrame") else kind)
