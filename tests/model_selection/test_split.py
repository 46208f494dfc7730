"""Splits: parts share no text and no group, every intent is in each, and the ids are plain."""

import numpy as np
import pandas as pd
import pytest
from sklearn.model_selection import train_test_split

import routerlab as rl
from routerlab.schema import TableError


@pytest.fixture(scope="module")
def prompts():
    return rl.load_demo().prompts


def test_three_parts_cover_all_prompts_once_in_their_order(prompts):
    parts = rl.split_prompts(prompts)
    assert len(parts) == 3
    together = parts[0].append([*parts[1:]])
    assert sorted(together) == sorted(prompts.index)
    assert [round(len(part) / len(prompts), 2) for part in parts] == [0.5, 0.25, 0.25]
    for part in parts:
        assert prompts.index.get_indexer(part).tolist() == sorted(prompts.index.get_indexer(part))
        assert part.name == "prompt_id" and part.dtype == object


def test_the_seed_decides(prompts):
    first, again, other = (rl.split_prompts(prompts, random_state=seed) for seed in (1, 1, 2))
    assert all(a.equals(b) for a, b in zip(first, again, strict=True))
    assert not first[0].equals(other[0])


def test_every_prompt_is_as_likely_to_land_in_a_part():
    ids = pd.Index([f"p{i}" for i in range(40)])
    strata = pd.Series(np.repeat(["a", "b", "c", "d"], [1, 3, 16, 20]), index=ids)
    seen = pd.Series(0.0, index=ids)
    for seed in range(600):
        seen[rl.split_prompts(ids, stratify=strata, random_state=seed)[0]] += 1 / 600
    assert seen.iloc[1:].between(0.41, 0.59).all(), seen


def test_intents_are_shared_out_by_default(prompts):
    for sizes in ((0.5, 0.25, 0.25), (0.7, 0.3)):
        for share, part in zip(sizes, rl.split_prompts(prompts, sizes), strict=True):
            found, whole = (table["intent"].value_counts() for table in (prompts.loc[part], prompts))
            assert (found.reindex(whole.index, fill_value=0) - share * whole).abs().max() < 2
    plain = rl.split_prompts(prompts, stratify=False)[0]
    assert not plain.equals(rl.split_prompts(prompts)[0])


def test_copies_of_a_text_stay_together_though_their_blanks_differ():
    texts = [f"Question {i % 20}" + " " * (i // 20) for i in range(60)]
    table = pd.DataFrame({"prompt": texts}, index=[f"p{i}" for i in range(60)])
    for given in (table, table["prompt"], table.rename_axis("prompt_id").reset_index()):
        for seed in range(20):
            found = [set(table.loc[part, "prompt"].str.strip()) for part in rl.split_prompts(given, random_state=seed)]
            assert sum(map(len, found)) == len(set.union(*found)) == 20


def test_groups_never_straddle_and_join_with_copies():
    ids = [f"p{i}" for i in range(40)]
    table = pd.DataFrame(
        {"prompt": [f"text {i}" for i in range(39)] + ["text 0"], "user": np.arange(40) // 4}, index=ids
    )
    for groups in ("user", table["user"], table["user"].sample(frac=1, random_state=0)):
        parts = rl.split_prompts(table, groups=groups, random_state=3)
        users = [set(table.loc[part, "user"]) for part in parts]
        assert sum(map(len, users)) == 10
        assert sum({"p0", "p39"} <= set(part) for part in parts) == 1, "copies join the groups that they are in"


def test_parts_are_plain_ids_whatever_holds_them(prompts):
    arrow = pytest.importorskip("pyarrow")
    assert arrow
    for dtype in ("str", "string", "string[pyarrow]", "category", object):
        train, _, test = rl.split_prompts(prompts.set_axis(prompts.index.astype(dtype)))
        assert train.dtype == test.dtype == object
        left, right = train_test_split(train, random_state=0)
        assert len(left) + len(right) == len(train)
    assert rl.split_prompts(pd.RangeIndex(20))[0].dtype == np.int64
    assert rl.split_prompts(pd.Index([1, 2, 3, 4], dtype="int64[pyarrow]"))[0].dtype == np.int64


def test_ids_of_checked_tables_can_be_split_by_scikit_learn(prompts):
    quality = rl.pivot_outcomes(rl.load_demo().outcomes).quality
    for ids in (prompts.index, quality.index, rl.check_prompts(prompts.reset_index()).index):
        train, test = train_test_split(ids, test_size=0.25, random_state=0)
        assert len(train) == 3 * len(test)


IDS = pd.Index(["p1", "p2", "p3", "p4"])


@pytest.mark.parametrize(
    ("options", "error", "names"),
    [
        ({"sizes": (0.5, 0.6)}, ValueError, ["'sizes'", "sum to 1"]),
        ({"sizes": (1.0,)}, ValueError, ["'sizes'"]),
        ({"sizes": (1.5, -0.5)}, ValueError, ["'sizes'"]),
        ({"prompts": IDS[:0]}, TableError, ["prompts", "got none"]),
        ({"prompts": IDS[:2]}, TableError, ["2 groups for 3 parts"]),
        ({"prompts": IDS.append(IDS)}, TableError, ["'p1', 'p2'", "twice"]),
        ({"prompts": pd.Series(["Hi"] * 4, index=IDS)}, TableError, ["4 prompts make 1 groups"]),
        ({"groups": "user"}, TableError, ["'groups'", "'user' is not a column"]),
        ({"groups": pd.Series(["a"] * 3, index=IDS[:3])}, TableError, ["'groups'", "no label for 'p4'"]),
        ({"stratify": pd.Series(["a", None, "b", "b"], index=IDS)}, TableError, ["'stratify'", "empty for 'p2'"]),
        ({"stratify": pd.Series("a", index=[1, 2, 3, 4]), "prompts": pd.Index(list("1234"))}, TableError, ["map(str)"]),
        ({"stratify": ["a"] * 4}, TypeError, ["'stratify'", "Series"]),
    ],
)
def test_what_cannot_be_split_is_said(options, error, names):
    options = {"prompts": IDS, **options}
    with pytest.raises(error) as caught:
        rl.split_prompts(**options)
    for name in names:
        assert name in str(caught.value)
