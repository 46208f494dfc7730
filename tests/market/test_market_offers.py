"""The offers table: what is refused, what is marked, which offers are the same model."""

from __future__ import annotations

import os
from pathlib import Path

import pandas as pd
import pytest

from routerlab.market import COLUMNS, base_model, check_offers, load_offers, offers_on
from routerlab.schema import TableError

OFFER = {"provider": "acme", "model": "m-7b", "input_usd_per_1m": 1.0, "output_usd_per_1m": 2.0}


def table(*changes: dict) -> pd.DataFrame:
    return pd.DataFrame([OFFER | change for change in changes])


MARCH, JUNE, MAY = ({"valid_from": day} for day in ("2026-03-01", "2026-06-01", "2026-05-01"))
REFUSED = {
    "negative price": (table({}, {"model": "n", "input_usd_per_1m": -1.0}), r"row 1 \(n@acme\).*got -1.*free tier"),
    "infinite price": (table({"output_usd_per_1m": float("inf")}), r"finite number.*row 0"),
    "no price": (table({"output_usd_per_1m": None}), r"is empty in row 0.*0 if it is free"),
    "price per token": (table({"input_usd_per_1m": 2.5e-6}), r"row 0.*USD per token: multiply by 1e6"),
    "batch price per token": (table({"batch_input_usd_per_1m": 2.5e-6}), r"row 0.*multiply by 1e6"),
    "price of 1e12 tokens": (table({"output_usd_per_1m": 2e6}), r"row 0.*10\^6 times too large"),
    "column per token": (
        pd.DataFrame([{"provider": "p", "model": "m", "input_cost_per_token": 1e-6, "output_cost_per_token": 1e-6}]),
        r"'input_cost_per_token', 'output_cost_per_token' by 1e6",
    ),
    "other currency": (table({"currency": "EUR"}), r"'currency'.*row 0.*'EUR'.*Convert to USD"),
    "currency in the name": (table({}).assign(input_eur_per_1m=1.0), r"'input_eur_per_1m'.*another currency"),
    "currency in the cell": (table({}, {"input_usd_per_1m": "€2.50"}), r"row 1.*€2.50.*Convert to USD"),
    "overlapping validity": (
        table(MARCH | {"valid_to": "2026-06-01"}, MAY),
        r"rows 0 and 1 of offer 'm-7b@acme' overlap.*valid_to",
    ),
    "two open ends": (table(MARCH, JUNE), r"rows 0 and 1.*overlap"),
    "the same offer twice": (table({}, {}), r"rows 0 and 1.*overlap"),
    "an end before the start": (
        table(JUNE | {"valid_to": "2026-03-01"}),
        r"not after 'valid_from' in row 0",
    ),
    "no model": (table({"model": None}), r"'model'.*row 0.*drop the row"),
    "no provider": (table({"provider": " "}), r"'provider'.*row 0"),
    "time zones": (
        table(
            {"valid_from": "2026-03-01T00:00:00+02:00", "valid_to": None},
            {"model": "n", "valid_from": "2026-03-01T00:00:00+00:00"},
        ),
        r"'valid_from'.*several time zones.*row 0 .*row 1 .*pd.to_datetime\(column, utc=True\)",
    ),
    "one date without a zone": (
        table({"valid_from": "2026-03-01"}, {"model": "n", "valid_from": "2026-03-01T00:00:00+00:00"}),
        r"several time zones",
    ),
    "no date": (table({"valid_from": "soon"}), r"'valid_from'.*is not a date.*row 0.*'soon'"),
    "uptime in percent": (table({"uptime": 99.9}), r"'uptime'.*row 0.*Divide percentages by 100"),
    "terms that are no yes or no": (table({"trains_on_data": "maybe"}), r"'trains_on_data'.*row 0.*not known"),
    "carbon range the wrong way": (table({"co2e_g_low": 2.0, "co2e_g_high": 1.0}), r"row 0.*Exchange the two"),
    "not a table": ([OFFER], r"offers table.*DataFrame"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_no_offer_can_mean_is_refused_with_row_and_remedy(name):
    offers, message = REFUSED[name]
    with pytest.raises(TableError, match=message):
        check_offers(offers)


def test_all_columns_are_there_and_the_unknown_stays_unknown():
    checked = check_offers(table({}))
    assert tuple(checked.columns) == COLUMNS
    assert checked.loc[0, "offer_id"] == "m-7b@acme"
    unknown = ["uptime", "latency_p95_s", "region", "open_weights", "trains_on_data", "co2e_g_low", "valid_from"]
    assert checked.loc[0, unknown].isna().all()
    assert tuple(check_offers(table({}).assign(mine=1)).columns) == (*COLUMNS, "mine")


def test_checking_twice_changes_nothing():
    once = check_offers(table({"model": "qwen3-32b-fp8"}, {"model": "mistral-medium-latest", "input_usd_per_1m": 0}))
    pd.testing.assert_frame_equal(check_offers(once), once)


def test_caveats_are_marked_and_nothing_is_hidden():
    rows = [
        {"model": "free-7b", "input_usd_per_1m": 0, "output_usd_per_1m": 0},
        {"model": "mistral-medium-latest"},
        {"model": "GLM-5-FP8"},
        {"model": "GLM-5-BF16"},
        {"model": "plain"},
    ]
    checked = check_offers(table(*rows))
    assert checked["caveats"].tolist() == ["free", "moving alias", "quantised", "", ""]
    assert checked["quantization"].tolist()[2:4] == ["fp8", "bf16"]


def test_a_price_far_above_what_others_ask_is_marked_as_a_zombie():
    prices = [0.1, 0.12, 0.11, 0.9]
    rows = [{"provider": f"p{k}", "input_usd_per_1m": p, "output_usd_per_1m": p} for k, p in enumerate(prices)]
    assert check_offers(table(*rows))["caveats"].tolist() == ["", "", "", "zombie"]
    assert "zombie" not in check_offers(table(*rows[1:]))["caveats"].tolist()  # two others are no market


def test_the_list_holds_past_and_future_prices():
    offers = load_offers()
    assert len(offers) > 2000
    assert offers["provider"].nunique() > 40
    paid = offers["caveats"].str.contains("free")
    assert (offers.loc[~paid, ["input_usd_per_1m", "output_usd_per_1m"]].sum(axis=1) > 0).all()
    for offer, day, before, after in (
        ("o3@openai", "2025-06-10", (10, 40), (2, 8)),
        ("mistral-large-4@mistral", "2026-10-20", (0.68, 2.09), (1.36, 4.18)),
        ("mistral-large-4@mistral", "2026-10-29", (1.36, 4.18), (0.7, 2.1)),
        ("gemini-4-argon@google", "2026-12-01", (2, 10), (4, 20)),
    ):
        rows = offers[offers["offer_id"] == offer]
        yesterday = pd.Timestamp(day) - pd.Timedelta(days=1)
        for when, prices in ((yesterday.date(), before), (day, after)):
            row = offers_on(rows, when).iloc[0]
            assert (row["input_usd_per_1m"], row["output_usd_per_1m"]) == prices


def test_on_a_day_every_offer_has_one_price():
    today = load_offers(on="2026-11-29")
    assert today["offer_id"].is_unique
    assert (today["base_model"].value_counts() >= 5).sum() > 50
    batch = today[today["offer_id"] == "gpt-4o@openai"].iloc[0]
    assert (batch["batch_input_usd_per_1m"], batch["cache_read_usd_per_1m"]) == (1.25, 1.25)


@pytest.mark.parametrize("on", ["soon", None, float("nan")])
def test_a_day_is_a_day(on):
    if on is None:
        assert len(load_offers(on="2026-11-29")) <= len(load_offers())
        return
    with pytest.raises(TableError, match="expected a date"):
        offers_on(check_offers(table({})), on)


SAME = [
    ("meta-llama/Llama-3.3-70B-Instruct", "@cf/meta/llama-3.3-70b-instruct-fp8-fast", "llama3-3-70b"),
    ("us.anthropic.claude-opus-4-6-v1", "anthropic/claude-opus-4.6", "claude-opus-4-6@default", "Claude-Opus4-6"),
    ("gpt-35-turbo", "openai/gpt-3.5-turbo", "gpt-3.5-turbo"),
    ("hf:zai-org/GLM-4.7", "zai-org-glm-4.7", "z-ai/glm-4.7", "accounts/fireworks/models/glm-4p7"),
    ("claude-3-5-haiku@20241022", "anthropic.claude-3-5-haiku-20241022-v1:0"),
    ("Qwen/Qwen3.5-397B-A17B-TEE", "qwen3-5-397b-a17b", "qwen35-397b-a17b"),
    ("nvidia.nemotron-nano-3-30b", "nvidia/nemotron-3-nano-30b-a3b", "nvidia/NVIDIA-Nemotron-3-Nano-30B-A3B"),
    ("@cf/nvidia/nemotron-3-120b-a12b", "nvidia.nemotron-super-3-120b", "nvidia/nemotron-3-super-120b-a12b"),
    ("moonshotai/Kimi-K2.6-Fast", "kimi-k2.6", "kimi-k2.6-flex"),
    ("nvidia/Llama-3_1-Nemotron-Ultra-253B-v1", "llama-3.1-nemotron-ultra-253b"),
]
OTHER = [
    ("gpt-4o", "gpt-4o-mini", "gpt-4o-2024-08-06", "gpt-4", "gpt-4-turbo"),
    ("qwen3-next-80b-a3b-instruct", "qwen3-next-80b-a3b-thinking"),
    ("gemini-2.5-flash", "gemini-2.5-flash-lite", "gemini-2.5-pro"),
    ("claude-opus-4-1", "claude-opus-4", "claude-opus-4-1-20250805", "claude-opus-4-1-fast"),
    ("llama-3.1-8b", "llama-3.1-70b", "llama-3-70b"),
    ("deepseek-r1", "deepseek-r1-distill-qwen-32b", "deepseek-r1-0528"),
    ("nemotron-3-nano-30b-a3b", "nemotron-3-super-120b-a12b", "nemotron-nano-9b-v2", "nemotron-3-nano-omni-30b-a3b"),
    ("glm-5", "glm-5-turbo", "glm-5v-turbo", "minimax-m2.7", "minimax-m2.7-highspeed"),
]


@pytest.mark.parametrize("names", SAME)
def test_one_model_has_one_name(names):
    assert len({base_model(name) for name in names}) == 1
    assert base_model(base_model(names[0])) == base_model(names[0])


@pytest.mark.parametrize("names", OTHER)
def test_two_models_have_two_names(names):
    assert len({base_model(name) for name in names}) == len(names)


@pytest.mark.realdata
@pytest.mark.usefixtures("published_data")
def test_names_join_the_offers_of_one_model_and_no_others():
    file = Path(os.environ["ROUTERLAB_DATA"]) / "market" / "base_models.csv"
    if not file.exists():
        pytest.skip("no market/base_models.csv here: names of offers as models.dev joins them")
    truth = pd.read_csv(file)
    truth["name"] = truth["model_id"].map(base_model)
    # Names that the truth itself gives to two models: no function of the name can be right about both.
    owners = truth.groupby(truth["model_id"].str.lower().str.rpartition("/")[2])["base_model"].transform("nunique")

    def pairs(counts: pd.Series) -> int:
        return int((counts * (counts - 1) // 2).sum())

    def score(rows: pd.DataFrame) -> tuple[float, float]:
        joined, same = pairs(rows.groupby("name").size()), pairs(rows.groupby("base_model").size())
        right = pairs(rows.groupby(["name", "base_model"]).size())
        return right / joined, right / same

    assert (owners == 1).sum() > 1200
    halves = [score(truth[owners == 1].sample(frac=0.5, random_state=k)) for k in range(5)]
    for precision, recall in (score(truth[owners == 1]), *halves):
        assert precision >= 0.99
        assert recall >= 0.90
    assert score(truth)[0] >= 0.985
