"""The rows of router.models() and router.providers(), and what `since` may be."""

from __future__ import annotations

import datetime as dt
import time
from typing import Any

from hybrid_nb.core.inputs import OptionTypeError, OptionValueError
from hybrid_nb.core.provider import Provider
from hybrid_nb.ledger import prices

MODEL_COLUMNS = (
    "provider", "model", "tier", "priority", "context", "max_output", "tools", "vision", "json_schema", "loaded",
    "input_usd_per_mtok", "output_usd_per_mtok", "price_source", "available",
)  # fmt: skip
PROVIDER_COLUMNS = ("provider", "type", "tier", "priority", "enabled", "base_url", "key", "models", "rpm")


def model(option: Any) -> dict[str, Any]:
    info, provider = option.info, option.provider
    into, source = prices.per_million(provider, info.id, "input")
    out, _ = prices.per_million(provider, info.id, "output")
    return {
        "provider": provider.name, "model": info.id, "tier": provider.tier, "priority": provider.priority,
        "context": info.context, "max_output": info.max_output, "tools": info.tools, "vision": info.vision,
        "json_schema": info.json_schema, "loaded": info.loaded, "input_usd_per_mtok": into,
        "output_usd_per_mtok": out, "price_source": source, "available": option.blocked[1] if option.blocked else "yes",
    }  # fmt: skip


def provider(p: Provider) -> dict[str, Any]:
    sources = list(dict.fromkeys(e.key.source for e in p.endpoints if e.key))
    return {
        "provider": p.name, "type": p.vendor.type, "tier": p.tier, "priority": p.priority, "enabled": p.enabled,
        "base_url": ", ".join(e.base_url for e in p.endpoints), "models": len(p.models), "rpm": p.rpm,
        "key": ", ".join(sources) or ("missing" if p.missing_key else "not needed"),
    }  # fmt: skip


def unix(since: Any) -> float | None:
    """Unix time of a datetime, a date text, a timedelta back from now, or a number."""
    if since is None or isinstance(since, int | float):
        return since
    if isinstance(since, dt.timedelta):
        return time.time() - since.total_seconds()
    if isinstance(since, str):
        try:
            since = dt.datetime.fromisoformat(since)
        except ValueError:
            raise OptionValueError(f"since must be a date such as 2026-11-01, not {since!r}") from None
    if isinstance(since, dt.datetime):
        return since.timestamp()
    if isinstance(since, dt.date):
        return dt.datetime.combine(since, dt.time()).timestamp()
    raise OptionTypeError(f"since must be a datetime, timedelta, ISO date or unix time, not {type(since).__name__}")
