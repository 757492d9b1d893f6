"""The one background loop: a daemon thread that owns every socket, and the ways into and out of it.

Clients stay bound to the loop that first used them, and a cell must be able to wait, be interrupted and leave
others running; so all I/O lives here, and the user's own loop is neither blocked nor patched.
Nothing starts before the first use; a forked child starts its own.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import sys
import threading
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

from hybrid_nb.core import forks

T = TypeVar("T")
SLICE = 0.2  # seconds; a plain wait does not notice _thread.interrupt_main(), which some kernels use
CROWD = 4  # waits on one loop from which on its wake-ups are gathered; a lone call never waits for others
GATHER = 0.0007  # seconds


class Mailbox:
    """Runs callbacks on a loop from other threads; one wake-up serves all that came since the last.

    A wake-up is a system call that gives the interpreter away, and then two threads take it from each other at every
    further call: for sixteen requests at once that cost more than the requests. So in a crowd wake-ups are gathered.
    """

    __slots__ = ("_planned", "_queue", "_woken", "loop", "waiting")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._queue: deque[tuple[Callable[..., object], tuple[Any, ...]]] = deque()
        self._woken = False
        self._planned = False
        self.waiting = 0  # waits on this loop for what the portal brings

    def post(self, callback: Callable[..., object], *args: Any) -> None:
        """Run the callback on the loop soon. Silently dropped when the loop is closed: nobody waits there."""
        self._queue.append((callback, args))
        if not self._woken:
            self._woken = True
            self._wake()

    def post_from_loop(self, callback: Callable[..., object], *args: Any) -> None:
        """post() from the portal's loop to another: one wake-up serves all that its current turn posts, in a crowd
        all of a moment. The portal may plan that, as it is a loop that is never blocked.
        """
        self._queue.append((callback, args))
        if not self._woken:
            self._woken = True
            loop = asyncio.get_running_loop()
            if self.waiting < CROWD:
                loop.call_soon(self._wake)
            else:
                loop.call_later(GATHER, self._wake)

    def post_from(self, caller: Mailbox, callback: Callable[..., object], *args: Any) -> None:
        """post() from a caller's own loop: at once, as that loop may be blocked (by chat(), by a long cell) before its
        turn ends; in a crowd of calls at the end of its turn."""
        if caller.waiting < CROWD:
            self.post(callback, *args)
            return
        self._queue.append((callback, args))
        if not (self._woken or caller._planned):
            caller._planned = True
            caller.loop.call_soon(self._planned_by, caller)

    def _planned_by(self, caller: Mailbox) -> None:
        caller._planned = False
        if self._queue and not self._woken:
            self._woken = True
            self._wake()

    def _wake(self) -> None:
        try:
            self.loop.call_soon_threadsafe(self._drain)
        except RuntimeError:
            self._queue.clear()

    def _drain(self) -> None:
        self._woken = False  # before emptying: what is appended from here on wakes again
        while self._queue:
            callback, args = self._queue.popleft()
            callback(*args)


class Job(Generic[T]):
    """A coroutine at work on the portal, as seen from another thread or loop."""

    __slots__ = ("_callbacks", "_done", "_event", "_lock", "_mailbox", "_task", "error", "value")

    def __init__(self, mailbox: Mailbox) -> None:
        self._mailbox = mailbox
        self._task: asyncio.Task[T] | None = None
        self._done = False
        self._event: threading.Event | None = None
        self._callbacks: list[Callable[[], None]] = []
        self._lock = threading.Lock()
        self.value: T | None = None
        self.error: BaseException | None = None

    @property
    def done(self) -> bool:
        return self._done

    def start(self, work: Coroutine[Any, Any, T]) -> None:
        """On the portal's thread: begin."""
        self._task = asyncio.get_running_loop().create_task(work)
        self._task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[T]) -> None:
        if task.cancelled():
            self.error = concurrent.futures.CancelledError()
        else:
            self.error = task.exception()
            self.value = None if self.error else task.result()
        with self._lock:
            self._done = True
            event, callbacks = self._event, self._callbacks
            self._callbacks = []
        if event is not None:
            event.set()
        for callback in callbacks:
            callback()

    def when_done(self, callback: Callable[[], None]) -> bool:
        """Call back on the portal's thread at the end; False, and no call, when it is over already."""
        with self._lock:
            if not self._done:
                self._callbacks.append(callback)
            return not self._done

    def cancel(self) -> None:
        """Stop the work soon; safe from any thread."""
        self._mailbox.post(self._cancel)

    def _cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()

    def result(self) -> T:
        """What the finished work returned; raises what it raised."""
        if self.error is not None:
            raise self.error
        return self.value  # type: ignore[return-value]  # set whenever there is no error

    def wait(self) -> T:
        """Block until the end. An interrupt cancels the work and is raised again."""
        with self._lock:
            if not self._done and self._event is None:
                self._event = threading.Event()
        try:
            while not self._done:
                self._event.wait(SLICE)  # type: ignore[union-attr]  # made above, unless done
        except BaseException:
            self.cancel()
            raise
        return self.result()

    async def join(self, mailbox: Mailbox | None = None) -> T:
        """Wait from another loop, whose mailbox may be given. Cancelling the waiter cancels the work."""
        if not self._done:
            mailbox = mailbox or mailbox_of(asyncio.get_running_loop())
            waiter: asyncio.Future[None] = mailbox.loop.create_future()
            mailbox.waiting += 1
            try:
                if self.when_done(lambda: mailbox.post_from_loop(wake, waiter)):
                    await waiter
            except asyncio.CancelledError:
                self.cancel()
                raise
            finally:
                mailbox.waiting -= 1
        return self.result()


def wake(waiter: asyncio.Future[None]) -> None:
    """Resolve a waiter that may have been cancelled meanwhile."""
    if not waiter.done():
        waiter.set_result(None)


_mailboxes: dict[int, tuple[asyncio.AbstractEventLoop, Mailbox]] = {}


def mailbox_of(loop: asyncio.AbstractEventLoop) -> Mailbox:
    """The mailbox of a foreign loop."""
    found = _mailboxes.get(id(loop))
    if found is None or found[0] is not loop:
        for key, (known, _) in list(_mailboxes.items()):
            if known.is_closed():
                _mailboxes.pop(key, None)
        found = _mailboxes[id(loop)] = (loop, Mailbox(loop))
    return found[1]


class Portal:
    """The thread and its loop. Use `portal()`, not this. The tests' loop has a clock of its own."""

    def __init__(self, loop: asyncio.AbstractEventLoop | None = None) -> None:
        if sys.platform == "emscripten":
            raise RuntimeError(
                "hybrid_nb needs threads, which this in-browser Python has not; run it in a normal kernel"
            )
        self.pid = forks.pid
        self.loop = loop or asyncio.new_event_loop()
        self.mailbox = Mailbox(self.loop)
        self.thread = threading.Thread(target=self._run, name="hybrid_nb", daemon=True)
        self.ended = False
        self.thread.start()

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        try:
            self.loop.run_forever()
        finally:
            self.ended = True

    @property
    def inside(self) -> bool:
        """Whether this is the portal's own thread."""
        return threading.current_thread() is self.thread

    def submit(self, work: Coroutine[Any, Any, T]) -> Job[T]:
        """Start a coroutine on the loop."""
        job: Job[T] = Job(self.mailbox)
        if self.inside:
            job.start(work)
        else:
            self.mailbox.post(job.start, work)
        return job

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine and wait for it; an interrupt cancels it."""
        if self.inside:
            work.close()
            raise RuntimeError("a blocking call from hybrid_nb's own loop would wait for itself; use the async form")
        return self.submit(work).wait()

    async def arun(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the portal from any loop."""
        if self.inside:
            return await work
        job: Job[T] = Job(self.mailbox)
        caller = mailbox_of(asyncio.get_running_loop())
        self.mailbox.post_from(caller, job.start, work)
        return await job.join(caller)


_portal: Portal | None = None
_inherited: list[
    Portal | None
] = []  # of a parent process: its loop shares an epoll, so it is neither used nor collected
_lock = threading.Lock()


def portal() -> Portal:
    """The portal of this process, started at the first call."""
    global _portal
    found = _portal
    if found is not None and found.pid == forks.pid and not found.ended:
        return found
    with _lock:
        if _portal is None or _portal.pid != forks.pid or _portal.ended:
            _inherited.append(_portal)
            _portal = Portal()
        return _portal
