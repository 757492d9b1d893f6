"""Requests and tokens a minute, and requests at once, for one provider's key: reserve, settle, refund. Pure.

A sliding window of a minute: what was reserved counts from the moment it was let through, with its estimate, until it
is settled with the true figure; a refund takes it back. The vendor's own rate headers, when it sends them, overrule our
count, since others may use the same key.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

MINUTE = 60.0


@dataclass(slots=True, eq=False)
class Hold:
    """What one request holds: an entry of the window, and a place among those at once."""

    at: float
    tokens: int
    counted: bool = True
    running: bool = True


@dataclass(frozen=True, slots=True)
class Room:
    """What is left at a moment. None: no limit."""

    requests: int | None
    tokens: int | None
    at_once: int | None


@dataclass(frozen=True, slots=True)
class Told:
    """What the vendor's headers said was left, and the clock's time at which that ends."""

    left: int
    until: float


@dataclass(slots=True)
class Limits:
    """The window of one key. `now` is monotonic seconds."""

    rpm: int | None = None
    tpm: int | None = None
    max_concurrency: int | None = None
    holds: deque[Hold] = field(default_factory=deque)
    tokens: int = 0  # in the window
    running: int = 0
    blocked_until: float = 0.0  # told by the vendor
    vendor: dict[str, Told] = field(default_factory=dict)  # by "requests" and "tokens", as the vendor told last

    def wait(self, tokens: int, now: float) -> float:
        """Seconds until a request of so many tokens may go; 0: now; inf: only when another one ends."""
        self._forget(now)
        blocked = max(0.0, self.blocked_until - now)
        if not blocked and self.max_concurrency is not None and self.running >= self.max_concurrency:
            return float("inf")
        return max(blocked, self._wait_for_requests(now), self._wait_for_tokens(tokens, now))

    def take(self, tokens: int, now: float) -> Hold | None:
        """Reserve for a request; None when it must wait."""
        if self.wait(tokens, now) > 0:
            return None
        hold = Hold(now, tokens)
        self.holds.append(hold)
        self.tokens += tokens
        self.running += 1
        return hold

    def settle(self, hold: Hold, tokens: int | None) -> None:
        """The request ended and used so many tokens; None: its estimate stands."""
        self._end(hold)
        if hold.counted and tokens is not None:
            self.tokens += tokens - hold.tokens
            hold.tokens = tokens

    def refund(self, hold: Hold) -> None:
        """The request never reached the provider: it counts for nothing."""
        self._end(hold)
        if hold.counted:
            hold.counted = False
            self.tokens -= hold.tokens
            self.holds.remove(hold)

    def told(self, remaining: int | None, reset: float | None, now: float, what: str = "requests") -> None:
        """The vendor's headers for "requests" or "tokens": nothing left means to wait for the reset (seconds from now).

        A figure without a reset is taken to hold for a minute, and blocks nothing.
        """
        if remaining is None or remaining < 0:
            return
        self.vendor[what] = Told(remaining, now + (MINUTE if reset is None else reset))
        if remaining == 0 and reset is not None:
            self.blocked_until = max(self.blocked_until, now + min(reset, MINUTE))

    def left_by_vendor(self, what: str, now: float) -> int | None:
        """How many "requests" or "tokens" the vendor said were left; None: it did not say, or that time is over."""
        told = self.vendor.get(what)
        return told.left if told is not None and now < told.until else None

    @property
    def unlimited(self) -> bool:
        return self.rpm is None and self.tpm is None and self.max_concurrency is None

    def room(self, now: float) -> Room:
        """The remaining allowance."""
        self._forget(now)
        return Room(
            None if self.rpm is None else max(0, self.rpm - len(self.holds)),
            None if self.tpm is None else max(0, self.tpm - self.tokens),
            None if self.max_concurrency is None else max(0, self.max_concurrency - self.running),
        )

    def _end(self, hold: Hold) -> None:
        if hold.running:
            hold.running = False
            self.running -= 1

    def _forget(self, now: float) -> None:
        while self.holds and self.holds[0].at <= now - MINUTE:
            old = self.holds.popleft()
            old.counted = False
            self.tokens -= old.tokens

    def _wait_for_requests(self, now: float) -> float:
        if self.rpm is None or len(self.holds) < self.rpm:
            return 0.0
        return self.holds[len(self.holds) - self.rpm].at + MINUTE - now

    def _wait_for_tokens(self, tokens: int, now: float) -> float:
        """One request larger than the limit may go alone: it can never fit, and the vendor may yet take it."""
        over = 0 if self.tpm is None else self.tokens + tokens - self.tpm
        wait = 0.0
        for hold in self.holds:
            if over <= 0:
                break
            over -= hold.tokens
            wait = hold.at + MINUTE - now
        return max(0.0, wait)
