"""Locks and connections belong to one process: a child that was forked needs its own, whoever held the parent's."""

from __future__ import annotations

import os
import threading
from typing import Any
from weakref import WeakSet

_owners: WeakSet[Any] = WeakSet()
_hooked: list[bool] = []


def renew_after_fork(owner: Any) -> None:
    """Call ``owner.after_fork()`` in every child process that is forked from this one, before anything else runs there.

    Examples
    --------
    >>> lock = ProcessLock()  # does so
    """
    _owners.add(owner)
    if not _hooked and hasattr(os, "register_at_fork"):
        _hooked.append(True)
        os.register_at_fork(after_in_child=_renew)


def _renew() -> None:
    for owner in list(_owners):
        owner.after_fork()


class ProcessLock:
    """A lock among the threads of one process, which a thread may take again while it holds it.

    Examples
    --------
    >>> lock = ProcessLock()
    >>> with lock, lock:
    ...     pass
    """

    def __init__(self) -> None:
        self.after_fork()
        renew_after_fork(self)

    def after_fork(self) -> None:
        """Forget who held it: that thread is not in this process."""
        self._lock = threading.RLock()

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()
