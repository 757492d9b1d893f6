"""How late the client itself was: the lag of its loop and of its schedule, and whether its times can be trusted.

A loop that is blocked notes everything later than it happened. What is bearable follows inference-perf (median
schedule delay below 10 ms, achieved rate near the requested one).
"""

from __future__ import annotations

import asyncio
from array import array
from collections.abc import Callable, Sequence
from statistics import median

from hybrid_nb.bench.records import Call

INTERVAL = 0.02  # seconds between looks
MOST_DELAY = 0.010  # seconds of schedule delay at the median
MOST_LAG = 0.050  # seconds of loop lag at the 99th percentile
LEAST_RATE = 0.95  # of the requested one
ENOUGH = 20  # looks or calls below which no judgement is made


class Lag:
    """Looks at the loop at even intervals, and notes in seconds how late each look was."""

    def __init__(self) -> None:
        self.seconds = array("d")

    async def watch(self, clock: Callable[[], float]) -> None:
        """Until it is cancelled."""
        while True:
            due = clock() + INTERVAL
            await asyncio.sleep(INTERVAL)
            self.seconds.append(max(0.0, clock() - due))


def spread(seconds: Sequence[float]) -> dict[str, float]:
    """The "p50", "p99" and "max" of delays; empty without any."""
    if not seconds:
        return {}
    ordered = sorted(seconds)
    return {"p50": median(ordered), "p99": ordered[min(len(ordered) - 1, int(0.99 * len(ordered)))], "max": ordered[-1]}


def delays(calls: Sequence[Call]) -> list[float]:
    """The schedule delay of every call that was begun."""
    return [c.started_at - c.due_at for c in calls if c.started_at is not None and c.due_at is not None]


def invalid(lags: Sequence[float], calls: Sequence[Call]) -> tuple[str, ...]:
    """Why the times of a run are not to be trusted: the client was the bottleneck. Empty: they are."""
    found = [_lagging(lags), _delayed(delays(calls)), _slow([c for c in calls if c.stage_rate is not None])]
    return tuple(reason for reason in found if reason)


def _lagging(lags: Sequence[float]) -> str | None:
    told = spread(lags)
    if len(lags) < ENOUGH or told["p99"] <= MOST_LAG:
        return None
    return f"the client was busy: its loop ran {told['p99'] * 1000:.0f} ms late (p99; at most {MOST_LAG * 1000:.0f})"


def _delayed(late: Sequence[float]) -> str | None:
    told = spread(late)
    if len(late) < ENOUGH or told["p50"] <= MOST_DELAY:
        return None
    most = MOST_DELAY * 1000
    return f"the client fell behind its schedule: {told['p50'] * 1000:.0f} ms (median; at most {most:.0f})"


def _slow(calls: Sequence[Call]) -> str | None:
    """Whether calls of an open loop were begun as fast as was asked."""
    due = [c.due_at for c in calls if c.due_at is not None and c.started_at is not None]
    begun = [c.started_at for c in calls if c.due_at is not None and c.started_at is not None]
    wanted = max(due, default=0.0) - min(due, default=0.0)
    took = max(begun, default=0.0) - min(begun, default=0.0)
    if len(due) < ENOUGH or wanted >= LEAST_RATE * took:
        return None
    return f"the client reached {wanted / took:.0%} of the requested rate (at least {LEAST_RATE:.0%})"
