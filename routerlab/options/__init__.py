"""Options that ask, check and escalate: cascades as columns next to the models, and one rule for all of them."""

from routerlab.options._answers import Extract, extract_answers
from routerlab.options._cascade import Cascade, cascade_outcomes, check_options, definitions, option_table
from routerlab.options._joint import CascadeRouter, Joint, cross_cascades
from routerlab.options._scores import Checked, LearnedCheck, agreement, answer_features, similarity

__all__ = [
    "Cascade",
    "CascadeRouter",
    "Checked",
    "Extract",
    "Joint",
    "LearnedCheck",
    "agreement",
    "answer_features",
    "cascade_outcomes",
    "check_options",
    "cross_cascades",
    "definitions",
    "extract_answers",
    "option_table",
    "similarity",
]
