"""README and notebooks: they run, and they keep the house rules."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import routerlab as rl
from tests.llm_server import LLMServer

ROOT = Path(__file__).parents[1]
# label.ipynb is an app that Voila serves, not a story.
NOTEBOOKS = [p for p in sorted((ROOT / "notebooks").rglob("*.ipynb")) if p.stem != "label"]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def cells(path: Path, kind: str) -> list[dict]:
    return [c for c in json.loads(path.read_text(encoding="utf-8"))["cells"] if c["cell_type"] == kind]


def test_readmes_links_lead_somewhere():
    links = re.findall(r"\]\(([^)#]+)\)", README)
    assert links
    for link in links:
        assert link.startswith("https://") or (ROOT / link).exists(), link


def test_readme_names_the_cpu_build_of_torch_in_the_pinned_version():
    pinned = re.search(r"^torch==(.*)$", (ROOT / "constraints.txt").read_text(encoding="utf-8"), re.MULTILINE).group(1)
    assert f"pip install torch=={pinned} --index-url https://download.pytorch.org/whl/cpu" in README


@pytest.mark.slow
def test_readmes_ten_lines_run(capsys):
    code = re.search(r"```python\n(.*?)```", README, re.DOTALL).group(1)
    assert len(code.strip().splitlines()) <= 12
    exec(compile(code, "README.md", "exec"), {})
    printed = re.search(r"saves (\S+) of cost (\[.*?\]); quality (\S+) points (\[.*?\])", capsys.readouterr().out)
    saving, ends, lost, range_ = printed.groups()
    assert f"save {saving} of cost {ends} at {lost} points of quality {range_}" in README


CHECKS = ("check_prompts", "check_responses", "check_judgments", "check_outcomes", "check_matrix", "check_aligned")


def counted(monkeypatch, names=CHECKS) -> list[str]:
    """Names of the checks that look at a table from now on, wherever they are called from."""
    found = []
    for name in names:
        check = getattr(rl.schema, name)

        def counting(table, *args, name=name, check=check, **kwargs):
            found.append(name)
            return check(table, *args, **kwargs)

        for module in [m for key, m in sys.modules.items() if key.startswith("routerlab")]:
            if vars(module).get(name) is check:
                monkeypatch.setattr(module, name, counting)
    return found


def test_readmes_ten_lines_check_each_table_once(monkeypatch):
    code = re.search(r"```python\n(.*?)```", README, re.DOTALL).group(1)
    names, lines = {}, code.splitlines()
    at = next(k for k, line in enumerate(lines) if "demo = " in line) + 1
    exec(compile("\n".join(lines[:at]), "README.md", "exec"), names)
    X = pd.DataFrame(
        np.random.default_rng(0).normal(size=(len(names["demo"].prompts), 16)), names["demo"].prompts.index
    )
    rest = [re.sub(r"^X = .*", "X = EMBEDDED", line) for line in lines[at:]]
    rl.held_out_choices, rl.savings, rl.split_prompts, rl.set_operating_point  # noqa: B018 - loads their modules
    looked = counted(monkeypatch, [name for name in CHECKS if name != "check_aligned"])
    exec(compile("\n".join(rest), "README.md", "exec"), names | {"EMBEDDED": X})
    assert looked == ["check_outcomes"]


def test_frames_are_checked_once_by_each_function(monkeypatch):
    problem = rl.make_routing_problem(n_prompts=200, random_state=0)
    X, quality, cost = problem.X, problem.quality, problem.cost
    bar = {"baseline": problem.baseline, "max_quality_loss": 0.1}
    sweep = rl.KNNRouter(5).fit(X, quality, cost=cost).sweep(X)
    choices = rl.oracle(quality, cost)
    looked = counted(monkeypatch, ["check_matrix"])
    for call in (
        lambda: rl.held_out_choices(rl.KNNRouter(5), X, quality, cost, **bar),
        lambda: rl.repeat_claims(rl.KNNRouter(5), X, quality, cost, **bar, n_repeats=3),
        lambda: rl.choose_operating_point(sweep, quality, cost, **bar),
        lambda: rl.promise(sweep, quality, cost, **bar),
        lambda: rl.savings(choices, quality, cost, baseline=problem.baseline),
        lambda: rl.compare(choices, choices, quality, cost),
        lambda: rl.frontier(sweep, quality, cost),
        lambda: rl.baselines(quality, cost),
        lambda: rl.aiq_difference(sweep, "zero_router", quality, cost, n_resamples=20),
        lambda: rl.saving_at_parity(sweep, quality, cost, baseline=problem.baseline),
        lambda: rl.gap_to_oracle(choices, quality, cost),
    ):
        looked.clear()
        call()
        assert looked == ["check_matrix"] * 2  # quality and cost


def test_checked_outcomes_are_not_checked_again_on_the_way_to_a_frontier(monkeypatch):
    outcomes = rl.pivot_outcomes(rl.load_demo().outcomes)
    looked = counted(monkeypatch, ["check_matrix"])
    sweep = rl.decision.sweep_estimates(outcomes)
    rl.frontier(sweep, outcomes)
    rl.frontier(sweep.at(0.01), outcomes.loc[outcomes.index], ci=True)
    rl.baselines(outcomes)
    assert looked == []


def test_ratings_by_intent_check_the_judgments_once(monkeypatch):
    demo = rl.load_demo()
    looked = counted(monkeypatch, ["check_judgments"])
    rl.rate(demo.judgments, by=demo.prompts["intent"])
    assert looked == ["check_judgments"]


def test_checked_judgments_are_not_checked_again(monkeypatch):
    from routerlab import judging, labeling

    rng = np.random.default_rng(0)
    pairs = pd.DataFrame({"prompt_id": np.arange(300), "model_a": "x", "model_b": "y"})
    people = pd.concat([pairs.assign(winner=rng.choice(["model_a", "tie", "model_b"], 300), judge=j) for j in "ab"])
    people = people.reset_index(drop=True)
    judge = people[people["judge"] == "a"].assign(judge="model")
    looks = []
    frame = rl.schema._tables._frame
    monkeypatch.setattr(
        rl.schema._tables, "_frame", lambda table, name, need: looks.append(name) or frame(table, name, need)
    )
    for call in (
        lambda judge, human: rl.judge_trust(judge, human).kappa,
        lambda judge, human: judging.ppi_win_rate(judge, human).to_numpy().tolist(),
        lambda judge, human: rl.rate(human, by=pd.Series("one", pd.RangeIndex(300))).to_numpy().tolist(),
        lambda judge, human: rl.rate(human).to_numpy().tolist(),
        lambda judge, human: rl.BradleyTerry().fit(human).ratings_.tolist(),
        lambda judge, human: labeling.position_bias(human),
        lambda judge, human: labeling.krippendorff_alpha(human),
        lambda judge, human: labeling.disagreements(human).to_numpy().tolist(),
        lambda judge, human: labeling.standings(human).provenance,
    ):
        by_frames = call(judge, people)
        checked = rl.Judgments(judge), rl.Judgments(people)
        looks.clear()
        assert call(*checked) == by_frames
        assert looks == []


@pytest.mark.slow
def test_readmes_own_prompts_run_against_a_server(tmp_path, monkeypatch):
    ten, collect, serve = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    # No price list knows a server on this machine: a budget asks what it costs.
    collect = re.sub(r"budget_usd=20", "budget_usd=20, prices=PRICES", collect)
    demo = rl.load_demo().prompts.head(120)
    demo["prompt"].reset_index().to_csv(tmp_path / "prompts.csv", index=False)

    def reply(body):
        judged = "impartial judge" in body["messages"][0]["content"]
        return '{"rationale": "Both will do.", "verdict": "tie"}' if judged else f"I am {body['model']}."

    with LLMServer(reply=reply) as server:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)
        monkeypatch.setenv("OPENAI_API_KEY", "planted-key-0123456789")
        names = {"rl": rl, "PRICES": {"gpt-4.1": (2, 8), "gpt-4.1-nano": (0.1, 0.4), "gpt-4.1-mini": (0.4, 1.6)}}
        exec(compile(collect, "README.md", "exec"), names)
        assert names["quality"].shape == (120, 2) and (names["quality"] == 0.5).all(axis=None)
        lines = ten.replace("demo.prompts", "prompts.loc[outcomes.index]").replace('"gpt-4"', '"gpt-4.1"').splitlines()
        kept = [line for line in lines if "load_demo" not in line and "pivot_outcomes" not in line]
        exec(compile("\n".join(kept), "README.md", "exec"), names)
        exec(compile(serve, "README.md", "exec"), names)
        assert len(names["captured"].outcomes) == 1
        n_asked = len(server.asked)
        exec(compile(collect, "README.md", "exec"), names)
        assert len(server.asked) == n_asked, "the second run asks nothing again"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_notebooks_keep_the_house_rules(path):
    code = cells(path, "code")
    sources = ["".join(c["source"]) for c in code]
    assert [c["execution_count"] for c in code] == list(range(1, len(code) + 1)), "not run from top to bottom"
    assert not [o for c in code for o in c["outputs"] if o["output_type"] == "error"]
    for source in sources:
        assert len(source.splitlines()) <= 12, source
        assert not re.search(r"^\s*def ", source, re.MULTILINE), source
    text = path.read_text(encoding="utf-8")
    assert "object at 0x" not in text
    assert "widgets" not in json.loads(text)["metadata"]
    assert len(text) < 1_500_000
    prose = sum(len("".join(c["source"])) for c in cells(path, "markdown"))
    assert prose >= sum(map(len, sources)), "prose should be at least as long as code"
    assert "?" in "".join(cells(path, "markdown")[0]["source"]), "the first cell asks the question"
