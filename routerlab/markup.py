"""What every text passes on its way to a page: hidden characters become visible, and dollars stay dollars."""

from functools import lru_cache
from typing import Any

MATHJAX_OFF = "mathjax_ignore tex2jax_ignore"  # for MathJax 3 and 2: "$5 or $10" is not a formula

# Scripts in which a joiner between two letters shapes them.
_JOINED = "".join(
    rf"\p{{Script={name}}}"
    for name in (
        "Arabic Syriac Mongolian Devanagari Bengali Gurmukhi Gujarati Oriya Tamil Telugu Kannada Malayalam Sinhala "
        "Myanmar Khmer Tibetan"
    ).split()
)
# Where an ignorable character does what it is for, and its effect is seen: joiners and variants of emoji and letters.
_AT_WORK = (
    r"(?<=\p{Extended_Pictographic})[\uFE0E\uFE0F]",
    r"(?<=[0-9#*])\uFE0F(?=\u20E3)",
    r"(?<=[\p{Extended_Pictographic}\p{Emoji_Modifier}\uFE0F])\u200D(?=\p{Extended_Pictographic})",
    rf"(?<=[{_JOINED}])[\u200C\u200D](?=[{_JOINED}])",
    r"(?<=\p{Script=Mongolian})[\u180B-\u180D\u180F]",
    r"(?<=\p{Script=Han})[\uFE00-\uFE0F\U000E0100-\U000E01EF]",
)
# Unicode's own list of what shows nothing, controls, separators that break lines, lone surrogates, annotations.
_HIDDEN = r"(?![\t\n])[\p{Default_Ignorable_Code_Point}\p{Cc}\p{Zl}\p{Zp}\p{Cs}\uFFF9-\uFFFB]"


@lru_cache(maxsize=1)
def _pattern() -> Any:
    import regex

    return regex.compile(f"(?:{'|'.join(_AT_WORK)})|({_HIDDEN})")


def visible(text: str) -> tuple[str, int]:
    r"""Replace characters that a reader would not see by visible signs; return the text and how many there were.

    Those are control characters and all that Unicode calls default-ignorable, among them direction marks, soft
    hyphens, fillers, and tags, which can hide instructions. A joiner inside an emoji or between two letters that it
    shapes stays as it is.

    Examples
    --------
    >>> visible("a\x00b\u202ec")
    ('a␀b⟦U+202E⟧c', 2)
    """
    n_signs = 0

    def sign(match: Any) -> str:
        nonlocal n_signs
        if match[1] is None:
            return str(match[0])
        n_signs += 1
        code = ord(match[1])
        return chr(0x2400 + code) if code < 0x20 else f"⟦U+{code:04X}⟧"

    return _pattern().sub(sign, text.replace("\r\n", "\n").replace("\r", "\n")), n_signs


def fragment(html: str) -> str:
    """Return HTML for a notebook's output: hidden characters marked, and nothing in it taken for a formula.

    Examples
    --------
    >>> fragment("<p>$5 or $10</p>")
    '<div class="mathjax_ignore tex2jax_ignore"><p>$5 or $10</p></div>'
    """
    return f'<div class="{MATHJAX_OFF}">{visible(html)[0]}</div>'


class NotebookReprMixin:
    """Shows an estimator in a notebook as scikit-learn does, by way of `fragment`.

    Examples
    --------
    >>> from sklearn.base import BaseEstimator
    >>> class Estimator(NotebookReprMixin, BaseEstimator): ...
    >>> Estimator()._repr_mimebundle_()["text/html"][:40]
    '<div class="mathjax_ignore tex2jax_ignor'
    """

    def _repr_html_inner(self) -> str:
        return fragment(super()._repr_html_inner())  # type: ignore[misc]

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, Any]:
        bundle: dict[str, Any] = super()._repr_mimebundle_(**kwargs)  # type: ignore[misc]
        return bundle | {name: fragment(html) for name, html in bundle.items() if name == "text/html"}
