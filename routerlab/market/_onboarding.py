"""A new model arrives: which prompts to ask it, what the router makes of the answers, and what the model is worth."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from sklearn.linear_model import RidgeCV

from routerlab.decision import check_wtp, decide
from routerlab.neighbors import nearest
from routerlab.routers import KNNRouter
from routerlab.schema import check_outcomes, provenance_of, reject, shown
from routerlab.stats import check_confidence, t_interval

Floats = NDArray[np.float64]
N_FOLDS = 5
FEWEST = 10  # probes
PENALTIES = np.logspace(-1, 4, 26)


@dataclass(frozen=True, repr=False)
class Onboarding:
    """A router that knows a new model, and what each of its models is worth, from `add_model`.

    Attributes
    ----------
    router : KNNRouter
        A copy with one model more.
    model : str
        Its name.
    worth : DataFrame of shape (n_models, ...)
        For each model: ``worth`` with ``low``, ``high``: value of choosing among all, less without it; its parts
        ``quality_gain`` and ``saving_usd`` per request; ``share`` of prompts that go to it.
    unit : str
        Of `worth`.
    n_probes : int
        Prompts that the new model answered.
    estimated : float
        Share of its cells in the router that are estimates.
    confidence : float
        Of the intervals.
    provenance : str, optional
        Of the tables.
    """

    router: KNNRouter
    model: str
    worth: pd.DataFrame
    unit: str
    n_probes: int
    estimated: float
    confidence: float
    provenance: str | None

    def __repr__(self) -> str:
        """Say what each model is worth, the new one first."""
        lines = []
        for name, row in self.worth.iterrows():
            what = "adding" if name == self.model else "keeping"
            ends = f"[{row.low:+,.3g}, {row.high:+,.3g}]"
            lines.append(f"{what} {name}: {row.worth:+,.3g} {ends} {self.unit}; takes {row.share:.0%}")
        lines.append(
            f"{self.confidence:.0%} intervals; {self.n_probes} probes; {self.estimated:.0%} of the new model's cells "
            "are estimates"
        )
        return "\n".join([*lines, *([self.provenance] if self.provenance else [])])


def probe_prompts(router: KNNRouter, n_probes: int = 100, *, random_state: Any = 0) -> pd.DataFrame:
    """Choose the prompts to ask a new model: spread over the embedding, and over how its rivals did.

    Parameters
    ----------
    router : KNNRouter
        Fitted on the rivals; the probes are some of its training prompts.
    n_probes : int, default 100
        On RouterBench, CRUX and MMLU, 100 lost at most a fifth of what full data gains, and 50 more on RouterBench: see
        ``benchmarks/README.md``.
    random_state : int, Generator or None, default 0
        Seed.

    Returns
    -------
    DataFrame of shape (n_probes, 2)
        Indexed by prompt_id: ``weight``, how many prompts each stands for, and ``disagreement``, the standard deviation
        of its rivals' quality.

    Notes
    -----
    Prompts are clustered (k-means) by embedding and by the rivals' outcomes together, and one is drawn from each
    cluster. Where rivals disagree there are more clusters, since outcomes differ more there; where all agree, one
    answer says much about the rest. Drawing keeps every prompt's chance above 0, so weighted means stay honest.

    Examples
    --------
    >>> X = np.eye(20, dtype=np.float32)
    >>> quality = pd.DataFrame({"small": [0, 1] * 10, "large": 1}, index=[f"p{k}" for k in range(20)])
    >>> cost = pd.Series({"small": 0.001, "large": 0.01})
    >>> router = KNNRouter(n_neighbors=3).fit(pd.DataFrame(X, index=quality.index), quality, cost=cost)
    >>> probes = probe_prompts(router, 10)
    >>> len(probes), probes["weight"].sum()
    (10, np.float64(20.0))
    """
    embeddings, quality, index = _rivals(router)
    if isinstance(n_probes, bool) or not isinstance(n_probes, (int, np.integer)) or not 1 <= n_probes <= len(index):
        msg = f"'n_probes' must be between 1 and the router's {len(index)} training prompts. Got {n_probes!r} instead."
        raise ValueError(msg)
    rng = np.random.default_rng(random_state)
    filled = np.where(np.isnan(quality), np.nanmean(quality, axis=0), quality)
    # Outcomes weigh as much as the embedding, however many rivals there are.
    space = np.column_stack([embeddings, (filled - filled.mean(axis=0)) * np.sqrt(10 / quality.shape[1])])
    seen = space if len(space) <= 4000 else space[rng.choice(len(space), 4000, replace=False)]
    seed = int(rng.integers(2**31))
    n_distinct = len(np.unique(seen, axis=0))
    means = KMeans(min(n_probes, n_distinct), n_init=1, max_iter=20, random_state=seed).fit(seen)
    cluster = means.predict(space)
    drawn = np.array([rng.choice(np.flatnonzero(cluster == c)) for c in np.unique(cluster)])
    weight = np.bincount(cluster)[cluster[drawn]].astype(float)
    if len(drawn) < n_probes:  # copies share a cluster: fill up at random, so that as many come as were asked for
        more = rng.choice(np.setdiff1d(np.arange(len(space)), drawn), n_probes - len(drawn), replace=False)
        drawn = np.concatenate([drawn, more])
        size = np.bincount(cluster[drawn], minlength=cluster.max() + 1)
        weight = np.bincount(cluster)[cluster[drawn]] / size[cluster[drawn]]
    table = pd.DataFrame({"weight": weight, "disagreement": filled[drawn].std(axis=1)}, index=index[drawn])
    return table.rename_axis("prompt_id")


def add_model(
    router: KNNRouter,
    outcomes: pd.DataFrame,
    *,
    probes: pd.DataFrame | None = None,
    willingness_to_pay: float | None = None,
    confidence: float = 0.95,
) -> Onboarding:
    """Let a router learn a new model from a few probes, and say what the model is worth.

    Parameters
    ----------
    router : KNNRouter
        Fitted on the other models. It is left as it is.
    outcomes : DataFrame
        ``prompt_id, model, quality, cost_usd`` of the new model alone, on some of the router's training prompts.
    probes : DataFrame, optional
        From `probe_prompts`: how many prompts each stands for. By default all count the same.
    willingness_to_pay : float, optional
        USD per unit of quality and request at which worth is reckoned; by default the router's.
    confidence : float, default 0.95
        Of the intervals.

    Returns
    -------
    Onboarding

    Raises
    ------
    TableError
        More than one model, one that the router knows already, prompts that it does not know, or too few.

    Notes
    -----
    The new model's missing cells are estimated from what is known of its rivals there: a ridge regression of its probes
    on the rivals' outcomes on the prompt itself and around it, which starts from the rivals' mean (shifted by the new
    model's own) and moves towards the rivals that it errs alike with, as far as the probes bear it out. That is the
    idea of UniRoute's error vectors. Measured cells stay as measured. Cost is the rivals' mean on that prompt, scaled.

    Worth of the new model is the estimate over all training prompts, corrected by how far it was off on the probes that
    the regression had not seen (5 folds). Its interval is somewhat too narrow: at 95% it held what the model brought to
    other prompts in 51 of 60 simulations, since the router was chosen on the same prompts. Worth of the others is
    measured, each prompt by its neighbours, itself left out. All are in-pool figures: a model that others can replace
    is worth little, however good it is.

    References
    ----------
    Jitkrittum et al. (2025), Universal Model Routing for Efficient LLM Inference, arXiv:2502.08773.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> X = pd.DataFrame(rng.normal(size=(200, 4)), index=pd.Index(range(200), name="prompt_id"))
    >>> quality = pd.DataFrame({"small": (X[0] > 0) * 1.0, "large": 0.8})
    >>> router = KNNRouter(20, willingness_to_pay=0.1).fit(X, quality, cost=pd.Series({"small": 0.001, "large": 0.01}))
    >>> probes = probe_prompts(router, 50)
    >>> asked = pd.DataFrame({"prompt_id": probes.index, "model": "new", "quality": 0.9, "cost_usd": 0.002})
    >>> found = add_model(router, asked, probes=probes)
    >>> list(found.router.models_), bool(found.worth.loc["new", "low"] > 0)
    (['small', 'large', 'new'], True)
    """
    check_confidence(confidence)
    embeddings, quality, index = _rivals(router)
    wtp = check_wtp(router.willingness_to_pay if willingness_to_pay is None else willingness_to_pay)
    model, rows, y, usd = _asked(outcomes, router.models_, index)
    weight = np.ones(len(rows))
    if probes is not None:
        known = probes["weight"].reindex(index[rows])
        if known.isna().any():
            reject(
                "'probes'",
                f"has no weight of prompt {shown(known.index[known.isna()])}.",
                "Pass those that were drawn.",
            )
        weight = known.to_numpy(dtype=float)
    weight = weight / weight.mean()
    cost = np.broadcast_to(router.cost_, quality.shape) if router.cost_.ndim == 1 else router.cost_
    neighbors = _others(embeddings, router)
    around = _mean_around(quality, neighbors)
    quality, cost = (np.where(np.isnan(t), _mean_around(t, neighbors), t) for t in (quality, cost))
    column = _impute(quality, around, rows, y)
    price = cost.mean(axis=1) * (usd.sum() / max(cost[rows].mean(axis=1).sum(), 1e-300))
    price[rows] = usd
    measured = column.copy()
    measured[rows] = y
    grown = _grown(router, model, measured, price, provenance_of(outcomes))
    pool = _Pool(
        np.column_stack([quality, column]),
        np.column_stack([cost, price]),
        np.column_stack([around, _mean_around(measured[:, None], neighbors)]),
        np.column_stack([_mean_around(cost, neighbors), _mean_around(price[:, None], neighbors)]),
        wtp,
    )
    unseen = _unseen(quality, around, rows, y, neighbors)
    worth = {model: _worth_of_new(pool, rows, y, unseen, weight, confidence)}
    for place, name in enumerate(router.models_):
        parts = pool.without(place)
        worth[str(name)] = _summary(parts, *t_interval(parts[0], confidence=confidence), pool.share(place))
    unit = "points of quality" if np.isinf(wtp) else "USD per 1,000 requests"
    table = pd.DataFrame.from_dict(worth, orient="index").rename_axis("model")
    table[["worth", "low", "high"]] *= 100 if np.isinf(wtp) else 1000
    return Onboarding(grown, model, table, unit, len(rows), 1 - len(rows) / len(index), confidence, grown.provenance_)


def _rivals(router: Any) -> tuple[NDArray[np.float32], Floats, pd.Index]:
    if not isinstance(router, KNNRouter) or not hasattr(router, "quality_"):
        what = "is not fitted" if isinstance(router, KNNRouter) else f"is a {type(router).__name__}"
        reject("'router'", f"{what}.", "Pass a fitted KNNRouter: it keeps the prompts that a new model is compared on.")
    return router.embeddings_, router.quality_, router.index_


def _asked(outcomes: Any, models: pd.Index, index: pd.Index) -> tuple[str, NDArray[np.intp], Floats, Floats]:
    """Name of the new model, positions of its probes, their quality and cost."""
    table = check_outcomes(outcomes).dropna(subset=["quality", "cost_usd"])
    names = table["model"].unique()
    if len(names) != 1:
        reject("outcomes of the probes", f"hold models {shown(names)}.", "Add one model at a time.")
    if names[0] in models:
        reject("outcomes of the probes", f"are of {names[0]!r}, which the router knows.", "Fit the router again.")
    rows = index.get_indexer(table["prompt_id"])
    if (rows < 0).any():
        odd = table["prompt_id"][rows < 0]
        reject("outcomes of the probes", f"name prompt {shown(odd)}, unknown to the router.", "See probe_prompts.")
    if len(rows) < FEWEST:
        reject("outcomes of the probes", f"hold {len(rows)} prompts.", f"Ask at least {FEWEST}, better 100.")
    return str(names[0]), rows, table["quality"].to_numpy(dtype=float), table["cost_usd"].to_numpy(dtype=float)


def _others(embeddings: NDArray[np.float32], router: KNNRouter) -> tuple[NDArray[np.intp], Floats]:
    """Each training prompt's neighbours without itself, and their weights."""
    k = min(router.n_neighbors_, len(embeddings) - 1)
    similarity, found = nearest(embeddings, embeddings, k + 1)
    own = found == np.arange(len(embeddings))[:, None]
    own[~own.any(axis=1), -1] = True  # among copies, the prompt itself may not have come first
    keep = ~own
    neighbor = found[keep].reshape(len(found), k)
    return neighbor, router._weigh(similarity[keep].reshape(len(found), k))


def _mean_around(values: Floats, neighbors: tuple[NDArray[np.intp], Floats]) -> Floats:
    """Weighted mean of the neighbours' rows, missing cells left out, of shape (n_prompts, n_columns)."""
    neighbor, weight = neighbors
    columns = []
    for column in values.T:
        near = column[neighbor]
        known = ~np.isnan(near)
        total = (weight * known).sum(axis=1)
        mean = (weight * np.where(known, near, 0.0)).sum(axis=1) / np.maximum(total, 1e-12)
        columns.append(np.where(total > 1e-12, mean, np.nanmean(column)))
    return np.column_stack(columns)


def _impute(quality: Floats, around: Floats, rows: NDArray[np.intp], y: Floats) -> Floats:
    """Estimate the new model's quality on every prompt from its rivals' there and around."""
    start = (quality.mean(axis=1) + around.mean(axis=1)) / 2
    features = np.column_stack([around, quality])
    scale = features[rows].std(axis=0)
    features = (features - features[rows].mean(axis=0)) / np.where(scale > 1e-9, scale, 1.0)
    fitted = RidgeCV(PENALTIES).fit(features[rows], y - start[rows])
    return np.clip(start + fitted.predict(features), 0.0, 1.0)


def _unseen(
    quality: Floats, around: Floats, rows: NDArray[np.intp], y: Floats, neighbors: tuple[NDArray[np.intp], Floats]
) -> tuple[Floats, Floats]:
    """For each probe, its estimate and that around it, from a regression that has not seen it."""
    fold = np.random.default_rng(0).permutation(len(rows)) % N_FOLDS
    own, near = np.empty(len(rows)), np.empty(len(rows))
    for part in range(N_FOLDS):
        test, learn = fold == part, fold != part
        column = _impute(quality, around, rows[learn], y[learn])
        own[test] = column[rows[test]]
        neighbor, weight = (table[rows[test]] for table in neighbors)
        near[test] = (weight * column[neighbor]).sum(axis=1)
    return own, near


@dataclass(frozen=True)
class _Pool:
    """Quality and cost of all models on all training prompts, as they are and as the router expects them."""

    quality: Floats
    cost: Floats
    expected_quality: Floats
    expected_cost: Floats
    wtp: float

    def chosen(self, without: int | None = None, expected: Floats | None = None) -> NDArray[np.intp]:
        """Positions chosen, with one model left out."""
        quality = (self.expected_quality if expected is None else expected).copy()
        cost = self.expected_cost
        if without is not None:
            keep = np.arange(quality.shape[1]) != without
            return np.flatnonzero(keep)[decide(quality[:, keep], cost[:, keep], self.wtp)]
        return decide(quality, cost, self.wtp)

    def value(self, quality_gain: Floats, saving: Floats) -> Floats:
        """USD a request, or quality where willingness to pay is infinite."""
        return quality_gain if np.isinf(self.wtp) else quality_gain * self.wtp + saving

    def difference(
        self, ours: NDArray[np.intp], theirs: NDArray[np.intp], quality: Floats
    ) -> tuple[Floats, Floats, Floats]:
        """Value, quality and saving of one set of choices less another."""
        row = np.arange(len(ours))
        gain = quality[row, ours] - quality[row, theirs]
        saving = self.cost[row, theirs] - self.cost[row, ours]
        return self.value(gain, saving), gain, saving

    def without(self, place: int) -> tuple[Floats, Floats, Floats]:
        """Value, quality and saving that a model brings, prompt by prompt."""
        return self.difference(self.chosen(), self.chosen(place), self.quality)

    def share(self, place: int) -> float:
        """Share of prompts that go to a model."""
        return float((self.chosen() == place).mean())


def _worth_of_new(
    pool: _Pool, rows: NDArray[np.intp], y: Floats, unseen: tuple[Floats, Floats], weight: Floats, confidence: float
) -> dict[str, float]:
    """Difference estimator: the mean over all prompts, plus how far the probes were from it when unseen."""
    new = pool.quality.shape[1] - 1
    parts = pool.without(new)
    guess, near = unseen
    expected = pool.expected_quality.copy()
    expected[rows, new] = near
    ours, theirs = pool.chosen(expected=expected), pool.chosen(new)
    truth, estimate = pool.quality.copy(), pool.quality.copy()
    truth[rows, new], estimate[rows, new] = y, guess
    off = [
        (real - believed)[rows] * weight
        for real, believed in zip(
            pool.difference(ours, theirs, truth), pool.difference(ours, theirs, estimate), strict=True
        )
    ]
    parts = tuple(part + error.mean() for part, error in zip(parts, off, strict=True))  # type: ignore[assignment]
    mean, low, high = t_interval(parts[0], confidence=confidence)
    _, below, above = t_interval(off[0], confidence=confidence)
    half = float(np.hypot(high - mean, (above - below) / 2))
    return _summary(parts, mean, mean - half, mean + half, pool.share(new))


def _summary(
    parts: tuple[Floats, Floats, Floats], mean: float, low: float, high: float, share: float
) -> dict[str, float]:
    gains = {"quality_gain": float(parts[1].mean()), "saving_usd": float(parts[2].mean())}
    return {"worth": mean, "low": low, "high": high, **gains, "share": share}


def _grown(router: KNNRouter, model: str, quality: Floats, cost: Floats, note: str | None) -> KNNRouter:
    grown = copy.copy(router)
    grown.quality_ = np.column_stack([router.quality_, quality])
    if router.cost_.ndim == 1:
        grown.cost_ = np.append(router.cost_, cost.mean())
    else:
        grown.cost_ = np.column_stack([router.cost_, cost])
    grown.models_ = router.models_.append(pd.Index([model], dtype=router.models_.dtype, name=router.models_.name))
    notes = [n for text in (router.provenance_, note) for n in str(text or "").split("; ") if n]
    grown.provenance_ = "; ".join([*dict.fromkeys(notes), f"estimated: quality of {model} outside its probes"])
    return grown
