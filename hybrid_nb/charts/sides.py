"""On which side of its point a name stands in plotly, which knows eight sides and no pixels. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

from hybrid_nb.charts import labels
from hybrid_nb.charts.chart import Axis, Bars, Chart, Line, Points, Rule, known

SIDES = ((1, 0.6), (-1, 0.6), (1, -0.6), (-1, -0.6), (0, 1), (0, -1), (1, 0), (-1, 0))
AROUND, ROOM = 130, 140  # pixels beside and above the area of a chart
LISTED = 50  # pixels of a legend beside its names
ACROSS = {-1: "right", 0: "center", 1: "left"}


class Scale(NamedTuple):
    """From values to pixels of the area, about as plotly chooses them."""

    low: float
    high: float
    size: float
    log: bool

    def at(self, value: float) -> float:
        share = (_scaled(value, self.log) - self.low) / (self.high - self.low) if self.high > self.low else 0.5
        return (share * 0.9 + 0.05) * self.size


def sides(chart: Chart) -> dict[int, list[str]]:
    """plotly's textposition for each name of the points, by the mark's id."""
    marks = [mark for mark in chart.marks if isinstance(mark, Points)]
    across, up = _scale(chart, "x"), _scale(chart, "y")
    told = [(mark, n, across.at(x), up.at(y)) for mark in marks for n, (x, y, name)
            in enumerate(zip(mark.x, mark.y, mark.labels or ("",) * len(mark.x), strict=True))
            if name and x is not None and y is not None]  # fmt: skip
    points = [(x, y, mark.labels[n]) for mark, n, x, y in told]
    found = labels.places(points, across.size, up.size, _full(chart, across, up), SIDES)
    given = {id(mark): ["top right"] * len(mark.labels) for mark in marks}
    for (mark, n, _, _), place in zip(told, found, strict=True):
        given[id(mark)][n] = f"{_upright(place.y)} {ACROSS[place.anchor]}"
    return given


def reach(chart: Chart, along: Literal["x", "y"]) -> list[float]:
    """Every known value along an axis, intervals too."""
    names = ("x", "x_low", "x_high") if along == "x" else ("y", "y_low", "y_high", "low", "high")
    return known(value for mark in chart.marks for name in names
                 if isinstance(mark, Points | Line | Bars) for value in getattr(mark, name, ()))  # fmt: skip


def _upright(y: float) -> str:
    return "top" if y > 0 else "bottom" if y < 0 else "middle"


def _scaled(value: float, log: bool) -> float:
    return math.log10(value) if log and value > 0 else value


def _scale(chart: Chart, along: Literal["x", "y"]) -> Scale:
    axis: Axis = getattr(chart, along)
    log = axis.scale == "log"
    ends = [value for value in (*reach(chart, along), *_given(axis)) if value > 0 or not log]
    places = [_scaled(value, log) for value in ends] or [0.0]
    return Scale(min(places), max(places), _room(chart) if along == "x" else chart.height - ROOM, log)


def _given(axis: Axis) -> list[float]:
    return known((axis.low, axis.high)) if axis.scale == "linear" else []


def _room(chart: Chart) -> float:
    """The area's width, beside the names that stand in a list."""
    names = [mark.label or mark.name for mark in chart.marks if isinstance(mark, Line) and (mark.label or chart.legend)]
    names += [mark.name for mark in chart.marks if isinstance(mark, Points | Bars) and chart.legend]
    wide = max(map(len, names)) * labels.LETTER + LISTED if names else 0.0
    return max(100.0, chart.width - AROUND - wide)


def _full(chart: Chart, across: Scale, up: Scale) -> Sequence[labels.Box]:
    """Where intervals and the names of straight lines are drawn."""
    boxes = [box for mark in chart.marks if isinstance(mark, Points) for box in _intervals(mark, across, up)]
    for rule in chart.marks:
        if isinstance(rule, Rule) and rule.along == "y":
            at = up.at(rule.at)
            boxes.append(labels.Box(0, at, len(rule.label) * labels.LETTER, at + labels.HIGH))
    return boxes


def _intervals(mark: Points, across: Scale, up: Scale) -> Iterable[labels.Box]:
    nothing = (None,) * len(mark.x)
    ends = (mark.x_low or nothing, mark.x_high or nothing, mark.y_low or nothing, mark.y_high or nothing)
    for x, y, left, right, low, high in zip(mark.x, mark.y, *ends, strict=True):
        if x is None or y is None:
            continue
        if left is not None and right is not None:
            yield labels.Box(across.at(left), up.at(y) - 2, across.at(right), up.at(y) + 2)
        if low is not None and high is not None:
            yield labels.Box(across.at(x) - 2, up.at(low), across.at(x) + 2, up.at(high))
