"""What every router shares: estimates in, one decision rule, one sweep."""

from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pandas.api.types import is_integer_dtype
from sklearn.base import BaseEstimator, clone
from sklearn.utils.validation import check_is_fitted

from routerlab.decision import Estimates, Sweep, as_choices, check_wtp, decide, kept_back, sweep_arrays
from routerlab.exceptions import ParameterError
from routerlab.markup import NotebookReprMixin
from routerlab.routers._costs import warn_if_stale, with_costs
from routerlab.routers._explain import Explanation, explain_choice
from routerlab.schema import (
    Outcomes,
    by_prompt,
    check_aligned,
    check_columns,
    check_embeddings,
    check_matrix,
    check_model,
    column_names,
    id_remedy,
    provenance_of,
    reject,
    row_labels,
    shown,
)


class DecidingRouter(NotebookReprMixin, BaseEstimator):
    """The decision rule on estimates, with what a promise keeps back. Subclasses implement ``_estimates_of``."""

    willingness_to_pay: float
    min_similarity: float | None = None  # this and the fallback may be set by `routerlab.set_operating_point`
    fallback: str | None = None
    models_: pd.Index
    provenance_: str | None

    def _estimates_of(self, X: Any) -> tuple[Estimates, pd.Index]:
        msg = f"{type(self).__name__} does not say what it expects: implement _estimates_of(X)."
        raise TypeError(msg)

    def estimate(self, X: Any) -> Estimates:
        """Estimate each model's quality and cost, and who abstains, from one search for neighbours.

        Parameters
        ----------
        X : DataFrame or array of shape (n_prompts, n_features)
            Embeddings, made as at fit.

        Returns
        -------
        Estimates
            Named tuple of ``quality`` (expected, between 0 and 1) and ``cost`` (USD per request), DataFrames of shape
            (n_prompts, n_models), and ``abstained``, bool of shape (n_prompts,).
        """
        estimates, index = self._estimates_of(X)
        frames = [pd.DataFrame(values, index=index, columns=self.models_) for values in estimates[:2]]
        for frame in frames:
            frame.attrs = {"provenance": self.provenance_} if self.provenance_ else {}
        return Estimates(frames[0], frames[1], estimates.abstained)

    def _positions(self, estimates: Estimates) -> NDArray[np.intp]:
        """Apply the rule, and send the abstained to the fallback."""
        position = decide(estimates.quality, estimates.cost, self.willingness_to_pay)
        if estimates.abstained.any():
            position[estimates.abstained] = self.models_.get_loc(self.fallback)
        return position

    def predict_quality(self, X: Any) -> pd.DataFrame:
        """Estimate each model's quality; `estimate` gives cost from the same search.

        Parameters
        ----------
        X
            See `estimate`.

        Returns
        -------
        DataFrame of shape (n_prompts, n_models)
            Expected quality, between 0 and 1.
        """
        quality: pd.DataFrame = self.estimate(X).quality
        return quality

    def predict_cost(self, X: Any) -> pd.DataFrame:
        """Estimate each model's cost.

        Parameters
        ----------
        X
            See `estimate`.

        Returns
        -------
        DataFrame of shape (n_prompts, n_models)
            USD per request.
        """
        cost: pd.DataFrame = self.estimate(X).cost
        return cost

    def predict(self, X: Any) -> pd.Series:
        """Choose a model for each prompt at the router's ``willingness_to_pay``.

        Parameters
        ----------
        X
            See `estimate`.

        Returns
        -------
        Series of shape (n_prompts,)
            Model names; ``attrs["n_abstained"]`` counts prompts sent to the fallback.
        """
        estimates, index = self._estimates_of(X)
        choices = as_choices(self._positions(estimates), index, self.models_, estimates.abstained, self.provenance_)
        if self.min_similarity == np.inf or len(self.models_) == 1:  # whatever the prompt
            choices.attrs["always"] = choices.iloc[0]
        return choices

    def sweep(self, X: Any) -> Sweep:
        """Enumerate every distinct operating point, from best quality to cheapest.

        Neighbours are searched once, whatever the number of operating points.

        Parameters
        ----------
        X
            See `estimate`.

        Returns
        -------
        Sweep
            See `routerlab.frontier` for what it costs and is worth.
        """
        estimates, index = self._estimates_of(X)
        return sweep_arrays(
            estimates.quality,
            estimates.cost,
            index,
            self.models_,
            abstained=estimates.abstained,
            fallback=self.fallback,
            provenance=self.provenance_,
        )


class BaseRouter(DecidingRouter):
    """A quality estimator on embeddings. Subclasses fit, and implement ``_estimate``."""

    def _estimate(self, X: NDArray[np.float32]) -> Estimates:
        msg = f"{type(self).__name__} does not say how it estimates quality: implement _estimate(X)."
        raise TypeError(msg)

    def _checked(self, X: Any) -> tuple[NDArray[np.float32], pd.Index]:
        check_is_fitted(self, "models_")
        warn_if_stale(self)
        X = by_prompt(X)
        if not (isinstance(X, pd.DataFrame) and X.shape[1] != self.n_features_in_):  # the width says more than names
            X = check_columns(X, getattr(self, "feature_names_in_", None))
        return check_embeddings(X, n_features=self.n_features_in_), row_labels(X)

    def _estimates_of(self, X: Any) -> tuple[Estimates, pd.Index]:
        values, index = self._checked(X)
        return self._abstaining(self._estimate(values), values, index), index

    def _abstaining(self, estimates: Estimates, values: NDArray[np.float32], index: pd.Index) -> Estimates:
        return estimates._replace(abstained=estimates.abstained | kept_back(self, index, values))

    def explain(self, X: Any, prompts: pd.DataFrame | pd.Series | None = None) -> Explanation:
        """Say why one prompt goes where it goes.

        Parameters
        ----------
        X : DataFrame or array of shape (1, n_features)
            The prompt's embedding.
        prompts : DataFrame or Series, optional
            Prompts table, or texts by ``prompt_id``; ``prompt`` and ``intent`` are shown with each neighbour.

        Returns
        -------
        Explanation
            Neighbours (with similarity, weight, intent), each model's estimates, and a sentence.
        """
        return explain_choice(self, X, prompts)

    def score(self, X: Any, quality: pd.DataFrame) -> float:
        """Negative mean squared error of the predicted quality, so that larger is better.

        Empty cells of `quality` are left out. It does not depend on willingness to pay, which makes it the score to
        choose hyperparameters by (e.g. in ``GridSearchCV``).
        """
        predicted = self.predict_quality(X)
        quality = check_matrix(quality, "quality", 0.0, 1.0, missing=True)
        missing = self.models_.difference(quality.columns)
        if len(missing) or len(quality) != len(predicted):
            reject("'quality'", f"has shape {quality.shape}, expected {predicted.shape}.", "Pass the rows of X.")
        error = predicted.to_numpy() - quality[self.models_].to_numpy()
        return -float(np.nanmean(error**2))

    def with_costs(self, cost: Any = None, *, exclude: Any = ()) -> Any:
        """Return a copy at other costs, and without some of the models: quality is not learned again.

        Parameters
        ----------
        cost : DataFrame, Series or mapping, optional
            What `routerlab.reprice` returns; or USD per request, prompts x models, or one number for each model.
            Where all training prompts are priced, their costs replace the old ones; else each model's costs are scaled
            to the new mean. Default: the costs stay.
        exclude : sequence of str, optional
            Models not to route to: too slow, retired, dropped by their provider.

        Returns
        -------
        router
            A fitted copy. ``operating_point_`` is gone from it: that was chosen at the old costs, so choose it again
            with `routerlab.set_operating_point`; willingness to pay stays, and means what it meant. The copy knows
            the day of its prices (``priced_on_``) and when the first of them ends (``prices_end_``): from then on it
            warns whenever it routes.
        """
        check_is_fitted(self, "models_")
        return with_costs(self, cost, exclude)

    def save(self, path: str | Path) -> Path:
        """Write the fitted router to one ``.npz`` file, without pickle. See `load_router`."""
        from routerlab.routers._io import save_router

        return save_router(self, path)

    def _check_fallback(self) -> None:
        if self.min_similarity is not None and self.fallback is None:
            msg = "'min_similarity' is set and 'fallback' is not: name the model that far-off prompts go to."
            raise ParameterError(msg)
        if self.fallback is not None:
            check_model(self.fallback, self.models_, "fallback")

    def _start_fit(self, X: Any, *frames: Any, scale: str | None = None) -> NDArray[np.float32]:
        """Check the common parameters; remember the width and the provenance, `scale` of quality included."""
        check_wtp(self.willingness_to_pay)
        values = check_embeddings(X)
        self.n_features_in_ = values.shape[1]
        names = column_names(by_prompt(X))
        if names is not None:
            self.feature_names_in_ = names
        elif hasattr(self, "feature_names_in_"):
            del self.feature_names_in_
        measured = pd.DataFrame()
        measured.attrs["quality_scale"] = scale
        self.provenance_ = provenance_of(X, *frames, measured)
        return values


def rows_like(X: Any, frame: Any, name: str) -> Any:
    """Reorder `frame` to the rows of X (by label where X has labels), or say which labels differ."""
    labelled = isinstance(X, pd.DataFrame)
    X = by_prompt(X)
    labelled = labelled or (isinstance(X, pd.DataFrame) and X.index.name == "prompt_id")  # not so a polars frame
    remedy = f"Select the same prompts of both, e.g. {name}.loc[X.index]."
    labelled = labelled and isinstance(frame, (pd.DataFrame, pd.Series, Outcomes))
    n_rows = len(frame.index if isinstance(frame, Outcomes) else frame)
    if labelled and is_integer_dtype(X.index) and not is_integer_dtype(frame.index):
        remedy = (
            f"X is numbered, and '{name}' has prompt ids: index prompts by prompt_id before you embed them, "
            "prompts = routerlab.check_prompts(prompts)."
        )
    if len(X) != n_rows:
        reject(f"'{name}'", f"has {n_rows} rows, and X has {len(X)}.", remedy)
    if not labelled:
        return frame
    if X.index.nlevels > 1 or frame.index.nlevels > 1:
        levels = f"{X.index.nlevels} and {frame.index.nlevels}"
        reject(f"X and '{name}'", f"have {levels} levels of index.", "Index both by prompt_id alone.")
    if X.index.equals(frame.index):
        return frame
    odd = X.index.symmetric_difference(frame.index)
    if len(odd):
        remedy = id_remedy(X.index, frame.index, ("X", f"'{name}'"), remedy)
        reject(f"X and '{name}'", f"prompt_id {shown(odd)} is in one and not in the other.", remedy)
    return frame.loc[X.index]


def training_outcomes(X: Any, quality: Any, cost: Any = None, *, missing: bool = False) -> Outcomes:
    """Check quality and cost, align them with each other and with X; with `missing`, cells may be empty."""
    outcomes = check_aligned(quality, cost, missing=missing)
    for frame, name in () if outcomes.complete else zip(outcomes, ("quality", "cost"), strict=True):
        unknown = frame.columns[frame.isna().all()]
        if len(unknown):
            reject(f"'{name}'", f"has no value of model {shown(unknown)}.", "Measure some, or leave the model out.")
    like: Outcomes = rows_like(X, outcomes, "quality")
    return like


class Router(BaseRouter):
    """Route by any scikit-learn regressor that predicts several outputs.

    Parameters
    ----------
    estimator : regressor
        Predicts quality of shape (n_prompts, n_models) from embeddings, e.g. ``RidgeCV(np.logspace(-2, 4, 13))``, which
        chooses its penalty by cross-validation: the default of ``Ridge()`` is far too small for unit-length embeddings.
    cost_estimator : regressor, optional
        Predicts cost; by default each model's mean training cost.
    willingness_to_pay : float, default infinity
        USD that one unit of quality is worth on one request.

    Attributes
    ----------
    estimator_ : regressor
        The fitted clone.
    models_ : Index of shape (n_models,)
        Model names.

    Examples
    --------
    >>> from sklearn.linear_model import RidgeCV
    >>> X = np.eye(4, dtype=np.float32)
    >>> quality = pd.DataFrame({"small": [1, 1, 0, 0], "large": [1, 1, 1, 1]})
    >>> cost = pd.DataFrame({"small": [0.001] * 4, "large": [0.01] * 4})
    >>> Router(RidgeCV([0.01, 0.1]), willingness_to_pay=0.05).fit(X, quality, cost=cost).predict(X).tolist()
    ['small', 'small', 'large', 'large']
    """

    def __init__(self, estimator: Any, *, cost_estimator: Any = None, willingness_to_pay: float = float("inf")) -> None:
        self.estimator = estimator
        self.cost_estimator = cost_estimator
        self.willingness_to_pay = willingness_to_pay

    def fit(self, X: Any, quality: pd.DataFrame | Outcomes, *, cost: pd.DataFrame | None = None) -> Self:
        """Fit on embeddings and measured outcomes.

        Parameters
        ----------
        X : DataFrame or array of shape (n_prompts, n_features)
            Embeddings.
        quality, cost : DataFrame of shape (n_prompts, n_models), cost optional with Outcomes
            Measured quality in [0, 1] and cost in USD per request, without empty cells: see
            `routerlab.pivot_outcomes`. `cost` may be a Series of one price per model.

        Returns
        -------
        Router
            Itself.

        Raises
        ------
        TableError
            Tables of other prompts than X's, or empty cells, which the estimator cannot take.
        """
        values = self._start_fit(X, quality, cost)
        quality, cost = training_outcomes(X, quality, cost, missing=True)
        empty = (quality.isna() | cost.isna()).any(axis=1)
        if empty.any():
            reject(
                "'quality' and 'cost'",
                f"have empty cells for {empty.sum():,} of {len(empty):,} prompts, and Router's estimator needs all.",
                "Drop those prompts (pivot_outcomes does), or use KNNRouter, which takes them as missing.",
            )
        self.estimator_ = clone(self.estimator).fit(values, quality.to_numpy(dtype=float))
        self.mean_cost_ = cost.mean().to_numpy(dtype=float)
        if self.cost_estimator is not None:
            self.cost_estimator_ = clone(self.cost_estimator).fit(values, cost.to_numpy(dtype=float))
        self.models_ = quality.columns
        return self

    def _estimate(self, X: NDArray[np.float32]) -> Estimates:
        columns = getattr(self, "columns_", slice(None))  # after with_costs(exclude=...)
        quality = np.clip(np.asarray(self.estimator_.predict(X), dtype=float).reshape(len(X), -1)[:, columns], 0, 1)
        shape = quality.shape
        if self.cost_estimator is None:
            cost = np.broadcast_to(self.mean_cost_, shape)
        else:
            cost = np.asarray(self.cost_estimator_.predict(X), dtype=float).reshape(len(X), -1)[:, columns]
            cost = np.maximum(cost, 0)
        return Estimates(quality, cost, np.zeros(len(X), dtype=bool))
