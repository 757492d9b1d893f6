"""A reply as it comes: pieces cross from the portal's thread to whoever iterates, sync or async."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import Any, Self

from hybrid_nb.core.asking import Asking, Progress, watched
from hybrid_nb.core.errors import StreamInterruptedError
from hybrid_nb.core.types import Reply
from hybrid_nb.portal import SLICE, Job, Mailbox, mailbox_of, portal, wake

Start = Callable[[Callable[[str], None]], Coroutine[Any, Any, Reply]]


class Channel:
    """Where pieces wait for their reader. The request holds this and not the Stream, so that a Stream which
    nobody holds any more is collected, and its request stopped."""

    __slots__ = ("pieces", "waiter", "waiting")

    def __init__(self) -> None:
        self.pieces: deque[str] = deque()
        self.waiting: threading.Event | None = None
        self.waiter: tuple[Mailbox, asyncio.Future[None]] | None = None

    def push(self, text: str) -> None:
        """On the portal's thread: a piece came."""
        self.pieces.append(text)
        if self.waiting is not None or self.waiter is not None:
            self.rouse()

    def rouse(self) -> None:
        """Wake whoever waits. On the portal's thread."""
        event, waiter = self.waiting, self.waiter
        if event is not None:
            event.set()
        if waiter is not None:
            self.waiter = None
            waiter[0].post_from_loop(wake, waiter[1])


class Stream:
    """Text pieces of one answer, from a request that is already under way.

    Iterate with `for` or `async for`; `reply` waits for the end and raises what chat() would raise; `cancel()`
    stops the request. What broke is raised when the pieces that came are used up.

    Leaving a `for` early does not end the request by itself; leaving a `with` block does, however it is left. An
    interrupt while a piece is waited for cancels, one in the loop's own body only inside the block:

    >>> with router.stream("Tell me about tides") as stream:   # doctest: +SKIP
    ...     for piece in stream:
    ...         print(piece, end="")
    """

    def __init__(self, start: Start) -> None:
        self._channel = Channel()
        self._pieces = self._channel.pieces
        self._shown: list[str] = []
        self._reader: Mailbox | None = None  # of the loop that reads, found once for all its waits
        self._progress = Progress()
        self._job: Job[Reply] = portal().submit(watched(self._progress, start, self._channel.push))
        self._job.when_done(self._channel.rouse)

    @property
    def text(self) -> str:
        """What has been read so far."""
        return "".join(self._shown)

    @property
    def asking(self) -> Asking | None:
        """Who is asked now, since when (time.monotonic()), and what failed before; None until somebody is."""
        return self._progress.now

    @property
    def done(self) -> bool:
        """Whether the request is over and every piece was read."""
        return self._job.done and not self._pieces

    def _next(self) -> str | None:
        """A piece, or None when there is none yet. Raises at the end what the call raised."""
        if not self._pieces:
            return None
        piece = self._pieces.popleft()
        while self._pieces:  # a reader that is slower than the stream gets all that waits at once
            piece += self._pieces.popleft()
        self._shown.append(piece)
        return piece

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        piece = self.poll(None)
        if piece is None:
            raise StopIteration
        return piece

    def poll(self, timeout: float | None) -> str | None:
        """The next piece; None at the end, "" when nothing came in `timeout` seconds. Raises what broke."""
        piece = self._next()
        if piece is None and not self._job.done:
            self._wait(timeout)
            piece = self._next()
        if piece is not None:
            return piece
        if not self._job.done:
            return ""
        piece = self._next()  # what came between the last look and the end
        if piece is None:
            self._end()
        return piece

    def _wait(self, timeout: float | None) -> None:
        """Until a piece, the end or the timeout; an interrupt cancels the request."""
        event = self._channel.waiting = threading.Event()
        left = timeout
        try:
            while not (self._pieces or self._job.done) and (left is None or left > 0):
                if event.wait(SLICE if left is None else min(SLICE, left)):
                    break
                left = None if left is None else left - SLICE
        except BaseException:
            self.cancel()
            raise
        finally:
            self._channel.waiting = None

    def __aiter__(self) -> AsyncIterator[str]:
        self._reader = mailbox_of(asyncio.get_running_loop())
        return self

    async def __anext__(self) -> str:
        while True:
            piece = self._next()
            if piece is not None:
                return piece
            if self._job.done:
                piece = self._next()
                if piece is not None:
                    return piece
                self._end()
                raise StopAsyncIteration
            await self._await()

    async def _await(self) -> None:
        mailbox = self._reader
        if mailbox is None or not mailbox.loop.is_running():
            mailbox = self._reader = mailbox_of(asyncio.get_running_loop())
        waiter: asyncio.Future[None] = mailbox.loop.create_future()
        self._channel.waiter = (mailbox, waiter)
        if self._pieces or self._job.done:  # came before the portal could see the waiter
            self._channel.waiter = None
            return
        mailbox.waiting += 1
        try:
            await waiter
        except asyncio.CancelledError:
            self.cancel()
            raise
        finally:
            mailbox.waiting -= 1
            self._channel.waiter = None

    # --- the end ---

    @property
    def reply(self) -> Reply:
        """The whole reply; waits for the end. Raises what chat() would raise."""
        try:
            return self._job.wait()
        except concurrent.futures.CancelledError:
            raise self._cancelled() from None

    async def areply(self) -> Reply:
        """The whole reply, from an async cell."""
        try:
            return await self._job.join()
        except concurrent.futures.CancelledError:
            raise self._cancelled() from None

    def _cancelled(self) -> StreamInterruptedError:
        return StreamInterruptedError("the request was cancelled", retryable=False, partial_text=self.text)

    def _end(self) -> None:
        """Raise what broke the request; nothing when it ended well or was cancelled."""
        if not isinstance(self._job.error, concurrent.futures.CancelledError):
            self._job.result()

    def cancel(self) -> None:
        """Stop the request and close its connection; pieces that came remain readable."""
        self._job.cancel()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.cancel()

    def __del__(self) -> None:
        if hasattr(self, "_job") and not self._job.done:
            self._job.cancel()

    def __repr__(self) -> str:
        state = "done" if self._job.done else "running"
        return f"Stream({state}, {len(self.text)} characters read)"
