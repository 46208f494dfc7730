"""Point at words that a native editor would change, in docstrings, comments, messages and pages.

python docs/english.py

Prints ``file:line: what stands there -> what to write`` and exits with 1 if there is any.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TELLS = {
    # "there is no file" is English, "it is no file" is not.
    r"(?<!there )\b(?:is|are|was|were) no (?!longer|more|less|better\b|worse\b)\w+": '"is not a"',
    r"\banew\b": '"again", "afresh"',
    r"\b[Ww]hoever\b": '"anyone who"',
    r"\bfor want of\b": '"because there is no", "for lack of"',
    r", too\b": '"also", before the verb',
    r"\b[Bb]eside\b(?! itself)": '"next to", "with", "against"',
    r"\bReach: ": '"Target: ", or what was measured',
    r"\bgo for \d": "what was measured; goals belong elsewhere",
    r"\bso much as\b": '"as much as"',
    r"\bup to now\b": '"so far"',
}
PAGES = ("README.md", "CONTRIBUTING.md", "benchmarks/README.md", "data/README.md", "notebooks/README.md")
MOST_SO_THAT = 0.7  # per 1,000 words: once is English, everywhere it is a habit


def found() -> list[str]:
    """List what stands where."""
    lines = []
    paths = [*(ROOT / "routerlab").rglob("*.py"), *(ROOT / page for page in PAGES)]
    text_of = {path: path.read_text(encoding="utf-8") for path in sorted(paths)}
    for path, text in text_of.items():
        for pattern, better in TELLS.items():
            for match in re.finditer(pattern, text):
                line = text.count("\n", 0, match.start()) + 1
                lines.append(f"{path.relative_to(ROOT)}:{line}: {match[0].strip()!r} -> {better}")
    everything = " ".join(text_of.values())
    share = 1000 * len(re.findall(r"\bso that\b", everything)) / len(re.findall(r"[A-Za-z]{2,}", everything))
    if share > MOST_SO_THAT:
        lines.append(
            f"'so that' comes {share:.2f} times in 1,000 words, at most {MOST_SO_THAT}: 'so', 'to', or two sentences"
        )
    return lines


if __name__ == "__main__":
    tells = found()
    print("\n".join(tells))
    sys.exit(bool(tells))
