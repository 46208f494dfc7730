"""Label pairs of responses: which pair next, the vote log, and what the votes say. No browser in it."""

from routerlab.deprecation import called
from routerlab.exceptions import (
    LogError,
    LogFormatError,
    LogOwnerError,
    LogWarning,
    LogWriteError,
    NothingToUndo,
    StaleVote,
)
from routerlab.labeling._agreement import (
    Agreement,
    PositionBias,
    SelfConsistency,
    disagreements,
    krippendorff_alpha,
    position_bias,
    self_consistency,
)
from routerlab.labeling._candidates import dataset_id
from routerlab.labeling._exchange import (
    ComparatorTables,
    from_arena,
    from_evalica,
    from_llm_comparator,
    read_jsonl,
    to_arena,
    to_evalica,
    to_llm_comparator,
    write_jsonl,
)
from routerlab.labeling._merge import merge_logs, to_judgments
from routerlab.labeling._queue import Pair, PairQueue, Progress
from routerlab.labeling._votelog import Ack, BadLine, LogReport, VoteLog, label_record
from routerlab.ratings import Standings, VotesNeeded, oriented, standings, votes_needed

__getattr__ = called(__name__, agreement="routerlab.labeling:krippendorff_alpha", Share="routerlab.stats:Interval")

__all__ = [
    "Ack",
    "Agreement",
    "BadLine",
    "ComparatorTables",
    "LogError",
    "LogFormatError",
    "LogOwnerError",
    "LogReport",
    "LogWarning",
    "LogWriteError",
    "NothingToUndo",
    "Pair",
    "PairQueue",
    "PositionBias",
    "Progress",
    "SelfConsistency",
    "StaleVote",
    "Standings",
    "VoteLog",
    "VotesNeeded",
    "dataset_id",
    "disagreements",
    "from_arena",
    "from_evalica",
    "from_llm_comparator",
    "krippendorff_alpha",
    "label_record",
    "merge_logs",
    "oriented",
    "position_bias",
    "read_jsonl",
    "self_consistency",
    "standings",
    "to_arena",
    "to_evalica",
    "to_judgments",
    "to_llm_comparator",
    "votes_needed",
    "write_jsonl",
]
