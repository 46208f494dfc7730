"""Prices over time."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.text import Text

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


def test_names_stand_apart_and_no_two_lines_look_alike():
    history = rl.load_price_history()
    offers = ["gpt-4@openai", "gpt-4-turbo@openai", "gpt-4o@openai", "o3@openai", "gpt-3.5-turbo@openai"]
    offers += ["mistral-medium-latest@mistral", "mistralai/Mixtral-8x7B-Instruct-v0.1@deepinfra"]
    ax = rl.plot_prices(history, offers, until="2026-12-31")
    ax.figure.canvas.draw()
    names = [text for text in ax.texts if "@" in text.get_text()]
    assert len({str(text.get_color()) for text in names}) == len(offers)
    boxes = sorted((Text.get_window_extent(text) for text in names), key=lambda box: box.y0)
    assert all(low.y1 <= high.y0 + 2 for low, high in zip(boxes, boxes[1:], strict=False))
