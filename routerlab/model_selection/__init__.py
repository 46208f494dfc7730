"""What is chosen by looking at outcomes: cross-fitting, held-out choices, operating points, promises, splits."""

from routerlab.exceptions import CopiesWarning, NoOperatingPointError
from routerlab.model_selection._copies import copy_codes, grouped_folds, promise_folds
from routerlab.model_selection._cross import cross_estimates, cross_sweep, fit_copy
from routerlab.model_selection._holdout import held_out_choices
from routerlab.model_selection._operating import choose_operating_point, set_operating_point
from routerlab.model_selection._promise import Promise, promise
from routerlab.model_selection._repeats import RepeatedClaims, repeat_claims
from routerlab.model_selection._split import split_prompts

__all__ = [
    "CopiesWarning",
    "NoOperatingPointError",
    "Promise",
    "RepeatedClaims",
    "choose_operating_point",
    "copy_codes",
    "cross_estimates",
    "cross_sweep",
    "fit_copy",
    "grouped_folds",
    "held_out_choices",
    "promise",
    "promise_folds",
    "repeat_claims",
    "set_operating_point",
    "split_prompts",
]
