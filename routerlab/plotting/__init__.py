"""Pictures of results: each function draws frames on an Axes and computes nothing.

Every function takes ``ax=None`` and returns the Axes, prints the provenance of what it draws under the
axes, and follows the text colours and font size of ``matplotlib.rcParams``, so that a style such as
``dark_background`` works. Colours are safe for colour-blind readers and never the only code.
"""

from routerlab.plotting._frontier import plot_frontier
from routerlab.plotting._map import plot_embedding_map
from routerlab.plotting._prices import plot_prices
from routerlab.plotting._ratings import plot_ratings
from routerlab.plotting._repeats import plot_repeats
from routerlab.plotting._replay import plot_replay
from routerlab.plotting._savings import plot_savings
from routerlab.plotting._share import plot_model_share

__all__ = [
    "plot_embedding_map",
    "plot_frontier",
    "plot_model_share",
    "plot_prices",
    "plot_ratings",
    "plot_repeats",
    "plot_replay",
    "plot_savings",
]
