"""The market of models: offers, prices that move, what an offer costs you, and which to choose."""

from routerlab.market._names import base_model
from routerlab.market._offers import COLUMNS, check_offers, load_offers, offers_on
from routerlab.market._prices import load_price_history, load_retirements
from routerlab.market._reprice import reprice

__all__ = [
    "COLUMNS",
    "base_model",
    "check_offers",
    "load_offers",
    "load_price_history",
    "load_retirements",
    "offers_on",
    "reprice",
]
