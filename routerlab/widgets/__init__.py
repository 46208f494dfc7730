"""Widgets for Jupyter: label pairs side by side, give prompts an intent, look back, go from a plot to its evidence."""

import lazy_loader

# Each from its module when it is first used: a rater's page should not wait for the market's imports.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
__all__ = sorted(__all__)
