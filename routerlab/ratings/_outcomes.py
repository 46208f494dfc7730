"""From judgments to each model's quality on each prompt: what routers without intents are fitted and judged on."""

import warnings

import numpy as np
import pandas as pd

from routerlab.schema import (
    WIN_SHARE,
    DroppedRowsWarning,
    as_pandas,
    check_judgments,
    check_model,
    check_responses,
    id_remedy,
    provenance_of,
    reject,
    shown,
)


def judged_outcomes(
    judgments: pd.DataFrame, responses: pd.DataFrame, *, both_bad: float = 0.0, baseline: str | None = None
) -> pd.DataFrame:
    """Score each model on each prompt by the share of comparisons that it wins, and join what its response cost.

    Parameters
    ----------
    judgments : DataFrame
        ``prompt_id, model_a, model_b, winner``, by people, judge models, or both. Without `baseline`, all models of a
        prompt must have been compared with each other there, as `PairwiseJudge` does.
    responses : DataFrame
        ``prompt_id, model, cost_usd``; optional ``latency_s``. `routerlab.add_cost` fills ``cost_usd`` from tokens.
    both_bad : float, default 0
        Quality that both models get from a verdict 'both_bad'. A tie is half a win. Against a baseline it is a tie.
    baseline : str, optional
        Score models against this one alone, for votes that compare two models of many on each prompt, as arenas have
        them. Prompts with a vote on the baseline are kept; its own quality is 1/2 there, and that of models which were
        not compared with it is empty.

    Returns
    -------
    DataFrame
        Outcomes table: ``prompt_id, model, quality, cost_usd`` (USD), ``quality_scale``, for
        `routerlab.pivot_outcomes`; with `baseline`, ``pivot_outcomes(outcomes, missing="keep")``.

    Raises
    ------
    TableError
        Bad tables; no ``cost_usd``; no prompt on which all models, or any with the baseline, were compared.

    Warns
    -----
    DroppedRowsWarning
        How many prompts were left out because some pair of their models has no verdict, since shares of wins over
        different opponents cannot be compared; with `baseline`, because no vote there is on it.

    Notes
    -----
    Several verdicts on one pair are averaged first, then pairs: a pair that more people looked at does not count more.
    Quality is relative to the models compared: 0.5 on average over them without 'both_bad'. A judge's verdicts make a
    claim about that judge's taste; `routerlab.judge_trust` says how far people share it.

    *From votes to a claim.* With `baseline`, `routerlab.set_operating_point` and `routerlab.savings` take the empty
    cells: prompts whose chosen model was compared with the baseline stand for all to which that model was given. That
    is right if the pairs to compare were drawn without looking at the prompt, as arenas and `PairQueue`'s random share
    do; votes on pairs that somebody picked do not support a claim. A quality difference of -0.01 is then one more loss
    in a hundred votes against the baseline, ties counting half.

    Examples
    --------
    >>> votes = pd.DataFrame({"prompt_id": ["p1", "p2"], "model_a": "x", "model_b": "y", "winner": ["model_a", "tie"]})
    >>> replies = pd.DataFrame({"prompt_id": ["p1", "p1", "p2", "p2"], "model": ["x", "y"] * 2, "response": "Yes."})
    >>> judged_outcomes(votes, replies.assign(cost_usd=0.01))["quality"].tolist()
    [1.0, 0.0, 0.5, 0.5]
    """
    if not isinstance(both_bad, (int, float, np.number)) or not 0 <= both_bad <= 1:
        reject("'both_bad'", f"got {both_bad!r}, expected a quality from 0 to 1.", "0 says that neither is of use.")
    votes = check_judgments(judgments)
    if not len(votes):
        reject("judgments table", "has no rows.", "Check the split or the judge that you selected.")
    responses = as_pandas(responses)
    texts = not isinstance(responses, pd.DataFrame) or "response" in responses
    replies = check_responses(responses if texts else responses.assign(response=None))
    if "cost_usd" not in replies:
        reject("responses table", "column 'cost_usd' is missing.", "Fill it: responses = rl.add_cost(responses).")
    if baseline is None:
        quality = _shares(votes, both_bad)
    else:
        quality = _shares_against(votes, check_model(baseline, _models(votes), "baseline"))
    extra = [name for name in ("cost_usd", "latency_s") if name in replies]
    keys = ["prompt_id", "model"]
    at = pd.MultiIndex.from_frame(quality[keys])
    lost = quality[~at.isin(pd.MultiIndex.from_frame(replies[keys]))]
    if len(lost):
        ids = (pd.Index(votes["prompt_id"]), pd.Index(replies["prompt_id"]))
        reject(
            "responses table",
            f"has no response of {shown(lost['model'].unique())} to prompt {shown(lost['prompt_id'].unique())}.",
            id_remedy(*ids, ("the judgments table", "the responses table"), "Pass the responses that were judged."),
        )
    # In the order of the responses: models and prompts stand as in the user's own table. Against a baseline,
    # what a response cost counts even if nobody judged it.
    kept = replies[replies["prompt_id"].isin(quality["prompt_id"]) & replies["model"].isin(quality["model"])]
    how = "inner" if baseline is None else "left"
    table = kept[[*keys, *extra]].merge(quality, on=keys, how=how)[[*keys, "quality", *extra]]
    table["quality_scale"] = WIN_SHARE if baseline is None else f"{WIN_SHARE} against {baseline}"
    provenance = provenance_of(judgments, responses)
    table.attrs = {"provenance": provenance} if provenance else {}
    table.attrs["quality_scale"] = table["quality_scale"].iloc[0]
    return table


def _models(votes: pd.DataFrame) -> pd.Index:
    return pd.Index(pd.unique(pd.concat([votes["model_a"], votes["model_b"]]).astype(object)))


def _shares_against(votes: pd.DataFrame, baseline: str) -> pd.DataFrame:
    """Mean score of each model against the baseline on each prompt, and 1/2 for the baseline itself."""
    own = votes[(votes["model_a"] == baseline) | (votes["model_b"] == baseline)]
    n_prompts, n_kept = votes["prompt_id"].nunique(), own["prompt_id"].nunique()
    if n_kept < n_prompts:
        warnings.warn(
            f"judged_outcomes left out {n_prompts - n_kept:,} of {n_prompts:,} prompts without a vote on {baseline!r}.",
            DroppedRowsWarning,
            stacklevel=3,
        )
    left = own["model_a"] == baseline
    won = own["winner"].map({"model_a": 1.0, "model_b": 0.0, "tie": 0.5, "both_bad": 0.5})
    scores = pd.DataFrame(
        {
            "prompt_id": own["prompt_id"],
            "model": own["model_b"].where(left, own["model_a"]),
            "quality": (1 - won).where(left, won),
        }
    )
    shares = scores.groupby(["prompt_id", "model"], sort=False, observed=True)["quality"].mean().reset_index()
    itself = pd.DataFrame({"prompt_id": shares["prompt_id"].unique(), "model": baseline, "quality": 0.5})
    return pd.concat([shares, itself], ignore_index=True)


def _shares(votes: pd.DataFrame, both_bad: float) -> pd.DataFrame:
    """Mean score of each model over its opponents on each prompt; prompts that lack a pair are left out."""
    won = votes["winner"].map({"model_a": 1.0, "model_b": 0.0, "tie": 0.5, "both_bad": both_bad})
    lost = votes["winner"].map({"model_a": 0.0, "model_b": 1.0, "tie": 0.5, "both_bad": both_bad})
    sides = [
        pd.DataFrame({"prompt_id": votes["prompt_id"], "model": votes[own], "other": votes[other], "score": score})
        for own, other, score in (("model_a", "model_b", won), ("model_b", "model_a", lost))
    ]
    pairs = pd.concat(sides).groupby(["prompt_id", "model", "other"], sort=False, observed=True)["score"].mean()
    models = _models(votes)
    n_pairs = pairs.groupby("prompt_id", sort=False).size()
    whole = n_pairs.index[n_pairs == len(models) * (len(models) - 1)]
    if not len(whole):
        reject(
            "judgments table",
            f"on no prompt were all of {shown(models, 10)} compared with each other.",
            "Score models against one alone (baseline=), judge all pairs of a prompt, select fewer models, or route by "
            "intents with rl.rate.",
        )
    if len(whole) < len(n_pairs):
        warnings.warn(
            f"judged_outcomes left out {len(n_pairs) - len(whole)} of {len(n_pairs)} prompts on which not all of the "
            f"{len(models)} models were compared with each other; baseline= keeps those with a vote on the baseline.",
            DroppedRowsWarning,
            stacklevel=3,
        )
    shares = pairs.groupby(["prompt_id", "model"], sort=False).mean().rename("quality").reset_index()
    return shares[shares["prompt_id"].isin(whole)]
