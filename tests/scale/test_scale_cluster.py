"""Real workers on this machine: killed in the middle, out of memory, or with their scheduler gone."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time

import dask
import distributed  # noqa: F401 - its defaults, which dask.config.set in a test would otherwise take with it
import numpy as np
import pandas as pd
import pytest

import routerlab as rl
from routerlab.decision import sweep_estimates
from routerlab.exceptions import ClusterError
from routerlab.scale._work import running_on

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # what worker processes leave open is not ours


class Deadly:
    """A router whose worker is ended by the system, as one that takes too much memory is."""

    def predict_quality(self, X):
        os.kill(os.getpid(), signal.SIGKILL)

    predict_cost = predict_quality


def kill_one_when(there, client):
    """Kill a worker by signal 9 as soon as a file is there."""

    def kill():
        while not list(there()):
            time.sleep(0.005)
        os.kill(next(iter(client.run(os.getpid).values())), signal.SIGKILL)

    thread = threading.Thread(target=kill, daemon=True)
    thread.start()
    return thread


def test_killed_workers_and_a_lost_scheduler(world):
    made = world(20_000, n_parts=10)
    quality, cost = made.frames["quality"], made.frames["cost"]
    folders = made.path("sweep"), made.path("quality"), made.path("cost")
    expected = made.path("expected_quality"), made.path("expected_cost")
    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 1}),
        running_on(None, 2, False) as runner,
    ):
        client = runner.client
        threads = [
            kill_one_when(lambda: made.path("sweep").glob("part-*.parquet"), client),
            kill_one_when(lambda: made.path("points").glob("_work/steps-*.arrow"), client),
        ]
        rl.sweep_parquet(*expected, folders[0], willingness_to_pay=0.02, client=client, progress=False)
        got = rl.frontier_parquet(
            *folders, made.path("points"), ci=True, max_points=None, client=client, progress=False
        )
        for thread in threads:
            thread.join(30)
        options = {"baseline": "large", "client": client.scheduler.address, "progress": False}
        found = rl.savings_parquet(*folders, made.path("savings"), **options)
        X = made.folder / "X.parquet"
        pd.DataFrame({"x": np.ones(3)}, pd.Index(["a", "b", "c"], name="prompt_id")).to_parquet(X)
        with pytest.raises(ClusterError, match=r"a task lost its worker again and again.*Write smaller files"):
            rl.route_parquet(Deadly(), X, made.folder / "routed", client=client, progress=False)
    with pytest.raises(ClusterError, match="'client': is closed. Pass a connected one"):
        rl.savings_parquet(*folders, made.path("savings"), baseline="large", client=client)
    sweep = sweep_estimates(made.frames["expected_quality"], made.frames["expected_cost"])
    pd.testing.assert_frame_equal(got, rl.frontier(sweep, quality, cost, ci=True), rtol=1e-11, atol=1e-13)
    wanted = rl.savings(sweep.at(0.02), quality, cost, baseline="large")
    assert found.saving == pytest.approx(wanted.saving, abs=1e-12)
    assert found.saving_low == pytest.approx(wanted.saving_low, abs=1e-7)
    assert found.quality_low == pytest.approx(wanted.quality_low, abs=1e-7)
    assert not list(made.folder.rglob("*.unfinished"))


@contextlib.contextmanager
def own_cluster(folder):
    """Start a scheduler and a worker as a team does, in processes of their own; yield the scheduler and its address."""
    about = folder / "scheduler.json"
    dask_command = [sys.executable, "-m", "dask"]
    here = ["--host", "127.0.0.1", "--dashboard-address", "127.0.0.1:0", "--scheduler-file", str(about)]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": folder}
    commands = [
        ["scheduler", *here, "--port", "0"],
        ["worker", *here, "--nthreads", "1", "--no-nanny", "--death-timeout", "20"],
    ]
    started = []
    try:
        for command in commands:
            started.append(subprocess.Popen([*dask_command, *command], **quiet))
            deadline = time.monotonic() + 60
            while not about.exists() and time.monotonic() < deadline:
                time.sleep(0.05)
        yield started[0], json.loads(about.read_text())["address"]
    finally:
        for process in started:
            process.kill()
            process.wait()


def test_a_scheduler_killed_midway_is_said_and_what_was_finished_stays(world):
    made = world(60_000, n_parts=60)
    expected = made.path("expected_quality"), made.path("expected_cost")
    swept = made.path("sweep")
    with own_cluster(made.folder) as (scheduler, address), dask.config.set({"distributed.comm.timeouts.connect": "5s"}):

        def kill():
            while not list(swept.glob("part-*.parquet")):
                time.sleep(0.002)
            scheduler.kill()

        thread = threading.Thread(target=kill, daemon=True)
        thread.start()
        with pytest.raises(ClusterError, match=r"scheduler.*run again: what is finished stays"):
            rl.sweep_parquet(*expected, swept, willingness_to_pay=0.02, client=address, progress=False)
        thread.join(30)
    finished = {path: path.stat().st_mtime_ns for path in swept.glob("part-*.parquet")}
    assert 0 < len(finished) < 60
    rl.sweep_parquet(*expected, swept, willingness_to_pay=0.02, n_workers=0, progress=False)
    assert {path: path.stat().st_mtime_ns for path in finished} == finished
    choices = pd.concat(pd.read_parquet(path) for path in swept.glob("part-*.parquet")).set_index("prompt_id")["model"]
    wanted = sweep_estimates(made.frames["expected_quality"], made.frames["expected_cost"]).at(0.02)
    assert choices.astype(str).loc[wanted.index].tolist() == wanted.tolist()
