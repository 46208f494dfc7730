"""The capture file: one JSON line for each call and each feedback, never in the way of a reply."""

from __future__ import annotations

import json
import math
import os
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from routerlab.completions import ProcessLock, real_keys, renew_after_fork
from routerlab.disk import append_durably, file_lock, why_not_written
from routerlab.schema import reject
from routerlab.serving._errors import CaptureWarning

FORMAT, VERSION = "routerlab-captures", 1
_BIRTH = json.dumps({"format": FORMAT})[:-1].encode()  # how every file begins
_TEXTS = ("prompt", "response", "note", "message", "tool_calls", "refusal")
_MODE = 0o600  # of a new file: what people ask is for its owner alone
_LOCK_S = 2.0  # a reply does not wait longer for another process that writes

Record = dict[str, Any]
Redact = Callable[[Record], Mapping[str, Any] | None]


class CaptureLog:
    """Appends records to a JSONL file from any thread and process; what it cannot write it counts.

    Parameters
    ----------
    path : str or Path
        The file; its folder is made if need be.
    redact : callable, optional
        From a record to the record to write, or None to write nothing.
    store_text : bool
        Whether prompts, responses and notes are written.
    sync : bool
        Whether each record is on the disk before the reply is handed over.
    secrets : callable
        Returns the values that never reach the file.

    Attributes
    ----------
    n_lost : int
        Records that were to be written and are not.

    Raises
    ------
    TableError
        The file is no capture file, or a newer routerlab wrote it.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        redact: Redact | None,
        store_text: bool,
        sync: bool,
        secrets: Callable[[], Iterable[str]] = tuple,
    ) -> None:
        self.path = Path(path)
        self.redact = redact
        self.store_text = store_text
        self.sync = sync
        self.n_lost = 0
        self._secrets = secrets
        self._one_at_a_time = ProcessLock()
        self.after_fork()
        renew_after_fork(self)
        if self.path.is_file():
            with self.path.open("rb") as file:
                check_header(self.path, file.readline())

    def after_fork(self) -> None:
        """Forget what the parent process holds, and what it is about to write itself."""
        self._lock = file_lock(self.path, _LOCK_S)
        self._left: deque[bytes] = deque()
        self._writing = False

    def write(self, record: Record) -> bool:
        """Write a record; warn and return False if that cannot be."""
        try:
            line = self._line(record)
        except Exception as error:  # whatever a redaction hook may raise: nothing unredacted is written
            what = "the record" if self.redact is None else "'redact'"
            return self.lose(f"{what} failed ({type(error).__name__}), so nothing was written. Correct the hook.")
        if line is None:
            return False
        with self._one_at_a_time:
            if (
                self._writing
            ):  # garbage was collected inside a write, and a stream among it: that write takes this along
                self._left.append(line)
                return True
            refused = self._write(line)
        return refused is None or self.lose(_why(refused))

    def _write(self, line: bytes) -> Exception | None:
        """Append a line, and those that came up meanwhile."""
        self._writing = True
        try:
            refused = self._append_locked(line)
            while self._left:
                self.n_lost += self._append_locked(self._left.popleft()) is not None
        finally:
            self._writing = False
        return refused

    def _append_locked(self, line: bytes) -> Exception | None:
        """Append a line under the lock among processes; return what went wrong, which is never worth a reply."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self._lock:
                self._append(line)
        except Exception as error:
            return error
        return None

    def _line(self, record: Record) -> bytes | None:
        kept = record if self.store_text else _without_texts(record)
        redacted = kept if self.redact is None else self.redact(kept)
        if redacted is None:
            return None
        whole = {**dict(redacted), "type": record["type"], "request_id": record["request_id"]}
        return (json.dumps(_plain(whole, real_keys(self._secrets())), allow_nan=False) + "\n").encode("ascii")

    def _append(self, line: bytes) -> None:
        torn = _torn(self.path)
        if torn is None:  # nothing, or the beginning of a header: a crash while the file was made
            with suppress(FileNotFoundError):
                os.truncate(self.path, 0)
            header = {"format": FORMAT, "version": VERSION, "created_at": now()}
            line = json.dumps(header).encode("ascii") + b"\n" + line
        append_durably(self.path, (b"\n" if torn else b"") + line, create=True, sync=self.sync, mode=_MODE)

    def lose(self, why: str) -> bool:
        """Count a record that is not written, and warn."""
        with self._one_at_a_time:
            self.n_lost += 1
        message = f"Captures {self.path}: {why} The reply is not affected; {self.n_lost} captures are lost so far."
        warnings.warn(message, CaptureWarning, stacklevel=2)
        return False


def _why(error: Exception) -> str:
    from filelock import Timeout

    if isinstance(error, Timeout):
        return f"another process held its lock for {_LOCK_S:g} s. Give each service its own file."
    return why_not_written(error) if isinstance(error, OSError) else f"not written ({type(error).__name__}: {error})."


def check_header(path: Path, line: bytes) -> None:
    """Raise `TableError` unless `line` begins a capture file that this version reads; an empty file is one, too."""
    if not line.endswith(b"\n") and (_BIRTH.startswith(line) or line.startswith(_BIRTH)):
        return
    try:
        header = json.loads(line)
    except ValueError:
        header = None
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        reject(
            f"Captures {path}", "is no capture file (its first line is no header).", "Choose another; it is unchanged."
        )
    if not isinstance(header.get("version"), int) or header["version"] > VERSION:
        reject(
            f"Captures {path}",
            f"has format version {header.get('version')}, and this routerlab reads up to {VERSION}.",
            "Update routerlab (pip install -U routerlab), or choose another file; it is unchanged.",
        )


def now() -> str:
    """Return the time in UTC, to the millisecond."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _torn(path: Path) -> bool | None:
    """Whether the last line lacks its end; None if there is no whole line."""
    try:
        with path.open("rb") as file:
            if not file.readline().endswith(b"\n"):
                return None
            file.seek(-1, os.SEEK_END)
            return file.read(1) != b"\n"
    except FileNotFoundError:
        return None


def _without_texts(value: Any) -> Any:
    """Leave out what people or models wrote, at every depth."""
    if isinstance(value, Mapping):
        return {k: _without_texts(v) for k, v in value.items() if k not in _TEXTS}
    return [_without_texts(v) for v in value] if isinstance(value, list | tuple) else value


def _plain(value: Any, keys: Sequence[str]) -> Any:
    """Take keys out, and say what JSON has no numbers for: null for a cost that nobody knows, 'inf' for a WTP."""
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else repr(value)
    if isinstance(value, str):
        for key in keys:
            value = value.replace(key, "[key]")
        return value
    if isinstance(value, Mapping):
        return {str(k): _plain(v, keys) for k, v in value.items()}
    return [_plain(v, keys) for v in value] if isinstance(value, list | tuple) else value
