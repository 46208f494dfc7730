"""OfferExplorer without a browser: what the page is sent, what it asks for, and what comes back."""

from __future__ import annotations

import json

import pandas as pd
import pytest

import routerlab as rl
from routerlab.market import check_offers, choose_offers
from routerlab.schema import TableError

ROWS = [
    {"provider": "a", "model": "m-7b", "input_usd_per_1m": 1.0, "output_usd_per_1m": 2.0, "latency_p95_s": 1.0},
    {"provider": "b", "model": "m-7b", "input_usd_per_1m": 0.0, "output_usd_per_1m": 0.0},
    {"provider": "c", "model": "<img onerror=x>", "input_usd_per_1m": 9.0, "output_usd_per_1m": 9.0},
]
QUALITY = pd.DataFrame({"m-7b": [1.0, 0.0, 1.0, 1.0]}, index=list("wxyz"))


def explorer(**more: object) -> rl.OfferExplorer:
    return rl.OfferExplorer(check_offers(pd.DataFrame(ROWS)), quality=QUALITY, on="2026-11-29", **more)


def ask(widget: rl.OfferExplorer, **content: object) -> dict:
    widget._on_message(widget, content, None)
    return widget.view


def test_the_page_finds_what_the_function_finds():
    widget = explorer()
    view = ask(widget, filters={"max_latency_p95_s": 2.0})
    expected = choose_offers(pd.DataFrame(ROWS), on="2026-11-29", quality=QUALITY, max_latency_p95_s=2.0)
    pd.testing.assert_frame_equal(widget.found, expected)
    assert [row["name"] for row in view["rows"]] == ["m-7b@a"]
    assert view["kept"] == [0]
    assert view["funnel"] == [{"text": "latency p95 s at most 2.0", "left": 1, "unknown": 2}]


def test_an_empty_page_says_which_filter_it_was():
    view = ask(explorer(), filters={"region": "eu"})
    assert view["rows"] == []
    assert view["empty"].startswith("No offer is left: region='eu' removed the last 3 of 3 (not known of 3")


def test_sorting_and_picking():
    widget = explorer()
    assert [row["name"] for row in ask(widget)["rows"]][0] == "m-7b@b"
    assert [row["name"] for row in ask(widget, sort="quality")["rows"]][:2] == ["m-7b@a", "m-7b@b"]
    ask(widget, chosen=["m-7b@b", "no such offer"])
    assert widget.chosen["offer_id"].tolist() == ["m-7b@b"]
    ask(widget, filters={"max_latency_p95_s": 2.0})
    assert widget.chosen["offer_id"].tolist() == ["m-7b@b"], "what was picked stays, whatever passes now"
    assert widget.choose(["m-7b@a"]).chosen["offer_id"].tolist() == ["m-7b@a"]
    with pytest.raises(TableError, match="has no offer 'x'"):
        widget.choose(["x"])


def test_nonsense_from_the_page_is_shown_and_breaks_nothing():
    widget = explorer()
    view = ask(widget, filters={"max_latency_p95_s": "soon"})
    assert "expected a number" in view["error"]
    assert ask(widget, filters={})["error"] == ""
    assert "is none" in ask(widget, filters={"price": 1})["error"]
    assert ask(widget, sort="__class__")["sort"] == "monthly_usd"


def test_what_is_not_known_shows_as_such_and_the_free_one_stands_at_the_edge():
    widget = explorer()
    row = next(row for row in widget.view["rows"] if row["name"] == "m-7b@b")
    assert {row[key] for key in ("latency", "uptime", "region", "co2e", "terms")} == {"?"}
    assert row["caveats"] == "free"
    assert widget.setup["x"][1] == 0.0
    assert widget.setup["y"][2] is None, "nobody measured it"
    low, middle, high = widget.setup["y"][0]
    assert low < middle < high
    json.dumps([widget.setup, widget.view])


def test_a_saved_notebook_holds_a_table_and_no_live_markup():
    html = explorer()._summary()
    assert "m-7b@a" in html
    assert "3 of 3 offers pass" in html
    assert "<img" not in html
    assert "&lt;img" in html


def test_filters_to_start_with():
    widget = explorer(filters={"search": "m-7b"}, sort_by="quality")
    assert len(widget.found) == 2
    assert widget.view["filters"] == {"search": "m-7b"}
    with pytest.raises(TableError, match="'price' is none"):
        explorer(filters={"price": 1})
    with pytest.raises(TableError, match="'sort_by'"):
        explorer(sort_by="price")


def test_provenance_is_shown():
    demo = rl.load_demo().outcomes
    widget = rl.OfferExplorer(rl.load_offers(), quality=demo, tokens=demo, on="2026-11-29")
    assert "simulated" in widget.setup["provenance"]
