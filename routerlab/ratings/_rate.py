"""Ratings as a table, overall and by intent."""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from routerlab.exceptions import ParameterError
from routerlab.ratings._bradley_terry import BradleyTerry
from routerlab.ratings._shrinkage import Partial, shrink
from routerlab.ratings._uncertainty import contrasts
from routerlab.schema import check_judgments, id_remedy, plain, refuse_parameter, reject, shown

_COLUMNS = ("model", "rating", "ci_low", "ci_high", "n", "win_rate", "win_rate_low", "win_rate_high")


def rate(
    judgments: pd.DataFrame,
    by: pd.Series | str | None = None,
    *,
    baseline: str | None = None,
    prior_sd: float | None = None,
    **params: Any,
) -> pd.DataFrame:
    r"""Rate models from pairwise judgments, overall or within each intent.

    Parameters
    ----------
    judgments : DataFrame of shape (n_judgments, n_columns)
        See `check_judgments`.
    by : Series or str, optional
        Series: ``prompt_id`` -> intent. Judgments on other prompts are left out, which is how the training
        split is selected. str: a column of `judgments`, such as ``"judge"``. Empty: left out as well.
    baseline : str, optional
        Adds each model's expected win rate against this one.
    prior_sd : float, optional
        With `by`: standard deviation of a model's rating between intents, in points. Estimated by default.
    **params
        Parameters of `BradleyTerry`. With `by`, `interval` must be 'sandwich'.

    Returns
    -------
    DataFrame
        Columns ``intent`` (or the name of `by`; absent without `by`), ``model``, ``rating``, ``ci_low``, ``ci_high``
        (points), ``n`` (votes that the model was in), and with `baseline` ``win_rate``, ``win_rate_low``,
        ``win_rate_high``. Without `by`, best model first; with it, every model in every intent, both in order.
        ``attrs`` says how it was made: method, confidence, alpha, n_judgments, n_left_out, provenance, and with `by`
        prior_sd and design_effect.

    Raises
    ------
    TableError
        No judgment on the prompts of `by`; see `BradleyTerry` for the others.

    Notes
    -----
    With `by`, an intent's ratings are pulled toward those of a typical intent by a normal prior with standard deviation
    `prior_sd`: a hierarchical model. An intent with few votes, or whose votes leave models unconnected, still has
    ratings, with intervals as wide as intents differ. The typical ratings are fitted along with the rest. Unless given,
    `prior_sd` is averaged over its posterior, from a prior that is flat in the variance near 0 and falls off beyond 1
    log-odds (174 points) [2]_. The votes of all intents are weighed by the inverse of their design effect: the variance
    of scores between clusters of an intent, relative to that of independent votes without ties.

    Intervals are posterior. Over intents at large, which differ as a normal prior says, they held the
    truth in 94 to 97% of simulations at nominal 95%, and in more where intents hardly differ. That is an
    average over intents: one unlike all others is pulled toward them, and its interval holds its truth less often.

    References
    ----------
    .. [1] B. Efron and C. Morris, "Data analysis using Stein's estimator and its generalizations", JASA 70, 1975.
    .. [2] C. N. Morris and M. Lysy, "Shrinkage estimation in multilevel normal models", Statistical Science 27, 2012.

    Examples
    --------
    >>> votes = pd.DataFrame({
    ...     "prompt_id": range(8),
    ...     "model_a": ["small"] * 8,
    ...     "model_b": ["large"] * 8,
    ...     "winner": ["model_b"] * 5 + ["tie"] * 2 + ["model_a"],
    ... })
    >>> rate(votes, baseline="large").round(2)[["model", "rating", "n", "win_rate"]]
       model   rating  n  win_rate
    0  large  1095.11  8      0.50
    1  small   904.89  8      0.25
    >>> intents = pd.Series(["chat"] * 4 + ["code"] * 4, index=range(8), name="intent")
    >>> rate(votes, by=intents)["intent"].tolist()
    ['chat', 'chat', 'code', 'code']
    """
    if prior_sd is not None and not (by is not None and prior_sd > 0):
        refuse_parameter("prior_sd", "above 0, and goes with 'by'", prior_sd, "rate")
    model = BradleyTerry(**params)
    return _rate_all(model, judgments, baseline) if by is None else _rate_by(model, judgments, by, baseline, prior_sd)


def _rate_all(model: BradleyTerry, judgments: pd.DataFrame, baseline: str | None) -> pd.DataFrame:
    summary = model.fit(judgments).summary()
    if baseline is None:
        return summary
    frame = summary.join(model.expected_win_rate(baseline), on="model")
    frame.attrs = summary.attrs | {"baseline": baseline}
    return frame


def _rate_by(
    model: BradleyTerry, judgments: pd.DataFrame, by: pd.Series | str, baseline: str | None, prior_sd: float | None
) -> pd.DataFrame:
    partial, levels, name, n_left_out = fit_by(model, judgments, by, prior_sd)
    result = _table(model, partial, levels, name, baseline)
    result.attrs["n_left_out"] = n_left_out
    return result


def fit_by(
    model: BradleyTerry, judgments: pd.DataFrame, by: pd.Series | str, prior_sd: float | None
) -> tuple[Partial, pd.Index, str, int]:
    """Fit `model` overall; return each intent's posterior, the intents, what they are called, and votes left out."""
    if model.interval != "sandwich":
        msg = f"With 'by', the 'interval' parameter of rate must be 'sandwich'. Got {model.interval!r} instead."
        raise ParameterError(msg)
    frame = check_judgments(judgments)
    label, name = _labels(frame, by)
    inside = label.notna().to_numpy()
    frame, label = frame[inside], label[inside]
    votes = model._fit_checked(frame)
    levels = pd.Index((by if isinstance(by, pd.Series) else label).dropna().unique()).sort_values()
    partial = shrink(
        votes,
        levels.get_indexer(label[votes.kept]),
        len(levels),
        overall=model.log_ratings_,
        shared=model._shared_covariance(),
        alpha=model.alpha,
        prior_sd=None if prior_sd is None else prior_sd / model.points_per_log_odds,
    )
    return partial, levels, name, int((~inside).sum())


def _labels(frame: pd.DataFrame, by: pd.Series | str) -> tuple[pd.Series, str]:
    """Intent of each judgment (empty: to leave out), and what it is called."""
    if isinstance(by, pd.Series):
        by = plain(by)
        if not by.index.is_unique:
            wrong = f"has more than one row for prompt_id {shown(by.index[by.index.duplicated()].unique())}."
            reject("'by'", wrong, "Keep one intent for each prompt.")
        label, name = frame["prompt_id"].map(by), by.name or "intent"
        if not label.notna().any():
            reject(
                "'by' and judgments table, column 'prompt_id'",
                f"no overlap: 'by' is indexed by {shown(by.index, 3)}, judgments are on "
                f"{shown(frame['prompt_id'].unique(), 3)}.",
                id_remedy(
                    by.index,
                    pd.Index(frame["prompt_id"].unique()),
                    ("'by'", "the judgments"),
                    "Index 'by' by prompt_id, e.g. prompts['intent'].loc[train].",
                ),
            )
    elif isinstance(by, str):
        if by not in frame:
            reject("judgments table", f"has no column {by!r}; it has {shown(frame.columns, 12)}.", "Name one of them.")
        label, name = frame[by], by
        if not label.notna().any():
            reject(f"judgments table, column {by!r}", "is empty.", "Name another.")
    else:
        msg = f"The 'by' parameter of rate must be a Series (prompt_id -> intent) or a column name. Got {type(by)!r}."
        raise TypeError(msg)
    if name in _COLUMNS:
        reject("'by'", f"is named {name!r}, which is a column of the result.", "Rename it, e.g. by.rename('intent').")
    return label, str(name)


def _table(model: BradleyTerry, partial: Partial, levels: pd.Index, name: str, baseline: str | None) -> pd.DataFrame:
    """One row for each (intent, model); models by overall rating."""
    order = np.argsort(-model.log_ratings_, kind="stable")
    point, low, high = partial.interval(contrasts(model.models_, model.anchor, "anchor"), model.confidence)
    unit = model.points_per_log_odds
    columns: dict[str, NDArray[Any]] = {
        "rating": model.center + unit * point,
        "ci_low": model.center + unit * low,
        "ci_high": model.center + unit * high,
        "n": partial.n_votes,
    }
    if baseline is not None:
        logits = partial.interval(contrasts(model.models_, baseline, "baseline"), model.confidence)
        for column, logit in zip(("win_rate", "win_rate_low", "win_rate_high"), logits, strict=True):
            columns[column] = 0.5 + 0.5 * np.tanh(0.5 * logit)
    frame = pd.DataFrame({column: values[:, order].ravel() for column, values in columns.items()})
    frame.insert(0, "model", np.tile(model.models_[order], len(levels)))
    frame.insert(0, name, levels.repeat(len(order)))
    frame.attrs = model._made_by() | {
        "method": f"Bradley-Terry by {name}, shrunk toward a typical intent; posterior intervals",
        "prior_sd": partial.prior_sd * unit,
        "design_effect": partial.design_effect,
        "baseline": baseline,
    }
    return frame
