"""One rule, applied again after each answer: routing, cascading and both by one willingness to pay."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.linear_model import RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.validation import check_is_fitted

from routerlab.decision import Estimates, Sweep, check_wtp, decide, estimates_of, kept_back, sweep_arrays
from routerlab.exceptions import ParameterError
from routerlab.model_selection import copy_codes, cross_estimates, fit_copy, grouped_folds
from routerlab.options._answers import Extract, check_samples, read_answers, wide, with_samples
from routerlab.options._scores import features_of
from routerlab.routers import DecidingRouter, training_outcomes
from routerlab.schema import Outcomes, by_prompt, id_remedy, provenance_of, refuse_parameter, reject, shown

Floats = NDArray[np.float64]
Stage = tuple[str, ...]
_NEVER = 1e9  # USD, and lost quality, of an answer that is not there


class Joint(NamedTuple):
    """Out-of-fold operating points of models and cascades, and what each column cost and was worth.

    Attributes
    ----------
    sweep : Sweep
        Over all columns: `routerlab.frontier`, `routerlab.promise` and others take it.
    quality, cost : DataFrame of shape (n_prompts, n_models + n_stages * n_steps)
        Measured outcomes of the models, and of the cascades as they decided out of fold.
    after : dict of tuple of str to DataFrame
        Quality of each model that was expected after a set's answers, of shape (n_prompts, n_models): the larger a
        model's lead over those that have answered, the more a prompt needs it.
    """

    sweep: Sweep
    quality: pd.DataFrame
    cost: pd.DataFrame
    after: dict[Stage, pd.DataFrame]


class CascadeRouter(DecidingRouter):
    """Route, look at cheap answers, and decide again: the rule of all routers, applied after each answer.

    Before any answer, each model's quality is estimated from the prompt. Where `first` models have answered, the
    estimates are updated by what they said (who agrees with whom, who gave no answer, how long), and the rule is
    applied again at the same willingness to pay: keep the best of the answers that are there and paid for, or ask
    another model if its expected gain is worth its cost.

    What a cascade costs and is worth depends on that willingness to pay. Each of `n_steps` values of it makes a column
    next to the models; one sweep lets all of them compete.

    Parameters
    ----------
    router : router, or Pipeline that ends in one
        Estimates quality and cost before any answer. Cloned.
    first : list of (str or list of str)
        Which models may be asked for a first look: sets of models asked in parallel, e.g. ``[["small", "tiny"]]``.
        After a set, a larger one that contains it is among the options, so that looks can follow one another.
    extract : str or callable, default 'auto'
        How answers are read; see `routerlab.options.extract_answers`.
    estimator : regressor, optional
        Predicts each model's quality from the router's estimates and the answers' features; by default a ridge
        regression on standardised features that chooses its penalty.
    n_steps : int, default 8
        Columns for each set: values of the willingness to pay between always keeping and always asking. More make the
        frontier finer; see Notes.
    cv : int, default 5
        Folds on which estimates are made that what follows learns from.
    willingness_to_pay : float, default infinity
        USD that one unit of quality is worth on one request.
    random_state : int, default 0
        Shuffles the folds.

    Attributes
    ----------
    models_ : Index
        Models, then cascades: the columns of `outcomes`.
    steps_ : dict of tuple of str to ndarray
        Willingness to pay of each set's columns.
    stages_ : dict of str to tuple of str
        The set that each cascade asks first.

    Notes
    -----
    Where the estimates are right, the joint optimum of routing and cascading is at each willingness to pay the policy
    that applies the rule after each answer [1]_. Columns of a grid reach it at the grid's own values, and fall short of
    it between them by what a cascade of a neighbouring value loses; with 8 steps that gap is small
    (``benchmarks/cascades.py`` prints it).

    References
    ----------
    .. [1] J. Dekoninck, M. Baader and M. Vechev, "A unified approach to routing and cascading for LLMs",
       arXiv:2410.10347, 2024.

    Examples
    --------
    >>> from routerlab.routers import KNNRouter
    >>> rng = np.random.default_rng(0)
    >>> index = pd.Index([f"p{i}" for i in range(200)], name="prompt_id")
    >>> X = pd.DataFrame(rng.normal(size=(200, 3)), index=index)
    >>> small = rng.integers(2, size=200)
    >>> quality = pd.DataFrame({"small": small, "tiny": small, "large": 1}, index=index, dtype=float)
    >>> cost = pd.DataFrame({"small": 0.001, "tiny": 0.001, "large": 0.01}, index=index)
    >>> said = {"small": "A", "tiny": np.where(small, "A", "B")}
    >>> responses = pd.concat([pd.DataFrame({"prompt_id": index, "model": m, "response": r}) for m, r in said.items()])
    >>> router = CascadeRouter(KNNRouter(20), [["small", "tiny"]], n_steps=4, willingness_to_pay=0.05)
    >>> router = router.fit(X, quality, cost=cost, responses=responses)
    >>> measured = router.outcomes(X, quality, cost, responses=responses)
    >>> router.predict(X).iloc[0]
    'small + tiny > 2 of 4'
    >>> float(measured.quality["small + tiny > 2 of 4"].mean())
    1.0
    """

    def __init__(
        self,
        router: Any,
        first: Sequence[str | Sequence[str]],
        *,
        extract: Extract = "auto",
        estimator: Any = None,
        n_steps: int = 8,
        cv: int = 5,
        willingness_to_pay: float = float("inf"),
        random_state: int = 0,
    ) -> None:
        self.router = router
        self.first = first
        self.extract = extract
        self.estimator = estimator
        self.n_steps = n_steps
        self.cv = cv
        self.willingness_to_pay = willingness_to_pay
        self.random_state = random_state

    def fit(
        self,
        X: Any,
        quality: Any,
        *,
        cost: Any = None,
        responses: pd.DataFrame,
        groups: Any = None,
        prompts: Any = None,
    ) -> CascadeRouter:
        """Learn what to expect before and after the first answers.

        Parameters
        ----------
        X : DataFrame of shape (n_prompts, n_features), or what the router's pipeline takes
            Indexed by ``prompt_id``.
        quality, cost : DataFrame of shape (n_prompts, n_models), cost optional with Outcomes
            Measured outcomes; or an `Outcomes` in place of both.
        responses : DataFrame
            Responses table of the models in `first`.
        groups, prompts : optional
            See `routerlab.cross_estimates`.

        Returns
        -------
        CascadeRouter
            Itself.
        """
        quality, cost = training_outcomes(by_prompt(X), quality, cost)
        looks = self._looks(responses, quality)
        return self._fit(by_prompt(X), quality, cost, looks, groups, prompts)

    def _fit(
        self, X: Any, quality: pd.DataFrame, cost: pd.DataFrame, looks: dict[Stage, Floats], groups: Any, prompts: Any
    ) -> CascadeRouter:
        check_wtp(self.willingness_to_pay)
        codes = copy_codes(X, quality.index, groups, prompts)
        folds = grouped_folds(codes, self.cv, int(np.random.default_rng(self.random_state).integers(2**31)))
        before = cross_estimates(self.router, X, quality, cost, cv=folds)
        self.base_ = fit_copy(self.router, X, quality, cost)
        self.asked_ = quality.columns
        self.checks_: dict[Stage, Any] = {}
        self.steps_: dict[Stage, Floats] = {}
        columns = _Columns(quality, cost)
        for stage, look in looks.items():
            known, spent = columns.after(stage)
            features = _joined(before.quality, look)
            update = _Updates(self._regressor())
            after = self._expected(stage, update.cross_predict(features, known, spent, folds), before.cost.to_numpy())
            self.checks_[stage] = update.fit(features, known, spent)
            self.steps_[stage] = _steps(*after, self.n_steps)
            columns.add(stage, self._names(stage), [decide(*after, wtp) for wtp in self.steps_[stage]])
        self.stages_ = {name: stage for stage in looks for name in self._names(stage)}
        known, spent = columns.after(())
        nothing = np.empty((len(known), 0))
        self.prior_ = _Updates(self._regressor()).fit(_joined(before.quality, nothing), known, spent)
        self.models_ = columns.frames().quality.columns
        self.provenance_ = provenance_of(quality, cost)
        return self

    def _regressor(self) -> Any:
        if self.estimator is not None:
            return clone(self.estimator)
        return make_pipeline(StandardScaler(), RidgeCV(np.logspace(-1, 4, 11)))

    def _expected(self, stage: Stage, found: tuple[Floats, Floats], cost: Floats) -> tuple[Floats, Floats]:
        """Estimates after a look: quality, and what is yet to be paid (nothing for those who have answered)."""
        quality, spent = found
        n_models = len(self.asked_)
        to_pay = np.maximum(spent, 0.0)
        to_pay[:, :n_models] = np.where(self.asked_.isin(stage), 0.0, cost)
        return quality, to_pay

    def _names(self, stage: Stage) -> list[str]:
        return [f"{' + '.join(stage)} > {k + 1} of {self.n_steps}" for k in range(self.n_steps)]

    def _looks(self, responses: pd.DataFrame, quality: pd.DataFrame) -> dict[Stage, Floats]:
        """Features of the answers of each set, the larger sets first."""
        if isinstance(self.n_steps, bool) or not isinstance(self.n_steps, (int, np.integer)) or self.n_steps < 1:
            refuse_parameter("n_steps", "a whole number of at least 1", self.n_steps)
        first = [self.first] if isinstance(self.first, str) else self.first
        stages = [(s,) if isinstance(s, str) else tuple(s) for s in first]
        table = with_samples(check_samples(responses))
        asked = {model for stage in stages for model in stage}
        for where, known in (("'quality'", set(quality.columns)), ("'responses'", set(table["model"]))):
            if absent := sorted(asked - known):
                reject(where, f"has nothing of {shown(absent)}, which are asked first.", "Add it, or change first=.")
        ids = pd.Index(table["prompt_id"])
        table = table[table["model"].isin(asked)]
        silent = ~np.logical_and.reduce(
            [quality.index.isin(mine) for _, mine in table.groupby("model", observed=True)["prompt_id"]]
        )
        if silent.any():
            at = quality.index[silent]
            remedy = "Add what the first models answered ('' if nothing), or leave those prompts out."
            reject(
                "'responses'",
                f"has no response for {len(at):,} prompts: {shown(at)}.",
                id_remedy(at, ids, ("'quality'", "'responses'"), remedy),
            )
        table = table[table["prompt_id"].isin(quality.index)]
        answers, texts = wide(table, read_answers(table, self.extract)), wide(table, table["response"])
        found = {stage: features_of(answers, texts, stage).loc[quality.index].to_numpy() for stage in stages}
        return dict(sorted(found.items(), key=lambda item: -len(item[0])))

    def outcomes(self, X: Any, quality: Any, cost: Any = None, *, responses: pd.DataFrame) -> Outcomes:
        """Work out what each column cost and was worth on prompts whose answers and outcomes are known.

        Parameters
        ----------
        X, quality, cost, responses
            As at `fit`, of any prompts.

        Returns
        -------
        Outcomes
            Quality and cost of shape (n_prompts, n_columns).
        """
        check_is_fitted(self, "prior_")
        quality, cost = training_outcomes(by_prompt(X), quality, cost)
        return self._outcomes(by_prompt(X), quality, cost, self._looks(responses, quality))

    def _outcomes(self, X: Any, quality: pd.DataFrame, cost: pd.DataFrame, looks: dict[Stage, Floats]) -> Outcomes:
        columns = _Columns(quality[self.asked_], cost[self.asked_])
        for stage, after in self._after(X, looks).items():
            columns.add(stage, self._names(stage), [decide(*after, wtp) for wtp in self.steps_[stage]])
        return columns.frames()

    def _after(self, X: Any, looks: dict[Stage, Floats]) -> dict[Stage, tuple[Floats, Floats]]:
        """Estimates after each look: quality of the columns that are open, and what is yet to be paid."""
        before = _estimates(self.base_, X)
        return {
            stage: self._expected(
                stage, self.checks_[stage].predict(_joined(before.quality, look)), np.asarray(before.cost)
            )
            for stage, look in looks.items()
        }

    def _estimates_of(self, X: Any) -> tuple[Estimates, pd.Index]:
        """Estimates of all columns before any answer, and the prompts' ids."""
        check_is_fitted(self, "prior_")
        X = by_prompt(X)
        found = _estimates(self.base_, X)
        index = X.index if hasattr(X, "index") else pd.RangeIndex(len(found.quality))
        nothing = np.empty((len(found.quality), 0))
        expected = self._expected((), self.prior_.predict(_joined(found.quality, nothing)), np.asarray(found.cost))
        return Estimates(*expected, kept_back(self, index, found.quality)), index

    def follow(self, name: str, X: Any, texts: pd.DataFrame) -> pd.Series:
        """Decide again, after the first answers of a cascade: what `RoutedClient` does live.

        Parameters
        ----------
        name : str
            The cascade, of ``models_``.
        X : DataFrame of shape (n_prompts, n_features)
            As at fit.
        texts : DataFrame of shape (n_prompts, n_models)
            What the models of ``stages_[name]`` answered; None where one failed, whose answer is never kept.

        Returns
        -------
        Series of shape (n_prompts,)
            A model that has answered (its answer is kept), another one to ask, or a cascade with a larger set.

        Raises
        ------
        ParameterError
            The cascade has no stage of this name.
        """
        check_is_fitted(self, "prior_")
        if name not in self.stages_:
            reject("'name'", f"got {name!r}, expected one of {shown(self.stages_, 8)}.", "See models_.", ParameterError)
        X, stage = by_prompt(X), self.stages_[name]
        said = texts[list(stage)]
        rows = [(k, m, said[m].iloc[k]) for k in range(len(said)) for m in stage]
        table = pd.DataFrame(rows, columns=["prompt_id", "model", "response"])
        answers, flat = wide(table, read_answers(table, self.extract)), wide(table, table["response"])
        after = self._after(X, {stage: features_of(answers, flat, stage).to_numpy()})[stage]
        larger = [n for n, other in self.stages_.items() if set(stage) < set(other)]
        columns = pd.Index([*self.asked_, *larger])
        for model in stage:
            failed = said[model].isna().to_numpy()
            after[0][failed, columns.get_loc(model)] = -_NEVER
            after[1][failed, columns.get_loc(model)] = _NEVER
        wtp = self.steps_[stage][self._names(stage).index(name)]
        return pd.Series(columns[decide(*after, wtp)], index=getattr(X, "index", None), name="model")


def cross_cascades(
    router: CascadeRouter,
    X: Any,
    quality: Any,
    cost: Any = None,
    *,
    responses: pd.DataFrame,
    groups: Any = None,
    prompts: Any = None,
    cv: int = 5,
    random_state: int = 0,
) -> Joint:
    """Sweep models and cascades on all prompts, each judged by a copy that has not seen it.

    Checks are learned inside the training folds, on folds of their own.

    Parameters
    ----------
    router : CascadeRouter
        Left as it is.
    X, quality, cost, responses, groups, prompts
        See `CascadeRouter.fit`.
    cv, random_state : int, optional
        Outer folds.

    Returns
    -------
    Joint
        ``sweep``, ``quality`` and ``cost``, for `routerlab.frontier`, `routerlab.promise` and the others.

    Examples
    --------
    >>> from routerlab.routers import KNNRouter
    >>> index = pd.Index([f"p{i}" for i in range(60)], name="prompt_id")
    >>> X = pd.DataFrame(np.random.default_rng(0).normal(size=(60, 3)), index=index)
    >>> quality = pd.DataFrame({"small": [0.0, 1.0] * 30, "large": 1.0}, index=index)
    >>> responses = pd.DataFrame({"prompt_id": index, "model": "small", "response": ["", "B"] * 30})
    >>> router = CascadeRouter(KNNRouter(5), ["small"], n_steps=3)
    >>> joint = cross_cascades(router, X, quality, {"small": 0.001, "large": 0.01}, responses=responses)
    >>> joint.quality.columns.tolist()
    ['small', 'large', 'small > 1 of 3', 'small > 2 of 3', 'small > 3 of 3']
    """
    X = by_prompt(X)
    quality, cost = training_outcomes(X, quality, cost)
    looks = router._looks(responses, quality)
    codes = copy_codes(X, quality.index, groups, prompts)
    parts = []
    for train, test in grouped_folds(codes, cv, int(np.random.default_rng(random_state).integers(2**31))):
        inside, outside = ({stage: look[rows] for stage, look in looks.items()} for rows in (train, test))
        fitted = clone(router)._fit(_rows(X, train), quality.iloc[train], cost.iloc[train], inside, codes[train], None)
        measured = fitted._outcomes(_rows(X, test), quality.iloc[test], cost.iloc[test], outside)
        parts.append((fitted._estimates_of(_rows(X, test))[0], measured, fitted._after(_rows(X, test), outside)))
    models = parts[0][1].quality.columns
    frames = [pd.concat([getattr(measured, name) for _, measured, _ in parts]) for name in ("quality", "cost")]
    rows = frames[0].index.get_indexer(quality.index)
    guesses = [np.vstack([found[k] for found, _, _ in parts])[rows] for k in (0, 1)]
    frames = [frame.loc[quality.index] for frame in frames]
    note = provenance_of(quality, cost)
    for frame in frames:
        frame.attrs = {"options": parts[0][1].quality.attrs["options"]} | ({"provenance": note} if note else {})
    after = {
        stage: pd.DataFrame(
            np.vstack([found[stage][0][:, : quality.shape[1]] for _, _, found in parts])[rows],
            index=quality.index,
            columns=quality.columns,
        )
        for stage in looks
    }
    return Joint(
        sweep_arrays(guesses[0], guesses[1], quality.index, models, provenance=note), frames[0], frames[1], after
    )


class _Columns:
    """Models and the cascades made so far: what each cost and was worth."""

    def __init__(self, quality: pd.DataFrame, cost: pd.DataFrame) -> None:
        self.index, self.attrs = quality.index, (dict(quality.attrs), dict(cost.attrs))
        self.models = list(quality.columns)
        self.names: list[str] = list(quality.columns)
        self.stage_of: list[Stage] = [()] * len(self.names)
        self.quality, self.cost = quality.to_numpy(dtype=float), cost.to_numpy(dtype=float)

    def _open(self, stage: Stage) -> NDArray[np.intp]:
        """Columns among which to choose after a look: models, and looks that contain it."""
        larger = [bool(other) and set(stage) < set(other) for other in self.stage_of]
        return np.flatnonzero(np.array(larger) | (np.array([not other for other in self.stage_of])))

    def after(self, stage: Stage) -> tuple[Floats, Floats]:
        """Quality of the columns among which to choose after a look, and what each adds to the bill."""
        rows = self._open(stage)
        paid = self._paid(stage)[:, None]
        spent = self.cost[:, rows] - np.where(rows < len(self.models), 0.0, paid)
        return self.quality[:, rows], spent

    def _paid(self, stage: Stage) -> Floats:
        return self.cost[:, [self.models.index(model) for model in stage]].sum(axis=1)

    def add(self, stage: Stage, names: list[str], chosen: list[NDArray[np.intp]]) -> None:
        """Add the columns of a look, by what is chosen after it at each step."""
        quality, spent = self.after(stage)
        free = np.isin(self.names[: len(self.models)], stage)
        spent[:, : len(self.models)][:, free] = 0.0
        rows, paid = np.arange(len(quality)), self._paid(stage)
        self.quality = np.column_stack([self.quality, *(quality[rows, pick] for pick in chosen)])
        self.cost = np.column_stack([self.cost, *(paid + spent[rows, pick] for pick in chosen)])
        self.names += names
        self.stage_of += [stage] * len(names)

    def frames(self) -> Outcomes:
        found = [pd.DataFrame(v, index=self.index, columns=self.names) for v in (self.quality, self.cost)]
        options = {
            name: {"stages": [list(stage), ["the best that is worth it"]], "check": "the rule", "threshold": ()}
            for name, stage in zip(self.names, self.stage_of, strict=True)
            if stage
        }
        for frame, attrs in zip(found, self.attrs, strict=True):
            frame.attrs, frame.columns.name = attrs | {"options": attrs.get("options", {}) | options}, "model"
        return Outcomes.checked(found[0], found[1])


def _steps(quality: Floats, cost: Floats, n_steps: int) -> Floats:
    """Values of the willingness to pay, from asking the best model to keeping what is there."""
    index, models = pd.RangeIndex(len(quality)), pd.RangeIndex(quality.shape[1])
    wtp = sweep_arrays(quality, cost, index, models).wtp
    wtp = wtp[np.isfinite(wtp) & (wtp > 0)]
    if not len(wtp):
        return np.repeat(np.inf, n_steps)
    inner = np.quantile(wtp, np.linspace(1, 0, n_steps)[1:-1])
    return np.array([np.inf, *(inner * (1 - 1e-9)), 0.0])  # just below a switch, so that rounding can't undo it


def _joined(quality: Any, look: Floats) -> Floats:
    """Features of an update: the router's estimates of who leads, and what the answers look like."""
    quality = np.asarray(quality)
    return np.hstack([quality - quality.mean(axis=1, keepdims=True), look])


class _Updates:
    """Estimates of all columns from what is known so far.

    Choices depend on differences between columns: their penalty is chosen on these, one for all.
    """

    def __init__(self, regressor: Any) -> None:
        self.regressor = regressor

    def fit(self, features: Floats, quality: Floats, spent: Floats) -> _Updates:
        mean = quality.mean(axis=1, keepdims=True)
        self.lead_ = clone(self.regressor).fit(features, quality - mean)
        self.mean_ = clone(self.regressor).fit(features, mean)
        self.spent_ = clone(self.regressor).fit(features, spent)
        return self

    def predict(self, features: Floats) -> tuple[Floats, Floats]:
        n = len(features)
        quality = self.lead_.predict(features).reshape(n, -1) + self.mean_.predict(features).reshape(n, 1)
        return quality, self.spent_.predict(features).reshape(n, -1)

    def cross_predict(self, features: Floats, quality: Floats, spent: Floats, folds: Any) -> tuple[Floats, Floats]:
        found = np.empty(quality.shape), np.empty(spent.shape)
        for train, test in folds:
            copy = _Updates(self.regressor).fit(features[train], quality[train], spent[train])
            for whole, part in zip(found, copy.predict(features[test]), strict=True):
                whole[test] = part
        return found


def _estimates(fitted: Any, X: Any) -> Any:
    """Estimates of a fitted router, or of a pipeline that ends in one."""
    if hasattr(fitted, "steps"):
        X, fitted = fitted[:-1].transform(X), fitted[-1]
    found = estimates_of(fitted, X)
    return found._replace(quality=np.asarray(found.quality), cost=np.asarray(found.cost))


def _rows(X: Any, rows: Any) -> Any:
    return X.iloc[rows] if hasattr(X, "iloc") else np.asarray(X)[rows]
