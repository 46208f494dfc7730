"""Tokens to USD: hand-computed figures, precedence, and missing that stays missing."""

from __future__ import annotations

import warnings
from datetime import date

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, strategies as st

from routerlab.exceptions import ParameterError
from routerlab.pricing import UnknownPriceWarning, add_cost, estimate_tokens, price, price_list_info
from routerlab.schema import TableError


def responses(*rows: tuple) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=["model", "input_tokens", "output_tokens"])
    return frame.assign(prompt_id=[f"p{i}" for i in range(len(frame))], response="text")


@pytest.mark.parametrize(
    ("model", "tokens", "usd"),
    [
        ("gpt-4-1106-preview", (1_000_000, 0), 10.0),
        ("gpt-4-1106-preview", (0, 1_000_000), 30.0),
        ("gpt-4-1106-preview", (519, 0), 0.00519),
        ("gpt-3.5-turbo-1106", (1000, 500), 0.002),
        ("gpt-4-0613", (100, 100), 0.009),
        ("claude-2.1", (1000, 1000), 0.032),
    ],
)
def test_historic_list_prices(model: str, tokens: tuple[int, int], usd: float) -> None:
    assert price(model, *tokens, on=date(2024, 3, 1)) == pytest.approx(usd, rel=1e-12)


def test_a_price_is_that_of_its_day() -> None:
    before, after = (price("o3", 1_000_000, 1_000_000, on=day) for day in (date(2025, 6, 1), date(2025, 7, 1)))
    assert (before, after) == (50.0, 10.0)


def test_provider_decides_the_price() -> None:
    together = price("mistralai/Mixtral-8x7B-Instruct-v0.1", 1_000_000, 0, provider="together")
    mistral = price("open-mixtral-8x7b", 1_000_000, 0, provider="mistral")
    assert mistral == 0.7
    assert together > 0
    assert together != mistral


def test_request_fees_count() -> None:
    """Perplexity's sonar charges by request on top of tokens: $1 + $1 per 1M, and a fee."""
    one, many = price("sonar", 1000, 1000, provider="perplexity"), price("sonar", 0, 0, provider="perplexity")
    assert one - many == pytest.approx(0.002)
    assert many > 0


def test_own_prices_come_first_and_may_name_a_listed_model() -> None:
    table = responses(("gpt-4-1106-preview", 1000, 1000), ("gpt4_1106_preview", 1000, 1000), ("mine", 1000, 1000))
    prices = {"gpt-4-1106-preview": (1.0, 2.0), "gpt4_1106_preview": "gpt-4-1106-preview", "mine": (0.0, 0.0)}
    assert add_cost(table, prices)["cost_usd"].tolist() == pytest.approx([0.003, 0.04, 0.0])


def test_own_prices_as_a_table() -> None:
    prices = pd.DataFrame({"model": ["a"], "input_usd_per_1m": [2.0], "output_usd_per_1m": [8.0]})
    table = responses(("a", 500_000, 250_000))
    assert add_cost(table, prices)["cost_usd"].tolist() == [3.0]
    assert add_cost(table, prices.set_index("model"))["cost_usd"].tolist() == [3.0]


def test_unknown_models_stay_empty_with_one_warning_that_names_them() -> None:
    table = responses(("no-such-model", 10, 10), ("nor-this", 10, 10), ("no-such-model", 5, 5), ("gpt-4-0613", 0, 0))
    with pytest.warns(UnknownPriceWarning) as caught:
        cost = add_cost(table)["cost_usd"]
    assert len(caught) == 1
    message = str(caught[0].message)
    assert "3 rows of 'no-such-model', 'nor-this'" in message or "3 rows of 'nor-this', 'no-such-model'" in message
    assert "prices=" in message
    assert cost.isna().tolist() == [True, True, True, False]
    assert cost[3] == 0.0  # no tokens cost nothing: this zero is known


@pytest.mark.parametrize("model", ["no-such-model", "openrouter/none", "mistral-ocr-4-0", "google/gemma-4-31b-it:free"])
def test_no_price_by_token_is_not_zero(model: str) -> None:
    with pytest.warns(UnknownPriceWarning, match=model):
        assert np.isnan(price(model, 1000, 1000, provider="openrouter" if model.endswith(":free") else None))


def test_filled_cells_are_kept_and_uncounted_ones_stay_empty() -> None:
    table = responses(("gpt-4-0613", 100, 100), ("gpt-4-0613", 100, 100), ("gpt-4-0613", np.nan, 100))
    table["cost_usd"] = [0.5, np.nan, np.nan]
    with pytest.warns(UnknownPriceWarning, match="1 rows with no token counts"):
        filled = add_cost(table)
    assert filled["cost_usd"].tolist()[:2] == [0.5, pytest.approx(0.009)]
    assert np.isnan(filled["cost_usd"][2])
    assert table["cost_usd"].isna().sum() == 2  # the argument is left as it was


def test_order_of_rows_does_not_matter_and_index_is_free() -> None:
    table = responses(("gpt-4-0613", 10, 20), ("gpt-3.5-turbo-1106", 30, 40), ("gpt-4-0613", 50, 60))
    shuffled = table.iloc[[2, 0, 1]]
    expected = add_cost(table).set_index("prompt_id")["cost_usd"]
    pd.testing.assert_series_equal(add_cost(shuffled).set_index("prompt_id")["cost_usd"].loc[expected.index], expected)


@given(st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 10**6)), min_size=1, max_size=20))
def test_vectorised_is_one_by_one(tokens: list[tuple[int, int]]) -> None:
    table = responses(*[("gpt-4-1106-preview", *t) for t in tokens])
    expected = [(10 * n_in + 30 * n_out) / 1e6 for n_in, n_out in tokens]
    np.testing.assert_allclose(add_cost(table)["cost_usd"], expected, rtol=1e-12)


@pytest.mark.parametrize(
    "prices",
    [
        {"m": (1.0,)},
        {"m": (-1.0, 2.0)},
        {"m": (float("nan"), 2.0)},
        {"m": 3.0},
        {"m": ("a", "b")},
        pd.DataFrame({"model": ["m"], "input": [1.0]}),
        pd.DataFrame({"model": ["m", "m"], "input_usd_per_1m": 1.0, "output_usd_per_1m": 1.0}),
    ],
)
def test_bad_price_tables_are_named(prices: object) -> None:
    with pytest.raises(TableError, match="prices"):
        add_cost(responses(("m", 1, 1)), prices)  # type: ignore[arg-type]


@pytest.mark.parametrize("tokens", [(-1, 0), (0, float("inf")), (float("nan"), 0)])
def test_bad_token_counts(tokens: tuple[float, float]) -> None:
    with pytest.raises(ParameterError, match="input_tokens"):
        price("gpt-4-0613", *tokens)


def test_missing_token_columns_say_what_to_do() -> None:
    with pytest.raises(TableError, match="estimate_tokens"):
        add_cost(responses(("m", 1, 1)).drop(columns="output_tokens"))


def test_the_price_list_says_when_it_was_checked() -> None:
    info = price_list_info()
    assert info.n_models > 1000
    assert info.checked is None or date(2025, 1, 1) < info.checked <= date.today()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnknownPriceWarning)
        assert info.version in add_cost(responses(("m", 1, 1))).attrs["price_list"]


def test_estimated_tokens_keep_missing_missing() -> None:
    estimated = estimate_tokens(pd.Series(["four", None, "größer", ""], index=list("abcd")))
    assert estimated.tolist()[0::2] == [1.0, 2.0]
    assert np.isnan(estimated["b"])
    assert estimated["d"] == 0.0
