"""The market of models: offers, prices that move, what an offer costs you, and what a policy makes of it all."""

from routerlab.market._antifragility import Antifragility, antifragility
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
from routerlab.market._onboarding import Onboarding, add_model, probe_prompts
from routerlab.market._prices import load_price_history, load_retirements
from routerlab.market._replay import Policy, Replay, hosts, locked, replay, routed, traffic_shape
from routerlab.market._reprice import reprice, stale_costs
from routerlab.market._shocks import (
    check_shocks,
    clear_share,
    failure_shocks,
    opening_offers,
    outage_shocks,
    price_shocks,
    resample_shocks,
    retirement_shocks,
    simulate_shocks,
)
from routerlab.market._slm import Hosting, slm_candidates

__all__ = [
    "COLUMNS",
    "FILTERS",
    "Antifragility",
    "Hosting",
    "Onboarding",
    "PointWithin",
    "Policy",
    "Replay",
    "add_carbon",
    "add_model",
    "antifragility",
    "apply_filters",
    "base_model",
    "check_offers",
    "check_shocks",
    "choose_offers",
    "clear_share",
    "failure_shocks",
    "full_cost",
    "hosts",
    "load_offers",
    "load_price_history",
    "load_retirements",
    "locked",
    "measured_latency",
    "offers_on",
    "opening_offers",
    "order_of",
    "outage_shocks",
    "point_within",
    "price_shocks",
    "probe_prompts",
    "replay",
    "reprice",
    "resample_shocks",
    "retirement_shocks",
    "routed",
    "said_empty",
    "simulate_shocks",
    "slm_candidates",
    "sort_offers",
    "stale_costs",
    "traffic_shape",
    "value_offers",
]
