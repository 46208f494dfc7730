"""What can go wrong with a run of requests; each error says what to do, and what was paid for stays on disk."""

from __future__ import annotations

from typing import Any

from routerlab.jsonl import LogError


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


class EndpointRefused(RuntimeError):
    """A provider refuses every request (wrong key, no credit): the run stopped early, and its records are on disk."""


class CollectionWarning(UserWarning):
    """Requests that failed, were left out, or were cut short; the message says how many and what to do."""
