"""What a message holds, whatever its types: text in one piece or in parts, tool calls, words that may be none."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from routerlab.schema import sound_text

_TEXT_PARTS = (None, "text", "output_text")
_CALLS = (("function", "arguments"), ("custom", "input"))  # kinds of tool call, and where each says its input


def part_of(value: Any, name: str) -> Any:
    """Return a field of a mapping or of an object of the SDK; None if there is none.

    Examples
    --------
    >>> part_of({"a": 1}, "a"), part_of(5, "a")
    (1, None)
    """
    return value.get(name) if isinstance(value, Mapping) else getattr(value, name, None)


def text_of(content: Any) -> str | None:
    """Return the text of a message's ``content``; None if it is neither text nor parts.

    Parts that are no text (a model's thinking, pictures) are passed over.

    Examples
    --------
    >>> text_of([{"type": "thinking", "thinking": "Hm."}, {"type": "text", "text": "4"}, " is it."])
    '4 is it.'
    >>> text_of(None), text_of(7)
    ('', None)
    """
    if content is None or isinstance(content, str):
        return content or ""
    parts = content if isinstance(content, list | tuple) else [content]
    texts = [_text_of_part(part) for part in parts]
    if parts and all(text is None for text in texts):
        return None
    return "".join(text for text in texts if text)


def _text_of_part(part: Any) -> str | None:
    if isinstance(part, str):
        return part
    if part is None or isinstance(part, bool | int | float | list | tuple):
        return None
    kind, text = part_of(part, "type"), part_of(part, "text")
    if isinstance(kind, str | None) and kind in _TEXT_PARTS:
        text = text if isinstance(text, str) else part_of(text, "value")
        return text if isinstance(text, str) else ""
    return ""


def word_of(value: Any, *, longest: int = 200) -> str | None:
    """Return what should be a word or a number as text, whatever it is; None if it is empty.

    Examples
    --------
    >>> word_of("stop"), word_of(["stop"]), word_of(None)
    ('stop', '["stop"]', None)
    """
    if value is None or value == "" or (isinstance(value, list | dict) and not value):
        return None
    return sound_text(value if isinstance(value, str) else _json(value))[:longest]


def tool_calls_of(message: Any) -> tuple[dict[str, Any], ...]:
    """Return the tool calls of a message (or of a delta): id, type, name and input, all of them text.

    Examples
    --------
    >>> call = {"id": "c1", "type": "function", "function": {"name": "add", "arguments": '{"a": 2}'}}
    >>> tool_calls_of({"tool_calls": [call]}) == (call,)
    True
    """
    calls = part_of(message, "tool_calls")
    found = [_tool_call(call) for call in calls] if isinstance(calls, list | tuple) else []
    found.append(_tool_call({"function": part_of(message, "function_call")}))  # as it was called before
    return tuple(call for call in found if call)


def _tool_call(call: Any) -> dict[str, Any] | None:
    for kind, said in _CALLS:
        body = part_of(call, kind)
        name, given = part_of(body, "name"), part_of(body, said)
        if name is not None or given is not None:
            body = {"name": _text_or_json(name), said: _text_or_json(given)}
            return {"id": _text_or_json(part_of(call, "id")), "type": kind, kind: body}
    return None


class ToolCalls:
    """Tool calls put together from the deltas of a stream."""

    def __init__(self) -> None:
        self._calls: dict[Any, dict[str, Any]] = {}

    def add(self, delta: Any) -> None:
        """Take the pieces of a delta: the first names the call, the others go on with its input."""
        calls = part_of(delta, "tool_calls")
        pieces: Iterable[Any] = calls if isinstance(calls, list | tuple) else ()
        for place, piece in [*enumerate(pieces), (-1, {"function": part_of(delta, "function_call")})]:
            read = _tool_call(piece)
            if read is None:
                continue
            index = part_of(piece, "index")
            kept = self._calls.setdefault(index if isinstance(index, int) else place, read)
            if kept is not read:
                _join(kept, read)

    def whole(self) -> tuple[dict[str, Any], ...]:
        """Return the calls so far."""
        return tuple(self._calls.values())


def _join(kept: dict[str, Any], more: dict[str, Any]) -> None:
    kept["id"] = kept["id"] or more["id"]
    for kind, said in _CALLS:
        if kind in kept and kind in more:
            kept[kind]["name"] = kept[kind]["name"] or more[kind]["name"]
            kept[kind][said] = (kept[kind][said] or "") + (more[kind][said] or "")


def _text_or_json(value: Any) -> str | None:
    return sound_text(value) if isinstance(value, str) else None if value is None else _json(value)


def _json(value: Any) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, default=str)
    except (ValueError, TypeError, RecursionError):  # whole numbers of thousands of digits, lists a thousand deep
        return f"({type(value).__name__})"
