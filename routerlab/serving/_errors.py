"""What a caller is told without being stopped, and what is wrong with a file of captures."""

from routerlab.jsonl import LogFormatError
from routerlab.schema import TableError


class CaptureError(LogFormatError, TableError):
    """The file is not one of captures, cannot be read, or comes from a newer routerlab."""


class CaptureWarning(UserWarning):
    """A call or feedback was not captured, or lines of a capture file cannot be read; replies are not affected."""


class EndpointWarning(UserWarning):
    """An endpoint refuses every request (wrong key, no credit, no such model), and others answer in its place."""
