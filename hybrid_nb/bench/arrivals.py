"""When an open loop begins its calls: pure schedules of absolute times, which no slow answer moves.

constant  evenly, 1 / rate apart
poisson   exponential gaps of mean 1 / rate, as of independent users
ramp      evenly more (or less): the rate goes from the first to the second in a straight line
sweep     one rate after the other, each a stage
trace     given times
"""

from __future__ import annotations

from typing import NamedTuple


class Slot(NamedTuple):
    """When a call is due, in seconds from the start, with its stage and that one's requests a second."""

    at: float
    stage: int = 0
    rate: float | None = None
