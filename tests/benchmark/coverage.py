"""How often the intervals hold the truth and the tests err, by simulation. `python -m tests.benchmark.coverage [reps]`.

Nominal is 95 % for intervals, 5 % for false alarms of a whole run, 80 % for power, 1 % for certificates that are wrong.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from hybrid_nb.bench.statistics.epochs import pass_at_k
from hybrid_nb.bench.statistics.intervals import Floats, clustered_error, distribution, mean_interval
from hybrid_nb.bench.statistics.percentiles import certified_bound, percentile
from hybrid_nb.bench.statistics.power import detectable_mean, detectable_share
from hybrid_nb.bench.statistics.significance import (
    difference_interval,
    holm,
    paired_share_interval,
    permutation_test,
    sign_test,
)

Draw = Callable[[np.random.Generator, int], Floats]


def beta(a: float, b: float) -> tuple[Draw, float]:
    return lambda rng, n: rng.beta(a, b, n), a / (a + b)


def lumpy(zero: float, a: float, b: float) -> tuple[Draw, float]:
    """Graded answers of which some are plainly wrong."""
    return lambda rng, n: np.where(rng.random(n) < zero, 0.0, rng.beta(a, b, n)), (1 - zero) * a / (a + b)


GRADED = {"beta(5, 2)": beta(5, 2), "beta(0.8, 0.2)": beta(0.8, 0.2), "10 % zero, else beta(8, 2)": lumpy(0.1, 8, 2)}
TIMES: tuple[Draw, Callable[[float], float]] = (
    lambda rng, n: rng.lognormal(0, 0.8, n),
    lambda share: float(np.exp(0.8 * distribution().norm.ppf(share))),
)


def answers(rng: np.random.Generator, samples: int, epochs: int, share: float, alike: float) -> Floats:
    """Right and wrong answers (samples x epochs); `alike` is the correlation of a sample's epochs."""
    if alike in (0, 1):
        hard = np.full(samples, share) if alike == 0 else (rng.random(samples) < share).astype(float)
    else:
        weight = 1 / alike - 1
        hard = rng.beta(share * weight, (1 - share) * weight, samples)
    return (rng.random((samples, epochs)) < hard[:, None]).astype(float)


def rights(reps: int, samples: int, epochs: int, share: float, alike: float, seed: int = 1) -> tuple[float, float]:
    """Coverage of the interval of 0/1 scores, and that of mean +- t * clustered error beside it."""
    rng, ours, plain = np.random.default_rng(seed), 0, 0
    ids, t = np.repeat(np.arange(samples), epochs), float(distribution().t.ppf(0.975, samples - 1))
    for _ in range(reps):
        values = answers(rng, samples, epochs, share, alike)
        found = mean_interval(values.ravel(), ids)
        assert found.low is not None
        assert found.high is not None
        ours += found.low <= share <= found.high
        error = float(clustered_error(values.sum(1), np.full(samples, float(epochs))))
        plain += abs(values.mean() - share) <= t * error
    return ours / reps, plain / reps


def graded(reps: int, kind: str, n: int, seed: int = 2) -> float:
    """Coverage of the interval of graded scores."""
    rng, (draw, truth), held = np.random.default_rng(seed), GRADED[kind], 0
    for number in range(reps):
        found = mean_interval(draw(rng, n), seed=number)
        held += found.low is not None and found.high is not None and found.low <= truth <= found.high
    return held / reps


def costs(reps: int, n: int, seed: int = 3) -> float:
    """Coverage of the interval of a mean cost, whose distribution is skewed (log-normal, sigma 0.8)."""
    rng, held, truth = np.random.default_rng(seed), 0, float(np.exp(0.32))
    for number in range(reps):
        found = mean_interval(rng.lognormal(0, 0.8, n), seed=number, unit=False)
        held += found.low is not None and found.high is not None and found.low <= truth <= found.high
    return held / reps


def percentiles(reps: int, share: float, n: int, seed: int = 4) -> float | None:
    """Coverage of a percentile's interval; None: too few values for it."""
    rng, (draw, true), held = np.random.default_rng(seed), TIMES, 0
    for _ in range(reps):
        found = percentile(draw(rng, n), share)
        if found.low is None or found.high is None:
            return None
        held += found.low <= true(share) <= found.high
    return held / reps


def certificates(reps: int, share: float, n: int, seed: int = 5) -> tuple[float, float]:
    """How often a certified bound lies under the true percentile (at 99 %), and how often one is given."""
    rng, (draw, true), wrong, given = np.random.default_rng(seed), TIMES, 0, 0
    for _ in range(reps):
        bound = certified_bound(draw(rng, n), share, 0.99)
        given += bound is not None
        wrong += bound is not None and bound < true(share)
    return wrong / reps, given / reps


def two_models(
    rng: np.random.Generator, n: int, shares: tuple[float, float], shared: float = 0.5
) -> tuple[Floats, Floats]:
    """Right and wrong of two models; on a share of the samples both do the same, as far as their levels allow."""
    one, other = rng.random(n), rng.random(n)
    other = np.where(rng.random(n) < shared, one, other)
    return (one < shares[0]).astype(float), (other < shares[1]).astype(float)


def share_differences(reps: int, n: int, shares: tuple[float, float], seed: int = 6) -> float:
    """Coverage of the interval of a difference of paired shares."""
    rng, held = np.random.default_rng(seed), 0
    for _ in range(reps):
        a, b = two_models(rng, n, shares)
        low, high = paired_share_interval(n, int((a > b).sum()), int((a < b).sum()), 0.95)
        held += low <= shares[0] - shares[1] <= high
    return held / reps


def mean_differences(reps: int, n: int, seed: int = 7) -> float:
    """Coverage of the interval of a difference of paired times (log-normal, one a fifth slower)."""
    rng, held, truth = np.random.default_rng(seed), 0, 0.2 * float(np.exp(0.32))
    for number in range(reps):
        prompt = rng.lognormal(0, 0.5, n)
        tails = np.sqrt(0.64 - 0.25)
        slow, fast = 1.2 * prompt * rng.lognormal(0, tails, n), prompt * rng.lognormal(0, tails, n)
        low, high = difference_interval(slow - fast, 0.95, number)
        held += low is not None and high is not None and low <= truth <= high
    return held / reps


def false_alarms(reps: int, models: int, n: int, kind: str, seed: int = 8) -> tuple[float, float]:
    """Runs of equal models in which any pair is called different: with Holm, and without."""
    rng, with_holm, without = np.random.default_rng(seed), 0, 0
    for number in range(reps):
        ease = rng.random(n)
        if kind == "right or wrong":
            table = (rng.random((models, n)) < ease).astype(float)
        else:
            table = rng.lognormal(np.log(ease + 0.5), 0.6, (models, n))
        chances: list[float | None] = [_p(a, b, kind, number) for a, b in itertools.combinations(table, 2)]
        with_holm += any(p is not None and p <= 0.05 for p in holm(chances))
        without += any(p is not None and p <= 0.05 for p in chances)
    return with_holm / reps, without / reps


def _p(a: Floats, b: Floats, kind: str, seed: int) -> float:
    if kind == "right or wrong":
        return sign_test(int((a > b).sum()), int((a < b).sum()))
    return permutation_test(a - b, seed)


def seen_shares(reps: int, n: int, apart: float, seed: int = 9) -> tuple[float, float]:
    """Power of the exact McNemar test at the difference that power() says is seen 80 % of the time."""
    gap = detectable_share(n, apart, 0.05, 0.8)
    assert gap is not None
    rng, seen, apart = np.random.default_rng(seed), 0, max(apart, gap)
    for _ in range(reps):
        differing = rng.random(n) < apart
        better = int((differing & (rng.random(n) < (1 + gap / apart) / 2)).sum())
        seen += sign_test(better, int(differing.sum()) - better) <= 0.05
    return seen / reps, gap


def seen_means(reps: int, n: int, skewed: bool, seed: int = 10) -> tuple[float, float]:
    """Power of the permutation test at the difference that power() says is seen 80 % of the time."""
    gap, rng, seen = detectable_mean(n, 1.0, 0.05, 0.8), np.random.default_rng(seed), 0
    assert gap is not None
    for number in range(reps):
        noise = (rng.exponential(1, n) - rng.exponential(1, n)) / np.sqrt(2) if skewed else rng.normal(0, 1, n)
        seen += permutation_test(noise + gap, number) <= 0.05
    return seen / reps, gap


def passes(reps: int, samples: int, epochs: int, k: int, seed: int = 11) -> tuple[float, float]:
    """Mean error of pass@k, and coverage of its interval; samples of every difficulty (beta(2, 1))."""
    rng, truth = np.random.default_rng(seed), 1 - 1 / np.prod([(2 + i + 1) / (i + 1) for i in range(k)])
    error, held = 0.0, 0
    for number in range(reps):
        right = rng.binomial(epochs, rng.beta(2, 1, samples))
        found = mean_interval([pass_at_k(epochs, int(c), k) for c in right], seed=number)
        error += (found.value or 0.0) - truth
        held += found.low is not None and found.high is not None and found.low <= truth <= found.high
    return error / reps, held / reps


def table(reps: int) -> Iterator[tuple[str, Any]]:
    """Every line of the table."""
    for n, share in itertools.product((10, 30, 100), (0.5, 0.8, 0.95)):
        yield f"right or wrong, {n} samples, truth {share:.0%}", rights(reps, n, 1, share, 0)[0]
    for (n, epochs), share, alike in itertools.product(((5, 4), (20, 5), (50, 3)), (0.5, 0.8, 0.95), (0, 0.5, 1)):
        ours, plain = rights(reps, n, epochs, share, alike)
        yield (
            f"right or wrong, {n} samples x {epochs}, truth {share:.0%}, alike {alike}",
            (ours, f"mean ± t·SE {plain:.1%}"),
        )
    for kind, n in itertools.product(GRADED, (5, 10, 20, 50, 100)):
        yield f"graded {kind}, {n} samples", graded(reps, kind, n)
    for n in (5, 10, 30, 100):
        yield f"mean cost, {n} calls", costs(reps, n)
    for share, n in ((0.5, 10), (0.5, 50), (0.9, 50), (0.95, 100), (0.95, 400), (0.99, 600)):
        yield f"p{100 * share:g}, {n} calls", percentiles(reps, share, n)
    for n, shares in itertools.product((10, 30, 100), ((0.8, 0.8), (0.9, 0.7), (0.98, 0.95))):
        yield f"difference of shares {shares[0]:.0%} - {shares[1]:.0%}, {n} samples", share_differences(reps, n, shares)
    for n in (5, 10, 30, 100):
        yield f"difference of times, {n} samples", mean_differences(reps, n)
    for k, n in itertools.product((2, 3), (10, 50)):
        error, held = passes(reps, n, 5, k)
        yield f"pass@{k}, {n} samples x 5", (held, f"mean error {error:+.4f}")
    for kind, models in itertools.product(("right or wrong", "times"), (2, 4, 6)):
        found = false_alarms(max(100, reps // 4), models, 50, kind)
        yield f"false alarms, {kind}, {models} equal models, 50 samples", (found[0], f"without Holm {found[1]:.1%}")
    for n in (50, 200):
        yield f"power, shares, {n} samples, 20 % differ", seen_shares(reps, n, 0.2)
        yield f"power, means, {n} samples", seen_means(max(100, reps // 4), n, skewed=False)
        yield f"power, heavy tails, {n} samples", seen_means(max(100, reps // 4), n, skewed=True)
    for share, n in ((0.9, 64), (0.95, 200), (0.99, 700)):
        wrong, given = certificates(reps, share, n)
        yield f"certified p{100 * share:g} that is wrong, {n} calls", (wrong, f"given {given:.0%}")


def main(reps: int) -> None:
    for name, found in table(reps):
        first, *more = found if isinstance(found, tuple) else (found,)
        shown = "too few" if first is None else f"{first:.1%}"
        print(
            f"{name:<62} {shown:>8}  {' '.join(x if isinstance(x, str) else f'at {x:.3f}' for x in more)}", flush=True
        )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 2000)
