"""Ratings with intervals from pairwise judgments, overall and by intent."""

from routerlab.ratings._best import best_models
from routerlab.ratings._bradley_terry import BradleyTerry
from routerlab.ratings._rate import rate
from routerlab.ratings._solver import solve_bradley_terry

__all__ = ["BradleyTerry", "best_models", "rate", "solve_bradley_terry"]
