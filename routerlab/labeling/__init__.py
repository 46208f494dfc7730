"""Label pairs of responses: which pair next, the vote log, and what the votes say. No browser in it."""

from routerlab.exceptions import (
    LogError,
    LogFormatError,
    LogOwnerError,
    LogWarning,
    LogWriteError,
    NothingToUndo,
    StaleVote,
)
from routerlab.labeling._agreement import Agreement, agreement, disagreements
from routerlab.labeling._bias import PositionBias, SelfConsistency, Share, position_bias, self_consistency
from routerlab.labeling._candidates import dataset_id
from routerlab.labeling._exchange import from_arena, from_evalica, read_jsonl, to_arena, to_evalica, write_jsonl
from routerlab.labeling._llm_comparator import ComparatorTables, from_llm_comparator, to_llm_comparator
from routerlab.labeling._log import Ack, VoteLog
from routerlab.labeling._merge import merge_logs, oriented, to_judgments
from routerlab.labeling._needed import VotesNeeded, votes_needed
from routerlab.labeling._pairs import Pair, Progress
from routerlab.labeling._posterior import Standings, standings
from routerlab.labeling._queue import PairQueue
from routerlab.labeling._reader import BadLine, LogReport
from routerlab.labeling._records import label_record

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
    "Share",
    "StaleVote",
    "Standings",
    "VoteLog",
    "VotesNeeded",
    "agreement",
    "dataset_id",
    "disagreements",
    "from_arena",
    "from_evalica",
    "from_llm_comparator",
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
