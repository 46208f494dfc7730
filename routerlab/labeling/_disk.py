"""What a rater is told when the disk, or another process, stands in the way of a vote."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from routerlab import disk
from routerlab.labeling._errors import LogWriteError


def cannot_write(path: Path, error: OSError) -> LogWriteError:
    """Explain an operating system's error, with the remedy for the common ones."""
    return LogWriteError(f"Vote log {path}: {disk.why_not_written(error)} Votes acknowledged before are safe.")


def append_durably(path: Path, data: bytes, *, create: bool = False) -> None:
    """Append and fsync, or raise `LogWriteError` with the file as it was."""
    try:
        disk.append_durably(path, data, create=create)
    except OSError as error:
        raise cannot_write(path, error) from error


@contextmanager
def holding(lock: Any, path: Path) -> Iterator[None]:
    """Hold the lock, with errors that a rater understands."""
    from filelock import Timeout

    try:
        lock.acquire()
    except Timeout as error:
        msg = f"Vote log {path}: another process is writing to it and does not stop. Close that one and vote again."
        raise LogWriteError(msg) from error
    except OSError as error:
        raise cannot_write(path, error) from error
    try:
        yield
    finally:
        lock.release()
