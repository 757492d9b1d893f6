"""Calls under way: interrupted, cancelled, dropped, from several threads; and nothing is left behind."""

from __future__ import annotations

import _thread
import asyncio
import gc
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest

from hybrid_nb.core.errors import ConfigError, StreamInterruptedError
from hybrid_nb.portal import portal
from hybrid_nb.router import Router
from hybrid_nb.sim import Fault, Fleet
from tests.conftest import WIRES, MakeRouter, at, model_of
from tests.faults.raw_server import HANG, RawServer, answer, delta, events, head, said, spoken, until

Raw = Callable[..., RawServer]
PROMPT = "Tell me about tidal energy."


@pytest.fixture
def hanging(raw: Raw) -> RawServer:
    """A server that begins a stream and then says nothing."""
    return raw([head(200, "text/event-stream"), *events(delta("one ")), 0.03, *events(delta("two ")), HANG])


@pytest.fixture
def patient(hanging: RawServer, make_router: MakeRouter) -> Router:
    return make_router([at(hanging)], retries=0)


@pytest.fixture(autouse=True)
def _nothing_is_left(request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    loop = portal().loop

    def idle() -> bool:
        return not [task for task in asyncio.all_tasks(loop) if not task.done()]

    assert until(idle), [task.get_coro() for task in asyncio.all_tasks(loop)]


def closed(server: RawServer) -> bool:
    """Whether the server saw its last connection end within half a second."""
    return until(lambda: server.seen and server.seen[-1].closed is not None, 0.5)


def when_asked(server: RawServer, action: Callable[[], object]) -> threading.Thread:
    """Act a moment after the server has got its request."""

    def act() -> None:
        until(lambda: server.seen)
        time.sleep(0.05)
        action()

    thread = threading.Thread(target=act)
    thread.start()
    return thread


def read(router: Router) -> None:
    for _ in router.stream("hi", model="a/m"):
        pass


WAYS: dict[str, Callable[[Router], object]] = {
    "chat": lambda router: router.chat("hi", model="a/m"),
    "stream": read,
    "reply": lambda router: router.stream("hi", model="a/m").reply,
}
INTERRUPTS = {
    "interrupt_main": _thread.interrupt_main,
    "SIGINT": lambda: os.kill(os.getpid(), signal.SIGINT),
}


@pytest.mark.parametrize("how", INTERRUPTS)
@pytest.mark.parametrize("way", WAYS)
def test_an_interrupt_stops_the_request(
    how: str, way: str, raw: Raw, hanging: RawServer, make_router: MakeRouter
) -> None:
    server = hanging if way != "chat" else raw([HANG])
    router = make_router([at(server)], retries=0)
    thread = when_asked(server, INTERRUPTS[how])
    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        WAYS[way](router)
    thread.join()
    assert time.monotonic() - started < 1
    assert closed(server)
    assert until(lambda: list(router.calls()["status"]) == ["cancelled"])


def test_cancelling_a_stream_closes_its_connection_and_keeps_what_came(patient: Router, hanging: RawServer) -> None:
    stream = patient.stream("hi", model="a/m")
    assert [next(stream), next(stream)] == ["one ", "two "]
    stream.cancel()
    assert closed(hanging)
    assert next(stream, None) is None
    with pytest.raises(StreamInterruptedError, match="cancelled") as caught:
        stream.reply  # noqa: B018
    assert caught.value.partial_text == "one two "
    assert stream.text == "one two "
    row = patient.calls().iloc[0]
    assert (row["status"], row["provider"], row["output_tokens"]) == ("cancelled", "a", 2)


def test_leaving_the_with_block_cancels(patient: Router, hanging: RawServer) -> None:
    with patient.stream("hi", model="a/m") as stream:
        assert next(stream) == "one "
    assert closed(hanging)


def test_a_stream_that_nobody_holds_is_cancelled(patient: Router, hanging: RawServer) -> None:
    stream = patient.stream("hi", model="a/m")
    assert next(stream)
    del stream
    gc.collect()
    assert closed(hanging)


def test_a_stream_that_nobody_ever_held_is_cancelled(patient: Router, hanging: RawServer) -> None:
    patient.stream("hi", model="a/m")
    gc.collect()
    assert until(lambda: not [task for task in asyncio.all_tasks(portal().loop) if not task.done()], 0.5)
    assert not hanging.seen or closed(hanging)
    assert set(patient.calls()["status"]) <= {"cancelled"}  # no row when nothing was sent


def test_a_vendor_that_is_down_is_passed_over_and_asked_again_when_it_is_back(
    fleet: Fleet, make_router: MakeRouter
) -> None:
    router = make_router(fleet)
    fleet["openai"].kill()
    reply = router.chat("hi")
    assert reply.provider == "anthropic"
    assert reply.route.attempts[0].error is not None
    assert reply.route.attempts[0].error.startswith("ConnectionFailedError")
    fleet["openai"].revive()
    assert router.chat("hi").provider == "openai"


def test_a_finished_stream_may_be_read_late_and_again(router: Router) -> None:
    stream = router.stream(PROMPT, model=model_of("openai"))
    reply = stream.reply
    assert "".join(stream) == reply.text
    assert list(stream) == []
    assert stream.reply is reply
    assert stream.done


async def test_async_for_gives_the_same_as_for(router: Router) -> None:
    for wire in WIRES:
        pieces = [piece async for piece in router.stream(PROMPT, model=model_of(wire))]
        assert "".join(pieces) == "".join(router.stream(PROMPT, model=model_of(wire))) != ""


async def test_achat_and_areply(router: Router) -> None:
    reply = await router.achat(PROMPT, model=model_of("openai"))
    stream = router.stream(PROMPT, model=model_of("openai"))
    assert (await stream.areply()).text == reply.text


async def test_a_blocking_call_beside_a_waiting_async_one(router: Router) -> None:
    task = asyncio.create_task(router.achat(PROMPT, model=model_of("openai")))
    await asyncio.sleep(0)
    blocking = router.chat(PROMPT, model=model_of("openai"), timeout=5)  # holds up this loop, not the portal's
    assert (await task).text == blocking.text


async def test_cancelling_who_awaits_cancels_the_request(patient: Router, hanging: RawServer) -> None:
    async def read() -> None:
        async for _ in patient.stream("hi", model="a/m"):
            pass

    for work in (read(), patient.achat("hi", model="a/m")):
        asked = len(hanging.seen)
        task = asyncio.create_task(work)
        assert await asyncio.to_thread(until, lambda asked=asked: len(hanging.seen) > asked)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await asyncio.to_thread(closed, hanging)


async def test_a_timeout_around_achat(patient: Router, hanging: RawServer) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await patient.achat("hi", model="a/m")
    assert await asyncio.to_thread(closed, hanging)


async def test_the_readers_loop_is_not_blocked(patient: Router) -> None:
    stream = patient.stream("hi", model="a/m")
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            ticks += 1
            await asyncio.sleep(0.005)

    clock = asyncio.create_task(tick())
    await anext(stream)
    await anext(stream)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await anext(stream)
    clock.cancel()
    assert ticks > 5
    stream.cancel()


def test_poll_returns_when_nothing_comes(patient: Router) -> None:
    with patient.stream("hi", model="a/m") as stream:
        assert stream.poll(1) == "one "
        assert stream.poll(1) == "two "
        started = time.monotonic()
        assert stream.poll(0.05) == ""
        assert 0.04 < time.monotonic() - started < 0.5


def test_calls_from_many_threads(router: Router) -> None:
    def ask(number: int) -> tuple[str, str]:
        if number % 2:
            return str(number), router.chat(f"What is {number} + 1?", model=model_of(WIRES[number % 4])).text
        return str(number), "".join(router.stream(f"What is {number} + 1?", model=model_of(WIRES[number % 4])))

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(ask, range(40)))
    assert all(str(int(number) + 1) in text for number, text in answers)
    assert len(router.calls()) == 40
    assert router.calls()["request_id"].is_unique


async def test_many_at_once_from_one_loop(router: Router) -> None:
    replies = await asyncio.gather(*(router.achat(f"What is {n} + 1?", model=model_of("openai")) for n in range(30)))
    assert all(str(n + 1) in reply.text for n, reply in enumerate(replies))


def test_a_blocking_call_on_the_portals_own_loop_says_so(router: Router) -> None:
    async def inside() -> None:
        router.chat("hi", model=model_of("openai"))

    with pytest.raises(RuntimeError, match="own loop"):
        portal().run(inside())


def test_sockets_are_given_back(fleet: Fleet, make_router: MakeRouter) -> None:
    process = psutil.Process()

    def sockets() -> int:
        ports = {handle.port for handle in fleet}
        return sum(bool(c.raddr) and c.raddr.port in ports for c in process.net_connections("tcp"))

    router = make_router(fleet, retries=0)
    for wire in WIRES:
        router.chat(PROMPT, model=model_of(wire))
        fleet[wire].fail(Fault("stall", after_tokens=2))
        stream = router.stream(PROMPT, model=model_of(wire))
        next(stream)
        stream.cancel()
    assert until(lambda: sockets() <= len(WIRES)), sockets()  # one kept connection each
    router.close()
    assert until(lambda: sockets() == 0), sockets()


def test_the_vendor_sees_a_cancelled_stream_close(fleet: Fleet, router: Router) -> None:
    for wire in WIRES:
        fleet[wire].fail(Fault("stall", after_tokens=2))
        with router.stream(PROMPT, model=model_of(wire)) as stream:
            next(stream)
        assert until(lambda wire=wire: fleet[wire].chats[-1].client_closed, 0.5), wire


def test_closing_ends_what_is_under_way_and_refuses_more(patient: Router, hanging: RawServer) -> None:
    stream = patient.stream("hi", model="a/m")
    next(stream)
    patient.close()
    assert closed(hanging)
    with pytest.raises(Exception, match=r"."):
        stream.reply  # noqa: B018
    for call in (lambda: patient.chat("hi"), lambda: patient.stream("hi"), lambda: patient.plan("hi")):
        with pytest.raises(ConfigError, match="closed"):
            call()
    patient.close()


def test_a_retry_after_closing_opens_nothing(raw: Raw, make_router: MakeRouter) -> None:
    server = raw([HANG], answer(said("late")))
    router = make_router([at(server)], retries=3)
    stream = router.stream("hi", model="a/m")
    assert until(lambda: server.seen)
    router.close()
    with pytest.raises(Exception, match=r"."):
        stream.reply  # noqa: B018
    assert len(server.seen) == 1


def test_a_changed_configuration_leaves_calls_under_way_alone(raw: Raw, make_router: MakeRouter) -> None:
    slow = raw([head(200, "text/event-stream"), *events(delta("a")), 0.15, *spoken("b")[1:2], HANG], spoken("new"))
    server = raw(
        [
            head(200, "text/event-stream"),
            *events(delta("old ")),
            0.15,
            *events({"choices": [{"delta": {}, "finish_reason": "stop"}]}),
        ]
    )
    router = make_router([at(server)], retries=0)
    stream = router.stream("hi", model="a/m")
    assert next(stream) == "old "
    router.configure(stall_timeout=0.01)
    router.update_provider("a", base_url=slow.url)
    router.add_provider(at(slow, "b"))
    router.remove_provider("a")
    assert stream.reply.text == "old "
    assert stream.reply.provider == "a"
    assert [str(c.target) for c in router.plan("hi").accepted] == ["b/m"]


def test_a_forked_child_works() -> None:
    """The portal's thread does not survive a fork; the child starts its own."""
    import subprocess
    import sys

    code = """
import asyncio, os
from hybrid_nb.portal import portal
async def one(): return 1
assert portal().run(one()) == 1
pid = os.fork()
if pid == 0:
    ok = portal().run(one()) == 1
    os._exit(0 if ok else 1)
_, status = os.waitpid(pid, 0)
raise SystemExit(os.waitstatus_to_exitcode(status))
"""
    assert subprocess.run([sys.executable, "-c", code], timeout=20, check=False).returncode == 0
