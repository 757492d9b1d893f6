"""Schedules of an open loop: pure, so their times are checked as numbers."""

from __future__ import annotations

import itertools
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybrid_nb.bench.traffic.arrivals import Extent, Slot, ramp, resumed, sweep, trace

rates = st.lists(st.floats(0.1, 500), min_size=1, max_size=4)


def test_constant_arrivals_stand_at_exact_times() -> None:
    slots = list(sweep([3.0], Extent(100_000), True, 0))
    assert slots[0] == Slot(0.0, 0, 3.0)
    assert slots[99_999].at == 99_999 / 3.0  # no sum of gaps, so no drift


def test_poisson_gaps_have_the_mean_and_the_spread_of_an_exponential() -> None:
    times = [slot.at for slot in sweep([20.0], Extent(20_000), False, 1)]
    gaps = [b - a for a, b in itertools.pairwise(times)]
    assert statistics.mean(gaps) == pytest.approx(1 / 20, rel=0.03)
    assert statistics.stdev(gaps) == pytest.approx(1 / 20, rel=0.03)
    assert sum(gap > 1 / 20 for gap in gaps) / len(gaps) == pytest.approx(0.368, abs=0.01)  # exp(-1)


@given(rates, st.integers(1, 200), st.integers(0, 20), st.booleans(), st.integers(0, 9))
def test_a_sweep_has_all_its_calls_in_order(
    speeds: list[float], calls: int, warmup: int, constant: bool, seed: int
) -> None:
    slots = list(sweep(speeds, Extent(calls, None, warmup), constant, seed))
    assert len(slots) == calls + warmup
    assert all(a.at <= b.at and a.stage <= b.stage for a, b in itertools.pairwise(slots))
    assert slots == list(sweep(speeds, Extent(calls, None, warmup), constant, seed))
    shares = [sum(s.stage == stage for s in slots[warmup:]) for stage in range(len(speeds))]
    assert max(shares) - min(shares) <= 1
    assert all(slot.rate == speeds[slot.stage] for slot in slots)


def test_stages_of_a_sweep_last_as_long_as_told_after_the_warmup() -> None:
    slots = list(sweep([10.0, 50.0], Extent(None, 2.0, 5), True, 0))
    measured = slots[5:]
    assert [slot.at for slot in slots[:5]] == [n / 10 for n in range(5)]
    assert measured[0].at == 0.5
    first = [slot.at for slot in measured if slot.stage == 0]
    second = [slot.at for slot in measured if slot.stage == 1]
    assert (len(first), len(second)) == (20, 100)
    assert max(first) < 2.5 == min(second)
    assert max(second) < 4.5


def test_a_ramp_comes_to_its_rate() -> None:
    slots = list(ramp(10.0, 110.0, Extent(None, 10.0)))
    assert len(slots) == 600  # (10 + 110) / 2 * 10
    assert [slots[0].at, slots[-1].at] == [0.0, pytest.approx(10.0, abs=0.02)]
    tenths = [sum(slot.stage == stage for slot in slots) for stage in range(10)]
    assert tenths == [pytest.approx(15 + 10 * stage, abs=1) for stage in range(10)]
    assert slots[0].rate == 15.0


@given(st.floats(0.1, 200), st.floats(0.1, 200), st.integers(1, 300), st.integers(0, 5))
def test_a_ramp_has_all_its_calls_in_order(first: float, last: float, calls: int, warmup: int) -> None:
    slots = list(ramp(first, last, Extent(calls, None, warmup)))
    assert len(slots) == calls + warmup
    assert all(a.at <= b.at for a, b in itertools.pairwise(slots))


def test_a_trace_is_as_it_was() -> None:
    assert list(trace((0.0, 0.5, 2.0))) == [Slot(0.0, 0, 1.0), Slot(0.5, 0, 1.0), Slot(2.0, 0, 1.0)]


def test_what_is_left_of_a_schedule_begins_at_once() -> None:
    left = list(resumed(sweep([2.0], Extent(10), True, 0), 4))
    assert [slot.at for slot in left] == [0.0, 0.5, 1.0, 1.5, 2.0, 2.5]
    assert list(resumed(sweep([2.0], Extent(3), True, 0), 3)) == []
    assert [slot.at for slot in resumed(iter([Slot(0.7)]), 0)] == [0.7]
