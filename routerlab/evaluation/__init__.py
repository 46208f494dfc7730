"""Evaluation of choices (prompt_id -> model): frontier, metrics, savings with intervals.

It never imports routers: an oracle, a person, a constant and a cascade are judged by the same code.
"""

from routerlab.decision import OperatingPoint
from routerlab.deprecation import moved
from routerlab.evaluation._baselines import always, baselines, model_share, oracle, random_mix, zero_router
from routerlab.evaluation._call_metrics import call_metrics, predictability
from routerlab.evaluation._changes import changes, changes_by_intent
from routerlab.evaluation._compare import Comparison, compare
from routerlab.evaluation._curves import aiq_difference, saving_at_parity
from routerlab.evaluation._frontier import frontier, hull
from routerlab.evaluation._metrics import aiq, apgr, arena_score, call_curve, cpt, gap_to_oracle, pgr
from routerlab.evaluation._savings import Savings, savings
from routerlab.evaluation._scoring import score_choices
from routerlab.exceptions import NoOperatingPointError
from routerlab.stats import Interval, mean_interval, percentile_interval, resampled_sums

__all__ = [
    "Comparison",
    "Interval",
    "NoOperatingPointError",
    "OperatingPoint",
    "Savings",
    "aiq",
    "aiq_difference",
    "always",
    "apgr",
    "arena_score",
    "baselines",
    "call_curve",
    "call_metrics",
    "changes",
    "changes_by_intent",
    "choose_operating_point",
    "compare",
    "cpt",
    "frontier",
    "gap_to_oracle",
    "hull",
    "mean_interval",
    "model_share",
    "oracle",
    "percentile_interval",
    "pgr",
    "predictability",
    "random_mix",
    "resampled_sums",
    "saving_at_parity",
    "savings",
    "score_choices",
    "set_operating_point",
    "zero_router",
]

__getattr__ = moved(__name__, ("choose_operating_point", "set_operating_point"), "routerlab.model_selection")
