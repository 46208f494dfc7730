"""The market of models: offers, prices that move, what an offer costs you, and which to choose."""

from routerlab.market._carbon import add_carbon
from routerlab.market._choose import (
    FILTERS,
    apply_filters,
    choose_offers,
    order_of,
    said_empty,
    sort_offers,
    value_offers,
)
from routerlab.market._limits import PointWithin, full_cost, measured_latency, point_within
from routerlab.market._names import base_model
from routerlab.market._offers import COLUMNS, check_offers, load_offers, offers_on
from routerlab.market._prices import load_price_history, load_retirements
from routerlab.market._reprice import reprice, stale_costs

__all__ = [
    "COLUMNS",
    "FILTERS",
    "PointWithin",
    "add_carbon",
    "apply_filters",
    "base_model",
    "check_offers",
    "choose_offers",
    "full_cost",
    "load_offers",
    "load_price_history",
    "load_retirements",
    "measured_latency",
    "offers_on",
    "order_of",
    "point_within",
    "reprice",
    "said_empty",
    "sort_offers",
    "stale_costs",
    "value_offers",
]
