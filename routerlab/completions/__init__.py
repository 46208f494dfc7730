"""Responses from any OpenAI-compatible endpoint: paid for once, on disk before the next request goes out.

OpenAI, OpenRouter, Azure, vLLM, Ollama or a llama.cpp server differ in the client's ``base_url`` and key,
and in nothing else. `collect_responses` fills the responses table; `run_requests` is the engine under it and under
the judges.
"""

from routerlab.completions._accounting import Account, account, billed_usage, most_cost, most_tokens, request_cost
from routerlab.completions._attempt import Failure, Reply, read_error, read_reply, retry_after, wait_s
from routerlab.completions._clients import async_client, check_client, secrets_of
from routerlab.completions._collect import collect_responses
from routerlab.completions._content import ToolCalls, part_of, sound_text, text_of, word_of
from routerlab.completions._endpoint import Endpoint, Models, Request, check_params, host_of, resolve_models
from routerlab.completions._estimate import CostEstimate, estimate_requests
from routerlab.completions._guard import Deadline, answered_within, guard
from routerlab.completions._processes import ProcessLock, renew_after_fork
from routerlab.completions._report import Run, RunReport
from routerlab.completions._run import arun_requests, run_requests
from routerlab.completions._secrets import real_keys, scrub
from routerlab.completions._served import CAME_BEFORE, Seen
from routerlab.completions._words import counted
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
