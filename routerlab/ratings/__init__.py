"""Ratings with intervals from pairwise judgments, overall and by intent."""

from routerlab.ratings._best import best_models
from routerlab.ratings._bradley_terry import BradleyTerry
from routerlab.ratings._checks import check_connected, check_separable
from routerlab.ratings._outcomes import judged_outcomes
from routerlab.ratings._ppi import ppi_mean_difference
from routerlab.ratings._ppi_rate import KEY, SCORE, paired_votes, ppi_rate, ppi_win_rate, reject_disjoint
from routerlab.ratings._rate import rate
from routerlab.ratings._solver import solve_bradley_terry
from routerlab.ratings._uncertainty import contrasts, wilson
from routerlab.ratings._votes import oriented, pair_keys, vote_groups

__all__ = [
    "BradleyTerry",
    "KEY",
    "SCORE",
    "best_models",
    "check_connected",
    "check_separable",
    "contrasts",
    "judged_outcomes",
    "oriented",
    "pair_keys",
    "paired_votes",
    "ppi_mean_difference",
    "ppi_rate",
    "ppi_win_rate",
    "rate",
    "reject_disjoint",
    "solve_bradley_terry",
    "vote_groups",
    "wilson",
]
