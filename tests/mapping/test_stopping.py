"""When failures mean that the next row will fail too."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hybrid_nb.core import errors
from hybrid_nb.mapping.stopping import MANY, MANY_HOPELESS, MANY_INVALID, PATIENCE, Outage, Streak, told

KINDS = [
    errors.AuthenticationError,
    errors.InvalidRequestError,
    errors.ServiceUnavailableError,
    errors.ContentFilterError,
    errors.MalformedResponseError,
]
LIMITS = {errors.AuthenticationError: MANY_HOPELESS, errors.InvalidRequestError: MANY_INVALID,
          errors.ServiceUnavailableError: MANY}  # fmt: skip


@given(st.lists(st.one_of(st.none(), st.sampled_from(KINDS)), max_size=80))
def test_only_so_many_of_one_kind_one_after_another(ends):
    """None: a row that was well. What is wrong with one row neither counts nor breaks the count."""
    streak = Streak()
    kind, count = None, 0
    for end in ends:
        if end is None:
            streak.well()
            kind, count = None, 0
            continue
        stops = streak.failed(end("no"))
        if end not in LIMITS:
            assert not stops
            continue
        kind, count = end, count + 1 if end is kind else 1
        assert stops == (count >= LIMITS[end])


def test_behind_all_targets_failed_is_the_last_of_their_errors():
    streak, stops = Streak(), []
    for _ in range(MANY_HOPELESS):
        error = errors.NoProviderAvailableError("all 2 targets failed")
        error.__cause__ = errors.AuthenticationError("refused")
        stops.append(streak.failed(error))
    assert stops == [False] * (MANY_HOPELESS - 1) + [True]


def test_what_no_model_has_said_ends_it_at_once():
    assert Streak().failed(errors.ConfigError("this router is closed"))
    assert Streak().failed(ZeroDivisionError())


def test_more_is_told_in_an_error_of_the_same_kind():
    error = told(errors.AuthenticationError("refused", "a", 401), "3 answers are kept")
    assert isinstance(error, errors.AuthenticationError)
    assert str(error) == "a: refused; 3 answers are kept"
    assert str(told(errors.BudgetExceededError("too dear"), "x")) == "too dear; x"


def shut(retry_at: float | None = 160.0) -> errors.NoProviderAvailableError:
    return errors.NoProviderAvailableError("its breaker is open", (), retry_at)


def test_rows_wait_for_those_who_are_shut_when_somebody_has_answered():
    outage = Outage()
    assert not outage.refused(shut(), 100.0)  # nobody has answered: there may be no server at all
    outage.well()
    assert outage.refused(shut(), 100.0)
    assert outage.until == 160.0
    assert outage.refused(shut(90.0), 200.0)  # a time that is over: not at once again
    assert outage.until > 200.0


def test_an_outage_is_waited_for_so_long_and_no_longer():
    outage = Outage()
    outage.well()
    assert outage.refused(shut(), 100.0)
    assert not outage.refused(shut(), 100.0 + PATIENCE)
    outage.well()
    assert outage.refused(shut(), 100.0 + PATIENCE)


def test_what_was_sent_or_has_no_time_does_not_wait():
    outage = Outage()
    outage.well()
    assert not outage.refused(shut(None), 100.0)
    assert not outage.refused(errors.ServiceUnavailableError("500"), 100.0)
