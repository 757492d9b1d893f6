"""Time limits for one attempt at the price of a clock read a chunk: one timer, moved on only when it rings."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self

from hybrid_nb.core.errors import ProviderTimeoutError


class Watchdog:
    """A context in which the current task is cancelled, and ProviderTimeoutError raised, when a limit passes.

    `deadline` (loop time) bounds everything; `expect` adds a limit from now on, which `alive` starts afresh;
    `give_up` ends it at once with an error of its own.
    """

    __slots__ = ("_due", "_fired", "_loop", "_task", "_timer", "_what", "deadline", "patience")

    def __init__(self, deadline: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._task: asyncio.Task[object] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._fired: Exception | None = None
        self._due = deadline
        self._what = ""
        self.deadline = deadline
        self.patience: float | None = None

    def expect(self, patience: float, what: str) -> None:
        """Something must come within so many seconds; `what` says what was missed, with {} for the seconds."""
        self.patience, self._what = patience, what
        self._due = self._loop.time() + patience
        if self._timer is not None and self._timer.when() > self._due:
            self._timer.cancel()
            self._timer = self._loop.call_at(min(self._due, self.deadline), self._ring)

    def alive(self) -> None:
        """Something came."""
        if self.patience is not None:
            self._due = self._loop.time() + self.patience

    def give_up(self, error: Exception) -> None:
        """End what the context runs, from outside of its task; it raises `error`."""
        if self._fired is None and self._task is not None:
            self._fired = error
            self._task.cancel()

    def __enter__(self) -> Self:
        self._task = asyncio.current_task(self._loop)
        self._timer = self._loop.call_at(min(self._due, self.deadline), self._ring)
        return self

    def _ring(self) -> None:
        now = self._loop.time()
        if now >= self.deadline:
            self.give_up(ProviderTimeoutError("no complete answer before the total timeout"))
        elif now >= self._due and self.patience is not None:
            self.give_up(ProviderTimeoutError(self._what.format(self.patience)))
        else:
            self._timer = self._loop.call_at(min(self._due, self.deadline), self._ring)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()
        task, self._task = self._task, None  # what comes too late ends nothing
        if self._fired is None:
            return
        # someone else's cancellation, which came as well, still counts
        if task is not None and task.uncancel() == 0 and kind in (asyncio.CancelledError, None):
            raise self._fired from None
