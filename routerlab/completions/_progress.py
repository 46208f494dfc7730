"""The progress bar: how many replies, USD spent, time left."""

from __future__ import annotations

import math
import sys
from typing import Any

from routerlab.completions._report import usd


class Progress:
    """A tqdm bar, or nothing.

    Parameters
    ----------
    show : bool
        False: nothing is shown.
    total, done : int
        Requests, and those that the journal answers.
    budget_usd : float
        inf for none.
    """

    def __init__(self, *, show: bool, total: int, done: int, budget_usd: float) -> None:
        from tqdm.auto import tqdm

        self._bar: Any = tqdm(total=total, initial=done, unit="reply", disable=not show, dynamic_ncols=True)
        self._budget_usd = budget_usd
        self._failed = 0

    def update(self, *, spent_usd: float, failed: bool) -> None:
        """Count one more request, and show what all have cost."""
        self._failed += failed
        text = f"{usd(spent_usd)} USD"
        text += f" of {usd(self._budget_usd)}" if math.isfinite(self._budget_usd) else ""
        text += f", {self._failed:,} failed" if self._failed else ""
        self._bar.set_postfix_str(text, refresh=False)
        self._bar.update()

    def say(self, text: str) -> None:
        """Show a line above the bar, or without one."""
        self._bar.write(text, file=sys.stderr)

    def close(self) -> None:
        """End the bar where it stands."""
        self._bar.close()
