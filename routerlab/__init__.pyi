# The public names, one line each: lazy-loader reads this file, and so do type checkers.
from . import (
    completions as completions,
)
from . import (
    datasets as datasets,
)
from . import (
    decision as decision,
)
from . import (
    embedding as embedding,
)
from . import (
    evaluation as evaluation,
)
from . import (
    holdout as holdout,
)
from . import (
    judging as judging,
)
from . import (
    labeling as labeling,
)
from . import (
    model_selection as model_selection,
)
from . import (
    neighbors as neighbors,
)
from . import (
    planning as planning,
)
from . import (
    plotting as plotting,
)
from . import (
    pricing as pricing,
)
from . import (
    ratings as ratings,
)
from . import (
    routers as routers,
)
from . import (
    schema as schema,
)
from . import (
    serving as serving,
)
from . import (
    stats as stats,
)
from . import (
    widgets as widgets,
)
from .completions import (
    Endpoint as Endpoint,
)
from .completions import (
    collect_responses as collect_responses,
)
from .datasets import (
    fetch_alpaca_eval as fetch_alpaca_eval,
)
from .datasets import (
    fetch_auto_j as fetch_auto_j,
)
from .datasets import (
    fetch_pulze_example as fetch_pulze_example,
)
from .datasets import (
    fetch_routellm as fetch_routellm,
)
from .datasets import (
    fetch_routerbench as fetch_routerbench,
)
from .datasets import (
    fetch_zeroeval as fetch_zeroeval,
)
from .datasets import (
    load_demo as load_demo,
)
from .datasets import (
    make_routing_problem as make_routing_problem,
)
from .embedding import (
    IntentEmbedder as IntentEmbedder,
)
from .embedding import (
    LsaEmbedder as LsaEmbedder,
)
from .embedding import (
    OutcomeEmbedder as OutcomeEmbedder,
)
from .embedding import (
    SentenceEmbedder as SentenceEmbedder,
)
from .embedding import (
    SurfaceFeatures as SurfaceFeatures,
)
from .embedding import (
    domain_separability as domain_separability,
)
from .embedding import (
    join_embeddings as join_embeddings,
)
from .embedding import (
    load_embedder as load_embedder,
)
from .evaluation import (
    aiq as aiq,
)
from .evaluation import (
    aiq_difference as aiq_difference,
)
from .evaluation import (
    always as always,
)
from .evaluation import (
    apgr as apgr,
)
from .evaluation import (
    arena_score as arena_score,
)
from .evaluation import (
    baselines as baselines,
)
from .evaluation import (
    call_curve as call_curve,
)
from .evaluation import (
    call_metrics as call_metrics,
)
from .evaluation import (
    compare as compare,
)
from .evaluation import (
    cpt as cpt,
)
from .evaluation import (
    frontier as frontier,
)
from .evaluation import (
    gap_to_oracle as gap_to_oracle,
)
from .evaluation import (
    hull as hull,
)
from .evaluation import (
    model_share as model_share,
)
from .evaluation import (
    oracle as oracle,
)
from .evaluation import (
    pgr as pgr,
)
from .evaluation import (
    predictability as predictability,
)
from .evaluation import (
    random_mix as random_mix,
)
from .evaluation import (
    saving_at_parity as saving_at_parity,
)
from .evaluation import (
    savings as savings,
)
from .evaluation import (
    score_choices as score_choices,
)
from .evaluation import (
    zero_router as zero_router,
)
from .judging import (
    PairwiseJudge as PairwiseJudge,
)
from .judging import (
    judge_trust as judge_trust,
)
from .judging import (
    ppi_rate as ppi_rate,
)
from .judging import (
    ppi_win_rate as ppi_win_rate,
)
from .labeling import (
    PairQueue as PairQueue,
)
from .labeling import (
    VoteLog as VoteLog,
)
from .model_selection import (
    NoOperatingPointError as NoOperatingPointError,
)
from .model_selection import (
    choose_operating_point as choose_operating_point,
)
from .model_selection import (
    cross_estimates as cross_estimates,
)
from .model_selection import (
    cross_sweep as cross_sweep,
)
from .model_selection import (
    held_out_choices as held_out_choices,
)
from .model_selection import (
    promise as promise,
)
from .model_selection import (
    repeat_claims as repeat_claims,
)
from .model_selection import (
    set_operating_point as set_operating_point,
)
from .model_selection import (
    split_prompts as split_prompts,
)
from .planning import (
    payback as payback,
)
from .planning import (
    plan_study as plan_study,
)
from .plotting import (
    plot_embedding_map as plot_embedding_map,
)
from .plotting import (
    plot_frontier as plot_frontier,
)
from .plotting import (
    plot_model_share as plot_model_share,
)
from .plotting import (
    plot_ratings as plot_ratings,
)
from .plotting import (
    plot_repeats as plot_repeats,
)
from .plotting import (
    plot_savings as plot_savings,
)
from .pricing import (
    add_cost as add_cost,
)
from .pricing import (
    price as price,
)
from .ratings import (
    BradleyTerry as BradleyTerry,
)
from .ratings import (
    best_models as best_models,
)
from .ratings import (
    judged_outcomes as judged_outcomes,
)
from .ratings import (
    rate as rate,
)
from .routers import (
    IntentRouter as IntentRouter,
)
from .routers import (
    KNNRouter as KNNRouter,
)
from .routers import (
    Router as Router,
)
from .routers import (
    SimilarityWeightedRouter as SimilarityWeightedRouter,
)
from .routers import (
    load_router as load_router,
)
from .schema import (
    TableError as TableError,
)
from .schema import (
    check_judgments as check_judgments,
)
from .schema import (
    check_outcomes as check_outcomes,
)
from .schema import (
    check_prompts as check_prompts,
)
from .schema import (
    check_responses as check_responses,
)
from .schema import (
    pivot_outcomes as pivot_outcomes,
)
from .schema import (
    to_quality as to_quality,
)
from .serving import (
    AsyncRoutedClient as AsyncRoutedClient,
)
from .serving import (
    RoutedClient as RoutedClient,
)
from .serving import (
    read_captured as read_captured,
)
from .widgets import (
    EvidencePlot as EvidencePlot,
)
from .widgets import (
    IntentLabeler as IntentLabeler,
)
from .widgets import (
    JudgmentBrowser as JudgmentBrowser,
)
from .widgets import (
    PairComparator as PairComparator,
)

__version__: str
