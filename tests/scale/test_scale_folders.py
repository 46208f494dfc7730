"""Which files of a folder are read, which of their columns, and when a result is made again."""

import os
import shutil
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import routerlab as rl
from routerlab.decision import sweep_estimates
from routerlab.exceptions import ParameterError, PartitionError, RouterlabError, TableError
from routerlab.scale import _merged_frontier as _merge, _partitioned, _work

HERE = {"n_workers": 0, "progress": False}
PRICES = {"small": 0.001, "middle": 0.003, "large": 0.01}


def chain(made, to="x", **options):
    """Sweep, frontier and savings of a world's folders, compared with those of its frames."""
    folders = made.path("quality"), made.path("cost")
    swept = rl.sweep_parquet(*folders, made.path(f"sweep-{to}"), willingness_to_pay=0.02, **HERE)
    curve = rl.frontier_parquet(swept, *folders, made.path(f"points-{to}"), max_points=None, ci=True, **HERE, **options)
    found = rl.savings_parquet(swept, *folders, made.path(f"out-{to}"), baseline="large", **HERE)
    in_memory = sweep_estimates(made.frames["quality"], made.frames["cost"])
    wanted = rl.frontier(in_memory, made.frames["quality"], made.frames["cost"], ci=True)
    pd.testing.assert_frame_equal(curve, wanted, rtol=1e-10, atol=1e-13)
    saved = rl.savings(in_memory.at(0.02), made.frames["quality"], made.frames["cost"], baseline="large")
    assert (found.n, found.saving_low) == (saved.n, pytest.approx(saved.saving_low, abs=1e-12))
    return swept


def moved(how):
    """Move the parts of quality and cost."""

    def change(made):
        for name in ("quality", "cost"):
            folder = made.path(name)
            for k in range(3):
                path = folder / how(k)
                path.parent.mkdir(parents=True, exist_ok=True)
                (folder / f"part-{k}.parquet").rename(path)

    return change


def linked(made):
    moved(lambda k: f"day={k}/part-0.parquet")(made)
    for name in ("quality", "cost"):
        shutil.move(made.path(name) / "day=1", made.folder / f"elsewhere-{name}")
        (made.path(name) / "day=1").symlink_to(made.folder / f"elsewhere-{name}", target_is_directory=True)
        (made.path(name) / "day=2" / "up").symlink_to(made.path(name), target_is_directory=True)  # a loop


def with_an_index(made):
    for name in ("quality", "cost"):
        for k, path in enumerate(sorted(made.path(name).glob("*.parquet"))):
            frame = pd.read_parquet(path).reset_index()
            frame = (
                frame.set_axis(list(frame.index[::-1])) if k else frame
            )  # the first has a range, which takes no column
            frame.to_parquet(path)


def with_a_named_index(made):
    for name in ("quality", "cost"):
        for path in made.path(name).glob("*.parquet"):
            pd.read_parquet(path).reset_index().rename_axis(index="row").rename(index=float).to_parquet(path)


def with_decimals(made):
    made.frames["quality"] = made.frames["quality"].round(4)
    for path in made.path("quality").glob("*.parquet"):
        cells = pd.read_parquet(path).round(4).map(lambda value: Decimal(f"{value:.4f}"))
        table = pa.Table.from_pandas(cells)
        kinds = [(name, pa.string() if name == "prompt_id" else pa.decimal128(5, 4)) for name in table.column_names]
        pq.write_table(table.cast(pa.schema(kinds)), path)


def with_unsigned(made):
    made.frames["quality"] = (made.frames["quality"] > 0.5).astype("uint16")
    for path in made.path("quality").glob("*.parquet"):
        (pd.read_parquet(path) > 0.5).astype("uint16").to_parquet(path)


@pytest.mark.parametrize(
    "change",
    [
        moved(lambda k: f"day={k}/part-0.parquet"),
        moved(lambda k: f"day{k}.parquet/part-0.parquet"),
        moved(lambda k: f"part-{k}.{['parquet', 'pq', 'PARQ'][k]}"),
        linked,
        with_an_index,
        with_a_named_index,
        with_decimals,
        with_unsigned,
    ],
    ids=["hive", "folders named .parquet", "endings", "links", "index", "named index", "decimals", "unsigned"],
)
def test_the_whole_chain_reads_what_others_write(world, change):
    made = world(90)
    change(made)
    swept = chain(made)
    before = {path: path.stat().st_mtime_ns for path in swept.rglob("*part*") if path.is_file()}
    chain(made)  # over its own results
    assert before == {path: path.stat().st_mtime_ns for path in swept.rglob("*part*") if path.is_file()}
    assert set(pd.read_parquet(swept)["model"]) <= {*PRICES}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("part-3.csv", b"a,b", r"holds 'part-3.csv' besides \*.parquet files, which would be left out. Rename"),
        ("more/part-3.jsonl.gz", b"", r"holds 'more/part-3.jsonl.gz' besides"),
        ("part-3", b"PAR1...PAR1", r"holds 'part-3' besides"),
        ("part-3.parquet.old", b"PAR1", r"holds 'part-3.parquet.old' besides"),
        ("README.md", b"# What this is", None),
        ("_SUCCESS", b"", None),
        (".part-3.parquet.crc", b"PAR1", None),
    ],
)
def test_data_that_would_be_left_out_is_refused(world, name, content, message):
    made = world(30)
    (made.path("quality") / name).parent.mkdir(exist_ok=True)
    (made.path("quality") / name).write_bytes(content)
    arguments = made.path("quality"), PRICES, made.path("sweep")
    if message is None:
        assert len(pd.read_parquet(rl.sweep_parquet(*arguments, **HERE))) == 30
    else:
        with pytest.raises(PartitionError, match=message):
            rl.sweep_parquet(*arguments, **HERE)


def test_a_tilde_is_the_home_folder(world, monkeypatch):
    made = world(30)
    monkeypatch.setenv("HOME", str(made.folder))
    assert rl.sweep_parquet("~/quality", PRICES, "~/swept", **HERE) == made.folder / "swept"
    with pytest.raises(ParameterError, match=r"'quality': '~nobody-here/q' cannot be found"):
        rl.sweep_parquet("~nobody-here/q", PRICES, "~/swept", **HERE)


def test_a_result_is_never_that_of_another_folder(tmp_path):
    rng = np.random.default_rng(0)
    chosen = []
    for name in "ab":  # alike in names, sizes, times and, without statistics, in their ends
        values = {"prompt_id": [f"p{k}" for k in range(50)], **{model: rng.random(50) for model in PRICES}}
        path = tmp_path / name / "part-0.parquet"
        path.parent.mkdir()
        pq.write_table(pa.table(values), path, use_dictionary=False, compression="none", write_statistics=False)
        os.utime(path, (1e9, 1e9))
        swept = rl.sweep_parquet(path.parent, PRICES, tmp_path / "sweep", **HERE)
        chosen.append(pd.read_parquet(swept)["model"].tolist())
    assert chosen[0] != chosen[1]


@pytest.mark.parametrize("what", ["content", "version", "code"])
def test_a_result_is_made_again_when_what_made_it_changed(world, monkeypatch, what):
    made = world(30)
    source = made.path("quality") / "part-0.parquet"
    os.utime(source, (1e9, 1e9))
    arguments = made.path("quality"), PRICES, made.path("sweep")
    path = rl.sweep_parquet(*arguments, **HERE) / "part-0.parquet"
    before = path.stat().st_mtime_ns
    if what == "content":
        size = source.stat().st_size
        (1 - pd.read_parquet(source)).to_parquet(source)
        os.utime(source, (1e9, 1e9))
        assert source.stat().st_size == size
    elif what == "version":
        monkeypatch.setattr(rl, "__version__", "99")
    else:
        monkeypatch.setitem(_partitioned.mark_of.__globals__["_VERSIONS"], "sweep", 99)
    rl.sweep_parquet(*arguments, **HERE)
    assert path.stat().st_mtime_ns != before


def test_what_an_embedder_notes_while_it_embeds_is_no_change_of_it(world, tmp_path):
    class Noting(rl.SurfaceFeatures):
        def transform(self, X):
            self.n_seen_ = len(X)
            return super().transform(X)

        def __sklearn_tags__(self):
            tags = super().__sklearn_tags__()
            tags.requires_fit = False
            return tags

    texts = pd.DataFrame({"prompt": ["Hi", "How?"]}, index=pd.Index(["a", "b"], name="prompt_id"))
    texts.to_parquet(tmp_path / "p.parquet")
    embedder = Noting().fit(texts["prompt"])
    times = []
    for _ in range(2):
        to = rl.embed_parquet(embedder, tmp_path / "p.parquet", tmp_path / "X", **HERE)
        times.append((to / "p.parquet").stat().st_mtime_ns)
        embedder.transform(texts["prompt"])
    assert times[0] == times[1]


@pytest.mark.parametrize("ties", [0.0, 0.6])
@pytest.mark.parametrize(("n_files", "n"), [(24, 250), (3, 2000)])
def test_ranges_are_balanced_and_an_empty_one_is_thinned(tmp_path, monkeypatch, n_files, n, ties):
    monkeypatch.setattr(_merge, "ROWS_PER_RANGE", 1000)
    rng = np.random.default_rng(0)
    gain = np.where(rng.random(n_files * n) < ties, 0.5, rng.random(n_files * n) * 0.5)
    frame = pd.DataFrame({"small": 0.25, "large": 0.25 + gain})
    frame.insert(0, "prompt_id", [f"p{k}" for k in range(len(frame))])
    (tmp_path / "q").mkdir()
    for k in range(n_files):
        frame[k * n : (k + 1) * n].to_parquet(tmp_path / "q" / f"{k:03}.parquet", index=False)
    prices = {"small": 0.001, "large": 0.01}
    swept = rl.sweep_parquet(tmp_path / "q", prices, tmp_path / "s", **HERE)
    made = rl.frontier_parquet(swept, tmp_path / "q", prices, tmp_path / "f", max_points=20, **HERE)
    quality = frame.set_index("prompt_id")
    wanted = rl.frontier(sweep_estimates(quality, prices), quality, prices, max_points=20)
    pd.testing.assert_frame_equal(made, wanted)
    if not ties:
        sizes = [pq.read_metadata(path).num_rows for path in sorted((tmp_path / "f").glob("part-*.parquet"))]
        assert len(sizes) == 6
        assert max(sizes) < 1040, sizes


def test_a_file_that_fails_in_a_worker_is_no_lost_scheduler(monkeypatch):
    class Done:
        status = "error"

        def exception(self):
            return OSError("cannot read part-1")

    class Client:
        def submit(self, *args, **options):
            return Done()

        def cancel(self, *args, **options):
            pass

    monkeypatch.setattr("distributed.as_completed", iter)
    with pytest.raises(OSError, match="cannot read part-1"):
        _work.Runner(Client(), False).map(len, [("a",), ("b",)], "Counting")


def test_a_file_whose_ids_cannot_be_read_is_named(world):
    made = world(900)
    path = made.path("quality") / "part-1.parquet"
    column = pq.read_metadata(path).row_group(0).column(3)
    assert column.path_in_schema == "prompt_id"
    content = bytearray(path.read_bytes())
    start = column.dictionary_page_offset or column.data_page_offset
    content[start : start + column.total_compressed_size] = bytes(column.total_compressed_size)
    path.write_bytes(content)
    with pytest.raises(PartitionError, match=r"(?s)quality/part-1.parquet': cannot be read \(.*Write it again"):
        rl.sweep_parquet(made.path("quality"), PRICES, made.path("sweep"), **HERE)


def choices(made, **columns):
    made.path("chosen").mkdir()
    for path in made.path("quality").glob("*.parquet"):
        ids = pd.read_parquet(path).index.tolist()
        values = {"model": "small", **columns}
        pq.write_table(
            pa.table({"prompt_id": ids, **{name: pa.array([value] * len(ids)) for name, value in values.items()}}),
            made.path("chosen") / path.name,
        )
    return made.path("chosen")


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"model": ["small"]}, r"'choices', file .*column 'model' is of type list<.*expected text or numbers"),
        ({"abstained": "no"}, r"'choices', file .*column 'abstained' is of type text, expected true or false"),
        ({"abstained": None}, r"column 'abstained' is of type null, expected true or false"),
        ({"abstained": float("nan")}, r"column 'abstained': holds nan, expected true or false"),
        ({"abstained": 7}, r"column 'abstained': holds 7, expected true or false"),
        ({"abstained": 1}, None),
    ],
)
def test_odd_choices_are_said_in_words(world, columns, message):
    made = world(30)
    arguments = choices(made, **columns), made.path("quality"), made.path("cost"), made.path("out")
    if message is None:
        assert rl.savings_parquet(*arguments, baseline="large", **HERE).n_abstained == 30
        return
    with pytest.raises(PartitionError, match=message):
        rl.savings_parquet(*arguments, baseline="large", **HERE)


@pytest.mark.parametrize(
    ("prices", "message"),
    [
        (PRICES | {"large": None}, r"'cost': got \('every prompt', 'large', nan\), expected finite numbers"),
        (PRICES | {"large": "x"}, r"'cost': holds text: \('every prompt', 'large', 'x'\)"),
        (PRICES | {"large": True}, r"'cost': holds True and False"),
        (PRICES | {"huge": 1.0}, r"'cost': has one number for each of .*the models are 'small', 'middle', 'large'"),
        (pd.Series([0.1] * 4, index=["small", "middle", "large", "large"]), r"'cost': has one number for each of"),
        (PRICES | {"large": "0.01"}, None),
        (PRICES | {"large": Decimal("0.01")}, None),
    ],
)
def test_prices_are_read_as_in_memory(world, prices, message):
    made = world(30)
    arguments = made.path("quality"), prices, made.path("sweep")
    if message is None:
        assert len(pd.read_parquet(rl.sweep_parquet(*arguments, **HERE))) == 30
        return
    with pytest.raises(TableError, match=message):
        rl.sweep_parquet(*arguments, **HERE)


@pytest.mark.parametrize(
    ("vectors", "message"),
    [
        ([[None, 1.0]] * 2, r"column 'embedding': holds vectors of 2 numbers, some of them empty"),
        ([["1", "2"]] * 2, r"'X', file .*column 'embedding' is of type list<.*string>, expected lists of numbers"),
        ([0.5, 0.6], r"column 'embedding' is of type double, expected lists of numbers"),
        ([b"ab", b"cd"], r"column 'embedding' is of type binary, expected lists of numbers"),
        (pa.array([[], []], pa.list_(pa.float32())), r"column 'embedding': holds vectors of 0 numbers"),
    ],
)
def test_odd_embeddings_are_said_in_words(tmp_path, vectors, message):
    X = pd.DataFrame(np.eye(2), index=["a", "b"])
    quality = pd.DataFrame({"small": [0.5, 0.4], "large": [1.0, 0.9]}, index=X.index)
    router = rl.KNNRouter(1).fit(X, quality, cost=quality / 100)
    pq.write_table(pa.table({"prompt_id": ["a", "b"], "embedding": vectors}), tmp_path / "X.parquet")
    with pytest.raises(PartitionError, match=message):
        rl.route_parquet(router, tmp_path / "X.parquet", tmp_path / "routed", **HERE)


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ([1.0, float("nan"), 2.0], r"groups.parquet', column 'g': is empty in row 1. Give every prompt a group"),
        ([[1], [2], [3]], r"'groups', file .*column 'g' is of type list<.*expected text or numbers"),
        ([0.0, -0.0, 1.0], 2),
        (pa.array(["x", "y", "x"]).dictionary_encode(), 2),
        (None, 3),
    ],
    ids=["NaN", "lists", "signed zero", "dictionary", "ids"],
)
def test_groups_are_those_of_one_frame(world, groups, message):
    made = world(3, n_parts=1)
    column = "prompt_id" if groups is None else "g"
    ids = made.frames["quality"].index.tolist()
    pq.write_table(
        pa.table({"prompt_id": ids} | ({} if groups is None else {"g": groups})), made.path("groups.parquet")
    )
    folders = made.path("quality"), made.path("cost")
    swept = rl.sweep_parquet(*folders, made.path("sweep"), **HERE)
    where = (made.path("groups.parquet"), column)
    if isinstance(message, str):
        with pytest.raises(PartitionError, match=message):
            rl.savings_parquet(swept, *folders, made.path("out"), baseline="large", groups=where, **HERE)
    else:
        found = rl.savings_parquet(swept, *folders, made.path("out"), baseline="middle", groups=where, **HERE)
        assert found.n_groups == message


def test_an_id_that_is_nan_is_empty(tmp_path):
    pq.write_table(pa.table({"prompt_id": [1.0, float("nan")], "small": [0.5, 0.5]}), tmp_path / "q.parquet")
    with pytest.raises(PartitionError, match=r"q.parquet', column 'prompt_id': is empty in row 1"):
        rl.sweep_parquet(tmp_path / "q.parquet", {"small": 0.1}, tmp_path / "sweep", **HERE)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_points": -1}, "'max_points' must be a number of points, at least 1, or None for all. Got -1"),
        ({"max_points": "a"}, "'max_points' must be"),
        ({"max_points": 2.5}, "'max_points' must be"),
        ({"confidence": "a"}, "'confidence' parameter must lie between 0 and 1"),
        ({"groups": ("nowhere", "x")}, "'groups': there is no folder 'nowhere'"),
    ],
)
def test_parameters_of_the_frontier_are_checked(world, options, message):
    made = world(30)
    folders = made.path("quality"), made.path("cost")
    swept = rl.sweep_parquet(*folders, made.path("sweep"), **HERE)
    with pytest.raises(RouterlabError, match=message):
        rl.frontier_parquet(swept, *folders, made.path("points"), **HERE, **options)


def test_a_sweep_that_was_written_again_by_others_is_refused(world):
    made = world(30)
    folders = made.path("quality"), made.path("cost")
    swept = rl.sweep_parquet(*folders, made.path("sweep"), **HERE)
    for path in [*swept.rglob("part-*.parquet")]:
        pq.write_table(pq.read_table(path, partitioning=None).replace_schema_metadata(None), path)
    with pytest.raises(
        PartitionError, match=r"_switches/part-0.parquet': was not written together with .*sweep/part-0"
    ):
        rl.frontier_parquet(swept, *folders, made.path("points"), **HERE)


def test_what_is_not_fitted_is_refused(world):
    made = world(30)
    with pytest.raises(ParameterError, match="'embedder' must be a fitted embedder. Got 'MiniLM'"):
        rl.embed_parquet("MiniLM", made.path("prompts"), made.path("X"), column="team", **HERE)
    with pytest.raises(ParameterError, match="'embedder' must be a fitted embedder: call its fit first"):
        rl.embed_parquet(rl.LsaEmbedder(), made.path("prompts"), made.path("X"), column="team", **HERE)
    with pytest.raises(ParameterError, match="'router' must be a fitted router: call its fit first"):
        rl.route_parquet(rl.KNNRouter(5), made.path("quality"), made.path("routed"), **HERE)
    vectors = rl.embed_parquet(
        rl.SurfaceFeatures().fit(["a", "b"]), made.path("prompts"), made.path("X"), column="prompt_id", **HERE
    )
    assert len(pd.read_parquet(vectors)) == 30


def test_odd_outcomes_of_what_was_not_chosen_do_not_count(world):
    made = world(30)
    for path in made.path("quality").glob("*.parquet"):
        pd.read_parquet(path).assign(middle=7.0).to_parquet(path)
    quality = made.frames["quality"].assign(middle=7.0)
    chosen = choices(made)
    folders = chosen, made.path("quality"), made.path("cost"), made.path("out")
    found = rl.savings_parquet(*folders, baseline="large", **HERE)
    picked = pd.Series("small", index=quality.index)
    assert found.saving == pytest.approx(rl.savings(picked, quality, made.frames["cost"], baseline="large").saving)
    for path in made.path("cost").glob("*.parquet"):
        pd.read_parquet(path).assign(large=0.0).to_parquet(path)
    with pytest.raises(TableError, match=r"'cost', folder '.*cost': the baseline 'large' costs nothing"):
        rl.savings_parquet(*folders, baseline="large", **HERE)
