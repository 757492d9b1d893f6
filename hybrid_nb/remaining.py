"""What is left: of the budget, over all processes that share the ledger, and of each key's rate limits."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from hybrid_nb import frames
from hybrid_nb.core.provider import Endpoint, Provider
from hybrid_nb.engine.gate import Gate
from hybrid_nb.ledger.budget import Period, resets_at
from hybrid_nb.ledger.entries import PICO

if TYPE_CHECKING:
    import pandas as pd

BUDGET_COLUMNS = (
    "limit", "limit_usd", "spent_usd", "reserved_usd", "remaining_usd", "share", "alert", "resets_at",
    "unpriced_calls", "unpriced_models",
)  # fmt: skip
LIMIT_COLUMNS = (
    "provider", "key", "base_url", "rpm", "requests_left", "tpm", "tokens_left", "max_concurrency", "at_once_left",
    "vendor_requests_left", "vendor_tokens_left", "blocked_until",
)  # fmt: skip


def budget(periods: Iterable[Period], alert_at: float, now: float) -> pd.DataFrame:
    """One row a limit; `now` is unix time."""
    return frames.records(budget_rows(periods, alert_at, now), BUDGET_COLUMNS)


def budget_rows(periods: Iterable[Period], alert_at: float, now: float) -> list[dict[str, Any]]:
    """The same as dicts; None is unknown, or no limit."""
    return [_period(period, alert_at, now) for period in periods]


def _period(period: Period, alert_at: float, now: float) -> dict[str, Any]:
    limit, spent, reserved = period.limit, period.spent, period.reserved
    share = None if limit is None else 1.0 if limit == 0 else spent / limit
    return {
        "limit": "day" if period.name == "daily" else "month",
        "limit_usd": _usd(limit),
        "spent_usd": _usd(spent),
        "reserved_usd": _usd(reserved),
        "remaining_usd": None if limit is None else _usd(max(0, limit - spent - reserved)),
        "share": share,
        "alert": None if share is None else share >= alert_at,
        "resets_at": resets_at(period.name, now),
        "unpriced_calls": sum(count for _, count in period.unpriced),
        "unpriced_models": ", ".join(name for name, _ in period.unpriced) or None,
    }


def _usd(amount: int | None) -> float | None:
    return None if amount is None else amount / PICO


async def limits(providers: Iterable[Provider], gate: Gate) -> list[dict[str, Any]]:
    """One row a key and address. On the gate's loop, where its state changes."""
    return [_limits(provider, endpoint, gate) for provider in providers for endpoint in provider.endpoints]


def _limits(provider: Provider, endpoint: Endpoint, gate: Gate) -> dict[str, Any]:
    now, limits = gate.clock(), gate.limits(provider, endpoint)
    room, blocked = limits.room(now), limits.blocked_until - now
    tokens = [limits.left_by_vendor(what, now) for what in ("tokens", "input tokens", "output tokens")]
    return {
        "provider": provider.name,
        "key": endpoint.key.source if endpoint.key else "missing" if provider.vendor.key_required else "not needed",
        "base_url": endpoint.base_url,
        "rpm": limits.rpm,
        "requests_left": room.requests,
        "tpm": limits.tpm,
        "tokens_left": room.tokens,
        "max_concurrency": limits.max_concurrency,
        "at_once_left": room.at_once,
        "vendor_requests_left": limits.left_by_vendor("requests", now),
        "vendor_tokens_left": min((left for left in tokens if left is not None), default=None),
        "blocked_until": time.time() + blocked if blocked > 0 else None,
    }
