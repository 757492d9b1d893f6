"""Plan -> attempts -> chunks -> Reply: the loop that runs a call on the portal.

Before the first token a failure moves on to the next target. After it another attempt writes the rest (resume.py), or
the answer is marked as interrupted. A target that is slow to begin may get a rival (hedge.py).
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
import time
from collections.abc import Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, NamedTuple, Protocol

from hybrid_nb.core.asking import PROGRESS, Asking
from hybrid_nb.core.errors import (
    BudgetExceededError,
    ConfigError,
    ContextLengthError,
    HybridNbError,
    InferenceError,
    InvalidRequestError,
    NoProviderAvailableError,
    StreamInterruptedError,
)
from hybrid_nb.core.provider import Transport
from hybrid_nb.core.tracing import TRACE
from hybrid_nb.core.types import Attempt, Reply, Request, Route, RoutePlan, Target, Usage
from hybrid_nb.engine.allowance import TYPICAL_OUTPUT
from hybrid_nb.engine.assemble import estimate_input
from hybrid_nb.engine.attempt import Asked, Overtaken, Pricer, Sink, Timing, Try
from hybrid_nb.engine.breaker import FOREVER
from hybrid_nb.engine.gate import Full, Gate, Shut, Ticket, full_error, shut_error
from hybrid_nb.engine.hedge import Hedger
from hybrid_nb.engine.plan import DEFAULT_OUTPUT, no_candidate
from hybrid_nb.engine.race import Race
from hybrid_nb.engine.resume import Broken, Unfit, asking, total
from hybrid_nb.engine.schedule import Schedule, Slot, Step

__all__ = ["Call", "Conduct", "Engine", "Pricer", "Recorder", "Sink", "Timing", "new_id", "summed"]

log = logging.getLogger("hybrid_nb")


class Recorder(Protocol):
    """Where finished calls go."""

    async def finished(self, started: float, request: Request, reply: Reply, status: str, error: str | None) -> None:
        """Write a call; returns when it is safe."""

    def abandoned(self, started: float, request: Request, reply: Reply, error: str) -> None:
        """Write a call that is being cancelled; must not wait."""


@dataclass(frozen=True, slots=True)
class Conduct:
    """How a call is run: read from the settings when it starts, so that a change does not reach calls under way."""

    retries: int
    retry_delay: float
    failover: bool
    timing: Timing
    resume: bool = True
    refused_too: bool = False  # what a content filter refused is taken to others
    hedge: float | None = None  # the percentile of first tokens after which a rival starts
    reject: bool = False  # what no limit has room for is refused, and does not wait


class Engine:
    """Runs calls. Everything that varies comes in: transport, recorder, prices, clock, chance and sleep."""

    def __init__(
        self,
        transport: Transport,
        recorder: Recorder,
        price: Pricer,
        gate: Gate | None = None,
        *,
        rng: random.Random | None = None,
        sleep: Callable[[float], Any] = asyncio.sleep,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.transport = transport
        self.recorder = recorder
        self.price = price
        self.gate = gate or Gate(price, None)
        self.rng = rng or random.Random()
        self.sleep = sleep
        self.wall = wall
        self.hedger = Hedger(0.1)

    def run(
        self, request: Request, plan: RoutePlan, slots: Iterable[Slot], conduct: Conduct, sink: Sink | None
    ) -> Coroutine[Any, Any, Reply]:
        """The reply to a request, to be awaited on the loop; text goes to `sink` as it comes, when there is one.

        Raises InferenceError, NoProviderAvailableError or BudgetExceededError; each is a row in the ledger.
        """
        return Call(self, request, plan, slots, conduct, sink).run()


_ids = random.Random()  # seeded by the system; not the system's own, which costs a call of it for each
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_ids.seed)


def new_id() -> str:
    """32 hex digits that sort by time, so that the ledger's indices grow at their end: half the CPU of a commit."""
    return f"{time.time_ns():016x}{_ids.getrandbits(64):016x}"


def clock_of(loop: asyncio.AbstractEventLoop) -> Callable[[], float]:
    """The loop's clock, without asyncio's own wrapping around it."""
    return time.monotonic if type(loop).time is asyncio.BaseEventLoop.time else loop.time


class Refusal(NamedTuple):
    """A slot that could not be asked: why, the error if it is the only one, and loop time from which it can."""

    slot: Slot
    reason: str
    error: HybridNbError | None
    until: float | None


class Call:
    """One call under way."""

    def __init__(
        self,
        engine: Engine,
        request: Request,
        plan: RoutePlan,
        slots: Iterable[Slot],
        conduct: Conduct,
        sink: Sink | None,
    ) -> None:
        self.engine = engine
        self.transport, self.gate, self.price, self.wall = engine.transport, engine.gate, engine.price, engine.wall
        self.hedger = engine.hedger
        self.request = request
        self.plan = plan
        self.conduct = conduct
        self.timing, self.refused_too = conduct.timing, conduct.refused_too
        self.sink = sink
        self.schedule = Schedule(
            slots, conduct.retries, conduct.retry_delay, conduct.failover, engine.rng, conduct.refused_too
        )
        self.attempts: list[Attempt] = []
        self.refusals: list[Refusal] = []
        self.passed: dict[str, str] = {}  # providers that were not asked for now, and why
        self.last: InferenceError | None = None
        self.tries = 0
        self.request_id = new_id()
        self.clock = clock_of(asyncio.get_running_loop())
        self.input_estimate = estimate_input(request.messages)
        self.broken: Broken | None = None
        self.prefix = ""
        self.race: Race | None = None
        self.raced = False
        self.progress = PROGRESS.get()  # None: nobody looks
        self.trace = TRACE.get()  # likewise
        if self.trace is not None:
            self.trace.request_id = self.request_id

    async def run(self) -> Reply:
        self.started, self.began = self.clock(), self.wall()
        self.deadline = self.started + (self.request.timeout or self.timing.total)
        try:
            reply = await self._answer()
        except HybridNbError as error:
            if isinstance(error, InferenceError | NoProviderAvailableError):
                error.attempts = tuple(self.attempts)
            error.route = self._route(None)  # type: ignore[attr-defined]  # for %llm_explain
            told = f"{type(error).__name__}: {error}"
            await self.engine.recorder.finished(self.began, self.request, self._failed_reply(), "error", told)
            raise
        except asyncio.CancelledError:
            self.engine.recorder.abandoned(self.began, self.request, self._failed_reply(), "cancelled")
            raise
        try:  # an answer that was paid for is not lost for its row's sake
            await self.engine.recorder.finished(self.began, self.request, reply, "ok", None)
        except (ConfigError, TimeoutError) as error:
            log.error("the answer of %s is handed over before its row is written: %s", reply.provider, error)
        return reply

    async def _answer(self) -> Reply:
        while True:
            step = self.schedule.next(self.clock())
            if step is None or (self.last is not None and self.clock() + step.wait >= self.deadline):
                raise self._given_up(step)
            if step.wait:
                self._tell(step.slot, self._pause(step.slot))
                await self.engine.sleep(step.wait)
            asked = self._asked(step.slot)
            self._tell(step.slot)
            ticket = await self.admitted(asked, step.last_resort or not self.schedule.more)
            if ticket is None:
                continue
            self._tell(step.slot)
            attempt = Try(self, asked, ticket)
            winner = await self._settled(attempt) if self._alone() else await self._raced(attempt)
            if winner is not None:
                return self._reply(winner)

    def _pause(self, slot: Slot) -> str:
        asked = any((a.provider, a.model) == slot.target for a in self.attempts)
        return "a pause before it is asked again" if asked else "its rate limit"

    def _tell(self, slot: Slot, waits: str = "") -> None:
        if self.progress is not None:
            failed = tuple((Target(a.provider, a.model), a.error) for a in self.attempts if a.error)
            self.progress.now = Asking(slot.target, self.clock(), failed, waits)

    # --- one attempt, or two ----------------------------------------------------------------------------------

    def _asked(self, slot: Slot) -> Asked:
        """What a slot is asked: the request, or the rest of the answer that broke off."""
        if self.broken is None:
            return Asked(slot, self.request, self.input_estimate)
        way = self.broken.way(slot.provider.vendor, slot.target, self.request)
        request = asking(self.request, way, self.prefix)
        return Asked(slot, request, estimate_input(request.messages), way)

    def _alone(self) -> bool:
        if self.conduct.hedge is None or self.sink is None:
            return True
        return self.broken is not None or self.request.max_cost is not None or not self.schedule.more

    async def _settled(self, attempt: Try) -> Try | None:
        """The attempt when it has the answer; None when it has not, which is noted."""
        try:
            await attempt.run()
        except InferenceError as error:
            self.failed(attempt, error)
        except Unfit:
            self._next_way(attempt.slot)
        else:
            return attempt
        return None

    async def _raced(self, attempt: Try) -> Try | None:
        """As _settled, with a rival if the first token is late."""
        percentile = self.conduct.hedge or 1.0
        wait = self.hedger.wait(self.gate.latency, attempt.slot.target, percentile)
        if wait is None:
            return await self._settled(attempt)
        self.race, self.raced = Race(self, attempt, wait), True
        try:
            return await self._settled(attempt) or await self.race.rival()
        except Overtaken:
            return await self.race.rival()
        finally:
            await self.race.close()
            self.raced = False

    def lead(self, attempt: Try) -> None:
        """The first token came. Raises Overtaken when the rival was earlier."""
        if self.race is not None:
            self.race.lead(attempt)

    def failed(self, attempt: Try, error: InferenceError) -> None:
        """Note what a failure means for the tries that remain. Raises what nothing can be done about."""
        self.last = error
        if isinstance(error, StreamInterruptedError):
            cause = error.__cause__ if isinstance(error.__cause__, InferenceError) else error
            self.broken = Broken(
                error,
                attempt.slot.target,
                attempt.answer,
                attempt.noted.usage if attempt.noted else None,
                attempt.first_after(self.started),
                self.broken,
            )
            self.prefix = error.partial_text
            wrong = isinstance(cause, InvalidRequestError) and not isinstance(cause, ContextLengthError)
            if wrong or not (self.conduct.resume if self.request.resume is None else self.request.resume):
                raise error
            self.schedule.failed(attempt.slot, cause, self.clock())
        elif attempt.shown:  # the whole answer came, and is wrong: a second one would follow it
            raise error
        elif self.broken is not None and isinstance(error, InvalidRequestError):
            self._next_way(attempt.slot)  # it does not take what it was asked in this way
        else:
            self.schedule.failed(attempt.slot, error, self.clock())

    def _next_way(self, slot: Slot) -> None:
        if self.broken is not None and self.broken.next_way(slot.provider.vendor, slot.target, self.request):
            self.schedule.postponed(slot, self.clock())

    async def admitted(self, asked: Asked, patient: bool) -> Ticket | None:
        """Leave to ask; None when the slot may not be asked (now), which `refusals` keeps for the error."""
        self.tries += 1
        name = f"{self.request_id}.{self.tries}"
        slot, tokens = asked.slot, asked.input_estimate + (asked.request.max_tokens or TYPICAL_OUTPUT)
        waits = not self.conduct.reject
        try:
            self._check_cost(asked)
            return await self.gate.enter(name, slot, asked.request, tokens, self.deadline, patient and waits)
        except Shut as shut:
            self.refusals.append(Refusal(slot, shut.reason, shut_error(slot, shut), shut.until))
            self.passed[slot.target.provider] = "its breaker is open"
        except Full as full:
            self.passed[slot.target.provider] = "at its limit"
            # how long nobody knows: then it is waited for in line
            ready = self.clock() + (0.0 if full.wait == FOREVER else full.wait)
            if waits and not patient and ready < self.deadline:
                self.schedule.postponed(slot, ready)
            else:
                self.refusals.append(Refusal(slot, str(full), full_error(slot, full.wait), self.clock() + full.wait))
        except BudgetExceededError as error:
            self.refusals.append(Refusal(slot, str(error), error, None))
            self.passed[slot.target.provider] = "over the budget"
        return None

    def _check_cost(self, asked: Asked) -> None:
        """The plan has compared one attempt with max_cost; further ones have what is left of it."""
        limit = self.request.max_cost
        if limit is None:
            return
        spent = summed(self.attempts)
        if not spent:
            return
        estimate = self.gate.upper(asked.slot, asked.input_estimate, asked.request.max_tokens or DEFAULT_OUTPUT)
        if estimate is None or spent + estimate > limit:
            told = "an unknown amount" if estimate is None else f"${estimate:.6f}"
            raise BudgetExceededError(
                f"a further attempt may cost {told}, over what ${spent:.6f} left of max_cost ${limit}",
                limit, spent, estimate,
            )  # fmt: skip

    def _refused(self) -> HybridNbError:
        """Nobody was asked: why, and when to come back."""
        first = self.refusals[0]
        if len(self.refusals) == 1 and first.error is not None:
            return first.error
        budget = next((r.error for r in self.refusals if isinstance(r.error, BudgetExceededError)), None)
        if budget is not None:
            return budget
        known = [r.until for r in self.refusals if r.until is not None and r.until < FOREVER]
        retry_at = self.wall() + max(0.0, min(known) - self.clock()) if known else None
        told = "; ".join(dict.fromkeys(f"{r.slot.target}: {r.reason}" for r in self.refusals))
        return NoProviderAvailableError(f"nobody can take this call now: {told}", (), retry_at, self.plan.candidates)

    def _given_up(self, step: Step | None) -> HybridNbError:
        """The last error when only one target was asked, else one error that tells of all."""
        last = self.last
        if self.broken is not None:
            return self.broken.final(self.attempts, self.prefix)
        if last is None:
            return self._refused() if self.refusals else no_candidate(self.plan, self.request)
        asked = {(a.provider, a.model) for a in self.attempts}
        refused = {r.slot.target for r in self.refusals} - asked
        if (len(asked) == 1 and not refused) or isinstance(last, InvalidRequestError):
            return last  # what is wrong with a request is wrong with it everywhere
        told = [f"{a.provider}/{a.model}: {a.error}" for a in self.attempts]
        told += [f"{r.slot.target}: {r.reason}" for r in self.refusals if r.slot.target in refused]
        count = len(asked) + len(refused)
        error = NoProviderAvailableError(
            f"all {count} targets failed: {'; '.join(told)}", (), self._retry_at(last, step)
        )
        error.__cause__ = last
        return error

    def _retry_at(self, last: InferenceError, step: Step | None) -> float | None:
        wait = step.wait if step else getattr(last, "retry_after", None)
        return None if wait is None else self.wall() + wait

    def _route(self, slot: Slot | None, cut_at: int | None = None) -> Route:
        chosen = slot.target if slot else None
        reason = slot.reason if slot else ""
        if slot and self.broken is not None:
            reason += f"; finished what {' and '.join(self.broken.begun)} began"
        if slot and self.race is not None and self.race.won:
            reason += f"; {self.race.told}"
        asked = {a.provider for a in self.attempts}
        passed = [f"{name} ({why})" for name, why in self.passed.items() if name not in asked]
        if slot and passed:
            reason += f"; not asked: {', '.join(passed)}"
        return Route(chosen, self.plan.candidates, tuple(self.attempts), reason, cut_at)

    def _reply(self, winner: Try) -> Reply:
        answer, slot, broken = winner.answer, winner.slot, self.broken
        cut_at = winner.ticket.cap if answer.final_finish() == "length" else None
        route, noted = self._route(slot, cut_at), winner.noted  # not the latest row: a loser may end after the winner
        first, reasoning = winner.first_after(self.started), answer.reasoning
        usage = (noted.usage if noted else None) or Usage()
        if broken is not None:
            first, usage, reasoning = broken.first, total([*broken.usages, usage]), broken.reasoning + reasoning
        return Reply(
            text=self.prefix + winner.text,
            tool_calls=answer.tool_calls(self.request_id[-8:]),
            parsed=winner.parsed,
            reasoning=reasoning,
            finish=answer.final_finish(),
            usage=usage,
            cost=summed(self.attempts),
            cost_source=noted.cost_source if noted else None,
            provider=slot.target.provider,
            model=slot.target.model,
            tier=slot.tier,
            ttft=first,
            latency=self.clock() - self.started,
            route=route,
            request_id=self.request_id,
        )

    def _failed_reply(self) -> Reply:
        """What the ledger keeps of a call without an answer."""
        last = self.attempts[-1] if self.attempts else None
        return Reply(
            "",
            usage=last.usage or Usage() if last else Usage(),
            cost=summed(self.attempts),
            cost_source=last.cost_source if last else None,
            provider=last.provider if last else "",
            model=last.model if last else "",
            tier=last.tier if last else "cloud",
            ttft=last.ttft if last else None,
            latency=self.clock() - self.started,
            route=self._route(None),
            request_id=self.request_id,
        )


def summed(attempts: Sequence[Attempt]) -> Decimal | None:
    """The cost of all attempts; None when any of them is unknown, or there was none."""
    if len(attempts) == 1:
        return attempts[0].cost
    costs = [attempt.cost for attempt in attempts]
    if not costs or any(cost is None for cost in costs):
        return None
    return sum((cost for cost in costs if cost is not None), Decimal(0))
