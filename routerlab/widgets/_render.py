"""Turn a model's text into HTML that can do nothing: no script, no request, no style, no link that leads anywhere.

Two walls, each enough by itself: markdown-it-py never passes HTML through, and nh3 then keeps only
listed tags and classes. Neither list has anything that loads or runs.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import lru_cache
from html import escape
from typing import Any

from routerlab.markup import visible
from routerlab.widgets._chat import Part, Turn, transcript, turns_of
from routerlab.widgets._maths import MATHML, add_maths, is_safe

MAX_CHARS = 16_000  # of one response shown at first
MAX_PROMPT = 8_000  # of a prompt shown at first
MAX_HTML = 40_000  # bytes of one rendered response, so that a step with two stays far below 100 kB
MAX_RICH = 300_000  # characters beyond which a text is shown whole as plain text only
_WHOLE = 1 << 62
_MAX_CODE = 8_000  # characters of a code block that are coloured
_MAX_WORDS = 6_000  # words of one response that are compared
_MIN_SHARED = 0.35  # share of words (spaces count) below which marks would cover everything
_DEEPEST = 60  # levels of quotes and lists (a list takes two), below which text is kept as it was written
_BLOCKS = set("p ul ol h1 h2 h3 h4 h5 h6 blockquote th td".split())  # those with a direction of their own
_BARE = set("b i u sub sup kbd mark ins del s strong em small".split())  # HTML that models write, without attributes
_TAGS = _BLOCKS | _BARE | set("br li hr code pre table thead tbody tr span div details summary".split()) | set(MATHML)
_CODE_CLASSES = {"k": "Keyword", "s": "String", "c": "Comment", "m": "Number", "f": "Name.Function", "o": "Operator"}
_ALIGNED = {"rl-center", "rl-right"}
_CLASSES = {
    "span": {"rl-link", "rl-image", "rl-sign", "rl-task", "rl-tex", *(f"rl-hl-{c}" for c in _CODE_CLASSES)},
    "div": {"rl-scroll", "rl-formula", "rl-chat", "rl-turn", "rl-user", "rl-who", "rl-call"},
    "details": {"rl-turn"},
    "mark": {"rl-only"},
    "th": _ALIGNED,
    "td": _ALIGNED,
}
_DATA = r"data:image/(?:png|jpe?g|gif|webp);base64,[A-Za-z0-9+/=]+"
_PICTURE = re.compile(_DATA)
_EMBEDDED = re.compile(rf"(!\[[^\]\n]{{0,500}}\]\(\s*<?)({_DATA})")
_HELD = re.compile(r'src="data:image/png;base64,held(\d{1,6})"')
_LETTERS = "\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af"  # of scripts that write no spaces, or few
_EAST = re.compile(f"[{_LETTERS}]")
_WORD = re.compile(rf"[{_LETTERS}]|[^\s{_LETTERS}]*[^\W{_LETTERS}][^\s{_LETTERS}]*")
_MAX_PICTURE = 8_000_000  # characters of one image


@dataclass(frozen=True, slots=True)
class Shown:
    """A text as the page gets it: HTML or plain text, what to know of it, and whether there is more."""

    body: str
    note: str | None = None
    cut: bool = False
    html: bool = False

    def payload(self) -> dict[str, Any]:
        """Return a dict for the page."""
        return {"body": self.body, "note": self.note, "cut": self.cut, "html": self.html}

    def as_html(self) -> str:
        """Return the body as HTML, whichever it is."""
        if self.html or not self.body:
            return self.body
        return f'<div class="rl-plain">{escape(self.body, quote=False)}</div>'


def show_markdown(
    text: str | None, *, max_chars: int = MAX_CHARS, max_html: int = MAX_HTML, images: bool = False
) -> Shown:
    """Render markdown, or a conversation, as sanitised HTML, cut to what a page can bear.

    Parameters
    ----------
    text : str or None
        Markdown, or the JSON of a list of messages.
    max_chars, max_html : int, optional
        Characters of text, and bytes of HTML without images, at most.
    images : bool, default False
        Whether images that the text holds itself, as data URIs, are shown.

    Returns
    -------
    Shown
        HTML.

    Examples
    --------
    >>> show_markdown("**Hi** <img src=x onerror=alert(1)>").body.strip()
    '<p dir="auto"><strong>Hi</strong> &lt;img src=x onerror=alert(1)&gt;</p>'
    """
    page = _Page(images)
    turns = turns_of(text or "")
    source = page.hold(text or "") if turns is None else ""
    n_chars = len(source) if turns is None else sum(len(part.text) for turn in turns for part in turn.parts)
    limit = min(max_chars, n_chars)
    while True:
        html, n_signs = page.markdown(source[:limit]) if turns is None else page.chat(turns, limit)
        body = _cleaned(html, images)
        size = len(body.encode())
        if size <= max_html or limit < 200:
            break
        limit = min(limit * max_html // size, limit * 9 // 10)
    empty = turns is None and not source[:limit].strip()
    return Shown("" if empty else page.filled(body), _note(n_chars, limit, n_signs), limit < n_chars, html=True)


def show_plain(text: str | None, *, max_chars: int = MAX_CHARS) -> Shown:
    """Return the text as it is, cut to `max_chars`, with hidden characters made visible.

    Examples
    --------
    >>> show_plain("abc", max_chars=2)
    Shown(body='ab', note='Only the first 2 of 3 characters are shown.', cut=True, html=False)
    """
    text = text or ""
    part, n_signs = visible(text[:max_chars])
    return Shown(part, _note(len(text), max_chars, n_signs), max_chars < len(text))


def show_prompt(text: str, *, max_chars: int = MAX_PROMPT, images: bool = False) -> Shown:
    """Return a prompt: text as it was written, a conversation turn by turn.

    Examples
    --------
    >>> show_prompt("Say *hi*").body
    'Say *hi*'
    """
    if turns_of(text) is None:
        return show_plain(text, max_chars=max_chars)
    return show_markdown(
        text, max_chars=max_chars, max_html=MAX_HTML if max_chars == MAX_PROMPT else _WHOLE, images=images
    )


def show_whole(text: str | None, *, images: bool = False) -> Shown:
    """Render a response to its end; as plain text if it is longer than `MAX_RICH`.

    Examples
    --------
    >>> show_whole("word " * 100_000).note
    'Plain text, because it is long: 500,000 characters.'
    """
    text = text or ""
    if len(text) > MAX_RICH and not (images and _PICTURE.search(text)):
        shown = show_plain(text, max_chars=_WHOLE)
        note = f"Plain text, because it is long: {len(text):,} characters."
        return Shown(shown.body, " ".join(filter(None, (note, shown.note))))
    return show_markdown(text, max_chars=_WHOLE, max_html=_WHOLE, images=images)


def whole_prompt(text: str, *, images: bool = False) -> Shown:
    """Return a prompt to its end."""
    return show_prompt(text, max_chars=_WHOLE, images=images)


def n_words(text: str) -> int:
    """Count words; in Chinese, Japanese and Korean, characters.

    Examples
    --------
    >>> n_words("Two words"), n_words("你好")
    (2, 2)
    """
    turns = turns_of(text)
    said = (
        text if turns is None else " ".join(part.text for turn in turns for part in turn.parts if part.kind == "text")
    )
    return len(_WORD.findall(said))


def _note(n_chars: int, limit: int, n_signs: int) -> str | None:
    notes = []
    if n_chars > limit:
        notes.append(f"Only the first {limit:,} of {n_chars:,} characters are shown.")
    if n_signs:
        one = "character is" if n_signs == 1 else "characters are"
        notes.append(f"{n_signs:,} hidden or control {one} shown as signs.")
    return " ".join(notes) or None


class _Page:
    """The parts of one rendered text; its images are held back, because they would count as text."""

    def __init__(self, images: bool) -> None:
        self._images = images
        self._held: list[str] = []

    def hold(self, text: str) -> str:
        """Put a short stand-in for each image that is in the text itself."""
        return _EMBEDDED.sub(lambda match: match[1] + self._stand_in(match[2]), text)

    def _stand_in(self, address: str) -> str:
        self._held.append(address)
        return f"data:image/png;base64,held{len(self._held) - 1}"

    def filled(self, html: str) -> str:
        """Put the images back."""
        if not self._images:
            return html
        return _HELD.sub(lambda m: f'src="{self._held[int(m[1])]}"' if int(m[1]) < len(self._held) else m[0], html)

    def markdown(self, text: str) -> tuple[str, int]:
        """Return HTML, not yet cleaned, and how many hidden characters there were, as themselves or as entities."""
        text, n_signs = visible(text)
        html, n_entities = visible(_parser().render(text, {"images": self._images}))
        return html, n_signs + n_entities

    def chat(self, turns: Sequence[Turn], limit: int) -> tuple[str, int]:
        """Return HTML of the turns that begin within `limit` characters."""
        blocks, n_signs, used = [], 0, 0
        for turn in turns:
            if used > limit:
                break
            parts = []
            for part in turn.parts:
                if used <= limit:
                    html, n = self._part(part, limit - used)
                    parts.append(html)
                    n_signs += n
                used += len(part.text)
            if turn.role == "assistant" and not turn.name and len(turns) == 1:  # a response, not a conversation
                return "".join(parts), n_signs
            who, n = visible(turn.who)
            n_signs += n
            blocks.append(_turn_html(turn.role, escape(who), "".join(parts)))
        return f'<div class="rl-chat">{"".join(blocks)}</div>', n_signs

    def _part(self, part: Part, limit: int) -> tuple[str, int]:
        if part.kind == "text":
            return self.markdown(self.hold(part.text)[:limit])
        if part.kind == "image":
            held = self._stand_in(part.text) if _PICTURE.fullmatch(part.text) else part.text
            return _picture(held, part.label, self._images), 0
        text, n_signs = visible(part.text[:limit])
        label, n_label = visible(part.label)
        if part.kind == "call":
            label = f"calls {label}"
        head = f'<div class="rl-who">{escape(label)}</div>' if label else ""
        body = f"<pre><code>{escape(text)}</code></pre>" if text else ""
        return f'<div class="rl-call">{head}{body}</div>', n_signs + n_label


def _turn_html(role: str, who: str, body: str) -> str:
    if role in ("system", "developer"):
        return f'<details class="rl-turn"><summary>{who} prompt</summary>{body}</details>'
    kind = " rl-user" if role == "user" else ""
    return f'<div class="rl-turn{kind}"><div class="rl-who">{who}</div>{body}</div>'


def to_html(text: str, *, images: bool = False) -> str:
    """Return sanitised HTML of markdown `text`."""
    page = _Page(images)
    return page.filled(_cleaned(page.markdown(page.hold(text))[0], images))


def _cleaned(html: str, images: bool) -> str:
    import nh3

    def kept(tag: str, name: str, value: str) -> str | None:
        if tag == "img" and name == "src":
            return value if _PICTURE.fullmatch(value) else None
        return value if is_safe(tag, name, value) else None

    return nh3.clean(
        html,
        tags=_TAGS | ({"img"} if images else set()),
        clean_content_tags={"script", "style"},
        attributes={
            "span": {"title"},
            "img": {"src", "alt"},
            "ol": {"start", "dir"},
            **{tag: {"dir"} for tag in _BLOCKS - {"ol"}},
            **MATHML,
        },
        attribute_filter=kept,
        allowed_classes=_CLASSES,
        url_schemes={"data"} if images else set(),
        link_rel=None,
    )


@lru_cache(maxsize=1)
def _parser() -> Any:
    from markdown_it import MarkdownIt

    options = {"html": False, "highlight": _highlight, "breaks": True, "maxNesting": _DEEPEST + 20}
    parser = MarkdownIt("commonmark", options).enable(["table", "strikethrough"])
    parser.disable("reference")  # which would take sources at the end of a text out of it
    parser.block.ruler.at("table", _table, {"alt": ["paragraph", "reference"]})
    parser.block.ruler.before("table", "deep", _deep)
    parser.inline.ruler.at("newline", _newline)
    parser.inline.ruler.at("emphasis", _emphasis)
    parser.inline.ruler.before("html_inline", "bare_html", _bare_html)
    add_maths(parser)
    parser.core.ruler.push("cells", _cells)
    parser.core.ruler.push("tasks", _tasks)
    parser.add_render_rule("bare_html", lambda _self, tokens, i, *_: tokens[i].content)
    parser.add_render_rule(
        "link_open", lambda _self, tokens, i, *_: f'<span class="rl-link" title="{_href(tokens[i])}">'
    )
    parser.add_render_rule("link_close", lambda *_: "</span>")
    parser.add_render_rule("image", _image)
    parser.add_render_rule("fence", _fence)
    parser.add_render_rule("table_open", lambda *_: '<div class="rl-scroll"><table>')
    parser.add_render_rule("table_close", lambda *_: "</table></div>")
    return parser


def _deep(state: Any, first: int, end: int, silent: bool) -> bool:
    """Keep what nests too deep as it was written; the parser would drop it without a word."""
    if silent or state.level < _DEEPEST:
        return False
    last = first
    while last < end and (state.isEmpty(last) or state.sCount[last] >= state.blkIndent):
        last += 1
    state.push("code_block", "code", 0).content = state.getLines(first, last, state.blkIndent, False) + "\n"
    state.line = last
    return True


def _table(state: Any, first: int, end: int, silent: bool) -> bool:
    """Read a table, and keep the cells of a row that has more than the table has columns, which the parser drops.

    Often it has more because a formula holds a bar: those are put together again. What is left over goes to the last.
    """
    from markdown_it.rules_block import table
    from markdown_it.rules_block.table import escapedSplit

    start = len(state.tokens)
    if not table(state, first, end, silent):
        return False
    rows: dict[int, list[Any]] = {}
    for token in state.tokens[start:]:
        if token.type == "inline":
            rows.setdefault(token.map[0], []).append(token)
    for line, cells in rows.items():
        text = state.src[state.bMarks[line] + state.tShift[line] : state.eMarks[line]].strip()
        texts = escapedSplit(text.removeprefix("|"))
        texts = texts[:-1] if texts and not texts[-1] else texts
        if len(texts) > len(cells):
            texts = _whole_formulas(texts)
            texts = [*texts[: len(cells) - 1], "|".join(texts[len(cells) - 1 :])]
            for token, content in zip(cells, texts, strict=False):
                token.content = content.strip()
    return True


def _whole_formulas(texts: list[str]) -> list[str]:
    whole: list[str] = []
    for text in texts:
        if whole and whole[-1].count("$") % 2:
            whole[-1] += f"|{text}"
        else:
            whole.append(text)
    return whole


def _newline(state: Any, silent: bool) -> bool:
    """Keep how far a line of a poem stands in."""
    from markdown_it.rules_inline.newline import newline

    start = state.pos
    if not newline(state, silent):
        return False
    gap = state.pos - start - 1
    if gap > 1 and not silent:
        state.push("text", "", 0).content = "\u00a0" * gap
    return True


def _emphasis(state: Any, silent: bool) -> bool:
    """Read ``**`` as what is meant next to letters of scripts without spaces, which no rule of markdown foresees."""
    from markdown_it.rules_inline.emphasis import tokenize

    start, n_before = state.pos, len(state.delimiters)
    if not tokenize(state, silent):
        return False
    before, after = state.src[start - 1 : start] or " ", state.src[state.pos : state.pos + 1] or " "
    if state.src[start] == "*":
        for delimiter in state.delimiters[n_before:]:
            delimiter.open |= bool(_EAST.match(before)) and not after.isspace()
            delimiter.close |= bool(_EAST.match(after)) and not before.isspace()
    return True


_BARE_HTML = re.compile(
    rf"<(?:br\s*/?>|({'|'.join(sorted(_BARE))})>(?=.{{0,2000}}?</\1>)|/({'|'.join(sorted(_BARE))})>)",
    re.DOTALL | re.IGNORECASE,
)


def _bare_html(state: Any, silent: bool) -> bool:
    """Take ``<br>``, and pairs such as ``<sub>...</sub>``, as what they are; all other HTML is text."""
    match = _BARE_HTML.match(state.src, state.pos)
    if match is None or match.end() > state.posMax:
        return False
    opens, closes = (name and name.lower() for name in match.groups())
    waiting = state.env.setdefault("bare", {}).setdefault(id(state.tokens), []) if not silent else []
    if closes and not silent:
        if closes not in waiting:
            return False
        waiting.remove(closes)
    if not silent:
        if opens:
            waiting.append(opens)
        name = f"<{opens}>" if opens else f"</{closes}>" if closes else "<br>"
        state.push("bare_html", "", 0).content = name
    state.pos = match.end()
    return True


def _cells(state: Any) -> None:
    """Let each outermost block find its own direction (inner ones would hide their text), and align table cells."""
    for token in state.tokens:
        if token.nesting == 1 and token.tag in _BLOCKS and (token.level == 0 or token.tag in ("th", "td")):
            token.attrSet("dir", "auto")
            align = str(token.attrs.pop("style", "")).removeprefix("text-align:")
            if align in ("center", "right"):
                token.attrSet("class", f"rl-{align}")


def _tasks(state: Any) -> None:
    """Show the box of ``- [x] done`` as a box."""
    for i, token in enumerate(state.tokens):
        if token.type != "inline" or not re.match(r"\[[ xX]\](\s|$)", token.content):
            continue
        if state.tokens[i - 2].type == "list_item_open" and token.children[0].type == "text":
            first = token.children[0]
            box = type(token)("bare_html", "", 0)
            done = first.content[1] in "xX"
            box.content = f'<span class="rl-task">{"☑" if done else "☐"}</span> '
            first.content = first.content[3:].lstrip()
            token.children.insert(0, box)


def _fence(self: Any, tokens: Any, i: int, options: Any, env: Any) -> str:
    """Show what stands behind the opening of a code block if it is more than the name of a language."""
    info = tokens[i].info.strip()
    head = f'<div class="rl-who">{escape(info)}</div>' if len(info.split()) > 1 else ""
    return head + str(self.fence(tokens, i, options, env))


def _href(token: Any) -> str:
    return escape(str(token.attrs.get("href", "")), quote=True)


def _image(_self: Any, tokens: Any, i: int, _options: Any, env: Any) -> str:
    return _picture(str(tokens[i].attrs.get("src", "")), tokens[i].content, bool(env.get("images")))


def _picture(address: str, label: str, images: bool) -> str:
    """Return the image if the text holds it and the owner wants it, else a note of where it would be."""
    alt = escape(label or "image")
    if images and _PICTURE.fullmatch(address) and len(address) < _MAX_PICTURE:
        return f'<img src="{address}" alt="{alt}">'
    where = address if len(address) < 500 else f"{address[:60]}…"
    where = "data URI" if where.startswith("data:image/png;base64,held") else where
    return f'<span class="rl-image" title="{escape(where)}">image{f": {alt}" if label else ""}</span>'


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
    whole = [visible(transcript(text or ""))[0] for text in (left, right)]
    texts = [text[:MAX_CHARS] for text in whole]
    words = [re.findall(r"\s+|\w+|[^\w\s]", text)[:_MAX_WORDS] for text in texts]
    # Without the heuristic for common words a long text takes seconds, with it a short one is compared badly.
    matcher = SequenceMatcher(None, words[0], words[1], autojunk=max(map(len, words)) > 1500)
    shared = matcher.ratio()
    if shared < _MIN_SHARED:
        note = f"Too different to compare word by word: they share {shared:.0%} of their words."
        return Shown(escape(texts[0]), note, html=True), Shown(escape(texts[1]), note, html=True)
    bodies = ["", ""]
    for kind, *span in matcher.get_opcodes():
        for side, (start, stop) in enumerate((span[:2], span[2:])):
            part = escape("".join(words[side][start:stop]))
            bodies[side] += part if kind == "equal" or not part.strip() else f'<mark class="rl-only">{part}</mark>'
    note = "Only the beginning is compared."
    cut = [len("".join(w)) < len(full) for w, full in zip(words, whole, strict=True)]
    shown = [Shown(body, note if more else None, more, html=True) for body, more in zip(bodies, cut, strict=True)]
    return shown[0], shown[1]
