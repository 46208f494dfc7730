"""Routers: quality estimators that share one decision rule."""

from typing import Any

from routerlab.routers._base import BaseRouter, Estimates, Router, rows_like, training_outcomes
from routerlab.routers._explain import Explanation
from routerlab.routers._intent import IntentRouter
from routerlab.routers._io import load_router
from routerlab.routers._knn import KNNRouter
from routerlab.routers._mean import MeanRouter
from routerlab.routers._similarity import SimilarityWeightedRouter

__all__ = [
    "BaseRouter",
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

_MOVED = ("cross_estimates", "cross_sweep", "fit_copy")


def __getattr__(name: str) -> Any:
    """Find what lives in `routerlab.model_selection` now: it stands above routers, so it is imported on demand."""
    if name in _MOVED:
        from importlib import import_module

        return getattr(import_module("routerlab.model_selection"), name)
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)
