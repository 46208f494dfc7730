"""Append-only logs of JSON lines: one header, one lock, whole lines, and files that are replaced as a whole.

A log's first line is its header: ``{"format": ..., "version": ...}``. A record is on the disk before `Log.append`
returns. Nothing is rewritten: a line that a crash left torn gets its end, and its reader reports it. The journal of
completions, the vote log and the captures are such logs; all their errors are `LogError`.
"""

import errno
import json
import os
import stat
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, NoReturn
from uuid import uuid4

import orjson

from routerlab.exceptions import LogError, LogFormatError, LogWriteError

Record = dict[str, Any]

_MODE = 0o600  # of a new log: what people ask and answer is for its owner alone
_BLOCK = 1 << 20  # bytes read at once
_SHOWN = 64  # bytes of a header that tell one file from another
_LONGEST_HEADER = 1 << 16  # bytes; a file without line ends need not be read whole to see that it is not a log
_DIGITS = bytes(48 if 48 <= c < 58 else 32 if c in b":,[ " else c for c in range(256))
_BIG = (b" " + b"0" * 20, b"-" + b"0" * 19)  # integers of more than 64 bits, which orjson reads as floats
_REMEDIES = {
    errno.ENOSPC: "The disk is full: free some space and try again.",
    errno.EDQUOT: "Your disk quota is used up: free some space and try again.",
    errno.EFBIG: "The file has reached the largest size allowed: raise the limit (ulimit -f), or start a new file.",
    errno.EROFS: "The file system is read-only: choose another folder.",
    errno.EACCES: "You may not write there: change the file's permissions, or choose another folder.",
    errno.EPERM: "You may not write there: change the file's permissions, or choose another folder.",
    errno.ENOENT: "The file or its folder was removed: put it back, or start a new file.",
    errno.ENOTDIR: "Its folder is a file: choose another folder.",
    errno.EISDIR: "It is a folder: name a file in it.",
}


@dataclass(frozen=True)
class Kind:
    """What distinguishes one kind of log: its header, its words and its errors.

    Attributes
    ----------
    format, version : str, int
        What the header says; later versions are refused.
    name, what : str
        How messages begin, and what they call the file.
    busy, safe : str
        What to say when another process writes, and after a refusal of the disk.
    fields : tuple of str
        What else the header must hold.
    format_error, write_error, read_error : type
        What is raised.
    """

    format: str
    version: int
    name: str
    what: str
    busy: str
    safe: str
    fields: tuple[str, ...] = ()
    format_error: type[LogError] = LogFormatError
    write_error: type[LogError] = LogWriteError
    read_error: type[LogError] = LogError

    def begins(self, data: bytes) -> bool:
        """Tell whether `data`, which has no line end, is all that a crash left of a header."""
        birth = json.dumps({"format": self.format})[:-1].encode()
        return len(data) < _LONGEST_HEADER and (birth.startswith(data) or data.startswith(birth))


class Log:
    """One append-only file of JSON lines, read forward and written under a lock.

    Two locks keep other writers out: ``<path>.lock``, as in routerlab 0.1.0, and one on the file itself, which holds
    also when the first one was deleted, or the file is reached by another name.

    Parameters
    ----------
    path : str or Path
        The file.
    kind : Kind
        What it must be.
    about : mapping, optional
        What a new header says besides format, version and time.
    timeout : float, default 0
        Seconds to wait for another process that writes.

    Attributes
    ----------
    real : Path
        The file behind `path`, whatever links lead to it.
    header : dict or None
        The header, once it was read.
    offset, line : int
        Bytes and lines read so far.
    torn : bool
        Whether the line that was read last had no end: its writer was stopped while it wrote.
    """

    def __init__(
        self, path: str | Path, kind: Kind, about: Mapping[str, Any] | None = None, timeout: float = 0
    ) -> None:
        self.path = Path(path)
        self.kind = kind
        self.timeout = timeout
        self.header: Record | None = None
        self.offset = self.line = 0
        self.torn = False
        self._about = dict(about or {})
        self.real = Path(os.path.realpath(path))
        self._past_header = False
        self._locks: dict[int, Any] = {}  # by process: a fork's copy of a lock is its parent's
        self._handle = -1
        self._torn_at = -1
        self._ours = (0, 0)  # device and inode of the file whose header was checked, and how it begins
        self._begins = b""

    def check(self) -> None:
        """Refuse a file that is not such a log; one that is absent, empty or torn at birth is fine.

        Raises
        ------
        LogError
            As the kind has it.
        """
        if not os.path.exists(self.real):
            return
        with self._opened() as file:
            self._check_first(file.read(_LONGEST_HEADER))

    @contextmanager
    def locked(self, *, create: bool = True) -> Iterator[None]:
        """Keep other writers out; make the file and its header if need be, and end a torn line.

        Parameters
        ----------
        create : bool, default True
            Whether a file that is absent is made.

        Raises
        ------
        LogError
            Another process writes; the disk refuses; not such a log.
        """
        from filelock import FileLock, Timeout

        if not self._is_known():  # before the lock: a file that is refused gets no lock file
            self.check()
            if create:
                self._make_folder()
        if os.getpid() not in self._locks:
            self._locks[os.getpid()] = FileLock(f"{self.real}.lock")
        lock = self._locks[os.getpid()]
        try:
            lock.acquire(timeout=self.timeout)
        except Timeout as error:
            raise self._busy() from error
        except OSError as error:
            raise self.refused(error) from error
        try:
            try:
                self._handle = self._open_locked(create)
                self._mend()
            except OSError as error:
                raise self.refused(error) from error
            yield
        finally:
            if self._handle >= 0:
                handle, self._handle = self._handle, -1
                _unlock(handle)
                os.close(handle)
            lock.release()

    def append(self, lines: bytes, *, sync: bool = True) -> None:
        """Write whole lines and wait until they are on the disk; only within `locked`.

        Parameters
        ----------
        lines : bytes
            From `line_of`.
        sync : bool, default True
            Without, the system writes to the disk when it likes: what a power failure takes is lost, no more.

        Raises
        ------
        OSError
            The disk refuses; the file is as it was.
        """
        if not os.path.samestat(os.fstat(self._handle), os.stat(self.real)):
            raise FileNotFoundError(errno.ENOENT, "another file took its place")
        append_durably(self._handle, lines, sync=sync)

    def read(self, tail: Literal["wait", "read"] = "wait") -> Iterator[tuple[int, Any, bytes]]:
        """Yield the number, the value (None if it cannot be read) and the bytes of each line that was added.

        Parameters
        ----------
        tail : {'wait', 'read'}, default 'wait'
            What to do with a last line without its end, which is being written, or torn: leave it, or read it.

        Raises
        ------
        LogError
            The file cannot be read, became shorter, or is not such a log.
        """
        with self._opened() as file:
            self._check_size(file.seek(0, 2))
            file.seek(self.offset)
            for lines, exact in self._blocks(file, tail):
                for line in lines:
                    self.line += 1
                    self.offset += len(line) + 1
                    try:
                        value = parse(line, exact) if exact else orjson.loads(line)
                    except orjson.JSONDecodeError:
                        value = parse(line)
                    if self._past_header and value is not None:
                        yield self.line, value, line
                    elif not line or line.isspace():
                        continue
                    elif self._past_header or (value is None and self.kind.begins(line)):
                        # Before the header stands what 0.1.0 left of a crash while it made the file.
                        self.torn = self.offset - 1 == self._torn_at
                        yield self.line, None, line
                    else:
                        self._check_header(line)
                        self._past_header = True

    def _blocks(self, file: Any, tail: Literal["wait", "read"]) -> Iterator[tuple[list[bytes], bool]]:
        """Yield whole lines, many at once, and whether they may hold integers of more than 64 bits."""
        rest = b""
        while block := file.read(max(_BLOCK, len(rest))):
            block = rest + block
            lines = block.split(b"\n")
            rest = lines.pop()
            yield lines, _holds_big(block)
        if rest and tail == "read" and not (self.offset == 0 and self._check_first(rest[:_LONGEST_HEADER])):
            self._torn_at = self.offset + len(rest)
            yield [rest], True

    def refused(self, error: OSError) -> LogError:
        """Return the error that says why the disk refused, with the remedy."""
        if isinstance(error, FileNotFoundError):
            return self._unreadable(error)
        return self.kind.write_error(
            f"{self.kind.name} {self.path}: {why_not_written(error)} {self.kind.safe}".rstrip()
        )

    def _is_known(self) -> bool:
        """Tell whether the file is the one whose header was checked."""
        try:
            status = self.real.stat()
        except OSError:
            return False
        return (status.st_dev, status.st_ino) == self._ours

    def _make_folder(self) -> None:
        try:
            self.real.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise self.refused(error) from error

    def refuse(self) -> NoReturn:
        """Raise the error that says that this is not such a log."""
        msg = f"{self.kind.name} {self.path}: is not a {self.kind.what} (its first line is not a header). "
        raise self.kind.format_error(msg + "Choose another path; the file is unchanged.")

    def _check_size(self, size: int) -> None:
        if size < self.offset:
            msg = f"{self.kind.name} {self.path}: became shorter, so something else rewrote it. Restore a backup."
            raise self.kind.read_error(msg)

    def _check_first(self, beginning: bytes) -> bool:
        """Refuse a file of another kind by its first bytes; True if it holds no more than a part of a header."""
        *lines, rest = beginning.split(b"\n")
        for line in lines:
            if line and parse(line, exact=True) is None and self.kind.begins(line):
                continue  # 0.1.0 ended a torn header, and wrote it again in the next line
            self._check_header(line)
            return False
        if parse(rest, exact=True) is None and self.kind.begins(rest):
            return True
        self._check_header(rest)
        return False

    def _check_header(self, line: bytes) -> None:
        header = parse(line, exact=True)
        if not isinstance(header, dict) or header.get("format") != self.kind.format or self._lacks(header):
            self.refuse()
        version = header.get("version")
        if not isinstance(version, int) or version > self.kind.version:
            msg = (
                f"{self.kind.name} {self.path}: has format version {version}, and this routerlab reads up to "
                f"{self.kind.version}. Update routerlab (pip install -U routerlab), or choose another path; the file "
                "is unchanged."
            )
            raise self.kind.format_error(msg)
        self.header = header

    def _lacks(self, header: Record) -> bool:
        return not {"version", *self.kind.fields} <= header.keys()

    @contextmanager
    def _opened(self) -> Iterator[Any]:
        """Open the file for reading, with errors that a user understands."""
        try:
            if not stat.S_ISREG(self.real.stat().st_mode):
                wrong = "is a folder. Name a file in it" if self.real.is_dir() else "is not a file. Choose another path"
                raise self.kind.format_error(f"{self.kind.name} {self.path}: {wrong}.")  # noqa: EM102
            file = self.real.open("rb")
        except OSError as error:
            raise self._unreadable(error) from error
        with file:
            yield file

    def _unreadable(self, error: OSError) -> LogError:
        why = f"cannot be read ({error.strerror or error}). Put it back, check its permissions, or choose another path."
        return self.kind.read_error(f"{self.kind.name} {self.path}: {why}")

    def _busy(self) -> LogError:
        return self.kind.write_error(f"{self.kind.name} {self.path}: {self.kind.busy}")

    def _open_locked(self, create: bool) -> int:
        """Open the file and lock it; once more if it was replaced while we waited."""
        flags = os.O_RDWR | os.O_APPEND | getattr(os, "O_BINARY", 0) | (os.O_CREAT if create else 0)
        deadline = time.monotonic() + self.timeout
        while True:
            handle = os.open(self.real, flags, _MODE)
            try:
                held = _lock(handle)
                if held and os.path.samestat(os.fstat(handle), os.stat(self.real)):
                    return handle
                if not held and time.monotonic() >= deadline:
                    raise self._busy()
            except FileNotFoundError:  # removed between: make it, or say so
                pass
            except BaseException:
                os.close(handle)
                raise
            os.close(handle)
            time.sleep(0.02)

    def _mend(self) -> None:
        """Make sure that the file begins with a header and ends with a line's end."""
        status = os.fstat(self._handle)
        size, identity = status.st_size, (status.st_dev, status.st_ino)
        self._check_size(size)
        if identity != self._ours or _bytes_at(self._handle, 0, len(self._begins)) != self._begins:
            self._torn_at = -1  # another file, maybe with the number of one that was deleted
            if self._check_first(_bytes_at(self._handle, 0, _LONGEST_HEADER)):
                os.ftruncate(self._handle, 0)  # a part of a header holds nothing: write it again
                size = 0
        if not size:
            header = {"format": self.kind.format, "version": self.kind.version, **self._about, "created_at": now()}
            append_durably(self._handle, line_of(header))
            _sync_folder(self.real.parent)
        elif _bytes_at(self._handle, size - 1, 1) != b"\n":
            append_durably(self._handle, b"\n")
            self._torn_at = size
        self._begins, self._ours = _bytes_at(self._handle, 0, _SHOWN), identity


def parse(line: bytes, exact: bool = False) -> Any:
    """Return the value that a line holds, None if it holds none.

    Parameters
    ----------
    line : bytes
        JSON, as Python's own module reads it: NaN, Infinity, lone surrogates and a byte order mark included.
    exact : bool, default False
        Whether integers of more than 64 bits may occur.

    Returns
    -------
    object
        What the line says.

    Examples
    --------
    >>> parse(b'{"cost_usd": NaN}'), parse(b'{"cost_us')
    ({'cost_usd': nan}, None)
    """
    try:
        if not exact or not _holds_big(line):
            return orjson.loads(line)
    except orjson.JSONDecodeError:
        pass
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


def line_of(record: Mapping[str, Any]) -> bytes:
    """Return a record as one line of ASCII; NaN and infinity are refused, since JSON has no such numbers."""
    return (json.dumps(record, allow_nan=False) + "\n").encode("ascii")


def now() -> str:
    """Return the time in UTC, to the millisecond."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def why_not_written(error: Exception) -> str:
    """Say in words what the operating system refused, and the remedy for the common refusals."""
    if not isinstance(error, OSError):
        return f"not written ({type(error).__name__}: {error}). Use text, numbers, lists and dicts only."
    remedy = _REMEDIES.get(error.errno or 0, "Check the disk and try again.")
    return f"not written ({error.strerror or error}). {remedy}"


def append_durably(handle: int, data: bytes, *, sync: bool = True) -> None:
    """Append `data` and fsync; if that fails, take the unacknowledged bytes back and raise the `OSError`."""
    size = os.fstat(handle).st_size
    try:
        _write(handle, data)
        if sync:
            os.fsync(handle)
    except OSError:
        with suppress(OSError):  # the torn line stays: the next writer ends it, and its reader reports it
            os.ftruncate(handle, size)
        raise


def replace_file(path: str | Path, data: bytes) -> None:
    """Write a whole file aside, bring it to the disk, and put it in the place of the old one, which is safe until then.

    Parameters
    ----------
    path : str or Path
        The file; a symbolic link stays, and what it names is replaced. A new file has the usual mode, an old one
        keeps its own.
    data : bytes
        All of it.

    Raises
    ------
    OSError
        The old file is as it was.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     replace_file(f"{folder}/report.html", b"<p>new")
    ...     Path(folder, "report.html").read_text()
    '<p>new'
    """
    target = Path(os.path.realpath(path))
    if target.exists() and not target.is_file():  # a folder raises, a pipe or device is written to
        target.write_bytes(data)
        return
    aside = target.with_name(f".routerlab-{uuid4().hex}")
    try:
        handle = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
        try:
            _write(handle, data)
            os.fsync(handle)
        finally:
            os.close(handle)
        if target.exists():
            aside.chmod(stat.S_IMODE(target.stat().st_mode))
        aside.replace(target)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise
    _sync_folder(target.parent)


def _holds_big(data: bytes) -> bool:
    marked = data.translate(_DIGITS)
    return _BIG[0] in marked or _BIG[1] in marked


def _write(handle: int, data: bytes) -> None:
    written = 0
    while written < len(data):
        written += os.write(handle, data[written:] if written else data)


def _bytes_at(handle: int, offset: int, n: int) -> bytes:
    os.lseek(handle, offset, os.SEEK_SET)
    return os.read(handle, n)


def _sync_folder(folder: Path) -> None:
    """Make the name of a new file as durable as its content, where the system can."""
    if os.name == "nt":
        return
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _lock(handle: int) -> bool:
    """Lock an open file against other writers; False if one holds it. The system frees it if the process dies."""
    try:
        if os.name == "nt":
            import msvcrt

            os.lseek(handle, 1 << 62, os.SEEK_SET)  # far behind the end: Windows keeps readers out of what is locked
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
        else:
            import fcntl

            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        # A file system without such locks has the lock file alone.
        return error.errno not in (errno.EACCES, errno.EAGAIN, errno.EDEADLK)
    return True


def _unlock(handle: int) -> None:
    """Free the lock by name: a forked process may keep a copy of the handle."""
    with suppress(OSError):
        if os.name == "nt":
            import msvcrt

            os.lseek(handle, 1 << 62, os.SEEK_SET)
            msvcrt.locking(handle, msvcrt.LK_UNLCK, 1)  # type: ignore[attr-defined]
        else:
            import fcntl

            fcntl.flock(handle, fcntl.LOCK_UN)
