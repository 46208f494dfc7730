"""Fixtures shared by all tests."""

from __future__ import annotations

import os
import sys
from importlib.machinery import PathFinder
from pathlib import Path

import hypothesis
import pytest


class WithoutPyarrow(PathFinder):
    """Find every package but pyarrow, as on a plain installation; None in sys.modules would break scikit-learn."""

    @classmethod
    def find_spec(cls, fullname, path=None, target=None):
        return None if fullname == "pyarrow" else super().find_spec(fullname, path, target)


if os.environ.get("ROUTERLAB_WITHOUT_PYARROW"):  # before pandas looks for it
    sys.meta_path[:] = [WithoutPyarrow if finder is PathFinder else finder for finder in sys.meta_path]

# Child processes run this package, whatever is installed.
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH")]))
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("MPLBACKEND", "agg")

# The same examples on every run, so that a newcomer's tests say what CI's said; `make test-fuzz SEED=` draws anew.
hypothesis.settings.register_profile("fixed", derandomize=True, database=None)
hypothesis.settings.register_profile("fuzz", max_examples=1000, database=None)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fixed"))

# conftest.py is loaded by pytest itself; golden/ holds scripts that need the peers' packages, and what they printed.
collect_ignore_glob = ["*conftest.py", "golden/*"]


@pytest.fixture(scope="session")
def published_data() -> Path:
    """Folder of the published files, or a skip that says how to get them."""
    folder = os.environ.get("ROUTERLAB_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("published files are not here: set ROUTERLAB_DATA to a folder laid out <owner>/<repository>/<path>")
    return Path(folder)


def pytest_terminal_summary(terminalreporter) -> None:
    """Say plainly which tests ran on real data."""
    done, skipped = [], []
    for outcome, names in (("passed", done), ("failed", done), ("skipped", skipped)):
        names += [r.nodeid for r in terminalreporter.stats.get(outcome, []) if "realdata" in getattr(r, "keywords", {})]
    if done or skipped:
        terminalreporter.section("real data")
        terminalreporter.line(f"{len(set(done))} tests ran on the published files, {len(set(skipped))} were skipped")
        for name in sorted(set(done)):
            terminalreporter.line(f"  ran on real data: {name}")
