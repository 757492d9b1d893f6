"""Means with intervals that hold at small numbers. Pure functions on arrays.

Which interval is used, and why (coverage of each by simulation: tests/benchmark/coverage.py):

wilson            0/1, each sample asked once
clustered wilson  0/1, samples asked several times: Wilson on the effective number of calls, from the standard error
                  clustered by sample (arXiv 2411.00640), with the t quantile of C - 1 degrees, and never wider than
                  that of samples asked once. The plain interval mean +- t * SE leaves [0, 1] near its ends, and has no
                  width when all samples agree
bootstrap-t       graded, 5 to 499 samples: studentised bootstrap of whole samples, seeded; percentile and BCa limits
                  cover less at every small number (0.84 and 0.85 where it has 0.95, for 5 scores)
clustered t       graded, 500 samples or more: the clustered standard error, t with C - 1 degrees
bounded           graded within [0, 1], fewer than 5 samples or nearly all alike: Wilson's limits for the mean, as if
                  each sample were right or wrong, which no distribution within [0, 1] spreads more than
t                 graded and not within [0, 1], fewer than 5 samples
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from hybrid_nb.core.late import late

Floats = npt.NDArray[np.float64]

RESAMPLES = 1999
FEW, MANY = 5, 500  # samples: below FEW nothing can be resampled, from MANY on the t interval is as good
RARE = 4.0  # effective answers of the rarer kind, below which the clustered standard error is too unsure of itself


class Mean(NamedTuple):
    """A mean with its interval; None: too few samples, or nothing that tells its spread. `n` calls, `samples` ids."""

    value: float | None
    low: float | None
    high: float | None
    method: str
    n: int
    samples: int


def distribution() -> Any:
    """scipy.stats, imported when first needed."""
    return late("scipy.stats", "benchmark")


def wilson(share: float, n: float, quantile: float) -> tuple[float, float]:
    """Wilson's score interval of a share of n (which may be an effective number), for a quantile of z or t."""
    squared = quantile * quantile
    middle = (share + squared / (2 * n)) / (1 + squared / n)
    half = quantile / (1 + squared / n) * float(np.sqrt(share * (1 - share) / n + squared / (4 * n * n)))
    low = 0.0 if share == 0 else max(0.0, middle - half)
    return low, 1.0 if share == 1 else min(1.0, middle + half)


def clustered_error(sums: Floats, counts: Floats) -> Any:
    """Standard error of sum(sums) / sum(counts) over clusters (last axis): arXiv 2411.00640, with C / (C - 1)."""
    clusters, total = sums.shape[-1], counts.sum(-1)
    mean = sums.sum(-1) / total
    residuals = sums - mean[..., None] * counts
    return np.sqrt(clusters / (clusters - 1) * (residuals**2).sum(-1)) / total


def grouped(values: Floats, groups: Any) -> tuple[Floats, Floats]:
    """Sum and number of the values of each group, in the order of the groups' names."""
    _, places = np.unique(np.asarray(groups, dtype=str), return_inverse=True)
    return np.bincount(places, values).astype(float), np.bincount(places).astype(float)


def mean_interval(values: Any, groups: Any = None, confidence: float = 0.95, seed: int = 0, unit: bool = True) -> Mean:
    """The mean of values and its interval, clustered by `groups` (ids). The rule is at the head of this file.

    `unit`: they are scores, which lie within [0, 1] where all of them are seen to. Dollars and seconds do not.
    """
    values = np.asarray(values, dtype=float)
    if not len(values):
        return Mean(None, None, None, "no values", 0, 0)
    sums, counts = grouped(values, np.arange(len(values)) if groups is None else groups)
    mean, samples = float(values.mean()), len(sums)
    if samples < 2:
        return Mean(mean, None, None, "too few", len(values), samples)
    unit = unit and bool(((values >= 0) & (values <= 1)).all())
    low, high, method = _limits(values, sums, counts, (1 + confidence) / 2, seed, unit)
    return Mean(mean, low, high, method, len(values), samples)


def is_binary(values: Floats) -> bool:
    """Right or wrong, and nothing between."""
    return bool(np.isin(values, (0.0, 1.0)).all())


def _limits(
    values: Floats, sums: Floats, counts: Floats, tail: float, seed: int, unit: bool
) -> tuple[float | None, float | None, str]:
    samples, mean = len(sums), float(values.mean())
    if unit and is_binary(values):
        if samples == len(values):
            return (*wilson(mean, samples, float(distribution().norm.ppf(tail))), "wilson")
        return (*_clustered_wilson(mean, sums, counts, tail), "clustered wilson")
    error = float(clustered_error(sums, counts))
    alike = error <= 1e-12 * float(np.abs(values).max())
    if unit and (samples < FEW or _lumped(sums / counts)):
        return (*wilson(mean, samples, float(distribution().norm.ppf(tail))), "bounded")
    if alike:
        return None, None, "all alike"
    low, high, method = _graded(mean, error, sums, counts, tail, seed)
    return (max(0.0, low), min(1.0, high), method) if unit else (low, high, method)


def _lumped(means: Floats) -> bool:
    """Whether the spread hangs on a few samples: nearly all have the same score, or nearly all of the best or worst."""
    _, often = np.unique(means, return_counts=True)
    return bool(len(means) - often.max() < RARE or min(means.sum(), (1 - means).sum()) < RARE / 2)


def _graded(
    mean: float, error: float, sums: Floats, counts: Floats, tail: float, seed: int
) -> tuple[float, float, str]:
    samples = len(sums)
    if FEW <= samples < MANY:
        return (*bootstrap_t(sums, counts, tail, seed), "bootstrap-t")
    half = float(distribution().t.ppf(tail, samples - 1)) * error
    return mean - half, mean + half, "t" if samples < FEW else "clustered t"


def _clustered_wilson(mean: float, sums: Floats, counts: Floats, tail: float) -> tuple[float, float]:
    """The narrower of two: of as many answers as there are samples, which is never too sure; of the effective number.

    That number is itself estimated, so it has the t quantile, and needs some answers of either kind.
    """
    samples, n = len(sums), float(counts.sum())
    surely = wilson(mean, samples, float(distribution().norm.ppf(tail)))
    error = float(clustered_error(sums, counts))
    effective = min(n, mean * (1 - mean) / error**2) if error > 0 else 0.0
    if effective * min(mean, 1 - mean) < RARE:
        return surely
    likely = wilson(mean, effective, float(distribution().t.ppf(tail, samples - 1)))
    return min(surely, likely, key=lambda ends: ends[1] - ends[0])


def bootstrap_t(sums: Floats, counts: Floats, tail: float, seed: int) -> tuple[float, float]:
    """Limits of a mean over clusters: bootstrap of whole clusters, each resample measured by its own error."""
    rng = np.random.default_rng(seed)
    chosen = rng.integers(0, len(sums), (RESAMPLES, len(sums)))
    drawn, sizes = sums[chosen], counts[chosen]
    errors = clustered_error(drawn, sizes)
    mean, usable = sums.sum() / counts.sum(), errors > 1e-12 * float(np.abs(sums).max())
    ratios = (drawn.sum(-1) / sizes.sum(-1) - mean)[usable] / errors[usable]
    below, above = np.quantile(ratios, (1 - tail, tail))
    error = float(clustered_error(sums, counts))
    return float(mean - above * error), float(mean - below * error)
