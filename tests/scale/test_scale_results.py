"""Results on partitions are those of one frame in memory."""

from dataclasses import asdict

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

import routerlab as rl
from routerlab.decision import sweep_estimates
from routerlab.scale import _merged_frontier as _merge, _shuffle

HERE = {"n_workers": 0, "progress": False}
WTP = 0.02


def swept(world, **options):
    files = world.path("expected_quality"), world.path("expected_cost"), world.path("sweep")
    return rl.sweep_parquet(*files, willingness_to_pay=WTP, **HERE, **options)


def in_memory(world):
    return sweep_estimates(world.frames["expected_quality"], world.frames["expected_cost"])


def assert_same_savings(got, wanted, tolerance=1e-12):
    got, wanted = asdict(got), asdict(wanted)
    assert got.pop("shares") == pytest.approx({k: v for k, v in wanted.pop("shares").items() if v})
    for name, value in wanted.items():
        assert got[name] == (pytest.approx(value, abs=tolerance, nan_ok=True) if isinstance(value, float) else value)


@pytest.mark.parametrize(
    ("seed", "digits", "skew"), [(0, 9, 0.5), (1, 3, 0.5), (2, 9, 2.5)], ids=["distinct", "ties", "skewed"]
)
@pytest.mark.parametrize("grouped", [None, "conversation", "team"])
def test_frontier_is_that_of_one_frame(world, monkeypatch, seed, digits, skew, grouped):
    monkeypatch.setattr(_merge, "ROWS_PER_RANGE", 300)
    monkeypatch.setattr(_merge, "ROWS_PER_BUCKET", 400)
    monkeypatch.setattr("routerlab.scale._partitioned._QUANTILES", 8)
    made = world(seed=seed, digits=digits, skew=skew)
    quality, cost = made.frames["quality"], made.frames["cost"]
    groups = made.frames["prompts"][grouped] if grouped else None
    wanted = rl.frontier(in_memory(made), quality, cost, ci=True, groups=groups)
    folders = swept(made), made.path("quality"), made.path("cost")
    where = (made.path("prompts"), grouped) if grouped else None
    got = rl.frontier_parquet(*folders, made.path("points"), ci=True, groups=where, max_points=None, **HERE)
    # The variance between two groups is a small difference of large sums.
    pd.testing.assert_frame_equal(got, wanted, rtol=1e-7 if grouped == "team" else 1e-11, atol=1e-13)
    assert got.attrs == wanted.attrs
    assert len(list(made.path("points").glob("*.parquet"))) > 1
    pd.testing.assert_frame_equal(pd.read_parquet(made.path("points")), got)
    if digits < 9:
        return  # a point at the very edge of two thinned ones may fall to either
    thinned = rl.frontier_parquet(*folders, made.path("thin"), max_points=40, **HERE)
    pd.testing.assert_frame_equal(thinned, rl.frontier(in_memory(made), quality, cost, max_points=40))
    assert thinned.attrs["thinned_from"] == len(wanted)


@pytest.mark.parametrize("skew", [0.0, 1.0, 2.0])
@pytest.mark.parametrize("grouped", [False, True])
@pytest.mark.parametrize("empty", [False, True])
@pytest.mark.filterwarnings("ignore:savings. of:routerlab.DroppedRowsWarning")
def test_savings_are_those_of_one_frame(world, monkeypatch, skew, grouped, empty):
    monkeypatch.setattr("routerlab.scale._totals.ROWS_PER_BUCKET", 400)
    made = world(skew=skew)
    quality, cost = made.frames["quality"], made.frames["cost"]
    if empty:
        quality = quality.where(np.random.default_rng(1).random(quality.shape) > 0.1)
        for path in made.path("quality").glob("*.parquet"):
            part = pd.read_parquet(path)
            quality.loc[part.index].to_parquet(path)
    groups = made.frames["prompts"]["conversation"] if grouped else None
    options = {"baseline": "large", "router_cost": 1e-5, "judged": "a judge"}
    choices = in_memory(made).at(WTP)
    wanted = rl.savings(choices, quality, cost, groups=groups, **options)
    where = (made.path("prompts"), "conversation") if grouped else None
    folders = swept(made), made.path("quality"), made.path("cost"), made.path("out")
    got = rl.savings_parquet(*folders, groups=where, **options, **HERE)
    assert got.verdict == wanted.verdict
    note = got.notes[-1], wanted.notes[-1]
    assert note[0].startswith("quality is a judge's") and note[1].startswith("quality is a judge's")
    assert_same_savings(rl.evaluation.Savings(**asdict(got) | {"notes": ()}), _without_notes(wanted))
    assert pd.read_parquet(made.path("out"))["saving"].tolist() == [got.saving]


def _without_notes(found):
    return rl.evaluation.Savings(**asdict(found) | {"notes": ()})


@pytest.mark.parametrize("skew", [0.5, 1.5])
def test_savings_of_many_small_files_are_those_of_one_frame(world, skew):
    made = world(6000, skew=skew, n_parts=15)  # 400 rows in each, which are tallied in bins
    quality, cost = made.frames["quality"], made.frames["cost"]
    folders = swept(made), made.path("quality"), made.path("cost"), made.path("out")
    got = rl.savings_parquet(*folders, baseline="large", **HERE)
    wanted = rl.savings(in_memory(made).at(WTP), quality, cost, baseline="large")
    assert_same_savings(_without_notes(got), _without_notes(wanted), tolerance=1e-7)


def test_one_price_per_model_does_for_costs(world):
    made = world()
    prices = {"small": 0.001, "middle": 0.003, "large": 0.01}
    got = rl.savings_parquet(swept(made), made.path("quality"), prices, made.path("out"), baseline="large", **HERE)
    assert_same_savings(
        got, rl.savings(in_memory(made).at(WTP), made.frames["quality"], pd.Series(prices), baseline="large")
    )


def test_one_model_has_one_operating_point(world):
    made = world()
    made.frames["quality"][["large"]].to_parquet(made.folder / "one.parquet")
    files = made.folder / "one.parquet", {"large": 0.01}
    got = rl.frontier_parquet(rl.sweep_parquet(*files, made.path("one"), **HERE), *files, made.path("out"), **HERE)
    assert got["quality"].tolist() == [pytest.approx(made.frames["quality"]["large"].mean())]


def test_a_baseline_that_is_always_kept_saves_exactly_nothing(world):
    made = world()
    quality = made.frames["quality"][["large"]]
    quality.to_parquet(made.folder / "one.parquet")
    files = made.folder / "one.parquet", {"large": 0.01}
    choices = rl.sweep_parquet(*files, made.path("one"), **HERE)
    found = rl.savings_parquet(choices, *files, made.path("out"), baseline="large", **HERE)
    assert (found.saving, found.saving_low, found.saving_high, found.quality_low) == (0.0, 0.0, 0.0, 0.0)


def test_choices_and_sweeps_of_a_router_are_those_in_memory(world):
    made = world()
    rng = np.random.default_rng(0)
    index = made.frames["quality"].index
    prompts = pd.DataFrame({"prompt": [f"word{k % 7} and {k}" for k in range(len(index))]}, index=index)
    prompts.attrs["provenance"] = "simulated"
    for path in made.path("quality").glob("*.parquet"):
        (made.path("texts")).mkdir(exist_ok=True)
        prompts.loc[pd.read_parquet(path).index].to_parquet(made.path("texts") / path.name)
    embedder = rl.SurfaceFeatures()
    X = embedder.fit_transform(prompts["prompt"])
    train = rng.permutation(len(index))[:200]
    router = rl.KNNRouter(5, willingness_to_pay=WTP, min_similarity=0.5, fallback="large").fit(
        X.iloc[train], made.frames["quality"].iloc[train], cost=made.frames["cost"].iloc[train]
    )
    vectors = rl.embed_parquet(embedder, made.path("texts"), made.path("X"), **HERE)
    routed = rl.route_parquet(router, vectors, made.path("routed"), **HERE)
    choices = pd.read_parquet(routed).set_index("prompt_id")
    wanted = router.predict(X)
    assert choices["model"].astype(str).tolist() == wanted.tolist()
    assert choices["abstained"].sum() == wanted.attrs["n_abstained"]
    curve = rl.frontier(router.sweep(X), made.frames["quality"], made.frames["cost"])
    folders = routed, made.path("quality"), made.path("cost"), made.path("points")
    got = rl.frontier_parquet(*folders, max_points=None, **HERE)
    pd.testing.assert_frame_equal(got, curve)
    assert got.attrs["n_abstained"] == curve.attrs["n_abstained"]
    assert got.attrs["provenance"] == "simulated"


def test_what_is_finished_is_not_computed_again_unless_its_input_changed(world):
    made = world()
    files = sorted(swept(made).glob("*.parquet"))
    before = [path.stat().st_mtime_ns for path in files]
    assert [path.stat().st_mtime_ns for path in sorted(swept(made).glob("*.parquet"))] == before
    path = made.path("expected_quality") / "part-1.parquet"
    (pd.read_parquet(path) * 0.5).to_parquet(path)
    after = [path.stat().st_mtime_ns for path in sorted(swept(made).glob("*.parquet"))]
    assert [a == b for a, b in zip(after, before, strict=True)] == [True, False, True]


def test_a_frontier_that_was_broken_off_goes_on(world, monkeypatch):
    made = world()
    folders = swept(made), made.path("quality"), made.path("cost"), made.path("points")
    scored, merged = [], _merge._merged

    def counted(path, *args):
        scored.append(path)
        return steps(path, *args)

    def broken(*args):
        raise KeyboardInterrupt

    steps = _merge._steps
    monkeypatch.setattr(_merge, "_steps", counted)
    monkeypatch.setattr(_merge, "_merged", broken)
    with pytest.raises(KeyboardInterrupt):
        rl.frontier_parquet(*folders, **HERE)
    assert len(scored) == 3
    (scored[1]).write_bytes(scored[1].read_bytes()[:-200])  # torn, as a full disk may leave it
    monkeypatch.setattr(_merge, "_merged", merged)
    got = rl.frontier_parquet(*folders, max_points=None, **HERE)
    assert scored[3:] == [scored[1]]
    pd.testing.assert_frame_equal(got, rl.frontier(in_memory(made), made.frames["quality"], made.frames["cost"]))
    assert sorted(path.name for path in made.path("points").iterdir()) == ["part-00000.parquet"]


def test_hashes_that_meet_by_chance_are_no_duplicates(world, monkeypatch):
    made = world()
    monkeypatch.setattr(_shuffle, "hashed", lambda values: np.arange(len(values), dtype=np.uint64))
    assert len(pd.read_parquet(swept(made))) == 900


def test_files_say_what_their_columns_are(world):
    made = world()
    names = pq.read_schema(swept(made) / "part-0.parquet").names
    assert names == ["prompt_id", "model", "best", "abstained"]
