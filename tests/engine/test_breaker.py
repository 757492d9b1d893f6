"""Breakers: when they open, for how long, who may probe; over every interleaving, with a clock that is passed in."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, precondition, rule

from hybrid_nb.core import errors
from hybrid_nb.engine.breaker import FOREVER, Breaker, Pass, Policy, State, Verdict, verdict

POLICY = Policy(threshold=3, seconds=10.0, longest=40.0, rate=0.5, calls=8, window=10, spent=100.0)


def fail(breaker: Breaker, now: float, times: int = 1, **more: float) -> None:
    for _ in range(times):
        let = breaker.enter(now)
        assert let is not None
        breaker.leave(let, Verdict.BAD, now, **more)


def opened(now: float = 0.0) -> Breaker:
    breaker = Breaker(POLICY)
    fail(breaker, now, 3)
    return breaker


def test_it_opens_after_so_many_failures_in_a_row() -> None:
    breaker = Breaker(POLICY)
    fail(breaker, 0, 2)
    assert breaker.state(0) is State.CLOSED
    breaker.leave(Pass.NORMAL, Verdict.GOOD, 0)  # the row is broken
    fail(breaker, 0, 2)
    assert breaker.state(0) is State.CLOSED
    fail(breaker, 0)
    assert breaker.state(0) is State.OPEN
    assert (breaker.opens_at, breaker.enter(9.9), breaker.state(10)) == (10, None, State.HALF_OPEN)


def test_it_opens_at_a_rate_of_failures_over_a_minimum_of_calls() -> None:
    def after(outcomes: str) -> State:
        breaker = Breaker(Policy(threshold=100, seconds=10, rate=0.5, calls=8, window=10))
        for outcome in outcomes:
            breaker.leave(Pass.NORMAL, Verdict.BAD if outcome == "-" else Verdict.GOOD, 0)
        return breaker.state(0)

    assert after("-------") is State.CLOSED  # too few to tell
    assert after("--------") is State.OPEN
    assert after("+-+-+-+-+-") is State.CLOSED  # half of them, and no more
    assert after("+-+-+-+--") is State.OPEN
    assert after("++++++++++" + "-+-+-") is State.CLOSED
    assert after("++++++++++" + "-+--+--+-") is State.OPEN  # what is older than the window is forgotten


def test_one_probe_at_a_time_and_a_good_one_closes() -> None:
    breaker = opened()
    assert breaker.enter(10) is Pass.PROBE
    assert not breaker.admits(10)
    assert breaker.enter(1000) is None
    breaker.leave(Pass.PROBE, Verdict.GOOD, 11)
    assert breaker.state(11) is State.CLOSED
    assert breaker.enter(11) is Pass.NORMAL
    assert (breaker.failures, breaker.openings) == (0, 0)


def test_each_failed_probe_doubles_the_time_up_to_the_longest() -> None:
    breaker, now, times = opened(), 0.0, []
    for _ in range(5):
        times.append(breaker.opens_at - now)
        now = breaker.opens_at
        assert breaker.enter(now) is Pass.PROBE
        breaker.leave(Pass.PROBE, Verdict.BAD, now)
    assert times == [10, 20, 40, 40, 40]


def test_a_time_longer_than_the_longest_stands() -> None:
    breaker = Breaker(Policy(threshold=1, seconds=3600.0))
    fail(breaker, 0)
    assert breaker.opens_at == 3600


def test_a_crowd_that_fails_together_opens_it_once() -> None:
    breaker = Breaker(POLICY)
    crowd = [breaker.enter(0) for _ in range(2000)]
    for number, let in enumerate(crowd):
        assert let is not None
        breaker.leave(let, Verdict.BAD, 0.001 * number)
    assert breaker.opens_at < 10.1  # and not doubled by each of them
    assert breaker.enter(11) is Pass.PROBE


def test_probes_may_fail_for_ever() -> None:
    breaker, now = opened(), 0.0
    for _ in range(1100):
        now = breaker.opens_at
        breaker.enter(now)
        breaker.leave(Pass.PROBE, Verdict.BAD, now)
    assert breaker.opens_at == now + 40


@pytest.mark.parametrize("outcome", [Verdict.GOOD, Verdict.BAD, Verdict.NOTHING])
def test_what_entered_before_does_not_end_a_probe(outcome: Verdict) -> None:
    breaker = Breaker(POLICY)
    late = breaker.enter(0)
    fail(breaker, 0, 3)
    assert breaker.enter(10) is Pass.PROBE
    assert late is Pass.NORMAL
    breaker.leave(late, outcome, 10)
    assert breaker.probing
    assert breaker.enter(10) is None
    breaker.leave(Pass.PROBE, Verdict.GOOD, 11)
    assert breaker.state(11) is State.CLOSED


def test_a_probe_from_before_a_reset_does_not_make_room_for_two() -> None:
    breaker = opened()
    old = breaker.enter(10)
    breaker.reset()
    assert breaker.state(10) is State.CLOSED
    fail(breaker, 10, 3)
    first = breaker.enter(20)
    assert old is not None
    breaker.leave(old, Verdict.NOTHING, 20)
    assert sum(let is not None for let in (first, breaker.enter(20), breaker.enter(20))) == 1


def test_a_probe_from_before_a_reset_fails_as_any_other_call() -> None:
    breaker = opened()
    assert breaker.enter(10) is Pass.PROBE
    breaker.reset()
    breaker.leave(Pass.PROBE, Verdict.BAD, 11)
    assert (breaker.state(11), breaker.failures) == (State.CLOSED, 1)


def test_a_wish_to_be_left_alone_is_no_opening() -> None:
    breaker = Breaker(POLICY)
    fail(breaker, 0, retry_after=30.0)
    assert (breaker.state(29.9), breaker.enter(29.9), breaker.opens_at) == (State.OPEN, None, 30)
    assert (breaker.openings, breaker.until) == (0, None)
    assert breaker.enter(30) is Pass.NORMAL
    assert breaker.enter(30) is Pass.NORMAL  # not half-open


def test_the_longer_of_opening_and_wish_counts() -> None:
    breaker = Breaker(POLICY)
    fail(breaker, 0, 2)
    fail(breaker, 0, retry_after=25.0)
    assert (breaker.enter(20), breaker.opens_at) == (None, 25)
    assert breaker.enter(25) is Pass.PROBE


@pytest.mark.parametrize("asked", [1e12, FOREVER])
def test_a_wish_beyond_reason_is_not_for_ever(asked: float) -> None:
    breaker = Breaker(POLICY)
    fail(breaker, 0, retry_after=asked)
    assert breaker.opens_at == POLICY.spent


def test_a_refused_key_holds_until_reset() -> None:
    breaker = Breaker(POLICY)
    late = [breaker.enter(0) for _ in range(3)]
    assert late == [Pass.NORMAL] * 3
    breaker.leave(Pass.NORMAL, Verdict.LOCKED, 0)
    breaker.leave(Pass.NORMAL, Verdict.GOOD, 1)
    breaker.leave(Pass.NORMAL, Verdict.BAD, 1, retry_after=1.0)
    assert breaker.enter(1e9) is None
    assert "key was refused" in breaker.describe(1e9)
    breaker.reset()
    assert breaker.enter(1) is Pass.NORMAL


def test_a_probe_under_way_does_not_unlock() -> None:
    breaker = Breaker(POLICY)
    late = breaker.enter(0)
    fail(breaker, 0, 3)
    assert breaker.enter(10) is Pass.PROBE
    assert late is not None
    breaker.leave(late, Verdict.LOCKED, 10)
    breaker.leave(Pass.PROBE, Verdict.GOOD, 11)
    assert breaker.enter(1e9) is None


def test_spent_credit_holds_long_and_then_probes() -> None:
    breaker = Breaker(POLICY)
    breaker.leave(Pass.NORMAL, Verdict.SPENT, 5)
    assert breaker.opens_at == 105
    assert breaker.enter(105) is Pass.PROBE
    breaker.leave(Pass.PROBE, Verdict.SPENT, 106, 7.0)
    assert breaker.opens_at == 113
    assert breaker.openings == 0


# --- checks -------------------------------------------------------------------------------------------------


def test_a_server_that_is_there_again_may_be_probed_at_once() -> None:
    """It listed its models; whether it answers is not known, so that one call finds out."""
    breaker = opened()
    breaker.well(1)
    assert breaker.state(1) is State.HALF_OPEN
    assert (breaker.enter(1), breaker.enter(1)) == (Pass.PROBE, None)
    breaker.leave(Pass.PROBE, Verdict.BAD, 2)
    assert breaker.opens_at == 22  # nothing was forgotten: the second opening lasts twice as long


def test_where_nothing_answered_everybody_may_go_and_one_failure_shuts_it_again() -> None:
    breaker = Breaker(POLICY)
    for _ in range(3):
        breaker.leave(Pass.NORMAL, Verdict.GONE, 0)
    breaker.well(1)
    assert breaker.state(1) is State.CLOSED
    assert [breaker.enter(1) for _ in range(5)] == [Pass.NORMAL] * 5
    breaker.leave(Pass.NORMAL, Verdict.BAD, 2)
    assert breaker.opens_at == 22
    breaker.well(3)
    assert breaker.state(3) is State.HALF_OPEN  # it answered, with an error
    breaker = Breaker(POLICY)
    for _ in range(3):
        breaker.leave(Pass.NORMAL, Verdict.GONE, 0)
    breaker.well(1)
    breaker.leave(Pass.NORMAL, Verdict.GOOD, 2)
    fail(breaker, 3, 2)
    assert breaker.state(3) is State.CLOSED  # a call went well: as new
    fail(breaker, 3)
    assert breaker.opens_at == 13


@pytest.mark.parametrize("outcome", [Verdict.LOCKED, Verdict.SPENT])
def test_what_a_list_of_models_says_nothing_of_stands_until_a_person_looks(outcome: Verdict) -> None:
    breaker = Breaker(POLICY)
    breaker.leave(Pass.NORMAL, outcome, 0)
    until = breaker.opens_at
    breaker.well(1)
    assert (breaker.opens_at, breaker.state(1)) == (until, State.OPEN)
    breaker.well(1, asked=True)
    assert breaker.admits(1)
    breaker.leave(breaker.enter(1) or Pass.NORMAL, Verdict.GOOD, 2)
    assert breaker.state(2) is State.CLOSED


def test_after_credit_came_back_a_check_counts_again() -> None:
    breaker = Breaker(POLICY)
    breaker.leave(Pass.NORMAL, Verdict.SPENT, 0)
    assert breaker.enter(100) is Pass.PROBE
    breaker.leave(Pass.PROBE, Verdict.BAD, 100)  # it failed for another reason
    breaker.well(101)
    assert breaker.state(101) is State.HALF_OPEN


def test_a_wish_to_be_left_alone_outlasts_a_check_unless_a_person_looks() -> None:
    breaker = Breaker(POLICY)
    fail(breaker, 0, 1, retry_after=50)
    breaker.well(1)
    assert breaker.state(49) is State.OPEN
    breaker.well(1, asked=True)
    assert breaker.state(1) is State.CLOSED


def test_nothing_changes_nothing() -> None:
    for breaker in (Breaker(POLICY), opened()):
        before = repr(breaker)
        breaker.leave(Pass.NORMAL, Verdict.NOTHING, 3, retry_after=50.0)
        assert repr(breaker) == before
    breaker = opened()
    before = repr(breaker)
    breaker.enter(10)
    breaker.leave(Pass.PROBE, Verdict.NOTHING, 12)
    assert repr(breaker) == before
    assert breaker.enter(12) is Pass.PROBE  # and the next may probe


def test_what_it_says() -> None:
    breaker = opened()
    assert breaker.describe(4) == "its breaker is open for 6 s more (router.health() asks at once)"
    breaker.enter(10)
    assert breaker.describe(11) == "its breaker is half-open and a probe is under way"


VERDICTS = {
    errors.AuthenticationError: Verdict.LOCKED,
    errors.PermissionDeniedError: Verdict.NOTHING,
    errors.QuotaExceededError: Verdict.SPENT,
    errors.RateLimitError: Verdict.BAD,
    errors.ServiceUnavailableError: Verdict.BAD,
    errors.ProviderTimeoutError: Verdict.BAD,
    errors.ConnectionFailedError: Verdict.GONE,
    errors.InvalidRequestError: Verdict.NOTHING,
    errors.ContextLengthError: Verdict.NOTHING,
    errors.ContentFilterError: Verdict.NOTHING,
    errors.ModelNotFoundError: Verdict.NOTHING,
    errors.UnsupportedFeatureError: Verdict.NOTHING,
    errors.StreamInterruptedError: Verdict.BAD,
    errors.MalformedResponseError: Verdict.BAD,
    errors.ProviderError: Verdict.BAD,
}


def test_every_error_has_its_verdict() -> None:
    assert verdict(None) is Verdict.GOOD
    kinds, found = [errors.InferenceError], set()
    while kinds:
        below = kinds.pop().__subclasses__()
        kinds += below
        found |= {kind for kind in below if kind.__module__ == errors.__name__}
    assert found == set(VERDICTS)
    assert {kind: verdict(kind("x")) for kind in found} == VERDICTS


OUTCOMES = st.sampled_from(Verdict)


class Interleavings(RuleBasedStateMachine):
    """Calls enter and leave in any order, time passes, somebody resets."""

    under_way = Bundle("under_way")

    @initialize()
    def begin(self) -> None:
        self.breaker = Breaker(POLICY)
        self.now = 0.0
        self.probes = 0
        self.locked = False
        self.entered = 0

    @rule(seconds=st.sampled_from([0.0, 0.5, 10.0, 20.0, 40.0, 100.0]))
    def pass_time(self, seconds: float) -> None:
        self.now += seconds

    @rule(target=under_way)
    def enter(self) -> Pass | None:
        admitted, state = self.breaker.admits(self.now), self.breaker.state(self.now)
        let = self.breaker.enter(self.now)
        assert (let is not None) == admitted
        assert let is not Pass.NORMAL or state is State.CLOSED
        assert let is not Pass.PROBE or state is State.HALF_OPEN
        assert not (let and self.locked)
        self.probes += let is Pass.PROBE
        self.entered += let is not None
        return let

    @rule(
        let=consumes(under_way),
        outcome=OUTCOMES,
        wait=st.one_of(st.none(), st.sampled_from([0.0, 5.0, 60.0, FOREVER])),
    )
    def leave(self, let: Pass | None, outcome: Verdict, wait: float | None) -> None:
        if let is None:
            return
        before = (self.breaker.openings, self.breaker.until)
        failures, cooling = self.breaker.failures, self.breaker.cooling
        self.breaker.leave(let, outcome, self.now, wait)
        self.probes -= let is Pass.PROBE
        self.entered -= 1
        self.locked |= outcome is Verdict.LOCKED
        if outcome is Verdict.NOTHING:
            assert (self.breaker.openings, self.breaker.until) == before
            assert (self.breaker.failures, self.breaker.cooling) == (failures, cooling)
        if let is Pass.NORMAL and before[1] is not None:
            assert self.breaker.openings == before[0], "only a probe's failure opens what is open already"
        assert self.breaker.openings <= before[0] + 1

    @rule()
    def reset(self) -> None:
        self.breaker.reset()
        self.locked = False
        assert self.breaker.admits(self.now)

    @precondition(lambda self: self.breaker.until is None and not self.entered)
    @rule()
    def fail_in_a_row(self) -> None:
        self.now = max(self.now, self.breaker.cooling)
        count = 0
        while self.breaker.state(self.now) is State.CLOSED:
            fail(self.breaker, self.now)
            count += 1
        assert count <= POLICY.threshold

    @invariant()
    def one_probe_at_most(self) -> None:
        if hasattr(self, "breaker"):
            assert self.probes <= 1
            assert self.breaker.probing == (self.probes == 1)

    @invariant()
    def it_lets_through_again_in_time(self) -> None:
        if hasattr(self, "breaker") and not self.locked:
            assert self.breaker.opens_at <= self.now + POLICY.spent
            later = max(self.now, self.breaker.opens_at)
            assert self.breaker.admits(later) or self.probes == 1


TestInterleavings = Interleavings.TestCase
TestInterleavings.settings = settings(max_examples=150, stateful_step_count=30, derandomize=True, deadline=None)
