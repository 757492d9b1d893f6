"""An attempt and its rival: the first token wins, the other is cancelled, and both have their row."""

from __future__ import annotations

import asyncio
from typing import Protocol

from hybrid_nb.core.errors import InferenceError
from hybrid_nb.core.types import Request
from hybrid_nb.engine import attempt
from hybrid_nb.engine.attempt import Asked, Overtaken, Try
from hybrid_nb.engine.gate import Ticket
from hybrid_nb.engine.hedge import Hedger


class Call(attempt.Call, Protocol):
    """The call that a race belongs to, as the race sees it."""

    request: Request
    input_estimate: int
    hedger: Hedger

    async def admitted(self, asked: Asked, patient: bool) -> Ticket | None:
        """Leave to ask, or None."""

    def failed(self, attempt: Try, error: InferenceError) -> None:
        """Note a failure. Raises what nothing can be done about."""


class Race:
    """An attempt, and the rival that starts when its first token is late. The first token wins."""

    def __init__(self, call: Call, attempt: Try, wait: float) -> None:
        self.call = call
        self.attempt = attempt
        self.second: Try | None = None
        self.leader: Try | None = None
        self._task: asyncio.Task[Try | None] | None = None
        self._wait = wait
        self._timer = asyncio.get_running_loop().call_later(wait, self._begin)

    @property
    def won(self) -> bool:
        """Whether the rival was faster."""
        return self.leader is not None and self.leader is self.second

    @property
    def told(self) -> str:
        return f"asked beside {self.attempt.slot.target}, which had said nothing for {self._wait:.2f} s"

    def _begin(self) -> None:
        hedger, schedule = self.call.hedger, self.call.schedule
        if self.attempt.first is not None or not schedule.more or not hedger.take():
            return
        slot = schedule.fresh()
        if slot is not None:
            asked = Asked(slot, self.call.request, self.call.input_estimate, part="hedge")
            self._task = asyncio.get_running_loop().create_task(self._run(asked))

    async def _run(self, asked: Asked) -> Try | None:
        ticket = await self.call.admitted(asked, patient=False)
        if ticket is None:
            self.call.hedger.give()
            return None
        self.second = Try(self.call, asked, ticket)
        await self.second.run()
        return self.second

    def lead(self, attempt: Try) -> None:
        """The first token of one of them came."""
        if self.leader is None:
            self.leader = attempt
            self._timer.cancel()
            if attempt is not self.attempt:
                self.attempt.overtaken(attempt)
            elif self.second is not None:
                self.second.overtaken(attempt)
            elif self._task is not None:
                self._task.cancel()
        elif self.leader is not attempt:
            raise Overtaken(f"{self.leader.slot.target} was faster")

    async def rival(self) -> Try | None:
        """The rival's end, when there is one that may win: it has the answer, or its failure is noted."""
        if self._task is None or self.leader is self.attempt:
            return None
        try:
            return await self._task
        except InferenceError as error:
            if self.second is not None:
                self.call.failed(self.second, error)
        return None

    async def close(self) -> None:
        """End what is left of the rival, so that its row is there before the call's."""
        self._timer.cancel()
        task = self._task
        if task is not None and not task.done():
            task.cancel()
            await asyncio.wait({task})
        if task is not None and not task.cancelled():
            task.exception()  # heard
