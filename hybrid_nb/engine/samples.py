"""Samples of one target: scores and times, in which old ones count less and a change shows. Pure.

Weights grow with time (evidence.py); `scale` is what a weight is worth now. The latest live samples are kept apart:
where they can hardly come from what is known, they alone count until they agree with it again.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

from hybrid_nb.engine import bounds
from hybrid_nb.engine.standing import DAY, Score, Speed

RECENT = 20  # of the latest live samples are compared with all
RECENT_CALLS = DAY  # seconds that they are the latest
RECENT_SCORES = 30 * DAY
UNLIKELY = 1e-4  # the chance of the latest samples below which a target has changed
SLOWEST = 0.1  # the share of slowest calls that the latest are compared with
FADED = 1.0  # samples below which nothing is known
_RARE = 0.02  # the least chance of a slow call that is assumed


@dataclass(slots=True)
class Scores:
    """Scores from 0 to 1, by one scorer."""

    count: float = 0.0  # whatever their age
    n: float = 0.0
    total: float = 0.0
    squares: float = 0.0
    at: float = -math.inf
    ran: float = -math.inf  # the end of the latest run: what was before it is not the latest
    latest: deque[tuple[float, float]] = field(default_factory=lambda: deque(maxlen=RECENT))  # (at, score), live

    def add(self, sums: tuple[float, float, float], weight: float, at: float, live: bool) -> None:
        n, total, squares = sums
        self.count += n
        self.n += weight * n
        self.total += weight * total
        self.squares += weight * squares
        self.at = max(self.at, at)
        if live and n:
            self.latest.append((at, total / n))
        elif n:
            self.ran = max(self.ran, at)

    def scaled(self, by: float) -> None:
        """Other weights."""
        self.n, self.total, self.squares = self.n * by, self.total * by, self.squares * by

    def told(self, scale: float, now: float) -> Score | None:
        """Their mean with its bounds."""
        n = self.n * scale
        if n < FADED:
            return None
        mean = min(1.0, max(0.0, self.total / self.n))
        spread = max(0.0, self.squares / self.n - mean * mean)
        age = max(0.0, now - self.at)
        fresh = [score for at, score in self.latest if at > self.ran and now - at <= RECENT_SCORES]
        if len(fresh) < n and _contradict(fresh, (mean * n + 0.5) / (n + 1)):
            m, latest = len(fresh), sum(fresh) / len(fresh)
            return Score(latest, *bounds.share(m, latest), m, age, True)
        return Score(mean, *bounds.share(n, mean, spread), n, age, False)


def _contradict(fresh: list[float], mean: float) -> bool:
    """Whether the latest scores can hardly come from this mean, above or below it."""
    m, right = len(fresh), sum(fresh)
    if right < mean * m:
        return bounds.at_least(m - math.ceil(right), m, 1 - mean) < UNLIKELY
    return right > mean * m and bounds.at_least(math.floor(right), m, mean) < UNLIKELY


@dataclass(slots=True)
class Times:
    """Seconds, by bucket."""

    buckets: dict[int, float] = field(default_factory=dict)
    total: float = 0.0
    ran: float = -math.inf  # as of scores
    latest: deque[tuple[float, int | None]] = field(default_factory=lambda: deque(maxlen=RECENT))  # None: it failed

    def add(self, counts: Mapping[int, float], failed: float, weight: float, at: float, live: bool) -> None:
        for number, count in counts.items():
            self.buckets[number] = self.buckets.get(number, 0.0) + weight * count
            self.total += weight * count
        if live and (counts or failed):
            self.latest.append((at, next(iter(counts), None)))
        elif counts:
            self.ran = max(self.ran, at)

    def scaled(self, by: float) -> None:
        """Other weights."""
        self.buckets = {number: count * by for number, count in self.buckets.items()}
        self.total *= by

    def told(self, calls: float, failed: float, scale: float, now: float) -> Speed | None:
        """The bounds of the percentile; those of the latest calls alone where they have become slower.

        `calls` and `failed` are those of all answers: where only some were timed, only so many failures count.
        """
        answered = calls - failed
        failed = failed * self.total / answered if answered > 1e-9 * calls else failed
        n = (self.total + failed) * scale
        if n < FADED:
            return None
        ordered = sorted(self.buckets.items(), reverse=True)
        fresh = [number for at, number in self.latest if at > self.ran and now - at <= RECENT_CALLS]
        if fresh and len(fresh) < n and self._slower(ordered, self.total + failed, failed, fresh):
            counts = sorted(((b, float(fresh.count(b))) for b in set(fresh) if b is not None), reverse=True)
            lost = fresh.count(None)
            return Speed(*bounds.certified(counts, len(fresh), lost), len(fresh), True)
        return Speed(*bounds.certified(ordered, n, failed, scale), n, False)

    @staticmethod
    def _slower(ordered: list[tuple[int, float]], total: float, failed: float, fresh: list[int | None]) -> bool:
        """Whether too many of the latest are above what few of all are above."""
        above = failed
        for number, count in ordered:
            if above + count > SLOWEST * total:
                late = sum(b is None or b > number for b in fresh)
                return late > 1 and bounds.at_least(late, len(fresh), max(above / total, _RARE)) < UNLIKELY
            above += count
        return False
