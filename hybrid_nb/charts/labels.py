"""Where the names of points stand, so that none covers another name or a point. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

LETTER, HIGH, GAP = 6.4, 14.0, 9.0  # pixels: a letter's width, a line's height, from a point to its name
SIDES = ((1, 0.6), (-1, 0.6), (1, -0.6), (-1, -0.6), (0, 1), (0, -1), (0, 2.1), (0, -2.1), (1, 1.7), (-1, -1.7))


class Place(NamedTuple):
    """Pixels from a point to its name (y upwards), and which end of the name is there: -1 its left, 1 its right."""

    x: float
    y: float
    anchor: int


class Box(NamedTuple):
    left: float
    bottom: float
    right: float
    top: float

    def overlap(self, other: Box) -> float:
        wide = min(self.right, other.right) - max(self.left, other.left)
        high = min(self.top, other.top) - max(self.bottom, other.bottom)
        return wide * high if wide > 0 and high > 0 else 0.0


def places(
    points: Sequence[tuple[float, float, str]],
    width: float,
    height: float,
    full: Sequence[Box] = (),
    sides: Sequence[tuple[int, float]] = SIDES,
) -> list[Place]:
    """A place for each name of (x, y, name), in pixels of an area of this size; y is upwards. `full` is where something
    else is drawn, `sides` are those that can be had: across (-1, 0, 1) and up, in lines."""
    taken = [*full, *(Box(x - 6, y - 6, x + 6, y + 6) for x, y, _ in points)]
    found = []
    for x, y, name in points:
        area = Box(0, 0, width, height)
        options = [_option(x, y, name, side) for side in sides]
        costs = [_cost(box, taken, area) + number * 0.01 for number, (_, box) in enumerate(options)]
        place, box = options[costs.index(min(costs))]
        taken.append(box)
        found.append(place)
    return found


def _option(x: float, y: float, name: str, side: tuple[float, float]) -> tuple[Place, Box]:
    across, up = side
    wide = len(name) * LETTER
    dx, dy = across * GAP, up * HIGH
    left = x + dx if across > 0 else x + dx - wide if across < 0 else x - wide / 2
    return Place(dx, dy, -int(across)), Box(left, y + dy - HIGH / 2, left + wide, y + dy + HIGH / 2)


def _cost(box: Box, taken: Sequence[Box], area: Box) -> float:
    """Square pixels that are covered twice or lie outside."""
    size = (box.right - box.left) * (box.top - box.bottom)
    return sum(box.overlap(other) for other in taken) + (size - box.overlap(area)) * 3


def ends(heights: Sequence[float], gap: float = HIGH) -> list[float]:
    """Names at the ends of lines, moved apart as little as is needed; in the order that they were given."""
    order = sorted(range(len(heights)), key=lambda index: heights[index])
    groups: list[list[float]] = []  # [middle, number of names], from below
    for index in order:
        groups.append([heights[index], 1])
        while len(groups) > 1 and groups[-1][0] - groups[-2][0] < (groups[-1][1] + groups[-2][1]) / 2 * gap:
            middle, count = groups.pop()
            other, more = groups.pop()
            groups.append([(middle * count + other * more) / (count + more), count + more])
    flat = [middle + (n - (count - 1) / 2) * gap for middle, count in groups for n in range(int(count))]
    found = [0.0] * len(heights)
    for index, height in zip(order, flat, strict=True):
        found[index] = height
    return found
