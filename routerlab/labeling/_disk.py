"""Durable appends under a lock: what makes an acknowledged vote safe."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from routerlab.labeling._errors import LogWriteError

_REMEDIES = {
    errno.ENOSPC: "The disk is full: free some space and vote again.",
    errno.EDQUOT: "Your disk quota is used up: free some space and vote again.",
    errno.EFBIG: "The file has reached the largest size allowed: raise the limit (ulimit -f), or start a new log.",
    errno.EROFS: "The file system is read-only: choose another folder for the log.",
    errno.EACCES: "You may not write there: change the file's permissions, or choose another folder for the log.",
    errno.EPERM: "You may not write there: change the file's permissions, or choose another folder for the log.",
    errno.ENOENT: "The file or its folder was removed: put it back, or open a new log.",
    errno.ENOTDIR: "Its folder is a file: choose another folder for the log.",
}


def cannot_write(path: Path, error: OSError) -> LogWriteError:
    """Explain an operating system's error, with the remedy for the common ones."""
    remedy = _REMEDIES.get(error.errno or 0, "Check the disk and vote again.")
    return LogWriteError(
        f"Vote log {path}: not written ({error.strerror or error}). {remedy} Votes acknowledged before are safe."
    )


def file_lock(path: Path, timeout: float) -> Any:
    """Return the lock that every writer of `path` holds while it writes; the system frees it if the process dies."""
    from filelock import FileLock

    return FileLock(f"{path}.lock", timeout=timeout)


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


def append_durably(path: Path, data: bytes, *, create: bool = False) -> None:
    """Append `data` and fsync; if that fails, take the unacknowledged bytes back and raise `LogWriteError`."""
    flags = os.O_RDWR | os.O_APPEND | getattr(os, "O_BINARY", 0) | (os.O_CREAT if create else 0)
    try:
        handle = os.open(path, flags, 0o666)
    except OSError as error:
        raise cannot_write(path, error) from error
    try:
        size = os.fstat(handle).st_size
        try:
            written = 0
            while written < len(data):
                written += os.write(handle, data[written:])
            os.fsync(handle)
        except OSError as error:
            _take_back(handle, size)
            raise cannot_write(path, error) from error
    finally:
        os.close(handle)
    if create:
        _sync_folder(path.parent)


def _take_back(handle: int, size: int) -> None:
    try:
        os.ftruncate(handle, size)
    except OSError:
        return  # the torn line stays: the next reader ends it and reports it


def _sync_folder(folder: Path) -> None:
    """Make the name of a new file as durable as its content, where the system can."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
