"""Routers: quality estimators that share one decision rule."""

from routerlab.routers._base import BaseRouter, Router
from routerlab.routers._cross import cross_estimates, cross_sweep, fit_copy
from routerlab.routers._explain import Explanation
from routerlab.routers._intent import IntentRouter
from routerlab.routers._io import load_router
from routerlab.routers._knn import KNNRouter
from routerlab.routers._similarity import SimilarityWeightedRouter

__all__ = [
    "BaseRouter",
    "Explanation",
    "IntentRouter",
    "KNNRouter",
    "Router",
    "SimilarityWeightedRouter",
    "cross_estimates",
    "cross_sweep",
    "fit_copy",
    "load_router",
]
