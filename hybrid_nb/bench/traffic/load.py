"""Runs the calls of a benchmark on the portal's loop: a closed loop of so many at once, or an open one by a schedule.

It knows no router: it is given a function that asks. Times are those of the loop's own monotonic clock.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from hybrid_nb.bench.records import Call
from hybrid_nb.bench.traffic import heap, outcome
from hybrid_nb.bench.traffic.arrivals import Slot
from hybrid_nb.bench.traffic.lag import Lag
from hybrid_nb.bench.traffic.order import Task
from hybrid_nb.bench.traffic.spending import NOTHING, Paid
from hybrid_nb.bench.traffic.till import Till
from hybrid_nb.core.errors import BudgetExceededError
from hybrid_nb.core.tracing import Trace, traced
from hybrid_nb.core.types import Reply

Ask = Callable[[Task], Coroutine[Any, Any, Reply]]
Most = Callable[[Task], Decimal]


@dataclass
class Work:
    """What is to be run.

    Attributes:
        tasks: the calls in their order; may be without end where `slots` or `duration` end it.
        ask: asks one; runs with its trace set.
        keep: is told each call that has ended, at once, and what counts as spent for it.
        concurrency: calls at once: of a closed loop, or the cap of an open one (None: none).
        slots: when an open loop begins each; None: a closed loop.
        duration: seconds for which a closed loop begins measured calls; None: until the tasks end.
        most: dollars that a call costs at most. timeout: seconds that a call has in all.
        offset: seconds of the run that are over, when it is resumed. endless: the tasks have no end of their own.
    """

    tasks: Iterator[Task]
    ask: Ask
    keep: Callable[[Call, Decimal], None]
    concurrency: int | None = 4
    slots: Iterator[Slot] | None = None
    duration: float | None = None
    most: Most | None = None
    timeout: float | None = None
    offset: float = 0.0
    endless: bool = False


class Load:
    """One run of calls under way. Belongs to the portal's loop."""

    def __init__(self, work: Work, till: Till) -> None:
        self.work = work
        self.till = till
        self.stopped: str | None = None
        self.in_flight = 0
        self.capped = 0  # calls of an open loop that had to wait for its cap
        self.lag = Lag()
        self._clock: Callable[[], float] = time.monotonic
        self._origin = 0.0
        self._until: float | None = None
        self._cap: asyncio.Semaphore | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._begun: dict[str, Call] = {}  # rows that have not ended

    def is_over(self) -> bool:
        """Whether no more calls are begun."""
        return self.stopped is not None

    @property
    def now(self) -> float:
        """Seconds since the run's start."""
        return self._clock() - self._origin

    @property
    def start(self) -> float | None:
        """The clock at the run's start; None when it began earlier, in another process."""
        return None if self.work.offset else self._origin

    async def run(self) -> None:
        """All calls, until they end or are stopped."""
        loop = asyncio.get_running_loop()
        # without asyncio's own wrapping around it, unless the loop has a clock of its own
        self._clock = time.monotonic if type(loop).time is asyncio.BaseEventLoop.time else loop.time
        self._origin = self._clock() - self.work.offset
        lagging = loop.create_task(self.lag.watch(self._clock))
        try:
            with heap.settled():
                async with asyncio.TaskGroup() as group:
                    self._begin(group)
        finally:
            lagging.cancel()
        self._skip_rest()

    def _begin(self, group: asyncio.TaskGroup) -> None:
        slots, concurrency = self.work.slots, self.work.concurrency
        if slots is None:
            for _ in range(concurrency or 1):
                self._start(group, self._worker())
        else:
            self._cap = None if concurrency is None else asyncio.Semaphore(concurrency)
            self._start(group, self._scheduler(group, slots))

    def _start(self, group: asyncio.TaskGroup, work: Coroutine[Any, Any, None]) -> None:
        task = group.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        if self.stopped is not None:
            task.cancel()

    def stop(self, reason: str) -> None:
        """End it now: calls under way are cancelled."""
        self.close(reason)
        for task in list(self._tasks):
            task.cancel()

    def close(self, reason: str) -> None:
        """Begin no more calls; those under way are finished."""
        self.stopped = self.stopped or reason

    def _skip_rest(self) -> None:
        """Rows of what was not asked, as far as there is an end of it."""
        for call in list(self._begun.values()):
            outcome.skipped(call, self.stopped or "the run ended")
            self._ended(call)
        if self.stopped is None or self.work.endless:
            return
        for task in self.work.tasks:
            call = outcome.blank(task)
            outcome.skipped(call, self.stopped)
            self.work.keep(call, NOTHING)

    # --- when -------------------------------------------------------------------------------------------------

    async def _worker(self) -> None:
        """A slot of a closed loop: call after call, from the warm-up into what is measured without a pause."""
        while (task := self._next()) is not None:
            await self._one(task, self._row(task, self.now))

    def _next(self) -> Task | None:
        if self.stopped is not None:
            return None
        if self._until is not None and self.now >= self._until:
            return None
        task = next(self.work.tasks, None)
        if task is not None and task.phase == "measured" and self.work.duration is not None and self._until is None:
            self._until = self.now + self.work.duration
        return task

    async def _scheduler(self, group: asyncio.TaskGroup, slots: Iterator[Slot]) -> None:
        """Begins each call of an open loop when it is due, whatever became of those before."""
        start = self.work.offset
        for slot in slots:
            due = start + slot.at
            await asyncio.sleep(max(0.0, due - self.now))
            task = self._next()
            if task is None:
                return
            self._start(group, self._one(task, self._row(task, due, slot)))

    def _row(self, task: Task, due: float, slot: Slot | None = None) -> Call:
        call = outcome.blank(task) if slot is None else outcome.blank(task, slot.stage, slot.rate)
        call.due_at = due
        self._begun[call.key] = call
        return call

    # --- one call ---------------------------------------------------------------------------------------------

    async def _one(self, task: Task, call: Call) -> None:
        call.started_at = self.now
        if self._cap is None:
            await self._within(task, call)
            return
        self.capped += self._cap.locked()
        async with self._cap:
            await self._within(task, call)

    async def _within(self, task: Task, call: Call) -> None:
        if not await self._may(task, call):
            outcome.skipped(call, f"{self.stopped}: not asked")
            self._ended(call)
            return
        self.in_flight += 1
        call.in_flight = self.in_flight
        await self._asked(task, call, Trace())

    async def _may(self, task: Task, call: Call) -> bool:
        """Whether there is money for a call; it is held then."""
        if self.is_over():
            return False
        if not await self.till.hold(call.key, NOTHING if self.work.most is None else self.work.most(task)):
            self.close("budget")
            return False
        if self.is_over():  # while this one waited
            self.till.settle(call.key, Paid())
            return False
        return True

    async def _asked(self, task: Task, call: Call, trace: Trace) -> None:
        paid = Paid()
        try:
            reply = await traced(trace, self.work.ask, task)
            paid = outcome.answered(call, reply, trace, self._time())
        except asyncio.CancelledError:
            paid = outcome.cancelled(call, self.stopped or "stopped", trace, self._time())
            raise
        except BudgetExceededError as error:  # the router's own limit
            self.close("budget")
            paid = outcome.failed(call, error, trace, self._time())
            outcome.skipped(call, f"budget: {error}")
        except Exception as error:  # whatever it is, it is this call's row and not the end of the others
            paid = outcome.failed(call, error, trace, self._time(), self.work.timeout)
        finally:
            self.in_flight -= 1
            self._ended(call, self.till.settle(call.key, paid))

    def _ended(self, call: Call, spent: Decimal = NOTHING) -> None:
        self._begun.pop(call.key, None)
        self.work.keep(call, spent)

    def _time(self) -> outcome.Timeline:
        return outcome.Timeline(self._clock(), self._origin)
