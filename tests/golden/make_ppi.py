"""Write ppi.json: what the authors' own package, ppi-python, makes of small made-up problems.

It needs numba and statsmodels, so that it is no dependency of the tests. In an environment of its own:

pip install ppi-python==0.2.3 && python tests/golden/make_ppi.py
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from ppi_py import ppi_logistic_ci, ppi_logistic_pointestimate, ppi_mean_ci, ppi_mean_pointestimate
from ppi_py.ppi import _calc_lam_glm, _logistic_get_stats

ALPHA = 0.05
# Models 0, 1 and 2; a column for models 1 and 2, whose coefficients are their ratings less model 0's.
PAIRS = np.array([(0, 1), (0, 2), (1, 2)])
DESIGN = np.array([(-1.0, 0.0), (0.0, -1.0), (1.0, -1.0)])


def mean_case(n: int, n_more: int, agreement: float, seed: int) -> dict:
    rng = np.random.default_rng(seed)
    scores = rng.choice([0.0, 0.5, 1.0], size=n + n_more, p=[0.3, 0.25, 0.45])
    said = np.where(rng.random(n + n_more) < agreement, scores, rng.choice([0.0, 0.25, 0.5, 1.0], size=n + n_more))
    human, judge, more = scores[:n], said[:n], said[n:]
    case = {"human": human.tolist(), "judge": judge.tolist(), "judge_more": more.tolist(), "results": []}
    tuned = float(_calc_lam_glm(human - human.mean(), judge - human.mean(), more - human.mean(), np.eye(1), clip=True))
    for lam in (None, 0.0, 0.5, 1.0):
        estimate = float(np.squeeze(ppi_mean_pointestimate(human, judge, more, lam=lam)))
        low, high = (float(np.squeeze(end)) for end in ppi_mean_ci(human, judge, more, alpha=ALPHA, lam=lam))
        used = tuned if lam is None else lam
        case["results"].append({"lam": lam, "used": used, "estimate": estimate, "low": low, "high": high})
    return case


def logistic_case(n_each: int, n_more_each: int, agreement: float, seed: int) -> dict:
    rng = np.random.default_rng(seed)
    pair = np.concatenate([np.repeat(np.arange(3), n_each), np.repeat(np.arange(3), n_more_each)])
    x, n = DESIGN[pair], 3 * n_each
    scores = (rng.random(len(pair)) < 1 / (1 + np.exp(-x @ [0.5, -0.4]))).astype(float)
    said = np.where(rng.random(len(pair)) < agreement, scores, (rng.random(len(pair)) < 0.7).astype(float))
    case = {"first": PAIRS[pair, 0].tolist(), "second": PAIRS[pair, 1].tolist(), "n_human": n}
    case |= {"human": scores[:n].tolist(), "judge": said.tolist(), "results": []}
    data = (x[:n], scores[:n], said[:n], x[n:], said[n:])
    first = ppi_logistic_pointestimate(*data, lam=1.0)
    stats = _logistic_get_stats(first, *data, np.ones(n), np.ones(len(pair) - n))
    tuned = float(_calc_lam_glm(*stats, clip=True))
    for lam in (None, 0.5, 1.0):
        estimate = ppi_logistic_pointestimate(*data, lam=lam)
        used = tuned if lam is None else lam
        # Left to itself, ppi_logistic_ci tunes once more at the tuned estimate, and leaves ppi_logistic_pointestimate.
        low, high = ppi_logistic_ci(*data, alpha=ALPHA, lam=used)
        result = {"lam": lam, "used": used, "estimate": estimate.tolist()}
        case["results"].append(result | {"low": low.tolist(), "high": high.tolist()})
    return case


def main() -> None:
    golden = {
        "made_by": "ppi-python 0.2.3, tests/golden/make_ppi.py",
        "alpha": ALPHA,
        "mean": [mean_case(60, 300, 0.8, 0), mean_case(25, 75, 0.5, 1), mean_case(40, 400, 0.0, 2)],
        "logistic": [logistic_case(40, 200, 0.8, 0), logistic_case(30, 60, 0.5, 1)],
    }
    path = Path(__file__).with_name("ppi.json")
    path.write_text(
        json.dumps(golden, separators=(",", ":")).replace('"results"', '\n"results"') + "\n", encoding="utf-8"
    )


if __name__ == "__main__":
    main()
