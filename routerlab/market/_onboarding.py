"""A new model arrives: which prompts to ask it, what the router makes of the answers, and what the model is worth."""

from __future__ import annotations

import copy
import inspect
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.cluster import KMeans
from sklearn.linear_model import RidgeCV

from routerlab.decision import check_wtp, decide
from routerlab.neighbors import nearest
from routerlab.routers import BaseRouter, IntentRouter, KNNRouter
from routerlab.schema import check_outcomes, provenance_of, reject, shown
from routerlab.stats import check_confidence, t_interval

Floats = NDArray[np.float64]
N_FOLDS = 10
FEWEST = 10  # probes
PENALTIES = np.logspace(-1, 4, 26)


@dataclass(frozen=True, repr=False)
class Onboarding:
    """A router that knows a new model, and what each of its models is worth, from `add_model`.

    Attributes
    ----------
    router : router
        A copy of the same kind with one model more.
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

    router: BaseRouter
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
        if not isinstance(self.router, KNNRouter):
            lines.append("worth as a KNNRouter on the same prompts would get it")
        return "\n".join([*lines, *([self.provenance] if self.provenance else [])])


def probe_prompts(
    router: BaseRouter,
    n_probes: int = 100,
    *,
    X: Any = None,
    quality: Any = None,
    cost: Any = None,
    random_state: Any = 0,
) -> pd.DataFrame:
    """Choose the prompts to ask a new model: spread over the embedding, and over how its rivals did.

    Parameters
    ----------
    router : KNNRouter or another
        Fitted on the rivals; the probes are some of its training prompts.
    n_probes : int, default 100
        On RouterBench, CRUX and MMLU, 100 lost at most a quarter of what full data gains, and 50 more on RouterBench:
        see ``benchmarks/README.md``.
    X, quality, cost : optional
        What the router was fitted on; only a KNNRouter keeps it.
    random_state : int, Generator or None, default 0
        Seed.

    Returns
    -------
    DataFrame of shape (n_probes, 2)
        Indexed by prompt_id: ``weight``, how many prompts each stands for, and ``disagreement``, the standard deviation
        of its rivals' quality.

    Raises
    ------
    ValueError
        `n_probes` is not between 1 and the number of training prompts.

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
    pool = _kept(router, X, quality, cost)
    embeddings, quality, index = pool.embeddings_, pool.quality_, pool.index_
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
    router: BaseRouter,
    outcomes: pd.DataFrame,
    *,
    probes: pd.DataFrame | None = None,
    X: Any = None,
    quality: Any = None,
    cost: Any = None,
    willingness_to_pay: float | None = None,
    confidence: float = 0.95,
) -> Onboarding:
    """Let a router learn a new model from a few probes, and say what the model is worth.

    Parameters
    ----------
    router : KNNRouter or another
        Fitted on the other models. It is left as it is.
    outcomes : DataFrame
        ``prompt_id, model, quality, cost_usd`` of the new model alone, on some of the router's training prompts.
    probes : DataFrame, optional
        From `probe_prompts`: how many prompts each stands for. By default all count the same.
    X, quality, cost : optional
        What the router was fitted on: embeddings, and outcomes of the other models. A KNNRouter keeps them; any other
        that learns from measured quality (`routerlab.Router`, `routerlab.MeanRouter`, `routerlab.IntentRouter`) is
        fitted again on the completed tables.
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

    Worth is that to a KNNRouter on these prompts. It is reckoned as if each training prompt were a new one: prompts are
    left out by tenths, as probes and as neighbours, and the others choose for them. The new model's quality is an
    estimate where it was not asked; the mean over all prompts is corrected by how far estimates were off on the probes,
    which are left out in their turn (a difference estimator). The interval allows for other probes, which would have
    made another router: at 95% it held what the model brought to other prompts in 95% of 200 simulations, and in 99%
    where it is hardly ever chosen (``benchmarks/coverage_market.py``). A model that others can replace is worth little,
    however good it is.

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
    known = _kept(router, X, quality, cost)
    wtp = check_wtp(router.willingness_to_pay if willingness_to_pay is None else willingness_to_pay)
    model, rows, y, usd = _asked(outcomes, known.models_, known.index_)
    weight = np.ones(len(rows))
    if probes is not None:
        given = probes["weight"].reindex(known.index_[rows])
        if given.isna().any():
            odd = shown(given.index[given.isna()])
            reject("'probes'", f"has no weight of prompt {odd}.", "Pass those that were drawn.")
        weight = given.to_numpy(dtype=float)
    weight = weight / weight.mean()
    quality, cost = known.quality_, np.broadcast_to(known.cost_, known.quality_.shape)
    neighbors = _others(known)
    near = neighbors.nearest(known.n_neighbors_)
    around = _mean_around(quality, near)
    quality, cost = (np.where(np.isnan(t), _mean_around(t, near), t) for t in (quality, cost))
    price = cost.mean(axis=1) * (usd.sum() / max(cost[rows].mean(axis=1).sum(), 1e-300))
    price[rows] = usd
    measured = _impute(quality, around, rows, y)
    measured[rows] = y
    grown = _grown(known, model, measured, price, provenance_of(outcomes))
    pool = _cross_fit(quality, np.column_stack([cost, price]), rows, y, neighbors, known.n_neighbors_, wtp)
    order = [len(known.models_), *range(len(known.models_))]
    names = [model, *map(str, known.models_)]
    worth = {name: pool.worth(place, rows, weight, confidence) for name, place in zip(names, order, strict=True)}
    unit = "points of quality" if np.isinf(wtp) else "USD per 1,000 requests"
    table = pd.DataFrame.from_dict(worth, orient="index").rename_axis("model")
    table[["worth", "low", "high"]] *= 100 if np.isinf(wtp) else 1000
    estimated = 1 - len(rows) / len(known.index_)
    learnt = grown if known is router else _fitted_again(router, X, grown)
    return Onboarding(learnt, model, table, unit, len(rows), estimated, confidence, learnt.provenance_)


def _kept(router: Any, X: Any, quality: Any, cost: Any) -> KNNRouter:
    """Return the router itself if it keeps its training prompts, else a KNNRouter on what it was fitted on."""
    if not isinstance(router, BaseRouter) or not hasattr(router, "models_"):
        what = "is not fitted" if isinstance(router, BaseRouter) else f"is a {type(router).__name__}"
        reject("'router'", f"{what}.", "Pass a fitted router.")
    if X is None and quality is None and cost is None and isinstance(router, KNNRouter):
        return router
    name = type(router).__name__
    if "quality" not in inspect.signature(router.fit).parameters:
        reject("'router'", f"is a {name}: it learns from judgments.", "Judge the new model as well, and fit it again.")
    if X is None or quality is None or cost is None:
        reject(
            "'router'", f"is a {name}, which keeps no outcomes of its training prompts.",
            "Pass what it was fitted on: X=, quality=, cost=.",
        )  # fmt: skip
    known = KNNRouter(willingness_to_pay=router.willingness_to_pay).fit(X, quality, cost=cost)
    if set(known.models_) != set(router.models_):
        odd = shown(known.models_.symmetric_difference(router.models_))
        reject("'quality'", f"and the router differ in model {odd}.", "Pass what the router was fitted on.")
    if isinstance(router, IntentRouter) and not known.index_.equals(router.index_):
        reject("'X'", "has other prompts than the router.", "Pass what it was fitted on, in the same order.")
    return known


def _fitted_again(router: Any, X: Any, completed: KNNRouter) -> BaseRouter:
    """Fit a copy of the router on the tables that the KNNRouter holds."""
    tables = (pd.DataFrame(t, completed.index_, completed.models_) for t in (completed.quality_, completed.cost_))
    quality, cost = tables
    if isinstance(router, IntentRouter):
        grown = clone(router).fit(X, router.intents_, quality=quality, cost=cost)
    else:
        grown = clone(router).fit(X, quality, cost=cost)
    grown.provenance_ = completed.provenance_
    return grown


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


@dataclass(frozen=True)
class _Neighbors:
    """Each training prompt's neighbours without itself, from the nearest on: some more than count."""

    neighbor: NDArray[np.intp]  # (n_prompts, n_candidates)
    weight: Floats

    def nearest(self, k: int, allowed: NDArray[np.bool_] | None = None) -> tuple[NDArray[np.intp], Floats]:
        """Neighbours and weights of which the first k, of the prompts that are allowed, count; the others weigh 0."""
        kept = np.ones(self.neighbor.shape, dtype=bool) if allowed is None else allowed[self.neighbor]
        weight = self.weight * (kept & (kept.cumsum(axis=1) <= k))
        total = weight.sum(axis=1, keepdims=True)
        return self.neighbor, weight / np.where(total > 0, total, 1.0)


def _others(router: KNNRouter) -> _Neighbors:
    """Find some more neighbours than count, as a fold of them will be left out at a time."""
    embeddings = router.embeddings_
    k = min(router.n_neighbors_ * 5 // 4 + 10, len(embeddings) - 1)
    similarity, found = nearest(embeddings, embeddings, k + 1)
    own = found == np.arange(len(embeddings))[:, None]
    own[~own.any(axis=1), -1] = True  # among copies, the prompt itself may not have come first
    keep = ~own
    return _Neighbors(found[keep].reshape(len(found), k), router._weigh(similarity[keep].reshape(len(found), k)))


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


def _cross_fit(
    quality: Floats, cost: Floats, rows: NDArray[np.intp], y: Floats, neighbors: _Neighbors, k: int, wtp: float
) -> _Pool:
    """For each prompt, what a router would expect that has seen neither it nor its fold: as if it were a new prompt.

    Estimates that the prompt's own outcomes had a part in would make choices look better, or worse, than they are.
    """
    rng = np.random.default_rng(0)
    n_folds = min(N_FOLDS, len(rows))
    fold = rng.permutation(len(quality)) % n_folds
    fold[rows] = rng.permutation(len(rows)) % n_folds
    guess, expected = np.empty(len(quality)), np.empty((2, *cost.shape))
    by_fold = np.empty((n_folds, len(quality)))
    for part in range(n_folds):
        seen = fold != part
        near = neighbors.nearest(k, seen)
        learn = seen[rows]
        column = _impute(quality, _mean_around(quality, near), rows[learn], y[learn])
        guess[~seen] = column[~seen]
        column[rows[learn]] = y[learn]
        by_fold[part] = _mean_around(column[:, None], near)[:, 0]
        own = tuple(table[~seen] for table in near)
        for place, values in enumerate((np.column_stack([quality, column]), cost)):
            expected[place, ~seen] = _mean_around(values, own)  # type: ignore[arg-type]
    truth = guess.copy()
    truth[rows] = y
    return _Pool(
        np.column_stack([quality, guess]),
        np.column_stack([quality, truth]),
        cost,
        expected[0],
        expected[1],
        by_fold,
        wtp,
    )


@dataclass(frozen=True)
class _Pool:
    """Quality and cost of all models on all training prompts, and what a router expects that has not seen the prompt.

    The new model's quality is the last column: a guess everywhere, or measured on the probes and a guess elsewhere.
    """

    guessed: Floats
    measured: Floats
    cost: Floats
    expected_quality: Floats
    expected_cost: Floats
    by_fold: Floats  # (n_folds, n_prompts): what is expected of the new model with one fold of the probes left out
    wtp: float

    def chosen(self, without: int | None = None, new: Floats | None = None) -> NDArray[np.intp]:
        """Positions chosen, with one model left out, or with other expectations of the new one."""
        keep = np.arange(self.cost.shape[1]) != (-1 if without is None else without)
        quality = self.expected_quality if new is None else np.column_stack([self.expected_quality[:, :-1], new])
        found = decide(quality[:, keep], self.expected_cost[:, keep], self.wtp)
        return np.flatnonzero(keep)[found]

    def difference(self, ours: NDArray[np.intp], theirs: NDArray[np.intp], quality: Floats) -> Floats:
        """Value, quality and saving of one set of choices less another, of shape (3, n_prompts)."""
        row = np.arange(len(ours))
        gain = quality[row, ours] - quality[row, theirs]
        saving = self.cost[row, theirs] - self.cost[row, ours]
        value = gain if np.isinf(self.wtp) else gain * self.wtp + saving  # quality, or USD a request
        return np.stack([value, gain, saving])

    def worth(self, place: int, rows: NDArray[np.intp], weight: Floats, confidence: float) -> dict[str, float]:
        """Difference estimator: the mean of guesses over all prompts, plus how far the probes were from them."""
        ours = self.chosen()
        parts = self.difference(ours, theirs := self.chosen(place), self.guessed)
        off = (self.difference(ours, theirs, self.measured) - parts)[:, rows] * weight
        value, gain, saving = parts.mean(axis=1) + off.mean(axis=1)
        # Other probes would have made another router: the jackknife over folds says how much that matters.
        lots = np.array(
            [self.difference(self.chosen(None, e), self.chosen(place, e), self.guessed)[0].mean() for e in self.by_fold]
        )
        luck = _half(lots, confidence) * (len(lots) - 1)
        half = np.sqrt(sum(part**2 for part in (_half(parts[0], confidence), _half(off[0], confidence), luck)))
        ends = {"worth": value, "low": value - half, "high": value + half}
        return ends | {"quality_gain": gain, "saving_usd": saving, "share": float((ours == place).mean())}


def _half(values: Floats, confidence: float) -> float:
    mean, _, high = t_interval(values, confidence=confidence)
    return high - mean


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
