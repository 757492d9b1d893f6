"""What a picture shows, without a word on how it is drawn. Pure: no plotting package is needed to say it.

A chart has two axes, marks, and the words that a reader needs who does not see it. None is unknown, and is not drawn.
`tone` names the looks of a mark (colour, shape and dash go together); marks of one tone belong together; no tone is
the colour of the text.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Unit = Literal["", "usd", "s", "share", "count"]
Scale = Literal["linear", "log", "time"]
Values = tuple[float | None, ...]


@dataclass(frozen=True, slots=True)
class Axis:
    """One axis.

    Attributes:
        label: what it measures, without its unit.
        unit: how values are written: dollars, seconds, a share of 1 (as percent), whole numbers, or plain.
        scale: "time" is unix seconds, shown in UTC.
        ticks: (place, name) where the places have names; empty: round values.
        low, high: what must be seen besides the marks.
        down: values grow downwards.
    """

    label: str
    unit: Unit = ""
    scale: Scale = "linear"
    ticks: tuple[tuple[float, str], ...] = ()
    low: float | None = None
    high: float | None = None
    down: bool = False


@dataclass(frozen=True, slots=True)
class Points:
    """Points with intervals both ways where they are known, and a name beside each that has one."""

    name: str
    x: Values
    y: Values
    x_low: Values = ()
    x_high: Values = ()
    y_low: Values = ()
    y_high: Values = ()
    labels: tuple[str, ...] = ()
    tone: int | None = None
    cross: bool = False  # drawn as an x: something went wrong there

    def __post_init__(self) -> None:
        _same(self, "x", "y")
        _same(self, "x", "x_low", "x_high", "y_low", "y_high", "labels")


@dataclass(frozen=True, slots=True)
class Line:
    """A line; `steps` holds each value until the next. `low` and `high` are a band around it; `label` stands at its
    end."""

    name: str
    x: Values
    y: Values
    steps: bool = False
    low: Values = ()
    high: Values = ()
    label: str = ""
    tone: int | None = None
    thin: bool = False  # in the background, dashed

    def __post_init__(self) -> None:
        _same(self, "x", "y")
        _same(self, "x", "low", "high")


@dataclass(frozen=True, slots=True)
class Bars:
    """Bars that stand at whole places; those of one place are stacked or side by side as the chart says."""

    name: str
    x: Values
    y: Values
    tone: int | None = None

    def __post_init__(self) -> None:
        _same(self, "x", "y")


@dataclass(frozen=True, slots=True)
class Spans:
    """Lying bars from start to end, each in its row: the parts of calls on a time-line."""

    name: str
    start: Values
    end: Values
    row: Values
    tone: int | None = None
    faint: bool = False  # hatched, for waiting

    def __post_init__(self) -> None:
        _same(self, "start", "end", "row")


@dataclass(frozen=True, slots=True)
class Grid:
    """A heat map: values[row][column] with what is written in each cell; None is an empty cell."""

    name: str
    values: tuple[Values, ...]
    texts: tuple[tuple[str, ...], ...]
    unit: Unit = ""

    def __post_init__(self) -> None:
        for values, texts in zip(self.values, self.texts, strict=True):
            if len(values) != len(texts):
                raise ValueError(f"{self.name}: {len(values)} values with {len(texts)} texts")

    @property
    def reach(self) -> tuple[float, float]:
        """What the lightest and the darkest colour stand for; a share's are 0 and 1."""
        found = [value for row in self.values for value in row if value is not None]
        low, high = min([0.0, *found]), max([1.0 if self.unit == "share" else 0.0, *found])
        return low, high if high > low else low + 1


@dataclass(frozen=True, slots=True)
class Rule:
    """A straight line over the whole picture, at a value of x or y, with its name."""

    at: float
    along: Literal["x", "y"]
    label: str


Mark = Points | Line | Bars | Spans | Grid | Rule


@dataclass(frozen=True, slots=True)
class Chart:
    """A picture in words and numbers.

    Attributes:
        title: what is seen.
        x, y: the axes.
        marks: what is drawn, the first at the back.
        notes: what a reader must know besides: unknown values, what is left out.
        told: one line on what the picture shows, for those who do not see it.
        bars: how bars of one place stand.
        legend: whether names stand in a list; else they stand beside the marks.
        width, height: in pixels of a page.
    """

    title: str
    x: Axis
    y: Axis
    marks: tuple[Mark, ...]
    notes: tuple[str, ...] = ()
    told: str = ""
    bars: Literal["stacked", "grouped"] = "stacked"
    legend: bool = False
    width: int = 760
    height: int = 440

    @property
    def alt(self) -> str:
        """Everything that is told in words, in one line."""
        said = [self.title, self.told or _axes(self), *self.notes]
        return " ".join(part if part.endswith((".", "?", "!")) else f"{part}." for part in said if part)


def listed(mark: Mark, chart: Chart) -> bool:
    """Whether a mark has a place in the list of names: points on a line of their name have not."""
    lines = {other.name for other in chart.marks if isinstance(other, Line)}
    return not isinstance(mark, Rule | Grid) and not (isinstance(mark, Points) and mark.name in lines)


def blank(chart: Chart) -> bool:
    """Whether nothing is known that could be drawn."""
    return not any(_known_in(mark) for mark in chart.marks)


def _known_in(mark: Mark) -> bool:
    if isinstance(mark, Rule):
        return False
    if isinstance(mark, Grid):
        return any(known(row) for row in mark.values)
    first, second = (mark.start, mark.end) if isinstance(mark, Spans) else (mark.x, mark.y)
    return any(a is not None and b is not None for a, b in zip(first, second, strict=True))


def alone(mark: Line) -> bool:
    """Whether a line has one point only, which is seen by a marker."""
    return sum(x is not None and y is not None for x, y in zip(mark.x, mark.y, strict=True)) == 1


def values(items: Iterable[Any]) -> Values:
    """Numbers as they are drawn: what is missing, not a number or infinite is None."""
    return tuple(number(item) for item in items)


def number(item: Any) -> float | None:
    """A float, or None for what is unknown (None, NA, NaN, infinite)."""
    try:
        found = float(item)
    except (TypeError, ValueError):  # pandas' NA
        return None
    return found if math.isfinite(found) else None


def known(items: Iterable[float | None]) -> list[float]:
    """What is known of them."""
    return [item for item in items if item is not None]


def named(names: Sequence[str]) -> tuple[tuple[float, str], ...]:
    """Ticks for names at 0, 1, 2 ..."""
    return tuple((float(place), name) for place, name in enumerate(names))


def spread(items: Iterable[float | None], times: float = 20.0) -> Scale:
    """ "log" where all values are above 0 and the largest is so many times the smallest, else "linear"."""
    found = known(items)
    return "log" if found and min(found) > 0 and max(found) / min(found) >= times else "linear"


def _axes(chart: Chart) -> str:
    return f"{chart.y.label} by {chart.x.label}" if chart.x.label and chart.y.label else ""


def _same(mark: Any, first: str, *others: str) -> None:
    length = len(getattr(mark, first))
    for name in others:
        found = len(getattr(mark, name))
        if found != length and (found or first != "x" or name == "y"):
            raise ValueError(f"{type(mark).__name__} {mark.name!r}: {length} values of {first} with {found} of {name}")
