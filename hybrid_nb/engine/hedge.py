"""When a second attempt starts beside one that is slow to begin (Dean and Barroso, "The Tail at Scale", 2013). Pure.

The wait is a percentile of the target's own times to first token, so that a slow model is not taken for a slow day.
A second attempt costs money and capacity: a bucket that fills by a share of the calls keeps it rare.
"""

from __future__ import annotations

from hybrid_nb.core.types import Target
from hybrid_nb.engine.latency import Latency

ENOUGH = 20  # measured times below which a percentile of the tail means little
SAVED = 3.0  # second attempts that quiet times may save up


class Hedger:
    """The rate of second attempts: at most `rate` of the calls, and a few more after a quiet time."""

    def __init__(self, rate: float) -> None:
        self.rate = rate
        self._allowance = 1.0

    def wait(self, latency: Latency, target: Target, percentile: float) -> float | None:
        """Seconds to wait for the first token before a second attempt; None: none for this call.

        Counts the call. None while the target was measured too few times.
        """
        self._allowance = min(SAVED, self._allowance + self.rate)
        return latency.quantile(target, percentile, ENOUGH) if self._allowance >= 1 else None

    def take(self) -> bool:
        """Whether a second attempt may start; it counts then."""
        if self._allowance < 1:
            return False
        self._allowance -= 1
        return True

    def give(self) -> None:
        """The second attempt could not start after all."""
        self._allowance += 1
