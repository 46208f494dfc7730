"""Ask, check, escalate: what cheap answers tell, on CRUX, ARC, MATH and WinoGrande; cost on RouterBench; speed.

python benchmarks/cascades.py [apgr|probes|routerbench|grid|speed ...] [CRUX|ARC ...]    needs ROUTERLAB_DATA

Every prompt is judged by routers and checks that have not seen it: 5 outer folds, copies in one, seed 0, and folds
inside for what learns from estimates. Features were chosen with seeds 1 to 3.
"""

from __future__ import annotations

import itertools
import sys
import time
import warnings
from typing import Any

import numpy as np
import pandas as pd
from figures import record

import routerlab as rl
from routerlab.decision import Sweep, sweep_arrays
from routerlab.embedding import join_embeddings
from routerlab.model_selection import copy_codes, grouped_folds
from routerlab.options import (
    CascadeRouter,
    Joint,
    LearnedCheck,
    agreement,
    answer_features,
    cross_cascades,
    extract_answers,
)
from routerlab.stats import percentile_interval, resample_counts

BASELINE = "gpt-4-1106-preview"
YI, MIXTRAL, GPT35 = "zero-one-ai/Yi-34B-Chat", "mistralai/mixtral-8x7b-chat", "gpt-3.5-turbo-1106"
MINI, SONNET, HAIKU = "gpt-4o-mini-2024-07-18", "claude-3-5-sonnet-20241022", "claude-3-haiku-20240307"
LLAMA, QWEN, GPT35_0125 = "Meta-Llama-3.1-8B-Instruct", "Qwen2.5-7B-Instruct", "gpt-3.5-turbo-0125"
CHEAP = (
    YI, MIXTRAL, GPT35, "claude-instant-v1", "mistralai/mistral-7b-chat", "meta/llama-2-70b-chat", "claude-v1",
)  # fmt: skip
# Data set: how answers are read, weak, strong, the second cheap model, and further ones.
SETS: dict[str, tuple[str, str, str, str, list[str]]] = {
    "CRUX": ("answer", MINI, SONNET, HAIKU, [QWEN, LLAMA, GPT35_0125]),
    "ARC": ("choice", MIXTRAL, BASELINE, YI, [GPT35, "meta/llama-2-70b-chat"]),
    "MATH level 5": ("answer", MINI, SONNET, LLAMA, [QWEN]),
    "WinoGrande": ("choice", YI, BASELINE, GPT35, [MIXTRAL, "mistralai/mistral-7b-chat"]),
}
PROTOCOL = "5 folds, copies in one, seed 0, checks learned inside; out of fold; 95% intervals over prompts"


def keep(name: str, figure: Any, n: int | None = None) -> None:
    """Write a figure to the file that all pages read."""
    record(f"cascades, {name}", figure, n=n, protocol=PROTOCOL, command="python benchmarks/cascades.py")


def embedded(texts: pd.Series) -> pd.DataFrame:
    """MiniLM with surface features."""
    return join_embeddings(rl.SentenceEmbedder().fit_transform(texts), rl.SurfaceFeatures().fit_transform(texts))


def load(name: str) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame, pd.Series]:
    """Return quality, cost, responses and prompts of a data set."""
    if name in ("CRUX", "MATH level 5"):
        data = rl.fetch_zeroeval({"CRUX": "crux", "MATH level 5": "math-l5"}[name])
        texts = data.prompts["prompt"]
    else:
        data = rl.fetch_routerbench(responses=True)
        wanted = {"ARC": ["arc_challenge"], "WinoGrande": ["winograde"]}.get(name)
        texts = data.prompts["question"]
        texts = texts if wanted is None else texts[data.prompts["dataset"].isin(wanted)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        quality, cost = rl.pivot_outcomes(data.outcomes[data.outcomes["prompt_id"].isin(texts.index)])
    texts = texts.loc[quality.index]
    return quality, cost, data.responses[data.responses["prompt_id"].isin(quality.index)], texts


def blind(joint: Joint, texts: pd.Series) -> Sweep:
    """Sweep cascades and models without looking at the prompt: means of the other folds, for all prompts of one."""
    guess = [np.empty(joint.quality.shape), np.empty(joint.quality.shape)]
    for train, test in grouped_folds(copy_codes(texts, texts.index), 5, 0):
        for values, frame in zip(guess, (joint.quality, joint.cost), strict=True):
            values[test] = frame.iloc[train].mean().to_numpy()
    return sweep_arrays(*guess, joint.quality.index, joint.quality.columns)


def paid(sweep: Sweep, joint: Joint, weak: str, strong: str) -> float:
    """APGR along cost: every call counted, from always the weak model (0) to always the strong one (1)."""
    curve, (quality, cost) = rl.frontier(sweep, joint.quality, joint.cost), (joint.quality, joint.cost)
    ends = pd.DataFrame({"cost_usd": cost[[weak, strong]].mean(), "quality": quality[[weak, strong]].mean()})
    whole = pd.concat([curve[["cost_usd", "quality"]], ends])
    area = rl.aiq(whole, cost_range=tuple(ends["cost_usd"]))
    return float((area - ends["quality"].iloc[0]) / ends["quality"].diff().iloc[1])


def shown(interval: Any, times: float = 1, digits: int = 2) -> str:
    """Format an interval."""
    return "{0:.{3}f} [{1:.{3}f}, {2:.{3}f}]".format(
        *(times * v for v in (interval.estimate, interval.low, interval.high)), digits
    )


def apgr() -> None:
    """Print what each signal recovers of the gap, with the first calls counted and not."""
    head = (
        "data, weak -> strong", "n", "kNN on the prompt", "two agree", "all cheap agree with weak", "after two",
        "after all", "first calls, % of the gap in cost", "paid: router", "paid: cascade", "paid: joint",
        "joint less router, AIQ points", "joint less cascade",
    )  # fmt: skip
    print(f"| {' | '.join(head)} |\n|{' --- |' * len(head)}")
    for name, (extract, weak, strong, second, more) in SETS.items():
        quality, cost, responses, texts = load(name)
        X, pair = embedded(texts), {"strong": strong, "weak": weak}
        router = rl.KNNRouter()
        looks = [[weak, second], [weak, second, *more]]
        joints = []
        for look in looks:
            models = [*look, strong]
            maker = CascadeRouter(router, [look], extract=extract)
            joints.append(cross_cascades(maker, X, quality[models], cost[models], responses=responses, prompts=texts))
        before = rl.cross_estimates(router, X, quality[[weak, strong]], cost[[weak, strong]], prompts=texts)
        answers = extract_answers(responses[responses["model"].isin(looks[1])], extract).loc[quality.index]
        same = answers[looks[1][1:]].eq(answers[weak], axis=0) & answers[[weak]].notna().to_numpy()
        scores = {
            "kNN": before.quality[strong] - before.quality[weak],
            "two agree": -agreement(answers[looks[0]]).score,
            "all agree": -same.mean(axis=1),
            "after two": joints[0].after[tuple(looks[0])][strong] - joints[0].after[tuple(looks[0])][weak],
            "after all": joints[1].after[tuple(looks[1])][strong] - joints[1].after[tuple(looks[1])][weak],
        }
        cells = [f"{name}, {weak.split('/')[-1]} -> {strong}", f"{len(quality)}"]
        for key, score in scores.items():
            found = rl.call_metrics(score, quality, **pair, n_resamples=500)["APGR"]
            keep(f"{name}: APGR, {key}", found)
            cells.append(shown(found))
        gap = cost[strong].mean() - cost[weak].mean()
        cells.append(" / ".join(f"{100 * cost[look[1:]].mean().sum() / gap:.0f}" for look in looks))
        joint = joints[0]
        one = sweep_arrays(before.quality.to_numpy(), before.cost.to_numpy(), quality.index, before.quality.columns)
        rivals = {"router": one, "cascade": blind(joint, texts), "joint": joint.sweep}
        for key, sweep in rivals.items():
            value = paid(sweep, joint, weak, strong)
            keep(f"{name}: APGR along cost, {key}", value, len(quality))
            cells.append(f"{value:.2f}")
        for key in ("router", "cascade"):
            ahead = rl.aiq_difference(joint.sweep, rivals[key], joint.quality, joint.cost)
            keep(f"{name}: joint less {key}, AIQ", ahead)
            cells.append(shown(ahead, 100, 1))
        print(f"| {' | '.join(cells)} |", flush=True)


def probes() -> None:
    """Print APGR of the signal that is picked inside the folds: cheap calls not counted, and paid for."""
    head = (
        "data, weak -> strong", "n", "kNN on the prompt", "picked, calls not counted", "picked, every call paid",
        "calls, % of the gap in cost", "picked for the paid one",
    )  # fmt: skip
    print(f"\n| {' | '.join(head)} |\n|{' --- |' * len(head)}")
    for name in [name for name in SETS if name in sys.argv[1:]] or SETS:
        _, weak, strong, _, _ = SETS[name]
        quality, cost, responses, texts = load(name)
        X, pair = embedded(texts), {"strong": strong, "weak": weak}
        features = look_features(name, responses, quality.index)
        fees = {look: float(cost[list(look)].mean().sum() / (cost[strong] - cost[weak]).mean()) for look in features}
        known = (features, fees, X, quality, cost, texts)
        before = rl.cross_estimates(rl.KNNRouter(), X, quality[[weak, strong]], cost[[weak, strong]], prompts=texts)
        cells = [f"{name}, {weak.split('/')[-1]} -> {strong}", f"{len(quality)}"]
        cells.append(shown(rl.call_metrics(before.quality[strong] - before.quality[weak], quality, **pair)["APGR"]))
        picks = picked(*known, **pair)
        for paying, (score, fee, _) in picks.items():
            found = interval_of(score, fee * paying, quality, pair)
            keep(f"{name}: APGR, picked in the folds, {'paid' if paying else 'calls not counted'}", found, len(quality))
            cells.append("{:.2f} [{:.2f}, {:.2f}]".format(*found))
        _, fee, names = picks[True]
        cells += [f"{100 * fee:.0f}", ", ".join(f"{pick} {n}x" for pick, n in pd.Series(names).value_counts().items())]
        print(f"| {' | '.join(cells)} |", flush=True)


def look_features(name: str, responses: pd.DataFrame, index: pd.Index) -> dict[tuple[str, ...], pd.DataFrame]:
    """Describe what the weak model and one, two or all of the other cheap models answered; who agrees comes last."""
    extract, weak, _, second, more = SETS[name]
    others = [second, *more]
    found: dict[tuple[str, ...], pd.DataFrame] = {}
    for size in sorted({1, 2, len(others)}):
        for look in itertools.combinations(others, size):
            part = responses[responses["model"].isin([weak, *look])]
            answers = extract_answers(part, extract).loc[index]
            same = answers[list(look)].eq(answers[weak], axis=0) & answers[[weak]].notna().to_numpy()
            said = answer_features(part, [weak, *look], extract=extract).loc[index]
            whole = pd.concat([said, same.astype(float).add_prefix("same: ")], axis=1)
            found[look] = whole.assign(share=same.mean(axis=1))
    return found


def scored(
    features: Any, X: Any, quality: Any, cost: Any, train: Any, test: Any, pair: dict[str, str]
) -> dict[tuple[str, tuple[str, ...]], Any]:
    """Score the need for the strong model on test prompts by every signal, learned on training prompts."""
    two = [pair["weak"], pair["strong"]]
    router = rl.KNNRouter().fit(X.iloc[train], quality[two].iloc[train], cost=cost[two].iloc[train])
    guess = router.predict_quality(X.iloc[test])
    good = (quality[pair["weak"]] >= quality[pair["strong"]]).to_numpy()
    found: dict[tuple[str, tuple[str, ...]], Any] = {("kNN", ()): (guess[two[1]] - guess[two[0]]).to_numpy()}
    for look, table in features.items():
        found["agreement", look] = -table["share"].to_numpy()[test]
        check = LearnedCheck().fit(table.iloc[train], good[train])
        found["learned", look] = -check.score_prompts(table.iloc[test])
    return found


def picked(
    features: Any, fees: Any, X: Any, quality: Any, cost: Any, texts: Any, *, weak: str, strong: str
) -> dict[bool, tuple[pd.Series, float, list[str]]]:
    """Score each prompt by the signal that did best on folds of the others; its place among theirs is its score.

    Return, for calls that are not counted and for paid ones: the scores, what the calls cost as a share of the gap, and
    what was picked.
    """
    pair, known = {"weak": weak, "strong": strong}, (features, X, quality, cost)
    codes = copy_codes(texts, quality.index)
    values: dict[bool, Any] = {paying: np.empty(len(quality)) for paying in (False, True)}
    shares, names = {False: 0.0, True: 0.0}, {False: list[str](), True: list[str]()}
    for train, test in grouped_folds(codes, 5, 0):
        inside: dict[Any, Any] = {}
        for fit, rest in grouped_folds(np.unique(codes[train], return_inverse=True)[1], 5, 1):
            for key, score in scored(*known, train[fit], train[rest], pair).items():
                inside.setdefault(key, np.empty(len(train)))[rest] = score
        outside, table = scored(*known, train, test, pair), quality.iloc[train]
        for paying in values:
            worth = {
                key: charged(pd.Series(score, table.index), fees.get(key[1], 0.0) * paying, table, pair)
                for key, score in inside.items()
            }
            best = max(worth, key=worth.__getitem__)
            place = [np.searchsorted(np.sort(inside[best]), outside[best], side=side) for side in ("left", "right")]
            values[paying][test] = np.mean(place, axis=0) / len(train)
            shares[paying] += fees.get(best[1], 0.0) * len(test) / len(quality)
            names[paying].append(" + ".join([best[0], *(model.split("/")[-1] for model in best[1])]))
    return {p: (pd.Series(values[p], quality.index), shares[p], names[p]) for p in values}


def charged(score: pd.Series, fee: float, quality: pd.DataFrame, pair: dict[str, str]) -> float:
    """APGR if the calls before the choice cost as much as `fee` strong ones; with a fee, of the hull with both models.

    Where looking costs more than it tells, nobody looks: mixing the models at random gives 0.5.
    """
    curve = rl.call_curve(score, quality, **pair)
    if not fee:
        return float(rl.apgr(curve))
    ends = np.array([0.0, 1.0])
    hull = rl.hull(np.r_[ends, curve["strong_share"] + fee], np.r_[ends, curve["pgr"]])
    grid = np.linspace(0, 1, 2001)
    return float(np.trapezoid(np.interp(grid, *hull), grid))


def interval_of(score: pd.Series, fee: float, quality: pd.DataFrame, pair: dict[str, str]) -> tuple[float, ...]:
    """Estimate and 95% interval over prompts, the scores held fixed."""

    def at(rows: Any) -> float:
        return charged(score.iloc[rows].reset_index(drop=True), fee, quality.iloc[rows].reset_index(drop=True), pair)

    n = len(score)
    draws = [at(np.repeat(np.arange(n), count.astype(int))) for count in np.vstack(list(resample_counts(n, 300, 0)))]
    return at(np.arange(n)), *percentile_interval(np.array(draws), 0.95, n)


def routerbench_options(n_steps: int = 8, random_state: int = 0) -> Joint:
    """RouterBench's 11 models and cascades on them, out of fold: a table of options for `routerlab.promise`."""
    quality, cost, responses, texts = load("RouterBench")
    looks = [[YI, MIXTRAL], [YI, GPT35], [YI, MIXTRAL, GPT35]]
    maker = CascadeRouter(rl.KNNRouter(200), looks, extract="choice", n_steps=n_steps)
    return cross_cascades(
        maker, embedded(texts), quality, cost, responses=responses, prompts=texts, random_state=random_state
    )


def agreement_cascades() -> tuple[pd.DataFrame, pd.DataFrame, pd.Series]:
    """RouterBench's models with 91 cascades of two and three cheap models that escalate where answers differ."""
    data = rl.fetch_routerbench(responses=True)
    quality, _, responses, _ = load("RouterBench")
    outcomes = data.outcomes[data.outcomes["prompt_id"].isin(quality.index)]
    answers = extract_answers(responses, "choice").stack(future_stack=True).rename("answer")  # noqa: PD013
    responses = responses.drop(columns="cost_usd").join(answers, on=["prompt_id", "model"])
    parts, options = [outcomes], {}
    for size, bars in ((2, [1.0]), (3, [0.5, 1.0])):
        for first in itertools.combinations(CHEAP, size):
            few = outcomes[outcomes["model"].isin([*first, BASELINE])]
            said = responses[responses["model"].isin(first)]
            made = rl.cascade_outcomes(few, said, first=first, then=BASELINE, extract="answer", threshold=bars)
            options |= made.attrs["options"]
            parts.append(made[made["model"].isin(made.attrs["options"])])
    whole = pd.concat(parts, ignore_index=True)
    whole.attrs = dict(outcomes.attrs) | {"options": options}
    return (*rl.pivot_outcomes(whole), data.prompts.loc[quality.index, "dataset"])


def by_data_set(quality: pd.DataFrame, cost: pd.DataFrame, data_set: pd.Series) -> Sweep:
    """Sweep the means of data sets (or other parts): in hindsight, on the prompts that they come from."""
    guess = [frame.groupby(data_set).transform("mean").to_numpy() for frame in (quality, cost)]
    return sweep_arrays(*guess, quality.index, quality.columns)


def cheapest(sweep: Sweep, quality: pd.DataFrame, cost: pd.DataFrame) -> float:
    """Cost of the cheapest operating point within a point of GPT-4, as a share of GPT-4's."""
    curve = rl.frontier(sweep, quality, cost)
    enough = curve["quality"] >= quality[BASELINE].mean() - 0.01
    return float(curve.loc[enough, "cost_usd"].min() / cost[BASELINE].mean())


def routerbench() -> None:
    """Print the saving in hindsight at GPT-4's quality less one point, with and without cascades."""
    quality, cost, _, texts = load("RouterBench")
    joint = routerbench_options()
    before = rl.cross_sweep(rl.KNNRouter(200), embedded(texts), quality, cost, prompts=texts)
    print(f"\nRouterBench, n = {len(quality):,}\n\n| policy | cost in hindsight at GPT-4's quality less 1 point, % |")
    print("| --- | --- |")
    for key, sweep, on in (
        ("routing 11 models", before, (quality, cost)),
        ("cascades, blind to the prompt", blind(joint, texts), joint[1:3]),
        ("both by one rule", joint.sweep, joint[1:3]),
    ):
        found = rl.saving_at_parity(sweep, *on, baseline=BASELINE, max_quality_loss=0.01)
        keep(f"RouterBench: saving in hindsight at 1 point, {key}", found)
        low, high = 100 * (1 - found.high), 100 * (1 - found.low)
        print(f"| {key} | {100 * (1 - found.estimate):.0f} [{low:.0f}, {high:.0f}] |", flush=True)
    both = agreement_cascades()
    models = tuple(frame[quality.columns] for frame in both[:2])
    thirds = both[2] + texts.groupby(both[2]).transform(lambda t: pd.qcut(t.str.len(), 3, labels=False)).astype(str)
    for part, labels in (("data set", both[2]), ("third of length of each data set", thirds)):
        for key, table in (("11 models", models), (f"11 models and {both[0].shape[1] - 11} cascades", both[:2])):
            share = cheapest(by_data_set(*table, labels), *table)
            keep(f"RouterBench: cost in hindsight at 1 point, by {part}, {key}", share, len(quality))
            print(f"| the best of {key} for each {part}, picked on these prompts | {100 * share:.1f} |", flush=True)
    ahead = rl.aiq_difference(joint.sweep, before, joint.quality, joint.cost)
    keep("RouterBench: joint less router, AIQ", ahead)
    print(f"\nAIQ of both less that of routing: {shown(ahead, 100)} points")


def grid() -> None:
    """Print what a finer grid of steps gains."""
    quality, cost, responses, texts = load("ARC")
    models, X = [MIXTRAL, YI, BASELINE], embedded(texts)
    print("\n| steps | APGR along cost, ARC |\n| --- | --- |")
    for n_steps in (3, 4, 8, 16, 32):
        maker = CascadeRouter(rl.KNNRouter(80), [models[:2]], extract="choice", n_steps=n_steps)
        joint = cross_cascades(maker, X, quality[models], cost[models], responses=responses, prompts=texts)
        print(f"| {n_steps} | {paid(joint.sweep, joint, MIXTRAL, BASELINE):.3f} |", flush=True)


def speed() -> None:
    """Print the time of a whole frontier of models and cascades."""
    rng, n = np.random.default_rng(0), 1_000_000
    index, models = pd.RangeIndex(n, name="prompt_id"), [f"m{k}" for k in range(6)]
    price = 0.0002 * 3.0 ** np.arange(6)
    right = (rng.random((n, 6)) < np.linspace(0.4, 0.9, 6)).astype(float)
    spent = price * rng.lognormal(0, 0.3, (n, 6))
    names, columns, costs = list(models), [right], [spent]
    for k in range(5):  # the k-th and the next agree at random where both are wrong, and then the last is not asked
        agree = (right[:, k] == right[:, k + 1 if k < 4 else 0]) & (rng.random(n) < 0.9)
        columns.append(np.where(agree, right[:, k], right[:, 5])[:, None])
        costs.append((spent[:, k] + spent[:, (k + 1) % 5] + np.where(agree, 0.0, spent[:, 5]))[:, None])
        names.append(f"cascade {k}")
    quality, cost = (pd.DataFrame(np.hstack(v), index, names) for v in (columns, costs))
    guess = np.clip(quality.mean().to_numpy() + rng.normal(0, 0.1, quality.shape), 0, 1)
    start = time.process_time()  # the machine may have other work to do
    sweep = sweep_arrays(guess, cost.mean().to_numpy() * np.ones(quality.shape), index, quality.columns)
    curve = rl.frontier(sweep, quality, cost)
    taken = time.process_time() - start
    print(
        f"\n1,000,000 prompts x 11 options, 5 of them cascades: {len(curve):,} points, {taken:.2f} s of processor time"
    )


def main() -> None:
    """Print the tables that the command line names, or all of them."""
    parts = {"apgr": apgr, "probes": probes, "routerbench": routerbench, "grid": grid, "speed": speed}
    for name in [name for name in sys.argv[1:] if name not in SETS] or parts:
        parts[name]()


if __name__ == "__main__":
    main()
