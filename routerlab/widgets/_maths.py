r"""Formulas in markdown: ``\(x\)``, ``\[x\]``, ``$x$``, ``$$x$$`` and LaTeX environments, as MathML.

What cannot be converted stays as it was written. Dollars that mean money stay text.
"""

import re
from functools import lru_cache
from html import escape, unescape
from typing import Any

_LONGEST = 2_000  # characters of a formula
_FORMULA = re.compile(
    rf"\\\((?P<round>.{{1,{_LONGEST}}}?)\\\)"
    rf"|\\\[(?P<square>.{{1,{_LONGEST}}}?)\\\]"
    rf"|\$\$(?P<double>[^$]{{1,{_LONGEST}}}?)\$\$"
    # Not "$5 or $10", "${HOME}/${USER}", "$5-$10": no space or separator at its end, no letter or digit after it.
    r"|\$(?P<single>(?!\s)(?:\\.|[^$\\`\n]){1,400}(?<![\s/,:;(\[=&]))\$(?![\w${])"
    rf"|(?P<whole>\\begin\{{(?P<name>[a-z]{{1,12}}\*?)\}}.{{1,{_LONGEST}}}?\\end\{{(?P=name)\}})",
    re.DOTALL,
)
_PROSE = re.compile(r"(?:(?=\d)[^\\^_=]*[A-Za-z]{2}|[^\\^_=]*[A-Za-z]{3,}\s+[A-Za-z]{2,})[^\\^_=]*")  # "5 (about 4"
# What the converter does not know, in words that it does; and what is of no account on a page.
_REWRITTEN = (
    (re.compile(r"\\begin\{align(?:edat|at\*?)\}\{\d+\}"), r"\\begin{align*}"),
    (
        re.compile(r"\\(begin|end)\{(?:aligned|align|split|alignedat|alignat\*?|eqnarray\*?|flalign\*?)\}"),
        r"\\\1{align*}",
    ),
    (re.compile(r"\\(begin|end)\{(?:equation|gather|gathered|multline)\*?\}"), r"\\\1{matrix}"),
    (re.compile(r"\\(begin|end)\{[dr]cases\}"), r"\\\1{cases}"),
    (re.compile(r"(\\\\)\s*\[-?[\d.]+\s*(?:pt|em|ex|mm|cm|in)\]"), r"\1"),
    (re.compile(r"\\label\{[^{}]*\}|\\(?:nonumber|notag|middle|allowbreak)(?![A-Za-z])"), ""),
    (re.compile(r"(\\operatorname\*?\{[^{}\\]*)\\[,:; ]"), r"\1 "),
)
_ENVIRONMENT = re.compile(r"\\begin\{([^{}]*)\}")
_KNOWN = set("align* matrix matrix* pmatrix bmatrix Bmatrix vmatrix Vmatrix smallmatrix cases array".split())
_TAGS = set(
    "math mrow mi mn mo mfrac msqrt mroot msub msup msubsup munder mover munderover mtable mtr mtd mtext mspace "
    "mstyle mpadded menclose mmultiscripts mprescripts none".split()
)
_N_PARTS = {"mfrac": 2, "mroot": 2, "msub": 2, "msup": 2, "munder": 2, "mover": 2, "msubsup": 3, "munderover": 3}
_WORD = re.compile(r"[a-z-]{1,24}")
_LENGTH = re.compile(r"-?\d?(\.\d{1,4})?em")
_VALUES = {
    **dict.fromkeys(
        "stretchy fence form largeop movablelimits accent displaystyle mathvariant notation columnalign".split(), _WORD
    ),
    "display": re.compile("inline|block"),
    "width": _LENGTH,
    "linethickness": re.compile("0|0pt|0em"),
}
MATHML = {tag: set(_VALUES) for tag in _TAGS}  # what may stand in a page, and with which attributes


def add_maths(parser: Any) -> None:
    """Teach a markdown-it parser formulas."""
    parser.inline.ruler.before("escape", "maths", _inline)
    parser.block.ruler.before("fence", "maths", _block, {"alt": ["paragraph", "reference", "blockquote", "list"]})
    parser.add_render_rule("maths", lambda _self, tokens, i, *_: tokens[i].content)


def _inline(state: Any, silent: bool) -> bool:
    match = _FORMULA.match(state.src, state.pos) if state.src[state.pos] in "\\$" else None
    if match is None or match.end() > state.posMax or not _is_formula(match):
        return False
    if not silent:
        state.push("maths", "", 0).content = formula(match)
    state.pos = match.end()
    return True


def _block(state: Any, first: int, end: int, silent: bool) -> bool:
    """Take lines from an opening to its closing, in which markdown would find lists and headings."""
    start = state.bMarks[first] + state.tShift[first]
    if state.is_code_block(first) or not state.src.startswith(("$$", "\\[", "\\begin{"), start):
        return False
    last = first
    while last < end and not state.isEmpty(last) and state.sCount[last] >= state.blkIndent:
        last += 1
    text = state.getLines(first, last, state.blkIndent, False).strip()
    match = _FORMULA.match(text)
    if match is None or text[match.end() :].partition("\n")[0].strip(" .,;"):
        return False
    if not silent:
        after = text[match.end() :].partition("\n")[0]
        token = state.push("maths", "", 0)
        token.content = f'<div class="rl-scroll rl-formula">{formula(match)}{escape(after)}</div>\n'
        token.block = True
    state.line = first + 1 + text.count("\n", 0, match.end())
    return True


def _is_formula(match: re.Match[str]) -> bool:
    inside = _inside(match)
    if match["single"] is None and match["double"] is None:
        return bool(inside.strip())
    before = match.string[match.start() - 1 : match.start()] if match.start() else ""
    return not (before.isalnum() or before in ("$", "\\") or _PROSE.fullmatch(inside))


def _inside(match: re.Match[str]) -> str:
    return next(t for t in match.group("round", "square", "double", "single", "whole") if t is not None)


def formula(match: re.Match[str]) -> str:
    """Return MathML of a formula, or its source if it cannot be had."""
    block = match["round"] is None and match["single"] is None
    return mathml(_inside(match).strip(), block) or f'<span class="rl-tex">{escape(match[0])}</span>'


@lru_cache(maxsize=1024)
def mathml(latex: str, block: bool = False) -> str | None:
    r"""Return LaTeX as MathML, None if it cannot be converted whole.

    Examples
    --------
    >>> mathml("x^2")
    '<math display="inline"><mrow><msup><mi>x</mi><mn>2</mn></msup></mrow></math>'
    >>> mathml(r"\unheard{x}")
    """
    from latex2mathml.converter import convert_to_element

    braces = re.findall(r"(?<!\\)(?:\\\\)*([{}])", latex)
    if braces.count("{") != braces.count("}"):
        return None
    for pattern, words in _REWRITTEN:
        latex = pattern.sub(words, latex)
    if block and "\\\\" in latex and "\\begin" not in latex:  # lines of a display, which is one line otherwise
        latex = rf"\begin{{matrix}}{latex}\end{{matrix}}"
    if not set(_ENVIRONMENT.findall(latex)) <= _KNOWN:
        return None
    try:
        return _written(convert_to_element(latex, display="block" if block else "inline"))
    except (_Unknown, RecursionError):
        return None
    except Exception:  # noqa: BLE001  (the converter raises whatever a formula that is not well formed leads to)
        return None


class _Unknown(ValueError):
    """A command that the converter passes through, or a formula that lacks a part."""


def _written(element: Any) -> str:
    """Write an element with the tags and attributes that are known, and with its text escaped."""
    text = unescape(element.text or "")
    if "\\" in text or (element.tag not in _TAGS and element.tag != "mphantom"):
        raise _Unknown(text)
    if len(element) != _N_PARTS.get(element.tag, len(element)):
        raise _Unknown(element.tag)
    inside = escape(text, quote=False) + "".join(map(_written, element))
    if element.tag == "mphantom" or (element.tag in ("mo", "mi", "mn", "mtext") and len(element)):
        # What it would hide, or what a browser would not expect there, is shown.
        return f"<mrow>{inside}</mrow>"
    known = ((name, value) for name, value in element.attrib.items() if name in _VALUES)
    kept = "".join(f' {name}="{value}"' for name, value in known if _VALUES[name].fullmatch(value))
    return f"<{element.tag}{kept}>{inside}</{element.tag}>"


def is_safe(tag: str, name: str, value: str) -> bool:
    """Tell whether an attribute of a MathML element may stay."""
    return tag not in _TAGS or bool(_VALUES[name].fullmatch(value))
