"""The capture file: one JSON line for each call and each feedback, never in the way of a reply."""

from __future__ import annotations

import math
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from routerlab.completions import ProcessLock, real_keys, renew_after_fork
from routerlab.exceptions import CaptureError, CaptureWarning, LogError
from routerlab.jsonl import Kind, Log, Record, line_of, now, why_not_written

__all__ = ["CaptureLog", "Record", "Redact", "now"]

_LOCK_S = 2.0  # a reply does not wait longer for another process that writes
KIND = Kind(
    "routerlab-captures",
    1,
    "Captures",
    "capture file",
    busy=f"another process held its lock for {_LOCK_S:g} s. Give each service its own file.",
    safe="",
    format_error=CaptureError,
    read_error=CaptureError,
)
_TEXTS = ("prompt", "response", "note", "message", "tool_calls", "refusal")

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
        self._log = Log(path, KIND, timeout=_LOCK_S)
        self._log.check()
        self._one_at_a_time = ProcessLock()
        self.after_fork()
        renew_after_fork(self)

    def after_fork(self) -> None:
        """Forget what the parent process is about to write itself."""
        self._waiting: deque[bytes] = deque()
        self._writes = False

    def write(self, record: Record) -> bool:
        """Write a record; warn and return False if that cannot be."""
        try:
            line = self._line(record)
        except Exception as error:  # whatever a redaction hook may raise: nothing unredacted is written
            what = "the record" if self.redact is None else "'redact'"
            return self.lose(f"{what} failed ({type(error).__name__}), so nothing was written. Correct the hook.")
        return line is not None and self._lose(self._write(line))

    def _write(self, line: bytes) -> list[str]:
        """Write a line and what comes meanwhile; return why lines are lost.

        A stream that the garbage collector closes in the middle of a write comes here again, in the same thread.
        """
        problems: list[str] = []
        with self._one_at_a_time:
            self._waiting.append(line)
            if self._writes:
                return []
            self._writes = True
            try:
                while self._waiting:
                    line = self._waiting.popleft()
                    try:
                        with self._log.locked():
                            self._log.append(line, sync=self.sync)
                    except LogError as error:
                        problems.append(str(error))
                    except Exception as error:  # noqa: BLE001 - whatever it is, the reply is paid for
                        problems.append(f"Captures {self.path}: {why_not_written(error)}")
            finally:
                self._writes = False
        return problems

    def _line(self, record: Record) -> bytes | None:
        kept = record if self.store_text else _without_texts(record)
        redacted = kept if self.redact is None else self.redact(kept)
        if redacted is None:
            return None
        whole = {**dict(redacted), "type": record["type"], "request_id": record["request_id"]}
        return line_of(_plain(whole, real_keys(self._secrets())))

    def lose(self, why: str) -> bool:
        """Count and warn of a record that is lost."""
        return self._lose([f"Captures {self.path}: {why}"])

    def _lose(self, problems: list[str]) -> bool:
        """Count and warn of what is lost; True if nothing is."""
        for problem in problems:
            with self._one_at_a_time:
                self.n_lost += 1
            message = f"{problem} The reply is not affected; {self.n_lost} captures are lost so far."
            warnings.warn(message, CaptureWarning, stacklevel=3)
        return not problems


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
