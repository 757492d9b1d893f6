"""Tests of paired differences, exact where that is possible, and Holm's correction. Pure functions on arrays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from hybrid_nb.bench.statistics.intervals import FEW, MANY, Floats, bootstrap_t, distribution

EXACT = 12  # differences: up to 2 ** EXACT sign patterns are counted, beyond that drawn
DRAWS = 9999
AT_ONCE = 2_000_000  # signs in memory


def sign_test(better: int, worse: int) -> float:
    """Exact two-sided p that who differs differs either way alike; for 0/1 scores this is McNemar's exact test."""
    n = better + worse
    return float(distribution().binomtest(better, n, 0.5).pvalue) if n else 1.0


def permutation_test(differences: Floats, seed: int = 0) -> float:
    """Two-sided p of the mean of paired differences, by changing their signs.

    All sign patterns where there are few; else DRAWS of them, seeded, and p = (hits + 1) / (DRAWS + 1), which is
    never 0 (Phipson and Smyth, 2010).
    """
    moved = differences[differences != 0]
    if not len(moved):
        return 1.0
    seen = abs(float(moved.sum())) - 1e-12 * float(np.abs(moved).sum())  # in another order the last bit differs
    if len(moved) <= EXACT:
        patterns = (np.arange(2 ** len(moved))[:, None] >> np.arange(len(moved))) & 1
        return float((np.abs((2 * patterns - 1) @ moved) >= seen).mean())
    return (_hits(moved, seen, np.random.default_rng(seed)) + 1) / (DRAWS + 1)


def _hits(moved: Floats, seen: float, rng: np.random.Generator) -> int:
    hits, left, rows = 0, DRAWS, max(1, AT_ONCE // len(moved))
    while left:
        now = min(left, rows)
        bits = rng.integers(0, 256, (now, -(-len(moved) // 8)), dtype=np.uint8)
        plus = np.unpackbits(bits, axis=1, count=len(moved)).astype(float) @ moved
        hits += int((np.abs(2 * plus - moved.sum()) >= seen).sum())
        left -= now
    return hits


def holm(chances: Sequence[float | None]) -> list[float | None]:
    """Holm's step-down adjustment: each p so that none of the set is wrongly called a difference at its level."""
    known = sorted((p, place) for place, p in enumerate(chances) if p is not None)
    adjusted: list[float | None] = [None] * len(chances)
    least = 0.0
    for rank, (p, place) in enumerate(known):
        least = max(least, min(1.0, p * (len(known) - rank)))
        adjusted[place] = least
    return adjusted


def paired_share_interval(n: int, better: int, worse: int, confidence: float) -> tuple[float, float]:
    """Interval of a difference of paired shares: Bonett and Price (2012), one more of either kind of disagreement.

    It has a width when no sample differs, and covers at small n, where mean +- t * SE does neither.
    """
    up, down = (better + 1) / (n + 2), (worse + 1) / (n + 2)
    spread = max(0.0, up + down - (up - down) ** 2) / (n + 2)
    half = float(distribution().norm.ppf((1 + confidence) / 2)) * float(np.sqrt(spread))
    return max(-1.0, up - down - half), min(1.0, up - down + half)


def difference_interval(differences: Floats, confidence: float, seed: int = 0) -> tuple[float | None, float | None]:
    """Interval of the mean of paired differences: bootstrap-t for few, t for many; None when they are all alike."""
    n, tail = len(differences), (1 + confidence) / 2
    mean, error = float(differences.mean()), float(differences.std(ddof=1)) / n**0.5 if n > 1 else 0.0
    if error <= 1e-12 * float(np.abs(differences).max()):
        return None, None
    if FEW <= n < MANY:
        return bootstrap_t(differences, np.ones(n), tail, seed)
    half: Any = float(distribution().t.ppf(tail, n - 1)) * error
    return mean - half, mean + half
