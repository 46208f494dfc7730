"""Ratings with intervals from pairwise judgments, overall and by intent."""

from routerlab.ratings._best import best_models
from routerlab.ratings._bradley_terry import BradleyTerry
from routerlab.ratings._checks import check_connected, check_separable
from routerlab.ratings._outcomes import judged_outcomes
from routerlab.ratings._ppi import (
    Weights,
    cautious,
    centred,
    influence,
    power,
    ppi_mean,
    ppi_mean_difference,
    unit_weights,
)
from routerlab.ratings._rate import rate
from routerlab.ratings._solver import solve_bradley_terry
from routerlab.ratings._uncertainty import (
    centred_inverse,
    contrasts,
    information,
    small_sample_factor,
    unseen_covariance,
    wilson,
)
from routerlab.ratings._votes import vote_groups

__all__ = [
    "unseen_covariance",
    "unit_weights",
    "ppi_mean_difference",
    "ppi_mean",
    "power",
    "influence",
    "cautious",
    "centred",
    "Weights",
    "BradleyTerry",
    "best_models",
    "centred_inverse",
    "check_connected",
    "check_separable",
    "contrasts",
    "information",
    "judged_outcomes",
    "rate",
    "small_sample_factor",
    "solve_bradley_terry",
    "vote_groups",
    "wilson",
]
