"""Moved to `routerlab.model_selection`."""

from routerlab.model_selection import held_out_choices

__all__ = ["held_out_choices"]
