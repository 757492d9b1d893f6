"""What is known of a provider's health, and what counts: the newest of calls and checks."""

from __future__ import annotations

import pytest

from hybrid_nb.core.types import Target
from hybrid_nb.engine.facts import FRESH, fresh_for, gather
from hybrid_nb.engine.health import Check, Health
from hybrid_nb.engine.latency import Latency

A = Target("a", "m")


def failed(at: float, **more: object) -> Check:
    return Check("a", at, 0, 1, None, "refused", **more)  # type: ignore[arg-type]


def good(at: float, **more: object) -> Check:
    return Check("a", at, 1, 1, 0.1, **more)  # type: ignore[arg-type]


def test_a_call_that_goes_well_after_a_failed_check_counts_and_one_from_before_does_not() -> None:
    health = Health()
    health.attempt("a", True, None, 90)
    health.checked(failed(100))
    assert health.status("a") == "down"
    health.attempt("a", True, None, 99)  # it ended before, and is told of now
    assert health.status("a") == "down"
    health.attempt("a", False, "busy", 101)
    assert health.status("a") == "down"
    health.attempt("a", True, None, 102)
    assert health.status("a") == "degraded"  # three of four went well
    health.checked(failed(103))
    assert health.status("a") == "down"
    health.checked(good(104))
    assert health.status("a") == "degraded"


def test_a_server_that_does_not_list_models_is_known_by_its_calls() -> None:
    health = Health()
    health.checked(failed(100, reached=True, mute=True))
    assert health.status("a") == "unknown"
    health.attempt("a", True, None, 90)
    assert health.status("a") == "healthy"
    assert health.record("a").uptime == 1.0


def test_figures_of_a_provider_and_of_its_models() -> None:
    health = Health()
    health.attempt("a", True, None, 10, "m", 1.0)
    health.attempt("a", True, None, 11, "m", 2.0)
    health.attempt("a", False, "busy", 12, "n", 9.0)
    a, m, n = health.record("a"), health.model("a", "m"), health.model("a", "n")
    assert (a.calls, a.failures, a.mean_latency, a.last_call_at) == (3, 1, 1.5, 12)
    assert (m.calls, m.failures, m.mean_latency, m.last_error) == (2, 0, 1.5, None)
    assert (n.calls, n.failures, n.mean_latency, n.last_error, n.last_error_at) == (1, 1, None, "busy", 12)
    assert (health.status("a", "m"), health.status("a", "n"), health.status("a", "new")) == (
        "healthy", "degraded", "unknown",
    )  # fmt: skip


def test_uptime_of_models_and_of_intervals_that_calls_told_of() -> None:
    health = Health()
    health.checked(good(1, configured=("m", "n"), served=("m",), missing=("n",)))
    assert (health.status("a", "m"), health.status("a", "n")) == ("healthy", "down")
    health.attempt("a", True, None, 2, "n")
    assert health.status("a", "n") == "healthy"  # listed or not, it answers
    health.checked(failed(3, configured=("m", "n")))
    assert [health.model("a", name).uptime for name in "mn"] == [0.5, 0.0]
    assert (health.status("a", "m"), health.status("a", "n")) == ("down", "down")
    assert health.record("a").uptime == 0.5
    health.told("a")
    assert health.record("a").uptime == pytest.approx(2 / 3)
    assert health.record("b").uptime is None


def test_an_older_error_does_not_hide_a_newer_one() -> None:
    health = Health()
    health.attempt("a", False, "new", 100)
    health.attempt("a", False, "old", 50)
    health.checked(failed(70))
    record = health.record("a")
    assert (record.last_error, record.last_error_at, record.last_call_at) == ("new", 100, 100)


def test_a_new_address_is_not_judged_by_the_check_of_the_old() -> None:
    health = Health()
    health.attempt("b", True, None, 1, "m")
    health.checked(failed(100, configured=("m",), refused=True))
    health.moved("a")
    assert (health.status("a"), health.status("a", "m")) == ("unknown", "unknown")
    assert health.record("a").last_error == "refused"


@pytest.mark.parametrize(("interval", "seconds"), [(30, 90), (5, 15), (600, 1800), (0, FRESH)])
def test_a_failed_check_counts_for_three_intervals(interval: float, seconds: float) -> None:
    health, lasts = Health(), fresh_for(interval)
    health.checked(failed(1000))
    assert gather(health, Latency(), {}, now=0, unix=1000 + seconds, fresh=lasts).of(A).status == "down"
    assert gather(health, Latency(), {}, now=0, unix=1001 + seconds, fresh=lasts).of(A).status == "unknown"
