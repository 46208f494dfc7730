"""Which text of a conversation is routed by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from routerlab.schema import reject

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
        No message of a user, or one without text.

    Examples
    --------
    >>> last_user_text([{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Poach an egg?"}])
    'Poach an egg?'
    """
    asked = [message for message in messages if _get(message, "role") == "user"]
    if not asked:
        roles = ", ".join(str(_get(message, "role")) for message in messages) or "none"
        reject("'messages'", f"hold none of role 'user' to route by (roles: {roles}).", _REMEDY)
    content = _get(asked[-1], "content")
    if isinstance(content, str):
        text = content
    else:
        parts = list(content or ())
        text = "\n".join(str(_get(part, "text")) for part in parts if _get(part, "type") == "text")
    return check_text(text, "the last message of role 'user'")


def check_text(text: Any, where: str) -> str:
    """Insist on text that an embedder can read."""
    if not isinstance(text, str) or not text.strip():
        got = "no text" if isinstance(text, str) else type(text).__name__
        reject("'messages'", f"{where} gives {got} to route by.", _REMEDY)
    return text


def _get(message: Any, name: str) -> Any:
    return message.get(name) if isinstance(message, Mapping) else getattr(message, name, None)
