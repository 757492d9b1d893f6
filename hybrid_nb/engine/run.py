"""Plan -> attempts -> chunks -> Reply: the loop that runs a call on the portal.

Before the first token a failure moves on to the next target; after it, the answer is marked as interrupted.
Every attempt is recorded, failed and cancelled ones too.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, NamedTuple, Protocol

import orjson

from hybrid_nb import keys
from hybrid_nb.core.errors import (
    BudgetExceededError,
    ConfigError,
    ConnectionFailedError,
    HybridNbError,
    InferenceError,
    InvalidRequestError,
    MalformedResponseError,
    NoProviderAvailableError,
    ProviderTimeoutError,
    StreamInterruptedError,
    error_from,
    normalise,
    problem_of,
    scrub,
)
from hybrid_nb.core.provider import InBandError, Provider, Response, Transport
from hybrid_nb.core.types import Attempt, HttpCall, Outcome, Reply, Request, Route, RoutePlan, Usage
from hybrid_nb.engine.allowance import TYPICAL_OUTPUT
from hybrid_nb.engine.assemble import Assembler, estimate_input
from hybrid_nb.engine.breaker import FOREVER, Verdict, verdict
from hybrid_nb.engine.gate import Full, Gate, Shut, Ticket, full_error, shut_error
from hybrid_nb.engine.plan import no_candidate
from hybrid_nb.engine.schedule import Schedule, Slot, Step
from hybrid_nb.engine.watchdog import Watchdog

MAX_BODY = 32 * 1024 * 1024  # bytes of an unstreamed answer or an error
log = logging.getLogger("hybrid_nb")
AFTER_FINISH = 1.0  # seconds for usage and the end, once a finish reason came
MOST_TEXT = 32 * 1024 * 1024  # characters of one answer
HEAD = 2048  # bytes of a stream kept until it proves to be one, to say what came instead

Sink = Callable[[str], None]
Pricer = Callable[[Provider, str, Usage | None, Decimal | None], tuple[Decimal | None, str | None]]


class Recorder(Protocol):
    """Where finished calls go."""

    async def finished(self, started: float, request: Request, reply: Reply, status: str, error: str | None) -> None:
        """Write a call; returns when it is safe."""

    def abandoned(self, started: float, request: Request, reply: Reply, error: str) -> None:
        """Write a call that is being cancelled; must not wait."""


class Timing(NamedTuple):
    """Seconds. `total` bounds the whole call with its waits and retries."""

    total: float
    connect: float
    ttft: float
    stall: float


@dataclass(frozen=True, slots=True)
class Conduct:
    """How a call is run: read from the settings when it starts, so that a change does not reach calls under way."""

    retries: int
    retry_delay: float
    failover: bool
    timing: Timing


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

    async def run(
        self, request: Request, plan: RoutePlan, slots: Iterable[Slot], conduct: Conduct, sink: Sink | None
    ) -> Reply:
        """The reply to a request; text goes to `sink` as it comes, when there is one.

        Raises InferenceError, NoProviderAvailableError or BudgetExceededError; each is a row in the ledger.
        """
        return await Call(self, request, plan, slots, conduct, sink).run()


_ids = random.Random()  # seeded by the system; not the system's own, which costs a call of it for each
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_ids.seed)


def new_id() -> str:
    """32 hex digits that sort by time, so that the ledger's indices grow at their end: half the CPU of a commit."""
    return f"{time.time_ns():016x}{_ids.getrandbits(64):016x}"


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
        self.request = request
        self.plan = plan
        self.conduct = conduct
        self.sink = sink
        self.schedule = Schedule(slots, conduct.retries, conduct.retry_delay, conduct.failover, engine.rng)
        self.attempts: list[Attempt] = []
        self.refusals: list[Refusal] = []
        self.tries = 0
        self.request_id = new_id()
        self.clock = asyncio.get_running_loop().time
        self.input_estimate = estimate_input(request.messages)

    async def run(self) -> Reply:
        self.started, self.wall = self.clock(), self.engine.wall()
        self.deadline = self.started + (self.request.timeout or self.conduct.timing.total)
        try:
            reply = await self._answer()
        except HybridNbError as error:
            if isinstance(error, InferenceError | NoProviderAvailableError):
                error.attempts = tuple(self.attempts)
            error.route = self._route(None)  # type: ignore[attr-defined]  # for %llm_explain
            await self._record(self._failed_reply(), "error", f"{type(error).__name__}: {error}")
            raise
        except asyncio.CancelledError:
            self.engine.recorder.abandoned(self.wall, self.request, self._failed_reply(), "cancelled")
            raise
        try:  # an answer that was paid for is not lost for its row's sake
            await self._record(reply, "ok", None)
        except (ConfigError, TimeoutError) as error:
            log.error("the answer of %s is handed over before its row is written: %s", reply.provider, error)
        return reply

    async def _record(self, reply: Reply, status: str, error: str | None) -> None:
        await self.engine.recorder.finished(self.wall, self.request, reply, status, error)

    async def _answer(self) -> Reply:
        last: InferenceError | None = None
        while True:
            step = self.schedule.next(self.clock())
            if step is None or (last is not None and self.clock() + step.wait >= self.deadline):
                raise self._given_up(last, step)
            if step.wait:
                await self.engine.sleep(step.wait)
            ticket = await self._admitted(step)
            if ticket is None:
                continue
            attempt = Try(self, step.slot, ticket)
            try:
                return await attempt.run()
            except InferenceError as error:
                if attempt.shown:  # a second answer would follow the first
                    raise
                last = error
                self.schedule.failed(step.slot, error, self.clock())

    async def _admitted(self, step: Step) -> Ticket | None:
        """Leave to ask a slot; None when it may not be asked (now), which `refusals` keeps for the error."""
        self.tries += 1
        name = f"{self.request_id}.{self.tries}"
        slot, tokens = step.slot, self.input_estimate + (self.request.max_tokens or TYPICAL_OUTPUT)
        patient = step.last_resort or not self.schedule.more
        try:
            return await self.engine.gate.enter(name, slot, self.request, tokens, self.deadline, patient)
        except Shut as shut:
            self.refusals.append(Refusal(slot, shut.reason, shut_error(slot, shut), shut.until))
        except Full as full:
            # how long nobody knows: then it is waited for in line
            ready = self.clock() + (0.0 if full.wait == FOREVER else full.wait)
            if not patient and ready < self.deadline:
                self.schedule.postponed(slot, ready)
            else:
                self.refusals.append(Refusal(slot, str(full), full_error(slot, full.wait), self.clock() + full.wait))
        except BudgetExceededError as error:
            self.refusals.append(Refusal(slot, str(error), error, None))
        return None

    def _refused(self) -> HybridNbError:
        """Nobody was asked: why, and when to come back."""
        first = self.refusals[0]
        if len(self.refusals) == 1 and first.error is not None:
            return first.error
        budget = next((r.error for r in self.refusals if isinstance(r.error, BudgetExceededError)), None)
        if budget is not None:
            return budget
        known = [r.until for r in self.refusals if r.until is not None and r.until < FOREVER]
        retry_at = self.engine.wall() + max(0.0, min(known) - self.clock()) if known else None
        told = "; ".join(dict.fromkeys(f"{r.slot.target}: {r.reason}" for r in self.refusals))
        return NoProviderAvailableError(f"nobody can take this call now: {told}", (), retry_at, self.plan.candidates)

    def _given_up(self, last: InferenceError | None, step: Step | None) -> HybridNbError:
        """The last error when only one target was asked, else one error that tells of all."""
        if last is None:
            return self._refused() if self.refusals else no_candidate(self.plan, self.request)
        asked = {(a.provider, a.model) for a in self.attempts}
        refused = {r.slot.target for r in self.refusals} - asked
        if len(asked) == 1 and not refused:
            return last
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
        return None if wait is None else self.engine.wall() + wait

    def _route(self, slot: Slot | None) -> Route:
        chosen = slot.target if slot else None
        return Route(chosen, self.plan.candidates, tuple(self.attempts), slot.reason if slot else "")

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
    costs = [attempt.cost for attempt in attempts]
    if len(costs) == 1:
        return costs[0]
    if not costs or any(cost is None for cost in costs):
        return None
    return sum((cost for cost in costs if cost is not None), Decimal(0))


class Try:
    """One attempt at one slot."""

    def __init__(self, call: Call, slot: Slot, ticket: Ticket) -> None:
        self.call = call
        self.slot = slot
        self.ticket = ticket
        self.wire = slot.provider.vendor.wire
        self.answer = Assembler()
        self.clock = call.clock
        self.started = call.clock()
        self.wall = call.engine.wall()
        self.first: float | None = None
        self.before = len(call.attempts)
        self.sent = False  # the provider may have begun to work, and to charge
        self.finished = False  # the wire's word for the end came; only usage may follow
        self.ended = False  # the answer came whole
        self.size = 0

    async def run(self) -> Reply:
        outcome, wait = Verdict.NOTHING, None
        try:
            reply = await self._guarded()
            outcome = Verdict.GOOD
        except InferenceError as error:
            self._note("interrupted" if isinstance(error, StreamInterruptedError) else "error", error)
            outcome, wait = verdict(error), getattr(error, "retry_after", None)
            raise
        except asyncio.CancelledError:
            self._note("cancelled", None)
            raise
        finally:
            self._leave(outcome, wait)
        return reply

    def _leave(self, outcome: Verdict, wait: float | None) -> None:
        """Hand back what the gate gave."""
        noted = self.call.attempts[-1] if len(self.call.attempts) > self.before else None
        usage = noted.usage if noted else None
        known = usage is not None and usage.input_tokens is not None and usage.output_tokens is not None
        self.call.engine.gate.leave(
            self.ticket,
            outcome,
            sent=self.sent,
            wait=wait,
            tokens=usage.input_tokens + usage.output_tokens if known else None,  # type: ignore[union-attr,operator]
            cost=noted.cost if noted else None if self.sent else Decimal(0),
        )

    async def _guarded(self) -> Reply:
        """Run under the watchdog, with every failure as a typed error that names its provider."""
        dog = Watchdog(self.call.deadline)
        try:
            with dog:
                await self._exchange(dog)
            self.ended = True
            return self._reply()
        except InferenceError as error:
            if self.finished and isinstance(error, ProviderTimeoutError | ConnectionFailedError):
                self.ended = True  # the answer is whole; the server only did not close, or did so rudely
                return self._reply()
            found = self._typed(error)
        except InBandError as error:
            problem = normalise(error.data) or problem_of(orjson.dumps(error.data))
            found = self._typed(self._error(None, {}, problem))
        except HybridNbError:
            raise  # ours, and about us: the configuration
        except Exception as error:  # whatever a server makes our code do, the call ends with a typed error and a row
            text = f"the response is not what {self.wire.__class__.__name__} promises ({type(error).__name__}: {error})"
            found = self._typed(MalformedResponseError(text))
        raise found from found.__cause__  # out here, so that it gets no context

    @property
    def shown(self) -> bool:
        """Something of the answer has gone to the caller."""
        return self.answer.started and self.call.sink is not None

    @property
    def _secrets(self) -> tuple[str, ...]:
        return keys.values([self.slot.endpoint.key])

    def _error(self, status: int | None, headers: Any, problem: Any) -> InferenceError:
        return error_from(
            status,
            headers,
            problem,
            provider=self.slot.target.provider,
            model=self.slot.target.model,
            now=self.call.engine.wall(),
            secrets=self._secrets,
        )

    def _typed(self, error: InferenceError) -> InferenceError:
        error.provider, error.model = self.slot.target
        error.message = scrub(error.message, self._secrets)  # a server may echo the key in anything
        error.args = (error.message,)
        error.__context__ = None  # a client's or parser's own error, which may hold headers or the body
        if not self.shown or self.ended:
            return error
        broken = StreamInterruptedError(
            f"the stream broke after {len(self.answer.text)} characters: {error.message}",
            error.provider,
            error.status_code,
            partial_text=self.answer.text,
        )
        broken.model = error.model
        broken.__cause__ = error
        return broken

    # --- the exchange ---------------------------------------------------------------------------------------

    async def _exchange(self, dog: Watchdog) -> None:
        call, endpoint = self.call, self.slot.endpoint
        streamed = call.sink is not None
        timing = call.conduct.timing
        cap = self.ticket.cap
        request = call.request if cap is None else replace(call.request, max_tokens=cap)
        try:
            http = self.wire.chat(endpoint.base_url, self.slot.target.model, request, streamed)
        except (TypeError, ValueError) as error:
            raise InvalidRequestError(f"the request cannot be written as JSON for this provider: {error}") from None
        vendor = self.slot.provider.vendor
        headers = keys.authorised({**http.headers, **vendor.headers}, vendor.auth, endpoint.key)
        http = HttpCall(http.method, http.url, headers, http.body)
        if streamed:
            dog.expect(timing.ttft, "no first token after {:g} s")
        elif call.schedule.more:  # a silent one must leave time for the next
            dog.expect(max(timing.ttft, (call.deadline - self.clock()) / 2), "no answer after {:g} s")
        self.sent = True
        response = await call.engine.transport.send(http, min(timing.connect, max(0.001, call.deadline - self.clock())))
        call.engine.gate.heard(self.slot, response.headers)
        try:
            if response.status >= 300:
                raise self._error(response.status, response.headers, problem_of(await whole(response)))
            if streamed and not response.headers.get("content-type", "").startswith("application/json"):
                await self._stream(response, dog, timing.stall)
            else:
                self._whole(await whole(response))
        finally:
            await response.aclose()

    async def _stream(self, response: Response, dog: Watchdog, stall: float) -> None:
        decoder = self.wire.decoder()
        head = b""
        running = False
        try:
            async for data in response:
                if running:
                    dog.alive()
                else:
                    head = (head + data)[:HEAD]
                for chunk in decoder.feed(data):
                    self._take(chunk)
                if decoder.complete and not self.finished:
                    self.finished = running = True
                    dog.expect(min(stall, AFTER_FINISH), "no end for {:g} s after the finish")
                elif not running and self.first is not None:
                    running = True
                    dog.expect(stall, "it stalled: nothing for {:g} s")
            for chunk in decoder.close():
                self._take(chunk)
        except Exception as error:
            self._last(error)
            if self.first is None and isinstance(error, MalformedResponseError) and head.lstrip()[:1] == b"<":
                raise self._unfinished(head) from None
            raise
        if not decoder.complete:
            raise self._unfinished(head)

    def _last(self, error: Exception) -> None:
        """What came in one piece with an error still belongs to an answer that was begun, but begins none."""
        if self.first is not None:
            for chunk in getattr(error, "before", ()):
                self._take(chunk)

    def _take(self, chunk: Any) -> None:
        self.answer.add(chunk)
        if self.first is None and self.answer.started:
            self.first = self.clock() - self.started
        self.size += len(chunk.text) + len(chunk.reasoning)
        if self.size > MOST_TEXT:
            raise MalformedResponseError(f"the answer has more than {MOST_TEXT // 2**20} million characters")
        if chunk.text:
            self.call.sink(chunk.text)  # type: ignore[misc]  # only streams come here, and they have a sink

    def _unfinished(self, head: bytes) -> InferenceError:
        """The end came without the wire's word for it."""
        if self.answer.started:
            return MalformedResponseError("the stream ended without a finish reason")
        if not head.strip():
            return MalformedResponseError("the response is empty")
        if head.lstrip()[:1] == b"<":
            return MalformedResponseError(f"HTML instead of an answer: {scrub(problem_of(head).message)[:200]}")
        return MalformedResponseError(f"not an answer: {scrub(head[:200].decode('utf-8', 'replace'))!r}")

    def _whole(self, body: bytes) -> None:
        """An unstreamed answer; some gateways send one in reply to a streamed request."""
        if not body.strip():
            raise MalformedResponseError("the response is empty")
        if body.lstrip()[:1] == b"<":
            raise MalformedResponseError(f"HTML instead of an answer: {scrub(problem_of(body).message)[:200]}")
        try:
            data = orjson.loads(body)
        except orjson.JSONDecodeError as error:
            raise MalformedResponseError(f"broken JSON in the response ({error})") from None
        chunk = self.wire.decode(data)
        self.answer.add(chunk)
        if self.call.sink is not None and chunk.text:
            self.first = self.clock() - self.started
            self.call.sink(chunk.text)

    # --- the outcome ----------------------------------------------------------------------------------------

    def _reply(self) -> Reply:
        call, answer = self.call, self.answer
        usage = answer.final_usage(call.input_estimate)
        parsed = None
        if call.request.schema is not None and answer.final_finish() == "stop":
            from hybrid_nb.core.schema import parse_answer

            parsed = parse_answer(answer.text, call.request)
        cost, source = call.engine.price(self.slot.provider, self.slot.target.model, usage, answer.cost)
        self._append("ok", None, usage, cost, source)
        return Reply(
            text=answer.text,
            tool_calls=answer.tool_calls(call.request_id[-8:]),
            parsed=parsed,
            reasoning=answer.reasoning,
            finish=answer.final_finish(),
            usage=usage,
            cost=summed(call.attempts),
            cost_source=source,
            provider=self.slot.target.provider,
            model=self.slot.target.model,
            tier=self.slot.tier,
            ttft=None if self.first is None else self.started + self.first - call.started,
            latency=self.clock() - call.started,
            route=call._route(self.slot),
            request_id=call.request_id,
        )

    def _note(self, outcome: Outcome, error: InferenceError | None) -> None:
        usage, cost, source = self._spent(error)
        self._append(outcome, error, usage, cost, source)

    def _spent(self, error: InferenceError | None) -> tuple[Usage | None, Decimal | None, str | None]:
        """What a failed attempt cost. Vendors do not bill refusals; a broken stream is billed as far as it came."""
        if self.answer.started or self.answer.usage is not None:
            usage = self.answer.final_usage(self.call.input_estimate)
            return usage, *self.call.engine.price(self.slot.provider, self.slot.target.model, usage, self.answer.cost)
        refused = error is not None and not isinstance(error, ProviderTimeoutError | MalformedResponseError)
        free = self.slot.provider.vendor.free or self.slot.tier != "cloud"
        if not self.sent or refused or free:
            return None, Decimal(0), "free" if free else "config"
        return None, None, None

    def _append(
        self,
        outcome: Outcome,
        error: InferenceError | None,
        usage: Usage | None,
        cost: Decimal | None,
        source: str | None,
    ) -> None:
        self.call.attempts.append(
            Attempt(
                provider=self.slot.target.provider,
                model=self.slot.target.model,
                outcome=outcome,
                error=None if error is None else f"{type(error).__name__}: {error.message}",
                seconds=self.clock() - self.started,
                cost=cost,
                status_code=error.status_code if error else None,
                ttft=self.first,
                started=self.wall,
                usage=usage,
                cost_source=source,
                tier=self.slot.tier,
            )
        )


async def whole(response: Response) -> bytes:
    """The whole body, at most MAX_BODY bytes."""
    parts, size = [], 0
    async for data in response:
        parts.append(data)
        size += len(data)
        if size > MAX_BODY:
            raise MalformedResponseError(f"the answer is longer than {MAX_BODY // 2**20} MB")
    return parts[0] if len(parts) == 1 else b"".join(parts)
