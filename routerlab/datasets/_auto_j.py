"""Auto-J: user queries in 59 intents, and human verdicts on pairs of responses."""

from typing import Any

import pandas as pd

from routerlab.datasets._dataset import Dataset, stamp
from routerlab.datasets._files import json_lines, malformed, read_published, registry
from routerlab.schema import check_choice, shown

REPOSITORY = "GAIR-NLP/auto-j"
INTENTS = f"{REPOSITORY}/other_resources/scenario_classifier_data/traindata.jsonl"
PAIRS = f"{REPOSITORY}/data/test/testdata_pairwise.jsonl"
WINNERS = {0: "model_a", 1: "model_b", 2: "tie"}


def fetch_auto_j(kind: str = "intents") -> Dataset:
    """Fetch Auto-J: 2,383 queries labelled with 59 intents, or 1,392 human verdicts on two responses.

    Read from the folder that ``ROUTERLAB_DATA`` names (laid out ``<owner>/<repository>/<path>``) if it holds the
    file, else from the cache, else downloaded into the cache (3 MB and 4 MB).

    Parameters
    ----------
    kind : {'intents', 'pairs'}, default 'intents'
        'intents': ``prompts`` with ``intent`` (the categories that Pulze's router uses); a query's input, where it
        has one, follows its instruction on a new line.
        'pairs': ``prompts`` with ``intent``, ``responses`` and ``judgments`` of people.

    Returns
    -------
    Dataset
        Without outcomes: nothing here is costed.

    Raises
    ------
    DataFileError
        A file that is absent with no network, or is not what was published.
    ValueError
        An unknown kind.

    Notes
    -----
    The responses of a pair come from models that the file does not name, other ones from pair to pair: 'response_1'
    and 'response_2' are places, not models. They measure how well a judge agrees with people, and rate nothing.

    Each pair has a ``prompt_id`` of its own although some prompts appear in several pairs; ``same_prompt_as`` holds
    the ``prompt_id`` of a prompt's first appearance. Group by it when a split must not leak.

    References
    ----------
    Li et al. (2023), Auto-J, https://arxiv.org/abs/2310.05470

    Examples
    --------
    >>> fetch_auto_j("intents").prompts["intent"].nunique()  # doctest: +SKIP
    59
    """
    readers = {"intents": _intents, "pairs": _pairs}
    check_choice(kind, readers, "kind", "fetch_auto_j")
    key, description = {
        "intents": (INTENTS, "User queries labelled with 59 intents, the taxonomy of Pulze's intent router"),
        "pairs": (PAIRS, "Two unnamed responses to a query, with a human verdict and the query's intent"),
    }[kind]
    file = registry()[key]
    return readers[kind](
        read_published([file], f"Auto-J {kind}")[0],
        description=description,
        source=f"https://github.com/{REPOSITORY}/blob/{file.commit}/{file.path}",
        licence=f"see https://github.com/{REPOSITORY}",
        citation="Li et al. (2023), Generative Judge for Evaluating Alignment, arXiv:2310.05470",
    )


def _provenance(kind: str) -> str:
    return f"published: Auto-J, {kind} ({REPOSITORY}@{registry()[INTENTS].commit[:7]})"


def _intents(text: str, **about: Any) -> Dataset:
    records = json_lines(text, registry()[INTENTS], ["category", "instruction", "input"])
    prompts = pd.DataFrame(
        {
            "prompt": ["\n".join(part for part in (r["instruction"], r["input"]) if part) for r in records],
            "intent": [r["category"] for r in records],
        },
        index=pd.Index([f"auto_j/query/{row}" for row in range(len(records))], name="prompt_id"),
    )
    stamp(_provenance("intents"), prompts)
    return Dataset("Auto-J intents", prompts, **about)


def _pairs(text: str, **about: Any) -> Dataset:
    file = registry()[PAIRS]
    records = pd.DataFrame(json_lines(text, file, ["scenario", "label", "prompt", "response 1", "response 2"]))
    unknown = ~records["label"].isin(WINNERS)
    if unknown.any():
        raise malformed(file, f"'label' should be 0, 1 or 2, got {shown(records.loc[unknown, 'label'].unique())}")
    records.index = pd.Index([f"auto_j/pair/{row}" for row in range(len(records))], name="prompt_id")
    first = pd.Series(records.index, index=records["prompt"].to_numpy()).groupby(level=0, sort=False).first()
    prompts = pd.DataFrame({"prompt": records["prompt"], "intent": records["scenario"]})
    prompts["same_prompt_as"] = first.reindex(records["prompt"]).to_numpy()
    places = {f"response_{n}": records[f"response {n}"] for n in (1, 2)}
    responses = pd.concat(places, names=["model", "prompt_id"]).rename("response").reset_index()
    judgments = pd.DataFrame(
        {
            "prompt_id": records.index,
            "model_a": "response_1",
            "model_b": "response_2",
            "winner": records["label"].map(WINNERS).to_numpy(),
            "judge": "human",
        }
    )
    stamp(_provenance("pairs"), prompts, responses, judgments)
    return Dataset(
        "Auto-J pairs",
        prompts,
        responses,
        judgments,
        notes=["'response_1' and 'response_2' are places, not models: the models behind them are not named"],
        **about,
    )
