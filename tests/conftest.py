"""Fixtures shared by all tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("MPLBACKEND", "agg")


@pytest.fixture(scope="session")
def published_data() -> Path:
    """Folder of the published files, or a skip that says how to get them."""
    folder = os.environ.get("ROUTERLAB_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("published files are not here: set ROUTERLAB_DATA to a folder laid out <owner>/<repository>/<path>")
    return Path(folder)
