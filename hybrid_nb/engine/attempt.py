"""One attempt at one slot: the request on its wire, the answer in pieces, and what it cost.

Every attempt ends with a row, failed and cancelled ones too, and hands back what the gate gave it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any, NamedTuple, Protocol

import orjson

from hybrid_nb import keys
from hybrid_nb.core.errors import (
    ConnectionFailedError,
    ContentFilterError,
    HybridNbError,
    InferenceError,
    InvalidRequestError,
    MalformedResponseError,
    ProviderTimeoutError,
    StreamInterruptedError,
)
from hybrid_nb.core.provider import InBandError, Provider, Response, Transport
from hybrid_nb.core.responses import error_from, normalise, problem_of, scrub
from hybrid_nb.core.tracing import AttemptTrace, Trace
from hybrid_nb.core.types import Attempt, HttpCall, Outcome, Request, Usage
from hybrid_nb.engine.assemble import Assembler
from hybrid_nb.engine.breaker import Verdict, verdict
from hybrid_nb.engine.gate import Gate, Ticket
from hybrid_nb.engine.resume import Unfit, Way, seam
from hybrid_nb.engine.schedule import Schedule, Slot
from hybrid_nb.engine.watchdog import Watchdog

MAX_BODY = 32 * 1024 * 1024  # bytes of an unstreamed answer or an error
AFTER_FINISH = 1.0  # seconds for usage and the end, once a finish reason came
MOST_TEXT = 32 * 1024 * 1024  # characters of one answer
HEAD = 2048  # bytes of a stream kept until it proves to be one, to say what came instead

Sink = Callable[[str], None]
Pricer = Callable[[Provider, str, Usage | None, Decimal | None], tuple[Decimal | None, str | None]]


class Timing(NamedTuple):
    """Seconds. `total` bounds the whole call with its waits and retries."""

    total: float
    connect: float
    ttft: float
    stall: float


class Overtaken(Exception):  # noqa: N818 - a signal to the run, never seen outside
    """Another attempt of this call had its first token earlier."""


class Asked(NamedTuple):
    """What one attempt asks: of whom, for which part of the answer (`way`), and its size in tokens, estimated."""

    slot: Slot
    request: Request
    input_estimate: int
    way: Way | None = None
    part: str = ""


class Call(Protocol):
    """The call that an attempt belongs to, as the attempt sees it."""

    transport: Transport
    gate: Gate
    price: Pricer
    wall: Callable[[], float]
    clock: Callable[[], float]
    timing: Timing
    sink: Sink | None
    schedule: Schedule
    deadline: float  # loop time
    prefix: str  # what earlier attempts have shown
    attempts: list[Attempt]
    raced: bool  # another attempt may be under way
    trace: Trace | None  # where the times of chunks go, when somebody measures

    @property
    def refused_too(self) -> bool:
        """Whether a content filter's empty answer is a failure."""

    def lead(self, attempt: Try) -> None:
        """The first token came. Raises Overtaken when another attempt was earlier."""


class Try:
    """One attempt at one slot."""

    def __init__(self, call: Call, asked: Asked, ticket: Ticket) -> None:
        self.call = call
        self.asked = asked
        self.slot = asked.slot
        self.ticket = ticket
        self.wire = asked.slot.provider.vendor.wire
        self.answer = Assembler()
        self.seam = None if asked.way is None else seam(asked.way, call.prefix)
        self.joined: list[str] = []  # what went through the seam
        self.dog = Watchdog(call.deadline)
        self.clock = call.clock
        self.started = call.clock()
        self.wall = call.wall()
        self.first: float | None = None
        self.parsed: Any = None
        self.noted: Attempt | None = None  # its row, once it has ended
        self.trace: AttemptTrace | None = None
        self.read = self.started  # when what is being decoded was read, where somebody measures
        self.sent = False  # the provider may have begun to work, and to charge
        self.finished = False  # the wire's word for the end came; only usage may follow
        self.ended = False  # the answer came whole
        self.size = 0

    async def run(self) -> None:
        """Raises InferenceError; Overtaken or Unfit when it was given up for another."""
        outcome, wait = Verdict.NOTHING, None
        try:
            await self._guarded()
            outcome = Verdict.GOOD
        except InferenceError as error:
            self._note("interrupted" if isinstance(error, StreamInterruptedError) else "error", error)
            outcome, wait = verdict(error), getattr(error, "retry_after", None)
            raise
        except (asyncio.CancelledError, Overtaken, Unfit) as given_up:
            self._note("cancelled", None, given_up)
            raise
        finally:
            self._leave(outcome, wait)

    def first_after(self, started: float) -> float | None:
        """Seconds from `started` (loop time) to its first token; None without one."""
        return None if self.first is None else self.started + self.first - started

    def overtaken(self, by: Try) -> None:
        """End it: another attempt was faster."""
        self.dog.give_up(Overtaken(f"{by.slot.target} was faster"))

    def _leave(self, outcome: Verdict, wait: float | None) -> None:
        """Hand back what the gate gave."""
        noted = self.noted
        usage = noted.usage if noted else None
        known = usage is not None and usage.input_tokens is not None and usage.output_tokens is not None
        self.call.gate.leave(
            self.ticket,
            outcome,
            sent=self.sent,
            wait=wait,
            tokens=usage.input_tokens + usage.output_tokens if known else None,  # type: ignore[union-attr,operator]
            cost=noted.cost if noted else None if self.sent else Decimal(0),
        )

    async def _guarded(self) -> None:
        """Run under the watchdog, with every failure as a typed error that names its provider."""
        try:
            await self._watched()
            self._end()
            return
        except InferenceError as error:
            found = self._typed(error)
        except InBandError as error:
            problem = normalise(error.data) or problem_of(orjson.dumps(error.data))
            found = self._typed(self._error(None, {}, problem))
        except (HybridNbError, Overtaken, Unfit):
            raise  # ours, and about us
        except Exception as error:  # whatever a server makes our code do, the call ends with a typed error and a row
            text = f"the response is not what {self.wire.__class__.__name__} promises ({type(error).__name__}: {error})"
            found = self._typed(MalformedResponseError(text))
        raise found from found.__cause__  # out here, so that it gets no context

    async def _watched(self) -> None:
        call = self.call
        if call.sink is not None:
            self.dog.expect(call.timing.ttft, "no first token after {:g} s")
        elif call.schedule.more:  # a silent one must leave time for the next
            self.dog.expect(max(call.timing.ttft, (call.deadline - self.clock()) / 2), "no answer after {:g} s")
        try:
            with self.dog:
                await self._exchange(self.dog)
        except (ProviderTimeoutError, ConnectionFailedError):
            if not self.finished:  # else the answer is whole; the server only did not close, or did so rudely
                raise

    @property
    def text(self) -> str:
        """What this attempt adds to the answer."""
        return self.answer.text if self.seam is None else "".join(self.joined)

    @property
    def shown(self) -> bool:
        """Something of its text has gone to the caller."""
        return self.call.sink is not None and (self.answer.spoken if self.seam is None else bool(self.joined))

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
            now=self.call.wall(),
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
            f"the stream broke after {len(self.call.prefix) + len(self.text)} characters: {error.message}",
            error.provider,
            error.status_code,
            partial_text=self.call.prefix + self.text,
        )
        broken.model = error.model
        broken.__cause__ = error
        return broken

    # --- the exchange ---------------------------------------------------------------------------------------

    async def _exchange(self, dog: Watchdog) -> None:
        call, endpoint = self.call, self.slot.endpoint
        streamed = call.sink is not None
        timing = call.timing
        cap = self.ticket.cap
        request = self.asked.request if cap is None else replace(self.asked.request, max_tokens=cap)
        try:
            http = self.wire.chat(endpoint.base_url, self.slot.target.model, request, streamed)
        except (TypeError, ValueError) as error:
            raise InvalidRequestError(f"the request cannot be written as JSON for this provider: {error}") from None
        vendor = self.slot.provider.vendor
        headers = keys.authorised({**http.headers, **vendor.headers}, vendor.auth, endpoint.key)
        http = HttpCall(http.method, http.url, headers, http.body)
        self.sent = True
        if call.trace is not None:
            self.trace = call.trace.begin(self.clock())
            http = replace(http, on_write=self.trace.written)
        response = await call.transport.send(http, min(timing.connect, max(0.001, call.deadline - self.clock())))
        call.gate.heard(self.slot, response.headers)
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
                if self.trace is not None:
                    self.read = self.clock()
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
        if self.trace is not None:
            self.trace.took(self.read, chunk)
        if self.first is None and self.answer.started:
            if self.call.raced:
                self.call.lead(self)
            self.first = self.clock() - self.started
        self.size += len(chunk.text) + len(chunk.reasoning)
        if self.size > MOST_TEXT:
            raise MalformedResponseError(f"the answer has more than {MOST_TEXT // 2**20} million characters")
        if chunk.text:
            self._show(chunk.text)

    def _show(self, text: str) -> None:
        if self.seam is not None:
            text = self.seam.feed(text)
            self._joined(text)
        else:
            self.call.sink(text)  # type: ignore[misc]  # only streams come here, and they have a sink

    def _joined(self, text: str) -> None:
        if text:
            self.joined.append(text)
            self.call.sink(text)  # type: ignore[misc]  # likewise

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
        if self.trace is not None:
            self.read = self.clock()
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
        if self.trace is not None:
            self.trace.took(self.read, chunk)
        if self.call.sink is not None and chunk.text:
            if self.call.raced:
                self.call.lead(self)
            self.first = self.clock() - self.started
            self._show(chunk.text)

    # --- the outcome ----------------------------------------------------------------------------------------

    def _end(self) -> None:
        """The answer came whole."""
        call, answer, request = self.call, self.answer, self.asked.request
        finish = answer.final_finish()
        if finish == "content_filter" and call.refused_too and not self.answer.spoken:
            raise ContentFilterError("its content filter withheld the answer")
        if self.seam is not None:
            self._joined(self.seam.end())
        self.ended = True
        usage = answer.final_usage(self.asked.input_estimate)
        if request.schema is not None and finish == "stop":
            from hybrid_nb.core.schema import parse_answer

            self.parsed = parse_answer(call.prefix + self.text, request)
        self._append("ok", None, usage, *call.price(self.slot.provider, self.slot.target.model, usage, answer.cost))

    def _note(self, outcome: Outcome, error: InferenceError | None, given_up: BaseException | None = None) -> None:
        lost = isinstance(given_up, Overtaken | Unfit)
        why = f"{type(error).__name__}: {error.message}" if error else f"given up: {given_up}" if lost else None
        if isinstance(given_up, Overtaken) and not self.asked.part:
            self.asked = self.asked._replace(part="overtaken")
        self._append(outcome, why, *self._spent(error, lost), error.status_code if error else None)

    def _spent(self, error: InferenceError | None, lost: bool) -> tuple[Usage | None, Decimal | None, str | None]:
        """What a failed attempt cost. Vendors do not bill refusals; a broken stream is billed as far as it came, and
        one that was given up for a faster one at least for its input."""
        free = self.slot.provider.vendor.free or self.slot.tier != "cloud"
        if self.answer.started or self.answer.usage is not None or (lost and self.sent and not free):
            usage = self.answer.final_usage(self.asked.input_estimate)
            return usage, *self.call.price(self.slot.provider, self.slot.target.model, usage, self.answer.cost)
        refused = error is not None and not isinstance(error, ProviderTimeoutError | MalformedResponseError)
        if not self.sent or refused or free:
            return None, Decimal(0), "free" if free else "config"
        return None, None, None

    def _append(
        self,
        outcome: Outcome,
        error: str | None,
        usage: Usage | None,
        cost: Decimal | None,
        source: str | None,
        status: int | None = None,
    ) -> None:
        self.noted = Attempt(
            provider=self.slot.target.provider,
            model=self.slot.target.model,
            outcome=outcome,
            error=error,
            seconds=self.clock() - self.started,
            cost=cost,
            status_code=status,
            ttft=self.first,
            started=self.wall,
            usage=usage,
            cost_source=source,
            tier=self.slot.tier,
            part=self.asked.part or self.asked.way or "",
        )
        self.call.attempts.append(self.noted)
        if self.trace is not None:
            self.trace.kept, self.trace.ended = outcome in ("ok", "interrupted"), self.clock()


async def whole(response: Response) -> bytes:
    """The whole body, at most MAX_BODY bytes."""
    here = response.at_once()
    if here is not None:
        return _bounded(here)
    parts, size = [], 0
    async for data in response:
        parts.append(_bounded(data, size))
        size += len(data)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _bounded(data: bytes, before: int = 0) -> bytes:
    if before + len(data) > MAX_BODY:
        raise MalformedResponseError(f"the answer is longer than {MAX_BODY // 2**20} MB")
    return data
