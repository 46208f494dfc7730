"""What is refused, by which error, and that it names the file, the column and the remedy."""

import errno
import shutil
import socket
import subprocess
import sys

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import routerlab as rl
from routerlab.exceptions import ClusterError, ParameterError, PartitionError, SpillError, TableError
from routerlab.scale import _work

HERE = {"n_workers": 0, "progress": False}


def sweep(world, **options):
    return rl.sweep_parquet(world.path("quality"), world.path("cost"), world.path("sweep"), **HERE | options)


def frontier(world, **options):
    folders = world.path("sweep"), world.path("quality"), world.path("cost"), world.path("points")
    return rl.frontier_parquet(*folders, **HERE | options)


def change(world, name, how, number=1):
    path = world.path(name) / f"part-{number}.parquet"
    how(pd.read_parquet(path)).to_parquet(path)


def rename(frame):
    return frame.rename(columns={"small": "tiny"})


def as_text(frame):
    return frame.astype({"small": str})


def as_float32(frame):
    return frame.astype({"small": "float32"})


def without_rows(frame):
    return frame.iloc[:0]


def one_less(frame):
    return frame.iloc[1:]


def numbered(frame):
    return frame.set_axis(pd.Index(np.arange(len(frame)) * 2, name="prompt_id"))


def unnamed(frame):
    return frame.rename_axis(None)


def of_the_first_file(frame):
    return frame.rename(index={"p301": "p2"})


def twice_here(frame):
    return frame.rename(index={"p301": "p302"})


def too_good(frame):
    return frame.mask(frame > 0.9, 1.5)


def with_an_empty_id(frame):
    return frame.reset_index().replace({"prompt_id": {"p301": None}}).set_index("prompt_id")


@pytest.mark.parametrize(
    ("name", "how", "message"),
    [
        (
            "quality",
            rename,
            r"'quality', file .*part-1.*: column 'small' is not here.*Write all files with the",
        ),
        ("cost", rename, r"'cost', file .*part-1.parquet.*: column 'small' is not here"),
        ("quality", lambda f: f.assign(extra=1.0), r"part-1.parquet.*column 'extra' is here and not in"),
        ("quality", as_text, r"part-1.parquet.*column 'small' is of type text, and double in .*astype"),
        ("cost", as_float32, r"part-1.parquet.*column 'small' is of type float, and double in"),
        ("quality", without_rows, r"part-1.parquet.*has no rows. Remove it"),
        ("cost", one_less, r"cost/part-1.parquet.*prompt_id 'p\d+' is in it and not in .*quality/part-1.parquet"),
        ("quality", of_the_first_file, r"part-0.parquet' and .*part-1.parquet': prompt_id 'p2' is in both. Keep one"),
        ("quality", twice_here, r"quality/part-1.parquet'.* prompt_id 'p302' appears twice"),
        ("quality", numbered, r"part-1.parquet.*column 'prompt_id' is of type int64, and text in"),
        ("quality", unnamed, r"part-1.parquet.*column 'prompt_id' is not here"),
        ("quality", too_good, r"files .*quality/part-1.parquet.*'quality': got \('p\d+', .*expected \[0, 1\]"),
        ("cost", lambda f: -f, r"cost/part-1.parquet: 'cost': got \('p300', 'small'.*at least 0"),
        ("quality", with_an_empty_id, r"part-1.parquet.*column 'prompt_id': is empty in row 1. Name every prompt"),
    ],
)
def test_a_file_unlike_the_others_is_named(world, name, how, message):
    made = world()
    if how in (of_the_first_file, twice_here, with_an_empty_id):
        change(made, "cost", how)
    change(made, name, how)
    with pytest.raises(PartitionError, match=message):
        sweep(made)
    change(made, name, lambda frame: frame)
    assert not list(made.folder.rglob("*.unfinished"))


def test_an_id_in_two_files_is_found_in_whatever_is_read_first(world):
    made = world()
    sweep(made)
    chosen = made.folder / "chosen"
    shutil.copytree(made.path("sweep"), chosen, ignore=shutil.ignore_patterns("_*"))
    for name in ("chosen", "quality", "cost"):
        change(made, name, of_the_first_file if name != "chosen" else of_the_first_file_of_choices)
    with pytest.raises(PartitionError, match="prompt_id 'p2' is in both"):
        rl.savings_parquet(chosen, made.path("quality"), made.path("cost"), made.path("out"), baseline="large", **HERE)


def of_the_first_file_of_choices(frame):
    return of_the_first_file(frame.set_index("prompt_id"))


def test_a_damaged_file_is_named(world):
    made = world()
    (made.path("quality") / "part-2.parquet").write_bytes(b"PAR1 this is none")
    with pytest.raises(PartitionError, match=r"part-2.parquet.*cannot be read as Parquet.*Write it again"):
        sweep(made)


def test_folders_must_have_the_same_files(world):
    made = world()
    (made.path("cost") / "part-2.parquet").unlink()
    with pytest.raises(PartitionError, match=r"'part-2.parquet' is in .*quality' and not in .*cost'.*same partitions"):
        sweep(made)
    with pytest.raises(TableError, match="there is no folder"):
        rl.sweep_parquet(made.folder / "nowhere", made.path("cost"), made.path("sweep"), **HERE)
    (made.folder / "void").mkdir()
    with pytest.raises(TableError, match=r"has no \*.parquet file"):
        rl.sweep_parquet(made.folder / "void", made.path("cost"), made.path("sweep"), **HERE)


def test_a_file_that_changed_after_the_sweep_is_named(world):
    made = world()
    sweep(made)
    change(made, "quality", one_less)
    with pytest.raises(PartitionError, match=r"quality/part-1.parquet.*prompt_id 'p300'"):
        frontier(made)
    made.path("sweep").joinpath("_switches", "part-0.parquet").unlink()
    with pytest.raises(PartitionError, match=r"_switches/part-0.parquet.*cannot be read.*Run route_parquet or sweep"):
        frontier(made)
    with pytest.raises(PartitionError, match=r"'sweep', file .*has no column 'best'.*Write it with route_parquet"):
        rl.frontier_parquet(made.path("quality"), made.path("quality"), made.path("cost"), made.path("x"), **HERE)


def test_choices_must_name_measured_models(world):
    made = world()
    folders = made.folder / "chosen", made.path("quality"), made.path("cost"), made.path("out")
    folders[0].mkdir()
    for path in made.path("quality").glob("*.parquet"):
        frame = pd.read_parquet(path)
        pd.DataFrame({"model": "small"}, index=frame.index).to_parquet(folders[0] / path.name)
    change(made, "chosen", lambda frame: frame.mask(frame.index.to_series() == "p301", None))
    with pytest.raises(PartitionError, match=r"part-1.parquet', column 'model': is empty for prompt_id 'p301'"):
        rl.savings_parquet(*folders, baseline="large", **HERE)
    change(made, "chosen", lambda frame: frame.fillna("huge"))
    with pytest.raises(PartitionError, match=r"part-1.parquet', column 'model': names 'huge', which has no column in"):
        rl.savings_parquet(*folders, baseline="large", **HERE)
    with pytest.raises(ParameterError, match="'baseline' must be one of the models 'small', 'middle', 'large'"):
        rl.savings_parquet(*folders, baseline="huge", **HERE)
    with pytest.raises(TableError, match=r"'groups': is 'conversation'. Pass a folder and its column"):
        rl.savings_parquet(*folders, baseline="large", groups="conversation", **HERE)


def test_results_never_mix_with_what_they_are_made_of(world):
    made = world()
    files = made.path("quality"), made.path("cost")
    for to in (made.path("quality"), made.path("cost") / "within"):
        with pytest.raises(ParameterError, match=r"'to': .* is, or lies in, the folder of '(quality|cost)'"):
            rl.sweep_parquet(*files, to, **HERE)
    with pytest.raises(ParameterError, match=r"holds 'part-0.parquet', which is not a result of this run. Choose an"):
        rl.sweep_parquet(*files, made.path("prompts"), **HERE)
    sweep(made)
    with pytest.raises(ParameterError, match="not a result of this run"):
        rl.frontier_parquet(made.path("sweep"), *files, made.path("expected_cost"), **HERE)


def test_a_full_disk_is_said_and_what_is_finished_stays(world, monkeypatch):
    made = world()
    sweep(made)
    free = shutil.disk_usage(made.folder)._replace(free=10)
    with monkeypatch.context() as patch:
        patch.setattr(_work.shutil, "disk_usage", lambda _: free)
        with pytest.raises(SpillError, match=r"'to': .* has 0.00 GB free, and about .* GB will be written. Free some"):
            frontier(made)
    calls = []

    opened = pa.OSFile

    def full(path, mode):
        calls.append(path)
        if len(calls) == 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        return opened(path, mode)

    with monkeypatch.context() as patch:
        patch.setattr(pa, "OSFile", full)
        with pytest.raises(SpillError, match=r"steps-00002.arrow': cannot be written.*No space left.*another disk"):
            frontier(made)
    assert len(list(made.path("points").rglob("steps-*.arrow"))) == 2
    assert not list(made.path("points").rglob("*.unfinished"))
    assert len(frontier(made)) > 100


def test_a_scheduler_that_is_not_there_is_said(world):
    made = world()
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{closed.getsockname()[1]}"
    import dask

    with (
        dask.config.set({"distributed.comm.timeouts.connect": "1s"}),
        pytest.raises(ClusterError, match=f"no scheduler answers at '{address}'.*dask scheduler"),
    ):
        sweep(made, client=address)
    with pytest.raises(ParameterError, match="'client' must be a dask.distributed.Client, or the address"):
        sweep(made, client=3)
    with pytest.raises(ParameterError, match="'n_workers' must be a number of processes"):
        sweep(made, n_workers=-1)


def test_what_is_not_installed_is_named_with_its_extra_and_loaded_when_it_is_used(tmp_path):
    pq.write_table(pa.table({"prompt_id": ["p"], "m": [0.5]}), tmp_path / "q.parquet")
    code = f"""
import sys
import routerlab as rl
assert rl.sweep_parquet and not {{"dask", "distributed"}} & {{*sys.modules}}
for missing, n_workers in (("distributed", 2), ("pyarrow.parquet", 0)):
    sys.modules[missing] = None
    try:
        rl.sweep_parquet({str(tmp_path / "q.parquet")!r}, {{"m": 0.1}}, {str(tmp_path / "out")!r}, n_workers=n_workers)
    except ImportError as error:
        print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    said = "needs {}, which is not installed. Run: pip install 'routerlab[scale]'."
    assert done.stdout.splitlines() == [f"routerlab.scale {said.format(name)}" for name in ("Dask", "pyarrow")], done


def test_vectors_that_a_router_cannot_take_are_named(world):
    made = world()
    X = pd.DataFrame(np.eye(900, 4), index=made.frames["quality"].index, columns=list("abcd"))
    router = rl.KNNRouter(3).fit(X, made.frames["quality"], cost=made.frames["cost"])
    made.path("X").mkdir()
    for path in made.path("quality").glob("*.parquet"):
        X.loc[pd.read_parquet(path).index, ["a", "b"]].to_parquet(made.path("X") / path.name)
    with pytest.raises(PartitionError, match=r"part-0.parquet': 'X': has 2 features, and fit saw 4"):
        rl.route_parquet(router, made.path("X"), made.path("routed"), **HERE)
    ragged = pd.DataFrame({"prompt_id": ["a", "b"], "embedding": [[1.0, 2.0], [1.0]]})
    ragged.to_parquet(made.folder / "ragged.parquet")
    with pytest.raises(PartitionError, match=r"ragged.parquet', column 'embedding': holds vectors of 2, 1 numbers"):
        rl.route_parquet(router, made.folder / "ragged.parquet", made.path("routed"), **HERE)
    with pytest.raises(ParameterError, match="'router' must be a fitted router"):
        rl.route_parquet("router", made.path("X"), made.path("routed"), **HERE)
