"""What a user should know of a judge's run, in one warning."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

from routerlab.completions import CollectionWarning, RunReport, counted


def warn_of_problems(report: RunReport, attrs: Mapping[str, Any]) -> None:
    """Warn, at the line that called `PairwiseJudge.judge`, of requests and pairs without a verdict."""
    found = list(report.problems("PairwiseJudge.verdicts, column 'error'"))
    if attrs["n_unreadable"]:
        found.append(f"{counted(attrs['n_unreadable'], 'verdict')} could not be read: see PairwiseJudge.verdicts.")
    if attrs["n_incomplete"]:
        found.append(
            f"{counted(attrs['n_incomplete'], 'pair lacks', 'pairs lack')} a verdict in one order or both: left out."
        )
    if attrs["n_left_out"]:
        found.append(f"{counted(attrs['n_left_out'], 'pair was', 'pairs were')} not shown, as a response is missing.")
    if found:
        warnings.warn(" ".join(found), CollectionWarning, stacklevel=3)
