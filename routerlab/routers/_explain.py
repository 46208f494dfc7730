"""Why a prompt goes where it goes."""

from dataclasses import dataclass
from html import escape
from textwrap import shorten
from typing import Any

import numpy as np
import pandas as pd

from routerlab.decision import kept_back, promised_share
from routerlab.markup import fragment
from routerlab.schema import by_prompt, id_remedy, reject, shown


@dataclass(frozen=True)
class Explanation:
    """One routing decision, laid open.

    Attributes
    ----------
    chosen : str
        The model.
    abstained : bool
        Whether it is the fallback: because nothing similar was seen, or by the promise.
    models : DataFrame indexed by model
        ``quality``, ``cost_usd`` (USD per request) and, at a finite willingness to pay, ``net``:
        quality minus cost over willingness to pay.
    neighbors : DataFrame indexed by prompt_id
        ``similarity``, ``weight`` and, where known, ``intent`` and ``prompt``.
    share : float
        Share of the prompts for which the promise lets the router choose, if it is for a share; 0 otherwise.
    left_to_baseline : bool
        Whether this prompt is one of the others, which keep the baseline whatever the router estimates.
    """

    chosen: str
    abstained: bool
    min_similarity: float | None
    willingness_to_pay: float
    models: pd.DataFrame
    neighbors: pd.DataFrame
    provenance: str | None = None
    share: float = 0.0
    left_to_baseline: bool = False

    def __post_init__(self) -> None:
        """Add the number that the rule compares."""
        with np.errstate(divide="ignore", invalid="ignore"):
            net = self.models["quality"] - self.models["cost_usd"] / self.willingness_to_pay
        object.__setattr__(self, "models", self.models.assign(net=net).sort_values("net", ascending=False))

    @property
    def why(self) -> str:
        """The decision in a sentence or two."""
        nearest = self.neighbors["similarity"].iloc[0]
        if self.abstained and self.min_similarity == np.inf:
            return f"{self.chosen}, whatever the prompt: nothing cheaper could be promised when the router was tuned."
        if self.left_to_baseline and nearest >= (-np.inf if self.min_similarity is None else self.min_similarity):
            return (
                f"{self.chosen}: the promise sends only a share ({_percent(self.share)}) of the prompts to the router; "
                "this prompt is drawn for the baseline, whatever the router estimates."
            )
        if self.abstained:
            return (
                f"{self.chosen}, the fallback: the nearest training prompt has similarity {nearest:.2f}, "
                f"below min_similarity = {self.min_similarity:g}."
            )
        price = f"{self.willingness_to_pay:g} USD per unit of quality"
        rule = (
            "quality alone decides (infinite willingness to pay)"
            if np.isinf(self.willingness_to_pay)
            else f"at {price}"
        )
        row = self.models.loc[self.chosen]
        text = f"{self.chosen}: quality {row['quality']:.2f} for {row['cost_usd']:.2g} USD; {rule}"
        others = self.models.drop(self.chosen)
        if len(others):
            rival = others.loc[others["net"].idxmax()]
            text += f", ahead of {rival.name} ({rival['quality']:.2f} for {rival['cost_usd']:.2g} USD)"
        if self.share:
            text += f"; this prompt is in the share ({_percent(self.share)}) that the promise sends to the router"
        return text + f". {len(self.neighbors):,} neighbours, similarity {nearest:.2f} and less.{self._intents()}"

    def _nearest(self, n: int = 8) -> pd.DataFrame:
        """Return the nearest few, their prompts cut to a line."""
        table = self.neighbors.head(n)
        if "prompt" in table:
            table = table.assign(prompt=[shorten(str(text), 70, placeholder=" ...") for text in table["prompt"]])
        return table.round({"similarity": 3, "weight": 3})

    def _intents(self) -> str:
        if "intent" not in self.neighbors:
            return ""
        share = self.neighbors.groupby("intent")["weight"].sum().sort_values(ascending=False)
        return " Intents: " + ", ".join(f"{name} {value:.0%}" for name, value in share.head(3).items()) + "."

    def __repr__(self) -> str:
        """Sentence, then both tables."""
        note = f"\n[{self.provenance}]" if self.provenance else ""
        return f"{self.why}{note}\n\n{self.models.round(5).to_string()}\n\n{self._nearest().to_string()}"

    def _repr_html_(self) -> str:
        note = f"<p><em>{escape(self.provenance)}</em></p>" if self.provenance else ""
        formats = {"quality": "{:.3f}".format, "cost_usd": "{:.2e}".format, "net": "{:.3f}".format}
        models = self.models.to_html(formatters=formats, escape=True)
        neighbors = self._nearest().to_html(float_format="{:.3f}".format, escape=True)
        return fragment(f"<p><strong>{escape(self.why)}</strong></p>{note}{models}{neighbors}")


def _percent(share: float) -> str:
    return f"{100 * share:.0f}%"


def _prompts(prompts: Any, index: pd.Index) -> pd.DataFrame:
    """Return the texts of the neighbours, and their intents where they are known."""
    frame = by_prompt(prompts)
    if isinstance(frame, pd.Series):
        frame = frame.to_frame("prompt")
    if not isinstance(frame, pd.DataFrame) or "prompt" not in frame:
        has = f"has no column 'prompt', but {shown(frame.columns, 8)}" if isinstance(frame, pd.DataFrame) else ""
        wrong = f"{has or f'got {type(prompts).__name__}'}."
        reject("'prompts'", wrong, "Pass the prompts table (prompt_id, prompt), or a Series of texts by prompt_id.")
    if not frame.index.is_unique:
        twice = frame.index[frame.index.duplicated()].unique()
        reject("'prompts'", f"has prompt_id {shown(twice)} more than once.", "Keep one row for each.")
    if len(index) and not index.isin(frame.index).any():
        remedy = "Index it by prompt_id, as the X of fit was."
        wrong = f"knows none of the neighbours, such as {shown(index, 2)}."
        reject("'prompts'", wrong, id_remedy(frame.index, index, ("'prompts'", "the X of fit"), remedy))
    return frame.reindex(index)[[name for name in ("intent", "prompt") if name in frame]]


def explain_choice(router: Any, X: Any, prompts: Any) -> Explanation:
    """Lay open what `router` does with the one row of X."""
    if not hasattr(router, "_explained"):
        member = ", e.g. one of its routers_" if hasattr(router, "routers") else ""
        msg = (
            f"{type(router).__name__} keeps no training prompts to explain by. Use a router that looks at neighbours"
            f"{member}."
        )
        raise TypeError(msg)
    values, index = router._checked(X)
    if len(index) != 1:
        reject("'X'", f"has {len(index)} rows, and explain takes one.", "Pass one prompt: X.iloc[[0]].")
    estimates, table = router._explained(values)
    estimates = router._abstaining(estimates, values, index)
    if prompts is not None:
        known = _prompts(prompts, table.index)
        if "intent" in table:
            known = known.drop(columns="intent", errors="ignore")
        table = table.join(known)
    return Explanation(
        chosen=router.models_[router._positions(estimates)[0]],
        abstained=bool(estimates.abstained[0]),
        min_similarity=router.min_similarity,
        willingness_to_pay=float(router.willingness_to_pay),
        models=pd.DataFrame({"quality": estimates.quality[0], "cost_usd": estimates.cost[0]}, index=router.models_),
        neighbors=table,
        provenance=router.provenance_,
        share=promised_share(router),
        left_to_baseline=bool(promised_share(router)) and bool(kept_back(router, index, values)[0]),
    )
