"""Breakers, limits and budget through the public door: who is asked, who waits, who is left alone, what is left."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import pandas as pd
import psutil
import pytest

from hybrid_nb.core.errors import (
    AuthenticationError,
    HybridNbError,
    InferenceError,
    InvalidRequestError,
    NoProviderAvailableError,
    RateLimitError,
    ServiceUnavailableError,
)
from hybrid_nb.core.provider import Endpoint, Provider
from hybrid_nb.core.types import Request, Target
from hybrid_nb.engine.breaker import Policy, Verdict
from hybrid_nb.engine.gate import Full, Gate, Ticket
from hybrid_nb.engine.schedule import Slot
from hybrid_nb.portal import portal
from hybrid_nb.providers import vendors
from hybrid_nb.router import Router
from tests.conftest import MakeRouter, at
from tests.faults.raw_server import HANG, KEEP, RESET, RawServer, answer, delta, events, finish, head, said, until

Raw = Callable[..., RawServer]
BUSY = answer({"error": {"message": "busy"}}, 503)
GOOD = answer(said("hi"))


@pytest.fixture(autouse=True)
def _nothing_is_left() -> Iterator[None]:
    yield
    loop = portal().loop
    assert until(lambda: not [task for task in asyncio.all_tasks(loop) if not task.done()])


def failing(router: Router, times: int, **options: Any) -> list[type[Exception]]:
    """What so many calls raise."""
    kinds: list[type[Exception]] = []
    for _ in range(times):
        with pytest.raises(HybridNbError) as caught:
            router.chat("hi", **options)
        kinds.append(caught.type)
    return kinds


def jump(router: Router, seconds: float) -> None:
    """Let time pass for breakers and limits."""
    router._gate.clock = lambda: time.monotonic() + seconds


# --- limits -------------------------------------------------------------------------------------------------


def test_the_third_of_two_a_minute_goes_elsewhere_at_once(raw: Raw, make_router: MakeRouter) -> None:
    one, two = raw(GOOD), raw(GOOD)
    router = make_router([at(one, rpm=2), at(two, "b", priority=2)])
    started = time.monotonic()
    replies = [router.chat("hi") for _ in range(4)]
    assert [reply.provider for reply in replies] == ["a", "a", "b", "b"]
    assert time.monotonic() - started < 1
    assert (len(one.seen), len(two.seen)) == (2, 2)
    told = ["not asked: a (at its limit)" in reply.footer() for reply in replies]
    assert told == [False, False, True, True]


@pytest.mark.parametrize("limit", [{"rpm": 2}, {"tpm": 230}])
def test_without_time_to_wait_it_is_a_rate_limit_error_and_nothing_is_sent(
    limit: dict[str, int], raw: Raw, make_router: MakeRouter
) -> None:
    server = raw(answer(said("hi", (50, 55))))
    router = make_router([at(server, **limit)])
    for _ in range(2):
        router.chat("hi", max_tokens=100)
    started = time.monotonic()
    with pytest.raises(RateLimitError, match="our own limit for it is reached, free in") as caught:
        router.chat("hi", max_tokens=100, timeout=5)
    assert time.monotonic() - started < 0.5
    assert caught.value.retry_after is not None
    assert 55 < caught.value.retry_after <= 60
    assert str(caught.value).startswith("a/m: ")
    assert (len(server.seen), len(router.attempts()), len(router.calls())) == (2, 2, 3)


@pytest.mark.parametrize("others", [0, 1])
def test_one_may_refuse_instead_of_waiting(others: int, raw: Raw, make_router: MakeRouter) -> None:
    servers = [raw(GOOD) for _ in range(1 + others)]
    providers = [at(server, name, rpm=1) for server, name in zip(servers, "ab", strict=False)]
    router = make_router(providers, when_limited="reject")
    for _ in servers:
        router.chat("hi")
    started = time.monotonic()
    with pytest.raises((RateLimitError, NoProviderAvailableError)) as caught:
        router.chat("hi")  # which has two minutes, and would wait for one
    assert time.monotonic() - started < 1
    if others:
        assert isinstance(caught.value, NoProviderAvailableError)
        assert 50 < (caught.value.retry_at or 0) - time.time() <= 60
    else:
        assert isinstance(caught.value, RateLimitError)
        assert 50 < (caught.value.retry_after or 0) <= 60
    assert [len(server.seen) for server in servers] == [1] * len(servers)


def test_the_third_waits_its_turn(raw: Raw, make_router: MakeRouter) -> None:
    server = raw(GOOD)
    router = make_router([at(server, rpm=2)])
    jump(router, -59.8)
    for _ in range(2):
        router.chat("hi")
    jump(router, 0)
    started = time.monotonic()
    assert router.chat("hi").text == "hi"
    assert 0.05 < time.monotonic() - started < 1
    assert len(server.seen) == 3


def test_several_full_targets_are_not_waited_for_beyond_the_calls_time(raw: Raw, make_router: MakeRouter) -> None:
    one, two = raw(GOOD), raw(GOOD)
    router = make_router([at(one, rpm=1), at(two, "b", rpm=1)])
    assert {router.chat("hi").provider for _ in range(2)} == {"a", "b"}
    started, now = time.monotonic(), time.time()
    with pytest.raises(NoProviderAvailableError, match=r"a/m: .*b/m: ") as caught:
        router.chat("hi", timeout=5)
    assert time.monotonic() - started < 0.5
    assert caught.value.retry_at is not None
    assert 55 < caught.value.retry_at - now <= 61
    assert len(one.seen) == len(two.seen) == 1


async def test_one_at_once_is_one_after_the_other_in_their_order(raw: Raw, make_router: MakeRouter) -> None:
    server = raw([0.01, *GOOD])
    router = make_router([at(server, max_concurrency=1)])
    most = 0

    async def one(number: int) -> None:
        await router.achat(f"call {number:02}")

    async def watch() -> None:
        nonlocal most
        while True:
            most = max(most, sum(seen.closed is None for seen in list(server.seen)))
            await asyncio.sleep(0.001)

    watching = asyncio.create_task(watch())
    await asyncio.gather(*(one(number) for number in range(12)))
    watching.cancel()
    assert [seen.json["messages"][0]["content"] for seen in server.seen] == [f"call {n:02}" for n in range(12)]
    assert most == 1


async def test_who_waits_behind_others_waits_no_longer_than_its_own_time(raw: Raw, make_router: MakeRouter) -> None:
    server = raw([HANG])
    router = make_router([at(server, max_concurrency=1)], retries=0)
    first = asyncio.ensure_future(router.achat("first", timeout=5))
    assert await asyncio.to_thread(until, lambda: server.seen)
    second = asyncio.ensure_future(router.achat("second", timeout=5))
    await asyncio.sleep(0.02)
    started = time.monotonic()
    with pytest.raises(RateLimitError, match="free when another call ends") as caught:
        await router.achat("third", timeout=0.1)
    assert 0.05 < time.monotonic() - started < 0.5
    assert caught.value.retry_after is None
    for task in (first, second):
        task.cancel()
    await asyncio.gather(first, second, return_exceptions=True)
    assert len(server.seen) == 1


async def test_a_full_target_is_waited_for_when_the_other_one_fails(raw: Raw, make_router: MakeRouter) -> None:
    slow, down = raw([0.1, *GOOD]), raw(BUSY)
    router = make_router([at(slow, max_concurrency=1), at(down, "b", priority=2)], retries=0)
    first = asyncio.ensure_future(router.achat("hi", model="a/m"))
    assert await asyncio.to_thread(until, lambda: slow.seen)
    started = time.monotonic()
    assert (await router.achat("hi", timeout=5)).provider == "a"
    assert time.monotonic() - started < 1
    await first
    assert len(down.seen) == 1


def test_a_limit_that_is_raised_holds_at_once(raw: Raw, make_router: MakeRouter) -> None:
    router = make_router([at(raw(GOOD), rpm=1)])
    router.chat("hi")
    with pytest.raises(RateLimitError):
        router.chat("hi", timeout=1)
    router.update_provider("a", rpm=2)
    assert router.chat("hi", timeout=1).text == "hi"
    router.update_provider("a", rpm=None)
    assert [router.chat("hi", timeout=1).text for _ in range(3)] == ["hi"] * 3


def test_what_never_reached_the_provider_does_not_count(raw: Raw, make_router: MakeRouter) -> None:
    server = raw(GOOD)
    router = make_router([at(server, rpm=1)])
    for _ in range(3):
        with pytest.raises(InvalidRequestError):
            router.chat("hi", stop=["\ud800"])
    assert router.chat("hi", timeout=1).text == "hi"


@pytest.mark.parametrize("reset", ["120ms", "0.12s"])
def test_the_vendors_rate_headers_are_obeyed(reset: str, raw: Raw, make_router: MakeRouter) -> None:
    headers = ("X-RateLimit-Remaining-Requests: 0", f"x-ratelimit-reset-requests: {reset}")
    told = answer(said("hi"), 200, "application/json", *headers)
    server, other = raw(told, GOOD), raw(GOOD)
    router = make_router([at(server), at(other, "b", priority=2)])
    assert router.chat("hi").provider == "a"
    assert router.chat("hi").provider == "b"  # at once, elsewhere
    started = time.monotonic()
    assert router.chat("hi", model="a/m").provider == "a"
    assert 0.02 < time.monotonic() - started < 1


ANTHROPIC = {
    "id": "m", "type": "message", "role": "assistant", "model": "m", "content": [{"type": "text", "text": "hi"}],
    "stop_reason": "end_turn", "stop_sequence": None, "usage": {"input_tokens": 1, "output_tokens": 1},
}  # fmt: skip


def limit(what: str, reset: str) -> list[str]:
    """Anthropic's headers when nothing is left."""
    return [f"anthropic-ratelimit-{what}-remaining: 0", f"anthropic-ratelimit-{what}-reset: {reset}"]


@pytest.mark.parametrize(
    ("kind", "body", "headers", "blocked"),
    [
        ("custom", said("hi"), ["x-ratelimit-remaining-tokens: 0", "x-ratelimit-reset-tokens: 45"], True),  # Azure
        ("custom", said("hi"), ["X-RateLimit-Remaining: 0", "X-RateLimit-Reset: 4070908800000"], True),  # OpenRouter
        ("custom", said("hi"), ["x-ratelimit-remaining-tokens: -1", "x-ratelimit-reset-tokens: 45"], False),
        ("custom", said("hi"), ["x-ratelimit-remaining-requests: 0"], False),  # until when, nobody said
        ("custom", said("hi"), [f"x-ratelimit-remaining-requests: {'9' * 5000}"], False),
        ("anthropic", ANTHROPIC, limit("requests", "2099-01-01T00:00:00Z"), True),
        ("anthropic", ANTHROPIC, limit("output-tokens", "2099-01-01T00:00:00Z"), True),
        ("anthropic", ANTHROPIC, limit("requests", "2020-01-01T00:00:00Z"), False),  # over already
    ],
)  # fmt: skip
def test_rate_headers_of_every_form(
    kind: str, body: Any, headers: list[str], blocked: bool, raw: Raw, make_router: MakeRouter
) -> None:
    server = raw(answer(body, 200, "application/json", *headers))
    router = make_router([at(server, type=kind)])
    router.chat("hi")
    if blocked:
        with pytest.raises(RateLimitError, match=r"our own limit for it is reached, free in (4|5|6)"):
            router.chat("hi", timeout=1)
    else:
        router.chat("hi", timeout=1)
    row = router.limits().iloc[0]
    assert (row["blocked_until"] is not pd.NaT) == blocked
    if blocked:
        assert 40 < (row["blocked_until"] - pd.Timestamp.now("UTC")).total_seconds() <= 60


def test_what_is_left_can_be_read(raw: Raw, make_router: MakeRouter) -> None:
    headers = ("x-ratelimit-remaining-requests: 99", "x-ratelimit-reset-requests: 60s",
               "x-ratelimit-remaining-tokens: 1234", "x-ratelimit-reset-tokens: 60s")  # fmt: skip
    server = raw([0.3, *answer(said("hi", (20, 30)), 200, "application/json", *headers)])
    router = make_router([at(server, rpm=5, tpm=1000, max_concurrency=3), at(server, "b", api_key="hunter2-PLANTED")])
    frame = router.limits().set_index("provider")
    assert list(frame.loc["a", ["requests_left", "tokens_left", "at_once_left"]]) == [5, 1000, 3]
    assert (
        frame.loc["b", ["rpm", "requests_left", "tpm", "tokens_left", "max_concurrency", "at_once_left"]].isna().all()
    )
    assert frame["vendor_requests_left"].isna().all()
    assert "PLANTED" not in frame.to_string()
    stream = router.stream("hi", model="a/m", max_tokens=100)
    assert until(lambda: server.seen)
    row = router.limits().iloc[0]
    assert (row["requests_left"], row["at_once_left"]) == (4, 2)
    assert row["tokens_left"] < 1000 - 100
    assert stream.reply.text == "hi"
    row = router.limits().iloc[0]
    assert list(row[["requests_left", "tokens_left", "at_once_left"]]) == [4, 950, 3]
    assert list(row[["vendor_requests_left", "vendor_tokens_left"]]) == [99, 1234]
    jump(router, 61)
    row = router.limits().iloc[0]
    assert list(row[["requests_left", "tokens_left"]]) == [5, 1000]
    assert row[["vendor_requests_left", "vendor_tokens_left"]].isna().all()  # that time is over


def test_what_is_too_large_for_one_goes_to_the_next(raw: Raw, make_router: MakeRouter) -> None:
    words = "Request too large for model `m` on tokens per minute (TPM): Limit 6000, Requested 7000"
    small = raw(answer({"error": {"message": words, "type": "tokens", "code": "rate_limit_exceeded"}}, 413))
    providers = [at(small, context={"m": 9000}), at(raw(GOOD), "b", priority=2, context={"m": 8000})]
    router = make_router(providers, breaker_threshold=1)
    for _ in range(2):
        assert [a.outcome for a in router.chat("hi").route.attempts] == ["error", "ok"]
    assert len(small.seen) == 2  # it is well, for smaller ones


# --- breakers -----------------------------------------------------------------------------------------------


def test_a_dead_host_is_left_alone_after_so_many_failures(raw: Raw, make_router: MakeRouter) -> None:
    dead, well = raw(BUSY), raw(GOOD)
    router = make_router([at(dead), at(well, "b", priority=2)], retries=0, breaker_threshold=3)
    assert [router.chat("hi").provider for _ in range(10)] == ["b"] * 10
    assert (len(dead.seen), dead.connections) == (3, 3)
    row = router.health(check=False).set_index("provider")
    assert list(row["breaker"]) == ["open", "closed"]
    plan = router.plan("hi")
    assert "breaker is open" in next(c.reason for c in plan.candidates if c.target.provider == "a")


def test_rows_tell_when_what_is_shut_is_tried_again(raw: Raw, make_router: MakeRouter) -> None:
    server = raw(*[BUSY] * 2, *[GOOD] * 50)
    router = make_router([at(server, models=["m", "n"])], retries=0, breaker_threshold=2, health_interval=0)
    failing(router, 2, model="a/m")
    for _ in range(45):
        router.chat("hi", model="a/n")
    m, n = router.health_rows("model")
    (both,) = router.health_rows()
    assert 58 < m["opens_in_s"] <= 60
    assert n["opens_in_s"] is None
    assert 58 < both["opens_in_s"] <= 60
    assert m["timed_s"] == ()
    assert len(n["timed_s"]) == 40  # the latest
    jump(router, 61)
    assert [row["opens_in_s"] for row in router.health_rows("model")] == [None, None]
    assert router.health_rows("model")[0]["breaker"] == "half-open"
    assert "timed_s" not in router.health(check=False).columns


def test_when_it_is_the_only_one_the_error_says_when_to_come_back(raw: Raw, make_router: MakeRouter) -> None:
    dead = raw([RESET])
    router = make_router([at(dead)], retries=0, breaker_threshold=2, breaker_seconds=30)
    failing(router, 2)
    now = time.time()
    with pytest.raises(NoProviderAvailableError, match=r"a/m: its breaker is open for \d+ s more") as caught:
        router.chat("hi")
    assert caught.value.retry_at is not None
    assert 28 < caught.value.retry_at - now <= 31
    assert dead.connections == 2
    assert caught.value.attempts == ()
    assert list(router.calls()["status"]) == ["error"] * 3


def test_retries_do_not_hammer_what_has_just_opened(raw: Raw, make_router: MakeRouter) -> None:
    dead = raw(BUSY)
    router = make_router([at(dead)], retries=10, breaker_threshold=3)
    with pytest.raises(ServiceUnavailableError, match="busy"):
        router.chat("hi")
    assert len(dead.seen) == 3


def test_a_probe_lets_it_return(raw: Raw, make_router: MakeRouter) -> None:
    server = raw(BUSY, BUSY, GOOD)
    router = make_router([at(server)], retries=0, breaker_threshold=2, breaker_seconds=0.1)
    failing(router, 2)
    assert failing(router, 3) == [NoProviderAvailableError] * 3
    assert len(server.seen) == 2
    time.sleep(0.11)
    assert [router.chat("hi").text for _ in range(3)] == ["hi"] * 3
    assert router.health(check=False)["breaker"].iloc[0] == "closed"


async def test_one_probe_at_a_time(raw: Raw, make_router: MakeRouter) -> None:
    server = raw(BUSY, [0.05, *GOOD], GOOD)
    router = make_router([at(server)], retries=0, breaker_threshold=1, breaker_seconds=0.1)
    with pytest.raises(ServiceUnavailableError):
        await router.achat("hi")
    await asyncio.sleep(0.11)
    found = await asyncio.gather(*(router.achat("hi") for _ in range(20)), return_exceptions=True)
    assert sum(not isinstance(one, BaseException) for one in found) == 1
    refused = [one for one in found if isinstance(one, BaseException)]
    assert all(isinstance(one, NoProviderAvailableError) for one in refused)
    assert "a probe is under way" in str(refused[0])
    assert len(server.seen) == 2
    assert len(await asyncio.gather(*(router.achat("hi") for _ in range(5)))) == 5


def test_a_failed_probe_doubles_the_time(raw: Raw, make_router: MakeRouter) -> None:
    server = raw(BUSY)
    router = make_router([at(server)], retries=0, breaker_threshold=1, breaker_seconds=100)
    failing(router, 1)
    for seconds, waits in ((101, 200), (302, 400)):
        jump(router, seconds)
        assert failing(router, 1) == [ServiceUnavailableError]
        with pytest.raises(NoProviderAvailableError, match=f"open for {waits} s more"):
            router.chat("hi")


async def test_a_crowd_that_fails_together_opens_it_for_the_plain_time(raw: Raw, make_router: MakeRouter) -> None:
    server = raw([0.02, *BUSY])
    router = make_router([at(server)], retries=0, breaker_threshold=5, breaker_seconds=30)
    await asyncio.gather(*(router.achat("hi") for _ in range(40)), return_exceptions=True)
    with pytest.raises(NoProviderAvailableError, match=r"open for (29|30) s more"):
        await router.achat("hi")


def test_looking_at_the_health_lets_a_call_probe_at_once(raw: Raw, make_router: MakeRouter) -> None:
    server = raw(BUSY)
    router = make_router([at(server)], retries=0, breaker_threshold=1)
    failing(router, 1)
    assert list(router.health()["breaker"]) == ["open"]
    server.scripts = [answer({"data": [{"id": "m"}]})]
    assert list(router.health()["breaker"]) == ["half-open"]
    server.scripts = [GOOD]
    assert router.chat("hi").text == "hi"
    assert list(router.health(check=False)["breaker"]) == ["closed"]


def test_a_server_that_lists_models_and_cannot_chat_stays_shut(raw: Raw, make_router: MakeRouter) -> None:
    server = raw(BUSY)
    router = make_router([at(server)], retries=0, breaker_threshold=3, breaker_seconds=100)
    failing(router, 3)
    for waits in (200, 400):
        server.scripts = [answer({"data": [{"id": "m"}]})]
        router.health()
        server.scripts = [BUSY]
        assert failing(router, 1) == [ServiceUnavailableError]  # one, and not three
        with pytest.raises(NoProviderAvailableError, match=f"open for {waits} s more"):
            router.chat("hi")


def test_a_model_that_is_gone_is_not_well(raw: Raw, make_router: MakeRouter) -> None:
    server = raw(BUSY)
    router = make_router([at(server, models=["m", "n"], prices={})], retries=0, breaker_threshold=1)
    failing(router, 1, model="a/m")
    failing(router, 1, model="a/n")
    server.scripts = [answer({"data": [{"id": "n"}]})]
    table = router.health(by="model").set_index("model")
    assert dict(table["breaker"]) == {"m": "open", "n": "half-open"}
    assert dict(table["status"]) == {"m": "down", "n": "degraded"}


def test_a_refused_key_is_not_tried_again_until_it_changes(raw: Raw, make_router: MakeRouter) -> None:
    server = raw(answer({"error": {"message": "bad key"}}, 401))
    router = make_router([at(server, models=["m", "n"], prices={})], retries=0)
    assert failing(router, 1, model="a/m") == [AuthenticationError]
    assert failing(router, 2, model="a/n") == [AuthenticationError] * 2  # the same key
    assert len(server.seen) == 1
    jump(router, 1e6)
    assert failing(router, 1, model="a/m") == [AuthenticationError]
    assert len(server.seen) == 1
    server.scripts = [GOOD]
    router.update_provider("a", api_key="another-key")
    assert router.chat("hi", model="a/m").text == "hi"


def test_spent_credit_is_left_alone_for_long(raw: Raw, make_router: MakeRouter) -> None:
    spent = raw(answer({"error": {"message": "no credit", "code": "insufficient_quota"}}, 429))
    other = raw(GOOD)
    router = make_router([at(spent), at(other, "b", priority=2)])
    assert [router.chat("hi").provider for _ in range(5)] == ["b"] * 5
    assert len(spent.seen) == 1
    jump(router, 3601)
    time.sleep(0.03)  # plans are made from what was known a moment ago
    router.chat("hi")
    assert len(spent.seen) == 2


def test_a_429_cools_down_its_target_only(raw: Raw, make_router: MakeRouter) -> None:
    server = raw(answer({"error": {"message": "slow down"}}, 429, "application/json", "Retry-After: 50"), GOOD)
    router = make_router([at(server, models=["m", "n"], prices={})], retries=0, breaker_threshold=5)
    assert failing(router, 1, model="a/m") == [RateLimitError]
    assert router.chat("hi", model="a/n").text == "hi"
    with pytest.raises(NoProviderAvailableError, match=r"a/m: .*(49|50) s more") as caught:
        router.chat("hi", model="a/m")
    assert caught.value.retry_at is not None
    assert len(server.seen) == 2
    jump(router, 51)
    assert router.chat("hi", model="a/m").text == "hi"
    assert router.chat("hi", model="a/m").text == "hi"  # it was never open


@pytest.mark.parametrize("status", [400, 403, 404, 413, 422])
def test_a_wrong_request_opens_nothing(status: int, raw: Raw, make_router: MakeRouter) -> None:
    server = raw(answer({"error": {"message": "no such thing"}}, status))
    router = make_router([at(server)], retries=0, breaker_threshold=1)
    failing(router, 5)
    assert len(server.seen) == 5
    server.scripts = [GOOD]
    assert router.chat("hi").text == "hi"


def test_a_wish_to_wait_for_ever_is_not_obeyed_for_ever(raw: Raw, make_router: MakeRouter) -> None:
    server = raw(answer({"error": {"message": "down"}}, 503, "application/json", "Retry-After: inf"), GOOD)
    router = make_router([at(server)], retries=0)
    failing(router, 2)
    jump(router, 3601)
    assert router.chat("hi").text == "hi"


# --- the gate by itself -------------------------------------------------------------------------------------


def gate_and_slot(**limits: int | None) -> tuple[Gate, Slot]:
    vendor = next(vendor for vendor in vendors() if vendor.type == "custom")
    endpoint = Endpoint("http://127.0.0.1:1/v1")
    provider = Provider("a", vendor, (endpoint,), **limits)  # type: ignore[arg-type]
    return Gate(lambda *_: (None, None), None), Slot(Target("a", "m"), provider, endpoint, "cloud", "")


async def entered(gate: Gate, slot: Slot, seconds: float = 5, tokens: int = 1) -> Ticket:
    return await gate.enter("x", slot, Request(()), tokens, gate.clock() + seconds, True)


async def test_a_newcomer_does_not_slip_in_before_those_who_wait() -> None:
    """Two places become free in one turn: the first in line takes one, and the second the other."""
    gate, slot = gate_and_slot(max_concurrency=2)
    inside = [await entered(gate, slot) for _ in range(2)]
    order: list[str] = []

    async def one(name: str) -> None:
        ticket = await entered(gate, slot)
        order.append(name)
        gate.leave(ticket, Verdict.GOOD)

    waiting = [asyncio.ensure_future(one(name)) for name in ("first", "second", "third")]
    await asyncio.sleep(0)
    for ticket in inside:
        gate.leave(ticket, Verdict.GOOD)
    for number in range(8):
        waiting.append(asyncio.ensure_future(one(f"late {number}")))
        await asyncio.sleep(0)
    await asyncio.gather(*waiting)
    assert order[:3] == ["first", "second", "third"]


async def test_a_cancellation_that_comes_with_a_free_place_is_not_lost() -> None:
    gate, slot = gate_and_slot(max_concurrency=1)
    inside = await entered(gate, slot)
    waiting = asyncio.ensure_future(entered(gate, slot))
    await asyncio.sleep(0.01)
    gate.leave(inside, Verdict.GOOD)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    gate.leave(await entered(gate, slot, 0.05), Verdict.GOOD)


async def test_a_place_is_not_lost_to_one_that_gave_up() -> None:
    gate, slot = gate_and_slot(max_concurrency=1)
    inside = await entered(gate, slot)
    impatient = [asyncio.ensure_future(entered(gate, slot, 0.02)) for _ in range(3)]
    patient = asyncio.ensure_future(entered(gate, slot))
    for gone in impatient:
        with pytest.raises(Full):
            await gone
    gate.leave(inside, Verdict.GOOD)
    gate.leave(await asyncio.wait_for(patient, 0.2), Verdict.GOOD)


async def test_a_reset_during_a_probe_leaves_no_probe_behind() -> None:
    gate, slot = gate_and_slot()
    gate.policy = Policy(threshold=1, seconds=10)
    now = 0.0
    gate.clock = lambda: now
    gate.leave(await entered(gate, slot), Verdict.BAD)
    now = 11.0
    probe = await entered(gate, slot)
    gate.well(slot.provider.endpoints)
    gate.leave(probe, Verdict.GOOD)
    gate.leave(await entered(gate, slot), Verdict.BAD)
    now = 30.0
    gate.leave(await entered(gate, slot), Verdict.GOOD)
    assert gate.state(slot.provider) == "closed"


# --- a thousand at once -------------------------------------------------------------------------------------


def kept(body: Any, status: int = 200) -> list[bytes | str]:
    data = answer(body, status)
    return [data[0].replace(b"Connection: close\r\n", b""), data[1], KEEP]


def test_a_thousand_at_once_on_a_bad_day(raw: Raw, make_router: MakeRouter) -> None:
    """Three in ten requests fail in one of many ways; each call ends with the right text or a typed error."""
    rng = random.Random(7)
    faults: list[list[Any]] = [
        BUSY,
        answer({"error": {"message": "slow down"}}, 429, "application/json", "Retry-After: 0.01"),
        [RESET],
        answer(b"<html>no</html>", 200, "text/html"),
        answer(b""),
        [head(200, "application/json", "Content-Length: 500"), b'{"choi'],
        [head(200, "text/event-stream"), *events(delta("half"))],
    ]
    whole = [head(200, "text/event-stream"), *events(delta("yes"), finish(), b"[DONE]")]
    servers = []
    for name in ("a", "b", "c"):
        scripts = [rng.choice(faults) if rng.random() < 0.3 else kept(said(name)) for _ in range(700)]
        servers.append(raw(*scripts, whole if name == "c" else kept(said(name))))
    providers = [
        at(server, name, priority=number, prices={"m": {"input": 1, "output": 2}}, **more)
        for number, (server, name, more) in enumerate(
            zip(servers, "abc", ({"max_concurrency": 40}, {"rpm": 100_000}, {}), strict=True)
        )
    ]
    budget = {"daily_usd": 1000, "monthly_usd": None}
    router = make_router(
        {"provider": providers, "budget": budget}, retries=3, breaker_seconds=0.02, timeout=20, resume=False
    )

    async def one(number: int) -> Any:
        if number % 4:
            return await router.achat("hi", max_tokens=10)
        stream = router.stream("hi", max_tokens=10)
        return await stream.areply()

    async def all_of_them() -> list[Any]:
        return await asyncio.gather(*(one(number) for number in range(1000)), return_exceptions=True)

    found = asyncio.run(all_of_them())
    good = [one for one in found if not isinstance(one, BaseException)]
    assert all(one.text in ("a", "b", "c", "yes") for one in good)
    assert all(one.text == one.provider or one.text == "yes" for one in good)
    bad = [one for one in found if isinstance(one, BaseException)]
    assert all(isinstance(one, InferenceError | NoProviderAvailableError) for one in bad), bad[:3]
    assert len(good) > 300
    assert len(router.calls()) == 1000
    assert all(error.attempts is not None for error in bad)

    gate = router._gate
    assert not any(breaker.probing for breaker in (*gate._keys.values(), *gate._targets.values()))
    assert not any(lane.limits.running or lane.waiting for lane in gate._lanes.values())
    assert not any(router._latency.flying.values())

    async def idle() -> None:
        router._budget.close()  # the pool, which would be given back a moment later
        await router._ledger.drain()

    portal().run(idle())
    assert router._ledger.rows("SELECT * FROM reservations") == []
    spent = Decimal(router._ledger.rows("SELECT SUM(amount) FROM spend")[0][0])
    known = router._ledger.rows("SELECT COALESCE(SUM(cost_usd), 0), SUM(cost_usd IS NULL) FROM attempts")[0]
    assert spent == known[0] + known[1] * 25_000_000  # of "hi" and ten tokens, where nobody knows
    router.close()
    ports = {server.port for server in servers}

    def sockets() -> list[Any]:
        ours = [c for c in psutil.Process().net_connections("tcp") if c.raddr and c.raddr.port in ports]
        return [c for c in ours if c.status != "TIME_WAIT"]

    assert until(lambda: not sockets()), sockets()
