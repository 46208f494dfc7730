"""Raters need no notebook: Voila serves notebooks/label.ipynb."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from apps import ROOT, free_port, serving


def test_a_rater_votes_under_voila(chrome: Any, tmp_path: Path):
    pytest.importorskip("voila", reason="needs Voila: pip install voila")
    shutil.copy(ROOT / "notebooks/label.ipynb", tmp_path)
    port = free_port()
    with serving(["voila", "label.ipynb", f"--port={port}", "--no-browser"], tmp_path, "/ready", port) as url:
        page = chrome.new_page(viewport={"width": 1200, "height": 1000})
        page.goto(url)
        page.fill("input[placeholder='your name']", "ana")
        page.click("text=Start")
        page.wait_for_timeout(500)
        page.click(".rl-title")
        page.keyboard.press("2")
        page.wait_for_function("document.querySelector('.rl-count').textContent.startsWith('1 of')")
        page.close()
    lines = [json.loads(line) for line in (tmp_path / "votes/ana.jsonl").read_text().splitlines()]
    assert [line.get("winner") for line in lines[1:]] == ["model_b"]
