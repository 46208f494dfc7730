"""Pictures: what is drawn where, that it can be read, and that nothing leaks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from itertools import combinations
from types import SimpleNamespace
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb, to_rgba
from matplotlib.figure import Figure
from matplotlib.path import Path
from matplotlib.text import Text

import routerlab as rl
from routerlab.plotting._artists import Crowd, candidates, overlap, settle
from routerlab.plotting._style import _ON_DARK, _ON_LIGHT, TEXT_CONTRAST, contrast, short_names, unique

SIMULATED = "simulated: outcomes drawn from a seeded process (seed 0), calibrated to published averages"
MODELS = "gpt-4 tiny-1b mixtral-8x7b claude-instant-v1 gpt-3.5-turbo small-7b yi-34b claude-v1 claude-v2 x y".split()


@pytest.fixture(autouse=True)
def _no_figure_left_open() -> Iterator[None]:
    plt.close("all")
    yield
    plt.close("all")


# ---------------------------------------------------------------- tables


def make_curve(n: int = 60, *, ci: bool = True, height: float = 0.5) -> pd.DataFrame:
    cost = np.geomspace(0.008, 0.0001, n)
    quality = 0.35 + height * (1 - np.exp(-cost / 0.001))
    curve = pd.DataFrame({"willingness_to_pay": np.r_[np.inf, np.geomspace(2, 1e-4, n - 1)][:n]})
    curve = curve.assign(cost_usd=cost, quality=quality)
    if ci:
        curve = curve.assign(
            cost_low=0.9 * cost, cost_high=1.1 * cost, quality_low=quality - 0.03, quality_high=quality + 0.03
        )
    curve.attrs = {"n": 375, "confidence": 0.95, "router": "kNN intent router", "provenance": SIMULATED}
    return curve


def make_baselines(m: int) -> pd.DataFrame:
    cost = np.geomspace(0.0001, 0.012, m)[::-1]
    quality = np.linspace(0.82, 0.35, m) - 0.06 * (np.arange(m) % 3 == 2)
    rows = [
        {"name": name, "kind": "model", "cost_usd": c, "quality": q}
        for name, c, q in zip(MODELS, cost, quality, strict=False)
    ]
    rows.append({"name": "oracle", "kind": "oracle", "cost_usd": 0.001, "quality": 0.95})
    table = pd.DataFrame(rows)
    table = table.assign(
        cost_low=0.9 * table["cost_usd"],
        cost_high=1.1 * table["cost_usd"],
        quality_low=table["quality"] - 0.04,
        quality_high=table["quality"] + 0.04,
    )
    bare = table[["name", "cost_usd", "quality"]]  # without intervals, as evaluation gives them
    hull, ends = bare.iloc[sorted({0, m // 2, m - 1})], bare.iloc[[0, m - 1]]
    table = pd.concat([table, hull.assign(kind="zero_router"), ends.assign(kind="random_mix")], ignore_index=True)
    table.attrs = {"n": 375, "confidence": 0.95, "baseline": "gpt-4", "provenance": SIMULATED}
    return table


def make_ratings(k: int, m: int) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    rows = [
        {"intent": f"some_intent_{i}", "model": MODELS[j], "rating": 1200.0 - 70 * j + rng.normal(0, 60) * (k > 1)}
        for i in range(k)
        for j in range(m)
    ]
    table = pd.DataFrame(rows)
    half = rng.uniform(40, 110, len(table))
    table = table.assign(ci_low=table["rating"] - half, ci_high=table["rating"] + half, n=100)
    table.attrs = {"confidence": 0.95, "n_judgments": 6000, "baseline": "gpt-4", "provenance": SIMULATED}
    return table if k > 1 else table.drop(columns="intent")


def make_shares(k: int, m: int, grid: Any = None) -> pd.DataFrame:
    grid = np.geomspace(0.001, 2, 20) if grid is None else np.asarray(grid)
    level = np.interp(np.log(np.clip(grid, 1e-4, 10)), np.log([1e-4, 10]), [0, m - 1])
    rows = []
    for i in range(k):
        weight = np.exp(-0.7 * (level[:, None] - np.arange(m) + 0.2 * i) ** 2)
        share = weight / weight.sum(axis=1, keepdims=True)
        for w, row in zip(grid, share, strict=True):
            rows += [(w, f"some_intent_{i}", MODELS[::-1][j - m], s) for j, s in enumerate(row)]
    table = pd.DataFrame(rows, columns=["willingness_to_pay", "intent", "model", "share"])
    table.attrs = {"provenance": SIMULATED}
    return table


def make_points(k: int, n: int = 300) -> tuple[pd.DataFrame, pd.Series]:
    rng = np.random.default_rng(1)
    group = np.arange(n) % k
    place = np.column_stack([np.cos(2 * np.pi * np.arange(k) / k), np.sin(2 * np.pi * np.arange(k) / k)]) * 4
    index = pd.Index([f"p{i}" for i in range(n)], name="prompt_id")
    points = pd.DataFrame(place[group] + rng.normal(0, 0.3, (n, 2)), index, ["x", "y"])
    points.attrs = {"method": "t-SNE", "provenance": SIMULATED}
    return points, pd.Series([f"some_intent_{g}" for g in group], index)


def make_savings(saving: float = 0.46, quality: float = -0.003, half: float = 0.011, **others: Any) -> SimpleNamespace:
    values = dict(
        baseline="gpt-4", n=375, saving=saving, saving_low=saving - 0.05, saving_high=saving + 0.05,
        quality_difference=quality, quality_low=quality - half, quality_high=quality + half,
        margin=0.02, confidence=0.95, provenance=SIMULATED,
    )  # fmt: skip
    return SimpleNamespace(**(values | others))


DRAW: dict[str, Callable[[Any], Any]] = {
    "frontier": lambda ax: rl.plot_frontier(make_curve(), baselines=make_baselines(6), chosen=(0.002, 0.78), ax=ax),
    "several": lambda ax: rl.plot_frontier({"kNN": make_curve(), "ridge": make_curve(height=0.3)}, ax=ax),
    "forest": lambda ax: rl.plot_ratings(make_ratings(1, 6), ax=ax),
    "forest by intent": lambda ax: rl.plot_ratings(make_ratings(4, 3), ax=ax),
    "grid": lambda ax: rl.plot_ratings(make_ratings(28, 6), ax=ax),
    "areas": lambda ax: rl.plot_model_share(make_shares(1, 6), ax=ax),
    "strips": lambda ax: rl.plot_model_share(make_shares(28, 6), ax=ax),
    "bars": lambda ax: rl.plot_model_share(make_shares(5, 6, [0.1]), ax=ax),
    "map": lambda ax: rl.plot_embedding_map(*make_points(6), ax=ax),
    "map of many": lambda ax: rl.plot_embedding_map(*make_points(28), ax=ax),
}
ALL = [*DRAW, "savings"]


def new_axes(size: tuple[float, float] = (7.0, 4.5)) -> Any:
    """Axes that pyplot knows nothing of."""
    figure = Figure(size, layout="constrained")
    FigureCanvasAgg(figure)
    return figure.subplots()


@cache
def draw(name: str, style: str = "default") -> Any:
    """Draw one of ALL on a figure that pyplot knows nothing of, and return the figure: to look at, not to change."""
    with plt.style.context(style):
        return _draw(name)


def _draw(name: str) -> Any:
    if name == "savings":
        figure = Figure((7, 3), layout="constrained")
        FigureCanvasAgg(figure)
        rl.plot_savings({"kNN": make_savings(), "table": make_savings(0.3, 0.0)}, ax=figure.subplots(1, 2))
    else:
        figure = DRAW[name](new_axes((7.0, 7.0))).figure
    figure.canvas.draw()
    return figure


def texts(figure: Any) -> list[Text]:
    return [t for t in figure.findobj(Text) if t.get_visible() and t.get_text().strip()]


def with_gid(ax: Any, gid: str) -> list[Any]:
    return [artist for artist in ax.get_children() if artist.get_gid() == gid]


def boxes(ax: Any, gid: str = "label") -> list[Any]:
    ax.figure.canvas.draw()
    renderer = ax.figure.canvas.get_renderer()
    return [Text.get_window_extent(t, renderer) for t in with_gid(ax, gid) if t.get_visible()]


def notes(figure: Any) -> str:
    return " ".join(" ".join(t.get_text().split()) for t in texts(figure) if t.get_gid() == "note")


# ---------------------------------------------------------------- all pictures


@pytest.mark.parametrize("name", list(DRAW))
def test_given_axes_are_returned_and_pyplot_is_left_alone(name: str) -> None:
    before = dict(mpl.rcParams)
    ax = new_axes()
    assert DRAW[name](ax) is ax
    assert plt.get_fignums() == []
    assert dict(mpl.rcParams) == before


@pytest.mark.parametrize("name", list(DRAW))
def test_without_axes_one_figure_is_made(name: str) -> None:
    ax = DRAW[name](None)
    assert plt.get_fignums() == [ax.figure.number]


@pytest.mark.parametrize("name", ALL)
def test_provenance_is_printed_within_the_figure(name: str) -> None:
    figure = draw(name)
    assert SIMULATED in notes(figure)
    small_print = [t for t in texts(figure) if t.get_gid() == "note"]
    for text in small_print:
        box = text.get_window_extent()
        assert box.x0 >= 0 and box.y0 >= 0 and box.x1 <= figure.bbox.x1
        for ax in figure.axes:
            assert box.y1 <= ax.bbox.y0


@pytest.mark.parametrize("name", ["frontier", "forest", "areas", "map"])
@pytest.mark.parametrize("width", [3.5, 7.0])
def test_small_print_fits_narrow_figures(name: str, width: float) -> None:
    ax = DRAW[name](new_axes((width, 3.5)))
    ax.figure.canvas.draw()
    (note,) = with_gid(ax, "note")
    box = note.get_window_extent()
    assert box.x0 >= 0 and box.x1 <= ax.figure.bbox.x1 and box.y0 >= 0


def test_nothing_is_called_simulated_that_does_not_say_so() -> None:
    curve = make_curve()
    del curve.attrs["provenance"]
    ax = rl.plot_frontier(curve, ax=new_axes())
    ax.figure.canvas.draw()
    assert notes(ax.figure) == "Bands: 95% intervals; n = 375 prompts"


def test_two_calls_on_one_axes_share_small_print_and_keep_labels_apart() -> None:
    ax = new_axes()
    rl.plot_frontier({"first": make_curve()}, ax=ax)
    rl.plot_frontier({"second": make_curve()}, ax=ax)
    ax.figure.canvas.draw()
    assert len(with_gid(ax, "note")) == 1
    assert notes(ax.figure).count("simulated") == 1
    first, second = boxes(ax)
    assert not first.overlaps(second)


@pytest.mark.parametrize("style", ["default", "dark_background"])
@pytest.mark.parametrize("name", ALL)
@pytest.mark.slow
def test_every_text_can_be_read(name: str, style: str) -> None:
    for text in texts(draw(name, style)):
        assert contrast(text.get_color(), behind(text)) >= TEXT_CONTRAST


def behind(text: Text) -> Any:
    """Colour of the outline of a text, or of the figure."""
    outlines = [effect._gc["foreground"] for effect in text.get_path_effects()]
    return outlines[0] if outlines else text.get_figure(root=True).get_facecolor()


@pytest.mark.parametrize("name", ["frontier", "forest", "savings"])
def test_our_own_text_can_be_read_in_a_pale_style(name: str) -> None:
    ours = [text for text in texts(draw(name, "ggplot")) if text.get_gid() in ("note", "label")]
    assert ours
    for text in ours:
        assert contrast(text.get_color(), behind(text)) >= TEXT_CONTRAST


@pytest.mark.parametrize("name", ALL)
def test_dark_style_is_followed(name: str) -> None:
    figure = draw(name, "dark_background")
    assert to_rgb(figure.get_facecolor()) == (0, 0, 0)
    for text in texts(figure):
        if not text.get_path_effects():
            assert contrast(text.get_color(), "black") > contrast(text.get_color(), "white")


@pytest.mark.parametrize("name", ["frontier", "several", "forest", "areas", "map"])
def test_data_lie_within_the_limits(name: str) -> None:
    (ax,) = draw(name).axes
    low, high = ax.viewLim.min, ax.viewLim.max
    for line in ax.lines:
        if line.get_transform() == ax.transData:
            xy = line.get_xydata()
            assert (xy >= np.minimum(low, high) - 1e-9).all() and (xy <= np.maximum(low, high) + 1e-9).all()


@pytest.mark.parametrize(
    ("name", "axis", "unit"),
    [
        ("frontier", "x", "USD per 1,000 requests"),
        ("frontier", "y", "0 to 1"),
        ("forest", "x", "points"),
        ("areas", "x", "USD per unit of quality"),
        ("areas", "y", "%"),
        ("bars", "x", "%"),
    ],
)
def test_axes_name_their_units(name: str, axis: str, unit: str) -> None:
    (ax,) = draw(name).axes
    assert unit in (ax.get_xlabel() if axis == "x" else ax.get_ylabel()).replace("\n", " ")


@pytest.mark.parametrize(("style", "least"), [("default", 2), ("dark_background", 5)])
def test_curves_stand_out_from_the_background(style: str, least: float) -> None:
    with plt.style.context(style):
        ax = rl.plot_frontier({str(i): make_curve(height=0.1 * i) for i in range(6)}, ax=new_axes())
        drawn = [line.get_color() for line in ax.lines if line.get_label() in "012345"]
        assert len(set(drawn)) == 6
        assert min(contrast(color, ax.get_facecolor()) for color in drawn) > least


def _lab(colors: np.ndarray) -> np.ndarray:
    xyz = colors @ np.array([[0.4124, 0.2126, 0.0193], [0.3576, 0.7152, 0.1192], [0.1805, 0.0722, 0.9505]])
    f = np.cbrt(np.clip(xyz / [0.9505, 1.0, 1.089], 1e-4, None))
    return np.column_stack([116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])])


@pytest.mark.parametrize("palette", [_ON_LIGHT, _ON_DARK])
@pytest.mark.parametrize(
    "vision",
    [  # Machado, Oliveira and Fernandes (2009), severity 1: protanopia, deuteranopia
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    ],
)
def test_colours_differ_for_colour_blind_readers(palette: tuple[str, ...], vision: list[list[float]]) -> None:
    rgb = np.array([to_rgb(color) for color in palette])
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    lab = _lab(np.clip(linear @ np.array(vision).T, 0, 1))
    assert min(np.linalg.norm(a - b) for a, b in combinations(lab, 2)) > 15  # matplotlib's own colours: 5


# ---------------------------------------------------------------- labels


@pytest.mark.parametrize("size", [(7.0, 4.5), (3.5, 2.8)])
@pytest.mark.parametrize("m", [2, 6, 11])
def test_labels_of_a_frontier_do_not_overlap(m: int, size: tuple[float, float]) -> None:
    ax = rl.plot_frontier(make_curve(), baselines=make_baselines(m), chosen=(0.002, 0.78), ax=new_axes(size))
    found = boxes(ax)
    assert len(found) == m + 5 - (m == 2)  # models, oracle, curve, operating point, mixtures (two models: the same)
    assert not any(a.overlaps(b) for a, b in combinations(found, 2))
    assert all(ax.bbox.x0 <= b.x0 and b.x1 <= ax.bbox.x1 and ax.bbox.y0 <= b.y0 and b.y1 <= ax.bbox.y1 for b in found)


def test_labels_are_placed_anew_when_the_figure_shrinks() -> None:
    ax = rl.plot_frontier(make_curve(), baselines=make_baselines(11), ax=new_axes())
    wide = boxes(ax)
    ax.figure.set_size_inches(4.0, 3.0)
    narrow = boxes(ax)
    assert [b.bounds for b in wide] != [b.bounds for b in narrow]
    assert not any(a.overlaps(b) for a, b in combinations(narrow, 2))


def test_labels_hide_no_single_model() -> None:
    ax = rl.plot_frontier(make_curve(), baselines=make_baselines(11), ax=new_axes())
    found = boxes(ax)
    for kind in ("model", "oracle"):
        for dot in with_gid(ax, kind):
            x, y = ax.transData.transform(dot.get_xydata()[0])
            assert not any(b.contains(x, y) for b in found)


def test_crowd_counts_what_lies_under_a_box() -> None:
    rng = np.random.default_rng(0)
    crowd = Crowd((0, 0), (90, 60), 3.0)
    crowd.add(np.array([[10.0, 10.0], [10.5, 10.2], [70.0, 50.0], [-5.0, 3.0], [np.nan, 1.0]]), 2.0, path=False)
    everything = np.array([[0.0, 0.0, 90.0, 60.0]])
    assert crowd.under(everything) == 4.0  # two share a cell, one is outside
    assert crowd.under(np.array([[5.0, 5.0, 20.0, 20.0], [30.0, 5.0, 60.0, 55.0]])).tolist() == [2.0, 0.0]
    crowd.add(np.array([[0.0, 30.0], [90.0, 30.0]]), 1.0, path=True)
    low = rng.uniform(0, 50, (200, 2))
    over = crowd.under(np.hstack([low, low + 8]))
    crosses = (low[:, 1] < 30) & (low[:, 1] + 8 > 33)
    assert (over[crosses] >= 2).all()
    below = np.array([[40.0, 2.0, 50.0, 8.0]])
    assert crowd.across(below, np.array([45.0, 55.0]), 1.0) > 0
    assert crowd.across(below, np.array([45.0, 20.0]), 1.0) == 0


def test_settle_separates_two_labels_of_one_point() -> None:
    options = [candidates(np.array([[50.0, 50.0]]), np.array([30.0, 10.0]), 5.0, centred=True) for _ in range(3)]
    chosen = [option.boxes[pick] for option, pick in zip(options, settle(options, 1.0), strict=True)]
    assert not np.triu(overlap(np.array(chosen), np.array(chosen), 0.0), 1).any()


def test_short_names_stay_distinct() -> None:
    assert short_names(["meta/llama", "gpt-4"]) == {"meta/llama": "llama", "gpt-4": "gpt-4"}
    assert short_names(["a/llama", "b/llama"]) == {"a/llama": "a/llama", "b/llama": "b/llama"}


# ---------------------------------------------------------------- frontier


def the_curve(ax: Any, name: str = "kNN intent router") -> np.ndarray:
    (line,) = [line for line in ax.lines if line.get_label() == name]
    return line.get_xydata()


@pytest.mark.parametrize("per", [1, 1000])
def test_curve_is_drawn_in_usd_per_requests(per: int) -> None:
    curve = make_curve()
    xy = the_curve(rl.plot_frontier(curve, per=per, ax=new_axes()))
    expected = curve[["cost_usd", "quality"]].to_numpy() * [per, 1]
    drawn = {tuple(np.round(point, 9)) for point in xy}
    assert {tuple(np.round(point, 9)) for point in expected} <= drawn


def test_order_of_rows_does_not_matter() -> None:
    shuffled = make_curve().sample(frac=1, random_state=0)
    first, second = (the_curve(rl.plot_frontier(curve, ax=new_axes())) for curve in (make_curve(), shuffled))
    assert np.array_equal(first, second)


def test_band_covers_every_interval_of_both_axes() -> None:
    curve = make_curve()
    (band,) = with_gid(rl.plot_frontier(curve, ax=new_axes()), "band")
    inside = Path(band.get_xy())
    for x, y in (("cost_usd", "quality"), ("cost_low", "quality"), ("cost_high", "quality"),
                 ("cost_usd", "quality_low"), ("cost_usd", "quality_high")):  # fmt: skip
        points = np.column_stack([1000 * curve[x], curve[y]])
        assert inside.contains_points(points, radius=1e-6).all() or inside.contains_points(points, radius=-1e-6).all()


def test_band_needs_intervals_and_can_be_left_out() -> None:
    assert not with_gid(rl.plot_frontier(make_curve(ci=False), ax=new_axes()), "band")
    assert not with_gid(rl.plot_frontier(make_curve(), band=False, ax=new_axes()), "band")


def test_mixtures_are_straight_in_cost_and_so_bend_on_a_log_axis() -> None:
    ax = rl.plot_frontier(make_curve(), baselines=make_baselines(2), ax=new_axes())
    x, y = the_curve(ax, "zero router = random mix").T
    assert len(x) > 20
    assert np.allclose(y, np.interp(x, x[[0, -1]], y[[0, -1]]))
    assert not np.allclose(y, np.interp(np.log(x), np.log(x[[0, -1]]), y[[0, -1]]), atol=0.05)


def test_baselines_have_a_marker_each_and_bars() -> None:
    ax = rl.plot_frontier(make_curve(), baselines=make_baselines(6), ax=new_axes())
    dots = with_gid(ax, "model")
    assert len(dots) == 6
    assert [dot.get_marker() for dot in dots].count("s") == 1  # the baseline
    assert [star.get_marker() for star in with_gid(ax, "oracle")] == ["*"]
    assert sum(len(bars.get_segments()) for bars in ax.collections) == 2 * 7
    assert "gpt-4 (baseline)" in [t.get_text() for t in with_gid(ax, "label")]
    assert {"zero router", "random mix"} <= {line.get_label() for line in ax.lines}


def test_max_labels_keeps_the_baseline_and_the_zero_router() -> None:
    ax = rl.plot_frontier(make_curve(), baselines=make_baselines(11), max_labels=3, ax=new_axes())
    names = [t.get_text() for t in with_gid(ax, "label")]
    assert {"gpt-4 (baseline)", MODELS[5], MODELS[10]} <= set(names)
    assert len(names) == 3 + 4  # oracle, curve, two mixtures
    assert len(with_gid(ax, "model")) == 11


def test_routers_differ_in_colour_and_only_what_needs_none_is_dashed() -> None:
    curves = {str(i): make_curve(height=0.1 * i) for i in range(1, 6)}
    ax = rl.plot_frontier(curves, baselines=make_baselines(6), ax=new_axes())
    drawn = [line for line in ax.lines if line.get_label() in curves]
    assert len({line.get_color() for line in drawn}) == 5
    assert {line.get_linestyle() for line in drawn} == {"-"}
    seven = rl.plot_frontier({str(i): make_curve(height=0.1 * i) for i in range(7)}, ax=new_axes())
    first, seventh = (line for line in seven.lines if line.get_label() in ("0", "6"))
    assert first.get_color() == seventh.get_color() and first.get_linestyle() != seventh.get_linestyle()


def test_small_print_says_what_the_grey_lines_are() -> None:
    ax = rl.plot_frontier(make_curve(), baselines=make_baselines(6), ax=new_axes())
    ax.figure.canvas.draw()
    assert "dashed: best random mix of all models" in notes(ax.figure)
    assert "dotted: cheapest model and baseline mixed" in notes(ax.figure)
    assert "diamonds" not in notes(ax.figure)
    two = rl.plot_frontier(make_curve(), baselines=make_baselines(2), ax=new_axes())
    two.figure.canvas.draw()
    assert "that of the cheapest one and the baseline" in notes(two.figure) and "dotted" not in notes(two.figure)


@pytest.mark.parametrize(
    "chosen",
    [
        (0.002, 0.78),
        {"cost_usd": 0.002, "quality": 0.78},
        SimpleNamespace(cost_usd=0.002, quality=0.78, quality_low=-0.01, quality_high=0.01),  # as Savings has them
    ],
)
def test_operating_point_is_marked(chosen: Any) -> None:
    ax = rl.plot_frontier(make_curve(), chosen=chosen, ax=new_axes())
    (ring,) = with_gid(ax, "chosen")
    assert ring.get_xydata().tolist() == [[2.0, 0.78]]
    assert "operating point\n$2, quality 0.780" in [t.get_text() for t in ax.texts]


def test_operating_point_of_a_row_has_its_intervals() -> None:
    curve = make_curve()
    bars = [len(c.get_segments()) for c in rl.plot_frontier(curve, chosen=curve.iloc[20], ax=new_axes()).collections]
    assert bars == [1, 1]


def test_one_choice_is_a_point_with_its_rectangle() -> None:
    ax = rl.plot_frontier(make_curve().iloc[[30]], ax=new_axes())
    (band,) = with_gid(ax, "band")
    row = make_curve().iloc[30]
    corners = [[1000 * row["cost_low"], row["quality_low"]], [1000 * row["cost_high"], row["quality_high"]]]
    assert np.allclose([band.get_xy().min(axis=0), band.get_xy().max(axis=0)], corners)


def test_long_curves_are_thinned_and_keep_their_ends() -> None:
    curve = make_curve(40_000)
    xy = the_curve(rl.plot_frontier(curve, ax=new_axes()))
    assert len(xy) <= 5000
    assert np.allclose(xy[[0, -1]], curve[["cost_usd", "quality"]].to_numpy()[[0, -1]] * [1000, 1])


def test_intervals_that_reach_zero_cost_are_cut_and_that_is_said() -> None:
    curve = make_curve().assign(cost_low=-0.001)
    ax = rl.plot_frontier(curve, ax=new_axes())
    ax.figure.canvas.draw()
    assert "cut at the left edge" in notes(ax.figure)
    assert ax.get_xlim()[0] > 0
    linear = rl.plot_frontier(curve, log_cost=False, ax=new_axes())
    linear.figure.canvas.draw()
    assert "cut" not in notes(linear.figure)


# ---------------------------------------------------------------- ratings


def test_forest_is_sorted_and_shows_intervals() -> None:
    ratings = make_ratings(1, 6).sample(frac=1, random_state=0)
    ax = rl.plot_ratings(ratings, ax=new_axes())
    order = ratings.sort_values("rating", ascending=False)
    assert [t.get_text() for t in ax.get_yticklabels()] == order["model"].tolist()
    segments = [line.get_segments()[0] for line in ax.collections if hasattr(line, "get_segments")]
    assert np.allclose([[s[0, 0], s[1, 0]] for s in segments], order[["ci_low", "ci_high"]])
    (shade,) = with_gid(ax, "best")
    x = shade.get_paths()[0].vertices[:, 0]
    assert [x.min(), x.max()] == order[["ci_low", "ci_high"]].iloc[0].tolist()
    low, high = ax.get_ylim()
    assert low > high  # best on top


def test_forest_by_intent_has_a_heading_and_all_models_each() -> None:
    ax = rl.plot_ratings(make_ratings(4, 3), ax=new_axes((7, 6)))
    assert len(ax.get_yticklabels()) == 12
    assert {f"some intent {i}" for i in range(4)} <= {t.get_text() for t in ax.texts}
    assert len(with_gid(ax, "best")) == 4
    assert {t.get_fontweight() for t in ax.get_yticklabels() if t.get_text() == "gpt-4"} == {"bold"}


@pytest.mark.parametrize(("k", "m"), [(28, 6), (9, 2), (8, 4)])
def test_grid_fills_the_dots_that_rival_the_best(k: int, m: int) -> None:
    ratings = make_ratings(k, m)
    ax = rl.plot_ratings(ratings, ax=new_axes((7, 7)))
    best = ratings.loc[ratings.groupby("intent")["rating"].idxmax()].set_index("intent")["ci_low"]
    rivals = (ratings["ci_high"] >= ratings["intent"].map(best)).sum()
    dots = {gid: with_gid(ax, gid)[0].get_offsets() for gid in ("rival", "behind")}
    assert len(dots["rival"]) == rivals
    assert len(dots["behind"]) == k * m - rivals
    bars = np.concatenate([segment for c in ax.collections for segment in getattr(c, "get_segments", list)()])
    assert len(bars) == 2 * k * m
    column = np.concatenate(list(dots.values()))[:, 0].round().repeat(2)
    assert (np.abs(bars[:, 0] - column) <= 0.5).all()
    assert f"points around {ratings['rating'].mean():,.4g}" in " ".join(with_gid(ax, "note")[0].paragraphs)


def test_intents_of_a_grid_are_in_the_order_of_the_leading_model() -> None:
    ratings = make_ratings(12, 4)
    ax = rl.plot_ratings(ratings, ax=new_axes((7, 7)))
    lead = ax.get_xticklabels()[0].get_text()
    expected = ratings[ratings["model"] == lead].sort_values("rating", ascending=False)["intent"].str.replace("_", " ")
    assert [t.get_text() for t in ax.get_yticklabels()] == expected.tolist()


@pytest.mark.parametrize(("k", "m"), [(4, 3), (12, 4)])
def test_index_of_ratings_does_not_matter(k: int, m: int) -> None:
    plain, odd = make_ratings(k, m), make_ratings(k, m).set_index(np.zeros(k * m, dtype=int))
    counts = [len(rl.plot_ratings(table, ax=new_axes((7, 6))).get_children()) for table in (plain, odd)]
    assert counts[0] == counts[1]


def test_baseline_is_bold_in_a_grid() -> None:
    ax = rl.plot_ratings(make_ratings(12, 4), ax=new_axes())
    assert [t.get_text() for t in ax.get_xticklabels() if t.get_fontweight() == "bold"] == ["gpt-4"]


def test_another_grouping_than_intent_is_found() -> None:
    ax = rl.plot_ratings(make_ratings(3, 2).rename(columns={"intent": "judge"}), ax=new_axes())
    assert len(with_gid(ax, "best")) == 3


# ---------------------------------------------------------------- shares


def test_areas_stack_to_the_whole_from_cheap_to_dear() -> None:
    shares = make_shares(1, 6)
    ax = rl.plot_model_share(shares.sample(frac=1, random_state=0), ax=new_axes())
    tops = [line.get_ydata() for line in ax.lines]
    assert np.allclose(tops[-1], 100)
    assert (np.diff(tops, axis=0) >= -1e-9).all()
    order = [c.get_label() for c in ax.collections]
    wide = shares.pivot(index="willingness_to_pay", columns="model", values="share")  # noqa: PD010
    assert order == unique(shares["model"])
    assert np.allclose(tops[0], 100 * wide[order[0]])
    key = [] if ax.get_legend() is None else [t.get_text() for t in ax.get_legend().get_texts()]
    assert sorted([t.get_text() for t in with_gid(ax, "label")] + key) == sorted(order)


@pytest.mark.parametrize("size", [(7.0, 4.5), (4.5, 3.5)])
def test_a_name_stands_in_its_own_area_or_in_the_key(size: tuple[float, float]) -> None:
    ax = rl.plot_model_share(make_shares(1, 6), ax=new_axes(size))
    inside = dict(zip((t.get_text() for t in with_gid(ax, "label")), boxes(ax), strict=True))
    assert inside
    for area in ax.collections:
        if area.get_label() in inside:
            (path,) = area.get_paths()
            box = inside[area.get_label()].transformed(ax.transData.inverted())
            assert path.contains_points(box.corners()).all(), area.get_label()


@pytest.mark.parametrize("style", ["default", "dark_background"])
def test_shades_of_models_rise_in_contrast_with_the_background(style: str) -> None:
    with plt.style.context(style):
        ax = rl.plot_model_share(make_shares(1, 6), ax=new_axes())
        ratio = [contrast(c.get_facecolor()[0], ax.get_facecolor()) for c in ax.collections]
        assert (np.diff(ratio) > 0.1).all()


def test_zero_and_infinite_willingness_to_pay_have_a_place() -> None:
    ax = rl.plot_model_share(make_shares(1, 3, [0, 0.01, 0.1, 1, np.inf]), ax=new_axes())
    x = ax.lines[0].get_xdata()
    assert 0 < x[0] < 0.01 and 1 < x[-1] < np.inf
    assert {"0", "∞"} <= {t.get_text() for t in ax.texts}


def test_bars_are_as_long_as_the_shares() -> None:
    shares = make_shares(5, 4)
    value = shares["willingness_to_pay"].unique()[7]
    ax = rl.plot_model_share(shares, willingness_to_pay=value, ax=new_axes())
    at = shares[shares["willingness_to_pay"] == value]
    widths = np.array([bar.get_width() for bar in ax.patches]).reshape(4, 5)
    assert np.allclose(widths.sum(axis=0), 100)
    order = [t.get_text() for t in ax.get_legend().get_texts()]
    expected = at.pivot(index="model", columns="intent", values="share").loc[order]  # noqa: PD010
    assert np.allclose(widths, 100 * expected)


def test_strips_keep_to_their_rows_and_name_intents() -> None:
    ax = rl.plot_model_share(make_shares(5, 4), ax=new_axes())
    assert len(ax.collections) == 4
    for area in ax.collections:
        for row, strip in enumerate(area.get_paths()):
            assert np.abs(strip.vertices[:, 1] - row).max() <= 0.5
    assert [t.get_text() for t in ax.get_yticklabels()] == [f"some intent {i}" for i in range(5)]


def test_one_intent_is_picked_by_name() -> None:
    ax = rl.plot_model_share(make_shares(5, 4), intent="some_intent_2", ax=new_axes())
    assert ax.get_title(loc="left") == "some intent 2"
    assert len(ax.collections) == 4
    assert with_gid(ax, "note")[0].paragraphs == [SIMULATED]


def test_shares_need_no_intents() -> None:
    ax = rl.plot_model_share(make_shares(1, 3).drop(columns="intent"), ax=new_axes())
    assert ax.get_title(loc="left") == ""
    assert with_gid(ax, "note")[0].paragraphs == [SIMULATED]


def test_a_sliver_has_no_name_that_would_pass_for_its_neighbours() -> None:
    shares = make_shares(1, 3).assign(share=[0.6, 0.396, 0.004] * 20)
    ax = rl.plot_model_share(shares, ax=new_axes())
    ax.figure.canvas.draw()
    named = {text.get_text() for text in ax.texts} & set(shares["model"])
    assert named == set(shares["model"].iloc[:2])


def test_models_without_a_share_are_left_out() -> None:
    ax = rl.plot_model_share(make_shares(1, 3).assign(share=[1.0, 0.0, 0.0] * 20), ax=new_axes())
    assert [t.get_text() for t in with_gid(ax, "label")] == [MODELS[::-1][-3]]


# ---------------------------------------------------------------- map


def test_groups_are_named_at_their_medians() -> None:
    points, labels = make_points(6)
    ax = rl.plot_embedding_map(points, labels, ax=new_axes((7, 6)))
    for text, box in zip(with_gid(ax, "label"), boxes(ax), strict=True):
        name = text.get_text().replace("\n", " ").replace(" ", "_")
        middle = ax.transData.transform(points[labels == name].median())
        assert np.hypot(*(np.array([box.x0 + box.x1, box.y0 + box.y1]) / 2 - middle)) < 2
    assert len(boxes(ax)) == 6


def test_up_to_twelve_groups_differ_in_colour_or_marker() -> None:
    ax = rl.plot_embedding_map(*make_points(12), ax=new_axes((7, 6)))
    looks = {(tuple(c.get_facecolor()[0]), c.get_paths()[0].vertices.tobytes()) for c in ax.collections[1:]}
    assert len(looks) == 12


def test_many_groups_are_grey_with_names_that_do_not_overlap() -> None:
    ax = rl.plot_embedding_map(*make_points(59, 600), ax=new_axes((3.5, 3)))
    assert len(ax.collections) == 1
    assert len(ax.collections[0].get_offsets()) == 600
    found = boxes(ax)
    assert 5 < len(found) <= 59
    assert not any(a.overlaps(b) for a, b in combinations(found, 2))


def test_highlight_colours_some_and_greys_the_rest() -> None:
    points, labels = make_points(28)
    ax = rl.plot_embedding_map(points, labels, highlight=["some_intent_3", "some_intent_7"], ax=new_axes())
    assert [c.get_label() for c in ax.collections[1:]] == ["some_intent_3", "some_intent_7"]
    assert sum(len(c.get_offsets()) for c in ax.collections) == len(points)
    assert len(with_gid(ax, "label")) == 2


def test_labels_join_on_prompt_id_not_on_position() -> None:
    points, labels = make_points(2)
    first = rl.plot_embedding_map(points, labels, ax=new_axes())
    second = rl.plot_embedding_map(points, labels.sample(frac=1, random_state=0), ax=new_axes())
    for a, b in zip(first.collections, second.collections, strict=True):
        assert np.array_equal(a.get_offsets(), b.get_offsets())


def test_map_without_labels_is_all_grey() -> None:
    ax = rl.plot_embedding_map(make_points(3)[0], ax=new_axes())
    assert len(ax.collections) == 1 and not with_gid(ax, "label")
    assert "t-SNE" in with_gid(ax, "note")[0].get_text()


# ---------------------------------------------------------------- savings


def pair() -> Any:
    figure = Figure((7, 3), layout="constrained")
    FigureCanvasAgg(figure)
    return figure.subplots(1, 2)


def test_savings_stand_beside_quality_with_both_intervals_and_n() -> None:
    axes = pair()
    left, right = rl.plot_savings(make_savings(), ax=axes)
    assert (left, right) == tuple(axes)
    assert plt.get_fignums() == []
    assert [t.get_text() for t in with_gid(left, "value")] == ["46% [41, 51]"]
    assert [t.get_text() for t in with_gid(right, "value")] == ["−0.3 [−1.4, +0.8]"]
    assert left.get_yticklabels()[0].get_text() == "n = 375"
    assert "gpt-4" in left.get_xlabel()


def test_savings_make_one_figure_with_two_panels() -> None:
    axes = rl.plot_savings({"kNN": make_savings()})
    assert axes.shape == (2,) and len(plt.get_fignums()) == 1


@pytest.mark.parametrize(("half", "filled"), [(0.011, True), (0.03, False)])
def test_dot_is_filled_if_the_interval_lies_above_the_margin(half: float, filled: bool) -> None:
    _, right = rl.plot_savings(make_savings(half=half), ax=pair())
    (dot,) = [line for line in right.lines if line.get_marker() == "o"]
    assert (to_rgba(dot.get_markerfacecolor()) == to_rgba(dot.get_color())) is filled
    (margin,) = with_gid(right, "margin")
    assert margin.get_xdata()[0] == -2.0


def test_no_line_of_a_panel_crosses_its_numbers() -> None:
    rows = {"a": make_savings(0.0, 0.0), "b": make_savings(margin=0.01), "c": make_savings(quality=-0.03)}
    for panel in rl.plot_savings(rows, ax=pair()):
        assert len(boxes(panel, "value")) == 3
        assert all(box.x0 > panel.bbox.x1 for box in boxes(panel, "value"))


def test_margins_that_differ_are_drawn_by_row() -> None:
    _, right = rl.plot_savings({"a": make_savings(), "b": make_savings(margin=0.01)}, ax=pair())
    assert sorted(m.get_segments()[0][0, 0] for m in with_gid(right, "margin")) == [-2.0, -1.0]


# ---------------------------------------------------------------- together with the rest of the package


def test_results_of_the_package_can_be_drawn() -> None:
    evaluation = pytest.importorskip("routerlab.evaluation")
    from routerlab.decision import sweep_estimates
    from routerlab.ratings import rate

    rng = np.random.default_rng(0)
    index = pd.Index([f"p{i}" for i in range(80)], name="prompt_id")
    models = ["small", "middle", "gpt-4"]
    quality = pd.DataFrame((rng.random((80, 3)) < [0.4, 0.6, 0.8]).astype(float), index, models)
    cost = pd.DataFrame(rng.uniform(0.8, 1.2, (80, 3)) * [0.0001, 0.001, 0.01], index, models)
    quality.attrs["provenance"] = cost.attrs["provenance"] = SIMULATED
    sweep = sweep_estimates((0.5 * quality + 0.25 + rng.normal(0, 0.1, quality.shape)).clip(0, 1), cost)
    intents = pd.Series(np.where(np.arange(80) % 2, "chat", "code"), index, name="intent")
    votes = pd.DataFrame({"prompt_id": index, "model_a": "small", "model_b": "gpt-4"})
    votes = votes.assign(winner=rng.choice(["model_a", "model_b", "tie"], 80))
    votes.attrs["provenance"] = SIMULATED
    result = evaluation.savings(sweep.at(0.02), quality, cost, baseline="gpt-4", n_resamples=50)
    curve = evaluation.frontier(sweep, quality, cost, ci=True)
    figures = [
        rl.plot_frontier(curve, baselines=evaluation.baselines(quality, cost), chosen=result, ax=new_axes()).figure,
        rl.plot_model_share(evaluation.model_share(sweep), ax=new_axes()).figure,
        rl.plot_model_share(evaluation.model_share(sweep, intents), ax=new_axes()).figure,
        rl.plot_savings(result, ax=pair())[0].figure,
        rl.plot_ratings(rate(votes), ax=new_axes()).figure,
        rl.plot_ratings(rate(votes, by=intents), ax=new_axes()).figure,
    ]
    for figure in figures:
        figure.canvas.draw()
        assert SIMULATED in notes(figure)


# ---------------------------------------------------------------- mistakes


class _Sweep:
    at = wtp = None


def _frame(**columns: Any) -> pd.DataFrame:
    return pd.DataFrame(columns)


PROMPTS_BY_MODELS = pd.DataFrame({"a": [0.5]}, index=pd.Index(["p1"], name="prompt_id"))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: rl.plot_frontier(_Sweep()), ["'curve'", "Sweep", "frontier("]),
        (lambda: rl.plot_frontier((1, 2)), ["'curve'", "tuple", "frontier("]),
        (lambda: rl.plot_frontier({}), ["'curve'", "empty"]),
        (lambda: rl.plot_frontier(PROMPTS_BY_MODELS), ["'curve'", "prompts x models", "frontier("]),
        (lambda: rl.plot_frontier(_frame(cost_usd=[1.0])), ["'quality'", "missing", "'cost_usd'"]),
        (lambda: rl.plot_frontier(make_curve().iloc[:0]), ["no rows"]),
        (lambda: rl.plot_frontier(make_baselines(3)), ["baselines=", "frontier"]),
        (lambda: rl.plot_frontier(make_curve().assign(quality=80.0)), ["'quality'", "80.0", "swapped", "percent"]),
        (lambda: rl.plot_frontier(make_curve().assign(cost_usd=-1.0)), ["'cost_usd'", "-1.0"]),
        (lambda: rl.plot_frontier(make_curve().assign(quality=np.nan)), ["'quality'", "nan"]),
        (lambda: rl.plot_frontier(make_curve().assign(cost_usd=0.0)), ["'log_cost'", "log_cost=False"]),
        (lambda: rl.plot_frontier({"kNN": make_curve().assign(quality=2.0)}), ["'kNN'"]),
        (lambda: rl.plot_frontier(make_curve(), baselines=make_curve()), ["'baselines'", "'name', 'kind'"]),
        (lambda: rl.plot_frontier(make_curve(), baselines=make_baselines(2).assign(kind="m")), ["'m'", "'oracle'"]),
        (lambda: rl.plot_frontier(make_curve(), chosen=(0.78, 0.002)), ["'chosen'", "in this order"]),
        (lambda: rl.plot_frontier(make_curve(), chosen="best"), ["'chosen'", "str"]),
        (lambda: rl.plot_frontier(make_curve(), per=0), ["'per'", "0"]),
        (lambda: rl.plot_frontier(make_curve(), ax=np.array([1, 2])), ["'ax'", "ndarray"]),
        (lambda: rl.plot_ratings(make_curve()), ["'ratings'", "'model', 'rating'", "rate("]),
        (lambda: rl.plot_ratings(make_ratings(1, 3).assign(ci_low=60.0, ci_high=60.0)), ["enclose", "half width"]),
        (lambda: rl.plot_ratings(make_ratings(1, 3).assign(rating=np.inf)), ["'rating'", "inf"]),
        (lambda: rl.plot_ratings(pd.concat([make_ratings(1, 2)] * 2)), ["more than once", "'gpt-4'"]),
        (lambda: rl.plot_model_share(make_shares(1, 3).assign(share=40.0)), ["'share'", "percent"]),
        (lambda: rl.plot_model_share(make_shares(1, 3).iloc[1:]), ["'share'", "adds up"]),
        (lambda: rl.plot_model_share(make_shares(2, 3), intent="poetry"), ["'poetry'", "'some_intent_0'"]),
        (lambda: rl.plot_model_share(make_shares(2, 3), willingness_to_pay=99.0), ["99.0", "It has"]),
        (lambda: rl.plot_embedding_map(_frame(a=[1.0])), ["'points'", "'x', 'y'", "PCA"]),
        (lambda: rl.plot_embedding_map(make_points(2)[0], list("ab")), ["'labels'", "list"]),
        (
            lambda: rl.plot_embedding_map(make_points(2)[0], make_points(2)[1].iloc[5:]),
            ["'labels'", "'p0'", "prompt_id"],
        ),
        (lambda: rl.plot_embedding_map(make_points(2)[0], pd.concat([make_points(2)[1]] * 2)), ["'labels'", "'p0'"]),
        (lambda: rl.plot_embedding_map(*make_points(3), highlight="poetry"), ["'highlight'", "'poetry'"]),
        (
            lambda: rl.plot_embedding_map(*make_points(20), highlight=[f"some_intent_{i}" for i in range(13)]),
            ["13", "12"],
        ),
        (lambda: rl.plot_savings(make_curve()), ["'savings'", "DataFrame", "savings(choices"]),
        (lambda: rl.plot_savings({}), ["'savings'", "empty"]),
        (lambda: rl.plot_savings(make_savings(), ax=[1]), ["'ax'", "two Axes"]),
    ],
)
def test_mistakes_are_named_with_a_remedy_and_leave_no_figure(call: Callable[[], Any], words: list[str]) -> None:
    with pytest.raises(rl.TableError) as error:
        call()
    for word in words:
        assert word in str(error.value)
    assert plt.get_fignums() == []


def test_public_names() -> None:
    assert all(callable(getattr(rl.plotting, name)) for name in rl.plotting.__all__)
