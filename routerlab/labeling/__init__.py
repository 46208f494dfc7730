"""Label pairs of responses: which pair next, the vote log, and what the votes say. No browser in it."""

from routerlab.labeling._agreement import Agreement, agreement, disagreements
from routerlab.labeling._bias import PositionBias, SelfConsistency, Share, position_bias, self_consistency
from routerlab.labeling._errors import (
    LogError,
    LogFormatError,
    LogOwnerError,
    LogWarning,
    LogWriteError,
    NothingToUndo,
    StaleVote,
)
from routerlab.labeling._log import Ack, VoteLog
from routerlab.labeling._merge import merge_logs, to_judgments
from routerlab.labeling._pairs import Pair, dataset_id
from routerlab.labeling._queue import PairQueue, Progress
from routerlab.labeling._reader import BadLine, LogReport
from routerlab.labeling._records import label_record

__all__ = [
    "Ack",
    "Agreement",
    "BadLine",
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
    "VoteLog",
    "agreement",
    "dataset_id",
    "disagreements",
    "label_record",
    "merge_logs",
    "position_bias",
    "self_consistency",
    "to_judgments",
]
