"""Asking for many answers with a window of calls under way: what is made ahead is no more than the window.

Prompts are made and results are taken in the caller's thread, calls run on the portal. An interrupt cancels what is
under way, waits until that has been told to the ledger, and is raised again.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import queue
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from decimal import Decimal
from typing import TYPE_CHECKING, NamedTuple

from hybrid_nb.core.errors import HybridNbError
from hybrid_nb.core.purse import PURSE, MaxCostReachedError
from hybrid_nb.core.types import Attempt, Reply, Request
from hybrid_nb.ledger.mapped import KEEP, Keep, Mapped
from hybrid_nb.ledger.purse import LedgerPurse
from hybrid_nb.mapping.columns import Result
from hybrid_nb.mapping.job import Job
from hybrid_nb.mapping.stopping import Outage, Streak, line, out_of_money, told
from hybrid_nb.portal import Job as Handle
from hybrid_nb.portal import portal

if TYPE_CHECKING:
    from hybrid_nb.router import Router

SLICE = 0.2  # seconds between looks at the clock while nothing ends
PARTING = 5.0  # seconds that cancelled calls have to tell the ledger

Item = tuple[int, Request, bytes]  # its number, the request and its key


class Ended(NamedTuple):
    """A call that ended. `error` is what it raised; None where an answer came."""

    number: int
    result: Result
    error: BaseException | None = None


class Stopped(NamedTuple):
    """Why nothing more was asked; `error` where that is to be raised."""

    reason: str
    error: Exception | None = None


class Asking:
    """Asks for the answers of one map, or of one part of it."""

    def __init__(
        self,
        router: Router,
        job: Job,
        concurrency: int,
        purse: LedgerPurse | None = None,
        room: asyncio.Semaphore | None = None,
        stopped: Callable[[], str | None] = lambda: None,
        since: float = 0.0,
        notice: Callable[[str], None] | None = None,
    ) -> None:
        """`room` is shared by several that work at once, `stopped` tells why somebody else has stopped this, `since` is
        the unix time from which on answers count, `notice` is told what the person should know meanwhile.
        """
        self._router, self._job, self._purse, self._room = router, job, purse, room
        self._concurrency, self._told = concurrency, stopped
        self._again: deque[Item] = deque()  # refused only because others held the money, or all were shut
        self._outage, self._notice = Outage(), notice
        self._streak = Streak(lambda: Mapped(router._ledger).any(job.id, since))
        self._ended: queue.SimpleQueue[int] = queue.SimpleQueue()
        self._under_way: dict[int, tuple[Item, Handle[Reply]]] = {}
        self.stopped: Stopped | None = None

    def run(
        self, items: Iterable[Item], took: Callable[[Ended], None], tick: Callable[[], None] = lambda: None
    ) -> None:
        """Ask for all of them, and hand over each outcome; `tick` is called now and then. `stopped` says why it ended
        early, if it did. What `took` raises ends it too.
        """
        left = iter(items)
        try:
            while self._begin(left):
                try:
                    number = self._ended.get(timeout=SLICE)
                except queue.Empty:
                    tick()
                    continue
                self._end(number, took)
        except BaseException:
            self._cancel()
            raise

    def _begin(self, left: Iterator[Item]) -> bool:
        """Fill the window; False when nothing is under way any more, nor waits."""
        if self.stopped is None and (reason := self._told()) is not None:
            self.stopped = Stopped(reason)
        while self.stopped is None and not self._waits() and len(self._under_way) < self._concurrency:
            item = self._again.popleft() if self._again else next(left, None)
            if item is None:
                break
            handle = portal().submit(self._one(item))
            self._under_way[item[0]] = (item, handle)
            if not handle.when_done(lambda number=item[0]: self._ended.put(number)):  # type: ignore[misc]
                self._ended.put(item[0])
        return bool(self._under_way) or (self.stopped is None and self._waits())

    def _waits(self) -> bool:
        """Whether there are rows to ask again, and nobody to ask now."""
        return bool(self._again) and time.time() < self._outage.until

    def _end(self, number: int, took: Callable[[Ended], None]) -> None:
        item, handle = self._under_way.pop(number)
        try:
            reply = handle.result()
        except concurrent.futures.CancelledError:
            raise
        except Exception as error:  # whatever it is, it is this row's
            self._failed(item, error, took)
        else:
            self._streak.well()
            self._outage.well()
            took(Ended(number, self._job.result(reply)))

    def _failed(self, item: Item, error: Exception, took: Callable[[Ended], None]) -> None:
        if isinstance(error, MaxCostReachedError) and not error.final:
            self._again.append(item)  # others held the money for all of the call's time
            return
        now, known = time.time(), self._outage.until
        if self._outage.refused(error, now):
            self._again.append(item)
            if known < now and self._notice is not None:
                self._notice(f"waits {self._outage.until - now:.0f} s: {error}")
            return
        if out_of_money(error):
            self.stopped = self.stopped or Stopped(str(error))
            return
        took(Ended(item[0], Result(None, None, spent(error), line(error)), error))
        if self._streak.failed(error) and self.stopped is None:
            last = self._streak.last
            said = told(error, f"before that: {line(last)}") if last is not None and last is not error else error
            self.stopped = Stopped(line(said), said)

    async def _one(self, item: Item) -> Reply:
        if self._room is None:
            return await self._asked(item)
        async with self._room:
            return await self._asked(item)

    async def _asked(self, item: Item) -> Reply:
        _, request, key = item
        keep = Keep(self._job.id, key, self._job.well)
        KEEP.set(keep)
        PURSE.set(self._purse)
        began = time.time()
        reply = await self._router._run(self._router._ready(request, self._job.named), None)
        if reply.cost_source == "cache":  # it came from the cache, past the engine's own writing
            kept = keep.write(reply, began)
            if kept is not None:
                await self._router._ledger.transact(kept)
        return reply

    def _cancel(self) -> None:
        """End what is under way, and wait until that is noted."""
        handles = [handle for _, handle in self._under_way.values()]
        for handle in handles:
            handle.cancel()
        give_up = time.monotonic() + PARTING
        while any(not handle.done for handle in handles) and time.monotonic() < give_up:
            with contextlib.suppress(queue.Empty):
                self._ended.get(timeout=SLICE)


def spent(error: BaseException) -> float | None:
    """Dollars that a failed call cost; None where nobody knows."""
    attempts: tuple[Attempt, ...] = tuple(getattr(error, "attempts", ())) if isinstance(error, HybridNbError) else ()
    costs = [attempt.cost for attempt in attempts]
    if any(cost is None for cost in costs):
        return None
    return float(sum((cost for cost in costs if cost is not None), Decimal(0)))
