"""A call and its attempts as rows, and the columns in which people read them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, NamedTuple

from hybrid_nb.core.types import Attempt, Reply, Request, Usage

PICO = 10**12  # money is kept as an integer of 1e-12 dollars, so that sums are exact

CALL_COLUMNS = (
    "time", "request_id", "provider", "model", "tier", "status", "error", "finish", "attempts", "ttft_s", "latency_s",
    "input_tokens", "cached_tokens", "output_tokens", "reasoning_tokens", "usage_source", "cost_usd", "cost_source",
    "cache_hit", "route_reason", "tags",
)  # fmt: skip
ATTEMPT_COLUMNS = (
    "time", "request_id", "number", "provider", "model", "tier", "outcome", "error", "status_code", "ttft_s", "seconds",
    "input_tokens", "output_tokens", "usage_source", "cost_usd", "cost_source", "part",
)  # fmt: skip


class Entry(NamedTuple):
    """One finished call, ready to be written."""

    call: tuple[Any, ...]
    attempts: tuple[tuple[Any, ...], ...]


MOST = 2**63 - 1  # what a column holds


def pico(cost: Decimal | None) -> int | None:
    return None if cost is None else min(MOST, int((cost * PICO).to_integral_value()))


def entry(started: float, request: Request, reply: Reply, status: str, error: str | None, hit: bool = False) -> Entry:
    """The rows of a call. `reply` is what is known of it, even when it failed; `started` is unix time.

    `hit`: the answer was given before, and kept.
    """
    usage, route = reply.usage, reply.route
    reason = f"{route.reason}; {route.cut}" if route.cut else route.reason
    call = (
        started, reply.request_id, reply.provider or None, reply.model or None, reply.tier if reply.provider else None,
        status, error, reply.finish if status == "ok" else None, len(route.attempts), reply.ttft, reply.latency,
        usage.input_tokens, usage.cached_tokens, usage.output_tokens, usage.reasoning_tokens, usage.source,
        pico(reply.cost), reply.cost_source, int(hit), reason or None, _tags(request.tags),
    )  # fmt: skip
    rows = tuple(_attempt(reply.request_id, number, attempt) for number, attempt in enumerate(route.attempts, 1))
    return Entry(call, rows)


def _tags(tags: Mapping[str, str]) -> str | None:
    return json.dumps(dict(tags)) if tags else None  # not orjson: a lone surrogate is escaped and not refused


def _attempt(request_id: str, number: int, a: Attempt) -> tuple[Any, ...]:
    usage = a.usage or Usage()
    return (
        a.started, request_id, number, a.provider, a.model, a.tier, a.outcome, a.error, a.status_code, a.ttft,
        a.seconds, usage.input_tokens, usage.output_tokens, usage.source, pico(a.cost), a.cost_source, a.part or None,
    )  # fmt: skip
