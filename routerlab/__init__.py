"""routerlab: from prompts and pairwise judgments to an LLM router you can trust.

Start with ``load_demo()`` and ``notebooks/00_quickstart.ipynb``. Importing this package reads no
file and opens no connection. Each public name is imported from its module when it is first used:
pandas, scipy and scikit-learn alone take longer than an import should.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from routerlab.completions import (
        Endpoint,
        collect_responses,
    )
    from routerlab.datasets import (
        fetch_alpaca_eval,
        fetch_auto_j,
        fetch_pulze_example,
        fetch_routellm,
        fetch_routerbench,
        load_demo,
        make_routing_problem,
    )
    from routerlab.embedding import (
        IntentEmbedder,
        LsaEmbedder,
        OutcomeEmbedder,
        SentenceEmbedder,
        SurfaceFeatures,
        domain_separability,
        join_embeddings,
    )
    from routerlab.evaluation import (
        aiq,
        aiq_difference,
        always,
        apgr,
        arena_score,
        baselines,
        call_curve,
        call_metrics,
        choose_operating_point,
        compare,
        cpt,
        frontier,
        gap_to_oracle,
        hull,
        model_share,
        oracle,
        pgr,
        predictability,
        random_mix,
        saving_at_parity,
        savings,
        score_choices,
        set_operating_point,
        zero_router,
    )
    from routerlab.holdout import (
        held_out_choices,
    )
    from routerlab.judging import (
        PairwiseJudge,
        judge_trust,
        ppi_rate,
        ppi_win_rate,
    )
    from routerlab.plotting import (
        plot_embedding_map,
        plot_frontier,
        plot_model_share,
        plot_ratings,
        plot_savings,
    )
    from routerlab.pricing import (
        add_cost,
        price,
    )
    from routerlab.ratings import (
        BradleyTerry,
        best_models,
        judged_outcomes,
        rate,
    )
    from routerlab.routers import (
        IntentRouter,
        KNNRouter,
        Router,
        SimilarityWeightedRouter,
        cross_estimates,
        cross_sweep,
        load_router,
    )
    from routerlab.schema import (
        TableError,
        check_judgments,
        check_outcomes,
        check_prompts,
        check_responses,
        pivot_outcomes,
    )
    from routerlab.serving import (
        AsyncRoutedClient,
        RoutedClient,
        read_captured,
    )

__version__ = "0.1.0"

_NAMES = {
    "completions": (
        "Endpoint",
        "collect_responses",
    ),
    "datasets": (
        "fetch_alpaca_eval",
        "fetch_auto_j",
        "fetch_pulze_example",
        "fetch_routellm",
        "fetch_routerbench",
        "load_demo",
        "make_routing_problem",
    ),
    "embedding": (
        "IntentEmbedder",
        "LsaEmbedder",
        "OutcomeEmbedder",
        "SentenceEmbedder",
        "SurfaceFeatures",
        "domain_separability",
        "join_embeddings",
    ),
    "evaluation": (
        "aiq",
        "aiq_difference",
        "always",
        "apgr",
        "arena_score",
        "baselines",
        "call_curve",
        "call_metrics",
        "choose_operating_point",
        "compare",
        "cpt",
        "frontier",
        "gap_to_oracle",
        "hull",
        "model_share",
        "oracle",
        "pgr",
        "predictability",
        "random_mix",
        "saving_at_parity",
        "savings",
        "score_choices",
        "set_operating_point",
        "zero_router",
    ),
    "holdout": ("held_out_choices",),
    "judging": (
        "PairwiseJudge",
        "judge_trust",
        "ppi_rate",
        "ppi_win_rate",
    ),
    "plotting": (
        "plot_embedding_map",
        "plot_frontier",
        "plot_model_share",
        "plot_ratings",
        "plot_savings",
    ),
    "pricing": (
        "add_cost",
        "price",
    ),
    "ratings": (
        "BradleyTerry",
        "best_models",
        "judged_outcomes",
        "rate",
    ),
    "routers": (
        "IntentRouter",
        "KNNRouter",
        "Router",
        "SimilarityWeightedRouter",
        "cross_estimates",
        "cross_sweep",
        "load_router",
    ),
    "schema": (
        "TableError",
        "check_judgments",
        "check_outcomes",
        "check_prompts",
        "check_responses",
        "pivot_outcomes",
    ),
    "serving": (
        "AsyncRoutedClient",
        "RoutedClient",
        "read_captured",
    ),
}
_MODULE_OF = {name: module for module, names in _NAMES.items() for name in names}

__all__ = [
    "AsyncRoutedClient",
    "BradleyTerry",
    "Endpoint",
    "IntentEmbedder",
    "IntentRouter",
    "KNNRouter",
    "LsaEmbedder",
    "OutcomeEmbedder",
    "PairwiseJudge",
    "RoutedClient",
    "Router",
    "SentenceEmbedder",
    "SimilarityWeightedRouter",
    "SurfaceFeatures",
    "TableError",
    "add_cost",
    "aiq",
    "aiq_difference",
    "always",
    "apgr",
    "arena_score",
    "baselines",
    "best_models",
    "call_curve",
    "call_metrics",
    "check_judgments",
    "check_outcomes",
    "check_prompts",
    "check_responses",
    "choose_operating_point",
    "collect_responses",
    "compare",
    "cpt",
    "cross_estimates",
    "cross_sweep",
    "domain_separability",
    "fetch_alpaca_eval",
    "fetch_auto_j",
    "fetch_pulze_example",
    "fetch_routellm",
    "fetch_routerbench",
    "frontier",
    "gap_to_oracle",
    "held_out_choices",
    "hull",
    "join_embeddings",
    "judge_trust",
    "judged_outcomes",
    "load_demo",
    "load_router",
    "make_routing_problem",
    "model_share",
    "oracle",
    "pgr",
    "pivot_outcomes",
    "plot_embedding_map",
    "plot_frontier",
    "plot_model_share",
    "plot_ratings",
    "plot_savings",
    "ppi_rate",
    "ppi_win_rate",
    "predictability",
    "price",
    "random_mix",
    "rate",
    "read_captured",
    "saving_at_parity",
    "savings",
    "score_choices",
    "set_operating_point",
    "zero_router",
]


def __getattr__(name: str) -> Any:
    """Import a public name's module on first use (PEP 562)."""
    if name in _MODULE_OF:
        value = getattr(import_module(f"routerlab.{_MODULE_OF[name]}"), name)
        globals()[name] = value
        return value
    msg = f"module 'routerlab' has no attribute {name!r}"
    raise AttributeError(msg)


def __dir__() -> list[str]:
    """List public names, loaded or not."""
    return [*__all__, "__version__"]
