"""Prices over time."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

import routerlab as rl


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def test_a_price_is_a_step_on_a_logarithmic_axis():
    ax = rl.plot_prices(rl.load_price_history(), ["gpt-4o@openai"], until="2026-01-01")
    (line,) = ax.lines
    assert ax.get_yscale() == "log"
    np.testing.assert_allclose(np.unique(line.get_ydata()), [0.75 * 2.5 + 2.5, 0.75 * 5 + 3.75])
    assert len(ax.collections) == 1, "the days between which it changed are shaded"
    assert [text.get_text() for text in ax.texts][0] == "gpt-4o@openai"


def test_a_start_that_nobody_knows_is_dotted():
    ax = rl.plot_prices(rl.load_price_history(), ["mistral-large-4@mistral"], price="output", until="2026-12-31")
    assert ":" in [line.get_linestyle() for line in ax.lines]
    assert "output" in ax.get_ylabel()


@pytest.mark.parametrize(
    ("offers", "price", "message"),
    [
        (["gpt-5o@openai"], "blended", "'gpt-5o@openai' is not in the table"),
        (["gpt-4@openai"], "cached", "'price' must be one of"),
        (["free@p"], "blended", "no price above 0"),
    ],
)
def test_what_cannot_be_drawn_is_said(offers, price, message):
    free = pd.DataFrame([{"provider": "p", "model": "free", "input_usd_per_1m": 0, "output_usd_per_1m": 0}])
    history = pd.concat([rl.load_price_history(), rl.check_offers(free)])
    with pytest.raises(ValueError, match=message):
        rl.plot_prices(history, offers, price=price)
