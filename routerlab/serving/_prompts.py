"""Which text of a conversation is routed by."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from routerlab.completions import part_of
from routerlab.schema import TableError, reject

_REMEDY = "Pass prompt_from=, a function from the messages to the text to route by, or name a model: model='...'."


def last_user_text(messages: Sequence[Any]) -> str:
    """Return the text of the last message whose role is ``user``.

    Parameters
    ----------
    messages : sequence of dict or openai message objects
        As ``chat.completions.create`` takes them. A content of several parts is read by its text parts, joined by line
        ends; images, audio and files are passed over.

    Returns
    -------
    str
        Not empty.

    Raises
    ------
    TableError
        No message of a user, or one without text. `RoutedClient` sends those to the router's fallback.

    Examples
    --------
    >>> last_user_text([{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Poach an egg?"}])
    'Poach an egg?'
    """
    asked = [message for message in messages if part_of(message, "role") == "user"]
    if not asked:
        roles = ", ".join(str(part_of(message, "role")) for message in messages) or "none"
        reject("'messages'", f"hold none of role 'user' to route by (roles: {roles}).", _REMEDY)
    content = part_of(asked[-1], "content")
    if isinstance(content, str):
        text = content
    else:
        parts = content if isinstance(content, list | tuple) else ()
        texts = [
            part if isinstance(part, str) else part_of(part, "text")
            for part in parts
            if isinstance(part, str) or part_of(part, "type") in ("text", "input_text")
        ]
        text = "\n".join(each for each in texts if isinstance(each, str))
    if not text.strip():
        reject("'messages'", "the last message of role 'user' gives no text to route by.", _REMEDY)
    return text


def text_or_none(prompt_from: Callable[[Sequence[Any]], Any], messages: Sequence[Any]) -> str | None:
    """Return the text to route by; None if the messages hold none, which is no fault of the caller's.

    Examples
    --------
    >>> text_or_none(last_user_text, [{"role": "user", "content": [{"type": "image_url"}]}])
    """
    if not messages:
        reject("'messages'", "is empty: there is nothing to answer, and nothing to route by.", _REMEDY)
    try:
        text = prompt_from(messages)
    except TableError:
        return None
    if not isinstance(text, str):
        reject("'messages'", f"'prompt_from' gives {type(text).__name__} to route by, expected text.", _REMEDY)
    return text if text.strip() else None
