"""What models cost in the past, and which are switched off: the tables that ship."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import pandas as pd

from routerlab.market._names import base_model
from routerlab.market._offers import RETIREMENTS, check_offers

FOLDER = Path(__file__).parent / "data"
_DAYS = ("changed_after", "last_seen")


def load_price_history(*, corrections: bool = False) -> pd.DataFrame:
    """Load list prices from November 2023 on, a row for each stretch of time with one price.

    Parameters
    ----------
    corrections : bool, default False
        Whether to add the prices that a catalogue gave by mistake; ``change`` is 'correction' in these rows.

    Returns
    -------
    DataFrame
        The columns of `check_offers`, and

        - ``change``: 'first', 'rise', 'cut', or 'correction';
        - ``changed_after``: the last day on which the price before was seen. The change happened after it, and by
          ``valid_from``, the first day on which the new price was seen;
        - ``last_seen``: the last day on which the price was seen. ``valid_to`` is the start of the next price, or the
          first catalogue that no longer has the offer; empty if the newest one has it.

        ``source`` names the release in which the price was first seen, and where the exact day comes from, if it is
        known.

    Notes
    -----
    Catalogues of list prices, edited by hand, at 35 days: a change may be older than ``valid_from``, prices that came
    and went between two days are missed, and some offers stay listed long after they are gone. Of the edits, those
    that look like corrections are not counted as changes of price; ``data/build_prices.py`` states the rule.

    Of the models of the demo, RouterBench, RouteLLM's MMLU and AlpacaEval, no catalogue ever listed WizardLM-13B,
    Vicuna-13B and Phi-2.

    References
    ----------
    https://github.com/BerriAI/litellm, https://github.com/AgentOps-AI/tokencost,
    https://github.com/pydantic/genai-prices (all MIT)

    Examples
    --------
    >>> history = load_price_history()
    >>> o3 = history[history["offer_id"] == "o3@openai"]
    >>> o3["valid_from"].dt.date.astype(str).tolist(), o3["input_usd_per_1m"].tolist(), o3["change"].tolist()
    (['2025-05-11', '2025-06-10'], [10.0, 2.0], ['first', 'cut'])
    """
    history = _history()
    if not corrections:
        history = history[history["change"] != "correction"]
    history = history.reset_index(drop=True)
    history.attrs["provenance"] = "list prices as catalogues gave them; see load_price_history"
    return history


def load_retirements() -> pd.DataFrame:
    """Load the dates on which models were, or will be, switched off, with the successors that their sellers name.

    Returns
    -------
    DataFrame
        ``provider, model, base_model, retired_on, successor, announced_at`` (a page), ``source, observed_at``.
        A successor is whom the seller names: that it is as good is not said.

    Examples
    --------
    >>> gone = load_retirements().set_index(["provider", "model"])
    >>> gone.loc[("openai", "gpt-4"), ["retired_on", "successor"]].astype(str).tolist()
    ['2026-10-23 00:00:00+00:00', 'gpt-5.6-sol']
    """
    frame = pd.read_csv(RETIREMENTS)
    for column in ("retired_on", "observed_at"):
        frame[column] = pd.to_datetime(frame[column], utc=True).astype("datetime64[ns, UTC]")
    frame.insert(2, "base_model", frame["model"].map(base_model))
    return frame


@lru_cache(maxsize=1)
def _history() -> pd.DataFrame:
    table = pd.read_csv(FOLDER / "price_history.csv").assign(observed_at=lambda rows: rows["last_seen"])
    # A price that was taken back stands in the time of another: by itself, its validity does not overlap.
    ids = table["model"] + "@" + table["provider"]
    wrong = table["change"] == "correction"
    table["offer_id"] = ids.where(~wrong, ids + "#" + table.index.astype(str))
    frame = check_offers(table).assign(offer_id=ids)
    for column in _DAYS:
        frame[column] = pd.to_datetime(frame[column], utc=True).astype("datetime64[ns, UTC]")
    return frame.sort_values(["provider", "model", "valid_from"], na_position="first", kind="stable")
