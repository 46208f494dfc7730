"""Label pairs of responses: which pair next, the vote log, and what the votes say. No browser in it."""

from routerlab.labeling._errors import (
    LogError,
    LogFormatError,
    LogOwnerError,
    LogWriteError,
    NothingToUndo,
    StaleVote,
)
from routerlab.labeling._log import Ack, VoteLog
from routerlab.labeling._pairs import Pair, dataset_id
from routerlab.labeling._queue import PairQueue, Progress
from routerlab.labeling._records import BadLine, LogReport

__all__ = [
    "Ack",
    "BadLine",
    "LogError",
    "LogFormatError",
    "LogOwnerError",
    "LogReport",
    "LogWriteError",
    "NothingToUndo",
    "Pair",
    "PairQueue",
    "Progress",
    "StaleVote",
    "VoteLog",
    "dataset_id",
]
