"""A router in service: chat completions routed call by call, and captured to fit the next router on.

`RoutedClient` and `AsyncRoutedClient` take the place of ``openai.OpenAI`` and ``openai.AsyncOpenAI``; `read_captured`
reads what they wrote as the project's own tables.
"""

from routerlab.exceptions import CaptureError, CaptureWarning, EndpointWarning
from routerlab.serving._calls import Escalated, Routed
from routerlab.serving._captures import Captured, read_captured
from routerlab.serving._client import AsyncRoutedClient, AsyncRoutedStream, RoutedClient, RoutedStream
from routerlab.serving._decide import Decision, last_user_text

__all__ = [
    "AsyncRoutedClient",
    "AsyncRoutedStream",
    "CaptureError",
    "CaptureWarning",
    "Captured",
    "Decision",
    "EndpointWarning",
    "Escalated",
    "Routed",
    "RoutedClient",
    "RoutedStream",
    "last_user_text",
    "read_captured",
]
