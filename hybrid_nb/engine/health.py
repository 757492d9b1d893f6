"""What is known of each provider's health: events in, facts out, clock passed in. Pure.

Calls tell as much as checks do. A provider is healthy above 95 % success over its last calls and checks.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

HEALTHY_ABOVE = 0.95
REMEMBERED = 100  # outcomes of one provider


@dataclass(frozen=True, slots=True)
class Check:
    """One look at a provider, over all of its endpoints. Times are seconds, `at` unix time."""

    provider: str
    at: float
    healthy: int  # endpoints that answered
    endpoints: int
    latency: float | None
    error: str | None = None
    models: tuple[str, ...] | None = None  # what the server lists; None: it was not told
    missing: tuple[str, ...] = ()  # configured models that it does not list
    reached: bool = False  # an endpoint answered, if only with an error

    @property
    def ok(self) -> bool:
        return self.healthy > 0


@dataclass(slots=True)
class Record:
    """What happened at one provider."""

    calls: int = 0
    failures: int = 0
    checks: int = 0
    checks_ok: int = 0
    recent: deque[bool] = field(default_factory=lambda: deque(maxlen=REMEMBERED))
    last_check: Check | None = None
    last_error: str | None = None
    last_error_at: float | None = None


class Health:
    """The records of all providers."""

    def __init__(self) -> None:
        self.records: dict[str, Record] = {}

    def record(self, provider: str) -> Record:
        return self.records.get(provider) or self.records.setdefault(provider, Record())

    def attempt(self, provider: str, ok: bool, error: str | None, now: float) -> None:
        """A call's attempt ended. A request that was wrong in itself is no attempt in this sense."""
        record = self.record(provider)
        record.calls += 1
        record.recent.append(ok)
        if not ok:
            record.failures += 1
            record.last_error, record.last_error_at = error, now

    def checked(self, check: Check) -> None:
        """A check ended."""
        record = self.record(check.provider)
        record.checks += 1
        record.checks_ok += check.ok
        record.last_check = check
        if check.error:
            record.last_error, record.last_error_at = check.error, check.at

    def status(self, provider: str) -> str:
        """healthy, degraded, down or unknown."""
        record = self.record(provider)
        check = record.last_check
        if check is not None and not check.ok:
            return "down"
        rate = success_rate(record.recent)
        if (rate is not None and rate < HEALTHY_ABOVE) or (check is not None and check.healthy < check.endpoints):
            return "degraded"
        return "unknown" if check is None and rate is None else "healthy"


def success_rate(outcomes: Sequence[bool] | deque[bool]) -> float | None:
    """The share of successes; None without any outcome."""
    return outcomes.count(True) / len(outcomes) if outcomes else None
