"""Endpoints that failed a moment ago, which are asked after the others."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence

from routerlab.completions import Endpoint, Failure

_LONGEST_S = 300.0  # whatever a provider's Retry-After says


class Cooldown:
    """Who failed a moment ago, so that not every call waits for the time-out of a provider that is down.

    Parameters
    ----------
    rest_s : float
        Seconds that an endpoint rests after a failure that does not say for how long; 0 turns this off.

    Examples
    --------
    >>> down, up = Endpoint("down"), Endpoint("up")
    >>> cooldown = Cooldown(15)
    >>> cooldown.note(down, Failure("timed out", retryable=True))
    >>> [name for name, _ in cooldown.last([("large", [down]), ("small", [up])])]
    ['small', 'large']
    """

    def __init__(self, rest_s: float) -> None:
        self.rest_s = rest_s
        self._until: dict[int, float] = {}  # id of an endpoint -> when it may be asked in its turn again

    def last(self, models: Iterable[tuple[str, Sequence[Endpoint]]]) -> list[tuple[str, list[Endpoint]]]:
        """Put those that rest behind all others; each part keeps its order."""
        models = list(models)
        parts = [
            (name, [endpoint for endpoint in endpoints if self.rests(endpoint) == resting])
            for resting in (False, True)
            for name, endpoints in models
        ]
        return [(name, endpoints) for name, endpoints in parts if endpoints]

    def rests(self, endpoint: Endpoint) -> bool:
        """Whether it failed a moment ago."""
        return time.monotonic() < self._until.get(id(endpoint), 0.0)

    def note(self, endpoint: Endpoint, failure: Failure) -> None:
        """Let it rest after a failure that is its own: as long as its Retry-After asks for, and no longer."""
        if self.rest_s > 0:
            asked = failure.retry_after_s
            seconds = min(self.rest_s if asked is None else asked, _LONGEST_S)
            self._until[id(endpoint)] = time.monotonic() + seconds

    def wake(self, endpoint: Endpoint) -> None:
        """End its rest: it has answered."""
        self._until.pop(id(endpoint), None)
