"""A few points stand for many rows: sums, squares and intervals are theirs."""

import numpy as np
import pytest

from routerlab import tallies
from routerlab.stats import cluster_df, mean_interval, ratio_interval


@pytest.mark.parametrize("skew", [0.3, 1.5])
def test_points_of_a_tally_stand_for_the_rows(skew):
    rng = np.random.default_rng(0)
    whole = np.exp(skew * rng.normal(size=60_000))
    part = whole * rng.random(60_000) * (rng.random(60_000) > 0.2)
    parts = [tallies.tally(part[k::3], whole[k::3]).tolist() for k in range(3)]
    assert sum(map(len, parts)) < 12_000
    points, count = tallies.points(tallies.merge(parts))
    for f in (np.ones_like, lambda v: v[..., 0], lambda v: v[..., 1] ** 2, lambda v: v[..., 0] * v[..., 1]):
        rows = np.column_stack([part, whole])
        wanted = float(np.sum(f(rows))) / (2 if f is np.ones_like else 1)
        assert float(np.sum(count * (1.0 if f is np.ones_like else f(points)))) == pytest.approx(wanted, rel=1e-12)
    wanted = ratio_interval(part, whole)
    assert ratio_interval(*points.T, count=count, df=59_999.0) == pytest.approx(wanted, abs=1e-8)


def test_counts_stand_for_repeated_rows_in_intervals():
    rng = np.random.default_rng(0)
    mean, size, count = rng.random(40) * 2 - 1, rng.integers(1, 9, 40).astype(float), rng.integers(1, 5, 40)
    again = [np.repeat(column, count) for column in (mean, size)]
    assert cluster_df(size, count.astype(float)) == pytest.approx(cluster_df(again[1]), rel=1e-9)
    wanted = mean_interval(again[0], weight=again[1])
    assert mean_interval(mean, weight=size, count=count.astype(float)) == pytest.approx(wanted, abs=1e-9)


@pytest.mark.parametrize("grouped", [False, True])
def test_the_interval_of_many_costs_is_that_of_all_rows(grouped, monkeypatch):
    rng = np.random.default_rng(0)
    whole = np.exp(0.8 * rng.normal(size=120_000))
    part = whole * np.where(rng.random(120_000) < 0.7, 0.1, 1.0)
    codes = np.sort(rng.integers(0, 60_000, 120_000)) if grouped else None
    codes = None if codes is None else np.unique(codes, return_inverse=True)[1]
    found = ratio_interval(part, whole, codes)
    monkeypatch.setattr("routerlab.stats._MANY", 10**9)
    assert found == pytest.approx(ratio_interval(part, whole, codes), abs=1e-7)
