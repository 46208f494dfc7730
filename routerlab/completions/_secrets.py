"""Keys out of texts: providers repeat a key in their error messages, and those messages are kept."""

from __future__ import annotations

import re
from collections.abc import Iterable

# What is shorter ("k", "none", "unused", "EMPTY") is a placeholder, and may be a word of the text.
SHORTEST_KEY = 12
# What keys look like, also those that a provider has half masked ("sk-abc***xyz").
_LIKE_A_KEY = re.compile(
    r"""(?ix)
    \b(?:bearer|basic)\s+[^\s"',;}]+
    | \b(?:sk|rk|pk|gsk|hf|xai|nvapi|r8)[-_][^\s"',;}]{6,}
    | \beyJ[\w-]{8,}(?:\.[\w-]+)+
    | \bAIza[^\s"',;}]{6,}
    | (?<=://)[^\s/@:]+:[^\s/@]+(?=@)
    | (?<=[?&]key=)[^\s&"']+
    | (?<=[?&]api[-_]key=)[^\s&"']+
    """
)


def real_keys(secrets: Iterable[str]) -> list[str]:
    """Return the secrets that are no placeholders, longest first.

    Examples
    --------
    >>> real_keys(["none", "hunter2-hunter2"])
    ['hunter2-hunter2']
    """
    return sorted({s for s in secrets if len(s) >= SHORTEST_KEY}, key=len, reverse=True)


def scrub(text: str, secrets: Iterable[str] = (), *, limit: int = 500) -> str:
    """Replace keys by ``[key]`` and shorten the text.

    Parameters
    ----------
    text : str
        An error message.
    secrets : iterable of str
        The client's own key and other values that must not show. Those below 12 characters are placeholders, and stay.
    limit : int, default 500
        Longest text returned, in characters.

    Returns
    -------
    str
        The text without keys; `secrets` go first, then whatever looks like a key.

    Examples
    --------
    >>> scrub("Incorrect API key provided: sk-abc***xyz.")
    'Incorrect API key provided: [key]'
    >>> scrub("no access for hunter2-hunter2", ["hunter2-hunter2"])
    'no access for [key]'
    """
    for secret in real_keys(secrets):
        text = text.replace(secret, "[key]")
    text = _LIKE_A_KEY.sub("[key]", text)
    return text if len(text) <= limit else text[: limit - 4] + " ..."
