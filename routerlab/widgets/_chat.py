"""Conversations: messages as lists of dicts, or as the JSON of such a list, turn by turn."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np
import pandas as pd

_ROLES = {"user": "User", "assistant": "Assistant", "system": "System", "developer": "System", "tool": "Tool"}
_IMAGES = ("image_url", "input_image", "image")


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a turn: markdown text, code or data kept verbatim, an image, a call of a tool, or what it said."""

    kind: Literal["text", "verbatim", "image", "call"]
    text: str
    label: str = ""


@dataclass(frozen=True, slots=True)
class Turn:
    """Who said what."""

    role: str
    name: str
    parts: tuple[Part, ...]

    @property
    def who(self) -> str:
        """The role as a reader knows it, and the name if there is one."""
        role = _ROLES.get(self.role, self.role)
        return f"{role} ({self.name})" if self.name else role


def as_text(table: pd.DataFrame | None, column: str) -> pd.DataFrame | None:
    """Write the conversations of a column as JSON, which is what logs, queues and pages take; text stays as it is.

    Examples
    --------
    >>> table = pd.DataFrame({"prompt_id": ["p"], "prompt": [[{"role": "user", "content": "Hi"}]]})
    >>> as_text(table, "prompt").loc[0, "prompt"]
    '[{"role": "user", "content": "Hi"}]'
    """
    if not isinstance(table, pd.DataFrame) or column not in table:
        return table
    chats = [_is_chat(cell) for cell in table[column]]
    if not any(chats):
        return table
    cells = [_json(c) if chat else c for c, chat in zip(table[column], chats, strict=True)]
    return table.assign(**{column: pd.Series(cells, index=table.index, dtype=object)})


def _json(cell: Any) -> str:
    return json.dumps(cell, ensure_ascii=False, default=lambda v: v.tolist() if hasattr(v, "tolist") else str(v))


def _is_chat(cell: Any) -> bool:
    """Tell whether a cell is a message or a list of messages: dicts with a role and something said."""
    if isinstance(cell, Mapping):
        cell = cell["messages"] if isinstance(cell.get("messages"), list) else [cell]
    if not isinstance(cell, (list, tuple, np.ndarray)) or not len(cell):
        return False
    said = {"content", "tool_calls", "function_call", "refusal"}
    return all(isinstance(m, Mapping) and isinstance(m.get("role"), str) and said & set(m) for m in cell)


@lru_cache(maxsize=64)
def turns_of(text: str) -> tuple[Turn, ...] | None:
    """Return the turns of a conversation written as JSON, None if the text is anything else.

    Examples
    --------
    >>> [turn.who for turn in turns_of('[{"role": "user", "content": "Hi"}]')]
    ['User']
    >>> turns_of("Hi")
    """
    start = text[:200].lstrip()[:1]
    if start not in ("[", "{") or '"role"' not in text:
        return None
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not _is_chat(data):
        return None
    if isinstance(data, dict):
        data = data["messages"] if isinstance(data.get("messages"), list) else [data]
    return tuple(_turn(message) for message in data)


def _turn(message: Mapping[str, Any]) -> Turn:
    parts = [Part("text", text) for text in [message.get("reasoning_content")] if isinstance(text, str) and text]
    verbatim = message["role"] in ("tool", "function")
    parts += _contents(message.get("content"), verbatim)
    if message.get("refusal"):
        parts.append(Part("text", str(message["refusal"])))
    calls = message.get("tool_calls")
    calls = list(calls) if isinstance(calls, (list, tuple)) else []
    calls += [message["function_call"]] if message.get("function_call") else []
    parts += map(_call, calls)
    name = message.get("name") or (message.get("tool_call_id") if verbatim else None)
    return Turn(str(message["role"]), "" if name is None else str(name), tuple(parts))


def _contents(content: Any, verbatim: bool) -> Iterator[Part]:
    if content is None:
        return
    if isinstance(content, str):
        yield Part("verbatim" if verbatim else "text", _pretty(content) if verbatim else content)
    elif isinstance(content, Sequence):
        for part in content:
            yield _part(part, verbatim)
    else:
        yield Part("verbatim", _pretty(content))


def _part(part: Any, verbatim: bool) -> Part:
    """Read a content part of OpenAI's and Anthropic's shapes; what is not known is kept as its JSON."""
    if isinstance(part, str):
        return Part("verbatim" if verbatim else "text", part)
    if not isinstance(part, Mapping):
        return Part("verbatim", _pretty(part))
    kind = part.get("type")
    for key in ("text", "refusal", "thinking"):
        if isinstance(part.get(key), str):
            return Part("verbatim" if verbatim else "text", part[key])
    if kind in _IMAGES:
        return Part("image", _address(part))
    if kind == "tool_use":
        return _call(part)
    if kind == "tool_result":
        return Part("verbatim", _pretty(part.get("content")), f"Tool result {part.get('tool_use_id', '')}".strip())
    return Part("verbatim", _pretty(part), str(kind or ""))


def _address(part: Mapping[str, Any]) -> str:
    found = part.get("image_url", part.get("source", part.get("image")))
    if isinstance(found, Mapping) and found.get("type") == "base64":
        return f"data:{found.get('media_type')};base64,{found.get('data')}"
    return str(found.get("url", "") if isinstance(found, Mapping) else found or "")


def _call(call: Any) -> Part:
    function = call.get("function", call) if isinstance(call, Mapping) else {}
    if not isinstance(function, Mapping):
        return Part("verbatim", _pretty(call), "Tool call")
    arguments = function.get("arguments", function.get("input"))
    return Part("call", "" if arguments is None else _pretty(arguments), str(function.get("name", "")))


def _pretty(value: Any) -> str:
    """Lay JSON out; any other text stays as it is."""
    if isinstance(value, str):
        if value.lstrip()[:1] not in ("{", "["):
            return value
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return value
    return json.dumps(value, ensure_ascii=False, indent=2, default=str)


def transcript(text: str) -> str:
    r"""Return a conversation as plain text, turn after turn; any other text as it is.

    Examples
    --------
    >>> transcript('[{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]')
    'User: Hi\n\nAssistant: Hello'
    """
    turns = turns_of(text)
    if turns is None:
        return text
    return "\n\n".join(f"{turn.who}: " + "\n".join(map(_plainly, turn.parts)) for turn in turns)


def _plainly(part: Part) -> str:
    if part.kind == "image":
        return "[image]"
    return f"[calls {part.label}] {part.text}" if part.kind == "call" else part.text


def gist(text: str) -> str:
    """Return what a list of prompts shows of one: of a conversation, what the user asked last.

    Examples
    --------
    >>> gist('[{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]')
    'Hi'
    """
    turns = turns_of(text)
    if turns is None:
        return text
    asked = [turn for turn in turns if turn.role == "user"] or list(turns)
    return " ".join(map(_plainly, asked[-1].parts))
