"""Durable appends to files that only grow: what makes an acknowledged vote, or a response that was paid for, safe."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

_REMEDIES = {
    errno.ENOSPC: "The disk is full: free some space and try again.",
    errno.EDQUOT: "Your disk quota is used up: free some space and try again.",
    errno.EFBIG: "The file has reached the largest size allowed: raise the limit (ulimit -f), or start a new file.",
    errno.EROFS: "The file system is read-only: choose another folder.",
    errno.EACCES: "You may not write there: change the file's permissions, or choose another folder.",
    errno.EPERM: "You may not write there: change the file's permissions, or choose another folder.",
    errno.ENOENT: "The file or its folder was removed: put it back, or start a new file.",
    errno.ENOTDIR: "Its folder is a file: choose another folder.",
}


def why_not_written(error: OSError) -> str:
    """Say in words what the operating system refused, and the remedy for the common refusals."""
    remedy = _REMEDIES.get(error.errno or 0, "Check the disk and try again.")
    return f"not written ({error.strerror or error}). {remedy}"


def file_lock(path: Path, timeout: float) -> Any:
    """Return the lock that every writer of `path` holds while it writes; the system frees it if the process dies."""
    from filelock import FileLock

    return FileLock(f"{path}.lock", timeout=timeout)


def append_durably(path: Path, data: bytes, *, create: bool = False, sync: bool = True, mode: int = 0o666) -> None:
    """Append `data` and fsync; if that fails, take the unacknowledged bytes back and raise the `OSError`.

    With ``sync=False`` the system writes to the disk when it likes: what a power failure takes is lost, no more.
    ``mode`` (less the umask) is that of a new file.
    """
    flags = os.O_RDWR | os.O_APPEND | getattr(os, "O_BINARY", 0) | (os.O_CREAT if create else 0)
    handle = os.open(path, flags, mode)
    try:
        size = os.fstat(handle).st_size
        try:
            written = 0
            while written < len(data):
                written += os.write(handle, data[written:])
            if sync:
                os.fsync(handle)
        except OSError:
            _take_back(handle, size)
            raise
    finally:
        os.close(handle)
    if create and sync:
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
