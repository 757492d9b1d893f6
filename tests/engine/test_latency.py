"""Times to first token, calls in flight, and the snapshot that a plan reads."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hybrid_nb.core.types import Target
from hybrid_nb.engine.facts import FRESH, UNKNOWN, Turns, gather, identity
from hybrid_nb.engine.health import Check, Health
from hybrid_nb.engine.latency import Latency

A, B = Target("a", "m"), Target("b", "m")
TIMES = st.floats(0.001, 60)


def test_nothing_known_is_none_and_not_zero() -> None:
    latency = Latency()
    assert latency.value(A, 0) is None
    assert latency.age(A, 0) is None
    assert latency.busy("a") == 0


def test_it_rises_at_once_and_comes_down_with_the_time_constant() -> None:
    latency = Latency(decay=10)
    latency.observe(A, 0.2, 0)
    latency.observe(A, 5.0, 1)
    assert latency.value(A, 1) == 5.0
    latency.observe(A, 0.2, 11)  # one time constant later
    kept = 1 / math.e
    assert latency.samples[A].peak == pytest.approx(5.0 * kept + 0.2 * (1 - kept))


def test_a_peak_that_nothing_confirms_decays_to_the_usual_time() -> None:
    latency = Latency(decay=10)
    for second in range(50):
        latency.observe(A, 0.2, second)
    latency.observe(A, 10.0, 50)
    values = [latency.value(A, now) for now in (50, 55, 60, 120)]
    assert values[0] == 10.0
    assert values == sorted(values, reverse=True)
    assert values[-1] == pytest.approx(0.2 + 0.1 * 9.8, rel=0.01)


def test_what_was_measured_long_ago_is_forgotten() -> None:
    latency = Latency(forget=300)
    latency.observe(A, 9.0, 0)
    assert latency.value(A, 300) is not None
    assert latency.age(A, 120) == 120
    assert latency.value(A, 300.1) is None
    assert latency.age(A, 300.1) is None
    latency.observe(A, 0.1, 400)
    assert latency.value(A, 400) == 0.1  # nothing of the old


@settings(derandomize=True, max_examples=200)
@given(st.lists(st.tuples(TIMES, st.floats(0, 60)), min_size=1, max_size=30), st.floats(0, 300))
def test_a_value_lies_between_the_fastest_and_the_slowest(seen: list[tuple[float, float]], later: float) -> None:
    latency, now = Latency(), 0.0
    for ttft, pause in seen:
        now += pause
        latency.observe(A, ttft, now)
        value = latency.value(A, now)
        assert value is not None
        assert value >= ttft - 1e-9  # never below what was just seen
    value = latency.value(A, now + later)
    times = [ttft for ttft, _ in seen]
    if value is not None:
        assert min(times) - 1e-9 <= value <= max(times) + 1e-9


def test_calls_in_flight_are_counted_by_provider() -> None:
    latency = Latency()
    other = Target("a", "n")
    for target in (A, other, B):
        latency.begin(target)
    assert (latency.busy("a"), latency.busy("b")) == (2, 1)
    for target in (A, other, B, B):  # one end too many does no harm
        latency.end(target)
    assert (latency.busy("a"), latency.busy("b")) == (0, 0)
    assert latency.flying == {}


def test_gather_takes_what_is_known_and_no_more() -> None:
    health, latency = Health(), Latency()
    assert gather(health, latency, {}, now=0, unix=0).of(A) == UNKNOWN
    for ok in (True, True, True, False):
        health.attempt("a", ok, None if ok else "503", 1000)
    latency.observe(A, 0.5, 10)
    latency.begin(A)
    rng = random.Random(1)
    facts = gather(health, latency, {B: "its breaker is open"}, now=12, unix=1000, rng=rng, turn=3, who={"user": "u"})
    known = facts.of(A)
    assert (known.status, known.success, known.busy, known.age) == ("degraded", 0.75, 1, 2)
    assert known.ttft == pytest.approx(0.5)
    assert facts.of(Target("a", "other")) == known._replace(ttft=None, age=None)  # what holds for the provider
    assert facts.of(B) == UNKNOWN._replace(open="its breaker is open")
    assert (facts.rng, facts.turn, facts.who, facts.spent) == (rng, 3, {"user": "u"}, None)
    room = gather(health, latency, {}, now=12, unix=1000, free_vram={"b": 8})
    assert room.of(B).free_vram == 8


def test_a_failed_check_is_old_after_a_while() -> None:
    health = Health()
    health.checked(Check("a", 1000, 0, 1, None, "refused"))
    assert gather(health, Latency(), {}, now=0, unix=1000 + FRESH).of(A).status == "down"
    assert gather(health, Latency(), {}, now=0, unix=1001 + FRESH).of(A).status == "unknown"


def test_turns_are_counted_for_each_name() -> None:
    turns = Turns()
    assert [turns.take("x"), turns.take(None), turns.take("x"), turns.peek("x"), turns.peek("x")] == [0, 0, 1, 2, 2]
    assert turns.take("x") == 2


def test_who_asks() -> None:
    assert identity({}) == {}
    assert identity({"USER": "jovyan", "JUPYTERHUB_USER": "ann", "JPY_SESSION_NAME": "/n.ipynb"}) == {
        "user": "ann", "notebook": "/n.ipynb",
    }  # fmt: skip


def test_models_named_endlessly_are_forgotten_when_nobody_asks_for_them() -> None:
    latency = Latency(forget=300)
    for number in range(5000):
        latency.observe(Target("a", f"m{number}"), 0.5, number * 1.0)
    assert len(latency.samples) <= 1000
    assert latency.value(Target("a", "m4999"), 5000) == 0.5
    assert latency.value(Target("a", "m4800"), 5000) == 0.5
