"""Which model is best in each intent, and how sure that is."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from routerlab.ratings._bradley_terry import BradleyTerry
from routerlab.ratings._rate import fit_by
from routerlab.ratings._shrinkage import Partial
from routerlab.schema import check_model, refuse_parameter


def best_models(
    judgments: pd.DataFrame,
    by: pd.Series | str,
    *,
    among: Sequence[str] | None = None,
    prior_sd: float | None = None,
    n_draws: int = 10_000,
    random_state: Any = 0,
    **params: Any,
) -> pd.DataFrame:
    """Name the best model of each intent, and those that may be as good.

    Parameters
    ----------
    judgments, by, prior_sd
        See `rate`.
    among : sequence of str, optional
        Rank these models only. All votes still count: two models may be compared through a third.
    n_draws : int, default 10000
        Draws from the posterior of each intent's ratings.
    random_state : int or Generator, default 0
        Seeds the draws.
    **params
        Parameters of `BradleyTerry`; ``confidence`` is also that of the contenders.

    Returns
    -------
    DataFrame
        One row for each intent, surest first: ``intent`` (or the name of `by`); ``best``, the model most often best in
        the draws, and ``p_best``, how often; ``rival``, the second; ``lead``, ``lead_low``, ``lead_high``, the
        difference of their ratings in points and its interval; ``contenders``, the fewest models that hold the best
        one with probability `confidence`, and ``n_contenders``; ``n``, votes. ``attrs`` says how it was made;
        ``attrs["expected_wrong"]`` is how many of the intents with one contender probably have another best model.

    Raises
    ------
    ParameterError
        Fewer than two models to rank.
    TableError
        See `rate`.

    Notes
    -----
    Naming a winner for many intents is many bets at once. They are counted here, not corrected: ``1 - p_best`` is
    the chance to be wrong in one intent, and its sum over the intents that one acts on is the number of wrong winners
    to expect. Because ratings are shrunk toward a typical intent, a lucky streak in few votes makes no winner [1]_.
    Both hold if intents differ as the prior says; see `rate`.

    References
    ----------
    .. [1] A. Gelman, J. Hill and M. Yajima, "Why We (Usually) Don't Have to Worry About Multiple Comparisons",
       Journal of Research on Educational Effectiveness 5, 2012.

    Examples
    --------
    >>> votes = pd.DataFrame({
    ...     "prompt_id": range(80),
    ...     "model_a": ["small"] * 80,
    ...     "model_b": ["large"] * 80,
    ...     "winner": ["model_b"] * 38 + ["model_a"] * 2 + ["model_a"] * 20 + ["model_b"] * 20,
    ... })
    >>> intents = pd.Series(["code"] * 40 + ["chat"] * 40, name="intent")
    >>> best_models(votes, intents)[["intent", "best", "contenders", "n"]].values.tolist()
    [['code', 'large', 'large', 40], ['chat', 'large', 'large, small', 40]]
    """
    model = BradleyTerry(**params)
    partial, levels, name, n_left_out = fit_by(model, judgments, by, prior_sd)
    names = list(model.models_) if among is None else [check_model(m, model.models_, "among") for m in among]
    if len(set(names)) < 2:
        refuse_parameter("among", "at least two models", among, "best_models")
    rows = [list(model.models_).index(m) for m in names]
    rng = np.random.default_rng(random_state)
    unit = model.points_per_log_odds
    table = pd.DataFrame(
        [_row(partial, g, np.array(rows), names, rng, n_draws, model.confidence, unit) for g in range(len(levels))]
    )
    table.insert(0, name, levels)
    table["n"] = partial.n_votes.sum(axis=1) // 2
    table = table.sort_values("p_best", ascending=False, kind="stable", ignore_index=True)
    sure = table["n_contenders"] == 1
    table.attrs = model._made_by() | {
        "method": f"posterior of Bradley-Terry ratings by {name}, shrunk toward a typical intent, {n_draws:,} draws",
        "n_left_out": n_left_out,
        "expected_wrong": float((1 - table["p_best"])[sure].sum()),
    }
    return table


def _row(
    partial: Partial,
    group: int,
    rows: NDArray[np.intp],
    names: list[str],
    rng: np.random.Generator,
    n_draws: int,
    confidence: float,
    unit: float,
) -> dict[str, Any]:
    """Best model, rival and contenders of one intent."""
    mean, covariance = partial.ratings[group][rows], partial.covariance[group][np.ix_(rows, rows)]
    draws = rng.multivariate_normal(mean, covariance, size=n_draws, method="eigh")
    p = np.bincount(draws.argmax(axis=1), minlength=len(names)) / n_draws
    order = np.lexsort((-mean, -p))
    n_contenders = int(np.searchsorted(p[order].cumsum(), confidence - 1e-9) + 1)
    best, rival = order[:2]
    contrast = np.zeros((1, partial.ratings.shape[1]))
    contrast[0, rows[best]], contrast[0, rows[rival]] = 1.0, -1.0
    lead, low, high = (float(unit * v[group, 0]) for v in partial.interval(contrast, confidence))
    return {
        "best": names[best],
        "p_best": float(p[best]),
        "rival": names[rival],
        "lead": lead,
        "lead_low": low,
        "lead_high": high,
        "contenders": ", ".join(names[k] for k in order[:n_contenders]),
        "n_contenders": n_contenders,
    }
