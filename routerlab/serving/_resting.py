"""Endpoints that failed a moment ago, which are asked after the others."""

from __future__ import annotations

import time
from collections.abc import Iterable

from routerlab.completions import Endpoint, Failure

_LONGEST_S = 300.0  # whatever a provider's Retry-After says


class Resting:
    """Who failed a moment ago, so that not every call waits for the time-out of a provider that is down.

    Parameters
    ----------
    rest_s : float
        Seconds that an endpoint rests after a failure, or as long as its Retry-After asks for; 0 turns this off.

    Examples
    --------
    >>> down, up = Endpoint("down"), Endpoint("up")
    >>> resting = Resting(15)
    >>> resting.note(down, Failure("timed out", again=True))
    >>> [endpoint.model for _, endpoint in resting.last([("large", down), ("small", up)])]
    ['up', 'down']
    """

    def __init__(self, rest_s: float) -> None:
        self.rest_s = rest_s
        self._until: dict[int, float] = {}  # id of an endpoint -> when it may be asked in its turn again

    def last(self, order: Iterable[tuple[str, Endpoint]]) -> list[tuple[str, Endpoint]]:
        """Put those that rest behind all others; each part keeps its order."""
        return sorted(order, key=lambda pair: self.rests(pair[1]))

    def rests(self, endpoint: Endpoint) -> bool:
        """Whether it failed a moment ago."""
        return time.monotonic() < self._until.get(id(endpoint), 0.0)

    def note(self, endpoint: Endpoint, failure: Failure) -> None:
        """Let it rest after a failure that is its own."""
        if self.rest_s > 0:
            seconds = min(max(self.rest_s, failure.retry_after_s or 0.0), _LONGEST_S)
            self._until[id(endpoint)] = time.monotonic() + seconds

    def wake(self, endpoint: Endpoint) -> None:
        """End its rest: it has answered."""
        self._until.pop(id(endpoint), None)
