"""What the labelling widgets share: one way for decisions to come in, be made durable, and be acknowledged."""

import hashlib
from collections.abc import Mapping
from html import escape
from pathlib import Path
from threading import RLock
from typing import Any
from uuid import uuid4

import anywidget
import traitlets

from routerlab.exceptions import ParameterError
from routerlab.labeling import LogError, NothingToUndo, StaleVote, VoteLog
from routerlab.markup import fragment
from routerlab.schema import reject
from routerlab.widgets._rater_page import HERE as HERE, source as source, style as style
from routerlab.widgets._render import to_html

MAX_STEP = 90_000  # bytes of text sent for one step, if there is more than the item to show
_SLOTS = ("card0", "card1", "card2")
BOX = "border:1px solid #8885;border-radius:10px;padding:12px 16px;max-width:60em;line-height:1.5"
CELL = "padding:2px 14px 2px 0;text-align:left"
# Hides the output below the summary if that is mere text: Jupyter's word that the widget is not there.
_NO_MODEL = ".jp-OutputArea-child:has(.rl-static)+.jp-OutputArea-child:not(:has(.jp-OutputArea-output>*)){display:none}"
_N_ACKS = 64  # acknowledgements kept for a page that missed some


class Panel(anywidget.AnyWidget):
    """A widget that a saved notebook keeps a summary of.

    The summary is an output of its own, above the widget: Jupyter never falls back to HTML in a widget's own output,
    which says "model not found" where no kernel knows the widget. A live widget hides the summary (`hideSummary` in
    shared.js), and the summary hides that message.
    """

    _css = style()
    summary_id = traitlets.Unicode().tag(sync=True)

    def __init__(self, **traits: Any) -> None:
        super().__init__(summary_id=f"rl-static-{uuid4().hex[:12]}", **traits)

    def _summary(self) -> Any:
        """Return what stands in place of the widget where no kernel runs: HTML."""
        raise NotImplementedError

    def _static(self) -> str:
        return str(self._summary())

    def _view(self, **kwargs: Any) -> Any:
        """Return the display data of the live widget."""
        return super()._repr_mimebundle_(**kwargs)

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        """Add the summary, for whatever shows one output only."""
        return with_summary(self._view(**kwargs), self._static(), repr(self))

    def _ipython_display_(self) -> None:
        from IPython.display import display

        saved = f'<div class="rl-static {self.summary_id}"><style>{_NO_MODEL}</style>{self._static()}</div>'
        display(with_summary(None, saved, repr(self)), raw=True)
        view = self._view()
        data = dict(view[0] if isinstance(view, tuple) else view or {})
        data.pop("text/plain", None)  # the summary has it
        if data:
            display(data, raw=True)


class Asker(Panel):
    """A panel that answers what the page asks: ``{ask: serial, ...}`` is answered by that serial."""

    answered = traitlets.Int().tag(sync=True)

    def __init__(self, **traits: Any) -> None:
        super().__init__(**traits)
        self.on_msg(self._on_message)

    def _on_message(self, _widget: Any, content: dict[str, Any], _buffers: Any) -> None:
        """Handle a message; whatever goes wrong is shown in the widget, because Jupyter would swallow it."""
        try:
            if content.get("type") != "ping":
                self._handle(content)
        except Exception as error:  # noqa: BLE001
            self._fail(f"{type(error).__name__}: {error}")
        serial = content.get("ask")
        self.answered = serial if isinstance(serial, int) else self.answered

    def _handle(self, content: dict[str, Any]) -> None:
        raise NotImplementedError

    def _fail(self, message: str) -> None:
        """Show what went wrong."""
        raise NotImplementedError


class Labeler(Panel):
    """Shows one item after the other and logs a decision on each.

    The page sends ``{type: vote | skip | undo, nonce, id, choice, note, seconds}``. A decision is
    appended to the log first and acknowledged after, by its nonce in ``state["acks"]``; the page
    keeps what was not acknowledged, and may send it again at any time. Jupyter may handle messages on a thread of its
    own while the user's code runs on another: one lock keeps them apart.
    """

    state = traitlets.Dict().tag(sync=True)
    # Texts of the item to show and of the next two, each with its id. A trait of its own: only what is new is sent.
    card0 = traitlets.Dict().tag(sync=True)
    card1 = traitlets.Dict().tag(sync=True)
    card2 = traitlets.Dict().tag(sync=True)
    bindings = traitlets.Dict().tag(sync=True)
    guidelines = traitlets.Unicode().tag(sync=True)  # HTML

    vote_log: VoteLog

    def __init__(
        self,
        log: VoteLog,
        keys: Mapping[str, str] | None,
        defaults: Mapping[str, str],
        *,
        guidelines: str | None = None,
        **traits: Any,
    ) -> None:
        self.vote_log = log
        self._lock = RLock()
        self._acks: list[str] = []
        self._serial = 0
        self._notices: list[str] = []
        super().__init__(bindings=check_keys(keys, defaults), guidelines=to_html(guidelines or ""), **traits)
        self.on_msg(self._on_message)

    def _on_message(self, _widget: Any, content: dict[str, Any], _buffers: Any) -> None:
        """Handle a message; whatever goes wrong is shown in the widget, because Jupyter would swallow it."""
        with self._lock:
            try:
                self._handle(content)
            except LogError as error:
                self._show(error=str(error))
            except Exception as error:  # noqa: BLE001
                self._show(error=f"{type(error).__name__}: {error}")

    def _handle(self, content: dict[str, Any]) -> None:
        kind, nonce = content.get("type"), content.get("nonce")
        if kind in ("vote", "skip", "undo") and isinstance(nonce, str):
            try:
                self._undo(nonce) if kind == "undo" else self._decide(content)
            except NothingToUndo as error:
                self._notices.append(str(error))
            except StaleVote as error:
                if not error.recorded:
                    self._notices.append(str(error))
            self._acks = [*self._acks, nonce][-_N_ACKS:]
            self._show()
        elif kind == "ping":
            self.send({"type": "pong"})
            self._look_again()
        else:
            self._answer(content)

    def _decide(self, content: dict[str, Any]) -> None:
        raise NotImplementedError

    def _undo(self, nonce: str) -> None:
        raise NotImplementedError

    def _look_again(self) -> None:
        """Take note of what changed elsewhere: the page has been quiet for a while."""

    def _answer(self, content: dict[str, Any]) -> None:
        """Handle any other message."""

    def _upcoming(self) -> list[tuple[str, Any]]:
        """Return the item to show and the next two, as (id, what `_card` takes)."""
        raise NotImplementedError

    def _card(self, item: Any) -> dict[str, Any]:
        raise NotImplementedError

    def _status(self) -> dict[str, Any]:
        """Return ``done``, ``total``, ``last`` and ``finished`` for the page."""
        raise NotImplementedError

    def _show(self, error: str | None = None) -> None:
        """Send the small state first: the page has the next item's text already, and need not wait for new text."""
        upcoming = self._upcoming()
        ids = [name for name, _ in upcoming]
        self._serial += 1
        self.state = {
            "serial": self._serial,
            "store": self._store(),
            "item": ids[0] if ids else None,
            "ahead": ids[1:],
            "acks": self._acks,
            "error": error,
            "notice": " ".join(self._notices) or None,
            **self._status(),
        }
        self._notices = []
        self._send_cards(upcoming)

    @property
    def cards(self) -> dict[str, Any]:
        """Texts that the page has, by the id of the item."""
        return {card["id"]: card for card in (getattr(self, slot) for slot in _SLOTS) if card}

    def _send_cards(self, upcoming: list[tuple[str, Any]]) -> None:
        """Send the texts that the page lacks: at least the first, and not more than a step should take."""
        wanted, have = dict(upcoming[: len(_SLOTS)]), self.cards
        free = [slot for slot in _SLOTS if getattr(self, slot).get("id") not in wanted]
        size = 0
        for name, item in wanted.items():
            if name in have:
                continue
            card = {"id": name, **self._card(item)}
            size += card_bytes(card)
            if size > MAX_STEP and name != upcoming[0][0]:
                break
            setattr(self, free.pop(0), card)
        for slot in free:
            setattr(self, slot, {})

    def _store(self) -> str:
        """Name the page's store of unacknowledged decisions: the same for the same log after a restart."""
        name = "\n".join(
            (str(self.vote_log.path.resolve()), self.vote_log.rater, self.vote_log.dataset_id, type(self).__name__)
        )
        return f"routerlab-{hashlib.sha256(name.encode()).hexdigest()[:16]}"

    def _summary(self) -> tuple[str, str]:
        """Return the question, and what was done so far (HTML): what a saved notebook shows where no kernel runs."""
        raise NotImplementedError

    def _static(self) -> str:
        (title, counts), log = self._summary(), self.vote_log
        said = f"Rater {escape(log.rater)}, log <code>{escape(log.path.name)}</code>. When this cell ran: {counts}."
        return boxed(title, said, "Run this cell to label.")


def boxed(title: str, *parts: str) -> str:
    """Return a static HTML box; `parts` are HTML."""
    inside = "".join(f"<div>{part}</div>" for part in parts)
    return fragment(f'<div style="{BOX}"><b>{escape(title)}</b>{inside}</div>')


def with_summary(bundle: Any, html: str, text: str) -> Any:
    """Add static HTML to a widget's display data; without it a saved notebook holds an object's address."""
    if bundle is None:
        return {"text/html": html, "text/plain": text}
    data = bundle[0] if isinstance(bundle, tuple) else bundle
    data |= {"text/html": html, "text/plain": text}
    return bundle


def open_log(log: str | Path | VoteLog, rater: str | None, name: str, widget: str) -> VoteLog:
    """Return the log to write to: the one given, or the rater's at that path."""
    if isinstance(log, VoteLog):
        if log.dataset_id != name:
            reject("'log'", "belongs to other data.", "Open a log with this data set's id, or pass its path.")
        return log
    if not rater:
        msg = f"The 'rater' parameter of {widget} is missing: name the person who decides, e.g. rater='ana'."
        raise ParameterError(msg)
    path = Path(log)
    if not path.suffix and not path.exists():
        path.mkdir(parents=True)  # a folder, as its name says; VoteLog would make a file
    return VoteLog(path, rater=rater, dataset_id=name)


def card_bytes(card: Mapping[str, Any]) -> int:
    """Return about how many bytes a card takes on its way."""
    return sum(
        card_bytes(value) if isinstance(value, Mapping) else len(str(value).encode("utf-8", "replace")) + len(key)
        for key, value in card.items()
    )


def check_keys(keys: Mapping[str, str] | None, defaults: Mapping[str, str]) -> dict[str, str]:
    """Merge remapped keys into the defaults; None turns all keys off.

    Examples
    --------
    >>> check_keys({"left": "a"}, {"left": "1", "right": "2"})
    {'left': 'a', 'right': '2'}
    """
    if keys is None:
        return {}
    unknown = set(keys) - set(defaults)
    if unknown:
        msg = f"The 'keys' parameter names {sorted(unknown)}, expected some of {', '.join(defaults)}."
        raise ParameterError(msg)
    merged = {name: key for name, key in {**defaults, **keys}.items() if key}
    long = [key for key in merged.values() if len(key) != 1]
    if long:
        msg = f"The 'keys' parameter gives {', '.join(map(repr, long))}, expected one character each, or '' for none."
        raise ParameterError(msg)
    twice = sorted({key for key in merged.values() if list(merged.values()).count(key) > 1})
    if twice:
        msg = f"The 'keys' parameter gives {', '.join(twice)} to two actions. Give each action a key of its own, or ''."
        raise ParameterError(msg)
    return merged
