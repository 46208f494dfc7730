"""Ratings with intervals from pairwise judgments, overall and by intent."""

from routerlab.ratings._solver import solve_bradley_terry

__all__ = ["solve_bradley_terry"]
