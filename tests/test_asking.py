"""Stream.asking: who is asked now, what failed before, and what is waited for; told over the wire."""

from __future__ import annotations

import time

from hybrid_nb.core.asking import PROGRESS
from hybrid_nb.core.types import Target
from hybrid_nb.sim import Fault
from hybrid_nb.stream import Stream


def seen(stream: Stream, wanted, patience: float = 5.0):
    """The first look at the stream that is as wanted."""
    give_up = time.monotonic() + patience
    while time.monotonic() < give_up:
        if stream.asking is not None and wanted(stream.asking):
            return stream.asking
        stream.poll(0.01)
    raise TimeoutError(f"never seen; the last was {stream.asking}")


def test_who_is_asked_and_since_when(router, fleet):
    fleet["openai"].set(ttft=5.0, tokens_per_second=50.0)
    began = time.monotonic()
    with router.stream("hi", model="openai/simulated-openai") as stream:
        found = seen(stream, lambda asking: True)
    assert found.target == Target("openai", "simulated-openai")
    assert began <= found.since <= time.monotonic()
    assert (found.failed, found.waits) == ((), "")


def test_what_failed_before(router, fleet):
    fleet["openai"].fail(Fault("status", status=503), times=None)
    fleet["anthropic"].set(ttft=5.0, tokens_per_second=50.0)
    with router.stream("hi") as stream:
        found = seen(stream, lambda asking: asking.failed)
    assert found.target.provider == "anthropic"
    target, error = found.failed[0]
    assert target.provider == "openai"
    assert error.startswith("ServiceUnavailableError: ")


def test_a_pause_before_a_retry(fleet, make_router):
    fleet["openai"].fail(Fault("status", status=429, headers=(("retry-after", "9"),)), times=None)
    router = make_router(fleet, retries=1)
    with router.stream("hi", model="openai/simulated-openai") as stream:
        found = seen(stream, lambda asking: asking.waits)
    assert found.waits == "a pause before it is asked again"
    assert found.failed[0][1].startswith("RateLimitError")


def test_a_limit_of_ours(fleet, make_router):
    fleet["openai"].set(ttft=5.0, tokens_per_second=50.0)
    router = make_router(fleet)
    router.update_provider("openai", max_concurrency=1)
    with router.stream("hi", model="openai/simulated-openai") as first:
        seen(first, lambda asking: not asking.waits)
        with router.stream("hi", model="openai/simulated-openai") as second:
            assert seen(second, lambda asking: asking.waits).waits == "its rate limit"


def test_a_budget(fleet, make_router):
    fleet["openai"].set(ttft=5.0, tokens_per_second=50.0)
    router = make_router({**fleet.config(), "budget": {"daily_usd": "0.00006", "when_exceeded": "queue"}})
    options = {"model": "openai/simulated-openai", "max_tokens": 8}
    with router.stream("hi there", **options) as first:
        seen(first, lambda asking: not asking.waits)
        with router.stream("hi there", **options) as second:
            assert seen(second, lambda asking: asking.waits).waits == "the budget"


def test_every_call_has_its_own_progress(router, fleet):
    fleet["openai"].fail(Fault("status", status=503), times=1)
    assert router.stream("hi").reply.provider == "anthropic"
    stream = router.stream("hi", model="gemini/simulated-gemini")
    assert stream.reply.provider == "gemini"
    assert (stream.asking.target.provider, stream.asking.failed) == ("gemini", ())
    assert PROGRESS.get() is None


def test_a_call_that_is_recorded_is_told_too_and_a_replay_asks_nobody(fleet, make_router, tmp_path):
    cache = {"path": str(tmp_path / "cassette.jsonl")}
    router = make_router({**fleet.config(), "cache": {"mode": "record", **cache}})
    calls = router.compare_streams("What is 6 * 7?", None)
    assert [str(stream.reply.route.chosen) for _, stream in calls] == [name for name, _ in calls]
    assert len({stream.asking.target.provider for _, stream in calls}) == len(calls) == 4
    replayed = make_router({"provider": [], "cache": {"mode": "replay", **cache}})
    again = replayed.compare_streams("What is 6 * 7?", None)
    assert [(name, stream.reply.text) for name, stream in again] == [(n, s.reply.text) for n, s in calls]
    assert [side.reply.text for side in replayed.compare("What is 6 * 7?")] == [s.reply.text for _, s in calls]
    assert again[0][1].asking is None
