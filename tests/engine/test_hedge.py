"""When a second attempt may start: the percentile of a target's own first tokens, and a rate that is never passed."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hybrid_nb.core.types import Target
from hybrid_nb.engine.hedge import ENOUGH, SAVED, Hedger
from hybrid_nb.engine.latency import RECENT, Latency

A = Target("a", "m")
SEEDED = settings(derandomize=True, max_examples=200, deadline=None)


def measured(times: list[float]) -> Latency:
    latency = Latency()
    for number, seconds in enumerate(times):
        latency.observe(A, seconds, float(number))
    return latency


def test_too_few_measurements_are_no_percentile() -> None:
    assert Hedger(1.0).wait(measured([0.1] * (ENOUGH - 1)), A, 0.95) is None
    assert Hedger(1.0).wait(measured([0.1] * ENOUGH), A, 0.95) == 0.1
    assert Hedger(1.0).wait(measured([0.1] * ENOUGH), Target("b", "m"), 0.95) is None


@SEEDED
@given(st.lists(st.floats(0.001, 9), min_size=ENOUGH, max_size=RECENT), st.floats(0.01, 0.99))
def test_the_quantile_has_its_share_below_it(times: list[float], share: float) -> None:
    found = measured(times).quantile(A, share, ENOUGH)
    assert found in times
    assert sum(t < found for t in times) <= share * len(times) + 1e-9
    assert sum(t <= found for t in times) >= share * len(times) - 1e-9


def test_old_measurements_make_room() -> None:
    assert measured([9.0] * 500 + [0.1] * RECENT).quantile(A, 0.95, ENOUGH) == pytest.approx(0.1)


@SEEDED
@given(st.floats(0.01, 1), st.integers(1, 300), st.integers(0, 99))
def test_the_rate_is_never_passed(rate: float, calls: int, seed: int) -> None:
    hedger, latency, rng, started = Hedger(rate), measured([0.1] * ENOUGH), random.Random(seed), 0
    for _ in range(calls):
        wait = hedger.wait(latency, A, 0.95)
        if wait is not None and rng.random() < 0.8:
            started += hedger.take()
    assert started <= 1 + rate * calls
    assert sum(hedger.take() for _ in range(10)) <= SAVED


def test_what_could_not_start_is_given_back() -> None:
    hedger = Hedger(0.01)
    assert hedger.take()
    assert not hedger.take()
    hedger.give()
    assert hedger.take()
