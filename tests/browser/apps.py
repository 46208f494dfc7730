"""A real JupyterLab or Notebook 7 in a real Chromium, for tests that look at widgets."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
PATHS = {"lab": "/doc/tree/{}", "notebook": "/notebooks/{}"}
# Chromium in a container, and no traffic of its own.
FLAGS = (
    "--no-sandbox --disable-dev-shm-usage --disable-gpu --disable-background-networking --disable-component-update "
    "--disable-sync --disable-default-apps --no-first-run --disable-features=Translate,OptimizationHints,MediaRouter"
).split()
CONFIG = """
c.ServerApp.token = c.ServerApp.password = ""
c.IdentityProvider.token = ""
c.ServerApp.open_browser = False
c.ServerApp.allow_root = True
c.LabApp.expose_app_in_browser = True
c.JupyterNotebookApp.expose_app_in_browser = True
"""
QUIET = {
    "@jupyterlab/apputils-extension/notification.jupyterlab-settings": {"fetchNews": "false", "checkForUpdates": False}
}


def chromium() -> str | None:
    """Path of a Chromium or Chrome, None if there is none."""
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    return os.environ.get("ROUTERLAB_CHROMIUM") or next(filter(None, map(shutil.which, names)), None)


def free_port() -> int:
    """A port on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def serving(command: list[str], folder: Path, ready: str, port: int) -> Iterator[str]:
    """Run a server in `folder` until `ready` answers, and end it after."""
    home = folder / ".jupyter"
    for path, values in QUIET.items():
        file = home / "lab" / "user-settings" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(values))
    (home / "jupyter_server_config.py").write_text(CONFIG)
    env = {**os.environ, "JUPYTER_CONFIG_DIR": str(home), "JUPYTER_DATA_DIR": str(home / "data")}
    env |= {"IPYTHONDIR": str(home / "ipython"), "PYTHONPATH": str(ROOT), "JUPYTER_RUNTIME_DIR": str(home / "runtime")}
    env |= {"JUPYTERLAB_SETTINGS_DIR": str(home / "lab/user-settings"), "PYDEVD_DISABLE_FILE_VALIDATION": "1"}
    env |= {"JUPYTERLAB_WORKSPACES_DIR": str(home / "lab/workspaces")}
    log = (folder / "server.log").open("w")
    server = subprocess.Popen([sys.executable, "-m", *command], cwd=folder, env=env, stdout=log, stderr=log)
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(600):
            try:
                urllib.request.urlopen(url + ready, timeout=5).close()
                break
            except urllib.error.HTTPError:
                break  # it answers
            except OSError:
                pass
            if server.poll() is not None:
                msg = f"server ended: {(folder / 'server.log').read_text()}"
                raise RuntimeError(msg)
            time.sleep(0.1)
        yield url
    finally:
        server.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            server.wait(10)
        server.kill()
        log.close()


def jupyter(folder: Path) -> contextlib.AbstractContextManager[str]:
    """Serve JupyterLab and Notebook 7 on one port."""
    port = free_port()
    return serving(
        ["jupyter", "lab", f"--ServerApp.port={port}", f"--ServerApp.root_dir={folder}"], folder, "/api/status", port
    )


class Book:
    """A notebook open in one app, whose cells are run through the app's own commands."""

    def __init__(self, page: Any, url: str, folder: Path, app: str, imports: str = "") -> None:
        self.page, self.app, self.url, self.imports = page, app, url, imports
        self.frames: list[bytes] | None = None  # what the kernel sends, while somebody listens
        page.on("websocket", lambda socket: socket.on("framereceived", self._received))
        self.path = folder / f"{app}.ipynb"
        cells = [
            {"cell_type": "code", "id": f"c{i}", "source": "", "metadata": {}, "outputs": [], "execution_count": None}
            for i in range(3)
        ]
        spec = {"name": "python3", "display_name": "Python 3", "language": "python"}
        self.path.write_text(
            json.dumps({"cells": cells, "metadata": {"kernelspec": spec}, "nbformat": 4, "nbformat_minor": 5})
        )
        page.goto(url + PATHS[app].format(self.path.name))
        page.wait_for_function(
            "window.jupyterapp?.shell.currentWidget?.content?.activeCell && "
            "window.jupyterapp.shell.currentWidget.sessionContext.session?.kernel?.connectionStatus === 'connected' && "
            "window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.status === 'idle'",
            timeout=90_000,
        )

        self.run(imports)

    def _received(self, payload: str | bytes) -> None:
        if self.frames is not None:
            self.frames.append(payload.encode() if isinstance(payload, str) else payload)

    def start(self, code: str, cell: int = 0) -> None:
        """Run `code` in a cell, and do not wait."""
        self.page.evaluate(
            """([code, cell]) => {
                const content = window.jupyterapp.shell.currentWidget.content;
                content.activeCellIndex = cell;
                content.activeCell.model.sharedModel.setSource(code);
                window.jupyterapp.commands.execute("notebook:run-cell");
            }""",
            [code, cell],
        )

    def run(self, code: str, cell: int = 0) -> str:
        """Run `code` in a cell, wait, and return its text output."""
        self.page.evaluate(
            """async ([code, cell]) => {
                const content = window.jupyterapp.shell.currentWidget.content;
                content.activeCellIndex = cell;
                content.activeCell.model.sharedModel.setSource(code);
                await window.jupyterapp.commands.execute("notebook:run-cell");
            }""",
            [code, cell],
        )
        outputs = self.page.evaluate(
            "(cell) => window.jupyterapp.shell.currentWidget.content.widgets[cell].model.outputs.toJSON()", cell
        )
        errors = [o for o in outputs if o["output_type"] == "error"]
        if errors:
            raise RuntimeError("\n".join(errors[0]["traceback"]))
        return "".join("".join(o.get("text", "")) for o in outputs if o["output_type"] == "stream")

    def show(self, code: str, selector: str = ".rl") -> None:
        """Run `code`, whose last line is a widget, and wait until it is there."""
        self.run(code, 1)
        self.page.wait_for_selector(selector)

    def cells(self) -> list[str]:
        """Sources of all cells: what stray keys would change."""
        return self.page.evaluate(
            "() => window.jupyterapp.shell.currentWidget.content.model.sharedModel.cells.map(c => c.source)"
        )

    def restart(self) -> None:
        """Ask for a restart of the kernel, and do not wait."""
        self.page.evaluate("() => void window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.restart()")

    def revive(self) -> None:
        """Wait until a new kernel runs, and import again."""
        self.page.wait_for_function(
            "window.jupyterapp.shell.currentWidget.sessionContext.session?.kernel?.status === 'idle'", timeout=60_000
        )
        self.run(self.imports)
