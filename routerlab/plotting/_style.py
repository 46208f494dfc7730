"""Colours, axes and notes that all pictures share. Text colours and sizes come from rcParams."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from routerlab.schema import reject

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Okabe and Ito's colours, safe for colour-blind readers, in the order that reads best on each background.
_ON_LIGHT = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
_ON_DARK = ("#56B4E9", "#E69F00", "#009E73", "#CC79A7", "#F0E442", "#D55E00")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
LINES = ("-", (0, (5, 1.5)), (0, (7, 1.5, 1.5, 1.5)), (0, (3, 1)), (0, (1.5, 1)))

TEXT_CONTRAST = 4.5  # what WCAG asks of small text


def axes_for(ax: Axes | None, width: float = 7.0, height: float = 4.5) -> Axes:
    """Return `ax`, or an Axes on a new figure of `width` x `height` inches."""
    if ax is None:
        import matplotlib.pyplot as plt

        return plt.subplots(figsize=(width, height), layout="constrained")[1]
    return check_axes(ax)


def figure_of(ax: Axes) -> Any:
    """Return the figure that `ax` is on, not a subfigure."""
    return ax.get_figure(root=True)


def check_axes(ax: Any) -> Axes:
    """Insist on one Axes."""
    from matplotlib.axes import Axes

    if not isinstance(ax, Axes):
        reject("'ax'", f"expected a matplotlib Axes, got {type(ax).__name__}.", "Pass one, e.g. plt.subplots()[1].")
    return ax


def luminance(color: Any) -> float:
    """Relative luminance of a colour, 0 (black) to 1 (white), as WCAG defines it."""
    from matplotlib.colors import to_rgb

    rgb = np.asarray(to_rgb(color))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def contrast(a: Any, b: Any) -> float:
    """Contrast ratio of two colours, 1 (none) to 21.

    Examples
    --------
    >>> round(contrast("black", "white"))
    21
    """
    low, high = sorted((luminance(a), luminance(b)))
    return (high + 0.05) / (low + 0.05)


def background(ax: Axes) -> tuple[float, float, float]:
    """Return the colour behind `ax`; a transparent figure counts as one that suits the text."""
    from matplotlib.colors import to_rgba

    for color in (ax.get_facecolor(), figure_of(ax).get_facecolor()):
        red, green, blue, alpha = to_rgba(color)
        if alpha > 0.5:
            return red, green, blue
    return (1.0, 1.0, 1.0) if luminance(ink(ax)) < 0.5 else (0.0, 0.0, 0.0)


def halo(color: Any) -> list[Any]:
    """Outline that keeps text apart from the lines it crosses."""
    from matplotlib.patheffects import withStroke

    return [withStroke(linewidth=2.5, foreground=color)]


def on_light(ax: Axes) -> bool:
    """Whether `ax` has a light background."""
    return luminance(background(ax)) > 0.4


def ink(ax: Axes) -> Any:
    """Text colour of `ax`, as rcParams had it when `ax` was made."""
    return ax.xaxis.label.get_color()


def mix(color: Any, other: Any, share: float) -> tuple[float, ...]:
    """Blend `share` of `other` into `color`."""
    from matplotlib.colors import to_rgb

    return tuple((1 - share) * np.asarray(to_rgb(color)) + share * np.asarray(to_rgb(other)))


def muted(ax: Axes, share: float = 0.35) -> tuple[float, ...]:
    """Text colour, moved toward the background."""
    return mix(ink(ax), background(ax), share)


def quiet(ax: Axes) -> tuple[float, ...]:
    """Colour of small print around `ax`."""
    from matplotlib.colors import to_rgba

    figure = figure_of(ax).get_facecolor()
    return legible(muted(ax), ax, figure if to_rgba(figure)[3] > 0.5 else None)


def legible(color: Any, ax: Axes, on: Any = None) -> tuple[float, ...]:
    """Move `color` toward black or white until text in it can be read on `on` (by default the background)."""
    behind = background(ax) if on is None else on
    end = max(("black", "white"), key=lambda extreme: contrast(extreme, behind))
    steps = (mix(color, end, share) for share in np.linspace(0, 1, 21))
    return next((step for step in steps if contrast(step, behind) >= TEXT_CONTRAST), mix(end, end, 0))


def colors(ax: Axes, n: int) -> list[str]:
    """Return `n` colours that stand out from the background of `ax`, repeating after six."""
    order = _ON_LIGHT if on_light(ax) else _ON_DARK
    return [order[i % len(order)] for i in range(n)]


def width_in(ax: Axes) -> float:
    """Width of `ax` in inches."""
    return float(ax.get_position().width * figure_of(ax).get_figwidth())


def font(ax: Axes, scale: float = 0.9) -> float:
    """Size of small text in points: `scale` of the font size in rcParams, less on narrow axes."""
    import matplotlib as mpl

    return float(scale * mpl.rcParams["font.size"] * np.clip(width_in(ax) / 5.0, 0.8, 1.0))


def bare(ax: Axes, grid: Literal["", "x", "y"] = "") -> None:
    """Leave two spines and, for the axis named by `grid`, hairlines behind the data."""
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(False)
    if grid:
        ax.grid(True, axis=grid, color=ink(ax), alpha=0.12, linewidth=0.6)
    ax.set_axisbelow(True)


def dollars(ax: Axes, low: float, high: float) -> None:
    """Make the x axis logarithmic with a few plain ticks in dollars over [low, high]."""
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    decades = np.log10(high / low)
    subs = (1.0, 2.0, 5.0) if decades < 1.3 else (1.0, 3.0) if decades < 2.3 and width_in(ax) > 2.2 else (1.0,)
    ax.set_xscale("log")
    ax.xaxis.set_major_locator(LogLocator(subs=subs, numticks=12))
    ax.xaxis.set_major_formatter(StrMethodFormatter("${x:,.10g}"))
    ax.xaxis.set_minor_formatter(NullFormatter())


def name_x(ax: Axes, name: str) -> None:
    """Name the x axis; where it is narrow, on several lines, the unit on its own."""
    columns = max(12, int(width_in(ax) * 72 / (0.5 * float(ax.xaxis.label.get_fontsize()))))
    start, _, unit = name.partition(" (")
    lines = [start, f"({unit}"] if len(name) > columns and len(unit) > 8 else [name]
    ax.set_xlabel("\n".join(textwrap.fill(line, columns, break_long_words=False) for line in lines))


def intervals_note(attrs: Mapping[str, Any], what: str | None, unit: str = "prompts", key: str = "n") -> str:
    """Say what an interval is and how many rows it rests on, as far as `attrs` knows."""
    level = f"{100 * attrs['confidence']:g}% intervals" if "confidence" in attrs else "intervals"
    parts = [f"{what}: {level}" if what else None, f"n = {attrs[key]:,} {unit}" if key in attrs else None]
    return "; ".join(part for part in parts if part)


def shown_name(name: Any) -> str:
    """Return an intent's name as a reader would write it."""
    return str(name).replace("_", " ")


def short_names(models: Iterable[Any]) -> dict[Any, str]:
    """Names of models without their provider (``meta/llama-2`` is ``llama-2``), where that leaves them distinct.

    Examples
    --------
    >>> short_names(["meta/llama-2", "gpt-4"])
    {'meta/llama-2': 'llama-2', 'gpt-4': 'gpt-4'}
    """
    names = {model: str(model).rsplit("/", 1)[-1] for model in models}
    return names if len(set(names.values())) == len(names) else {model: str(model) for model in names}


def unique(values: Iterable[Any]) -> list[Any]:
    """Distinct values in order of appearance."""
    return list(dict.fromkeys(values))
