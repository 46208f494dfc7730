"""Tasks that deserve a model of their own: frequent, uniform, close; and what that costs."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from routerlab import market
from routerlab.schema import TableError

N = 300
IDS = pd.Index([f"p{k}" for k in range(4 * N)], name="prompt_id")
TASK = np.repeat(["close", "worse", "wild", "rare"], N)


@pytest.fixture(scope="module")
def world():
    rng = np.random.default_rng(0)
    centre = np.eye(4)[np.repeat(range(4), N)]
    spread = np.where(TASK == "wild", 3.0, 0.1)[:, None]
    X = pd.DataFrame(centre + spread * rng.normal(size=(4 * N, 4)), index=IDS)
    prompts = pd.DataFrame({"prompt": "Translate this line, please."}, index=IDS)
    small = np.where(TASK == "worse", rng.random(4 * N) < 0.5, 1.0)
    outcomes = pd.concat(
        [
            pd.DataFrame({"prompt_id": IDS, "model": "small", "quality": small, "cost_usd": 0.0001}),
            pd.DataFrame(
                {"prompt_id": IDS, "model": "large", "quality": 1.0, "cost_usd": rng.lognormal(-5, 0.5, 4 * N)}
            ),
        ]
    )
    return prompts, X, outcomes


def found(world, **options):
    options = {"small": "small", "baseline": "large", "requests_per_month": 4e6, "max_quality_loss": 0.03} | options
    options.setdefault("clusters", pd.Series(TASK, index=IDS))
    return market.slm_candidates(*world, **options)


def test_verdicts_name_what_speaks_against(world):
    table = found(world, min_share=0.2)
    assert table["verdict"].to_dict() == {
        "close": "worth a trial", "rare": "worth a trial", "wild": "not one task", "worse": "the small model is worse",
    }  # fmt: skip
    keep = np.r_[0 : 3 * N, 3 * N : 3 * N + 150]
    prompts, X, outcomes = world
    fewer = (prompts.iloc[keep], X.iloc[keep], outcomes[outcomes["prompt_id"].isin(IDS[keep])])
    assert found(fewer, min_share=0.2).loc["rare", "verdict"] in (
        "too rare",
        "too few prompts to say that the small model is close",
    )
    assert found(world, requests_per_month=1000)["verdict"]["close"] == "too few requests to pay"
    slow = market.Hosting(tokens_per_second=1)
    assert found(world, hosting=slow)["verdict"]["close"] == "the API is cheaper than a busy GPU"


def test_money_adds_up(world):
    table = found(world)
    row = table.loc["close"]
    assert row["requests"] == 1e6
    _, _, outcomes = world
    mean = outcomes.query("model == 'large'").set_index("prompt_id").loc[IDS[:N], "cost_usd"].mean()
    assert row["api_usd"] == pytest.approx(1e6 * mean)
    tokens = 7 + 200  # 28 characters
    assert row["own_usd"] == pytest.approx(market.Hosting().usd_per_month(1e6 * tokens))
    assert row["break_even_low"] < row["break_even"] < row["break_even_high"]
    assert row["break_even"] * mean == pytest.approx(market.Hosting().usd_per_month(row["break_even"] * tokens))


@pytest.mark.parametrize("usd", [1e-5, 5e-5, 2e-4, 0.01])
@pytest.mark.parametrize("hosting", [{}, {"utilization": 0.02}, {"min_gpus": 3, "tuning_usd": 0}, {"tuning_usd": 1e5}])
def test_break_even_is_the_least_volume_that_pays(usd, hosting):
    own = market.Hosting(**hosting)
    at = float(own.break_even(np.array([usd]), 800.0)[0])
    volume = np.geomspace(1e3, 1e10, 4000)
    pays = usd * volume >= own.usd_per_month(volume * 800.0)
    if np.isinf(at):
        assert not pays.any()
    else:
        assert usd * at * (1 + 1e-9) >= own.usd_per_month(at * 800.0 * (1 - 1e-12))
        assert not pays[volume < at * (1 - 1e-9)].any()


def test_utilisation_decides():
    busy, idle = (market.Hosting(utilization=u).usd_per_month(1e11) for u in (0.8, 0.1))
    assert idle > 6 * busy


def test_clusters_are_found_and_tokens_counted(world):
    table = found(world, clusters=4, random_state=0)
    assert table["n"].sum() == 4 * N
    tokens = pd.DataFrame({"prompt_id": IDS, "model": "small", "input_tokens": 1000.0, "output_tokens": 0.0})
    assert (found(world, tokens=tokens)["own_usd"] >= found(world)["own_usd"]).all()
    with pytest.raises(TableError, match="has none of 'small'"):
        found(world, tokens=tokens.iloc[1:])


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"small": "tiny"}, ValueError, "'tiny'"),
        ({"baseline": "huge"}, ValueError, "'huge'"),
        ({"requests_per_month": 0}, ValueError, "requests_per_month"),
        ({"clusters": 0}, ValueError, "clusters"),
        ({"clusters": pd.Series(TASK[:5], index=IDS[:5])}, TableError, "does not label every prompt"),
        ({"max_quality_loss": 3}, ValueError, "share"),
    ],
)
def test_bad_input_is_refused_by_name(world, options, error, words):
    with pytest.raises(error, match=words):
        found(world, **options)


def test_prompts_without_an_embedding_are_named(world):
    prompts, X, outcomes = world
    with pytest.raises(TableError, match="'p0'"):
        found((prompts, X.iloc[1:], outcomes), clusters=3)


@pytest.mark.parametrize(
    "field", [{"utilization": 0}, {"utilization": 20}, {"gpu_usd_per_hour": 0}, {"tuning_usd": -1}, {"min_gpus": 0}]
)
def test_bad_hosting_is_refused(field):
    with pytest.raises(ValueError, match=next(iter(field))):
        market.Hosting(**field)
