"""The marks of a chart in matplotlib's axes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Any

from hybrid_nb.charts import labels, look
from hybrid_nb.charts.chart import Axis, Bars, Chart, Grid, Line, Mark, Points, Rule, Spans, Values, alone, listed

SHAPES = {
    "circle": "o", "square": "s", "triangle-up": "^", "diamond": "D", "triangle-down": "v", "cross": "P", "star": "*",
    "hexagon": "h",
}  # fmt: skip
HATCHES = ("", "///", "...", "xxx", "---", "\\\\\\", "|||")
SIZES = {"star": 12.0, "diamond": 7.5}


def draw(axes: Any, chart: Chart) -> None:
    """All marks, the first at the back."""
    for mark in chart.marks:
        _DRAWN[type(mark)](axes, mark, chart)


def _at(values: Values, axis: Axis) -> list[float]:
    days = 86400.0 if axis.scale == "time" else 1.0
    return [float("nan") if value is None else value / days for value in values]


def _points(axes: Any, mark: Points, chart: Chart) -> None:
    x, y = _at(mark.x, chart.x), _at(mark.y, chart.y)
    axes.errorbar(x, y, xerr=_errors(mark.x, mark.x_low, mark.x_high, chart.x), fmt="none",
                  yerr=_errors(mark.y, mark.y_low, mark.y_high, chart.y), ecolor=look.colour(mark.tone),
                  elinewidth=1.5, capsize=3.5, zorder=3)  # fmt: skip
    shape = look.shape(mark.tone)
    kind: dict[str, Any] = {"marker": SHAPES[shape], "markersize": SIZES.get(shape, 8.5), "markeredgecolor": look.INK}
    if mark.cross:
        kind = {"marker": "x", "markersize": 7, "markeredgecolor": look.colour(mark.tone), "markeredgewidth": 2}
    axes.plot(x, y, linestyle="none", color=look.colour(mark.tone), zorder=4,
              label=mark.name if listed(mark, chart) else "_", **kind)  # fmt: skip


def _errors(middle: Values, low: Values, high: Values, axis: Axis) -> list[list[float]] | None:
    if not low or not high:
        return None
    days = 86400.0 if axis.scale == "time" else 1.0
    pairs = [
        (0.0, 0.0) if m is None or a is None or b is None else (max(0.0, m - a) / days, max(0.0, b - m) / days)
        for m, a, b in zip(middle, low, high, strict=True)
    ]
    return [[down for down, _ in pairs], [up for _, up in pairs]]


def _line(axes: Any, mark: Line, chart: Chart) -> None:
    x, kind = _at(mark.x, chart.x), "steps-post" if mark.steps else "default"
    dashes = (4.0, 3.0) if mark.thin else look.dash(mark.tone)
    style = (0, dashes) if dashes else "solid"
    if mark.low:
        low, high = _at(mark.low, chart.y), _at(mark.high, chart.y)
        axes.fill_between(x, low, high, color=look.colour(mark.tone), alpha=0.2, linewidth=0)
    axes.plot(x, _at(mark.y, chart.y), drawstyle=kind, linestyle=style, color=look.colour(mark.tone),
              linewidth=1.2 if mark.thin else 2, marker="o" if alone(mark) else "", label=mark.name)  # fmt: skip


def _bars(axes: Any, mark: Bars, chart: Chart) -> None:
    every = [other for other in chart.marks if isinstance(other, Bars)]
    before = every[: every.index(mark)]
    grouped = chart.bars == "grouped"
    wide = 0.8 / len(every) if grouped else 0.8
    shift = (len(before) - (len(every) - 1) / 2) * wide if grouped else 0.0
    below = [0.0] * len(mark.x) if grouped else [_height(before, place) for place in mark.x]
    tone = mark.tone or 0
    axes.bar([x + shift for x in _at(mark.x, chart.x)], _at(mark.y, chart.y), width=wide, bottom=below,
             color=look.colour(mark.tone), edgecolor=look.INK, linewidth=0.6, label=mark.name,
             hatch=HATCHES[tone % len(HATCHES)])  # fmt: skip


def _height(bars: Sequence[Bars], place: float | None) -> float:
    found = (y for bar in bars for x, y in zip(bar.x, bar.y, strict=True) if x == place)
    return sum(y for y in found if y is not None)


def _spans(axes: Any, mark: Spans, chart: Chart) -> None:
    start, end = _at(mark.start, chart.x), _at(mark.end, chart.x)
    long = [b - a for a, b in zip(start, end, strict=True)]
    thin = len(mark.row) > 60  # so many rows leave no room for an edge
    looks = {"hatch": "////"} if mark.faint else {}
    axes.barh(_at(mark.row, chart.y), long, left=start, height=0.86, color="none" if mark.faint else
              look.colour(mark.tone), edgecolor=look.INK if mark.faint or not thin else "none",
              linewidth=0.4, label=mark.name, **looks)  # fmt: skip


def _grid(axes: Any, mark: Grid, chart: Chart) -> None:
    low, high = mark.reach
    for y, (row, texts) in enumerate(zip(mark.values, mark.texts, strict=True)):
        for x, (value, text) in enumerate(zip(row, texts, strict=True)):
            _cell(axes, (x, y), text, None if value is None else look.shade((value - low) / (high - low)))
    axes.set(xlim=(-0.5, max(1, len(chart.x.ticks)) - 0.5), ylim=(-0.5, max(1, len(chart.y.ticks)) - 0.5))
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)


def _cell(axes: Any, at: tuple[int, int], text: str, shade: str | None) -> None:
    from matplotlib.patches import Rectangle

    empty: dict[str, Any] = {"facecolor": "none", "edgecolor": look.FAINT, "linestyle": ":"}
    looks = empty if shade is None else {"facecolor": shade, "edgecolor": look.PAPER}
    axes.add_patch(Rectangle((at[0] - 0.5, at[1] - 0.5), 1, 1, linewidth=1, **looks))
    words = look.INK if shade is None else look.on(shade)
    axes.text(*at, text, ha="center", va="center", fontsize=11, color=words)


def _rule(axes: Any, mark: Rule, chart: Chart) -> None:
    axis = chart.x if mark.along == "x" else chart.y
    straight = axes.axvline if mark.along == "x" else axes.axhline
    straight(_at((mark.at,), axis)[0], color=look.INK, linewidth=1, linestyle=(0, (5, 3)), zorder=2)


_DRAWN: dict[type[Mark], Callable[[Any, Any, Chart], None]] = {
    Points: _points, Line: _line, Bars: _bars, Spans: _spans, Grid: _grid, Rule: _rule,
}  # fmt: skip


def name_points(axes: Any, chart: Chart) -> None:
    """The names of points, beside them and not over each other, nor over lines where there is room."""
    marks = [mark for mark in chart.marks if isinstance(mark, Points)]
    told = [(x, y, look.shortened(name, 40)) for mark in marks if mark.labels
            for x, y, name in zip(mark.x, mark.y, mark.labels, strict=True)
            if x is not None and y is not None and name]  # fmt: skip
    box = axes.get_window_extent()
    pixels = axes.transData.transform([(x, y) for x, y, _ in told]) if told else []
    inside = [(px - box.x0, py - box.y0, name) for (px, py), (_, _, name) in zip(pixels, told, strict=True)]
    sides = {-1: "left", 0: "center", 1: "right"}
    full = [labels.Box(*area) for mark in marks for area in _intervals(axes, mark, box)]
    full += [area for mark in chart.marks if isinstance(mark, Line) for area in _along(axes, mark, box)]
    for (x, y, name), place in zip(told, labels.places(inside, box.width, box.height, full), strict=True):
        axes.annotate(name, (x, y), xytext=(place.x, place.y), textcoords="offset points", ha=sides[place.anchor],
                      va="center", fontsize=11, in_layout=False, zorder=5)  # fmt: skip


def _intervals(axes: Any, mark: Points, box: Any) -> Iterator[tuple[float, float, float, float]]:
    """Where the intervals are drawn: left, bottom, right, top in pixels."""
    nothing = (None,) * len(mark.x)
    ends = (mark.x_low or nothing, mark.x_high or nothing, mark.y_low or nothing, mark.y_high or nothing)
    for x, y, x_low, x_high, y_low, y_high in zip(mark.x, mark.y, *ends, strict=True):
        if x is None or y is None:
            continue
        for low, high in (((x_low, y), (x_high, y)), ((x, y_low), (x, y_high))):
            if None not in (*low, *high):
                (left, bottom), (right, top) = axes.transData.transform([low, high])
                yield left - box.x0 - 2, bottom - box.y0 - 2, right - box.x0 + 2, top - box.y0 + 2


def _along(axes: Any, mark: Line, box: Any) -> list[labels.Box]:
    """Where a line runs, as a box for each of its parts."""
    pairs = [(x, y) for x, y in zip(mark.x, mark.y, strict=True) if x is not None and y is not None]
    pixels = [(x - box.x0, y - box.y0) for x, y in axes.transData.transform(pairs)] if pairs else []
    return [labels.Box(min(a[0], b[0]) - 1, min(a[1], b[1]) - 1, max(a[0], b[0]) + 1, max(a[1], b[1]) + 1)
            for a, b in pairwise(pixels)]  # fmt: skip


def name_ends(axes: Any, marks: Sequence[Line]) -> None:
    """The names of lines, right of their ends."""
    last = [_last(mark) for mark in marks]
    days = [place / 86400 if _in_days(axes) else place for place, _ in last]
    heights = [float(axes.transData.transform((x, y))[1]) for x, (_, y) in zip(days, last, strict=True)]
    for mark, x, (_, y), at, moved in zip(marks, days, last, heights, labels.ends(heights), strict=True):
        axes.annotate(look.shortened(mark.label, 36), (x, y), xytext=(7, moved - at), textcoords="offset points",
                      va="center", fontsize=11)  # fmt: skip


def _in_days(axes: Any) -> bool:
    return "Date" in type(axes.xaxis.get_major_locator()).__name__


def _last(mark: Line) -> tuple[float, float]:
    found = [(x, y) for x, y in zip(mark.x, mark.y, strict=True) if x is not None and y is not None]
    return found[-1] if found else (0.0, 0.0)
