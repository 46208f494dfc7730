"""What a run of requests did, and what it cost."""

import html
import logging
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from routerlab.deprecation import old_name
from routerlab.jsonl import Record
from routerlab.markup import fragment
from routerlab.schema import shown


def counted(n: int, one: str, many: str = "") -> str:
    """Return a number with its noun, and a verb if need be; `many` is `one` with an s by default.

    Examples
    --------
    >>> counted(1, "reply is", "replies are"), counted(1200, "prompt")
    ('1 reply is', '1,200 prompts')
    """
    return f"{n:,} {one if n == 1 else many or one + 's'}"


def tell(message: str, category: type[Warning], stacklevel: int) -> None:
    """Warn; where a filter makes that an error, log it: raised here, it would cost a reply that is paid for."""
    try:
        warnings.warn(message, category, stacklevel=stacklevel + 1)
    except Warning:
        logging.getLogger("routerlab").warning(message)


def unwarned(do: Callable[..., Any], *args: Any) -> Any:
    """Return ``do(*args)``, with warnings off if a filter made one an error: what it reads is paid for.

    Examples
    --------
    >>> unwarned(max, 1, 2)
    2
    """
    try:
        return do(*args)
    except Warning:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return do(*args)


def ended(text: str) -> str:
    """Return a sentence with its full stop: what providers say often lacks it.

    Examples
    --------
    >>> ended("no such model"), ended("Why?")
    ('no such model.', 'Why?')
    """
    return text if text.endswith((".", "!", "?")) else f"{text}."


@dataclass(frozen=True)
class RunReport:
    """What a run asked for, got and spent; ``str(report)`` says it in words.

    Attributes
    ----------
    path : str
        The journal's file name.
    n_requests, n_answered, n_from_journal, n_failed, n_left_out : int
        Requests; answered in this run; answered before; failed after all attempts; not asked at all.
    n_to_retry : int
        Of `n_failed`, those that may go better in a later run: not what was refused for good (400, 404, ...).
    first_error : str or None
        Of the first request that failed.
    why_left_out : tuple of str
        Reasons for `n_left_out`.
    n_attempts, n_maybe_billed : int
        Requests sent in this run, and those that may have been billed without a reply that could be read: time-outs
        and broken connections.
    spent_usd, maybe_billed_usd : float
        In this run: what the replies that came say or cost by their tokens; and at most for the `n_maybe_billed`.
    n_unpriced : int
        Replies whose cost is not known; they are not in `spent_usd`.
    unpriced_models : tuple of str
        Whose replies they are, by the provider's name, as ``prices=`` wants it.
    spent_before_usd, maybe_billed_before_usd : float
        The same by earlier runs in this journal, in which a run that was killed counts with all it had in flight.
    budget_usd : float or None
        What all runs in this journal may cost.
    seconds : float
        How long it took.
    closed : tuple of str
        Endpoints to which nothing more was sent, and why.
    n_killed_runs : int
        Earlier runs that did not come to their end.
    unreadable : tuple of str
        Lines of the journal that could not be read.
    """

    path: str
    n_requests: int = 0
    n_answered: int = 0
    n_from_journal: int = 0
    n_failed: int = 0
    n_left_out: int = 0
    n_to_retry: int = 0
    first_error: str | None = None
    why_left_out: tuple[str, ...] = ()
    n_attempts: int = 0
    n_maybe_billed: int = 0
    spent_usd: float = 0.0
    maybe_billed_usd: float = 0.0
    n_unpriced: int = 0
    unpriced_models: tuple[str, ...] = ()
    spent_before_usd: float = 0.0
    maybe_billed_before_usd: float = 0.0
    budget_usd: float | None = None
    seconds: float = 0.0
    closed: tuple[str, ...] = ()
    n_killed_runs: int = 0
    unreadable: tuple[str, ...] = ()

    n_unsure = old_name("n_unsure", "n_maybe_billed")
    unsure_usd = old_name("unsure_usd", "maybe_billed_usd")
    unsure_before_usd = old_name("unsure_before_usd", "maybe_billed_before_usd")

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, as ``attrs`` of a table keep them; for one more release, by their old names as well."""
        values = {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}
        return values | {k.replace("maybe_billed", "unsure"): v for k, v in values.items() if "maybe_billed" in k}

    def problems(self, errors: str = "'error'") -> list[str]:
        """Return what a user should know, a sentence each; empty if all went well. `errors`: where the errors are."""
        found = self._failed(errors) if self.n_failed else []
        if self.n_left_out:
            found.append(ended(f"{counted(self.n_left_out, 'was', 'were')} not asked: {' / '.join(self.why_left_out)}"))
        elsewhere = [text for text in self.closed if not any(text in why for why in self.why_left_out)]
        if elsewhere:
            found.append(ended(f"Nothing more was sent to {' / '.join(elsewhere)}"))
        if self.n_unpriced:
            given = f" for {shown(self.unpriced_models)}" if self.unpriced_models else ""
            replies = counted(self.n_unpriced, "reply", "replies")
            found.append(
                f"The cost of {replies} is not known and is in no sum; give prices={given} (0 if it costs nothing)."
            )
        found += self._passed()
        if self.unreadable:
            lines = counted(len(self.unreadable), "bad line")
            found.append(f"The journal {self.path} has {lines}: {'; '.join(self.unreadable)}.")
        return found

    def _failed(self, errors: str) -> list[str]:
        """Say how many failed, why the first did unless it is said elsewhere, and whether to ask again."""
        some = f" {self.n_to_retry:,} of them" if self.n_to_retry < self.n_failed else ""
        retry = f"; run again to retry{some}" if self.n_to_retry else ""
        found = [f"{self.n_failed:,} of {self.n_requests:,} requests failed (see {errors}){retry}."]
        if self.first_error and not any(text in self.first_error for text in self.closed):
            found.append(ended(f"The first error: {self.first_error}"))
        return found

    def _passed(self) -> list[str]:
        """Say why the budget was passed, or that it was before: no matter if nothing is missing."""
        before = self.spent_before_usd + self.maybe_billed_before_usd
        if self.budget_usd is None:
            return []
        if before > self.budget_usd:
            included = " (maybe billed included)" if self.maybe_billed_before_usd else ""
            cost = f"{usd(before)} USD in earlier runs{included}"
            text = f"The journal {self.path} already cost {cost}, more than the budget of {self.budget_usd:g} USD."
            return [text] if self.n_failed or self.n_left_out else []
        if self.spent_before_usd + self.spent_usd > self.budget_usd:
            return ["A reply cost more than its price and max_tokens allow, and the budget was passed by that."]
        return []

    def __str__(self) -> str:
        """Return what was done, what it cost, and what to know."""
        text = (
            f"{counted(self.n_requests, 'request')}: {self.n_answered:,} answered now, {self.n_from_journal:,} in the "
            f"journal before, {self.n_failed:,} failed, {self.n_left_out:,} not asked. "
            f"Spent {usd(self.spent_usd)} USD now and {usd(self.spent_before_usd)} before"
        )
        text += f", budget {usd(self.budget_usd)}." if self.budget_usd is not None else "."
        maybe_billed = self.maybe_billed_usd + self.maybe_billed_before_usd
        if self.n_maybe_billed or maybe_billed:
            text += (
                f" {self.n_maybe_billed:,} of {self.n_attempts:,} attempts may have been billed without a reply: "
                f"at most {usd(maybe_billed)} USD more, earlier runs included."
            )
        return " ".join([text, *self.problems()])

    def _repr_html_(self) -> str:
        return fragment(f"<p>{html.escape(str(self))}</p>")


def usd(amount: float) -> str:
    """Write an amount with enough digits for one reply of a small model.

    Examples
    --------
    >>> usd(1.5), usd(0.00005), usd(0.0)
    ('1.5000', '0.000050', '0.0000')
    """
    return f"{amount:.4f}" if amount >= 0.01 or amount == 0 else f"{amount:.6f}"


@dataclass(frozen=True)
class Run:
    """The records of a run, in the order of its requests, and its report.

    Attributes
    ----------
    records : list of dict
        ``key, model, text, finish_reason, input_tokens, output_tokens, cost_usd, cost_source, latency_s, attempts,
        served_by, error, at, spent_usd, unsure_usd`` and what the request's ``about`` holds. ``text`` is empty and
        ``error`` says why where no reply came; ``attempts`` is 0 where no request was sent.
    report : RunReport
        Counts and money.
    """

    records: list[Record]
    report: RunReport

    def __repr__(self) -> str:
        """Return the report."""
        return f"Run({self.report})"

    def _repr_html_(self) -> str:
        return self.report._repr_html_()
