"""What a call under way is doing, for whoever waits for its first token.

A call that somebody looks at runs with PROGRESS set in its task, and leaves there who is asked now. One that nobody
looks at pays for one look at the variable.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from contextvars import ContextVar
from typing import Any, NamedTuple, TypeVar

from hybrid_nb.core.types import Target

T = TypeVar("T")


class Asking(NamedTuple):
    """Who is asked, since when (seconds of time.monotonic()), what failed before, and what it waits for, if anything.

    `failed` has each target that was asked before, with its error. `waits` is empty while the target is asked.
    """

    target: Target
    since: float
    failed: tuple[tuple[Target, str], ...] = ()
    waits: str = ""


class Progress:
    """The latest of one call; `now` is replaced whole, so that any thread may look."""

    __slots__ = ("now",)

    def __init__(self) -> None:
        self.now: Asking | None = None


PROGRESS: ContextVar[Progress | None] = ContextVar("hybrid_nb_progress", default=None)


async def watched(progress: Progress, begin: Callable[..., Coroutine[Any, Any, T]], *args: Any) -> T:
    """The work that `begin` gives, with its progress told. One that is cancelled before it runs is never begun."""
    PROGRESS.set(progress)
    return await begin(*args)


def waits_for(what: str) -> None:
    """The call of this task waits before it may ask."""
    progress = PROGRESS.get()
    if progress is not None and progress.now is not None:
        progress.now = progress.now._replace(waits=what)
