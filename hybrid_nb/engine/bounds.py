"""What counts say for certain: an interval for a share, and a percentile that is certified. Closed forms, pure.

Counts may be fractions, as old samples count less. Every bound is one-sided at CONFIDENCE, and errs to the wide side.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

CONFIDENCE = 0.95
PERCENTILE = 0.95  # the share of calls that a certified time holds for
Z = 1.6448536269514722  # of the normal distribution, one-sided, at CONFIDENCE
RATIO = 1.03  # between the edges of two buckets: a certified time is at most 3 % too long
SHORTEST = 1e-4  # seconds: the upper edge of bucket 0
MOST = 10_000  # samples that a percentile is certified from; more make no difference that anybody sees
FEWEST = 5.0  # samples below which nothing is said against a target
_STEP = math.log(RATIO)
_ROUND = 1 + 1e-9  # of sums of fractions


# --- a share, or a mean of scores between 0 and 1 -----------------------------------------------------------


def share(n: float, mean: float, spread: float | None = None) -> tuple[float, float]:
    """The lower and upper bound of a mean of `n` scores between 0 and 1 (Wilson's).

    `spread` is their variance; that of scores which are not just 0 or 1 is smaller than a share's, and so each tells
    more. One more sample of a share's variance is added to it, so that few equal scores do not look certain.
    """
    full = mean * (1 - mean)
    if spread is not None and full > 0:
        n /= min(1.0, (n * spread + full) / (n * full))
    middle, wide = mean + Z * Z / (2 * n), Z * math.sqrt(full / n + Z * Z / (4 * n * n))
    whole = 1 + Z * Z / n
    return max(0.0, (middle - wide) / whole), min(1.0, (middle + wide) / whole)


def at_least(k: int, m: int, p: float) -> float:
    """The chance of k or more of m, each at a chance of p."""
    return sum(math.comb(m, i) * p**i * (1 - p) ** (m - i) for i in range(k, m + 1))


# --- a percentile from buckets ------------------------------------------------------------------------------


def bucket(seconds: float) -> int:
    """The bucket of a time; its upper edge is not below the time."""
    return 0 if seconds <= SHORTEST else math.ceil(math.log(seconds / SHORTEST) / _STEP - 1e-9)


def edge(number: int) -> float:
    """Seconds at the upper edge of a bucket."""
    return SHORTEST * math.exp(number * _STEP)


def certified(
    ordered: Sequence[tuple[int, float]], total: float, failed: float = 0.0, scale: float = 1.0
) -> tuple[float | None, float | None]:
    """Seconds that the percentile is certainly not below, and not above; None: too few samples to say so.

    `ordered` are (bucket, count) from the longest; `failed` calls took endlessly (inf: more fail than the percentile
    has room for). A count is worth `scale` samples, and all of them with the failed ones are worth `total`.
    """
    n = min(MOST, int(total + 1e-9))
    if n < 1:
        return None, None
    worth = scale * n / total if total > MOST else scale  # above MOST as if there were fewer of each
    few, many = allowed(n), needed(n)
    above = None if few is None else _lowest(ordered, failed, few / worth)
    below = None if total < FEWEST or many is None else _highest(ordered, failed, many / worth)
    return below, above


def _lowest(ordered: Sequence[tuple[int, float]], failed: float, few: float) -> float:
    """The shortest time that no more than `few` are above."""
    above = failed
    if above > few * _ROUND:
        return math.inf
    for number, count in ordered:
        above += count
        if above > few * _ROUND:
            return edge(number)
    return SHORTEST


def _highest(ordered: Sequence[tuple[int, float]], failed: float, many: float) -> float | None:
    """The longest time that at least `many` reach."""
    reached = failed
    if reached * _ROUND >= many:
        return math.inf
    for number, count in ordered:
        reached += count
        if reached * _ROUND >= many:
            return edge(number - 1)
    return None


@lru_cache(maxsize=4096)
def allowed(n: int) -> int | None:
    """How many of n may be above a time that is certified; None: n are too few."""
    most, chance = -1, 0.0
    for k in range(n + 1):
        chance += _exactly(k, n)
        if chance > 1 - CONFIDENCE:
            break
        most = k
    return most if most >= 0 else None


@lru_cache(maxsize=4096)
def needed(n: int) -> int | None:
    """How many of n must reach a time that the percentile is certainly not below; None: n are too few."""
    fewer = 0.0  # the chance of fewer than k
    for k in range(n + 1):
        if 1 - fewer <= 1 - CONFIDENCE:
            return k
        fewer += _exactly(k, n)
    return None


def _exactly(k: int, n: int) -> float:
    p = 1 - PERCENTILE
    ways = math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
    return math.exp(ways + k * math.log(p) + (n - k) * math.log(1 - p))
