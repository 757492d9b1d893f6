"""What counts say for certain: an interval for a share, and a percentile that is certified. Closed forms, pure.

Counts may be fractions, as old samples count less. Every bound is one-sided at CONFIDENCE, and errs to the wide side.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from functools import lru_cache

CONFIDENCE = 0.95
PERCENTILE = 0.95  # the share of calls that a certified time holds for
Z = 1.6448536269514722  # of the normal distribution, one-sided, at CONFIDENCE
RATIO = 1.03  # between the edges of two buckets: a certified time is at most 3 % too long
SHORTEST = 1e-4  # seconds: the upper edge of bucket 0
MOST = 2000.0  # samples that a percentile is certified from; more make no difference that anybody sees
FEWEST = 5.0  # samples below which nothing is said against a target
_END = 3000  # above MOST, and one step more
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
    n = min(MOST, total * _ROUND)
    worth = scale * min(1.0, MOST / total) if total else scale  # above MOST as if there were fewer of each
    few = allowed(n)
    above = None if few is None else _lowest(ordered, failed, few / worth)
    below = None if total < FEWEST else _highest(ordered, failed, needed(n) / worth)
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


def allowed(n: float) -> float | None:
    """How many of n may be above a time that is certified; None: n are too few.

    Between the numbers at which one more is allowed it is interpolated: whole counts are judged exactly, and fewer
    samples of the same kind never say more.
    """
    k = _allowed(int(n))
    if k < 0:
        return None
    low, high = _first(k), _first(k + 1)
    return k + (n - low) / (high - low)


def needed(n: float) -> float:
    """How many of n must reach a time that the percentile is certainly not below; interpolated likewise."""
    k = _needed(int(n))
    if _last(k) > n:
        k -= 1
    low, high = _last(k), _last(k + 1)
    return k + (n - low) / (high - low)


@lru_cache(maxsize=4096)
def _allowed(n: int) -> int:
    """-1: not even none."""
    most, chance = -1, 0.0
    for k in range(n + 1):
        chance += _exactly(k, n)
        if chance > 1 - CONFIDENCE:
            break
        most = k
    return most


@lru_cache(maxsize=4096)
def _needed(n: int) -> int:
    """n + 1: not even all."""
    fewer = 0.0  # the chance of fewer than k
    for k in range(n + 1):
        if 1 - fewer <= 1 - CONFIDENCE + 1e-12:
            return k
        fewer += _exactly(k, n)
    return n + 1


@lru_cache(maxsize=1024)
def _first(k: int) -> int:
    """The fewest samples of which k are allowed."""
    return bisect_left(range(_END), k, key=_allowed)


@lru_cache(maxsize=1024)
def _last(k: int) -> int:
    """The most samples of which k are enough; 0 of none."""
    return 0 if k <= 0 else bisect_left(range(_END), k + 1, lo=1, key=_needed) - 1


def _exactly(k: int, n: int) -> float:
    p = 1 - PERCENTILE
    ways = math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
    return math.exp(ways + k * math.log(p) + (n - k) * math.log(1 - p))
