"""Time to first token of each target, and the calls in flight: events in, facts out, clock passed in. Pure.

The average is peak-sensitive (Finagle's PeakEwma): it rises to a slow answer at once and comes down with a time
constant, so that a target in trouble is left alone before its mean shows it. A peak that nothing confirms decays
towards the target's usual time; what was measured too long ago is forgotten, which is not the same as fast.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field

from hybrid_nb.core.types import Target

DECAY = 10.0  # seconds: the time constant
FORGET = 300.0  # seconds after which a measurement says nothing of now
USUAL = 0.1  # the share of a new measurement in the usual time
MOST = 1000  # targets, above which those that nobody asked for a while are dropped: models may be named endlessly
RECENT = 100  # measurements that quantiles are taken of


@dataclass(slots=True)
class Sample:
    """What one target's calls showed."""

    peak: float
    usual: float
    at: float
    recent: deque[float] = field(default_factory=lambda: deque(maxlen=RECENT))
    ranked: list[float] = field(default_factory=list)  # `recent` in order, when somebody asked last
    stale: int = 0  # measurements since then


class Latency:
    """All targets. `now` is seconds on one monotonic clock."""

    def __init__(self, decay: float = DECAY, forget: float = FORGET) -> None:
        self.decay = decay
        self.forget = forget
        self.samples: dict[Target, Sample] = {}
        self.flying: dict[str, int] = {}

    def observe(self, target: Target, ttft: float, now: float) -> None:
        """The first token came after `ttft` seconds. A wait that ended without one counts as long as it was."""
        known = self.samples.get(target)
        if known is None or now - known.at > self.forget:
            if len(self.samples) >= MOST:
                self.samples = {name: one for name, one in self.samples.items() if now - one.at <= self.forget}
            known = self.samples[target] = Sample(ttft, ttft, now)
            known.recent.append(ttft)
            return
        kept = math.exp(-max(0.0, now - known.at) / self.decay)
        known.peak = ttft if ttft > known.peak else known.peak * kept + ttft * (1 - kept)
        known.usual += USUAL * (ttft - known.usual)
        known.at = now
        known.recent.append(ttft)
        known.stale += 1

    def value(self, target: Target, now: float) -> float | None:
        """Seconds to the first token that are to be expected; None when nothing is known."""
        known = self.samples.get(target)
        if known is None or now - known.at > self.forget:
            return None
        if known.peak <= known.usual:
            return known.peak
        return known.usual + (known.peak - known.usual) * math.exp(-max(0.0, now - known.at) / self.decay)

    def age(self, target: Target, now: float) -> float | None:
        """Seconds since the last measurement; None when nothing is known."""
        known = self.samples.get(target)
        return None if known is None or now - known.at > self.forget else max(0.0, now - known.at)

    def quantile(self, target: Target, share: float, enough: int) -> float | None:
        """Seconds in which a share of the recent first tokens came; None with fewer than `enough` of them.

        Ranked anew after a tenth of them are new, so that a call pays for a look and not for a sort.
        """
        known = self.samples.get(target)
        if known is None or len(known.recent) < enough:
            return None
        if not known.ranked or known.stale * 10 >= len(known.ranked):
            known.ranked, known.stale = sorted(known.recent), 0
        return known.ranked[min(len(known.ranked) - 1, int(share * len(known.ranked)))]

    def begin(self, target: Target) -> None:
        """A call was sent."""
        self.flying[target.provider] = self.flying.get(target.provider, 0) + 1

    def end(self, target: Target) -> None:
        """It ended, however it ended: one `end` for each `begin`."""
        left = self.flying.get(target.provider, 0) - 1
        if left > 0:
            self.flying[target.provider] = left
        else:
            self.flying.pop(target.provider, None)

    def busy(self, provider: str) -> int:
        """Calls in flight at a provider."""
        return self.flying.get(provider, 0)
