"""Sentences from numbers and from what providers say."""

from __future__ import annotations


def counted(n: int, one: str, many: str = "") -> str:
    """Return a number with its noun, and a verb if need be; `many` is `one` with an s by default.

    Examples
    --------
    >>> counted(1, "reply is", "replies are"), counted(1200, "prompt")
    ('1 reply is', '1,200 prompts')
    """
    return f"{n:,} {one if n == 1 else many or one + 's'}"


def ended(text: str) -> str:
    """Return a sentence with its full stop: what providers say often lacks it.

    Examples
    --------
    >>> ended("no such model"), ended("Why?")
    ('no such model.', 'Why?')
    """
    return text if text.endswith((".", "!", "?")) else f"{text}."
