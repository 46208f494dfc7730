"""The market of models: offers, prices that move, what an offer costs you, and what a policy makes of it all."""

from routerlab.market._antifragility import Antifragility, antifragility
from routerlab.market._names import base_model
from routerlab.market._offers import COLUMNS, check_offers, load_offers, offers_on
from routerlab.market._onboarding import Onboarding, add_model, probe_prompts
from routerlab.market._prices import load_price_history, load_retirements
from routerlab.market._replay import Policy, Replay, hosts, locked, replay, routed
from routerlab.market._reprice import reprice
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
    "Antifragility",
    "Hosting",
    "Onboarding",
    "Policy",
    "Replay",
    "add_model",
    "antifragility",
    "base_model",
    "check_offers",
    "check_shocks",
    "clear_share",
    "failure_shocks",
    "hosts",
    "load_offers",
    "load_price_history",
    "load_retirements",
    "locked",
    "offers_on",
    "opening_offers",
    "outage_shocks",
    "price_shocks",
    "probe_prompts",
    "replay",
    "reprice",
    "resample_shocks",
    "retirement_shocks",
    "routed",
    "simulate_shocks",
    "slm_candidates",
]
