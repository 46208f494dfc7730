"""Tokens to USD, from a dated and maintained price list or from the user's own prices.

The list is the package ``genai-prices``; it is installed with routerlab and read from disk, never from the network.
A price that nobody knows stays empty: a missing cost is never 0.
"""

from routerlab.exceptions import UnknownPriceWarning
from routerlab.pricing._cost import Prices, add_cost, estimate_tokens, own_prices, price, usage_cost
from routerlab.pricing._price_list import PriceListInfo, is_provider, price_list_info
from routerlab.pricing._usage import Usage, as_mapping, number, read_usage

__all__ = [
    "PriceListInfo",
    "Prices",
    "UnknownPriceWarning",
    "Usage",
    "add_cost",
    "as_mapping",
    "estimate_tokens",
    "is_provider",
    "number",
    "own_prices",
    "price",
    "price_list_info",
    "read_usage",
    "usage_cost",
]
