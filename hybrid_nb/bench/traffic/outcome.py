"""What became of a call -> its row: times from its trace, the rest from its reply or its error. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any, NamedTuple

import orjson

from hybrid_nb.bench.records import Call, Status
from hybrid_nb.bench.traffic.order import Task
from hybrid_nb.bench.traffic.spending import NOTHING, Paid
from hybrid_nb.core.errors import InferenceError, ProviderTimeoutError, StreamInterruptedError
from hybrid_nb.core.tracing import Trace
from hybrid_nb.core.types import Attempt, Reply, Route, Target, Usage
from hybrid_nb.engine.assemble import estimate_tokens

MOST_ERROR = 2000  # characters of an error that a row keeps
CLOCK = 0.001  # seconds to which a timer is exact


class Timeline(NamedTuple):
    """When a call ended (clock), and the clock's time at the run's start."""

    end: float
    origin: float


def blank(task: Task, stage: int = 0, rate: float | None = None) -> Call:
    """The row of a call that was not asked yet."""
    item = task.item
    call = Call(task.key, item.id, item.cluster, task.epoch, task.model, task.phase, stage, rate)
    call.input = shown(item.input)
    call.target = None if item.target is None else shown(item.target)
    return call


def shown(value: Any) -> str:
    """A prompt or target as text: strings as they are, messages and others as JSON."""
    if isinstance(value, str):
        return _clean(value)
    try:
        return orjson.dumps(value, default=str, option=orjson.OPT_NON_STR_KEYS | orjson.OPT_SERIALIZE_NUMPY).decode()
    except TypeError:  # such as an integer of more than 64 bits
        return _clean(str(value))


def _clean(text: str) -> str:
    """Half of a surrogate pair is no text that a file could hold."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def answered(call: Call, reply: Reply, trace: Trace, time: Timeline) -> Paid:
    """The call has an answer. Returns what it cost."""
    call.status = "ok"
    call.answered_by = str(Target(reply.provider, reply.model))
    call.finish, call.request_id, call.output = reply.finish, reply.request_id, _clean(reply.text)
    call.estimated_tokens = _estimated(reply)
    _paid(call, reply.usage, reply.cost, reply.cost_source)
    _routed(call, reply.route, reply.route.attempts, Target(reply.provider, reply.model))
    ends = [attempt.ended for attempt in trace.attempts if attempt.kept and attempt.ended is not None]
    _timed(call, trace, Timeline(max(ends, default=time.end), time.origin))
    attempts = reply.route.attempts
    return paid_for(attempts) if attempts else Paid(reply.cost or NOTHING)


def failed(call: Call, error: Exception, trace: Trace, time: Timeline, limit: float | None = None) -> Paid:
    """The call has none, or a part of one. `limit`: seconds that it had in all. Returns what it cost."""
    partial = getattr(error, "partial_text", "")
    call.request_id, call.error = trace.request_id, _clean(f"{type(error).__name__}: {error}"[:MOST_ERROR])
    took = time.end - time.origin - (call.started_at or 0.0)
    call.status = _status(error, limit is not None and took >= limit - CLOCK)
    if partial:
        call.output, call.estimated_tokens = _clean(partial), estimate_tokens(partial)
    route: Route = getattr(error, "route", None) or Route(None, (), tuple(getattr(error, "attempts", ())))
    last = route.attempts[-1] if route.attempts else None
    paid = paid_for(route.attempts)
    cost = None if paid.unknown else paid.known
    _paid(call, (last.usage if last else None) or Usage(), cost, last.cost_source if last else None)
    _routed(call, route, route.attempts, None)
    _timed(call, trace, time)
    return paid


def cancelled(call: Call, why: str, trace: Trace, time: Timeline) -> Paid:
    """The run was stopped while the call was under way: no failure of the model's, at a cost that is unknown."""
    skipped(call, f"{why}: stopped while it was under way")
    call.request_id, call.attempts = trace.request_id, len(trace.attempts)
    _timed(call, trace, time)
    return Paid(NOTHING, len(trace.attempts))


def skipped(call: Call, why: str) -> None:
    """The call is not asked."""
    call.status, call.error = "skipped", why


def _status(error: Exception, late: bool) -> Status:
    cause = error.__cause__
    if isinstance(error, StreamInterruptedError):
        return "timeout" if late and isinstance(cause, ProviderTimeoutError) else "interrupted"
    timeout = isinstance(error, ProviderTimeoutError) or isinstance(cause, ProviderTimeoutError)
    return "timeout" if timeout or (late and isinstance(error, InferenceError)) else "error"


def _estimated(reply: Reply) -> int:
    """As the engine estimates where a provider does not count."""
    tools = sum(estimate_tokens(tool.arguments) for tool in reply.tool_calls)
    return estimate_tokens(reply.text) + estimate_tokens(reply.reasoning) + tools


def paid_for(attempts: Sequence[Attempt]) -> Paid:
    """What attempts cost: nothing when nothing was sent."""
    known = sum((a.cost for a in attempts if a.cost is not None), NOTHING)
    return Paid(known, sum(a.cost is None for a in attempts))


def _paid(call: Call, usage: Usage, cost: Decimal | None, source: str | None) -> None:
    call.input_tokens, call.cached_tokens = usage.input_tokens, usage.cached_tokens
    call.output_tokens, call.reasoning_tokens = usage.output_tokens, usage.reasoning_tokens
    call.usage_source = usage.source
    call.cost_usd = None if cost is None else float(cost)
    call.cost_source = None if cost is None else source


def _routed(call: Call, route: Route, attempts: Sequence[Attempt], answerer: Target | None) -> None:
    call.attempts = len(attempts)
    first = next((c.target for c in route.candidates if c.accepted), None)
    tried = [Target(a.provider, a.model) for a in attempts if not (a.part == "hedge" and a.outcome == "cancelled")]
    others = [*tried, *([answerer] if answerer else [])]
    first = first or next(iter(others), None)
    call.failed_over = any(target != first for target in others)


def _timed(call: Call, trace: Trace, time: Timeline) -> None:
    origin = time.origin
    call.end_at = time.end - origin
    if trace.attempts:
        call.sent_at = trace.attempts[0].sent - origin
    call.arrivals = [
        (at - origin, text, reasoning)
        for attempt in trace.attempts
        if attempt.kept
        for at, text, reasoning in attempt.arrivals
    ]
    call.arrivals.sort()
    if call.arrivals:
        call.first_any_at, call.last_at = call.arrivals[0][0], call.arrivals[-1][0]
        call.first_answer_at = next((at for at, text, _ in call.arrivals if text), None)
