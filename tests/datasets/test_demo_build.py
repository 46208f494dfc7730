"""The simulated demo data: rebuilt bit for bit, true to its published anchors, and described truthfully."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

from routerlab.schema import check_judgments, check_outcomes, check_prompts

DATA = Path(__file__).parents[2] / "data"
DEMO = DATA / "demo"
BUILT = ("outcomes.csv", "judgments.csv", "provenance.json")
PAIR = ["prompt_id", "left", "right"]
LISTED = {  # name in the price list, provider
    "gpt-4": ("gpt-4", "openai"),
    "claude-2.1": ("claude-2.1", "anthropic"),
    "gpt-3.5-turbo": ("gpt-3.5-turbo-1106", "openai"),
    "mixtral-8x7b-instruct": ("mistralai/Mixtral-8x7B-Instruct-v0.1", "together"),
    "llama-2-70b-chat": ("meta-llama/Llama-2-70b-chat-hf", "together"),
    "mistral-7b-instruct": ("mistralai/Mistral-7B-Instruct-v0.2", "together"),
}


@pytest.fixture(scope="module")
def script() -> ModuleType:
    sys.path.insert(0, str(DATA))
    try:
        import build_demo
    finally:
        sys.path.remove(str(DATA))
    return build_demo


@pytest.fixture(scope="module")
def prompts() -> pd.DataFrame:
    return check_prompts(pd.read_json(DEMO / "prompts.jsonl", lines=True))


@pytest.fixture(scope="module")
def outcomes(prompts: pd.DataFrame) -> pd.DataFrame:
    return check_outcomes(pd.read_csv(DEMO / "outcomes.csv"), prompts)


@pytest.fixture(scope="module")
def judgments(prompts: pd.DataFrame) -> pd.DataFrame:
    votes = check_judgments(pd.read_csv(DEMO / "judgments.csv"), prompts)
    pair = np.sort(votes[["model_a", "model_b"]].to_numpy(dtype=str), axis=1)
    chosen = votes["model_a"].where(votes["winner"] == "model_a", votes["model_b"])
    return votes.assign(
        left=pair[:, 0], right=pair[:, 1], chosen=chosen.where(votes["winner"].str.startswith("model"), "neither")
    )


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    for name in ("prompts.jsonl", *BUILT):
        shutil.copy(DEMO / name, tmp_path)
    return tmp_path


def test_committed_files_are_what_the_script_builds() -> None:
    run = subprocess.run(
        [sys.executable, str(DATA / "build_demo.py"), "--check"], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr


@pytest.mark.parametrize("name", BUILT)
def test_check_finds_one_changed_digit_and_changes_nothing(
    script: ModuleType, copy: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    content = (copy / name).read_bytes()
    at = next(i for i in range(len(content) - 1, 0, -1) if content[i : i + 1].isdigit())
    altered = content[:at] + str((int(content[at : at + 1]) + 1) % 10).encode() + content[at + 1 :]
    (copy / name).write_bytes(altered)
    assert script.main(["--check", "--folder", str(copy)]) == 1
    assert f"differs from a fresh build: {name};" in capsys.readouterr().out
    assert (copy / name).read_bytes() == altered


def test_build_writes_what_check_accepts(script: ModuleType, copy: Path) -> None:
    (copy / "outcomes.csv").unlink()
    assert script.main(["--check", "--folder", str(copy)]) == 1
    assert script.main(["--folder", str(copy)]) == 0
    assert all((copy / name).read_bytes() == (DEMO / name).read_bytes() for name in BUILT)


def test_changed_prompts_are_refused_with_a_remedy(script: ModuleType, copy: Path) -> None:
    with (copy / "prompts.jsonl").open("a") as file:
        file.write("\n")
    with pytest.raises(ValueError, match=r"sha256 [0-9a-f]{64}, expected .* set PROMPTS_SHA256"):
        script.main(["--folder", str(copy)])
    assert (copy / "outcomes.csv").read_bytes() == (DEMO / "outcomes.csv").read_bytes()


def test_unknown_language_is_named(script: ModuleType, prompts: pd.DataFrame) -> None:
    strange = prompts.reset_index().assign(language="eo")
    with pytest.raises(ValueError, match=r"'distance' for \['eo'\]: add a row to data/demo_parameters.py"):
        script.latent_quality(strange)


def test_provenance_names_seed_and_hashes(script: ModuleType) -> None:
    note = json.loads((DEMO / "provenance.json").read_text())
    assert note["provenance"] == f"simulated: routerlab demo, seed {script.SEED}, see data/README.md"
    hashes = {name: hashlib.sha256((DEMO / name).read_bytes()).hexdigest() for name in note["sha256"]}
    assert note["sha256"] == hashes
    assert set(hashes) == {"prompts.jsonl", "outcomes.csv", "judgments.csv"}


def test_every_model_answers_every_prompt(script: ModuleType, prompts: pd.DataFrame, outcomes: pd.DataFrame) -> None:
    assert len(outcomes) == len(prompts) * len(script.MODELS)
    assert set(outcomes["model"]) == set(script.MODELS)
    assert outcomes.notna().all(axis=None)


def test_mean_quality_is_the_published_mean(script: ModuleType, outcomes: pd.DataFrame) -> None:
    means = outcomes.groupby("model")["quality"].mean()
    for model, row in script.MODELS.items():
        assert means[model] == pytest.approx(row.mt_bench / 10, abs=5e-4)


@pytest.mark.parametrize("model", LISTED)
def test_prices_are_list_prices_and_make_the_costs(script: ModuleType, outcomes: pd.DataFrame, model: str) -> None:
    from genai_prices import Usage, calc_price

    name, provider = LISTED[model]
    then = datetime(2024, 2, 7, tzinfo=UTC)
    listed = calc_price(Usage(), model_ref=name, provider_id=provider, genai_request_timestamp=then).model_price
    usd_in, usd_out = script.MODELS[model].usd_in, script.MODELS[model].usd_out
    assert (str(usd_in), str(usd_out)) == (str(listed.input_mtok), str(listed.output_mtok))
    rows = outcomes[outcomes["model"] == model]
    cost = (rows["input_tokens"] * usd_in + rows["output_tokens"] * usd_out) / 1e6
    np.testing.assert_allclose(rows["cost_usd"], cost, rtol=1e-12)


def test_intent_tells_who_wins_but_not_trivially(prompts: pd.DataFrame, outcomes: pd.DataFrame) -> None:
    """Intents explain as much of Mixtral minus GPT-4 as in published data: MMLU .05 (subjects), MT-Bench .12."""
    quality = outcomes.pivot_table(index="prompt_id", columns="model", values="quality").loc[prompts.index]
    gap = quality["mixtral-8x7b-instruct"] - quality["gpt-4"]
    left = gap - gap.groupby(prompts["intent"]).transform("mean")
    n, k = len(gap), prompts["intent"].nunique()
    assert 0.03 < 1 - (left.var() * (n - 1) / (n - k)) / gap.var() < 0.15


def test_raters_follow_their_documented_model(script: ModuleType) -> None:
    """Responses of latent quality 2 and 1: shares are Rao-Kupper's, mixed with lapses."""
    n = 40_000
    for name, rater in script.RATERS.items():
        winner = script.vote(np.full(n, 2.0), np.full(n, 1.0), np.full(n, name))
        for_a = rater.sharpness + rater.position
        a, not_b = expit(for_a - rater.tie), expit(for_a + rater.tie)
        for label, share in {"model_a": a, "model_b": 1 - not_b, "tie": not_b - a}.items():
            expected = (1 - rater.lapse) * share + rater.lapse / 3
            assert np.mean(winner == label) == pytest.approx(expected, abs=4 * np.sqrt(0.25 / n))


def test_both_bad_when_both_are_poor(script: ModuleType) -> None:
    n = 10_000
    winner = script.vote(np.full(n, -3.0), np.full(n, -1.0), np.full(n, "rater-1"))
    lapses = np.mean(winner != "both_bad")
    assert lapses == pytest.approx(script.RATERS["rater-1"].lapse, abs=0.006)


def test_double_ratings_agree_as_people_do(judgments: pd.DataFrame) -> None:
    """About 12% of pairs have two raters, who agree on 81% of decided votes (published for people) give or take."""
    groups = judgments.groupby(PAIR)
    assert groups["judge"].nunique().equals(groups.size().rename("judge"))
    assert (groups.size() == 2).mean() == pytest.approx(0.12, abs=0.001)
    decided = judgments[judgments["chosen"] != "neither"].groupby(PAIR)["chosen"].agg(["size", "nunique"])
    both = decided[decided["size"] == 2]
    assert (both["nunique"] == 1).mean() == pytest.approx(0.81, abs=4 * np.sqrt(0.81 * 0.19 / len(both)))


def test_votes_lie_in_office_hours(script: ModuleType, judgments: pd.DataFrame) -> None:
    when = pd.to_datetime(judgments["judged_at"], format="%Y-%m-%dT%H:%MZ", utc=True)
    assert when.is_monotonic_increasing
    assert when.dt.day_of_week.max() == 4
    assert when.dt.hour.between(8, 17).all()
    assert (when.max() - when.min()).days < 7 * script.WEEKS


def test_datasheet_states_the_real_figures(
    script: ModuleType, prompts: pd.DataFrame, outcomes: pd.DataFrame, judgments: pd.DataFrame
) -> None:
    """Each row that the datasheet prints is computed here from the files."""
    text = (DATA / "README.md").read_text(encoding="utf-8")
    missing = [row for row in datasheet_rows(script, prompts, outcomes, judgments) if row not in text]
    assert not missing, "\n".join(["not in data/README.md:", *missing])


def datasheet_rows(
    script: ModuleType, prompts: pd.DataFrame, outcomes: pd.DataFrame, judgments: pd.DataFrame
) -> list[str]:
    rows = ["| prompts | " + " | ".join(map(str, prompts["difficulty"].value_counts().sort_index())) + " |"]
    languages = prompts["language"].value_counts().sort_index().sort_values(ascending=False, kind="stable")
    rows.append(", ".join(f"{language} {count}" for language, count in languages.items()))
    rows.append(f"{len(prompts)} prompts, {prompts['intent'].nunique()} intents")

    quality = outcomes.pivot_table(index="prompt_id", columns="model", values="quality")
    means = outcomes.groupby("model").mean(numeric_only=True)
    for model in script.MODELS:
        m, gain = means.loc[model], quality[model] - quality["gpt-4"]
        rows.append(
            f"| {model} | {m['quality']:.3f} | {quality[model].std():.2f} | {m['input_tokens']:.0f} | "
            f"{m['output_tokens']:.0f} | {1000 * m['cost_usd']:.2f} | {m['latency_s']:.1f} | "
            f"{(gain >= 0).mean():.0%} | {(gain == 0).mean():.0%} |"
        )
    for model in list(script.MODELS)[1:]:
        pair = judgments[(judgments[["left", "right"]] == sorted([model, "gpt-4"])).all(axis=1)]
        won, lost = (pair["chosen"] == "gpt-4").sum(), (pair["chosen"] == model).sum()
        half = won + (len(pair) - won - lost) / 2
        rows.append(f"| {model} | {len(pair)} | {half / len(pair):.1%} | {won / (won + lost):.1%} |")
    cheaper = quality.drop(columns="gpt-4").max(axis=1) >= quality["gpt-4"]
    rows.append(f"On {cheaper.mean():.0%} of prompts some cheaper model is at least as good as gpt-4.")
    twice = judgments.groupby(PAIR)["chosen"].agg(list)
    twice = twice[twice.map(len) == 2]
    decided = twice[twice.map(lambda chosen: "neither" not in chosen)]
    agreed, agreed_decided = (pairs.map(lambda chosen: chosen[0] == chosen[1]).mean() for pairs in (twice, decided))
    rows.append(f"{agreed_decided:.0%} of the {len(decided)} pairs that both decided, {agreed:.0%} of all {len(twice)}")
    for judge, votes in judgments.groupby("judge"):
        share = votes["winner"].value_counts(normalize=True)
        shares = " | ".join(f"{share[label]:.0%}" for label in ("model_a", "model_b", "tie", "both_bad"))
        rows.append(f"| {judge} | {len(votes)} | {shares} |")
    return rows
