"""When an open loop begins its calls: pure schedules of absolute times, which no slow answer moves.

constant  evenly, 1 / rate apart
poisson   with exponential gaps of mean 1 / rate, as of users who do not know of each other
ramp      the rate goes from the first to the second in a straight line; its tenths are its stages
sweep     a list of rates: one after the other, each a stage, its arrivals constant or poisson
trace     at given times
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterator, Sequence
from typing import NamedTuple

TENTHS = 10  # stages of a ramp


class Slot(NamedTuple):
    """When a call is due, in seconds from the start, with its stage and that one's requests a second."""

    at: float
    stage: int = 0
    rate: float | None = None


class Extent(NamedTuple):
    """How much is measured: so many calls (None: as many as fit), or seconds (of each stage of a sweep).

    `warmup` calls come before it, at the first rate.
    """

    calls: int | None
    seconds: float | None = None
    warmup: int = 0


def sweep(rates: Sequence[float], extent: Extent, constant: bool, seed: int) -> Iterator[Slot]:
    """One or several rates in turn. Without `seconds` the calls are spread evenly over the stages."""
    chance = random.Random(f"{seed}:arrivals")
    begin = 0.0
    for at in itertools.islice(_times(begin, rates[0], constant, chance), extent.warmup):
        yield Slot(at, 0, rates[0])
        begin = at
    begin = extent.warmup / rates[0] if constant else begin
    for stage, rate in enumerate(rates):
        times = _times(begin, rate, constant, chance)
        if extent.seconds is None:
            many = _share(extent.calls or 0, stage, len(rates))
            times, end = itertools.islice(times, many), begin + many / rate
        else:
            end = begin + extent.seconds
            times = itertools.takewhile(lambda at, end=end: at < end, times)  # type: ignore[misc]
        last = begin
        for at in times:
            yield Slot(at, stage, rate)
            last = at
        begin = last if extent.seconds is None and not constant else end


def _times(begin: float, rate: float, constant: bool, chance: random.Random) -> Iterator[float]:
    if constant:
        return (begin + number / rate for number in itertools.count())
    gaps = (chance.expovariate(rate) for _ in itertools.count())
    return itertools.islice(itertools.accumulate(gaps, initial=begin), 1, None)


def _share(calls: int, stage: int, stages: int) -> int:
    """The calls of a stage; those that do not divide go to the first ones."""
    return calls // stages + (stage < calls % stages)


def ramp(first: float, last: float, extent: Extent) -> Iterator[Slot]:
    """A rate that rises or falls evenly, over `seconds` or as long as the calls take."""
    seconds = extent.seconds or 2 * (extent.calls or 0) / (first + last)
    calls = extent.calls if extent.seconds is None else math.ceil(seconds * (first + last) / 2)
    for number in range(extent.warmup):
        yield Slot(number / first, 0, _mean(first, last, 0))
    begin = extent.warmup / first
    slope = (last - first) / seconds if seconds else 0.0
    for number in range(calls or 0):
        at = _when(number, first, slope)
        stage = min(TENTHS - 1, int(TENTHS * at / seconds)) if seconds else 0
        yield Slot(begin + at, stage, _mean(first, last, stage))


def _when(number: float, first: float, slope: float) -> float:
    """When so many have come: first * t + slope * t^2 / 2 = number, solved without cancellation."""
    root = math.sqrt(max(0.0, first * first + 2 * slope * number))
    return 2 * number / (first + root)


def _mean(first: float, last: float, stage: int) -> float:
    return first + (last - first) * (stage + 0.5) / TENTHS


def trace(times: Sequence[float]) -> Iterator[Slot]:
    """At these times; the rate is their mean."""
    spread = times[-1] - times[0]
    rate = (len(times) - 1) / spread if spread > 0 else None
    return (Slot(at, 0, rate) for at in times)


def resumed(slots: Iterator[Slot], over: int) -> Iterator[Slot]:
    """What is left of a schedule when so many of its calls are over; the first of it is due at once."""
    rest = itertools.islice(slots, over, None)
    first = next(rest, None)
    if first is None:
        return
    begin = first.at if over else 0.0
    yield first._replace(at=first.at - begin)
    for slot in rest:
        yield slot._replace(at=slot.at - begin)
