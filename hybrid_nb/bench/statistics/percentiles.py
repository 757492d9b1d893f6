"""Percentiles with intervals that suppose no distribution, and bounds that a percentile is certified to keep. Pure.

The number of values below the true percentile is binomial, so pairs of ordered values bound it. That supposes calls
that do not depend on each other: repeated calls of one prompt under a cache do.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from hybrid_nb.bench.statistics.intervals import Floats, distribution


class Percentile(NamedTuple):
    """A percentile and its interval; a side is None where there are too few values to bound it."""

    value: float | None
    low: float | None
    high: float | None
    n: int


def percentile(values: Any, share: float, confidence: float = 0.95) -> Percentile:
    """The percentile (share 0.95 is p95) of values, interpolated, and the ordered values that enclose the true one."""
    ordered: Floats = np.sort(np.asarray(values, dtype=float))
    n = len(ordered)
    if not n:
        return Percentile(None, None, None, 0)
    binomial, tail = distribution().binom(n, share), (1 - confidence) / 2
    below, above = int(binomial.ppf(tail)), int(binomial.ppf(1 - tail)) + 1  # places, from 1
    low = float(ordered[below - 1]) if below >= 1 else None
    high = float(ordered[above - 1]) if above <= n else None
    value = float(np.quantile(ordered, share))
    value = value if low is None else max(low, value)  # of two values the p99 is rather over the larger than between
    return Percentile(value if high is None else min(high, value), low, high, n)


def allowed_over(n: int, share: float, confidence: float) -> int:
    """How many of n values may lie over a bound that the percentile is certified to keep; -1: none is few enough.

    The largest k with P(Binomial(n, 1 - share) <= k) <= 1 - confidence (MLPerf early stopping).
    """
    risk = 1 - confidence
    k = int(distribution().binom.ppf(risk, n, 1 - share)) if n else 0  # the smallest k whose chance is >= risk
    return k if _chance(k, n, share) <= risk else k - 1


def needed(share: float, confidence: float, over: int = 1) -> int:
    """The least number of values with which `over` values over the bound still certify it.

    With one over, 64 for p90 and 662 for p99 at 99 % confidence; with none, 44 and 459 (MLPerf LoadGen's numbers).
    """
    low, high = over, max(8, 2 * (over + 1))
    while _chance(over, high, share) > 1 - confidence:
        low, high = high, high * 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if _chance(over, middle, share) > 1 - confidence else (low, middle)
    return high


def _chance(over: int, n: int, share: float) -> float:
    """Of so few values over the bound, if the percentile were just over it."""
    return float(distribution().binom.cdf(over, n, 1 - share)) if n else 1.0


def certified_bound(values: Any, share: float, confidence: float) -> float | None:
    """The least bound that the percentile is certified to keep, one value at least lying over it; None: too few values.

    A value of infinity is a call that failed: it lies over every bound.
    """
    ordered: Floats = np.sort(np.asarray(values, dtype=float))
    over = allowed_over(len(ordered), share, confidence)
    bound = float(ordered[len(ordered) - 1 - over]) if over >= 1 else math.inf
    return bound if math.isfinite(bound) else None
