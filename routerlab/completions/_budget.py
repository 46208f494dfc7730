"""A budget that is never passed: the most that a request can cost is set aside before it is sent."""

from __future__ import annotations

import asyncio
import math


class Budget:
    """USD spent, maybe billed, and set aside for requests in flight.

    Parameters
    ----------
    limit_usd : float
        inf for none.
    spent_usd, unsure_usd : float
        By earlier runs in the same journal.

    Attributes
    ----------
    used_up : bool
        Whether a request did not fit any more.
    """

    def __init__(self, limit_usd: float = math.inf, spent_usd: float = 0.0, unsure_usd: float = 0.0) -> None:
        self.limit_usd = limit_usd
        self.spent_usd = spent_usd
        self.unsure_usd = unsure_usd
        self.used_up = False
        self._in_flight: list[float] = []
        self._changed = asyncio.Event()

    async def set_aside(self, usd: float) -> bool:
        """Wait until `usd` fits beside what is in flight; False if it never will."""
        while not self.used_up and not self._fits(usd):
            if not self._in_flight:
                self.used_up = True
                self._changed.set()
                return False
            self._changed.clear()
            await self._changed.wait()
        if self.used_up:
            return False
        self._in_flight.append(usd)
        return True

    def settle(self, usd: float, *, spent_usd: float, unsure_usd: float) -> None:
        """Give back the `usd` that were set aside, and count what came of them."""
        self._in_flight.remove(usd)
        self.spent_usd += spent_usd
        self.unsure_usd += unsure_usd
        self._changed.set()

    def _fits(self, usd: float) -> bool:
        if math.isinf(self.limit_usd):
            return True
        return math.fsum([self.spent_usd, self.unsure_usd, *self._in_flight, usd]) <= self.limit_usd
