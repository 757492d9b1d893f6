"""What came when in one call, for measuring: raw times of every chunk, kept as they were read.

A call that is measured runs with TRACE set in its task. One that is not pays for one look at the variable, and one at
an attribute a chunk. Times are seconds of the portal's clock (time.monotonic()).
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from contextvars import ContextVar
from typing import Any, NamedTuple, TypeVar

from hybrid_nb.core.types import Chunk

T = TypeVar("T")


class Arrival(NamedTuple):
    """Output that was read at once: when, and its characters of answer and of reasoning.

    Chunks that came in one read of the socket are one arrival: between them no time passed that a client could know.
    """

    at: float
    text: int
    reasoning: int


class AttemptTrace:
    """The times of one attempt: when its request went to the socket, and every read that brought output.

    `sent` is the time of asking until the transport has written; a connection that must be opened first comes before.

    `kept`: what came is in the answer. A rival that lost, and what failed before its first text, is not.
    `ended`: when it was over, before its row was written; None while it is under way.
    """

    __slots__ = ("arrivals", "ended", "kept", "sent")

    def __init__(self, sent: float) -> None:
        self.sent = sent
        self.kept = False
        self.ended: float | None = None
        self.arrivals: list[Arrival] = []

    def written(self, at: float) -> None:
        """The request went to the socket."""
        self.sent = at

    def took(self, at: float, chunk: Chunk) -> None:
        """A chunk came with what was read at this time. Empty ones (roles, usage, keep-alives) are no output; tool
        calls are."""
        text = len(chunk.text) + sum(len(tool.name or "") + len(tool.arguments) for tool in chunk.tools)
        reasoning = len(chunk.reasoning)
        if not text and not reasoning:
            return
        if self.arrivals and self.arrivals[-1].at == at:
            _, before, thought = self.arrivals.pop()
            text, reasoning = text + before, reasoning + thought
        self.arrivals.append(Arrival(at, text, reasoning))


class Trace:
    """The attempts of one call, in the order in which they were sent; a rival that lost is among them.

    `request_id` is the call's in the ledger; None: the engine had nothing to do with it.
    """

    __slots__ = ("attempts", "request_id")

    def __init__(self) -> None:
        self.attempts: list[AttemptTrace] = []
        self.request_id: str | None = None

    def begin(self, at: float) -> AttemptTrace:
        """An attempt's request is about to be written."""
        attempt = AttemptTrace(at)
        self.attempts.append(attempt)
        return attempt


TRACE: ContextVar[Trace | None] = ContextVar("hybrid_nb_trace", default=None)


async def traced(trace: Trace, begin: Callable[..., Coroutine[Any, Any, T]], *args: Any) -> T:
    """The work that `begin` gives, with its times noted. To be run as a task of its own."""
    TRACE.set(trace)
    return await begin(*args)
