"""Tokens to USD, from a dated and maintained price list or from the user's own prices.

The list is the package ``genai-prices``; it is installed with routerlab and read from disk, never from the network.
A price that nobody knows stays empty: a missing cost is never 0.
"""

from routerlab.pricing._cost import Prices, UnknownPriceWarning, add_cost, estimate_tokens, own_prices, price
from routerlab.pricing._price_list import PriceListInfo, price_list_info

__all__ = [
    "PriceListInfo",
    "Prices",
    "UnknownPriceWarning",
    "add_cost",
    "estimate_tokens",
    "own_prices",
    "price",
    "price_list_info",
]
