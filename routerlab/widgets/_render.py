"""Turn a model's text into HTML that can do nothing: no script, no request, no style, no link that leads anywhere.

Two walls, each enough by itself: markdown-it-py never passes HTML through, and nh3 then keeps only
listed tags and classes. Neither list has anything that loads or runs.
"""

import re
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import lru_cache
from html import escape
from typing import Any

MAX_CHARS = 16_000  # of one response shown at first
MAX_HTML = 40_000  # bytes of one rendered response, so that a step with two stays far below 100 kB
_MAX_CODE = 8_000  # characters of a code block that are coloured
_MAX_WORDS = 6_000  # words of one response that are compared
_MIN_SHARED = 0.35  # share of words (spaces count) below which marks would cover everything
_BLOCKS = set("p ul ol h1 h2 h3 h4 h5 h6 blockquote th td".split())  # those with a direction of their own
_TAGS = _BLOCKS | set("br li hr em strong s del ins mark code pre table thead tbody tr span div".split())
_CODE_CLASSES = {"k": "Keyword", "s": "String", "c": "Comment", "m": "Number", "f": "Name.Function", "o": "Operator"}
_CLASSES = {
    "span": {"rl-link", "rl-image", "rl-sign", *(f"rl-hl-{c}" for c in _CODE_CLASSES)},
    "div": {"rl-scroll"},
    "mark": {"rl-only"},
}
# Control characters, and those that reorder or hide text: a reader should see that they are there.
_SIGNS = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff\ud800-\udfff]"
)


@dataclass(frozen=True, slots=True)
class Shown:
    """A response as the page gets it: HTML or plain text, what to know of it, and whether there is more."""

    body: str
    note: str | None = None
    cut: bool = False

    def payload(self) -> dict[str, Any]:
        """Return a dict for the page."""
        return {"body": self.body, "note": self.note, "cut": self.cut}


def visible(text: str) -> tuple[str, int]:
    r"""Replace control and direction characters by visible signs; return the text and how many there were.

    Examples
    --------
    >>> visible("a\x00b\u202ec")
    ('a␀b⟦U+202E⟧c', 2)
    """
    return _SIGNS.subn(lambda match: _sign(match[0]), text.replace("\r\n", "\n").replace("\r", "\n"))


def _sign(char: str) -> str:
    code = ord(char)
    return chr(0x2400 + code) if code < 0x20 else f"⟦U+{code:04X}⟧"


def show_markdown(text: str | None, *, max_chars: int = MAX_CHARS) -> Shown:
    """Render markdown as sanitised HTML, cut to what a page can bear: `max_chars`, or 40 kB of HTML.

    Examples
    --------
    >>> show_markdown("**Hi** <img src=x onerror=alert(1)>").body.strip()
    '<p dir="auto"><strong>Hi</strong> &lt;img src=x onerror=alert(1)&gt;</p>'
    """
    text = text or ""
    body = ""
    limit = max_chars
    while True:
        part, n_signs = visible(text[:limit])
        body = to_html(part)
        if len(body.encode()) <= MAX_HTML or limit < 500:
            break
        limit //= 2
    return Shown(body if part.strip() else "", _note(text, limit, n_signs), limit < len(text))


def show_plain(text: str | None, *, max_chars: int = MAX_CHARS) -> Shown:
    """Return the text as it is, cut to `max_chars`, with control characters made visible.

    Examples
    --------
    >>> show_plain("abc", max_chars=2)
    Shown(body='ab', note='Only the first 2 of 3 characters are shown.', cut=True)
    """
    text = text or ""
    part, n_signs = visible(text[:max_chars])
    return Shown(part, _note(text, max_chars, n_signs), max_chars < len(text))


def _note(text: str, limit: int, n_signs: int) -> str | None:
    notes = []
    if len(text) > limit:
        notes.append(f"Only the first {limit:,} of {len(text):,} characters are shown.")
    if n_signs:
        one = "character is" if n_signs == 1 else "characters are"
        notes.append(f"{n_signs:,} control {one} shown as signs.")
    return " ".join(notes) or None


def to_html(text: str) -> str:
    """Return sanitised HTML of markdown `text`."""
    import nh3

    return nh3.clean(
        _parser().render(text),
        tags=_TAGS,
        clean_content_tags={"script", "style"},
        attributes={"span": {"title"}, "ol": {"start", "dir"}, **{tag: {"dir"} for tag in _BLOCKS - {"ol"}}},
        allowed_classes=_CLASSES,
        url_schemes=set(),
        link_rel=None,
    )


@lru_cache(maxsize=1)
def _parser() -> Any:
    from markdown_it import MarkdownIt

    parser = MarkdownIt("commonmark", {"html": False, "highlight": _highlight}).enable(["table", "strikethrough"])
    parser.core.ruler.push("direction", _direction)
    parser.add_render_rule(
        "link_open", lambda _self, tokens, i, *_: f'<span class="rl-link" title="{_href(tokens[i])}">'
    )
    parser.add_render_rule("link_close", lambda *_: "</span>")
    parser.add_render_rule("image", _image)
    parser.add_render_rule("table_open", lambda *_: '<div class="rl-scroll"><table>')
    parser.add_render_rule("table_close", lambda *_: "</table></div>")
    return parser


def _direction(state: Any) -> None:
    """Let each outermost block find its own direction; inner ones would hide their text from it."""
    for token in state.tokens:
        if token.nesting == 1 and token.tag in _BLOCKS and (token.level == 0 or token.tag in ("th", "td")):
            token.attrSet("dir", "auto")


def _href(token: Any) -> str:
    return escape(str(token.attrs.get("href", "")), quote=True)


def _image(_self: Any, tokens: Any, i: int, *_: Any) -> str:
    alt = escape(tokens[i].content or "image")
    return (
        f'<span class="rl-image" title="{escape(str(tokens[i].attrs.get("src", "")), quote=True)}">image: {alt}</span>'
    )


def _highlight(code: str, language: str, _attrs: str) -> str:
    """Colour a code block whose language is named; an empty string lets markdown-it escape it as it is."""
    if not language or len(code) > _MAX_CODE:
        return ""
    from pygments.lexers import get_lexer_by_name
    from pygments.util import ClassNotFound

    try:
        lexer = get_lexer_by_name(language, stripnl=False)
    except ClassNotFound:
        return ""
    return "".join(_coloured(kind, value) for kind, value in lexer.get_tokens(code))


def _coloured(kind: Any, value: str) -> str:
    name = str(kind).removeprefix("Token.")
    name = name.removeprefix("Literal.")
    letter = next((c for c, start in _CODE_CLASSES.items() if name.startswith(start)), None)
    return escape(value) if letter is None else f'<span class="rl-hl-{letter}">{escape(value)}</span>'


def show_difference(left: str | None, right: str | None) -> tuple[Shown, Shown]:
    """Mark in each text the words that the other does not have at that place, among the first `_MAX_WORDS`.

    Examples
    --------
    >>> show_difference("a big dog", "a small dog")[0].body
    'a <mark class="rl-only">big</mark> dog'
    """
    texts = [visible(text or "")[0][:MAX_CHARS] for text in (left, right)]
    words = [re.findall(r"\s+|\w+|[^\w\s]", text)[:_MAX_WORDS] for text in texts]
    # Without the heuristic for common words a long text takes seconds, with it a short one is compared badly.
    matcher = SequenceMatcher(None, words[0], words[1], autojunk=max(map(len, words)) > 1500)
    shared = matcher.ratio()
    if shared < _MIN_SHARED:
        note = f"Too different to compare word by word: they share {shared:.0%} of their words."
        return Shown(escape(texts[0]), note), Shown(escape(texts[1]), note)
    bodies = ["", ""]
    for kind, *span in matcher.get_opcodes():
        for side, (start, stop) in enumerate((span[:2], span[2:])):
            part = escape("".join(words[side][start:stop]))
            bodies[side] += part if kind == "equal" or not part.strip() else f'<mark class="rl-only">{part}</mark>'
    cut = [len("".join(w)) < len(text or "") for w, text in zip(words, (left, right), strict=True)]
    note = "Only the beginning is compared."
    return Shown(bodies[0], note if cut[0] else None, cut[0]), Shown(bodies[1], note if cut[1] else None, cut[1])
