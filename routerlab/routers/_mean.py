"""The mean of several routers' estimates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import clone
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from routerlab.decision import check_wtp
from routerlab.routers._base import BaseRouter, Estimates
from routerlab.schema import by_prompt, check_aligned, check_model, provenance_of, reject, row_labels


class MeanRouter(BaseRouter):
    """Average what several routers expect of each model.

    No single estimator is reliably the best one; the mean of some that err differently is about as good as the best of
    them, without knowing which that is. On MMLU, RouterBench, CRUX and AlpacaEval the mean of two was never measurably
    worse than the better one: kNN on `routerlab.OutcomeEmbedder` and a lower layer of the sentence model, and kNN on
    its last layer with `routerlab.SurfaceFeatures`. A strongly penalised ridge regression as a third one gains on
    RouterBench and costs on MMLU and AlpacaEval. See ``benchmarks/mean.py``.

    Parameters
    ----------
    routers : sequence of routers, or of Pipelines that end in one
        Members; each is cloned and fitted on the same X. Pipelines that start with embedders read prompts, so that
        members may use different embeddings.
    willingness_to_pay : float, default infinity
        USD that one unit of quality is worth on one request.
    min_similarity : None, optional
        Only `set_operating_point` sets it, where the baseline is kept.
    fallback : str, optional
        Model for prompts on which any member abstains.

    Attributes
    ----------
    routers_ : list
        The fitted members.
    models_ : Index of shape (n_models,)
        Model names.

    Notes
    -----
    All members count alike: on MMLU even weights picked in hindsight gained no more than .002 APGR.

    Examples
    --------
    >>> from sklearn.linear_model import RidgeCV
    >>> from routerlab.routers import KNNRouter, Router
    >>> X = np.eye(4, dtype=np.float32)
    >>> quality = pd.DataFrame({"small": [1, 1, 0, 0], "large": [1, 1, 1, 1]})
    >>> cost = pd.DataFrame({"small": [0.001] * 4, "large": [0.01] * 4})
    >>> router = MeanRouter([KNNRouter(1), Router(RidgeCV([1.0]))], willingness_to_pay=0.05)
    >>> router.fit(X, quality, cost=cost).predict(X).tolist()
    ['small', 'small', 'large', 'large']
    """

    def __init__(
        self,
        routers: Sequence[Any],
        *,
        willingness_to_pay: float = float("inf"),
        min_similarity: float | None = None,
        fallback: str | None = None,
    ) -> None:
        self.routers = routers
        self.willingness_to_pay = willingness_to_pay
        self.min_similarity = min_similarity
        self.fallback = fallback

    def fit(self, X: Any, quality: Any, *, cost: Any = None) -> MeanRouter:
        """Fit every member.

        Parameters
        ----------
        X : DataFrame of shape (n_prompts, n_features), or a Series of prompts
            What the members take.
        quality, cost : DataFrame of shape (n_prompts, n_models), cost optional with Outcomes
            Measured outcomes.

        Returns
        -------
        MeanRouter
            Itself.

        Raises
        ------
        TableError
            `routers` is not a list of routers.
        """
        check_wtp(self.willingness_to_pay)
        if not isinstance(self.routers, Sequence) or isinstance(self.routers, str) or not len(self.routers):
            reject("'routers'", f"got {self.routers!r}.", "Pass a list, e.g. [KNNRouter(), Router(RidgeCV())].")
        outcomes = check_aligned(quality, cost, missing=True)
        quality, cost = outcomes
        self.models_ = outcomes.models
        self.routers_ = [_fit(clone(router), X, quality, cost) for router in self.routers]
        if self.fallback is not None:
            check_model(self.fallback, self.models_, "fallback")
        self.provenance_ = provenance_of(X, quality, cost)
        return self

    def _estimates_of(self, X: Any) -> tuple[Estimates, pd.Index]:
        check_is_fitted(self, "routers_")
        found = [_estimates(router, X) for router in self.routers_]
        quality = np.mean([estimates.quality for estimates in found], axis=0)
        cost = np.mean([estimates.cost for estimates in found], axis=0)
        abstained = np.any([estimates.abstained for estimates in found], axis=0)
        abstained &= self.fallback is not None
        index = X.index if isinstance(X, pd.Series) else row_labels(by_prompt(X))
        return self._abstaining(Estimates(quality, cost, abstained), quality, index), index


def _fit(router: Any, X: Any, quality: pd.DataFrame, cost: Any) -> Any:
    """Fit a member; the steps of a pipeline before it learn from quality."""
    if not isinstance(router, Pipeline):
        return router.fit(X, quality, cost=cost)
    return router.fit(X, quality, **{f"{router.steps[-1][0]}__cost": cost})


def _estimates(router: Any, X: Any) -> Estimates:
    if isinstance(router, Pipeline):
        X, router = router[:-1].transform(X), router[-1]
    return router._estimates_of(X)[0]
