"""The rows of router.health(): what calls and checks told of each provider, or of each of its models. Pure.

Beside its columns a row has `timed_s`, the seconds of the latest calls that went well, oldest first, and `opens_in_s`,
seconds until what is shut is tried again (Gate.opens_in).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from hybrid_nb.core.provider import Provider
from hybrid_nb.engine.gate import Gate
from hybrid_nb.engine.health import Health, Record, success_rate

_BOTH = ("tier", "status", "breaker")
_FIGURES = (
    "latency_s", "success_rate", "calls", "errors", "uptime", "last_check", "last_error", "succeeded",
    "mean_latency_s", "last_error_at", "last_call",
)  # fmt: skip
COLUMNS = {
    "provider": ("provider", *_BOTH, "endpoints", *_FIGURES[:7], "missing_models", *_FIGURES[7:]),
    "model": ("provider", "model", *_BOTH, *_FIGURES),
}


def rows(providers: Iterable[Provider], health: Health, gate: Gate, by: str = "provider") -> list[dict[str, Any]]:
    """One row a provider, or one a model: those configured or listed, and those that were asked for by name."""
    if by == "provider":
        return [_provider(p, health, gate) for p in providers]
    return [_model(p, name, health, gate) for p in providers for name in _models(p, health)]


def _models(p: Provider, health: Health) -> list[str]:
    asked = [name for provider, name in list(health.models) if provider == p.name]
    return list(dict.fromkeys((*(info.id for info in p.models), *asked)))


def _status(p: Provider, status: str) -> str:
    return "disabled" if not p.enabled else "no key" if p.missing_key else status


def _figures(record: Record) -> dict[str, Any]:
    """Times are unix time, `mean_latency_s` is over calls that went well, `latency_s` of the last check."""
    last = record.last_check
    return {
        "latency_s": last.latency if last else None,
        "success_rate": success_rate(record.recent),
        "calls": record.calls,
        "errors": record.failures,
        "succeeded": record.calls - record.failures,
        "mean_latency_s": record.mean_latency,
        "uptime": record.uptime,
        "last_check": last.at if last else None,
        "last_call": record.last_call_at,
        "last_error": record.last_error,
        "last_error_at": record.last_error_at,
        "timed_s": tuple(record.timed),
    }


def _provider(p: Provider, health: Health, gate: Gate) -> dict[str, Any]:
    record = health.record(p.name)
    last = record.last_check
    well = f"{last.healthy}/{last.endpoints} endpoints healthy" if last else f"{len(p.endpoints)} not checked"
    return {
        "provider": p.name,
        "tier": p.tier,
        "status": _status(p, health.status(p.name)),
        "endpoints": well,
        "breaker": gate.state(p),
        **_figures(record),
        "opens_in_s": gate.opens_in(p),
        "missing_models": ", ".join(last.missing) if last and last.missing else None,
    }


def _model(p: Provider, model: str, health: Health, gate: Gate) -> dict[str, Any]:
    return {
        "provider": p.name,
        "model": model,
        "tier": p.tier,
        "status": _status(p, health.status(p.name, model)),
        "breaker": gate.state(p, model),
        "opens_in_s": gate.opens_in(p, model),
        **_figures(health.model(p.name, model)),
    }
