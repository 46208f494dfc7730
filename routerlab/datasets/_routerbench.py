"""RouterBench: scores and costs of eleven models on the same prompts."""

import os

import numpy as np
import pandas as pd

from routerlab.datasets._dataset import Dataset, long_table, stamp
from routerlab.datasets._files import PublishedFile, csv_table, in_folder, numbers, read_published, turns
from routerlab.schema import check_choice

FOLDER = "shuhao02/RouterDC/datasets/routerbench_zs"
MODELS = (
    "WizardLM/WizardLM-13B-V1.2",
    "claude-instant-v1",
    "claude-v1",
    "claude-v2",
    "gpt-3.5-turbo-1106",
    "gpt-4-1106-preview",
    "meta/code-llama-instruct-34b-chat",
    "meta/llama-2-70b-chat",
    "mistralai/mistral-7b-chat",
    "mistralai/mixtral-8x7b-chat",
    "zero-one-ai/Yi-34B-Chat",
)


def fetch_routerbench(split: str = "train", *, responses: bool = True) -> Dataset:
    """Fetch RouterBench, zero-shot: per-prompt score and cost of 11 models on ARC-Challenge, MBPP and WinoGrande.

    The files are those that RouterDC publishes, about 7 MB for 'train' and 3 MB for 'test'. They are read from the
    folder that ``ROUTERLAB_DATA`` names (laid out ``<owner>/<repository>/<path>``) if it holds them, else from the
    cache, else downloaded into the cache.

    Parameters
    ----------
    split : {'train', 'test'}, default 'train'
        RouterDC's own split. The bytes of the 'train' files are pinned by sha256. We have not seen the 'test' files
        whole: their commit is pinned, and their number of characters, columns and least number of rows are checked.
    responses : bool, default True
        Whether to keep each model's own answer, with its cost: what cascades are made of.

    Returns
    -------
    Dataset
        ``prompts`` (2,225 of 'train') with ``question``, ``dataset``, ``eval_name``, ``n_turns`` and ``sample_id``;
        ``responses``, each a letter or code in free text; ``outcomes`` with ``quality`` in [0, 1] and ``cost_usd`` in
        USD per request, as published.
        Baseline: 'gpt-4-1106-preview'.

    Raises
    ------
    DataFileError
        A file that is absent with no network, or is not what was published.
    ValueError
        An unknown split.

    Notes
    -----
    ``prompt`` is what the models got: ARC-Challenge and WinoGrande put the same five worked examples before every
    question, more than 1,200 characters. ``question`` is the prompt without them: embed that, since an embedding model
    that reads 256 tokens sees little else than the examples in ``prompt``.

    Prompts of several turns are joined by blank lines; eight prompts that stand twice in one cell are kept once. In
    'train', 20 prompts have no score for some model, and keep it empty: `routerlab.pivot_outcomes` drops them and says
    so. Seven ARC-Challenge questions appear in two rows with one ``sample_id``, one row scored for 'gpt-3.5-turbo-1106'
    only and one for the other ten models; the second gets '#2' after its ``prompt_id``.

    References
    ----------
    Hu et al. (2024), RouterBench, https://arxiv.org/abs/2403.12031

    Chen et al. (2024), RouterDC, https://arxiv.org/abs/2409.19886

    Examples
    --------
    >>> fetch_routerbench().outcomes.groupby("model")["quality"].mean()  # doctest: +SKIP
    """
    check_choice(split, ("train", "test"), "split", "fetch_routerbench")
    files = in_folder(FOLDER, f"_{split}.csv")
    texts = read_published(files, f"RouterBench {split}")
    frame = pd.concat([_read(text, file) for text, file in zip(texts, files, strict=True)], ignore_index=True)
    repeat = frame.groupby("sample_id").cumcount()
    ids = frame["sample_id"].where(repeat == 0, frame["sample_id"] + "#" + (repeat + 1).astype(str))
    frame.index = pd.Index(ids, name="prompt_id")
    quality, cost, response = (
        frame[[f"{model}|{what}" for model in MODELS]] for what in ("quality", "total_cost", "model_response")
    )
    said = long_table(frame.index, MODELS, response=response, cost_usd=cost)
    outcomes = long_table(frame.index, MODELS, quality=quality, cost_usd=cost)
    prompts = frame[["prompt", "question", "dataset", "eval_name", "n_turns", "sample_id"]]
    stamp(f"published: RouterBench, {split} (shuhao02/RouterDC@{files[0].commit[:7]})", prompts, said, outcomes)
    n_partial = int(quality.isna().any(axis=1).sum())
    return Dataset(
        f"RouterBench ({split})",
        prompts,
        said if responses else None,
        outcomes=outcomes,
        baseline="gpt-4-1106-preview",
        description="Zero-shot score and USD cost of 11 models on ARC-Challenge, MBPP and WinoGrande",
        source=f"https://github.com/shuhao02/RouterDC/tree/{files[0].commit}/datasets/routerbench_zs",
        licence="MIT (RouterBench)",
        citation="Hu et al. (2024), RouterBench, arXiv:2403.12031; Chen et al. (2024), RouterDC, arXiv:2409.19886",
        notes=[
            f"{n_partial:,} prompts have no score for some model",
            f"{int((repeat > 0).sum()):,} questions appear twice, each scored for other models ('#2' after the id)",
        ],
    )


def _read(text: str, file: PublishedFile) -> pd.DataFrame:
    """One file, typed; scores under ``<model>|quality``."""
    suffixes = ("", "|model_response", "|total_cost")
    columns = ["sample_id", "prompt", "eval_name", *(f"{m}{s}" for s in suffixes for m in MODELS)]
    raw = csv_table(text, file, columns)
    # Eight lists of ARC-Challenge hold one text twice: a copy, not a second turn.
    lists = turns(raw["prompt"], file).map(lambda texts: texts[:1] if len(set(texts)) == 1 else texts)
    prompt = lists.map("\n\n".join)
    parts = {
        "sample_id": raw["sample_id"],
        "prompt": prompt,
        "question": prompt.str[_shared_examples(prompt) :],
        "dataset": file.path.rsplit("/", 1)[-1].rsplit("_", 1)[0],
        "eval_name": raw["eval_name"],
        "n_turns": lists.map(len).astype(np.int64),
    }
    for model in MODELS:
        parts[f"{model}|quality"] = numbers(raw[model], file)
        parts[f"{model}|total_cost"] = numbers(raw[f"{model}|total_cost"], file)
        parts[f"{model}|model_response"] = turns(raw[f"{model}|model_response"], file).map("\n\n".join)
    return pd.DataFrame(parts)


def _shared_examples(prompts: pd.Series) -> int:
    """Length of the blocks, up to a blank line, with which all of several prompts begin."""
    shared = os.path.commonprefix(list(prompts)) if len(prompts) > 1 else ""
    return shared.rfind("\n\n") + 2 if "\n\n" in shared else 0
