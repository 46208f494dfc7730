"""From a plot to its evidence: select a part of a frontier, or an intent, and read the prompts that decide it."""

from collections.abc import Callable, Sequence
from html import escape
from typing import Any, Self

import numpy as np
import pandas as pd
import traitlets

from routerlab.decision import Sweep, check_wtp
from routerlab.evaluation import changes, changes_by_intent, frontier
from routerlab.schema import Outcomes, check_aligned, check_model, provenance_of, reject, shown
from routerlab.widgets._browser import JudgmentBrowser
from routerlab.widgets._comparator import PairComparator
from routerlab.widgets._labeler import CELL, Asker, boxed, source

_MAX_POINTS = 240
_PAIRS = ["prompt_id", "model_a", "model_b"]
PER = 1000  # requests that costs are shown for
_LOG_FROM = 5.0  # ratio of the largest to the smallest cost from which the axis is logarithmic
_MARGIN = 0.04
_FEW = 10  # prompts of an intent below which no interval is drawn
Scale = Callable[[Any], Any]


class EvidencePlot(Asker):
    """Draw a frontier, and open the prompts that decide the part of it that is selected.

    Between two operating points only some prompts change their model, and they alone move cost and quality. Drag
    across the curve, or move its two ends with the arrow keys, and those prompts open in the comparator or the browser
    below: each with the two models that it changes between. An intent next to the curve narrows that down, or opens all
    of its prompts if no part of the curve is selected.

    Parameters
    ----------
    sweep : Sweep or tuple of two str
        ``router.sweep(X)``. Or two models: every prompt moves from the first to the second, and only `by` is drawn.
    quality, cost : DataFrame of shape (n_prompts, n_models), cost optional with Outcomes
        Measured quality in [0, 1] and cost in USD per request, of the same prompts.
    by : Series, optional
        Intent of each prompt. Draws the mean change of quality in each intent, with its interval.
    opens : PairComparator or JudgmentBrowser, optional
        Where the selected prompts open. With a comparator the page names no model, which keeps its votes blind.
    confidence : float, default 0.95
        Of the pointwise intervals.

    Attributes
    ----------
    selection : DataFrame
        The selected prompts, see `select`.

    Raises
    ------
    TableError
        Tables of other prompts than the sweep's; `by` without an intent for some prompt.

    Examples
    --------
    >>> from routerlab.decision import sweep_estimates
    >>> quality = pd.DataFrame({"small": [0.6, 0.2], "large": [0.7, 0.9]}, index=["p1", "p2"])
    >>> cost = pd.DataFrame({"small": [0.001, 0.001], "large": [0.011, 0.011]}, index=["p1", "p2"])
    >>> plot = EvidencePlot(sweep_estimates(quality, cost), quality, cost)
    >>> plot.select(willingness_to_pay=(0.05, float("inf"))).selection["prompt_id"].tolist()
    ['p1']
    """

    _esm = source("evidence.js")
    curve = traitlets.Dict().tag(sync=True)
    bars: traitlets.List[Any] = traitlets.List().tag(sync=True)
    picked = traitlets.Dict().tag(sync=True)

    def __init__(
        self,
        sweep: Sweep | tuple[str, str],
        quality: pd.DataFrame | Outcomes,
        cost: pd.DataFrame | None = None,
        *,
        by: pd.Series | None = None,
        opens: PairComparator | JudgmentBrowser | None = None,
        confidence: float = 0.95,
    ) -> None:
        if opens is not None and not isinstance(opens, PairComparator | JudgmentBrowser):
            reject("'opens'", f"got {type(opens).__name__}.", "Pass a PairComparator or a JudgmentBrowser.")
        self._quality, self._cost = check_aligned(quality, cost)
        self._provenance = provenance_of(quality, cost)
        self._sweep = _check_sweep(sweep, self._quality)
        self._points = _points(self._sweep, self._quality, self._cost, confidence, _MAX_POINTS)
        self._intents = _check_intents(by, self._sweep.index)
        if self._sweep is not sweep and self._intents is None:
            reject("'by'", "is missing.", "Two models alone draw nothing: pass the prompts' intents, or a sweep.")
        self._confidence = confidence
        wtp = self._points["willingness_to_pay"]
        self._ends = (float(wtp.iloc[0]), float(wtp.iloc[-1]))
        self._whole = None if self._sweep is sweep else self._ends  # two models: the one part that there is
        self._part: tuple[float, float] | None = self._whole
        self._chosen: tuple[Any, ...] = ()
        self._opens, self._serial = opens, 0
        self._set_order()
        super().__init__(curve=drawn_curve(self._points) if self._sweep is sweep else {})
        self.select()

    def __repr__(self) -> str:
        sizes = f"{len(self._points)} operating points, {len(self._sweep.index)} prompts"
        return f"EvidencePlot({sizes}, {len(self.selection)} prompts selected)"

    @property
    def selection(self) -> pd.DataFrame:
        """The selected prompts, with ``model_from, model_to, willingness_to_pay, quality_change, cost_change_usd``.

        With a part of the curve selected, those that change their model within it; with an intent alone, all of its
        prompts, in which case those that never change have no models.
        """
        if self._part is None and not self._chosen:
            return self._changes(self._ends).iloc[:0]
        part = self._changes(self._part or self._ends)
        if not self._chosen or self._intents is None:
            return part
        members = self._intents.index[self._intents.isin(self._chosen)]
        if self._part is not None:
            return part[part["prompt_id"].isin(members)].reset_index(drop=True)
        return part.set_index("prompt_id").reindex(members).rename_axis("prompt_id").reset_index()

    def select(
        self, *, willingness_to_pay: tuple[float, float] | None = None, intents: str | Sequence[str] | None = None
    ) -> Self:
        """Select in place of whatever was selected before; the page, and what it opens, follow. Nothing clears it.

        Parameters
        ----------
        willingness_to_pay : tuple of two float, optional
            Ends of a part of the curve, in either order; infinity is the end of best quality.
        intents : str or sequence of str, optional
            Only these intents.

        Returns
        -------
        EvidencePlot
            Itself.

        Raises
        ------
        ValueError
            An end that is not a number of at least 0.
        TableError
            An unknown intent.
        """
        part = self._whole
        if willingness_to_pay is not None:
            part = (max(map(check_wtp, willingness_to_pay)), min(willingness_to_pay))
        chosen = () if intents is None else (intents,) if isinstance(intents, str) else tuple(intents)
        unknown = [intent for intent in chosen if intent not in self._order]
        if unknown:
            reject("'intents'", f"has {shown(unknown)}.", f"There are {shown(self._order, 30) or 'none: pass by='}.")
        self._part, self._chosen = part, chosen
        self._show(self._open())
        return self

    def _changes(self, part: tuple[float, float]) -> pd.DataFrame:
        return changes(self._sweep, *part, self._quality, self._cost)

    def _set_order(self) -> None:
        """Give each intent a number, once, by what the whole curve costs it: the page names them by these."""
        self._order: list[Any] = []
        if self._intents is None:
            return
        self._whole_table = changes_by_intent(self._changes(self._ends), self._intents, self._confidence)
        self._order = in_order(self._whole_table).index.to_list()

    def _pairs(self, selection: pd.DataFrame) -> pd.DataFrame:
        """Return what to show for the selection: pairs of models, or whole prompts for an intent alone."""
        if self._part is None:
            return selection[["prompt_id"]]
        return selection.set_axis([*_PAIRS, *selection.columns[3:]], axis=1)[_PAIRS]

    def _open(self) -> str:
        """Show the selection where it opens, and say what there is to read."""
        if self._part is None and not self._chosen:
            if self._opens is not None:
                self._opens.restrict(None)
            return ""
        selection = self.selection
        n, said = len(selection), self._said(selection)
        if self._opens is None:
            return said
        found = self._opens.restrict(self._pairs(selection), self._reason())
        what = "judgments" if isinstance(self._opens, JudgmentBrowser) else "two different responses to compare"
        if not n:
            return said
        if not found.any():
            return f"{said} None of them has {what}: there is nothing to read below."
        rest = f"; {n - found.sum():,} {_have(n - found.sum())} not" if found.sum() < n else ""
        return f"{said} {found.sum():,} {_have(found.sum())} {what}, shown below{rest}."

    def _said(self, selection: pd.DataFrame) -> str:
        n = len(selection)
        where = f" in {', '.join(str(intent).replace('_', ' ') for intent in self._chosen)}" if self._chosen else ""
        prompts = f"{n:,} prompt{'' if n == 1 else 's'}{where}"
        if self._part is None:
            return f"{prompts}."
        if not n:
            hint = "Move them apart, or choose another intent." if where else "Move them apart."
            return f"No prompt{where} changes its model between these two points. {hint}"
        every = len(self._sweep.index)
        cost = PER * selection["cost_change_usd"].sum() / every
        quality = 100 * selection["quality_change"].sum() / every
        change = (
            f"cost by {'+' if cost >= 0 else ''}{_usd(cost)} USD per {PER:,} requests, quality by {quality:+.2f} points"
        )
        verb = "changes its" if n == 1 else "change their"
        return f"{prompts} {verb} model: over all {every:,}, that changes {change}.{self._moves(selection)}"

    def _moves(self, selection: pd.DataFrame) -> str:
        """Name the models, unless that would tell somebody who votes blind."""
        if isinstance(self._opens, PairComparator):
            return ""
        moves = selection.groupby(["model_from", "model_to"]).size().sort_values(ascending=False, kind="stable")
        named = [f"{n:,} from {before} to {after}" for (before, after), n in moves.head(3).items()]
        return f" {', '.join(named)}{', and others' if len(moves) > 3 else ''}."

    def _reason(self) -> str:
        """Name the selection in the records of votes."""
        parts = [] if self._part is None else ["willingness to pay {1:.6g} to {0:.6g}".format(*self._part)]
        parts += [f"intent {intent}" for intent in self._chosen]
        return "EvidencePlot: " + ", ".join(parts)

    def _show(self, text: str = "", error: str | None = None) -> None:
        if self._intents is not None:
            table = changes_by_intent(self._changes(self._part or self._ends), self._intents, self._confidence)
            # One scale for as long as it holds all that is drawn: bars can then be compared between selections.
            self.bars = drawn_bars(table, self._order, bar_span(self._whole_table, table))
        wtp = self._points["willingness_to_pay"].to_numpy()
        on_curve = self._part is not None and self._whole is None
        ends = [end for end in self._part or () if on_curve]
        # The last drawn point that has come down to this willingness to pay: where all are drawn, exactly that end.
        at = [np.searchsorted(-wtp, -end, side="right") - 1 for end in ends]
        self._serial += 1
        self.picked = {
            "serial": self._serial,
            "ends": [int(k) for k in at] or None,
            "said": [self._said_of(end) for end in ends],
            "intents": [self._order.index(intent) for intent in self._chosen],
            "text": text,
            "error": error,
            "note": self._provenance,
        }

    def _said_of(self, wtp: float) -> str:
        """Say what one end costs and gives: of the very point, which the curve may not draw."""
        row = np.arange(len(self._sweep.index))
        column = self._quality.columns.get_indexer(self._sweep.at(wtp))
        cost, quality = (
            float(table.loc[self._sweep.index].to_numpy(dtype=float)[row, column].mean())
            for table in (self._cost, self._quality)
        )
        return said_of(PER * cost, quality)

    def _handle(self, content: dict[str, Any]) -> None:
        ends, intents = content["ends"], [self._order[int(i)] for i in content["intents"]]
        wtp = None if ends is None else self._points["willingness_to_pay"].iloc[[int(i) for i in ends]]
        self.select(willingness_to_pay=None if wtp is None else tuple(wtp), intents=intents)

    def _fail(self, message: str) -> None:
        self._show(error=message)

    def _view(self, **kwargs: Any) -> Any:
        """Show the plot with what it opens below it."""
        from ipywidgets import VBox

        self._box = VBox([self] if self._opens is None else [self, self._opens])
        return self._box._repr_mimebundle_(**kwargs)

    def _summary(self) -> str:
        """Return the ends of the curve, the intents and the selection, for where no kernel runs."""
        said = self.curve.get("said")
        ends = f"From {escape(said[0])}, to {escape(said[-1])}." if said else ""
        rows = "".join(
            f'<tr><td style="{CELL}">{escape(bar["name"])}</td><td style="{CELL}">{escape(bar["said"])}</td></tr>'
            for bar in self.bars
        )
        heads = f'<tr><th style="{CELL}">Intent</th><th style="{CELL}">Change of quality, points</th></tr>'
        table = f"<table><thead>{heads}</thead><tbody>{rows}</tbody></table>" if rows else ""
        notes = (escape(str(text)) for text in (self.picked["text"], self.picked["note"]) if text)
        return boxed("Which prompts decide it?", ends, table, *notes, "Run this cell to select some.")


def _have(n: int) -> str:
    return "has" if n == 1 else "have"


def scale(low: float, high: float, *, log: bool = False) -> tuple[Scale, list[dict[str, Any]]]:
    """Return a map from data to fractions in [0, 1], and ticks as ``{"at": fraction, "label": text}``.

    Examples
    --------
    >>> at, ticks = scale(0, 1)
    >>> round(float(at(0.5)), 6), [tick["label"] for tick in ticks]
    (0.5, ['0', '0.2', '0.4', '0.6', '0.8', '1'])
    """
    from matplotlib.ticker import LogLocator, MaxNLocator

    if high <= low:
        low, high = (low / 1.5, low * 1.5) if log else (low - 0.05, low + 0.05)
    values = (LogLocator(subs=(1, 2, 5)) if log else MaxNLocator(5)).tick_values(low, high)
    start, stop = (np.log([low, high])) if log else (low, high)
    edge = _MARGIN * (stop - start)

    def at(value: Any) -> Any:
        inner = np.log(value) if log else value
        return (inner - start + edge) / (stop - start + 2 * edge)

    places = [(float(at(value)), f"{value:.4g}") for value in values if value > 0 or not log]
    return at, [{"at": round(place, 4), "label": label} for place, label in places if 0 <= place <= 1]


def cost_scale(cost_usd: pd.Series) -> tuple[pd.Series, list[dict[str, Any]], bool]:
    """Return the fractions and ticks of mean costs a request, and whether the axis is logarithmic."""
    cost = PER * cost_usd
    low, high = float(cost.min()), float(cost.max())
    log = low > 0 and high > _LOG_FROM * low
    at, ticks = scale(low, high, log=log)
    return at(cost), ticks, log


def drawn_curve(points: pd.DataFrame) -> dict[str, Any]:
    """Return what the page needs of operating points: places, ticks, and a sentence about each."""
    cost, quality = PER * points["cost_usd"], points["quality"]
    x, xticks, log = cost_scale(points["cost_usd"])
    low, high = points["quality_low"].fillna(quality), points["quality_high"].fillna(quality)
    y, yticks = scale(float(low.min()), float(high.max()))
    said = [said_of(c, q) for c, q in zip(cost, quality, strict=True)]
    return {
        "x": _places(x),
        "y": _places(y(quality)),
        "low": _places(y(low)),
        "high": _places(y(high)),
        "said": said,
        "xticks": xticks,
        "yticks": yticks,
        "xlabel": f"Cost, USD per {PER:,} requests" + (", log scale" if log else ""),
        "ylabel": "Mean quality",
    }


def said_of(cost: float, quality: float) -> str:
    """Say what an operating point costs and gives.

    Examples
    --------
    >>> said_of(196.04, 0.9)
    '196.0 USD per 1,000 requests, quality 0.900'
    """
    return f"{_usd(cost)} USD per {PER:,} requests, quality {quality:.3f}"


def _usd(cost: float) -> str:
    return f"{cost:,.1f}" if abs(cost) >= 10 else f"{cost:.3g}"


def in_order(table: pd.DataFrame) -> pd.DataFrame:
    """Return intents that change first, the largest loss at the top."""
    keys = pd.DataFrame({"same": table["n_changed"] == 0, "change": table["quality_change"]})
    return table.loc[keys.sort_values(["same", "change"], kind="stable").index]


def has_interval(table: pd.DataFrame) -> pd.Series:
    """Say which intents change, and have prompts enough for an interval."""
    return (
        (table["n_changed"] > 0) & (table["n"] >= _FEW) & np.isfinite(table["ci_low"]) & np.isfinite(table["ci_high"])
    )


def bar_span(*tables: pd.DataFrame) -> tuple[float, float]:
    """Return the ends of a scale that holds 0 and all that is drawn of these tables."""
    held = [0.0]
    for table in tables:
        held += table["quality_change"].to_list()
        held += table.loc[has_interval(table), ["ci_low", "ci_high"]].to_numpy().ravel().tolist()
    return min(held), max(held)


def drawn_bars(table: pd.DataFrame, order: list[Any], span: tuple[float, float]) -> list[dict[str, Any]]:
    """Return what the page needs of intents: places on one scale for all, and a sentence about each.

    Intents that change stand first. Of a handful of prompts the mean is shown and no interval: whatever width it had
    would rest on what it was assumed to be.
    """
    at, _ = scale(*span)
    numbers = {intent: k for k, intent in enumerate(order)}
    table = in_order(table)
    rows = []
    for row, known in zip(table.itertuples(), has_interval(table), strict=True):
        interval = f" [{100 * row.ci_low:+.1f}, {100 * row.ci_high:+.1f}]" if known else "; too few"
        low, high = (row.ci_low, row.ci_high) if known else (row.quality_change,) * 2
        rows.append(
            {
                "id": numbers[row.Index],
                "name": str(row.Index).replace("_", " "),
                "at": _places(at(np.array([0.0, low, row.quality_change, high]))),
                "known": bool(known),
                "said": f"{100 * row.quality_change:+.1f}{interval}" if row.n_changed else "no change",
                "count": f"{int(row.n_changed):,} of {int(row.n):,}",
            }
        )
    return rows


def _places(values: Any) -> list[float]:
    return [round(float(value), 4) for value in np.asarray(values)]


def _check_sweep(sweep: Any, quality: pd.DataFrame) -> Sweep:
    """Return a sweep; two models make one in which every prompt moves from the first to the second."""
    if isinstance(sweep, Sweep):
        return sweep
    if isinstance(sweep, str) or not isinstance(sweep, Sequence) or len(sweep) != 2 or sweep[0] == sweep[1]:
        got = type(sweep).__name__ if not isinstance(sweep, str | list | tuple) else repr(sweep)
        reject("'sweep'", f"got {got}.", "Pass router.sweep(X), or two models, e.g. ('gpt-4', 'mixtral').")
    for model in sweep:
        check_model(model, quality.columns, "sweep")
    n = len(quality)
    zeros, none = np.zeros(n, dtype=np.int8), np.zeros(n, dtype=bool)
    return Sweep(quality.index, pd.Index(list(sweep)), zeros, np.arange(n), zeros, zeros + 1, np.ones(n), none)


def _check_intents(by: pd.Series | None, index: pd.Index) -> pd.Series | None:
    """Return the intent of each prompt of the sweep."""
    if by is None:
        return None
    if not isinstance(by, pd.Series):
        reject("'by'", f"got {type(by).__name__}.", "Pass a Series prompt_id -> intent, e.g. prompts['intent'].")
    missing = index.difference(by.index[by.notna()])
    if len(missing):
        reject("'by'", f"has no intent for prompt {shown(missing)}.", "Give every prompt of the sweep an intent.")
    return by.loc[index]


def _points(sweep: Sweep, quality: pd.DataFrame, cost: pd.DataFrame, confidence: float, n: int) -> pd.DataFrame:
    """Return the operating points that are drawn, with intervals: at most about `n`, evenly along the drawn cost axis.

    The first and the last are always among them.
    """
    curve = frontier(sweep, quality, cost, ci=True, confidence=confidence)
    place = np.floor(n * cost_scale(curve["cost_usd"])[0])
    curve = curve[(place != place.shift()) | (curve.index == len(curve) - 1)]
    return curve.replace([np.inf, -np.inf], np.nan).assign(willingness_to_pay=curve["willingness_to_pay"])
