"""Ratings with intervals from pairwise judgments, overall and by intent."""

from routerlab.ratings._best import best_models
from routerlab.ratings._bradley_terry import BradleyTerry, check_connected, check_separable
from routerlab.ratings._outcomes import judged_outcomes
from routerlab.ratings._posterior import Standings, VotesNeeded, standings, votes_needed
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
    points_per_log_odds,
    small_sample_factor,
    unseen_covariance,
    vote_information,
    wilson,
)
from routerlab.ratings._votes import vote_groups

__all__ = [
    "BradleyTerry",
    "Standings",
    "VotesNeeded",
    "Weights",
    "best_models",
    "cautious",
    "centred",
    "centred_inverse",
    "check_connected",
    "check_separable",
    "contrasts",
    "influence",
    "information",
    "judged_outcomes",
    "points_per_log_odds",
    "power",
    "ppi_mean",
    "ppi_mean_difference",
    "rate",
    "small_sample_factor",
    "solve_bradley_terry",
    "standings",
    "unit_weights",
    "unseen_covariance",
    "vote_groups",
    "vote_information",
    "votes_needed",
    "wilson",
]
