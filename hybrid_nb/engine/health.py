"""What is known of each provider's health: events in, facts out, clock passed in. Pure.

Calls tell as much as checks do, and what is newer counts: a call that went well after a failed check shows that the
provider is there, one from before it does not. A provider is healthy above 95 % success over its last calls.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from hybrid_nb.core.provider import Endpoint

HEALTHY_ABOVE = 0.95
REMEMBERED = 100  # outcomes of one provider
TIMED = 40  # calls that went well, whose seconds are kept one by one


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
    up: tuple[Endpoint, ...] = field(default=(), repr=False)  # those that answered well
    configured: tuple[str, ...] = ()  # models
    served: tuple[str, ...] = ()  # those of them that are there now
    mute: bool = False  # it is there and does not list models (403, 404, 429): that says nothing of calls
    refused: bool = False  # the key
    retry_after: float | None = None  # seconds that it asked to be left alone

    @property
    def ok(self) -> bool:
        return self.healthy > 0

    @property
    def there(self) -> bool:
        """It was up, as far as this tells."""
        return self.ok or self.mute


@dataclass(slots=True)
class Record:
    """What happened at one provider, or with one model of it. Times are unix time."""

    calls: int = 0
    failures: int = 0
    checks: int = 0  # and intervals in which calls told as much
    checks_ok: int = 0
    seconds: float = 0.0  # of all calls that went well
    recent: deque[bool] = field(default_factory=lambda: deque(maxlen=REMEMBERED))
    timed: deque[float] = field(default_factory=lambda: deque(maxlen=TIMED))  # seconds of those that went well
    last_check: Check | None = None
    last_error: str | None = None
    last_error_at: float | None = None
    last_call_at: float | None = None  # its end
    last_ok_at: float | None = None  # the end of the last that went well

    @property
    def uptime(self) -> float | None:
        """The share of the looks, by checks or by calls, at which it was up; None without any."""
        return self.checks_ok / self.checks if self.checks else None

    @property
    def mean_latency(self) -> float | None:
        """Seconds of a call that went well, on average; None without any."""
        good = self.calls - self.failures
        return self.seconds / good if good else None

    def attempt(self, ok: bool, error: str | None, now: float, seconds: float) -> None:
        self.calls += 1
        self.recent.append(ok)
        self.last_call_at = max(now, self.last_call_at or now)
        if ok:
            self.seconds += seconds
            self.timed.append(seconds)
            self.last_ok_at = max(now, self.last_ok_at or now)
            return
        self.failures += 1
        self._error(error, now)

    def looked(self, there: bool, check: Check | None = None) -> None:
        self.checks += 1
        self.checks_ok += there
        self.last_check = check or self.last_check

    def _error(self, error: str | None, at: float) -> None:
        if self.last_error_at is None or at >= self.last_error_at:
            self.last_error, self.last_error_at = error, at

    def failed_check(self, check: Check) -> None:
        self._error(check.error, check.at)

    def since_check(self) -> bool:
        """Whether a call went well since the last check began."""
        return self.last_check is not None and self.last_ok_at is not None and self.last_ok_at >= self.last_check.at


class Health:
    """The records of all providers, and of the models that were asked or looked for."""

    def __init__(self) -> None:
        self.records: dict[str, Record] = {}
        self.models: dict[tuple[str, str], Record] = {}

    def record(self, provider: str) -> Record:
        return self.records.get(provider) or self.records.setdefault(provider, Record())

    def model(self, provider: str, model: str) -> Record:
        place = (provider, model)
        return self.models.get(place) or self.models.setdefault(place, Record())

    def attempt(
        self, provider: str, ok: bool, error: str | None, now: float, model: str | None = None, seconds: float = 0.0
    ) -> None:
        """A call's attempt ended at `now`. A request that was wrong in itself is no attempt in this sense."""
        self.record(provider).attempt(ok, error, now, seconds)
        if model is not None:
            self.model(provider, model).attempt(ok, error, now, seconds)

    def checked(self, check: Check) -> None:
        """A check ended."""
        record = self.record(check.provider)
        record.looked(check.there, check)
        if check.error:
            record.failed_check(check)
        if check.mute:
            return
        known = [name for provider, name in list(self.models) if provider == check.provider]
        for name in dict.fromkeys((*known, *check.configured)):
            there = name in check.served if name in check.configured else check.ok
            self.model(check.provider, name).looked(there, check)

    def told(self, provider: str) -> None:
        """An interval in which calls told as much as a check: it was up."""
        self.record(provider).looked(True)

    def moved(self, provider: str) -> None:
        """Its address or key changed: the last check was of another."""
        for name, record in [*self.records.items(), *((p, r) for (p, _), r in self.models.items())]:
            if name == provider:
                record.last_check = None

    def status(self, provider: str, model: str | None = None) -> str:
        """healthy, degraded, down or unknown."""
        record = self.record(provider) if model is None else self.model(provider, model)
        check = record.last_check
        newer = record.since_check()
        if check is not None and not newer and not _there(check, model):
            return "down"
        rate = success_rate(record.recent)
        partly = check is not None and check.ok and check.healthy < check.endpoints
        if (rate is not None and rate < HEALTHY_ABOVE) or partly:
            return "degraded"
        return "unknown" if rate is None and (check is None or check.mute) else "healthy"


def _there(check: Check, model: str | None) -> bool:
    return check.there and (check.mute or model not in check.configured or model in check.served)


def success_rate(outcomes: Sequence[bool] | deque[bool]) -> float | None:
    """The share of successes; None without any outcome."""
    return outcomes.count(True) / len(outcomes) if outcomes else None
