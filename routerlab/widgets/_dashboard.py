"""How a labelling study goes: progress, agreement, what each rater is like, what to settle, how many votes are left."""

from collections.abc import Callable, Iterable
from functools import partial
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import traitlets

from routerlab.jsonl import replace_file
from routerlab.labeling import (
    PairQueue,
    VoteLog,
    disagreements,
    krippendorff_alpha,
    position_bias,
    self_consistency,
    standings,
    to_judgments,
    votes_needed,
)
from routerlab.markup import visible
from routerlab.schema import TableError, provenance_of, reject
from routerlab.widgets._labeler import Asker, boxed, source, style

_MOST = 50  # rows of a table; the page says how many there are
_TITLE = "How labeling goes"
Cell = tuple[str, Any]  # HTML, and what it is sorted by


class LabelingDashboard(Asker):
    """Show the owner of a study how far raters are, how far to trust them, and what to do next.

    For each rater: progress, position bias and self-consistency. For all: Krippendorff's alpha, the ratings so far,
    how many more votes would tell neighbours apart, and the pairs on which raters disagree. It names the models, so it
    is not for those who vote.

    Parameters
    ----------
    votes : path, VoteLog, iterable of them, or DataFrame
        A folder of logs (read again by Refresh), or votes, as in `to_judgments`.
    responses : DataFrame, optional
        What is labelled: progress is shown against all pairs of responses in it.
    goal : int, optional
        Pairs that each rater is to decide, in place of all.
    adjudicator : str, optional
        Rater who settles disagreements: pairs that they judged are off the list.
    confidence : float, default 0.95
        Nominal coverage of every interval.

    Attributes
    ----------
    judgments : DataFrame
        The votes that count, of all raters.
    raters : DataFrame
        One row for each rater: ``n_votes, n_repeats, left_share, left_low, left_high, same_share, same_low, same_high,
        median_seconds, last_vote``.
    to_adjudicate : DataFrame
        Pairs on which raters disagree, see `disagreements`: pass it as ``PairQueue(pairs=...)``.

    Raises
    ------
    TableError
        Bad tables; votes that do not say whose they are.

    Examples
    --------
    >>> rows = [(p, "x", "y", w, j) for p, (w, j) in enumerate([("model_a", "ana"), ("model_b", "ben")] * 3)]
    >>> rows += [(0, "y", "x", "model_a", "ben")]
    >>> votes = pd.DataFrame(rows, columns=["prompt_id", "model_a", "model_b", "winner", "judge"])
    >>> dashboard = LabelingDashboard(votes)
    >>> dashboard
    LabelingDashboard(7 votes of 2 raters, 1 pair to adjudicate)
    >>> dashboard.raters["n_votes"].to_dict()
    {'ana': 3, 'ben': 4}
    """

    _esm = source("dashboard.js")
    html = traitlets.Unicode().tag(sync=True)
    error = traitlets.Unicode().tag(sync=True)

    def __init__(
        self,
        votes: VoteLog | pd.DataFrame | str | Path | Iterable[VoteLog | str | Path],
        responses: pd.DataFrame | None = None,
        *,
        goal: int | None = None,
        adjudicator: str | None = None,
        confidence: float = 0.95,
    ) -> None:
        self._source = votes if isinstance(votes, pd.DataFrame | VoteLog | str | Path) else list(votes)
        self._goal = goal if goal is not None or responses is None else PairQueue(responses).progress().n_pairs
        self._adjudicator, self._confidence = adjudicator, confidence
        super().__init__()
        self.refresh()

    def __repr__(self) -> str:
        n = len(self.to_adjudicate)
        counts = f"{len(self.judgments)} votes of {len(self.raters)} raters, {n} pair{'' if n == 1 else 's'}"
        return f"LabelingDashboard({counts} to adjudicate)"

    def refresh(self) -> None:
        """Read the logs again; the page follows."""
        self.judgments = to_judgments(self._source)
        if "judge" not in self.judgments or self.judgments["judge"].isna().any():
            reject("votes", "do not say whose they are.", "Give them a column 'judge', or pass a folder of logs.")
        self.raters = rater_table(self.judgments, self._confidence)
        self.to_adjudicate = disagreements(self.judgments, adjudicator=self._adjudicator)
        self.html, self.error = visible(self._body())[0], ""

    def to_html(self, path: str | Path | None = None) -> str:
        """Write the dashboard as one HTML file that needs no kernel and no network.

        Parameters
        ----------
        path : str or Path, optional
            Where to write it.

        Returns
        -------
        str
            The document.
        """
        document = (
            f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{_TITLE}</title>'
            f'<meta name="viewport" content="width=device-width"><meta http-equiv="Content-Security-Policy" '
            f"content=\"default-src 'none'; style-src 'unsafe-inline'\"><style>{style()}\n"
            f"body{{margin:0;background:Canvas;color-scheme:light dark}}</style></head><body>"
            f'<main class="rl rl-report rl-dashboard"><div class="rl-head"><h1 class="rl-title">{_TITLE}</h1></div>'
            f"{self.html}</main></body></html>\n"
        )
        if path is not None:
            replace_file(path, document.encode(errors="backslashreplace"))
        return document

    def _handle(self, content: dict[str, Any]) -> None:
        if content["type"] == "refresh":
            self.refresh()

    def _fail(self, message: str) -> None:
        self.error = message

    def _summary(self) -> str:
        return boxed(_TITLE, self.html, "Run this cell to refresh it.")

    def _body(self) -> str:
        provenance = provenance_of(self.judgments)
        notice = f'<div class="rl-notice">{escape(provenance)}</div>' if provenance else ""
        parts = [notice, self._counts(), self._of_raters(), self._of_models(), self._of_pairs()]
        return "\n".join(part for part in parts if part)

    def _counts(self) -> str:
        votes = self.judgments
        low, high = votes["model_a"].astype(str), votes["model_b"].astype(str)
        names = pd.DataFrame(
            {"p": votes["prompt_id"], "a": low.where(low < high, high), "b": high.where(low < high, low)}
        )
        judges = votes["judge"].groupby([names["p"], names["a"], names["b"]]).nunique()
        alpha = tried(lambda: krippendorff_alpha(votes, confidence=self._confidence))
        if isinstance(alpha, str):
            agreed = ("Krippendorff's alpha", "–", alpha)
        else:
            said = f"[{alpha.ci_low:.2f}, {alpha.ci_high:.2f}]; {alpha.raw:.0%} of votes on the same pair agree"
            agreed = ("Krippendorff's alpha", f"{alpha.alpha:.2f}", said + (f" ({alpha.note})" if alpha.note else ""))
        n = len(self.to_adjudicate)
        tiles = [
            ("Votes", f"{len(votes):,}", f"by {len(self.raters):,} rater{'' if len(self.raters) == 1 else 's'}"),
            ("Pairs with a vote", f"{len(judges):,}", f"{int((judges > 1).sum()):,} by two raters or more"),
            agreed,
            ("To adjudicate", f"{n:,}", f"{int((self.to_adjudicate['severity'] == 2).sum()):,} with opposite winners"),
        ]
        cells = (
            f'<div class="rl-tile"><span class="rl-muted">{escape(name)}</span><b>{escape(figure)}</b> '
            f"<small>{escape(said)}</small></div>"
            for name, figure, said in tiles
        )
        return f'<div class="rl-tiles">{"".join(cells)}</div>'

    def _of_raters(self) -> str:
        rows = []
        for rater, row in self.raters.iterrows():
            done = int(row["n_votes"] - row["n_repeats"])
            of = "" if self._goal is None else f" of {self._goal:,}"
            bias = share_cell(row["left_share"], row["left_low"], row["left_high"], middle=0.5)
            if row["left_low"] > 0.5 or row["left_high"] < 0.5:
                bias = (
                    bias[0] + f' <em class="rl-split">leans {"left" if row["left_share"] > 0.5 else "right"}</em>',
                    bias[1],
                )
            same = share_cell(row["same_share"], row["same_low"], row["same_high"])
            seconds = row["median_seconds"]
            pace = ("–", -1.0) if pd.isna(seconds) else (f"{seconds:.0f} s", float(seconds))
            last = row["last_vote"]
            when = ("–", "") if pd.isna(last) else (f"{last:%Y-%m-%d %H:%M}", f"{last:%Y%m%d%H%M%S}")
            rows.append(
                [text_cell(rater), (f"{done:,}{of}{progress_bar(done, self._goal)}", done), bias, same, pace, when]
            )
        heads = ["Rater", "Pairs", "Left wins, %", "Same verdict when swapped, %", "Median time", "Last vote (UTC)"]
        note = f"{100 * self._confidence:.5g}% intervals, over prompts. Without position bias, left wins 50%."
        return section("Raters", table(heads, rows), note)

    def _of_models(self) -> str:
        result = tried(lambda: standings(self.judgments, confidence=self._confidence))
        if isinstance(result, str):
            return section("Votes needed", "", result)
        rows = []
        for k in range(2, min(len(result.models), _MOST) + 1):
            gap = votes_needed(result, k)
            said = f"{gap.difference:+.0f} [{gap.ci_low:+.0f}, {gap.ci_high:+.0f}]"
            rows.append(
                [
                    (str(k - 1), k),
                    text_cell(gap.better),
                    text_cell(gap.worse),
                    (said, gap.difference),
                    (gap.forecast, gap.n_votes),
                ]
            )
        heads = ["Rank", "Model", "leads", "by, points", "More votes on this pair"]
        note = (
            "Confidence sequences: they hold at every look, so you may stop once two are told apart. "
            "The forecast takes the present estimates for the truth."
        )
        return section("Votes needed", table(heads, rows), note)

    def _of_pairs(self) -> str:
        pairs = self.to_adjudicate
        rows = [
            [*map(text_cell, (r.prompt_id, f"{r.model_a} · {r.model_b}", r.verdicts)), (str(r.severity), r.severity)]
            for r in pairs.head(_MOST).itertuples()
        ]
        rest = f"The first {_MOST} of {len(pairs):,}. " if len(pairs) > _MOST else ""
        note = f"{rest}Severity 2: opposite winners. All are in dashboard.to_adjudicate."
        none = "Raters agree on all pairs that they share." if rows == [] else note
        return section("To adjudicate", table(["Prompt", "Models", "Verdicts", "Severity"], rows) if rows else "", none)


def rater_table(judgments: pd.DataFrame, confidence: float = 0.95) -> pd.DataFrame:
    """Return what is known of each rater, by the functions that `routerlab.labeling` has for it.

    Examples
    --------
    >>> rows = [(p, "x", "y", w, "ana") for p, w in enumerate(["model_a", "model_a", "model_b", "tie"])]
    >>> votes = pd.DataFrame(rows, columns=["prompt_id", "model_a", "model_b", "winner", "judge"])
    >>> rater_table(votes)[["n_votes", "left_share"]].round(2).to_dict("index")
    {'ana': {'n_votes': 4, 'left_share': 0.67}}
    """
    rows = []
    for rater, votes in judgments.groupby("judge", sort=True, observed=True):
        bias = tried(partial(position_bias, votes, confidence=confidence))
        same = tried(partial(self_consistency, votes, confidence=confidence))
        row = {"rater": rater, "n_votes": len(votes)}
        row["n_repeats"] = int(votes["repeat_of"].notna().sum()) if "repeat_of" in votes else 0
        for name, found in (("left", bias), ("same", same)):
            share = None if isinstance(found, str) else getattr(found, name)
            ends = (np.nan,) * 3 if share is None else (share.estimate, share.low, share.high)
            row |= dict(zip((f"{name}_share", f"{name}_low", f"{name}_high"), ends, strict=True))
        row["median_seconds"] = float(pd.to_numeric(votes["seconds"]).median()) if "seconds" in votes else np.nan
        when = votes["judged_at"] if "judged_at" in votes else pd.Series(dtype=object)
        row["last_vote"] = pd.to_datetime(when, utc=True, format="ISO8601", errors="coerce").max()
        rows.append(row)
    return pd.DataFrame(rows).set_index("rater") if rows else pd.DataFrame(columns=["n_votes", "n_repeats"])


def tried(compute: Callable[[], Any]) -> Any:
    """Return what is computed, or in words why these votes do not allow it."""
    try:
        return compute()
    except TableError as error:
        return str(error)


def text_cell(value: Any) -> Cell:
    """Return a cell that holds a text of somebody's."""
    return escape(str(value)), str(value)


def share_cell(share: float, low: float, high: float, middle: float | None = None) -> Cell:
    """Return a share with its interval, drawn and written, in percent."""
    if pd.isna(share):
        return '<span class="rl-muted">too few votes</span>', -1.0
    zero = "" if middle is None else f'<i class="rl-zero" style="left:{100 * middle:.1f}%"></i>'
    drawn = (
        f'<span class="rl-track" aria-hidden="true">{zero}<i class="rl-whisker" style="left:{100 * low:.1f}%;'
        f'width:{100 * (high - low):.1f}%"></i><i class="rl-dot" style="left:{100 * share:.1f}%"></i></span>'
    )
    said = f"{100 * share:.0f} [{100 * low:.0f}, {100 * high:.0f}]"
    return f'<span class="rl-rate">{drawn}<span class="rl-num">{said}</span></span>', float(share)


def progress_bar(done: int, goal: int | None) -> str:
    """Return a bar, nothing if there is no goal."""
    if not goal:
        return ""
    width = min(100.0, 100 * done / goal)
    return f'<div class="rl-bar" aria-hidden="true"><div class="rl-fill" style="width:{width:.1f}%"></div></div>'


def table(heads: list[str], rows: list[list[Cell]]) -> str:
    """Return an HTML table whose cells say what they are sorted by."""
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in heads)
    body = "".join(
        "<tr>" + "".join(f'<td data-by="{escape(str(by))}">{html}</td>' for html, by in row) + "</tr>" for row in rows
    )
    return f'<table class="rl-table"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'


def section(title: str, content: str, note: str) -> str:
    """Return a part of the dashboard with its heading; what is wide scrolls."""
    scroll = (
        f'<div class="rl-wide" tabindex="0" role="region" aria-label="{escape(title)}" '
        f'data-lm-suppress-shortcuts="true">{content}</div>'
    )
    head = f'<h2 class="rl-part-title">{escape(title)}</h2>'
    return f'<section>{head}{scroll if content else ""}<p class="rl-muted">{escape(note)}</p></section>'
