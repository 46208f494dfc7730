"""Routers: quality estimators that share one decision rule."""

from routerlab.decision import Estimates
from routerlab.deprecation import moved
from routerlab.routers._base import BaseRouter, DecidingRouter, Router, rows_like, training_outcomes
from routerlab.routers._explain import Explanation
from routerlab.routers._intent import IntentRouter
from routerlab.routers._io import KINDS, load_router
from routerlab.routers._knn import KNNRouter
from routerlab.routers._mean import MeanRouter
from routerlab.routers._similarity import SimilarityWeightedRouter

__all__ = [
    "BaseRouter",
    "DecidingRouter",
    "Estimates",
    "Explanation",
    "IntentRouter",
    "KNNRouter",
    "MeanRouter",
    "Router",
    "SimilarityWeightedRouter",
    "cross_estimates",
    "cross_sweep",
    "fit_copy",
    "load_router",
    "rows_like",
    "training_outcomes",
]

KINDS.update({kind.__name__: kind for kind in (IntentRouter, KNNRouter, SimilarityWeightedRouter)})
__getattr__ = moved(__name__, ("cross_estimates", "cross_sweep", "fit_copy"), "routerlab.model_selection")
