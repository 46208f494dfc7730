"""The marketplace: what happens to prices and providers, and what a policy that may choose makes of it."""

from routerlab.market._antifragility import Antifragility, antifragility
from routerlab.market._onboarding import Onboarding, add_model, probe_prompts
from routerlab.market._replay import Policy, Replay, hosts, locked, replay, routed
from routerlab.market._shocks import (
    check_shocks,
    clear_share,
    failure_shocks,
    outage_shocks,
    price_shocks,
    resample_shocks,
    retirement_shocks,
    simulate_shocks,
)

__all__ = [
    "Antifragility",
    "Onboarding",
    "Policy",
    "Replay",
    "add_model",
    "antifragility",
    "check_shocks",
    "clear_share",
    "failure_shocks",
    "hosts",
    "locked",
    "outage_shocks",
    "price_shocks",
    "probe_prompts",
    "replay",
    "resample_shocks",
    "retirement_shocks",
    "routed",
    "simulate_shocks",
]
