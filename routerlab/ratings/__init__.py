"""Ratings with intervals from pairwise judgments, overall and by intent."""

from routerlab.ratings._best import best_models
from routerlab.ratings._bradley_terry import BradleyTerry, check_connected, check_separable
from routerlab.ratings._outcomes import judged_outcomes
from routerlab.ratings._posterior import Standings, VotesNeeded, standings, votes_needed
from routerlab.ratings._ppi import ppi_mean_difference
from routerlab.ratings._ppi_rate import KEY, SCORE, paired_votes, ppi_rate, ppi_win_rate, reject_disjoint
from routerlab.ratings._rate import rate
from routerlab.ratings._solver import solve_bradley_terry
from routerlab.ratings._uncertainty import contrasts, information, vote_information, wilson
from routerlab.ratings._votes import oriented, pair_keys, vote_groups

__all__ = [
    "BradleyTerry",
    "KEY",
    "SCORE",
    "Standings",
    "VotesNeeded",
    "best_models",
    "check_connected",
    "check_separable",
    "contrasts",
    "information",
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
    "standings",
    "vote_groups",
    "vote_information",
    "votes_needed",
    "wilson",
]
