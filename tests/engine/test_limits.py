"""Limits a minute and at once: over any order of events, nothing more than allowed is let through in any minute."""

from __future__ import annotations

import math

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from hybrid_nb.engine.limits import MINUTE, Hold, Limits, Room


def taken(limits: Limits, tokens: int, now: float) -> Hold:
    hold = limits.take(tokens, now)
    assert hold is not None
    return hold


def test_requests_a_minute() -> None:
    limits = Limits(rpm=2)
    taken(limits, 1, 0)
    taken(limits, 1, 20)
    assert (limits.take(1, 20), limits.wait(1, 20)) == (None, 40)
    taken(limits, 1, 60)
    assert limits.wait(1, 60) == 20  # the second one's minute ends at 80
    assert limits.room(80) == Room(1, None, None)


def test_tokens_a_minute_wait_for_as_many_as_are_needed() -> None:
    limits = Limits(tpm=100)
    taken(limits, 40, 0)
    taken(limits, 50, 10)
    assert [limits.wait(tokens, 10) for tokens in (10, 11, 50, 51, 100)] == [0, 50, 50, 60, 60]


def test_at_once() -> None:
    limits = Limits(max_concurrency=1)
    hold = taken(limits, 1, 0)
    assert limits.wait(1, 500) == math.inf
    limits.settle(hold, 5)
    assert limits.wait(1, 0) == 0
    limits.settle(hold, 5)  # twice is once
    assert limits.running == 0


def test_settling_corrects() -> None:
    limits = Limits(tpm=100)
    hold = taken(limits, 100, 0)
    limits.settle(hold, 30)
    assert (limits.room(0).tokens, limits.wait(70, 0), limits.wait(71, 0)) == (70, 0, 60)
    more = taken(limits, 10, 0)
    limits.settle(more, 500)
    assert limits.room(0).tokens == 0
    assert limits.room(60).tokens == 100
    estimated = taken(limits, 60, 60)
    limits.settle(estimated, None)
    assert limits.room(60).tokens == 40


def test_a_refund_restores() -> None:
    limits = Limits(rpm=1, tpm=10, max_concurrency=1)
    hold = taken(limits, 10, 0)
    limits.refund(hold)
    limits.refund(hold)
    assert limits.room(0) == Room(1, 10, 1)
    limits.settle(hold, 7)
    assert limits.room(0) == Room(1, 10, 1)


def test_what_ends_after_its_minute_changes_no_count() -> None:
    limits = Limits(rpm=5, tpm=100, max_concurrency=3)
    old, older = taken(limits, 40, 0), taken(limits, 30, 0)
    taken(limits, 20, 60)
    limits.settle(old, 4000)
    limits.refund(older)
    assert (limits.tokens, limits.running, limits.room(60)) == (20, 1, Room(4, 80, 2))


def test_one_larger_than_the_limit_goes_alone() -> None:
    limits = Limits(tpm=100)
    taken(limits, 1, 0)
    assert (limits.take(1000, 30), limits.wait(1000, 30)) == (None, 30)
    taken(limits, 1000, 60)
    assert limits.wait(1, 60) == 60
    assert taken(limits, 100, 120).counted


@pytest.mark.parametrize(
    ("remaining", "reset", "wait"), [(0, 7.0, 7), (0, 1e9, 60), (0, None, 0), (1, 7.0, 0), (None, 7.0, 0)]
)
def test_the_vendors_word(remaining: int | None, reset: float | None, wait: float) -> None:
    limits = Limits()
    limits.told(remaining, reset, 5)
    assert limits.wait(1, 5) == wait
    limits.told(0, 0.5, 5)  # a shorter one does not take a longer one back
    assert limits.wait(1, 5) == max(wait, 0.5)
    assert limits.unlimited


MOST = st.one_of(st.none(), st.integers(1, 5))


class Minutes(RuleBasedStateMachine):
    """Against a plain list of everything that was ever let through. Times are eighths: floats are exact there."""

    @initialize(rpm=MOST, tpm=st.one_of(st.none(), st.integers(1, 100)), at_once=MOST)
    def begin(self, rpm: int | None, tpm: int | None, at_once: int | None) -> None:
        self.limits = Limits(rpm, tpm, at_once)
        self.now = 0.0
        self.let: list[Hold] = []
        self.under_way: list[Hold] = []

    def minute(self) -> list[Hold]:
        return [hold for hold in self.let if hold.at > self.now - MINUTE]

    @rule(eighths=st.integers(0, 400))
    def pass_time(self, eighths: int) -> None:
        self.now += eighths / 8

    @rule(tokens=st.integers(0, 150))
    def take(self, tokens: int) -> None:
        before = self.minute()
        wait = self.limits.wait(tokens, self.now)
        hold = self.limits.take(tokens, self.now)
        assert (hold is not None) == (wait == 0)
        limits = self.limits
        if hold is None:
            room = limits.rpm is None or len(before) < limits.rpm
            fits = limits.tpm is None or sum(h.tokens for h in before) + tokens <= limits.tpm or not before
            free = limits.max_concurrency is None or len(self.under_way) < limits.max_concurrency
            assert not (room and fits and free and self.now >= limits.blocked_until), "held up for nothing"
            return
        assert self.now >= limits.blocked_until
        assert limits.rpm is None or len(before) < limits.rpm
        assert limits.tpm is None or sum(h.tokens for h in before) + tokens <= limits.tpm or not before
        self.let.append(hold)
        self.under_way.append(hold)

    @rule(tokens=st.integers(0, 150))
    def wait(self, tokens: int) -> None:
        """So long and no longer, when nothing else comes."""
        wait = self.limits.wait(tokens, self.now)
        if wait in (0, math.inf):
            return
        assert 0 < wait <= MINUTE
        assert self.limits.wait(tokens, self.now + wait - 0.125 if wait > 0.125 else self.now) > 0
        self.now += wait
        if self.limits.wait(tokens, self.now) != math.inf:  # the place is another matter
            self.take(tokens)
            assert self.let[-1].at == self.now

    @precondition(lambda self: self.under_way)
    @rule(data=st.data(), tokens=st.one_of(st.none(), st.integers(0, 300)))
    def settle(self, data: st.DataObject, tokens: int | None) -> None:
        hold = self.under_way.pop(data.draw(st.integers(0, len(self.under_way) - 1)))
        self.limits.settle(hold, tokens)

    @precondition(lambda self: self.under_way)
    @rule(data=st.data())
    def refund(self, data: st.DataObject) -> None:
        hold = self.under_way.pop(data.draw(st.integers(0, len(self.under_way) - 1)))
        self.limits.refund(hold)
        self.let = [kept for kept in self.let if kept is not hold]

    @rule(remaining=st.sampled_from([0, 0, 1, None]), eighths=st.one_of(st.none(), st.integers(0, 800)))
    def told(self, remaining: int | None, eighths: int | None) -> None:
        self.limits.told(remaining, None if eighths is None else eighths / 8, self.now)

    @invariant()
    def counts(self) -> None:
        if not hasattr(self, "limits"):
            return
        room, limits = self.limits.room(self.now), self.limits
        assert limits.running == len(self.under_way) >= 0
        assert limits.max_concurrency is None or limits.running <= limits.max_concurrency
        assert limits.tokens == sum(hold.tokens for hold in self.minute()) >= 0
        assert len(limits.holds) == len(self.minute())
        assert all(left is None or left >= 0 for left in (room.requests, room.tokens, room.at_once))


TestMinutes = Minutes.TestCase
TestMinutes.settings = settings(max_examples=120, stateful_step_count=30, derandomize=True, deadline=None)
