"""Errors and warnings of routerlab: one tree each, every one of them importable from here.

Errors (in parentheses: the built-in class that each is as well, from here down)::

    RouterlabError
    ├── TableError (ValueError)            a table, column or pair of frames that cannot be used as it is
    │   └── PartitionError                 a file of a folder of Parquet files, or how it goes with the others
    ├── ParameterError (ValueError)        a parameter, not a table, is wrong
    ├── NoOperatingPointError (ValueError) no operating point keeps the loss within the bar
    ├── SavedFileError (ValueError)        not a saved router or embedder, or damaged
    ├── ModelNotFoundError (OSError)       no usable copy of a sentence-transformers model
    ├── DataFileError (OSError)            a published file that is absent, or not what was published
    │   └── AbsentFileError                it is not here and cannot be downloaded
    ├── SpillError (OSError)               no space for what a computation on partitions writes
    ├── ClusterError (RuntimeError)        no scheduler, or its workers are gone
    ├── EndpointRefused (RuntimeError)     a provider refuses every request
    └── LogError (RuntimeError)            an append-only log: journal, votes, captures
        ├── LogFormatError                 not such a log, or written by a newer routerlab
        │   └── CaptureError               (a TableError as well)
        ├── LogWriteError                  read-only, disk full, removed, locked
        ├── LogOwnerError                  another rater's, or about other responses
        ├── JournalError                   the journal of completions cannot be used
        ├── StaleVote                      a vote that came twice or too late
        └── NothingToUndo

Warnings::

    RouterlabWarning (UserWarning)
    ├── DroppedRowsWarning, MixedScalesWarning, UnknownPriceWarning     tables
    ├── CopiesWarning, CutPromptsWarning                                prompts
    ├── CollectionWarning, EndpointWarning, CaptureWarning              requests
    └── LogWarning                                                      votes
"""

from typing import Any


class RouterlabError(Exception):
    """What routerlab refuses; the message says what was wrong, what came, what was expected and what to do."""


class TableError(RouterlabError, ValueError):
    """A table, column or aligned pair of frames that routerlab cannot use as it is."""


class PartitionError(TableError):
    """A file of a folder of Parquet files that cannot be used, or does not go with the others; the message names it."""


class ParameterError(RouterlabError, ValueError):
    """A parameter (not a table) that is out of range, unknown, or cannot go with the others."""


class NoOperatingPointError(RouterlabError, ValueError):
    """No operating point keeps the loss within the bar: keep calling the baseline, or allow a larger loss."""


class SavedFileError(RouterlabError, ValueError):
    """The file is not a router or embedder that routerlab saved, is damaged, or comes from a newer routerlab."""


class ModelNotFoundError(RouterlabError, OSError):
    """No usable copy of a sentence-transformers model; the message says where it was looked for."""


class DataFileError(RouterlabError, OSError):
    """A published file that is absent, cannot be downloaded, or is not what was published."""


class AbsentFileError(DataFileError):
    """A published file that is not here and cannot be downloaded."""


class SpillError(RouterlabError, OSError):
    """Files of a computation on partitions cannot be written; the partitions that are finished stay."""


class ClusterError(RouterlabError, RuntimeError):
    """The Dask scheduler cannot be talked to, or its workers end before their work; what is finished stays."""


class EndpointRefused(RouterlabError, RuntimeError):
    """A provider refuses every request (wrong key, no credit): the run stopped early, and its records are on disk."""


class LogError(RouterlabError, RuntimeError):
    """A log that cannot be read, or a record that was not written; nothing that was acknowledged is lost."""


class LogFormatError(LogError):
    """The file is not a log of this kind, or a newer version of routerlab wrote it."""


class LogWriteError(LogError):
    """The log cannot be written: read-only, disk full, removed, locked. The record was not written."""


class LogOwnerError(LogError):
    """The log belongs to another rater, or to another set of responses."""


class CaptureError(LogFormatError, TableError):
    """The file is not one of captures, cannot be read, or comes from a newer routerlab."""


class JournalError(LogError):
    """The journal cannot be used: no journal, written by a newer routerlab, in use, or not writable.

    Attributes
    ----------
    unwritten : list of dict
        Records of replies that came (and were paid for) after the disk refused; empty for other errors.
    """

    def __init__(self, message: str, unwritten: list[dict[str, Any]] | None = None) -> None:
        super().__init__(message)
        self.unwritten = unwritten or []


class StaleVote(LogError):
    """A vote that came twice or too late, and was refused.

    Attributes
    ----------
    recorded : bool
        True if the log holds this very vote (the same nonce): it is safe, as if acknowledged.
        False if the pair was decided otherwise: the vote must not be sent again.
    """

    def __init__(self, message: str, *, recorded: bool) -> None:
        super().__init__(message)
        self.recorded = recorded


class NothingToUndo(LogError):
    """No vote or skip is left that could be undone."""


class RouterlabWarning(UserWarning):
    """What routerlab tells without stopping; the message says how many and what to do."""


class DroppedRowsWarning(RouterlabWarning):
    """Rows were left out of a computation; the message says how many and why."""


class MixedScalesWarning(RouterlabWarning):
    """Qualities that were measured on different scales stand in one table; the message says which."""


class UnknownPriceWarning(RouterlabWarning):
    """Costs were left empty; the message says for which models and how many rows."""


class CopiesWarning(RouterlabWarning):
    """Prompts have copies, or nearly, that no grouping keeps out of the training folds."""


class CutPromptsWarning(RouterlabWarning):
    """Prompts were longer than the model's window, and what follows is not in their vectors."""


class CollectionWarning(RouterlabWarning):
    """Requests that failed, were left out, or were cut short; the message says how many and what to do."""


class EndpointWarning(RouterlabWarning):
    """An endpoint refuses every request (wrong key, no credit, no such model), and others answer in its place."""


class CaptureWarning(RouterlabWarning):
    """A call or feedback was not captured, or lines of a capture file cannot be read; replies are not affected."""


class LogWarning(RouterlabWarning):
    """Lines of a log that could not be read, or votes that contradict each other; the message says which."""
