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
        why = attrs.get("unreadable", {})
        reasons = f" ({', '.join(f'{reason} {n:,}' for reason, n in why.items())})" if why else ""
        raised = " Raise max_tokens for those that were cut off." if "cut off" in why else ""
        n_unreadable = counted(attrs["n_unreadable"], "verdict")
        found.append(f"{n_unreadable} could not be read{reasons}: see PairwiseJudge.verdicts.{raised}")
    if attrs["n_incomplete"]:
        found.append(
            f"{counted(attrs['n_incomplete'], 'pair lacks', 'pairs lack')} a verdict in one order or both: left out."
        )
    if attrs["n_left_out"]:
        found.append(f"{counted(attrs['n_left_out'], 'pair was', 'pairs were')} not shown, as a response is missing.")
    if found:
        warnings.warn(" ".join(found), CollectionWarning, stacklevel=3)
