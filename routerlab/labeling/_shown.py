"""What each process shows to a rater, so that two kernels on one vote log do not show the same pair."""

import os
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import orjson
from filelock import FileLock, Timeout

_MOST = 16  # processes of one rater at once; what more of them show is not known to the others
_TIMEOUT = 2.0
_STALE = 900.0  # seconds after which a page that was left open no longer holds its pairs back
_held: dict[tuple[int, str], tuple[FileLock, int]] = {}  # (process, log) -> its own lock and number


class Shown:
    """Small files next to a vote log: ``<log>.shown1``, ``<log>.shown2``, one for each process that has it open.

    A process holds the lock of its own file as long as it lives; the system frees it however the process ends. What is
    written here is advice and no record: where it cannot be written, raters see a pair twice and the log refuses the
    second vote, as ever.
    """

    def __init__(self, log: Path) -> None:
        self._log = Path(os.path.realpath(log))

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Let no other process look or write meanwhile."""
        lock = FileLock(f"{self._log}.shown.lock")
        try:
            lock.acquire(timeout=_TIMEOUT)
        except (OSError, Timeout):
            yield
            return
        try:
            yield
        finally:
            lock.release()

    def others(self) -> list[Any]:
        """Return what other living processes show."""
        mine = self._number()
        found: list[Any] = []
        for number in range(1, _MOST + 1):
            path = self._path(number)
            if number == mine or not path.exists():
                continue
            with suppress(OSError, ValueError):
                if time.time() - path.stat().st_mtime > _STALE:
                    continue
                if lock := _try(path):
                    lock.release()  # its process is gone
                else:
                    found += orjson.loads(path.read_bytes())
        return found

    def put(self, items: Iterable[Any]) -> None:
        """Say what this process shows, in the place of what it said before."""
        number = self._number()
        if number:
            with suppress(OSError):
                self._path(number).write_bytes(orjson.dumps(list(items)))

    def _path(self, number: int) -> Path:
        return self._log.with_name(f"{self._log.name}.shown{number}")

    def _number(self) -> int:
        """Return the number of this process, 0 if it can have none."""
        key = (os.getpid(), str(self._log))
        if key in _held and Path(_held[key][0].lock_file).exists():
            return _held[key][1]
        for number in range(1, _MOST + 1):
            with suppress(OSError):
                if lock := _try(self._path(number)):
                    _held[key] = lock, number
                    return number
        return 0


def _try(path: Path) -> FileLock | None:
    """Take the lock of a file, None if a living process holds it."""
    lock = FileLock(f"{path}.lock", thread_local=False)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return None
    return lock
