"""Judge models: let one compare responses, measure how far to trust it, and use it without trusting it."""

from routerlab.judging._grade import PointwiseJudge, grade_messages
from routerlab.judging._judge import RUBRIC, PairwiseJudge, combine_orders, judge_messages
from routerlab.judging._trust import JudgeReport, judge_trust
from routerlab.judging._verdict import Verdict, parse_grade, parse_verdict
from routerlab.ratings import ppi_rate, ppi_win_rate

__all__ = [
    "RUBRIC",
    "JudgeReport",
    "PairwiseJudge",
    "PointwiseJudge",
    "Verdict",
    "combine_orders",
    "grade_messages",
    "judge_messages",
    "judge_trust",
    "parse_grade",
    "parse_verdict",
    "ppi_rate",
    "ppi_win_rate",
]
