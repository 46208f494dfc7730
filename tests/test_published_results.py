"""What the routers reach on published data, out of fold: the claims of benchmarks/README.md."""

import pytest
from sklearn.model_selection import KFold
from sklearn.pipeline import make_pipeline

import routerlab as rl

pytestmark = [
    pytest.mark.slow,
    pytest.mark.realdata,
    # The published figures are those of the prompts' beginnings.
    pytest.mark.filterwarnings("ignore::routerlab.embedding.CutPromptsWarning"),
]


@pytest.mark.timeout(3000)  # a machine that has not embedded these 14,042 prompts before needs minutes
def test_mmlu_apgr_and_cpt(published_data):
    data = rl.fetch_routellm("mmlu")
    quality, cost = rl.pivot_outcomes(data.outcomes)
    strong, weak = "gpt-4-1106-preview", "mistralai/Mixtral-8x7B-Instruct-v0.1"
    X = rl.SentenceEmbedder(layer=3).fit_transform(data.prompts.loc[quality.index, "prompt"])
    folds = KFold(5, shuffle=True, random_state=0).split(X)
    router = make_pipeline(rl.OutcomeEmbedder(), rl.KNNRouter(240))
    estimate = rl.cross_estimates(router, X, quality, cost, cv=folds).quality
    curve = rl.call_curve(estimate[strong] - estimate[weak], quality, strong=strong, weak=weak)
    assert rl.apgr(curve) >= 0.70
    assert rl.cpt(curve, 0.5) <= 0.26


def test_routerbench_intent_routing_beats_the_zero_router_and_plain_knn(published_data):
    data = rl.fetch_routerbench()
    with pytest.warns(rl.DroppedRowsWarning, match="left out 20 of 2,225"):
        quality, cost = rl.pivot_outcomes(data.outcomes)
    prompts = data.prompts.loc[quality.index]
    X = rl.join_embeddings(
        rl.SentenceEmbedder().fit_transform(prompts["question"]),
        rl.SurfaceFeatures().fit_transform(prompts["question"]),
    )
    folds = list(KFold(5, shuffle=True, random_state=0).split(X))
    ours = rl.cross_sweep(rl.IntentRouter(15), X, quality, cost, intents=prompts["dataset"], cv=folds)
    plain = rl.cross_sweep(rl.KNNRouter(40, cost_estimate="mean"), X, quality, cost, cv=folds)
    baseline = "gpt-4-1106-preview"
    saving = rl.saving_at_parity(ours, quality, cost, baseline=baseline, max_quality_loss=0.01)
    assert saving.estimate >= 0.2 > saving.blind  # in hindsight; 2,205 prompts do not prove a loss below 1 point
    assert rl.aiq_difference(ours, "zero_router", quality, cost).low > 0
    assert rl.aiq_difference(ours, plain, quality, cost).low > 0
