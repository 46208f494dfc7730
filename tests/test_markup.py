"""Every text that a notebook shows passes the same door."""

import ast
import re
from pathlib import Path

import pytest

from routerlab.markup import NotebookReprMixin, fragment, visible

PACKAGE = Path(__file__).parents[1] / "routerlab"


def shown_as_html() -> list[tuple[str, ast.FunctionDef]]:
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef) and node.name == "_repr_html_":
                found.append((str(path.relative_to(PACKAGE)), node))
    return found


def test_every_html_repr_marks_hidden_characters_and_keeps_dollars():
    found = shown_as_html()
    assert len(found) > 10
    for path, node in found:
        called = {n.func.attr if isinstance(n.func, ast.Attribute) else getattr(n.func, "id", "")
                  for n in ast.walk(node) if isinstance(n, ast.Call)}  # fmt: skip
        assert called & {"fragment", "_repr_html_"}, f"{path}: return fragment(...)"


@pytest.mark.parametrize("code", [0x61C, 0xAD, 0x180E, 0x2028, 0x2029, 0x115F, 0x3164, 0xE0041, 0x200B, 0x202E, 0x85])
def test_a_character_that_shows_nothing_is_marked(code):
    text, n = visible(f"a{chr(code)}b")
    assert (text, n) == (f"a⟦U+{code:04X}⟧b", 1)
    assert f"⟦U+{code:04X}⟧" in fragment(f"<p>a{chr(code)}b</p>")


def test_lines_and_tabs_stay():
    assert visible("a\r\nb\rc\td") == ("a\nb\nc\td", 0)


@pytest.mark.parametrize("text", ["👩‍👩‍👧 ❤️ 1️⃣ 👋🏽", "می‌خواهم", "क्‍ष", "葛󠄀"])
def test_what_shapes_the_characters_next_to_it_stays(text):
    assert visible(text) == (text, 0)


def test_many_variants_after_an_emoji_are_marked():
    text, n = visible("😀" + "".join(map(chr, range(0xE0100, 0xE0120))))
    assert n == 32 and re.fullmatch("😀(⟦U[+]E01[0-9A-F]{2}⟧){32}", text)


def test_every_estimator_is_shown_through_the_same_door():
    import routerlab as rl

    estimators = [getattr(rl, name) for name in dir(rl) if isinstance(getattr(rl, name), type)]
    shown = [kind for kind in estimators if hasattr(kind, "_repr_mimebundle_") and hasattr(kind, "get_params")]
    assert len(shown) > 5
    for kind in shown:
        assert issubclass(kind, NotebookReprMixin), kind
    for told in (rl.BradleyTerry()._repr_mimebundle_()["text/html"], rl.BradleyTerry()._repr_html_()):
        assert told.startswith('<div class="mathjax_ignore tex2jax_ignore">')
