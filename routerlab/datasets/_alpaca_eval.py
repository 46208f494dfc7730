"""AlpacaEval 2: ten models against GPT-4 Turbo, with a judge's preference."""

from collections.abc import Iterable
from datetime import date
from typing import Any

import numpy as np
import pandas as pd

from routerlab.datasets._dataset import Dataset, stamp
from routerlab.datasets._files import PublishedFile, in_folder, json_array, malformed, read_published
from routerlab.pricing import Prices, add_cost, estimate_tokens, own_prices
from routerlab.schema import check_model, refuse, shown

FOLDER = "tatsu-lab/alpaca_eval/results"
BASELINE = "gpt4_1106_preview"
# Where the leaderboard's name of a model is not the one that its provider's API and the price list use.
LISTED_AS = {
    BASELINE: "gpt-4-1106-preview",
    "gpt4_0613_concise": "gpt-4-0613",
    "Mixtral-8x7B-Instruct-v0.1_concise": "open-mixtral-8x7b",
}
PRICED_ON = date(2024, 3, 1)


def fetch_alpaca_eval(models: Iterable[str] | None = None, *, prices: Prices | None = None) -> Dataset:
    """Fetch AlpacaEval 2: 805 prompts, the outputs of ten models and GPT-4 Turbo's, and a judge's preferences.

    Read from the folder that ``ROUTERLAB_DATA`` names (laid out ``<owner>/<repository>/<path>``) if it holds the
    files, else from the cache, else downloaded into the cache (4 MB for each model).

    Parameters
    ----------
    models : iterable of str, optional
        Which models; default all: 'Mixtral-8x7B-Instruct-v0.1_concise', 'OpenHermes-2.5-Mistral-7B', 'claude-2.1',
        'claude-instant-1.2', 'gemma-2b-it', 'gemma-7b-it', 'gpt-3.5-turbo-1106', 'gpt4_0613_concise', 'phi-2-sft' and
        'vicuna-13b-v1.5-togetherai'.
    prices : mapping or DataFrame, optional
        Your own prices of models that the price list does not hold; see `routerlab.pricing.add_cost`.

    Returns
    -------
    Dataset
        ``prompts`` with ``dataset``; ``responses``; ``judgments`` of each model (``model_b``) against the baseline
        (``model_a``), with the judge's probability that the model's output is the better one in ``preference``;
        ``outcomes``. Baseline: 'gpt4_1106_preview'.

    Warns
    -----
    UnknownPriceWarning
        Naming the models that have no price, whose ``cost_usd`` stays empty: `routerlab.pivot_outcomes` then drops
        every prompt. Choose `models` that have one, or give `prices`.

    Raises
    ------
    DataFileError
        A file that is absent with no network, or is not what was published.
    TableError
        An unknown model.

    Notes
    -----
    ``quality`` is the win probability against GPT-4 Turbo's output, hence 0.5 for the baseline itself by definition: it
    compares models on one prompt, and says nothing of how good an output is. ``winner`` is the more probable one, 'tie'
    at exactly 0.5.

    ``cost_usd`` is an estimate: characters / 4 as tokens, at the list prices of March 2024.

    References
    ----------
    Dubois et al. (2024), Length-controlled AlpacaEval, https://arxiv.org/abs/2404.04475

    Examples
    --------
    >>> alpaca = fetch_alpaca_eval(["claude-2.1", "gpt-3.5-turbo-1106"])  # doctest: +SKIP
    >>> alpaca.judgments.groupby("model_b")["preference"].mean()  # doctest: +SKIP
    """
    files = _chosen(models)
    texts = read_published(list(files.values()), "AlpacaEval")
    tables = {m: _read(text, m, file) for text, (m, file) in zip(texts, files.items(), strict=True)}
    first = next(iter(tables.values()))
    prompts = first[["prompt", "dataset"]]
    for model, table in tables.items():
        if not table["prompt"].equals(first["prompt"]) or not table["output_1"].equals(first["output_1"]):
            raise malformed(files[model], "its prompts or baseline outputs are not those of the other files")
    both = pd.concat(tables.values())
    outputs = {BASELINE: first["output_1"], **{m: t["output_2"] for m, t in tables.items()}}
    win = {BASELINE: pd.Series(0.5, index=first.index), **{m: t["preference"] for m, t in tables.items()}}
    responses = _responses(outputs, prompts["prompt"], prices)
    outcomes = responses[["prompt_id", "model", "cost_usd"]].assign(quality=pd.concat(win.values()).to_numpy())
    judgments = _judgments(both)
    commit = next(iter(files.values())).commit
    note = f"cost_usd is an estimate: tokens = characters / 4, list prices of {PRICED_ON:%B %Y}"
    stamp(
        f"published: AlpacaEval 2 (tatsu-lab/alpaca_eval@{commit[:7]}); cost_usd estimated from list prices",
        *(prompts, responses, judgments, outcomes),
        cost_note=note,
    )
    n_missing = int(both["preference"].isna().sum())
    return Dataset(
        "AlpacaEval 2",
        prompts,
        responses,
        judgments,
        outcomes,
        baseline=BASELINE,
        description="Outputs and GPT-4 Turbo's with a judge's preference; quality is the win probability against it",
        source=f"https://github.com/tatsu-lab/alpaca_eval/tree/{commit}/results",
        licence="code Apache-2.0, data CC BY-NC 4.0",
        citation="Dubois et al. (2024), Length-controlled AlpacaEval, arXiv:2404.04475",
        notes=[note, *([f"{n_missing:,} preferences are missing: no judgment, empty quality"] if n_missing else [])],
    )


def _chosen(models: Iterable[str] | None) -> dict[str, PublishedFile]:
    files = {file.path.split("/")[1]: file for file in in_folder(FOLDER, "annotations.json")}
    names = list(files) if models is None else [models] if isinstance(models, str) else list(dict.fromkeys(models))
    if not names:
        refuse("'models'", "is empty.", "Name at least one model, or leave it unset for all.")
    return {name: files[check_model(name, files, "models")] for name in names}


def _read(text: str, model: str, file: PublishedFile) -> pd.DataFrame:
    """One row for each prompt, in published order; ``preference`` as the probability that the model is better."""
    keys = ["instruction", "output_1", "output_2", "generator_1", "generator_2", "dataset", "preference", "annotator"]
    frame = pd.DataFrame(json_array(text, file, keys))[keys].rename(columns={"instruction": "prompt"})
    for column, expected in (("generator_1", BASELINE), ("generator_2", model)):
        if not (frame[column] == expected).all():
            raise malformed(
                file, f"{column!r} should be {expected!r} in every row, got {shown(frame[column].unique())}"
            )
    published = frame["preference"]
    frame["preference"] = pd.to_numeric(published, errors="coerce").astype(float) - 1.0
    bad = published.notna() & ~frame["preference"].between(0.0, 1.0)
    if bad.any():
        raise malformed(file, f"'preference' should be 1 to 2 or empty, got {shown(published[bad])}")
    frame.index = pd.Index([f"alpaca_eval/{row}" for row in range(len(frame))], name="prompt_id")
    return frame


def _responses(outputs: dict[str, pd.Series], prompts: pd.Series, prices: Prices | None) -> pd.DataFrame:
    frame = pd.concat(outputs, names=["model", "prompt_id"]).rename("response").reset_index()
    frame["input_tokens"] = estimate_tokens(prompts).reindex(frame["prompt_id"]).to_numpy()
    frame["output_tokens"] = estimate_tokens(frame["response"])
    own: dict[str, Any] = dict(LISTED_AS)
    if prices is not None:
        own |= own_prices(prices)
    return add_cost(frame, own, on=PRICED_ON)


def _judgments(both: pd.DataFrame) -> pd.DataFrame:
    preference = both["preference"]
    frame = pd.DataFrame(
        {
            "model_a": both["generator_1"],
            "model_b": both["generator_2"],
            "winner": np.select([preference > 0.5, preference < 0.5], ["model_b", "model_a"], "tie"),
            "preference": preference,
            "judge": both["annotator"],
        }
    )
    return frame[preference.notna()].reset_index()
