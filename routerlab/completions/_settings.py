"""How requests are sent: the limits, checked."""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Integral, Real

from routerlab.schema import reject


@dataclass(frozen=True)
class Settings:
    """Limits of a run; see `run_requests`."""

    budget_usd: float | None = None
    concurrency: int = 8
    timeout_s: float = 60.0
    max_attempts: int = 6
    backoff_s: float = 1.0
    max_wait_s: float = 60.0
    random_state: int | None = None

    @property
    def limit_usd(self) -> float:
        """The budget, inf for none."""
        return math.inf if self.budget_usd is None else float(self.budget_usd)

    @property
    def patience(self) -> int:
        """Requests that may fail in a row, with all their attempts, before an endpoint counts as down."""
        return max(10, 2 * self.concurrency)

    def check(self) -> None:
        """Raise `TableError` for a limit that cannot be kept."""
        for name, low, example in (
            ("budget_usd", 0.0, "2.5"),
            ("timeout_s", 1e-3, "60"),
            ("backoff_s", 0.0, "1.0"),
            ("max_wait_s", 0.0, "60"),
        ):
            value = getattr(self, name)
            if value is None and name == "budget_usd":
                continue
            if not _is_number(value) or not math.isfinite(value) or value < low:
                reject(f"'{name}'", f"got {value!r}, expected a finite number of at least {low:g}.", f"E.g. {example}.")
        for name, example in (("concurrency", "8"), ("max_attempts", "6")):
            value = getattr(self, name)
            if not isinstance(value, Integral) or isinstance(value, bool) or value < 1:
                reject(f"'{name}'", f"got {value!r}, expected a whole number of at least 1.", f"E.g. {example}.")


def _is_number(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)
