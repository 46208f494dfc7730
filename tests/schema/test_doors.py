"""What people really pass: each kind of table gives the right result, or an error that names place and remedy."""

import datetime
import decimal
import io
import tempfile

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

import routerlab as rl
from routerlab.embedding import LsaEmbedder
from routerlab.schema import TableError, check_embeddings, check_matrix

IDS = ["p1", "p2", "p3", "p4"]


def prompts(**columns):
    return pd.DataFrame({"prompt_id": IDS, "prompt": ["Hi", "NA", "null", "nan"], **columns})


def outcomes(**columns):
    table = pd.DataFrame({"prompt_id": np.repeat(IDS, 2), "model": ["small", "large"] * 4})
    return table.assign(**{"quality": [1.0, 1.0, 0.0, 1.0] * 2, "cost_usd": [0.001, 0.01] * 4, **columns})


def judgments(**columns):
    table = pd.DataFrame({"prompt_id": IDS, "model_a": "small", "model_b": "large"})
    return table.assign(**{"winner": ["model_a", "model_b", "tie", "both_bad"], **columns})


def measured(index=IDS):
    quality = pd.DataFrame({"small": [1.0, 0.0, 1.0, 0.0], "large": 1.0}, index=pd.Index(index, name="prompt_id"))
    return quality, pd.DataFrame({"small": 0.001, "large": 0.01}, index=quality.index)


def vectors(index=IDS, columns="wxyz"):
    return pd.DataFrame(np.eye(4, dtype=np.float32), index=index, columns=list(columns))


def choices(*models):
    return pd.Series(models, index=IDS, dtype=object)


def mixed(frame, row, column, value):
    cells = frame[column].astype(object).tolist()
    cells[row] = value
    return frame.assign(**{column: pd.Series(cells, index=frame.index, dtype=object)})


# Read as the plain table would be read.
SAME = {
    "categorical columns": lambda t: t.assign(**{c: t[c].astype("category") for c in t if t[c].dtype != float}),
    "categorical numbers": lambda t: t.assign(**{c: t[c].astype("category") for c in t if t[c].dtype == float}),
    "nullable columns": lambda t: t.convert_dtypes(),
    "text columns that are objects": lambda t: t.astype({c: object for c in t if t[c].dtype != float}),
    "numbers that are objects": lambda t: t.astype({c: object for c in t if t[c].dtype == float}),
    "float32": lambda t: t.astype({c: "float32" for c in t if t[c].dtype == float}),
    "prompt_id as index": lambda t: t.set_index("prompt_id"),
    "prompt_id as index and column": lambda t: t.set_index("prompt_id", drop=False),
    "a byte order mark before the first name": lambda t: t.rename(columns={"prompt_id": "\ufeffprompt_id"}),
    "rows selected from a longer table": lambda t: pd.concat([t, t], ignore_index=True).iloc[len(t) :],
}
TABLES = {
    "prompts": (rl.check_prompts, prompts),
    "outcomes": (rl.check_outcomes, outcomes),
    "judgments": (rl.check_judgments, judgments),
    "responses": (rl.check_responses, lambda: outcomes(response="Yes.", input_tokens=3.0).drop(columns="quality")),
}


@pytest.mark.parametrize("kind", SAME)
@pytest.mark.parametrize("table", TABLES)
def test_a_table_of_another_kind_is_read_as_the_plain_one(table, kind):
    check, make = TABLES[table]
    given = SAME[kind](make())
    before = given.copy()
    found, expected = check(given), check(make())
    for frame in (found, expected):
        frame.index = range(len(frame)) if table != "prompts" else frame.index
    pd.testing.assert_frame_equal(found[list(expected)], expected, check_dtype=False, rtol=1e-6)
    assert all(isinstance(dtype, np.dtype) or dtype == "str" for dtype in found.dtypes)
    pd.testing.assert_frame_equal(given, before)


@pytest.mark.parametrize("table", TABLES)
def test_polars_tables_are_read_as_the_plain_one(table):
    polars = pytest.importorskip("polars")  # with pyarrow and without
    check, make = TABLES[table]
    frame = polars.DataFrame({name: make()[name].tolist() for name in make()})
    pd.testing.assert_frame_equal(check(frame), check(make()), check_dtype=False)
    with pytest.raises(TableError, match=r"got polars.*LazyFrame. Call .collect\(\) first"):
        check(frame.lazy())


@pytest.mark.parametrize("table", TABLES)
def test_arrow_tables_are_read_as_the_plain_one(table):
    arrow = pytest.importorskip("pyarrow")
    check, make = TABLES[table]
    backed = make().convert_dtypes(dtype_backend="pyarrow")
    for given in (arrow.Table.from_pandas(make()), backed):
        pd.testing.assert_frame_equal(check(given), check(make()), check_dtype=False)


class OtherFrame:
    """A frame of a library that has nothing but columns, as polars is without pyarrow."""

    def __init__(self, table):
        self._table, self.columns = table, list(table.columns)

    def to_pandas(self):
        msg = "pyarrow is not there"
        raise ModuleNotFoundError(msg)

    def __getitem__(self, name):
        return OtherColumn(self._table[name].tolist())


class OtherColumn:
    def __init__(self, values):
        self.values = values

    def to_list(self):
        return self.values


def test_a_frame_that_cannot_make_itself_pandas_is_read_by_its_columns():
    pd.testing.assert_frame_equal(rl.check_outcomes(OtherFrame(outcomes())), rl.check_outcomes(outcomes()))


def test_the_chain_runs_on_polars_and_arrow():
    polars = pytest.importorskip("polars")
    pytest.importorskip("pyarrow")
    texts = ["Poach an egg", "Poach eggs", "Fix my SQL", "Fix SQL now"]
    table = polars.DataFrame(prompts(prompt=texts))
    quality, cost = rl.pivot_outcomes(polars.DataFrame(outcomes()))
    embedder = LsaEmbedder().fit(table)
    X = embedder.transform(table)
    assert X.index.tolist() == IDS
    plain = rl.KNNRouter(1).fit(X, quality, cost=cost).predict(X)
    as_polars = [polars.from_pandas(frame.reset_index()) for frame in (X, quality, cost)]
    assert rl.KNNRouter(1).fit(*as_polars[:2], cost=as_polars[2]).predict(as_polars[0]).equals(plain)
    arrow_ids = X.set_axis(X.index.astype("string[pyarrow]"))
    assert rl.KNNRouter(1).fit(arrow_ids, quality, cost=cost).predict(arrow_ids).tolist() == plain.tolist()
    intents = polars.Series(["egg", "egg", "sql", "sql"])
    assert rl.IntentEmbedder(LsaEmbedder()).fit(table, intents).classes_.tolist() == ["egg", "sql"]


def test_na_like_texts_are_texts_and_the_error_for_empty_cells_says_how_to_keep_them():
    assert rl.check_prompts(prompts())["prompt"].tolist() == ["Hi", "NA", "null", "nan"]
    file = "prompt_id,prompt\np1,NA\np2,null\n"
    with pytest.raises(TableError, match=r"'p1', 'p2'.*keep_default_na=False"):
        rl.check_prompts(pd.read_csv(io.StringIO(file)))
    assert len(rl.check_prompts(pd.read_csv(io.StringIO(file), keep_default_na=False))) == 2


CHAT = [{"role": "user", "content": "Hi"}]
# What is called, and what the error must name: table, column, row, remedy.
REFUSED = {
    "chat messages as prompt": (
        lambda: rl.check_prompts(mixed(prompts(), 1, "prompt", CHAT)),
        ["prompts table", "'prompt'", "'p2'", "messages[-1]['content']"],
    ),
    "an empty prompt": (
        lambda: rl.check_prompts(mixed(prompts(), 1, "prompt", np.nan)),
        ["prompts table", "'prompt'", "'p2'", "Drop those rows", "keep_default_na=False"],
    ),
    "a number as prompt": (lambda: rl.check_prompts(mixed(prompts(), 1, "prompt", 3)), ["'p2'", ".map(str)"]),
    "bytes as prompt": (lambda: rl.check_prompts(mixed(prompts(), 1, "prompt", b"Hi")), ["'p2'", "decode"]),
    "an empty prompt for an embedder": (
        lambda: LsaEmbedder().fit(pd.Series(["Hi", None], index=["p1", "p2"], dtype=object)),
        ["prompts", "'p2'", "Drop those rows"],
    ),
    "an id that is a list": (
        lambda: rl.check_prompts(mixed(prompts(), 2, "prompt_id", ["p3"])),
        ["prompts table", "'prompt_id'", "list in row 2", "must be text or numbers"],
    ),
    "a model that is a dict": (
        lambda: rl.check_outcomes(mixed(outcomes(), 0, "model", {"name": "small"})),
        ["outcomes table", "'model'", "dict in row 0"],
    ),
    "a winner that is a list": (
        lambda: rl.check_judgments(mixed(judgments(), 1, "winner", ["model_a"])),
        ["judgments table", "'winner'", "model_a, model_b, tie, both_bad"],
    ),
    "a blank id": (lambda: rl.check_prompts(mixed(prompts(), 1, "prompt_id", " ")), ["'prompt_id'", "blank in row 1"]),
    "bytes as id": (lambda: rl.check_prompts(mixed(prompts(), 0, "prompt_id", b"p1")), ["bytes", "row 0", "decode"]),
    "1 and '1' as ids": (
        lambda: rl.check_prompts(prompts(prompt_id=pd.Series([1, "1", 2, 3], dtype=object))),
        ["'prompt_id'", "'1' both as text and as 'int'", "map(str)"],
    ),
    "a fraction as id": (lambda: rl.check_prompts(prompts(prompt_id=[1.0, 2.5, 3.0, 4.0])), ["2.5", "whole numbers"]),
    "ids that look the same": (
        lambda: rl.check_prompts(mixed(prompts(), 1, "prompt_id", "p1 ")),
        ["'prompt_id'", "'p1 ' in row 1", "strip"],
    ),
    "the same id twice": (lambda: rl.check_prompts(prompts(prompt_id="p1")), ["more than once", "drop_duplicates"]),
    "a blank after a model's name": (
        lambda: rl.pivot_outcomes(mixed(outcomes(), 1, "model", "large ")),
        ["outcomes table", "'model'", "'large ' in row 1", "strip"],
    ),
    "a blank before a model's name": (lambda: rl.rate(judgments(model_a=" small")), ["'model_a'", "' small'", "strip"]),
    "a byte order mark in an id": (
        lambda: rl.check_prompts(mixed(prompts(), 0, "prompt_id", "\ufeffp1")),
        ["'prompt_id'", "row 0", r".str.strip('\ufeff')"],
    ),
    "a model named None": (lambda: rl.check_outcomes(mixed(outcomes(), 3, "model", None)), ["'model'", "row 3"]),
    "a model's column named None": (
        lambda: check_matrix(measured()[0].rename(columns={"small": None}), "quality"),
        ["'quality'", "model is empty", "position 0"],
    ),
    "a column twice": (
        lambda: rl.check_outcomes(outcomes().iloc[:, [0, 1, 2, 3, 3]]),
        ["outcomes table", "'cost_usd' appears twice"],
    ),
    "levels of column names": (
        lambda: rl.check_outcomes(pd.concat({"a": outcomes()}, axis=1)),
        ["outcomes table", "2 levels", "Flatten"],
    ),
    "levels of models": (lambda: check_matrix(pd.concat({"a": measured()[0]}, axis=1), "quality"), ["2 levels"]),
    "index and column that differ": (
        lambda: rl.check_prompts(prompts().set_index(pd.Index(IDS[::-1], name="prompt_id"))),
        ["prompts table", "'prompt_id'", "differ in row 0", "reset_index(drop=True)"],
    ),
    "durations": (
        lambda: rl.check_outcomes(outcomes(latency_s=pd.to_timedelta([2] * 8, unit="s"))),
        ["outcomes table", "'latency_s'", "durations", "'p1'", "total_seconds"],
    ),
    "a duration among objects": (
        lambda: rl.check_outcomes(mixed(outcomes(), 2, "cost_usd", datetime.timedelta(seconds=2))),
        ["'cost_usd'", "durations", "'p2'"],
    ),
    "dates": (
        lambda: rl.check_outcomes(outcomes(cost_usd=pd.Timestamp("2026-01-01"))),
        ["'cost_usd'", "dates", "'p1'", "Pass numbers"],
    ),
    "dates with a time zone": (
        lambda: rl.check_outcomes(outcomes(quality=pd.Timestamp("2026-01-01", tz="UTC"))),
        ["'quality'", "dates"],
    ),
    "durations in a frame of prompts by models": (
        lambda: check_matrix(measured()[0].astype("timedelta64[s]"), "cost"),
        ["'cost'", "durations", "'p1', 'small'", "total_seconds"],
    ),
    "complex numbers": (lambda: rl.check_outcomes(outcomes(quality=0.5 + 1j)), ["'quality'", "complex", "'p1'"]),
    "bytes in a number column": (
        lambda: rl.check_outcomes(mixed(outcomes(), 2, "quality", b"1")),
        ["'quality'", "bytes", "'p2'", "Convert"],
    ),
    "a list in a number column": (lambda: rl.check_outcomes(mixed(outcomes(), 2, "quality", [1])), ["a list at 'p2'"]),
    "'NA' in a number column": (
        lambda: rl.check_outcomes(mixed(outcomes(), 2, "quality", "NA")),
        ["'quality'", "text at 'p2' (got 'NA')", "empty (NaN)"],
    ),
    "a blank in a number column": (lambda: rl.check_outcomes(mixed(outcomes(), 2, "quality", "")), ["text at 'p2'"]),
    "booleans as cost": (lambda: rl.check_outcomes(outcomes(cost_usd=True)), ["'cost_usd'", "True and False", "'p1'"]),
    "an integer beyond all floats": (
        lambda: rl.check_outcomes(mixed(outcomes(), 2, "cost_usd", 10**400)),
        ["'cost_usd'", "inf", "'p2'"],
    ),
    "infinity": (lambda: rl.check_outcomes(outcomes(cost_usd=np.inf)), ["'cost_usd'", "inf", "'p1'"]),
    "numbers for texts as ids of judgments": (
        lambda: rl.check_judgments(judgments(prompt_id=[1, 2, 3, 4]), prompts(prompt_id=list("1234"))),
        ["judgments table", "'prompt_id'", "numbers in the judgments table and text in the prompts table", "map(str)"],
    ),
    "numbers for texts as ids of X": (
        lambda: rl.KNNRouter(1).fit(vectors([1, 2, 3, 4]), measured(list("1234"))[0], cost=measured(list("1234"))[1]),
        ["X and 'quality'", "numbers in X", "map(str)"],
    ),
    "numbers for texts as ids of intents": (
        lambda: rl.rate(judgments(prompt_id=[1, 2, 3, 4]), by=pd.Series("chat", index=list("1234"))),
        ["'by'", "text in 'by'", "map(str)"],
    ),
    "numbers for texts as ids of choices": (
        lambda: rl.score_choices(choices(*["small"] * 4).set_axis([1, 2, 3, 4]), *measured(list("1234"))),
        ["choices and outcomes", "map(str)"],
    ),
    "a choice without a model": (
        lambda: rl.frontier(choices("small", None, "large", "small"), *measured()),
        ["choices", "'p2'", "fillna(baseline)"],
    ),
    "a choice without a model, scored": (
        lambda: rl.score_choices(choices("small", np.nan, "large", "small"), *measured()),
        ["choices", "'p2'"],
    ),
    "choices that are a list": (lambda: rl.frontier(["small"] * 4, *measured()), ["choices", "expected a Series"]),
    "no rows": (lambda: check_matrix(measured()[0].iloc[:0], "quality"), ["'quality'", "empty", "split"]),
    "no judgments": (lambda: rl.rate(judgments().iloc[:0]), ["judgments table", "no rows"]),
    "no prompts to embed": (lambda: LsaEmbedder().fit(prompts().iloc[:0]), ["prompts", "none", "split"]),
    "other columns of X": (
        lambda: rl.KNNRouter(1).fit(vectors(), measured()[0], cost=measured()[1]).predict(vectors(columns="wxyv")),
        ["'X'", "'v', 'z'", "embedder that made"],
    ),
    "texts as X": (lambda: check_embeddings(pd.DataFrame({"x": ["1.0", "2.0"]})), ["'X'", "expected numbers"]),
    "durations as X": (lambda: check_embeddings(np.array([[1, 2]], dtype="timedelta64[s]")), ["'X'", "timedelta64"]),
    "complex numbers as X": (lambda: check_embeddings(np.array([[1 + 1j]])), ["'X'", "complex"]),
    "a model without any value": (
        lambda: rl.KNNRouter(1).fit(vectors(), measured()[0].assign(small=np.nan), cost=measured()[1]),
        ["'quality'", "no value of model 'small'"],
    ),
    "empty cells for a regressor": (
        lambda: rl.Router(Ridge()).fit(vectors(), measured()[0].replace({"small": {0.0: np.nan}}), cost=measured()[1]),
        ["'quality'", "2 of 4 prompts", "KNNRouter"],
    ),
    "prices of other models": (
        lambda: rl.KNNRouter(1).fit(vectors(), measured()[0], cost=pd.Series({"small": 0.1, "huge": 1.0})),
        ["'cost'", "'huge'", "one price for each model"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", REFUSED)
def test_what_cannot_be_read_is_named_with_place_and_remedy(kind):
    call, names = REFUSED[kind]
    with pytest.raises(TableError) as caught:
        call()
    for name in names:
        assert name in str(caught.value), str(caught.value)
    assert "astype(str)" not in str(caught.value)


def test_numbers_in_any_clothes_are_numbers():
    cells = ["0.5", decimal.Decimal("0.5"), np.float32(0.5), 1, True, None, pd.NA, "1e0"]
    found = rl.check_outcomes(outcomes(quality=pd.Series(cells, dtype=object)))["quality"]
    assert found.dtype == float
    np.testing.assert_array_equal(found, [0.5, 0.5, 0.5, 1, 1, np.nan, np.nan, 1])
    passed = rl.pivot_outcomes(outcomes(quality=[True, True, False, True] * 2)).quality
    assert passed["small"].tolist() == [1, 0, 1, 0]
    nullable = measured()[0].astype("Float64")
    assert check_matrix(nullable, "quality").dtypes.tolist() == [np.float64, np.float64]


def test_whole_floats_are_the_integers_that_they_were():
    table = prompts(prompt_id=[1.0, 2.0, 3.0, 4.0])
    assert rl.check_prompts(table).index.tolist() == [1, 2, 3, 4] and rl.check_prompts(table).index.dtype == np.int64
    assert len(rl.check_judgments(judgments(prompt_id=[1, 2, 3, 4]), table)) == 4


def test_columns_of_x_are_compared_by_name_at_predict():
    quality, cost = measured()
    X = vectors()
    router = rl.KNNRouter(1, willingness_to_pay=0.05).fit(X, quality, cost=cost)
    expected = router.predict(X)
    assert set(expected) == {"small", "large"}
    pd.testing.assert_series_equal(router.predict(X[list("zyxw")]), expected)
    assert router.predict(X.to_numpy()).tolist() == expected.tolist()
    with tempfile.TemporaryDirectory() as folder:
        saved = rl.load_router(router.save(f"{folder}/router"))
    assert saved.predict(X[list("zyxw")]).tolist() == expected.tolist()
    assert router.predict(X.rename_axis("prompt_id").reset_index()).to_dict() == expected.to_dict()


def test_one_price_per_model_is_a_cost():
    quality, cost = measured()
    prices = pd.Series({"large": 0.01, "small": 0.001})
    X = vectors()
    for given in (prices, prices.to_dict(), prices.astype(object)):
        expected = rl.KNNRouter(1).fit(X, quality, cost=cost)
        pd.testing.assert_frame_equal(
            rl.KNNRouter(1).fit(X, quality, cost=given).predict_cost(X), expected.predict_cost(X)
        )
        by_intent = rl.IntentRouter(1).fit(X, list("aabb"), quality=quality, cost=given)
        pd.testing.assert_frame_equal(by_intent.predict_cost(X), expected.predict_cost(X))
        votes = rl.SimilarityWeightedRouter(alpha=0.1).fit(X, judgments(), cost=given)
        assert votes.predict_cost(X).loc["p1", "large"] == 0.01
    told = rl.savings(choices(*["small"] * 4), quality, prices, baseline="large")
    assert told.saving == pytest.approx(0.9)


def test_missing_means_missing_for_neighbours():
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.normal(size=(200, 5)), index=[f"p{i}" for i in range(200)])
    quality = pd.DataFrame({"old": rng.random(200), "new": rng.random(200)}, index=X.index)
    cost = quality / 100 + 0.001
    few = quality.copy()
    few.iloc[50:, 1] = np.nan  # 50 judgments of the new model
    router = rl.KNNRouter(20).fit(X, few, cost=cost)
    found = router.predict_quality(X)
    rows = X / np.linalg.norm(X, axis=1)[:, None]
    near = np.argsort(-(rows @ rows.T).to_numpy(), axis=1)[:, :20]
    for row in range(200):
        known = few["new"].iloc[near[row]].dropna()
        expected = known.mean() if len(known) else few["new"].mean()
        assert found["new"].iloc[row] == pytest.approx(expected, abs=1e-6)
    pd.testing.assert_series_equal(found["old"], rl.KNNRouter(20).fit(X, quality, cost=cost).predict_quality(X)["old"])
    none = rl.KNNRouter(1).fit(X, few, cost=cost.where(few.notna())).predict_quality(X)["new"]
    assert none.iloc[50:].to_numpy() == pytest.approx(few["new"].mean())
    assert np.isfinite(router.score(X, few))
    sweep = rl.cross_sweep(rl.KNNRouter(20), X, few, cost)
    assert len(sweep.index) == 200


def test_missing_means_missing_for_intents():
    quality, cost = measured()
    quality.loc["p1", "small"] = quality.loc["p3", "large"] = quality.loc["p4", "large"] = np.nan
    router = rl.IntentRouter(1).fit(vectors(), ["a", "a", "b", "b"], quality=quality, cost=cost)
    assert router.table_.loc["a", "small"] == 0.0  # of p2 alone
    assert router.table_.loc["b", "large"] == quality["large"].mean()


def test_an_operating_point_can_be_set_on_a_pipeline():
    quality, cost = measured()
    X = vectors()
    for step in (FunctionTransformer(), FunctionTransformer(np.asarray)):  # the second drops the prompt ids
        router = rl.KNNRouter(1).fit(X.to_numpy(), quality, cost=cost)
        pipeline = make_pipeline(step, router)
        chosen = rl.set_operating_point(pipeline, X, quality, cost, baseline="large", max_quality_loss=0.0)
        assert chosen[-1].operating_point_.baseline == "large"
        assert chosen.predict(X).tolist() == ["small", "large", "small", "large"]
        assert np.isinf(pipeline[-1].willingness_to_pay), "the pipeline that was passed stays as it was"


@pytest.mark.parametrize("given", [np.int64(20), np.float32(20), 20])
def test_numpy_numbers_are_numbers(given, tmp_path):
    options = {"path": tmp_path / "r.jsonl", "dry_run": True, "max_tokens": 5}
    assert (
        rl.collect_responses({"p": "Hi"}, ["gpt-4o"], budget_usd=given, concurrency=np.int64(2), **options) is not None
    )
    assert LsaEmbedder(n_components=np.int64(3)).fit(prompts()).n_components_ == 3
