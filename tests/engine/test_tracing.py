"""The times of every chunk, as somebody who measures gets them."""

from __future__ import annotations

from hybrid_nb.core.tracing import Trace, traced
from hybrid_nb.portal import portal
from hybrid_nb.router import Router
from hybrid_nb.sim import Fault, Fleet


def _ignore(text: str) -> None:
    pass


def _traced(router: Router, prompt: str, **options: object) -> tuple[Trace, str]:
    trace = Trace()
    ready = router._prepared(prompt, options)
    reply = portal().run(traced(trace, router._run, ready, _ignore))
    return trace, reply.text


def test_every_chunk_has_a_time_and_its_characters(router: Router, fleet: Fleet) -> None:
    trace, text = _traced(router, "Tell me about tides", model="openai/simulated-openai")
    (attempt,) = trace.attempts
    assert attempt.kept
    assert sum(arrival.text for arrival in attempt.arrivals) == len(text)
    assert 1 <= len(attempt.arrivals) <= fleet["openai"].chats[-1].tokens_out  # what comes in one read is one arrival
    times = [attempt.sent, *(arrival.at for arrival in attempt.arrivals)]
    assert times == sorted(times)


def test_an_attempt_that_failed_is_told_from_the_one_that_answered(router: Router, fleet: Fleet) -> None:
    fleet["openai"].fail(Fault("status", 500))
    trace, _ = _traced(router, "Say hi", model="openai/simulated-openai")
    assert [attempt.kept for attempt in trace.attempts] == [False, True]
    assert not trace.attempts[0].arrivals


def test_nobody_measures_unless_asked(router: Router) -> None:
    trace = Trace()
    router.chat("Say hi")
    assert trace.attempts == []
