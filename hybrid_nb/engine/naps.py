"""Whether we slept: a closed laptop, a stopped process, a paused machine. Pure; both clocks are passed in.

A beat is planned, and it comes much later than it was due; or the wall clock went on while the loop's clock stood
still, as on Linux and macOS, where the monotonic clock does not count a suspended machine's time (on Windows it does,
and the beat is late). What failed meanwhile says nothing about whom it was asked of. A wall clock that somebody sets
forward looks the same, and does no harm: a few failures are not counted.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

BEAT = 2.0  # seconds between beats while calls are under way
LATE = 5.0  # seconds that a beat may be late on a busy machine
LONG = 30.0  # seconds of a nap after which the network may be gone for a while
WAKING = 10.0  # seconds that it may take to come back


class Nap(NamedTuple):
    """Unix times: of the last beat before it, and of when it was noticed."""

    began: float
    ended: float

    @property
    def over(self) -> float:
        """When failures begin to count again."""
        return self.ended + (WAKING if self.ended - self.began >= LONG else 0.0)


class Naps:
    """The latest naps. `clock` is seconds of the loop's clock, `unix` of the wall's."""

    __slots__ = ("_clock", "_due", "_naps", "_unix")

    def __init__(self) -> None:
        self._naps: deque[Nap] = deque(maxlen=8)
        self._clock = self._unix = self._due = 0.0

    def start(self, clock: float, unix: float, due: float) -> None:
        """Awake now; the next beat is due at `due` on the clock. What lies before is not looked at."""
        self._clock, self._unix, self._due = clock, unix, due

    def look(self, clock: float, unix: float) -> Nap | None:
        """The nap that lies behind, if there is one since the last beat."""
        stood = (unix - self._unix) - (clock - self._clock)
        if clock - self._due <= LATE and stood <= LATE:
            return None
        nap = Nap(self._unix, unix)
        self._naps.append(nap)
        self.start(clock, unix, clock + max(0.0, self._due - self._clock))
        return nap

    def beat(self, clock: float, unix: float, due: float) -> Nap | None:
        """A beat, and when the next one is due; the nap before it, if any."""
        nap = self.look(clock, unix)
        self.start(clock, unix, due)
        return nap

    def spanned(self, since: float, until: float) -> bool:
        """Whether what went on between these unix times (or until later, if the clock stood) met a nap."""
        return any(since <= nap.over and until >= nap.began for nap in self._naps)
