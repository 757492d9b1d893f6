"""When failures mean that the next row will fail too."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hybrid_nb.core import errors
from hybrid_nb.mapping.stopping import MANY, MANY_HOPELESS, MANY_INVALID, Streak, told

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
