"""Widgets for Jupyter: label pairs side by side, give prompts an intent, look back, go from a plot to its evidence."""

from routerlab.widgets._browser import JudgmentBrowser
from routerlab.widgets._comparator import PairComparator
from routerlab.widgets._dashboard import LabelingDashboard
from routerlab.widgets._evidence_plot import EvidencePlot
from routerlab.widgets._intents import IntentLabeler
from routerlab.widgets._offer_explorer import OfferExplorer

__all__ = ["EvidencePlot", "IntentLabeler", "JudgmentBrowser", "LabelingDashboard", "OfferExplorer", "PairComparator"]
