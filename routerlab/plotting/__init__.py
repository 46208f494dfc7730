"""Pictures of results: each function draws frames on an Axes and computes nothing.

Every function takes ``ax=None`` and returns the Axes, prints the provenance of what it draws under the
axes, and follows the text colours and font size of ``matplotlib.rcParams``: a style such as
``dark_background`` works. Colours are safe for colour-blind readers and never the only code.
"""

from routerlab.plotting._plot_frontier import plot_frontier
from routerlab.plotting._plot_map import plot_embedding_map
from routerlab.plotting._plot_prices import plot_prices
from routerlab.plotting._plot_ratings import plot_ratings
from routerlab.plotting._plot_savings import plot_repeats, plot_savings
from routerlab.plotting._plot_share import plot_model_share

__all__ = [
    "plot_embedding_map",
    "plot_frontier",
    "plot_model_share",
    "plot_prices",
    "plot_ratings",
    "plot_repeats",
    "plot_savings",
]
