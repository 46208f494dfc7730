"""The history of prices that ships: known truths, and what every row says of itself."""

from __future__ import annotations

import os
from pathlib import Path

import pandas as pd
import pytest

from routerlab.datasets import load_demo
from routerlab.market import base_model, load_price_history, load_retirements


def day(text: str) -> pd.Timestamp:
    return pd.Timestamp(text, tz="UTC")


def prices(offer: str) -> pd.DataFrame:
    history = load_price_history()
    return history[history["offer_id"] == offer].reset_index(drop=True)


NEVER = {"gpt-4@openai": (30, 60), "gpt-4-turbo@openai": (10, 30), "gpt-4-1106-preview@openai": (10, 30)}
# offer, prices before and after, and the days between which it happened.
CHANGED = [
    ("gpt-4o@openai", (5, 15), (2.5, 10), "2024-10-30", "2024-11-30"),
    ("o3@openai", (10, 40), (2, 8), "2025-06-09", "2025-06-10"),
    ("mistral-large-4@mistral", (0.68, 2.09), (1.36, 4.18), "2026-10-19", "2026-10-20"),
    ("mistral-large-4@mistral", (1.36, 4.18), (0.7, 2.1), "2026-10-28", "2026-10-29"),
    ("gemini-4-argon@google", (2, 10), (4, 20), "2026-11-30", "2026-12-01"),
    ("mistral-medium-latest@mistral", (0.4, 2), (1.5, 7.5), "2026-06-15", "2026-06-16"),
]


@pytest.mark.parametrize("offer", NEVER)
def test_what_never_changed_has_one_price(offer):
    rows = prices(offer)
    assert len(rows) == 1
    assert tuple(rows.loc[0, ["input_usd_per_1m", "output_usd_per_1m"]]) == NEVER[offer]


@pytest.mark.parametrize(("offer", "before", "after", "low", "high"), CHANGED)
def test_what_changed_did_so_between_two_known_days(offer, before, after, low, high):
    rows = prices(offer)
    pairs = list(zip(rows["input_usd_per_1m"], rows["output_usd_per_1m"], strict=True))
    at = pairs.index(after)
    assert pairs[at - 1] == before
    new = rows.loc[at]
    assert day(low) <= new["changed_after"] < new["valid_from"] <= day(high)
    assert new["change"] == ("rise" if after > before else "cut")
    assert rows.loc[at - 1, "valid_to"] == new["valid_from"]


def test_every_row_says_when_it_was_seen_and_where():
    history = load_price_history(corrections=True)
    assert history["source"].str.match(r"(tokencost|litellm|genai-prices) \d").all()
    assert (history["valid_from"].notna() | history["source"].str.contains("genai-prices")).all()
    catalogued = ~history["source"].str.startswith("genai-prices")
    assert (history.loc[catalogued, "last_seen"] >= history.loc[catalogued, "valid_from"]).all()
    changed = history["change"].isin(["rise", "cut"])
    assert (history.loc[changed, "changed_after"] < history.loc[changed, "valid_from"]).all()


def test_corrections_of_a_catalogue_are_no_changes_of_price():
    everything = load_price_history(corrections=True)
    wrong = everything[everything["change"] == "correction"]
    assert len(wrong) > 20
    assert not set(load_price_history()["change"]) - {"first", "rise", "cut"}
    # A decimal point slipped: 1.63 -> 0.163 USD. And prices by the character were read as by the token.
    assert prices("claude-instant-1.2@anthropic")["input_usd_per_1m"].tolist() == [1.63]
    assert prices("gemini-1.5-flash@google")["input_usd_per_1m"].min() > 0.05


def test_a_later_price_starts_where_the_one_before_ends():
    history = load_price_history()
    for _, rows in history.groupby("offer_id"):
        assert (rows["valid_from"].iloc[1:].to_numpy() == rows["valid_to"].iloc[:-1].to_numpy()).all()
        steps = rows[["input_usd_per_1m", "output_usd_per_1m"]].to_numpy()
        assert (steps[1:] != steps[:-1]).any(axis=1).all()


def test_the_models_of_the_demo_and_of_the_published_data_are_there():
    known = set(load_price_history()["base_model"])
    names = set(load_demo().outcomes["model"])
    names |= {"gpt-4-1106-preview", "gpt-3.5-turbo-1106", "claude-v1", "claude-v2", "claude-instant-v1"}
    names |= {"meta/llama-2-70b-chat", "mistralai/mixtral-8x7b-chat", "mistralai/mistral-7b-chat"}
    names |= {"zero-one-ai/Yi-34B-Chat", "meta/code-llama-instruct-34b-chat", "mistralai/Mixtral-8x7B-Instruct-v0.1"}
    names |= {
        "gpt4_1106_preview",
        "gpt4_0613_concise",
        "claude-instant-1.2",
        "gemma-7b-it",
        "OpenHermes-2.5-Mistral-7B",
    }
    assert {name for name in names if base_model(name) not in known} == set()


def test_retirements_have_a_day_and_mostly_a_successor():
    gone = load_retirements()
    assert gone["retired_on"].notna().all()
    of = gone.set_index(["provider", "model"])
    for model in ("gpt-4", "gpt-4-turbo", "gpt-3.5-turbo"):
        assert of.loc[("openai", model), "retired_on"] == day("2026-10-23")
        assert of.loc[("openai", model), "successor"]
    assert gone["source"].notna().all()


@pytest.mark.realdata
@pytest.mark.usefixtures("published_data")
def test_another_reading_of_the_same_catalogues_agrees():
    folder = Path(os.environ["ROUTERLAB_DATA"]) / "market"
    if not (folder / "price_history.csv").exists():
        pytest.skip("no market/price_history.csv here: another reading of the catalogues")
    other = pd.read_csv(folder / "price_history.csv", parse_dates=["first_seen", "last_seen"])
    mine = load_price_history()
    both = mine.merge(other[other["provider"] == "openai"], left_on="model", right_on="model_key")
    both = both[both["provider_x"] == "openai"]
    seen = both["last_seen_x"].dt.tz_localize(None)
    both = both[(both["first_seen"] <= seen) & (seen <= both["last_seen_y"])]
    assert len(both) > 80
    same = (both["input_usd_per_1m"] - both["input_usd_per_mtok"]).abs() < 1e-6
    assert same.mean() > 0.98
    retired = pd.read_csv(folder / "retirements.csv")
    pairs = load_retirements().merge(retired[retired["provider"] == "openai"], on="model")
    pairs = pairs[pairs["provider_x"] == "openai"]
    assert len(pairs) > 20
    assert (pairs["retired_on"].dt.strftime("%Y-%m-%d") == pairs["deprecation_date"]).all()
