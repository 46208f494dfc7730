"""Widgets for Jupyter: label pairs side by side, give prompts an intent, look back at judgments."""

from routerlab.widgets._browser import JudgmentBrowser
from routerlab.widgets._comparator import PairComparator
from routerlab.widgets._intents import IntentLabeler

__all__ = ["IntentLabeler", "JudgmentBrowser", "PairComparator"]
