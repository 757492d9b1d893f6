# ruff: noqa: E501 - tables of cases and transcripts, one a line
"""The schedule of attempts: bounded, fresh targets first, waits never negative."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hybrid_nb.core.errors import (
    AuthenticationError,
    ConnectionFailedError,
    ContentFilterError,
    ContextLengthError,
    InferenceError,
    InvalidRequestError,
    ModelNotFoundError,
    RateLimitError,
    ServiceUnavailableError,
    UnsupportedFeatureError,
)
from hybrid_nb.core.provider import Endpoint, Provider
from hybrid_nb.core.types import Target
from hybrid_nb.engine.schedule import LONGEST_BACKOFF, Schedule, Slot, backoff
from hybrid_nb.providers import vendor

ERRORS = st.one_of(
    st.sampled_from([ConnectionFailedError("x"), ServiceUnavailableError("x"), AuthenticationError("x"), ContextLengthError("x"), ModelNotFoundError("x"), UnsupportedFeatureError("x")]),
    st.floats(0, 60).map(lambda wait: RateLimitError("x", retry_after=wait)),
)  # fmt: skip
SEEDED = settings(derandomize=True, max_examples=200, deadline=None)


def slots(count: int, addresses: int = 1) -> list[Slot]:
    kind = vendor("custom")
    providers = [Provider(f"p{number}", kind, ()) for number in range(count)]
    return [
        Slot(Target(provider.name, "m"), provider, Endpoint(f"http://{provider.name}.{address}"), "cloud", "")
        for provider in providers
        for address in range(addresses)
    ]


def played(schedule: Schedule, outcomes: list[InferenceError]) -> list[tuple[Slot, float, bool]]:
    """Every step of a call in which these failures follow one another: slot, wait, whether it had been asked."""
    now, seen, steps = 100.0, set(), []
    for error in outcomes:
        step = schedule.next(now)
        if step is None:
            break
        steps.append((step.slot, step.wait, step.slot.endpoint.base_url in seen))
        seen.add(step.slot.endpoint.base_url)
        now += step.wait + 0.01
        schedule.failed(step.slot, error, now)
    return steps


def asked_once(every: list[Slot], outcomes: list[InferenceError]) -> list[Slot]:
    """Without the other addresses of a target whose context was too small."""
    asked: list[Slot] = []
    small: set[Target] = set()
    for slot in every:
        if slot.target in small:
            continue
        if isinstance(outcomes[len(asked)], ContextLengthError):
            small.add(slot.target)
        asked.append(slot)
    return asked


@SEEDED
@given(
    st.integers(0, 5),
    st.integers(1, 2),
    st.integers(0, 4),
    st.floats(0, 5),
    st.booleans(),
    st.lists(ERRORS, min_size=20, max_size=20),
    st.integers(0, 99),
)
def test_attempts_are_bounded_and_fresh_targets_come_first(
    count: int, addresses: int, retries: int, delay: float, failover: bool, outcomes: list[InferenceError], seed: int
) -> None:
    every = slots(count, addresses)
    allowed = asked_once(every if failover else every[:addresses], outcomes)
    steps = played(Schedule(every, retries, delay, failover, random.Random(seed)), outcomes)
    assert len(allowed) <= len(steps) <= len(allowed) + retries
    assert [slot for slot, _, _ in steps[: len(allowed)]] == allowed
    assert all(again for _, _, again in steps[len(allowed) :])
    assert all(wait >= 0 for _, wait, _ in steps)
    assert all(wait == 0 for _, wait, again in steps if not again)
    last: dict[str, InferenceError] = {}
    for (slot, _, again), error in zip(steps, outcomes, strict=False):
        assert not again or last[slot.endpoint.base_url].retryable
        last[slot.endpoint.base_url] = error


@SEEDED
@given(st.integers(1, 5), st.integers(0, 3), st.integers(0, 4))
def test_a_wrong_request_is_sent_once(count: int, before: int, retries: int) -> None:
    for wrong in (InvalidRequestError("x"), ContentFilterError("x")):
        outcomes = [ServiceUnavailableError("x")] * before + [wrong] + [ServiceUnavailableError("x")] * 9
        steps = played(Schedule(slots(count), retries, 0, True, random.Random(1)), outcomes)
        assert len(steps) == min(before + 1, count + retries)


@pytest.mark.parametrize("error", [ContextLengthError("x"), ModelNotFoundError("x"), UnsupportedFeatureError("x")])
def test_what_another_target_may_take_goes_there(error: InferenceError) -> None:
    steps = played(Schedule(slots(3), 5, 0, True, random.Random(1)), [error] * 9)
    assert [slot.target.provider for slot, _, _ in steps] == ["p0", "p1", "p2"]


def test_the_wait_that_was_asked_for_is_kept() -> None:
    schedule = Schedule(slots(1), 2, 0.5, True, random.Random(1))
    first = schedule.next(0)
    assert first is not None
    schedule.failed(first.slot, RateLimitError("x", retry_after=7.0), 1.0)
    step = schedule.next(1.5)
    assert step is not None
    assert step.wait == pytest.approx(6.5)


def test_the_one_that_is_ready_first_is_asked_first() -> None:
    schedule = Schedule(slots(2), 2, 0.5, True, random.Random(1))
    for wait in (9.0, 2.0):
        step = schedule.next(0)
        assert step is not None
        schedule.failed(step.slot, RateLimitError("x", retry_after=wait), 0)
    order = [schedule.next(0), schedule.next(0)]
    assert [(step.slot.target.provider, step.wait) for step in order if step] == [("p1", 2.0), ("p0", 9.0)]
    assert schedule.next(0) is None


@SEEDED
@given(st.floats(0, 60), st.integers(1, 30), st.integers(0, 999))
def test_backoff_is_within_its_bounds(delay: float, failures: int, seed: int) -> None:
    wait = backoff(delay, failures, random.Random(seed))
    assert 0 <= wait <= min(LONGEST_BACKOFF, delay * 2 ** (failures - 1))


def test_backoff_grows_and_varies() -> None:
    rng = random.Random(1)
    means = [sum(backoff(0.5, n, rng) for _ in range(400)) / 400 for n in (1, 2, 3, 9)]
    assert means == pytest.approx([0.25, 0.5, 1.0, 4.0], rel=0.15)


def test_an_endless_list_of_targets_is_only_read_as_far_as_needed() -> None:
    def endless() -> Any:
        while True:
            yield from slots(1)

    assert Schedule(endless(), 0, 0, True, random.Random(1)).next(0) is not None
