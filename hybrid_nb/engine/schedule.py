"""Which target is asked next, and when: one attempt budget over all targets. Pure; time and chance come in.

Every target has one try in the order of the plan; `retries` further tries go to those that may yet succeed,
after a wait with full jitter (AWS Architecture Blog, "Exponential Backoff and Jitter") or as the provider asks.
A target is not tried again while another that was not asked is free. What a context was too small for goes to a larger
one only; a request that is wrong, or that a content filter refused, goes nowhere else.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from hybrid_nb.core.errors import (
    ContentFilterError,
    ContextLengthError,
    InferenceError,
    InvalidRequestError,
    ModelNotFoundError,
    UnsupportedFeatureError,
)
from hybrid_nb.core.provider import Endpoint, Provider
from hybrid_nb.core.types import Target, Tier

LONGEST_BACKOFF = 8.0  # seconds


class Slot(NamedTuple):
    """Somewhere to send a request: a target at one of its provider's endpoints."""

    target: Target
    provider: Provider
    endpoint: Endpoint
    tier: Tier
    reason: str


class Step(NamedTuple):
    """What to do next: wait so many seconds, then ask this slot. `last_resort`: no fresh one is left."""

    slot: Slot
    wait: float
    last_resort: bool = False


def backoff(delay: float, failures: int, rng: random.Random) -> float:
    """Seconds to wait after so many failures: uniform between 0 and delay * 2^(failures - 1), at most 8 s."""
    return rng.uniform(0, min(LONGEST_BACKOFF, delay * 2 ** (failures - 1)))


class Schedule:
    """The tries of one call. `failed` records an outcome, `next` gives the next step or None."""

    def __init__(
        self,
        slots: Iterable[Slot],
        retries: int,
        retry_delay: float,
        failover: bool,
        rng: random.Random,
        refused_too: bool = False,
    ) -> None:
        """`refused_too`: what a content filter refused is taken to others."""
        self._fresh = iter(slots) if failover else _same_target(slots)
        self._peeked: Slot | None = None
        self._retries = retries
        self._delay = retry_delay
        self._rng = rng
        self._refused_too = refused_too
        self._too_small = 0  # tokens: the largest known context that did not do
        self._overflowed: set[Target] = set()
        self._failures = 0
        self._again: list[tuple[float, Slot]] = []  # (ready at, slot), each costs a retry
        self._later: list[tuple[float, Slot]] = []  # (ready at, slot), not asked yet

    def next(self, now: float) -> Step | None:
        """The next step; `now` is monotonic seconds."""
        fresh = self.fresh()
        if fresh is not None:
            return Step(fresh, 0.0)
        if self._later:
            return self._soonest(self._later, now)
        if not self._again or self._retries <= 0:
            return None
        self._retries -= 1
        return self._soonest(self._again, now)

    def fresh(self) -> Slot | None:
        """The next slot that was not asked yet, if any."""
        found, self._peeked = self._peeked or next(self._fresh, None), None
        while found is not None and self._overflowed and self._small(found):
            found = next(self._fresh, None)
        return found

    @property
    def more(self) -> bool:
        """Whether there is a slot that was not asked yet."""
        if self._peeked is None or self._overflowed:
            self._peeked = self.fresh()
        return self._peeked is not None

    def _small(self, slot: Slot) -> bool:
        """Its context is no larger than one that did not do, as far as is known."""
        if slot.target in self._overflowed:
            return True
        context = slot.provider.model_info(slot.target.model).context
        return context is not None and context <= self._too_small

    @staticmethod
    def _soonest(among: list[tuple[float, Slot]], now: float) -> Step:
        ready, slot = among.pop(min(range(len(among)), key=lambda i: among[i][0]))
        return Step(slot, max(0.0, ready - now), True)

    def postponed(self, slot: Slot, ready: float) -> None:
        """A slot that could not be asked yet; it comes again when no fresh one is left, and costs no retry."""
        self._later.append((ready, slot))

    def failed(self, slot: Slot, error: InferenceError, now: float) -> None:
        """Take note of a failure, and of what it says about the tries that remain."""
        self._failures += 1
        if isinstance(error, InvalidRequestError) and not self._elsewhere(error):
            self._fresh, self._peeked = iter(()), None
            self._again.clear()
            self._later.clear()
        elif isinstance(error, ContextLengthError):
            self._overflowed.add(slot.target)
            if error.status_code not in (413, 429):  # more than it takes at once, which tells nothing of its context
                self._too_small = max(self._too_small, slot.provider.model_info(slot.target.model).context or 0)
            self._later = [item for item in self._later if not self._small(item[1])]
            self._again = [item for item in self._again if not self._small(item[1])]
        elif error.retryable:
            asked = getattr(error, "retry_after", None)
            wait = backoff(self._delay, self._failures, self._rng) if asked is None else asked
            self._again.append((now + wait, slot))

    def _elsewhere(self, error: InferenceError) -> bool:
        """Whether another target may take what this one finds wrong."""
        if isinstance(error, ContentFilterError):
            return self._refused_too
        return isinstance(error, ContextLengthError | ModelNotFoundError | UnsupportedFeatureError)


def _same_target(slots: Iterable[Slot]) -> Iterator[Slot]:
    """The addresses of the first target only."""
    chosen: Target | None = None
    for slot in slots:
        if chosen is not None and slot.target != chosen:
            return
        chosen = slot.target
        yield slot
