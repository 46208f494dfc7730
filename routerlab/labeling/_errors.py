"""What can go wrong with a vote log; each error says what to do and leaves the file as it was."""

from __future__ import annotations

from pathlib import Path


class LogError(RuntimeError):
    """A vote log that cannot be read, or a record that was not written; nothing that was acknowledged is lost."""


class LogFormatError(LogError):
    """The file is no vote log, or a newer version of routerlab wrote it."""


class LogOwnerError(LogError):
    """The log belongs to another rater, or to another set of responses."""


class LogWriteError(LogError):
    """The log cannot be written: read-only, disk full, removed, locked. The vote was not recorded."""


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


def cannot_write(path: Path, error: OSError) -> LogWriteError:
    """Explain an operating system's error, with the remedy for the common ones."""
    import errno

    remedies = {
        errno.ENOSPC: "The disk is full: free some space and vote again.",
        errno.EDQUOT: "Your disk quota is used up: free some space and vote again.",
        errno.EFBIG: "The file has reached the largest size allowed: raise the limit (ulimit -f), or start a new log.",
        errno.EROFS: "The file system is read-only: choose another folder for the log.",
        errno.EACCES: "You may not write there: change the file's permissions, or choose another folder for the log.",
        errno.EPERM: "You may not write there: change the file's permissions, or choose another folder for the log.",
        errno.ENOENT: "The file or its folder was removed: put it back, or open a new log.",
    }
    remedy = remedies.get(error.errno or 0, "Check the disk and vote again.")
    return LogWriteError(f"Vote log {path}: not written ({error.strerror or error}). {remedy} Earlier votes are safe.")
