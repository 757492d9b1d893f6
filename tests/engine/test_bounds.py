"""The closed forms against scipy and statsmodels, and what they promise by simulation."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom
from statsmodels.stats.proportion import proportion_confint

from hybrid_nb.engine import bounds

MEANS = st.floats(0, 1)
COUNTS = st.floats(1, 5000)


@pytest.mark.parametrize(("right", "n"), [(0, 5), (5, 5), (17, 20), (120, 400)])
def test_the_bounds_of_a_share_are_wilsons(right: int, n: int) -> None:
    expected = proportion_confint(right, n, alpha=0.1, method="wilson")  # two-sided 90 % is one-sided 95 %
    assert bounds.share(n, right / n) == pytest.approx(expected, abs=1e-9)


@given(MEANS, COUNTS, st.floats(1.01, 3), st.floats(0, 1))
def test_more_samples_never_widen_the_bounds(mean: float, n: float, more: float, of_full: float) -> None:
    spread = of_full * mean * (1 - mean)
    low, high = bounds.share(n, mean, spread)
    lower, higher = bounds.share(n * more, mean, spread)
    assert low <= lower + 1e-12
    assert lower <= mean + 1e-12
    assert mean - 1e-12 <= higher <= high + 1e-12


def test_scores_that_vary_little_tell_more_than_a_share_does_and_few_of_them_stay_uncertain() -> None:
    assert bounds.share(50, 0.8, 0.01)[0] > bounds.share(50, 0.8)[0]
    assert bounds.share(2, 0.8, 0.0)[0] < 0.55


def test_the_lower_bound_of_a_share_holds_as_often_as_it_promises() -> None:
    rng = random.Random(1)
    held = sum(bounds.share(60, sum(rng.random() < 0.85 for _ in range(60)) / 60)[0] <= 0.85 for _ in range(4000))
    assert held / 4000 > 0.94


@pytest.mark.parametrize("n", [1, 5, 58, 59, 92, 93, 94, 200, 777, 2000])
def test_how_many_may_be_late_is_exactly_the_binomial_s(n: int) -> None:
    most = max((k for k in range(n + 1) if binom.cdf(k, n, 0.05) <= 0.05), default=None)
    found = bounds.allowed(n)
    assert (None if found is None else math.floor(found + 1e-9)) == most
    fewest = min(k for k in range(n + 2) if binom.sf(k - 1, n, 0.05) <= 0.05 + 1e-12)
    assert math.ceil(bounds.needed(n) - 1e-9) == fewest


def ordered(times: list[float]) -> list[tuple[int, float]]:
    numbers = [bounds.bucket(seconds) for seconds in times]
    return sorted(((number, float(numbers.count(number))) for number in set(numbers)), reverse=True)


@given(st.floats(1, 1990), st.floats(0, 10))
def test_a_share_that_is_certified_stays_so_with_more_samples(n: float, more: float) -> None:
    few, later = bounds.allowed(n), bounds.allowed(n + more)
    if few is not None:
        assert later is not None
        assert later / (n + more) >= few / n - 1e-12
    assert bounds.needed(n + more) / (n + more) <= bounds.needed(n) / n + 1e-12


TIMES = st.lists(st.floats(0.01, 20), min_size=1, max_size=300)


@settings(max_examples=200)
@given(TIMES, st.floats(0, 30), st.floats(0.05, 0.99))
def test_old_samples_never_say_more_than_new_ones(times: list[float], failed: float, fade: float) -> None:
    counts, total = ordered(times), len(times) + failed
    low, high = bounds.certified(counts, total, failed)
    lower, higher = bounds.certified(counts, total * fade, failed, fade)
    assert higher is None or (high is not None and high <= higher)
    assert lower is None or (low is not None and lower <= low)


def test_too_few_samples_certify_nothing() -> None:
    assert bounds.certified(ordered([0.2] * 58), 58)[1] is None
    assert bounds.certified(ordered([0.2] * 59), 59)[1] == pytest.approx(0.2, rel=bounds.RATIO - 1)
    assert bounds.certified([], 0) == (None, None)


def test_what_fails_more_often_than_the_percentile_allows_has_no_time() -> None:
    counts = ordered([0.2] * 180)
    assert bounds.certified(counts, 200, 20)[1] == math.inf
    assert bounds.certified(counts, 182, 2)[1] == pytest.approx(0.2, rel=0.03)


def test_a_certified_time_holds_as_often_as_it_promises_and_is_not_far_off() -> None:
    rng, truth = random.Random(2), math.exp(0.3 * 1.6448536)
    found = [bounds.certified(ordered([rng.lognormvariate(0, 0.3) for _ in range(120)]), 120) for _ in range(800)]
    assert sum(high is not None and high >= truth for _, high in found) / 800 > 0.94
    assert sum(low is not None and low <= truth for low, _ in found) / 800 > 0.94
    assert sum(high for _, high in found if high) / 800 < 1.35 * truth


@given(st.floats(1e-5, 1e5))
def test_a_bucket_is_never_below_its_times(seconds: float) -> None:
    edge = bounds.edge(bounds.bucket(seconds))
    assert seconds <= edge * (1 + 1e-6)
    assert edge <= max(seconds, bounds.SHORTEST) * bounds.RATIO * (1 + 1e-6)
