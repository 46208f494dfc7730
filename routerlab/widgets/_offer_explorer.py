"""Choose among offers: filters, your own bill, and cost against quality."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from html import escape
from typing import Any

import numpy as np
import pandas as pd
import traitlets

from routerlab.market import apply_filters, order_of, said_empty, sort_offers, value_offers
from routerlab.schema import provenance_of, reject, shown
from routerlab.widgets._labeler import CELL, Panel, boxed, source

_MAX_ROWS = 100  # of the table that the page shows
_SUMMARY_ROWS = 12
_MARGIN = 0.04
_KNOWN = {
    "max_latency_p95_s": "latency_p95_s",
    "min_uptime": "uptime",
    "max_co2e_g": "co2e_g_high",
    "min_quality": "quality",
    "min_context_window": "context_window",
    "region": "region",
    "no_training": "trains_on_data",
    "no_retention": "retains_prompts",
    "open_weights": "open_weights",
}
_SHOWN = [
    *("offer_id", "monthly_usd", "quality", "quality_low", "quality_high", "latency_p95_s", "uptime", "region"),
    *("co2e_g_low", "co2e_g_high", "trains_on_data", "retains_prompts", "open_weights", "caveats"),
]
_SORTS = ("offer_id", "monthly_usd", "quality", "latency_p95_s", "uptime", "co2e_g_high")


class OfferExplorer(Panel):
    """Filter offers, see what each would cost you a month and how good it is, and pick some.

    Nothing that is not known passes a filter. Every dot is an offer: to the left it costs you less, further up its
    model was better on your prompts, and the bar is the interval of that. Offers of models that nobody measured stand
    below the axis.

    Parameters
    ----------
    offers : DataFrame
        `routerlab.market.load_offers`, with columns and rows of your own; see `routerlab.market.check_offers`.
    tokens, requests_per_month, quality, batch, on : optional
        As in `routerlab.market.choose_offers`, which does the same without a page.
    filters : mapping, optional
        Filters to start with, by the names of `routerlab.market.choose_offers`.
    sort_by : str, default 'monthly_usd'
        A column.

    Attributes
    ----------
    found : DataFrame
        The offers that pass, sorted.
    chosen : DataFrame
        Those that were picked, in the order of the table: for `routerlab.market.reprice`.
    filters : dict
        The filters as they stand.

    Raises
    ------
    TableError
        Offers, tokens or filters that cannot be used.

    Examples
    --------
    >>> from routerlab.market import load_offers
    >>> typical = {"input_tokens": 800, "output_tokens": 200}
    >>> explorer = OfferExplorer(load_offers(on="2026-11-29"), on="2026-11-29", tokens=typical)
    >>> explorer.filter(search="llama-3.3-70b", without=["zombie"]).choose(explorer.found["offer_id"][:2])
    OfferExplorer(... offers, ... pass, 2 chosen)
    """

    _esm = source("offers.js")
    setup = traitlets.Dict().tag(sync=True)
    view = traitlets.Dict().tag(sync=True)

    def __init__(
        self,
        offers: pd.DataFrame,
        *,
        tokens: Any = None,
        requests_per_month: float = 100_000,
        quality: Any = None,
        batch: bool = False,
        on: date | str | None = None,
        filters: Mapping[str, Any] | None = None,
        sort_by: str = "monthly_usd",
    ) -> None:
        self._table = value_offers(
            offers, on=on, tokens=tokens, requests_per_month=requests_per_month, quality=quality, batch=batch
        )
        # Searched with every key: plain text is several times quicker for that than Arrow's.
        self._searched = self._table.astype({"offer_id": object, "base_model": object})
        self._provenance = provenance_of(quality, tokens)
        self._places = {name: k for k, name in enumerate(self._table["offer_id"])}
        self._sort, self._serial, self._error = sort_by, 0, ""
        self._chosen: set[str] = set()
        self._orders: dict[str, Any] = {}
        self.filters: dict[str, Any] = {}
        super().__init__(setup=_setup(self._table, requests_per_month, self._provenance))
        self.on_msg(self._on_message)
        self.filter(**(filters or {}))

    def __repr__(self) -> str:
        sizes = f"{len(self._table):,} offers, {int(self._kept.sum()):,} pass, {len(self._chosen)} chosen"
        return f"OfferExplorer({sizes})"

    @property
    def found(self) -> pd.DataFrame:
        """The offers that pass, sorted."""
        return sort_offers(self._table[self._kept], self._sort)

    @property
    def chosen(self) -> pd.DataFrame:
        """The offers that were picked, whether they pass the filters of now or not."""
        return sort_offers(self._table[self._table["offer_id"].isin(self._chosen)], self._sort)

    def filter(self, **filters: Any) -> OfferExplorer:
        """Set filters in place of those that were there; the page follows. Nothing clears them.

        Parameters
        ----------
        **filters
            As in `routerlab.market.choose_offers`.

        Returns
        -------
        OfferExplorer
            Itself.
        """
        self._kept, self._funnel = apply_filters(self._searched, filters)
        self.filters = {name: value for name, value in filters.items() if value not in (None, False, "")}
        self._error = ""
        self._show()
        return self

    def choose(self, offer_ids: Sequence[str]) -> OfferExplorer:
        """Pick offers in place of those that were picked.

        Parameters
        ----------
        offer_ids : sequence of str
            Of the table.

        Returns
        -------
        OfferExplorer
            Itself.

        Raises
        ------
        TableError
            An id that no offer has.
        """
        unknown = [name for name in offer_ids if name not in self._places]
        if unknown:
            reject("'offer_ids'", f"has no offer {shown(unknown)}.", "Take ids from .found['offer_id'].")
        self._chosen = set(offer_ids)
        self._show()
        return self

    def _on_message(self, _widget: Any, content: dict[str, Any], _buffers: Any) -> None:
        """Do what the page asks; whatever goes wrong is shown there, because Jupyter would swallow it."""
        try:
            if "sort" in content and content["sort"] in _SORTS:
                self._sort = content["sort"]
            if "chosen" in content:
                self._chosen = {name for name in content["chosen"] if name in self._places}
            self.filter(**content.get("filters", self.filters))
        except Exception as error:  # noqa: BLE001
            self._error = str(error)
            self._show()

    def _show(self) -> None:
        """Send the rows that are shown, and which dots pass."""
        self._serial += 1
        if self._sort not in self._orders:  # the table never changes, and sorting it takes longer than all the rest
            self._orders[self._sort] = order_of(self._table, self._sort)
        order = self._orders[self._sort]
        top = self._searched.iloc[order[self._kept[order]][:_MAX_ROWS]]
        empty = "" if self._kept.any() else said_empty(self._table, self._funnel)
        self.view = {
            "serial": self._serial,
            "filters": self.filters,
            "sort": self._sort,
            "kept": np.flatnonzero(self._kept).tolist(),
            "rows": [_row(row) for row in top[_SHOWN].to_dict("records")],
            "chosen": sorted(self._chosen, key=lambda name: self._places[name]),
            "funnel": [{"text": _said(text), "left": left, "unknown": unknown} for text, left, unknown in self._funnel],
            "empty": empty and empty[0].upper() + empty[1:],
            "error": self._error,
        }

    def _summary(self) -> str:
        found = self.found
        cells = [(r["name"], r["usd"], r["quality"], r["terms"]) for r in map(_row, found.to_dict("records"))]
        rows = "".join(
            "<tr>" + "".join(f'<td style="{CELL}">{escape(cell)}</td>' for cell in row) + "</tr>"
            for row in cells[:_SUMMARY_ROWS]
        )
        heads = ("Offer", "USD a month", "Quality", "Terms")
        head = "".join(f'<th style="{CELL}">{name}</th>' for name in heads)
        counts = (
            f"{len(found):,} of {len(self._table):,} offers pass, {len(self._chosen)} chosen; {self.setup['said']}."
        )
        funnel = "; ".join(f"{escape(_said(text))}: {left:,} left" for text, left, _ in self._funnel)
        table = f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>" if rows else ""
        return boxed("Offers", escape(counts), funnel, table, "Run this cell to filter them.")


def _setup(table: pd.DataFrame, requests_per_month: float, provenance: str | None) -> dict[str, Any]:
    """Return what never changes: where each offer stands in the picture, and what can be asked for."""
    usd = table["monthly_usd"].to_numpy(float)
    paid = usd[usd > 0]
    low, high = (float(paid.min()), float(paid.max())) if len(paid) else (1.0, 10.0)
    start, stop = np.floor(np.log10(low)), np.ceil(np.log10(high) + 1e-9)
    x = np.where(usd > 0, (np.log10(np.where(usd > 0, usd, low)) - start) / (stop - start), 0.0)
    ends = table[["quality_low", "quality", "quality_high"]].to_numpy(float)
    known = np.isfinite(ends[:, 1])
    bottom, top, ticks = _quality_scale(ends[known])
    y = np.clip((ends - bottom) / (top - bottom), 0, 1)
    decades = np.arange(start, stop + 1)
    step = max(1, int(np.ceil(len(decades) / 6)))
    caveats = sorted({word for said in table["caveats"] for word in said.split("; ") if word and "retires" not in word})
    return {
        "said": f"USD a month at {requests_per_month:,.0f} requests",
        "provenance": provenance,
        "names": table["offer_id"].tolist(),
        "models": table["base_model"].tolist(),
        "x": _rounded(x),
        "y": [_rounded(row) if ok else None for row, ok in zip(y, known, strict=True)],
        "xticks": [{"at": (d - start) / (stop - start), "label": f"{10.0**d:,.6g}"} for d in decades[::step]],
        "yticks": [{"at": (t - bottom) / (top - bottom), "label": f"{t:.3g}"} for t in ticks],
        "measured": int(known.sum()),
        "regions": sorted({str(name) for name in table["region"].dropna()}),
        "caveats": caveats,
        "known": {name: int(table[column].notna().sum()) for name, column in _KNOWN.items()},
    }


def _quality_scale(ends: Any) -> tuple[float, float, list[float]]:
    """Return the ends and the ticks of the axis of quality."""
    if not len(ends):
        return 0.0, 1.0, []
    from matplotlib.ticker import MaxNLocator

    low, high = float(np.nanmin(ends)), float(np.nanmax(ends))
    edge = _MARGIN * max(high - low, 0.02)
    low, high = max(0.0, low - edge), min(1.0, high + edge)
    return low, high, [float(t) for t in MaxNLocator(5).tick_values(low, high) if low <= t <= high]


def _rounded(values: Any) -> list[float | None]:
    return [round(float(value), 4) if np.isfinite(value) else None for value in np.asarray(values)]


def _row(row: dict[Any, Any]) -> dict[str, Any]:
    """Return the cells of one offer as the page shows them; '?' is not known."""
    usd, quality, low, high = (row[name] for name in ("monthly_usd", "quality", "quality_low", "quality_high"))
    said = "?" if pd.isna(quality) else f"{quality:.3f}" + ("" if pd.isna(low) else f" [{low:.2f}, {high:.2f}]")
    co2e = "?" if pd.isna(row["co2e_g_high"]) else f"{row['co2e_g_low']:.2g} to {row['co2e_g_high']:.2g}"
    terms = [
        text
        for column, yes, no in (
            ("trains_on_data", "trains on prompts", "no training"),
            ("retains_prompts", "retains prompts", "no retention"),
            ("open_weights", "open weights", "closed weights"),
        )
        for text in ([] if pd.isna(row[column]) else [yes if row[column] else no])
    ]
    return {
        "name": row["offer_id"],
        "usd": f"{usd:,.0f}" if usd >= 100 else f"{usd:,.2f}",
        "quality": said,
        "latency": "?" if pd.isna(row["latency_p95_s"]) else f"{row['latency_p95_s']:.3g}",
        "uptime": "?" if pd.isna(row["uptime"]) else f"{100 * row['uptime']:.4g}%",
        "region": "?" if pd.isna(row["region"]) else str(row["region"]),
        "co2e": co2e,
        "terms": ", ".join(terms) or "?",
        "caveats": row["caveats"],
    }


def _said(text: str) -> str:
    """Put a filter into words.

    Examples
    --------
    >>> _said("max_latency_p95_s=2.0"), _said("no_training=True")
    ('latency p95 s at most 2.0', 'no training')
    """
    name, _, value = text.partition("=")
    words = name.replace("_", " ")
    if value == "True":
        return words
    for start, how in (("max ", "at most"), ("min ", "at least")):
        if words.startswith(start):
            return f"{words.removeprefix(start)} {how} {value}"
    return f"{words} {value}"
