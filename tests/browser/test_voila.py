"""Raters need no notebook: Voila serves notebooks/label.ipynb."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from apps import ROOT, free_port, serving

FIRST = "input[placeholder='your name']"


def kernels(folder: Path) -> list[int]:
    """Kernels of the server that runs in this folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            arguments, environment = ((process / name).read_bytes() for name in ("cmdline", "environ"))
        except OSError:
            continue
        if b"ipykernel_launcher" in arguments and f"{folder}/.jupyter".encode() in environment:
            found.append(int(process.name))
    return found


def test_a_rater_votes_under_voila(chrome: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, measured: list[str]):
    pytest.importorskip("voila", reason="needs Voila: pip install voila")
    shutil.copy(ROOT / "notebooks/label.ipynb", tmp_path)
    # An installed routerlab has its template there already.
    shutil.copytree(ROOT / "routerlab/widgets/voila", tmp_path / "share/voila/templates/routerlab")
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "share"))
    port = free_port()
    with serving(["voila", "label.ipynb", f"--port={port}", "--no-browser"], tmp_path, "/ready", port) as url:
        page = chrome.new_page(viewport={"width": 1280, "height": 900})
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        before = time.perf_counter()
        page.goto(url)
        page.wait_for_selector(FIRST, timeout=90_000)
        measured.append(f"Voila: {time.perf_counter() - before:.1f} s to the first screen")

        for name, said in (("  ", "Please give your name"), ("/..", "cannot be used"), ("x" * 99, "cannot be used")):
            page.fill(FIRST, name)
            page.keyboard.press("Enter")
            page.wait_for_selector(f".rl-rater-said:has-text('{said}')")
        assert "Traceback" not in page.content()
        page.fill(FIRST, "ana")
        page.get_by_role("button", name="Start").click()
        page.wait_for_selector(".rl-comparator", timeout=60_000)
        page.wait_for_timeout(500)
        page.add_style_tag(content="h1 { margin-top: 300px !important; }")  # however much stands above
        for name in ("left", "right", "tie", "both_bad"):
            box = page.locator(f"[data-action={name}]").bounding_box()
            assert box["y"] + box["height"] <= 900, "the votes are in sight"
        page.screenshot(path=os.environ.get("ROUTERLAB_SHOTS", str(tmp_path)) + "/voila.png")
        page.click(".rl-title")
        page.keyboard.press("2")
        page.wait_for_function("document.querySelector('.rl-count').textContent.startsWith('1 of')")
        assert page.url.endswith("?rater=ana")
        outside = [url for url in asked if not url.startswith((f"http://127.0.0.1:{port}", "data:", "blob:"))]
        assert not outside

        page.reload()  # the link goes on where the rater stopped
        page.wait_for_selector(".rl-comparator", timeout=90_000)
        assert page.inner_text(".rl-count").startswith("1 of")
        for pid in kernels(tmp_path):
            os.kill(pid, signal.SIGKILL)
        page.wait_for_timeout(300)
        page.focus(".rl")
        page.keyboard.press("1")
        page.wait_for_selector(".rl-banner:not([hidden])")
        said = page.inner_text(".rl-banner")
        assert "Reload this page" in said and "cell" not in said and "1 decision not saved" in said
        page.get_by_role("button", name="Reload").click()
        page.wait_for_function("document.querySelector('.rl-count')?.textContent.startsWith('2 of')", timeout=90_000)
        page.close()
    lines = [json.loads(line) for line in (tmp_path / "votes/ana.jsonl").read_text().splitlines()]
    assert [line.get("winner") for line in lines[1:]] == ["model_b", "model_a"]
