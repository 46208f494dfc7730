"""Pieces of markdown such as models write, with what their HTML must hold and what it must not."""

DEEP = "\n".join("  " * i + f"- level {i}" for i in range(40))
WIDE = "\n".join(
    ["|" + "|".join(f"Column number {i}" for i in range(14)) + "|", "|" + "-|" * 14]
    + ["|" + "|".join(f"A sentence of some words in cell {i}" for i in range(14)) + "|"] * 3
)
FENCE = "```"

# name: (markdown, what the HTML holds, what it must not hold)
SNIPPETS: dict[str, tuple[str, list[str], list[str]]] = {
    "poem": ("Roses are red,\nviolets are blue.\n\nEnd.", ["red,<br>"], []),
    "lines that stand in": ("so much\n   depends\nupon", ["so much<br>", "&nbsp;&nbsp;&nbsp;depends<br>"], []),
    "address": ("Jane Doe\n1 Main St\nSpringfield", ["Doe<br>", "St<br>"], []),
    "lines in a list": ("- one\n  and more\n- two", ["one<br>"], []),
    "lines in a quote": ("> a\n> b", ["a<br>"], []),
    "maths in brackets": (r"Solve \(ax^2 + bx = 0\) now.", ["<math", "<msup>"], ["(ax^2"]),
    "maths in dollars": ("The product $a*b*c$ and $x_1$.", ["<math", "<mo>*</mo>", "<msub>"], ["<em>"]),
    "display maths": (
        "\\[\nx = \\frac{-b \\pm \\sqrt{b^2-4ac}}{2a}\n\\]",
        ['display="block"', "<mfrac>", "<msqrt>"],
        ["\\["],
    ),
    "display maths in dollars": ("$$\\int_0^1 f(x)\\,dx$$", ['display="block"'], ["$$"]),
    "maths that looks like a list": ("\\[\na\n- b\n+ c\n= d\n\\]", ["<math"], ["<li>", "<h1"]),
    "maths in a list": ("1. First:\n   \\[\n   x = 1\n   \\]\n2. Then $y$.", ["<math", "<ol"], ["\\["]),
    "a matrix": ("$$\\begin{pmatrix}1 & 2\\\\3 & 4\\end{pmatrix}$$", ["<mtable>"], ["begin"]),
    "aligned": ("\\begin{align}\na &= b\\\\\nc &= d\n\\end{align}", ["<mtable"], ["begin", "(1)"]),
    "aligned in a display": (
        "\\[\n\\begin{aligned}\na &= b \\\\[4pt]\n&= c \\tag{1}\n\\end{aligned}\n\\]",
        ["<mtable", "(1)"],
        ["begin", "4pt", "&amp;"],
    ),
    "an environment that nobody knows": (
        r"\[\begin{tikzpicture}x*y*z\end{tikzpicture}\]",
        ["x*y*z"],
        ["<em>", "<math"],
    ),
    "lines of a display": ("$$a = b \\\\ c = d$$", ["<mtr>"], []),
    "cases": (r"\[f(x)=\begin{cases}1 & x>0\\0 & \text{else}\end{cases}\]", ["<mtable>", "else"], ["begin"]),
    "boxed": (r"\[\boxed{42}\]", ["menclose", "42"], ["boxed"]),
    "maths that nobody knows": (r"See $\unheard{x_1*y*z}$.", [r"$\unheard{x_1*y*z}$"], ["<em>", "<math"]),
    "maths that is not well formed": (r"See \(\frac{1\) here.", [r"\(\frac{1\)"], ["<math"]),
    "prices": ("It costs $5 or $10, or US$20 to US$30.", ["$5 or $10, or US$20 to US$30."], ["<math"]),
    "more prices": (
        "$5,$10 ($20), $1.5M-$2M, $5 of 10$, $$5 to $$10",
        ["$5,$10 ($20), $1.5M-$2M, $5 of 10$"],
        ["<math"],
    ),
    "prices in bold": (
        "**$5** to **$10**, $5/$10, $5-$6 (about 4$).",
        ["<strong>$5</strong>", "(about 4$)"],
        ["<math"],
    ),
    "shell": (
        "$HOME/$USER, ${A}/${B}, $(a)/$(b), $x = $y;",
        ["$HOME/$USER, ${A}/${B}, $(a)/$(b), $x = $y;"],
        ["<math"],
    ),
    "code with dollars": ("`$x$` and `\\(y\\)`", ["<code>$x$</code>", "<code>\\(y\\)</code>"], ["<math"]),
    "fenced code with dollars": (f"{FENCE}\n$$x$$\n- [ ] a<br>\n{FENCE}", ["$$x$$", "- [ ] a&lt;br&gt;"], ["<math"]),
    "breaks in cells": ("|a|b|\n|-|-|\n|one<br>two|x<br/>y|", ["one<br>two", "x<br>y"], ["&lt;br"]),
    "alignment": ("|a|b|\n|:-:|-:|\n|1|2|", ["rl-center", "rl-right"], []),
    "wide table": (WIDE, ["rl-scroll", "Column number 13"], []),
    "more cells than columns": ("|a|b|\n|-|-|\n|1|2|3 $|x|$ lost?|", ["lost?"], []),
    "tasks": ("- [x] done\n- [ ] open", ["☑", "☐"], ["[x]", "[ ]"]),
    "tasks in order": ("1. [X] done\n2. [ ] open", ["☑", "☐"], ["[X]"]),
    "not a task": ("A list [x] of\n\n[ ] things", ["[x]", "[ ]"], ["☑"]),
    "deep list": (DEEP, [f"level {i}" for i in range(40)], []),
    "deep quote": ("> " * 90 + "the end", ["the end"], []),
    "subscripts": (
        "H<sub>2</sub>O, x<sup>2</sup>, <kbd>Ctrl</kbd>",
        ["<sub>2</sub>", "<sup>2</sup>", "<kbd>"],
        ["&lt;sub"],
    ),
    "tags as text": ("Use <b> or <div class=x>, and </u>.", ["&lt;b&gt;", "&lt;div class=x&gt;", "&lt;/u&gt;"], []),
    "hidden by entity": ("a&shy;b&#x202e;c&ZeroWidthSpace;d", ["⟦U+00AD⟧", "⟦U+202E⟧", "⟦U+200B⟧"], []),
    "hidden tags": ("a" + "".join(chr(0xE0000 + ord(c)) for c in "hi") + "b", ["⟦U+E0068⟧⟦U+E0069⟧"], []),
    "emoji": ("👩‍👩‍👧 ❤️ 1️⃣ 👋🏽", ["👩‍👩‍👧 ❤️ 1️⃣ 👋🏽"], ["⟦"]),
    "Persian": ("می‌خواهم", ["می‌خواهم"], ["⟦"]),
    "code": (f"{FENCE}python\ndef f(x): return 'a'\n{FENCE}", ["rl-hl-k", "rl-hl-s"], []),
    "what a code block is called": (f"{FENCE}text Read this first\nx\n{FENCE}", ["Read this first"], []),
    "bold without spaces": (
        "これは**「重要」**です。**“强调”**的",
        ["<strong>「重要」</strong>", "<strong>“强调”</strong>"],
        ["**"],
    ),
    "sources": ("See [1].\n\n[1]: http://a.b/c", ["[1]: http://a.b/c"], []),
    "bars in formulas": ("|a|b|\n|-|-|\n|$|x|$|y|", ["<math", "y"], ["$"]),
    "link and image": ("[a](http://b.c) ![d](http://e.f/g.png)", ["rl-link", "image: d"], ["<a", "<img"]),
    "right to left": ("שלום עולם\n\n- אחת", ['dir="auto"'], []),
    "headings and rules": ("# A\n\n## B\n\n---\n\n~~old~~ **new**", ["<h1", "<h2", "<hr>", "<s>old</s>"], []),
}
