"""Which model answers what share of requests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from routerlab.plotting._checks import check_shares
from routerlab.plotting._style import (
    axes_for,
    background,
    bare,
    contrast,
    dollars,
    figure_of,
    font,
    halo,
    ink,
    name_x,
    on_light,
    short_names,
    shown_name,
    unique,
    width_in,
)
from routerlab.schema import provenance_of, reject, shown

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Floats = NDArray[np.float64]

_SLIVER = 2.0  # percent of requests: a model that never gets as many is drawn without its name


def plot_model_share(
    shares: pd.DataFrame,
    *,
    ax: Axes | None = None,
    intent: str | None = None,
    willingness_to_pay: float | None = None,
) -> Axes:
    """Draw which model answers what share of requests.

    One intent: stacked areas along willingness to pay. Several: a strip of stacked areas for each. One
    willingness to pay: a stacked bar for each intent. Models are stacked from those that are used at
    low willingness to pay (light on a light background) to those used at high (dark).

    Parameters
    ----------
    shares : DataFrame
        As `model_share` returns it: ``willingness_to_pay`` (USD per unit of quality, on one request),
        ``intent``, ``model``, ``share`` (adding up to 1 over models).
    ax : Axes, optional
        Where to draw; by default a new figure as high as the rows need.
    intent : str, optional
        Draw this intent alone.
    willingness_to_pay : float, optional
        Draw this value of the table alone, as bars.

    Returns
    -------
    Axes
        The Axes drawn on.

    Raises
    ------
    TableError
        Not a table of shares; shares that do not add up to 1; an intent or a
        willingness to pay that is not in the table.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("agg")
    >>> shares = pd.DataFrame({
    ...     "willingness_to_pay": [0.01, 0.01, 1.0, 1.0],
    ...     "intent": "chat",
    ...     "model": ["small", "large"] * 2,
    ...     "share": [0.9, 0.1, 0.2, 0.8],
    ... })
    >>> ax = plot_model_share(shares)
    >>> ax.get_ylabel()
    'Share of requests (%)'
    """
    shares = check_shares(shares)
    if intent is not None:
        shares = _only(shares, "intent", shares["intent"] == intent, intent)
    if willingness_to_pay is not None:
        same = np.isclose(shares["willingness_to_pay"], willingness_to_pay)
        shares = _only(shares, "willingness_to_pay", same, willingness_to_pay)
    models = _cheap_first(shares)
    table = shares.pivot(index=["intent", "willingness_to_pay"], columns="model", values="share")  # noqa: PD010
    stack = table[models].fillna(0.0).cumsum(axis=1)
    intents = unique(shares["intent"])
    if len(unique(shares["willingness_to_pay"])) == 1:
        ax = _bars(stack.droplevel("willingness_to_pay").loc[intents], models, ax)
    elif len(intents) == 1:
        ax = _areas(stack.loc[intents[0]], models, ax)
        if intents[0] != "all":
            ax.set_title(shown_name(intents[0]), loc="left", fontsize=font(ax, 1.1), color=ink(ax))
    else:
        ax = _strips(stack, intents, models, ax)
    from routerlab.plotting._artists import note

    note(ax, provenance_of(shares))
    return ax


def _only(shares: pd.DataFrame, column: str, chosen: Any, value: Any) -> pd.DataFrame:
    if not np.any(chosen):
        reject(f"'{column}'", f"{value!r} is not in the table.", f"It has {shown(unique(shares[column]), 12)}.")
    return shares[chosen]


def _cheap_first(shares: pd.DataFrame) -> list[str]:
    """Models that are used, from low willingness to pay to high."""
    rank = shares["willingness_to_pay"].rank(method="dense")
    used = shares["share"].groupby(shares["model"], sort=False).sum()
    typical = (rank * shares["share"]).groupby(shares["model"], sort=False).sum()[used > 0] / used[used > 0]
    return list(typical.sort_values(kind="stable").index)


def _shades(ax: Axes, n: int) -> list[tuple[float, ...]]:
    """Colours from the background's brightness to its opposite, safe for colour-blind readers and in grey."""
    import matplotlib as mpl

    ramp = mpl.colormaps["viridis"](np.linspace(0.95, 0.08, n) if n > 1 else [0.4])
    ramp = ramp if on_light(ax) else ramp[::-1]
    return [tuple(color[:3]) for color in ramp]


def _stretch(wtp: Floats) -> tuple[Floats, dict[float, str]]:
    """Places on a logarithmic axis for 0 and infinity, one step outside the others, and their names."""
    places, names = wtp.astype(float).copy(), {}
    inner = places[(places > 0) & np.isfinite(places)]
    if not len(inner):
        reject("'shares', column 'willingness_to_pay'", f"got {shown(wtp)} only.", "Add values between 0 and infinity.")
    step = max((inner.max() / inner.min()) ** 0.12, 1.5)
    for value, place, name in ((0.0, inner.min() / step, "0"), (np.inf, inner.max() * step, "∞")):
        if (wtp == value).any():
            places[wtp == value] = place
            names[place] = name
    return places, names


def _wtp_axis(ax: Axes, x: Floats, names: dict[float, str]) -> None:
    dollars(ax, x.min(), x.max())
    ax.set_xlim(x.min(), x.max())
    for place, name in names.items():
        ax.annotate(
            name, (place, 0), xycoords=("data", "axes fraction"), xytext=(0, -4), textcoords="offset points",
            ha="center", va="top", color=ink(ax), annotation_clip=False,
        )  # fmt: skip
    name_x(ax, "Willingness to pay (USD per unit of quality)")


def _areas(stack: pd.DataFrame, models: list[str], ax: Axes | None) -> Axes:
    """Stacked areas of one intent, named inside where there is room and in a key above where there is not."""
    ax = axes_for(ax)
    bare(ax)
    stack = stack.sort_index()
    x, names = _stretch(stack.index.to_numpy())
    _wtp_axis(ax, x, names)
    ax.set_ylim(0, 100)
    ax.set_ylabel("Share of requests (%)")
    lower, short, shades = np.zeros(len(stack)), short_names(models), _shades(ax, len(models))
    outside: list[int] = []
    for i, (model, color) in enumerate(zip(models, shades, strict=True)):
        upper = 100 * stack[model].to_numpy()
        ax.fill_between(x, lower, upper, color=color, linewidth=0, label=model)
        ax.plot(x, upper, color=background(ax), linewidth=1.0)
        if (upper - lower).max() >= _SLIVER:
            place = _room(ax, short[model], np.log(x), lower, upper)
            if place is None:
                outside.append(i)
            else:
                ax.annotate(
                    short[model], place, ha="center", va="center", fontsize=font(ax), gid="label", parse_math=False,
                    color=max(("black", "white"), key=lambda end: contrast(end, color)), path_effects=halo(color),
                )  # fmt: skip
        lower = upper
    if outside:
        _key(ax, [models[i] for i in outside], [shades[i] for i in outside])
    return ax


def _room(ax: Axes, name: str, x: Floats, lower: Floats, upper: Floats) -> tuple[float, float] | None:
    """Where a name fits between two lines without touching either, or None. `x` is in logs."""
    size, height = font(ax) / 72, float(ax.get_position().height * figure_of(ax).get_figheight())
    grid = np.linspace(x[0], x[-1], 240)
    half = int(np.ceil(0.5 * (0.58 * len(name) + 0.8) * size / width_in(ax) * len(grid)))
    if 2 * half + 1 >= len(grid):
        return None
    around = np.arange(half, len(grid) - half)[:, None] + np.arange(-half, half + 1)
    top, bottom = np.interp(grid, x, upper)[around].min(axis=1), np.interp(grid, x, lower)[around].max(axis=1)
    best = int((top - bottom).argmax())
    if (top - bottom)[best] < 100 * 1.5 * size / height:
        return None
    return float(np.exp(grid[half + best])), float(top[best] + bottom[best]) / 2


def _strips(stack: pd.DataFrame, intents: list[Any], models: list[str], ax: Axes | None) -> Axes:
    """One strip of stacked areas for each intent."""
    from matplotlib.collections import PolyCollection

    ax = _axes_with_key(ax, models, len(intents))
    bare(ax)
    shades = _shades(ax, len(models))
    x, names = _stretch(stack.index.get_level_values("willingness_to_pay").to_numpy())
    row = pd.Index(intents).get_indexer(stack.index.get_level_values("intent"))
    lower = np.zeros(len(stack))
    for model, color in zip(models, shades, strict=True):
        upper = stack[model].to_numpy()
        strips = [_ribbon(x[row == i], i + 0.42 - 0.84 * lower[row == i], i + 0.42 - 0.84 * upper[row == i])
                  for i in range(len(intents))]  # fmt: skip
        ax.add_collection(PolyCollection(strips, facecolors=[color], linewidths=0, label=model))
        lower = upper
    _wtp_axis(ax, x, names)
    _name_rows(ax, intents)
    _key(ax, models, shades)
    return ax


def _ribbon(x: Floats, lower: Floats, upper: Floats) -> Floats:
    """Outline of the area between two lines over `x`."""
    order = np.argsort(x)
    return np.vstack([np.column_stack([x, lower])[order], np.column_stack([x, upper])[order[::-1]]])


def _bars(stack: pd.DataFrame, models: list[str], ax: Axes | None) -> Axes:
    """One stacked bar for each intent."""
    ax = _axes_with_key(ax, models, len(stack))
    bare(ax)
    shades = _shades(ax, len(models))
    lower = np.zeros(len(stack))
    for model, color in zip(models, shades, strict=True):
        upper = 100 * stack[model].to_numpy()
        ax.barh(range(len(stack)), upper - lower, left=lower, height=0.8, color=color, edgecolor=background(ax))
        lower = upper
    ax.set_xlim(0, 100)
    name_x(ax, "Share of requests (%)")
    _name_rows(ax, list(stack.index))
    _key(ax, models, shades)
    return ax


def _name_rows(ax: Axes, intents: list[Any]) -> None:
    ax.set_yticks(range(len(intents)), [shown_name(intent) for intent in intents], fontsize=font(ax))
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
    ax.set_ylim(len(intents) - 0.5, -0.5)


def _axes_with_key(ax: Axes | None, models: list[Any], n_rows: int) -> Axes:
    """Axes with room for the rows and the names above them."""
    import matplotlib as mpl

    size = 0.9 * mpl.rcParams["font.size"]
    key = np.ceil(len(models) / _key_columns(models, size, 4.8)) * 1.6 * size / 72
    return axes_for(ax, 7.0, 1.2 + 0.26 * n_rows + float(key))


def _key_columns(models: list[Any], size: float, width: float) -> int:
    """How many names stand side by side in `width` inches."""
    longest = max(len(name) for name in short_names(models).values())
    return int(np.clip(width * 72 / ((0.6 * longest + 3.0) * size), 1, len(models)))


def _key(ax: Axes, models: list[Any], shades: list[Any]) -> None:
    """Names of the models above the axes, in the order of the stack."""
    from matplotlib.patches import Patch

    names = short_names(models)
    ax.legend(
        handles=[Patch(facecolor=color, label=names[model]) for model, color in zip(models, shades, strict=True)],
        loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=_key_columns(models, font(ax), width_in(ax)),
        frameon=False, borderaxespad=0.2, borderpad=0.2, fontsize=font(ax), handlelength=1.0, handleheight=1.0,
        columnspacing=1.2, labelcolor=ink(ax),
    )  # fmt: skip
