"""Responses from any OpenAI-compatible endpoint: paid for once, on disk before the next request goes out.

OpenAI, OpenRouter, Azure, vLLM, Ollama or a llama.cpp server differ in the client's ``base_url`` and key,
and in nothing else. `collect_responses` fills the responses table; `run_requests` is the engine under it and under
the judges.
"""

from routerlab.completions._collect import arun_requests, collect_responses, run_requests
from routerlab.completions._endpoint import Endpoint, Models, Request, check_params, host_of, resolve_models
from routerlab.completions._engine import CAME_BEFORE, Seen
from routerlab.completions._plan import CostEstimate, estimate_requests
from routerlab.completions._protocol import (
    Account,
    Failure,
    Reply,
    ToolCalls,
    account,
    billed_usage,
    most_cost,
    most_tokens,
    part_of,
    read_error,
    read_reply,
    request_cost,
    retry_after,
    sound_text,
    text_of,
    wait_s,
    word_of,
)
from routerlab.completions._report import Run, RunReport, counted
from routerlab.completions._transport import (
    Deadline,
    ProcessLock,
    answered_within,
    async_client,
    check_client,
    guard,
    real_keys,
    renew_after_fork,
    scrub,
    secrets_of,
)
from routerlab.exceptions import CollectionWarning, EndpointRefused, JournalError

__all__ = [
    "Account",
    "CAME_BEFORE",
    "CollectionWarning",
    "CostEstimate",
    "Deadline",
    "Endpoint",
    "EndpointRefused",
    "Failure",
    "JournalError",
    "Models",
    "ProcessLock",
    "Reply",
    "Request",
    "Run",
    "RunReport",
    "Seen",
    "ToolCalls",
    "account",
    "answered_within",
    "arun_requests",
    "async_client",
    "billed_usage",
    "check_client",
    "check_params",
    "collect_responses",
    "counted",
    "estimate_requests",
    "guard",
    "host_of",
    "most_cost",
    "most_tokens",
    "part_of",
    "read_error",
    "read_reply",
    "real_keys",
    "renew_after_fork",
    "request_cost",
    "resolve_models",
    "retry_after",
    "run_requests",
    "scrub",
    "secrets_of",
    "sound_text",
    "text_of",
    "wait_s",
    "word_of",
]
