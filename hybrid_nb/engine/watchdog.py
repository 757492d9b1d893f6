"""Time limits for one attempt at the price of a clock read a chunk.

All watchdogs of a loop share one timer, which is moved on only when it rings: most attempts end long before their
limits, and a timer of its own for each costs more than all else that is done here.
"""

from __future__ import annotations

import asyncio
import math
from types import TracebackType
from typing import Self
from weakref import WeakKeyDictionary

from hybrid_nb.core.errors import ProviderTimeoutError


class Alarm:
    """The timer of one loop. It is late for nobody: it rings at the earliest limit, and then looks at all."""

    __slots__ = ("_timer", "dogs", "rings")

    def __init__(self) -> None:
        self.dogs: set[Watchdog] = set()
        self.rings = math.inf  # loop time
        self._timer: asyncio.TimerHandle | None = None

    def ring_at(self, when: float) -> None:
        """Ring at this loop time, and no more at another; inf: not at all."""
        if self._timer is not None:
            self._timer.cancel()
        self.rings = when
        self._timer = None if when == math.inf else asyncio.get_running_loop().call_at(when, self._ring)

    def _ring(self) -> None:
        now = asyncio.get_running_loop().time()
        self.ring_at(min([dog.look(now) for dog in self.dogs], default=math.inf))


_alarms: WeakKeyDictionary[asyncio.AbstractEventLoop, Alarm] = WeakKeyDictionary()


class Watchdog:
    """A context in which the current task is cancelled, and ProviderTimeoutError raised, when a limit passes.

    `deadline` (loop time) bounds everything; `expect` adds a limit from now on, which `alive` starts afresh;
    `give_up` ends it at once with an error of its own.
    """

    __slots__ = ("_alarm", "_due", "_fired", "_loop", "_task", "_what", "deadline", "patience")

    def __init__(self, deadline: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._task: asyncio.Task[object] | None = None
        self._alarm: Alarm | None = None
        self._fired: Exception | None = None
        self._due = deadline
        self._what = ""
        self.deadline = deadline
        self.patience: float | None = None

    def expect(self, patience: float, what: str) -> None:
        """Something must come within so many seconds; `what` says what was missed, with {} for the seconds."""
        self.patience, self._what = patience, what
        self._due = self._loop.time() + patience
        if self._alarm is not None and self._due < self._alarm.rings:
            self._alarm.ring_at(self._due)

    def alive(self) -> None:
        """Something came."""
        if self.patience is not None:
            self._due = self._loop.time() + self.patience

    def give_up(self, error: Exception) -> None:
        """End what the context runs, from outside of its task; it raises `error`."""
        if self._fired is None:
            self._fired = error
            if self._task is not None:
                self._task.cancel()

    def __enter__(self) -> Self:
        self._task = asyncio.current_task()
        alarm = _alarms.get(self._loop)
        self._alarm = alarm = _alarms.setdefault(self._loop, Alarm()) if alarm is None else alarm
        alarm.dogs.add(self)
        first = min(self._due, self.deadline)
        if first < alarm.rings:
            alarm.ring_at(first)
        return self

    def look(self, now: float) -> float:
        """Give up when a limit has passed; returns the loop time of the next one, inf when there is none."""
        if now >= self.deadline:
            self.give_up(ProviderTimeoutError("no complete answer before the total timeout"))
        elif now >= self._due and self.patience is not None:
            self.give_up(ProviderTimeoutError(self._what.format(self.patience)))
        return min(self._due, self.deadline) if self._fired is None else math.inf

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._alarm is not None:
            self._alarm.dogs.discard(self)
            if not self._alarm.dogs:
                self._alarm.ring_at(math.inf)
        if self._fired is None:
            return
        # someone else's cancellation, which came as well, still counts
        if self._task is not None and self._task.uncancel() == 0 and kind in (asyncio.CancelledError, None):
            raise self._fired from None
