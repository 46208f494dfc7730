"""Data: ``load_*`` shipped, ``fetch_*`` published, ``make_*`` generated, ``read_*`` your own files of other tools.

``fetch_*`` read the published files from the folder that the environment variable ``ROUTERLAB_DATA`` names, laid out
``<owner>/<repository>/<path>``; else from the cache of `pooch` (same layout); else they download them into it. Each is
pinned to a commit and checked. Importing this module reads nothing and downloads nothing.
"""

from routerlab.datasets._alpaca_eval import fetch_alpaca_eval
from routerlab.datasets._arena import read_arena_votes
from routerlab.datasets._auto_j import fetch_auto_j
from routerlab.datasets._dataset import Dataset
from routerlab.datasets._demo import Demo, load_demo
from routerlab.datasets._files import StopNotebook, fetch_or_stop
from routerlab.datasets._pulze import fetch_pulze_example
from routerlab.datasets._results import read_inspect, read_lm_eval, read_promptfoo
from routerlab.datasets._routellm import fetch_routellm
from routerlab.datasets._routerbench import fetch_routerbench
from routerlab.datasets._simulated import Population, RoutingProblem, make_routing_problem
from routerlab.datasets._zeroeval import fetch_zeroeval, last_answer
from routerlab.exceptions import AbsentFileError, DataFileError

__all__ = [
    "AbsentFileError",
    "DataFileError",
    "Dataset",
    "Demo",
    "Population",
    "RoutingProblem",
    "StopNotebook",
    "fetch_alpaca_eval",
    "fetch_auto_j",
    "fetch_or_stop",
    "fetch_pulze_example",
    "fetch_routellm",
    "fetch_routerbench",
    "fetch_zeroeval",
    "last_answer",
    "load_demo",
    "make_routing_problem",
    "read_arena_votes",
    "read_inspect",
    "read_lm_eval",
    "read_promptfoo",
]
