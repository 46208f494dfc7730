"""Judge models: how far to trust one, and how to use it without trusting it."""

from routerlab.judging._rate import ppi_rate
from routerlab.judging._trust import JudgeReport, judge_trust
from routerlab.judging._win_rate import ppi_win_rate

__all__ = ["JudgeReport", "judge_trust", "ppi_rate", "ppi_win_rate"]
