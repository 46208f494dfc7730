"""Prediction-powered win rates and ratings: the authors' own figures, invariances, coverage."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import norm

from routerlab.judging._rate import fit_ratings
from routerlab.judging._units import Units
from routerlab.judging._win_rate import ppi_mean
from routerlab.ratings import contrasts

GOLDEN = json.loads((Path(__file__).parent / "golden" / "ppi.json").read_text(encoding="utf-8"))
Z = norm.ppf(1 - GOLDEN["alpha"] / 2)


@pytest.mark.parametrize("case", GOLDEN["mean"], ids=["good judge", "poor judge", "no judge"])
def test_means_are_those_of_the_authors_package(case):
    """Estimate, lambda and interval; theirs has the normal quantile and no small-sample factor."""
    human = np.array(case["human"] + [np.nan] * len(case["judge_more"]))
    judge = np.array(case["judge"] + case["judge_more"])
    one = np.zeros(len(human), dtype=int)
    for result in case["results"]:
        ours = ppi_mean(human, judge, one, np.arange(len(human)), result["lam"])
        assert ours.lam == pytest.approx(result["used"], abs=1e-12)
        assert ours.estimate == pytest.approx(result["estimate"], abs=1e-12)
        half = Z * np.sqrt((ours.influence**2).sum())
        assert ours.estimate - half == pytest.approx(result["low"], abs=1e-12)
        assert ours.estimate + half == pytest.approx(result["high"], abs=1e-12)
    assert len({result["used"] for result in case["results"]}) > 2


@pytest.mark.parametrize("case", GOLDEN["logistic"], ids=["good judge", "poor judge"])
def test_ratings_are_the_authors_logistic_regression(case):
    """Without ties, a rating less the anchor's is a coefficient of +1/-1 columns; strata off, penalty next to none."""
    n_more = len(case["judge"]) - case["n_human"]
    human, judge = np.array(case["human"] + [np.nan] * n_more), np.array(case["judge"])
    cluster = np.arange(len(judge))
    models = np.array(["m0", "m1", "m2"], dtype=object)
    units = Units(models, np.array(case["first"]), np.array(case["second"]), cluster, human, judge)
    contrast = contrasts(models, "m0", "anchor")
    for result in case["results"]:
        ours = fit_ratings(units, contrast, 1e-9, result["lam"], stratum=np.zeros(len(judge), dtype=int))
        assert ours.lam == pytest.approx(result["used"], abs=1e-6)
        assert ours.point[1:] == pytest.approx(result["estimate"], abs=1e-6)
        # Their covariances are over n - 1, of labelled and unlabelled units each.
        n = np.where(units.has_human, case["n_human"], n_more)
        variance = ((ours.influence**2) * (n / (n - 1))[:, None]).sum(axis=0)[1:]
        assert ours.point[1:] - Z * np.sqrt(variance) == pytest.approx(result["low"], abs=1e-6)
        assert ours.point[1:] + Z * np.sqrt(variance) == pytest.approx(result["high"], abs=1e-6)
