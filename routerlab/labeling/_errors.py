"""What can go wrong with a vote log; each error says what to do and leaves the file as it was."""

from __future__ import annotations

from routerlab.jsonl import LogError


class LogOwnerError(LogError):
    """The log belongs to another rater, or to another set of responses."""


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


class LogWarning(UserWarning):
    """Lines of a log that could not be read, or votes that contradict each other; the message says which."""
