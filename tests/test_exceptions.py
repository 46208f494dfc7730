"""One tree of errors: all derive from one root, and a wrong parameter is not a wrong table."""

import ast
import importlib
import inspect
import re
from pathlib import Path

import pandas as pd
import pytest

import routerlab as rl

CLASSES = {name: kind for name, kind in vars(rl.exceptions).items() if inspect.isclass(kind) and name != "Any"}
QUALITY = pd.DataFrame({"small": [0.0, 1.0], "large": [1.0, 1.0]}, index=["p1", "p2"])
COST = pd.DataFrame({"small": [0.001] * 2, "large": [0.01] * 2}, index=["p1", "p2"])
CHOICES = pd.Series({"p1": "small", "p2": "large"})


def test_the_docstring_shows_every_class():
    assert set(re.findall(r"\w+(?:Error|Warning|Refused|Vote|Undo)\b", rl.exceptions.__doc__)) >= set(CLASSES)


@pytest.mark.parametrize("name", sorted(CLASSES))
def test_every_error_has_one_root(name):
    root = rl.RouterlabWarning if issubclass(CLASSES[name], Warning) else rl.RouterlabError
    assert issubclass(CLASSES[name], root)


def test_errors_and_warnings_are_defined_in_one_module():
    elsewhere = []
    for path in Path(rl.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef) and re.fullmatch(r"[A-Z]\w+(Error|Warning)", node.name):
                elsewhere += [] if path.name == "exceptions.py" else [node.name]
    assert not elsewhere


@pytest.mark.parametrize(
    ("package", "names"),
    [
        ("schema", "TableError DroppedRowsWarning MixedScalesWarning"),
        ("jsonl", "LogError LogFormatError LogWriteError"),
        ("completions", "CollectionWarning EndpointRefused JournalError"),
        ("serving", "CaptureError CaptureWarning EndpointWarning"),
        ("labeling", "LogError LogFormatError LogOwnerError LogWarning LogWriteError NothingToUndo StaleVote"),
        ("embedding", "CutPromptsWarning ModelNotFoundError"),
        ("datasets", "AbsentFileError DataFileError"),
        ("pricing", "UnknownPriceWarning"),
        ("evaluation", "NoOperatingPointError"),
        ("model_selection", "CopiesWarning NoOperatingPointError"),
    ],
)
def test_the_old_places_still_name_them(package, names):
    module = importlib.import_module(f"routerlab.{package}")
    assert [getattr(module, name) for name in names.split()] == [CLASSES[n] for n in names.split()]


@pytest.mark.parametrize(
    ("error", "built_in"),
    [
        ("TableError", ValueError),
        ("NoOperatingPointError", ValueError),
        ("ParameterError", ValueError),
        ("SavedFileError", ValueError),
        ("LogError", RuntimeError),
        ("JournalError", RuntimeError),
        ("EndpointRefused", RuntimeError),
        ("CaptureError", ValueError),
        ("DataFileError", OSError),
        ("ModelNotFoundError", OSError),
    ],
)
def test_errors_stay_what_they_were(error, built_in):
    assert issubclass(CLASSES[error], built_in)


@pytest.mark.parametrize(
    "call",
    [
        lambda: rl.savings(CHOICES, QUALITY, COST, baseline="no such model"),
        lambda: rl.savings(CHOICES, QUALITY, COST, baseline="large", max_quality_loss=5),
        lambda: rl.savings(CHOICES, QUALITY, COST, baseline="large", router_cost=-1.0),
        lambda: rl.frontier(CHOICES, QUALITY, COST, ci=True, confidence=2),
        lambda: rl.pivot_outcomes(pd.DataFrame(), missing="guess"),
        lambda: rl.to_quality([1, 2], scale="1-5"),
        lambda: rl.decision.check_wtp(-1),
        lambda: rl.arena_score(0.5, 0.0),
        lambda: rl.KNNRouter(3).fit(QUALITY, QUALITY, cost=COST),
        lambda: rl.KNNRouter(1, min_similarity=0.5).fit(QUALITY, QUALITY, cost=COST),
        lambda: rl.split_prompts(QUALITY, sizes=(0.5, 0.1)),
        lambda: rl.held_out_choices(rl.KNNRouter(1), QUALITY, QUALITY, COST, baseline="large", cv=50),
    ],
)
def test_a_wrong_parameter_is_not_a_wrong_table(call):
    with pytest.raises(rl.ParameterError) as caught:
        call()
    assert not isinstance(caught.value, rl.TableError)
    assert isinstance(caught.value, ValueError)


def test_a_file_that_holds_no_router_says_so(tmp_path):
    (tmp_path / "router.npz").write_bytes(b"nothing")
    with pytest.raises(rl.exceptions.SavedFileError, match="not a router"):
        rl.load_router(tmp_path / "router.npz")
