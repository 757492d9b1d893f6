"""Circuit breakers: closed, open, half-open with a single probe. Pure: events in, facts out, clock passed in.

A breaker opens after so many failures in a row, or at a failure rate over a minimum of calls; it stays open for a time
that doubles with each failed probe, or for as long as the provider asked (Retry-After). What an error says about its
target differs: a wrong request says nothing, a wrong key holds until the key changes, a spent quota for a long time.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from enum import Enum

from hybrid_nb.core.errors import (
    AuthenticationError,
    ConnectionFailedError,
    InferenceError,
    MalformedResponseError,
    PermissionDeniedError,
    ProviderError,
    ProviderTimeoutError,
    QuotaExceededError,
    RateLimitError,
    ServiceUnavailableError,
    StreamInterruptedError,
)

FOREVER = float("inf")


class State(Enum):
    """What a breaker lets through: everything, nothing, or one probe."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"


class Pass(Enum):
    """How a request was let through; handed back when it has ended."""

    NORMAL = "normal"
    PROBE = "probe"


class Verdict(Enum):
    """What an outcome says about the target."""

    GOOD = "good"
    NOTHING = "nothing"  # the request was wrong, or the caller went away
    BAD = "bad"
    GONE = "gone"  # bad too: nothing answered there
    SPENT = "spent"  # no credit left
    LOCKED = "locked"  # the key is refused


_VERDICTS: tuple[tuple[type[InferenceError], Verdict], ...] = (
    (AuthenticationError, Verdict.LOCKED),
    (PermissionDeniedError, Verdict.NOTHING),
    (QuotaExceededError, Verdict.SPENT),
    (RateLimitError, Verdict.BAD),
    (ServiceUnavailableError, Verdict.BAD),
    (ProviderTimeoutError, Verdict.BAD),
    (ConnectionFailedError, Verdict.GONE),
    (StreamInterruptedError, Verdict.BAD),
    (MalformedResponseError, Verdict.BAD),
    (ProviderError, Verdict.BAD),
)


def verdict(error: InferenceError | None) -> Verdict:
    """What an attempt's error (None: it succeeded) says about its target."""
    if error is None:
        return Verdict.GOOD
    return next((found for kind, found in _VERDICTS if isinstance(error, kind)), Verdict.NOTHING)


@dataclass(frozen=True, slots=True)
class Policy:
    """When to open, and for how long. Times are seconds."""

    threshold: int = 5  # failures in a row
    seconds: float = 60.0  # the first opening
    longest: float = 600.0  # of openings that double; never less than `seconds`
    rate: float = 0.5  # of failures, over at least `calls` of the last `window`
    calls: int = 20
    window: int = 50
    spent: float = 3600.0  # also the longest that a provider may ask to be left alone


@dataclass(slots=True)
class Breaker:
    """The breaker of one target (or of one key). `now` is monotonic seconds."""

    policy: Policy = field(default_factory=Policy)
    failures: int = 0  # in a row
    openings: int = 0  # since it was last closed
    until: float | None = None  # open until then, and half-open after; None: closed
    cooling: float = 0.0  # left alone until then, as the provider asked; that is no failure by itself
    probing: bool = False
    lasting: bool = False  # opened for the key's or the credit's sake, of which a list of models says nothing
    gone: bool = False  # at the latest failure nothing answered
    recent: deque[bool] = field(default_factory=deque)

    def state(self, now: float) -> State:
        """Where it stands."""
        if now < self.cooling:
            return State.OPEN
        if self.until is None:
            return State.CLOSED
        return State.OPEN if now < self.until else State.HALF_OPEN

    @property
    def calm(self) -> bool:
        """Closed, and not asked to be left alone since it last went well."""
        return self.until is None and self.cooling == 0.0 and not self.probing

    def went_well(self) -> None:
        """A normal request ended well while calm: what leave() does then, without the rest."""
        self.failures = self.openings = 0
        self._remember(True)

    def admits(self, now: float) -> bool:
        """Whether a request may go through; asking takes nothing."""
        state = self.state(now)
        return state is State.CLOSED or (state is State.HALF_OPEN and not self.probing)

    def enter(self, now: float) -> Pass | None:
        """Let a request through, as the probe when half-open; None when it may not."""
        if not self.admits(now):
            return None
        if self.state(now) is State.CLOSED:
            return Pass.NORMAL
        self.probing = True
        return Pass.PROBE

    def leave(self, let: Pass, outcome: Verdict, now: float, retry_after: float | None = None) -> None:
        """The request that entered has ended so. Every `enter` that let one through has one `leave`."""
        probe = let is Pass.PROBE and self.until is not None  # a reset meanwhile made it a call like others
        if let is Pass.PROBE:
            self.probing = False
        if outcome is Verdict.NOTHING:
            return
        self._remember(outcome is Verdict.GOOD)
        if outcome is Verdict.GOOD:
            self._good(probe)
        elif outcome is Verdict.LOCKED:
            self.until, self.lasting = FOREVER, True
        elif outcome is Verdict.SPENT:
            self.lasting = True
            self._open(now, self.policy.spent if retry_after is None else min(retry_after, self.policy.spent))
        else:
            if retry_after is not None:
                self.cooling = max(self.cooling, now + min(retry_after, self.policy.spent))
            self.gone = outcome is Verdict.GONE
            self._bad(probe, now)

    @property
    def opens_at(self) -> float:
        """When something may go through again."""
        return max(self.until or 0.0, self.cooling)

    def reset(self) -> None:
        """Begin afresh. A probe under way stays one until it leaves, so that there are never two."""
        self.failures = self.openings = 0
        self.until = None
        self.cooling = 0.0
        self.lasting = self.gone = False
        self.recent.clear()

    def well(self, now: float, asked: bool = False) -> None:
        """A check found the server there, and the key good; `asked`: for a person, who may overrule what lasts.

        It listed its models, which is not to answer: a probe may go now. Where nothing had answered at all, everybody
        may go, and a single failure shuts it again, for longer. What it asked for (Retry-After), a refused key and
        spent credit stand, unless a person looked.
        """
        if asked:
            self.cooling = 0.0
        if self.until is None or (self.lasting and not asked):
            return
        if self.until == FOREVER:
            self.reset()
        elif self.gone and not self.lasting:
            self.until, self.failures = None, self.policy.threshold - 1
            self.recent.clear()
        else:
            self.until = min(self.until, now)

    def _remember(self, good: bool) -> None:
        self.recent.append(good)
        while len(self.recent) > self.policy.window:
            self.recent.popleft()

    def _good(self, probe: bool) -> None:
        self.failures = 0
        self.cooling = 0.0
        if self.until is None:
            self.openings = 0
        elif probe and self.until != FOREVER:  # an old request that ends well says little about now
            self.reset()

    def _bad(self, probe: bool, now: float) -> None:
        self.failures += 1
        if self.until is not None and not probe:
            return  # one of a crowd that failed together has opened it
        if probe or self.failures >= self.policy.threshold or self._too_many():
            longest = max(self.policy.longest, self.policy.seconds)
            if self.until != FOREVER:
                self.lasting = False
            self._open(now, min(longest, self.policy.seconds * 2.0 ** min(self.openings, 64)))
            self.openings += 1

    def _too_many(self) -> bool:
        bad = len(self.recent) - sum(self.recent)
        return len(self.recent) >= self.policy.calls and bad / len(self.recent) > self.policy.rate

    def _open(self, now: float, seconds: float) -> None:
        self.until = max(now + seconds, self.until or now)

    def describe(self, now: float) -> str:
        """Why it lets nothing through, for a plan."""
        if self.until == FOREVER:
            return "its key was refused before; it is asked again when the key changes or router.health() finds it well"
        if self.state(now) is State.OPEN:
            return f"its breaker is open for {self.opens_at - now:.0f} s more (router.health() asks at once)"
        return "its breaker is half-open and a probe is under way"
