"""A loop with a clock of its own, over real sockets: when nobody has anything to do, time jumps to the next timer.

Servers and engine share the loop's one thread, so that "nothing to do" is known: the selector finds no event, and no
thread works for the loop. A wait of a minute takes a few milliseconds, and every time is what it would have been.
"""

from __future__ import annotations

import asyncio
import contextlib
import selectors
import time
from collections.abc import Iterator
from typing import Any

from hybrid_nb import portal as portal_module
from hybrid_nb.portal import Portal
from hybrid_nb.router import Router

GRACE = 0.002  # real seconds without any event before time may jump
JUMP = 2.0  # seconds at most, so that a long wait ends only after many looks: a late packet is not taken for none


class _Selector(selectors.DefaultSelector):  # type: ignore[name-defined, misc, valid-type]
    """The system's selector, which moves the loop's clock: by jumps, or by the time that was really waited."""

    loop: VirtualLoop

    def select(self, timeout: float | None = None) -> list[Any]:
        loop, started = self.loop, time.monotonic()
        if timeout is None or timeout <= 0 or not loop.jumps:
            found = super().select(timeout)
            loop.now += 0.0 if loop.jumps else time.monotonic() - started
            return found
        found = super().select(GRACE)
        if not found and not loop.threads:
            loop.now += min(timeout, JUMP)
        return found


class VirtualLoop(asyncio.SelectorEventLoop):
    """A loop whose clock stands still while work is done, and jumps while `jumps` is set."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.jumps = False
        self.threads = 0  # at work for this loop
        self._unix = time.time() - self.now
        selector = _Selector()
        selector.loop = self
        super().__init__(selector)

    def time(self) -> float:
        return self.now

    def wall(self) -> float:
        """Unix time on this clock."""
        return self._unix + self.now

    def run_in_executor(self, executor: Any, func: Any, *args: Any) -> asyncio.Future[Any]:
        work = super().run_in_executor(executor, func, *args)
        self.threads += 1
        work.add_done_callback(self._thread_done)
        return work

    def _thread_done(self, _: object) -> None:
        self.threads -= 1

    @contextlib.contextmanager
    def jumping(self) -> Iterator[None]:
        self.jumps = True
        try:
            yield
        finally:
            self.jumps = False

    async def leap(self, seconds: float) -> None:
        """Pass a time in which nothing happens, at once."""
        self.now += seconds
        for _ in range(5):
            await asyncio.sleep(0)


@contextlib.contextmanager
def virtual_portal() -> Iterator[VirtualLoop]:
    """A portal on such a loop in place of the process's own, for as long as the block lasts."""
    loop, before = VirtualLoop(), portal_module._portal
    virtual = portal_module._portal = Portal(loop)
    try:
        yield loop
    finally:
        portal_module._portal = before
        loop.call_soon_threadsafe(loop.stop)
        virtual.thread.join(5)
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()


def virtual_router(loop: VirtualLoop, config: Any, seed: int) -> Router:
    """A router whose clocks are the loop's, and whose chance is seeded."""
    kind = type(
        "VirtualRouter", (Router,), {"_clock": staticmethod(loop.time), "_wall": staticmethod(loop.wall), "_seed": seed}
    )
    return kind(config)  # type: ignore[no-any-return]
