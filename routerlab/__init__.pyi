# The public names, one line each: lazy-loader reads this file, and so do type checkers.
from . import (
    completions as completions,
    datasets as datasets,
    decision as decision,
    embedding as embedding,
    evaluation as evaluation,
    exceptions as exceptions,
    holdout as holdout,
    judging as judging,
    labeling as labeling,
    market as market,
    model_selection as model_selection,
    neighbors as neighbors,
    options as options,
    planning as planning,
    plotting as plotting,
    pricing as pricing,
    ratings as ratings,
    routers as routers,
    scale as scale,
    schema as schema,
    serving as serving,
    stats as stats,
    widgets as widgets,
)
from .completions import (
    Endpoint as Endpoint,
    collect_responses as collect_responses,
)
from .datasets import (
    fetch_alpaca_eval as fetch_alpaca_eval,
    fetch_auto_j as fetch_auto_j,
    fetch_incidents as fetch_incidents,
    fetch_llmperf as fetch_llmperf,
    fetch_pulze_example as fetch_pulze_example,
    fetch_routellm as fetch_routellm,
    fetch_routerbench as fetch_routerbench,
    fetch_zeroeval as fetch_zeroeval,
    load_demo as load_demo,
    make_routing_problem as make_routing_problem,
)
from .embedding import (
    IntentEmbedder as IntentEmbedder,
    LsaEmbedder as LsaEmbedder,
    OutcomeEmbedder as OutcomeEmbedder,
    SentenceEmbedder as SentenceEmbedder,
    SurfaceFeatures as SurfaceFeatures,
    domain_separability as domain_separability,
    join_embeddings as join_embeddings,
    load_embedder as load_embedder,
)
from .evaluation import (
    aiq as aiq,
    aiq_difference as aiq_difference,
    always as always,
    apgr as apgr,
    arena_score as arena_score,
    baselines as baselines,
    call_curve as call_curve,
    call_metrics as call_metrics,
    compare as compare,
    cpt as cpt,
    frontier as frontier,
    gap_to_oracle as gap_to_oracle,
    hull as hull,
    model_share as model_share,
    oracle as oracle,
    pgr as pgr,
    predictability as predictability,
    random_mix as random_mix,
    saving_at_parity as saving_at_parity,
    savings as savings,
    score_choices as score_choices,
    zero_router as zero_router,
)
from .exceptions import (
    CaptureWarning as CaptureWarning,
    CollectionWarning as CollectionWarning,
    CopiesWarning as CopiesWarning,
    CutPromptsWarning as CutPromptsWarning,
    DroppedRowsWarning as DroppedRowsWarning,
    EndpointWarning as EndpointWarning,
    LogWarning as LogWarning,
    MixedScalesWarning as MixedScalesWarning,
    NoOperatingPointError as NoOperatingPointError,
    ParameterError as ParameterError,
    RouterlabError as RouterlabError,
    RouterlabWarning as RouterlabWarning,
    TableError as TableError,
    UnknownPriceWarning as UnknownPriceWarning,
)
from .judging import (
    PairwiseJudge as PairwiseJudge,
    PointwiseJudge as PointwiseJudge,
    judge_trust as judge_trust,
    ppi_rate as ppi_rate,
    ppi_win_rate as ppi_win_rate,
)
from .labeling import (
    PairQueue as PairQueue,
    VoteLog as VoteLog,
)
from .market import (
    add_carbon as add_carbon,
    add_model as add_model,
    antifragility as antifragility,
    check_offers as check_offers,
    choose_offers as choose_offers,
    full_cost as full_cost,
    load_offers as load_offers,
    load_price_history as load_price_history,
    load_retirements as load_retirements,
    point_within as point_within,
    probe_prompts as probe_prompts,
    replay as replay,
    reprice as reprice,
    slm_candidates as slm_candidates,
)
from .model_selection import (
    choose_operating_point as choose_operating_point,
    cross_estimates as cross_estimates,
    cross_sweep as cross_sweep,
    held_out_choices as held_out_choices,
    promise as promise,
    repeat_claims as repeat_claims,
    set_operating_point as set_operating_point,
    split_prompts as split_prompts,
)
from .neighbors import (
    PgvectorIndex as PgvectorIndex,
    UsearchIndex as UsearchIndex,
)
from .options import (
    CascadeRouter as CascadeRouter,
    LearnedCheck as LearnedCheck,
    cascade_outcomes as cascade_outcomes,
    cross_cascades as cross_cascades,
    extract_answers as extract_answers,
    option_table as option_table,
)
from .planning import (
    payback as payback,
    plan_study as plan_study,
)
from .plotting import (
    plot_embedding_map as plot_embedding_map,
    plot_frontier as plot_frontier,
    plot_model_share as plot_model_share,
    plot_prices as plot_prices,
    plot_ratings as plot_ratings,
    plot_repeats as plot_repeats,
    plot_replay as plot_replay,
    plot_savings as plot_savings,
)
from .pricing import (
    add_cost as add_cost,
    price as price,
)
from .ratings import (
    BradleyTerry as BradleyTerry,
    best_models as best_models,
    judged_outcomes as judged_outcomes,
    rate as rate,
)
from .routers import (
    IntentRouter as IntentRouter,
    KNNRouter as KNNRouter,
    MeanRouter as MeanRouter,
    Router as Router,
    SimilarityWeightedRouter as SimilarityWeightedRouter,
    load_router as load_router,
)
from .scale import (
    embed_parquet as embed_parquet,
    frontier_parquet as frontier_parquet,
    route_parquet as route_parquet,
    savings_parquet as savings_parquet,
    sweep_parquet as sweep_parquet,
)
from .schema import (
    Judgments as Judgments,
    Outcomes as Outcomes,
    check_judgments as check_judgments,
    check_outcomes as check_outcomes,
    check_prompts as check_prompts,
    check_responses as check_responses,
    pivot_outcomes as pivot_outcomes,
    to_quality as to_quality,
)
from .serving import (
    AsyncRoutedClient as AsyncRoutedClient,
    RoutedClient as RoutedClient,
    read_captured as read_captured,
)
from .widgets import (
    EvidencePlot as EvidencePlot,
    IntentLabeler as IntentLabeler,
    JudgmentBrowser as JudgmentBrowser,
    LabelingDashboard as LabelingDashboard,
    OfferExplorer as OfferExplorer,
    PairComparator as PairComparator,
    RaterPage as RaterPage,
)

__version__: str
